//! `lastack bench --html FILE`: what was measured as one page that needs nothing beside it.
//!
//! ```text
//!  Page::begin ─► try FILE
//!  Page::add   ─► keep the record; the bare loop for its number of connections, once
//!  Page::finish ─► Content ─ render ─► text ─► FILE
//! ```
//!
//! Charts are drawn here, as SVG; styles stand in the page; nothing is fetched, and nothing in it is a program. It is
//! written for somebody who chooses a middlebox and has never seen Lastack; its sentences are in `words`. The text is
//! well-formed XML, so that a test can tell when it is not.

mod chart;
mod destination;
mod labels;
mod machine;
mod text;
mod words;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use chart::{Chart, Look, Scale, Series, Values, bare};
use destination::Destination;
pub use destination::Unwritable;
use machine::{Disturbance, Machine};
use text::{bytes, duration, escape, grouped, lasting, quoted, short};
use words::{About, LEAD, READING, about};

use super::{Ceiling, Report, Workload};
use crate::shard::BURST;
use crate::time::SystemClock;

/// A page under way.
#[derive(Debug)]
pub struct Page {
    destination: Destination,
    /// What had disturbed the process before.
    start: Disturbance,
    content: Content,
}

impl Page {
    /// A page for this path, of the measurement that `command` (the process's arguments) asked for.
    ///
    /// # Errors
    /// The path cannot be written to.
    pub fn begin(path: &Path, command: impl Iterator<Item = OsString>) -> Result<Page, Unwritable> {
        let machine = Machine::here();
        let words = machine.processors.pinning().into_iter();
        let words = words.chain(command.map(|word| quoted(&word.to_string_lossy())));
        Ok(Page {
            destination: Destination::new(path)?,
            start: Disturbance::until_now(),
            content: Content {
                reports: Vec::new(),
                ceilings: Vec::new(),
                command: words.collect::<Vec<_>>().join(" "),
                machine,
                disturbance: Disturbance::default(),
                seconds_since_1970: SystemClock::since_1970().now().nanoseconds() / 1_000_000_000,
                is_debug_build: cfg!(debug_assertions),
            },
        })
    }

    /// Adds a record. If it is the first with so many connections that the bare loop can be held against, that
    /// is measured now, with as many connections and packets.
    ///
    /// # Errors
    /// No memory for the bare loop.
    pub fn add(&mut self, report: &Report) -> io::Result<()> {
        if about(report.workload).is_bounded && self.content.ceiling(report.flows).is_none() {
            self.content.ceilings.push(Ceiling::measure(report.flows, report.packets)?);
        }
        self.content.reports.push(report.clone());
        Ok(())
    }

    /// Writes the page.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(&mut self) -> Result<(), Unwritable> {
        self.content.disturbance = Disturbance::until_now().since(self.start);
        self.destination.write(&self.content.render())
    }
}

/// All that a page tells.
#[derive(Debug)]
struct Content {
    reports: Vec<Report>,
    ceilings: Vec<Ceiling>,
    machine: Machine,
    /// What disturbed the measurement.
    disturbance: Disturbance,
    command: String,
    seconds_since_1970: u64,
    is_debug_build: bool,
}

/// The fewest bursts of which one in 10,000 says something.
const ENOUGH_BURSTS: u64 = 10_000;
/// How often in a second the kernel may take the processor from a thread that is being timed; where nothing else runs, it
/// is a tenth of that.
const MOST_SWITCHES: f64 = 50.0;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>Lastack benchmark</title>\n<style>\n";

impl Content {
    fn ceiling(&self, flows: u32) -> Option<&Ceiling> {
        self.ceilings.iter().find(|ceiling| ceiling.flows == flows)
    }

    /// The rate over the bare loop's, where that does the same work.
    fn share(&self, report: &Report) -> Option<f64> {
        let ceiling = self.ceiling(report.flows).filter(|_| about(report.workload).is_bounded)?;
        Some(report.rate / ceiling.packets_per_second)
    }

    fn render(&self) -> String {
        let mut page = String::from(HEAD);
        page.push_str(include_str!("style.css"));
        page.push_str("</style>\n</head>\n<body>\n");
        self.write_opening(&mut page);
        for workload in Workload::ALL {
            self.write_workload(workload, &mut page);
        }
        self.write_memory(&mut page);
        page.push_str(READING);
        self.write_table(&mut page);
        self.write_machine(&mut page);
        page.push_str("</body>\n</html>\n");
        page
    }

    /// The title, and each workload's figure with the most connections.
    fn write_opening(&self, page: &mut String) {
        // Writing to a string does not fail; so below.
        let _ = writeln!(
            page,
            "<h1>Lastack: what connection tracking costs on this machine</h1>\n\
             <p class=\"faint under\">Version {}, measured {} on {}, {}</p>",
            env!("CARGO_PKG_VERSION"),
            text::date(self.seconds_since_1970),
            escape(&self.machine.processor),
            escape(&self.machine.processors.words())
        );
        for warning in self.warnings() {
            let _ = writeln!(page, "<p class=\"warning\">{}</p>", escape(&warning));
        }
        page.push_str(LEAD);
        page.push_str("<ul class=\"results\">\n");
        for (what, figure, detail) in self.cards() {
            let _ = writeln!(
                page,
                "<li>{}<b>{}</b><span class=\"faint\">{}</span></li>",
                escape(what),
                escape(&figure),
                escape(&detail)
            );
        }
        page.push_str("</ul>\n");
    }

    /// What is to be known before a figure is believed.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.is_debug_build {
            warnings.push(
                "This program was built without the compiler's full optimization: its figures say nothing about speed. \
                 Build it with cargo build --release."
                    .to_owned(),
            );
        }
        let fewest = self.reports.iter().min_by_key(|report| report.fewest_bursts());
        if let Some(report) = fewest.filter(|report| report.fewest_bursts() < ENOUGH_BURSTS) {
            warnings.push(format!(
                "The times of bursts say little here: of {} with {} connections {} were timed, and of fewer than {} the time \
                 that 99.99 % of them take is no other than the longest. Give --packets {} or more, or leave it out.",
                report.workload.name(),
                grouped(u64::from(report.flows)),
                grouped(report.fewest_bursts()),
                grouped(ENOUGH_BURSTS),
                ENOUGH_BURSTS * BURST as u64,
            ));
        }
        let threads = self.reports.iter().map(|report| report.shards).max().unwrap_or(1);
        let Disturbance { switches, seconds } = self.disturbance;
        if switches as f64 > MOST_SWITCHES * seconds * f64::from(threads) {
            warnings.push(format!(
                "The kernel took the processor away from this measurement {} times in {:.0} seconds: something else was \
                 running, or there are more shards than processors. The longer times of bursts are mostly that, and the \
                 rates are lower than they could be.",
                grouped(switches),
                seconds.ceil()
            ));
        }
        warnings
    }

    /// What is told first: of what, how much, and under which circumstances.
    fn cards(&self) -> Vec<(&'static str, String, String)> {
        let mut cards = Vec::new();
        let of = |workload| self.reports.iter().filter(move |report| report.workload == workload);
        for workload in Workload::ALL {
            let Some(report) = of(workload).max_by_key(|report| report.flows) else { continue };
            let flows = grouped(u64::from(report.flows));
            let share =
                self.share(report).map_or_else(String::new, |share| format!(", {share:.2} of the bare loop"));
            let cores = if report.shards > 1 { format!(", {} shards", report.shards) } else { String::new() };
            let packets = format!("{} M packets/s", short(report.rate / 1e6));
            let (figure, detail) = match (report.connections, report.baseline) {
                (Some(rate), _) => {
                    (format!("{} M connections/s", short(rate / 1e6)), format!("{flows} in the table{cores}"))
                }
                (None, Some(before)) => (
                    lasting(f64::from(report.burst_nanoseconds.p9999)),
                    format!(
                        "while {flows} connections end{cores}; {} before",
                        lasting(f64::from(before.burst_nanoseconds.p9999))
                    ),
                ),
                (None, None) => (packets, format!("{flows} connections{share}{cores}")),
            };
            cards.push((about(workload).figure, figure, detail));
        }
        // IPv4, where that was measured: all of its workloads fill equal tables.
        let first =
            Workload::ALL.into_iter().find_map(|workload| of(workload).max_by_key(|report| report.flows));
        if let Some(report) = first {
            let figure = format!("{:.0} bytes", report.bytes_per_connection);
            let detail = format!("{} for {}", bytes(occupied(report)), grouped(u64::from(room(report))));
            cards.push(("Memory for each connection", figure, detail));
        }
        cards
    }

    /// What was measured of a workload, by rising connections.
    fn reports_of(&self, workload: Workload) -> Vec<&Report> {
        let mut reports: Vec<&Report> =
            self.reports.iter().filter(|report| report.workload == workload).collect();
        reports.sort_by_key(|report| report.flows);
        reports
    }

    /// A workload's charts, if there is a record of it.
    fn write_workload(&self, workload: Workload, page: &mut String) {
        let reports = self.reports_of(workload);
        if reports.is_empty() {
            return;
        }
        let About { title, timed, meaning, is_bounded, .. } = about(workload);
        let charts = match workload {
            Workload::Lifecycle => [connections(&reports), latency(&reports)],
            // Here a burst's time is what counts.
            Workload::Expiry => [latency(&reports), self.throughput(&reports, is_bounded)],
            Workload::Established | Workload::Established6 | Workload::SynFlood => {
                [self.throughput(&reports, is_bounded), latency(&reports)]
            }
        };
        let heading = format!("{} <span class=\"faint\">({})</span>", escape(title), escape(workload.name()));
        write_section(&heading, &[timed, meaning], &charts, page);
    }

    /// How much memory connections take.
    fn write_memory(&self, page: &mut String) {
        // `expiry` has a table of another size than its number of connections says.
        let kinds = [
            ("IPv4", Look::Disc, [Workload::Established, Workload::Lifecycle, Workload::SynFlood].as_slice()),
            ("IPv6", Look::Square, [Workload::Established6].as_slice()),
        ];
        let mut series = Vec::new();
        for (name, look, workloads) in kinds {
            // Equal tables, however they were filled: the first workload's stand for all.
            let first =
                workloads.iter().map(|workload| self.reports_of(*workload)).find(|found| !found.is_empty());
            series.extend(first.map(|reports| (name, look, reports)));
        }
        if series.is_empty() {
            return;
        }
        let chart = |title: &str, unit, scale, say, value: fn(f64) -> String, of: fn(&Report) -> f64| Chart {
            title: title.to_owned(),
            unit,
            scale,
            say,
            value,
            series: series
                .iter()
                .map(|(name, look, reports)| Series {
                    name,
                    look: *look,
                    values: Values::Shown,
                    points: points(reports, of),
                })
                .collect(),
        };
        let charts = [
            chart(
                "Bytes for each connection",
                "bytes per connection",
                Scale::Linear,
                bare,
                short,
                |report| report.bytes_per_connection,
            ),
            chart(
                "In all",
                "memory, each line ten times the one below",
                Scale::Logarithmic,
                bytes,
                bytes,
                occupied,
            ),
        ];
        let words = [
            "All memory that the engine holds for its tables and timers, over the connections that they have room for.",
            "It is reserved when the engine starts, for as many connections as are configured, and never grows.",
        ];
        write_section("Memory", &words, &charts, page);
    }

    fn throughput(&self, reports: &[&Report], is_bounded: bool) -> Chart {
        let mut series = vec![Series {
            name: "Lastack",
            look: Look::Disc,
            values: Values::Shown,
            points: points(reports, |report| report.rate / 1e6),
        }];
        if is_bounded {
            let ceilings = reports.iter().filter_map(|report| self.ceiling(report.flows));
            let mut points: Vec<_> = ceilings
                .map(|ceiling| (f64::from(ceiling.flows), ceiling.packets_per_second / 1e6))
                .collect();
            points.dedup();
            series.push(Series {
                name: "bare loop: the ceiling",
                look: Look::Diamond,
                values: Values::Shown,
                points,
            });
        }
        Chart {
            title: "Throughput over connections".to_owned(),
            unit: "million packets per second",
            scale: Scale::Linear,
            say: bare,
            value: short,
            series,
        }
    }

    /// Every record.
    fn write_table(&self, page: &mut String) {
        page.push_str(
            "<h2>Every record</h2>\n<div class=\"wide\"><table>\n<thead><tr><th colspan=\"3\"></th>\
             <th colspan=\"3\">the engine</th><th colspan=\"2\">bare loop</th><th colspan=\"1\">memory</th>\
             <th colspan=\"5\">time of a burst of 32 packets, \u{b5}s</th></tr>\n\
             <tr><th>workload</th><th>connections</th><th>shards</th><th>M packets/s</th><th>ns per packet</th>\
             <th>M whole connections/s</th><th>M packets/s</th><th>share of it</th><th>bytes per connection</th>\
             <th>median</th><th>99&#160;%</th><th>99.99&#160;%</th><th>longest</th><th>99.99&#160;% before</th></tr></thead>\n<tbody>\n",
        );
        for report in &self.reports {
            let (rate, burst) = (report.rate, report.burst_nanoseconds);
            let ceiling = self.ceiling(report.flows).filter(|_| about(report.workload).is_bounded);
            let or_none = |number: Option<String>| number.unwrap_or_else(|| "&#8211;".to_owned());
            let mut cells = vec![
                escape(report.workload.name()),
                grouped(u64::from(report.flows)),
                report.shards.to_string(),
                format!("{:.2}", rate / 1e6),
                format!("{:.1}", 1e9 / rate),
                or_none(report.connections.map(|connections| format!("{:.2}", connections / 1e6))),
                or_none(ceiling.map(|ceiling| format!("{:.2}", ceiling.packets_per_second / 1e6))),
                or_none(self.share(report).map(|share| format!("{share:.2}"))),
                format!("{:.1}", report.bytes_per_connection),
            ];
            let microseconds = |nanoseconds: u32| format!("{:.1}", f64::from(nanoseconds) / 1e3);
            cells.extend([burst.p50, burst.p99, burst.p9999, burst.max].map(microseconds));
            let before = report.baseline.map(|before| before.burst_nanoseconds);
            cells.push(or_none(before.map(|before| microseconds(before.p9999))));
            let _ = writeln!(page, "<tr><td>{}</td></tr>", cells.join("</td><td>"));
        }
        page.push_str("</tbody>\n</table></div>\n<details><summary>The same as JSON Lines, times in nanoseconds</summary>\n<pre>");
        let mut lines = Vec::new();
        for report in &self.reports {
            // Writing to memory does not fail.
            let _ = report.write_json(&mut lines);
        }
        page.push_str(&escape(&String::from_utf8_lossy(&lines)));
        page.push_str("</pre></details>\n");
    }

    fn write_machine(&self, page: &mut String) {
        let machine = &self.machine;
        let build = if self.is_debug_build { "for debugging" } else { "optimized" };
        let found = self.ceilings.iter().map(|ceiling| ceiling.found).fold(1.0, f64::min);
        page.push_str("<h2>The machine, and how to do it again</h2>\n<dl>\n");
        for (name, value) in [
            ("Processor", machine.processor.as_str()),
            ("Processors", &machine.processors.words()),
            ("Memory", &machine.memory),
            ("Kernel", &machine.kernel),
            ("Transparent huge pages", &machine.huge_pages),
            ("Build", &format!("{} {build}", env!("CARGO_PKG_VERSION"))),
            ("Rounds", &format!("the fastest of {}, of the engine and of the bare loop", super::ROUNDS)),
            ("Bare loop", &format!("found {:.1} % or more of its packets' connections", found * 100.0)),
        ] {
            let _ = writeln!(page, "<dt>{name}</dt><dd>{}</dd>", escape(value));
        }
        let _ = writeln!(
            page,
            "</dl>\n<p>The command, without privilege, on a machine that does nothing else:</p>\n<pre>{}</pre>",
            escape(&self.command)
        );
    }
}

/// A heading, what stands beside the charts, and the charts.
fn write_section(heading: &str, words: &[&str], charts: &[Chart], page: &mut String) {
    let _ = writeln!(page, "<h2>{heading}</h2>\n<div class=\"charts\">\n<div class=\"words\">");
    for word in words {
        let _ = writeln!(page, "<p>{}</p>", escape(word));
    }
    page.push_str("</div>\n");
    for chart in charts {
        if let Some(svg) = chart.draw() {
            let _ =
                writeln!(page, "<figure><figcaption>{}</figcaption>\n{svg}</figure>", escape(&chart.title));
        }
    }
    page.push_str("</div>\n");
}

/// How many connections its tables have room for.
fn room(report: &Report) -> u32 {
    report.capacity.unwrap_or(report.flows)
}

/// All memory of the tables, in bytes.
fn occupied(report: &Report) -> f64 {
    report.bytes_per_connection * f64::from(room(report))
}

fn points(reports: &[&Report], value: impl Fn(&Report) -> f64) -> Vec<(f64, f64)> {
    reports.iter().map(|report| (f64::from(report.flows), value(report))).collect()
}

fn latency(reports: &[&Report]) -> Chart {
    let series = |name, look, values, value: fn(&Report) -> u32| Series {
        name,
        look,
        values,
        points: points(reports, |report| f64::from(value(report))),
    };
    let before = reports.iter().filter_map(|report| {
        let before = report.baseline?.burst_nanoseconds;
        Some((f64::from(report.flows), f64::from(before.p9999)))
    });
    Chart {
        title: "How long a burst of 32 packets takes".to_owned(),
        unit: "time, each line ten times the one below",
        scale: Scale::Logarithmic,
        say: duration,
        value: lasting,
        series: vec![
            series("median", Look::Disc, Values::Shown, |report| report.burst_nanoseconds.p50),
            series("99 %", Look::Square, Values::Hidden, |report| report.burst_nanoseconds.p99),
            series("99.99 %", Look::Triangle, Values::Shown, |report| report.burst_nanoseconds.p9999),
            series("longest", Look::Ring, Values::Hidden, |report| report.burst_nanoseconds.max),
            Series {
                name: "99.99 % before",
                look: Look::Diamond,
                values: Values::Shown,
                points: before.collect(),
            },
        ],
    }
}

fn connections(reports: &[&Report]) -> Chart {
    let measured =
        reports.iter().filter_map(|report| Some((f64::from(report.flows), report.connections? / 1e6)));
    Chart {
        title: "Whole connections per second".to_owned(),
        unit: "million whole connections per second",
        scale: Scale::Linear,
        say: bare,
        value: short,
        series: vec![Series {
            name: "Lastack",
            look: Look::Disc,
            values: Values::Shown,
            points: measured.collect(),
        }],
    }
}
