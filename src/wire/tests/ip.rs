//! IPv4 and IPv6: lengths, options, extension headers, fragments.

use super::*;

fn fragment_of(frame: &[u8]) -> Fragment<'_> {
    let packet = parsed(frame);
    let Transport::Fragment(fragment) = packet.transport else { panic!("{packet:?}") };
    fragment
}

#[test]
fn a_header_checksum_is_verified_and_the_tuple_shown_all_the_same() {
    let frame = patched(v4().tcp(&segment(Flags::ACK), b""), 8, &[63]);
    assert_eq!(fault(&frame), Some(Fault::BadIpChecksum));
    let packet = parsed(&frame);
    assert_eq!((packet.addresses, packet.ports), (v4().addresses(), Some(PORTS)));
    assert_eq!(fault_with(&frame, Checks { ip: false, ..Checks::ALL }), None);
}

#[test]
fn a_header_length_below_five_words_is_a_bad_header() {
    for words in 0..5 {
        let frame = patched_v4(v4().tcp(&segment(Flags::ACK), b""), 0, &[0x40 | words]);
        assert_eq!(fault(&frame), Some(Fault::BadIpHeader));
        assert_eq!(parsed(&frame).addresses, Addresses::None);
    }
}

#[test]
fn a_total_length_below_the_header_is_a_bad_length() {
    for total in 0..20_u16 {
        let frame = patched_v4(v4().tcp(&segment(Flags::ACK), b""), 2, &total.to_be_bytes());
        assert_eq!(fault(&frame), Some(Fault::BadLength));
        assert_eq!(parsed(&frame).addresses, v4().addresses());
    }
    let frame = patched_v4(v4().options(&[1; 8]).tcp(&segment(Flags::ACK), b""), 2, &[0, 27]);
    assert_eq!(fault(&frame), Some(Fault::BadLength), "the options belong to the header");
}

#[test]
fn a_stated_length_beyond_the_wire_is_truncated_beyond_the_capture_is_not() {
    for (builder, at, least) in [(v4(), 2, 40_u16), (v6(), 4, 20)] {
        let frame = builder.tcp(&segment(Flags::ACK), b"");
        let stated = least + 1;
        let longer = match builder.addresses() {
            Addresses::V4 { .. } => patched_v4(frame, at, &stated.to_be_bytes()),
            Addresses::V6 { .. } | Addresses::None => patched(frame, at, &stated.to_be_bytes()),
        };
        assert_eq!(fault(&longer), Some(Fault::Truncated));
        assert_eq!(parsed(&longer).ports, Some(PORTS));
        let snapped = Frame { wire_length: longer.len() + 1, ..Frame::whole(&longer, Link::Ethernet) };
        let packet = parse(&snapped, Checks::ALL);
        let Transport::Tcp(tcp) = packet.transport else { panic!("{packet:?}") };
        assert_eq!(tcp.payload, 1);
    }
}

#[test]
fn options_that_loop_or_leave_the_header_are_bad() {
    for options in [&[7, 0, 0, 0][..], &[7, 1, 0, 0], &[7, 5, 0, 0], &[1, 1, 1, 7]] {
        let frame = v4().options(options).tcp(&segment(Flags::ACK), b"");
        assert_eq!(fault(&frame), Some(Fault::BadIpOption), "{options:?}");
        assert_eq!(parsed(&frame).ports, Some(PORTS));
    }
    for options in [&[1, 1, 1, 1][..], &[0, 7, 0, 0], &[148, 4, 0, 0], &[68, 4, 5, 0]] {
        assert_eq!(fault(&v4().options(options).tcp(&segment(Flags::ACK), b"")), None, "{options:?}");
    }
}

#[test]
fn options_are_under_the_header_checksum() {
    let frame = patched(v4().options(&[148, 4, 0, 0]).tcp(&segment(Flags::ACK), b""), 23, &[1]);
    assert_eq!(fault(&frame), Some(Fault::BadIpChecksum));
}

#[test]
fn fragments_say_where_they_belong() {
    for builder in [v4().id(0x1234), v6().id(0xdead_beef)] {
        let upper = builder.udp_datagram(PORTS, &[0x77; 100]);
        let frames = builder.fragments(17, &upper, 48);
        assert_eq!(frames.len(), 3);
        for (index, frame) in frames.iter().enumerate() {
            let offset = index * 48;
            let expected = Fragment {
                id: if builder.addresses() == v4().addresses() { 0x1234 } else { 0xdead_beef },
                offset: offset as u32,
                more: index < 2,
                next_header: 17,
                length: if index < 2 { 48 } else { 12 },
                payload: &upper[offset..(offset + 48).min(108)],
            };
            assert_eq!(fragment_of(frame), expected);
            let packet = parsed(frame);
            assert_eq!(packet.protocol, 17);
            assert_eq!(packet.ports, (index == 0).then_some(PORTS), "the first one has the ports");
        }
    }
}

#[test]
fn a_fragment_that_a_snap_length_cut_keeps_its_stated_length() {
    let frame = v4().fragment(17, 8, false, &[1; 100]);
    let cut = Frame { wire_length: frame.len(), ..Frame::whole(&frame[..60], Link::Ethernet) };
    let Transport::Fragment(fragment) = parse(&cut, Checks::ALL).transport else { panic!() };
    assert_eq!((fragment.length, fragment.payload.len()), (100, 60 - 34));
}

#[test]
fn impossible_fragments_are_bad() {
    for builder in [v4(), v6()] {
        for (offset, more, length) in [
            (0, true, 12), // a middle piece ends between two multiples of eight
            (8, true, 1),
            (0, true, 0), // nothing
            (8, false, 0),
            (65_528, false, 8), // beyond the longest datagram
            (65_528, true, 8),
            (64_000, false, 1536),
        ] {
            let frame = builder.fragment(17, offset, more, &vec![0; length]);
            assert_eq!(fault(&frame), Some(Fault::BadFragment), "{length} bytes at {offset}");
            assert_eq!(parsed(&frame).addresses, builder.addresses());
        }
        let last = builder.fragment(17, 65_528, false, &[0; 7]);
        assert_eq!(fragment_of(&last).offset, 65_528, "exactly the longest datagram");
    }
}

#[test]
fn dont_fragment_makes_no_fragment_and_forbids_none() {
    let whole = patched_v4(v4().tcp(&segment(Flags::ACK), b""), 6, &[0x40, 0]);
    assert!(matches!(parsed(&whole).transport, Transport::Tcp(_)));
    // A first piece that would pass for a whole segment.
    let upper = v4().tcp_segment(&segment(Flags::ACK), b"four");
    let piece = patched_v4(v4().fragment(protocol::TCP, 0, true, &upper), 6, &[0x60, 0]);
    assert!(fragment_of(&piece).more);
}

#[test]
fn an_atomic_fragment_is_a_whole_datagram() {
    let upper = v6().tcp_segment(&segment(Flags::SYN), b"");
    let frame = v6().fragment(protocol::TCP, 0, false, &upper);
    let packet = parsed(&frame);
    assert!(matches!(packet.transport, Transport::Tcp(_)), "RFC 6946: {packet:?}");
}

#[test]
fn a_first_fragment_announces_what_its_fragment_header_names() {
    let frame = v6().fragment(60, 0, true, &[17, 0, 1, 4, 0, 0, 0, 0]);
    let packet = parsed(&frame);
    assert_eq!((packet.protocol, packet.ports), (60, None));
    assert_eq!(fragment_of(&frame).next_header, 60);
}

#[test]
fn every_kind_of_extension_header_is_walked() {
    for number in [0, 43, 51, 60, 135, 139, 140] {
        let frame = v6().extension(number, &[1, 4, 0, 0, 0, 0, 0, 0, 0, 0]).tcp(&segment(Flags::ACK), b"x");
        // As a routing header the body says: type 1, four segments left; nobody knows the last address.
        let packet = parsed(&frame);
        let Transport::Tcp(tcp) = packet.transport else { panic!("{number}: {packet:?}") };
        assert_eq!((tcp.payload, packet.ports), (1, Some(PORTS)));
        assert_eq!(packet.length as usize, frame.len() - ETHERNET);
    }
}

#[test]
fn a_chain_of_a_thousand_headers_is_walked_to_its_end() {
    let chain = (0..1000).fold(v6(), |builder, _| builder.extension(60, &[1, 4, 0, 0, 0, 0]));
    let frame = chain.tcp(&segment(Flags::ACK), b"");
    assert!(matches!(parsed(&frame).transport, Transport::Tcp(_)));
    // And one that ends in nothing but itself is cut, not looped.
    let endless = chain.packet(60, b"");
    assert_eq!(fault(&endless), Some(Fault::Truncated));
}

#[test]
fn hop_by_hop_options_stand_first_or_nowhere() {
    let frame = v6().extension(60, &[1, 4]).extension(0, &[1, 4]).tcp(&segment(Flags::ACK), b"");
    assert_eq!(fault(&frame), Some(Fault::BadIpOption), "RFC 8200 section 4.1");
    let first = v6().extension(0, &[1, 4]).extension(60, &[1, 4]).tcp(&segment(Flags::ACK), b"");
    assert_eq!(fault(&first), None);
}

#[test]
fn an_option_that_leaves_its_extension_header_is_bad() {
    for number in [0, 60] {
        for body in [&[1, 5, 0, 0, 0, 0][..], &[0, 0, 0, 0, 0, 7], &[5, 255, 0, 0, 0, 0]] {
            let frame = v6().extension(number, body).tcp(&segment(Flags::ACK), b"");
            assert_eq!(fault(&frame), Some(Fault::BadIpOption), "{number} {body:?}");
        }
    }
    let short = patched(v6().extension(51, &[0; 22]).udp(PORTS, b""), 41, &[0]);
    assert_eq!(fault(&short), Some(Fault::BadIpOption), "an AH shorter than its fixed part");
}

#[test]
fn an_extension_header_past_the_end_is_truncated_and_names_itself() {
    let frame = patched(v6().extension(60, &[1, 4]).tcp(&segment(Flags::ACK), b""), 41, &[200]);
    assert_eq!(fault(&frame), Some(Fault::Truncated));
    assert_eq!((parsed(&frame).protocol, parsed(&frame).ports), (60, None));
}

#[test]
fn encrypted_and_absent_upper_layers_are_other() {
    for number in [50, 59] {
        let frame = v6().extension(60, &[1, 4]).packet(number, b"whatever");
        assert_eq!((parsed(&frame).transport, parsed(&frame).protocol), (Transport::Other, number));
    }
}

#[test]
fn a_source_routed_packet_is_summed_with_its_last_address() {
    // RFC 8200 section 8.1. The builder sums with the address in the header, so build with the last one
    // and then put another in its place.
    let elsewhere = [0x33; 16];
    for (kind, left, route) in
        [(2, 1, B6.to_vec()), (0, 2, [elsewhere, B6].concat()), (4, 1, [B6, elsewhere].concat())]
    {
        let body = [&[kind, left, 0, 0, 0, 0][..], &route].concat();
        let frame = v6().extension(43, &body).tcp(&segment(Flags::ACK), b"");
        let frame = patched(frame, 24, &elsewhere);
        assert_eq!(fault(&frame), None, "routing type {kind}");
        let mut corrupt = frame.clone();
        *corrupt.last_mut().unwrap() ^= 1;
        assert_eq!(fault(&corrupt), Some(Fault::BadChecksum), "routing type {kind} is verified");
        let arrived = patched(frame, 43, &[0]);
        assert_eq!(
            fault(&arrived),
            Some(Fault::BadChecksum),
            "no segments left: the header's address counts"
        );
    }
}

#[test]
fn a_mobile_node_is_summed_with_its_home_address() {
    let care_of = [0x44; 16];
    let body = [&[1, 2, 0, 0, 0xc9, 16][..], &A6].concat();
    let frame = patched(v6().extension(60, &body).tcp(&segment(Flags::ACK), b""), 8, &care_of);
    assert_eq!(fault(&frame), None, "RFC 6275 section 6.3");
}

/// A jumbogram that states `length` bytes behind the IPv6 header.
fn jumbogram(length: u32, upper: &[u8]) -> Vec<u8> {
    let body = [&[0xc2, 4][..], &length.to_be_bytes()].concat();
    patched(v6().extension(0, &body).packet(protocol::UDP, upper), 4, &[0, 0])
}

#[test]
fn a_jumbograms_length_is_in_its_option() {
    let mut upper = v6().udp_datagram(PORTS, &vec![0; 70_000]);
    upper[4..8].fill(0); // RFC 2675 section 4: the length does not fit; no checksum.
    let frame = jumbogram(8 + upper.len() as u32, &upper);
    let packet = parsed(&frame);
    assert_eq!((packet.transport, packet.ports), (Transport::Udp, Some(PORTS)));
    assert_eq!(packet.length, 40 + 8 + 70_008);

    let lying = jumbogram(8 + upper.len() as u32 + 1, &upper);
    assert_eq!(fault(&lying), Some(Fault::Truncated));
    assert_eq!(fault(&jumbogram(u32::MAX, &upper)), Some(Fault::Truncated));
}

#[test]
fn a_jumbogram_is_never_a_fragment() {
    // The shortest jumbogram: behind both extension headers its piece alone would be possible.
    let body = [&[0xc2, 4][..], &65_536_u32.to_be_bytes()].concat();
    let frame = v6().extension(0, &body).fragment(protocol::UDP, 0, true, &[0; 65_520]);
    let frame = patched(frame, 4, &[0, 0]);
    assert_eq!(fault(&frame), Some(Fault::BadFragment), "RFC 2675 section 3");
}

#[test]
fn a_jumbo_option_must_be_needed() {
    let upper = v6().udp_datagram(PORTS, b"small");
    assert_eq!(fault(&jumbogram(65_535, &upper)), Some(Fault::BadLength));
    let both = v6().extension(0, &[0xc2, 4, 0, 2, 0, 0]).packet(protocol::UDP, &upper);
    assert_eq!(fault(&both), Some(Fault::BadLength), "a payload length and a jumbo length");
    let odd = patched(v6().extension(0, &[0xc2, 3, 0, 2, 0, 0]).packet(protocol::UDP, &upper), 4, &[0, 0]);
    assert_eq!(fault(&odd), Some(Fault::BadIpOption));
}

#[test]
fn without_a_jumbo_option_a_length_of_zero_means_no_payload() {
    let frame = patched(v6().extension(0, &[1, 4]).tcp(&segment(Flags::ACK), b""), 4, &[0, 0]);
    assert_eq!(fault(&frame), Some(Fault::Truncated));
    let frame = patched(v6().tcp(&segment(Flags::ACK), b""), 4, &[0, 0]);
    assert_eq!((fault(&frame), parsed(&frame).ports), (Some(Fault::Truncated), None));
    let frame = patched(v6().packet(59, b"padding"), 4, &[0, 0]);
    assert_eq!((parsed(&frame).transport, parsed(&frame).length), (Transport::Other, 40));
}
