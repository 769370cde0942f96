//! `lastack bench`: which workloads, with how many connections, on how many shards.

use std::fmt::Display;
use std::io;
use std::num::ParseIntError;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::{Configuration, Failure, load, output_failure};
use crate::bench::{Ceiling, Error, Page, Plan, Progress, ROUNDS, Workload, run as measure};
use crate::shard::BURST;

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// The configuration file; of its sections only [tcp] and [ip] make a difference here
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key after the file was read, such as tcp.msl=15s (repeatable); only those of [tcp] and [ip] make a difference
    /// here: the table's size is --capacity, and the number of workers --shards
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What is measured (repeatable; default: all)
    #[arg(long, value_name = "W", value_parser = workloads())]
    workload: Vec<Workload>,
    /// With how many connections (repeatable; default: 1000000; with --html also 10000, 100000 and 4000000)
    #[arg(long, value_name = "N", value_parser = number(1_u32..=16_000_000))]
    flows: Vec<u32>,
    /// In a table with room for so many; of `established` and `established6` only [default: as many as connections]
    #[arg(long, value_name = "C", value_parser = number(1_u32..=32_000_000))]
    capacity: Option<u32>,
    /// Divide connections and packets among this many shards, each with a thread and, where there are enough, a core
    /// of its own
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    shards: u32,
    /// How many packets are timed in a round, rounded down to whole bursts of 32 for each shard; the best of three rounds
    /// counts. Of `expiry` it is the traffic before that has so many, and a second's at least: while connections end, it
    /// goes on until they have
    #[arg(long, value_name = "P", default_value_t = 20_000_000, value_parser = number(BURST as u64..=u64::MAX))]
    packets: u64,
    /// JSON Lines in place of a table
    #[arg(long)]
    json: bool,
    /// Also measure the bare loop, and write all as one page with charts to this file; of all workloads with the
    /// default numbers of connections it takes some four minutes and 1.2 GiB of memory
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Also measure the bare loop, the least that any connection tracker must do, once for each number of connections
    /// and before the workloads
    #[arg(long, conflicts_with = "html")]
    bare_loop: bool,
}

/// Reads a number in this range, with underscores between its digits where one likes, as in a configuration.
fn number<N>(range: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static
where
    N: FromStr<Err = ParseIntError> + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let is_between_digits = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
        let digits: String = text.chars().filter(|&character| character != '_').collect();
        let found = if is_between_digits { digits.parse() } else { text.parse() };
        let found: N = found.map_err(|error| format!("{error}; a number such as 1000000 or 1_000_000"))?;
        if range.contains(&found) {
            return Ok(found);
        }
        let (least, most) = (range.start(), range.end());
        Err(format!("{found} is not in {least}..={most}"))
    }
}

/// A workload whose name is reserved already.
const NAT: &str = "nat";

/// The names of workloads, and what they mean.
fn workloads() -> impl TypedValueParser<Value = Workload> {
    let offered = Workload::ALL.map(|workload| PossibleValue::new(workload.name()).help(workload.summary()));
    let reserved = PossibleValue::new(NAT).hide(true);
    PossibleValuesParser::new(offered.into_iter().chain([reserved])).try_map(|name| {
        let found = Workload::ALL.into_iter().find(|workload| workload.name() == name);
        found.ok_or("Lastack does not translate addresses yet, so there is nothing to measure")
    })
}

pub(super) fn run(arguments: &Bench) -> Result<(), Failure> {
    if arguments.html.as_deref().is_some_and(|path| path.as_os_str() == "-") {
        return Err(Failure::Usage("--html -: standard output is for the results; name a file".to_owned()));
    }
    let Bench { config, set, .. } = arguments;
    let config = load(&Configuration { config: config.clone(), set: set.clone() })?;
    let workloads =
        if arguments.workload.is_empty() { Workload::ALL.to_vec() } else { arguments.workload.clone() };
    let Bench { capacity, shards, packets, .. } = arguments;
    let plans = workloads.iter().flat_map(|&workload| {
        flows(arguments).into_iter().map(move |flows| Plan {
            workload,
            flows,
            capacity: *capacity,
            shards: *shards,
            packets: *packets,
        })
    });
    let plans: Vec<Plan> = plans.collect();
    // A command line that is wrong is told before anything is measured.
    for plan in &plans {
        plan.check(&config).map_err(|error| failure(plan, error))?;
    }
    let page = arguments.html.as_deref().map(|file| Page::begin(file, std::env::args_os()));
    let mut page = page.transpose().map_err(|error| Failure::Running(error.to_string()))?;
    let mut out = io::stdout().lock();
    if arguments.bare_loop {
        for flows in flows(arguments) {
            let ceiling =
                Ceiling::measure(flows, *packets).map_err(|error| bare_loop_failure(flows, error))?;
            let written =
                if arguments.json { ceiling.write_json(&mut out) } else { ceiling.write_text(&mut out) };
            written.map_err(output_failure)?;
        }
    }
    for (plan, number) in plans.iter().zip(1..) {
        let bar = bar(plan, format!("{number} of {}: {}", plans.len(), plan.workload));
        let report = measure(plan, &config, &|progress| tell(&bar, progress));
        if page.is_some() {
            bar.set_message("the bare loop");
        }
        let report = report.map_err(|error| failure(plan, error))?;
        let added = page.as_mut().map(|page| page.add(&report));
        bar.finish_and_clear();
        let written = if arguments.json { report.write_json(&mut out) } else { report.write_text(&mut out) };
        written.map_err(output_failure)?;
        added.transpose().map_err(|error| bare_loop_failure(plan.flows, error))?;
    }
    let Some(mut page) = page else { return Ok(()) };
    page.finish().map_err(|error| Failure::Running(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn bare_loop_failure(flows: u32, error: io::Error) -> Failure {
    Failure::Running(format!("bench: no memory for the bare loop, with {flows} connections: {error}"))
}

fn failure(plan: &Plan, error: Error) -> Failure {
    let text = format!("bench: {} with {} connections: {error}", plan.workload, plan.flows);
    match error {
        // It says by itself which part of the command line it is about.
        Error::Plan(text) => Failure::Usage(format!("bench: {text}")),
        Error::System(_)
        | Error::Memory { .. }
        | Error::Hurried { .. }
        | Error::Capacity(_)
        | Error::Refused(_)
        | Error::Lost { .. }
        | Error::Drifted { .. } => Failure::Running(text),
    }
}

/// The numbers of connections that were asked for; else one, or as many as a chart takes.
fn flows(arguments: &Bench) -> Vec<u32> {
    match &arguments.flows[..] {
        [] if arguments.html.is_some() => vec![10_000, 100_000, 1_000_000, 4_000_000],
        [] => vec![1_000_000],
        asked => asked.to_vec(),
    }
}

/// A line that tells on a terminal, and nowhere else, how far a measurement has come. It is drawn when told and at no
/// other time: never while something is timed.
fn bar(plan: &Plan, name: String) -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{prefix}, {len} connections {wide_bar} {msg}");
    indicatif::ProgressBar::new(u64::from(plan.flows))
        .with_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()))
        .with_prefix(name)
        .with_message("opening")
}

fn tell(bar: &indicatif::ProgressBar, progress: Progress) {
    match progress {
        Progress::Open(connections) => bar.set_position(connections),
        Progress::Round(number) => {
            bar.set_position(bar.length().unwrap_or(0));
            bar.set_message(format!("round {number} of {ROUNDS}"));
        }
    }
}
