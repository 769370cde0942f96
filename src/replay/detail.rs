//! `detail` of a packet's line: the numbers behind its reason, as docs/reasons.md names them.
//!
//! ```text
//!  shard::Evidence ───────────┐
//!  a fragment's own header ───┴─► Detail ─► {"seq":…,"expected":[low,high],"window":…}
//! ```
//!
//! The names are the contract's (`seq`, `expected`, `window`) or documented beside each reason, where a test
//! holds them. What a reason has no number for is left out, so an absent key is "there is none".

use std::net::IpAddr;

use serde::Serialize;

use super::sink::PacketLine;
use crate::io::scenario::Numbers;
use crate::json::protocol_name;
use crate::shard::{Evidence, Quoted, Reason, Verdict};
use crate::tcp;
use crate::time::{Span, Tick};
use crate::wire::{self, Flags};

/// The object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Detail {
    /// A header or packet that is cut.
    Truncated { layer: &'static str, needed: u32, present: u32 },
    /// An IP header's first byte.
    IpHeader { version: u8, header_length: u8 },
    /// A length field.
    Length { length: u32, expected: [u32; 2] },
    /// An option or an extension header.
    Option {
        offset: u32,
        kind: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        length: Option<u8>,
    },
    /// A checksum.
    Checksum { found: u16, computed: u16 },
    /// TCP's data offset.
    Offset { header_length: u32, expected: [u32; 2] },
    /// TCP's flags.
    Flags { flags: String },
    /// An ICMP type.
    IcmpType {
        #[serde(rename = "type")]
        icmp_type: u8,
        code: u8,
    },
    /// A fragment's place, and how long its datagram was waited for.
    Fragment(Fragment),
    /// A segment that a connection refuses.
    Segment {
        seq: u32,
        ack: u32,
        length: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        expected: Option<[u32; 2]>,
        window: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        exact: Option<[u32; 2]>,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        time_wait: Option<TimeWait>,
    },
    /// A segment that begins no connection.
    Beginning {
        seq: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        ack: Option<u32>,
        length: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_in: Option<f64>,
    },
    /// An ICMP query's reply.
    Query {
        #[serde(rename = "type")]
        kind: u8,
        id: u16,
    },
    /// What an ICMP error quotes.
    Quote {
        #[serde(skip_serializing_if = "Option::is_none")]
        quoted: Option<QuotedPacket>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expected: Option<[u32; 2]>,
    },
    /// A full table.
    Full { live: u32, capacity: u32 },
}

/// What a SYN in TIME_WAIT would need beside its sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct TimeWait {
    /// The SYN's own timestamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u32>,
    /// The newest one of the old incarnation: RFC 6191 wants a greater one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_timestamp: Option<u32>,
    /// Seconds that TIME_WAIT lasts yet.
    expires_in: f64,
}

/// A fragment by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Fragment {
    /// The datagram's identification.
    pub(super) id: u32,
    /// Where its payload belongs, in bytes.
    pub(super) offset: u32,
    /// How long its payload is, in bytes.
    pub(super) length: u32,
    /// Whether more were to follow.
    pub(super) more: bool,
    /// Seconds that it was held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<f64>,
}

/// The packet that an ICMP error quotes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct QuotedPacket {
    protocol: String,
    source: IpAddr,
    source_port: Option<u16>,
    destination: IpAddr,
    destination_port: Option<u16>,
}

impl Detail {
    /// The object of a packet whose verdict was found at `now`.
    pub(super) fn of_verdict(
        line: &PacketLine,
        verdict: &Verdict,
        evidence: Option<&Evidence>,
        now: Tick,
    ) -> Option<Detail> {
        match (verdict.reason, line.fragment) {
            // Nobody has put it together: what is known is what the piece says of itself.
            (Some(Reason::Fragment(_)), Some(fragment)) => {
                let held = Some(seconds(now.since(line.at.tick())));
                Some(Detail::Fragment(Fragment { held, ..fragment }))
            }
            (Some(_) | None, _) => evidence.map(Detail::of),
        }
    }

    /// Those of its numbers that a scenario can expect.
    pub(super) fn numbers(&self) -> Numbers {
        match *self {
            Detail::Segment { seq, ack, expected, window, .. } => {
                Numbers { seq: Some(seq), ack: Some(ack), expected, window: Some(window) }
            }
            Detail::Beginning { seq, ack, .. } => Numbers { seq: Some(seq), ack, ..Numbers::default() },
            Detail::Quote { seq, expected, .. } => Numbers { seq, expected, ..Numbers::default() },
            Detail::Length { expected, .. } | Detail::Offset { expected, .. } => {
                Numbers { expected: Some(expected), ..Numbers::default() }
            }
            Detail::Truncated { .. }
            | Detail::IpHeader { .. }
            | Detail::Option { .. }
            | Detail::Checksum { .. }
            | Detail::Flags { .. }
            | Detail::IcmpType { .. }
            | Detail::Fragment(_)
            | Detail::Query { .. }
            | Detail::Full { .. } => Numbers::default(),
        }
    }

    /// The object of `evidence`.
    fn of(evidence: &Evidence) -> Detail {
        match *evidence {
            Evidence::Malformed(evidence) => Detail::of_wire(evidence),
            Evidence::Segment(detail) => Detail::of_segment(detail, None),
            Evidence::TimeWait { detail, lasts } => Detail::of_segment(detail, Some(lasts)),
            Evidence::Beginning { seq, ack, length, lasts } => Detail::Beginning {
                seq: seq.0,
                ack: ack.map(|ack| ack.0),
                length,
                expires_in: lasts.map(seconds),
            },
            Evidence::Query(query) => Detail::Query { kind: query.kind, id: query.id },
            Evidence::Quote(quoted) => Detail::of_quote(quoted),
            Evidence::Full { live, capacity } => Detail::Full { live, capacity },
        }
    }

    fn of_wire(evidence: wire::Evidence) -> Detail {
        match evidence {
            wire::Evidence::Truncated { layer, needed, present } => {
                Detail::Truncated { layer: layer.name(), needed, present }
            }
            wire::Evidence::IpHeader { version, header_length } => {
                Detail::IpHeader { version, header_length }
            }
            wire::Evidence::Length { length, expected } => Detail::Length { length, expected },
            wire::Evidence::Option { offset, kind, length } => Detail::Option { offset, kind, length },
            wire::Evidence::Checksum { found, computed } => Detail::Checksum { found, computed },
            wire::Evidence::Offset { header_length, expected } => Detail::Offset { header_length, expected },
            wire::Evidence::Flags(flags) => Detail::Flags { flags: flag_names(flags) },
            wire::Evidence::IcmpType { icmp_type, code } => Detail::IcmpType { icmp_type, code },
            wire::Evidence::Fragment { id, offset, length, more } => {
                Detail::Fragment(Fragment { id, offset, length, more, held: None })
            }
        }
    }

    fn of_segment(detail: tcp::Detail, lasts: Option<Span>) -> Detail {
        let tcp::Detail { seq, ack, length, expected, window, exact, timestamps } = detail;
        let [timestamp, last_timestamp] = timestamps.unwrap_or_default();
        let time_wait = lasts.map(|lasts| TimeWait { timestamp, last_timestamp, expires_in: seconds(lasts) });
        Detail::Segment { seq, ack, length, expected, window, exact, time_wait }
    }

    fn of_quote(quoted: Quoted) -> Detail {
        let Quoted { addresses, ports, seq, in_flight } = quoted;
        Detail::Quote {
            quoted: addresses.map(|(protocol, source, destination)| QuotedPacket {
                protocol: protocol_name(protocol, source.is_ipv6()).into_owned(),
                source,
                source_port: ports.map(|(port, _)| port),
                destination,
                destination_port: ports.map(|(_, port)| port),
            }),
            seq: seq.map(|seq| seq.0),
            // The last one in flight is the highest that would have been right; where nothing is, no number would.
            expected: in_flight
                .filter(|[first, end]| first.is_before(*end))
                .map(|[first, end]| [first.0, end.minus(1).0]),
        }
    }
}

fn seconds(span: Span) -> f64 {
    f64::from(span.milliseconds()) / 1e3
}

/// The flags by their names, in the order of tcpdump and the RFC's header; `none` where there is none.
pub(super) fn flag_names(flags: Flags) -> String {
    const NAMES: [(Flags, &str); 8] = [
        (Flags::SYN, "SYN"),
        (Flags::FIN, "FIN"),
        (Flags::RST, "RST"),
        (Flags::PSH, "PSH"),
        (Flags::ACK, "ACK"),
        (Flags::URG, "URG"),
        (Flags(0x40), "ECE"),
        (Flags(0x80), "CWR"),
    ];
    let set: Vec<&str> =
        NAMES.into_iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, name)| name).collect();
    if set.is_empty() { "none".to_owned() } else { set.join("+") }
}
