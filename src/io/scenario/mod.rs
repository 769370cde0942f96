//! Scenarios: TCP behaviour as text, one row for each segment, beside what has to become of it.
//!
//! ```text
//!   scenario: A SYN is answered.                                            ┐
//!   shows: RFC 9293 section 3.5                                             │ head: `read`
//!   set tcp.syn_sent = "1m"                                                 ┘
//!   0.0  a  SYN      1000  -     65535  0  mss 1460 | accept new - SYN_SENT/LISTEN 1 original   ┐
//!   0.1  b  SYN+ACK  5000  1001  65535  0  mss 1460 | accept established - … 1 reply            │ rows: `packet`, `expect`
//!   0.2  connection 1 | ESTABLISHED/SYN_RECEIVED, expires 59.9                                  ┘
//!                │
//!     bytes ─► parse ─► Scenario ─► frames, made row by row: `frame` ─► engine ─► compared by `replay`
//! ```
//!
//! docs/scenarios.md explains the format to those who write it. Life cycle: [`parse`] reads the whole text or
//! says where it is wrong; a [`Scenario`] never changes afterwards, and its frames are made when they are
//! asked for, so that a short text cannot ask for much memory. Who calls: [`super::Input`], `replay`, the
//! tests and a fuzz target. Nothing here knows the engine beyond its words for verdicts.
//!
//! | file | its one concern |
//! |---|---|
//! | `words` | a line as words, each with its column, and numbers in them |
//! | `read` | lines: the head, and which kind of row |
//! | `packet` | the left side of a row: what is sent |
//! | `expect` | the right side: what has to become of it |
//! | `frame` | the bytes of what is sent |

mod expect;
mod frame;
mod packet;
mod read;
mod words;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use expect::{Expectation, Fate, Numbers};
pub use frame::MadePacket;
pub use words::Problem;

use super::record::Timestamp;
use packet::Sent;

/// The most bytes of a scenario that are read: a hundred times what a long one has.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// What some editors put before a text.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Whether bytes that are no capture begin as a scenario does: by a comment or by its title.
pub(super) fn is_scenario(first: &[u8]) -> bool {
    let text = first.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(first).trim_ascii_start();
    text.starts_with(b"#") || text.starts_with(&b"scenario"[..text.len().clamp(1, 8)])
}

/// Reads a scenario from the bytes of its file.
///
/// # Errors
/// The first thing that is wrong: where, and what would be right.
pub fn parse(bytes: &[u8]) -> Result<Scenario, Problem> {
    read::read(bytes)
}

/// A scenario that was read. See the [module](self) for its life cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    title: String,
    shows: String,
    settings: Vec<Setting>,
    endpoints: Vec<Endpoint>,
    rows: Vec<Row>,
}

/// One configuration key that a scenario sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The line it stands in, from 1.
    pub line: u32,
    /// `KEY=VALUE`, as `--set` takes it.
    pub assignment: String,
}

/// Who can send.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    name: String,
    address: IpAddr,
    port: u16,
}

/// The place of an endpoint in its scenario's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Side(usize);

/// One row: something happens, or something is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line it stands in, from 1.
    pub line: u32,
    /// When, counted from the scenario's time 0.
    pub time: Timestamp,
    /// What.
    pub act: Act,
}

/// What a row is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A packet comes.
    Packet(PacketRow),
    /// These connections are live, by their numbers in ascending order, and no others.
    Table(Vec<u64>),
    /// One connection, by its number, is looked at.
    Connection(u64, Fate),
}

/// A row that sends something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketRow {
    sent: Sent,
    /// What has to become of it; none where the row does not say.
    pub expected: Option<Expectation>,
}

impl Scenario {
    /// The sentence that says what is true.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What it shows: sections of RFCs or of the documentation.
    pub fn shows(&self) -> &str {
        &self.shows
    }

    /// What it configures, in order.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Its rows, in order; their times never go back.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The packet of a row of this scenario, the `number`th of them.
    pub fn packet(&self, number: u64, time: Timestamp, row: &PacketRow) -> MadePacket {
        MadePacket::new(number, time, frame::make(&self.endpoints, &row.sent), row.sent.snap())
    }
}
