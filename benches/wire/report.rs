//! Medians, and the tables of docs/performance.md.

use std::collections::BTreeMap;
use std::fmt;

use crate::CALM_RATE;
use crate::flood::Source;
use crate::middle::Kind;

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
    /// Connections a second.
    Connections,
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

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
}

impl Row {
    const fn new(figure: Figure, title: &'static str, unit: Unit) -> Row {
        Row { figure, title, unit }
    }

    /// Whether more is better.
    fn is_speed(&self) -> bool {
        match self.figure {
            Figure::Packets { .. } | Figure::Tcp { .. } | Figure::Connections => true,
            Figure::Offered { .. }
            | Figure::PerPacket { .. }
            | Figure::OwnShare { .. }
            | Figure::BothCores
            | Figure::Core { .. }
            | Figure::RoundTrip { .. } => false,
        }
    }
}

const AT_WORK: &str = "… core 1 at work for each that arrives (ns)";
const OWN: &str = "… of that, in Lastack's own code (%)";

const ROWS: [Row; 19] = [
    Row::new(
        Figure::Packets { source: Source::Socket, flows: 1 },
        "64-byte packets from a socket, 1 flow (M/s)",
        Unit::Millions,
    ),
    Row::new(
        Figure::Packets { source: Source::Socket, flows: 1000 },
        "64-byte packets from a socket, 1000 flows (M/s)",
        Unit::Millions,
    ),
    Row::new(Figure::PerPacket { source: Source::Socket }, AT_WORK, Unit::Whole),
    Row::new(Figure::OwnShare { source: Source::Socket }, OWN, Unit::Percent),
    Row::new(
        Figure::Packets { source: Source::Frames, flows: 1000 },
        "64-byte packets from XDP, 1000 flows (M/s)",
        Unit::Millions,
    ),
    Row::new(Figure::PerPacket { source: Source::Frames }, AT_WORK, Unit::Whole),
    Row::new(Figure::OwnShare { source: Source::Frames }, OWN, Unit::Percent),
    Row::new(Figure::BothCores, "both cores for each of 200,000 packets/s (ns)", Unit::Whole),
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
    Row::new(Figure::Connections, "TCP connections opened and closed (1/s)", Unit::Whole),
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
