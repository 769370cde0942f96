//! The server with real shards behind it, driven by hand: no thread, no sleep, every order of things chosen.
//!
//! ```text
//!  Peer ── request ──► Server ── tasks ──► Lab: shards, which the test moves
//!       ◄── lines ────                     between any two steps of the server
//! ```

mod answers;
mod misbehaviour;
mod place;
mod streams;

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
            table_huge: Watch::new(|| Some(0)),
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
