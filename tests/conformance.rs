//! docs/conformance.md names, for each requirement of an RFC, the tests that show it, or says why Lastack
//! deviates; docs/field.md does so for each complaint of the field's users. Every such name must be a test, a
//! scenario or a configuration that exists.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot read a file fails, and says which")]

use std::collections::BTreeSet;
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

/// Whether a name is that of a configuration, a scenario or a test.
fn exists(name: &str, tests: &BTreeSet<String>) -> bool {
    match name.split_once('/') {
        Some(("configs", _)) => root().join(name).exists(),
        Some(_) => root().join("tests/scenarios").join(format!("{name}.txt")).exists(),
        None => tests.contains(name),
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
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

/// The names of every function that is a test and runs, anywhere in the sources.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for directory in ["src", "tests", "crates"] {
        files_under(&root().join(directory), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(file).unwrap();
        names.extend(tests_of(&text));
    }
    names
}

#[test]
fn every_requirement_names_tests_that_exist_or_says_why_it_deviates() {
    let document = document("conformance.md");
    let (rows, tests) = (rows(&document), tests());
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
        for name in named {
            if !exists(name, &tests) {
                complain(format!("there is no test, scenario or configuration `{name}`"));
            }
        }
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
    let (document, tests) = (document("field.md"), tests());
    let rows: Vec<Vec<&str>> = document
        .lines()
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells[0].parse::<u32>().is_ok())
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|cells| cells[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=34).collect::<Vec<u32>>());
    for cells in &rows {
        let [number, _, answer] = cells[..] else { panic!("{cells:?}: not three cells") };
        for name in quoted(answer) {
            assert!(exists(name, &tests), "docs/field.md: {number}: there is no test or scenario `{name}`");
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
