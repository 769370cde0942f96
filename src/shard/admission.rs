//! What may come in by a port: where connections may begin, and what becomes of invalid packets.
//!
//! ```text
//!            inside ┌──────────┐ outside
//!   SYN ──────────► │  bridge  │ ◄────────── SYN: `not_allowed`, unless `new_from` names the port
//!                   └──────────┘ ◄────────── replies, ICMP errors: belong to what began inside
//! ```
//!
//! Which connection a packet belongs to is asked first; an admission is asked only where one would begin,
//! a pick-up in mid-stream and a reused tuple included.

use super::verdict::{Action, Class, Reason, Refusal, Verdict};
use crate::flow;
use crate::tcp;
use crate::wire::{Addresses, Direction, Link, Packet, Ports, Transport, protocol};

/// What one port's packets may do. The embedding works it out once for each port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Whether connections may begin at this port.
    pub may_begin: bool,
    /// Whether they may at the port opposite: a SYN-ACK can begin a connection of whom it answers.
    pub may_begin_opposite: bool,
    /// Whether multicast, broadcast and DHCP may begin here even so (`multicast = "pass"`).
    pub multicast_passes: bool,
    /// Whether what is invalid by itself is let through (`on_invalid = "pass"`).
    pub invalid_passes: bool,
    /// Which of its zone's ports it is, 0 or 1.
    pub side: u8,
}

impl Admission {
    /// Everything may begin anywhere, and what is invalid is dropped: a replay.
    pub const ANY: Admission = Admission {
        may_begin: true,
        may_begin_opposite: true,
        multicast_passes: true,
        invalid_passes: false,
        side: 0,
    };

    /// Whether each direction of a connection has its port: where connections may begin at one port only, what
    /// comes in there was sent there. Where they may begin at both, a host may be reached through either, and a
    /// packet may even pass twice, on its way to a router and back.
    #[inline(always)]
    pub(super) const fn is_bound(&self) -> bool {
        self.may_begin != self.may_begin_opposite
    }

    /// At which side the originator is of a connection whose packet comes in here in `direction`.
    #[inline(always)]
    pub(super) const fn origin(&self, direction: Direction) -> u8 {
        self.side ^ direction as u8
    }

    /// Whether a segment may begin a connection of which it travels in `direction`: TCP never goes to many.
    #[inline]
    pub(super) const fn allows_segment(self, direction: Direction) -> bool {
        match direction {
            Direction::Original => self.may_begin,
            Direction::Reply => self.may_begin_opposite,
        }
    }

    /// Whether `packet`, which is no segment, may begin a connection of which it travels in `direction`.
    #[inline]
    pub(super) fn allows(self, packet: &Packet<'_>, is_broadcast: bool, direction: Direction) -> bool {
        self.allows_segment(direction) || (self.multicast_passes && is_for_many(packet, is_broadcast))
    }

    /// The verdict where what is invalid by itself passes; what a policy refused is dropped all the same.
    ///
    /// Where connections may not begin, only what bears a live connection's tuple passes. Else an outsider
    /// could open one with segments that the tracker finds invalid and an endpoint does not.
    #[inline]
    pub(super) const fn relax(self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict { action: Action::Drop, class: Class::Invalid, reason: Some(reason), .. }
                if self.invalid_passes
                    && (self.may_begin || verdict.subject.is_some())
                    && !is_policy(reason) =>
            {
                Verdict { action: Action::Accept, ..verdict }
            }
            _ => verdict,
        }
    }
}

/// Whether a reason is an operator's decision rather than a packet's fault.
const fn is_policy(reason: Reason) -> bool {
    match reason {
        Reason::Wire(_) => false,
        // Pieces that were never put together have not been judged at all.
        Reason::Fragment(_) => true,
        Reason::Shard(Refusal::TableFull | Refusal::NotAllowed | Refusal::WrongPort) => true,
        Reason::Flow(flow::Refusal::IcmpUnsolicited | flow::Refusal::IcmpUnknown) => false,
        Reason::Tcp(refusal) => match refusal {
            tcp::Refusal::TimeWait
            | tcp::Refusal::QuietTime
            | tcp::Refusal::NoSyn
            | tcp::Refusal::RstNotExact => true,
            tcp::Refusal::OutOfWindow
            | tcp::Refusal::AckOutOfWindow
            | tcp::Refusal::AfterFin
            | tcp::Refusal::UnexpectedSynAck
            | tcp::Refusal::NotSynchronized
            | tcp::Refusal::NoConnection => false,
        },
    }
}

/// Whether a packet goes to a group, to everybody, or is DHCP, whose answers come from servers that the
/// client could not address. Never TCP.
///
/// The IP header decides, not the frame's: else anybody on the wire could have any datagram pass by
/// writing a group's address before it. Only a subnet's own broadcast address cannot be told from a host's:
/// it counts where the frame is a broadcast as well and the address ends in 255.
fn is_for_many(packet: &Packet<'_>, is_broadcast: bool) -> bool {
    if matches!(packet.transport, Transport::Tcp(_)) {
        return false;
    }
    let is_udp = packet.protocol == protocol::UDP;
    let to_many = match packet.addresses {
        Addresses::None => false,
        Addresses::V4 { destination, .. } => {
            let is_group = destination >> 28 == 0b1110;
            is_group || destination == u32::MAX || (is_broadcast && destination & 0xff == 0xff)
        }
        Addresses::V6 { destination, .. } => destination[0] == 0xff,
    };
    let is_v6 = matches!(packet.addresses, Addresses::V6 { .. });
    to_many || (is_udp && packet.ports.is_some_and(|ports| is_dhcp(ports, is_v6)))
}

/// DHCP (RFC 2131 section 4.1) and DHCPv6 (RFC 8415 section 7.2): both ends have their own port.
const fn is_dhcp(ports: Ports, is_v6: bool) -> bool {
    const fn is_its(port: u16, is_v6: bool) -> bool {
        if is_v6 { matches!(port, 546 | 547) } else { matches!(port, 67 | 68) }
    }
    is_its(ports.source, is_v6) && is_its(ports.destination, is_v6)
}

/// Whether a frame is addressed to every station of its network.
#[inline]
pub(super) fn is_broadcast(bytes: &[u8], link: Link) -> bool {
    link == Link::Ethernet && bytes.starts_with(&[0xff; 6])
}
