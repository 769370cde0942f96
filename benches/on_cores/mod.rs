//! For benches that take several cores: which there are, a thread on one of them, and how long it was at work.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;

/// The cores that this process may run on, from the last one on.
pub(crate) fn cores() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).rev().filter(|core| allowed.is_set(*core).unwrap_or(false)).collect()
}

/// Has this thread run on `core` alone.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    if set.set(core).is_ok() {
        // Where it fails the numbers are worse, and nothing else.
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

/// How long this thread has been at work, in nanoseconds.
pub(crate) fn at_work() -> f64 {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("every Linux has this clock");
    time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64
}

/// The middle one; not a number where there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
