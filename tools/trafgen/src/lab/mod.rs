//! Lastack on the wire beside what the kernel does in the same place.
//!
//! ```text
//!   client ═ la-client ═ la-in [ a kernel bridge, a router, Lastack ] la-out ═ la-server ═ server
//!   core 0                                    core 1                                       core 0
//! ```
//!
//! `trafgen lab`, as root; `tools/wire-bench` builds everything and runs it. Rounds alternate: everything is
//! measured once with each thing in the middle, in a lab of its own, before it is measured again. What is
//! printed are medians, as the tables of docs/performance.md.
//!
//! Both ends and the generator are bound to core 0. Core 1 is the middle's: Lastack's only worker is bound to
//! it, and the kernel is told to do there what it does with packets that arrive in the middle (receive packet
//! steering); by itself it would do it in the sender's time, on core 0. Other work of the machine disturbs
//! both: measure when there is none.
//!
//! Namespaces have no names, and a middlebox is killed with this process: nothing is left, however it ends.
//!
//! | file | its one concern |
//! |---|---|
//! | `middle` | what stands in the middle, and the lab around it |
//! | `flood` | the smallest packets, as many as can be |
//! | `load` | the generator between both ends |
//! | `injector` | packets that the kernel makes |
//! | `streams` | what real sockets see: TCP, round trips, connections |
//! | `cores` | who used a core for how long |
//! | `spare` | what a core has left |
//! | `report` | medians and tables |

mod cores;
mod flood;
mod injector;
mod load;
mod middle;
mod report;
mod spare;
mod streams;

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::Lab;
use crate::{Failure, say};
use flood::Source;
use middle::{Kind, Middle};
use report::{Figure, Table};

/// The ends' core.
const ENDS: usize = 0;
/// The middle's.
const MIDDLE: usize = 1;

/// Packets a second when there is little to do.
pub(crate) const CALM_RATE: u64 = 10_000;
/// Packets a second when there is always something to do.
pub(crate) const LIVELY_RATE: u64 = 100_000;
/// Packets a second that leave both cores some time.
pub(crate) const BUSY_RATE: u64 = 200_000;

/// How long something runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(200);

/// Measures, and prints tables.
pub(crate) fn run(arguments: &Lab) -> Result<(), Failure> {
    if let Some(reason) = middle::obstacle() {
        return Err(reason.into());
    }
    let kinds = chosen(&arguments.only)?;
    let lastack = program(arguments)?;
    let is_wanted =
        |word: &str| arguments.figures.is_empty() || arguments.figures.iter().any(|figure| figure == word);
    let duration = Duration::try_from_secs_f64(arguments.seconds)?;
    let mut table = Table::new(&kinds);
    let bar = progress(u64::from(arguments.rounds) * kinds.len() as u64);
    for round in 1..=arguments.rounds {
        let alone = if is_wanted("cores") { flood::alone(BUSY_RATE, duration)?.ends() } else { 0.0 };
        for &kind in &kinds {
            bar.set_message(format!("round {round}: {}", kind.name()));
            let setting = Setting { kind, duration, alone, lastack: &lastack };
            // What cannot be measured once is said, and spoils nothing else.
            measure(&setting, is_wanted, &mut |figure, value| table.add(kind, figure, value))
                .unwrap_or_else(|error| bar.suspend(|| say(&format!("{}: {error}", kind.name()))));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if arguments.json {
        return table.write_json();
    }
    print!("{table}");
    Ok(())
}

/// The program to measure: the one asked for, or the one that lies beside this.
fn program(arguments: &Lab) -> Result<PathBuf, Failure> {
    let path = match &arguments.lastack {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("lastack"),
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("there is no {}: build lastack, or say with --lastack where it is", path.display()).into())
}

/// What can be and was asked to be in the middle.
fn chosen(only: &[String]) -> Result<Vec<Kind>, Failure> {
    if let Some(word) = only.iter().find(|word| Kind::ALL.iter().all(|kind| kind.word() != *word)) {
        let words = Kind::ALL.map(Kind::word).join(", ");
        return Err(format!("--only {word}: there is no such thing; there are {words}").into());
    }
    let asked = |kind: &Kind| only.is_empty() || only.iter().any(|word| word == kind.word());
    let (possible, impossible): (Vec<Kind>, Vec<Kind>) =
        Kind::ALL.into_iter().filter(asked).partition(Kind::is_possible);
    for kind in impossible {
        say(&format!(
            "skipped: {}, which needs the program nft (Debian: apt-get install nftables)",
            kind.name()
        ));
    }
    Ok(possible)
}

/// What is measured, and how.
struct Setting<'a> {
    kind: Kind,
    /// Of each measurement.
    duration: Duration,
    /// What the generator takes of the ends' core for each packet when there is nothing behind it, in nanoseconds.
    alone: f64,
    /// The program.
    lastack: &'a Path,
}

/// Everything once, as far as `is_wanted`.
fn measure(
    setting: &Setting<'_>,
    is_wanted: impl Fn(&str) -> bool,
    add: &mut dyn FnMut(Figure, f64),
) -> Result<(), Failure> {
    let Setting { kind, duration, alone, lastack } = *setting;
    let middle = Middle::start(kind, false, lastack)?;
    // What has just come up may take a second until it forwards, and has to learn where both ends are.
    streams::greet(&middle)?;
    if is_wanted("tcp") {
        tcp(&middle, false, duration, add)?;
    }
    if is_wanted("trips") {
        trips(&middle, duration, add)?;
    }
    if is_wanted("packets") {
        packets(&middle, duration, add)?;
    }
    if is_wanted("latency") {
        latency(&middle, duration, add)?;
    }
    if is_wanted("cores") {
        cores(&middle, duration, alone, add)?;
    }
    // Last, because it leaves thousands of connections in TIME_WAIT.
    if is_wanted("connections") {
        let found = load::connections(&middle)?;
        add(Figure::Opened, found.opened);
        add(Figure::Closed, found.closed);
        add(Figure::PerConnection, found.at_work.as_secs_f64() * 1e6);
        add(Figure::Connections, streams::connections(&middle, duration)?);
    }
    drop(middle);
    if is_wanted("tcp") {
        tcp(&Middle::start(kind, true, lastack)?, true, duration, add)?;
    }
    Ok(())
}

fn tcp(
    middle: &Middle,
    offloads: bool,
    duration: Duration,
    add: &mut dyn FnMut(Figure, f64),
) -> Result<(), Failure> {
    for connections in [1, 8] {
        let figure = Figure::Tcp { connections, offloads };
        add(figure, streams::throughput(middle, connections, duration)?);
    }
    Ok(())
}

fn trips(middle: &Middle, duration: Duration, add: &mut dyn FnMut(Figure, f64)) -> Result<(), Failure> {
    for (spaced, pause) in [(false, Duration::ZERO), (true, Duration::from_millis(1))] {
        let trips = streams::round_trips(middle, pause, duration)?;
        for percentile in [50, 99] {
            add(Figure::RoundTrip { spaced, percentile }, trips.percentile(usize::from(percentile)));
        }
    }
    Ok(())
}

fn latency(middle: &Middle, duration: Duration, add: &mut dyn FnMut(Figure, f64)) -> Result<(), Failure> {
    for rate in [CALM_RATE, LIVELY_RATE] {
        let found = load::latency(middle, rate, duration)?;
        for (per_mille, value) in [(500, found.p50), (990, found.p99), (999, found.p999)] {
            add(Figure::OneWay { rate, per_mille }, value as f64 / 1e3);
        }
    }
    Ok(())
}

fn packets(middle: &Middle, duration: Duration, add: &mut dyn FnMut(Figure, f64)) -> Result<(), Failure> {
    for (source, flows) in [(Source::Socket, 1), (Source::Socket, 1000), (Source::Frames, 1000)] {
        let flood = flood::flood(middle, source, flows, None, duration)?;
        let [sent, received] = flood.rates();
        add(Figure::Packets { source, flows }, received);
        add(Figure::Offered { source, flows }, sent);
        if flows > 1 {
            add(Figure::PerPacket { source }, flood.each(flood.usage.at_work()));
            if let Some(share) = flood.usage.own_share() {
                add(Figure::OwnShare { source }, share);
            }
        }
    }
    Ok(())
}

/// `alone` is what the generator takes of the ends' core for each packet when there is nothing behind it.
fn cores(
    middle: &Middle,
    duration: Duration,
    alone: f64,
    add: &mut dyn FnMut(Figure, f64),
) -> Result<(), Failure> {
    for rate in [0, CALM_RATE] {
        let usage = flood::flood(middle, Source::Socket, 1000, Some(rate), duration)?.usage;
        add(Figure::Core { rate }, usage.whole().as_secs_f64() / usage.elapsed.as_secs_f64());
    }
    let flood = flood::flood(middle, Source::Socket, 1000, Some(BUSY_RATE), duration)?;
    add(Figure::BothCores, flood.each(flood.usage.at_work()) + flood.ends() - alone);
    Ok(())
}

fn progress(steps: u64) -> ProgressBar {
    // Draws on standard error, and not at all where that is no terminal.
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  ({eta} left)");
    let bar = ProgressBar::new(steps);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::{Arguments, FIGURES};

    /// It looks at them before it builds this program.
    #[test]
    fn the_script_around_the_laboratory_knows_its_options_and_names() {
        let script = include_str!("../../../wire-bench");
        let command = Arguments::command();
        let lab = command.find_subcommand("lab").unwrap();
        for option in lab.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(script.contains(&format!("--{option}")), "--{option}");
        }
        for names in [FIGURES.join(", "), Kind::ALL.map(Kind::word).join(", ")] {
            assert!(script.contains(&format!("\"{names}\"")), "{names}");
        }
    }
}
