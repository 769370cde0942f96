//! Who keeps an annex, under every mixture of connections that want one.

use std::collections::BTreeMap;

use super::*;

/// A table of a thousand has 64 annexes, of which unconfirmed connections hold 16 at most.
const PLACES: u32 = 1000;
const ANNEXES: usize = 64;
const SHARE: usize = 16;
/// Connections that are under way, by their client's port.
const PORTS: u16 = 150;

/// What is seen of a connection from outside: its port, whether both sides have confirmed it, whether it has an annex,
/// and whether it remembers something.
type Seen = BTreeMap<u64, (u16, bool, bool, bool)>;

fn seen(shard: &Shard) -> Seen {
    let table = shard.table();
    let connections = table.scan().map(|index| {
        let connection = table.connection(index);
        let tracked = tcp::Connection::from_words(connection.tracker());
        let has_annex = table.annex(index).is_some();
        assert!(
            has_annex || !tracked.marks.remembers(),
            "it claims to remember, and has nothing to do it with"
        );
        // What has displaced a confirmed connection holds its annex for that one.
        let rival = shard.irregular(index, &tracked).rival;
        let is_confirmed = record::eviction_rank(connection).is_none()
            || rival.is_some_and(|rival| record::rank_of_tcp(&rival.connection).is_none());
        let Record { originator, responder, .. } = shard.record(index);
        let port = if originator.1 == 80 { responder.1 } else { originator.1 };
        (connection.id(), (port, is_confirmed, has_annex, tracked.marks.remembers()))
    });
    connections.collect()
}

/// One segment of one of the connections, whatever state it is in.
fn segment_of(random: &mut fastrand::Rng, port: u16) -> Vec<u8> {
    match random.u8(0..12) {
        0..3 => there(port, Flags::SYN, 0, 0),
        3 => there(port, Flags::SYN, 500_000, 0),
        4 => back(port, SYN_ACK, 0, 1),
        5 => back(port, SYN_ACK, 9_000, 1),
        6 => there(port, Flags::ACK, 1, 1),
        7 => back(port, Flags::ACK, 1, 1),
        8 => there(port, FIN_ACK, 101, 1),
        9 => back(port, FIN_ACK, 101, 1),
        10 => back(port, Flags::ACK, 1, 200_000),
        _ => back(port, Flags::RST.with(Flags::ACK), 0, 1),
    }
}

/// What one segment of the connection from `port` may change of others.
fn check(before: &Seen, after: &Seen, port: u16) {
    let others = |(_, (other, ..)): &(&u64, &(u16, bool, bool, bool))| *other != port;
    let lost = before.iter().filter(others).filter(|(id, was)| was.2 && !after[id].2);
    let lost: Vec<_> = lost.collect();
    assert!(lost.len() <= 1, "one segment displaces one annex: {lost:?}");
    let provisional = |seen: &Seen| seen.values().filter(|one| one.2 && !one.1).count();
    if let Some((_, (_, was_confirmed, _, remembered))) = lost.first() {
        let taker = after.values().find(|one| one.0 == port).unwrap();
        let is_of_unconfirmed = !was_confirmed && taker.2 && !taker.1;
        let was_hole = !remembered && taker.1 && taker.2 && taker.3;
        assert!(is_of_unconfirmed || was_hole, "{lost:?} for {taker:?}");
    }
    assert!(provisional(after) <= SHARE);
}

#[test]
fn unconfirmed_connections_hold_a_share_and_displace_each_other_alone() {
    for seed in 0..20 {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lab = Lab::new(PLACES, tcp::Policy::DEFAULT);
        let mut before = seen(&lab.shard);
        for _ in 0..1500 {
            let port = random.u16(1..=PORTS);
            let frame = segment_of(&mut random, port);
            lab.send_one(frame);
            let after = seen(&lab.shard);
            check(&before, &after, port);
            before = after;
        }
        assert!(lab.shard.counters().annexes_displaced > 0, "the share was used up");
        assert_eq!(holders_of_holes_in(&mut lab), ANNEXES, "none was lost on the way");
    }
}

/// Empties the table, and has as many open connections take an annex as find one.
fn holders_of_holes_in(lab: &mut Lab) -> usize {
    lab.wait(3 * 3_600_000);
    lab.poll();
    assert!(lab.shard.table().is_empty());
    for port in 1..=2 * ANNEXES as u16 {
        lab.open(port);
        lab.send_one(there(port, FIN_ACK, 101, 1));
    }
    seen(&lab.shard).values().filter(|one| one.2).count()
}

/// It then gives its place in the queue up, and not its annex.
#[test]
fn a_connection_that_is_confirmed_keeps_what_it_took_before() {
    let mut lab = Lab::new(PLACES, tcp::Policy::DEFAULT);
    lab.send(&[there(1, Flags::SYN, 0, 0), back(1, SYN_ACK, 0, 1), there(1, Flags::SYN, 500_000, 0)]);
    lab.send(&[there(1, Flags::ACK, 1, 1), back(1, Flags::ACK, 1, 1)]);
    for port in 2..200 {
        lab.send(&[there(port, Flags::SYN, 0, 0), there(port, Flags::SYN, 500_000, 0)]);
    }
    assert_eq!(lab.shard.counters().annexes_displaced, 198 - SHARE as u64);
    assert_eq!(seen(&lab.shard)[&1], (1, true, true, true));
    // The client has sent the second SYN, and not the first: the server, restarted, answers it.
    assert_eq!(lab.send_one(back(1, SYN_ACK, 700_000, 500_001)).class, Class::New);
}

/// A connection's number, not its place, says whose annex is to be given back.
#[test]
fn a_place_that_was_used_again_is_not_taken_for_the_connection_before() {
    let mut lab = Lab::new(PLACES, tcp::Policy::DEFAULT);
    lab.send(&[there(1, Flags::SYN, 0, 0), there(1, Flags::SYN, 500_000, 0)]);
    lab.send_one(back(1, Flags::RST.with(Flags::ACK), 0, 1));
    lab.wait(10_000);
    lab.poll();
    assert!(lab.shard.table().is_empty());
    for port in 2..2 + SHARE as u16 {
        lab.send(&[there(port, Flags::SYN, 0, 0), there(port, Flags::SYN, 500_000, 0)]);
    }
    assert_eq!(lab.shard.counters().annexes_displaced, 0);
    assert!(seen(&lab.shard).values().all(|one| one.2));
}

/// Up to 64 connections have an annex each, so nobody has to give way.
#[test]
fn where_there_is_an_annex_for_each_connection_nobody_is_displaced() {
    let mut lab = Lab::new(2, tcp::Policy::DEFAULT);
    for _ in 0..3 {
        for port in [1, 2] {
            lab.send(&[there(port, Flags::SYN, 0, 0), there(port, Flags::SYN, 500_000, 0)]);
        }
        assert!(seen(&lab.shard).values().all(|one| one.2));
    }
    assert_eq!(lab.shard.counters().annexes_displaced, 0);
}

/// What somebody has made up is unconfirmed; what it has displaced is not, and needs the annex to come back.
#[test]
fn a_flood_does_not_keep_a_displaced_connection_from_coming_back() {
    let mut lab = Lab::new(PLACES, tcp::Policy::DEFAULT);
    lab.open(1);
    lab.send_one(there(1, Flags::SYN, 500_000, 0));
    assert_eq!(lab.send_one(back(1, SYN_ACK, 700_000, 500_001)).class, Class::New);
    for port in 2..200 {
        lab.send(&[there(port, Flags::SYN, 0, 0), there(port, Flags::SYN, 500_000, 0)]);
    }
    assert_eq!(lab.shard.counters().annexes_displaced, 198 - SHARE as u64);
    let verdict = lab.send_one(there(1, Flags::ACK, 1, 1));
    assert_eq!((verdict.action, verdict.class), (Action::Accept, Class::New));
    assert_eq!(verdict.subject.unwrap().states, Some([tcp::State::Established; 2]));
}

/// Three segments in both names confirm a connection, and a fourth leaves a hole in it for as long as it lasts.
#[test]
fn holes_do_not_keep_what_must_be_remembered_from_its_annex() {
    let mut lab = Lab::new(PLACES, tcp::Policy::DEFAULT);
    let has_annex = |lab: &Lab, port| seen(&lab.shard).values().find(|one| one.0 == port).unwrap().2;
    lab.open(999);
    for port in 1..=2 * ANNEXES as u16 {
        lab.open(port);
        lab.send_one(there(port, FIN_ACK, 101, 1));
    }
    assert_eq!(lab.shard.counters().annexes_exhausted, ANNEXES as u64, "a hole does not give way to another");
    // Both endpoints have crashed.
    lab.send_one(there(999, Flags::SYN, 500_000, 0));
    assert!(has_annex(&lab, 999));
    assert!(!has_annex(&lab, 1), "it has it the longest");
    assert_eq!(lab.shard.counters().annexes_displaced, 1);
    assert_eq!(lab.send_one(back(999, SYN_ACK, 700_000, 500_001)).class, Class::New);
    // Of the hole the receiver's acknowledgement tells.
    let states = |verdict: Verdict| verdict.subject.unwrap().states;
    assert_eq!(states(lab.send_one(back(1, Flags::ACK, 1, 102))), Some([State::FinWait2, State::CloseWait]));
    // What nobody has confirmed displaces nothing of a confirmed one.
    lab.send(&[there(1000, Flags::SYN, 0, 0), there(1000, Flags::SYN, 500_000, 0)]);
    assert!(!has_annex(&lab, 1000));
}

/// As many as there are annexes; then there is nothing to be forgotten, and the search is over soon.
#[test]
fn what_is_remembered_never_gives_way_to_what_else_is_to_be_remembered() {
    let mut lab = Lab::new(PLACES, tcp::Policy::DEFAULT);
    for port in 1..=ANNEXES as u16 + 1 {
        lab.open(port);
        lab.send_one(there(port, Flags::SYN, 500_000, 0));
    }
    assert_eq!((lab.shard.counters().annexes_displaced, lab.shard.counters().annexes_exhausted), (0, 1));
    assert!(seen(&lab.shard).values().all(|one| one.2 == (one.0 <= ANNEXES as u16)));
}

/// One SYN in the client's name for each annex: they outlast their sender's silence, but not MSL.
#[test]
fn what_nothing_can_answer_any_more_gives_way_to_what_is_to_be_remembered() {
    let mut lab = Lab::new(PLACES, tcp::Policy::DEFAULT);
    let msl = u64::from(tcp::Policy::DEFAULT.timeouts.msl.milliseconds());
    let open = 1..=ANNEXES as u16;
    let late = ANNEXES as u16 + 1;
    for port in open.clone().chain([late]) {
        lab.open(port);
    }
    for port in open {
        lab.send_one(there(port, Flags::SYN, 500_000, 0));
    }
    lab.wait(msl - 1);
    lab.send_one(there(late, Flags::SYN, 500_000, 0));
    assert_eq!(lab.shard.counters().annexes_displaced, 0, "their answers may be under way");
    lab.wait(1);
    // Both endpoints of this one have crashed.
    lab.send_one(there(late, Flags::SYN, 500_000, 0));
    assert_eq!(lab.shard.counters().annexes_displaced, 1);
    assert_eq!(lab.send_one(back(late, SYN_ACK, 700_000, 500_001)).class, Class::New);
    // One of the others has forgotten its SYN, and lives.
    let others: Vec<_> = seen(&lab.shard).into_values().filter(|one| !one.2).collect();
    let [(port, true, false, false)] = others[..] else { panic!("{others:?}") };
    assert_eq!(lab.send_one(back(port, SYN_ACK, 700_000, 500_001)).class, Class::Invalid);
    let verdict = lab.send_one(back(port, Flags::ACK, 1, 1));
    assert_eq!(verdict.subject.unwrap().states, Some([State::Established; 2]));
}

/// What was displaced is needed for as long as its own timer runs.
#[test]
fn a_connection_that_is_kept_beside_another_gives_its_annex_to_nothing() {
    let mut lab = Lab::new(PLACES, tcp::Policy::DEFAULT);
    for port in 1..=ANNEXES as u16 + 1 {
        lab.open(port);
    }
    for port in 1..=ANNEXES as u16 {
        lab.send(&[there(port, Flags::SYN, 500_000, 0), back(port, SYN_ACK, 700_000, 500_001)]);
        lab.send(&[there(port, Flags::ACK, 500_001, 700_001)]);
    }
    lab.wait(3_600_000);
    lab.send_one(there(ANNEXES as u16 + 1, Flags::SYN, 500_000, 0));
    assert_eq!((lab.shard.counters().annexes_displaced, lab.shard.counters().annexes_exhausted), (0, 1));
    let verdict = lab.send_one(back(1, Flags::ACK, 1, 1));
    assert_eq!((verdict.action, verdict.class), (Action::Accept, Class::New), "it comes back");
}

#[test]
fn annexes_are_searched_in_vain_once_in_a_tick() {
    let mut lab = Lab::new(PLACES, tcp::Policy::DEFAULT);
    let ports = ANNEXES as u16 + 3;
    (1..=ports).for_each(|port| lab.open(port));
    // Whether there was a search for what a SYN on the connection from `port` is to be remembered in.
    let is_searched = |lab: &mut Lab, port| {
        let before = lab.shard.provisional.hand;
        lab.send_one(there(port, Flags::SYN, 500_000, 0));
        lab.shard.provisional.hand != before
    };
    let searches = (1..=ports).map(|port| is_searched(&mut lab, port));
    let searched: Vec<_> = (1..=ports).zip(searches).filter(|one| one.1).collect();
    assert_eq!(searched, [(ANNEXES as u16 + 1, true)]);
    lab.wait(1);
    assert_eq!([ports - 1, ports].map(|port| is_searched(&mut lab, port)), [true, false]);
    assert_eq!(lab.shard.counters().annexes_exhausted, 5);
}
