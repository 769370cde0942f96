//! The index: from a hash to the place of a connection, in one cache line nearly always.
//!
//! ```text
//!       0    2    4         18   20        24       28            60       64
//!       ├────┼────┼── … ────┼────┼─────────┼────────┼──── … ──────┼────────┤
//!       │tag │tag │   …     │tag │displaced│ entry  │    …        │ entry  │
//!       │ 0  │ 1  │         │ 9  │         │   0    │             │   9    │
//!       └────┴────┴── … ────┴────┴─────────┴────────┴──── … ──────┴────────┘
//!       an entry: distance from home (4 bits) │ place (28 bits)
//!
//!  home ─ full ─▶ home + 1 ─ full ─▶ home + 3 ─ full ─▶ home + 6 … home + 120
//!  distance 0     distance 1         distance 2         distance 3 … 15
//! ```
//!
//! A tag is 15 bits of the hash and a one, 0 an empty slot; ten are compared at once. An entry lies in its home
//! bucket or, where that was full, in the first one with room on the way above; `displaced` at home says
//! how many of its own lie elsewhere. The way depends on the home alone, so a distance tells whose an
//! entry is: a search knows when it has met all that are displaced, and ends there.
//!
//! When a slot becomes free, one of the bucket's own comes home to it, and so on where that one lay. So
//! there are no tombstones, nor does anything stay displaced longer than its home is full: a table that
//! has seen millions of connections come and go is as fast as a new one. (Merely counting the entries
//! that pass over a full bucket is not enough: at three quarters of all slots, with connections coming
//! and going, a miss then visits twice as many buckets as in a new table.)
//!
//! Only the owner of the table reads or writes the index; it could be built anew from the connections.
#![allow(unsafe_code, reason = "SSE2 loads of the tags, and a marker for the memory island")]

use super::key::Hash;
use super::memory::{Owned, Zeroed, prefetch};

/// Slots in a bucket: with the count they fill one cache line.
pub(super) const SLOTS: usize = 10;
/// The most buckets that one search visits; a distance has four bits.
pub(super) const PROBE_LIMIT: u32 = 16;
/// The least number of buckets: one more than the longest way, so that none visits a bucket twice.
pub(super) const LEAST_BUCKETS: u32 = PROBE_LIMIT * (PROBE_LIMIT - 1) / 2 + 1;
/// The most entries that one removal moves. Nearly always none or one; what is left comes home later.
const MOVE_LIMIT: u32 = 16;

/// The place of a connection, and how far from its home bucket it is kept. Zero in an empty slot, which
/// its tag marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
struct Entry(u32);

impl Entry {
    const PLACE_BITS: u32 = 28;

    #[inline(always)]
    const fn new(place: u32, distance: u32) -> Entry {
        Entry(place | distance << Entry::PLACE_BITS)
    }

    #[inline(always)]
    const fn place(self) -> u32 {
        self.0 & ((1 << Entry::PLACE_BITS) - 1)
    }

    #[inline(always)]
    const fn distance(self) -> u32 {
        self.0 >> Entry::PLACE_BITS
    }
}

const _: () = assert!(super::MAX_CONNECTIONS <= 1 << Entry::PLACE_BITS);
const _: () = assert!(PROBE_LIMIT <= 1 << (u32::BITS - Entry::PLACE_BITS));

/// One cache line of the index.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    tags: [u16; SLOTS],
    /// Entries whose home this is and that lie elsewhere: at most fifteen buckets full.
    displaced: u32,
    entries: [Entry; SLOTS],
}

const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<Bucket>() == 64);
    assert!(offset_of!(Bucket, tags) == 0);
    assert!(offset_of!(Bucket, displaced) == 20);
    assert!(offset_of!(Bucket, entries) == 24);
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
    #[cfg(any(all(test, not(loom)), not(target_arch = "x86_64")))]
    fn with_tag_one_by_one(&self, tag: u16) -> Slots {
        Slots((0..SLOTS).filter(|&slot| self.tags[slot] == tag).fold(0, |slots, slot| slots | 1 << slot))
    }

    #[inline(always)]
    fn empty(&self) -> Slots {
        self.with_tag(0)
    }

    /// The slots whose entries are `distance` away from home; not for 0, which empty slots are as well.
    fn at_distance(&self, distance: u32) -> Slots {
        let fits = |slot: &usize| self.entries[*slot].distance() == distance;
        Slots((0..SLOTS).filter(fits).fold(0, |slots, slot| slots | 1 << slot))
    }

    fn fill(&mut self, slot: usize, tag: u16, entry: Entry) {
        self.tags[slot] = tag;
        self.entries[slot] = entry;
    }

    /// Empties a slot and returns what it held.
    fn take(&mut self, slot: usize) -> (u16, Entry) {
        (std::mem::take(&mut self.tags[slot]), std::mem::take(&mut self.entries[slot]))
    }
}

/// The way from a home bucket: its buckets with their distances.
#[derive(Debug, Clone, Copy)]
struct Way {
    bucket: u32,
    buckets: u32,
    distance: u32,
}

impl Way {
    #[inline(always)]
    const fn from(home: u32, buckets: u32) -> Way {
        Way { bucket: home, buckets, distance: 0 }
    }
}

impl Iterator for Way {
    type Item = (u32, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(u32, usize)> {
        if self.distance == PROBE_LIMIT {
            return None;
        }
        let this = (self.distance, self.bucket as usize);
        self.distance += 1;
        let following = self.bucket + self.distance;
        self.bucket = if following >= self.buckets { following - self.buckets } else { following };
        Some(this)
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
        // A Layout's number, which has 32 bits.
        let count = buckets.len() as u32;
        assert!(count >= LEAST_BUCKETS, "no way visits a bucket twice");
        Buckets { buckets, count }
    }

    #[inline(always)]
    fn home(&self, hash: Hash) -> usize {
        hash.home(self.count) as usize
    }

    #[inline(always)]
    fn way(&self, home: usize) -> Way {
        Way::from(home as u32, self.count)
    }

    /// Fetches the bucket that a search for `hash` begins with.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: Hash) {
        prefetch(&self.buckets, hash.home(self.count));
    }

    /// Fetches the bucket beside it as well, where most of what does not lie there lies: for what adds and removes.
    #[inline(always)]
    pub(super) fn prefetch_beside(&self, hash: Hash) {
        let (_, beside) = self.way(self.home(hash)).nth(1).unwrap_or_default();
        prefetch(&self.buckets, beside as u32);
    }

    /// The first place whose tag fits, if any.
    #[inline(always)]
    pub(super) fn candidate(&self, hash: Hash) -> Option<u32> {
        let home = &self.buckets[self.home(hash)];
        match home.with_tag(hash.tag()).first() {
            Some(slot) => Some(home.entries[slot].place()),
            None if home.displaced == 0 => None,
            None => self.find_displaced(hash, Some),
        }
    }

    /// What `accept` says about the first place that it accepts, of those whose tag fits.
    #[inline]
    pub(super) fn find<R>(&self, hash: Hash, mut accept: impl FnMut(u32) -> Option<R>) -> Option<R> {
        let home = &self.buckets[self.home(hash)];
        for slot in home.with_tag(hash.tag()) {
            if let Some(result) = accept(home.entries[slot].place()) {
                return Some(result);
            }
        }
        if home.displaced == 0 { None } else { self.find_displaced(hash, accept) }
    }

    /// The part of the search that leads away from home.
    #[inline(never)]
    fn find_displaced<R>(&self, hash: Hash, mut accept: impl FnMut(u32) -> Option<R>) -> Option<R> {
        let home = self.home(hash);
        let mut left = self.buckets[home].displaced;
        for (distance, at) in self.way(home).skip(1) {
            let bucket = &self.buckets[at];
            for slot in bucket.with_tag(hash.tag()) {
                if let Some(result) = accept(bucket.entries[slot].place()) {
                    return Some(result);
                }
            }
            left = left.saturating_sub(bucket.at_distance(distance).count() as u32);
            if left == 0 {
                break;
            }
        }
        None
    }

    /// Adds an entry in the first bucket of its way that has room; where none has, changes nothing.
    pub(super) fn insert(&mut self, hash: Hash, place: u32) -> Result<(), SearchFull> {
        let home = self.home(hash);
        let room = |(distance, at): (u32, usize)| Some((distance, at, self.buckets[at].empty().first()?));
        let (distance, at, slot) = self.way(home).find_map(room).ok_or(SearchFull)?;
        self.buckets[at].fill(slot, hash.tag(), Entry::new(place, distance));
        self.buckets[home].displaced += u32::from(distance > 0);
        Ok(())
    }

    /// Removes the entry of `place`, which was inserted under `hash`; false if there is none.
    pub(super) fn remove(&mut self, hash: Hash, place: u32) -> bool {
        let Some((distance, at, slot)) = self.slot_of(hash, place) else { return false };
        self.buckets[at].take(slot);
        let home = self.home(hash);
        self.buckets[home].displaced -= u32::from(distance > 0);
        self.bring_home(at, slot);
        true
    }

    /// Fills an empty slot with an entry whose home its bucket is and that lies elsewhere, then the slot
    /// where that one lay, and so on. Every move ends a displacement, so this ends; it is bounded all
    /// the same.
    fn bring_home(&mut self, mut home: usize, mut slot: usize) {
        for _ in 0..MOVE_LIMIT {
            if self.buckets[home].displaced == 0 {
                return;
            }
            let displaced =
                |(distance, at): (u32, usize)| Some((at, self.buckets[at].at_distance(distance).first()?));
            let Some((from, from_slot)) = self.way(home).skip(1).find_map(displaced) else { return };
            let (tag, entry) = self.buckets[from].take(from_slot);
            self.buckets[home].fill(slot, tag, Entry::new(entry.place(), 0));
            self.buckets[home].displaced -= 1;
            (home, slot) = (from, from_slot);
        }
    }

    /// Where the entry of `place` lies: distance, bucket, slot.
    fn slot_of(&self, hash: Hash, place: u32) -> Option<(u32, usize, usize)> {
        self.way(self.home(hash)).find_map(|(distance, at)| {
            let (bucket, entry) = (&self.buckets[at], Entry::new(place, distance));
            let slot = bucket.with_tag(hash.tag()).find(|&slot| bucket.entries[slot] == entry)?;
            Some((distance, at, slot))
        })
    }

    /// The number of buckets that a lookup for `hash` visits until it meets `place`, or, where there is
    /// none, until it gives up.
    #[cfg(all(test, not(loom)))]
    pub(super) fn visits(&self, hash: Hash, place: Option<u32>) -> u32 {
        if let Some((distance, _, _)) = place.and_then(|place| self.slot_of(hash, place)) {
            return distance + 1;
        }
        let home = self.home(hash);
        let mut left = self.buckets[home].displaced;
        let last = self.way(home).find(|&(distance, at)| {
            if distance > 0 {
                left -= self.buckets[at].at_distance(distance).count() as u32;
            }
            left == 0
        });
        last.map_or(PROBE_LIMIT, |(distance, _)| distance + 1)
    }

    /// Entries, and the sum of what the buckets count as displaced; checks that nothing is displaced
    /// whose home has room.
    #[cfg(all(test, not(loom)))]
    pub(super) fn census(&self) -> (usize, u32) {
        let roomy = |bucket: &&Bucket| bucket.displaced > 0 && bucket.empty().first().is_some();
        assert_eq!(self.buckets.iter().filter(roomy).count(), 0, "all that can be are at home");
        let entries = self.buckets.iter().map(|bucket| SLOTS - bucket.empty().count()).sum();
        (entries, self.buckets.iter().map(|bucket| bucket.displaced).sum())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::memory::{Extent, Memory};
    use super::*;

    fn index() -> Buckets {
        let extent = Extent { offset: 0, length: LEAST_BUCKETS as usize };
        Buckets::new(Memory::reserve(extent.length * 64).expect("memory").owned(extent))
    }

    /// A hash with this home and tag, which is odd.
    fn hash(home: u32, tag: u16) -> Hash {
        let hash = Hash(
            (u64::MAX / u64::from(LEAST_BUCKETS) * u64::from(home) + (1 << 20)) & !0xffff | u64::from(tag),
        );
        assert_eq!((hash.home(LEAST_BUCKETS), hash.tag()), (home, tag));
        hash
    }

    #[test]
    fn ten_tags_at_once_are_ten_tags_one_by_one() {
        let mut bucket = Bucket { displaced: u32::MAX, entries: [Entry(u32::MAX); SLOTS], tags: [0; SLOTS] };
        for (slot, tag) in [7, 0, 7, u16::MAX, 0x8000, 7, 1, 0, 0xff, 7].into_iter().enumerate() {
            bucket.tags[slot] = tag;
        }
        for tag in [0, 1, 7, 0xff, 0x8000, u16::MAX, 9] {
            assert_eq!(bucket.with_tag(tag), bucket.with_tag_one_by_one(tag), "tag {tag}");
        }
        assert_eq!(bucket.with_tag(7).collect::<Vec<_>>(), [0, 2, 5, 9]);
    }

    #[test]
    fn a_way_visits_sixteen_different_buckets_from_every_home() {
        for home in 0..LEAST_BUCKETS {
            let mut way: Vec<_> = Way::from(home, LEAST_BUCKETS).map(|(_, at)| at).collect();
            way.sort_unstable();
            way.dedup();
            assert_eq!(way.len(), PROBE_LIMIT as usize);
            assert!(way.iter().all(|&at| at < LEAST_BUCKETS as usize));
        }
    }

    #[test]
    fn an_entry_is_found_away_from_home_and_comes_back_when_there_is_room() {
        let mut index = index();
        let is = |wanted| move |place| (place == wanted).then_some(place);
        for place in 0..10 {
            index.insert(hash(5, 1), place).expect("room at home");
        }
        assert_eq!(index.visits(hash(5, 3), None), 1, "a full bucket with nothing displaced ends a search");
        index.insert(hash(5, 3), 10).expect("room in the second bucket");
        index.insert(hash(5, 3), 11).expect("room in the second bucket");
        assert_eq!(index.candidate(hash(5, 3)), Some(10));
        assert_eq!(index.find(hash(5, 3), is(11)), Some(11));
        assert_eq!((index.visits(hash(5, 3), Some(11)), index.visits(hash(5, 5), None)), (2, 2));
        assert_eq!(index.candidate(hash(6, 3)), Some(10), "a candidate may be a neighbour's guest");
        assert_eq!(index.find(hash(5, 5), Some), None);

        assert!(index.remove(hash(5, 1), 0));
        assert_eq!((index.visits(hash(5, 3), Some(10)), index.find(hash(5, 3), is(10))), (1, Some(10)));
        assert_eq!((index.visits(hash(5, 3), Some(11)), index.find(hash(5, 3), is(11))), (2, Some(11)));
        assert!(index.remove(hash(5, 3), 11));
        assert_eq!(index.census(), (10, 0));
        assert!(!index.remove(hash(5, 3), 11), "it was removed");
    }

    #[test]
    fn whoever_comes_home_makes_room_for_those_whose_home_it_was_in() {
        let mut index = index();
        for place in 0..10 {
            index.insert(hash(5, 1), place).expect("room at home");
        }
        index.insert(hash(5, 3), 10).expect("room in bucket 6");
        for place in 11..20 {
            index.insert(hash(6, 5), place).expect("room at home");
        }
        index.insert(hash(6, 7), 20).expect("room in bucket 7");
        assert_eq!(index.census(), (21, 2));
        assert!(index.remove(hash(5, 1), 9));
        assert_eq!(index.census(), (20, 0), "10 went to bucket 5, 20 to bucket 6 in its place");
        assert_eq!((index.candidate(hash(5, 3)), index.candidate(hash(6, 7))), (Some(10), Some(20)));
    }

    #[test]
    fn the_hundred_and_sixty_first_of_one_home_is_refused_and_changes_nothing() {
        let mut index = index();
        for place in 0..160 {
            index.insert(hash(5, 1), place).expect("room in sixteen buckets");
        }
        assert_eq!(index.census(), (160, 150));
        assert_eq!(index.insert(hash(5, 1), 160), Err(SearchFull));
        assert_eq!(index.census(), (160, 150));
        assert_eq!(index.find(hash(5, 1), |place| (place == 159).then_some(place)), Some(159));
        assert_eq!(index.find(hash(5, 1), |place| (place == 160).then_some(place)), None);
        assert!((0..160).all(|place| index.remove(hash(5, 1), place)));
        assert_eq!(index.census(), (0, 0));
    }
}
