//! What is said on the control socket: a request is one line of JSON, its answer several.
//!
//! ```text
//!  client ──► {"lastack":1,"command":"list","filter":{"port":80}}
//!         ◄── {"record":"snapshot",…}
//!         ◄── {"record":"connection",…}  …
//!         ◄── {"record":"end"}                         or {"record":"error","message":"…"} in its place
//! ```
//!
//! An answer ends with `end` or `error`; the next request may follow. That of `events` never ends by itself.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::stats::{ByName, Stats};
use crate::json::Connection;

/// The protocol's version: changes when an older client would misunderstand.
pub const VERSION: u32 = 1;

/// The longest request, in bytes, its newline included.
pub const LONGEST_REQUEST: usize = 4096;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The client's [`VERSION`].
    pub lastack: u32,
    /// What is asked.
    pub command: Command,
    /// Which connections are meant.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    pub filter: Filter,
    /// Of `events`: whether a listing comes first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub snapshot: bool,
}

impl Request {
    /// A request of this version.
    pub fn new(command: Command, filter: Filter) -> Request {
        Request { lastack: VERSION, command, filter, snapshot: false }
    }
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `snapshot`, then a `connection` for each.
    List,
    /// `count`.
    Count,
    /// `deleted`; not without a filter.
    Delete,
    /// `deleted`, of every connection.
    Flush,
    /// `event` and `missed`, until one side leaves.
    Events,
    /// `stats`.
    Stats,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Line {
    /// The connections that follow are those of the moments at which each shard had these sequence numbers.
    Snapshot {
        /// When it was asked for, in seconds since 1970.
        time: f64,
        /// Each shard's.
        sequences: Vec<u64>,
    },
    /// A connection.
    Connection(Connection<'static>),
    /// Something that has happened to a connection.
    Event(Event),
    /// Events that nobody can tell any more: the reader was too slow. After a listing: those that it could
    /// not take into account, so that it is not exact.
    Missed(Missed),
    /// How many connections fit.
    Count(Count),
    /// Connections were ended.
    Deleted {
        /// How many.
        connections: u64,
    },
    /// The numbers of the middlebox.
    Stats(Box<Stats>),
    /// The request could not be answered, or not to its end.
    Error {
        /// Why, and what would be right.
        message: String,
    },
    /// The answer is complete.
    End,
}

/// Something that has happened to a connection, and the connection just after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `new`, `changed` or `ended`.
    pub event: Cow<'static, str>,
    /// The shard.
    pub shard: u32,
    /// Its number there: from 1, without gaps.
    pub sequence: u64,
    /// The connection.
    #[serde(flatten)]
    pub connection: Connection<'static>,
}

/// Numbers of events, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The shard.
    pub shard: u32,
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// How many connections fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// All.
    pub connections: u64,
    /// By protocol.
    pub by_protocol: ByName,
    /// TCP by both endpoints' states.
    pub by_states: ByName,
}
