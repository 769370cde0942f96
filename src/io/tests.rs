//! The reader and the writer as their callers see them.

use std::fs;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use super::samples::{BOTH_ORDERS, Endian, Sample, data, rich_pcapng};
use super::*;
use crate::wire::Link;

const MICRO: u32 = 0xa1b2_c3d4;
const NANO: u32 = 0xa1b2_3c4d;

/// A packet that outlives the reader's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    number: u64,
    time: i128,
    link: Link,
    bytes: Vec<u8>,
    wire_length: usize,
}

impl From<Packet<'_>> for Owned {
    fn from(packet: Packet<'_>) -> Owned {
        Owned {
            number: packet.number,
            time: packet.time.nanoseconds(),
            link: packet.link,
            bytes: packet.bytes.to_vec(),
            wire_length: packet.wire_length,
        }
    }
}

/// Everything a capture yields packet by packet, and the error it ends with; after that it must be silent.
fn read_singly(reader: impl Read + Send + 'static) -> (Vec<Owned>, Option<String>) {
    let mut packets = Vec::new();
    let mut capture = match Capture::from_reader("x.pcap", reader) {
        Ok(capture) => capture,
        Err(error) => return (packets, Some(error.to_string())),
    };
    let error = loop {
        match capture.next_packet() {
            Ok(Some(packet)) => packets.push(packet.into()),
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    assert_eq!(capture.next_packet().unwrap(), None, "an error or the end is the last item");
    (packets, error)
}

/// The same in batches; all packets of a batch are read before the next batch.
fn read_in_batches(reader: impl Read + Send + 'static) -> (Vec<Owned>, Option<String>) {
    let mut packets = Vec::new();
    let mut capture = match Capture::from_reader("x.pcap", reader) {
        Ok(capture) => capture,
        Err(error) => return (packets, Some(error.to_string())),
    };
    loop {
        match capture.next_batch() {
            Ok(Some(batch)) => {
                assert!((1..=BURST).contains(&batch.len()));
                let together: Vec<Packet<'_>> = batch.iter().collect();
                assert_eq!(together.len(), batch.len());
                packets.extend(together.into_iter().map(Owned::from));
            }
            Ok(None) => return (packets, None),
            Err(error) => {
                assert!(capture.next_batch().unwrap().is_none(), "an error is the last item");
                return (packets, Some(error.to_string()));
            }
        }
    }
}

fn read(bytes: &[u8]) -> (Vec<Owned>, Option<String>) {
    let singly = read_singly(Cursor::new(bytes.to_vec()));
    assert_eq!(singly, read_in_batches(Cursor::new(bytes.to_vec())), "both ways of reading agree");
    singly
}

/// A reader that yields at most `step` bytes at a time, as pipes may.
struct Trickle {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(buffer.len()).min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// A directory of a test's own, removed with it.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("lastack-io-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// ---- formats -------------------------------------------------------------------------------------------

const LINKS: [(u16, Link); 8] = [
    (1, Link::Ethernet),
    (12, Link::RawIp),
    (14, Link::RawIp),
    (101, Link::RawIp),
    (228, Link::RawIp),
    (229, Link::RawIp),
    (113, Link::LinuxCooked),
    (276, Link::LinuxCooked2),
];

#[test]
fn pcap_of_every_byte_order_unit_and_link_type() {
    for order in BOTH_ORDERS {
        for (magic, unit) in [(MICRO, 1_000), (NANO, 1)] {
            for (number, link) in LINKS {
                let mut sample = Sample::pcap(order, magic, 65_535, u32::from(number));
                sample.packet(1_700_000_000, 123_456, 60, &data(1, 60));
                sample.packet(u32::MAX, 1, 1_500, &data(2, 9));
                let (packets, error) = read(&sample.bytes);
                assert_eq!(error, None);
                let first = Owned {
                    number: 1,
                    time: 1_700_000_000_000_000_000 + 123_456 * unit,
                    link,
                    bytes: data(1, 60),
                    wire_length: 60,
                };
                let second = Owned {
                    number: 2,
                    time: i128::from(u32::MAX) * 1_000_000_000 + unit,
                    link,
                    bytes: data(2, 9),
                    wire_length: 1_500,
                };
                assert_eq!(packets, [first, second], "{order:?} {magic:#x} link {number}");
            }
        }
    }
}

#[test]
fn pcapng_of_every_byte_order_and_link_type() {
    for order in BOTH_ORDERS {
        for (number, link) in LINKS {
            let mut sample = Sample::pcapng(order);
            sample.interface(number, 0, &[]);
            sample.enhanced(0, 1_700_000_000_123_456, 60, &data(1, 60));
            let (packets, error) = read(&sample.bytes);
            assert_eq!(error, None);
            let time = 1_700_000_000_123_456_000;
            let expected = Owned { number: 1, time, link, bytes: data(1, 60), wire_length: 60 };
            assert_eq!(packets, [expected], "{order:?} link {number}");
        }
    }
}

#[test]
fn pcapng_sections_interfaces_and_packet_blocks_of_all_kinds() {
    for order in BOTH_ORDERS {
        let (packets, error) = read(&rich_pcapng(order).bytes);
        assert_eq!(error, None);
        let expected = [
            (1_000_001_000, Link::Ethernet, data(1, 60), 60),
            (2_000_000_002, Link::RawIp, data(2, 61), 61),
            (3_000_003_000, Link::Ethernet, data(3, 62), 1_500),
            // No time of its own: that of the packet before it.
            (3_000_003_000, Link::Ethernet, data(4, 63), 63),
            (5_500_000_000, Link::LinuxCooked2, data(5, 40), 64),
            // Cut to the interface's snap length, which is all a Simple Packet Block tells.
            (5_500_000_000, Link::LinuxCooked2, data(6, 40), 65),
        ];
        let expected: Vec<Owned> = (1..)
            .zip(expected)
            .map(|(number, (time, link, bytes, wire_length))| Owned {
                number,
                time,
                link,
                bytes,
                wire_length,
            })
            .collect();
        assert_eq!(packets, expected, "{order:?}");
    }
}

#[test]
fn an_interfaces_time_offset_is_in_the_sections_byte_order_and_may_be_negative() {
    for order in BOTH_ORDERS {
        for seconds in [1_700_000_000, -5] {
            let mut sample = Sample::pcapng(order);
            let offset = sample.option(14, &order.i64(seconds));
            sample.interface(1, 0, &offset);
            sample.enhanced(0, 7, 60, &data(1, 60));
            let (packets, error) = read(&sample.bytes);
            assert_eq!(error, None);
            assert_eq!(packets[0].time, i128::from(seconds) * 1_000_000_000 + 7_000);
        }
    }
}

#[test]
fn frame_check_sequence_bits_above_the_link_type_are_ignored() {
    let mut sample = Sample::pcap(Endian::Little, MICRO, 65_535, 0x2400_0001);
    sample.packet(1, 2, 60, &data(1, 60));
    let (packets, error) = read(&sample.bytes);
    assert_eq!((packets[0].link, error), (Link::Ethernet, None));
}

#[test]
fn a_wire_length_below_the_captured_length_is_raised_to_it() {
    let mut pcap = Sample::pcap(Endian::Little, MICRO, 65_535, 1);
    pcap.packet(1, 2, 0, &data(1, 60));
    assert_eq!(read(&pcap.bytes).0[0].wire_length, 60);
    let mut pcapng = Sample::pcapng(Endian::Big);
    pcapng.interface(1, 0, &[]);
    pcapng.enhanced(0, 1, 59, &data(1, 60));
    assert_eq!(read(&pcapng.bytes).0[0].wire_length, 60);
}

#[test]
fn packets_longer_than_a_stated_snap_length_are_believed_up_to_256_kib() {
    let mut sample = Sample::pcap(Endian::Little, MICRO, 96, 1);
    sample.packet(1, 2, 256 << 10, &data(1, 256 << 10));
    sample.packet(1, 3, 60, &data(2, 60));
    let (packets, error) = read(&sample.bytes);
    assert_eq!(packets.iter().map(|packet| packet.bytes.len()).collect::<Vec<_>>(), [256 << 10, 60]);
    assert_eq!(error, None);
}

#[test]
fn records_and_skipped_blocks_longer_than_the_buffer_come_whole() {
    let mut sample = Sample::pcapng(Endian::Little);
    sample.interface(1, 0, &[]);
    sample.enhanced(0, 1, 60, &data(1, 60));
    sample.block(0x0a, &data(2, 700_000));
    sample.enhanced(0, 2, 900_000, &data(3, 900_000));
    sample.enhanced(0, 3, 60, &data(4, 60));
    let (packets, error) = read(&sample.bytes);
    assert_eq!(error, None);
    assert_eq!(
        packets.into_iter().map(|packet| packet.bytes).collect::<Vec<_>>(),
        [data(1, 60), data(3, 900_000), data(4, 60)]
    );
}

#[test]
fn a_pipe_that_delivers_byte_by_byte_yields_the_same() {
    for order in BOTH_ORDERS {
        let bytes = rich_pcapng(order).bytes;
        let whole = read(&bytes);
        for step in [1, 2, 7, 13] {
            assert_eq!(read_singly(Trickle { bytes: bytes.clone(), at: 0, step }), whole);
            assert_eq!(read_in_batches(Trickle { bytes: bytes.clone(), at: 0, step }), whole);
        }
    }
}

#[test]
fn a_long_capture_comes_in_full_batches_in_order() {
    let mut sample = Sample::pcap(Endian::Little, NANO, 65_535, 1);
    for index in 0..20_000_u32 {
        sample.packet(index, 0, 54, &data(index as u8, 54));
    }
    let mut capture = Capture::from_reader("x.pcap", Cursor::new(sample.bytes)).unwrap();
    let (mut count, mut full) = (0, 0);
    while let Some(batch) = capture.next_batch().unwrap() {
        full += usize::from(batch.len() == BURST);
        for packet in batch.iter() {
            assert_eq!(packet.number, count + 1);
            assert_eq!(packet.time.nanoseconds(), i128::from(count) * 1_000_000_000);
            assert_eq!(packet.bytes, data(count as u8, 54));
            count += 1;
        }
    }
    assert_eq!(count, 20_000);
    // Only where the buffer ended may a batch have been shorter.
    assert!(full >= 20_000 / BURST - 20, "{full}");
    assert_eq!(capture.progress().consumed, 24 + 20_000 * 70);
}

// ---- what is wrong with a file ---------------------------------------------------------------------------

/// Cuts a sample everywhere: what is whole is yielded, then there is one error unless the cut is between records.
fn check_every_cut(sample: &Sample) {
    for cut in 0..sample.bytes.len() {
        let whole = sample.ends.iter().rfind(|(end, _)| *end <= cut);
        let packets = whole.map_or(0, |(_, packets)| *packets);
        let between = whole.is_some_and(|(end, _)| *end == cut);
        let (read, error) = read(&sample.bytes[..cut]);
        assert_eq!(read.len(), packets, "cut at {cut}");
        assert_eq!(error.is_none(), between, "cut at {cut}: {error:?}");
        if let Some(error) = error {
            assert!(error.starts_with("x.pcap: ") && error.lines().count() == 1, "{error}");
        }
    }
}

#[test]
fn pcap_cut_at_every_byte_yields_what_is_whole_and_then_one_error() {
    for order in BOTH_ORDERS {
        let mut sample = Sample::pcap(order, MICRO, 65_535, 1);
        sample.packet(1, 0, 20, &data(1, 20));
        sample.packet(2, 0, 0, &[]);
        sample.packet(3, 0, 33, &data(2, 33));
        check_every_cut(&sample);
    }
}

#[test]
fn pcapng_cut_at_every_byte_yields_what_is_whole_and_then_one_error() {
    for order in BOTH_ORDERS {
        check_every_cut(&rich_pcapng(order));
    }
}

#[test]
fn a_cut_packet_is_named_with_its_number_and_offset() {
    let mut sample = Sample::pcap(Endian::Little, MICRO, 65_535, 1);
    sample.packet(1, 0, 20, &data(1, 20));
    sample.packet(2, 0, 50, &data(1, 50));
    let cut = |at| read(&sample.bytes[..at]).1.unwrap();
    assert_eq!(
        cut(93),
        "x.pcap: packet 2 at byte 60 is cut off: the file ends after 33 of at least 66 bytes"
    );
    assert_eq!(cut(61), "x.pcap: packet 2 at byte 60 is cut off: the file ends after 1 of at least 16 bytes");
    assert_eq!(cut(9), "x.pcap: the file's header is cut off: the file ends after 9 of at least 24 bytes");
}

#[test]
fn an_impossible_captured_length_is_damage() {
    for (snap_length, limit) in [(96, 262_144), (1 << 20, 1 << 20), (u32::MAX, 256 << 20)] {
        let mut sample = Sample::pcap(Endian::Big, MICRO, snap_length, 1);
        sample.packet(1, 0, 20, &data(1, 20));
        let at = sample.bytes.len();
        sample.packet(2, 0, 20, &data(2, 20));
        sample.patch(at + 8, limit + 1);
        let (packets, error) = read(&sample.bytes);
        assert_eq!(packets.len(), 1);
        let length = limit + 1;
        assert_eq!(
            error.unwrap(),
            format!(
                "x.pcap: packet 2 at byte 60 is damaged: a captured length of {length} bytes, \
                 where at most {limit} are possible"
            )
        );
    }
}

#[test]
fn impossible_block_lengths_are_damage_after_what_came_before() {
    // The length that replaces the one of a block of 52 bytes, and what is said about it.
    let cases = [
        (0, "an impossible block length of 0"),
        (8, "an impossible block length of 8"),
        (53, "an impossible block length of 53"),
        (u32::MAX - 3, "an impossible block length of 4294967292"),
        (12, "its block length is 12 at the beginning and 0 at the end"),
        (48, "its block length is 48 at the beginning and"),
    ];
    for order in BOTH_ORDERS {
        for (length, message) in cases {
            let mut sample = Sample::pcapng(order);
            sample.interface(1, 0, &[]);
            sample.enhanced(0, 1, 4, &data(1, 4));
            let at = sample.bytes.len();
            sample.enhanced(0, 0, 4, &data(1, 4));
            sample.patch(at + 4, length);
            let (packets, error) = read(&sample.bytes);
            assert_eq!(packets.len(), 1);
            let error = error.unwrap();
            assert!(
                error.starts_with(&format!("x.pcap: packet 2 at byte {at} is damaged: {message}")),
                "{error}"
            );
        }
    }
}

#[test]
fn both_lengths_of_a_skipped_block_must_agree_too() {
    let mut sample = Sample::pcapng(Endian::Little);
    let place = sample.block(0x0bad, &data(1, 20));
    sample.patch(place.end - 4, 36);
    let (_, error) = read(&sample.bytes);
    let error = error.unwrap();
    assert!(error.contains("its block length is 32 at the beginning and 36 at the end"), "{error}");
    assert!(error.contains("after packet 0"), "{error}");
}

#[test]
fn a_captured_length_that_leaves_its_block_is_damage_and_no_truncation() {
    for order in BOTH_ORDERS {
        let mut sample = Sample::pcapng(order);
        sample.interface(1, 0, &[]);
        let at = sample.bytes.len();
        sample.obsolete(0, 1, 4, &data(1, 4));
        sample.patch(at + 20, 4_000);
        let (_, error) = read(&sample.bytes);
        assert_eq!(
            error.unwrap(),
            format!(
                "x.pcap: packet 1 at byte {at} is damaged: \
                 a captured length of 4000 bytes in a block with room for 4"
            )
        );
    }
}

#[test]
fn packet_blocks_too_short_for_their_fields_are_damage() {
    for (kind, fields) in [(6, 4), (2, 4), (3, 0), (1, 1), (0x0a0d_0d0a, 3)] {
        let mut sample = Sample::pcapng(Endian::Little);
        sample.interface(1, 0, &[]);
        let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
        body.resize(fields * 4, 0);
        if kind == 0x0a0d_0d0a {
            body[4] = 1;
        }
        sample.block(kind, &body);
        let (_, error) = read(&sample.bytes);
        assert!(error.unwrap().contains("impossible block length"), "block type {kind:#x}");
    }
}

#[test]
fn a_packet_of_an_interface_that_was_not_described_is_damage() {
    let mut sample = Sample::pcapng(Endian::Little);
    sample.interface(1, 0, &[]);
    sample.enhanced(0, 1, 4, &data(1, 4));
    // A new section begins without interfaces.
    sample.section(Endian::Little);
    sample.enhanced(0, 1, 4, &data(1, 4));
    let (packets, error) = read(&sample.bytes);
    assert_eq!(packets.len(), 1);
    assert!(error.unwrap().ends_with("it belongs to interface 0, but 0 have been described"));
}

#[test]
fn interface_options_that_overrun_or_have_the_wrong_length_are_damage() {
    for (code, value, cut) in [(9, &[9, 9][..], 0), (14, &[1, 2, 3, 4][..], 0), (2, b"eth0eth0", 4)] {
        let mut sample = Sample::pcapng(Endian::Little);
        let mut option = sample.option(code, value);
        option.truncate(option.len() - cut);
        sample.interface(1, 0, &option);
        let (_, error) = read(&sample.bytes);
        let error = error.unwrap();
        assert!(
            error.ends_with(&format!("option {code} of an interface has an impossible length")),
            "{error}"
        );
    }
}

#[test]
fn a_section_without_a_byte_order_is_damage() {
    let mut sample = Sample::pcapng(Endian::Little);
    sample.patch(8, 0x1234_5678);
    let (_, error) = read(&sample.bytes);
    assert!(error.unwrap().ends_with("no byte order can be told from 0x12345678"));
}

#[test]
fn an_unknown_link_type_of_a_pcap_is_told_when_it_is_opened() {
    let error = read(&Sample::pcap(Endian::Big, NANO, 65_535, 195).bytes).1.unwrap();
    assert!(
        error.starts_with("x.pcap: link type 195, which is not supported; supported: Ethernet (1)"),
        "{error}"
    );
}

#[test]
fn an_unknown_link_type_of_a_pcapng_interface_matters_with_its_first_packet() {
    let mut sample = Sample::pcapng(Endian::Little);
    sample.interface(105, 0, &[]);
    sample.interface(1, 0, &[]);
    sample.enhanced(1, 1, 4, &data(1, 4));
    sample.enhanced(1, 2, 4, &data(1, 4));
    assert_eq!(read(&sample.bytes).1, None);
    sample.enhanced(0, 3, 4, &data(1, 4));
    let (packets, error) = read(&sample.bytes);
    assert_eq!(packets.len(), 2);
    let error = error.unwrap();
    assert!(error.starts_with("x.pcap: packet 3: interface 0 has link type 105, which is not"), "{error}");
}

#[test]
fn other_versions_are_refused_by_name() {
    let mut pcap = Sample::pcap(Endian::Little, MICRO, 65_535, 1);
    pcap.patch(4, 2);
    assert_eq!(read(&pcap.bytes).1.unwrap(), "x.pcap: is pcap version 2.0, only 2.3 and 2.4 can be read");
    let mut pcapng = Sample::pcapng(Endian::Little);
    pcapng.patch(12, 2);
    assert_eq!(read(&pcapng.bytes).1.unwrap(), "x.pcap: is pcapng version 2.0, only 1.x can be read");
}

#[test]
fn what_is_no_capture_is_told_from_its_first_bytes() {
    let cases: [(&[u8], &str); 10] = [
        (b"", "is empty, not even a pcap header is there"),
        (b"GET", "is neither pcap nor pcapng: it begins with 47 45 54"),
        (b"GET / HTTP/1.1", "is neither pcap nor pcapng: it begins with 47 45 54 20 2f 20 48 54"),
        (&[0x1f, 0x8b, 8, 0, 0], "is compressed (gzip): pipe it through zcat and read \"-\""),
        (&[0x28, 0xb5, 0x2f, 0xfd, 4], "is compressed (zstd): pipe it through zstdcat and read \"-\""),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "is compressed (xz): pipe it through xzcat and read \"-\""),
        (b"BZh91AY", "is compressed (bzip2): pipe it through bzcat and read \"-\""),
        (b"snoop\0\0\0\0\0\0\x02", "is a snoop capture: convert it to pcap or pcapng first"),
        (
            &[0x34, 0xcd, 0xb2, 0xa1, 2, 0, 4, 0],
            "is a modified pcap (magic 0xa1b2cd34) capture: convert it to pcap or pcapng first",
        ),
        (
            &[0xa1, 0xb2, 0xcd, 0x34, 0, 2, 0, 4],
            "is a modified pcap (magic 0xa1b2cd34) capture: convert it to pcap or pcapng first",
        ),
    ];
    for (bytes, message) in cases {
        assert_eq!(read(bytes).1.unwrap(), format!("x.pcap: {message}"));
    }
}

#[test]
fn files_that_cannot_be_opened_are_named_with_the_reason() {
    let directory = Directory::new("open");
    let missing = directory.file("missing.pcap");
    let message = |path: &PathBuf| Capture::open(path).unwrap_err().to_string();
    assert_eq!(message(&missing), format!("{}: no such file", missing.display()));
    let itself = directory.0.clone();
    assert_eq!(message(&itself), format!("{}: is a directory, not a capture file", itself.display()));
    // Root may read everything, so this one is made rather than provoked.
    let refused = ErrorKind::Open(io::ErrorKind::PermissionDenied.into());
    assert_eq!(Error::new("x.pcap", refused).to_string(), "x.pcap: no permission to read it");
}

#[test]
fn a_failing_disk_is_reported_after_the_packets_before() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("medium error"))
        }
    }
    let mut sample = Sample::pcap(Endian::Little, MICRO, 65_535, 1);
    sample.packet(1, 0, 20, &data(1, 20));
    let reader = || Cursor::new(sample.bytes.clone()).chain(Failing);
    let expected = Some("x.pcap: cannot be read at byte 60: medium error".to_owned());
    let (packets, error) = read_singly(reader());
    assert_eq!((packets.len(), &error), (1, &expected));
    let (packets, error) = read_in_batches(reader());
    assert_eq!((packets.len(), &error), (1, &expected));
}

#[test]
fn random_damage_never_panics_and_never_yields_more_than_the_file_holds() {
    let mut pcap = Sample::pcap(Endian::Little, NANO, 65_535, 1);
    for seed in 0..6 {
        pcap.packet(seed, 0, 40, &data(seed as u8, 40));
    }
    let originals = [pcap.bytes, rich_pcapng(Endian::Little).bytes, rich_pcapng(Endian::Big).bytes];
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..10_000 {
        let mut bytes = originals[random.usize(..3)].clone();
        for _ in 0..=random.usize(..3) {
            let at = random.usize(..bytes.len());
            bytes[at] = [0, 1, 4, 0x7f, 0x80, 0xff, random.u8(..)][random.usize(..7)];
        }
        bytes.truncate(bytes.len() - random.usize(..bytes.len() / 4));
        let (packets, _) = read(&bytes);
        let captured: usize = packets.iter().map(|packet| packet.bytes.len()).sum();
        assert!(captured <= bytes.len());
        assert!(packets.iter().all(|packet| packet.wire_length >= packet.bytes.len()));
    }
}

// ---- real captures ---------------------------------------------------------------------------------------

fn count(path: &std::path::Path) -> u64 {
    let mut capture = Capture::open(path).unwrap();
    let mut last = 0;
    while let Some(batch) = capture.next_batch().unwrap() {
        last = batch.iter().last().unwrap().number;
    }
    let progress = capture.progress();
    assert_eq!(Some(progress.consumed), progress.total, "{}", path.display());
    last
}

#[test]
fn the_repositorys_capture_holds_as_many_packets_as_the_text_beside_it_says() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kernel-tcp.pcap"));
    let text = fs::read_to_string(path.with_extension("txt")).unwrap();
    let said = text.split_once("kernel-tcp.pcap: ").and_then(|(_, rest)| rest.split_once(" packets"));
    assert_eq!(count(&path), said.unwrap().0.parse::<u64>().unwrap());
}

#[test]
fn captures_of_other_projects_yield_the_frames_that_a_dissector_counted() {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures"));
    let Ok(expected) = fs::read_to_string(directory.join("expected.json")) else {
        eprintln!("skipped: no captures at {}", directory.display());
        return;
    };
    let mut checked = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some((_, rest)) = expected.split_once(&format!("\"{name}\"")) else { continue };
        let (_, rest) = rest.split_once("\"frames\":").unwrap();
        let frames = rest.split_once(',').unwrap().0.trim().parse::<u64>().unwrap();
        assert_eq!(count(&path), frames, "{name}");
        checked += 1;
    }
    assert!(checked > 0, "expected.json names none of the files beside it");
}

// ---- the writer ------------------------------------------------------------------------------------------

fn at(nanoseconds: i128) -> Timestamp {
    Timestamp::from_nanoseconds(nanoseconds)
}

#[test]
fn what_is_written_is_read_back() {
    let directory = Directory::new("round-trip");
    let path = directory.file("out.pcap");
    for link in [Link::Ethernet, Link::LinuxCooked, Link::LinuxCooked2, Link::RawIp] {
        let mut writer = CaptureWriter::create(&path, link, None).unwrap();
        writer.write(at(1_700_000_000_123_456_789), link, 60, &data(1, 60)).unwrap();
        writer.write(at(5), link, 1_500, &data(2, 96)).unwrap();
        writer.finish().unwrap();
        let (packets, error) = read(&fs::read(&path).unwrap());
        assert_eq!(error, None);
        let first =
            Owned { number: 1, time: 1_700_000_000_123_456_789, link, bytes: data(1, 60), wire_length: 60 };
        let second = Owned { number: 2, time: 5, link, bytes: data(2, 96), wire_length: 1_500 };
        assert_eq!(packets, [first, second]);
    }
    assert_eq!(directory.names(), ["out.pcap"]);
}

#[test]
fn a_packet_longer_than_the_written_snap_length_keeps_its_wire_length() {
    let directory = Directory::new("long");
    let path = directory.file("out.pcap");
    let mut writer = CaptureWriter::create(&path, Link::RawIp, None).unwrap();
    writer.write(at(0), Link::RawIp, 300_000, &data(1, 300_000)).unwrap();
    writer.finish().unwrap();
    let (packets, error) = read(&fs::read(&path).unwrap());
    assert_eq!((packets[0].bytes.len(), packets[0].wire_length, error), (262_144, 300_000, None));
}

#[test]
fn the_capture_that_is_read_is_not_overwritten_under_any_of_its_names() {
    let directory = Directory::new("same-file");
    let path = directory.file("in.pcap");
    let mut sample = Sample::pcap(Endian::Little, MICRO, 65_535, 1);
    sample.packet(1, 0, 20, &data(1, 20));
    fs::write(&path, &sample.bytes).unwrap();
    let (hard, soft) = (directory.file("hard.pcap"), directory.file("soft.pcap"));
    fs::hard_link(&path, &hard).unwrap();
    std::os::unix::fs::symlink(&path, &soft).unwrap();
    let capture = Capture::open(&path).unwrap();
    for name in [&path, &hard, &soft] {
        let error = CaptureWriter::create(name, Link::Ethernet, capture.identity()).unwrap_err();
        let expected = "is the capture that is being read, choose another output file";
        assert_eq!(error.to_string(), format!("{}: {expected}", name.display()));
    }
    assert_eq!(fs::read(&path).unwrap(), sample.bytes);
}

#[test]
fn without_finish_the_file_that_was_there_stays_and_nothing_else_does() {
    let directory = Directory::new("unfinished");
    let path = directory.file("out.pcap");
    fs::write(&path, b"older").unwrap();
    let mut writer = CaptureWriter::create(&path, Link::Ethernet, None).unwrap();
    writer.write(at(0), Link::Ethernet, 60, &data(1, 60)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"older");
    drop(writer);
    assert_eq!(fs::read(&path).unwrap(), b"older");
    assert_eq!(directory.names(), ["out.pcap"]);
}

#[test]
fn a_link_to_the_output_stays_a_link() {
    let directory = Directory::new("link");
    let (path, link) = (directory.file("out.pcap"), directory.file("link.pcap"));
    fs::write(&path, b"older").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    CaptureWriter::create(&link, Link::Ethernet, None).unwrap().finish().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap().len(), 24);
}

#[test]
fn packets_that_pcap_cannot_hold_are_refused_and_the_rest_is_kept() {
    let directory = Directory::new("refused");
    let path = directory.file("out.pcap");
    let mut writer = CaptureWriter::create(&path, Link::Ethernet, None).unwrap();
    let error = writer.write(at(0), Link::RawIp, 60, &data(1, 60)).unwrap_err().to_string();
    assert!(error.ends_with(
        "out.pcap: holds Ethernet packets, a raw IP packet cannot be added: pcap has one link type"
    ));
    for time in [-1, 4_294_967_296_000_000_000] {
        let error = writer.write(at(time), Link::Ethernet, 60, &data(1, 60)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TimeOutOfRange { .. }), "{error}");
    }
    writer.write(at(4_294_967_295_999_999_999), Link::Ethernet, 60, &data(1, 60)).unwrap();
    writer.finish().unwrap();
    assert_eq!(read(&fs::read(&path).unwrap()).0.len(), 1);
}

#[test]
fn an_output_that_cannot_be_created_or_written_is_named() {
    let directory = Directory::new("failing");
    let missing = directory.file("missing/out.pcap");
    let error = CaptureWriter::create(&missing, Link::Ethernet, None).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: cannot be created: ", missing.display())), "{error}");
    let error = CaptureWriter::create(&directory.0, Link::Ethernet, None).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Create(_)), "{error}");
    // A full disk shows when the buffer is written, here with the last packet.
    let writer = CaptureWriter::create("/dev/full", Link::Ethernet, None).unwrap();
    let error = writer.finish().unwrap_err().to_string();
    assert!(error.starts_with("/dev/full: cannot be written: "), "{error}");
}
