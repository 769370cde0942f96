//! Who used a core for how long.
//!
//! ```text
//!   /proc/self/stat        the generator, whatever the kernel does in its system calls included
//!   /proc/KSOFTIRQD/stat   what the kernel had to put off, on the ends' core
//!   /proc/stat             the middle's core: what the kernel does on arrivals, its forwarding included
//!   /proc/PID/stat         Lastack: its time, and how much of that is the kernel's
//!   lastack stats          its worker: in turns that found something to do
//! ```
//!
//! None of them counts what other programs do on the same core. A worker that spins uses the whole core, whatever
//! comes; what it does for packets it says itself, by the clock on the wall, and that is never more than the
//! time it got. A process's time is exact; the core's by kind of work is what is found when the kernel's clock ticks (4 ms at
//! 250 Hz): sums over a second are good, nothing finer is.

use std::fs;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::middle::Process;
use super::{ENDS, MIDDLE};
use crate::Failure;

/// /proc counts in hundredths of a second on every architecture that Rust's standard library knows.
const UNIT: Duration = Duration::from_millis(10);

/// A moment, and what was used until then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    at: Instant,
    ends: Duration,
    arrivals: Duration,
    worker: Option<Work>,
}

/// What was used between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Between them.
    pub(crate) elapsed: Duration,
    /// By the generator, and by the kernel for it.
    pub(crate) ends: Duration,
    /// By the kernel on the middle's core, on what arrived there.
    arrivals: Duration,
    /// By Lastack's worker; none where the kernel is in the middle.
    worker: Option<Work>,
}

/// What a worker has used.
#[derive(Debug, Clone, Copy)]
struct Work {
    /// In turns that found something to do, by the clock on the wall.
    busy: Duration,
    /// In all.
    whole: Duration,
    /// Of that, in the kernel, nearly all of it in such turns.
    system: Duration,
}

impl Moment {
    /// Now; `process` is Lastack's, if there is one.
    pub(crate) fn now(process: Option<&Process>) -> Result<Moment, Failure> {
        let work = |process: &Process| {
            let [user, system] = times_of(&process.id().to_string())?;
            Ok::<_, Failure>(Work { busy: process.busy()?, whole: user + system, system })
        };
        let worker = process.map(work).transpose()?;
        let ends: Duration = times_of("self")?.into_iter().chain(times_of(&put_off(ENDS)?)?).sum();
        let stat = fs::read_to_string("/proc/stat")?;
        let arrivals = arrivals(&stat, MIDDLE).ok_or("/proc/stat lacks a core")?;
        Ok(Moment { at: Instant::now(), ends, arrivals, worker })
    }

    /// What was used between `before` and this.
    pub(crate) fn since(&self, before: &Moment) -> Usage {
        let worker = self.worker.zip(before.worker).map(|(now, before)| Work {
            busy: now.busy.saturating_sub(before.busy),
            whole: now.whole.saturating_sub(before.whole),
            system: now.system.saturating_sub(before.system),
        });
        Usage {
            elapsed: self.at - before.at,
            ends: self.ends.saturating_sub(before.ends),
            arrivals: self.arrivals.saturating_sub(before.arrivals),
            worker,
        }
    }
}

impl Usage {
    /// For how long the middle was at work.
    pub(crate) fn at_work(&self) -> Duration {
        self.worker.map_or(self.arrivals, |worker| worker.busy.min(worker.whole))
    }

    /// For how long the middle had its core, at work or not.
    pub(crate) fn whole(&self) -> Duration {
        self.worker.map_or(self.arrivals, |worker| worker.whole)
    }

    /// Which share of its work was done in Lastack's own code.
    pub(crate) fn own_share(&self) -> Option<f64> {
        self.worker?;
        let work = self.at_work().as_secs_f64();
        let system = self.worker.map_or(0.0, |worker| worker.system.as_secs_f64());
        (work > 0.0).then(|| (1.0 - system / work).max(0.0))
    }
}

/// Of the line `cpuN user nice system idle iowait irq softirq …`, both interrupt times.
fn arrivals(stat: &str, core: usize) -> Option<Duration> {
    let name = format!("cpu{core}");
    let line = stat.lines().find(|line| line.split(' ').next() == Some(&name))?;
    let mut times = line.split_whitespace().skip(6).map_while(|number| number.parse::<u32>().ok());
    Some(UNIT * (times.next()? + times.next()?))
}

/// What a process has used, in its own code and in the kernel.
fn times_of(process: &str) -> Result<[Duration; 2], Failure> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    times(&text).ok_or_else(|| "/proc/PID/stat is not as it was".into())
}

/// The 14th and 15th of the line's words; the second is the name in parentheses, which may be anything.
fn times(text: &str) -> Option<[Duration; 2]> {
    let (_, behind) = text.rsplit_once(')')?;
    let mut words = behind.split_whitespace().skip(11).map_while(|word| word.parse::<u32>().ok());
    Some([UNIT * words.next()?, UNIT * words.next()?])
}

/// The number of the kernel's thread that does what it has put off on a core.
fn put_off(core: usize) -> Result<String, Failure> {
    let name = format!("ksoftirqd/{core}\n");
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        if fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm == name) {
            return Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    Err(format!("there is no thread {}", name.trim_end()).into())
}

/// Keeps the calling thread on one core.
pub(crate) fn bind(core: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
