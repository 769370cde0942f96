//! Why a measurement failed.

use std::fmt;
use std::io;

use crate::shard::{Class, Verdict};
use crate::tcp::State;

/// Why a measurement failed.
#[derive(Debug)]
pub enum Error {
    /// It cannot be done as asked; says what could.
    Plan(String),
    /// Randomness, a thread, or memory of no great size.
    System(io::Error),
    /// No memory.
    Memory {
        /// For what.
        what: String,
        /// How much was asked for.
        bytes: u64,
        /// What the system said.
        error: io::Error,
    },
    /// The table cannot have that capacity.
    Capacity(crate::table::LayoutError),
    /// The engine did not judge a packet as the workload takes for granted: a configuration that forbids it.
    Refused(Verdict),
    /// Connections came due before their baseline could be timed.
    Hurried {
        /// How many connections were to be closed before.
        flows: u32,
        /// How long that took, in nanoseconds.
        taken: u64,
        /// How long TIME_WAIT lasts, in nanoseconds.
        lasts: u64,
    },
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
            Error::Plan(text) => f.write_str(text),
            Error::System(error) => write!(f, "{error}"),
            Error::Memory { what, bytes, error } => {
                let million = (*bytes as f64 / 1e6).ceil();
                write!(f, "no memory for {what}, {million} MB: {error}")
            }
            Error::Capacity(error) => write!(f, "{error}"),
            Error::Refused(verdict) => write_refused(verdict, f),
            Error::Hurried { flows, taken, lasts } => write!(
                f,
                "to close {flows} connections took {:.1} s of the {:.1} s that TIME_WAIT lasts, so nothing is left to time \
                 the same traffic before they end: a longer tcp.msl, or fewer --flows",
                *taken as f64 / 1e9,
                *lasts as f64 / 1e9
            ),
            Error::Lost { state, expected, found } => write!(
                f,
                "of {expected} connections in {} there are {found}; the timeouts and limits in [tcp] do not let \
                 them stay",
                state.name()
            ),
            Error::Drifted { expected: (least, most), found } => write!(
                f,
                "the table should hold {least} to {most} connections and holds {found}; [tcp] must let TIME_WAIT \
                 last 2 MSL (time_wait_truncation, time_wait_max)"
            ),
        }
    }
}

/// What the verdict of a packet says of the configuration.
fn write_refused(verdict: &Verdict, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let class = verdict.class.name();
    match (verdict.class, verdict.reason) {
        (Class::New, None) => f.write_str(
            "a packet of an open connection was taken for the first of a new one: its connection had ended, so a timeout \
             or a limit in [tcp] is too short for this workload",
        ),
        (_, Some(reason)) => write!(
            f,
            "a packet that has to pass was judged {class} ({}): the configuration forbids it, and docs/reasons.md says when",
            reason.name()
        ),
        (_, None) => write!(f, "a packet was judged {class}, which none of this workload should be"),
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::System(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::{Reason, Refusal};

    #[test]
    fn a_packet_that_was_judged_otherwise_says_what_that_means() {
        let told = |class, reason| Error::Refused(Verdict { class, reason, ..Verdict::HELD }).to_string();
        let new = told(Class::New, None);
        assert!(new.contains("had ended") && new.contains("timeout or a limit in [tcp]"), "{new}");
        let full = told(Class::Invalid, Some(Reason::Shard(Refusal::TableFull)));
        assert!(full.contains("invalid (table_full)") && full.contains("docs/reasons.md"), "{full}");
        assert!(told(Class::Untracked, None).contains("judged untracked"));
    }

    #[test]
    fn memory_that_there_is_not_is_told_with_its_size_and_purpose() {
        let error = io::Error::from_raw_os_error(12);
        let text =
            Error::Memory { what: "5 connections (3 bytes each)".to_owned(), bytes: 14_400_001, error };
        let text = text.to_string();
        assert!(
            text.starts_with("no memory for 5 connections (3 bytes each), 15 MB: Cannot allocate"),
            "{text}"
        );
    }

    #[test]
    fn what_took_too_long_says_how_long_and_what_helps() {
        let text = Error::Hurried { flows: 7, taken: 3_100_000_000, lasts: 4_000_000_000 }.to_string();
        assert!(text.contains("7 connections took 3.1 s of the 4.0 s") && text.contains("tcp.msl"), "{text}");
    }
}
