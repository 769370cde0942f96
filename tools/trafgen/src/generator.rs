//! Both ends of all connections: what the client's end begins, and what either end does with what comes.
//!
//! ```text
//!   client's end                       middlebox                     server's end
//!   open ──────────── SYN ──────────────────────────────────────────► answers from the segment alone
//!   Opening ◄──────── SYN-ACK ────────────────────────────────────────┘
//!   Open ──────────── ACK ──────────────────────────────────────────► accepted
//!        ════════════ data, either way, each a retransmission of the first ════
//!   close ─────────── FIN ──────────────────────────────────────────► answers from the segment alone
//!   Closed ◄───────── FIN-ACK ────────────────────────────────────────┘
//!        ──────────── ACK ──────────────────────────────────────────►
//! ```
//!
//! RFC 9693 calls them Initiator and Responder. Sequence numbers tell which connection a segment belongs to (one
//! odd factor makes the initial one of a number, its inverse the number again), so that the server's end knows it
//! whatever a middlebox has made of addresses and ports, which it keeps for what it sends by itself: the
//! Responder's state table.
//!
//! A connection is one byte and one time: a million of them fit into the cache that a core has to itself.
//! Data is sent at the same place of the sequence space again and again, so that no window closes however one-sided
//! the traffic is; an end acknowledges it only once it has arrived.

use lastack::wire::Flags;

use crate::frame::{Addresses, End, Payload, Protocol, Seen, Segment, Shape, age};
use crate::histogram::Histogram;
use crate::neighbour;
use crate::space::{Host, Number, Space, Tuple};
use crate::wire::Wire;

/// From a number to the client's initial sequence number: odd, so that there is a way back.
const CLIENT_FACTOR: u32 = 0x9e37_79b1;
/// The way back: the factor's inverse modulo 2^32.
const CLIENT_INVERSE: u32 = inverse(CLIENT_FACTOR);
/// From a number to the server's initial sequence number.
const SERVER_FACTOR: u32 = 0x85eb_ca6b;

/// What has become of a connection, as the client's end sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    New,
    Opening,
    Open,
    Closing,
    Closed,
    /// Answered with an RST.
    Refused,
}

/// A connection's byte: the state, and what was sent and has arrived on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress(u8);

impl Progress {
    const NEW: Progress = Progress(0);
    /// The last ACK of the handshake has reached the server.
    const ACCEPTED: u8 = 0x08;

    fn state(self) -> State {
        match self.0 & 7 {
            0 => State::New,
            1 => State::Opening,
            2 => State::Open,
            3 => State::Closing,
            4 => State::Closed,
            _ => State::Refused,
        }
    }

    fn set_state(&mut self, state: State) {
        self.0 = self.0 & !7 | state as u8;
    }

    /// Whether an end has sent data.
    fn spoke(end: End) -> u8 {
        0x10 << end as u8
    }

    /// Whether the other end's data has reached an end.
    fn heard(end: End) -> u8 {
        0x40 << end as u8
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    fn set(&mut self, bit: u8) {
        self.0 |= bit;
    }
}

/// What was counted since the generator was made; a phase tells differences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Handshakes that the client's end has seen succeed; over UDP, first datagrams that reached the server.
    pub(crate) opened: u64,
    /// Handshakes whose last segment reached the server.
    pub(crate) accepted: u64,
    /// Connections whose FINs were both acknowledged.
    pub(crate) closed: u64,
    /// Connections that were answered with an RST.
    pub(crate) refused: u64,
    /// Data, by the end that sent it.
    pub(crate) sent: [u64; 2],
    /// Data, by the end that it reached.
    pub(crate) received: [u64; 2],
    /// Bytes of its frames.
    pub(crate) received_bytes: [u64; 2],
    /// Frames that were not the generator's own.
    pub(crate) foreign: u64,
}

/// Both ends.
pub(crate) struct Generator {
    space: Space,
    shape: Shape,
    /// By the end whose addresses they are.
    addresses: [Addresses; 2],
    macs: [[u8; 6]; 2],
    progress: Vec<Progress>,
    /// When its last question was sent, in nanoseconds, without the upper half.
    asked: Vec<u32>,
    /// How the server's end knows the client of each: the Responder's state table.
    clients: Vec<Host>,
    pub(crate) counts: Counts,
    /// Round trips: of handshakes, and of FINs.
    pub(crate) handshakes: Histogram,
    pub(crate) closings: Histogram,
    /// One way, of data, by the end that it reached.
    pub(crate) latencies: [Histogram; 2],
}

impl Generator {
    /// For connections number 0 up to `connections`.
    pub(crate) fn new(
        space: Space,
        shape: Shape,
        connections: u32,
        addresses: [Addresses; 2],
        macs: [[u8; 6]; 2],
    ) -> Generator {
        let clients = (0..connections).map(|number| space.tuple(Number(number)).client).collect();
        Generator {
            space,
            shape,
            addresses,
            macs,
            progress: vec![Progress::NEW; connections as usize],
            asked: vec![0; connections as usize],
            clients,
            counts: Counts::default(),
            handshakes: Histogram::new(),
            closings: Histogram::new(),
            latencies: [Histogram::new(), Histogram::new()],
        }
    }

    /// How many connections there can be.
    pub(crate) fn connections(&self) -> u32 {
        self.progress.len() as u32
    }

    #[cfg(test)]
    pub(crate) fn state(&self, number: Number) -> State {
        self.progress[number.0 as usize].state()
    }

    /// Sends a SYN, or over UDP a datagram; false where there is no room now.
    pub(crate) fn open(&mut self, wire: &mut impl Wire, number: Number, now: u64) -> bool {
        let Tuple { client, server } = self.space.tuple(number);
        let payload = self.is_udp().then_some(Payload { stamp: now, number });
        let segment = Segment { seq: client_start(number), ack: 0, flags: Flags::SYN, payload };
        let is_sent = self.send(wire, End::Client, client, server, &segment);
        if is_sent {
            self.ask(number, State::Opening, now);
        }
        is_sent
    }

    /// Sends data from an end.
    pub(crate) fn speak(&mut self, wire: &mut impl Wire, from: End, number: Number, now: u64) -> bool {
        let Tuple { client, server } = self.space.tuple(number);
        let progress = self.progress[number.0 as usize];
        let starts = [client_start(number), server_start(number)];
        let (source, destination) = match from {
            End::Client => (client, server),
            End::Server => (server, self.clients[number.0 as usize]),
        };
        let heard = if progress.has(Progress::heard(from)) { self.shape.payload() } else { 0 };
        let segment = Segment {
            seq: starts[from as usize].wrapping_add(1),
            ack: starts[from.other() as usize].wrapping_add(1).wrapping_add(heard),
            flags: Flags::ACK.with(Flags::PSH),
            payload: Some(Payload { stamp: now, number }),
        };
        let is_sent = self.send(wire, from, source, destination, &segment);
        if is_sent {
            self.progress[number.0 as usize].set(Progress::spoke(from));
            self.counts.sent[from as usize] += 1;
        }
        is_sent
    }

    /// Sends a FIN.
    pub(crate) fn close(&mut self, wire: &mut impl Wire, number: Number, now: u64) -> bool {
        let is_sent = self.send_last(wire, number, Flags::FIN.with(Flags::ACK));
        if is_sent {
            self.ask(number, State::Closing, now);
        }
        is_sent
    }

    /// Sends an RST.
    pub(crate) fn abort(&mut self, wire: &mut impl Wire, number: Number) -> bool {
        let is_sent = self.send_last(wire, number, Flags::RST.with(Flags::ACK));
        if is_sent {
            self.progress[number.0 as usize].set_state(State::Closed);
        }
        is_sent
    }

    /// Makes connections as if they had never been.
    pub(crate) fn forget(&mut self, from: u32, count: u32) {
        self.progress[from as usize..][..count as usize].fill(Progress::NEW);
    }

    /// Takes what has come to both ends.
    pub(crate) fn receive(&mut self, wire: &mut impl Wire, now: u64) {
        for end in End::BOTH {
            wire.receive(end, |frame| match self.shape.read(frame) {
                Some(seen) => {
                    let length = frame.len();
                    let answer = match end {
                        End::Client => self.at_client(&seen, length, now),
                        End::Server => self.at_server(&seen, length, now),
                    }?;
                    // Answers carry nothing. A bridge or router may have cut the padding off what is answered;
                    // the answer then goes without, too.
                    let out = frame.get_mut(..self.shape.length(false).min(length))?;
                    self.shape.write(end, seen.to, seen.from, &answer, out);
                    Some(out.len())
                }
                None => {
                    let answer =
                        neighbour::answer(self.macs[end as usize], &self.addresses[end as usize], frame);
                    self.counts.foreign += u64::from(answer.is_none());
                    answer
                }
            });
        }
    }

    fn is_udp(&self) -> bool {
        self.shape.protocol() == Protocol::Udp
    }

    fn send(&self, wire: &mut impl Wire, end: End, from: Host, to: Host, segment: &Segment) -> bool {
        let length = self.shape.length(segment.payload.is_some());
        wire.send(end, length, |out| self.shape.write(end, from, to, segment, out))
    }

    /// The client's last segment behind all that it sent.
    fn send_last(&self, wire: &mut impl Wire, number: Number, flags: Flags) -> bool {
        let Tuple { client, server } = self.space.tuple(number);
        let progress = self.progress[number.0 as usize];
        let behind = |bit| if progress.has(bit) { self.shape.payload() + 1 } else { 1 };
        let segment = Segment {
            seq: client_start(number).wrapping_add(behind(Progress::spoke(End::Client))),
            ack: server_start(number).wrapping_add(behind(Progress::heard(End::Client))),
            flags,
            payload: None,
        };
        self.send(wire, End::Client, client, server, &segment)
    }

    fn ask(&mut self, number: Number, state: State, now: u64) {
        self.progress[number.0 as usize].set_state(state);
        self.asked[number.0 as usize] = now as u32;
    }

    /// How long ago it was asked; less than four seconds, or it is counted as lost anyway.
    fn answered_after(&self, number: Number, now: u64) -> u64 {
        u64::from((now as u32).wrapping_sub(self.asked[number.0 as usize]))
    }

    /// What the client's end answers.
    fn at_client(&mut self, seen: &Seen, length: usize, now: u64) -> Option<Segment> {
        let tuple = Tuple { client: seen.to, server: seen.from };
        let number = self.space.number(tuple).filter(|number| number.0 < self.connections());
        let Some(number) = number else {
            self.counts.foreign += 1;
            return None;
        };
        let place = number.0 as usize;
        let state = self.progress[place].state();
        if seen.length > 0 {
            self.progress[place].set(Progress::heard(End::Client));
            self.count_data(End::Client, seen, length, now);
        }
        let is = |flag| seen.flags.has(flag);
        if is(Flags::RST) {
            if state != State::Refused {
                self.counts.refused += 1;
            }
            self.progress[place].set_state(State::Refused);
            return None;
        }
        if is(Flags::SYN) && is(Flags::ACK) && seen.ack == client_start(number).wrapping_add(1) {
            if state == State::Opening {
                self.progress[place].set_state(State::Open);
                self.counts.opened += 1;
                self.handshakes.add(self.answered_after(number, now));
            }
            return Some(acknowledgement(seen, 1));
        }
        if is(Flags::FIN) {
            if state == State::Closing {
                self.progress[place].set_state(State::Closed);
                self.counts.closed += 1;
                self.closings.add(self.answered_after(number, now));
            }
            return Some(acknowledgement(seen, 1));
        }
        None
    }

    /// What the server's end answers: all that it needs stands in the segment.
    fn at_server(&mut self, seen: &Seen, length: usize, now: u64) -> Option<Segment> {
        if self.is_udp() {
            self.datagram_at_server(seen, length, now);
            return None;
        }
        let is = |flag| seen.flags.has(flag);
        if is(Flags::SYN) {
            let number = client_number(seen.seq);
            let Some(client) = self.clients.get_mut(number.0 as usize) else {
                self.counts.foreign += 1;
                return None;
            };
            *client = seen.from;
            let flags = Flags::SYN.with(Flags::ACK);
            let (seq, ack) = (server_start(number), seen.seq.wrapping_add(1));
            return Some(Segment { seq, ack, flags, payload: None });
        }
        if is(Flags::FIN) {
            let flags = Flags::FIN.with(Flags::ACK);
            return Some(Segment { flags, ..acknowledgement(seen, 1) });
        }
        let number = client_number(seen.seq.wrapping_sub(1));
        let progress = self.progress.get_mut(number.0 as usize)?;
        if seen.length > 0 {
            progress.set(Progress::heard(End::Server));
            self.count_data(End::Server, seen, length, now);
        } else if seen.ack == server_start(number).wrapping_add(1) && !progress.has(Progress::ACCEPTED) {
            progress.set(Progress::ACCEPTED);
            self.counts.accepted += 1;
        }
        None
    }

    fn datagram_at_server(&mut self, seen: &Seen, length: usize, now: u64) {
        // Where there is no room for the number, the ends must tell it.
        let by_ends = || self.space.number(Tuple { client: seen.from, server: seen.to });
        let number = seen.number.or_else(by_ends).filter(|number| number.0 < self.connections());
        let Some(number) = number else {
            self.counts.foreign += 1;
            return;
        };
        let place = number.0 as usize;
        self.clients[place] = seen.from;
        if self.progress[place].state() == State::Opening {
            self.progress[place].set_state(State::Open);
            self.counts.opened += 1;
            self.counts.accepted += 1;
            self.handshakes.add(self.answered_after(number, now));
        } else {
            self.count_data(End::Server, seen, length, now);
        }
    }

    fn count_data(&mut self, end: End, seen: &Seen, length: usize, now: u64) {
        self.counts.received[end as usize] += 1;
        self.counts.received_bytes[end as usize] += length as u64;
        if let Some(stamp) = seen.stamp {
            self.latencies[end as usize].add(age(stamp, now));
        }
    }
}

/// An ACK of a segment and of the flag in it that takes a place in the sequence space.
fn acknowledgement(seen: &Seen, flag: u32) -> Segment {
    let ack = seen.seq.wrapping_add(seen.length as u32).wrapping_add(flag);
    Segment { seq: seen.ack, ack, flags: Flags::ACK, payload: None }
}

/// The client's initial sequence number.
fn client_start(number: Number) -> u32 {
    number.0.wrapping_mul(CLIENT_FACTOR)
}

/// Which connection's that is.
fn client_number(start: u32) -> Number {
    Number(start.wrapping_mul(CLIENT_INVERSE))
}

/// The server's initial sequence number.
fn server_start(number: Number) -> u32 {
    number.0.wrapping_mul(SERVER_FACTOR)
}

/// What an odd number has to be multiplied by to give 1, modulo 2^32: by Newton's iteration, which doubles the
/// number of right bits each time, from three.
const fn inverse(odd: u32) -> u32 {
    let mut inverse = odd;
    let mut round = 0;
    while round < 4 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}
