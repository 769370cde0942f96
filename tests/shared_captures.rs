//! Captures of others, counted by an independent dissector: every packet and byte of a conversation must
//! come out again, whatever is thought of it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use common::replay;
use serde_json::Value;

/// Protocol, source, its port, destination, its port.
type Flow = (String, String, u64, String, u64);

fn flow(record: &Value, source: [&str; 2], destination: [&str; 2]) -> Flow {
    let text = |key: &str| record[key].as_str().unwrap().to_owned();
    let port = |key: &str| record[key].as_u64().unwrap_or_else(|| panic!("a port in {record}"));
    (text("protocol"), text(source[0]), port(source[1]), text(destination[0]), port(destination[1]))
}

/// Packets and bytes of each flow of TCP and UDP, as the dissector counted them.
fn expected_flows(capture: &Value) -> BTreeMap<Flow, (u64, u64)> {
    let mut flows = BTreeMap::new();
    let (first, other) = (["first_sender", "first_sender_port"], ["other", "other_port"]);
    for conversation in capture["conversations"].as_array().unwrap() {
        for (way, flow) in
            [flow(conversation, first, other), flow(conversation, other, first)].iter().enumerate()
        {
            let count = |key: &str| conversation[key][way].as_u64().unwrap();
            if count("packets") > 0 {
                let (packets, bytes) = flows.entry(flow.clone()).or_insert((0, 0));
                *packets += count("packets");
                *bytes += count("bytes");
            }
        }
    }
    flows
}

#[test]
fn packets_and_bytes_agree_with_an_independent_dissector() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    let Ok(text) = std::fs::read_to_string(directory.join("expected.json")) else {
        // Not by println!, which the test harness keeps to itself when a test passes.
        writeln!(std::io::stderr(), "skipped: there are no captures in {}", directory.display()).unwrap();
        return;
    };
    let expected: Value = serde_json::from_str(&text).unwrap();
    for (name, capture) in expected.as_object().unwrap() {
        let replayed = replay(&directory.join(name), &[]);
        assert_eq!(replayed.summary["packets"], capture["frames"], "{name}");
        assert_eq!(replayed.packets.len() as u64, capture["frames"].as_u64().unwrap(), "{name}");
        let mut flows: BTreeMap<Flow, (u64, u64)> = BTreeMap::new();
        let mut others = 0;
        for packet in &replayed.packets {
            if packet["protocol"] != "tcp" && packet["protocol"] != "udp" {
                others += 1;
                continue;
            }
            let ends = [["source", "source_port"], ["destination", "destination_port"]];
            let (packets, bytes) = flows.entry(flow(packet, ends[0], ends[1])).or_insert((0, 0));
            *packets += 1;
            *bytes += packet["length"].as_u64().unwrap();
        }
        assert_eq!(flows, expected_flows(capture), "{name}");
        assert_eq!(others, capture["other_frames"].as_u64().unwrap(), "{name}");
    }
}
