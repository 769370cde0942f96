//! What every workload can do: the timed loop knows no more of it.

use std::fmt;

use super::engine::Engine;
use super::error::Error;
use super::established::Established;
use super::expiry::Expiry;
use super::flood::SynFlood;
use super::frames::Version;
use super::lifecycle::Lifecycle;
use super::plan::{Opening, Part, Workload};
use crate::time::Time;

/// A workload on one shard.
///
/// A round: [`Load::prepare`]; [`Load::burst`] until [`Load::is_done`]; [`Load::settle`]; [`Load::finish`]. Where
/// [`Load::come_due`] says so, bursts follow once more until done, and are what counts.
pub(super) trait Load: fmt::Debug + Send {
    /// The shard, its frames and its clock.
    fn engine(&self) -> &Engine;
    /// The same, to use.
    fn engine_mut(&mut self) -> &mut Engine;

    /// What a round needs and is not timed.
    fn prepare(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Writes a burst at `now` of the engine's clock and sends it into the shard, which judges the one before; fails where
    /// a verdict of that one is not what it has to be.
    fn burst(&mut self, now: Time) -> Result<(), Error>;

    /// Has the last burst judged, and fails where a verdict is not what it has to be.
    fn settle(&mut self) -> Result<(), Error> {
        self.engine_mut().judge_last();
        self.check()
    }

    /// Fails unless the verdicts of the burst that was judged last are what they have to be.
    fn check(&self) -> Result<(), Error> {
        self.engine().expect()
    }

    /// Whether a round that wants so many bursts is over after `bursts`.
    fn is_done(&self, bursts: u64, wanted: u64, now: Time) -> bool {
        let _ = now;
        bursts >= wanted
    }

    /// What was timed was the baseline of what now begins; false where there is no such thing.
    fn come_due(&mut self) -> Result<bool, Error> {
        Ok(false)
    }

    /// How many bursts there should be room to note the times of, in a round that wants so many.
    fn most_bursts(&self, wanted: u64) -> u64 {
        wanted
    }

    /// Fails unless the table is as it should be after a round.
    fn finish(&self) -> Result<(), Error>;

    /// How many whole connections there have been, where they are what is timed.
    fn completed(&self) -> Option<u64> {
        None
    }
}

/// Opens the connections of a workload.
pub(super) fn load(workload: Workload, part: &Part, opening: &Opening<'_>) -> Result<Box<dyn Load>, Error> {
    Ok(match workload {
        Workload::Established => Box::new(Established::new(part, part.capacity, Version::V4, opening)?),
        Workload::Established6 => Box::new(Established::new(part, part.capacity, Version::V6, opening)?),
        Workload::Lifecycle => Box::new(Lifecycle::new(part, opening)?),
        Workload::SynFlood => Box::new(SynFlood::new(part, opening)?),
        Workload::Expiry => Box::new(Expiry::new(part, opening)?),
    })
}
