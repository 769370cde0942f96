//! What becomes of a packet, and why.

use crate::tcp::State;
use crate::wire::Direction;
use crate::{flow, fragments, tcp, wire};

/// Let through or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It goes on.
    Accept,
    /// It does not.
    Drop,
    /// A fragment: what becomes of it is told later, to the observer, by its token.
    Held,
}

/// What a packet is to the connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// It begins a connection.
    New,
    /// It belongs to one.
    Established,
    /// An ICMP error about one.
    Related,
    /// It claims to belong to one but cannot, is malformed, or must not begin one.
    Invalid,
    /// Not tracked at all.
    Untracked,
}

impl Class {
    /// Every class, in the order of their numbers.
    pub const ALL: [Class; 5] =
        [Class::New, Class::Established, Class::Related, Class::Invalid, Class::Untracked];

    /// The name in JSON and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Class::New => "new",
            Class::Established => "established",
            Class::Related => "related",
            Class::Invalid => "invalid",
            Class::Untracked => "untracked",
        }
    }
}

/// Why the shard itself refuses a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// No place for another connection, and none among those looked at that could go.
    TableFull,
    /// Connections may not begin at the port that it came in by.
    NotAllowed,
    /// It bears a live connection's tuple, and came in by the port where those of that direction do not.
    WrongPort,
}

impl Refusal {
    /// Every refusal, in the order of their numbers.
    pub const ALL: [Refusal; 3] = [Refusal::TableFull, Refusal::NotAllowed, Refusal::WrongPort];

    /// The name in JSON and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::TableFull => "table_full",
            Refusal::NotAllowed => "not_allowed",
            Refusal::WrongPort => "wrong_port",
        }
    }
}

/// Why a packet is invalid, or dropped, or let through without an effect: every layer's own reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is malformed.
    Wire(wire::Fault),
    /// Its datagram cannot be put together.
    Fragment(fragments::Fault),
    /// TCP refuses it.
    Tcp(tcp::Refusal),
    /// Another protocol's tracking does.
    Flow(flow::Refusal),
    /// The shard does.
    Shard(Refusal),
}

impl Reason {
    const FRAGMENTS: usize = wire::Fault::ALL.len();
    const TCP: usize = Self::FRAGMENTS + fragments::Fault::ALL.len();
    const FLOW: usize = Self::TCP + tcp::Refusal::ALL.len();
    const SHARD: usize = Self::FLOW + flow::Refusal::ALL.len();
    /// How many reasons there are: one counter for each.
    pub const COUNT: usize = Self::SHARD + Refusal::ALL.len();

    /// Its number, below [`Reason::COUNT`].
    pub const fn number(self) -> usize {
        match self {
            Reason::Wire(fault) => fault as usize,
            Reason::Fragment(fault) => Self::FRAGMENTS + fault as usize,
            Reason::Tcp(refusal) => Self::TCP + refusal as usize,
            Reason::Flow(refusal) => Self::FLOW + refusal as usize,
            Reason::Shard(refusal) => Self::SHARD + refusal as usize,
        }
    }

    /// The name in JSON and statistics: one word for one cause.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Wire(fault) => fault.name(),
            Reason::Fragment(fault) => fault.name(),
            Reason::Tcp(refusal) => refusal.name(),
            Reason::Flow(refusal) => refusal.name(),
            Reason::Shard(refusal) => refusal.name(),
        }
    }

    /// Every reason, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Reason> {
        let wire = wire::Fault::ALL.into_iter().map(Reason::Wire);
        let fragments = fragments::Fault::ALL.into_iter().map(Reason::Fragment);
        let tcp = tcp::Refusal::ALL.into_iter().map(Reason::Tcp);
        let flow = flow::Refusal::ALL.into_iter().map(Reason::Flow);
        let shard = Refusal::ALL.into_iter().map(Reason::Shard);
        wire.chain(fragments).chain(tcp).chain(flow).chain(shard)
    }
}

/// The connection that a verdict is about, as it was after the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Its number, never reused.
    pub id: u64,
    /// The packet's way; of an ICMP error, the way the error travels.
    pub direction: Direction,
    /// Both endpoints' states; none of what is not TCP.
    pub states: Option<[State; 2]>,
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Let through or not.
    pub action: Action,
    /// What the packet is.
    pub class: Class,
    /// Why, where there is anything to say.
    pub reason: Option<Reason>,
    /// The connection it belongs to, or bears the tuple of.
    pub subject: Option<Subject>,
}

impl Verdict {
    /// A fragment that waits for the others.
    pub const HELD: Verdict =
        Verdict { action: Action::Held, class: Class::Invalid, reason: None, subject: None };

    /// Not tracked: let through.
    pub const UNTRACKED: Verdict =
        Verdict { action: Action::Accept, class: Class::Untracked, ..Verdict::HELD };

    /// It comes from where its sender is not. It is not shown beside the connection: it has nothing to do with it.
    pub(super) const WRONG_PORT: Verdict = Verdict::invalid(Reason::Shard(Refusal::WrongPort), None);

    /// It would begin a connection where none may begin.
    pub(super) const NOT_ALLOWED: Verdict = Verdict::invalid(Reason::Shard(Refusal::NotAllowed), None);

    /// Let through, as part of a connection.
    #[inline]
    pub const fn accept(class: Class, subject: Subject) -> Verdict {
        Verdict { action: Action::Accept, class, reason: None, subject: Some(subject) }
    }

    /// Invalid, and therefore dropped.
    pub const fn invalid(reason: Reason, subject: Option<Subject>) -> Verdict {
        Verdict { action: Action::Drop, class: Class::Invalid, reason: Some(reason), subject }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_number_and_a_name_of_its_own() {
        let all: Vec<Reason> = Reason::all().collect();
        assert_eq!(all.len(), Reason::COUNT);
        for (number, reason) in all.iter().enumerate() {
            assert_eq!(reason.number(), number);
            assert!(all[..number].iter().all(|other| other.name() != reason.name()), "{}", reason.name());
        }
    }
}
