//! ICMP errors, a full table, and checksums.

use lastack::wire::build::Builder;
use serde_json::json;

use crate::common::{ACK, CLIENT, SERVER, SYN, SYN_ACK, Script};

/// Destination unreachable, quoting the last frame's IP header and the 8 bytes behind it.
fn unreachable(script: Script, from: [u8; 4], to: [u8; 4]) -> Script {
    let quoted = script.last()[14..42].to_vec();
    script.frame(Builder::v4(from, to).icmp(3, 1, [0; 4], &quoted))
}

#[test]
fn an_error_about_data_in_flight_is_related_and_counts_in_no_connection() {
    let script = Script::new().open().client(ACK, 1, 1, 100).wait(500);
    let replayed = unreachable(script, SERVER, CLIENT).replay(&["-s", "tcp.established=10s"]);
    assert_eq!(replayed.story(5), "accept related reply - ESTABLISHED/ESTABLISHED");
    assert_eq!(replayed.packet(5)["connection"], 1);
    assert_eq!(replayed.connections[0]["packets"], json!({"original": 3, "reply": 1}));
    crate::common::assert_about(replayed.expires_in(1), 9.5);
}

#[test]
fn an_error_from_a_router_on_the_way_travels_in_the_direction_of_its_receiver() {
    let script = Script::new().open().server(ACK, 1, 1, 100);
    let replayed = unreachable(script, [192, 0, 2, 77], SERVER).replay(&[]);
    assert_eq!(replayed.story(5), "accept related original - ESTABLISHED/ESTABLISHED");
}

#[test]
fn an_error_about_what_is_not_in_flight_is_invalid() {
    let script = Script::new().open().client(ACK, 1, 1, 100);
    let forged = script.clone().client(ACK, 50_000_000, 1, 100);
    let mut forged = unreachable(forged, SERVER, CLIENT);
    let replayed = forged.replay(&[]);
    assert_eq!(replayed.packet(6)["verdict"], "drop");
    assert_eq!(replayed.packet(6)["reason"], "icmp_unknown");
    // Acknowledged is not in flight any more.
    forged = unreachable(script, SERVER, CLIENT);
    let error = forged.last().to_vec();
    let acknowledged = Script::new().open().client(ACK, 1, 1, 100).server(ACK, 1, 101, 0).frame(error);
    let replayed = acknowledged.replay(&[]);
    assert_eq!(replayed.packet(6)["reason"], "icmp_unknown");
    // Nothing of that side is in flight, so that no number would have been right.
    assert_eq!(replayed.packet(6)["detail"]["seq"], 1001);
    assert_eq!(replayed.packet(6)["detail"].get("expected"), None);
}

#[test]
fn an_error_about_no_connection_is_invalid() {
    let stranger = Script::new().port(9).udp(10).last()[14..42].to_vec();
    let error = Builder::v4(SERVER, CLIENT).icmp(3, 3, [0; 4], &stranger);
    assert_eq!(Script::new().frame(error).replay(&[]).stories(), ["drop invalid - icmp_unknown -"]);
}

#[test]
fn an_error_about_udp_is_related() {
    let replayed = unreachable(Script::new().udp(10), SERVER, CLIENT).replay(&[]);
    assert_eq!(replayed.story(2), "accept related reply - -");
    assert_eq!(replayed.packet(2)["connection"], 1);
}

#[test]
fn a_table_full_of_open_connections_refuses_new_ones() {
    let script = Script::new().open().port(40_001).open().port(40_002).client(SYN, 0, 0, 0);
    let replayed = script.port(40_000).client(ACK, 1, 1, 10).replay(&["-s", "table.max_connections=2"]);
    assert_eq!(replayed.packet(7)["reason"], "table_full");
    assert_eq!(replayed.packet(7)["verdict"], "drop");
    assert!(replayed.packet(7)["connection"].is_null());
    assert_eq!(replayed.story(8), "accept established original - ESTABLISHED/ESTABLISHED");
    assert_eq!(replayed.summary["by_reason"], json!({"table_full": 1}));
}

#[test]
fn a_full_table_gives_up_one_that_never_completed_before_an_open_one() {
    let script = Script::new().open().port(40_001).client(SYN, 0, 0, 0).port(40_002).client(SYN, 0, 0, 0);
    let replayed = script.replay(&["-s", "table.max_connections=2"]);
    assert_eq!(replayed.story(5), "accept new original - SYN_SENT/LISTEN");
    assert_eq!(replayed.fate(2), "SYN_SENT/LISTEN evicted");
    assert_eq!(replayed.fate(1), "ESTABLISHED/ESTABLISHED -");
}

/// A frame whose byte `at`, from the IP header on, was changed under way.
fn damaged(frame: &[u8], at: usize) -> Script {
    Script::new().frame(frame.to_vec()).spoil(|frame| frame[14 + at] ^= 0x40)
}

/// Wrong, and the reason is told; right, once nobody checks.
fn assert_checks(key: &str, script: &Script, reason: &str) {
    let strict = script.replay(&[]);
    assert_eq!(strict.packet(1)["reason"], reason, "{key}: {:?}", strict.stories());
    assert_eq!(
        (&strict.packet(1)["verdict"], &strict.packet(1)["class"]),
        (&json!("drop"), &json!("invalid"))
    );
    let lenient = script.replay(&["-s", &format!("{key}=false")]);
    assert_eq!(lenient.packet(1)["verdict"], "accept", "{key}: {:?}", lenient.stories());
}

#[test]
fn each_check_checksum_verifies_its_own_protocols_checksum() {
    let from_client = Builder::v4(CLIENT, SERVER);
    let tcp = Script::new().client(SYN, 0, 0, 0);
    assert_checks("tcp.check_checksum", &damaged(tcp.last(), 20 + 16), "bad_checksum");
    assert_checks("udp.check_checksum", &damaged(Script::new().udp(10).last(), 28 + 3), "bad_checksum");
    let echo = from_client.icmp(8, 0, [0, 1, 0, 1], b"ping");
    assert_checks("icmp.check_checksum", &damaged(&echo, 28), "bad_checksum");
    // The time to live is in no other checksum.
    assert_checks("ip.check_checksum", &damaged(tcp.last(), 8), "bad_ip_checksum");
}

#[test]
fn a_partial_checksum_counts_as_right() {
    // What a sender's stack leaves to its interface: the pseudo-header's sum, not complemented.
    let mut sum: u32 = [0x0a00_u32, 0x0001, 0x0a00, 0x0002, 6, 20].iter().sum();
    sum = (sum & 0xffff) + (sum >> 16);
    let script = Script::new()
        .client(SYN, 0, 0, 0)
        .spoil(|frame| frame[14 + 36..14 + 38].copy_from_slice(&(sum as u16).to_be_bytes()));
    assert_eq!(script.replay(&[]).stories(), ["accept new original - SYN_SENT/LISTEN"]);
}

#[test]
fn a_damaged_packet_names_the_connection_whose_tuple_it_bears() {
    let script =
        Script::new().client(SYN, 0, 0, 0).server(SYN_ACK, 0, 1, 0).spoil(|frame| frame[14 + 36] ^= 1);
    let replayed = script.replay(&[]);
    assert_eq!(replayed.story(2), "drop invalid reply bad_checksum SYN_SENT/LISTEN");
    assert_eq!(replayed.packet(2)["connection"], 1);
}
