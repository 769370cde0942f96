//! One TCP endpoint, written from RFC 9293 section 3.10 alone: it shares no line with `src/tcp`.
//!
//! ```text
//!   the application ── open, send, close, abort ──► ┌──────────┐ ──► a segment, or none
//!   the wire ───────── a segment ─────────────────► │ Endpoint │
//!   time ───────────── retransmission, 2 MSL ─────► └──────────┘
//! ```
//!
//! Every event is a function from one endpoint to another one and at most one segment. Acknowledgements go out
//! at once; what arrives out of order is kept (RFC 1122 section 4.2.2.20); the window never closes. RSTs, SYNs
//! and acknowledgements are held to RFC 5961, TIME_WAIT to RFC 1337 and RFC 1122 section 4.2.2.13.

use super::segment::{ACK, FIN, RST, SYN, Segment, Side, after, before};

/// The receive window of both endpoints, in octets.
pub const WINDOW: u32 = 16;

/// The states of RFC 9293 section 3.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}
use State::*;

impl State {
    pub const fn name(self) -> &'static str {
        match self {
            Closed => "CLOSED",
            Listen => "LISTEN",
            SynSent => "SYN_SENT",
            SynReceived => "SYN_RECEIVED",
            Established => "ESTABLISHED",
            FinWait1 => "FIN_WAIT_1",
            FinWait2 => "FIN_WAIT_2",
            CloseWait => "CLOSE_WAIT",
            Closing => "CLOSING",
            LastAck => "LAST_ACK",
            TimeWait => "TIME_WAIT",
        }
    }

    /// Whether there is no connection.
    pub const fn is_gone(self) -> bool {
        matches!(self, Closed | Listen)
    }

    /// Whether both ends know each other's sequence numbers.
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Closed | Listen | SynSent | SynReceived)
    }
}

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    pub side: Side,
    pub state: State,
    /// Whether an application listens: where the connection has gone LISTEN is what remains.
    pub listens: bool,
    /// How many initial sequence numbers were taken.
    pub incarnations: u8,
    /// The connection was opened by the other side's SYN.
    passive: bool,
    fin_sent: bool,
    /// The newest initial sequence number; stays after the connection has gone.
    pub iss: u32,
    irs: u32,
    pub snd_una: u32,
    pub snd_nxt: u32,
    pub rcv_nxt: u32,
    /// What arrived behind a hole: bit `i` is the octet at `rcv_nxt + i`.
    held: u8,
    /// One more than the distance from `rcv_nxt` to a FIN that arrived behind a hole; 0 for none.
    held_fin: u8,
    /// Its connection has gone without a word of the other side: crash, abort, the end of TIME_WAIT, an open
    /// that was given up. Only the properties look at it.
    pub left_alone: bool,
}

/// What an event leads to.
pub type Step = (Endpoint, Option<Segment>);

impl Endpoint {
    pub fn closed(side: Side) -> Endpoint {
        Endpoint {
            side,
            state: Closed,
            listens: false,
            incarnations: 0,
            passive: false,
            fin_sent: false,
            iss: 0,
            irs: 0,
            snd_una: 0,
            snd_nxt: 0,
            rcv_nxt: 0,
            held: 0,
            held_fin: 0,
            left_alone: false,
        }
    }

    pub fn listening(side: Side) -> Endpoint {
        Endpoint { state: Listen, listens: true, ..Endpoint::closed(side) }
    }

    /// Whether everything it has sent was acknowledged, its SYN included.
    pub fn is_settled(&self) -> bool {
        !matches!(self.state, SynSent | SynReceived) && self.snd_una == self.snd_nxt
    }

    /// Whether an acknowledgement is lost on it that comes with nothing but octets it has already: by the
    /// letter of the first step, such a segment is dropped as a whole.
    pub fn overlooks_acknowledgement(&self, segment: &Segment) -> bool {
        let synchronized = self.state.is_synchronized() || self.state == SynReceived;
        let new = after(segment.ack, self.snd_una) && !after(segment.ack, self.snd_nxt);
        synchronized && segment.has(ACK) && !segment.has(RST) && !self.is_in_window(segment) && new
    }

    /// Every field as bytes, for the set of states seen.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = u8::from(self.listens)
            | u8::from(self.passive) << 1
            | u8::from(self.fin_sent) << 2
            | u8::from(self.left_alone) << 3;
        out.extend([self.state as u8, flags, self.incarnations, self.held, self.held_fin]);
        for number in [self.iss, self.irs, self.snd_una, self.snd_nxt, self.rcv_nxt] {
            out.extend(number.to_le_bytes());
        }
    }

    fn segment(&self, flags: u8, seq: u32, octets: u8) -> Segment {
        let ack = if flags & ACK == 0 { 0 } else { self.rcv_nxt };
        Segment { flags, seq, ack, octets, old_fin: false }
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`: an acknowledgement, or a challenge (RFC 5961).
    fn acknowledge(self) -> Step {
        (self, Some(self.segment(ACK, self.snd_nxt, 0)))
    }

    /// `<SEQ=SEG.ACK><CTL=RST>`.
    fn refuse(self, segment: &Segment) -> Step {
        (self, Some(self.segment(RST, segment.ack, 0)))
    }

    /// A new connection's numbers.
    fn begin(self, state: State) -> Endpoint {
        let iss = self.side.initial(self.incarnations);
        Endpoint {
            state,
            incarnations: self.incarnations + 1,
            iss,
            snd_una: iss,
            snd_nxt: iss.wrapping_add(1),
            ..self.gone(false)
        }
    }

    /// The connection's record is deleted.
    fn gone(self, left_alone: bool) -> Endpoint {
        Endpoint {
            state: if self.listens { Listen } else { Closed },
            listens: self.listens,
            incarnations: self.incarnations,
            iss: self.iss,
            left_alone,
            ..Endpoint::closed(self.side)
        }
    }
}

/// What the application does (sections 3.10.1 to 3.10.5). `None` where it cannot.
impl Endpoint {
    pub fn open(self) -> Option<Step> {
        self.state.is_gone().then(|| {
            let opened = self.begin(SynSent);
            (opened, Some(opened.segment(SYN, opened.iss, 0)))
        })
    }

    pub fn send(mut self) -> Option<Step> {
        matches!(self.state, Established | CloseWait).then(|| {
            let seq = self.snd_nxt;
            self.snd_nxt = seq.wrapping_add(1);
            (self, Some(self.segment(ACK, seq, 1)))
        })
    }

    /// CLOSE, with the last `octets` (none or one) on the FIN.
    pub fn close(mut self, octets: u8) -> Option<Step> {
        let state = match self.state {
            SynSent if octets == 0 => return Some((self.gone(true), None)),
            SynReceived if octets == 0 => FinWait1,
            Established => FinWait1,
            CloseWait => LastAck,
            Closed | Listen | SynSent | SynReceived | FinWait1 | FinWait2 | Closing | LastAck | TimeWait => {
                return None;
            }
        };
        let seq = self.snd_nxt;
        self.state = state;
        self.fin_sent = true;
        self.snd_nxt = seq.wrapping_add(u32::from(octets) + 1);
        Some((self, Some(self.segment(ACK | FIN, seq, octets))))
    }

    pub fn abort(self) -> Option<Step> {
        match self.state {
            Closed | Listen => None,
            SynSent | Closing | LastAck | TimeWait => Some((self.gone(true), None)),
            SynReceived | Established | FinWait1 | FinWait2 | CloseWait => {
                Some((self.gone(true), Some(self.segment(RST, self.snd_nxt, 0))))
            }
        }
    }

    /// It loses all memory of the connection.
    pub fn crash(self) -> Option<Step> {
        (!self.state.is_gone()).then(|| (self.gone(true), None))
    }

    /// A keep-alive (section 3.8.4).
    pub fn probe(self) -> Option<Step> {
        let idle = self.state.is_synchronized() && self.is_settled() && self.state != TimeWait;
        idle.then(|| (self, Some(self.segment(ACK, self.snd_nxt.wrapping_sub(1), 0))))
    }
}

/// What time does.
impl Endpoint {
    /// The retransmission timer: the SYN, or all that was not acknowledged, in one segment.
    pub fn retransmit(self) -> Option<Step> {
        if self.snd_una == self.snd_nxt || self.state.is_gone() {
            return None;
        }
        let segment = if self.state == SynSent {
            self.segment(SYN, self.iss, 0)
        } else if self.snd_una == self.iss {
            self.segment(SYN | ACK, self.iss, 0)
        } else {
            let length = self.snd_nxt.wrapping_sub(self.snd_una) as u8;
            let fin = if self.fin_sent { FIN } else { 0 };
            Segment { old_fin: self.fin_sent, ..self.segment(ACK | fin, self.snd_una, length - fin) }
        };
        Some((self, Some(segment)))
    }

    /// 2 MSL are over.
    pub fn time_wait_ends(self) -> Option<Step> {
        (self.state == TimeWait).then(|| (self.gone(true), None))
    }
}

/// What arrives (section 3.10.7).
impl Endpoint {
    pub fn receive(self, segment: &Segment) -> Step {
        match self.state {
            Closed => self.in_closed(segment),
            Listen => self.in_listen(segment),
            SynSent => self.in_syn_sent(segment),
            // RFC 1122 section 4.2.2.13: it may accept a new SYN, if its number is above the old ones.
            TimeWait if self.listens && segment.flags == SYN && after(segment.seq, self.rcv_nxt) => {
                self.gone(false).in_listen(segment)
            }
            SynReceived | Established | FinWait1 | FinWait2 | CloseWait | Closing | LastAck | TimeWait => {
                self.in_other_states(segment)
            }
        }
    }

    fn in_closed(self, segment: &Segment) -> Step {
        if segment.has(RST) {
            (self, None)
        } else if segment.has(ACK) {
            self.refuse(segment)
        } else {
            let reset = Segment { flags: RST | ACK, seq: 0, ack: segment.end(), octets: 0, old_fin: false };
            (self, Some(reset))
        }
    }

    fn in_listen(self, segment: &Segment) -> Step {
        if segment.has(RST) {
            (self, None)
        } else if segment.has(ACK) {
            self.refuse(segment)
        } else if segment.has(SYN) {
            let next = segment.seq.wrapping_add(1);
            let opened =
                Endpoint { passive: true, irs: segment.seq, rcv_nxt: next, ..self.begin(SynReceived) };
            (opened, Some(opened.segment(SYN | ACK, opened.iss, 0)))
        } else {
            (self, None)
        }
    }

    fn in_syn_sent(mut self, segment: &Segment) -> Step {
        let acceptable = after(segment.ack, self.iss) && !after(segment.ack, self.snd_nxt);
        if segment.has(ACK) && !acceptable {
            return if segment.has(RST) { (self, None) } else { self.refuse(segment) };
        }
        if segment.has(RST) {
            return if segment.has(ACK) { (self.gone(false), None) } else { (self, None) };
        }
        if !segment.has(SYN) {
            return (self, None);
        }
        self.irs = segment.seq;
        self.rcv_nxt = segment.seq.wrapping_add(1);
        if segment.has(ACK) {
            self.snd_una = segment.ack;
            self.state = Established;
            return self.acknowledge();
        }
        self.state = SynReceived;
        (self, Some(self.segment(SYN | ACK, self.iss, 0)))
    }

    /// Section 3.10.7.4, step by step.
    fn in_other_states(self, segment: &Segment) -> Step {
        // The second segment of a simultaneous open (figure 8): its SYN is the one received already.
        let crossed = self.state == SynReceived && segment.has(SYN | ACK) && segment.seq == self.irs;
        let segment = if crossed {
            Segment { flags: ACK, seq: segment.seq.wrapping_add(1), ..*segment }
        } else {
            *segment
        };
        // First, the sequence number.
        if !self.is_in_window(&segment) {
            return if segment.has(RST) { (self, None) } else { self.acknowledge() };
        }
        // Second, the RST bit.
        if segment.has(RST) {
            return self.in_window_reset(&segment);
        }
        // Fourth, the SYN bit.
        if segment.has(SYN) {
            let back_to_listen = self.state == SynReceived && self.passive;
            return if back_to_listen { (self.gone(false), None) } else { self.acknowledge() };
        }
        // Fifth, the ACK field.
        if !segment.has(ACK) {
            return (self, None);
        }
        let acknowledged = match self.take_acknowledgement(&segment) {
            Ok(acknowledged) => acknowledged,
            Err(step) => return step,
        };
        if acknowledged.state.is_gone() || segment.length() == 0 {
            return (acknowledged, None);
        }
        // Seventh and eighth, the payload and the FIN bit.
        acknowledged.take_octets(&segment).acknowledge()
    }

    fn is_in_window(&self, segment: &Segment) -> bool {
        let inside = |number: u32| number.wrapping_sub(self.rcv_nxt) < WINDOW;
        let length = segment.length();
        inside(segment.seq) || length > 0 && inside(segment.seq.wrapping_add(length - 1))
    }

    /// RFC 5961 section 3.2, and RFC 1337.
    fn in_window_reset(self, segment: &Segment) -> Step {
        if self.state == TimeWait {
            (self, None)
        } else if segment.seq == self.rcv_nxt {
            (self.gone(false), None)
        } else {
            self.acknowledge()
        }
    }

    fn take_acknowledgement(mut self, segment: &Segment) -> Result<Endpoint, Step> {
        let new = after(segment.ack, self.snd_una) && !after(segment.ack, self.snd_nxt);
        if self.state == SynReceived {
            if !new {
                return Err(self.refuse(segment));
            }
            self.state = Established;
        }
        // RFC 5961 section 5.2.
        if after(segment.ack, self.snd_nxt) || before(segment.ack, self.snd_una.wrapping_sub(WINDOW)) {
            return Err(self.acknowledge());
        }
        if new {
            self.snd_una = segment.ack;
        }
        if self.fin_sent && self.snd_una == self.snd_nxt {
            match self.state {
                FinWait1 => self.state = FinWait2,
                Closing => self.state = TimeWait,
                LastAck => return Ok(self.gone(false)),
                Closed | Listen | SynSent | SynReceived | Established | FinWait2 | CloseWait | TimeWait => {}
            }
        }
        Ok(self)
    }

    fn take_octets(mut self, segment: &Segment) -> Endpoint {
        if !matches!(self.state, Established | FinWait1 | FinWait2) {
            return self;
        }
        for number in 0..u32::from(segment.octets) {
            let distance = segment.seq.wrapping_add(number).wrapping_sub(self.rcv_nxt);
            if distance < 8 {
                self.held |= 1 << distance;
            }
        }
        let fin = segment.end().wrapping_sub(1).wrapping_sub(self.rcv_nxt);
        if segment.has(FIN) && fin < 8 {
            self.held_fin = fin as u8 + 1;
        }
        while self.held & 1 == 1 {
            self.held >>= 1;
            self.held_fin = self.held_fin.saturating_sub(1);
            self.rcv_nxt = self.rcv_nxt.wrapping_add(1);
        }
        if self.held_fin == 1 { self.take_fin() } else { self }
    }

    fn take_fin(mut self) -> Endpoint {
        self.held = 0;
        self.held_fin = 0;
        self.rcv_nxt = self.rcv_nxt.wrapping_add(1);
        self.state = match self.state {
            Established => CloseWait,
            FinWait1 => Closing,
            FinWait2 => TimeWait,
            unmoved
            @ (Closed | Listen | SynSent | SynReceived | CloseWait | Closing | LastAck | TimeWait) => unmoved,
        };
        self
    }
}
