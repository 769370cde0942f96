//! What a capture yields: packets, one at a time or in batches.

use crate::wire::{Frame, Link};

/// How many packets a batch holds at most: one burst of the engine.
pub const BURST: usize = 32;

/// The longest packet that is read, in bytes. Far above what any link carries; a longer one is damage.
pub(super) const MAX_PACKET: u32 = 256 << 20;

/// An instant in nanoseconds since the Unix epoch, as a capture states it. Captures may go backwards.
///
/// 128 bits, because pcapng can state instants far outside the 584 years of 64 unsigned ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Timestamp(i128);

impl Timestamp {
    /// The instant `nanoseconds` after (or, if negative, before) the Unix epoch.
    pub const fn from_nanoseconds(nanoseconds: i128) -> Timestamp {
        Timestamp(nanoseconds)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanoseconds(self) -> i128 {
        self.0
    }

    /// Seconds since the Unix epoch, for people and JSON.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// One packet of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its number in the capture, from 1.
    pub number: u64,
    /// When it was captured. A pcapng Simple Packet Block has no time: it gets that of the packet before it.
    pub time: Timestamp,
    /// What `bytes` begins with.
    pub link: Link,
    /// The captured bytes, from the link header on.
    pub bytes: &'a [u8],
    /// Its length on the wire in bytes, at least `bytes.len()` (whatever the file states).
    pub wire_length: usize,
}

impl<'a> Packet<'a> {
    /// The packet as the engine takes it.
    pub fn frame(&self) -> Frame<'a> {
        Frame { bytes: self.bytes, wire_length: self.wire_length, link: self.link }
    }
}

/// Up to [`BURST`] consecutive packets, all valid together until the capture is asked for the next batch.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The reader's whole buffer, which the records point into.
    buffer: &'a [u8],
    records: &'a [Record],
    /// The number of the first packet.
    first: u64,
}

impl<'a> Batch<'a> {
    pub(super) fn new(buffer: &'a [u8], records: &'a [Record], first: u64) -> Batch<'a> {
        Batch { buffer, records, first }
    }

    /// How many packets it holds, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty: the end of a capture is None")]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The packet at `index` within the batch.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Packet<'a>> {
        let record = self.records.get(index)?;
        Some(Packet {
            number: self.first + index as u64,
            time: record.time,
            link: record.link,
            bytes: self.buffer.get(record.start..record.start + record.captured)?,
            wire_length: record.wire_length,
        })
    }

    /// The packets in the order of the capture.
    pub fn iter(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let batch = *self;
        (0..batch.len()).filter_map(move |index| batch.get(index))
    }
}

/// Where a packet lies, and what was stated of it. A decoder counts `start` from the bytes that it was given,
/// the capture then from the beginning of its buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) link: Link,
    pub(super) start: usize,
    pub(super) captured: usize,
    pub(super) wire_length: usize,
}

impl Record {
    /// What unused places of a batch hold.
    pub(super) const EMPTY: Record = Record {
        time: Timestamp::from_nanoseconds(0),
        link: Link::Ethernet,
        start: 0,
        captured: 0,
        wire_length: 0,
    };
}

/// What a decoder found at the beginning of the bytes that it was given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A whole packet; the next record begins `length` bytes further on.
    Packet { record: Record, length: usize },
    /// Nothing to yield: go on `length` bytes further on, which need not be there yet. `ends` tells whether the
    /// block ends there too; else the next step is about the rest of it.
    Skip { length: u64, ends: bool },
    /// It takes at least `needed` bytes from here to go on.
    Short { needed: usize, what: Awaited },
}

/// What a decoder waits for, for the message should it never come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A packet's record.
    Packet,
    /// Another pcapng block, or one whose type is not known yet.
    Block,
}
