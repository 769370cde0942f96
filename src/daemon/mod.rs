//! `lastack run`: the middlebox. A transparent bridge between pairs of ports, and a stateful firewall.
//!
//! ```text
//!   port inside ─ XDP program ─ AF_XDP sockets ─┐            ┌─ AF_XDP sockets ─ port outside
//!                                               ├─ worker 0 ─┤
//!                                               ├─ worker 1 ─┤        one core, one shard each
//!                                               └─ …        ─┘
//!   signals, links, control socket, metrics ─── the main thread: reads what workers show, never stops them
//! ```
//!
//! | file | its one concern |
//! |---|---|
//! | `plan` | what will be opened: pure |
//! | `setup` | opening it, in the kernel's order |
//! | `worker` | a worker's turn |
//! | `forward` | what becomes of packets once they are judged |
//! | `owners` | packets whose connection lives elsewhere |
//! | `socket`, `burst`, `frames` | its rings, its packets, its frames |
//! | `held` | fragments that wait for the rest of their datagram |
//! | `handover` | the rings from worker to worker |
//! | `ears` | what it hears of its shard |
//! | `attend` | the main thread: signals, links, operators |
//!
//! # Life cycle
//!
//! [`run`] opens everything, starts a thread for each worker and attends to operators until SIGINT or SIGTERM.
//! Then the programs are detached, the workers send what they still have and end, and everything closes.
//! Killed with SIGKILL the kernel does the same, since nothing is pinned anywhere.

mod attend;
mod burst;
mod ears;
mod error;
mod forward;
mod frames;
pub mod handover;
mod held;
mod owners;
mod plan;
mod setup;
mod socket;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

pub use error::Error;

use crate::config::Config;
use crate::metrics;
use crate::view::{Loss, Plane};
use attend::Attendant;
use setup::Setup;
use worker::Worker;

/// Runs the middlebox that `config` describes until a signal ends it; `tell` is called with what a person
/// should know, a line each.
///
/// # Errors
/// It could not begin, or a worker ended by a fault; nothing is left behind.
pub fn run(config: &Config, tell: &mut dyn FnMut(&str)) -> Result<(), Error> {
    check_cpus(config)?;
    // Signals are blocked before there are threads to inherit that; the sockets of operators are there before
    // the first packet, so that a second instance ends there.
    let site = setup::survey(config)?;
    let signals = attend::block_signals()?;
    let mut attendant = Attendant::new(signals, config)?;
    let Setup { workers, programs, promiscuous, plane, links, remarks } = setup::open(site)?;
    for remark in remarks.into_iter().chain(config.metrics.and_then(metrics::exposure)) {
        tell(&remark);
    }
    attendant.watch_links(&links, &plane, tell)?;
    let stop = Arc::new(AtomicBool::new(false));
    let threads = start(workers, &plane, &stop)?;
    tell(&format!("running; control socket {}", config.control_socket.display()));
    let ended = attendant.attend(&plane, &threads, tell);
    // First the packets stop coming, then those that came are sent.
    drop(programs);
    drop(promiscuous);
    let joined = end(threads, &plane, &stop);
    tell(&farewell(&plane));
    match (ended, joined) {
        (Err(error), _) => Err(error),
        (Ok(()), Some(worker)) => Err(Error::Worker(worker)),
        (Ok(()), None) => Ok(()),
    }
}

/// Ends the workers; the number of one that a fault has ended, if there is one.
fn end(threads: Vec<JoinHandle<()>>, plane: &Plane, stop: &AtomicBool) -> Option<usize> {
    stop.store(true, Relaxed);
    plane.workers.iter().for_each(|view| view.wake());
    // All of them, before any is asked how it went.
    let ended: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
    ended.iter().position(Result::is_err)
}

/// Starts a thread for each worker, on its core.
fn start(
    workers: Vec<Worker>,
    plane: &Arc<Plane>,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let mut threads = Vec::new();
    for (number, worker) in workers.into_iter().enumerate() {
        let cpu = plane.workers[number].cpu;
        let running = Arc::clone(stop);
        let body = move || {
            if let Some(cpu) = cpu {
                pin(cpu);
            }
            worker.run(&running);
        };
        match Builder::new().name(format!("worker {number}")).spawn(body) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                end(threads, plane, stop);
                return Err(Error::System { what: "a worker's thread cannot be started", error });
            }
        }
    }
    Ok(threads)
}

/// Refuses cores that this process cannot run on: a worker that was promised one would share another's.
fn check_cpus(config: &Config) -> Result<(), Error> {
    let Some(cpus) = &config.workers.cpus else { return Ok(()) };
    let failed =
        |errno: nix::Error| Error::System { what: "the cores cannot be asked for", error: errno.into() };
    let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(failed)?;
    let is_there = |cpu: &u32| allowed.is_set(*cpu as usize).unwrap_or(false);
    let Some(missing) = cpus.iter().find(|cpu| !is_there(cpu)) else { return Ok(()) };
    let all = 0..CpuSet::count() as u32;
    let there: Vec<String> = all.filter(is_there).map(|cpu| cpu.to_string()).collect();
    Err(Error::Configuration(format!(
        "[workers] cpus: there is no core {missing} that this process may run on; there are {}",
        there.join(", ")
    )))
}

/// Keeps this thread on one core. [`check_cpus`] has found that it may.
fn pin(cpu: u32) {
    let mut set = CpuSet::new();
    if set.set(cpu as usize).is_ok() {
        // Where it fails after all, the worker is slower and nothing else.
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

/// What happened in all, for the log.
fn farewell(plane: &Plane) -> String {
    let reports: Vec<_> = plane.workers.iter().map(|view| view.report()).collect();
    let sockets = || reports.iter().flat_map(|report| &report.sockets);
    let received: u64 = sockets().map(|traffic| traffic.received.packets).sum();
    let sent: u64 = sockets().map(|traffic| traffic.sent.packets).sum();
    let lost: u64 = sockets().flat_map(|traffic| Loss::ALL.map(|loss| traffic.lost[loss as usize])).sum();
    let refused: u64 = reports.iter().map(|report| report.counters.dropped).sum();
    format!("stopped; {received} packets received, {sent} sent, {refused} refused, {lost} lost")
}
