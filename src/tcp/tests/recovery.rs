//! RFC 9293 section 3.5, figures 6 to 12, seen from the middle: with the connection known, after it was
//! forgotten, and where both ends have forgotten it; and listeners that answer one SYN twice.

use super::*;

/// A second instance of B answers with this in place of [`B`].
const B2: u32 = 900_000;

impl Track {
    /// A segment of B in numbers of its second instance.
    fn b2(&mut self, flags: Flags, seq: u32, ack: u32) -> Outcome {
        self.send(Reply, &segment(flags, B2.wrapping_add(seq), A.wrapping_add(ack), 0))
    }

    /// A segment of A that acknowledges B's second instance.
    fn a2(&mut self, flags: Flags, seq: u32, ack: u32) -> Outcome {
        self.send(Original, &segment(flags, A.wrapping_add(seq), B2.wrapping_add(ack), 0))
    }
}

mod a_listener_answers_one_syn_twice {
    use super::*;

    fn answered_twice() -> Track {
        let mut track = Track::syn_sent();
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        track.wait(500);
        assert_eq!(track.b2(SYN_ACK, 0, 1), Fine, "the client may be waiting for it still");
        assert_eq!((track.states(), track.left()), ([Established, SynReceived], 59_500));
        track
    }

    #[test]
    fn the_client_takes_the_second() {
        let mut track = answered_twice();
        assert_eq!(track.a2(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        assert!(!track.connection.marks.is_irregular(), "nothing is left to remember");
        assert_eq!(track.b2(ACK, 1, 1), Fine);
        assert_eq!(track.b(ACK, 1, 1), No(Refusal::OutOfWindow), "the first is gone");
    }

    #[test]
    fn the_client_takes_the_first() {
        let mut track = answered_twice();
        assert_eq!(track.a(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        assert!(!track.connection.marks.is_irregular());
        assert_eq!(track.a2(ACK, 1, 1), No(Refusal::AckOutOfWindow));
    }

    #[test]
    fn a_blind_syn_in_its_name_does_not_make_it_forgotten() {
        let mut track = answered_twice();
        assert_eq!(track.b(SYN, 77, 0), Fine);
        assert_eq!(track.a2(ACK, 1, 1), Fine, "the client has taken the second answer");
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn an_acknowledgement_of_neither_is_refused() {
        let mut track = answered_twice();
        let before = (track.connection, track.irregular);
        assert_eq!(track.a2(ACK, 1, 2), No(Refusal::AckOutOfWindow));
        assert_eq!(track.a2(ACK, 1, 0), No(Refusal::AckOutOfWindow));
        assert_eq!((track.connection, track.irregular), before);
    }

    #[test]
    fn both_are_repeated_and_the_newest_counts_beside_the_first() {
        let mut track = answered_twice();
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.send(Reply, &segment(SYN_ACK, 77_000, A + 1, 0)), Fine);
        assert_eq!(track.a2(ACK, 1, 1), No(Refusal::AckOutOfWindow), "a third came after it");
        assert_eq!(track.send(Original, &segment(ACK, A + 1, 77_001, 0)), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn what_only_passes_by_the_second_does_not_choose_it() {
        let mut track = answered_twice();
        let before = (track.connection, track.irregular, track.left());
        assert_eq!(track.a2(SYN_ACK, 700, 1), Fine, "to be challenged");
        assert_eq!(track.b2(SYN_ACK, 0, 1), Fine, "again");
        assert_eq!((track.connection, track.irregular, track.left()), before);
    }

    #[test]
    fn early_data_of_the_second_passes_and_the_first_may_still_be_acknowledged() {
        for takes_second in [true, false] {
            let mut track = answered_twice();
            assert_eq!(track.send(Reply, &segment(ACK, B2 + 1, A + 1, 100)), Fine, "RFC 7413");
            assert_eq!(track.states(), [Established, SynReceived]);
            let ack = if takes_second { track.a2(ACK, 1, 101) } else { track.a(ACK, 1, 1) };
            assert_eq!((ack, track.states()), (Fine, [Established, Established]));
        }
    }

    #[test]
    fn what_was_missing_of_the_first_is_not_missing_of_the_second() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        assert_eq!(track.b_data(ACK, 101, 1, 10), Fine, "RFC 7413, and something is missing before it");
        assert!(track.connection.marks.has_hole(Reply));
        assert_eq!(track.b2(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.b2(FIN_ACK, 1, 1), Fine);
        assert_eq!(track.states(), [CloseWait, FinWait1], "its FIN has arrived");
    }

    #[test]
    fn the_second_offers_what_the_first_did_not() {
        let scaled = Options(&[3, 3, 4, 0]);
        for (first, second, room) in [(Options(&[]), scaled, 16_000), (scaled, Options(&[]), 1000)] {
            let mut track =
                Track::begun_by(&Segment { options: scaled, ..segment(SYN, A, 0, 0) }, Policy::DEFAULT);
            track.send(Reply, &Segment { options: first, ..segment(SYN_ACK, B, A + 1, 0) });
            track.send(Reply, &Segment { options: second, ..segment(SYN_ACK, B2, A + 1, 0) });
            assert_eq!(track.a2(ACK, 1, 1), Fine);
            assert_eq!(track.b2(ACK, 1, 1), Fine);
            assert_eq!(track.connection.window(Reply), room, "{first:?} {second:?}");
            assert_eq!(track.connection.peer(Original).limit, Seq(A + 1 + room));
        }
    }

    #[test]
    fn the_second_may_abort_and_the_client_hears_it() {
        let mut track = answered_twice();
        assert_eq!(track.b2(RST, 1, 1), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
    }

    #[test]
    fn only_one_that_acknowledges_the_syn_passes() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        assert_eq!(track.b2(SYN_ACK, 0, 2), No(Refusal::UnexpectedSynAck));
        assert_eq!(track.b2(SYN_ACK, 0, 0), No(Refusal::UnexpectedSynAck));
    }

    #[test]
    fn once_it_is_open_the_second_is_challenged_and_its_rst_ends_the_connection() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        track.a(ACK, 1, 1);
        track.a_data(ACK, 1, 1, 10);
        let before = (track.connection, track.irregular, track.left());
        track.wait(1000);
        // B has crashed since, and met a copy of the SYN.
        assert_eq!(track.b2(SYN_ACK, 0, 1), Fine);
        assert_eq!((track.connection, track.irregular, track.left() + 1000), before, "nothing else happens");
        assert_eq!(track.b2(SYN_ACK, 0, 2), No(Refusal::UnexpectedSynAck), "of the SYN, not of data");
        assert_eq!(track.b2(SYN_ACK, 0, 0), No(Refusal::UnexpectedSynAck));
        assert_eq!(track.a(ACK, 11, 1), Fine, "the challenge");
        assert_eq!(track.b(RST, 1, 0), Fine, "exactly what it acknowledged");
        assert_eq!(track.states(), [Closed, Closed]);
    }

    #[test]
    fn in_every_later_state_too() {
        let mut track = Track::established();
        for (sender, flags, seq, ack) in
            [(Original, FIN_ACK, 1, 1), (Reply, FIN_ACK, 1, 2), (Original, ACK, 2, 2), (Reply, RST, 2, 0)]
        {
            let outcome =
                if sender == Original { track.a(flags, seq, ack) } else { track.b(flags, seq, ack) };
            assert_eq!(outcome, Fine);
            let before = (track.connection, track.left());
            assert_eq!(track.b2(SYN_ACK, 0, 1), Fine, "{:?}", track.states());
            assert_eq!((track.connection, track.left()), before);
            assert_eq!(track.b2(SYN_ACK, 0, 5000), No(Refusal::UnexpectedSynAck));
        }
    }

    #[test]
    fn a_listener_that_aborts_and_gets_the_syn_again_hears_that_the_client_has_its_first_answer() {
        let mut track = Track::syn_sent();
        track.a(SYN, 0, 0);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.b(RST, 1, 0), Fine, "lost behind us");
        assert_eq!(track.a(SYN, 0, 0), New, "sent before the answer came");
        assert_eq!(track.a(ACK, 1, 1), Fine, "and after it");
        assert_eq!(track.states(), [SynSent, Listen]);
        assert_eq!(track.b2(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.a(ACK, 1, 1), Fine, "the challenge");
        assert_eq!(track.b(RST, 1, 0), Fine, "which B answers by what it acknowledges");
        assert_eq!(track.states(), [Established, SynReceived], "of the second");
        assert_eq!(track.a2(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        assert!(!track.connection.marks.is_irregular(), "with the handshake that is forgotten");
    }

    /// B, which has refused A's SYN, opens by itself, and then meets a copy of it.
    fn refused_and_opened() -> Track {
        let mut track = Track::syn_sent();
        assert_eq!(track.a(SYN, 0, 0), Fine);
        assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 1, 0)), Fine);
        assert_eq!(track.b(SYN, 0, 0), New);
        assert_eq!((track.states(), track.turned), ([SynSent, Listen], true), "B is the originator");
        track
    }

    #[test]
    fn a_closed_port_that_opens_by_itself_answers_the_syn_that_it_had_refused() {
        let mut track = refused_and_opened();
        assert_eq!(track.send(Original, &segment(SYN_ACK, B, A + 1, 0)), New);
        assert_eq!((track.states(), track.turned), ([Established, SynReceived], false));
        assert_eq!(track.a(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        let other = segment(SYN_ACK, B, A + 2, 0);
        assert_eq!(refused_and_opened().send(Original, &other), No(Refusal::UnexpectedSynAck));
    }

    #[test]
    fn or_has_its_own_syn_answered_and_both_are_one_simultaneous_open() {
        let mut track = refused_and_opened();
        assert_eq!(track.send(Reply, &segment(SYN_ACK, A, B + 1, 0)), Fine);
        assert_eq!(track.send(Original, &segment(SYN_ACK, B, A + 1, 0)), Fine, "the same two SYNs");
        assert_eq!(track.states(), [Established, Established]);
        // The SYN-ACK may have been lost before us, and the acknowledgement behind it not.
        let mut track = refused_and_opened();
        assert_eq!(track.send(Reply, &segment(ACK, A + 2, B + 1, 0)), No(Refusal::NotSynchronized));
        assert_eq!(track.send(Reply, &segment(ACK, A + 1, B + 1, 0)), Fine);
        assert_eq!((track.states(), track.left()), ([Established, SynReceived], 60_000));
        assert_eq!(track.send(Original, &segment(SYN_ACK, B, A + 1, 0)), Fine);
    }

    #[test]
    fn a_port_that_refuses_in_turn_keeps_the_other_syn_in_mind() {
        let mut track = refused_and_opened();
        assert_eq!(track.send(Reply, &segment(RST_ACK, 0, B + 1, 0)), Fine, "A has given up");
        assert_eq!(track.send(Original, &segment(SYN, B, 0, 0)), New);
        assert_eq!(track.send(Original, &segment(SYN_ACK, B, A + 1, 0)), New, "a copy of A's SYN came");
        assert_eq!(track.send(Original, &segment(RST, A + 1, 0, 0)), Fine, "so B hears that as well");
    }

    #[test]
    fn after_a_crash_between_its_own_syn_and_the_answer() {
        // B opened too, crashed, and answers as a listener; its SYN never reached A.
        let mut track = Track::syn_sent();
        track.b(SYN, 0, 0);
        assert_eq!(track.b2(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.a2(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn a_listener_that_is_gone_refuses_what_it_had_answered() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        let refusal = segment(RST_ACK, 0, A + 1, 0);
        assert_eq!(track.send(Reply, &refusal), Remark(Refusal::RstNotExact), "it may have got no answer");
        assert_eq!(track.states(), [Established, SynReceived]);
        assert_eq!(track.send(Reply, &segment(RST_ACK, 0, A + 2, 0)), No(Refusal::OutOfWindow));
        track.a(ACK, 1, 1);
        assert_eq!(track.send(Reply, &refusal), No(Refusal::OutOfWindow), "it has got one");
    }
}

mod figure_6_and_7 {
    use super::*;

    #[test]
    fn a_three_way_handshake() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        track.a(ACK, 1, 1);
        assert_eq!(track.a_data(ACK, 1, 1, 10), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn a_simultaneous_open_with_every_syn_repeated() {
        let mut track = Track::syn_sent();
        assert_eq!(track.b(SYN, 0, 0), Fine);
        assert_eq!(track.a(SYN, 0, 0), Fine);
        assert_eq!(track.b(SYN, 0, 0), Fine);
        assert_eq!(track.states(), [SynReceived, SynReceived]);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.states(), [Established, SynReceived]);
        assert_eq!(track.a(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine, "repeated");
        assert_eq!(track.a(ACK, 1, 1), Fine);
    }

    #[test]
    fn a_simultaneous_open_over_an_old_incarnation_on_both_sides() {
        let mut track = Track::established();
        assert_eq!(track.a(SYN, 70_000, 0), Fine);
        assert_eq!(track.b(SYN, 80_000, 0), Fine);
        assert_eq!(track.b(SYN_ACK, 80_000, 70_001), New, "each SYN is remembered");
        assert_eq!(track.states(), [Established, SynReceived]);
        assert_eq!(track.a(SYN_ACK, 70_000, 80_001), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn the_same_when_the_other_side_answers_first() {
        let mut track = Track::established();
        track.b(SYN, 80_000, 0);
        track.a(SYN, 70_000, 0);
        assert_eq!(track.a(SYN_ACK, 70_000, 80_001), New);
        // B is the originator now.
        assert_eq!(track.states(), [Established, SynReceived]);
        assert_eq!(track.send(Original, &segment(SYN_ACK, B + 80_000, A + 70_001, 0)), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }
}

mod figure_8_an_old_duplicate_syn {
    use super::*;

    #[test]
    fn seen_first_and_then_the_true_one() {
        let mut track = Track::begun_by(&segment(SYN, A - 90, 0, 0), Policy::DEFAULT);
        assert_eq!(track.a(SYN, 0, 0), Fine);
        let answer = segment(SYN_ACK, B, A - 89, 0);
        assert_eq!(track.send(Reply, &answer), Fine);
        assert_eq!(track.a(RST, 0_u32.wrapping_sub(89), 0), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
        assert_eq!(track.b(SYN_ACK, 300, 1), New);
        assert_eq!(track.a(ACK, 1, 301), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn the_answer_to_one_that_nobody_here_has_seen_poisons_nothing() {
        // We were restarted in between. The listener answers A's SYN by a challenge, A resets that.
        let mut track = Track::syn_sent();
        assert_eq!(track.b(SYN_ACK, 0, 0_u32.wrapping_sub(89)), No(Refusal::UnexpectedSynAck));
        assert_eq!(track.b(ACK, 1, 0_u32.wrapping_sub(89)), Fine);
        assert_eq!(track.a(RST, 0_u32.wrapping_sub(89), 0), Fine);
        assert_eq!(track.states(), [SynSent, Listen]);
        assert_eq!(track.b(SYN_ACK, 300, 1), Fine);
        assert_eq!(track.a(ACK, 1, 301), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn on_a_handshake_that_is_past_it() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        assert_eq!(track.a(SYN, 0_u32.wrapping_sub(90), 0), Fine);
        assert_eq!(track.b(ACK, 1, 1), Fine, "the challenge");
        assert_eq!(track.a(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }
}

mod figure_9_half_open_discovery {
    use super::*;

    #[test]
    fn while_the_old_one_is_known() {
        let mut track = Track::established();
        assert_eq!(track.a(SYN, 70_000, 0), Fine);
        assert_eq!(track.b(ACK, 1, 1), Fine, "the challenge");
        assert_eq!(track.a(RST, 1, 0), Fine, "exactly what it acknowledged");
        assert_eq!(track.states(), [Closed, Closed]);
        assert_eq!(track.a(SYN, 70_000, 0), New);
        assert_eq!(track.b(SYN_ACK, 500, 70_001), Fine);
        assert_eq!(track.a(ACK, 70_001, 501), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn when_the_old_one_was_forgotten_here() {
        let mut track = Track::syn_sent();
        track.wait(100);
        let before = (track.connection.peers, track.left());
        let challenge = segment(ACK, 33_000, 44_000, 0);
        assert_eq!(track.send(Reply, &challenge), Fine);
        assert_eq!(track.send(Original, &segment(RST, 44_000, 0, 0)), Fine);
        assert_eq!((track.connection.peers, track.left()), before);
        assert_eq!(track.states(), [SynSent, Listen], "A goes on sending its SYN");
        assert_eq!(track.a(SYN, 0, 0), Fine);
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.a(ACK, 1, 1), Fine);
        assert_eq!(track.states(), [Established, Established]);
        assert!(!track.connection.marks.is_irregular());
    }

    #[test]
    fn a_blind_acknowledgement_behind_the_challenge_does_not_keep_the_reset_away() {
        let mut track = Track::syn_sent();
        assert_eq!(track.send(Original, &segment(RST, 44_000, 0, 0)), No(Refusal::OutOfWindow), "what for?");
        assert_eq!(track.send(Reply, &segment(ACK, 33_000, 44_000, 0)), Fine);
        assert_eq!(track.send(Reply, &segment(ACK, 1, 1, 0)), Fine, "anybody's");
        let before = (track.connection, track.left());
        assert_eq!(track.send(Original, &segment(RST, 44_000, 0, 0)), Fine);
        assert_eq!((track.connection, track.left()), before);
    }

    #[test]
    fn an_old_peer_that_still_sends_data_or_its_fin_is_reset_in_the_same_way() {
        for (flags, payload) in [(ACK, 100), (FIN_ACK, 0)] {
            let mut track = Track::syn_sent();
            assert_eq!(track.send(Reply, &segment(flags, 33_000, 44_000, payload)), Fine);
            assert_eq!(track.send(Original, &segment(RST, 44_000, 0, 0)), Fine);
            assert_eq!(track.states(), [SynSent, Listen]);
        }
    }

    #[test]
    fn an_acknowledgement_of_the_syn_alone_is_no_answer() {
        let mut track = Track::syn_sent();
        assert_eq!(track.b(ACK, 1, 1), No(Refusal::NotSynchronized), "its receiver would drop it");
    }

    #[test]
    fn a_syn_that_was_only_an_old_duplicate_does_not_stop_the_connection_that_it_met() {
        // Forgotten here, alive on both sides: B's challenge tells A nothing new.
        let mut track = Track::syn_sent();
        assert_eq!(track.send(Original, &segment(ACK, 44_000, 33_000, 10)), No(Refusal::NotSynchronized));
        assert_eq!(track.send(Reply, &segment(ACK, 33_000, 44_000, 0)), Fine);
        assert_eq!(track.send(Original, &segment(ACK, 44_000, 33_000, 10)), Fine);
        assert_eq!(track.send(Original, &segment(ACK, 43_500, 33_000, 600)), Fine, "sent again, and more");
        let too_old = 44_000_u32.wrapping_sub((1 << 30) + 1);
        assert_eq!(track.send(Original, &segment(ACK, too_old, 33_000, 0)), No(Refusal::NotSynchronized));
        assert_eq!((track.states(), track.left()), ([SynSent, Listen], 120_000));
    }

    #[test]
    fn in_time_wait_the_side_that_still_closes_is_discovered_too() {
        let mut track = Track::established();
        track.a(FIN_ACK, 1, 1);
        track.b(FIN_ACK, 1, 2);
        assert_eq!(track.states(), [TimeWait, LastAck]);
        assert_eq!(track.a(SYN, 70_000, 0), Fine, "the last ACK was never sent, or is lost");
        assert_eq!(track.b(FIN_ACK, 1, 2), Fine, "B waits for it");
        assert_eq!(track.a(RST, 2, 0), Fine);
        assert_eq!(track.states(), [TimeWait, Closed]);
        assert_eq!(track.a(SYN, 70_000, 0), New);
        assert_eq!(track.states(), [SynSent, Listen]);
    }
}

mod figure_10_the_active_side_finds_out {
    use super::*;

    #[test]
    fn a_crashed_peer_resets_by_what_the_data_acknowledged() {
        let mut track = Track::established();
        assert_eq!(track.b_data(ACK, 1, 1, 100), Fine);
        assert_eq!(track.a(RST, 1, 0), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
    }

    #[test]
    fn also_when_the_connection_is_first_seen_here() {
        let mut track = Track::begun_by(&segment(ACK, B + 1, A + 1, 100), Policy::DEFAULT);
        assert_eq!(track.send(Reply, &segment(RST, A + 1, 0, 0)), Fine);
        assert_eq!(track.states(), [Closed, Closed]);
    }
}

mod figure_11_two_passive_sockets {
    use super::*;

    #[test]
    fn an_old_duplicate_syn_is_answered_and_reset() {
        let mut track = Track::syn_sent();
        assert_eq!(track.b(SYN_ACK, 0, 1), Fine);
        assert_eq!(track.a(RST, 1, 0), Fine);
        assert_eq!((track.states(), track.left()), ([Closed, Closed], 10_000));
    }
}

/// Both ends have crashed, or one of them, with a SYN on the old connection: what follows, follows rightly.
mod a_syn_on_a_live_connection {
    use super::*;

    #[test]
    fn survives_old_duplicates_of_its_sender() {
        let mut track = Track::established();
        assert_eq!(track.a(SYN, 70_000, 0), Fine);
        assert_eq!(track.a_data(ACK, 1, 1, 10), Fine, "sent before the crash, and overtaken");
        assert_eq!(track.b(SYN_ACK, 800, 70_001), New);
        assert_eq!(track.a(ACK, 70_001, 801), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }

    #[test]
    fn met_with_silence_changes_nothing() {
        let mut track = Track::established();
        track.a(SYN, 70_000, 0);
        track.wait(3000);
        track.a(SYN, 70_000, 0);
        assert_eq!((track.states(), track.left()), ([Established, Established], 7_437_000));
    }

    #[test]
    fn of_a_client_that_restarted_within_the_handshake() {
        let mut track = Track::syn_sent();
        track.b(SYN_ACK, 0, 1);
        assert_eq!(track.a(SYN, 70_000, 0), Fine);
        assert_eq!(track.b(ACK, 1, 1), Fine, "challenged");
        assert_eq!(track.a(RST, 1, 0), Fine);
        assert_eq!(track.b(SYN_ACK, 500, 70_001), New, "the SYN had reached the listener after all");
        assert_eq!(track.a(ACK, 70_001, 501), Fine);
        assert_eq!(track.states(), [Established, Established]);
    }
}
