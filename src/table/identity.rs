//! The two words by which a packet and its connection know each other.
//!
//! ```text
//!  addresses       0 … 31 of a │ 32 … 63 of b                    (IPv6: folds of them)
//!  ports, kind     0 … 15 port of a │ 16 … 31 port of b │ 32 … 39 protocol │ 40 … 47 flags │ 48 … 63 zone
//! ```
//!
//! In a connection `a` is the originator and `b` the responder; in a [`Key`](super::Key), `a` is the packet's source
//! and `b` its destination. A packet of the reply direction has them the other way round: both words are turned by
//! rotation, not by a branch.

use super::connection::Sense;

/// Flag of the kind: the place holds a connection.
const LIVE: u64 = 1 << 40;
/// Flag of the kind: its addresses are IPv6.
const V6: u64 = 1 << 41;
/// Flag of what stands for no connection at all.
const NOBODY: u64 = 1 << 42;

/// The two words that a lookup compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) addresses: u64,
    pub(super) ports_and_kind: u64,
}

impl Identity {
    /// What neither a packet nor a place bears.
    pub(super) const NOBODYS: Identity = Identity { addresses: 0, ports_and_kind: NOBODY };

    /// What a live connection bears whose originator is `source` and responder `destination`, each an IPv4 address
    /// (or a fold) and a port.
    #[inline(always)]
    pub(super) const fn new(
        source: (u32, u16),
        destination: (u32, u16),
        protocol: u8,
        zone: u16,
        is_v6: bool,
    ) -> Identity {
        Identity {
            addresses: source.0 as u64 | (destination.0 as u64) << 32,
            ports_and_kind: source.1 as u64
                | (destination.1 as u64) << 16
                | (protocol as u64) << 32
                | LIVE
                | if is_v6 { V6 } else { 0 }
                | (zone as u64) << 48,
        }
    }

    /// The two endpoints, 48 bits each: address and port. The same for both directions if taken as a pair without
    /// order.
    #[inline(always)]
    pub(super) const fn endpoints(self) -> (u64, u64) {
        let source = (self.addresses & 0xffff_ffff) << 16 | self.ports_and_kind & 0xffff;
        let destination = (self.addresses >> 32) << 16 | self.ports_and_kind >> 16 & 0xffff;
        (source, destination)
    }

    /// The same with the endpoints exchanged, if the sense is backward.
    #[inline(always)]
    pub(super) fn turned(self, sense: Sense) -> Identity {
        let backward = sense as u32;
        Identity {
            addresses: self.addresses.rotate_left(32 * backward),
            ports_and_kind: (self.ports_and_kind & !0xffff_ffff)
                | u64::from((self.ports_and_kind as u32).rotate_left(16 * backward)),
        }
    }

    /// Zero if both are the same.
    #[inline(always)]
    pub(super) fn differs(self, other: Identity) -> u64 {
        (self.addresses ^ other.addresses) | (self.ports_and_kind ^ other.ports_and_kind)
    }

    /// Zero if the originators' address and port are the same.
    #[inline(always)]
    pub(super) fn differs_in_originator(self, other: Identity) -> u64 {
        u64::from((self.addresses ^ other.addresses) as u32)
            | u64::from((self.ports_and_kind ^ other.ports_and_kind) as u16)
    }

    pub(super) const fn is_live(self) -> bool {
        self.ports_and_kind & LIVE != 0
    }

    pub(super) const fn is_v6(self) -> bool {
        self.ports_and_kind & V6 != 0
    }

    pub(super) const fn protocol(self) -> u8 {
        (self.ports_and_kind >> 32) as u8
    }

    pub(super) const fn zone(self) -> u16 {
        (self.ports_and_kind >> 48) as u16
    }

    /// The originator's IPv4 address (or fold) and port.
    pub(super) const fn originator(self) -> (u32, u16) {
        (self.addresses as u32, self.ports_and_kind as u16)
    }

    /// The responder's IPv4 address (or fold) and port.
    pub(super) const fn responder(self) -> (u32, u16) {
        ((self.addresses >> 32) as u32, (self.ports_and_kind >> 16) as u16)
    }
}
