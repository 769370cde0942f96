//! What each part does, by example.

use std::collections::VecDeque;

use super::rings::rings;
use super::{put, raw, take, umem};
use crate::cursor::Cursor;
use crate::memory::{DescriptorSlot, RawDescriptor, RingMemory};
use crate::ring::Context;
use crate::{
    CompletionRing, Descriptor, FillRing, Frame, Frames, OutOfFrame, RxRing, TxRing, Umem, UmemOptions,
};

/// Indexes near their end, in the middle, and at the start: nothing depends on where they are.
const STARTS: [u32; 3] = [0, 0x7fff_fffe, u32::MAX - 2];

#[test]
fn a_full_ring_gives_back_what_is_pushed() {
    for first in STARTS {
        let (umem, mut frames) = umem(8, false);
        let (mut program, mut kernel) = rings(&umem, 4, first);
        for free in (1..=4).rev() {
            assert_eq!(program.fill.free(), free);
            program.fill.push(frames.next().expect("a frame")).expect("room");
        }
        let rejected = program.fill.push(frames.next().expect("a frame")).expect_err("it is full");
        assert_eq!(rejected.index(), 4);
        assert_eq!(umem.frames_with_kernel(), 4, "a rejected frame is still the program's");

        assert_eq!(take(&mut kernel.fill), None, "nothing is seen before the commit");
        program.fill.commit();
        assert_eq!(take(&mut kernel.fill), Some(0));
        assert_eq!(program.fill.free(), 1);
        program.fill.push(rejected).expect("room again");
        program.fill.commit();
        let seen: Vec<_> = std::iter::from_fn(|| take(&mut kernel.fill)).collect();
        assert_eq!(seen, [2048, 2 * 2048, 3 * 2048, 4 * 2048]);
    }
}

#[test]
fn an_empty_ring_gives_nothing() {
    for first in STARTS {
        let (umem, frames) = umem(4, false);
        let (mut program, mut kernel) = rings(&umem, 4, first);
        assert_eq!(program.rx.receive(9, |_| panic!("there is nothing")), 0);
        assert_eq!(program.completion.reap(9, |_| panic!("there is nothing")), 0);
        assert_eq!((program.rx.pending(), program.completion.pending()), (0, 0));
        frames.for_each(|frame| program.fill.push(frame).expect("room"));
        program.fill.commit();
        put(&mut kernel.rx, raw(256, 60));
        assert_eq!(program.rx.pending(), 1);
        assert_eq!(program.rx.receive(0, |_| panic!("none was asked for")), 0);
        assert_eq!(program.rx.receive(9, drop), 1);
        assert_eq!(program.rx.receive(9, |_| panic!("there is no more")), 0);
    }
}

/// More entries than a ring has slots go through each ring, in order, across the end of the indexes.
#[test]
fn order_is_kept_around_the_ring() {
    for first in STARTS {
        let (umem, frames) = umem(3, false);
        let mut spare: VecDeque<Frame> = frames.collect();
        let (mut program, mut kernel) = rings(&umem, 4, first);
        for round in 0..10_u32 {
            let burst = round % 3 + 1;
            let numbers: Vec<_> = spare.iter().take(burst as usize).map(Frame::index).collect();
            for mut frame in spare.drain(..burst as usize) {
                umem.whole_frame_mut(&mut frame)[100] = frame.index() as u8;
                program.tx.push(Descriptor::new(frame, 100, 7).expect("it fits")).expect("room");
            }
            program.tx.commit();
            for &number in &numbers {
                let got = take(&mut kernel.tx).expect("a packet");
                assert_eq!(got, raw(u64::from(number) * 2048 + 100, 7));
                assert!(put(&mut kernel.completion, got.address));
            }
            assert_eq!(program.completion.reap(9, |frame| spare.push_back(frame)), numbers.len());
            let back: Vec<_> = spare.iter().skip(3 - numbers.len()).map(Frame::index).collect();
            assert_eq!(back, numbers);
        }
    }
}

/// A consumer that is asked for a few takes the few, and the producer gets just their room.
#[test]
fn a_burst_is_no_longer_than_asked_for() {
    let (umem, frames) = umem(4, false);
    let (mut program, mut kernel) = rings(&umem, 4, u32::MAX);
    frames.for_each(|frame| program.fill.push(frame).expect("room"));
    for index in 0..4 {
        assert!(put(&mut kernel.rx, raw(index * 2048, 1)));
    }
    assert!(!put(&mut kernel.rx, raw(0, 1)), "it is full");
    let mut got = Vec::new();
    assert_eq!(program.rx.receive(3, |packet| got.push(packet.frame().index())), 3);
    assert_eq!((got, kernel.rx.all_ready(), program.rx.pending()), (vec![0, 1, 2], 3, 1));
}

/// What the kernel must not say it says here: none of it becomes a frame, and all of it is counted.
#[test]
fn senseless_descriptors_are_counted_and_not_handed_out() {
    let (umem, frames) = umem(4, false);
    let mut spare: Vec<Frame> = frames.collect();
    let (mut program, mut kernel) = rings(&umem, 16, 0);
    for frame in spare.drain(1..) {
        program.fill.push(frame).expect("room");
    }
    program.fill.commit();
    let senseless = [
        raw(4 * 2048, 60),           // behind the UMEM
        raw(u64::MAX, 60),           // far behind it
        raw(1 << 43, 60),            // a frame number that is 0 in its low 32 bits
        raw(2048 + 256, 2048 - 255), // one byte more than the frame has
        raw(2048, u32::MAX),         // no frame is as long
        raw(2048 + 256, 0),          // no byte
        raw(0, 60),                  // the program's own frame
    ];
    for descriptor in senseless {
        assert!(put(&mut kernel.rx, descriptor));
    }
    assert!(put(&mut kernel.rx, raw(2048 + 256, 2048 - 256)));
    assert!(put(&mut kernel.rx, raw(2048 + 256, 60)), "the same once more");
    let mut got = Vec::new();
    assert_eq!(program.rx.receive(100, |packet| got.push(packet)), 1);
    assert_eq!(program.rx.invalid(), senseless.len() as u64 + 1);
    assert_eq!((got[0].offset(), got[0].len(), umem.bytes(&got[0]).len()), (256, 1792, 1792));
    assert_eq!(kernel.rx.all_ready(), 16, "they have left the ring");

    for address in [4 * 2048, u64::MAX, 1 << 43, 0, 2048] {
        assert!(put(&mut kernel.completion, address));
    }
    assert!(put(&mut kernel.completion, 2 * 2048 + 2047));
    let mut reaped = Vec::new();
    assert_eq!(program.completion.reap(100, |frame| reaped.push(frame.index())), 1);
    assert_eq!((reaped, program.completion.invalid()), (vec![2], 5));
    assert_eq!(umem.frames_with_kernel(), 1);
}

/// An index that no sane kernel writes makes a burst of one ring at most, of which nothing is valid.
#[test]
fn a_wild_index_stays_inside_the_ring() {
    let (umem, _frames) = umem(4, false);
    let (rx, wild) = RingMemory::<DescriptorSlot>::plain(4, 0);
    let mut ring = RxRing::new(Cursor::new(rx), Context { socket: None, umem: umem.clone() });
    wild.producer().store(1000, std::sync::atomic::Ordering::Release);
    assert_eq!(ring.receive(usize::MAX, |_| panic!("there is nothing")), 0);
    assert_eq!(ring.invalid(), 4);
    let (tx, wild) = RingMemory::<DescriptorSlot>::plain(4, 0);
    let mut ring = TxRing::new(Cursor::new(tx), Context { socket: None, umem });
    wild.consumer().store(1000, std::sync::atomic::Ordering::Release);
    assert_eq!(ring.free(), 4);
}

/// A panic in the caller's closure loses the frame that it was given and no other.
#[test]
fn a_panicking_closure_does_not_repeat_a_frame() {
    let (umem, frames) = umem(4, false);
    let (mut program, mut kernel) = rings(&umem, 4, 0);
    frames.for_each(|frame| program.fill.push(frame).expect("room"));
    for index in 0..4 {
        put(&mut kernel.rx, raw(index * 2048, 1));
    }
    let receive = std::panic::AssertUnwindSafe(|| {
        program.rx.receive(4, |packet| {
            assert_ne!(packet.frame().index(), 1, "on purpose");
        })
    });
    std::panic::catch_unwind(receive).expect_err("it panics");
    let mut got = Vec::new();
    program.rx.receive(4, |packet| got.push(packet.frame().index()));
    assert_eq!((got, program.rx.invalid()), (vec![2, 3], 0));
    assert_eq!(kernel.rx.all_ready(), 4);
}

#[test]
fn frames_come_once_and_their_bytes_are_apart() {
    let (umem, frames) = umem(5, false);
    assert_eq!(frames.len(), 5);
    let mut all: Vec<Frame> = frames.collect();
    for frame in &mut all {
        let number = frame.index() as u8;
        umem.whole_frame_mut(frame).fill(number);
    }
    for (number, frame) in all.into_iter().enumerate() {
        assert_eq!(frame.index() as usize, number);
        let packet = Descriptor::new(frame, 0, 2048).expect("it fits");
        assert!(umem.bytes(&packet).iter().all(|&byte| usize::from(byte) == number));
    }
    assert_eq!((umem.frames(), umem.frame_size(), umem.least_offset()), (5, 2048, 0));
}

#[test]
fn a_descriptor_stays_inside_its_frame() {
    let (umem, mut frames) = umem(1, false);
    let mut frame = frames.next().expect("a frame");
    for (offset, length) in [(0, 2049), (2048, 1), (1, 2048), (0, 0), (usize::MAX, 2), (2, usize::MAX)] {
        frame = Descriptor::new(frame, offset, length).expect_err("outside");
    }
    let mut packet = Descriptor::new(frame, 48, 2000).expect("inside");
    assert_eq!(packet.set_len(2001), Err(OutOfFrame));
    assert_eq!(packet.set_len(0), Err(OutOfFrame));
    assert_eq!(packet.set_range(2048, 0), Err(OutOfFrame));
    assert_eq!((packet.offset(), packet.len()), (48, 2000), "a refused change changes nothing");
    packet.set_range(34, 2014).expect("inside");
    umem.bytes_mut(&mut packet)[2013] = 9;
    assert_eq!(umem.whole_frame_mut(&mut packet.frame())[2047], 9);
}

/// The request is what the kernel's documentation draws, and goes when the packet moves.
#[test]
fn a_checksum_request_lies_before_the_packet() {
    let (umem, frames) = umem(2, true);
    let (mut program, mut kernel) = rings(&umem, 4, 0);
    let mut spare: Vec<Frame> = frames.collect();
    let frame = spare.pop().expect("a frame");
    let frame = Descriptor::new(frame, 23, 60).expect_err("no room for the request");
    let mut packet = Descriptor::new(frame, 30, 60).expect("inside");
    assert_eq!(packet.request_checksum(&umem, 50, 9), Err(OutOfFrame));
    assert_eq!(packet.request_checksum(&umem, u16::MAX, u16::MAX), Err(OutOfFrame));
    packet.request_checksum(&umem, 34, 16).expect("inside");
    packet.set_continues(true);
    program.tx.push(packet).expect("room");
    let mut moved = Descriptor::new(spare.pop().expect("a frame"), 30, 60).expect("inside");
    moved.request_checksum(&umem, 34, 16).expect("inside");
    moved.set_len(59).expect("inside");
    program.tx.push(moved).expect("room");
    program.tx.commit();

    let options = libc::XDP_TX_METADATA | libc::XDP_PKT_CONTD;
    let sent = RawDescriptor { address: 2048 + 30, length: 60, options };
    assert_eq!(take(&mut kernel.tx), Some(sent));
    assert_eq!(take(&mut kernel.tx), Some(raw(30, 59)));
    put(&mut kernel.completion, sent.address);
    program.completion.reap(1, |mut frame| {
        let mut wanted = [0; 24];
        wanted[..8].copy_from_slice(&2_u64.to_ne_bytes()); // XDP_TXMD_FLAGS_CHECKSUM
        wanted[8..10].copy_from_slice(&34_u16.to_ne_bytes());
        wanted[10..12].copy_from_slice(&16_u16.to_ne_bytes());
        assert_eq!(umem.whole_frame_mut(&mut frame)[6..30], wanted);
    });
}

#[test]
fn a_continuing_descriptor_says_so() {
    let (umem, frames) = umem(2, false);
    let (mut program, mut kernel) = rings(&umem, 2, 0);
    frames.for_each(|frame| program.fill.push(frame).expect("room"));
    put(&mut kernel.rx, RawDescriptor { options: libc::XDP_PKT_CONTD, ..raw(0, 2048) });
    put(&mut kernel.rx, raw(2048, 1));
    let mut got = Vec::new();
    program.rx.receive(2, |part| got.push(part));
    assert_eq!(got.iter().map(Descriptor::continues).collect::<Vec<_>>(), [true, false]);
    let mut first = got.swap_remove(0);
    assert_eq!(first.request_checksum(&umem, 0, 0), Err(OutOfFrame), "this UMEM has no room for it");
    program.tx.push(first).expect("room");
    program.tx.commit();
    assert_eq!(take(&mut kernel.tx).map(|sent| sent.options), Some(libc::XDP_PKT_CONTD));
}

#[test]
#[should_panic(expected = "the UMEM that it came from")]
fn a_frame_of_another_umem_has_no_bytes_here() {
    let ((umem, _frames), (_other, mut others)) = (umem(2, false), umem(2, false));
    umem.whole_frame_mut(&mut others.next().expect("a frame"));
}

#[test]
#[should_panic(expected = "the UMEM that it came from")]
fn a_frame_of_another_umem_is_not_pushed() {
    let ((umem, _frames), (_other, mut others)) = (umem(2, false), umem(2, false));
    let (mut program, _kernel) = rings(&umem, 2, 0);
    let _ = program.fill.push(others.next().expect("a frame"));
}

#[test]
fn impossible_umems_are_refused() {
    let good = UmemOptions { frames: 1, frame_size: 2048, headroom: 1791, tx_metadata: false };
    let (extreme, _frames) = Umem::new(&good).expect("the extreme");
    assert_eq!(extreme.frames(), 1);
    for bad in [
        UmemOptions { frames: 0, ..good },
        UmemOptions { frame_size: 1024, ..good },
        UmemOptions { frame_size: 3000, ..good },
        UmemOptions { frame_size: 8192, ..good },
        UmemOptions { headroom: 1792, ..good },
    ] {
        let error = Umem::new(&bad).expect_err("impossible");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{bad:?}");
    }
}

/// Every part may move to a thread of its own.
#[test]
fn parts_may_move_between_threads() {
    fn moves<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    moves::<(RxRing, TxRing, FillRing, CompletionRing, crate::Socket)>();
    is_shared::<(Umem, Frame, Descriptor, Frames, crate::SocketHandle, crate::BindError)>();
    assert_eq!((size_of::<Frame>(), size_of::<Descriptor>()), (8, 16), "small enough to pass by value");
}

/// Both sides on threads of their own: the orderings, as far as this machine and miri can tell.
#[test]
fn frames_cross_between_threads() {
    let total = if cfg!(miri) { 60 } else { 20_000 };
    // An entry that is lost must not make the test wait for ever.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let pause = move || {
        assert!(std::time::Instant::now() < end, "in vain");
        std::thread::yield_now();
    };
    let (umem, frames) = umem(6, false);
    let (mut program, mut kernel) = rings(&umem, 4, u32::MAX - 5);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut done = 0;
            while done < total {
                match take(&mut kernel.tx) {
                    Some(packet) => {
                        while !put(&mut kernel.completion, packet.address) {
                            pause();
                        }
                        done += 1;
                    }
                    None => pause(),
                }
            }
        });
        let mut spare: Vec<Frame> = frames.collect();
        let (mut sent, mut reaped) = (0_u32, 0);
        while reaped < total {
            while let Some(mut frame) = spare.pop().filter(|_| sent < total) {
                umem.whole_frame_mut(&mut frame)[..4].copy_from_slice(&sent.to_ne_bytes());
                match program.tx.push(Descriptor::new(frame, 0, 4).expect("it fits")) {
                    Ok(()) => sent += 1,
                    Err(packet) => {
                        spare.push(packet.frame());
                        break;
                    }
                }
            }
            program.tx.commit();
            reaped += program.completion.reap(4, |frame| spare.push(frame)) as u32;
            pause();
        }
    });
    assert_eq!((umem.frames_with_kernel(), program.completion.invalid()), (0, 0));
}
