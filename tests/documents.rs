//! What README.md and docs/ say is what the code does: tables are printed by the code, a list of names is
//! complete, and commands print what stands below them.
//!
//! Regenerate what is generated: `LASTACK_BLESS=1 cargo test --test documents`.

#![allow(clippy::unwrap_used, reason = "a test that cannot read or run something fails, and says where")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lastack::control::Line;
use lastack::control::stats::{
    ByName, Connections, Kernel, Memory, Packets, PacketsAndBytes, Port, Queue, Shard, Stats, UmemFrames,
    Worker,
};
use lastack::shard::Reason;
use lastack::tcp::{Received, Sent, State};
use lastack::view::Loss;
use serde_json::Value;

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

const fn sent_title(event: Sent) -> &'static str {
    match event {
        Sent::Syn => "SYN",
        Sent::SynAck => "SYN-ACK",
        Sent::Fin => "FIN",
        Sent::CrossedFin => "crossed FIN",
        Sent::Rst => "RST",
    }
}

const fn received_title(event: Received) -> &'static str {
    match event {
        Received::Syn => "SYN",
        Received::SynAck => "SYN-ACK",
        Received::AckOfSyn => "ACK of its SYN",
        Received::AckOfFin => "ACK of its FIN",
        Received::Fin => "FIN",
        Received::Rst => "RST",
    }
}

/// A total table in Markdown: a row for every state, a column for every event, `·` where nothing changes.
fn table<E: Copy, const N: usize>(
    events: [E; N],
    title: fn(E) -> &'static str,
    next: fn(State, E) -> State,
) -> String {
    let titles = events.map(title).join(" | ");
    let mut text = format!("| state | {titles} |\n|---{}|\n", "|---".repeat(N));
    for state in State::ALL {
        let cells = events.map(|event| {
            let next = next(state, event);
            if next == state { "·" } else { next.name() }
        });
        writeln!(text, "| **{state}** | {} |", cells.join(" | ")).expect("a string takes what is written");
    }
    text
}

fn states() -> String {
    format!(
        "\
# The two machines of a TCP connection

<!-- Generated from src/tcp/state.rs. Regenerate: LASTACK_BLESS=1 cargo test --test documents -->

A connection has two states, one for each endpoint: the originator's (who sent the first packet seen) and the
responder's. Each is one of the eleven of RFC 9293 section 3.3.2. A connection begins as SYN_SENT/LISTEN by a SYN,
and where it is picked up in mid-stream as ESTABLISHED/ESTABLISHED, by a FIN as FIN_WAIT_1/CLOSE_WAIT. From then on
every segment that fits moves both endpoints by the tables: its sender by the first one, its receiver by the second.
A FIN has reached its receiver once it counts as received: it is contiguous with what came before it, or its receiver
has acknowledged it. What is let through only so that an endpoint can answer it (a SYN on a live connection, an inexact
RST, what `tcp.liberal` allows) moves nothing.

Both tables are total: every state has a cell for every event. `·` is a cell that changes nothing, because the
event repeats what is known, or because the judgement of segments never lets it get that far.

## What an endpoint has sent

{sent}
A *crossed FIN* is one that does not acknowledge the peer's FIN, although that one was let through: both were
under way at the same time. A SYN-ACK is a SYN with ACK.

## What has reached an endpoint

{received}
A LISTEN that a SYN has reached stays LISTEN until it answers: from the middle nobody can know whether anyone
listens there. TIME_WAIT outlives an RST (RFC 1337); else its timer ends it, or a new incarnation. With
`tcp.time_wait_assassination` an exact RST makes both CLOSED, past the tables.
",
        sent = table(Sent::ALL, sent_title, State::sent),
        received = table(Received::ALL, received_title, State::received),
    )
}

#[test]
fn the_states_in_docs_are_those_of_the_code() {
    let path = document("tcp-states.md");
    if std::env::var_os("LASTACK_BLESS").is_some() {
        std::fs::write(&path, states()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == states(),
        "docs/tcp-states.md is out of date; regenerate it: LASTACK_BLESS=1 cargo test --test documents"
    );
}

#[test]
fn what_a_script_measures_has_its_place_in_the_page() {
    let page = std::fs::read_to_string(document("performance.md")).unwrap();
    let tools = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")).unwrap();
    let mut places = 0;
    for tool in tools.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let marker =
            |end: &str| format!("<!-- tools/{}: {end} -->", tool.file_name().unwrap().to_string_lossy());
        let [begin, end] = ["begin", "end"].map(marker);
        if !std::fs::read_to_string(&tool).unwrap().contains(&begin) {
            continue;
        }
        places += 1;
        assert_eq!((page.matches(&begin).count(), page.matches(&end).count()), (1, 1), "{}", tool.display());
        assert!(page.find(&begin) < page.find(&end), "{}", tool.display());
    }
    assert!(places >= 3, "measure, growth and wire-bench: {places}");
}

/// Names that stand first in the rows of the page's tables.
fn explained(page: &str) -> Vec<&str> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

#[test]
fn every_reason_is_explained_once_in_the_order_of_the_counters_and_no_other() {
    let page = std::fs::read_to_string(document("reasons.md")).unwrap();
    let reasons = Reason::all().map(Reason::name);
    let names: Vec<&str> = reasons.chain(Loss::ALL.map(Loss::name)).collect();
    assert_eq!(explained(&page), names);
}

#[test]
fn every_reason_has_a_cause_and_an_advice() {
    let page = std::fs::read_to_string(document("reasons.md")).unwrap();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        // Between cause and advice, the reasons of the engine have their numbers and the key that decides.
        let is_whole = matches!(cells.len(), 3 | 5) && cells.iter().all(|cell| !cell.is_empty());
        let sentences = [cells.get(1), cells.last()];
        assert!(is_whole && sentences.iter().flatten().all(|cell| cell.ends_with('.')), "{row}");
    }
}

/// Statistics with one of everything.
fn stats() -> Stats {
    let none = ByName::new;
    let volume = PacketsAndBytes::default();
    let (received, sent) = (volume, volume);
    Stats {
        time: 0.0,
        uptime: 0.0,
        version: String::new(),
        connections: Connections {
            live: 0,
            capacity: 0,
            fullest: 0.0,
            created: 0,
            ended: none(),
            by_protocol: none(),
            by_states: none(),
        },
        packets: Packets {
            received: 0,
            sent: 0,
            accepted: 0,
            dropped: 0,
            by_class: none(),
            by_reason: none(),
        },
        shards: vec![Shard {
            number: 0,
            live: 0,
            capacity: 0,
            created: 0,
            ended: 0,
            accepted: 0,
            dropped: 0,
            annexes_exhausted: 0,
            annexes_displaced: 0,
            sequence: 0,
        }],
        workers: vec![Worker {
            number: 0,
            cpu: None,
            turns: 0,
            bursts: 0,
            sleeps: 0,
            busy: 0.0,
            handed_over: 0,
            taken_over: 0,
            overlapped: 0,
        }],
        ports: vec![Port {
            port: String::new(),
            interface: String::new(),
            state: String::new(),
            zone: None,
            unclaimed: 0,
            queues: vec![Queue {
                queue: 0,
                mode: String::new(),
                received,
                sent,
                lost: none(),
                kernel: Some(Kernel::default()),
            }],
        }],
        memory: Memory {
            table: 0,
            table_resident: None,
            table_huge: None,
            table_kind: String::new(),
            frames: UmemFrames::default(),
        },
    }
}

/// The paths of all values in `value`, which lies at `path`.
fn paths(path: &str, value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(elements) => elements.iter().flat_map(|one| paths(&format!("{path}[]"), one)).collect(),
        Value::Object(fields) if !fields.is_empty() => {
            let dot = if path.is_empty() { "" } else { "." };
            fields.iter().flat_map(|(name, one)| paths(&format!("{path}{dot}{name}"), one)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            BTreeSet::from([path.to_owned()])
        }
    }
}

#[test]
fn every_field_of_the_statistics_is_explained_once_and_no_other() {
    let page = std::fs::read_to_string(document("stats.md")).unwrap();
    let value = serde_json::to_value(Line::Stats(Box::new(stats()))).unwrap();
    let mut fields = paths("", &value);
    // What may be null as a whole has a row of its own.
    fields.insert("ports[].queues[].kernel".to_owned());
    let rows = explained(&page);
    let explained: BTreeSet<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    assert_eq!(explained, fields);
    assert_eq!(rows.len(), fields.len(), "each once");
}

/// Runs one line of the README in a folder that has what the repository's root has, and may be written to.
fn output_of(line: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["tests", "configs"] {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        // A run before this one has left the link, perhaps to another checkout.
        let _ = std::fs::remove_file(folder.join(name));
        std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
    }
    let script = format!("exec 2>&1; lastack() {{ \"$LASTACK\" \"$@\"; }}; {line}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env("LASTACK", env!("CARGO_BIN_EXE_lastack")).current_dir(folder);
    let text = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    // Blanks at the end of a line are invisible on the page.
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The page with what each `$ lastack` line prints below it. Only a benchmark's figures stay as they are.
fn rerun(page: &str) -> String {
    let mut text = String::new();
    let mut is_output = false;
    for line in page.lines() {
        match line.strip_prefix("$ ") {
            Some(command) if command.starts_with("lastack ") && !command.starts_with("lastack bench") => {
                writeln!(text, "{line}\n{}", output_of(command).trim_end()).expect("a string takes it");
                text.truncate(text.trim_end().len());
                text.push('\n');
                is_output = true;
            }
            _ => {
                is_output = is_output && line != "```";
                if !is_output {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    text
}

#[test]
fn commands_in_the_readme_print_what_stands_below_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let rerun = rerun(&written);
    if std::env::var_os("LASTACK_BLESS").is_some() {
        return std::fs::write(&path, rerun).unwrap();
    }
    for (number, (written, printed)) in written.lines().zip(rerun.lines()).enumerate() {
        assert_eq!(
            written,
            printed,
            "README.md:{}; regenerate it: LASTACK_BLESS=1 cargo test --test documents",
            number + 1
        );
    }
    assert_eq!(written.lines().count(), rerun.lines().count());
}
