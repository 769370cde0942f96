//! The metrics as a monitoring system reads them: the format, the names, and that nothing is missing.

#![allow(clippy::unwrap_used, reason = "a test that cannot make or read something fails, and says where")]

mod document;
mod grammar;
mod naming;

use std::cell::Cell;
use std::sync::Arc;

use lastack::control::Stats;
use lastack::metrics::exposition;
use lastack::shard::{Census, Class, Counters, End, Reason, Shard};
use lastack::table::{HashKeys, Table};
use lastack::tcp::State;
use lastack::time::SystemClock;
use lastack::view::{
    Frames, KernelLosses, LinkState, Loss, Plane, PortState, PortView, QueueView, Report, Socket, Traffic,
    View, Volume, Watch, Work, events,
};
use serde_json::Value;

/// Hands out numbers, each once.
#[derive(Default)]
struct Numbers(Cell<u64>);

impl Numbers {
    fn next(&self) -> u64 {
        // Far from whatever a page holds of itself: versions, 1 for an information, 0 for a state.
        self.0.set(self.0.get().max(1000) + 1);
        self.0.get()
    }

    fn next_small(&self) -> u32 {
        u32::try_from(self.next()).unwrap()
    }

    fn volume(&self) -> Volume {
        Volume { packets: self.next(), bytes: self.next() }
    }

    fn counters(&self) -> Counters {
        Counters {
            accepted: self.next(),
            dropped: self.next(),
            by_class: [(); Class::ALL.len()].map(|()| self.next()),
            by_reason: [(); Reason::COUNT].map(|()| self.next()),
            begun: self.next(),
            ended: [(); End::ALL.len()].map(|()| self.next()),
            annexes_exhausted: self.next(),
            annexes_displaced: self.next(),
        }
    }

    fn census(&self) -> Census {
        // One version of IP is enough for a name; the other has a protocol without one.
        let mut by_protocol = [[0; 256]; 2];
        for protocol in [1, 6, 17, 47] {
            by_protocol[0][protocol] = self.next_small();
        }
        for protocol in [58, 132] {
            by_protocol[1][protocol] = self.next_small();
        }
        let by_states = [(); State::ALL.len()].map(|()| [(); State::ALL.len()].map(|()| self.next_small()));
        Census { by_protocol, by_states }
    }

    fn report(&self) -> Report {
        let signed = || i64::try_from(self.next()).unwrap();
        Report {
            counters: self.counters(),
            census: self.census(),
            work: Work {
                bursts: self.next(),
                turns: self.next(),
                sleeps: self.next(),
                busy_nanoseconds: self.next() * 1_000_000_000,
                handed_over: self.next(),
                taken_over: self.next(),
                overlapped: self.next(),
            },
            frames: Frames {
                free: self.next(),
                held: self.next(),
                under_way: self.next() as i64,
                filling: signed(),
                sending: -signed(),
            },
            sockets: vec![Traffic {
                received: self.volume(),
                sent: self.volume(),
                lost: [(); Loss::ALL.len()].map(|()| self.next()),
            }],
        }
    }

    fn losses(&self) -> KernelLosses {
        KernelLosses {
            rx_dropped: self.next(),
            rx_invalid: self.next(),
            tx_invalid: self.next(),
            tx_dropped: self.next(),
            rx_ring_full: self.next(),
            fill_ring_empty: self.next(),
            tx_ring_empty: self.next(),
        }
    }

    fn watch(&self) -> Watch<u64> {
        let number = self.next();
        Watch::new(move || number)
    }
}

/// A middlebox of one worker and two ports, the second without a socket, whose every number is another one;
/// the first port is called `name`.
fn plane(name: &str, numbers: &Numbers) -> Plane {
    let poll = mio::Poll::new().unwrap();
    let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
    let layout = Shard::layout_for_connections(numbers.next_small()).unwrap();
    let table = Table::new(layout, HashKeys([1; 4])).unwrap();
    let sockets = vec![Socket { port: 0, queue: 3 }];
    let (writer, log) = events::with_capacity(8);
    writer.publish(numbers.next());
    let view = View::new(7, Some(5), sockets, table.reader(), log, numbers.report(), waker);
    let losses = numbers.losses();
    let queue = |queue, losses| QueueView { queue, mode: "native", losses: Watch::new(move || losses) };
    let port = |name: &str, zone, queues| PortView {
        name: name.to_owned(),
        interface: format!("{name}0"),
        zone,
        queues,
        unclaimed: numbers.watch(),
        state: PortState::default(),
    };
    let (resident, huge) = (numbers.next(), numbers.next());
    Plane {
        workers: vec![Arc::new(view)],
        ports: vec![
            port(name, Some(0), vec![queue(3, Some(losses))]),
            port("outside", None, vec![queue(0, None)]),
        ],
        clock: SystemClock::since_1970(),
        started: numbers.next() as f64,
        umem_frames: numbers.next(),
        frame_size: numbers.next(),
        spare_frames: numbers.watch(),
        table_memory: "huge pages".to_owned(),
        table_bytes: numbers.next(),
        table_resident: Watch::new(move || Some(resident)),
        table_huge: Watch::new(move || Some(huge)),
    }
}

#[test]
fn every_number_of_a_running_middlebox_is_on_the_page_once() {
    let numbers = Numbers::default();
    let plane = plane("inside", &numbers);
    let page = grammar::read(&exposition(&plane)).unwrap();
    let values: Vec<f64> =
        page.iter().flat_map(|family| &family.samples).map(|sample| sample.value.abs()).collect();
    for number in 1001..=numbers.0.get() {
        let times = values.iter().filter(|&&value| value == number as f64).count();
        assert_eq!(times, 1, "the number {number} stands on the page {times} times");
    }
}

#[test]
fn a_queue_whose_interface_is_gone_has_no_losses_and_the_others_have() {
    let page = exposition(&plane("inside", &Numbers::default()));
    let losses: Vec<&str> = page.lines().filter(|line| line.starts_with("lastack_kernel_")).collect();
    assert_eq!(losses.len(), 7);
    assert!(losses.iter().all(|line| line.contains("port=\"inside\",interface=\"inside0\",queue=\"3\"")));
}

#[test]
fn the_states_of_all_shards_are_added_up() {
    let numbers = Numbers::default();
    let mut plane = plane("inside", &numbers);
    plane.workers.push(Arc::clone(&plane.workers[0]));
    let once = plane.workers[0].report().census.by_states[State::TimeWait as usize][State::Closed as usize];
    let expected = format!(
        "lastack_tcp_connections{{state_originator=\"TIME_WAIT\",state_responder=\"CLOSED\"}} {}",
        2 * once
    );
    assert!(exposition(&plane).lines().any(|line| line == expected), "{expected}");
}

#[test]
fn the_state_a_port_is_in_is_the_one_that_is_1() {
    let plane = plane("inside", &Numbers::default());
    plane.ports[1].state.set(LinkState::Gone);
    let page = exposition(&plane);
    for (state, value) in [("up", 0), ("down", 0), ("gone", 1)] {
        let labels = format!("port=\"outside\",interface=\"outside0\",state=\"{state}\"");
        let expected = format!("lastack_port_state{{{labels}}} {value}");
        assert!(page.lines().any(|line| line == expected), "{expected}");
    }
}

/// Every number of `value` with the names that lead to it.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, f64)>) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => {}
        Value::Number(number) => found.push((path.to_owned(), number.as_f64().unwrap())),
        Value::Array(elements) => elements.iter().for_each(|element| leaves(element, path, found)),
        Value::Object(fields) => {
            for (name, field) in fields {
                leaves(field, &format!("{path}.{name}"), found);
            }
        }
    }
}

#[test]
fn whatever_stats_says_the_metrics_say_too() {
    let plane = plane("inside", &Numbers::default());
    let page = grammar::read(&exposition(&plane)).unwrap();
    let family = |name: &str| &page.iter().find(|family| family.name == name).unwrap().samples;
    let sum = |name: &str| family(name).iter().map(|sample| sample.value).sum::<f64>();
    let labelled = |name: &str, label: (&str, &str)| {
        let bears = |(name, value): &(String, String)| (name.as_str(), value.as_str()) == label;
        family(name).iter().find(|sample| sample.labels.iter().any(bears)).unwrap().value
    };
    let frames = |place| labelled("lastack_umem_worker_frames", ("place", place));
    let free = frames("free") + sum("lastack_umem_spare_frames");
    // Sums that whoever reads the metrics makes of them: the path in stats, and how.
    let derived = [
        (".connections.live", sum("lastack_connections")),
        (
            ".packets.dropped",
            labelled("lastack_packets", ("verdict", "drop")) + sum("lastack_port_lost_packets"),
        ),
        (".shards.ended", sum("lastack_connections_ended")),
        (".memory.frames.free", free),
        (
            ".memory.frames.unaccounted",
            sum("lastack_umem_frames")
                - free
                - ["held", "under_way", "filling", "sending"].map(frames).iter().sum::<f64>(),
        ),
    ];
    // What a page need not say: its reader knows the time, the number of the shard is a label, and how full
    // a table is follows from two numbers, which this test's empty table and full census contradict.
    let elsewhere = [
        ".time",
        ".uptime",
        ".shards.number",
        ".shards.live",
        ".workers.number",
        ".workers.cpu",
        ".ports.queues.queue",
        ".ports.zone",
        ".connections.fullest",
    ];
    let mut found = Vec::new();
    leaves(&serde_json::to_value(Stats::of(&plane)).unwrap(), "", &mut found);
    assert!(found.len() > 100, "stats has become a small thing");
    for (path, value) in found {
        let sample = || page.iter().flat_map(|family| &family.samples).any(|sample| sample.value == value);
        match derived.iter().find(|(other, _)| *other == path) {
            Some((_, expected)) => assert_eq!(value, *expected, "{path}"),
            None => assert!(elsewhere.contains(&path.as_str()) || sample(), "{path} = {value} has no metric"),
        }
    }
}
