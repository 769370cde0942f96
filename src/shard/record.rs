//! A connection as it is told to people: when it ends, or when somebody asks.

use std::net::IpAddr;

use crate::flow::Flow;
use crate::table::{Connection, Index, Sense, Snapshot, Table};
use crate::tcp::{self, State};
use crate::time::{Span, Tick, Time};
use crate::wire::{Direction, protocol};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum End {
    /// Both FINs done and TIME_WAIT over.
    Closed,
    /// A valid RST.
    Reset,
    /// Any other timer.
    Expired,
    /// The table, or the share of TIME_WAIT in it, was full.
    Evicted,
    /// An operator.
    Deleted,
    /// A new incarnation took the tuple.
    Reused,
}

impl End {
    /// Every end, in the order of their numbers.
    pub const ALL: [End; 6] =
        [End::Closed, End::Reset, End::Expired, End::Evicted, End::Deleted, End::Reused];

    /// The name in JSON and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::Reset => "reset",
            End::Expired => "expired",
            End::Evicted => "evicted",
            End::Deleted => "deleted",
            End::Reused => "reused",
        }
    }
}

/// Everything that is told of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub id: u64,
    /// Its zone.
    pub zone: u16,
    /// The IP protocol's number.
    pub protocol: u8,
    /// Who sent the first packet seen, and from which port. Of an ICMP query the port is its identifier.
    pub originator: (IpAddr, u16),
    /// To whom. Of an ICMP query the port is the request's type.
    pub responder: (IpAddr, u16),
    /// Both endpoints' states; none of what is not TCP.
    pub states: Option<[State; 2]>,
    /// Whether the responder has sent anything.
    pub replied: bool,
    /// How it ended; none while it lives.
    pub end: Option<End>,
    /// When its first packet came.
    pub started: Time,
    /// When its newest one did.
    pub last_seen: Time,
    /// When it would expire.
    pub deadline: Tick,
    /// Packets in both directions, original first.
    pub packets: [u64; 2],
    /// Bytes from the IP header on, in both directions.
    pub bytes: [u64; 2],
}

impl Record {
    /// The record of the connection at `index`.
    ///
    /// Connections keep the lower 48 bits of their stamps, nine years of microseconds; the rest is that of
    /// `latest`, the newest instant the shard has seen.
    // Inlined, so that an observer pays for no more of it than it looks at.
    #[inline(always)]
    pub(super) fn of(table: &Table, index: Index, end: Option<End>, latest: Time) -> Record {
        let connection = table.connection(index);
        let endpoints = table.endpoints(index);
        let packets = [Sense::Forward, Sense::Backward].map(|sense| connection.packets(sense));
        Record {
            id: connection.id(),
            zone: connection.zone(),
            protocol: connection.protocol(),
            originator: endpoints.originator,
            responder: endpoints.responder,
            states: states_of(connection),
            replied: packets[1] > 0,
            end,
            started: completed(connection.started(), latest),
            last_seen: completed(connection.last_seen(), latest),
            deadline: connection.deadline(),
            packets,
            bytes: [Sense::Forward, Sense::Backward].map(|sense| connection.bytes(sense)),
        }
    }

    /// The record of a connection that another thread has looked at; `latest` as the shard's own.
    pub fn of_snapshot(snapshot: &Snapshot, latest: Time) -> Record {
        Record {
            id: snapshot.id,
            zone: snapshot.zone,
            protocol: snapshot.protocol,
            originator: snapshot.endpoints.originator,
            responder: snapshot.endpoints.responder,
            states: (snapshot.protocol == protocol::TCP)
                .then(|| tcp::Connection::from_words(snapshot.tracker).marks.states()),
            replied: snapshot.packets[1] > 0,
            end: None,
            started: completed(snapshot.started, latest),
            last_seen: completed(snapshot.last_seen, latest),
            deadline: snapshot.deadline,
            packets: snapshot.packets,
            bytes: snapshot.bytes,
        }
    }

    /// How long it has lived, from its first packet to its newest.
    pub fn lived(&self) -> Span {
        let microseconds = self.last_seen.microseconds().saturating_sub(self.started.microseconds());
        Span::from_milliseconds(u32::try_from(microseconds / 1000).unwrap_or(u32::MAX))
    }

    /// Whether it is an ICMP query, whose ports are an identifier and a type.
    pub fn is_icmp(&self) -> bool {
        matches!(
            (self.protocol, self.originator.0),
            (protocol::ICMP, IpAddr::V4(_)) | (protocol::ICMPV6, IpAddr::V6(_))
        )
    }
}

/// The newest instant up to an hour after `latest` that has the lower 48 bits of `stamp`, in microseconds. It may
/// lie later than `latest`: another thread reads a connection while its worker goes on, some time after it
/// read the clock.
fn completed(stamp: Time, latest: Time) -> Time {
    const MODULUS: u64 = 1 << 48;
    const AHEAD: u64 = 3600 * 1_000_000;
    let bound = latest.microseconds().saturating_add(AHEAD);
    let age = bound.wrapping_sub(stamp.microseconds()) % MODULUS;
    Time::from_nanoseconds(bound.saturating_sub(age).saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_completed_to_the_newest_instant_that_it_can_mean() {
        let at = |microseconds: u64| Time::from_nanoseconds(microseconds * 1000);
        let now = 1_800_000_000_000_000;
        let stamp = |microseconds: u64| at(microseconds % (1 << 48));
        for age in [0, 1, 1_000_000, 8 * 365 * 24 * 3600 * 1_000_000] {
            assert_eq!(completed(stamp(now - age), at(now)), at(now - age));
        }
        assert_eq!(completed(stamp(now + 5), at(now)), at(now + 5), "the worker has gone on");
        assert_eq!(completed(at(3), at(1)), at(3));
    }
}

/// The states of a TCP connection, none of another one.
#[inline]
pub(super) fn states_of(connection: &Connection) -> Option<[State; 2]> {
    (connection.protocol() == protocol::TCP)
        .then(|| tcp::Connection::from_words(connection.tracker()).marks.states())
}

/// How dear a connection is to a full table; none where both sides have confirmed it and it is not over: such
/// a one is never evicted.
pub(super) fn eviction_rank(connection: &Connection) -> Option<Rank> {
    if connection.protocol() == protocol::TCP {
        return rank_of_tcp(&tcp::Connection::from_words(connection.tracker()));
    }
    let replied = Flow::from_words(connection.tracker()).replied;
    (!replied).then_some(Rank::Unreplied)
}

/// The same of a TCP connection.
pub(super) fn rank_of_tcp(tracked: &tcp::Connection) -> Option<Rank> {
    let states = tracked.marks.states();
    let over = states.iter().all(|state| matches!(state, State::Closed | State::TimeWait));
    let embryonic =
        states.iter().any(|state| matches!(state, State::Listen | State::SynSent | State::SynReceived));
    if over {
        Some(Rank::Closed)
    } else if embryonic {
        Some(Rank::Embryonic)
    } else {
        (!tracked.marks.has_acked(Direction::Reply)).then_some(Rank::Unreplied)
    }
}

/// How dear a connection is when the table is full; the cheapest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Both endpoints are done with it.
    Closed,
    /// Its handshake is not complete.
    Embryonic,
    /// Only one side has spoken.
    Unreplied,
}
