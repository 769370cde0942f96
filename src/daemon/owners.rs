//! Packets whose connection lives in another worker's shard: given to it, and taken from others.
//!
//! ```text
//!  a burst that came in ─► whose is each? ─┬─ own ────► judged here
//!                                          └─ other ──► ring to its worker ─► judged there, in order
//!  a datagram that is complete, its fragments with it ──┘
//! ```

use arrayvec::ArrayVec;

use super::forward::lose;
use super::frames::Store;
use super::handover::{Message, Passing, Waiting};
use super::worker::{State, Worker};
use crate::fragments::Token;
use crate::shard::{BURST, Datagram, steering_hash_of_frame};
use crate::time::Time;
use crate::view::Loss;
use crate::wire::{Frame, Link};

impl Worker {
    /// A burst of what another worker has handed over.
    pub(super) fn take_over(&mut self, from: usize, at: Time) -> usize {
        let mut taken = 0;
        while taken < BURST {
            let Some(message) = self.exchange.receive(from, self.number) else { break };
            match message {
                Message::Frame(descriptor, origin) => {
                    self.state.under_way -= 1;
                    let is_last = !descriptor.continues();
                    let State { beginnings, burst, .. } = &mut self.state;
                    beginnings[from].push(descriptor);
                    if is_last {
                        taken += 1;
                        burst.push_parts(beginnings[from].drain(..), origin);
                    }
                }
                Message::Datagram(passing) => {
                    taken += 1;
                    self.process_taken(at);
                    // What came before it goes first.
                    self.judge_last(at);
                    self.judge_passing(*passing, at);
                }
            }
        }
        self.process_taken(at);
        self.state.work.taken_over += taken as u64;
        taken
    }

    fn process_taken(&mut self, at: Time) {
        if !self.state.burst.slots.is_empty() {
            self.state.burst.gather(&self.umem);
            self.process(at);
        }
    }

    /// Gives those packets of the burst to other workers that belong to them.
    pub(super) fn hand_over_strangers(&mut self) {
        let workers = self.exchange.workers() as u32;
        let mut owners = [0_usize; BURST];
        let mut strangers = 0;
        let burst = &self.state.burst;
        for (number, slot) in burst.slots.iter().enumerate() {
            let zone = self.ports[usize::from(slot.origin.port)].zone;
            let frame = Frame::whole(burst.bytes(number, &self.umem), Link::Ethernet);
            owners[number] = (steering_hash_of_frame(&frame, zone) % workers) as usize;
            strangers += usize::from(owners[number] != self.number);
        }
        if strangers > 0 {
            self.part(&owners);
        }
    }

    /// Divides the burst: what is not this worker's goes to whom it belongs.
    fn part(&mut self, owners: &[usize; BURST]) {
        let Worker { state, exchange, plane, sockets, store, number: own, umem, .. } = self;
        let State { burst, kept, work, under_way, .. } = state;
        let mut woken: ArrayVec<usize, BURST> = ArrayVec::new();
        let mut descriptors = burst.descriptors.drain(..);
        for (slot, &owner) in burst.slots.iter().zip(owners) {
            let mut parts = descriptors.by_ref().take(slot.parts);
            if owner == *own {
                kept.push_parts(parts, slot.origin);
            } else if exchange.has_room((*own, owner), slot.parts) {
                for descriptor in parts.by_ref() {
                    *under_way += 1;
                    let message = Message::Frame(descriptor, slot.origin);
                    if let Err(message) = exchange.send((*own, owner), message) {
                        debug_assert!(false, "there was room");
                        take_back(message, store);
                    }
                }
                work.handed_over += 1;
                if !woken.contains(&owner) {
                    woken.push(owner);
                }
            } else {
                store.give_all(parts);
                lose(sockets, slot.origin, Loss::HandOverFull, 1);
            }
        }
        drop(descriptors);
        for owner in woken {
            if exchange.is_asleep(owner) {
                plane.workers[owner].wake();
            }
        }
        burst.slots.clear();
        std::mem::swap(burst, kept);
        burst.gather(umem);
    }

    /// Passes a datagram on, with the frames of its fragments.
    pub(super) fn pass_on(&mut self, owner: usize, datagram: Datagram) {
        let pieces: Vec<(Token, Waiting)> =
            datagram.pieces().iter().filter_map(|token| Some((*token, self.held.remove(*token)?))).collect();
        let frames: i64 = pieces.iter().map(|(_, waiting)| waiting.parts.count() as i64).sum();
        let count = pieces.len() as u64;
        let origin = pieces.first().map(|(_, waiting)| waiting.origin);
        let message = Message::Datagram(Box::new(Passing { datagram, pieces }));
        match self.exchange.send((self.number, owner), message) {
            Ok(()) => {
                self.state.work.handed_over += 1;
                self.state.under_way += frames;
                if self.exchange.is_asleep(owner) {
                    self.plane.workers[owner].wake();
                }
            }
            Err(message) => {
                if let Some(origin) = origin {
                    lose(&mut self.sockets, origin, Loss::HandOverFull, count);
                }
                take_back(message, &mut self.store);
            }
        }
    }

    /// Judges a datagram that another worker has put together.
    fn judge_passing(&mut self, passing: Passing, at: Time) {
        for (token, waiting) in passing.pieces {
            self.state.under_way -= waiting.parts.count() as i64;
            self.held.insert(token, waiting);
        }
        self.shard.take_over(&passing.datagram, at.tick(), at, &mut self.ears);
        self.settle();
    }
}

/// The frames of what no ring took are free again.
fn take_back(message: Message, store: &mut Store) {
    match message {
        Message::Frame(descriptor, _) => store.give(descriptor.frame()),
        Message::Datagram(passing) => {
            for (_, waiting) in passing.pieces {
                store.give_all(waiting.parts);
            }
        }
    }
}
