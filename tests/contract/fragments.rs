//! Fragments: held, judged once, and told together.

use lastack::wire::build::Builder;
use lastack::wire::{Ports, protocol};
use serde_json::{Value, json};

use crate::common::{CLIENT, Replayed, SERVER, Scratch, Script, replay};

const PORTS: Ports = Ports { source: 40_000, destination: 53 };

/// A UDP datagram of 1,000 bytes in three pieces, of 400, 400 and 208 bytes of IP payload.
fn pieces(id: u32) -> Vec<Vec<u8>> {
    let builder = Builder::v4(CLIENT, SERVER).id(id);
    let datagram = builder.udp_datagram(PORTS, &[7; 1_000]);
    builder.fragments(protocol::UDP, &datagram, 400)
}

fn script(frames: impl IntoIterator<Item = Vec<u8>>) -> Script {
    frames.into_iter().fold(Script::new(), Script::frame)
}

fn assert_all(replayed: &Replayed, story: &str) {
    assert_eq!(replayed.stories(), vec![story; replayed.packets.len()]);
}

#[test]
fn a_complete_datagram_is_judged_once_and_all_its_lines_say_the_same() {
    let replayed = script(pieces(1)).replay(&[]);
    assert_eq!(replayed.packets.len(), 3);
    assert_all(&replayed, "accept new original - -");
    assert!(replayed.packets.iter().all(|packet| packet["connection"] == 1));
    let connection = replayed.connection(1);
    assert_eq!(connection["packets"], json!({"original": 1, "reply": 0}), "the datagram counts once");
    assert_eq!(connection["bytes"], json!({"original": 420 + 420 + 228, "reply": 0}));
    assert_eq!(replayed.summary["accepted"], 3);
}

#[test]
fn pieces_in_any_order_make_the_same_connection() {
    let reversed = script(pieces(1).into_iter().rev()).replay(&[]);
    assert_all(&reversed, "accept new original - -");
    assert_eq!(reversed.connection(1)["original"]["destination_port"], 53);
}

#[test]
fn lines_come_in_the_order_of_the_verdicts_and_keep_their_times() {
    let [first, second, third] = <[Vec<u8>; 3]>::try_from(pieces(1)).unwrap();
    let script =
        Script::new().frame(first).wait(100).port(50_000).udp(1).wait(100).frame(second).frame(third);
    let replayed = script.replay(&[]);
    let lines: Vec<(&Value, &Value)> =
        replayed.packets.iter().map(|packet| (&packet["number"], &packet["time"])).collect();
    let expected =
        [(json!(2), json!(0.1)), (json!(1), json!(0.0)), (json!(3), json!(0.2)), (json!(4), json!(0.2))];
    assert_eq!(lines, expected.iter().map(|(number, time)| (number, time)).collect::<Vec<_>>());
}

#[test]
fn a_complete_datagram_leaves_as_the_fragments_that_it_came_in() {
    let scratch = Scratch::new();
    let (capture, written) = (scratch.path("in.pcap"), scratch.path("out.pcap"));
    script(pieces(1)).write(&capture);
    replay(&capture, &["-w", written.to_str().unwrap()]);
    assert_eq!(std::fs::read(written).unwrap(), std::fs::read(capture).unwrap());
}

#[test]
fn what_is_incomplete_when_the_capture_ends_is_dropped() {
    let replayed = script(pieces(1).into_iter().skip(1)).replay(&[]);
    assert_eq!(replayed.packets.len(), 2);
    assert_all(&replayed, "drop invalid - fragment_incomplete -");
    assert!(replayed.connections.is_empty());
    assert_eq!(replayed.summary["by_reason"], json!({"fragment_incomplete": 2}));
}

#[test]
fn what_is_incomplete_when_its_time_is_up_is_dropped_and_a_late_piece_helps_no_more() {
    let [first, second, third] = <[Vec<u8>; 3]>::try_from(pieces(1)).unwrap();
    let script = Script::new().frame(first).frame(second).wait(10_000).frame(third);
    assert_all(&script.replay(&[]), "accept new original - -");
    let short = script.replay(&["-s", "fragments.timeout=9s"]);
    assert_all(&short, "drop invalid - fragment_incomplete -");
    assert!(short.connections.is_empty());
}

#[test]
fn an_overlap_condemns_every_piece() {
    let builder = Builder::v4(CLIENT, SERVER).id(1);
    let overlapping = builder.fragment(protocol::UDP, 392, true, &[9; 16]);
    let [first, second, third] = <[Vec<u8>; 3]>::try_from(pieces(1)).unwrap();
    let replayed = script([first, overlapping, second, third]).replay(&[]);
    assert_eq!(replayed.packets.len(), 4);
    assert_all(&replayed, "drop invalid - fragment_overlap -");
    assert!(replayed.connections.is_empty());
}

#[test]
fn an_exact_repetition_is_no_overlap() {
    let [first, second, third] = <[Vec<u8>; 3]>::try_from(pieces(1)).unwrap();
    let replayed = script([first.clone(), first, second, third]).replay(&[]);
    assert_eq!(replayed.packets.len(), 4);
    assert_all(&replayed, "accept new original - -");
    assert_eq!(replayed.connection(1)["packets"]["original"], 1);
}

#[test]
fn more_pieces_than_may_be_held_are_too_many() {
    let replayed = script(pieces(1)).replay(&["-s", "fragments.max=2"]);
    assert_eq!(replayed.packets.len(), 3);
    assert_all(&replayed, "drop invalid - fragment_limit -");
    assert!(replayed.connections.is_empty());
}

#[test]
fn datagrams_of_another_identification_do_not_mix() {
    let mixed = pieces(1).into_iter().zip(pieces(2)).flat_map(|(one, two)| [one, two]);
    let replayed = script(mixed).replay(&[]);
    assert_eq!(replayed.packets.len(), 6);
    assert_eq!(replayed.connection(1)["packets"]["original"], 2);
    assert_eq!(replayed.summary["by_class"], json!({"new": 3, "established": 3}));
}

#[test]
fn ipv6_fragments_are_judged_once_as_well() {
    let (mut client, mut server) = ([0; 16], [0; 16]);
    (client[0], client[15]) = (0xfd, 1);
    (server[0], server[15]) = (0xfd, 2);
    let builder = Builder::v6(client, server).id(77);
    let datagram = builder.udp_datagram(PORTS, &[7; 1_000]);
    let replayed = script(builder.fragments(protocol::UDP, &datagram, 400)).replay(&[]);
    assert_eq!(replayed.packets.len(), 3);
    assert_all(&replayed, "accept new original - -");
    let connection = replayed.connection(1);
    assert_eq!(connection["packets"], json!({"original": 1, "reply": 0}));
    assert_eq!(connection["bytes"]["original"], 3 * 48 + 1_008, "each has its own two headers");
}

#[test]
fn a_damaged_datagram_is_invalid_in_all_its_pieces() {
    let script = script(pieces(1)).spoil(|frame| *frame.last_mut().unwrap() ^= 1);
    let replayed = script.replay(&[]);
    assert_eq!(replayed.packets.len(), 3);
    assert_all(&replayed, "drop invalid - bad_checksum -");
}
