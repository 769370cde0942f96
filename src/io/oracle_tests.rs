//! The reader against an independent one (pcap-parser), on captures that the other one reads rightly.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

use super::Capture;
use super::samples::{BOTH_ORDERS, Sample, data};

/// Captured bytes, wire length, and the time in the file's own units.
type Plain = (Vec<u8>, usize, i128);

/// What pcap-parser reads; `units` is how many units of time a second of pcap has.
fn theirs(bytes: &[u8], units: i128) -> Vec<Plain> {
    let mut reader = create_reader(1 << 20, Cursor::new(bytes.to_vec())).unwrap();
    let mut packets = Vec::new();
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                match &block {
                    PcapBlockOwned::Legacy(packet) => packets.push((
                        packet.data.to_vec(),
                        packet.origlen as usize,
                        i128::from(packet.ts_sec) * units + i128::from(packet.ts_usec),
                    )),
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => packets.push((
                        packet.packet_data().to_vec(),
                        packet.origlen as usize,
                        i128::from(packet.ts_high) << 32 | i128::from(packet.ts_low),
                    )),
                    PcapBlockOwned::LegacyHeader(_) | PcapBlockOwned::NG(_) => {}
                }
                reader.consume(offset);
            }
            Err(PcapError::Eof) => return packets,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The same from this project's reader; `unit` is the file's unit of time in nanoseconds.
fn ours(bytes: &[u8], unit: i128) -> Vec<Plain> {
    let mut capture = Capture::from_reader("x.pcap", Cursor::new(bytes.to_vec())).unwrap();
    let mut packets = Vec::new();
    while let Some(batch) = capture.next_batch().unwrap() {
        packets.extend(
            batch
                .iter()
                .map(|packet| (packet.bytes.to_vec(), packet.wire_length, packet.time.nanoseconds() / unit)),
        );
    }
    packets
}

#[test]
fn both_readers_agree_on_generated_captures() {
    for order in BOTH_ORDERS {
        for (magic, unit, units) in [(0xa1b2_c3d4, 1_000, 1_000_000), (0xa1b2_3c4d, 1, 1_000_000_000)] {
            let mut sample = Sample::pcap(order, magic, 65_535, 1);
            for index in 0..2_000 {
                sample.packet(index * 7, index, 1_500, &data(index as u8, index as usize % 300));
            }
            assert_eq!(ours(&sample.bytes, unit), theirs(&sample.bytes, units));
        }
        let mut sample = Sample::pcapng(order);
        sample.interface(1, 0, &[]);
        sample.interface(113, 0, &[]);
        for index in 0..2_000 {
            sample.enhanced(
                index % 2,
                u64::from(index) << 30,
                1_500,
                &data(index as u8, index as usize % 300),
            );
            sample.block(5, &data(0, index as usize % 5 * 4 + 12));
        }
        let ours = ours(&sample.bytes, 1_000);
        assert_eq!(ours.len(), 2_000);
        assert_eq!(ours, theirs(&sample.bytes, 1));
    }
}

#[test]
fn both_readers_agree_on_the_repositorys_capture() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kernel-tcp.pcap"));
    let bytes = fs::read(path).unwrap();
    assert_eq!(ours(&bytes, 1), theirs(&bytes, 1_000_000_000));
}
