//! The scripts in `tools/` as somebody meets them who has never used one: each says what it does, refuses what it does
//! not know before it does anything, and does not take a failure for a figure.
//!
//! ```text
//!  PATH ─ cargo, valgrind of our own ─┐
//!  another directory ─────────────────┴─► tools/NAME ARGUMENT... ─► status, stdout, stderr
//!                                           │
//!                                           └─ cargo ─► "built", a file that says that it was called
//! ```
//!
//! What they measure is nobody's business here. Those in Python are left out where there is none, in a line that says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot run a tool fails, and says where")]

#[path = "common/mod.rs"]
mod common;

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, Scratch};

/// Counts a hundred instructions for each packet if what it runs succeeds and says something: as many as the last
/// argument says, in three rounds.
const VALGRIND: &str = r#"#!/bin/sh
for argument; do
    case $argument in --log-file=*) log=${argument#*=} ;; esac
    packets=$argument
done
while :; do
    case $1 in --*) shift ;; *) break ;; esac
done
told=$("$@") || exit
[ -n "$told" ] || packets=0
echo "Collected : $((5000 + packets * 300))" >"$log"
"#;

/// Runs whatever it is asked for.
const ENGINE: &str = "#!/bin/sh\necho figures\n";

/// A directory with a `bin` of programs that stand in for what tools call, to be called from.
struct Place(Scratch);

impl Place {
    fn new() -> Place {
        let place = Place(Scratch::new());
        fs::create_dir(place.0.path("bin")).unwrap();
        place.program("bin/cargo", &format!("#!/bin/sh\ntouch {}\n", place.mark().display()));
        place.program("bin/valgrind", VALGRIND);
        place
    }

    fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn mark(&self) -> PathBuf {
        self.0.path("built")
    }

    fn run(&self, tool: &str, arguments: &[&str]) -> Run {
        let path = format!("{}:{}", self.0.path("bin").display(), std::env::var("PATH").unwrap());
        let output = Command::new(tools().join(tool))
            .args(arguments)
            .current_dir(self.0.path("."))
            .env("PATH", path)
            .env("CARGO_TARGET_DIR", self.0.path("target"))
            .output()
            .unwrap();
        Run {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")
}

/// All of them that can run here, by name.
fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(tools())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 9, "{names:?}");
    names.retain(|name| can_run(name));
    names
}

fn can_run(name: &str) -> bool {
    let is_python = fs::read_to_string(tools().join(name)).unwrap().contains("python3");
    if !is_python || Command::new("python3").arg("--version").output().is_ok_and(|done| done.status.success())
    {
        return true;
    }
    // Not by println!, which the test harness keeps to itself when a test passes.
    let mut terminal = std::io::stderr();
    writeln!(terminal, "skipped: tools/{name}, which needs python3").unwrap();
    false
}

#[test]
fn every_tool_says_what_it_does_and_does_nothing_else() {
    let place = Place::new();
    for name in names() {
        for option in ["-h", "--help"] {
            let run = place.run(&name, &[option]);
            assert_eq!(run.status, Some(0), "tools/{name} {option}: {run:?}");
            assert!(run.stdout.contains(&format!("tools/{name}")), "tools/{name} {option}: {run:?}");
            assert!(run.stdout.lines().count() >= 5, "tools/{name} {option}: {run:?}");
            assert_eq!(run.stderr, "", "tools/{name} {option}");
            assert!(!place.mark().exists(), "tools/{name} {option} builds");
        }
    }
}

#[test]
fn a_slip_is_named_before_anything_is_built() {
    let place = Place::new();
    let mut slips: Vec<(String, Vec<&str>)> =
        names().into_iter().map(|name| (name, vec!["--wirte"])).collect();
    for slip in [
        &["wire-bench", "--rounds", "3", "--wirte"][..],
        &["wire-bench", "--only", "busy,wirte"],
        &["wire-bench", "--figures=wirte"],
        &["wire-bench", "--rounds", "wirte"],
        &["nightly", "stacks", "wirte"],
        &["nightly", "-t", "60", "fuzz:wirte"],
        &["instructions", "--workload=established", "--wirte"],
    ] {
        slips.push((slip[0].to_owned(), slip[1..].to_vec()));
    }
    for (name, arguments) in slips {
        let run = place.run(&name, &arguments);
        assert_eq!(run.status, Some(2), "tools/{name} {arguments:?}: {run:?}");
        assert!(run.stderr.contains("wirte"), "tools/{name} {arguments:?}: {run:?}");
        assert_eq!(run.stdout, "", "tools/{name} {arguments:?}");
        assert!(!place.mark().exists(), "tools/{name} {arguments:?} builds");
    }
}

#[test]
fn nothing_but_all_of_it_is_put_into_the_page() {
    let place = Place::new();
    for (name, part) in [
        ("wire-bench", "--json"),
        ("wire-bench", "--only=busy"),
        ("wire-bench", "--figures=tcp"),
        ("measure", "--quick"),
        ("measure", "--only=expiry"),
        ("growth", "--quick"),
    ] {
        if !can_run(name) {
            continue;
        }
        for arguments in [["--write", part], [part, "--write"]] {
            let run = place.run(name, &arguments);
            assert_eq!(run.status, Some(2), "tools/{name} {arguments:?}: {run:?}");
            assert!(!place.mark().exists(), "tools/{name} {arguments:?} builds");
        }
    }
}

#[test]
fn instructions_are_those_of_a_packet_and_held_against_a_number_or_a_program() {
    let place = Place::new();
    // A program as the caller sees it, who stands beside it.
    place.program("engine", ENGINE);
    let run = place.run("instructions", &["engine"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), "100.0\n"), "{run:?}");
    for (baseline, status) in [("engine", 0), ("98", 0), ("97", 1)] {
        let run = place.run("instructions", &["engine", baseline]);
        assert_eq!(run.status, Some(status), "{baseline}: {run:?}");
        assert!(run.stdout.contains("before"), "{baseline}: {run:?}");
    }
}

#[test]
fn a_program_that_fails_or_does_nothing_has_no_instructions() {
    let place = Place::new();
    place.program("crashes", "#!/bin/sh\necho no such workload: $3 >&2\nexit 7\n");
    let run = place.run("instructions", &["--workload", "bogus", "crashes", "438.5"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.contains("no such workload") && run.stderr.contains("status 7"), "{run:?}");
    for (binary, sentence) in
        [("/bin/false", "status 1"), ("/bin/true", "no more"), ("nothing", "no such program")]
    {
        let run = place.run("instructions", &[binary, "438.5"]);
        assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""), "{binary}: {run:?}");
        assert!(run.stderr.contains(sentence), "{binary}: {run:?}");
    }
}

#[test]
fn the_nightly_count_is_held_against_the_reference_in_the_page() {
    let page = fs::read_to_string(tools().join("../docs/performance.md")).unwrap();
    let row = page.lines().find_map(|line| line.strip_prefix("| reference, commit ")).unwrap();
    let reference = row.split('|').nth(1).unwrap().trim();
    let place = Place::new();
    place.program("target/release/lastack", ENGINE);
    let run = place.run("nightly", &["instructions"]);
    assert!(place.mark().exists(), "it builds before: {run:?}");
    assert!(run.stdout.contains(&format!("100.0\n{reference} before")), "{run:?}");
    assert_eq!(run.status, Some(0), "{run:?}");
}
