//! What is measured, of how much, and how it is divided among shards.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::error::Error;
use super::{demands, expiry, lifecycle};
use crate::config::{Capacity, Config};
use crate::shard::{BURST, Settings};
use crate::table::Layout;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Bare ACKs of uniformly random connections, directions alternating, over IPv4.
    Established,
    /// The same over IPv6.
    Established6,
    /// Whole connections, as many at any time.
    Lifecycle,
    /// SYNs that nobody completes, against a full table.
    SynFlood,
    /// TIME_WAITs that come due within one second, during `established`.
    Expiry,
}

impl Workload {
    /// Every workload.
    pub const ALL: [Workload; 5] = [
        Workload::Established,
        Workload::Established6,
        Workload::Lifecycle,
        Workload::SynFlood,
        Workload::Expiry,
    ];

    /// The name in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Established => "established",
            Workload::Established6 => "established6",
            Workload::Lifecycle => "lifecycle",
            Workload::SynFlood => "syn_flood",
            Workload::Expiry => "expiry",
        }
    }

    /// What it is, in half a sentence.
    pub const fn summary(self) -> &'static str {
        match self {
            Workload::Established => "bare ACKs of random connections, IPv4",
            Workload::Established6 => "the same over IPv6",
            Workload::Lifecycle => "whole connections of nine packets, N at any time with those in TIME_WAIT",
            Workload::SynFlood => "nine SYNs that nobody completes to each ACK, against a full table",
            Workload::Expiry => "N TIME_WAITs come due within a second of `established` traffic",
        }
    }

    /// The fewest connections that a shard can do it with.
    const fn least_flows(self) -> u32 {
        match self {
            Workload::Established | Workload::Established6 | Workload::SynFlood => 1,
            Workload::Lifecycle => lifecycle::LEAST_FLOWS,
            Workload::Expiry => expiry::LEAST_FLOWS,
        }
    }

    /// Whether it says nothing by itself about how full the table is.
    const fn leaves_room(self) -> bool {
        match self {
            Workload::Established | Workload::Established6 => true,
            Workload::Lifecycle | Workload::SynFlood | Workload::Expiry => false,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What is timed.
    pub workload: Workload,
    /// With how many connections, of all shards together.
    pub flows: u32,
    /// In tables with room for how many, of all shards together, where a workload can leave room: as many as `flows`
    /// if it is not said.
    pub capacity: Option<u32>,
    /// How many shards share the work, each with its thread.
    pub shards: u32,
    /// How many packets a round times, of all shards together; rounded down to whole bursts of each.
    pub packets: u64,
}

impl Plan {
    /// Whether it can be carried out.
    ///
    /// # Errors
    /// What would be right.
    pub fn check(&self, config: &Config) -> Result<(), Error> {
        let Plan { workload, flows, capacity, shards, packets } = *self;
        let least = workload.least_flows();
        if shards == 0 || flows / shards < least {
            return Err(Error::Plan(format!(
                "--flows {flows}: {workload} takes at least {least} connections for each of {} shards, {} in all",
                shards.max(1),
                u64::from(least) * u64::from(shards.max(1))
            )));
        }
        if packets / u64::from(shards) < BURST as u64 {
            return Err(Error::Plan(format!(
                "--packets {packets}: each of {shards} shards takes at least one burst of {BURST}"
            )));
        }
        if let Some(capacity) = capacity.filter(|_| !workload.leaves_room()) {
            return Err(Error::Plan(format!(
                "--capacity {capacity}: {workload} says itself how full the table is; established and established6 do not"
            )));
        }
        if let Some(capacity) = capacity.filter(|&capacity| capacity < flows) {
            return Err(Error::Plan(format!(
                "--capacity {capacity}: {flows} connections take room for at least as many"
            )));
        }
        demands::check(workload, flows, shards, &config.tcp).map_err(Error::Plan)
    }

    /// What each shard gets.
    pub(super) fn parts(&self, config: &Config) -> Result<Vec<Part>, Error> {
        let split = |connections| {
            let whole = Config { capacity: Capacity::Connections(connections), ..config.clone() };
            whole.split(self.shards).map_err(Error::Capacity)
        };
        let (flows, rooms) = (split(self.flows)?, split(self.capacity.unwrap_or(self.flows))?);
        let part = |((flows, settings), (room, _)): ((Layout, Settings), (Layout, Settings))| Part {
            flows: flows.capacity(),
            capacity: room.capacity(),
            settings,
        };
        Ok(flows.into_iter().zip(rooms).map(part).collect())
    }

    /// How many bursts each shard times in a round.
    pub(super) fn bursts(&self) -> u64 {
        self.packets / u64::from(self.shards.max(1)) / BURST as u64
    }
}

/// A shard's part of a [`Plan`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// With how many connections.
    pub(super) flows: u32,
    /// With room for how many; where the workload does not say it itself.
    pub(super) capacity: u32,
    pub(super) settings: Settings,
}

/// How far the opening of connections has come, of all shards.
pub(super) struct Opening<'a> {
    opened: AtomicU64,
    all: u64,
    /// Told how many are open, now and then.
    tell: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Opening<'a> {
    /// So many connections between two tellings.
    const STRIDE: u64 = 1 << 16;

    pub(super) fn new(all: u32, tell: &'a (dyn Fn(u64) + Sync)) -> Opening<'a> {
        Opening { opened: AtomicU64::new(0), all: u64::from(all), tell }
    }

    /// So many more are open.
    pub(super) fn add(&self, more: u64) {
        let before = self.opened.fetch_add(more, Relaxed);
        if before / Self::STRIDE != (before + more) / Self::STRIDE {
            (self.tell)((before + more).min(self.all));
        }
    }
}
