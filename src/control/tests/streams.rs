//! Answers that take many turns: long listings, and events, of a table that goes on changing.

use super::*;

/// A table that is populated, a client that has asked for events, and the sequence number before the first of them.
fn watched() -> (Lab, Peer, u64) {
    let mut lab = populated();
    let mut peer = lab.connect();
    peer.send(&request("events"));
    lab.step();
    let before = lab.workers[0].shard.sequence();
    (lab, peer, before)
}

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
    let (mut lab, mut peer, before) = watched();
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
            json!([line["sequence"].as_u64().unwrap() - before, line["event"], line["states"], line["end"]])
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
    peer.send(&json!({ "lastack": 1, "command": "events", "filter": { "port": 9, "state": "ESTABLISHED" } }));
    lab.step();
    lab.workers[0].turn(&[handshake(8), handshake(9)].concat());
    lab.workers[1].turn(&[datagram(9)]);
    lab.step();
    let states: Vec<Value> = peer.lines().into_iter().map(|line| line["states"][1].clone()).collect();
    assert_eq!(states, ["SYN_RECEIVED", "ESTABLISHED"]);
}

#[test]
fn nobody_is_written_for_once_the_last_client_has_gone() {
    let (mut lab, mut peer, before) = watched();
    lab.workers[0].turn(&handshake(7));
    lab.step();
    assert_eq!(peer.lines().len() as u64, lab.workers[0].shard.sequence() - before);
    drop(peer);
    lab.step();
    assert_eq!((lab.server.clients(), lab.server.buffered()), (0, 0));
    assert!(lab.plane.workers.iter().all(|view| !view.events.is_wanted()));
}
