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

    #[test]
    fn the_memory_of_it_ends_once_the_first_goes_on_for_longer_than_a_segment_lives() {
        let mut track = Track::established().displaced_by(HostA);
        assert_eq!(track.of_first(HostA, ACK, 1, 1, 0), New);
        track.wait(29_999);
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
