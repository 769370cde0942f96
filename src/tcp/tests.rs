//! Segments through the tracker, told as the protocol tells them.
//!
//! `A` is the originator, `B` the responder; numbers are relative to 1000 and 5000, their initial sequence
//! numbers, so that `a(ACK, 1, 1)` is the handshake's last segment.

mod edges;
mod endings;
mod recovery;
mod rivals;
mod stamps;
mod time_wait;
mod timers;

use super::*;
use crate::time::{Span, Tick};
use crate::wire::{Direction, Flags, Options, Segment, Seq};
use Direction::{Original, Reply};
use State::*;

const A: u32 = 1000;
const B: u32 = 5000;
const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;
const RST: Flags = Flags::RST;
const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);
const RST_ACK: Flags = Flags::RST.with(Flags::ACK);

/// A connection under test, committed as the shard does.
struct Track {
    policy: Policy,
    connection: Connection,
    irregular: Irregular,
    note: Tick,
    now: Tick,
    deadline: Tick,
    /// Whether A is the responder now: the connection was taken over by one that B opened.
    turned: bool,
}

/// What became of a segment, in short.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Outcome {
    Ok,
    Remark(Refusal),
    New,
    No(Refusal),
}
use Outcome::{New, No, Ok as Fine, Remark};

fn segment(flags: Flags, seq: u32, ack: u32, payload: u32) -> Segment<'static> {
    Segment { seq: Seq(seq), ack: Seq(ack), flags, window: 1000, payload, options: Options(&[]) }
}

impl Track {
    fn begun_by(first: &Segment<'_>, policy: Policy) -> Track {
        let now = Tick::new(u32::MAX - 5_000);
        let opening = begin(first, &policy, false, now).expect("it may begin");
        let mut track = Track {
            policy,
            connection: opening.connection,
            irregular: Irregular::default(),
            note: opening.note,
            now,
            deadline: now,
            turned: false,
        };
        track.deadline = opening.lasts.deadline(&policy.timeouts, now);
        track
    }

    fn syn_sent() -> Track {
        Track::begun_by(&segment(SYN, A, 0, 0), Policy::DEFAULT)
    }

    fn established() -> Track {
        Track::established_under(Policy::DEFAULT)
    }

    fn established_under(policy: Policy) -> Track {
        let mut track = Track::begun_by(&segment(SYN, A, 0, 0), policy);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.a(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        track
    }

    /// A closes first, B answers: TIME_WAIT/CLOSED.
    fn time_wait(policy: Policy) -> Track {
        let mut track = Track::established_under(policy);
        track.a(FIN_ACK, 1, 1);
        track.b(ACK, 1, 2);
        track.b(FIN_ACK, 1, 2);
        track.a(ACK, 2, 2);
        assert_eq!(track.states(), [TimeWait, Closed]);
        track
    }

    fn states(&self) -> [State; 2] {
        self.connection.marks.states()
    }

    /// Milliseconds until the deadline.
    fn left(&self) -> u32 {
        self.deadline.since(self.now).milliseconds()
    }

    fn wait(&mut self, milliseconds: u32) {
        self.now = self.now.after(Span::from_milliseconds(milliseconds));
    }

    fn a(&mut self, flags: Flags, seq: u32, ack: u32) -> Outcome {
        self.a_data(flags, seq, ack, 0)
    }

    fn b(&mut self, flags: Flags, seq: u32, ack: u32) -> Outcome {
        self.b_data(flags, seq, ack, 0)
    }

    fn a_data(&mut self, flags: Flags, seq: u32, ack: u32, payload: u32) -> Outcome {
        self.send(Original, &segment(flags, A.wrapping_add(seq), B.wrapping_add(ack), payload))
    }

    fn b_data(&mut self, flags: Flags, seq: u32, ack: u32, payload: u32) -> Outcome {
        self.send(Reply, &segment(flags, B.wrapping_add(seq), A.wrapping_add(ack), payload))
    }

    fn rearm(&mut self, rearm: Rearm) {
        match rearm {
            Rearm::Keep => {}
            Rearm::Start(timer) => self.deadline = self.now.after(timer.span(&self.policy.timeouts)),
            Rearm::AtMost(span) => {
                let sooner = self.now.after(span);
                if sooner.is_before(self.deadline) {
                    self.deadline = sooner;
                }
            }
        }
    }

    /// Another connection takes the tuple, by a segment that goes `direction`.
    fn take_over(&mut self, opening: &Opening, direction: Direction) {
        self.turned ^= opening.direction != direction;
        self.connection = opening.connection;
        self.irregular = Irregular::from_words(opening.irregular.unwrap_or_default().words());
        self.note = opening.note;
        self.deadline = opening.lasts.deadline(&self.policy.timeouts, self.now);
    }

    fn send(&mut self, direction: Direction, segment: &Segment<'_>) -> Outcome {
        let plain = self.connection.after_plain(direction, segment);
        let situation = Situation {
            connection: &self.connection,
            irregular: &self.irregular,
            note: self.note,
            deadline: self.deadline,
            direction,
            policy: &self.policy,
            now: self.now,
        };
        let judgement = judge(&situation, segment);
        if let Some(answered) = self.connection.after_answer(direction, segment) {
            let Judgement::Accept(whole) = judgement else { panic!("it answers: {segment:?}") };
            assert_eq!(answered, (whole.connection, whole.rearm));
            assert_eq!((self.note, None), (whole.note, whole.remark));
            assert!(!whole.connection.marks.is_irregular());
        }
        if let Some(orderly) = self.connection.after_orderly(direction, segment) {
            let Judgement::Accept(whole) = judgement else { panic!("it is orderly: {segment:?}") };
            assert_eq!(orderly, (whole.connection, whole.rearm));
            let note = if segment.flags.has(Flags::FIN) { self.now } else { self.note };
            assert_eq!((note, None), (whole.note, whole.remark));
        }
        if let Some(plain) = plain {
            let Judgement::Accept(whole) = judgement else { panic!("the hot path accepts {segment:?}") };
            assert_eq!((plain, Rearm::Start(Timer::Established)), (whole.connection, whole.rearm));
        }
        match judgement {
            Judgement::Accept(accepted) => {
                self.connection = accepted.connection;
                self.irregular = Irregular::from_words(accepted.irregular.words());
                self.note = accepted.note;
                self.rearm(accepted.rearm);
                accepted.remark.map_or(Fine, Remark)
            }
            Judgement::Renew(opening) => {
                self.take_over(&opening, direction);
                New
            }
            Judgement::Refuse(refusal) => No(refusal),
        }
    }
}

mod opening {
    use super::*;

    #[test]
    fn three_way_handshake() {
        let mut track = Track::syn_sent();
        assert_eq!(track.states(), [SynSent, Listen]);
        assert_eq!(track.left(), 120_000);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.states(), [Established, SynReceived]);
        assert_eq!(track.left(), 60_000);
        assert_eq!(track.a(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        assert_eq!(track.left(), 7_440_000);
    }

    #[test]
    fn simultaneous_open() {
        let mut track = Track::syn_sent();
        assert_eq!(track.b(SYN, 0, 0), Fine);
        assert_eq!(track.states(), [SynReceived, SynReceived]);
        assert_eq!(track.a(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.states(), [SynReceived, Established]);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn repeated_syns_do_not_prolong_syn_sent() {
        let mut track = Track::syn_sent();
        track.wait(1000);
        assert_eq!(track.a(SYN, 0, 0), Fine);
        assert_eq!(track.left(), 119_000);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        track.wait(1000);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.left(), 59_000);
    }

    #[test]
    fn a_refused_connection() {
        let mut track = Track::syn_sent();
        assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 7, 0)), No(Refusal::AckOutOfWindow));
        assert_eq!(track.send(Reply, &segment(RST, 0, 0, 0)), No(Refusal::AckOutOfWindow));
        assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 1, 0)), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
        assert_eq!(track.left(), 10_000);
        assert_eq!(track.a(SYN, 100, 0), New);
    }

    #[test]
    fn an_answer_to_another_syn_is_refused() {
        let mut track = Track::syn_sent();
        assert_eq!(track.b(SYN_ACK, 0, 2), No(Refusal::UnexpectedSynAck));
        assert_eq!(track.b(ACK, 1, 1), No(Refusal::NotSynchronized));
        assert_eq!(track.states(), [SynSent, Listen]);
    }

    #[test]
    fn the_last_acknowledgement_must_cover_the_syn() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        assert_eq!(track.a(ACK, 1, 0), No(Refusal::AckOutOfWindow));
        assert_eq!(track.a(ACK, 1, 0_u32.wrapping_sub(1_000_000)), No(Refusal::AckOutOfWindow));
        assert_eq!(track.a(ACK, 1, 1), Fine);
    }

    #[test]
    fn data_on_the_syn() {
        let mut track = Track::begun_by(&segment(SYN, A, 0, 100), Policy::DEFAULT);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine, "only the SYN is acknowledged");
        assert_eq!(track.a_data(ACK, 1, 1, 100), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn the_round_trip_is_known_by_the_tick_of_the_first_syn() {
        let mut track = Track::syn_sent();
        let begun = track.now;
        track.wait(40);
        track.b(SYN_ACK, 0, 1);
        track.wait(60);
        track.a(ACK, 1, 1);
        assert_eq!(track.note, begun);
    }

    #[test]
    fn never_from_a_syn_ack_or_an_rst() {
        for flags in [SYN_ACK, RST, RST_ACK] {
            let refused = begin(&segment(flags, A, B, 0), &Policy::DEFAULT, false, Tick::new(0));
            assert_eq!(refused, Err(Refusal::NoConnection));
        }
    }

    #[test]
    fn mid_stream_only_if_loose() {
        let strict = Policy { loose: false, ..Policy::DEFAULT };
        assert_eq!(begin(&segment(ACK, A, B, 0), &strict, false, Tick::new(0)), Err(Refusal::NoSyn));
        let track = Track::begun_by(&segment(ACK, A, B, 0), Policy::DEFAULT);
        assert_eq!(track.states(), [Established, Established]);
        let track = Track::begun_by(&segment(FIN_ACK, A, B, 0), Policy::DEFAULT);
        assert_eq!(track.states(), [FinWait1, CloseWait]);
    }

    #[test]
    fn quiet_time_stops_syns_but_not_what_is_under_way() {
        let syn = begin(&segment(SYN, A, 0, 0), &Policy::DEFAULT, true, Tick::new(0));
        assert_eq!(syn, Err(Refusal::QuietTime));
        assert!(begin(&segment(ACK, A, B, 0), &Policy::DEFAULT, true, Tick::new(0)).is_ok());
    }

    #[test]
    fn in_mid_stream_the_other_side_may_be_ahead() {
        let mut track = Track::begun_by(&segment(ACK, A, B, 0), Policy::DEFAULT);
        assert_eq!(track.a(ACK, 0, 9000), Fine, "B sent that before anyone looked");
        assert_eq!(track.b_data(ACK, 12_000, 0, 100), Fine);
        assert_eq!(track.a(ACK, 0, 12_100), Fine);
        let window = 1 << 24;
        assert_eq!(track.a(ACK, 0, 12_101 + window), No(Refusal::AckOutOfWindow), "more than it may send");
    }
}

mod windows {
    use super::*;

    #[test]
    fn data_within_the_window_and_beyond() {
        let mut track = Track::established();
        assert_eq!(track.a_data(ACK, 1, 1, 1000), Fine);
        assert_eq!(track.a_data(ACK, 1001, 1, 2), No(Refusal::OutOfWindow));
        assert_eq!(track.a_data(ACK, 1001, 1, 1), Fine, "a zero-window probe");
        assert_eq!(track.b(ACK, 1, 1003), No(Refusal::AckOutOfWindow));
        assert_eq!(track.b(ACK, 1, 1002), Fine);
    }

    #[test]
    fn a_keep_alive_and_a_retransmission_fit() {
        let mut track = Track::established();
        assert_eq!(track.a_data(ACK, 1, 1, 500), Fine);
        assert_eq!(track.b(ACK, 1, 501), Fine);
        track.wait(5000);
        assert_eq!(track.a(ACK, 500, 1), Fine);
        assert_eq!(track.left(), 7_440_000, "a keep-alive starts the timer again");
        assert_eq!(track.a_data(ACK, 1, 1, 500), Fine);
        assert_eq!(track.a(ACK, 501_u32.wrapping_sub(1001), 1), No(Refusal::OutOfWindow));
    }

    /// A byte beyond the window, a probe or somebody else's, must not push out what may have to be sent again.
    #[test]
    fn all_in_flight_may_be_sent_again_though_it_is_one_more_than_the_window() {
        let mut track = Track::established();
        assert_eq!(track.a_data(ACK, 902, 1, 100), Fine, "the last byte is behind the window");
        assert_eq!(track.a_data(ACK, 1, 1, 100), Fine);
        assert_eq!(track.a_data(ACK, 0, 1, 1), No(Refusal::OutOfWindow), "acknowledged");
    }

    #[test]
    fn windows_are_scaled_only_if_both_offer_it() {
        let scaled = Options(&[3, 3, 4, 0]);
        for (answer, room) in [(scaled, 16_000), (Options(&[]), 1000)] {
            let syn = Segment { options: scaled, ..segment(SYN, A, 0, 0) };
            let mut track = Track::begun_by(&syn, Policy::DEFAULT);
            track.send(Reply, &Segment { options: answer, ..segment(SYN_ACK, B, A + 1, 0) });
            track.a(ACK, 1, 1);
            assert_eq!(track.a_data(ACK, 1001, 1, 2), No(Refusal::OutOfWindow), "a SYN's is never scaled");
            track.b(ACK, 1, 1);
            assert_eq!(track.a_data(ACK, 1 + room, 1, 2), No(Refusal::OutOfWindow));
            assert_eq!(track.a_data(ACK, 1, 1, room), Fine);
        }
    }

    #[test]
    fn liberal_lets_through_and_changes_nothing() {
        let mut track = Track::established_under(Policy { liberal: true, ..Policy::DEFAULT });
        let before = track.connection;
        assert_eq!(track.a_data(ACK, 50_000, 1, 10), Fine);
        assert_eq!(track.a(RST, 50_000, 1), No(Refusal::OutOfWindow), "but never an RST");
        assert_eq!(track.connection, before);
    }

    #[test]
    fn without_check_window_any_number_fits() {
        let mut track = Track::established_under(Policy { check_window: false, ..Policy::DEFAULT });
        assert_eq!(track.a_data(ACK, 50_000, 70_000, 10), Fine);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut track = Track::begun_by(&segment(SYN, u32::MAX, 0, 0), Policy::DEFAULT);
        assert_eq!(track.send(Reply, &segment(SYN_ACK, u32::MAX - 1, 0, 0)), Fine);
        assert_eq!(track.send(Original, &segment(ACK, 0, u32::MAX, 900)), Fine);
        assert_eq!(track.send(Reply, &segment(ACK, u32::MAX, 900, 900)), Fine);
        assert_eq!(track.send(Original, &segment(ACK, 900, 899, 0)), Fine);
    }

    #[test]
    fn an_acknowledgement_ahead_of_its_stream_moves_nothing() {
        let mut track = Track::established();
        // Inside the window and with an acceptable acknowledgement, as anybody may guess it (RFC 5961 section 5).
        let before = track.connection;
        assert_eq!(track.b(ACK, 100, 1), Fine);
        assert_eq!(
            track.connection, before,
            "nothing was sent up to there, and nothing is missing before it"
        );
        track.b(FIN_ACK, 1, 1);
        track.a(ACK, 1, 2);
        assert_eq!(track.states(), [CloseWait, FinWait2], "the FIN arrives as if it had never been there");
    }
}

mod closing {
    use super::*;

    #[test]
    fn four_segments_and_time_wait() {
        let mut track = Track::established();
        assert_eq!(track.a(FIN_ACK, 1, 1), Fine);
        assert_eq!((track.states(), track.left()), ([FinWait1, CloseWait], 120_000));
        assert_eq!(track.b(ACK, 1, 2), Fine);
        assert_eq!((track.states(), track.left()), ([FinWait2, CloseWait], 60_000));
        assert_eq!(track.b(FIN_ACK, 1, 2), Fine);
        assert_eq!((track.states(), track.left()), ([TimeWait, LastAck], 60_000));
        track.wait(10);
        assert_eq!(track.a(ACK, 2, 2), Fine);
        assert_eq!((track.states(), track.left()), ([TimeWait, Closed], 59_990));
    }

    #[test]
    fn the_responder_closes_first_and_three_segments_suffice() {
        let mut track = Track::established();
        track.b(FIN_ACK, 1, 1);
        assert_eq!(track.states(), [CloseWait, FinWait1]);
        track.a(FIN_ACK, 1, 2);
        assert_eq!(track.states(), [LastAck, TimeWait]);
        track.b(ACK, 2, 2);
        assert_eq!(track.states(), [Closed, TimeWait]);
    }

    #[test]
    fn crossed_fins_are_closing_on_both_sides() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        track.b(FIN_ACK, 1, 1);
        assert_eq!((track.states(), track.left()), ([Closing, Closing], 30_000));
        track.a(ACK, 2, 2);
        assert_eq!(track.states(), [Closing, TimeWait]);
        track.wait(50);
        track.b(ACK, 2, 2);
        assert_eq!((track.states(), track.left()), ([TimeWait, TimeWait], 60_000));
    }

    #[test]
    fn a_fin_behind_a_hole_has_not_arrived() {
        let mut track = Track::established();
        assert_eq!(track.a(FIN_ACK, 101, 1), Fine);
        assert_eq!(track.states(), [FinWait1, Established]);
        assert_eq!(track.a_data(ACK, 1, 1, 100), Fine);
        assert_eq!(track.states(), [FinWait1, CloseWait]);
    }

    #[test]
    fn an_acknowledged_fin_has_arrived_whatever_was_seen() {
        let mut track = Track::established();
        track.a(FIN_ACK, 101, 1);
        assert_eq!(track.b(ACK, 1, 102), Fine);
        assert_eq!(track.states(), [FinWait2, CloseWait]);
    }

    #[test]
    fn a_half_close_lives_by_the_other_sides_data() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        track.b(ACK, 1, 2);
        assert_eq!(track.left(), 60_000);
        track.b_data(ACK, 1, 2, 100);
        assert_eq!(track.left(), 3_600_000);
        track.wait(500);
        track.a(ACK, 2, 101);
        assert_eq!(track.left(), 3_599_500, "pure ACKs do not");
        track.b_data(ACK, 1, 2, 100);
        assert_eq!(track.left(), 3_599_500, "nor does old data");
        track.b_data(ACK, 101, 2, 100);
        assert_eq!(track.left(), 3_600_000);
    }

    #[test]
    fn data_between_the_fin_and_its_acknowledgement_makes_a_half_close() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        track.b_data(ACK, 1, 1, 100);
        track.b(ACK, 101, 2);
        assert_eq!(track.left(), 3_600_000);
    }

    #[test]
    fn nothing_starts_fin_timeout_again() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        track.b(ACK, 1, 2);
        track.wait(1000);
        track.b(ACK, 1, 2);
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.left(), 59_000);
    }

    #[test]
    fn orphan_retries_end_the_wait() {
        let policy = Policy { orphan_retries: 3, ..Policy::DEFAULT };
        let mut track = Track::established_under(policy);
        track.a(FIN_ACK, 1, 1);
        for interval in [200, 400] {
            track.wait(interval);
            track.a(FIN_ACK, 1, 1);
            assert_eq!(track.left(), 120_000, "a repeated FIN starts fin_wait_1 again");
        }
        track.wait(800);
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.left(), 1600, "twice the last interval");
        track.wait(1500);
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.left(), 100, "used up");
    }

    #[test]
    fn without_retries_a_repeated_fin_starts_nothing_again() {
        let mut track = Track::established_under(Policy { orphan_retries: 0, ..Policy::DEFAULT });
        track.a(FIN_ACK, 1, 1);
        track.wait(3000);
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.left(), 117_000);
    }

    #[test]
    fn an_answer_gives_the_retries_back() {
        let mut track = Track::established_under(Policy { orphan_retries: 2, ..Policy::DEFAULT });
        track.a(FIN_ACK, 1, 1);
        track.a(FIN_ACK, 1, 1);
        track.b_data(ACK, 1, 1, 10);
        track.a(FIN_ACK, 1, 11);
        assert_eq!(track.left(), 120_000);
    }

    #[test]
    fn nothing_comes_after_a_fin() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.a_data(ACK, 2, 1, 10), No(Refusal::AfterFin));
    }

    /// RFC 9293 section 3.10.7.4: what was received already is dropped, its FIN with it.
    #[test]
    fn a_fin_where_data_lay_is_none() {
        let mut track = Track::established();
        assert_eq!(track.a_data(ACK, 1, 1, 500), Fine);
        assert_eq!(track.a(FIN_ACK, 300, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        assert_eq!(track.a(FIN_ACK, 501, 1), Fine);
        assert_eq!(track.states(), [FinWait1, CloseWait]);
        track.wait(1000);
        assert_eq!(track.a(FIN_ACK, 300, 1), Fine, "no repetition either");
        assert_eq!(track.left(), 119_000);
        assert_eq!(track.a(FIN_ACK, 501, 1), Fine);
        assert_eq!(track.left(), 120_000);
    }

    #[test]
    fn a_fin_in_syn_received() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.states(), [FinWait1, CloseWait]);
    }
}

mod resets {
    use super::*;

    #[test]
    fn exact_ends_and_inexact_changes_nothing() {
        let mut track = Track::established();
        track.a_data(ACK, 1, 1, 100);
        track.b(ACK, 1, 51);
        let before = track.connection;
        track.wait(10);
        assert_eq!(track.a(RST, 60, 1), Remark(Refusal::RstNotExact), "between the two exact ones");
        assert_eq!(track.a(RST, 500, 1), Remark(Refusal::RstNotExact), "above, inside the window");
        assert_eq!(track.a(RST, 50, 1), No(Refusal::OutOfWindow));
        assert_eq!(track.a(RST, 1051, 1), No(Refusal::OutOfWindow));
        assert_eq!((track.connection, track.left()), (before, 7_439_990));
        for exact in [51, 101] {
            let mut track = Track { ..Track::established() };
            track.a_data(ACK, 1, 1, 100);
            track.b(ACK, 1, 51);
            assert_eq!(track.a(RST, exact, 1), Fine);
            assert_eq!((track.states(), track.left()), ([Closed, Closed], 10_000));
        }
    }

    #[test]
    fn inexact_may_be_refused() {
        let policy = Policy { inexact_rst: InexactRst::Drop, ..Policy::DEFAULT };
        let mut track = Track::established_under(policy);
        assert_eq!(track.a(RST, 2, 1), No(Refusal::RstNotExact));
    }

    #[test]
    fn behind_a_hole_the_contiguous_end_is_exact() {
        let mut track = Track::established();
        track.a_data(ACK, 101, 1, 100);
        assert_eq!(track.a(RST, 201, 1), Remark(Refusal::RstNotExact));
        assert_eq!(track.a(RST, 1, 1), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
    }

    #[test]
    fn after_a_reset_late_segments_fit_and_a_syn_begins_afresh() {
        let mut track = Track::established();
        track.a(RST, 1, 1);
        track.wait(10);
        assert_eq!(track.b_data(ACK, 1, 1, 100), Fine);
        assert_eq!(track.a(RST, 1, 1), Fine);
        assert_eq!(track.a_data(ACK, 9000, 1, 1), No(Refusal::OutOfWindow));
        assert_eq!((track.states(), track.left()), ([Closed, Closed], 9_990));
        assert_eq!(track.b(SYN, 9, 0), New);
        assert_eq!(track.states(), [SynSent, Listen]);
    }

    #[test]
    fn time_wait_is_not_assassinated_unless_allowed() {
        let mut track = Track::time_wait(Policy::DEFAULT);
        assert_eq!(track.b(RST, 2, 2), Fine);
        assert_eq!((track.states(), track.left()), ([TimeWait, Closed], 60_000));
        let policy = Policy { time_wait_assassination: true, ..Policy::DEFAULT };
        let mut track = Track::time_wait(policy);
        assert_eq!(track.b(RST, 100, 2), Remark(Refusal::RstNotExact), "above what was there");
        assert_eq!(track.b(RST, 1, 2), Fine, "late, but not exact: nothing");
        assert_eq!(track.states(), [TimeWait, Closed]);
        assert_eq!(track.b(RST, 2, 2), Fine);
        assert_eq!((track.states(), track.left()), ([Closed, Closed], 10_000));
    }
}

mod syn_on_a_live_connection {
    use super::*;

    #[test]
    fn goes_through_and_changes_nothing() {
        let mut track = Track::established();
        let before = (track.connection.peers, track.states());
        track.wait(10);
        assert_eq!(track.a(SYN, 70_000, 0), Fine);
        assert_eq!((track.connection.peers, track.states()), before);
        assert_eq!(track.left(), 7_439_990);
        assert_eq!(track.b(ACK, 1, 1), Fine, "the challenge ACK passes");
    }

    #[test]
    fn a_challenge_and_a_reset_end_the_old_one() {
        let mut track = Track::established();
        track.a(SYN, 70_000, 0);
        track.b(ACK, 1, 1);
        assert_eq!(track.a(RST, 1, 0), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
        assert_eq!(track.a(SYN, 70_000, 0), New);
    }

    #[test]
    fn answered_it_begins_a_new_incarnation() {
        let mut track = Track::established();
        track.a(SYN, 70_000, 0);
        track.a(SYN, 90_000, 0);
        assert_eq!(track.b(SYN_ACK, 800, 70_001), No(Refusal::UnexpectedSynAck), "the newest counts");
        assert_eq!(track.b(SYN_ACK, 800, 90_001), New);
        assert_eq!(track.states(), [Established, SynReceived]);
        assert_eq!(track.a(ACK, 90_001, 801), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn the_responders_syn_turns_the_connection_round() {
        let mut track = Track::established();
        assert_eq!(track.b(SYN, 70_000, 0), Fine);
        assert_eq!(track.a(SYN_ACK, 800, 70_001), New);
        assert_eq!(track.states(), [Established, SynReceived]);
        // B is the originator now.
        assert_eq!(track.send(Original, &segment(ACK, B + 70_001, A + 801, 0)), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn is_forgotten_once_its_sender_goes_on_as_before() {
        let mut track = Track::established();
        track.a(SYN, 70_000, 0);
        assert_eq!(track.b_data(ACK, 1, 1, 10), Fine);
        track.wait(29_999);
        assert_eq!(track.a(ACK, 1, 11), Fine, "this may be an old duplicate, which live for MSL");
        track.wait(1);
        assert_eq!(track.b_data(ACK, 11, 1, 10), Fine);
        assert!(track.connection.marks.remembers(), "the other side says nothing about it");
        assert_eq!(track.a(ACK, 1, 21), Fine);
        assert!(!track.connection.marks.is_irregular());
        assert_eq!(track.b(SYN_ACK, 800, 70_001), No(Refusal::UnexpectedSynAck));
    }

    #[test]
    fn refused_by_a_peer_that_lost_its_state_the_refusal_passes_and_ends_nothing() {
        let mut track = Track::established();
        track.a(SYN, 70_000, 0);
        let refusal = segment(RST_ACK, 0, A + 70_001, 0);
        assert_eq!(track.send(Reply, &refusal), Remark(Refusal::RstNotExact));
        assert_eq!(track.states(), [Established, Established]);
        let wrong = segment(RST_ACK, 0, A + 70_002, 0);
        assert_eq!(track.send(Reply, &wrong), No(Refusal::OutOfWindow));
    }

    #[test]
    fn refused_in_syn_sent_it_leaves_the_first_one_to_be_answered() {
        let mut track = Track::syn_sent();
        assert_eq!(track.a(SYN, 700, 0), Fine);
        assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 701, 0)), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
        assert_eq!(track.b(SYN_ACK, 0, 1), New, "whoever sent the other one was not the originator");
        assert_eq!(track.a(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn recovery_from_an_old_duplicate_syn() {
        // RFC 9293 figure 8: the old duplicate overtakes, is answered, and reset.
        let mut track = Track::syn_sent();
        assert_eq!(track.a(SYN, 4_294_967_206, 0), Fine, "the old duplicate, 90 before");
        assert_eq!(track.b(SYN_ACK, 300, 4_294_967_207), New);
        assert_eq!(track.a(RST, 4_294_967_207, 0), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
        assert_eq!(track.b(SYN_ACK, 400, 1), New, "the SYN that was replaced is remembered");
        assert_eq!(track.a(ACK, 1, 401), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn an_own_syn_that_comes_late_is_a_repetition() {
        let mut track = Track::established();
        assert_eq!(track.a(SYN, 0, 0), Fine);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.states(), [Established, Established], "no new incarnation");
    }
}

/// Every transition of a closing that loses each of its waves once ends where it should.
#[test]
fn after_a_refused_connection_nothing_depends_on_where_numbers_begin() {
    // Of the responder no number was ever seen; whatever it says now must not be held against zero.
    for base in [0_u32, 1, 77, 0x7fff_fff0, 0x8000_0000, u32::MAX] {
        let mut track = Track::syn_sent();
        assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 1, 0)), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
        assert_eq!(
            track.send(Reply, &segment(RST_ACK, base, A + 1, 0)),
            Fine,
            "a repeated SYN, refused again"
        );
        assert_eq!(track.send(Reply, &segment(RST_ACK, base, A + 2, 0)), No(Refusal::AckOutOfWindow));
        assert_eq!(track.send(Reply, &segment(RST, base, 0, 0)), No(Refusal::AckOutOfWindow));
        assert_eq!(track.send(Reply, &segment(ACK, base, A + 1, 0)), No(Refusal::NotSynchronized));
        assert_eq!(track.send(Original, &segment(ACK, A + 1, base, 0)), No(Refusal::NotSynchronized));
    }
}

#[test]
fn a_syn_ack_that_crosses_the_rst_of_who_opened_is_no_crime() {
    for base in [0_u32, 4_711, 0x8000_0000] {
        let mut track = Track::syn_sent();
        assert_eq!(track.a(RST, 1, 0), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
        assert_eq!(track.send(Reply, &segment(SYN_ACK, base, A + 1, 0)), Fine);
        assert_eq!(track.send(Reply, &segment(SYN_ACK, base, A + 9, 0)), No(Refusal::UnexpectedSynAck));
        assert_eq!(track.states(), [Closed, Closed]);
    }
}

#[test]
fn a_refusal_changes_nothing_in_any_state() {
    for track in [
        Track::syn_sent(),
        Track::established(),
        Track::time_wait(Policy::DEFAULT),
        Track::begun_by(&segment(ACK, A, B, 0), Policy::DEFAULT),
    ] {
        let mut track = track;
        let before = (track.connection, track.irregular, track.deadline);
        for (flags, seq) in [(ACK, 3_000_000_000), (RST, 3_000_000_000), (FIN_ACK, 3_000_000_000)] {
            assert!(matches!(track.a(flags, seq, 1), No(_)));
        }
        assert_eq!((track.connection, track.irregular, track.deadline), before);
    }
}
