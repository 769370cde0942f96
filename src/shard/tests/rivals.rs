//! What a shard does with two connections of one tuple, beside what the tracker decides: who has the place, the numbers
//! and the timers.

use super::*;

/// A connection made up in both endpoints' names over that from `port`.
fn made_up(port: u16) -> [Vec<u8>; 2] {
    [there(port, Flags::SYN, 500_000, 0), back(port, SYN_ACK, 700_000, 500_001)]
}

impl Lab {
    /// The connection from port 1 as it is in the table: its number, states, and milliseconds to live.
    fn in_table(&self) -> Option<(u64, [State; 2], u32)> {
        let index = self.shard.table().scan().next()?;
        let record = self.shard.record(index);
        Some((record.id, record.states.unwrap(), record.deadline.since(self.now.tick()).milliseconds()))
    }

    /// Connection 1, open, and connection 2 made up over it.
    fn displaced(tcp: tcp::Policy) -> Lab {
        let mut lab = Lab::new(4, tcp);
        lab.open(1);
        lab.wait(10_000);
        let [syn, answer] = made_up(1);
        lab.send_one(syn);
        assert_eq!(lab.send_one(answer).class, Class::New);
        lab.heard.ended.clear();
        lab
    }
}

const OPEN: [State; 2] = [State::Established; 2];

#[test]
fn what_was_displaced_has_the_place_again_when_the_timer_of_what_was_made_up_is_over() {
    let mut lab = Lab::displaced(tcp::Policy::DEFAULT);
    lab.wait(60_000);
    lab.poll();
    assert_eq!(lab.heard.ended, [(2, End::Expired)]);
    assert_eq!(lab.in_table(), Some((3, OPEN, 7_440_000 - 70_000)));
    assert_eq!(lab.shard.counters().begun, 3);
    assert_eq!(lab.shard.census().in_state(State::Established), 1);
    let verdict = lab.send_one(there(1, Flags::ACK, 1, 1));
    assert_eq!((verdict.action, verdict.class), (Action::Accept, Class::Established));
    assert_eq!(verdict.subject.unwrap().id, 3);
    // Its own timer is in the wheel.
    lab.wait(7_440_000);
    lab.poll();
    assert_eq!(lab.heard.ended, [(2, End::Expired), (3, End::Expired)]);
    assert!(lab.shard.table().is_empty());
}

#[test]
fn so_it_has_for_a_segment_that_comes_before_the_wheel_does() {
    for policy in [tcp::Policy::DEFAULT, tcp::Policy { loose: false, ..tcp::Policy::DEFAULT }] {
        let mut lab = Lab::displaced(policy);
        lab.wait(60_000);
        let verdict = lab.send_one(back(1, Flags::ACK, 1, 1));
        assert_eq!((verdict.action, verdict.class), (Action::Accept, Class::Established));
        assert_eq!(verdict.subject.unwrap().states, Some(OPEN));
        assert_eq!(lab.heard.ended, [(2, End::Expired)]);
        assert_eq!(lab.in_table(), Some((3, OPEN, 7_440_000)));
    }
}

#[test]
fn an_error_about_it_finds_it_as_well_though_nobody_polled() {
    let mut lab = Lab::displaced(tcp::Policy::DEFAULT);
    lab.wait(60_000);
    // It quotes what nobody has in flight, and bears the tuple all the same.
    let error =
        Builder::v4([10, 0, 0, 9], [10, 0, 0, 1]).icmp(3, 3, [0; 4], &there(1, Flags::ACK, 77, 1)[14..]);
    let verdict = lab.send_one(error);
    assert_eq!(verdict.reason, Some(Reason::Flow(flow::Refusal::IcmpUnknown)));
    assert_eq!(verdict.subject.map(|subject| (subject.id, subject.states)), Some((3, Some(OPEN))));
}

#[test]
fn where_both_timers_are_over_nothing_is_left() {
    let mut lab = Lab::displaced(tcp::Policy::DEFAULT);
    lab.wait(7_440_000);
    let verdict = lab.send_one(back(1, Flags::RST, 1, 0));
    assert_eq!(verdict.reason, Some(Reason::Tcp(tcp::Refusal::NoConnection)));
    assert!(lab.shard.table().is_empty());
    assert_eq!(lab.heard.ended.len(), 2);
}

#[test]
fn a_made_up_one_that_the_limit_of_time_wait_ends_takes_nothing_with_it() {
    for time_wait_overflow in [TimeWaitOverflow::EvictOldest, TimeWaitOverflow::Skip] {
        let policy = tcp::Policy { time_wait_max: 1, time_wait_overflow, ..tcp::Policy::DEFAULT };
        let mut lab = Lab::displaced(policy);
        let close = [
            there(1, FIN_ACK, 500_001, 700_001),
            back(1, FIN_ACK, 700_001, 500_002),
            there(1, Flags::ACK, 500_002, 700_002),
        ];
        if time_wait_overflow == TimeWaitOverflow::Skip {
            lab.close(2);
        }
        let verdicts = lab.send(&close);
        assert!(verdicts.iter().all(|verdict| verdict.action == Action::Accept), "{verdicts:?}");
        if time_wait_overflow == TimeWaitOverflow::EvictOldest {
            lab.close(2);
        }
        let verdict = lab.send_one(there(1, Flags::ACK, 1, 1));
        assert_eq!(verdict.class, Class::Established, "{time_wait_overflow:?} {verdict:?}");
        assert_eq!(verdict.subject.unwrap().states, Some(OPEN));
    }
}

#[test]
fn an_operator_deletes_whatever_has_the_tuple() {
    let mut lab = Lab::displaced(tcp::Policy::DEFAULT);
    let index = lab.shard.table().scan().next().unwrap();
    assert!(lab.shard.delete(index, 2, &mut lab.heard));
    assert!(lab.shard.table().is_empty());
}

#[test]
fn it_is_where_its_originator_was_whoever_made_the_other_one_up() {
    let mut lab = Lab::new(4, tcp::Policy::DEFAULT);
    lab.open(1);
    let side = |lab: &Lab| lab.shard.table().connection(lab.shard.table().scan().next().unwrap()).side();
    assert_eq!(side(&lab), 0);
    lab.send_one(back(1, Flags::SYN, 700_000, 0));
    assert_eq!(lab.send_one(there(1, SYN_ACK, 500_000, 700_001)).class, Class::New);
    assert_eq!(side(&lab), 1, "the responder began it");
    lab.wait(60_000);
    lab.poll();
    assert_eq!(side(&lab), 0);
    let verdict = lab.send_one(there(1, Flags::ACK, 1, 1));
    assert_eq!(verdict.subject.unwrap().direction, Direction::Original);
}

/// Planted before the real one began, which a third one has displaced; nobody but its endpoints knows it now.
fn contested(policy: tcp::Policy) -> Lab {
    let mut lab = Lab::displaced(policy);
    lab.send_one(there(1, Flags::ACK, 500_001, 700_001));
    lab.send_one(there(1, Flags::SYN, 900_000, 0));
    assert_eq!(lab.send_one(back(1, SYN_ACK, 950_000, 900_001)).class, Class::New);
    lab
}

#[test]
fn what_there_was_no_room_for_passes_and_is_picked_up_once_the_others_are_gone() {
    let mut lab = contested(tcp::Policy::DEFAULT);
    let real = || there(1, Flags::ACK, 500_001, 700_001);
    let (id, ..) = lab.in_table().unwrap();
    let verdict = lab.send_one(real());
    assert_eq!((verdict.class, verdict.reason), (Class::Established, None));
    assert_eq!(verdict.subject.unwrap().id, id);
    lab.wait(60_000);
    lab.poll();
    assert_eq!(
        lab.in_table().map(|(_, states, _)| states),
        Some(OPEN),
        "the planted one has the place again"
    );
    assert_eq!(lab.send_one(real()).class, Class::Established);
    lab.wait(7_440_000);
    lab.poll();
    let verdict = lab.send_one(real());
    assert_eq!((verdict.action, verdict.class), (Action::Accept, Class::New));
}

#[test]
fn where_nothing_is_picked_up_the_entry_outlasts_the_contest() {
    let policy = tcp::Policy { loose: false, ..tcp::Policy::DEFAULT };
    let mut lab = contested(policy);
    let real = || there(1, Flags::ACK, 500_001, 700_001);
    // At first the planted one is over already, and the one that is lost is not.
    for silence in [7_435_000, 7_000_000, 7_000_000] {
        lab.wait(silence);
        lab.poll();
        let verdict = lab.send_one(real());
        assert_eq!((verdict.action, verdict.class), (Action::Accept, Class::Established));
    }
    lab.wait(7_440_000);
    lab.poll();
    assert!(lab.shard.table().is_empty());
    assert_eq!(lab.send_one(real()).reason, Some(Reason::Tcp(tcp::Refusal::NoSyn)));
}

/// The planted one is reset, and what is in the table goes into TIME_WAIT.
fn close_contested(lab: &mut Lab) {
    lab.send_one(there(1, Flags::RST, 1, 0));
    lab.send(&[there(1, Flags::ACK, 900_001, 950_001), there(1, FIN_ACK, 900_001, 950_001)]);
    lab.send(&[back(1, FIN_ACK, 950_001, 900_002), there(1, Flags::ACK, 900_002, 950_002)]);
}

#[test]
fn time_wait_ends_with_its_timer_however_long_the_tuple_is_contested() {
    let time_wait_reuse = tcp::TimeWaitReuse::Off;
    let policy = tcp::Policy { loose: false, time_wait_reuse, ..tcp::Policy::DEFAULT };
    let real = || there(1, Flags::ACK, 500_001, 700_001);
    for by_syn in [false, true] {
        let mut lab = contested(policy);
        close_contested(&mut lab);
        let (id, ..) = lab.in_table().unwrap();
        lab.heard.ended.clear();
        lab.wait(59_999);
        lab.poll();
        let refused = lab.send_one(there(1, Flags::SYN, 2_000_000, 0)).reason;
        assert_eq!(refused, Some(Reason::Tcp(tcp::Refusal::TimeWait)));
        assert_eq!(lab.shard.census().in_state(State::TimeWait), 1);
        lab.wait(1);
        lab.poll();
        assert_eq!(lab.in_table().map(|(id, states, _)| (id, states)), Some((id, [State::Closed; 2])));
        assert_eq!(lab.shard.census().in_state(State::TimeWait), 0);
        assert_eq!(lab.send_one(real()).class, Class::Established, "the lost one lives");
        // Nothing that fits what is over, be it exact, makes it another end.
        for late in [there(1, Flags::RST, 900_002, 0), back(1, FIN_ACK, 950_001, 900_002)] {
            assert_eq!(lab.send_one(late).class, Class::Established);
        }
        assert_eq!(lab.heard.ended, []);
        if by_syn {
            assert_eq!(lab.send_one(there(1, Flags::SYN, 2_000_000, 0)).class, Class::New);
            assert_eq!(lab.send_one(real()).class, Class::Established, "it lives on");
        } else {
            lab.wait(7_440_000);
            lab.poll();
            assert!(lab.shard.table().is_empty());
        }
        assert_eq!(lab.heard.ended, [(id, End::Closed)]);
    }
}

#[test]
fn no_contest_keeps_more_in_time_wait_than_there_may_be() {
    for (time_wait_overflow, end) in
        [(tcp::TimeWaitOverflow::EvictOldest, End::Evicted), (tcp::TimeWaitOverflow::Skip, End::Closed)]
    {
        let policy = tcp::Policy { time_wait_max: 1, time_wait_overflow, ..tcp::Policy::DEFAULT };
        let mut lab = contested(tcp::Policy { loose: false, ..policy });
        lab.open(2);
        let another = |lab: &mut Lab| {
            lab.send(&[there(2, FIN_ACK, 1, 1), back(2, FIN_ACK, 1, 2), there(2, Flags::ACK, 2, 2)]);
        };
        // The oldest goes, or the newest: the contested one is that.
        if end == End::Evicted {
            close_contested(&mut lab);
            another(&mut lab);
        } else {
            another(&mut lab);
            close_contested(&mut lab);
        }
        assert_eq!(lab.heard.ended.last().map(|ended| ended.1), Some(end), "{time_wait_overflow:?}");
        assert_eq!(lab.shard.census().in_state(State::TimeWait), 1);
        assert_eq!(lab.shard.table().len(), 1);
    }
}
