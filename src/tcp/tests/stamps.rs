//! Initial sequence numbers and timestamps: what still needs the first must not be answered from the second.

use super::*;

/// The timestamps option that a stack sends: its clock reads `value`.
fn stamped(value: u32) -> [u8; 12] {
    let [a, b, c, d] = value.to_be_bytes();
    [1, 1, 8, 10, a, b, c, d, 0, 0, 0, 0]
}

/// Sends a segment with a timestamp; numbers relative to the initial ones.
fn send(track: &mut Track, direction: Direction, flags: Flags, seq: u32, ack: u32) -> Outcome {
    let options = stamped(0x9000_0000);
    let (seq, ack) = match direction {
        Original => (A.wrapping_add(seq), B.wrapping_add(ack)),
        Reply => (B.wrapping_add(seq), A.wrapping_add(ack)),
    };
    track.send(direction, &Segment { options: Options(&options), ..segment(flags, seq, ack, 0) })
}

/// The responder closes before the handshake's end: A has acknowledged nothing yet.
fn fin_in_syn_received() -> Track {
    let mut track = Track::syn_sent();
    assert_eq!(send(&mut track, Reply, SYN_ACK, 0, 1), Fine);
    assert_eq!(send(&mut track, Reply, FIN_ACK, 1, 1), Fine);
    assert_eq!(track.states(), [CloseWait, FinWait1]);
    track
}

#[test]
fn a_blind_acknowledgement_after_a_fin_in_syn_received_has_two_numbers_to_hit() {
    for flags in [ACK, FIN_ACK] {
        for payload in [0, 10] {
            for ack in
                [0, 3, 1_000, u32::MAX - 1_000, 0x4000_0000, 0xc000_0000, 0x9000_0000_u32.wrapping_sub(B)]
            {
                let mut track = fin_in_syn_received();
                let before = track.connection;
                assert_eq!(track.a_data(flags, 1, ack, payload), No(Refusal::AckOutOfWindow), "{ack:#x}");
                assert_eq!(track.connection, before);
            }
            for ack in [1, 2] {
                assert_eq!(fin_in_syn_received().a_data(flags, 1, ack, payload), Fine);
            }
        }
    }
}

#[test]
fn after_a_fin_in_syn_received_the_handshakes_repetitions_are_known() {
    let mut track = fin_in_syn_received();
    let before = track.connection;
    assert_eq!(send(&mut track, Original, SYN, 0, 0), Fine);
    assert_eq!(send(&mut track, Reply, SYN_ACK, 0, 1), Fine);
    assert_eq!(track.connection, before, "nothing is remembered of them");
    assert_eq!(send(&mut track, Reply, SYN_ACK, 1, 2), No(Refusal::UnexpectedSynAck));
    assert_eq!(send(&mut track, Original, ACK, 1, 2), Fine);
    assert_eq!(send(&mut track, Original, FIN_ACK, 1, 2), Fine);
    assert_eq!(send(&mut track, Reply, ACK, 2, 2), Fine);
    assert_eq!(track.states(), [Closed, TimeWait]);
}

#[test]
fn the_first_fin_takes_no_initial_number_away() {
    let mut track = Track::established();
    assert_eq!(track.a_data(ACK, 1, 1, 1000), Fine);
    assert_eq!(track.b(ACK, 1, 1001), Fine);
    assert_eq!(track.a_data(ACK, 1001, 1, 1000), Fine);
    assert_eq!(send(&mut track, Original, FIN_ACK, 2001, 1), Fine);
    let before = track.connection;
    assert_eq!(track.a(SYN, 0, 0), Fine);
    assert_eq!(track.connection, before, "its own SYN, two windows back");
}

/// Whichever way both come to be done, the newest timestamp of each is known then.
#[test]
fn once_both_are_done_both_timestamps_are_known() {
    let one_after_the_other = [(Original, 1, 1), (Reply, 1, 2)];
    let crossed = [(Original, 1, 1), (Reply, 1, 1)];
    for fins in [one_after_the_other, crossed] {
        let mut track = Track::established();
        for (direction, seq, ack) in fins {
            assert_eq!(send(&mut track, direction, FIN_ACK, seq, ack), Fine);
        }
        for direction in [Original, Reply] {
            assert_eq!(send(&mut track, direction, ACK, 2, 2), Fine);
        }
        assert!(track.states().iter().all(|state| matches!(state, TimeWait | Closed)));
        for side in Direction::BOTH {
            assert_eq!(track.connection.timestamp(side), Some(0x9000_0000), "{side:?}");
        }
    }
}
