//! The server with real shards behind it, driven by hand: no thread, no sleep, every order of things chosen.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mio::{Events, Poll};
use serde_json::{Value, json};

use super::*;
use crate::time::{SystemClock, Time};
use crate::view::testing::{FIN_ACK, Worker, back, datagram, handshake, ping, there};
use crate::view::{LinkState, Plane, PortState, PortView, QueueView, Watch};
use crate::wire::Flags;

const FIRST_TOKEN: usize = 100;
/// More steps than any of these answers takes.
const PATIENCE: u32 = 1_000_000;

/// A directory of its own, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lastack-control-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("run/control.sock")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed hides no failure of the test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A middlebox without wires: workers, a server, and the loop of its main thread.
struct Lab {
    scratch: Scratch,
    workers: Vec<Worker>,
    plane: Plane,
    poll: Poll,
    server: Server,
    /// Later than the clock by this.
    ahead: Duration,
    most_buffered: usize,
}

impl Lab {
    fn new(workers: u32, connections: u32, events: usize) -> Lab {
        let scratch = Scratch::new();
        let clock = SystemClock::since_1970();
        let workers: Vec<Worker> = (0..workers)
            .map(|number| Worker::new(number, workers, connections, events, clock.now()))
            .collect();
        let poll = Poll::new().unwrap();
        let server = Server::bind(&scratch.socket(), poll.registry(), FIRST_TOKEN).unwrap();
        let plane = Plane {
            workers: workers.iter().map(|worker| Arc::clone(&worker.view)).collect(),
            ports: vec![PortView {
                name: "inside".to_owned(),
                interface: "la-0".to_owned(),
                zone: Some(0),
                queues: vec![QueueView { queue: 0, mode: "native", losses: Watch::new(|| None) }],
                unclaimed: Watch::new(|| 3),
                state: PortState::default(),
            }],
            started: clock.now().seconds(),
            clock,
            umem_frames: 100,
            frame_size: 4096,
            spare_frames: Watch::new(|| 60),
            table_memory: "ordinary pages".to_owned(),
            table_bytes: 1 << 20,
            table_resident: Watch::new(|| Some(4096)),
        };
        Lab { scratch, workers, plane, poll, server, ahead: Duration::ZERO, most_buffered: 0 }
    }

    fn now(&self) -> Time {
        let ahead = u64::try_from(self.ahead.as_nanos()).unwrap();
        Time::from_nanoseconds(self.plane.clock.now().nanoseconds() + ahead)
    }

    /// What the daemon's main thread does when it wakes; returns when it should again.
    fn step(&mut self) -> Option<Duration> {
        let mut events = Events::with_capacity(128);
        self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        for event in &events {
            assert!(self.server.owns(event.token()));
            self.server.ready(self.poll.registry(), event, &self.plane);
        }
        let now = self.now();
        let again = self.server.turn_at(now, self.poll.registry(), &self.plane);
        self.most_buffered = self.most_buffered.max(self.server.buffered());
        again
    }

    fn connect(&mut self) -> Peer {
        let stream = UnixStream::connect(self.scratch.socket()).unwrap();
        stream.set_nonblocking(true).unwrap();
        self.step();
        Peer { stream, bytes: Vec::new(), is_closed: false }
    }

    /// Asks on a new connection and reads until the answer ends; the workers go on meanwhile.
    fn ask(&mut self, request: &Value) -> Vec<Value> {
        let mut peer = self.connect();
        peer.send(request);
        self.answer(&mut peer)
    }

    fn answer(&mut self, peer: &mut Peer) -> Vec<Value> {
        let mut lines = Vec::new();
        for _ in 0..PATIENCE {
            self.step();
            self.workers.iter_mut().for_each(|worker| worker.turn(&[]));
            lines.extend(peer.lines());
            if lines.last().is_some_and(|line| line["record"] == "end" || line["record"] == "error") {
                return lines;
            }
            assert!(!peer.is_closed, "closed within an answer: {lines:?}");
        }
        panic!("no end of: {lines:?}");
    }

    fn list(&mut self, filter: &Value) -> Vec<u64> {
        let lines = self.ask(&json!({ "lastack": 1, "command": "list", "filter": filter }));
        assert_eq!(lines[0]["record"], "snapshot");
        assert_eq!(lines.last().unwrap()["record"], "end", "{lines:?}");
        let mut found: Vec<u64> = lines[1..lines.len() - 1].iter().map(id).collect();
        found.sort_unstable();
        found
    }
}

fn id(line: &Value) -> u64 {
    assert_eq!(line["record"], "connection", "{line}");
    line["id"].as_u64().unwrap()
}

fn request(command: &str) -> Value {
    json!({ "lastack": 1, "command": command })
}

/// A client that reads when it is told to.
struct Peer {
    stream: UnixStream,
    bytes: Vec<u8>,
    is_closed: bool,
}

impl Peer {
    fn send(&mut self, request: &Value) {
        self.stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    }

    /// Reads at most this many bytes.
    fn read(&mut self, at_most: usize) -> usize {
        let mut chunk = vec![0; at_most];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.is_closed = true,
            Ok(length) => self.bytes.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.is_closed = true,
            Err(error) => panic!("{error}"),
        }
        chunk.len()
    }

    /// All whole lines that are there.
    fn lines(&mut self) -> Vec<Value> {
        while !self.is_closed && self.read(1 << 16) > 0 {}
        let Some(end) = self.bytes.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let whole: Vec<u8> = self.bytes.drain(..=end).collect();
        whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse).collect()
    }
}

fn parse(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap()
}

/// Two shards: 2 is open, 4 is half closed, 6 was only begun; 3 is UDP over IPv6, 5 a ping.
fn populated() -> Lab {
    let mut lab = Lab::new(2, 64, 1 << 10);
    lab.workers[0].turn(&handshake(1001));
    lab.workers[0].turn(&[handshake(1002), vec![there(1002, FIN_ACK, 1, 1)]].concat());
    lab.workers[0].turn(&[back(1002, Flags::ACK, 1, 2), there(1003, Flags::SYN, 0, 0)]);
    lab.workers[1].turn(&[datagram(2001), ping(77)]);
    lab
}

mod answers {
    use super::*;

    #[test]
    fn a_listing_has_a_header_then_connections_as_a_replay_tells_them_and_an_end() {
        let mut lab = populated();
        let lines = lab.ask(&request("list"));
        assert_eq!(lines[0]["record"], "snapshot");
        assert_eq!(lines[0]["sequences"], json!([lab.workers[0].shard.sequence(), 2]));
        let now = lab.plane.clock.now().seconds();
        assert!((lines[0]["time"].as_f64().unwrap() - now).abs() < 60.0);
        let ping = lines.iter().find(|line| line["id"] == 5).unwrap();
        assert_eq!(
            *ping,
            json!({
                "record": "connection", "id": 5, "zone": 0, "protocol": "icmp",
                "original": { "source": "10.0.0.1", "source_port": null, "destination": "10.0.0.2",
                              "destination_port": null, "icmp_id": 77 },
                "reply": { "source": "10.0.0.2", "source_port": null, "destination": "10.0.0.1",
                           "destination_port": null, "icmp_id": 77 },
                "states": null, "end": null, "started": ping["started"], "last_seen": ping["last_seen"],
                "expires_in": ping["expires_in"], "packets": { "original": 1, "reply": 0 },
                "bytes": { "original": 36, "reply": 0 },
            })
        );
        assert!((ping["started"].as_f64().unwrap() - now).abs() < 60.0, "Unix seconds");
        assert!((0.0..=30.0).contains(&ping["expires_in"].as_f64().unwrap()));
    }

    #[test]
    fn all_conditions_of_a_filter_must_hold() {
        let mut lab = populated();
        for (filter, expected) in [
            (json!({}), vec![2, 3, 4, 5, 6]),
            (json!({ "source": "10.0.0.1" }), vec![2, 4, 5, 6]),
            (json!({ "source": "10.0.0.2" }), vec![]),
            (json!({ "source": "10.0.0.0/30" }), vec![2, 4, 5, 6]),
            (json!({ "source": "10.0.0.4/30" }), vec![]),
            (json!({ "source": "0.0.0.0/0" }), vec![2, 4, 5, 6]),
            (json!({ "source": "::/0" }), vec![3]),
            (json!({ "destination": "fd00::/15" }), vec![3]),
            (json!({ "destination": "10.0.0.1" }), vec![]),
            (json!({ "address": "10.0.0.2" }), vec![2, 4, 5, 6]),
            (json!({ "address": "fd00::1" }), vec![3]),
            (json!({ "source_port": 1002 }), vec![4]),
            (json!({ "source_port": 80 }), vec![]),
            (json!({ "destination_port": 80 }), vec![2, 4, 6]),
            (json!({ "port": 1003 }), vec![6]),
            (json!({ "port": 53 }), vec![3]),
            (json!({ "port": 77 }), vec![]),
            (json!({ "protocol": "tcp" }), vec![2, 4, 6]),
            (json!({ "protocol": "17" }), vec![3]),
            (json!({ "protocol": "icmp" }), vec![5]),
            (json!({ "protocol": "icmpv6" }), vec![]),
            (json!({ "zone": 0 }), vec![2, 3, 4, 5, 6]),
            (json!({ "zone": 1 }), vec![]),
            (json!({ "shard": 1 }), vec![3, 5]),
            (json!({ "shard": 2 }), vec![]),
            (json!({ "state": "CLOSE_WAIT" }), vec![4]),
            (json!({ "state": "LISTEN" }), vec![6]),
            (json!({ "state": "FIN_WAIT_2/CLOSE_WAIT" }), vec![4]),
            (json!({ "state": "CLOSE_WAIT/FIN_WAIT_2" }), vec![]),
            (json!({ "id": [2, 5, 99] }), vec![2, 5]),
            (json!({ "id": [2, 5], "protocol": "tcp" }), vec![2]),
            (json!({ "destination_port": 80, "state": "ESTABLISHED" }), vec![2]),
        ] {
            assert_eq!(lab.list(&filter), expected, "{filter}");
            let count = lab.ask(&json!({ "lastack": 1, "command": "count", "filter": filter }));
            assert_eq!(count[0]["connections"], expected.len(), "{filter}");
        }
    }

    #[test]
    fn a_condition_reads_and_writes_itself() {
        for text in ["10.0.0.0/8", "10.0.0.1", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<filter::Prefix>().unwrap().to_string(), text);
        }
        for text in ["tcp", "udp", "icmp", "icmpv6", "47", "1", "58"] {
            assert_eq!(text.parse::<filter::Protocol>().unwrap().to_string(), text);
        }
        for text in ["TIME_WAIT", "FIN_WAIT_2/CLOSE_WAIT"] {
            assert_eq!(text.parse::<filter::States>().unwrap().to_string(), text);
            assert_eq!(text.to_lowercase().parse::<filter::States>().unwrap().to_string(), text);
        }
        for wrong in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "host", "10.0.0.0/"] {
            assert!(wrong.parse::<filter::Prefix>().is_err(), "{wrong}");
        }
        for wrong in ["", "256", "sctp", "-1"] {
            assert!(wrong.parse::<filter::Protocol>().is_err(), "{wrong}");
        }
        for wrong in ["", "/", "OPEN", "ESTABLISHED/", "A/B/C"] {
            assert!(wrong.parse::<filter::States>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_count_comes_by_protocol_and_by_states() {
        let mut lab = populated();
        let expected = json!({
            "record": "count", "connections": 5, "by_protocol": { "icmp": 1, "tcp": 3, "udp": 1 },
            "by_states": { "ESTABLISHED/ESTABLISHED": 1, "FIN_WAIT_2/CLOSE_WAIT": 1, "SYN_SENT/LISTEN": 1 },
        });
        assert_eq!(lab.ask(&request("count"))[0], expected, "from the census");
        let all = json!({ "lastack": 1, "command": "count", "filter": { "zone": 0 } });
        assert_eq!(lab.ask(&all)[0], expected, "from the table");
    }

    #[test]
    fn what_fits_is_deleted_and_the_rest_stays() {
        let mut lab = populated();
        let delete = |filter: Value| json!({ "lastack": 1, "command": "delete", "filter": filter });
        assert_eq!(lab.ask(&delete(json!({ "protocol": "sctp" }))).len(), 1, "a wrong filter");
        let lines = lab.ask(&delete(json!({ "state": "CLOSE_WAIT" })));
        assert_eq!(lines, [json!({ "record": "deleted", "connections": 1 }), json!({ "record": "end" })]);
        assert_eq!(lab.list(&json!({})), [2, 3, 5, 6]);
        let lines = lab.ask(&delete(json!({ "id": [3, 6] })));
        assert_eq!(lines[0]["connections"], 2, "of both shards");
        assert_eq!(lab.list(&json!({})), [2, 5]);
        assert_eq!(lab.ask(&delete(json!({ "id": [3] })))[0]["connections"], 0);
    }

    #[test]
    fn delete_without_a_filter_is_refused_and_flush_deletes_everything() {
        let mut lab = populated();
        let refused = lab.ask(&request("delete"));
        assert_eq!(refused[0]["record"], "error");
        assert!(refused[0]["message"].as_str().unwrap().contains("flush"));
        assert_eq!(lab.list(&json!({})).len(), 5);
        assert_eq!(lab.ask(&request("flush"))[0], json!({ "record": "deleted", "connections": 5 }));
        assert_eq!(lab.list(&json!({})).len(), 0);
    }

    #[test]
    fn a_deletion_waits_for_a_worker_whose_queue_is_full() {
        let mut lab = Lab::new(1, 6000, 1 << 15);
        lab.workers[0].turn(&(0..6000).map(datagram).collect::<Vec<_>>());
        let mut peer = lab.connect();
        peer.send(&request("flush"));
        // 16 commands of 256 fit; the worker looks at none of them.
        for _ in 0..100 {
            lab.step();
        }
        assert_eq!(lab.plane.workers[0].commands.len(), 16);
        assert_eq!(peer.lines(), Vec::<Value>::new());
        assert_eq!(lab.answer(&mut peer)[0]["connections"], 6000);
    }

    #[test]
    fn the_numbers_are_those_of_the_workers_and_read_back_as_themselves() {
        let mut lab = populated();
        lab.plane.ports[0].state.set(LinkState::Down);
        let mut lines = lab.ask(&request("stats"));
        assert_eq!(lines.len(), 2);
        let stats = lines.remove(0);
        assert_eq!(stats["connections"]["live"], 5);
        assert_eq!(stats["connections"]["capacity"], 128);
        assert_eq!(stats["packets"]["accepted"], 9 + 2);
        assert_eq!(stats["shards"][1]["sequence"], 2);
        assert_eq!(stats["ports"][0]["state"], "down");
        assert_eq!(stats["ports"][0]["unclaimed"], 3);
        assert_eq!(stats["memory"]["frames"]["unaccounted"], 40);
        for reason in ["out_of_window", "table_full", "transmit_full", "hand_over_full"] {
            assert_eq!(stats["packets"]["by_reason"][reason], 0, "{reason}: zero, but there");
        }
        let Line::Stats(read) = serde_json::from_value(stats.clone()).unwrap() else { panic!("{stats}") };
        assert_eq!(serde_json::to_value(Line::Stats(read)).unwrap(), stats);
    }

    #[test]
    fn one_connection_serves_one_request_after_the_other_also_sent_together() {
        let mut lab = populated();
        let mut peer = lab.connect();
        peer.send(&request("count"));
        assert_eq!(lab.answer(&mut peer)[0]["connections"], 5);
        peer.stream.write_all(format!("{0}\n{0}\n", request("count")).as_bytes()).unwrap();
        let mut lines = Vec::new();
        for _ in 0..10 {
            lab.step();
            lines.extend(peer.lines());
        }
        assert_eq!(lines.len(), 4, "{lines:?}");
    }

    #[test]
    fn who_has_said_everything_still_gets_the_whole_answer() {
        let mut lab = populated();
        let mut peer = lab.connect();
        peer.stream.write_all(request("list").to_string().as_bytes()).unwrap();
        peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(lab.answer(&mut peer).len(), 1 + 5 + 1);
        lab.step();
        assert_eq!(lab.server.clients(), 0);
    }
}

mod streams {
    use super::*;

    #[test]
    fn a_hundred_thousand_connections_are_listed_in_constant_memory_while_the_worker_goes_on() {
        const CONNECTIONS: u32 = 100_000;
        let mut lab = Lab::new(1, CONNECTIONS, 1 << 15);
        let path = |n: u32| {
            let [_, a, b, c] = n.to_be_bytes();
            let ports = crate::wire::Ports { source: 1, destination: 53 };
            crate::wire::build::Builder::v4([10, a, b, c], [9, 9, 9, 9]).udp(ports, &[])
        };
        for first in (0..CONNECTIONS).step_by(1000) {
            lab.workers[0].turn(&(first..first + 1000).map(path).collect::<Vec<_>>());
        }
        let mut peer = lab.connect();
        peer.send(&request("list"));
        let mut told = 0;
        while !peer.bytes.ends_with(b"{\"record\":\"end\"}\n") {
            peer.bytes.clear();
            lab.step();
            lab.workers[0].turn(&[]);
            // A client that takes a little at a time.
            peer.read(100_000);
            assert!(!peer.is_closed);
            told += peer.bytes.iter().filter(|byte| **byte == b'\n').count();
        }
        assert_eq!(told, 1 + CONNECTIONS as usize + 1);
        assert!(lab.most_buffered < (64 << 10) + 1024, "{} bytes", lab.most_buffered);
    }

    #[test]
    fn events_are_told_as_they_happen_numbered_without_gaps() {
        let mut lab = populated();
        let mut peer = lab.connect();
        peer.send(&request("events"));
        lab.step();
        let before = lab.workers[0].shard.sequence();
        lab.workers[0].turn(&handshake(7));
        lab.workers[0].turn(&[there(7, Flags::RST, 1, 0)]);
        lab.workers[0].wait(20_000);
        lab.workers[0].turn(&[]);
        lab.step();
        let lines = peer.lines();
        let told: Vec<Value> = lines
            .iter()
            .map(|line| {
                assert_eq!((&line["record"], &line["shard"]), (&json!("event"), &json!(0)));
                json!([
                    line["sequence"].as_u64().unwrap() - before,
                    line["event"],
                    line["states"],
                    line["end"]
                ])
            })
            .collect();
        assert_eq!(
            told,
            [
                json!([1, "new", ["SYN_SENT", "LISTEN"], null]),
                json!([2, "changed", ["ESTABLISHED", "SYN_RECEIVED"], null]),
                json!([3, "changed", ["ESTABLISHED", "ESTABLISHED"], null]),
                json!([4, "changed", ["CLOSED", "CLOSED"], null]),
                json!([5, "ended", ["CLOSED", "CLOSED"], "reset"]),
            ]
        );
        assert_eq!(lines[4]["expires_in"], Value::Null);
        assert_eq!(lines[4]["original"]["source_port"], 7);
    }

    #[test]
    fn a_snapshot_and_the_events_behind_it_are_the_table_as_it_is_in_the_end() {
        let mut lab = populated();
        let mut peer = lab.connect();
        peer.send(&json!({ "lastack": 1, "command": "events", "snapshot": true }));
        let mut lines = Vec::new();
        for port in 3000..3020 {
            lab.step();
            lab.workers[0].turn(&handshake(port));
            lab.workers[1].turn(&[datagram(port)]);
            lines.extend(peer.lines());
        }
        lab.workers[0].turn(&[there(3000, Flags::RST, 1, 0)]);
        lab.workers[0].wait(20_000);
        lab.workers[0].turn(&[]);
        lab.step();
        lines.extend(peer.lines());
        let mut next: Vec<u64> =
            lines[0]["sequences"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() + 1).collect();
        let mut known = std::collections::BTreeMap::new();
        for line in &lines[1..] {
            if line["record"] == "event" {
                let shard = line["shard"].as_u64().unwrap() as usize;
                assert_eq!(line["sequence"], next[shard], "without a gap");
                next[shard] += 1;
            }
            if line["event"] == "ended" {
                assert!(known.remove(&line["id"].as_u64().unwrap()).is_some());
            } else {
                known.insert(line["id"].as_u64().unwrap(), line["states"].clone());
            }
        }
        let now = lab.ask(&request("list"));
        let now: std::collections::BTreeMap<u64, Value> =
            now[1..now.len() - 1].iter().map(|line| (id(line), line["states"].clone())).collect();
        assert_eq!(known, now);
        assert!(known.len() > 40);
    }

    #[test]
    fn who_reads_events_too_slowly_is_told_what_it_missed_and_nothing_grows() {
        let mut lab = Lab::new(1, 1 << 15, 256);
        let mut peer = lab.connect();
        peer.send(&request("events"));
        lab.step();
        for round in 0..100_u16 {
            lab.workers[0].turn(&(0..200).map(|n| datagram(200 * round + n)).collect::<Vec<_>>());
            lab.step();
        }
        assert!(lab.most_buffered < (64 << 10) + 1024, "{} bytes", lab.most_buffered);
        assert_eq!(lab.step(), None, "who does not read is not asked again and again");
        assert_eq!(lab.ask(&request("count"))[0]["connections"], 20_000, "others are served");
        let (mut next, mut missed) = (1, 0);
        while next <= 20_000 {
            lab.step();
            for line in peer.lines() {
                if line["record"] == "missed" {
                    assert_eq!(line["from"], next);
                    missed += line["to"].as_u64().unwrap() + 1 - next;
                    next = line["to"].as_u64().unwrap() + 1;
                } else {
                    assert_eq!(line["sequence"], next);
                    next += 1;
                }
            }
        }
        assert_eq!(next, 20_001);
        assert!(missed > 0);
    }

    #[test]
    fn a_filter_leaves_events_out() {
        let mut lab = populated();
        let mut peer = lab.connect();
        peer.send(
            &json!({ "lastack": 1, "command": "events", "filter": { "port": 9, "state": "ESTABLISHED" } }),
        );
        lab.step();
        lab.workers[0].turn(&[handshake(8), handshake(9)].concat());
        lab.workers[1].turn(&[datagram(9)]);
        lab.step();
        let states: Vec<Value> = peer.lines().into_iter().map(|line| line["states"][1].clone()).collect();
        assert_eq!(states, ["SYN_RECEIVED", "ESTABLISHED"]);
    }

    #[test]
    fn nobody_is_written_for_once_the_last_client_has_gone() {
        let mut lab = populated();
        let mut peer = lab.connect();
        peer.send(&request("events"));
        lab.step();
        let before = lab.workers[0].shard.sequence();
        lab.workers[0].turn(&handshake(7));
        lab.step();
        assert_eq!(peer.lines().len() as u64, lab.workers[0].shard.sequence() - before);
        drop(peer);
        lab.step();
        assert_eq!((lab.server.clients(), lab.server.buffered()), (0, 0));
        assert!(lab.plane.workers.iter().all(|view| !view.events.is_wanted()));
    }
}

mod misbehaviour {
    use super::*;

    /// Sends `bytes` as they are; returns the one line that came before the connection was closed.
    fn dismissed(lab: &mut Lab, bytes: &[u8]) -> Value {
        let mut peer = lab.connect();
        peer.stream.write_all(bytes).unwrap();
        let mut lines = Vec::new();
        while !peer.is_closed {
            lab.step();
            lines.extend(peer.lines());
        }
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lab.server.clients(), 0);
        lines.remove(0)
    }

    #[test]
    fn rubbish_gets_one_line_and_the_door() {
        let mut lab = populated();
        let long = vec![b'x'; 4096];
        let deep = "[".repeat(4000) + "\n";
        for rubbish in [
            &b"\n"[..],
            b"rubbish\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff\xfe\x00\n",
            b"{}\n",
            b"[]\n",
            b"{\"lastack\":1}\n",
            b"{\"lastack\":1,\"command\":\"reboot\"}\n",
            b"{\"lastack\":1,\"command\":\"list\",\"filter\":{\"source\":\"nowhere\"}}\n",
            b"{\"lastack\":1,\"command\":\"list\",\"filter\":{\"colour\":\"red\"}}\n",
            b"{\"lastack\":1,\"command\":\"list\",\"port\":80}\n",
            &long,
            deep.as_bytes(),
        ] {
            let line = dismissed(&mut lab, rubbish);
            assert_eq!(line["record"], "error", "{:?}", String::from_utf8_lossy(rubbish));
        }
        assert_eq!(lab.list(&json!({})).len(), 5, "everybody else is served");
    }

    #[test]
    fn a_client_of_another_version_is_told_so() {
        let mut lab = populated();
        for other in ["{\"lastack\":2,\"command\":\"list\",\"new\":1}\n", "{\"lastack\":0}\n"] {
            let line = dismissed(&mut lab, other.as_bytes());
            assert!(line["message"].as_str().unwrap().contains(env!("CARGO_PKG_VERSION")), "{line}");
        }
    }

    #[test]
    fn who_never_stops_writing_is_read_no_further_than_a_request() {
        let mut lab = populated();
        let mut peer = lab.connect();
        let chunk = vec![b'x'; 1 << 16];
        let mut written: u64 = 0;
        while written < 1 << 30 {
            match peer.stream.write(&chunk) {
                Ok(length) => written += length as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    lab.step();
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                    break;
                }
            }
        }
        assert!(written < 1 << 20, "{written} bytes were taken");
        assert!(lab.most_buffered <= 2 * 4096);
        let lines = peer.lines();
        assert_eq!((lines.len(), &lines[0]["record"]), (1, &json!("error")));
    }

    #[test]
    fn who_asks_nothing_is_closed_after_ten_seconds() {
        let mut lab = populated();
        let (mut silent, mut slow) = (lab.connect(), lab.connect());
        slow.stream.write_all(b"{\"lastack\":").unwrap();
        assert!(lab.step().is_some_and(|wait| wait > Duration::from_secs(9)), "until then it costs nothing");
        lab.ahead = Duration::from_millis(9_900);
        lab.step();
        assert_eq!(lab.server.clients(), 2);
        lab.ahead = Duration::from_millis(10_001);
        lab.step();
        assert_eq!(lab.server.clients(), 0);
        assert_eq!((silent.lines().len(), slow.lines().len()), (0, 0));
        assert!(silent.is_closed && slow.is_closed);
        assert_eq!(lab.step(), None, "nothing to wait for");
    }

    #[test]
    fn who_is_being_answered_is_never_closed() {
        let mut lab = populated();
        let (mut watching, mut listing) = (lab.connect(), lab.connect());
        watching.send(&request("events"));
        listing.send(&request("list"));
        lab.step();
        lab.ahead = Duration::from_secs(3600);
        lab.step();
        lab.workers[0].turn(&[there(9, Flags::SYN, 0, 0)]);
        lab.step();
        assert_eq!(watching.lines().len(), 1);
        assert_eq!(listing.lines().len(), 7);
    }

    #[test]
    fn more_than_64_are_told_to_come_again() {
        let mut lab = populated();
        let mut peers: Vec<Peer> = (0..MOST_CLIENTS).map(|_| lab.connect()).collect();
        assert_eq!(lab.server.clients(), MOST_CLIENTS);
        let mut late = lab.connect();
        assert_eq!(late.lines()[0]["record"], "error");
        assert!(late.is_closed);
        drop(peers.pop());
        lab.step();
        assert_eq!(lab.list(&json!({})).len(), 5);
    }

    #[test]
    fn a_worker_that_is_stuck_in_a_turn_stops_nobody_but_who_asks_for_its_connections() {
        let mut lab = populated();
        lab.workers[0].begin();
        let (mut listing, mut counting) = (lab.connect(), lab.connect());
        listing.send(&request("list"));
        counting.send(&request("count"));
        for _ in 0..3 {
            lab.step();
        }
        assert_eq!(counting.lines()[0]["connections"], 5);
        assert_eq!(listing.lines().len(), 0);
        lab.workers[0].end();
        assert_eq!(lab.answer(&mut listing).len(), 7);
    }
}

mod place {
    use nix::fcntl::{Flock, FlockArg};

    use super::*;

    fn bind(scratch: &Scratch) -> Result<(Poll, Server), Error> {
        let poll = Poll::new().unwrap();
        let server = Server::bind(&scratch.socket(), poll.registry(), FIRST_TOKEN)?;
        Ok((poll, server))
    }

    #[test]
    fn the_socket_is_for_owner_and_group_and_goes_with_the_server() {
        let scratch = Scratch::new();
        let server = bind(&scratch).unwrap();
        let file = std::fs::metadata(scratch.socket()).unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o777, 0o660);
        drop(server);
        assert!(!scratch.socket().exists());
    }

    #[test]
    fn a_second_server_is_refused_and_the_first_goes_on() {
        let scratch = Scratch::new();
        let first = bind(&scratch).unwrap();
        let error = bind(&scratch).unwrap_err();
        assert!(error.to_string().contains("another lastack is running with this socket"), "{error}");
        assert!(UnixStream::connect(scratch.socket()).is_ok());
        drop(first);
        bind(&scratch).unwrap();
    }

    /// What is there once nobody is: nothing, whether the directory was made or found.
    #[test]
    fn a_server_leaves_nothing_behind_but_what_it_found() {
        let scratch = Scratch::new();
        let names = |scratch: &Scratch| -> Vec<String> {
            let entries = std::fs::read_dir(&scratch.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        drop(bind(&scratch).unwrap());
        assert_eq!(names(&scratch), [""; 0], "the directory was made for it");
        std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
        drop(bind(&scratch).unwrap());
        assert_eq!(names(&scratch), ["run"], "the directory was there before");
        assert_eq!(std::fs::read_dir(scratch.0.join("run")).unwrap().count(), 0);
    }

    #[test]
    fn a_server_that_cannot_be_leaves_nothing_behind_either() {
        let scratch = Scratch::new();
        let poll = Poll::new().unwrap();
        // The address of a socket has room for 107 bytes, the name of a file for 255.
        let path = scratch.0.join("run/deeper").join("x".repeat(120));
        let error = Server::bind(&path, poll.registry(), FIRST_TOKEN).unwrap_err();
        assert!(matches!(error, Error::System(..)), "{error}");
        assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
    }

    /// Bound and not listening yet, a live socket looks like one that was left behind.
    #[test]
    fn a_socket_whose_lock_is_held_is_not_taken_for_a_stale_one() {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap());
        let lock = std::fs::File::create(scratch.socket().with_extension("sock.lock")).unwrap();
        let held = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();
        let error = bind(&scratch).unwrap_err();
        assert!(matches!(error, Error::AnotherIsRunning(_)), "{error}");
        assert!(scratch.socket().exists());
        drop(held);
        bind(&scratch).unwrap();
    }

    /// Whichever it is, and however their steps fall between each other.
    #[test]
    fn of_those_that_start_at_once_one_runs_and_answers() {
        for _ in 0..20 {
            let scratch = Scratch::new();
            std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
            drop(std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap());
            let servers: Vec<Result<(Poll, Server), Error>> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| bind(&scratch))).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert_eq!(servers.iter().filter(|server| server.is_ok()).count(), 1, "{servers:?}");
            assert!(UnixStream::connect(scratch.socket()).is_ok());
        }
    }

    #[test]
    fn a_socket_that_answers_without_a_lock_is_another_one_too() {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap();
        let error = bind(&scratch).unwrap_err();
        assert!(matches!(error, Error::AnotherIsRunning(_)), "{error}");
        assert!(UnixStream::connect(scratch.socket()).is_ok());
    }

    #[test]
    fn no_symbolic_link_is_followed() {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
        let target = scratch.0.join("target");
        for (link, what) in
            [("run/control.sock", "exists and is not a socket"), ("run/control.sock.lock", "")]
        {
            std::os::unix::fs::symlink(&target, scratch.0.join(link)).unwrap();
            let error = bind(&scratch).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert!(!target.exists(), "made through {link}");
            std::fs::remove_file(scratch.0.join(link)).unwrap();
        }
        bind(&scratch).unwrap();
    }

    #[test]
    fn what_a_killed_process_left_is_replaced() {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
        // The standard library's listener does not remove its file.
        drop(std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap());
        assert!(scratch.socket().exists());
        bind(&scratch).unwrap();
    }

    #[test]
    fn what_is_not_a_socket_is_left_alone() {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
        std::fs::write(scratch.socket(), "dear").unwrap();
        let error = bind(&scratch).unwrap_err();
        assert!(error.to_string().contains("not a socket"), "{error}");
        assert_eq!(std::fs::read_to_string(scratch.socket()).unwrap(), "dear");
    }

    #[test]
    fn a_socket_that_another_process_put_there_is_not_removed() {
        let scratch = Scratch::new();
        let server = bind(&scratch).unwrap();
        std::fs::remove_file(scratch.socket()).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap();
        drop(server);
        assert!(scratch.socket().exists());
    }

    #[test]
    fn a_place_that_cannot_be_is_named() {
        let poll = Poll::new().unwrap();
        let path = std::path::Path::new("/proc/nowhere/control.sock");
        let error = Server::bind(path, poll.registry(), FIRST_TOKEN).unwrap_err();
        assert!(error.to_string().starts_with("/proc/nowhere/control.sock: "), "{error}");
    }
}
