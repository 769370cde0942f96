//! Sockets on real interfaces: veth pairs in a network namespace of each test's own. Needs root; otherwise
//! each test says in one line that it was skipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../examples/forward.rs"]
#[expect(dead_code, reason = "its main function and what only that needs")]
mod forward;
mod lab;

use std::os::fd::AsFd;

use af_xdp::{
    BindErrorKind, BindOptions, CompletionRing, Copy, Descriptor, FillRing, Frame, RxRing, Socket,
    Statistics, TxRing, Umem, UmemOptions, Wake,
};
use forward::xdp::{Choice, Mode, Redirect, wait};
use lab::{ETHERTYPE, Lab, until};

/// A UMEM and all of its frames that the kernel does not have.
struct Memory {
    umem: Umem,
    spare: Vec<Frame>,
}

impl Memory {
    fn new(options: &UmemOptions) -> Memory {
        let (umem, frames) = Umem::new(options).unwrap();
        Memory { umem, spare: frames.collect() }
    }

    fn small() -> Memory {
        Memory::new(&UmemOptions { frames: 256, frame_size: 2048, ..UmemOptions::default() })
    }

    /// Gives `count` frames to the kernel to receive into.
    fn fill(&mut self, ring: &mut FillRing, count: usize) {
        for frame in self.spare.drain(..count) {
            ring.push(frame).expect("room in the fill ring");
        }
        ring.commit();
    }

    /// A packet for a slot of the XDP program at the other end, with content that its number and length
    /// determine.
    fn packet(&mut self, slot: u8, number: u8, length: usize) -> Descriptor {
        let mut frame = self.spare.pop().expect("a spare frame");
        let at = self.umem.least_offset();
        self.umem.whole_frame_mut(&mut frame)[at..at + length]
            .copy_from_slice(&content(slot, number, length));
        Descriptor::new(frame, at, length).expect("it fits")
    }

    /// Sends until the kernel has taken everything, reaping into the spare frames.
    fn send(&mut self, tx: &mut TxRing, completion: &mut CompletionRing, packets: Vec<Descriptor>) {
        let (size, count) = (tx.free(), packets.len());
        let mut reaped = 0;
        for packet in packets {
            tx.push(packet).expect("room in the TX ring");
        }
        tx.commit();
        until("everything is sent", || {
            if tx.needs_wakeup() {
                tx.wake().unwrap();
            }
            reaped += completion.reap(usize::MAX, |frame| self.spare.push(frame));
            tx.free() == size && reaped == count
        });
    }

    /// Receives `count` descriptors.
    fn receive(&mut self, socket: impl AsFd, rx: &mut RxRing, count: usize) -> Vec<Descriptor> {
        let mut got = Vec::new();
        until("packets arrive", || {
            if rx.receive(count - got.len(), |descriptor| got.push(descriptor)) == 0 {
                wait([socket.as_fd()]).unwrap();
            }
            got.len() == count
        });
        got
    }

    /// The bytes of a packet, whose frames become spare.
    fn take(&mut self, parts: Vec<Descriptor>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend(self.umem.bytes(&part));
            self.spare.push(part.frame());
        }
        bytes
    }

    /// Every frame is either the program's or the kernel's.
    #[track_caller]
    fn account(&self, with_kernel: usize) {
        assert_eq!(self.umem.frames_with_kernel() as usize, with_kernel, "frames with the kernel");
        assert_eq!(self.spare.len() + with_kernel, self.umem.frames() as usize, "frames in all");
    }
}

/// An Ethernet packet to the address 02:00:00:00:00:`slot`.
fn content(slot: u8, number: u8, length: usize) -> Vec<u8> {
    let header = [&[2, 0, 0, 0, 0, slot, 2, 0, 0, 0, 1, number][..], &ETHERTYPE].concat();
    let body = (0..).map(|at: u32| at.wrapping_mul(7).wrapping_add(u32::from(number)) as u8);
    header.into_iter().chain(body).take(length).collect()
}

fn options(interface: u32) -> BindOptions {
    BindOptions { rx: 64, tx: 64, fill: 64, completion: 64, ..BindOptions::new(interface, 0) }
}

/// The four rings of a socket that has all, and the rest of it.
fn rings(socket: &mut Socket) -> (RxRing, TxRing, FillRing, CompletionRing) {
    (
        socket.rx.take().expect("an RX ring"),
        socket.tx.take().expect("a TX ring"),
        socket.fill.take().expect("a fill ring"),
        socket.completion.take().expect("a completion ring"),
    )
}

/// Two UMEMs that know nothing of each other: what one sends, the other receives, byte for byte.
fn send_and_receive(test: &str, mode: Mode) {
    let Some(lab) = Lab::enter(test) else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 1, 1500);
    let (mut ours, mut theirs) = (Memory::small(), Memory::small());
    let mut sender = ours.umem.bind(&options(left)).unwrap();
    let mut receiver = theirs.umem.bind(&options(right)).unwrap();
    assert!(!sender.is_zero_copy(), "veth copies");
    let (_, mut tx, _, mut completion) = rings(&mut sender);
    let (mut rx, _, mut fill, _) = rings(&mut receiver);
    theirs.fill(&mut fill, 64);
    let program = Redirect::attach(right, Choice::Address, 1, mode, false).unwrap();
    program.set(0, &receiver).unwrap();

    for round in 0..5 {
        let packets = (0..40).map(|number| ours.packet(0, number, 60 + usize::from(number))).collect();
        ours.send(&mut tx, &mut completion, packets);
        for number in 0..40 {
            let got = theirs.receive(&receiver, &mut rx, 1);
            assert!(!got[0].continues());
            assert_eq!(theirs.take(got), content(0, number, 60 + usize::from(number)), "round {round}");
        }
        theirs.fill(&mut fill, 40);
    }
    ours.account(0);
    theirs.account(64);
    assert_eq!((rx.invalid(), completion.invalid()), (0, 0));
    let Statistics { rx_invalid, tx_invalid, .. } = receiver.statistics().unwrap();
    assert_eq!((receiver.statistics().unwrap().lost(), rx_invalid, tx_invalid), (0, 0, 0));
}

#[test]
fn packets_cross_in_native_mode() {
    send_and_receive("packets_cross_in_native_mode", Mode::Native);
}

#[test]
fn packets_cross_in_generic_mode() {
    send_and_receive("packets_cross_in_generic_mode", Mode::Generic);
}

/// The reason for sharing: a packet goes from the RX ring of one interface to the TX ring of another, and
/// nobody copies it.
#[test]
fn a_umem_is_shared_by_two_interfaces() {
    let Some(lab) = Lab::enter("a_umem_is_shared_by_two_interfaces") else { return };
    let [outside, first] = lab.pair(["la-a", "la-b"], 1, 1500);
    let [second, inside] = lab.pair(["la-c", "la-d"], 1, 1500);
    let (mut ends, mut bridge) = (Memory::small(), Memory::small());
    let mut sender = ends.umem.bind(&options(outside)).unwrap();
    let mut receiver = ends.umem.bind(&options(inside)).unwrap();
    let mut from = bridge.umem.bind(&options(first)).unwrap();
    // What it says here does not count: the first bind has decided to copy.
    let mut to = bridge.umem.bind(&BindOptions { copy: Copy::ZeroCopy, ..options(second) }).unwrap();
    assert!(!to.is_zero_copy());
    let (_, mut tx, _, mut completion) = rings(&mut sender);
    let (mut rx, _, mut fill, _) = rings(&mut receiver);
    let (mut in_rx, _, mut in_fill, _) = rings(&mut from);
    let (_, mut out_tx, _, mut out_completion) = rings(&mut to);
    ends.fill(&mut fill, 64);
    bridge.fill(&mut in_fill, 64);
    let programs =
        [first, inside].map(|port| Redirect::attach(port, Choice::Address, 1, Mode::Native, false).unwrap());
    programs[0].set(0, &from).unwrap();
    programs[1].set(0, &receiver).unwrap();

    let packets = (0..50).map(|number| ends.packet(0, number, 200)).collect();
    ends.send(&mut tx, &mut completion, packets);
    let crossing = bridge.receive(&from, &mut in_rx, 50);
    assert!(
        crossing.iter().all(|packet| packet.offset() == 256),
        "the kernel leaves 256 bytes before a packet"
    );
    bridge.send(&mut out_tx, &mut out_completion, crossing);
    for number in 0..50 {
        let got = ends.receive(&receiver, &mut rx, 1);
        assert_eq!(ends.take(got), content(0, number, 200));
    }
    ends.account(64 - 50);
    bridge.account(64 - 50);
}

/// One UMEM, one queue, two sockets: the XDP program chooses, the fill ring is common.
#[test]
fn two_sockets_serve_one_queue() {
    let Some(lab) = Lab::enter("two_sockets_serve_one_queue") else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 1, 1500);
    let (mut ours, mut theirs) = (Memory::small(), Memory::small());
    let mut sender = ours.umem.bind(&options(left)).unwrap();
    let mut receivers = [(); 2].map(|()| theirs.umem.bind(&options(right)).unwrap());
    assert!(receivers[1].fill.is_none() && receivers[1].completion.is_none(), "the first socket has them");
    let (_, mut tx, _, mut completion) = rings(&mut sender);
    let mut fill = receivers[0].fill.take().unwrap();
    theirs.fill(&mut fill, 64);
    let program = Redirect::attach(right, Choice::Address, 2, Mode::Native, false).unwrap();
    program.set(0, &receivers[0]).unwrap();
    program.set(1, &receivers[1]).unwrap();

    let packets = (0..40).map(|number| ours.packet(number % 2, number, 100)).collect();
    ours.send(&mut tx, &mut completion, packets);
    for (slot, receiver) in receivers.iter_mut().enumerate() {
        let mut rx = receiver.rx.take().unwrap();
        for number in (0..40).filter(|number| usize::from(number % 2) == slot) {
            let got = theirs.receive(&*receiver, &mut rx, 1);
            assert_eq!(theirs.take(got), content(slot as u8, number, 100));
        }
    }
    // Both may send as well; what either sent comes back on the one completion ring.
    let mut common = receivers[0].completion.take().unwrap();
    for receiver in &mut receivers {
        let packet = theirs.packet(0, 0, 100);
        theirs.send(receiver.tx.as_mut().unwrap(), &mut common, vec![packet]);
    }
    ours.account(0);
    theirs.account(64 - 40);
}

/// The third way to share: another queue of the same interface, with rings of its own.
#[test]
fn a_umem_is_shared_by_two_queues() {
    let Some(lab) = Lab::enter("a_umem_is_shared_by_two_queues") else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 2, 1500);
    let (mut ours, mut theirs) = (Memory::small(), Memory::small());
    let program = Redirect::attach(right, Choice::Address, 2, Mode::Native, false).unwrap();
    for queue in 0..2 {
        // What one queue of a veth sends arrives on the same queue of the other end.
        let mut sender = ours.umem.bind(&BindOptions { queue, ..options(left) }).unwrap();
        let mut receiver = theirs.umem.bind(&BindOptions { queue, ..options(right) }).unwrap();
        let (_, mut tx, _, mut completion) = rings(&mut sender);
        let (mut rx, _, mut fill, _) = rings(&mut receiver);
        theirs.fill(&mut fill, 10);
        program.set(queue as u8, &receiver).unwrap();
        let packet = ours.packet(queue as u8, 7, 100);
        ours.send(&mut tx, &mut completion, vec![packet]);
        let got = theirs.receive(&receiver, &mut rx, 1);
        assert_eq!(theirs.take(got), content(queue as u8, 7, 100));
        // Both queues stay bound until the end.
        std::mem::forget((sender, receiver, tx, completion, rx, fill));
    }
    ours.account(0);
    theirs.account(2 * 9);
}

/// Copy mode sends only when it is told to, 32 packets at a time unless the budget says more.
#[test]
fn the_kernel_is_woken_and_told_how_much() {
    let Some(lab) = Lab::enter("the_kernel_is_woken_and_told_how_much") else { return };
    let [left, _] = lab.pair(["la-a", "la-b"], 1, 1500);
    for (budget, expected) in [(None, Wake::Again), (Some(64), Wake::Sent)] {
        let mut memory = Memory::small();
        let mut socket = memory.umem.bind(&BindOptions { transmit_budget: budget, ..options(left) }).unwrap();
        let (_, mut tx, _, mut completion) = rings(&mut socket);
        for number in 0..64 {
            tx.push(memory.packet(0, number, 60)).unwrap();
        }
        let too_many = memory.packet(0, 64, 60);
        memory.spare.push(tx.push(too_many).expect_err("the ring is full").frame());
        tx.commit();
        assert!(tx.needs_wakeup());
        assert_eq!((completion.pending(), tx.free()), (0, 0), "nothing is sent before the call");
        assert_eq!(tx.wake().unwrap(), expected, "budget {budget:?}");
        let sent = if budget.is_some() { 64 } else { 32 };
        until("the first call's packets are complete", || completion.pending() == sent);
        until("the rest is sent", || tx.wake().unwrap() == Wake::Sent);
        until("all are complete", || completion.pending() == 64);
        completion.reap(usize::MAX, |frame| memory.spare.push(frame));
        memory.account(0);
    }
}

/// Both of the kernel's reasons to lose a packet are counted, apart from each other.
#[test]
fn losses_are_in_the_statistics() {
    let Some(lab) = Lab::enter("losses_are_in_the_statistics") else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 1, 1500);
    let (mut ours, mut theirs) = (Memory::small(), Memory::small());
    let mut sender = ours.umem.bind(&options(left)).unwrap();
    let mut receiver = theirs.umem.bind(&BindOptions { rx: 8, ..options(right) }).unwrap();
    let (_, mut tx, _, mut completion) = rings(&mut sender);
    let (mut rx, _, mut fill, _) = rings(&mut receiver);
    let program = Redirect::attach(right, Choice::Address, 1, Mode::Native, false).unwrap();
    program.set(0, &receiver).unwrap();
    let mut send = |count| {
        let packets = (0..count).map(|number| ours.packet(0, number, 100)).collect();
        ours.send(&mut tx, &mut completion, packets);
    };
    let statistics = || receiver.handle().statistics().unwrap();

    send(5);
    until("five packets find no frame", || statistics().fill_ring_empty == 5);
    assert_eq!(
        (statistics().rx_dropped, statistics().rx_ring_full),
        (5, 0),
        "the empty ring is in rx_dropped"
    );

    theirs.fill(&mut fill, 64);
    send(20);
    until("twelve of twenty find no slot", || statistics().rx_ring_full == 12);
    assert_eq!((statistics().rx_dropped, statistics().fill_ring_empty), (5, 5));
    assert_eq!(statistics().lost(), 17);
    assert_eq!(rx.pending(), 8);
    let got = theirs.receive(&receiver, &mut rx, 8);
    theirs.take(got);
    // The kernel has taken frames for the twelve as well, and uses them for others: none is lost.
    for _ in 0..7 {
        send(8);
        let got = theirs.receive(&receiver, &mut rx, 8);
        theirs.take(got);
    }
    theirs.account(0);
    assert_eq!(statistics().lost(), 17);
}

/// A jumbo packet is several descriptors on both sides; all but the last continue.
#[test]
fn a_jumbo_packet_takes_several_frames() {
    let Some(lab) = Lab::enter("a_jumbo_packet_takes_several_frames") else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 1, 9000);
    let (mut ours, mut theirs) = (Memory::small(), Memory::small());
    let jumbo = |interface| BindOptions { multi_buffer: true, ..options(interface) };
    let mut sender = ours.umem.bind(&jumbo(left)).unwrap();
    let mut receiver = theirs.umem.bind(&jumbo(right)).unwrap();
    let (_, mut tx, _, mut completion) = rings(&mut sender);
    let (mut rx, _, mut fill, _) = rings(&mut receiver);
    theirs.fill(&mut fill, 64);
    let program = Redirect::attach(right, Choice::Address, 1, Mode::Native, true).unwrap();
    program.set(0, &receiver).unwrap();

    const LENGTH: usize = 9014;
    for number in 0..20 {
        let whole = content(0, number, LENGTH);
        let mut parts: Vec<_> = whole
            .chunks(2000)
            .map(|chunk| {
                let mut frame = ours.spare.pop().unwrap();
                ours.umem.whole_frame_mut(&mut frame)[..chunk.len()].copy_from_slice(chunk);
                let mut part = Descriptor::new(frame, 0, chunk.len()).unwrap();
                part.set_continues(true);
                part
            })
            .collect();
        parts.last_mut().unwrap().set_continues(false);
        assert_eq!(parts.len(), 5);
        ours.send(&mut tx, &mut completion, parts);

        let mut got = theirs.receive(&receiver, &mut rx, 1);
        while got.last().unwrap().continues() {
            got.append(&mut theirs.receive(&receiver, &mut rx, 1));
        }
        // 2048 - 256 in each frame.
        assert_eq!(got.len(), LENGTH.div_ceil(1792), "number of frames");
        assert_eq!(got.iter().map(Descriptor::len).sum::<usize>(), LENGTH);
        let frames = got.len();
        assert!(theirs.take(got) == whole, "packet {number} has other bytes");
        theirs.fill(&mut fill, frames);
    }
    ours.account(0);
    theirs.account(64);
    assert_eq!(receiver.statistics().unwrap().lost(), 0);
}

/// The kernel completes a checksum when the packet asks for it, where the device does not. (A veth that says
/// it does only tells the other end, of which AF_XDP there sees nothing.)
#[test]
fn a_checksum_is_completed_on_request() {
    let Some(lab) = Lab::enter("a_checksum_is_completed_on_request") else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 1, 1500);
    lab.complete_checksums("la-a");
    let shape = UmemOptions { frames: 256, frame_size: 2048, tx_metadata: true, ..UmemOptions::default() };
    let (mut ours, mut theirs) = (Memory::new(&shape), Memory::small());
    let mut sender = ours.umem.bind(&options(left)).unwrap();
    let mut receiver = theirs.umem.bind(&options(right)).unwrap();
    let (_, mut tx, _, mut completion) = rings(&mut sender);
    let (mut rx, _, mut fill, _) = rings(&mut receiver);
    theirs.fill(&mut fill, 64);
    let program = Redirect::attach(right, Choice::Address, 1, Mode::Native, false).unwrap();
    program.set(0, &receiver).unwrap();

    // Any sixteen-bit field will do: the sum of everything from byte 34 on, into byte 40.
    let (start, offset) = (34, 6);
    for asks in [false, true] {
        let mut packet = ours.packet(0, 3, 100);
        if asks {
            packet.request_checksum(&ours.umem, start, offset).unwrap();
        }
        let mut expected = ours.umem.bytes(&packet).to_vec();
        ours.send(&mut tx, &mut completion, vec![packet]);
        let got = theirs.receive(&receiver, &mut rx, 1);
        let got = theirs.take(got);
        if asks {
            let words = expected[34..].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
            let mut sum: u32 = words.sum();
            while sum >> 16 != 0 {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            expected[40..42].copy_from_slice(&(!sum as u16).to_be_bytes());
        }
        assert_eq!(got, expected, "asks: {asks}");
    }
    let mut packet = ours.packet(0, 3, 100);
    packet.request_checksum(&ours.umem, 97, 2).expect_err("the field would end behind the packet");
    packet.request_checksum(&ours.umem, 96, 2).expect("the field ends with the packet");
    ours.spare.push(packet.frame());
    ours.account(0);
}

/// What can go wrong has a name and a message.
#[test]
fn a_failed_bind_says_why() {
    let Some(lab) = Lab::enter("a_failed_bind_says_why") else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 1, 1500);
    let memory = Memory::small();
    let fails = |options: &BindOptions| memory.umem.bind(options).expect_err("it cannot work");
    let expect = |options: BindOptions, kind, errno, words: &str| {
        let error = fails(&options);
        assert_eq!((error.kind(), error.errno()), (kind, errno), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let queue = BindOptions { queue: 7, ..options(left) };
    expect(queue, BindErrorKind::NoSuchQueue, Some(libc::EINVAL), "no such queue");
    let zero_copy = BindOptions { copy: Copy::ZeroCopy, ..options(left) };
    expect(zero_copy, BindErrorKind::NoZeroCopy, Some(libc::EOPNOTSUPP), "Copy::Auto");
    expect(options(9999), BindErrorKind::NoSuchInterface, Some(libc::ENODEV), "no such interface");
    for bad in [
        BindOptions { rx: 0, tx: 0, ..options(left) },
        BindOptions { rx: 63, ..options(left) },
        BindOptions { fill: 0, ..options(left) },
        BindOptions { transmit_budget: Some(31), ..options(left) },
        BindOptions { transmit_budget: Some(65), ..options(left) },
    ] {
        let error = fails(&bad);
        assert_eq!((error.kind(), error.errno()), (BindErrorKind::InvalidOptions, None), "{error}");
    }

    // Nothing of the failures is left: the same UMEM binds, and then keeps others away.
    let socket = memory.umem.bind(&options(left)).unwrap();
    let other = Memory::small();
    let error = other.umem.bind(&options(left)).expect_err("the queue is taken");
    assert_eq!((error.kind(), error.errno()), (BindErrorKind::QueueBusy, Some(libc::EBUSY)), "{error}");
    // Another interface is still free, and a queue that is not there is still not there.
    let shared = memory.umem.bind(&options(right)).unwrap();
    let queue = BindOptions { queue: 7, ..options(left) };
    expect(queue, BindErrorKind::NoSuchQueue, Some(libc::EINVAL), "no such queue");
    drop((socket, shared));
    other.umem.bind(&options(left)).expect("the queue is free again");
}

/// Without CAP_NET_RAW there is no socket, and the message names it.
#[test]
fn a_missing_capability_is_named() {
    let Some(lab) = Lab::enter("a_missing_capability_is_named") else { return };
    let [left, _] = lab.pair(["la-a", "la-b"], 1, 1500);
    const CAP_NET_RAW: u32 = 13;
    lab::drop_capability(CAP_NET_RAW);
    let error = Memory::small().umem.bind(&options(left)).expect_err("not permitted");
    assert_eq!((error.kind(), error.errno()), (BindErrorKind::NotPermitted, Some(libc::EPERM)));
    assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
}

/// Without CAP_IPC_LOCK the user's limit counts, and the message names it.
#[test]
fn too_little_locked_memory_is_named() {
    let Some(lab) = Lab::enter("too_little_locked_memory_is_named") else { return };
    let [left, _] = lab.pair(["la-a", "la-b"], 1, 1500);
    const CAP_IPC_LOCK: u32 = 14;
    lab::drop_capability(CAP_IPC_LOCK);
    // The limit is the whole process's, but counts only without the capability.
    lab::limit_locked_memory(256 << 10);
    let memory = Memory::small();
    let error = memory.umem.bind(&options(left)).expect_err("over the limit");
    assert_eq!((error.kind(), error.errno()), (BindErrorKind::LockedMemory, Some(libc::ENOBUFS)), "{error}");
    assert!(error.to_string().contains("the UMEM of 512 KiB"), "{error}");
    assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}");
}

/// An interface that goes down and comes back needs no new socket; one that is deleted says so, and
/// the UMEM can still be bound elsewhere.
#[test]
fn interfaces_come_and_go() {
    let Some(lab) = Lab::enter("interfaces_come_and_go") else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 1, 1500);
    let (mut ours, mut theirs) = (Memory::small(), Memory::small());
    let mut sender = ours.umem.bind(&options(left)).unwrap();
    let mut receiver = theirs.umem.bind(&options(right)).unwrap();
    let (_, mut tx, _, mut completion) = rings(&mut sender);
    let (mut rx, _, mut fill, _) = rings(&mut receiver);
    theirs.fill(&mut fill, 64);
    let program = Redirect::attach(right, Choice::Address, 1, Mode::Native, false).unwrap();
    program.set(0, &receiver).unwrap();

    lab.set_up(left, false);
    assert_eq!(tx.wake().expect_err("it is down").raw_os_error(), Some(libc::ENETDOWN));
    lab.set_up(left, true);
    let packet = ours.packet(0, 1, 100);
    ours.send(&mut tx, &mut completion, vec![packet]);
    let got = theirs.receive(&receiver, &mut rx, 1);
    theirs.take(got);

    lab.delete(left);
    assert_eq!(tx.wake().expect_err("it is gone").raw_os_error(), Some(libc::ENXIO));
    let handle = sender.handle();
    assert_eq!(handle.take_error().unwrap().unwrap().raw_os_error(), Some(libc::ENETDOWN));
    assert!(handle.take_error().unwrap().is_none(), "once");
    // The dead socket is still there, and is not the one to share with.
    let [left, _] = lab.pair(["la-a", "la-b"], 1, 1500);
    let again = ours.umem.bind(&options(left)).unwrap();
    assert!(again.fill.is_some());
    theirs.account(63);
    ours.account(0);
}

/// A socket may have one direction only; it is not told to do the other for ever.
#[test]
fn a_socket_may_only_receive_or_only_send() {
    let Some(lab) = Lab::enter("a_socket_may_only_receive_or_only_send") else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 1, 1500);
    let memory = Memory::small();
    let receiver = memory.umem.bind(&BindOptions { tx: 0, ..options(left) }).unwrap();
    assert!(receiver.rx.is_some() && receiver.tx.is_none());
    let error = receiver.handle().wake().expect_err("it cannot send");
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    let sender = memory.umem.bind(&BindOptions { rx: 0, ..options(right) }).unwrap();
    assert!(sender.rx.is_none() && sender.tx.is_some());
    assert_eq!(sender.handle().wake().unwrap(), Wake::Sent);
}

/// A queue that is about to be free is waited for.
#[test]
fn a_busy_queue_is_waited_for() {
    let Some(lab) = Lab::enter("a_busy_queue_is_waited_for") else { return };
    let [left, _] = lab.pair(["la-a", "la-b"], 1, 1500);
    let (before, after) = (Memory::small(), Memory::small());
    let socket = before.umem.bind(&options(left)).unwrap();
    std::thread::scope(|scope| {
        // In the namespace of the thread that starts it.
        let waiting = scope.spawn(|| after.umem.bind(&options(left)));
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(!waiting.is_finished(), "it has a socket, or has given up");
        drop(socket);
        waiting.join().unwrap().expect("the queue is free");
    });
}

/// Whatever goes first, the rest works: a ring keeps its socket, a socket its memory.
#[test]
fn parts_may_go_in_any_order() {
    let Some(lab) = Lab::enter("parts_may_go_in_any_order") else { return };
    let [left, right] = lab.pair(["la-a", "la-b"], 1, 1500);
    let (mut ours, mut theirs) = (Memory::small(), Memory::small());
    let mut sender = ours.umem.bind(&options(left)).unwrap();
    let mut receiver = theirs.umem.bind(&options(right)).unwrap();
    let (_, mut tx, _, mut completion) = rings(&mut sender);
    let (mut rx, _, mut fill, _) = rings(&mut receiver);
    let program = Redirect::attach(right, Choice::Address, 1, Mode::Native, false).unwrap();
    program.set(0, &receiver).unwrap();
    theirs.fill(&mut fill, 8);
    let handle = receiver.handle();
    drop((receiver, fill, theirs.umem, sender));
    let packet = ours.packet(0, 1, 100);
    ours.send(&mut tx, &mut completion, vec![packet]);
    let mut got = 0;
    until("the ring alone receives", || {
        wait([handle.as_fd()]).unwrap();
        got += rx.receive(9, drop);
        got == 1
    });

    // With its last part the socket is unbound, and the memory registers again, for another queue or this one.
    drop((tx, completion));
    let again = ours.umem.bind(&options(left)).unwrap();
    assert!(again.fill.is_some());
    ours.account(0);
}

/// Interfaces of the same index in two namespaces are not one.
#[test]
fn namespaces_are_told_apart() {
    let Some(here) = Lab::enter("namespaces_are_told_apart") else { return };
    let [first, _] = here.pair(["la-a", "la-b"], 1, 1500);
    let memory = Memory::small();
    let one = memory.umem.bind(&options(first)).unwrap();
    let Some(there) = Lab::enter("namespaces_are_told_apart") else { return };
    let [second, _] = there.pair(["la-a", "la-b"], 1, 1500);
    assert_eq!(first, second, "the case that is to be tested");
    let other = memory.umem.bind(&options(second)).unwrap();
    assert!(one.fill.is_some() && other.fill.is_some(), "two queues, two fill rings");
}

/// The example, between two pairs of interfaces, in both directions.
#[test]
fn the_example_forwards() {
    let Some(lab) = Lab::enter("the_example_forwards") else { return };
    let [outside, first] = lab.pair(["la-a", "la-b"], 1, 1500);
    let [second, inside] = lab.pair(["la-c", "la-d"], 1, 1500);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    // A failed test must not wait for it for ever.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let is_over = || stop.load(order) || std::time::Instant::now() > end;
    std::thread::scope(|scope| {
        let forwarder = scope.spawn(|| forward::forward([first, second], is_over));
        let mut memory = Memory::small();
        let mut ends = [outside, inside].map(|end| memory.umem.bind(&options(end)).unwrap());
        let programs =
            [outside, inside].map(|end| Redirect::attach(end, Choice::Queue, 1, Mode::Native, false));
        for (end, program) in ends.iter_mut().zip(&programs) {
            memory.fill(end.fill.as_mut().unwrap(), 64);
            program.as_ref().unwrap().set(0, &*end).unwrap();
        }
        for [from, to] in [[0, 1], [1, 0]] {
            let (mut tx, mut completion) =
                (ends[from].tx.take().unwrap(), ends[from].completion.take().unwrap());
            // Until the forwarder has begun, packets are lost.
            let mut arrived = Vec::new();
            until("a packet crosses", || {
                let packet = memory.packet(from as u8, 5, 300);
                memory.send(&mut tx, &mut completion, vec![packet]);
                wait([ends[to].as_fd()]).unwrap();
                ends[to].rx.as_mut().unwrap().receive(1, |packet| arrived.push(packet)) == 1
            });
            assert_eq!(memory.take(arrived), content(from as u8, 5, 300));
        }
        stop.store(true, order);
        forwarder.join().unwrap().expect("the forwarder ends well");
    });
}

/// The kernel does not send a packet of more frames than it can, and counts them; all the same they come back.
#[test]
fn a_packet_of_too_many_frames_is_dropped_and_counted() {
    let Some(lab) = Lab::enter("a_packet_of_too_many_frames_is_dropped_and_counted") else { return };
    let [left, _] = lab.pair(["la-a", "la-b"], 1, 9000);
    let mut memory = Memory::small();
    let mut socket = memory.umem.bind(&BindOptions { multi_buffer: true, ..options(left) }).unwrap();
    let (_, mut tx, _, mut completion) = rings(&mut socket);
    for (count, invalid) in [(18, 0), (19, 19)] {
        let mut parts: Vec<_> = (0..count).map(|_| memory.packet(0, 0, 100)).collect();
        parts[..count - 1].iter_mut().for_each(|part| part.set_continues(true));
        memory.send(&mut tx, &mut completion, parts);
        assert_eq!(socket.statistics().unwrap().tx_invalid, invalid, "{count} frames");
        memory.account(0);
    }
}

/// Through a forwarder with rings that are too small for the bursts: what was sent has arrived or is counted
/// as lost, in order, and every frame is where it should be.
#[test]
fn many_packets_are_accounted_for() {
    let Some(lab) = Lab::enter("many_packets_are_accounted_for") else { return };
    let [outside, first] = lab.pair(["la-a", "la-b"], 1, 1500);
    let [second, inside] = lab.pair(["la-c", "la-d"], 1, 1500);
    let (mut ends, mut bridge) = (Memory::small(), Memory::small());
    let mut sockets = [
        ends.umem.bind(&options(outside)).unwrap(),
        bridge.umem.bind(&BindOptions { rx: 32, ..options(first) }).unwrap(),
        bridge.umem.bind(&options(second)).unwrap(),
        ends.umem.bind(&BindOptions { rx: 16, ..options(inside) }).unwrap(),
    ];
    let programs =
        [first, inside].map(|port| Redirect::attach(port, Choice::Queue, 1, Mode::Native, false).unwrap());
    programs[0].set(0, &sockets[1]).unwrap();
    programs[1].set(0, &sockets[3]).unwrap();
    let [
        (_, mut tx, _, mut completion),
        (mut in_rx, _, mut in_fill, _),
        (_, mut out_tx, _, mut out_completion),
        (mut rx, _, mut fill, _),
    ] = sockets.each_mut().map(rings);
    ends.fill(&mut fill, 64);
    bridge.fill(&mut in_fill, 64);

    let (mut sent, mut arrived, mut last) = (0_u64, 0_u64, None);
    for burst in (1..=48).cycle().take(2000) {
        let packets = (0..burst)
            .map(|_| {
                let mut packet = ends.packet(0, 0, 64);
                sent += 1;
                ends.umem.bytes_mut(&mut packet)[20..28].copy_from_slice(&sent.to_ne_bytes());
                packet
            })
            .collect();
        ends.send(&mut tx, &mut completion, packets);
        let mut crossing = Vec::new();
        in_rx.receive(40, |packet| crossing.push(packet));
        let count = crossing.len();
        bridge.send(&mut out_tx, &mut out_completion, crossing);
        bridge.fill(&mut in_fill, count);
        let mut got = Vec::new();
        rx.receive(64, |packet| got.push(packet));
        for packet in got {
            let number = ends.umem.bytes(&packet)[20..28].try_into().map(u64::from_ne_bytes).unwrap();
            assert!(last < Some(number), "{number} comes after {last:?}");
            last = Some(number);
            arrived += 1;
            fill.push(packet.frame()).unwrap();
        }
        fill.commit();
    }
    // What is still on its way.
    let lost = || sockets.iter().map(|socket| socket.statistics().unwrap().lost()).sum::<u64>();
    until("everything has arrived or is lost", || {
        let mut crossing = Vec::new();
        in_rx.receive(64, |packet| crossing.push(packet));
        let count = crossing.len();
        bridge.send(&mut out_tx, &mut out_completion, crossing);
        bridge.fill(&mut in_fill, count);
        arrived += rx.receive(64, |packet| fill.push(packet.frame()).unwrap()) as u64;
        fill.commit();
        arrived + lost() == sent
    });
    assert!(lost() > 0, "the rings were too small");
    assert!(arrived > sent / 4, "{arrived} of {sent}");
    ends.account(64);
    bridge.account(64);
    assert_eq!(bridge.spare.len() + ends.spare.len(), 2 * (256 - 64));
}
