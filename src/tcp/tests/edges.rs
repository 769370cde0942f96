//! Windows at their edges: what an endpoint would take passes, and what it would not does not.

use super::*;

/// A connection whose initial sequence numbers are `a` and `b`, with windows of 1000.
fn established_at(a: u32, b: u32) -> Track {
    let mut track = Track::begun_by(&segment(SYN, a, 0, 0), Policy::DEFAULT);
    let [a, b] = [a, b].map(|isn| isn.wrapping_add(1));
    assert_eq!(track.send(Reply, &segment(SYN_ACK, b.wrapping_sub(1), a, 0)), Fine);
    assert_eq!(track.send(Original, &segment(ACK, a, b, 0)), Fine);
    track
}

impl Track {
    /// A segment of B that offers `window`.
    fn b_offers(&mut self, seq: u32, ack: u32, window: u16) -> Outcome {
        self.send(Reply, &Segment { window, ..segment(ACK, B + seq, A + ack, 0) })
    }
}

#[test]
fn a_segment_that_overhangs_the_window_fits_and_may_be_acknowledged_whole() {
    let mut track = Track::established();
    assert_eq!(track.a_data(ACK, 1, 1, 600), Fine);
    assert_eq!(track.a_data(ACK, 601, 1, 1400), Fine, "400 of it lie inside");
    assert_eq!(track.b(ACK, 1, 2002), No(Refusal::AckOutOfWindow));
    let mut trimmed = Track { ..Track::established() };
    trimmed.a_data(ACK, 1, 1, 600);
    trimmed.a_data(ACK, 601, 1, 1400);
    assert_eq!(trimmed.b(ACK, 1, 1001), Fine, "cut off at the window's edge");
    assert_eq!(trimmed.a_data(ACK, 1001, 1, 1000), Fine);
    assert_eq!(track.b(ACK, 1, 2001), Fine, "taken whole");
}

#[test]
fn what_overhangs_may_be_repeated_but_not_continued() {
    let mut track = Track::established();
    assert_eq!(track.a_data(ACK, 901, 1, 1000), Fine);
    assert_eq!(track.a_data(ACK, 1901, 1, 100), No(Refusal::OutOfWindow), "wholly outside");
    assert_eq!(track.a_data(ACK, 901, 1, 1000), Fine);
    assert_eq!(track.a(ACK, 1901, 1), Fine, "a pure ACK bears the next number");
    assert_eq!(track.a_data(ACK, 1, 1, 900), Fine, "a window back from its edge");
}

#[test]
fn a_segment_wholly_outside_is_refused_on_either_side() {
    let mut track = Track::established();
    assert_eq!(track.a_data(ACK, 1001, 1, 1), Fine, "a probe of one byte at the edge");
    assert_eq!(track.a_data(ACK, 1002, 1, 1), No(Refusal::OutOfWindow));
    assert_eq!(track.a_data(ACK, 1001, 1, 2), No(Refusal::OutOfWindow));
    let mut track = Track::established();
    track.a_data(ACK, 1, 1, 1000);
    track.b(ACK, 1, 1001);
    assert_eq!(track.a_data(ACK, 0, 1, 1), No(Refusal::OutOfWindow), "its last byte is one before");
    assert_eq!(track.a_data(ACK, 0, 1, 2), Fine);
}

#[test]
fn old_data_and_new_in_one_segment() {
    let mut track = Track::established();
    for _ in 0..3 {
        let end = track.connection.peer(Original).end;
        let ack = segment(ACK, B + 1, end.0, 0);
        assert_eq!(track.send(Original, &segment(ACK, end.0, B + 1, 1000)), Fine);
        track.send(Reply, &ack);
        track.send(Reply, &segment(ACK, B + 1, end.0 + 1000, 0));
    }
    assert_eq!(track.a_data(ACK, 1, 1, 3100), Fine, "begins three windows back, ends with news");
    assert_eq!(track.b(ACK, 1, 3101), Fine);
}

#[test]
fn a_fin_beyond_the_edge_has_arrived_once_it_is_acknowledged() {
    let mut track = Track::established();
    assert_eq!(track.a_data(FIN_ACK, 501, 1, 501), Fine, "501 to 1001, and a FIN at 1002");
    assert_eq!(track.states(), [FinWait1, Established]);
    assert_eq!(track.a_data(ACK, 1, 1, 500), Fine);
    assert_eq!(track.states(), [FinWait1, Established], "B may have cut it off");
    let mut sent_again = Track { ..Track::established() };
    sent_again.a_data(FIN_ACK, 501, 1, 501);
    sent_again.a_data(ACK, 1, 1, 500);
    assert_eq!(track.b(ACK, 1, 1003), Fine);
    assert_eq!(track.states(), [FinWait2, CloseWait], "it did not");
    assert_eq!(sent_again.b(ACK, 1, 1001), Fine, "it did");
    assert_eq!(sent_again.states(), [FinWait1, Established]);
    assert_eq!(sent_again.a_data(FIN_ACK, 1001, 1, 1), Fine);
    assert_eq!(sent_again.states(), [FinWait1, CloseWait]);
}

#[test]
fn an_rst_behind_what_overhangs_is_heard() {
    let mut track = Track::established();
    track.a_data(ACK, 501, 1, 1000);
    assert_eq!(track.a(RST, 1501, 1), Remark(Refusal::RstNotExact), "exact if all was taken");
    assert_eq!(track.a(RST, 1502, 1), No(Refusal::OutOfWindow));
}

#[test]
fn a_zero_window_its_probes_and_its_end() {
    let mut track = Track::established();
    track.a_data(ACK, 1, 1, 1000);
    assert_eq!(track.b_offers(1, 1001, 0), Fine);
    track.wait(300);
    assert_eq!(track.a_data(ACK, 1001, 1, 1), Fine, "a probe of one byte");
    assert_eq!(track.b_offers(1, 1001, 0), Fine);
    assert_eq!(track.a(ACK, 1000, 1), Fine, "a probe of none, one number back");
    assert_eq!(track.a_data(ACK, 1001, 1, 1), Fine, "and again");
    assert_eq!(track.a_data(ACK, 1002, 1, 10), No(Refusal::OutOfWindow));
    assert_eq!(track.left(), 7_440_000);
    assert_eq!(track.b_offers(1, 1002, 500), Fine, "it was taken");
    assert_eq!(track.a_data(ACK, 1002, 1, 500), Fine);
}

#[test]
fn data_on_a_syn_is_sent_again_though_the_answer_offers_less() {
    let mut track = Track::begun_by(&segment(SYN, A, 0, 1400), Policy::DEFAULT);
    assert_eq!(track.send(Reply, &Segment { window: 500, ..segment(SYN_ACK, B, A + 1, 0) }), Fine);
    assert_eq!(track.a_data(ACK, 1, 1, 100), Fine);
    assert_eq!(track.b(ACK, 1, 101), Fine);
    assert_eq!(track.states(), [Established, Established]);
}

#[test]
fn a_connection_that_begins_with_a_zero_window() {
    let mut track = Track::syn_sent();
    assert_eq!(track.send(Reply, &Segment { window: 0, ..segment(SYN_ACK, B, A + 1, 0) }), Fine);
    assert_eq!(track.a(ACK, 1, 1), Fine);
    assert_eq!(track.a_data(ACK, 1, 1, 1), Fine);
    assert_eq!(track.a(ACK, 0, 1), Fine);
    assert_eq!(track.b_offers(1, 1, 10), Fine);
    assert_eq!(track.a_data(ACK, 1, 1, 10), Fine);
}

#[test]
fn a_window_that_shrank_does_not_stop_what_was_allowed_before() {
    let mut track = Track::established();
    track.a_data(ACK, 1, 1, 1000);
    assert_eq!(track.b_offers(1, 501, 10), Fine, "501 + 10 instead of 1001");
    assert_eq!(track.a_data(ACK, 501, 1, 500), Fine, "sent again");
    assert_eq!(track.a_data(ACK, 1, 1, 1000), Fine, "and a whole window back");
    assert_eq!(track.b_offers(1, 1001, 10), Fine);
}

#[test]
fn keep_alives_with_and_without_a_byte_are_answered() {
    let mut track = Track::established();
    for payload in [0, 1] {
        track.wait(60_000);
        assert_eq!(track.a_data(ACK, 0, 1, payload), Fine);
        assert_eq!(track.left(), 7_440_000);
        track.wait(60_000);
        assert_eq!(track.b(ACK, 1, 1), Fine);
        assert_eq!(track.left(), 7_440_000);
    }
}

#[test]
fn urgent_data_is_data() {
    let mut track = Track::established();
    assert_eq!(track.a_data(ACK.with(Flags::URG).with(Flags::PSH), 1, 1, 10), Fine);
    assert_eq!(track.b(ACK, 1, 11), Fine);
}

#[test]
fn an_acknowledgement_may_be_old_but_not_of_the_future() {
    let mut track = Track::established();
    for seq in [1, 1001, 2001] {
        track.a_data(ACK, seq, 1, 1000);
        track.b(ACK, 1, seq + 1000);
    }
    // A has sent up to 3001, so 2001 has reached it. That 3001 has, nobody knows: it may be lost behind here, and then
    // A goes one window back from 2001 (RFC 5961 section 5.2).
    assert_eq!(track.b_data(ACK, 1, 1001, 5), Fine, "overtaken by two windows");
    assert_eq!(track.b_data(ACK, 1, 1000, 5), No(Refusal::AckOutOfWindow));
    assert_eq!(track.b(ACK, 6, 3002), No(Refusal::AckOutOfWindow));
}

/// Every comparison on the circle: the same life of a connection wherever its numbers begin.
#[test]
fn numbers_may_wrap_anywhere() {
    for around in 0..2_100 {
        let (a, b) = (u32::MAX.wrapping_sub(around), u32::MAX.wrapping_sub(2_100 - around));
        let mut track = established_at(a, b);
        let here = |seq: u32, ack: u32| (a.wrapping_add(seq), b.wrapping_add(ack));
        let mut outcomes = Vec::new();
        let steps = [
            (Original, ACK, 1, 1, 1000),
            (Original, ACK, 1001, 1, 2),
            (Reply, ACK, 1, 1001, 500),
            (Original, ACK, 1000, 501, 0),
            (Original, ACK, 901, 501, 1200),
            (Original, ACK, 1001, 501, 3),
            (Reply, ACK, 501, 1501, 0),
            (Original, RST, 1502, 0, 0),
            (Original, RST, 3000, 0, 0),
            (Original, SYN, 90_000, 0, 0),
            (Reply, FIN_ACK, 601, 2101, 0),
            (Original, ACK, 2101, 501, 0),
            (Reply, ACK, 501, 2101, 100),
            (Original, FIN_ACK, 2101, 602, 0),
            (Reply, ACK, 602, 2102, 0),
        ];
        for (direction, flags, seq, ack, payload) in steps {
            let (seq, ack) = match direction {
                Original => here(seq, ack),
                Reply => (b.wrapping_add(seq), a.wrapping_add(ack)),
            };
            outcomes.push(track.send(direction, &segment(flags, seq, ack, payload)));
        }
        let outside = No(Refusal::OutOfWindow);
        let inexact = Remark(Refusal::RstNotExact);
        let expected = [
            Fine, outside, Fine, Fine, Fine, Fine, Fine, inexact, outside, Fine, Fine, Fine, Fine, Fine, Fine,
        ];
        assert_eq!(outcomes, expected, "numbers from {a} and {b}");
        assert_eq!(track.states(), [Closed, TimeWait]);
    }
}

mod in_mid_stream {
    use super::*;

    #[test]
    fn seen_first_by_what_was_sent_again_its_sender_was_ahead() {
        let mut track = Track::begun_by(&segment(ACK, A + 1, B + 1, 100), Policy::DEFAULT);
        assert_eq!(track.b(ACK, 1, 1), Fine, "for something that came before it");
        assert_eq!(track.b(ACK, 1, 5001), Fine, "it closed a gap");
        assert_eq!(track.a_data(ACK, 5001, 1, 100), Fine);
    }

    #[test]
    fn the_window_is_known_but_for_its_scale_once_the_other_side_spoke() {
        let mut track = Track::begun_by(&segment(ACK, A + 1, B + 1, 100), Policy::DEFAULT);
        assert_eq!(track.b(ACK, 1, 101), Fine);
        let widest = 1024 << 14;
        assert_eq!(track.a_data(ACK, 101 + widest, 1, 2), No(Refusal::OutOfWindow));
        assert_eq!(track.a_data(ACK, 101 + widest - 1, 1, 2), Fine);
    }

    #[test]
    fn numbers_stay_open_until_the_other_side_is_seen_but_an_rst_is_exact() {
        let first = Segment { window: 0, ..segment(ACK, A, B, 0) };
        let mut track = Track::begun_by(&first, Policy::DEFAULT);
        assert_eq!(track.b(RST, 1 << 20, 0), Remark(Refusal::RstNotExact));
        assert_eq!(track.a(ACK, 0, 1 << 23), Fine, "B may have sent that before anyone looked");
        assert_eq!(track.a_data(ACK, (1 << 23) - 100, 1 << 23, 100), Fine, "and A have been let");
        assert_eq!(track.b(ACK, 1 << 23, 1 << 20), Fine);
        let Peer { end, limit, .. } = *track.connection.peer(Original);
        assert_eq!(limit.offset_from(end), 1 << 24, "once both are seen, 16 MiB at least");
        assert_eq!(track.b(RST, 1 << 23, 0), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
    }

    #[test]
    fn what_lies_far_off_passes_and_moves_nothing_until_the_other_side_is_seen() {
        let far: u32 = (1 << 23) + 1;
        for blind in
            [[far, 0], [0, far], [far.wrapping_neg(), 0], [0, far.wrapping_neg()], [1 << 30, 1 << 29]]
        {
            let mut track = Track::begun_by(&segment(ACK, A, B, 0), Policy::DEFAULT);
            let before = track.connection;
            let [seq, ack] = blind;
            assert_eq!(track.a(ACK, seq, ack), Fine, "{blind:?}");
            assert_eq!(track.b(ACK, ack, seq), Fine, "{blind:?}");
            assert_eq!(track.connection, before, "{blind:?}");
            assert_eq!(track.b_data(ACK, 0, 0, 100), Fine);
            assert_eq!(track.a_data(ACK, 0, 100, 100), Fine);
        }
    }

    #[test]
    fn one_way_traffic_goes_on_beyond_a_gib() {
        let begins = || Track::begun_by(&segment(ACK, A, B, 0), Policy::DEFAULT);
        let (mut sends, mut acknowledges) = (begins(), begins());
        for mebibyte in (0..3 << 10).step_by(8) {
            assert_eq!(sends.a_data(ACK, mebibyte << 20, 0, 1000), Fine, "at MiB {mebibyte}");
            assert_eq!(acknowledges.a(ACK, 0, mebibyte << 20), Fine, "at MiB {mebibyte}");
        }
    }

    #[test]
    fn a_syn_ack_that_is_repeated_because_its_acknowledgement_was_lost() {
        let mut track = Track::begun_by(&segment(ACK, A + 1, B + 1, 0), Policy::DEFAULT);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine, "A acknowledges it again");
        assert_eq!(track.b(SYN_ACK, 1, 1), No(Refusal::UnexpectedSynAck), "that would be another");
        assert_eq!(track.states(), [Established, Established]);
        assert_eq!(track.a(ACK, 1, 1), Fine);
    }

    #[test]
    fn by_a_keep_alive() {
        let mut track = Track::begun_by(&segment(ACK, A, B + 1, 0), Policy::DEFAULT);
        assert_eq!(track.b(ACK, 1, 1), Fine);
        assert_eq!(track.a_data(ACK, 1, 1, 10), Fine);
        assert_eq!(track.b(ACK, 1, 11), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn both_sides_close_as_if_it_had_been_seen_from_the_start() {
        let mut track = Track::begun_by(&segment(FIN_ACK, A + 1, B + 1, 0), Policy::DEFAULT);
        assert_eq!(track.b(ACK, 1, 2), Fine);
        assert_eq!(track.states(), [FinWait2, CloseWait]);
        assert_eq!(track.b_data(FIN_ACK, 1, 2, 10), Fine);
        assert_eq!(track.a(ACK, 2, 12), Fine);
        assert_eq!(track.states(), [TimeWait, Closed]);
    }
}

#[test]
fn a_repeated_syn_may_offer_a_scale_that_the_first_did_not() {
    let scaled = Options(&[3, 3, 4, 0]);
    let mut track = Track::syn_sent();
    track.wait(1000);
    assert_eq!(track.send(Original, &Segment { options: scaled, ..segment(SYN, A, 0, 0) }), Fine);
    assert_eq!((track.states(), track.left()), ([SynSent, Listen], 119_000));
    track.send(Reply, &Segment { options: scaled, ..segment(SYN_ACK, B, A + 1, 0) });
    track.a(ACK, 1, 1);
    track.b(ACK, 1, 1);
    assert_eq!(track.connection.peer(Original).limit, Seq(A + 1 + 16_000));
}

#[test]
fn picked_up_in_mid_stream_nothing_is_acknowledged_behind_a_fin() {
    let mut track = Track::begun_by(&segment(ACK, A + 1, B + 1, 100), Policy::DEFAULT);
    assert_eq!(track.b_data(ACK, 1, 101, 10), Fine);
    assert_eq!(track.a(FIN_ACK, 101, 11), Fine);
    assert_eq!(track.b(ACK, 11, 103), No(Refusal::AckOutOfWindow), "the FIN is the last of it");
    assert_eq!(track.states(), [FinWait1, CloseWait]);
    assert_eq!(track.b(ACK, 11, 102), Fine);
    assert_eq!(track.states(), [FinWait2, CloseWait]);
    let mut track = Track::begun_by(&segment(FIN_ACK, A + 1, B + 1, 100), Policy::DEFAULT);
    assert_eq!(
        track.b(ACK, 1, 103),
        No(Refusal::AckOutOfWindow),
        "also where it was the first that was seen"
    );
    assert_eq!(track.b(ACK, 1, 102), Fine);
    assert_eq!(track.states(), [FinWait2, CloseWait]);
}

#[test]
fn without_check_window_nothing_moves_the_end_behind_a_fin() {
    let mut track = Track::established_under(Policy { check_window: false, ..Policy::DEFAULT });
    assert_eq!(track.a(FIN_ACK, 1, 1), Fine);
    let end = track.connection.peer(Original).end;
    assert_eq!(track.a_data(ACK, 2, 1, 500), Fine);
    assert_eq!(track.a(FIN_ACK, 900, 1), Fine);
    assert_eq!(track.b(ACK, 1, 70_000), Fine);
    assert_eq!((track.connection.peer(Original).end, track.states()), (end, [FinWait1, CloseWait]));
    assert!(!track.connection.marks.is_irregular(), "nor is anything missing before it");
    assert_eq!(track.b(ACK, 1, 2), Fine);
    assert_eq!(track.states(), [FinWait2, CloseWait], "its acknowledgement is still known");
}

#[test]
fn without_check_window_what_acknowledges_no_syn_ends_no_handshake_in_order_or_not() {
    let mut track =
        Track::begun_by(&segment(SYN, A, 0, 0), Policy { check_window: false, ..Policy::DEFAULT });
    assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
    // B + 1 would acknowledge the SYN. Having acknowledged anything, its sender is held against that next time.
    for ack in [-100, -50, 0] {
        assert_eq!(track.send(Original, &segment(ACK, A + 1, B.wrapping_add_signed(ack), 0)), Fine);
        assert_eq!(track.states(), [Established, SynReceived], "{ack}");
    }
    assert_eq!(track.a(ACK, 1, 1), Fine);
    assert_eq!(track.states(), [Established, Established]);
}
