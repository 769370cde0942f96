//! The pcap format: one header for the file, 16 bytes before each packet.
//!
//! ```text
//!  file    magic │ version │ zone, accuracy (unused) │ snap length │ link type       24 bytes
//!  packet  seconds │ micro- or nanoseconds │ captured length │ wire length │ bytes…  16 + captured
//! ```
//!
//! Laid down in draft-ietf-opsawg-pcap. The magic tells the byte order and the unit of time. The upper 16 bits
//! of the link-type field tell of a frame check sequence; they are ignored, since the IP header says
//! where a packet ends.

use super::error::{Damage, ErrorKind};
use super::link;
use super::order::Order;
use super::record::{Awaited, MAX_PACKET, Record, Step, Timestamp};
use crate::wire::Link;

/// The length of the file's header in bytes.
pub(super) const HEADER: usize = 24;
/// The length of the header before each packet in bytes.
const RECORD_HEADER: usize = 16;
/// What readers have always accepted, whatever snap length the file's header states: writers got that wrong.
pub(super) const USUAL_SNAP_LENGTH: u32 = 256 << 10;

/// The magic of microsecond pcap, in the order of the writer.
pub(super) const MICROSECOND: u32 = 0xa1b2_c3d4;
/// The magic of nanosecond pcap.
pub(super) const NANOSECOND: u32 = 0xa1b2_3c4d;

/// What the file's header says about its packets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pcap {
    order: Order,
    link: Link,
    /// How many nanoseconds the second field of a time counts.
    unit: u32,
    /// The longest captured length that is believed.
    limit: u32,
}

/// The byte order and the unit of time in nanoseconds that a pcap file's first four bytes tell.
pub(super) fn recognise(magic: [u8; 4]) -> Option<(Order, u32)> {
    match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
        (MICROSECOND, _) => Some((Order::Little, 1_000)),
        (NANOSECOND, _) => Some((Order::Little, 1)),
        (_, MICROSECOND) => Some((Order::Big, 1_000)),
        (_, NANOSECOND) => Some((Order::Big, 1)),
        _ => None,
    }
}

impl Pcap {
    /// Reads the file's header.
    ///
    /// # Errors
    /// Another version, or a link type that the engine cannot parse.
    pub(super) fn new(order: Order, unit: u32, header: &[u8; HEADER]) -> Result<Pcap, ErrorKind> {
        // The header's length is in its type: no field is missing.
        let u16 = |at| order.u16(header, at).unwrap_or(0);
        let u32 = |at| order.u32(header, at).unwrap_or(0);
        let (major, minor) = (u16(4), u16(6));
        // Before 2.3 the two lengths of a packet stood the other way round.
        if major != 2 || minor < 3 {
            return Err(ErrorKind::Version { format: "pcap", major, minor });
        }
        // The lower half: above it are the bits of the frame check sequence.
        let number = u32(20) as u16;
        let Some(link) = link::from_number(number) else {
            return Err(ErrorKind::UnknownLink { number, interface: None, packet: None });
        };
        let limit = u32(16).clamp(USUAL_SNAP_LENGTH, MAX_PACKET);
        Ok(Pcap { order, link, unit, limit })
    }

    /// Decodes the record that `bytes` begins with.
    #[inline]
    pub(super) fn step(&self, bytes: &[u8]) -> Result<Step, Damage> {
        let Some(header) = bytes.first_chunk::<RECORD_HEADER>() else {
            return Ok(Step::Short { needed: RECORD_HEADER, what: Awaited::Packet });
        };
        let field = |at| self.order.u32(header, at).unwrap_or(0);
        let captured = field(8);
        if captured > self.limit {
            return Err(Damage::CapturedLength { length: captured, limit: self.limit });
        }
        let captured = captured as usize;
        let length = RECORD_HEADER + captured;
        if bytes.len() < length {
            return Ok(Step::Short { needed: length, what: Awaited::Packet });
        }
        // Seconds are unsigned, so that files reach to 2106. The fraction may exceed a second: it is added.
        let nanoseconds = u64::from(field(0)) * 1_000_000_000 + u64::from(field(4)) * u64::from(self.unit);
        let record = Record {
            time: Timestamp::from_nanoseconds(i128::from(nanoseconds)),
            link: self.link,
            start: RECORD_HEADER,
            captured,
            wire_length: captured.max(field(12) as usize),
        };
        Ok(Step::Packet { record, length })
    }
}
