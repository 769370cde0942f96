//! The numbers behind a judgement, for whoever asks afterwards: a refused segment has changed nothing, so they
//! are still there.
//!
//! ```text
//!                                       bounds.seq
//!             ┌──────────────────────────────┴──────────────────────────────────────┐
//!             │◄─ largest window the receiver has offered ─► end ◄─ may still be sent ─► limit
//!  ───────────┼─────────────┼────────────────┼───────────┼──────────────────────────┼────► seq
//!                         acked         contiguous      end
//!                           └── exact for an RST ──┘
//! ```
//!
//! Called once there is a refusal and somebody wants to know, or by an explanation: never on the packet path.

use super::connection::Connection;
use super::irregular::Irregular;
use super::refusal::Refusal;
use super::reset;
use super::state::State;
use super::window;
use crate::wire::{Direction, Flags, Segment, Seq};

/// What one endpoint may send now, and what an RST of it must bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The lowest and the highest sequence number of a segment as long as the one asked about.
    pub seq: [Seq; 2],
    /// The lowest and the highest acknowledgement.
    pub ack: [Seq; 2],
    /// The next sequence number expected of it: everything before was let through, with or without holes.
    pub end: Seq,
    /// The highest sequence number that it may send, plus one: its peer's acknowledgement plus window.
    pub limit: Seq,
    /// Everything before it was let through without a hole.
    pub contiguous: Seq,
    /// The highest acknowledgement that its peer has sent; none where it has sent none.
    pub acked: Option<Seq>,
    /// The largest window its peer has offered, in bytes.
    pub window: u32,
}

/// What `sender` may send now, in a segment that takes `length` sequence numbers.
pub fn bounds(connection: &Connection, irregular: &Irregular, sender: Direction, length: u32) -> Bounds {
    let receiver = sender.opposite();
    let peer = connection.peer(sender);
    Bounds {
        seq: window::starts_in_window(connection, sender, length),
        ack: window::ack_range(connection, sender),
        end: peer.end,
        limit: peer.limit,
        contiguous: reset::contiguous(connection, irregular, sender),
        acked: connection.marks.has_acked(receiver).then(|| connection.peer(receiver).ack),
        window: connection.window(receiver),
    }
}

/// The numbers behind a refusal: which number was looked at, and what it should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// The segment's sequence number.
    pub seq: u32,
    /// Its acknowledgement number.
    pub ack: u32,
    /// How many sequence numbers it takes: payload bytes, and one each for SYN and FIN.
    pub length: u32,
    /// The lowest and highest value that would have been accepted, of `ack` where the refusal is about the
    /// acknowledgement, of `seq` otherwise: of a segment of this `length`. None where no value would have been, or
    /// nobody knows which, since the SYN that had to be acknowledged was not sent or not seen.
    pub expected: Option<[u32; 2]>,
    /// The receiver's largest window in bytes.
    pub window: u32,
    /// Of an RST that had to be exact: the two sequence numbers that would have been, its receiver's highest
    /// acknowledgement and the contiguous end of what its sender was let through; often they are the same.
    pub exact: Option<[u32; 2]>,
    /// Of a SYN that met TIME_WAIT: its own timestamp, and the newest one of the old incarnation.
    pub timestamps: Option<[Option<u32>; 2]>,
}

/// The numbers behind `refusal` of a segment that came to `connection`.
pub fn detail(
    connection: &Connection,
    irregular: &Irregular,
    sender: Direction,
    segment: &Segment<'_>,
    refusal: Refusal,
) -> Detail {
    let bounds = bounds(connection, irregular, sender, segment.length());
    let is_rst = segment.flags.has(Flags::RST);
    let expected = match refusal {
        // In SYN_SENT an RST must acknowledge exactly the SYN, with or without the data on it.
        Refusal::AckOutOfWindow if is_rst => syn_acknowledged(connection, sender),
        Refusal::NotSynchronized => syn_acknowledged(connection, sender),
        Refusal::UnexpectedSynAck if answers_anew(connection, sender, segment) => {
            // Of an answer that is no longer awaited, only what acknowledges the SYN alone is challenged.
            syn_acknowledged(connection, sender).map(|[low, _]| [low; 2])
        }
        Refusal::UnexpectedSynAck => syn_acknowledged(connection, sender),
        Refusal::AckOutOfWindow => Some(bounds.ack),
        // RFC 1122 section 4.2.2.13: anything above the next number expected.
        Refusal::TimeWait => Some([bounds.end.plus(1), bounds.end.plus(i32::MAX as u32)]),
        Refusal::AfterFin => Some([bounds.seq[0], bounds.end.minus(segment.length())]),
        Refusal::RstNotExact | Refusal::OutOfWindow if is_rst => Some(rst_range(&bounds)),
        Refusal::RstNotExact | Refusal::OutOfWindow => Some(bounds.seq),
        Refusal::QuietTime | Refusal::NoSyn | Refusal::NoConnection => None,
    };
    let is_about_exactness = is_rst && matches!(refusal, Refusal::RstNotExact | Refusal::OutOfWindow);
    let own = segment.options.timestamps().map(|(value, _)| value);
    Detail {
        seq: segment.seq.0,
        ack: segment.ack.0,
        length: segment.length(),
        expected: expected.map(|[low, high]| [low.0, high.0]),
        window: bounds.window,
        exact: is_about_exactness.then(|| [bounds.acked.unwrap_or(bounds.contiguous).0, bounds.contiguous.0]),
        timestamps: (refusal == Refusal::TimeWait).then(|| [own, connection.timestamp(sender)]),
    }
}

/// From the exact number up to the last one that may be inside the window: where an RST is exact, or inexact by policy.
fn rst_range(bounds: &Bounds) -> [Seq; 2] {
    let low = bounds.acked.unwrap_or(bounds.contiguous);
    [low, bounds.end.max(bounds.limit.minus(1)).max(low)]
}

/// What acknowledges the SYN of the endpoint opposite `sender`: the SYN alone, up to everything it has sent; none where it
/// has sent no SYN, or none that is known.
fn syn_acknowledged(connection: &Connection, sender: Direction) -> Option<[Seq; 2]> {
    let receiver = sender.opposite();
    connection.initial(receiver).map(|initial| [initial.plus(1), connection.peer(receiver).end])
}

/// Whether a SYN-ACK is another one than its sender's own, whose handshake is over.
fn answers_anew(connection: &Connection, sender: Direction, segment: &Segment<'_>) -> bool {
    let may_answer = matches!(connection.state(sender), State::Listen | State::SynReceived);
    !may_answer && connection.initial(sender) != Some(segment.seq)
}

#[cfg(test)]
mod tests {
    use super::super::connection::{Marks, Peer, Stamp};
    use super::super::irregular::Stream;
    use super::*;
    use crate::wire::Options;

    /// ESTABLISHED on both sides: the client's bytes are acknowledged to 1100 and let through to 1200, and may
    /// go on to 2100.
    fn open() -> Connection {
        let mut marks = Marks::new(State::Established, State::Established);
        marks.set_acked(Direction::Original);
        marks.set_acked(Direction::Reply);
        let client = Peer { end: Seq(1200), limit: Seq(2100), ack: Seq(5000), window: 800 };
        let server = Peer { end: Seq(5000), limit: Seq(5800), ack: Seq(1100), window: 1000 };
        Connection {
            marks,
            peers: [client, server],
            stamps: [999, 4999].map(|seq| Stamp::of_initial(Seq(seq))),
        }
    }

    fn of_client(refusal: Refusal, flags: Flags, connection: &Connection) -> Detail {
        let options = Options::default();
        let segment = Segment { seq: Seq(9), ack: Seq(8), flags, window: 7, payload: 10, options };
        detail(connection, &Irregular::default(), Direction::Original, &segment, refusal)
    }

    #[test]
    fn a_segment_is_held_against_window_and_limit() {
        let detail = of_client(Refusal::OutOfWindow, Flags::ACK, &open());
        assert_eq!((detail.seq, detail.ack, detail.length), (9, 8, 10));
        assert_eq!((detail.expected, detail.window), (Some([191, 2099]), 1000));
        assert_eq!(detail.exact, None);
        assert_eq!(of_client(Refusal::AckOutOfWindow, Flags::ACK, &open()).expected, Some([3400, 5000]));
        assert_eq!(of_client(Refusal::AfterFin, Flags::ACK, &open()).expected, Some([191, 1190]));
    }

    /// What `expected` promises is what the judgement does, for every number around the window.
    #[test]
    fn a_segment_is_in_the_window_exactly_if_its_number_is_among_those_expected() {
        let mut overhung = open();
        overhung.peers[0].end = Seq(2_150);
        let mut closed = open();
        closed.peers[0].limit = Seq(1_200);
        for connection in [open(), overhung, closed] {
            for payload in [0, 1, 2, 100, 3_000] {
                let options = Options::default();
                let segment = |seq| Segment {
                    seq: Seq(seq),
                    ack: Seq(0),
                    flags: Flags::ACK,
                    window: 0,
                    payload,
                    options,
                };
                let [low, high] =
                    bounds(&connection, &Irregular::default(), Direction::Original, payload).seq;
                for seq in 0..6_000 {
                    let seq = Seq(seq).minus(3_000);
                    let expected = !seq.is_before(low) && !seq.is_after(high);
                    let is_in = window::is_in_window(&connection, Direction::Original, &segment(seq.0));
                    assert_eq!(is_in, expected, "{seq:?} of {payload} bytes in {low:?}..{high:?}");
                }
            }
        }
    }

    #[test]
    fn an_rst_is_held_against_the_two_exact_numbers_and_the_window_behind() {
        let detail = of_client(Refusal::OutOfWindow, Flags::RST, &open());
        assert_eq!((detail.exact, detail.expected), (Some([1100, 1200]), Some([1100, 2099])));
        let mut holed = open();
        holed.marks.set_hole(Direction::Original, true);
        let mut irregular = Irregular::default();
        irregular.streams[0] = Stream::unbroken(Seq(1150));
        assert_eq!(bounds(&holed, &irregular, Direction::Original, 0).contiguous, Seq(1150));
    }

    #[test]
    fn before_the_handshake_the_syn_itself_has_to_be_acknowledged() {
        let mut opening = open();
        opening.marks = Marks::new(State::Listen, State::SynSent);
        opening.peers[1].end = Seq(5_003);
        for (refusal, flags) in [
            (Refusal::AckOutOfWindow, Flags::RST),
            (Refusal::UnexpectedSynAck, Flags::ACK),
            (Refusal::NotSynchronized, Flags::ACK),
        ] {
            assert_eq!(of_client(refusal, flags, &opening).expected, Some([5_000, 5_003]));
        }
    }

    #[test]
    fn where_no_syn_was_sent_none_can_be_acknowledged() {
        let mut opening = open();
        opening.marks = Marks::new(State::SynSent, State::Listen);
        for (refusal, flags) in
            [(Refusal::UnexpectedSynAck, Flags::SYN.with(Flags::ACK)), (Refusal::NotSynchronized, Flags::ACK)]
        {
            assert_eq!(of_client(refusal, flags, &opening).expected, None);
        }
        let mut picked_up = open();
        picked_up.marks.set_picked_up();
        assert_eq!(of_client(Refusal::UnexpectedSynAck, Flags::ACK, &picked_up).expected, None, "nor known");
    }

    #[test]
    fn once_the_handshake_is_over_only_the_syn_alone_may_be_answered_anew() {
        let syn_ack = Flags::SYN.with(Flags::ACK);
        assert_eq!(of_client(Refusal::UnexpectedSynAck, syn_ack, &open()).expected, Some([5_000; 2]));
    }

    #[test]
    fn a_syn_in_time_wait_needs_a_number_above_the_next_one() {
        let mut waiting = open();
        waiting.marks = Marks::new(State::TimeWait, State::Closed);
        waiting.set_timestamp(Direction::Original, 777);
        let detail = of_client(Refusal::TimeWait, Flags::SYN, &waiting);
        assert_eq!(detail.expected.map(|[low, _]| low), Some(1201));
        assert_eq!(detail.timestamps, Some([None, Some(777)]));
    }
}
