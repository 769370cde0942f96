//! A burst on its way: what is known of each of its packets between one stage and the next.
//!
//! ```text
//!            read                         locate                  judge
//!  Arrival ───────► Slot { key, hash, ack } ───────► { candidate } ──────► Verdict
//!                     │ bucket fetched              │ connection fetched
//!                     └ or the number of a whole Packet, which lies beside the slots
//! ```
//!
//! Each stage runs over the whole burst, so that the memory that the next one needs arrives in the meantime.
//! Nearly all packets are [`Plain`]; the others are parsed whole and lie apart, so that what nearly all take
//! is small and lies together.
//!
//! Life cycle: made, filled and dropped within one [`Shard::process`](super::Shard::process).

use arrayvec::ArrayVec;

use super::{Arrival, BURST, key, key_of};
use crate::table::{Hash, Index, Key, Table};
use crate::wire::{self, Ack, Checks, Control, Packet, Plain, Seq, protocol};

/// One packet of a burst.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    /// Its tuple; of what bears none, any.
    pub(super) key: Key<'a>,
    pub(super) hash: Hash,
    /// A plain segment's numbers.
    pub(super) ack: Ack,
    /// A plain segment's IP length in bytes.
    pub(super) length: u32,
    /// The place where a plain segment's connection most likely is; [`Index::NOWHERE`] for all else.
    pub(super) candidate: Index,
    /// One more than the number of its packet, if it is not plain.
    other: u8,
}

impl<'a> Slot<'a> {
    /// Nothing yet.
    pub(super) const EMPTY: Slot<'static> = Slot {
        key: Key::v4((0, 0), (0, 0), 0, 0),
        hash: Hash::NOBODYS,
        ack: Ack { seq: Seq(0), ack: Seq(0), payload: 0, control: Control::NONE },
        length: 0,
        candidate: Index::NOWHERE,
        other: 0,
    };

    #[inline(always)]
    fn fill(&mut self, plain: &Plain<'a>, zone: u16, table: &Table) {
        let ports = (plain.ports.source, plain.ports.destination);
        // A plain frame has addresses.
        let Some(key) = key(plain.addresses, ports, protocol::TCP, zone) else { return };
        self.key = key;
        self.hash = table.hash(&key);
        table.prefetch_bucket(self.hash);
        self.ack = plain.ack;
        self.length = plain.length;
    }
}

/// Reads a frame that is not plain; its packet goes to the others.
#[inline(never)]
fn read_other<'a>(
    packets: &mut ArrayVec<Packet<'a>, BURST>,
    arrival: &Arrival<'a>,
    checks: Checks,
    table: &Table,
) -> Slot<'a> {
    let packet = wire::parse(&arrival.frame, checks);
    // Never more than BURST: there are no more slots.
    let _ = packets.try_push(packet);
    let other = packets.len() as u8;
    let Some(key) = key_of(&packet, arrival.zone) else { return Slot { other, ..Slot::EMPTY } };
    let hash = table.hash(&key);
    table.prefetch_bucket(hash);
    Slot { key, hash, other, ..Slot::EMPTY }
}

/// The packets of a burst.
pub(super) struct Burst<'a, 's> {
    /// One for each arrival, in their order. Kept by the caller: to move them in here would cost more than to fill
    /// one of them does.
    slots: &'s mut [Slot<'a>],
    packets: ArrayVec<Packet<'a>, BURST>,
}

impl<'a, 's> Burst<'a, 's> {
    /// As many packets as there are `slots`, of which nothing is known yet.
    #[inline(always)]
    pub(super) const fn new(slots: &'s mut [Slot<'a>]) -> Burst<'a, 's> {
        Burst { slots, packets: ArrayVec::new_const() }
    }

    /// Reads the frames and has the index's lines fetched.
    #[inline(always)]
    pub(super) fn read(&mut self, arrivals: &[Arrival<'a>], checks: Checks, table: &Table) {
        for (slot, arrival) in self.slots.iter_mut().zip(arrivals) {
            // In two arms, though they say the same: what both had in common would go through memory once more.
            if let Some(plain) = Plain::v4(&arrival.frame, checks) {
                slot.fill(&plain, arrival.zone, table);
            } else if let Some(plain) = Plain::v6(&arrival.frame, checks) {
                slot.fill(&plain, arrival.zone, table);
            } else {
                *slot = read_other(&mut self.packets, arrival, checks, table);
            }
        }
    }

    /// The packets, in order.
    #[inline(always)]
    pub(super) fn slots(&self) -> &[Slot<'a>] {
        self.slots
    }

    /// Finds the places where the connections most likely are, and has them fetched.
    #[inline(always)]
    pub(super) fn locate(&mut self, table: &Table) {
        for slot in self.slots.iter_mut() {
            let Some(candidate) = table.candidate(slot.hash) else { continue };
            table.prefetch_connection(candidate, slot.key.is_v6());
            if slot.other == 0 {
                slot.candidate = candidate;
            }
        }
    }

    /// The packet of a slot, whole: one that took the hot path's reading is parsed again where it has to be judged
    /// after all.
    #[inline(never)]
    pub(super) fn packet(&self, slot: &Slot<'a>, arrival: &Arrival<'a>, checks: Checks) -> Packet<'a> {
        let parsed = usize::from(slot.other).checked_sub(1).and_then(|number| self.packets.get(number));
        parsed.copied().unwrap_or_else(|| wire::parse(&arrival.frame, checks))
    }
}
