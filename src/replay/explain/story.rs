//! What is known of the packet that is explained: gathered while the engine judges it, judged by nobody else.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::past::Past;
use crate::replay::detail::flag_names;
use crate::replay::sink::PacketLine;
use crate::shard::{Evidence, Glimpse, Record, Settings, Verdict};
use crate::tcp::{self, Bounds, State};
use crate::time::{Span, Tick};
use crate::wire::protocol::{TCP, UDP};
use crate::wire::{self, Direction, Flags, Packet, Seq, Transport};

/// Everything that a story is told from.
#[derive(Debug, Clone)]
pub(super) struct Story {
    /// What stands on the packet's line.
    pub(super) line: PacketLine,
    /// What it is beyond that.
    pub(super) kind: Kind,
    pub(super) verdict: Verdict,
    pub(super) evidence: Option<Evidence>,
    /// The connection of its tuple, before it and behind it.
    pub(super) before: Option<Glimpse>,
    pub(super) after: Option<Glimpse>,
    /// What led to it.
    pub(super) past: Option<Past>,
    /// Connections that ended by it, and what had led to them.
    pub(super) ended: Vec<(Record, Option<Past>)>,
    pub(super) settings: Settings,
    /// When it was judged: for a fragment that had to wait, later than it came.
    pub(super) now: Tick,
}

/// What a packet is, apart from its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Untracked,
    Malformed,
    Tcp(Segment),
    Udp,
    Query(wire::Query),
    Error,
    Fragment,
    Other,
}

/// A TCP segment's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) seq: Seq,
    pub(super) ack: Seq,
    pub(super) flags: Flags,
    pub(super) window: u16,
    pub(super) payload: u32,
    pub(super) length: u32,
    pub(super) scale: Option<u8>,
    pub(super) timestamp: Option<u32>,
}

impl Kind {
    pub(super) fn of(packet: &Packet<'_>) -> Kind {
        match &packet.transport {
            Transport::Untracked => Kind::Untracked,
            Transport::Malformed(_) => Kind::Malformed,
            Transport::Tcp(segment) => Kind::Tcp(Segment {
                seq: segment.seq,
                ack: segment.ack,
                flags: segment.flags,
                window: segment.window,
                payload: segment.payload,
                length: segment.length(),
                scale: segment.options.window_scale(),
                timestamp: segment.options.timestamps().map(|(value, _)| value),
            }),
            Transport::Udp => Kind::Udp,
            Transport::Query(query) => Kind::Query(*query),
            Transport::Error(_) => Kind::Error,
            Transport::Fragment(_) => Kind::Fragment,
            Transport::Other => Kind::Other,
        }
    }

    pub(super) fn segment(&self) -> Option<&Segment> {
        match self {
            Kind::Tcp(segment) => Some(segment),
            Kind::Untracked
            | Kind::Malformed
            | Kind::Udp
            | Kind::Query(_)
            | Kind::Error
            | Kind::Fragment
            | Kind::Other => None,
        }
    }
}

impl Segment {
    pub(super) fn end(&self) -> Seq {
        self.seq.plus(self.length)
    }
}

/// The flags that say what a segment does.
pub(super) fn telling_flags(flags: Flags) -> String {
    let telling = Flags::SYN.with(Flags::FIN).with(Flags::RST).with(Flags::ACK);
    match flag_names(Flags(flags.0 & telling.0)).as_str() {
        "SYN+ACK" => "SYN-ACK".to_owned(),
        "FIN+ACK" => "FIN".to_owned(),
        other => other.to_owned(),
    }
}

/// An endpoint's name in sentences.
pub(super) const fn endpoint(sender: Direction) -> &'static str {
    match sender {
        Direction::Original => "originator",
        Direction::Reply => "responder",
    }
}

impl Story {
    pub(super) fn segment(&self) -> Option<&Segment> {
        self.kind.segment()
    }

    /// What the packet's sender could have sent, where its connection was there before it.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        let glimpse = self.before?;
        let (connection, irregular) = glimpse.tracked?;
        let length = self.segment().map_or(0, |segment| segment.length);
        Some(tcp::bounds(&connection, &irregular, glimpse.direction, length))
    }

    /// The packet's way; of an ICMP error that is no part of a connection, none.
    pub(super) fn direction(&self) -> Option<Direction> {
        self.verdict.subject.map(|subject| subject.direction).or(self.before.map(|before| before.direction))
    }

    /// The name of whoever sent the packet.
    pub(super) fn sender(&self) -> &'static str {
        self.direction().map_or("sender", endpoint)
    }

    /// The name of the other one.
    pub(super) fn receiver(&self) -> &'static str {
        self.direction().map_or("receiver", |direction| endpoint(direction.opposite()))
    }

    pub(super) fn states_before(&self) -> Option<[State; 2]> {
        self.before?.record.states
    }

    /// Whether the handshake was over before the packet.
    pub(super) fn is_open(&self) -> bool {
        let opening = [State::Listen, State::SynSent, State::SynReceived];
        self.states_before().is_some_and(|states| !states.iter().any(|state| opening.contains(state)))
    }

    /// Whether its sender had sent a SYN, and nobody had answered that.
    pub(super) fn has_sent_syn(&self) -> bool {
        let states = self.states_before().zip(self.direction());
        states.is_some_and(|(states, sender)| states[sender.index()] == State::SynSent)
    }

    pub(super) fn states_after(&self) -> Option<[State; 2]> {
        self.verdict.subject.and_then(|subject| subject.states)
    }

    /// A sequence number of whoever sends in `sender`: as it is, and counted from that endpoint's SYN where
    /// it was seen.
    pub(super) fn number(&self, seq: Seq, sender: Direction) -> String {
        match self.initial(sender) {
            Some(initial) => {
                // What lies before the SYN is far away on the circle: a negative number says it better.
                let relative = seq.offset_from(initial) as i32;
                format!("{} (relative {relative})", seq.0)
            }
            None => seq.0.to_string(),
        }
    }

    /// That endpoint's initial sequence number.
    pub(super) fn initial(&self, sender: Direction) -> Option<Seq> {
        let remembered = self.past.as_ref().and_then(|past| past.initials[sender.index()]);
        let tracked = self.before.or(self.after).and_then(|glimpse| glimpse.tracked);
        remembered.or_else(|| tracked.and_then(|(connection, _)| connection.initial(sender)))
    }
}

/// Milliseconds as people say them.
pub(super) fn span(span: Span) -> String {
    let milliseconds = span.milliseconds();
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    if milliseconds < 1000 {
        return format!("{milliseconds} ms");
    }
    if seconds < 120 {
        return if rest == 0 { format!("{seconds} s") } else { format!("{seconds}.{rest:03} s") };
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, "h"), (minutes, "min"), (seconds, "s")];
    let mut text = String::new();
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{count} {unit}");
    }
    text
}

/// Packets, one or more.
pub(super) fn packets(count: u64) -> String {
    if count == 1 { "1 packet".to_owned() } else { format!("{count} packets") }
}

/// Bytes, one or more.
pub(super) fn bytes(count: u32) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// An address with its port, where the protocol has some.
pub(super) fn place(address: IpAddr, port: Option<u16>) -> String {
    match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    }
}

/// One end of a connection.
pub(super) fn end_of(record: &Record, (address, port): (IpAddr, u16)) -> String {
    place(address, matches!(record.protocol, TCP | UDP).then_some(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_their_own_units() {
        let text = |milliseconds| span(Span::from_milliseconds(milliseconds));
        assert_eq!(text(7), "7 ms");
        assert_eq!(text(60_000), "60 s");
        assert_eq!(text(59_875), "59.875 s");
        assert_eq!(text(7_440_000), "2 h 4 min");
        assert_eq!(text(3_600_000), "1 h");
        assert_eq!(text(125_500), "2 min 5 s");
    }

    #[test]
    fn flags_are_named_by_what_they_do() {
        let name = |flags: u8| telling_flags(Flags(flags));
        assert_eq!(name(0x12), "SYN-ACK");
        assert_eq!(name(0x18), "ACK");
        assert_eq!(name(0x11), "FIN");
        assert_eq!(name(0x14), "RST+ACK");
        assert_eq!(name(0), "none");
    }
}
