//! Properties: what must be true of every input, asked of seeded random ones and of the corpora that the
//! fuzzers have found.
//!
//! The modules are those of the fuzz targets (`fuzz/fuzz_targets`), which include them from here.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod configuration;
mod scenario;
mod segments;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};

use lastack::tcp;

/// The input of one seed: a policy that is rarely far from the defaults, and up to about sixty choices.
fn input(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes: Vec<u8> = (0..random.u64(..160)).map(|_| random.u8(..)).collect();
    // One bit in four of the switches, so that most sequences meet one unusual decision and not all at once.
    for byte in bytes.iter_mut().take(2) {
        *byte &= random.u8(..);
    }
    if let Some(kind) = bytes.get_mut(2).filter(|_| random.u8(..4) > 0) {
        *kind &= 0x7f;
    }
    bytes
}

/// The seeds of a run: `LASTACK_SEED` alone, or the first `count`.
fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("LASTACK_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

/// Whether `check` holds for `input`.
fn holds(check: fn(&[u8]), input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| check(input))).is_ok()
}

/// The shortest input that can be found of those which fail as `input` does.
fn shortest(check: fn(&[u8]), input: &[u8]) -> Vec<u8> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let mut best = input.to_vec();
    let mut size = best.len();
    while size > 0 {
        let mut at = 0;
        while at + size <= best.len() {
            let fewer = [&best[..at], &best[at + size..]].concat();
            let zeros = [&best[..at], &vec![0; size], &best[at + size..]].concat();
            if !holds(check, &fewer) {
                best = fewer;
            } else if zeros != best && !holds(check, &zeros) {
                best = zeros;
                at += size;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    set_hook(hook);
    best
}

/// Checks one input; where it fails, says what it means and how to have it again.
fn check_segments(bytes: &[u8], again: &str) -> segments::Outcome {
    catch_unwind(AssertUnwindSafe(|| segments::check(bytes))).unwrap_or_else(|_| {
        let short = shortest(|input| drop(segments::check(input)), bytes);
        println!("{}", segments::explain(&short));
        println!("shortest: {}", short.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        println!("alone: {again}");
        segments::check(&short)
    })
}

/// What a run of random sequences must have met, or it has shown nothing: every state of either endpoint, every
/// way to refuse a segment, every way to end but the operator's.
fn what_must_be_seen() -> BTreeSet<String> {
    let pairs = [
        "CLOSED/CLOSED",
        "CLOSED/TIME_WAIT",
        "CLOSE_WAIT/FIN_WAIT_1",
        "CLOSE_WAIT/FIN_WAIT_2",
        "CLOSING/CLOSING",
        "CLOSING/TIME_WAIT",
        "ESTABLISHED/ESTABLISHED",
        "ESTABLISHED/FIN_WAIT_1",
        "ESTABLISHED/SYN_RECEIVED",
        "FIN_WAIT_1/CLOSE_WAIT",
        "FIN_WAIT_1/ESTABLISHED",
        "FIN_WAIT_1/FIN_WAIT_1",
        "FIN_WAIT_1/SYN_RECEIVED",
        "FIN_WAIT_2/CLOSE_WAIT",
        "FIN_WAIT_2/LAST_ACK",
        "LAST_ACK/FIN_WAIT_2",
        "LAST_ACK/TIME_WAIT",
        "SYN_RECEIVED/ESTABLISHED",
        "SYN_RECEIVED/SYN_RECEIVED",
        "SYN_SENT/LISTEN",
        "TIME_WAIT/CLOSED",
        "TIME_WAIT/LAST_ACK",
        "TIME_WAIT/TIME_WAIT",
    ];
    let refusals = tcp::Refusal::ALL.map(tcp::Refusal::name);
    let others = ["bad_checksum", "bad_flags", "icmp_unknown", "table_full", "related"];
    let ends = ["closed", "reset", "expired", "evicted", "reused"].map(|end| format!("ended {end}"));
    let names = pairs.iter().chain(&refusals).chain(&others).map(|name| (*name).to_owned());
    names.chain(ends).collect()
}

/// Adds what an outcome has shown.
fn see(seen: &mut BTreeSet<String>, outcome: &segments::Outcome) {
    for answer in &outcome.answers {
        seen.insert(answer.class.name().to_owned());
        seen.extend(answer.reason.map(|reason| reason.name().to_owned()));
        let states = answer.subject.and_then(|subject| subject.states);
        seen.extend(states.map(|[a, b]| format!("{a}/{b}")));
    }
    seen.extend(outcome.fates.iter().map(|fate| format!("ended {}", fate.end)));
}

#[test]
fn laws_and_relations_hold_for_random_sequences() {
    const WHOLE: u64 = if cfg!(miri) { 2 } else { 20_000 };
    let seeds = seeds(WHOLE);
    let is_whole = seeds == (0..WHOLE) && !cfg!(miri);
    println!("seeds {seeds:?}");
    let mut seen = BTreeSet::new();
    for seed in seeds {
        let again = format!("LASTACK_SEED={seed} cargo test --test properties random_sequences");
        see(&mut seen, &check_segments(&input(seed), &again));
    }
    let missing: Vec<String> = what_must_be_seen().difference(&seen).cloned().collect();
    assert!(!is_whole || missing.is_empty(), "never met: {missing:?}");
}

/// The files of a corpus, in order.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corpus").join(target);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "nothing in {}", directory.display());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

#[test]
#[cfg_attr(miri, ignore = "the same code as in the random sequences, and files besides")]
fn the_corpus_of_sequences_holds() {
    for (name, bytes) in corpus("segments") {
        check_segments(&bytes, &format!("tests/data/corpus/segments/{name}"));
    }
}

#[test]
#[cfg_attr(miri, ignore = "no unsafe code anywhere near")]
fn the_corpus_of_configurations_holds() {
    for (name, bytes) in corpus("configuration") {
        println!("tests/data/corpus/configuration/{name}");
        configuration::check(&bytes);
    }
}

#[test]
#[cfg_attr(miri, ignore = "no unsafe code anywhere near")]
fn the_corpus_of_scenarios_holds() {
    for (name, bytes) in corpus("scenario") {
        println!("tests/data/corpus/scenario/{name}");
        scenario::check(&bytes);
    }
}

/// Lines of a corpus, some of them spoilt, in any order and number.
fn shuffled(lines: &[String], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..random.u64(..12) {
        let mut line = lines[random.usize(..lines.len())].clone().into_bytes();
        if random.u8(..4) == 0 && !line.is_empty() {
            let at = random.usize(..line.len());
            line[at] = random.u8(..);
        }
        text.extend(line);
        text.push(b'\n');
    }
    text
}

/// Every line of a corpus.
fn lines(target: &str) -> Vec<String> {
    let texts = corpus(target).into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
#[cfg_attr(miri, ignore = "no unsafe code anywhere near")]
fn random_scenarios_can_be_sent_or_are_refused_with_a_place() {
    let lines = lines("scenario");
    let head = "scenario: Anything.\nshows: nothing\n";
    for seed in seeds(3_000) {
        let mut random = fastrand::Rng::with_seed(seed);
        let text = shuffled(&lines, &mut random);
        println!("alone: LASTACK_SEED={seed} cargo test --test properties random_scenarios");
        scenario::check(&text);
        scenario::check(&[head.as_bytes(), &text].concat());
    }
}

#[test]
#[cfg_attr(miri, ignore = "no unsafe code anywhere near")]
fn random_configurations_are_read_and_printed_alike_or_refused_with_a_place() {
    let lines = lines("configuration");
    for seed in seeds(3_000) {
        let mut random = fastrand::Rng::with_seed(seed);
        println!("alone: LASTACK_SEED={seed} cargo test --test properties random_configurations");
        configuration::check(&shuffled(&lines, &mut random));
    }
}
