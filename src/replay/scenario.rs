//! A scenario through the engine, row by row, and each row's expectation held against what came.
//!
//! ```text
//!   row ─┬ packet ─────► Driver ─► Witness ─► sink (JSON Lines, table)
//!        │                            └─► Seen: the verdict, the connections that ended ─┐
//!        └ table, connection ─► the clock moves on; Driver::live ────────────────────────┴► Difference
//! ```
//!
//! A packet has its verdict before the next row, but for fragments, which wait for their datagram: theirs is compared
//! when it comes, at the latest behind the last row. Every row is replayed whatever became of those before it, so that
//! one run tells all differences, in the order of the rows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::Path;

use super::detail::Detail;
use super::driver::Driver;
use super::sink::{PacketLine, Sink, Summary};
use super::{Error, Options, ScenarioFile};
use crate::config::{self, Config};
use crate::io::scenario::{Act, Expectation, Numbers, Row, Scenario};
use crate::shard::{Record, Verdict};
use crate::time::Tick;

/// What a row expects and what came. Its `Display` is one line that begins with the file and the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The scenario's file.
    pub file: String,
    /// The row's line, from 1.
    pub line: u32,
    /// `expected …, came …`.
    pub message: String,
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// The configuration of a scenario: the file's, then the scenario's settings, then `overrides`, so that the
/// command line has the last word.
///
/// # Errors
/// In one line for each what is wrong with them, and where.
pub fn configure(
    name: &str,
    scenario: &Scenario,
    file: Option<&Path>,
    overrides: &[String],
) -> Result<Config, String> {
    let own = scenario.settings().iter().map(|setting| setting.assignment.clone());
    let all: Vec<String> = own.chain(overrides.iter().cloned()).collect();
    config::load(file, &all).map_err(|errors| fault(name, scenario).unwrap_or_else(|| errors.to_string()))
}

/// The first line of the scenario that sets what cannot be, and why; none where it is not the scenario's fault.
fn fault(name: &str, scenario: &Scenario) -> Option<String> {
    let mut settings = Vec::new();
    scenario.settings().iter().find_map(|setting| {
        settings.push(setting.assignment.clone());
        let errors = config::load(None, &settings).err()?;
        Some(format!("{name}:{}: {errors}", setting.line))
    })
}

/// What became known while a row was replayed.
#[derive(Debug, Default)]
pub(super) struct Seen(RefCell<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Those that came since they were looked at, each with its packet's number and the numbers behind its reason.
    verdicts: Vec<(u64, Verdict, Numbers)>,
    ended: BTreeMap<u64, Record>,
}

/// Looks on while the results go where they go anyway.
pub(super) struct Witness<'a> {
    sink: Box<dyn Sink + 'a>,
    seen: &'a Seen,
}

impl<'a> Witness<'a> {
    pub(super) fn new(sink: Box<dyn Sink + 'a>, seen: &'a Seen) -> Witness<'a> {
        Witness { sink, seen }
    }
}

impl Sink for Witness<'_> {
    fn packet(&mut self, line: &PacketLine, verdict: &Verdict, detail: Option<&Detail>) -> io::Result<()> {
        let numbers = detail.map_or_else(Numbers::default, Detail::numbers);
        self.seen.0.borrow_mut().verdicts.push((line.number, *verdict, numbers));
        self.sink.packet(line, verdict, detail)
    }

    fn connection(&mut self, record: &Record, now: Tick) -> io::Result<()> {
        self.seen.0.borrow_mut().ended.insert(record.id, *record);
        self.sink.connection(record, now)
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        self.sink.summary(summary)
    }
}

/// Replays every row; the differences, in the order of the rows.
pub(super) fn run(
    file: ScenarioFile<'_>,
    scenario: &Scenario,
    driver: &mut Driver<'_>,
    seen: &Seen,
    options: &Options,
) -> Result<Vec<Difference>, Error> {
    let mut messages = Vec::new();
    let mut waiting = Waiting::new();
    let mut packets = 0;
    for row in scenario.rows() {
        match &row.act {
            Act::Packet(packet) => {
                packets += 1;
                let made = scenario.packet(packets, row.time, packet);
                super::begin_writing(driver, options, &made.batch(), file.identity)?;
                driver.take(&made.batch())?;
                waiting.extend(packet.expected.as_ref().map(|expected| (packets, (row.line, expected))));
            }
            Act::Table(_) | Act::Connection(..) => {
                let message = look(row, driver, seen).map_err(Error::Output)?;
                messages.extend(message.map(|message| (row.line, message)));
            }
        }
        messages.extend(seen.compare(&mut waiting));
    }
    if !waiting.is_empty() {
        driver.release_fragments().map_err(Error::Output)?;
        messages.extend(seen.compare(&mut waiting));
    }
    let without = waiting.into_values();
    messages.extend(without.map(|(line, _)| (line, "the packet has no verdict".to_owned())));
    driver.finish_writing()?;
    messages.sort_by_key(|&(line, _)| line);
    let difference = |(line, message)| Difference { file: file.name.to_owned(), line, message };
    Ok(messages.into_iter().map(difference).collect())
}

/// By the number of the packet, the line that says what has to become of it, and what that is.
type Waiting<'a> = BTreeMap<u64, (u32, &'a Expectation)>;

impl Seen {
    /// Holds what has come against what is waited for: the lines that differ, and how.
    fn compare(&self, waiting: &mut Waiting<'_>) -> Vec<(u32, String)> {
        let verdicts = std::mem::take(&mut self.0.borrow_mut().verdicts);
        let differences = verdicts.into_iter().filter_map(|(number, verdict, numbers)| {
            let (line, expected) = waiting.remove(&number)?;
            Some((line, expected.difference(&verdict, &numbers)?))
        });
        differences.collect()
    }
}

/// Holds a row that sends nothing against the table.
fn look(row: &Row, driver: &mut Driver<'_>, seen: &Seen) -> io::Result<Option<String>> {
    let now = driver.pass_to(row.time)?;
    Ok(match &row.act {
        Act::Packet(_) => None,
        Act::Table(expected) => {
            let live: Vec<u64> = driver.live().map(|record| record.id).collect();
            (live != *expected)
                .then(|| format!("expected `{}`, came `{}`", numbers(expected), numbers(&live)))
        }
        Act::Connection(id, fate) => {
            let live = driver.live().find(|record| record.id == *id);
            let known = seen.0.borrow();
            fate.difference(*id, live.as_ref().or(known.ended.get(id)), now)
        }
    })
}

/// Connections as a `table` row lists them.
fn numbers(connections: &[u64]) -> String {
    let words: Vec<String> = connections.iter().map(u64::to_string).collect();
    if words.is_empty() { "empty".to_owned() } else { words.join(" ") }
}
