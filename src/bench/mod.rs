//! `lastack bench`: what the engine does on this machine, without privilege.
//!
//! Frames are written into memory inside the timed loop, as a NIC would, and go through the whole engine as
//! `run` uses it: parse, checksums verified, hash, look up, track, timers, verdict, counters.
//!
//! ```text
//!   frames (4096 × 2 KiB) ◄── write 32 ── Shard::process ── write 32 ── Shard::process ── …
//!                             └────── one burst, timed ───┘
//! ```

mod frames;
mod report;

use std::fmt;
use std::io;

use clap::ValueEnum;

use crate::config::Config;
use crate::fragments::Token;
use crate::shard::{Action, Admission, Arrival, BURST, Class, Datagram, Observer, Settings, Shard, Verdict};
use crate::table::HashKeys;
use crate::time::{SystemClock, Tick, Time};
use crate::wire::{Flags, Frame, Link};
use frames::{Flow, Frames, Random, Step};
pub use report::{Percentiles, Report};

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Bare ACKs of uniformly random connections, directions alternating, IPv4
    Established,
}

impl Workload {
    /// Every workload.
    pub const ALL: [Workload; 1] = [Workload::Established];

    /// The name in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Established => "established",
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What is timed.
    pub workload: Workload,
    /// With how many connections in the table; it is also the table's capacity.
    pub flows: u32,
    /// How many packets a round times; rounded down to whole bursts.
    pub packets: u64,
}

/// Why a measurement failed.
#[derive(Debug)]
pub enum Error {
    /// Memory or randomness.
    System(io::Error),
    /// The table cannot have that capacity.
    Capacity(crate::table::LayoutError),
    /// The engine refused a packet that it must accept: a configuration that forbids the workload.
    Refused(Verdict),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::System(error) => write!(f, "bench: {error}"),
            Error::Capacity(error) => write!(f, "bench: {error}"),
            Error::Refused(verdict) => write!(
                f,
                "bench: a packet of the workload was not accepted ({}); the configuration forbids it",
                verdict.reason.map_or("no reason", |reason| reason.name())
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::System(error)
    }
}

/// Numbers connections and ignores everything else.
#[derive(Debug, Default)]
struct Numbers(u64);

impl Observer for Numbers {
    #[inline]
    fn next_id(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn released(&mut self, _token: Token, _verdict: &Verdict) {}

    fn hand_over(&mut self, _shard: u32, _datagram: Datagram) {}
}

/// A shard with its frames, ready to be timed; the criterion benches use it as well.
#[derive(Debug)]
pub struct Rig {
    shard: Shard,
    frames: Frames,
    random: Random,
    flows: u32,
    clock: SystemClock,
    ids: Numbers,
    verdicts: [Verdict; BURST],
}

impl Rig {
    /// A table of `flows` connections, each opened by a handshake through the engine.
    ///
    /// # Errors
    /// No memory, or a configuration that refuses the handshakes.
    pub fn new(flows: u32, config: &Config) -> Result<Rig, Error> {
        let layout = Shard::layout_for_connections(flows).map_err(Error::Capacity)?;
        let settings = Settings {
            checks: config.checks,
            tcp: config.tcp,
            flow: config.flow,
            fragments: config.fragments,
            sides: 1,
            shards: 1,
            number: 0,
        };
        let mut rig = Rig {
            shard: Shard::new(layout, HashKeys::random()?, settings, Tick::new(0))?,
            frames: Frames::new()?,
            random: Random::new(88_172_645_463_325_252),
            flows,
            clock: SystemClock::new(),
            ids: Numbers::default(),
            verdicts: [Verdict::HELD; BURST],
        };
        rig.open_all()?;
        Ok(rig)
    }

    /// Three segments for each connection, 32 connections at a time.
    fn open_all(&mut self) -> Result<(), Error> {
        let steps = [
            Step { flags: Flags::SYN, back: false, seq: 100, ack: 0 },
            Step { flags: Flags::SYN.with(Flags::ACK), back: true, seq: 100, ack: 101 },
            Step { flags: Flags::ACK, back: false, seq: 101, ack: 101 },
        ];
        for first in (0..self.flows).step_by(BURST) {
            let count = (self.flows - first).min(BURST as u32);
            for step in steps {
                self.frames.begin();
                for number in first..first + count {
                    self.frames.write(Flow(number), step);
                }
                self.send(self.clock.now());
                if let Some(refused) = self.refused(count as usize) {
                    return Err(Error::Refused(refused));
                }
            }
        }
        Ok(())
    }

    /// One burst of bare ACKs of random connections, written and processed. Returns how many were accepted
    /// as established.
    #[inline]
    pub fn established_burst(&mut self, now: Time) -> usize {
        self.frames.begin();
        for number in 0..BURST {
            let flow = Flow(self.random.below(self.flows));
            self.frames.write(flow, Step { flags: Flags::ACK, back: number % 2 == 1, seq: 101, ack: 101 });
        }
        self.send(now);
        self.verdicts.iter().filter(|verdict| verdict.class == Class::Established).count()
    }

    /// Sends the frames of the burst that was begun last through the shard.
    #[inline]
    fn send(&mut self, now: Time) {
        let tick = now.tick();
        self.shard.poll(tick, 64, &mut self.ids);
        let mut arrivals: arrayvec::ArrayVec<Arrival<'_>, BURST> = arrayvec::ArrayVec::new();
        for bytes in self.frames.burst() {
            let frame = Frame::whole(bytes, Link::Ethernet);
            arrivals.push(Arrival { frame, zone: 0, admission: Admission::ANY, at: now, token: Token(0) });
        }
        self.shard.process(&arrivals, tick, &mut self.verdicts, &mut self.ids);
    }

    /// The first of the newest `count` verdicts that is not an acceptance.
    fn refused(&self, count: usize) -> Option<Verdict> {
        self.verdicts.iter().take(count).find(|verdict| verdict.action != Action::Accept).copied()
    }

    /// The present instant of the rig's clock.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// All memory that the engine holds for its tables and timers, in bytes.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn memory(&self) -> io::Result<u64> {
        self.shard.table().resident_bytes()
    }
}

/// Carries out a plan.
///
/// # Errors
/// No memory, or a configuration under which the workload is not accepted.
pub fn run(plan: &Plan, config: &Config) -> Result<Report, Error> {
    match plan.workload {
        Workload::Established => established(plan, config),
    }
}

/// How often a measurement is repeated; the fastest counts, as in the reference programs. What else runs on
/// the machine can only make a round slower.
const ROUNDS: usize = 3;

fn established(plan: &Plan, config: &Config) -> Result<Report, Error> {
    let mut rig = Rig::new(plan.flows, config)?;
    let mut best = established_round(&mut rig, plan)?;
    for _ in 1..ROUNDS {
        let report = established_round(&mut rig, plan)?;
        if report.rate() > best.rate() {
            best = report;
        }
    }
    Ok(best)
}

fn established_round(rig: &mut Rig, plan: &Plan) -> Result<Report, Error> {
    let bursts = plan.packets / BURST as u64;
    let mut durations: Vec<u32> = Vec::with_capacity(usize::try_from(bursts).unwrap_or(0));
    let begun = rig.now();
    let mut before = begun;
    for _ in 0..bursts {
        if rig.established_burst(before) != BURST {
            let refused = rig.verdicts.iter().find(|verdict| verdict.class != Class::Established);
            return Err(Error::Refused(refused.copied().unwrap_or(Verdict::HELD)));
        }
        let after = rig.now();
        let nanoseconds = after.nanoseconds() - before.nanoseconds();
        durations.push(u32::try_from(nanoseconds).unwrap_or(u32::MAX));
        before = after;
    }
    let packets = bursts * BURST as u64;
    Ok(Report {
        workload: plan.workload,
        flows: plan.flows,
        shards: 1,
        packets,
        seconds: (before.nanoseconds() - begun.nanoseconds()) as f64 / 1e9,
        bytes_per_connection: rig.memory()? as f64 / f64::from(plan.flows),
        burst_nanoseconds: Percentiles::of(durations),
    })
}
