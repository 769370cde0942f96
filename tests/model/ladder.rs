//! A way through the model as people read it: what happened, and both endpoints' states beside the tracked ones.

use super::middle::{Outcome, Tracker};
use super::network::{Event, Rules, World};
use super::segment::{Segment, Side};

/// One row for each event, from `initial` on.
pub fn draw(initial: &World, events: &[Event], rules: &Rules) -> String {
    let mut world = initial.clone();
    let mut rows = format!("{:<76} {:<13} {:<26} B\n", "", "A", "tracked");
    rows += &row("at first", &world);
    for hop in initial.before.iter().zip(Side::BOTH) {
        for segment in hop.0 {
            rows += &format!("  under way from {:?}: {segment}\n", hop.1);
        }
    }
    for &event in events {
        let told = tell(&mut world, event, rules);
        world.settle(rules);
        rows += &row(&told, &world);
    }
    rows
}

fn row(told: &str, world: &World) -> String {
    format!("{told:<76} {}\n", states(world))
}

/// Both endpoints' states, and the tracked ones between them.
pub fn states(world: &World) -> String {
    let [a, b] = world.ends.map(|end| end.state.name());
    format!("{a:<13} {:<26} {b}", tracked(&world.tracker))
}

fn tracked(tracker: &Tracker) -> String {
    let Some(entry) = &tracker.entry else { return "-".to_owned() };
    let [a, b] = Side::BOTH.map(|side| entry.state(side).name());
    format!("{a}/{b}")
}

/// Lets `event` happen and says what it was.
fn tell(world: &mut World, event: Event, rules: &Rules) -> String {
    let on = |hop: &[Segment], place: u8| hop[usize::from(place)].to_string();
    let told = match event {
        Event::Act(side, action) => format!("{side:?}: {action:?}"),
        Event::Retransmit(side) => format!("{side:?}: retransmits"),
        Event::Judge(side, place) => format!("{side:?} ─► {}", on(&world.before[side.index()], place)),
        Event::Deliver(side, place) => format!("─► {side:?} {}", on(&world.behind[side.index()], place)),
        Event::LoseBefore(side, place) => {
            format!("lost from {side:?}: {}", on(&world.before[side.index()], place))
        }
        Event::LoseBehind(side, place) => {
            format!("lost to {side:?}: {}", on(&world.behind[side.index()], place))
        }
        Event::DoubleBefore(side, place) => {
            format!("doubled from {side:?}: {}", on(&world.before[side.index()], place))
        }
        Event::DoubleBehind(side, place) => {
            format!("doubled to {side:?}: {}", on(&world.behind[side.index()], place))
        }
        Event::TimeWaitEnds(side) => format!("{side:?}: TIME_WAIT ends"),
        Event::Usurp(side) => format!("somebody as {side:?}"),
        Event::GivesUp(side) => format!("{side:?}: gives up"),
        Event::EntryEnds => "the tracker's entry ends".to_owned(),
        Event::GivesWay => "the tracker's entry gives way to what it has displaced".to_owned(),
        Event::Attack(side, number) => {
            let forged = super::attacker::forgeries(world, side);
            format!("forged to {side:?}: {}", forged[usize::from(number)])
        }
    };
    let sent_before = world.before.clone();
    let judged = world.apply(event, rules);
    let sent: Vec<String> = world
        .before
        .iter()
        .zip(&sent_before)
        .filter(|(now, then)| now.len() > then.len())
        .filter(|_| !matches!(event, Event::DoubleBefore(..)))
        .filter_map(|(now, _)| now.last().map(|segment| format!(", sends {segment}")))
        .collect();
    let outcome = judged.map_or(String::new(), |judged| match judged.outcome {
        Outcome::Passed => " ─► passed".to_owned(),
        Outcome::Began => " ─► new".to_owned(),
        Outcome::Refused(refusal) => format!(" ─► refused: {}", refusal.name()),
    });
    format!("{told}{}{outcome}", sent.concat())
}
