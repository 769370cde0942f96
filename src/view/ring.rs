//! A ring of numbered entries that one thread overwrites while others read it, without either waiting.
//!
//! ```text
//!  number   … 5      6      7      8 …          capacity 4: number n lies in slot n mod 4
//!  slot      [1]    [2]    [3]    [0]
//!  guard     10  →  13  →  18             even 2n: entry n is there, odd 2n + 1: it is being written
//!            ▲             ▲
//!            │             └ a reader of number 5 that finds more than 10: entry 5 was overwritten
//!            └ a reader of number 5 copies the words, and finds 10 again: they are those of 5
//! ```
//!
//! The guard of a slot never goes back and tells which entry is there, so a copy cannot be of another entry
//! than the reader asked for. Numbers may be left out (nobody listened); their slots keep older entries.
//!
//! Who may call: [`Ring::write`] one thread; [`Ring::read`] any. The words are atomics themselves, moved with
//! `Relaxed`. The pairings, which `loom_tests` below tries in every order:
//!
//! - R1: the reader's first load (acquire) pairs with W3, the writer's closing store (release): a guard of
//!   entry n is seen only together with the words written before it.
//! - R3: the reader's fence (acquire) pairs with W2, the writer's fence (release): a word of a later write is
//!   seen only together with the odd guard that announced it, so the second look differs.

use super::sync::{AtomicU64, Ordering, fence};

/// The ring: a power of two of entries, each of `WORDS` words.
#[derive(Debug)]
pub(super) struct Ring<const WORDS: usize> {
    slots: Box<[Slot<WORDS>]>,
}

/// One entry, and the guard that tells which. Whole cache lines: the writer disturbs no reader of another.
#[derive(Debug)]
#[repr(align(128))]
struct Slot<const WORDS: usize> {
    guard: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// What lies where an entry is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<const WORDS: usize> {
    /// The entry.
    Entry([u64; WORDS]),
    /// The entry with this higher number, or it is on its way.
    Later(u64),
    /// An older entry, or none: this one was not written.
    Earlier,
}

impl<const WORDS: usize> Ring<WORDS> {
    /// A ring of `capacity` entries, rounded up to a power of two; it holds none yet, and numbers begin at 1.
    pub(super) fn new(capacity: usize) -> Ring<WORDS> {
        let slot = |_| Slot { guard: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) };
        Ring { slots: (0..capacity.next_power_of_two()).map(slot).collect() }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    fn slot(&self, number: u64) -> &Slot<WORDS> {
        &self.slots[(number & (self.capacity() - 1)) as usize]
    }

    /// Writes entry `number`, higher than all before, over whatever lies in its slot. For one thread alone.
    #[inline]
    pub(super) fn write(&self, number: u64, words: [u64; WORDS]) {
        let slot = self.slot(number);
        slot.guard.store(2 * number + 1, Ordering::Relaxed); // W1
        fence(Ordering::Release); // W2, pairs with R3
        for (held, word) in slot.words.iter().zip(words) {
            held.store(word, Ordering::Relaxed);
        }
        slot.guard.store(2 * number, Ordering::Release); // W3, pairs with R1
    }

    /// Entry `number`, or what lies in its place.
    pub(super) fn read(&self, number: u64) -> Found<WORDS> {
        let slot = self.slot(number);
        let before = slot.guard.load(Ordering::Acquire); // R1, pairs with W3
        if before != 2 * number {
            return found_instead(before, number);
        }
        let words = std::array::from_fn(|at| slot.words[at].load(Ordering::Relaxed));
        fence(Ordering::Acquire); // R3, pairs with W2
        match slot.guard.load(Ordering::Relaxed) {
            after if after == before => Found::Entry(words),
            after => found_instead(after, number),
        }
    }
}

/// What another guard than that of entry `number` says.
fn found_instead<const WORDS: usize>(guard: u64, number: u64) -> Found<WORDS> {
    let there = guard / 2;
    if there > number { Found::Later(there) } else { Found::Earlier }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_until_its_slot_is_needed_again() {
        let ring = Ring::<2>::new(4);
        assert_eq!(ring.read(1), Found::Earlier);
        for number in 1..=5 {
            ring.write(number, [number, 10 * number]);
        }
        assert_eq!(ring.read(1), Found::Later(5));
        for number in 2..=5 {
            assert_eq!(ring.read(number), Found::Entry([number, 10 * number]));
        }
        assert_eq!(ring.read(6), Found::Earlier);
    }

    #[test]
    fn a_number_that_was_left_out_is_not_found() {
        let ring = Ring::<1>::new(4);
        ring.write(1, [1]);
        ring.write(7, [7]);
        assert_eq!(ring.read(3), Found::Later(7));
        assert_eq!(ring.read(5), Found::Earlier);
    }

    /// Bounded in work: as many entries as are written, however the threads meet.
    #[test]
    fn readers_beside_the_writer_never_see_a_mixture() {
        const ENTRIES: u64 = if cfg!(miri) { 200 } else { 200_000 };
        let ring = Ring::<3>::new(8);
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=ENTRIES).for_each(|number| ring.write(number, [number; 3])));
            for _ in 0..2 {
                scope.spawn(|| {
                    for number in 1..=ENTRIES {
                        if let Found::Entry(words) = ring.read(number) {
                            assert_eq!(words, [number; 3]);
                        }
                    }
                });
            }
        });
        assert_eq!(ring.read(ENTRIES), Found::Entry([ENTRIES; 3]));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    #[test]
    fn an_entry_is_whole_and_the_one_asked_for_in_every_interleaving() {
        loom::model(|| {
            let ring = Arc::new(Ring::<2>::new(1));
            let reader = thread::spawn({
                let ring = Arc::clone(&ring);
                move || [ring.read(1), ring.read(2)]
            });
            ring.write(1, [1, 1]);
            ring.write(2, [2, 2]);
            for (found, number) in reader.join().expect("the reader does not panic").into_iter().zip(1..) {
                match found {
                    Found::Entry(words) => assert_eq!(words, [number; 2]),
                    Found::Later(there) => assert!(there > number),
                    Found::Earlier => {}
                }
            }
        });
    }
}
