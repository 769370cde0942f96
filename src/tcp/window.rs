//! Whether a segment's numbers fit what both endpoints have said (after van Rooij, "Real Stateful TCP Packet
//! Filtering in IP Filter", and RFC 5961 section 5.2 for the acknowledgement).
//!
//! ```text
//!             expected[0]                                               expected[1]
//!                  │◄─ largest window the receiver has offered ─► end ◄─ may still be sent ─► limit
//!  ────────────────┼─────────────────────────────────────────────┼────────────────────────┼────► seq
//!      ▒▒▒▒▒▒▒▒▒▒▒▒█████ fits: its last byte is inside            fits: its first is █████▒▒▒▒▒▒▒▒▒
//! ```
//!
//! A segment fits if its first or its last byte does (RFC 9293 section 3.10.7.4): an endpoint trims what is
//! outside, or takes it whole. So `end` may come to lie beyond `limit`, by a segment's length and no more.

use super::connection::Connection;
use super::refusal::Refusal;
use crate::wire::{Direction, Segment, Seq};

/// The range of sequence numbers in which `sender` may send now, the second one excluded.
#[inline]
pub(super) fn sequence_range(connection: &Connection, sender: Direction) -> [Seq; 2] {
    let peer = connection.peer(sender);
    // At least one byte back: a keep-alive repeats the last one (RFC 9293 section 3.8.4).
    let window = connection.window(sender.opposite()).max(1);
    // What lies beyond the window, a probe or what overhangs it, is not back yet: its receiver may have trimmed
    // it, and then all that is in flight is longer than the window, and may have to be sent again.
    let reached = if peer.end.is_after(peer.limit) { peer.limit } else { peer.end };
    let low = reached.minus(window);
    // Nor is anything that was not acknowledged, such as the data on a SYN (RFC 7413) whose answer offers less.
    let acked = connection.peer(sender.opposite()).ack;
    let is_known = connection.marks.has_acked(sender.opposite());
    [if is_known && acked.is_before(low) { acked } else { low }, peer.limit]
}

/// The range of acknowledgements that `sender` may send now.
///
/// RFC 5961 section 5.2 goes one window back from the other's SND.UNA, and that can lag behind what came by here: the
/// acknowledgement that moved it may be under way behind the tracker, or lost. But whoever has sent up to `end`
/// had everything acknowledged up to one window before it.
#[inline]
pub(super) fn ack_range(connection: &Connection, sender: Direction) -> [Seq; 2] {
    let other = connection.peer(sender.opposite());
    // Picked up by a segment that was sent again, it had sent more before: how far it may have, is known. Behind a FIN
    // there is nothing.
    let may_have_sent_more = connection.marks.is_picked_up() && !connection.has_sent_fin(sender.opposite());
    let highest = if may_have_sent_more { other.end.max(other.limit) } else { other.end };
    let lowest = if connection.marks.has_acked(sender) {
        let window = connection.window(sender).max(1);
        let acked = connection.peer(sender).ack.minus(window);
        let surely_acked = other.end.minus(window).minus(window);
        // Picked up in mid-stream, the window is the widest there is, and one of those is far enough back.
        let reaches = surely_acked.is_before(acked) && !connection.marks.is_picked_up();
        if reaches { surely_acked } else { acked }
    } else {
        // Nothing acknowledged yet: the other's SYN at least, where it was seen (RFC 9293 section 3.10.7.4).
        let initial = connection.initial(sender.opposite());
        initial.map_or(highest.minus(i32::MAX as u32), |initial| initial.plus(1))
    };
    [lowest, highest]
}

/// Whether the segment's first or last byte lies where its sender may send now. One byte more may follow: a
/// zero-window probe (RFC 9293 section 3.8.6.1), or a FIN at the edge. What was let through may be repeated.
pub(super) fn is_in_window(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    let [low, limit] = sequence_range(connection, sender);
    let end = segment.end();
    let last = end.minus(segment.length().min(1));
    let begins_inside = segment.seq.is_before(limit);
    let at_the_edge = !end.is_after(limit.plus(1).max(connection.peer(sender).end));
    !last.is_before(low) && (begins_inside || at_the_edge)
}

/// The lowest and the highest sequence number with which a segment of `sender` that takes `length` of them would be
/// in the window: the same rule as [`is_in_window`], for whoever asks what would have been right.
pub(super) fn starts_in_window(connection: &Connection, sender: Direction, length: u32) -> [Seq; 2] {
    let [low, limit] = sequence_range(connection, sender);
    let at_the_edge = limit.plus(1).max(connection.peer(sender).end).minus(length);
    [low.minus(length - length.min(1)), limit.minus(1).max(at_the_edge)]
}

/// Whether the segment reaches so far beyond the window that its receiver may have cut its end off.
pub(super) fn overhangs(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    segment.end().is_after(connection.peer(sender).limit.plus(1))
}

/// How many pairs of a sequence number and an acknowledgement of `sender` fit: the fewer there are, the more it says
/// that a segment does.
pub(super) fn room(connection: &Connection, sender: Direction) -> u64 {
    let [sequence, acknowledgement] = [sequence_range(connection, sender), ack_range(connection, sender)]
        .map(|[low, high]| if high.is_before(low) { 1 } else { 1 + u64::from(high.offset_from(low)) });
    sequence * acknowledgement
}

/// Whether a segment acknowledges what its receiver has sent and `sender` has not acknowledged yet, or the newest of
/// what it has.
pub(super) fn acknowledges_news(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    let [low, high] = ack_range(connection, sender);
    let low = if connection.marks.has_acked(sender) { connection.peer(sender).ack } else { low };
    !segment.ack.is_before(low) && !segment.ack.is_after(high)
}

/// Whether `segment`, which bears an ACK, fits; the refusal otherwise.
pub(super) fn check(
    connection: &Connection,
    sender: Direction,
    segment: &Segment<'_>,
) -> Result<(), Refusal> {
    if !is_in_window(connection, sender, segment) {
        return Err(Refusal::OutOfWindow);
    }
    let [low, high] = ack_range(connection, sender);
    if segment.ack.is_before(low) || segment.ack.is_after(high) {
        return Err(Refusal::AckOutOfWindow);
    }
    Ok(())
}
