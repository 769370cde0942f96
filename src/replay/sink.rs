//! Where a replay's results go.

use std::io;

use super::detail::{Detail, Fragment};
use crate::io::Timestamp;
use crate::shard::{Counters, Record, Verdict};
use crate::time::{Tick, Time};
use crate::wire::{self, Addresses, Packet, Transport};

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
    /// When it came, on the engine's clock.
    pub(super) at: Time,
    /// What a fragment says of itself.
    pub(super) fragment: Option<Fragment>,
}

impl PacketLine {
    /// The line of `packet`, before there is a verdict.
    pub(super) fn of(number: u64, since_first: i128, at: Time, packet: &Packet<'_>) -> PacketLine {
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
            at,
            fragment: match packet.transport {
                Transport::Fragment(wire::Fragment { id, offset, length, more, .. }) => {
                    Some(Fragment { id, offset, length, more, held: None })
                }
                Transport::Untracked
                | Transport::Malformed(_)
                | Transport::Tcp(_)
                | Transport::Udp
                | Transport::Query(_)
                | Transport::Error(_)
                | Transport::Other => None,
            },
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
    /// The first packet that was dropped.
    pub(super) first_dropped: Option<u64>,
}

/// Writes nothing: where only one packet's story is wanted.
pub(super) struct Silent;

impl Sink for Silent {
    fn packet(&mut self, _: &PacketLine, _: &Verdict, _: Option<&Detail>) -> io::Result<()> {
        Ok(())
    }

    fn connection(&mut self, _: &Record, _: Tick) -> io::Result<()> {
        Ok(())
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }
}

/// One form of output.
pub(super) trait Sink {
    /// A packet has its verdict, with the numbers behind its reason where they are wanted.
    fn packet(&mut self, line: &PacketLine, verdict: &Verdict, detail: Option<&Detail>) -> io::Result<()>;
    /// A connection has ended, or the replay has and it lives; `now` is the capture's clock.
    fn connection(&mut self, record: &Record, now: Tick) -> io::Result<()>;
    /// The replay is over.
    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()>;
}
