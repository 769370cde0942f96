//! The wheel against a naive model: a map from places to deadlines on a 64-bit clock that never wraps.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::{Links, NONE, Progress, SLOTS, Storage, Wheel};
use crate::time::{Span, Tick};

/// Storage in cells, which counts how many entries the wheel has examined (whose deadline it has read).
struct Cells {
    heads: Vec<Cell<u32>>,
    links: Vec<Cell<Links>>,
    deadlines: Vec<Cell<Tick>>,
    examined: Cell<u32>,
}

impl Cells {
    fn new(places: usize) -> Cells {
        Cells {
            heads: vec![Cell::new(NONE); SLOTS],
            links: vec![Cell::new(Links::UNFILED); places],
            deadlines: vec![Cell::new(Tick::default()); places],
            examined: Cell::new(0),
        }
    }

    fn file(&self, wheel: &mut Wheel, place: u32, deadline: Tick) {
        self.deadlines[place as usize].set(deadline);
        wheel.file(self, place, deadline);
    }

    /// Walks every list, checks that it is sound, and returns how many entries lie in them.
    fn entries(&self) -> usize {
        let mut seen = 0;
        for slot in 0..SLOTS {
            let mut previous = 1 << 31 | slot as u32;
            let mut place = self.heads[slot].get();
            while place != NONE {
                let links = self.links[place as usize].get();
                assert_eq!(links.previous, previous, "place {place} in slot {slot}");
                seen += 1;
                assert!(seen <= self.links.len(), "a list runs in a circle");
                (previous, place) = (place, links.next);
            }
        }
        seen
    }
}

impl Storage for Cells {
    fn head(&self, slot: usize) -> u32 {
        self.heads[slot].get()
    }
    fn set_head(&self, slot: usize, place: u32) {
        self.heads[slot].set(place);
    }
    fn links(&self, place: u32) -> Links {
        self.links[place as usize].get()
    }
    fn set_links(&self, place: u32, links: Links) {
        self.links[place as usize].set(links);
    }
    fn deadline(&self, place: u32) -> Tick {
        self.examined.set(self.examined.get() + 1);
        self.deadlines[place as usize].get()
    }
}

/// A span of random magnitude: as often some milliseconds as some days.
fn span(random: &mut fastrand::Rng, limit: u64) -> u64 {
    let magnitude = 1 << random.u32(1..32);
    random.u64(..magnitude).min(limit)
}

const AHEAD: u64 = (1 << 31) - 1;

fn tick(at: u64) -> Tick {
    Tick::new(at as u32)
}

/// The wheel and the model side by side, each operation done to both.
struct Pair {
    cells: Cells,
    wheel: Wheel,
    /// What is filed: place to deadline, not wrapped.
    model: BTreeMap<u32, u64>,
    now: u64,
    random: fastrand::Rng,
}

impl Pair {
    fn new(seed: u64, start: u64, places: usize) -> Pair {
        let cells = Cells::new(places);
        let wheel = Wheel::new(tick(start));
        Pair { cells, wheel, model: BTreeMap::new(), now: start, random: fastrand::Rng::with_seed(seed) }
    }

    fn operate(&mut self) {
        let place = self.random.u32(..self.cells.links.len() as u32);
        let filed = self.model.get(&place).copied();
        match (self.random.u64(..6), filed) {
            (0..=2, None) => {
                let deadline = self.now + span(&mut self.random, AHEAD);
                self.cells.file(&mut self.wheel, place, tick(deadline));
                self.model.insert(place, deadline);
            }
            // Long passed when filed: due at the next advance.
            (3, None) => {
                let deadline = self.now - self.random.u64(..1_000);
                self.cells.file(&mut self.wheel, place, tick(deadline));
                self.model.insert(place, deadline);
            }
            // Later: the wheel is not told.
            (0..=1, Some(deadline)) if deadline >= self.now => {
                let later = deadline + span(&mut self.random, self.now + AHEAD - deadline);
                self.cells.deadlines[place as usize].set(tick(later));
                self.model.insert(place, later);
            }
            // Earlier, or wherever: the wheel is told.
            (2..=3, Some(_)) => {
                let deadline = self.now + span(&mut self.random, AHEAD);
                self.cells.deadlines[place as usize].set(tick(deadline));
                self.wheel.refile(&self.cells, place, tick(deadline));
                self.model.insert(place, deadline);
            }
            (4, _) => {
                assert_eq!(self.wheel.unfile(&self.cells, place), filed.is_some());
                self.model.remove(&place);
            }
            _ => self.advance(),
        }
    }

    fn check(&self) {
        assert_eq!(self.cells.entries(), self.model.len(), "every filed entry has exactly one place");
    }

    fn advance(&mut self) {
        // Not farther than deadlines stay comparable: see `Wheel::advance`.
        let behind = u64::from(self.wheel.behind(tick(self.now)).milliseconds());
        self.now += span(&mut self.random, AHEAD - 2_000 - behind);
        let budget = match self.random.u64(..3) {
            0 => self.random.u32(..3),
            1 => self.random.u32(..64),
            _ => u32::MAX,
        };
        if let Some(event) = self.wheel.next_event() {
            let earliest = self.model.values().min().expect("an event of nothing");
            let hand = self.now - u64::from(self.wheel.behind(tick(self.now)).milliseconds());
            let event = hand + u64::from(event.number().wrapping_sub(hand as u32));
            assert!(event <= *earliest.max(&hand), "the next event is a lower bound");
        } else {
            assert!(self.model.is_empty());
        }
        self.cells.examined.set(0);
        let (now, model, cells) = (self.now, &mut self.model, &self.cells);
        let progress = self.wheel.advance(cells, tick(now), budget, |place| {
            let deadline = model.remove(&place).expect("handed out once, and only if filed");
            assert!(deadline <= now, "place {place} came early");
            assert!(!cells.links[place as usize].get().is_filed());
        });
        assert!(self.cells.examined.get() <= budget);
        match progress {
            Progress::Done => assert!(self.model.values().all(|&deadline| deadline > now), "one was skipped"),
            Progress::Behind => assert_eq!(self.cells.examined.get(), budget),
        }
    }
}

#[test]
fn random_operations_end_as_in_the_model_across_the_wrap_with_idle_jumps_and_tiny_budgets() {
    let (seeds, operations) = if cfg!(miri) { (2_u64, 200) } else { (60, 3_000) };
    for seed in 0..seeds {
        println!("seed {seed}"); // shown if it fails
        // Beginning short of the wrap, which the first jumps cross; later jumps cross it again and again.
        let start = (1 << 32) - 1 - (seed % 7) * 1_000 + (1 << 40);
        let places = if seed.is_multiple_of(2) { 8 } else { 300 };
        let mut pair = Pair::new(seed, start, places);
        // The walk through every list is what takes long.
        let often = if cfg!(miri) { 100 } else { 20 };
        for operation in 0..operations {
            pair.operate();
            if operation % often == 0 {
                pair.check();
            }
        }
    }
}

#[test]
fn an_entry_is_due_at_its_very_tick_from_every_level_and_every_start() {
    let spans = [0, 1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 1 << 24, (1 << 24) + 1, AHEAD];
    let starts = [u32::MAX, 0x7fff_ffff, 0, 1, 255, 256, 0x00ff_ffff, 0x8000_0000, 0xffff_fffe];
    for start in starts.into_iter().take(if cfg!(miri) { 1 } else { 9 }) {
        for span in spans {
            let cells = Cells::new(1);
            let start = Tick::new(start);
            let mut wheel = Wheel::new(start);
            let deadline = start.after(Span::from_milliseconds(span as u32));
            cells.file(&mut wheel, 0, deadline);
            let mut seen = 0;
            if span > 0 {
                let before = Tick::new(deadline.number().wrapping_sub(1));
                assert_eq!(wheel.advance(&cells, before, 64, |_| seen += 1), Progress::Done);
                assert_eq!(seen, 0, "early by a tick: {start:?} + {span}");
            }
            assert_eq!(wheel.advance(&cells, deadline, 64, |_| seen += 1), Progress::Done);
            assert_eq!(seen, 1, "not at its tick: {start:?} + {span}");
        }
    }
}

#[test]
fn a_passed_deadline_is_due_at_the_next_advance_even_within_the_same_tick() {
    let cells = Cells::new(1);
    let now = Tick::new(1_000);
    let mut wheel = Wheel::new(now);
    let mut due = Vec::new();
    wheel.advance(&cells, now, 64, |place| due.push(place));
    cells.file(&mut wheel, 0, Tick::new(3));
    assert_eq!(wheel.next_event(), Some(now));
    wheel.advance(&cells, now, 64, |place| due.push(place));
    assert_eq!(due, [0]);
}

#[test]
fn days_of_nothing_are_skipped_without_examining_anything_but_what_lies_there() {
    let cells = Cells::new(2);
    let mut wheel = Wheel::new(Tick::new(0));
    let day = 86_400_000;
    cells.file(&mut wheel, 0, Tick::new(20 * day + 12_345));
    let mut due = 0;
    // One cascade on each level on the way, nothing else: three looks for twenty days.
    assert_eq!(wheel.advance(&cells, Tick::new(20 * day + 12_344), 64, |_| due += 1), Progress::Done);
    assert!(cells.examined.get() <= 2, "{}", cells.examined.get());
    wheel.advance(&cells, Tick::new(20 * day + 12_345), 64, |_| due += 1);
    assert_eq!((due, wheel.next_event()), (1, None));
}

#[test]
fn a_deadline_that_packets_keep_moving_costs_one_look_for_each_passed_one() {
    let cells = Cells::new(1);
    let mut wheel = Wheel::new(Tick::new(0));
    cells.file(&mut wheel, 0, Tick::new(100));
    for now in 1..=1_000 {
        // A packet every millisecond, each prolonging by 100 ms.
        cells.deadlines[0].set(Tick::new(now + 100));
        wheel.advance(&cells, Tick::new(now), 64, |_| panic!("prolonged, but due"));
    }
    // 1,000 packets: a look every 100 ms.
    assert!(cells.examined.get() <= 10, "{}", cells.examined.get());
}

#[test]
fn a_million_entries_due_together_are_handed_out_a_budget_at_a_time() {
    let (places, budget) = if cfg!(miri) { (200, 64) } else { (1_000_000, 64) };
    let cells = Cells::new(places as usize);
    let mut wheel = Wheel::new(Tick::new(77));
    for place in 0..places {
        cells.file(&mut wheel, place, Tick::new(70_077));
    }
    // The cascade at 65,536 moves them; it is bounded like everything else.
    let mut due = 0;
    let mut calls = 0;
    while wheel.advance(&cells, Tick::new(70_000), budget, |_| due += 1) == Progress::Behind {
        assert_eq!(cells.examined.replace(0), budget);
        calls += 1;
    }
    assert_eq!((calls, due), ((places - 1) / budget, 0));
    cells.examined.set(0);
    loop {
        let before = due;
        let progress = wheel.advance(&cells, Tick::new(70_077), budget, |_| due += 1);
        assert!(cells.examined.replace(0) <= budget);
        assert!(due - before <= budget);
        if progress == Progress::Done {
            break;
        }
    }
    assert_eq!(due, places);
}

#[test]
fn a_wheel_that_catches_up_looks_once_at_what_is_due_without_cascading_it_down() {
    let cells = Cells::new(1);
    let mut wheel = Wheel::new(Tick::new(0));
    cells.file(&mut wheel, 0, Tick::new(70_000));
    let mut due = 0;
    wheel.advance(&cells, Tick::new(80_000), 64, |_| due += 1);
    assert_eq!((due, cells.examined.get()), (1, 1));
}

#[test]
fn what_is_filed_and_unfiled_in_the_middle_of_a_slot_is_neither_lost_nor_seen_twice() {
    let cells = Cells::new(8);
    let mut wheel = Wheel::new(Tick::new(0));
    for place in 0..6 {
        cells.file(&mut wheel, place, Tick::new(65_600));
    }
    let mut due = Vec::new();
    assert_eq!(wheel.advance(&cells, Tick::new(70_000), 2, |place| due.push(place)), Progress::Behind);
    assert_eq!(wheel.behind(Tick::new(70_000)), Span::from_milliseconds(70_000 - 65_536));
    // One of those left goes, one moves far ahead, one comes long passed, one comes between hand and now.
    let left: Vec<u32> = (0..6).filter(|place| !due.contains(place)).collect();
    assert!(wheel.unfile(&cells, left[0]));
    cells.deadlines[left[1] as usize].set(Tick::new(140_000));
    wheel.refile(&cells, left[1], Tick::new(140_000));
    cells.file(&mut wheel, 6, Tick::new(u32::MAX - 5));
    cells.file(&mut wheel, 7, Tick::new(69_000));
    assert_eq!(wheel.advance(&cells, Tick::new(70_000), 64, |place| due.push(place)), Progress::Done);
    due.sort_unstable();
    let mut expected: Vec<u32> = (0..8).filter(|place| !left[..2].contains(place)).collect();
    expected.sort_unstable();
    assert_eq!(due, expected);
    wheel.advance(&cells, Tick::new(140_000), 64, |place| due.push(place));
    assert_eq!(due.last(), Some(&left[1]));
}

#[test]
fn a_deadline_more_than_half_the_circle_ahead_of_a_late_hand_is_not_left_behind() {
    let cells = Cells::new(2);
    let mut wheel = Wheel::new(Tick::new(0));
    // The hand stays at 10 and the clock runs as far ahead of it as it may, the deadline as far ahead of that:
    // tick 8 of the next turn, which from the hand looks like two ticks ago.
    cells.file(&mut wheel, 0, Tick::new(10));
    assert_eq!(wheel.advance(&cells, Tick::new(10), 0, |_| ()), Progress::Behind);
    let now = (1 << 31) + 9;
    assert_eq!(wheel.advance(&cells, Tick::new(now), 0, |_| ()), Progress::Behind);
    let deadline = tick(u64::from(now) + AHEAD);
    assert_eq!(deadline, Tick::new(8));
    cells.file(&mut wheel, 1, deadline);
    let mut due = Vec::new();
    wheel.advance(&cells, Tick::new(now), 64, |place| due.push(place));
    assert_eq!(due, [0]);
    // Over it in two jumps: a slot behind the hand would be left there.
    wheel.advance(&cells, Tick::new(now + 1_000), 64, |place| due.push(place));
    assert_eq!(due, [0]);
    wheel.advance(&cells, Tick::new(deadline.number() + 50), 64, |place| due.push(place));
    assert_eq!(due, [0, 1]);
}

#[test]
fn a_clock_that_steps_back_changes_nothing() {
    let cells = Cells::new(1);
    let mut wheel = Wheel::new(Tick::new(1_000));
    cells.file(&mut wheel, 0, Tick::new(1_010));
    assert_eq!(wheel.advance(&cells, Tick::new(900), 64, |_| panic!("early")), Progress::Done);
    let mut due = 0;
    wheel.advance(&cells, Tick::new(1_010), 64, |_| due += 1);
    assert_eq!(due, 1);
}
