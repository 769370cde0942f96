//! The three stages of a burst, for one burst at a time or for two that are under way at once.
//!
//! ```text
//!                  ┌──────────── the turn of burst 2 ───────────┐
//!   burst 1   read │             judge 1                        │
//!                locate 1   ▲       ▲                           │
//!   burst 2        │     read 2     │      locate 2   ▲         │
//!   burst 3        │                                 read 3  judge 2  locate 3 …
//!
//!   memory           buckets of 2 come ──────┘  connections of 2 come ─┘
//! ```
//!
//! Each stage has memory fetched that the burst's next one looks at. A burst by itself goes through all three in a row
//! ([`Shard::process`]) and waits for most of that memory twice. While more packets are waiting, another burst's stage can
//! stand between: read the next burst, judge this one, locate the next one (docs/performance.md says what it brings).
//!
//! Nothing has to be right about what lies between: the place that a burst has located is a guess, and asked when it is
//! judged. So timers may end connections in the meantime, and the burst before may begin some.

use super::arrival::{Arrival, Arrivals};
use super::burst::{Burst, Kind, Slot};
use super::verdict::{Class, Verdict};
use super::{Observer, Shard, direction_of};
use crate::time::Tick;
use crate::wire::{self, Direction};

// Each stage is a function of its own: all three in one have more to keep at hand than there are registers.
impl Shard {
    /// Takes a burst of up to [`BURST`](super::BURST) frames that came at `now` and writes a verdict for each.
    #[inline]
    pub fn process<O: Observer>(
        &mut self,
        arrivals: &[Arrival<'_>],
        now: Tick,
        verdicts: &mut [Verdict],
        observer: &mut O,
    ) {
        let mut burst = Burst::new();
        self.read(&mut burst, &arrivals);
        self.locate(&mut burst);
        self.judge(&mut burst, &arrivals, now, verdicts, observer);
    }

    /// Reads up to [`BURST`](super::BURST) frames into `burst`, of which it forgets what was there before, and has the
    /// index's lines fetched.
    #[inline]
    pub fn read<A: Arrivals>(&self, burst: &mut Burst, arrivals: &A) {
        self.processor.run(
            #[inline(always)]
            || burst.read(arrivals, self.settings.checks, &self.table),
        );
    }

    /// Looks for the connections of a burst that was read, and has them fetched.
    #[inline]
    pub fn locate(&self, burst: &mut Burst) {
        self.processor.run(
            #[inline(always)]
            || burst.locate(&self.table),
        );
    }

    /// Writes a verdict for each packet of a burst that was read, best after it was located, and empties it. `arrivals`
    /// are those that it was read from, as they were; bursts are judged in the order in which their packets came.
    #[inline]
    pub fn judge<A: Arrivals, O: Observer>(
        &mut self,
        burst: &mut Burst,
        arrivals: &A,
        now: Tick,
        verdicts: &mut [Verdict],
        observer: &mut O,
    ) {
        debug_assert!(verdicts.len() >= burst.slots().len(), "room for a verdict of each packet");
        let processor = self.processor;
        processor.run(
            #[inline(always)]
            || self.judge_each(burst, arrivals, now, verdicts, observer),
        );
        burst.clear();
    }

    /// The packets of a burst one by one, in order.
    #[inline(always)]
    fn judge_each<A: Arrivals, O: Observer>(
        &mut self,
        burst: &Burst,
        arrivals: &A,
        now: Tick,
        verdicts: &mut [Verdict],
        observer: &mut O,
    ) {
        if let Some(last) = burst.slots().last() {
            self.latest = self.latest.max(last.at);
        }
        let mut plain = 0;
        for (place, (slot, verdict)) in burst.slots().iter().zip(verdicts).enumerate() {
            let way = match slot.kind {
                Kind::Stream => self.way_of_its(slot, now),
                Kind::Opening | Kind::Other => None,
            };
            if let Some(direction) = way
                && let Some(subject) = self.plain_segment(slot, direction, now)
            {
                *verdict = Verdict::accept(Class::Established, subject);
                plain += 1;
            } else {
                self.judge_one(slot, (arrivals, place), way, now, verdict, observer);
            }
        }
        self.counters.count_plain(plain);
    }

    /// A packet that the hot path leaves: of a segment whose connection it has found, with the `way` it goes.
    // A function of its own, with all that is not the hot path: that one keeps its registers. It writes the verdict where that
    // belongs: to copy one that has just been written in smaller pieces, the processor would wait for each of these.
    #[inline(never)]
    fn judge_one<A: Arrivals, O: Observer>(
        &mut self,
        slot: &Slot,
        (arrivals, place): (&A, usize),
        way: Option<Direction>,
        now: Tick,
        verdict: &mut Verdict,
        observer: &mut O,
    ) {
        if let Some(direction) = way {
            if let Some(subject) = self.orderly_segment(slot, direction, now, observer) {
                *verdict = Verdict::accept(Class::Established, subject);
                return self.counters.count_plain(1);
            }
            if let Some(subject) = self.repeated_segment(slot, direction, now) {
                *verdict = Verdict::accept(Class::Established, subject);
                return self.counters.count_plain(1);
            }
        }
        let arrival = &arrivals.arrival(place);
        if let Kind::Opening = slot.kind
            && let Some(known) = self.opening(slot, arrival, now, observer)
        {
            *verdict = known;
            return;
        }
        let packet = wire::parse(&arrival.frame, self.settings.checks);
        *verdict = self.judge_any(&packet, slot, arrival, now, observer);
    }

    /// The way of a segment whose connection is where it was supposed to be and not over, if it came in by the right port.
    #[inline(always)]
    pub(super) fn way_of_its(&self, slot: &Slot, now: Tick) -> Option<Direction> {
        let direction = direction_of(self.table.matches(slot.candidate, &slot.key)?);
        let is_its = self.comes_by_its_port(slot.candidate, direction, &slot.admission)
            && !self.is_over(slot.candidate, now);
        is_its.then_some(direction)
    }
}
