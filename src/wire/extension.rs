//! IPv6 extension headers (RFC 8200 section 4): walks the chain to what it ends with.
//!
//! ```text
//!  IPv6 ─ hop-by-hop ─ destination ─ routing ─ fragment ─ AH ─ destination ─ … ─ upper layer
//!           (first)                               └ offset or more: Stop::Fragment
//! ```
//!
//! The order of the headers is free (RFC 8200 section 4.1 asks receivers to take any), with one exception:
//! hop-by-hop options stand first or nowhere. Every header has at least eight bytes, so the packet
//! bounds the walk, however deep the chain.
//!
//! Called by `ip` for packets, by `icmp` for quotes, and by `parse_datagram` for what follows a
//! fragment header.

use super::checksum::Sum;
use super::ip::Network;
use super::{Addresses, Fault};

/// Hop-by-hop options, RFC 8200 section 4.3.
pub(super) const HOP_BY_HOP: u8 = 0;
/// Routing header, RFC 8200 section 4.4.
const ROUTING: u8 = 43;
/// Fragment header, RFC 8200 section 4.5.
const FRAGMENT: u8 = 44;
/// Authentication header, RFC 4302.
const AUTHENTICATION: u8 = 51;
/// Destination options, RFC 8200 section 4.6.
const DESTINATION_OPTIONS: u8 = 60;
/// Mobility header, RFC 6275 section 6.1.
const MOBILITY: u8 = 135;
/// Host identity protocol, RFC 7401 section 5.1.
const HOST_IDENTITY: u8 = 139;
/// Shim6, RFC 5533 section 5.
const SHIM6: u8 = 140;

/// An option of one byte of padding, RFC 8200 section 4.2.
const PAD1: u8 = 0;
/// Jumbo payload, a hop-by-hop option, RFC 2675 section 2.
const JUMBO_PAYLOAD: u8 = 0xc2;
/// Home address, a destination option, RFC 6275 section 6.3.
const HOME_ADDRESS: u8 = 0xc9;

/// Whether the chain goes on behind a header with this number. ESP (50) hides what follows it, and no next
/// header (59) says that nothing does: both end the chain.
pub(super) fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        HOP_BY_HOP
            | ROUTING
            | FRAGMENT
            | AUTHENTICATION
            | DESTINATION_OPTIONS
            | MOBILITY
            | HOST_IDENTITY
            | SHIM6
    )
}

/// What a walk found.
pub(super) struct Chain<'a> {
    /// The number of the header where the walk stopped; behind a fragment header, what that announces.
    pub(super) protocol: u8,
    /// How many bytes the headers that were walked have.
    pub(super) length: usize,
    /// Why it stopped.
    pub(super) stop: Stop,
    /// The jumbo payload option's length in bytes.
    pub(super) jumbo: Option<u32>,
    /// Who stands in the pseudo-header as source.
    home: Option<&'a [u8; 16]>,
    /// Who stands in the pseudo-header as destination.
    last_stop: LastStop<'a>,
}

/// Why a walk stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// At the upper-layer header.
    Upper,
    /// Behind the fragment header of what is really a fragment.
    Fragment { id: u32, offset: u32, more: bool },
    /// At a malformed header.
    Broken(Fault),
}

/// Where a source-routed packet ends up; the pseudo-header has that address (RFC 8200 section 8.1).
#[derive(Clone, Copy)]
enum LastStop<'a> {
    /// At the IPv6 header's destination.
    Destination,
    /// At an address of the routing header.
    Routed(&'a [u8; 16]),
    /// Only its destination can tell.
    Unknown,
}

impl<'a> Chain<'a> {
    /// A chain of which nothing has been walked yet, and which begins with a header of number `first`.
    fn begin(first: u8) -> Chain<'a> {
        Chain {
            protocol: first,
            length: 0,
            stop: Stop::Upper,
            jumbo: None,
            home: None,
            last_stop: LastStop::Destination,
        }
    }

    /// Moves `network`'s payload behind the headers that were walked.
    pub(super) fn apply_to(&self, network: &mut Network<'a>) {
        network.protocol = self.protocol;
        let (walked, behind) =
            network.payload.split_at_checked(self.length).unwrap_or((network.payload, &[]));
        network.payload = behind;
        network.stated = network.stated.saturating_sub(walked.len() as u32);
        // The upper-layer checksum does not cover extension headers. Their lengths are even.
        network.payload_sum = network.payload_sum.map(|sum| sum.minus(Sum::of(walked)));
        if let Addresses::V6 { source, destination } = network.addresses {
            let source = self.home.unwrap_or(source);
            network.address_sum = match self.last_stop {
                LastStop::Destination => Some(Sum::of_v6_addresses(source, destination)),
                LastStop::Routed(last) => Some(Sum::of_v6_addresses(source, last)),
                LastStop::Unknown => None,
            };
        }
    }
}

/// The length in bytes that the extension header of number `protocol` at the beginning of `bytes` states; the
/// least that one can have, where not even that is there.
pub(super) fn length_of(protocol: u8, bytes: &[u8]) -> usize {
    match (protocol, bytes.get(1)) {
        (FRAGMENT, _) | (_, None) => 8,
        (AUTHENTICATION, Some(&units)) => (usize::from(units) + 2) * 4,
        (_, Some(&units)) => (usize::from(units) + 1) * 8,
    }
}

/// Walks the chain that begins with a header of number `first` in `bytes`, which end with the stated
/// packet or with what was captured of it. `at_start`: the IPv6 header itself comes right before.
pub(super) fn walk<'a>(first: u8, bytes: &'a [u8], at_start: bool) -> Chain<'a> {
    let mut chain = Chain::begin(first);
    let mut rest = bytes;
    while chain.stop == Stop::Upper && is_extension(chain.protocol) {
        match chain.step(rest, at_start && chain.length == 0) {
            Ok(behind) => rest = behind,
            Err(fault) => chain.stop = Stop::Broken(fault),
        }
        chain.length = bytes.len() - rest.len();
    }
    chain
}

impl<'a> Chain<'a> {
    /// Takes one extension header in and returns what follows it.
    fn step(&mut self, rest: &'a [u8], at_start: bool) -> Result<&'a [u8], Fault> {
        let start = rest.first_chunk::<8>().ok_or(Fault::Truncated)?;
        // RFC 4302 section 2.2: in units of four bytes, less two; the fixed part alone has twelve bytes.
        if self.protocol == AUTHENTICATION && start[1] == 0 {
            return Err(Fault::BadIpOption);
        }
        let length = length_of(self.protocol, rest);
        let (header, behind) = rest.split_at_checked(length).ok_or(Fault::Truncated)?;
        match self.protocol {
            HOP_BY_HOP if !at_start => return Err(Fault::BadIpOption),
            HOP_BY_HOP | DESTINATION_OPTIONS => self.take_options(header)?,
            ROUTING => self.take_route(header),
            FRAGMENT => self.take_fragment(start),
            _ => {}
        }
        self.protocol = start[0];
        Ok(behind)
    }

    /// The options of a hop-by-hop or destination options header. All of them must fit in, known or not.
    fn take_options(&mut self, header: &'a [u8]) -> Result<(), Fault> {
        let is_hop_by_hop = self.protocol == HOP_BY_HOP;
        let mut rest = header.get(2..).unwrap_or(&[]);
        while let Some((&kind, behind)) = rest.split_first() {
            if kind == PAD1 {
                rest = behind;
                continue;
            }
            let (&length, behind) = behind.split_first().ok_or(Fault::BadIpOption)?;
            let (value, behind) = behind.split_at_checked(length.into()).ok_or(Fault::BadIpOption)?;
            if kind == JUMBO_PAYLOAD && is_hop_by_hop {
                let bytes = value.try_into().map_err(|_| Fault::BadIpOption)?;
                self.jumbo = Some(u32::from_be_bytes(bytes));
            }
            if kind == HOME_ADDRESS && !is_hop_by_hop {
                self.home = Some(value.try_into().map_err(|_| Fault::BadIpOption)?);
            }
            rest = behind;
        }
        Ok(())
    }

    /// A routing header. While segments are left, the packet is still on its way to another address.
    fn take_route(&mut self, header: &'a [u8]) {
        let (Some(&kind), Some(&segments_left)) = (header.get(2), header.get(3)) else { return };
        if segments_left == 0 {
            return;
        }
        let last = match kind {
            // The source route of RFC 2460: addresses in the order of the journey.
            0 => header.get(8..).and_then(|route| route.last_chunk()),
            // Mobile IPv6 (RFC 6275 section 6.4) has one address, segment routing (RFC 8754 section 2)
            // has them in reverse order.
            2 | 4 => header.get(8..).and_then(|route| route.first_chunk()),
            _ => None,
        };
        self.last_stop = last.map_or(LastStop::Unknown, LastStop::Routed);
    }

    /// A fragment header. With neither offset nor more to come it is a whole datagram (RFC 6946).
    fn take_fragment(&mut self, header: &[u8; 8]) {
        let [_, _, high, low, id @ ..] = *header;
        let field = u16::from_be_bytes([high, low]);
        let (offset, more) = (u32::from(field & 0xfff8), field & 1 != 0);
        if offset != 0 || more {
            self.stop = Stop::Fragment { id: u32::from_be_bytes(id), offset, more };
        }
    }
}

/// The jumbo payload option of the hop-by-hop header that `bytes` begin with, in bytes.
pub(super) fn jumbo_length(bytes: &[u8]) -> Result<Option<u32>, Fault> {
    let mut chain = Chain::begin(HOP_BY_HOP);
    chain.step(bytes, true)?;
    Ok(chain.jumbo)
}
