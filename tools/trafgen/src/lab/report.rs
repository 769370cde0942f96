//! Medians, and the tables of docs/performance.md.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::flood::Source;
use super::middle::Kind;
use super::{CALM_RATE, LIVELY_RATE};
use crate::Failure;

/// The first table's: the kernel, and Lastack.
const COMPARED: [Kind; 2] = [Kind::Tracking, Kind::Busy];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// The smallest packets that arrive in a second.
    Packets { source: Source, flows: u16 },
    /// Those that were offered.
    Offered { source: Source, flows: u16 },
    /// Nanoseconds of the middle's work for each packet that arrives.
    PerPacket { source: Source },
    /// The share of that which is spent in Lastack's own code.
    OwnShare { source: Source },
    /// Nanoseconds of both cores for each packet, the generator's own left out.
    BothCores,
    /// The share of the middle's core that is used at this rate of packets.
    Core { rate: u64 },
    /// Bytes a second over TCP.
    Tcp { connections: usize, offloads: bool },
    /// Microseconds there and back.
    RoundTrip { spaced: bool, percentile: u8 },
    /// Connections a second that real sockets open and close.
    Connections,
    /// Connections that the generator opens in a second.
    Opened,
    /// Connections that it closes in a second.
    Closed,
    /// Microseconds of the middle's work for each of these, opened and closed.
    PerConnection,
    /// Microseconds from end to end that so many of a thousand segments do not exceed, at this rate.
    OneWay { rate: u64, per_mille: u16 },
}

/// Values of all rounds.
pub(crate) struct Table {
    kinds: Vec<Kind>,
    values: BTreeMap<(Figure, Kind), Vec<f64>>,
}

impl Table {
    pub(crate) fn new(kinds: &[Kind]) -> Table {
        Table { kinds: kinds.to_vec(), values: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, kind: Kind, figure: Figure, value: f64) {
        self.values.entry((figure, kind)).or_default().push(value);
    }

    fn median(&self, figure: Figure, kind: Kind) -> Option<f64> {
        self.values.get(&(figure, kind)).and_then(|values| median(values))
    }

    /// The share of what was offered that did not arrive, the median over rounds.
    fn loss(&self, source: Source, flows: u16, kind: Kind) -> Option<f64> {
        let of = |figure| self.values.get(&(figure, kind));
        let (received, offered) =
            (of(Figure::Packets { source, flows })?, of(Figure::Offered { source, flows })?);
        let losses =
            received.iter().zip(offered).map(|(received, offered)| (1.0 - received / offered).max(0.0));
        median(&losses.collect::<Vec<_>>())
    }

    /// Whether anything was measured for it.
    fn has(&self, row: &Row) -> bool {
        self.kinds.iter().any(|&kind| self.values.contains_key(&(row.figure, kind)))
    }

    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        cell: impl Fn(Kind) -> Option<String>,
    ) -> fmt::Result {
        write!(f, "| {title} |")?;
        for &kind in &self.kinds {
            write!(f, " {} |", cell(kind).unwrap_or_else(|| "–".to_owned()))?;
        }
        writeln!(f)
    }

    fn figures(&self, f: &mut fmt::Formatter<'_>, figures: &[Row]) -> fmt::Result {
        for row in figures.iter().filter(|row| self.has(row)) {
            let cell = |kind| self.median(row.figure, kind).map(|value| row.unit.show(value));
            self.row(f, row.title, cell)?;
            if let Figure::Packets { source, flows } = row.figure {
                let offered = Figure::Offered { source, flows };
                let cell = |kind| self.median(offered, kind).map(|value| Unit::Millions.show(value));
                self.row(f, "… offered (M/s)", cell)?;
                let cell = |kind| self.loss(source, flows, kind).map(|loss| Unit::Percent.show(loss));
                self.row(f, "… of these, lost (%)", cell)?;
            }
        }
        Ok(())
    }

    /// Lastack beside the kernel, where more is better.
    fn ratios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let references = [Kind::Bridge, Kind::Tracking].into_iter().filter(|kind| self.kinds.contains(kind));
        for reference in references {
            writeln!(f, "\nAs multiples of *{}*:\n", reference.name())?;
            self.header(f, "")?;
            for row in ROWS.iter().filter(|row| row.is_speed() && self.has(row)) {
                let cell = |kind| {
                    let ratio = self.median(row.figure, kind)? / self.median(row.figure, reference)?;
                    Some(format!("{ratio:.2}"))
                };
                self.row(f, row.title.split(" (").next().unwrap_or(row.title), cell)?;
            }
        }
        Ok(())
    }

    fn header(&self, f: &mut fmt::Formatter<'_>, corner: &str) -> fmt::Result {
        self.row(f, corner, |kind| Some(kind.name().to_owned()))?;
        writeln!(f, "|---|{}", "--:|".repeat(self.kinds.len()))
    }
}

impl Table {
    /// Lastack beside the kernel's connection tracking, in the figures that say most.
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kernel, lastack] = COMPARED;
        if COMPARED.iter().any(|kind| !self.kinds.contains(kind)) {
            return Ok(());
        }
        writeln!(
            f,
            "| median of all rounds | {} | {} | ratio |\n|---|--:|--:|--:|",
            kernel.name(),
            lastack.name()
        )?;
        for row in ROWS.iter().filter(|row| row.in_summary) {
            let pair = (self.median(row.figure, kernel), self.median(row.figure, lastack));
            let (Some(kernel), Some(lastack)) = pair else { continue };
            let (before, after) = (row.unit.show(kernel), row.unit.show(lastack));
            writeln!(f, "| {} | {before} | {after} | {:.2} |", row.title, lastack / kernel)?;
        }
        writeln!(f)
    }

    /// Every figure with all its values.
    pub(crate) fn write_json(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        for ((figure, kind), values) in &self.values {
            let record = Record {
                record: "lab",
                middle: kind.word(),
                figure: figure.name(),
                median: median(values),
                values,
            };
            serde_json::to_writer(&mut out, &record)?;
            writeln!(out)?;
        }
        Ok(())
    }
}

/// A figure in JSON.
#[derive(Serialize)]
struct Record<'a> {
    record: &'static str,
    middle: &'static str,
    figure: String,
    median: Option<f64>,
    /// Of each round.
    values: &'a [f64],
}

impl Figure {
    /// What it is called in JSON; the unit stands at the end.
    fn name(self) -> String {
        let source = |source| match source {
            Source::Socket => "socket",
            Source::Frames => "frames",
        };
        match self {
            Figure::Packets { source: from, flows } => {
                format!("received_{}_{flows}_per_second", source(from))
            }
            Figure::Offered { source: from, flows } => format!("offered_{}_{flows}_per_second", source(from)),
            Figure::PerPacket { source: from } => format!("middle_core_per_packet_{}_ns", source(from)),
            Figure::OwnShare { source: from } => format!("own_code_{}_share", source(from)),
            Figure::BothCores => "both_cores_per_packet_ns".to_owned(),
            Figure::Core { rate } => format!("middle_core_at_{rate}_share"),
            Figure::Tcp { connections, offloads } => {
                format!("tcp_{connections}{}_bytes_per_second", if offloads { "_offloads" } else { "" })
            }
            Figure::RoundTrip { spaced, percentile } => {
                format!("round_trip{}_p{percentile}_us", if spaced { "_spaced" } else { "" })
            }
            Figure::Connections => "socket_connections_per_second".to_owned(),
            Figure::Opened => "opened_per_second".to_owned(),
            Figure::Closed => "closed_per_second".to_owned(),
            Figure::PerConnection => "middle_core_per_connection_us".to_owned(),
            Figure::OneWay { rate, per_mille } => format!("one_way_at_{rate}_{per_mille}_of_1000_us"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary(f)?;
        self.header(f, "median of all rounds")?;
        self.figures(f, &ROWS)?;
        self.ratios(f)
    }
}

/// A line of the table.
struct Row {
    figure: Figure,
    title: &'static str,
    unit: Unit,
    in_summary: bool,
}

impl Row {
    const fn new(figure: Figure, title: &'static str, unit: Unit) -> Row {
        Row { figure, title, unit, in_summary: false }
    }

    /// One that the first table has as well.
    const fn main(figure: Figure, title: &'static str, unit: Unit) -> Row {
        Row { figure, title, unit, in_summary: true }
    }

    /// Whether more is better.
    fn is_speed(&self) -> bool {
        match self.figure {
            Figure::Packets { .. }
            | Figure::Tcp { .. }
            | Figure::Connections
            | Figure::Opened
            | Figure::Closed => true,
            Figure::Offered { .. }
            | Figure::PerPacket { .. }
            | Figure::OwnShare { .. }
            | Figure::BothCores
            | Figure::Core { .. }
            | Figure::PerConnection
            | Figure::OneWay { .. }
            | Figure::RoundTrip { .. } => false,
        }
    }
}

const AT_WORK: &str = "… core 1 at work for each that arrives (ns)";
const OWN: &str = "… of that, in Lastack's own code (%)";

const ROWS: [Row; 28] = [
    Row::new(
        Figure::Packets { source: Source::Socket, flows: 1 },
        "64-byte packets from a socket, 1 flow (M/s)",
        Unit::Millions,
    ),
    Row::main(
        Figure::Packets { source: Source::Socket, flows: 1000 },
        "64-byte packets from a socket, 1000 flows (M/s)",
        Unit::Millions,
    ),
    Row::main(Figure::PerPacket { source: Source::Socket }, AT_WORK, Unit::Whole),
    Row::new(Figure::OwnShare { source: Source::Socket }, OWN, Unit::Percent),
    Row::new(
        Figure::Packets { source: Source::Frames, flows: 1000 },
        "64-byte packets from XDP, 1000 flows (M/s)",
        Unit::Millions,
    ),
    Row::new(Figure::PerPacket { source: Source::Frames }, AT_WORK, Unit::Whole),
    Row::new(Figure::OwnShare { source: Source::Frames }, OWN, Unit::Percent),
    Row::main(Figure::BothCores, "both cores for each of 200,000 packets/s (ns)", Unit::Whole),
    Row::new(Figure::Core { rate: CALM_RATE }, "core 1 at 10,000 packets/s (%)", Unit::Percent),
    Row::new(Figure::Core { rate: 0 }, "core 1 at rest (%)", Unit::Percent),
    Row::new(
        Figure::Tcp { connections: 1, offloads: false },
        "TCP, 1 connection, offloads off (Gbit/s)",
        Unit::Gigabits,
    ),
    Row::new(
        Figure::Tcp { connections: 8, offloads: false },
        "TCP, 8 connections, offloads off (Gbit/s)",
        Unit::Gigabits,
    ),
    Row::new(
        Figure::Tcp { connections: 1, offloads: true },
        "TCP, 1 connection, offloads on (Gbit/s)",
        Unit::Gigabits,
    ),
    Row::new(
        Figure::Tcp { connections: 8, offloads: true },
        "TCP, 8 connections, offloads on (Gbit/s)",
        Unit::Gigabits,
    ),
    Row::main(Figure::Opened, "connections opened (1/s)", Unit::Whole),
    Row::main(Figure::Closed, "connections closed (1/s)", Unit::Whole),
    Row::main(Figure::PerConnection, "… core 1 at work for each, opened and closed (µs)", Unit::Tenths),
    one_way(CALM_RATE, 500, "one way at 10,000 packets/s, median (µs)"),
    one_way(CALM_RATE, 990, "… 99 of 100 are no slower than (µs)"),
    one_way(CALM_RATE, 999, "… 999 of 1000 are no slower than (µs)"),
    one_way(LIVELY_RATE, 500, "one way at 100,000 packets/s, median (µs)"),
    one_way(LIVELY_RATE, 990, "… 99 of 100 are no slower than (µs)"),
    one_way(LIVELY_RATE, 999, "… 999 of 1000 are no slower than (µs)"),
    Row::new(Figure::Connections, "connections of real sockets, opened and closed (1/s)", Unit::Whole),
    Row::new(
        Figure::RoundTrip { spaced: false, percentile: 50 },
        "UDP round trip, one after the other, median (µs)",
        Unit::Tenths,
    ),
    Row::new(
        Figure::RoundTrip { spaced: false, percentile: 99 },
        "… 99 of 100 are no slower than (µs)",
        Unit::Tenths,
    ),
    Row::new(
        Figure::RoundTrip { spaced: true, percentile: 50 },
        "UDP round trip, one each millisecond, median (µs)",
        Unit::Tenths,
    ),
    Row::new(
        Figure::RoundTrip { spaced: true, percentile: 99 },
        "… 99 of 100 are no slower than (µs)",
        Unit::Tenths,
    ),
];

const fn one_way(rate: u64, per_mille: u16, title: &'static str) -> Row {
    Row::main(Figure::OneWay { rate, per_mille }, title, Unit::Tenths)
}

/// How a value is written.
#[derive(Clone, Copy)]
enum Unit {
    Millions,
    Gigabits,
    Percent,
    Tenths,
    Whole,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Unit::Millions => format!("{:.2}", value / 1e6),
            Unit::Gigabits => format!("{:.2}", value * 8.0 / 1e9),
            Unit::Percent => format!("{:.1}", value * 100.0),
            Unit::Tenths => format!("{value:.1}"),
            Unit::Whole => format!("{value:.0}"),
        }
    }
}

/// The middle one, or the mean of both where there are two.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}
