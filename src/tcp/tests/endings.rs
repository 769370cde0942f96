//! How connections end: each wave of the close lost in turn, crossings that loss hides, and what comes late.

use super::*;

mod a_wave_is_lost {
    use super::*;

    #[test]
    fn the_first_fin_before_us() {
        // A is in FIN_WAIT_1, but nobody else knows.
        let mut track = Track::established();
        assert_eq!(track.b_data(ACK, 1, 1, 10), Fine);
        assert_eq!(track.a(ACK, 2, 11), Fine, "its number shows that something is missing");
        assert_eq!(track.states(), [Established, Established]);
        assert_eq!(track.a(FIN_ACK, 1, 11), Fine);
        assert_eq!(track.states(), [FinWait1, CloseWait]);
    }

    #[test]
    fn the_first_fin_behind_us() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        track.wait(200);
        assert_eq!(track.a(FIN_ACK, 1, 1), Fine);
        assert_eq!((track.states(), track.left()), ([FinWait1, CloseWait], 120_000));
    }

    #[test]
    fn its_acknowledgement_before_us_and_behind_us() {
        for seen in [false, true] {
            let mut track = Track::established();
            track.a(FIN_ACK, 1, 1);
            if seen {
                assert_eq!(track.b(ACK, 1, 2), Fine);
            }
            track.wait(200);
            assert_eq!(track.a(FIN_ACK, 1, 1), Fine);
            let (first, left) = if seen { (FinWait2, 59_800) } else { (FinWait1, 120_000) };
            assert_eq!((track.states(), track.left()), ([first, CloseWait], left));
            assert_eq!(track.b(ACK, 1, 2), Fine);
            assert_eq!(track.states(), [FinWait2, CloseWait]);
        }
    }

    #[test]
    fn the_second_fin_before_us() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        track.b(ACK, 1, 2);
        track.wait(200);
        assert_eq!(track.b(FIN_ACK, 1, 2), Fine);
        assert_eq!(track.states(), [TimeWait, LastAck]);
    }

    #[test]
    fn the_second_fin_behind_us() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        track.b(ACK, 1, 2);
        track.b(FIN_ACK, 1, 2);
        track.wait(200);
        assert_eq!(track.b(FIN_ACK, 1, 2), Fine);
        assert_eq!((track.states(), track.left()), ([TimeWait, LastAck], 60_000), "started again");
    }

    #[test]
    fn the_last_acknowledgement_before_us_and_behind_us() {
        for seen in [false, true] {
            let mut track = Track::established();
            track.a(FIN_ACK, 1, 1);
            track.b(FIN_ACK, 1, 2);
            if seen {
                assert_eq!(track.a(ACK, 2, 2), Fine);
            }
            track.wait(200);
            assert_eq!(track.b(FIN_ACK, 1, 2), Fine);
            assert_eq!(track.left(), 60_000);
            assert_eq!(track.a(ACK, 2, 2), Fine);
            assert_eq!((track.states(), track.left()), ([TimeWait, Closed], 60_000));
        }
    }
}

mod fins_that_cross {
    use super::*;

    /// B's FIN, at 1, was lost before us: whether it had crossed A's, its acknowledgement tells.
    #[test]
    fn the_second_is_lost_before_us() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.b(ACK, 2, 2), Fine, "B had sent up to there when A's FIN came");
        assert_eq!(track.states(), [FinWait2, CloseWait]);
        assert_eq!(track.b(FIN_ACK, 1, 2), Fine);
        assert_eq!(track.states(), [TimeWait, Closing]);
        track.a(ACK, 2, 2);
        assert_eq!(track.states(), [TimeWait, TimeWait]);
    }

    #[test]
    fn the_second_is_lost_before_us_and_the_data_on_it() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.b(ACK, 12, 2), Fine);
        assert_eq!(track.b_data(FIN_ACK, 1, 2, 10), Fine);
        assert_eq!(track.states(), [TimeWait, Closing]);
    }

    #[test]
    fn an_acknowledgement_after_a_repeated_fin_does_not_tell() {
        // B may have answered the first one, and closed then; all of that was lost before us.
        type Send = fn(&mut Track) -> Outcome;
        let repeated: [&[Send]; 3] = [
            &[|t| t.a(FIN_ACK, 1, 1)],
            &[|t| t.a(FIN_ACK, 1, 1), |t| t.b(ACK, 1, 1)],
            &[|t| t.b_data(ACK, 1, 1, 4), |t| t.a(FIN_ACK, 1, 5)],
        ];
        for (segments, end) in repeated.into_iter().zip([1, 1, 5]) {
            let mut track = Track::established();
            track.a(FIN_ACK, 1, 1);
            for send in segments {
                assert_eq!(send(&mut track), Fine);
            }
            assert_eq!(track.b(ACK, end + 1, 2), Fine);
            assert_eq!(track.b(FIN_ACK, end, 2), Fine);
            assert_eq!(track.states(), [TimeWait, LastAck]);
        }
    }

    #[test]
    fn a_second_acknowledgement_does_not_tell_either() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        track.b(ACK, 1, 2);
        assert_eq!(track.b(ACK, 2, 2), Fine, "B has closed since");
        assert_eq!(track.b(FIN_ACK, 1, 2), Fine);
        assert_eq!(track.states(), [TimeWait, LastAck]);
    }

    #[test]
    fn an_acknowledgement_of_anything_but_the_fin_shows_nothing() {
        let mut track = Track::established();
        track.a_data(FIN_ACK, 1, 1, 10);
        let before = track.connection.peer(Reply).end;
        for ack in [1, 11] {
            assert_eq!(track.b(ACK, 100, ack), Fine, "anybody can guess one");
            assert_eq!(track.connection.peer(Reply).end, before);
        }
    }

    #[test]
    fn data_that_was_missing_is_no_fin() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.b(ACK, 11, 2), Fine);
        assert_eq!(track.b_data(ACK, 1, 2, 10), Fine);
        assert_eq!(track.b(FIN_ACK, 11, 2), Fine);
        assert_eq!(track.states(), [TimeWait, LastAck]);
    }

    #[test]
    fn the_first_is_lost_behind_us() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.b(FIN_ACK, 1, 1), Fine);
        assert_eq!(track.a(ACK, 2, 2), Fine);
        assert_eq!(track.states(), [Closing, TimeWait], "B is told to be where it is with all it was sent");
        assert_eq!(track.a(FIN_ACK, 1, 2), Fine);
        assert_eq!(track.b(ACK, 2, 2), Fine);
        assert_eq!(track.states(), [TimeWait, TimeWait]);
    }
}

#[test]
fn a_fin_repeated_with_news_starts_fin_wait_1_again_whatever_was_used_up() {
    let mut track = Track::established_under(Policy { orphan_retries: 1, ..Policy::DEFAULT });
    track.a(FIN_ACK, 1, 1);
    track.b_data(ACK, 1, 1, 10);
    track.wait(1000);
    assert_eq!(track.a(FIN_ACK, 1, 11), Fine, "it acknowledges what B has sent");
    assert_eq!(track.left(), 120_000);
    track.wait(1000);
    track.a(FIN_ACK, 1, 11);
    assert_eq!(track.left(), 2_000, "repeated without an answer");
}

#[test]
fn after_both_fins_a_late_reset_is_no_crime() {
    let policy = Policy { inexact_rst: InexactRst::Drop, ..Policy::DEFAULT };
    let mut track = Track::established_under(policy);
    track.a_data(ACK, 1, 1, 100);
    track.b(ACK, 1, 101);
    track.a(FIN_ACK, 101, 1);
    assert_eq!(track.a(RST, 50, 1), No(Refusal::OutOfWindow), "one FIN only");
    track.b(FIN_ACK, 1, 101);
    assert_eq!(track.states(), [Closing, Closing]);
    let left = track.left();
    assert_eq!(track.a(RST, 50, 1), Fine, "it fits what was there");
    assert_eq!((track.states(), track.left()), ([Closing, Closing], left));
    assert_eq!(track.a(RST, 500, 1), No(Refusal::RstNotExact), "this does not");
}

#[test]
fn a_refusal_may_be_repeated_whatever_its_number() {
    let mut track = Track::syn_sent();
    assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 1, 0)), Fine);
    track.wait(10);
    assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 1, 0)), Fine);
    assert_eq!(track.send(Reply, &segment(RST_ACK, 777_777, A + 1, 0)), Fine, "a firewall's");
    assert_eq!(track.send(Reply, &segment(RST_ACK, 777_777, A + 2, 0)), No(Refusal::AckOutOfWindow));
    assert_eq!((track.states(), track.left()), ([Closed, Closed], 9_990));
}

#[test]
fn a_syn_may_be_refused_after_an_answer_that_was_lost_and_an_abort() {
    let mut track = Track::syn_sent();
    assert_eq!(track.b(SYN_ACK, 0, 1), Fine, "lost behind here");
    assert_eq!(track.b(RST_ACK, 1, 1), Fine, "likewise");
    assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 1, 0)), Fine, "to the SYN, sent again before");
    assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 2, 0)), No(Refusal::OutOfWindow));
    assert_eq!(track.states(), [Closed, Closed]);
}

#[test]
fn a_late_syn_ack_fits_also_where_only_timestamps_are_kept() {
    let mut track = Track::established();
    let options = Options(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0]);
    for (direction, flags, seq, ack) in
        [(Original, FIN_ACK, A + 1, B + 1), (Reply, FIN_ACK, B + 1, A + 2), (Original, ACK, A + 2, B + 2)]
    {
        track.send(direction, &Segment { options, ..segment(flags, seq, ack, 0) });
    }
    assert_eq!(track.connection.initial(Reply), None);
    assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
    assert_eq!(track.b(SYN_ACK, 2, 1), No(Refusal::UnexpectedSynAck));
    assert_eq!(track.states(), [TimeWait, Closed]);
}

#[test]
fn a_syn_that_its_own_fin_has_overtaken_begins_nothing_anew() {
    let mut track = Track::established();
    let options = Options(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0]);
    track.send(Original, &Segment { options, ..segment(FIN_ACK, A + 1, B + 1, 300) });
    assert_eq!(track.a(SYN, 0, 0), Fine);
    assert_eq!(track.b(SYN_ACK, 0, 1), Fine, "again, for want of an ACK");
    assert_eq!(track.states(), [FinWait1, CloseWait]);
    track.send(Reply, &Segment { options, ..segment(FIN_ACK, B + 1, A + 1, 0) });
    track.send(Original, &Segment { options, ..segment(ACK, A + 302, B + 2, 0) });
    assert_eq!(track.connection.initial(Original), None, "a timestamp is kept");
    assert_eq!(track.states(), [Closing, TimeWait]);
    assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
    assert_eq!(track.b(ACK, 2, 302), Fine);
    assert_eq!(track.states(), [TimeWait, TimeWait]);
}

#[test]
fn late_acknowledgements_pass_and_move_nothing() {
    let mut track = Track::time_wait(Policy::DEFAULT);
    let before = track.connection;
    track.wait(500);
    for (seq, ack) in [(1, 1), (2, 1), (2, 2)] {
        assert_eq!(track.a(ACK, seq, ack), Fine);
        assert_eq!(track.b(ACK, seq, ack), Fine);
    }
    assert_eq!(track.b(SYN_ACK, 0, 1), Fine, "of long ago");
    assert_eq!((track.connection, track.left()), (before, 59_500));
}

#[test]
fn an_inexact_reset_after_both_fins_is_named_as_long_as_somebody_may_challenge_it() {
    let mut track = Track::established();
    track.a_data(ACK, 1, 1, 100);
    track.a(FIN_ACK, 101, 1);
    track.b(FIN_ACK, 1, 1);
    assert_eq!(track.states(), [Closing, Closing]);
    assert_eq!(track.a(RST, 50, 0), Remark(Refusal::RstNotExact), "what was sent, and is not acknowledged");
    track.b(ACK, 2, 1);
    track.a(ACK, 102, 2);
    track.b(ACK, 2, 102);
    assert_eq!(track.states(), [TimeWait, TimeWait]);
    assert_eq!(track.a(RST, 50, 0), Fine, "late, and of no interest to anybody");
}

/// What the short ways answer is held against the long one by every test here; that they answer at all, by this one.
#[test]
fn a_connection_by_the_book_takes_the_short_ways_from_its_syn_ack_on() {
    for closes_first in [Original, Reply] {
        let mut track = Track::syn_sent();
        let syn_ack = segment(SYN_ACK, B, A + 1, 0);
        assert!(track.connection.after_answer(Reply, &syn_ack).is_some());
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        let mut go = |sender: Direction, flags, [seq, ack]: [u32; 2], payload| {
            let (own, other) = if sender == Original { (A, B) } else { (B, A) };
            let segment = segment(flags, own + seq, other + ack, payload);
            assert!(track.connection.after_orderly(sender, &segment).is_some(), "{segment:?}");
            assert_eq!(track.send(sender, &segment), Fine);
        };
        go(Original, ACK, [1, 1], 0);
        go(Original, ACK, [1, 1], 100);
        go(Reply, ACK, [1, 101], 0);
        let (last, closes_last) = (closes_first.opposite(), [101, 1]);
        let sent = if closes_first == Original { closes_last } else { [1, 101] };
        let [own, other] = sent;
        go(closes_first, FIN_ACK, [own, other], 0);
        go(last, ACK, [other, own + 1], 0);
        go(last, ACK, [other, own + 1], 7);
        go(closes_first, ACK, [own + 1, other + 7], 0);
        go(last, FIN_ACK, [other + 7, own + 1], 0);
        go(closes_first, ACK, [own + 1, other + 8], 0);
        let [first, second] = [closes_first, last].map(|side| track.connection.state(side));
        assert_eq!([first, second], [TimeWait, Closed]);
    }
}
