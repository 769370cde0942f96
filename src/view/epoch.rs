//! When a worker is between two turns: so that others can wait until it has noticed, or finished, something.
//!
//! ```text
//!   worker   ──0──┤ turn 1 ├──2──┤ turn 3 ├──4── asleep ──────┤ turn 5 ├──
//!                 odd: at work          even: everything it did can be seen
//! ```
//!
//! Two uses. A reader that has looked at the table waits for the end of the turn, and then knows that every
//! change it saw has its event in the ring. A reader that has set a flag waits likewise, and then knows that
//! the worker has seen it or will before it does anything else: both sides' accesses are sequentially
//! consistent, so either the worker's turn begins before the flag was set (and the reader waits for its end)
//! or it reads the flag.

use super::sync::{AtomicU64, Ordering::SeqCst};

/// A count of a worker's turns; odd during one.
#[derive(Debug, Default)]
pub struct Epoch(AtomicU64);

impl Epoch {
    /// A turn begins. For the worker alone.
    #[inline]
    pub fn begin(&self) {
        self.0.store(self.0.load(SeqCst) + 1, SeqCst);
    }

    /// A turn ends: all that was done in it can be seen by whoever sees this. For the worker alone.
    #[inline]
    pub fn end(&self) {
        self.begin();
    }

    /// The moment, to be given to [`Epoch::is_over`] later.
    pub fn now(&self) -> u64 {
        self.0.load(SeqCst)
    }

    /// Whether the turn of the moment `then` is over, or none was.
    pub fn is_over(&self, then: u64) -> bool {
        then.is_multiple_of(2) || self.now() != then
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Epoch;

    #[test]
    fn a_moment_between_turns_is_over_at_once_and_one_in_a_turn_when_that_ends() {
        let epoch = Epoch::default();
        assert!(epoch.is_over(epoch.now()));
        epoch.begin();
        let within = epoch.now();
        assert!(!epoch.is_over(within));
        epoch.end();
        assert!(epoch.is_over(within));
        epoch.begin();
        assert!(epoch.is_over(within), "a later turn is another one");
    }
}
