//! What a worker hears of its shard: numbers for connections, events, fragments' verdicts.

use crate::fragments::Token;
use crate::shard::{Action, Change, Datagram, Observer, Record, Verdict};
use crate::view::events::{Kind, Writer};

/// The observer of one worker.
#[derive(Debug)]
pub(super) struct Ears {
    /// The number of the last connection.
    last_id: u64,
    /// How many workers share the numbers.
    step: u64,
    events: Writer,
    /// Whether anybody listens to events in this turn.
    is_wanted: bool,
    /// Held fragments with their verdicts.
    pub(super) released: Vec<(Token, bool)>,
    /// Datagrams that belong to other shards.
    pub(super) handed_over: Vec<(u32, Datagram)>,
}

impl Ears {
    /// The observer of worker `number` of `workers`; `fragments` is the most that can be held.
    pub(super) fn new(number: u32, workers: u32, fragments: u32, events: Writer) -> Ears {
        // Numbers from 1 on, each worker every so-many-th.
        let (number, step) = (u64::from(number), u64::from(workers.max(1)));
        Ears {
            last_id: (number + 1).wrapping_sub(step),
            step,
            events,
            is_wanted: false,
            released: Vec::with_capacity(fragments as usize),
            handed_over: Vec::with_capacity(64),
        }
    }

    /// A turn begins.
    #[inline]
    pub(super) fn listen(&mut self) {
        self.is_wanted = self.events.is_wanted();
    }

    /// A turn ends, up to change `sequence`.
    #[inline]
    pub(super) fn publish(&mut self, sequence: u64) {
        self.events.publish(sequence);
    }

    /// Whether there is nothing to settle.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.released.is_empty() && self.handed_over.is_empty()
    }
}

impl Observer for Ears {
    #[inline]
    fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.wrapping_add(self.step);
        self.last_id
    }

    fn begun(&mut self, change: Change, record: &Record) {
        self.events.write(Kind::New, change, record);
    }

    fn changed(&mut self, change: Change, record: &Record) {
        self.events.write(Kind::Changed, change, record);
    }

    fn ended(&mut self, change: Change, record: &Record) {
        if self.is_wanted {
            self.events.write(Kind::Ended, change, record);
        }
    }

    #[inline]
    fn wants_changes(&self) -> bool {
        self.is_wanted
    }

    fn released(&mut self, token: Token, verdict: &Verdict) {
        self.released.push((token, verdict.action == Action::Accept));
    }

    fn hand_over(&mut self, shard: u32, datagram: Datagram) {
        self.handed_over.push((shard, datagram));
    }
}
