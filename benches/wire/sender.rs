//! Packets from an AF_XDP socket: buffers of the network stack, as every local sender makes them.
//!
//! ```text
//!   4096 frames, each a whole packet ─► TX ring ─► la-client ═ la-in
//!     ▲                                              │
//!     └────────────── completion ring ◄──────────────┘
//! ```
//!
//! A packet is written once and sent again and again; the kernel copies it each time. Where buffers wait for the
//! middle, the socket may have only so many, and sends no faster than they go: nothing is lost.

use std::collections::VecDeque;
use std::io;

use af_xdp::{BindOptions, CompletionRing, Copy, Descriptor, Frame, TxRing, Umem, UmemOptions};

use crate::Failure;
use crate::flood::Packet;

/// Packets, and frames for them.
const FRAMES: u32 = 4096;
/// The most that are put into the ring at a time, and that one system call sends.
const BURST: u32 = 256;

/// A socket that sends, and the packets for it.
pub(crate) struct Sender {
    tx: TxRing,
    completion: CompletionRing,
    /// In a queue, not on a stack: every flow has its turn.
    packets: VecDeque<Descriptor>,
    length: usize,
}

impl Sender {
    /// For the interface with this index, in the calling thread's network namespace.
    pub(crate) fn new(interface: u32, packet: &Packet) -> Result<Sender, Failure> {
        let options = UmemOptions { frames: FRAMES, frame_size: 2048, ..UmemOptions::default() };
        let (umem, frames) = Umem::new(&options)?;
        let length = packet.bytes.len();
        let mut packets = VecDeque::with_capacity(FRAMES as usize);
        for (number, mut frame) in frames.enumerate() {
            let flow = (number % usize::from(packet.flows)) as u16;
            packet.write(flow, &mut umem.whole_frame_mut(&mut frame)[..length]);
            packets.extend(Descriptor::new(frame, 0, length));
        }
        let budget = Some(BURST);
        let options = BindOptions {
            rx: 0,
            copy: Copy::Copy,
            transmit_budget: budget,
            ..BindOptions::new(interface, 0)
        };
        let socket = umem.bind(&options)?;
        match (socket.tx, socket.completion) {
            (Some(tx), Some(completion)) => Ok(Sender { tx, completion, packets, length }),
            _ => Err("the generator's socket has no rings".into()),
        }
    }

    /// Sends up to so many packets; returns how many that were.
    pub(crate) fn send(&mut self, most: u32) -> io::Result<u32> {
        let Sender { tx, completion, packets, length } = self;
        let again = |frame: Frame| packets.extend(Descriptor::new(frame, 0, *length));
        completion.reap(usize::MAX, again);
        let room = tx.free().min(BURST).min(most) as usize;
        let mut count = 0;
        for packet in packets.drain(..room.min(packets.len())) {
            // There is room.
            count += u32::from(tx.push(packet).is_ok());
        }
        tx.commit();
        if tx.needs_wakeup() {
            // Whether it has sent everything or not, the next turn goes on.
            tx.wake()?;
        }
        Ok(count)
    }
}
