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
//! Nearly all packets are [`Plain`], those that open a connection as well; the others are parsed whole and lie apart, so
//! that what nearly all take is small and lies together.
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
    /// The place where its connection most likely is; [`Index::NOWHERE`] if there is none.
    pub(super) candidate: Index,
    pub(super) kind: Kind,
}

/// What a packet of a burst is, and so where it is judged.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A plain segment with an acknowledgement, and neither SYN nor RST.
    Stream,
    /// A plain segment with a SYN.
    Opening,
    /// Anything else: the packet of this number.
    Other(u8),
}

impl<'a> Slot<'a> {
    /// Nothing yet.
    pub(super) const EMPTY: Slot<'static> = Slot {
        key: Key::v4((0, 0), (0, 0), 0, 0),
        hash: Hash::NOBODYS,
        ack: Ack { seq: Seq(0), ack: Seq(0), payload: 0, control: Control::NONE },
        length: 0,
        candidate: Index::NOWHERE,
        kind: Kind::Stream,
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

/// Reads a frame that is no plain segment of a stream, into a slot that is [`Slot::EMPTY`]. What does not open a
/// connection goes to the other packets.
#[inline(never)]
fn read_other<'a>(
    slot: &mut Slot<'a>,
    packets: &mut ArrayVec<Packet<'a>, BURST>,
    arrival: &Arrival<'a>,
    checks: Checks,
    table: &Table,
) {
    if let Some(plain) = Plain::opening(&arrival.frame, checks) {
        slot.kind = Kind::Opening;
        slot.fill(&plain, arrival.zone, table);
        table.prefetch_insertion(slot.hash);
        return;
    }
    let packet = wire::parse(&arrival.frame, checks);
    slot.kind = Kind::Other(packets.len() as u8);
    if let Some(key) = key_of(&packet, arrival.zone) {
        slot.key = key;
        slot.hash = table.hash(&key);
        table.prefetch_bucket(slot.hash);
    }
    // Never more than BURST: there are no more slots.
    let _ = packets.try_push(packet);
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
                read_other(slot, &mut self.packets, arrival, checks, table);
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
            slot.candidate = candidate;
        }
    }

    /// The packet of a slot, whole: one that took the hot path's reading is parsed again where it has to be judged
    /// after all.
    #[inline(never)]
    pub(super) fn packet(&self, slot: &Slot<'a>, arrival: &Arrival<'a>, checks: Checks) -> Packet<'a> {
        let parsed = match slot.kind {
            Kind::Stream | Kind::Opening => None,
            Kind::Other(number) => self.packets.get(usize::from(number)),
        };
        parsed.copied().unwrap_or_else(|| wire::parse(&arrival.frame, checks))
    }
}
