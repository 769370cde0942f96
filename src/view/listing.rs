//! Every connection of a shard exactly as it was at one moment, though the worker goes on, in constant memory.
//!
//! ```text
//!  table    ├──── emitted ────┤ slice ├──────── not read yet ────────┤ used when it began
//!                              │ 1024 places
//!  events   S0 ─────────────────────────► caught up: everything that the slice's reading can have seen
//!                                │
//!                                └► touched: what is not any more as it was at S0, from the slice on
//! ```
//!
//! The moment is the event numbered S0. The listing listens behind it, and then goes through the table slice
//! by slice. Having read one, it waits for the worker's turn to end ([`Epoch`](super::Epoch)): then the event
//! of every change that it can have seen is published. It takes these into account, and tells the slice:
//!
//! | a connection that | is told |
//! |---|---|
//! | was not touched since S0 | as it was read |
//! | has changed | with the states before its first change |
//! | began behind S0 | not at all |
//! | ended behind S0, its place not read by then | from the record of its end, with the states at S0 |
//!
//! Places below the slice are done with: what happens there is forgotten at once. Counters and times are
//! those of the moment of reading; only states are numbered.
//!
//! It stays bounded at the price of exactness: where the ring is overwritten before it was read (whoever
//! takes the connections was too slow), or too much has changed above the slice, the listing goes on as the
//! table is, and [`Listing::missed`] tells from which event on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::View;
use super::events::{Event, Heard, Kind, Listener};
use crate::shard::Record;
use crate::table::Index;
use crate::tcp::State;
use crate::time::Time;

/// How many places are read at once.
const SLICE: u32 = 1024;
/// How many connections may be touched above the slice: a few megabytes.
const MOST_TOUCHED: usize = 1 << 16;
/// How many ended connections wait to be told, before no more events are taken into account.
const MOST_LATE: usize = 1024;
/// How many events are taken into account in one call.
const EVENTS_AT_ONCE: u32 = 1024;

/// A listing of one shard under way.
#[derive(Debug)]
pub struct Listing {
    view: Arc<View>,
    listener: Listener,
    stage: Stage,
    /// S0; 0 before it is known.
    sequence: u64,
    /// How many places are read at once.
    stride: u32,
    /// The slice is `position .. slice_end`; everything below has been told.
    position: u32,
    slice_end: u32,
    /// Where the places end that can have been used at S0.
    end: u32,
    slice: Vec<(Index, Record)>,
    touched: BTreeMap<(Index, u64), Touched>,
    ready: VecDeque<(Index, Record)>,
    /// The first event that was not taken into account.
    missed_from: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For the moment to be certain.
    Beginning,
    /// The next slice can be read.
    Reading,
    /// It was read at this moment of the worker's.
    Settling { moment: u64 },
    /// The events up to this one are being taken into account.
    Catching { until: u64 },
    /// Nothing more will be told.
    Done,
}

/// What a connection was at S0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touched {
    /// Not there.
    Newer,
    /// In these states.
    Was(Option<[State; 2]>),
}

/// What a listing has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A connection, and its place.
    Found(Index, Record),
    /// There is more, but that was enough for once.
    Going,
    /// It waits for the worker's turn to end.
    Waiting,
    /// That was all.
    Done,
}

impl Listing {
    /// A listing of the shard behind `view`, of a moment not before now.
    pub fn new(view: Arc<View>) -> Listing {
        Listing::with_slices(view, SLICE)
    }

    fn with_slices(view: Arc<View>, stride: u32) -> Listing {
        Listing {
            stride,
            listener: view.events.listen(&view.epoch),
            view,
            stage: Stage::Beginning,
            sequence: 0,
            position: 0,
            slice_end: 0,
            end: 0,
            slice: Vec::new(),
            touched: BTreeMap::new(),
            ready: VecDeque::new(),
            missed_from: None,
        }
    }

    /// The shard's view.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The event whose moment the listing shows; none as long as that is not certain: ask again.
    pub fn sequence(&mut self) -> Option<u64> {
        if self.stage == Stage::Beginning {
            self.sequence = self.listener.position(&self.view.epoch)?;
            self.end = self.view.table.used().number();
            self.stage = Stage::Reading;
        }
        Some(self.sequence)
    }

    /// What comes next. `latest` is an instant not before the shard's newest packet.
    pub fn step(&mut self, latest: Time) -> Step {
        loop {
            if let Some((index, record)) = self.ready.pop_front() {
                return Step::Found(index, record);
            }
            match self.stage {
                Stage::Beginning => {
                    if self.sequence().is_none() {
                        return Step::Waiting;
                    }
                }
                Stage::Reading if self.position >= self.end => {
                    self.stage = Stage::Done;
                    self.touched.clear();
                    self.slice = Vec::new();
                }
                Stage::Reading => {
                    self.read(latest);
                    self.stage = Stage::Settling { moment: self.view.epoch.now() };
                }
                Stage::Settling { moment } => {
                    if !self.view.epoch.is_over(moment) {
                        return Step::Waiting;
                    }
                    self.stage = Stage::Catching { until: self.view.events.published() };
                }
                Stage::Catching { until } => {
                    if self.catch_up(until) {
                        self.tell_slice();
                        self.stage = Stage::Reading;
                    } else if self.ready.is_empty() {
                        return Step::Going;
                    }
                }
                Stage::Done => return Step::Done,
            }
        }
    }

    /// Takes events into account while another listing has its turn, so that fewer are missed.
    pub fn keep_up(&mut self) {
        if matches!(self.stage, Stage::Reading | Stage::Settling { .. }) {
            self.catch_up(self.view.events.published());
        }
    }

    /// Events, both included, that could not be taken into account: from the first of them on the listing is
    /// not exact. To be asked once it is done.
    pub fn missed(&self) -> Option<(u64, u64)> {
        self.missed_from.map(|from| (from, self.view.events.published().max(from)))
    }

    /// Listens to what came behind the listing's moment.
    pub fn into_listener(mut self) -> Listener {
        self.listener.rewind(self.sequence);
        self.listener
    }

    /// Reads the next slice.
    fn read(&mut self, latest: Time) {
        self.slice_end = self.position.saturating_add(self.stride).min(self.end);
        let places = (self.position..self.slice_end).map(Index::new);
        let table = &self.view.table;
        let live = places.filter_map(|index| Some((index, table.snapshot(index)?)));
        self.slice.extend(live.map(|(index, snapshot)| (index, Record::of_snapshot(&snapshot, latest))));
    }

    /// Takes events up to `until` into account, as many as one call may; returns whether that was all.
    fn catch_up(&mut self, until: u64) -> bool {
        for _ in 0..EVENTS_AT_ONCE {
            let position = self.listener.position(&self.view.epoch);
            if self.missed_from.is_some() || position.is_some_and(|position| position >= until) {
                return true;
            }
            if self.ready.len() >= MOST_LATE {
                return false;
            }
            match self.listener.next() {
                Some(Heard::Event(event)) if self.touched.len() < MOST_TOUCHED => self.take(&event),
                Some(Heard::Event(event)) => self.missed_from = Some(event.change.sequence),
                Some(Heard::Missed { from, .. }) => self.missed_from = Some(from),
                None => return true,
            }
        }
        false
    }

    /// Takes one event into account.
    fn take(&mut self, event: &Event) {
        let index = event.change.index;
        // Below the slice all is told; above `end` nothing was at S0.
        if !(self.position..self.end).contains(&index.number()) {
            return;
        }
        let key = (index, event.record.id);
        match event.kind {
            Kind::New => {
                self.touched.insert(key, Touched::Newer);
            }
            Kind::Changed => {
                self.touched.entry(key).or_insert(Touched::Was(event.change.before));
            }
            Kind::Ended => self.take_end(event),
        }
    }

    fn take_end(&mut self, event: &Event) {
        let index = event.change.index;
        let key = (index, event.record.id);
        let was = self.touched.get(&key).copied().unwrap_or(Touched::Was(event.change.before));
        let is_in_slice = index.number() < self.slice_end;
        if is_in_slice && self.is_in_slice(index, event.record.id) {
            // It was read before it ended: what it was must be known until the slice is told.
            self.touched.insert(key, was);
            return;
        }
        self.touched.remove(&key);
        if let Touched::Was(states) = was {
            self.ready.push_back((index, Record { states, end: None, ..event.record }));
        }
    }

    /// Whether the slice, as it was read, has the connection numbered `id` at `index`.
    fn is_in_slice(&self, index: Index, id: u64) -> bool {
        let found = self.slice.binary_search_by_key(&index, |(index, _)| *index);
        found.is_ok_and(|at| self.slice[at].1.id == id)
    }

    /// Makes the slice ready as it was at S0, and leaves it behind.
    fn tell_slice(&mut self) {
        for (index, mut record) in self.slice.drain(..) {
            match self.touched.get(&(index, record.id)) {
                Some(Touched::Newer) => continue,
                Some(Touched::Was(states)) => record.states = *states,
                None => {}
            }
            self.ready.push_back((index, record));
        }
        self.position = self.slice_end;
        while let Some(entry) = self.touched.first_entry()
            && entry.key().0.number() < self.position
        {
            entry.remove();
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::testing::{Copy, Dice, FIN_ACK, SYN_ACK, Worker, back, datagram, entry, there};
    use super::*;
    use crate::wire::Flags;

    /// A worker whose clients and operator act at random, and a copy of its table after every turn.
    struct World {
        worker: Worker,
        dice: Dice,
        copies: HashMap<u64, Copy>,
    }

    impl World {
        fn new(seed: u64, connections: u32, events: usize) -> World {
            let worker = Worker::new(0, 1, connections, events, Time::from_nanoseconds(1 << 60));
            World { worker, dice: Dice(seed), copies: HashMap::from([(0, Copy::new())]) }
        }

        /// Something happens to some connection: it begins, goes on, closes, is reset, expires, is deleted.
        fn act(&mut self) {
            let port = 1 + self.dice.roll(40) as u16;
            let frame = match self.dice.roll(12) {
                0..3 => there(port, Flags::SYN, 0, 0),
                3 => back(port, SYN_ACK, 0, 1),
                4 => there(port, Flags::ACK, 1, 1),
                5 => there(port, FIN_ACK, 1, 1),
                6 => back(port, FIN_ACK, 1, 2),
                7 => there(port, Flags::ACK, 2, 2),
                8 => there(port, Flags::RST, 1, 0),
                9 => datagram(port),
                10 => {
                    let milliseconds = self.dice.roll(20_000);
                    self.worker.wait(milliseconds);
                    return self.worker.poll();
                }
                _ => {
                    let live: Vec<Index> = self.worker.shard.table().scan().collect();
                    if let Some(&index) = live.get(self.dice.roll(64) as usize) {
                        let id = self.worker.shard.record(index).id;
                        assert!(self.worker.delete(index, id));
                    }
                    return;
                }
            };
            self.worker.take(&frame);
        }

        fn end_turn(&mut self) {
            self.worker.end();
            self.copies.insert(self.worker.shard.sequence(), self.worker.copy());
        }

        /// A turn of up to three acts; `between` is called before, within and after it.
        fn turn(&mut self, between: &mut dyn FnMut(&mut Dice)) {
            self.worker.begin();
            for _ in 0..self.dice.roll(4) {
                self.act();
                between(&mut self.dice);
            }
            self.end_turn();
            between(&mut self.dice);
        }
    }

    /// What a listing has told.
    #[derive(Default)]
    struct Told {
        connections: Copy,
        is_done: bool,
    }

    impl Told {
        fn step(&mut self, listing: &mut Listing, latest: Time) {
            match listing.step(latest) {
                Step::Found(_, record) => {
                    assert_eq!(record.end, None, "it lived at the moment");
                    let (id, what) = entry(&record);
                    assert_eq!(self.connections.insert(id, what), None, "{id} is told twice");
                }
                Step::Going | Step::Waiting => {}
                Step::Done => self.is_done = true,
            }
        }
    }

    /// Applies what was heard to a copy; returns what was missed.
    fn follow(listener: &mut Listener, copy: &mut Copy) -> u64 {
        let mut missed = 0;
        while let Some(heard) = listener.next() {
            match heard {
                Heard::Event(Event { kind: Kind::New | Kind::Changed, record, .. }) => {
                    let (id, what) = entry(&record);
                    copy.insert(id, what);
                }
                Heard::Event(Event { kind: Kind::Ended, record, .. }) => {
                    assert!(copy.remove(&record.id).is_some(), "{} ended but was not there", record.id);
                }
                Heard::Missed { from, to } => missed += to - from + 1,
            }
        }
        missed
    }

    const LATEST: Time = Time::from_nanoseconds(1 << 61);

    #[test]
    fn a_listing_and_the_events_behind_it_are_the_table_at_both_ends_whatever_happens_between() {
        for seed in 0..2000 {
            let mut world = World::new(seed, 32, 1 << 12);
            for _ in 0..world.dice.roll(60) {
                world.turn(&mut |_| {});
            }
            let mut listing =
                Listing::with_slices(Arc::clone(&world.worker.view), 1 + world.dice.roll(12) as u32);
            let mut told = Told::default();
            while !told.is_done {
                world.turn(&mut |dice| {
                    for _ in 0..dice.roll(4) {
                        if dice.roll(3) == 0 {
                            listing.keep_up();
                        }
                        told.step(&mut listing, LATEST);
                    }
                });
            }
            let sequence = listing.sequence().unwrap();
            assert_eq!(told.connections, world.copies[&sequence], "seed {seed}: as it was at {sequence}");
            assert_eq!(listing.missed(), None, "seed {seed}");
            let mut listener = listing.into_listener();
            assert_eq!(follow(&mut listener, &mut told.connections), 0, "seed {seed}");
            assert_eq!(told.connections, world.worker.copy(), "seed {seed}: as it is now");
        }
    }

    #[test]
    fn a_listing_that_begins_within_a_turn_waits_for_its_end() {
        let mut world = World::new(1, 32, 64);
        world.worker.begin();
        world.worker.take(&there(1, Flags::SYN, 0, 0));
        let mut listing = Listing::new(Arc::clone(&world.worker.view));
        assert_eq!(listing.sequence(), None);
        assert_eq!(listing.step(LATEST), Step::Waiting);
        world.worker.take(&back(1, SYN_ACK, 0, 1));
        world.end_turn();
        assert_eq!(listing.sequence(), Some(2), "the whole turn");
        assert!(matches!(listing.step(LATEST), Step::Found(_, record) if record.id == 1));
        assert_eq!(listing.step(LATEST), Step::Done);
    }

    #[test]
    fn a_listing_that_the_ring_overruns_goes_on_and_tells_from_where_it_is_not_exact() {
        let mut world = World::new(1, 64, 8);
        world.worker.turn(&(1..=20).map(|port| there(port, Flags::SYN, 0, 0)).collect::<Vec<_>>());
        let mut listing = Listing::with_slices(Arc::clone(&world.worker.view), 4);
        assert!(matches!(listing.step(LATEST), Step::Found(..)));
        world.worker.turn(&(21..=40).map(|port| there(port, Flags::SYN, 0, 0)).collect::<Vec<_>>());
        let mut told = Told::default();
        while !told.is_done {
            told.step(&mut listing, LATEST);
        }
        assert_eq!(told.connections.len(), 19, "the connections of the moment stay");
        assert_eq!(listing.missed(), Some((21, 40)));
    }

    #[test]
    fn more_changes_than_can_be_remembered_are_told_as_missed() {
        let many = MOST_TOUCHED as u32 + 10;
        let mut worker = Worker::new(0, 1, 2 * many, 1 << 18, Time::from_nanoseconds(1 << 60));
        let frames = |ports: std::ops::Range<u32>| {
            let addresses = ports.map(|n| [10, (n >> 16) as u8, (n >> 8) as u8, n as u8]);
            let ports = crate::wire::Ports { source: 1, destination: 53 };
            addresses
                .map(|from| crate::wire::build::Builder::v4(from, [9, 9, 9, 9]).udp(ports, &[]))
                .collect()
        };
        let both: Vec<Vec<u8>> = frames(0..2 * many);
        worker.turn(&both[..many as usize]);
        let mut listing = Listing::with_slices(Arc::clone(&worker.view), 1);
        assert!(matches!(listing.step(LATEST), Step::Found(..)));
        // Everything ends, and as many others take the places that were not read yet.
        worker.wait(3_600_000);
        worker.turn(&[]);
        worker.turn(&both[many as usize..]);
        let mut found = 0;
        loop {
            match listing.step(LATEST) {
                Step::Found(..) => found += 1,
                Step::Going | Step::Waiting => {}
                Step::Done => break,
            }
        }
        assert!(found > 0);
        let (from, to) = listing.missed().unwrap();
        assert!(from > u64::from(many) && to == worker.shard.sequence(), "{from} to {to}");
        assert_eq!(listing.touched.len(), 0);
    }

    #[test]
    fn a_listing_keeps_a_bounded_amount_however_large_the_table() {
        let mut worker = Worker::new(0, 1, 20_000, 1 << 15, Time::from_nanoseconds(1 << 60));
        for first in (0..20_000).step_by(1000) {
            worker.turn(&(first..first + 1000).map(datagram).collect::<Vec<_>>());
        }
        let mut listing = Listing::new(Arc::clone(&worker.view));
        let mut found = 0;
        loop {
            match listing.step(LATEST) {
                Step::Found(..) => found += 1,
                Step::Going | Step::Waiting => {}
                Step::Done => break,
            }
            assert!(listing.ready.len() <= SLICE as usize + MOST_LATE);
        }
        assert_eq!(found, 20_000);
    }

    /// Bounded in work: the worker makes so many turns, however the threads meet.
    #[test]
    fn listings_beside_a_worker_that_never_stops_are_each_the_table_at_their_moment() {
        const TURNS: u32 = 3000;
        let mut world = World::new(7, 48, 1 << 15);
        let view = Arc::clone(&world.worker.view);
        let is_over = AtomicBool::new(false);
        let (listings, copies, at_the_end) = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                for _ in 0..TURNS {
                    world.turn(&mut |_| {});
                }
                is_over.store(true, Ordering::SeqCst);
                let at_the_end = world.worker.copy();
                (world.copies, at_the_end)
            });
            let mut listings = Vec::new();
            loop {
                let is_last = is_over.load(Ordering::SeqCst);
                let mut listing = Listing::with_slices(Arc::clone(&view), 5);
                let mut told = Told::default();
                while !told.is_done {
                    told.step(&mut listing, LATEST);
                }
                if listing.missed().is_none() {
                    listings.push((listing.sequence().unwrap(), told.connections));
                }
                if is_last {
                    break;
                }
            }
            let (copies, at_the_end) = worker.join().unwrap();
            (listings, copies, at_the_end)
        });
        for (sequence, connections) in &listings {
            assert_eq!(*connections, copies[sequence], "as it was at {sequence}");
        }
        assert_eq!(listings.last().unwrap().1, at_the_end);
    }
}
