//! The commands that talk to a running middlebox: the built binary against a server in this process, with a
//! real shard behind it.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lastack::control::Server;
use lastack::fragments::Token;
use lastack::shard::{
    Admission, Arrival, Census, Change, Counters, Datagram, Observer, Record, Settings, Shard, Verdict,
};
use lastack::table::HashKeys;
use lastack::time::SystemClock;
use lastack::view::events::{Kind, Writer};
use lastack::view::{self, Plane, PortState, PortView, QueueView, Report, View, Watch};
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{Checks, Flags, Frame, Link, Ports};
use lastack::{flow, fragments, tcp};
use serde_json::{Value, json};

use crate::common::{ACK, CLIENT, RST, Run, SERVER, SYN, SYN_ACK, Scratch, Script, lastack};

/// A shard whose changes are all written.
struct Worker {
    shard: Shard,
    view: Arc<View>,
    teller: Teller,
}

struct Teller {
    writer: Writer,
    last_id: u64,
}

impl Observer for Teller {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
    fn begun(&mut self, change: Change, record: &Record) {
        self.writer.write(Kind::New, change, record);
    }
    fn changed(&mut self, change: Change, record: &Record) {
        self.writer.write(Kind::Changed, change, record);
    }
    fn ended(&mut self, change: Change, record: &Record) {
        self.writer.write(Kind::Ended, change, record);
    }
    fn wants_changes(&self) -> bool {
        true
    }
    fn released(&mut self, _: Token, _: &Verdict) {}
    fn hand_over(&mut self, _: u32, _: Datagram) {}
}

/// A middlebox without wires.
struct Middlebox {
    worker: Worker,
    plane: Plane,
    poll: mio::Poll,
    server: Server,
    socket: PathBuf,
    _scratch: Scratch,
}

impl Middlebox {
    fn new() -> Middlebox {
        let scratch = Scratch::new();
        let socket = scratch.path("control.sock");
        let clock = SystemClock::since_1970();
        let settings = Settings {
            checks: Checks::ALL,
            tcp: tcp::Policy::DEFAULT,
            flow: flow::Policy::DEFAULT,
            fragments: fragments::Policy::default(),
            sides: 1,
            shards: 1,
            number: 0,
        };
        let layout = Shard::layout_for_connections(256).unwrap();
        let shard = Shard::new(layout, HashKeys([1, 2, 3, 4]), settings, clock.now().tick()).unwrap();
        let (writer, log) = view::events::ring();
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let view = View::new(0, Some(1), Vec::new(), shard.table().reader(), log, report(&shard), waker);
        let view = Arc::new(view);
        let server = Server::bind(&socket, poll.registry(), 1).unwrap();
        let plane = Plane {
            workers: vec![Arc::clone(&view)],
            ports: vec![PortView {
                name: "inside".to_owned(),
                interface: "la-0".to_owned(),
                zone: Some(0),
                queues: vec![QueueView { queue: 0, mode: "native", losses: Watch::new(|| None) }],
                unclaimed: Watch::new(|| 0),
                state: PortState::default(),
            }],
            started: clock.now().seconds(),
            clock,
            umem_frames: 64,
            frame_size: 4096,
            spare_frames: Watch::new(|| 64),
            table_memory: "ordinary pages".to_owned(),
            table_bytes: 1 << 20,
            table_resident: Watch::new(|| None),
            table_huge: Watch::new(|| None),
        };
        let worker = Worker { shard, view, teller: Teller { writer, last_id: 0 } };
        Middlebox { worker, plane, poll, server, socket, _scratch: scratch }
    }

    /// With connection 1 open, 2 half closed, and 3 a DNS query without an answer.
    fn populated() -> Middlebox {
        let mut middlebox = Middlebox::new();
        middlebox.turn(&handshake(40_001));
        middlebox.turn(&handshake(40_002));
        let fin_ack = Flags::FIN.with(ACK);
        middlebox.turn(&[segment(CLIENT, 40_002, 80, fin_ack, 1), segment(SERVER, 80, 40_002, ACK, 2)]);
        let ports = Ports { source: 5353, destination: 53 };
        middlebox.turn(&[Builder::v4(CLIENT, SERVER).udp(ports, &[0; 12])]);
        middlebox
    }

    /// One turn of the worker.
    fn turn(&mut self, frames: &[Vec<u8>]) {
        let Worker { shard, view, teller } = &mut self.worker;
        let now = self.plane.clock.now();
        view.epoch.begin();
        for frame in frames {
            let arrival = Arrival {
                frame: Frame::whole(frame, Link::Ethernet),
                zone: 0,
                admission: Admission::ANY,
                at: now,
                token: Token(0),
            };
            shard.process(&[arrival], now.tick(), &mut [Verdict::HELD], teller);
        }
        while let Some(view::Command::Delete { connections, done }) = view.commands.pop() {
            let found = connections.iter().filter(|(index, id)| shard.delete(*index, *id, teller)).count();
            done.send(found).unwrap();
        }
        teller.writer.publish(shard.sequence());
        view.show(&report(shard));
        view.epoch.end();
    }

    /// What the main thread does when it wakes, or after a while.
    fn step(&mut self) {
        let mut events = mio::Events::with_capacity(16);
        self.poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        for event in &events {
            if self.server.owns(event.token()) {
                self.server.ready(self.poll.registry(), event, &self.plane);
            }
        }
        self.server.turn(self.poll.registry(), &self.plane);
        self.turn(&[]);
    }

    /// Runs the binary and serves it until it ends.
    fn run(&mut self, arguments: &[&str]) -> Run {
        let mut all = arguments.to_vec();
        let socket = self.socket.clone();
        all.extend(["--socket", socket.to_str().unwrap()]);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| lastack(&all));
            while !running.is_finished() {
                self.step();
            }
            running.join().unwrap()
        })
    }

    /// The lines of an answer that succeeds.
    fn lines(&mut self, arguments: &[&str]) -> Vec<Value> {
        let run = self.run(&[arguments, &["--json"]].concat());
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn report(shard: &Shard) -> Report {
    let (counters, census): (Counters, Census) = (shard.counters().clone(), shard.census().clone());
    Report { counters, census, work: Default::default(), frames: Default::default(), sockets: Vec::new() }
}

fn segment(from: [u8; 4], source: u16, destination: u16, flags: Flags, number: u32) -> Vec<u8> {
    let to = if from == CLIENT { SERVER } else { CLIENT };
    let (seq, ack) = match (from == CLIENT, flags.has(Flags::SYN)) {
        (_, true) => (0, 1),
        (true, false) => (number, 1),
        (false, false) => (1, number),
    };
    let mut tcp = Tcp { flags, ..Tcp::new(source, destination) };
    tcp.seq.0 = seq;
    tcp.ack.0 = if flags.has(ACK) { ack } else { 0 };
    Builder::v4(from, to).tcp(&tcp, &[])
}

fn handshake(port: u16) -> Vec<Vec<u8>> {
    vec![
        segment(CLIENT, port, 80, SYN, 0),
        segment(SERVER, 80, port, SYN_ACK, 1),
        segment(CLIENT, port, 80, ACK, 1),
    ]
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn list_json_is_a_snapshot_and_then_connections_as_a_replay_has_them() {
    let mut middlebox = Middlebox::populated();
    let lines = middlebox.lines(&["list"]);
    assert_eq!(keys(&lines[0]), ["record", "sequences", "time"]);
    assert_eq!(lines[0]["sequences"], json!([middlebox.worker.shard.sequence()]));
    assert_eq!(lines.len(), 1 + 3);
    let replayed = Script::new().open().replay(&[]);
    for line in &lines[1..] {
        assert_eq!(line["record"], "connection");
        assert_eq!(keys(line), keys(replayed.connection(1)));
        assert_eq!(keys(&line["original"]), keys(&replayed.connection(1)["original"]));
        let age = lines[0]["time"].as_f64().unwrap() - line["started"].as_f64().unwrap();
        assert!((0.0..600.0).contains(&age), "Unix seconds: {age}");
    }
    assert_eq!(lines[2]["states"], json!(["FIN_WAIT_2", "CLOSE_WAIT"]));
}

#[test]
fn filters_are_flags_and_all_must_hold() {
    let mut middlebox = Middlebox::populated();
    for (flags, expected) in [
        (&["--source", "10.0.0.0/8"][..], json!([1, 2, 3])),
        (&["--destination", "10.0.0.2", "--destination-port", "80"], json!([1, 2])),
        (&["--source-port", "40001"], json!([1])),
        (&["--address", "10.0.0.2", "--port", "53"], json!([3])),
        (&["--protocol", "udp"], json!([3])),
        (&["--zone", "0", "--shard", "0", "--state", "CLOSE_WAIT"], json!([2])),
        (&["--state", "ESTABLISHED/ESTABLISHED"], json!([1])),
        (&["--state", "TIME_WAIT"], json!([])),
    ] {
        let lines = middlebox.lines(&[&["list"], flags].concat());
        let found: Vec<&Value> = lines[1..].iter().map(|line| &line["id"]).collect();
        assert_eq!(json!(found), expected, "{flags:?}");
    }
}

#[test]
fn get_finds_connections_by_number_or_filter_and_exits_1_where_there_are_none() {
    let mut middlebox = Middlebox::populated();
    let lines = middlebox.lines(&["get", "2", "3"]);
    assert_eq!(lines[0]["record"], "snapshot");
    assert_eq!((&lines[1]["id"], &lines[2]["id"], lines.len()), (&json!(2), &json!(3), 3));
    assert_eq!(middlebox.lines(&["get", "--source-port", "40001"])[1]["id"], 1);
    let run = middlebox.run(&["get", "99"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("no such connection"), "{}", run.stderr);
}

#[test]
fn count_delete_flush_and_stats_answer_with_one_object() {
    let mut middlebox = Middlebox::populated();
    let by_states = json!({ "ESTABLISHED/ESTABLISHED": 1, "FIN_WAIT_2/CLOSE_WAIT": 1 });
    let count = json!({
        "record": "count", "connections": 3, "by_protocol": { "tcp": 2, "udp": 1 }, "by_states": by_states,
    });
    assert_eq!(middlebox.lines(&["count"]), [count]);
    assert_eq!(middlebox.lines(&["count", "--protocol", "tcp"])[0]["connections"], 2);
    assert_eq!(
        middlebox.lines(&["delete", "--protocol", "udp"]),
        [json!({ "record": "deleted", "connections": 1 })]
    );
    let stats = middlebox.lines(&["stats"]);
    assert_eq!((stats.len(), &stats[0]["connections"]["ended"]["deleted"]), (1, &json!(1)));
    assert_eq!(middlebox.lines(&["flush"]), [json!({ "record": "deleted", "connections": 2 })]);
    assert_eq!(middlebox.lines(&["count"])[0]["connections"], 0);
}

#[test]
fn without_json_a_person_is_told() {
    let mut middlebox = Middlebox::populated();
    let list = middlebox.run(&["list"]).stdout;
    assert_eq!(list.lines().count(), 1 + 3, "{list}");
    for words in ["10.0.0.1:40002 > 10.0.0.2:80", "FIN_WAIT_2/CLOSE_WAIT", "unreplied", "expires"] {
        assert!(list.contains(words), "{words} is missing in: {list}");
    }
    let column = |line: &str, word: &str| line.find(word).unwrap();
    let rows: Vec<&str> = list.lines().collect();
    assert_eq!(column(rows[0], "states"), column(rows[1], "ESTABLISHED/"), "aligned: {list}");
    let get = middlebox.run(&["get", "2"]).stdout;
    assert!(get.starts_with("connection 2: tcp, zone 0\n"), "{get}");
    let count = middlebox.run(&["count"]).stdout;
    assert!(count.starts_with("3 connections\n"), "{count}");
    let stats = middlebox.run(&["stats"]).stdout;
    for words in
        ["\nconnections\n", "\npackets\n", "\nports\n", "\nworkers\n", "\nmemory\n", "inside (la-0): up"]
    {
        assert!(stats.contains(words), "{words:?} is missing in: {stats}");
    }
    assert_eq!(middlebox.run(&["flush"]).stdout, "3 connections deleted\n");
}

/// The binary, watching events; what it prints goes into a file, so that it never waits.
fn watch(middlebox: &mut Middlebox, arguments: &[&str]) -> (Child, PathBuf) {
    let output = middlebox.socket.with_file_name("events");
    let file = std::fs::File::create(&output).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastack"));
    command.arg("events").args(arguments).arg("--socket").arg(&middlebox.socket);
    let child = command.stdout(file).stderr(Stdio::piped()).spawn().unwrap();
    while !middlebox.plane.workers[0].events.is_wanted() {
        middlebox.step();
    }
    (child, output)
}

/// Steps until the file has this many lines.
fn wait_for(middlebox: &mut Middlebox, output: &Path, lines: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        middlebox.step();
        let text = std::fs::read_to_string(output).unwrap();
        if text.lines().count() >= lines {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{lines} lines never came: {text}");
    }
}

#[test]
fn events_follow_their_snapshot_without_gap_and_end_cleanly_with_the_middlebox() {
    let mut middlebox = Middlebox::populated();
    let (child, output) = watch(&mut middlebox, &["--json", "--snapshot"]);
    wait_for(&mut middlebox, &output, 1 + 3);
    middlebox.turn(&[handshake(40_003), vec![segment(CLIENT, 40_003, 80, RST, 1)]].concat());
    let lines = wait_for(&mut middlebox, &output, 1 + 3 + 4);
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let before = lines[0]["sequences"][0].as_u64().unwrap();
    for (event, number) in lines[4..].iter().zip(1..) {
        assert_eq!((&event["record"], &event["shard"]), (&json!("event"), &json!(0)));
        assert_eq!(event["sequence"], before + number);
        let mut expected = keys(&lines[1]);
        expected.extend(["event", "sequence", "shard"]);
        expected.sort_unstable();
        assert_eq!(keys(event), expected);
    }
    assert_eq!((&lines[4]["event"], &lines[5]["event"]), (&json!("new"), &json!("changed")));
    drop(middlebox);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert!(String::from_utf8(ended.stderr).unwrap().contains("lastack has stopped"));
}

#[test]
fn events_are_a_line_each_for_a_person() {
    let mut middlebox = Middlebox::new();
    let (mut child, output) = watch(&mut middlebox, &[]);
    // Whether it is wanted is known at once, from where on it listens a little later.
    middlebox.step();
    middlebox.turn(&handshake(40_003));
    let lines = wait_for(&mut middlebox, &output, 3);
    assert!(lines[0].starts_with("new") && lines[0].ends_with("SYN_SENT/LISTEN"), "{lines:?}");
    assert!(lines[2].starts_with("changed") && lines[2].ends_with("ESTABLISHED/ESTABLISHED"), "{lines:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn whoever_stops_reading_is_no_error() {
    let mut middlebox = Middlebox::populated();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastack"));
    command.args(["list", "--json", "--socket"]).arg(&middlebox.socket);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    while child.try_wait().unwrap().is_none() {
        middlebox.step();
    }
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}

#[track_caller]
fn assert_fails(run: &Run, status: i32, words: &[&str]) {
    assert_eq!((run.status, run.stdout.as_str()), (Some(status), ""), "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "{word:?} is missing in: {}", run.stderr);
    }
}

#[test]
fn a_wrong_or_missing_filter_exits_2_and_says_what_would_be_right() {
    assert_fails(&lastack(&["list", "--source", "10.0.0.0/33"]), 2, &["--source", "10.0.0.0/8"]);
    assert_fails(&lastack(&["count", "--state", "OPEN"]), 2, &["--state", "ESTABLISHED"]);
    assert_fails(&lastack(&["events", "--protocol", "sctp"]), 2, &["--protocol", "icmpv6"]);
    assert_fails(&lastack(&["list", "--port", "65536"]), 2, &["--port"]);
    assert_fails(&lastack(&["delete"]), 2, &["flush"]);
    assert_fails(&lastack(&["get"]), 2, &["list"]);
    assert_fails(&lastack(&["flush", "--protocol", "tcp"]), 2, &["--protocol"]);
}

#[test]
fn where_nobody_answers_one_line_says_so_and_what_to_do() {
    let scratch = Scratch::new();
    let (absent, stale) = (scratch.path("absent.sock"), scratch.path("stale.sock"));
    drop(UnixListener::bind(&stale).unwrap());
    for socket in [&absent, &stale] {
        let socket = socket.to_str().unwrap();
        for command in [&["list"][..], &["get", "1"], &["count"], &["flush"], &["events"], &["stats"]] {
            let run = lastack(&[command, &["--socket", socket]].concat());
            assert_fails(&run, 1, &[socket, "no lastack is running", "lastack run"]);
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        }
    }
    let configured = format!("control.socket={}", absent.display());
    assert_fails(&lastack(&["stats", "-s", &configured]), 1, &[absent.to_str().unwrap()]);
}

#[test]
fn what_is_no_lastack_is_not_believed() {
    for (said, words) in [
        (&b"220 mail ready\n"[..], "no lastack of version"),
        (b"{\"record\":\"error\",\"message\":\"of version 9\"}\n", "of version 9"),
        (b"", "stopped"),
    ] {
        let scratch = Scratch::new();
        let socket = scratch.path("other.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let other = std::thread::spawn(move || {
            use std::io::{BufRead, BufReader, Write};
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            stream.read_line(&mut String::new()).unwrap();
            stream.get_mut().write_all(said).unwrap();
        });
        let run = lastack(&["stats", "--socket", socket.to_str().unwrap()]);
        assert_fails(&run, 1, &[words]);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        other.join().unwrap();
    }
}
