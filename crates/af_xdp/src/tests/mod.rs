//! The rings and the UMEM without a kernel, on ordinary memory: by example (`plain`), against a naive model
//! (`model`), and in every interleaving (`loom`). The first two run under Miri as well.

#[cfg(loom)]
mod loom;
#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod plain;
#[cfg(not(loom))]
mod rings;

use crate::cursor::{Consumer, Producer};
use crate::memory::{RawDescriptor, Slot};
use crate::{Frames, Umem, UmemOptions};

fn umem(frames: u32, tx_metadata: bool) -> (Umem, Frames) {
    let options = UmemOptions { frames, frame_size: 2048, headroom: 0, tx_metadata };
    Umem::new(&options).expect("a UMEM")
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
