//! The whole pass, from the first byte of a frame to its transport header.
//!
//! ```text
//!         ┌ plain ─────────────────────────────────────► Packet
//!  Frame ─┴ link ─► ip ─────────────────┐
//!  Datagram (reassembled) ─► extension ─┴─► transport ─► Packet
//! ```
//!
//! Both ways share everything from the transport header on. What is as plain as they come takes a
//! shortcut, inlined into the caller; whatever is unusual or wrong takes the long way, layer by layer.

use super::checksum::Sum;
use super::ip::{self, Network};
use super::link::{self, Content, Stripped};
use super::{Addresses, Checks, Fault, Frame, Packet, Transport, extension, plain, transport};

/// Parses a frame. Total: whatever is wrong with the frame is in the packet's [`Transport`].
///
/// Layer by layer, the structure is looked at before the checksum, and the first fault found is the one
/// reported.
#[inline]
pub fn parse<'a>(frame: &Frame<'a>, checks: Checks) -> Packet<'a> {
    plain::parse(frame, checks).unwrap_or_else(|| parse_layers(frame, checks))
}

/// The long way: layer by layer, every kind of frame.
#[inline(never)]
pub(super) fn parse_layers<'a>(frame: &Frame<'a>, checks: Checks) -> Packet<'a> {
    let Stripped { content, vlan, bytes, wire } = link::strip(frame);
    match content {
        Content::Ipv4 => ip::v4(bytes, wire, vlan, checks),
        Content::Ipv6 => ip::v6(bytes, wire, vlan, checks),
        Content::NotIp => ip::unreadable(vlan, Transport::Untracked),
        Content::UnknownVersion => ip::unreadable(vlan, Transport::Malformed(Fault::BadIpHeader)),
        Content::Truncated => ip::unreadable(vlan, Transport::Malformed(Fault::Truncated)),
    }
}

/// A datagram put together from its fragments: what they said in common, and what is needed of the payload.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The addresses; they also tell the version of IP.
    pub addresses: Addresses<'a>,
    /// IPv4's protocol, or the next header that IPv6's fragment header names ([`super::Fragment::next_header`]).
    pub next_header: u8,
    /// The first bytes of the payload: extension headers that follow the fragment header, then the
    /// transport header. As much of it as there is, up to some hundreds of bytes.
    pub head: &'a [u8],
    /// The length of the whole payload in bytes, at least `head.len()`.
    pub payload_length: u32,
    /// What [`Packet::length`] is to say, in bytes.
    pub length: u32,
    /// Identifier of the outermost VLAN tag, 0 without one.
    pub vlan: u16,
    /// The sum over the whole payload; `None` where not all of it was captured, so that the transport's
    /// checksum cannot be verified.
    pub sum: Option<Sum>,
}

/// Parses a reassembled datagram, from where the fragment header stood.
///
/// Headers that reach past `head` are [`Fault::Truncated`]. Another fragment header that is not atomic is
/// [`Fault::BadFragment`]: nobody fragments twice.
pub fn parse_datagram<'a>(whole: &Datagram<'a>, checks: Checks) -> Packet<'a> {
    let payload = whole.head.get(..whole.payload_length as usize).unwrap_or(whole.head);
    let mut network = Network {
        addresses: whole.addresses,
        length: whole.length,
        vlan: whole.vlan,
        protocol: whole.next_header,
        stated: whole.payload_length,
        payload,
        payload_sum: whole.sum,
        address_sum: None,
    };
    match whole.addresses {
        Addresses::None => return ip::unreadable(whole.vlan, Transport::Malformed(Fault::BadIpHeader)),
        Addresses::V4 { source, destination } => {
            network.address_sum = Some(Sum::of_v4_addresses(source, destination));
        }
        Addresses::V6 { .. } => {
            let chain = extension::walk(whole.next_header, payload, false);
            chain.apply_to(&mut network);
            match chain.stop {
                extension::Stop::Upper => {}
                extension::Stop::Fragment { .. } => return network.malformed(Fault::BadFragment),
                extension::Stop::Broken(fault) => return network.malformed(fault),
            }
        }
    }
    transport::parse(&network, checks)
}
