//! Where a replay's results go.

use std::io;

use crate::io::Timestamp;
use crate::shard::{Counters, Record, Verdict};
use crate::time::Tick;
use crate::wire::{Addresses, Packet, Transport};

/// What is told of a packet, kept apart from its bytes: a fragment's line comes when its datagram is judged.
#[derive(Debug, Clone)]
pub(super) struct PacketLine {
    pub(super) number: u64,
    /// Nanoseconds since the first packet; negative where a capture goes back.
    pub(super) since_first: i128,
    pub(super) protocol: Option<u8>,
    pub(super) source: Option<std::net::IpAddr>,
    pub(super) destination: Option<std::net::IpAddr>,
    pub(super) ports: Option<(u16, u16)>,
    pub(super) length: Option<u32>,
}

impl PacketLine {
    /// The line of `packet`, before there is a verdict.
    pub(super) fn of(number: u64, since_first: i128, packet: &Packet<'_>) -> PacketLine {
        let (source, destination) = match packet.addresses {
            Addresses::None => (None, None),
            Addresses::V4 { source, destination } => {
                (Some(source.to_be_bytes().into()), Some(destination.to_be_bytes().into()))
            }
            Addresses::V6 { source, destination } => (Some((*source).into()), Some((*destination).into())),
        };
        let has_ports = !matches!(packet.transport, Transport::Untracked);
        PacketLine {
            number,
            since_first,
            protocol: source.map(|_| packet.protocol),
            source,
            destination,
            ports: packet.ports.filter(|_| has_ports).map(|ports| (ports.source, ports.destination)),
            length: source.map(|_| packet.length),
        }
    }
}

/// The end of a replay, in numbers.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    pub(super) packets: u64,
    pub(super) counters: &'a Counters,
    pub(super) start: Option<Timestamp>,
    /// Live connections by protocol name, and TCP's by states, sorted by name.
    pub(super) by_protocol: Vec<(String, u64)>,
    pub(super) by_states: Vec<(String, u64)>,
    pub(super) live: u64,
}

/// One form of output.
pub(super) trait Sink {
    /// A packet has its verdict.
    fn packet(&mut self, line: &PacketLine, verdict: &Verdict) -> io::Result<()>;
    /// A connection has ended, or the replay has and it lives; `now` is the capture's clock.
    fn connection(&mut self, record: &Record, now: Tick) -> io::Result<()>;
    /// The replay is over.
    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()>;
}
