//! A glance at a frame: whose it probably is, so that memory can be fetched before anybody asks what is right about it.
//!
//! ```text
//!  link, VLAN tags │ IPv4 or IPv6: protocol, addresses │ TCP, UDP: ports
//! ```
//!
//! Nothing is verified, no length and no checksum; what it takes to find the ports of TCP and UDP is all that is read, and
//! any other frame (fragments, extension headers, ICMP, other protocols) is left to [`super::parse`]. Only [`super::parse`] says what a packet is.

use super::{Addresses, Frame, Link, Ports, ip, link, protocol};

/// What a frame seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance<'a> {
    /// The IP header's addresses.
    pub addresses: Addresses<'a>,
    /// Its protocol, or next header.
    pub protocol: u8,
    /// What lies where TCP and UDP have their ports.
    pub ports: Ports,
}

impl<'a> Glance<'a> {
    /// Looks at an Ethernet frame; `None` where it does not seem to be TCP or UDP.
    #[inline(always)]
    pub fn at(frame: &Frame<'a>) -> Option<Glance<'a>> {
        let (ethernet, mut behind) = frame.bytes.split_first_chunk::<14>()?;
        let mut ether_type = [ethernet[12], ethernet[13]];
        if frame.link != Link::Ethernet {
            return None;
        }
        while link::TYPE_VLAN.contains(&u16::from_be_bytes(ether_type)) {
            let (tag, inner) = behind.split_first_chunk::<4>()?;
            ether_type = [tag[2], tag[3]];
            behind = inner;
        }
        match u16::from_be_bytes(ether_type) {
            link::TYPE_IPV4 => Glance::v4(behind),
            link::TYPE_IPV6 => Glance::v6(behind),
            _ => None,
        }
    }

    #[inline(always)]
    fn v4(bytes: &'a [u8]) -> Option<Glance<'a>> {
        let header = bytes.first_chunk::<{ ip::V4_HEADER }>()?;
        let (source, destination) = ip::v4_addresses(header);
        let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
        let behind = bytes.get(4 * usize::from(header[0] & 0x0f)..)?;
        if is_fragment { None } else { Glance::of(Addresses::V4 { source, destination }, header[9], behind) }
    }

    #[inline(always)]
    fn v6(bytes: &'a [u8]) -> Option<Glance<'a>> {
        let (header, behind) = bytes.split_first_chunk::<{ ip::V6_HEADER }>()?;
        let (source, destination) = ip::v6_addresses(header);
        Glance::of(Addresses::V6 { source, destination }, header[6], behind)
    }

    #[inline(always)]
    fn of(addresses: Addresses<'a>, protocol: u8, behind: &[u8]) -> Option<Glance<'a>> {
        if protocol != protocol::TCP && protocol != protocol::UDP {
            return None;
        }
        let ports = Ports::read(behind.first_chunk()?);
        Some(Glance { addresses, protocol, ports })
    }
}
