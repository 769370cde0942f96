//! Packets on their way through a worker: up to 32, each in one frame or several.

use af_xdp::{Descriptor, Umem};

use super::plan::MAX_PARTS;
use crate::shard::BURST;
use crate::wire::protocol;

/// Where a packet came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// The port.
    pub(super) port: u16,
    /// The queue, by which the one is chosen that it leaves by: packets of one connection and direction come
    /// by one queue, and so leave in the order in which they came.
    pub(super) queue: u32,
}

/// One packet of a burst.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Where it came in.
    pub(super) origin: Origin,
    /// In how many frames it lies.
    pub(super) parts: usize,
}

/// A burst of packets. Both lists have room for the largest from the start; on the heap, because a worker's
/// bursts change places with each other several times for each of them.
#[derive(Debug)]
pub(super) struct Burst {
    /// Their frames, packet after packet.
    pub(super) descriptors: Vec<Descriptor>,
    /// The packets.
    pub(super) slots: Vec<Slot>,
}

impl Burst {
    pub(super) fn new() -> Burst {
        Burst { descriptors: Vec::with_capacity(BURST * MAX_PARTS), slots: Vec::with_capacity(BURST) }
    }

    /// Without even room: what stands in for one that is in use.
    pub(super) const fn nothing() -> Burst {
        Burst { descriptors: Vec::new(), slots: Vec::new() }
    }

    /// Whether a packet may lie deeper in its frame than the XDP program looks for what it steers by, so that it
    /// may be at the wrong worker: behind VLAN tags or IPv6 extension headers.
    pub(super) fn has_unusual(&self, umem: &Umem) -> bool {
        let mut first = 0;
        self.slots.iter().any(|slot| {
            let part = self.descriptors.get(first);
            first += slot.parts;
            part.is_some_and(|part| is_unusual(umem.bytes(part)))
        })
    }

    /// Adds a packet in one frame. There must be room.
    #[inline]
    pub(super) fn push(&mut self, descriptor: Descriptor, origin: Origin) {
        self.descriptors.push(descriptor);
        self.slots.push(Slot { origin, parts: 1 });
    }

    /// Adds a packet in several frames. There must be room.
    pub(super) fn push_parts(&mut self, parts: impl Iterator<Item = Descriptor>, origin: Origin) {
        let before = self.descriptors.len();
        self.descriptors.extend(parts);
        self.slots.push(Slot { origin, parts: self.descriptors.len() - before });
    }
}

/// See [`Burst::has_unusual`].
fn is_unusual(bytes: &[u8]) -> bool {
    match bytes.get(12..14) {
        Some([0x81, 0x00] | [0x88, 0xa8] | [0x91, 0x00]) => true,
        Some([0x86, 0xdd]) => {
            !matches!(bytes.get(20), Some(&(protocol::TCP | protocol::UDP | protocol::ICMPV6)) | None)
        }
        _ => false,
    }
}

/// Room to put packets together that lie in several frames: the engine looks at whole packets. The frames
/// themselves are sent on as they are.
#[derive(Debug)]
pub(super) struct Gathered {
    bytes: Box<[u8]>,
    longest: usize,
}

impl Gathered {
    /// Room for packets of up to `longest` bytes; none where no packet lies in several frames.
    pub(super) fn new(longest: usize) -> Gathered {
        Gathered { bytes: vec![0; longest * BURST].into(), longest }
    }

    /// Puts the packets of a burst together that lie in several frames.
    #[inline]
    pub(super) fn gather(&mut self, burst: &Burst, umem: &Umem) {
        if burst.descriptors.len() != burst.slots.len() {
            self.gather_all(burst, umem);
        }
    }

    #[cold]
    fn gather_all(&mut self, burst: &Burst, umem: &Umem) {
        let mut rest = &burst.descriptors[..];
        for (number, slot) in burst.slots.iter().enumerate() {
            let (parts, behind) = rest.split_at(slot.parts);
            rest = behind;
            if slot.parts == 1 {
                continue;
            }
            let mut at = number * self.longest;
            for part in parts {
                let bytes = umem.bytes(part);
                // There is room: a packet has no more frames than were reserved for it.
                if let Some(room) = self.bytes.get_mut(at..at + bytes.len()) {
                    room.copy_from_slice(bytes);
                }
                at += bytes.len();
            }
        }
    }

    /// The bytes of packet `number`, which lies in `parts`.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, number: usize, parts: &'a [Descriptor], umem: &'a Umem) -> &'a [u8] {
        match parts {
            [one] => umem.bytes(one),
            many => {
                let start = number * self.longest;
                let length: usize = many.iter().map(Descriptor::len).sum();
                self.bytes.get(start..start + length).unwrap_or(&[])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use af_xdp::UmemOptions;

    use super::*;

    #[test]
    fn a_packet_in_several_frames_is_seen_as_a_whole_and_one_in_a_single_frame_where_it_lies() {
        let options = UmemOptions { frames: 4, frame_size: 2048, ..UmemOptions::default() };
        let (umem, mut frames) = af_xdp::Umem::new(&options).unwrap();
        let mut part = |fill: u8, length: usize| {
            let mut descriptor = Descriptor::new(frames.next().unwrap(), 256, length).unwrap();
            umem.bytes_mut(&mut descriptor).fill(fill);
            descriptor
        };
        let origin = Origin { port: 1, queue: 2 };
        let mut burst = Burst::new();
        burst.push(part(1, 3), origin);
        burst.push_parts([part(2, 4), part(3, 2)].into_iter(), origin);
        burst.push(part(4, 1), origin);
        let mut gathered = Gathered::new(64);
        gathered.gather(&burst, &umem);
        let mut rest = &burst.descriptors[..];
        let mut seen = Vec::new();
        for (number, slot) in burst.slots.iter().enumerate() {
            let (parts, behind) = rest.split_at(slot.parts);
            rest = behind;
            seen.push(gathered.bytes(number, parts, &umem).to_vec());
        }
        assert_eq!(seen, [vec![1; 3], vec![2, 2, 2, 2, 3, 3], vec![4]]);
    }

    /// The cache lines that a burst's lists lie on.
    fn lines(burst: &Burst) -> Vec<usize> {
        let of = |start: usize, bytes: usize| start / 64..=(start + bytes - 1) / 64;
        let descriptors = burst.descriptors.capacity() * size_of::<Descriptor>();
        let slots = burst.slots.capacity() * size_of::<Slot>();
        of(burst.descriptors.as_ptr().addr(), descriptors)
            .chain(of(burst.slots.as_ptr().addr(), slots))
            .collect()
    }

    /// Why a worker makes its bursts on its own thread. Other allocators than glibc's promise less.
    #[test]
    #[cfg(target_env = "gnu")]
    fn what_two_threads_have_made_shares_no_line() {
        let barrier = std::sync::Barrier::new(2);
        let make = || {
            // Both are there before either ends: a thread's arena may be another's once it is gone.
            barrier.wait();
            let bursts = [(); 8].map(|()| {
                let burst = Burst::new();
                std::thread::yield_now();
                burst
            });
            barrier.wait();
            bursts.map(|burst| lines(&burst)).concat()
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(make);
            (make(), other.join().unwrap())
        });
        assert!(one.iter().all(|line| !other.contains(line)), "{one:?} {other:?}");
    }
}
