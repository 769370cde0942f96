//! The four rings as the program sees them: frames go in, frames come out.
//!
//! ```text
//!              ┌─ FillRing::push ──▶ kernel receives ──▶ RxRing::receive ─┐
//!   program ───┤                                                         ├──▶ program
//!              └─ TxRing::push ────▶ kernel sends ───▶ CompletionRing::reap ┘
//! ```
//!
//! What is pushed becomes visible to the kernel with `commit`, once per burst. Each ring is its own value and
//! may move to its own thread; it keeps its socket and its UMEM.

use std::io;

use crate::cursor::{Consumer, Producer};
use crate::descriptor::Descriptor;
use crate::memory::{DescriptorSlot, Frame, Slot};
use crate::socket::SocketHandle;
use crate::sync::AtomicU64;
use crate::umem::Umem;

/// What a ring needs beside its memory. The UMEM comes last, so that it goes last.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// `None` in tests without a kernel.
    pub(crate) socket: Option<SocketHandle>,
    pub(crate) umem: Umem,
}

impl Context {
    fn socket(&self) -> io::Result<&SocketHandle> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// What [`TxRing::wake`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The kernel has looked at the ring, and has sent what it could.
    Sent,
    /// It has not sent everything: its budget for one call is used up, the device's queue is full, or
    /// memory is short (EAGAIN, ENOBUFS). Reap completions and wake it again.
    Again,
    /// The device has dropped one packet, whose frames come back as if it were sent, and the kernel has stopped
    /// there (EBUSY; copy mode alone). Wake it again for the rest.
    Dropped,
}

/// Packets that have arrived.
#[derive(Debug)]
pub struct RxRing {
    ring: Consumer<DescriptorSlot>,
    invalid: u64,
    context: Context,
}

impl RxRing {
    pub(crate) fn new(ring: Consumer<DescriptorSlot>, context: Context) -> RxRing {
        RxRing { ring, invalid: 0, context }
    }

    /// Takes up to `max` descriptors out of the ring, in order, and calls `each` with every one; returns how
    /// many that were. A packet in several frames is several calls, and may be cut by `max`.
    ///
    /// A descriptor that makes no sense is counted ([`invalid`](RxRing::invalid)) and not handed out.
    #[inline]
    pub fn receive(&mut self, max: usize, mut each: impl FnMut(Descriptor)) -> usize {
        let ready = self.ring.ready(u32::try_from(max).unwrap_or(u32::MAX));
        if ready == 0 {
            return 0;
        }
        let mut received = 0;
        for _ in 0..ready {
            let raw = self.ring.slot().get();
            // First, so that a panic in `each` does not make us see the slot again.
            self.ring.advance();
            match Descriptor::claim(&self.context.umem, raw) {
                Some(descriptor) => {
                    received += 1;
                    each(descriptor);
                }
                None => self.invalid += 1,
            }
        }
        self.ring.publish();
        received
    }

    /// How many descriptors wait in the ring.
    #[inline]
    pub fn pending(&mut self) -> u32 {
        self.ring.all_ready()
    }

    /// How many descriptors made no sense since the ring was made: outside the UMEM, or of a frame that the
    /// kernel did not have. Never anything but 0, unless the kernel errs.
    pub fn invalid(&self) -> u64 {
        self.invalid
    }
}

/// Packets to send.
#[derive(Debug)]
pub struct TxRing {
    ring: Producer<DescriptorSlot>,
    context: Context,
}

impl TxRing {
    pub(crate) fn new(ring: Producer<DescriptorSlot>, context: Context) -> TxRing {
        TxRing { ring, context }
    }

    /// How many descriptors there is room for. A packet in several frames wants room for all of them first.
    #[inline]
    pub fn free(&mut self) -> u32 {
        self.ring.all_ready()
    }

    /// Puts a descriptor into the ring; gives it back if the ring is full. The kernel sees it after
    /// [`commit`](TxRing::commit), and looks after [`wake`](TxRing::wake) if it
    /// [`needs_wakeup`](TxRing::needs_wakeup).
    ///
    /// # Panics
    ///
    /// If the frame is one of another UMEM.
    #[inline]
    #[track_caller]
    pub fn push(&mut self, descriptor: Descriptor) -> Result<(), Descriptor> {
        if self.ring.ready(1) == 0 {
            return Err(descriptor);
        }
        self.ring.slot().put(descriptor.surrender(&self.context.umem));
        self.ring.advance();
        Ok(())
    }

    /// Shows the kernel what was pushed.
    #[inline]
    pub fn commit(&mut self) {
        self.ring.publish();
    }

    /// Whether the kernel sends only after [`wake`](TxRing::wake): always in copy mode, and always without
    /// [`need_wakeup`](crate::BindOptions::need_wakeup); otherwise the driver says so when it matters.
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }

    /// Has the kernel send what was committed: one sendto(2), which does not wait.
    ///
    /// # Errors
    ///
    /// ENETDOWN if the interface is down, ENXIO if it is gone; what is in the ring stays there.
    pub fn wake(&self) -> io::Result<Wake> {
        self.context.socket()?.wake()
    }
}

/// Empty frames for the kernel to receive into.
#[derive(Debug)]
pub struct FillRing {
    ring: Producer<AtomicU64>,
    context: Context,
}

impl FillRing {
    pub(crate) fn new(ring: Producer<AtomicU64>, context: Context) -> FillRing {
        FillRing { ring, context }
    }

    /// How many frames there is room for.
    #[inline]
    pub fn free(&mut self) -> u32 {
        self.ring.all_ready()
    }

    /// Puts a frame into the ring; gives it back if the ring is full. The kernel sees it after
    /// [`commit`](FillRing::commit).
    ///
    /// # Panics
    ///
    /// If the frame is one of another UMEM.
    #[inline]
    #[track_caller]
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.ring.ready(1) == 0 {
            return Err(frame);
        }
        let area = self.context.umem.area();
        let index = area.surrender(frame);
        self.ring.slot().put(area.identity().address(index, 0));
        self.ring.advance();
        Ok(())
    }

    /// Shows the kernel what was pushed.
    #[inline]
    pub fn commit(&mut self) {
        self.ring.publish();
    }

    /// Whether the kernel takes new frames only after [`wake`](FillRing::wake) or a poll(2).
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }

    /// Has the driver look at the ring: one recvfrom(2), which does not wait. In copy mode the kernel looks
    /// by itself.
    ///
    /// # Errors
    ///
    /// ENETDOWN if the interface is down, ENXIO if it is gone.
    pub fn wake(&self) -> io::Result<()> {
        self.context.socket()?.wake_fill()
    }
}

/// Frames whose packets have been sent.
#[derive(Debug)]
pub struct CompletionRing {
    ring: Consumer<AtomicU64>,
    invalid: u64,
    context: Context,
}

impl CompletionRing {
    pub(crate) fn new(ring: Consumer<AtomicU64>, context: Context) -> CompletionRing {
        CompletionRing { ring, invalid: 0, context }
    }

    /// Takes up to `max` frames out of the ring and calls `each` with every one; returns how many that were.
    /// The kernel sends no more than this ring has room for: reap before every burst.
    #[inline]
    pub fn reap(&mut self, max: usize, mut each: impl FnMut(Frame)) -> usize {
        let ready = self.ring.ready(u32::try_from(max).unwrap_or(u32::MAX));
        if ready == 0 {
            return 0;
        }
        let area = self.context.umem.area();
        let mut reaped = 0;
        for _ in 0..ready {
            let address = self.ring.slot().get();
            self.ring.advance();
            // The address is where the packet began: anywhere in its frame.
            let (index, _) = area.identity().split(address);
            match area.claim(index) {
                Some(frame) => {
                    reaped += 1;
                    each(frame);
                }
                None => self.invalid += 1,
            }
        }
        self.ring.publish();
        reaped
    }

    /// How many frames wait in the ring.
    #[inline]
    pub fn pending(&mut self) -> u32 {
        self.ring.all_ready()
    }

    /// How many addresses made no sense since the ring was made; see [`RxRing::invalid`].
    pub fn invalid(&self) -> u64 {
        self.invalid
    }
}
