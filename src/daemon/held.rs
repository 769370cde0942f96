//! Fragments that wait for the rest of their datagram, with the frames they came in.

use hashbrown::HashMap;

use super::handover::Waiting;
use crate::fragments::Token;

/// The waiting fragments of one worker, by token.
#[derive(Debug)]
pub(super) struct Held {
    by_token: HashMap<u64, Waiting>,
    frames: u64,
}

impl Held {
    /// With room for `most`: the shard holds no more of them.
    pub(super) fn new(most: usize) -> Held {
        Held { by_token: HashMap::with_capacity(most), frames: 0 }
    }

    /// Keeps a fragment.
    pub(super) fn insert(&mut self, token: Token, waiting: Waiting) {
        self.frames += waiting.parts.count() as u64;
        self.by_token.insert(token.0, waiting);
    }

    /// Takes it back.
    pub(super) fn remove(&mut self, token: Token) -> Option<Waiting> {
        let waiting = self.by_token.remove(&token.0)?;
        self.frames -= waiting.parts.count() as u64;
        Some(waiting)
    }

    /// In how many frames they lie.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }
}
