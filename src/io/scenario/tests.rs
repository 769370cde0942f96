//! The format itself: what is refused, where and how, and that frames are what their rows say.

use super::*;
use crate::wire::{self, Checks, Fault, Transport};

const HEAD: &str = "scenario: A title.\nshows: RFC 9293\n";

fn problem(text: &str) -> String {
    parse(text.as_bytes()).expect_err("a problem").to_string()
}

/// What is wrong with a row, which stands in line 3.
fn row_problem(row: &str) -> String {
    problem(&format!("{HEAD}{row}\n"))
}

/// The frame of the only row, and how many of its bytes are captured.
fn frame(lines: &str) -> (Vec<u8>, usize) {
    let scenario = parse(format!("{HEAD}{lines}\n").as_bytes()).expect("a scenario");
    let row = &scenario.rows()[0];
    let Act::Packet(packet) = &row.act else { panic!("a row that sends") };
    let made = scenario.packet(1, row.time, packet);
    let bytes = made.batch().get(0).expect("a packet").bytes.to_vec();
    let length = bytes.len();
    (bytes, length)
}

/// The frame, parsed with every checksum verified.
fn parsed(lines: &str, look: impl FnOnce(&wire::Packet<'_>)) {
    let (bytes, wire_length) = frame(lines);
    let frame = wire::Frame { bytes: &bytes, wire_length, link: wire::Link::Ethernet };
    look(&wire::parse(&frame, Checks::ALL));
}

#[test]
fn what_is_wrong_is_told_by_line_and_column_with_what_would_be_right() {
    let cases = [
        ("0 a SIN 1 - 0 0 -", "3:5: `SIN` is not a segment: flags such as SYN+ACK"),
        ("0 x SYN 1 - 0 0 -", "3:3: `x` is not one of the sides a, b, r"),
        ("0 a SYN 4294967296 - 0 0 -", "3:9: `4294967296` is not a number from 0 to 4294967295"),
        ("0 a SYN +1 - 0 0 -", "3:9: `+1` is not a number"),
        ("0 a ACK 1 - 0 0 -", "3:11: `-` is not the acknowledgement number that a segment with ACK has"),
        ("0 a SYN 1 - 65536 0 -", "3:13: `65536` is not a window from 0 to 65535"),
        ("0 a SYN 1 - 0 65001 -", "3:15: `65001` is not a length in bytes"),
        ("0 a SYN 1 - 0 0", "3:16: the line ends here, before the options"),
        ("0 a SYN 1 - 0 0 mss", "3:20: the line ends here, before a segment size"),
        ("0 a SYN 1 - 0 0 id 7", "3:17: `id` is not an option that this row can have"),
        ("0 a SYN 1 - 0 0 ts 1 2, ts 1 2, ts 1 2, ts 1 2", "3:41: the options take more than 40 bytes"),
        ("0 a SYN 1 - 0 0 raw 3", "3:21: `3` is not a byte in two hexadecimal digits"),
        ("0 a UDP 1 - - 0 -", "3:9: `1` is not `-`, as what is not TCP"),
        ("0 a ICMP 3/1 1 1 0 0 -", "3:22: `-` is not options with what the error quotes"),
        ("0 a SYN 1 - 0 0 vlan 4096", "3:22: `4096` is not a VLAN from 0 to 4095"),
        ("0 a SYN 1 - 0 0 ip-id x", "3:23: `x` is not an identification from 0 to 65535"),
        ("0 a SYN 1 - 0 0 ip-options 7", "3:28: `7` is not a byte in two hexadecimal digits"),
        ("0 a SYN 1 - 0 0 fragment 4-24", "3:26: `4-24` is not the bytes behind the IP header that it bears"),
        ("0 a SYN 1 - 0 0 fragment 8-8", "3:26: `8-8` is not the bytes behind the IP header"),
        ("0 a SYN 1 - 0 0 fragment 0-21", "3:26: `0-21` is not a part of the 20 bytes behind the IP header"),
        (
            "0 r ICMP 3/1 1 1 0 0 quotes a ACK, fragment 0-8",
            "`fragment` is not an option that this row can have",
        ),
        (
            "endpoint a ::1 1\nendpoint b ::2 2\n0 a SYN 1 - 0 0 ip-options 01",
            "5:17: IPv6 has no such options",
        ),
        ("0 a SYN 1 - 0 0 - | drop", "3:25: the line ends here, before a class"),
        ("0 a SYN 1 - 0 0 - | pass new - - -", "3:21: `pass` is not a verdict; those are accept, drop"),
        ("0 a SYN 1 - 0 0 - | drop invalid no_sin - -", "the most similar of the"),
        ("0 a SYN 1 - 0 0 - | accept new - SYN_SENT/LISTEN -", "3:34: `SYN_SENT/LISTEN` is not `-`"),
        ("0 a SYN 1 - 0 0 - | accept new - SYN_SENT 1 reply", "3:34: `SYN_SENT` is not both states"),
        ("0 a SYN 1 - 0 0 - | accept new - - - more", "`more` is not the end of the line or `detail`"),
        ("0 a SYN 1 - 0 0 - | accept new - - - detail", "a number, such as seq=1000 belongs here"),
        ("0.0000000001 table | empty", "3:1: `0.0000000001` is not a time in seconds"),
        ("1 table | empty\n0.9 table | empty", "4:1: the time goes back: line 3 is at 1 s"),
        ("0 table", "3:8: `|` and what is expected belong here"),
        ("0 connection 1 | expires 3", "3:18: both states belong here"),
        ("0 connection 1 | -, expires 0.0001", "is not seconds with at most three decimals"),
        ("0 connection 1 | ended shut", "those are closed, reset, expired, evicted, deleted, reused"),
        ("0 table | empty\nset tcp.msl = 1s", "4:1: `set` is not a time in seconds"),
        ("set tcp.msl", "3:5: `tcp.msl` is not KEY = VALUE"),
        ("endpoint a 10.0.0 80", "3:12: `10.0.0` is not an IPv4 or IPv6 address"),
        ("endpoint a 2001:db8::1 80\n0 a SYN 1 - 0 0 -", "4:3: a and b have addresses of different"),
        ("shows: again", "3:1: `shows:` stands here twice"),
    ];
    for (row, expected) in cases {
        let told = row_problem(row);
        assert!(told.contains(expected), "{row}: {told}");
    }
    assert!(problem("0 a SYN").starts_with("1:1: a scenario begins with its title"));
    assert_eq!(
        problem("scenario: x\n0 table | empty"),
        "2:1: the scenario ends without what it shows, a line `shows: …`"
    );
    assert_eq!(problem(HEAD), "2:1: the scenario ends without a row");
    let bytes = [HEAD.as_bytes(), b"0 \xff"].concat();
    assert_eq!(
        parse(&bytes).expect_err("not text").to_string(),
        "3:3: not UTF-8; save the file as UTF-8 text"
    );
}

#[test]
fn a_segment_bears_the_numbers_of_its_row_and_right_checksums() {
    let row = "0 b SYN+URG 4294967295 7 512 9 mss 1460, scale 7, sack-permitted, ts 100 4000000000, urgent 3";
    parsed(row, |packet| {
        let Transport::Tcp(segment) = packet.transport else { panic!("{:?}", packet.transport) };
        assert_eq!((segment.seq.0, segment.ack.0, segment.window, segment.payload), (u32::MAX, 7, 512, 9));
        assert_eq!(segment.flags.0, 0x22);
        assert_eq!(segment.options.window_scale(), Some(7));
        assert_eq!(segment.options.timestamps(), Some((100, 4_000_000_000)));
        let ports = packet.ports.expect("ports");
        assert_eq!((ports.source, ports.destination), (80, 40_000));
    });
    let (bytes, _) = frame(row);
    assert_eq!(bytes[14 + 20 + 18..14 + 20 + 20], [0, 3], "the urgent pointer");
    assert_eq!(frame("0 a ACK 1 1 0 0 sack 10-20 30-40").0[54..], {
        let block = |left: u32, right: u32| [left.to_be_bytes(), right.to_be_bytes()].concat();
        [vec![1, 1, 5, 18], block(10, 20), block(30, 40)].concat()
    });
}

#[test]
fn a_checksum_is_wrong_where_a_row_says_so_and_only_there() {
    for (options, fault) in [
        ("-", None),
        ("bad-checksum", Some(Fault::BadChecksum)),
        ("bad-ip-checksum", Some(Fault::BadIpChecksum)),
    ] {
        parsed(&format!("0 a ACK 1 1 0 5 {options}"), |packet| {
            let found = if let Transport::Malformed(found) = packet.transport { Some(found) } else { None };
            assert_eq!(found, fault, "{options}");
        });
    }
    assert_eq!(frame("0 a ACK 1 1 0 500 snap 60").0.len(), 60);
}

#[test]
fn a_frame_bears_its_tags_its_ip_options_and_the_fragment_that_its_row_asks_for() {
    let (bytes, _) =
        frame("0 a ACK 1 2 0 30 vlan 10, vlan 4095, ip-options 94 04 00, ip-id 258, fragment 8-50");
    assert_eq!(bytes[12..22], [0x81, 0, 0, 10, 0x81, 0, 0x0f, 0xff, 0x08, 0], "both tags, then IPv4");
    let ip = &bytes[22..];
    assert_eq!(ip[0], 0x46, "six words of header");
    assert_eq!(ip[4..8], [1, 2, 0, 1], "its identification; the last fragment, eight bytes on");
    assert_eq!(ip[20..24], [0x94, 4, 0, 0]);
    assert_eq!(ip.len(), 24 + 42);
    let first = frame("0 a ACK 1 2 0 30 fragment 0-48").0;
    assert_eq!(first[14 + 6..14 + 8], [0x20, 0], "more fragments follow");
    let whole = frame("0 a ACK 1 2 0 30 -").0;
    assert_eq!(first[14 + 20..], whole[14 + 20..14 + 68], "the same segment, cut");
    let v6 = frame("endpoint a ::1 1\nendpoint b ::2 2\n0 a ACK 1 2 0 30 fragment 16-50, ip-id 9").0;
    assert_eq!(v6[14 + 40..14 + 48], [6, 0, 0, 16, 0, 0, 0, 9]);
    parsed("0 a ACK 1 2 0 0 vlan 7, bad-ip-checksum", |packet| {
        assert!(matches!(packet.transport, Transport::Malformed(Fault::BadIpChecksum)));
    });
}

#[test]
fn an_error_quotes_as_much_of_the_packet_as_the_rfcs_ask_or_the_row_says() {
    let v4 = frame("0 r ICMP 3/1 1000 2 3 100 quotes a ACK").0;
    assert_eq!(v4.len(), 14 + 20 + 8 + 28);
    assert_eq!(v4[14 + 20 + 8 + 20 + 4..][..4], 1000_u32.to_be_bytes(), "the quoted sequence number");
    assert_eq!(v4[14 + 16..14 + 20], [10, 0, 0, 1], "it goes to who sent the quoted packet");
    let short = frame("0 r ICMP 3/4 1000 2 3 100 quotes b ACK, quote 24, mtu 576").0;
    assert_eq!(short.len(), 14 + 20 + 8 + 24);
    assert_eq!(short[14 + 20 + 6..14 + 20 + 8], 576_u16.to_be_bytes());
    let v6 = "endpoint a 2001:db8::1 1\nendpoint b 2001:db8::2 2\n0 r ICMP 1/0 1 2 3 2000 quotes a ACK";
    assert_eq!(frame(v6).0.len(), 14 + 1280);
    parsed(v6, |packet| assert!(matches!(packet.transport, Transport::Error(_))));
}

#[test]
fn no_damage_to_a_scenario_makes_it_panic() {
    let text = include_str!("../../../docs/scenarios.md");
    let example =
        text.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    for at in 0..example.len() {
        for byte in [b' ', b'|', b'\n', b',', b'/', b'-', b'9', b'#', 0xff] {
            let mut bytes = example.as_bytes().to_vec();
            bytes[at] = byte;
            let Ok(scenario) = parse(&bytes) else { continue };
            for row in scenario.rows() {
                if let Act::Packet(packet) = &row.act {
                    assert!(scenario.packet(1, row.time, packet).batch().get(0).is_some());
                }
            }
        }
        let _ = parse(&example.as_bytes()[..at]);
    }
}

#[test]
fn a_scenario_is_told_by_its_first_bytes() {
    for text in ["scenario: x", "# comment", "\n\n  scenario: x", "\u{feff}scenario: x"] {
        assert!(is_scenario(text.as_bytes()), "{text:?}");
    }
    for bytes in [&b"snoop\0\0\0"[..], &[0xd4, 0xc3, 0xb2, 0xa1], b"", b"\n\n", b"Scenario"] {
        assert!(!is_scenario(bytes), "{bytes:?}");
    }
}
