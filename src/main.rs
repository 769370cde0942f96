//! The `lastack` command; `lastack --help` tells what it can do.

use std::process::ExitCode;

fn main() -> ExitCode {
    lastack::cli::run()
}
