//! What happens to a shard's connections, for whoever wants to know: numbered, overwritten, never waited for.
//!
//! ```text
//!  worker's turn   is_wanted? ─ write ─ write ─ … ─ publish(newest) ─ epoch ends
//!                                 │                    │
//!                                 ▼ ring of 2^15       ▼
//!  listener        cursor ──► 41  42  43  44        published = 44
//!                              └ next() … until the published one; Missed where the ring was faster
//! ```
//!
//! # Life cycle
//!
//! [`ring`] makes both ends: the [`Writer`] for the worker, the [`Log`] for everybody else. As long as there
//! is a [`Listener`], the worker writes every change. A listener is exact from its first event on: having
//! said that it is there it waits for the worker's turn to end ([`Epoch`]), and begins behind what is
//! published then. The turn that was under way may have left its changes out, but published their numbers;
//! every later turn has seen the listener. Waiting is a state that is asked again, not a thread that sleeps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::Epoch;
use super::ring::{Found, Ring};
use super::sync::{AtomicU64, Ordering};
use crate::shard::{Change, End, Record};
use crate::table::Index;
use crate::tcp::State;
use crate::time::{Tick, Time};

/// How many events a shard's ring holds.
pub const CAPACITY: usize = 1 << 15;

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// It has begun.
    New,
    /// Its states have changed.
    Changed,
    /// It has ended.
    Ended,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Kind; 3] = [Kind::New, Kind::Changed, Kind::Ended];

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::New => "new",
            Kind::Changed => "changed",
            Kind::Ended => "ended",
        }
    }
}

/// Something that happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// Where in the life of its shard.
    pub change: Change,
    /// The connection just after.
    pub record: Record,
}

/// What a listener is told next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// An event.
    Event(Event),
    /// These events, both included, were overwritten before they were read.
    Missed {
        /// The number of the first.
        from: u64,
        /// The number of the last.
        to: u64,
    },
}

/// What both ends share: a line that the worker writes in every turn, and one that listeners write when they come and
/// go.
#[derive(Debug)]
struct Shared {
    ring: Ring<WORDS>,
    /// The newest change's number at the end of the worker's last turn.
    published: CachePadded<AtomicU64>,
    listeners: CachePadded<AtomicU64>,
}

/// A new log of [`CAPACITY`] events: the worker's end, and that of all others.
pub fn ring() -> (Writer, Log) {
    with_capacity(CAPACITY)
}

/// As [`ring`], for `capacity` events, rounded up to a power of two.
pub fn with_capacity(capacity: usize) -> (Writer, Log) {
    let [published, listeners] = [(); 2].map(|()| CachePadded::new(AtomicU64::new(0)));
    let shared = Arc::new(Shared { ring: Ring::new(capacity), published, listeners });
    (Writer(Arc::clone(&shared)), Log(shared))
}

/// The worker's end.
#[derive(Debug)]
pub struct Writer(Arc<Shared>);

impl Writer {
    /// Whether anybody listens. To be asked once a turn, after [`Epoch::begin`]: a listener relies on a turn
    /// that sees it being one that writes all its changes.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.0.listeners.load(Ordering::Relaxed) > 0 // behind E1 of `epoch.rs`
    }

    /// Writes what happened.
    #[inline]
    pub fn write(&self, kind: Kind, change: Change, record: &Record) {
        self.0.ring.write(change.sequence, pack(kind, change, record));
    }

    /// Shows everything up to the change numbered `sequence`, the newest one, written or not. To be called at
    /// the end of each turn, before [`Epoch::end`].
    #[inline]
    pub fn publish(&self, sequence: u64) {
        self.0.published.store(sequence, Ordering::Release);
    }
}

/// Everybody else's end.
#[derive(Debug, Clone)]
pub struct Log(Arc<Shared>);

impl Log {
    /// The newest change's number at the end of the worker's last turn.
    pub fn published(&self) -> u64 {
        self.0.published.load(Ordering::Acquire)
    }

    /// Whether anybody listens.
    pub fn is_wanted(&self) -> bool {
        self.0.listeners.load(Ordering::Relaxed) > 0
    }

    /// How many events it holds.
    pub fn capacity(&self) -> u64 {
        self.0.ring.capacity()
    }

    /// Begins to listen; `epoch` is that of the log's worker.
    pub fn listen(&self, epoch: &Epoch) -> Listener {
        self.0.listeners.fetch_add(1, Ordering::Relaxed); // before E3 of `epoch.rs`
        Listener { shared: Arc::clone(&self.0), start: Start::Waiting { moment: epoch.now() } }
    }
}

/// Somebody who listens, as long as it exists.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    start: Start,
}

#[derive(Debug, Clone, Copy)]
enum Start {
    /// For the turn of this moment to end.
    Waiting { moment: u64 },
    /// Every event from `cursor` on will be there.
    Reading { cursor: u64 },
}

impl Listener {
    /// The number behind which it listens, once that is certain; none as long as the worker's turn lasts
    /// during which it began. Later: the number of what it has been told last.
    pub fn position(&mut self, epoch: &Epoch) -> Option<u64> {
        match self.start {
            Start::Reading { cursor } => Some(cursor - 1),
            Start::Waiting { moment } if epoch.is_over(moment) => {
                let published = self.shared.published.load(Ordering::Acquire);
                self.start = Start::Reading { cursor: published + 1 };
                Some(published)
            }
            Start::Waiting { .. } => None,
        }
    }

    /// Goes back to listen behind `sequence`, its position of a while ago.
    pub fn rewind(&mut self, sequence: u64) {
        self.start = Start::Reading { cursor: sequence + 1 };
    }

    /// What is next among the published events; none where there is none yet, or [`Listener::position`] has
    /// not found a beginning.
    #[expect(clippy::should_implement_trait, reason = "none is not the end")]
    pub fn next(&mut self) -> Option<Heard> {
        let Start::Reading { cursor } = self.start else { return None };
        let published = self.shared.published.load(Ordering::Acquire);
        if cursor > published {
            return None;
        }
        let resume = match self.shared.ring.read(cursor) {
            Found::Entry(words) => {
                self.start = Start::Reading { cursor: cursor + 1 };
                return Some(Heard::Event(unpack(cursor, &words)));
            }
            Found::Later(there) => self.resume(published, there),
            // Only if the worker left out what was wanted: told rather than waited for.
            Found::Earlier => cursor + 1,
        };
        self.start = Start::Reading { cursor: resume };
        Some(Heard::Missed { from: cursor, to: resume - 1 })
    }

    /// Where to go on where entry `there` lies in the place of the next: at the oldest that is left, and a
    /// little behind it, so that a reader who is about as fast as the writer does not miss again at once.
    fn resume(&self, published: u64, there: u64) -> u64 {
        let capacity = self.shared.ring.capacity();
        let newest = published.max(there);
        let oldest = newest + 1 - capacity;
        (oldest + capacity / 8).min(published + 1).max(oldest)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An event in words; its number is the entry's.
///
/// ```text
///  0      id (48)                 │ protocol (8) │ flags (8)
///  1      zone │ port │ port (16 each)           │ kind, end (8 each)
///  2      place (32)              │ deadline (32)
///  3, 4   originator's address    5, 6   responder's
///  7, 8   started, last seen      9, 10  packets      11, 12  bytes
///  13     states, states before: four bytes
/// ```
const WORDS: usize = 14;

const V6: u64 = 1 << 56;
const REPLIED: u64 = 1 << 57;
const STATES: u64 = 1 << 58;
const BEFORE: u64 = 1 << 59;
/// In the place of an [`End`]'s number: it lives.
const LIVES: u64 = 0xff;

fn pack(kind: Kind, change: Change, record: &Record) -> [u64; WORDS] {
    let flag = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
    let (originator, responder) = (record.originator, record.responder);
    let [a, b] = [originator.0, responder.0].map(address_words);
    let end = record.end.map_or(LIVES, |end| end as u64);
    [
        record.id & ((1 << 48) - 1)
            | u64::from(record.protocol) << 48
            | flag(originator.0.is_ipv6(), V6)
            | flag(record.replied, REPLIED)
            | flag(record.states.is_some(), STATES)
            | flag(change.before.is_some(), BEFORE),
        u64::from(record.zone)
            | u64::from(originator.1) << 16
            | u64::from(responder.1) << 32
            | (kind as u64) << 48
            | end << 56,
        u64::from(change.index.number()) | u64::from(record.deadline.number()) << 32,
        a[0],
        a[1],
        b[0],
        b[1],
        record.started.nanoseconds(),
        record.last_seen.nanoseconds(),
        record.packets[0],
        record.packets[1],
        record.bytes[0],
        record.bytes[1],
        states_word(record.states) | states_word(change.before) << 16,
    ]
}

fn unpack(sequence: u64, words: &[u64; WORDS]) -> Event {
    let [first, second, third, ..] = *words;
    let is = |bit: u64| first & bit != 0;
    let address = |at: usize| address_of(is(V6), [words[at], words[at + 1]]);
    let states = |bit: u64, shift: u32| {
        let word = (words[13] >> shift) as u16;
        is(bit).then(|| word.to_le_bytes().map(State::from_number))
    };
    let kind = Kind::ALL.get(usize::from((second >> 48) as u8)).copied().unwrap_or(Kind::Changed);
    Event {
        kind,
        change: Change { sequence, index: Index::new(third as u32), before: states(BEFORE, 16) },
        record: Record {
            id: first & ((1 << 48) - 1),
            zone: second as u16,
            protocol: (first >> 48) as u8,
            originator: (address(3), (second >> 16) as u16),
            responder: (address(5), (second >> 32) as u16),
            states: states(STATES, 0),
            replied: is(REPLIED),
            end: End::ALL.get(usize::from((second >> 56) as u8)).copied(),
            started: Time::from_nanoseconds(words[7]),
            last_seen: Time::from_nanoseconds(words[8]),
            deadline: Tick::new((third >> 32) as u32),
            packets: [words[9], words[10]],
            bytes: [words[11], words[12]],
        },
    }
}

fn states_word(states: Option<[State; 2]>) -> u64 {
    states.map_or(0, |states| u64::from(u16::from_le_bytes(states.map(|state| state as u8))))
}

fn address_words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [u64::from(address.to_bits()), 0],
        IpAddr::V6(address) => [address.to_bits() as u64, (address.to_bits() >> 64) as u64],
    }
}

fn address_of(is_v6: bool, [low, high]: [u64; 2]) -> IpAddr {
    if is_v6 {
        Ipv6Addr::from_bits(u128::from(low) | u128::from(high) << 64).into()
    } else {
        Ipv4Addr::from_bits(low as u32).into()
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol;

    #[test]
    fn what_listeners_write_lies_on_another_line_than_what_the_worker_writes() {
        let (writer, log) = with_capacity(4);
        let shared = &*writer.0;
        let line = |address: usize| address / 64;
        // The count of handles lies in front of what they share.
        let handles = line(std::ptr::from_ref(shared).addr() - size_of::<usize>());
        let published = line(std::ptr::from_ref(&shared.published).addr());
        let listeners = line(std::ptr::from_ref(&shared.listeners).addr());
        let ring = line(std::ptr::from_ref(&shared.ring).addr());
        assert!(published != listeners && published != handles && published != ring);
        assert!(ring != listeners && ring != handles, "it says where the slots are, for every event");
        drop(log);
    }

    fn record(id: u64) -> Record {
        Record {
            id,
            zone: 7,
            protocol: protocol::TCP,
            originator: (Ipv4Addr::new(10, 0, 0, 1).into(), 40_000),
            responder: (Ipv4Addr::new(10, 0, 0, 2).into(), 80),
            states: Some([State::FinWait2, State::CloseWait]),
            replied: true,
            end: None,
            started: Time::from_nanoseconds(1_700_000_000_000_000_000),
            last_seen: Time::from_nanoseconds(1_700_000_001_000_000_000),
            deadline: Tick::new(u32::MAX),
            packets: [3, u64::MAX],
            bytes: [u64::MAX, 5],
        }
    }

    fn change(sequence: u64) -> Change {
        Change { sequence, index: Index::new(1 << 27), before: Some([State::FinWait1, State::CloseWait]) }
    }

    /// A log whose newest event is `newest`, heard from the beginning.
    fn heard(capacity: usize, newest: u64) -> (Vec<u64>, Vec<(u64, u64)>) {
        let ((writer, log), epoch) = (with_capacity(capacity), Epoch::default());
        let mut listener = log.listen(&epoch);
        assert_eq!(listener.position(&epoch), Some(0));
        for number in 1..=newest {
            writer.write(Kind::New, change(number), &record(number));
        }
        writer.publish(newest);
        let (mut events, mut missed) = (Vec::new(), Vec::new());
        while let Some(heard) = listener.next() {
            match heard {
                Heard::Event(event) => {
                    assert_eq!(event.record.id, event.change.sequence);
                    events.push(event.change.sequence);
                }
                Heard::Missed { from, to } => missed.push((from, to)),
            }
        }
        (events, missed)
    }

    #[test]
    fn an_event_is_heard_as_it_was_told() {
        let v6 = (Ipv6Addr::new(0xfd00, 1, 2, 3, 4, 5, 6, 7).into(), 0);
        let icmp = Record { protocol: 58, originator: v6, responder: v6, states: None, ..record(1) };
        let records = [
            (Kind::New, Change { before: None, ..change(1) }, record((1 << 48) - 1)),
            (Kind::Changed, change(2), Record { replied: false, zone: u16::MAX, ..record(2) }),
            (Kind::Ended, change(3), Record { end: Some(End::Reused), ..record(3) }),
            (Kind::Ended, Change { before: None, ..change(4) }, Record { end: Some(End::Closed), ..icmp }),
        ];
        for (kind, change, record) in records {
            let event = unpack(change.sequence, &pack(kind, change, &record));
            assert_eq!(event, Event { kind, change, record });
        }
    }

    #[test]
    fn what_the_ring_has_is_heard_and_what_it_has_not_is_named_without_overlap_or_gap() {
        for (capacity, newest) in [(16, 5), (16, 16), (16, 17), (16, 100), (1, 3), (2, 9), (64, 65)] {
            let (events, missed) = heard(capacity, newest);
            let mut numbers = events.clone();
            numbers.extend(missed.iter().flat_map(|&(from, to)| from..=to));
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=newest).collect::<Vec<_>>(), "{events:?} {missed:?}");
            assert_eq!(missed.is_empty(), newest <= capacity as u64);
            let least = (capacity - capacity / 8).min(newest as usize);
            assert!(events.len() >= least, "only what was overwritten, and a little more: {missed:?}");
        }
    }

    #[test]
    fn nobody_is_told_what_is_not_published() {
        let ((writer, log), epoch) = (with_capacity(4), Epoch::default());
        let mut listener = log.listen(&epoch);
        assert_eq!(listener.position(&epoch), Some(0));
        writer.write(Kind::New, change(1), &record(1));
        assert_eq!(listener.next(), None);
        writer.publish(1);
        assert!(matches!(listener.next(), Some(Heard::Event(event)) if event.record == record(1)));
        assert_eq!(listener.next(), None);
    }

    #[test]
    fn a_listener_begins_behind_the_turn_that_may_not_have_seen_it() {
        let ((writer, log), epoch) = (with_capacity(4), Epoch::default());
        epoch.begin();
        assert!(!writer.is_wanted());
        let mut listener = log.listen(&epoch);
        assert_eq!((listener.position(&epoch), listener.next()), (None, None));
        // The turn began without a listener: its three changes are counted, not written.
        writer.publish(3);
        epoch.end();
        assert_eq!(listener.position(&epoch), Some(3));
        epoch.begin();
        assert!(writer.is_wanted());
        writer.write(Kind::Changed, change(4), &record(4));
        writer.publish(4);
        epoch.end();
        assert!(matches!(listener.next(), Some(Heard::Event(event)) if event.change.sequence == 4));
        drop(listener);
        assert!(!writer.is_wanted(), "nobody is left");
    }

    #[test]
    fn a_change_that_the_worker_left_out_is_missed_rather_than_waited_for() {
        let ((writer, log), epoch) = (with_capacity(4), Epoch::default());
        let mut listener = log.listen(&epoch);
        assert_eq!(listener.position(&epoch), Some(0));
        writer.write(Kind::New, change(2), &record(2));
        writer.publish(2);
        assert_eq!(listener.next(), Some(Heard::Missed { from: 1, to: 1 }));
        assert!(matches!(listener.next(), Some(Heard::Event(event)) if event.change.sequence == 2));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;
    use crate::wire::protocol;

    /// Every interleaving with up to three preemptions: an event is many words.
    fn model(check: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(check);
    }

    /// Waits until the listener's beginning is certain.
    fn position(listener: &mut Listener, epoch: &Epoch) -> u64 {
        loop {
            match listener.position(epoch) {
                Some(position) => return position,
                None => thread::yield_now(),
            }
        }
    }

    /// Two turns of a worker with one change each, and a listener that comes in between anywhere: what lies
    /// behind its position is there to the last.
    #[test]
    fn a_listener_hears_everything_behind_its_position_in_every_interleaving() {
        model(|| {
            let (writer, log) = with_capacity(2);
            let epoch = Arc::new(Epoch::default());
            let worker = thread::spawn({
                let epoch = Arc::clone(&epoch);
                move || {
                    for sequence in 1..=2 {
                        epoch.begin();
                        if writer.is_wanted() {
                            let change = Change { sequence, index: Index::new(0), before: None };
                            writer.write(Kind::New, change, &record(sequence));
                        }
                        writer.publish(sequence);
                        epoch.end();
                    }
                }
            });
            let mut listener = log.listen(&epoch);
            let position = position(&mut listener, &epoch);
            worker.join().expect("the worker does not panic");
            for number in position + 1..=2 {
                match listener.next() {
                    Some(Heard::Event(event)) => assert_eq!(event.record.id, number),
                    other => panic!("{other:?} in place of {number}"),
                }
            }
            assert_eq!(listener.next(), None);
        });
    }

    /// What a listing relies on: whoever has seen a change, and then waited for the turn to end, finds its
    /// number published.
    #[test]
    fn a_change_that_was_seen_is_published_when_the_turn_is_over() {
        loom::model(|| {
            let (writer, log) = with_capacity(1);
            let shared = Arc::new((Epoch::default(), AtomicU64::new(0)));
            let worker = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let (epoch, table) = &*shared;
                    epoch.begin();
                    table.store(1, Ordering::Relaxed);
                    writer.publish(1);
                    epoch.end();
                }
            });
            let (epoch, table) = &*shared;
            let seen = table.load(Ordering::Relaxed);
            let moment = epoch.now();
            while !epoch.is_over(moment) {
                thread::yield_now();
            }
            assert!(log.published() >= seen);
            worker.join().expect("the worker does not panic");
        });
    }

    fn record(id: u64) -> Record {
        Record {
            id,
            zone: 0,
            protocol: protocol::UDP,
            originator: (Ipv4Addr::LOCALHOST.into(), 1),
            responder: (Ipv4Addr::LOCALHOST.into(), 2),
            states: None,
            replied: false,
            end: None,
            started: Time::default(),
            last_seen: Time::default(),
            deadline: Tick::new(0),
            packets: [1, 0],
            bytes: [28, 0],
        }
    }
}
