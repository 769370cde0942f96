//! A worker's free frames, and the frames of packets.
//!
//! ```text
//!            ┌────────── spare (one queue for all workers) ◄──────────┐
//!            ▼ when none are left             when more than it needs │
//!   free frames of a worker ──► fill ring ──► kernel ──► packet ──► transmit ring ──► kernel ─┐
//!            ▲                                                                                │
//!            └────────────────────────── completion ring, or dropped ─────────────────────────┘
//! ```
//!
//! A frame is always in exactly one of these places; [`crate::view::Frames`] counts them.

use std::sync::Arc;

use af_xdp::{Descriptor, Frame};
use crossbeam_queue::ArrayQueue;

/// More free frames than this are given to the others.
const PLENTY: usize = 4096;
/// How many are given or taken at once.
const SHARE: usize = 512;

/// The free frames of one worker.
#[derive(Debug)]
pub(super) struct Store {
    free: Vec<Frame>,
    spare: Arc<ArrayQueue<Frame>>,
}

impl Store {
    /// A store that has `free` and can have all of `spare`.
    pub(super) fn new(mut free: Vec<Frame>, spare: Arc<ArrayQueue<Frame>>) -> Store {
        // Never to grow later: no more frames than these exist.
        free.reserve(spare.capacity());
        Store { free, spare }
    }

    /// Moves to memory that the calling thread has asked for.
    pub(super) fn move_in(&mut self) {
        let mut free = Vec::with_capacity(self.free.capacity());
        free.append(&mut self.free);
        self.free = free;
    }

    /// A frame, unless not even the others have one to spare.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Frame> {
        self.free.pop().or_else(|| self.take_share())
    }

    /// A frame that is free again.
    #[inline]
    pub(super) fn give(&mut self, frame: Frame) {
        self.free.push(frame);
    }

    /// A packet's frames that are free again.
    pub(super) fn give_all(&mut self, parts: impl IntoIterator<Item = Descriptor>) {
        self.free.extend(parts.into_iter().map(Descriptor::frame));
    }

    /// Leaves to the others what is more than enough; once in a turn.
    #[inline]
    pub(super) fn share(&mut self) {
        if self.free.len() > PLENTY {
            self.give_share(self.free.len() - PLENTY + SHARE);
        }
    }

    /// Leaves everything to the others but `kept`: before a sleep, in which it would help nobody.
    pub(super) fn share_all_but(&mut self, kept: usize) {
        self.give_share(self.free.len().saturating_sub(kept));
    }

    /// How many it has.
    pub(super) fn len(&self) -> usize {
        self.free.len()
    }

    #[cold]
    fn take_share(&mut self) -> Option<Frame> {
        let spare = &self.spare;
        self.free.extend(std::iter::from_fn(|| spare.pop()).take(SHARE));
        self.free.pop()
    }

    #[cold]
    fn give_share(&mut self, count: usize) {
        let rest = self.free.len().saturating_sub(count);
        for frame in self.free.drain(rest..) {
            // It has room for every frame there is.
            let _ = self.spare.push(frame);
        }
    }
}

/// The frames of one packet, where it must be kept beyond a burst.
#[derive(Debug)]
pub(super) enum Parts {
    /// Nearly every packet's.
    One(Descriptor),
    /// A jumbo packet's, in order.
    Many(Box<[Descriptor]>),
}

impl Parts {
    /// The next `count` of `descriptors`, at least one.
    pub(super) fn collect(descriptors: &mut impl Iterator<Item = Descriptor>, count: usize) -> Option<Parts> {
        if count == 1 {
            descriptors.next().map(Parts::One)
        } else {
            Some(Parts::Many(descriptors.take(count).collect()))
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Parts::One(_) => 1,
            Parts::Many(parts) => parts.len(),
        }
    }
}

impl IntoIterator for Parts {
    type Item = Descriptor;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Descriptor>, std::vec::IntoIter<Descriptor>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Parts::One(part) => (Some(part), Vec::new()),
            Parts::Many(parts) => (None, Vec::from(parts)),
        };
        one.into_iter().chain(many)
    }
}

#[cfg(test)]
mod tests {
    use af_xdp::{Umem, UmemOptions};

    use super::*;

    fn frames(count: u32) -> impl Iterator<Item = Frame> {
        let options = UmemOptions { frames: count, frame_size: 2048, ..UmemOptions::default() };
        Umem::new(&options).unwrap().1
    }

    #[test]
    fn a_worker_without_frames_takes_what_others_can_spare_and_gives_back_what_is_too_much() {
        let total = PLENTY + 3 * SHARE;
        let spare = Arc::new(ArrayQueue::new(total));
        for frame in frames(total as u32) {
            spare.push(frame).unwrap();
        }
        let mut store = Store::new(Vec::new(), Arc::clone(&spare));
        let taken: Vec<Frame> = std::iter::from_fn(|| store.take()).collect();
        assert_eq!((taken.len(), spare.len()), (total, 0), "every frame there is, and then none");
        taken.into_iter().for_each(|frame| store.give(frame));
        store.share();
        assert_eq!((store.len(), spare.len()), (PLENTY - SHARE, total - PLENTY + SHARE));
        store.share();
        assert_eq!(store.len(), PLENTY - SHARE, "it is not too much any more");
        store.share_all_but(10);
        assert_eq!((store.len(), spare.len()), (10, total - 10));
    }

    #[test]
    fn a_packets_frames_stay_together_and_in_order() {
        let mut frames = frames(4);
        let mut descriptors =
            (1..=4).map(|length| Descriptor::new(frames.next().unwrap(), 256, length).unwrap());
        let one = Parts::collect(&mut descriptors, 1).unwrap();
        let many = Parts::collect(&mut descriptors, 3).unwrap();
        assert_eq!((one.count(), many.count()), (1, 3));
        let lengths: Vec<usize> = many.into_iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [2, 3, 4]);
        assert!(Parts::collect(&mut descriptors, 1).is_none());
    }
}
