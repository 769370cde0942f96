//! Annexes: 112 more bytes for the few connections that need them (holes, remembered SYNs, a displaced connection).
//!
//! ```text
//!  connection ── annex number ──▶ annex: fourteen opaque words
//!                                 while free: word 0 is the next free one
//! ```
//!
//! There is one for every sixteen connections. They are handed out by a high-water mark first, so that
//! memory is touched only as it is needed, then from a free list, last freed first.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::memory::{Shared, Zeroed};

/// Fourteen words that belong to one connection, opaque to the table.
///
/// Relaxed atomics, written by the table's owner; not part of a snapshot.
#[derive(Debug, Default)]
pub struct Annex([AtomicU64; Annex::WORDS]);

const _: () = assert!(std::mem::size_of::<Annex>() == 112);

#[allow(unsafe_code, reason = "a marker for the memory island")]
// SAFETY: atomic integers only, for which zero is a value.
unsafe impl Zeroed for Annex {}

impl Annex {
    /// Number of words.
    pub const WORDS: usize = 14;

    /// The word at `index`, below [`Annex::WORDS`].
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        self.0[index].load(Relaxed)
    }

    /// Sets the word at `index`, below [`Annex::WORDS`].
    #[inline]
    pub fn set(&self, index: usize, word: u64) {
        self.0[index].store(word, Relaxed);
    }
}

/// All annexes of a table. They are numbered from 1, so that 0 is none.
#[derive(Debug)]
pub(super) struct Annexes {
    region: Shared<Annex>,
    /// The number of the first free one; 0 if none was freed.
    free: u32,
    /// How many have ever been handed out.
    high_water: u32,
}

impl Annexes {
    pub(super) fn new(region: Shared<Annex>) -> Annexes {
        Annexes { region, free: 0, high_water: 0 }
    }

    /// The number of an annex whose words are zero; `None` if all are taken.
    pub(super) fn allocate(&mut self) -> Option<u32> {
        if self.free == 0 {
            if self.high_water as usize >= self.region.len() {
                return None;
            }
            self.high_water += 1;
            return Some(self.high_water);
        }
        let number = self.free;
        let annex = self.get(number)?;
        // Only numbers were stored there, which have 32 bits.
        let next = annex.get(0) as u32;
        annex.0.iter().for_each(|word| word.store(0, Relaxed));
        self.free = next;
        Some(number)
    }

    /// Takes back an annex; 0 is none.
    pub(super) fn free(&mut self, number: u32) {
        if let Some(annex) = self.get(number) {
            annex.set(0, u64::from(self.free));
            self.free = number;
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&Annex> {
        self.region.get((number as usize).checked_sub(1)?)
    }
}
