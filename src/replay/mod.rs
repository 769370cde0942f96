//! `lastack replay`: a capture through the engine, on the capture's own clock.
//!
//! ```text
//!  Capture ─ batch ─► Driver ─ bursts of one tick and one shard ─► Shard::process
//!                       │  before a later tick: Shard::poll, tick by tick, so that connections end in order
//!                       ▼
//!                     Sink: JSON Lines, or a table for a person;  accepted frames ─► CaptureWriter
//! ```
//!
//! A scenario ([`crate::io::scenario`]) goes the same way, row by row; `scenario` compares what becomes of each
//! with what the row expects.
//!
//! With several shards the packets still go one after the other, each to the shard that owns it: the result
//! is the same as with one, numbers and order included, as long as no limit is reached (each shard has its
//! part of them). Memory is bounded: by the table (and a few bytes for each connection that lives at the end
//! or ends in one tick), the fragments held, and one batch.

mod detail;
mod driver;
mod explain;
mod json;
mod scenario;
mod sink;
mod text;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use crate::config::Config;
use crate::io::scenario::Scenario;
use crate::io::{Batch, Capture, CaptureWriter, FileIdentity, Input};
use crate::shard::Shard;
use crate::table::HashKeys;
use crate::time::{SystemClock, Tick};
use driver::Driver;
pub use scenario::{Difference, configure};
use sink::Sink;

/// How to replay.
#[derive(Debug, Clone)]
pub struct Options {
    /// JSON Lines in place of a table.
    pub json: bool,
    /// Where accepted frames go.
    pub write: Option<PathBuf>,
    /// Whether the clock runs on after the last packet until the table is empty.
    pub drain: bool,
    /// The packet whose story is told in place of everything else, from 1.
    pub explain: Option<u64>,
    /// Among how many shards the connections are divided.
    pub shards: u32,
    /// The hash keys; drawn at random outside of tests.
    pub keys: HashKeys,
}

/// Why a replay failed.
#[derive(Debug)]
pub enum Error {
    /// The capture, or the one that is being written.
    Capture(crate::io::Error),
    /// The capture to be written cannot be begun: then nothing was replayed.
    Begin(crate::io::Error),
    /// The table's memory.
    Memory(std::io::Error),
    /// The configured capacity cannot be had.
    Capacity(crate::table::LayoutError),
    /// The capture has fewer packets than the one to be explained.
    NoSuchPacket {
        /// The packet that was asked for.
        number: u64,
        /// How many there are.
        packets: u64,
    },
    /// Standard output.
    Output(std::io::Error),
    /// A scenario was replayed to its end, and not everything became of it that it expects.
    Differences(Vec<Difference>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Capture(error) | Error::Begin(error) => write!(f, "{error}"),
            Error::Memory(error) => {
                write!(f, "no memory for the table: {error}; a smaller [table] max_connections takes less")
            }
            Error::Capacity(error) => write!(f, "[table]: {error}"),
            Error::NoSuchPacket { number, packets } => {
                write!(f, "--explain {number}: the capture has {packets} packets")
            }
            Error::Output(error) => write!(f, "standard output: {error}"),
            Error::Differences(differences) => {
                let lines: Vec<String> = differences.iter().map(Difference::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Capture(error) | Error::Begin(error) => Some(error),
            Error::Memory(error) | Error::Output(error) => Some(error),
            Error::Capacity(error) => Some(error),
            Error::Differences(_) | Error::NoSuchPacket { .. } => None,
        }
    }
}

impl From<crate::io::Error> for Error {
    fn from(error: crate::io::Error) -> Error {
        Error::Capture(error)
    }
}

/// Replays a capture or a scenario and writes the result to `out`; `progress` is called now and then.
///
/// # Errors
/// The capture is damaged (then everything readable before has been processed and written, the summary
/// included), what a scenario expects has not come (likewise), or the output cannot be written.
pub fn replay(
    input: Input,
    options: &Options,
    config: &Config,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(crate::io::Progress),
) -> Result<(), Error> {
    match input {
        Input::Capture(capture) => replay_opened(*capture, options, config, out, progress),
        Input::Scenario { name, identity, scenario } => {
            let file = ScenarioFile { name: &name, identity };
            replay_scenario(file, &scenario, options, config, out)
        }
    }
}

/// Which file a scenario comes from.
#[derive(Debug, Clone, Copy)]
struct ScenarioFile<'a> {
    name: &'a str,
    identity: Option<FileIdentity>,
}

/// Replays a scenario with the settings that `config` has from [`configure`].
fn replay_scenario(
    file: ScenarioFile<'_>,
    scenario: &Scenario,
    options: &Options,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let seen = scenario::Seen::default();
    if let Some(number) = options.explain {
        let mut driver = explaining(make_shards(options, config)?, number);
        // What differs from what is expected is not the question.
        let read = scenario::run(file, scenario, &mut driver, &seen, options).map(drop);
        return tell_story(driver, read, (number, file.name), options, out);
    }
    let witness = Box::new(scenario::Witness::new(make_sink(options, file.name, out), &seen));
    let mut driver = Driver::new(make_shards(options, config)?, witness, true, true);
    let compared = scenario::run(file, scenario, &mut driver, &seen, options);
    if matches!(compared, Err(Error::Begin(_))) {
        return compared.map(drop);
    }
    let told = driver.finish(options.drain).map_err(Error::Output);
    let differences = compared?;
    told?;
    if differences.is_empty() { Ok(()) } else { Err(Error::Differences(differences)) }
}

fn make_sink<'a>(options: &Options, name: &str, out: &'a mut dyn Write) -> Box<dyn Sink + 'a> {
    if options.json { Box::new(json::Lines::new(out)) } else { Box::new(text::Table::new(out, name)) }
}

/// As [`replay`], of a capture, wherever it comes from.
///
/// # Errors
/// As [`replay`].
pub fn replay_opened(
    mut capture: Capture,
    options: &Options,
    config: &Config,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(crate::io::Progress),
) -> Result<(), Error> {
    let shards = make_shards(options, config)?;
    if let Some(number) = options.explain {
        let mut driver = explaining(shards, number);
        let read = read_all(&mut capture, &mut driver, options, progress);
        return tell_story(driver, read, (number, capture.name()), options, out);
    }
    let sink = make_sink(options, capture.name(), out);
    let mut driver = Driver::new(shards, sink, options.json || options.write.is_some(), options.json);
    let ended = read_all(&mut capture, &mut driver, options, progress);
    if matches!(ended, Err(Error::Begin(_))) {
        return ended;
    }
    // Whatever else ended the reading: what was read is told to its end.
    let told = driver.finish(options.drain).map_err(Error::Output);
    ended.and(told)
}

/// A driver that waits for packet `number`, to explain it.
fn explaining<'a>(shards: Vec<Shard>, number: u64) -> Driver<'a> {
    let mut driver = Driver::new(shards, Box::new(sink::Silent), true, true);
    driver.explain(number);
    driver
}

/// Tells packet `number`'s story, of a replay that has come as far as `read` says.
fn tell_story(
    mut driver: Driver<'_>,
    read: Result<(), Error>,
    (number, name): (u64, &str),
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), Error> {
    if !driver.is_done() {
        // A fragment may wait for what does not come any more.
        driver.release_fragments().map_err(Error::Output)?;
    }
    if driver.write_story(name, options.json, out).map_err(Error::Output)? {
        return Ok(());
    }
    read.and(Err(Error::NoSuchPacket { number, packets: driver.packets() }))
}

/// Reads the capture to its end or its first error, or until the driver has what it wants.
fn read_all(
    capture: &mut Capture,
    driver: &mut Driver<'_>,
    options: &Options,
    progress: &mut dyn FnMut(crate::io::Progress),
) -> Result<(), Error> {
    let identity = capture.identity();
    let mut batches = 0_u32;
    loop {
        let batch = match capture.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(error) => {
                driver.finish_writing()?;
                return Err(error.into());
            }
        };
        begin_writing(driver, options, &batch, identity)?;
        driver.take(&batch)?;
        if driver.is_done() {
            break;
        }
        batches = batches.wrapping_add(1);
        if batches.is_multiple_of(256) {
            progress(capture.progress());
        }
    }
    driver.finish_writing()?;
    Ok(())
}

/// Begins the file of accepted frames, before the first batch.
fn begin_writing(
    driver: &mut Driver<'_>,
    options: &Options,
    batch: &Batch<'_>,
    identity: Option<FileIdentity>,
) -> Result<(), Error> {
    if let (Some(path), Some(first), false) = (&options.write, batch.get(0), driver.is_writing()) {
        driver.write_to(CaptureWriter::create(path, first.link, identity).map_err(Error::Begin)?);
    }
    Ok(())
}

/// The shards, each with its part of every limit; never more of them than a limit can be split into.
fn make_shards(options: &Options, config: &Config) -> Result<Vec<Shard>, Error> {
    let parts = config.split(options.shards.min(config.most_shards())).map_err(Error::Capacity)?;
    let shard = |(layout, settings)| Shard::new(layout, options.keys, settings, Tick::new(0));
    parts.into_iter().map(shard).collect::<Result<_, _>>().map_err(Error::Memory)
}

/// A bar on standard error, if that is a terminal and the replay takes longer than a second.
pub struct ProgressBar {
    clock: SystemClock,
    bar: Option<indicatif::ProgressBar>,
}

impl fmt::Debug for ProgressBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressBar").finish_non_exhaustive()
    }
}

impl ProgressBar {
    /// Nothing is shown yet.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> ProgressBar {
        ProgressBar { clock: SystemClock::new(), bar: None }
    }

    /// Shows how far the capture has been read.
    pub fn show(&mut self, progress: crate::io::Progress) {
        if self.clock.now().seconds() < 1.0 {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| match progress.total {
            Some(total) => indicatif::ProgressBar::new(total).with_style(
                indicatif::ProgressStyle::with_template(
                    "{wide_bar} {percent}% of {total_bytes}, {bytes_per_sec}, {eta} left",
                )
                .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()),
            ),
            None => indicatif::ProgressBar::new_spinner(),
        });
        bar.set_position(progress.consumed);
    }

    /// Takes it away again.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
