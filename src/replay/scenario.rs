//! A scenario through the engine, row by row, and each row's expectation held against what came.
//!
//! ```text
//!   row ─┬ packet ─────► Driver ─► Witness ─► sink (JSON Lines, table)
//!        │                            └─► Seen: the verdict, the connections that ended ─┐
//!        └ table, connection ─► the clock moves on; Driver::live ────────────────────────┴► Difference
//! ```
//!
//! A packet of a scenario is never a fragment, so each has its verdict before the next row. Every row is
//! replayed whatever became of those before it, so that one run tells all differences.

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
use crate::io::scenario::{Act, Numbers, Row, Scenario};
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
    /// With the numbers behind its reason.
    verdict: Option<(Verdict, Numbers)>,
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
        self.seen.0.borrow_mut().verdict = Some((*verdict, numbers));
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
    let mut differences = Vec::new();
    let mut packets = 0;
    for row in scenario.rows() {
        let message = match &row.act {
            Act::Packet(packet) => {
                packets += 1;
                let made = scenario.packet(packets, row.time, packet);
                super::begin_writing(driver, options, &made.batch(), file.identity)?;
                seen.0.borrow_mut().verdict = None;
                driver.take(&made.batch())?;
                packet.expected.as_ref().and_then(|expected| match seen.0.borrow().verdict {
                    Some((verdict, numbers)) => expected.difference(&verdict, &numbers),
                    None => Some("the packet has no verdict yet".to_owned()),
                })
            }
            Act::Table(_) | Act::Connection(..) => look(row, driver, seen).map_err(Error::Output)?,
        };
        differences.extend(message.map(|message| Difference {
            file: file.name.to_owned(),
            line: row.line,
            message,
        }));
    }
    driver.finish_writing()?;
    Ok(differences)
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
