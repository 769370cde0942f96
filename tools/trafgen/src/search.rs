//! The highest value at which a trial succeeds, in as few trials as can be.
//!
//! ```text
//!   least ──── known good ════ ? ════ known bad ──── most
//!                    └─ the middle is tried next ─┘     until they are nearer than the resolution
//! ```
//!
//! RFC 9693 asks for a binary search of rates (section 4.5), and for the capacity of a table for an exponential
//! one before it (section 4.9): a table's size may be of any order of magnitude. Pure: trials are somebody
//! else's.

/// What is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The most; then the middle.
    Most,
    /// The least, then twice as much each time, until a trial fails.
    Least,
}

/// A search under way.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    good: Option<u64>,
    bad: Option<u64>,
    least: u64,
    most: u64,
    start: Start,
    /// The share of the value, in thousandths, that good and bad may lie apart at the end.
    resolution: u64,
}

impl Search {
    /// Between two values, both included.
    pub(crate) fn new(least: u64, most: u64, start: Start, resolution: u64) -> Search {
        Search { good: None, bad: None, least, most: most.max(least), start, resolution }
    }

    /// What has to be tried next; none if the search is over.
    pub(crate) fn next(&self) -> Option<u64> {
        match (self.good, self.bad) {
            (None, None) => Some(if self.start == Start::Most { self.most } else { self.least }),
            (None, Some(bad)) if bad <= self.least => None,
            (None, Some(bad)) => self.between(self.least.saturating_sub(1), bad),
            (Some(good), None) if good >= self.most => None,
            (Some(good), None) => Some(good.saturating_mul(2).min(self.most)),
            (Some(good), Some(bad)) => self.between(good, bad),
        }
    }

    fn between(&self, good: u64, bad: u64) -> Option<u64> {
        let distance = bad - good;
        let enough = (bad * self.resolution / 1000).max(1);
        (distance > enough).then_some(good + distance / 2)
    }

    /// How the trial of `value` ended.
    pub(crate) fn tell(&mut self, value: u64, succeeded: bool) {
        if succeeded {
            self.good = Some(self.good.map_or(value, |good| good.max(value)));
        } else {
            self.bad = Some(self.bad.map_or(value, |bad| bad.min(value)));
        }
    }

    /// The highest value that succeeded.
    pub(crate) fn found(&self) -> Option<u64> {
        self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a search finds where everything up to `limit` succeeds, and the values that it tried.
    fn find(mut search: Search, limit: u64) -> (Option<u64>, Vec<u64>) {
        let mut tried = Vec::new();
        while let Some(value) = search.next() {
            assert!(!tried.contains(&value), "{value} is tried twice");
            tried.push(value);
            search.tell(value, value <= limit);
        }
        (search.found(), tried)
    }

    #[test]
    fn the_limit_is_found_wherever_it_lies() {
        for limit in 10..=1000 {
            for start in [Start::Most, Start::Least] {
                let (found, tried) = find(Search::new(10, 1000, start, 0), limit);
                assert_eq!(found, Some(limit), "{start:?}");
                assert!(tried.len() <= 20, "{start:?} for {limit}: {} trials", tried.len());
            }
        }
    }

    #[test]
    fn where_even_the_least_fails_nothing_is_found() {
        for start in [Start::Most, Start::Least] {
            let (found, tried) = find(Search::new(10, 1000, start, 0), 9);
            assert_eq!((found, tried.last()), (None, Some(&10)), "{start:?}");
        }
    }

    #[test]
    fn a_resolution_saves_trials_and_stays_within_it() {
        let (found, tried) = find(Search::new(1000, 1_000_000, Start::Most, 50), 612_345);
        let found = found.unwrap();
        assert!((580_000..=612_345).contains(&found) && tried.len() <= 7, "{found} after {tried:?}");
    }

    #[test]
    fn an_exponential_search_never_tries_more_than_twice_what_succeeded() {
        let (_, tried) = find(Search::new(1000, 1 << 30, Start::Least, 10), 70_000);
        assert!(tried.iter().all(|value| *value <= 140_000), "{tried:?}");
    }
}
