//! One core's share of the work: the way of a packet, from frame to verdict.
//!
//! ```text
//!  burst ─► parse ─► hash ─────► look up ──────► judge ─► commit ─► verdict
//!           32 ×     prefetch    prefetch        one by one, in order
//!                    bucket      connection
//!                                                 │ TCP: tcp::judge_plain, judge_orderly, …     `segments`
//!                                                 │ UDP, ICMP queries, others: flow::Flow       `flows`
//!                                                 │ ICMP errors: what they quote                `related`
//!                                                 └ fragments: fragments::Reassembly            `pieces`
//! ```
//!
//! A shard owns its table, its timers, its fragments and its counters, and nothing else writes them. It
//! reads no clock, draws no randomness and keeps no frame: all three are arguments. The embedding (a replay,
//! a worker on the wire, a bench, a test) hears of what lasts longer than a packet through an [`Observer`].
//!
//! # Life cycle
//!
//! [`Shard::new`]; then for each burst [`Shard::poll`] until it is done (or once, where lateness is better
//! than a stall) and [`Shard::process`], or its three stages, with two bursts under way at once (`stages`). A
//! connection whose deadline has passed is over for every packet, whether `poll` has come to it or not.
//!
//! Several shards: [`steering_hash`] tells which one a packet belongs to. Fragments go by addresses, so a
//! complete datagram may belong to another shard: it comes out through [`Observer::hand_over`], and goes
//! in at its owner by [`Shard::take_over`].

mod admission;
mod annexes;
mod arrival;
mod burst;
mod census;
mod counters;
mod evidence;
mod flows;
mod lifetime;
mod pieces;
mod record;
mod related;
mod round_trip;
mod segments;
mod stages;
mod steering;
mod time_wait;
mod verdict;

#[cfg(test)]
mod tests;

use std::io;

pub use admission::Admission;
pub use arrival::{Arrival, Arrivals};
pub use burst::Burst;
pub use census::Census;
pub use counters::Counters;
pub use evidence::{Evidence, Glimpse, Quoted};
pub use pieces::Datagram;
pub use record::{End, Record};
pub use steering::{steering_hash, steering_of_frame};
pub use verdict::{Action, Class, Reason, Refusal, Subject, Verdict};

use crate::fragments::{self, Reassembly, Token};
use crate::processor::Processor;
use crate::table::{Hash, HashKeys, Index, Key, Layout, Sense, Table};
use crate::time::{Tick, Time};
use crate::timer::{self, Wheel};
use crate::wire::{self, Addresses, Checks, Direction, Packet, Transport, protocol};
use crate::{flow, tcp};
use annexes::Provisional;
use burst::Slot;
use time_wait::TimeWaitQueue;

/// The most packets in a burst.
pub const BURST: usize = 32;

/// How many timers a worker looks at between two turns at its sockets: what comes due at once holds no packet up
/// for longer than that takes. As many as a burst has packets, so that timers cost a turn no more than packets do;
/// `lastack bench --workload expiry` shows it.
pub const POLL_BUDGET: u32 = BURST as u32;

/// What an operator decides about a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Which checksums are verified.
    pub checks: Checks,
    /// TCP's policy.
    pub tcp: tcp::Policy,
    /// Everything else's.
    pub flow: flow::Policy,
    /// How fragments are held.
    pub fragments: fragments::Policy,
    /// Among how many ports of a zone the room for fragments is divided, at least one; see
    /// [`Admission::side`].
    pub sides: u8,
    /// How many shards share the work; this one's number is below it.
    pub shards: u32,
    /// This shard's number.
    pub number: u32,
}

/// What the embedding hears of.
pub trait Observer {
    /// A number for a new connection, never given before; 48 bits.
    fn next_id(&mut self) -> u64;
    /// A connection has begun.
    fn begun(&mut self, change: Change, record: &Record) {
        let _ = (change, record);
    }
    /// A connection's states have changed.
    fn changed(&mut self, change: Change, record: &Record) {
        let _ = (change, record);
    }
    /// A connection has ended; it is told once.
    fn ended(&mut self, change: Change, record: &Record) {
        let _ = (change, record);
    }
    /// Whether [`Observer::begun`] and [`Observer::changed`] are wanted: records cost a few loads.
    fn wants_changes(&self) -> bool {
        false
    }
    /// The numbers behind the reason of a frame's verdict, before that verdict is told.
    fn evidence(&mut self, token: Token, evidence: &Evidence) {
        let _ = (token, evidence);
    }
    /// Whether [`Observer::evidence`] is wanted: the packet is looked at once more for it.
    fn wants_evidence(&self) -> bool {
        false
    }
    /// A frame that was held has its verdict.
    fn released(&mut self, token: Token, verdict: &Verdict);
    /// A complete datagram belongs to another shard.
    fn hand_over(&mut self, shard: u32, datagram: Datagram);
}

/// Where in the life of its shard a connection has begun, changed its states or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The change's number: from 1, one higher each time, whether anybody listens or not.
    pub sequence: u64,
    /// The connection's place in the table.
    pub index: Index,
    /// The states before; none of what is not TCP, and none where the connection began.
    pub before: Option<[tcp::State; 2]>,
}

/// One core's connection tracker; the module says how it is used.
#[derive(Debug)]
pub struct Shard {
    table: Table,
    wheel: Wheel,
    /// One for each port of a zone, so that nobody can take another side's room. None only while one of its
    /// datagrams is being judged.
    fragments: Vec<Option<Box<Reassembly>>>,
    time_wait: TimeWaitQueue,
    /// The annexes of connections that not both sides have confirmed.
    provisional: Provisional,
    settings: Settings,
    processor: Processor,
    counters: Counters,
    census: Census,
    /// How often a connection has begun, changed its states or ended.
    sequence: u64,
    /// When quiet time is over; none once it is.
    quiet_until: Option<Tick>,
    /// Where the next search for a connection to evict begins.
    hand: Index,
    /// When the last such search found none, if nothing has become evictable since.
    searched_in_vain: Option<Tick>,
    /// The newest instant at which a packet came.
    latest: Time,
}

/// Everything around one packet while it is judged.
#[derive(Clone, Copy)]
struct Context {
    now: Tick,
    at: Time,
    admission: Admission,
    /// Whether the frame goes to every station of its network.
    is_broadcast: bool,
}

impl Context {
    /// Around the packet of this frame.
    #[inline]
    fn of(arrival: &Arrival<'_>, now: Tick) -> Context {
        let is_broadcast = admission::is_broadcast(arrival.frame.bytes, arrival.frame.link);
        Context { now, at: arrival.at, admission: arrival.admission, is_broadcast }
    }

    /// Whether `packet` may begin a connection of which it travels in `direction`.
    fn allows(&self, packet: &Packet<'_>, direction: Direction) -> bool {
        self.admission.allows(packet, self.is_broadcast, direction)
    }
}

impl Shard {
    /// An empty shard whose clock stands at `now`; `layout` comes from [`Shard::layout_for_connections`] or
    /// [`Shard::layout_for_memory`]. Fails where the operating system does not give it the memory.
    pub fn new(layout: Layout, keys: HashKeys, settings: Settings, now: Tick) -> io::Result<Shard> {
        let table = Table::new(layout, keys)?;
        let wheel = Wheel::new(now);
        let quiet = settings.tcp.quiet_time;
        let quiet_until = (quiet.milliseconds() > 0).then(|| now.after(quiet));
        Ok(Shard {
            time_wait: TimeWaitQueue::new(&settings.tcp, table.capacity()),
            provisional: Provisional::new(&layout),
            fragments: reassemblies(&settings, keys),
            wheel,
            settings,
            processor: Processor::this(),
            counters: Counters::ZERO,
            census: Census::ZERO,
            sequence: 0,
            quiet_until,
            hand: Index::new(0),
            searched_in_vain: None,
            latest: Time::default(),
            table,
        })
    }

    /// The memory for a shard of `connections`.
    ///
    /// # Errors
    /// The number is zero or too large for the table.
    pub fn layout_for_connections(connections: u32) -> Result<Layout, crate::table::LayoutError> {
        Layout::for_connections(connections, timer::SLOTS as u32)
    }

    /// As many connections as fit into `bytes`.
    ///
    /// # Errors
    /// Not even one fits.
    pub fn layout_for_memory(bytes: u64) -> Result<Layout, crate::table::LayoutError> {
        Layout::for_memory(bytes, timer::SLOTS as u32)
    }

    /// What it has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Which connections live, by protocol and by states.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// The number of the newest [`Change`]; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What its operator has decided.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The table, to look at.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The record of the connection at `index`.
    pub fn record(&self, index: Index) -> Record {
        Record::of(&self.table, index, None, self.latest)
    }

    /// Any packet's verdict: of the frame that the slot was read from.
    #[inline(never)]
    fn judge_any<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        slot: &Slot,
        arrival: &Arrival<'_>,
        now: Tick,
        observer: &mut O,
    ) -> Verdict {
        let context = Context::of(arrival, now);
        if let Transport::Fragment(fragment) = &packet.transport {
            let verdict = self.piece(packet, fragment, arrival, context, observer);
            self.counters.count(&verdict);
            return verdict;
        }
        let place = key_of(packet, arrival.zone).map(|key| {
            let hash = if key == slot.key { slot.hash } else { self.table.hash(&key) };
            (key, hash)
        });
        let verdict = self.judge_whole(packet, place.as_ref(), arrival.zone, context, observer);
        self.testify_of_frame(packet, arrival, now, &verdict, observer);
        self.counters.count(&verdict);
        verdict
    }

    /// A packet that is no fragment, or a complete datagram.
    fn judge_whole<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        place: Option<&(Key, Hash)>,
        zone: u16,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        let verdict = self.judge_unbound(packet, place, zone, context, observer);
        context.admission.relax(verdict)
    }

    /// As [`Shard::judge_whole`], before the bridge's leniency towards what is invalid.
    fn judge_unbound<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        place: Option<&(Key, Hash)>,
        zone: u16,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        match (&packet.transport, place) {
            (Transport::Malformed(fault), _) => {
                if let Some((key, hash)) = place {
                    self.still_alive(self.look_up(*hash, key), (key, *hash), context.now, observer);
                }
                Verdict::invalid(Reason::Wire(*fault), self.bystander(place, context))
            }
            (Transport::Error(quote), _) => {
                if let Some(key) = related::quoted_key(quote, zone) {
                    let hash = self.table.hash(&key);
                    self.still_alive(self.look_up(hash, &key), (&key, hash), context.now, observer);
                }
                self.related(packet, quote, zone, context)
            }
            (Transport::Tcp(segment), Some((key, hash))) => {
                let found = self.look_up(*hash, key);
                self.segment(packet, (key, *hash), found, segment, context, observer)
            }
            (Transport::Udp, Some(place)) => {
                self.flow(packet, place, flow::Kind::Udp, None, context, observer)
            }
            (Transport::Query(query), Some(place)) => {
                self.flow(packet, place, flow::Kind::Query, Some(*query), context, observer)
            }
            (Transport::Other, Some(place)) => {
                self.flow(packet, place, flow::Kind::Other, None, context, observer)
            }
            // A fragment within a fragment is malformed already; without addresses there is nothing to track.
            (Transport::Untracked | Transport::Fragment(_), _)
            | (Transport::Tcp(_) | Transport::Udp | Transport::Query(_) | Transport::Other, None) => {
                Verdict::UNTRACKED
            }
        }
    }

    /// The connection that `key` belongs to. One whose deadline has passed is found all the same: see
    /// [`Shard::is_over`].
    fn look_up(&self, hash: Hash, key: &Key) -> Option<(Index, Direction)> {
        let (index, sense) = self.table.find(hash, key)?;
        Some((index, direction_of(sense)))
    }

    /// Whether the deadline of a connection has passed, though it may still be in the table.
    #[inline(always)]
    fn is_over(&self, index: Index, now: Tick) -> bool {
        self.table.connection(index).deadline().has_passed(now)
    }

    /// Whether a packet of the connection at `index` that travels in `direction` came in by the port where
    /// those come in. Anybody can write another one's addresses, but not from the other side.
    #[inline(always)]
    fn comes_by_its_port(&self, index: Index, direction: Direction, admission: &Admission) -> bool {
        !admission.is_bound() || admission.origin(direction) == self.table.connection(index).side()
    }

    /// The connection whose tuple an invalid packet bears.
    #[cold]
    fn bystander(&self, place: Option<&(Key, Hash)>, context: Context) -> Option<Subject> {
        let (key, hash) = place?;
        let (index, direction) = self.look_up(*hash, key)?;
        let is_its =
            !self.is_over(index, context.now) && self.comes_by_its_port(index, direction, &context.admission);
        is_its.then(|| self.subject(index, direction))
    }

    /// The connection at `index` as it is now.
    #[inline]
    fn subject(&self, index: Index, direction: Direction) -> Subject {
        let connection = self.table.connection(index);
        Subject { id: connection.id(), direction, states: record::states_of(connection) }
    }
}

/// The places where fragments wait, each with its part of the room.
fn reassemblies(settings: &Settings, keys: HashKeys) -> Vec<Option<Box<Reassembly>>> {
    let sides = u32::from(settings.sides.max(1));
    let policy = |side: u32| {
        let max = settings.fragments.max / sides + u32::from(side < settings.fragments.max % sides);
        fragments::Policy { max, ..settings.fragments }
    };
    (0..sides).map(|side| Some(Box::new(Reassembly::new(policy(side), keys.0)))).collect()
}

/// The way a packet goes, from how its key lies to the connection's.
#[inline(always)]
const fn direction_of(sense: Sense) -> Direction {
    match sense {
        Sense::Forward => Direction::Original,
        Sense::Backward => Direction::Reply,
    }
}

/// The inverse of [`direction_of`].
#[inline(always)]
const fn sense_of(direction: Direction) -> Sense {
    match direction {
        Direction::Original => Sense::Forward,
        Direction::Reply => Sense::Backward,
    }
}

/// Where a packet's connection would be found: none of what bears no tuple.
///
/// An ICMP query has its identifier for the asking side's port and its type for the asked one's: so a query
/// the other way with the same identifier is another connection.
#[inline(always)]
fn key_of(packet: &Packet<'_>, zone: u16) -> Option<Key> {
    let (source, destination) = match (&packet.transport, packet.ports) {
        (Transport::Tcp(_), Some(ports)) => {
            return key(packet.addresses, (ports.source, ports.destination), protocol::TCP, zone);
        }
        (Transport::Udp | Transport::Malformed(_), Some(ports))
            if packet.protocol == protocol::TCP || packet.protocol == protocol::UDP =>
        {
            (ports.source, ports.destination)
        }
        (Transport::Query(query), _) => query_ports(query),
        (Transport::Other, _) => (0, 0),
        _ => return None,
    };
    key(packet.addresses, (source, destination), packet.protocol, zone)
}

/// What stands for the ports of an ICMP query.
const fn query_ports(query: &wire::Query) -> (u16, u16) {
    let kind = query.kind as u16;
    if query.is_reply { (kind, query.id) } else { (query.id, kind) }
}

/// A key of these parts; none without addresses.
#[inline(always)]
fn key(addresses: Addresses<'_>, ports: (u16, u16), protocol: u8, zone: u16) -> Option<Key> {
    match addresses {
        Addresses::None => None,
        Addresses::V4 { source, destination } => {
            Some(Key::v4((source, ports.0), (destination, ports.1), protocol, zone))
        }
        Addresses::V6 { source, destination } => {
            Some(Key::v6((source, ports.0), (destination, ports.1), protocol, zone))
        }
    }
}
