//! Which slots of one level have entries: 256 bits, so that empty stretches cost nothing.

/// The slots of one level, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Occupancy([u64; 4]);

impl Occupancy {
    /// The word and the bit of a slot.
    const fn position(slot: u8) -> (usize, u64) {
        ((slot >> 6) as usize, 1 << (slot & 63))
    }

    pub(super) const fn insert(&mut self, slot: u8) {
        let (word, bit) = Self::position(slot);
        self.0[word] |= bit;
    }

    pub(super) const fn remove(&mut self, slot: u8) {
        let (word, bit) = Self::position(slot);
        self.0[word] &= !bit;
    }

    pub(super) const fn contains(&self, slot: u8) -> bool {
        let (word, bit) = Self::position(slot);
        self.0[word] & bit != 0
    }

    /// The first occupied slot after `slot`, without going round.
    pub(super) fn first_after(&self, slot: u8) -> Option<u8> {
        self.first_from(slot.checked_add(1)?)
    }

    /// The first occupied slot after `slot`, going round and ending before `slot` itself.
    pub(super) fn first_around(&self, slot: u8) -> Option<u8> {
        self.first_after(slot).or_else(|| self.first_from(0).filter(|&found| found < slot))
    }

    /// The first occupied slot that is not before `slot`.
    fn first_from(&self, slot: u8) -> Option<u8> {
        let (begin, bit) = Self::position(slot);
        let mut mask = !(bit - 1);
        for (word, bits) in (0_u8..).zip(self.0).skip(begin) {
            let found = bits & mask;
            if found != 0 {
                return Some(word * 64 + found.trailing_zeros() as u8);
            }
            mask = u64::MAX;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_slots_is_found_as_a_naive_search_finds_it() {
        // 17 meets every word, and first and last slots.
        let step = if cfg!(miri) { 17 } else { 1 };
        for occupied in (0..=255_u8).step_by(step) {
            let mut occupancy = Occupancy::default();
            occupancy.insert(occupied);
            for slot in (0..=255_u8).step_by(step) {
                assert_eq!(occupancy.contains(slot), slot == occupied);
                assert_eq!(occupancy.first_after(slot), (occupied > slot).then_some(occupied), "{slot}");
                assert_eq!(occupancy.first_around(slot), (occupied != slot).then_some(occupied), "{slot}");
            }
            occupancy.remove(occupied);
            assert_eq!(occupancy, Occupancy::default());
        }
    }

    #[test]
    fn of_several_slots_the_nearest_ahead_is_found() {
        let mut occupancy = Occupancy::default();
        for slot in [3, 64, 200] {
            occupancy.insert(slot);
        }
        assert_eq!(occupancy.first_after(3), Some(64));
        assert_eq!(occupancy.first_around(64), Some(200));
        assert_eq!(occupancy.first_around(200), Some(3));
        assert_eq!(occupancy.first_after(200), None);
    }
}
