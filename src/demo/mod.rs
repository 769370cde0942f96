//! `lastack demo`: real TCP between two kernels, and what both of them and the tracker say of it.
//!
//! ```text
//!   namespace client             namespace middle             namespace server
//!   sockets ── la-client ═══ la-in [ lastack run ] la-out ═══ la-server ── sockets
//!      │                               │                                     │
//!      └── its kernel: FIN_WAIT_2      └── FIN_WAIT_2/CLOSE_WAIT             └── its kernel: CLOSE_WAIT
//!                 └──────────────────────── compared ────────────────────────────┘
//! ```
//!
//! Eight connections are played at once (`scenario`): requests over both IP versions, a half-close with a
//! download behind it, an abort, a refusal, a port that is used again while its last connection is in
//! TIME_WAIT, a SYN that nobody answers at first, a server that forgets to close. At each moment that a script
//! names, the sockets' states are asked of the two kernels and the connection's of the middlebox, and all are
//! put into a table. What the kernels say comes from their socket diagnostics ([`crate::lab`]): a socket that
//! is gone is CLOSED; a server that has not accepted yet is LISTEN.
//!
//! # Life cycle
//!
//! Privileged: the lab and the middlebox are made, rounds are played until the time is over or somebody
//! interrupts, the table is printed, the middlebox is ended, the lab goes. Unprivileged: one line says so, and
//! the capture that is built in is replayed. Nothing stays behind, however the process ends: the namespaces
//! have no names, the child dies with its parent. (A SIGKILL leaves an empty directory among the temporary
//! files.)
//!
//! | file | concern |
//! |---|---|
//! | `scenario` | what the kernels are made to do |
//! | `act` | the sockets and signals that a script works with |
//! | `stage` | the director: samples, compares, lets scripts go on |
//! | `tracker` | who is compared with the kernels |
//! | `middlebox` | `lastack run` as a child in the middle |
//! | `text` | the table, live and in the end |

mod act;
mod middlebox;
mod scenario;
mod stage;
mod text;
mod tracker;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::config::{self, Config};
use crate::io::Capture;
use crate::lab::{self, Lab};
use crate::replay;
use crate::table::HashKeys;
use crate::time::SystemClock;
use middlebox::Middlebox;
pub use stage::{Conversation, Moment, Report, Sample, perform};
pub use text::{Screen, write_report};
pub use tracker::{ControlSocket, Tracked, Tracker};

/// Conversations between two kernels, as tools/make-capture made them.
const BUILT_IN: &[u8] = include_bytes!("../../tests/data/kernel-tcp.pcap");
/// How long the middlebox may take until it can be asked, in seconds.
const READY: f64 = 10.0;

/// What is asked of the demo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Rounds are played until this many seconds have passed, the last one to its end; one of them at least.
    pub seconds: u32,
    /// Keys of the middlebox's configuration that are set otherwise, `KEY=VALUE` each.
    pub set: Vec<String>,
}

/// Why the demo failed.
#[derive(Debug)]
pub enum Error {
    /// The lab cannot be built, for another reason than a missing privilege.
    Lab(lab::Error),
    /// The middlebox does not start, does not answer, or has ended.
    Middlebox(String),
    /// A script could not be played: what it shows, and what went wrong.
    Scenario(&'static str, String),
    /// The kernels and the tracker were not of one opinion, so many times out of so many.
    Disagreement(usize, usize),
    /// Signals cannot be waited for.
    Signals(io::Error),
    /// The capture that is built in.
    Replay(Box<replay::Error>),
    /// Standard output.
    Output(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Lab(error) => write!(f, "{error}"),
            Error::Middlebox(why) => write!(f, "the middlebox: {why}"),
            Error::Scenario(title, why) => write!(f, "{title}: {why}"),
            Error::Disagreement(count, all) => {
                write!(f, "the kernels and Lastack disagree at {count} of {all} moments, see the table")
            }
            Error::Signals(error) => write!(f, "signals: {error}"),
            Error::Replay(error) => write!(f, "{error}"),
            Error::Output(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Lab(error) => Some(error),
            Error::Replay(error) => Some(error),
            Error::Signals(error) | Error::Output(error) => Some(error),
            Error::Middlebox(_) | Error::Scenario(..) | Error::Disagreement(..) => None,
        }
    }
}

impl From<lab::Error> for Error {
    fn from(error: lab::Error) -> Error {
        Error::Lab(error)
    }
}

impl From<replay::Error> for Error {
    fn from(error: replay::Error) -> Error {
        if let replay::Error::Output(error) = error {
            Error::Output(error)
        } else {
            Error::Replay(Box::new(error))
        }
    }
}

/// Shows the demo on `out`, live if standard output is a terminal; without privilege, a replay.
///
/// # Errors
/// Something failed, or the kernels and Lastack disagreed; whatever was begun has been taken down.
pub fn demo(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    match Lab::bridge(&lab::Options::default()) {
        Ok(lab) => show(&lab, options, out),
        Err(error) => match error.missing_capability() {
            Some(capability) => replay_instead(capability, &options.set, out),
            None => Err(error.into()),
        },
    }
}

/// Becomes the middlebox of the demo that is the process `parent`: what a demo starts its own program for.
/// Returns only why that was not possible.
pub fn become_middlebox(configuration: &Path, set: &[String], parent: u32) -> io::Error {
    middlebox::become_middlebox(configuration, set, parent)
}

fn show(lab: &Lab, options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    // Before any thread is started: all of them leave the signals to this one.
    let interrupts = Interrupts::new().map_err(Error::Signals)?;
    let program = std::env::current_exe().map_err(|error| Error::Middlebox(error.to_string()))?;
    let mut middlebox = Middlebox::start(lab, &program, &options.set).map_err(Error::Middlebox)?;
    let mut tracker = middlebox.tracker();
    if !await_answer(&mut middlebox, &mut tracker, &interrupts)? {
        return Ok(());
    }
    let mut screen = Screen::new(out, io::stdout().is_terminal());
    let played = perform(lab, &mut tracker, options.seconds, &mut screen, &mut || interrupts.came());
    let report = match played {
        // If it has ended, its last words say more than a question without an answer.
        Err(Error::Middlebox(why)) => return Err(Error::Middlebox(middlebox.failure().unwrap_or(why))),
        Err(error) => return Err(error),
        Ok(report) => report,
    };
    write_report(&report, screen.has_colour(), out).map_err(Error::Output)?;
    match report.disagreements {
        0 => Ok(()),
        count => Err(Error::Disagreement(count, report.comparisons)),
    }
}

/// Waits until the middlebox answers; false if somebody interrupted.
fn await_answer(
    middlebox: &mut Middlebox,
    tracker: &mut dyn Tracker,
    interrupts: &Interrupts,
) -> Result<bool, Error> {
    let clock = SystemClock::new();
    loop {
        if interrupts.came() {
            return Ok(false);
        }
        let Err(error) = tracker.connections() else { return Ok(true) };
        if let Some(failure) = middlebox.failure() {
            return Err(Error::Middlebox(failure));
        }
        if clock.now().seconds() > READY {
            return Err(Error::Middlebox(format!("no answer from its control socket: {error}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says why there is no lab, and replays the capture that is built in.
fn replay_instead(capability: &str, set: &[String], out: &mut dyn Write) -> Result<(), Error> {
    let line = format!(
        "lastack demo: no live demo without {capability} (try sudo); replaying the built-in capture of two kernels"
    );
    // Nobody is left to tell if standard error cannot be written.
    let _ = writeln!(io::stderr(), "{line}");
    let capture = Capture::from_reader("the built-in capture", BUILT_IN)
        .map_err(|error| Error::from(replay::Error::Capture(error)))?;
    let options = replay::Options {
        json: false,
        write: None,
        drain: false,
        explain: None,
        shards: 1,
        keys: HashKeys::random().map_err(replay::Error::Memory)?,
    };
    replay::replay_opened(capture, &options, &configured(set), out, &mut |_| {}).map_err(Error::from)
}

/// The configuration of an empty file with these keys set; the command line has found that they can be.
fn configured(set: &[String]) -> Config {
    config::load(None, set).unwrap_or_default()
}

/// SIGINT, SIGTERM and SIGHUP, which from now on only end the demo where it asks for them.
#[derive(Debug)]
struct Interrupts(SignalFd);

impl Interrupts {
    fn new() -> io::Result<Interrupts> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        signals.thread_block()?;
        Ok(Interrupts(SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// Whether one of them has come since the last question.
    fn came(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }
}
