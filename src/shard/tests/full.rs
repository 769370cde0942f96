//! A full table under a flood: what looking in vain for room may cost.

use super::*;

const OPEN: u16 = 1000;

/// A table that open connections fill.
fn full() -> Lab {
    let mut lab = Lab::new(u32::from(OPEN), tcp::Policy::DEFAULT);
    (1..=OPEN).for_each(|port| lab.open(port));
    lab
}

/// What becomes of a SYN from `port`, and whether the table was searched for it.
fn syn(lab: &mut Lab, port: u16) -> (Option<Reason>, bool) {
    let before = lab.shard.hand;
    let reason = lab.send_one(there(port, Flags::SYN, 0, 0)).reason;
    (reason, lab.shard.hand != before)
}

const FULL: Option<Reason> = Some(Reason::Shard(Refusal::TableFull));

#[test]
fn a_full_table_is_searched_in_vain_once_in_a_tick() {
    let mut lab = full();
    assert_eq!(syn(&mut lab, 2001), (FULL, true));
    assert_eq!(syn(&mut lab, 2002), (FULL, false));
    lab.wait(1);
    assert_eq!(syn(&mut lab, 2003), (FULL, true));
    assert_eq!(lab.heard.ended, []);
}

#[test]
fn what_may_go_since_the_search_in_vain_makes_room_at_once() {
    // A connection that is over.
    let mut lab = Lab::new(3, tcp::Policy::DEFAULT);
    (1..=3).for_each(|port| lab.open(port));
    assert_eq!(lab.send_one(there(4, Flags::SYN, 0, 0)).reason, FULL);
    lab.send_each(&[
        (lab.admission, there(2, FIN_ACK, 1, 1)),
        (opposite(lab.admission), back(2, FIN_ACK, 1, 2)),
        (lab.admission, there(2, Flags::ACK, 2, 2)),
    ]);
    assert_eq!(lab.send_one(there(5, Flags::SYN, 0, 0)).class, Class::New);
    assert_eq!(lab.heard.ended, [(2, End::Evicted)]);

    // One that has begun, in a place that an operator has freed.
    let mut lab = Lab::new(3, tcp::Policy::DEFAULT);
    (1..=3).for_each(|port| lab.open(port));
    assert_eq!(lab.send_one(there(4, Flags::SYN, 0, 0)).reason, FULL);
    let index = lab.shard.table().scan().next().unwrap();
    let id = lab.shard.table().connection(index).id();
    assert!(lab.shard.delete(index, id, &mut lab.heard));
    assert_eq!(lab.send_one(there(5, Flags::SYN, 0, 0)).class, Class::New);
    assert_eq!(lab.send_one(there(6, Flags::SYN, 0, 0)).class, Class::New);
}
