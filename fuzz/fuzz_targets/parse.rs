//! Any frame whatsoever: what `wire::parse` says about it must hang together.
//!
//! ```text
//!  input │ link, extra wire length (4) │ frame … │
//!                                       ├─ as it is, checksums on and off ─► same packet, or a fault more
//!                                       ├─ as the hot path reads it ─► same numbers, or nothing
//!                                       ├─ at a glance ─► same tuple, or nothing
//!                                       ├─ its IP packet without link header ─► same packet, the long way
//!                                       └─ its payload as a reassembled datagram ─► same transport
//! ```

#![no_main]

use lastack::wire::checksum::Sum;
use lastack::wire::{
    Addresses, Checks, Datagram, Fault, Flags, Frame, Glance, Link, Packet, Plain, QuotedTransport, Segment,
    Transport, parse, parse_datagram, protocol,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(([link, high, low, flags], bytes)) = input.split_first_chunk::<4>() else { return };
    let link = match link % 4 {
        0 => Link::Ethernet,
        1 => Link::LinuxCooked,
        2 => Link::LinuxCooked2,
        _ => Link::RawIp,
    };
    let cut = if flags & 1 == 0 { 0 } else { usize::from(u16::from_be_bytes([*high, *low])) };
    let frame = Frame { bytes, wire_length: bytes.len() + cut, link };
    let packet = parse(&frame, Checks::ALL);
    let unchecked = parse(&frame, Checks::NONE);

    check_numbers(&frame, &packet);
    check_numbers(&frame, &unchecked);
    check_checksums(&packet, &unchecked);
    check_glance(&frame, &packet);
    check_plain(&frame, &packet, Checks::ALL);
    check_plain(&frame, &unchecked, Checks::NONE);
    check_without_link(&frame, &packet, Checks::ALL);
    check_without_link(&frame, &unchecked, Checks::NONE);
    check_snap_length(&frame, &unchecked);
    check_reassembled(&frame, &packet, Checks::ALL);
    check_reassembled(&frame, &unchecked, Checks::NONE);
});

/// Whether `inner` lies in `outer`; nothing lies anywhere.
fn lies_inside(inner: &[u8], outer: &[u8]) -> bool {
    let (inner_range, outer_range) = (inner.as_ptr_range(), outer.as_ptr_range());
    inner.is_empty() || (inner_range.start >= outer_range.start && inner_range.end <= outer_range.end)
}

/// What a glance tells of a well-formed packet is true.
fn check_glance(frame: &Frame<'_>, packet: &Packet<'_>) {
    let Some(Glance { addresses, protocol, ports }) = Glance::at(frame) else { return };
    if matches!(packet.transport, Transport::Tcp(_) | Transport::Udp) {
        assert_eq!((addresses, protocol, Some(ports)), (packet.addresses, packet.protocol, packet.ports));
    } else {
        assert!(matches!(packet.transport, Transport::Malformed(_)), "{packet:?}");
    }
}

/// Slices lie in the frame, and headers and payload add up to the stated length.
fn check_numbers(frame: &Frame<'_>, packet: &Packet<'_>) {
    if let Addresses::V6 { source, destination } = packet.addresses {
        assert!(lies_inside(source, frame.bytes) && lies_inside(destination, frame.bytes));
    }
    let ip_header = match packet.addresses {
        Addresses::None => {
            assert!(packet.length == 0 && packet.ports.is_none());
            assert!(matches!(packet.transport, Transport::Untracked | Transport::Malformed(_)));
            return;
        }
        Addresses::V4 { .. } => 20,
        Addresses::V6 { .. } => 40,
    };
    if !matches!(packet.transport, Transport::Malformed(_)) {
        assert!(packet.length >= ip_header);
        assert!(packet.length as usize <= frame.wire_length);
    }
    match packet.transport {
        Transport::Tcp(segment) => {
            let options = segment.options.0;
            assert!(packet.protocol == protocol::TCP && packet.ports.is_some());
            assert!(lies_inside(options, frame.bytes) && options.len() <= 40);
            assert!(ip_header + 20 + options.len() as u32 + segment.payload <= packet.length);
            if let Some(shift) = segment.options.window_scale() {
                assert!(shift <= 14 && options.contains(&3));
            }
            assert!(segment.options.timestamps().is_none() || options.len() >= 10);
            assert!(segment.options.mss().is_none() || options.len() >= 4);
            assert!(!segment.options.sack_permitted() || options.len() >= 2);
        }
        Transport::Fragment(fragment) => {
            assert!(lies_inside(fragment.payload, frame.bytes));
            assert!(fragment.offset % 8 == 0 && fragment.offset + fragment.length <= 65_535);
            assert!(fragment.length > 0 && (!fragment.more || fragment.length % 8 == 0));
            assert!(fragment.offset > 0 || fragment.more);
            assert!(fragment.payload.len() <= fragment.length as usize);
            assert!(ip_header + fragment.length <= packet.length);
            assert!(fragment.offset == 0 || packet.ports.is_none());
            if frame.wire_length == frame.bytes.len() {
                assert_eq!(fragment.payload.len(), fragment.length as usize);
            }
        }
        Transport::Udp => assert!(packet.protocol == protocol::UDP && packet.ports.is_some()),
        Transport::Error(quote) => {
            let is_known = quote.transport != QuotedTransport::Unknown;
            assert!(!is_known || quote.addresses != Addresses::None);
            assert!(packet.ports.is_none());
        }
        Transport::Query(_) | Transport::Other | Transport::Untracked => assert!(packet.ports.is_none()),
        Transport::Malformed(_) => {}
    }
}

/// Checksums only ever add a fault: what is right with them is the same without.
fn check_checksums(packet: &Packet<'_>, unchecked: &Packet<'_>) {
    match packet.transport {
        Transport::Malformed(Fault::BadChecksum | Fault::BadIpChecksum) => {
            assert_eq!((packet.addresses, packet.length), (unchecked.addresses, unchecked.length));
        }
        _ => assert_eq!(packet, unchecked),
    }
}

/// What the hot path reads of a frame is what the packet says.
fn check_plain(frame: &Frame<'_>, packet: &Packet<'_>, checks: Checks) {
    if let Some(Plain { addresses, length, ports, ack }) = Plain::opening(frame, checks) {
        assert_eq!((addresses, length, Some(ports)), (packet.addresses, packet.length, packet.ports));
        let is_v6 = matches!(addresses, Addresses::V6 { .. });
        let segment = Segment::of_opening(frame, is_v6, &ack);
        assert!(packet.vlan == 0 && segment.flags.are_of_opening());
        assert_eq!(packet.transport, Transport::Tcp(segment));
        return;
    }
    let Some(plain) = Plain::v4(frame, checks).or_else(|| Plain::v6(frame, checks)) else { return };
    let Plain { addresses, length, ports, ack } = plain;
    let Transport::Tcp(segment) = packet.transport else { panic!("plain, but {packet:?}") };
    assert_eq!((addresses, length, Some(ports)), (packet.addresses, packet.length, packet.ports));
    assert!(packet.vlan == 0 && segment.flags.are_of_stream());
    assert_eq!((ack.seq, ack.ack, ack.payload), (segment.seq, segment.ack, segment.payload));
    assert_eq!((ack.end(), ack.control.window()), (segment.end(), segment.window));
    assert_eq!(ack.control.has_fin(), segment.flags.has(Flags::FIN));
    assert_eq!(ack.control.has_options(), !segment.options.0.is_empty());
}

/// An IP packet says the same without its link header; there it never takes the shortcut.
fn check_without_link(frame: &Frame<'_>, packet: &Packet<'_>, checks: Checks) {
    let [.., high, low] = match frame.bytes.first_chunk::<14>() {
        Some(header) if frame.link == Link::Ethernet => *header,
        _ => return,
    };
    let Some(bytes) = frame.bytes.get(14..) else { return };
    let version = bytes.first().map(|first| first >> 4);
    if matches!((high, low, version), (0x08, 0x00, Some(4)) | (0x86, 0xdd, Some(6))) {
        let raw = Frame { bytes, wire_length: frame.wire_length - 14, link: Link::RawIp };
        assert_eq!(parse(&raw, checks), *packet);
    }
}

/// A shorter capture of the same frame says the same about the tuple, or that it was cut.
fn check_snap_length(frame: &Frame<'_>, packet: &Packet<'_>) {
    if matches!(packet.transport, Transport::Malformed(_)) {
        return;
    }
    let half = Frame { bytes: &frame.bytes[..frame.bytes.len() / 2], ..*frame };
    let cut = parse(&half, Checks::NONE);
    let is_fragment = matches!(packet.transport, Transport::Fragment(_));
    if cut.transport != Transport::Malformed(Fault::Truncated) {
        assert_eq!((cut.addresses, cut.length), (packet.addresses, packet.length));
        assert_eq!((cut.protocol, cut.vlan), (packet.protocol, packet.vlan));
        assert!(is_fragment || cut.ports == packet.ports);
    }
}

/// A whole IPv4 packet's payload, handed over as if reassembly had made it, is the same transport.
fn check_reassembled(frame: &Frame<'_>, packet: &Packet<'_>, checks: Checks) {
    let is_plain = frame.link == Link::RawIp && frame.bytes.first() == Some(&0x45);
    let is_whole = packet.length as usize <= frame.bytes.len();
    let is_fragment_or_bad = matches!(
        packet.transport,
        Transport::Fragment(_)
            | Transport::Malformed(Fault::BadIpChecksum | Fault::BadFragment | Fault::BadLength)
    );
    if !is_plain || !is_whole || is_fragment_or_bad || packet.length < 20 {
        return;
    }
    let payload = &frame.bytes[20..packet.length as usize];
    let whole = Datagram {
        addresses: packet.addresses,
        next_header: packet.protocol,
        head: payload,
        payload_length: payload.len() as u32,
        length: packet.length,
        vlan: packet.vlan,
        sum: Some(Sum::of(payload)),
    };
    assert_eq!(parse_datagram(&whole, checks), *packet);
    // The sum alone says the same as the bytes, as long as the headers are there.
    let short = Datagram { head: &payload[..payload.len().min(128)], ..whole };
    if packet.transport != Transport::Malformed(Fault::BadChecksum) && packet.protocol == protocol::TCP {
        assert_eq!(parse_datagram(&short, checks), *packet);
    }
}
