//! One connection as it lies in memory: two cache lines, all of it atomics.
//!
//! ```text
//!       0        4        8                16                24                              64
//!       ├────────┼────────┼────────────────┼────────────────┼──── … ─────────────────────────┤
//! hot   │version │deadline│ addresses a, b │ ports, kind    │ tracker: five opaque words     │
//!       └────────┴────────┴────────────────┴────────────────┴──── … ─────────────────────────┘
//!       64       72       80       88       96        104      112      120   124            128
//!       ├────────┼────────┼────────┼────────┼─────────┼────────┼────────┼─────┼──────────────┤
//! near  │bytes a │bytes b │pack. a │pack. b │last seen│started │ id     │next │ previous     │
//!       └────────┴────────┴────────┴────────┴─────────┴────────┴────────┴─────┴──────────────┘
//!                          48 + 16  48 + 16  48 + 16   48 + 16  48 + 16 bits
//!  the lower 16 bits hold: annex  annex,side round     note     note
//!                          low      high     trip      low      high
//! ```
//!
//! `a` is the originator, `b` the responder. What a lookup compares and a packet of an established
//! connection changes is in the hot line; the counters are in the line beside it, which the processor
//! fetches along. IPv6 addresses lie elsewhere ([`Addresses`]); `a` and `b` are folds of them here.
//!
//! Life cycle: zero (never used) → [`Connection::occupy`] → any number of [`Connection::write`] →
//! [`Connection::vacate`] → occupied again. Only the owner of the table writes; any thread may read
//! through [`Reader`](super::Reader), which sees all words of one write or none.

use std::sync::atomic::Ordering::Relaxed;

use super::identity::Identity;
use super::key::Key;
use super::sync::{AtomicU32, AtomicU64};
use super::version::Version;
use crate::time::{Tick, Time};

/// Which way a key or packet goes along a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Sense {
    /// Its source is the connection's originator.
    Forward = 0,
    /// Its source is the connection's responder.
    Backward = 1,
}

impl Sense {
    /// The other one.
    #[inline(always)]
    pub const fn opposite(self) -> Sense {
        match self {
            Sense::Forward => Sense::Backward,
            Sense::Backward => Sense::Forward,
        }
    }

    #[inline(always)]
    const fn backward_if(backward: bool) -> Sense {
        if backward { Sense::Backward } else { Sense::Forward }
    }
}

/// The originator is at its zone's second port: the uppermost of the bits that share a word with the responder's
/// packets. An annex's number leaves it free.
const SECOND_SIDE: u16 = 1 << 15;

/// One connection's 128 bytes; the module's picture shows them.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Connection {
    version: Version,
    deadline: AtomicU32,
    addresses: AtomicU64,
    ports_and_kind: AtomicU64,
    tracker: [AtomicU64; 5],
    bytes: [AtomicU64; 2],
    packets: [AtomicU64; 2],
    last_seen: AtomicU64,
    started: AtomicU64,
    id: AtomicU64,
    next: AtomicU32,
    previous: AtomicU32,
}

#[cfg(not(loom))]
const _: () = {
    use std::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Connection>() == 128 && align_of::<Connection>() == 128);
    assert!(offset_of!(Connection, version) == 0);
    assert!(offset_of!(Connection, deadline) == 4);
    assert!(offset_of!(Connection, addresses) == 8);
    assert!(offset_of!(Connection, ports_and_kind) == 16);
    assert!(offset_of!(Connection, tracker) == 24);
    assert!(offset_of!(Connection, bytes) == 64);
    assert!(offset_of!(Connection, packets) == 80);
    assert!(offset_of!(Connection, last_seen) == 96);
    assert!(offset_of!(Connection, started) == 104);
    assert!(offset_of!(Connection, id) == 112);
    assert!(offset_of!(Connection, next) == 120);
    assert!(offset_of!(Connection, previous) == 124);
    assert!(size_of::<Addresses>() == 32);
};

impl Connection {
    #[inline(always)]
    pub(super) fn identity(&self) -> Identity {
        Identity {
            addresses: self.addresses.load(Relaxed),
            ports_and_kind: self.ports_and_kind.load(Relaxed),
        }
    }

    /// Whether `key` belongs to the connection here, and in which sense; free places match nothing.
    ///
    /// Directions alternate at random, and two comparisons joined by "or" become two branches, one of
    /// which is mispredicted every other packet. So the sense is decided first, by one endpoint, and
    /// used as a number: the key is turned by arithmetic and compared once.
    #[inline(always)]
    pub(super) fn matches<'a>(&self, addresses: impl FnOnce() -> &'a Addresses, key: &Key) -> Option<Sense> {
        let (held, wanted) = (self.identity(), key.identity);
        let mut not_originator = held.differs_in_originator(wanted);
        let (sense, differs) = match key.v6 {
            None => {
                let sense = Sense::backward_if(not_originator != 0);
                (sense, held.differs(wanted.turned(sense)))
            }
            Some((source, destination)) => {
                // Equal folds do not tell the sense: only the full addresses do.
                let (originator, responder) = addresses().get();
                not_originator |= differ(originator, source);
                let sense = Sense::backward_if(not_originator != 0);
                let (source, destination) = turned(source, destination, sense);
                let addresses = differ(originator, source) | differ(responder, destination);
                (sense, held.differs(wanted.turned(sense)) | addresses)
            }
        };
        if differs == 0 { Some(sense) } else { None }
    }

    /// Whether this place holds a connection.
    #[inline(always)]
    pub fn is_live(&self) -> bool {
        self.identity().is_live()
    }

    /// Whether its addresses are IPv6.
    #[inline(always)]
    pub fn is_v6(&self) -> bool {
        self.identity().is_v6()
    }

    /// The protocol's number in the IP header.
    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.identity().protocol()
    }

    /// The zone it belongs to.
    #[inline(always)]
    pub fn zone(&self) -> u16 {
        self.identity().zone()
    }

    /// At which of its zone's ports its originator is, as last set by [`Writer::set_side`]: 0 or 1.
    #[inline(always)]
    pub fn side(&self) -> u8 {
        u8::from(lower(&self.packets[1]) & SECOND_SIDE != 0)
    }

    /// The words that the protocol's tracker keeps, opaque to the table.
    #[inline(always)]
    pub fn tracker(&self) -> [u64; 5] {
        [
            self.tracker[0].load(Relaxed),
            self.tracker[1].load(Relaxed),
            self.tracker[2].load(Relaxed),
            self.tracker[3].load(Relaxed),
            self.tracker[4].load(Relaxed),
        ]
    }

    /// The tracker's first four words as two pairs, in which each endpoint has its own: those of the one that sends
    /// in `sense`, and the other's.
    #[inline(always)]
    pub fn halves(&self, sense: Sense) -> [[u64; 2]; 2] {
        // By arithmetic, as in `matches`: no branch on the direction.
        let own = sense as usize;
        [own, own ^ 1].map(|side| [self.tracker[side].load(Relaxed), self.tracker[2 + side].load(Relaxed)])
    }

    /// The tracker's last word, which belongs to both endpoints.
    #[inline(always)]
    pub fn shared_word(&self) -> u64 {
        self.tracker[4].load(Relaxed)
    }

    /// When it expires, as last set by [`Writer::set_deadline`].
    #[inline(always)]
    pub fn deadline(&self) -> Tick {
        Tick::new(self.deadline.load(Relaxed))
    }

    /// Bytes counted in one direction.
    pub fn bytes(&self, sense: Sense) -> u64 {
        self.bytes[sense as usize].load(Relaxed)
    }

    /// Packets counted in one direction, modulo 2^48.
    pub fn packets(&self, sense: Sense) -> u64 {
        upper(&self.packets[sense as usize])
    }

    /// When the last packet was counted, in whole microseconds; when it was inserted if none was.
    pub fn last_seen(&self) -> Time {
        from_microseconds(upper(&self.last_seen))
    }

    /// When it was inserted, in whole microseconds.
    pub fn started(&self) -> Time {
        from_microseconds(upper(&self.started))
    }

    /// The number it was given, 48 bits.
    pub fn id(&self) -> u64 {
        upper(&self.id)
    }

    /// The tracker's own 32 bits, as last set by [`Writer::set_note`].
    pub fn note(&self) -> u32 {
        u32::from(lower(&self.started)) | u32::from(lower(&self.id)) << 16
    }

    /// The tracker's own 16 bits, as last set by [`Writer::set_round_trip`].
    pub fn round_trip(&self) -> u16 {
        lower(&self.last_seen)
    }

    /// The place of its annex plus one; zero where it has none.
    pub(super) fn annex(&self) -> u32 {
        u32::from(lower(&self.packets[0])) | u32::from(lower(&self.packets[1]) & !SECOND_SIDE) << 16
    }

    /// The timing wheel's link forward: opaque to the table, zero after insertion.
    ///
    /// Links are the owner's alone, no snapshot holds them; they are written outside of
    /// [`Connection::write`].
    #[inline]
    pub fn next(&self) -> u32 {
        self.next.load(Relaxed)
    }

    /// The timing wheel's link backward; as [`Connection::next`].
    #[inline]
    pub fn prev(&self) -> u32 {
        self.previous.load(Relaxed)
    }

    /// Sets the timing wheel's link forward.
    #[inline]
    pub fn set_next(&self, link: u32) {
        self.next.store(link, Relaxed);
    }

    /// Sets the timing wheel's link backward.
    #[inline]
    pub fn set_prev(&self, link: u32) {
        self.previous.store(link, Relaxed);
    }

    /// Changes several words as one: another thread's snapshot has all of `change` or nothing of it.
    ///
    /// For the owner of the table only, one per packet. Two threads that write at once corrupt what
    /// snapshots say (and nothing else: every word is an atomic).
    #[inline(always)]
    pub fn write<R>(&self, change: impl FnOnce(&Writer) -> R) -> R {
        self.version.write(
            #[inline(always)]
            || change(&Writer(self)),
        )
    }

    /// Runs `copy`, which may load any word, until no write disturbed it.
    pub(super) fn read<R>(&self, copy: impl FnMut() -> R) -> R {
        self.version.read(copy)
    }

    /// Begins a connection in this place; the counterpart of [`Connection::vacate`].
    pub(super) fn occupy(&self, key: &Key, addresses: &Addresses, id: u64, started: Time) {
        let Identity { addresses: pair, ports_and_kind } = key.identity;
        let stamp = started.microseconds() << 16;
        self.version.write(|| {
            if let Some((source, destination)) = key.v6 {
                addresses.set(source, destination);
            }
            self.deadline.store(0, Relaxed);
            self.addresses.store(pair, Relaxed);
            // One loop for each: chained to one, they would ask before every word which array it is in.
            self.tracker.iter().for_each(|word| word.store(0, Relaxed));
            self.bytes.iter().for_each(|word| word.store(0, Relaxed));
            self.packets.iter().for_each(|word| word.store(0, Relaxed));
            self.last_seen.store(stamp, Relaxed);
            self.started.store(stamp, Relaxed);
            self.id.store(id << 16, Relaxed);
            self.ports_and_kind.store(ports_and_kind, Relaxed);
        });
        self.set_next(0);
        self.set_prev(0);
    }

    /// Ends the connection in this place: no lookup, scan or snapshot finds it any more. Its annex is no
    /// longer its own.
    pub(super) fn vacate(&self) {
        self.write(|writer| {
            self.ports_and_kind.store(0, Relaxed);
            writer.set_annex(0);
        });
    }
}

/// The right to change a connection, as [`Connection::write`] lends it.
#[derive(Debug)]
pub struct Writer<'a>(&'a Connection);

impl Writer<'_> {
    /// Sets the two words of the endpoint that sends in `sense`, and the first one of the other; see
    /// [`Connection::halves`].
    #[inline(always)]
    pub fn set_halves(&self, sense: Sense, own: [u64; 2], first_of_other: u64) {
        let side = sense as usize;
        self.0.tracker[side].store(own[0], Relaxed);
        self.0.tracker[2 + side].store(own[1], Relaxed);
        self.0.tracker[side ^ 1].store(first_of_other, Relaxed);
    }

    /// Sets both words of either endpoint, those of the one that sends in `sense` first.
    #[inline(always)]
    pub fn set_both_halves(&self, sense: Sense, own: [u64; 2], other: [u64; 2]) {
        self.set_halves(sense, own, other[0]);
        self.0.tracker[2 + sense.opposite() as usize].store(other[1], Relaxed);
    }

    /// Sets the tracker's last word; see [`Connection::shared_word`].
    #[inline(always)]
    pub fn set_shared_word(&self, word: u64) {
        self.0.tracker[4].store(word, Relaxed);
    }

    /// Sets the tracker's words.
    #[inline(always)]
    pub fn set_tracker(&self, words: &[u64; 5]) {
        for (held, word) in self.0.tracker.iter().zip(words) {
            held.store(*word, Relaxed);
        }
    }

    /// Sets when the connection expires. The timing wheel need not know: it looks here when it comes by.
    #[inline(always)]
    pub fn set_deadline(&self, deadline: Tick) {
        self.0.deadline.store(deadline.number(), Relaxed);
    }

    /// Sets at which of its zone's ports the originator is; 0 after insertion.
    #[inline(always)]
    pub fn set_side(&self, side: u8) {
        let others = lower(&self.0.packets[1]) & !SECOND_SIDE;
        set_lower(&self.0.packets[1], others | if side == 0 { 0 } else { SECOND_SIDE });
    }

    /// Counts one packet of `bytes` bytes, seen at `now_us` microseconds (48 bits: nine years).
    #[inline(always)]
    pub fn count(&self, sense: Sense, bytes: u64, now_us: u64) {
        let count = &self.0.bytes[sense as usize];
        count.store(count.load(Relaxed).wrapping_add(bytes), Relaxed);
        // The count is the upper 48 bits: its overflow leaves at the top, the lower 16 stay as they are.
        let count = &self.0.packets[sense as usize];
        count.store(count.load(Relaxed).wrapping_add(1 << 16), Relaxed);
        set_upper(&self.0.last_seen, now_us);
    }

    /// Sets 32 bits that the tracker wants to keep beside its words.
    #[inline(always)]
    pub fn set_note(&self, note: u32) {
        set_lower(&self.0.started, note as u16);
        set_lower(&self.0.id, (note >> 16) as u16);
    }

    /// Sets 16 bits that the tracker wants to keep: the handshake's round trip, in a unit of its choice.
    #[inline(always)]
    pub fn set_round_trip(&self, round_trip: u16) {
        set_lower(&self.0.last_seen, round_trip);
    }

    pub(super) fn set_annex(&self, place_plus_one: u32) {
        set_lower(&self.0.packets[0], place_plus_one as u16);
        let side = lower(&self.0.packets[1]) & SECOND_SIDE;
        set_lower(&self.0.packets[1], (place_plus_one >> 16) as u16 | side);
    }
}

/// The IPv6 addresses of a connection, at the same place in an array of their own.
///
/// Guarded by the connection's version like its own words; meaningless where it is IPv4.
#[derive(Debug, Default)]
#[repr(C, align(32))]
pub(super) struct Addresses {
    originator: [AtomicU64; 2],
    responder: [AtomicU64; 2],
}

impl Addresses {
    fn set(&self, originator: [u64; 2], responder: [u64; 2]) {
        let words = self.originator.iter().chain(&self.responder);
        for (held, word) in words.zip(originator.into_iter().chain(responder)) {
            held.store(word, Relaxed);
        }
    }

    /// Originator and responder, each in [`halves`](super::key::halves).
    #[inline(always)]
    pub(super) fn get(&self) -> ([u64; 2], [u64; 2]) {
        (
            [self.originator[0].load(Relaxed), self.originator[1].load(Relaxed)],
            [self.responder[0].load(Relaxed), self.responder[1].load(Relaxed)],
        )
    }
}

/// Zero if both are the same.
#[inline(always)]
fn differ(one: [u64; 2], other: [u64; 2]) -> u64 {
    (one[0] ^ other[0]) | (one[1] ^ other[1])
}

/// The two exchanged, if the sense is backward.
#[inline(always)]
fn turned(one: [u64; 2], other: [u64; 2], sense: Sense) -> ([u64; 2], [u64; 2]) {
    let mask = (sense as u64).wrapping_neg();
    let exchange = [(one[0] ^ other[0]) & mask, (one[1] ^ other[1]) & mask];
    ([one[0] ^ exchange[0], one[1] ^ exchange[1]], [other[0] ^ exchange[0], other[1] ^ exchange[1]])
}

fn from_microseconds(microseconds: u64) -> Time {
    Time::from_nanoseconds(microseconds * 1_000)
}

#[inline(always)]
fn upper(word: &AtomicU64) -> u64 {
    word.load(Relaxed) >> 16
}

#[inline(always)]
fn lower(word: &AtomicU64) -> u16 {
    word.load(Relaxed) as u16
}

#[inline(always)]
fn set_upper(word: &AtomicU64, value: u64) {
    word.store(value << 16 | u64::from(lower(word)), Relaxed);
}

#[inline(always)]
fn set_lower(word: &AtomicU64, value: u16) {
    word.store((word.load(Relaxed) & !0xffff) | u64::from(value), Relaxed);
}

#[allow(unsafe_code, reason = "a marker for the memory island")]
// SAFETY: atomic integers only, for which zero is a value (and under loom the island does not rely on it).
unsafe impl super::memory::Zeroed for Connection {}

#[allow(unsafe_code, reason = "a marker for the memory island")]
// SAFETY: as above.
unsafe impl super::memory::Zeroed for Addresses {}
