//! A connection that opens and closes by the book: the handshake's last segment, data, both FINs and what acknowledges
//! them, each in order and sent once.
//!
//! ```text
//!   SYN_SENT     SYN-ACK ─►  ESTABLISHED   SYN_RECEIVED
//!                            ESTABLISHED   ESTABLISHED    ◄─ ACK
//!                  FIN ─►    FIN_WAIT_1    CLOSE_WAIT             each of these is orderly if it begins where its
//!                            FIN_WAIT_2    CLOSE_WAIT     ◄─ ACK   sender's last segment ended, acknowledges no less
//!                            TIME_WAIT     LAST_ACK       ◄─ FIN   than that one and lies in the window
//!                  ACK ─►    TIME_WAIT     CLOSED
//! ```
//!
//! Like [`judge_plain`](super::judge_plain) it answers only what [`judge`](super::judge) would answer in the same
//! numbers, and leaves everything else (`None`) to it; every test of the tracker holds both against each other. What
//! makes it short is what cannot be: without a hole everything that is sent arrives, and what begins where the last
//! segment ended is no repetition.

use super::close::{self, News};
use super::connection::{Connection, Peer};
use super::policy::Policy;
use super::state::{Received, Sent, State};
use super::timer::Rearm;
use crate::time::Tick;
use crate::wire::{Ack, Direction, Seq};

/// What an orderly segment changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The connection after it; nothing irregular.
    pub connection: Connection,
    /// What happens to the timer.
    pub rearm: Rearm,
}

/// Judges a segment of `sender`. `None` where it takes more.
pub fn judge_orderly(
    connection: &Connection,
    sender: Direction,
    segment: &Ack,
    policy: &Policy,
    now: Tick,
) -> Option<Step> {
    let receiver = sender.opposite();
    let (own, other) = (*connection.peer(sender), *connection.peer(receiver));
    let is_first = !connection.marks.has_acked(sender);
    let other_closed = connection.state(receiver).has_sent_fin();
    let is_fin = segment.control.has_fin();
    if !connection.marks.are_orderly()
        || !may_send(connection.state(sender), segment)
        || !is_open(connection.state(receiver))
        || (segment.control.has_options()
            && other_closed
            && (is_fin || connection.state(sender).has_sent_fin()))
        || segment.seq != own.end
        || segment.end().is_after(own.limit.plus(1))
        || segment.ack.is_before(lowest_ack(connection, sender)?)
        || segment.ack.is_after(other.end)
    {
        return None;
    }
    let mut next = *connection;
    if is_first {
        next.settle_scales();
        next.marks.set_acked(sender);
    }
    let limit = segment.ack.plus(u32::from(segment.control.window()) << next.effective_scale(sender));
    *next.peer_mut(sender) = Peer {
        end: segment.end(),
        ack: segment.ack,
        window: own.window.max(segment.control.window()),
        ..own
    };
    *next.peer_mut(receiver) = Peer { limit: other.limit.max(limit), ..other };
    acknowledge(&mut next, receiver, segment.ack);
    if segment.payload > 0 && other_closed {
        next.marks.set_data_since_fin();
    }
    if is_fin {
        send_fin(&mut next, sender, segment.ack);
    }
    let news =
        News { data: segment.payload > 0, ack: is_first || segment.ack != own.ack, repeated_fin: false };
    Some(Step { connection: next, rearm: close::rearm(connection, &next, news, policy, now, now) })
}

/// Whether an endpoint in `state` sends such a segment: behind its FIN there is nothing but acknowledgements.
const fn may_send(state: State, segment: &Ack) -> bool {
    match state {
        State::Established | State::CloseWait => true,
        State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck | State::TimeWait => {
            segment.payload == 0 && !segment.control.has_fin()
        }
        State::Closed | State::Listen | State::SynSent | State::SynReceived => false,
    }
}

/// Whether an endpoint in `state` has sent its SYN, and is not done yet.
const fn is_open(state: State) -> bool {
    match state {
        State::SynReceived
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => true,
        State::Closed | State::Listen | State::SynSent => false,
    }
}

/// What `sender` has to acknowledge at least: no less than before, and the other's SYN to begin with.
fn lowest_ack(connection: &Connection, sender: Direction) -> Option<Seq> {
    if connection.marks.has_acked(sender) {
        Some(connection.peer(sender).ack)
    } else {
        connection.initial(sender.opposite()).map(|initial| initial.plus(1))
    }
}

/// The other endpoint receives an acknowledgement, of its SYN or of its FIN.
fn acknowledge(next: &mut Connection, receiver: Direction, ack: Seq) {
    let state = next.state(receiver);
    if state == State::SynReceived {
        // Where nobody checks it (`check_window`), its sender may have acknowledged less than the SYN, and do so again.
        if next.initial(receiver).is_none_or(|initial| ack.is_after(initial)) {
            next.marks.set_state(receiver, state.received(Received::AckOfSyn));
        }
    } else if state.has_sent_fin() && ack == next.peer(receiver).end {
        next.marks.set_state(receiver, state.received(Received::AckOfFin));
    }
}

/// A first FIN: it reaches the other endpoint, since everything before it has. If it does not acknowledge the other's,
/// the two crossed.
fn send_fin(next: &mut Connection, sender: Direction, ack: Seq) {
    let receiver = sender.opposite();
    let crossed = next.state(receiver).has_sent_fin() && ack.is_before(next.peer(receiver).end);
    let event = if crossed { Sent::CrossedFin } else { Sent::Fin };
    next.marks.set_state(sender, next.state(sender).sent(event));
    next.marks.set_state(receiver, next.state(receiver).received(Received::Fin));
    next.marks.set_fin_side(sender);
}
