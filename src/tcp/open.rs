//! How a connection begins: by a SYN, in mid-stream, or by the answer to a remembered SYN.

use super::connection::{Connection, Half, Marks, NO_SCALE, Peer, Stamp};
use super::irregular::{Irregular, Kind, Remembered, Stream};
use super::orderly::Step;
use super::passage::Passage;
use super::policy::Policy;
use super::refusal::Refusal;
use super::state::{Received, Sent, State};
use super::timer::{Lasts, Rearm, Timer};
use crate::time::Tick;
use crate::wire::{Direction, Flags, Segment, Seq};

/// The largest window there can be (RFC 7323 section 2.3): assumed of an endpoint that was not seen yet.
pub(super) const LARGEST_WINDOW: u32 = 1 << 30;
/// The largest scale, assumed where the SYNs were not seen: too wide a window refuses nothing legitimate.
const UNKNOWN_SCALE: u8 = 14;
/// The least window, 16 MiB, that an endpoint is taken to have offered where its SYN was not seen: what it says first may
/// be closed, shrunk (RFC 9293 section 3.8.6) or overtaken by what offered more, and by that the other one may go on.
const UNKNOWN_WINDOW: u16 = 1 << 10;

/// A connection that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The connection after its first segment.
    pub connection: Connection,
    /// Its irregular part, where it begins with one.
    pub irregular: Option<Irregular>,
    /// When it expires.
    pub lasts: Lasts,
    /// When its SYN came, for the handshake's round trip.
    pub note: Tick,
    /// The way its first segment goes, seen from the new connection: its originator is whoever sent the SYN,
    /// also where that was the old connection's responder.
    pub direction: Direction,
}

/// What a segment without a connection begins; refused where it cannot or must not.
#[cold]
pub fn begin(segment: &Segment<'_>, policy: &Policy, quiet: bool, now: Tick) -> Result<Opening, Refusal> {
    if segment.flags.has(Flags::RST) || segment.flags.has(Flags::SYN.with(Flags::ACK)) {
        return Err(Refusal::NoConnection);
    }
    if segment.flags.has(Flags::SYN) {
        return if quiet { Err(Refusal::QuietTime) } else { Ok(by_syn(segment, now)) };
    }
    if policy.loose { Ok(in_mid_stream(segment, now)) } else { Err(Refusal::NoSyn) }
}

/// The first segment is a SYN without ACK: SYN_SENT/LISTEN. As [`begin`] where that is not refused.
#[inline]
pub fn by_syn(segment: &Segment<'_>, now: Tick) -> Opening {
    let connection = syn_sent(&Remembered::new(Kind::Syn, segment, now));
    Opening {
        connection,
        irregular: None,
        lasts: Lasts::For(Timer::SynSent),
        note: now,
        direction: Direction::Original,
    }
}

/// A connection of which nothing but a SYN was seen.
#[inline]
fn syn_sent(syn: &Remembered) -> Connection {
    let mut marks = Marks::new(State::SynSent, State::Listen);
    marks.set_scale(Direction::Original, syn.scale);
    marks.set_scale(Direction::Reply, NO_SCALE);
    let originator = Peer { end: syn.end, limit: syn.end, ack: Seq(0), window: syn.window };
    Connection {
        marks,
        peers: [originator, Peer::default()],
        stamps: [Stamp::of_initial(syn.seq), Stamp::default()],
    }
}

/// Takes in a repetition of the SYN, which may offer what the first one did not: not every path lets every
/// option through, nor every sender repeat them.
pub(super) fn repeat_syn(connection: &mut Connection, sender: Direction, segment: &Segment<'_>) {
    if connection.marks.scale(sender) == NO_SCALE {
        connection.marks.set_scale(sender, segment.options.window_scale().unwrap_or(NO_SCALE));
    }
    let peer = connection.peer_mut(sender);
    peer.end = peer.end.max(segment.end());
    peer.limit = peer.limit.max(segment.end());
    peer.window = peer.window.max(segment.window);
}

/// The first segment seen is none of the handshake's: ESTABLISHED/ESTABLISHED, or with a FIN
/// FIN_WAIT_1/CLOSE_WAIT. What the responder has sent and how far windows are scaled is unknown, so the
/// widest is assumed until it speaks.
fn in_mid_stream(segment: &Segment<'_>, now: Tick) -> Opening {
    let fin = segment.flags.has(Flags::FIN);
    let mut marks = if fin {
        Marks::new(State::FinWait1, State::CloseWait)
    } else {
        Marks::new(State::Established, State::Established)
    };
    marks.set_picked_up();
    marks.set_acked(Direction::Original);
    marks.set_scale(Direction::Original, UNKNOWN_SCALE);
    marks.set_scale(Direction::Reply, UNKNOWN_SCALE);
    let window = segment.window.max(UNKNOWN_WINDOW);
    let originator = Peer { end: segment.end(), limit: segment.end(), ack: segment.ack, window };
    let responder = Peer { end: segment.ack, limit: segment.ack, ack: Seq(0), window: u16::MAX };
    let mut connection = Connection { marks, peers: [originator, responder], stamps: [Stamp::default(); 2] };
    leave_open(&mut connection);
    let lasts = Lasts::For(Timer::of(&connection));
    Opening { connection, irregular: None, lasts, note: now, direction: Direction::Original }
}

/// As long as only one side of a stream is seen, which may be for good where the other one takes another way, nobody
/// knows how far either may send: the largest window beyond what it was seen, or is acknowledged, to have sent.
pub(super) fn leave_open(connection: &mut Connection) {
    for peer in &mut connection.peers {
        peer.limit = peer.end.plus(LARGEST_WINDOW);
    }
}

/// Whether a segment of `sender` shows how far a stream is of which only one side was seen. What lies far off, in sequence
/// number or acknowledgement, passes as well, but anybody can write it: if numbers moved by that, those of the endpoints
/// would be what lies far off. So the farthest is half of what passes behind them whatever was offered.
pub(super) fn is_near(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    let far = (u32::from(UNKNOWN_WINDOW) << UNKNOWN_SCALE) / 2;
    let lies_around = |number: Seq, known: Seq| known.plus(far).offset_from(number) <= 2 * far;
    lies_around(segment.seq, connection.peer(sender).end)
        && lies_around(segment.ack, connection.peer(sender.opposite()).end)
}

/// Both sides of a stream that was picked up were seen now, the responder by a segment that offers `window`: each may
/// send as far as the other has offered.
pub(super) fn narrow(connection: &mut Connection, window: u16) {
    connection.marks.set_responder_seen();
    connection.peer_mut(Direction::Reply).window = window.max(UNKNOWN_WINDOW);
    for sender in Direction::BOTH {
        let window = connection.window(sender.opposite());
        let peer = connection.peer_mut(sender);
        peer.limit = peer.end.plus(window);
    }
}

/// A SYN-ACK that answers a remembered SYN: ESTABLISHED/SYN_RECEIVED at once. `replaced` is the SYN that the
/// old connection had begun with, where that one was still opening: it may yet be the one that lives
/// (RFC 9293 figure 8), so it is remembered in turn.
pub(super) fn by_syn_ack(
    syn: &Remembered,
    segment: &Segment<'_>,
    replaced: Option<Remembered>,
    now: Tick,
) -> Opening {
    let mut connection = syn_sent(syn);
    let syn_ack = Remembered::new(Kind::SynAck, segment, now);
    answer(&mut connection, Direction::Reply, &syn_ack, Some(segment.ack));
    let irregular = replaced.map(|replaced| {
        connection.marks.set_remembers(true);
        let streams = connection.peers.map(|peer| Stream::unbroken(peer.end));
        Irregular { streams, remembered: [Some(replaced), None], ..Irregular::default() }
    });
    let lasts = Lasts::For(Timer::of(&connection));
    Opening { connection, irregular, lasts, note: syn.came_at(now), direction: Direction::Reply }
}

/// Takes in a SYN-ACK of `sender` that acknowledges the other's SYN, or the SYN of a simultaneous open:
/// numbers, windows and scales. The window of a SYN itself is never scaled.
pub(super) fn answer(connection: &mut Connection, sender: Direction, syn: &Remembered, ack: Option<Seq>) {
    let other = sender.opposite();
    let other_window = connection.raw_window(other);
    connection.marks.set_scale(sender, syn.scale);
    let first = syn.seq.plus(1);
    *connection.peer_mut(sender) = Peer {
        end: syn.end,
        limit: first.plus(u32::from(other_window)).max(syn.end),
        ack: ack.unwrap_or_default(),
        window: units(syn.window, connection.effective_scale(sender)),
    };
    connection.peer_mut(other).window = units(other_window, connection.effective_scale(other));
    connection.stamps[sender.index()] = Stamp::of_initial(syn.seq);

    let own = connection.state(sender);
    let theirs = connection.state(other);
    if let Some(ack) = ack {
        connection.marks.set_acked(sender);
        let limit = ack.plus(u32::from(syn.window));
        let peer = connection.peer_mut(other);
        peer.limit = peer.limit.max(limit);
        connection.marks.set_state(sender, own.sent(Sent::SynAck));
        connection.marks.set_state(other, theirs.received(Received::SynAck));
    } else {
        let limit = connection.peer(other).end.plus(u32::from(syn.window));
        connection.peer_mut(other).limit = limit;
        connection.marks.set_state(sender, own.sent(Sent::Syn).received(Received::Syn));
        connection.marks.set_state(other, theirs.received(Received::Syn));
    }
}

/// Takes in the handshake's second segment, where it is as it should be: a SYN-ACK of the responder (`own`) that
/// acknowledges the SYN of the originator (`other`), the only segment that was seen before; `stamps` is the last of
/// [`Connection::words`]. Says what becomes of both halves, and of that word; `None` where that takes more.
///
/// Like [`judge_orderly`](super::judge_orderly) it answers only what [`judge`](super::judge) would answer, and is held
/// against that by every test of the tracker.
#[inline(always)]
pub fn judge_answer(
    sender: Direction,
    own: Half,
    other: Half,
    stamps: u64,
    segment: &Segment<'_>,
) -> Option<(Step, u64)> {
    const BEFORE: [State; 2] = [State::Listen, State::SynSent];
    const AFTER: [State; 2] = [State::Listen.sent(Sent::SynAck), State::SynSent.received(Received::SynAck)];
    let is_syn_ack = segment.flags.has(Flags::SYN.with(Flags::ACK)) && !segment.flags.has(Flags::RST);
    let is_awaited = own.state_number() == BEFORE[0] as usize
        && other.state_number() == BEFORE[1] as usize
        && matches!(sender, Direction::Reply)
        && own.is_orderly_with(other, sender)
        && own.scale() == u32::from(NO_SCALE)
        && !other.is_stamped();
    let mut to = other.peer();
    let acknowledges = segment.ack.is_after(Seq(stamps as u32)) && !segment.ack.is_after(to.end);
    if !is_syn_ack || !is_awaited || !acknowledges {
        return None;
    }
    // As in `answer`, of a connection that no scale is in force of yet.
    let scale = segment.options.window_scale().unwrap_or(NO_SCALE);
    let both = own.in_scale(scale);
    let right_edge = segment.seq.plus(1).plus(u32::from(to.window));
    let from = Peer {
        end: segment.end(),
        limit: right_edge.max(segment.end()),
        ack: segment.ack,
        window: units(segment.window, both.effective_scale(other) as u8),
    };
    to.window = units(to.window, other.effective_scale(both) as u8);
    to.limit = to.limit.max(segment.ack.plus(u32::from(segment.window)));
    let step = Step {
        own: both.with(&from).in_state(AFTER[0]).acked(),
        other: other.with(&to).in_state(AFTER[1]),
        before: BEFORE,
        after: AFTER,
        passage: const { Passage::of(BEFORE, AFTER) },
        was_opening: true,
        is_opening: true,
        rearm: Rearm::Start(const { Timer::of_states(AFTER[0], AFTER[1]) }),
    };
    Some((step, stamps & u64::from(u32::MAX) | u64::from(segment.seq.0) << 32))
}

impl Connection {
    /// The connection after a segment of `sender`, and what that does to its timer, if [`judge_answer`] takes it: for
    /// whoever has a connection at hand rather than in a table.
    pub fn after_answer(&self, sender: Direction, segment: &Segment<'_>) -> Option<(Connection, Rearm)> {
        let (own, other, [.., stamps]) = (self.half(sender), self.half(sender.opposite()), self.words());
        let (step, stamps) = judge_answer(sender, own, other, stamps, segment)?;
        Some((step.connection(sender, stamps), step.rearm))
    }
}

/// A SYN's unscaled window in units of `scale`, rounded up.
const fn units(window: u16, scale: u8) -> u16 {
    (window as u32).div_ceil(1 << scale) as u16
}
