//! Fragments: held until their datagram is complete, then judged as one packet, here or at its owner.

use super::verdict::{Reason, Verdict};
use super::{Arrival, Context, Observer, Shard, key_of, steering_hash};
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
        let held = self.fragments.hold(packet, fragment, arrival.zone, arrival.token, context.now);
        match held {
            Held::Waiting => {}
            Held::Refused { reason, pieces } => {
                let verdict = Verdict::invalid(Reason::Fragment(reason), None);
                for &token in pieces {
                    self.counters.count(&verdict);
                    observer.released(token, &verdict);
                }
            }
            Held::Complete(whole) => {
                let datagram = Datagram::of(&whole);
                self.complete(datagram, context, observer);
            }
        }
        Verdict::HELD
    }

    /// Judges a datagram here if its connection is here, or hands it over.
    fn complete<O: Observer>(&mut self, datagram: Datagram, context: Context, observer: &mut O) {
        let packet = datagram.parse(&self.settings);
        let owner = steering_hash(&packet, datagram.zone) % self.settings.shards.max(1);
        if owner == self.settings.number {
            self.judge_datagram(&datagram, context, observer);
        } else {
            observer.hand_over(owner, datagram);
        }
    }

    /// Judges a datagram that another shard has completed.
    pub fn take_over<O: Observer>(&mut self, datagram: &Datagram, now: Tick, at: Time, observer: &mut O) {
        self.latest = self.latest.max(at);
        self.judge_datagram(datagram, Context { now, at }, observer);
    }

    fn judge_datagram<O: Observer>(&mut self, datagram: &Datagram, context: Context, observer: &mut O) {
        let packet = datagram.parse(&self.settings);
        let place = key_of(&packet, datagram.zone).map(|key| (key, self.table.hash(&key)));
        let verdict = self.judge_whole(&packet, place.as_ref(), datagram.zone, context, observer);
        for &token in &datagram.pieces {
            self.counters.count(&verdict);
            observer.released(token, &verdict);
        }
    }

    /// Drops the fragments whose time is up; returns whether some are left.
    pub(super) fn expire_fragments<O: Observer>(&mut self, now: Tick, budget: u32, observer: &mut O) -> bool {
        let verdict = Verdict::invalid(Reason::Fragment(fragments::Fault::Incomplete), None);
        let counters = &mut self.counters;
        self.fragments.expire(now, budget, |token| {
            counters.count(&verdict);
            observer.released(token, &verdict);
        })
    }

    /// Drops all fragments that still wait: at the end of a capture no more will come.
    pub fn flush_fragments<O: Observer>(&mut self, observer: &mut O) {
        let verdict = Verdict::invalid(Reason::Fragment(fragments::Fault::Incomplete), None);
        let counters = &mut self.counters;
        self.fragments.flush(|token| {
            counters.count(&verdict);
            observer.released(token, &verdict);
        });
    }
}

impl Datagram {
    fn of(whole: &Whole<'_>) -> Datagram {
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
            length: u32::try_from(whole.ip_bytes).unwrap_or(u32::MAX),
            sum: whole.sum,
            pieces: whole.pieces.into(),
        }
    }

    fn parse(&self, settings: &super::Settings) -> Packet<'_> {
        let addresses = match &self.addresses {
            OwnedAddresses::None => Addresses::None,
            OwnedAddresses::V4(source, destination) => {
                Addresses::V4 { source: *source, destination: *destination }
            }
            OwnedAddresses::V6(source, destination) => Addresses::V6 { source, destination },
        };
        let datagram = wire::Datagram {
            addresses,
            next_header: self.next_header,
            head: &self.head,
            payload_length: self.payload_length,
            length: self.length,
            vlan: self.vlan,
            sum: self.sum,
        };
        wire::parse_datagram(&datagram, settings.checks)
    }
}
