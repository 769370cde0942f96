//! The timing wheel beside a binary heap, the textbook's timer queue.
//!
//! Both hold N timers and are lazy in the same way: what comes up with a deadline that has moved is put
//! back. Two questions, each in time per timer:
//!
//! - `turn`: a steady state. The clock moves by one tick; what is due is put back for a random time within
//!   the next minute, as a connection that is used now and then.
//! - `earlier`: a random timer's deadline moves to an earlier tick, as when a connection begins to close.
//!   The wheel moves the entry; the heap can only take a second one and skip the first when it comes up.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lastack::time::Tick;
use lastack::timer::{Links, NONE, SLOTS, Storage, Wheel};

/// A minute in ticks: how far ahead timers are set.
const MINUTE: u32 = 60_000;

/// The wheel's storage as the table lays it out: links and deadline of a place beside each other.
struct Cells {
    heads: Vec<Cell<u32>>,
    places: Vec<(Cell<Links>, Cell<Tick>)>,
}

impl Cells {
    fn new(places: u32) -> Cells {
        let place = (Cell::new(Links::UNFILED), Cell::new(Tick::default()));
        Cells { heads: vec![Cell::new(NONE); SLOTS], places: vec![place; places as usize] }
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
        self.places[place as usize].0.get()
    }
    fn set_links(&self, place: u32, links: Links) {
        self.places[place as usize].0.set(links);
    }
    fn deadline(&self, place: u32) -> Tick {
        self.places[place as usize].1.get()
    }
}

/// A timer queue under test; the clock begins at 0 and stays far from its wrap.
trait Timers {
    fn new(places: u32) -> Self;
    fn set(&mut self, place: u32, deadline: u32);
    /// Moves a timer that is set to an earlier tick.
    fn bring_forward(&mut self, place: u32, deadline: u32);
    fn deadline(&self, place: u32) -> u32;
    /// Appends what is due to `due`.
    fn advance(&mut self, now: u32, due: &mut Vec<u32>);
}

struct TimingWheel {
    cells: Cells,
    wheel: Wheel,
}

impl Timers for TimingWheel {
    fn new(places: u32) -> TimingWheel {
        let cells = Cells::new(places);
        let wheel = Wheel::new(&cells, Tick::new(0));
        TimingWheel { cells, wheel }
    }
    fn set(&mut self, place: u32, deadline: u32) {
        self.cells.places[place as usize].1.set(Tick::new(deadline));
        self.wheel.file(&self.cells, place, Tick::new(deadline));
    }
    fn bring_forward(&mut self, place: u32, deadline: u32) {
        self.cells.places[place as usize].1.set(Tick::new(deadline));
        self.wheel.refile(&self.cells, place, Tick::new(deadline));
    }
    fn deadline(&self, place: u32) -> u32 {
        self.cells.deadline(place).number()
    }
    fn advance(&mut self, now: u32, due: &mut Vec<u32>) {
        self.wheel.advance(&self.cells, Tick::new(now), u32::MAX, |place| due.push(place));
    }
}

struct Heap {
    heap: BinaryHeap<Reverse<(u32, u32)>>,
    deadlines: Vec<u32>,
}

impl Timers for Heap {
    fn new(places: u32) -> Heap {
        Heap { heap: BinaryHeap::new(), deadlines: vec![u32::MAX; places as usize] }
    }
    fn set(&mut self, place: u32, deadline: u32) {
        self.deadlines[place as usize] = deadline;
        self.heap.push(Reverse((deadline, place)));
    }
    fn bring_forward(&mut self, place: u32, deadline: u32) {
        self.set(place, deadline);
    }
    fn deadline(&self, place: u32) -> u32 {
        self.deadlines[place as usize]
    }
    fn advance(&mut self, now: u32, due: &mut Vec<u32>) {
        while let Some(&Reverse((deadline, place))) = self.heap.peek()
            && deadline <= now
        {
            self.heap.pop();
            // Anything else is what a timer left behind when it was brought forward.
            if self.deadlines[place as usize] == deadline {
                due.push(place);
            }
        }
    }
}

/// `places` timers, spread over the next minute.
fn filled<T: Timers>(places: u32, random: &mut fastrand::Rng) -> T {
    let mut timers = T::new(places);
    for place in 0..places {
        timers.set(place, 1 + random.u32(..MINUTE));
    }
    timers
}

/// The time that `count` timers take to come up and be set again.
fn turn<T: Timers>(places: u32, count: u64) -> Duration {
    let mut random = fastrand::Rng::with_seed(1);
    let mut timers: T = filled(places, &mut random);
    let (mut now, mut seen, mut due) = (0, 0, Vec::new());
    let began = Instant::now();
    while seen < count {
        now += 1;
        timers.advance(now, &mut due);
        seen += due.len() as u64;
        for place in due.drain(..) {
            timers.set(place, now + 1 + random.u32(..MINUTE));
        }
    }
    // What came up with the last tick beyond `count` is not to be paid for.
    began.elapsed().mul_f64(count as f64 / seen as f64)
}

/// The time that `count` timers take to be brought forward and come up; where they are set for the next
/// time is part of it, too, so that their number stays.
fn earlier<T: Timers>(places: u32, count: u64) -> Duration {
    let mut random = fastrand::Rng::with_seed(1);
    let mut timers: T = filled(places, &mut random);
    let (mut now, mut due) = (0, Vec::new());
    // As many for each tick as let every timer be brought forward once in half a minute.
    let per_tick = u64::from(places.div_ceil(MINUTE / 2));
    let mut left = count;
    let began = Instant::now();
    while left > 0 {
        now += 1;
        timers.advance(now, &mut due);
        for place in due.drain(..) {
            timers.set(place, now + 1 + random.u32(..MINUTE));
        }
        let batch = per_tick.min(left);
        left -= batch;
        for _ in 0..batch {
            let place = random.u32(..places);
            let ahead = timers.deadline(place) - now;
            if ahead > 1 {
                timers.bring_forward(black_box(place), now + 1 + random.u32(..ahead - 1));
            }
        }
    }
    began.elapsed()
}

fn compare(criterion: &mut Criterion) {
    for places in [10_000, 1_000_000] {
        let mut group = criterion.benchmark_group("turn");
        group.bench_function(BenchmarkId::new("wheel", places), |bencher| {
            bencher.iter_custom(|count| turn::<TimingWheel>(places, count));
        });
        group.bench_function(BenchmarkId::new("heap", places), |bencher| {
            bencher.iter_custom(|count| turn::<Heap>(places, count));
        });
        group.finish();
        let mut group = criterion.benchmark_group("earlier");
        group.bench_function(BenchmarkId::new("wheel", places), |bencher| {
            bencher.iter_custom(|count| earlier::<TimingWheel>(places, count));
        });
        group.bench_function(BenchmarkId::new("heap", places), |bencher| {
            bencher.iter_custom(|count| earlier::<Heap>(places, count));
        });
        group.finish();
    }
}

criterion_group! {
    name = timers;
    // The tables are filled anew for each sample, which costs more than what is timed.
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = compare
}
criterion_main!(timers);
