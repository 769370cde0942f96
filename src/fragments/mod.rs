//! Fragments: held until their datagram is complete, so that it can be judged once.
//!
//! Only what a judgement needs is kept of a piece: where it belongs, a keyed hash of its content, its part
//! of the checksum, and of the datagram's beginning the first [`HEAD`] bytes. The frames themselves stay
//! with the caller, who knows them by a [`Token`] and is told what becomes of them.
//!
//! ```text
//!   piece ── hold ──► Waiting                        the frame stays with the caller
//!                 ├─► Complete(Whole)                all frames, in order of arrival, share one verdict
//!                 └─► Refused { reason, pieces }     all frames held so far and this one are dropped
//!         ── expire ► token, token, …                time is up: `fragment_incomplete`
//!
//!   a datagram:   offset 0      8      16                 end
//!                 ├── piece ────┼ piece ┤·····hole·····├ piece ┤     a bit for every 8 bytes
//!                 └─ head ──────────────────►                        the first 512 bytes themselves
//! ```
//!
//! # Life of a datagram
//!
//! ```text
//!            first piece        last hole filled
//!   (none) ─────────────► held ──────────────────────────────────► (none), `Complete`
//!                          │ │  timeout after the first piece
//!                          │ └───────────────────────────────────► (none), `expire` hands out its pieces
//!                          │ contradiction, or too many pieces     same timeout
//!                          └──────────────────────────► marked ──► (none)
//!                                  later pieces: the same refusal
//! ```
//!
//! # What contradicts
//!
//! RFC 5722 (now in RFC 8200 section 4.5) has overlapping IPv6 fragments dropped with their datagram; the
//! same is done for IPv4, where RFC 791 would let the last to arrive win and no two systems agree. An
//! *exact repetition* is not an overlap (RFC 8200 lets it be ignored): same offset, same length, same
//! content. It is held like the others and counts in `ip_bytes`, but not in payload and sum.
//! [`Fault::Overlap`] is also the name for what cannot belong to one datagram: two different ends, data at
//! or past the end, an end beyond 65,535 bytes, a piece without data, or one that is not the last and does
//! not fill whole 8-byte blocks. `wire` refuses what is impossible in a single piece before it comes here.
//!
//! A datagram is known by zone, source, destination and identification, in IPv4 also by protocol (RFC 791
//! section 3.2); in IPv6 the next header of the piece at offset 0 counts (RFC 8200 section 4.5). An IPv6
//! piece that is a whole datagram by itself is complete at once, whatever else bears its identification
//! (RFC 6946).
//!
//! # Limits
//!
//! At most [`Policy::max`] pieces are held; the one too many makes its datagram invalid ([`Fault::Limit`]).
//! At most as many datagrams stay marked; beyond that the mark made first is forgotten. What comes of such
//! a datagram then begins a new one, which cannot complete with anything that was refused earlier: those
//! pieces were dropped, and no receiver has them. Everything is allocated by [`Reassembly::new`].
//!
//! Called by the shard, for each fragment; [`Reassembly::expire`] before each burst.

mod blocks;
mod key;
mod pool;
mod reassembly;

#[cfg(test)]
mod tests;

pub use reassembly::Reassembly;

use crate::time::Span;
use crate::wire::Addresses;
use crate::wire::checksum::Sum;

/// How many bytes of a datagram's payload are kept: the longest chain of extension headers that is
/// followed, and any transport header after it, fit.
pub const HEAD: usize = 512;

/// The `[fragments]` section of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The most pieces held at any time.
    pub max: u32,
    /// How long after its first piece a datagram may be incomplete.
    pub timeout: Span,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { max: 4096, timeout: Span::from_milliseconds(15_000) }
    }
}

/// The caller's name for a frame that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Why fragments are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fault {
    /// The time was up before the datagram was complete.
    Incomplete,
    /// Pieces overlap, or contradict each other in another way.
    Overlap,
    /// One piece more than may be held.
    Limit,
}

impl Fault {
    /// Every fault, in the order of their numbers.
    pub const ALL: [Fault; 3] = [Fault::Incomplete, Fault::Overlap, Fault::Limit];

    /// The name in JSON and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Incomplete => "fragment_incomplete",
            Fault::Overlap => "fragment_overlap",
            Fault::Limit => "fragment_limit",
        }
    }
}

/// What became of a piece.
#[derive(Debug, Clone, Copy)]
pub enum Held<'a> {
    /// It is held; [`Reassembly`] will name its token again, exactly once.
    Waiting,
    /// It was the last one missing: its datagram is no longer held and can be judged.
    Complete(Whole<'a>),
    /// It and what was held of its datagram is invalid, and no longer held.
    Refused {
        /// Why.
        reason: Fault,
        /// The pieces, in order of arrival; this one is the last of them.
        pieces: &'a [Token],
    },
}

/// A complete datagram.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// The addresses that all of its pieces bear.
    pub addresses: Addresses<'a>,
    /// VLAN identifier of the piece at offset 0.
    pub vlan: u16,
    /// The zone of all its pieces.
    pub zone: u16,
    /// IPv4's protocol, or the next header that the fragment header of the piece at offset 0 names.
    pub next_header: u8,
    /// The beginning of the payload: up to [`HEAD`] bytes, fewer where it is shorter or a snap length cut.
    pub head: &'a [u8],
    /// The payload's length in bytes.
    pub payload_length: u32,
    /// The sum of its pieces' IP lengths in bytes, repetitions included.
    pub ip_bytes: u64,
    /// The ones' complement sum over the payload; none if a snap length cut any piece.
    pub sum: Option<Sum>,
    /// All pieces, in order of arrival.
    pub pieces: &'a [Token],
}
