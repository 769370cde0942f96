//! TCP's header (RFC 9293 section 3.1) and options.

use std::fmt;

/// A sequence number: 32 bits on a circle, compared by the shorter way round (RFC 9293 section 3.4).
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// `self + count`, on the circle.
    pub const fn plus(self, count: u32) -> Seq {
        Seq(self.0.wrapping_add(count))
    }

    /// `self - count`, on the circle.
    pub const fn minus(self, count: u32) -> Seq {
        Seq(self.0.wrapping_sub(count))
    }

    /// How far this number lies beyond `origin`, on the circle.
    pub const fn offset_from(self, origin: Seq) -> u32 {
        self.0.wrapping_sub(origin.0)
    }

    /// Whether this number lies before `other`.
    pub const fn is_before(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this number lies behind `other`.
    pub const fn is_after(self, other: Seq) -> bool {
        other.is_before(self)
    }

    /// The later of the two.
    pub const fn max(self, other: Seq) -> Seq {
        if self.is_before(other) { other } else { self }
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The control bits, in their places of the header's 14th byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgement field counts.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer counts.
    pub const URG: Flags = Flags(0x20);

    /// Both sets together.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether every flag of `other` is set here.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A TCP segment's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The sequence number of the first byte, or of the SYN.
    pub seq: Seq,
    /// The acknowledgement number; counts only with [`Flags::ACK`].
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field, not scaled.
    pub window: u16,
    /// Bytes of payload, as the IP header states the length.
    pub payload: u32,
    /// The options, as captured.
    pub options: Options<'a>,
}

impl Segment<'_> {
    /// How much of the sequence space the segment takes: payload, and one each for SYN and FIN.
    pub const fn length(&self) -> u32 {
        self.payload + (self.flags.0 & 1) as u32 + (self.flags.0 >> 1 & 1) as u32
    }

    /// The sequence number after the segment's last.
    pub const fn end(&self) -> Seq {
        self.seq.plus(self.length())
    }
}

/// The option bytes of a TCP header, whose structure [`super::parse`] has checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a>(pub &'a [u8]);
