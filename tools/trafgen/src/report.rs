//! What was found, as lines for a person or as JSON Lines.

use std::fmt::Write as _;
use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::Failure;
use crate::histogram::Percentiles;
use crate::phase::{BatchReport, Flow, TrafficReport, Work};

/// Where results go.
pub(crate) struct Output {
    json: bool,
    bar: ProgressBar,
}

/// A JSON record with its name.
#[derive(Serialize)]
struct Record<'a, T> {
    record: &'static str,
    #[serde(flatten)]
    fields: &'a T,
}

impl Output {
    /// JSON Lines or text.
    pub(crate) fn new(json: bool) -> Output {
        // Draws on standard error, and not at all where that is no terminal.
        let bar = ProgressBar::new(1000);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style);
        }
        Output { json, bar }
    }

    /// Shows how far it has come.
    pub(crate) fn progress(&self, what: &str, share: f64) {
        self.bar.set_message(what.to_owned());
        self.bar.set_position((share * 1000.0) as u64);
    }

    /// Writes a result: `text` is what a person reads of it.
    pub(crate) fn write<T: Serialize>(
        &self,
        record: &'static str,
        fields: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        self.bar.suspend(|| {
            let mut out = io::stdout().lock();
            if self.json {
                serde_json::to_writer(&mut out, &Record { record, fields })?;
                writeln!(out)?;
            } else {
                out.write_all(text().as_bytes())?;
            }
            Ok(())
        })
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Work {
    /// What was done, in a report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::Open => "opened",
            Work::Greet => "greeted",
            Work::Close => "closed",
            Work::Abort => "aborted",
        }
    }
}

/// A batch in a line or two.
pub(crate) fn batch(report: &BatchReport) -> String {
    let BatchReport { work, connections, succeeded, refused, seconds, per_second, latency } = report;
    let mut text = format!(
        "{:<10} {succeeded} of {connections} connections in {seconds:.3} s: {}/s",
        work.name(),
        quantity(*per_second)
    );
    if *refused > 0 {
        let _ = write!(text, "; {refused} were answered with an RST");
    }
    text.push('\n');
    if let Some(latency) = latency {
        let what = if *work == Work::Greet { "one way" } else { "round trip" };
        let _ = writeln!(text, "{:<10} {what}: {}", "", durations(latency));
    }
    text
}

/// Traffic in a few lines.
pub(crate) fn traffic(report: &TrafficReport) -> String {
    let mut text = String::new();
    for (name, flow) in [("to server", &report.original), ("to client", &report.reply)] {
        let Some(flow) = flow else { continue };
        let Flow { sent, received, lost, per_second, bits_per_second, latency, .. } = flow;
        let _ = writeln!(
            text,
            "{name:<10} {received} of {sent} frames arrived, {lost} lost ({:.3} %): {}/s, {}bit/s",
            *lost as f64 * 100.0 / (*sent).max(1) as f64,
            quantity(*per_second),
            quantity(*bits_per_second)
        );
        if let Some(latency) = latency {
            let _ = writeln!(text, "{:<10} one way: {}", "", durations(latency));
        }
    }
    text
}

/// The percentiles of durations.
pub(crate) fn durations(found: &Percentiles) -> String {
    let [p50, p90, p99, p999, max] =
        [found.p50, found.p90, found.p99, found.p999, found.max].map(|duration| duration as f64 / 1e3);
    format!("{p50:.1} µs median, {p90:.1} p90, {p99:.1} p99, {p999:.1} p99.9, {max:.1} max")
}

/// A number with a prefix, four digits of it.
pub(crate) fn quantity(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e9 => (value / 1e9, " G"),
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e4 => (value / 1e3, " k"),
        value => (value, " "),
    };
    format!("{value:.*}{unit}", if value >= 1000.0 { 0 } else { 2 }).trim_end().to_owned()
}
