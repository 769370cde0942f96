//! Fragments: held until their datagram is complete, then judged as one packet, here or at its owner.

use super::evidence::Source;
use super::verdict::{Reason, Verdict};
use super::{Admission, Arrival, Context, Observer, Shard, key_of, steering_hash};
use crate::fragments::{self, HEAD, Held, Token, Whole};
use crate::time::{Tick, Time};
use crate::wire::checksum::Sum;
use crate::wire::{self, Addresses, Fragment, Packet};

/// A complete datagram on its way to the shard that owns its connection.
#[derive(Debug, Clone)]
pub struct Datagram {
    addresses: OwnedAddresses,
    vlan: u16,
    zone: u16,
    next_header: u8,
    head: Box<[u8]>,
    payload_length: u32,
    length: u32,
    sum: Option<Sum>,
    pieces: Box<[Token]>,
    admission: Admission,
    is_broadcast: bool,
}

#[derive(Debug, Clone, Copy)]
enum OwnedAddresses {
    None,
    V4(u32, u32),
    V6([u8; 16], [u8; 16]),
}

impl Shard {
    /// Takes a fragment. Its verdict, and those of the pieces that were held, go to the observer.
    pub(super) fn piece<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        fragment: &Fragment<'_>,
        arrival: &Arrival<'_>,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        // Taken out while its datagram is judged, which is borrowed from it.
        let side = usize::from(arrival.admission.side) % self.fragments.len();
        let Some(mut fragments) = self.fragments[side].take() else { return Verdict::HELD };
        // Pieces of which one alone is a broadcast do not make one of the datagram.
        let context = Context { is_broadcast: false, ..context };
        match fragments.hold(packet, fragment, arrival.zone, arrival.token, context.now) {
            Held::Waiting => {}
            Held::Refused { reason, pieces } => {
                self.release(pieces, &Verdict::invalid(Reason::Fragment(reason), None), observer);
            }
            Held::Complete(whole) => self.complete(&whole, context, observer),
        }
        self.fragments[side] = Some(fragments);
        Verdict::HELD
    }

    /// Judges a datagram here if its connection is here, or hands it over.
    fn complete<O: Observer>(&mut self, whole: &Whole<'_>, context: Context, observer: &mut O) {
        let datagram = wire::Datagram {
            addresses: whole.addresses,
            next_header: whole.next_header,
            head: whole.head,
            payload_length: whole.payload_length,
            length: length_of(whole),
            vlan: whole.vlan,
            sum: whole.sum,
        };
        let packet = wire::parse_datagram(&datagram, self.settings.checks);
        let owner = steering_hash(&packet, whole.zone) % self.settings.shards.max(1);
        if owner == self.settings.number {
            self.judge_datagram(&packet, &datagram, (whole.zone, whole.pieces), context, observer);
        } else {
            observer.hand_over(owner, Datagram::of(whole, context));
        }
    }

    /// Judges a datagram that another shard has completed.
    pub fn take_over<O: Observer>(&mut self, datagram: &Datagram, now: Tick, at: Time, observer: &mut O) {
        self.latest = self.latest.max(at);
        let whole = datagram.whole();
        let packet = wire::parse_datagram(&whole, self.settings.checks);
        let context = Context { now, at, admission: datagram.admission, is_broadcast: datagram.is_broadcast };
        self.judge_datagram(&packet, &whole, (datagram.zone, &datagram.pieces), context, observer);
    }

    fn judge_datagram<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        whole: &wire::Datagram<'_>,
        (zone, pieces): (u16, &[Token]),
        context: Context,
        observer: &mut O,
    ) {
        let place = key_of(packet, zone).map(|key| (key, self.table.hash(&key)));
        let verdict = self.judge_whole(packet, place.as_ref(), zone, context, observer);
        let source = Source::Datagram(whole);
        self.testify(packet, &source, (zone, context.now), &verdict, pieces, observer);
        self.release(pieces, &verdict, observer);
    }

    /// Tells the verdict of frames that were held.
    fn release<O: Observer>(&mut self, pieces: &[Token], verdict: &Verdict, observer: &mut O) {
        for &token in pieces {
            self.counters.count(verdict);
            observer.released(token, verdict);
        }
    }

    /// Drops the fragments whose time is up; returns whether some are left.
    pub(super) fn expire_fragments<O: Observer>(&mut self, now: Tick, budget: u32, observer: &mut O) -> bool {
        let verdict = Verdict::invalid(Reason::Fragment(fragments::Fault::Incomplete), None);
        let counters = &mut self.counters;
        let mut is_late = false;
        for fragments in self.fragments.iter_mut().flatten() {
            is_late |= fragments.expire(now, budget, |token| {
                counters.count(&verdict);
                observer.released(token, &verdict);
            });
        }
        is_late
    }

    /// Drops all fragments that still wait: at the end of a capture no more will come.
    pub fn flush_fragments<O: Observer>(&mut self, observer: &mut O) {
        let verdict = Verdict::invalid(Reason::Fragment(fragments::Fault::Incomplete), None);
        let counters = &mut self.counters;
        for fragments in self.fragments.iter_mut().flatten() {
            fragments.flush(|token| {
                counters.count(&verdict);
                observer.released(token, &verdict);
            });
        }
    }
}

impl Datagram {
    /// The frames of its fragments, in the order in which they came.
    pub fn pieces(&self) -> &[Token] {
        &self.pieces
    }

    fn of(whole: &Whole<'_>, context: Context) -> Datagram {
        Datagram {
            addresses: match whole.addresses {
                Addresses::None => OwnedAddresses::None,
                Addresses::V4 { source, destination } => OwnedAddresses::V4(source, destination),
                Addresses::V6 { source, destination } => OwnedAddresses::V6(*source, *destination),
            },
            vlan: whole.vlan,
            zone: whole.zone,
            next_header: whole.next_header,
            head: whole.head[..whole.head.len().min(HEAD)].into(),
            payload_length: whole.payload_length,
            length: length_of(whole),
            sum: whole.sum,
            pieces: whole.pieces.into(),
            admission: context.admission,
            is_broadcast: context.is_broadcast,
        }
    }

    /// It, as `wire` takes it.
    fn whole(&self) -> wire::Datagram<'_> {
        let addresses = match &self.addresses {
            OwnedAddresses::None => Addresses::None,
            OwnedAddresses::V4(source, destination) => {
                Addresses::V4 { source: *source, destination: *destination }
            }
            OwnedAddresses::V6(source, destination) => Addresses::V6 { source, destination },
        };
        wire::Datagram {
            addresses,
            next_header: self.next_header,
            head: &self.head,
            payload_length: self.payload_length,
            length: self.length,
            vlan: self.vlan,
            sum: self.sum,
        }
    }
}

/// A datagram's length for the counters: all its fragments' IP lengths.
fn length_of(whole: &Whole<'_>) -> u32 {
    u32::try_from(whole.ip_bytes).unwrap_or(u32::MAX)
}
