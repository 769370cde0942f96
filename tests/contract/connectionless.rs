//! UDP, ICMP queries, other protocols, and what is not tracked at all.

use lastack::wire::build::Builder;
use serde_json::json;

use crate::common::{CLIENT, SERVER, Script, assert_about};

fn echo(identifier: u8) -> Vec<u8> {
    Builder::v4(CLIENT, SERVER).icmp(8, 0, [0, identifier, 0, 1], b"ping")
}

fn echo_reply(identifier: u8) -> Vec<u8> {
    Builder::v4(SERVER, CLIENT).icmp(0, 0, [0, identifier, 0, 1], b"ping")
}

/// GRE, which is only known by its number.
fn gre() -> Vec<u8> {
    Builder::v4(CLIENT, SERVER).packet(47, &[0; 8])
}

#[test]
fn udp_lives_for_unreplied_and_then_for_replied_from_each_packet() {
    let asked = Script::new().udp(1);
    assert_about(asked.replay(&[]).expires_in(1), 30.0);
    assert_about(asked.replay(&["-s", "udp.unreplied=7s"]).expires_in(1), 7.0);
    let answered = asked.wait(1_000).udp_reply(1);
    assert_about(answered.replay(&[]).expires_in(1), 300.0);
    assert_about(answered.replay(&["-s", "udp.replied=8s"]).expires_in(1), 8.0);
    let again = answered.wait(5_000).udp(1);
    assert_about(again.replay(&["-s", "udp.replied=8s"]).expires_in(1), 8.0);
    assert_eq!(
        again.replay(&[]).stories(),
        ["accept new original - -", "accept established reply - -", "accept established original - -"]
    );
}

#[test]
fn an_echo_has_an_identifier_in_place_of_ports() {
    let replayed = Script::new().frame(echo(7)).frame(echo_reply(7)).replay(&[]);
    assert_eq!(replayed.stories(), ["accept new original - -", "accept established reply - -"]);
    let tuple = |source: &str, destination: &str| {
        json!({"source": source, "source_port": null, "destination": destination, "destination_port": null,
               "icmp_id": 7})
    };
    let connection = replayed.connection(1);
    assert_eq!(connection["protocol"], "icmp");
    assert_eq!(connection["original"], tuple("10.0.0.1", "10.0.0.2"));
    assert_eq!(connection["reply"], tuple("10.0.0.2", "10.0.0.1"));
    let packet = replayed.packet(1);
    assert!(packet["source_port"].is_null() && packet["destination_port"].is_null(), "{packet}");
}

#[test]
fn another_identifier_is_another_connection_and_an_unasked_reply_is_invalid() {
    let replayed = Script::new().frame(echo(7)).frame(echo(8)).frame(echo_reply(9)).replay(&[]);
    assert_eq!(replayed.packet(2)["connection"], 2);
    assert_eq!(replayed.packet(3)["class"], "invalid");
    assert!(replayed.packet(3)["connection"].is_null());
}

#[test]
fn icmp_lives_for_its_timeout_from_each_packet() {
    let script = Script::new().frame(echo(7)).wait(5_000).frame(echo_reply(7));
    assert_about(script.replay(&[]).expires_in(1), 30.0);
    assert_about(script.replay(&["-s", "icmp.timeout=9s"]).expires_in(1), 9.0);
}

#[test]
fn another_protocol_is_its_number_and_lives_for_its_timeout_from_each_packet() {
    let script = Script::new().frame(gre()).wait(1_000).frame(gre());
    let replayed = script.replay(&[]);
    assert_about(replayed.expires_in(1), 600.0);
    assert_eq!(replayed.stories(), ["accept new original - -", "accept established original - -"]);
    assert_eq!(replayed.connection(1)["protocol"], "47");
    assert_eq!(replayed.summary["connections"]["by_protocol"], json!({"47": 1}));
    assert_about(script.replay(&["-s", "other.timeout=4s"]).expires_in(1), 4.0);
}

#[test]
fn arp_is_untracked_and_accepted() {
    let mut arp = vec![0xff; 6];
    arp.extend_from_slice(&[2, 0, 0, 0, 0, 1, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    arp.resize(42, 0);
    let replayed = Script::new().frame(arp).replay(&[]);
    assert_eq!(replayed.stories(), ["accept untracked - - -"]);
    assert!(replayed.packet(1)["connection"].is_null() && replayed.packet(1)["protocol"].is_null());
    assert!(replayed.connections.is_empty());
}

#[test]
fn lldp_is_untracked_and_accepted() {
    let mut lldp = vec![0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc];
    lldp.resize(60, 0);
    assert_eq!(Script::new().frame(lldp).replay(&[]).stories(), ["accept untracked - - -"]);
}

#[test]
fn neighbour_discovery_is_untracked_and_accepted() {
    let (mut host, mut group) = ([0; 16], [0; 16]);
    (host[0], host[1], host[15]) = (0xfe, 0x80, 1);
    (group[0], group[1], group[11], group[12], group[15]) = (0xff, 0x02, 1, 0xff, 2);
    let mut target = host;
    target[15] = 2;
    let solicitation = Builder::v6(host, group).icmp(135, 0, [0; 4], &target);
    assert_eq!(Script::new().frame(solicitation).replay(&[]).stories(), ["accept untracked - - -"]);
}
