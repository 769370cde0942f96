//! `lastack bench --html FILE`: what was measured as one page that needs nothing beside it.
//!
//! ```text
//!  Page::begin ─► try FILE
//!  Page::add   ─► keep the record; the bare loop for its number of connections, once
//!  Page::finish ─► Content ─ render ─► text ─► FILE
//! ```
//!
//! Charts are drawn here, as SVG; styles stand in the page; nothing is fetched, and nothing in it is a program. It is
//! written for somebody who chooses a middlebox and has never seen Lastack. The text is well-formed XML, so
//! that a test can tell when it is not.

mod chart;
mod destination;
mod machine;
mod text;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use chart::{Chart, Look, Scale, Series, Values, bare};
use destination::Destination;
pub use destination::Unwritable;
use machine::Machine;
use text::{duration, escape, grouped, quoted, short};

use super::{Ceiling, Report, Workload};
use crate::time::SystemClock;

/// A page under way.
#[derive(Debug)]
pub struct Page {
    destination: Destination,
    content: Content,
}

impl Page {
    /// A page for this path, of the measurement that `command` (the process's arguments) asked for.
    ///
    /// # Errors
    /// The path cannot be written to.
    pub fn begin(path: &Path, command: impl Iterator<Item = OsString>) -> Result<Page, Unwritable> {
        let words: Vec<String> = command.map(|word| quoted(&word.to_string_lossy())).collect();
        Ok(Page {
            destination: Destination::new(path)?,
            content: Content {
                reports: Vec::new(),
                ceilings: Vec::new(),
                machine: Machine::here(),
                command: words.join(" "),
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
    pub fn finish(&self) -> Result<(), Unwritable> {
        self.destination.write(&self.content.render())
    }
}

/// All that a page tells.
#[derive(Debug)]
struct Content {
    reports: Vec<Report>,
    ceilings: Vec<Ceiling>,
    machine: Machine,
    command: String,
    seconds_since_1970: u64,
    is_debug_build: bool,
}

/// What a workload is called, what it does, and whether the bare loop does the same work, the least of it.
struct About {
    title: &'static str,
    timed: &'static str,
    is_bounded: bool,
}

const fn about(workload: Workload) -> About {
    match workload {
        Workload::Established => About {
            title: "Packets of established connections, IPv4",
            timed: "Bare TCP acknowledgements (54 bytes), each of a uniformly random connection, directions \
                    alternating: what a middlebox does nearly all of the time, without the help of any cache.",
            is_bounded: true,
        },
        Workload::Established6 => About {
            title: "Packets of established connections, IPv6",
            timed: "The same over IPv6 (74 bytes). The bare loop beside it is that of IPv4.",
            is_bounded: true,
        },
        Workload::Lifecycle => About {
            title: "Whole connections",
            timed: "Connections from their first SYN to the last acknowledgement, nine packets with 100 bytes of data, \
                    opened and closed as fast as it goes, while as many as the axis says are in the table, those in \
                    TIME_WAIT included.",
            is_bounded: false,
        },
        Workload::SynFlood => About {
            title: "A flood of SYNs against a full table",
            timed: "Nine SYNs from random sources that never complete, then one packet of an established connection, \
                    and so on. None of the established connections is lost, or there would be no figure.",
            is_bounded: false,
        },
        Workload::Expiry => About {
            title: "Many connections ending at once",
            timed: "All of the connections in TIME_WAIT come due within one second while packets of established ones \
                    go on: bursts should take about as long as before.",
            is_bounded: false,
        },
    }
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>Lastack benchmark</title>\n<style>\n";

const READING: &str = "<div class=\"columns\">\n<section>\n<h2>How to read this</h2>\n\
<p>Lastack is a middlebox that knows every connection through it: the state of both ends, their windows, when to forget \
them. The question is what that costs. Here the whole engine is timed as it runs between two network ports, from the \
bytes of a frame to the verdict: parsing, verified checksums, hash, connection table, TCP rules, timers, counters.</p>\n\
<ul>\n\
<li><b>Throughput</b>: higher is better. The dashed line is the <i>bare loop</i>: the least that any connection tracker \
must do on this machine. It reads a frame, hashes its addresses, fetches two cache lines from memory, compares, moves a \
window. It tracks nothing: no checksum, no timer, no policy, no counter. The distance to it is what everything \
else costs. Where both lines fall with more connections, the table has outgrown the processor&#39;s \
cache, and the memory is the limit. The bare loop runs on one core, however many shards the engine has.</li>\n\
<li><b>Latency</b>: lower is better. Packets are handled in bursts of 32; the time is that of a whole burst, the \
writing of its frames included. Half of all bursts take the median or less, one in 10,000 takes longer than the line of 99.99&#160;%. \
The longest one is mostly the operating system, which did something else meanwhile.</li>\n\
<li><b>Memory</b>: lower is better. All that the engine holds for its tables and timers, over the connections, in a table \
that is exactly full.</li>\n\
<li><b>What is enough?</b> A 10&#160;Gbit/s link carries at most 14.9 million packets per second in one direction (64-byte frames and 20 \
bytes between them: 10,000,000,000 / (84 &#215; 8)), and 0.81 million of full size (1518 bytes and 20).</li>\n\
</ul>\n</section>\n<section>\n\
<h2>What was not measured</h2>\n\
<ul>\n\
<li>Network cards, their drivers, and how frames come and go: here they are written into memory within the timed loop. In a \
middlebox these cost as well, often more than the engine.</li>\n\
<li>Packets with data, whose checksums take the longer the more of it there is; losses, and segments out of order.</li>\n\
<li>Address translation, rule sets, and readers of the table while traffic goes on.</li>\n\
<li>Other machines. Compare figures of one run with one another; those of two machines compare the machines.</li>\n\
</ul>\n</section>\n</div>\n";

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
             <p class=\"faint under\">Version {}, measured {} on {}, {} logical processors</p>",
            env!("CARGO_PKG_VERSION"),
            text::date(self.seconds_since_1970),
            escape(&self.machine.processor),
            escape(&self.machine.cores)
        );
        if self.is_debug_build {
            page.push_str(
                "<p class=\"warning\">This program was built without the compiler&#39;s full optimization: its figures say \
                 nothing about speed. Build it with <code>cargo build --release</code>.</p>\n",
            );
        }
        page.push_str("<ul class=\"results\">\n");
        for workload in Workload::ALL {
            let most = self
                .reports
                .iter()
                .filter(|report| report.workload == workload)
                .max_by_key(|report| report.flows);
            let Some(report) = most else { continue };
            let share =
                self.share(report).map_or_else(String::new, |share| format!(", {share:.2} of the bare loop"));
            let _ = writeln!(
                page,
                "<li>{}<b>{}</b><span class=\"faint\">{} connections{share}</span></li>",
                escape(workload.name()),
                report.connections.map_or_else(
                    || format!("{} M packets/s", short(report.rate / 1e6)),
                    |rate| format!("{} M connections/s", short(rate / 1e6))
                ),
                grouped(u64::from(report.flows))
            );
        }
        page.push_str("</ul>\n");
    }

    /// A workload's charts, if there is a record of it.
    fn write_workload(&self, workload: Workload, page: &mut String) {
        let mut reports: Vec<&Report> =
            self.reports.iter().filter(|report| report.workload == workload).collect();
        if reports.is_empty() {
            return;
        }
        reports.sort_by_key(|report| report.flows);
        let About { title, timed, is_bounded } = about(workload);
        let _ = writeln!(
            page,
            "<h2>{} <span class=\"faint\">({})</span></h2>\n<p>{}</p>\n<div class=\"charts\">",
            escape(title),
            escape(workload.name()),
            escape(timed)
        );
        for chart in [self.throughput(&reports, is_bounded), latency(&reports), memory(&reports)] {
            if let Some(svg) = chart.draw() {
                let _ = writeln!(
                    page,
                    "<figure><figcaption>{}</figcaption>\n{svg}</figure>",
                    escape(&chart.title)
                );
            }
        }
        page.push_str("</div>\n");
    }

    fn throughput(&self, reports: &[&Report], is_bounded: bool) -> Chart {
        let mut series = vec![Series {
            name: "Lastack, the whole engine",
            look: Look::Disc,
            values: Values::Below,
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
                values: Values::Above,
                points,
            });
        }
        Chart {
            title: "Throughput over connections".to_owned(),
            unit: "million packets per second",
            scale: Scale::Linear,
            say: bare,
            series,
        }
    }

    /// Every record.
    fn write_table(&self, page: &mut String) {
        page.push_str(
            "<h2>Every record</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>workload</th><th>connections</th>\
             <th>shards</th><th>packets timed</th><th>M packets/s</th><th>ns per packet</th><th>connections/s</th><th>bare loop, M packets/s</th>\
             <th>share of it</th><th>bytes per connection</th><th>burst of 32, median, ns</th><th>99 %, ns</th>\
             <th>99.99 %, ns</th><th>longest, ns</th><th>99.99 % before, ns</th></tr></thead>\n<tbody>\n",
        );
        for report in &self.reports {
            let (rate, burst) = (report.rate, report.burst_nanoseconds);
            let ceiling = self.ceiling(report.flows).filter(|_| about(report.workload).is_bounded);
            let or_none = |number: Option<String>| number.unwrap_or_else(|| "&#8211;".to_owned());
            let mut cells = vec![
                escape(report.workload.name()),
                grouped(u64::from(report.flows)),
                report.shards.to_string(),
                grouped(report.packets),
                format!("{:.2}", rate / 1e6),
                format!("{:.1}", 1e9 / rate),
                or_none(report.connections.map(|connections| grouped(connections as u64))),
                or_none(ceiling.map(|ceiling| format!("{:.2}", ceiling.packets_per_second / 1e6))),
                or_none(self.share(report).map(|share| format!("{share:.2}"))),
                format!("{:.1}", report.bytes_per_connection),
            ];
            cells.extend([burst.p50, burst.p99, burst.p9999, burst.max].map(|time| grouped(u64::from(time))));
            cells.push(or_none(
                report.baseline_burst_nanoseconds.map(|before| grouped(u64::from(before.p9999))),
            ));
            let _ = writeln!(page, "<tr><td>{}</td></tr>", cells.join("</td><td>"));
        }
        page.push_str("</tbody>\n</table></div>\n<details><summary>The same as JSON Lines</summary>\n<pre>");
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
            ("Logical processors", &machine.cores),
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

fn points(reports: &[&Report], value: impl Fn(&Report) -> f64) -> Vec<(f64, f64)> {
    reports.iter().map(|report| (f64::from(report.flows), value(report))).collect()
}

fn latency(reports: &[&Report]) -> Chart {
    let series = |name, look, value: fn(&Report) -> u32| Series {
        name,
        look,
        values: Values::Hidden,
        points: points(reports, |report| f64::from(value(report))),
    };
    let before = reports.iter().filter_map(|report| {
        let before = report.baseline_burst_nanoseconds?;
        Some((f64::from(report.flows), f64::from(before.p9999)))
    });
    Chart {
        title: "How long a burst of 32 packets takes".to_owned(),
        unit: "time, each line ten times the one below",
        scale: Scale::Logarithmic,
        say: duration,
        series: vec![
            series("median", Look::Disc, |report| report.burst_nanoseconds.p50),
            series("99 %", Look::Square, |report| report.burst_nanoseconds.p99),
            series("99.99 %", Look::Triangle, |report| report.burst_nanoseconds.p9999),
            series("longest", Look::Ring, |report| report.burst_nanoseconds.max),
            Series {
                name: "99.99 % before",
                look: Look::Diamond,
                values: Values::Hidden,
                points: before.collect(),
            },
        ],
    }
}

fn memory(reports: &[&Report]) -> Chart {
    Chart {
        title: "Memory over connections".to_owned(),
        unit: "bytes per connection",
        scale: Scale::Linear,
        say: bare,
        series: vec![Series {
            name: "tables and timers, full",
            look: Look::Disc,
            values: Values::Above,
            points: points(reports, |report| report.bytes_per_connection),
        }],
    }
}
