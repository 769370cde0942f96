//! IPv4 (RFC 791) and IPv6 (RFC 8200): from the IP header to the transport header.
//!
//! ```text
//!  v4 ─ lengths ─ options ─ checksum ─┬─ fragment ──────────────────► Transport::Fragment
//!  v6 ─ lengths ─ extension headers ──┤
//!                                     └─ Network ─► transport::parse
//! ```
//!
//! The order of the checks decides which fault is reported: what makes the addresses unreadable comes
//! first, then lengths, then options, then the header's checksum; only then is the payload looked at.

use super::checksum::Sum;
use super::extension::{self, Stop};
use super::{Addresses, Checks, Fault, Fragment, Packet, Ports, Transport, options, protocol, transport};

/// The length of an IPv4 header without options, in bytes.
pub(super) const V4_HEADER: usize = 20;
/// The length of an IPv6 header, in bytes.
pub(super) const V6_HEADER: usize = 40;
/// The longest payload of a datagram that is not a jumbogram, in bytes: what its length field can state.
const MAX_PAYLOAD: u32 = 65_535;

/// What the IP layer says about a packet whose transport header is looked at next.
#[derive(Clone, Copy)]
pub(super) struct Network<'a> {
    pub(super) addresses: Addresses<'a>,
    /// The IP packet's stated length in bytes.
    pub(super) length: u32,
    pub(super) vlan: u16,
    pub(super) protocol: u8,
    /// The stated length of what follows the IP headers, in bytes.
    pub(super) stated: u32,
    /// What was captured of it: never more than `stated` bytes.
    pub(super) payload: &'a [u8],
    /// The sum over all of the stated payload, where reassembly knows it.
    pub(super) payload_sum: Option<Sum>,
    /// The addresses' part of the pseudo-header; `None` where the final destination is not known.
    pub(super) address_sum: Option<Sum>,
}

impl<'a> Network<'a> {
    /// The packet with these IP headers and this transport.
    pub(super) fn packet(&self, ports: Option<Ports>, transport: Transport<'a>) -> Packet<'a> {
        Packet {
            addresses: self.addresses,
            length: self.length,
            protocol: self.protocol,
            vlan: self.vlan,
            ports,
            transport,
        }
    }

    /// The malformed packet with these IP headers, and ports where they can be read.
    pub(super) fn malformed(&self, fault: Fault) -> Packet<'a> {
        self.packet(self.ports(), Transport::Malformed(fault))
    }

    /// The ports, where the payload begins with some that were captured.
    pub(super) fn ports(&self) -> Option<Ports> {
        match self.protocol {
            protocol::TCP | protocol::UDP => self.payload.first_chunk().map(Ports::read),
            _ => None,
        }
    }

    /// The sum over the first `length` bytes of the payload, if it can be known.
    pub(super) fn sum(&self, length: u32) -> Option<Sum> {
        match self.payload.get(..length as usize) {
            Some(covered) => Some(Sum::of(covered)),
            None if length == self.stated => self.payload_sum,
            None => None,
        }
    }
}

/// A packet of which not even the addresses can be read.
pub(super) fn unreadable<'a>(vlan: u16, transport: Transport<'a>) -> Packet<'a> {
    Packet { addresses: Addresses::None, length: 0, protocol: 0, vlan, ports: None, transport }
}

/// Parses an IPv4 packet of which `wire` bytes were on the wire.
pub(super) fn v4<'a>(bytes: &'a [u8], wire: usize, vlan: u16, checks: Checks) -> Packet<'a> {
    let Some((header, behind)) = bytes.split_first_chunk::<V4_HEADER>() else {
        return unreadable(vlan, Transport::Malformed(Fault::Truncated));
    };
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let (source, destination) = v4_addresses(header);
    let mut network = Network {
        addresses: Addresses::V4 { source, destination },
        length: total as u32,
        vlan,
        protocol: header[9],
        stated: 0,
        payload: &[],
        payload_sum: None,
        address_sum: Some(Sum::of_v4_addresses(source, destination)),
    };
    // Version 4 and five words of header, all in one byte: nearly every packet.
    let (option_bytes, behind) = if header[0] == 0x45 {
        (&[][..], behind)
    } else {
        match v4_split_options(header, behind) {
            Ok(split) => split,
            Err(Fault::BadIpHeader) => return unreadable(vlan, Transport::Malformed(Fault::BadIpHeader)),
            Err(fault) => return network.malformed(fault),
        }
    };
    let Some(stated) = total.checked_sub(V4_HEADER + option_bytes.len()) else {
        return network.malformed(Fault::BadLength);
    };
    // What lies behind the stated length is padding of the link layer.
    let payload = behind.get(..stated).unwrap_or(behind);
    network.stated = stated as u32;
    let fragmentation = u16::from_be_bytes([header[6], header[7]]);
    let is_fragment = fragmentation & 0x3fff != 0;
    // Ports are only read from the beginning of a datagram.
    if fragmentation & 0x1fff == 0 {
        network.payload = payload;
    }
    if total > wire {
        return network.malformed(Fault::Truncated);
    }
    let mut sum = Sum::of_array(header);
    if !option_bytes.is_empty() {
        if !options::are_well_formed(option_bytes, 0) {
            return network.malformed(Fault::BadIpOption);
        }
        sum = sum.plus(Sum::of(option_bytes));
    }
    if checks.ip && !sum.is_right() {
        return network.malformed(Fault::BadIpChecksum);
    }
    if is_fragment {
        let id = u32::from(u16::from_be_bytes([header[4], header[5]]));
        let offset = u32::from(fragmentation & 0x1fff) * 8;
        let more = fragmentation & 0x2000 != 0;
        return fragment(&network, id, offset, more, payload);
    }
    transport::parse(&network, checks)
}

/// Source and destination of an IPv4 header.
#[inline(always)]
pub(super) fn v4_addresses(header: &[u8; V4_HEADER]) -> (u32, u32) {
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    (u32::from_be_bytes([s0, s1, s2, s3]), u32::from_be_bytes([d0, d1, d2, d3]))
}

/// Splits what follows the fixed IPv4 header into options and payload, for every header but the usual one.
pub(super) fn v4_split_options<'a>(
    header: &[u8; V4_HEADER],
    behind: &'a [u8],
) -> Result<(&'a [u8], &'a [u8]), Fault> {
    let words = usize::from(header[0] & 0x0f);
    if header[0] >> 4 != 4 || words * 4 < V4_HEADER {
        return Err(Fault::BadIpHeader);
    }
    behind.split_at_checked(words * 4 - V4_HEADER).ok_or(Fault::Truncated)
}

/// A fragment of either version, whose payload was captured as `payload`.
fn fragment<'a>(network: &Network<'a>, id: u32, offset: u32, more: bool, payload: &'a [u8]) -> Packet<'a> {
    let length = network.stated;
    // Only the last piece may end between two multiples of eight (RFC 791 section 3.2, RFC 8200
    // section 4.5). A piece of nothing completes no datagram, and none may reach past the longest one.
    let is_possible = length > 0 && (!more || length.is_multiple_of(8)) && offset + length <= MAX_PAYLOAD;
    if !is_possible {
        return network.malformed(Fault::BadFragment);
    }
    let next_header = network.protocol;
    let fragment = Fragment { id, offset, more, next_header, length, payload };
    network.packet(network.ports(), Transport::Fragment(fragment))
}

/// Parses an IPv6 packet of which `wire` bytes were on the wire.
pub(super) fn v6<'a>(bytes: &'a [u8], wire: usize, vlan: u16, checks: Checks) -> Packet<'a> {
    let Some((header, behind)) = bytes.split_first_chunk::<V6_HEADER>() else {
        return unreadable(vlan, Transport::Malformed(Fault::Truncated));
    };
    if header[0] >> 4 != 6 {
        return unreadable(vlan, Transport::Malformed(Fault::BadIpHeader));
    }
    let stated = u32::from(u16::from_be_bytes([header[4], header[5]]));
    let (source, destination) = v6_addresses(header);
    let network = Network {
        addresses: Addresses::V6 { source, destination },
        length: V6_HEADER as u32 + stated,
        vlan,
        protocol: header[6],
        stated,
        payload: behind.get(..stated as usize).unwrap_or(behind),
        payload_sum: None,
        address_sum: Some(Sum::of_v6_addresses(source, destination)),
    };
    if extension::is_extension(network.protocol) {
        return v6_chain(network, behind, wire, checks);
    }
    if network.length as usize > wire {
        return network.malformed(Fault::Truncated);
    }
    transport::parse(&network, checks)
}

/// Source and destination of an IPv6 header.
#[inline(always)]
pub(super) fn v6_addresses(header: &[u8; V6_HEADER]) -> (&[u8; 16], &[u8; 16]) {
    let (_, addresses) = header.split_at(8);
    let (source, destination) = addresses.split_at(16);
    // Both have 16 bytes: the conversions cannot fail, and the compiler sees it.
    (source.first_chunk().unwrap_or(&[0; 16]), destination.first_chunk().unwrap_or(&[0; 16]))
}

/// An IPv6 packet with extension headers; `behind` is all that was captured behind the IPv6 header.
fn v6_chain<'a>(mut network: Network<'a>, behind: &'a [u8], wire: usize, checks: Checks) -> Packet<'a> {
    let mut is_jumbogram = false;
    if network.stated == 0 && network.protocol == extension::HOP_BY_HOP {
        // RFC 2675 section 3: the length is in the hop-by-hop options, and greater than the field holds.
        match extension::jumbo_length(behind) {
            Ok(None) => {}
            Ok(Some(length)) if length > MAX_PAYLOAD => {
                is_jumbogram = true;
                network.stated = length;
                network.length = length.saturating_add(V6_HEADER as u32);
                network.payload = behind.get(..length as usize).unwrap_or(behind);
            }
            Ok(Some(_)) => return network.malformed(Fault::BadLength),
            Err(fault) => return network.malformed(fault),
        }
    }
    let too_long = network.length as usize > wire;
    let chain = extension::walk(network.protocol, network.payload, true);
    chain.apply_to(&mut network);
    if too_long {
        return network.malformed(Fault::Truncated);
    }
    if chain.jumbo.is_some() && !is_jumbogram {
        return network.malformed(Fault::BadLength);
    }
    match chain.stop {
        Stop::Broken(fault) => network.malformed(fault),
        // RFC 2675 section 3: a jumbogram is never fragmented.
        Stop::Fragment { .. } if is_jumbogram => network.malformed(Fault::BadFragment),
        Stop::Fragment { id, offset, more } => {
            let payload = network.payload;
            if offset != 0 {
                network.payload = &[];
            }
            fragment(&network, id, offset, more, payload)
        }
        Stop::Upper => transport::parse(&network, checks),
    }
}
