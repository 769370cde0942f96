//! What an operator decides about TCP: the `[tcp]` section of the configuration, each key where it is read.

use crate::time::Span;

/// Timeouts, one for each timer that a pair of states selects ([`super::Timer`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A SYN not answered yet.
    pub syn_sent: Span,
    /// Either endpoint in SYN_RECEIVED.
    pub syn_received: Span,
    /// Both endpoints ESTABLISHED (RFC 5382 REQ-5: at least 2 hours 4 minutes).
    pub established: Span,
    /// A FIN not acknowledged yet.
    pub fin_wait_1: Span,
    /// A FIN acknowledged, and no new data from the other side since.
    pub fin_timeout: Span,
    /// The same, once the other side has sent new data since the FIN.
    pub half_closed: Span,
    /// Both FINs crossed, one not acknowledged yet.
    pub closing: Span,
    /// The maximum segment lifetime; TIME_WAIT lasts twice this (RFC 9293 sections 3.3.2 and 3.4.2).
    pub msl: Span,
    /// After a valid RST.
    pub closed: Span,
}

/// What happens to a SYN that meets TIME_WAIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeWaitReuse {
    /// Refused.
    Off,
    /// RFC 1122 section 4.2.2.13: a new incarnation where its sequence number is above the next expected.
    Rfc1122,
    /// RFC 6191 section 2: timestamps decide where there are some.
    Rfc6191,
    /// Always a new incarnation.
    Always,
}

/// What happens past [`Policy::time_wait_max`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeWaitOverflow {
    /// The connection that entered TIME_WAIT first goes.
    EvictOldest,
    /// The closing connection ends as soon as its last ACK has been let through.
    Skip,
}

/// What happens to an RST inside the window that is not exact (RFC 5961 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InexactRst {
    /// It goes through and changes nothing, so that the endpoint can challenge it.
    Pass,
    /// It is invalid.
    Drop,
}

/// The TCP policy: every key of `[tcp]` that the tracker reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Timeouts by timer.
    pub timeouts: Timeouts,
    /// A FIN repeated this many times without an answer shortens the connection's life; 0 to 15.
    pub orphan_retries: u8,
    /// What a SYN may do in TIME_WAIT.
    pub time_wait_reuse: TimeWaitReuse,
    /// Whether a valid RST ends TIME_WAIT (RFC 1337 says it must not).
    pub time_wait_assassination: bool,
    /// Whether a repeated FIN in TIME_WAIT starts 2 MSL again (RFC 9293 section 3.10.7.4).
    pub time_wait_restart: bool,
    /// The most connections in TIME_WAIT, 0 for no limit; of the process, split over the shards.
    pub time_wait_max: u32,
    /// What happens past that limit.
    pub time_wait_overflow: TimeWaitOverflow,
    /// RFC 1644: a connection that lived for less than MSL stays in TIME_WAIT for 8 RTO.
    pub time_wait_truncation: bool,
    /// RFC 793: for this long after a start no new connection begins.
    pub quiet_time: Span,
    /// Whether a connection seen first in mid-stream is picked up.
    pub loose: bool,
    /// Whether out-of-window segments other than RST are let through.
    pub liberal: bool,
    /// What an RST inside the window but not exact does.
    pub inexact_rst: InexactRst,
    /// Whether sequence and acknowledgement numbers are held against the windows.
    pub check_window: bool,
}

impl Policy {
    /// The defaults of the configuration.
    pub const DEFAULT: Policy = Policy {
        timeouts: Timeouts {
            syn_sent: Span::from_milliseconds(120_000),
            syn_received: Span::from_milliseconds(60_000),
            established: Span::from_milliseconds(7_440_000),
            fin_wait_1: Span::from_milliseconds(120_000),
            fin_timeout: Span::from_milliseconds(60_000),
            half_closed: Span::from_milliseconds(3_600_000),
            closing: Span::from_milliseconds(30_000),
            msl: Span::from_milliseconds(30_000),
            closed: Span::from_milliseconds(10_000),
        },
        orphan_retries: 8,
        time_wait_reuse: TimeWaitReuse::Rfc6191,
        time_wait_assassination: false,
        time_wait_restart: true,
        time_wait_max: 0,
        time_wait_overflow: TimeWaitOverflow::EvictOldest,
        time_wait_truncation: false,
        quiet_time: Span::ZERO,
        loose: true,
        liberal: false,
        inexact_rst: InexactRst::Pass,
        check_window: true,
    };
}
