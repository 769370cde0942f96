//! Which connections live: counted as they begin, change and end, so that nobody has to walk the table.

use super::record::Record;
use crate::tcp::State;

/// How many connections live, by protocol and by states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// By IP version (4, then 6) and the IP protocol's number.
    pub by_protocol: [[u32; 256]; 2],
    /// TCP by its originator's state, then its responder's, in the order of [`State::ALL`].
    pub by_states: [[u32; State::ALL.len()]; State::ALL.len()],
}

impl Census {
    /// Nothing yet.
    pub const ZERO: Census =
        Census { by_protocol: [[0; 256]; 2], by_states: [[0; State::ALL.len()]; State::ALL.len()] };

    /// Adds another shard's.
    pub fn add(&mut self, other: &Census) {
        let mine = self.by_protocol.as_flattened_mut().iter_mut().chain(self.by_states.as_flattened_mut());
        let theirs = other.by_protocol.as_flattened().iter().chain(other.by_states.as_flattened());
        for (mine, theirs) in mine.zip(theirs) {
            *mine += theirs;
        }
    }

    /// TCP connections of which at least one endpoint is in `state`.
    pub fn in_state(&self, state: State) -> u64 {
        let pairs = State::ALL.iter().flat_map(|&a| State::ALL.iter().map(move |&b| (a, b)));
        pairs
            .filter(|&(a, b)| a == state || b == state)
            .map(|(a, b)| u64::from(self.by_states[a as usize][b as usize]))
            .sum()
    }

    pub(super) fn begun(&mut self, is_v6: bool, protocol: u8, states: Option<[State; 2]>) {
        self.by_protocol[usize::from(is_v6)][usize::from(protocol)] += 1;
        if let Some([a, b]) = states {
            self.by_states[a as usize][b as usize] += 1;
        }
    }

    #[inline(always)]
    pub(super) fn changed(&mut self, [a, b]: [State; 2], [c, d]: [State; 2]) {
        self.by_states[a as usize][b as usize] -= 1;
        self.by_states[c as usize][d as usize] += 1;
    }

    pub(super) fn ended(&mut self, record: &Record) {
        self.by_protocol[usize::from(record.originator.0.is_ipv6())][usize::from(record.protocol)] -= 1;
        if let Some([a, b]) = record.states {
            self.by_states[a as usize][b as usize] -= 1;
        }
    }
}
