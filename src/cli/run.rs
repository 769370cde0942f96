//! `lastack run`.

use std::io::Write;

use super::{Configuration, Failure, load};
use crate::daemon;

/// Runs the middlebox until a signal ends it. What a person should know goes to standard error.
pub(super) fn run(arguments: &Configuration) -> Result<(), Failure> {
    let config = load(arguments)?;
    let mut tell = |line: &str| {
        // Nobody is left to tell if standard error cannot be written.
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    daemon::run(&config, &mut tell).map_err(|error| {
        if error.is_usage() { Failure::Usage(error.to_string()) } else { Failure::Running(error.to_string()) }
    })
}
