//! What `parse` says, protocol by protocol; and in `damage`, about frames that are cut, broken or lie.

use super::build::{Builder, Tcp};
use super::checksum::Sum;
use super::*;

mod damage;
mod icmp;
mod ip;
mod tcp;

pub(super) const A4: [u8; 4] = [192, 0, 2, 1];
pub(super) const B4: [u8; 4] = [198, 51, 100, 2];
pub(super) const A6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(super) const B6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 2];
pub(super) const PORTS: Ports = Ports { source: 40_000, destination: 80 };

/// The length of an Ethernet header, where the builder's IP packets begin.
pub(super) const ETHERNET: usize = 14;

pub(super) fn v4() -> Builder {
    Builder::v4(A4, B4)
}

pub(super) fn v6() -> Builder {
    Builder::v6(A6, B6)
}

/// A segment with numbers that cannot be mistaken for each other.
pub(super) fn segment(flags: Flags) -> Tcp {
    Tcp {
        ports: PORTS,
        seq: Seq(0x0102_0304),
        ack: Seq(0x0506_0708),
        flags,
        window: 0x090a,
        options: Vec::new(),
    }
}

/// Parses a whole Ethernet frame, every checksum verified.
pub(super) fn parsed(frame: &[u8]) -> Packet<'_> {
    parse(&Frame::whole(frame, Link::Ethernet), Checks::ALL)
}

/// The fault of a whole Ethernet frame.
pub(super) fn fault(frame: &[u8]) -> Option<Fault> {
    fault_with(frame, Checks::ALL)
}

pub(super) fn fault_with(frame: &[u8], checks: Checks) -> Option<Fault> {
    match parse(&Frame::whole(frame, Link::Ethernet), checks).transport {
        Transport::Malformed(fault) => Some(fault),
        Transport::Untracked
        | Transport::Tcp(_)
        | Transport::Udp
        | Transport::Query(_)
        | Transport::Error(_)
        | Transport::Fragment(_)
        | Transport::Other => None,
    }
}

/// Writes `bytes` into an Ethernet frame at `at` behind the Ethernet header.
pub(super) fn patched(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[ETHERNET + at..][..bytes.len()].copy_from_slice(bytes);
    frame
}

/// The same, with the IPv4 header's checksum made right again.
pub(super) fn patched_v4(frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = patched(frame, at, bytes);
    let header_length = usize::from(frame[ETHERNET] & 0x0f) * 4;
    frame[ETHERNET + 10..][..2].fill(0);
    let end = (ETHERNET + header_length).min(frame.len());
    let checksum = Sum::of(&frame[ETHERNET..end]).checksum();
    frame[ETHERNET + 10..][..2].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// One frame of every kind that is well-formed, with a name.
pub(super) fn every_kind() -> Vec<(&'static str, Vec<u8>)> {
    let timestamps = Tcp { options: vec![1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9], ..segment(Flags::ACK) };
    let fin = Flags::FIN.with(Flags::ACK);
    let timestamped_fin = Tcp { flags: fin, ..timestamps.clone() };
    let syn = Tcp { options: vec![2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 0, 0], ..segment(Flags::SYN) };
    let quoted_v4 = &v4().tcp(&segment(Flags::ACK), b"quoted")[ETHERNET..];
    let quoted_v6 = &v6().extension(60, &[1, 4, 0, 0, 0, 0]).udp(PORTS, b"quoted")[ETHERNET..];
    let mut kinds = vec![
        ("v4 ack", v4().tcp(&segment(Flags::ACK), b"")),
        ("v4 fin", v4().tcp(&segment(fin), b"the last")),
        ("v4 timestamps", v4().tcp(&timestamps, b"some data")),
        ("v4 syn", v4().tcp(&syn, b"")),
        ("v4 tagged twice", v4().vlan(5).vlan(6).tcp(&segment(Flags::ACK), b"x")),
        ("v4 options", v4().options(&[148, 4, 0, 0, 1]).tcp(&syn, b"odd")),
        ("v4 udp", v4().udp(PORTS, b"datagram")),
        ("v4 echo", v4().icmp(8, 0, [0x12, 0x34, 0, 1], b"ping")),
        ("v4 router advertisement", v4().icmp(9, 0, [0; 4], b"")),
        ("v4 unreachable", v4().icmp(3, 1, [0; 4], quoted_v4)),
        ("v4 gre", v4().packet(47, b"anything")),
        ("v6 ack", v6().tcp(&segment(Flags::ACK), b"")),
        ("v6 fin", v6().tcp(&timestamped_fin, b"")),
        ("v6 timestamps", v6().tcp(&timestamps, b"some data")),
        (
            "v6 chain",
            v6().extension(0, &[1, 4]).extension(43, &[0, 0]).extension(60, &[1, 4]).tcp(&syn, b"x"),
        ),
        ("v6 authenticated", v6().extension(51, &[0; 22]).udp(PORTS, b"datagram")),
        ("v6 echo reply", v6().icmp(129, 0, [0x12, 0x34, 0, 1], b"pong")),
        ("v6 neighbour solicitation", v6().icmp(135, 0, [0; 4], &A6)),
        ("v6 too big", v6().icmp(2, 0, [0, 0, 5, 0], quoted_v6)),
        ("v6 no next header", v6().packet(59, b"ignored")),
    ];
    let datagram = v4().udp_datagram(PORTS, &[7; 64]);
    kinds.push(("v4 first fragment", v4().id(9).fragment(17, 0, true, &datagram[..32])));
    kinds.push(("v4 last fragment", v4().id(9).fragment(17, 32, false, &datagram[32..])));
    kinds.push(("v6 first fragment", v6().id(9).fragment(17, 0, true, &datagram[..32])));
    kinds.push((
        "v6 last fragment",
        v6().id(9).extension(0, &[1, 4]).fragment(17, 32, false, &datagram[32..]),
    ));
    kinds
}

#[test]
fn every_link_layer_leads_to_the_same_packet() {
    let ack = segment(Flags::ACK);
    for builder in [v4(), v6()] {
        let raw = builder.clone().link(Link::RawIp).tcp(&ack, b"payload");
        let expected = parse(&Frame::whole(&raw, Link::RawIp), Checks::ALL);
        assert!(matches!(expected.transport, Transport::Tcp(_)));
        for link in [Link::Ethernet, Link::LinuxCooked, Link::LinuxCooked2] {
            let frame = builder.clone().link(link).tcp(&ack, b"payload");
            assert_eq!(parse(&Frame::whole(&frame, link), Checks::ALL), expected, "{link:?}");
        }
    }
}

#[test]
fn the_outermost_vlan_tag_is_reported_and_any_number_of_inner_ones_passed() {
    for link in [Link::Ethernet, Link::LinuxCooked, Link::LinuxCooked2] {
        for depth in [1, 2, 3, 50] {
            let tagged = (0..depth).fold(v4().link(link), |builder, tag| builder.vlan(100 + tag));
            let frame = tagged.tcp(&segment(Flags::ACK), b"");
            let packet = parse(&Frame::whole(&frame, link), Checks::ALL);
            assert_eq!(packet.vlan, 100, "{link:?} with {depth} tags");
            assert!(matches!(packet.transport, Transport::Tcp(_)));
        }
    }
}

#[test]
fn service_tags_are_tags_and_priority_is_no_part_of_the_identifier() {
    for (high, low) in [(0x81, 0x00), (0x88, 0xa8), (0x91, 0x00)] {
        let mut frame = v4().vlan(0x0123).tcp(&segment(Flags::ACK), b"");
        frame[12..14].copy_from_slice(&[high, low]);
        frame[14] |= 0xf0;
        assert_eq!(parsed(&frame).vlan, 0x0123);
    }
}

#[test]
fn what_is_not_ip_is_untracked() {
    // ARP, LLDP, MPLS, PPPoE, an 802.3 length (LLC follows), the largest 802.3 length.
    for ether_type in [0x0806_u16, 0x88cc, 0x8847, 0x8864, 0x0026, 0x05ff] {
        let mut frame = v4().tcp(&segment(Flags::ACK), b"");
        frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
        let packet = parsed(&frame);
        assert_eq!(packet.transport, Transport::Untracked);
        assert_eq!((packet.addresses, packet.length, packet.ports), (Addresses::None, 0, None));
    }
    let mut tagged = v4().vlan(7).tcp(&segment(Flags::ACK), b"");
    tagged[16..18].copy_from_slice(&[0x08, 0x06]);
    assert_eq!((parsed(&tagged).transport, parsed(&tagged).vlan), (Transport::Untracked, 7));
}

#[test]
fn a_version_that_contradicts_the_link_layer_is_a_bad_header() {
    let mut six_as_four = v6().tcp(&segment(Flags::ACK), b"");
    six_as_four[12..14].copy_from_slice(&[0x08, 0x00]);
    assert_eq!(fault(&six_as_four), Some(Fault::BadIpHeader));
    let mut four_as_six = v4().tcp(&segment(Flags::ACK), b"");
    four_as_six[12..14].copy_from_slice(&[0x86, 0xdd]);
    assert_eq!(fault(&four_as_six), Some(Fault::BadIpHeader));
    for version in [0_u8, 1, 5, 7, 15] {
        let bytes = [version << 4 | 5; 60];
        let packet = parse(&Frame::whole(&bytes, Link::RawIp), Checks::ALL);
        assert_eq!(packet.transport, Transport::Malformed(Fault::BadIpHeader));
    }
}

#[test]
fn udp_bears_its_ports_and_needs_no_checksum() {
    for builder in [v4(), v6()] {
        let frame = builder.udp(PORTS, b"some data");
        let packet = parsed(&frame);
        assert_eq!((packet.transport, packet.ports), (Transport::Udp, Some(PORTS)));

        let udp = frame.len() - 17;
        let mut without = frame.clone();
        without[udp + 6..udp + 8].fill(0);
        assert_eq!(fault(&without), None, "RFC 768; RFC 6936 for IPv6");

        let mut wrong = frame.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(fault(&wrong), Some(Fault::BadChecksum));
        assert_eq!(parsed(&wrong).ports, Some(PORTS));
        assert_eq!(fault_with(&wrong, Checks { udp: false, ..Checks::ALL }), None);
    }
}

#[test]
fn a_udp_length_may_be_smaller_than_the_ip_payload_but_not_larger() {
    let mut upper = v4().udp_datagram(PORTS, b"data");
    upper.extend_from_slice(b"a tail that is not UDP's");
    assert_eq!(fault(&v4().packet(17, &upper)), None, "the checksum covers UDP's length only");
    for length in [0_u16, 7, upper.len() as u16 + 1] {
        upper[4..6].copy_from_slice(&length.to_be_bytes());
        let frame = v4().packet(17, &upper);
        assert_eq!(fault(&frame), Some(Fault::BadLength), "{length} bytes");
        assert_eq!(parsed(&frame).ports, Some(PORTS));
    }
}

#[test]
fn other_protocols_are_known_by_addresses_alone() {
    for number in [2, 4, 41, 47, 50, 89, 132, 136, 255] {
        for builder in [v4(), v6()] {
            let frame = builder.packet(number, b"");
            let packet = parsed(&frame);
            assert_eq!((packet.transport, packet.protocol, packet.ports), (Transport::Other, number, None));
        }
    }
    // Each ICMP belongs to its own version of IP.
    let (icmpv6_in_v4, icmp_in_v6) = (v4().packet(58, &[8; 8]), v6().packet(1, &[8; 8]));
    assert_eq!(parsed(&icmpv6_in_v4).transport, Transport::Other);
    assert_eq!(parsed(&icmp_in_v6).transport, Transport::Other);
}

/// The datagram whose fragments were put together to `payload`.
fn datagram<'a>(builder: &'a Builder, next_header: u8, payload: &'a [u8]) -> Datagram<'a> {
    Datagram {
        addresses: builder.addresses(),
        next_header,
        head: &payload[..payload.len().min(256)],
        payload_length: payload.len() as u32,
        length: payload.len() as u32 + 60,
        vlan: 3,
        sum: Some(Sum::of(payload)),
    }
}

#[test]
fn a_reassembled_datagram_is_parsed_like_one_that_came_whole() {
    for builder in [v4(), v6()] {
        let upper = builder.tcp_segment(&segment(Flags::ACK), &[0xa5; 3001]);
        let whole = datagram(&builder, protocol::TCP, &upper);
        let packet = parse_datagram(&whole, Checks::ALL);
        let Transport::Tcp(tcp) = packet.transport else { panic!("{packet:?}") };
        assert_eq!((tcp.seq, tcp.payload), (Seq(0x0102_0304), 3001));
        assert_eq!((packet.ports, packet.vlan), (Some(PORTS), 3));
        assert_eq!((packet.addresses, packet.length), (builder.addresses(), 3021 + 60));

        let wrong = Datagram { sum: Some(Sum::of(&upper).plus(Sum::of(&[0, 1]))), ..whole };
        let packet = parse_datagram(&wrong, Checks::ALL);
        assert_eq!(packet.transport, Transport::Malformed(Fault::BadChecksum));
        assert_eq!(parse_datagram(&wrong, Checks::NONE).transport, Transport::Tcp(tcp));
        let unknown = Datagram { sum: None, ..wrong };
        assert_eq!(parse_datagram(&unknown, Checks::ALL).transport, Transport::Tcp(tcp));
    }
}

#[test]
fn extension_headers_behind_the_fragment_header_are_walked_and_not_summed() {
    let upper = v6().udp_datagram(PORTS, &[0x5a; 1000]);
    let mut payload = vec![17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    payload.extend_from_slice(&upper);
    let builder = v6();
    let whole = datagram(&builder, 60, &payload);
    let packet = parse_datagram(&whole, Checks::ALL);
    assert_eq!((packet.transport, packet.protocol), (Transport::Udp, 17));
    assert_eq!(packet.ports, Some(PORTS));

    // Hop-by-hop options stand before the fragment header or nowhere.
    let late = datagram(&builder, 0, &payload);
    assert_eq!(parse_datagram(&late, Checks::ALL).transport, Transport::Malformed(Fault::BadIpOption));
    // Nobody fragments twice; the head is where the headers have to be.
    let again = datagram(&builder, 44, &[17, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(parse_datagram(&again, Checks::ALL).transport, Transport::Malformed(Fault::BadFragment));
    let cut = Datagram { head: &payload[..20], ..whole };
    assert_eq!(parse_datagram(&cut, Checks::ALL).transport, Transport::Malformed(Fault::Truncated));
}

#[test]
fn every_fault_has_a_name_of_its_own_and_its_number_is_its_place() {
    let names: std::collections::HashSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), Fault::ALL.len());
    for (place, fault) in Fault::ALL.into_iter().enumerate() {
        assert_eq!(fault as usize, place);
    }
}
