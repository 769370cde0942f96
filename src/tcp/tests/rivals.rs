//! Two connections of one tuple: what somebody makes up who is off the path, and what both endpoints really begin
//! anew, seen from the middle, where the first two segments of both are the same.

use super::*;

/// The initial sequence numbers of the other incarnation.
const A2: u32 = 700_000;
const B2: u32 = 800_000;

/// An endpoint, whichever of them is the originator now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    A,
    B,
}
use Host::{A as HostA, B as HostB};

impl Host {
    fn other(self) -> Host {
        match self {
            HostA => HostB,
            HostB => HostA,
        }
    }

    /// Its initial sequence numbers: the connection's, and the other incarnation's.
    fn initials(self) -> [u32; 2] {
        match self {
            HostA => [A, A2],
            HostB => [B, B2],
        }
    }
}

impl Track {
    fn by(&mut self, host: Host, segment: &Segment<'_>) -> Outcome {
        let forward = (host == HostA) != self.turned;
        self.send(if forward { Original } else { Reply }, segment)
    }

    /// A segment of the connection that was there first.
    fn of_first(&mut self, host: Host, flags: Flags, seq: u32, ack: u32, payload: u32) -> Outcome {
        let (own, other) = (host.initials()[0], host.other().initials()[0]);
        let ack = if flags.has(ACK) { other + ack } else { 0 };
        self.by(host, &segment(flags, own + seq, ack, payload))
    }

    /// A segment of the other incarnation.
    fn of_other(&mut self, host: Host, flags: Flags, seq: u32, ack: u32) -> Outcome {
        let (own, other) = (host.initials()[1], host.other().initials()[1]);
        let ack = if flags.has(ACK) { other + ack } else { 0 };
        self.by(host, &segment(flags, own + seq, ack, 0))
    }

    /// A SYN of `opener`, and a SYN-ACK for it: nobody in the middle knows whose they are.
    fn displaced_by(mut self, opener: Host) -> Track {
        assert_eq!(self.of_other(opener, SYN, 0, 0), Fine);
        assert_eq!(self.of_other(opener.other(), SYN_ACK, 0, 1), New);
        assert_eq!(self.states(), [Established, SynReceived]);
        assert_eq!((self.turned, self.left()), (opener == HostB, 60_000));
        self
    }

    /// Nobody sends anything until the timer is over: what has the tuple then, if anything has.
    fn falls_silent(&mut self) -> bool {
        self.now = self.deadline;
        let Some(opening) = successor(&self.connection, &self.irregular, self.now) else { return false };
        self.take_over(&opening, Original);
        true
    }

    /// Both endpoints go on, and the originator is who it was.
    fn goes_on(&mut self, sent: [u32; 2]) {
        let [a, b] = sent;
        for _ in 0..2 {
            assert_eq!(self.of_first(HostA, ACK, a, b, 0), Fine);
            assert_eq!(self.of_first(HostB, ACK, b, a, 0), Fine);
        }
        assert_eq!((self.states(), self.turned, self.left()), ([Established, Established], false, 7_440_000));
    }
}

mod made_up {
    use super::*;

    #[test]
    fn the_first_segment_of_either_endpoint_brings_its_connection_back() {
        for opener in [HostA, HostB] {
            for host in [HostA, HostB] {
                let mut track = Track::established().displaced_by(opener);
                assert_eq!(track.of_first(host, ACK, 1, 1, 10), New, "{opener:?} {host:?}");
                assert_eq!((track.states(), track.turned), ([Established, Established], false));
                track.goes_on(if host == HostA { [11, 1] } else { [1, 11] });
            }
        }
    }

    #[test]
    fn so_do_the_challenges_for_what_was_made_up() {
        for opener in [HostA, HostB] {
            let mut track = Track::established();
            assert_eq!(track.of_other(opener, SYN, 0, 0), Fine);
            assert_eq!(track.of_first(opener.other(), ACK, 1, 1, 0), Fine, "the challenge for the SYN");
            assert_eq!(track.of_other(opener.other(), SYN_ACK, 0, 1), New);
            assert_eq!(track.of_first(opener, ACK, 1, 1, 0), New, "and that for the SYN-ACK");
            track.goes_on([1, 1]);
        }
    }

    #[test]
    fn its_windows_scales_and_holes_are_those_that_it_had() {
        let scaled = Options(&[3, 3, 3, 0]);
        let mut track =
            Track::begun_by(&Segment { options: scaled, ..segment(SYN, A, 0, 0) }, Policy::DEFAULT);
        track.send(Reply, &Segment { options: scaled, ..segment(SYN_ACK, B, A + 1, 0) });
        track.a(ACK, 1, 1);
        assert_eq!(track.of_first(HostB, ACK, 301, 1, 100), Fine, "300 bytes are missing before it");
        let before = track.connection;
        let mut track = track.displaced_by(HostA);
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New);
        assert_eq!((track.connection.peers, track.connection.window(Reply)), (before.peers, 8000));
        assert_eq!(track.of_first(HostB, FIN_ACK, 401, 1, 0), Fine);
        assert_eq!(track.states(), [Established, FinWait1], "the FIN has not arrived");
        assert_eq!(track.of_first(HostB, ACK, 1, 1, 300), Fine);
        assert_eq!(track.of_first(HostA, ACK, 1, 402, 0), Fine);
        assert_eq!(track.states(), [CloseWait, FinWait2]);
    }

    #[test]
    fn what_closes_goes_on_closing() {
        for opener in [HostA, HostB] {
            let mut track = Track::established();
            assert_eq!(track.of_first(HostA, FIN_ACK, 1, 1, 0), Fine);
            let mut track = track.displaced_by(opener);
            assert_eq!(track.of_first(HostB, ACK, 1, 2, 0), New);
            assert_eq!((track.states(), track.left()), ([FinWait2, CloseWait], 60_000));
            assert_eq!(track.of_first(HostB, FIN_ACK, 1, 2, 0), Fine);
            assert_eq!(track.of_first(HostA, ACK, 2, 2, 0), Fine);
            assert_eq!((track.states(), track.turned), ([TimeWait, Closed], false));
        }
    }

    #[test]
    fn whatever_fits_what_was_made_up_does_not_show_that_the_first_is_gone() {
        // The handshake's end, data, a FIN on each side, an RST and the next SYN: he knows all their numbers.
        let forged: [&[(Host, Flags, u32, u32)]; 4] = [
            &[(HostA, ACK, 1, 1), (HostB, ACK, 1, 1)],
            &[(HostA, ACK, 1, 1), (HostA, FIN_ACK, 1, 1), (HostB, FIN_ACK, 1, 2), (HostA, ACK, 2, 2)],
            &[(HostA, RST, 1, 0)],
            &[(HostA, ACK, 1, 1), (HostB, RST, 1, 0)],
        ];
        for forged in forged {
            for next in [None, Some(HostA), Some(HostB)] {
                let mut track = Track::established().displaced_by(HostA);
                for &(host, flags, seq, ack) in forged {
                    assert_eq!(track.of_other(host, flags, seq, ack), Fine, "{flags:?}");
                }
                if let Some(opener) = next
                    && !track.states().contains(&Established)
                {
                    assert_eq!(track.of_other(opener, SYN, 5000, 0), New);
                }
                assert_eq!(track.of_first(HostA, ACK, 1, 1, 10), New, "{forged:?} {next:?}");
                track.goes_on([11, 1]);
            }
        }
    }

    #[test]
    fn not_even_a_second_one_on_top_of_the_first() {
        let mut track = Track::established().displaced_by(HostA);
        assert_eq!(track.of_other(HostA, ACK, 1, 1), Fine);
        for seq in [10_000, 20_000] {
            assert_eq!(track.of_other(HostB, SYN, seq, 0), Fine);
            assert_eq!(track.of_other(HostA, SYN_ACK, seq, seq + 1), New);
        }
        assert_eq!(track.of_first(HostB, ACK, 1, 1, 10), New);
        track.goes_on([1, 11]);
        // Nor one made up after that.
        let mut track = track.displaced_by(HostB);
        assert_eq!(track.of_first(HostB, ACK, 11, 1, 0), New);
        track.goes_on([1, 11]);
    }

    #[test]
    fn an_rst_of_the_first_ends_that_and_nothing_else() {
        let mut track = Track::established().displaced_by(HostA);
        let before = (track.connection, track.left());
        assert_eq!(track.of_first(HostA, RST, 2, 0, 0), Remark(Refusal::RstNotExact));
        assert_eq!(track.of_first(HostA, RST, 1, 0, 0), Fine);
        assert_eq!((track.connection, track.left()), before);
        assert_eq!(track.of_first(HostB, ACK, 1, 1, 0), Fine, "it was under way");
        assert_eq!((track.connection, track.left()), before, "there is nothing to come back to");
        assert_eq!(track.of_first(HostB, ACK, 9000, 1, 0), No(Refusal::OutOfWindow));
    }

    #[test]
    fn what_fits_neither_is_refused_and_changes_nothing() {
        let mut track = Track::established().displaced_by(HostB);
        let before = (track.connection, track.irregular, track.left());
        for (flags, seq, ack) in [(ACK, 500_000, 1), (ACK, 1, 5000), (FIN_ACK, 1, 90), (SYN_ACK, 7, 9)] {
            for host in [HostA, HostB] {
                assert!(matches!(track.of_first(host, flags, seq, ack, 0), No(_)), "{flags:?} {host:?}");
            }
        }
        assert_eq!((track.connection, track.irregular, track.left()), before);
    }

    #[test]
    fn in_mid_handshake_too() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        let mut track = track.displaced_by(HostA);
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New);
        track.goes_on([1, 1]);
    }

    #[test]
    fn an_endpoint_that_waits_for_its_last_acknowledgement_hears_that_the_other_has_begun_anew() {
        let mut track = Track::established();
        track.of_first(HostA, FIN_ACK, 1, 1, 0);
        assert_eq!(track.of_first(HostB, FIN_ACK, 1, 2, 0), Fine);
        assert_eq!(track.states(), [TimeWait, LastAck]);
        // B's, for all that A knows in TIME_WAIT (RFC 1122 section 4.2.2.13).
        assert_eq!(track.of_other(HostB, SYN, 0, 0), Fine);
        assert_eq!(track.of_other(HostA, SYN_ACK, 0, 1), New);
        let before = (track.connection, track.left());
        assert_eq!(track.of_first(HostB, ACK, 2, 2, 0), Fine, "B's challenge");
        assert_eq!(track.of_first(HostB, FIN_ACK, 1, 2, 0), Fine, "and its FIN again");
        assert_eq!(track.of_first(HostA, RST, 2, 0, 0), Fine, "A's answer");
        assert_eq!((track.connection, track.left()), before, "TIME_WAIT does not come back");
    }

    /// B waits for the acknowledgement of its FIN, which nobody does who answers a SYN (RFC 9293 section 3.10.7.4).
    #[test]
    fn an_endpoint_that_cannot_have_answered_takes_the_connection_back_that_it_closes() {
        for crossed in [false, true] {
            for is_fin in [false, true] {
                let mut track = Track::established();
                assert_eq!(track.of_first(HostA, FIN_ACK, 1, 1, 0), Fine);
                if crossed {
                    assert_eq!(track.of_first(HostB, FIN_ACK, 1, 1, 0), Fine);
                    assert_eq!(track.of_first(HostB, ACK, 2, 2, 0), Fine);
                } else {
                    assert_eq!(track.of_first(HostB, FIN_ACK, 1, 2, 0), Fine);
                }
                let waits = [TimeWait, if crossed { Closing } else { LastAck }];
                assert_eq!((crossed, track.states()), (crossed, waits));
                track.wait(20_000);
                let mut track = track.displaced_by(HostA);
                assert_eq!(track.of_first(HostA, ACK, 2, 1, 0), Fine, "A's own say nothing about it");
                track.wait(10_000);
                let (flags, seq) = if is_fin { (FIN_ACK, 1) } else { (ACK, 2) };
                assert_eq!(track.of_first(HostB, flags, seq, 2, 0), New);
                let left = if is_fin { 60_000 } else { 30_000 };
                assert_eq!((track.states(), track.left()), (waits, left), "the FIN starts 2 MSL again");
                assert_eq!(track.of_first(HostA, ACK, 2, 2, 0), Fine);
                assert_eq!(track.states(), [TimeWait, if crossed { TimeWait } else { Closed }]);
            }
        }
    }

    #[test]
    fn nor_does_it_show_anything_about_an_elder_one_that_was_answered_before() {
        let mut track = Track::established().displaced_by(HostA);
        assert_eq!(track.of_other(HostA, FIN_ACK, 1, 1), Fine);
        assert_eq!(track.of_other(HostB, FIN_ACK, 1, 2), Fine);
        assert_eq!(track.states(), [TimeWait, LastAck]);
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New);
        let before = track.connection;
        assert_eq!(track.of_other(HostB, FIN_ACK, 1, 2), Fine);
        assert_eq!((track.connection, track.states()), (before, [Established, Established]));
    }

    #[test]
    fn before_the_answer_it_does_not() {
        let mut track = Track::established();
        track.of_first(HostA, FIN_ACK, 1, 1, 0);
        track.of_first(HostB, FIN_ACK, 1, 2, 0);
        let mut track = track.displaced_by(HostA);
        assert_eq!(track.of_other(HostA, FIN_ACK, 1, 1), Fine);
        assert_eq!(track.of_other(HostB, FIN_ACK, 1, 2), Fine);
        assert_eq!(track.of_other(HostA, ACK, 2, 2), Fine);
        // A has left TIME_WAIT, for all that is known here.
        assert_eq!(track.of_other(HostA, SYN, 9_000, 0), New);
        let before = track.connection;
        assert_eq!(track.of_first(HostB, FIN_ACK, 1, 2, 0), Fine);
        assert_eq!((track.connection, track.states()), (before, [SynSent, Listen]));
    }

    #[test]
    fn the_memory_of_it_ends_when_its_own_timer_would_be_over() {
        let mut track = Track::established().displaced_by(HostA);
        track.wait(20_000);
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New);
        track.wait(39_999);
        track.goes_on([1, 1]);
        assert!(track.connection.marks.is_irregular());
        track.wait(1);
        track.goes_on([1, 1]);
        assert!(!track.connection.marks.is_irregular());
    }
}

mod true_ones {
    use super::*;

    /// Both have crashed, and A has opened again.
    fn begun_anew() -> Track {
        let mut track = Track::established().displaced_by(HostA);
        assert_eq!(track.of_other(HostA, ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        track
    }

    /// 500 bytes of A's were let through behind 500 that were not, and then those.
    fn reordered(mut track: Track, flags: Flags) -> Track {
        let [seq, ack] = [A2 + 1, B2 + 1];
        assert_eq!(track.by(HostA, &segment(flags, seq + 500, ack, 500)), Fine);
        assert!(track.connection.marks.has_hole(Original));
        assert_eq!(track.by(HostA, &segment(ACK, seq, ack, 500)), Fine);
        assert!(!track.connection.marks.has_hole(Original), "nothing is missing any more");
        assert!(track.irregular.rival.is_some(), "the one before is kept all the same");
        track
    }

    #[test]
    fn what_is_missing_in_the_new_one_is_known_beside_the_one_before() {
        let mut track = reordered(begun_anew(), ACK);
        assert_eq!((track.of_other(HostA, RST, 1001, 0), track.states()), (Fine, [Closed, Closed]));
        let track = reordered(begun_anew(), FIN_ACK);
        assert_eq!(track.states(), [FinWait1, CloseWait], "the FIN has arrived");
    }

    #[test]
    fn so_is_what_was_missing_before_the_segment_that_brought_one_back() {
        for host in [HostA, HostB] {
            let mut track = Track::established().displaced_by(HostA);
            assert_eq!(track.of_first(host, ACK, 101, 1, 100), New, "100 bytes are missing before it");
            assert_eq!(track.of_first(host, ACK, 1, 1, 100), Fine);
            assert_eq!(track.of_first(host, RST, 201, 0, 0), Fine);
            assert_eq!(track.states(), [Closed, Closed], "{host:?}");
        }
    }

    #[test]
    fn an_old_duplicate_of_before_the_crash_does_not_stop_the_new_connection() {
        let mut track = begun_anew();
        assert_eq!(track.of_first(HostB, ACK, 1, 1, 10), New, "for all that is known here");
        assert_eq!(track.of_other(HostA, ACK, 1, 1), New, "and it lives after all");
        assert_eq!(track.of_other(HostB, ACK, 1, 1), Fine);
        assert_eq!((track.states(), track.left()), ([Established, Established], 7_440_000));
    }

    #[test]
    fn a_repeated_answer_of_the_one_before_does_not_begin_it_again() {
        let mut track = begun_anew();
        let before = (track.connection, track.left());
        assert_eq!(track.of_first(HostB, SYN_ACK, 0, 1, 0), Fine);
        assert_eq!((track.connection, track.left()), before);
        assert_eq!(track.of_other(HostB, ACK, 1, 1), Fine);
    }

    #[test]
    fn the_one_before_is_forgotten_when_it_would_have_expired() {
        let mut track = begun_anew();
        for _ in 0..2 {
            track.wait(7_439_999 / 2);
            assert_eq!(track.of_other(HostB, ACK, 1, 1), Fine);
        }
        assert!(track.connection.marks.is_irregular());
        track.wait(2);
        assert_eq!(track.of_other(HostB, ACK, 1, 1), Fine);
        assert!(!track.connection.marks.is_irregular());
        assert!(matches!(track.of_first(HostB, ACK, 1, 1, 10), No(_)));
    }

    #[test]
    fn an_old_syn_and_its_old_answer_reordered_around_a_whole_handshake() {
        let mut track = Track::established();
        assert_eq!(track.of_other(HostA, SYN, 0, 0), Fine, "of the incarnation before");
        assert_eq!(track.of_other(HostB, SYN_ACK, 0, 1), New);
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New, "its challenge");
        assert_eq!(track.of_other(HostB, SYN_ACK, 0, 1), Fine, "once more: its SYN is not remembered now");
        track.goes_on([1, 1]);
    }

    #[test]
    fn a_copy_of_the_first_ones_syn_after_an_rst_for_the_other_is_no_third() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        let mut track = track.displaced_by(HostA);
        assert_eq!(track.of_other(HostA, RST, 1, 0), Fine, "A knows nothing of it");
        assert_eq!(track.states(), [Closed, Closed]);
        assert_eq!(track.of_first(HostA, SYN, 0, 0, 0), Fine);
        assert_eq!(track.of_first(HostB, SYN_ACK, 0, 1, 0), Fine);
        assert_eq!(track.states(), [Closed, Closed], "whose they are, they do not show");
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New);
        assert_eq!(track.states(), [Established, Established]);
    }
}

mod silence {
    use super::*;

    #[test]
    fn the_first_outlives_what_was_made_up_with_what_was_left_of_its_own_timer() {
        for opener in [HostA, HostB] {
            let mut track = Track::established();
            track.wait(40_000);
            let mut track = track.displaced_by(opener);
            assert!(track.falls_silent(), "syn_received is over");
            assert_eq!((track.states(), track.turned), ([Established, Established], false));
            assert_eq!(track.left(), 7_440_000 - 100_000);
            assert!(!track.connection.marks.is_irregular());
            track.goes_on([1, 1]);
        }
    }

    #[test]
    fn also_once_what_was_made_up_has_been_made_to_end() {
        let mut track = Track::established().displaced_by(HostA);
        assert_eq!(track.of_other(HostA, ACK, 1, 1), Fine);
        assert_eq!(track.of_other(HostB, RST, 1, 0), Fine);
        assert_eq!((track.states(), track.left()), ([Closed, Closed], 10_000));
        assert!(track.falls_silent());
        track.goes_on([1, 1]);
        let mut track = track.displaced_by(HostB);
        assert_eq!(track.of_other(HostA, FIN_ACK, 1, 1), Fine);
        assert_eq!(track.of_other(HostB, FIN_ACK, 1, 2), Fine);
        assert_eq!(track.of_other(HostA, ACK, 2, 2), Fine);
        assert_eq!((track.states(), track.left()), ([Closed, TimeWait], 60_000));
        assert!(track.falls_silent());
        track.goes_on([1, 1]);
    }

    #[test]
    fn what_is_missing_in_its_streams_it_still_misses() {
        let mut track = Track::established();
        assert_eq!(track.of_first(HostB, ACK, 301, 1, 100), Fine, "300 bytes are missing before it");
        let mut track = track.displaced_by(HostA);
        assert!(track.falls_silent());
        assert_eq!(track.of_first(HostB, FIN_ACK, 401, 1, 0), Fine);
        assert_eq!(track.states(), [Established, FinWait1], "the FIN has not arrived");
        assert_eq!(track.of_first(HostB, ACK, 1, 1, 300), Fine);
        assert_eq!(track.of_first(HostA, ACK, 1, 402, 0), Fine);
        assert_eq!(track.states(), [CloseWait, FinWait2]);
    }

    #[test]
    fn whichever_of_the_two_ends_first_the_other_stays() {
        let mut track = Track::established().displaced_by(HostA);
        assert_eq!(track.of_other(HostA, ACK, 1, 1), Fine);
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New);
        track.of_first(HostA, RST, 1, 0, 0);
        assert!(track.falls_silent(), "the other one may be the true one");
        assert_eq!(track.of_other(HostB, ACK, 1, 1), Fine);
        assert_eq!((track.states(), track.left()), ([Established, Established], 7_440_000));
    }

    #[test]
    fn nothing_comes_after_one_that_has_displaced_nothing_alive() {
        let mut track = Track::established();
        assert!(!track.falls_silent());
        // What was there is over: reset, or in TIME_WAIT, or its time is up.
        let mut track = Track::established().displaced_by(HostA);
        track.of_first(HostB, RST, 1, 0, 0);
        assert!(!track.falls_silent());
        let mut track = Track::established();
        track.of_first(HostA, FIN_ACK, 1, 1, 0);
        track.of_first(HostB, FIN_ACK, 1, 2, 0);
        let mut track = track.displaced_by(HostB);
        assert!(!track.falls_silent());
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        track.wait(10);
        let mut track = track.displaced_by(HostA);
        assert!(!track.falls_silent(), "its handshake would be over before");
    }

    #[test]
    fn a_segment_that_starts_no_timer_again_leaves_the_one_that_ran() {
        for opener in [HostA, HostB] {
            // New data make it a half-close, and start that one's timer.
            for (payload, left) in [(0, 30_000), (10, 3_600_000)] {
                let mut track = Track::established();
                track.of_first(HostA, FIN_ACK, 1, 1, 0);
                track.of_first(HostB, ACK, 1, 2, 0);
                track.wait(20_000);
                let mut track = track.displaced_by(opener);
                track.wait(10_000);
                assert_eq!(track.of_first(HostB, ACK, 1, 2, payload), New);
                assert_eq!((track.states(), track.left()), ([FinWait2, CloseWait], left));
            }
        }
    }

    #[test]
    fn a_fin_that_comes_too_often_does_not_end_it_by_an_interval_that_nobody_knows() {
        let mut track = Track::established();
        for _ in 0..8 {
            track.of_first(HostA, FIN_ACK, 1, 1, 0);
            track.wait(1000);
        }
        let mut track = track.displaced_by(HostA);
        assert_eq!(track.of_first(HostA, FIN_ACK, 1, 1, 0), New, "for the ninth time");
        assert_eq!((track.states(), track.left()), ([FinWait1, CloseWait], 119_000));
    }
}

mod a_third {
    use super::*;

    /// Numbers of the third one, beside those of [`Host::initials`].
    const A3: u32 = 0x4000_0000;
    const B3: u32 = 0x7000_0000;

    impl Track {
        fn of_third(&mut self, host: Host, flags: Flags, seq: u32, ack: u32, payload: u32) -> Outcome {
            let [own, other] = if host == HostA { [A3, B3] } else { [B3, A3] };
            let ack = if flags.has(ACK) { other + ack } else { 0 };
            self.by(host, &segment(flags, own + seq, ack, payload))
        }

        /// A third one begins by `opener`; whose they are, nobody in the middle knows.
        fn and_by_a_third(mut self, opener: Host) -> Track {
            assert_eq!(self.of_third(opener, SYN, 0, 0, 0), Fine);
            assert_eq!(self.of_third(opener.other(), SYN_ACK, 0, 1, 0), New);
            self
        }

        /// Whatever `send` sends passes and moves nothing but how long the tuple is contested.
        fn passes(&mut self, send: impl FnOnce(&mut Track) -> Outcome) {
            let before = (self.connection, self.irregular.rival);
            assert_eq!(send(self), Fine);
            assert_eq!((self.connection, self.irregular.rival), before);
        }
    }

    #[test]
    fn what_was_planted_before_the_real_one_began_does_not_cost_that_one_a_segment() {
        for opener in [HostA, HostB] {
            // The first is made up, the other one real, the third made up again.
            let mut track = Track::established().displaced_by(HostA);
            assert_eq!(track.of_other(HostA, ACK, 1, 1), Fine);
            let mut track = track.and_by_a_third(opener);
            let [a, b] = [HostA, HostB];
            track.passes(|it| it.of_other(a, ACK, 1, 1));
            track.passes(|it| it.of_other(b, ACK, 1, 1));
            track.passes(|it| it.of_other(a, FIN_ACK, 1, 1));
            track.passes(|it| it.of_other(b, FIN_ACK, 1, 2));
            track.passes(|it| it.of_other(a, ACK, 2, 2));
            track.passes(|it| it.of_other(b, RST, 2, 0));
            track.passes(|it| it.of_other(b, SYN_ACK, 0, 1));
            assert_eq!(track.of_first(a, ACK, 1, 1, 0), New, "the first one may be the real one too");
            track.goes_on([1, 1]);
        }
    }

    #[test]
    fn nor_do_two_that_are_made_up_in_mid_handshake() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        let mut track = track.displaced_by(HostA);
        assert_eq!(track.of_other(HostA, ACK, 1, 1), Fine);
        let mut track = track.and_by_a_third(HostA);
        track.passes(|it| it.of_first(HostA, ACK, 1, 1, 0));
        track.passes(|it| it.of_first(HostA, ACK, 1, 1, 10));
        track.passes(|it| it.of_first(HostB, SYN_ACK, 0, 1, 0));
        track.passes(|it| it.of_first(HostB, ACK, 1, 11, 0));
    }

    #[test]
    fn nobody_moves_or_ends_anything_by_what_passes() {
        let mut track = Track::established().displaced_by(HostA).and_by_a_third(HostB);
        assert_eq!(track.of_third(HostB, ACK, 1, 1, 0), Fine);
        for host in [HostA, HostB] {
            for (flags, seq) in [(ACK, 0x1000_0000), (FIN_ACK, 0x2000_0000), (RST, 77), (SYN_ACK, 5)] {
                track.passes(|it| it.by(host, &segment(flags, seq, 0x3000_0000, 0)));
            }
        }
    }

    #[test]
    fn the_contest_is_over_when_the_timer_of_the_lost_one_would_be() {
        let mut track = Track::established().displaced_by(HostA).and_by_a_third(HostA);
        assert_eq!(track.of_third(HostA, ACK, 1, 1, 0), Fine);
        track.wait(59_999);
        track.passes(|it| it.of_other(HostB, RST, 9000, 0));
        track.wait(1);
        assert_eq!(track.of_other(HostB, RST, 9000, 0), No(Refusal::OutOfWindow));
        // Data and acknowledgements of the lost one start it again.
        let mut track = Track::established().displaced_by(HostA).and_by_a_third(HostA);
        assert_eq!(track.of_third(HostA, ACK, 1, 1, 0), Fine);
        track.wait(59_999);
        track.passes(|it| it.of_other(HostB, ACK, 1, 1));
        assert_eq!(track.irregular.contested, Some(track.now.after(Span::from_milliseconds(7_440_000))));
    }

    #[test]
    fn it_ends_with_the_last_memory_of_it() {
        let mut track = Track::established().displaced_by(HostA).and_by_a_third(HostA);
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New);
        assert!(track.irregular.contested.is_some(), "a return does not decide it");
        track.wait(60_000);
        track.goes_on([1, 1]);
        assert!(!track.connection.marks.is_irregular());
    }

    #[test]
    fn one_that_was_never_answered_takes_the_tuple_back_by_its_answer_alone() {
        let mut track = Track::established().displaced_by(HostA);
        assert_eq!(track.of_other(HostA, RST, 1, 0), Fine);
        assert_eq!(track.of_third(HostA, SYN, 0, 0, 0), New);
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New);
        for host in [HostA, HostB] {
            assert_eq!(track.by(host, &segment(ACK, 0x1000_0000, 77, 0)), No(Refusal::OutOfWindow));
        }
        assert_eq!(track.of_third(HostB, SYN_ACK, 0, 1, 0), Fine);
        assert_eq!(track.states(), [Established, Established]);
        assert_eq!(track.of_third(HostA, ACK, 1, 1, 0), New);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn one_that_is_over_is_not_waited_for() {
        let mut track = Track::established().displaced_by(HostA);
        assert_eq!(track.of_other(HostA, RST, 1, 0), Fine);
        assert_eq!(track.of_third(HostA, SYN, 0, 0, 0), New);
        assert_eq!(track.irregular.contested, None);
        assert_eq!(track.of_other(HostA, ACK, 1, 1), No(Refusal::NotSynchronized));
    }

    #[test]
    fn nor_one_that_both_endpoints_have_closed_but_one_that_waits_for_its_last_acknowledgement_is() {
        for is_acknowledged in [true, false] {
            let mut track = Track::established();
            assert_eq!(track.of_first(HostA, FIN_ACK, 1, 1, 0), Fine);
            assert_eq!(track.of_first(HostB, FIN_ACK, 1, 2, 0), Fine);
            assert_eq!(track.states(), [TimeWait, LastAck]);
            let mut track = track.displaced_by(HostA);
            if is_acknowledged {
                assert_eq!(track.of_first(HostA, ACK, 2, 2, 0), Fine);
            }
            assert_eq!(track.of_third(HostA, SYN, 0, 0, 0), Fine);
            assert_eq!(track.of_third(HostB, SYN_ACK, 0, 1, 0), New);
            let waits = !is_acknowledged;
            assert_eq!(track.irregular.contested.is_some(), waits);
            assert_eq!(track.of_first(HostB, FIN_ACK, 1, 2, 0) == Fine, waits, "the FIN once more");
            assert_eq!(track.of_first(HostA, ACK, 2, 2, 0) == Fine, waits, "and its acknowledgement");
        }
    }

    #[test]
    fn what_policy_refuses_is_refused_all_the_same() {
        let policy = Policy { inexact_rst: InexactRst::Drop, ..Policy::DEFAULT };
        let mut track = Track::established_under(policy).displaced_by(HostA).and_by_a_third(HostA);
        assert_eq!(track.of_third(HostA, ACK, 1, 1, 0), Fine);
        assert_eq!(track.of_third(HostA, RST, 50, 0, 0), No(Refusal::RstNotExact));
    }
}

mod wide_windows {
    use super::*;

    const WIDEST: Options<'static> = Options(&[3, 3, 14, 0]);

    /// Made up with windows in which the first one's numbers lie.
    fn made_up_around(mut track: Track) -> Track {
        let wide =
            |flags, seq, ack| Segment { window: 65_535, options: WIDEST, ..segment(flags, seq, ack, 0) };
        let bare = |seq, ack| Segment { window: 65_535, ..segment(ACK, seq, ack, 0) };
        let [a, b] = [0x0800_0000, 0x1000_0000];
        assert_eq!(track.by(HostA, &wide(SYN, a, 0)), Fine);
        assert_eq!(track.by(HostB, &wide(SYN_ACK, b, a + 1)), New);
        assert_eq!(track.by(HostA, &bare(a + 1, b + 1)), Fine);
        assert_eq!(track.by(HostB, &bare(b + 1, a + 1)), Fine);
        assert_eq!(track.states(), [Established, Established]);
        let next = segment(ACK, A + 1, B + 1, 10);
        assert_eq!(window::check(&track.connection, Original, &next), Ok(()), "it catches the first one's");
        track
    }

    #[test]
    fn the_next_segment_of_the_first_is_the_firsts() {
        for host in [HostA, HostB] {
            for (flags, payload) in [(ACK, 0), (ACK, 10), (FIN_ACK, 0)] {
                let mut track = made_up_around(Track::established());
                assert_eq!(track.of_first(host, flags, 1, 1, payload), New, "{host:?} {flags:?} {payload}");
            }
        }
    }

    #[test]
    fn wherever_all_their_numbers_lie_every_segment_is_for_its_own() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut caught = 0;
        for round in 0..1_500 {
            let [a, b, c, d] = [(); 4].map(|()| random.u32(..));
            let wide = |flags, seq, ack| Segment { window: 65_535, ..segment(flags, seq, ack, 0) };
            let mut track = Track::begun_by(&segment(SYN, a, 0, 0), Policy::DEFAULT);
            let [a, b, c, d] = [a, b, c, d].map(|initial| initial.wrapping_add(1));
            let before = |number: u32| number.wrapping_sub(1);
            track.by(HostB, &segment(SYN_ACK, before(b), a, 0));
            track.by(HostA, &segment(ACK, a, b, 0));
            track.by(HostA, &Segment { options: WIDEST, ..wide(SYN, before(c), 0) });
            track.by(HostB, &Segment { options: WIDEST, ..wide(SYN_ACK, before(d), c) });
            track.by(HostA, &wide(ACK, c, d));
            assert_eq!(track.by(HostB, &wide(ACK, d, c)), Fine, "round {round}: it is what is in the table");
            let next = segment(ACK, a, b, 10);
            caught += u32::from(window::check(&track.connection, Original, &next).is_ok());
            assert_eq!(track.by(HostA, &next), New, "round {round}");
            assert_eq!(track.by(HostB, &segment(ACK, b, a.wrapping_add(10), 10)), Fine, "round {round}");
            let rst = segment(RST, a.wrapping_add(10), 0, 0);
            assert_eq!((track.by(HostA, &rst), track.states()), (Fine, [Closed, Closed]), "round {round}");
        }
        assert!(caught > 100, "{caught} of them lay in the windows");
    }

    #[test]
    fn so_is_what_was_lost_or_comes_again() {
        let sent = || {
            let mut track = Track::established();
            assert_eq!(track.of_first(HostA, ACK, 1, 1, 100), Fine);
            track
        };
        let before = sent().connection.peers;
        let mut track = made_up_around(sent());
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 100), New, "once more");
        assert_eq!(track.connection.peers, before);
        let mut track = made_up_around(sent());
        assert_eq!(track.of_first(HostA, ACK, 201, 1, 100), New, "100 bytes before it are missing");
        assert_eq!(track.of_first(HostA, ACK, 101, 1, 100), Fine);
    }

    #[test]
    fn an_exact_rst_of_the_first_ends_that_and_not_what_was_made_up() {
        for host in [HostA, HostB] {
            let mut track = made_up_around(Track::established());
            let before = track.connection;
            assert_eq!(track.of_first(host, RST, 1, 0, 0), Fine);
            assert_eq!(track.connection, before);
            assert!(track.irregular.rival.unwrap().connection.marks.is_reset());
            assert!(!track.falls_silent());
        }
    }

    #[test]
    fn what_is_next_in_the_table_stays_there_whatever_it_fits_beside() {
        let mut track = made_up_around(Track::established());
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 10), New);
        for _ in 0..3 {
            assert_eq!(track.of_first(HostB, ACK, 1, 11, 0), Fine);
            assert_eq!(track.of_first(HostA, ACK, 11, 1, 0), Fine);
        }
        assert_eq!(track.of_first(HostA, ACK, 111, 1, 10), Fine, "a hole in a narrow window says more");
        assert_eq!(track.of_first(HostA, RST, 11, 0, 0), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
    }
}
