//! What a shard has done, as numbers that only grow.

use super::record::End;
use super::verdict::{Action, Class, Reason, Verdict};

/// The counters of one shard. Held frames count once their verdict is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Packets let through.
    pub accepted: u64,
    /// Packets dropped.
    pub dropped: u64,
    /// Packets by class, in the order of [`Class::ALL`].
    pub by_class: [u64; Class::ALL.len()],
    /// Packets by reason, in the order of [`Reason::all`], accepted ones with a reason included.
    pub by_reason: [u64; Reason::COUNT],
    /// Connections begun.
    pub begun: u64,
    /// Connections ended, in the order of [`End::ALL`].
    pub ended: [u64; End::ALL.len()],
    /// Segments after which a hole or a SYN could not be remembered because every annex was taken.
    pub annexes_exhausted: u64,
    /// Annexes that one connection which not both sides had confirmed has taken from another such, or that a confirmed one
    /// has taken for something to remember, from a hole or from what came longer ago than a segment lives.
    pub annexes_displaced: u64,
}

impl Counters {
    /// Nothing yet.
    pub const ZERO: Counters = Counters {
        accepted: 0,
        dropped: 0,
        by_class: [0; Class::ALL.len()],
        by_reason: [0; Reason::COUNT],
        begun: 0,
        ended: [0; End::ALL.len()],
        annexes_exhausted: 0,
        annexes_displaced: 0,
    };

    #[inline]
    pub(super) fn count(&mut self, verdict: &Verdict) {
        match verdict.action {
            Action::Accept => self.accepted += 1,
            Action::Drop => self.dropped += 1,
            Action::Held => return,
        }
        self.by_class[verdict.class as usize] += 1;
        if let Some(reason) = verdict.reason {
            self.by_reason[reason.number()] += 1;
        }
    }

    /// Counts `packets` accepted as part of their connections, with nothing to say about them.
    #[inline]
    pub(super) fn count_plain(&mut self, packets: u64) {
        self.accepted += packets;
        self.by_class[Class::Established as usize] += packets;
    }

    /// Adds another shard's.
    pub fn add(&mut self, other: &Counters) {
        let sums = |mine: &mut [u64], theirs: &[u64]| {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        };
        self.accepted += other.accepted;
        self.dropped += other.dropped;
        sums(&mut self.by_class, &other.by_class);
        sums(&mut self.by_reason, &other.by_reason);
        self.begun += other.begun;
        sums(&mut self.ended, &other.ended);
        self.annexes_exhausted += other.annexes_exhausted;
        self.annexes_displaced += other.annexes_displaced;
    }
}
