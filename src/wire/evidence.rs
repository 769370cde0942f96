//! The numbers behind a fault: what a malformed packet says, and what it should have said.
//!
//! ```text
//!  parse ─► Fault ─► (dropped, counted: the packet path ends here)
//!             │
//!             └─► evidence: walks the same headers once more, and keeps what was compared
//! ```
//!
//! A fault is one byte, because there may be millions a second. Whoever wants to tell a person about one of
//! them asks here, with the same frame; nothing on the packet path calls this.

use super::checksum::Sum;
use super::extension::{self, Stop};
use super::ip::{self, Network};
use super::link::{self, Content};
use super::{Addresses, Datagram, Fault, Flags, Frame, Link, options, protocol, tcp};

/// What was compared where a fault was found. Lengths and offsets are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// [`Fault::Truncated`]: a header or the packet needs more than there is.
    Truncated {
        /// What is too short.
        layer: Layer,
        /// How long it is or must at least be.
        needed: u32,
        /// How much of it is there.
        present: u32,
    },
    /// [`Fault::BadIpHeader`].
    IpHeader {
        /// The version that the first byte states.
        version: u8,
        /// The IPv4 header length that it states.
        header_length: u8,
    },
    /// [`Fault::BadLength`]: a length field, and the lowest and highest value that would have been possible.
    Length {
        /// The field's value.
        length: u32,
        /// What it could have been.
        expected: [u32; 2],
    },
    /// [`Fault::BadIpOption`], [`Fault::BadTcpOption`]: the first option, or extension header, that is wrong.
    Option {
        /// Where it begins, counted from the beginning of its IP or TCP header.
        offset: u32,
        /// The option's kind, or the extension header's number.
        kind: u8,
        /// The length byte that it states; none where there is none.
        length: Option<u8>,
    },
    /// [`Fault::BadIpChecksum`], [`Fault::BadChecksum`].
    Checksum {
        /// The field's value.
        found: u16,
        /// What it should have been.
        computed: u16,
    },
    /// [`Fault::BadOffset`]: TCP's data offset.
    Offset {
        /// The header length that it states.
        header_length: u32,
        /// The lowest and highest possible one.
        expected: [u32; 2],
    },
    /// [`Fault::BadFlags`].
    Flags(Flags),
    /// [`Fault::BadIcmpType`].
    IcmpType {
        /// The type.
        icmp_type: u8,
        /// The code.
        code: u8,
    },
    /// [`Fault::BadFragment`].
    Fragment {
        /// The datagram's identification.
        id: u32,
        /// Where its payload belongs in the datagram.
        offset: u32,
        /// How long its payload is.
        length: u32,
        /// Whether more are to follow.
        more: bool,
    },
}

/// What a header belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Ethernet, VLAN tags, a cooked header.
    Link,
    /// IPv4 or IPv6: its header, or the whole packet as its length field states it.
    Ip,
    /// An IPv6 extension header.
    Extension,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6.
    Icmp,
}

impl Layer {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Link => "link",
            Layer::Ip => "ip",
            Layer::Extension => "extension",
            Layer::Tcp => "tcp",
            Layer::Udp => "udp",
            Layer::Icmp => "icmp",
        }
    }
}

/// What was compared when [`super::parse`] found `fault` in `frame`. None where it says more than any number.
pub fn evidence(frame: &Frame<'_>, fault: Fault) -> Option<Evidence> {
    let stripped = link::strip(frame);
    let bytes = stripped.bytes;
    match stripped.content {
        Content::NotIp => None,
        Content::Truncated => Some(cut_link_header(frame)),
        Content::UnknownVersion => Some(ip_header(*bytes.first()?)),
        Content::Ipv4 => v4(bytes, stripped.wire, fault),
        Content::Ipv6 => v6(bytes, stripped.wire, fault),
    }
}

/// As [`evidence`], of a datagram that was put together.
pub fn evidence_of_datagram(whole: &Datagram<'_>, fault: Fault) -> Option<Evidence> {
    let mut network = Network {
        addresses: whole.addresses,
        length: whole.length,
        vlan: whole.vlan,
        protocol: whole.next_header,
        stated: whole.payload_length,
        payload: whole.head.get(..whole.payload_length as usize).unwrap_or(whole.head),
        payload_sum: whole.sum,
        address_sum: None,
    };
    match whole.addresses {
        Addresses::None => None,
        Addresses::V4 { source, destination } => {
            network.address_sum = Some(Sum::of_v4_addresses(source, destination));
            transport(&network, fault)
        }
        Addresses::V6 { .. } => chain(network, 0, false, fault),
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn truncated(layer: Layer, needed: usize, present: usize) -> Evidence {
    Evidence::Truncated { layer, needed: count(needed), present: count(present) }
}

fn ip_header(first: u8) -> Evidence {
    Evidence::IpHeader { version: first >> 4, header_length: (first & 15) * 4 }
}

/// The link header, whose VLAN tags may have been cut as well: one tag more than are there.
fn cut_link_header(frame: &Frame<'_>) -> Evidence {
    let present = frame.bytes.len();
    let header = match frame.link {
        Link::Ethernet => 14,
        Link::LinuxCooked => 16,
        Link::LinuxCooked2 => 20,
        Link::RawIp => 1,
    };
    let tags = present.checked_sub(header).map_or(0, |behind| behind / 4 + 1);
    truncated(Layer::Link, header + 4 * tags, present)
}

fn v4(bytes: &[u8], wire: usize, fault: Fault) -> Option<Evidence> {
    let Some((header, behind)) = bytes.split_first_chunk::<20>() else {
        return Some(truncated(Layer::Ip, 20, bytes.len()));
    };
    if fault == Fault::BadIpHeader {
        return Some(ip_header(header[0]));
    }
    let header_length = usize::from(header[0] & 15) * 4;
    let Some(option_bytes) = behind.get(..header_length.checked_sub(20)?) else {
        return Some(truncated(Layer::Ip, header_length, bytes.len()));
    };
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let Some(stated) = total.checked_sub(header_length) else {
        return Some(Evidence::Length { length: count(total), expected: [count(header_length), 65_535] });
    };
    if total > wire {
        return Some(truncated(Layer::Ip, total, wire));
    }
    match fault {
        Fault::BadIpOption => return option(option_bytes, 20),
        Fault::BadIpChecksum => {
            let field = [header[10], header[11]];
            let sum = Sum::of_array(header).plus(Sum::of(option_bytes));
            return Some(checksum(sum, field));
        }
        Fault::BadFragment => {
            let fragmentation = u16::from_be_bytes([header[6], header[7]]);
            let offset = u32::from(fragmentation & 0x1fff) * 8;
            return Some(Evidence::Fragment {
                id: u32::from(u16::from_be_bytes([header[4], header[5]])),
                offset,
                length: count(stated),
                more: fragmentation & 0x2000 != 0,
            });
        }
        Fault::Truncated
        | Fault::BadIpHeader
        | Fault::BadLength
        | Fault::BadChecksum
        | Fault::BadOffset
        | Fault::BadTcpOption
        | Fault::BadFlags
        | Fault::BadIcmpType => {}
    }
    let behind = &behind[option_bytes.len()..];
    let (source, destination) = ip::v4_addresses(header);
    let network = Network {
        addresses: Addresses::V4 { source, destination },
        length: count(total),
        vlan: 0,
        protocol: header[9],
        stated: count(stated),
        payload: behind.get(..stated).unwrap_or(behind),
        payload_sum: None,
        address_sum: Some(Sum::of_v4_addresses(source, destination)),
    };
    transport(&network, fault)
}

fn v6(bytes: &[u8], wire: usize, fault: Fault) -> Option<Evidence> {
    let Some((header, behind)) = bytes.split_first_chunk::<40>() else {
        return Some(truncated(Layer::Ip, 40, bytes.len()));
    };
    if fault == Fault::BadIpHeader {
        return Some(ip_header(header[0]));
    }
    let stated = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut length = stated;
    if stated == 0 && header[6] == extension::HOP_BY_HOP {
        match extension::jumbo_length(behind) {
            // RFC 2675 section 3: what the other field could hold must not stand here.
            Ok(Some(jumbo)) if jumbo <= 65_535 => {
                return Some(Evidence::Length { length: jumbo, expected: [65_536, u32::MAX] });
            }
            Ok(Some(jumbo)) => length = jumbo as usize,
            Ok(None) | Err(_) => {}
        }
    }
    if fault == Fault::Truncated && length.saturating_add(40) > wire {
        return Some(truncated(Layer::Ip, length.saturating_add(40), wire));
    }
    let (source, destination) = ip::v6_addresses(header);
    let network = Network {
        addresses: Addresses::V6 { source, destination },
        length: count(length.saturating_add(40)),
        vlan: 0,
        protocol: header[6],
        stated: count(length),
        payload: behind.get(..length).unwrap_or(behind),
        payload_sum: None,
        address_sum: Some(Sum::of_v6_addresses(source, destination)),
    };
    chain(network, 40, true, fault)
}

/// The extension headers that begin `before` bytes behind the IP header's start, and what follows them.
fn chain(mut network: Network<'_>, before: usize, at_start: bool, fault: Fault) -> Option<Evidence> {
    let headers = network.payload;
    let stated = network.stated;
    let chain = extension::walk(network.protocol, headers, at_start);
    let broken = headers.get(chain.length..).unwrap_or(&[]);
    chain.apply_to(&mut network);
    match (fault, chain.stop) {
        // The option says that it is a jumbogram, the length field that it is none.
        (Fault::BadLength, _) if chain.jumbo.is_some() => {
            Some(Evidence::Length { length: stated, expected: [0, 0] })
        }
        (Fault::BadFragment, Stop::Fragment { id, offset, more }) => {
            Some(Evidence::Fragment { id, offset, length: network.stated, more })
        }
        (Fault::BadIpOption, Stop::Broken(_)) => Some(Evidence::Option {
            offset: count(before + chain.length),
            kind: chain.protocol,
            length: broken.get(1).copied(),
        }),
        (Fault::Truncated, Stop::Broken(_)) => {
            let needed = extension::length_of(chain.protocol, broken);
            Some(truncated(Layer::Extension, needed, broken.len()))
        }
        (_, Stop::Broken(_)) => None,
        (_, Stop::Upper | Stop::Fragment { .. }) => transport(&network, fault),
    }
}

fn transport(network: &Network<'_>, fault: Fault) -> Option<Evidence> {
    let is_v6 = matches!(network.addresses, Addresses::V6 { .. });
    match network.protocol {
        protocol::TCP => segment(network, fault),
        protocol::UDP => {
            let Some(header) = network.payload.first_chunk::<8>() else {
                return Some(truncated(Layer::Udp, 8, network.payload.len()));
            };
            let length = u32::from(u16::from_be_bytes([header[4], header[5]]));
            if fault == Fault::BadLength {
                return Some(Evidence::Length { length, expected: [8, network.stated] });
            }
            let length = if length == 0 { network.stated } else { length };
            with_pseudo_header(network, length, [header[6], header[7]])
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let Some(header) = network.payload.first_chunk::<8>() else {
                return Some(truncated(Layer::Icmp, 8, network.payload.len()));
            };
            let field = [header[2], header[3]];
            if fault == Fault::BadIcmpType {
                Some(Evidence::IcmpType { icmp_type: header[0], code: header[1] })
            } else if is_v6 {
                with_pseudo_header(network, network.stated, field)
            } else {
                Some(checksum(network.sum(network.stated)?, field))
            }
        }
        _ => None,
    }
}

fn segment(network: &Network<'_>, fault: Fault) -> Option<Evidence> {
    let Some((header, behind)) = network.payload.split_first_chunk::<{ tcp::HEADER }>() else {
        return Some(truncated(Layer::Tcp, tcp::HEADER, network.payload.len()));
    };
    let header_length = tcp::header_length(header);
    match fault {
        Fault::BadOffset => Some(Evidence::Offset {
            header_length: count(header_length),
            expected: [count(tcp::HEADER), network.stated.min(60)],
        }),
        Fault::BadTcpOption => {
            let length = header_length.checked_sub(tcp::HEADER)?;
            option(behind.get(..length).unwrap_or(behind), tcp::HEADER)
        }
        Fault::BadFlags => Some(Evidence::Flags(Flags(header[13]))),
        Fault::BadChecksum => with_pseudo_header(network, network.stated, [header[16], header[17]]),
        Fault::Truncated
        | Fault::BadIpHeader
        | Fault::BadLength
        | Fault::BadIpOption
        | Fault::BadIpChecksum
        | Fault::BadIcmpType
        | Fault::BadFragment => None,
    }
}

/// The first option of a list that is wrong; `before` bytes of its header lie before the list.
fn option(list: &[u8], before: usize) -> Option<Evidence> {
    let offset = options::first_broken(list)?;
    Some(Evidence::Option {
        offset: count(before + offset),
        kind: *list.get(offset)?,
        length: list.get(offset + 1).copied(),
    })
}

fn with_pseudo_header(network: &Network<'_>, length: u32, field: [u8; 2]) -> Option<Evidence> {
    let pseudo = network.address_sum?.plus(Sum::of_protocol(network.protocol, length));
    Some(checksum(pseudo.plus(network.sum(length)?), field))
}

/// The checksum `field`, and what it should be where everything adds up to `sum`, the field included.
fn checksum(sum: Sum, field: [u8; 2]) -> Evidence {
    let computed = sum.minus(Sum::of_array(&field)).checksum();
    Evidence::Checksum { found: u16::from_be_bytes(field), computed }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Builder, Tcp};
    use super::super::{Checks, Packet, Ports, Transport, parse};
    use super::*;

    const PORTS: Ports = Ports { source: 1, destination: 2 };

    fn v4() -> Builder {
        Builder::v4([10, 0, 0, 1], [10, 0, 0, 2])
    }

    fn v6() -> Builder {
        Builder::v6([0x20; 16], [0x30; 16])
    }

    /// The fault that `parse` finds, and the evidence of it.
    fn found(frame: &[u8]) -> (Fault, Option<Evidence>) {
        let frame = Frame::whole(frame, Link::Ethernet);
        let packet: Packet<'_> = parse(&frame, Checks::ALL);
        let Transport::Malformed(fault) = packet.transport else { panic!("nothing is wrong: {packet:?}") };
        (fault, evidence(&frame, fault))
    }

    fn spoiled(mut frame: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
        frame[at] = value;
        frame
    }

    #[test]
    fn a_wrong_checksum_stands_beside_the_right_one() {
        for (frame, at) in [
            (v4().tcp(&Tcp::new(1, 2), b"odd"), 34 + 16),
            (v4().udp(PORTS, b"four"), 34 + 6),
            (v4().icmp(8, 0, [0, 1, 0, 1], b"ping"), 34 + 2),
            (v6().tcp(&Tcp::new(1, 2), b"odd"), 54 + 16),
            (v6().extension(60, &[1, 4, 0, 0, 0, 0]).udp(PORTS, b"hi"), 62 + 6),
        ] {
            let right = u16::from_be_bytes([frame[at], frame[at + 1]]);
            let wrong = spoiled(frame, at, (right >> 8) as u8 ^ 0x55);
            let evidence = Some(Evidence::Checksum { found: right ^ 0x5500, computed: right });
            assert_eq!(found(&wrong), (Fault::BadChecksum, evidence));
        }
        let frame = v4().options(&[1, 1, 1, 1]).udp(PORTS, b"four");
        let right = u16::from_be_bytes([frame[24], frame[25]]);
        let wrong = spoiled(frame, 24, (right >> 8) as u8 ^ 0x55);
        let evidence = Some(Evidence::Checksum { found: right ^ 0x5500, computed: right });
        assert_eq!(found(&wrong), (Fault::BadIpChecksum, evidence));
    }

    #[test]
    fn what_is_cut_says_what_it_needs() {
        let whole = v4().tcp(&Tcp::new(1, 2), b"data");
        let tagged = v4().vlan(7).tcp(&Tcp::new(1, 2), b"data");
        let extended = v6().extension(60, &[1, 4, 0, 0, 0, 0]).udp(PORTS, b"hi");
        for (frame, layer, needed, present) in [
            (&whole[..9], Layer::Link, 14, 9),
            (&tagged[..16], Layer::Link, 18, 16),
            (&whole[..20], Layer::Ip, 20, 6),
            (&whole[..50], Layer::Ip, 44, 36),
            (&extended[..60], Layer::Ip, 58, 46),
        ] {
            let evidence = Evidence::Truncated { layer, needed, present };
            assert_eq!(found(frame), (Fault::Truncated, Some(evidence)));
        }
        let short = Frame { bytes: &whole[..45], wire_length: whole.len(), link: Link::Ethernet };
        let evidence = evidence(&short, Fault::Truncated);
        assert_eq!(evidence, Some(Evidence::Truncated { layer: Layer::Tcp, needed: 20, present: 11 }));
    }

    #[test]
    fn lengths_and_offsets_stand_beside_what_is_possible() {
        let tcp = v4().tcp(&Tcp::new(1, 2), b"data");
        let unchecked = |frame: &[u8]| {
            let frame = Frame::whole(frame, Link::Ethernet);
            let Transport::Malformed(fault) = parse(&frame, Checks::NONE).transport else { panic!() };
            (fault, evidence(&frame, fault))
        };
        assert_eq!(
            unchecked(&spoiled(tcp.clone(), 17, 19)),
            (Fault::BadLength, Some(Evidence::Length { length: 19, expected: [20, 65_535] }))
        );
        assert_eq!(
            unchecked(&spoiled(tcp.clone(), 46, 0x40)),
            (Fault::BadOffset, Some(Evidence::Offset { header_length: 16, expected: [20, 24] }))
        );
        assert_eq!(
            unchecked(&spoiled(tcp.clone(), 14, 0x65)),
            (Fault::BadIpHeader, Some(Evidence::IpHeader { version: 6, header_length: 20 }))
        );
        assert_eq!(
            unchecked(&spoiled(v4().udp(PORTS, b"four"), 39, 200)),
            (Fault::BadLength, Some(Evidence::Length { length: 200, expected: [8, 12] }))
        );
        assert_eq!(
            unchecked(&spoiled(tcp, 47, 3)),
            (Fault::BadFlags, Some(Evidence::Flags(Flags::SYN.with(Flags::FIN))))
        );
        assert_eq!(
            unchecked(&v4().icmp(99, 3, [0; 4], b"")),
            (Fault::BadIcmpType, Some(Evidence::IcmpType { icmp_type: 99, code: 3 }))
        );
        assert_eq!(
            unchecked(&v4().id(1).fragment(protocol::UDP, 65_528, false, &[0; 16])),
            (Fault::BadFragment, Some(Evidence::Fragment { id: 1, offset: 65_528, length: 16, more: false }))
        );
    }

    #[test]
    fn the_first_option_that_is_wrong_is_named_with_its_place() {
        let with_options = Tcp { options: vec![1, 1, 8, 20, 0, 0, 0, 0], ..Tcp::new(1, 2) };
        assert_eq!(
            found(&v4().tcp(&with_options, b"")),
            (Fault::BadTcpOption, Some(Evidence::Option { offset: 22, kind: 8, length: Some(20) }))
        );
        assert_eq!(
            found(&v4().options(&[1, 7, 1, 0]).udp(PORTS, b"")),
            (Fault::BadIpOption, Some(Evidence::Option { offset: 21, kind: 7, length: Some(1) }))
        );
        let (fault, evidence) = found(&v6().extension(60, &[1, 99, 0, 0, 0, 0]).udp(PORTS, b"hi"));
        assert_eq!(fault, Fault::BadIpOption);
        assert_eq!(evidence, Some(Evidence::Option { offset: 40, kind: 60, length: Some(0) }));
    }
}
