//! Makes well-formed frames, with right lengths and checksums: for tests, benchmarks and demonstrations.
//!
//! ```text
//!  Builder::v4(a, b) ─ .vlan(7) ─ .options(…) ─┬─ .tcp(&Tcp { … }, payload) ───► frame
//!  Builder::v6(a, b) ─ .extension(60, …) ──────┼─ .udp(ports, payload) ────────► frame
//!                                              ├─ .icmp(8, 0, [0, 1, 0, 1], …) ► frame
//!                                              └─ .fragments(…) ───────────────► frames
//! ```
//!
//! A [`Builder`] is what the packets of one path have in common; it can be used any number of times. What
//! it makes is right by construction, and a test that wants something wrong breaks it afterwards. Nothing
//! here is meant for the packet path: it allocates.

use super::checksum::Sum;
use super::{Addresses, Flags, Link, Ports, Seq, protocol};

/// The number of IPv6's fragment header.
const FRAGMENT_HEADER: u8 = 44;

/// The headers below the transport layer.
#[derive(Debug, Clone)]
pub struct Builder {
    link: Link,
    vlans: Vec<u16>,
    path: Path,
    id: u32,
    options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
}

/// Source and destination.
#[derive(Debug, Clone, Copy)]
enum Path {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

/// A TCP header to be made.
#[derive(Debug, Clone)]
pub struct Tcp {
    /// Source and destination port.
    pub ports: Ports,
    /// The sequence number.
    pub seq: Seq,
    /// The acknowledgement number.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window, not scaled.
    pub window: u16,
    /// The options, at most 40 bytes; they are padded with zeros to a multiple of four.
    pub options: Vec<u8>,
}

impl Tcp {
    /// A bare ACK from one port to the other, every number 0 but a window of 65,535 bytes.
    pub fn new(source: u16, destination: u16) -> Tcp {
        Tcp {
            ports: Ports { source, destination },
            seq: Seq(0),
            ack: Seq(0),
            flags: Flags::ACK,
            window: u16::MAX,
            options: Vec::new(),
        }
    }
}

impl Builder {
    /// Ethernet frames with IPv4 packets from one address to the other.
    pub fn v4(source: [u8; 4], destination: [u8; 4]) -> Builder {
        Builder::on(Path::V4(source, destination))
    }

    /// Ethernet frames with IPv6 packets from one address to the other.
    pub fn v6(source: [u8; 16], destination: [u8; 16]) -> Builder {
        Builder::on(Path::V6(source, destination))
    }

    fn on(path: Path) -> Builder {
        Builder {
            link: Link::Ethernet,
            vlans: Vec::new(),
            path,
            id: 0,
            options: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// Another link layer than Ethernet. Raw IP has no room for VLAN tags.
    pub fn link(mut self, link: Link) -> Builder {
        self.link = link;
        self
    }

    /// One more VLAN tag inside those that are there.
    pub fn vlan(mut self, id: u16) -> Builder {
        self.vlans.push(id);
        self
    }

    /// The identification, of which IPv4 has the lower 16 bits.
    pub fn id(mut self, id: u32) -> Builder {
        self.id = id;
        self
    }

    /// IPv4 options, at most 40 bytes; they are padded with zeros to a multiple of four.
    pub fn options(mut self, options: &[u8]) -> Builder {
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// One more IPv6 extension header behind those that are there: its number and what follows its two
    /// bytes of next header and length; padded with zeros to a multiple of eight. In fragments the extension
    /// headers stand before the fragment header.
    pub fn extension(mut self, number: u8, body: &[u8]) -> Builder {
        let mut header = vec![0, 0];
        header.extend_from_slice(body);
        header.resize(header.len().next_multiple_of(8), 0);
        // AH counts in units of four bytes, less two (RFC 4302); the others in units of eight, less one.
        header[1] = if number == 51 { header.len() / 4 - 2 } else { header.len() / 8 - 1 } as u8;
        self.extensions.push((number, header));
        self
    }

    /// The addresses as a packet's are.
    pub fn addresses(&self) -> Addresses<'_> {
        match &self.path {
            Path::V4(source, destination) => Addresses::V4 {
                source: u32::from_be_bytes(*source),
                destination: u32::from_be_bytes(*destination),
            },
            Path::V6(source, destination) => Addresses::V6 { source, destination },
        }
    }

    /// A frame with a TCP segment.
    pub fn tcp(&self, tcp: &Tcp, payload: &[u8]) -> Vec<u8> {
        self.packet(protocol::TCP, &self.tcp_segment(tcp, payload))
    }

    /// A frame with a UDP datagram.
    pub fn udp(&self, ports: Ports, payload: &[u8]) -> Vec<u8> {
        self.packet(protocol::UDP, &self.udp_datagram(ports, payload))
    }

    /// A frame with an ICMP or ICMPv6 message: its type and code, the other four bytes of its header (of a
    /// query: identifier and sequence number), and what follows.
    pub fn icmp(&self, icmp_type: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
        self.packet(self.icmp_protocol(), &self.icmp_message(icmp_type, code, rest, payload))
    }

    /// A TCP segment with its checksum.
    pub fn tcp_segment(&self, tcp: &Tcp, payload: &[u8]) -> Vec<u8> {
        let options_length = tcp.options.len().next_multiple_of(4);
        let mut segment = Vec::with_capacity(20 + options_length + payload.len());
        segment.extend_from_slice(&tcp.ports.source.to_be_bytes());
        segment.extend_from_slice(&tcp.ports.destination.to_be_bytes());
        segment.extend_from_slice(&tcp.seq.0.to_be_bytes());
        segment.extend_from_slice(&tcp.ack.0.to_be_bytes());
        segment.extend_from_slice(&[(((20 + options_length) / 4) << 4) as u8, tcp.flags.0]);
        segment.extend_from_slice(&tcp.window.to_be_bytes());
        segment.extend_from_slice(&[0; 4]);
        segment.extend_from_slice(&tcp.options);
        segment.resize(20 + options_length, 0);
        segment.extend_from_slice(payload);
        self.complete(segment, protocol::TCP, 16)
    }

    /// A UDP datagram with its checksum.
    pub fn udp_datagram(&self, ports: Ports, payload: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(8 + payload.len());
        datagram.extend_from_slice(&ports.source.to_be_bytes());
        datagram.extend_from_slice(&ports.destination.to_be_bytes());
        datagram.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        datagram.extend_from_slice(&[0; 2]);
        datagram.extend_from_slice(payload);
        self.complete(datagram, protocol::UDP, 6)
    }

    /// An ICMP or ICMPv6 message with its checksum.
    pub fn icmp_message(&self, icmp_type: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut message = vec![icmp_type, code, 0, 0];
        message.extend_from_slice(&rest);
        message.extend_from_slice(payload);
        self.complete(message, self.icmp_protocol(), 2)
    }

    /// A frame with any IP payload, taken as it is.
    pub fn packet(&self, number: u8, payload: &[u8]) -> Vec<u8> {
        match self.path {
            Path::V4(..) => self.v4_packet(number, 0, payload),
            Path::V6(..) => self.v6_packet(number, None, payload),
        }
    }

    /// A frame with one fragment of an IP payload: `offset` in bytes, a multiple of eight.
    pub fn fragment(&self, number: u8, offset: u32, more: bool, payload: &[u8]) -> Vec<u8> {
        match self.path {
            Path::V4(..) => self.v4_packet(number, (offset as u16 / 8) | (u16::from(more) << 13), payload),
            Path::V6(..) => {
                let mut header = vec![number, 0];
                header.extend_from_slice(&(offset as u16 | u16::from(more)).to_be_bytes());
                header.extend_from_slice(&self.id.to_be_bytes());
                self.v6_packet(number, Some(&header), payload)
            }
        }
    }

    /// Frames with an IP payload cut into fragments of `size` bytes, a multiple of eight.
    pub fn fragments(&self, number: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
        let pieces = payload.chunks(size).enumerate();
        pieces
            .map(|(index, piece)| {
                let offset = index * size;
                self.fragment(number, offset as u32, offset + piece.len() < payload.len(), piece)
            })
            .collect()
    }

    /// The version's own ICMP.
    fn icmp_protocol(&self) -> u8 {
        match self.path {
            Path::V4(..) => protocol::ICMP,
            Path::V6(..) => protocol::ICMPV6,
        }
    }

    /// Writes the checksum of an upper-layer protocol into the field at `at`.
    fn complete(&self, mut upper: Vec<u8>, number: u8, at: usize) -> Vec<u8> {
        let length = upper.len() as u32;
        let pseudo = match self.addresses() {
            Addresses::V4 { .. } if number == protocol::ICMP => Sum::ZERO,
            Addresses::V4 { source, destination } => Sum::pseudo_v4(source, destination, number, length),
            Addresses::V6 { source, destination } => Sum::pseudo_v6(source, destination, number, length),
            Addresses::None => Sum::ZERO,
        };
        let checksum = match pseudo.plus(Sum::of(&upper)).checksum() {
            // RFC 768: zero would say that there is no checksum.
            0 if number == protocol::UDP => 0xffff,
            checksum => checksum,
        };
        upper[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        upper
    }

    /// The link header and VLAN tags before a packet of this EtherType.
    fn link_header(&self, ether_type: u16) -> Vec<u8> {
        // The types of the headers: each tag's own type stands in the header before it.
        let mut types = vec![0x8100_u16; self.vlans.len()];
        types.push(ether_type);
        let outer = types[0].to_be_bytes();
        let mut header = match self.link {
            Link::Ethernet => [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &outer].concat(),
            // Unicast to us, ARPHRD_ETHER, an address of six bytes.
            Link::LinuxCooked => [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &outer].concat(),
            Link::LinuxCooked2 => {
                [&outer[..], &[0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]].concat()
            }
            Link::RawIp => return Vec::new(),
        };
        for (vlan, inner) in self.vlans.iter().zip(&types[1..]) {
            header.extend_from_slice(&vlan.to_be_bytes());
            header.extend_from_slice(&inner.to_be_bytes());
        }
        header
    }

    fn v4_packet(&self, number: u8, fragmentation: u16, payload: &[u8]) -> Vec<u8> {
        let Path::V4(source, destination) = self.path else { return Vec::new() };
        let header_length = 20 + self.options.len();
        let mut header = vec![0x40 | (header_length / 4) as u8, 0];
        header.extend_from_slice(&((header_length + payload.len()) as u16).to_be_bytes());
        header.extend_from_slice(&(self.id as u16).to_be_bytes());
        header.extend_from_slice(&fragmentation.to_be_bytes());
        header.extend_from_slice(&[64, number, 0, 0]);
        header.extend_from_slice(&source);
        header.extend_from_slice(&destination);
        header.extend_from_slice(&self.options);
        let checksum = Sum::of(&header).checksum();
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        [self.link_header(0x0800), header, payload.to_vec()].concat()
    }

    fn v6_packet(&self, number: u8, fragment_header: Option<&[u8]>, payload: &[u8]) -> Vec<u8> {
        let Path::V6(source, destination) = self.path else { return Vec::new() };
        let mut chain = self.extensions.clone();
        chain.extend(fragment_header.map(|header| (FRAGMENT_HEADER, header.to_vec())));
        let mut numbers: Vec<u8> = chain.iter().map(|(number, _)| *number).collect();
        numbers.push(number);
        for ((_, header), next) in chain.iter_mut().zip(&numbers[1..]) {
            header[0] = *next;
        }
        let extensions: Vec<u8> = chain.into_iter().flat_map(|(_, header)| header).collect();
        let mut header = vec![0x60, 0, 0, 0];
        header.extend_from_slice(&((extensions.len() + payload.len()) as u16).to_be_bytes());
        header.extend_from_slice(&[numbers[0], 64]);
        header.extend_from_slice(&source);
        header.extend_from_slice(&destination);
        [self.link_header(0x86dd), header, extensions, payload.to_vec()].concat()
    }
}
