//! The contract's table "what starts it again", cell by cell: in each state, each kind of segment.

use super::*;

/// Whether the timer starts again, a second after it was started, with this segment.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Timing {
    Again,
    Keeps,
    /// It now runs for this many milliseconds: another timer.
    Runs(u32),
}
use Timing::{Again, Keeps, Runs};

/// Sends one segment a second after the last one, and looks at the timer.
fn timing(track: &Track, of: u32, send: impl Fn(&mut Track) -> Outcome) -> Timing {
    let mut track = Track { ..*track };
    assert_eq!(track.left(), of, "the timer runs since the last segment");
    track.wait(1000);
    let outcome = send(&mut track);
    assert!(matches!(outcome, Fine | Remark(_)), "{outcome:?}");
    match track.left() {
        left if left == of => Again,
        left if left == of - 1000 => Keeps,
        left => Runs(left),
    }
}

#[test]
fn syn_sent_and_syn_received_run_from_entering() {
    let track = Track::syn_sent();
    assert_eq!(timing(&track, 120_000, |t| t.a(SYN, 0, 0)), Keeps);
    assert_eq!(timing(&track, 120_000, |t| t.a(SYN, 500, 0)), Keeps);
    assert_eq!(timing(&track, 120_000, |t| t.b(ACK, 77, 88)), Keeps, "from an older incarnation");
    assert_eq!(timing(&track, 120_000, |t| t.b(SYN_ACK, 0, 1)), Runs(60_000));
    assert_eq!(timing(&track, 120_000, |t| t.b(SYN, 0, 0)), Runs(60_000));
    let mut track = Track::syn_sent();
    track.b(SYN_ACK, 0, 1);
    assert_eq!(timing(&track, 60_000, |t| t.b(SYN_ACK, 0, 1)), Keeps);
    assert_eq!(timing(&track, 60_000, |t| t.b(SYN_ACK, 9_000, 1)), Keeps, "a second answer");
    assert_eq!(timing(&track, 60_000, |t| t.a(SYN, 0, 0)), Keeps);
    assert_eq!(timing(&track, 60_000, |t| t.b_data(ACK, 1, 1, 10)), Keeps, "RFC 7413");
    assert_eq!(timing(&track, 60_000, |t| t.a(ACK, 1, 1)), Runs(7_440_000));
}

#[test]
fn established_starts_again_with_every_accepted_segment_but_a_syn_and_an_inexact_rst() {
    let track = Track::established();
    let of = 7_440_000;
    assert_eq!(timing(&track, of, |t| t.a(ACK, 1, 1)), Again);
    assert_eq!(timing(&track, of, |t| t.b_data(ACK, 1, 1, 10)), Again);
    assert_eq!(timing(&track, of, |t| t.a(ACK, 0, 1)), Again, "a keep-alive");
    assert_eq!(timing(&track, of, |t| t.b(SYN_ACK, 0, 1)), Again, "late");
    assert_eq!(timing(&track, of, |t| t.a(SYN, 0, 0)), Again, "its own, late");
    assert_eq!(timing(&track, of, |t| t.a(SYN, 9_000, 0)), Keeps);
    assert_eq!(timing(&track, of, |t| t.a(RST, 2, 1)), Keeps);
    assert_eq!(timing(&track, of, |t| t.a(FIN_ACK, 1, 1)), Runs(120_000));
    assert_eq!(timing(&track, of, |t| t.a(RST, 1, 1)), Runs(10_000));
}

#[test]
fn fin_wait_1_starts_again_with_a_repeated_fin_and_with_news() {
    let mut track = Track::established();
    track.b_data(ACK, 1, 1, 10);
    track.a_data(ACK, 1, 1, 10);
    track.a(FIN_ACK, 11, 1);
    let of = 120_000;
    assert_eq!(timing(&track, of, |t| t.a(FIN_ACK, 11, 1)), Again);
    assert_eq!(timing(&track, of, |t| t.b_data(ACK, 11, 1, 10)), Again, "new data");
    assert_eq!(timing(&track, of, |t| t.b(ACK, 11, 6)), Again, "a new acknowledgement");
    assert_eq!(timing(&track, of, |t| t.a(ACK, 12, 11)), Again, "from either side");
    assert_eq!(timing(&track, of, |t| t.b(ACK, 11, 1)), Keeps);
    assert_eq!(timing(&track, of, |t| t.b_data(ACK, 1, 1, 10)), Keeps, "old data");
    assert_eq!(timing(&track, of, |t| t.a_data(ACK, 1, 1, 10)), Keeps);
    assert_eq!(timing(&track, of, |t| t.b(SYN, 9_000, 0)), Keeps);
    assert_eq!(timing(&track, of, |t| t.b(ACK, 11, 12)), Runs(60_000));
    assert_eq!(timing(&track, of, |t| t.b(FIN_ACK, 11, 11)), Runs(30_000), "crossed");
}

#[test]
fn fin_timeout_starts_again_with_nothing() {
    let mut track = Track::established();
    track.b_data(ACK, 1, 1, 10);
    track.a(FIN_ACK, 1, 1);
    track.b(ACK, 11, 2);
    let of = 60_000;
    assert_eq!(timing(&track, of, |t| t.a(FIN_ACK, 1, 1)), Keeps);
    assert_eq!(timing(&track, of, |t| t.b(ACK, 11, 2)), Keeps);
    assert_eq!(timing(&track, of, |t| t.b_data(ACK, 1, 2, 10)), Keeps, "old data");
    assert_eq!(timing(&track, of, |t| t.a(ACK, 2, 11)), Keeps);
    assert_eq!(timing(&track, of, |t| t.b_data(ACK, 11, 2, 1)), Runs(3_600_000), "it turns into half_closed");
    let mut half = Track { ..track };
    half.b_data(ACK, 11, 2, 1);
    let of = 3_600_000;
    assert_eq!(timing(&half, of, |t| t.b_data(ACK, 12, 2, 1)), Again);
    assert_eq!(timing(&half, of, |t| t.b_data(ACK, 11, 2, 2)), Again, "old and new");
    assert_eq!(timing(&half, of, |t| t.b_data(ACK, 11, 2, 1)), Keeps);
    assert_eq!(timing(&half, of, |t| t.a(ACK, 2, 12)), Keeps);
    assert_eq!(timing(&half, of, |t| t.a(FIN_ACK, 1, 12)), Keeps);
}

/// B's octets 1 to 10 are lost before us, and 11 to 20 come through; then A closes.
fn half_closed_with_a_hole() -> Track {
    let mut track = Track::established();
    track.b_data(ACK, 11, 1, 10);
    track.a(FIN_ACK, 1, 1);
    track.b(ACK, 21, 2);
    assert_eq!(track.states(), [FinWait2, CloseWait]);
    track
}

#[test]
fn what_fills_a_hole_after_the_fin_is_new_data() {
    let track = half_closed_with_a_hole();
    assert_eq!(timing(&track, 60_000, |t| t.b_data(ACK, 11, 2, 10)), Keeps, "old data");
    assert_eq!(timing(&track, 60_000, |t| t.b_data(ACK, 1, 2, 4)), Runs(3_600_000), "a part of the hole");
    assert_eq!(timing(&track, 60_000, |t| t.b_data(ACK, 1, 2, 10)), Runs(3_600_000), "all of it");
    let mut half = Track { ..track };
    half.b_data(ACK, 3, 2, 2);
    let of = 3_600_000;
    assert_eq!(timing(&half, of, |t| t.b_data(ACK, 3, 2, 2)), Keeps, "old data");
    assert_eq!(timing(&half, of, |t| t.b_data(ACK, 1, 2, 3)), Again, "old and new");
    assert_eq!(timing(&half, of, |t| t.b_data(ACK, 1, 2, 20)), Again);
}

#[test]
fn what_fills_a_hole_before_the_second_fin_is_new_data_too() {
    let mut track = half_closed_with_a_hole();
    track.b(FIN_ACK, 21, 2);
    assert_eq!(track.states(), [FinWait2, LastAck], "the FIN has not arrived");
    assert_eq!(timing(&track, 60_000, |t| t.b(FIN_ACK, 21, 2)), Keeps);
    assert_eq!(timing(&track, 60_000, |t| t.b_data(ACK, 1, 2, 4)), Runs(3_600_000));
}

#[test]
fn closing_and_closed_run_from_entering() {
    let mut track = Track::established();
    track.a(FIN_ACK, 1, 1);
    track.b(FIN_ACK, 1, 1);
    assert_eq!(timing(&track, 30_000, |t| t.a(FIN_ACK, 1, 1)), Keeps);
    assert_eq!(timing(&track, 30_000, |t| t.b(FIN_ACK, 1, 1)), Keeps);
    assert_eq!(timing(&track, 30_000, |t| t.b(ACK, 2, 2)), Runs(60_000));
    let mut track = Track::established();
    track.a(RST, 1, 1);
    for send in [
        (|t: &mut Track| t.a(RST, 1, 1)) as fn(&mut Track) -> Outcome,
        |t| t.b(ACK, 1, 1),
        |t| t.b_data(ACK, 1, 1, 10),
        |t| t.b(FIN_ACK, 1, 1),
    ] {
        assert_eq!(timing(&track, 10_000, send), Keeps);
    }
}

#[test]
fn time_wait_starts_again_with_a_repeated_fin_only() {
    let track = Track::time_wait(Policy::DEFAULT);
    let of = 60_000;
    assert_eq!(timing(&track, of, |t| t.b(FIN_ACK, 1, 2)), Again);
    assert_eq!(timing(&track, of, |t| t.a(ACK, 2, 2)), Keeps);
    assert_eq!(timing(&track, of, |t| t.b(ACK, 2, 2)), Keeps);
    assert_eq!(timing(&track, of, |t| t.b(RST, 2, 2)), Keeps);
    assert_eq!(timing(&track, of, |t| t.b(SYN_ACK, 0, 1)), Keeps);
    let fixed = Track::time_wait(Policy { time_wait_restart: false, ..Policy::DEFAULT });
    assert_eq!(timing(&fixed, of, |t| t.b(FIN_ACK, 1, 2)), Keeps);
}

/// `orphan_retries` by its letter: with n, the n-th repetition ends the wait, and the one before does not.
#[test]
fn each_number_of_orphan_retries() {
    for retries in 1..=15 {
        let policy = Policy { orphan_retries: retries, ..Policy::DEFAULT };
        let mut track = Track::established_under(policy);
        track.a(FIN_ACK, 1, 1);
        for repetition in 1..=retries {
            track.wait(700);
            assert_eq!(track.a(FIN_ACK, 1, 1), Fine);
            let left = if repetition < retries { 120_000 } else { 1_400 };
            assert_eq!(track.left(), left, "{repetition} of {retries}");
        }
        track.wait(700);
        track.a(FIN_ACK, 1, 1);
        assert_eq!(track.left(), 700, "one more than {retries}");
    }
}

#[test]
fn orphans_are_seen_in_every_state_that_waits_for_an_answer() {
    let policy = Policy { orphan_retries: 2, ..Policy::DEFAULT };
    let closing = {
        let mut track = Track::established_under(policy);
        track.a(FIN_ACK, 1, 1);
        track.b(FIN_ACK, 1, 1);
        track
    };
    let half_closed = {
        let mut track = Track::established_under(policy);
        track.a(FIN_ACK, 1, 1);
        track.b_data(ACK, 1, 2, 10);
        track
    };
    for (mut track, direction, seq, ack) in
        [(closing, Reply, B + 1, A + 1), (half_closed, Original, A + 1, B + 1)]
    {
        for _ in 0..2 {
            track.wait(300);
            track.send(direction, &segment(FIN_ACK, seq, ack, 0));
        }
        assert_eq!(track.left(), 600, "{:?}", track.states());
    }
}

#[test]
fn a_longer_interval_than_what_is_left_shortens_nothing() {
    let policy = Policy { orphan_retries: 1, ..Policy::DEFAULT };
    let mut track = Track::established_under(policy);
    track.a(FIN_ACK, 1, 1);
    track.wait(50_000);
    track.a(FIN_ACK, 1, 1);
    assert_eq!(track.left(), 70_000, "of fin_wait_1; twice the interval would be 100 s");
}

/// A refusal in any state leaves every bit and the deadline as they were.
#[test]
fn a_refused_segment_moves_no_deadline() {
    let opened = |steps: &[(Direction, Flags, u32, u32)]| {
        let mut track = Track::established();
        for &(direction, flags, seq, ack) in steps {
            let (seq, ack) = match direction {
                Original => (A + seq, B + ack),
                Reply => (B + seq, A + ack),
            };
            assert_eq!(track.send(direction, &segment(flags, seq, ack, 0)), Fine);
        }
        track
    };
    let fin = (Original, FIN_ACK, 1, 1);
    for mut track in [
        opened(&[]),
        opened(&[fin]),
        opened(&[fin, (Reply, ACK, 1, 2)]),
        opened(&[fin, (Reply, FIN_ACK, 1, 1)]),
        opened(&[fin, (Reply, FIN_ACK, 1, 2)]),
        opened(&[fin, (Reply, FIN_ACK, 1, 2), (Original, ACK, 2, 2)]),
        opened(&[(Original, RST, 1, 1)]),
        opened(&[(Original, SYN, 90_000, 0)]),
    ] {
        track.wait(1000);
        let before = (track.connection, track.irregular, track.note, track.deadline);
        let far = 2_000_000_000;
        for flags in [ACK, FIN_ACK, RST, RST_ACK, SYN_ACK] {
            for (seq, ack) in [(far, 1), (1, far), (far, far)] {
                for direction in [Original, Reply] {
                    let (seq, ack) =
                        if direction == Original { (A + seq, B + ack) } else { (B + seq, A + ack) };
                    let exact_rst = flags.has(RST) && (seq == A + 1 || seq == B + 1);
                    // Of a listener that has crashed, which nobody off the path can be: it is challenged.
                    let late_answer = flags.has(SYN_ACK) && (ack == A + 1 || ack == B + 1);
                    if !exact_rst && !late_answer {
                        let outcome = track.send(direction, &segment(flags, seq, ack, 0));
                        assert!(matches!(outcome, No(_)), "{flags:?} {seq} {ack}: {outcome:?}");
                    }
                }
            }
        }
        let after = (track.connection, track.irregular, track.note, track.deadline);
        assert_eq!(after, before, "{:?}", track.states());
    }
}
