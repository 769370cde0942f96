//! ICMP errors: what they may quote, and how much of it they must.

use super::*;
use crate::wire::Ports;

const HERE: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const THERE: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const ROUTER: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
/// What an IPv4 header and the eight bytes behind it take: the least that RFC 792 asks for.
const LEAST_V4: usize = 28;
const LEAST_V6: usize = 48;

/// The frame without its Ethernet header.
fn packet(frame: &[u8]) -> &[u8] {
    &frame[14..]
}

fn v6(from: [u8; 16], to: [u8; 16], ports: (u16, u16), flags: Flags, seq: u32, ack: u32) -> Vec<u8> {
    Builder::v6(from, to).tcp(&segment(ports, flags, seq, ack), &[])
}

fn is_unknown(verdict: &Verdict) -> bool {
    verdict.reason == Some(Reason::Flow(flow::Refusal::IcmpUnknown)) && verdict.action == Action::Drop
}

/// Ten bytes of data by the client from `port`, in flight.
fn in_flight(lab: &mut Lab, port: u16) -> Vec<u8> {
    lab.open(port);
    let data =
        Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).tcp(&segment((port, 80), Flags::ACK, 1, 1), &[7; 10]);
    assert_eq!(lab.send_one(data.clone()).class, Class::Established);
    data
}

#[test]
fn the_quoted_number_must_be_in_flight_to_the_byte() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    in_flight(&mut lab, 1);
    for (seq, is_related) in [(0, false), (1, true), (10, true), (11, false)] {
        let error = Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(
            3,
            4,
            [0, 0, 5, 0],
            &packet(&there(1, Flags::ACK, seq, 1))[..LEAST_V4],
        );
        let verdict = lab.send_one(error);
        assert_eq!(verdict.class == Class::Related, is_related, "{seq}");
        assert_eq!(is_unknown(&verdict), !is_related, "{seq}");
        assert_eq!(verdict.subject.map(|subject| subject.id), Some(1), "it names the connection either way");
    }
    lab.send_one(back(1, Flags::ACK, 1, 6));
    let about = |seq| {
        let quoted = there(1, Flags::ACK, seq, 1);
        Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(11, 0, [0; 4], &packet(&quoted)[..LEAST_V4])
    };
    assert!(is_unknown(&lab.send_one(about(5))), "acknowledged since");
    assert_eq!(lab.send_one(about(6)).class, Class::Related);
}

/// RFC 5927 section 4.1: whoever has sent it has it in flight, whatever the connection in the table is.
#[test]
fn a_syn_that_is_remembered_and_what_it_may_have_displaced_are_in_flight_too() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    in_flight(&mut lab, 1);
    let about = |seq| {
        let quoted = there(1, Flags::SYN, seq, 0);
        Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(3, 1, [0; 4], &packet(&quoted)[..LEAST_V4])
    };
    assert!(is_unknown(&lab.send_one(about(700_000))));
    lab.send_one(there(1, Flags::SYN, 700_000, 0));
    for (seq, is_related) in [(699_999, false), (700_000, true), (700_001, false), (1, true)] {
        assert_eq!(lab.send_one(about(seq)).class == Class::Related, is_related, "{seq}");
    }
    assert_eq!(lab.send_one(back(1, SYN_ACK, 900_000, 700_001)).class, Class::New);
    for (seq, is_related) in [(1, true), (10, true), (11, false), (700_000, false)] {
        assert_eq!(lab.send_one(about(seq)).class == Class::Related, is_related, "{seq}, displaced");
    }
}

#[test]
fn eight_bytes_of_tcp_suffice_and_fewer_do_not() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let data = in_flight(&mut lab, 1);
    let error = |length: usize| {
        Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(3, 1, [0; 4], &packet(&data)[..length])
    };
    for length in LEAST_V4..=50 {
        assert_eq!(lab.send_one(error(length)).class, Class::Related, "{length} bytes quoted");
    }
    for length in 0..LEAST_V4 {
        assert_eq!(lab.send_one(error(length)).class, Class::Invalid, "{length} bytes quoted");
    }
}

#[test]
fn the_same_over_ipv6() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let syn = v6(HERE, THERE, (1, 80), Flags::SYN, 0, 0);
    let error = |length: usize| Builder::v6(ROUTER, HERE).icmp(1, 0, [0; 4], &packet(&syn)[..length]);
    assert!(is_unknown(&lab.send_one(error(LEAST_V6))), "nobody knows of it yet");
    lab.send_one(syn.clone());
    for length in LEAST_V6..=60 {
        let verdict = lab.send_one(error(length));
        assert_eq!(verdict.class, Class::Related, "{length} bytes quoted");
        assert_eq!(verdict.subject.map(|subject| subject.direction), Some(Direction::Reply));
    }
    for length in 0..LEAST_V6 {
        assert_eq!(lab.send_one(error(length)).class, Class::Invalid, "{length} bytes quoted");
    }
    let elsewhere = Builder::v6(ROUTER, THERE).icmp(1, 0, [0; 4], packet(&syn));
    assert!(is_unknown(&lab.send_one(elsewhere)), "it does not go back to the sender");
    lab.send_one(v6(THERE, HERE, (80, 1), SYN_ACK, 0, 1));
    assert!(is_unknown(&lab.send_one(error(LEAST_V6))), "acknowledged since");
}

#[test]
fn an_error_about_what_the_responder_has_sent_travels_the_original_way() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.open(1);
    let data = Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).tcp(&segment((80, 1), Flags::ACK, 1, 1), &[7; 10]);
    lab.send_one(data.clone());
    let right = Builder::v4([10, 9, 9, 9], [10, 0, 0, 2]).icmp(3, 1, [0; 4], packet(&data));
    let verdict = lab.send_one(right);
    assert_eq!(verdict.class, Class::Related);
    assert_eq!(verdict.subject.map(|subject| subject.direction), Some(Direction::Original));
    // Its numbers in the mouth of the other side: that one has sent nothing there.
    let swapped = there(1, Flags::ACK, 1, 1);
    let wrong = Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(3, 1, [0; 4], packet(&swapped));
    assert!(is_unknown(&lab.send_one(wrong)));
}

#[test]
fn an_error_about_an_error_is_related_to_nothing() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let data = in_flight(&mut lab, 1);
    let error = Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(3, 1, [0; 4], packet(&data));
    assert_eq!(lab.send_one(error.clone()).class, Class::Related);
    let about_it = Builder::v4([10, 8, 8, 8], [10, 9, 9, 9]).icmp(3, 1, [0; 4], packet(&error));
    let verdict = lab.send_one(about_it);
    assert!(is_unknown(&verdict) && verdict.subject.is_none());
}

#[test]
fn an_error_about_udp_or_an_echo_has_no_number_to_check() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let path = Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]);
    let datagram = path.udp(Ports { source: 5, destination: 53 }, &[1, 2, 3]);
    let echo = path.icmp(8, 0, [0, 7, 0, 1], &[1, 2, 3, 4]);
    for quoted in [&datagram, &echo] {
        let error = Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(3, 3, [0; 4], &packet(quoted)[..LEAST_V4]);
        assert!(is_unknown(&lab.send_one(error.clone())), "there is no such connection");
        lab.send_one(quoted.clone());
        assert_eq!(lab.send_one(error).class, Class::Related);
        let elsewhere = Builder::v4([10, 9, 9, 9], [10, 0, 0, 2]).icmp(3, 3, [0; 4], packet(quoted));
        assert!(is_unknown(&lab.send_one(elsewhere)));
    }
}

#[test]
fn an_error_counts_in_no_connection_and_moves_no_timer() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let data = in_flight(&mut lab, 1);
    let index = lab.shard.table().scan().next().unwrap();
    let before = (lab.shard.record(index), lab.shard.table().connection(index).deadline());
    lab.wait(5);
    let error = Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(3, 1, [0; 4], packet(&data));
    assert_eq!(lab.send_one(error).class, Class::Related);
    assert_eq!((lab.shard.record(index), lab.shard.table().connection(index).deadline()), before);
}
