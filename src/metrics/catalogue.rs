//! Which metrics there are: every number that a [`Plane`] has, under its name.
//!
//! ```text
//!   lastack_packets*, lastack_connections*   what the shards judged and hold        shard
//!   lastack_worker_*, lastack_umem_*         how the workers get on                 worker
//!   lastack_port_*, lastack_queue_*          what went through the ports            port, interface, queue, …
//!   lastack_kernel_*                         what the kernel lost before and after  port, interface, queue
//!   lastack_table_*                          what the table's memory is             shard
//! ```
//!
//! A shard has its worker's number. Names follow the conventions of Prometheus: base units, `_total` on what
//! only grows, and the samples of a family can be added up. A number that may be there later is there as 0
//! from the start, so that a rate can be taken of its first change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::family::{Family, Labels, Measure, Value};
use crate::json::protocol_name;
use crate::shard::{Class, End, Reason};
use crate::tcp::State;
use crate::view::{KernelLosses, LinkState, Loss, Plane, PortView, Report, Traffic, View};
use crate::wire::protocol;

/// Protocols whose number of connections is there even where it is 0: whether of IPv6, and the number.
const NAMED: [(bool, u8); 4] =
    [(false, protocol::TCP), (false, protocol::UDP), (false, protocol::ICMP), (true, protocol::ICMPV6)];

/// A worker beside the numbers it showed when the page was begun: all of them are of one moment.
struct Worker {
    view: Arc<View>,
    report: Report,
}

impl Worker {
    fn number(&self) -> Cow<'static, str> {
        self.view.number.to_string().into()
    }
}

/// Every family, in the order in which they are written.
pub(super) fn families(plane: &Plane) -> Vec<Family> {
    let workers: Vec<Worker> =
        plane.workers.iter().map(|view| Worker { view: Arc::clone(view), report: view.report() }).collect();
    let mut families = vec![
        build(),
        Family::gauge("start_time", "When it was started, since 1970")
            .of(Measure::Seconds)
            .only(Value::Real(plane.started)),
    ];
    families.extend(verdicts(&workers));
    families.extend(connections(&workers));
    families.push(states(&workers));
    families.extend(work(&workers));
    families.extend(umem(plane, &workers));
    families.extend(ports(plane));
    families.extend(traffic(plane, &workers));
    families.extend(kernel(plane));
    families.extend(table(plane, &workers));
    families
}

fn build() -> Family {
    let mut family = Family::info("build", "The program");
    family.push(vec![("version", env!("CARGO_PKG_VERSION").into())], Value::Whole(1));
    family
}

/// What the shards judged. Each of the three divides the same packets, in its own way.
fn verdicts(workers: &[Worker]) -> [Family; 3] {
    let mut verdicts = Family::counter("packets", "Packets judged, by what became of them");
    let mut classes = Family::counter("packets_by_class", "Packets judged, by what they were");
    let mut reasons = Family::counter(
        "packets_by_reason",
        "Packets that were dropped, or let through without an effect, by the reason",
    );
    for worker in workers {
        let counters = &worker.report.counters;
        let labels = |name, value| vec![("shard", worker.number()), (name, Cow::Borrowed(value))];
        verdicts.push(labels("verdict", "accept"), Value::Whole(counters.accepted));
        verdicts.push(labels("verdict", "drop"), Value::Whole(counters.dropped));
        for (class, number) in Class::ALL.into_iter().zip(counters.by_class) {
            classes.push(labels("class", class.name()), Value::Whole(number));
        }
        for (reason, number) in Reason::all().zip(counters.by_reason) {
            reasons.push(labels("reason", reason.name()), Value::Whole(number));
        }
    }
    [verdicts, classes, reasons]
}

/// Which connections began, ended and live.
fn connections(workers: &[Worker]) -> [Family; 6] {
    let mut begun = Family::counter("connections_begun", "Connections begun");
    let mut ended = Family::counter("connections_ended", "Connections ended, by how");
    let mut live = Family::gauge("connections", "Connections in the table, by protocol");
    let mut exhausted = Family::counter(
        "annexes_exhausted",
        "Segments after which a hole or a SYN could not be remembered because every annex was taken",
    );
    let mut displaced = Family::counter(
        "annexes_displaced",
        "Annexes taken from a connection that not both sides had confirmed for another such, or for what must be remembered from a hole or from what was remembered for longer than MSL",
    );
    let mut events = Family::counter("events", "Beginnings, changes of states and ends of connections");
    for worker in workers {
        let Report { counters, census, .. } = &worker.report;
        let shard = || ("shard", worker.number());
        begun.push(vec![shard()], Value::Whole(counters.begun));
        exhausted.push(vec![shard()], Value::Whole(counters.annexes_exhausted));
        displaced.push(vec![shard()], Value::Whole(counters.annexes_displaced));
        events.push(vec![shard()], Value::Whole(worker.view.events.published()));
        for (end, number) in End::ALL.into_iter().zip(counters.ended) {
            ended.push(vec![shard(), ("end", end.name().into())], Value::Whole(number));
        }
        for (protocol, number) in by_protocol(&census.by_protocol) {
            live.push(vec![shard(), ("protocol", protocol)], Value::Whole(number));
        }
    }
    [begun, ended, live, events, exhausted, displaced]
}

/// Connections by the protocol's name; both versions of IP together.
fn by_protocol(census: &[[u32; 256]; 2]) -> BTreeMap<Cow<'static, str>, u64> {
    let named = NAMED.map(|(is_v6, protocol)| (protocol_name(protocol, is_v6), 0));
    let mut found = BTreeMap::from(named);
    for (is_v6, numbers) in [false, true].into_iter().zip(census) {
        for (protocol, &number) in (0..=u8::MAX).zip(numbers).filter(|(_, number)| **number > 0) {
            *found.entry(protocol_name(protocol, is_v6)).or_default() += u64::from(number);
        }
    }
    found
}

/// TCP connections by both endpoints' states, of all shards together: with one series for each shard, the
/// 121 pairs would be most of the page.
fn states(workers: &[Worker]) -> Family {
    let mut family =
        Family::gauge("tcp_connections", "TCP connections in the table, by the states of both endpoints");
    for originator in State::ALL {
        for responder in State::ALL {
            let of =
                |worker: &Worker| worker.report.census.by_states[originator as usize][responder as usize];
            let number = workers.iter().map(|worker| u64::from(of(worker))).sum();
            let labels = vec![
                ("state_originator", originator.name().into()),
                ("state_responder", responder.name().into()),
            ];
            family.push(labels, Value::Whole(number));
        }
    }
    family
}

/// How the workers get on.
fn work(workers: &[Worker]) -> [Family; 8] {
    let mut info = Family::info("worker", "A worker, and the core it runs on where it has one of its own");
    let mut bursts = Family::counter("worker_bursts", "Bursts that held at least one packet");
    let mut turns = Family::counter("worker_turns", "Times that a worker looked at all its rings");
    let mut sleeps = Family::counter("worker_sleeps", "Times that a worker went to sleep");
    let mut busy = Family::counter("worker_busy", "Time spent in turns that found something to do");
    let mut handed =
        Family::counter("worker_handed_over_packets", "Packets given to the worker they belong to");
    let mut overlapped =
        Family::counter("worker_overlapped_bursts", "Bursts judged when the next one had been read already");
    let mut taken = Family::counter("worker_taken_over_packets", "Packets taken over from other workers");
    busy = busy.of(Measure::Seconds);
    for worker in workers {
        let work = &worker.report.work;
        let label = || vec![("worker", worker.number())];
        let cpu = worker.view.cpu.map_or_else(String::new, |cpu| cpu.to_string());
        info.push([label(), vec![("cpu", cpu.into())]].concat(), Value::Whole(1));
        bursts.push(label(), Value::Whole(work.bursts));
        turns.push(label(), Value::Whole(work.turns));
        sleeps.push(label(), Value::Whole(work.sleeps));
        busy.push(label(), Value::Real(work.busy_nanoseconds as f64 / 1e9));
        handed.push(label(), Value::Whole(work.handed_over));
        overlapped.push(label(), Value::Whole(work.overlapped));
        taken.push(label(), Value::Whole(work.taken_over));
    }
    [info, bursts, overlapped, turns, sleeps, busy, handed, taken]
}

/// Where the UMEM's frames are.
fn umem(plane: &Plane, workers: &[Worker]) -> [Family; 4] {
    let mut places = Family::gauge(
        "umem_worker_frames",
        "UMEM frames by where they are; those filling and sending may be negative for one worker, not for all",
    );
    for worker in workers {
        let frames = &worker.report.frames;
        for (place, number) in [
            ("free", Value::Whole(frames.free)),
            ("held", Value::Whole(frames.held)),
            ("under_way", Value::Signed(frames.under_way)),
            ("filling", Value::Signed(frames.filling)),
            ("sending", Value::Signed(frames.sending)),
        ] {
            places.push(vec![("worker", worker.number()), ("place", place.into())], number);
        }
    }
    [
        Family::gauge("umem_frames", "Frames that the UMEM has").only(Value::Whole(plane.umem_frames)),
        Family::gauge("umem_frame_size", "Length of a UMEM frame")
            .of(Measure::Bytes)
            .only(Value::Whole(plane.frame_size)),
        Family::gauge("umem_spare_frames", "Free UMEM frames that no worker has")
            .only(Value::Whole(plane.spare_frames.look())),
        places,
    ]
}

fn labels_of(port: &PortView) -> Labels {
    vec![("port", port.name.clone().into()), ("interface", port.interface.clone().into())]
}

/// What the ports are.
fn ports(plane: &Plane) -> [Family; 4] {
    let mut info =
        Family::info("port", "A port, and the zone of its connections where it belongs to a bridge");
    let mut state =
        Family::gauge("port_state", "1 for the state that the port's interface is in, 0 for others");
    let mut unclaimed = Family::counter(
        "port_unclaimed_packets",
        "Packets that the XDP program dropped because no socket was there for them",
    );
    let mut queues =
        Family::info("queue", "A receive queue, and how frames get from the driver to the worker");
    for port in &plane.ports {
        let zone = port.zone.map_or_else(String::new, |zone| zone.to_string());
        info.push([labels_of(port), vec![("zone", zone.into())]].concat(), Value::Whole(1));
        let now = port.state.get();
        for other in [LinkState::Up, LinkState::Down, LinkState::Gone] {
            let labels = [labels_of(port), vec![("state", other.name().into())]].concat();
            state.push(labels, Value::Whole(u64::from(other == now)));
        }
        unclaimed.push(labels_of(port), Value::Whole(port.unclaimed.look()));
        for queue in &port.queues {
            let more = vec![("queue", queue.queue.to_string().into()), ("mode", queue.mode.into())];
            queues.push([labels_of(port), more].concat(), Value::Whole(1));
        }
    }
    [info, state, unclaimed, queues]
}

/// What went through the sockets.
fn traffic(plane: &Plane, workers: &[Worker]) -> [Family; 5] {
    let mut received = Family::counter("port_received_packets", "Packets received");
    let mut received_bytes = Family::counter("port_received", "Bytes received, link header included");
    let mut sent = Family::counter("port_sent_packets", "Packets given to the port to send");
    let mut sent_bytes =
        Family::counter("port_sent", "Bytes given to the port to send, link header included");
    let mut lost = Family::counter(
        "port_lost_packets",
        "Packets that came in here and were dropped behind the shard, by the reason",
    );
    received_bytes = received_bytes.of(Measure::Bytes);
    sent_bytes = sent_bytes.of(Measure::Bytes);
    for worker in workers {
        for (socket, of) in worker.view.sockets.iter().zip(&worker.report.sockets) {
            let Some(port) = plane.ports.get(socket.port) else { continue };
            let labels = || {
                let more = vec![("queue", socket.queue.to_string().into()), ("worker", worker.number())];
                [labels_of(port), more].concat()
            };
            let Traffic { received: into, sent: out, lost: losses } = of;
            received.push(labels(), Value::Whole(into.packets));
            received_bytes.push(labels(), Value::Whole(into.bytes));
            sent.push(labels(), Value::Whole(out.packets));
            sent_bytes.push(labels(), Value::Whole(out.bytes));
            for (loss, &number) in Loss::ALL.into_iter().zip(losses) {
                lost.push([labels(), vec![("reason", loss.name().into())]].concat(), Value::Whole(number));
            }
        }
    }
    [received, received_bytes, sent, sent_bytes, lost]
}

/// What the kernel lost. A queue whose interface is gone has no numbers.
fn kernel(plane: &Plane) -> [Family; 2] {
    let mut lost = Family::counter(
        "kernel_lost_packets",
        "Packets that the kernel lost at a queue's sockets, by the reason; rx_dropped counts those for which \
         the fill ring was empty",
    );
    let mut empty = Family::counter("kernel_ring_empty", "Times that the kernel found a ring empty");
    for port in &plane.ports {
        for queue in &port.queues {
            let Some(losses) = queue.losses.look() else { continue };
            let KernelLosses {
                rx_dropped,
                rx_invalid,
                tx_invalid,
                tx_dropped,
                rx_ring_full,
                fill_ring_empty,
                tx_ring_empty,
            } = losses;
            let labels = |name, value: &'static str| {
                let more = vec![("queue", queue.queue.to_string().into()), (name, value.into())];
                [labels_of(port), more].concat()
            };
            for (reason, number) in [
                ("rx_dropped", rx_dropped),
                ("rx_invalid", rx_invalid),
                ("tx_invalid", tx_invalid),
                ("tx_dropped", tx_dropped),
                ("rx_ring_full", rx_ring_full),
            ] {
                lost.push(labels("reason", reason), Value::Whole(number));
            }
            empty.push(labels("ring", "fill"), Value::Whole(fill_ring_empty));
            empty.push(labels("ring", "tx"), Value::Whole(tx_ring_empty));
        }
    }
    [lost, empty]
}

/// What the table's memory is.
fn table(plane: &Plane, workers: &[Worker]) -> [Family; 5] {
    let mut memory = Family::info("table", "What the table's memory is made of");
    memory.push(vec![("memory", plane.table_memory.clone().into())], Value::Whole(1));
    let mut capacity = Family::gauge("table_capacity_connections", "The most connections of a shard");
    for worker in workers {
        let number = u64::from(worker.view.table.capacity());
        capacity.push(vec![("shard", worker.number())], Value::Whole(number));
    }
    let mut resident =
        Family::gauge("table_resident", "Memory that the tables really hold").of(Measure::Bytes);
    if let Some(bytes) = plane.table_resident.look() {
        resident.push(Vec::new(), Value::Whole(bytes));
    }
    let mut huge =
        Family::gauge("table_huge", "Memory of the tables that lies in huge pages").of(Measure::Bytes);
    if let Some(bytes) = plane.table_huge.look() {
        huge.push(Vec::new(), Value::Whole(bytes));
    }
    let reserved = Family::gauge("table_reserved", "Address space reserved for the tables")
        .of(Measure::Bytes)
        .only(Value::Whole(plane.table_bytes));
    [memory, capacity, reserved, resident, huge]
}
