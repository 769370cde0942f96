//! Which slots of one level have entries: a bit each, and above them a bit for each word of these, so that empty
//! stretches cost nothing.
//!
//! ```text
//!   summary   ·1··1·…          64 words a word
//!              │  └────────┐
//!   words     ·▒····│······▒···│…   64 slots a word
//! ```

/// Slots, or words, that one word has a bit for.
const BITS: usize = u64::BITS as usize;

/// The slots of one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occupancy {
    words: Box<[u64]>,
    summary: Box<[u64]>,
}

/// The word and the bit of number `n`.
const fn position(n: usize) -> (usize, u64) {
    (n / BITS, 1 << (n % BITS))
}

/// The first number from `n` on whose bit is set in `words`; all bits before that word's end are looked at, no more.
fn first_in_word(words: &[u64], n: usize) -> Option<usize> {
    let (word, bit) = position(n);
    let found = words.get(word)? & !(bit - 1);
    (found != 0).then(|| word * BITS + found.trailing_zeros() as usize)
}

impl Occupancy {
    /// So many slots, all empty.
    pub(super) fn new(slots: usize) -> Occupancy {
        let words = slots.div_ceil(BITS);
        let zeros = |count| vec![0; count].into_boxed_slice();
        Occupancy { words: zeros(words), summary: zeros(words.div_ceil(BITS)) }
    }

    pub(super) fn insert(&mut self, slot: usize) {
        let (word, bit) = position(slot);
        self.words[word] |= bit;
        let (over, bit) = position(word);
        self.summary[over] |= bit;
    }

    pub(super) fn remove(&mut self, slot: usize) {
        let (word, bit) = position(slot);
        self.words[word] &= !bit;
        if self.words[word] == 0 {
            let (over, bit) = position(word);
            self.summary[over] &= !bit;
        }
    }

    pub(super) fn contains(&self, slot: usize) -> bool {
        let (word, bit) = position(slot);
        self.words[word] & bit != 0
    }

    /// The first occupied slot after `slot`, going round and ending before `slot` itself.
    pub(super) fn first_around(&self, slot: usize) -> Option<usize> {
        self.first_from(slot + 1).or_else(|| self.first_from(0).filter(|&found| found < slot))
    }

    /// The first occupied slot that is not before `slot`.
    fn first_from(&self, slot: usize) -> Option<usize> {
        first_in_word(&self.words, slot).or_else(|| {
            let after = slot / BITS + 1;
            let rest = (after / BITS + 1..self.summary.len()).map(|over| over * BITS);
            let word = std::iter::once(after).chain(rest).find_map(|n| first_in_word(&self.summary, n))?;
            first_in_word(&self.words, word * BITS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_slots_is_found_as_a_naive_search_finds_it() {
        // Two words of the summary; the steps meet every word, and first and last slots.
        let slots = 8192;
        let step = if cfg!(miri) { 1365 } else { 63 };
        let mut occupancy = Occupancy::new(slots);
        for occupied in (0..slots).step_by(step).chain([slots - 1]) {
            occupancy.insert(occupied);
            for slot in (0..slots).step_by(step).chain([slots - 1]) {
                assert_eq!(occupancy.contains(slot), slot == occupied);
                assert_eq!(occupancy.first_around(slot), (occupied != slot).then_some(occupied), "{slot}");
            }
            occupancy.remove(occupied);
            assert_eq!(occupancy, Occupancy::new(slots));
        }
    }

    #[test]
    fn of_several_slots_the_nearest_ahead_is_found() {
        let mut occupancy = Occupancy::new(65_536);
        for slot in [3, 64, 200, 4095, 4096, 60_000, 60_001] {
            occupancy.insert(slot);
        }
        for (slot, next) in
            [(3, 64), (64, 200), (200, 4095), (4095, 4096), (4096, 60_000), (60_000, 60_001), (60_001, 3)]
        {
            assert_eq!(occupancy.first_around(slot), Some(next));
        }
        assert_eq!(occupancy.first_around(65_535), Some(3));
    }
}
