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
use crate::wire::{self, Addresses, Checks, Frame, Packet, Plain, Transport, protocol};

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

/// The steering hash of a frame that nobody has parsed yet, and whether it is a fragment: for whoever only wants to know
/// where it belongs. Nearly every frame takes the short way, which asks no more of it than that.
#[inline]
pub fn steering_of_frame(frame: &Frame<'_>, zone: u16) -> (u32, bool) {
    let plain = Plain::v4(frame, Checks::NONE).or_else(|| Plain::v6(frame, Checks::NONE));
    if let Some(Plain { addresses, ports, .. }) = plain {
        return (of(addresses, (ports.source, ports.destination), protocol::TCP, zone), false);
    }
    let packet = wire::parse(frame, Checks::NONE);
    (steering_hash(&packet, zone), matches!(packet.transport, Transport::Fragment(_)))
}

#[inline]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::{Builder, Tcp};
    use crate::wire::{Flags, Link, Ports};

    #[test]
    fn a_frame_belongs_where_its_packet_does_whichever_way_it_is_looked_at() {
        let v4 = || Builder::v4([10, 0, 0, 1], [10, 9, 8, 7]);
        let v6 = || Builder::v6([0xfd; 16], [0x20; 16]);
        let ports = Ports { source: 40_000, destination: 53 };
        let tcp = |flags| Tcp { flags, ..Tcp::new(40_000, 443) };
        let [ack, syn] = [Flags::ACK, Flags::SYN].map(tcp);
        let error = v4().icmp(3, 1, [0; 4], &v4().tcp(&ack, &[])[14..]);
        let frames = [
            v4().tcp(&ack, b"data"),
            v6().tcp(&ack, &[]),
            v4().tcp(&syn, &[]),
            v4().vlan(7).tcp(&ack, &[]),
            v6().extension(0, &[0; 6]).tcp(&ack, &[]),
            v4().udp(ports, b"question"),
            v6().udp(ports, &[]),
            v4().icmp(8, 0, [1, 2, 3, 4], &[]),
            v4().fragment(protocol::TCP, 0, true, &[0; 64]),
            error,
            v4().tcp(&ack, b"data")[..40].to_vec(),
            vec![0xff; 14],
        ];
        for (number, bytes) in frames.iter().enumerate() {
            let frame = Frame::whole(bytes, Link::Ethernet);
            for zone in [0, 3] {
                let packet = wire::parse(&frame, Checks::NONE);
                let is_fragment = matches!(packet.transport, Transport::Fragment(_));
                let expected = (steering_hash(&packet, zone), is_fragment);
                assert_eq!(steering_of_frame(&frame, zone), expected, "frame {number}");
            }
        }
    }
}
