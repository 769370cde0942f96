//! A burst on its way: what is known of each of its packets between one stage and the next.
//!
//! ```text
//!            read                         locate                  judge
//!  Arrival ───────► Slot { key, hash, ack } ───────► { candidate } ──────► Verdict
//!                     │ bucket fetched              │ connection fetched     ▲
//!                     └ of what is not plain only the key                    └ the Arrival once more, where it takes more
//! ```
//!
//! Each stage runs over the whole burst, so that the memory that the next one needs arrives in the meantime.
//! Nearly all packets are [`Plain`], those that open a connection as well, and a slot has all that judging such a one takes;
//! of the others the tuple tells what to fetch, mostly at a [`Glance`], and they are parsed when they are judged. A slot keeps no part of the
//! frame, so that a burst may stay under way while the frames are somebody else's to lend.
//!
//! Life cycle: made once, then for each burst [`Shard::read`](super::Shard::read), [`Shard::locate`](super::Shard::locate)
//! and [`Shard::judge`](super::Shard::judge), which leaves it empty.

use super::{Admission, Arrivals, BURST, key, key_of};
use crate::table::{Hash, Index, Key, Table};
use crate::time::Time;
use crate::wire::{self, Ack, Checks, Control, Glance, Plain, Seq, protocol};

/// One packet of a burst.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Its tuple: of what is not plain the one that it seems to bear, or [`Key::NOBODYS`].
    pub(super) key: Key,
    pub(super) hash: Hash,
    /// A plain segment's numbers.
    pub(super) ack: Ack,
    /// A plain segment's IP length in bytes.
    pub(super) length: u32,
    /// The place where its connection most likely is; [`Index::NOWHERE`] if there is none.
    pub(super) candidate: Index,
    pub(super) kind: Kind,
    /// As in its [`Arrival`](super::Arrival).
    pub(super) admission: Admission,
    pub(super) at: Time,
}

/// What a packet of a burst is, and so where it is judged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A plain segment with an acknowledgement, and neither SYN nor RST.
    Stream,
    /// A plain segment with a SYN.
    Opening,
    /// Anything else.
    Other,
}

impl Slot {
    /// Nothing yet.
    const EMPTY: Slot = Slot {
        key: Key::NOBODYS,
        hash: Hash::NOBODYS,
        ack: Ack { seq: Seq(0), ack: Seq(0), payload: 0, control: Control::NONE },
        length: 0,
        candidate: Index::NOWHERE,
        kind: Kind::Other,
        admission: Admission::ANY,
        at: Time::from_nanoseconds(0),
    };

    #[inline(always)]
    fn fill(&mut self, kind: Kind, plain: &Plain<'_>, zone: u16, table: &Table) {
        let ports = (plain.ports.source, plain.ports.destination);
        // A plain frame has addresses.
        let Some(key) = key(plain.addresses, ports, protocol::TCP, zone) else { return self.forget() };
        self.key = key;
        self.hash = table.hash(&key);
        self.ack = plain.ack;
        self.length = plain.length;
        self.kind = kind;
    }

    /// Of the packet nothing is known.
    #[inline(always)]
    const fn forget(&mut self) {
        self.kind = Kind::Other;
        (self.key, self.hash) = (Key::NOBODYS, Hash::NOBODYS);
    }

    /// Reads a frame that is no plain segment of a stream; what is no SYN either is only glanced at.
    #[inline(never)]
    fn fill_otherwise<A: Arrivals>(&mut self, arrivals: &A, place: usize, checks: Checks, table: &Table) {
        let arrival = arrivals.arrival(place);
        if let Some(plain) = Plain::opening(&arrival.frame, checks) {
            self.fill(Kind::Opening, &plain, arrival.zone, table);
            return table.prefetch_insertion(self.hash);
        }
        self.forget();
        // Only for what is fetched: whose it is, and what is right about it, is asked when it is judged.
        let key = match Glance::at(&arrival.frame) {
            Some(Glance { addresses, protocol, ports }) => {
                key(addresses, (ports.source, ports.destination), protocol, arrival.zone)
            }
            None => key_of(&wire::parse(&arrival.frame, Checks::NONE), arrival.zone),
        };
        if let Some(key) = key {
            self.key = key;
            self.hash = table.hash(&key);
        }
    }
}

/// The packets of a burst between two stages.
#[derive(Debug, Clone)]
pub struct Burst {
    slots: [Slot; BURST],
    /// How many of them hold a packet.
    count: usize,
}

impl Default for Burst {
    fn default() -> Burst {
        Burst::new()
    }
}

impl Burst {
    /// No packets yet.
    #[inline(always)]
    pub const fn new() -> Burst {
        Burst { slots: [Slot::EMPTY; BURST], count: 0 }
    }

    /// Whether no packet waits for its verdict.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets all packets.
    pub(super) const fn clear(&mut self) {
        self.count = 0;
    }

    /// Reads the frames and has the index's lines fetched.
    #[inline(always)]
    pub(super) fn read<A: Arrivals>(&mut self, arrivals: &A, checks: Checks, table: &Table) {
        self.count = arrivals.count().min(BURST);
        for (place, slot) in self.slots.iter_mut().enumerate().take(self.count) {
            let arrival = arrivals.arrival(place);
            slot.admission = arrival.admission;
            slot.at = arrival.at;
            slot.candidate = Index::NOWHERE;
            // In two arms, though they say the same: what both had in common would go through memory once more.
            if let Some(plain) = Plain::v4(&arrival.frame, checks) {
                slot.fill(Kind::Stream, &plain, arrival.zone, table);
            } else if let Some(plain) = Plain::v6(&arrival.frame, checks) {
                slot.fill(Kind::Stream, &plain, arrival.zone, table);
            } else {
                slot.fill_otherwise(arrivals, place, checks, table);
            }
        }
        // In a loop of their own: where translating an address takes long, a prefetch waits for that, and as many wait at
        // once as the processor has room for their loop's instructions.
        for slot in self.slots.iter().take(self.count) {
            table.prefetch_bucket(slot.hash);
        }
    }

    /// The packets, in order.
    #[inline(always)]
    pub(super) fn slots(&self) -> &[Slot] {
        self.slots.get(..self.count).unwrap_or_default()
    }

    /// Finds the places where the connections most likely are, and has them fetched.
    #[inline(always)]
    pub(super) fn locate(&mut self, table: &Table) {
        for slot in self.slots.iter_mut().take(self.count) {
            let Some(candidate) = table.candidate(slot.hash) else { continue };
            table.prefetch_connection(candidate, slot.key.is_v6());
            slot.candidate = candidate;
        }
    }
}
