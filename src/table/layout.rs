//! How a mapping is divided, and what its first bytes say about it.
//!
//! ```text
//!  offset 0
//!  ┌────────┬─────────┬───────┬─────────────────┬───────────┬──────────────────────┐
//!  │ header │ buckets │ wheel │ connections     │ annexes   │ IPv6 addresses       │
//!  │ 256 B  │ 64 B    │ 4 B   │ 128 B           │ 112 B     │ 32 B                 │
//!  │        │ per 7   │ each  │ per connection  │ per 16    │ per connection       │
//!  └────────┴─────────┴───────┴─────────────────┴───────────┴──────────────────────┘
//! ```
//!
//! The addresses come last, so that nothing behind them keeps their pages: as long as only IPv4 is
//! tracked they are reserved but never become memory.
//!
//! The header holds whatever a process needs that finds the mapping already filled: it can walk the
//! connections up to the high-water mark, build a new index and new free lists, and carry on. Therefore
//! nothing in the mapping is a pointer.

use std::fmt;
use std::mem::size_of;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::annex::Annex;
use super::bucket::{Bucket, LEAST_BUCKETS};
use super::connection::{Addresses, Connection};
use super::key::HashKeys;
use super::memory::{Extent, Zeroed};

/// The most connections one table can hold: an entry of the index has 28 bits for a place.
pub const MAX_CONNECTIONS: u32 = 1 << 28;

/// Entries per bucket when the table is full: of 10 slots 7. Then 3 % of all entries are displaced; with 8
/// it would be 6 % (and a search might just fail), for one byte less per connection.
const ENTRIES_PER_BUCKET: u32 = 7;
/// Connections that share one annex's worth of memory.
const CONNECTIONS_PER_ANNEX: u32 = 16;
/// Small tables have at least this many annexes, or one for every connection.
const LEAST_ANNEXES: u32 = 64;
/// Granularity of the mapping.
const PAGE: usize = 4096;

/// Where everything lies in a mapping for a given number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub(super) connections: Extent,
    pub(super) buckets: Extent,
    pub(super) wheel: Extent,
    pub(super) annexes: Extent,
    pub(super) addresses: Extent,
    size: usize,
}

/// Why there is no layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError {
    /// The number of connections is zero or above [`MAX_CONNECTIONS`].
    Connections {
        /// What was asked for.
        asked: u32,
    },
    /// The memory does not hold a single connection.
    Memory {
        /// Bytes that were offered.
        offered: u64,
        /// Bytes that one connection needs.
        least: u64,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::Connections { asked } => {
                write!(f, "a table of {asked} connections: from 1 to {MAX_CONNECTIONS} are possible")
            }
            LayoutError::Memory { offered, least } => {
                write!(f, "a table in {offered} bytes: one connection takes {least}")
            }
        }
    }
}

impl std::error::Error for LayoutError {}

impl Layout {
    /// The layout for exactly `connections`, with `wheel_heads` words for the timing wheel.
    pub fn for_connections(connections: u32, wheel_heads: u32) -> Result<Layout, LayoutError> {
        if connections == 0 || connections > MAX_CONNECTIONS {
            return Err(LayoutError::Connections { asked: connections });
        }
        let buckets = connections.div_ceil(ENTRIES_PER_BUCKET).max(LEAST_BUCKETS);
        let annexes = connections.div_ceil(CONNECTIONS_PER_ANNEX).max(LEAST_ANNEXES.min(connections));
        let mut end = size_of::<Header>();
        let mut place = |length: u32, size: usize, alignment: usize| {
            let extent = Extent { offset: end.next_multiple_of(alignment), length: length as usize };
            end = extent.offset + extent.length * size;
            extent
        };
        Ok(Layout {
            buckets: place(buckets, size_of::<Bucket>(), align_of::<Bucket>()),
            wheel: place(wheel_heads, size_of::<AtomicU32>(), align_of::<AtomicU32>()),
            connections: place(connections, size_of::<Connection>(), align_of::<Connection>()),
            annexes: place(annexes, size_of::<Annex>(), align_of::<Annex>()),
            addresses: place(connections, size_of::<Addresses>(), align_of::<Addresses>()),
            size: end.next_multiple_of(PAGE),
        })
    }

    /// The layout for as many connections as fit into `bytes`, were they all IPv6.
    pub fn for_memory(bytes: u64, wheel_heads: u32) -> Result<Layout, LayoutError> {
        let fits = |layout: &Layout| layout.size as u64 <= bytes;
        let mut best = Layout::for_connections(1, wheel_heads)?;
        if !fits(&best) {
            return Err(LayoutError::Memory { offered: bytes, least: best.size as u64 });
        }
        // The size grows with the number: bisect between one that fits and one that is out of reach.
        let (mut low, mut high) = (1, MAX_CONNECTIONS);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let layout = Layout::for_connections(middle, wheel_heads)?;
            if fits(&layout) {
                (low, best) = (middle, layout);
            } else {
                high = middle - 1;
            }
        }
        Ok(best)
    }

    /// The number of connections it has room for.
    pub const fn capacity(&self) -> u32 {
        self.connections.length as u32
    }

    /// The number of annexes it has room for.
    pub const fn annexes(&self) -> u32 {
        self.annexes.length as u32
    }

    /// Bytes that the mapping reserves.
    pub const fn mapped_bytes(&self) -> u64 {
        self.size as u64
    }
}

const _: () = assert!(usize::BITS == 64, "extents of up to 2^28 connections need 64-bit sizes");

/// The mapping's first bytes.
#[derive(Debug, Default)]
#[repr(C, align(256))]
pub(super) struct Header {
    magic: AtomicU64,
    layout_version: AtomicU64,
    capacity: AtomicU64,
    /// Offset and length of buckets, wheel, connections, annexes, addresses.
    extents: [[AtomicU64; 2]; 5],
    hash_keys: [AtomicU64; 4],
    /// Live connections. Written by the owner, for readers a hint.
    live: AtomicU32,
    /// Places from here on have never been used. It only grows; written by the owner.
    high_water: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Header>() == 256);

#[allow(unsafe_code, reason = "a marker for the memory island")]
// SAFETY: atomic integers only, for which zero is a value.
unsafe impl Zeroed for Header {}

/// `LASTACK` and a zero, as bytes in memory.
const MAGIC: u64 = u64::from_ne_bytes(*b"LASTACK\0");
/// Changes whenever a region's place or an element's words change their meaning.
const LAYOUT_VERSION: u64 = 3;

impl Header {
    /// Where the header itself lies.
    pub(super) const EXTENT: Extent = Extent { offset: 0, length: 1 };

    /// Describes a fresh mapping.
    pub(super) fn describe(&self, layout: &Layout, HashKeys(keys): HashKeys) {
        self.magic.store(MAGIC, Relaxed);
        self.layout_version.store(LAYOUT_VERSION, Relaxed);
        self.capacity.store(u64::from(layout.capacity()), Relaxed);
        let extents = [layout.buckets, layout.wheel, layout.connections, layout.annexes, layout.addresses];
        for ([offset, length], extent) in self.extents.iter().zip(extents) {
            offset.store(extent.offset as u64, Relaxed);
            length.store(extent.length as u64, Relaxed);
        }
        for (held, key) in self.hash_keys.iter().zip(keys) {
            held.store(key, Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn live(&self) -> u32 {
        self.live.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn set_live(&self, live: u32) {
        self.live.store(live, Relaxed);
    }

    /// Relaxed is enough for readers: what a place holds is guarded by its own version, and a place
    /// whose insertion has not arrived yet still reads as zero, which is free.
    #[inline(always)]
    pub(super) fn high_water(&self) -> u32 {
        self.high_water.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn set_high_water(&self, place: u32) {
        self.high_water.store(place, Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_leaves_three_slots_of_ten_free() {
        for connections in [1, 100, 10_000, 1_000_000, MAX_CONNECTIONS] {
            let layout = Layout::for_connections(connections, 0).expect("a layout");
            assert!(layout.buckets.length as u64 * 7 >= u64::from(connections));
            assert!(layout.buckets.length >= LEAST_BUCKETS as usize);
        }
    }

    #[test]
    fn annexes_are_one_in_sixteen_but_a_few_at_least() {
        let annexes = |connections| Layout::for_connections(connections, 0).expect("a layout").annexes();
        assert_eq!([1, 63, 64, 1024, 1025, 16_000].map(annexes), [1, 63, 64, 64, 65, 1000]);
    }

    #[test]
    fn memory_is_used_up_to_the_last_connection_that_fits() {
        for bytes in (100_000..200_000).step_by(1_000).chain([1 << 20, 2 << 30, 1 << 45]) {
            let layout = Layout::for_memory(bytes, 1000).expect("a layout");
            assert!(layout.mapped_bytes() <= bytes);
            if layout.capacity() < MAX_CONNECTIONS {
                let next = Layout::for_connections(layout.capacity() + 1, 1000).expect("a layout");
                assert!(next.mapped_bytes() > bytes);
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_could() {
        assert_eq!(Layout::for_connections(0, 0), Err(LayoutError::Connections { asked: 0 }));
        assert!(Layout::for_connections(u32::MAX, 0).is_err());
        let least = Layout::for_connections(1, 0).expect("a layout").mapped_bytes();
        assert_eq!(Layout::for_memory(least - 1, 0), Err(LayoutError::Memory { offered: least - 1, least }));
        assert_eq!(Layout::for_memory(least, 0).map(|layout| layout.mapped_bytes()), Ok(least));
    }
}
