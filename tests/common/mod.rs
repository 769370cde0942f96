//! What the tests of the built binary share: captures made from scripts, replays of them, and their lines.
//!
//! ```text
//!  Script ─ frames with times ─► capture in a Scratch directory ─► lastack replay --json ─► Replayed
//!                                (removed with it)
//! ```
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test program uses its own part")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use lastack::io::{CaptureWriter, Timestamp};
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{Flags, Link, Ports, Seq};
use serde_json::Value;

/// Unix seconds of a script's first instant.
pub const START: u64 = 1_700_000_000;
pub const CLIENT: [u8; 4] = [10, 0, 0, 1];
pub const SERVER: [u8; 4] = [10, 0, 0, 2];
pub const CLIENT_ISN: u32 = 1_000;
pub const SERVER_ISN: u32 = 5_000;

pub const SYN: Flags = Flags::SYN;
pub const ACK: Flags = Flags::ACK;
pub const RST: Flags = Flags::RST;
pub const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
pub const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);
pub const RST_ACK: Flags = Flags::RST.with(Flags::ACK);

/// A directory of its own for each caller, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lastack-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed hides no failure of the test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary.
pub fn lastack(arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_lastack")).args(arguments).output().unwrap();
    Run {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The lines of `replay --json`, by record.
#[derive(Debug)]
pub struct Replayed {
    pub text: String,
    pub packets: Vec<Value>,
    pub connections: Vec<Value>,
    pub summary: Value,
}

/// Replays a capture that must be readable.
pub fn replay(capture: &Path, arguments: &[&str]) -> Replayed {
    let mut all = vec!["replay", "--json"];
    all.extend_from_slice(arguments);
    all.push(capture.to_str().unwrap());
    let run = lastack(&all);
    assert_eq!(run.status, Some(0), "{all:?}: {}", run.stderr);
    Replayed::of(run.stdout)
}

impl Replayed {
    fn of(text: String) -> Replayed {
        let (mut packets, mut connections, mut summaries) = (Vec::new(), Vec::new(), Vec::new());
        for line in text.lines() {
            assert!(summaries.is_empty(), "the summary is the last line");
            let value: Value = serde_json::from_str(line).unwrap();
            match value["record"].as_str() {
                Some("packet") => packets.push(value),
                Some("connection") => connections.push(value),
                Some("summary") => summaries.push(value),
                other => panic!("an unknown record: {other:?}"),
            }
        }
        let summary = summaries.pop().expect("a summary ends the lines");
        Replayed { text, packets, connections, summary }
    }

    /// Packet `number`, from 1.
    pub fn packet(&self, number: u64) -> &Value {
        let mut found = self.packets.iter().filter(|packet| packet["number"] == number);
        let packet = found.next().unwrap_or_else(|| panic!("packet {number} has no line"));
        assert!(found.next().is_none(), "packet {number} has two lines");
        packet
    }

    /// `verdict class direction reason states` of packet `number`, - for null.
    pub fn story(&self, number: u64) -> String {
        let packet = self.packet(number);
        let word = |key: &str| packet[key].as_str().unwrap_or("-").to_owned();
        [word("verdict"), word("class"), word("direction"), word("reason"), pair(&packet["states"])].join(" ")
    }

    /// The stories of all packets, in the order of their lines.
    pub fn stories(&self) -> Vec<String> {
        self.packets.iter().map(|packet| self.story(packet["number"].as_u64().unwrap())).collect()
    }

    /// `states end` of the connection `id`, - for null.
    pub fn fate(&self, id: u64) -> String {
        let connection = self.connection(id);
        format!("{} {}", pair(&connection["states"]), connection["end"].as_str().unwrap_or("-"))
    }

    pub fn connection(&self, id: u64) -> &Value {
        let mut found = self.connections.iter().filter(|connection| connection["id"] == id);
        let connection = found.next().unwrap_or_else(|| panic!("connection {id} has no line"));
        assert!(found.next().is_none(), "connection {id} has two lines");
        connection
    }

    /// Seconds that connection `id` has left.
    pub fn expires_in(&self, id: u64) -> f64 {
        self.connection(id)["expires_in"].as_f64().unwrap()
    }
}

/// `["A","B"]` as `A/B`, null as `-`.
pub fn pair(states: &Value) -> String {
    match states.as_array() {
        Some(states) => {
            assert_eq!(states.len(), 2);
            format!("{}/{}", states[0].as_str().unwrap(), states[1].as_str().unwrap())
        }
        None => "-".to_owned(),
    }
}

/// Asserts that `seconds` is `expected`, but for the timers' granularity.
#[track_caller]
pub fn assert_about(seconds: f64, expected: f64) {
    assert!((seconds - expected).abs() < 0.05, "{seconds} s in place of {expected} s");
}

/// Frames and their times: a client and a server, sequence numbers counted from their SYNs.
#[derive(Clone)]
pub struct Script {
    frames: Vec<(u64, Vec<u8>)>,
    /// How many bytes of each frame are captured; the rest was on the wire only.
    snap_length: usize,
    milliseconds: u64,
    client_port: u16,
    /// The client's initial sequence number.
    client_isn: u32,
    /// The options of the next segments.
    options: Vec<u8>,
    window: u16,
}

/// One number behind the SYN: what the handshake leaves both sides with.
pub const OPEN: u32 = 1;

impl Script {
    pub fn new() -> Script {
        Script {
            frames: Vec::new(),
            snap_length: usize::MAX,
            milliseconds: 0,
            client_port: 40_000,
            client_isn: CLIENT_ISN,
            options: Vec::new(),
            window: 10_000,
        }
    }

    /// Lets time pass.
    pub fn wait(mut self, milliseconds: u64) -> Script {
        self.milliseconds += milliseconds;
        self
    }

    /// Changes the client's port for what follows.
    pub fn port(mut self, port: u16) -> Script {
        self.client_port = port;
        self
    }

    /// Changes the client's initial sequence number for what follows.
    pub fn client_isn(mut self, isn: u32) -> Script {
        self.client_isn = isn;
        self
    }

    /// Has the segments that follow bear this timestamp (RFC 7323), or none.
    pub fn timestamp(mut self, value: Option<u32>) -> Script {
        self.options = match value {
            Some(value) => [&[1, 1, 8, 10][..], &value.to_be_bytes(), &[0; 4]].concat(),
            None => Vec::new(),
        };
        self
    }

    /// Adds a frame of any kind.
    pub fn frame(mut self, frame: Vec<u8>) -> Script {
        self.frames.push((self.milliseconds, frame));
        self
    }

    /// Has only the first bytes of every frame captured.
    pub fn snap_length(mut self, bytes: usize) -> Script {
        self.snap_length = bytes;
        self
    }

    /// Changes the last frame's bytes.
    pub fn spoil(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Script {
        change(&mut self.frames.last_mut().expect("a frame to spoil").1);
        self
    }

    /// A segment of the client: flags, numbers behind both SYNs, bytes of payload.
    pub fn client(self, flags: Flags, seq: u32, ack: u32, payload: usize) -> Script {
        let tcp = self.segment((self.client_port, 80), (self.client_isn, SERVER_ISN), flags, seq, ack);
        let frame = Builder::v4(CLIENT, SERVER).tcp(&tcp, &vec![b'c'; payload]);
        self.frame(frame)
    }

    /// A segment of the server.
    pub fn server(self, flags: Flags, seq: u32, ack: u32, payload: usize) -> Script {
        let tcp = self.segment((80, self.client_port), (SERVER_ISN, self.client_isn), flags, seq, ack);
        let frame = Builder::v4(SERVER, CLIENT).tcp(&tcp, &vec![b's'; payload]);
        self.frame(frame)
    }

    fn segment(&self, ports: (u16, u16), isns: (u32, u32), flags: Flags, seq: u32, ack: u32) -> Tcp {
        let has_ack = flags.has(Flags::ACK);
        Tcp {
            ports: Ports { source: ports.0, destination: ports.1 },
            seq: Seq(isns.0.wrapping_add(seq)),
            ack: Seq(if has_ack { isns.1.wrapping_add(ack) } else { 0 }),
            flags,
            window: self.window,
            options: self.options.clone(),
        }
    }

    /// The three segments of a handshake.
    pub fn open(self) -> Script {
        self.client(SYN, 0, 0, 0).server(SYN_ACK, 0, 1, 0).client(ACK, 1, 1, 0)
    }

    /// The four segments of a close that the client begins; nothing but the SYNs was sent before.
    pub fn close(self) -> Script {
        self.client(FIN_ACK, 1, 1, 0).server(ACK, 1, 2, 0).server(FIN_ACK, 1, 2, 0).client(ACK, 2, 2, 0)
    }

    /// A UDP datagram of the client.
    pub fn udp(self, payload: usize) -> Script {
        let ports = Ports { source: self.client_port, destination: 53 };
        self.frame(Builder::v4(CLIENT, SERVER).udp(ports, &vec![0; payload]))
    }

    /// A UDP datagram of the server.
    pub fn udp_reply(self, payload: usize) -> Script {
        let ports = Ports { source: 53, destination: self.client_port };
        self.frame(Builder::v4(SERVER, CLIENT).udp(ports, &vec![0; payload]))
    }

    /// The last frame added.
    pub fn last(&self) -> &[u8] {
        &self.frames.last().expect("a frame").1
    }

    /// Writes the capture.
    pub fn write(&self, path: &Path) {
        let mut writer = CaptureWriter::create(path, Link::Ethernet, None).unwrap();
        for (milliseconds, frame) in &self.frames {
            let nanoseconds = (START * 1_000 + milliseconds) * 1_000_000;
            let time = Timestamp::from_nanoseconds(i128::from(nanoseconds));
            let captured = &frame[..frame.len().min(self.snap_length)];
            writer.write(time, Link::Ethernet, frame.len(), captured).unwrap();
        }
        writer.finish().unwrap();
    }

    /// Writes the capture and replays it.
    pub fn replay(&self, arguments: &[&str]) -> Replayed {
        let scratch = Scratch::new();
        let capture = scratch.path("script.pcap");
        self.write(&capture);
        replay(&capture, arguments)
    }
}

/// The kernels' capture that the project ships.
pub fn kernel_capture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kernel-tcp.pcap")
}
