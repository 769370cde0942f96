//! Why a segment is refused.

/// Why TCP refuses a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// The sequence number lies outside the receiver's window (RFC 9293 section 3.10.7.4).
    OutOfWindow,
    /// It acknowledges what was never sent, or lies more than a window back (RFC 5961 section 5.2).
    AckOutOfWindow,
    /// Data behind the sender's own FIN.
    AfterFin,
    /// An RST inside the window but not exact, which `inexact_rst` refuses (RFC 5961 section 3.2).
    RstNotExact,
    /// A SYN-ACK that answers no SYN that was seen.
    UnexpectedSynAck,
    /// Data or an acknowledgement from an endpoint that has not synchronized.
    NotSynchronized,
    /// A SYN that TIME_WAIT refuses (`time_wait_reuse`).
    TimeWait,
    /// A new connection within `quiet_time` of the start (RFC 9293 section 3.4.3).
    QuietTime,
    /// Seen first in mid-stream, and `loose` is off.
    NoSyn,
    /// A SYN-ACK or an RST without a connection: never picked up.
    NoConnection,
}

impl Refusal {
    /// Every refusal, in the order of their numbers.
    pub const ALL: [Refusal; 10] = [
        Refusal::OutOfWindow,
        Refusal::AckOutOfWindow,
        Refusal::AfterFin,
        Refusal::RstNotExact,
        Refusal::UnexpectedSynAck,
        Refusal::NotSynchronized,
        Refusal::TimeWait,
        Refusal::QuietTime,
        Refusal::NoSyn,
        Refusal::NoConnection,
    ];

    /// The name in JSON and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::OutOfWindow => "out_of_window",
            Refusal::AckOutOfWindow => "ack_out_of_window",
            Refusal::AfterFin => "after_fin",
            Refusal::RstNotExact => "rst_not_exact",
            Refusal::UnexpectedSynAck => "unexpected_syn_ack",
            Refusal::NotSynchronized => "not_synchronized",
            Refusal::TimeWait => "time_wait",
            Refusal::QuietTime => "quiet_time",
            Refusal::NoSyn => "no_syn",
            Refusal::NoConnection => "no_connection",
        }
    }
}
