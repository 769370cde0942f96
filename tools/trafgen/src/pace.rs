//! When the next packets are due.

use std::num::NonZeroU64;

/// The most that are due at a time: a generator that was kept away from its core does not make up for it in
/// one burst that no middlebox would ever see from a network.
const LARGEST_BURST: u64 = 64;

/// How fast something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// As fast as it can.
    Flat,
    /// So many in a second.
    PerSecond(NonZeroU64),
}

/// Tells how many are due, from when it was made and what was taken.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    rate: Rate,
    start: u64,
    taken: u64,
}

impl Pacer {
    /// From `now` on, in nanoseconds of any clock.
    pub(crate) fn new(rate: Rate, now: u64) -> Pacer {
        Pacer { rate, start: now, taken: 0 }
    }

    /// How many may be taken.
    pub(crate) fn due(&self, now: u64) -> u32 {
        let due = match self.rate {
            Rate::Flat => LARGEST_BURST,
            Rate::PerSecond(rate) => {
                let elapsed = u128::from(now.saturating_sub(self.start));
                let by_now = elapsed * u128::from(rate.get()) / 1_000_000_000 + 1;
                u64::try_from(by_now).unwrap_or(u64::MAX).saturating_sub(self.taken)
            }
        };
        due.min(LARGEST_BURST) as u32
    }

    /// So many were.
    pub(crate) fn take(&mut self, count: u32) {
        self.taken += u64::from(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(rate: u64) -> Rate {
        Rate::PerSecond(NonZeroU64::new(rate).unwrap())
    }

    #[test]
    fn the_first_is_due_at_once_and_the_others_when_their_time_has_come() {
        let mut pacer = Pacer::new(per_second(1000), 5_000_000);
        assert_eq!(pacer.due(5_000_000), 1);
        pacer.take(1);
        assert_eq!(pacer.due(5_999_999), 0);
        assert_eq!(pacer.due(6_000_000), 1);
        assert_eq!(pacer.due(9_000_000), 4, "what was late is made up for");
    }

    #[test]
    fn over_a_second_it_is_the_rate_and_never_more_than_a_burst_at_once() {
        let mut pacer = Pacer::new(per_second(700_000), 0);
        let mut sent = 0;
        for now in (0..1_000_000_000).step_by(10_000) {
            let due = pacer.due(now);
            assert!(due <= 64);
            pacer.take(due);
            sent += due;
        }
        // The last look is 10 µs before the second's end.
        assert!((699_990..=700_000).contains(&sent), "{sent}");
        assert_eq!(pacer.due(u64::MAX), 64);
        assert_eq!(Pacer::new(Rate::Flat, 0).due(0), 64);
    }
}
