//! A segment on the model's wire: numbers and flags, nothing else.
//!
//! Sequence numbers are real ones of 32 bits. They are printed by where they come from: `a1+2` is two behind
//! the second initial sequence number of endpoint A.

use std::fmt;

/// One of the two endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Side {
    /// On the left of the ladders.
    A = 0,
    /// On the right.
    B = 1,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::A, Side::B];

    pub const fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }

    pub const fn index(self) -> usize {
        self as usize
    }

    /// The initial sequence number of this side's incarnation `number`. A's first one wraps around within its
    /// first two octets; B's first two octets cross the middle of the circle, where signs change.
    pub const fn initial(self, number: u8) -> u32 {
        let first: u32 = match self {
            Side::A => 0xffff_fffe,
            Side::B => 0x7fff_fffe,
        };
        first.wrapping_add(ISN_STEP * number as u32)
    }
}

/// How far apart the initial sequence numbers of a side's incarnations are: farther than any window.
pub const ISN_STEP: u32 = 1000;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// A segment between the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment {
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    /// Octets of payload.
    pub octets: u8,
    /// Not on the wire: whether its FIN had been sent before, or before its sender had received the other
    /// FIN. Only the properties look at it.
    pub old_fin: bool,
}

impl Segment {
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// How much of the sequence space it takes.
    pub const fn length(&self) -> u32 {
        self.octets as u32 + (self.flags & FIN) as u32 + (self.flags >> 1 & 1) as u32
    }

    pub const fn end(&self) -> u32 {
        self.seq.wrapping_add(self.length())
    }
}

/// Whether `left` lies before `right` on the circle.
pub const fn before(left: u32, right: u32) -> bool {
    (left.wrapping_sub(right) as i32) < 0
}

/// Whether `left` lies behind `right` on the circle.
pub const fn after(left: u32, right: u32) -> bool {
    before(right, left)
}

/// A sequence number as people read it: relative to the initial ones it can belong to.
pub struct Readable(pub u32);

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, side) in [('a', Side::A), ('b', Side::B)] {
            // One before the first: of an incarnation that nobody remembers.
            let offset = self.0.wrapping_sub(side.initial(0)).wrapping_add(ISN_STEP) as i32;
            let near = offset.rem_euclid(ISN_STEP as i32);
            let (incarnation, rest) = if near > 900 {
                (offset.div_euclid(ISN_STEP as i32) + 1, near - ISN_STEP as i32)
            } else {
                (offset.div_euclid(ISN_STEP as i32), near)
            };
            if (0..10).contains(&incarnation) {
                return write!(f, "{name}{}{rest:+}", incarnation - 1);
            }
        }
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (ACK, "ACK")];
        let set: Vec<&str> = names.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| *name).collect();
        write!(f, "{} seq {}", set.join("+"), Readable(self.seq))?;
        if self.has(ACK) {
            write!(f, " ack {}", Readable(self.ack))?;
        }
        if self.octets > 0 {
            write!(f, " +{}", self.octets)?;
        }
        Ok(())
    }
}
