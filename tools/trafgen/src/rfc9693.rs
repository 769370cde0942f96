//! `trafgen rfc9693`: the measurements of RFC 9693, one after the other.
//!
//! ```text
//!   opened/s     search: open N connections at a rate; all there? validate: the server reaches each of them   4.5, 4.6
//!   capacity     search: open C connections at half that rate, validate                                        4.9
//!   throughput   open N, then search the rate at which data over them is not lost; latency at half of it        4.7
//!   ended/s      FINs for all; or the command that empties the table, timed                                     4.8
//! ```
//!
//! Each trial opens connections that the middlebox has not seen for a while: the next block of numbers. Before the
//! next trial they are ended, by the command or by an RST for each, so that only this trial's are in the
//! table.

use std::num::NonZeroU64;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::Failure;
use crate::arguments::Procedure;
use crate::frame::Protocol;
use crate::histogram::Percentiles;
use crate::pace::Rate;
use crate::phase::{self, Batch, BatchReport, Block, Direction, Traffic, TrafficReport, Work};
use crate::report::{self, Output, quantity};
use crate::search::{Search, Start};
use crate::setup::Rig;

/// The lowest rate that is tried.
const LEAST_RATE: u64 = 1000;
/// How many blocks there are before the first is used again.
const BLOCKS: u32 = 4;
/// RSTs each second, at most: they are not to be lost.
const CLEARING_RATE: u64 = 50_000;
/// What the last answer may take beside that, in seconds.
const ROUND_TRIP: f64 = 0.01;
/// Questions without an answer while connections are closed as fast as can be.
const WINDOW: u32 = 512;

/// A trial of a rate or a number.
#[derive(Debug, Serialize)]
struct Trial {
    measurement: &'static str,
    value: u64,
    succeeded: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Found {
    connections: u32,
    opened_per_second: Option<u64>,
    capacity: Option<u64>,
    /// Frames a second without loss, both directions together.
    frames_per_second: Option<u64>,
    /// At half of that, by direction.
    latency: [Option<Percentiles>; 2],
    closed_per_second: Option<f64>,
    torn_down_per_second: Option<f64>,
}

pub(crate) fn run(arguments: &Procedure) -> Result<(), Failure> {
    let output = Output::new(arguments.ends.json);
    let largest = arguments.connections.max(arguments.capacity.unwrap_or(0));
    let numbers =
        largest.checked_mul(BLOCKS).ok_or("--connections and --capacity: so many cannot be numbered")?;
    let rig = Rig::open(&arguments.ends, numbers)?;
    let mut bench = Bench { rig, arguments, output: &output, next: 0, open: None };
    let result = bench.measure();
    output.finish();
    let found = result?;
    output.write("rfc9693", &found, || text(&found))
}

/// A run of the procedure.
struct Bench<'a> {
    rig: Rig,
    arguments: &'a Procedure,
    output: &'a Output,
    /// The first number that was not used in this round.
    next: u32,
    /// What is in the middlebox's table.
    open: Option<Block>,
}

impl Bench<'_> {
    fn measure(&mut self) -> Result<Found, Failure> {
        let connections = self.arguments.connections;
        let opened =
            self.search("connections opened/s", LEAST_RATE, self.arguments.most_rate, Start::Most, {
                |bench, rate| bench.is_opened(connections, rate, rate)
            })?;
        let mut found = Found { connections, opened_per_second: opened, ..Found::default() };
        let Some(opened) = opened else { return Ok(found) };
        let safe = (opened / 2).max(1);
        if let Some(most) = self.arguments.capacity {
            let most = u64::from(most);
            let trial = |bench: &mut Self, count| bench.is_opened(count as u32, safe, safe);
            found.capacity = self.search("capacity", 1000.min(most), most, Start::Least, trial)?;
        }
        let block = self.begin(connections)?;
        self.batch(Work::Open, block, per_second(safe))?;
        let tolerance = self.arguments.tolerance;
        let most = self.arguments.most_rate;
        found.frames_per_second =
            self.search("frames/s", 2 * LEAST_RATE, most, Start::Most, |bench, rate| {
                let report = bench.traffic(block, rate / 2)?;
                // A rate that the generator itself cannot offer is no result either.
                let offered: f64 = [&report.original, &report.reply]
                    .into_iter()
                    .flatten()
                    .map(|flow| flow.offered_per_second)
                    .sum();
                Ok(report.loss <= tolerance && offered * (1.0 + bench.arguments.late) >= rate as f64)
            })?;
        if let Some(rate) = found.frames_per_second {
            let report = self.traffic(block, rate / 4)?;
            found.latency = [report.original, report.reply].map(|flow| flow.and_then(|flow| flow.latency));
        }
        self.end(block, &mut found)?;
        Ok(found)
    }

    fn search(
        &mut self,
        measurement: &'static str,
        least: u64,
        most: u64,
        start: Start,
        trial: impl Fn(&mut Self, u64) -> Result<bool, Failure>,
    ) -> Result<Option<u64>, Failure> {
        let mut search = Search::new(least, most, start, self.arguments.resolution);
        while let Some(value) = search.next() {
            let succeeded = trial(self, value)?;
            search.tell(value, succeeded);
            let outcome = if succeeded { "succeeded" } else { "failed" };
            self.output.write("trial", &Trial { measurement, value, succeeded }, || {
                format!("trial: {measurement} {value}: {outcome}\n")
            })?;
        }
        Ok(search.found())
    }

    /// Opens so many connections at a rate, and has the server reach each of them at half the other.
    fn is_opened(&mut self, count: u32, rate: u64, validation: u64) -> Result<bool, Failure> {
        let block = self.begin(count)?;
        let opened = self.batch(Work::Open, block, per_second(rate))?;
        // What was not offered in time was not opened at that rate.
        let longest = f64::from(count) / rate as f64 * (1.0 + self.arguments.late) + ROUND_TRIP;
        let in_time = opened.seconds <= longest;
        if !opened.is_complete() || !in_time {
            return Ok(false);
        }
        Ok(self.batch(Work::Greet, block, per_second(validation / 2))?.is_complete())
    }

    /// A block of connections that are not in the table, which is empty.
    fn begin(&mut self, count: u32) -> Result<Block, Failure> {
        if let Some(open) = self.open.take() {
            if let Some(command) = &self.arguments.tear_down {
                tear_down(command)?;
            } else if self.is_tcp() {
                self.batch(Work::Abort, open, per_second(CLEARING_RATE))?;
            }
        }
        if self.next + count > self.rig.generator.connections() {
            self.next = 0;
        }
        let block = Block { first: self.next, count };
        self.rig.generator.forget(block.first, block.count);
        self.next += count;
        self.open = Some(block);
        Ok(block)
    }

    /// Ends a block that is open, in every way that there is.
    fn end(&mut self, block: Block, found: &mut Found) -> Result<(), Failure> {
        if let Some(command) = &self.arguments.tear_down {
            let start = self.rig.now();
            tear_down(command)?;
            let seconds = (self.rig.now() - start).max(1) as f64 / 1e9;
            found.torn_down_per_second = Some(f64::from(block.count) / seconds);
            if self.is_tcp() {
                self.rig.generator.forget(block.first, block.count);
                self.batch(Work::Open, block, Rate::Flat)?;
            }
        }
        if self.is_tcp() {
            let closed = self.batch(Work::Close, block, Rate::Flat)?;
            found.closed_per_second = Some(closed.per_second);
        }
        Ok(())
    }

    fn is_tcp(&self) -> bool {
        self.arguments.ends.protocol == Protocol::Tcp
    }

    fn batch(&mut self, work: Work, block: Block, rate: Rate) -> Result<BatchReport, Failure> {
        let (now, output) = (self.rig.now(), self.output);
        let (generator, wire, mut clock) = self.rig.parts();
        let batch = Batch::new(work, block, rate, WINDOW, generator, now);
        phase::run(batch, generator, wire, &mut clock, &mut |share| output.progress(work.name(), share))
    }

    fn traffic(&mut self, block: Block, rate: u64) -> Result<TrafficReport, Failure> {
        let (now, output) = (self.rig.now(), self.output);
        let duration = (self.arguments.seconds * 1e9) as u64;
        let (generator, wire, mut clock) = self.rig.parts();
        let traffic = Traffic::new(block, Direction::Both, per_second(rate), duration, generator, now);
        phase::run(traffic, generator, wire, &mut clock, &mut |share| output.progress("data", share))
    }
}

fn per_second(rate: u64) -> Rate {
    NonZeroU64::new(rate).map_or(Rate::Flat, Rate::PerSecond)
}

/// Runs the command that empties the table.
fn tear_down(command: &str) -> Result<(), Failure> {
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", command]).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("--tear-down: \"{command}\" failed ({}): {}", output.status, said.trim()).into())
}

fn text(found: &Found) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "not found".to_owned(), quantity);
    let whole = |value: Option<u64>| number(value.map(|value| value as f64));
    let mut lines = vec![
        format!("connections opened each second  {}", whole(found.opened_per_second)),
        format!("frames each second over {}  {}", found.connections, whole(found.frames_per_second)),
    ];
    if let Some(capacity) = found.capacity {
        lines.insert(1, format!("connections at the same time    {capacity}"));
    }
    for (name, latency) in ["to server", "to client"].into_iter().zip(&found.latency) {
        if let Some(latency) = latency {
            lines.push(format!("… at half of that, {name}  {}", report::durations(latency)));
        }
    }
    if let Some(closed) = found.closed_per_second {
        lines.push(format!("connections closed each second  {}", quantity(closed)));
    }
    if let Some(torn) = found.torn_down_per_second {
        lines.push(format!("… by the command                {}", quantity(torn)));
    }
    lines.join("\n") + "\n"
}
