//! Connections to be attacked: brought into every state by what their endpoints really send, through the engine.
//!
//! ```text
//!  Stage ── script of segments ──► Arena { Shard, victim, bystander } ──► Picture (everything that is kept)
//!                                    ▲                                       │ before, after
//!                                    └── Arena::restore: the script again ◄──┴── Effect
//! ```
//!
//! An [`Arena`] is one engine with two connections: the victim, whose addresses and ports the attacker knows, and
//! a bystander, which nothing that names the victim may touch. Its clock stands still but for what a script waits,
//! and a second goes by between the script's last segment and the attack, so that a timer that was started again
//! shows. Both endpoints offer a window of [`WINDOW`] bytes with scale 3, and their sequence numbers lie where
//! they wrap, and where the sign of a difference does.

use arrayvec::ArrayVec;
use lastack::shard::{Action, Admission, Arrival, BURST, Datagram, Observer, Settings, Shard, Verdict};
use lastack::table::{HashKeys, Index, Key, Sense};
use lastack::time::{Tick, Time};
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{Checks, Direction, Flags, Frame, Link, Seq, protocol};
use lastack::{flow, fragments, tcp};

/// What each endpoint offers, in bytes; 16 bits of it after scaling by 3.
pub(crate) const WINDOW: u32 = 65_536;
const SCALE: u8 = 3;
/// Initial sequence numbers of originator and responder, and of a SYN that is not the connection's own.
pub(crate) const INITIAL: [u32; 2] = [0xffff_fe00, 0x7fff_ff00];
pub(crate) const OTHER_SYN: u32 = 0x2000_0000;
/// Of a third one, as far from everything else.
const THIRD_SYN: u32 = 0x6000_0000;
const PORTS: [u16; 2] = [40_000, 443];

pub(crate) const SYN: Flags = Flags::SYN;
pub(crate) const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
pub(crate) const ACK: Flags = Flags::ACK;
pub(crate) const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);
pub(crate) const RST: Flags = Flags::RST;
pub(crate) const RST_ACK: Flags = Flags::RST.with(Flags::ACK);

/// Which IP the victim speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

impl Version {
    /// What makes the frames that go from the originator to the responder, or back.
    pub(crate) fn builder(self, direction: Direction) -> Builder {
        let [from, to] = match direction {
            Direction::Original => [1, 2],
            Direction::Reply => [2, 1],
        };
        self.between(from, to)
    }

    /// What makes frames from one host of the network to another.
    pub(crate) fn between(self, from: u8, to: u8) -> Builder {
        match self {
            Version::V4 => Builder::v4([10, 0, 0, from], [10, 0, 0, to]),
            Version::V6 => {
                let host = |number| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number];
                Builder::v6(host(from), host(to))
            }
        }
    }
}

/// A segment of the victim, with absolute numbers.
pub(crate) fn segment(direction: Direction, flags: Flags, seq: u32, ack: u32) -> Tcp {
    let [source, destination] = match direction {
        Direction::Original => PORTS,
        Direction::Reply => [PORTS[1], PORTS[0]],
    };
    // A SYN's window is never scaled: 65,535 bytes, rounded up the same.
    let window = if flags.has(SYN) { u16::MAX } else { (WINDOW >> SCALE) as u16 };
    let options = if flags.has(SYN) { vec![1, 3, 3, SCALE] } else { Vec::new() };
    Tcp { flags, seq: Seq(seq), ack: Seq(ack), window, options, ..Tcp::new(source, destination) }
}

/// One step of a script: who sends, flags, sequence and acknowledgement number counted from the initial ones,
/// bytes of payload.
pub(crate) type Step = (Direction, Flags, u32, u32, u32);

const fn from_originator(flags: Flags, seq: u32, ack: u32, length: u32) -> Step {
    (Direction::Original, flags, seq, ack, length)
}

const fn from_responder(flags: Flags, seq: u32, ack: u32, length: u32) -> Step {
    (Direction::Reply, flags, seq, ack, length)
}

/// A state of a connection, and how its endpoints bring it there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    /// What the tables call it: the states, and what is special about it.
    pub(crate) name: &'static str,
    /// Both endpoints' states.
    pub(crate) states: [tcp::State; 2],
    /// What is sent.
    pub(crate) script: &'static [Step],
    /// Whether the endpoints' segments bear timestamps (RFC 7323).
    pub(crate) stamped: bool,
}

/// The handshake, and then data of both sides under way: 200 bytes of the originator and 500 of the responder
/// that nobody has acknowledged.
const OPEN: [Step; 7] = [
    from_originator(SYN, 0, 0, 0),
    from_responder(SYN_ACK, 0, 1, 0),
    from_originator(ACK, 1, 1, 0),
    from_originator(ACK, 1, 1, 1000),
    from_responder(ACK, 1, 1001, 0),
    from_responder(ACK, 1, 1001, 500),
    from_originator(ACK, 1001, 1, 200),
];

/// `first`, then `second`.
const fn then<const A: usize, const B: usize, const BOTH: usize>(
    first: [Step; A],
    second: [Step; B],
) -> [Step; BOTH] {
    assert!(A + B == BOTH);
    let mut both = [first[0]; BOTH];
    let mut at = 0;
    while at < BOTH {
        both[at] = if at < A { first[at] } else { second[at - A] };
        at += 1;
    }
    both
}

const FIN: Step = from_originator(FIN_ACK, 1201, 501, 0);
const HALF_CLOSED: [Step; 9] = then(OPEN, [FIN, from_responder(ACK, 501, 1202, 0)]);
const CLOSING: [Step; 9] = then(OPEN, [FIN, from_responder(FIN_ACK, 501, 1201, 0)]);
/// A SYN in the originator's name and an answer in the responder's, both of somebody else: they have taken the tuple.
const MADE_UP: [Step; 9] =
    then(OPEN, [from_originator(SYN, OTHER_SYN, 0, 0), from_responder(SYN_ACK, OTHER_SYN, OTHER_SYN + 1, 0)]);

/// The same twice, with other numbers: of the three connections, one has found no room.
const CONTESTED: [Step; 11] = then(
    MADE_UP,
    [from_originator(SYN, THIRD_SYN, 0, 0), from_responder(SYN_ACK, THIRD_SYN, THIRD_SYN + 1, 0)],
);

/// Every pair of states that two endpoints can be brought into, and what else changes how a segment is judged.
pub(crate) static STAGES: [Stage; 34] = {
    use tcp::State::*;
    [
        stage("SYN_SENT/LISTEN", [SynSent, Listen], &[OPEN[0]]),
        stage("ESTABLISHED/SYN_RECEIVED", [Established, SynReceived], &[OPEN[0], OPEN[1]]),
        stage(
            "SYN_RECEIVED/SYN_RECEIVED",
            [SynReceived, SynReceived],
            &[OPEN[0], from_responder(SYN, 0, 0, 0)],
        ),
        stage(
            "SYN_RECEIVED/ESTABLISHED",
            [SynReceived, Established],
            &[OPEN[0], from_responder(SYN, 0, 0, 0), from_originator(SYN_ACK, 0, 1, 0)],
        ),
        stage("ESTABLISHED/ESTABLISHED", [Established, Established], &OPEN),
        stage("FIN_WAIT_1/CLOSE_WAIT", [FinWait1, CloseWait], &then::<7, 1, 8>(OPEN, [FIN])),
        stage(
            "CLOSE_WAIT/FIN_WAIT_1",
            [CloseWait, FinWait1],
            &then::<7, 1, 8>(OPEN, [from_responder(FIN_ACK, 501, 1201, 0)]),
        ),
        stage(
            "CLOSE_WAIT/FIN_WAIT_1, closed before the handshake's end",
            [CloseWait, FinWait1],
            &[OPEN[0], OPEN[1], from_responder(FIN_ACK, 1, 1, 0)],
        ),
        stage("FIN_WAIT_2/CLOSE_WAIT", [FinWait2, CloseWait], &HALF_CLOSED),
        stage(
            "FIN_WAIT_2/CLOSE_WAIT, half-closed",
            [FinWait2, CloseWait],
            &then::<9, 1, 10>(HALF_CLOSED, [from_responder(ACK, 501, 1202, 300)]),
        ),
        stage(
            "CLOSE_WAIT/FIN_WAIT_2, half-closed",
            [CloseWait, FinWait2],
            &then::<7, 3, 10>(
                OPEN,
                [
                    from_responder(FIN_ACK, 501, 1201, 0),
                    from_originator(ACK, 1201, 502, 0),
                    from_originator(ACK, 1201, 502, 300),
                ],
            ),
        ),
        stage(
            "FIN_WAIT_1/ESTABLISHED, a hole before the FIN",
            [FinWait1, Established],
            &then::<7, 1, 8>(OPEN, [from_originator(FIN_ACK, 2201, 501, 0)]),
        ),
        stage(
            "FIN_WAIT_2/LAST_ACK, a hole before the FIN",
            [FinWait2, LastAck],
            &then::<9, 1, 10>(HALF_CLOSED, [from_responder(FIN_ACK, 1501, 1202, 0)]),
        ),
        stage(
            "FIN_WAIT_1/FIN_WAIT_1, a hole before each FIN",
            [FinWait1, FinWait1],
            &then::<7, 2, 9>(
                OPEN,
                [from_originator(FIN_ACK, 2201, 501, 0), from_responder(FIN_ACK, 1501, 1201, 0)],
            ),
        ),
        stage("CLOSING/CLOSING", [Closing, Closing], &CLOSING),
        stage(
            "CLOSING/TIME_WAIT",
            [Closing, TimeWait],
            &then::<9, 1, 10>(CLOSING, [from_originator(ACK, 1202, 502, 0)]),
        ),
        stage(
            "TIME_WAIT/LAST_ACK",
            [TimeWait, LastAck],
            &then::<9, 1, 10>(HALF_CLOSED, [from_responder(FIN_ACK, 501, 1202, 0)]),
        ),
        stage(
            "TIME_WAIT/CLOSED",
            [TimeWait, Closed],
            &then::<9, 2, 11>(
                HALF_CLOSED,
                [from_responder(FIN_ACK, 501, 1202, 0), from_originator(ACK, 1202, 502, 0)],
            ),
        ),
        stage(
            "TIME_WAIT/TIME_WAIT",
            [TimeWait, TimeWait],
            &then::<9, 2, 11>(
                CLOSING,
                [from_originator(ACK, 1202, 502, 0), from_responder(ACK, 502, 1202, 0)],
            ),
        ),
        stage(
            "CLOSED/CLOSED, reset",
            [Closed, Closed],
            &then::<7, 1, 8>(OPEN, [from_originator(RST, 1201, 0, 0)]),
        ),
        stage(
            "ESTABLISHED/ESTABLISHED, the originator's SYN remembered",
            [Established, Established],
            &then::<7, 1, 8>(OPEN, [from_originator(SYN, OTHER_SYN, 0, 0)]),
        ),
        stage(
            "ESTABLISHED/ESTABLISHED, the responder's SYN remembered",
            [Established, Established],
            &then::<7, 1, 8>(OPEN, [from_responder(SYN, OTHER_SYN, 0, 0)]),
        ),
        stage(
            "SYN_SENT/LISTEN, another SYN remembered",
            [SynSent, Listen],
            &[OPEN[0], from_originator(SYN, OTHER_SYN, 0, 0)],
        ),
        stage(
            "SYN_SENT/LISTEN, a challenge remembered",
            [SynSent, Listen],
            &[OPEN[0], from_responder(ACK, OTHER_SYN, OTHER_SYN, 0)],
        ),
        stage(
            "ESTABLISHED/SYN_RECEIVED, a second answer remembered",
            [Established, SynReceived],
            &[OPEN[0], OPEN[1], from_responder(SYN_ACK, OTHER_SYN, 1, 0)],
        ),
        stage("ESTABLISHED/SYN_RECEIVED, made up", [Established, SynReceived], &MADE_UP),
        stage(
            "ESTABLISHED/ESTABLISHED, made up",
            [Established, Established],
            &then::<9, 1, 10>(MADE_UP, [from_originator(ACK, OTHER_SYN + 1, OTHER_SYN + 1, 0)]),
        ),
        stage("ESTABLISHED/SYN_RECEIVED, made up twice", [Established, SynReceived], &CONTESTED),
        stage(
            "ESTABLISHED/ESTABLISHED, a hole",
            [Established, Established],
            &then::<7, 1, 8>(OPEN, [from_originator(ACK, 2201, 1, 700)]),
        ),
        stage(
            "ESTABLISHED/ESTABLISHED, picked up, one side seen",
            [Established, Established],
            &[from_originator(ACK, 1001, 1, 200)],
        ),
        stage(
            "ESTABLISHED/ESTABLISHED, picked up, both sides seen",
            [Established, Established],
            &[from_originator(ACK, 1001, 1, 200), from_responder(ACK, 1, 1201, 500)],
        ),
        stage(
            "FIN_WAIT_1/CLOSE_WAIT, picked up",
            [FinWait1, CloseWait],
            &[from_originator(FIN_ACK, 1001, 1, 0)],
        ),
        stamped("FIN_WAIT_2/CLOSE_WAIT, timestamps", [FinWait2, CloseWait], &HALF_CLOSED),
        stamped(
            "TIME_WAIT/LAST_ACK, timestamps",
            [TimeWait, LastAck],
            &then::<9, 1, 10>(HALF_CLOSED, [from_responder(FIN_ACK, 501, 1202, 0)]),
        ),
    ]
};

const fn stage(name: &'static str, states: [tcp::State; 2], script: &'static [Step]) -> Stage {
    Stage { name, states, script, stamped: false }
}

/// The same with timestamps on the endpoints' segments.
const fn stamped(name: &'static str, states: [tcp::State; 2], script: &'static [Step]) -> Stage {
    Stage { stamped: true, ..stage(name, states, script) }
}

impl Stage {
    /// Whether it is one of those that were seen first in mid-stream.
    pub(crate) fn is_picked_up(&self) -> bool {
        !self.script[0].1.has(SYN)
    }

    /// Whether of those only one endpoint was heard.
    pub(crate) fn is_one_side_seen(&self) -> bool {
        self.is_picked_up() && self.script.len() == 1
    }

    /// Whether an endpoint is in `state`.
    pub(crate) fn has(&self, state: tcp::State) -> bool {
        self.states.contains(&state)
    }

    /// Whether a SYN of that endpoint, beside the one that began the connection, is remembered.
    pub(crate) fn remembers_syn_of(&self, sender: Direction) -> bool {
        let began_the_one_before = self.is_contested() && sender == Direction::Original;
        let is_other = self.script.iter().skip(1).any(|step| step.0 == sender && step.1 == SYN)
            && !self.has(tcp::State::SynReceived)
            && !self.is_made_up();
        began_the_one_before || is_other
    }

    /// Whether it has displaced another connection, which may come back.
    pub(crate) fn is_made_up(&self) -> bool {
        self.script.starts_with(&MADE_UP)
    }

    /// Whether another connection has been displaced for which there was no room.
    pub(crate) fn is_contested(&self) -> bool {
        self.script.starts_with(&CONTESTED)
    }

    /// Whether two different answers to the SYN are known.
    pub(crate) fn was_answered_twice(&self) -> bool {
        self.script.iter().filter(|step| step.1 == SYN_ACK).count() == 2 && !self.is_made_up()
    }

    /// Whether that endpoint has sent its FIN.
    pub(crate) fn has_sent_fin(&self, sender: Direction) -> bool {
        self.script.iter().any(|step| step.0 == sender && step.1 == FIN_ACK)
    }

    /// The state of the endpoint that sends in `direction`.
    pub(crate) fn state(&self, direction: Direction) -> tcp::State {
        self.states[direction as usize]
    }
}

/// The segment of a step.
pub(crate) fn segment_of((direction, flags, seq, ack, _): Step) -> Tcp {
    let own = INITIAL[direction as usize];
    let other = INITIAL[direction.opposite() as usize];
    let ack = if flags.has(ACK) { other.wrapping_add(ack) } else { 0 };
    segment(direction, flags, own.wrapping_add(seq), ack)
}

/// The same with a timestamp (RFC 7323 section 3.2).
fn with_timestamp(mut tcp: Tcp) -> Tcp {
    tcp.options.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0]);
    tcp
}

/// Hands out numbers and asks for nothing else.
#[derive(Debug, Default)]
pub(crate) struct Numbers(u64);

impl Observer for Numbers {
    fn next_id(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
    fn released(&mut self, _: fragments::Token, _: &Verdict) {}
    fn hand_over(&mut self, _: u32, _: Datagram) {}
}

/// Everything that is kept of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) index: Index,
    pub(crate) id: u64,
    pub(crate) tracked: tcp::Connection,
    pub(crate) irregular: tcp::Irregular,
    pub(crate) deadline: Tick,
    note: u32,
    round_trip: u16,
    counted: [u64; 4],
    last_seen: Time,
}

/// Everything that can change: the victim, the bystander, and how often anything began, changed or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) victim: Option<Kept>,
    bystander: Option<Kept>,
    sequence: u64,
    live: u32,
}

/// What a segment did, from nothing to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Effect {
    /// It is refused, and nothing at all is different.
    Nothing,
    /// It is counted as the connection's, so that the endpoint can answer, and nothing else.
    Passes,
    /// As before, and it is the SYN to be remembered.
    Remembers,
    /// It starts the timer again.
    Prolongs,
    /// Windows, streams or what is noted of them are different.
    Moves,
    /// An endpoint's state is different.
    Steps,
    /// The connection that this one has displaced comes back in its place.
    Returns,
    /// The connection has ended, reset or replaced.
    Ends,
}

impl Effect {
    pub(crate) const ALL: [Effect; 8] = [
        Effect::Nothing,
        Effect::Passes,
        Effect::Remembers,
        Effect::Prolongs,
        Effect::Moves,
        Effect::Steps,
        Effect::Returns,
        Effect::Ends,
    ];

    /// What lies between two pictures.
    pub(crate) fn between(before: &Picture, after: &Picture) -> Effect {
        assert_eq!(before.bystander, after.bystander, "another connection was touched");
        let (Some(old), Some(new)) = (before.victim, after.victim) else {
            assert_eq!(before.victim.is_some(), after.victim.is_some(), "a connection does not just vanish");
            return Effect::Ends;
        };
        let reset = |kept: &Kept| kept.tracked.marks.is_reset();
        let rivals = [&old, &new].map(|kept| kept.irregular.rival);
        let displaced = rivals[0].filter(|_| old.tracked.marks.remembers());
        if old.id != new.id {
            let is_back = displaced.is_some_and(|rival| rival.connection.stamps == new.tracked.stamps);
            return if is_back { Effect::Returns } else { Effect::Ends };
        }
        let ends_displaced = rivals.map(|it| it.is_some_and(|it| it.connection.marks.is_reset()));
        if reset(&old) != reset(&new) || ends_displaced[0] != ends_displaced[1] {
            return Effect::Ends;
        }
        let quiet = Kept { counted: old.counted, last_seen: old.last_seen, ..new };
        let effect = if old.tracked.marks.states() != new.tracked.marks.states() {
            Effect::Steps
        } else if without_syn(&old) != without_syn(&quiet) {
            Effect::Moves
        } else if old.deadline != new.deadline {
            Effect::Prolongs
        } else if old.tracked.marks != new.tracked.marks || old.irregular != new.irregular {
            Effect::Remembers
        } else if old != new {
            Effect::Passes
        } else {
            assert_eq!(before, after, "what is not the victim's");
            Effect::Nothing
        };
        if effect < Effect::Steps {
            assert_eq!((before.sequence, before.live), (after.sequence, after.live), "{effect:?}");
        }
        effect
    }
}

/// What is kept, but for the remembered SYN and the deadline.
fn without_syn(kept: &Kept) -> Kept {
    let mut kept = *kept;
    let streams = kept.irregular.streams;
    kept.irregular = tcp::Irregular::default();
    // Streams count only where there is a hole.
    for sender in Direction::BOTH {
        if kept.tracked.marks.has_hole(sender) {
            kept.irregular.streams[sender as usize] = streams[sender as usize];
        }
    }
    kept.tracked.marks = kept.tracked.marks.without_irregular();
    kept.deadline = Tick::new(0);
    kept
}

/// An engine with a victim and a bystander.
pub(crate) struct Arena {
    pub(crate) shard: Shard,
    pub(crate) numbers: Numbers,
    pub(crate) now: Time,
    pub(crate) version: Version,
    /// The stage's.
    pub(crate) name: &'static str,
    script: Vec<Vec<u8>>,
    bystander: Index,
    baseline: Picture,
}

/// The settings of a replay, but for TCP's policy.
pub(crate) fn settings(policy: tcp::Policy) -> Settings {
    Settings {
        checks: Checks::ALL,
        tcp: policy,
        flow: flow::Policy::DEFAULT,
        fragments: fragments::Policy::default(),
        sides: 1,
        shards: 1,
        number: 0,
    }
}

const BEGIN: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

impl Arena {
    /// A victim at `stage`, which has been reached as its states say.
    pub(crate) fn new(stage: &Stage, version: Version, policy: tcp::Policy) -> Arena {
        let layout = Shard::layout_for_connections(64).unwrap();
        let shard = Shard::new(layout, HashKeys([1, 2, 3, 4]), settings(policy), Tick::new(0)).unwrap();
        let script = stage.script.iter().map(|&step| {
            let tcp = segment_of(step);
            let tcp = if stage.stamped { with_timestamp(tcp) } else { tcp };
            version.builder(step.0).tcp(&tcp, &vec![0x55; step.4 as usize])
        });
        let nothing = Picture { victim: None, bystander: None, sequence: 0, live: 0 };
        let mut arena = Arena {
            shard,
            numbers: Numbers::default(),
            now: Time::from_nanoseconds(BEGIN),
            version,
            name: stage.name,
            script: script.collect(),
            bystander: Index::new(0),
            baseline: nothing,
        };
        arena.open_bystander();
        arena.play();
        let states = arena.baseline.victim.unwrap().tracked.marks.states();
        assert_eq!(states, stage.states, "{}", stage.name);
        arena
    }

    /// Another connection between the same hosts, from the port above.
    fn open_bystander(&mut self) {
        for step in &OPEN {
            let mut tcp = segment_of(*step);
            match step.0 {
                Direction::Original => tcp.ports.source += 1,
                Direction::Reply => tcp.ports.destination += 1,
            }
            let frame = self.version.builder(step.0).tcp(&tcp, &vec![0; step.4 as usize]);
            assert_eq!(self.send(&frame).action, Action::Accept);
        }
        self.bystander = self.shard.table().scan().next().unwrap();
    }

    /// Plays the script from the beginning of time, then waits a second.
    fn play(&mut self) {
        self.now = Time::from_nanoseconds(BEGIN);
        for number in 0..self.script.len() {
            let frame = std::mem::take(&mut self.script[number]);
            let verdict = self.send(&frame);
            assert_eq!(verdict.action, Action::Accept, "step {number}: {verdict:?}");
            self.script[number] = frame;
            self.wait(10);
        }
        self.wait(1000);
        self.baseline = self.picture();
    }

    /// Takes the victim out of the table and plays the script again.
    pub(crate) fn restore(&mut self) {
        if let Some(victim) = self.picture().victim {
            assert!(self.shard.delete(victim.index, victim.id, &mut self.numbers));
        }
        self.play();
    }

    pub(crate) fn wait(&mut self, milliseconds: u64) {
        self.now = Time::from_nanoseconds(self.now.nanoseconds() + milliseconds * MILLISECOND);
    }

    /// What the engine makes of one frame.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Verdict {
        let mut verdicts = [Verdict::HELD];
        self.burst(&[frame], &mut verdicts);
        verdicts[0]
    }

    /// What it makes of a burst.
    pub(crate) fn burst(&mut self, frames: &[&[u8]], verdicts: &mut [Verdict]) {
        let arrivals: ArrayVec<Arrival<'_>, BURST> =
            frames.iter().map(|frame| arrival_of(frame, self.now)).collect();
        self.shard.process(&arrivals, self.now.tick(), verdicts, &mut self.numbers);
    }

    /// What is kept now.
    pub(crate) fn picture(&self) -> Picture {
        Picture {
            victim: self.find().map(|index| self.kept(index)),
            bystander: (!self.shard.table().is_empty()).then(|| self.kept(self.bystander)),
            sequence: self.shard.sequence(),
            live: self.shard.table().len(),
        }
    }

    /// What was kept before the attack.
    pub(crate) fn baseline(&self) -> &Picture {
        &self.baseline
    }

    /// What the frame does to the victim, which is then put back to where it was.
    pub(crate) fn strike(&mut self, frame: &[u8]) -> Effect {
        let verdict = self.send(frame);
        let after = self.picture();
        let effect = Effect::between(&self.baseline, &after);
        assert!(
            effect == Effect::Nothing || verdict.action == Action::Accept,
            "what is refused changes nothing: {verdict:?}"
        );
        match effect {
            Effect::Nothing => {}
            Effect::Passes => self.baseline = after,
            Effect::Remembers
            | Effect::Prolongs
            | Effect::Moves
            | Effect::Steps
            | Effect::Returns
            | Effect::Ends => self.restore(),
        }
        effect
    }

    fn kept(&self, index: Index) -> Kept {
        let table = self.shard.table();
        let connection = table.connection(index);
        let annex = table.annex(index);
        let words = annex.map(|annex| std::array::from_fn(|word| annex.get(word)));
        Kept {
            index,
            id: connection.id(),
            tracked: tcp::Connection::from_words(connection.tracker()),
            irregular: words.map(tcp::Irregular::from_words).unwrap_or_default(),
            deadline: connection.deadline(),
            note: connection.note(),
            round_trip: connection.round_trip(),
            counted: [
                connection.packets(Sense::Forward),
                connection.packets(Sense::Backward),
                connection.bytes(Sense::Forward),
                connection.bytes(Sense::Backward),
            ],
            last_seen: connection.last_seen(),
        }
    }

    fn find(&self) -> Option<Index> {
        let table = self.shard.table();
        let with = |key: &Key| table.find(table.hash(key), key).map(|(index, _)| index);
        match self.version.builder(Direction::Original).addresses() {
            lastack::wire::Addresses::V4 { source, destination } => {
                with(&Key::v4((source, PORTS[0]), (destination, PORTS[1]), protocol::TCP, 0))
            }
            lastack::wire::Addresses::V6 { source, destination } => {
                with(&Key::v6((source, PORTS[0]), (destination, PORTS[1]), protocol::TCP, 0))
            }
            lastack::wire::Addresses::None => None,
        }
    }
}

/// A frame that arrives where everything may begin.
pub(crate) fn arrival_of(frame: &[u8], at: Time) -> Arrival<'_> {
    Arrival {
        frame: Frame::whole(frame, Link::Ethernet),
        zone: 0,
        admission: Admission::ANY,
        at,
        token: fragments::Token(0),
    }
}
