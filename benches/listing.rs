//! What it costs the packets that somebody lists every connection meanwhile, and whether what is listed is true.
//!
//! ```text
//!   core A   turn: epoch begins ─ burst of `established` ─ publish ─ epoch ends     with ─ without ─ with ─ …
//!                                  │ the table
//!   core B   Listing: slice, slice, slice … all of it, over and over                 at work ─ idle ─ at work ─ …
//! ```
//!
//! `cargo bench --bench listing [-- [--flows N] [--quick] [--json]]`; N is 4,000,000 by default. The worker's side is that of
//! `lastack run` (turns, numbers shown, events published), the reader's that of the control socket
//! ([`Listing`]), as fast as it can. Rates are per second that the worker's thread was at work, so that another program
//! that takes its core for a while is no part of them. Every record is held against what is always true of a connection of the
//! workload, and every listing that comes to its end against the number of connections: a torn or a missing one ends
//! the program with status 1.

#![allow(missing_docs, reason = "a benchmark")]

mod on_cores;

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use lastack::bench::{Rig, Workload};
use lastack::config::Config;
use lastack::shard::{BURST, Census, Counters, Record};
use lastack::tcp::State;
use lastack::time::{Span, SystemClock, Tick, Time};
use lastack::view::events::{self, Writer};
use lastack::view::listing::{Listing, Step};
use lastack::view::{Report, View};

use on_cores::{at_work, cores, median, pin};

const FLOWS: u32 = 4_000_000;
/// Pairs of a round without a listing and one with.
const PAIRS: usize = 7;
/// How long a round is at least.
const ROUND: Duration = Duration::from_secs(2);
/// The IP length of every segment of the workload.
const LENGTH: u64 = 40;

/// The worker's side: a shard under load, and what it shows.
struct Worker {
    rig: Rig,
    view: Arc<View>,
    events: Writer,
    report: Report,
    shown: Tick,
    /// The longest time from a burst's sending to its last verdict, in nanoseconds.
    longest: u64,
}

impl Worker {
    fn new(flows: u32) -> Result<Worker, Box<dyn std::error::Error>> {
        let rig = Rig::new(Workload::Established, flows, &Config::default())?;
        let (events, log) = events::ring();
        let report = Report {
            counters: Counters::ZERO,
            census: Census::ZERO,
            work: Default::default(),
            frames: Default::default(),
            sockets: Vec::new(),
        };
        let poll = mio::Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0))?);
        let view = View::new(0, None, Vec::new(), rig.reader(), log, report.clone(), waker);
        Ok(Worker { rig, view: Arc::new(view), events, report, shown: Tick::new(0), longest: 0 })
    }

    /// A turn, as the worker of `lastack run` has it.
    fn turn(&mut self, now: Time) -> Result<(), lastack::bench::Error> {
        self.view.epoch.begin();
        // The workload changes no states, so nothing is written for whoever listens.
        std::hint::black_box(self.events.is_wanted());
        self.rig.burst(now)?;
        self.events.publish(self.rig.sequence());
        if self.shown != now.tick() {
            self.shown = now.tick();
            self.report.counters.clone_from(self.rig.counters());
            self.view.show(&self.report);
        }
        self.view.epoch.end();
        Ok(())
    }

    /// Packets per second of the thread's work over a round.
    fn round(&mut self) -> Result<f64, lastack::bench::Error> {
        let begun = self.rig.now();
        let working = at_work();
        let (mut sent, mut now, mut bursts) = (begun, begun, 0_u64);
        while now.nanoseconds() - begun.nanoseconds() < ROUND.as_nanos() as u64 {
            self.turn(now)?;
            let after = self.rig.now();
            self.longest = self.longest.max(after.nanoseconds() - sent.nanoseconds());
            (sent, now) = (now, after);
            bursts += 1;
        }
        self.rig.settle()?;
        self.longest = self.longest.max(self.rig.now().nanoseconds() - sent.nanoseconds());
        Ok((bursts * BURST as u64) as f64 * 1e9 / (at_work() - working))
    }
}

/// What both sides share.
struct Shared {
    view: Arc<View>,
    flows: u32,
    timeout: Span,
    is_listing: AtomicBool,
    is_over: AtomicBool,
    /// Records and whole listings so far.
    records: AtomicU64,
    listings: AtomicU64,
    /// By how much the latest deadline is later than the packet that moved it says, in milliseconds.
    late: AtomicU64,
}

/// The reader's side: lists whenever it should, until it is over.
fn list(shared: &Shared, clock: &SystemClock) -> Result<(), String> {
    let mut seen = vec![false; shared.flows as usize];
    while !shared.is_over.load(Relaxed) {
        if shared.is_listing.load(Relaxed) {
            list_once(shared, clock, &mut seen)?;
        } else {
            thread::park_timeout(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// One listing, given up where it is no longer asked for.
fn list_once(shared: &Shared, clock: &SystemClock, seen: &mut [bool]) -> Result<(), String> {
    seen.fill(false);
    let mut listing = Listing::new(Arc::clone(&shared.view));
    let mut found = 0_u64;
    let mut told = 0;
    // An instant is asked for now and then, as the control socket does for each piece that it sends.
    let mut latest = clock.now();
    loop {
        match listing.step(latest) {
            Step::Found(_, record) => {
                shared.late.fetch_max(check(&record, shared.timeout)?, Relaxed);
                let number = (record.id as usize).wrapping_sub(1);
                match seen.get_mut(number) {
                    Some(seen) if !*seen => *seen = true,
                    Some(_) | None => return Err(format!("told twice, or there is no such: {record:?}")),
                }
                found += 1;
            }
            Step::Going | Step::Waiting => std::hint::spin_loop(),
            Step::Done => break,
        }
        if found.is_multiple_of(1024) && found > told {
            shared.records.fetch_add(found - told, Relaxed);
            told = found;
            latest = clock.now();
            if !shared.is_listing.load(Relaxed) {
                return Ok(());
            }
        }
    }
    shared.records.fetch_add(found - told, Relaxed);
    shared.listings.fetch_add(1, Relaxed);
    if found != u64::from(shared.flows) || listing.missed().is_some() {
        return Err(format!("a listing has {found} of {} connections", shared.flows));
    }
    Ok(())
}

/// What is always true of a connection of the workload: words of both its lines, written by one packet, fit together.
/// Returns by how many milliseconds the deadline is later than the packet's stamp says: it was judged so much after it came.
fn check(record: &Record, timeout: Span) -> Result<u64, String> {
    let number = (record.id as u32).wrapping_sub(1);
    let originator = IpAddr::from(Ipv4Addr::from(0x0a00_0000_u32.wrapping_add(number)));
    let earliest = record.last_seen.tick().after(timeout);
    let is_true = [
        record.originator == (originator, 1024 + (number % 60_000) as u16),
        record.responder.1 == 443,
        record.states == Some([State::Established; 2]),
        record.bytes == record.packets.map(|packets| LENGTH * packets),
        record.packets[0] >= 2 && record.packets[1] >= 1,
        earliest.has_passed(record.deadline),
        record.started <= record.last_seen,
    ];
    if is_true.contains(&false) {
        return Err(format!("{is_true:?} of {record:?}"));
    }
    Ok(u64::from(record.deadline.since(earliest).milliseconds()))
}

/// Rates of rounds without and with a listing, and records per second of the latter.
fn measure(
    worker: &mut Worker,
    shared: &Shared,
    pairs: usize,
    lister: &thread::Thread,
) -> Result<[Vec<f64>; 3], String> {
    let mut found = [const { Vec::new() }; 3];
    // The first pair warms up.
    for number in 0..=pairs {
        let without = worker.round().map_err(|error| error.to_string())?;
        shared.is_listing.store(true, Relaxed);
        lister.unpark();
        let (records, begun) = (shared.records.load(Relaxed), Instant::now());
        let with = worker.round().map_err(|error| error.to_string())?;
        let listed = (shared.records.load(Relaxed) - records) as f64 / begun.elapsed().as_secs_f64();
        shared.is_listing.store(false, Relaxed);
        // So that it has stopped when the next round begins.
        thread::sleep(Duration::from_millis(100));
        if number > 0 {
            for (values, value) in found.iter_mut().zip([without, with, listed]) {
                values.push(value);
            }
        }
    }
    Ok(found)
}

fn run(flows: u32, pairs: usize, is_json: bool, cores: [usize; 2]) -> Result<(), String> {
    pin(cores[0]);
    let config = Config::default();
    let mut worker = Worker::new(flows).map_err(|error| error.to_string())?;
    let shared = Shared {
        view: Arc::clone(&worker.view),
        flows,
        timeout: config.tcp.timeouts.established,
        is_listing: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        records: AtomicU64::new(0),
        listings: AtomicU64::new(0),
        late: AtomicU64::new(0),
    };
    let clock = SystemClock::new();
    let (found, listed) = thread::scope(|scope| {
        let lister = scope.spawn(|| {
            pin(cores[1]);
            list(&shared, &clock)
        });
        let found = measure(&mut worker, &shared, pairs, lister.thread());
        shared.is_over.store(true, Relaxed);
        lister.thread().unpark();
        (found, lister.join().expect("the reader does not panic"))
    });
    listed?;
    // Of two packets' words together they would be as far apart as the packets were: a tenth of a second.
    let (late, longest) = (shared.late.load(Relaxed), worker.longest.div_ceil(1_000_000));
    if late > longest {
        return Err(format!("a deadline is {late} ms late, and no burst took more than {longest} ms"));
    }
    let [without, with, records] = found?;
    let ratio = median(without.iter().zip(&with).map(|(without, with)| with / without).collect());
    let (without, with, records) = (median(without), median(with), median(records));
    let listings = shared.listings.load(Relaxed);
    if is_json {
        println!(
            r#"{{"record":"listing","flows":{flows},"ratio":{ratio:.4},"without":{without:.0},"with":{with:.0},"records_per_second":{records:.0},"listings":{listings}}}"#
        );
    } else {
        println!(
            "| connections | M packets/s alone | while they are listed | ratio | M records/s |\n|--:|--:|--:|--:|--:|"
        );
        println!(
            "| {flows} | {:.1} | {:.1} | {ratio:.3} | {:.1} |",
            without / 1e6,
            with / 1e6,
            records / 1e6
        );
        println!("\nEvery record of {listings} whole listings, and of those begun, was consistent.");
    }
    Ok(())
}

fn main() -> ExitCode {
    let cores = cores();
    let [first, second, ..] = cores[..] else {
        println!(
            "skipped: a listing beside packets takes two cores, and this process may run on {}",
            cores.len()
        );
        return ExitCode::SUCCESS;
    };
    let arguments: Vec<String> = std::env::args().collect();
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    let pairs = if has("--quick") { 1 } else { PAIRS };
    let flows = arguments.iter().position(|argument| argument == "--flows").map_or(Ok(FLOWS), |at| {
        arguments.get(at + 1).map_or(Err("no number"), |number| number.parse().map_err(|_| "not a number"))
    });
    let result =
        flows.map_err(str::to_owned).and_then(|flows| run(flows, pairs, has("--json"), [first, second]));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("listing: {error}");
            ExitCode::FAILURE
        }
    }
}
