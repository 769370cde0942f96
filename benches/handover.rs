//! What it costs that a packet comes to another worker than the one whose connection it belongs to.
//!
//! ```text
//!   core A   32 frames ─► whose? ─┬─ own ──► shard A ◄── ring ──┐       frames go with their packets
//!                                 └─ B's ──► ring ──┐           │
//!   core B   32 frames ─► whose? ─┬─ A's ───────────┼───────────┘
//!                                 └─ own ──► shard B ◄──────────┘
//! ```
//!
//! `cargo bench --bench handover [-- [--quick] [--json]]`. The rings, the hash that tells the owner, the UMEM and the shards are those
//! of `lastack run` with `steering = "rss"`; what is missing are the sockets: a frame is written where a network card
//! would write it, in every row, and is free again once it is judged. As with a worker that finds more waiting, two bursts are
//! under way: one is read before the one ahead of it is judged. Connections are few, so that the numbers are of
//! the way and not of the memory. What counts is how long the threads were at work; the rows are measured in turn, and the
//! table has the medians. A worker that finds the ring full takes no more packets in until there is room.

#![allow(missing_docs, reason = "a benchmark")]

mod on_cores;

use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use af_xdp::{Descriptor, Frame, Umem, UmemOptions};
use arrayvec::ArrayVec;
use lastack::config::Config;
use lastack::daemon::handover::Exchange;
use lastack::fragments::Token;
use lastack::shard::{
    self, Action, Admission, Arrival, Arrivals, BURST, Class, Datagram, Observer, POLL_BUDGET, Shard,
    Verdict, steering_of_frame,
};
use lastack::table::HashKeys;
use lastack::time::{SystemClock, Time};
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{self, Flags, Link, Seq};

use on_cores::{at_work, cores, median, pin};

/// Connections of each shard.
const FLOWS: usize = 2048;
/// Bytes of a bare segment.
const LENGTH: usize = 54;
/// Where in its frame a packet begins, as the kernel has it.
const OFFSET: usize = 256;
/// Frames of each worker.
const FRAMES: u32 = 8192;
/// Packets that each worker takes in, in one round.
const PACKETS: u64 = 4_000_000;
const ROUNDS: usize = 7;
/// How much less `--quick` does, in one round: to see that it works.
const QUICK: u64 = 50;

type Segment = [u8; LENGTH];

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    name: &'static str,
    workers: usize,
    /// Whether the owner is asked for, and the rings are looked at.
    asks: bool,
    /// Of two packets, how many belong to the other worker.
    foreign: usize,
}

const WAYS: [Way; 4] = [
    Way { name: "one worker, which asks nobody", workers: 1, asks: false, foreign: 0 },
    Way { name: "one of two at work: asks for each packet's owner", workers: 1, asks: true, foreign: 0 },
    Way { name: "two workers, nothing handed over", workers: 2, asks: true, foreign: 0 },
    Way { name: "two workers, every second packet handed over", workers: 2, asks: true, foreign: 1 },
];

/// Numbers connections, and wants nothing else.
#[derive(Debug, Default)]
struct Ids(u64);

impl Observer for Ids {
    fn next_id(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
    fn released(&mut self, _: Token, _: &Verdict) {}
    fn hand_over(&mut self, _: u32, _: Datagram) {}
}

/// The packets of a burst, for the shard.
struct Given<'a> {
    burst: &'a [Descriptor],
    umem: &'a Umem,
    at: Time,
}

impl Arrivals for Given<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.burst.len()
    }

    #[inline(always)]
    fn arrival(&self, place: usize) -> Arrival<'_> {
        arrival(self.umem.bytes(&self.burst[place]), self.at)
    }
}

/// A burst, when it came, and what the shard knows of it.
struct UnderWay {
    burst: Vec<Descriptor>,
    at: Time,
    read: Box<shard::Burst>,
}

impl UnderWay {
    /// None.
    fn nothing() -> UnderWay {
        UnderWay { burst: Vec::with_capacity(BURST), at: Time::default(), read: Box::default() }
    }
}

/// A worker as far as it matters here.
struct Worker {
    number: usize,
    shard: Shard,
    ids: Ids,
    umem: Umem,
    free: Vec<Frame>,
    /// What has just come in; empty between two uses.
    next: UnderWay,
    /// What the shard has read and not judged yet.
    unjudged: UnderWay,
    /// Segments of its own connections, and of the other worker's.
    segments: [Vec<Segment>; 2],
    segment: usize,
    clock: SystemClock,
    judged: u64,
    handed_over: u64,
}

impl Worker {
    /// Has the shard read the burst that has come in, which is judged after the one before it.
    fn process(&mut self, at: Time) {
        self.next.at = at;
        let UnderWay { burst, read, .. } = &mut self.next;
        self.shard.read(read, &Given { burst, umem: &self.umem, at });
        self.judge_last(at);
        self.shard.locate(&mut self.next.read);
        std::mem::swap(&mut self.next, &mut self.unjudged);
    }

    /// Has the shard judge what it has read; the frames are free again.
    fn judge_last(&mut self, now: Time) {
        let Worker { shard, ids, umem, unjudged, free, judged, .. } = self;
        let UnderWay { burst, at, read } = unjudged;
        let mut verdicts = [Verdict::HELD; BURST];
        shard.judge(read, &Given { burst, umem, at: *at }, now.tick(), &mut verdicts, ids);
        let is_right =
            |verdict: &Verdict| verdict.class == Class::Established && verdict.action == Action::Accept;
        assert!(verdicts[..burst.len()].iter().all(is_right), "every packet belongs to this shard");
        *judged += burst.len() as u64;
        free.extend(burst.drain(..).map(Descriptor::frame));
    }

    /// A burst comes in.
    fn receive(&mut self, way: Way) {
        for place in 0..BURST.min(self.free.len()) {
            let Some(mut frame) = self.free.pop() else { break };
            let segments = &self.segments[usize::from(place % 2 < way.foreign)];
            let segment = &segments[self.segment % FLOWS];
            self.segment = self.segment.wrapping_add(1 + place);
            self.umem.whole_frame_mut(&mut frame)[OFFSET..OFFSET + LENGTH].copy_from_slice(segment);
            self.next.burst.extend(Descriptor::new(frame, OFFSET, LENGTH));
        }
    }

    /// Gives the other worker what belongs to it.
    fn hand_over(&mut self, exchange: &Exchange<Descriptor>) {
        let Worker { umem, next: UnderWay { burst, .. }, free, number, handed_over, .. } = self;
        let to = (*number, 1 - *number);
        let owners: ArrayVec<usize, BURST> =
            burst.iter().map(|descriptor| owner(umem.bytes(descriptor))).collect();
        if owners.iter().all(|owner| owner == number) {
            return;
        }
        let mut kept: ArrayVec<Descriptor, BURST> = ArrayVec::new();
        for (descriptor, owner) in burst.drain(..).zip(owners) {
            if owner == *number {
                kept.push(descriptor);
            } else if exchange.has_room(to, 1) {
                *handed_over += 1;
                // There was room.
                let _ = exchange.send(to, descriptor);
            } else {
                free.push(descriptor.frame());
            }
        }
        burst.extend(kept);
    }

    /// A turn, as the worker of `lastack run` has it.
    fn turn(&mut self, way: Way, exchange: &Exchange<Descriptor>) {
        let now = self.clock.now();
        let mut found = 0;
        if way.foreign == 0 || exchange.has_room((self.number, 1 - self.number), BURST) {
            self.receive(way);
            found += self.next.burst.len();
            if way.asks {
                self.hand_over(exchange);
            }
            self.process(now);
        }
        if way.asks {
            let from = 1 - self.number;
            let burst = &mut self.next.burst;
            while burst.len() < BURST
                && let Some(descriptor) = exchange.receive(from, self.number)
            {
                burst.push(descriptor);
            }
            found += burst.len();
            if !burst.is_empty() {
                self.process(now);
            }
        }
        self.shard.poll(now.tick(), POLL_BUDGET, &mut self.ids);
        if found == 0 {
            self.judge_last(now);
            // The other one has lost its core: its work is no part of this one's.
            thread::sleep(Duration::from_micros(50));
        }
    }
}

fn arrival(bytes: &[u8], at: Time) -> Arrival<'_> {
    let frame = wire::Frame::whole(bytes, Link::Ethernet);
    Arrival { frame, zone: 0, admission: Admission::ANY, at, token: Token(0) }
}

/// Whose connection a packet belongs to, of two workers.
fn owner(bytes: &[u8]) -> usize {
    steering_of_frame(&wire::Frame::whole(bytes, Link::Ethernet), 0).0 as usize % 2
}

/// The segments of connection `number`: its handshake, and then one that changes nothing.
fn segments(number: u32) -> [Segment; 4] {
    let [_, a, b, c] = number.to_be_bytes();
    let (client, server) = ([10, a, b, c], [192, 168, 0, 1]);
    let syn_ack = Flags::SYN.with(Flags::ACK);
    let there = |flags, seq, ack| {
        let tcp = Tcp { flags, seq: Seq(seq), ack: Seq(ack), ..Tcp::new(1024, 443) };
        Builder::v4(client, server).tcp(&tcp, &[])
    };
    let back = Tcp { flags: syn_ack, seq: Seq(100), ack: Seq(101), ..Tcp::new(443, 1024) };
    [
        there(Flags::SYN, 100, 0),
        Builder::v4(server, client).tcp(&back, &[]),
        there(Flags::ACK, 101, 101),
        there(Flags::ACK, 101, 101),
    ]
    .map(|frame| frame.try_into().expect("a bare segment has 54 bytes"))
}

/// Two workers with their connections open.
fn workers() -> Result<[Worker; 2], Box<dyn std::error::Error>> {
    let options = UmemOptions { frames: 2 * FRAMES, frame_size: 2048, ..UmemOptions::default() };
    let (umem, mut frames) = Umem::new(&options)?;
    let clock = SystemClock::new();
    let mut made = Vec::new();
    for (number, (layout, settings)) in Config::default().split(2)?.into_iter().enumerate() {
        made.push(Worker {
            number,
            shard: Shard::new(layout, HashKeys::random()?, settings, clock.now().tick())?,
            ids: Ids::default(),
            umem: umem.clone(),
            free: frames.by_ref().take(FRAMES as usize).collect(),
            next: UnderWay::nothing(),
            unjudged: UnderWay::nothing(),
            segments: [Vec::new(), Vec::new()],
            segment: 0,
            clock: clock.clone(),
            judged: 0,
            handed_over: 0,
        });
    }
    let mut both: [Worker; 2] = made.try_into().map_err(|_| "two shards")?;
    let mut number = 0;
    while both.iter().any(|worker| worker.segments[0].len() < FLOWS) {
        let [syn, syn_ack, ack, plain] = segments(number);
        number += 1;
        let owner = owner(&plain);
        if both[owner].segments[0].len() == FLOWS {
            continue;
        }
        both[owner].segments[0].push(plain);
        both[1 - owner].segments[1].push(plain);
        let Worker { shard, ids, clock, .. } = &mut both[owner];
        let now = clock.now();
        for segment in [syn, syn_ack, ack] {
            let mut verdict = [Verdict::HELD];
            shard.process(&[arrival(&segment, now)], now.tick(), &mut verdict, ids);
            assert_eq!(verdict[0].action, Action::Accept, "the handshake of connection {number}");
        }
    }
    Ok(both)
}

/// What a round took: nanoseconds of a core for each packet, and the share of packets that were handed over.
fn round(workers: &mut [Worker; 2], way: Way, packets: u64, cores: &[usize]) -> (f64, f64) {
    let exchange = Exchange::new(2);
    let (start, is_over) = (Barrier::new(way.workers), AtomicBool::new(false));
    let work = |worker: &mut Worker, core: usize| {
        pin(core);
        (worker.judged, worker.handed_over) = (0, 0);
        start.wait();
        let begun = at_work();
        while worker.judged < packets && !is_over.load(Relaxed) {
            worker.turn(way, &exchange);
        }
        worker.judge_last(worker.clock.now());
        is_over.store(true, Relaxed);
        (at_work() - begun, worker.judged, worker.handed_over)
    };
    let work = &work;
    let done: Vec<_> = thread::scope(|scope| {
        let used = workers[..way.workers].iter_mut().zip(cores);
        let threads: Vec<_> = used.map(|(worker, &core)| scope.spawn(move || work(worker, core))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker does not panic")).collect()
    });
    // What is still in the rings goes home; and frames that moved from one to the other.
    for (to, worker) in workers.iter_mut().enumerate() {
        let left = std::iter::from_fn(|| exchange.receive(1 - to, to));
        worker.free.extend(left.map(Descriptor::frame));
    }
    let [one, other] = workers;
    while one.free.len() != other.free.len() {
        let (more, less) = if one.free.len() > other.free.len() {
            (&mut *one, &mut *other)
        } else {
            (&mut *other, &mut *one)
        };
        less.free.extend(more.free.pop());
    }
    let sum = |value: fn(&(f64, u64, u64)) -> f64| done.iter().map(value).sum::<f64>();
    (sum(|part| part.0) / sum(|part| part.1 as f64), sum(|part| part.2 as f64) / sum(|part| part.1 as f64))
}

fn main() -> ExitCode {
    let cores = cores();
    if cores.len() < 2 {
        println!("skipped: handing over takes two cores, and this process may run on {}", cores.len());
        return ExitCode::SUCCESS;
    }
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    let is_json = has("--json");
    let (rounds, packets) = if has("--quick") { (1, PACKETS / QUICK) } else { (ROUNDS, PACKETS) };
    let mut both = match workers() {
        Ok(both) => both,
        Err(error) => {
            eprintln!("handover: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut found = WAYS.map(|_| (Vec::new(), Vec::new()));
    // The first round warms up.
    for number in 0..=rounds {
        for (way, (costs, shares)) in WAYS.into_iter().zip(&mut found) {
            let (cost, share) = round(&mut both, way, packets, &cores);
            if number > 0 {
                costs.push(cost);
                shares.push(share);
            }
        }
    }
    if !is_json {
        println!("| way of a packet | handed over | ns of a core for each |\n|---|--:|--:|");
    }
    for (way, (costs, shares)) in WAYS.into_iter().zip(found) {
        let (cost, share) = (median(costs), median(shares));
        if is_json {
            println!(
                r#"{{"record":"handover","way":"{}","handed_over":{share:.3},"nanoseconds_per_packet":{cost:.1}}}"#,
                way.name
            );
        } else {
            println!("| {} | {:.0} % | {cost:.1} |", way.name, 100.0 * share);
        }
    }
    ExitCode::SUCCESS
}
