//! `lastack bench`: each workload's record, and what the command line may not ask for. Nothing here looks at how fast
//! anything was.

use serde_json::Value;

use crate::common::lastack;

const KEYS: [&str; 10] = [
    "record",
    "workload",
    "flows",
    "shards",
    "packets",
    "packets_per_second",
    "nanoseconds_per_packet",
    "connections_per_second",
    "bytes_per_connection",
    "burst_nanoseconds",
];

/// The records of a measurement that must succeed, each with its keys in the order in which they were written.
#[track_caller]
fn records(arguments: &[&str]) -> Vec<(Value, Vec<String>)> {
    let run = lastack(&[&["bench", "--json", "--packets", "3200"], arguments].concat());
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(run.stderr, "", "progress is for terminals");
    run.stdout.lines().map(|line| (serde_json::from_str(line).unwrap(), keys(line))).collect()
}

/// The keys of an object's outermost level, in their order.
fn keys(line: &str) -> Vec<String> {
    let mut depth = 0;
    let mut found = Vec::new();
    for (place, _) in line.match_indices(['{', '}', '"']) {
        match &line[place..=place] {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {
                let end = line[place + 1..].find('"').map(|length| place + 1 + length);
                let Some(end) = end.filter(|&end| depth == 1 && line[end + 1..].starts_with(':')) else {
                    continue;
                };
                found.push(line[place + 1..end].to_owned());
            }
        }
    }
    found
}

/// Four percentiles, each at least the one before.
#[track_caller]
fn assert_are_percentiles(value: &Value) {
    let found: Vec<u64> = ["p50", "p99", "p9999", "max"].map(|key| value[key].as_u64().unwrap()).into();
    assert!(found.is_sorted() && found[0] > 0, "{value}");
    assert_eq!(value.as_object().unwrap().len(), 4);
}

#[track_caller]
fn assert_is_record(record: &Value, keys: &[String], workload: &str, flows: u64) {
    let more: &[&str] = if workload == "expiry" { &["baseline_burst_nanoseconds"] } else { &[] };
    assert_eq!(keys, [&KEYS, more].concat());
    assert_eq!((&record["record"], &record["workload"]), (&"bench".into(), &workload.into()));
    assert_eq!((record["flows"].as_u64(), record["shards"].as_u64()), (Some(flows), Some(1)));
    let packets = record["packets"].as_u64().unwrap();
    assert!(packets > 0 && packets.is_multiple_of(32), "{packets}");
    let product =
        record["packets_per_second"].as_f64().unwrap() * record["nanoseconds_per_packet"].as_f64().unwrap();
    assert!((product / 1e9 - 1.0).abs() < 1e-9);
    assert_eq!(record["connections_per_second"].is_f64(), workload == "lifecycle");
    assert!(record["bytes_per_connection"].as_f64().unwrap() > 64.0);
    assert_are_percentiles(&record["burst_nanoseconds"]);
    if workload == "expiry" {
        assert_are_percentiles(&record["baseline_burst_nanoseconds"]);
    }
}

#[test]
fn every_workload_gives_its_record() {
    for workload in ["established", "established6", "lifecycle", "syn_flood", "expiry"] {
        let found = records(&["--workload", workload, "--flows", "3000"]);
        assert_eq!(found.len(), 1);
        let (record, keys) = &found[0];
        assert_is_record(record, keys, workload, 3000);
        if workload != "expiry" {
            assert_eq!(record["packets"], 3200, "of expiry as many as come until all have ended");
        }
    }
}

#[test]
fn several_workloads_and_flows_give_one_record_each_in_order() {
    let workloads = ["--workload", "established", "--workload", "syn_flood"];
    let found = records(&[&workloads[..], &["--flows", "1000", "--flows", "2000"]].concat());
    let places: Vec<_> = found
        .iter()
        .map(|(record, _)| (record["workload"].as_str().unwrap(), record["flows"].as_u64()))
        .collect();
    let expected = ["established", "syn_flood"].map(|name| [(name, Some(1000)), (name, Some(2000))]);
    assert_eq!(places, expected.concat());
}

#[test]
fn shards_divide_the_work_of_each_workload() {
    for workload in ["established", "established6", "lifecycle", "syn_flood", "expiry"] {
        let found = records(&["--workload", workload, "--flows", "3001", "--shards", "3"]);
        assert_eq!(found[0].0["shards"], 3, "{workload}");
        assert_eq!(found[0].0["flows"], 3001, "{workload}");
    }
}

#[test]
fn a_table_may_have_room_for_more_and_the_record_says_so() {
    for (workload, shards) in [("established", "1"), ("established6", "3")] {
        let found =
            records(&["--workload", workload, "--flows", "30001", "--capacity", "60004", "--shards", shards]);
        let (record, keys) = &found[0];
        let [before, after] = KEYS.split_at(3).into();
        assert_eq!(keys, &[before, &["capacity"], after].concat());
        assert_eq!((record["flows"].as_u64(), record["capacity"].as_u64()), (Some(30_001), Some(60_004)));
        // Half of the places have never been used, so they are no memory yet.
        let full = records(&["--workload", workload, "--flows", "60004", "--shards", shards]);
        let bytes = |record: &Value| record["bytes_per_connection"].as_f64().unwrap();
        let (half, all) = (bytes(record), bytes(&full[0].0));
        assert!(half < 0.8 * all, "{half} and {all} bytes for each that there is room for");
    }
}

#[test]
fn an_ipv6_connection_takes_its_addresses_more() {
    let bytes = |workload| {
        let found = records(&["--workload", workload, "--flows", "20000"]);
        found[0].0["bytes_per_connection"].as_f64().unwrap()
    };
    let difference = bytes("established6") - bytes("established");
    assert!((31.0..34.0).contains(&difference), "{difference}");
}

#[test]
fn the_bare_loop_is_measured_where_it_is_asked_for() {
    let lines = lastack(
        &["bench", "--json", "--bare-loop", "--packets", "3200", "--workload", "established"]
            .into_iter()
            .chain(["--flows", "1000", "--flows", "3000"])
            .collect::<Vec<_>>(),
    );
    assert_eq!(lines.status, Some(0), "{}", lines.stderr);
    let records: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = records.iter().map(|line| (&line["record"], &line["flows"])).collect();
    let [loops, measured] = [&"bare_loop".into(), &"bench".into()];
    let [few, many] = [&1000.into(), &3000.into()];
    assert_eq!(kinds, [(loops, few), (loops, many), (measured, few), (measured, many)]);
    assert!(records[..2].iter().all(|line| line["packets_per_second"].as_f64().unwrap() > 0.0));
}

#[test]
fn without_json_there_is_a_line_for_a_person() {
    let run = lastack(&["bench", "--workload", "lifecycle", "--flows", "1000", "--packets", "320"]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), 1);
    assert!(run.stdout.contains("whole connections/s"), "{}", run.stdout);
}

#[test]
fn what_cannot_be_measured_exits_2_and_says_what_could() {
    let refused: &[(&[&str], &[&str])] = &[
        (&["--flows", "0"], &["--flows", "1..=16000000"]),
        (&["--flows", "1__000"], &["--flows", "1_000_000"]),
        (&["--flows", "_1"], &["--flows", "1_000_000"]),
        (&["--packets", "1e6"], &["--packets", "1_000_000"]),
        (&["--capacity", "32_000_001"], &["--capacity", "1..=32000000"]),
        (&["--html", "-"], &["--html -", "name a file"]),
        (&["--shards", "0"], &["--shards", "1..=256"]),
        (&["--packets", "31"], &["--packets", "32"]),
        (&["--workload", "estabished"], &["estabished", "established", "lifecycle", "syn_flood", "expiry"]),
        (&["--workload", "nat"], &["nat", "does not translate addresses yet"]),
        (&["--workload", "lifecycle", "--flows", "255"], &["--flows 255", "at least 256"]),
        (&["--workload", "established", "--flows", "3", "--shards", "4"], &["--flows 3", "4 in all"]),
        (&["--workload", "expiry", "--flows", "100", "-s", "tcp.msl=1s"], &["tcp.msl", "2s"]),
        (
            &["--workload", "lifecycle", "--flows", "1000", "-s", "tcp.msl=1h"],
            &["tcp.syn_received", "lifecycle with 1000 connections", "more --flows"],
        ),
        (
            &["--workload", "lifecycle", "--flows", "1000", "-s", "tcp.time_wait_max=5"],
            &["tcp.time_wait_max", "lifecycle", "at least 1000"],
        ),
        (
            &["--workload", "expiry", "-s", "tcp.time_wait_truncation=true"],
            &["tcp.time_wait_truncation", "expiry"],
        ),
        (
            &["--workload", "syn_flood", "--capacity", "2000000"],
            &["--capacity 2000000", "syn_flood", "established"],
        ),
        (
            &["--workload", "established", "--capacity", "99", "--flows", "100"],
            &["--capacity 99", "100 connections"],
        ),
    ];
    for (arguments, words) in refused {
        let run = lastack(&[&["bench"], *arguments].concat());
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{arguments:?}: {}", run.stderr);
        for word in *words {
            assert!(run.stderr.contains(word), "{word:?} is missing in: {}", run.stderr);
        }
    }
}

#[test]
fn a_configuration_that_forbids_the_workload_exits_1_and_names_the_reason() {
    let run = lastack(&["bench", "--workload", "established", "--flows", "100", "-s", "tcp.quiet_time=5s"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("established with 100 connections"), "{}", run.stderr);
    assert!(run.stderr.contains("quiet_time"), "{}", run.stderr);
}

#[test]
fn numbers_may_have_underscores_as_in_a_configuration() {
    let found = records(&["--workload", "established", "--flows", "1_000", "--capacity", "2_000"]);
    let record = &found[0].0;
    assert_eq!((record["flows"].as_u64(), record["capacity"].as_u64()), (Some(1000), Some(2000)));
}

#[test]
fn memory_that_there_is_not_exits_1_and_says_how_much_was_asked_for() {
    let run = lastack(&[
        "bench",
        "--workload",
        "established",
        "--flows",
        "100",
        "--packets",
        "9_000_000_000_000_000_000",
    ]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("no memory for the times of 281250000000000000 bursts"), "{}", run.stderr);
    assert!(run.stderr.contains("1125000000000 MB"), "{}", run.stderr);
}
