//! What may come in by a port, and in whose name.

use super::*;

#[test]
fn connections_begin_only_where_they_may_and_replies_and_errors_pass() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    assert!(lab.is_refused(OUTSIDE, back(1, Flags::SYN, 0, 0)));
    assert!(lab.is_refused(OUTSIDE, back(1, Flags::ACK, 5, 5)), "being picked up is a beginning");
    assert_eq!(lab.shard.table().len(), 0);
    let syn = there(1, Flags::SYN, 0, 0);
    assert_eq!(lab.send_from(INSIDE, syn.clone()).class, Class::New);
    let error = Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(3, 1, [0; 4], &syn[14..]);
    assert_eq!(lab.send_from(OUTSIDE, error).class, Class::Related);
    assert_eq!(lab.send_from(OUTSIDE, back(1, SYN_ACK, 0, 1)).class, Class::Established);
    let ping = Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).icmp(8, 0, [0, 9, 0, 1], &[]);
    assert!(lab.is_refused(OUTSIDE, ping));
    assert_eq!(lab.shard.counters().by_class[Class::Invalid as usize], 3);
}

#[test]
fn a_tuple_in_time_wait_is_reopened_only_by_whom_connections_may_begin() {
    let mut lab =
        Lab::new(8, tcp::Policy { time_wait_reuse: tcp::TimeWaitReuse::Always, ..tcp::Policy::DEFAULT });
    lab.admission = INSIDE;
    lab.close(1);
    assert!(lab.is_refused(OUTSIDE, back(1, Flags::SYN, 90_000, 0)));
    assert_eq!(lab.heard.ended, [], "the old one stays");
    assert_eq!(lab.send_from(INSIDE, there(1, Flags::SYN, 90_000, 0)).class, Class::New);
    assert_eq!(lab.heard.ended, [(1, End::Reused)]);
}

#[test]
fn a_remembered_syn_from_outside_cannot_begin_a_connection_by_its_answer_from_inside() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.admission = INSIDE;
    lab.open(1);
    assert_eq!(lab.send_from(OUTSIDE, back(1, Flags::SYN, 700_000, 0)).class, Class::Established);
    assert!(lab.is_refused(INSIDE, there(1, SYN_ACK, 800_000, 700_001)));
    assert_eq!(lab.heard.ended, []);
}

#[test]
fn a_displaced_connection_comes_back_by_either_port_as_whoever_began_it_had_it() {
    for (admission, host) in [(INSIDE, true), (OUTSIDE, false)] {
        let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
        lab.admission = INSIDE;
        lab.open(1);
        lab.send_from(INSIDE, there(1, Flags::SYN, 500_000, 0));
        assert_eq!(lab.send_from(OUTSIDE, back(1, SYN_ACK, 700_000, 500_001)).class, Class::New);
        let frame = if host { there(1, Flags::ACK, 1, 1) } else { back(1, Flags::ACK, 1, 1) };
        let verdict = lab.send_from(admission, frame);
        let subject = verdict.subject.unwrap();
        assert_eq!((verdict.class, subject.id), (Class::New, 3), "numbers are never used again");
        let direction = if host { Direction::Original } else { Direction::Reply };
        assert_eq!(subject.direction, direction);
        assert_eq!(lab.heard.ended, [(1, End::Reused), (2, End::Reused)]);
        assert_eq!(lab.send_from(OUTSIDE, back(1, Flags::ACK, 1, 1)).class, Class::Established);
        assert_eq!(lab.send_from(INSIDE, there(1, Flags::ACK, 1, 1)).class, Class::Established);
    }
}

#[test]
fn multicast_broadcast_and_dhcp_are_not_bound_unless_they_are_tracked() {
    let ports = |source, destination| Ports { source, destination };
    let from = |destination| Builder::v4([10, 0, 0, 2], destination);
    let to_everybody = |mut frame: Vec<u8>| {
        frame[..6].fill(0xff);
        frame
    };
    let mdns = from([224, 0, 0, 251]).udp(ports(5353, 5353), b"?");
    let limited = from([255; 4]).udp(ports(9, 9), b"wake");
    let subnet = to_everybody(from([10, 0, 0, 255]).udp(ports(137, 137), b"name"));
    let offer = from([10, 0, 0, 1]).udp(ports(67, 68), b"offer");
    let offer6 = Builder::v6([0xfe; 16], [0xfd; 16]).udp(ports(547, 546), b"advertise");
    let group6 = Builder::v6([0xfe; 16], [0xff; 16]).udp(ports(5353, 5353), b"?");
    let many = [mdns, limited, subnet, offer, offer6, group6];
    let mut lab = Lab::new(64, tcp::Policy::DEFAULT);
    let tracking = Admission { multicast_passes: false, ..OUTSIDE };
    for frame in &many {
        assert!(lab.is_refused(tracking, frame.clone()), "{frame:x?}");
    }
    for frame in &many {
        assert_eq!(lab.send_from(OUTSIDE, frame.clone()).class, Class::New, "{frame:x?}");
    }

    // What only pretends to be: a group's address on the frame but a host's in the packet, TCP, a port alone.
    let disguised = to_everybody(from([10, 0, 0, 1]).udp(ports(137, 137), b"name"));
    let unicast = from([10, 0, 1, 255]).udp(ports(137, 137), b"name");
    let tcp_to_all = to_everybody(from([224, 0, 0, 1]).tcp(&segment((80, 1), Flags::SYN, 0, 0), &[]));
    let port_alone = from([10, 0, 0, 1]).udp(ports(67, 53), b"no");
    let of_the_other_version = from([10, 0, 0, 1]).udp(ports(547, 546), b"no");
    for frame in [disguised, unicast, tcp_to_all, port_alone, of_the_other_version] {
        assert!(lab.is_refused(OUTSIDE, frame.clone()), "{frame:x?}");
    }
}

#[test]
fn what_is_invalid_by_itself_may_pass_but_never_what_a_policy_refused() {
    let policy = tcp::Policy { loose: false, inexact_rst: tcp::InexactRst::Drop, ..tcp::Policy::DEFAULT };
    let mut lab = Lab::new(8, policy);
    lab.admission = Admission { invalid_passes: true, ..INSIDE };
    lab.open(1);
    let passing = lab.send_one(there(1, Flags::ACK, 9_000_000, 1));
    assert_eq!((passing.action, passing.class), (Action::Accept, Class::Invalid));
    assert_eq!(passing.reason, Some(Reason::Tcp(tcp::Refusal::OutOfWindow)));
    let mut broken = there(1, Flags::ACK, 1, 1);
    broken[50] ^= 0xff;
    assert_eq!(lab.send_one(broken).action, Action::Accept);
    for (frame, reason) in [
        (there(2, Flags::ACK, 1, 1), Reason::Tcp(tcp::Refusal::NoSyn)),
        (there(1, Flags::RST, 5, 0), Reason::Tcp(tcp::Refusal::RstNotExact)),
    ] {
        let verdict = lab.send_one(frame);
        assert_eq!((verdict.action, verdict.reason), (Action::Drop, Some(reason)));
    }
    let outside = Admission { invalid_passes: true, ..OUTSIDE };
    assert!(lab.is_refused(outside, back(3, Flags::SYN, 0, 0)));
}

#[test]
fn where_connections_may_not_begin_invalid_segments_pass_only_for_live_ones() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let lenient = Admission { invalid_passes: true, ..OUTSIDE };
    // An option of length zero: malformed here, ignored by most endpoints.
    let bad_option = |port, flags| {
        let tcp = Tcp { options: vec![3, 0, 1, 1], ..segment((80, port), flags, 0, 0) };
        Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).tcp(&tcp, &[])
    };
    assert_eq!(lab.send_from(lenient, bad_option(1, Flags::SYN)).action, Action::Drop);
    assert_eq!(lab.send_from(lenient, back(1, Flags::SYN.with(Flags::FIN), 0, 0)).action, Action::Drop);
    lab.admission = INSIDE;
    lab.open(1);
    assert_eq!(lab.send_from(lenient, bad_option(1, Flags::ACK)).action, Action::Accept);
}

#[test]
fn nobody_outside_speaks_for_an_endpoint_inside() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.admission = INSIDE;
    lab.open(1);
    let index = lab.shard.table().scan().next().unwrap();
    let before = lab.shard.record(index);
    let forged_syn = there(1, Flags::SYN, 70_000, 0);
    let forged_rst = there(1, Flags::RST, 1, 0);
    let forged_data = there(1, Flags::ACK, 1, 1);
    let error_to_outside =
        Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).icmp(3, 1, [0; 4], &back(1, SYN_ACK, 0, 1)[14..]);
    for frame in [forged_syn, forged_rst, forged_data, error_to_outside] {
        let verdict = lab.send_from(OUTSIDE, frame);
        assert_eq!(verdict.reason, Some(Reason::Shard(Refusal::WrongPort)), "{verdict:?}");
        assert_eq!((verdict.action, verdict.class, verdict.subject), (Action::Drop, Class::Invalid, None));
    }
    assert_eq!(lab.shard.record(index), before);
    assert_eq!(lab.send_from(OUTSIDE, back(1, Flags::ACK, 1, 1)).class, Class::Established);
    assert_eq!(lab.send_from(INSIDE, there(1, Flags::ACK, 1, 1)).class, Class::Established);

    // Nor answers its own datagram in another one's name, and so makes it look replied.
    let ports = |source, destination| Ports { source, destination };
    let offer = Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).udp(ports(67, 68), b"offer");
    let answer = Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).udp(ports(68, 67), b"request");
    assert_eq!(lab.send_from(OUTSIDE, offer).class, Class::New);
    let verdict = lab.send_from(OUTSIDE, answer.clone());
    assert_eq!(verdict.reason, Some(Reason::Shard(Refusal::WrongPort)));
    assert_eq!(lab.send_from(INSIDE, answer).class, Class::Established);
}

#[test]
fn where_connections_may_begin_on_both_sides_a_packet_may_come_by_either() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let [one, other] = [0, 1].map(|side| Admission { side, ..Admission::ANY });
    assert_eq!(lab.send_from(one, there(1, Flags::SYN, 0, 0)).class, Class::New);
    assert_eq!(
        lab.send_from(other, there(1, Flags::SYN, 0, 0)).class,
        Class::Established,
        "by a router and back"
    );
    assert_eq!(lab.send_from(one, back(1, SYN_ACK, 0, 1)).class, Class::Established);
}
