//! Captures made by hand, for the tests of this module.

use std::ops::Range;

/// The byte order that a sample is written in: the tests' own notion, not the reader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

pub(super) const BOTH_ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

impl Endian {
    fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        }
    }

    pub(super) fn i64(self, value: i64) -> [u8; 8] {
        match self {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        }
    }
}

/// A capture being written, and where its records end.
pub(super) struct Sample {
    order: Endian,
    pub(super) bytes: Vec<u8>,
    /// The end of each record (a block, a pcap packet, the pcap header), and how many packets lie before it.
    pub(super) ends: Vec<(usize, usize)>,
    packets: usize,
}

impl Sample {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn numbers(&mut self, values: &[u32]) {
        for value in values {
            self.push(&self.order.u32(*value));
        }
    }

    fn end_record(&mut self, packets: usize) {
        self.packets += packets;
        self.ends.push((self.bytes.len(), self.packets));
    }

    /// A pcap file's header.
    pub(super) fn pcap(order: Endian, magic: u32, snap_length: u32, link: u32) -> Sample {
        let mut sample = Sample { order, bytes: Vec::new(), ends: Vec::new(), packets: 0 };
        sample.numbers(&[magic]);
        sample.push(&order.u16(2));
        sample.push(&order.u16(4));
        sample.numbers(&[0, 0, snap_length, link]);
        sample.end_record(0);
        sample
    }

    /// A pcap packet.
    pub(super) fn packet(&mut self, seconds: u32, fraction: u32, wire_length: u32, data: &[u8]) {
        self.numbers(&[seconds, fraction, data.len() as u32, wire_length]);
        self.push(data);
        self.end_record(1);
    }

    /// A pcapng file, with its first section's header.
    pub(super) fn pcapng(order: Endian) -> Sample {
        let mut sample = Sample { order, bytes: Vec::new(), ends: Vec::new(), packets: 0 };
        sample.section(order);
        sample
    }

    /// A section's header; what follows is in its byte order.
    pub(super) fn section(&mut self, order: Endian) {
        self.order = order;
        let body = [
            &order.u32(0x1a2b_3c4d)[..],
            &order.u16(1),
            &order.u16(0),
            &order.i64(-1),
            &self.option(4, b"tests"),
        ]
        .concat();
        self.block(0x0a0d_0d0a, &body);
    }

    /// A block that is no packet.
    pub(super) fn block(&mut self, kind: u32, body: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        let length = 12 + body.len().next_multiple_of(4) as u32;
        self.numbers(&[kind, length]);
        self.push(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.numbers(&[length]);
        self.end_record(0);
        start..self.bytes.len()
    }

    /// An option: code, length, padded value.
    pub(super) fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [&self.order.u16(code)[..], &self.order.u16(value.len() as u16), value].concat();
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    /// An Interface Description Block.
    pub(super) fn interface(&mut self, link: u16, snap_length: u32, options: &[u8]) {
        let body = [&self.order.u16(link)[..], &[0, 0], &self.order.u32(snap_length), options].concat();
        self.block(1, &body);
    }

    fn packet_block(&mut self, kind: u32, fields: &[u32], data: &[u8], options: &[u8]) {
        let mut body: Vec<u8> = fields.iter().flat_map(|field| self.order.u32(*field)).collect();
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend_from_slice(options);
        self.block(kind, &body);
        self.ends.pop();
        self.end_record(1);
    }

    /// An Enhanced Packet Block.
    pub(super) fn enhanced(&mut self, interface: u32, units: u64, wire_length: u32, data: &[u8]) {
        let options = [self.option(1, b"a comment"), self.option(0, b"")].concat();
        let fields = [interface, (units >> 32) as u32, units as u32, data.len() as u32, wire_length];
        self.packet_block(6, &fields, data, &options);
    }

    /// An obsolete Packet Block, with a count of drops.
    pub(super) fn obsolete(&mut self, interface: u16, units: u64, wire_length: u32, data: &[u8]) {
        let halves = [&self.order.u16(interface)[..], &self.order.u16(7)].concat();
        let first = match self.order {
            Endian::Little => u32::from_le_bytes(halves.try_into().unwrap()),
            Endian::Big => u32::from_be_bytes(halves.try_into().unwrap()),
        };
        let fields = [first, (units >> 32) as u32, units as u32, data.len() as u32, wire_length];
        self.packet_block(2, &fields, data, &[]);
    }

    /// A Simple Packet Block.
    pub(super) fn simple(&mut self, wire_length: u32, data: &[u8]) {
        self.packet_block(3, &[wire_length], data, &[]);
    }

    /// Overwrites the 32-bit number at `at`.
    pub(super) fn patch(&mut self, at: usize, value: u32) {
        let bytes = self.order.u32(value);
        self.bytes[at..at + 4].copy_from_slice(&bytes);
    }
}

/// Bytes that differ from packet to packet.
pub(super) fn data(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|index| seed.wrapping_add(index as u8)).collect()
}

/// Two sections of both byte orders, three interfaces, every kind of packet block, blocks to be skipped.
pub(super) fn rich_pcapng(order: Endian) -> Sample {
    let mut sample = Sample::pcapng(order);
    let nanoseconds = sample.option(9, &[9]);
    sample.interface(1, 0, &[]);
    sample.interface(101, 0, &nanoseconds);
    sample.enhanced(0, 1_000_001, 60, &data(1, 60));
    sample.block(0x0bad, &data(9, 17));
    sample.enhanced(1, 2_000_000_002, 61, &data(2, 61));
    sample.obsolete(0, 3_000_003, 1_500, &data(3, 62));
    sample.simple(63, &data(4, 63));
    sample.block(4, &data(0, 8));
    let other = if order == Endian::Little { Endian::Big } else { Endian::Little };
    sample.section(other);
    let powers_of_two = [sample.option(9, &[0x8a]), sample.option(0, b"")].concat();
    sample.interface(276, 40, &powers_of_two);
    sample.enhanced(0, 5 << 10 | 512, 64, &data(5, 40));
    sample.simple(65, &data(6, 40));
    sample.block(5, &[]);
    sample
}
