//! Two connections of one tuple, of which only the endpoints' own segments can choose.
//!
//! A SYN-ACK that acknowledges exactly a remembered SYN begins a new incarnation, and so it must: both endpoints may
//! have crashed. But an old SYN and its old answer look the same, and so do two segments that somebody off the path
//! has forged, one in each endpoint's name. What he cannot forge is a segment that fits the numbers of the connection
//! which was there before. So that one is kept as the rival of the new one, and whatever fits it alone brings it back:
//!
//! ```text
//!             SYN, and a SYN-ACK for it
//!   old ─────────────────────────────────► new, rival: old ──┬─ a segment that fits new ─► new, rival: old
//!    ▲                                                       │
//!    └──── new is kept as a younger rival, for MSL ◄─────────┴─ one that fits old alone ─► old, rival: new
//! ```
//!
//! | the rival | is forgotten |
//! |---|---|
//! | older than what is in the table | when the timer that governed it would be over: nobody has sent anything for it |
//! | younger | once the old one goes on for longer than a segment can live (MSL) |
//! | reset | with the end of the handshake: an endpoint that missed the RST may hold it until then |
//!
//! Everything that fits the new one can be forged, so nothing that fits it shows that the old one is gone. A rival
//! that an RST has ended, or that waits in TIME_WAIT, does not come back: what fits it passes, and changes nothing else.

use super::connection::Connection;
use super::irregular::{Irregular, Rival, known_streams};
use super::judge::{Accepted, Judgement, Situation, judge_once};
use super::open::Opening;
use super::policy::Policy;
use super::state::State;
use super::timer::Timer;
use crate::wire::{Direction, Flags, Segment};

impl Rival {
    /// `connection` as a rival. What it remembered is not kept with it.
    fn new(connection: &Connection, mirrored: bool, younger: bool) -> Rival {
        let marks = connection.marks.without_irregular();
        Rival { connection: Connection { marks, ..*connection }, mirrored, younger }
    }

    /// The way of a segment, seen from the rival.
    fn direction(&self, direction: Direction) -> Direction {
        if self.mirrored { direction.opposite() } else { direction }
    }

    /// Whether it is forgotten, now that `connection` is what is in the table.
    pub(super) fn is_forgotten(&self, connection: &Connection, situation: &Situation<'_>) -> bool {
        let timeouts = &situation.policy.timeouts;
        let kept_for = match (self.connection.marks.is_reset(), self.younger) {
            (true, _) => return !is_opening(connection),
            (false, true) => timeouts.msl,
            (false, false) => Timer::of(&self.connection).span(timeouts),
        };
        situation.now.since(situation.note) >= kept_for
    }
}

/// Whether a connection may be needed as a rival of what takes its tuple over: nobody holds one that was never
/// answered, or that both endpoints have closed.
fn is_worth_keeping(connection: &Connection) -> bool {
    connection.has_numbers(Direction::Reply) && !is_closed(connection)
}

/// Whether both endpoints have closed it, and neither has reset it.
fn is_closed(connection: &Connection) -> bool {
    let is_done = |state: &State| matches!(state, State::TimeWait | State::Closed);
    connection.marks.states().iter().all(is_done) && !connection.marks.is_reset()
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

/// Keeps what `judgement` displaces as the rival of what begins. Where the displaced one has an elder rival itself,
/// that stays, unless it was not even open: it is the only one of the three that nobody can have made up.
pub(super) fn displace(situation: &Situation<'_>, judgement: Judgement) -> Judgement {
    let Judgement::Renew(mut opening) = judgement else { return judgement };
    let current = situation.connection;
    let turned = opening.direction != situation.direction;
    let elder = situation.irregular.rival.filter(|rival| {
        let counts = current.marks.remembers() && !rival.younger && !is_over(&rival.connection);
        let was_open = !is_opening(&rival.connection) || is_opening(current);
        counts && was_open && !rival.is_forgotten(current, situation)
    });
    let kept = match elder {
        Some(elder) => Some(Rival { mirrored: elder.mirrored != turned, ..elder }),
        None => is_worth_keeping(current).then(|| Rival::new(current, turned, false)),
    };
    if kept.is_some() {
        opening.connection.marks.set_remembers(true);
        opening.irregular = Some(Irregular { rival: kept, ..opening.irregular.unwrap_or_default() });
    }
    Judgement::Renew(opening)
}

/// What becomes of a segment that the connection in the table has judged: where it does not fit that one, its rival
/// is asked.
pub(super) fn judge(situation: &Situation<'_>, segment: &Segment<'_>, judgement: Judgement) -> Judgement {
    let kept = situation.irregular.rival.filter(|rival| !rival.is_forgotten(situation.connection, situation));
    let Some(rival) = kept else { return judgement };
    let direction = rival.direction(situation.direction);
    // What would begin a third one is a copy of what the rival began with: its answer tells which of them lives.
    let is_syn_of_rival = matches!(judgement, Judgement::Renew(_))
        && segment.flags.has(Flags::SYN)
        && rival.connection.initial(direction) == Some(segment.seq);
    if !is_syn_of_rival && !is_for_rival(situation, segment, &judgement) {
        return judgement;
    }
    let policy = strict(situation.policy);
    let irregular = Irregular { streams: known_streams(&rival.connection), ..Irregular::default() };
    let asked = Situation {
        connection: &rival.connection,
        irregular: &irregular,
        note: situation.now,
        direction,
        policy: &policy,
        now: situation.now,
    };
    let Judgement::Accept(accepted) = judge_once(&asked, segment) else { return judgement };
    let is_ack = !segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::RST);
    if is_ack && !is_over(&rival.connection) {
        return Judgement::Renew(come_back(&asked, situation.connection, &rival, &accepted));
    }
    // An RST ends the rival. A SYN or a SYN-ACK is answered by an endpoint, and that decides: the one in the table stays.
    let passing = if is_ack { situation.repetition() } else { situation.pass() };
    let Judgement::Accept(mut passes) = passing else { return passing };
    passes.remark = accepted.remark;
    passes.irregular.rival = Some(Rival::new(&accepted.connection, rival.mirrored, rival.younger));
    Judgement::Accept(passes)
}

/// Whether a segment with this judgement may belong to the rival: it is refused, or it comes from an endpoint of
/// which nothing is known that it could fit.
fn is_for_rival(situation: &Situation<'_>, segment: &Segment<'_>, judgement: &Judgement) -> bool {
    match judgement {
        Judgement::Refuse(_) => !is_bare_syn(segment),
        Judgement::Accept(_) => {
            let opens = matches!(situation.sender_state(), State::Listen | State::SynSent);
            opens && !segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::RST)
        }
        Judgement::Renew(_) => false,
    }
}

/// Whether it is a SYN without ACK. Any connection lets one pass, so that it says nothing about which one it is for.
fn is_bare_syn(segment: &Segment<'_>) -> bool {
    segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK)
}

/// The rival takes the tuple back, as it is after the segment; `displaced` is its rival now.
fn come_back(asked: &Situation<'_>, displaced: &Connection, rival: &Rival, accepted: &Accepted) -> Opening {
    let mut connection = accepted.connection;
    connection.marks.set_remembers(true);
    let irregular = Irregular {
        rival: Some(Rival::new(displaced, rival.mirrored, !rival.younger)),
        ..Irregular::default()
    };
    Opening {
        connection,
        irregular: Some(irregular),
        timer: Timer::of(&connection),
        note: asked.now,
        direction: asked.direction,
    }
}
