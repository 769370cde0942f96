//! Packets on their way through a worker: up to 32, each in one frame or several.

use af_xdp::{Descriptor, Umem};

use super::plan::MAX_PARTS;
use crate::shard::BURST;
use crate::time::Time;
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
    /// Which of the burst's frames is its first, and in how many it lies.
    first: usize,
    pub(super) parts: usize,
}

/// A burst of packets. All lists have room for the largest from the start; on the heap, because a worker's
/// bursts change places with each other several times for each of them.
#[derive(Debug)]
pub(super) struct Burst {
    /// Their frames, packet after packet.
    pub(super) descriptors: Vec<Descriptor>,
    /// The packets.
    pub(super) slots: Vec<Slot>,
    /// Those that lie in several frames, once more as a whole.
    gathered: Gathered,
    /// When it was received, and the number of its first packet's token.
    pub(super) at: Time,
    pub(super) token: u64,
    /// Whether a fragment is among them, as far as anybody has looked.
    pub(super) has_fragments: bool,
}

impl Burst {
    /// None yet; a packet in several frames has up to `longest` bytes, 0 where there is no such packet.
    pub(super) fn new(longest: usize) -> Burst {
        Burst {
            descriptors: Vec::with_capacity(BURST * MAX_PARTS),
            slots: Vec::with_capacity(BURST),
            gathered: Gathered::new(longest),
            at: Time::default(),
            token: 0,
            has_fragments: false,
        }
    }

    /// Without even room: what stands in for one that is in use.
    pub(super) fn nothing() -> Burst {
        let (descriptors, slots, gathered) = (Vec::new(), Vec::new(), Gathered::new(0));
        Burst { descriptors, slots, gathered, at: Time::default(), token: 0, has_fragments: false }
    }

    /// Puts the packets together that lie in several frames: before anybody looks at their bytes.
    #[inline]
    pub(super) fn gather(&mut self, umem: &Umem) {
        if self.descriptors.len() != self.slots.len() {
            self.gathered.gather(&self.slots, &self.descriptors, umem);
        }
    }

    /// The bytes of the packet at `place`.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, place: usize, umem: &'a Umem) -> &'a [u8] {
        let Slot { first, parts, .. } = self.slots[place];
        match &self.descriptors[first..first + parts] {
            [one] => umem.bytes(one),
            many => self.gathered(place, many),
        }
    }

    /// The bytes of the packet at `place`, whose `parts` may have been taken out already, as they were put together.
    pub(super) fn gathered(&self, place: usize, parts: &[Descriptor]) -> &[u8] {
        self.gathered.bytes(place, parts.iter().map(Descriptor::len).sum())
    }

    /// Whether a packet may lie deeper in its frame than the XDP program looks for what it steers by, so that it
    /// may be at the wrong worker: behind VLAN tags or IPv6 extension headers.
    pub(super) fn has_unusual(&self, umem: &Umem) -> bool {
        let first_of = |slot: &Slot| self.descriptors.get(slot.first);
        self.slots.iter().filter_map(first_of).any(|part| is_unusual(umem.bytes(part)))
    }

    /// Adds a packet in one frame. There must be room.
    #[inline]
    pub(super) fn push(&mut self, descriptor: Descriptor, origin: Origin) {
        self.slots.push(Slot { origin, first: self.descriptors.len(), parts: 1 });
        self.descriptors.push(descriptor);
    }

    /// Adds a packet in several frames. There must be room.
    pub(super) fn push_parts(&mut self, parts: impl Iterator<Item = Descriptor>, origin: Origin) {
        let first = self.descriptors.len();
        self.descriptors.extend(parts);
        self.slots.push(Slot { origin, first, parts: self.descriptors.len() - first });
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
struct Gathered {
    bytes: Box<[u8]>,
    longest: usize,
}

impl Gathered {
    /// Room for packets of up to `longest` bytes; none where no packet lies in several frames.
    fn new(longest: usize) -> Gathered {
        Gathered { bytes: vec![0; longest * BURST].into(), longest }
    }

    #[cold]
    fn gather(&mut self, slots: &[Slot], descriptors: &[Descriptor], umem: &Umem) {
        for (place, slot) in slots.iter().enumerate() {
            if slot.parts == 1 {
                continue;
            }
            let mut at = place * self.longest;
            for part in &descriptors[slot.first..slot.first + slot.parts] {
                let bytes = umem.bytes(part);
                // There is room: a packet has no more frames than were reserved for it.
                if let Some(room) = self.bytes.get_mut(at..at + bytes.len()) {
                    room.copy_from_slice(bytes);
                }
                at += bytes.len();
            }
        }
    }

    /// The packet at `place`, of so many bytes.
    fn bytes(&self, place: usize, length: usize) -> &[u8] {
        let start = place * self.longest;
        self.bytes.get(start..start + length).unwrap_or(&[])
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
        let mut burst = Burst::new(64);
        burst.push(part(1, 3), origin);
        burst.push_parts([part(2, 4), part(3, 2)].into_iter(), origin);
        burst.push(part(4, 1), origin);
        burst.gather(&umem);
        let seen: Vec<_> = (0..3).map(|place| burst.bytes(place, &umem).to_vec()).collect();
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
                let burst = Burst::new(0);
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
