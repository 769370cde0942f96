//! UDP, ICMP queries and other protocols: connections without states.

use super::verdict::{Class, Reason, Refusal, Subject, Verdict};
use super::{Context, Observer, Shard, sense_of};
use crate::flow::{self, Flow, Kind};
use crate::table::{Hash, Index, Key};
use crate::wire::{Direction, Packet, Query};

impl Shard {
    /// A packet of a protocol without states.
    pub(super) fn flow<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        (key, hash): &(Key, Hash),
        kind: Kind,
        query: Option<Query>,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        match self.look_up(*hash, key) {
            Some((index, _)) if self.is_over(index, context.now) => {
                self.end_over(index, observer);
            }
            Some((index, direction)) if !self.comes_by_its_port(index, direction, &context.admission) => {
                return Verdict::WRONG_PORT;
            }
            // A query's identifier that is its type's number makes both ways look alike: nobody has asked
            // what comes back as a question, nor answered what goes there as an answer.
            Some((_, direction)) if query.is_some_and(|query| is_out_of_turn(query, direction)) => {
                return Verdict::invalid(Reason::Flow(flow::Refusal::IcmpUnsolicited), None);
            }
            Some((index, direction)) => {
                return self.flow_goes_on(index, direction, kind, packet.length, context);
            }
            None => {}
        }
        if query.is_some_and(|query| query.is_reply) {
            return Verdict::invalid(Reason::Flow(flow::Refusal::IcmpUnsolicited), None);
        }
        if !context.allows(packet, Direction::Original) {
            return Verdict::NOT_ALLOWED;
        }
        let flow = Flow { replied: false };
        let timeout = flow.timeout(kind, &self.settings.flow);
        let deadline = context.now.after(timeout);
        let Some(index) = self.begin((key, *hash), deadline, Direction::Original, context, observer) else {
            return Verdict::invalid(Reason::Shard(Refusal::TableFull), None);
        };
        let connection = self.table.connection(index);
        connection.write(|writer| {
            writer.set_tracker(&flow.words());
            writer.count(sense_of(Direction::Original), u64::from(packet.length), context.at.microseconds());
        });
        let id = connection.id();
        self.tell_begun(index, None, observer);
        let subject = Subject { id, direction: Direction::Original, states: None };
        Verdict::accept(Class::New, subject)
    }

    /// Every accepted packet starts the timer again.
    fn flow_goes_on(
        &mut self,
        index: Index,
        direction: Direction,
        kind: Kind,
        length: u32,
        context: Context,
    ) -> Verdict {
        let connection = self.table.connection(index);
        let before = Flow::from_words(connection.tracker());
        let flow = Flow { replied: before.replied || direction == Direction::Reply };
        connection.write(|writer| {
            writer.set_tracker(&flow.words());
            writer.count(sense_of(direction), u64::from(length), context.at.microseconds());
        });
        let id = connection.id();
        self.set_deadline(index, context.now.after(flow.timeout(kind, &self.settings.flow)));
        Verdict::accept(Class::Established, Subject { id, direction, states: None })
    }
}

/// Whether a query travels the way of answers, or an answer that of queries.
fn is_out_of_turn(query: Query, direction: Direction) -> bool {
    query.is_reply != (direction == Direction::Reply)
}
