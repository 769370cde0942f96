//! What becomes of packets once they are judged: sent, dropped, or held until their datagram is complete.
//!
//! ```text
//!  verdicts of a burst ─┬─ accept ─► checksum whole? ─► the opposite port's transmit ring
//!                       ├─ drop ───► frames are free again
//!                       └─ held ───► waits for its datagram's verdict, then one of the others
//! ```
//!
//! In order: a datagram whose last fragment is in the burst leaves before what came after that.

use af_xdp::{Descriptor, Umem};
use arrayvec::ArrayVec;

use super::burst::{Burst, Origin};
use super::frames::Parts;
use super::handover::Waiting;
use super::plan::MAX_PARTS;
use super::socket::Socket;
use super::worker::{Worker, token};
use crate::fragments::Token;
use crate::shard::Action;
use crate::view::{LinkState, Loss, Volume};
use crate::wire::{Frame, Link, partial_checksum};

impl Worker {
    /// Sends, drops or keeps each packet of the burst that was judged.
    pub(super) fn carry_out(&mut self) {
        // Out of the way, so that the rest of the worker can be used meanwhile.
        let mut burst = std::mem::replace(&mut self.state.unjudged, Burst::nothing());
        let mut descriptors = std::mem::take(&mut burst.descriptors);
        let mut rest = descriptors.drain(..);
        for (place, slot) in burst.slots.iter().enumerate() {
            match self.state.verdicts[place].action {
                Action::Accept => {
                    if slot.parts == 1 {
                        if let Some(mut descriptor) = rest.next() {
                            complete_checksum(&self.umem, &mut descriptor);
                            let length = descriptor.len();
                            self.send(std::iter::once(descriptor), length, slot.origin);
                        }
                    } else {
                        let mut parts: ArrayVec<Descriptor, MAX_PARTS> =
                            rest.by_ref().take(slot.parts).collect();
                        self.complete_gathered(burst.gathered(place, &parts), &mut parts);
                        let length = parts.iter().map(Descriptor::len).sum();
                        self.send(parts.into_iter(), length, slot.origin);
                    }
                }
                Action::Drop => self.store.give_all(rest.by_ref().take(slot.parts)),
                Action::Held => {
                    let token = token(burst.token + place as u64, self.number, self.exchange.workers());
                    if let Some(parts) = Parts::collect(&mut rest, slot.parts) {
                        self.held.insert(token, Waiting { parts, origin: slot.origin });
                    }
                    // If this one was the last that was missing, the datagram goes before what came after it.
                    self.release_through(token);
                }
            }
        }
        drop(rest);
        burst.descriptors = descriptors;
        burst.slots.clear();
        burst.has_fragments = false;
        self.state.unjudged = burst;
    }

    /// Completes the checksum of a packet in several frames.
    fn complete_gathered(&self, bytes: &[u8], parts: &mut [Descriptor]) {
        let Some(partial) = partial_checksum(&Frame::whole(bytes, Link::Ethernet)) else { return };
        let Some(value) = partial.completed(bytes) else { return };
        // Byte by byte: headers as long as a frame may put the field astride two of them.
        for (offset, byte) in value.into_iter().enumerate() {
            let mut at = partial.field + offset;
            for part in parts.iter_mut() {
                let bytes = self.umem.bytes_mut(part);
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                    break;
                }
                at -= bytes.len();
            }
        }
    }

    /// Sends a packet of `length` bytes on to the other port of its bridge.
    fn send(&mut self, parts: impl ExactSizeIterator<Item = Descriptor>, length: usize, origin: Origin) {
        let Worker { sockets, ports, exits, store, plane, .. } = self;
        let port = ports[usize::from(origin.port)].opposite;
        let way = match exits.of(port, origin.queue).map(|out| &mut sockets[out]) {
            Some(_) if length > ports[port].longest_frame => Err(Loss::TooLong),
            Some(socket) if plane.ports[port].state.get() == LinkState::Up => {
                if socket.has_room(parts.len(), store) { Ok(socket) } else { Err(Loss::TransmitFull) }
            }
            Some(_) | None => Err(Loss::PortDown),
        };
        match way {
            Ok(socket) => {
                for part in parts {
                    if let Err(part) = socket.push(part) {
                        debug_assert!(false, "there was room");
                        store.give(part.frame());
                    }
                }
                socket.traffic.sent += Volume { packets: 1, bytes: length as u64 };
            }
            Err(loss) => {
                store.give_all(parts);
                lose(sockets, origin, loss, 1);
            }
        }
    }

    /// Does as was decided about fragments that waited, and passes datagrams on to their owners.
    pub(super) fn settle(&mut self) {
        if self.ears.is_quiet() {
            return;
        }
        let mut passing = std::mem::take(&mut self.ears.handed_over);
        for (owner, datagram) in passing.drain(..) {
            self.pass_on(owner as usize, datagram);
        }
        self.ears.handed_over = passing;
        self.release(self.ears.released.len());
    }

    /// As [`Worker::release`], of those up to and including `token`; none if that has no verdict.
    fn release_through(&mut self, token: Token) {
        let place = self.ears.released.iter().position(|(released, _)| *released == token);
        self.release(place.map_or(0, |place| place + 1));
    }

    /// Sends or drops the first `count` fragments that have their verdict.
    fn release(&mut self, count: usize) {
        let mut released = std::mem::take(&mut self.ears.released);
        for (token, is_accepted) in released.drain(..count) {
            let Some(waiting) = self.held.remove(token) else { continue };
            if is_accepted {
                let parts: ArrayVec<Descriptor, MAX_PARTS> = waiting.parts.into_iter().collect();
                let length = parts.iter().map(Descriptor::len).sum();
                self.send(parts.into_iter(), length, waiting.origin);
            } else {
                self.store.give_all(waiting.parts);
            }
        }
        self.ears.released = released;
    }
}

/// By which sockets packets leave.
#[derive(Debug)]
pub(super) struct Exits {
    /// The places of the sockets at each port.
    by_port: Vec<Vec<usize>>,
}

impl Exits {
    /// The exits of a worker with these sockets.
    pub(super) fn new(sockets: &[Socket], ports: usize) -> Exits {
        let at = |port| {
            let places = sockets.iter().enumerate();
            let sends = places.filter(|(_, socket)| socket.plan.port == port && socket.plan.sends);
            sends.map(|(place, _)| place).collect()
        };
        Exits { by_port: (0..ports).map(at).collect() }
    }

    /// The socket by which packets leave for `port` that came in by `queue`: always the same, so that they
    /// stay in order.
    #[inline]
    fn of(&self, port: usize, queue: u32) -> Option<usize> {
        let places = &self.by_port[port];
        places.get(queue as usize % places.len().max(1)).copied()
    }
}

/// Counts packets as lost that came in at `origin`, at the worker's own socket there, or the nearest.
pub(super) fn lose(sockets: &mut [Socket], origin: Origin, loss: Loss, packets: u64) {
    let port = usize::from(origin.port);
    let exact = sockets.iter().position(|s| s.plan.port == port && s.plan.queue == origin.queue);
    let place = exact.or_else(|| sockets.iter().position(|socket| socket.plan.port == port));
    if let Some(place) = place {
        sockets[place].traffic.lost[loss as usize] += packets;
    }
}

/// Completes a checksum that a kernel left to the hardware.
#[inline]
fn complete_checksum(umem: &Umem, descriptor: &mut Descriptor) {
    let bytes = umem.bytes_mut(descriptor);
    let Some(partial) = partial_checksum(&Frame::whole(bytes, Link::Ethernet)) else { return };
    if let Some(value) = partial.completed(bytes)
        && let Some(field) = bytes.get_mut(partial.field..partial.field + 2)
    {
        field.copy_from_slice(&value);
    }
}
