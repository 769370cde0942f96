//! Durations, counted in so fine steps that percentiles are right to within one in 32, in constant memory.
//!
//! ```text
//!   0 … 63 ns      a counter for each nanosecond
//!   64 … 127       32 counters, two nanoseconds each
//!   128 … 255      32 counters, four each
//!   …              and so on, up to 2^40 ns (18 minutes); what is longer counts as that
//! ```

use serde::Serialize;

/// Counters for each doubling.
const STEPS: usize = 32;
/// The first duration that is not counted exactly.
const EXACT: u64 = 2 * STEPS as u64;
/// Doublings behind that.
const DOUBLINGS: usize = 34;
const LONGEST: u64 = (1 << 40) - 1;

/// Counted durations.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counters: Vec<u64>,
    count: u64,
    sum: u128,
    least: u64,
    most: u64,
}

/// What is told of durations, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Percentiles {
    /// How many there were.
    pub(crate) samples: u64,
    pub(crate) min: u64,
    pub(crate) mean: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        let counters = vec![0; EXACT as usize + DOUBLINGS * STEPS];
        Histogram { counters, count: 0, sum: 0, least: u64::MAX, most: 0 }
    }

    /// Counts a duration in nanoseconds.
    #[inline]
    pub(crate) fn add(&mut self, duration: u64) {
        let place = place(duration.min(LONGEST));
        self.counters[place] += 1;
        self.count += 1;
        self.sum += u128::from(duration);
        self.least = self.least.min(duration);
        self.most = self.most.max(duration);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.counters.fill(0);
        (self.count, self.sum, self.least, self.most) = (0, 0, u64::MAX, 0);
    }

    /// None where nothing was counted.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        if self.count == 0 {
            return None;
        }
        let mean = u64::try_from(self.sum / u128::from(self.count)).unwrap_or(u64::MAX);
        Some(Percentiles {
            samples: self.count,
            min: self.least,
            mean,
            p50: self.at(500),
            p90: self.at(900),
            p99: self.at(990),
            p999: self.at(999),
            max: self.most,
        })
    }

    /// The least duration that so many of a thousand do not exceed, rounded up to its counter's end.
    fn at(&self, of_a_thousand: u64) -> u64 {
        let wanted = (u128::from(self.count) * u128::from(of_a_thousand)).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        for (place, &count) in self.counters.iter().enumerate() {
            seen += u128::from(count);
            if seen >= wanted {
                return longest(place).min(self.most);
            }
        }
        self.most
    }
}

/// The counter of a duration up to [`LONGEST`].
#[inline]
fn place(duration: u64) -> usize {
    if duration < EXACT {
        return duration as usize;
    }
    // The highest bit is at least 6: that many more than 5 are dropped.
    let dropped = 63 - duration.leading_zeros() - STEPS.ilog2();
    let step = (duration >> dropped) as usize - STEPS;
    EXACT as usize + (dropped as usize - 1) * STEPS + step
}

/// The longest duration that a counter counts.
fn longest(place: usize) -> u64 {
    let Some(behind) = place.checked_sub(EXACT as usize) else { return place as u64 };
    let (dropped, step) = (behind / STEPS + 1, behind % STEPS);
    (((STEPS + step) as u64 + 1) << dropped) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_at_or_below_its_counters_end_and_above_the_one_before() {
        let around = (0..40).flat_map(|bit| [-1_i64, 0, 1].map(|off| ((1_u64 << bit) as i64 + off) as u64));
        for duration in around.chain(0..5000).chain([LONGEST]).filter(|duration| *duration <= LONGEST) {
            let place = place(duration);
            assert!(duration <= longest(place), "{duration}");
            assert!(place == 0 || duration > longest(place - 1), "{duration}");
            assert!(longest(place) - duration <= duration / 32, "{duration}: off by more than a 32nd");
        }
        assert_eq!(place(LONGEST), Histogram::new().counters.len() - 1, "every counter is used");
    }

    #[test]
    fn percentiles_of_known_durations() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentiles(), None);
        (1..=50).for_each(|duration| histogram.add(duration));
        let found = histogram.percentiles().unwrap();
        let expected =
            Percentiles { samples: 50, min: 1, mean: 25, p50: 25, p90: 45, p99: 50, p999: 50, max: 50 };
        assert_eq!(found, expected);
        histogram.clear();
        histogram.add(u64::MAX);
        let found = histogram.percentiles().unwrap();
        assert_eq!((found.samples, found.p50, found.max), (1, LONGEST, u64::MAX));
    }

    #[test]
    fn one_that_is_late_shows_in_the_last_percentile_alone() {
        let mut histogram = Histogram::new();
        (0..9_990).for_each(|_| histogram.add(40));
        (0..10).for_each(|_| histogram.add(1_000_000));
        let found = histogram.percentiles().unwrap();
        assert_eq!((found.p50, found.p99, found.p999, found.max), (40, 40, 40, 1_000_000));
        histogram.add(1_000_000);
        assert_eq!(histogram.percentiles().unwrap().p999, 1_000_000);
    }
}
