//! TCP's header, flags and options.

use super::*;

/// The place of a TCP header without IP options.
const TCP4: usize = 20;

fn tcp_of(frame: &[u8]) -> Segment<'_> {
    let packet = parsed(frame);
    let Transport::Tcp(segment) = packet.transport else { panic!("{packet:?}") };
    segment
}

/// The options of a segment that bears these.
fn with_options(options: &[u8]) -> Vec<u8> {
    v4().tcp(&Tcp { options: options.to_vec(), ..segment(Flags::ACK) }, b"payload")
}

#[test]
fn the_numbers_of_a_segment_are_those_of_its_header() {
    let mut sent = segment(Flags::ACK.with(Flags::PSH));
    sent.options = vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    for (builder, headers) in [(v4(), 20 + 32), (v6(), 40 + 32)] {
        let frame = builder.tcp(&sent, b"thirteen byte");
        let packet = parsed(&frame);
        assert_eq!((packet.addresses, packet.protocol), (builder.addresses(), protocol::TCP));
        assert_eq!((packet.length, packet.ports), (headers + 13, Some(PORTS)));
        let expected = Segment {
            seq: Seq(0x0102_0304),
            ack: Seq(0x0506_0708),
            flags: Flags::ACK.with(Flags::PSH),
            window: 0x090a,
            payload: 13,
            options: Options(&sent.options),
        };
        assert_eq!(packet.transport, Transport::Tcp(expected));
    }
}

#[test]
fn ethernet_padding_is_no_payload() {
    let mut frame = v4().tcp(&segment(Flags::ACK), b"");
    frame.resize(60, 0xff);
    assert_eq!(tcp_of(&frame).payload, 0);
}

#[test]
fn only_what_a_tcp_may_send_are_possible_flags() {
    let possible = [
        Flags::SYN,
        Flags::SYN.with(Flags::ACK),
        Flags::ACK,
        Flags::FIN.with(Flags::ACK),
        Flags::RST,
        Flags::RST.with(Flags::ACK),
    ];
    // PSH, URG, ECE and CWR may join any of them and make none possible.
    let decorations = 0x08 | 0x20 | 0x40 | 0x80;
    for flags in 0..=255 {
        let frame = v4().tcp(&segment(Flags(flags)), b"");
        let expected = possible.contains(&Flags(flags & !decorations));
        assert_eq!(fault(&frame), (!expected).then_some(Fault::BadFlags), "{flags:#04x}");
        assert_eq!(parsed(&frame).ports, Some(PORTS));
    }
}

#[test]
fn a_data_offset_below_the_header_or_past_the_segment_is_bad() {
    let frame = v4().tcp(&segment(Flags::ACK), b"four");
    for offset in 0..16_u8 {
        let frame = patched(frame.clone(), TCP4 + 12, &[offset << 4]);
        let expected = !(5..=6).contains(&offset);
        let checks = Checks { tcp: false, ..Checks::ALL };
        let found = fault_with(&frame, checks);
        // Six words are 24 bytes, the whole segment: "four" is then an option of kind 'f', length 'o'.
        assert_eq!(found == Some(Fault::BadOffset), expected, "offset {offset}");
        assert_eq!(parsed(&frame).ports, Some(PORTS));
    }
}

#[test]
fn a_segment_shorter_than_a_header_is_truncated_and_shows_the_ports_it_has() {
    let whole = v4().tcp_segment(&segment(Flags::ACK), b"");
    for length in 0..20 {
        let frame = v4().packet(protocol::TCP, &whole[..length]);
        assert_eq!(fault(&frame), Some(Fault::Truncated));
        assert_eq!(parsed(&frame).ports, (length >= 4).then_some(PORTS));
    }
}

#[test]
fn a_wrong_checksum_is_found_whichever_bit_is_wrong() {
    for builder in [v4(), v6()] {
        let tcp = Tcp { options: vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], ..segment(Flags::ACK) };
        let frame = builder.tcp(&tcp, b"odd");
        let begin = frame.len() - 35;
        for bit in 0..35 * 8 {
            let mut wrong = frame.clone();
            wrong[begin + bit / 8] ^= 1 << (bit % 8);
            let found = fault(&wrong);
            assert!(found.is_some(), "bit {bit}");
            // What the bit makes of the structure is a matter of other tests.
            if bit / 8 < 12 || bit / 8 > 31 {
                assert_eq!(found, Some(Fault::BadChecksum), "bit {bit}");
                assert_eq!(fault_with(&wrong, Checks { tcp: false, ..Checks::ALL }), None);
            }
        }
    }
}

#[test]
fn a_partial_checksum_counts_as_right() {
    for builder in [v4(), v6()] {
        for payload in [&b""[..], b"from a local socket"] {
            let mut frame = builder.tcp(&segment(Flags::ACK), payload);
            let length = 20 + payload.len();
            let pseudo = match builder.addresses() {
                Addresses::V4 { source, destination } => {
                    Sum::pseudo_v4(source, destination, protocol::TCP, length as u32)
                }
                Addresses::V6 { source, destination } => {
                    Sum::pseudo_v6(source, destination, protocol::TCP, length as u32)
                }
                Addresses::None => Sum::ZERO,
            };
            let at = frame.len() - length + 16;
            frame[at..at + 2].copy_from_slice(&pseudo.folded().to_be_bytes());
            assert_eq!(fault(&frame), None);
            // The complement of the same sum is nothing of the kind.
            frame[at..at + 2].copy_from_slice(&(!pseudo.folded()).to_be_bytes());
            assert_eq!(fault(&frame), Some(Fault::BadChecksum));
        }
    }
}

#[test]
fn the_options_of_a_syn_are_all_found() {
    let frame = with_options(&[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 9]);
    let options = tcp_of(&frame).options;
    assert_eq!(options.mss(), Some(1460));
    assert!(options.sack_permitted());
    assert_eq!(options.timestamps(), Some((7, 9)));
    assert_eq!(options.window_scale(), Some(9));
}

#[test]
fn a_segment_without_options_has_none() {
    let frame = with_options(&[]);
    let options = tcp_of(&frame).options;
    assert_eq!((options.mss(), options.sack_permitted()), (None, false));
    assert_eq!((options.timestamps(), options.window_scale()), (None, None));
}

#[test]
fn timestamps_are_found_in_their_usual_and_in_any_other_place() {
    let value = [8, 10, 0, 0, 1, 0, 0, 0, 2, 0];
    for (before, after) in [(2, 0), (2, 4), (0, 2), (1, 1), (3, 3)] {
        let list = [&[1; 4][..before], &value, &[1; 4][..after]].concat();
        assert_eq!(tcp_of(&with_options(&list)).options.timestamps(), Some((256, 512)), "{before} {after}");
    }
}

#[test]
fn a_window_scale_above_fourteen_counts_as_fourteen() {
    for (stated, expected) in [(0, 0), (14, 14), (15, 14), (255, 14)] {
        assert_eq!(tcp_of(&with_options(&[3, 3, stated, 0])).options.window_scale(), Some(expected));
    }
}

#[test]
fn a_known_option_of_a_wrong_length_is_passed_over() {
    let frame = with_options(&[3, 4, 7, 7, 2, 3, 5, 1, 4, 3, 0, 1, 8, 6, 0, 0, 0, 1, 3, 3, 5, 0]);
    let options = tcp_of(&frame).options;
    assert_eq!((options.mss(), options.sack_permitted(), options.timestamps()), (None, false, None));
    assert_eq!(options.window_scale(), Some(5), "the one of the right length behind it counts");
}

#[test]
fn what_follows_the_end_of_the_options_is_padding() {
    let frame = with_options(&[0, 3, 3, 7, 8, 0, 0, 0]);
    assert_eq!(tcp_of(&frame).options.window_scale(), None);
}

#[test]
fn an_option_that_loops_or_leaves_the_header_is_bad() {
    for list in [
        &[8, 0, 0, 0][..],
        &[8, 1, 0, 0],
        &[8, 10, 0, 0],
        &[1, 1, 1, 8],
        &[1, 1, 8, 11, 0, 0, 0, 0, 0, 0, 0, 0],
        &[5, 40, 1, 1, 1, 1, 1, 1],
    ] {
        let frame = with_options(list);
        assert_eq!(fault(&frame), Some(Fault::BadTcpOption), "{list:?}");
        assert_eq!(parsed(&frame).ports, Some(PORTS));
    }
}

#[test]
fn options_that_a_snap_length_cut_are_kept_as_far_as_they_go() {
    let frame = with_options(&[2, 4, 5, 0xb4, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0]);
    let cut = ETHERNET + 20 + 20 + 9;
    let captured = Frame { bytes: &frame[..cut], wire_length: frame.len(), link: Link::Ethernet };
    let Transport::Tcp(segment) = parse(&captured, Checks::ALL).transport else { panic!() };
    assert_eq!(segment.options.0.len(), 9);
    assert_eq!((segment.options.mss(), segment.options.timestamps()), (Some(1460), None));
    assert_eq!(segment.payload, 7, "as the IP header states it");
}

#[test]
fn the_structure_is_looked_at_before_the_checksum() {
    // A zero length in the options, flags that cannot be, a wrong checksum: in this order.
    let mut frame = v4().tcp(&Tcp { options: vec![8, 0, 0, 0], ..segment(Flags(0)) }, b"");
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(fault(&frame), Some(Fault::BadTcpOption));
    let frame = patched(frame, TCP4 + 20, &[1, 1, 1, 1]);
    assert_eq!(fault(&frame), Some(Fault::BadFlags));
    let frame = patched(frame, TCP4 + 13, &[Flags::ACK.0]);
    assert_eq!(fault(&frame), Some(Fault::BadChecksum));
}
