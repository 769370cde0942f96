//! The worlds: where each begins and what may happen in it. Small ones in the ordinary tests, larger ones
//! (`large`) every night.

use lastack::tcp::Policy;

use super::attacker::USURPS;
use super::endpoint::Endpoint;
use super::network::{Action, Budget, Event, Rules, World};
use super::search::explore;
use super::segment::{ISN_STEP, SYN, Segment, Side};
use Side::{A, B};

/// Room for two segments on every hop.
const WIDE: Rules = Rules { policy: Policy::DEFAULT, room: [2, 2], reorders: true };
/// Room for one segment on every hop: what crosses comes from different sides.
const TIGHT: [Rules; 1] = [Rules { room: [1, 1], ..WIDE }];
/// Room for two before the tracker or behind it: segments overtake each other at one place at a time.
const NARROW: [Rules; 2] = [Rules { room: [2, 1], ..WIDE }, Rules { room: [1, 2], ..WIDE }];

const NONE: [u8; 2] = [0, 0];
const A_ONE: [u8; 2] = [1, 0];
const B_ONE: [u8; 2] = [0, 1];
const EACH: [u8; 2] = [1, 1];

/// Explores worlds under each of the rules, and prints what that was.
fn hold(name: &str, worlds: &[World], rules: &[Rules]) {
    for rules in rules {
        for (number, world) in worlds.iter().enumerate() {
            let [before, behind] = rules.room;
            let report = explore(world, rules);
            let report =
                report.unwrap_or_else(|broken| panic!("{name} {number}, room {before}/{behind}: {broken:?}"));
            println!("{name} {number}, room {before}/{behind}: {report}");
            assert!(report.states > 100, "hardly anything was explored");
        }
    }
}

fn a_opens_to_b() -> [Endpoint; 2] {
    [Endpoint::closed(A), Endpoint::listening(B)]
}

/// A connection of A to B, open on both sides; then `budget` for what follows.
fn established(budget: Budget) -> World {
    established_between(a_opens_to_b(), budget)
}

fn established_between(ends: [Endpoint; 2], budget: Budget) -> World {
    let mut world = World::new(ends, Budget { opens: A_ONE, ..Budget::default() });
    let handshake = [
        Event::Act(A, Action::Open),
        Event::Judge(A, 0),
        Event::Deliver(B, 0),
        Event::Judge(B, 0),
        Event::Deliver(A, 0),
        Event::Judge(A, 0),
        Event::Deliver(B, 0),
    ];
    for event in handshake {
        world.apply(event, &WIDE);
    }
    assert!(world.is_quiet() && world.ends.iter().all(|end| end.state.name() == "ESTABLISHED"));
    World { budget, ..world }
}

fn both_listen() -> [Endpoint; 2] {
    [Endpoint::listening(A), Endpoint::listening(B)]
}

/// An active open to a listener; a simultaneous one.
fn opens(doubles: u8, premature: u8) -> Vec<World> {
    let budget = Budget { opens: EACH, sends: EACH, doubles, premature, ..Budget::default() };
    let passive = World::new(a_opens_to_b(), Budget { opens: A_ONE, ..budget });
    let mut simultaneous = World::new([Endpoint::closed(A), Endpoint::closed(B)], budget);
    for side in Side::BOTH {
        simultaneous.apply(Event::Act(side, Action::Open), &WIDE);
    }
    vec![passive, simultaneous]
}

/// Everything that two open endpoints can do until both have closed.
fn closes(sends: [u8; 2], doubles: u8, premature: u8) -> Vec<World> {
    vec![established(Budget { sends, closes: EACH, doubles, premature, ..Budget::default() })]
}

/// From the first SYN to the last ACK.
fn lives() -> Vec<World> {
    vec![World::new(a_opens_to_b(), Budget { opens: A_ONE, closes: EACH, ..Budget::default() })]
}

fn aborts(sends: [u8; 2], doubles: u8, premature: u8) -> Vec<World> {
    let budget = Budget { sends, closes: B_ONE, aborts: EACH, doubles, premature, ..Budget::default() };
    vec![established(budget)]
}

/// One side sends, closes and aborts: octets, FIN and RST may each be missing when the next one comes.
fn holes() -> Vec<World> {
    vec![established(Budget { sends: A_ONE, closes: A_ONE, aborts: A_ONE, ..Budget::default() })]
}

/// A closed port that refuses, and opens by itself; a listener that aborts in mid-handshake, and listens again.
fn refusals() -> Vec<World> {
    let budget = Budget { opens: EACH, ..Budget::default() };
    vec![
        World::new([Endpoint::closed(A), Endpoint::closed(B)], budget),
        World::new(a_opens_to_b(), Budget { opens: A_ONE, aborts: EACH, ..budget }),
    ]
}

/// Old duplicates, crashes of one and of both, and what the endpoints make of them.
fn incarnations(doubles: u8, premature: u8) -> Vec<World> {
    let budget = Budget { doubles, premature, ..Budget::default() };
    let old_syn =
        Segment { flags: SYN, seq: A.initial(0).wrapping_sub(ISN_STEP), ack: 0, octets: 0, old_fin: false };
    let mut old = World::new(a_opens_to_b(), Budget { opens: A_ONE, sends: A_ONE, ..budget });
    old.before[0].push(old_syn);
    let crashed = Budget { opens: A_ONE, crashes: A_ONE, ..budget };
    vec![
        old,
        established(Budget { sends: EACH, ..crashed }),
        established(Budget { sends: A_ONE, crashes: B_ONE, opens: NONE, probes: EACH, ..crashed }),
        established(Budget { crashes: EACH, ..crashed }),
        World::new(a_opens_to_b(), Budget { opens: [2, 0], crashes: EACH, ..budget }),
    ]
}

/// A new connection while the old one is in TIME_WAIT, or its remains are.
fn reuses(doubles: u8, premature: u8) -> Vec<World> {
    let budget = Budget { closes: EACH, opens: A_ONE, doubles, premature, ..Budget::default() };
    vec![
        established(budget),
        established(Budget { opens: B_ONE, ..budget }),
        established_between(both_listen(), Budget { opens: EACH, ..budget }),
        established(Budget { aborts: A_ONE, closes: NONE, ..budget }),
    ]
}

fn attacks(premature: u8) -> Vec<World> {
    let budget = Budget { attacks: 1, premature, ..Budget::default() };
    vec![
        World::new(a_opens_to_b(), Budget { opens: A_ONE, sends: B_ONE, ..budget }),
        established(Budget { sends: EACH, ..budget }),
        established(Budget { closes: EACH, ..budget }),
    ]
}

/// An open connection, and somebody who makes up another one of the same tuple.
fn usurpations(sends: [u8; 2], closes: [u8; 2]) -> Vec<World> {
    let budget = Budget { sends, closes, ..Budget::default() };
    vec![
        established(Budget { usurps: [USURPS, 0], ..budget }),
        established(Budget { usurps: [0, USURPS], ..budget }),
        established(Budget { usurps: [2, 2], ..budget }),
    ]
}

/// What the ordinary tests explore, in some seconds.
mod small {
    use super::*;

    #[test]
    fn whoever_opens() {
        hold("opens", &opens(0, 0), &TIGHT);
    }

    #[test]
    fn whoever_closes() {
        hold("closes", &closes(NONE, 0, 0), &NARROW[..1]);
    }

    #[test]
    fn whoever_aborts() {
        hold("aborts", &aborts(NONE, 0, 0), &TIGHT);
    }

    #[test]
    fn whatever_is_missing_before_a_fin_or_an_rst() {
        hold("holes", &holes(), &NARROW);
    }

    #[test]
    fn old_duplicates_and_crashes() {
        hold("incarnations", &incarnations(0, 0), &TIGHT);
        hold("incarnations", &incarnations(0, 0)[..1], &NARROW);
    }

    #[test]
    fn whoever_opens_again() {
        hold("reuses", &reuses(0, 0)[..2], &TIGHT);
    }

    #[test]
    fn whoever_refuses_and_opens_again() {
        hold("refusals", &refusals(), &TIGHT);
    }

    #[test]
    fn somebody_off_the_path() {
        hold("attacks", &attacks(0)[..2], &TIGHT);
    }

    #[test]
    fn somebody_who_makes_up_a_connection() {
        hold("usurpations", &usurpations(EACH, NONE), &TIGHT);
    }
}

/// What `tools/nightly` explores.
mod large {
    use super::*;

    #[test]
    #[ignore = "minutes: tools/nightly"]
    fn whoever_opens() {
        hold("opens", &opens(0, 0), &NARROW);
    }

    #[test]
    #[ignore = "minutes: tools/nightly"]
    fn whoever_closes() {
        hold("closes", &closes(A_ONE, 0, 0), &TIGHT);
        hold("closes", &closes(NONE, 0, 0), &NARROW);
    }

    #[test]
    #[ignore = "minutes: tools/nightly"]
    fn from_the_first_syn_to_the_last_ack() {
        hold("lives", &lives(), &TIGHT);
    }

    #[test]
    #[ignore = "minutes: tools/nightly"]
    fn whoever_aborts() {
        hold("aborts", &aborts(A_ONE, 0, 0), &TIGHT);
    }

    #[test]
    #[ignore = "minutes: tools/nightly"]
    fn whoever_opens_again() {
        hold("reuses", &reuses(0, 0), &TIGHT);
    }

    #[test]
    #[ignore = "minutes: tools/nightly"]
    fn somebody_off_the_path() {
        hold("attacks", &attacks(0), &TIGHT);
        hold("attacks", &attacks(0)[..2], &NARROW);
    }

    #[test]
    #[ignore = "minutes: tools/nightly"]
    fn somebody_who_makes_up_a_connection() {
        hold("usurpations", &usurpations(NONE, A_ONE), &TIGHT);
        hold("usurpations", &usurpations(EACH, NONE), &NARROW);
    }
}
