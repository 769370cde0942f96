//! When connections are looked at again: a hierarchical timing wheel.
//!
//! Time is [`Tick`]s of one millisecond on a circle of 2^32. Three levels of slots cover it, one for the lower half
//! of a tick and one for each byte of the upper half; a slot is the head of a doubly linked list of *places* (indexes
//! of connections).
//!
//! ```text
//!   due within    lies in level   one slot is   slots
//!   65.5 s               0            1 ms      65536
//!   4.6 h                1           65.5 s       256
//!   24.8 d               2            4.6 h       256
//!
//!   level 2  ····A▒▒·····▒····   the hand stands at A.B.C; to its right, and round to its left, lies the future.
//!   level 1  ··▒····B··▒······   ▒: occupied, one bit each in the wheel's occupancy map.
//!   level 0  ▒·········C▒▒··▒▒   When the hand enters a slot of a higher level, that slot's entries cascade: they
//!                                are filed again, farther down unless their deadlines have moved.
//! ```
//!
//! The next thing to do is the first occupied slot ahead of the hand on any level: a few bit operations, whether it is
//! a millisecond or twenty days away. The lowest level is as long as most timers of a closing connection (2 MSL above
//! all: 60 s), so these are filed once and met once: each meeting costs a fetch of two lines that nobody has
//! touched for a while.
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
//! the caller owns ([`Storage`]); the wheel itself is a hand and bitmaps. [`Wheel::new`] begins
//! with heads of [`NONE`], so whoever maps surviving connections resets these and files them again.

mod occupancy;
mod wheel;

#[cfg(test)]
mod tests;

pub use wheel::{Progress, Wheel};

use crate::time::Tick;

/// How many list heads a [`Storage`] must have room for: those of the lowest level, and twice 256.
pub const SLOTS: usize = 65_536 + 2 * 256;

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
    /// Writes the one that leads forward.
    #[inline]
    fn set_next(&self, place: u32, next: u32) {
        self.set_links(place, Links { next, ..self.links(place) });
    }
    /// Writes the one that leads back.
    #[inline]
    fn set_previous(&self, place: u32, previous: u32) {
        self.set_links(place, Links { previous, ..self.links(place) });
    }
    /// When `place` is due, as its connection has it now: it may have moved since it was filed.
    fn deadline(&self, place: u32) -> Tick;
    /// Has the processor fetch the links and the deadline of `place`, which are asked for soon.
    fn prefetch(&self, place: u32) {
        let _ = place;
    }
}
