//! The model's middle against a real shard: the same segments through both, as numbers and as frames, must have the
//! same outcomes and leave the same words behind.
//!
//! ```text
//!                  ┌─► Tracker (middle) ─► outcome, entry ───────────┐
//!  a random walk ──┤                                                 ├─ equal
//!  of a world      └─► frame ─► Shard ───► verdict, place and annex ─┘
//! ```
//!
//! The walk is over the same events that the search explores, with budgets that let all of them happen, and segments
//! without sense between them.

use lastack::shard::{
    Action, Admission, Arrival, Class, Datagram, Observer, Reason, Settings, Shard, Verdict,
};
use lastack::table::{HashKeys, Index};
use lastack::time::{Tick, Time};
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{Checks, Flags, Frame, Link, Seq};
use lastack::{flow, fragments, tcp};

use super::attacker::USURPS;
use super::endpoint::{Endpoint, WINDOW};
use super::middle::{Entry, Outcome, Tracker};
use super::network::{Budget, Event, ROOM, Rules, World};
use super::segment::{ACK, FIN, RST, SYN, Segment, Side};

/// The model's clock stands still, and so does this.
const NOW: Tick = Tick::new(0);

#[derive(Default)]
struct Numbers(u64);

impl Observer for Numbers {
    fn next_id(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
    fn released(&mut self, _: fragments::Token, _: &Verdict) {
        unreachable!("nothing is sent in pieces");
    }
    fn hand_over(&mut self, _: u32, _: Datagram) {
        unreachable!("there is one shard");
    }
}

/// The real thing.
struct Real {
    shard: Shard,
    numbers: Numbers,
}

const fn address(side: Side) -> ([u8; 4], u16) {
    match side {
        Side::A => ([10, 0, 0, 1], 1000),
        Side::B => ([10, 0, 0, 2], 2000),
    }
}

fn frame(sender: Side, segment: &Segment) -> Vec<u8> {
    let ((source, source_port), (destination, destination_port)) = (address(sender), address(sender.other()));
    let tcp = Tcp {
        seq: Seq(segment.seq),
        ack: Seq(segment.ack),
        flags: Flags(segment.flags),
        window: WINDOW as u16,
        ..Tcp::new(source_port, destination_port)
    };
    Builder::v4(source, destination).tcp(&tcp, &vec![0; usize::from(segment.octets)])
}

impl Real {
    fn new(policy: tcp::Policy) -> Real {
        let settings = Settings {
            checks: Checks::ALL,
            tcp: policy,
            flow: flow::Policy::DEFAULT,
            fragments: fragments::Policy::default(),
            sides: 1,
            shards: 1,
            number: 0,
        };
        let layout = Shard::layout_for_connections(4).unwrap();
        let shard = Shard::new(layout, HashKeys([1, 2, 3, 4]), settings, NOW).unwrap();
        Real { shard, numbers: Numbers::default() }
    }

    fn judge(&mut self, sender: Side, segment: &Segment) -> Outcome {
        let bytes = frame(sender, segment);
        let arrival = Arrival {
            frame: Frame::whole(&bytes, Link::Ethernet),
            zone: 0,
            admission: Admission::ANY,
            at: Time::default(),
            token: fragments::Token(0),
        };
        let mut verdicts = [Verdict::HELD];
        self.shard.process(&[arrival], NOW, &mut verdicts, &mut self.numbers);
        match verdicts[0] {
            Verdict { action: Action::Accept, class: Class::Established, .. } => Outcome::Passed,
            Verdict { action: Action::Accept, class: Class::New, .. } => Outcome::Began,
            Verdict { action: Action::Drop, reason: Some(Reason::Tcp(refusal)), .. } => {
                Outcome::Refused(refusal)
            }
            other => panic!("{segment} has a verdict that no segment of the model can have: {other:?}"),
        }
    }

    fn place(&self) -> Option<Index> {
        let mut places = self.shard.table().scan();
        let place = places.next();
        assert_eq!(places.next(), None, "two connections of one tuple");
        place
    }

    /// What the model keeps of the connection there.
    fn tracker(&self) -> Tracker {
        let entry = self.place().map(|index| {
            let table = self.shard.table();
            let connection = tcp::Connection::from_words(table.connection(index).tracker());
            let annex = table.annex(index).map(|annex| std::array::from_fn(|word| annex.get(word)));
            let is_a = self.shard.record(index).originator.1 == address(Side::A).1;
            let originator = if is_a { Side::A } else { Side::B };
            Entry {
                originator,
                connection,
                irregular: annex.map(tcp::Irregular::from_words).unwrap_or_default(),
            }
        });
        Tracker { entry }
    }

    /// Its timer ends the connection.
    fn entry_ends(&mut self) {
        if let Some(index) = self.place() {
            let id = self.shard.table().connection(index).id();
            self.shard.delete(index, id, &mut self.numbers);
        }
    }
}

/// Everything may happen, more than once.
const BUDGET: Budget = Budget {
    opens: [4, 4],
    sends: [4, 4],
    closes: [3, 3],
    aborts: [1, 1],
    crashes: [1, 1],
    probes: [2, 2],
    doubles: 20,
    premature: 20,
    attacks: 20,
    usurps: [USURPS; 2],
};

/// A segment that nobody in the world would send, with numbers close to those in use.
fn senseless(random: &mut fastrand::Rng, world: &World) -> Segment {
    let mut number = || {
        let side = if random.bool() { Side::A } else { Side::B };
        let endpoint = &world.ends[side.index()];
        let near = [side.initial(0), endpoint.iss, endpoint.snd_nxt, endpoint.rcv_nxt];
        let base = near[random.usize(0..near.len())];
        base.wrapping_add(random.u32(0..=4)).wrapping_sub(2)
    };
    let (seq, ack) = (number(), number());
    let flags = [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK];
    let flags = flags[random.usize(0..flags.len())];
    Segment { flags, seq, ack, octets: random.u8(0..=2), old_fin: false }
}

/// The same but for deadlines: the model has no timers.
fn without_deadlines(mut tracker: Tracker) -> Tracker {
    if let Some(entry) = &mut tracker.entry {
        let irregular = &mut entry.irregular;
        irregular.contested = irregular.contested.map(|_| NOW);
        irregular.rival = irregular.rival.map(|rival| tcp::Rival { deadline: NOW, ..rival });
    }
    tracker
}

/// Both judge the segment; both must agree.
fn compare(seed: u64, real: &mut Real, model: &Tracker, judged: (Side, &Segment, Outcome)) {
    let (sender, segment, outcome) = judged;
    let again = format!("LASTACK_SEED={seed} cargo test --test model shard");
    let context = format!("{sender:?} sends {segment}; alone: {again}");
    assert_eq!(real.judge(sender, segment), outcome, "{context}");
    assert_eq!(without_deadlines(real.tracker()), without_deadlines(*model), "{context}");
}

/// Walks through one world; returns how often segments passed, began a connection and were refused.
fn walk(seed: u64, rules: &Rules) -> [u32; 3] {
    let mut random = fastrand::Rng::with_seed(seed);
    let ends = [Endpoint::closed(Side::A), Endpoint::listening(Side::B)];
    let mut world = World::new(ends, BUDGET);
    let mut real = Real::new(rules.policy);
    let (mut events, mut seen) = (Vec::new(), [0; 3]);
    for _ in 0..400 {
        let judged = if random.u8(0..20) == 0 {
            let sender = if random.bool() { Side::A } else { Side::B };
            let segment = senseless(&mut random, &world);
            Some((sender, segment, world.tracker.judge(sender, &segment, &rules.policy)))
        } else {
            world.events(rules, &mut events);
            // No timer of the shard fires while its clock stands still.
            events.retain(|&event| event != Event::GivesWay);
            let Some(&event) = random.choice(&events) else { break };
            if event == Event::EntryEnds {
                real.entry_ends();
            }
            let judged = world.apply(event, rules);
            judged.map(|judged| (judged.sender, judged.segment, judged.outcome))
        };
        let Some((sender, segment, outcome)) = judged else { continue };
        compare(seed, &mut real, &world.tracker, (sender, &segment, outcome));
        seen[match outcome {
            Outcome::Passed => 0,
            Outcome::Began => 1,
            Outcome::Refused(_) => 2,
        }] += 1;
    }
    seen
}

#[test]
fn the_models_middle_judges_and_keeps_what_a_shard_does() {
    // Where the clock stands still, FINs repeat without an interval, and twice that is no time at all.
    let defaults = tcp::Policy { orphan_retries: u8::MAX, ..tcp::Policy::DEFAULT };
    let policies = [
        defaults,
        tcp::Policy { loose: false, ..defaults },
        tcp::Policy { liberal: true, time_wait_assassination: true, ..defaults },
        tcp::Policy {
            inexact_rst: tcp::InexactRst::Drop,
            time_wait_reuse: tcp::TimeWaitReuse::Always,
            ..defaults
        },
    ];
    let seeds = std::env::var("LASTACK_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = seeds.map_or(0..2000, |seed: u64| seed..seed + 1);
    let mut seen = [0; 3];
    for seed in seeds.clone() {
        let policy = policies[seed as usize % policies.len()];
        let rules = Rules { policy, room: [ROOM, ROOM], reorders: true };
        for (total, count) in seen.iter_mut().zip(walk(seed, &rules)) {
            *total += count;
        }
    }
    println!(
        "{seeds:?}: {} segments passed, {} began a connection, {} were refused",
        seen[0], seen[1], seen[2]
    );
    let is_one = seeds.end - seeds.start == 1;
    assert!(is_one || seen.iter().all(|&count| count > 2000), "hardly anything was compared");
}
