//! `lastack bench`: what the engine does on this machine, without privilege.
//!
//! Frames are written into memory inside the timed loop, as a NIC would, and go through the whole engine as
//! `run` uses it: parse, checksums verified, hash, look up, track, timers, verdict, counters. Every verdict is held
//! against what it has to be.
//!
//! ```text
//!   frames (4096 × 2 KiB) ◄── write 2 ── poll, read 2, judge 1 ── check 1 ── write 3 ── poll, read 3, judge 2 ── check 2 …
//!                             └───────────────────────────── burst 2, timed ────────────────────────────────────┘
//!
//!   Plan ─► Part per shard ─► Load ──────────────► rounds ──────────────► Report
//!           flows / shards    established, flood    3, on all shards at     the best, as a line
//!                             lifecycle, expiry     once; see `rounds`      of text or JSON
//! ```
//!
//! # Life cycle
//!
//! [`Plan::check`], then [`run`]: it opens the connections of every shard by handshakes through the engine, times
//! three rounds and gives the best; what else runs on the machine can only make a round worse. A [`Rig`] is one shard
//! with its workload, for whoever drives it burst by burst: the criterion benches, and the test that nothing is
//! allocated.
//!
//! | file | its one concern |
//! |---|---|
//! | `plan` | what is measured, and how it is divided among shards |
//! | `demands` | what a workload asks of the configuration |
//! | `frames` | bytes of frames, with true checksums |
//! | `engine` | a shard, its frames, its clock, and whether verdicts are as they should be |
//! | `load` | what every workload can do |
//! | `established`, `flood`, `lifecycle`, `expiry` | the workloads, one each |
//! | `rounds` | threads, cores, the timed loop |
//! | `report` | what was found, as a line |
//! | `ceiling` | the least that any tracker must do, to hold it against |
//! | `page` | what was found, as a page |

mod ceiling;
mod demands;
mod engine;
mod error;
mod established;
mod expiry;
mod flood;
mod frames;
mod lifecycle;
mod load;
mod page;
mod plan;
mod report;
mod rounds;

pub use ceiling::Ceiling;
pub use error::Error;
pub use page::{Page, Unwritable};
pub use plan::{Plan, Workload};
pub use report::{Baseline, Percentiles, Report};

use crate::config::Config;
use crate::shard::Counters;
use crate::table::Reader;
use crate::time::Time;
use load::Load;
use plan::Opening;
use rounds::{Crew, Round, Timed};

/// How often a measurement is repeated; the best counts, as in the reference programs. What else runs on the machine
/// can only make a round worse.
pub const ROUNDS: u32 = 3;

/// How far a measurement has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many connections are open.
    Open(u64),
    /// This round is about to be timed, counted from 1.
    Round(u32),
}

/// Carries out a plan. `progress` hears of it, from any thread, and never while something is timed.
///
/// # Errors
/// It cannot be done as asked, there is no memory, or the configuration forbids the workload.
pub fn run(plan: &Plan, config: &Config, progress: &(dyn Fn(Progress) + Sync)) -> Result<Report, Error> {
    plan.check(config)?;
    let tell = |open| progress(Progress::Open(open));
    let opening = Opening::new(plan.flows, &tell);
    let mut crew = Crew::new(&plan.parts(config)?, |part| load::load(plan.workload, part, &opening))?;
    progress(Progress::Round(1));
    let mut best = crew.round(plan.bursts())?;
    for number in 2..=ROUNDS {
        progress(Progress::Round(number));
        best = better(best, crew.round(plan.bursts())?);
    }
    let bytes_per_connection = crew.memory()? as f64 / crew.capacity() as f64;
    Ok(Report::new(plan, best, bytes_per_connection))
}

/// The better of two rounds: the higher rate, or the shorter stalls where they are what counts. The baseline is the
/// better one by itself: beside a disturbed one any stall would look short.
fn better(one: Round, other: Round) -> Round {
    let stall = |timed: &Timed| Percentiles::of(&timed.durations).p9999;
    let calmer = |one: Timed, other: Timed| if stall(&other) < stall(&one) { other } else { one };
    match (one.baseline, other.baseline) {
        (Some(before), Some(other_before)) => {
            let baseline = Some(calmer(before, other_before));
            Round { timed: calmer(one.timed, other.timed), baseline }
        }
        (baseline, None) if one.timed.rate >= other.timed.rate => Round { timed: one.timed, baseline },
        (_, baseline) => Round { timed: other.timed, baseline },
    }
}

/// A workload on one shard, driven burst by burst by whoever holds it.
#[derive(Debug)]
pub struct Rig(Box<dyn Load>);

impl Rig {
    /// A shard with the workload's connections.
    ///
    /// # Errors
    /// As [`run`].
    pub fn new(workload: Workload, flows: u32, config: &Config) -> Result<Rig, Error> {
        let plan = Plan { workload, flows, capacity: None, shards: 1, packets: u64::MAX };
        plan.check(config)?;
        let opening = Opening::new(flows, &|_| ());
        let part = plan.parts(config)?.first().copied().ok_or_else(|| Error::Plan("no shard".to_owned()))?;
        Ok(Rig(load::load(workload, &part, &opening)?))
    }

    /// What a round needs before its first burst.
    ///
    /// # Errors
    /// The configuration forbids it.
    pub fn prepare(&mut self) -> Result<(), Error> {
        self.0.prepare()
    }

    /// From here on what waits comes due; false where nothing does.
    ///
    /// # Errors
    /// What should wait does not.
    pub fn come_due(&mut self) -> Result<bool, Error> {
        self.0.come_due()
    }

    /// One burst, written and sent at `now`; the one before is judged, and its verdicts checked.
    ///
    /// # Errors
    /// A verdict is not what it has to be.
    #[inline]
    pub fn burst(&mut self, now: Time) -> Result<(), Error> {
        self.0.burst(now)
    }

    /// Judges the burst that was sent last, and checks its verdicts.
    ///
    /// # Errors
    /// A verdict is not what it has to be.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.0.settle()
    }

    /// The present instant of the engine's clock.
    pub fn now(&self) -> Time {
        self.0.engine().now()
    }

    /// A view of its table for other threads.
    pub fn reader(&self) -> Reader {
        self.0.engine().shard.table().reader()
    }

    /// The number of the newest change in its table.
    pub fn sequence(&self) -> u64 {
        self.0.engine().shard.sequence()
    }

    /// What the shard has done so far.
    pub fn counters(&self) -> &Counters {
        self.0.engine().shard.counters()
    }
}

#[cfg(test)]
mod testing {
    use super::plan::Part;
    use super::{Plan, Workload};
    use crate::config::Config;

    /// A single shard's part under the default configuration.
    pub(super) fn part(flows: u32) -> Part {
        let plan = Plan { workload: Workload::Established, flows, capacity: None, shards: 1, packets: 32 };
        plan.parts(&Config::default()).unwrap()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(workload: Workload, flows: u32, shards: u32, packets: u64) -> Result<Report, Error> {
        run(&Plan { workload, flows, capacity: None, shards, packets }, &Config::default(), &|_| ())
    }

    #[test]
    fn shards_divide_connections_and_packets_among_them() {
        let found = report(Workload::Established, 1001, 3, 9600).unwrap();
        assert!(
            (32..=9600).contains(&found.packets) && found.packets.is_multiple_of(32),
            "{}",
            found.packets
        );
        assert_eq!((found.flows, found.shards), (1001, 3));
        assert_eq!(report(Workload::Established, 1001, 1, 9600).unwrap().packets, 9600);
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_says_what_could() {
        let text = |workload, flows, shards, packets| {
            report(workload, flows, shards, packets).map(|_| ()).unwrap_err().to_string()
        };
        assert!(text(Workload::Lifecycle, 511, 2, 9600).contains("512 in all"));
        assert!(text(Workload::Established, 4, 0, 9600).contains("at least 1"));
        assert!(text(Workload::Established, 4, 4, 127).contains("--packets 127"));
        let config = crate::config::load(None, &["tcp.msl=1s".to_owned()]).unwrap();
        let plan = Plan { workload: Workload::Expiry, flows: 100, capacity: None, shards: 1, packets: 3200 };
        assert!(plan.check(&config).unwrap_err().to_string().contains("tcp.msl"));
    }

    #[test]
    fn a_configuration_that_forbids_the_workload_is_named_by_its_reason() {
        let config = crate::config::load(None, &["tcp.quiet_time=1s".to_owned()]).unwrap();
        let plan =
            Plan { workload: Workload::Established, flows: 100, capacity: None, shards: 1, packets: 3200 };
        let error = run(&plan, &config, &|_| ()).unwrap_err();
        assert!(error.to_string().contains("quiet_time"), "{error}");
    }

    #[test]
    fn of_bursts_and_of_their_baseline_the_calmest_round_counts_each_by_itself() {
        let timed =
            |stall: u32| Timed { rate: 1e9 / f64::from(stall), durations: vec![stall], ..Timed::default() };
        let round =
            |stall: u32, before: Option<u32>| Round { timed: timed(stall), baseline: before.map(timed) };
        let both = |round: Round| (round.timed.durations, round.baseline.map(|before| before.durations));
        for (one, other) in [(round(9, Some(5)), round(7, Some(6))), (round(7, Some(6)), round(9, Some(5)))] {
            assert_eq!(both(better(one, other)), (vec![7], Some(vec![5])));
        }
        for (one, other) in [(round(9, None), round(7, None)), (round(7, None), round(9, None))] {
            assert_eq!(both(better(one, other)), (vec![7], None), "the higher rate");
        }
    }

    #[test]
    fn progress_is_told_on_the_way() {
        let told = std::sync::Mutex::new(Vec::new());
        let plan =
            Plan { workload: Workload::Established, flows: 150_000, capacity: None, shards: 1, packets: 32 };
        run(&plan, &Config::default(), &|progress| told.lock().unwrap().push(progress)).unwrap();
        let rounds = [1, 2, 3].map(Progress::Round);
        assert_eq!(*told.lock().unwrap(), [&[65_536, 131_072].map(Progress::Open)[..], &rounds].concat());
    }
}
