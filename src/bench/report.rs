//! What a measurement found, as a line of a table or of JSON.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::plan::{Plan, Workload};
use super::rounds::Round;
use crate::shard::BURST;

/// The result of one measurement.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was timed.
    pub workload: Workload,
    /// Connections, of all shards together.
    pub flows: u32,
    /// Connections that there was room for, where it was not as many.
    pub capacity: Option<u32>,
    /// Shards that shared the work.
    pub shards: u32,
    /// Packets timed.
    pub packets: u64,
    /// Packets per second, of all shards together.
    pub rate: f64,
    /// Whole connections per second, where they are what was timed.
    pub connections: Option<f64>,
    /// Memory held for tables and timers in bytes, over the number of connections that they have room for.
    pub bytes_per_connection: f64,
    /// How long bursts took.
    pub burst_nanoseconds: Percentiles,
    /// The same traffic before, where that is what counts.
    pub baseline: Option<Baseline>,
}

/// What bursts are held against.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    /// Packets timed.
    pub packets: u64,
    /// How long their bursts took.
    pub burst_nanoseconds: Percentiles,
}

/// Durations of bursts in nanoseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Percentiles {
    /// Half of the bursts took at most this long.
    pub p50: u32,
    /// 99 of 100 did.
    pub p99: u32,
    /// 9,999 of 10,000 did.
    pub p9999: u32,
    /// All did.
    pub max: u32,
}

impl Percentiles {
    pub(super) fn of(durations: &[u32]) -> Percentiles {
        let mut durations = durations.to_vec();
        durations.sort_unstable();
        let at = |share: f64| {
            let place = (durations.len() as f64 * share).ceil() as usize;
            durations.get(place.saturating_sub(1)).copied().unwrap_or(0)
        };
        Percentiles { p50: at(0.5), p99: at(0.99), p9999: at(0.9999), max: at(1.0) }
    }
}

#[derive(Serialize)]
struct Line {
    record: &'static str,
    workload: &'static str,
    flows: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u32>,
    shards: u32,
    packets: u64,
    packets_per_second: f64,
    nanoseconds_per_packet: f64,
    connections_per_second: Option<f64>,
    bytes_per_connection: f64,
    burst_nanoseconds: Percentiles,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_burst_nanoseconds: Option<Percentiles>,
}

impl Report {
    pub(super) fn new(plan: &Plan, round: Round, bytes_per_connection: f64) -> Report {
        let timed = round.timed;
        Report {
            workload: plan.workload,
            flows: plan.flows,
            capacity: plan.capacity,
            shards: plan.shards,
            packets: timed.packets,
            rate: timed.rate,
            connections: timed.connections,
            bytes_per_connection,
            burst_nanoseconds: Percentiles::of(&timed.durations),
            baseline: round.baseline.map(|baseline| Baseline {
                packets: baseline.packets,
                burst_nanoseconds: Percentiles::of(&baseline.durations),
            }),
        }
    }

    /// Of how many bursts the percentiles are; of the fewer, where there are two kinds.
    pub fn fewest_bursts(&self) -> u64 {
        let packets = self.baseline.map_or(self.packets, |baseline| baseline.packets.min(self.packets));
        packets / BURST as u64
    }

    /// Writes the contract's JSON line.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let line = Line {
            record: "bench",
            workload: self.workload.name(),
            flows: self.flows,
            capacity: self.capacity,
            shards: self.shards,
            packets: self.packets,
            packets_per_second: self.rate,
            nanoseconds_per_packet: 1e9 / self.rate,
            connections_per_second: self.connections,
            bytes_per_connection: self.bytes_per_connection,
            burst_nanoseconds: self.burst_nanoseconds,
            baseline_burst_nanoseconds: self.baseline.map(|baseline| baseline.burst_nanoseconds),
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)
    }

    /// Writes a line for a person.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{:<12} {:>10} connections  ", self.workload.name(), self.flows)?;
        if let Some(capacity) = self.capacity {
            write!(out, "room for {capacity}  ")?;
        }
        if self.shards > 1 {
            write!(out, "{} shards  ", self.shards)?;
        }
        write!(
            out,
            "{:>6.1} M packets/s  {:>6.1} ns/packet  {:>5.1} bytes/connection  burst of 32: {}",
            self.rate / 1e6,
            1e9 / self.rate,
            self.bytes_per_connection,
            self.burst_nanoseconds
        )?;
        if let Some(baseline) = &self.baseline {
            write!(out, "; before: {}", baseline.burst_nanoseconds)?;
        }
        if let Some(connections) = self.connections {
            write!(out, "; {:.2} M whole connections/s", connections / 1e6)?;
        }
        writeln!(out)
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p99, p9999, max } = self;
        write!(f, "{p50} ns median, {p99} p99, {p9999} p99.99, {max} max")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_durations() {
        let found = Percentiles::of(&(1..=10_000).rev().collect::<Vec<_>>());
        assert_eq!((found.p50, found.p99, found.p9999, found.max), (5_000, 9_900, 9_999, 10_000));
        assert_eq!(Percentiles::of(&[]).max, 0);
    }
}
