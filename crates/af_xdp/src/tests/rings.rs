//! The four rings, with a kernel that does what the test says: it is made of the same cursors.
//!
//! ```text
//!             fill ─────────▶ ┌──────────┐ ─────────▶ RX
//!   program                   │  Kernel  │                     program
//!             TX ───────────▶ └──────────┘ ─────────▶ completion
//! ```

use crate::cursor::{Consumer, Cursor, Producer};
use crate::memory::{DescriptorSlot, RingMemory};
use crate::ring::Context;
use crate::sync::AtomicU64;
use crate::{CompletionRing, FillRing, RxRing, TxRing, Umem};

/// The other side of the four rings.
pub(super) struct Kernel {
    pub(super) fill: Consumer<AtomicU64>,
    pub(super) rx: Producer<DescriptorSlot>,
    pub(super) tx: Consumer<DescriptorSlot>,
    pub(super) completion: Producer<AtomicU64>,
}

/// The program's side of the four rings.
pub(super) struct Program {
    pub(super) fill: FillRing,
    pub(super) rx: RxRing,
    pub(super) tx: TxRing,
    pub(super) completion: CompletionRing,
}

/// Rings of `size`, whose indexes start at `first`.
pub(super) fn rings(umem: &Umem, size: u32, first: u32) -> (Program, Kernel) {
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
