//! What can be replayed: a capture, or a scenario. Which one it is, its first bytes tell.

use std::path::Path;

use super::capture::{Capture, Opened, await_bytes, read_more};
use super::error::{Error, ErrorKind};
use super::scenario::{self, Scenario};
use super::source::FileIdentity;

/// An open capture, or a scenario that was read.
#[derive(Debug)]
pub enum Input {
    /// A capture.
    Capture(Box<Capture>),
    /// A scenario, and what errors call it.
    Scenario {
        /// The path, or `standard input`.
        name: Box<str>,
        /// Which file it is, so that it is not overwritten; `None` for standard input.
        identity: Option<FileIdentity>,
        /// What it says.
        scenario: Scenario,
    },
}

impl Input {
    /// Opens what lies at `path`, `-` for standard input.
    ///
    /// # Errors
    /// As [`Capture::open`]; a scenario that is not well-formed, by line and column.
    pub fn open(path: impl AsRef<Path>) -> Result<Input, Error> {
        let mut opened = Opened::open(path.as_ref())?;
        match read_scenario(&mut opened) {
            Ok(Some(scenario)) => {
                Ok(Input::Scenario { name: opened.name, identity: opened.identity, scenario })
            }
            Ok(None) => Ok(Input::Capture(Box::new(Capture::start(opened)?))),
            Err(kind) => Err(Error::new(&opened.name, kind)),
        }
    }
}

/// The scenario that was opened; none where it is something else, of which nothing was consumed.
fn read_scenario(Opened { source, .. }: &mut Opened) -> Result<Option<Scenario>, ErrorKind> {
    await_bytes(source, 8)?;
    if !scenario::is_scenario(source.available()) {
        return Ok(None);
    }
    while source.available().len() <= scenario::MOST_BYTES {
        if !read_more(source)? {
            return scenario::parse(source.available()).map(Some).map_err(ErrorKind::Scenario);
        }
    }
    Err(ErrorKind::LongScenario)
}
