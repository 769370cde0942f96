//! One endpoint's state machine, seen from the middle of the path (RFC 9293 section 3.3.2).
//!
//! Two total tables move an endpoint: [`State::sent`] by what it was seen to send, [`State::received`] by
//! what reached it. A connection has two endpoints, so a segment that fits moves both: its sender by the first
//! table, then its receiver by the second. [`super::open`] says where a connection begins, and nothing moves it past
//! the tables but the operator who lets an RST end TIME_WAIT.
//!
//! ```text
//!   originator ── segment ──►  [ tracker ]  ── the same segment ──►  responder
//!   sent(SYN): SYN_SENT                            received(SYN): LISTEN until it answers
//! ```
//!
//! Every cell is written. A cell that repeats its own state says that the event is possible there and
//! changes nothing (a repeated FIN), or that [`super::judge`] never lets it get that far.

use std::fmt;

/// The eleven states of RFC 9293 section 3.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// No connection.
    Closed = 0,
    /// Nothing sent yet.
    Listen = 1,
    /// A SYN sent.
    SynSent = 2,
    /// A SYN sent and one received.
    SynReceived = 3,
    /// Open.
    Established = 4,
    /// A FIN sent.
    FinWait1 = 5,
    /// A FIN sent and acknowledged.
    FinWait2 = 6,
    /// A FIN received.
    CloseWait = 7,
    /// FINs crossed: sent and received, the own one not acknowledged.
    Closing = 8,
    /// A FIN received, then one sent.
    LastAck = 9,
    /// Both FINs done, waiting for stray segments to die.
    TimeWait = 10,
}

/// What an endpoint was seen to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Sent {
    /// A SYN without ACK.
    Syn = 0,
    /// A SYN with ACK.
    SynAck = 1,
    /// A FIN by an endpoint that has acknowledged everything it received so far.
    Fin = 2,
    /// A FIN that does not acknowledge the peer's FIN, although that one was let through: they crossed.
    CrossedFin = 3,
    /// A valid RST.
    Rst = 4,
}

/// What reached an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Received {
    /// A SYN without ACK.
    Syn = 0,
    /// A SYN that acknowledges the endpoint's own.
    SynAck = 1,
    /// An acknowledgement of its SYN.
    AckOfSyn = 2,
    /// An acknowledgement of its FIN.
    AckOfFin = 3,
    /// A FIN, with everything before it.
    Fin = 4,
    /// A valid RST.
    Rst = 5,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [State; 11] = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];

    /// The state with this number; a number that is none counts as CLOSED.
    #[inline]
    pub const fn from_number(number: u8) -> State {
        match number {
            1 => State::Listen,
            2 => State::SynSent,
            3 => State::SynReceived,
            4 => State::Established,
            5 => State::FinWait1,
            6 => State::FinWait2,
            7 => State::CloseWait,
            8 => State::Closing,
            9 => State::LastAck,
            10 => State::TimeWait,
            _ => State::Closed,
        }
    }

    /// The name, as RFC 9293 writes it, with underscores.
    pub const fn name(self) -> &'static str {
        match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN_SENT",
            State::SynReceived => "SYN_RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN_WAIT_1",
            State::FinWait2 => "FIN_WAIT_2",
            State::CloseWait => "CLOSE_WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST_ACK",
            State::TimeWait => "TIME_WAIT",
        }
    }

    /// Whether the endpoint has sent its FIN.
    pub const fn has_sent_fin(self) -> bool {
        match self {
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck | State::TimeWait => true,
            State::Closed
            | State::Listen
            | State::SynSent
            | State::SynReceived
            | State::Established
            | State::CloseWait => false,
        }
    }

    /// Whether the endpoint has nothing more to say of its own: it is CLOSED, or only waits.
    pub const fn is_done(self) -> bool {
        match self {
            State::TimeWait | State::Closed => true,
            State::Listen
            | State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => false,
        }
    }

    /// Where the endpoint is once it has sent `event`.
    pub const fn sent(self, event: Sent) -> State {
        SENT[self as usize][event as usize]
    }

    /// Where the endpoint is once it has received `event`.
    pub const fn received(self, event: Received) -> State {
        RECEIVED[self as usize][event as usize]
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Sent {
    /// Every event, in the order of the table's columns.
    pub const ALL: [Sent; 5] = [Sent::Syn, Sent::SynAck, Sent::Fin, Sent::CrossedFin, Sent::Rst];
}

impl Received {
    /// Every event, in the order of the table's columns.
    pub const ALL: [Received; 6] = [
        Received::Syn,
        Received::SynAck,
        Received::AckOfSyn,
        Received::AckOfFin,
        Received::Fin,
        Received::Rst,
    ];
}

/// The tables' rows, short names so that they can be read as tables.
mod rows {
    use super::State;
    pub(super) const CLOS: State = State::Closed;
    pub(super) const LSTN: State = State::Listen;
    pub(super) const SYNS: State = State::SynSent;
    pub(super) const SYNR: State = State::SynReceived;
    pub(super) const ESTB: State = State::Established;
    pub(super) const FIN1: State = State::FinWait1;
    pub(super) const FIN2: State = State::FinWait2;
    pub(super) const CLSW: State = State::CloseWait;
    pub(super) const CLSG: State = State::Closing;
    pub(super) const LACK: State = State::LastAck;
    pub(super) const TIMW: State = State::TimeWait;
}
use rows::*;

/// `SENT[state][event]`.
///
/// - A LISTEN that sends a bare SYN has opened actively; that it has the other SYN already is the next event.
/// - A FIN in SYN_RECEIVED is CLOSE before the handshake's end (section 3.10.4).
/// - A CLOSE_WAIT whose FIN crossed was ESTABLISHED when it sent it: FIN_WAIT_1, and with the other FIN CLOSING.
/// - An RST leaves nothing, except of TIME_WAIT (RFC 1337).
#[rustfmt::skip]
const SENT: [[State; 5]; 11] = [
    //            SYN   SYN-ACK  FIN  crossed  RST
    /* CLOSED */ [SYNS,  SYNR,  CLOS,  CLOS,  CLOS],
    /* LISTEN */ [SYNS,  SYNR,  LSTN,  LSTN,  CLOS],
    /* SYN_S  */ [SYNS,  SYNR,  SYNS,  SYNS,  CLOS],
    /* SYN_R  */ [SYNR,  SYNR,  FIN1,  FIN1,  CLOS],
    /* ESTAB  */ [ESTB,  ESTB,  FIN1,  FIN1,  CLOS],
    /* FIN_1  */ [FIN1,  FIN1,  FIN1,  FIN1,  CLOS],
    /* FIN_2  */ [FIN2,  FIN2,  FIN2,  FIN2,  CLOS],
    /* CLOSEW */ [CLSW,  CLSW,  LACK,  CLSG,  CLOS],
    /* CLOSNG */ [CLSG,  CLSG,  CLSG,  CLSG,  CLOS],
    /* LAST_A */ [LACK,  LACK,  LACK,  LACK,  CLOS],
    /* TIME_W */ [TIMW,  TIMW,  TIMW,  TIMW,  TIMW],
];

/// `RECEIVED[state][event]`.
///
/// - A LISTEN that has received a SYN stays LISTEN until it answers: from the middle nobody can know whether
///   anyone listens there.
/// - A FIN in SYN_RECEIVED comes with the acknowledgement that ends the handshake, or right behind it
///   (section 3.10.7.4, eighth step).
#[rustfmt::skip]
const RECEIVED: [[State; 6]; 11] = [
    //            SYN   SYN-ACK  ack SYN  ack FIN  FIN   RST
    /* CLOSED */ [CLOS,  CLOS,   CLOS,    CLOS,   CLOS,  CLOS],
    /* LISTEN */ [LSTN,  LSTN,   LSTN,    LSTN,   LSTN,  CLOS],
    /* SYN_S  */ [SYNR,  ESTB,   SYNS,    SYNS,   SYNS,  CLOS],
    /* SYN_R  */ [SYNR,  ESTB,   ESTB,    SYNR,   CLSW,  CLOS],
    /* ESTAB  */ [ESTB,  ESTB,   ESTB,    ESTB,   CLSW,  CLOS],
    /* FIN_1  */ [FIN1,  FIN1,   FIN1,    FIN2,   CLSG,  CLOS],
    /* FIN_2  */ [FIN2,  FIN2,   FIN2,    FIN2,   TIMW,  CLOS],
    /* CLOSEW */ [CLSW,  CLSW,   CLSW,    CLSW,   CLSW,  CLOS],
    /* CLOSNG */ [CLSG,  CLSG,   CLSG,    TIMW,   CLSG,  CLOS],
    /* LAST_A */ [LACK,  LACK,   LACK,    CLOS,   LACK,  CLOS],
    /* TIME_W */ [TIMW,  TIMW,   TIMW,    TIMW,   TIMW,  TIMW],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_states_are_the_same_thing() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
            assert_eq!(State::from_number(number as u8), state);
        }
        assert_eq!(State::from_number(11), State::Closed);
    }

    #[test]
    fn an_active_open_and_an_active_close() {
        let originator = State::Closed.sent(Sent::Syn).received(Received::SynAck);
        assert_eq!(originator, State::Established);
        let originator = originator.sent(Sent::Fin).received(Received::AckOfFin);
        assert_eq!(originator, State::FinWait2);
        assert_eq!(originator.received(Received::Fin), State::TimeWait);
    }

    #[test]
    fn a_passive_open_and_a_passive_close() {
        let responder = State::Listen.received(Received::Syn);
        assert_eq!(responder, State::Listen, "it has not answered yet");
        let responder = responder.sent(Sent::SynAck).received(Received::AckOfSyn);
        assert_eq!(responder, State::Established);
        let responder = responder.received(Received::Fin).sent(Sent::Fin);
        assert_eq!(responder, State::LastAck);
        assert_eq!(responder.received(Received::AckOfFin), State::Closed);
    }

    #[test]
    fn three_ways_into_time_wait() {
        assert_eq!(State::FinWait2.received(Received::Fin), State::TimeWait);
        assert_eq!(State::FinWait1.received(Received::Fin).received(Received::AckOfFin), State::TimeWait);
        // FIN and ACK in one segment: the acknowledgement is processed first (section 3.10.7.4).
        assert_eq!(State::FinWait1.received(Received::AckOfFin).received(Received::Fin), State::TimeWait);
    }

    #[test]
    fn a_fin_that_crossed_was_sent_from_established() {
        assert_eq!(State::CloseWait.sent(Sent::CrossedFin), State::Closing);
        assert_eq!(
            State::CloseWait.sent(Sent::CrossedFin),
            State::Established.sent(Sent::Fin).received(Received::Fin)
        );
    }

    #[test]
    fn a_reset_leaves_nothing_but_time_wait() {
        for state in State::ALL {
            let left = if state == State::TimeWait { State::TimeWait } else { State::Closed };
            assert_eq!(state.sent(Sent::Rst), left, "{state} sends RST");
            assert_eq!(state.received(Received::Rst), left, "{state} receives RST");
        }
    }
}
