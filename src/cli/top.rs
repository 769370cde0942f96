//! `lastack top`.

use std::path::PathBuf;

use clap::Args;

use super::{Configuration, Failure, load};
use crate::top;

#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    configuration: Configuration,
    /// The control socket (default: what the configuration says)
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Shows a running middlebox until the user has seen enough.
pub(super) fn run(arguments: Top) -> Result<(), Failure> {
    let config = load(&arguments.configuration)?;
    let socket = arguments.socket.unwrap_or(config.control_socket);
    top::run(&top::Options { socket, limits: config.top })
        .map_err(|error| Failure::Running(error.to_string()))
}
