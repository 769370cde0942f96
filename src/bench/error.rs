//! Why a measurement failed.

use std::fmt;
use std::io;

use crate::shard::Verdict;
use crate::tcp::State;

/// Why a measurement failed.
#[derive(Debug)]
pub enum Error {
    /// It cannot be done as asked; says what could.
    Plan(String),
    /// Memory, randomness or a thread.
    System(io::Error),
    /// The table cannot have that capacity.
    Capacity(crate::table::LayoutError),
    /// The engine did not judge a packet as the workload takes for granted: a configuration that forbids it.
    Refused(Verdict),
    /// Other connections are in the table than there should be.
    Lost {
        /// The state that one of their endpoints is in.
        state: State,
        /// How many there should be.
        expected: u32,
        /// How many there are.
        found: u64,
    },
    /// The table did not stay as full as it should.
    Drifted {
        /// The fewest and the most connections that it should have.
        expected: (u32, u32),
        /// How many it has.
        found: u32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Plan(text) => write!(f, "bench: {text}"),
            Error::System(error) => write!(f, "bench: {error}"),
            Error::Capacity(error) => write!(f, "bench: {error}"),
            Error::Refused(verdict) => write!(
                f,
                "bench: a packet of the workload was not judged as it should be ({}, {}); the configuration forbids it",
                verdict.class.name(),
                verdict.reason.map_or("no reason", |reason| reason.name())
            ),
            Error::Lost { state, expected, found } => write!(
                f,
                "bench: of {expected} connections in {} there are {found}; the timeouts and limits in [tcp] do not let \
                 them stay",
                state.name()
            ),
            Error::Drifted { expected: (least, most), found } => write!(
                f,
                "bench: the table should hold {least} to {most} connections and holds {found}; [tcp] must let TIME_WAIT \
                 last 2 MSL (time_wait_truncation, time_wait_max)"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::System(error)
    }
}
