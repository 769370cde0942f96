//! What a frame on the cable is, read by a few lines of its own: the tracker's parser is among what is tried.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;

/// A TCP segment's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    flags: u8,
    seq: u32,
    ack: u32,
    window: u16,
    /// Bytes of payload.
    length: usize,
}

/// Which segments a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    /// A SYN without ACK.
    Syn,
    SynAck,
    /// Nothing but an acknowledgement.
    Ack,
    /// With payload, and without FIN.
    Data,
    Fin,
    Rst,
}

impl Kind {
    pub(super) const ALL: [Kind; 7] =
        [Kind::Any, Kind::Syn, Kind::SynAck, Kind::Ack, Kind::Data, Kind::Fin, Kind::Rst];
}

impl Segment {
    /// The segment in an Ethernet frame, if it is one.
    pub(super) fn read(frame: &[u8]) -> Option<Segment> {
        let packet = frame.get(14..)?;
        let (source, destination, protocol, header, end): (IpAddr, IpAddr, u8, usize, usize) =
            match frame[12..14] {
                [0x08, 0x00] => {
                    let fixed: &[u8; 20] = packet.first_chunk()?;
                    let address = |at| Ipv4Addr::from(<[u8; 4]>::try_from(&fixed[at..at + 4]).unwrap());
                    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
                    let header = usize::from(fixed[0] & 0xf) * 4;
                    (address(12).into(), address(16).into(), fixed[9], header, length)
                }
                [0x86, 0xdd] => {
                    let fixed: &[u8; 40] = packet.first_chunk()?;
                    let address = |at| Ipv6Addr::from(<[u8; 16]>::try_from(&fixed[at..at + 16]).unwrap());
                    let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
                    (address(8).into(), address(24).into(), fixed[6], 40, 40 + length)
                }
                _ => return None,
            };
        if protocol != 6 {
            return None;
        }
        let tcp = packet.get(header..end)?;
        let fixed: &[u8; 20] = tcp.first_chunk()?;
        let pair = |at| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let four = |at| u32::from(pair(at)) << 16 | u32::from(pair(at + 2));
        Some(Segment {
            source: SocketAddr::new(source, pair(0)),
            destination: SocketAddr::new(destination, pair(2)),
            flags: fixed[13],
            seq: four(4),
            ack: four(8),
            window: pair(14),
            length: tcp.len() - usize::from(fixed[12] >> 4) * 4,
        })
    }

    pub(super) fn is(&self, kind: Kind) -> bool {
        let kinds = self.flags & (SYN | RST | FIN);
        match kind {
            Kind::Any => true,
            Kind::Syn => kinds == SYN && self.flags & ACK == 0,
            Kind::SynAck => kinds == SYN && self.flags & ACK != 0,
            Kind::Ack => kinds == 0 && self.length == 0,
            Kind::Data => kinds == 0 && self.length > 0,
            Kind::Fin => kinds == FIN,
            Kind::Rst => kinds == RST,
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, letter) in [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (URG, 'U'), (ACK, '.')] {
            if self.flags & flag != 0 {
                write!(f, "{letter}")?;
            }
        }
        write!(f, " seq {} ack {} win {} len {}", self.seq, self.ack, self.window, self.length)
    }
}
