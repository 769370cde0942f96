//! The connection table beside a general-purpose hash map (hashbrown with the same hash).
//!
//! `cargo bench --bench table`. One element is one lookup, or one insertion with its removal. A million
//! IPv4 connections, of which each operation takes a random one: what is measured is memory as much as
//! code. The map's slots, tuple and value together, are as large as connections. It cannot be told to
//! fetch ahead; the table works in bursts of 32 as the engine does, so it is measured without them too.
#![allow(missing_docs, reason = "criterion's macros define what is public")]

use std::hint::black_box;

use ahash::RandomState;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashMap;
use lastack::table::{Hash, HashKeys, Index, Key, Layout, Sense, Table};
use lastack::time::{Tick, Time};

const CONNECTIONS: u32 = 1_000_000;
const BURST: usize = 32;
const BURSTS: usize = 4096;
const SEED: u64 = 0x5eed;

/// An IPv4 tuple: 13 bytes as in a packet, 16 as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tuple {
    source: u32,
    destination: u32,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
    zone: u16,
}

impl Tuple {
    fn key(&self) -> Key<'static> {
        Key::v4(
            (self.source, self.source_port),
            (self.destination, self.destination_port),
            self.protocol,
            self.zone,
        )
    }

    fn reversed(self) -> Tuple {
        Tuple {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..self
        }
    }

    /// The same for both directions, as the map needs it.
    fn canonical(self) -> Tuple {
        let is_upper = (self.source, self.source_port) > (self.destination, self.destination_port);
        if is_upper { self.reversed() } else { self }
    }

    fn random(random: &mut fastrand::Rng) -> Tuple {
        Tuple {
            source: random.u32(..),
            destination: random.u32(..),
            source_port: random.u16(..),
            destination_port: random.u16(..),
            protocol: 6,
            zone: 0,
        }
    }
}

fn tuples() -> Vec<Tuple> {
    let mut random = fastrand::Rng::with_seed(SEED);
    (0..CONNECTIONS).map(|_| Tuple::random(&mut random)).collect()
}

/// Bursts of tuples, each a random one of those there are, in a random direction.
fn bursts(tuples: &[Tuple]) -> Vec<[Tuple; BURST]> {
    let mut random = fastrand::Rng::with_seed(SEED + 1);
    let mut packet = || {
        let tuple = tuples[random.usize(..tuples.len())];
        if random.bool() { tuple } else { tuple.reversed() }
    };
    (0..BURSTS).map(|_| [(); BURST].map(|()| packet())).collect()
}

/// A table with room for `spare` more than it holds.
fn filled_table(tuples: &[Tuple], spare: u32) -> Table {
    let layout = Layout::for_connections(CONNECTIONS + spare, 0).expect("a layout");
    let mut table = Table::new(layout, HashKeys([1, 2, 3, 4])).expect("memory");
    for (id, tuple) in (0..).zip(tuples) {
        table.insert(table.hash(&tuple.key()), &tuple.key(), id, Time::default()).expect("room");
    }
    table
}

/// Once in some thousand lookups.
#[cold]
fn another_has_the_tag(table: &Table, hash: Hash, key: &Key) -> (Index, Sense) {
    table.find(hash, key).expect("every tuple is in the table")
}

/// The three steps that the engine makes over a burst, up to the place and sense of each packet.
fn look_up(table: &Table, burst: &[Tuple; BURST], mut then: impl FnMut(Index, Sense)) {
    let hashes = burst.map(|tuple| {
        let hash = table.hash(&tuple.key());
        table.prefetch_bucket(hash);
        hash
    });
    let places = hashes.map(|hash| {
        let index = table.candidate(hash).unwrap_or(Index::new(0));
        table.prefetch_connection(index, false);
        index
    });
    for ((index, hash), tuple) in places.into_iter().zip(hashes).zip(burst) {
        let key = tuple.key();
        match table.matches(index, &key) {
            Some(sense) => then(index, sense),
            None => {
                let (index, sense) = another_has_the_tag(table, hash, &key);
                then(index, sense);
            }
        }
    }
}

fn lookups(criterion: &mut Criterion) {
    let tuples = tuples();
    let bursts = bursts(&tuples);
    let mut group = criterion.benchmark_group("lookup, 1 M connections");
    group.throughput(Throughput::Elements((BURSTS * BURST) as u64));
    {
        let table = filled_table(&tuples, 0);
        group.bench_function("table, bursts of 32", |bencher| {
            bencher.iter(|| {
                let mut sum = 0_u64;
                for burst in &bursts {
                    look_up(&table, burst, |index, sense| sum += u64::from(index.number()) + sense as u64);
                }
                black_box(sum)
            });
        });
        group.bench_function("table, bursts of 32, and one write each", |bencher| {
            bencher.iter(|| {
                for burst in &bursts {
                    look_up(&table, burst, |index, sense| {
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
            });
        });
        group.bench_function("table, one at a time", |bencher| {
            bencher.iter(|| {
                let mut sum = 0_u64;
                for tuple in bursts.iter().flatten() {
                    let key = tuple.key();
                    if let Some((index, sense)) = table.find(table.hash(&key), &key) {
                        sum += u64::from(index.number()) + sense as u64;
                    }
                }
                black_box(sum)
            });
        });
    }
    let mut map = HashMap::with_capacity_and_hasher(tuples.len(), RandomState::with_seeds(1, 2, 3, 4));
    map.extend(tuples.iter().zip(0_u64..).map(|(tuple, id)| (tuple.canonical(), [id; 14])));
    group.bench_function("hashbrown", |bencher| {
        bencher.iter(|| {
            let mut sum = 0;
            for tuple in bursts.iter().flatten() {
                if let Some(value) = map.get(&tuple.canonical()) {
                    sum += value[0];
                }
            }
            black_box(sum)
        });
    });
    group.finish();
}

fn changes(criterion: &mut Criterion) {
    let tuples = tuples();
    let mut group = criterion.benchmark_group("insert + remove, among 1 M connections");
    group.throughput(Throughput::Elements((BURSTS * BURST) as u64));
    let mut random = fastrand::Rng::with_seed(SEED + 2);
    let mut fresh = move || -> Vec<[Tuple; BURST]> {
        (0..BURSTS).map(|_| [(); BURST].map(|()| Tuple::random(&mut random))).collect()
    };
    {
        let mut table = filled_table(&tuples, 4 * BURST as u32);
        let mut alive: Vec<Index> = table.scan().collect();
        let mut victims = fastrand::Rng::with_seed(SEED + 3);
        group.bench_function("table, bursts of 32", |bencher| {
            bencher.iter_batched_ref(
                &mut fresh,
                |bursts| {
                    for burst in bursts {
                        let victims = [(); BURST].map(|()| victims.usize(..alive.len()));
                        for &victim in &victims {
                            table.prefetch_connection(alive[victim], false);
                        }
                        let hashes = burst.each_ref().map(|tuple| table.hash(&tuple.key()));
                        hashes.iter().for_each(|&hash| table.prefetch_bucket(hash));
                        for ((&victim, &hash), tuple) in victims.iter().zip(&hashes).zip(burst) {
                            table.remove(alive[victim]);
                            let index = table.insert(hash, &tuple.key(), 1, Time::default());
                            alive[victim] = index.expect("a place was freed");
                        }
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
    let mut map = HashMap::with_capacity_and_hasher(tuples.len(), RandomState::with_seeds(1, 2, 3, 4));
    map.extend(tuples.iter().zip(0_u64..).map(|(tuple, id)| (tuple.canonical(), [id; 14])));
    let mut alive: Vec<Tuple> = tuples.iter().map(|tuple| tuple.canonical()).collect();
    let mut victims = fastrand::Rng::with_seed(SEED + 3);
    group.bench_function("hashbrown", |bencher| {
        bencher.iter_batched_ref(
            &mut fresh,
            |bursts| {
                for tuple in bursts.iter().flatten() {
                    let victim = victims.usize(..alive.len());
                    map.remove(&alive[victim]);
                    alive[victim] = tuple.canonical();
                    map.insert(alive[victim], [1; 14]);
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = lookups, changes
}
criterion_main!(benches);
