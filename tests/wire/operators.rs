//! Operators ask and steer while traffic flows: they get answers, and the traffic does not notice.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use lastack::control::{self, Filter, Line, Request};
use lastack::lab::Options;
use serde_json::Value;

use crate::endpoints::{CLIENT_V4, SERVER_V4, Service, Web, connected, crosses, udp};
use crate::middlebox::{Process, Setup, Site, kernel_losses, port, reason, reasons};
use crate::{eventually, is_root};

fn site() -> Site {
    Site::new(&Options { fixed_neighbours: true, ..Options::default() })
}

/// The binary's own command on a control socket.
fn command(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastack"));
    command.args(arguments).arg("--socket").arg(site.socket());
    command
}

/// What a command of the binary prints, line by line.
#[track_caller]
fn printed(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let output = command(site, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn no_packet_is_lost_to_listings_counts_statistics_and_an_event_stream() {
    const MANY: u16 = 2000;
    const WINDOW: u32 = 64;
    if !is_root("asking while traffic flows") {
        return;
    }
    let site = site();
    let middlebox = site.start(&Setup { tables: "[workers]\ncpus = [0, 1]\n", ..Setup::default() });
    let lab = &site.lab;
    let to = SocketAddr::new(SERVER_V4, 7);
    let _service = Service::udp_echo(&lab.server, to);
    let echoed = |port: u16| {
        let socket = udp(&lab.client, SocketAddr::new(CLIENT_V4, port));
        socket.connect(to).unwrap();
        socket
    };
    for port in 0..MANY {
        let socket = echoed(10_000 + port);
        socket.send(b"hello").unwrap();
        socket.recv(&mut [0; 8]).unwrap();
    }
    let events = Process::start(&lab.middle, &[], &command(&site, &["events", "--json"]));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    assert!(middlebox.list(Filter::default()).len() >= usize::from(MANY));
                    assert!(middlebox.count().connections >= u64::from(MANY));
                    assert_eq!(middlebox.stats().packets.dropped, 0);
                }
            });
        }
        let socket = echoed(0);
        let mut buffer = [0; 8];
        for round in 0..500 {
            for number in 0..WINDOW {
                socket.send(&(round * WINDOW + number).to_be_bytes()).unwrap();
            }
            for number in 0..WINDOW {
                assert_eq!(socket.recv(&mut buffer).unwrap(), 4);
                assert_eq!(buffer[..4], (round * WINDOW + number).to_be_bytes(), "none lost, none overtaken");
            }
        }
        done.store(true, Relaxed);
    });
    drop(events);
    let stats = middlebox.balance();
    assert_eq!(reasons(&stats), []);
    assert_eq!(kernel_losses(port(&stats, "inside")) + kernel_losses(port(&stats, "outside")), 0);
    middlebox.end();
}

#[test]
fn a_transfer_goes_on_while_operators_ask() {
    if !is_root("a transfer while operators ask") {
        return;
    }
    let site = Site::new(&Options { offloads: true, ..Options::default() });
    let middlebox = site.start(&Setup::default());
    let mut web = Web::start(&site.lab, SERVER_V4);
    let mut events =
        Process::start(&site.lab.middle, &[], &command(&site, &["events", "--json", "--snapshot"]));
    let mut lines = BufReader::new(events.stdout()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["record"], "snapshot");
    thread::scope(|scope| {
        let lab = &site.lab;
        let fetching = scope.spawn(move || web.fetch(lab, 256, None));
        let mut asked = 0;
        while !fetching.is_finished() {
            middlebox.list(Filter::default());
            middlebox.count();
            middlebox.stats();
            asked += 1;
        }
        assert!(asked > 0);
        fetching.join().unwrap();
    });
    // Its whole life was told: one new, each change of states, no number left out.
    let mut expected = first["sequences"][0].as_u64().unwrap() + 1;
    let mut states = Vec::new();
    while states.last() != Some(&"TIME_WAIT/CLOSED".to_owned())
        && states.last() != Some(&"CLOSED/TIME_WAIT".to_owned())
    {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(
            (&event["record"], event["sequence"].as_u64()),
            (&"event".into(), Some(expected)),
            "{event}"
        );
        expected += 1;
        if event["protocol"] == "tcp" {
            let pair = &event["states"];
            states.push(format!("{}/{}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
        }
    }
    assert_eq!(states[..2], ["SYN_SENT/LISTEN", "ESTABLISHED/SYN_RECEIVED"]);
    assert!(states.contains(&"ESTABLISHED/ESTABLISHED".to_owned()), "{states:?}");
    middlebox.balance();
    middlebox.end();
}

#[test]
fn a_deleted_connection_is_told_and_does_not_come_back_by_itself() {
    if !is_root("delete") {
        return;
    }
    let site = site();
    let middlebox = site.start(&Setup { tables: "[tcp]\nloose = false\n", ..Setup::default() });
    let mut listener = middlebox.client();
    let mut events = listener.ask(&Request::new(control::Command::Events, Filter::default())).unwrap();
    let (mut client, mut server) = connected(&site.lab, SocketAddr::new(SERVER_V4, 80));
    crosses(&client, &server, b"before");
    let live = middlebox.list(Filter::default()).pop().unwrap();
    let deleted = printed(&site, &["delete", "--destination-port", "80", "--json"]);
    assert_eq!(
        (deleted[0]["record"].as_str(), deleted[0]["connections"].as_u64()),
        (Some("deleted"), Some(1))
    );
    assert_eq!(middlebox.count().connections, 0);
    let ended = loop {
        match events.next().unwrap() {
            Some(Line::Event(event)) if event.event == "ended" => break event.connection,
            Some(_) => {}
            None => panic!("the stream has ended"),
        }
    };
    assert_eq!((ended.id, ended.end.map(|end| end.0)), (live.id, Some(lastack::shard::End::Deleted)));
    // To the firewall the next segment belongs to nothing, and begins nothing.
    client.write_all(b"after").unwrap();
    eventually("it is refused", || reason(&middlebox.stats(), "no_syn") > 0);
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let nothing = server.read(&mut [0; 8]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    assert_eq!(middlebox.count().connections, 0);
    middlebox.balance();
    middlebox.end();
}

#[test]
fn the_commands_of_the_binary_tell_what_is_there() {
    if !is_root("commands") {
        return;
    }
    let site = site();
    let middlebox = site.start(&Setup::default());
    let (_client, _server) = connected(&site.lab, SocketAddr::new(SERVER_V4, 80));
    let listed = printed(&site, &["list", "--json", "--state", "ESTABLISHED"]);
    assert_eq!((listed.len(), &listed[0]["record"]), (2, &"snapshot".into()), "{listed:?}");
    assert_eq!(
        (&listed[1]["record"], &listed[1]["reply"]["source_port"]),
        (&"connection".into(), &80.into())
    );
    assert_eq!(printed(&site, &["count", "--json"])[0]["by_protocol"], serde_json::json!({"tcp": 1}));
    let stats = &printed(&site, &["stats", "--json"])[0];
    assert_eq!((&stats["ports"][0]["state"], &stats["connections"]["live"]), (&"up".into(), &1.into()));
    let id = listed[1]["id"].to_string();
    assert_eq!(printed(&site, &["get", &id, "--json"])[1]["id"], listed[1]["id"]);
    assert_eq!(printed(&site, &["flush", "--json"])[0]["connections"], 1);
    middlebox.end();
    let refused = command(&site, &["list"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no lastack is running"), "{refused:?}");
}

#[test]
fn clients_that_send_rubbish_nothing_or_too_much_do_no_harm() {
    use std::os::unix::net::UnixStream;
    if !is_root("rubbish") {
        return;
    }
    let site = site();
    let middlebox = site.start(&Setup::default());
    let silent: Vec<UnixStream> = (0..8).map(|_| UnixStream::connect(site.socket()).unwrap()).collect();
    for rubbish in
        [&b"\0\xff\n"[..], b"{}\n", b"GET / HTTP/1.1\r\n\r\n", b"{\"lastack\":99,\"command\":\"list\"}\n"]
    {
        let mut stream = UnixStream::connect(site.socket()).unwrap();
        stream.set_read_timeout(Some(crate::middlebox::PATIENCE)).unwrap();
        stream.write_all(rubbish).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.starts_with("{\"record\":\"error\""), "{rubbish:?}: {answer}");
    }
    // A line that never ends: it is refused long before a gigabyte.
    let mut endless = UnixStream::connect(site.socket()).unwrap();
    endless.set_write_timeout(Some(crate::middlebox::PATIENCE)).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    let written = (0..1024).take_while(|_| endless.write_all(&chunk).is_ok()).count();
    assert!(written < 1024, "it took a gigabyte");
    let (client, server) = connected(&site.lab, SocketAddr::new(SERVER_V4, 80));
    crosses(&client, &server, b"unharmed");
    assert_eq!(middlebox.count().connections, 1);
    drop(silent);
    middlebox.end();
}
