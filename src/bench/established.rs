//! `established`, `established6`: bare ACKs of connections that are open, each of any of them.
//!
//! ```text
//!   N handshakes ─► table ◄── 32 bare ACKs ── of N connections one by chance, directions alternating
//! ```
//!
//! Nothing changes but what every packet changes: windows, counters, stamps, deadlines. What it costs is what the
//! memory costs, where connections are many.

use std::array::from_fn;

use super::engine::{Engine, step};
use super::error::Error;
use super::frames::{Flow, Plan, Random, Version};
use super::load::Load;
use super::plan::{Opening, Part};
use crate::processor::Processor;
use crate::shard::BURST;
use crate::time::Time;
use crate::wire::Flags;

/// The workload on one shard.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) engine: Engine,
    random: Random,
    flows: u32,
    plan: Plan,
    processor: Processor,
}

impl Established {
    /// Opens the part's connections in a table with room for `capacity`.
    pub(super) fn new(
        part: &Part,
        capacity: u32,
        version: Version,
        opening: &Opening<'_>,
    ) -> Result<Established, Error> {
        let mut engine = Engine::new(capacity, part)?;
        engine.open(part.flows, version, opening)?;
        let plan = Plan::new(version, &from_fn(|number| step(Flags::ACK, number % 2 == 1, 101, 101)));
        let processor = Processor::this();
        Ok(Established { engine, random: Random::new(), flows: part.flows, plan, processor })
    }

    /// Writes the next burst.
    #[inline]
    pub(super) fn write(&mut self) {
        self.processor.run(
            #[inline(always)]
            || {
                // A copy, since frames are written in between, which would have it go through memory for each.
                let mut random = self.random.clone();
                let flows = from_fn(|_| Flow(random.below(self.flows)));
                self.random = random;
                self.engine.frames.write_planned(&self.plan, &flows);
            },
        );
    }
}

impl Load for Established {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn burst(&mut self, now: Time) -> Result<(), Error> {
        self.write();
        self.engine.send(now, BURST);
        self.engine.expect()
    }

    fn finish(&self) -> Result<(), Error> {
        self.engine.expect_live(crate::tcp::State::Established, self.flows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::part;
    use super::*;

    #[test]
    fn every_packet_moves_an_open_connection_and_opens_none() {
        for version in [Version::V4, Version::V6] {
            let opening = Opening::new(0, &|_| ());
            let mut load = Established::new(&part(100), 100, version, &opening).unwrap();
            let begun = load.engine.shard.counters().accepted;
            assert_eq!(begun, 300);
            for _ in 0..50 {
                load.burst(load.engine.now()).unwrap();
            }
            load.settle().unwrap();
            load.finish().unwrap();
            let counters = load.engine.shard.counters();
            assert_eq!((counters.accepted - begun, counters.begun), (50 * BURST as u64, 100));
        }
    }

    #[test]
    fn a_connection_that_is_gone_is_told() {
        let opening = Opening::new(0, &|_| ());
        let mut load = Established::new(&part(100), 100, Version::V4, &opening).unwrap();
        load.flows = 101;
        assert!(matches!(load.finish(), Err(Error::Lost { expected: 101, found: 100, .. })));
    }
}
