//! A running middlebox in numbers: one object, made of what its workers show.
//!
//! docs/stats.md explains every field, and how the frames' balance is checked; `tests/documents.rs` holds
//! that page against this struct. Counters never decrease; what is called a gauge may.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::protocol_name;
use crate::shard::{Census, Class, Counters, End, Reason};
use crate::tcp::State;
use crate::view::{Frames, Loss, Plane, PortView, QueueView, Report, Traffic, View, Volume};

/// Counters by name.
pub type ByName = BTreeMap<String, u64>;

/// Everything that is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// When it was asked for, in seconds since 1970.
    pub time: f64,
    /// Seconds since the start.
    pub uptime: f64,
    /// The daemon's version.
    pub version: String,
    /// All shards' connections.
    pub connections: Connections,
    /// All packets by what became of them.
    pub packets: Packets,
    /// Each shard.
    pub shards: Vec<Shard>,
    /// Each worker.
    pub workers: Vec<Worker>,
    /// Each port, in the order of the configuration.
    pub ports: Vec<Port>,
    /// Where memory went.
    pub memory: Memory,
}

/// Connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// In the table now; a gauge.
    pub live: u64,
    /// The most that fit into all tables.
    pub capacity: u64,
    /// The largest share of a shard's table that is taken, from 0 to 1; a gauge.
    pub fullest: f64,
    /// Begun since the start.
    pub created: u64,
    /// Ended since the start, by end.
    pub ended: ByName,
    /// In the table, by protocol; gauges.
    pub by_protocol: ByName,
    /// TCP in the table, by both endpoints' states; gauges.
    pub by_states: ByName,
}

/// Packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packets {
    /// Received by all ports.
    pub received: u64,
    /// Given to a port to send.
    pub sent: u64,
    /// Let through by the engine.
    pub accepted: u64,
    /// Dropped: by the engine, or on the way to it or behind it (`by_reason` says which).
    pub dropped: u64,
    /// Judged, by class.
    pub by_class: ByName,
    /// By reason; a reason may also stand beside a packet that was let through.
    pub by_reason: ByName,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its number.
    pub number: u32,
    /// Connections in its table; a gauge.
    pub live: u64,
    /// The most that fit.
    pub capacity: u64,
    /// Connections begun.
    pub created: u64,
    /// Connections ended.
    pub ended: u64,
    /// Packets let through.
    pub accepted: u64,
    /// Packets dropped by the engine.
    pub dropped: u64,
    /// Segments after which nothing could be remembered for want of an annex.
    pub annexes_exhausted: u64,
    /// Annexes that one unconfirmed connection has taken from another, or a confirmed one from what can be spared.
    pub annexes_displaced: u64,
    /// The number of its newest event.
    pub sequence: u64,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its number.
    pub number: u32,
    /// The core it is bound to; none where the scheduler chooses.
    pub cpu: Option<u32>,
    /// Times it looked at all its rings.
    pub turns: u64,
    /// Bursts with at least one packet.
    pub bursts: u64,
    /// Times it went to sleep.
    pub sleeps: u64,
    /// Seconds spent in turns that found something to do.
    pub busy: f64,
    /// Packets given to other workers.
    pub handed_over: u64,
    /// Packets taken over from other workers.
    pub taken_over: u64,
    /// Bursts that were judged when the next one had been read already.
    pub overlapped: u64,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name in the configuration.
    pub port: String,
    /// The interface's name.
    pub interface: String,
    /// `up`, `down` or `gone`.
    pub state: String,
    /// The bridge it belongs to; none where it belongs to none.
    pub zone: Option<u16>,
    /// Frames dropped by the XDP program because no socket was there for them.
    pub unclaimed: u64,
    /// Its queues.
    pub queues: Vec<Queue>,
}

/// A queue of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its number.
    pub queue: u32,
    /// `zero-copy`, `native` or `generic`.
    pub mode: String,
    /// What came in.
    pub received: PacketsAndBytes,
    /// What was given to it to send.
    pub sent: PacketsAndBytes,
    /// What came in here and was dropped outside of the engine, by reason.
    pub lost: ByName,
    /// What the kernel says it lost; none once the interface is gone.
    pub kernel: Option<Kernel>,
}

/// Packets and bytes of whole frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketsAndBytes {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The kernel's own loss counters of a queue's sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Dropped for another reason than a full receive ring, an empty fill ring included.
    pub rx_dropped: u64,
    /// Invalid descriptors in the fill ring.
    pub rx_invalid: u64,
    /// Invalid descriptors in the transmit ring.
    pub tx_invalid: u64,
    /// Sent, and then dropped by the driver.
    pub tx_dropped: u64,
    /// Dropped because the receive ring was full.
    pub rx_ring_full: u64,
    /// Times the fill ring was empty.
    pub fill_ring_empty: u64,
    /// Times the transmit ring was empty.
    pub tx_ring_empty: u64,
}

/// Memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes of address space reserved for the tables.
    pub table: u64,
    /// Bytes of it that are real; none where the system does not tell.
    pub table_resident: Option<u64>,
    /// Bytes of these in huge pages; none where the system does not tell.
    pub table_huge: Option<u64>,
    /// What it is made of.
    pub table_kind: String,
    /// The UMEM's frames.
    pub frames: UmemFrames,
}

/// Where the UMEM's frames are: gauges, all but the first two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UmemFrames {
    /// How many there are.
    pub total: u64,
    /// How long each is, in bytes.
    pub size: u64,
    /// Free, with workers or in the common reserve.
    pub free: u64,
    /// Given to the kernel to receive into.
    pub filling: i64,
    /// Given to the kernel to send.
    pub sending: i64,
    /// Held: fragments that wait for their datagram.
    pub held: u64,
    /// Between two rings.
    pub under_way: u64,
    /// `total` without all of these: 0 once traffic is quiet.
    pub unaccounted: i64,
}

impl Stats {
    /// The numbers of `plane` now.
    pub fn of(plane: &Plane) -> Stats {
        let reports: Vec<Report> = plane.workers.iter().map(|view| view.report()).collect();
        let each = || plane.workers.iter().zip(&reports);
        let time = plane.clock.now().seconds();
        let ports: Vec<Port> =
            plane.ports.iter().enumerate().map(|(at, port)| port_of(port, at, each())).collect();
        let (counters, census) = sums(&reports);
        Stats {
            time,
            uptime: (time - plane.started).max(0.0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections: connections_of(&counters, &census, &plane.workers),
            packets: packets_of(&counters, &reports),
            shards: each().map(|(view, report)| shard_of(view, report)).collect(),
            workers: each().map(|(view, report)| worker_of(view, report)).collect(),
            ports,
            memory: Memory {
                table: plane.table_bytes,
                table_resident: plane.table_resident.look(),
                table_huge: plane.table_huge.look(),
                table_kind: plane.table_memory.clone(),
                frames: frames_of(plane, &reports),
            },
        }
    }
}

/// All shards' counters and censuses together; all zero where there is no shard.
fn sums(reports: &[Report]) -> (Counters, Census) {
    let (mut counters, mut census) = (Counters::ZERO, Census::ZERO);
    for report in reports {
        counters.add(&report.counters);
        census.add(&report.census);
    }
    (counters, census)
}

fn connections_of(counters: &Counters, census: &Census, views: &[std::sync::Arc<View>]) -> Connections {
    let by_protocol = by_protocol(census);
    let fullness =
        |view: &std::sync::Arc<View>| f64::from(view.table.len()) / f64::from(view.table.capacity().max(1));
    Connections {
        live: by_protocol.values().sum(),
        capacity: views.iter().map(|view| u64::from(view.table.capacity())).sum(),
        fullest: views.iter().map(fullness).fold(0.0, f64::max),
        created: counters.begun,
        ended: End::ALL.iter().zip(counters.ended).map(|(end, n)| (end.name().to_owned(), n)).collect(),
        by_protocol,
        by_states: by_states(census),
    }
}

/// Live connections by protocol; those of which there are none are left out.
pub(super) fn by_protocol(census: &Census) -> ByName {
    let mut found = ByName::new();
    for (numbers, is_v6) in census.by_protocol.iter().zip([false, true]) {
        for (&n, protocol) in numbers.iter().zip(0..=u8::MAX).filter(|(n, _)| **n > 0) {
            *found.entry(protocol_name(protocol, is_v6).into_owned()).or_default() += u64::from(n);
        }
    }
    found
}

/// Live TCP connections by states; pairs of which there are none are left out.
pub(super) fn by_states(census: &Census) -> ByName {
    let mut found = ByName::new();
    for (row, originator) in census.by_states.iter().zip(State::ALL) {
        for (&n, responder) in row.iter().zip(State::ALL).filter(|(n, _)| **n > 0) {
            found.insert(format!("{}/{}", originator.name(), responder.name()), u64::from(n));
        }
    }
    found
}

fn packets_of(counters: &Counters, reports: &[Report]) -> Packets {
    let sockets = || reports.iter().flat_map(|report| &report.sockets);
    let classes = Class::ALL.iter().zip(counters.by_class);
    let reasons = Reason::all().zip(counters.by_reason);
    let mut by_reason: ByName = reasons.map(|(reason, n)| (reason.name().to_owned(), n)).collect();
    let mut lost = [0; Loss::ALL.len()];
    for traffic in sockets() {
        add(&mut lost, &traffic.lost);
    }
    by_reason.extend(named(&lost));
    Packets {
        received: sockets().map(|traffic| traffic.received.packets).sum(),
        sent: sockets().map(|traffic| traffic.sent.packets).sum(),
        accepted: counters.accepted,
        dropped: counters.dropped + lost.iter().sum::<u64>(),
        by_class: classes.map(|(class, n)| (class.name().to_owned(), n)).collect(),
        by_reason,
    }
}

fn shard_of(view: &View, report: &Report) -> Shard {
    Shard {
        number: view.number,
        live: u64::from(view.table.len()),
        capacity: u64::from(view.table.capacity()),
        created: report.counters.begun,
        ended: report.counters.ended.iter().sum(),
        accepted: report.counters.accepted,
        dropped: report.counters.dropped,
        annexes_exhausted: report.counters.annexes_exhausted,
        annexes_displaced: report.counters.annexes_displaced,
        sequence: view.events.published(),
    }
}

fn worker_of(view: &View, report: &Report) -> Worker {
    let work = report.work;
    Worker {
        number: view.number,
        cpu: view.cpu,
        turns: work.turns,
        bursts: work.bursts,
        sleeps: work.sleeps,
        busy: work.busy_nanoseconds as f64 / 1e9,
        handed_over: work.handed_over,
        taken_over: work.taken_over,
        overlapped: work.overlapped,
    }
}

/// Port `number`, its queues' traffic summed over the workers.
fn port_of<'a>(
    port: &PortView,
    number: usize,
    workers: impl Iterator<Item = (&'a std::sync::Arc<View>, &'a Report)> + Clone,
) -> Port {
    let queue_of = |queue: &QueueView| {
        let mut sum = Traffic::default();
        let sockets = workers.clone().flat_map(|(view, report)| view.sockets.iter().zip(&report.sockets));
        for (_, traffic) in sockets.filter(|(socket, _)| (socket.port, socket.queue) == (number, queue.queue))
        {
            sum.received += traffic.received;
            sum.sent += traffic.sent;
            add(&mut sum.lost, &traffic.lost);
        }
        Queue {
            queue: queue.queue,
            mode: queue.mode.to_owned(),
            received: sum.received.into(),
            sent: sum.sent.into(),
            lost: named(&sum.lost).collect(),
            kernel: queue.losses.look().map(|losses| Kernel {
                rx_dropped: losses.rx_dropped,
                rx_invalid: losses.rx_invalid,
                tx_invalid: losses.tx_invalid,
                tx_dropped: losses.tx_dropped,
                rx_ring_full: losses.rx_ring_full,
                fill_ring_empty: losses.fill_ring_empty,
                tx_ring_empty: losses.tx_ring_empty,
            }),
        }
    };
    Port {
        port: port.name.clone(),
        interface: port.interface.clone(),
        state: port.state.get().name().to_owned(),
        zone: port.zone,
        unclaimed: port.unclaimed.look(),
        queues: port.queues.iter().map(queue_of).collect(),
    }
}

fn frames_of(plane: &Plane, reports: &[Report]) -> UmemFrames {
    let mut sum = Frames { free: plane.spare_frames.look(), ..Frames::default() };
    for Report { frames, .. } in reports {
        sum.free += frames.free;
        sum.held += frames.held;
        sum.under_way += frames.under_way;
        sum.filling += frames.filling;
        sum.sending += frames.sending;
    }
    let found = (sum.free + sum.held) as i64 + sum.under_way + sum.filling + sum.sending;
    UmemFrames {
        total: plane.umem_frames,
        size: plane.frame_size,
        free: sum.free,
        filling: sum.filling,
        sending: sum.sending,
        held: sum.held,
        under_way: u64::try_from(sum.under_way).unwrap_or(0),
        unaccounted: plane.umem_frames as i64 - found,
    }
}

impl From<Volume> for PacketsAndBytes {
    fn from(Volume { packets, bytes }: Volume) -> PacketsAndBytes {
        PacketsAndBytes { packets, bytes }
    }
}

fn add(mine: &mut [u64], theirs: &[u64]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}

fn named(lost: &[u64; Loss::ALL.len()]) -> impl Iterator<Item = (String, u64)> {
    Loss::ALL.iter().zip(*lost).map(|(loss, n)| (loss.name().to_owned(), n))
}
