//! ICMP (RFC 792) and ICMPv6 (RFC 4443): queries, errors with what they quote, control.
//!
//! ```text
//!  type ─┬─ query ────► Transport::Query      (echo, timestamp, information, address mask, extended echo)
//!        ├─ error ────► Transport::Error      └ IP header + at least 8 bytes of some packet ─► Quote
//!        ├─ control ──► Transport::Untracked  (router discovery, neighbour discovery, MLD, …)
//!        └─ undefined ► Fault::BadIcmpType
//! ```
//!
//! A quote is somebody's words: it may be cut anywhere, so the lengths it states are not held against it,
//! and what cannot be read of it makes it [`QuotedTransport::Unknown`], never the error malformed.

use super::extension::{self, Stop};
use super::ip::{self, Network};
use super::transport::is_corrupt;
use super::{
    Addresses, Checks, Fault, Packet, Ports, Query, Quote, QuotedTransport, Seq, Transport, protocol,
};

/// What a type is.
enum Class {
    /// A request or reply; `kind` is the request's type.
    Query { kind: u8, is_reply: bool },
    /// Reports on a packet and quotes it.
    Error,
    /// Defined, and nothing that belongs to a connection.
    Control,
    /// Not defined.
    Undefined,
}

/// The types of ICMP, as IANA's registry lists them.
fn class_v4(icmp_type: u8) -> Class {
    match icmp_type {
        // Echo (RFC 792) has its request above its reply.
        8 => Class::Query { kind: 8, is_reply: false },
        0 => Class::Query { kind: 8, is_reply: true },
        // Timestamp, information (RFC 792), address mask (RFC 950), extended echo (RFC 8335).
        13 | 15 | 17 | 42 => Class::Query { kind: icmp_type, is_reply: false },
        14 | 16 | 18 | 43 => Class::Query { kind: icmp_type - 1, is_reply: true },
        // Unreachable, source quench, redirect, time exceeded, parameter problem.
        3 | 4 | 5 | 11 | 12 => Class::Error,
        // Router discovery (RFC 1256), traceroute (RFC 1393), Photuris (RFC 2521).
        9 | 10 | 30 | 40 => Class::Control,
        _ => Class::Undefined,
    }
}

/// The types of ICMPv6, as IANA's registry lists them. Those set aside for private experiments (100, 101,
/// 200, 201) mean nothing to anybody else, so they are not defined here.
fn class_v6(icmp_type: u8) -> Class {
    match icmp_type {
        // Echo (RFC 4443), extended echo (RFC 8335).
        128 | 160 => Class::Query { kind: icmp_type, is_reply: false },
        129 | 161 => Class::Query { kind: icmp_type - 1, is_reply: true },
        // Unreachable, packet too big, time exceeded, parameter problem.
        1..=4 => Class::Error,
        // Multicast listeners, neighbour discovery, node information, mobility, RPL and so on.
        130..=159 => Class::Control,
        _ => Class::Undefined,
    }
}

/// Parses ICMP in IPv4.
pub(super) fn parse_v4<'a>(network: &Network<'a>, checks: Checks) -> Packet<'a> {
    let Some(header) = network.payload.first_chunk::<8>() else {
        return network.malformed(Fault::Truncated);
    };
    // Without a pseudo-header, and so without partial checksums.
    let is_corrupt = || network.sum(network.stated).is_some_and(|sum| !sum.is_right());
    message(network, header, class_v4(header[0]), checks.icmp && is_corrupt())
}

/// Parses ICMPv6 in IPv6.
pub(super) fn parse_v6<'a>(network: &Network<'a>, checks: Checks) -> Packet<'a> {
    let Some(header) = network.payload.first_chunk::<8>() else {
        return network.malformed(Fault::Truncated);
    };
    let field = u16::from_be_bytes([header[2], header[3]]);
    let is_corrupt = || is_corrupt(network, network.stated, field);
    message(network, header, class_v6(header[0]), checks.icmp && is_corrupt())
}

/// A message of either version.
fn message<'a>(network: &Network<'a>, header: &[u8; 8], class: Class, is_corrupt: bool) -> Packet<'a> {
    let transport = match class {
        Class::Undefined => return network.malformed(Fault::BadIcmpType),
        _ if is_corrupt => return network.malformed(Fault::BadChecksum),
        Class::Query { kind, is_reply } => Transport::Query(query(header, kind, is_reply)),
        Class::Error => {
            let quoted = network.payload.get(header.len()..).unwrap_or(&[]);
            Transport::Error(match network.addresses {
                Addresses::V4 { .. } => quote_v4(quoted),
                Addresses::V6 { .. } => quote_v6(quoted),
                Addresses::None => UNREADABLE,
            })
        }
        Class::Control => Transport::Untracked,
    };
    network.packet(None, transport)
}

/// The identifier stands in the same place of every query.
fn query(header: &[u8; 8], kind: u8, is_reply: bool) -> Query {
    Query { kind, id: u16::from_be_bytes([header[4], header[5]]), is_reply }
}

/// A quote of which not even the addresses can be read.
const UNREADABLE: Quote<'static> =
    Quote { addresses: Addresses::None, protocol: 0, transport: QuotedTransport::Unknown };

/// What an ICMP error says about an IPv4 packet.
fn quote_v4(bytes: &[u8]) -> Quote<'_> {
    let Some((header, behind)) = bytes.split_first_chunk::<20>() else { return UNREADABLE };
    let (source, destination) = ip::v4_addresses(header);
    let mut quote =
        Quote { addresses: Addresses::V4 { source, destination }, protocol: header[9], ..UNREADABLE };
    let is_later_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
    match ip::v4_split_options(header, behind) {
        Ok((_, payload)) if !is_later_fragment => {
            quote.transport = quoted_transport(quote.protocol, payload, protocol::ICMP, class_v4);
            quote
        }
        Err(Fault::BadIpHeader) => UNREADABLE,
        Ok(_) | Err(_) => quote,
    }
}

/// What an ICMPv6 error says about an IPv6 packet.
fn quote_v6(bytes: &[u8]) -> Quote<'_> {
    let Some((header, behind)) = bytes.split_first_chunk::<40>() else { return UNREADABLE };
    if header[0] >> 4 != 6 {
        return UNREADABLE;
    }
    let (source, destination) = ip::v6_addresses(header);
    let chain = extension::walk(header[6], behind, true);
    let payload = behind.get(chain.length..).unwrap_or(&[]);
    let transport = match chain.stop {
        // The first fragment has the transport header; any of its extension headers were not looked at.
        Stop::Upper | Stop::Fragment { offset: 0, .. } if !extension::is_extension(chain.protocol) => {
            quoted_transport(chain.protocol, payload, protocol::ICMPV6, class_v6)
        }
        Stop::Upper | Stop::Fragment { .. } | Stop::Broken(_) => QuotedTransport::Unknown,
    };
    Quote { addresses: Addresses::V6 { source, destination }, protocol: chain.protocol, transport }
}

/// What a quoted payload says about the connection. `icmp` is the version's own ICMP, `class` its types.
fn quoted_transport(number: u8, payload: &[u8], icmp: u8, class: fn(u8) -> Class) -> QuotedTransport {
    let ports = payload.first_chunk().map(Ports::read);
    // Eight bytes are what every error must quote (RFC 792), and enough for each of these.
    let start = payload.first_chunk::<8>();
    match (number, ports, start) {
        (protocol::TCP, Some(ports), Some(&[.., s0, s1, s2, s3])) => {
            QuotedTransport::Tcp(ports, Seq(u32::from_be_bytes([s0, s1, s2, s3])))
        }
        (protocol::UDP, Some(ports), _) => QuotedTransport::Udp(ports),
        (protocol::TCP | protocol::UDP, ..) => QuotedTransport::Unknown,
        (number, _, start) if number == icmp => match start.map(|header| (header, class(header[0]))) {
            Some((header, Class::Query { kind, is_reply })) => {
                QuotedTransport::Query(query(header, kind, is_reply))
            }
            // Nobody reports on an error (RFC 1122 section 3.2.2), and control belongs to no connection.
            Some((_, Class::Error | Class::Control | Class::Undefined)) | None => QuotedTransport::Unknown,
        },
        _ => QuotedTransport::Other,
    }
}
