//! Which connections are meant: the operator's filters, as flags and as JSON.
//!
//! A filter is a list of conditions, all of which must hold; without any it fits every connection. Each
//! condition reads and writes itself as text, the same on the command line and on the socket.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::json::protocol_name;
use crate::shard::Record;
use crate::tcp::State;
use crate::wire::protocol::{ICMP, ICMPV6, TCP, UDP};

/// Conditions on a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Its number is one of these; any where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id: Vec<u64>,
    /// Who sent its first packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Prefix>,
    /// From which port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// To whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Prefix>,
    /// To which port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// One of its addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Prefix>,
    /// One of its ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Its zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<u16>,
    /// Its shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Its endpoints' states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<States>,
}

impl Filter {
    /// Whether it has no condition at all.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether it can fit any connection of `shard`.
    pub fn admits_shard(&self, shard: u32) -> bool {
        self.shard.is_none_or(|wanted| wanted == shard)
    }

    /// Whether it fits a connection, wherever that is.
    pub fn fits(&self, record: &Record) -> bool {
        let ((source, source_port), (destination, destination_port)) = (record.originator, record.responder);
        let has_ports = matches!(record.protocol, TCP | UDP);
        let port_is = |port: u16, wanted: u16| has_ports && port == wanted;
        (self.id.is_empty() || self.id.contains(&record.id))
            && self.source.is_none_or(|prefix| prefix.contains(source))
            && self.destination.is_none_or(|prefix| prefix.contains(destination))
            && self.source_port.is_none_or(|wanted| port_is(source_port, wanted))
            && self.destination_port.is_none_or(|wanted| port_is(destination_port, wanted))
            // The reply tuple has the same addresses and ports, as long as nothing translates.
            && self.address.is_none_or(|prefix| prefix.contains(source) || prefix.contains(destination))
            && self.port.is_none_or(|wanted| port_is(source_port, wanted) || port_is(destination_port, wanted))
            && self.protocol.is_none_or(|protocol| protocol.is_that_of(record))
            && self.zone.is_none_or(|zone| zone == record.zone)
            && self.state.is_none_or(|states| record.states.is_some_and(|pair| states.fit(pair)))
    }
}

/// Has `$type` go through JSON as its text.
macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = Wrong;
            fn try_from(text: String) -> Result<$type, Wrong> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}

/// What is wrong with a condition's value, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// An address, or all that begin as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}
as_text!(Prefix);

impl Prefix {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(mine), IpAddr::V4(theirs)) => {
                let differs = mine.to_bits() ^ theirs.to_bits();
                differs.leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V6(mine), IpAddr::V6(theirs)) => {
                let differs = mine.to_bits() ^ theirs.to_bits();
                differs.leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Prefix {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Prefix, Wrong> {
        let wrong =
            || Wrong("must be an address or a prefix, such as 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32".into());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = bits(address);
        let length = match length {
            Some(length) => length.parse().ok().filter(|&length| length <= longest).ok_or_else(wrong)?,
            None => longest,
        };
        Ok(Prefix { address, length })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Prefix { address, length } = self;
        if *length == bits(*address) { write!(f, "{address}") } else { write!(f, "{address}/{length}") }
    }
}

/// A protocol; ICMP only with its own IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Protocol {
    number: u8,
    /// Whether it was named `icmp` or `icmpv6`, which say the IP version too.
    version: Option<Version>,
}
as_text!(Protocol);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

impl Protocol {
    fn is_that_of(self, record: &Record) -> bool {
        let is_v6 = record.originator.0.is_ipv6();
        let version_fits = match self.version {
            None => true,
            Some(Version::V4) => !is_v6,
            Some(Version::V6) => is_v6,
        };
        self.number == record.protocol && version_fits
    }
}

impl FromStr for Protocol {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Protocol, Wrong> {
        let (number, version) = match text.to_ascii_lowercase().as_str() {
            "tcp" => (TCP, None),
            "udp" => (UDP, None),
            "icmp" => (ICMP, Some(Version::V4)),
            "icmpv6" => (ICMPV6, Some(Version::V6)),
            other => {
                let wrong = |_| Wrong("must be tcp, udp, icmp, icmpv6 or a number from 0 to 255".into());
                (other.parse().map_err(wrong)?, None)
            }
        };
        Ok(Protocol { number, version })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.number, self.version) {
            (TCP | UDP, _) | (_, Some(_)) => {
                f.write_str(&protocol_name(self.number, self.version == Some(Version::V6)))
            }
            (number, None) => write!(f, "{number}"),
        }
    }
}

/// States: one that either endpoint is in, or those of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum States {
    /// Either endpoint is in it.
    Either(State),
    /// The originator's, then the responder's.
    Both([State; 2]),
}
as_text!(States);

impl States {
    fn fit(self, states: [State; 2]) -> bool {
        match self {
            States::Either(state) => states.contains(&state),
            States::Both(pair) => pair == states,
        }
    }
}

impl FromStr for States {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<States, Wrong> {
        match text.split_once('/') {
            None => state(text).map(States::Either),
            Some((originator, responder)) => Ok(States::Both([state(originator)?, state(responder)?])),
        }
    }
}

/// The state of this name, in whatever case.
fn state(name: &str) -> Result<State, Wrong> {
    let wanted = name.to_ascii_uppercase().replace('-', "_");
    State::ALL.into_iter().find(|state| state.name() == wanted).ok_or_else(|| {
        let names = State::ALL.map(State::name).join(", ");
        Wrong(format!("must be a TCP state, or two such as ESTABLISHED/CLOSE_WAIT; the states are {names}"))
    })
}

impl fmt::Display for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            States::Either(state) => f.write_str(state.name()),
            States::Both([originator, responder]) => write!(f, "{}/{}", originator.name(), responder.name()),
        }
    }
}
