//! Two TCP stacks that nobody here wrote, with the tracker between them.
//!
//! ```text
//!   application ─ smoltcp ─ network ─ lastack ─ network ─ smoltcp ─ application
//!      plan       endpoint  network   middle    network   endpoint     plan           all on virtual time
//! ```
//!
//! A [`world::World`] is a seed's twenty connections in one shard; [`checks`] says what must hold in it. The
//! ordinary test runs 100 worlds, the nightly one 5,000 (`tools/nightly`). A seed that fails prints the command
//! that tells its story again, packet by packet.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod application;
mod checks;
mod connection;
mod coverage;
mod endpoint;
mod mend;
mod middle;
mod network;
mod plan;
mod random;
mod segment;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use coverage::Coverage;
use world::{CONNECTIONS, Failure, Story, World};

/// Runs one world; a panic of smoltcp's or ours is a failure like any other, of connection `None`.
fn run(seed: u64, story: Story) -> Result<Coverage, (Option<usize>, String)> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, story);
        world.run().map(|()| world.coverage)
    }));
    match outcome {
        Ok(Ok(coverage)) => Ok(coverage),
        Ok(Err(Failure { connection, what })) => Err((Some(connection), what)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err((None, format!("panicked: {}", text.unwrap_or_default())))
        }
    }
}

/// Runs the worlds with seeds from 1 to `worlds` on every core, and prints what they covered.
fn run_all(worlds: u64) {
    let next = AtomicU64::new(1);
    let total = Mutex::new(Coverage::default());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > worlds || failures.lock().unwrap().len() > 9 {
                return;
            }
            match run(seed, Story::Untold) {
                Ok(coverage) => total.lock().unwrap().add(&coverage),
                Err((connection, what)) => failures.lock().unwrap().push((seed, connection, what)),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    for (seed, connection, what) in &failures {
        let connection =
            connection.map_or("a connection".to_owned(), |number| format!("connection {number}"));
        println!("seed {seed}: {connection} {what}");
        println!("    LASTACK_SEED={seed} cargo test --test stacks replay_one -- --nocapture");
    }
    assert!(failures.is_empty(), "{} worlds failed; each line above replays one", failures.len());
    let coverage = total.into_inner().unwrap();
    println!("{coverage}");
    let missing = coverage.missing();
    assert!(missing.is_empty(), "these were never covered: {missing:#?}");
    assert_eq!(coverage.connections, worlds * CONNECTIONS as u64);
}

#[test]
fn two_thousand_connections_between_real_stacks_are_told_truly() {
    run_all(100);
}

#[test]
#[ignore = "the nightly target: minutes"]
fn a_hundred_thousand_connections_between_real_stacks_are_told_truly() {
    run_all(5_000);
}

/// Tells the story of one world: of the connection that fails in it, or of all where none does.
#[test]
fn replay_one() {
    let Ok(seed) = std::env::var("LASTACK_SEED") else { return };
    let seed = seed.parse().expect("LASTACK_SEED is a decimal number");
    let story = match run(seed, Story::Untold) {
        Ok(_) | Err((None, _)) => Story::OfAll,
        Err((Some(connection), _)) => Story::Of(connection),
    };
    if let Err((connection, what)) = run(seed, story) {
        panic!("seed {seed}, connection {connection:?}: {what}");
    }
}

#[test]
fn the_seeds_that_wrap_do() {
    assert!(world::wrapping_seeds_wrap());
}
