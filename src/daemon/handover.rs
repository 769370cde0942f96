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
use crossbeam_utils::CachePadded;

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

/// The rings between all workers, and who sleeps. `M` is what goes through them: a worker's `Message`.
///
/// For workers, and for the benchmark that tells what handing over costs.
#[derive(Debug)]
pub struct Exchange<M> {
    /// `rings[from][to]`; the diagonal is never used. Each has its own two lines, one written by either end.
    rings: Vec<Vec<ArrayQueue<M>>>,
    /// Each on a line of its own: its worker writes it with every sleep, and those that hand over to it read it.
    asleep: Vec<CachePadded<AtomicBool>>,
    /// How many workers take no more packets in.
    arrived: CachePadded<AtomicUsize>,
}

impl<M> Exchange<M> {
    /// The rings for so many workers.
    pub fn new(workers: usize) -> Arc<Exchange<M>> {
        let capacity = |from: usize, to: usize| if from == to { 1 } else { CAPACITY };
        let row = |from| (0..workers).map(|to| ArrayQueue::new(capacity(from, to))).collect();
        Arc::new(Exchange {
            rings: (0..workers).map(row).collect(),
            asleep: (0..workers).map(|_| CachePadded::default()).collect(),
            arrived: CachePadded::default(),
        })
    }

    /// Whether so many frames fit into the ring. Only worker `from` may ask: nobody else can take away the
    /// room that it has seen.
    #[inline]
    pub fn has_room(&self, (from, to): (usize, usize), frames: usize) -> bool {
        let ring = &self.rings[from][to];
        ring.capacity() - ring.len() >= frames
    }

    /// Puts a message into the ring.
    ///
    /// # Errors
    /// The ring is full: gives the message back.
    #[inline]
    pub fn send(&self, (from, to): (usize, usize), message: M) -> Result<(), M> {
        self.rings[from][to].push(message)
    }

    /// The next message from worker `from` to worker `to`.
    #[inline]
    pub fn receive(&self, from: usize, to: usize) -> Option<M> {
        self.rings[from][to].pop()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.asleep.len()
    }

    /// Whether anything waits for worker `to`.
    pub fn is_pending(&self, to: usize) -> bool {
        self.rings.iter().enumerate().any(|(from, row)| from != to && !row[to].is_empty())
    }

    /// Worker `to` says that it is about to sleep, and must look once more at everything after this: either
    /// it sees what another one has just put in, or that one sees that it sleeps.
    pub fn fall_asleep(&self, to: usize) {
        self.asleep[to].store(true, SeqCst);
    }

    /// It is awake.
    pub fn wake_up(&self, to: usize) {
        self.asleep[to].store(false, SeqCst);
    }

    /// A worker that ends says that it hands nothing over any more.
    pub fn arrive(&self) {
        self.arrived.fetch_add(1, SeqCst);
    }

    /// Whether all have said so: what is in the rings then is all that will be.
    pub fn have_all_arrived(&self) -> bool {
        self.arrived.load(SeqCst) >= self.workers()
    }

    /// Whether worker `to` sleeps, to be asked after something was put in for it: then it has to be woken.
    pub fn is_asleep(&self, to: usize) -> bool {
        std::sync::atomic::fence(SeqCst);
        self.asleep[to].load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::Thread;
    use std::time::Duration;

    use af_xdp::{Frame, Umem, UmemOptions};

    use super::*;
    use crate::time::SystemClock;

    const ORIGIN: Origin = Origin { port: 0, queue: 0 };

    fn frames(count: u32) -> Vec<Frame> {
        let options = UmemOptions { frames: count, frame_size: 2048, ..UmemOptions::default() };
        let (_umem, frames) = Umem::new(&options).unwrap();
        frames.collect()
    }

    fn descriptor(frame: Frame) -> Descriptor {
        Descriptor::new(frame, 256, 60).unwrap()
    }

    fn packet(frame: Frame) -> Message {
        Message::Frame(descriptor(frame), ORIGIN)
    }

    fn received(exchange: &Exchange<Message>, from: usize, to: usize) -> Option<u32> {
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
                exchange.send((0, 1), packet(frame)).unwrap();
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
            exchange.send((0, 1), packet(frame)).unwrap();
        }
        assert!(!exchange.has_room((0, 1), 1) && exchange.has_room((1, 0), CAPACITY));
        let back = exchange.send((0, 1), packet(last)).unwrap_err();
        assert!(matches!(back, Message::Frame(descriptor, _) if descriptor.len() == 60));
        received(&exchange, 0, 1).unwrap();
        assert!(exchange.has_room((0, 1), 1) && !exchange.has_room((0, 1), 2));
    }

    #[test]
    fn no_two_rings_and_no_two_sleepers_have_bytes_on_one_line() {
        let exchange = Exchange::<Message>::new(3);
        let line = |address: usize| address / 64;
        let rings = exchange.rings.iter().flatten().map(|ring| std::ptr::from_ref(ring).addr());
        let rings: Vec<usize> =
            rings.flat_map(|at| [at, at + size_of::<ArrayQueue<Message>>() - 1]).collect();
        assert!(rings.chunks(2).zip(rings.chunks(2).skip(1)).all(|(a, b)| line(a[1]) != line(b[0])));
        let asleep: Vec<usize> =
            exchange.asleep.iter().map(|flag| line(std::ptr::from_ref(flag).addr())).collect();
        assert!(asleep.windows(2).all(|pair| pair[0] != pair[1]), "{asleep:?}");
    }

    #[test]
    fn who_sleeps_can_be_seen_until_it_wakes() {
        let exchange = Exchange::<Message>::new(2);
        assert!(!exchange.is_asleep(1));
        exchange.fall_asleep(1);
        assert!(exchange.is_asleep(1) && !exchange.is_asleep(0));
        exchange.wake_up(1);
        assert!(!exchange.is_asleep(1));
    }

    const PACKETS: u64 = 20_000;

    /// A worker that numbers packets for the other one, checks what comes from it, and sleeps when there is nothing.
    /// Every frame that it gets it fills again, so that the bytes of each go back and forth.
    fn work(number: usize, exchange: &Exchange<Message>, umem: &Umem, frames: Vec<Frame>, other: &Thread) {
        let mut free: Vec<Descriptor> = frames.into_iter().map(descriptor).collect();
        let (mut sent, mut received) = (0_u64, 0_u64);
        while sent < PACKETS || received < PACKETS {
            let before = sent + received;
            while let Some(mut descriptor) = free.pop_if(|_| sent < PACKETS) {
                umem.bytes_mut(&mut descriptor)[..8].copy_from_slice(&sent.to_be_bytes());
                exchange.send((number, 1 - number), Message::Frame(descriptor, ORIGIN)).unwrap();
                sent += 1;
            }
            if exchange.is_asleep(1 - number) {
                other.unpark();
            }
            while let Some(Message::Frame(descriptor, _)) = exchange.receive(1 - number, number) {
                assert_eq!(umem.bytes(&descriptor)[..8], received.to_be_bytes(), "whole, and in order");
                free.push(descriptor);
                received += 1;
            }
            if sent + received == before {
                exchange.fall_asleep(number);
                if !exchange.is_pending(number) {
                    let clock = SystemClock::new();
                    std::thread::park_timeout(Duration::from_secs(60));
                    assert!(clock.now().seconds() < 60.0, "nobody woke worker {number}");
                }
                exchange.wake_up(number);
            }
        }
    }

    /// Bounded in work: each hands over so many packets, however the threads meet.
    #[test]
    fn two_workers_that_hand_over_to_each_other_and_sleep_lose_nothing_and_no_wake_up() {
        let exchange = Exchange::new(2);
        let options = UmemOptions { frames: 64, frame_size: 2048, ..UmemOptions::default() };
        let (umem, mut all) = Umem::new(&options).unwrap();
        let (first, second) = (all.by_ref().take(32).collect(), all.collect());
        std::thread::scope(|scope| {
            let one = std::thread::current();
            let (exchange, umem) = (&exchange, &umem);
            let two = scope.spawn(move || work(1, exchange, umem, second, &one));
            work(0, exchange, umem, first, two.thread());
        });
    }
}
