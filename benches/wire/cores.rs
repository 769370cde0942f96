//! Who used a core for how long, as the kernel's clock ticks have it.
//!
//! ```text
//!   /proc/stat        both cores: all that is not idle, whoever did it
//!   /proc/PID/stat    Lastack: in the kernel, on its behalf
//!   lastack stats     its worker: in turns that found something to do
//! ```
//!
//! A worker that spins uses the whole core, whatever comes; what it does for packets is only what it says itself.
//! The kernel measures how long a core is idle, but who uses it only by what runs when its clock ticks (4 ms at
//! 250 Hz): sums over a second are good, nothing finer is.

use std::fs;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::middle::Process;
use crate::{ENDS, Failure, MIDDLE};

/// /proc counts in hundredths of a second on every architecture that Rust's standard library knows.
const UNIT: Duration = Duration::from_millis(10);

/// A moment, and what was used until then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    at: Instant,
    /// For how long each core has been idle since the machine has started.
    idle: [Duration; 2],
    worker: Option<Work>,
}

/// What was used between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Between them.
    pub(crate) elapsed: Duration,
    /// By whomever, of the ends' core and of the middle's.
    pub(crate) cores: [Duration; 2],
    /// By Lastack's worker; none where the kernel is in the middle.
    worker: Option<Work>,
}

/// What a worker has used.
#[derive(Debug, Clone, Copy)]
struct Work {
    /// In turns that found something to do.
    busy: Duration,
    /// In the kernel, nearly all of it in such turns.
    system: Duration,
}

impl Moment {
    /// Now; `process` is Lastack's, if there is one.
    pub(crate) fn now(process: Option<&Process>) -> Result<Moment, Failure> {
        let work = |process: &Process| {
            let text = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
            let system = system_time(&text).ok_or("/proc/PID/stat is not as it was")?;
            Ok::<_, Failure>(Work { busy: process.busy()?, system })
        };
        let worker = process.map(work).transpose()?;
        let stat = fs::read_to_string("/proc/stat")?;
        let idle = |core| idle_time(&stat, core).ok_or("/proc/stat lacks a core");
        Ok(Moment { at: Instant::now(), idle: [idle(ENDS)?, idle(MIDDLE)?], worker })
    }

    /// What was used between `before` and this.
    pub(crate) fn since(&self, before: &Moment) -> Usage {
        let elapsed = self.at - before.at;
        let used = |core: usize| elapsed.saturating_sub(self.idle[core].saturating_sub(before.idle[core]));
        let worker = self.worker.zip(before.worker).map(|(now, before)| Work {
            busy: now.busy.saturating_sub(before.busy),
            system: now.system.saturating_sub(before.system),
        });
        Usage { elapsed, cores: [used(0), used(1)], worker }
    }
}

impl Usage {
    /// For how long the middle was at work.
    pub(crate) fn at_work(&self) -> Duration {
        self.worker.map_or(self.cores[1], |worker| worker.busy)
    }

    /// Which share of its work was done in Lastack's own code.
    pub(crate) fn own_share(&self) -> Option<f64> {
        let worker = self.worker.filter(|worker| !worker.busy.is_zero())?;
        Some((1.0 - worker.system.as_secs_f64() / worker.busy.as_secs_f64()).max(0.0))
    }
}

/// Of the line `cpuN user nice system idle iowait …`, both idle times.
fn idle_time(stat: &str, core: usize) -> Option<Duration> {
    let name = format!("cpu{core}");
    let line = stat.lines().find(|line| line.split(' ').next() == Some(&name))?;
    let mut times = line.split_whitespace().skip(4).map_while(|number| number.parse::<u32>().ok());
    Some(UNIT * (times.next()? + times.next()?))
}

/// The 15th of the line's words; the second is the name in parentheses, which may be anything.
fn system_time(stat: &str) -> Option<Duration> {
    let (_, behind) = stat.rsplit_once(')')?;
    let time: u32 = behind.split_whitespace().nth(12)?.parse().ok()?;
    Some(UNIT * time)
}

/// Keeps the calling thread on one core.
pub(crate) fn bind(core: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
