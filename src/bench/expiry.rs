//! `expiry`: N connections in TIME_WAIT come due within one second, while `established` traffic of N others goes on.
//!
//! ```text
//!  the engine's clock
//!  ├─ 1 s ──────────────┤ baseline ├── skipped ──┤─ 1 s ────────────┤
//!   N connections open,   the same                N come due
//!   close, enter          traffic,                during the traffic,
//!   TIME_WAIT             timed                   timed
//!  └──────────────────── 2 MSL ──────────────────┘
//! ```
//!
//! The baseline lasts for as many bursts as a round wants, and for a second at least, as what comes due does: one burst in
//! 10,000 of a few hundred would be a matter of luck. The clock runs as fast as the machine's while anything is timed, and timers are polled as `run` does: once for
//! each burst, up to its budget. So what is due waits rather than the packets, and how long a burst takes says how much
//! of a stall is left.

use super::engine::{Engine, WHOLE, nanoseconds};
use super::error::Error;
use super::established::Established;
use super::frames::{Flow, Version};
use super::load::Load;
use super::plan::{Opening, Part};
use crate::shard::BURST;
use crate::tcp::State;
use crate::time::{Span, TICK_NANOSECONDS, Time};

/// The fewest connections: one burst's.
pub(super) const LEAST_FLOWS: u32 = BURST as u32;
/// The shortest MSL: a second for the connections to close, and room for the baseline.
pub(super) const LEAST_MSL: Span = Span::from_milliseconds(2000);

/// Within what time they come due, in nanoseconds.
const WITHIN: u64 = 1_000_000_000;
/// For so many bursts there is room from the start: more than there are in a second.
const ROOM: u64 = 1 << 21;
/// How long after the last should have ended the round ends in any case, in nanoseconds.
const PATIENCE: u64 = 10 * WITHIN;

/// What is being timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The traffic alone.
    Baseline,
    /// The traffic while connections come due.
    Due,
}

/// The workload on one shard.
#[derive(Debug)]
pub(super) struct Expiry {
    traffic: Established,
    flows: u32,
    phase: Phase,
    /// How many connections have waited in the rounds before.
    waited: u32,
    /// When this round's baseline began.
    begun: Option<Time>,
    /// When the first of this round comes due.
    due_from: Time,
    /// How many of this round have ended, and the most within one burst.
    ended: u64,
    most_at_once: u64,
}

impl Expiry {
    /// Opens the connections of the traffic, in a table with room for as many others.
    pub(super) fn new(part: &Part, opening: &Opening<'_>) -> Result<Expiry, Error> {
        Ok(Expiry {
            traffic: Established::new(part, 2 * part.flows, Version::V4, opening)?,
            flows: part.flows,
            phase: Phase::Baseline,
            waited: 0,
            begun: None,
            due_from: Time::default(),
            ended: 0,
            most_at_once: 0,
        })
    }
}

impl Load for Expiry {
    fn engine(&self) -> &Engine {
        &self.traffic.engine
    }

    fn engine_mut(&mut self) -> &mut Engine {
        &mut self.traffic.engine
    }

    /// Lets N connections enter TIME_WAIT, spread over a second.
    fn prepare(&mut self) -> Result<(), Error> {
        let flows = self.flows;
        // Numbers that neither the traffic nor an earlier round has.
        let base = flows.wrapping_add(self.waited);
        self.waited = self.waited.wrapping_add(flows);
        let engine = self.engine_mut();
        let start = engine.now();
        for first in (0..flows).step_by(BURST) {
            let batch = first..flows.min(first.saturating_add(BURST as u32));
            let at = after(start, u64::from(first) * WITHIN / u64::from(flows));
            engine.exchange(batch.map(|number| Flow(base.wrapping_add(number))), &WHOLE, Version::V4, at)?;
        }
        engine.skip_to(after(start, WITHIN));
        engine.expect_live(State::TimeWait, flows)?;
        let two_msl = 2 * nanoseconds(engine.shard.settings().tcp.timeouts.msl);
        let ready = engine.now();
        self.due_from = after(start, two_msl);
        if after(ready, WITHIN) > self.due_from {
            let taken = ready.nanoseconds() - start.nanoseconds();
            return Err(Error::Hurried { flows, taken, lasts: two_msl });
        }
        (self.phase, self.begun) = (Phase::Baseline, None);
        Ok(())
    }

    fn come_due(&mut self) -> Result<bool, Error> {
        let just_before = Time::from_nanoseconds(self.due_from.nanoseconds() - TICK_NANOSECONDS);
        let flows = self.flows;
        let engine = self.engine_mut();
        engine.skip_to(just_before);
        engine.poll_until_done(just_before);
        engine.expect_live(State::TimeWait, flows)?;
        (self.phase, self.ended, self.most_at_once) = (Phase::Due, 0, 0);
        Ok(true)
    }

    fn burst(&mut self, now: Time) -> Result<(), Error> {
        self.begun.get_or_insert(now);
        self.traffic.write();
        let ended = self.traffic.engine.send(now, BURST);
        self.ended += ended;
        self.most_at_once = self.most_at_once.max(ended);
        self.check()
    }

    fn is_done(&self, bursts: u64, wanted: u64, now: Time) -> bool {
        match self.phase {
            Phase::Baseline => {
                let is_long = self.begun.is_some_and(|begun| now >= after(begun, WITHIN));
                (bursts >= wanted && is_long) || now >= self.due_from
            }
            Phase::Due => {
                self.ended >= u64::from(self.flows) || now >= after(self.due_from, WITHIN + PATIENCE)
            }
        }
    }

    fn most_bursts(&self, wanted: u64) -> u64 {
        wanted.max(ROOM)
    }

    fn finish(&self) -> Result<(), Error> {
        self.traffic.finish()?;
        match self.phase {
            Phase::Baseline => self.engine().expect_live(State::TimeWait, self.flows),
            Phase::Due => self.engine().expect_live(State::TimeWait, 0),
        }
    }
}

/// The instant so many nanoseconds later.
const fn after(time: Time, nanoseconds: u64) -> Time {
    Time::from_nanoseconds(time.nanoseconds() + nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::super::testing::part;
    use super::*;
    use crate::shard::{End, POLL_BUDGET};

    /// A round on a clock of the test's own, `stride` nanoseconds for each burst.
    fn round(load: &mut Expiry, stride: u64) {
        load.prepare().unwrap();
        let mut now = load.engine().now();
        for _ in 0..10 {
            load.burst(now).unwrap();
            now = after(now, stride);
        }
        load.settle().unwrap();
        load.finish().unwrap();
        assert!(load.come_due().unwrap());
        now = load.due_from;
        while !load.is_done(0, 0, now) {
            load.burst(now).unwrap();
            now = after(now, stride);
        }
        load.settle().unwrap();
        load.finish().unwrap();
    }

    #[test]
    fn the_baseline_lasts_for_a_second_however_few_bursts_are_wanted_but_never_until_any_is_due() {
        let opening = Opening::new(0, &|_| ());
        let mut load = Expiry::new(&part(500), &opening).unwrap();
        load.prepare().unwrap();
        let begun = load.engine().now();
        assert!(!load.is_done(0, 0, begun));
        load.burst(begun).unwrap();
        assert!(!load.is_done(1, 1, after(begun, WITHIN - 1)), "not yet a second");
        assert!(load.is_done(1, 1, after(begun, WITHIN)));
        assert!(!load.is_done(1, 2, after(begun, WITHIN)), "not yet as many as wanted");
        assert!(load.is_done(1, 2, load.due_from));
        load.prepare().unwrap();
        assert!(!load.is_done(1, 1, after(begun, WITHIN)), "the next round's has not begun");
    }

    #[test]
    fn connections_that_come_due_before_the_baseline_could_be_timed_are_told() {
        let opening = Opening::new(0, &|_| ());
        let mut short = part(500);
        short.settings.tcp.timeouts.msl = Span::from_milliseconds(900);
        let mut load = Expiry::new(&short, &opening).unwrap();
        let error = load.prepare().unwrap_err();
        assert!(matches!(error, Error::Hurried { flows: 500, lasts: 1_800_000_000, .. }), "{error}");
    }

    #[test]
    fn exactly_those_in_time_wait_end_and_all_of_them() {
        let opening = Opening::new(0, &|_| ());
        let mut load = Expiry::new(&part(2000), &opening).unwrap();
        for number in 1..=3 {
            round(&mut load, 100_000);
            assert_eq!(load.ended, 2000);
            let counters = load.engine().shard.counters();
            assert_eq!(counters.ended[End::Closed as usize], 2000 * number);
            assert_eq!(counters.ended.iter().sum::<u64>(), 2000 * number);
            assert_eq!(load.engine().shard.table().len(), 2000);
        }
    }

    #[test]
    fn no_burst_waits_for_more_than_a_turns_budget() {
        let opening = Opening::new(0, &|_| ());
        let mut load = Expiry::new(&part(5000), &opening).unwrap();
        // Bursts so far apart that more is due at each than a turn may do.
        round(&mut load, 10_000_000);
        assert_eq!(load.ended, 5000);
        assert_eq!(load.most_at_once, u64::from(POLL_BUDGET));
    }
}
