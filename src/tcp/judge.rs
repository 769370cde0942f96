//! The judgement of a segment: what becomes of it and of its connection. It decides and changes nothing.
//!
//! ```text
//!            ┌ both ESTABLISHED, plain ACK, in order ─► judge_plain ─┐ (the hot path: a few comparisons)
//!  segment ──┤                                                       ├─► Judgement
//!            └ everything else ─────────────────────► judge ─────────┘
//!                   RST ─► reset     SYN ─► reuse, remember     SYN-ACK ─► open     ACK, FIN ─► window, close
//! ```

use super::close;
use super::connection::Connection;
use super::irregular::{Irregular, RememberedSyn};
use super::open::{self, Opening};
use super::policy::{InexactRst, Policy};
use super::refusal::Refusal;
use super::reset::{self, Exactness};
use super::reuse;
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
    /// The tick that the connection keeps: of its SYN while it opens, of its last FIN afterwards.
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
    /// The segment's way.
    pub direction: Direction,
    /// The operator's policy.
    pub policy: &'a Policy,
    /// The present tick.
    pub now: Tick,
}

/// The hot path: a segment of a connection that is open on both sides, in order, with nothing but ACK and
/// PSH. `None` where it is anything else, and [`judge`] has to look.
#[inline(always)]
pub fn judge_plain(
    connection: &Connection,
    direction: Direction,
    segment: &Segment<'_>,
) -> Option<Connection> {
    const LOOKED_AT: u8 = Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0 | Flags::ACK.0;
    let marks = connection.marks;
    let [originator, responder] = connection.peers;
    // Both endpoints by value: which is which is then a choice between registers, not an address.
    let (mut own, mut other) = match direction {
        Direction::Original => (originator, responder),
        Direction::Reply => (responder, originator),
    };
    let scale = marks.scale(direction);
    let fits = window::fits_plain(&own, &other, scale, marks.scale(direction.opposite()), segment);
    let is_plain = marks.is_plain() & (segment.flags.0 & LOOKED_AT == Flags::ACK.0);
    if !(fits & is_plain) {
        return None;
    }
    own.end = own.end.max(segment.end());
    own.ack = own.ack.max(segment.ack);
    own.window = own.window.max(segment.window);
    other.limit = other.limit.max(segment.ack.plus(u32::from(segment.window) << scale));
    let peers = match direction {
        Direction::Original => [own, other],
        Direction::Reply => [other, own],
    };
    Some(Connection { peers, ..*connection })
}

/// Judges any segment against its connection.
#[cold]
pub fn judge(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
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
    fn repetition(&self) -> Judgement {
        let timer = Timer::of(self.connection);
        let rearm = if timer == Timer::Established { Rearm::Start(timer) } else { Rearm::Keep };
        Judgement::Accept(Accepted { rearm, ..self.unchanged(None) })
    }

    /// The segment goes through and nothing changes.
    fn pass(&self) -> Judgement {
        self.pass_with(None)
    }

    fn pass_with(&self, remark: Option<Refusal>) -> Judgement {
        Judgement::Accept(self.unchanged(remark))
    }

    fn unchanged(&self, remark: Option<Refusal>) -> Accepted {
        Accepted {
            connection: *self.connection,
            irregular: *self.irregular,
            rearm: Rearm::Keep,
            note: self.note,
            remark,
        }
    }

    fn sender_state(&self) -> State {
        self.connection.state(self.direction)
    }

    fn receiver_state(&self) -> State {
        self.connection.state(self.direction.opposite())
    }

    fn is_in_time_wait(&self) -> bool {
        self.connection.marks.states().contains(&State::TimeWait)
    }

    /// The connection moved on to `connection`; the timer runs by the new states.
    fn moved(&self, connection: Connection) -> Judgement {
        let timer = Timer::of(&connection);
        let rearm = if timer == Timer::of(self.connection) { Rearm::Keep } else { Rearm::Start(timer) };
        Judgement::Accept(Accepted { connection, rearm, ..self.unchanged(None) })
    }
}

/// An RST ends the connection if it is exact (RFC 5961 section 3), but never TIME_WAIT unless
/// `time_wait_assassination` says so (RFC 1337).
fn judge_rst(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, irregular, direction, policy, .. } = *situation;
    let exactness = reset::exactness(connection, irregular, direction, segment);
    let over = connection.marks.is_reset() || situation.is_in_time_wait();
    match exactness {
        Ok(Exactness::Exact) if !connection.marks.is_reset() => {
            let mut next = *connection;
            if situation.is_in_time_wait() && policy.time_wait_assassination {
                next.marks.set_state(direction, State::Closed);
                next.marks.set_state(direction.opposite(), State::Closed);
            } else {
                next.marks.set_state(direction, situation.sender_state().sent(Sent::Rst));
                next.marks
                    .set_state(direction.opposite(), situation.receiver_state().received(Received::Rst));
            }
            if next.marks.states() == [State::Closed; 2] {
                next.marks.set_reset();
            }
            keep_own_syn(situation, segment, situation.moved(next))
        }
        Ok(_) | Err(_) if over && reset::fits_late(connection, irregular, direction, segment) => {
            situation.pass()
        }
        Ok(Exactness::Exact) => situation.pass(),
        Ok(Exactness::Inside) => match policy.inexact_rst {
            InexactRst::Pass => situation.pass_with(Some(Refusal::RstNotExact)),
            InexactRst::Drop => Judgement::Refuse(Refusal::RstNotExact),
        },
        Err(refusal) => Judgement::Refuse(refusal),
    }
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
            accepted.irregular.syn = own_syn(situation, receiver);
            Judgement::Accept(accepted)
        }
        Judgement::Accept(_) | Judgement::Renew(_) | Judgement::Refuse(_) => judgement,
    }
}

/// The SYN of `sender` that began the connection, as it would be remembered.
fn own_syn(situation: &Situation<'_>, sender: Direction) -> Option<RememberedSyn> {
    let connection = situation.connection;
    connection.initial(sender).map(|seq| RememberedSyn {
        sender,
        seq,
        end: seq.plus(1),
        window: connection.peer(sender).window,
        scale: connection.marks.scale(sender),
        at: situation.note,
    })
}

/// A SYN without ACK: a repetition, a simultaneous open, a new incarnation, or one that the endpoint itself
/// must answer (RFC 5961 section 4).
fn judge_syn(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, policy, now, .. } = *situation;
    if connection.marks.is_reset() {
        return Judgement::Renew(open::by_syn(segment, now));
    }
    if situation.is_in_time_wait() {
        return if reuse::may_reuse(policy.time_wait_reuse, connection, direction, segment) {
            Judgement::Renew(open::by_syn(segment, now))
        } else {
            Judgement::Refuse(Refusal::TimeWait)
        };
    }
    if situation.sender_state() == State::Listen {
        let mut next = *connection;
        open::answer(&mut next, direction, segment);
        return situation.moved(next);
    }
    if connection.initial(direction) == Some(segment.seq) {
        return situation.repetition();
    }
    remember(situation, segment)
}

/// Keeps the SYN, so that an answer to it is known for what it is.
fn remember(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let mut accepted = situation.unchanged(None);
    accepted.irregular.syn = Some(RememberedSyn {
        sender: situation.direction,
        seq: segment.seq,
        end: segment.end(),
        window: segment.window,
        scale: segment.options.window_scale().unwrap_or(super::connection::NO_SCALE),
        at: situation.now,
    });
    accepted.connection.marks.set_remembers_syn(true);
    Judgement::Accept(accepted)
}

/// A SYN-ACK: the handshake's second segment, its repetition, or the answer to a remembered SYN.
fn judge_syn_ack(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, .. } = *situation;
    let receiver = direction.opposite();
    let answers_own = connection.initial(receiver).is_some_and(|initial| {
        segment.ack.is_after(initial) && !segment.ack.is_after(connection.peer(receiver).end)
    });
    if situation.sender_state() == State::Listen
        && situation.receiver_state() == State::SynSent
        && answers_own
    {
        let mut next = *connection;
        open::answer(&mut next, direction, segment);
        return situation.moved(next);
    }
    if let Some(opening) = answer_to_remembered(situation, segment) {
        return Judgement::Renew(opening);
    }
    let repeats_own = connection.initial(direction) == Some(segment.seq);
    if !repeats_own || !answers_own {
        return Judgement::Refuse(Refusal::UnexpectedSynAck);
    }
    if situation.receiver_state() == State::SynReceived {
        return crossed_syn_ack(situation, segment);
    }
    situation.repetition()
}

/// The SYN-ACK of a simultaneous open: both have sent a SYN, each acknowledges the other's.
fn crossed_syn_ack(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, .. } = *situation;
    let mut next = *connection;
    let receiver = direction.opposite();
    next.marks.set_acked(direction);
    next.peer_mut(direction).ack = segment.ack;
    let limit = segment.ack.plus(u32::from(segment.window));
    let peer = next.peer_mut(receiver);
    peer.limit = peer.limit.max(limit);
    next.marks.set_state(direction, situation.sender_state().sent(Sent::SynAck));
    next.marks.set_state(receiver, situation.receiver_state().received(Received::SynAck));
    situation.moved(next)
}

/// The incarnation that begins where a SYN-ACK acknowledges exactly the remembered SYN.
fn answer_to_remembered(situation: &Situation<'_>, segment: &Segment<'_>) -> Option<Opening> {
    let Situation { connection, irregular, direction, .. } = *situation;
    let receiver = direction.opposite();
    let syn = irregular.syn.filter(|syn| {
        connection.marks.remembers_syn()
            && syn.sender == receiver
            && (segment.ack == syn.seq.plus(1) || segment.ack == syn.end)
    })?;
    let opening =
        connection.marks.states().into_iter().any(|s| matches!(s, State::SynSent | State::SynReceived));
    let replaced = own_syn(situation, receiver).filter(|_| opening);
    Some(open::by_syn_ack(&syn, segment, replaced))
}

/// Everything with ACK and without SYN and RST: data, acknowledgements, FINs.
fn judge_ack(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, policy, .. } = *situation;
    if matches!(situation.sender_state(), State::Listen | State::SynSent) {
        return Judgement::Refuse(Refusal::NotSynchronized);
    }
    if policy.check_window
        && let Err(refusal) = window::check(connection, direction, segment)
    {
        // `liberal`: it goes through as a sign of life, but moves no window and no state.
        return if policy.liberal { situation.repetition() } else { Judgement::Refuse(refusal) };
    }
    if connection.marks.is_reset() {
        return situation.pass();
    }
    let after_fin =
        connection.has_sent_fin(direction) && segment.end().is_after(connection.peer(direction).end);
    if after_fin && policy.check_window {
        return if policy.liberal { situation.repetition() } else { Judgement::Refuse(Refusal::AfterFin) };
    }
    let mut accepted = situation.unchanged(None);
    forget_syn(&mut accepted, direction);
    let news = close::advance(
        &mut accepted.connection,
        &mut accepted.irregular,
        direction,
        segment,
        situation.now,
        &mut accepted.note,
    );
    accepted.rearm =
        close::rearm(connection, &accepted.connection, news, policy, situation.note, situation.now);
    Judgement::Accept(accepted)
}

/// Whoever sends a segment that fits has not begun anew: its SYN was an old duplicate, or somebody else's.
fn forget_syn(accepted: &mut Accepted, sender: Direction) {
    let marks = &mut accepted.connection.marks;
    if marks.remembers_syn() && accepted.irregular.syn.is_some_and(|syn| syn.sender == sender) {
        marks.set_remembers_syn(false);
        accepted.irregular.syn = None;
    }
}
