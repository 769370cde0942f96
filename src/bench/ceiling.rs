//! The bare loop: the least that any connection tracker must do for a segment of an established connection.
//!
//! It tracks nothing. It parses a frame that was just written, hashes the tuple, fetches one line of an index and
//! one of a connection, compares the key, checks and moves the window, and stamps the entry. No checksum is
//! verified; there are no options, policies, timers, counters or readers, and an entry that its bucket had no
//! room for is not followed. Whatever tracks faster than this on the same machine leaves something out. So it is
//! the line to hold the engine against; `bench --html` measures both in one run.
//!
//! ```text
//!          write        hash          locate            judge
//!  32 ×    frame ─────► bucket ─────► connection ─────► window, stamp
//!                       fetched       fetched           (54 bytes each, ACKs, directions alternating)
//! ```
//!
//! Life cycle: [`Ceiling::measure`] makes the memory, fills it without frames, runs, and gives the memory back.

use std::io::{self, Write};

use memmap2::{Advice, MmapMut};
use serde::Serialize;

use super::ROUNDS;
use super::frames::{Flow, Random, SERVICE, Tuple};
use crate::processor::Processor;
use crate::shard::BURST;
use crate::table::prefetch;
use crate::time::SystemClock;

/// A line of the processor's cache.
const LINE: usize = 64;
type Line = [u8; LINE];

/// The room of a frame, as in a UMEM; and how many lie in memory before the first is written again.
const ROOM: usize = 2048;
const ROOMS: usize = 4096;
type Room = [u8; ROOM];

/// A bucket: eight tags of 16 bits, then eight numbers of connections.
const TAGS: usize = 8;
const NUMBERS_AT: usize = 2 * TAGS;
/// Connections for each bucket, at most: buckets are a power of two.
const PER_BUCKET: usize = 5;

/// A connection: both addresses and both ports, the originator's first, as they lie in a frame; for each endpoint what it
/// has sent, what it may send and its window; then when it ends and when it was seen last.
const ADDRESSES_AT: usize = 0;
const PORTS_AT: usize = 8;
const SIDES_AT: usize = 16;
const SIDE: usize = 12;
const EXPIRES_AT: usize = 40;
const SEEN_AT: usize = 44;

/// In a side: the end of what was sent, the end of what may be sent, the widest window.
const END: usize = 0;
const MOST: usize = 4;
const WINDOW: usize = 8;

/// How fast the bare loop is on this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceiling {
    /// Connections in its memory.
    pub flows: u32,
    /// Packets per second, the fastest of three rounds.
    pub packets_per_second: f64,
    /// The share of packets whose connection it found, from 0 to 1; the others' entries lay in another bucket.
    pub found: f64,
}

impl Ceiling {
    /// Runs the bare loop over `flows` connections, each round `packets` packets, rounded down to whole bursts.
    ///
    /// # Errors
    /// No memory.
    pub fn measure(flows: u32, packets: u64) -> io::Result<Ceiling> {
        let mut bare = BareLoop::new(flows)?;
        let bursts = packets / BURST as u64;
        let clock = SystemClock::new();
        let mut best = Ceiling { flows, packets_per_second: 0.0, found: 0.0 };
        for _ in 0..ROUNDS {
            let begun = clock.now();
            let found: u64 = (0..bursts).map(|number| u64::from(bare.burst(number as u32))).sum();
            let seconds = (clock.now().nanoseconds() - begun.nanoseconds()) as f64 / 1e9;
            let packets = (bursts * BURST as u64) as f64;
            if packets / seconds > best.packets_per_second {
                best =
                    Ceiling { flows, packets_per_second: packets / seconds, found: found as f64 / packets };
            }
        }
        Ok(best)
    }

    /// Writes a line of JSON: `{"record":"bare_loop","flows":…,"packets_per_second":…,"found":…}`.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let Ceiling { flows, packets_per_second, found } = *self;
        serde_json::to_writer(&mut *out, &Record { record: "bare_loop", flows, packets_per_second, found })?;
        writeln!(out)
    }

    /// Writes a line for a person.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Ceiling { flows, packets_per_second: rate, .. } = self;
        let (million, each) = (rate / 1e6, 1e9 / rate);
        writeln!(
            out,
            "{:<12} {flows:>10} connections  {million:>6.1} M packets/s  {each:>6.1} ns/packet",
            "bare loop"
        )
    }
}

#[derive(Serialize)]
struct Record {
    record: &'static str,
    flows: u32,
    packets_per_second: f64,
    found: f64,
}

/// The loop's memory: an index, connections, and frames.
struct BareLoop {
    buckets: MmapMut,
    connections: MmapMut,
    frames: MmapMut,
    /// The room of the next frame.
    room: usize,
    flows: u32,
    random: Random,
    processor: Processor,
}

impl BareLoop {
    /// `flows` connections, as a handshake would leave them.
    fn new(flows: u32) -> io::Result<BareLoop> {
        let count = flows as usize;
        let buckets = count.div_ceil(PER_BUCKET).next_power_of_two();
        let mut bare = BareLoop {
            buckets: reserve(buckets * LINE)?,
            connections: reserve(count * LINE)?,
            frames: reserve(ROOMS * ROOM)?,
            room: 0,
            flows,
            random: Random::new(),
            processor: Processor::this(),
        };
        for number in 0..flows {
            bare.insert(number);
        }
        Ok(bare)
    }

    fn insert(&mut self, number: u32) {
        let (originator, responder) = endpoints_of(number);
        let (buckets, _) = self.buckets.as_chunks_mut::<LINE>();
        let (connections, _) = self.connections.as_chunks_mut::<LINE>();
        let connection = &mut connections[number as usize];
        put(connection, ADDRESSES_AT, (originator >> 16) as u32);
        put(connection, ADDRESSES_AT + 4, (responder >> 16) as u32);
        put(connection, PORTS_AT, originator as u16);
        put(connection, PORTS_AT + 2, responder as u16);
        for side in [SIDES_AT, SIDES_AT + SIDE] {
            put(connection, side + END, 101_u32);
            put(connection, side + MOST, 65_535_u32);
            put(connection, side + WINDOW, 65_535_u32);
        }
        let hash = hash(originator, responder);
        let mut at = home(hash, buckets.len());
        loop {
            let slot = first_slot(&buckets[at], 0);
            if slot < TAGS {
                put(&mut buckets[at], 2 * slot, tag(hash).to_le());
                put(&mut buckets[at], NUMBERS_AT + 4 * slot, number);
                return;
            }
            at = (at + 1) % buckets.len();
        }
    }

    /// One burst, begun at `tick`. Returns how many of its packets found their connections and fitted.
    #[inline]
    fn burst(&mut self, tick: u32) -> u32 {
        let (buckets, _) = self.buckets.as_chunks::<LINE>();
        let (connections, _) = self.connections.as_chunks_mut::<LINE>();
        let (rooms, _) = self.frames.as_chunks_mut::<ROOM>();
        self.room = if self.room + BURST < ROOMS { self.room + BURST } else { 0 };
        let Some(rooms) = rooms[self.room..].first_chunk_mut::<BURST>() else { return 0 };

        // A copy, since frames are written in between, which would have it go through memory for each.
        let mut random = self.random.clone();
        let flows = self.flows;
        self.processor.run(
            #[inline(always)]
            || {
                for (place, room) in rooms.iter_mut().enumerate() {
                    write(room, random.below(flows), place % 2 == 1);
                }
            },
        );
        self.random = random;
        let mut hashes = [0; BURST];
        let mut numbers = [u32::MAX; BURST];
        self.processor.run(
            #[inline(always)]
            || {
                for (slot, room) in hashes.iter_mut().zip(rooms.iter()) {
                    let Some((source, destination)) = read(room) else { continue };
                    *slot = hash(source, destination);
                }
                for &hash in &hashes {
                    prefetch(buckets, home(hash, buckets.len()) as u32);
                }
                for (number, &hash) in numbers.iter_mut().zip(&hashes) {
                    *number = candidate(&buckets[home(hash, buckets.len())], tag(hash));
                    prefetch(connections, *number);
                }
            },
        );
        let mut found = 0;
        self.processor.run(
            #[inline(always)]
            || {
                for (&number, room) in numbers.iter().zip(rooms.iter()) {
                    let Some(connection) = connections.get_mut(number as usize) else { continue };
                    found += u32::from(judge(connection, room, tick));
                }
            },
        );
        found
    }
}

/// Zeroed memory of so many bytes, in huge pages where there are any.
fn reserve(size: usize) -> io::Result<MmapMut> {
    let memory = MmapMut::map_anon(size)?;
    // Without huge pages it is slower and just as right.
    let _ = memory.advise(Advice::HugePage);
    Ok(memory)
}

/// A number as memory holds it.
trait Word<const N: usize> {
    fn of(bytes: [u8; N]) -> Self;
    fn bytes(self) -> [u8; N];
}

macro_rules! word {
    ($($word:ty),*) => {$(
        impl Word<{ size_of::<$word>() }> for $word {
            #[inline(always)]
            fn of(bytes: [u8; size_of::<$word>()]) -> $word {
                <$word>::from_ne_bytes(bytes)
            }

            #[inline(always)]
            fn bytes(self) -> [u8; size_of::<$word>()] {
                self.to_ne_bytes()
            }
        }
    )*};
}
word!(u16, u32, u64, u128);

/// The number at a place of a line or a frame. Where it lies is a constant, and no check is left of it.
#[inline(always)]
fn get<W: Word<N>, const N: usize, const M: usize>(bytes: &[u8; M], at: usize) -> W {
    let mut word = [0; N];
    word.copy_from_slice(&bytes[at..at + N]);
    W::of(word)
}

#[inline(always)]
fn put<W: Word<N>, const N: usize, const M: usize>(bytes: &mut [u8; M], at: usize, word: W) {
    bytes[at..at + N].copy_from_slice(&word.bytes());
}

/// An address and a port, each as it lies in a frame.
#[inline(always)]
fn endpoint(address: u32, port: u16) -> u64 {
    u64::from(address) << 16 | u64::from(port)
}

/// Both endpoints of the engine's own connection of that number.
#[inline(always)]
fn endpoints_of(number: u32) -> (u64, u64) {
    let Tuple { originator, responder, port } = Flow(number).tuple();
    (endpoint(originator.to_be(), port.to_be()), endpoint(responder.to_be(), SERVICE.to_be()))
}

/// The same for both directions.
#[inline(always)]
fn hash(source: u64, destination: u64) -> u64 {
    const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
    let (lower, upper) = (source.min(destination), source.max(destination));
    let product = u128::from(lower ^ KEYS[0]) * u128::from(upper ^ KEYS[1]);
    (product >> 64) as u64 ^ product as u64
}

/// The bucket of a hash; their number is a power of two.
#[inline(always)]
fn home(hash: u64, buckets: usize) -> usize {
    hash as usize & (buckets - 1)
}

/// Never zero, which marks an empty slot.
#[inline(always)]
fn tag(hash: u64) -> u16 {
    (hash >> 48) as u16 | 1
}

/// The first slot of a bucket with this tag, all eight compared at once; behind the last one if there is none.
#[inline(always)]
fn first_slot(bucket: &Line, tag: u16) -> usize {
    let (tags, _) = bucket.as_chunks::<2>();
    // A byte of ones for each that fits, which the compiler makes one comparison and one move of.
    let mut fits = [0; TAGS];
    for (fit, bytes) in fits.iter_mut().zip(tags) {
        *fit = u8::from(u16::from_le_bytes(*bytes) == tag);
    }
    u64::from_le_bytes(fits).trailing_zeros() as usize / 8
}

/// The connection whose tag this is, or [`u32::MAX`].
#[inline(always)]
fn candidate(bucket: &Line, tag: u16) -> u32 {
    let slot = first_slot(bucket, tag);
    if slot < TAGS { get(bucket, NUMBERS_AT + 4 * slot) } else { u32::MAX }
}

/// A bare ACK, all but MAC addresses and checksums.
#[inline(always)]
fn write(room: &mut Room, number: u32, back: bool) {
    let (originator, responder) = endpoints_of(number);
    let (source, destination) = if back { (responder, originator) } else { (originator, responder) };
    room[12..14].copy_from_slice(&[8, 0]);
    room[14..16].copy_from_slice(&[0x45, 0]);
    room[16..18].copy_from_slice(&40_u16.to_be_bytes());
    room[23] = 6;
    put(room, 26, (source >> 16) as u32);
    put(room, 30, (destination >> 16) as u32);
    put(room, 34, source as u16);
    put(room, 36, destination as u16);
    put(room, 38, 101_u32.to_be());
    put(room, 42, 101_u32.to_be());
    room[46..48].copy_from_slice(&[0x50, 0x10]);
    put(room, 48, u16::MAX);
}

/// Source and destination of a TCP segment in IPv4 without options.
#[inline(always)]
fn read(room: &Room) -> Option<(u64, u64)> {
    if room[12..15] != [8, 0, 0x45] || room[23] != 6 {
        return None;
    }
    Some((endpoint(get(room, 26), get(room, 34)), endpoint(get(room, 30), get(room, 36))))
}

/// Whether sequence number `a` lies before `b`.
#[inline(always)]
const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Compares the key, checks and moves the window, stamps the entry; false where the segment does not fit.
#[inline(always)]
fn judge(connection: &mut Line, room: &Room, tick: u32) -> bool {
    // Addresses lie together in a frame as they do in a connection, and so do ports: one comparison each.
    let (addresses, ports): (u64, u32) = (get(room, 26), get(room, 34));
    let (held, held_ports): (u64, u32) = (get(connection, ADDRESSES_AT), get(connection, PORTS_AT));
    let is_original = (addresses ^ held) | u64::from(ports ^ held_ports) == 0;
    if !is_original && (addresses.rotate_left(32) ^ held) | u64::from(ports.rotate_left(16) ^ held_ports) != 0
    {
        return false;
    }
    let is_reply = usize::from(!is_original);
    let (from, to) = (SIDES_AT + SIDE * is_reply, SIDES_AT + SIDE * (1 - is_reply));
    let (seq, ack) = (u32::from_be(get(room, 38)), u32::from_be(get(room, 42)));
    let window = u32::from(u16::from_be(get(room, 48)));
    let length = u32::from(u16::from_be(get(room, 16)));
    let end = seq.wrapping_add(length).wrapping_sub(40);

    let sent: u32 = get(connection, from + END);
    let floor = sent.wrapping_sub(get(connection, to + WINDOW));
    if before(get(connection, from + MOST), end)
        || before(seq, floor)
        || before(get(connection, to + END), ack)
    {
        return false;
    }
    if before(sent, end) {
        put(connection, from + END, end);
    }
    let most = ack.wrapping_add(window);
    if before(get(connection, to + MOST), most) {
        put(connection, to + MOST, most);
    }
    if window > get(connection, from + WINDOW) {
        put(connection, from + WINDOW, window);
    }
    put(connection, SEEN_AT, tick);
    put(connection, EXPIRES_AT, tick.wrapping_add(1000));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Displaced entries are all that it may miss: at five for each of eight slots one in fifty is the most.
    #[test]
    fn it_finds_nearly_all_connections_whatever_their_number() {
        for flows in [2, 1_000, 40_960] {
            let mut bare = BareLoop::new(flows).unwrap();
            let found: u32 = (0..1_000).map(|tick| bare.burst(tick)).sum();
            assert!(f64::from(found) > 0.97 * (1_000 * BURST) as f64, "{found} with {flows} connections");
        }
    }

    #[test]
    fn a_packet_of_either_direction_opens_the_other_sides_window_and_stamps_the_entry() {
        for (back, side) in [(false, SIDES_AT + SIDE), (true, SIDES_AT)] {
            let mut bare = BareLoop::new(7).unwrap();
            let mut room = [0; ROOM];
            write(&mut room, 3, back);
            let (connections, _) = bare.connections.as_chunks_mut::<LINE>();
            assert!(judge(&mut connections[3], &room, 9));
            assert_eq!(get::<u32, 4, LINE>(&connections[3], side + MOST), 101 + 65_535);
            assert_eq!(get::<u32, 4, LINE>(&connections[3], SEEN_AT), 9);
            assert!(!judge(&mut connections[4], &room, 9), "it is another connection's");
        }
    }

    /// The slot that a packet comes to is its tag's, not yet its own: two tuples may share a tag.
    #[test]
    fn a_packet_that_goes_elsewhere_is_not_counted_though_its_source_is_the_connections() {
        let mut bare = BareLoop::new(1).unwrap();
        let (connections, _) = bare.connections.as_chunks_mut::<LINE>();
        let mut room = [0; ROOM];
        write(&mut room, 0, false);
        assert!(judge(&mut connections[0], &room, 9));
        for place in [30, 33, 36, 37] {
            let mut elsewhere = room;
            elsewhere[place] ^= 1;
            assert!(!judge(&mut connections[0], &elsewhere, 10), "byte {place}");
        }
        assert_eq!(get::<u32, 4, LINE>(&connections[0], SEEN_AT), 9, "nor does it touch the entry");
    }

    #[test]
    fn what_lies_outside_of_the_window_is_refused() {
        let mut bare = BareLoop::new(1).unwrap();
        let (connections, _) = bare.connections.as_chunks_mut::<LINE>();
        for (seq, ack) in [(70_000_u32, 101_u32), (101, 102), (101_u32.wrapping_sub(65_536), 101)] {
            let mut room = [0; ROOM];
            write(&mut room, 0, false);
            put(&mut room, 38, seq.to_be());
            put(&mut room, 42, ack.to_be());
            assert!(!judge(&mut connections[0], &room, 9), "{seq} {ack}");
        }
    }
}
