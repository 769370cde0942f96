//! Reading a table from other threads while its owner goes on writing.
//!
//! ```text
//!  owner   ── insert ── write ── write ── remove ──▶     never waits
//!  reader        └ snapshot: copy, look at the version again, repeat if it moved
//! ```
//!
//! A [`Reader`] sees connections, never the index. It keeps the mapping alive: a snapshot after the
//! table is gone shows the last that was there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Index;
use super::connection::{Addresses, Connection, Sense};
use super::identity::Identity;
use super::key::joined;
use super::layout::Header;
use super::memory::{self, Shared};
use crate::time::{Tick, Time};

/// Both endpoints of a connection: address, and port or what stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// Who sent the first packet.
    pub originator: (IpAddr, u16),
    /// Whom it was sent to.
    pub responder: (IpAddr, u16),
}

impl Endpoints {
    pub(super) fn of(identity: Identity, addresses: &Addresses) -> Endpoints {
        let (originator, responder) = (identity.originator(), identity.responder());
        let (a, b): (IpAddr, IpAddr) = if identity.is_v6() {
            let (a, b) = addresses.get();
            (Ipv6Addr::from(joined(a)).into(), Ipv6Addr::from(joined(b)).into())
        } else {
            (Ipv4Addr::from(originator.0).into(), Ipv4Addr::from(responder.0).into())
        };
        Endpoints { originator: (a, originator.1), responder: (b, responder.1) }
    }
}

/// Everything a connection held at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The number it was given at insertion.
    pub id: u64,
    /// The protocol's number in the IP header.
    pub protocol: u8,
    /// The zone it belongs to.
    pub zone: u16,
    /// Who talks to whom.
    pub endpoints: Endpoints,
    /// The tracker's words.
    pub tracker: [u64; 5],
    /// When it expires.
    pub deadline: Tick,
    /// Bytes counted, forward and backward.
    pub bytes: [u64; 2],
    /// Packets counted, forward and backward.
    pub packets: [u64; 2],
    /// When the last packet was counted.
    pub last_seen: Time,
    /// When it was inserted.
    pub started: Time,
    /// The tracker's own 32 bits.
    pub note: u32,
    /// The tracker's own 16 bits.
    pub round_trip: u16,
}

impl Snapshot {
    fn of(connection: &Connection, addresses: &Addresses) -> Option<Snapshot> {
        let identity = connection.identity();
        identity.is_live().then(|| Snapshot {
            id: connection.id(),
            protocol: identity.protocol(),
            zone: identity.zone(),
            endpoints: Endpoints::of(identity, addresses),
            tracker: connection.tracker(),
            deadline: connection.deadline(),
            bytes: [Sense::Forward, Sense::Backward].map(|sense| connection.bytes(sense)),
            packets: [Sense::Forward, Sense::Backward].map(|sense| connection.packets(sense)),
            last_seen: connection.last_seen(),
            started: connection.started(),
            note: connection.note(),
            round_trip: connection.round_trip(),
        })
    }
}

/// A view of a table for other threads than its owner's.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) header: Shared<Header>,
    pub(super) connections: Shared<Connection>,
    pub(super) addresses: Shared<Addresses>,
}

impl Reader {
    /// The most connections the table can hold.
    pub fn capacity(&self) -> u32 {
        self.connections.len() as u32
    }

    /// The number of connections it holds: a moment ago, by the time it is used.
    #[expect(clippy::len_without_is_empty, reason = "a number for people; emptiness would be stale as well")]
    pub fn len(&self) -> u32 {
        self.header[0].live()
    }

    /// Places from this one on have never been used; it only grows. Looking there is useless, and makes
    /// memory real.
    pub fn used(&self) -> Index {
        Index(self.header[0].high_water())
    }

    /// Bytes of memory that the table really holds; as [`super::Table::resident_bytes`].
    ///
    /// # Errors
    /// As the operating system's.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        self.header.memory().resident()
    }

    /// Bytes of these tables that lie in huge pages. Of all at once: the system is asked once, for the whole process.
    ///
    /// # Errors
    /// As the operating system's.
    pub fn huge_bytes_of(tables: &[Reader]) -> io::Result<u64> {
        let smaps = memory::smaps()?;
        tables.iter().map(|table| table.header.memory().huge(&smaps)).sum()
    }

    /// All places that hold a connection when the scan comes by. One that is there throughout is met
    /// exactly once; one that comes or goes meanwhile may be met or not.
    pub fn scan(&self) -> impl Iterator<Item = Index> + '_ {
        let used = self.header[0].high_water();
        (0..used).map(Index).filter(|index| self.connections[index.0 as usize].is_live())
    }

    /// All that the connection at this place holds, from a moment between two writes; `None` where
    /// there is none. Waits for a write that is under way.
    pub fn snapshot(&self, index: Index) -> Option<Snapshot> {
        let connection = self.connections.get(index.0 as usize)?;
        let addresses = self.addresses.get(index.0 as usize)?;
        connection.read(|| Snapshot::of(connection, addresses))
    }
}
