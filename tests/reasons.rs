//! Every reason for which a packet can be refused in a replay: a capture that brings it about, the numbers that its line
//! bears (as docs/reasons.md names them), and the story that `--explain` tells of it.
//!
//! ```text
//!  case ─ capture ─┬─ replay --json ────► detail ─► its keys = those of docs/reasons.md, one example each there
//!                  └─ replay --explain ─► tests/data/stories/REASON.txt
//! ```
//!
//! Regenerate stories and examples, then read them: `LASTACK_BLESS=1 cargo test --test reasons`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use common::{
    ACK, CLIENT, FIN_ACK, RST, RST_ACK, Replayed, SERVER, SYN, SYN_ACK, Scratch, Script, kernel_capture,
    lastack, replay,
};
use lastack::shard::{Reason, Refusal};
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{Flags, Ports, protocol};
use serde_json::Value;

/// What brings a reason about: the capture, the arguments, and the packet that has it.
struct Case {
    reason: &'static str,
    script: Script,
    arguments: &'static [&'static str],
    number: u64,
}

fn case(reason: &'static str, number: u64, script: Script) -> Case {
    Case { reason, script, arguments: &[], number }
}

fn with(arguments: &'static [&'static str], case: Case) -> Case {
    Case { arguments, ..case }
}

const PORTS: Ports = Ports { source: 40_000, destination: 53 };

fn builder() -> Builder {
    Builder::v4(CLIENT, SERVER)
}

/// A lone frame, with one byte behind the Ethernet header set.
fn spoiled(frame: Vec<u8>, at: usize, value: u8) -> Script {
    Script::new().frame(frame).spoil(|frame| frame[14 + at] = value)
}

fn tcp(options: &[u8]) -> Vec<u8> {
    builder().tcp(&Tcp { options: options.to_vec(), ..Tcp::new(40_000, 80) }, b"data")
}

/// What is wrong with a packet by itself.
fn malformed() -> Vec<Case> {
    let no_checks: &[&str] = &["-s", "ip.check_checksum=false", "-s", "tcp.check_checksum=false"];
    vec![
        case("truncated", 4, Script::new().open().client(ACK, 1, 1, 10).spoil(|frame| frame.truncate(60))),
        case("bad_ip_header", 1, spoiled(tcp(&[]), 0, 0x65)),
        with(no_checks, case("bad_length", 1, spoiled(tcp(&[]), 3, 19))),
        case("bad_ip_option", 1, Script::new().frame(builder().options(&[1, 7, 1, 0]).udp(PORTS, b"data"))),
        case("bad_ip_checksum", 1, spoiled(tcp(&[]), 10, 0)),
        case("bad_checksum", 4, Script::new().open().client(ACK, 1, 1, 10).spoil(|frame| frame[60] ^= 1)),
        with(no_checks, case("bad_offset", 1, spoiled(tcp(&[]), 32, 0x40))),
        case("bad_tcp_option", 1, Script::new().frame(tcp(&[1, 1, 8, 20, 0, 0, 0, 0]))),
        case("bad_flags", 1, Script::new().client(SYN.with(Flags::FIN), 0, 0, 0)),
        case("bad_icmp_type", 1, Script::new().frame(builder().icmp(99, 3, [0; 4], b""))),
        case(
            "bad_fragment",
            1,
            Script::new().frame(builder().id(9).fragment(protocol::UDP, 65_528, false, &[0; 16])),
        ),
    ]
}

/// Datagrams that cannot be put together.
fn fragments() -> Vec<Case> {
    let builder = builder().id(7);
    let datagram = builder.udp_datagram(PORTS, &[7; 1_000]);
    let pieces = builder.fragments(protocol::UDP, &datagram, 400);
    let script = |frames: &[Vec<u8>]| frames.iter().cloned().fold(Script::new(), Script::frame);
    let overlapping = builder.fragment(protocol::UDP, 392, true, &[9; 16]);
    vec![
        case("fragment_incomplete", 1, script(&pieces[..2]).wait(20_000).client(SYN, 0, 0, 0)),
        case("fragment_overlap", 2, script(&[pieces[0].clone(), overlapping])),
        with(&["-s", "fragments.max=2"], case("fragment_limit", 3, script(&pieces))),
    ]
}

/// Segments that TCP refuses.
fn segments() -> Vec<Case> {
    let open = || Script::new().open();
    let closed = || Script::new().timestamp(Some(500)).open().close().wait(1_000);
    let late = |script: Script| script.timestamp(Some(499)).client_isn(90_000).client(SYN, 0, 0, 0);
    vec![
        case("out_of_window", 4, open().server(ACK, 9_000_000, 1, 10)),
        case("out_of_window", 5, open().client(ACK, 1, 1, 100).client(RST, 50_000, 0, 0)),
        case("ack_out_of_window", 4, open().client(ACK, 1, 5_000_000, 10)),
        case("ack_out_of_window", 2, Script::new().client(SYN, 0, 0, 0).server(RST_ACK, 0, 7, 0)),
        case("after_fin", 6, open().client(FIN_ACK, 1, 1, 0).server(ACK, 1, 2, 0).client(ACK, 2, 1, 50)),
        case("rst_not_exact", 5, open().client(ACK, 1, 1, 100).client(RST, 50, 0, 0)),
        with(
            &["-s", "tcp.inexact_rst=drop"],
            case("rst_not_exact", 5, open().client(ACK, 1, 1, 100).client(RST, 200, 0, 0)),
        ),
        case("unexpected_syn_ack", 4, open().server(SYN_ACK, 3_000, 90_000, 0)),
        case("unexpected_syn_ack", 2, Script::new().client(SYN, 0, 0, 0).client(SYN_ACK, 0, 1, 0)),
        case("not_synchronized", 2, Script::new().client(SYN, 0, 0, 0).server(ACK, 1, 1, 20)),
        case("not_synchronized", 2, Script::new().client(SYN, 0, 0, 0).client(ACK, 1, 1, 0)),
        case("time_wait", 8, late(closed())),
        with(&["-s", "tcp.time_wait_reuse=off"], case("time_wait", 8, late(closed()))),
        with(
            &["-s", "tcp.quiet_time=30s"],
            case("quiet_time", 2, Script::new().udp(1).wait(5_000).client(SYN, 0, 0, 0)),
        ),
        with(&["-s", "tcp.loose=false"], case("no_syn", 1, Script::new().client(ACK, 1, 1, 10))),
        case("no_connection", 1, Script::new().server(SYN_ACK, 0, 1, 0)),
    ]
}

/// What is not TCP, and a full table.
fn others() -> Vec<Case> {
    let quoting = |script: Script| {
        let quoted = script.last()[14..42].to_vec();
        script.frame(Builder::v4(SERVER, CLIENT).icmp(3, 1, [0; 4], &quoted))
    };
    let acknowledged = {
        let error = quoting(Script::new().open().client(ACK, 1, 1, 100)).last().to_vec();
        Script::new().open().client(ACK, 1, 1, 100).server(ACK, 1, 101, 0).frame(error)
    };
    let guessed = {
        let error = quoting(Script::new().open().client(ACK, 9_000, 1, 100)).last().to_vec();
        Script::new().open().client(ACK, 1, 1, 100).frame(error)
    };
    let stranger = Script::new().port(9).udp(10).last()[14..42].to_vec();
    vec![
        case(
            "icmp_unsolicited",
            1,
            Script::new().frame(Builder::v4(SERVER, CLIENT).icmp(0, 0, [0, 5, 0, 1], b"pong")),
        ),
        case("icmp_unknown", 5, guessed),
        case("icmp_unknown", 6, acknowledged),
        case(
            "icmp_unknown",
            1,
            Script::new().frame(Builder::v4(SERVER, CLIENT).icmp(3, 3, [0; 4], &stranger)),
        ),
        with(
            &["-s", "table.max_connections=2"],
            case("table_full", 7, Script::new().open().port(40_001).open().port(40_002).client(SYN, 0, 0, 0)),
        ),
    ]
}

fn cases() -> Vec<Case> {
    [malformed(), fragments(), segments(), others()].into_iter().flatten().collect()
}

/// Reasons of ports, which a replay does not have.
const OF_PORTS: [Refusal; 2] = [Refusal::NotAllowed, Refusal::WrongPort];

fn bless() -> bool {
    std::env::var_os("LASTACK_BLESS").is_some()
}

impl Case {
    fn replay(&self) -> Replayed {
        self.script.replay(self.arguments)
    }

    /// What `--explain` says, of a capture in a directory of its own.
    fn explained(&self, more: &[&str]) -> String {
        let scratch = Scratch::new();
        let capture = scratch.path("case.pcap");
        self.script.write(&capture);
        let number = self.number.to_string();
        let mut arguments = vec!["replay", "--explain", &number];
        arguments.extend(self.arguments);
        arguments.extend(more);
        arguments.push(capture.to_str().unwrap());
        let run = lastack(&arguments);
        assert_eq!(run.status, Some(0), "{}: {}", self.reason, run.stderr);
        run.stdout.replace(capture.to_str().unwrap(), "case.pcap")
    }
}

#[test]
fn there_is_a_capture_for_every_reason_of_a_replay() {
    let cases = cases();
    let covered: BTreeSet<&str> = cases.iter().map(|case| case.reason).collect();
    let of_ports = OF_PORTS.map(Refusal::name);
    let all: BTreeSet<&str> =
        Reason::all().map(Reason::name).filter(|name| !of_ports.contains(name)).collect();
    assert_eq!(covered, all);
    for case in &cases {
        let replayed = case.replay();
        assert_eq!(replayed.packet(case.number)["reason"], case.reason, "{:?}", replayed.stories());
    }
}

/// The keys of each reason's `detail`, over all its cases.
fn keys_seen() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut seen: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for case in cases() {
        let replayed = case.replay();
        let detail = &replayed.packet(case.number)["detail"];
        let keys = detail.as_object().unwrap_or_else(|| panic!("{}: no detail", case.reason));
        seen.entry(case.reason).or_default().extend(keys.keys().cloned());
    }
    seen
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reasons.md")
}

#[test]
fn every_reasons_numbers_are_those_that_its_page_names() {
    let page = std::fs::read_to_string(page()).unwrap();
    let seen = keys_seen();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let name = cells[0].trim_matches('`');
        let Some(seen) = seen.get(name) else { continue };
        let named: BTreeSet<String> = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(&named, seen, "{name}");
    }
}

/// One line for each reason: its name, and `detail` of its first case.
fn examples() -> String {
    let mut text = String::new();
    let mut last = "";
    for case in cases() {
        if case.reason == last {
            continue;
        }
        last = case.reason;
        let replayed = case.replay();
        // As printed: a parsed value has lost the order of its keys.
        let number = format!("\"number\":{},", case.number);
        let line = replayed.text.lines().find(|line| line.contains(&number)).unwrap();
        let (_, detail) = line.split_once("\"detail\":").unwrap();
        writeln!(text, "{:<20} {}", case.reason, detail.strip_suffix('}').unwrap()).unwrap();
    }
    text
}

#[test]
fn the_examples_on_the_page_are_what_is_printed() {
    const BEGIN: &str = "```text\n";
    let written = std::fs::read_to_string(page()).unwrap();
    let (before, rest) = written.split_once("## Examples").unwrap();
    let (intro, rest) = rest.split_once(BEGIN).unwrap();
    let (_, behind) = rest.split_once("```").unwrap();
    let right = format!("{before}## Examples{intro}{BEGIN}{}```{behind}", examples());
    if bless() {
        std::fs::write(page(), &right).unwrap();
    }
    assert!(
        bless() || written == right,
        "regenerate docs/reasons.md: LASTACK_BLESS=1 cargo test --test reasons"
    );
}

#[test]
fn every_refusal_has_a_story_and_it_reads_as_it_did() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories");
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    for case in cases() {
        let story = case.explained(&[]);
        let title = story.lines().next().unwrap();
        assert!(title.starts_with(&format!("Packet {} of ", case.number)), "{title}");
        assert!(title.ends_with(&format!(", {}.", case.reason)), "{title}");
        assert!(story.contains("The judgement\n"), "{story}");
        let arguments = case.arguments.join(" ");
        writeln!(told.entry(case.reason).or_default(), "{}\n{story}", format!("# {arguments}").trim_end())
            .unwrap();
    }
    for (reason, stories) in told {
        let path = folder.join(format!("{reason}.txt"));
        if bless() {
            std::fs::write(&path, &stories).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            written, stories,
            "regenerate {reason}: LASTACK_BLESS=1 cargo test --test reasons, and read it"
        );
    }
}

#[test]
fn as_json_the_story_bears_the_packets_own_line_and_its_sentences() {
    for case in cases() {
        let replayed = case.replay();
        let line = replayed.packet(case.number);
        let explained = case.explained(&["--json"]);
        let value: Value = serde_json::from_str(&explained).unwrap();
        assert_eq!(value["record"], "explanation");
        for (key, told) in line.as_object().unwrap().iter().filter(|(key, _)| *key != "record") {
            assert_eq!(&value[key], told, "{}: {key}", case.reason);
        }
        let sentences = value["sentences"].as_array().unwrap();
        assert!(
            sentences.len() >= 4
                && sentences.iter().all(|one| one.as_str().is_some_and(|one| !one.is_empty()))
        );
        assert!(value["drawing"].is_array());
    }
}

/// Packets of a capture, and what is told of each of them.
fn every_packet_is_told(capture: &Path, arguments: &[&str], step: usize) {
    let replayed = replay(capture, arguments);
    for packet in replayed.packets.iter().step_by(step) {
        let number = packet["number"].to_string();
        let mut all = vec!["replay", "--explain", &number];
        all.extend(arguments);
        all.push(capture.to_str().unwrap());
        let run = lastack(&all);
        assert_eq!(run.status, Some(0), "packet {number} of {}: {}", capture.display(), run.stderr);
        let title = run.stdout.lines().next().unwrap();
        let verdict = if packet["verdict"] == "accept" { "accepted" } else { "dropped" };
        for word in [&format!("Packet {number} of "), verdict, packet["class"].as_str().unwrap()] {
            assert!(title.contains(word), "{word} is missing in: {title}");
        }
        assert!(title.ends_with(&format!("{}.", packet["reason"].as_str().unwrap_or(""))), "{title}");
        assert!(!run.stdout.contains("  \n") && !run.stdout.contains(" ."), "{}", run.stdout);
    }
}

#[test]
fn every_packet_of_the_kernels_capture_has_a_story_whatever_the_shards() {
    every_packet_is_told(&kernel_capture(), &[], 1);
    every_packet_is_told(&kernel_capture(), &["--shards", "3", "-s", "tcp.time_wait_reuse=off"], 5);
}

#[test]
fn every_packet_of_other_peoples_captures_has_a_story() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    // They are not part of the project: where they are not, the kernels' capture has to do.
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
            let packets = replay(&path, &[]).packets.len();
            every_packet_is_told(&path, &[], packets.div_ceil(60).max(1));
        }
    }
}

/// What passes for the sake of another connection of its tuple has no reason, but a story.
#[test]
fn a_segment_of_a_displaced_connection_is_told_as_one() {
    let stories = [
        ("a-displaced-connection-closes", 9, "brings a displaced connection back"),
        ("a-displaced-connection-closes", 10, "which brought it back: another one had displaced it"),
        ("an-rst-of-the-displaced-connection-is-that-ones", 6, "It ends that one, and nothing else"),
        ("a-displaced-connection-in-last-ack", 9, "brings a displaced connection back"),
        (
            "a-time-wait-that-may-have-been-left",
            9,
            "An endpoint of that one waits for its last acknowledgement",
        ),
        ("a-time-wait-that-may-have-been-left", 11, "That one is over"),
        ("a-connection-planted-before-the-real-one-began", 10, "there was no room"),
        ("a-connection-planted-before-the-real-one-began", 13, "there was no room"),
    ];
    for (name, number, told) in stories {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/scenarios/attack/{name}.txt"));
        let run = lastack(&["replay", "--explain", &number.to_string(), path.to_str().unwrap()]);
        let story = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(story.contains(told), "{name}, packet {number}: {story}");
        assert!(!story.contains("picked up in mid-stream"), "{story}");
    }
}
