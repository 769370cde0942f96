//! All of a running middlebox as control and metrics see it: its workers, and its ports.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::View;
use crate::time::SystemClock;

/// A running middlebox.
#[derive(Debug)]
pub struct Plane {
    /// The workers, in the order of their numbers.
    pub workers: Vec<Arc<View>>,
    /// The ports, in the order of the configuration.
    pub ports: Vec<PortView>,
    /// The clock by which packets are stamped: nanoseconds since 1970.
    pub clock: SystemClock,
    /// When it was started, in seconds since 1970.
    pub started: f64,
    /// How many frames the UMEM has.
    pub umem_frames: u64,
    /// How long each of them is, in bytes.
    pub frame_size: u64,
    /// Free frames that no worker has, until one needs them.
    pub spare_frames: Watch<u64>,
    /// What the table's memory is made of, in words: huge pages or not.
    pub table_memory: String,
    /// Bytes of address space reserved for the tables.
    pub table_bytes: u64,
    /// Bytes of memory that the tables really hold.
    pub table_resident: Watch<Option<u64>>,
    /// Bytes of that in huge pages.
    pub table_huge: Watch<Option<u64>>,
}

/// A number that lies elsewhere and is looked up when it is asked for.
pub struct Watch<T>(Box<dyn Fn() -> T + Send + Sync>);

impl<T> Watch<T> {
    /// Looks it up by `look`.
    pub fn new(look: impl Fn() -> T + Send + Sync + 'static) -> Watch<T> {
        Watch(Box::new(look))
    }

    /// The number now.
    pub fn look(&self) -> T {
        (self.0)()
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// A port.
#[derive(Debug)]
pub struct PortView {
    /// Its name in the configuration.
    pub name: String,
    /// The interface's name.
    pub interface: String,
    /// The bridge it belongs to, which is the zone of its connections; none where it belongs to none.
    pub zone: Option<u16>,
    /// Its queues, in ascending order.
    pub queues: Vec<QueueView>,
    /// Frames that the XDP program dropped because no socket was there for them.
    pub unclaimed: Watch<u64>,
    /// What became of the interface.
    pub state: PortState,
}

/// One queue of a port.
#[derive(Debug)]
pub struct QueueView {
    /// Its number.
    pub queue: u32,
    /// How frames get from the driver to the worker: `zero-copy`, `native` or `generic`.
    pub mode: &'static str,
    /// The kernel's own loss counters, summed over the queue's sockets; none once the interface is gone.
    pub losses: Watch<Option<KernelLosses>>,
}

/// What the kernel counts as lost at a queue's sockets (`XDP_STATISTICS`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KernelLosses {
    /// Dropped for another reason than a full receive ring, an empty fill ring included.
    pub rx_dropped: u64,
    /// Descriptors of the receive ring that were not valid. The kernel writes them itself: none.
    pub rx_invalid: u64,
    /// Descriptors in the transmit ring that were not valid.
    pub tx_invalid: u64,
    /// Packets that were sent and that the driver then dropped: its queue, or its peer's, was full. Only where
    /// packets are copied does the kernel say so.
    pub tx_dropped: u64,
    /// Dropped because the receive ring was full.
    pub rx_ring_full: u64,
    /// Times the fill ring was found empty.
    pub fill_ring_empty: u64,
    /// Times the transmit ring was found empty.
    pub tx_ring_empty: u64,
}

/// What became of an interface; written by whoever watches links, read by everybody.
#[derive(Debug, Default)]
pub struct PortState(AtomicU8);

impl PortState {
    /// The state.
    pub fn get(&self) -> LinkState {
        match self.0.load(Relaxed) {
            0 => LinkState::Up,
            1 => LinkState::Down,
            _ => LinkState::Gone,
        }
    }

    /// Changes it.
    pub fn set(&self, state: LinkState) {
        self.0.store(state as u8, Relaxed);
    }
}

/// Whether an interface can carry packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkState {
    /// It can.
    Up = 0,
    /// It is down, or has no carrier.
    Down = 1,
    /// It was deleted.
    Gone = 2,
}

impl LinkState {
    /// The name in JSON and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            LinkState::Up => "up",
            LinkState::Down => "down",
            LinkState::Gone => "gone",
        }
    }
}
