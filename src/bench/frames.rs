//! Frames as the contract's workloads want them: 54 bytes, true checksums, written where a NIC would write.

use std::io;

use memmap2::{Advice, MmapMut};

use crate::wire::Flags;

/// How many frames lie in memory before the first is written again.
const SLOTS: usize = 4096;
/// The distance from one frame to the next, as in a UMEM.
const FRAME: usize = 2048;
/// A bare segment: Ethernet 14, IPv4 20, TCP 20.
const LENGTH: usize = 54;
/// The most frames in a burst.
const BURST: usize = crate::shard::BURST;

/// A connection of the workload, by its number: 10.0.0.0 + n from port 1024 + n to 192.168.x.y:443, the
/// tuples of the reference programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow(pub(super) u32);

/// Which segment of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) flags: Flags,
    /// From the responder.
    pub(super) back: bool,
    pub(super) seq: u32,
    pub(super) ack: u32,
}

/// The memory that frames are written into, round and round.
#[derive(Debug)]
pub(super) struct Frames {
    memory: MmapMut,
    /// Where the present burst begins, and how many frames it has.
    first: usize,
    count: usize,
}

impl Frames {
    pub(super) fn new() -> io::Result<Frames> {
        let memory = MmapMut::map_anon(SLOTS * FRAME)?;
        // Without huge pages it is slower and just as right.
        let _ = memory.advise(Advice::HugePage);
        Ok(Frames { memory, first: 0, count: 0 })
    }

    /// Begins a burst behind the last one.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.first = if self.first + 2 * BURST <= SLOTS { self.first + BURST } else { 0 };
        self.count = 0;
    }

    /// Writes the next frame of the burst.
    #[inline]
    pub(super) fn write(&mut self, flow: Flow, step: Step) {
        let at = (self.first + self.count) * FRAME;
        let Some(frame) = self.memory[at..].first_chunk_mut::<LENGTH>() else { return };
        self.count += 1;
        fill(frame, flow, step);
    }

    /// The frames of the burst.
    #[inline]
    pub(super) fn burst(&self) -> impl Iterator<Item = &[u8]> {
        let frames = self.memory[self.first * FRAME..].chunks_exact(FRAME);
        frames.take(self.count).map(|frame| &frame[..LENGTH])
    }
}

/// An IPv4 header without addresses and checksum: 40 bytes in all, TTL 64, TCP.
const IP: [u8; 12] = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];

#[inline(always)]
fn fill(frame: &mut [u8; LENGTH], flow: Flow, step: Step) {
    let originator = 0x0a00_0000_u32.wrapping_add(flow.0);
    let responder = 0xc0a8_0000 + (flow.0.wrapping_mul(2_654_435_761) >> 20);
    let port = 1024 + (flow.0 % 60_000) as u16;
    let (source, destination) = if step.back { (responder, originator) } else { (originator, responder) };
    let (source_port, destination_port) = if step.back { (443, port) } else { (port, 443) };

    // Sums are of 32-bit words: ones' complement does not care.
    let addresses = u64::from(source) + u64::from(destination);
    let ports = u32::from(source_port) << 16 | u32::from(destination_port);
    let control = 0x5000_ffff | u32::from(step.flags.0) << 16;
    let segment = addresses + 6 + 20 + u64::from(ports) + u64::from(step.seq) + u64::from(step.ack);

    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..26].copy_from_slice(&IP);
    frame[24..26].copy_from_slice(&complement(0x4500_0028 + 0x4000 + 0x4006_0000 + addresses).to_be_bytes());
    frame[26..30].copy_from_slice(&source.to_be_bytes());
    frame[30..34].copy_from_slice(&destination.to_be_bytes());
    frame[34..38].copy_from_slice(&ports.to_be_bytes());
    frame[38..42].copy_from_slice(&step.seq.to_be_bytes());
    frame[42..46].copy_from_slice(&step.ack.to_be_bytes());
    frame[46..50].copy_from_slice(&control.to_be_bytes());
    frame[50..52].copy_from_slice(&complement(segment + u64::from(control)).to_be_bytes());
    frame[52..54].copy_from_slice(&[0, 0]);
}

/// The ones' complement of a sum of 32-bit words.
const fn complement(sum: u64) -> u16 {
    // A number plus itself with the halves swapped has the sum of the halves, end-around carry included, in its
    // upper half.
    let word = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    !(word.wrapping_add(word.rotate_left(16)) >> 16) as u16
}

/// Marsaglia's xorshift, the reference programs' generator: cheap, and the same run every time.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number below `n`.
    #[inline(always)]
    pub(super) fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 & 0xffff_ffff) * u64::from(n)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Checks, Frame, Link, Transport};

    #[test]
    fn frames_are_what_they_should_be_and_their_checksums_true() {
        let mut frames = Frames::new().unwrap();
        frames.begin();
        let step = Step { flags: Flags::ACK, back: true, seq: 101, ack: u32::MAX };
        for number in [0, 1, 59_999, 123_456_789] {
            frames.write(Flow(number), step);
        }
        for bytes in frames.burst() {
            let packet = wire::parse(&Frame::whole(bytes, Link::Ethernet), Checks::ALL);
            let Transport::Tcp(segment) = packet.transport else { panic!("{:?}", packet.transport) };
            assert_eq!((segment.seq.0, segment.ack.0, segment.payload), (101, u32::MAX, 0));
            let mut broken = *bytes.first_chunk::<LENGTH>().unwrap();
            broken[40] ^= 1;
            let packet = wire::parse(&Frame::whole(&broken, Link::Ethernet), Checks::ALL);
            assert!(matches!(packet.transport, Transport::Malformed(wire::Fault::BadChecksum)));
        }
        assert_eq!(frames.burst().count(), 4);
    }
}
