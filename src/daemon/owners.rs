//! Packets whose connection lives in another worker's shard: given to it, and taken from others.
//!
//! ```text
//!  a burst that came in ─► whose is each? ─┬─ own ────► judged here
//!                                          └─ other ──► ring to its worker ─► judged there, in order
//!  a datagram that is complete, its fragments with it ──┘
//! ```

use af_xdp::Descriptor;
use arrayvec::ArrayVec;

use super::burst::{Burst, Slot};
use super::forward::lose;
use super::frames::Store;
use super::handover::{Message, Passing, Waiting};
use super::worker::{State, Worker};
use crate::fragments::Token;
use crate::shard::{BURST, Datagram, steering_of_frame};
use crate::time::Time;
use crate::view::Loss;
use crate::wire::{Frame, Link};

/// Where a packet of a burst belongs.
#[derive(Debug, Clone, Copy)]
struct Whose {
    owner: usize,
    is_fragment: bool,
}

impl Worker {
    /// A burst of what another worker has handed over.
    pub(super) fn take_over(&mut self, from: usize, at: Time) -> usize {
        let mut taken = 0;
        while taken < BURST {
            let Some(message) = self.exchange.receive(from, self.number) else { break };
            match message {
                Message::Frame(descriptor, origin) => {
                    self.state.under_way -= 1;
                    let is_last = !descriptor.continues();
                    let State { beginnings, burst, .. } = &mut self.state;
                    beginnings[from].push(descriptor);
                    if is_last {
                        taken += 1;
                        burst.push_parts(beginnings[from].drain(..), origin);
                    }
                }
                Message::Datagram(passing) => {
                    taken += 1;
                    self.process_taken(at);
                    // What came before it goes first.
                    self.judge_unjudged(at);
                    self.judge_passing(*passing, at);
                }
            }
        }
        self.process_taken(at);
        self.state.work.taken_over += taken as u64;
        taken
    }

    fn process_taken(&mut self, at: Time) {
        if !self.state.burst.slots.is_empty() {
            self.state.burst.gather(&self.umem);
            self.process(at);
        }
    }

    /// Gives those packets of the burst to other workers that belong to them.
    pub(super) fn hand_over_strangers(&mut self, at: Time) {
        let workers = self.exchange.workers() as u32;
        let mut whose = [Whose { owner: self.number, is_fragment: false }; BURST];
        let (mut strangers, mut fragments) = (0, 0);
        let burst = &self.state.burst;
        for (place, (slot, whose)) in burst.slots.iter().zip(&mut whose).enumerate() {
            let zone = self.ports[usize::from(slot.origin.port)].zone;
            let frame = Frame::whole(burst.bytes(place, &self.umem), Link::Ethernet);
            let (hash, is_fragment) = steering_of_frame(&frame, zone);
            *whose = Whose { owner: (hash % workers) as usize, is_fragment };
            let is_stranger = whose.owner != self.number;
            strangers += usize::from(is_stranger);
            fragments += usize::from(is_fragment && !is_stranger);
        }
        self.state.burst.has_fragments = fragments > 0;
        if strangers > 0 {
            self.part(&whose, at);
        }
    }

    /// Divides the burst: what is not this worker's goes to whom it belongs.
    ///
    /// A datagram that fragments complete here may belong to another worker, too, and must not be overtaken by what came
    /// after them: they are judged before the next stranger goes.
    fn part(&mut self, whose: &[Whose; BURST], at: Time) {
        let State { burst, kept, .. } = &mut self.state;
        std::mem::swap(burst, kept);
        let mut parting = std::mem::replace(kept, Burst::nothing());
        let mut descriptors = std::mem::take(&mut parting.descriptors);
        let mut rest = descriptors.drain(..);
        let mut woken: ArrayVec<usize, BURST> = ArrayVec::new();
        for (slot, whose) in parting.slots.iter().zip(whose) {
            let parts = rest.by_ref().take(slot.parts);
            if whose.owner == self.number {
                self.state.burst.push_parts(parts, slot.origin);
                self.state.burst.has_fragments |= whose.is_fragment;
                continue;
            }
            if self.state.burst.has_fragments {
                self.process_taken(at);
            }
            if self.state.unjudged.has_fragments {
                self.judge_unjudged(at);
            }
            if self.give(whose.owner, parts, *slot) && !woken.contains(&whose.owner) {
                woken.push(whose.owner);
            }
        }
        drop(rest);
        for owner in woken {
            if self.exchange.is_asleep(owner) {
                self.plane.workers[owner].wake();
            }
        }
        parting.descriptors = descriptors;
        parting.slots.clear();
        parting.has_fragments = false;
        self.state.kept = parting;
        self.state.burst.gather(&self.umem);
    }

    /// Puts a packet into the ring of another worker; false where that is full, and the packet lost.
    fn give(&mut self, owner: usize, parts: impl Iterator<Item = Descriptor>, slot: Slot) -> bool {
        let Worker { state, exchange, sockets, store, number: own, .. } = self;
        if !exchange.has_room((*own, owner), slot.parts) {
            store.give_all(parts);
            lose(sockets, slot.origin, Loss::HandOverFull, 1);
            return false;
        }
        for descriptor in parts {
            state.under_way += 1;
            if let Err(message) = exchange.send((*own, owner), Message::Frame(descriptor, slot.origin)) {
                debug_assert!(false, "there was room");
                take_back(message, store);
            }
        }
        state.work.handed_over += 1;
        true
    }

    /// Passes a datagram on, with the frames of its fragments.
    pub(super) fn pass_on(&mut self, owner: usize, datagram: Datagram) {
        let pieces: Vec<(Token, Waiting)> =
            datagram.pieces().iter().filter_map(|token| Some((*token, self.held.remove(*token)?))).collect();
        let frames: i64 = pieces.iter().map(|(_, waiting)| waiting.parts.count() as i64).sum();
        let count = pieces.len() as u64;
        let origin = pieces.first().map(|(_, waiting)| waiting.origin);
        let message = Message::Datagram(Box::new(Passing { datagram, pieces }));
        match self.exchange.send((self.number, owner), message) {
            Ok(()) => {
                self.state.work.handed_over += 1;
                self.state.under_way += frames;
                if self.exchange.is_asleep(owner) {
                    self.plane.workers[owner].wake();
                }
            }
            Err(message) => {
                if let Some(origin) = origin {
                    lose(&mut self.sockets, origin, Loss::HandOverFull, count);
                }
                take_back(message, &mut self.store);
            }
        }
    }

    /// Judges a datagram that another worker has put together.
    fn judge_passing(&mut self, passing: Passing, at: Time) {
        for (token, waiting) in passing.pieces {
            self.state.under_way -= waiting.parts.count() as i64;
            self.held.insert(token, waiting);
        }
        self.shard.take_over(&passing.datagram, at.tick(), at, &mut self.ears);
        self.settle();
    }
}

/// The frames of what no ring took are free again.
fn take_back(message: Message, store: &mut Store) {
    match message {
        Message::Frame(descriptor, _) => store.give(descriptor.frame()),
        Message::Datagram(passing) => {
            for (_, waiting) in passing.pieces {
                store.give_all(waiting.parts);
            }
        }
    }
}
