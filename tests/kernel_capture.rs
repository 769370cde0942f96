//! The tracker against two real TCP stacks: a capture between Linux kernels, and the states that the kernels
//! themselves reported when it ended (`tests/data/kernel-tcp.txt`).
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::path::Path;

use common::{Replayed, kernel_capture, pair, replay};
use serde_json::Value;

/// One conversation as the text lists it.
struct Listed {
    protocol: String,
    client: SocketAddr,
    server: SocketAddr,
    /// None where the text does not count them.
    packets: Option<u64>,
    states: String,
}

fn listed() -> Vec<Listed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kernel-tcp.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.contains(" > "));
    let listed: Vec<Listed> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let (client, server) = cells[1].split_once(" > ").unwrap();
            Listed {
                protocol: cells[0].to_owned(),
                client: client.parse().unwrap(),
                server: server.parse().unwrap(),
                packets: cells[2].parse().ok(),
                states: cells[3].to_owned(),
            }
        })
        .collect();
    assert!(
        listed.iter().filter(|row| row.protocol == "tcp").count() >= 18,
        "the text lists its conversations"
    );
    listed
}

/// Source and destination of a line or of a connection's original tuple.
fn ends(tuple: &Value) -> Option<(SocketAddr, SocketAddr)> {
    let end = |address: &str, port: &str| {
        let port = u16::try_from(tuple[port].as_u64()?).ok()?;
        Some(SocketAddr::new(tuple[address].as_str()?.parse().ok()?, port))
    };
    Some((end("source", "source_port")?, end("destination", "destination_port")?))
}

impl Listed {
    /// The connections of this tuple, every incarnation, in the order in which they began.
    fn connections<'a>(&self, replayed: &'a Replayed) -> Vec<&'a Value> {
        let mut found: Vec<&Value> = replayed
            .connections
            .iter()
            .filter(|connection| ends(&connection["original"]) == Some((self.client, self.server)))
            .filter(|connection| connection["protocol"] == self.protocol.as_str())
            .collect();
        found.sort_by_key(|connection| connection["id"].as_u64());
        found
    }

    /// What both endpoints are in as far as the wire tells, where that is not what the kernels reported.
    fn expected_states(&self) -> &str {
        match self.client.port() {
            // It gave up, which no packet shows.
            40_008 => "SYN_SENT/LISTEN",
            // The server was gone; a FIN that was let through counts as received.
            40_018 => "FIN_WAIT_1/CLOSE_WAIT",
            _ => &self.states,
        }
    }
}

#[test]
fn both_endpoints_are_in_the_states_that_their_kernels_reported() {
    let replayed = replay(&kernel_capture(), &[]);
    for row in listed().iter().filter(|row| row.protocol == "tcp") {
        let connections = row.connections(&replayed);
        let newest = connections.last().unwrap_or_else(|| panic!("{} has no connection", row.client));
        assert_eq!(pair(&newest["states"]), row.expected_states(), "{}", row.client);
    }
}

#[test]
fn a_tuple_that_was_used_again_holds_a_connection_for_each_incarnation() {
    let replayed = replay(&kernel_capture(), &[]);
    for row in listed().iter().filter(|row| row.protocol == "tcp") {
        let incarnations = match row.client.port() {
            40_009 | 40_010 | 40_015 => 2,
            _ => 1,
        };
        assert_eq!(row.connections(&replayed).len(), incarnations, "{}", row.client);
    }
}

#[test]
fn every_packet_is_counted_by_its_connection_and_none_is_invalid() {
    let replayed = replay(&kernel_capture(), &[]);
    for row in listed() {
        let Some(packets) = row.packets else { continue };
        let lines = replayed.packets.iter().filter(|packet| {
            let ends = ends(packet);
            packet["protocol"] == row.protocol.as_str()
                && (ends == Some((row.client, row.server)) || ends == Some((row.server, row.client)))
        });
        assert_eq!(lines.count() as u64, packets, "lines of {}", row.client);
        let counted: u64 = row
            .connections(&replayed)
            .iter()
            .map(|connection| {
                let packets = &connection["packets"];
                packets["original"].as_u64().unwrap() + packets["reply"].as_u64().unwrap()
            })
            .sum();
        assert_eq!(counted, packets, "counters of {}", row.client);
    }
    let invalid: Vec<&Value> =
        replayed.packets.iter().filter(|packet| packet["class"] == "invalid").collect();
    assert!(invalid.is_empty(), "{invalid:#?}");
    assert_eq!(replayed.summary["dropped"], 0);
    assert_eq!(replayed.summary["packets"], 365);
}
