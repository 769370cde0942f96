//! Which RST counts (RFC 5961 section 3, seen from the middle).
//!
//! ```text
//!                 exact                             exact
//!       invalid     │   inside, not exact: inexact_rst │   inside: inexact_rst      invalid
//!  ─────────────────┼──────────────────────────────────┼──────────────────────┼────────────► seq
//!       highest ack of its receiver      contiguous end of its sender       limit
//! ```
//!
//! Two numbers are exact because two things can be true: the receiver expects the byte it has acknowledged,
//! or, while its acknowledgement is under way, the byte behind what was let through to it.
//!
//! An RST that refuses a SYN which met the live connection (a peer that has lost its state) counts as inside:
//! whoever sent that SYN has to hear it, but it must not end the connection, since anybody can have sent the
//! SYN and then knows what to acknowledge. So does one that refuses the SYN of a handshake whose answer was let
//! through, since that may have been lost behind us; if it was not, the endpoint passes it over.

use super::connection::Connection;
use super::irregular::{Irregular, Kind};
use super::refusal::Refusal;
use super::remember;
use super::state::State;
use super::window;
use crate::wire::{Direction, Flags, Segment, Seq};

/// How an RST stands to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exactness {
    /// At the very next byte: it counts.
    Exact,
    /// Inside the window only.
    Inside,
}

/// The end of what was let through of `sender` without a gap.
pub(super) fn contiguous(connection: &Connection, irregular: &Irregular, sender: Direction) -> Seq {
    if connection.marks.has_hole(sender) {
        irregular.streams[sender.index()].contiguous
    } else {
        connection.peer(sender).end
    }
}

/// Holds an RST of `sender` against the connection.
pub(super) fn exactness(
    connection: &Connection,
    irregular: &Irregular,
    sender: Direction,
    segment: &Segment<'_>,
) -> Result<Exactness, Refusal> {
    let receiver = sender.opposite();
    if connection.state(receiver) == State::SynSent || !connection.has_numbers(sender) {
        return answers_syn(connection, irregular, receiver, segment);
    }
    let contiguous = contiguous(connection, irregular, sender);
    let acked = connection.marks.has_acked(receiver).then(|| connection.peer(receiver).ack);
    if segment.seq == contiguous || acked == Some(segment.seq) {
        return Ok(Exactness::Exact);
    }
    let lowest = acked.unwrap_or(contiguous);
    // What overhangs the window was let through and may have been taken.
    let peer = connection.peer(sender);
    let below = segment.seq.is_before(peer.limit) || !segment.seq.is_after(peer.end);
    let inside = segment.seq.is_after(lowest) && below;
    let refuses = answers_remembered(connection, irregular, receiver, segment)
        || connection.state(sender) == State::SynReceived
            && segment.flags.has(Flags::ACK)
            && connection.acknowledges_syn(receiver, segment.ack);
    if inside || refuses { Ok(Exactness::Inside) } else { Err(Refusal::OutOfWindow) }
}

/// Whether the segment acknowledges exactly the SYN of `receiver` that met the live connection.
fn answers_remembered(
    connection: &Connection,
    irregular: &Irregular,
    receiver: Direction,
    segment: &Segment<'_>,
) -> bool {
    let syn = remember::recall(connection, irregular, receiver, Kind::Syn);
    segment.flags.has(Flags::ACK) && syn.is_some_and(|syn| syn.is_answered_by(segment.ack))
}

/// An RST that reaches SYN_SENT must acknowledge exactly the SYN (RFC 9293 section 3.10.7.3), the one that
/// began the connection or the one that was sent in its place.
fn answers_syn(
    connection: &Connection,
    irregular: &Irregular,
    receiver: Direction,
    segment: &Segment<'_>,
) -> Result<Exactness, Refusal> {
    let own = connection.initial(receiver).map(|initial| initial.plus(1));
    let remembered = answers_remembered(connection, irregular, receiver, segment);
    // With data on the SYN (RFC 7413) its end may be acknowledged just as well.
    let exact = Some(segment.ack) == own || segment.ack == connection.peer(receiver).end || remembered;
    if segment.flags.has(Flags::ACK) && exact { Ok(Exactness::Exact) } else { Err(Refusal::AckOutOfWindow) }
}

/// Whether a late RST fits what was there, after both FINs or another RST: not above what was let through.
pub(super) fn fits_late(
    connection: &Connection,
    irregular: &Irregular,
    sender: Direction,
    segment: &Segment<'_>,
) -> bool {
    let [low, _] = window::sequence_range(connection, sender);
    connection.has_numbers(sender)
        && !segment.seq.is_before(low)
        && !segment.seq.is_after(contiguous(connection, irregular, sender))
}

/// Whether an RST refuses once more the SYN that another one has refused already. Its sequence number is
/// nobody's, since its sender never had one, or has forgotten it: an endpoint that was reset in SYN_RECEIVED meets the
/// SYN again, if its answer was lost behind here.
pub(super) fn repeats_refusal(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    let receiver = sender.opposite();
    let had_answered = connection.marks.has_acked(sender);
    // Such an RST has the sequence number 0 (RFC 9293 section 3.10.7.1).
    let to_bare_syn = connection.peer(receiver).end == segment.ack && segment.seq == Seq(0);
    let refused = connection.marks.is_reset() && (!had_answered || to_bare_syn);
    let exact = connection.acknowledges_syn(receiver, segment.ack);
    refused && segment.flags.has(Flags::ACK) && exact
}
