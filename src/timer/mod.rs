//! When connections are looked at again: a hierarchical timing wheel.
//!
//! Time is [`Tick`]s of one millisecond on a circle of 2^32. Four levels of 256 slots cover it, one for
//! each byte of a tick; a slot is the head of a doubly linked list of *places* (indexes of connections).
//! With the wheel's hand at tick `A.B.C.D`, an entry for tick
//!
//! ```text
//!   A.B.C.d  lies in level 0, slot d   one slot is      1 ms, the level     256 ms
//!   A.B.c.*  lies in level 1, slot c   one slot is    256 ms, the level      65 s
//!   A.b.*.*  lies in level 2, slot b   one slot is     65 s,  the level     4.6 h
//!   a.*.*.*  lies in level 3, slot a   one slot is    4.6 h,  the level    49.7 d
//!
//!   level 3  ····A▒▒·····▒····   the hand stands at D; to its right lies the future, on level 3 all round.
//!   level 2  ·······B··▒······   ▒: occupied, one bit each in the wheel's occupancy map.
//!   level 1  ··C▒▒▒▒▒·▒·······   When the hand enters a slot of a higher level, that slot's entries
//!   level 0  ··········D▒▒··▒▒   cascade: they are filed again, at least one level down.
//! ```
//!
//! So everything in a lower level lies before everything in a higher one, and the next thing to do is the
//! first occupied slot right of the hand in the lowest level that has one: a few bit operations, whether
//! it is a millisecond or twenty days away.
//!
//! # Life of an entry
//!
//! ```text
//!               file                 hand arrives, deadline has passed
//!   unfiled ─────────────► filed ──────────────────────────────────────► unfiled, `due(place)`
//!      ▲                   │   ▲ │
//!      └───── unfile ──────┘   └─┘ hand arrives, deadline has moved: filed again
//! ```
//!
//! A packet that prolongs a connection only writes its deadline; the wheel is not told. When the hand
//! comes to the entry it reads [`Storage::deadline`] and files it again if it is not time yet. Only a
//! deadline that moves *earlier* must be told ([`Wheel::refile`]), or it would be noticed late.
//!
//! # Who may call
//!
//! The owner of the connections (one thread), at any moment, also while the wheel is behind or stopped in
//! the middle of a slot. The lists' links lie in the connections and the heads beside them, in memory that
//! the caller owns ([`Storage`]); the wheel itself is a hand and a bitmap. [`Wheel::new`] needs nothing
//! that it left behind earlier, so whoever maps surviving connections files them again.

mod occupancy;
mod wheel;

#[cfg(test)]
mod tests;

pub use wheel::{Progress, Wheel};

use crate::time::Tick;

/// How many list heads a [`Storage`] must have room for: four levels of 256 slots.
pub const SLOTS: usize = 4 * 256;

/// No place: the end of a list.
pub const NONE: u32 = u32::MAX;

/// The highest place that can be filed: the upper bit of a link tells a slot from a place.
pub const MAX_PLACE: u32 = (1 << 31) - 1;

/// An entry's neighbours in the list of its slot.
///
/// The first entry of a list has no predecessor; in its stead `previous` says which slot's head points to
/// it, so that it can be unlinked without knowing when it was filed:
///
/// ```text
///   head(slot) ──► place 7 ──────────► place 3 ──────────► NONE
///                  previous: 2^31+slot  previous: 7
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links {
    /// The entry after this one, or [`NONE`].
    pub next: u32,
    /// The entry before this one; 2^31 + slot for the first of a slot; [`NONE`] for what is not filed.
    pub previous: u32,
}

impl Links {
    /// The links of an entry that is in no list. Storage that may be asked to unfile an entry which was
    /// never filed must begin with these.
    pub const UNFILED: Links = Links { next: NONE, previous: NONE };

    /// Whether an entry with these links is in a list.
    pub const fn is_filed(self) -> bool {
        self.previous != NONE
    }
}

/// The memory that the wheel's lists lie in, and where the deadlines are.
///
/// Places are indexes of the caller, at most [`MAX_PLACE`]; slots are below [`SLOTS`]. All methods take
/// `&self`: the real storage is a mapping of atomics that other threads may read.
pub trait Storage {
    /// The first entry of `slot`, or [`NONE`].
    fn head(&self, slot: usize) -> u32;
    /// Makes `place` (or [`NONE`]) the first entry of `slot`.
    fn set_head(&self, slot: usize, place: u32);
    /// The links of `place`.
    fn links(&self, place: u32) -> Links;
    /// Writes the links of `place`.
    fn set_links(&self, place: u32, links: Links);
    /// When `place` is due, as its connection has it now: it may have moved since it was filed.
    fn deadline(&self, place: u32) -> Tick;
}
