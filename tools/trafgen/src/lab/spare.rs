//! What a core has left: a thread of the lowest priority that looks at the clock without end.
//!
//! ```text
//!   this thread      ▮▮▮▮▮▮▮▮▮    ▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮          ▮▮▮▮▮▮▮▮▮     two looks lie 30 ns apart …
//!   the kernel                 ███                                       … or an interrupt apart: the kernel's
//!   another thread                              ██████████                 … or switched away from: that thread's
//! ```
//!
//! The kernel's own account says who runs whenever its clock ticks, and on a core without work that clock does not tick:
//! what arrives now and then is handled between two ticks, and never seen. While this thread runs, every gap between two
//! looks is time that somebody else had. A thread that took it has its own account; what is left is the kernel's
//! handling of interrupts, which is how packets arrive.
//!
//! Where a thread never leaves the core, as a worker that spins, there is nothing to see, and this one does not even come to
//! its end: it is for cores without one.
//!
//! Life cycle: [`Spare::soak`], [`Spare::taken`] at two moments; it ends when it is dropped.

#![allow(unsafe_code, reason = "the lowest priority is asked for by a system call that no library here has")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{Pid, gettid};

use super::cores;
use crate::Failure;

/// The longest time between two looks with nothing in between: many times what it takes, and less than any interrupt.
const LOOK: Duration = Duration::from_nanos(400);

/// A thread that has what everything else leaves of a core.
pub(crate) struct Spare {
    thread: Option<JoinHandle<Result<(), Failure>>>,
    id: Pid,
    stop: Arc<AtomicBool>,
    /// In nanoseconds.
    taken: Arc<AtomicU64>,
}

impl Spare {
    /// Begins to use what is left of a core.
    pub(crate) fn soak(core: usize) -> Result<Spare, Failure> {
        let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, hear) = mpsc::channel();
        let (end, count) = (Arc::clone(&stop), Arc::clone(&taken));
        let thread = std::thread::Builder::new().name("spare".to_owned()).spawn(move || {
            // Whoever waits for it may have gone away. First, since from then on it may have to wait for long.
            let _ = told.send(gettid());
            cores::bind(core)?;
            give_way()?;
            look(&end, &count)
        })?;
        match hear.recv() {
            Ok(id) => Ok(Spare { thread: Some(thread), id, stop, taken }),
            Err(_) => Err(thread.join().map_or_else(
                |_| "the spare thread has panicked".into(),
                |result| result.err().unwrap_or_else(|| "the spare thread has ended".into()),
            )),
        }
    }

    /// What the kernel has had of the core so far for interrupts, and for what it does at their end.
    pub(crate) fn taken(&self) -> Duration {
        Duration::from_nanos(self.taken.load(Relaxed))
    }

    /// The thread's number.
    pub(crate) const fn id(&self) -> Pid {
        self.id
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // What went wrong was told when it began.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Adds up in `taken` what is no thread's, until `stop`.
fn look(stop: &AtomicBool, taken: &AtomicU64) -> Result<(), Failure> {
    let mut gaps = Gaps::default();
    let mut before = Instant::now();
    while !stop.load(Relaxed) {
        let now = Instant::now();
        let gap = now - before;
        before = now;
        if gap > LOOK {
            let switches = getrusage(UsageWho::RUSAGE_THREAD)?.involuntary_context_switches();
            gaps.note(gap, switches as u64);
            taken.store(gaps.interrupts.as_nanos() as u64, Relaxed);
            // Asking takes longer than a look.
            before = Instant::now();
        }
    }
    Ok(())
}

/// Gaps between two looks at the clock.
#[derive(Debug, Default)]
struct Gaps {
    /// How often the thread had been switched away from at the last one.
    switches: u64,
    /// The sum of those in which it was not.
    interrupts: Duration,
}

impl Gaps {
    fn note(&mut self, gap: Duration, switches: u64) {
        if switches == self.switches {
            self.interrupts += gap;
        }
        self.switches = switches;
    }
}

/// Lets every other thread of the core go first.
fn give_way() -> Result<(), Failure> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: of this thread (0), and the parameters outlive the call.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gap_without_a_switch_is_the_kernels() {
        let mut gaps = Gaps::default();
        let micros = Duration::from_micros;
        for (gap, switches) in [(3, 0), (5, 0), (4000, 1), (2, 1), (900, 3), (7, 3)] {
            gaps.note(micros(gap), switches);
        }
        assert_eq!(gaps.interrupts, micros(3 + 5 + 2 + 7));
    }

    #[test]
    fn it_has_a_core_ends_when_dropped_and_never_counts_more_than_there_is() {
        let before = Instant::now();
        let spare = Spare::soak(0).unwrap();
        assert!(spare.id() != gettid());
        std::thread::sleep(Duration::from_millis(20));
        assert!(spare.taken() <= before.elapsed());
        let task = format!("/proc/self/task/{}", spare.id());
        assert!(std::fs::exists(&task).unwrap());
        drop(spare);
        assert!(!std::fs::exists(&task).unwrap());
    }
}
