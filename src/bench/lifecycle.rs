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
//! number follow from p alone). So every ninth burst has the same steps, and nine plans are all there is to writing them. 928 is the most: at three million connections a second one then lasts a third of a
//! millisecond, as in a data centre, and its lines are not the processor's nearest any more when its next packet comes.
//!
//! # The clock
//!
//! Per burst 32/9 connections begin. At any time 7/9 · L are not yet in TIME_WAIT, so the others are N when TIME_WAIT
//! lasts for (9 N - 7 L) / 32 bursts: the clock moves by 2 MSL in so many bursts, the same with each of them. It is
//! virtual, and much faster than a real one: a burst is 214 µs of it with a million connections and an MSL of
//! 30 s. In that time a worker would have turned to its timers hundreds of times; so here they are polled before every
//! burst until nothing is due, by as much as a worker looks at in one turn.

use std::array::from_fn;

use super::engine::{Engine, WHOLE, nanoseconds};
use super::error::Error;
use super::frames::{Flow, Plan, Version};
use super::load::Load;
use super::plan::{Opening, Part};
use crate::processor::Processor;
use crate::shard::BURST;
use crate::time::{Span, TICK_NANOSECONDS, Time};

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
    patterns: Vec<Pattern>,
    processor: Processor,
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
        let waiting = stream.waiting(part.flows);
        let in_a_tick = (u64::from(part.flows) * TICK_NANOSECONDS).div_ceil(two_msl) as u32;
        let mut load = Lifecycle {
            engine: Engine::new(part.flows, part)?,
            stream,
            patterns: stream.patterns(),
            processor: Processor::this(),
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
        load.settle()?;
        load.finish()?;
        Ok(load)
    }

    /// The clock's step, what is due by it, and the next burst.
    #[inline]
    fn turn(&mut self) -> Result<(), Error> {
        let now = self.clock.step();
        self.engine.poll_until_done(now);
        let new = self.write();
        self.engine.send_polled(now, self.engine.frames.count() - new);
        self.engine.expect()
    }

    /// Writes the next burst; returns how many connections it begins.
    #[inline]
    fn write(&mut self) -> usize {
        let Some((first, number)) = self.stream.full_burst() else { return self.write_first() };
        let Some(pattern) = self.patterns.get(number) else { return 0 };
        let frames = &mut self.engine.frames;
        self.processor.run(
            #[inline(always)]
            || {
                frames
                    .write_planned(&pattern.plan, &pattern.ahead.map(|ahead| Flow(first.wrapping_add(ahead))))
            },
        );
        self.completed += pattern.completed;
        pattern.new
    }

    /// The same of one of the first bursts, which are not full.
    #[cold]
    fn write_first(&mut self) -> usize {
        let (mut new, mut completed) = (0, 0);
        let (stream, frames) = (&mut self.stream, &mut self.engine.frames);
        frames.begin();
        for (number, step) in (0..BURST).filter_map(|_| stream.next()) {
            new += usize::from(step == 0);
            completed += u64::from(step == WHOLE.len() - 1);
            frames.write(Version::V4, Flow(number as u32), WHOLE[step]);
        }
        self.completed += completed;
        new
    }
}

/// How much of the virtual clock passes between two packets of a connection, up to the later one's verdict, with so many
/// connections of one shard, [`LEAST_FLOWS`] at least: rounded up, and what a burst waits for the next one included.
pub(super) fn pause(flows: u32, msl: Span) -> Span {
    let stream = Stream::of(flows);
    let bursts = stream.distance / BURST as u64 + 1;
    let milliseconds = (2 * u64::from(msl.milliseconds()) * bursts).div_ceil(stream.waiting(flows)) + 1;
    Span::from_milliseconds(u32::try_from(milliseconds).unwrap_or(u32::MAX))
}

impl Load for Lifecycle {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
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

    /// For how many bursts TIME_WAIT lasts: see the module.
    fn waiting(self, flows: u32) -> u64 {
        (STEPS * u64::from(flows - MARGIN) - (STEPS - 2) * self.distance) / BURST as u64
    }

    /// The connection and the step of the next packet; none where that would belong to one before the first.
    #[inline(always)]
    fn next(&mut self) -> Option<(u64, usize)> {
        let (packet, step) = (self.packet, self.packet % STEPS);
        self.packet += 1;
        let first = packet.checked_sub(step * self.distance)?;
        Some((first / STEPS, step as usize))
    }

    /// Takes the next burst at once if it is a full one: the connection that its [`Pattern`]'s are ahead of, and that
    /// pattern's number. Connections' numbers come round after 2^32, long after the last one with that number.
    #[inline(always)]
    fn full_burst(&mut self) -> Option<(u32, usize)> {
        let packet = self.packet;
        if packet < (STEPS - 1) * self.distance {
            return None;
        }
        self.packet += BURST as u64;
        Some(((packet / STEPS) as u32, (packet / BURST as u64 % STEPS) as usize))
    }

    /// What its full bursts are.
    fn patterns(self) -> Vec<Pattern> {
        // Far enough for whole bursts, and at the first of nine.
        let mut stream = Stream { packet: STEPS * BURST as u64 * self.distance, ..self };
        (0..STEPS).map(|_| Pattern::of_next(&mut stream)).collect()
    }
}

/// One of the nine kinds of full bursts.
#[derive(Debug)]
struct Pattern {
    plan: Plan,
    /// How far the number of each segment's connection is ahead of a ninth of the first packet's; wraps where it is
    /// behind.
    ahead: [u32; BURST],
    /// How many connections begin and end with it.
    new: usize,
    completed: u64,
}

impl Pattern {
    /// The one of the next burst of `stream`, which is full.
    fn of_next(stream: &mut Stream) -> Pattern {
        let first = stream.packet / STEPS;
        let segments = from_fn(|_| stream.next().unwrap_or_default());
        let count = |wanted| segments.iter().filter(|(_, step)| *step == wanted).count();
        Pattern {
            plan: Plan::new(Version::V4, &segments.map(|(_, step)| WHOLE[step])),
            ahead: segments.map(|(number, _)| number.wrapping_sub(first) as u32),
            new: count(0),
            completed: count(WHOLE.len() - 1) as u64,
        }
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
                load.settle().unwrap();
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
    fn a_burst_taken_at_once_is_the_same_as_packet_by_packet() {
        for flows in [256, 2000, 1_000_000] {
            let mut at_once = Stream::of(flows);
            let patterns = at_once.patterns();
            let mut one_by_one = at_once;
            let mut full = 0;
            for _ in 0..2000 {
                let burst: Vec<_> = (0..BURST).filter_map(|_| one_by_one.next()).collect();
                let Some((first, number)) = at_once.full_burst() else {
                    (0..BURST).for_each(|_| _ = at_once.next());
                    continue;
                };
                let pattern = &patterns[number];
                let numbers: Vec<_> = pattern.ahead.iter().map(|&ahead| first.wrapping_add(ahead)).collect();
                assert_eq!(numbers, burst.iter().map(|&(number, _)| number as u32).collect::<Vec<_>>());
                assert_eq!(pattern.new, burst.iter().filter(|(_, step)| *step == 0).count());
                assert_eq!(pattern.completed, burst.iter().filter(|(_, step)| *step == 8).count() as u64);
                full += 1;
            }
            assert!(full > 1700, "{full}");
        }
    }

    #[test]
    fn the_clock_is_exact_in_the_end() {
        let mut clock = Clock::new(60_000_000_007, 281_000);
        let last = (0..281_000).map(|_| clock.step()).last();
        assert_eq!(last, Some(Time::from_nanoseconds(60_000_000_007)));
    }
}
