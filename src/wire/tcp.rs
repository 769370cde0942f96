//! TCP's header (RFC 9293 section 3.1) and options.

use std::fmt;

use super::ip::Network;
use super::options::{self, Walker};
use super::{Checks, Fault, Packet, Ports, Transport, transport};

/// A sequence number: 32 bits on a circle, compared by the shorter way round (RFC 9293 section 3.4).
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// `self + count`, on the circle.
    pub const fn plus(self, count: u32) -> Seq {
        Seq(self.0.wrapping_add(count))
    }

    /// `self - count`, on the circle.
    pub const fn minus(self, count: u32) -> Seq {
        Seq(self.0.wrapping_sub(count))
    }

    /// How far this number lies beyond `origin`, on the circle.
    pub const fn offset_from(self, origin: Seq) -> u32 {
        self.0.wrapping_sub(origin.0)
    }

    /// Whether this number lies before `other`.
    pub const fn is_before(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this number lies behind `other`.
    pub const fn is_after(self, other: Seq) -> bool {
        other.is_before(self)
    }

    /// The later of the two.
    pub const fn max(self, other: Seq) -> Seq {
        if self.is_before(other) { other } else { self }
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The control bits, in their places of the header's 14th byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgement field counts.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer counts.
    pub const URG: Flags = Flags(0x20);

    /// Both sets together.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether every flag of `other` is set here.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is an ACK and neither SYN nor RST, as on all segments between a handshake and an abort.
    #[inline(always)]
    pub const fn are_of_stream(self) -> bool {
        self.0 & (Flags::SYN.0 | Flags::RST.0 | Flags::ACK.0) == Flags::ACK.0
    }

    /// Whether there is a SYN and neither FIN nor RST, as on the first segment of either side.
    #[inline(always)]
    pub const fn are_of_opening(self) -> bool {
        self.0 & (Flags::FIN.0 | Flags::SYN.0 | Flags::RST.0) == Flags::SYN.0
    }
}

/// A TCP segment's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The sequence number of the first byte, or of the SYN.
    pub seq: Seq,
    /// The acknowledgement number; counts only with [`Flags::ACK`].
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field, not scaled.
    pub window: u16,
    /// Bytes of payload, as the IP header states the length.
    pub payload: u32,
    /// The options, as captured.
    pub options: Options<'a>,
}

impl Segment<'_> {
    /// How much of the sequence space the segment takes: payload, and one each for SYN and FIN.
    pub const fn length(&self) -> u32 {
        self.payload + (self.flags.0 & 1) as u32 + (self.flags.0 >> 1 & 1) as u32
    }

    /// The sequence number after the segment's last.
    pub const fn end(&self) -> Seq {
        self.seq.plus(self.length())
    }
}

/// The numbers of a segment that bears an acknowledgement and neither SYN nor RST; where a [`Plain`](super::Plain) says
/// so, of a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The sequence number of the first byte.
    pub seq: Seq,
    /// The acknowledgement number.
    pub ack: Seq,
    /// Bytes of payload.
    pub payload: u32,
    /// The header's fourth word: its length, the control bits and the window.
    pub control: Control,
}

/// The fourth 32-bit word of a TCP header.
///
/// ```text
///   31   28        21         16                             0
///   ├────┼─────────┼──────────┼──────────────────────────────┤
///   │ length in    │ URG … FIN│ window                       │
///   │ words        │          │                              │
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control(u32);

impl Control {
    #[inline(always)]
    pub(super) fn read(header: &[u8; HEADER]) -> Control {
        let [_, _, _, _, _, _, _, _, _, _, _, _, c0, c1, w0, w1, ..] = *header;
        Control(u32::from_be_bytes([c0, c1, w0, w1]))
    }

    /// Of a header without anything.
    pub const NONE: Control = Control(0);

    const fn of(segment: &Segment<'_>) -> Control {
        let length = ((HEADER + segment.options.0.len()) / 4) as u32;
        Control(length << 28 | (segment.flags.0 as u32) << 16 | segment.window as u32)
    }

    /// The control bits.
    #[inline(always)]
    pub const fn flags(self) -> Flags {
        Flags((self.0 >> 16) as u8)
    }

    /// The window field, not scaled.
    #[inline(always)]
    pub const fn window(self) -> u16 {
        self.0 as u16
    }

    /// Whether there is a FIN.
    #[inline(always)]
    pub const fn has_fin(self) -> bool {
        self.flags().has(Flags::FIN)
    }

    /// The FIN as the highest bit of a number, where the lower ones say nothing.
    #[inline(always)]
    pub const fn fin_highest(self) -> u32 {
        self.0 << 15
    }

    /// Whether there are options.
    #[inline(always)]
    pub const fn has_options(self) -> bool {
        self.0 >> 28 != (HEADER / 4) as u32
    }

    /// The length of the options in bytes.
    #[inline(always)]
    pub(super) const fn options_length(self) -> usize {
        ((self.0 >> 28) as usize * 4).saturating_sub(HEADER)
    }
}

impl Ack {
    /// The sequence number after its payload.
    #[inline(always)]
    pub const fn data_end(&self) -> Seq {
        self.seq.plus(self.payload)
    }

    /// The sequence number after the segment's last, FIN included.
    #[inline(always)]
    pub const fn end(&self) -> Seq {
        self.data_end().plus(self.control.has_fin() as u32)
    }

    /// A segment's numbers, if it is one of these.
    pub const fn of(segment: &Segment<'_>) -> Option<Ack> {
        let Segment { seq, ack, payload, .. } = *segment;
        let numbers = Ack { seq, ack, payload, control: Control::of(segment) };
        if segment.flags.are_of_stream() { Some(numbers) } else { None }
    }

    /// Reads the numbers of a header; `payload` is the stated payload's length in bytes.
    #[inline(always)]
    pub(super) fn read(header: &[u8; HEADER], payload: u32) -> Ack {
        let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, ..] = *header;
        Ack {
            seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
            ack: Seq(u32::from_be_bytes([a0, a1, a2, a3])),
            payload,
            control: Control::read(header),
        }
    }
}

/// The option bytes of a TCP header, whose structure [`super::parse`] has checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a>(pub &'a [u8]);

/// The kinds of TCP options that the engine reads, from IANA's registry.
mod kind {
    /// Maximum segment size, RFC 9293 section 3.7.1.
    pub(super) const MSS: u8 = 2;
    /// Window scale, RFC 7323 section 2.2.
    pub(super) const WINDOW_SCALE: u8 = 3;
    /// SACK permitted, RFC 2018 section 2.
    pub(super) const SACK_PERMITTED: u8 = 4;
    /// Timestamps, RFC 7323 section 3.2.
    pub(super) const TIMESTAMPS: u8 = 8;
}

/// The length of a TCP header without options, in bytes.
pub(super) const HEADER: usize = 20;
/// How nearly every segment of a connection with timestamps begins its options: NOP, NOP, timestamps of
/// ten bytes (RFC 7323 appendix A), which makes twelve.
const USUAL: [u8; 4] = [1, 1, kind::TIMESTAMPS, 10];
/// The largest shift that a window scale may state (RFC 7323 section 2.3).
const MAX_WINDOW_SCALE: u8 = 14;

/// The possible combinations of SYN, FIN, RST and ACK: bit n is set if the flags of number n are possible.
const POSSIBLE: u32 = 1 << Flags::SYN.0
    | 1 << Flags::SYN.with(Flags::ACK).0
    | 1 << Flags::ACK.0
    | 1 << Flags::FIN.with(Flags::ACK).0
    | 1 << Flags::RST.0
    | 1 << Flags::RST.with(Flags::ACK).0;

impl<'a> Options<'a> {
    /// The timestamps option: the sender's clock, and the echo of its peer's.
    #[inline]
    pub fn timestamps(self) -> Option<(u32, u32)> {
        let value: [u8; 8] = match self.0.first_chunk::<12>() {
            Some(&[a, b, c, d, ref value @ ..]) if [a, b, c, d] == USUAL => *value,
            _ => self.find(kind::TIMESTAMPS)?,
        };
        let [v0, v1, v2, v3, e0, e1, e2, e3] = value;
        Some((u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3])))
    }

    /// The window scale option: by how many bits the sender's windows are to be shifted. More than 14
    /// counts as 14 (RFC 7323 section 2.3).
    pub fn window_scale(self) -> Option<u8> {
        let [shift] = self.find(kind::WINDOW_SCALE)?;
        Some(shift.min(MAX_WINDOW_SCALE))
    }

    /// The maximum segment size option, in bytes.
    pub fn mss(self) -> Option<u16> {
        self.find(kind::MSS).map(u16::from_be_bytes)
    }

    /// Whether the sender takes selective acknowledgements.
    pub fn sack_permitted(self) -> bool {
        self.find::<0>(kind::SACK_PERMITTED).is_some()
    }

    /// The value of the first option of this kind that has this many bytes: one with another length is not
    /// what its kind says, and is passed over.
    fn find<const LENGTH: usize>(self, wanted: u8) -> Option<[u8; LENGTH]> {
        Walker::new(self.0)
            .map_while(Result::ok)
            .filter(|&(kind, _)| kind == wanted)
            .find_map(|(_, value)| value.try_into().ok())
    }

    /// Whether the options are well-formed, of which `missing` bytes were not captured.
    #[inline(always)]
    pub(super) fn are_well_formed(self, missing: usize) -> bool {
        self.0.is_empty()
            || (self.0.len() == 12 && self.0.starts_with(&USUAL))
            || options::are_well_formed(self.0, missing)
    }
}

impl Flags {
    /// Whether a TCP may send this combination at all: a SYN, a SYN with ACK, an ACK, a FIN with ACK, an
    /// RST, an RST with ACK. PSH, URG and the two bits of ECN (RFC 3168) may join any of these.
    #[inline(always)]
    pub(super) const fn are_possible(self) -> bool {
        let deciding = self.0 & (Flags::FIN.0 | Flags::SYN.0 | Flags::RST.0 | Flags::ACK.0);
        POSSIBLE >> deciding & 1 != 0
    }
}

impl<'a> Segment<'a> {
    /// Reads the numbers of a header; `payload` is the stated payload's length in bytes.
    #[inline(always)]
    pub(super) fn read(header: &[u8; HEADER], options: Options<'a>, payload: u32) -> Segment<'a> {
        let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, _, flags, w0, w1, ..] = *header;
        Segment {
            seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
            ack: Seq(u32::from_be_bytes([a0, a1, a2, a3])),
            flags: Flags(flags),
            window: u16::from_be_bytes([w0, w1]),
            payload,
            options,
        }
    }
}

/// The ports of a header.
#[inline(always)]
pub(super) fn ports(header: &[u8; HEADER]) -> Ports {
    let [p0, p1, p2, p3, ..] = *header;
    Ports::read(&[p0, p1, p2, p3])
}

/// The length of a header with its options, in bytes, as its data offset states it.
#[inline(always)]
pub(super) fn header_length(header: &[u8; HEADER]) -> usize {
    usize::from(header[12] >> 4) * 4
}

/// Parses a TCP header and verifies the segment.
pub(super) fn parse<'a>(network: &Network<'a>, checks: Checks) -> Packet<'a> {
    let Some((header, behind)) = network.payload.split_first_chunk::<HEADER>() else {
        return network.malformed(Fault::Truncated);
    };
    let length = header_length(header) as u32;
    let (Some(options_length), Some(payload)) =
        (length.checked_sub(HEADER as u32), network.stated.checked_sub(length))
    else {
        return network.malformed(Fault::BadOffset);
    };
    let options_length = options_length as usize;
    let options = Options(behind.get(..options_length).unwrap_or(behind));
    if !options.are_well_formed(options_length - options.0.len()) {
        return network.malformed(Fault::BadTcpOption);
    }
    let segment = Segment::read(header, options, payload);
    if !segment.flags.are_possible() {
        return network.malformed(Fault::BadFlags);
    }
    let field = u16::from_be_bytes([header[16], header[17]]);
    if checks.tcp && transport::is_corrupt(network, network.stated, field) {
        return network.malformed(Fault::BadChecksum);
    }
    network.packet(Some(ports(header)), Transport::Tcp(segment))
}
