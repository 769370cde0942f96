//! Connections without states: UDP, ICMP queries, and every other IP protocol by its addresses.
//!
//! All there is to know of such a connection is whether the other side has answered; a packet restarts its
//! timer. Like [`crate::tcp`] these are pure functions over small values.
//!
//! ```text
//!   first packet ─► unreplied ── reply ─► replied        every accepted packet starts the timer again
//! ```

mod policy;

pub use policy::Policy;

use crate::time::Span;

/// Which kind of connection without states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UDP.
    Udp,
    /// An ICMP query of either IP version.
    Query,
    /// Any other IP protocol.
    Other,
}

/// A connection without states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// Whether the responder has sent anything.
    pub replied: bool,
}

impl Flow {
    /// The flow as the tracker's words of a connection.
    pub const fn words(self) -> [u64; 5] {
        [self.replied as u64, 0, 0, 0, 0]
    }

    /// The flow that [`Flow::words`] wrote.
    pub const fn from_words(words: [u64; 5]) -> Flow {
        Flow { replied: words[0] & 1 == 1 }
    }

    /// How long it lives from now on.
    pub const fn timeout(self, kind: Kind, policy: &Policy) -> Span {
        match (kind, self.replied) {
            (Kind::Udp, false) => policy.udp_unreplied,
            (Kind::Udp, true) => policy.udp_replied,
            (Kind::Query, _) => policy.icmp,
            (Kind::Other, _) => policy.other,
        }
    }
}

/// Why a packet that is not TCP is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// The reply to an ICMP query that nobody asked.
    IcmpUnsolicited,
    /// An ICMP error that quotes no live connection, or nothing its side has in flight (RFC 5927 section 4.1).
    IcmpUnknown,
}

impl Refusal {
    /// Every refusal, in the order of their numbers.
    pub const ALL: [Refusal; 2] = [Refusal::IcmpUnsolicited, Refusal::IcmpUnknown];

    /// The name in JSON and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::IcmpUnsolicited => "icmp_unsolicited",
            Refusal::IcmpUnknown => "icmp_unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udp_lives_longer_once_it_was_answered() {
        let policy = Policy::DEFAULT;
        let timeout = |replied| Flow { replied }.timeout(Kind::Udp, &policy);
        assert_eq!((timeout(false), timeout(true)), (policy.udp_unreplied, policy.udp_replied));
    }

    #[test]
    fn words_bring_back_the_same_flow() {
        for replied in [false, true] {
            assert_eq!(Flow::from_words(Flow { replied }.words()), Flow { replied });
        }
    }
}
