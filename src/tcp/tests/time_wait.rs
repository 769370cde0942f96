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
