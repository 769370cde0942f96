//! The judgement of a segment: what becomes of it and of its connection. It decides and changes nothing.
//!
//! ```text
//!            ┌ both ESTABLISHED, plain ACK, in order ─► judge_plain ─┐ (the hot path: a few comparisons)
//!  segment ──┼ in order, opens or closes ───────────► judge_orderly ─┼─► Judgement
//!            ├ the SYN-ACK that a SYN waits for ────► judge_answer ──┤
//!            └ everything else ─────────────────────► judge ─────────┘
//!                   RST ─► reset     SYN ─► reuse, remember     SYN-ACK ─► open     ACK, FIN ─► window, close
//! ```

use super::close;
use super::connection::Connection;
use super::contest;
use super::irregular::{Irregular, Kind, Remembered};
use super::open::{self, Opening};
use super::policy::{InexactRst, Policy};
use super::refusal::Refusal;
use super::remember;
use super::reset::{self, Exactness};
use super::reuse::{self, Reuse};
use super::rival;
use super::state::{Received, Sent, State};
use super::timer::{Rearm, Timer};
use super::window;
use crate::time::Tick;
use crate::wire::{Direction, Flags, Segment};

/// What becomes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It belongs to the connection, which becomes this.
    Accept(Accepted),
    /// It takes the tuple over: the old connection ends, this one begins.
    Renew(Opening),
    /// It is invalid and changes nothing.
    Refuse(Refusal),
}

/// An accepted segment's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The connection after the segment.
    pub connection: Connection,
    /// Its irregular part after the segment; counts only where the marks say that there is one.
    pub irregular: Irregular,
    /// What happens to the timer.
    pub rearm: Rearm,
    /// The tick that the connection keeps: when the newest of its milestones came, which are the SYN that it began with
    /// and every FIN, repeated ones too.
    pub note: Tick,
    /// Why it was let through without an effect, where that has a name (`rst_not_exact`).
    pub remark: Option<Refusal>,
}

/// A connection, its surroundings, and the way a segment comes from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// Its irregular part, the default where it has none.
    pub irregular: &'a Irregular,
    /// The kept tick ([`Accepted::note`]).
    pub note: Tick,
    /// When the connection expires.
    pub deadline: Tick,
    /// The segment's way.
    pub direction: Direction,
    /// The operator's policy.
    pub policy: &'a Policy,
    /// The present tick.
    pub now: Tick,
}

/// Judges any segment against its connection, and where it remembers another answer to its SYN, has a rival or is
/// contested, what does not fit it against those.
#[cold]
pub fn judge(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    if !situation.connection.marks.remembers() {
        return rival::displace(situation, judge_once(situation, segment));
    }
    contest::judge(situation, segment, judge_known(situation, segment))
}

/// Judges any segment against all that is known: the connection, another answer to its SYN, its rival.
fn judge_known(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let is_lenient = situation.policy.liberal || !situation.policy.check_window;
    if situation.irregular.rival.is_some() && is_lenient {
        // What fits neither of the two goes by the policy, to the one in the table.
        let policy = rival::strict(situation.policy);
        let strictly = judge_both(&Situation { policy: &policy, ..*situation }, segment);
        if !matches!(strictly, Judgement::Refuse(_)) {
            return strictly;
        }
    }
    judge_both(situation, segment)
}

/// Judges any segment against the connection, and what does not fit it against its rival.
fn judge_both(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let judgement = rival::displace(situation, judge_answers(situation, segment));
    rival::judge(situation, segment, judgement)
}

/// Judges any segment against the connection, and, where a handshake has seen two different answers of an endpoint, what
/// does not fit the first of them against the second; in a simultaneous open each may have answered twice.
fn judge_answers(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let policy = Policy { liberal: false, ..*situation.policy };
    let first = Situation { policy: &policy, ..*situation };
    let mut passes = None;
    for sender in Direction::BOTH {
        let Some((connection, irregular)) = remember::by_second_answer(situation, sender) else { continue };
        let second = Situation { connection: &connection, irregular: &irregular, ..first };
        if let Judgement::Refuse(_) = judge_once(&first, segment)
            && let Judgement::Accept(mut accepted) = judge_once(&second, segment)
        {
            let changes_nothing = accepted.remark.is_some() || accepted.connection == connection;
            if changes_nothing {
                passes = passes.or(Some(situation.pass_with(accepted.remark)));
                continue;
            }
            remember::keep_first_syn(situation, sender, irregular.remembered[sender.index()], &mut accepted);
            return Judgement::Accept(accepted);
        }
    }
    passes.unwrap_or_else(|| judge_once(situation, segment))
}

/// Judges any segment against the connection as it stands.
pub(super) fn judge_once(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let flags = segment.flags;
    if flags.has(Flags::RST) {
        judge_rst(situation, segment)
    } else if flags.has(Flags::SYN.with(Flags::ACK)) {
        judge_syn_ack(situation, segment)
    } else if flags.has(Flags::SYN) {
        judge_syn(situation, segment)
    } else {
        judge_ack(situation, segment)
    }
}

impl Situation<'_> {
    /// A repetition of what was let through before: a sign of life and nothing else.
    pub(super) fn repetition(&self) -> Judgement {
        let timer = Timer::of(self.connection);
        let rearm = if timer == Timer::Established { Rearm::Start(timer) } else { Rearm::Keep };
        Judgement::Accept(Accepted { rearm, ..self.unchanged(None) })
    }

    /// The segment goes through and nothing changes.
    pub(super) fn pass(&self) -> Judgement {
        self.pass_with(None)
    }

    fn pass_with(&self, remark: Option<Refusal>) -> Judgement {
        Judgement::Accept(self.unchanged(remark))
    }

    pub(super) fn unchanged(&self, remark: Option<Refusal>) -> Accepted {
        Accepted {
            connection: *self.connection,
            irregular: *self.irregular,
            rearm: Rearm::Keep,
            note: self.note,
            remark,
        }
    }

    pub(super) fn sender_state(&self) -> State {
        self.connection.state(self.direction)
    }

    pub(super) fn receiver_state(&self) -> State {
        self.connection.state(self.direction.opposite())
    }

    fn is_in_time_wait(&self) -> bool {
        self.connection.marks.states().contains(&State::TimeWait)
    }

    /// Whether both endpoints are CLOSED: by an RST, or after a TIME_WAIT that its entry outlasts (`contest`).
    fn is_closed(&self) -> bool {
        self.connection.marks.states() == [State::Closed; 2]
    }

    /// Whether the connection is over, or an endpoint is in TIME_WAIT.
    fn is_resting(&self) -> bool {
        self.is_closed() || self.is_in_time_wait()
    }

    /// An RST inside the window but not exact: the operator decides, and it changes nothing.
    fn inexact_rst(&self) -> Judgement {
        match self.policy.inexact_rst {
            InexactRst::Pass => self.pass_with(Some(Refusal::RstNotExact)),
            InexactRst::Drop => Judgement::Refuse(Refusal::RstNotExact),
        }
    }

    /// The connection moved on to `connection`; the timer runs by the new states.
    fn moved(&self, connection: Connection) -> Judgement {
        let timer = Timer::of(&connection);
        let rearm = if timer == Timer::of(self.connection) { Rearm::Keep } else { Rearm::Start(timer) };
        Judgement::Accept(Accepted { connection, rearm, ..self.unchanged(None) })
    }
}

/// An RST: one that may be for another incarnation, or repeats what was said, passes; any other is held against the
/// connection, alive or over (RFC 5961 section 3).
fn judge_rst(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, irregular, direction, .. } = *situation;
    if remember::may_reset_older_incarnation(situation, segment)
        || reset::repeats_refusal(connection, direction, segment)
    {
        return situation.pass();
    }
    let exactness = reset::exactness(connection, irregular, direction, segment);
    let has_both_fins = Direction::BOTH.into_iter().all(|side| connection.has_sent_fin(side));
    if situation.is_resting() || has_both_fins {
        judge_late_rst(situation, segment, exactness)
    } else {
        match exactness {
            Ok(Exactness::Exact) => end_by_rst(situation, segment),
            Ok(Exactness::Inside) => situation.inexact_rst(),
            Err(refusal) => Judgement::Refuse(refusal),
        }
    }
}

/// After both FINs or an RST: what fits what was there is no crime. An exact one still ends what an endpoint waits for.
fn judge_late_rst(
    situation: &Situation<'_>,
    segment: &Segment<'_>,
    exactness: Result<Exactness, Refusal>,
) -> Judgement {
    let Situation { connection, irregular, direction, policy, .. } = *situation;
    let may_be_challenged = !situation.is_resting() && policy.inexact_rst == InexactRst::Pass;
    match exactness {
        Ok(Exactness::Exact) if situation.is_closed() => situation.pass(),
        Ok(Exactness::Exact) => end_by_rst(situation, segment),
        Ok(Exactness::Inside) if may_be_challenged => situation.inexact_rst(),
        Ok(Exactness::Inside) | Err(_) if reset::fits_late(connection, irregular, direction, segment) => {
            situation.pass()
        }
        Ok(Exactness::Inside) => situation.inexact_rst(),
        Err(refusal) => Judgement::Refuse(refusal),
    }
}

/// An exact RST ends the connection, but of TIME_WAIT only what is beside it, unless `time_wait_assassination` says
/// otherwise (RFC 1337).
fn end_by_rst(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, policy, .. } = *situation;
    let receiver = direction.opposite();
    let [own, other] = if situation.is_in_time_wait() && policy.time_wait_assassination {
        [State::Closed; 2]
    } else {
        [situation.sender_state().sent(Sent::Rst), situation.receiver_state().received(Received::Rst)]
    };
    let mut next = *connection;
    next.marks.set_state(direction, own);
    next.marks.set_state(receiver, other);
    if next.marks.states() == [State::Closed; 2] {
        next.marks.set_reset();
    }
    if !connection.has_numbers(Direction::Reply) {
        next.marks.set_responder_unseen();
    }
    keep_own_syn(situation, segment, situation.moved(next))
}

/// An RST that refuses the other SYN of a connection that opens ends it, since whoever sent that SYN last has given
/// up the first; but anybody can have sent both. So the first SYN stays remembered: its SYN-ACK begins anew.
fn keep_own_syn(situation: &Situation<'_>, segment: &Segment<'_>, judgement: Judgement) -> Judgement {
    let receiver = situation.direction.opposite();
    let refuses_other = situation.receiver_state() == State::SynSent
        && segment.ack != situation.connection.peer(receiver).end
        && Some(segment.ack) != situation.connection.initial(receiver).map(|initial| initial.plus(1));
    match judgement {
        Judgement::Accept(mut accepted) if refuses_other => {
            accepted.remember(receiver, remember::own_syn(situation, receiver));
            Judgement::Accept(accepted)
        }
        Judgement::Accept(_) | Judgement::Renew(_) | Judgement::Refuse(_) => judgement,
    }
}

/// A SYN without ACK: a repetition, a simultaneous open, a new incarnation, or one that the endpoint itself
/// must answer (RFC 5961 section 4).
fn judge_syn(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, policy, now, .. } = *situation;
    if situation.is_closed() {
        return Judgement::Renew(remember::beside_refused(situation, open::by_syn(segment, now)));
    }
    if situation.is_in_time_wait() {
        match reuse::of(policy.time_wait_reuse, connection, direction, segment) {
            Reuse::Anew => return Judgement::Renew(open::by_syn(segment, now)),
            Reuse::Refused => return Judgement::Refuse(Refusal::TimeWait),
            Reuse::Answered => {}
        }
    }
    if situation.sender_state() == State::Listen {
        return take_in_answer(situation, segment);
    }
    if connection.may_be_syn_of(direction, segment.seq) {
        return situation.repetition();
    }
    if connection.initial(direction) != Some(segment.seq) {
        // A second answer to the handshake's SYN is worth more than a SYN that anybody may have sent: if its sender
        // has restarted, it sends that again.
        return if situation.remembered(direction, Kind::SynAck).is_some() {
            situation.pass()
        } else {
            situation.remember(Remembered::new(Kind::Syn, segment, now))
        };
    }
    if situation.sender_state() == State::SynSent {
        let mut next = *connection;
        open::repeat_syn(&mut next, direction, segment);
        return situation.moved(next);
    }
    situation.repetition()
}

/// The SYN-ACK of a handshake, or the other SYN of a simultaneous open.
fn take_in_answer(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, now, .. } = *situation;
    let mut next = *connection;
    let ack = segment.flags.has(Flags::ACK).then_some(segment.ack);
    open::answer(&mut next, direction, &Remembered::new(Kind::SynAck, segment, now), ack);
    remember::settle_own_syn(direction, segment, situation.moved(next))
}

/// A SYN-ACK: the handshake's second segment, its repetition, another in its place, or the answer to a
/// remembered SYN.
fn judge_syn_ack(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, now, .. } = *situation;
    let receiver = direction.opposite();
    let answers_own = connection.acknowledges_syn(receiver, segment.ack);
    let is_first = situation.sender_state() == State::Listen && situation.receiver_state() == State::SynSent;
    if is_first && answers_own {
        return take_in_answer(situation, segment);
    }
    if let Some(opening) = remember::new_incarnation(situation, segment) {
        return Judgement::Renew(opening);
    }
    if connection.marks.is_reset() && !connection.has_numbers(direction) && answers_own {
        // It has crossed the RST by which the originator took its SYN back.
        return situation.pass();
    }
    let repeats_own = connection.initial(direction) == Some(segment.seq);
    match (answers_own, repeats_own, situation.receiver_state()) {
        (true, true, State::SynReceived) => crossed_syn_ack(situation, segment),
        (true, true, _) => situation.repetition(),
        (true, false, _) if remember::is_second_answer(situation) => {
            situation.remember(Remembered::new(Kind::SynAck, segment, now))
        }
        (_, false, _) if remember::is_late_answer(connection, receiver, segment) => situation.pass(),
        (false, true, _) if connection.may_be_syn_of(receiver, segment.ack.minus(1)) => {
            situation.repetition()
        }
        (_, false, _) if is_unknown_repetition(connection, direction, segment) => situation.repetition(),
        (_, _, _) => Judgement::Refuse(Refusal::UnexpectedSynAck),
    }
}

/// Whether a SYN-ACK may be an endpoint's own, once more, where its initial sequence number was never seen or
/// is known no longer: its receiver then repeats the acknowledgement that was lost.
fn is_unknown_repetition(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    let has_spoken = connection.marks.is_picked_up() || connection.marks.has_acked(sender);
    let is_unknown = has_spoken && connection.initial(sender).is_none();
    let is_old = !segment.end().is_after(connection.peer(sender).end);
    is_unknown
        && is_old
        && !is_astray(connection, sender, segment)
        && window::check(connection, sender, segment).is_ok()
}

/// Whether a segment lies far from all that is known of a stream of which only one side was seen.
fn is_astray(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    connection.marks.is_responder_unseen() && !open::is_near(connection, sender, segment)
}

/// The SYN-ACK of a simultaneous open: both have sent a SYN, each acknowledges the other's.
fn crossed_syn_ack(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, .. } = *situation;
    let mut next = *connection;
    let receiver = direction.opposite();
    next.settle_scales();
    next.marks.set_acked(direction);
    next.peer_mut(direction).ack = segment.ack;
    let limit = segment.ack.plus(u32::from(segment.window));
    let peer = next.peer_mut(receiver);
    peer.limit = peer.limit.max(limit);
    next.marks.set_state(direction, situation.sender_state().sent(Sent::SynAck));
    next.marks.set_state(receiver, situation.receiver_state().received(Received::SynAck));
    situation.moved(next)
}

/// Everything with ACK and without SYN and RST: data, acknowledgements, FINs.
fn judge_ack(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, policy, .. } = *situation;
    let was_never_answered = connection.marks.is_reset() && !connection.has_numbers(Direction::Reply);
    if matches!(situation.sender_state(), State::Listen | State::SynSent) || was_never_answered {
        return remember::before_synchronized(situation, segment);
    }
    if policy.check_window
        && let Err(refusal) = window::check(connection, direction, segment)
    {
        // `liberal`: it goes through as a sign of life, but moves no window and no state.
        return if policy.liberal { situation.repetition() } else { Judgement::Refuse(refusal) };
    }
    if situation.is_closed() {
        return situation.pass();
    }
    let after_fin =
        connection.has_sent_fin(direction) && segment.end().is_after(connection.peer(direction).end);
    if after_fin {
        // Whatever lets it through, there is nothing behind a FIN: it moves nothing.
        let passes = policy.liberal || !policy.check_window;
        return if passes { situation.repetition() } else { Judgement::Refuse(Refusal::AfterFin) };
    }
    if is_astray(connection, direction, segment) {
        return situation.repetition();
    }
    let mut accepted = situation.unchanged(None);
    let news = close::advance(
        &mut accepted.connection,
        &mut accepted.irregular,
        direction,
        segment,
        situation.now,
        &mut accepted.note,
    );
    accepted.forget_answered(direction, situation);
    accepted.rearm =
        close::rearm(connection, &accepted.connection, news, policy, situation.note, situation.now);
    Judgement::Accept(accepted)
}
