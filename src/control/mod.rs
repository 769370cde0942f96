//! How an operator sees and steers a running middlebox: a Unix socket, what is said on it, and both its ends.
//!
//! ```text
//!  lastack list ─ client ═ Unix socket ═ server ─ task ┬─ reads ──► View: table, events, report
//!   (any process)    one line ──►                      │            (a worker's, which never waits)
//!                    ◄── lines, as they fit            └─ asks ───► View: commands
//! ```
//!
//! The server lives in the daemon's main thread, beside signals and links in one `mio::Poll`; it never blocks
//! and keeps a bounded amount for each client. All JSON is made there: workers only show words.
//!
//! | file | concern |
//! |---|---|
//! | `protocol.rs` | requests and the lines of answers |
//! | `filter.rs` | which connections are meant |
//! | `stats.rs` | the numbers |
//! | `server.rs`, `place.rs` | the daemon's end: its clients, and its place in the file system |
//! | `session.rs`, `output.rs` | one client, and what it has still to be sent |
//! | `task.rs`, `scan.rs` | answers that take a while |
//! | `client.rs` | the other end |

pub mod client;
pub mod filter;
mod output;
mod place;
pub mod protocol;
mod scan;
mod server;
mod session;
pub mod stats;
mod task;
#[cfg(not(loom))]
#[cfg(test)]
mod tests;

pub use client::Client;
pub use filter::Filter;
pub use place::Error;
pub use protocol::{Command, Line, Request};
pub use server::{MOST_CLIENTS, Server};
pub use stats::Stats;
