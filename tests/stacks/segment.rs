//! A packet's TCP header as smoltcp reads it: what the harness knows of a packet comes from here, never from
//! the parser of the project under test.

use std::fmt;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpOption, TcpPacket, TcpRepr};

/// A TCP header, and how much comes behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) seq: u32,
    pub(crate) ack: Option<u32>,
    pub(crate) window: u16,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    /// The payload in bytes.
    pub(crate) payload: u32,
    /// The window scale that a SYN offers.
    pub(crate) scale: Option<u8>,
}

impl Seen {
    /// How much of the sequence space it takes.
    pub(crate) fn length(&self) -> u32 {
        self.payload + u32::from(self.syn) + u32::from(self.fin)
    }

    /// The sequence number behind it.
    pub(crate) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.length())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [(self.syn, "SYN "), (self.fin, "FIN "), (self.rst, "RST ")];
        for (on, name) in flags {
            f.write_str(if on { name } else { "" })?;
        }
        write!(f, "seq {}", self.seq)?;
        if self.length() > 0 {
            write!(f, "..{}", self.end())?;
        }
        if let Some(ack) = self.ack {
            write!(f, " ack {ack}")?;
        }
        write!(f, " win {}", self.window)
    }
}

/// The TCP segment in an IP packet that is known to be whole.
pub(crate) fn read(packet: &[u8]) -> Seen {
    let start = if packet[0] >> 4 == 4 { usize::from(packet[0] & 15) * 4 } else { 40 };
    let tcp = TcpPacket::new_unchecked(&packet[start..]);
    Seen {
        seq: tcp.seq_number().0 as u32,
        ack: tcp.ack().then(|| tcp.ack_number().0 as u32),
        window: tcp.window_len(),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: (packet.len() - start - usize::from(tcp.header_len())) as u32,
        scale: if tcp.syn() { offered_scale(tcp.options()) } else { None },
    }
}

fn offered_scale(mut options: &[u8]) -> Option<u8> {
    while !options.is_empty()
        && let Ok((rest, option)) = TcpOption::parse(options)
    {
        match option {
            TcpOption::WindowScale(scale) => return Some(scale),
            TcpOption::EndOfList => return None,
            TcpOption::NoOperation
            | TcpOption::MaxSegmentSize(_)
            | TcpOption::SackPermitted
            | TcpOption::SackRange(_)
            | TcpOption::TimeStamp { .. }
            | TcpOption::Unknown { .. } => options = rest,
        }
    }
    None
}

/// Whether smoltcp, with every checksum verified, takes a damaged packet for a TCP segment all the same.
pub(crate) fn is_sound(packet: &[u8]) -> bool {
    let checks = ChecksumCapabilities::default();
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => Ipv4Packet::new_checked(packet).is_ok_and(|ip| {
            let ends = (IpAddress::Ipv4(ip.src_addr()), IpAddress::Ipv4(ip.dst_addr()));
            ip.verify_checksum()
                && ip.next_header() == IpProtocol::Tcp
                && is_sound_tcp(ip.payload(), ends, &checks)
        }),
        Some(6) => Ipv6Packet::new_checked(packet).is_ok_and(|ip| {
            let ends = (IpAddress::Ipv6(ip.src_addr()), IpAddress::Ipv6(ip.dst_addr()));
            ip.next_header() == IpProtocol::Tcp && is_sound_tcp(ip.payload(), ends, &checks)
        }),
        _ => false,
    }
}

fn is_sound_tcp(bytes: &[u8], ends: (IpAddress, IpAddress), checks: &ChecksumCapabilities) -> bool {
    TcpPacket::new_checked(bytes).is_ok_and(|tcp| TcpRepr::parse(&tcp, &ends.0, &ends.1, checks).is_ok())
}

/// Whether the checksum of a TCP segment is that of its pseudo-header alone, as a sender leaves it to hardware that
/// completes it: the project lets that count as right, and damage hits it once in 65,536 times.
pub(crate) fn is_partial(packet: &[u8]) -> bool {
    let (start, addresses) =
        if packet[0] >> 4 == 4 { (usize::from(packet[0] & 15) * 4, 12..20) } else { (40, 8..40) };
    let (Some(addresses), Some(field)) = (packet.get(addresses), packet.get(start + 16..start + 18)) else {
        return false;
    };
    let words = addresses.chunks(2).map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum = words.sum::<u64>() + 6 + (packet.len() - start) as u64;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == u64::from(u16::from_be_bytes([field[0], field[1]]))
}

/// Whether `a` lies before `b`, modulo 2^32 (RFC 9293 section 3.4).
pub(crate) fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether an IP packet, damaged or not, says that it carries TCP.
pub(crate) fn claims_tcp(packet: &[u8]) -> bool {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => packet.get(9) == Some(&6),
        Some(6) => packet.get(6) == Some(&6),
        _ => false,
    }
}
