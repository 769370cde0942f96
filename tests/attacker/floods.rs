//! Floods: more than the table holds, of everything that begins a connection or waits for the rest of a datagram;
//! and tuples that were chosen to fall together.
//!
//! ```text
//!   clients ──── confirmed connections, new ones ───► [ engine, 4,096 places ] ◄──── flood, six times as many
//!                 none is lost, each gets in            its memory: as at the start
//! ```

use lastack::shard::{Action, Class, End, Shard, Verdict};
use lastack::table::{HashKeys, Key, Table};
use lastack::tcp::{self, TimeWaitOverflow};
use lastack::time::{Tick, Time};
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{Flags, Ports, Seq, protocol};

use crate::connections::{ACK, FIN_ACK, Numbers, SYN, SYN_ACK, arrival_of, settings};

const PLACES: u32 = 4096;
pub(crate) const SERVER: [u8; 4] = [10, 0, 0, 2];

/// An engine under a flood.
pub(crate) struct Target {
    pub(crate) shard: Shard,
    numbers: Numbers,
    now: Time,
    /// Bytes mapped at the start.
    mapped: u64,
}

/// A client by its number: an address and a port of its own.
pub(crate) fn client(number: u32) -> ([u8; 4], u16) {
    ([10, 1, (number >> 8) as u8, number as u8], 1024 + (number >> 16) as u16)
}

pub(crate) fn frame(from: ([u8; 4], u16), to: ([u8; 4], u16), flags: Flags, seq: u32, ack: u32) -> Vec<u8> {
    let tcp = Tcp { flags, seq: Seq(seq), ack: Seq(ack), ..Tcp::new(from.1, to.1) };
    Builder::v4(from.0, to.0).tcp(&tcp, &[])
}

impl Target {
    fn new(policy: tcp::Policy) -> Target {
        Target::with_places(PLACES, policy)
    }

    /// A table of so many connections.
    pub(crate) fn with_places(places: u32, policy: tcp::Policy) -> Target {
        let layout = Shard::layout_for_connections(places).unwrap();
        let shard = Shard::new(layout, HashKeys([5, 6, 7, 8]), settings(policy), Tick::new(0)).unwrap();
        let mapped = shard.table().mapped_bytes();
        Target { shard, numbers: Numbers::default(), now: Time::from_nanoseconds(1), mapped }
    }

    pub(crate) fn send(&mut self, frame: &[u8]) -> Verdict {
        let mut verdicts = [Verdict::HELD];
        self.shard.process(&[arrival_of(frame, self.now)], self.now.tick(), &mut verdicts, &mut self.numbers);
        verdicts[0]
    }

    pub(crate) fn client_sends(&mut self, number: u32, flags: Flags, seq: u32, ack: u32) -> Verdict {
        self.send(&frame(client(number), (SERVER, 443), flags, seq, ack))
    }

    pub(crate) fn server_sends(&mut self, number: u32, flags: Flags, seq: u32, ack: u32) -> Verdict {
        self.send(&frame((SERVER, 443), client(number), flags, seq, ack))
    }

    /// A handshake; every segment of it must pass.
    pub(crate) fn open(&mut self, number: u32) {
        let verdicts = [
            self.client_sends(number, SYN, 1000, 0),
            self.server_sends(number, SYN_ACK, 5000, 1001),
            self.client_sends(number, ACK, 1001, 5001),
        ];
        for verdict in verdicts {
            assert_eq!(verdict.action, Action::Accept, "client {number}: {verdict:?}");
        }
    }

    fn close(&mut self, number: u32) {
        self.client_sends(number, FIN_ACK, 1001, 5001);
        self.server_sends(number, FIN_ACK, 5001, 1002);
        self.client_sends(number, ACK, 1002, 5002);
    }

    /// Whether a client's connection still goes both ways as itself.
    pub(crate) fn assert_alive(&mut self, numbers: impl Iterator<Item = u32>) {
        for number in numbers {
            let verdicts =
                [self.client_sends(number, ACK, 1001, 5001), self.server_sends(number, ACK, 5001, 1001)];
            for verdict in verdicts {
                assert_eq!(verdict.class, Class::Established, "client {number}: {verdict:?}");
            }
        }
    }

    fn evicted(&self) -> u64 {
        self.shard.counters().ended[End::Evicted as usize]
    }

    pub(crate) fn assert_no_more_memory(&self) {
        assert_eq!(self.shard.table().mapped_bytes(), self.mapped);
        assert!(self.shard.table().len() <= self.shard.table().capacity());
        let resident = self.shard.table().resident_bytes().unwrap();
        assert!(resident <= self.mapped, "{resident} of {}", self.mapped);
    }
}

/// A source that nobody answers.
pub(crate) fn anybody(random: &mut fastrand::Rng) -> ([u8; 4], u16) {
    let number = random.u64(..);
    let address =
        [(192 + (number & 15)) as u8, (number >> 8) as u8, (number >> 16) as u8, (number >> 24) as u8];
    (address, (number >> 32) as u16 | 1)
}

const CONFIRMED: u32 = PLACES / 2;
const FLOOD: u32 = 6 * PLACES;

/// Six times the table of what `flood` makes, over `CONFIRMED` connections; every hundredth time a client comes.
fn withstands(policy: tcp::Policy, mut flood: impl FnMut(&mut fastrand::Rng) -> Vec<u8>) -> Target {
    let mut target = Target::new(policy);
    let mut random = fastrand::Rng::with_seed(11);
    for number in 0..CONFIRMED {
        target.open(number);
    }
    let mut newcomers = CONFIRMED..;
    for count in 0..FLOOD {
        let frame = flood(&mut random);
        target.send(&frame);
        if count % 100 == 0 {
            target.open(newcomers.next().unwrap());
        }
    }
    let clients = newcomers.start;
    assert!(target.evicted() > 0, "the table was full");
    target.assert_alive(0..clients);
    target.assert_no_more_memory();
    target
}

#[test]
fn a_flood_of_syns_costs_no_connection_and_lets_new_ones_in() {
    withstands(tcp::Policy::DEFAULT, |random| frame(anybody(random), (SERVER, 443), SYN, random.u32(..), 0));
}

#[test]
fn a_flood_of_datagrams_costs_no_connection_and_lets_new_ones_in() {
    withstands(tcp::Policy::DEFAULT, |random| {
        let (source, port) = anybody(random);
        Builder::v4(source, SERVER).udp(Ports { source: port, destination: 53 }, &[1, 2, 3])
    });
}

#[test]
fn a_flood_of_pings_costs_no_connection_and_lets_new_ones_in() {
    withstands(tcp::Policy::DEFAULT, |random| {
        let (source, id) = anybody(random);
        let [high, low] = id.to_be_bytes();
        Builder::v4(source, SERVER).icmp(8, 0, [high, low, 0, 1], &[])
    });
}

/// What is picked up counts as unreplied until the other side has spoken.
#[test]
fn a_flood_of_acks_that_are_picked_up_displaces_nothing_but_itself() {
    withstands(tcp::Policy::DEFAULT, |random| {
        frame(anybody(random), (SERVER, 443), ACK, random.u32(..), random.u32(..))
    });
}

/// RFC 9293 section 3.10.7.1: a host answers them with RSTs, and those make no connection of it.
#[test]
fn what_answers_a_flood_of_acks_by_rst_confirms_nothing() {
    let mut target = Target::new(tcp::Policy::DEFAULT);
    let mut random = fastrand::Rng::with_seed(12);
    for number in 0..CONFIRMED {
        target.open(number);
    }
    for _ in 0..FLOOD {
        let (source, ack) = (anybody(&mut random), random.u32(..));
        target.send(&frame(source, (SERVER, 443), ACK, random.u32(..), ack));
        target.send(&frame((SERVER, 443), source, Flags::RST, ack, 0));
    }
    target.open(CONFIRMED);
    target.assert_alive(0..=CONFIRMED);
    target.assert_no_more_memory();
}

#[test]
fn without_loose_a_flood_of_acks_takes_no_place_at_all() {
    let mut target = Target::new(tcp::Policy { loose: false, ..tcp::Policy::DEFAULT });
    let mut random = fastrand::Rng::with_seed(13);
    for _ in 0..FLOOD {
        let verdict = target.send(&frame(anybody(&mut random), (SERVER, 443), ACK, 7, 7));
        assert_eq!(verdict.action, Action::Drop);
    }
    assert!(target.shard.table().is_empty());
}

#[test]
fn syn_acks_and_rsts_out_of_nowhere_take_no_place_even_if_loose() {
    let mut target = Target::new(tcp::Policy::DEFAULT);
    let mut random = fastrand::Rng::with_seed(14);
    for _ in 0..FLOOD / 2 {
        let source = anybody(&mut random);
        for flags in [SYN_ACK, Flags::RST] {
            // The second of the same tuple as well: no pair of them opens anything.
            for _ in 0..2 {
                let verdict = target.send(&frame(source, (SERVER, 443), flags, 7, 7));
                assert_eq!(verdict.action, Action::Drop);
            }
        }
    }
    assert!(target.shard.table().is_empty());
}

#[test]
fn connections_in_time_wait_pile_up_to_their_limit_and_make_room_for_new_ones() {
    for (time_wait_max, overflow) in [
        (0, TimeWaitOverflow::EvictOldest),
        (100, TimeWaitOverflow::EvictOldest),
        (100, TimeWaitOverflow::Skip),
    ] {
        let policy = tcp::Policy { time_wait_max, time_wait_overflow: overflow, ..tcp::Policy::DEFAULT };
        let mut target = Target::new(policy);
        for number in 0..CONFIRMED {
            target.open(number);
        }
        for number in CONFIRMED..CONFIRMED + 3 * PLACES {
            target.open(number);
            target.close(number);
        }
        let waiting = target.shard.census().in_state(tcp::State::TimeWait);
        let limit = if time_wait_max == 0 { PLACES - CONFIRMED } else { time_wait_max };
        assert_eq!(waiting, u64::from(limit), "{overflow:?}");
        target.assert_alive(0..CONFIRMED);
        target.assert_no_more_memory();
    }
}

/// Whoever floods with pieces takes the room of pieces, and not of connections.
#[test]
fn a_flood_of_fragments_is_held_to_its_limit_and_takes_no_place() {
    let mut target = Target::new(tcp::Policy::DEFAULT);
    target.open(1);
    let mut random = fastrand::Rng::with_seed(15);
    for id in 0..FLOOD {
        let (source, _) = anybody(&mut random);
        let piece = Builder::v4(source, SERVER).id(id).fragment(protocol::UDP, 0, true, &[0; 64]);
        target.send(&piece);
    }
    let waiting = u64::from(FLOOD) - target.shard.counters().dropped;
    assert!(waiting <= u64::from(lastack::fragments::Policy::default().max), "{waiting} pieces wait");
    assert_eq!(target.shard.table().len(), 1);
    target.assert_alive(1..2);
    target.assert_no_more_memory();
}

type Tuple = ((u32, u16), (u32, u16));

/// The hash of a tuple, as it is shown: a number whose upper bits choose the bucket where a search begins.
fn number_of(table: &Table, (source, destination): Tuple) -> u64 {
    let shown = format!("{:?}", table.hash(&Key::v4(source, destination, protocol::TCP, 0)));
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn table(keys: [u64; 4], connections: u32) -> Table {
    Table::new(Shard::layout_for_connections(connections).unwrap(), HashKeys(keys)).unwrap()
}

/// What becomes of tuples in a table that they fill.
#[derive(Debug, Clone, Copy)]
struct Filling {
    /// Those that the ten slots of their own bucket have no room for.
    displaced: u32,
    /// The most that begin their search in the same bucket; seven do on average.
    fullest: u32,
    /// Those that found no place within the bound of a search.
    refused: u32,
}

fn fill(keys: [u64; 4], tuples: &[Tuple]) -> Filling {
    let mut table = table(keys, tuples.len() as u32);
    let mut buckets = vec![0_u32; tuples.len().div_ceil(7)];
    let mut refused = 0;
    for &tuple in tuples {
        let home = (u128::from(number_of(&table, tuple)) * buckets.len() as u128) >> 64;
        buckets[home as usize] += 1;
        let key = Key::v4(tuple.0, tuple.1, protocol::TCP, 0);
        refused += u32::from(table.insert(table.hash(&key), &key, 1, Time::default()).is_err());
    }
    let displaced = buckets.iter().map(|&load| load.saturating_sub(10)).sum();
    Filling { displaced, fullest: buckets.into_iter().max().unwrap(), refused }
}

/// How many tuples are chosen.
const CHOSEN: u32 = 1 << 16;

fn random_tuples(seed: u64) -> Vec<Tuple> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut end = || (random.u32(..), random.u16(..));
    (0..CHOSEN).map(|_| (end(), end())).collect()
}

#[test]
fn chosen_tuples_lie_no_further_from_home_than_random_ones() {
    let keys = [0x1111, 0x2222, 0x3333, 0x4444];
    let number = 0..CHOSEN;
    let base = 0x0a00_0001_u32;
    let (to, port) = (0x0a00_0002_u32, 443_u16);
    let families: [(&str, Vec<Tuple>); 7] = [
        ("sequential ports", number.clone().map(|n| ((base, n as u16), (to, port))).collect()),
        ("sequential addresses", number.clone().map(|n| ((base + n, 999), (to, port))).collect()),
        ("high bits", number.clone().map(|n| ((base ^ (n << 16), 999), (to, port))).collect()),
        (
            "equal sums of addresses and of ports",
            number.clone().map(|n| ((base + n, n as u16), (to - n, 0_u16.wrapping_sub(n as u16)))).collect(),
        ),
        (
            "equal exclusive ors of addresses and of ports",
            number.clone().map(|n| ((base ^ n, n as u16), (to ^ n, port ^ n as u16))).collect(),
        ),
        ("both ends on one host", number.clone().map(|n| ((base, n as u16), (base, 7))).collect()),
        ("ports swapped", number.map(|n| ((base, (n >> 8) as u16), (to, n as u16 & 0xff))).collect()),
    ];
    let yardstick = [1, 2, 3, 4].map(|seed| fill(keys, &random_tuples(seed)));
    let most = |of: fn(&Filling) -> u32| yardstick.iter().map(of).max().unwrap();
    println!("of {CHOSEN}, random: {yardstick:?}");
    assert!(most(|filling| filling.displaced) > CHOSEN / 100, "a yardstick that shows something");
    for (name, tuples) in families {
        let filling = fill(keys, &tuples);
        println!("of {CHOSEN}, {name}: {filling:?}");
        assert_eq!(filling.refused, 0, "{name}");
        assert!(filling.displaced <= most(|filling| filling.displaced) * 11 / 10, "{name}: {filling:?}");
        assert!(filling.fullest <= most(|filling| filling.fullest) + 4, "{name}: {filling:?}");
    }
}

/// Tuples that fall together under one set of keys: what an attacker would find who knew them.
fn colliding(keys: [u64; 4], wanted: usize) -> Vec<Tuple> {
    let table = table(keys, 8);
    let candidates = (0..1_u32 << 18).map(|n| ((0x0a00_0000 | n >> 8, n as u16 & 0xff), (0x0a00_0002, 443)));
    let mut hashed: Vec<(u64, Tuple)> = candidates.map(|tuple| (number_of(&table, tuple), tuple)).collect();
    hashed.sort_unstable();
    hashed.into_iter().take(wanted).map(|(_, tuple)| tuple).collect()
}

#[test]
fn tuples_that_fall_together_under_one_key_do_not_under_another() {
    let known = [0x1111, 0x2222, 0x3333, 0x4444];
    let tuples = colliding(known, 4096);
    let filling = fill(known, &tuples);
    assert!(filling.refused > 1000, "whoever knows the keys fills the searches: {filling:?}");
    let yardstick = fill(known, &random_tuples(9)[..4096]);
    for keys in [[0x1111, 0x2222, 0x3333, 0x4445], [9, 9, 9, 9], [0x8000_1111, 0x2222, 0x3333, 0x4444]] {
        let filling = fill(keys, &tuples);
        assert_eq!(filling.refused, 0);
        assert!(filling.displaced <= yardstick.displaced * 2, "{filling:?}, random ones {yardstick:?}");
    }
}
