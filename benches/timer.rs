//! The timing wheel beside a published one (hierarchical_hash_wheel_timer) and a binary heap, the textbook's timer
//! queue.
//!
//! All hold N timers on a clock of milliseconds and are lazy in the same way: a deadline that moves later is only
//! written down, and what comes up before its time is filed again. The engine's wheel links places of a table, and
//! can move an entry; the other two own their entries, so where a deadline moves earlier they take a second entry and
//! skip the first when it comes up ([`Lazy`]).
//!
//! | group | a tracker's | one element is |
//! |---|---|---|
//! | `prolong` | ordinary day: packets move the deadlines of random connections, each some thirty times before it would come up; one connection in a hundred is idle, ends, and another begins | a packet, with its share of the turning |
//! | `earlier` | connections that begin to close: a random timer's deadline moves to an earlier tick | a deadline brought forward, until it has come up and is set again |
//! | `storm` | a million TIME_WAITs: set two seconds ahead, all come up within one | a timer that is set and comes up |
//!
//! The published wheel's entries lie side by side in the memory of a slot, so it runs through a large storm in order,
//! where the wheel goes from place to place, each in a line of memory of its own. The engine has to go there in any case:
//! to read the connection, and to end it.
//!
//! Only the wheel can stop in the middle of a tick ([`Wheel::advance`]'s budget); the others hand out all of it at
//! once, so here it is told to do so as well.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hierarchical_hash_wheel_timer::wheels::quad_wheel::QuadWheelWithOverflow;
use lastack::time::Tick;
use lastack::timer::{Links, NONE, SLOTS, Storage, Wheel};

/// A minute in ticks: how far ahead timers are set.
const MINUTE: u32 = 60_000;
/// A second in ticks: within that time a storm comes up.
const SECOND: u32 = 1_000;
/// How many elements are timed as one: the result is in whole nanoseconds.
const BATCH: u64 = 1_000;
/// How many ticks there are between two packets of a connection, on average.
const BETWEEN_PACKETS: u32 = 2 * SECOND;

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
    /// Sets a timer that is not set.
    fn set(&mut self, place: u32, deadline: u32);
    /// Moves a timer that is set to a later tick.
    fn prolong(&mut self, place: u32, deadline: u32);
    /// Moves a timer that is set to an earlier tick.
    fn bring_forward(&mut self, place: u32, deadline: u32);
    fn deadline(&self, place: u32) -> u32;
    /// Turns to `now`, a tick after the last, and appends what is due to `due`.
    fn advance(&mut self, now: u32, due: &mut Vec<u32>);
}

struct TimingWheel {
    cells: Cells,
    wheel: Wheel,
}

impl Timers for TimingWheel {
    fn new(places: u32) -> TimingWheel {
        let cells = Cells::new(places);
        let wheel = Wheel::new(Tick::new(0));
        TimingWheel { cells, wheel }
    }
    fn set(&mut self, place: u32, deadline: u32) {
        self.prolong(place, deadline);
        self.wheel.file(&self.cells, place, Tick::new(deadline));
    }
    fn prolong(&mut self, place: u32, deadline: u32) {
        self.cells.places[place as usize].1.set(Tick::new(deadline));
    }
    fn bring_forward(&mut self, place: u32, deadline: u32) {
        self.prolong(place, deadline);
        self.wheel.refile(&self.cells, place, Tick::new(deadline));
    }
    fn deadline(&self, place: u32) -> u32 {
        self.cells.deadline(place).number()
    }
    fn advance(&mut self, now: u32, due: &mut Vec<u32>) {
        self.wheel.advance(&self.cells, Tick::new(now), u32::MAX, |place| due.push(place));
    }
}

/// An entry of a queue that owns its entries: a place, and the tick under which it was filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tick: u32,
    place: u32,
}

/// A queue that owns its entries.
trait Queue {
    fn new(places: u32) -> Self;
    /// `entry.tick` lies after the tick that was taken last.
    fn push(&mut self, entry: Entry);
    /// Takes what lies at `now`, a tick after the last.
    fn take(&mut self, now: u32, entries: &mut Vec<Entry>);
}

impl Queue for BinaryHeap<Reverse<Entry>> {
    fn new(places: u32) -> Self {
        BinaryHeap::with_capacity(places as usize)
    }
    fn push(&mut self, entry: Entry) {
        self.push(Reverse(entry));
    }
    fn take(&mut self, now: u32, entries: &mut Vec<Entry>) {
        while let Some(Reverse(entry)) = self.peek().copied()
            && entry.tick <= now
        {
            self.pop();
            entries.push(entry);
        }
    }
}

impl Queue for QuadWheelWithOverflow<Entry> {
    fn new(_places: u32) -> Self {
        QuadWheelWithOverflow::default()
    }
    fn push(&mut self, entry: Entry) {
        let delay = Duration::from_millis(u64::from(entry.tick - self.current_time_in_cycle()));
        self.insert_with_delay(entry, delay).expect("it lies ahead");
    }
    fn take(&mut self, now: u32, entries: &mut Vec<Entry>) {
        entries.extend(self.tick());
        debug_assert_eq!(self.current_time_in_cycle(), now);
    }
}

/// Where a timer's deadline is, and under which tick the entry lies that counts; any other is left over from before
/// it was brought forward.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    deadline: u32,
    filed: u32,
}

/// Timers that are filed in a queue and whose deadlines move meanwhile.
struct Lazy<Q> {
    queue: Q,
    places: Vec<Place>,
    taken: Vec<Entry>,
}

impl<Q: Queue> Timers for Lazy<Q> {
    fn new(places: u32) -> Lazy<Q> {
        let unset = Place::default();
        Lazy { queue: Q::new(places), places: vec![unset; places as usize], taken: Vec::new() }
    }
    fn set(&mut self, place: u32, deadline: u32) {
        self.places[place as usize] = Place { deadline, filed: deadline };
        self.queue.push(Entry { tick: deadline, place });
    }
    fn prolong(&mut self, place: u32, deadline: u32) {
        self.places[place as usize].deadline = deadline;
    }
    fn bring_forward(&mut self, place: u32, deadline: u32) {
        self.set(place, deadline);
    }
    fn deadline(&self, place: u32) -> u32 {
        self.places[place as usize].deadline
    }
    fn advance(&mut self, now: u32, due: &mut Vec<u32>) {
        self.queue.take(now, &mut self.taken);
        for entry in self.taken.drain(..) {
            let Place { deadline, filed } = &mut self.places[entry.place as usize];
            if *filed != entry.tick {
                continue;
            }
            if *deadline > now {
                *filed = *deadline;
                self.queue.push(Entry { tick: *deadline, place: entry.place });
            } else {
                // What comes up a second time under the same tick has been handed out.
                *filed = 0;
                due.push(entry.place);
            }
        }
    }
}

/// Timers after a minute in which each has come up and been set again, for a random time in the next one: whatever
/// memory a queue takes it has taken.
struct Steady<T> {
    timers: T,
    now: u32,
    due: Vec<u32>,
    random: fastrand::Rng,
}

impl<T: Timers> Steady<T> {
    fn new(places: u32) -> Steady<T> {
        let random = fastrand::Rng::with_seed(1);
        let mut steady = Steady { timers: T::new(places), now: 0, due: Vec::new(), random };
        for place in 0..places {
            let deadline = 1 + steady.random.u32(..MINUTE);
            steady.timers.set(place, deadline);
        }
        (0..MINUTE).for_each(|_| steady.turn());
        steady
    }

    /// A tick; what comes up is set again.
    fn turn(&mut self) {
        self.now += 1;
        self.timers.advance(self.now, &mut self.due);
        for place in self.due.drain(..) {
            self.timers.set(place, self.now + 1 + self.random.u32(..MINUTE));
        }
    }

    /// The time that `count` steps take, `per_tick` of them in each tick: of at least a second of the clock, in which
    /// every tick has its share.
    fn time(mut self, count: u64, per_tick: u32, mut step: impl FnMut(&mut Steady<T>)) -> Duration {
        let ticks = count.div_ceil(u64::from(per_tick)).max(u64::from(SECOND));
        let began = Instant::now();
        for _ in 0..ticks {
            self.turn();
            (0..per_tick).for_each(|_| step(&mut self));
        }
        share(began.elapsed(), count, ticks * u64::from(per_tick))
    }
}

/// The time that `count` packets take.
fn prolong<T: Timers>(places: u32, count: u64) -> Duration {
    let busy = places - places / 100;
    Steady::<T>::new(places).time(count, busy.div_ceil(BETWEEN_PACKETS), |steady| {
        let place = steady.random.u32(..busy);
        steady.timers.prolong(black_box(place), steady.now + MINUTE);
    })
}

/// The time that `count` timers take to be brought forward and come up; where they are set for the next time is part
/// of it, too, so that their number stays. Every timer is brought forward once in half a minute.
fn earlier<T: Timers>(places: u32, count: u64) -> Duration {
    Steady::<T>::new(places).time(count, places.div_ceil(MINUTE / 2), |steady| {
        let place = steady.random.u32(..places);
        let ahead = steady.timers.deadline(place) - steady.now;
        if ahead > 1 {
            let sooner = steady.now + 1 + steady.random.u32(..ahead - 1);
            steady.timers.bring_forward(black_box(place), sooner);
        }
    })
}

/// The time that `count` timers take to be set, and to come up within one second two seconds later (the ticks in which
/// nothing is due are a part of it, so they are few): of so many storms of all `places`, its share. One goes before.
fn storm<T: Timers>(places: u32, count: u64) -> Duration {
    let mut random = fastrand::Rng::with_seed(1);
    let mut timers = T::new(places);
    let (mut now, mut due) = (0, Vec::with_capacity(places as usize));
    let mut one = || {
        for place in 0..places {
            timers.set(place, now + 2 * SECOND + random.u32(..SECOND));
        }
        while due.len() < places as usize {
            now += 1;
            timers.advance(now, &mut due);
        }
        due.clear();
    };
    one();
    let storms = count.div_ceil(u64::from(places));
    let began = Instant::now();
    (0..storms).for_each(|_| one());
    share(began.elapsed(), count, storms * u64::from(places))
}

/// What `count` of `all` took.
fn share(elapsed: Duration, count: u64, all: u64) -> Duration {
    elapsed.mul_f64(count as f64 / all as f64)
}

fn compare(criterion: &mut Criterion) {
    type Run = fn(u32, u64) -> Duration;
    type Heap = Lazy<BinaryHeap<Reverse<Entry>>>;
    type Published = Lazy<QuadWheelWithOverflow<Entry>>;
    let groups: [(&str, [Run; 3]); 3] = [
        ("prolong", [prolong::<TimingWheel>, prolong::<Published>, prolong::<Heap>]),
        ("earlier", [earlier::<TimingWheel>, earlier::<Published>, earlier::<Heap>]),
        ("storm", [storm::<TimingWheel>, storm::<Published>, storm::<Heap>]),
    ];
    for (name, runs) in groups {
        for places in [10_000, 1_000_000] {
            let mut group = criterion.benchmark_group(name);
            group.throughput(Throughput::Elements(BATCH));
            for (queue, run) in ["wheel", "published wheel", "heap"].into_iter().zip(runs) {
                group.bench_function(BenchmarkId::new(queue, places), |bencher| {
                    bencher.iter_custom(|count| run(places, count * BATCH));
                });
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = timers;
    // The timers are set anew for each sample, which costs more than what is timed.
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = compare
}
criterion_main!(timers);
