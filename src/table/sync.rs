//! The atomics that readers and the writer of a table share: the standard ones, or loom's while its
//! tests try every interleaving (`RUSTFLAGS="--cfg loom"`).

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Lets time pass before a reader looks again: the writer needs a few nanoseconds, or, where it has lost
/// its core in the middle of a write, that core.
#[cfg(not(loom))]
pub(super) fn pause(attempts: &mut u32) {
    const SPINS: u32 = 64;
    if *attempts < SPINS {
        *attempts += 1;
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// Under loom waiting always means letting the other thread run.
#[cfg(loom)]
pub(super) fn pause(_attempts: &mut u32) {
    loom::thread::yield_now();
}
