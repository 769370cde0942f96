//! TIME_WAIT: what starts it again, and which SYN may begin anew while it lasts.

use super::*;

fn stamped(value: u32) -> [u8; 12] {
    let [a, b, c, d] = value.to_be_bytes();
    [1, 1, 8, 10, a, b, c, d, 0, 0, 0, 0]
}

fn under(reuse: TimeWaitReuse) -> Policy {
    Policy { time_wait_reuse: reuse, ..Policy::DEFAULT }
}

#[test]
fn a_repeated_fin_starts_it_again_unless_switched_off() {
    for (restart, left) in [(true, 60_000), (false, 59_000)] {
        let mut track = Track::time_wait(Policy { time_wait_restart: restart, ..Policy::DEFAULT });
        track.wait(1000);
        assert_eq!(track.a(ACK, 2, 2), Fine);
        assert_eq!(track.left(), 59_000, "a repeated ACK does not");
        assert_eq!(track.b(FIN_ACK, 1, 2), Fine);
        assert_eq!(track.left(), left);
    }
}

#[test]
fn off_refuses_and_always_accepts() {
    assert_eq!(Track::time_wait(under(TimeWaitReuse::Off)).a(SYN, 9999, 0), No(Refusal::TimeWait));
    assert_eq!(Track::time_wait(under(TimeWaitReuse::Always)).a(SYN, 0, 0), New);
}

#[test]
fn rfc1122_wants_a_greater_sequence_number_of_either_endpoint() {
    for (seq, outcome) in [(2, No(Refusal::TimeWait)), (3, New)] {
        assert_eq!(Track::time_wait(under(TimeWaitReuse::Rfc1122)).a(SYN, seq, 0), outcome);
        assert_eq!(Track::time_wait(under(TimeWaitReuse::Rfc1122)).b(SYN, seq, 0), outcome);
    }
}

/// Every row of RFC 6191 section 2: old timestamp, new timestamp, greater sequence number, outcome.
#[test]
fn rfc6191_by_its_table() {
    let refused = No(Refusal::TimeWait);
    let rows = [
        (Some(100), Some(101), false, New),
        (Some(100), Some(100), true, New),
        (Some(100), Some(100), false, refused),
        (Some(100), Some(99), true, refused),
        (Some(100), None, true, New),
        (Some(100), None, false, refused),
        (None, Some(5), false, New),
        (None, None, true, New),
        (None, None, false, refused),
    ];
    for (old, new, greater, outcome) in rows {
        let mut track = Track::established();
        let old = old.map(stamped);
        let options = Options(old.as_ref().map_or(&[], |bytes| &bytes[..]));
        for (direction, flags, seq, ack) in
            [(Original, FIN_ACK, A + 1, B + 1), (Reply, FIN_ACK, B + 1, A + 2), (Original, ACK, A + 2, B + 2)]
        {
            track.send(direction, &Segment { options, ..segment(flags, seq, ack, 0) });
        }
        assert_eq!(track.states(), [TimeWait, Closed]);
        let new = new.map(stamped);
        let options = Options(new.as_ref().map_or(&[], |bytes| &bytes[..]));
        let seq = if greater { A + 3 } else { A };
        let syn = Segment { options, ..segment(SYN, seq, 0, 0) };
        assert_eq!(track.send(Original, &syn), outcome, "{old:?} {new:?} {greater}");
    }
}

/// A's FIN is acknowledged by B's: A in TIME_WAIT, and B waits for its last acknowledgement, in LAST_ACK.
fn last_ack(policy: Policy) -> Track {
    let mut track = Track::established_under(policy);
    track.a(FIN_ACK, 1, 1);
    track.b(FIN_ACK, 1, 2);
    assert_eq!(track.states(), [TimeWait, LastAck]);
    track
}

/// FINs have crossed, and B alone has acknowledged the other's.
fn closing(policy: Policy) -> Track {
    let mut track = Track::established_under(policy);
    track.a(FIN_ACK, 1, 1);
    track.b(FIN_ACK, 1, 1);
    track.b(ACK, 2, 2);
    assert_eq!(track.states(), [TimeWait, Closing]);
    track
}

const EVERY_REUSE: [TimeWaitReuse; 4] =
    [TimeWaitReuse::Off, TimeWaitReuse::Rfc1122, TimeWaitReuse::Rfc6191, TimeWaitReuse::Always];

#[test]
fn an_endpoint_that_is_not_done_challenges_a_syn_whatever_the_policy() {
    for reuse in EVERY_REUSE {
        for of in [last_ack, closing] {
            for seq in [9_999, 0_u32.wrapping_sub(9_999)] {
                let mut track = of(under(reuse));
                let before = (track.states(), track.connection.peers, track.deadline);
                assert_eq!(track.a(SYN, seq, 0), Fine, "remembered");
                assert_eq!(track.b(ACK, 2, 2), Fine, "a challenge");
                assert_eq!((track.states(), track.connection.peers, track.deadline), before);
                assert_eq!(track.a(ACK, 2, 2), Fine, "A had sent no SYN: the close goes on");
                assert!(matches!(track.states(), [TimeWait, Closed | TimeWait]));
            }
        }
    }
}

#[test]
fn a_challenged_syn_of_an_endpoint_that_reopens_from_time_wait_comes_through_at_last() {
    let mut track = last_ack(Policy::DEFAULT);
    assert_eq!(track.a(SYN, 9_999, 0), Fine);
    assert_eq!(track.b(ACK, 2, 2), Fine, "the challenge");
    assert_eq!(track.a(RST, 2, 0), Fine, "A has forgotten the old one: that ends B's LAST_ACK");
    assert_eq!(track.states(), [TimeWait, Closed], "RFC 1337");
    assert_eq!(track.a(SYN, 9_999, 0), New);
}

#[test]
fn a_syn_that_a_new_listener_answers_begins_anew_by_its_answer() {
    for of in [last_ack, closing] {
        let mut track = of(Policy::DEFAULT);
        assert_eq!(track.a(SYN, 9_999, 0), Fine);
        assert_eq!(track.b(SYN_ACK, 77_777, 10_000), New, "B has lost the old one");
        assert_eq!(track.states(), [Established, SynReceived]);
    }
}

#[test]
fn a_syn_of_an_endpoint_that_is_not_done_meets_the_policy_and_then_the_others_answer() {
    for reuse in EVERY_REUSE {
        for of in [last_ack, closing] {
            let greater = of(under(reuse)).b(SYN, 3, 0);
            let smaller = of(under(reuse)).b(SYN, 0_u32.wrapping_sub(9_999), 0);
            let refused = No(Refusal::TimeWait);
            let expected = match reuse {
                TimeWaitReuse::Off => [refused, refused],
                TimeWaitReuse::Rfc1122 | TimeWaitReuse::Rfc6191 => [Fine, refused],
                TimeWaitReuse::Always => [Fine, Fine],
            };
            assert_eq!([greater, smaller], expected, "{reuse:?}");
        }
    }
    let mut track = last_ack(Policy::DEFAULT);
    assert_eq!(track.b(SYN, 9_999, 0), Fine);
    assert_eq!(track.states(), [TimeWait, LastAck], "B may still wait: nobody has to have sent this");
    assert_eq!(track.a(SYN_ACK, 77_777, 10_000), New, "A has taken it from TIME_WAIT");
    // B is the originator of what begins.
    assert_eq!(track.states(), [Established, SynReceived]);
}

/// Every pair that holds a TIME_WAIT, and either sender: anew exactly where both are done.
#[test]
fn where_both_are_done_the_policy_alone_decides() {
    for (states, sender, expected) in [
        ([TimeWait, TimeWait], Original, New),
        ([TimeWait, TimeWait], Reply, New),
        ([TimeWait, Closed], Original, New),
        ([TimeWait, Closed], Reply, New),
        ([Closed, TimeWait], Original, New),
        ([Closed, TimeWait], Reply, New),
        ([TimeWait, LastAck], Original, Fine),
        ([TimeWait, LastAck], Reply, Fine),
        ([TimeWait, Closing], Original, Fine),
        ([TimeWait, Closing], Reply, Fine),
        ([LastAck, TimeWait], Original, Fine),
        ([LastAck, TimeWait], Reply, Fine),
        ([Closing, TimeWait], Original, Fine),
        ([Closing, TimeWait], Reply, Fine),
    ] {
        let mut track = Track::time_wait(under(TimeWaitReuse::Always));
        track.connection.marks.set_state(Original, states[0]);
        track.connection.marks.set_state(Reply, states[1]);
        let syn = segment(SYN, 0x7000_0000, 0, 0);
        assert_eq!(track.send(sender, &syn), expected, "{states:?}, {sender:?}");
    }
}
