//! The link layer: finds the IP header behind Ethernet, VLAN tags or a cooked header.
//!
//! ```text
//!  Ethernet         │ destination 6 │ source 6 │ type 2 │
//!  VLAN, any depth  │                          │ 8100   │ priority, id 2 │ type 2 │
//!  cooked v1        │ … 14                     │ type 2 │
//!  cooked v2        │ type 2 │ … 18                                     │
//!  raw IP           │ (the version is in the first four bits)
//! ```
//!
//! Called by `parse` only, once per frame.

use super::{Frame, Link};

/// Where the IP header begins, or that there is none.
pub(super) struct Stripped<'a> {
    /// What the link header announces.
    pub(super) content: Content,
    /// Identifier of the outermost VLAN tag, 0 without one.
    pub(super) vlan: u16,
    /// The captured bytes behind the link header.
    pub(super) bytes: &'a [u8],
    /// How many bytes of the frame on the wire lie behind the link header; at least `bytes.len()`.
    pub(super) wire: usize,
}

/// What follows the link header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Ipv4,
    Ipv6,
    /// Neither: ARP, 802.3 with LLC, LLDP, MPLS and so on.
    NotIp,
    /// Raw IP of a version that does not exist.
    UnknownVersion,
    /// The frame ends inside its link header.
    Truncated,
}

pub(super) const TYPE_IPV4: u16 = 0x0800;
pub(super) const TYPE_IPV6: u16 = 0x86dd;
/// Customer tag (IEEE 802.1Q), service tag (802.1ad), and the tag that was used for the latter before.
pub(super) const TYPE_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];

impl Content {
    /// What an EtherType announces. Below 0x600 it is an 802.3 length, and what follows is LLC, not IP.
    fn of_type(ether_type: u16) -> Content {
        match ether_type {
            TYPE_IPV4 => Content::Ipv4,
            TYPE_IPV6 => Content::Ipv6,
            _ => Content::NotIp,
        }
    }
}

/// Takes the link header off.
pub(super) fn strip<'a>(frame: &Frame<'a>) -> Stripped<'a> {
    let bytes = frame.bytes;
    // A frame was at least as long as what was captured of it, whatever the capture says.
    let wire = frame.wire_length.max(bytes.len());
    let split = match frame.link {
        Link::Ethernet => bytes.split_first_chunk::<14>().map(|(h, behind)| ([h[12], h[13]], behind)),
        Link::LinuxCooked => bytes.split_first_chunk::<16>().map(|(h, behind)| ([h[14], h[15]], behind)),
        Link::LinuxCooked2 => bytes.split_first_chunk::<20>().map(|(h, behind)| ([h[0], h[1]], behind)),
        Link::RawIp => return strip_raw(bytes, wire),
    };
    let Some((mut ether_type, mut behind)) = split else {
        return Stripped { content: Content::Truncated, vlan: 0, bytes: &[], wire: 0 };
    };
    let mut outermost = None;
    while TYPE_VLAN.contains(&u16::from_be_bytes(ether_type)) {
        let Some((tag, inner)) = behind.split_first_chunk::<4>() else {
            let vlan = outermost.unwrap_or(0);
            return Stripped { content: Content::Truncated, vlan, bytes: &[], wire: 0 };
        };
        // The upper four bits are priority and drop eligibility (IEEE 802.1Q clause 9.6).
        outermost = outermost.or(Some(u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff));
        ether_type = [tag[2], tag[3]];
        behind = inner;
    }
    Stripped {
        content: Content::of_type(u16::from_be_bytes(ether_type)),
        vlan: outermost.unwrap_or(0),
        bytes: behind,
        wire: wire - (bytes.len() - behind.len()),
    }
}

/// Raw IP: only the version tells what it is.
fn strip_raw(bytes: &[u8], wire: usize) -> Stripped<'_> {
    let content = match bytes.first().map(|first| first >> 4) {
        None => Content::Truncated,
        Some(4) => Content::Ipv4,
        Some(6) => Content::Ipv6,
        Some(_) => Content::UnknownVersion,
    };
    Stripped { content, vlan: 0, bytes, wire }
}
