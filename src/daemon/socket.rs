//! A worker's socket on one queue of one port: four rings, two of which may be shared with other workers.
//!
//! ```text
//!   receive ring  ─► Burst                     one worker's
//!   transmit ring ◄─ packets to send           one worker's
//!   fill and completion ring                   the queue's: of one worker, or locked for a moment
//! ```
//!
//! Where they are shared, a worker that finds them locked goes on and comes back in its next turn: it
//! waits for nobody, and no system call is made under the lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, TryLockError};

use af_xdp::{CompletionRing, Descriptor, FillRing, Frame, RxRing, SocketHandle, TxRing, Wake};
use crossbeam_utils::CachePadded;

use super::burst::{Burst, Origin};
use super::frames::Store;
use super::plan::{MAX_PARTS, SocketPlan};
use crate::shard::BURST;
use crate::view::{Loss, Traffic, Volume};

/// A fill ring is filled up once so many frames fit.
const REFILL: u32 = 64;
/// How many completions are taken at a time.
const REAP: usize = 512;

/// The rings that belong to a queue.
#[derive(Debug)]
pub(super) struct QueueRings {
    /// Empty frames for the kernel.
    pub(super) fill: FillRing,
    /// Frames that were sent.
    pub(super) completion: CompletionRing,
}

/// How a worker gets at them.
#[derive(Debug)]
pub(super) enum Access {
    /// Nobody else uses them.
    Own(QueueRings),
    /// Other workers do.
    Shared(Arc<Mutex<QueueRings>>),
}

impl Access {
    /// Runs `work` on the rings, unless another worker is at them.
    #[inline]
    fn with<T>(&mut self, work: impl FnOnce(&mut QueueRings) -> T) -> Option<T> {
        match self {
            Access::Own(rings) => Some(work(rings)),
            Access::Shared(rings) => match rings.try_lock() {
                Ok(mut rings) => Some(work(&mut rings)),
                Err(TryLockError::Poisoned(rings)) => Some(work(&mut rings.into_inner())),
                Err(TryLockError::WouldBlock) => None,
            },
        }
    }
}

/// A socket of a worker. Whole cache lines: it is written for every packet, and was made by the thread that made the
/// other workers' as well.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Socket {
    /// Its place in the plan.
    pub(super) plan: SocketPlan,
    /// What went through it.
    pub(super) traffic: Traffic,
    rx: RxRing,
    tx: TxRing,
    access: Access,
    handle: SocketHandle,
    /// The first frames of a packet whose last has not come yet.
    beginning: Vec<Descriptor>,
    /// In how many frames a packet may lie.
    most_parts: usize,
    /// Whether the packet that is arriving has too many frames, and is thrown away.
    is_overlong: bool,
    /// Whether something was put into the transmit ring that the kernel may not have looked at yet.
    is_dirty: bool,
    /// Packets that the driver dropped after they were sent; read by whoever shows the kernel's losses.
    refused: Arc<CachePadded<AtomicU64>>,
    /// Frames given to the kernel, less those that came back: to receive into, and to send.
    pub(super) filling: i64,
    pub(super) sending: i64,
}

const _: () = assert!(align_of::<Socket>() >= 64, "no two sockets have bytes on one line");

/// What became of an attempt to have the kernel send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// It has looked at everything.
    Done,
    /// It has to be asked again.
    Again,
    /// The interface is down or gone: what was committed waits.
    Down,
}

impl Socket {
    pub(super) fn new(
        plan: SocketPlan,
        rx: RxRing,
        tx: TxRing,
        access: Access,
        handle: SocketHandle,
        refused: Arc<CachePadded<AtomicU64>>,
        most_parts: usize,
    ) -> Socket {
        Socket {
            plan,
            traffic: Traffic::default(),
            rx,
            tx,
            access,
            handle,
            beginning: Vec::with_capacity(MAX_PARTS),
            most_parts,
            is_overlong: false,
            is_dirty: false,
            refused,
            filling: 0,
            sending: 0,
        }
    }

    /// For waiting on.
    pub(super) fn handle(&self) -> &SocketHandle {
        &self.handle
    }

    /// Receives as many packets as fit into an empty burst.
    #[inline]
    pub(super) fn receive(&mut self, burst: &mut Burst, origin: Origin, store: &mut Store) {
        let Socket { rx, beginning, most_parts, is_overlong, filling, traffic, .. } = self;
        rx.receive(BURST, |descriptor| {
            *filling -= 1;
            let is_last = !descriptor.continues();
            if is_last && beginning.is_empty() && !*is_overlong {
                traffic.received += Volume { packets: 1, bytes: descriptor.len() as u64 };
                burst.push(descriptor, origin);
                return;
            }
            if *is_overlong || beginning.len() == *most_parts {
                *is_overlong = true;
                store.give_all(beginning.drain(..));
                store.give(descriptor.frame());
            } else {
                beginning.push(descriptor);
            }
            if is_last {
                traffic.received +=
                    Volume { packets: 1, bytes: beginning.iter().map(|part| part.len() as u64).sum() };
                if *is_overlong {
                    traffic.lost[Loss::TooLong as usize] += 1;
                } else {
                    burst.push_parts(beginning.drain(..), origin);
                }
                *is_overlong = false;
            }
        });
    }

    /// Whether packets wait to be received.
    pub(super) fn is_pending(&mut self) -> bool {
        self.plan.receives && self.rx.pending() > 0
    }

    /// Frames of a packet whose end has not come yet.
    pub(super) fn begun(&self) -> usize {
        self.beginning.len()
    }

    /// Whether `count` more frames fit into the transmit ring; if not, has the kernel make room first.
    #[inline]
    pub(super) fn has_room(&mut self, count: usize, store: &mut Store) -> bool {
        if self.tx.free() as usize >= count {
            return true;
        }
        self.make_room(store);
        self.tx.free() as usize >= count
    }

    /// Has the kernel take what it can, and takes back what it has sent.
    #[cold]
    fn make_room(&mut self, store: &mut Store) {
        self.tx.commit();
        // A failure shows again at the end of the turn, where it is dealt with.
        let _ = self.wake();
        self.reap(store);
    }

    /// Has the kernel look at the transmit ring, and counts what the driver dropped.
    fn wake(&self) -> Sending {
        match self.tx.wake() {
            Ok(Wake::Sent) => Sending::Done,
            Ok(Wake::Again) => Sending::Again,
            Ok(Wake::Dropped) => {
                self.refused.fetch_add(1, Relaxed);
                Sending::Again
            }
            // ENETDOWN, ENXIO.
            Err(_) => Sending::Down,
        }
    }

    /// Puts a frame into the transmit ring, in which [`Socket::has_room`] has seen room; gives it back if
    /// there is none.
    #[inline]
    pub(super) fn push(&mut self, descriptor: Descriptor) -> Result<(), Descriptor> {
        self.tx.push(descriptor)?;
        self.sending += 1;
        self.is_dirty = true;
        Ok(())
    }

    /// Has the kernel send what was pushed.
    #[inline]
    pub(super) fn flush(&mut self) -> Sending {
        if !self.is_dirty {
            return Sending::Done;
        }
        self.tx.commit();
        let sending = if self.tx.needs_wakeup() { self.wake() } else { Sending::Done };
        self.is_dirty = sending != Sending::Done;
        sending
    }

    /// Takes back the frames that were sent.
    #[inline]
    pub(super) fn reap(&mut self, store: &mut Store) {
        let reaped = self.access.with(|rings| rings.completion.reap(REAP, |frame| store.give(frame)));
        self.sending -= reaped.unwrap_or(0) as i64;
    }

    /// Gives the kernel frames to receive into, and has the driver look at them if it asks for that.
    #[inline]
    pub(super) fn refill(&mut self, store: &mut Store) {
        if !self.plan.receives {
            return;
        }
        let filled = self.access.with(|rings| {
            let given = fill_up(&mut rings.fill, store);
            (given, rings.fill.needs_wakeup())
        });
        if let Some((given, needs_wakeup)) = filled {
            self.filling += given;
            // Asked in every turn, not only after frames were given: a driver that ran out of them may say so
            // after it was given more.
            if needs_wakeup {
                // A failure is that of an interface that is down or gone.
                let _ = self.handle.wake_fill();
            }
        }
    }
}

fn fill_up(fill: &mut FillRing, store: &mut Store) -> i64 {
    let mut given = 0;
    let room = fill.free();
    if room < REFILL {
        return 0;
    }
    for _ in 0..room {
        let Some(frame) = store.take() else { break };
        if let Err(frame) = fill.push(frame) {
            put_back(store, frame);
            break;
        }
        given += 1;
    }
    fill.commit();
    given
}

#[cold]
fn put_back(store: &mut Store, frame: Frame) {
    store.give(frame);
}
