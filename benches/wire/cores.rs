//! Who used a core for how long, as the kernel's clock ticks have it.
//!
//! ```text
//!   /proc/stat        core 1: all that is not idle, whoever did it
//!   /proc/PID/stat    Lastack: in its own code, and in the kernel on its behalf
//! ```
//!
//! The kernel looks once in a tick (4 ms at 250 Hz) at what runs, and charges it with the whole of it: good for
//! sums over a second, and for nothing finer.

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::{Failure, MIDDLE};

/// /proc counts in hundredths of a second on every architecture that Rust's standard library knows.
const UNIT: Duration = Duration::from_millis(10);

/// What was used since the machine, or the process, has started; or between two such moments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Of the middle's core, by whomever.
    pub(crate) core: Duration,
    /// By Lastack in its own code, on whichever core; none of it where the kernel is in the middle.
    user: Duration,
    /// In the kernel, on Lastack's behalf.
    system: Duration,
}

impl Usage {
    /// Until now; `process` is Lastack's, if there is one.
    pub(crate) fn now(process: Option<u32>) -> Result<Usage, Failure> {
        let core =
            core_busy(&fs::read_to_string("/proc/stat")?).ok_or("/proc/stat says nothing of core 1")?;
        let Some(id) = process else { return Ok(Usage { core, ..Usage::default() }) };
        let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
        let (user, system) = process_times(&text).ok_or("/proc/PID/stat is not as it was")?;
        Ok(Usage { core, user, system })
    }

    /// What was used between `before` and this.
    pub(crate) fn since(&self, before: &Usage) -> Usage {
        Usage {
            core: self.core.saturating_sub(before.core),
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    /// Which share of Lastack's time was spent in its own code.
    pub(crate) fn user_share(&self) -> Option<f64> {
        let all = self.user + self.system;
        (!all.is_zero()).then(|| self.user.as_secs_f64() / all.as_secs_f64())
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

/// The 14th and 15th of the line's words; the second is the name in parentheses, which may be anything.
fn process_times(stat: &str) -> Option<(Duration, Duration)> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut times = behind.split_whitespace().skip(11).map_while(|number| number.parse::<u32>().ok());
    Some((UNIT * times.next()?, UNIT * times.next()?))
}

/// Keeps the calling thread on one core.
pub(crate) fn bind(core: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
