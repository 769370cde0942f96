//! Frames that are cut, broken at random, or lie about their lengths.

use super::super::parse::parse_layers;
use super::super::plain;
use super::*;

/// Where `inner` lies in `outer`, if it does.
fn lies_inside(inner: &[u8], outer: &[u8]) -> bool {
    let (inner, outer) = (inner.as_ptr_range(), outer.as_ptr_range());
    inner.start >= outer.start && inner.end <= outer.end
}

/// What the hot path reads of a frame is what the packet says, and there is one wherever the shortcut finds a segment
/// of a stream, or one that opens a connection.
fn assert_plain_agrees(frame: &Frame<'_>, checks: Checks) {
    let of_stream = Plain::v4(frame, checks).or_else(|| Plain::v6(frame, checks));
    let opening = Plain::opening(frame, checks);
    let is = |wanted: fn(Flags) -> bool| {
        let packet = plain::parse(frame, checks);
        packet.is_some_and(|it| matches!(it.transport, Transport::Tcp(it) if wanted(it.flags)))
    };
    assert_eq!(of_stream.is_some(), is(Flags::are_of_stream));
    assert_eq!(opening.is_some(), is(Flags::are_of_opening));
    let Some(Plain { addresses, length, ports, ack }) = of_stream.or(opening) else { return };
    let packet = parse_layers(frame, checks);
    let Transport::Tcp(segment) = packet.transport else { panic!("plain, but {packet:?}") };
    let tuple = (packet.addresses, packet.length, packet.ports, packet.vlan);
    assert_eq!((addresses, length, Some(ports), 0), tuple);
    assert_eq!((ack.seq, ack.ack, ack.payload), (segment.seq, segment.ack, segment.payload));
    assert_eq!((ack.control.flags(), ack.control.window()), (segment.flags, segment.window));
    assert_eq!(ack.control.has_options(), !segment.options.0.is_empty());
    assert_eq!(ack.data_end(), segment.seq.plus(segment.payload));
    if opening.is_some() {
        let is_v6 = matches!(addresses, Addresses::V6 { .. });
        assert_eq!(Segment::of_opening(frame, is_v6, &ack), segment);
    } else {
        assert_eq!(ack.end(), segment.end());
    }
}

/// What a glance tells of a frame that is well-formed is what its packet says.
fn assert_glance_agrees(frame: &Frame<'_>, packet: &Packet<'_>) {
    let Some(Glance { addresses, protocol, ports }) = Glance::at(frame) else { return };
    if matches!(packet.transport, Transport::Tcp(_) | Transport::Udp) {
        assert_eq!((addresses, protocol, Some(ports)), (packet.addresses, packet.protocol, packet.ports));
    } else {
        assert!(matches!(packet.transport, Transport::Malformed(_)), "{packet:?}");
    }
}

/// What must be true of the packet of any frame whatsoever.
fn assert_sound(frame: &Frame<'_>, checks: Checks) {
    let packet = parse(frame, checks);
    assert_eq!(packet, parse(frame, checks), "the same frame twice");
    assert_eq!(packet, parse_layers(frame, checks), "the shortcut and the long way");
    assert_plain_agrees(frame, checks);
    assert_glance_agrees(frame, &packet);
    match packet.transport {
        Transport::Tcp(segment) => {
            assert!(segment.options.0.is_empty() || lies_inside(segment.options.0, frame.bytes));
            assert!(segment.payload < packet.length);
            assert!(packet.ports.is_some());
            // None of these may panic on whatever the options hold.
            let _ = (segment.options.timestamps(), segment.options.window_scale());
            let _ = (segment.options.mss(), segment.options.sack_permitted());
        }
        Transport::Fragment(fragment) => {
            assert!(fragment.payload.is_empty() || lies_inside(fragment.payload, frame.bytes));
            assert!(fragment.payload.len() <= fragment.length as usize);
            assert!(fragment.offset + fragment.length <= 65_535 && fragment.offset % 8 == 0);
        }
        Transport::Untracked
        | Transport::Malformed(_)
        | Transport::Udp
        | Transport::Query(_)
        | Transport::Error(_)
        | Transport::Other => {}
    }
    if !matches!(packet.transport, Transport::Malformed(_)) {
        assert_eq!(packet, parse(frame, Checks::NONE), "checksums only ever add faults");
        if packet.addresses != Addresses::None {
            assert!(packet.length as usize <= frame.wire_length.max(frame.bytes.len()));
        }
    }
}

#[test]
fn every_kind_of_frame_is_well_formed_and_the_shortcut_agrees() {
    for (name, frame) in every_kind() {
        assert_eq!(fault(&frame), None, "{name}");
        assert_sound(&Frame::whole(&frame, Link::Ethernet), Checks::ALL);
    }
}

#[test]
fn a_glance_is_enough_for_tcp_and_udp_without_fragments_and_extension_headers() {
    for (name, frame) in every_kind() {
        let is_hidden = ["fragment", "chain", "authenticated"].iter().any(|word| name.contains(word));
        let is_plain = matches!(parsed(&frame).protocol, protocol::TCP | protocol::UDP) && !is_hidden;
        assert_eq!(Glance::at(&Frame::whole(&frame, Link::Ethernet)).is_some(), is_plain, "{name}");
    }
}

#[test]
fn a_frame_cut_on_the_wire_is_malformed_at_every_length() {
    for (name, frame) in every_kind() {
        for length in 0..frame.len() {
            let cut = Frame::whole(&frame[..length], Link::Ethernet);
            assert_sound(&cut, Checks::ALL);
            let transport = parse(&cut, Checks::ALL).transport;
            assert_eq!(transport, Transport::Malformed(Fault::Truncated), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn a_frame_cut_by_its_snap_length_is_truncated_or_bears_the_same_tuple() {
    for (name, frame) in every_kind() {
        let whole = parsed(&frame);
        let mut readable = 0;
        for length in 0..frame.len() {
            let bytes = &frame[..length];
            let cut = Frame { bytes, wire_length: frame.len(), link: Link::Ethernet };
            assert_sound(&cut, Checks::ALL);
            let packet = parse(&cut, Checks::ALL);
            if packet.transport == Transport::Malformed(Fault::Truncated) {
                assert_eq!(readable, 0, "{name}: {length} bytes are not enough, but fewer were");
                continue;
            }
            readable += 1;
            let tuple = (packet.addresses, packet.protocol, packet.length, packet.vlan);
            assert_eq!(tuple, (whole.addresses, whole.protocol, whole.length, whole.vlan), "{name}");
            // Of a first fragment the ports may be cut, of everything else they are part of the header.
            if !matches!(packet.transport, Transport::Fragment(_)) {
                assert_eq!(packet.ports, whole.ports, "{name} cut to {length} bytes");
            }
            if let (Transport::Tcp(seen), Transport::Tcp(sent)) = (packet.transport, whole.transport) {
                let numbers = |s: Segment<'_>| (s.seq, s.ack, s.flags, s.window, s.payload);
                assert_eq!(numbers(seen), numbers(sent));
                assert!(sent.options.0.starts_with(seen.options.0));
            }
        }
        // Frames of nothing but headers are readable only whole.
        let is_longer_than_its_headers = !matches!(name, "v4 ack" | "v6 ack" | "v4 router advertisement");
        assert_eq!(readable > 0, is_longer_than_its_headers, "{name}");
    }
}

#[test]
fn random_damage_finds_no_panic_and_no_disagreement() {
    let mut random = fastrand::Rng::with_seed(0x5eed_0001);
    let kinds = every_kind();
    let links = [Link::Ethernet, Link::LinuxCooked, Link::LinuxCooked2, Link::RawIp];
    for round in 0..200_000 {
        let (_, mut frame) = kinds[random.usize(..kinds.len())].clone();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..frame.len());
            frame[at] = [0, 1, 0x7f, 0x80, 0xff, random.u8(..)][random.usize(..6)];
        }
        if random.usize(..4) == 0 {
            frame.truncate(random.usize(..frame.len() + 1));
        }
        let wire_length = frame.len() + if random.usize(..3) == 0 { random.usize(..3000) } else { 0 };
        let link = if random.usize(..8) == 0 { links[random.usize(..4)] } else { Link::Ethernet };
        // Checksums on: most damage ends there. Off: it gets further.
        let checks = if round % 2 == 0 { Checks::ALL } else { Checks::NONE };
        assert_sound(&Frame { bytes: &frame, wire_length, link }, checks);
    }
}

#[test]
fn noise_finds_no_panic() {
    let mut random = fastrand::Rng::with_seed(0x5eed_0002);
    for _ in 0..100_000 {
        let length = random.usize(..200);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        // Half of it at least claims to be IP.
        if let (Some(first), true) = (bytes.first_mut(), random.bool()) {
            *first = [0x45, 0x4f, 0x60][random.usize(..3)];
        }
        assert_sound(&Frame::whole(&bytes, Link::RawIp), Checks::NONE);
        assert_sound(&Frame::whole(&bytes, Link::Ethernet), Checks::NONE);
    }
}

#[test]
fn a_capture_that_claims_less_on_the_wire_than_it_holds_is_not_believed() {
    let frame = v4().tcp(&segment(Flags::ACK), b"");
    for wire_length in 0..frame.len() {
        let lying = Frame { bytes: &frame, wire_length, link: Link::Ethernet };
        assert!(matches!(parse(&lying, Checks::ALL).transport, Transport::Tcp(_)));
        assert_sound(&lying, Checks::ALL);
    }
}
