//! Datagrams in pieces: who judges them, and what each side has room for.

use super::*;

#[test]
fn a_datagram_in_pieces_is_judged_once_by_the_shard_that_owns_it() {
    let builder = Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).id(7);
    let datagram = builder.udp_datagram(Ports { source: 53, destination: 5353 }, &[1; 3000]);
    let pieces = builder.fragments(protocol::UDP, &datagram, 1480);
    let mut here = Lab::new(8, tcp::Policy::DEFAULT);
    let verdicts = here.send(&pieces);
    assert!(verdicts.iter().all(|verdict| verdict.action == Action::Held));
    assert_eq!(here.heard.released.len(), pieces.len());
    assert!(here.heard.released.iter().all(|(_, verdict)| verdict.class == Class::New));
    let index = here.shard.table().scan().next().unwrap();
    assert_eq!(here.shard.record(index).packets, [1, 0]);
    let total: usize = pieces.iter().map(|piece| piece.len() - 14).sum();
    assert_eq!(here.shard.record(index).bytes, [total as u64, 0]);

    // Of two shards, one owns it: the other hands it over and counts nothing.
    let mut both = [0, 1].map(|number| Lab::numbered(8, tcp::Policy::DEFAULT, 2, number));
    let mut owners = 0;
    for (number, shard) in both.iter_mut().enumerate() {
        shard.send(&pieces);
        let handed_over = std::mem::take(&mut shard.heard.handed_over);
        for (owner, datagram) in handed_over {
            assert_eq!(owner as usize, 1 - number);
            let mut other = Lab::numbered(8, tcp::Policy::DEFAULT, 2, owner);
            other.shard.take_over(&datagram, Tick::new(0), Time::default(), &mut other.heard);
            assert_eq!(other.heard.released.len(), pieces.len());
            owners += 1;
        }
    }
    assert_eq!(owners, 1);
}

#[test]
fn one_side_cannot_take_the_room_for_the_others_fragments() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let piece = |id: u32| Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).id(id).fragment(99, 0, true, &[0; 8]);
    for id in 0..4096 {
        lab.send_from(OUTSIDE, piece(id));
    }
    let refused = lab.heard.released.len();
    assert_eq!(refused, 2048, "it has its half");
    for whole in Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).id(7).fragments(99, &[0; 32], 16) {
        lab.send_from(INSIDE, whole);
    }
    let ours = &lab.heard.released[refused..];
    assert!(ours.len() == 2 && ours.iter().all(|(_, verdict)| verdict.action == Action::Accept), "{ours:?}");
}

#[test]
fn pieces_that_come_in_by_two_ports_make_no_datagram() {
    let mut lab = Lab::new(8, tcp::Policy::DEFAULT);
    let pieces = Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).id(7).fragments(17, &[0; 32], 16);
    lab.send_from(INSIDE, pieces[0].clone());
    lab.send_from(OUTSIDE, pieces[1].clone());
    assert_eq!(lab.heard.released, [], "each waits for a piece of its own side");
    lab.send_from(INSIDE, pieces[1].clone());
    assert_eq!(lab.heard.released.len(), 2);
}
