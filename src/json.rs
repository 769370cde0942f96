//! Connections as JSON: the object that a replay writes, the control socket sends, and its clients read back.
//!
//! ```text
//!  Record ─ Connection::of ─► {"id":1,"zone":0,"protocol":"tcp","original":{…},"reply":{…},"states":[…],…}
//!                                 ▲ the line around it ("record":"connection", "event") is its writer's
//! ```
//!
//! The keys are the contract's: other programs read them. Instants are seconds since the epoch of whoever
//! drives the engine: the capture's first packet in a replay, 1970 on the wire.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::shard::{End, Record};
use crate::tcp::State;
use crate::time::Tick;
use crate::wire::protocol::{ICMP, ICMPV6, TCP, UDP};

/// A connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection<'a> {
    /// Its number.
    pub id: u64,
    /// Its zone.
    pub zone: u16,
    /// As [`protocol_name`] says it.
    pub protocol: Cow<'a, str>,
    /// As the originator's packets bear it.
    pub original: Tuple,
    /// As the responder's do.
    pub reply: Tuple,
    /// Originator's and responder's state; none of what is not TCP.
    pub states: Option<[StateName; 2]>,
    /// How it ended; none while it lives.
    pub end: Option<EndName>,
    /// When its first packet came, in seconds.
    pub started: f64,
    /// When its newest one did, in seconds.
    pub last_seen: f64,
    /// Seconds until it would expire; none once it has ended.
    pub expires_in: Option<f64>,
    /// Packets.
    pub packets: Pair,
    /// Bytes from the IP header on.
    pub bytes: Pair,
}

/// Who sends to whom. ICMP queries have an identifier in place of ports, and what has neither has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuple {
    /// The sender's address.
    pub source: IpAddr,
    /// Its port.
    pub source_port: Option<u16>,
    /// The receiver's address.
    pub destination: IpAddr,
    /// Its port.
    pub destination_port: Option<u16>,
    /// The identifier of an ICMP query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_id: Option<u16>,
}

/// A number for each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The originator's packets' way.
    pub original: u64,
    /// The other way.
    pub reply: u64,
}

impl From<[u64; 2]> for Pair {
    fn from([original, reply]: [u64; 2]) -> Pair {
        Pair { original, reply }
    }
}

/// A TCP state by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateName(pub State);

impl Serialize for StateName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for StateName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StateName, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        let found = State::ALL.into_iter().find(|state| state.name() == name);
        found.map(StateName).ok_or_else(|| D::Error::custom(format!("{name} is no TCP state")))
    }
}

/// The way a connection ended, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndName(pub End);

impl Serialize for EndName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for EndName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EndName, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        let found = End::ALL.into_iter().find(|end| end.name() == name);
        found.map(EndName).ok_or_else(|| D::Error::custom(format!("{name} is no end of a connection")))
    }
}

impl Connection<'static> {
    /// The object of `record`, as it is at `now`.
    pub fn of(record: &Record, now: Tick) -> Connection<'static> {
        let (original, reply) = tuples(record);
        let expires_in = record.deadline.since(now).milliseconds();
        Connection {
            id: record.id,
            zone: record.zone,
            protocol: protocol_name(record.protocol, record.originator.0.is_ipv6()),
            original,
            reply,
            states: record.states.map(names),
            end: record.end.map(EndName),
            started: record.started.seconds(),
            last_seen: record.last_seen.seconds(),
            expires_in: record.end.is_none().then(|| f64::from(expires_in) / 1e3),
            packets: record.packets.into(),
            bytes: record.bytes.into(),
        }
    }
}

/// Both states by their names.
pub fn names(states: [State; 2]) -> [StateName; 2] {
    states.map(StateName)
}

/// A protocol's name in JSON and text: the four that the engine knows, else its number.
pub fn protocol_name(protocol: u8, is_v6: bool) -> Cow<'static, str> {
    match (protocol, is_v6) {
        (TCP, _) => "tcp".into(),
        (UDP, _) => "udp".into(),
        (ICMP, false) => "icmp".into(),
        (ICMPV6, true) => "icmpv6".into(),
        (other, _) => other.to_string().into(),
    }
}

/// The original and the reply tuple: the same turned round, as long as nothing translates.
fn tuples(record: &Record) -> (Tuple, Tuple) {
    let has_ports = matches!(record.protocol, TCP | UDP);
    let icmp_id = record.is_icmp().then_some(record.originator.1);
    let tuple = |from: (IpAddr, u16), to: (IpAddr, u16)| Tuple {
        source: from.0,
        source_port: has_ports.then_some(from.1),
        destination: to.0,
        destination_port: has_ports.then_some(to.1),
        icmp_id,
    };
    (tuple(record.originator, record.responder), tuple(record.responder, record.originator))
}
