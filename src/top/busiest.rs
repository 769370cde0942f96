//! Two listings as the busiest connections.
//!
//! The middlebox keeps totals, so who is busy follows from two listings: what each connection moved in
//! between. A listing is as long as the table, and a million connections are hundreds of megabytes of JSON a
//! second; so at most [`MOST`] are looked at, the first that the middlebox tells, and the screen says so. The
//! filter is the middlebox's own: with it, any connection can be among them.

use std::collections::HashMap;

use crate::json::{Connection, Tuple};

/// How many connections are looked at.
pub(super) const MOST: usize = 20_000;

/// Connections as they were at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    /// When, in seconds since 1970.
    pub(super) time: f64,
    /// At most [`MOST`].
    pub(super) connections: Vec<Connection<'static>>,
    /// Whether these are all that the filter fits.
    pub(super) is_whole: bool,
}

/// Totals of the listing before, by the connection's number.
#[derive(Debug, Default)]
pub(super) struct Before {
    time: f64,
    is_whole: bool,
    totals: HashMap<u64, Totals>,
}

#[derive(Debug, Clone, Copy)]
struct Totals {
    packets: u64,
    /// By direction, original first.
    bytes: [u64; 2],
}

/// One connection on the screen.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) protocol: String,
    /// The originator.
    pub(super) source: String,
    /// The responder.
    pub(super) destination: String,
    /// As `A/B`, or once where both are the same; empty of what is not TCP.
    pub(super) states: String,
    /// Packets per second.
    pub(super) packets: Option<f64>,
    /// Bits per second, by direction, original first.
    pub(super) bits: Option<[f64; 2]>,
    /// Bytes of both directions since it began.
    pub(super) total: u64,
    /// Seconds since it began.
    pub(super) age: f64,
    /// Seconds since its newest packet.
    pub(super) idle: f64,
}

/// All rows of a screen, and what they are of.
#[derive(Debug, Clone, Default)]
pub(super) struct Busiest {
    pub(super) rows: Vec<Row>,
    /// Whether these are all connections that the filter fits.
    pub(super) is_whole: bool,
}

impl Before {
    /// The rows of `listing` by what was before, which it then is itself.
    pub(super) fn advance(&mut self, listing: &Listing) -> Busiest {
        let seconds = listing.time - self.time;
        let rows = listing.connections.iter().map(|connection| self.row(connection, listing.time, seconds));
        let busiest = Busiest { rows: rows.collect(), is_whole: listing.is_whole };
        self.time = listing.time;
        self.is_whole = listing.is_whole;
        self.totals.clear();
        self.totals.extend(listing.connections.iter().map(|connection| (connection.id, totals(connection))));
        busiest
    }

    /// What a connection had moved when the listing before was made; none where nobody knows.
    fn totals_of(&self, connection: &Connection<'_>) -> Option<Totals> {
        let is_new = self.is_whole && connection.started >= self.time;
        let nothing = is_new.then_some(Totals { packets: 0, bytes: [0, 0] });
        self.totals.get(&connection.id).copied().or(nothing)
    }

    fn row(&self, connection: &Connection<'_>, time: f64, seconds: f64) -> Row {
        let now = totals(connection);
        let before = self.totals_of(connection).filter(|_| seconds > 0.0);
        let since = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let protocol = connection.protocol.clone().into_owned();
        let Tuple { source, source_port, destination, destination_port, icmp_id } = connection.original;
        Row {
            id: connection.id,
            source: endpoint(source, source_port),
            destination: match icmp_id {
                Some(id) => format!("{destination} id {id}"),
                None => endpoint(destination, destination_port),
            },
            states: states(connection),
            packets: before.map(|before| since(now.packets, before.packets)),
            bits: before.map(|before| [0, 1].map(|way| 8.0 * since(now.bytes[way], before.bytes[way]))),
            total: now.bytes.iter().sum(),
            age: time - connection.started,
            idle: time - connection.last_seen,
            protocol,
        }
    }
}

fn totals(connection: &Connection<'_>) -> Totals {
    let (packets, bytes) = (connection.packets, connection.bytes);
    Totals { packets: packets.original + packets.reply, bytes: [bytes.original, bytes.reply] }
}

/// An address and a port as a socket is written (RFC 5952 section 6).
fn endpoint(address: std::net::IpAddr, port: Option<u16>) -> String {
    match port {
        Some(port) => std::net::SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    }
}

fn states(connection: &Connection<'_>) -> String {
    match connection.states {
        None => String::new(),
        Some([one, other]) if one == other => one.0.name().to_owned(),
        Some([one, other]) => format!("{}/{}", one.0.name(), other.0.name()),
    }
}
