//! Partial checksums: recognised and completed.
//!
//! A kernel that counts on the hardware leaves only the pseudo-header's sum in a packet's checksum field. Over
//! a cable nobody sees that; behind a virtual link it is what arrives, and what leaves through a raw ring is
//! taken at its word: it has to be made whole before.
//!
//! ```text
//!   field = folded sum of the pseudo-header   ──►   field = ~(sum of header, field and payload)
//! ```
//!
//! A packet whose right checksum happens to be that sum is recognised too, and completed to what it was.
//! Whoever forwards frames calls this, once for each, after the verdict.

use super::checksum::{self, Sum};
use super::ip::Network;
use super::{Addresses, Frame, extension, ip, link, protocol};

/// A partial checksum, as offsets into its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// Where the transport header begins.
    start: usize,
    /// Where the field is.
    pub field: usize,
    /// Where the payload ends.
    end: usize,
}

impl Partial {
    /// The checksum that completes it, as the two bytes at [`Partial::field`]; `bytes` are the whole frame's.
    /// None where the frame is shorter than its header said.
    pub fn completed(&self, bytes: &[u8]) -> Option<[u8; 2]> {
        let checksum = Sum::of(bytes.get(self.start..self.end)?).checksum();
        // Zero would say that there is none (RFC 768); its negative is as right.
        Some(if checksum == 0 { 0xffff } else { checksum }.to_be_bytes())
    }
}

/// The partial checksum of a TCP or UDP packet that is no fragment, if it has one.
pub fn partial_checksum(frame: &Frame<'_>) -> Option<Partial> {
    let stripped = link::strip(frame);
    let network_start = frame.bytes.len().checked_sub(stripped.bytes.len())?;
    let network = match stripped.content {
        link::Content::Ipv4 => v4(stripped.bytes)?,
        link::Content::Ipv6 => v6(stripped.bytes)?,
        link::Content::NotIp | link::Content::UnknownVersion | link::Content::Truncated => return None,
    };
    let (field, length) = match network.protocol {
        protocol::TCP => (16, network.stated),
        protocol::UDP => {
            let [_, _, _, _, l0, l1, ..] = *network.payload.first_chunk::<8>()?;
            (6, u32::from(u16::from_be_bytes([l0, l1])))
        }
        _ => return None,
    };
    let value = network.payload.get(field..field + 2)?;
    let value = u16::from_be_bytes([value[0], value[1]]);
    let covered = network.payload.get(..length as usize)?;
    let pseudo = network.address_sum?.plus(Sum::of_protocol(network.protocol, length));
    if value == 0 || !checksum::is_partial(pseudo, value) {
        return None;
    }
    // The payload is the rest of what the IP header states, and that begins with the IP header.
    let end_of_packet = network_start + network.length as usize;
    let start = end_of_packet.checked_sub(network.payload.len())?;
    Some(Partial { start, field: start + field, end: start + covered.len() })
}

/// What follows an IPv4 header, if all of it is there and it is no fragment.
fn v4(bytes: &[u8]) -> Option<Network<'_>> {
    let (header, _) = bytes.split_first_chunk::<20>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    if header[0] >> 4 != 4 || header_length < header.len() || is_fragment {
        return None;
    }
    let (source, destination) = ip::v4_addresses(header);
    let payload = bytes.get(header_length..length)?;
    Some(Network {
        addresses: Addresses::V4 { source, destination },
        length: length as u32,
        vlan: 0,
        protocol: header[9],
        stated: payload.len() as u32,
        payload,
        payload_sum: None,
        address_sum: Some(Sum::of_v4_addresses(source, destination)),
    })
}

/// What follows an IPv6 header and its extension headers, likewise.
fn v6(bytes: &[u8]) -> Option<Network<'_>> {
    let (header, behind) = bytes.split_first_chunk::<40>()?;
    let stated = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let (source, destination) = ip::v6_addresses(header);
    let mut network = Network {
        addresses: Addresses::V6 { source, destination },
        length: (header.len() + stated) as u32,
        vlan: 0,
        protocol: header[6],
        stated: stated as u32,
        payload: behind.get(..stated)?,
        payload_sum: None,
        address_sum: Some(Sum::of_v6_addresses(source, destination)),
    };
    if header[0] >> 4 != 6 {
        return None;
    }
    if extension::is_extension(network.protocol) {
        let chain = extension::walk(network.protocol, network.payload, true);
        chain.apply_to(&mut network);
        if !matches!(chain.stop, extension::Stop::Upper) {
            return None;
        }
    }
    Some(network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::{Builder, Tcp};
    use crate::wire::{Checks, Fault, Link, Packet, Ports, Transport, parse};

    fn is_right(bytes: &[u8]) -> bool {
        let packet: Packet<'_> = parse(&Frame::whole(bytes, Link::Ethernet), Checks::ALL);
        !matches!(packet.transport, Transport::Malformed(Fault::BadChecksum))
    }

    /// The frame with only its pseudo-header's sum at `field`, as a kernel leaves it.
    fn made_partial(mut frame: Vec<u8>, start: usize, number: u8, pseudo_addresses: Sum) -> Vec<u8> {
        let length = (frame.len() - start) as u32;
        let field = start + if number == protocol::TCP { 16 } else { 6 };
        let value = pseudo_addresses.plus(Sum::of_protocol(number, length)).folded();
        frame[field..field + 2].copy_from_slice(&value.to_be_bytes());
        frame
    }

    #[test]
    fn a_partial_checksum_is_completed_to_the_right_one_whatever_lies_before_it() {
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let v4 = Sum::of_v4_addresses(u32::from_be_bytes(a), u32::from_be_bytes(b));
        let (c, d) = ([0x20; 16], [0x30; 16]);
        let v6 = Sum::of_v6_addresses(&c, &d);
        let (tcp, ports) = (Tcp::new(1, 2), Ports { source: 3, destination: 4 });
        let cases = [
            (Builder::v4(a, b).tcp(&tcp, b"odd"), 34, protocol::TCP, v4),
            (Builder::v4(a, b).vlan(7).tcp(&tcp, &[9; 400]), 38, protocol::TCP, v4),
            (Builder::v4(a, b).options(&[1, 1, 1, 1]).udp(ports, b"four"), 38, protocol::UDP, v4),
            (Builder::v6(c, d).tcp(&tcp, b"six"), 54, protocol::TCP, v6),
            (Builder::v6(c, d).extension(60, &[1, 4, 0, 0, 0, 0]).udp(ports, b"hi"), 62, protocol::UDP, v6),
        ];
        for (whole, start, number, addresses) in cases {
            assert_eq!(partial_checksum(&Frame::whole(&whole, Link::Ethernet)), None, "it is right already");
            let mut frame = made_partial(whole.clone(), start, number, addresses);
            // Padding of the link layer belongs to no checksum.
            frame.extend([0xaa; 5]);
            let partial = partial_checksum(&Frame::whole(&frame, Link::Ethernet)).unwrap();
            let value = partial.completed(&frame).unwrap();
            frame[partial.field..partial.field + 2].copy_from_slice(&value);
            assert_eq!(frame[..whole.len()], whole, "from {start}");
            assert!(is_right(&frame));
        }
    }

    #[test]
    fn fragments_and_what_has_no_checksum_are_left_alone() {
        let builder = Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]);
        let mut udp = builder.udp(Ports { source: 1, destination: 2 }, b"data");
        udp[40..42].fill(0);
        for frame in [udp, builder.fragment(6, 0, true, &[0; 24]), vec![0; 10], vec![]] {
            assert_eq!(partial_checksum(&Frame::whole(&frame, Link::Ethernet)), None);
        }
    }
}
