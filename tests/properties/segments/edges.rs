//! Which way an endpoint may go by one segment: RFC 9293 section 3.3.2, figure 5, written down again and
//! apart from the tracker's own tables.
//!
//! One segment may take an endpoint along two edges: an acknowledgement of its FIN comes with the other's FIN,
//! or it sends its own FIN with the first acknowledgement of the other's. What the middle learns later is
//! allowed where it is learnt: that FINs had crossed (from CLOSE_WAIT to CLOSING), or which of two SYN-ACKs had
//! reached the sender of a segment (to ESTABLISHED by what it sends).
//!
//! Where numbers are not checked, a FIN can pass that acknowledges no SYN and waits behind a hole. If the acknowledgement
//! that fills the hole is on the other's FIN, that one goes from SYN_RECEIVED to CLOSING, as it would from ESTABLISHED.

use lastack::tcp::State;

/// How an endpoint may have come from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Not by one segment.
    Never,
    /// It is the same state.
    Stay,
    /// By a segment that it has sent.
    Sends,
    /// By a segment that reached it.
    Gets,
    /// By either.
    Either,
    /// By an RST, whoever has sent it.
    Reset,
    /// By an RST, where `time_wait_assassination` says so.
    Assassination,
    /// By a segment that it has sent, where `check_window` is off.
    Unchecked,
}

use Edge::{
    Assassination as A, Either as E, Gets as G, Never as N, Reset as R, Sends as S, Stay as O, Unchecked as U,
};

/// `EDGES[from][to]`, in the order of [`State::ALL`].
#[rustfmt::skip]
const EDGES: [[Edge; 11]; 11] = [
    //              CLOSED LISTEN SYN_S SYN_R ESTAB FIN_1 FIN_2 CLS_W CLSNG LST_A TIM_W
    /* CLOSED  */ [ O,     N,     N,    N,    N,    N,    N,    N,    N,    N,    N ],
    /* LISTEN  */ [ R,     O,     N,    S,    N,    N,    N,    N,    N,    N,    N ],
    /* SYN_S   */ [ R,     N,     O,    G,    G,    N,    N,    N,    N,    N,    N ],
    /* SYN_R   */ [ R,     N,     N,    O,    E,    S,    N,    E,    U,    S,    N ],
    /* ESTAB   */ [ R,     N,     N,    N,    O,    S,    N,    E,    S,    S,    N ],
    /* FIN_1   */ [ R,     N,     N,    N,    N,    O,    G,    N,    E,    N,    G ],
    /* FIN_2   */ [ R,     N,     N,    N,    N,    N,    O,    N,    N,    N,    E ],
    /* CLS_W   */ [ R,     N,     N,    N,    N,    N,    N,    O,    S,    S,    N ],
    /* CLSNG   */ [ R,     N,     N,    N,    N,    N,    N,    N,    O,    N,    G ],
    /* LST_A   */ [ E,     N,     N,    N,    N,    N,    N,    N,    N,    O,    N ],
    /* TIM_W   */ [ A,     N,     N,    N,    N,    N,    N,    N,    N,    N,    O ],
];

/// How an endpoint may come from one state to another.
pub(crate) fn edge(from: State, to: State) -> Edge {
    EDGES[from as usize][to as usize]
}

/// What selects the timer, by the contract's own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Governor {
    SynSent,
    SynReceived,
    TimeWait,
    Closing,
    /// `fin_timeout` or `half_closed`.
    FinWait2,
    FinWait1,
    Established,
    Closed,
}

/// Which timer governs; none where no pair of endpoints can be in these states.
pub(crate) fn governor(states: [State; 2]) -> Option<Governor> {
    let either = |state| states.contains(&state);
    if either(State::SynSent) && either(State::Listen) {
        Some(Governor::SynSent)
    } else if either(State::SynReceived) {
        Some(Governor::SynReceived)
    } else if either(State::TimeWait) {
        Some(Governor::TimeWait)
    } else if either(State::Closing) {
        Some(Governor::Closing)
    } else if either(State::FinWait2) {
        Some(Governor::FinWait2)
    } else if either(State::FinWait1) {
        Some(Governor::FinWait1)
    } else if states == [State::Established; 2] {
        Some(Governor::Established)
    } else if states == [State::Closed; 2] {
        Some(Governor::Closed)
    } else {
        None
    }
}
