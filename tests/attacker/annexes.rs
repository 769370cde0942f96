//! Floods of what makes a connection remember a segment: there is memory for that beside one connection in sixteen
//! only, and what open connections need of it must not be used up by what nobody has confirmed.
//!
//! ```text
//!  flood of pairs ──► [ 10,000 places, 625 annexes: unconfirmed connections hold 156 at most ]
//!                          ▲ meanwhile, of open connections: holes, SYNs of peers that have restarted
//! ```

use lastack::shard::{Class, Shard, Verdict};
use lastack::tcp::{self, State};
use lastack::wire::Seq;
use lastack::wire::build::{Builder, Tcp};

use crate::connections::{ACK, RST, SYN, SYN_ACK};
use crate::floods::{SERVER, Target, anybody, client, frame};

const PLACES: u32 = 10_000;
/// Pairs of segments in a flood.
const PAIRS: u32 = 100_000;
/// Open connections that lose a segment, and as many whose client restarts: half of them before the flood.
const CLIENTS: u32 = 100;

/// What makes an unconfirmed connection remember something: the two segments, both by anybody.
#[derive(Debug, Clone, Copy)]
enum Pair {
    /// A SYN, and another one.
    TwoSyns,
    /// A SYN, and an answer that does not acknowledge it, as an older incarnation would give it.
    SynAndChallenge,
    /// An ACK that is picked up in mid-stream, and data behind a hole.
    PickedUpWithHole,
}

impl Pair {
    fn frames(self, random: &mut fastrand::Rng) -> [Vec<u8>; 2] {
        let (source, target) = (anybody(random), (SERVER, 443));
        let [seq, ack] = [(); 2].map(|()| random.u32(..));
        match self {
            Pair::TwoSyns => [seq, ack].map(|seq| frame(source, target, SYN, seq, 0)),
            Pair::SynAndChallenge => {
                [frame(source, target, SYN, seq, 0), frame(target, source, ACK, ack, seq.wrapping_sub(9))]
            }
            Pair::PickedUpWithHole => [0, 500].map(|ahead| {
                let tcp = Tcp { seq: Seq(seq).plus(ahead), ack: Seq(ack), ..Tcp::new(source.1, target.1) };
                Builder::v4(source.0, target.0).tcp(&tcp, &[0; 100])
            }),
        }
    }
}

/// 100 bytes of client `number`.
fn data(number: u32, seq: u32) -> Vec<u8> {
    let (address, port) = client(number);
    let tcp = Tcp { seq: Seq(seq), ack: Seq(5001), ..Tcp::new(port, 443) };
    Builder::v4(address, SERVER).tcp(&tcp, &[0; 100])
}

/// Client `number`'s second hundred bytes are lost before the engine, and nothing is acknowledged.
fn lose(target: &mut Target, number: u32) {
    for seq in [1001, 1201] {
        assert_eq!(target.send(&data(number, seq)).class, Class::Established);
    }
}

/// An RST at the end of what came before the hole: exact, where that end is remembered.
fn reset_behind_hole(target: &mut Target, number: u32) -> Verdict {
    target.client_sends(number, RST, 1101, 0)
}

/// Client `number` has restarted and opens the same tuple again.
fn restart(target: &mut Target, number: u32) {
    assert_eq!(target.client_sends(number, SYN, 700_000, 0).class, Class::Established);
}

/// The server has restarted too, and answers that SYN.
fn answer_restart(target: &mut Target, number: u32) -> Verdict {
    target.server_sends(number, SYN_ACK, 900_000, 700_001)
}

fn states(verdict: &Verdict) -> Option<[State; 2]> {
    verdict.subject.and_then(|subject| subject.states)
}

/// Sends so many pairs.
fn flood(target: &mut Target, pair: Pair, random: &mut fastrand::Rng, count: u32) {
    for _ in 0..count {
        for frame in pair.frames(random) {
            target.send(&frame);
        }
    }
}

/// How many connections hold an annex.
fn holders(shard: &Shard) -> usize {
    let table = shard.table();
    table.scan().filter(|&index| table.annex(index).is_some()).count()
}

/// A flood of `pair`s over open connections, which lose segments and restart before and during it.
fn withstands(pair: Pair) {
    let mut target = Target::with_places(PLACES, tcp::Policy::DEFAULT);
    let mut random = fastrand::Rng::with_seed(21);
    let (losing, restarting) = (0..CLIENTS, CLIENTS..2 * CLIENTS);
    for number in 0..2 * CLIENTS {
        target.open(number);
    }
    for number in 0..CLIENTS / 2 {
        lose(&mut target, number);
        restart(&mut target, CLIENTS + number);
    }
    for number in CLIENTS / 2..CLIENTS {
        flood(&mut target, pair, &mut random, PAIRS * 2 / CLIENTS);
        lose(&mut target, number);
        restart(&mut target, CLIENTS + number);
    }
    let holders = holders(&target.shard);
    for number in losing {
        let verdict = reset_behind_hole(&mut target, number);
        assert_eq!(states(&verdict), Some([State::Closed; 2]), "{pair:?}, client {number}: {verdict:?}");
    }
    for number in restarting {
        let verdict = answer_restart(&mut target, number);
        assert_eq!(verdict.class, Class::New, "{pair:?}, client {number}: {verdict:?}");
    }
    target.assert_no_more_memory();
    assert_eq!(target.shard.counters().annexes_exhausted, 0, "{pair:?}");
    assert!(target.shard.counters().annexes_displaced > u64::from(PAIRS) / 2, "the flood displaces itself");
    let share = 10_000_usize.div_ceil(16) / 4;
    assert_eq!(holders, share + 2 * CLIENTS as usize, "{pair:?}");
}

#[test]
fn a_flood_of_syns_in_pairs_takes_no_memory_of_what_is_open() {
    withstands(Pair::TwoSyns);
}

#[test]
fn a_flood_of_syns_with_misfitting_answers_takes_no_memory_of_what_is_open() {
    withstands(Pair::SynAndChallenge);
}

#[test]
fn a_flood_of_streams_that_begin_with_a_hole_takes_no_memory_of_what_is_open() {
    withstands(Pair::PickedUpWithHole);
}

/// RFC 9293 figure 9, through a flood: a client that has restarted meets a server that has not, of a connection that
/// the engine knows no longer. The oldest memory goes first, so this one outlasts 155 takings of others.
#[test]
fn what_a_handshake_needs_to_remember_outlasts_a_share_of_newer_ones() {
    let mut target = Target::with_places(PLACES, tcp::Policy::DEFAULT);
    let mut random = fastrand::Rng::with_seed(22);
    let share = PLACES.div_ceil(16) / 4;
    for (number, newer, passes) in [(1, share - 1, true), (2, share, false)] {
        flood(&mut target, Pair::TwoSyns, &mut random, 1000);
        target.client_sends(number, SYN, 1000, 0);
        target.server_sends(number, ACK, 5001, 30_001);
        flood(&mut target, Pair::TwoSyns, &mut random, newer);
        let verdict = target.client_sends(number, RST, 30_001, 0);
        assert_eq!(verdict.class == Class::Established, passes, "after {newer}: {verdict:?}");
    }
}
