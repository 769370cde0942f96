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
//! | `server.rs`, `client.rs` | both ends of the socket |

pub mod client;
pub mod filter;
pub mod protocol;
pub mod stats;

pub use client::Client;
pub use filter::Filter;
pub use protocol::{Command, Line, Request};
pub use stats::Stats;
