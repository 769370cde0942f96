//! When a worker is between two turns: so that others can wait until it has noticed, or finished, something.
//!
//! ```text
//!   worker   ──0──┤ turn 1 ├──2──┤ turn 3 ├──4── asleep ──────┤ turn 5 ├──
//!                 odd: at work          even: everything it did can be seen
//! ```
//!
//! Two uses. A reader that has looked at the table waits for the end of the turn, and then knows that every
//! change it saw has its event in the ring. A reader that has set a flag waits likewise, and then knows that
//! the worker has seen it, or will before it does anything else.
//!
//! The pairings, which `events.rs` tries in every order:
//!
//! - E1, the fence behind the beginning, and E3, the fence before the look: of a flag that is set before E3 and
//!   read after E1 and a count that is written before E1 and read after E3, at least one is seen. So either
//!   the turn has begun (and the reader waits for its end), or it reads the flag. And whoever has seen
//!   something that was written after E1 sees the count of that turn, or of a later one.
//! - E2, the stores of the count (release), and E4, its load (acquire): who sees the end of a turn sees all that
//!   was done in it.

use crossbeam_utils::CachePadded;

use super::sync::{AtomicU64, Ordering, fence};

/// A count of a worker's turns; odd during one. On a line of its own, which the worker alone writes, twice in each
/// turn: what readers write beside it (the lock of a report) does not hold the worker up.
#[derive(Debug, Default)]
pub struct Epoch(CachePadded<AtomicU64>);

const _: () = assert!(align_of::<Epoch>() >= 64);

impl Epoch {
    /// A turn begins. For the worker alone.
    #[inline]
    pub fn begin(&self) {
        self.advance();
        fence(Ordering::SeqCst); // E1, pairs with E3
    }

    /// A turn ends: all that was done in it can be seen by whoever sees this. For the worker alone.
    #[inline]
    pub fn end(&self) {
        self.advance();
    }

    #[inline]
    fn advance(&self) {
        let count = self.0.load(Ordering::Relaxed);
        self.0.store(count + 1, Ordering::Release); // E2, pairs with E4
    }

    /// The moment, to be given to [`Epoch::is_over`] later.
    pub fn now(&self) -> u64 {
        fence(Ordering::SeqCst); // E3, pairs with E1
        self.0.load(Ordering::Acquire) // E4, pairs with E2
    }

    /// Whether the turn of the moment `then` is over, or none was.
    pub fn is_over(&self, then: u64) -> bool {
        then.is_multiple_of(2) || self.now() != then
    }
}

#[cfg(not(loom))]
#[cfg(test)]
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
