//! The engine's part of a configuration, split over its shards: every limit is of the whole process.

use super::model::{Capacity, Config};
use crate::shard::{Settings, Shard};
use crate::table::{Layout, LayoutError};
use crate::{fragments, tcp};

impl Config {
    /// The most shards that each of its limits can be split into, at least one to each.
    pub fn most_shards(&self) -> u32 {
        let connections = match self.capacity {
            Capacity::Connections(all) => Some(all),
            Capacity::Memory(_) => None,
        };
        let time_wait = Some(self.tcp.time_wait_max).filter(|&limit| limit > 0);
        let limits = [Some(self.fragments.max), connections, time_wait];
        limits.into_iter().flatten().fold(u32::MAX, u32::min).max(1)
    }

    /// What each of `shards` is made of: the size of its table, and its settings.
    ///
    /// # Errors
    /// A shard's part of the table is too small or too large for one.
    pub fn split(&self, shards: u32) -> Result<Vec<(Layout, Settings)>, LayoutError> {
        (0..shards)
            .map(|number| {
                let part = |limit: u32| limit / shards + u32::from(number < limit % shards);
                let layout = match self.capacity {
                    Capacity::Connections(all) => Shard::layout_for_connections(part(all)),
                    Capacity::Memory(bytes) => Shard::layout_for_memory(bytes / u64::from(shards)),
                }?;
                let settings = Settings {
                    checks: self.checks,
                    tcp: tcp::Policy { time_wait_max: part(self.tcp.time_wait_max), ..self.tcp },
                    flow: self.flow,
                    fragments: fragments::Policy { max: part(self.fragments.max), ..self.fragments },
                    sides: 1,
                    shards,
                    number,
                };
                Ok((layout, settings))
            })
            .collect()
    }
}
