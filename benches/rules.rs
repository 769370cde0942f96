//! What a packet costs however many rules there are, and however long it is.
//!
//! `cargo bench --bench rules`; `tools/growth` runs it and prints the tables of docs/performance.md. A rule says of a
//! bridge where connections may begin (`new_from`); each bridge has one, and connections are spread over all of
//! them. One element is one packet of a burst of 32.
//!
//! ```text
//!  rules/established/N   ACKs of open connections, both directions        10,000 connections
//!  rules/new/N           SYNs where they may begin, each ended by its timer
//!  rules/refused/N       SYNs where they may not: `not_allowed`
//!  parse/BYTES           headers and checksums of a frame
//! ```
//!
//! Frames are built before and never written: what differs between two lines is the rules, or the length.

#![allow(missing_docs, reason = "criterion's macros make the public items")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lastack::config::Config;
use lastack::fragments::Token;
use lastack::shard::{
    Action, Admission, Arrival, BURST, Class, Datagram, Observer, Settings, Shard, Verdict,
};
use lastack::table::HashKeys;
use lastack::time::{Tick, Time};
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{self, Checks, Flags, Frame, Link, Seq};

/// Rules that are compared; none: connections may begin anywhere.
const RULES: [u16; 5] = [0, 1, 10, 100, 1000];
const CONNECTIONS: u32 = 10_000;
const SEED: u64 = 0x5eed;
/// SYNs come again after so many bursts of one second each: longer than `tcp.syn_sent`.
const BURSTS: u64 = 256;
/// Lengths of frames without their check sequence: the least that Ethernet carries, and those of the usual mixture.
const LENGTHS: [usize; 3] = [60, 590, 1514];
const HEADERS: usize = 54;

/// Numbers connections.
#[derive(Default)]
struct Numbers(u64);

impl Observer for Numbers {
    fn next_id(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
    fn released(&mut self, _: Token, _: &Verdict) {}
    fn hand_over(&mut self, _: u32, _: Datagram) {}
}

/// Where a packet comes from.
#[derive(Clone, Copy)]
enum From {
    Inside,
    Outside,
}

/// A frame, the zone of its bridge, and what its port admits.
struct Packet {
    bytes: Vec<u8>,
    zone: u16,
    admission: Admission,
}

impl Packet {
    /// A segment of connection `number`, of so many rules.
    fn new(number: u32, from: From, flags: Flags, seq: u32, ack: u32, rules: u16) -> Packet {
        let [_, a, b, c] = number.to_be_bytes();
        let (here, there) = ([10, a, b, c], [192, 168, 0, 1]);
        let tcp = |source, destination| Tcp {
            flags,
            seq: Seq(seq),
            ack: Seq(ack),
            ..Tcp::new(source, destination)
        };
        let bytes = match from {
            From::Inside => Builder::v4(here, there).tcp(&tcp(40_000, 443), &[]),
            From::Outside => Builder::v4(there, here).tcp(&tcp(443, 40_000), &[]),
        };
        let is_bound = rules > 0;
        let (may_begin, may_begin_opposite, side) = match from {
            From::Inside => (true, !is_bound, 0),
            From::Outside => (!is_bound, true, 1),
        };
        let admission = Admission { may_begin, may_begin_opposite, side, ..Admission::ANY };
        Packet { bytes, zone: (number % u32::from(rules.max(1))) as u16, admission }
    }

    fn arrival(&self, at: Time) -> Arrival<'_> {
        let Packet { bytes, zone, admission } = self;
        let frame = Frame::whole(bytes, Link::Ethernet);
        Arrival { frame, zone: *zone, admission: *admission, at, token: Token(0) }
    }
}

/// A shard with its clock.
struct Engine {
    shard: Shard,
    numbers: Numbers,
    now: Time,
}

impl Engine {
    fn new() -> Engine {
        let (_, settings): (_, Settings) =
            Config::default().split(1).expect("the default configuration is one shard's").remove(0);
        let layout = Shard::layout_for_connections(2 * CONNECTIONS).expect("a table of twenty thousand");
        let keys = HashKeys::random().expect("the system has randomness");
        let shard = Shard::new(layout, keys, settings, Tick::new(0)).expect("memory for a table");
        Engine { shard, numbers: Numbers::default(), now: Time::default() }
    }

    /// Takes a burst through the shard; fails unless all of it is judged like this.
    fn burst(&mut self, packets: &[Packet], action: Action, class: Class) {
        let mut verdicts = [Verdict::HELD; BURST];
        let mut arrivals = arrayvec::ArrayVec::<Arrival<'_>, BURST>::new();
        arrivals.extend(packets.iter().map(|packet| packet.arrival(self.now)));
        while !self.shard.poll(self.now.tick(), BURST as u32, &mut self.numbers) {}
        self.shard.process(&arrivals, self.now.tick(), &mut verdicts, &mut self.numbers);
        let judged = verdicts[..packets.len()].iter();
        let mut others = judged.filter(|verdict| verdict.action != action || verdict.class != class);
        assert!(others.next().is_none(), "all are {class:?}");
    }

    fn wait_a_second(&mut self) {
        self.now = Time::from_nanoseconds(self.now.nanoseconds() + 1_000_000_000);
    }
}

fn established(group: &mut BenchmarkGroup<'_, WallTime>, rules: u16) {
    let mut engine = Engine::new();
    for number in 0..CONNECTIONS {
        let packet = |from, flags, seq, ack| Packet::new(number, from, flags, seq, ack, rules);
        engine.burst(&[packet(From::Inside, Flags::SYN, 100, 0)], Action::Accept, Class::New);
        let syn_ack = packet(From::Outside, Flags::SYN.with(Flags::ACK), 500, 101);
        let answers = [syn_ack, packet(From::Inside, Flags::ACK, 101, 501)];
        engine.burst(&answers, Action::Accept, Class::Established);
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let packets: Vec<Packet> = (0..4096)
        .map(|place| {
            let number = random.u32(..CONNECTIONS);
            if place % 2 == 0 {
                Packet::new(number, From::Inside, Flags::ACK, 101, 501, rules)
            } else {
                Packet::new(number, From::Outside, Flags::ACK, 501, 101, rules)
            }
        })
        .collect();
    let mut bursts = packets.chunks_exact(BURST).cycle();
    group.bench_function(BenchmarkId::new("established", rules), |bencher| {
        bencher.iter(|| {
            let burst = bursts.next().expect("it has no end");
            engine.burst(burst, Action::Accept, Class::Established);
        });
    });
}

/// Bursts of SYNs, each a second after the one before.
fn beginning(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    from: From,
    rules: u16,
    verdict: (Action, Class),
) {
    let mut engine = Engine::new();
    let numbers = 0..(BURSTS * BURST as u64) as u32;
    let packets: Vec<Packet> =
        numbers.map(|number| Packet::new(number, from, Flags::SYN, 100, 0, rules)).collect();
    let mut bursts = packets.chunks_exact(BURST).cycle();
    group.bench_function(BenchmarkId::new(name, rules), |bencher| {
        bencher.iter(|| {
            engine.wait_a_second();
            engine.burst(bursts.next().expect("it has no end"), verdict.0, verdict.1);
        });
    });
}

fn rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rules");
    group.throughput(Throughput::Elements(BURST as u64));
    for rules in RULES {
        established(&mut group, rules);
        beginning(&mut group, "new", From::Inside, rules, (Action::Accept, Class::New));
        if rules > 0 {
            beginning(&mut group, "refused", From::Outside, rules, (Action::Drop, Class::Invalid));
        }
    }
    group.finish();
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    for length in LENGTHS {
        let payload = vec![0x5a; length - HEADERS];
        let tcp = Tcp { flags: Flags::ACK, ..Tcp::new(40_000, 443) };
        let bytes = Builder::v4([10, 0, 0, 1], [192, 168, 0, 1]).tcp(&tcp, &payload);
        group.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| {
                let frame = Frame::whole(std::hint::black_box(&bytes), Link::Ethernet);
                std::hint::black_box(wire::parse(&frame, Checks::ALL).protocol)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, rules, parse);
criterion_main!(benches);
