//! The way of nearly every packet: untagged Ethernet, IP without options or extension headers, a whole TCP
//! segment, wholly captured, with nothing wrong.
//!
//! ```text
//!  │ Ethernet 14 │ IPv4 20 or IPv6 40 │ TCP 20 │ options, payload │ padding
//!  └────────────── one bounds check ──────────┘
//! ```
//!
//! This is a shortcut, not another opinion: it answers only what `parse`'s long way would answer in the
//! same words, and leaves everything else (`None`) to it. The long way hands what it learns from layer to
//! layer; here the layers are at known places, so that a bare ACK takes one bounds check, no loop and no
//! memory but the frame's. A test and the fuzzer hold both ways against each other.

use super::checksum::Sum;
use super::{Addresses, Checks, Frame, Link, Options, Packet, Ports, Segment, Transport, ip, protocol, tcp};

const ETHERNET: usize = 14;
const V4: usize = 20;
const V6: usize = 40;
const TCP: usize = tcp::HEADER;

/// Parses a frame that is as plain as they come into `out`; `None`, and `out` untouched, for any other.
#[inline(always)]
pub(super) fn parse_into<'a>(frame: &Frame<'a>, checks: Checks, out: &mut Packet<'a>) -> Option<()> {
    if frame.link != Link::Ethernet {
        return None;
    }
    match v4(frame.bytes, checks, out) {
        Some(()) => Some(()),
        None => v6(frame.bytes, checks, out),
    }
}

/// TCP in IPv4.
#[inline(always)]
fn v4<'a>(bytes: &'a [u8], checks: Checks, out: &mut Packet<'a>) -> Option<()> {
    let (headers, behind) = bytes.split_first_chunk::<{ ETHERNET + V4 + TCP }>()?;
    let (ethernet, headers) = split::<ETHERNET>(headers)?;
    let (header, segment) = split::<V4>(headers)?;
    let segment = segment.first_chunk()?;
    // Don't fragment is the only flag that may be set, and there is no offset.
    let is_plain = ethernet[12..] == [0x08, 0x00]
        && header[0] == 0x45
        && header[9] == protocol::TCP
        && u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0;
    if !is_plain || (checks.ip && !Sum::of_array(header).is_right()) {
        return None;
    }
    let length = u16::from_be_bytes([header[2], header[3]]);
    let behind = behind.get(..usize::from(length).checked_sub(V4 + TCP)?)?;
    let (source, destination) = ip::v4_addresses(header);
    let addresses_sum = Sum::of_v4_addresses(source, destination);
    let (ports, segment) = tcp(segment, behind, addresses_sum, checks)?;
    *out = packet(Addresses::V4 { source, destination }, u32::from(length), ports, segment);
    Some(())
}

/// TCP in IPv6.
#[inline(always)]
fn v6<'a>(bytes: &'a [u8], checks: Checks, out: &mut Packet<'a>) -> Option<()> {
    let (headers, behind) = bytes.split_first_chunk::<{ ETHERNET + V6 + TCP }>()?;
    let (ethernet, headers) = split::<ETHERNET>(headers)?;
    let (header, segment) = split::<V6>(headers)?;
    let segment = segment.first_chunk()?;
    let is_plain = ethernet[12..] == [0x86, 0xdd] && header[0] >> 4 == 6 && header[6] == protocol::TCP;
    if !is_plain {
        return None;
    }
    let payload_length = u16::from_be_bytes([header[4], header[5]]);
    let behind = behind.get(..usize::from(payload_length).checked_sub(TCP)?)?;
    let (source, destination) = ip::v6_addresses(header);
    let addresses_sum = Sum::of_v6_addresses(source, destination);
    let (ports, segment) = tcp(segment, behind, addresses_sum, checks)?;
    let length = V6 as u32 + u32::from(payload_length);
    *out = packet(Addresses::V6 { source, destination }, length, ports, segment);
    Some(())
}

/// A TCP header and all that follows it, as long as the IP header states.
#[inline(always)]
fn tcp<'a>(
    header: &[u8; TCP],
    behind: &'a [u8],
    addresses: Sum,
    checks: Checks,
) -> Option<(Ports, Segment<'a>)> {
    let options_length = tcp::header_length(header).checked_sub(TCP)?;
    let options = Options(behind.get(..options_length)?);
    if checks.tcp {
        let length = (TCP + behind.len()) as u32;
        let mut sum = addresses.plus(Sum::of_protocol(protocol::TCP, length)).plus(Sum::of_array(header));
        if let Ok(timestamps) = <&[u8; 12]>::try_from(behind) {
            // A bare ACK with timestamps.
            sum = sum.plus(Sum::of_array(timestamps));
        } else if !behind.is_empty() {
            sum = sum.plus(Sum::of(behind));
        }
        // A partial checksum may be right as well: the long way knows.
        if !sum.is_right() {
            return None;
        }
    }
    let segment = Segment::read(header, options, (behind.len() - options_length) as u32);
    let is_sound = options.are_well_formed(0) && segment.flags.are_possible();
    is_sound.then(|| (tcp::ports(header), segment))
}

#[inline(always)]
fn packet<'a>(addresses: Addresses<'a>, length: u32, ports: Ports, segment: Segment<'a>) -> Packet<'a> {
    let transport = Transport::Tcp(segment);
    Packet { addresses, length, protocol: protocol::TCP, vlan: 0, ports: Some(ports), transport }
}

/// Splits off a header of fixed length.
#[inline(always)]
fn split<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8])> {
    bytes.split_first_chunk()
}
