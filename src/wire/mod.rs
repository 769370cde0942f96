//! Views of frames: what a packet says, or what is wrong with it.
//!
//! One pass over the headers, no allocation, no copy: [`parse`] walks from the link layer to the transport
//! header and returns a [`Packet`] of numbers and slices into the frame. Whatever is wrong is a
//! [`Fault`]; nothing here panics, loops without progress or reads past what was captured.
//!
//! ```text
//!  Frame ─ link ─ VLAN tags ─ IPv4 │ IPv6 + extension headers ─ fragment? ─────────► Transport::Fragment
//!    │                                                        └ TCP │ UDP │ ICMP ──► Transport::{Tcp, …}
//!    └ not IP ────────────────────────────────────────────────────────────────────► Transport::Untracked
//! ```
//!
//! Two lengths matter everywhere: what the IP header *states*, and what was *captured* (a snap length may
//! have cut the frame). Statements are checked against the frame's length on the wire; a checksum is only
//! checked where every byte it covers was captured.

pub mod build;
pub mod checksum;
mod direction;
mod evidence;
mod extension;
mod glance;
mod icmp;
mod ip;
mod link;
mod options;
mod parse;
mod partial;
mod plain;
mod tcp;
#[cfg(test)]
mod tests;
mod transport;

pub use direction::Direction;
pub use evidence::{Evidence, Layer, evidence, evidence_of_datagram};
pub use glance::Glance;
pub use parse::{Datagram, parse, parse_datagram};
pub use partial::{Partial, partial_checksum};
pub use plain::Plain;
pub use tcp::{Ack, Control, Flags, Options, Segment, Seq};

/// What the frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet II or 802.3, with any number of VLAN tags.
    Ethernet,
    /// Linux cooked capture, version 1 (16 bytes).
    LinuxCooked,
    /// Linux cooked capture, version 2 (20 bytes).
    LinuxCooked2,
    /// An IP header, its version in the first four bits.
    RawIp,
}

/// A frame as it came: what was captured of it, and how long it was on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The captured bytes, from the link header on.
    pub bytes: &'a [u8],
    /// The frame's length on the wire in bytes, at least `bytes.len()`.
    pub wire_length: usize,
    /// What `bytes` begins with.
    pub link: Link,
}

impl<'a> Frame<'a> {
    /// A frame of which every byte was captured.
    pub const fn whole(bytes: &'a [u8], link: Link) -> Frame<'a> {
        Frame { bytes, wire_length: bytes.len(), link }
    }
}

/// Which checksums are verified; the `check_checksum` keys of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// The IPv4 header's.
    pub ip: bool,
    /// TCP's.
    pub tcp: bool,
    /// UDP's.
    pub udp: bool,
    /// ICMP's and ICMPv6's.
    pub icmp: bool,
}

impl Checks {
    /// Every checksum is verified: the default.
    pub const ALL: Checks = Checks { ip: true, tcp: true, udp: true, icmp: true };
    /// None is.
    pub const NONE: Checks = Checks { ip: false, tcp: false, udp: false, icmp: false };
}

/// IP protocol numbers that the engine knows by name.
pub mod protocol {
    /// ICMP, RFC 792.
    pub const ICMP: u8 = 1;
    /// TCP, RFC 9293.
    pub const TCP: u8 = 6;
    /// UDP, RFC 768.
    pub const UDP: u8 = 17;
    /// ICMPv6, RFC 4443.
    pub const ICMPV6: u8 = 58;
}

/// The addresses of an IP header, as far as one could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses<'a> {
    /// No IP header: ARP and the like, or too short.
    None,
    /// IPv4, as host-order numbers.
    V4 {
        /// The source address.
        source: u32,
        /// The destination address.
        destination: u32,
    },
    /// IPv6, where they lie in the frame.
    V6 {
        /// The source address.
        source: &'a [u8; 16],
        /// The destination address.
        destination: &'a [u8; 16],
    },
}

/// One parsed packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The IP header's addresses.
    pub addresses: Addresses<'a>,
    /// The IP packet's length in bytes as its header states it, header included; 0 without an IP header.
    pub length: u32,
    /// The upper-layer protocol: IPv4's protocol field, or what the IPv6 header chain ends with (as far as
    /// it could be walked; for a fragment, what its fragment header announces).
    pub protocol: u8,
    /// Identifier of the outermost VLAN tag, 0 without one.
    pub vlan: u16,
    /// The ports of TCP and UDP, if they could be read. They are there even for many malformed packets,
    /// so that an invalid packet can be shown beside the connection whose tuple it bears.
    pub ports: Option<Ports>,
    /// The transport header, or what is wrong.
    pub transport: Transport<'a>,
}

/// Source and destination port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The source port.
    pub source: u16,
    /// The destination port.
    pub destination: u16,
}

/// What the packet is, beyond its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport<'a> {
    /// Not tracked at all: not IP, neighbour discovery and other ICMPv6 or ICMP control.
    Untracked,
    /// Malformed, and why.
    Malformed(Fault),
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// A UDP datagram.
    Udp,
    /// An ICMP echo, timestamp, address mask, information or extended echo, request or reply.
    Query(Query),
    /// An ICMP error and what it quotes.
    Error(Quote<'a>),
    /// A fragment: to be held until its datagram is complete.
    Fragment(Fragment<'a>),
    /// Any other IP protocol: tracked by addresses alone.
    Other,
}

/// An ICMP query, by what its request and reply have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The request's ICMP type (8 echo, 13 timestamp, 15 information, 17 address mask, 42 extended echo;
    /// ICMPv6: 128 echo, 160 extended echo).
    pub kind: u8,
    /// The identifier.
    pub id: u16,
    /// Whether this is the reply.
    pub is_reply: bool,
}

/// The packet that an ICMP error quotes: somebody's words about it, its checksums not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote<'a> {
    /// The addresses of the quoted header; `None` where it was cut too short or is malformed.
    pub addresses: Addresses<'a>,
    /// Its upper-layer protocol.
    pub protocol: u8,
    /// What identifies the connection, `Unknown` where the quote is too short, a later fragment, or itself
    /// an ICMP error.
    pub transport: QuotedTransport,
}

/// What an ICMP error quotes of the transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotedTransport {
    /// Nothing usable.
    Unknown,
    /// The first eight bytes of a TCP header.
    Tcp(Ports, Seq),
    /// UDP's ports.
    Udp(Ports),
    /// An ICMP query.
    Query(Query),
    /// Another protocol: its addresses are all there is.
    Other,
}

/// One fragment of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The datagram's identification (16 bits in IPv4, 32 in IPv6).
    pub id: u32,
    /// Where `payload` belongs in the datagram's payload, in bytes (a multiple of 8).
    pub offset: u32,
    /// Whether more fragments follow.
    pub more: bool,
    /// IPv4's protocol, or the next header that IPv6's fragment header names.
    pub next_header: u8,
    /// The fragment's stated payload length in bytes.
    pub length: u32,
    /// The payload as captured: shorter than `length` where a snap length cut it.
    pub payload: &'a [u8],
}

/// Why a packet is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fault {
    /// A header reaches past the end of the packet, or of what was captured of it.
    Truncated,
    /// An IP version that contradicts the link layer, or an IPv4 header length below 20 bytes.
    BadIpHeader,
    /// A length field that contradicts another one, or the frame.
    BadLength,
    /// An IPv4 or IPv6 option, or an extension header, that is malformed.
    BadIpOption,
    /// The IPv4 header's checksum is wrong.
    BadIpChecksum,
    /// TCP's, UDP's or ICMP's checksum is wrong.
    BadChecksum,
    /// A TCP data offset below 20 bytes or past the end of the segment.
    BadOffset,
    /// A TCP option with a length below two or past the end of the header.
    BadTcpOption,
    /// An impossible combination of TCP flags.
    BadFlags,
    /// An ICMP type that is not defined.
    BadIcmpType,
    /// A fragment whose offset, length or flags are impossible.
    BadFragment,
}

impl Fault {
    /// Every fault, in the order of their numbers.
    pub const ALL: [Fault; 11] = [
        Fault::Truncated,
        Fault::BadIpHeader,
        Fault::BadLength,
        Fault::BadIpOption,
        Fault::BadIpChecksum,
        Fault::BadChecksum,
        Fault::BadOffset,
        Fault::BadTcpOption,
        Fault::BadFlags,
        Fault::BadIcmpType,
        Fault::BadFragment,
    ];

    /// The name in JSON and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Truncated => "truncated",
            Fault::BadIpHeader => "bad_ip_header",
            Fault::BadLength => "bad_length",
            Fault::BadIpOption => "bad_ip_option",
            Fault::BadIpChecksum => "bad_ip_checksum",
            Fault::BadChecksum => "bad_checksum",
            Fault::BadOffset => "bad_offset",
            Fault::BadTcpOption => "bad_tcp_option",
            Fault::BadFlags => "bad_flags",
            Fault::BadIcmpType => "bad_icmp_type",
            Fault::BadFragment => "bad_fragment",
        }
    }
}
