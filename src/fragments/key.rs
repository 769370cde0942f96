//! What the pieces of one datagram have in common.

use crate::wire::{Addresses, Fragment, Packet};

/// The identity of a datagram within a zone: RFC 791 section 3.2, RFC 8200 section 4.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    endpoints: Endpoints,
    id: u32,
    zone: u16,
    /// IPv4's protocol; zero for IPv6, where pieces may differ in it and the one at offset 0 counts.
    protocol: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Endpoints {
    V4 { source: u32, destination: u32 },
    V6 { source: [u8; 16], destination: [u8; 16] },
}

impl Key {
    /// The key of a slot that holds no datagram.
    pub(super) const UNUSED: Key =
        Key { endpoints: Endpoints::V4 { source: 0, destination: 0 }, id: 0, zone: 0, protocol: 0 };

    /// The datagram that `fragment` is a piece of; none if the packet has no addresses.
    pub(super) fn of(packet: &Packet<'_>, fragment: &Fragment<'_>, zone: u16) -> Option<Key> {
        let (endpoints, protocol) = match packet.addresses {
            Addresses::None => return None,
            Addresses::V4 { source, destination } => {
                (Endpoints::V4 { source, destination }, fragment.next_header)
            }
            Addresses::V6 { source, destination } => {
                (Endpoints::V6 { source: *source, destination: *destination }, 0)
            }
        };
        Some(Key { endpoints, id: fragment.id, zone, protocol })
    }
}
