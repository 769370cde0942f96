//! What a segment does to an open or closing connection: streams, FINs, acknowledgements, and the timer.

use super::connection::{Connection, Marks};
use super::irregular::{Irregular, Stream};
use super::open;
use super::policy::Policy;
use super::reset;
use super::state::{Received, Sent, State};
use super::timer::{Rearm, Timer};
use super::window;
use crate::time::{Span, Tick};
use crate::wire::{Direction, Flags, Segment, Seq};

/// What a segment brought that was not there before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct News {
    /// Payload beyond what its sender had sent, or that was missing before that.
    pub(super) data: bool,
    /// An acknowledgement beyond what its sender had acknowledged.
    pub(super) ack: bool,
    /// A FIN that had been sent before.
    pub(super) repeated_fin: bool,
}

/// Moves both endpoints by a segment with ACK that fits, and says what was new about it.
pub(super) fn advance(
    connection: &mut Connection,
    irregular: &mut Irregular,
    sender: Direction,
    segment: &Segment<'_>,
    now: Tick,
    note: &mut Tick,
) -> News {
    let receiver = sender.opposite();
    let had_fin = connection.has_sent_fin(sender);
    let is_fin = segment.flags.has(Flags::FIN) && can_be_its_fin(connection, irregular, sender, segment);
    let mut news = News {
        data: false,
        ack: !connection.marks.has_acked(sender) || segment.ack.is_after(connection.peer(sender).ack),
        repeated_fin: false,
    };
    let before = let_through(connection, irregular, sender);
    let was_shown = is_shown_fin(connection, sender, segment);
    connection.settle_scales();
    take_in_numbers(connection, irregular, sender, segment);
    news.data = segment.payload > 0 && let_through(connection, irregular, sender) != before;
    acknowledge(connection, irregular, sender, segment);
    if is_fin {
        news.repeated_fin = had_fin;
        if !had_fin {
            send_fin(connection, sender, segment, was_shown);
        }
        count_fin(&mut connection.marks, sender, had_fin, news.ack);
        *note = now;
    } else if connection.marks.fin_side() != sender {
        answer_fin(&mut connection.marks, sender);
    }
    deliver_fin(connection, sender);
    // The acknowledgement may have closed a hole before the other side's FIN.
    deliver_fin(connection, receiver);
    let other_closed = connection.has_sent_fin(receiver);
    // What is missing before its own FIN, an endpoint that has closed second may still have to send.
    let goes_on = !had_fin || connection.state(sender) == State::LastAck;
    if news.data && other_closed && goes_on {
        connection.marks.set_data_since_fin();
    }
    if other_closed && connection.has_sent_fin(sender) {
        note_timestamp(connection, sender, segment);
    }
    news
}

/// What was let through of `sender`: everything before the first number, but for the holes that the stream knows.
fn let_through(connection: &Connection, irregular: &Irregular, sender: Direction) -> (Seq, Option<Stream>) {
    let stream = irregular.streams[sender.index()];
    (connection.peer(sender).end, connection.marks.has_hole(sender).then_some(stream))
}

/// Whether a segment's FIN is the one that `sender` sends or has sent: a FIN comes last, so the first one lies
/// behind everything that was let through without a gap, and a repeated one where the first lay. Any other is none
/// of that endpoint's, and its peer drops it as something it has received already (RFC 9293 section 3.10.7.4).
fn can_be_its_fin(
    connection: &Connection,
    irregular: &Irregular,
    sender: Direction,
    segment: &Segment<'_>,
) -> bool {
    // In mid-stream nobody knows what came before its first segment.
    if connection.marks.is_picked_up() && !connection.marks.has_acked(sender) {
        return true;
    }
    if connection.has_sent_fin(sender) {
        segment.end() == connection.peer(sender).end
    } else {
        segment.end().is_after(reset::contiguous(connection, irregular, sender))
    }
}

/// Sequence numbers, acknowledgement and window of a segment that fits.
fn take_in_numbers(
    connection: &mut Connection,
    irregular: &mut Irregular,
    sender: Direction,
    segment: &Segment<'_>,
) {
    let receiver = sender.opposite();
    let end = connection.peer(sender).end;
    let had_hole = connection.marks.has_hole(sender);
    // In mid-stream nobody knows what came before the first segment: no hole there.
    let first_seen = connection.marks.is_picked_up() && !connection.marks.has_acked(sender);
    // What overhangs the window has arrived once it is acknowledged; only of a FIN does that matter.
    let cut = segment.flags.has(Flags::FIN) && window::overhangs(connection, sender, segment);
    // A bare acknowledgement ahead of the stream brings nothing, and anybody can guess one (RFC 5961 section 5):
    // if something is missing before it, that comes again. But one tells something.
    let brings = segment.length() > 0 || first_seen || shows_end(connection, sender, segment);
    let opened = (brings && segment.seq.is_after(end) || cut) && !first_seen;
    if had_hole || opened {
        if !had_hole {
            irregular.streams[sender.index()] = Stream::unbroken(end);
        }
        let arrived = if cut { connection.peer(sender).limit.max(segment.seq) } else { segment.end() };
        irregular.streams[sender.index()].extend(segment.seq, arrived);
    }
    let acked = connection.marks.has_acked(sender);
    connection.marks.set_acked(sender);
    let scale = connection.effective_scale(sender);
    let peer = connection.peer_mut(sender);
    peer.end = if brings { end.max(segment.end()) } else { end };
    peer.ack = if acked { peer.ack.max(segment.ack) } else { segment.ack };
    peer.window = peer.window.max(segment.window);
    let limit = segment.ack.plus(u32::from(segment.window) << scale);
    let is_complete = connection.has_sent_fin(receiver);
    let other = connection.peer_mut(receiver);
    other.limit = other.limit.max(limit);
    // Acknowledged is received, and in mid-stream also sent: before this segment nobody was looking. But behind a FIN
    // there is nothing, whatever is acknowledged where nobody checks it (`check_window`).
    if !is_complete {
        other.end = other.end.max(segment.ack);
    }
    if connection.marks.is_responder_unseen() {
        match sender {
            Direction::Original => open::leave_open(connection),
            Direction::Reply => open::narrow(connection, segment.window),
        }
    }
    settle_hole(connection, irregular, sender, opened);
}

/// Whether a bare acknowledgement shows how far its sender had sent when the other's FIN came: it is the first that
/// acknowledges the FIN, exactly, and the FIN was not repeated, answered or not: a repetition would have had a later
/// one. If the sender's own FIN was lost before here, and comes again, this one tells that it had been sent: the two
/// have crossed.
fn shows_end(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    let receiver = sender.opposite();
    let fin = connection.peer(receiver).end;
    let had_acked = connection.marks.has_acked(sender) && !connection.peer(sender).ack.is_before(fin);
    let is_first = connection.has_sent_fin(receiver) && !connection.has_sent_fin(sender) && !had_acked;
    let was_sent_once = connection.marks.fin_side() == receiver && connection.marks.fin_repeats() == 0;
    is_first && was_sent_once && segment.ack == fin
}

/// Whether a FIN lies before the end that its sender has shown, at the end of what is missing.
fn is_shown_fin(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    connection.marks.has_hole(sender) && segment.end() == connection.peer(sender).end
}

/// Closes or keeps the hole in the stream of `sender`.
fn settle_hole(connection: &mut Connection, irregular: &mut Irregular, sender: Direction, opened: bool) {
    if connection.marks.has_hole(sender) || opened {
        let stream = &mut irregular.streams[sender.index()];
        let broken = stream.contiguous.is_before(connection.peer(sender).end);
        connection.marks.set_hole(sender, broken);
    }
}

/// What the acknowledgement of `sender` says about what the other side has sent.
fn acknowledge(
    connection: &mut Connection,
    irregular: &mut Irregular,
    sender: Direction,
    segment: &Segment<'_>,
) {
    let receiver = sender.opposite();
    if connection.marks.has_hole(receiver) {
        irregular.streams[receiver.index()].reach(segment.ack);
        settle_hole(connection, irregular, receiver, false);
    }
    let state = connection.state(receiver);
    if state == State::SynReceived {
        let acked = connection.initial(receiver).is_none_or(|initial| segment.ack.is_after(initial));
        if acked {
            connection.marks.set_state(receiver, state.received(Received::AckOfSyn));
        }
    } else if state.has_sent_fin() && segment.ack == connection.peer(receiver).end {
        // An acknowledged FIN has arrived, whatever was seen of what lies before it.
        deliver_fin(connection, receiver);
        connection.marks.set_state(receiver, connection.state(receiver).received(Received::AckOfFin));
    }
}

/// The sender's state after its first FIN. If the other side's FIN was let through to it, and this one does not
/// acknowledge that, or was sent before (`was_shown`), the two crossed.
fn send_fin(connection: &mut Connection, sender: Direction, segment: &Segment<'_>, was_shown: bool) {
    let receiver = sender.opposite();
    let other_fin = connection.state(receiver).has_sent_fin();
    let crossed = other_fin && (was_shown || segment.ack.is_before(connection.peer(receiver).end));
    let event = if crossed { Sent::CrossedFin } else { Sent::Fin };
    connection.marks.set_state(sender, connection.state(sender).sent(event));
}

/// Counts the repetitions of one side's FIN since it was answered last; one that newly acknowledges something shows
/// that it was.
fn count_fin(marks: &mut Marks, sender: Direction, is_repeated: bool, is_answered: bool) {
    let counted = if marks.fin_side() == sender { marks.fin_repeats() } else { 0 };
    marks.set_fin_side(sender);
    marks.set_fin_repeats(if is_repeated { counted + 1 } else { 0 });
    if is_answered {
        answer_fin(marks, sender.opposite());
    }
}

/// Takes note that `sender` has answered the other side's FIN. Nobody's repetitions count then, if there were any.
fn answer_fin(marks: &mut Marks, sender: Direction) {
    if marks.fin_repeats() > 0 {
        marks.set_fin_repeats(0);
        marks.set_fin_side(sender);
    }
}

/// The FIN of `sender` reaches the other side once everything before it has.
fn deliver_fin(connection: &mut Connection, sender: Direction) {
    if connection.state(sender).has_sent_fin() && !connection.marks.has_hole(sender) {
        let receiver = sender.opposite();
        let state = connection.state(receiver).received(Received::Fin);
        connection.marks.set_state(receiver, state);
    }
}

/// Once both sides have sent a FIN, and so acknowledged each other's SYN, the newest timestamp of each is kept in place
/// of its initial sequence number, for RFC 6191. Whoever is done has sent a segment since: that which acknowledged the
/// other's FIN, or its own.
fn note_timestamp(connection: &mut Connection, sender: Direction, segment: &Segment<'_>) {
    if let Some((value, _)) = segment.options.timestamps() {
        let newer = connection.timestamp(sender).is_none_or(|old| (value.wrapping_sub(old) as i32) > 0);
        if newer {
            connection.set_timestamp(sender, value);
        }
    }
}

/// What a segment that moved the connection from `before` to `after` does to the timer: the contract's
/// table "what starts it again".
pub(super) fn rearm(
    before: &Connection,
    after: &Connection,
    news: News,
    policy: &Policy,
    last_fin: Tick,
    now: Tick,
) -> Rearm {
    let timer = Timer::of(after);
    if timer != Timer::of(before) {
        return Rearm::Start(timer);
    }
    match timer {
        Timer::Established => Rearm::Start(timer),
        Timer::HalfClosed if news.data => Rearm::Start(timer),
        Timer::FinWait1 if news.data || news.ack => Rearm::Start(timer),
        Timer::FinWait1 | Timer::Closing | Timer::FinTimeout | Timer::HalfClosed if news.repeated_fin => {
            repeated_fin(timer, after.marks.fin_repeats(), policy, now.since(last_fin))
        }
        Timer::TimeWait => {
            let entered = Direction::BOTH
                .into_iter()
                .any(|side| after.state(side) == State::TimeWait && before.state(side) != State::TimeWait);
            let restarts = news.repeated_fin && policy.time_wait_restart;
            if entered || restarts { Rearm::Start(timer) } else { Rearm::Keep }
        }
        Timer::SynSent
        | Timer::SynReceived
        | Timer::Closing
        | Timer::FinTimeout
        | Timer::HalfClosed
        | Timer::FinWait1
        | Timer::Closed => Rearm::Keep,
    }
}

/// A FIN repeated `repeats` times: `fin_wait_1` starts again until `orphan_retries` are used up; with the last
/// of them, every answer missing, the connection goes after twice the last interval.
fn repeated_fin(timer: Timer, repeats: u8, policy: &Policy, interval: Span) -> Rearm {
    let retries = policy.orphan_retries;
    if repeats >= retries {
        return if repeats == retries { Rearm::AtMost(interval.times(2)) } else { Rearm::Keep };
    }
    if timer == Timer::FinWait1 { Rearm::Start(timer) } else { Rearm::Keep }
}
