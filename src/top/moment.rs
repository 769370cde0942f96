//! Two answers of the middlebox as what is shown: rates, shares, and what is worth a warning.
//!
//! Counters never decrease, so a rate is a difference over the time between two answers, which the answers
//! themselves bear. Of the first answer there are no rates.

use crate::config::{Limit, Top};
use crate::control::Stats;
use crate::control::stats::{ByName, PacketsAndBytes, Port, Queue};

use super::number::{percent, whole};

/// A table as full as this is worth a warning: what is evicted from a full one was somebody's.
const NEARLY_FULL: f64 = 0.9;

/// A rate per second; none as long as there is only one answer.
pub(super) type Rate = Option<f64>;

/// What is shown of the middlebox's numbers.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// The daemon's version.
    pub(super) version: String,
    /// Seconds since its start.
    pub(super) uptime: f64,
    /// What came in by all ports.
    pub(super) received: Flow,
    /// Connections in the table.
    pub(super) live: u64,
    /// The most that fit.
    pub(super) capacity: u64,
    /// Connections begun per second.
    pub(super) opening: Rate,
    /// Connections ended per second.
    pub(super) ending: Rate,
    /// The same by how they ended, those that never happened left out.
    pub(super) ends: Vec<(String, Rate)>,
    /// Ports, each with its queues, in the order of the configuration.
    pub(super) ports: Vec<PortRows>,
    /// Workers, in the order of their numbers.
    pub(super) workers: Vec<WorkerRow>,
    /// TCP connections by states, as `A/B`.
    pub(super) states: Vec<StateRow>,
    /// Packets by reason, those that never happened left out.
    pub(super) drops: Vec<DropRow>,
    /// Packets dropped per second.
    pub(super) dropping: Rate,
    /// What is worth a warning, in sentences.
    pub(super) warnings: Vec<String>,
}

/// Packets and bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Flow {
    pub(super) packets: Rate,
    pub(super) bits: Rate,
}

/// A port and its queues.
#[derive(Debug, Clone)]
pub(super) struct PortRows {
    /// All of its queues together.
    pub(super) whole: PortRow,
    /// Each of them; empty where there is only one.
    pub(super) queues: Vec<PortRow>,
}

/// A port, or a queue of one.
#[derive(Debug, Clone)]
pub(super) struct PortRow {
    /// The name, by which its history is known too.
    pub(super) name: String,
    /// What it is made of, where that is not said by the port: interface and mode.
    pub(super) note: String,
    /// Whether the interface can carry packets.
    pub(super) is_up: bool,
    /// What came in.
    pub(super) received: Flow,
    /// What was given to it to send.
    pub(super) sent: Flow,
}

/// A worker.
#[derive(Debug, Clone)]
pub(super) struct WorkerRow {
    pub(super) number: u32,
    pub(super) cpu: Option<u32>,
    /// The share of time spent in turns that found something to do.
    pub(super) busy: Rate,
    /// Packets judged per second.
    pub(super) packets: Rate,
    pub(super) sleeps: Rate,
    pub(super) handed_over: Rate,
    pub(super) taken_over: Rate,
}

/// Connections in a pair of states.
#[derive(Debug, Clone)]
pub(super) struct StateRow {
    pub(super) name: String,
    pub(super) count: u64,
    /// Of all live TCP connections, from 0 to 1.
    pub(super) share: f64,
    /// How many more there are each second.
    pub(super) change: Rate,
}

/// Packets with a reason.
#[derive(Debug, Clone)]
pub(super) struct DropRow {
    pub(super) name: String,
    pub(super) rate: Rate,
    pub(super) total: u64,
}

/// The answer before, and how long before.
#[derive(Clone, Copy)]
struct Past<'a> {
    stats: &'a Stats,
    seconds: f64,
}

impl Moment {
    /// What `stats` show, by what they were at `before`.
    pub(super) fn of(stats: &Stats, before: Option<&Stats>, limits: &Top) -> Moment {
        let past = before
            .map(|before| Past { stats: before, seconds: stats.time - before.time })
            .filter(|past| past.seconds > 0.0);
        let rate =
            |of: fn(&Stats) -> u64| past.map(|past| per_second(of(stats), of(past.stats), past.seconds));
        let connections = &stats.connections;
        let ports: Vec<PortRows> = stats.ports.iter().map(|port| port_rows(port, past)).collect();
        Moment {
            version: stats.version.clone(),
            uptime: stats.uptime,
            received: ports.iter().map(|port| port.whole.received).fold(Flow::default(), Flow::plus),
            live: connections.live,
            capacity: connections.capacity,
            opening: rate(|stats| stats.connections.created),
            ending: rate(|stats| stats.connections.ended.values().sum()),
            ends: rows(&connections.ended, past, |stats| &stats.connections.ended)
                .map(|row| (row.name, row.rate))
                .collect(),
            workers: stats.workers.iter().map(|worker| worker_row(worker.number, stats, past)).collect(),
            states: state_rows(stats, past),
            drops: drop_rows(stats, past),
            dropping: rate(|stats| stats.packets.dropped),
            warnings: warnings(stats, limits),
            ports,
        }
    }
}

impl Flow {
    fn between(now: PacketsAndBytes, before: PacketsAndBytes, seconds: f64) -> Flow {
        Flow {
            packets: Some(per_second(now.packets, before.packets, seconds)),
            bits: Some(8.0 * per_second(now.bytes, before.bytes, seconds)),
        }
    }

    fn plus(self, other: Flow) -> Flow {
        let sum = |one: Rate, other: Rate| one.map_or(other, |one| Some(one + other.unwrap_or(0.0)));
        Flow { packets: sum(self.packets, other.packets), bits: sum(self.bits, other.bits) }
    }
}

fn per_second(now: u64, before: u64, seconds: f64) -> f64 {
    now.saturating_sub(before) as f64 / seconds
}

fn port_rows(port: &Port, past: Option<Past<'_>>) -> PortRows {
    let before = |queue: &Queue| -> Option<(Queue, f64)> {
        let Past { stats, seconds } = past?;
        let old = stats.ports.iter().find(|other| other.port == port.port)?;
        let old = old.queues.iter().find(|other| other.queue == queue.queue)?;
        Some((old.clone(), seconds))
    };
    let is_up = port.state == "up";
    let row = |queue: &Queue| {
        let flow = |of: fn(&Queue) -> PacketsAndBytes| match before(queue) {
            Some((old, seconds)) => Flow::between(of(queue), of(&old), seconds),
            None => Flow::default(),
        };
        PortRow {
            name: format!("{}/{}", port.port, queue.queue),
            note: queue.mode.clone(),
            is_up,
            received: flow(|queue| queue.received),
            sent: flow(|queue| queue.sent),
        }
    };
    let mut queues: Vec<PortRow> = port.queues.iter().map(row).collect();
    let sum = |of: fn(&PortRow) -> Flow| queues.iter().map(of).fold(Flow::default(), Flow::plus);
    let mode = queues.first().map(|queue| queue.note.as_str()).unwrap_or_default();
    let is_of_one_mode = queues.iter().all(|queue| queue.note == mode);
    let note = match (is_up, is_of_one_mode) {
        (true, true) => format!("{} {mode}", port.interface),
        (true, false) => port.interface.clone(),
        (false, _) => format!("{} {}", port.interface, port.state),
    };
    let whole = PortRow {
        name: port.port.clone(),
        note,
        is_up,
        received: sum(|queue| queue.received),
        sent: sum(|queue| queue.sent),
    };
    if queues.len() == 1 {
        queues.clear();
    }
    if is_of_one_mode {
        queues.iter_mut().for_each(|queue| queue.note.clear());
    }
    PortRows { whole, queues }
}

fn worker_row(number: u32, stats: &Stats, past: Option<Past<'_>>) -> WorkerRow {
    use crate::control::stats::{Shard, Worker};
    fn worker(stats: &Stats, number: u32) -> Option<&Worker> {
        stats.workers.iter().find(|worker| worker.number == number)
    }
    fn shard(stats: &Stats, number: u32) -> Option<&Shard> {
        stats.shards.iter().find(|shard| shard.number == number)
    }
    let rate = |of: fn(&Worker) -> u64| {
        let Past { stats: before, seconds } = past?;
        Some(per_second(of(worker(stats, number)?), of(worker(before, number)?), seconds))
    };
    let judged = |shard: &Shard| shard.accepted + shard.dropped;
    WorkerRow {
        number,
        cpu: worker(stats, number).and_then(|worker| worker.cpu),
        busy: past.and_then(|Past { stats: before, seconds }| {
            let spent = worker(stats, number)?.busy - worker(before, number)?.busy;
            Some((spent / seconds).clamp(0.0, 1.0))
        }),
        packets: past.and_then(|Past { stats: before, seconds }| {
            Some(per_second(judged(shard(stats, number)?), judged(shard(before, number)?), seconds))
        }),
        sleeps: rate(|worker| worker.sleeps),
        handed_over: rate(|worker| worker.handed_over),
        taken_over: rate(|worker| worker.taken_over),
    }
}

/// Live TCP connections.
fn live_tcp(stats: &Stats) -> u64 {
    stats.connections.by_states.values().sum()
}

fn state_rows(stats: &Stats, past: Option<Past<'_>>) -> Vec<StateRow> {
    let live = live_tcp(stats).max(1);
    let none = ByName::new();
    let old = past.map_or(&none, |past| &past.stats.connections.by_states);
    // A pair that has emptied stays for one answer, so that one sees it go.
    let gone =
        old.keys().filter(|name| !stats.connections.by_states.contains_key(*name)).map(|name| (name, &0));
    let all = stats.connections.by_states.iter().chain(gone);
    let row = |(name, &count): (&String, &u64)| {
        let before = |past: Past<'_>| (count as f64 - *old.get(name).unwrap_or(&0) as f64) / past.seconds;
        StateRow { name: name.clone(), count, share: count as f64 / live as f64, change: past.map(before) }
    };
    all.map(row).collect()
}

/// The counters of `now` that have ever counted anything.
fn rows<'a>(
    now: &'a ByName,
    past: Option<Past<'a>>,
    of: fn(&Stats) -> &ByName,
) -> impl Iterator<Item = DropRow> + 'a {
    let before = past.map(|past| (of(past.stats), past.seconds));
    now.iter().filter(|(_, total)| **total > 0).map(move |(name, &total)| {
        let rate =
            before.map(|(old, seconds)| per_second(total, old.get(name).copied().unwrap_or(0), seconds));
        DropRow { name: name.clone(), rate, total }
    })
}

/// The engine's reasons, and what was lost before the engine saw it, or after.
fn drop_rows(stats: &Stats, past: Option<Past<'_>>) -> Vec<DropRow> {
    let lost = |of: fn(&Stats) -> u64, name: &str| {
        let total = of(stats);
        let rate = past.map(|past| per_second(total, of(past.stats), past.seconds));
        (total > 0).then(|| DropRow { name: name.to_owned(), rate, total })
    };
    let unclaimed = lost(|stats| stats.ports.iter().map(|port| port.unclaimed).sum(), "unclaimed");
    let dropped = lost(|stats| kernel(stats).map(|losses| losses.rx_dropped).sum(), "rx_dropped");
    let sent = lost(|stats| kernel(stats).map(|losses| losses.tx_dropped).sum(), "tx_dropped");
    let full = lost(|stats| kernel(stats).map(|losses| losses.rx_ring_full).sum(), "rx_ring_full");
    rows(&stats.packets.by_reason, past, |stats| &stats.packets.by_reason)
        .chain([unclaimed, dropped, full, sent].into_iter().flatten())
        .collect()
}

fn kernel(stats: &Stats) -> impl Iterator<Item = &crate::control::stats::Kernel> {
    stats.ports.iter().flat_map(|port| &port.queues).filter_map(|queue| queue.kernel.as_ref())
}

/// How many TCP connections have either endpoint in `state`.
fn in_state(stats: &Stats, state: &str) -> u64 {
    let pairs = stats.connections.by_states.iter();
    pairs.filter(|(pair, _)| pair.split('/').any(|one| one == state)).map(|(_, count)| count).sum()
}

fn warnings(stats: &Stats, limits: &Top) -> Vec<String> {
    let mut found = Vec::new();
    for port in stats.ports.iter().filter(|port| port.state != "up") {
        found.push(format!("port {} ({}) is {}", port.port, port.interface, port.state));
    }
    let fullest = stats.connections.fullest;
    if fullest >= NEARLY_FULL {
        found.push(format!("the connection table is {} full ([table] max_connections)", percent(fullest)));
    }
    let live = live_tcp(stats);
    let states: [(&str, Limit, &str); 3] = [
        ("SYN_RECEIVED", limits.syn_received_warn, "handshakes do not complete: a flood, or lost answers"),
        ("CLOSE_WAIT", limits.close_wait_warn, "a program does not close what its peer has closed"),
        ("TIME_WAIT", limits.time_wait_warn, "many short connections"),
    ];
    for (state, limit, cause) in states {
        let number = in_state(stats, state);
        if limit.is_reached(number, live) {
            let share = percent(number as f64 / live.max(1) as f64);
            found.push(format!("{} in {state}, {share} of TCP: {cause}", whole(number)));
        }
    }
    found
}
