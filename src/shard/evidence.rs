//! What a verdict was made of: the numbers behind a reason, and a connection as it is at one instant.
//!
//! ```text
//!  process ─► Verdict { reason } ─► Observer::evidence(token, Evidence)     only where it is wanted
//!                                       ▲ from the packet once more, and from the table: what was refused
//!                                         has changed nothing, so the numbers are still there
//! ```
//!
//! A verdict is small because there are millions a second; its evidence is for one packet that a person asks
//! about. An embedding that does not want it ([`Observer::wants_evidence`]) pays nothing: the question is
//! answered when the program is compiled.

use super::related::{quoted_key, quoted_ports};
use super::verdict::{Reason, Verdict};
use super::{Arrival, Observer, Record, Shard, key_of};
use crate::fragments::Token;
use crate::table::Index;
use crate::tcp::{self, Irregular};
use crate::time::{Span, Tick};
use crate::wire::{self, Addresses, Direction, Flags, Frame, Packet, Query, QuotedTransport, Seq, Transport};
use std::net::IpAddr;

/// The numbers behind a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Malformed: what was compared.
    Malformed(wire::Evidence),
    /// A TCP segment that a connection refuses.
    Segment(tcp::Detail),
    /// A SYN that TIME_WAIT refuses.
    TimeWait {
        /// What was compared.
        detail: tcp::Detail,
        /// How long TIME_WAIT lasts yet.
        lasts: Span,
    },
    /// A TCP segment that cannot begin a connection.
    Beginning {
        /// Its sequence number.
        seq: Seq,
        /// Its acknowledgement number; none without ACK.
        ack: Option<Seq>,
        /// How many sequence numbers it takes.
        length: u32,
        /// How long quiet time lasts yet, where that is the reason.
        lasts: Option<Span>,
    },
    /// An ICMP query that nobody asked.
    Query(Query),
    /// An ICMP error that is about no live connection, or not about what is in flight there.
    Quote(Quoted),
    /// A full table.
    Full {
        /// How many connections live.
        live: u32,
        /// How many there can be.
        capacity: u32,
    },
}

/// What an ICMP error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// The protocol's number, the quoted packet's sender and receiver; none where it could not be read.
    pub addresses: Option<(u8, IpAddr, IpAddr)>,
    /// Both ports, where the quote has some.
    pub ports: Option<(u16, u16)>,
    /// The quoted sequence number of TCP.
    pub seq: Option<Seq>,
    /// What the quoted connection's side has in flight, from the first number to the one behind the last;
    /// none where there is no such connection, or it is not TCP.
    pub in_flight: Option<[Seq; 2]>,
}

/// A connection at one instant, with what the tracker keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glimpse {
    /// What is told of every connection.
    pub record: Record,
    /// The way that the packet, or of an ICMP error the quoted one, goes.
    pub direction: Direction,
    /// What TCP's tracker knows; none of what is not TCP.
    pub tracked: Option<(tcp::Connection, Irregular)>,
}

/// Where the bytes of a packet are.
pub(super) enum Source<'a> {
    /// In its frame.
    Frame(&'a Frame<'a>),
    /// In what was kept of a datagram.
    Datagram(&'a wire::Datagram<'a>),
}

impl Shard {
    /// Tells the evidence behind a verdict, where there is a reason and somebody wants to know.
    #[inline(always)]
    pub(super) fn testify<O: Observer>(
        &self,
        packet: &Packet<'_>,
        source: &Source<'_>,
        (zone, now): (u16, Tick),
        verdict: &Verdict,
        tokens: &[Token],
        observer: &mut O,
    ) {
        if !observer.wants_evidence() {
            return;
        }
        let Some(reason) = verdict.reason else { return };
        if let Some(evidence) = self.evidence(packet, source, (zone, now), reason) {
            for &token in tokens {
                observer.evidence(token, &evidence);
            }
        }
    }

    /// The same of a packet that came in a frame of its own.
    pub(super) fn testify_of_frame<O: Observer>(
        &self,
        packet: &Packet<'_>,
        arrival: &Arrival<'_>,
        now: Tick,
        verdict: &Verdict,
        observer: &mut O,
    ) {
        let source = Source::Frame(&arrival.frame);
        self.testify(packet, &source, (arrival.zone, now), verdict, &[arrival.token], observer);
    }

    #[cold]
    fn evidence(
        &self,
        packet: &Packet<'_>,
        source: &Source<'_>,
        (zone, now): (u16, Tick),
        reason: Reason,
    ) -> Option<Evidence> {
        match (reason, &packet.transport) {
            (Reason::Wire(fault), _) => match source {
                Source::Frame(frame) => wire::evidence(frame, fault),
                Source::Datagram(whole) => wire::evidence_of_datagram(whole, fault),
            }
            .map(Evidence::Malformed),
            (Reason::Tcp(refusal), Transport::Tcp(segment)) => {
                self.of_segment(packet, segment, (zone, now), refusal)
            }
            (Reason::Flow(_), Transport::Query(query)) => Some(Evidence::Query(*query)),
            (Reason::Flow(_), Transport::Error(quote)) => {
                Some(Evidence::Quote(self.of_quote(packet, quote, zone, now)))
            }
            (Reason::Shard(super::Refusal::TableFull), _) => {
                Some(Evidence::Full { live: self.table.len(), capacity: self.table.capacity() })
            }
            // Fragments that were not put together have no packet; ports are the embedding's own.
            (Reason::Fragment(_) | Reason::Tcp(_) | Reason::Flow(_) | Reason::Shard(_), _) => None,
        }
    }

    fn of_segment(
        &self,
        packet: &Packet<'_>,
        segment: &wire::Segment<'_>,
        (zone, now): (u16, Tick),
        refusal: tcp::Refusal,
    ) -> Option<Evidence> {
        let ack = segment.flags.has(Flags::ACK).then_some(segment.ack);
        let (seq, length) = (segment.seq, segment.length());
        match refusal {
            tcp::Refusal::QuietTime => {
                let lasts = self.quiet_until.map(|until| until.since(now));
                Some(Evidence::Beginning { seq, ack, length, lasts })
            }
            tcp::Refusal::NoSyn | tcp::Refusal::NoConnection => {
                Some(Evidence::Beginning { seq, ack, length, lasts: None })
            }
            tcp::Refusal::OutOfWindow
            | tcp::Refusal::AckOutOfWindow
            | tcp::Refusal::AfterFin
            | tcp::Refusal::RstNotExact
            | tcp::Refusal::UnexpectedSynAck
            | tcp::Refusal::NotSynchronized
            | tcp::Refusal::TimeWait => {
                let key = key_of(packet, zone)?;
                let (index, direction) = self.look_up(self.table.hash(&key), &key)?;
                let tracked = tcp::Connection::from_words(self.table.connection(index).tracker());
                let irregular = self.irregular(index, &tracked);
                let detail = tcp::detail(&tracked, &irregular, direction, segment, refusal);
                Some(if refusal == tcp::Refusal::TimeWait {
                    let lasts = self.table.connection(index).deadline().since(now);
                    Evidence::TimeWait { detail, lasts }
                } else {
                    Evidence::Segment(detail)
                })
            }
        }
    }

    fn of_quote(&self, packet: &Packet<'_>, quote: &wire::Quote<'_>, zone: u16, now: Tick) -> Quoted {
        let seq = match quote.transport {
            QuotedTransport::Tcp(_, seq) => Some(seq),
            QuotedTransport::Unknown
            | QuotedTransport::Udp(_)
            | QuotedTransport::Query(_)
            | QuotedTransport::Other => None,
        };
        let in_flight = seq.and_then(|_| {
            let (index, direction) = self.place_of(packet, zone, now)?;
            self.in_flight(index, direction.opposite())
        });
        Quoted {
            addresses: endpoints(quote.addresses).map(|(from, to)| (quote.protocol, from, to)),
            ports: quoted_ports(&quote.transport),
            seq,
            in_flight,
        }
    }

    /// The live connection that a packet belongs to, or bears the tuple of, or of an ICMP error is about, and
    /// the packet's way. It is only looked at: nothing is judged.
    pub fn glimpse(&self, packet: &Packet<'_>, zone: u16, now: Tick) -> Option<Glimpse> {
        let (index, direction) = self.place_of(packet, zone, now)?;
        let record = self.record(index);
        let tracked = record.states.map(|_| {
            let tracked = tcp::Connection::from_words(self.table.connection(index).tracker());
            (tracked, self.irregular(index, &tracked))
        });
        Some(Glimpse { record, direction, tracked })
    }

    fn place_of(&self, packet: &Packet<'_>, zone: u16, now: Tick) -> Option<(Index, Direction)> {
        let key = match &packet.transport {
            Transport::Error(quote) => quoted_key(quote, zone)?,
            Transport::Untracked
            | Transport::Malformed(_)
            | Transport::Tcp(_)
            | Transport::Udp
            | Transport::Query(_)
            | Transport::Fragment(_)
            | Transport::Other => key_of(packet, zone)?,
        };
        let (index, way) = self.look_up(self.table.hash(&key), &key)?;
        // An error travels against what it quotes.
        let direction = if matches!(packet.transport, Transport::Error(_)) { way.opposite() } else { way };
        (!self.is_over(index, now)).then_some((index, direction))
    }
}

/// Sender and receiver.
fn endpoints(addresses: Addresses<'_>) -> Option<(IpAddr, IpAddr)> {
    match addresses {
        Addresses::None => None,
        Addresses::V4 { source, destination } => {
            Some((source.to_be_bytes().into(), destination.to_be_bytes().into()))
        }
        Addresses::V6 { source, destination } => Some(((*source).into(), (*destination).into())),
    }
}
