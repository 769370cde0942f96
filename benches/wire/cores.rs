//! Who used a core for how long, as the kernel's clock ticks have it.
//!
//! ```text
//!   /proc/stat        core 1: all that is not idle, whoever did it
//!   /proc/PID/stat    Lastack: in the kernel, on its behalf
//!   lastack stats     its worker: in turns that found something to do
//! ```
//!
//! A worker that spins uses the whole core, whatever comes; what it does for packets is only what it says itself.
//! The kernel looks once in a tick (4 ms at 250 Hz) at what runs, and charges it with the whole of it: good for
//! sums over a second, and for nothing finer.

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::middle::Process;
use crate::{Failure, MIDDLE};

/// /proc counts in hundredths of a second on every architecture that Rust's standard library knows.
const UNIT: Duration = Duration::from_millis(10);

/// What was used since the machine, or the process, has started; or between two such moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Of the middle's core, by whomever.
    pub(crate) core: Duration,
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

impl Usage {
    /// Until now; `process` is Lastack's, if there is one.
    pub(crate) fn now(process: Option<&Process>) -> Result<Usage, Failure> {
        let core =
            core_busy(&fs::read_to_string("/proc/stat")?).ok_or("/proc/stat says nothing of core 1")?;
        let Some(process) = process else { return Ok(Usage { core, worker: None }) };
        let text = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
        let system = system_time(&text).ok_or("/proc/PID/stat is not as it was")?;
        Ok(Usage { core, worker: Some(Work { busy: process.busy()?, system }) })
    }

    /// What was used between `before` and this.
    pub(crate) fn since(&self, before: &Usage) -> Usage {
        let worker = self.worker.zip(before.worker).map(|(now, before)| Work {
            busy: now.busy.saturating_sub(before.busy),
            system: now.system.saturating_sub(before.system),
        });
        Usage { core: self.core.saturating_sub(before.core), worker }
    }

    /// For how long the middle was at work.
    pub(crate) fn at_work(&self) -> Duration {
        self.worker.map_or(self.core, |worker| worker.busy)
    }

    /// Which share of its work was done in Lastack's own code.
    pub(crate) fn own_share(&self) -> Option<f64> {
        let worker = self.worker.filter(|worker| !worker.busy.is_zero())?;
        Some((1.0 - worker.system.as_secs_f64() / worker.busy.as_secs_f64()).max(0.0))
    }
}

/// Of the line `cpu1 user nice system idle iowait irq softirq …`, all but the idle times.
fn core_busy(stat: &str) -> Option<Duration> {
    let name = format!("cpu{MIDDLE}");
    let line = stat.lines().find(|line| line.split(' ').next() == Some(&name))?;
    let times: Vec<u32> = line.split_whitespace().skip(1).map_while(|number| number.parse().ok()).collect();
    let busy: u32 = [0, 1, 2, 5, 6].into_iter().map(|at| times.get(at)).sum::<Option<u32>>()?;
    Some(UNIT * busy)
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
