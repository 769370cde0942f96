//! Why `run` could not begin, in words for a person.

use std::fmt;
use std::io;

use af_xdp::BindErrorKind;

use super::plan::Problem;
use crate::table::LayoutError;
use crate::{control, link, metrics, xdp};

/// Why the middlebox could not begin. Nothing is left behind.
#[derive(Debug)]
pub enum Error {
    /// The configuration cannot be run: what is wrong, and what would be right.
    Configuration(String),
    /// An interface.
    Link {
        /// The port's name.
        port: String,
        /// What is wrong with it.
        error: link::Error,
    },
    /// A socket.
    Socket {
        /// The port's name.
        port: String,
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// What is wrong.
        error: af_xdp::BindError,
    },
    /// The XDP program.
    Program {
        /// The port's name.
        port: String,
        /// The interface.
        interface: String,
        /// What is wrong.
        error: xdp::AttachError,
    },
    /// A socket could not be made known to the XDP program, or the interface be made promiscuous.
    Port {
        /// The port's name.
        port: String,
        /// The interface.
        interface: String,
        /// What was tried.
        what: &'static str,
        /// The operating system's answer.
        error: io::Error,
    },
    /// Privileges are missing: these.
    Capabilities(Vec<&'static str>),
    /// The frames' memory.
    Frames {
        /// How many bytes.
        bytes: u64,
        /// The operating system's answer.
        error: io::Error,
    },
    /// The tables' memory.
    Table(io::Error),
    /// Something else of the operating system.
    System {
        /// What was tried.
        what: &'static str,
        /// Its answer.
        error: io::Error,
    },
    /// The control socket.
    Control(control::Error),
    /// The address for metrics.
    Metrics(metrics::BindError),
    /// A worker has ended before it should.
    Worker(usize),
}

impl Error {
    /// Whether the configuration is at fault, and not the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::Configuration(_))
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Error {
        Error::Configuration(match problem {
            Problem::NoBridge => "no [[bridge]]: `lastack run` needs one that joins two [[port]]s; \
                                  write for example [[bridge]] ports = [\"inside\", \"outside\"]"
                .to_owned(),
            Problem::Unbridged(port) => format!(
                "[[port]] name = \"{port}\": no [[bridge]] joins this port, so its packets would have nowhere to \
                 go; name it in a bridge's ports, or take it out"
            ),
            Problem::NoQueue { port, queue, queues } => format!(
                "[[port]] name = \"{port}\": queues: there is no queue {queue}; the interface has {queues} \
                 (0 to {})",
                queues.saturating_sub(1)
            ),
            Problem::TooManyWorkers { workers, most } => format!(
                "[workers] cpus: {workers} workers cannot share what is limited to {most} in all; raise [table] \
                 max_connections, [fragments] max or [tcp] time_wait_max, or name fewer cores"
            ),
        })
    }
}

impl From<LayoutError> for Error {
    fn from(error: LayoutError) -> Error {
        Error::Configuration(format!("[table]: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Configuration(text) => f.write_str(text),
            Error::Link { port, error } => write!(f, "port \"{port}\": {error}"),
            Error::Socket { port, interface, queue, error } if error.kind() == BindErrorKind::NoZeroCopy => {
                write!(
                    f,
                    "port \"{port}\": {interface}, queue {queue}: its driver cannot do without copying; write \
                 xdp = \"auto\", or \"native\""
                )
            }
            Error::Socket { port, interface, queue, error } => {
                write!(f, "port \"{port}\": {interface}, queue {queue}: {error}")
            }
            Error::Program { port, interface, error } => write!(f, "port \"{port}\": {interface}: {error}"),
            Error::Port { port, interface, what, error } => {
                write!(f, "port \"{port}\": {interface}: {what}: {error}")
            }
            Error::Capabilities(missing) => write!(
                f,
                "missing {}: run as root, or give the process these capabilities (configs/lastack.service shows \
                 how)",
                missing.join(", ")
            ),
            Error::Frames { bytes, error } => write!(
                f,
                "no memory for packets ({} MiB): {error}; raise the limit of locked memory (ulimit -l, \
                 LimitMEMLOCK=), or lower [fragments] max",
                bytes >> 20
            ),
            Error::Table(error) => {
                write!(f, "no memory for the table: {error}; a smaller [table] max_connections takes less")
            }
            Error::System { what, error } => write!(f, "{what}: {error}"),
            Error::Control(error) => write!(f, "{error}"),
            Error::Metrics(error) => write!(f, "{error}"),
            Error::Worker(number) => {
                write!(f, "worker {number} has ended by a fault of its own; nothing is forwarded any more")
            }
        }
    }
}

impl std::error::Error for Error {}
