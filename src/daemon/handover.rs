//! From worker to worker: packets, and complete datagrams, whose connection lives in another shard.
//!
//! ```text
//!              to 0   to 1   to 2
//!   from 0      -    [::::]  [::  ]     one bounded ring for each pair, one worker at each end:
//!   from 1    [:   ]   -     [    ]     what one worker puts in comes out in that order
//!   from 2    [    ] [::: ]    -
//! ```
//!
//! Frames go with their packets: the UMEM is one for all workers. A full ring loses the packet, counted
//! (`hand_over_full`). The rings are lock-free: an end may spin for a moment while the other one is in the
//! middle of its step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use af_xdp::Descriptor;
use crossbeam_queue::ArrayQueue;

use super::burst::Origin;
use super::frames::Parts;
use crate::fragments::Token;
use crate::shard::Datagram;

/// How many frames a ring holds.
pub(super) const CAPACITY: usize = 1024;

/// What goes through a ring.
#[derive(Debug)]
pub(super) enum Message {
    /// A frame of a packet; those of one packet follow each other, as they do in a receive ring.
    Frame(Descriptor, Origin),
    /// A datagram and its fragments.
    Datagram(Box<Passing>),
}

/// A complete datagram on its way, with the frames it came in.
#[derive(Debug)]
pub(super) struct Passing {
    /// What its owner has to judge.
    pub(super) datagram: Datagram,
    /// Its fragments, in the order in which they came.
    pub(super) pieces: Vec<(Token, Waiting)>,
}

/// A fragment that waits for its verdict.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its frames.
    pub(super) parts: Parts,
    /// Where it came in.
    pub(super) origin: Origin,
}

/// The rings between all workers, and who sleeps.
#[derive(Debug)]
pub(super) struct Exchange {
    /// `rings[from][to]`; the diagonal is never used.
    rings: Vec<Vec<ArrayQueue<Message>>>,
    asleep: Vec<AtomicBool>,
    /// How many workers take no more packets in.
    arrived: AtomicUsize,
}

impl Exchange {
    /// The rings for so many workers.
    pub(super) fn new(workers: usize) -> Arc<Exchange> {
        let capacity = |from: usize, to: usize| if from == to { 1 } else { CAPACITY };
        let row = |from| (0..workers).map(|to| ArrayQueue::new(capacity(from, to))).collect();
        Arc::new(Exchange {
            rings: (0..workers).map(row).collect(),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            arrived: AtomicUsize::new(0),
        })
    }

    /// Whether so many frames fit into the ring. Only worker `from` may ask: nobody else can take away the
    /// room that it has seen.
    pub(super) fn has_room(&self, (from, to): (usize, usize), frames: usize) -> bool {
        let ring = &self.rings[from][to];
        ring.capacity() - ring.len() >= frames
    }

    /// Puts a frame into the ring, in which there must be room; gives it back where there is none.
    pub(super) fn send(
        &self,
        (from, to): (usize, usize),
        descriptor: Descriptor,
        origin: Origin,
    ) -> Result<(), Descriptor> {
        match self.rings[from][to].push(Message::Frame(descriptor, origin)) {
            Err(Message::Frame(descriptor, _)) => Err(descriptor),
            Ok(()) | Err(Message::Datagram(_)) => Ok(()),
        }
    }

    /// Puts a datagram into the ring; gives it back where that is full.
    pub(super) fn send_datagram(
        &self,
        (from, to): (usize, usize),
        passing: Box<Passing>,
    ) -> Result<(), Box<Passing>> {
        match self.rings[from][to].push(Message::Datagram(passing)) {
            Err(Message::Datagram(passing)) => Err(passing),
            Ok(()) | Err(Message::Frame(..)) => Ok(()),
        }
    }

    /// The next message from worker `from` to worker `to`.
    #[inline]
    pub(super) fn receive(&self, from: usize, to: usize) -> Option<Message> {
        self.rings[from][to].pop()
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.asleep.len()
    }

    /// Whether anything waits for worker `to`.
    pub(super) fn is_pending(&self, to: usize) -> bool {
        self.rings.iter().enumerate().any(|(from, row)| from != to && !row[to].is_empty())
    }

    /// Worker `to` says that it is about to sleep, and must look once more at everything after this: either
    /// it sees what another one has just put in, or that one sees that it sleeps.
    pub(super) fn fall_asleep(&self, to: usize) {
        self.asleep[to].store(true, SeqCst);
    }

    /// It is awake.
    pub(super) fn wake_up(&self, to: usize) {
        self.asleep[to].store(false, SeqCst);
    }

    /// A worker that ends says that it hands nothing over any more.
    pub(super) fn arrive(&self) {
        self.arrived.fetch_add(1, SeqCst);
    }

    /// Whether all have said so: what is in the rings then is all that will be.
    pub(super) fn have_all_arrived(&self) -> bool {
        self.arrived.load(SeqCst) >= self.workers()
    }

    /// Whether worker `to` sleeps, to be asked after something was put in for it: then it has to be woken.
    pub(super) fn is_asleep(&self, to: usize) -> bool {
        std::sync::atomic::fence(SeqCst);
        self.asleep[to].load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use af_xdp::{Frame, Umem, UmemOptions};

    use super::*;

    const ORIGIN: Origin = Origin { port: 0, queue: 0 };

    fn frames(count: u32) -> Vec<Frame> {
        let options = UmemOptions { frames: count, frame_size: 2048, ..UmemOptions::default() };
        let (_umem, frames) = Umem::new(&options).unwrap();
        frames.collect()
    }

    fn descriptor(frame: Frame) -> Descriptor {
        Descriptor::new(frame, 256, 60).unwrap()
    }

    fn received(exchange: &Exchange, from: usize, to: usize) -> Option<u32> {
        match exchange.receive(from, to)? {
            Message::Frame(descriptor, _) => Some(descriptor.frame().index()),
            Message::Datagram(_) => panic!("nobody sent one"),
        }
    }

    #[test]
    fn what_one_worker_puts_in_comes_out_in_that_order_and_at_one_worker_only() {
        let exchange = Exchange::new(3);
        let sent: Vec<u32> = frames(5)
            .into_iter()
            .map(|frame| {
                let index = frame.index();
                exchange.send((0, 1), descriptor(frame), ORIGIN).unwrap();
                index
            })
            .collect();
        assert!(exchange.is_pending(1) && !exchange.is_pending(0) && !exchange.is_pending(2));
        assert_eq!(received(&exchange, 2, 1), None, "another pair's ring");
        let got: Vec<u32> = std::iter::from_fn(|| received(&exchange, 0, 1)).collect();
        assert_eq!(got, sent);
        assert!(!exchange.is_pending(1));
    }

    #[test]
    fn a_full_ring_says_so_and_gives_the_frame_back() {
        let exchange = Exchange::new(2);
        let mut all = frames(CAPACITY as u32 + 1);
        let last = all.pop().unwrap();
        for frame in all {
            assert!(exchange.has_room((0, 1), 1));
            exchange.send((0, 1), descriptor(frame), ORIGIN).unwrap();
        }
        assert!(!exchange.has_room((0, 1), 1) && exchange.has_room((1, 0), CAPACITY));
        let back = exchange.send((0, 1), descriptor(last), ORIGIN).unwrap_err();
        assert_eq!(back.len(), 60);
        received(&exchange, 0, 1).unwrap();
        assert!(exchange.has_room((0, 1), 1) && !exchange.has_room((0, 1), 2));
    }

    #[test]
    fn who_sleeps_can_be_seen_until_it_wakes() {
        let exchange = Exchange::new(2);
        assert!(!exchange.is_asleep(1));
        exchange.fall_asleep(1);
        assert!(exchange.is_asleep(1) && !exchange.is_asleep(0));
        exchange.wake_up(1);
        assert!(!exchange.is_asleep(1));
    }
}
