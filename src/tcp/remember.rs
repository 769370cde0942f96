//! Segments that change nothing when they pass, but whose answer may: what is remembered of them, and what
//! comes of it. One for each sender, the newest.
//!
//! ```text
//!  SYN on a live connection ──► remembered ──► SYN-ACK that acknowledges exactly it ──► a new incarnation
//!  second SYN-ACK of a handshake ► remembered ──► whatever fits only its numbers ──► they replace the first's
//!  ACK that meets a SYN ──► remembered ──► RST with exactly its acknowledgement ──► passes
//! ```
//!
//! A remembered SYN is forgotten once its sender goes on with the old connection for longer than a segment
//! can live (MSL): before that, what fits may be an old duplicate. The others end with the handshake.

use super::connection::Connection;
use super::irregular::{Irregular, Kind, Remembered};
use super::judge::{Accepted, Judgement, Situation, judge_once};
use super::open::{self, Opening};
use super::refusal::Refusal;
use super::state::State;
use super::timer::{Rearm, Timer};
use crate::time::{Span, Tick};
use crate::wire::{Direction, Flags, Segment};

impl Accepted {
    /// Keeps `what` of `sender`, in place of what was kept of it before.
    pub(super) fn remember(&mut self, sender: Direction, what: Option<Remembered>) {
        self.irregular.remember(&mut self.connection, sender, what);
    }

    /// Forgets what can no longer be answered, now that a segment of `sender` has fitted.
    pub(super) fn forget_answered(&mut self, sender: Direction, situation: &Situation<'_>) {
        if !self.connection.marks.remembers() {
            return;
        }
        for side in Direction::BOTH {
            let Some(what) = self.irregular.remembered[side.index()] else { continue };
            let is_over = match what.kind {
                Kind::Syn => {
                    let age = situation.now.since(what.came_at(situation.now));
                    side == sender && age >= situation.policy.timeouts.msl
                }
                Kind::SynAck => self.connection.state(side) != State::SynReceived,
                Kind::Challenge => true,
            };
            if is_over {
                self.remember(side, None);
            }
        }
        let connection = self.connection;
        let Situation { now, .. } = *situation;
        self.irregular.rival = self.irregular.rival.filter(|it| !it.is_forgotten(&connection, now));
        self.irregular.contested = self.irregular.contested.filter(|until| !until.has_passed(now));
        self.irregular.mark(&mut self.connection);
    }
}

impl Irregular {
    /// Keeps `what` of `sender`, and marks the connection accordingly.
    fn remember(&mut self, connection: &mut Connection, sender: Direction, what: Option<Remembered>) {
        self.remembered[sender.index()] = what;
        self.mark(connection);
    }

    /// Whether nothing of it matters to `connection` any more at `now`, but for what the streams miss: what is remembered
    /// came at least `msl` ago, longer than a segment lives, and no other connection of the tuple is to be expected.
    pub fn is_outdated(&self, connection: &Connection, msl: Span, now: Tick) -> bool {
        let is_old = |what: &Remembered| now.since(what.came_at(now)) >= msl;
        self.remembered.iter().flatten().all(is_old)
            && self.rival.is_none_or(|rival| rival.is_forgotten(connection, now))
            && self.contested.is_none_or(|until| until.has_passed(now))
    }

    /// Marks the connection as one that remembers, or not.
    fn mark(&self, connection: &mut Connection) {
        let is_disputed = self.rival.is_some() || self.contested.is_some();
        let remembers = is_disputed || self.remembered.iter().any(Option::is_some);
        connection.marks.set_remembers(remembers);
    }
}

impl Situation<'_> {
    /// What is remembered of `sender`, if it is of this kind.
    pub(super) fn remembered(&self, sender: Direction, kind: Kind) -> Option<Remembered> {
        recall(self.connection, self.irregular, sender, kind)
    }

    /// The segment goes through and nothing changes, but it is remembered.
    pub(super) fn remember(&self, what: Remembered) -> Judgement {
        let mut accepted = self.unchanged(None);
        accepted.remember(self.direction, Some(what));
        Judgement::Accept(accepted)
    }
}

/// What is remembered of `sender`, if it is of this kind.
pub(super) fn recall(
    connection: &Connection,
    irregular: &Irregular,
    sender: Direction,
    kind: Kind,
) -> Option<Remembered> {
    let kept = irregular.remembered[sender.index()].filter(|_| connection.marks.remembers());
    kept.filter(|what| what.kind == kind)
}

/// The incarnation that begins where a SYN-ACK acknowledges exactly the remembered SYN of its receiver.
pub(super) fn new_incarnation(situation: &Situation<'_>, segment: &Segment<'_>) -> Option<Opening> {
    let Situation { connection, direction, now, .. } = *situation;
    let receiver = direction.opposite();
    let syn = situation.remembered(receiver, Kind::Syn).filter(|syn| syn.is_answered_by(segment.ack))?;
    let opening =
        connection.marks.states().into_iter().any(|s| matches!(s, State::SynSent | State::SynReceived));
    // The SYN that the old one had begun with may yet be the one that lives (RFC 9293 figure 8).
    let replaced = own_syn(situation, receiver).filter(|_| opening);
    Some(open::by_syn_ack(&syn, segment, replaced, now))
}

/// The SYN of `sender` that began the connection, as it would be remembered.
pub(super) fn own_syn(situation: &Situation<'_>, sender: Direction) -> Option<Remembered> {
    let Situation { connection, note, .. } = *situation;
    let seq = connection.initial(sender)?;
    let end = seq.plus(1);
    let window = connection.raw_window(sender);
    let scale = connection.marks.scale(sender);
    Some(Remembered { kind: Kind::Syn, seq, end, window, scale, at: 0 }.that_came_at(note))
}

/// What a SYN begins after an RST that has refused the connection's own: beside it stays remembered the SYN of the
/// other side that was let through before, the refused one or one remembered in the same way. A copy of that may
/// be under way, and meets an endpoint that opens by itself now (RFC 9293 section 3.5), which answers it.
pub(super) fn beside_refused(situation: &Situation<'_>, mut opening: Opening) -> Opening {
    let Situation { connection, direction, .. } = *situation;
    let other = direction.opposite();
    let earlier = own_syn(situation, other).or_else(|| situation.remembered(other, Kind::Syn));
    if let Some(earlier) = earlier.filter(|_| !connection.has_numbers(Direction::Reply)) {
        let mut irregular = opening.irregular.unwrap_or_default();
        irregular.remember(&mut opening.connection, Direction::Reply, Some(earlier));
        opening.irregular = Some(irregular);
    }
    opening
}

/// Forgets the remembered SYN of `sender` where `judgement` has made it the connection's own: it is no other one any
/// more, and what answers it begins nothing new.
pub(super) fn settle_own_syn(
    sender: Direction,
    segment: &Segment<'_>,
    mut judgement: Judgement,
) -> Judgement {
    if let Judgement::Accept(accepted) = &mut judgement
        && let Some(syn) = recall(&accepted.connection, &accepted.irregular, sender, Kind::Syn)
        && syn.seq == segment.seq
    {
        accepted.remember(sender, None);
    }
    judgement
}

/// A SYN-ACK of an endpoint in SYN_RECEIVED that acknowledges the same SYN as its first one, but is another:
/// the first may have been lost behind us, and its sender have crashed since, or have kept no state (SYN
/// cookies). Which of the two the other side has got, its next segment tells.
pub(super) fn is_second_answer(situation: &Situation<'_>) -> bool {
    situation.sender_state() == State::SynReceived
        && matches!(situation.receiver_state(), State::Established | State::SynReceived)
}

/// Whether a SYN-ACK answers the SYN of `receiver` once more, although the handshake is over: of a listener that has
/// crashed since, and met a copy of that SYN. It acknowledges nothing but the SYN, whose number nobody off the path
/// knows. Its receiver challenges it (RFC 5961 section 4.2), and the RST for that ends the connection.
pub(super) fn is_late_answer(connection: &Connection, receiver: Direction, segment: &Segment<'_>) -> bool {
    connection.initial(receiver) == Some(segment.ack.minus(1))
}

/// The connection as it is if the remembered SYN-ACK of `sender` is the one that counts; the first is remembered then.
pub(super) fn by_second_answer(
    situation: &Situation<'_>,
    sender: Direction,
) -> Option<(Connection, Irregular)> {
    let connection = situation.connection;
    if connection.state(sender) != State::SynReceived {
        return None;
    }
    let second = situation.remembered(sender, Kind::SynAck)?;
    let acknowledged = connection.initial(sender.opposite())?.plus(1);
    let end = connection.peer(sender).end;
    let first = Remembered { kind: Kind::SynAck, end, ..own_syn(situation, sender)? };
    let mut next = *connection;
    let mut irregular = *situation.irregular;
    open::answer(&mut next, sender, &second, Some(acknowledged));
    next.marks.set_hole(sender, false);
    irregular.remember(&mut next, sender, Some(first));
    Some((next, irregular))
}

/// Remembers the SYN of `sender` that began a simultaneous open, where that goes on with a SYN-ACK of other numbers:
/// whatever goes on here may be made up in both names, while that SYN has still to be answered.
pub(super) fn keep_first_syn(
    situation: &Situation<'_>,
    sender: Direction,
    first: Option<Remembered>,
    accepted: &mut Accepted,
) {
    let was_crossed = situation.connection.state(sender.opposite()) == State::SynReceived;
    if was_crossed && accepted.connection.state(sender) != State::SynReceived {
        accepted.remember(sender, first.map(|first| Remembered { kind: Kind::Syn, ..first }));
    }
}

/// Data, a FIN or an acknowledgement while one side has sent nothing but its SYN, and the other nothing at
/// all: refused, unless it comes from an older incarnation that is still alive (RFC 9293 section 3.5.1).
///
/// - From the other side, acknowledging something else than the SYN: the sender of the SYN resets it.
/// - From the sender of the SYN, where such an answer was seen and what it says fits that: then the SYN was an
///   old duplicate, or somebody else's, and the connection that it met goes on. It is picked up once the SYN
///   has expired; until then it is not stood in the way of (`loose`).
pub(super) fn before_synchronized(situation: &Situation<'_>, segment: &Segment<'_>) -> Judgement {
    let Situation { connection, direction, policy, now, .. } = *situation;
    let refused = Judgement::Refuse(Refusal::NotSynchronized);
    let receiver = direction.opposite();
    match (situation.sender_state(), situation.receiver_state()) {
        (State::Listen, State::SynSent) if connection.acknowledges_syn(receiver, segment.ack) => {
            answers_beside(situation, segment).unwrap_or(refused)
        }
        (State::Listen, State::SynSent) => {
            let challenge = Remembered::new(Kind::Challenge, segment, now);
            situation.remember(Remembered { seq: segment.ack, end: segment.ack, ..challenge })
        }
        (State::SynSent, State::Listen) if policy.loose => {
            // Up to a window back as well: what is sent again may have been acknowledged, and that been lost behind us.
            let goes_on = situation.remembered(receiver, Kind::Challenge).is_some_and(|challenge| {
                let lowest = challenge.seq.minus(open::LARGEST_WINDOW);
                segment.seq.offset_from(lowest) <= 2 * open::LARGEST_WINDOW
            });
            if goes_on { situation.pass() } else { refused }
        }
        _ => refused,
    }
}

/// An acknowledgement of the SYN that began the connection, by an endpoint whose own SYN was let through before that
/// one came ([`beside_refused`]): with those two it is a simultaneous open. `None` where no such SYN is remembered.
fn answers_beside(situation: &Situation<'_>, segment: &Segment<'_>) -> Option<Judgement> {
    let sender = situation.direction;
    let syn = situation.remembered(sender, Kind::Syn).filter(|syn| syn.is_answered_by(segment.seq))?;
    // A FIN comes again, and after it the handshake would have gone three steps at once.
    if segment.flags.has(Flags::FIN) {
        return None;
    }
    let mut next = *situation.connection;
    let mut irregular = *situation.irregular;
    open::answer(&mut next, sender, &syn, None);
    irregular.remember(&mut next, sender, None);
    let opened = Situation { connection: &next, irregular: &irregular, ..*situation };
    match judge_once(&opened, segment) {
        Judgement::Accept(mut accepted) => {
            accepted.rearm = Rearm::Start(Timer::of(&accepted.connection));
            Some(Judgement::Accept(accepted))
        }
        Judgement::Renew(_) | Judgement::Refuse(_) => None,
    }
}

/// Whether an RST of an endpoint in SYN_SENT may answer an older incarnation that met its SYN: it bears what that
/// one has acknowledged (RFC 9293 figure 9), and its sender goes on to send its SYN. Which of that one's segments it
/// answers cannot be known, and the newest here may be anybody's: so whatever it bears, it passes and changes
/// nothing, and the older incarnation judges it by itself (RFC 5961 section 3.2).
pub(super) fn may_reset_older_incarnation(situation: &Situation<'_>, segment: &Segment<'_>) -> bool {
    let was_challenged = situation.remembered(situation.direction.opposite(), Kind::Challenge).is_some();
    situation.sender_state() == State::SynSent && was_challenged && !segment.flags.has(Flags::ACK)
}
