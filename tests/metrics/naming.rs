//! The conventions of Prometheus for names, units and labels, as far as a program can hold them.

use lastack::metrics::exposition;

use super::grammar::{Read, read};
use super::{Numbers, plane};

/// Every label that there may be: one word for one thing.
const LABELS: [&str; 17] = [
    "port",
    "interface",
    "queue",
    "worker",
    "shard",
    "reason",
    "class",
    "verdict",
    "end",
    "protocol",
    "state",
    "state_originator",
    "state_responder",
    "place",
    "ring",
    "zone",
    "mode",
];

/// Labels of what is only information.
const OF_INFO: [&str; 3] = ["version", "cpu", "memory"];

/// What a family's name and labels do against the conventions.
fn faults(family: &Read) -> Vec<String> {
    let Read { name, help, kind, unit, samples } = family;
    let words: Vec<&str> = name.split('_').collect();
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let labels = samples.first().map(|sample| sample.labels.as_slice()).unwrap_or_default();
    let is_known = |label: &str| LABELS.contains(&label) || (kind == "info" && OF_INFO.contains(&label));
    let mut faults = Vec::new();
    let mut hold = |is_right: bool, rule: &str| {
        if !is_right {
            faults.push(format!("{name}: {rule}"));
        }
    };
    hold(words[0] == "lastack" && words.len() > 1, "every name begins with lastack_");
    hold(words.iter().all(is_word), "names are words of small letters");
    hold(
        ["counter", "gauge", "info", "total", "metric"].iter().all(|word| !words.contains(word)),
        "the type does not belong into the name",
    );
    let scaled = ["milliseconds", "microseconds", "nanoseconds", "ms", "ns", "kilobytes", "bits", "percent"];
    hold(scaled.iter().all(|word| !words.contains(word)), "units are base units");
    for base in ["bytes", "seconds"] {
        let is_unit = unit.as_deref() == Some(base);
        hold(is_unit == words.contains(&base), "a unit in the name is declared, and one declared is there");
    }
    hold(labels.iter().all(|(label, _)| is_known(label)), "a label that no other metric has");
    hold(help.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit()), "a sentence begins large");
    hold(!help.ends_with('.') && help.len() > 8, "one sentence, without a full stop");
    faults
}

#[test]
fn every_name_follows_the_conventions() {
    let families = read(&exposition(&plane("inside", &Numbers::default()))).unwrap();
    let found: Vec<String> = families.iter().flat_map(faults).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn names_against_the_conventions_are_seen() {
    let page = |name: &str, kind: &str, unit: &str, label: &str| {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let unit = if unit.is_empty() { String::new() } else { format!("# UNIT {name} {unit}\n") };
        let sample = format!("{name}{suffix}{{{label}=\"x\"}} 1");
        read(&format!("# HELP {name} Some words\n# TYPE {name} {kind}\n{unit}{sample}\n# EOF\n")).unwrap()
    };
    assert_eq!(faults(&page("lastack_packets", "counter", "", "shard")[0]), Vec::<String>::new());
    for (name, kind, unit, label, rule) in [
        ("packets", "counter", "", "shard", "begins with"),
        ("lastack_Packets", "counter", "", "shard", "small letters"),
        ("lastack_packets_total", "gauge", "", "shard", "type"),
        ("lastack_busy_ns", "counter", "", "shard", "base units"),
        ("lastack_received_bytes", "counter", "", "shard", "declared"),
        ("lastack_packets", "counter", "", "core", "no other metric"),
    ] {
        let found = faults(&page(name, kind, unit, label)[0]);
        assert!(found.len() == 1 && found[0].contains(rule), "{name}: {found:?}");
    }
}
