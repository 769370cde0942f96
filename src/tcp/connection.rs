//! What is kept of a TCP connection: both states, both windows, and a few marks, in forty bytes.
//!
//! ```text
//!  marks    ┌ for each endpoint: state 4, scale 4, acked, hole, stamped │ … ten bits once, see Marks
//!  windows  │ the largest window each endpoint has offered, in units of its scale
//!  peers    │ end, limit, ack of each endpoint:
//!           │
//!           │        ack of the other        end             limit
//!           │   ───────────┬──────────────────┬────────────────┬─────────► its sequence numbers
//!           │   received   │  let through     │ may be sent    │ beyond its window
//!  stamps   └ each endpoint's initial sequence number; once both have sent a FIN, its newest timestamp
//! ```
//!
//! The tracker only ever reads a [`Connection`] and answers with another one; where the bytes lie is the
//! shard's business, through [`Connection::words`] and [`Connection::from_words`].

use super::state::State;
use crate::wire::{Direction, Seq};

/// The scale that is kept for an endpoint whose SYN offered none (RFC 7323 section 2.2: at most 14 is legal).
pub(super) const NO_SCALE: u8 = 15;

/// One endpoint, as its sequence numbers and acknowledgements show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peer {
    /// The highest sequence number that it has sent, plus one: SYN and FIN count as one each.
    pub end: Seq,
    /// The highest sequence number that it may send, plus one: the other's acknowledgement plus window.
    pub limit: Seq,
    /// The highest acknowledgement that it has sent; counts once [`Marks::has_acked`] says so.
    pub ack: Seq,
    /// The largest window it has offered, in units of its scale.
    pub window: u16,
}

/// A TCP connection as the tracker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// States and everything that is a bit or a few.
    pub marks: Marks,
    /// Originator and responder.
    pub peers: [Peer; 2],
    /// What is known of each endpoint's beginning, or of its end.
    pub stamps: [Stamp; 2],
}

/// An endpoint's initial sequence number or, once both have sent a FIN and nobody asks for that any more, the newest
/// timestamp that it has sent (RFC 7323, for RFC 6191). One word for both: [`Marks`] say which it is, and
/// `Connection::initial` and `Connection::timestamp` answer for that meaning only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp(u32);

impl Stamp {
    /// The initial sequence number of an endpoint that bears no timestamp mark.
    pub(super) const fn of_initial(seq: Seq) -> Stamp {
        Stamp(seq.0)
    }
}

/// States and flags, packed into 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks(u32);

/// Bits of [`Marks`]: a half for each endpoint, the originator's below the responder's, so that each can lie beside
/// that endpoint's numbers. What exists for both has the same place in either half; what exists once lies where the
/// other half has something that is never set while both are ESTABLISHED, or that does not matter then.
mod bit {
    /// How far the responder's half lies above the originator's.
    pub(super) const HALF: u32 = 16;
    pub(super) const ACKED: u32 = 1 << 4;
    pub(super) const HOLE: u32 = 1 << 5;
    pub(super) const STAMPED: u32 = 1 << 6;
    pub(super) const REMEMBERS: u32 = 1 << 7;
    pub(super) const RESET: u32 = REMEMBERS << HALF;
    pub(super) const RESPONDER_UNSEEN: u32 = 1 << 8;
    pub(super) const DATA_SINCE_FIN: u32 = RESPONDER_UNSEEN << HALF;
    pub(super) const PICKED_UP: u32 = 1 << 9;
    pub(super) const FIN_SIDE: u32 = PICKED_UP << HALF;
    /// The lower two bits of a count; the upper two in the responder's half.
    pub(super) const FIN_REPEATS: u32 = 10;
    /// Uppermost, so that one shift gives it.
    pub(super) const SCALE: u32 = 12;
}

impl Marks {
    /// Marks with these states and nothing else.
    pub const fn new(originator: State, responder: State) -> Marks {
        Marks(originator as u32 | (responder as u32) << bit::HALF)
    }

    /// The state of the endpoint that sends in `direction`.
    #[inline]
    pub const fn state(self, sender: Direction) -> State {
        State::from_number((self.0 >> (bit::HALF * sender as u32) & 15) as u8)
    }

    /// Both states, originator first.
    #[inline]
    pub const fn states(self) -> [State; 2] {
        [self.state(Direction::Original), self.state(Direction::Reply)]
    }

    pub(super) fn set_state(&mut self, sender: Direction, state: State) {
        let shift = bit::HALF * sender as u32;
        self.0 = self.0 & !(15 << shift) | (state as u32) << shift;
    }

    /// The window scale that endpoint's SYN has offered, [`NO_SCALE`] for none; once the handshake is
    /// acknowledged, the one in force ([`Connection::settle_scales`]).
    #[inline]
    pub(super) const fn scale(self, sender: Direction) -> u8 {
        (self.0 >> (bit::SCALE + bit::HALF * sender as u32) & 15) as u8
    }

    pub(super) fn set_scale(&mut self, sender: Direction, scale: u8) {
        let shift = bit::SCALE + bit::HALF * sender as u32;
        self.0 = self.0 & !(15 << shift) | (scale as u32 & 15) << shift;
    }

    const fn flag(self, mask: u32) -> bool {
        self.0 & mask != 0
    }

    fn set_flag(&mut self, mask: u32, on: bool) {
        self.0 = if on { self.0 | mask } else { self.0 & !mask };
    }

    /// Whether that endpoint has acknowledged anything yet.
    #[inline]
    pub const fn has_acked(self, sender: Direction) -> bool {
        self.flag(bit::ACKED << (bit::HALF * sender as u32))
    }

    pub(super) fn set_acked(&mut self, sender: Direction) {
        self.set_flag(bit::ACKED << (bit::HALF * sender as u32), true);
    }

    /// Whether something that this endpoint has sent before `end` was not let through: then
    /// [`super::Irregular`] knows more.
    pub const fn has_hole(self, sender: Direction) -> bool {
        self.flag(bit::HOLE << (bit::HALF * sender as u32))
    }

    pub(super) fn set_hole(&mut self, sender: Direction, on: bool) {
        self.set_flag(bit::HOLE << (bit::HALF * sender as u32), on);
    }

    /// Whether a segment is remembered in [`super::Irregular`], such as a SYN that met the live connection.
    pub const fn remembers(self) -> bool {
        self.flag(bit::REMEMBERS)
    }

    pub(super) fn set_remembers(&mut self, on: bool) {
        self.set_flag(bit::REMEMBERS, on);
    }

    /// Whether the connection needs its [`super::Irregular`].
    #[inline]
    pub const fn is_irregular(self) -> bool {
        self.flag(bit::HOLE | bit::HOLE << bit::HALF | bit::REMEMBERS)
    }

    /// Forgets what only an [`super::Irregular`] could tell, where there was no room to keep one: a stream
    /// with a hole then counts as received as far as its receiver acknowledges.
    pub fn without_irregular(mut self) -> Marks {
        self.set_flag(bit::REMEMBERS, false);
        self
    }

    /// Whether that endpoint's stamp is a timestamp rather than its initial sequence number.
    pub(super) const fn is_stamped(self, sender: Direction) -> bool {
        self.flag(bit::STAMPED << (bit::HALF * sender as u32))
    }

    fn set_stamped(&mut self, sender: Direction) {
        self.set_flag(bit::STAMPED << (bit::HALF * sender as u32), true);
    }

    /// Whether a valid RST has ended the connection.
    pub const fn is_reset(self) -> bool {
        self.flag(bit::RESET)
    }

    pub(super) fn set_reset(&mut self) {
        self.set_flag(bit::RESET, true);
    }

    /// Whether the other side has sent new data since the first FIN: a half-close, not a close.
    pub(super) const fn has_data_since_fin(self) -> bool {
        self.flag(bit::DATA_SINCE_FIN)
    }

    pub(super) fn set_data_since_fin(&mut self) {
        self.set_flag(bit::DATA_SINCE_FIN, true);
    }

    /// How often the newest FIN was repeated without an answer, at most 15.
    pub(super) const fn fin_repeats(self) -> u8 {
        let (low, high) = (self.0 >> bit::FIN_REPEATS & 3, self.0 >> (bit::FIN_REPEATS + bit::HALF) & 3);
        (low | high << 2) as u8
    }

    pub(super) fn set_fin_repeats(&mut self, count: u8) {
        let count = if count > 15 { 15 } else { count as u32 };
        let both = 3 << bit::FIN_REPEATS | 3 << (bit::FIN_REPEATS + bit::HALF);
        let spread = (count & 3) << bit::FIN_REPEATS | (count >> 2) << (bit::FIN_REPEATS + bit::HALF);
        self.0 = self.0 & !both | spread;
    }

    /// Who sent the FIN whose repetitions are counted; once they are answered, who has answered.
    pub(super) const fn fin_side(self) -> Direction {
        if self.flag(bit::FIN_SIDE) { Direction::Reply } else { Direction::Original }
    }

    pub(super) fn set_fin_side(&mut self, sender: Direction) {
        self.set_flag(bit::FIN_SIDE, matches!(sender, Direction::Reply));
    }

    /// Whether the connection was seen first in mid-stream: its initial sequence numbers and scales are unknown.
    pub const fn is_picked_up(self) -> bool {
        self.flag(bit::PICKED_UP)
    }

    pub(super) fn set_picked_up(&mut self) {
        self.set_flag(bit::PICKED_UP | bit::RESPONDER_UNSEEN, true);
    }

    /// Whether nothing of the responder was seen, neither since the pickup, so that how far it has sent is
    /// unknown, nor before an RST that ended an open which it had not answered.
    pub(super) const fn is_responder_unseen(self) -> bool {
        self.flag(bit::RESPONDER_UNSEEN)
    }

    pub(super) fn set_responder_unseen(&mut self) {
        self.set_flag(bit::RESPONDER_UNSEEN, true);
    }

    pub(super) fn set_responder_seen(&mut self) {
        self.set_flag(bit::RESPONDER_UNSEEN, false);
    }
}

impl Connection {
    /// The endpoint that sends in `direction`.
    #[inline]
    pub const fn peer(&self, sender: Direction) -> &Peer {
        &self.peers[sender as usize]
    }

    pub(super) fn peer_mut(&mut self, sender: Direction) -> &mut Peer {
        &mut self.peers[sender as usize]
    }

    /// The state of the endpoint that sends in `direction`.
    #[inline]
    pub const fn state(&self, sender: Direction) -> State {
        self.marks.state(sender)
    }

    /// Whether that endpoint has sent its FIN: a CLOSED that no RST has brought about has, and more.
    pub(super) const fn has_sent_fin(&self, sender: Direction) -> bool {
        let state = self.state(sender);
        state.has_sent_fin() || matches!(state, State::Closed) && !self.marks.is_reset()
    }

    /// Whether anything is known of that endpoint's sequence numbers: nothing of a responder that has not
    /// answered, and never did before an RST.
    pub const fn has_numbers(&self, sender: Direction) -> bool {
        let is_mute = self.marks.is_responder_unseen() && !self.marks.is_picked_up();
        matches!(sender, Direction::Original)
            || !(is_mute || matches!(self.state(Direction::Reply), State::Listen))
    }

    /// The initial sequence number of that endpoint, where it is still known.
    pub fn initial(&self, sender: Direction) -> Option<Seq> {
        let known = !self.marks.is_picked_up() && !self.marks.is_stamped(sender) && self.has_numbers(sender);
        known.then(|| Seq(self.stamps[sender.index()].0))
    }

    /// The newest timestamp that endpoint has sent, where one was seen since both have sent a FIN.
    pub(super) fn timestamp(&self, sender: Direction) -> Option<u32> {
        self.marks.is_stamped(sender).then(|| self.stamps[sender.index()].0)
    }

    /// Keeps a timestamp of that endpoint in place of its initial sequence number, or of an older one.
    pub(super) fn set_timestamp(&mut self, sender: Direction, value: u32) {
        self.stamps[sender.index()] = Stamp(value);
        self.marks.set_stamped(sender);
    }

    /// Whether the handshake is still under way: one of them has not acknowledged the other's SYN. Never of a
    /// connection that was picked up behind it, or reset.
    pub fn is_opening(&self) -> bool {
        let is_known = !self.marks.is_picked_up() && !self.marks.is_reset();
        is_known && Direction::BOTH.into_iter().any(|sender| !self.marks.has_acked(sender))
    }

    /// The largest window that endpoint has offered, in bytes.
    pub const fn window(&self, sender: Direction) -> u32 {
        (self.peer(sender).window as u32) << self.effective_scale(sender)
    }

    /// The same as it would stand in a SYN, which is never scaled.
    pub(super) fn raw_window(&self, sender: Direction) -> u16 {
        u16::try_from(self.window(sender)).unwrap_or(u16::MAX)
    }

    /// How far that endpoint's window field is shifted: scaling holds only if both SYNs have offered it
    /// (RFC 7323 section 2.2).
    #[inline]
    pub(super) const fn effective_scale(&self, sender: Direction) -> u8 {
        let scale = self.marks.scale(sender);
        let both = scale != NO_SCALE && self.marks.scale(sender.opposite()) != NO_SCALE;
        if both { scale } else { 0 }
    }

    /// Puts the scales in force in place of those offered: the handshake is acknowledged, and no other answer
    /// to the SYN can follow any more.
    pub(super) fn settle_scales(&mut self) {
        let scales = Direction::BOTH.map(|sender| self.effective_scale(sender));
        for sender in Direction::BOTH {
            self.marks.set_scale(sender, scales[sender.index()]);
        }
    }

    /// Whether `seq` may be the number of that endpoint's own SYN where that is no longer known, since a timestamp is
    /// kept in its place: it lies at most a window back. A copy of the SYN that was overtaken by the FIN is no
    /// attempt to begin anew, and what answers it no new incarnation.
    pub(super) fn may_be_syn_of(&self, sender: Direction, seq: Seq) -> bool {
        let end = self.peer(sender).end;
        let lowest = end.minus(self.window(sender.opposite())).minus(1);
        let is_forgotten = self.marks.is_stamped(sender) && !self.marks.is_picked_up();
        is_forgotten && seq.is_before(end) && !seq.is_before(lowest)
    }

    /// Whether `ack` acknowledges the SYN of `sender`, and nothing that was not seen of it.
    pub(super) fn acknowledges_syn(&self, sender: Direction, ack: Seq) -> bool {
        let end = self.peer(sender).end;
        self.initial(sender).is_some_and(|initial| ack.is_after(initial) && !ack.is_after(end))
    }

    /// The connection as five words of a cache line: two pairs of [`Half`] words, originator's first, and the stamps.
    #[inline]
    pub fn words(&self) -> [u64; 5] {
        let [originator, responder] = Direction::BOTH.map(|side| self.half(side));
        let stamps = u64::from(self.stamps[0].0) | u64::from(self.stamps[1].0) << 32;
        [originator.reach, responder.reach, originator.word, responder.word, stamps]
    }

    /// The connection that [`Connection::words`] wrote.
    #[inline]
    pub fn from_words([a, b, c, d, stamps]: [u64; 5]) -> Connection {
        let halves = [Half { reach: a, word: c }, Half { reach: b, word: d }];
        let marks = u32::from(halves[0].marks()) | u32::from(halves[1].marks()) << bit::HALF;
        let stamps = [Stamp(stamps as u32), Stamp((stamps >> 32) as u32)];
        Connection { marks: Marks(marks), peers: halves.map(Half::peer), stamps }
    }

    /// The half of the endpoint that sends in `sender`.
    #[inline]
    pub(super) fn half(&self, sender: Direction) -> Half {
        Half::of(self.peer(sender), (self.marks.0 >> (bit::HALF * sender as u32)) as u16)
    }
}

/// One endpoint's half of a connection: its numbers, and its half of the marks.
///
/// ```text
///  reach   0 … 31 end │ 32 … 63 limit
///  word    0 … 31 ack │ 32 … 47 window │ 48 … 63 marks: state 4, acked, hole, stamped, 5 others, scale 4
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half {
    /// How far it has sent, and may send.
    pub reach: u64,
    /// What else there is.
    pub word: u64,
}

impl Half {
    #[inline(always)]
    const fn of(peer: &Peer, marks: u16) -> Half {
        Half {
            reach: peer.end.0 as u64 | (peer.limit.0 as u64) << 32,
            word: peer.ack.0 as u64 | ((peer.window as u32 | (marks as u32) << bit::HALF) as u64) << 32,
        }
    }

    /// Its numbers.
    #[inline(always)]
    pub(super) const fn peer(self) -> Peer {
        Peer {
            end: Seq(self.reach as u32),
            limit: Seq((self.reach >> 32) as u32),
            ack: Seq(self.word as u32),
            window: (self.word >> 32) as u16,
        }
    }

    /// The same half with other numbers.
    #[inline(always)]
    pub(super) const fn with(self, peer: &Peer) -> Half {
        Half::of(peer, self.marks())
    }

    #[inline(always)]
    const fn marks(self) -> u16 {
        (self.word >> 48) as u16
    }

    /// The same half with other marks.
    #[inline(always)]
    const fn with_marks(self, marks: u16) -> Half {
        Half { word: self.word & !(0xffff << 48) | (marks as u64) << 48, ..self }
    }

    /// The number of its state, and what lies in that one's place where there is no such state: below 16.
    #[inline(always)]
    pub(super) const fn state_number(self) -> usize {
        (self.word >> 48 & 15) as usize
    }

    /// As [`Marks::has_acked`].
    #[inline(always)]
    pub(super) const fn has_acked(self) -> bool {
        self.marks() & bit::ACKED as u16 != 0
    }

    /// As [`Marks::is_stamped`].
    #[inline(always)]
    pub(super) const fn is_stamped(self) -> bool {
        self.marks() & bit::STAMPED as u16 != 0
    }

    /// The bits of the responder's half that exist once.
    const DATA_SINCE_FIN: u16 = (bit::DATA_SINCE_FIN >> bit::HALF) as u16;
    const FIN_SIDE: u16 = (bit::FIN_SIDE >> bit::HALF) as u16;

    /// As [`Marks::has_data_since_fin`], of the responder's half.
    #[inline(always)]
    pub(super) const fn has_data_since_fin(self) -> bool {
        self.marks() & Half::DATA_SINCE_FIN != 0
    }

    /// The same half in `state`.
    #[inline(always)]
    pub(super) const fn in_state(self, state: State) -> Half {
        Half { word: self.word & !(15 << 48) | (state as u64) << 48, ..self }
    }

    /// The same half with this scale offered.
    #[inline(always)]
    pub(super) const fn in_scale(self, scale: u8) -> Half {
        const LOW: u32 = 48 + bit::SCALE;
        Half { word: self.word & !(15 << LOW) | (scale as u64) << LOW, ..self }
    }

    /// The same half of an endpoint that has acknowledged something.
    #[inline(always)]
    pub(super) const fn acked(self) -> Half {
        Half { word: self.word | (bit::ACKED as u64) << 48, ..self }
    }

    /// The responder's half after a segment: see [`Marks::set_data_since_fin`], and [`Marks::set_fin_side`] if it bore
    /// a FIN, which `fin_side` has sent.
    #[inline(always)]
    pub(super) const fn after_closing(self, has_data_since_fin: bool, fin_side: Option<Direction>) -> Half {
        let data = if has_data_since_fin { Half::DATA_SINCE_FIN } else { 0 };
        let marks = self.marks() | data;
        self.with_marks(match fin_side {
            None => marks,
            Some(Direction::Original) => marks & !Half::FIN_SIDE,
            Some(Direction::Reply) => marks | Half::FIN_SIDE,
        })
    }

    /// How far this endpoint's window field is shifted; see [`Connection::effective_scale`].
    #[inline(always)]
    pub(super) const fn effective_scale(self, other: Half) -> u32 {
        let both = self.scale() != NO_SCALE as u32 && other.scale() != NO_SCALE as u32;
        if both { self.scale() } else { 0 }
    }

    /// Both halves with the scales in force; see [`Connection::settle_scales`].
    #[inline(always)]
    pub(super) const fn settled_with(self, other: Half) -> [Half; 2] {
        const SCALE: u16 = 15 << bit::SCALE;
        if self.scale() == NO_SCALE as u32 || other.scale() == NO_SCALE as u32 {
            [self.with_marks(self.marks() & !SCALE), other.with_marks(other.marks() & !SCALE)]
        } else {
            [self, other]
        }
    }

    /// The window scale in force, once the handshake is acknowledged.
    #[inline(always)]
    pub(super) const fn scale(self) -> u32 {
        (self.word >> (48 + bit::SCALE)) as u32
    }

    /// Whether nothing was lost or repeated, remembered or reset, and nothing is unknown; `self` is the half of who sends
    /// in `sender`.
    #[inline(always)]
    pub(super) const fn is_orderly_with(self, other: Half, sender: Direction) -> bool {
        /// What either half tells: of the responder's, the third is that there was a reset.
        const EITHER: u64 = ((bit::HOLE | 3 << bit::FIN_REPEATS | bit::REMEMBERS) as u64) << 48;
        const ORIGINATOR: u64 = EITHER | ((bit::RESPONDER_UNSEEN | bit::PICKED_UP) as u64) << 48;
        const _: () = assert!(bit::RESET == bit::REMEMBERS << bit::HALF);
        let (own, others) = match sender {
            Direction::Original => (ORIGINATOR, EITHER),
            Direction::Reply => (EITHER, ORIGINATOR),
        };
        self.word & own | other.word & others == 0
    }

    /// Whether the shortest way is right for the connection of this half and `other`: both ESTABLISHED, both have
    /// acknowledged, nothing irregular, nothing unknown.
    #[inline(always)]
    pub(super) fn is_plain_with(self, other: Half) -> bool {
        const LOOKED_AT: u32 =
            (15 | bit::ACKED | bit::HOLE | bit::REMEMBERS | bit::RESPONDER_UNSEEN) << bit::HALF;
        const PLAIN: u32 = (State::Established as u32 | bit::ACKED) << bit::HALF;
        // Upper halves of words: what they are compared with fits an instruction then.
        let [own, other] = [self.word, other.word].map(|word| (word >> 32) as u32);
        ((own ^ PLAIN) | (other ^ PLAIN)) & LOOKED_AT == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_bring_back_the_same_connection() {
        let mut marks = Marks::new(State::FinWait2, State::CloseWait);
        marks.set_scale(Direction::Original, 7);
        marks.set_scale(Direction::Reply, NO_SCALE);
        marks.set_fin_repeats(9);
        marks.set_fin_side(Direction::Reply);
        let peer = |n: u32| Peer { end: Seq(n), limit: Seq(n + 1), ack: Seq(n + 2), window: n as u16 + 3 };
        let connection =
            Connection { marks, peers: [peer(0xffff_0000), peer(77)], stamps: [Stamp(5), Stamp(6)] };
        assert_eq!(Connection::from_words(connection.words()), connection);
    }

    #[test]
    fn every_mark_has_bits_of_its_own() {
        type Set = fn(&mut Marks);
        let setters: [Set; 15] = [
            |m| m.set_scale(Direction::Original, 15),
            |m| m.set_scale(Direction::Reply, 15),
            |m| m.set_acked(Direction::Original),
            |m| m.set_acked(Direction::Reply),
            |m| m.set_hole(Direction::Original, true),
            |m| m.set_hole(Direction::Reply, true),
            |m| m.set_stamped(Direction::Original),
            |m| m.set_stamped(Direction::Reply),
            |m| m.set_remembers(true),
            Marks::set_reset,
            Marks::set_data_since_fin,
            |m| m.set_fin_repeats(15),
            |m| m.set_fin_side(Direction::Reply),
            Marks::set_picked_up,
            |m| {
                m.set_state(Direction::Original, State::from_number(10));
                m.set_state(Direction::Reply, State::from_number(10));
            },
        ];
        let mut taken = 0_u32;
        for set in setters {
            let mut marks = Marks(0);
            set(&mut marks);
            assert_ne!(marks.0, 0);
            assert_eq!(taken & marks.0, 0, "{:#x} is taken twice", taken & marks.0);
            taken |= marks.0;
        }
    }
}
