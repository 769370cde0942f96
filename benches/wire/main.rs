//! Lastack on the wire beside what the kernel does in the same place.
//!
//! ```text
//!   client ═ la-client ═ la-in [ a kernel bridge, a router, Lastack ] la-out ═ la-server ═ server
//!   core 0                                    core 1                                       core 0
//! ```
//!
//! `cargo bench --bench wire`, as root; without, one line says so. Rounds alternate: everything is measured
//! once with each thing in the middle, in a lab of its own, before it is measured again. What is printed
//! are medians, as the tables of docs/performance.md.
//!
//! Both ends and the generator are bound to core 0. Core 1 is the middle's: Lastack's only worker is bound to
//! it, and the kernel is told to do there what it does with packets that arrive in the middle (receive packet
//! steering); by itself it would do it in the sender's time, on core 0. Other work of the machine disturbs
//! both: measure when there is none.
//!
//! | file | its one concern |
//! |---|---|
//! | `middle` | what stands in the middle, and the lab around it |
//! | `flood` | the smallest packets, as many as can be |
//! | `sender`, `injector` | where they come from |
//! | `streams` | what real sockets see: TCP, round trips, connections |
//! | `cores` | who used a core for how long |
//! | `report` | medians and tables |

mod cores;
mod flood;
mod injector;
mod middle;
mod report;
mod sender;
mod streams;

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use flood::Source;
use middle::{Kind, Middle};
use report::{Figure, Table};

/// What goes wrong here is only to be shown.
type Failure = Box<dyn Error + Send + Sync>;

/// The ends' core.
const ENDS: usize = 0;
/// The middle's.
const MIDDLE: usize = 1;

/// Packets a second when there is little to do.
pub(crate) const CALM_RATE: u64 = 10_000;
/// Packets a second that leave both cores some time.
pub(crate) const BUSY_RATE: u64 = 200_000;

/// How long something runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(200);

/// `cargo bench --bench wire -- OPTIONS`
#[derive(Parser)]
struct Arguments {
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only these things in the middle, such as bridge,busy
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these figures: packets, cores, trips, tcp, connections
    #[arg(long, value_delimiter = ',')]
    figures: Vec<String>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(reason) = middle::obstacle() {
        say(&format!("skipped: {reason}"));
        return Ok(());
    }
    let kinds = chosen(&arguments.only);
    let is_wanted =
        |word: &str| arguments.figures.is_empty() || arguments.figures.iter().any(|figure| figure == word);
    let duration = Duration::try_from_secs_f64(arguments.seconds)?;
    let mut table = Table::new(&kinds);
    let bar = progress(u64::from(arguments.rounds) * kinds.len() as u64);
    for round in 1..=arguments.rounds {
        let alone = if is_wanted("cores") { flood::alone(BUSY_RATE, duration)?.ends() } else { 0.0 };
        for &kind in &kinds {
            bar.set_message(format!("round {round}: {}", kind.name()));
            // What cannot be measured once is said, and spoils nothing else.
            measure(kind, duration, is_wanted, alone, &mut |figure, value| table.add(kind, figure, value))
                .unwrap_or_else(|error| bar.suspend(|| say(&format!("{}: {error}", kind.name()))));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    print!("{table}");
    Ok(())
}

/// What can be and was asked to be in the middle.
fn chosen(only: &[String]) -> Vec<Kind> {
    let asked = |kind: &Kind| only.is_empty() || only.iter().any(|word| word == kind.word());
    let (possible, impossible): (Vec<Kind>, Vec<Kind>) =
        Kind::ALL.into_iter().filter(asked).partition(Kind::is_possible);
    for kind in impossible {
        say(&format!(
            "skipped: {}, which needs the program nft (Debian: apt-get install nftables)",
            kind.name()
        ));
    }
    possible
}

/// Everything once, as far as `is_wanted`; `alone` is what [`cores`] wants to know.
fn measure(
    kind: Kind,
    duration: Duration,
    is_wanted: impl Fn(&str) -> bool,
    alone: f64,
    add: &mut dyn FnMut(Figure, f64),
) -> Result<(), Failure> {
    let middle = Middle::start(kind, false)?;
    if is_wanted("tcp") {
        tcp(&middle, false, duration, add)?;
    }
    if is_wanted("trips") {
        trips(&middle, duration, add)?;
    }
    if is_wanted("packets") {
        packets(&middle, duration, add)?;
    }
    if is_wanted("cores") {
        cores(&middle, duration, alone, add)?;
    }
    // Last, because it leaves thousands of connections in TIME_WAIT.
    if is_wanted("connections") {
        add(Figure::Connections, streams::connections(&middle, duration)?);
    }
    drop(middle);
    if is_wanted("tcp") {
        tcp(&Middle::start(kind, true)?, true, duration, add)?;
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

fn packets(middle: &Middle, duration: Duration, add: &mut dyn FnMut(Figure, f64)) -> Result<(), Failure> {
    // Even before the middle has seen an answer, it must know where the server is.
    streams::greet(middle)?;
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
        add(Figure::Core { rate }, usage.cores[1].as_secs_f64() / usage.elapsed.as_secs_f64());
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

/// A line for a person.
fn say(line: &str) {
    // There is nobody to tell that nobody listens.
    let _ = writeln!(std::io::stderr(), "{line}");
}
