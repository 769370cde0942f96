//! The atomics that both sides of a ring share: the standard ones, or loom's while the tests of this crate
//! try every interleaving (`RUSTFLAGS="--cfg loom"`). A program that is itself built for loom gets the
//! standard ones, since kernel memory is not loom's.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
