//! Every interleaving of a ring's two sides, and of the threads that hand a frame to each other. Run with
//! `RUSTFLAGS="--cfg loom"`, in release.

use std::sync::Arc;

use ::loom::cell::UnsafeCell;
use ::loom::{model, thread};

use super::{put, raw, take, umem};
use crate::cursor::{Consumer, Cursor, Producer};
use crate::memory::{DescriptorSlot, RingMemory, Slot};
use crate::sync::AtomicU64;

/// A ring of two slots and three entries, so that slots are used again, across the end of the indexes.
#[test]
fn loom_entries_cross_in_order() {
    model(|| {
        let (producing, consuming) = RingMemory::<DescriptorSlot>::plain(2, u32::MAX);
        let mut producer: Producer<_> = Cursor::new(producing);
        let mut consumer: Consumer<_> = Cursor::new(consuming);
        let other = thread::spawn(move || {
            for number in 1..=3 {
                while !put(&mut producer, raw(number, number as u32)) {
                    thread::yield_now();
                }
            }
        });
        for number in 1..=3 {
            let entry = loop {
                match take(&mut consumer) {
                    Some(entry) => break entry,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(entry, raw(number, number as u32));
        }
        other.join().expect("no panic");
        assert_eq!(take(&mut consumer), None);
    });
}

/// A burst is seen whole or not at all.
#[test]
fn loom_a_burst_is_published_at_once() {
    model(|| {
        let (producing, consuming) = RingMemory::<AtomicU64>::plain(4, u32::MAX - 1);
        let mut producer: Producer<_> = Cursor::new(producing);
        let mut consumer: Consumer<_> = Cursor::new(consuming);
        let other = thread::spawn(move || {
            assert_eq!(producer.ready(3), 3);
            for number in 1..=3 {
                producer.slot().put(number);
                producer.advance();
            }
            producer.publish();
        });
        let seen: Vec<_> = std::iter::from_fn(|| take(&mut consumer)).collect();
        assert!(seen.is_empty() || seen == [1, 2, 3], "{seen:?}");
        other.join().expect("no panic");
    });
}

/// Two rings claim to give back the same frame: one of them gets it.
#[test]
fn loom_a_frame_offered_twice_is_given_once() {
    model(|| {
        let (umem, mut frames) = umem(1, false);
        let frame = frames.next().expect("a frame");
        let index = u64::from(umem.area().surrender(frame));
        let other = umem.clone();
        let there = thread::spawn(move || other.area().claim(index).is_some());
        let here = umem.area().claim(index).is_some();
        let there = there.join().expect("no panic");
        assert!(here != there, "here {here}, there {there}");
    });
}

/// What one thread did to a frame before it gave it away is seen by the thread that gets it back.
#[test]
#[expect(clippy::arc_with_non_send_sync, reason = "loom finds out whether it is shared rightly")]
fn loom_bytes_go_with_their_frame() {
    model(|| {
        let (umem, mut frames) = umem(1, false);
        let frame = frames.next().expect("a frame");
        let index = u64::from(frame.index());
        // Stands for the frame's bytes, which loom does not watch.
        let bytes = Arc::new(UnsafeCell::new(0));
        let (writer, there) = (Arc::clone(&bytes), umem.clone());
        let other = thread::spawn(move || {
            writer.with_mut(|_| ());
            there.area().surrender(frame);
        });
        if umem.area().claim(index).is_some() {
            bytes.with_mut(|_| ());
        }
        other.join().expect("no panic");
    });
}
