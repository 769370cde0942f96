//! What a measurement found, as a line of a table or of JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::Workload;

/// The result of one measurement.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was timed.
    pub workload: Workload,
    /// Connections in the table.
    pub flows: u32,
    /// Shards that shared the work.
    pub shards: u32,
    /// Packets timed.
    pub packets: u64,
    /// How long they took.
    pub seconds: f64,
    /// Memory held for tables and timers, over the number of connections.
    pub bytes_per_connection: f64,
    /// How long bursts took.
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
    pub(super) fn of(mut durations: Vec<u32>) -> Percentiles {
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
    shards: u32,
    packets: u64,
    packets_per_second: f64,
    nanoseconds_per_packet: f64,
    connections_per_second: Option<f64>,
    bytes_per_connection: f64,
    burst_nanoseconds: Percentiles,
}

impl Report {
    /// Packets per second.
    pub fn rate(&self) -> f64 {
        self.packets as f64 / self.seconds
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
            shards: self.shards,
            packets: self.packets,
            packets_per_second: self.rate(),
            nanoseconds_per_packet: 1e9 / self.rate(),
            connections_per_second: None,
            bytes_per_connection: self.bytes_per_connection,
            burst_nanoseconds: self.burst_nanoseconds,
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)
    }

    /// Writes a line for a person.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let burst = self.burst_nanoseconds;
        writeln!(
            out,
            "{:<12} {:>10} connections  {:>6.1} M packets/s  {:>6.1} ns/packet  {:>5.1} bytes/connection  \
             burst of 32: {} ns median, {} p99, {} p99.99, {} max",
            self.workload.name(),
            self.flows,
            self.rate() / 1e6,
            1e9 / self.rate(),
            self.bytes_per_connection,
            burst.p50,
            burst.p99,
            burst.p9999,
            burst.max
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_durations() {
        let found = Percentiles::of((1..=10_000).rev().collect());
        assert_eq!((found.p50, found.p99, found.p9999, found.max), (5_000, 9_900, 9_999, 10_000));
        assert_eq!(Percentiles::of(Vec::new()).max, 0);
    }
}
