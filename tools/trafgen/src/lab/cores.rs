//! Who used a core for how long.
//!
//! ```text
//!   /proc/self/task/…/schedstat   the generator, whatever the kernel does in its system calls included
//!   /proc/KSOFTIRQD/schedstat     what the kernel had to put off, on either core
//!   Spare                         the middle's core: what the kernel does on arrivals, its forwarding included
//!   /proc/PID/stat                Lastack: its time, and how much of that is the kernel's
//!   lastack stats                 its worker: in turns that found something to do
//! ```
//!
//! None of them counts what other programs do on the same core. A worker that spins uses the whole core, whatever
//! comes; what it does for packets it says itself, by the clock on the wall, and that is never more than the
//! time it got. All but /proc/PID/stat are exact to the microsecond or better; that one counts in hundredths of a second.

use std::fs;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::middle::Process;
use super::spare::Spare;
use super::{ENDS, MIDDLE};
use crate::Failure;

/// /proc/PID/stat counts in hundredths of a second on every architecture that Rust's standard library knows.
const UNIT: Duration = Duration::from_millis(10);

/// Whose work in the middle is measured.
pub(crate) enum Watched<'a> {
    Lastack(&'a Process),
    Kernel(Spare),
}

impl Watched<'_> {
    /// That of whatever is in the middle.
    pub(crate) fn of(process: Option<&Process>) -> Result<Watched<'_>, Failure> {
        Ok(match process {
            Some(process) => Watched::Lastack(process),
            None => Watched::Kernel(Spare::soak(MIDDLE)?),
        })
    }
}

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
    /// Now; `middle` is Lastack's process, or has what the kernel leaves of the middle's core.
    pub(crate) fn now(middle: &Watched<'_>) -> Result<Moment, Failure> {
        let work = |process: &Process| {
            let [user, system] = times_of(&process.id().to_string())?;
            Ok::<_, Failure>(Work { busy: process.busy()?, whole: user + system, system })
        };
        let (worker, spare) = match middle {
            Watched::Lastack(process) => (Some(work(process)?), None),
            Watched::Kernel(spare) => (None, Some(spare)),
        };
        let ends = own_threads(spare.map(Spare::id))? + run_time(&put_off(ENDS)?)?;
        let arrivals = spare.map(Spare::taken).unwrap_or_default() + run_time(&put_off(MIDDLE)?)?;
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

/// What this process's threads have used, but for one that uses what others leave.
fn own_threads(spare: Option<Pid>) -> Result<Duration, Failure> {
    let spare = spare.map(|id| id.to_string());
    let mut sum = Duration::ZERO;
    for entry in fs::read_dir("/proc/self/task")? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if Some(&*name) != spare.as_deref() {
            sum += run_time(&format!("self/task/{name}"))?;
        }
    }
    Ok(sum)
}

/// What a thread has used, or a process of one thread.
fn run_time(thread: &str) -> Result<Duration, Failure> {
    let text = fs::read_to_string(format!("/proc/{thread}/schedstat"))?;
    let first = text.split(' ').next().and_then(|number| number.parse().ok());
    Ok(Duration::from_nanos(first.ok_or("/proc/PID/schedstat is not as it was")?))
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
