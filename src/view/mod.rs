//! What a worker shows to other threads while it goes on working, and what it lets them ask of it.
//!
//! ```text
//!   worker ── writes ──► table, event ring, Report ──┐
//!     ▲                                              ├──► control, metrics: any number of readers
//!     └── looks when it has time ◄── Command ────────┘
//! ```
//!
//! The worker never waits for a reader: connections are read by the table's own protocol
//! ([`crate::table::Reader`]), events lie in a ring that is overwritten ([`events`]), numbers are copied
//! out about once a millisecond ([`Report`]). What others want of it (`delete`) waits in a queue that is
//! lock-free, not wait-free: a worker that looks while a command is being put in spins until it is there.
//!
//! Life cycle: whoever starts a worker makes its [`View`] first, and shares it; it lasts as long as
//! anybody looks.

pub mod epoch;
pub mod events;
pub mod listing;
pub mod plane;
pub mod report;
mod ring;
mod sync;
#[cfg(not(loom))]
#[cfg(test)]
pub(crate) mod testing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;

pub use epoch::Epoch;
pub use plane::{KernelLosses, LinkState, Plane, PortState, PortView, QueueView, Watch};
pub use report::{Frames, Loss, Report, Traffic, Volume, Work};

use crate::table::{Index, Reader};

/// How many commands may wait for a worker.
const COMMANDS: usize = 16;

/// One worker, as other threads see it.
#[derive(Debug)]
pub struct View {
    /// Its number, which is also its shard's.
    pub number: u32,
    /// The core it runs on; none where the scheduler chooses.
    pub cpu: Option<u32>,
    /// Its sockets.
    pub sockets: Sockets,
    /// Its table.
    pub table: Reader,
    /// When it is between two turns.
    pub epoch: Epoch,
    /// What happens to its connections.
    pub events: events::Log,
    /// What is asked of it.
    pub commands: ArrayQueue<Command>,
    /// The only lock that a worker looks at, once a millisecond; on lines of its own.
    report: CachePadded<Mutex<Report>>,
    waker: Arc<mio::Waker>,
}

/// A worker's sockets, in the order in which its [`Report`] counts them.
pub type Sockets = Vec<Socket>;

/// One socket of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// The port, as its number in the configuration.
    pub port: usize,
    /// The interface's receive queue.
    pub queue: u32,
}

/// What other threads ask of a worker.
#[derive(Debug)]
pub enum Command {
    /// End these connections, those that still are what they were: `deleted` is the end of each. The number
    /// of those that were there is sent back.
    Delete {
        /// Places and numbers.
        connections: Box<[(Index, u64)]>,
        /// Where the number goes.
        done: std::sync::mpsc::Sender<usize>,
    },
}

impl View {
    /// The view of a worker whose `report` is all zero still; `waker` ends its sleep.
    pub fn new(
        number: u32,
        cpu: Option<u32>,
        sockets: Sockets,
        table: Reader,
        events: events::Log,
        report: Report,
        waker: Arc<mio::Waker>,
    ) -> View {
        View {
            number,
            cpu,
            sockets,
            table,
            epoch: Epoch::default(),
            events,
            commands: ArrayQueue::new(COMMANDS),
            report: CachePadded::new(Mutex::new(report)),
            waker,
        }
    }

    /// The newest numbers; readers may wait for each other, never the worker for them.
    pub fn report(&self) -> Report {
        self.lock().clone()
    }

    /// Shows new numbers, unless somebody is looking at the old ones right now: they can wait for the next
    /// time. For the worker alone.
    pub fn show(&self, report: &Report) {
        if let Ok(mut shown) = self.report.try_lock() {
            shown.copy_from(report);
        }
    }

    /// Asks the worker for something, and wakes it; gives the command back where too many wait already.
    ///
    /// # Errors
    /// The queue is full: the worker will have taken some soon.
    pub fn ask(&self, command: Command) -> Result<(), Command> {
        self.commands.push(command)?;
        self.wake();
        Ok(())
    }

    /// Ends the worker's sleep, if it sleeps.
    pub fn wake(&self) {
        // It fails only where the process is out of file descriptors' kernel memory; the worker wakes by
        // itself then, a little later.
        let _ = self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        // Plain numbers cannot be left half-done in a harmful way.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    /// The cache lines that something lies on.
    fn lines<T>(what: &T) -> std::ops::RangeInclusive<usize> {
        let start = std::ptr::from_ref(what).addr();
        start / 64..=(start + size_of::<T>() - 1) / 64
    }

    fn are_apart<T, U>(one: &T, other: &U) -> bool {
        let (one, other) = (lines(one), lines(other));
        one.end() < other.start() || other.end() < one.start()
    }

    #[test]
    fn a_workers_epoch_shares_no_line_with_what_readers_write_nor_with_another_workers() {
        let workers = [0, 1].map(|number| testing::Worker::new(number, 2, 8, 8, Time::from_nanoseconds(1)));
        let [one, other] = workers.each_ref().map(|worker| &*worker.view);
        assert!(are_apart(&one.epoch, &one.report) && are_apart(&one.epoch, &one.commands));
        assert!(are_apart(&one.epoch, &one.table) && are_apart(&one.epoch, &one.events));
        assert!(are_apart(one, other));
        // Whoever takes or drops a handle counts in front of the view.
        let handles = std::ptr::from_ref(one).addr() - size_of::<usize>();
        assert!(!lines(&one.epoch).contains(&(handles / 64)));
    }
}
