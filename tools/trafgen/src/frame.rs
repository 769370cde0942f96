//! Frames: written in place from a template, and read back.
//!
//! ```text
//!   │ Ethernet 14 │ IPv4 20 or IPv6 40 │ TCP 20 or UDP 8 │ stamp 6 │ number 4 │ zeros …           │
//!                                                        └ payload: of data, as far as there is room ┘
//! ```
//!
//! The stamp is when the frame was sent: 48 bits of nanoseconds, which fit into the six bytes that the smallest
//! Ethernet frame has left behind an IPv4 and a TCP header. The number says which connection it is, for the
//! end that sees other addresses than were sent (RFC 9693 is about address translation).
//!
//! Lengths are those of Ethernet frames without their check sequence, as a socket has them: 60 bytes at least.

use std::net::IpAddr;

use lastack::wire::build::{Builder, Tcp};
use lastack::wire::checksum::Sum;
use lastack::wire::{Flags, Ports, protocol};

use crate::space::{Host, Number, last_bits};

/// The least that Ethernet carries.
pub(crate) const LEAST_LENGTH: usize = 60;
/// What the check sequence adds to a frame on the wire.
pub(crate) const CHECK_SEQUENCE: usize = 4;
const ETHERNET: usize = 14;
const STAMP: usize = 6;
const NUMBER: usize = 4;
/// The window of every segment, not scaled.
const WINDOW: u16 = 65_535;

/// What carries the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// Connections with handshakes, data and FINs
    Tcp,
    /// Datagrams: what RFC 9693 opens connections with
    Udp,
}

/// One end of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Where connections begin.
    Client,
    /// Where they end.
    Server,
}

impl End {
    pub(crate) const BOTH: [End; 2] = [End::Client, End::Server];

    /// The other one.
    pub(crate) fn other(self) -> End {
        match self {
            End::Client => End::Server,
            End::Server => End::Client,
        }
    }
}

/// A segment's numbers; of a datagram only the payload counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    /// None: no payload.
    pub(crate) payload: Option<Payload>,
}

/// What the payload says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload {
    /// When it was sent, in nanoseconds; its last 48 bits travel.
    pub(crate) stamp: u64,
    pub(crate) number: Number,
}

/// A frame that has come, as far as it may be one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) from: Host,
    pub(crate) to: Host,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    /// Bytes of payload.
    pub(crate) length: usize,
    /// The last 48 bits of when it was sent.
    pub(crate) stamp: Option<u64>,
    pub(crate) number: Option<Number>,
}

/// What all frames of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    protocol: Protocol,
    is_v4: bool,
    /// With payload, by the end that sends.
    data: [Vec<u8>; 2],
    /// Without.
    bare: [Vec<u8>; 2],
}

/// Who sends to whom, by the end that sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) source_mac: [u8; 6],
    pub(crate) destination_mac: [u8; 6],
}

impl Shape {
    /// Frames of `length` bytes where they carry data, from the client's end and from the server's; none if
    /// addresses of both IP versions are mixed, or that length has no room for a byte behind the headers.
    pub(crate) fn new(protocol: Protocol, length: usize, paths: [Path; 2]) -> Option<Shape> {
        let is_v4 = paths[0].source.is_ipv4();
        if paths.iter().any(|path| path.source.is_ipv4() != is_v4 || path.destination.is_ipv4() != is_v4) {
            return None;
        }
        let payload = length.checked_sub(headers(protocol, is_v4)).filter(|payload| *payload > 0)?;
        let template = |payload: usize| paths.map(|path| template(protocol, &path, &vec![0; payload]));
        Some(Shape { protocol, is_v4, data: template(payload), bare: template(0) })
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The length of a frame.
    #[inline]
    pub(crate) fn length(&self, has_payload: bool) -> usize {
        self.templates(has_payload)[0].len()
    }

    /// How many bytes of payload data has.
    pub(crate) fn payload(&self) -> u32 {
        (self.data[0].len() - headers(self.protocol, self.is_v4)) as u32
    }

    fn templates(&self, has_payload: bool) -> &[Vec<u8>; 2] {
        if has_payload { &self.data } else { &self.bare }
    }

    /// The end of the IP header.
    fn upper(&self) -> usize {
        ETHERNET + if self.is_v4 { 20 } else { 40 }
    }

    /// Writes a frame into `out`, which has its [`length`](Shape::length), or less where that is padding.
    #[inline]
    pub(crate) fn write(&self, sender: End, from: Host, to: Host, segment: &Segment, out: &mut [u8]) {
        let template = &self.templates(segment.payload.is_some())[sender as usize];
        out.copy_from_slice(&template[..out.len()]);
        let upper = self.upper();
        self.write_addresses(from.address, to.address, out);
        put16(out, upper, from.port);
        put16(out, upper + 2, to.port);
        let (header, field) = match self.protocol {
            Protocol::Tcp => {
                put32(out, upper + 4, segment.seq);
                put32(out, upper + 8, segment.ack);
                out[upper + 13] = segment.flags.0;
                (20, 16)
            }
            Protocol::Udp => (8, 6),
        };
        let mut covered = upper + header;
        if let Some(payload) = segment.payload {
            covered += self.write_payload(payload, &mut out[upper + header..]);
        }
        put16(out, upper + field, 0);
        // Behind that are zeros, which add nothing.
        let checksum = self.pseudo(out).plus(Sum::of(&out[upper..covered])).checksum();
        // Of UDP, zero would say that there is none (RFC 768).
        let is_none = checksum == 0 && self.protocol == Protocol::Udp;
        put16(out, upper + field, if is_none { 0xffff } else { checksum });
    }

    /// The last 32 bits of both addresses, and what checks them.
    #[inline]
    fn write_addresses(&self, source: u32, destination: u32, out: &mut [u8]) {
        if self.is_v4 {
            put32(out, ETHERNET + 12, source);
            put32(out, ETHERNET + 16, destination);
            put16(out, ETHERNET + 10, 0);
            let checksum = Sum::of(&out[ETHERNET..ETHERNET + 20]).checksum();
            put16(out, ETHERNET + 10, checksum);
        } else {
            put32(out, ETHERNET + 20, source);
            put32(out, ETHERNET + 36, destination);
        }
    }

    /// As much as there is room for; how many bytes are not zero.
    #[inline]
    fn write_payload(&self, payload: Payload, out: &mut [u8]) -> usize {
        let mut written = 0;
        if let Some(room) = out.get_mut(..STAMP) {
            room.copy_from_slice(&payload.stamp.to_be_bytes()[2..]);
            written = STAMP;
        }
        if let Some(room) = out.get_mut(STAMP..STAMP + NUMBER) {
            room.copy_from_slice(&payload.number.0.to_be_bytes());
            written += NUMBER;
        }
        written
    }

    /// The sum of the pseudo-header of a frame whose addresses are written.
    #[inline]
    fn pseudo(&self, frame: &[u8]) -> Sum {
        let (addresses, length) = if self.is_v4 {
            (ETHERNET + 12..ETHERNET + 20, read16(frame, ETHERNET + 2) - 20)
        } else {
            (ETHERNET + 8..ETHERNET + 40, read16(frame, ETHERNET + 4))
        };
        Sum::of(&frame[addresses]).plus(Sum::of_protocol(number(self.protocol), u32::from(length)))
    }

    /// What a frame says; none if it is of another version or protocol, a fragment, or cut.
    #[inline]
    pub(crate) fn read(&self, frame: &[u8]) -> Option<Seen> {
        let upper = self.upper();
        let (ether_type, protocol, addresses, end) = if self.is_v4 {
            let header = frame.get(ETHERNET..upper)?;
            // Five words of header, and neither an offset nor more fragments.
            if header[0] != 0x45 || read16(header, 6) & 0x3fff != 0 {
                return None;
            }
            let end = ETHERNET + usize::from(read16(header, 2));
            (0x0800, header[9], [ETHERNET + 12, ETHERNET + 16], end)
        } else {
            let header = frame.get(ETHERNET..upper)?;
            (0x86dd, header[6], [ETHERNET + 20, ETHERNET + 36], upper + usize::from(read16(header, 4)))
        };
        if read16(frame, 12) != ether_type || protocol != number(self.protocol) {
            return None;
        }
        let segment = frame.get(upper..end)?;
        let host = |address: usize, port: usize| Host {
            address: read32(frame, addresses[address]),
            port: read16(segment, port),
        };
        let (seq, ack, flags, header) = match self.protocol {
            Protocol::Tcp => {
                let header = segment.get(..20)?;
                (read32(header, 4), read32(header, 8), Flags(header[13]), usize::from(header[12] >> 4) * 4)
            }
            Protocol::Udp => (0, 0, Flags(0), 8),
        };
        let payload = segment.get(header..)?;
        let stamp = payload
            .first_chunk::<STAMP>()
            .map(|bytes| bytes.iter().fold(0, |stamp, byte| stamp << 8 | u64::from(*byte)));
        let number = payload.get(STAMP..STAMP + NUMBER).map(|bytes| Number(read32(bytes, 0)));
        Some(Seen { from: host(0, 0), to: host(1, 2), seq, ack, flags, length: payload.len(), stamp, number })
    }
}

/// How long ago a frame with this stamp was sent, as long as that is less than three days.
#[inline]
pub(crate) fn age(stamp: u64, now: u64) -> u64 {
    now.wrapping_sub(stamp) & ((1 << (8 * STAMP)) - 1)
}

/// The shortest frame whose payload has room for a stamp.
pub(crate) fn shortest(protocol: Protocol, is_v4: bool) -> usize {
    (headers(protocol, is_v4) + STAMP).max(LEAST_LENGTH)
}

/// The bytes of all headers.
pub(crate) fn headers(protocol: Protocol, is_v4: bool) -> usize {
    let ip = if is_v4 { 20 } else { 40 };
    ETHERNET + ip + if protocol == Protocol::Tcp { 20 } else { 8 }
}

/// The number in the IP header.
fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => protocol::TCP,
        Protocol::Udp => protocol::UDP,
    }
}

/// A frame with everything that does not change.
fn template(protocol: Protocol, path: &Path, payload: &[u8]) -> Vec<u8> {
    let builder = match (path.source, path.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Builder::v4(source.octets(), destination.octets()),
        (source, destination) => Builder::v6(octets(source), octets(destination)),
    };
    let mut frame = match protocol {
        Protocol::Tcp => builder.tcp(&Tcp { window: WINDOW, ..Tcp::new(0, 0) }, payload),
        Protocol::Udp => builder.udp(Ports { source: 0, destination: 0 }, payload),
    };
    frame[..6].copy_from_slice(&path.destination_mac);
    frame[6..12].copy_from_slice(&path.source_mac);
    let length = frame.len().max(LEAST_LENGTH);
    frame.resize(length, 0);
    frame
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The same address with other last 32 bits.
pub(crate) fn with_last_bits(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(bits.into()),
        IpAddr::V6(whole) => {
            let upper = whole.to_bits() & !u128::from(u32::MAX);
            IpAddr::V6((upper | u128::from(bits)).into())
        }
    }
}

/// The addresses from `first` on, `count` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) first: IpAddr,
    pub(crate) count: u64,
}

impl Addresses {
    /// Whether one of them is `address`.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let bits = last_bits(address);
        address == with_last_bits(self.first, bits)
            && u64::from(bits.wrapping_sub(last_bits(self.first))) < self.count
    }
}

fn put16(out: &mut [u8], at: usize, value: u16) {
    out[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn put32(out: &mut [u8], at: usize, value: u32) {
    out[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// The bytes must be there.
fn read16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn read32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
