//! The way of nearly every packet: untagged Ethernet, IP without options or extension headers, a whole TCP
//! segment, wholly captured, with nothing wrong.
//!
//! ```text
//!  │ Ethernet 14 │ IPv4 20 or IPv6 40 │ TCP 20 │ options, payload │ padding
//!  └────────────── one bounds check ──────────┘
//!
//!   ACK, with or without data and FIN ─► Plain   (what the hot path needs of it, and no more)
//!   SYN, with or without ACK          ─► Plain   (the same, and its options lie where they lay)
//!   RST                               ─► Packet
//! ```
//!
//! This is a shortcut, not another opinion: it answers only what `parse`'s long way would answer in the
//! same words, and leaves everything else (`None`) to it. The long way hands what it learns from layer to
//! layer; here the layers are at known places, so that a bare ACK takes one bounds check, no loop and no
//! memory but the frame's. A test and the fuzzer hold both ways against each other.

use super::checksum::Sum;
use super::tcp::{Ack, Control};
use super::{
    Addresses, Checks, Flags, Frame, Link, Options, Packet, Ports, Segment, Transport, ip, protocol, tcp,
};

const ETHERNET: usize = 14;
const V4: usize = 20;
const V6: usize = 40;
const TCP: usize = tcp::HEADER;

/// A segment without RST in a frame as plain as they come: all that tracking it takes, in half the bytes of a [`Packet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain<'a> {
    /// The IP header's addresses.
    pub addresses: Addresses<'a>,
    /// The IP packet's length in bytes as its header states it, header included.
    pub length: u32,
    /// TCP's ports.
    pub ports: Ports,
    /// TCP's numbers.
    pub ack: Ack,
}

impl<'a> Plain<'a> {
    /// Reads a frame with IPv4, if its segment bears an acknowledgement and neither SYN nor RST, and verifies it as
    /// [`super::parse`] would; `None` for any other.
    #[inline(always)]
    pub fn v4(frame: &Frame<'a>, checks: Checks) -> Option<Plain<'a>> {
        if frame.link != Link::Ethernet {
            return None;
        }
        Layers::v4(frame.bytes)?.plain(Flags::are_of_stream, checks)
    }

    /// The same with IPv6.
    #[inline(always)]
    pub fn v6(frame: &Frame<'a>, checks: Checks) -> Option<Plain<'a>> {
        if frame.link != Link::Ethernet {
            return None;
        }
        Layers::v6(frame.bytes)?.plain(Flags::are_of_stream, checks)
    }

    /// The same of a SYN, with or without acknowledgement, in either IP. [`Segment::of_opening`] says the rest of it.
    #[inline(always)]
    pub fn opening(frame: &Frame<'a>, checks: Checks) -> Option<Plain<'a>> {
        if frame.link != Link::Ethernet {
            return None;
        }
        match Layers::v4(frame.bytes) {
            Some(layers) => layers.plain(Flags::are_of_opening, checks),
            None => Layers::v6(frame.bytes)?.plain(Flags::are_of_opening, checks),
        }
    }
}

impl<'a> Segment<'a> {
    /// The segment of a frame of which [`Plain::opening`] has read these numbers, with its options.
    #[inline(always)]
    pub fn of_opening(frame: &Frame<'a>, is_v6: bool, numbers: &Ack) -> Segment<'a> {
        let begin = ETHERNET + if is_v6 { V6 } else { V4 } + TCP;
        let options = frame.bytes.get(begin..begin + numbers.control.options_length());
        Segment {
            seq: numbers.seq,
            ack: numbers.ack,
            flags: numbers.control.flags(),
            window: numbers.control.window(),
            payload: numbers.payload,
            // They were read before: they are there.
            options: Options(options.unwrap_or_default()),
        }
    }
}

/// Parses a frame that is as plain as they come; `None` for any other.
#[inline(always)]
pub(super) fn parse<'a>(frame: &Frame<'a>, checks: Checks) -> Option<Packet<'a>> {
    if frame.link != Link::Ethernet {
        return None;
    }
    match Layers::v4(frame.bytes) {
        Some(layers) => layers.packet(checks),
        None => Layers::v6(frame.bytes)?.packet(checks),
    }
}

/// The layers of a plain frame, cut but not verified.
#[derive(Clone, Copy)]
struct Layers<'a> {
    addresses: Addresses<'a>,
    /// The IP packet's length.
    length: u32,
    /// IPv4's header, which has a checksum of its own.
    v4: Option<&'a [u8; V4]>,
    tcp: &'a [u8; TCP],
    /// What follows TCP's header, as far as the IP header states.
    behind: &'a [u8],
}

impl<'a> Layers<'a> {
    /// TCP in IPv4.
    #[inline(always)]
    fn v4(bytes: &'a [u8]) -> Option<Layers<'a>> {
        let (headers, behind) = bytes.split_first_chunk::<{ ETHERNET + V4 + TCP }>()?;
        // EtherType, version and header length in one comparison, fragment and protocol in another. Don't fragment
        // is the only flag that may be set, and there is no offset.
        let begins = u32::from_be_bytes(*headers[12..].first_chunk()?);
        let goes_on = u32::from_be_bytes(*headers[20..].first_chunk()?);
        if begins & 0xffff_ff00 != 0x0800_4500 || goes_on & 0x3fff_00ff != u32::from(protocol::TCP) {
            return None;
        }
        let (_, headers) = split::<ETHERNET>(headers)?;
        let (header, tcp) = split::<V4>(headers)?;
        let tcp = tcp.first_chunk()?;
        let length = u16::from_be_bytes([header[2], header[3]]);
        let behind = behind.get(..usize::from(length).checked_sub(V4 + TCP)?)?;
        let (source, destination) = ip::v4_addresses(header);
        let addresses = Addresses::V4 { source, destination };
        Some(Layers { addresses, length: u32::from(length), v4: Some(header), tcp, behind })
    }

    /// TCP in IPv6.
    #[inline(always)]
    fn v6(bytes: &'a [u8]) -> Option<Layers<'a>> {
        let (headers, behind) = bytes.split_first_chunk::<{ ETHERNET + V6 + TCP }>()?;
        let (ethernet, headers) = split::<ETHERNET>(headers)?;
        let (header, tcp) = split::<V6>(headers)?;
        let tcp = tcp.first_chunk()?;
        let is_plain = ethernet[12..] == [0x86, 0xdd] && header[0] >> 4 == 6 && header[6] == protocol::TCP;
        let payload_length = u16::from_be_bytes([header[4], header[5]]);
        let behind = behind.get(..usize::from(payload_length).checked_sub(TCP)?)?;
        let (source, destination) = ip::v6_addresses(header);
        let addresses = Addresses::V6 { source, destination };
        let length = V6 as u32 + u32::from(payload_length);
        is_plain.then_some(Layers { addresses, length, v4: None, tcp, behind })
    }

    /// The bytes of options, and of payload behind them.
    #[inline(always)]
    fn options(&self) -> Option<(Options<'a>, u32)> {
        let length = tcp::header_length(self.tcp).checked_sub(TCP)?;
        let options = Options(self.behind.get(..length)?);
        options.are_well_formed(0).then_some((options, (self.behind.len() - length) as u32))
    }

    /// Whether the checksums are right. A partial checksum may be right as well: the long way knows.
    #[inline(always)]
    fn are_right(&self, checks: Checks) -> bool {
        let header_is_right = match self.v4 {
            Some(header) if checks.ip => Sum::of_array(header).is_right(),
            Some(_) | None => true,
        };
        header_is_right && (!checks.tcp || self.segment_sum().is_right())
    }

    /// The sum that TCP's checksum makes right.
    #[inline(always)]
    fn segment_sum(&self) -> Sum {
        let addresses = match self.addresses {
            Addresses::V4 { source, destination } => Sum::of_v4_addresses(source, destination),
            Addresses::V6 { source, destination } => Sum::of_v6_addresses(source, destination),
            Addresses::None => Sum::ZERO,
        };
        let length = (TCP + self.behind.len()) as u32;
        let sum = addresses.plus(Sum::of_protocol(protocol::TCP, length)).plus(Sum::of_array(self.tcp));
        if self.behind.is_empty() {
            sum
        } else if let Ok(timestamps) = <&[u8; 12]>::try_from(self.behind) {
            // A bare ACK with timestamps.
            sum.plus(Sum::of_array(timestamps))
        } else {
            sum.plus(Sum::of(self.behind))
        }
    }

    #[inline(always)]
    fn plain(self, are_wanted: impl Fn(Flags) -> bool, checks: Checks) -> Option<Plain<'a>> {
        let control = Control::read(self.tcp);
        if !are_wanted(control.flags()) {
            return None;
        }
        let payload = if control.has_options() { self.options()?.1 } else { self.behind.len() as u32 };
        // First, so that what is read afterwards need not be kept meanwhile.
        if !self.are_right(checks) {
            return None;
        }
        let ack = Ack::read(self.tcp, payload);
        Some(Plain { addresses: self.addresses, length: self.length, ports: tcp::ports(self.tcp), ack })
    }

    #[inline(always)]
    fn packet(self, checks: Checks) -> Option<Packet<'a>> {
        let (options, payload) = self.options()?;
        let segment = Segment::read(self.tcp, options, payload);
        if !segment.flags.are_possible() || !self.are_right(checks) {
            return None;
        }
        Some(Packet {
            addresses: self.addresses,
            length: self.length,
            protocol: protocol::TCP,
            vlan: 0,
            ports: Some(tcp::ports(self.tcp)),
            transport: Transport::Tcp(segment),
        })
    }
}

/// Splits off a header of fixed length.
#[inline(always)]
fn split<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8])> {
    bytes.split_first_chunk()
}
