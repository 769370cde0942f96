//! Frames as the contract's workloads want them: true checksums, written where a NIC would write.
//!
//! ```text
//!  │ Ethernet 14 │ IPv4 20 │ TCP 20 │            54 bytes: a bare segment
//!  │ Ethernet 14 │ IPv4 20 │ TCP 20 │ data 100 │ 154
//!  │ Ethernet 14 │ IPv6 40        │ TCP 20 │     74
//! ```
//!
//! They are part of what is timed, so writing one takes no loop: headers are constants but for a few words, and
//! checksums are sums of words that are at hand anyway.

use std::io;

use memmap2::{Advice, MmapMut};

use crate::wire::Flags;

/// How many frames lie in memory before the first is written again.
const SLOTS: usize = 4096;
/// The distance from one frame to the next, as in a UMEM.
const FRAME: usize = 2048;
/// The bytes of a slot that a frame may fill: the longest has 154.
const ROOM: usize = 256;
/// The most frames in a burst.
const BURST: usize = crate::shard::BURST;

const ETHERNET: usize = 14;
const V4: usize = 20;
const V6: usize = 40;
const TCP: usize = 20;
/// The bytes of data that a segment has, if it has any.
const DATA: usize = 100;
/// What they are, word for word.
const DATA_WORD: u32 = u32::from_be_bytes(*b"data");

/// Which IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

/// The port that every connection goes to.
pub(super) const SERVICE: u16 = 443;

/// A connection of the workload, by its number: 10.0.0.0 + n from port 1024 + n to 192.168.x.y:443, the
/// tuples of the reference programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow(pub(super) u32);

impl Flow {
    #[inline(always)]
    pub(super) const fn tuple(self) -> Tuple {
        Tuple {
            originator: 0x0a00_0000_u32.wrapping_add(self.0),
            responder: 0xc0a8_0000 + (self.0.wrapping_mul(2_654_435_761) >> 20),
            port: 1024 + (self.0 % 60_000) as u16,
        }
    }
}

/// Who talks to whom: the originator from this port, the responder from [`SERVICE`]. Over IPv6 the addresses are the
/// last words of longer ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuple {
    pub(super) originator: u32,
    pub(super) responder: u32,
    pub(super) port: u16,
}

/// Which segment of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) flags: Flags,
    /// From the responder.
    pub(super) back: bool,
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// With 100 bytes of data; IPv4 only.
    pub(super) data: bool,
}

/// A burst that was written: where it begins, how many frames it has, and how many bytes each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    first: usize,
    count: usize,
    lengths: [u16; BURST],
}

impl Written {
    /// How many frames it has.
    #[inline(always)]
    pub(super) const fn count(&self) -> usize {
        self.count
    }
}

/// The memory that frames are written into, round and round.
#[derive(Debug)]
pub(super) struct Frames {
    memory: MmapMut,
    /// The present burst.
    burst: Written,
}

impl Frames {
    pub(super) fn new() -> io::Result<Frames> {
        let memory = MmapMut::map_anon(SLOTS * FRAME)?;
        // Without huge pages it is slower and just as right.
        let _ = memory.advise(Advice::HugePage);
        Ok(Frames { memory, burst: Written::default() })
    }

    /// Begins a burst behind the last one.
    #[inline]
    pub(super) fn begin(&mut self) {
        let Written { first, count, .. } = &mut self.burst;
        *first = if *first + 2 * BURST <= SLOTS { *first + BURST } else { 0 };
        *count = 0;
    }

    /// Writes a full burst, each segment of the connection in its place.
    #[inline(always)]
    pub(super) fn write_planned(&mut self, plan: &Plan, flows: &[Flow; BURST]) {
        // The version is settled outside the loops.
        match plan.version {
            Version::V4 => self.write_all(Version::V4, plan, flows),
            Version::V6 => self.write_all(Version::V6, plan, flows),
        }
    }

    // In two loops: the first one has nothing but arithmetic on numbers side by side, for which there are vectors.
    #[inline(always)]
    fn write_all(&mut self, version: Version, plan: &Plan, flows: &[Flow; BURST]) {
        let (mut ends, mut ports, mut sums) = ([[0; BURST]; 2], [0; BURST], [[0; BURST]; 2]);
        for (number, flow) in flows.iter().enumerate() {
            let words = Words::of(plan.varying(number), flow.tuple());
            (ends[0][number], ends[1][number]) = (words.source, words.destination);
            ports[number] = words.ports;
            (sums[0][number], sums[1][number]) = (words.header_sum, words.segment_sum);
        }
        self.begin();
        let places = self.memory[self.burst.first * FRAME..].chunks_exact_mut(FRAME).take(BURST);
        for (number, (place, fixed)) in places.zip(&plan.fixed).enumerate() {
            let Some(frame) = place.first_chunk_mut() else { continue };
            let (source, destination) = (ends[0][number], ends[1][number]);
            let (header_sum, segment_sum) = (sums[0][number], sums[1][number]);
            let words = Words { source, destination, ports: ports[number], header_sum, segment_sum };
            place_segment(frame, version, fixed, &words);
        }
        self.burst.lengths = plan.lengths;
        self.burst.count = BURST;
    }

    /// Writes the next frame of the burst.
    #[inline(always)]
    pub(super) fn write(&mut self, version: Version, flow: Flow, step: Step) {
        self.write_tuple(version, flow.tuple(), step);
    }

    /// The same of any tuple, over IPv4.
    #[inline(always)]
    pub(super) fn write_v4(&mut self, tuple: Tuple, step: Step) {
        self.write_tuple(Version::V4, tuple, step);
    }

    #[inline(always)]
    fn write_tuple(&mut self, version: Version, tuple: Tuple, step: Step) {
        if let Some(frame) = self.next() {
            let fixed = Fixed::of(version, step);
            place_segment(frame, version, &fixed, &Words::of(Varying::of(version, step), tuple));
            self.push(fixed.length(version));
        }
    }

    #[inline(always)]
    fn next(&mut self) -> Option<&mut [u8; ROOM]> {
        self.memory[(self.burst.first + self.burst.count) * FRAME..].first_chunk_mut()
    }

    #[inline(always)]
    fn push(&mut self, length: u16) {
        let Written { count, lengths, .. } = &mut self.burst;
        if let Some(place) = lengths.get_mut(*count) {
            *place = length;
            *count += 1;
        }
    }

    /// How many frames the present burst has.
    #[inline]
    pub(super) const fn count(&self) -> usize {
        self.burst.count
    }

    /// The present burst; it stays as it is until [`SLOTS`] more frames were written.
    #[inline]
    pub(super) const fn written(&self) -> &Written {
        &self.burst
    }

    /// The frame at `place` of a burst.
    #[inline(always)]
    pub(super) fn frame(&self, burst: &Written, place: usize) -> &[u8] {
        let begin = (burst.first + place) * FRAME;
        self.memory.get(begin..begin + usize::from(burst.lengths[place])).unwrap_or_default()
    }

    /// The frames of the present burst.
    #[cfg(test)]
    fn burst(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.burst.count).map(|place| self.frame(&self.burst, place))
    }
}

/// An IPv4 header without length, checksum and addresses: TTL 64, TCP.
const V4_HEADER: [u8; 12] = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
/// The sum of these words.
const V4_SUM: u32 = 0x4500 + 0x4000 + 0x4006;

/// An IPv6 header without the last word of either address: hop limit 64, TCP, 2001:db8:0:1::/96 and
/// 2001:db8:0:2::/96.
const V6_BEGINNING: [u8; 8] = [0x60, 0, 0, 0, 0, TCP as u8, 6, 64];
const V6_SOURCE: [u8; 12] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0];
const V6_DESTINATION: [u8; 12] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 2, 0, 0, 0, 0];
/// The sum of the words of both addresses' beginnings.
const V6_SUM: u32 = 2 * (0x2001 + 0x0db8) + 1 + 2;

/// What the segments of a full burst are, as far as their connections do not matter: worked out once, so that whatever
/// bursts are made of, writing one takes the same few instructions.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    version: Version,
    backs: [u32; BURST],
    header_sums: [u32; BURST],
    segment_sums: [u32; BURST],
    fixed: [Fixed; BURST],
    lengths: [u16; BURST],
}

impl Plan {
    /// A burst of these segments.
    pub(super) fn new(version: Version, steps: &[Step; BURST]) -> Plan {
        let varying = steps.map(|step| Varying::of(version, step));
        let fixed = steps.map(|step| Fixed::of(version, step));
        Plan {
            version,
            backs: varying.map(|of| of.back),
            header_sums: varying.map(|of| of.header_sum),
            segment_sums: varying.map(|of| of.segment_sum),
            lengths: fixed.map(|of| of.length(version)),
            fixed,
        }
    }

    #[inline(always)]
    const fn varying(&self, number: usize) -> Varying {
        Varying {
            back: self.backs[number],
            header_sum: self.header_sums[number],
            segment_sum: self.segment_sums[number],
        }
    }
}

/// What the words of a segment depend on beside its connection.
#[derive(Debug, Clone, Copy)]
struct Varying {
    /// All ones if it comes from the responder, else zero: no branch, so that there may be vectors.
    back: u32,
    /// What IPv4's checksum and TCP's are of, but for addresses and ports.
    header_sum: u32,
    segment_sum: u32,
}

impl Varying {
    #[inline(always)]
    const fn of(version: Version, step: Step) -> Varying {
        let data = if step.data { DATA as u32 } else { 0 };
        let data_sum = if step.data { (DATA / 4) as u32 * halves(DATA_WORD) } else { 0 };
        let net = match version {
            Version::V4 => 0,
            Version::V6 => V6_SUM,
        };
        let pseudo = 6 + TCP as u32 + data + net;
        let numbers = halves(step.seq) + halves(step.ack) + halves(control(step));
        Varying {
            back: if step.back { u32::MAX } else { 0 },
            header_sum: V4_SUM + ip_length(Version::V4, step.data) as u32,
            segment_sum: pseudo + numbers + data_sum,
        }
    }
}

/// The bytes of a segment that are the same whatever its connection: in wholes of sixteen, which take an instruction
/// each. What differs is written over them.
#[derive(Debug, Clone, Copy)]
struct Fixed {
    back: bool,
    data: bool,
    /// From the EtherType on.
    beginning: [u8; 16],
    /// TCP's header behind the ports.
    numbers: [u8; 16],
}

impl Fixed {
    #[inline(always)]
    fn of(version: Version, step: Step) -> Fixed {
        let mut numbers = [0; 16];
        numbers[0..4].copy_from_slice(&step.seq.to_be_bytes());
        numbers[4..8].copy_from_slice(&step.ack.to_be_bytes());
        numbers[8..12].copy_from_slice(&control(step).to_be_bytes());
        let mut beginning = [0; 16];
        match version {
            Version::V4 => {
                beginning[0..2].copy_from_slice(&[8, 0]);
                beginning[2..14].copy_from_slice(&V4_HEADER);
                beginning[4..6].copy_from_slice(&(ip_length(version, step.data) as u16).to_be_bytes());
            }
            Version::V6 => {
                beginning[0..2].copy_from_slice(&[0x86, 0xdd]);
                beginning[2..10].copy_from_slice(&V6_BEGINNING);
            }
        }
        Fixed { back: step.back, data: step.data, beginning, numbers }
    }

    /// The frame's, in bytes.
    #[inline(always)]
    const fn length(&self, version: Version) -> u16 {
        (ETHERNET + ip_length(version, self.data)) as u16
    }
}

/// What differs from one connection to the next, as numbers of the network's byte order.
#[derive(Debug, Clone, Copy)]
struct Words {
    /// The source's address, or its last word.
    source: u32,
    /// The destination's.
    destination: u32,
    /// Both ports.
    ports: u32,
    /// IPv4's checksum.
    header_sum: u16,
    /// TCP's.
    segment_sum: u16,
}

impl Words {
    #[inline(always)]
    const fn of(varying: Varying, tuple: Tuple) -> Words {
        let Tuple { originator, responder, port } = tuple;
        let swapped = (originator ^ responder) & varying.back;
        let ports = (port as u32) << 16 | SERVICE as u32;
        // Both checksums begin with the addresses, and a sum of so few words needs no more than 32 bits.
        let addresses = halves(originator) + halves(responder);
        let segment_sum = varying.segment_sum + addresses + SERVICE as u32 + port as u32;
        Words {
            source: (originator ^ swapped).to_be(),
            destination: (responder ^ swapped).to_be(),
            ports: ports.rotate_left(16 & varying.back).to_be(),
            header_sum: complement(varying.header_sum + addresses).to_be(),
            segment_sum: complement(segment_sum).to_be(),
        }
    }
}

/// How long an IP packet is, in bytes. Over IPv6 it bears no data.
#[inline(always)]
const fn ip_length(version: Version, data: bool) -> usize {
    match version {
        Version::V4 => V4 + TCP + if data { DATA } else { 0 },
        Version::V6 => V6 + TCP,
    }
}

/// TCP's header length, flags and window.
#[inline(always)]
const fn control(step: Step) -> u32 {
    0x5000_ffff | (step.flags.0 as u32) << 16
}

/// The sum of a word's two halves.
#[inline(always)]
const fn halves(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

/// The ones' complement of a sum of 16-bit words.
#[inline(always)]
const fn complement(sum: u32) -> u16 {
    !(halves(halves(sum)) as u16)
}

/// Writes a segment. Over IPv6 it bears no data.
#[inline(always)]
fn place_segment(frame: &mut [u8; ROOM], version: Version, fixed: &Fixed, words: &Words) {
    match version {
        Version::V4 => place_v4(frame, fixed, words),
        Version::V6 => place_v6(frame, fixed, words),
    }
}

#[inline(always)]
fn place_v4(frame: &mut [u8; ROOM], fixed: &Fixed, words: &Words) {
    frame[12..28].copy_from_slice(&fixed.beginning);
    frame[24..26].copy_from_slice(&words.header_sum.to_ne_bytes());
    frame[26..30].copy_from_slice(&words.source.to_ne_bytes());
    frame[30..34].copy_from_slice(&words.destination.to_ne_bytes());
    if let Some(segment) = frame[ETHERNET + V4..].first_chunk_mut() {
        place_tcp(segment, fixed, words);
    }
    if fixed.data {
        for word in frame[54..54 + DATA].chunks_exact_mut(4) {
            word.copy_from_slice(&DATA_WORD.to_be_bytes());
        }
    }
}

#[inline(always)]
fn place_v6(frame: &mut [u8; ROOM], fixed: &Fixed, words: &Words) {
    let (source_net, destination_net) =
        if fixed.back { (V6_DESTINATION, V6_SOURCE) } else { (V6_SOURCE, V6_DESTINATION) };
    frame[12..28].copy_from_slice(&fixed.beginning);
    frame[22..34].copy_from_slice(&source_net);
    frame[34..38].copy_from_slice(&words.source.to_ne_bytes());
    frame[38..50].copy_from_slice(&destination_net);
    frame[50..54].copy_from_slice(&words.destination.to_ne_bytes());
    if let Some(segment) = frame[ETHERNET + V6..].first_chunk_mut() {
        place_tcp(segment, fixed, words);
    }
}

#[inline(always)]
fn place_tcp(segment: &mut [u8; TCP], fixed: &Fixed, words: &Words) {
    segment[0..4].copy_from_slice(&words.ports.to_ne_bytes());
    segment[4..20].copy_from_slice(&fixed.numbers);
    segment[16..18].copy_from_slice(&words.segment_sum.to_ne_bytes());
}

/// Marsaglia's xorshift, the reference programs' generator: cheap, and the same run every time.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// With the seed of the reference programs.
    pub(super) const fn new() -> Random {
        Random(88_172_645_463_325_252)
    }

    /// Any number.
    #[inline(always)]
    pub(super) const fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`.
    #[inline(always)]
    pub(super) fn below(&mut self, n: u32) -> u32 {
        (((self.number() & 0xffff_ffff) * u64::from(n)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Addresses, Checks, Frame, Link, Transport};

    /// Parses the frames of one burst, and each once more with a bit changed.
    fn assert_true(version: Version, data: bool, length: usize) {
        let mut frames = Frames::new().unwrap();
        frames.begin();
        let step = Step { flags: Flags::ACK, back: true, seq: 101, ack: u32::MAX, data };
        for number in [0, 1, 59_999, 123_456_789] {
            frames.write(version, Flow(number), step);
        }
        for bytes in frames.burst() {
            assert_eq!(bytes.len(), length);
            let packet = wire::parse(&Frame::whole(bytes, Link::Ethernet), Checks::ALL);
            let Transport::Tcp(segment) = packet.transport else { panic!("{:?}", packet.transport) };
            let payload = if data { 100 } else { 0 };
            assert_eq!((segment.seq.0, segment.ack.0, segment.payload), (101, u32::MAX, payload));
            assert_eq!(packet.ports.map(|ports| ports.source), Some(443));
            assert_eq!(matches!(packet.addresses, Addresses::V6 { .. }), version == Version::V6);
            let mut broken = bytes.to_vec();
            broken[length - 10] ^= 1;
            let packet = wire::parse(&Frame::whole(&broken, Link::Ethernet), Checks::ALL);
            assert!(matches!(packet.transport, Transport::Malformed(wire::Fault::BadChecksum)));
        }
        assert_eq!(frames.burst().count(), 4);
    }

    #[test]
    fn frames_are_what_they_should_be_and_their_checksums_true() {
        assert_true(Version::V4, false, 54);
        assert_true(Version::V4, true, 154);
        assert_true(Version::V6, false, 74);
    }

    #[test]
    fn a_planned_burst_is_the_same_as_one_written_one_by_one() {
        for version in [Version::V4, Version::V6] {
            let steps = std::array::from_fn(|number| Step {
                flags: Flags::ACK,
                back: number % 3 == 0,
                seq: 101 * number as u32,
                ack: u32::MAX,
                data: version == Version::V4 && number % 5 == 0,
            });
            let flows = std::array::from_fn(|number| Flow(59_990 + number as u32));
            let [mut planned, mut one_by_one] = [Frames::new().unwrap(), Frames::new().unwrap()];
            planned.write_planned(&Plan::new(version, &steps), &flows);
            one_by_one.begin();
            flows.into_iter().zip(steps).for_each(|(flow, step)| one_by_one.write(version, flow, step));
            assert!(planned.burst().eq(one_by_one.burst()));
            assert_eq!(planned.count(), BURST);
        }
    }

    #[test]
    fn a_burst_holds_no_more_frames_than_a_burst_may() {
        let mut frames = Frames::new().unwrap();
        frames.begin();
        let step = Step { flags: Flags::ACK, back: false, seq: 1, ack: 1, data: false };
        for number in 0..40 {
            frames.write(Version::V4, Flow(number), step);
        }
        assert_eq!((frames.count(), frames.burst().count()), (BURST, BURST));
    }
}
