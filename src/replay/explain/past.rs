//! What led to a packet: how its connection began, and which packets changed its states since.
//!
//! ```text
//!  Observer::begun ───► Past { began, steps: [] }
//!  Observer::changed ─► Past { began, steps: [packet 2: ESTABLISHED/SYN_RECEIVED, packet 3: …] }
//!  Observer::ended ───► forgotten
//! ```
//!
//! Which connection will be asked about is known only at its packet, and standard input cannot be read twice:
//! so every live connection has its past, bounded by its last [`STEPS`] changes, as many of them as the
//! table holds connections.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::shard::Record;
use crate::tcp::State;
use crate::time::Time;
use crate::wire::{Direction, Flags, Seq};

/// How many changes are remembered of each connection.
const STEPS: usize = 6;

/// A packet, as a past remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mention {
    /// Its number in the capture.
    pub(super) number: u64,
    /// When it came.
    pub(super) at: Time,
    /// Its flags and sequence number, where it is TCP.
    pub(super) segment: Option<(Flags, Seq)>,
    /// Its sender's address and port.
    pub(super) source: Option<(std::net::IpAddr, u16)>,
}

/// A change of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The packet that brought it about.
    pub(super) by: Mention,
    /// That packet's way.
    pub(super) direction: Direction,
    /// Both states behind it.
    pub(super) states: [State; 2],
}

/// What is remembered of a live connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Past {
    /// Its first packet.
    pub(super) began: Mention,
    /// Whether that took the tuple from another connection.
    pub(super) has_displaced: bool,
    /// The states behind its first packet; none of what is not TCP.
    pub(super) first_states: Option<[State; 2]>,
    /// Who sent its first packet, and to whom.
    pub(super) record: Record,
    /// Each endpoint's initial sequence number, where its SYN was seen.
    pub(super) initials: [Option<Seq>; 2],
    /// The last changes of its states, oldest first.
    pub(super) steps: VecDeque<Step>,
    /// How many changes were before those.
    pub(super) forgotten: u32,
}

/// The pasts of all live connections, by number.
#[derive(Debug, Default)]
pub(super) struct Pasts(HashMap<u64, Past>);

impl Pasts {
    pub(super) fn get(&self, id: u64) -> Option<&Past> {
        self.0.get(&id)
    }

    /// A connection begins by the packet `by`, in place of another one or not.
    pub(super) fn begin(&mut self, record: &Record, by: Mention, has_displaced: bool) {
        let mut past = Past {
            began: by,
            has_displaced,
            first_states: record.states,
            record: *record,
            initials: [None; 2],
            steps: VecDeque::new(),
            forgotten: 0,
        };
        past.note_initial(by);
        self.0.insert(record.id, past);
    }

    /// A connection's states change by the packet `by`.
    pub(super) fn change(&mut self, record: &Record, by: Mention) {
        let (Some(past), Some(states)) = (self.0.get_mut(&record.id), record.states) else { return };
        let direction = past.note_initial(by);
        if past.steps.len() == STEPS {
            past.steps.pop_front();
            past.forgotten += 1;
        }
        past.steps.push_back(Step { by, direction, states });
    }

    /// A connection has ended.
    pub(super) fn end(&mut self, id: u64) -> Option<Past> {
        self.0.remove(&id)
    }
}

impl Past {
    /// Which way a packet goes; takes note of its sequence number if it is a SYN.
    fn note_initial(&mut self, by: Mention) -> Direction {
        let is_original = by.source == Some(self.record.originator);
        let direction = if is_original { Direction::Original } else { Direction::Reply };
        if let Some((flags, seq)) = by.segment
            && flags.has(Flags::SYN)
        {
            self.initials[direction.index()].get_or_insert(seq);
        }
        direction
    }
}
