//! Captures of others, counted by an independent dissector: every packet and byte of a conversation must
//! come out again, whatever is thought of it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

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

/// Where the captures are; none, and a line that says so, where they are not.
fn captures() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    if directory.join("expected.json").is_file() {
        return Some(directory);
    }
    // Not by println!, which the test harness keeps to itself when a test passes.
    let mut terminal = std::io::stderr();
    writeln!(terminal, "skipped: there are no captures in {}", directory.display()).unwrap();
    None
}

#[test]
fn packets_and_bytes_agree_with_an_independent_dissector() {
    let Some(directory) = captures() else { return };
    let text = std::fs::read_to_string(directory.join("expected.json")).unwrap();
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

/// Why packets of a capture are invalid: their numbers, the reason that is told, and what happened.
type Explained = (&'static [u64], &'static str, &'static str);

/// Every invalid packet of every capture. A file that is not here has none.
const INVALID: &[(&str, &[Explained])] = &[
    (
        "ctu-64702-888.pcap",
        &[(
            &[1, 2],
            "no_connection",
            "The capture begins with the SYN-ACK and its repetition: of the SYN nothing was seen, and a SYN-ACK \
             is never picked up. The ACK that follows is, so the rest passes.",
        )],
    ),
    (
        "http-on-irc-port-missing-syn.pcapng",
        &[(&[1], "no_connection", "Begins with the SYN-ACK: the SYN was removed from the file.")],
    ),
    (
        "missing-syn.pcap",
        &[(&[1], "no_connection", "Begins with the SYN-ACK: the SYN was removed from the file.")],
    ),
    (
        "reassembly.pcap",
        &[
            (
                &[7, 26, 35, 39, 85],
                "truncated",
                "The IP header states 8 or 20 bytes more than were on the wire: PPP over ATM lost the end of a \
                 full frame. No host takes in such a packet.",
            ),
            (
                &[9, 16, 20, 31, 64, 68, 79, 91, 97, 112],
                "bad_checksum",
                "Full frames once more, whose payload was damaged before the capture: the TCP checksum is wrong.",
            ),
            (
                &[8, 10, 80, 86, 92, 98, 105],
                "ack_out_of_window",
                "The server acknowledges just those segments all the same (the file's makers have damaged \
                 copies of what had arrived), and before 105 one that is not in the file at all. Through a \
                 middlebox that has refused them nobody could.",
            ),
        ],
    ),
    (
        "retransmit-fast009.pcap",
        &[(
            &[
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
                26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
            ],
            "bad_ip_checksum",
            "The addresses were made anonymous and the IPv4 checksums left as they had been.",
        )],
    ),
    (
        "rst-inject-rae.pcap",
        &[(
            &[2],
            "ack_out_of_window",
            "An injected RST: it acknowledges the SYN's own number, one less than the byte behind it. \
             RFC 9293 section 3.10.7.3 has SYN_SENT ignore that, and so the handshake goes on.",
        )],
    ),
    (
        "single-rst.pcap",
        &[(&[1], "no_connection", "An RST and nothing else: there is nothing that it could end.")],
    ),
    (
        "syn-bad.pcap",
        &[(&[1], "bad_checksum", "A SYN whose TCP checksum is wrong, as the file's name says.")],
    ),
    (
        // The bare ACK before it could be an older incarnation's, challenging the SYN, and the RST behind it, with
        // that ACK's number, what ends that one (RFC 9293 figure 9): both pass.
        "syn-then-stuff-then-rst.pcap",
        &[(&[3], "bad_flags", "A FIN without ACK: no TCP sends that.")],
    ),
    (
        "tcpreplay-test.pcap",
        &[
            (
                &[12, 14],
                "bad_ip_checksum",
                "An echo reply and an IGMP query, edited by whoever published them and not summed anew.",
            ),
            (
                &[19, 27],
                "bad_checksum",
                "The HTTP request and a DNS question, edited by whoever published them: both checksums are off \
                 by exactly what was edited.",
            ),
            (
                &[
                    20, 21, 22, 24, 39, 40, 42, 44, 45, 49, 60, 62, 63, 65, 66, 68, 70, 71, 73, 74, 84, 85,
                    87, 88, 90, 91, 93, 94, 96, 98, 99, 112,
                ],
                "ack_out_of_window",
                "The server acknowledges the request of packet 19, which was refused: as far as anybody behind \
                 a middlebox knows it was never sent.",
            ),
            (
                &[23, 25, 41, 43, 46, 61, 64, 67, 69, 72, 75, 86, 89, 92, 95, 97, 100, 113],
                "ack_out_of_window",
                "The client acknowledges what those packets bore.",
            ),
            (
                &[132, 134, 136, 138, 140],
                "icmp_unsolicited",
                "Echo replies whose requests travelled inside MPLS, into which nobody looks here.",
            ),
        ],
    ),
];

/// Which packets of a capture are invalid, and why.
fn invalid(capture: &Path, arguments: &[&str]) -> BTreeMap<u64, String> {
    let replayed = replay(capture, arguments);
    let of_packet =
        |packet: &Value| (packet["number"].as_u64().unwrap(), packet["reason"].as_str().unwrap().to_owned());
    replayed.packets.iter().filter(|packet| packet["class"] == "invalid").map(of_packet).collect()
}

#[test]
fn every_invalid_packet_is_explained() {
    let Some(directory) = captures() else { return };
    let text = std::fs::read_to_string(directory.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = expected.as_object().unwrap().keys().map(String::as_str).collect();
    for (name, _) in INVALID {
        assert!(names.contains(name), "{name} is explained and not there");
    }
    for name in names {
        let explained = INVALID.iter().filter(|(file, _)| *file == name).flat_map(|(_, all)| all.iter());
        let mut reasons = BTreeMap::new();
        for (numbers, reason, why) in explained {
            for number in *numbers {
                let other = reasons.insert(*number, (*reason).to_owned());
                assert_eq!(other, None, "{name}: packet {number} is explained twice: {why}");
            }
        }
        assert_eq!(invalid(&directory.join(name), &[]), reasons, "{name}");
    }
}

/// What is said above of packets that others depend on: with no checksum verified, those whose checksum was
/// wrong pass, and with them whatever acknowledges them.
#[test]
fn what_acknowledges_a_damaged_packet_passes_where_damage_is_not_looked_for() {
    let Some(directory) = captures() else { return };
    let unchecked = ["tcp", "udp", "icmp", "ip"].map(|section| format!("{section}.check_checksum=false"));
    let arguments: Vec<&str> = unchecked.iter().flat_map(|set| ["-s", set.as_str()]).collect();
    let left = |name: &str| invalid(&directory.join(name), &arguments);
    assert_eq!(left("retransmit-fast009.pcap"), BTreeMap::new());
    assert_eq!(left("syn-bad.pcap"), BTreeMap::new());
    let numbers: Vec<u64> = left("tcpreplay-test.pcap").into_keys().collect();
    assert_eq!(numbers, [12, 132, 134, 136, 138, 140], "the replies without a request");
    let numbers: Vec<u64> = left("reassembly.pcap").into_keys().collect();
    assert_eq!(numbers, [7, 8, 26, 35, 39, 85, 86, 105], "cut short, and acknowledged all the same");
}
