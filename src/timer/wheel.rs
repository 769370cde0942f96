//! The wheel: its hand, its occupancy, and how entries move.

use super::occupancy::Occupancy;
use super::{Links, NONE, SLOTS, Storage};
use crate::time::{Span, Tick};

/// A level of the wheel.
struct Level {
    /// How many of a tick's lower bits it does not tell apart.
    shift: u32,
    /// How many slots it has: a power of two.
    slots: u32,
    /// The number of its first slot among all.
    first: usize,
}

/// The levels, lowest first: their slots' bits make up a tick.
const LEVELS: [Level; 3] = [
    Level { shift: 0, slots: 1 << 16, first: 0 },
    Level { shift: 16, slots: 1 << 8, first: 1 << 16 },
    Level { shift: 24, slots: 1 << 8, first: (1 << 16) + (1 << 8) },
];
/// In `Links::previous`: what follows is a slot, not a place.
const IS_SLOT: u32 = 1 << 31;
/// The farthest ahead of the hand that an entry is filed. What is due later (possible only while the wheel
/// is behind) is looked at here and filed again: on the way round no slot ever stands for two ticks.
const REACH: u32 = i32::MAX as u32;

const _: () = assert!(SLOTS == LEVELS[2].first + LEVELS[2].slots as usize);
const _: () = assert!(LEVELS[2].shift + LEVELS[2].slots.trailing_zeros() == u32::BITS);

/// How an [`Wheel::advance`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Everything that was due has been handed out.
    Done,
    /// The budget was used up before that; the next call goes on from here.
    Behind,
}

/// The timing wheel: see the [module](super) for the picture and who may call it.
///
/// Kept at every moment: all entries lie at the hand or ahead of it; the slot that the hand stands in is
/// empty on the upper levels, but while a cascade of it is not finished.
#[derive(Debug, Clone)]
pub struct Wheel {
    /// The tick at which the wheel has arrived: everything before it has been handed out.
    hand: Tick,
    /// The latest `now` that it was told: what lies after it is in the future.
    now: Tick,
    occupancy: [Occupancy; LEVELS.len()],
}

/// A slot by its level and its number there.
#[derive(Debug, Clone, Copy)]
struct Slot {
    level: usize,
    number: usize,
}

impl Slot {
    /// The slot of `level` in which `tick` lies.
    const fn of(tick: Tick, level: usize) -> Slot {
        let Level { shift, slots, .. } = LEVELS[level];
        Slot { level, number: (tick.number() >> shift & (slots - 1)) as usize }
    }

    /// The number under which the storage knows it.
    const fn index(self) -> usize {
        LEVELS[self.level].first + self.number
    }

    /// The slot that the first entry of a list names in `previous`.
    const fn of_link(previous: u32) -> Slot {
        let index = (previous & !IS_SLOT) as usize;
        let level = if index < LEVELS[1].first {
            0
        } else if index < LEVELS[2].first {
            1
        } else {
            2
        };
        Slot { level, number: index - LEVELS[level].first }
    }

    /// What the first entry of this slot's list has in `previous`.
    const fn as_link(self) -> u32 {
        IS_SLOT | self.index() as u32
    }
}

impl Wheel {
    /// An empty wheel whose hand stands at `now`, for a storage in which every head is [`NONE`]. It looks at none of
    /// them: there are many, and memory that was never touched costs nothing.
    pub fn new(now: Tick) -> Wheel {
        Wheel { hand: now, now, occupancy: LEVELS.map(|level| Occupancy::new(level.slots as usize)) }
    }

    /// Files `place`, which is not filed and at most [`MAX_PLACE`](super::MAX_PLACE), to be looked at when
    /// `deadline` comes: at most 2^31 - 1 ms after the latest `now`. A deadline that has passed is due at
    /// the next [`advance`](Wheel::advance).
    #[inline]
    pub fn file(&mut self, storage: &impl Storage, place: u32, deadline: Tick) {
        let slot = self.slot_for(deadline);
        let next = storage.head(slot.index());
        if next == NONE {
            self.occupancy[slot.level].insert(slot.number);
        } else {
            storage.set_previous(next, place);
        }
        storage.set_links(place, Links { next, previous: slot.as_link() });
        storage.set_head(slot.index(), place);
    }

    /// Takes `place` out of its list, in constant time. Returns whether it was filed; if not, nothing
    /// happens.
    #[inline]
    pub fn unfile(&mut self, storage: &impl Storage, place: u32) -> bool {
        let links = storage.links(place);
        if links.is_filed() {
            self.unlink(storage, links);
            storage.set_links(place, Links::UNFILED);
        }
        links.is_filed()
    }

    /// Takes what has these links out of its list, but leaves them as they are.
    #[inline]
    fn unlink(&mut self, storage: &impl Storage, Links { next, previous }: Links) {
        if previous & IS_SLOT == 0 {
            storage.set_next(previous, next);
            if next != NONE {
                storage.set_previous(next, previous);
            }
        } else {
            self.set_first(storage, Slot::of_link(previous), next);
        }
    }

    /// Makes `next`, the second entry of a slot, its first.
    #[inline]
    fn set_first(&mut self, storage: &impl Storage, slot: Slot, next: u32) {
        storage.set_head(slot.index(), next);
        if next == NONE {
            self.occupancy[slot.level].remove(slot.number);
        } else {
            storage.set_previous(next, slot.as_link());
        }
    }

    /// Files `place` under another deadline: needed when it moves earlier, never when it moves later.
    #[inline]
    pub fn refile(&mut self, storage: &impl Storage, place: u32, deadline: Tick) {
        let links = storage.links(place);
        if links.is_filed() {
            self.unlink(storage, links);
        }
        self.file(storage, place, deadline);
    }

    /// Turns the wheel to `now` and hands every place whose deadline has passed to `due`, unfiled: never
    /// before its deadline, and at its very tick if the wheel is not behind. `due` may change the storage,
    /// but for heads and links. Of several deadlines passed since the last call the order is not defined.
    ///
    /// At most `budget` entries are examined (due, cascading or filed again); where it stops, possibly in
    /// the middle of a slot, the next call goes on. Empty stretches are skipped, however long.
    ///
    /// `now` must be less than 2^31 ms after the hand; one that lies before the latest is taken as that.
    pub fn advance(
        &mut self,
        storage: &impl Storage,
        now: Tick,
        budget: u32,
        mut due: impl FnMut(u32),
    ) -> Progress {
        if self.now.is_before(now) {
            self.now = now;
        }
        let mut left = budget;
        loop {
            while let Some(slot) = self.slot_at_hand() {
                // Nothing is filed here meanwhile, nor in a slot of the hand that would come first.
                while storage.head(slot.index()) != NONE {
                    if left == 0 {
                        return Progress::Behind;
                    }
                    left -= 1;
                    self.examine(storage, slot, &mut due);
                }
            }
            if self.lag() == 0 {
                return Progress::Done;
            }
            match self.next_stop() {
                Some(stop) if stop.number().wrapping_sub(self.hand.number()) <= self.lag() => {
                    self.hand = stop
                }
                Some(_) | None => {
                    // No occupied slot lies between: the hand jumps over all of them.
                    self.hand = self.now;
                    return Progress::Done;
                }
            }
        }
    }

    /// How far the hand is behind `now`: zero if it has arrived, though perhaps with entries left there.
    pub fn behind(&self, now: Tick) -> Span {
        now.since(self.hand)
    }

    /// A tick before which no entry is due, and at which there is something to do for
    /// [`advance`](Wheel::advance) (perhaps only a cascade); none if nothing is filed. It may lie in the
    /// past when the wheel is behind. Advancing from one such tick to the next visits every deadline.
    pub fn next_event(&self) -> Option<Tick> {
        match self.slot_at_hand() {
            Some(_) => Some(self.hand),
            None => self.next_stop(),
        }
    }

    /// From the hand to the latest `now`, in ticks.
    const fn lag(&self) -> u32 {
        self.now.number().wrapping_sub(self.hand.number())
    }

    /// Where an entry for `deadline` belongs, as seen from the hand.
    #[inline]
    fn slot_for(&self, deadline: Tick) -> Slot {
        let from_hand = deadline.number().wrapping_sub(self.hand.number());
        if from_hand < LEVELS[0].slots {
            // Most of them, in the future or passed: all that the rest asks of them comes to this.
            return Slot::of(deadline, 0);
        }
        self.slot_far_for(deadline, from_hand)
    }

    /// The same of one that is `from_hand` ticks ahead of the hand: farther than the lowest level reaches, or behind it.
    fn slot_far_for(&self, deadline: Tick, from_hand: u32) -> Slot {
        let ahead = if deadline.has_passed(self.now) {
            // Between hand and now it keeps its slot; before the hand it goes where the hand is.
            if from_hand <= self.lag() { from_hand } else { 0 }
        } else {
            from_hand.min(REACH)
        };
        let stop = self.hand.after(Span::from_milliseconds(ahead));
        // The lowest level on which it lies less than once around, so in no slot that stands for another tick.
        let middle = LEVELS[1].shift;
        let slots_ahead =
            (stop.number() >> middle).wrapping_sub(self.hand.number() >> middle) & (u32::MAX >> middle);
        let level = if ahead < LEVELS[0].slots {
            0
        } else if slots_ahead < LEVELS[1].slots {
            1
        } else {
            2
        };
        Slot::of(stop, level)
    }

    /// The occupied slot that the hand stands in: a cascade to be finished first, then what is due.
    fn slot_at_hand(&self) -> Option<Slot> {
        (0..LEVELS.len())
            .rev()
            .map(|level| Slot::of(self.hand, level))
            .find(|slot| self.occupancy[slot.level].contains(slot.number))
    }

    /// The first tick after the hand at which an occupied slot begins.
    fn next_stop(&self) -> Option<Tick> {
        let hand = self.hand.number();
        let stops =
            LEVELS.iter().zip(&self.occupancy).enumerate().filter_map(|(number, (level, occupancy))| {
                let at_hand = Slot::of(self.hand, number).number;
                let found = occupancy.first_around(at_hand)?;
                let slots_ahead = found.wrapping_sub(at_hand) as u32 & (level.slots - 1);
                // A slot begins where all lower bits are zero.
                Some(((hand >> level.shift).wrapping_add(slots_ahead) << level.shift).wrapping_sub(hand))
            });
        stops.min().map(|ahead| Tick::new(hand.wrapping_add(ahead)))
    }

    /// Takes the first entry off `slot`, where the hand stands: it is due, or filed again farther on or
    /// farther down. Either way it leaves the slot, so that a slot is always drained.
    #[inline]
    fn examine(&mut self, storage: &impl Storage, slot: Slot, due: &mut impl FnMut(u32)) {
        let place = storage.head(slot.index());
        let Links { next, .. } = storage.links(place);
        // Its deadline arrives while the place before it is looked at.
        if next != NONE {
            storage.prefetch(next);
        }
        self.set_first(storage, slot, next);
        let deadline = storage.deadline(place);
        if deadline.has_passed(self.now) {
            storage.set_links(place, Links::UNFILED);
            due(place);
        } else {
            self.file(storage, place, deadline);
        }
    }
}
