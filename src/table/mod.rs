//! Where connections lie in memory, and how a packet finds its own.
//!
//! ```text
//!             ┌ one line ──────────────┐      ┌ two lines ────────────────────────────┐
//!  key ─hash─▶│ bucket: 10 tags,       │─────▶│ connection: tuple, tracker, deadline  │──▶ annex
//!             │ 10 places              │place │ counters, stamps, links               │   (few)
//!             └────────────────────────┘      └───────────────────────────────────────┘
//!                                                    │ same place
//!                                                    └──▶ IPv6 addresses (IPv6 only)
//! ```
//!
//! Everything lies in one mapping ([`Layout`]) and is named by its place ([`Index`]), never by a
//! pointer. The table knows nothing of protocols: it keeps keys, words that a tracker understands,
//! counters, and the links of a timing wheel.
//!
//! # Life cycle
//!
//! [`Table::new`] reserves all memory at once; none of it is real before it is used. [`Table::insert`]
//! takes the place freed last, else the first that was never used; [`Table::remove`] gives it back. In
//! between every packet goes the way below, each step over a whole burst, so that the memory of one
//! step arrives while the others of the burst are looked at:
//!
//! 1. [`Table::hash`], [`Table::prefetch_bucket`]
//! 2. [`Table::candidate`], [`Table::prefetch_connection`]
//! 3. [`Table::matches`] (else [`Table::find`]), then one [`Connection::write`]
//!
//! # Who may call
//!
//! One thread owns a table and is the only one to change it: what changes the index takes `&mut self`;
//! [`Connection::write`] takes `&self`, because connections are made of atomics, and is the owner's all
//! the same. Any other thread reads through a [`Reader`]. Pairing of writes and reads: `version.rs`.
//!
//! | file | concern |
//! |---|---|
//! | `key.rs`, `identity.rs` | what is looked up, its keyed hash, and how it is compared |
//! | `bucket.rs` | the index |
//! | `connection.rs`, `annex.rs` | what is kept |
//! | `version.rs`, `reader.rs` | reading while it is written |
//! | `layout.rs`, `memory.rs` | the mapping and its parts |

mod annex;
mod bucket;
mod connection;
mod identity;
mod key;
mod layout;
mod memory;
mod reader;
mod sync;
mod version;

#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use annex::Annexes;
use bucket::Buckets;
use connection::Addresses;
use key::KeyedHash;
use layout::Header;
use memory::{Memory, Shared};

pub use annex::Annex;
pub use connection::{Connection, Sense, Writer};
pub use key::{Hash, HashKeys, Key};
pub use layout::{Layout, LayoutError, MAX_CONNECTIONS};
pub use memory::prefetch;
pub use reader::{Endpoints, Reader, Snapshot};

use crate::time::Time;

/// The place of a connection in its table.
///
/// It names whatever connection is there: after a removal that is none or another one. The methods that
/// take it panic where it lies outside of the table, which only an index of another table can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(u32);

impl Index {
    /// No place of any table.
    pub const NOWHERE: Index = Index(u32::MAX);

    /// The place with this number; to restore what [`Index::number`] gave.
    #[inline(always)]
    pub const fn new(number: u32) -> Index {
        Index(number)
    }

    /// The place's number, below the capacity and therefore never above [`MAX_CONNECTIONS`].
    #[inline(always)]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The place behind this one, for a hand that moves on ([`Table::next_live`] wraps).
    #[inline(always)]
    pub const fn following(self) -> Index {
        Index(self.0.wrapping_add(1))
    }
}

/// Why a connection could not be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Full {
    /// Every place is taken.
    Capacity,
    /// All sixteen buckets in which it would be looked for are full: a matter of luck that does not come,
    /// or of an attacker who knows the hash's keys.
    Probes,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Full::Capacity => "every place of the table is taken",
            Full::Probes => "every bucket of the search is full",
        })
    }
}

impl std::error::Error for Full {}

/// A connection table; the module says how it is used.
#[derive(Debug)]
pub struct Table {
    hash: KeyedHash,
    buckets: Buckets,
    connections: Shared<Connection>,
    addresses: Shared<Addresses>,
    annexes: Annexes,
    wheel: Shared<AtomicU32>,
    header: Shared<Header>,
    /// The place freed last, plus one; 0 if none is free below the high-water mark. The others follow
    /// through [`Connection::next`], in the same notation.
    free: u32,
    layout: Layout,
    memory: Arc<Memory>,
}

impl Table {
    /// An empty table; fails where the operating system does not give it the memory.
    pub fn new(layout: Layout, keys: HashKeys) -> io::Result<Table> {
        let size = usize::try_from(layout.mapped_bytes()).map_err(io::Error::other)?;
        let mut carver = Memory::reserve(size)?;
        let header: Shared<Header> = carver.shared(Header::EXTENT);
        header[0].describe(&layout, keys);
        Ok(Table {
            hash: KeyedHash::new(keys),
            buckets: Buckets::new(carver.owned(layout.buckets)),
            wheel: carver.shared(layout.wheel),
            connections: carver.shared(layout.connections),
            annexes: Annexes::new(carver.shared(layout.annexes)),
            addresses: carver.shared(layout.addresses),
            header,
            free: 0,
            layout,
            memory: Arc::clone(carver.memory()),
        })
    }

    /// The most connections it can hold.
    pub fn capacity(&self) -> u32 {
        self.layout.capacity()
    }

    /// The number of connections it holds.
    #[inline]
    pub fn len(&self) -> u32 {
        self.header[0].live()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of address space that it has reserved.
    pub fn mapped_bytes(&self) -> u64 {
        self.layout.mapped_bytes()
    }

    /// Bytes of memory that it really holds; asks the operating system page by page, and fails if that
    /// does.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        self.memory.resident()
    }

    /// The hash of a key; the same for both directions.
    #[inline(always)]
    pub fn hash(&self, key: &Key) -> Hash {
        self.hash.hash(key)
    }

    /// Has the processor fetch what [`Table::candidate`] will read.
    #[inline(always)]
    pub fn prefetch_bucket(&self, hash: Hash) {
        self.buckets.prefetch(hash);
    }

    /// The place where a connection of this hash most likely is, told without looking there. `None` is
    /// certain; a place still has to be compared by [`Table::matches`].
    #[inline(always)]
    pub fn candidate(&self, hash: Hash) -> Option<Index> {
        self.buckets.candidate(hash).map(Index)
    }

    /// Has the processor fetch what [`Table::matches`] and the packet behind it will touch.
    #[inline(always)]
    pub fn prefetch_connection(&self, index: Index, is_v6: bool) {
        prefetch(&self.connections, index.0);
        if is_v6 {
            prefetch(&self.addresses, index.0);
        }
    }

    /// Whether `key` belongs to the connection at this place, and in which sense. No free place matches, nor does
    /// [`Index::NOWHERE`].
    ///
    /// A key whose two endpoints are the same goes forward.
    #[inline(always)]
    pub fn matches(&self, index: Index, key: &Key) -> Option<Sense> {
        self.connections.get(index.0 as usize)?.matches(|| &self.addresses[index.0 as usize], key)
    }

    /// The connection that `key` belongs to, and in which sense.
    #[inline]
    pub fn find(&self, hash: Hash, key: &Key) -> Option<(Index, Sense)> {
        self.buckets.find(hash, |place| Some((Index(place), self.matches(Index(place), key)?)))
    }

    /// Adds a connection whose originator is `key`'s source. Its counters, tracker words, deadline,
    /// links, note and round trip are zero; `id` has 48 bits.
    ///
    /// The caller has looked it up: a key that is there already would be there twice. Fails where there
    /// is no room, and then changes nothing.
    pub fn insert(&mut self, hash: Hash, key: &Key, id: u64, started: Time) -> Result<Index, Full> {
        let fresh = self.header[0].high_water();
        let place = match self.free.checked_sub(1) {
            Some(freed) => freed,
            None if fresh < self.capacity() => fresh,
            None => return Err(Full::Capacity),
        };
        self.buckets.insert(hash, place).map_err(|_| Full::Probes)?;
        let connection = &self.connections[place as usize];
        if place == fresh {
            self.header[0].set_high_water(fresh + 1);
        } else {
            self.free = connection.next();
            // The next one to be taken may have been freed long ago: `free` is one above its place.
            prefetch(&self.connections, self.free.wrapping_sub(1));
        }
        connection.occupy(key, &self.addresses[place as usize], id, started);
        self.header[0].set_live(self.len() + 1);
        Ok(Index(place))
    }

    /// Has the processor fetch what [`Table::remove`] will touch beside the connection itself, which is read.
    #[inline]
    pub fn prefetch_removal(&self, index: Index) {
        let hash = self.hash_of(index);
        self.buckets.prefetch(hash);
        self.buckets.prefetch_beside(hash);
    }

    /// Has the processor fetch what [`Table::insert`] will touch beside [`Table::prefetch_bucket`]'s.
    #[inline(always)]
    pub fn prefetch_insertion(&self, hash: Hash) {
        self.buckets.prefetch_beside(hash);
    }

    /// Removes the connection at this place, and its annex if it has one; does nothing where there is
    /// none. Its links are overwritten: take it off the timing wheel first.
    pub fn remove(&mut self, index: Index) {
        let connection = &self.connections[index.0 as usize];
        if !connection.is_live() {
            return;
        }
        let hash = self.hash_of(index);
        let was_there = self.buckets.remove(hash, index.0);
        debug_assert!(was_there, "a live connection is in the index");
        self.annexes.free(connection.annex());
        connection.vacate();
        connection.set_next(self.free);
        self.free = index.0 + 1;
        self.header[0].set_live(self.len() - 1);
    }

    /// Has a new connection of the same two endpoints take this place, `turned` where its originator is the responder
    /// of the one before; that ends, and its annex is taken back. As after [`Table::insert`], but that it cannot
    /// fail. Take the one before off the timing wheel first.
    pub fn succeed(&mut self, index: Index, turned: bool, id: u64, started: Time) {
        self.annex_free(index);
        let place = index.0 as usize;
        self.with_key_of(index, |key| {
            let key = if turned { key.reversed() } else { *key };
            self.connections[place].occupy(&key, &self.addresses[place], id, started);
        });
    }

    /// The hash that the live connection at this place was inserted under.
    fn hash_of(&self, index: Index) -> Hash {
        self.with_key_of(index, |key| self.hash(key))
    }

    /// What `act` makes of the key of the live connection at this place, as its originator's packets bear it.
    fn with_key_of<R>(&self, index: Index, act: impl FnOnce(&Key) -> R) -> R {
        let identity = self.connections[index.0 as usize].identity();
        if !identity.is_v6() {
            return act(&Key { identity, v6: None });
        }
        act(&Key { identity, v6: Some(self.addresses[index.0 as usize].get()) })
    }

    /// The connection at this place; free places show what was left there.
    #[inline(always)]
    pub fn connection(&self, index: Index) -> &Connection {
        &self.connections[index.0 as usize]
    }

    /// Addresses and ports of the connection at this place.
    pub fn endpoints(&self, index: Index) -> Endpoints {
        Endpoints::of(self.connection(index).identity(), &self.addresses[index.0 as usize])
    }

    /// Every live connection, in the order of places.
    pub fn scan(&self) -> impl Iterator<Item = Index> + '_ {
        self.used().enumerate().filter(|(_, place)| place.is_live()).map(|(number, _)| Index(number as u32))
    }

    /// The first live place from `from` on, looking at no more than `at_most` places; behind the last
    /// place ever used comes the first.
    ///
    /// For a hand that samples: go on from [`Index::following`] of what was found.
    pub fn next_live(&self, from: Index, at_most: u32) -> Option<Index> {
        let used = self.header[0].high_water();
        let from = if from.0 < used { from.0 } else { 0 };
        let ahead = (from..used).chain(0..from).take(at_most as usize);
        ahead.map(Index).find(|&index| self.connection(index).is_live())
    }

    /// The places that have ever been used: what lies behind them is untouched memory.
    fn used(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().take(self.header[0].high_water() as usize)
    }

    /// The annex of the connection at this place, with all words zero if it had none before. `None` if
    /// all annexes are taken or no connection is there.
    pub fn annex_allocate(&mut self, index: Index) -> Option<&Annex> {
        let connection = &self.connections[index.0 as usize];
        if !connection.is_live() {
            return None;
        }
        let mut number = connection.annex();
        if number == 0 {
            number = self.annexes.allocate()?;
            connection.write(|writer| writer.set_annex(number));
        }
        self.annexes.get(number)
    }

    /// The annex of the connection at this place, if it has one.
    #[inline]
    pub fn annex(&self, index: Index) -> Option<&Annex> {
        self.annexes.get(self.connection(index).annex())
    }

    /// Takes back the annex of the connection at this place, if it has one.
    pub fn annex_free(&mut self, index: Index) {
        let connection = &self.connections[index.0 as usize];
        let number = connection.annex();
        if number != 0 {
            connection.write(|writer| writer.set_annex(0));
            self.annexes.free(number);
        }
    }

    /// The words that the layout reserved for the timing wheel: zero at first, opaque to the table.
    #[inline]
    pub fn wheel_heads(&self) -> &[AtomicU32] {
        &self.wheel
    }

    /// A view for other threads.
    pub fn reader(&self) -> Reader {
        Reader {
            header: self.header.clone(),
            connections: self.connections.clone(),
            addresses: self.addresses.clone(),
        }
    }
}
