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
//! segment ended is no repetition. Then two states, a FIN and whether everything is acknowledged say what becomes of both
//! states and of the timer, and the compiler has worked that out for all of them ([`MOVES`]).

use super::connection::{Connection, Half, Peer};
use super::passage::Passage;
use super::state::{Received, Sent, State};
use super::timer::{Rearm, Timer};
use crate::wire::{Ack, Direction, Segment, Seq};

/// What an orderly segment changes; nothing irregular comes of it.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The sender's half after it.
    pub own: Half,
    /// The other endpoint's half after it.
    pub other: Half,
    /// Both states before it, the sender's first.
    pub before: [State; 2],
    /// Both states after it, the sender's first.
    pub after: [State; 2],
    /// What these four states say.
    pub passage: Passage,
    /// Whether the handshake was under way before it; see [`Connection::is_opening`].
    pub was_opening: bool,
    /// Whether it still is.
    pub is_opening: bool,
    /// What happens to the timer.
    pub rearm: Rearm,
}

/// Judges a segment against the halves of its sender (`own`) and of the `other` endpoint; `stamps` is the last of
/// [`Connection::words`]. `None` where it takes more.
#[inline(always)]
pub fn judge_orderly(sender: Direction, own: Half, other: Half, stamps: u64, segment: &Ack) -> Option<Step> {
    // Compiled for either: behind the handshake many of the questions have one answer.
    if own.has_acked() && other.has_acked() {
        judge_phase::<false>(sender, own, other, stamps, segment)
    } else {
        judge_phase::<true>(sender, own, other, stamps, segment)
    }
}

/// The same in one phase of the connection: `WAS_OPENING` says whether one endpoint has not acknowledged anything yet.
#[inline(always)]
fn judge_phase<const WAS_OPENING: bool>(
    sender: Direction,
    own: Half,
    other: Half,
    stamps: u64,
    segment: &Ack,
) -> Option<Step> {
    let (from, to) = (own.peer(), other.peer());
    let is_fin = segment.control.has_fin();
    let event = usize::from(is_fin) | usize::from(segment.ack == to.end) << 1;
    let Some(moved) = &MOVES[own.state_number()][other.state_number()][event] else { return None };

    let is_first = WAS_OPENING && !own.has_acked();
    // No less than before, and the other's SYN to begin with.
    let lowest = if is_first { initial(stamps, sender.opposite()).plus(1) } else { from.ack };
    // As in `judge_plain`: the highest bit of each says that it lies outside.
    let outside = from.limit.plus(1).offset_from(segment.end())
        | segment.ack.offset_from(lowest)
        | to.end.offset_from(segment.ack);
    let brings = Traits::of(segment, is_first, segment.ack != from.ack);
    if segment.seq != from.end
        || outside >> 31 != 0
        || !own.is_orderly_with(other, sender)
        || moved.excludes.meets(brings)
    {
        return None;
    }
    if is_first && other.is_stamped() {
        return None;
    }
    let window = from.window.max(segment.control.window());
    // Once the handshake is acknowledged, the scale in force is the one that is kept.
    let scale = if WAS_OPENING { own.effective_scale(other) } else { own.scale() };
    let right_edge = segment.ack.plus(u32::from(segment.control.window()) << scale);
    let from = Peer { end: segment.end(), ack: segment.ack, window, ..from };
    let to = Peer { limit: to.limit.max(right_edge), ..to };
    let mut after =
        [own.with(&from).in_state(moved.after[0]).acked(), other.with(&to).in_state(moved.after[1])];
    if is_first {
        after = after[0].settled_with(after[1]);
    }
    let is_data_since_fin = moved.other_closed && segment.payload > 0;
    // The responder's half has number 1 where the originator sends, as `after` has the sender's first.
    let responder = sender.opposite().index();
    if is_fin || is_data_since_fin {
        after[responder] = after[responder].after_closing(is_data_since_fin, is_fin.then_some(sender));
    }
    let is_half_closed = after[responder].has_data_since_fin();
    Some(Step {
        own: after[0],
        other: after[1],
        before: moved.before,
        after: moved.after,
        passage: moved.passage,
        was_opening: WAS_OPENING,
        is_opening: WAS_OPENING && !other.has_acked(),
        rearm: moved.rearm(brings, is_half_closed),
    })
}

/// The initial sequence number of the endpoint that sends in `side`.
#[inline(always)]
const fn initial(stamps: u64, side: Direction) -> Seq {
    Seq((stamps >> (32 * side as u32)) as u32)
}

/// What there is to a segment, as a set.
#[derive(Clone, Copy)]
struct Traits(u8);

impl Traits {
    const NONE: Traits = Traits(0);
    /// What every segment has.
    const ANY: Traits = Traits(1);
    const DATA: Traits = Traits(1 << 1);
    const OPTIONS: Traits = Traits(1 << 2);
    /// It is not the first of its sender that acknowledges something.
    const LATER: Traits = Traits(1 << 3);
    /// Data, or a new acknowledgement.
    const NEWS: Traits = Traits(1 << 4);

    #[inline(always)]
    fn of(segment: &Ack, is_first: bool, acknowledges_more: bool) -> Traits {
        let has_data = segment.payload > 0;
        // All of them by arithmetic: any may hold or not, and no branch could be foretold.
        let has = |is_so: bool, others: Traits| u8::from(is_so) * others.0;
        Traits(
            Traits::ANY.0
                | has(has_data, Traits::DATA)
                | has(segment.control.has_options(), Traits::OPTIONS)
                | has(!is_first, Traits::LATER)
                | has(has_data | is_first | acknowledges_more, Traits::NEWS),
        )
    }

    #[inline(always)]
    const fn and_if(self, condition: bool, others: Traits) -> Traits {
        Traits(if condition { self.0 | others.0 } else { self.0 })
    }

    /// Whether the two have any in common.
    #[inline(always)]
    const fn meets(self, other: Traits) -> bool {
        self.0 & other.0 != 0
    }
}

/// What an orderly segment does to both states and their timer.
#[derive(Clone, Copy)]
struct Move {
    /// The sender's state and the other's.
    before: [State; 2],
    after: [State; 2],
    passage: Passage,
    /// The timer that governs afterwards, as long as nothing was sent after the first FIN.
    timer: Timer,
    /// What starts that: the contract's table "what starts it again", for what is not repeated.
    starts: Traits,
    /// What takes more than this.
    excludes: Traits,
    /// The other endpoint's FIN came before.
    other_closed: bool,
}

impl Move {
    /// What a segment that brings these does to the timer; `is_half_closed` says whether there was data
    /// after the first FIN.
    #[inline(always)]
    const fn rearm(&self, brings: Traits, is_half_closed: bool) -> Rearm {
        if !self.starts.meets(brings) {
            Rearm::Keep
        } else if matches!(self.timer, Timer::FinTimeout) && is_half_closed {
            Rearm::Start(Timer::HalfClosed)
        } else {
            Rearm::Start(self.timer)
        }
    }

    /// Whether an endpoint in state `own` sends a segment, with or without a FIN, to one in state `other` that
    /// acknowledges everything or not, and what comes of it. `None` where it does not, or where that takes more.
    const fn of(own: State, other: State, is_fin: bool, acknowledges_all: bool) -> Option<Move> {
        let is_bare = own.has_sent_fin();
        if !is_synchronized(own) || !is_open(other) || is_fin && is_bare {
            return None;
        }
        let other_closed = other.has_sent_fin();
        let ends_handshake = matches!(other, State::SynReceived);
        let acknowledged = if ends_handshake {
            other.received(Received::AckOfSyn)
        } else if other_closed && acknowledges_all {
            other.received(Received::AckOfFin)
        } else {
            other
        };
        // A FIN reaches the other endpoint, since everything before it has. If it does not acknowledge the other's, the
        // two crossed.
        let (own_after, other_after) = if is_fin {
            let crossed = other_closed && !acknowledges_all;
            let event = if crossed { Sent::CrossedFin } else { Sent::Fin };
            (own.sent(event), acknowledged.received(Received::Fin))
        } else {
            (own, acknowledged)
        };
        let (before, after) = ([own, other], [own_after, other_after]);
        let excludes = Traits::NONE
            // Behind its own FIN an endpoint sends nothing but acknowledgements.
            .and_if(is_bare, Traits::DATA)
            // From the second FIN on timestamps are kept.
            .and_if(other_closed && (is_fin || is_bare), Traits::OPTIONS)
            // Where nobody checks it (`check_window`), it may have acknowledged less than the SYN before.
            .and_if(ends_handshake, Traits::LATER);
        let timer = Timer::of_states(own_after, other_after);
        let passage = Passage::of(before, after);
        Some(Move { before, after, passage, timer, starts: starts(before, after), excludes, other_closed })
    }
}

/// What starts the timer of the states `after`, of a segment that came in the states `before`.
const fn starts(before: [State; 2], after: [State; 2]) -> Traits {
    let timer = Timer::of_states(after[0], after[1]);
    if Timer::of_states(before[0], before[1]) as u8 != timer as u8 {
        return Traits::ANY;
    }
    match timer {
        Timer::Established => Traits::ANY,
        // Only the endpoint that has not sent its FIN yet may bear any, so it is new data since the other's.
        Timer::FinTimeout | Timer::HalfClosed => Traits::DATA,
        Timer::FinWait1 => Traits::NEWS,
        Timer::TimeWait if enters_time_wait(before, after) => Traits::ANY,
        Timer::SynSent | Timer::SynReceived | Timer::Closing | Timer::TimeWait | Timer::Closed => {
            Traits::NONE
        }
    }
}

/// Whether either endpoint enters TIME_WAIT, be the other one there already or not.
const fn enters_time_wait(before: [State; 2], after: [State; 2]) -> bool {
    let [own, other] = [
        matches!(after[0], State::TimeWait) && !matches!(before[0], State::TimeWait),
        matches!(after[1], State::TimeWait) && !matches!(before[1], State::TimeWait),
    ];
    own || other
}

/// Whether an endpoint in `state` sends segments in order: it has sent its SYN and received the other's, and is not done.
const fn is_synchronized(state: State) -> bool {
    match state {
        State::Established
        | State::CloseWait
        | State::FinWait1
        | State::FinWait2
        | State::Closing
        | State::LastAck
        | State::TimeWait => true,
        State::Closed | State::Listen | State::SynSent | State::SynReceived => false,
    }
}

/// Whether an endpoint in `state` has sent its SYN, and is not done yet.
const fn is_open(state: State) -> bool {
    is_synchronized(state) || matches!(state, State::SynReceived)
}

/// [`Move::of`] by the sender's state, the other's, and whether there is a FIN (1) and everything is acknowledged (2).
static MOVES: [[[Option<Move>; 4]; 16]; 16] = {
    let mut table = [[[None; 4]; 16]; 16];
    let mut cell = 0;
    while cell < 4 * State::ALL.len() * State::ALL.len() {
        let (event, states) = (cell % 4, cell / 4);
        let (own, other) = (states / State::ALL.len(), states % State::ALL.len());
        table[own][other][event] =
            Move::of(State::ALL[own], State::ALL[other], event & 1 != 0, event & 2 != 0);
        cell += 1;
    }
    table
};

impl Connection {
    /// The connection after a segment of `sender`, and what that does to its timer, if [`judge_orderly`] takes it: for
    /// whoever has a connection at hand rather than in a table.
    pub fn after_orderly(&self, sender: Direction, segment: &Segment<'_>) -> Option<(Connection, Rearm)> {
        let (own, other, [.., stamps]) = (self.half(sender), self.half(sender.opposite()), self.words());
        let step = judge_orderly(sender, own, other, stamps, &Ack::of(segment)?)?;
        Some((step.connection(sender, stamps), step.rearm))
    }
}

impl Step {
    /// The connection after this step of `sender`, with that for the last of its words.
    pub(super) fn connection(&self, sender: Direction, stamps: u64) -> Connection {
        let [originator, responder] = match sender {
            Direction::Original => [self.own, self.other],
            Direction::Reply => [self.other, self.own],
        };
        let words = [originator.reach, responder.reach, originator.word, responder.word, stamps];
        Connection::from_words(words)
    }
}
