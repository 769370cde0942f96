//! Every state that can be reached, nearest first, and from each of them the way to rest.
//!
//! ```text
//!   initial ──► frontier ──► every event ──► new? ──► properties ──► next frontier ──► …
//!                                             │
//!                          seen: fingerprint ─► number, and by which event from which state it was reached
//! ```
//!
//! States are known by 128 bits: two hashes of their bytes under fixed keys. Among 10^8 states the odds that
//! any two of them share these are 1 in 10^22. Breadth comes first, so that a counterexample is a shortest one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use ahash::RandomState;

use super::ladder;
use super::middle::Outcome;
use super::network::{Event, Judged, Rules, World};
use super::properties;

/// What was explored.
#[derive(Debug)]
pub struct Report {
    pub states: usize,
    pub transitions: usize,
    /// Events on the shortest way to the farthest state.
    pub depth: usize,
    /// Quiet states in which states were compared.
    pub quiet: usize,
    /// Pairs of tracked states.
    pub pairs: BTreeSet<[&'static str; 2]>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { states, transitions, depth, quiet, pairs } = self;
        write!(
            f,
            "{states} states, {transitions} transitions, depth {depth}, {quiet} quiet states compared, {} pairs of states",
            pairs.len()
        )
    }
}

/// A property that does not hold, as the shortest way there.
pub struct Counterexample(String);

impl fmt::Debug for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a state was reached first: from which one, by which event.
type Origin = Option<(u32, Event)>;

struct Search<'a> {
    rules: &'a Rules,
    initial: &'a World,
    keys: [RandomState; 2],
    seen: HashMap<u128, u32, RandomState>,
    origins: Vec<Origin>,
    /// Fair events: from which state to which.
    fair: Vec<(u32, u32)>,
    at_rest: Vec<u32>,
    report: Report,
    bytes: Vec<u8>,
}

/// Explores everything that can be reached from `initial`.
pub fn explore(initial: &World, rules: &Rules) -> Result<Report, Counterexample> {
    let keys = [RandomState::with_seeds(1, 2, 3, 4), RandomState::with_seeds(5, 6, 7, 8)];
    let mut search = Search {
        rules,
        initial,
        seen: HashMap::with_hasher(keys[0].clone()),
        keys,
        origins: Vec::new(),
        fair: Vec::new(),
        at_rest: Vec::new(),
        report: Report { states: 0, transitions: 0, depth: 0, quiet: 0, pairs: BTreeSet::new() },
        bytes: Vec::new(),
    };
    search.run()?;
    search.everything_comes_to_rest()?;
    search.report.states = search.origins.len();
    Ok(search.report)
}

impl Search<'_> {
    fn run(&mut self) -> Result<(), Counterexample> {
        let mut frontier = Vec::new();
        self.reach(self.initial.clone(), None, &mut frontier)?;
        let mut events = Vec::new();
        while !frontier.is_empty() {
            let mut next = Vec::new();
            for (number, world) in frontier {
                world.events(self.rules, &mut events);
                self.report.transitions += events.len();
                for &event in &events {
                    self.follow(number, &world, event, &mut next)?;
                }
            }
            self.report.depth += usize::from(!next.is_empty());
            frontier = next;
        }
        Ok(())
    }

    fn follow(
        &mut self,
        number: u32,
        world: &World,
        event: Event,
        next: &mut Vec<(u32, World)>,
    ) -> Result<(), Counterexample> {
        let mut after = world.clone();
        let judged = after.apply(event, self.rules);
        if let Some(judged) = judged {
            properties::of_judgement(&after, &world.tracker, &judged)
                .map_err(|broken| self.counterexample(number, Some(event), &broken))?;
        }
        after.settle(self.rules);
        let reached = self.reach(after, Some((number, event)), next)?;
        if event.is_fair() {
            self.fair.push((number, reached));
        }
        Ok(())
    }

    /// The number of `world`; if it is new, it is checked and filed to be explored.
    fn reach(
        &mut self,
        world: World,
        origin: Origin,
        next: &mut Vec<(u32, World)>,
    ) -> Result<u32, Counterexample> {
        world.encode(&mut self.bytes);
        let [low, high] = [0, 1].map(|key| u128::from(self.keys[key].hash_one(&self.bytes)));
        let fingerprint = low | high << 64;
        let new = u32::try_from(self.origins.len()).expect("fewer than 2^32 states");
        let number = *self.seen.entry(fingerprint).or_insert(new);
        if number != new {
            return Ok(number);
        }
        self.origins.push(origin);
        let compared =
            properties::of_state(&world).map_err(|broken| self.counterexample(number, None, &broken))?;
        self.report.quiet += usize::from(compared);
        if world.is_quiet() {
            self.at_rest.push(number);
        }
        if let Some(entry) = &world.tracker.entry {
            self.report.pairs.insert(entry.connection.marks.states().map(|state| state.name()));
        }
        next.push((number, world));
        Ok(number)
    }

    /// (e): from every state, fair events alone can lead to a quiet one.
    fn everything_comes_to_rest(&mut self) -> Result<(), Counterexample> {
        self.fair.sort_unstable_by_key(|&(_, to)| to);
        let mut reaches = vec![false; self.origins.len()];
        let mut pending = std::mem::take(&mut self.at_rest);
        while let Some(to) = pending.pop() {
            if std::mem::replace(&mut reaches[to as usize], true) {
                continue;
            }
            let first = self.fair.partition_point(|&(_, other)| other < to);
            let into = self.fair[first..].iter().take_while(|&&(_, other)| other == to);
            pending.extend(into.map(|&(from, _)| from).filter(|&from| !reaches[from as usize]));
        }
        match reaches.iter().position(|reaches| !reaches) {
            None => Ok(()),
            Some(stuck) => {
                let mut told = "(e) from here it never comes to rest; refused on the way:".to_owned();
                for (judged, states) in self.refused_from(stuck as u32) {
                    told += &format!(
                        "\n    {:?} ─► {} {:?} {states}",
                        judged.sender, judged.segment, judged.outcome
                    );
                }
                Err(self.counterexample(stuck as u32, None, &told))
            }
        }
    }

    /// What the tracker refuses wherever fair events lead from state `number`, each once.
    fn refused_from(&mut self, number: u32) -> Vec<(Judged, String)> {
        let mut world = self.initial.clone();
        for event in self.way_to(number) {
            world.apply(event, self.rules);
            world.settle(self.rules);
        }
        let mut refused: Vec<(Judged, String)> = Vec::new();
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut pending = vec![world];
        let mut events = Vec::new();
        while let Some(world) = pending.pop() {
            world.events(self.rules, &mut events);
            for &event in events.iter().filter(|event| event.is_fair()) {
                let mut after = world.clone();
                let judged = after.apply(event, self.rules);
                after.settle(self.rules);
                let states = ladder::states(&after);
                if let Some(judged) = judged.filter(|judged| matches!(judged.outcome, Outcome::Refused(_)))
                    && !refused.contains(&(judged, states.clone()))
                {
                    refused.push((judged, states));
                }
                after.encode(&mut self.bytes);
                if seen.insert(self.bytes.clone()) {
                    pending.push(after);
                }
            }
        }
        refused
    }

    /// The events on the shortest way to state `number`.
    fn way_to(&self, number: u32) -> Vec<Event> {
        let mut events = Vec::new();
        let mut at = number;
        while let Some((from, event)) = self.origins[at as usize] {
            events.push(event);
            at = from;
        }
        events.reverse();
        events
    }

    /// The shortest way to state `number`, and what is wrong there, or with `event` that follows.
    fn counterexample(&self, number: u32, event: Option<Event>, broken: &str) -> Counterexample {
        let mut events = self.way_to(number);
        events.extend(event);
        let drawn = ladder::draw(self.initial, &events, self.rules);
        Counterexample(format!("\n{drawn}\n{broken}\nafter {} states\n", self.origins.len()))
    }
}
