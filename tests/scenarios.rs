//! Every scenario in tests/scenarios through the engine, as `lastack replay` takes them, and each
//! expectation held against what came. docs/scenarios.md explains the format.
//!
//! ```text
//!  tests/scenarios/GROUP/BEHAVIOUR.txt ─┐
//!  the example in docs/scenarios.md ────┴─ scenario ─► replay::configure ─► replay::replay ─► differences
//! ```

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};

use common::{Scratch, lastack};
use lastack::io::Input;
use lastack::io::scenario::{self, Act, Scenario};
use lastack::replay::{self, Options};
use lastack::table::HashKeys;

/// How many scenarios there are at least: fewer would mean that some were lost.
const AT_LEAST: usize = 150;

/// Every scenario's file, sorted by group and name.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert!(
                    path.extension().is_some_and(|extension| extension == "txt"),
                    "{}: a scenario is a .txt file",
                    path.display()
                );
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Rows that send something without saying what has to become of it.
fn silent_rows(scenario: &Scenario) -> Vec<u32> {
    let silent = scenario.rows().iter().filter(|row| match &row.act {
        Act::Packet(packet) => packet.expected.is_none(),
        Act::Table(_) | Act::Connection(..) => false,
    });
    silent.map(|row| row.line).collect()
}

/// Replays a scenario as `lastack replay` does; everything that is wrong with it.
fn run(name: &str, scenario: Scenario) -> Result<(), String> {
    if let Some(line) = silent_rows(&scenario).first() {
        return Err(format!("{name}:{line}: the row says nothing about what has to become of its packet"));
    }
    let config = replay::configure(name, &scenario, None, &[])?;
    let keys = HashKeys([1, 2, 3, 4]);
    let options = Options { json: true, write: None, drain: false, explain: None, shards: 1, keys };
    let input = Input::Scenario { name: name.into(), identity: None, scenario };
    replay::replay(input, &options, &config, &mut std::io::sink(), &mut |_| {})
        .map_err(|error| error.to_string())
}

/// The scenario in a file.
fn open(path: &Path) -> Result<Scenario, String> {
    match Input::open(path).map_err(|error| error.to_string())? {
        Input::Scenario { scenario, .. } => Ok(scenario),
        Input::Capture(_) => Err(format!("{}: a capture in place of a scenario", path.display())),
    }
}

#[test]
fn every_scenario_goes_as_it_says() {
    let files = files();
    let mut rows = 0;
    let mut failures = Vec::new();
    for path in &files {
        let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_string_lossy();
        let outcome = open(path).and_then(|scenario| {
            rows += scenario.rows().len();
            run(&name, scenario)
        });
        failures.extend(outcome.err());
    }
    println!("{} scenarios with {rows} rows", files.len());
    let (failed, all) = (failures.len(), files.len());
    assert!(failures.is_empty(), "{failed} of {all} scenarios differ:\n{}", failures.join("\n"));
    assert!(all >= AT_LEAST, "{all} scenarios are left of at least {AT_LEAST}");
}

#[test]
fn no_two_scenarios_claim_the_same() {
    let mut titles: Vec<String> = files()
        .iter()
        .filter_map(|path| open(path).ok())
        .map(|scenario| scenario.title().to_owned())
        .collect();
    titles.sort();
    for pair in titles.windows(2) {
        assert_ne!(pair[0], pair[1], "two scenarios have this title");
    }
}

#[test]
fn the_example_in_the_documentation_goes_as_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenarios.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    run("docs/scenarios.md", scenario::parse(example.as_bytes()).unwrap()).unwrap();
}

#[test]
fn what_differs_is_told_by_line() {
    let text = "scenario: An RST begins nothing.\nshows: contract\n\
                0 a RST 1 - 0 0 - | drop invalid no_syn - -\n\
                1 table | 1\n\
                2 connection 1 | ended closed\n\
                3 a SYN 1 - 0 0 - | accept new - SYN_SENT/LISTEN 1 original\n\
                4 connection 1 | ended closed\n\
                4 connection 1 | SYN_SENT/LISTEN, expires 120, packets 1/1\n";
    let told = run("x.txt", scenario::parse(text.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(
        told,
        "x.txt:3: expected `drop invalid no_syn - -`, came `drop invalid no_connection - -`\n\
         x.txt:4: expected `1`, came `empty`\n\
         x.txt:5: connection 1: expected `ended closed`, came none\n\
         x.txt:7: connection 1: expected `ended closed`, came `SYN_SENT/LISTEN`\n\
         x.txt:8: connection 1: expected `SYN_SENT/LISTEN, expires 120, packets 1/1`, \
         came `SYN_SENT/LISTEN, expires 119, packets 1/0`"
    );
}

#[test]
fn what_becomes_of_fragments_is_told_at_their_own_lines() {
    let text = "scenario: Fragments wait.\nshows: contract\n\
                0 a SYN 1 - 9 0 fragment 0-8 | drop invalid fragment_incomplete - -\n\
                0 table | 1\n\
                1 a SYN 1 - 9 0 fragment 8-20 | accept new - SYN_SENT/LISTEN 1 original\n\
                2 a ACK 2 2 9 0 fragment 0-8, ip-id 1 | accept new - - -\n";
    let told = run("x.txt", scenario::parse(text.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(
        told,
        "x.txt:3: expected `drop invalid fragment_incomplete - -`, \
         came `accept new - SYN_SENT/LISTEN 1 original`\n\
         x.txt:4: expected `1`, came `empty`\n\
         x.txt:6: expected `accept new - - -`, came `drop invalid fragment_incomplete - -`"
    );
}

/// A scenario in a file of its own.
fn write(scratch: &Scratch, text: &str) -> String {
    let path = scratch.path("x.txt");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const SYN: &str = "scenario: A SYN.\nshows: RFC 9293\nset tcp.syn_sent = \"5s\"\n\
                   0.5 a SYN 1 - 0 0 - | accept new - SYN_SENT/LISTEN 1 original\n";

#[test]
fn replay_takes_a_scenario_with_its_options_and_the_command_line_has_the_last_word() {
    let scratch = Scratch::new();
    let expires = "0.5 connection 1 | SYN_SENT/LISTEN, expires 5\n";
    let file = write(&scratch, &format!("{SYN}{expires}"));
    let accepted = scratch.path("accepted.pcap");
    let accepted = accepted.to_str().unwrap();
    let run = lastack(&["replay", "--json", "--shards", "3", "-w", accepted, &file]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.stdout.lines().count(), 3, "a packet, a connection, the summary: {}", run.stdout);
    assert!(run.stdout.contains(r#""expires_in":5.0"#), "{}", run.stdout);
    let again = lastack(&["replay", "--json", accepted]);
    assert!(
        again.stdout.starts_with(run.stdout.lines().next().unwrap()),
        "the same packet: {}",
        again.stdout
    );

    let run = lastack(&["replay", "-s", "tcp.syn_sent=7s", &file]);
    assert_eq!(run.status, Some(1));
    let told = "expected `SYN_SENT/LISTEN, expires 5`, came `SYN_SENT/LISTEN, expires 7`";
    assert_eq!(run.stderr, format!("{file}:5: connection 1: {told}\n"));
    assert!(run.stdout.contains("1 packets, 1 accepted"), "it was replayed all the same: {}", run.stdout);
}

#[test]
fn replay_never_overwrites_the_scenario_that_it_reads() {
    let scratch = Scratch::new();
    let file = write(&scratch, SYN);
    let run = lastack(&["replay", "-w", &file, &file]);
    assert_eq!(run.status, Some(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), SYN);
}

#[test]
fn what_is_wrong_with_a_scenario_is_told_in_one_line_that_names_the_place() {
    let scratch = Scratch::new();
    for (text, status, told) in [
        ("scenario: x\nshows: y\n0 a SIN", 1, ":3:5: `SIN` is not a segment"),
        ("# only a comment", 1, ":1:1: the scenario ends without its title"),
        ("scenario: x\nshows: y\nset tcp.mls = 1s\n0 table | empty", 2, ":3: --set tcp.mls=1s: [tcp] mls"),
        (
            "scenario: x\nshows: y\nset tcp.msl = 1s\nset tcp.closed = x\nset tcp.mls = 1s\n0 table | empty",
            2,
            ":4: --set tcp.closed=x: [tcp] closed",
        ),
    ] {
        let file = write(&scratch, text);
        let run = lastack(&["replay", &file]);
        assert_eq!((run.status, run.stdout.as_str()), (Some(status), ""), "{text}");
        assert!(run.stderr.starts_with(&format!("{file}{told}")), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
    let long = write(&scratch, &"# comment\n".repeat(120_000));
    let run = lastack(&["replay", &long]);
    assert!(run.stderr.contains("none is longer than"), "{}", run.stderr);
}
