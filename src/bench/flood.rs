//! `syn_flood`: SYNs from everywhere, against a table that is full of established connections.
//!
//! ```text
//!   S S S S S S S S S a S S S S S S S S S a S S …      S: from any address and port, never completed
//!   └── full table: searched for one that may go ┘     a: a bare ACK of any of the N connections
//! ```
//!
//! No place is free and no connection may go, so every SYN is refused (`table_full`), or takes the place of one that
//! was never completed. What counts is how little that costs, and that all N are there at the end.

use super::engine::{Engine, step};
use super::error::Error;
use super::frames::{Flow, Random, Tuple, Version};
use super::load::Load;
use super::plan::{Opening, Part};
use crate::shard::{Action, BURST, Class, Reason, Refusal, Verdict};
use crate::tcp::State;
use crate::time::Time;
use crate::wire::Flags;

/// Of so many packets the last is an established connection's.
const CYCLE: u32 = 10;

/// The workload on one shard.
#[derive(Debug)]
pub(super) struct SynFlood {
    engine: Engine,
    random: Random,
    flows: u32,
    /// Where in its cycle the next packet stands.
    turn: u32,
}

impl SynFlood {
    /// Fills a table with the part's connections.
    pub(super) fn new(part: &Part, opening: &Opening<'_>) -> Result<SynFlood, Error> {
        let mut engine = Engine::new(part.flows, part)?;
        engine.open(part.flows, Version::V4, opening)?;
        Ok(SynFlood { engine, random: Random::new(), flows: part.flows, turn: 0 })
    }

    /// Writes the next burst; returns how many segments of established connections it has.
    #[inline]
    fn write(&mut self) -> usize {
        let mut established = 0;
        self.engine.frames.begin();
        for _ in 0..BURST {
            self.turn += 1;
            if self.turn == CYCLE {
                self.turn = 0;
                established += 1;
                let flow = Flow(self.random.below(self.flows));
                let back = established % 2 == 1;
                self.engine.frames.write(Version::V4, flow, step(Flags::ACK, back, 101, 101));
            } else {
                let source = stranger(&mut self.random);
                self.engine.frames.write_v4(source, step(Flags::SYN, false, 100, 0));
            }
        }
        established
    }
}

/// An endpoint in 64.0.0.0/2, where no connection of the workload has one, and the server that it wants.
#[inline(always)]
fn stranger(random: &mut Random) -> Tuple {
    let number = random.number();
    Tuple {
        originator: 0x4000_0000 | (number >> 34) as u32,
        responder: 0xc0a8_0001,
        port: (number >> 16) as u16,
    }
}

/// Whether it is what may become of a SYN.
fn is_of_syn(verdict: &Verdict) -> bool {
    match verdict.action {
        Action::Accept => verdict.class == Class::New,
        Action::Drop => verdict.reason == Some(Reason::Shard(Refusal::TableFull)),
        Action::Held => false,
    }
}

fn is_of_segment(verdict: &Verdict) -> bool {
    verdict.action == Action::Accept && verdict.class == Class::Established
}

impl Load for SynFlood {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn burst(&mut self, now: Time) -> Result<(), Error> {
        let established = self.write();
        self.engine.send(now, established);
        self.check()
    }

    fn check(&self) -> Result<(), Error> {
        let (verdicts, established) = (self.engine.verdicts(), self.engine.known());
        let passed = verdicts.iter().filter(|verdict| is_of_segment(verdict)).count();
        let refused = verdicts.iter().filter(|verdict| is_of_syn(verdict)).count();
        if passed == established && refused + established == verdicts.len() {
            return Ok(());
        }
        Err(self.engine.unexpected(|verdict| is_of_segment(verdict) || is_of_syn(verdict)))
    }

    fn finish(&self) -> Result<(), Error> {
        self.engine.expect_live(State::Established, self.flows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::part;
    use super::*;
    use crate::shard::End;

    #[test]
    fn nine_of_ten_packets_are_syns_and_no_connection_goes() {
        let opening = Opening::new(0, &|_| ());
        let mut load = SynFlood::new(&part(1000), &opening).unwrap();
        for _ in 0..100 {
            load.burst(load.engine.now()).unwrap();
        }
        load.settle().unwrap();
        load.finish().unwrap();
        let counters = load.engine.shard.counters();
        let full = counters.by_reason[Reason::Shard(Refusal::TableFull).number()];
        assert_eq!(full, 2880, "of 3200 packets nine tenths");
        assert_eq!(counters.ended, [0; End::ALL.len()]);
        assert_eq!(load.engine.shard.table().len(), 1000);
    }
}
