//! `trafgen`: load for middleboxes, from both of their sides.
//!
//! ```text
//!   arguments ─► setup: two interfaces, AF_XDP ─► phases, one after the other ─► a table or JSON Lines
//!                                                   │ generator: both ends of all connections
//!                                                   │ wire: frames out, frames in
//! ```
//!
//! | file | its one concern |
//! |---|---|
//! | `arguments` | the command line |
//! | `setup` | from arguments to a generator on two interfaces |
//! | `space` | which connections there are, and in which order |
//! | `frame` | frames, written and read |
//! | `generator` | both ends of all connections |
//! | `phase`, `pace` | what is done, and when |
//! | `search`, `rfc9693` | trials, until the highest that succeeds is found |
//! | `wire`, `port`, `neighbour` | two interfaces, their sockets, and who asks for their addresses |
//! | `histogram`, `report` | what was found, and how it is told |
//! | `lab` | Lastack beside the kernel, in laboratories of its own |
//!
//! Everything happens on one thread, which looks at both interfaces in turn and never sleeps: give it a core
//! of its own (`--cpu`).

mod arguments;
mod frame;
mod generator;
mod histogram;
mod lab;
mod neighbour;
mod pace;
mod phase;
mod port;
mod report;
mod rfc9693;
mod run;
mod search;
mod setup;
mod space;
#[cfg(test)]
mod tests;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

/// What goes wrong is only to be shown: a line that says what is wrong, and what would be right.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(run) => run::run(&run),
        Command::Rfc9693(procedure) => rfc9693::run(&procedure),
        Command::Lab(lab) => lab::run(&lab),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("trafgen: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for a person.
pub(crate) fn say(line: &str) {
    // There is nobody to tell that nobody listens.
    let _ = writeln!(std::io::stderr(), "{line}");
}
