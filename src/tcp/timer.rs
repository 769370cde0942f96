//! Which timer governs a connection, and for how long.
//!
//! The pair of states selects the timer ([`Timer::of`], the first row that fits); what starts it again,
//! `close::rearm` says of data, acknowledgements and FINs, and of other segments that the timer runs on unless it is
//! another one.

use super::connection::Connection;
use super::policy::{Policy, Timeouts};
use super::state::State;
use crate::time::{Span, Tick};

/// The timers, in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// SYN_SENT with LISTEN.
    SynSent,
    /// SYN_RECEIVED on either side.
    SynReceived,
    /// TIME_WAIT on either side.
    TimeWait,
    /// CLOSING on either side.
    Closing,
    /// FIN_WAIT_2, and no new data from the other side since the FIN.
    FinTimeout,
    /// FIN_WAIT_2, with new data from the other side since the FIN.
    HalfClosed,
    /// FIN_WAIT_1.
    FinWait1,
    /// Both ESTABLISHED.
    Established,
    /// After a valid RST.
    Closed,
}

impl Timer {
    /// The timer that governs `connection`.
    pub fn of(connection: &Connection) -> Timer {
        let [originator, responder] = connection.marks.states();
        let timer = BY_STATES[originator as usize][responder as usize];
        if matches!(timer, Timer::FinTimeout) && connection.marks.has_data_since_fin() {
            Timer::HalfClosed
        } else {
            timer
        }
    }

    /// The timer that governs these states, as long as nothing was sent after the first FIN.
    pub(super) const fn of_states(originator: State, responder: State) -> Timer {
        use State::*;
        match (originator, responder) {
            (SynSent, Listen) => Timer::SynSent,
            (Established, Established) => Timer::Established,
            (Closed, Closed) => Timer::Closed,
            (SynReceived, _) | (_, SynReceived) => Timer::SynReceived,
            (TimeWait, _) | (_, TimeWait) => Timer::TimeWait,
            (Closing, _) | (_, Closing) => Timer::Closing,
            (FinWait2, _) | (_, FinWait2) => Timer::FinTimeout,
            (FinWait1, _) | (_, FinWait1) => Timer::FinWait1,
            // Nothing else can be reached; what could is about to end.
            _ => Timer::Closed,
        }
    }

    /// How long it runs.
    pub const fn span(self, timeouts: &Timeouts) -> Span {
        match self {
            Timer::SynSent => timeouts.syn_sent,
            Timer::SynReceived => timeouts.syn_received,
            Timer::TimeWait => timeouts.msl.times(2),
            Timer::Closing => timeouts.closing,
            Timer::FinTimeout => timeouts.fin_timeout,
            Timer::HalfClosed => timeouts.half_closed,
            Timer::FinWait1 => timeouts.fin_wait_1,
            Timer::Established => timeouts.established,
            Timer::Closed => timeouts.closed,
        }
    }
}

/// [`Timer::of_states`], by the originator's state and the responder's.
const BY_STATES: [[Timer; State::ALL.len()]; State::ALL.len()] = {
    let mut table = [[Timer::Closed; State::ALL.len()]; State::ALL.len()];
    let mut cell = 0;
    while cell < State::ALL.len() * State::ALL.len() {
        let (row, column) = (cell / State::ALL.len(), cell % State::ALL.len());
        table[row][column] = Timer::of_states(State::ALL[row], State::ALL[column]);
        cell += 1;
    }
    table
};

/// How long a connection has to live that takes its tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// From now on, by this timer.
    For(Timer),
    /// Until then: its timer runs since before.
    Until(Tick),
}

impl Lasts {
    /// When it is over.
    pub const fn deadline(self, timeouts: &Timeouts, now: Tick) -> Tick {
        match self {
            Lasts::For(timer) => now.after(timer.span(timeouts)),
            Lasts::Until(deadline) => deadline,
        }
    }
}

/// What a segment does to the running timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rearm {
    /// Nothing.
    Keep,
    /// It runs (again) from now on, as this one.
    Start(Timer),
    /// It ends after this span, if that is sooner (`orphan_retries`).
    AtMost(Span),
}

/// RFC 6298 section 2.4 asks for a second; the contract's RFC 1644 truncation takes a fifth of it.
const MINIMUM_RTO: Span = Span::from_milliseconds(200);

/// How long TIME_WAIT lasts: 2 MSL, or 8 RTO where `time_wait_truncation` shortens it (RFC 1644 section 3.3) and the
/// connection had not lived for MSL when it entered; then `round_trip` is its handshake's. The RTO is RFC 6298's from
/// that one measurement R (section 2.2): SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR = 3 R.
pub fn time_wait_span(policy: &Policy, round_trip: Option<Span>) -> Span {
    let whole = Timer::TimeWait.span(&policy.timeouts);
    match round_trip.filter(|_| policy.time_wait_truncation) {
        Some(round_trip) => whole.min(round_trip.times(3).max(MINIMUM_RTO).times(8)),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::{Marks, Peer, Stamp};
    use super::*;

    fn timer(originator: State, responder: State) -> Timer {
        Timer::of(&Connection {
            marks: Marks::new(originator, responder),
            peers: [Peer::default(); 2],
            stamps: [Stamp::default(); 2],
        })
    }

    #[test]
    fn the_first_row_that_fits_governs() {
        use State::*;
        assert_eq!(timer(SynSent, Listen), Timer::SynSent);
        assert_eq!(timer(Established, SynReceived), Timer::SynReceived);
        assert_eq!(timer(SynReceived, SynReceived), Timer::SynReceived);
        assert_eq!(timer(FinWait1, SynReceived), Timer::SynReceived);
        assert_eq!(timer(TimeWait, LastAck), Timer::TimeWait);
        assert_eq!(timer(Closed, TimeWait), Timer::TimeWait);
        assert_eq!(timer(Closing, TimeWait), Timer::TimeWait);
        assert_eq!(timer(Closing, Closing), Timer::Closing);
        assert_eq!(timer(FinWait2, CloseWait), Timer::FinTimeout);
        assert_eq!(timer(CloseWait, FinWait2), Timer::FinTimeout);
        assert_eq!(timer(FinWait1, CloseWait), Timer::FinWait1);
        assert_eq!(timer(FinWait1, Established), Timer::FinWait1);
        assert_eq!(timer(Established, Established), Timer::Established);
        assert_eq!(timer(Closed, Closed), Timer::Closed);
    }

    #[test]
    fn a_short_connection_waits_eight_round_trip_timeouts() {
        let ms = Span::from_milliseconds;
        let policy = Policy { time_wait_truncation: true, ..Policy::DEFAULT };
        assert_eq!(time_wait_span(&policy, Some(ms(100))), ms(8 * 300));
        assert_eq!(time_wait_span(&policy, Some(ms(1))), ms(8 * 200), "at least 200 ms an RTO");
        assert_eq!(time_wait_span(&policy, None), ms(60_000), "it lived for MSL");
        assert_eq!(time_wait_span(&policy, Some(ms(60_000))), ms(60_000), "never longer than 2 MSL");
        assert_eq!(time_wait_span(&Policy::DEFAULT, Some(ms(100))), ms(60_000));
    }
}
