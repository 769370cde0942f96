//! `lifecycle`: whole connections of nine packets, N in the table at any time, those in TIME_WAIT included.
//!
//! ```text
//!  packet  p   …  is step p mod 9 of connection (p - L · step) / 9, so connections begin every nine packets,
//!                 and L packets lie between two of the same connection
//!
//!     SYN  SYN-ACK  ACK  data  ACK  FIN  ACK  FIN  ACK
//!      │◄──────────────── 7 · L packets ─────►│◄────────── TIME_WAIT: 2 MSL of the virtual clock ─────────►│
//!      └ begins                               └ its endpoint enters TIME_WAIT                ends by timer ┘
//! ```
//!
//! L is a multiple of 32 (so a burst holds 32 different connections) and leaves 1 when divided by 9 (so that step and
//! number follow from p alone). 928 is the most: at three million connections a second one then lasts a third of a
//! millisecond, as in a data centre, and its lines are not the processor's nearest any more when its next packet comes.
//!
//! # The clock
//!
//! Per burst 32/9 connections begin. At any time 7/9 · L are not yet in TIME_WAIT, so the others are N when TIME_WAIT
//! lasts for (9 N - 7 L) / 32 bursts: the clock moves by 2 MSL in so many bursts, the same with each of them. It is
//! virtual, and much faster than a real one: a burst is 214 µs of it with a million connections and an MSL of
//! 30 s. In that time a worker would have turned to its timers hundreds of times; so here they are polled before every
//! burst until nothing is due, by as much as a worker looks at in one turn.

use super::engine::{Engine, WHOLE, nanoseconds};
use super::error::Error;
use super::frames::{Flow, Version};
use super::load::Load;
use super::plan::{Opening, Part};
use crate::shard::BURST;
use crate::time::{TICK_NANOSECONDS, Time};

/// How many packets a connection has.
const STEPS: u64 = WHOLE.len() as u64;
/// The fewest connections: the shortest stream below takes a part of them that leaves room for TIME_WAIT.
pub(super) const LEAST_FLOWS: u32 = 256;
/// By how many connections the table is kept from being quite full: as many as a burst may begin, before the first
/// of those that are due goes, and one for each rounding.
const MARGIN: u32 = 8;

/// The least distance between two packets of a connection, and by how much it can grow: multiples of 32 that leave 1
/// when divided by 9.
const LEAST_DISTANCE: u64 = 64;
const DISTANCE_STEP: u64 = 288;
/// How often it grows at most.
const MOST_STEPS: u64 = 3;

/// The workload on one shard.
#[derive(Debug)]
pub(super) struct Lifecycle {
    engine: Engine,
    stream: Stream,
    clock: Clock,
    /// How many connections the table may hold at a burst's end: fewest, most.
    bounds: (u32, u32),
    /// How many connections have had their last packet.
    completed: u64,
}

impl Lifecycle {
    /// Lets connections come until as many are in the table as always will be.
    pub(super) fn new(part: &Part, opening: &Opening<'_>) -> Result<Lifecycle, Error> {
        let stream = Stream::of(part.flows);
        let two_msl = 2 * nanoseconds(part.settings.tcp.timeouts.msl);
        // TIME_WAIT's bursts: see the module.
        let waiting = (STEPS * u64::from(part.flows - MARGIN) - (STEPS - 2) * stream.distance) / BURST as u64;
        let in_a_tick = (u64::from(part.flows) * TICK_NANOSECONDS).div_ceil(two_msl) as u32;
        let mut load = Lifecycle {
            engine: Engine::new(part.flows, part)?,
            stream,
            clock: Clock::new(two_msl, waiting),
            bounds: (part.flows.saturating_sub(BURST as u32 + in_a_tick), part.flows),
            completed: 0,
        };
        let until_full = waiting + STEPS * stream.distance / BURST as u64;
        let mut told = 0;
        for _ in 0..until_full {
            load.turn()?;
            opening.add(load.completed - told);
            told = load.completed;
        }
        load.finish()?;
        Ok(load)
    }

    /// The clock's step, what is due by it, and the next burst.
    #[inline]
    fn turn(&mut self) -> Result<(), Error> {
        let now = self.clock.step();
        self.engine.poll_until_done(now);
        let new = self.write();
        self.engine.send_polled(now);
        self.engine.expect(new)
    }

    /// Writes the next burst; returns how many connections it begins.
    #[inline]
    fn write(&mut self) -> usize {
        let (mut new, mut completed) = (0, 0);
        let (stream, frames) = (&mut self.stream, &mut self.engine.frames);
        let segments = (0..BURST).filter_map(|_| stream.next()).map(|(number, step)| {
            new += usize::from(step == 0);
            completed += u64::from(step == WHOLE.len() - 1);
            // Numbers come round after 2^32 connections, long after the last one with that number.
            (Flow(number as u32), WHOLE[step])
        });
        frames.write_burst(Version::V4, segments);
        self.completed += completed;
        new
    }
}

impl Load for Lifecycle {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn burst(&mut self, _now: Time) -> Result<(), Error> {
        self.turn()
    }

    fn finish(&self) -> Result<(), Error> {
        let found = self.engine.shard.table().len();
        let (least, most) = self.bounds;
        if (least..=most).contains(&found) {
            Ok(())
        } else {
            Err(Error::Drifted { expected: self.bounds, found })
        }
    }

    fn completed(&self) -> Option<u64> {
        Some(self.completed)
    }
}

/// Which packet comes next.
#[derive(Debug, Clone, Copy)]
struct Stream {
    /// The next packet's number.
    packet: u64,
    /// How many packets lie between two of the same connection.
    distance: u64,
}

impl Stream {
    /// The longest distance that leaves three of four connections for TIME_WAIT.
    fn of(flows: u32) -> Stream {
        let steps = (u64::from(flows) / 4).saturating_sub(LEAST_DISTANCE) / DISTANCE_STEP;
        Stream { packet: 0, distance: LEAST_DISTANCE + DISTANCE_STEP * steps.min(MOST_STEPS) }
    }

    /// The connection and the step of the next packet; none where that would belong to one before the first.
    #[inline(always)]
    fn next(&mut self) -> Option<(u64, usize)> {
        let (packet, step) = (self.packet, self.packet % STEPS);
        self.packet += 1;
        let first = packet.checked_sub(step * self.distance)?;
        Some((first / STEPS, step as usize))
    }
}

/// A clock that moves by `span` nanoseconds in `bursts` steps, all alike to the nanosecond.
#[derive(Debug, Clone, Copy)]
struct Clock {
    now: u64,
    /// The fraction of a nanosecond that has not been counted yet, in parts of `bursts`.
    rest: u64,
    span: u64,
    bursts: u64,
}

impl Clock {
    const fn new(span: u64, bursts: u64) -> Clock {
        Clock { now: 0, rest: 0, span, bursts }
    }

    #[inline]
    fn step(&mut self) -> Time {
        self.rest += self.span % self.bursts;
        let whole = u64::from(self.rest >= self.bursts);
        self.rest -= whole * self.bursts;
        self.now += self.span / self.bursts + whole;
        Time::from_nanoseconds(self.now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::testing::part;
    use super::*;
    use crate::shard::End;

    #[test]
    fn the_table_keeps_as_many_connections_to_a_bursts_worth() {
        for flows in [256, 1000, 5000, 20_000] {
            let opening = Opening::new(0, &|_| ());
            let mut load = Lifecycle::new(&part(flows), &opening).unwrap();
            let before = load.engine.shard.counters().begun;
            // More than twice through TIME_WAIT, so that each of its cascades has happened.
            for burst in 0..u64::from(flows) {
                load.burst(Time::default()).unwrap();
                let live = load.engine.shard.table().len();
                assert!(
                    (flows - BURST as u32..=flows).contains(&live),
                    "{live} of {flows} after burst {burst}"
                );
            }
            load.finish().unwrap();
            let counters = load.engine.shard.counters();
            assert!(counters.begun - before > 3 * u64::from(flows));
            let others = [End::Reset, End::Expired, End::Evicted, End::Deleted, End::Reused];
            assert!(others.iter().all(|&end| counters.ended[end as usize] == 0), "{:?}", counters.ended);
        }
    }

    #[test]
    fn a_burst_holds_different_connections_and_each_gets_its_steps_in_order() {
        for flows in [256, 2000, 1_000_000] {
            let mut stream = Stream::of(flows);
            let mut steps: BTreeMap<u64, usize> = BTreeMap::new();
            for _ in 0..2000 {
                let burst: Vec<_> = (0..BURST).filter_map(|_| stream.next()).collect();
                let different: BTreeSet<u64> = burst.iter().map(|&(number, _)| number).collect();
                assert_eq!(different.len(), burst.len());
                for (number, step) in burst {
                    let next = steps.entry(number).or_default();
                    assert_eq!(step, *next);
                    *next += 1;
                }
            }
            assert!(steps.values().filter(|&&steps| steps == 9).count() > 5000);
        }
    }

    #[test]
    fn the_clock_is_exact_in_the_end() {
        let mut clock = Clock::new(60_000_000_007, 281_000);
        let last = (0..281_000).map(|_| clock.step()).last();
        assert_eq!(last, Some(Time::from_nanoseconds(60_000_000_007)));
    }
}
