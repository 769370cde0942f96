//! The generator on a wire of queues, and on a clock that only a test moves.
//!
//! ```text
//!   generator ─ frame ─► looked at: well-formed? let through? ─ after a delay ─► the other end ─► generator
//! ```

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroU64;

use lastack::wire::{Checks, Flags, Frame, Link, Transport, parse};

use crate::Failure;
use crate::frame::{Addresses, End, Path, Payload, Protocol, Segment, Shape, headers};
use crate::generator::{Generator, State};
use crate::pace::Rate;
use crate::phase::{self, Batch, BatchReport, Block, Direction, PATIENCE, Traffic, TrafficReport, Work};
use crate::space::{Host, Number, Space};
use crate::wire::Wire;

const V4: [&str; 2] = ["10.0.0.1", "10.0.0.2"];
const V6: [&str; 2] = ["fd00::1", "fd00::2"];
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
/// From one end to the other, in nanoseconds.
const DELAY: u64 = 20_000;
/// How far the clock moves at each look.
const TURN: u64 = 1_000;

fn shape(protocol: Protocol, length: usize, addresses: [&str; 2]) -> Shape {
    let [client, server]: [IpAddr; 2] = addresses.map(|address| address.parse().unwrap());
    let path = |source, destination, from: usize| Path {
        source,
        destination,
        source_mac: MACS[from],
        destination_mac: MACS[1 - from],
    };
    Shape::new(protocol, length, [path(client, server, 0), path(server, client, 1)]).unwrap()
}

/// What becomes of a frame on its way from an end.
type Fate<'a> = Box<dyn FnMut(End, &mut Vec<u8>) -> bool + 'a>;

/// A wire, and a clock.
struct Queues<'a> {
    now: &'a Cell<u64>,
    /// By the end that they go to, with the time when they arrive.
    frames: [VecDeque<(u64, Vec<u8>)>; 2],
    /// Whether a frame arrives; it may be changed.
    fate: Fate<'a>,
}

impl Queues<'_> {
    fn carry(&mut self, from: End, mut frame: Vec<u8>) {
        let packet = parse(&Frame::whole(&frame, Link::Ethernet), Checks::ALL);
        let is_right = matches!(packet.transport, Transport::Tcp { .. } | Transport::Udp { .. });
        assert!(is_right && frame.len() >= 54, "{:?}: {frame:02x?}", packet.transport);
        if (self.fate)(from, &mut frame) {
            self.frames[from.other() as usize].push_back((self.now.get() + DELAY, frame));
        }
    }
}

impl Wire for Queues<'_> {
    fn send(&mut self, from: End, length: usize, write: impl FnOnce(&mut [u8])) -> bool {
        let mut frame = vec![0xaa; length];
        write(&mut frame);
        self.carry(from, frame);
        true
    }

    fn receive(&mut self, at: End, mut each: impl FnMut(&mut [u8]) -> Option<usize>) {
        while self.frames[at as usize].front().is_some_and(|(time, _)| *time <= self.now.get()) {
            let Some((_, mut frame)) = self.frames[at as usize].pop_front() else { break };
            if let Some(length) = each(&mut frame) {
                frame.truncate(length);
                self.carry(at, frame);
            }
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A generator with its clock.
struct Bench {
    now: Cell<u64>,
    generator: Generator,
}

impl Bench {
    fn new(shape: Shape, addresses: [&str; 2], connections: u32) -> Bench {
        let [client, server]: [IpAddr; 2] = addresses.map(|address| address.parse().unwrap());
        let space = Space::new(client, &(1024..=1033), server, &(80..=80));
        let ends = [(client, 100), (server, 1)].map(|(first, count)| Addresses { first, count });
        let generator = Generator::new(space, shape, connections, ends, MACS);
        Bench { now: Cell::new(5_000_000_000), generator }
    }

    fn tcp(connections: u32) -> Bench {
        Bench::new(shape(Protocol::Tcp, 60, V4), V4, connections)
    }

    fn batch(&mut self, work: Work, count: u32, rate: Rate, window: u32, fate: Fate<'_>) -> BatchReport {
        let Bench { now, generator } = self;
        let block = Block { first: 0, count };
        let batch = Batch::new(work, block, rate, window, generator, now.get());
        let mut wire = Queues { now, frames: Default::default(), fate };
        let mut clock = || now.replace(now.get() + TURN);
        phase::run(batch, generator, &mut wire, &mut clock, &mut drop).unwrap()
    }

    fn all(&mut self, work: Work, count: u32) -> BatchReport {
        self.batch(work, count, Rate::Flat, 512, Box::new(|_, _| true))
    }

    fn traffic(&mut self, count: u32, direction: Direction, rate: u64, fate: Fate<'_>) -> TrafficReport {
        let Bench { now, generator } = self;
        let block = Block { first: 0, count };
        let traffic = Traffic::new(block, direction, per_second(rate), 100_000_000, generator, now.get());
        let mut wire = Queues { now, frames: Default::default(), fate };
        let mut clock = || now.replace(now.get() + TURN);
        phase::run(traffic, generator, &mut wire, &mut clock, &mut drop).unwrap()
    }
}

fn per_second(rate: u64) -> Rate {
    Rate::PerSecond(NonZeroU64::new(rate).unwrap())
}

/// The flags of a TCP segment over IPv4.
fn flags(frame: &[u8]) -> Flags {
    Flags(frame[47])
}

#[test]
fn connections_are_opened_greeted_used_and_closed_each_of_them_once() {
    let shapes = [
        (shape(Protocol::Tcp, 60, V4), V4),
        (shape(Protocol::Tcp, 1514, V4), V4),
        (shape(Protocol::Tcp, 75, V6), V6),
        (shape(Protocol::Tcp, 100, V6), V6),
    ];
    for (shape, addresses) in shapes {
        let mut bench = Bench::new(shape, addresses, 100);
        for work in [Work::Open, Work::Greet] {
            let report = bench.all(work, 100);
            assert!(report.is_complete() && report.refused == 0, "{report:?}");
        }
        let report = bench.traffic(100, Direction::Both, 100_000, Box::new(|_, _| true));
        for flow in [report.original, report.reply].map(Option::unwrap) {
            assert_eq!((flow.sent, flow.received, flow.lost), (10_000, 10_000, 0));
        }
        let report = bench.all(Work::Close, 100);
        assert!(report.is_complete(), "{report:?}");
        let counts = bench.generator.counts;
        assert_eq!((counts.opened, counts.accepted, counts.closed, counts.foreign), (100, 100, 100, 0));
        assert!((0..100).all(|number| bench.generator.state(Number(number)) == State::Closed));
    }
}

#[test]
fn datagrams_open_and_carry_too() {
    for (length, addresses) in [(60, V4), (63, V6), (1514, V4)] {
        let mut bench = Bench::new(shape(Protocol::Udp, length, addresses), addresses, 30);
        assert!(bench.all(Work::Open, 30).is_complete(), "{length} bytes");
        assert!(bench.all(Work::Greet, 30).is_complete(), "{length} bytes");
        let report = bench.traffic(30, Direction::Both, 10_000, Box::new(|_, _| true));
        assert_eq!((report.loss, report.original.unwrap().received), (0.0, 1000), "{length} bytes");
    }
}

#[test]
fn segments_whose_padding_the_kernel_has_cut_off_are_answered_like_others() {
    let mut bench = Bench::tcp(20);
    for work in [Work::Open, Work::Greet, Work::Close] {
        let fate: Fate<'_> = Box::new(|_, frame| {
            let length = u16::from_be_bytes([frame[16], frame[17]]);
            frame.truncate(14 + usize::from(length));
            true
        });
        let report = bench.batch(work, 20, Rate::Flat, 512, fate);
        assert!(report.is_complete(), "{report:?}");
    }
}

#[test]
fn a_handshake_takes_two_ways_and_a_greeting_one() {
    let mut bench = Bench::tcp(10);
    let opened = bench.all(Work::Open, 10).latency.unwrap();
    assert_eq!((opened.samples, opened.min, opened.max), (10, 2 * DELAY, 2 * DELAY));
    let greeted = bench.all(Work::Greet, 10).latency.unwrap();
    assert_eq!((greeted.samples, greeted.min, greeted.max), (10, DELAY, DELAY));
}

#[test]
fn connections_are_opened_at_the_rate_that_is_asked_for() {
    let mut bench = Bench::tcp(1000);
    let report = bench.batch(Work::Open, 1000, per_second(10_000), 1, Box::new(|_, _| true));
    assert!(report.is_complete());
    assert!((0.099..0.101).contains(&report.seconds), "{report:?}");
}

#[test]
fn answers_that_never_come_are_waited_for_once_and_hold_up_nobody_else() {
    let mut bench = Bench::tcp(100);
    let mut answers = 0;
    // Every fifth SYN-ACK is lost, more than are under way at a time.
    let fate: Fate<'_> = Box::new(|_, frame| {
        let is_answer = flags(frame) == Flags::SYN.with(Flags::ACK);
        answers += u32::from(is_answer);
        !is_answer || !answers.is_multiple_of(5)
    });
    let before = bench.now.get();
    let report = bench.batch(Work::Open, 100, Rate::Flat, 8, fate);
    assert_eq!((report.succeeded, report.connections), (80, 100));
    let waited = bench.now.get() - before;
    assert!((PATIENCE..4 * PATIENCE).contains(&waited), "{waited} ns");
}

#[test]
fn a_handshake_whose_last_segment_is_lost_is_not_complete() {
    let mut bench = Bench::tcp(20);
    let report = bench.batch(Work::Open, 20, Rate::Flat, 32, Box::new(|_, frame| flags(frame) != Flags::ACK));
    assert_eq!((report.succeeded, bench.generator.counts.opened), (0, 20));
}

#[test]
fn lost_data_is_counted_in_the_direction_in_which_it_was_lost() {
    let mut bench = Bench::tcp(10);
    bench.all(Work::Open, 10);
    let mut count = 0;
    let fate: Fate<'_> = Box::new(|from, _| {
        count += u32::from(from == End::Server);
        from == End::Client || count % 10 != 0
    });
    let report = bench.traffic(10, Direction::Both, 10_000, fate);
    let (original, reply) = (report.original.unwrap(), report.reply.unwrap());
    assert_eq!((original.sent, original.lost, reply.sent, reply.lost), (1000, 0, 1000, 100));
    assert!((report.loss - 0.05).abs() < 1e-9, "{}", report.loss);
    let alone = bench.traffic(10, Direction::Client, 10_000, Box::new(|_, _| true));
    assert_eq!((alone.original.unwrap().sent, alone.reply), (1000, None));
}

#[test]
fn who_answers_with_an_rst_has_refused_the_connection() {
    let mut bench = Bench::tcp(50);
    let fate: Fate<'_> = Box::new(|from, frame| {
        if from == End::Server {
            // As a middlebox does that writes the answer itself.
            frame[47] = Flags::RST.with(Flags::ACK).0;
        }
        true
    });
    let report = bench.batch(Work::Open, 50, Rate::Flat, 10, fate);
    assert_eq!((report.succeeded, report.refused), (0, 50));
}

#[test]
fn the_server_reaches_clients_whose_addresses_a_middlebox_has_changed() {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let shape = shape(protocol, 70, V4);
        let mut bench = Bench::new(shape.clone(), V4, 40);
        // Of clients, the address becomes the middlebox's own; 10.0.0.4 has ports from 20,000 on, and so on.
        let translated = |host: Host| {
            let client = host.address - 0x0a00_0001;
            Host { address: 0xcb00_7101, port: 20_000 + client as u16 * 10 + (host.port - 1024) }
        };
        let original = |host: Host| {
            let place = host.port - 20_000;
            Host { address: 0x0a00_0001 + u32::from(place / 10), port: 1024 + place % 10 }
        };
        let translate = move |from: End, frame: &mut Vec<u8>| {
            let seen = shape.read(frame).unwrap();
            let (source, destination) = match from {
                End::Client => (translated(seen.from), seen.to),
                End::Server => (seen.from, original(seen.to)),
            };
            let payload = seen.stamp.map(|stamp| Payload { stamp, number: seen.number.unwrap() });
            let segment = Segment { seq: seen.seq, ack: seen.ack, flags: seen.flags, payload };
            shape.write(from, source, destination, &segment, frame);
            true
        };
        for work in [Work::Open, Work::Greet] {
            let report = bench.batch(work, 40, Rate::Flat, 512, Box::new(translate.clone()));
            assert!(report.is_complete(), "{protocol:?}: {report:?}");
        }
        let report = bench.traffic(40, Direction::Both, 10_000, Box::new(translate));
        assert_eq!(report.loss, 0.0, "{protocol:?}");
    }
}

#[test]
fn what_is_acknowledged_has_arrived() {
    const ONE: [u8; 2] = 1024_u16.to_be_bytes();
    let word = |frame: &[u8], at: usize| u32::from_be_bytes(*frame[at..].first_chunk().unwrap());
    let mut bench = Bench::tcp(5);
    // The server's first sequence number of the connection from port 1024.
    let mut first = 0;
    let fate: Fate<'_> = Box::new(|from, frame| {
        if from == End::Server && frame[36..38] == ONE {
            first = word(frame, 38);
        }
        true
    });
    bench.batch(Work::Open, 5, Rate::Flat, 32, fate);
    for arrives in [false, true] {
        let mut acknowledged = Vec::new();
        let fate: Fate<'_> = Box::new(|from, frame| {
            if from == End::Client && frame[34..36] == ONE {
                acknowledged.push(word(frame, 42).wrapping_sub(first));
            }
            from == End::Client || arrives
        });
        let report = bench.traffic(5, Direction::Both, 10_000, fate);
        assert_eq!(report.reply.unwrap().received > 0, arrives);
        acknowledged.dedup();
        // The SYN; then, once it has come, the data of six bytes.
        let expected = if arrives { &[1, 7][..] } else { &[1] };
        assert_eq!(acknowledged, expected, "arrives: {arrives}");
    }
}

#[test]
fn the_smallest_frames_have_room_for_a_stamp_where_the_headers_are_small() {
    for (protocol, addresses, expected) in
        [(Protocol::Tcp, V4, 60), (Protocol::Udp, V4, 48), (Protocol::Tcp, V6, 80), (Protocol::Udp, V6, 68)]
    {
        let headers = headers(protocol, addresses == V4);
        let stamp = |length| {
            let shape = shape(protocol, length, addresses);
            let mut frame = vec![0; shape.length(true)];
            let payload = Some(Payload { stamp: 0x1234_5678_9abc_def0, number: Number(7) });
            let host = Host { address: 0x0a00_0001, port: 1024 };
            let segment = Segment { seq: 1, ack: 2, flags: Flags::ACK, payload };
            shape.write(End::Client, host, host, &segment, &mut frame);
            shape.read(&frame).unwrap().stamp
        };
        assert_eq!(headers + 6, expected);
        assert_eq!(stamp(expected), Some(0x5678_9abc_def0), "{protocol:?}: 48 bits travel");
        assert_eq!(stamp(expected - 1), None, "{protocol:?}");
    }
}

#[test]
fn frames_of_others_are_not_taken_for_ones_own() {
    let shape = shape(Protocol::Tcp, 60, V4);
    let mut frame = vec![0; 60];
    let host = Host { address: 0x0a00_0001, port: 1024 };
    let segment = Segment { seq: 1, ack: 2, flags: Flags::ACK, payload: None };
    shape.write(End::Client, host, host, &segment, &mut frame);
    assert!(shape.read(&frame).is_some());
    let broken: [(&str, usize, u8); 5] = [
        ("another type", 13, 0x06),
        ("IPv4 options", 14, 0x46),
        ("a fragment", 20, 0x20),
        ("another protocol", 23, 17),
        ("longer than it came", 16, 1),
    ];
    for (what, at, value) in broken {
        let mut other = frame.clone();
        other[at] = value;
        assert_eq!(shape.read(&other), None, "{what}");
    }
    for length in 0..54 {
        assert_eq!(shape.read(&frame[..length]), None, "{length} bytes");
    }
}
