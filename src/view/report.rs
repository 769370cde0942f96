//! What a worker tells of itself, as numbers: the raw material of `stats`, `top` and the metrics.
//!
//! A worker copies its own numbers into its [`Report`] about once a millisecond and before it sleeps. All
//! are totals since the start that never decrease, unless their docstring calls them a gauge.

use std::ops::AddAssign;

use crate::shard::{Census, Counters};

/// One worker's numbers.
#[derive(Debug, Clone)]
pub struct Report {
    /// What its shard has done.
    pub counters: Counters,
    /// Which connections live in its shard; a gauge.
    pub census: Census,
    /// Its own work.
    pub work: Work,
    /// Where its UMEM frames are; a gauge.
    pub frames: Frames,
    /// What went through each of its sockets, in the order of [`crate::view::Sockets`].
    pub sockets: Vec<Traffic>,
}

impl Report {
    /// Becomes a copy of `other`, which is of the same worker; nothing is allocated.
    pub(super) fn copy_from(&mut self, other: &Report) {
        let Report { counters, census, work, frames, sockets } = other;
        self.counters.clone_from(counters);
        self.census.clone_from(census);
        (self.work, self.frames) = (*work, *frames);
        for (mine, theirs) in self.sockets.iter_mut().zip(sockets) {
            *mine = *theirs;
        }
    }
}

/// What a worker has done beside judging.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Bursts that held at least one packet.
    pub bursts: u64,
    /// Bursts that were judged when the next one had been read already: more was waiting.
    pub overlapped: u64,
    /// Times it looked at all its rings.
    pub turns: u64,
    /// Times it went to sleep.
    pub sleeps: u64,
    /// Nanoseconds spent in turns that found something to do.
    pub busy_nanoseconds: u64,
    /// Packets given to other workers, whose connections they belong to.
    pub handed_over: u64,
    /// Packets taken over from other workers.
    pub taken_over: u64,
}

/// Where a worker's UMEM frames are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frames {
    /// In its own list of free frames.
    pub free: u64,
    /// Held: fragments that wait for the rest of their datagram.
    pub held: u64,
    /// On their way from worker to worker, read and not judged yet, and the beginnings of packets whose end has not
    /// come yet. Of one worker this may be negative, as may the next two, where another one's frames came to it; of
    /// all workers together none is.
    pub under_way: i64,
    /// Given to the kernel to receive into and not come back yet; as [`Frames::under_way`].
    pub filling: i64,
    /// Given to the kernel to send and not come back yet; as [`Frames::under_way`].
    pub sending: i64,
}

/// What went through one socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets received.
    pub received: Volume,
    /// Packets given to the port to send.
    pub sent: Volume,
    /// Packets that came in here and were dropped behind the shard, by [`Loss`].
    pub lost: [u64; Loss::ALL.len()],
}

/// Packets and bytes; bytes are those of whole frames, link header included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl AddAssign for Volume {
    fn add_assign(&mut self, other: Volume) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Why a packet was dropped though no shard refused it. Counted where the packet came in, beside the
/// shards' reasons and under names of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Loss {
    /// The ring to the worker that owns its connection was full.
    HandOverFull,
    /// The port it should leave by could not take it: its transmit ring stayed full.
    TransmitFull,
    /// The port it should leave by is down or gone.
    PortDown,
    /// Longer than the port it should leave by can send, or than what is put together from several frames.
    TooLong,
}

impl Loss {
    /// Every loss, in the order of their numbers.
    pub const ALL: [Loss; 4] = [Loss::HandOverFull, Loss::TransmitFull, Loss::PortDown, Loss::TooLong];

    /// The name in JSON and statistics, beside the names of [`crate::shard::Reason`].
    pub const fn name(self) -> &'static str {
        match self {
            Loss::HandOverFull => "hand_over_full",
            Loss::TransmitFull => "transmit_full",
            Loss::PortDown => "port_down",
            Loss::TooLong => "too_long",
        }
    }
}
