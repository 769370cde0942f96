//! The bytes of what is sent: right lengths and checksums, but for what a row spoils on purpose.

use std::net::IpAddr;

use super::packet::{Content, Damage, Envelope, Report, Segment, Sent};
use super::{Endpoint, Side};
use crate::io::record::{Batch, Record, Timestamp};
use crate::wire::build::{Builder, Tcp};
use crate::wire::{Link, Ports, Seq, checksum, protocol};

/// The length of an Ethernet header, and of each VLAN tag behind it.
const ETHERNET: usize = 14;
const VLAN_TAG: usize = 4;
/// How much of an IPv4 packet an ICMP error quotes: its header and eight bytes (RFC 792).
const QUOTE_V4: usize = 28;
/// The most that fits into an ICMPv6 error: 1280 bytes without its own headers (RFC 4443 section 2.4).
const QUOTE_V6: usize = 1280 - 48;

/// One packet of a scenario, as the engine takes it.
#[derive(Debug, Clone)]
pub struct MadePacket {
    number: u64,
    bytes: Vec<u8>,
    record: Record,
}

impl MadePacket {
    pub(super) fn new(number: u64, time: Timestamp, bytes: Vec<u8>, snap: Option<usize>) -> MadePacket {
        let captured = snap.unwrap_or(bytes.len()).min(bytes.len());
        let record = Record { time, link: Link::Ethernet, start: 0, captured, wire_length: bytes.len() };
        MadePacket { number, bytes, record }
    }

    /// The packet as a batch of one.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(&self.bytes, std::slice::from_ref(&self.record), self.number)
    }
}

/// The frame of a row.
pub(super) fn make(endpoints: &[Endpoint], sent: &Sent) -> Vec<u8> {
    let path = Path::new(endpoints, sent.from, sent.to).within(&sent.envelope);
    let (number, at, mut upper) = path.upper(endpoints, &sent.content);
    if let (Damage { checksum: true, .. }, Some(field)) = (sent.damage, at) {
        // Neither the right sum nor, as a change of a single bit of each byte, the other spelling of zero.
        upper.get_mut(field..field + 2).into_iter().flatten().for_each(|byte| *byte ^= 1);
    }
    let piece = sent.envelope.fragment.map(|(from, to)| usize::from(from)..usize::from(to));
    let mut frame = match piece.and_then(|piece| Some((piece.clone(), upper.get(piece)?))) {
        Some((piece, bytes)) => {
            path.builder.fragment(number, piece.start as u32, piece.end < upper.len(), bytes)
        }
        None => path.builder.packet(number, &upper),
    };
    if sent.damage.ip_checksum && !path.is_v6 {
        let header = ETHERNET + VLAN_TAG * sent.envelope.vlans.len();
        frame.iter_mut().skip(header + 10).take(2).for_each(|byte| *byte ^= 1);
    }
    frame
}

/// From one endpoint to another.
struct Path {
    builder: Builder,
    ports: Ports,
    is_v6: bool,
}

impl Path {
    fn new(endpoints: &[Endpoint], from: Side, to: Side) -> Path {
        let [from, to] = [from, to].map(|side| endpoints.get(side.0));
        let [source, destination] = [from, to].map(|endpoint| endpoint.map_or(0, |endpoint| endpoint.port));
        let addresses = [from, to].map(|endpoint| endpoint.map(|endpoint| endpoint.address));
        let (builder, is_v6) = match addresses {
            [Some(IpAddr::V6(from)), Some(IpAddr::V6(to))] => (Builder::v6(from.octets(), to.octets()), true),
            // Reading has made sure that both are of one version.
            [from, to] => {
                let octets = |address| match address {
                    Some(IpAddr::V4(address)) => address.octets(),
                    Some(IpAddr::V6(_)) | None => [0; 4],
                };
                (Builder::v4(octets(from), octets(to)), false)
            }
        };
        Path { builder, ports: Ports { source, destination }, is_v6 }
    }

    /// The same with what a row has put around its packet.
    fn within(mut self, envelope: &Envelope) -> Path {
        let tagged = envelope.vlans.iter().fold(self.builder, |builder, &id| builder.vlan(id));
        self.builder = tagged.id(u32::from(envelope.id)).options(&envelope.options);
        self
    }

    /// What lies in the IP packet: its protocol's number, where its checksum stands, and its bytes.
    fn upper(&self, endpoints: &[Endpoint], content: &Content) -> (u8, Option<usize>, Vec<u8>) {
        let icmp = if self.is_v6 { protocol::ICMPV6 } else { protocol::ICMP };
        let payload = |length: u16| vec![b'.'; usize::from(length)];
        match content {
            Content::Tcp(segment) => (protocol::TCP, Some(16), self.segment(segment)),
            Content::Udp { length } => {
                (protocol::UDP, Some(6), self.builder.udp_datagram(self.ports, &payload(*length)))
            }
            Content::Echo { is_reply, id, length } => {
                let icmp_type = match (self.is_v6, is_reply) {
                    (false, false) => 8,
                    (false, true) => 0,
                    (true, false) => 128,
                    (true, true) => 129,
                };
                let [high, low] = id.to_be_bytes();
                let message = self.builder.icmp_message(icmp_type, 0, [high, low, 0, 1], &payload(*length));
                (icmp, Some(2), message)
            }
            Content::Other { protocol, length } => (*protocol, None, payload(*length)),
            Content::Error(report) => {
                let [high, low] = report.mtu.to_be_bytes();
                let quote = quote(endpoints, report);
                let message =
                    self.builder.icmp_message(report.icmp_type, report.code, [0, 0, high, low], &quote);
                (icmp, Some(2), message)
            }
        }
    }

    fn segment(&self, segment: &Segment) -> Vec<u8> {
        let tcp = Tcp {
            ports: self.ports,
            seq: Seq(segment.seq),
            ack: Seq(segment.ack),
            flags: segment.flags,
            window: segment.window,
            options: segment.options.clone(),
        };
        let mut bytes = self.builder.tcp_segment(&tcp, &vec![b'.'; usize::from(segment.length)]);
        if let Some([first, second, high, low]) = bytes.get_mut(16..20) {
            let old = u16::from_be_bytes([*first, *second]);
            [*first, *second] = checksum::update16(old, 0, segment.urgent).to_be_bytes();
            [*high, *low] = segment.urgent.to_be_bytes();
        }
        bytes
    }
}

/// The beginning of the packet that an error is about.
fn quote(endpoints: &[Endpoint], report: &Report) -> Vec<u8> {
    let mut path = Path::new(endpoints, report.from, report.to);
    path.builder = path.builder.link(Link::RawIp);
    let (number, _, upper) = path.upper(endpoints, &report.quoted);
    let mut packet = path.builder.packet(number, &upper);
    let usual = if path.is_v6 { QUOTE_V6 } else { QUOTE_V4 };
    packet.truncate(report.keep.map_or(usual, usize::from));
    packet
}
