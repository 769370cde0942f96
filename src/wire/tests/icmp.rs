//! ICMP and ICMPv6: types, queries, quotes.

use super::*;

fn quote_of(frame: &[u8]) -> Quote<'_> {
    let packet = parsed(frame);
    let Transport::Error(quote) = packet.transport else { panic!("{packet:?}") };
    quote
}

/// An error of the builder's version that quotes these bytes.
fn error_quoting(builder: &Builder, quoted: &[u8]) -> Vec<u8> {
    let icmp_type = if builder.addresses() == v4().addresses() { 3 } else { 1 };
    builder.icmp(icmp_type, 1, [0; 4], quoted)
}

#[test]
fn queries_bear_the_requests_type_and_an_identifier() {
    let v4_pairs = [(8, 0, 8), (13, 14, 13), (15, 16, 15), (17, 18, 17), (42, 43, 42)];
    let v6_pairs = [(128, 129, 128), (160, 161, 160)];
    let pairs = v4_pairs.map(|pair| (v4(), pair)).into_iter().chain(v6_pairs.map(|pair| (v6(), pair)));
    for (builder, (request, reply, kind)) in pairs {
        for (icmp_type, is_reply) in [(request, false), (reply, true)] {
            let frame = builder.icmp(icmp_type, 0, [0xab, 0xcd, 0, 1], b"data");
            let packet = parsed(&frame);
            assert_eq!(packet.transport, Transport::Query(Query { kind, id: 0xabcd, is_reply }));
            assert_eq!(packet.ports, None);
        }
    }
}

#[test]
fn every_type_is_a_query_an_error_control_or_undefined() {
    let v4_known: [&[u8]; 3] =
        [&[0, 8, 13, 14, 15, 16, 17, 18, 42, 43], &[3, 4, 5, 11, 12], &[9, 10, 30, 40]];
    let control: Vec<u8> = (130..=159).collect();
    let v6_known: [&[u8]; 3] = [&[128, 129, 160, 161], &[1, 2, 3, 4], &control];
    for (builder, [queries, errors, control]) in [(v4(), v4_known), (v6(), v6_known)] {
        for icmp_type in 0..=255 {
            let frame = builder.icmp(icmp_type, 0, [0; 4], b"");
            let transport = parsed(&frame).transport;
            let fits = if queries.contains(&icmp_type) {
                matches!(transport, Transport::Query(_))
            } else if errors.contains(&icmp_type) {
                matches!(transport, Transport::Error(_))
            } else if control.contains(&icmp_type) {
                transport == Transport::Untracked
            } else {
                transport == Transport::Malformed(Fault::BadIcmpType)
            };
            assert!(fits, "type {icmp_type}: {transport:?}");
        }
    }
}

#[test]
fn checksums_are_verified_with_icmpv6s_pseudo_header() {
    for builder in [v4(), v6()] {
        let request = if builder.addresses() == v4().addresses() { 8 } else { 128 };
        let mut frame = builder.icmp(request, 0, [0, 1, 0, 2], b"odd");
        assert_eq!(fault(&frame), None);
        *frame.last_mut().unwrap() ^= 0x10;
        assert_eq!(fault(&frame), Some(Fault::BadChecksum));
        assert_eq!(fault_with(&frame, Checks { icmp: false, ..Checks::ALL }), None);
    }
    // ICMP has no pseudo-header, so a zero is not a partial checksum there.
    let frame = patched(v4().icmp(8, 0, [0, 1, 0, 2], b""), 22, &[0, 0]);
    assert_eq!(fault(&frame), Some(Fault::BadChecksum));
}

#[test]
fn a_message_shorter_than_its_header_is_truncated() {
    for builder in [v4(), v6()] {
        for length in 0..8 {
            let number = if builder.addresses() == v4().addresses() { 1 } else { 58 };
            assert_eq!(fault(&builder.packet(number, &[8; 8][..length])), Some(Fault::Truncated));
        }
    }
}

#[test]
fn an_error_quotes_a_segment_by_ports_and_sequence_number() {
    for (builder, headers) in [(v4(), 20), (v6(), 40)] {
        let quoted = &builder.tcp(&segment(Flags::ACK), b"payload")[ETHERNET..][..headers + 8];
        let frame = error_quoting(&builder, quoted);
        let expected = Quote {
            addresses: builder.addresses(),
            protocol: protocol::TCP,
            transport: QuotedTransport::Tcp(PORTS, Seq(0x0102_0304)),
        };
        assert_eq!(quote_of(&frame), expected);
    }
}

#[test]
fn a_quote_says_as_much_as_was_quoted() {
    for (builder, headers) in [(v4(), 20), (v6(), 40)] {
        let segment = builder.tcp(&segment(Flags::ACK), b"");
        let datagram = builder.udp(PORTS, b"");
        for length in 0..=headers + 8 {
            let frame = error_quoting(&builder, &segment[ETHERNET..][..length]);
            let quote = quote_of(&frame);
            assert_eq!(quote.addresses != Addresses::None, length >= headers, "{length} bytes quoted");
            assert_eq!(quote.transport != QuotedTransport::Unknown, length >= headers + 8);
            let frame = error_quoting(&builder, &datagram[ETHERNET..][..length]);
            let transport = quote_of(&frame).transport;
            let expected =
                if length >= headers + 4 { QuotedTransport::Udp(PORTS) } else { QuotedTransport::Unknown };
            assert_eq!(transport, expected, "{length} bytes quoted");
        }
    }
}

#[test]
fn quoted_options_and_extension_headers_are_passed() {
    let inner = v4().options(&[148, 4, 0, 0]).tcp(&segment(Flags::ACK), b"");
    let frame = error_quoting(&v4(), &inner[ETHERNET..]);
    assert_eq!(quote_of(&frame).transport, QuotedTransport::Tcp(PORTS, Seq(0x0102_0304)));
    let inner = v6().extension(0, &[1, 4]).extension(60, &[1, 4]).tcp(&segment(Flags::ACK), b"");
    let frame = error_quoting(&v6(), &inner[ETHERNET..]);
    assert_eq!(quote_of(&frame).transport, QuotedTransport::Tcp(PORTS, Seq(0x0102_0304)));
    let cut = error_quoting(&v6(), &inner[ETHERNET..][..52]);
    assert_eq!((quote_of(&cut).transport, quote_of(&cut).protocol), (QuotedTransport::Unknown, 60));
}

#[test]
fn a_quoted_query_names_its_identifier_and_a_quoted_error_nothing() {
    for (builder, request, error) in [(v4(), 8, 3), (v6(), 128, 1)] {
        let ping = builder.icmp(request, 0, [0x12, 0x34, 0, 9], b"");
        let frame = error_quoting(&builder, &ping[ETHERNET..]);
        let query = Query { kind: request, id: 0x1234, is_reply: false };
        assert_eq!(quote_of(&frame).transport, QuotedTransport::Query(query));
        let inner = builder.icmp(error, 0, [0; 4], b"");
        let frame = error_quoting(&builder, &inner[ETHERNET..]);
        assert_eq!(quote_of(&frame).transport, QuotedTransport::Unknown);
    }
}

#[test]
fn of_quoted_fragments_only_the_first_tells_the_connection() {
    for builder in [v4(), v6()] {
        let upper = builder.udp_datagram(PORTS, &[0; 64]);
        let pieces = builder.fragments(17, &upper, 32);
        let first = error_quoting(&builder, &pieces[0][ETHERNET..]);
        assert_eq!(quote_of(&first).transport, QuotedTransport::Udp(PORTS));
        let later = error_quoting(&builder, &pieces[1][ETHERNET..]);
        assert_eq!(quote_of(&later).transport, QuotedTransport::Unknown);
        assert_eq!(quote_of(&later).addresses, builder.addresses());
    }
}

#[test]
fn extension_headers_behind_a_quoted_fragment_header_hide_the_connection() {
    let inner = v6().fragment(60, 0, true, &[17, 0, 1, 4, 0, 0, 0, 0, 0x9c, 0x40, 0, 80, 0, 0, 0, 0]);
    let frame = error_quoting(&v6(), &inner[ETHERNET..]);
    assert_eq!((quote_of(&frame).transport, quote_of(&frame).protocol), (QuotedTransport::Unknown, 60));
}

#[test]
fn other_quoted_protocols_are_known_by_addresses() {
    for builder in [v4(), v6()] {
        let inner = builder.packet(47, b"");
        let frame = error_quoting(&builder, &inner[ETHERNET..]);
        assert_eq!((quote_of(&frame).transport, quote_of(&frame).protocol), (QuotedTransport::Other, 47));
    }
}

#[test]
fn a_quote_of_the_other_version_is_unreadable() {
    let (four, six) = (v4().tcp(&segment(Flags::ACK), b"12345678901234567890"), v6().udp(PORTS, b""));
    assert_eq!(quote_of(&error_quoting(&v4(), &six[ETHERNET..])).addresses, Addresses::None);
    assert_eq!(quote_of(&error_quoting(&v6(), &four[ETHERNET..])).addresses, Addresses::None);
}

#[test]
fn the_lengths_that_a_quote_states_are_not_held_against_it() {
    let inner = patched_v4(v4().tcp(&segment(Flags::ACK), b""), 2, &[0xff, 0xff]);
    let frame = error_quoting(&v4(), &inner[ETHERNET..][..28]);
    assert_eq!(quote_of(&frame).transport, QuotedTransport::Tcp(PORTS, Seq(0x0102_0304)));
}
