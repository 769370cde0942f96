//! Any bytes as a policy and a sequence of packets through a real shard, and what must be true of it: the
//! fuzzer's target, and what the ordinary tests replay.
//!
//! ```text
//!                                  ┌─ World ─ each packet ─► Laws             (`laws`, `edges`)
//!  bytes ─► Setup, [Event] ────────┤                            │ the same verdicts and ends?
//!           (`setup`, `event`)     └─ World through a Lens ─────┘             (`Relation`)
//! ```
//!
//! The second run puts the same question another way: endpoints exchanged, all numbers of a side or all times
//! moved, packets in bursts, timers that come late, frames that take no shortcut. What the tracker answers must be the
//! same.

pub(crate) mod edges;
pub(crate) mod event;
mod input;
mod laws;
pub(crate) mod setup;
mod world;

use std::fmt::Write as _;

use lastack::shard::{Action, Class, End, Reason, Record, Subject, Verdict};
use lastack::tcp::State;
use lastack::time::Span;
use lastack::wire::{Direction, Flags};

use event::Event;
use input::Input;
use laws::{Facts, Laws};
use setup::{Relation, Setup};
use world::{Lens, World};

/// What became of a packet, but for the numbers behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub action: Action,
    pub class: Class,
    pub reason: Option<Reason>,
    pub subject: Option<Subject>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fate {
    pub id: u64,
    pub end: &'static str,
    pub states: [&'static str; 2],
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    pub lived: Span,
}

/// Everything that was said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    pub answers: Vec<Answer>,
    pub fates: Vec<Fate>,
}

impl Outcome {
    /// The same with connections numbered as packets name them. One that has its tuple again when another has ended takes
    /// a number then, be it when the timers are asked or when a packet comes, or never if nobody asks.
    fn numbered_anew(&self) -> Outcome {
        let mut numbers = std::collections::HashMap::new();
        let mut other = self.clone();
        for subject in other.answers.iter_mut().filter_map(|answer| answer.subject.as_mut()) {
            let next = numbers.len() as u64 + 1;
            subject.id = *numbers.entry(subject.id).or_insert(next);
        }
        other.fates.retain_mut(|fate| {
            let number = numbers.get(&fate.id);
            fate.id = number.copied().unwrap_or(fate.id);
            number.is_some()
        });
        other.fates.sort();
        other
    }
}

/// Runs an input.
///
/// # Panics
/// A law does not hold, or the same question had another answer.
pub(crate) fn check(bytes: &[u8]) -> Outcome {
    let mut input = Input::new(bytes);
    let setup = Setup::read(&mut input);
    let events = event::read(&mut input);
    let outcome = under_laws(&setup, &events);
    if setup.relation_holds() {
        let (one, other) = (outcome.numbered_anew(), put_otherwise(&setup, &events).numbered_anew());
        for (number, (one, two)) in one.answers.iter().zip(&other.answers).enumerate() {
            assert_eq!(one, two, "packet {number}, {:?}", setup.relation);
        }
        assert_eq!(one.answers.len(), other.answers.len());
        for (one, two) in one.fates.iter().zip(&other.fates) {
            assert_eq!(one, two, "{:?}", setup.relation);
        }
        assert_eq!(one.fates.len(), other.fates.len());
    }
    outcome
}

/// What an input means and what the tracker says to it, for whoever looks at one that fails.
pub(crate) fn explain(bytes: &[u8]) -> String {
    let mut input = Input::new(bytes);
    let setup = Setup::read(&mut input);
    let mut world = World::new(&setup, Lens::default());
    let mut text = format!("{setup:?}\n");
    let events = event::read(&mut input);
    for event in events.into_iter().filter(|event| *event != Event::Wait(0)) {
        let _ = writeln!(text, "{:>9} {event:?}", world.now().number());
        if let Event::Wait(milliseconds) = event {
            world.wait(milliseconds);
            world.poll();
            continue;
        }
        let verdict = world.send(&[frame_of(&world, &event).0])[0];
        let reason = verdict.reason.map_or("-", |reason| reason.name());
        let subject = verdict.subject.map(|it| (it.id, it.direction, it.states));
        let _ = writeln!(
            text,
            "          {} {reason} {subject:?} {:?}",
            verdict.class.name(),
            world.heard.evidence
        );
    }
    text
}

/// Packet by packet, with every law asked after each.
fn under_laws(setup: &Setup, events: &[Event]) -> Outcome {
    let mut world = World::new(setup, Lens::default());
    let mut laws = Laws::new(setup);
    let mut outcome = Outcome::default();
    for event in events {
        if let Event::Wait(milliseconds) = event {
            world.wait(*milliseconds);
        }
        // Without a wait as well: a FIN repeated at once may leave its connection no time at all.
        let now = world.now();
        while let Some(tick) = world.poll_next(Some(now)) {
            outcome.hear(&world);
            laws.after_timers(&mut world, tick);
        }
        if matches!(event, Event::Wait(_)) {
            continue;
        }
        let (frame, facts) = frame_of(&world, event);
        let before = world.kept();
        let verdicts = world.send(&[frame]);
        outcome.hear(&world);
        outcome.answers.push(Answer::of(&verdicts[0]));
        laws.after_packet(&mut world, &before, &facts, &verdicts[0]);
    }
    while let Some(tick) = world.poll_next(None) {
        outcome.hear(&world);
        laws.after_timers(&mut world, tick);
    }
    assert!(world.shard.table().is_empty(), "drained, and not empty: {:?}", world.kept());
    outcome.fates.sort();
    outcome
}

/// The same question in other words.
fn put_otherwise(setup: &Setup, events: &[Event]) -> Outcome {
    let mut lens = Lens::default();
    match setup.relation {
        Relation::Repeated | Relation::Bursts | Relation::Unpolled => {}
        Relation::Mirrored => lens.is_mirrored = true,
        Relation::ClientNumbers(amount) => lens.numbers = [amount, 0],
        Relation::ServerNumbers(amount) => lens.numbers = [0, amount],
        Relation::Later(milliseconds) => lens.start = milliseconds,
        Relation::Tagged => lens.is_tagged = true,
    }
    let mut world = World::new(setup, lens);
    let mut outcome = Outcome::default();
    let mut burst = Vec::new();
    for event in events {
        if let Event::Wait(milliseconds) = event {
            outcome.take(&mut world, &mut burst);
            world.wait(*milliseconds);
        }
        if setup.relation != Relation::Unpolled && burst.is_empty() {
            world.poll();
        }
        if matches!(event, Event::Wait(_)) {
            continue;
        }
        burst.push(frame_of(&world, event).0);
        if setup.relation != Relation::Bursts {
            outcome.take(&mut world, &mut burst);
        }
    }
    outcome.take(&mut world, &mut burst);
    while world.poll_next(None).is_some() {}
    outcome.hear(&world);
    outcome.fates.sort();
    outcome
}

impl Answer {
    fn of(verdict: &Verdict) -> Answer {
        let Verdict { action, class, reason, subject } = *verdict;
        Answer { action, class, reason, subject }
    }
}

impl Outcome {
    /// Sends what has been collected.
    fn take(&mut self, world: &mut World, burst: &mut Vec<Vec<u8>>) {
        self.answers.extend(world.send(burst).iter().map(Answer::of));
        burst.clear();
    }

    /// Takes in the ends that were told and that nobody has cleared yet.
    fn hear(&mut self, world: &World) {
        self.fates.extend(world.heard.ended.iter().map(|(_, record)| Fate::of(record)));
    }
}

impl Fate {
    fn of(record: &Record) -> Fate {
        Fate {
            id: record.id,
            end: record.end.map_or("-", End::name),
            states: record.states.expect("everything here is TCP").map(State::name),
            packets: record.packets,
            bytes: record.bytes,
            lived: record.lived(),
        }
    }
}

/// An event's frame, and what is known of it.
fn frame_of(world: &World, event: &Event) -> (Vec<u8>, Facts) {
    const ETHERNET: usize = 14;
    let (frame, tuple, from, flags) = match event {
        Event::Wait(_) => unreachable!("time is no frame"),
        Event::Segment(sent) => (world.segment(sent), sent.tuple, sent.from, Some(sent.flags)),
        Event::Error(quoted) => {
            let from = if quoted.is_misdirected { quoted.of } else { quoted.of.opposite() };
            (world.error(quoted), quoted.tuple, from, None::<Flags>)
        }
    };
    let facts = Facts {
        source: world.end(tuple, from),
        destination: world.end(tuple, Direction::opposite(from)),
        flags,
        length: (frame.len() - ETHERNET) as u64,
    };
    (frame, facts)
}
