//! docs/conformance.md names, for each requirement of an RFC, the tests that show it, or says why Lastack
//! deviates; docs/field.md does so for each complaint of the field's users. Every such name must be a test in the
//! file that is named with it, a scenario or a configuration; and where a test does nothing without root, the page
//! must say so.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot read a file fails, and says which")]

use std::fs;
use std::path::{Path, PathBuf};

/// A row that deviates says why, behind these words.
const DEVIATES: &str = "deviates, because ";

/// The tests of one file: a line `#[test]`, perhaps other attributes but `#[ignore]`, and the function.
fn tests_of(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let name = |at: usize| {
        let mut behind = lines[at + 1..].iter();
        let declaration = behind.find(|line| !line.starts_with("#[") || line.starts_with("#[ignore"))?;
        let (name, _) = declaration.strip_prefix("fn ")?.split_once('(')?;
        Some(name.to_owned())
    };
    (0..lines.len()).filter(|&at| lines[at] == "#[test]").filter_map(name).collect()
}

/// A row of one of the tables.
struct Row {
    line: usize,
    section: String,
    requirement: String,
    verdict: String,
    shown_by: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The rows below the header `| section | requirement | verdict | shown by |`.
fn rows(document: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut inside = false;
    for (index, line) in document.lines().enumerate() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if !line.starts_with('|') {
            inside = false;
        } else if cells.first() == Some(&"section") {
            assert_eq!(cells, ["section", "requirement", "verdict", "shown by"], "line {}", index + 1);
            inside = true;
        } else if inside && !line.starts_with("|---") {
            let [section, requirement, verdict, shown_by] = cells[..] else {
                panic!("line {}: {} cells in place of four", index + 1, cells.len());
            };
            rows.push(Row {
                line: index + 1,
                section: section.into(),
                requirement: requirement.into(),
                verdict: verdict.into(),
                shown_by: shown_by.into(),
            });
        }
    }
    rows
}

/// Test crates whose tests need network interfaces: as anybody but root they say so, and do nothing.
const NEEDS_ROOT: [&str; 2] = ["tests/wire/", "crates/af_xdp/tests/veth.rs"];

/// What is wrong with a name, `text` being what follows it on the page.
fn fault(name: &str, text: &str) -> Option<String> {
    let is_file = |path: PathBuf| path.is_file().then_some(()).ok_or(path);
    let found = match name.split_once("::") {
        Some((file, test)) => match fs::read_to_string(root().join(file)) {
            Ok(text) if tests_of(&text).iter().any(|one| one == test) => Ok(()),
            Ok(_) => return Some(format!("`{test}` is no test of {file}, or does not run")),
            Err(_) => Err(root().join(file)),
        },
        None if name.starts_with("configs/") => is_file(root().join(name)),
        None => is_file(root().join("tests/scenarios").join(format!("{name}.txt"))),
    };
    if let Err(path) = found {
        return Some(format!("`{name}`: there is no {}", path.display()));
    }
    let needs_root = NEEDS_ROOT.iter().any(|place| name.starts_with(place));
    match (needs_root, text.starts_with(" (root)")) {
        (true, false) => Some(format!("`{name}` needs root: say \"(root)\" behind it")),
        (false, true) => Some(format!("`{name}` needs no root")),
        (true, true) | (false, false) => None,
    }
}

/// What stands between backquotes, each with the text from there to the next.
fn quoted(text: &str) -> Vec<(&str, &str)> {
    let behind = text.split_once('`').map_or("", |(_, behind)| behind);
    let parts: Vec<&str> = behind.split('`').collect();
    parts.chunks(2).filter(|pair| pair.len() == 2).map(|pair| (pair[0], pair[1])).collect()
}

fn files_under(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_under(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn every_requirement_names_tests_that_exist_or_says_why_it_deviates() {
    let document = document("conformance.md");
    let rows = rows(&document);
    assert!(rows.len() >= 60, "{} rows: the tables were not found", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let mut complain = |what: String| {
            wrong.push(format!(
                "docs/conformance.md:{}: {} ({}): {what}",
                row.line, row.section, row.requirement
            ));
        };
        let deviates = row.verdict.starts_with(DEVIATES);
        match row.verdict.as_str() {
            "conforms" | "by configuration" => {}
            _ if deviates && row.verdict.len() > DEVIATES.len() => {}
            other => {
                complain(format!("\"{other}\" is no verdict: conforms, by configuration, or {DEVIATES}…"))
            }
        }
        let named = quoted(&row.shown_by);
        if named.is_empty() && !deviates {
            complain("no test is named".into());
        }
        if row.verdict == "by configuration" && !row.shown_by.contains("configs/") {
            complain("no configuration is named".into());
        }
        named.into_iter().filter_map(|(name, text)| fault(name, text)).for_each(complain);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rfc_that_tracking_touches_has_its_table() {
    let document = document("conformance.md");
    for rfc in [9293, 1122, 1337, 5961, 6191, 7323, 7413, 5382] {
        assert!(document.contains(&format!("\n## RFC {rfc}")), "RFC {rfc}");
    }
}

#[test]
fn every_complaint_of_the_field_is_answered_by_something_that_exists() {
    let document = document("field.md");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells[0].parse::<u32>().is_ok())
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|cells| cells[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=34).collect::<Vec<u32>>());
    for cells in &rows {
        let [number, _, answer] = cells[..] else { panic!("{cells:?}: not three cells") };
        for (name, text) in quoted(answer) {
            assert_eq!(fault(name, text), None, "docs/field.md: {number}");
        }
    }
    let mut scenarios = Vec::new();
    files_under(&root().join("tests/scenarios/field"), &mut scenarios);
    for scenario in &scenarios {
        let name = format!("`field/{}`", scenario.file_stem().unwrap().to_str().unwrap());
        assert!(document.contains(&name), "docs/field.md does not name {name}");
    }
}

#[test]
fn only_functions_that_are_tests_and_run_count() {
    let text = "#[test]\nfn one() {\n// #[test] fn two()\n#[test]\n#[ignore = \"slow\"]\nfn three() {\n fn four() {\n \
                #[test]\n#[cfg(unix)]\nfn five() {";
    assert_eq!(tests_of(text), ["one", "five"]);
}

#[test]
fn a_test_is_named_with_its_file_and_with_root_where_it_needs_that() {
    let here = "tests/conformance.rs::a_test_is_named_with_its_file_and_with_root_where_it_needs_that";
    let (scenario, wire) = ("open/three-way-handshake", "tests/wire/demo.rs");
    assert_eq!(fault(here, ", and"), None);
    assert_eq!(fault(scenario, ""), None);
    assert_eq!(fault("configs/rfc-timers.toml", ""), None);
    let wrong = [
        "tests/conformance.rs::tests_of",
        "tests/documents.rs::a_test_is_named_with_its_file_and_with_root_where_it_needs_that",
        "a_test_is_named_with_its_file_and_with_root_where_it_needs_that",
        "tests/nowhere.rs::a_test",
        "open/no-such-scenario",
        "configs/no-such.toml",
    ];
    for name in wrong {
        assert!(fault(name, "").is_some(), "{name}");
    }
    let on_the_wire = tests_of(&fs::read_to_string(root().join(wire)).unwrap());
    let on_the_wire = format!("{wire}::{}", on_the_wire.first().unwrap());
    assert!(fault(&on_the_wire, "").is_some_and(|fault| fault.contains("needs root")));
    assert_eq!(fault(&on_the_wire, " (root)"), None);
    assert!(fault(here, " (root)").is_some());
}

#[test]
fn what_is_quoted_comes_with_the_text_behind_it() {
    assert_eq!(quoted("a `b` (root), `c`"), [("b", " (root), "), ("c", "")]);
    assert_eq!(quoted("nothing"), []);
}
