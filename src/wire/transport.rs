//! The transport header: which one it is, and UDP (RFC 768), the smallest of them.
//!
//! ```text
//!  Network ─┬─ TCP ──► tcp        ─┐
//!           ├─ UDP ──► here       ─┼─ structure first, then the checksum ─► Packet
//!           ├─ ICMP ─► icmp       ─┘
//!           └─ any other ─► Transport::Other
//! ```
//!
//! Called by `ip` with a whole datagram, and by `parse_datagram` with a reassembled one.

use super::checksum::{self, Sum};
use super::ip::Network;
use super::{Addresses, Checks, Fault, Packet, Ports, Transport, icmp, protocol, tcp};

/// The length of a UDP header, in bytes.
const UDP_HEADER: u32 = 8;
/// What a length field of 16 bits can state: a longer payload is that of a jumbogram.
const MAX_LENGTH_FIELD: u32 = 65_535;

/// Parses the transport header behind the IP headers.
pub(super) fn parse<'a>(network: &Network<'a>, checks: Checks) -> Packet<'a> {
    match (network.protocol, network.addresses) {
        (protocol::TCP, _) => tcp::parse(network, checks),
        (protocol::UDP, _) => udp(network, checks),
        // Each ICMP belongs to one version of IP; inside the other it is a protocol like any.
        (protocol::ICMP, Addresses::V4 { .. }) => icmp::parse_v4(network, checks),
        (protocol::ICMPV6, Addresses::V6 { .. }) => icmp::parse_v6(network, checks),
        _ => network.packet(None, Transport::Other),
    }
}

/// Parses a UDP header.
fn udp<'a>(network: &Network<'a>, checks: Checks) -> Packet<'a> {
    let Some(header) = network.payload.first_chunk::<8>() else {
        return network.malformed(Fault::Truncated);
    };
    let [_, _, _, _, l0, l1, c0, c1] = *header;
    let length = match u32::from(u16::from_be_bytes([l0, l1])) {
        // RFC 2675 section 4: in a jumbogram the field may be too small for the length, and is then 0.
        0 if network.stated > MAX_LENGTH_FIELD => network.stated,
        length => length,
    };
    // Shorter than the IP payload is allowed: what follows is not UDP's.
    if length < UDP_HEADER || length > network.stated {
        return network.malformed(Fault::BadLength);
    }
    let field = u16::from_be_bytes([c0, c1]);
    // Zero says that there is none: in IPv4 always allowed, in IPv6 for tunnels (RFC 6936).
    if checks.udp && field != 0 && is_corrupt(network, length, field) {
        return network.malformed(Fault::BadChecksum);
    }
    network.packet(network.payload.first_chunk().map(Ports::read), Transport::Udp)
}

/// Whether a checksum with pseudo-header over the first `length` bytes of the payload is wrong. One that
/// cannot be verified, because not all of the bytes or not the final addresses are known, is not.
pub(super) fn is_corrupt(network: &Network<'_>, length: u32, field: u16) -> bool {
    let (Some(data), Some(addresses)) = (network.sum(length), network.address_sum) else { return false };
    !checksum::verify(addresses.plus(Sum::of_protocol(network.protocol, length)), data, field)
}

impl Ports {
    /// Reads what TCP and UDP both begin with.
    #[inline(always)]
    pub(super) fn read(bytes: &[u8; 4]) -> Ports {
        let [s0, s1, d0, d1] = *bytes;
        Ports { source: u16::from_be_bytes([s0, s1]), destination: u16::from_be_bytes([d0, d1]) }
    }
}
