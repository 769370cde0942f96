//! Which shard a packet belongs to.
//!
//! A hash of its own, apart from the table's: both directions of a connection give the same, an ICMP error
//! gives that of the packet it quotes, and a fragment, which has no ports, that of its addresses. It is
//! spelled out here because whatever steers outside of the engine (an XDP program, a choice of NAT ports)
//! must compute the same:
//!
//! ```text
//!   endpoint = fold(address) × 0x9e3779b1 + port       fold: the address's 32-bit words, exclusive or
//!   hash     = mix(endpoint(a) + endpoint(b) + protocol × 0x85ebca6b + zone)     all modulo 2^32
//!   mix(x)   = x ^= x >> 16; x × 0x7feb352d; x ^= x >> 15; x × 0x846ca68b; x ^= x >> 16
//! ```
//!
//! Ports: of TCP and UDP their own; of an ICMP query its identifier on the asking side and the request's type
//! on the asked one; of everything else 0. The protocol of a fragment, and of what is not tracked, counts as 0.
//!
//! It is not keyed: whoever can choose addresses and ports can load one shard more than the others, and
//! nothing else.

use super::query_ports;
use super::related::quoted_ports;
use crate::wire::{Addresses, Packet, Transport, protocol};

/// The steering hash of a packet in `zone`; 0 of what bears no addresses.
pub fn steering_hash(packet: &Packet<'_>, zone: u16) -> u32 {
    match (&packet.transport, packet.ports) {
        (Transport::Fragment(_) | Transport::Untracked, _) => of(packet.addresses, (0, 0), 0, zone),
        (Transport::Error(quote), _) => {
            let ports = quoted_ports(&quote.transport).unwrap_or((0, 0));
            of(quote.addresses, ports, quote.protocol, zone)
        }
        (Transport::Query(query), _) => of(packet.addresses, query_ports(query), packet.protocol, zone),
        (Transport::Tcp(_) | Transport::Udp | Transport::Malformed(_) | Transport::Other, Some(ports))
            if matches!(packet.protocol, protocol::TCP | protocol::UDP) =>
        {
            of(packet.addresses, (ports.source, ports.destination), packet.protocol, zone)
        }
        (Transport::Tcp(_) | Transport::Udp | Transport::Malformed(_) | Transport::Other, _) => {
            of(packet.addresses, (0, 0), packet.protocol, zone)
        }
    }
}

fn of(addresses: Addresses<'_>, ports: (u16, u16), protocol: u8, zone: u16) -> u32 {
    let (source, destination) = match addresses {
        Addresses::None => return 0,
        Addresses::V4 { source, destination } => (source, destination),
        Addresses::V6 { source, destination } => (fold(source), fold(destination)),
    };
    let endpoint = |address: u32, port: u16| address.wrapping_mul(0x9e37_79b1).wrapping_add(u32::from(port));
    let protocol = u32::from(protocol).wrapping_mul(0x85eb_ca6b);
    mix(endpoint(source, ports.0)
        .wrapping_add(endpoint(destination, ports.1))
        .wrapping_add(protocol)
        .wrapping_add(u32::from(zone)))
}

fn fold(address: &[u8; 16]) -> u32 {
    let (words, _) = address.as_chunks::<4>();
    words.iter().fold(0, |sum, word| sum ^ u32::from_be_bytes(*word))
}

const fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ x >> 16
}
