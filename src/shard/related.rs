//! ICMP errors: about a live connection, or nothing to do with us.
//!
//! An error is related if it quotes a packet that the connection can have sent: the tuple is live, the error
//! goes to whom the quoted packet came from, and for TCP the quoted sequence number lies in what that side
//! has in flight (RFC 5927 section 4.1): sent, and not acknowledged yet.

use super::verdict::{Action, Class, Reason, Verdict};
use super::{Context, Shard, key, query_ports};
use crate::flow::Refusal;
use crate::table::{Index, Key};
use crate::tcp;
use crate::wire::{Addresses, Direction, Packet, Quote, QuotedTransport, Seq, protocol};

impl Shard {
    /// Judges an ICMP error. It counts in no connection and moves no timer.
    pub(super) fn related(
        &self,
        packet: &Packet<'_>,
        quote: &Quote<'_>,
        zone: u16,
        context: Context,
    ) -> Verdict {
        let unknown = Verdict::invalid(Reason::Flow(Refusal::IcmpUnknown), None);
        let Some(key) = quoted_key(quote, zone) else { return unknown };
        if !goes_back(packet, quote) {
            return unknown;
        }
        let Some((index, sender)) = self.look_up(self.table.hash(&key), &key) else { return unknown };
        if self.is_over(index, context.now) {
            return unknown;
        }
        if !self.comes_by_its_port(index, sender.opposite(), &context.admission) {
            return Verdict::WRONG_PORT;
        }
        let subject = self.subject(index, sender.opposite());
        let in_flight = match quote.transport {
            QuotedTransport::Tcp(_, seq) => self.has_in_flight(index, sender, seq),
            QuotedTransport::Udp(_) | QuotedTransport::Query(_) | QuotedTransport::Other => true,
            QuotedTransport::Unknown => false,
        };
        if in_flight {
            Verdict { action: Action::Accept, ..Verdict::accept(Class::Related, subject) }
        } else {
            Verdict { subject: Some(subject), ..unknown }
        }
    }

    /// Whether `sender` has sent `seq`, for all that is known, and nobody has acknowledged it: of the connection, of a SYN
    /// or SYN-ACK that is remembered beside it, or of the connection that it has displaced.
    fn has_in_flight(&self, index: Index, sender: Direction, seq: Seq) -> bool {
        let lies_in = |[first, end]: [Seq; 2]| !seq.is_before(first) && seq.is_before(end);
        if self.in_flight(index, sender).is_some_and(lies_in) {
            return true;
        }
        let tracked = tcp::Connection::from_words(self.table.connection(index).tracker());
        if !tracked.marks.remembers() {
            return false;
        }
        let irregular = self.irregular(index, &tracked);
        let remembered = irregular.remembered[sender.index()].is_some_and(|it| match it.kind {
            tcp::RememberedKind::Syn | tcp::RememberedKind::SynAck => lies_in([it.seq, it.end]),
            tcp::RememberedKind::Challenge => false,
        });
        let displaced = irregular.rival.and_then(|rival| {
            let sender = if rival.mirrored { sender.opposite() } else { sender };
            in_flight_of(&rival.connection, sender)
        });
        remembered || displaced.is_some_and(lies_in)
    }

    /// What `sender` has sent and not seen acknowledged: the first sequence number, and the one behind the last.
    /// None of an endpoint that has sent nothing yet.
    pub(super) fn in_flight(&self, index: Index, sender: Direction) -> Option<[Seq; 2]> {
        in_flight_of(&tcp::Connection::from_words(self.table.connection(index).tracker()), sender)
    }
}

fn in_flight_of(tracked: &tcp::Connection, sender: Direction) -> Option<[Seq; 2]> {
    if !tracked.has_numbers(sender) {
        return None;
    }
    let end = tracked.peer(sender).end;
    let receiver = sender.opposite();
    let acknowledged = if tracked.marks.has_acked(receiver) {
        tracked.peer(receiver).ack
    } else {
        // Nothing acknowledged: all that was sent is in flight, from the SYN on; where that was not
        // seen, a window back.
        tracked.initial(sender).unwrap_or_else(|| end.minus(tracked.window(receiver).max(1)))
    };
    Some([acknowledged, end])
}

/// The key of the packet that an error quotes.
pub(super) fn quoted_key(quote: &Quote<'_>, zone: u16) -> Option<Key> {
    key(quote.addresses, quoted_ports(&quote.transport)?, quote.protocol, zone)
}

/// The ports of a quoted packet, or what stands for them; none where too little was quoted.
pub(super) const fn quoted_ports(transport: &QuotedTransport) -> Option<(u16, u16)> {
    match transport {
        QuotedTransport::Tcp(ports, _) | QuotedTransport::Udp(ports) => {
            Some((ports.source, ports.destination))
        }
        QuotedTransport::Query(query) => Some(query_ports(query)),
        QuotedTransport::Other => Some((0, 0)),
        QuotedTransport::Unknown => None,
    }
}

/// Whether the error goes to where the quoted packet came from; anywhere else nobody can use it.
fn goes_back(packet: &Packet<'_>, quote: &Quote<'_>) -> bool {
    debug_assert!(packet.protocol == protocol::ICMP || packet.protocol == protocol::ICMPV6);
    match (packet.addresses, quote.addresses) {
        (Addresses::V4 { destination, .. }, Addresses::V4 { source, .. }) => destination == source,
        (Addresses::V6 { destination, .. }, Addresses::V6 { source, .. }) => destination == source,
        (Addresses::V4 { .. } | Addresses::V6 { .. } | Addresses::None, _) => false,
    }
}
