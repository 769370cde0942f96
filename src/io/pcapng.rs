//! The pcapng format: a sequence of blocks, in sections that each have their byte order and their interfaces.
//!
//! ```text
//!  Section Header ─ Interface Description 0, 1, … ─ Packet │ Packet │ other │ … ─ Section Header ─ …
//!  block: type │ length │ body, padded to 4 bytes │ length again
//! ```
//!
//! Laid down in draft-ietf-opsawg-pcapng. A block that carries no packet and describes no interface is
//! skipped as it streams by, however long it is; only its trailing length is checked.

use super::error::{Damage, ErrorKind};
use super::link;
use super::order::Order;
use super::record::{Awaited, MAX_PACKET, Record, Step, Timestamp};
use crate::wire::Link;

/// The type of a Section Header Block, a palindrome: it reads the same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// What a section's byte-order field holds, in its own order.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Type and length: where a block's body begins.
const BLOCK_HEADER: usize = 8;
/// A block without a body: type and both lengths.
const EMPTY_BLOCK: u32 = 12;
/// The longest block that is held as a whole: the longest packet and ample options.
const MAX_BLOCK: u32 = MAX_PACKET + (1 << 20);
/// The most interfaces of a section: a file of nothing but descriptions must not fill the memory.
const MAX_INTERFACES: usize = 1 << 16;

const OPTION_END: u16 = 0;
const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

/// How an interface's time units become nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// 10^-9 s or coarser: nanoseconds per unit.
    Multiply(u64),
    /// Finer than 10^-9 s: units per nanosecond.
    Divide(u64),
    /// 2^-n s.
    Shift(u8),
    /// So fine that 64 bits of units are less than a nanosecond.
    Zero,
}

impl Scale {
    /// The default of the format: microseconds.
    const MICROSECONDS: Scale = Scale::Multiply(1_000);

    /// Reads `if_tsresol`: a negative power of 10, or of 2 where the highest bit is set.
    fn from_option(resolution: u8) -> Scale {
        if resolution & 0x80 != 0 {
            return Scale::Shift(resolution & 0x7f);
        }
        match resolution {
            0..=9 => Scale::Multiply(10_u64.pow(u32::from(9 - resolution))),
            10..=28 => Scale::Divide(10_u64.pow(u32::from(resolution - 9))),
            29.. => Scale::Zero,
        }
    }

    #[inline]
    fn nanoseconds(self, units: u64) -> i128 {
        match self {
            Scale::Multiply(factor) => i128::from(units) * i128::from(factor),
            Scale::Divide(divisor) => i128::from(units / divisor),
            // Below 2^94 before the shift: no overflow.
            Scale::Shift(bits) => (i128::from(units) * 1_000_000_000) >> bits,
            Scale::Zero => 0,
        }
    }
}

/// What an Interface Description Block says.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link_number: u16,
    /// `None` where the engine cannot parse it, which matters once a packet comes.
    link: Option<Link>,
    /// 0 where there is none.
    snap_length: u32,
    scale: Scale,
    /// What `if_tsoffset` adds, in nanoseconds.
    offset: i128,
}

/// The decoder's state: that of the section it is in.
#[derive(Debug)]
pub(super) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
    /// What a Simple Packet Block, which has no time of its own, is given.
    last_time: Timestamp,
    /// The length of a skipped block whose trailing length comes next.
    trailer: Option<u32>,
}

impl Pcapng {
    /// The state before the first Section Header Block.
    pub(super) fn new() -> Pcapng {
        Pcapng {
            order: Order::Little,
            interfaces: Vec::new(),
            last_time: Timestamp::from_nanoseconds(0),
            trailer: None,
        }
    }

    /// Whether the block that `bytes` begins with carries a packet, for a message.
    pub(super) fn waits_for(&self, bytes: &[u8]) -> Awaited {
        match self.trailer {
            None => self.order.u32(bytes, 0).map_or(Awaited::Block, awaited),
            Some(_) => Awaited::Block,
        }
    }

    /// Decodes the block that `bytes` begins with; `packet` is the number that a packet here would have.
    pub(super) fn step(&mut self, bytes: &[u8], packet: u64) -> Result<Step, Wrong> {
        if let Some(leading) = self.trailer {
            return self.finish_skipped(bytes, leading);
        }
        let short = |needed, what| Ok(Step::Short { needed, what });
        let Some(kind) = self.order.u32(bytes, 0) else { return short(BLOCK_HEADER, Awaited::Block) };
        if kind == SECTION_HEADER {
            let Some(magic) = Order::Little.u32(bytes, 8) else {
                return short(EMPTY_BLOCK as usize, Awaited::Block);
            };
            self.order = match magic {
                BYTE_ORDER => Order::Little,
                _ if magic.swap_bytes() == BYTE_ORDER => Order::Big,
                _ => return Err(Damage::ByteOrder { found: magic }.into()),
            };
        }
        let what = awaited(kind);
        let Some(length) = self.order.u32(bytes, 4) else { return short(BLOCK_HEADER, what) };
        if length < EMPTY_BLOCK || length % 4 != 0 {
            return Err(Damage::BlockLength { length }.into());
        }
        let held = what == Awaited::Packet || matches!(kind, SECTION_HEADER | INTERFACE_DESCRIPTION);
        if !held {
            self.trailer = Some(length);
            return Ok(Step::Skip { length: u64::from(length) - 4, ends: false });
        }
        if length > MAX_BLOCK {
            return Err(Damage::BlockLength { length }.into());
        }
        let Some(block) = bytes.get(..length as usize) else { return short(length as usize, what) };
        let (head, trailing) = block.split_at(block.len() - 4);
        self.check_trailing(length, trailing)?;
        self.block(kind, head, packet)
    }

    /// Reads the trailing length of a block whose body was skipped.
    fn finish_skipped(&mut self, bytes: &[u8], leading: u32) -> Result<Step, Wrong> {
        let Some(trailing) = bytes.get(..4) else {
            return Ok(Step::Short { needed: 4, what: Awaited::Block });
        };
        self.check_trailing(leading, trailing)?;
        self.trailer = None;
        Ok(Step::Skip { length: 4, ends: true })
    }

    #[inline]
    fn check_trailing(&self, leading: u32, trailing: &[u8]) -> Result<(), Damage> {
        match self.order.u32(trailing, 0) {
            Some(trailing) if trailing == leading => Ok(()),
            Some(trailing) => Err(Damage::TrailingLength { leading, trailing }),
            None => Err(Damage::BlockLength { length: leading }),
        }
    }

    /// Decodes a whole block; `head` is all of it but the trailing length.
    #[inline]
    fn block(&mut self, kind: u32, head: &[u8], packet: u64) -> Result<Step, Wrong> {
        let length = head.len() + 4;
        let too_short = Damage::BlockLength { length: length as u32 };
        let record = match kind {
            ENHANCED_PACKET => self.enhanced(head, packet, too_short)?,
            OBSOLETE_PACKET => self.obsolete(head, packet, too_short)?,
            SIMPLE_PACKET => self.simple(head, packet, too_short)?,
            SECTION_HEADER => {
                self.section(head, too_short)?;
                return Ok(Step::Skip { length: length as u64, ends: true });
            }
            _ => {
                self.describe_interface(head, too_short)?;
                return Ok(Step::Skip { length: length as u64, ends: true });
            }
        };
        self.last_time = record.time;
        Ok(Step::Packet { record, length })
    }

    fn section(&mut self, head: &[u8], too_short: Damage) -> Result<(), Wrong> {
        let major = self.order.u16(head, 12).ok_or(too_short)?;
        let minor = self.order.u16(head, 14).ok_or(too_short)?;
        // The section's length, 8 bytes that may be -1, is not needed: sections end where the next one begins.
        if head.len() < 24 {
            return Err(too_short.into());
        }
        if major != 1 {
            return Err(Wrong::Unsupported(ErrorKind::Version { format: "pcapng", major, minor }));
        }
        self.interfaces.clear();
        Ok(())
    }

    fn describe_interface(&mut self, head: &[u8], too_short: Damage) -> Result<(), Wrong> {
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Damage::TooManyInterfaces { limit: MAX_INTERFACES as u32 }.into());
        }
        let link_number = self.order.u16(head, 8).ok_or(too_short)?;
        let snap_length = self.order.u32(head, 12).ok_or(too_short)?;
        let mut interface = Interface {
            link_number,
            link: link::from_number(link_number),
            snap_length,
            scale: Scale::MICROSECONDS,
            offset: 0,
        };
        self.interface_options(head.get(16..).unwrap_or(&[]), &mut interface)?;
        self.interfaces.push(interface);
        Ok(())
    }

    /// Walks an interface's options: code, length, value padded to 4 bytes; the end mark may be missing.
    fn interface_options(&self, mut options: &[u8], interface: &mut Interface) -> Result<(), Damage> {
        while !options.is_empty() {
            let (Some(code), Some(length)) = (self.order.u16(options, 0), self.order.u16(options, 2)) else {
                return Err(Damage::Option { code: OPTION_END });
            };
            if code == OPTION_END {
                return Ok(());
            }
            let damage = Damage::Option { code };
            let length = usize::from(length);
            let value = options.get(4..4 + length).ok_or(damage)?;
            match (code, value) {
                (OPTION_TIME_RESOLUTION, [resolution]) => interface.scale = Scale::from_option(*resolution),
                (OPTION_TIME_OFFSET, [_, _, _, _, _, _, _, _]) => {
                    let seconds = self.order.i64(value, 0).ok_or(damage)?;
                    interface.offset = i128::from(seconds) * 1_000_000_000;
                }
                // A wrong length would make every time of this interface a wrong one.
                (OPTION_TIME_RESOLUTION | OPTION_TIME_OFFSET, _) => return Err(damage),
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).ok_or(damage)?;
        }
        Ok(())
    }

    /// Interface, time (two halves), captured length, wire length, bytes, options.
    #[inline]
    fn enhanced(&self, head: &[u8], packet: u64, too_short: Damage) -> Result<Record, Wrong> {
        let interface = self.order.u32(head, 8).ok_or(too_short)?;
        self.timed(head, interface, packet, too_short)
    }

    /// As the enhanced one, but the interface shares its field with a count of drops.
    fn obsolete(&self, head: &[u8], packet: u64, too_short: Damage) -> Result<Record, Wrong> {
        let interface = self.order.u16(head, 8).ok_or(too_short)?;
        self.timed(head, u32::from(interface), packet, too_short)
    }

    #[inline]
    fn timed(&self, head: &[u8], number: u32, packet: u64, too_short: Damage) -> Result<Record, Wrong> {
        let field = |at| self.order.u32(head, at).ok_or(too_short);
        let units = u64::from(field(12)?) << 32 | u64::from(field(16)?);
        let (captured, stated) = (field(20)?, field(24)?);
        let (interface, link) = self.interface(number, packet)?;
        let room = head.len() - 28;
        if captured as usize > room {
            return Err(Damage::CapturedPastBlock { length: captured, room: room as u32 }.into());
        }
        Ok(Record {
            time: Timestamp::from_nanoseconds(interface.scale.nanoseconds(units) + interface.offset),
            link,
            start: 28,
            captured: captured as usize,
            wire_length: captured.max(stated) as usize,
        })
    }

    /// Wire length and bytes; what was captured follows from the first interface's snap length.
    fn simple(&self, head: &[u8], packet: u64, too_short: Damage) -> Result<Record, Wrong> {
        let stated = self.order.u32(head, 8).ok_or(too_short)?;
        let (interface, link) = self.interface(0, packet)?;
        let captured = match interface.snap_length {
            0 => stated,
            snap_length => stated.min(snap_length),
        };
        let room = head.len() - 12;
        if captured as usize > room {
            return Err(Damage::CapturedPastBlock { length: captured, room: room as u32 }.into());
        }
        Ok(Record {
            time: self.last_time,
            link,
            start: 12,
            captured: captured as usize,
            wire_length: stated as usize,
        })
    }

    #[inline]
    fn interface(&self, number: u32, packet: u64) -> Result<(&Interface, Link), Wrong> {
        let Some(interface) = self.interfaces.get(number as usize) else {
            let described = self.interfaces.len() as u32;
            return Err(Damage::NoInterface { number, described }.into());
        };
        let Some(link) = interface.link else {
            return Err(Wrong::Unsupported(ErrorKind::UnknownLink {
                number: interface.link_number,
                interface: Some(number),
                packet: Some(packet),
            }));
        };
        Ok((interface, link))
    }
}

/// What a block of this type brings.
fn awaited(kind: u32) -> Awaited {
    match kind {
        ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET => Awaited::Packet,
        _ => Awaited::Block,
    }
}

/// Why a block could not be decoded.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It contradicts itself; the capture adds where.
    Damage(Damage),
    /// It is sound, but not for us.
    Unsupported(ErrorKind),
}

impl From<Damage> for Wrong {
    fn from(damage: Damage) -> Wrong {
        Wrong::Damage(damage)
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn time_units_from_whole_seconds_to_attoseconds_and_powers_of_two() {
        assert_eq!(Scale::from_option(0).nanoseconds(3), 3_000_000_000);
        assert_eq!(Scale::from_option(6).nanoseconds(3), 3_000);
        assert_eq!(Scale::from_option(9).nanoseconds(3), 3);
        assert_eq!(Scale::from_option(12).nanoseconds(3_999), 3);
        assert_eq!(Scale::from_option(28).nanoseconds(u64::MAX), 1);
        assert_eq!(Scale::from_option(29).nanoseconds(u64::MAX), 0);
        assert_eq!(Scale::from_option(127).nanoseconds(u64::MAX), 0);
        assert_eq!(Scale::from_option(0x80).nanoseconds(3), 3_000_000_000);
        assert_eq!(Scale::from_option(0x80 | 10).nanoseconds(1_536), 1_500_000_000);
        assert_eq!(Scale::from_option(0xff).nanoseconds(u64::MAX), 0);
    }

    #[test]
    fn the_largest_time_of_the_coarsest_unit_does_not_overflow() {
        assert_eq!(Scale::from_option(0).nanoseconds(u64::MAX), i128::from(u64::MAX) * 1_000_000_000);
        assert_eq!(Scale::from_option(0x80).nanoseconds(u64::MAX), i128::from(u64::MAX) * 1_000_000_000);
    }
}
