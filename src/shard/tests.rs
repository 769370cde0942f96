//! The shard as a whole: what lasts longer than a packet, and what happens at its limits.

mod admission;
mod annexes;
mod errors;
mod full;
mod pieces;
mod processors;
mod rivals;
mod ways;

use super::*;
use crate::tcp::{State, TimeWaitOverflow};
use crate::time::{Span, Time};
use crate::wire::build::{Builder, Tcp};
use crate::wire::{Flags, Frame, Link, Ports, Seq};

const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);

/// What an observer has heard.
#[derive(Default)]
struct Heard {
    ids: u64,
    ended: Vec<(u64, End)>,
    changes: Vec<(u64, [State; 2])>,
    released: Vec<(u64, Verdict)>,
    handed_over: Vec<(u32, Datagram)>,
}

impl Observer for Heard {
    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }
    fn changed(&mut self, _: Change, record: &Record) {
        self.changes.push((record.id, record.states.unwrap()));
    }
    fn ended(&mut self, _: Change, record: &Record) {
        self.ended.push((record.id, record.end.unwrap()));
    }
    fn wants_changes(&self) -> bool {
        true
    }
    fn released(&mut self, token: Token, verdict: &Verdict) {
        self.released.push((token.0, *verdict));
    }
    fn hand_over(&mut self, shard: u32, datagram: Datagram) {
        self.handed_over.push((shard, datagram));
    }
}

/// A shard, its clock and its observer.
struct Lab {
    shard: Shard,
    heard: Heard,
    now: Time,
    admission: Admission,
}

impl Lab {
    fn new(connections: u32, tcp: tcp::Policy) -> Lab {
        Lab::numbered(connections, tcp, 1, 0)
    }

    fn numbered(connections: u32, tcp: tcp::Policy, shards: u32, number: u32) -> Lab {
        let settings = Settings {
            checks: Checks::ALL,
            tcp,
            flow: flow::Policy::DEFAULT,
            fragments: fragments::Policy::default(),
            sides: 2,
            shards,
            number,
        };
        let layout = Shard::layout_for_connections(connections).unwrap();
        let shard = Shard::new(layout, HashKeys([1, 2, 3, 4]), settings, Tick::new(0)).unwrap();
        Lab { shard, heard: Heard::default(), now: Time::default(), admission: Admission::ANY }
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now = Time::from_nanoseconds(self.now.nanoseconds() + milliseconds * 1_000_000);
    }

    fn poll(&mut self) {
        while !self.shard.poll(self.now.tick(), 1000, &mut self.heard) {}
    }

    /// Sends frames as one burst; the first has token 0.
    fn send(&mut self, frames: &[Vec<u8>]) -> Vec<Verdict> {
        let arrivals: Vec<Arrival<'_>> = frames
            .iter()
            .zip(0..)
            .map(|(bytes, token)| Arrival {
                frame: Frame::whole(bytes, Link::Ethernet),
                zone: 0,
                admission: self.admission,
                at: self.now,
                token: Token(token),
            })
            .collect();
        let mut verdicts = vec![Verdict::HELD; frames.len()];
        self.shard.process(&arrivals, self.now.tick(), &mut verdicts, &mut self.heard);
        verdicts
    }

    fn send_one(&mut self, frame: Vec<u8>) -> Verdict {
        self.send(&[frame])[0]
    }

    /// A handshake of the connection from `port`.
    fn open(&mut self, port: u16) {
        let here = self.admission;
        let frames = [
            (here, there(port, Flags::SYN, 0, 0)),
            (opposite(here), back(port, SYN_ACK, 0, 1)),
            (here, there(port, Flags::ACK, 1, 1)),
        ];
        self.send_each(&frames);
    }

    /// Sends frames as one burst, each by its own port; all must be accepted.
    fn send_each(&mut self, frames: &[(Admission, Vec<u8>)]) {
        let arrivals: Vec<Arrival<'_>> = frames
            .iter()
            .map(|(admission, bytes)| Arrival {
                frame: Frame::whole(bytes, Link::Ethernet),
                zone: 0,
                admission: *admission,
                at: self.now,
                token: Token(0),
            })
            .collect();
        let mut verdicts = vec![Verdict::HELD; frames.len()];
        self.shard.process(&arrivals, self.now.tick(), &mut verdicts, &mut self.heard);
        assert!(verdicts.iter().all(|verdict| verdict.action == Action::Accept), "{verdicts:?}");
    }

    /// Opens and closes the connection from `port`: TIME_WAIT/CLOSED.
    fn close(&mut self, port: u16) {
        self.open(port);
        let here = self.admission;
        self.send_each(&[
            (here, there(port, FIN_ACK, 1, 1)),
            (opposite(here), back(port, FIN_ACK, 1, 2)),
            (here, there(port, Flags::ACK, 2, 2)),
        ]);
    }
}

/// What may come in by the port at the other end of the bridge.
fn opposite(admission: Admission) -> Admission {
    Admission {
        may_begin: admission.may_begin_opposite,
        may_begin_opposite: admission.may_begin,
        side: admission.side ^ 1,
        ..admission
    }
}

fn segment(ports: (u16, u16), flags: Flags, seq: u32, ack: u32) -> Tcp {
    Tcp { flags, seq: Seq(1000 + seq), ack: Seq(1000 + ack), ..Tcp::new(ports.0, ports.1) }
}

fn there(port: u16, flags: Flags, seq: u32, ack: u32) -> Vec<u8> {
    Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).tcp(&segment((port, 80), flags, seq, ack), &[])
}

fn back(port: u16, flags: Flags, seq: u32, ack: u32) -> Vec<u8> {
    Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).tcp(&segment((80, port), flags, seq, ack), &[])
}

#[test]
fn packets_of_one_connection_in_one_burst_see_each_other() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.close(1);
    assert_eq!(lab.heard.ids, 1);
    let states: Vec<_> = lab.heard.changes.iter().map(|(_, states)| *states).collect();
    assert_eq!(states.first(), Some(&[State::Established, State::SynReceived]));
    assert_eq!(states.last(), Some(&[State::TimeWait, State::Closed]));
}

#[test]
fn a_deadline_that_has_passed_ends_the_connection_though_nobody_polled() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.send_one(there(1, Flags::SYN, 0, 0));
    lab.wait(119_999);
    assert_eq!(lab.send_one(there(1, Flags::SYN, 0, 0)).class, Class::Established);
    lab.wait(1);
    assert_eq!(lab.send_one(there(1, Flags::SYN, 0, 0)).class, Class::New);
    assert_eq!(lab.heard.ended, [(1, End::Expired)]);
}

#[test]
fn timers_end_connections_each_in_its_way() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.close(1);
    lab.open(2);
    lab.send_one(there(2, Flags::RST, 1, 1));
    lab.send_one(there(3, Flags::SYN, 0, 0));
    lab.wait(200_000);
    lab.poll();
    lab.heard.ended.sort_by_key(|(id, _)| *id);
    assert_eq!(lab.heard.ended, [(1, End::Closed), (2, End::Reset), (3, End::Expired)]);
    assert_eq!(lab.shard.table().len(), 0);
}

/// Design decision 6: a million that come due together stall no burst.
#[test]
fn each_poll_of_a_storm_of_time_waits_retires_no_more_than_its_budget() {
    let mut lab = Lab::new(1001, tcp::Policy::DEFAULT);
    for port in 1..=1000 {
        lab.close(port);
    }
    lab.open(1001);
    lab.wait(60_000);
    let (mut polls, mut is_done) = (0, false);
    while !is_done {
        let before = lab.heard.ended.len();
        is_done = lab.shard.poll(lab.now.tick(), POLL_BUDGET, &mut lab.heard);
        let retired = lab.heard.ended.len() - before;
        assert!(retired <= POLL_BUDGET as usize, "{retired} in one poll");
        polls += 1;
        assert_eq!(lab.send_one(there(1001, Flags::ACK, 1, 1)).class, Class::Established);
    }
    assert_eq!(lab.heard.ended.len(), 1000);
    assert!(lab.heard.ended.iter().all(|(id, end)| *id <= 1000 && *end == End::Closed));
    // What is due, and the cascades on the way to it, each at most once more for every level.
    assert!((1000 / POLL_BUDGET..4 * 1000 / POLL_BUDGET).contains(&polls), "{polls} polls");
}

#[test]
fn a_full_table_gives_up_the_cheapest_but_never_an_open_connection() {
    let mut lab = Lab::new(3, tcp::Policy::DEFAULT);
    lab.open(1);
    lab.send_one(there(2, Flags::SYN, 0, 0));
    lab.close(3);
    assert_eq!(lab.send_one(there(4, Flags::SYN, 0, 0)).class, Class::New);
    assert_eq!(lab.heard.ended, [(3, End::Evicted)], "what is closed goes first");
    lab.open(5);
    assert!(lab.heard.ended.contains(&(2, End::Evicted)) || lab.heard.ended.contains(&(4, End::Evicted)));
    lab.open(6);
    let verdict = lab.send_one(there(7, Flags::SYN, 0, 0));
    assert_eq!(verdict.reason, Some(Reason::Shard(Refusal::TableFull)));
    assert_eq!((verdict.action, verdict.class, verdict.subject), (Action::Drop, Class::Invalid, None));
    assert_eq!(lab.send_one(there(1, Flags::ACK, 1, 1)).class, Class::Established);
}

/// Connections that came together lie together: the search must get past them at once.
#[test]
fn a_full_table_finds_what_may_go_behind_a_long_run_of_open_connections() {
    let mut lab = Lab::new(1000, tcp::Policy::DEFAULT);
    for port in 1..=900 {
        lab.open(port);
    }
    for port in 901..=3000 {
        assert_eq!(lab.send_one(there(port, Flags::SYN, 0, 0)).class, Class::New, "{port}");
    }
    assert_eq!(lab.heard.ended.len(), 2000);
    assert!(lab.heard.ended.iter().all(|(id, end)| *id > 900 && *end == End::Evicted));
}

#[test]
fn past_the_limit_of_time_wait_the_oldest_goes() {
    let policy = tcp::Policy { time_wait_max: 2, ..tcp::Policy::DEFAULT };
    let mut lab = Lab::new(100, policy);
    for port in 1..=20 {
        lab.close(port);
        lab.wait(10);
    }
    let expected: Vec<_> = (1..=18).map(|id| (id, End::Evicted)).collect();
    assert_eq!(lab.heard.ended, expected);
}

#[test]
fn past_the_limit_of_time_wait_a_connection_ends_with_its_last_ack() {
    let policy =
        tcp::Policy { time_wait_max: 1, time_wait_overflow: TimeWaitOverflow::Skip, ..tcp::Policy::DEFAULT };
    let mut lab = Lab::new(100, policy);
    lab.close(1);
    assert_eq!(lab.heard.ended, []);
    lab.close(2);
    assert_eq!(lab.heard.ended, [(2, End::Closed)]);
    lab.wait(60_000);
    lab.poll();
    lab.close(3);
    assert_eq!(lab.heard.ended, [(2, End::Closed), (1, End::Closed)], "there is room again");
}

#[test]
fn a_short_connection_leaves_time_wait_early_where_that_is_allowed() {
    let policy = tcp::Policy { time_wait_truncation: true, ..tcp::Policy::DEFAULT };
    let mut lab = Lab::new(8, policy);
    lab.send_one(there(1, Flags::SYN, 0, 0));
    lab.wait(100);
    lab.send(&[back(1, SYN_ACK, 0, 1), there(1, Flags::ACK, 1, 1)]);
    lab.send(&[there(1, FIN_ACK, 1, 1), back(1, FIN_ACK, 1, 2), there(1, Flags::ACK, 2, 2)]);
    lab.wait(2399);
    lab.poll();
    assert_eq!(lab.heard.ended, []);
    lab.wait(1);
    lab.poll();
    assert_eq!(lab.heard.ended, [(1, End::Closed)], "8 RTO of 3 × 100 ms");
}

#[test]
fn the_round_trip_is_the_handshakes_also_where_its_responder_closes_before_the_end() {
    let policy = tcp::Policy { time_wait_truncation: true, ..tcp::Policy::DEFAULT };
    let mut lab = Lab::new(8, policy);
    lab.send_one(there(1, Flags::SYN, 0, 0));
    for milliseconds in [100, 20, 30] {
        // In SYN_RECEIVED B closes at once, and again since no ACK comes.
        lab.wait(milliseconds);
        lab.send_one(if milliseconds == 100 { back(1, SYN_ACK, 0, 1) } else { back(1, FIN_ACK, 1, 1) });
    }
    lab.wait(50);
    lab.send_one(there(1, Flags::ACK, 1, 1));
    lab.wait(5000);
    lab.send(&[there(1, FIN_ACK, 1, 2), back(1, Flags::ACK, 2, 2)]);
    lab.wait(8 * 3 * 200 - 1);
    lab.poll();
    assert_eq!(lab.heard.ended, []);
    lab.wait(1);
    lab.poll();
    assert_eq!(lab.heard.ended, [(1, End::Closed)], "8 RTO of 3 × 200 ms");
}

#[test]
fn a_short_connection_stays_one_while_it_waits() {
    let policy = tcp::Policy { time_wait_truncation: true, ..tcp::Policy::DEFAULT };
    let mut lab = Lab::new(8, policy);
    lab.open(1);
    lab.wait(29_000);
    lab.send(&[there(1, FIN_ACK, 1, 1), back(1, FIN_ACK, 1, 2)]);
    // B repeats its FIN, the second time more than MSL after the SYN.
    for _ in 0..2 {
        lab.wait(1_000);
        lab.send_one(back(1, FIN_ACK, 1, 2));
    }
    lab.wait(1_599);
    lab.poll();
    assert_eq!(lab.heard.ended, []);
    lab.wait(1);
    lab.poll();
    assert_eq!(lab.heard.ended, [(1, End::Closed)], "8 RTO of 200 ms, as when it entered");
}

#[test]
fn a_reuse_is_a_new_connection_with_fresh_counters() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.close(1);
    let verdict = lab.send_one(there(1, Flags::SYN, 500_000, 0));
    assert_eq!((verdict.class, verdict.subject.map(|subject| subject.id)), (Class::New, Some(2)));
    assert_eq!(lab.heard.ended, [(1, End::Reused)]);
    let index = lab.shard.table().scan().next().unwrap();
    assert_eq!(lab.shard.record(index).packets, [1, 0]);
}

#[test]
fn the_responder_may_reopen_and_is_the_originator_then() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.close(1);
    let verdict = lab.send_one(back(1, Flags::SYN, 500_000, 0));
    assert_eq!(verdict.subject.map(|subject| subject.direction), Some(Direction::Original));
    let index = lab.shard.table().scan().next().unwrap();
    assert_eq!(lab.shard.record(index).originator, ([10, 0, 0, 2].into(), 80));
}

#[test]
fn an_answer_to_a_remembered_syn_turns_the_tuple_round() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.open(1);
    lab.send_one(back(1, Flags::SYN, 70_000, 0));
    let verdict = lab.send_one(there(1, SYN_ACK, 900_000, 70_001));
    let subject = verdict.subject.unwrap();
    assert_eq!((verdict.class, subject.id, subject.direction), (Class::New, 2, Direction::Reply));
    assert_eq!(subject.states, Some([State::Established, State::SynReceived]));
    let index = lab.shard.table().scan().next().unwrap();
    assert_eq!(lab.shard.record(index).originator, ([10, 0, 0, 2].into(), 80));
}

#[test]
fn quiet_time_is_over_after_its_time() {
    let policy = tcp::Policy { quiet_time: Span::from_milliseconds(5000), ..tcp::Policy::DEFAULT };
    let mut lab = Lab::new(8, policy);
    let reason = lab.send_one(there(1, Flags::SYN, 0, 0)).reason;
    assert_eq!(reason, Some(Reason::Tcp(tcp::Refusal::QuietTime)));
    lab.wait(5000);
    lab.poll();
    assert_eq!(lab.send_one(there(1, Flags::SYN, 0, 0)).class, Class::New);
}

#[test]
fn without_room_for_a_hole_the_receivers_acknowledgement_tells() {
    // A table of 65 has 64 annexes.
    let mut lab = Lab::new(65, tcp::Policy::DEFAULT);
    let mut states = None;
    for port in (1..=65).rev() {
        lab.open(port);
        let ahead = there(port, FIN_ACK, 101, 1);
        states = lab.send_one(ahead).subject.unwrap().states;
    }
    assert_eq!(lab.shard.counters().annexes_exhausted, 1);
    assert_eq!(states, Some([State::FinWait1, State::Established]));
    let states = lab.send_one(back(1, Flags::ACK, 1, 102)).subject.unwrap().states;
    assert_eq!(states, Some([State::FinWait2, State::CloseWait]));
}

#[test]
fn both_directions_and_errors_about_them_are_steered_alike() {
    let forth = there(1, Flags::SYN, 0, 0);
    let frames = [forth.clone(), back(1, SYN_ACK, 0, 1), {
        let quote = &forth[14..];
        Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(3, 1, [0; 4], quote)
    }];
    let hashes = frames
        .map(|bytes| steering_hash(&wire::parse(&Frame::whole(&bytes, Link::Ethernet), Checks::ALL), 3));
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], hashes[2]);
}

#[test]
fn an_icmp_error_is_related_only_to_what_is_in_flight() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let syn = there(1, Flags::SYN, 0, 0);
    let about = |frame: &[u8]| Builder::v4([10, 9, 9, 9], [10, 0, 0, 1]).icmp(3, 1, [0; 4], &frame[14..]);
    assert_eq!(lab.send_one(about(&syn)).class, Class::Invalid, "nobody knows of it yet");
    lab.send_one(syn.clone());
    let verdict = lab.send_one(about(&syn));
    assert_eq!(verdict.class, Class::Related);
    assert_eq!(verdict.subject.map(|subject| subject.direction), Some(Direction::Reply));
    let never_sent =
        Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).tcp(&Tcp { seq: Seq(900), ..Tcp::new(1, 80) }, &[]);
    assert_eq!(lab.send_one(about(&never_sent)).class, Class::Invalid, "below the SYN");
    let silent = Builder::v4([10, 9, 9, 9], [10, 0, 0, 2]);
    let by_nobody = Builder::v4([10, 0, 0, 2], [10, 0, 0, 1])
        .tcp(&Tcp { seq: Seq(0_u32.wrapping_sub(1)), ..Tcp::new(80, 1) }, &[]);
    let verdict = lab.send_one(silent.icmp(3, 1, [0; 4], &by_nobody[14..]));
    assert_eq!(verdict.class, Class::Invalid, "who has sent nothing has nothing in flight");
    lab.send(&[back(1, SYN_ACK, 0, 1), there(1, Flags::ACK, 1, 1)]);
    let verdict = lab.send_one(about(&syn));
    assert_eq!(verdict.reason, Some(Reason::Flow(flow::Refusal::IcmpUnknown)), "acknowledged since");
    let elsewhere = Builder::v4([10, 9, 9, 9], [10, 0, 0, 7]).icmp(3, 1, [0; 4], &syn[14..]);
    assert_eq!(lab.send_one(elsewhere).class, Class::Invalid, "it does not go to the sender");
}

#[test]
fn an_icmp_error_about_an_endpoint_that_never_spoke_is_unknown() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    // Of the responder no sequence number is known: not even those around zero are its own.
    let sent = |seq: u32| {
        let tcp = Tcp { seq: Seq(seq), ..Tcp::new(80, 1) };
        Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).tcp(&tcp, &[])
    };
    let about = |frame: Vec<u8>| Builder::v4([10, 9, 9, 9], [10, 0, 0, 2]).icmp(3, 1, [0; 4], &frame[14..]);
    let reasons = |lab: &mut Lab| {
        [u32::MAX, 0, 0x8000_0000].map(|seq| lab.send_one(about(sent(seq))).reason.map(|it| it.name()))
    };
    lab.send_one(there(1, Flags::SYN, 0, 0));
    assert_eq!(reasons(&mut lab), [Some("icmp_unknown"); 3]);
    lab.send_one(back(1, Flags::RST.with(Flags::ACK), 0, 1));
    assert_eq!(reasons(&mut lab), [Some("icmp_unknown"); 3]);
}

#[test]
fn an_invalid_packet_names_its_connection_and_touches_nothing() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.open(1);
    let index = lab.shard.table().scan().next().unwrap();
    let before = lab.shard.record(index);
    lab.wait(10);
    let mut broken = there(1, Flags::ACK, 1, 1);
    broken[50] ^= 0xff;
    let mut flags = there(1, Flags::ACK, 1, 1);
    flags[47] = 0;
    for (frame, fault) in [(broken, wire::Fault::BadChecksum), (flags, wire::Fault::BadFlags)] {
        let verdict = lab.send_one(frame);
        assert_eq!(verdict.reason, Some(Reason::Wire(fault)));
        assert_eq!(verdict.subject.map(|subject| subject.id), Some(1));
    }
    assert_eq!(lab.send_one(there(1, Flags::ACK, 9_000_000, 1)).class, Class::Invalid);
    assert_eq!(lab.shard.record(index), before);
}

#[test]
fn a_query_and_its_reply_but_no_reply_without_a_query() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let request = Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).icmp(8, 0, [0, 9, 0, 1], &[]);
    let reply = Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).icmp(0, 0, [0, 9, 0, 1], &[]);
    let verdict = lab.send_one(reply.clone());
    assert_eq!(verdict.reason, Some(Reason::Flow(flow::Refusal::IcmpUnsolicited)));
    assert_eq!(lab.send_one(request).class, Class::New);
    let verdict = lab.send_one(reply);
    assert_eq!(verdict.subject.map(|subject| subject.direction), Some(Direction::Reply));
    // The other side's own query with the same identifier is a connection of its own.
    let other = Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).icmp(8, 0, [0, 9, 0, 1], &[]);
    assert_eq!(lab.send_one(other).class, Class::New);
}

#[test]
fn equal_tuples_in_two_zones_are_two_connections() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let syn = there(1, Flags::SYN, 0, 0);
    for zone in [0, 1] {
        let arrival = Arrival {
            frame: Frame::whole(&syn, Link::Ethernet),
            zone,
            admission: lab.admission,
            at: lab.now,
            token: Token(0),
        };
        let mut verdicts = [Verdict::HELD];
        lab.shard.process(&[arrival], lab.now.tick(), &mut verdicts, &mut lab.heard);
        assert_eq!(verdicts[0].class, Class::New);
    }
}

/// The two ports of a bridge where connections may begin inside only.
const INSIDE: Admission = Admission {
    may_begin: true,
    may_begin_opposite: false,
    multicast_passes: true,
    invalid_passes: false,
    side: 0,
};
const OUTSIDE: Admission = Admission {
    may_begin: false,
    may_begin_opposite: true,
    multicast_passes: true,
    invalid_passes: false,
    side: 1,
};

impl Lab {
    fn send_from(&mut self, admission: Admission, frame: Vec<u8>) -> Verdict {
        self.admission = admission;
        self.send_one(frame)
    }

    fn is_refused(&mut self, admission: Admission, frame: Vec<u8>) -> bool {
        let verdict = self.send_from(admission, frame);
        let refused = verdict.reason == Some(Reason::Shard(Refusal::NotAllowed));
        assert_eq!(refused, verdict.action == Action::Drop, "{verdict:?}");
        refused
    }
}

#[test]
fn the_census_counts_what_lives_and_every_change_has_a_number() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.open(1);
    lab.close(2);
    lab.send_one(Builder::v6([1; 16], [2; 16]).udp(Ports { source: 1, destination: 2 }, b"x"));
    let census = lab.shard.census().clone();
    assert_eq!(census.by_states[State::Established as usize][State::Established as usize], 1);
    assert_eq!((census.in_state(State::TimeWait), census.in_state(State::Closed)), (1, 1));
    assert_eq!((census.by_protocol[0][6], census.by_protocol[1][17]), (2, 1));
    let changes = lab.heard.changes.len() as u64;
    assert_eq!(lab.shard.sequence(), 3 + changes, "three beginnings, and each change of states");
    lab.wait(8_000_000);
    lab.poll();
    assert_eq!(*lab.shard.census(), Census::ZERO);
    assert_eq!(lab.shard.sequence(), 6 + changes);
}

#[test]
fn an_operator_deletes_a_connection_only_while_it_is_the_same() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    lab.open(1);
    let index = lab.shard.table().scan().next().unwrap();
    assert!(!lab.shard.delete(index, 2, &mut lab.heard), "another one's number");
    assert!(!lab.shard.delete(Index::new(99), 1, &mut lab.heard), "no such place");
    assert!(lab.shard.delete(index, 1, &mut lab.heard));
    assert!(!lab.shard.delete(index, 1, &mut lab.heard), "it is gone");
    assert_eq!(lab.heard.ended, [(1, End::Deleted)]);
    assert_eq!(lab.shard.next_event(), None, "the wheel has let go of it");
}

#[test]
fn a_query_whose_identifier_is_its_types_number_is_not_taken_for_its_answer() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let ping =
        |from, to, kind| Builder::v4([10, 0, 0, from], [10, 0, 0, to]).icmp(kind, 0, [0, 8, 0, 1], &[]);
    assert_eq!(lab.send_one(ping(1, 2, 8)).class, Class::New);
    let question_back = lab.send_one(ping(2, 1, 8));
    assert_eq!(question_back.reason, Some(Reason::Flow(flow::Refusal::IcmpUnsolicited)));
    assert_eq!(lab.send_one(ping(1, 2, 0)).class, Class::Invalid, "an answer to its own question");
    assert_eq!(lab.send_one(ping(2, 1, 0)).class, Class::Established);
}
