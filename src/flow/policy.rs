//! What an operator decides about everything that is not TCP: `[udp]`, `[icmp]` and `[other]`.

use crate::time::Span;

/// Timeouts of connections without states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// UDP while only one side has spoken.
    pub udp_unreplied: Span,
    /// UDP once both have (RFC 4787 REQ-5: at least 2 minutes, 5 recommended).
    pub udp_replied: Span,
    /// ICMP queries (RFC 5508 REQ-2: at least 60 s for a NAT; a plain firewall may forget sooner).
    pub icmp: Span,
    /// Other IP protocols.
    pub other: Span,
}

impl Policy {
    /// The defaults of the configuration.
    pub const DEFAULT: Policy = Policy {
        udp_unreplied: Span::from_milliseconds(30_000),
        udp_replied: Span::from_milliseconds(300_000),
        icmp: Span::from_milliseconds(30_000),
        other: Span::from_milliseconds(600_000),
    };
}
