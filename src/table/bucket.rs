//! The index: from a hash to the place of a connection, in one cache line nearly always.
//!
//! ```text
//!       0    2    4         18   20       24       28            60       64
//!       ├────┼────┼── … ────┼────┼────────┼────────┼──── … ──────┼────────┤
//!       │tag │tag │   …     │tag │overflow│ place  │    …        │ place  │
//!       │ 0  │ 1  │         │ 9  │        │   0    │             │   9    │
//!       └────┴────┴── … ────┴────┴────────┴────────┴──── … ──────┴────────┘
//!
//!  home ─ full ─▶ home + step ─ full ─▶ home + 2·step ─ room: the entry goes here,
//!  overflow + 1   overflow + 1                          at most 16 buckets from home
//! ```
//!
//! A tag is 16 bits of the hash, 0 an empty slot; ten are compared at once. An entry lies in the first
//! bucket of its search that had room; the full ones it passed over count it in `overflow`. So a lookup
//! may stop at the first bucket whose overflow is 0, and a removal takes back exactly what its insertion
//! added: there are no tombstones, and a table that has seen a million connections come and go is as
//! fast as a new one.
//!
//! Only the owner of the table reads or writes the index; it could be built anew from the connections.
#![allow(unsafe_code, reason = "SSE2 loads of the tags, and a marker for the memory island")]

use super::key::Hash;
use super::memory::{Owned, Zeroed, prefetch};

/// Slots in a bucket: with the overflow count they fill one cache line.
pub(super) const SLOTS: usize = 10;
/// The most buckets that one search visits.
pub(super) const PROBE_LIMIT: u32 = 16;

/// One cache line of the index.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    tags: [u16; SLOTS],
    /// Entries whose search passed over this bucket while it was full. As wide as the number of
    /// connections, so it cannot overflow itself.
    overflow: u32,
    places: [u32; SLOTS],
}

const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<Bucket>() == 64);
    assert!(offset_of!(Bucket, tags) == 0);
    assert!(offset_of!(Bucket, overflow) == 20);
    assert!(offset_of!(Bucket, places) == 24);
};

// SAFETY: integers only, for which zero is a value.
unsafe impl Zeroed for Bucket {}

/// The slots of a bucket that fit, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slots(u32);

impl Slots {
    #[inline(always)]
    const fn first(self) -> Option<usize> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() as usize) }
    }
}

impl Iterator for Slots {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let slot = self.first()?;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

impl Bucket {
    /// The slots that bear `tag`.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn with_tag(&self, tag: u16) -> Slots {
        use std::arch::x86_64::{
            __m128i, _mm_cmpeq_epi16, _mm_load_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
        };
        let words = std::ptr::from_ref(self).cast::<__m128i>();
        // SAFETY: SSE2 is part of x86_64; a bucket is 64 bytes, aligned to 64.
        let low = unsafe { _mm_load_si128(words) };
        // SAFETY: as above, the bytes from 16 to 32.
        let high = unsafe { _mm_load_si128(words.wrapping_add(1)) };
        // SAFETY: SSE2 is part of x86_64, and none of these touches memory.
        #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one expression, one reason")]
        let mask = unsafe {
            let wanted = _mm_set1_epi16(tag.cast_signed());
            _mm_movemask_epi8(_mm_packs_epi16(_mm_cmpeq_epi16(low, wanted), _mm_cmpeq_epi16(high, wanted)))
        };
        // The upper six bits compare what follows the tags.
        Slots(mask.cast_unsigned() & ((1 << SLOTS) - 1))
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    fn with_tag(&self, tag: u16) -> Slots {
        self.with_tag_one_by_one(tag)
    }

    /// The same for machines without SSE2, and to compare it with.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn with_tag_one_by_one(&self, tag: u16) -> Slots {
        Slots((0..SLOTS).filter(|&slot| self.tags[slot] == tag).fold(0, |slots, slot| slots | 1 << slot))
    }

    #[inline(always)]
    fn empty(&self) -> Slots {
        self.with_tag(0)
    }
}

/// The buckets that one hash is searched in, in this order.
#[derive(Debug, Clone, Copy)]
struct Path {
    bucket: u32,
    step: u32,
    buckets: u32,
    left: u32,
}

impl Path {
    #[inline(always)]
    fn of(hash: Hash, buckets: u32) -> Path {
        Path { bucket: hash.home(buckets), step: hash.step(buckets), buckets, left: PROBE_LIMIT }
    }
}

impl Iterator for Path {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let bucket = self.bucket;
        let following = bucket + self.step;
        self.bucket = if following >= self.buckets { following - self.buckets } else { following };
        Some(bucket as usize)
    }
}

/// All ten slots of all sixteen buckets of a search are taken by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SearchFull;

/// The index of a table.
#[derive(Debug)]
pub(super) struct Buckets {
    buckets: Owned<Bucket>,
    count: u32,
}

impl Buckets {
    pub(super) fn new(buckets: Owned<Bucket>) -> Buckets {
        // Lengths come from a Layout, which has fewer buckets than connections or seventeen.
        let count = buckets.len() as u32;
        Buckets { buckets, count }
    }

    /// Fetches the bucket that a search for `hash` begins with.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: Hash) {
        prefetch(&self.buckets, hash.home(self.count));
    }

    /// The first place whose tag fits, if any.
    #[inline(always)]
    pub(super) fn candidate(&self, hash: Hash) -> Option<u32> {
        let home = &self.buckets[hash.home(self.count) as usize];
        match home.with_tag(hash.tag()).first() {
            Some(slot) => Some(home.places[slot]),
            None if home.overflow == 0 => None,
            None => self.find(hash, Some),
        }
    }

    /// What `accept` says about the first place that it accepts, of those whose tag fits.
    #[inline]
    pub(super) fn find<R>(&self, hash: Hash, mut accept: impl FnMut(u32) -> Option<R>) -> Option<R> {
        let tag = hash.tag();
        for at in Path::of(hash, self.count) {
            let bucket = &self.buckets[at];
            for slot in bucket.with_tag(tag) {
                if let Some(result) = accept(bucket.places[slot]) {
                    return Some(result);
                }
            }
            if bucket.overflow == 0 {
                return None;
            }
        }
        None
    }

    /// Adds an entry in the first bucket of its search that has room.
    pub(super) fn insert(&mut self, hash: Hash, place: u32) -> Result<(), SearchFull> {
        let path = Path::of(hash, self.count);
        let buckets = &mut *self.buckets;
        let found =
            path.enumerate().find_map(|(passed, at)| Some((passed, at, buckets[at].empty().first()?)));
        let (passed, at, slot) = found.ok_or(SearchFull)?;
        for full in path.take(passed) {
            buckets[full].overflow += 1;
        }
        let bucket = &mut buckets[at];
        bucket.tags[slot] = hash.tag();
        bucket.places[slot] = place;
        Ok(())
    }

    /// Removes the entry of `place`, which was inserted under `hash`; false if there is none.
    pub(super) fn remove(&mut self, hash: Hash, place: u32) -> bool {
        let path = Path::of(hash, self.count);
        let Some((passed, at, slot)) = self.slot_of(hash, place) else { return false };
        for full in path.take(passed) {
            self.buckets[full].overflow -= 1;
        }
        self.buckets[at].tags[slot] = 0;
        true
    }

    /// Where the entry of `place` lies: buckets passed over, bucket, slot.
    fn slot_of(&self, hash: Hash, place: u32) -> Option<(usize, usize, usize)> {
        Path::of(hash, self.count).enumerate().find_map(|(passed, at)| {
            let bucket = &self.buckets[at];
            let slot = bucket.with_tag(hash.tag()).find(|&slot| bucket.places[slot] == place)?;
            Some((passed, at, slot))
        })
    }

    /// The number of buckets that a lookup for `hash` visits until it meets `place`, or until it gives up.
    #[cfg(all(test, not(loom)))]
    pub(super) fn visits(&self, hash: Hash, place: Option<u32>) -> u32 {
        let mut visits = 0;
        for at in Path::of(hash, self.count) {
            visits += 1;
            let bucket = &self.buckets[at];
            let is_here = place
                .is_some_and(|place| bucket.with_tag(hash.tag()).any(|slot| bucket.places[slot] == place));
            if is_here || bucket.overflow == 0 {
                break;
            }
        }
        visits
    }

    /// Entries, and the sum of all overflow counts.
    #[cfg(all(test, not(loom)))]
    pub(super) fn census(&self) -> (usize, u64) {
        let entries = self.buckets.iter().map(|bucket| SLOTS - bucket.empty().count()).sum();
        (entries, self.buckets.iter().map(|bucket| u64::from(bucket.overflow)).sum())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::memory::{Extent, Memory};
    use super::*;

    const BUCKETS: u32 = 17;

    fn index() -> Buckets {
        let mut carver = Memory::reserve(BUCKETS as usize * 64).expect("memory");
        Buckets::new(carver.owned(Extent { offset: 0, length: BUCKETS as usize }))
    }

    /// A hash whose home is bucket 0, whose step is `step`, and with this tag.
    fn hash(step: u32, tag: u16) -> Hash {
        let fraction = (u64::from(step - 1) << 32).div_ceil(u64::from(BUCKETS - 1));
        let hash = Hash(fraction << 16 | u64::from(tag));
        assert_eq!((hash.home(BUCKETS), hash.step(BUCKETS), hash.tag()), (0, step, tag));
        hash
    }

    #[test]
    fn ten_tags_at_once_are_ten_tags_one_by_one() {
        let mut bucket = Bucket { overflow: u32::MAX, places: [u32::MAX; SLOTS], ..Bucket::default() };
        for (slot, tag) in [7, 0, 7, u16::MAX, 0x8000, 7, 1, 0, 0xff, 7].into_iter().enumerate() {
            bucket.tags[slot] = tag;
        }
        for tag in [0, 1, 7, 0xff, 0x8000, u16::MAX, 9] {
            assert_eq!(bucket.with_tag(tag), bucket.with_tag_one_by_one(tag), "tag {tag}");
        }
        assert_eq!(bucket.with_tag(7).collect::<Vec<_>>(), [0, 2, 5, 9]);
    }

    #[test]
    fn a_search_visits_sixteen_different_buckets() {
        for step in 1..BUCKETS {
            let mut path: Vec<_> = Path::of(hash(step, 1), BUCKETS).collect();
            path.sort_unstable();
            path.dedup();
            assert_eq!(path.len(), PROBE_LIMIT as usize);
        }
    }

    #[test]
    fn an_entry_behind_full_buckets_is_found_until_it_goes_and_leaves_no_trace() {
        let mut index = index();
        for place in 0..10 {
            index.insert(hash(1, 5), place).expect("room at home");
        }
        assert_eq!(index.visits(hash(3, 6), None), 1, "a full bucket that nothing passed ends a search");
        index.insert(hash(1, 5), 10).expect("room in the second bucket");
        index.insert(hash(2, 6), 11).expect("room in the third");
        assert_eq!(index.candidate(hash(2, 6)), Some(11));
        assert_eq!(index.find(hash(1, 5), |place| (place == 10).then_some(())), Some(()));

        assert!(index.remove(hash(1, 5), 0));
        assert_eq!(index.candidate(hash(2, 6)), Some(11), "room at home hides nothing behind it");
        assert!(index.remove(hash(2, 6), 11));
        assert_eq!(index.candidate(hash(2, 6)), None);
        assert!(index.remove(hash(1, 5), 10));
        assert_eq!(index.census(), (9, 0));
        assert!(!index.remove(hash(1, 5), 10), "it was removed");
    }

    #[test]
    fn the_hundred_and_sixty_first_of_one_hash_is_refused_and_changes_nothing() {
        let mut index = index();
        for place in 0..160 {
            index.insert(hash(1, 5), place).expect("room in sixteen buckets");
        }
        let before = index.census();
        assert_eq!(index.insert(hash(1, 5), 160), Err(SearchFull));
        assert_eq!(index.census(), before);
        assert_eq!(index.find(hash(1, 5), |place| (place == 159).then_some(place)), Some(159));
        assert_eq!(index.find(hash(1, 5), |place| (place == 160).then_some(place)), None);
        assert!((0..160).all(|place| index.remove(hash(1, 5), place)));
        assert_eq!(index.census(), (0, 0));
    }
}
