//! The connection table beside a general-purpose hash map (hashbrown with the same hash).
//!
//! `cargo bench --bench table`. One element is one lookup, one insertion or one removal, each of a random
//! connection: what is measured is memory as much as code. Both are as large as each other and as full:
//!
//! ```text
//!   hashbrown  2^20 slots, of which 7 in 8 may be taken: 917,504        16-byte key + 112 bytes each
//!   table      917,504 connections                                      128 bytes each
//!              │◄──────── half full ───────►│            95 % full ──►│
//! ```
//!
//! | group | what |
//! |---|---|
//! | `hit`, `miss` | lookups of what is there, in a random direction, and of what is not |
//! | `insert`, `remove` | of 3.6 % of all, at that load; what comes is new, what goes is random |
//! | `hit, worn`, `miss, worn` | the same lookups at 95 % after a million removals and insertions |
//!
//! A map that keeps its size does not wear well: at 95 % the marks of what was removed leave it no room, and it
//! grows to twice its slots within the first changes (the program says so), after which it is half as full. The
//! table has no such marks, and never grows.
//!
//! The map cannot be told to fetch ahead; the table works in bursts of 32 as the engine does, so its lookups are
//! measured without them too.
#![allow(missing_docs, reason = "criterion's macros define what is public")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ahash::RandomState;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashMap;
use lastack::table::{Hash, HashKeys, Index, Key, Layout, Sense, Table};
use lastack::time::{Tick, Time};

/// As many as a hashbrown of 2^20 slots takes before it grows.
const CAPACITY: usize = (1 << 20) / 8 * 7;
/// How full, in percent.
const LOADS: [usize; 2] = [50, 95];
const BURST: usize = 32;
/// Bursts that are looked up.
const BURSTS: usize = 4096;
/// How many connections go and come at once: few enough for a table at 95 %.
const CHANGED: usize = 1024 * BURST;
/// How many go and come before a table is worn.
const WEAR: usize = 1_000_000;
const SEED: u64 = 0x5eed;

/// An IPv4 tuple of TCP.
#[derive(Debug, Clone, Copy)]
struct Tuple {
    source: (u32, u16),
    destination: (u32, u16),
}

impl Tuple {
    fn key(&self) -> Key {
        Key::v4(self.source, self.destination, 6, 0)
    }

    fn reversed(self) -> Tuple {
        Tuple { source: self.destination, destination: self.source }
    }

    /// One word, the same for both directions: what the table makes of it, for the map.
    fn packed(self) -> u128 {
        let word = |(address, port): (u32, u16)| u64::from(address) << 16 | u64::from(port);
        let (a, b) = (word(self.source), word(self.destination));
        u128::from(a.min(b)) | u128::from(a.max(b)) << 64
    }

    fn random(random: &mut fastrand::Rng) -> Tuple {
        let mut endpoint = || (random.u32(..), random.u16(..));
        Tuple { source: endpoint(), destination: endpoint() }
    }
}

fn tuples(count: usize, seed: u64) -> Vec<Tuple> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| Tuple::random(&mut random)).collect()
}

/// Bursts of tuples, each a random one of `tuples`, in a random direction.
fn bursts(tuples: &[Tuple]) -> Vec<[Tuple; BURST]> {
    let mut random = fastrand::Rng::with_seed(SEED + 1);
    let mut packet = || {
        let tuple = tuples[random.usize(..tuples.len())];
        if random.bool() { tuple } else { tuple.reversed() }
    };
    (0..BURSTS).map(|_| [(); BURST].map(|()| packet())).collect()
}

/// What holds connections and can replace some of them.
trait Store: Sized {
    /// What names a connection that is there.
    type Name: Copy;

    fn new() -> Self;
    /// Adds what is not there; appends the names.
    fn insert(&mut self, tuples: &[Tuple], names: &mut Vec<Self::Name>);
    fn remove(&mut self, names: &[Self::Name]);

    /// One that holds `tuples`, and their names.
    fn filled(tuples: &[Tuple]) -> (Self, Vec<Self::Name>) {
        let (mut store, mut names) = (Self::new(), Vec::with_capacity(CAPACITY));
        store.insert(tuples, &mut names);
        (store, names)
    }
}

impl Store for Table {
    type Name = Index;

    fn new() -> Table {
        let layout = Layout::for_connections(CAPACITY as u32, 0).expect("a layout");
        Table::new(layout, HashKeys([1, 2, 3, 4])).expect("memory")
    }

    fn insert(&mut self, tuples: &[Tuple], names: &mut Vec<Index>) {
        for burst in tuples.chunks(BURST) {
            let mut hashes = [Hash::NOBODYS; BURST];
            for (hash, tuple) in hashes.iter_mut().zip(burst) {
                *hash = self.hash(&tuple.key());
                self.prefetch_bucket(*hash);
            }
            for (&hash, tuple) in hashes.iter().zip(burst) {
                names.push(Table::insert(self, hash, &tuple.key(), 1, Time::default()).expect("room"));
            }
        }
    }

    fn remove(&mut self, names: &[Index]) {
        for burst in names.chunks(BURST) {
            burst.iter().for_each(|&index| self.prefetch_connection(index, false));
            burst.iter().for_each(|&index| self.prefetch_removal(index));
            burst.iter().for_each(|&index| Table::remove(self, index));
        }
    }
}

/// A slot, key and value together, is as large as a connection.
type Map = HashMap<u128, [u64; 14], RandomState>;

impl Store for Map {
    type Name = u128;

    fn new() -> Map {
        let map = HashMap::with_capacity_and_hasher(CAPACITY, RandomState::with_seeds(1, 2, 3, 4));
        assert_eq!(map.capacity(), CAPACITY, "it is as full as the table");
        map
    }

    fn insert(&mut self, tuples: &[Tuple], names: &mut Vec<u128>) {
        for tuple in tuples {
            let name = tuple.packed();
            HashMap::insert(self, name, [1; 14]);
            names.push(name);
        }
    }

    fn remove(&mut self, names: &[u128]) {
        for name in names {
            HashMap::remove(self, name);
        }
    }
}

/// Once in some thousand lookups of what is there, and in all of what is not.
#[cold]
fn search(table: &Table, hash: Hash, key: &Key) -> Option<(Index, Sense)> {
    table.find(hash, key)
}

/// The three steps that the engine makes over a burst, up to the place and sense of each packet.
fn look_up(table: &Table, burst: &[Tuple; BURST], mut then: impl FnMut(Index, Sense)) {
    let hashes = burst.map(|tuple| {
        let hash = table.hash(&tuple.key());
        table.prefetch_bucket(hash);
        hash
    });
    let places = hashes.map(|hash| {
        let index = table.candidate(hash).unwrap_or(Index::NOWHERE);
        table.prefetch_connection(index, false);
        index
    });
    for ((index, hash), tuple) in places.into_iter().zip(hashes).zip(burst) {
        let key = tuple.key();
        let found = table.matches(index, &key).map(|sense| (index, sense));
        // No place had the tag: there is nothing more to look for.
        let found =
            if found.is_none() && index != Index::NOWHERE { search(table, hash, &key) } else { found };
        if let Some((index, sense)) = found {
            then(index, sense);
        }
    }
}

/// Sums up what `look_up` finds, so that nothing of it can be left out.
fn look_all_up(table: &Table, bursts: &[[Tuple; BURST]]) -> u64 {
    let mut sum = 0;
    for burst in bursts {
        look_up(table, burst, |index, sense| sum += u64::from(index.number()) + sense as u64);
    }
    sum
}

/// The same, one packet after the other.
fn look_each_up(table: &Table, bursts: &[[Tuple; BURST]]) -> u64 {
    let found = bursts.iter().flatten().filter_map(|tuple| {
        let key = tuple.key();
        table.find(table.hash(&key), &key)
    });
    found.map(|(index, sense)| u64::from(index.number()) + sense as u64).sum()
}

fn look_up_in_map(map: &Map, bursts: &[[Tuple; BURST]]) -> u64 {
    bursts.iter().flatten().filter_map(|tuple| map.get(&tuple.packed())).map(|value| value[0]).sum()
}

/// A packet of the least kind: its connection's words move.
fn write_all(table: &Table, bursts: &[[Tuple; BURST]]) {
    for burst in bursts {
        look_up(table, burst, |index, sense| {
            let connection = table.connection(index);
            let mut words = connection.tracker();
            words[sense as usize] = words[sense as usize].wrapping_add(1460);
            connection.write(|writer| {
                writer.set_tracker(&words);
                writer.set_deadline(Tick::new(words[0] as u32));
                writer.count(sense, 1500, words[0]);
            });
        });
    }
}

/// How much of the capacity a load is, as tuples.
fn at_load(load: usize) -> Vec<Tuple> {
    tuples(CAPACITY * load / 100, SEED)
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Lookups of the same bursts, in a table and in a map that hold the same.
fn compare_lookups(group: &mut Group<'_>, case: &str, table: &Table, map: &Map, bursts: &[[Tuple; BURST]]) {
    group.throughput(Throughput::Elements((BURSTS * BURST) as u64));
    group.bench_function(BenchmarkId::new("table, bursts of 32", case), |bencher| {
        bencher.iter(|| look_all_up(table, bursts));
    });
    group.bench_function(BenchmarkId::new("table, one at a time", case), |bencher| {
        bencher.iter(|| look_each_up(table, bursts));
    });
    group.bench_function(BenchmarkId::new("hashbrown", case), |bencher| {
        bencher.iter(|| look_up_in_map(map, bursts));
    });
}

fn lookups(criterion: &mut Criterion) {
    for load in LOADS {
        let tuples = at_load(load);
        let (table, _) = Table::filled(&tuples);
        let (map, _) = Map::filled(&tuples);
        let (hits, misses) = (bursts(&tuples), bursts(&self::tuples(CAPACITY, SEED + 2)));
        let case = format!("{load} % full");
        let mut group = criterion.benchmark_group("hit");
        compare_lookups(&mut group, &case, &table, &map, &hits);
        group.bench_function(BenchmarkId::new("table, bursts of 32, and one write each", &case), |bencher| {
            bencher.iter(|| write_all(black_box(&table), &hits));
        });
        group.finish();
        let mut group = criterion.benchmark_group("miss");
        compare_lookups(&mut group, &case, &table, &map, &misses);
        group.finish();
    }
}

/// A store in which connections go and come, and how long either takes.
struct Churn<S: Store> {
    store: S,
    names: Vec<S::Name>,
    /// Of these the next ones come.
    comers: fastrand::Rng,
    victims: fastrand::Rng,
}

impl<S: Store> Churn<S> {
    fn new(tuples: &[Tuple]) -> Churn<S> {
        let (store, names) = S::filled(tuples);
        let [comers, victims] = [SEED + 3, SEED + 4].map(fastrand::Rng::with_seed);
        Churn { store, names, comers, victims }
    }

    /// [`CHANGED`] random connections go, and as many new ones come; what either took, but not to draw them.
    fn change(&mut self) -> [Duration; 2] {
        let mut victim = || self.names.swap_remove(self.victims.usize(..self.names.len()));
        let going: Vec<_> = (0..CHANGED).map(|_| victim()).collect();
        let coming: Vec<_> = (0..CHANGED).map(|_| Tuple::random(&mut self.comers)).collect();
        let began = Instant::now();
        self.store.remove(&going);
        let removed = Instant::now();
        self.store.insert(&coming, &mut self.names);
        [removed - began, removed.elapsed()]
    }

    fn bench(&mut self, group: &mut Group<'_>, name: BenchmarkId, which: usize) {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| self.change()[which]).sum());
        });
    }
}

fn changes(criterion: &mut Criterion) {
    for (which, name) in ["remove", "insert"].into_iter().enumerate() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(CHANGED as u64));
        for load in LOADS {
            let tuples = at_load(load);
            let case = format!("{load} % full");
            let name = BenchmarkId::new("table, bursts of 32", &case);
            Churn::<Table>::new(&tuples).bench(&mut group, name, which);
            Churn::<Map>::new(&tuples).bench(&mut group, BenchmarkId::new("hashbrown", &case), which);
        }
        group.finish();
    }
}

/// A table at 95 % through which a million connections have gone, beside a new one of the same connections.
fn worn(criterion: &mut Criterion) {
    let (mut table, mut map) = (Churn::<Table>::new(&at_load(95)), Churn::<Map>::new(&at_load(95)));
    for _ in 0..WEAR.div_ceil(CHANGED) {
        table.change();
        map.change();
    }
    let alive: Vec<Tuple> = table.store.scan().map(|index| tuple_at(&table.store, index)).collect();
    let (new_table, new_map) = (Table::filled(&alive).0, Map::filled(&alive).0);
    assert_eq!(new_map.len(), map.store.len());
    println!("After {WEAR} changes hashbrown has room for {}, of {CAPACITY}.\n", map.store.capacity());
    for (name, bursts) in [("hit", bursts(&alive)), ("miss", bursts(&tuples(CAPACITY, SEED + 2)))] {
        let mut group = criterion.benchmark_group(format!("{name}, worn"));
        compare_lookups(&mut group, "new", &new_table, &new_map, &bursts);
        compare_lookups(&mut group, "after a million", &table.store, &map.store, &bursts);
        group.finish();
    }
}

/// The tuple of the connection at `index`.
fn tuple_at(table: &Table, index: Index) -> Tuple {
    let endpoints = table.endpoints(index);
    let [source, destination] = [endpoints.originator, endpoints.responder].map(|(address, port)| {
        let std::net::IpAddr::V4(address) = address else { unreachable!("all are IPv4") };
        (u32::from(address), port)
    });
    Tuple { source, destination }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = lookups, changes, worn
}
criterion_main!(benches);
