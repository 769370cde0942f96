//! Rings on ordinary memory: a kernel that does what the test says, made of the same cursors.
//!
//! ```text
//!             fill ─────────▶ ┌──────────┐ ─────────▶ RX
//!   program                   │  Kernel  │                     program
//!             TX ───────────▶ └──────────┘ ─────────▶ completion
//! ```

use std::collections::VecDeque;

use crate::cursor::{Consumer, Cursor, Producer};
use crate::memory::{DescriptorSlot, RawDescriptor, RingMemory, Slot};
use crate::ring::Context;
use crate::sync::AtomicU64;
use crate::{
    CompletionRing, Descriptor, FillRing, Frame, Frames, OutOfFrame, RxRing, TxRing, Umem, UmemOptions,
};

/// The other side of the four rings.
struct Kernel {
    fill: Consumer<AtomicU64>,
    rx: Producer<DescriptorSlot>,
    tx: Consumer<DescriptorSlot>,
    completion: Producer<AtomicU64>,
}

/// The program's side of the four rings.
struct Program {
    fill: FillRing,
    rx: RxRing,
    tx: TxRing,
    completion: CompletionRing,
}

fn umem(frames: u32, tx_metadata: bool) -> (Umem, Frames) {
    let options = UmemOptions { frames, frame_size: 2048, headroom: 0, tx_metadata };
    Umem::new(&options).expect("a UMEM")
}

/// Rings of `size`, whose indexes start at `first`.
fn rings(umem: &Umem, size: u32, first: u32) -> (Program, Kernel) {
    let context = || Context { socket: None, umem: umem.clone() };
    let (fill, kernel_fill) = RingMemory::plain(size, first);
    let (rx, kernel_rx) = RingMemory::plain(size, first);
    let (tx, kernel_tx) = RingMemory::plain(size, first);
    let (completion, kernel_completion) = RingMemory::plain(size, first);
    let program = Program {
        fill: FillRing::new(Cursor::new(fill), context()),
        rx: RxRing::new(Cursor::new(rx), context()),
        tx: TxRing::new(Cursor::new(tx), context()),
        completion: CompletionRing::new(Cursor::new(completion), context()),
    };
    let kernel = Kernel {
        fill: Cursor::new(kernel_fill),
        rx: Cursor::new(kernel_rx),
        tx: Cursor::new(kernel_tx),
        completion: Cursor::new(kernel_completion),
    };
    (program, kernel)
}

/// Takes one entry out, if there is one.
fn take<S: Slot>(ring: &mut Consumer<S>) -> Option<S::Value> {
    (ring.ready(1) == 1).then(|| {
        let value = ring.slot().get();
        ring.advance();
        ring.publish();
        value
    })
}

/// Puts one entry in, if there is room.
fn put<S: Slot>(ring: &mut Producer<S>, value: S::Value) -> bool {
    let has_room = ring.ready(1) == 1;
    if has_room {
        ring.slot().put(value);
        ring.advance();
        ring.publish();
    }
    has_room
}

fn raw(address: u64, length: u32) -> RawDescriptor {
    RawDescriptor { address, length, options: 0 }
}

#[cfg(not(loom))]
mod plain {
    use super::*;

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
        wild.producer().store(0x8000_0000, std::sync::atomic::Ordering::Release);
        assert_eq!(ring.receive(usize::MAX, |_| panic!("there is nothing")), 0);
        assert_eq!(ring.invalid(), 4);
        let (tx, wild) = RingMemory::<DescriptorSlot>::plain(4, 0);
        let mut ring = TxRing::new(Cursor::new(tx), Context { socket: None, umem });
        wild.consumer().store(0x8000_0000, std::sync::atomic::Ordering::Release);
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

    /// Numbers that look random and are the same in every run (xorshift).
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit as u64) as usize
        }
    }

    /// Where every frame is, as a naive model has it: six lists, in order.
    #[derive(Default)]
    struct Model {
        filling: VecDeque<u32>,
        /// Taken out of the fill ring by the kernel.
        empty: VecDeque<u32>,
        receiving: VecDeque<(u32, u32)>,
        sending: VecDeque<(u32, u32)>,
        /// Taken out of the TX ring by the kernel.
        sent: VecDeque<(u32, u32)>,
        completing: VecDeque<u32>,
    }

    /// Any order of steps on both sides: each entry comes out of each ring once and in order, with its bytes,
    /// and no frame is lost or doubled.
    #[test]
    fn frames_are_conserved() {
        let (seeds, steps) = if cfg!(miri) { (3, 200) } else { (200, 2000) };
        for seed in 1..=seeds {
            conserve(seed, steps);
        }
    }

    fn conserve(seed: u64, steps: usize) {
        const FRAMES: u32 = 13;
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (umem, frames) = umem(FRAMES, false);
        let size = 1 << random.below(4);
        let (mut program, mut kernel) = rings(&umem, size, u32::MAX - random.below(50) as u32);
        let mut model = Model::default();
        let mut spare: VecDeque<Frame> = frames.collect();
        let mut packets: VecDeque<Descriptor> = VecDeque::new();
        for step in 0..steps {
            let context = format!("seed {seed}, step {step}");
            let burst = random.below(6);
            match random.below(8) {
                0 => {
                    for _ in 0..burst.min(spare.len()) {
                        let frame = spare.pop_front().expect("counted");
                        let index = frame.index();
                        match program.fill.push(frame) {
                            Ok(()) => model.filling.push_back(index),
                            Err(frame) => {
                                assert_eq!(model.filling.len(), size as usize, "{context}");
                                spare.push_front(frame);
                                break;
                            }
                        }
                    }
                    program.fill.commit();
                }
                1 => {
                    while let Some(address) = take(&mut kernel.fill) {
                        let index = model.filling.pop_front().expect(&context);
                        assert_eq!(address, u64::from(index) * 2048, "{context}");
                        model.empty.push_back(index);
                    }
                }
                2 => {
                    for _ in 0..burst {
                        let Some(&index) = model.empty.front() else { break };
                        let length = 1 + random.below(1792) as u32;
                        if !put(&mut kernel.rx, raw(u64::from(index) * 2048 + 256, length)) {
                            assert_eq!(model.receiving.len(), size as usize, "{context}");
                            break;
                        }
                        model.empty.pop_front();
                        model.receiving.push_back((index, length));
                    }
                }
                3 => {
                    let want = burst.min(model.receiving.len());
                    let got = program.rx.receive(burst, |packet| {
                        let (index, length) = model.receiving.pop_front().expect(&context);
                        assert_eq!((packet.frame_ref().index(), packet.len()), (index, length as usize));
                        packets.push_back(packet);
                    });
                    assert_eq!(got, want, "{context}");
                }
                4 => {
                    // New packets, of any frame that is spare.
                    for _ in 0..burst.min(spare.len()) {
                        let mut frame = spare.pop_front().expect("counted");
                        let number = frame.index() as u8;
                        let length = 1 + random.below(2000);
                        umem.whole_frame_mut(&mut frame)[..length].fill(number);
                        packets.push_back(Descriptor::new(frame, 0, length).expect("it fits"));
                    }
                }
                5 => {
                    for _ in 0..burst.min(packets.len()) {
                        let packet = packets.pop_front().expect("counted");
                        let entry = (packet.frame_ref().index(), packet.len() as u32);
                        match program.tx.push(packet) {
                            Ok(()) => model.sending.push_back(entry),
                            Err(packet) => {
                                assert_eq!(model.sending.len(), size as usize, "{context}");
                                packets.push_front(packet);
                                break;
                            }
                        }
                    }
                    program.tx.commit();
                }
                6 => {
                    while let Some(got) = take(&mut kernel.tx) {
                        let (index, length) = model.sending.pop_front().expect(&context);
                        assert_eq!((got.address / 2048, got.length), (u64::from(index), length), "{context}");
                        model.sent.push_back((index, length));
                    }
                    // The device finishes in its own order.
                    for _ in 0..burst.min(model.sent.len()) {
                        let at = random.below(model.sent.len());
                        let (index, length) = model.sent[at];
                        if !put(&mut kernel.completion, u64::from(index) * 2048 + u64::from(length % 2048)) {
                            assert_eq!(model.completing.len(), size as usize, "{context}");
                            break;
                        }
                        model.sent.remove(at);
                        model.completing.push_back(index);
                    }
                }
                7 => {
                    let want = burst.min(model.completing.len());
                    let got = program.completion.reap(burst, |frame| {
                        assert_eq!(Some(frame.index()), model.completing.pop_front(), "{context}");
                        spare.push_back(frame);
                    });
                    assert_eq!(got, want, "{context}");
                }
                other => unreachable!("{other}"),
            }
            let with_kernel = model.filling.len()
                + model.empty.len()
                + model.receiving.len()
                + model.sending.len()
                + model.sent.len()
                + model.completing.len();
            assert_eq!(umem.frames_with_kernel() as usize, with_kernel, "{context}");
            assert_eq!(with_kernel + spare.len() + packets.len(), FRAMES as usize, "{context}");
        }
        assert_eq!((program.rx.invalid(), program.completion.invalid()), (0, 0), "seed {seed}");
    }

    /// Both sides on threads of their own: the orderings, as far as this machine and miri can tell.
    #[test]
    fn frames_cross_between_threads() {
        let total = if cfg!(miri) { 60 } else { 20_000 };
        let (umem, frames) = umem(6, false);
        let (mut program, mut kernel) = rings(&umem, 4, u32::MAX - 5);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut done = 0;
                while done < total {
                    match take(&mut kernel.tx) {
                        Some(packet) => {
                            while !put(&mut kernel.completion, packet.address) {
                                std::thread::yield_now();
                            }
                            done += 1;
                        }
                        None => std::thread::yield_now(),
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
                std::thread::yield_now();
            }
        });
        assert_eq!((umem.frames_with_kernel(), program.completion.invalid()), (0, 0));
    }
}

/// Every interleaving of a producer and a consumer. Run with `RUSTFLAGS="--cfg loom"`, in release.
#[cfg(loom)]
mod loom {
    use super::*;
    use ::loom::{model, thread};

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
}
