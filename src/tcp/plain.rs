//! The hot path: a segment of a connection that is open on both sides, in order, with nothing but an
//! acknowledgement, a window and data.
//!
//! ```text
//!           low                                  sender.end           limit + 1
//!  ──────────┼─────────────────────────────────────┼─────────────────────┼────────► seq
//!            │◄──── largest window offered ───────►│◄── may be sent ────►│
//!            └──────── seq lies here ──────────────┘
//!            └─────────────── seq + payload lies here ──────────────────┘
//! ```
//!
//! It answers only what [`judge`](super::judge) would answer in the same numbers, and leaves everything else
//! (`None`) to it; every test of the tracker holds both against each other. It works on the words that a
//! connection is kept in, the sender's [`Half`] and the other's: which of the two is the originator's makes no
//! difference, so there is no branch on it. Directions alternate at random, and it would be mispredicted every other
//! packet.

use super::connection::{Connection, Half, Peer};
use crate::wire::{Ack, Direction, Segment};

/// What a segment on the hot path changes: both words of its sender, and the other endpoint's `reach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The sender's half.
    pub own: Half,
    /// How far the other endpoint has sent and may send.
    pub other_reach: u64,
}

/// Judges a segment against the halves of its sender (`own`) and of the `other` endpoint. `None` where it takes
/// more than the hot path.
///
/// Nearly every segment begins where its sender's last one ended and acknowledges no less than that one. Then it is
/// in the window wherever that begins, and two maxima are known: half of the work.
#[inline(always)]
pub fn judge_plain(own: Half, other: Half, segment: &Ack) -> Option<Moved> {
    let (sender, receiver) = (own.peer(), other.peer());
    // Each difference has its highest bit set where the first number lies before the second: so there is one branch
    // and not four.
    let outside = sender.limit.plus(1).offset_from(segment.data_end())
        | segment.ack.offset_from(sender.ack)
        | receiver.end.offset_from(segment.ack)
        | segment.control.fin_highest();
    if segment.seq != sender.end || outside >> 31 != 0 || !own.is_plain_with(other) {
        return None;
    }
    Some(moved(own, other, segment, Peer { end: segment.data_end(), ack: segment.ack, ..sender }))
}

/// As [`judge_plain`], for a segment that was sent before, or was overtaken.
// Apart from it: whoever asks for both in one place keeps registers for what hardly ever comes.
#[cold]
pub fn judge_repeated(own: Half, other: Half, segment: &Ack) -> Option<Moved> {
    if segment.control.has_fin() || !own.is_plain_with(other) {
        return None;
    }
    let (sender, receiver) = (own.peer(), other.peer());
    // As `window::check`, for a segment that opens no hole.
    let receiver_window = (u32::from(receiver.window) << other.scale()).max(1);
    let sender_window = (u32::from(sender.window) << own.scale()).max(1);
    let outside = segment.seq.offset_from(sender.end.minus(receiver_window))
        | sender.end.offset_from(segment.seq)
        | sender.limit.plus(1).offset_from(segment.data_end())
        | segment.ack.offset_from(sender.ack.minus(sender_window))
        | receiver.end.offset_from(segment.ack);
    if outside >> 31 != 0 {
        return None;
    }
    let (end, ack) = (sender.end.max(segment.data_end()), sender.ack.max(segment.ack));
    Some(moved(own, other, segment, Peer { end, ack, ..sender }))
}

/// What a segment that fits changes, beside how far its `sender` has come by it.
#[inline(always)]
fn moved(own: Half, other: Half, segment: &Ack, sender: Peer) -> Moved {
    let receiver = other.peer();
    let sender = Peer { window: sender.window.max(segment.control.window()), ..sender };
    let right_edge = segment.ack.plus(u32::from(segment.control.window()) << own.scale());
    let receiver = Peer { limit: receiver.limit.max(right_edge), ..receiver };
    Moved { own: own.with(&sender), other_reach: other.with(&receiver).reach }
}

impl Connection {
    /// The connection after a segment of `sender`, if [`judge_plain`] or [`judge_repeated`] takes it: for whoever has a connection at hand
    /// rather than in a table.
    pub fn after_plain(&self, sender: Direction, segment: &Segment<'_>) -> Option<Connection> {
        let (own, other) = (self.half(sender), self.half(sender.opposite()));
        let ack = Ack::of(segment)?;
        let moved = judge_plain(own, other, &ack).or_else(|| judge_repeated(own, other, &ack))?;
        let mut next = *self;
        *next.peer_mut(sender) = moved.own.peer();
        *next.peer_mut(sender.opposite()) = Half { reach: moved.other_reach, ..other }.peer();
        Some(next)
    }
}
