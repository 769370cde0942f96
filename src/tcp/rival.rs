//! Two connections of one tuple, of which only the endpoints' own segments can choose.
//!
//! A SYN-ACK that acknowledges exactly a remembered SYN begins a new incarnation, and so it must: both endpoints may
//! have crashed. But an old SYN and its old answer look the same, and so do two segments that somebody off the path
//! has forged, one in each endpoint's name. What he cannot forge is a segment that fits the numbers of the connection
//! which was there before. So that one is kept as the rival of the new one, and whatever is for it brings it back:
//!
//! ```text
//!             SYN, and a SYN-ACK for it
//!   old ─────────────────────────────────► new, rival: old ──┬─ a segment for new ────────► new, rival: old
//!    ▲                                                       ├─ the timer of new is over ─► old, as it was
//!    └──── new is kept as a younger rival ◄──────────────────┴─ a segment for old ────────► old, rival: new
//! ```
//!
//! Each of the two has a timer of its own. The rival's stands where it stood when it was displaced, since nothing is
//! sent for it; when it is over the rival is forgotten, and when it comes back before, it goes on with what is left.
//! So silence costs a connection nothing that it would not have cost without the other one. One that an RST has ended
//! is kept to the end of the new one's handshake: an endpoint that missed the RST may hold it until then.
//!
//! A segment that fits one of the two is for that one. Windows may be wide, and whoever makes up a connection chooses
//! them: so where it fits both, and is not just the next one of the connection in the table, it is for the one of which
//! it is the next, or else for the rival where that leaves far less to chance ([`window::room`]).
//!
//! Everything that fits the new one can be forged, so nothing that fits it shows that the old one is gone. A rival
//! that an RST has ended, or that waits in TIME_WAIT, does not come back: what is for it passes, and changes nothing
//! else. Only where the other endpoint waits for its last acknowledgement, and shows it, a connection in TIME_WAIT does that
//! the endpoint itself seems to have answered a SYN over: it would have challenged that. There is room for one rival; what
//! becomes of a third connection, `contest` says.

use super::connection::Connection;
use super::contest;
use super::irregular::{Irregular, Rival, known_streams};
use super::judge::{Accepted, Judgement, Situation, judge_once};
use super::open::Opening;
use super::policy::Policy;
use super::reset::{self, Exactness};
use super::state::State;
use super::timer::{Lasts, Rearm};
use super::window;
use crate::time::Tick;
use crate::wire::{Direction, Flags, Segment};

/// How many times as many pairs of numbers must fit the connection in the table as fit its rival, for one that fits
/// both to be for the rival. Between the windows of two honest incarnations there are less, and their numbers may
/// lie close together (RFC 6528); windows that were chosen to catch what is another's have more.
const TOO_MUCH_ROOM: u64 = 1 << 16;

impl Rival {
    /// `connection`, whose timer is over at `deadline`, as a rival. What it remembered is not kept with it, nor what its
    /// streams miss, beyond that they do.
    fn new(connection: &Connection, mirrored: bool, younger: bool, deadline: Tick) -> Rival {
        let marks = connection.marks.without_irregular();
        Rival { connection: Connection { marks, ..*connection }, mirrored, younger, deadline }
    }

    /// The way of a segment, seen from the rival.
    pub fn direction(&self, direction: Direction) -> Direction {
        if self.mirrored { direction.opposite() } else { direction }
    }

    /// Whether it is forgotten, now that `connection` is what is in the table.
    pub(super) fn is_forgotten(&self, connection: &Connection, now: Tick) -> bool {
        let is_reset = self.connection.marks.is_reset();
        if is_reset { !is_opening(connection) } else { self.deadline.has_passed(now) }
    }

    /// Whether it is still alive at `now`, as far as can be known, and so may come back.
    pub fn is_alive(&self, now: Tick) -> bool {
        !is_over(&self.connection) && !self.deadline.has_passed(now)
    }

    /// Whether an endpoint of it may have something to say at `now`: it is alive, or one waits for its last
    /// acknowledgement while the other is in TIME_WAIT.
    pub(super) fn may_speak(&self, now: Tick) -> bool {
        let is_done = self.connection.marks.is_reset() || is_closed(&self.connection);
        !is_done && !self.deadline.has_passed(now)
    }
}

/// Whether a connection may be needed as a rival of what takes its tuple over: nobody holds one that was never
/// answered, or that both endpoints have closed.
fn is_worth_keeping(connection: &Connection) -> bool {
    connection.has_numbers(Direction::Reply) && !is_closed(connection)
}

/// Whether both endpoints have closed it, and neither has reset it.
fn is_closed(connection: &Connection) -> bool {
    connection.marks.states().into_iter().all(State::is_done) && !connection.marks.is_reset()
}

/// The policy by which a segment is held against either of two connections: it must fit, or it says nothing about
/// which of them it is for.
pub(super) fn strict(policy: &Policy) -> Policy {
    Policy { liberal: false, check_window: true, ..*policy }
}

/// Whether it does not come back, whatever fits it.
fn is_over(connection: &Connection) -> bool {
    connection.marks.is_reset() || connection.marks.states().contains(&State::TimeWait)
}

/// Whether the handshake of `connection` goes on.
fn is_opening(connection: &Connection) -> bool {
    let opens = |state: &State| matches!(state, State::Listen | State::SynSent | State::SynReceived);
    connection.marks.states().iter().any(opens)
}

/// The rival of the connection in the table, unless it is forgotten.
fn kept(situation: &Situation<'_>) -> Option<Rival> {
    let Situation { connection, irregular, now, .. } = *situation;
    let rival = irregular.rival.filter(|_| connection.marks.remembers());
    rival.filter(|rival| !rival.is_forgotten(connection, now))
}

/// Keeps what `judgement` displaces as the rival of what begins. Where the displaced one has an elder rival itself,
/// that stays, unless it was not even open: of the three it is the likeliest not to be made up. What finds no room and
/// may be alive leaves the tuple contested.
pub(super) fn displace(situation: &Situation<'_>, judgement: Judgement) -> Judgement {
    let Judgement::Renew(mut opening) = judgement else { return judgement };
    let current = situation.connection;
    let turned = opening.direction != situation.direction;
    let before = kept(situation).map(|it| Rival { mirrored: it.mirrored != turned, younger: false, ..it });
    let displaced = is_worth_keeping(current).then(|| Rival::new(current, turned, false, situation.deadline));
    let is_elder = situation.irregular.rival.is_some_and(|rival| !rival.younger);
    let stays = before.is_some_and(|before| {
        let was_open = !is_opening(&before.connection) || is_opening(current);
        !is_over(&before.connection) && (is_over(current) || is_elder && was_open)
    });
    let (rival, lost) = match displaced {
        Some(displaced) if !stays => (Some(displaced), before),
        Some(_) | None => (before, displaced),
    };
    let contested = contest::after_losing(situation, lost.as_ref());
    if rival.is_some() || contested.is_some() {
        opening.connection.marks.set_remembers(true);
        opening.irregular = Some(Irregular { rival, contested, ..opening.irregular.unwrap_or_default() });
    }
    Judgement::Renew(opening)
}

/// What becomes of a segment that the connection in the table has judged: where it may be for the rival, that is asked.
pub(super) fn judge(situation: &Situation<'_>, segment: &Segment<'_>, judgement: Judgement) -> Judgement {
    let Some(rival) = kept(situation) else { return judgement };
    let policy = strict(situation.policy);
    let irregular = Irregular { streams: known_streams(&rival.connection), ..Irregular::default() };
    let asked = Situation {
        connection: &rival.connection,
        irregular: &irregular,
        note: situation.now,
        deadline: rival.deadline,
        direction: rival.direction(situation.direction),
        policy: &policy,
        now: situation.now,
    };
    if !may_be_for_rival(situation, &asked, segment, &judgement) {
        return judgement;
    }
    let Judgement::Accept(accepted) = judge_once(&asked, segment) else { return judgement };
    if is_bare(segment) && (!is_over(&rival.connection) || cannot_have_answered(situation, &asked, &rival)) {
        return Judgement::Renew(come_back(situation, &asked, &rival, &accepted));
    }
    // An RST ends the rival. A SYN or a SYN-ACK is answered by an endpoint, and that decides: the one in the table stays.
    let passing = if is_bare(segment) { situation.repetition() } else { situation.pass() };
    let Judgement::Accept(mut passes) = passing else { return passing };
    passes.remark = accepted.remark;
    passes.irregular.rival =
        Some(Rival::new(&accepted.connection, rival.mirrored, rival.younger, rival.deadline));
    Judgement::Accept(passes)
}

/// Whether a segment for the rival of `asked` shows that its sender has not answered the SYN of the connection in the
/// table: it waits for the acknowledgement of its FIN, and would have challenged that one (RFC 5961 section 4.2). So
/// nobody has left TIME_WAIT for what is in the table either, but by a SYN of its own that nobody answers. Where the
/// roles are exchanged, the endpoint in TIME_WAIT may have answered (RFC 1122 section 4.2.2.13); and where what is in the
/// table is the elder, it was answered before.
fn cannot_have_answered(situation: &Situation<'_>, asked: &Situation<'_>, rival: &Rival) -> bool {
    let waits = matches!(asked.sender_state(), State::LastAck | State::Closing);
    let has_answered = situation.connection.has_numbers(Direction::Reply);
    waits && situation.direction == Direction::Reply && has_answered && !rival.younger
}

/// Whether it bears neither SYN nor RST: data, an acknowledgement, a FIN.
fn is_bare(segment: &Segment<'_>) -> bool {
    !segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::RST)
}

/// Whether a segment with this `judgement` may be for the rival, whose situation is `asked`: it is refused, or it comes
/// from an endpoint of which nothing is known that it could fit, or fits the rival better.
fn may_be_for_rival(
    situation: &Situation<'_>,
    asked: &Situation<'_>,
    segment: &Segment<'_>,
    judgement: &Judgement,
) -> bool {
    let flags = segment.flags;
    // One that was never answered takes anything for a challenge; first its answer has to come.
    if is_bare(segment) && !asked.connection.has_numbers(Direction::Reply) {
        return false;
    }
    match judgement {
        // Any connection lets a SYN without ACK pass, so that it says nothing about which one it is for.
        Judgement::Refuse(_) => !flags.has(Flags::SYN) || flags.has(Flags::ACK),
        // What would begin a third one is a copy of what the rival began with: its answer tells which of them lives.
        Judgement::Renew(_) => {
            flags.has(Flags::SYN) && asked.connection.initial(asked.direction) == Some(segment.seq)
        }
        Judgement::Accept(_) if flags.has(Flags::SYN) => false,
        Judgement::Accept(accepted) if flags.has(Flags::RST) => {
            accepted.connection == *situation.connection && is_exact(asked, segment)
        }
        Judgement::Accept(_) => {
            let opens = matches!(situation.sender_state(), State::Listen | State::SynSent);
            opens || fits_better(asked, situation, segment)
        }
    }
}

/// Whether an RST is exact for the connection of `asked`.
fn is_exact(asked: &Situation<'_>, segment: &Segment<'_>) -> bool {
    let Situation { connection, irregular, direction, .. } = *asked;
    reset::exactness(connection, irregular, direction, segment) == Ok(Exactness::Exact)
}

/// Whether a segment that fits the windows of both connections is for that of `asked` rather than for that of `other`.
fn fits_better(asked: &Situation<'_>, other: &Situation<'_>, segment: &Segment<'_>) -> bool {
    let is_next = |of: &Situation<'_>| {
        let contiguous = reset::contiguous(of.connection, of.irregular, of.direction);
        segment.seq == contiguous && window::acknowledges_news(of.connection, of.direction, segment)
    };
    let room = |of: &Situation<'_>| window::room(of.connection, of.direction);
    !is_next(other) && (is_next(asked) || room(asked) < room(other) / TOO_MUCH_ROOM)
}

/// The rival takes the tuple back, as it is after the segment; what it displaces is its rival now.
fn come_back(
    situation: &Situation<'_>,
    asked: &Situation<'_>,
    rival: &Rival,
    accepted: &Accepted,
) -> Opening {
    let displaced = Rival::new(situation.connection, rival.mirrored, !rival.younger, situation.deadline);
    let mut connection = accepted.connection;
    connection.marks.set_remembers(true);
    Opening {
        connection,
        irregular: Some(Irregular {
            streams: accepted.irregular.streams,
            rival: Some(displaced),
            contested: contest::until(situation),
            ..Irregular::default()
        }),
        lasts: match accepted.rearm {
            Rearm::Start(timer) => Lasts::For(timer),
            // When its FIN was sent last is not known any more, and `orphan_retries` count from that.
            Rearm::Keep | Rearm::AtMost(_) => Lasts::Until(rival.deadline),
        },
        note: asked.now,
        direction: asked.direction,
    }
}

/// What has the tuple once the connection in the table ends by itself at `now`: its rival, if that is still alive, as
/// it was when it was displaced. The direction of the opening is that of the ended one's originator.
pub fn successor(connection: &Connection, irregular: &Irregular, now: Tick) -> Option<Opening> {
    let rival = irregular.rival.filter(|rival| connection.marks.remembers() && rival.is_alive(now))?;
    let mut connection = rival.connection;
    let contested = irregular.contested.filter(|until| !until.has_passed(now));
    connection.marks.set_remembers(contested.is_some());
    let streams = known_streams(&connection);
    Some(Opening {
        connection,
        irregular: Some(Irregular { streams, contested, ..Irregular::default() }),
        lasts: Lasts::Until(rival.deadline),
        note: now,
        direction: rival.direction(Direction::Original),
    })
}
