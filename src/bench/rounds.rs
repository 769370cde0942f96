//! Rounds on all shards at once: each on a thread with a core of its own.
//!
//! ```text
//!   thread 0 (core 3)  open │ prepare │ burst burst burst burst burst … done ┐ ends the period
//!   thread 1 (core 2)  open │ prepare │ burst burst burst burst burst …   ◄──┘ of all
//!                           join      barrier
//! ```
//!
//! Shards share nothing, so their rates add up; but only over a period in which all of them work. So they begin at a
//! barrier, and the first that is done with its part ends the period for all. (Where all of a shard's connections have
//! to come due, each ends its own.)

use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::error::Error;
use super::load::Load;
use crate::shard::BURST;
use crate::time::Time;

/// What a period's bursts took, of one shard or of all.
#[derive(Debug, Clone, Default)]
pub(super) struct Timed {
    pub(super) packets: u64,
    /// Packets per second, summed over the shards.
    pub(super) rate: f64,
    /// Whole connections per second, where they are what is timed.
    pub(super) connections: Option<f64>,
    /// How long each burst took, from its first frame being written to its last verdict, in nanoseconds.
    pub(super) durations: Vec<u32>,
}

impl Timed {
    fn add(mut self, other: Timed) -> Timed {
        self.packets += other.packets;
        self.rate += other.rate;
        self.connections = match (self.connections, other.connections) {
            (Some(mine), Some(theirs)) => Some(mine + theirs),
            (either, None) | (None, either) => either,
        };
        self.durations.extend(other.durations);
        self
    }
}

/// What a round found: the bursts that count, and their baseline where there is one.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) timed: Timed,
    pub(super) baseline: Option<Timed>,
}

/// The workload's shards.
#[derive(Debug)]
pub(super) struct Crew {
    loads: Vec<Box<dyn Load>>,
}

impl Crew {
    /// Makes the loads, each on the thread's own core, so that its memory lies near it.
    pub(super) fn new<P: Sync>(
        parts: &[P],
        make: impl Fn(&P) -> Result<Box<dyn Load>, Error> + Sync,
    ) -> Result<Crew, Error> {
        let loads = on_threads(parts.iter().collect(), make)?;
        Ok(Crew { loads })
    }

    /// A round that wants so many bursts of each shard.
    pub(super) fn round(&mut self, bursts: u64) -> Result<Round, Error> {
        self.each(|load| load.prepare())?;
        let timed = self.time(bursts, Period::new(self.loads.len()))?;
        self.each(|load| load.finish())?;
        // All loads are of one workload, and say the same.
        if !self.each(|load| load.come_due())?.contains(&true) {
            return Ok(Round { timed, baseline: None });
        }
        let due = self.time(bursts, Period::with_ends_of_their_own(self.loads.len()))?;
        self.each(|load| load.finish())?;
        Ok(Round { timed: due, baseline: Some(timed) })
    }

    /// Times bursts on all shards, in a period.
    fn time(&mut self, bursts: u64, period: Period) -> Result<Timed, Error> {
        let timed = self.each(|load| period.time(load.as_mut(), bursts))?;
        Ok(timed.into_iter().reduce(Timed::add).unwrap_or_default())
    }

    /// Does the same with each load, all at once.
    fn each<T: Send>(
        &mut self,
        work: impl Fn(&mut Box<dyn Load>) -> Result<T, Error> + Sync,
    ) -> Result<Vec<T>, Error> {
        on_threads(self.loads.iter_mut().collect(), work)
    }

    /// All memory that the shards hold, in bytes.
    pub(super) fn memory(&self) -> io::Result<u64> {
        self.loads.iter().map(|load| load.engine().memory()).sum()
    }

    /// How many connections the tables have room for.
    pub(super) fn capacity(&self) -> u64 {
        self.loads.iter().map(|load| u64::from(load.engine().shard.table().capacity())).sum()
    }
}

/// A time in which all shards work.
struct Period {
    start: Barrier,
    /// Set by the first that is done; none where each has to come to its own end.
    is_over: Option<AtomicBool>,
}

impl Period {
    /// One that is over when the first of so many shards is done.
    fn new(shards: usize) -> Period {
        Period { is_over: Some(AtomicBool::new(false)), ..Period::with_ends_of_their_own(shards) }
    }

    /// One that is over for each shard when it is done.
    fn with_ends_of_their_own(shards: usize) -> Period {
        Period { start: Barrier::new(shards), is_over: None }
    }

    fn is_over(&self) -> bool {
        self.is_over.as_ref().is_some_and(|over| over.load(Relaxed))
    }

    fn time(&self, load: &mut dyn Load, wanted: u64) -> Result<Timed, Error> {
        let room = touched(load.most_bursts(wanted));
        // The others wait there, whatever becomes of this one.
        self.start.wait();
        let mut durations = room?;
        let mut last = |sent: Time, judged: Time| {
            let nanoseconds = judged.nanoseconds() - sent.nanoseconds();
            durations.push(u32::try_from(nanoseconds).unwrap_or(u32::MAX));
        };
        let completed = load.completed();
        let start = load.engine().now();
        // When the turn began that sent the burst before, whose verdicts are there at this one's end.
        let mut sent = None;
        let (mut before, mut bursts) = (start, 0);
        let mut result = Ok(());
        while result.is_ok() && !load.is_done(bursts, wanted, before) && !self.is_over() {
            result = load.burst(before);
            let after = load.engine().now();
            if let Some(sent) = sent.replace(before) {
                last(sent, after);
            }
            before = after;
            bursts += 1;
        }
        let result = result.and_then(|()| load.settle());
        let end = load.engine().now();
        if let Some(sent) = sent {
            last(sent, end);
        }
        if let Some(is_over) = &self.is_over {
            is_over.store(true, Relaxed);
        }
        result?;
        let seconds = (end.nanoseconds() - start.nanoseconds()) as f64 / 1e9;
        let connections =
            load.completed().zip(completed).map(|(after, before)| (after - before) as f64 / seconds);
        let packets = bursts * BURST as u64;
        Ok(Timed { packets, rate: packets as f64 / seconds, connections, durations })
    }
}

/// Room for so many durations, written once: a page that is touched first within the timed loop is a burst that
/// takes longer.
fn touched(bursts: u64) -> Result<Vec<u32>, Error> {
    let mut durations = Vec::new();
    let room = usize::try_from(bursts).unwrap_or(usize::MAX);
    durations.try_reserve_exact(room).map_err(|error| Error::Memory {
        what: format!("the times of {bursts} bursts (fewer --packets take less)"),
        bytes: bursts.saturating_mul(size_of::<u32>() as u64),
        error: error.into(),
    })?;
    durations.resize(room, u32::MAX);
    durations.clear();
    Ok(durations)
}

/// Does the same with each item, all at once, each on a thread of its own and, where there are as many, on a core of
/// its own.
fn on_threads<I: Send, T: Send>(
    items: Vec<I>,
    work: impl Fn(I) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let cores = cores(items.len());
    let work = &work;
    thread::scope(|scope| {
        let begin = |(number, item): (usize, I)| {
            let core = cores.get(number).copied();
            scope.spawn(move || {
                core.into_iter().for_each(pin);
                work(item)
            })
        };
        let threads: Vec<_> = items.into_iter().enumerate().map(begin).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<T, Error>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        // All of them are joined before the first error is told.
        let results: Vec<_> = threads.into_iter().map(join).collect();
        results.into_iter().collect()
    })
}

/// A core for each of `count` threads, of those that this process may run on; none where there are fewer. From the last
/// one on: the first has the most of the machine's other work.
fn cores(count: usize) -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    let is_allowed = |core: &usize| allowed.is_set(*core).unwrap_or(false);
    let cores: Vec<usize> = (0..CpuSet::count()).rev().filter(is_allowed).take(count).collect();
    if cores.len() == count { cores } else { Vec::new() }
}

/// Keeps this thread on one core.
fn pin(core: usize) {
    let mut set = CpuSet::new();
    if set.set(core).is_ok() {
        // Where it fails after all, the figures are worse and nothing else.
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_the_times_of_bursts_is_there_or_refused_by_its_size() {
        let room = touched(1_000).unwrap();
        assert_eq!((room.len(), room.capacity()), (0, 1_000));
        let error = touched(1 << 60).unwrap_err().to_string();
        assert!(error.contains("the times of 1152921504606846976 bursts"), "{error}");
    }
}
