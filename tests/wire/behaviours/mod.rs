//! What TCP does between two kernels, and that the table says so: scripted behaviours, compared step by step.
//!
//! ```text
//!  behaviours ─ scripts, a thread each ─► sockets of both kernels, cable between them and the middlebox
//!                                              │ every step
//!                    script ══ client's kernel ══ server's kernel ══ lastack list
//! ```
//!
//! | file | its one concern |
//! |---|---|
//! | `opening`, `data`, `closing`, `aborting`, `reuse`, `crashes`, `options`, `restarts`, `crowd` | the behaviours |
//! | `script` | the words that they are written in |
//! | `view` | what kernels and middlebox say, in the same words |
//! | `cable`, `segment` | segments lost, held and repeated at will |
//!
//! # Life cycle
//!
//! Each list of behaviours is one test with one laboratory and one middlebox ([`Stage`]), in which all of them
//! are played at once, with ports of their own. What they walk through stands in docs/proof.md, and is compared.

mod aborting;
mod cable;
mod closing;
mod crashes;
mod crowd;
mod data;
mod document;
mod opening;
mod options;
mod restarts;
mod reuse;
mod script;
mod segment;
mod view;

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::is_root;
use crate::middlebox::{Middlebox, Setup, Site};
use cable::Cable;
use script::Script;
use view::Observer;

/// Nothing expires while a script waits, neither here nor in the kernels.
const TIMERS: &str = "[tcp]\nsyn_received = \"10m\"\nclosed = \"10m\"\nmsl = \"5m\"\nfin_timeout = \"10m\"\n\
                      closing = \"10m\"\n";

/// One thing that TCP does.
struct Behaviour {
    /// What is true of it.
    title: &'static str,
    is_v6: bool,
    play: fn(&mut Script<'_>),
}

const fn v4(title: &'static str, play: fn(&mut Script<'_>)) -> Behaviour {
    Behaviour { title, is_v6: false, play }
}

const fn v6(title: &'static str, play: fn(&mut Script<'_>)) -> Behaviour {
    Behaviour { title, is_v6: true, play }
}

/// What came of a behaviour.
struct Played {
    /// What was said, one after the other.
    trail: Vec<String>,
    /// How many times all were compared.
    steps: usize,
}

/// Behaviours of one kind.
struct Chapter {
    title: &'static str,
    behaviours: &'static [Behaviour],
    /// Whether they are played at once; those that change what belongs to all of them are not.
    is_parallel: bool,
}

const CHAPTERS: [Chapter; 9] = [
    Chapter { title: "opening", behaviours: &opening::BEHAVIOURS, is_parallel: true },
    Chapter { title: "data", behaviours: &data::BEHAVIOURS, is_parallel: true },
    Chapter { title: "closing", behaviours: &closing::BEHAVIOURS, is_parallel: true },
    Chapter { title: "aborting", behaviours: &aborting::BEHAVIOURS, is_parallel: true },
    Chapter { title: "reuse", behaviours: &reuse::BEHAVIOURS, is_parallel: true },
    Chapter { title: "crashes", behaviours: &crashes::BEHAVIOURS, is_parallel: true },
    Chapter { title: "options", behaviours: &options::BEHAVIOURS, is_parallel: false },
    Chapter { title: "restarts", behaviours: &restarts::BEHAVIOURS, is_parallel: false },
    Chapter { title: "crowd", behaviours: &crowd::BEHAVIOURS, is_parallel: true },
];

/// Where behaviours are played.
struct Stage {
    middlebox: Mutex<Option<Middlebox>>,
    observer: Observer,
    cable: Cable,
    site: Site,
}

impl Stage {
    fn new() -> Stage {
        let (lab, cable) = Cable::lay();
        for end in [&lab.client, &lab.server] {
            // Data on the SYN from whoever wants to, without a cookie.
            end.set_sysctl("net/ipv4/tcp_fastopen", "1543").unwrap();
            // A port in TIME_WAIT can be connected from again, where timestamps allow.
            end.set_sysctl("net/ipv4/tcp_tw_reuse", "1").unwrap();
            // No RST ends TIME_WAIT: what `time_wait_assassination = false` means.
            end.set_sysctl("net/ipv4/tcp_rfc1337", "1").unwrap();
        }
        let site = Site::of(lab);
        let middlebox = site.start(&Setup { tables: TIMERS, ..Setup::default() });
        Stage { middlebox: Mutex::new(Some(middlebox)), observer: Observer::default(), cable, site }
    }

    fn with_middlebox<T>(&self, ask: impl FnOnce(&Middlebox) -> T) -> T {
        ask(self.middlebox.lock().unwrap_or_else(PoisonError::into_inner).as_ref().unwrap())
    }

    fn restart(&self) {
        let mut middlebox = self.middlebox.lock().unwrap_or_else(PoisonError::into_inner);
        middlebox.take().unwrap().end();
        *middlebox = Some(self.site.start(&Setup { tables: TIMERS, ..Setup::default() }));
    }
}

/// Plays a chapter and says how much of it there was.
fn play(title: &str) {
    if !is_root(&format!("behaviours of {title}")) {
        return;
    }
    let chapter = CHAPTERS.iter().find(|chapter| chapter.title == title).unwrap();
    let start = Instant::now();
    let stage = Stage::new();
    let played: Vec<Option<Played>> = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, behaviour) in chapter.behaviours.iter().enumerate() {
            let mut script = Script::new(&stage, number as u16 * 10, behaviour.is_v6);
            let thread = std::thread::Builder::new().name(behaviour.title.to_owned());
            let thread = thread.spawn_scoped(scope, move || {
                (behaviour.play)(&mut script);
                Played { trail: script.trail, steps: script.steps }
            });
            threads.push(thread.unwrap());
            if !chapter.is_parallel {
                while !threads[number].is_finished() {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        }
        threads.into_iter().map(|thread| thread.join().ok()).collect()
    });
    let failed: Vec<&str> = std::iter::zip(chapter.behaviours, &played)
        .filter_map(|(behaviour, played)| played.is_none().then_some(behaviour.title))
        .collect();
    assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), played.len());
    let played: Vec<Played> = played.into_iter().flatten().collect();
    let steps: usize = played.iter().map(|played| played.steps).sum();
    let seconds = start.elapsed().as_secs_f64();
    let line = format!("{title}: {} behaviours, {steps} steps compared, {seconds:.1} s\n", played.len());
    // Not eprintln: the harness hides that where a test passes.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    document::compare(chapter, &played);
    stage.middlebox.lock().unwrap().take().unwrap().end();
}

#[test]
fn opening_is_listed_as_both_kernels_have_it() {
    play("opening");
}

#[test]
fn data_move_no_state() {
    play("data");
}

#[test]
fn closing_is_listed_as_both_kernels_have_it() {
    play("closing");
}

#[test]
fn aborting_ends_it_in_the_table_as_in_both_kernels() {
    play("aborting");
}

#[test]
fn a_tuple_in_use_again_is_a_new_connection() {
    play("reuse");
}

#[test]
fn what_a_crash_leaves_is_found_out_by_both_kernels_and_the_table() {
    play("crashes");
}

#[test]
fn with_and_without_each_option_of_tcp_all_goes_the_same_way() {
    play("options");
}

#[test]
fn a_middlebox_started_in_mid_stream_learns_what_it_can() {
    play("restarts");
}

#[test]
fn two_hundred_connections_are_each_where_they_are() {
    play("crowd");
}
