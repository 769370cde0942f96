//! The shape of the JSON Lines: keys and their order, types, numbers and nulls.

use std::fmt;

use lastack::wire::Link;
use lastack::wire::build::Builder;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::common::{
    ACK, CLIENT, RST_ACK, Replayed, SERVER, START, SYN, SYN_ACK, Script, assert_about, kernel_capture, replay,
};

/// The keys of a JSON object in the order in which they stand, which [`Value`] does not keep.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Keys, M::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

const PACKET: &str = "record number time verdict class direction reason connection states protocol source \
                      source_port destination destination_port length";
const CONNECTION: &str = "record id zone protocol original reply states end started last_seen expires_in \
                          packets bytes";
const SUMMARY: &str = "record packets accepted dropped by_class by_reason start connections";

/// A whole connection, closed by the client.
fn closed() -> Replayed {
    let opened = Script::new().wait(0).client(SYN, 0, 0, 0).wait(250).server(SYN_ACK, 0, 1, 0);
    opened.client(ACK, 1, 1, 0).wait(1_000).close().replay(&[])
}

#[test]
fn every_line_has_exactly_the_keys_of_its_record_in_their_order() {
    for line in replay(&kernel_capture(), &["--drain"]).text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let expected = match record["record"].as_str() {
            Some("packet") => PACKET,
            Some("connection") => CONNECTION,
            Some("summary") => SUMMARY,
            other => panic!("{other:?}"),
        };
        let Keys(keys) = serde_json::from_str(line).unwrap();
        assert_eq!(keys.join(" "), expected, "{line}");
    }
}

#[test]
fn detail_follows_where_a_reason_has_numbers() {
    let replayed = Script::new().open().server(ACK, 9_000_000, 1, 10).replay(&[]);
    let line = replayed.text.lines().find(|line| line.contains("out_of_window")).unwrap();
    let Keys(keys) = serde_json::from_str(line).unwrap();
    assert_eq!(keys.join(" "), format!("{PACKET} detail"));
    let detail = &replayed.packet(4)["detail"];
    assert_eq!(detail["seq"], 9_005_000);
    assert!(detail["expected"].is_array() && detail["window"].is_u64(), "{detail}");
}

#[test]
fn a_packet_line_is_as_the_contract_shows_it() {
    let replayed = Script::new().client(SYN, 0, 0, 0).replay(&[]);
    let expected = json!({
        "record": "packet", "number": 1, "time": 0.0, "verdict": "accept", "class": "new",
        "direction": "original", "reason": null, "connection": 1, "states": ["SYN_SENT", "LISTEN"],
        "protocol": "tcp", "source": "10.0.0.1", "source_port": 40000, "destination": "10.0.0.2",
        "destination_port": 80, "length": 40,
    });
    assert_eq!(replayed.packets, [expected]);
}

#[test]
fn a_connection_line_is_as_the_contract_shows_it() {
    let replayed = closed();
    let mut connection = replayed.connections[0].clone();
    assert_about(connection["expires_in"].take().as_f64().unwrap(), 60.0);
    assert_about(connection["last_seen"].take().as_f64().unwrap(), 1.25);
    let expected = json!({
        "record": "connection", "id": 1, "zone": 0, "protocol": "tcp",
        "original": {"source": "10.0.0.1", "source_port": 40000, "destination": "10.0.0.2", "destination_port": 80},
        "reply": {"source": "10.0.0.2", "source_port": 80, "destination": "10.0.0.1", "destination_port": 40000},
        "states": ["TIME_WAIT", "CLOSED"], "end": null, "started": 0.0, "last_seen": null, "expires_in": null,
        "packets": {"original": 4, "reply": 3}, "bytes": {"original": 160, "reply": 120},
    });
    assert_eq!(connection, expected);
    let tuple = "source source_port destination destination_port";
    let line = replayed.text.lines().find(|line| line.contains("\"connection\",\"id\"")).unwrap();
    for key in ["original", "reply"] {
        let from = line.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
        let object = &line[from..=from + line[from..].find('}').unwrap()];
        let Keys(keys) = serde_json::from_str(object).unwrap();
        assert_eq!(keys.join(" "), tuple);
    }
}

#[test]
fn the_summary_counts_packets_classes_reasons_and_what_lives() {
    let script = Script::new().open().server(ACK, 9_000_000, 1, 10).wait(500).udp(4);
    let replayed = script.replay(&[]);
    let expected = json!({
        "record": "summary", "packets": 5, "accepted": 4, "dropped": 1,
        "by_class": {"new": 2, "established": 2, "invalid": 1}, "by_reason": {"out_of_window": 1},
        "start": START as f64,
        "connections": {
            "created": 2, "live": 2, "by_protocol": {"tcp": 1, "udp": 1},
            "by_states": {"ESTABLISHED/ESTABLISHED": 1},
        },
    });
    assert_eq!(replayed.summary, expected);
}

#[test]
fn the_summary_agrees_with_the_lines_before_it() {
    let replayed = replay(&kernel_capture(), &[]);
    let count =
        |key: &str, value: &str| replayed.packets.iter().filter(|packet| packet[key] == value).count() as u64;
    let summary = &replayed.summary;
    assert_eq!(summary["packets"], replayed.packets.len());
    assert_eq!(summary["accepted"], count("verdict", "accept"));
    assert_eq!(summary["dropped"], count("verdict", "drop"));
    for class in ["new", "established", "related", "invalid", "untracked"] {
        assert_eq!(summary["by_class"][class].as_u64().unwrap_or(0), count("class", class), "{class}");
    }
    let live = replayed.connections.iter().filter(|connection| connection["end"].is_null()).count();
    assert_eq!(summary["connections"]["live"], live);
    assert_eq!(summary["connections"]["created"], replayed.connections.len());
}

#[test]
fn packets_are_numbered_from_1_and_timed_from_the_first() {
    let replayed =
        Script::new().wait(77_000).client(SYN, 0, 0, 0).wait(1_250).server(SYN_ACK, 0, 1, 0).replay(&[]);
    let (numbers, times): (Vec<_>, Vec<_>) =
        replayed.packets.iter().map(|packet| (packet["number"].as_u64(), packet["time"].as_f64())).unzip();
    assert_eq!(numbers, [Some(1), Some(2)]);
    assert_eq!(times, [Some(0.0), Some(1.25)]);
    assert_eq!(replayed.summary["start"], START as f64 + 77.0);
}

#[test]
fn connections_are_told_when_they_end_and_the_living_at_the_end() {
    let script = Script::new().udp(1).port(40_001).client(SYN, 0, 0, 0).wait(31_000).client(SYN, 0, 0, 0);
    let replayed = script.replay(&[]);
    let order: Vec<String> = replayed
        .text
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            let number = if value["id"].is_u64() { &value["id"] } else { &value["number"] };
            format!("{} {number}", value["record"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        order,
        ["packet 1", "packet 2", "connection 1", "packet 3", "connection 2", "summary null"],
        "UDP's 30 seconds were over before packet 3"
    );
    assert_eq!(replayed.fate(1), "- expired");
    assert!(replayed.connection(1)["expires_in"].is_null());
    assert_eq!(replayed.fate(2), "SYN_SENT/LISTEN -");
}

#[test]
fn an_ended_connection_tells_how_it_ended() {
    let closed = Script::new().open().close().replay(&["--drain"]);
    assert_eq!(closed.fate(1), "TIME_WAIT/CLOSED closed");
    let reset = Script::new().open().client(RST_ACK, 1, 1, 0).replay(&["--drain"]);
    assert_eq!(reset.fate(1), "CLOSED/CLOSED reset");
    let expired = Script::new().open().replay(&["--drain"]);
    assert_eq!(expired.fate(1), "ESTABLISHED/ESTABLISHED expired");
    let reused = Script::new().open().close().client_isn(9_000).client(SYN, 0, 0, 0).replay(&["--drain"]);
    assert_eq!(reused.fate(1), "TIME_WAIT/CLOSED reused");
    assert_eq!(reused.fate(2), "SYN_SENT/LISTEN expired");
}

#[test]
fn bytes_count_from_the_ip_header_on_without_padding() {
    let script = Script::new().open().spoil(|frame| frame.resize(60, 0)).client(ACK, 1, 1, 100);
    let replayed = script.replay(&[]);
    assert_eq!(replayed.packet(3)["length"], 40, "six bytes of Ethernet padding do not count");
    assert_eq!(replayed.connections[0]["bytes"], json!({"original": 40 + 40 + 140, "reply": 40}));
}

#[test]
fn an_invalid_packet_names_the_connection_but_counts_in_none_and_moves_no_timer() {
    let script = Script::new().open().wait(1_000).server(ACK, 9_000_000, 1, 10);
    let replayed = script.replay(&["-s", "tcp.established=10s"]);
    assert_eq!(replayed.story(4), "drop invalid reply out_of_window ESTABLISHED/ESTABLISHED");
    assert_eq!(replayed.packet(4)["connection"], 1);
    assert_eq!(replayed.connections[0]["packets"], json!({"original": 2, "reply": 1}));
    assert_eq!(replayed.connections[0]["last_seen"], 0.0);
    assert_about(replayed.expires_in(1), 9.0);
}

#[test]
fn what_could_not_be_parsed_is_null() {
    let truncated = Script::new().client(SYN, 0, 0, 0).spoil(|frame| frame.truncate(14 + 12)).replay(&[]);
    let packet = truncated.packet(1);
    assert_eq!(truncated.story(1), "drop invalid - truncated -");
    for key in ["direction", "connection", "states", "protocol", "source", "source_port", "destination"] {
        assert!(packet[key].is_null(), "{key}: {packet}");
    }
}

#[test]
fn ipv6_is_told_in_its_usual_text_form() {
    let (mut client, mut server) = ([0; 16], [0; 16]);
    client[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    server[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    (client[15], server[15]) = (1, 2);
    let syn = lastack::wire::build::Tcp { flags: SYN, ..lastack::wire::build::Tcp::new(40_000, 80) };
    let frame = Builder::v6(client, server).link(Link::Ethernet).tcp(&syn, &[]);
    let replayed = Script::new().frame(frame).replay(&[]);
    let packet = replayed.packet(1);
    assert_eq!((&packet["source"], &packet["destination"]), (&json!("2001:db8::1"), &json!("2001:db8::2")));
    assert_eq!(packet["length"], 60);
}

#[test]
fn a_new_incarnation_is_a_new_number_that_was_never_used() {
    let script = Script::new().udp(1).wait(31_000).udp(1).wait(31_000).udp(1);
    let replayed = script.replay(&[]);
    let ids: Vec<_> = replayed.packets.iter().map(|packet| packet["connection"].as_u64()).collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3)]);
}

#[test]
fn the_reply_tuple_is_the_original_one_turned_round() {
    let replayed = Script::new().udp(1).udp_reply(1).replay(&[]);
    let connection = replayed.connection(1);
    assert_eq!(connection["original"]["source"], json!(format!("10.0.0.{}", CLIENT[3])));
    assert_eq!(connection["reply"]["source"], json!(format!("10.0.0.{}", SERVER[3])));
    assert_eq!(connection["original"]["source_port"], connection["reply"]["destination_port"]);
    assert_eq!(connection["original"]["destination_port"], connection["reply"]["source_port"]);
}

#[test]
fn an_empty_capture_has_a_summary_that_begins_nowhere() {
    let replayed = Script::new().replay(&["--drain"]);
    assert!(replayed.packets.is_empty() && replayed.connections.is_empty());
    assert!(replayed.summary["start"].is_null());
    assert_eq!(replayed.summary["packets"], 0);
    assert_eq!(replayed.summary["by_class"], json!({}));
}

#[test]
fn a_snap_length_changes_no_verdict_and_no_count() {
    let script = Script::new().open().client(ACK, 1, 1, 1_000).server(ACK, 1, 1_001, 0).udp(500);
    // Ethernet, IP and the longest TCP header: what lies behind was cut, and with it what a checksum covers.
    assert_eq!(script.clone().snap_length(54).replay(&[]).text, script.replay(&[]).text);
}

#[test]
fn an_icmpv6_echo_is_called_icmpv6() {
    let (mut client, mut server) = ([0; 16], [0; 16]);
    (client[0], client[15]) = (0xfd, 1);
    (server[0], server[15]) = (0xfd, 2);
    let echo = Builder::v6(client, server).icmp(128, 0, [0, 7, 0, 1], b"ping");
    let answer = Builder::v6(server, client).icmp(129, 0, [0, 7, 0, 1], b"ping");
    let replayed = Script::new().frame(echo).frame(answer).replay(&[]);
    assert_eq!(replayed.stories(), ["accept new original - -", "accept established reply - -"]);
    assert_eq!(replayed.packet(1)["protocol"], "icmpv6");
    assert_eq!(replayed.connection(1)["original"]["icmp_id"], 7);
    assert_eq!(replayed.summary["connections"]["by_protocol"], json!({"icmpv6": 1}));
}
