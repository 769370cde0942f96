//! JSON Lines: one object for each packet, each connection, and the whole.
//!
//! The shapes are the contract's: other programs read them. Numbers are seconds since the capture's first
//! packet, but for `start`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::detail::Detail;
use super::sink::{PacketLine, Sink, Summary};
use crate::json::{Connection, StateName, names, protocol_name};
use crate::shard::{Action, Class, Reason, Record, Verdict};
use crate::time::Tick;

/// Writes JSON Lines.
pub(super) struct Lines<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Lines<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Lines<'a> {
        Lines { out }
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.out, value)?;
        self.out.write_all(b"\n")
    }
}

/// A packet's line.
#[derive(Serialize)]
pub(super) struct PacketObject<'a> {
    record: &'static str,
    number: u64,
    time: f64,
    verdict: &'static str,
    class: &'static str,
    direction: Option<&'static str>,
    reason: Option<&'static str>,
    connection: Option<u64>,
    states: Option<[StateName; 2]>,
    protocol: Option<Cow<'static, str>>,
    source: Option<IpAddr>,
    source_port: Option<u16>,
    destination: Option<IpAddr>,
    destination_port: Option<u16>,
    length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a Detail>,
}

#[derive(Serialize)]
struct ConnectionObject {
    record: &'static str,
    #[serde(flatten)]
    connection: Connection<'static>,
}

#[derive(Serialize)]
struct SummaryObject<'a> {
    record: &'static str,
    packets: u64,
    accepted: u64,
    dropped: u64,
    by_class: BTreeMap<&'static str, u64>,
    by_reason: BTreeMap<&'static str, u64>,
    start: Option<f64>,
    connections: ConnectionsObject<'a>,
}

#[derive(Serialize)]
struct ConnectionsObject<'a> {
    created: u64,
    live: u64,
    by_protocol: BTreeMap<&'a str, u64>,
    by_states: BTreeMap<&'a str, u64>,
}

impl<'a> PacketObject<'a> {
    /// What is told of a packet.
    pub(super) fn of(
        record: &'static str,
        line: &PacketLine,
        verdict: &Verdict,
        detail: Option<&'a Detail>,
    ) -> PacketObject<'a> {
        let is_v6 = line.source.is_some_and(|source| source.is_ipv6());
        PacketObject {
            record,
            detail,
            number: line.number,
            time: line.since_first as f64 / 1e9,
            verdict: match verdict.action {
                Action::Accept => "accept",
                Action::Drop | Action::Held => "drop",
            },
            class: verdict.class.name(),
            direction: verdict.subject.map(|subject| subject.direction.name()),
            reason: verdict.reason.map(Reason::name),
            connection: verdict.subject.map(|subject| subject.id),
            states: verdict.subject.and_then(|subject| subject.states).map(names),
            protocol: line.protocol.map(|protocol| protocol_name(protocol, is_v6)),
            source: line.source,
            source_port: line.ports.map(|(source, _)| source),
            destination: line.destination,
            destination_port: line.ports.map(|(_, destination)| destination),
            length: line.length,
        }
    }
}

impl Sink for Lines<'_> {
    fn packet(&mut self, line: &PacketLine, verdict: &Verdict, detail: Option<&Detail>) -> io::Result<()> {
        self.line(&PacketObject::of("packet", line, verdict, detail))
    }

    fn connection(&mut self, record: &Record, now: Tick) -> io::Result<()> {
        self.line(&ConnectionObject { record: "connection", connection: Connection::of(record, now) })
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        let counters = summary.counters;
        let classes = Class::ALL.into_iter().zip(counters.by_class);
        let reasons = Reason::all().zip(counters.by_reason);
        self.line(&SummaryObject {
            record: "summary",
            packets: summary.packets,
            accepted: counters.accepted,
            dropped: counters.dropped,
            by_class: classes.filter(|(_, n)| *n > 0).map(|(class, n)| (class.name(), n)).collect(),
            by_reason: reasons.filter(|(_, n)| *n > 0).map(|(reason, n)| (reason.name(), n)).collect(),
            start: summary.start.map(|start| start.seconds()),
            connections: ConnectionsObject {
                created: counters.begun,
                live: summary.live,
                by_protocol: summary.by_protocol.iter().map(|(name, n)| (name.as_str(), *n)).collect(),
                by_states: summary.by_states.iter().map(|(name, n)| (name.as_str(), *n)).collect(),
            },
        })?;
        self.out.flush()
    }
}
