//! One side of a ring.
//!
//! ```text
//!              consumer                    producer
//!                 ▼                           ▼
//!  ┄┄┄┬────┬────┬────┬────┬────┬────┬────┬────┬────┬┄┄┄     indexes count for ever, modulo 2³²;
//!     │ free    │ full, the consumer's to take │ free       a slot is index modulo size
//!  ┄┄┄┴────┴────┴────┴────┴────┴────┴────┴────┴────┴┄┄┄
//!                 └──── ready for a consumer ─┘
//!                                             └─ ready for a producer, up to consumer + size ─▶
//! ```
//!
//! The four rings of AF_XDP are alike: each side owns one index and reads the other's. In two of them (TX,
//! fill) the program produces and the kernel consumes, in two (RX, completion) it is the other way round. So
//! one [`Cursor`] does for all; its [`Side`] says which index is its own and how far that may go.
//!
//! Life cycle of a burst: [`ready`](Cursor::ready) says how many slots may be used, [`slot`](Cursor::slot)
//! and [`advance`](Cursor::advance) use one after the other, [`publish`](Cursor::publish) shows the other
//! side, once. Each cursor belongs to one thread at a time (`&mut self`).
//!
//! Ordering: `publish` stores the own index with Release, `ready` loads the other with Acquire. So what a
//! producer wrote into a slot is there before the consumer sees the slot as full, and what a consumer read
//! from it was read before the producer sees it as free.

use std::marker::PhantomData;

use crate::memory::{RingMemory, Slot};
use crate::sync::{AtomicU32, Ordering, fence};

/// Which of the two sides of a ring a cursor is.
pub(crate) trait Side {
    /// How many slots ahead of the other's index the own index may stand in a ring of `size`.
    fn lead(size: u32) -> u32;
    /// The index that this side writes.
    fn own<S: Slot>(memory: &RingMemory<S>) -> &AtomicU32;
    /// The index that the other side writes.
    fn other<S: Slot>(memory: &RingMemory<S>) -> &AtomicU32;
}

/// The side that puts entries into the ring.
#[derive(Debug)]
pub(crate) enum Producing {}

impl Side for Producing {
    #[inline]
    fn lead(size: u32) -> u32 {
        size
    }

    #[inline]
    fn own<S: Slot>(memory: &RingMemory<S>) -> &AtomicU32 {
        memory.producer()
    }

    #[inline]
    fn other<S: Slot>(memory: &RingMemory<S>) -> &AtomicU32 {
        memory.consumer()
    }
}

/// The side that takes entries out of the ring.
#[derive(Debug)]
pub(crate) enum Consuming {}

impl Side for Consuming {
    #[inline]
    fn lead(_size: u32) -> u32 {
        0
    }

    #[inline]
    fn own<S: Slot>(memory: &RingMemory<S>) -> &AtomicU32 {
        memory.consumer()
    }

    #[inline]
    fn other<S: Slot>(memory: &RingMemory<S>) -> &AtomicU32 {
        memory.producer()
    }
}

/// One side of a ring; see the top of this file.
#[derive(Debug)]
pub(crate) struct Cursor<S, D> {
    memory: RingMemory<S>,
    /// The index of the next slot to use. The other side has seen it up to the last `publish`.
    next: u32,
    /// The index of the first slot that may not be used, as far as has been seen.
    limit: u32,
    side: PhantomData<D>,
}

pub(crate) type Producer<S> = Cursor<S, Producing>;
pub(crate) type Consumer<S> = Cursor<S, Consuming>;

impl<S: Slot, D: Side> Cursor<S, D> {
    /// A cursor that goes on where the ring's own index stands.
    pub(crate) fn new(memory: RingMemory<S>) -> Cursor<S, D> {
        // Relaxed: nobody else writes this side's index.
        let next = D::own(&memory).load(Ordering::Relaxed);
        Cursor { memory, next, limit: next, side: PhantomData }
    }

    /// How many slots may be used, at most `wanted`. Asks the other side only if it must.
    #[inline]
    pub(crate) fn ready(&mut self, wanted: u32) -> u32 {
        let mut ready = self.limit.wrapping_sub(self.next);
        if ready < wanted {
            // Acquire: pairs with the other side's `publish`.
            let other = D::other(&self.memory).load(Ordering::Acquire);
            self.limit = other.wrapping_add(D::lead(self.memory.size()));
            // An index that makes no sense must not make us go round the ring more than once.
            ready = self.limit.wrapping_sub(self.next).min(self.memory.size());
            self.limit = self.next.wrapping_add(ready);
        }
        ready.min(wanted)
    }

    /// How many slots may be used, asking the other side.
    #[inline]
    pub(crate) fn all_ready(&mut self) -> u32 {
        self.ready(u32::MAX)
    }

    /// The next slot; [`ready`](Cursor::ready) must have said that there is one. Otherwise it is some slot
    /// of the ring, with values that may change.
    #[inline]
    pub(crate) fn slot(&self) -> &S {
        self.memory.slot(self.next)
    }

    /// Goes on to the slot after this.
    #[inline]
    pub(crate) fn advance(&mut self) {
        debug_assert!(self.next != self.limit, "a slot was used that was not ready");
        self.next = self.next.wrapping_add(1);
    }

    /// Shows the other side how far this one is.
    #[inline]
    pub(crate) fn publish(&self) {
        // Release: pairs with the other side's Acquire in `ready`.
        D::own(&self.memory).store(self.next, Ordering::Release);
    }

    /// Whether the kernel has asked for a system call before it looks at the ring again.
    #[inline]
    pub(crate) fn needs_wakeup(&self) -> bool {
        // The kernel sets the flag and then looks at the index once more; we have written the index and now
        // look at the flag. The fence keeps our two in that order, or both might miss each other's news.
        fence(Ordering::SeqCst);
        self.memory.flags().load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}
