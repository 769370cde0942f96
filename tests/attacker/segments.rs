//! Blind segments: every kind, and for how many of all 2^64 pairs of numbers each does what.
//!
//! The effect of a segment as a function of its sequence and acknowledgement number is constant on rectangles.
//! Where their edges lie is found by bisection, the rectangles are then probed, and at last a seeded sample of
//! pairs, uniform over all and close to the connection's numbers, must have the effect that the rectangles foretell:
//!
//! ```text
//!   ack ▲        │      │
//!       │ refused│ moves│ refused        edges: bisected between probes whose effects differ
//!       ├────────┼──────┼────────        area:  exact, in 2^64ths
//!       │ refused│refused                sample: each pair's effect = its rectangle's
//!       └────────┴──────┴────────► seq
//! ```

use lastack::shard::Class;
use lastack::tcp;
use lastack::wire::build::Builder;
use lastack::wire::checksum::Sum;
use lastack::wire::{Direction, Flags, protocol};

use crate::connections::{
    ACK, Arena, Effect, FIN_ACK, INITIAL, OTHER_SYN, RST, RST_ACK, SYN, SYN_ACK, Stage, Version, WINDOW,
    segment,
};

/// What an attacker can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Rst,
    RstAck,
    Syn,
    SynAck,
    FinAck,
    Fin,
    Ack,
    Data,
    Urgent,
    Unreachable,
    TooBig,
    TimeExceeded,
}

/// Bytes in a segment with data.
pub(crate) const PAYLOAD: u32 = 100;

impl Kind {
    pub(crate) const ALL: [Kind; 12] = [
        Kind::Rst,
        Kind::RstAck,
        Kind::Syn,
        Kind::SynAck,
        Kind::FinAck,
        Kind::Fin,
        Kind::Ack,
        Kind::Data,
        Kind::Urgent,
        Kind::Unreachable,
        Kind::TooBig,
        Kind::TimeExceeded,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Rst => "RST",
            Kind::RstAck => "RST+ACK",
            Kind::Syn => "SYN",
            Kind::SynAck => "SYN+ACK",
            Kind::FinAck => "FIN+ACK",
            Kind::Fin => "FIN alone",
            Kind::Ack => "ACK",
            Kind::Data => "data",
            Kind::Urgent => "data+URG",
            Kind::Unreachable => "ICMP unreachable",
            Kind::TooBig => "ICMP too big",
            Kind::TimeExceeded => "ICMP time exceeded",
        }
    }

    /// The control bits and the payload of a segment; none of an ICMP error.
    const fn segment(self) -> Option<(Flags, u32)> {
        match self {
            Kind::Rst => Some((RST, 0)),
            Kind::RstAck => Some((RST_ACK, 0)),
            Kind::Syn => Some((SYN, 0)),
            Kind::SynAck => Some((SYN_ACK, 0)),
            Kind::FinAck => Some((FIN_ACK, 0)),
            Kind::Fin => Some((Flags::FIN, 0)),
            Kind::Ack => Some((ACK, 0)),
            Kind::Data => Some((ACK.with(Flags::PSH), PAYLOAD)),
            Kind::Urgent => Some((ACK.with(Flags::URG), PAYLOAD)),
            Kind::Unreachable | Kind::TooBig | Kind::TimeExceeded => None,
        }
    }

    pub(crate) const fn is_icmp(self) -> bool {
        self.segment().is_none()
    }
}

/// A frame whose two numbers are written again and again, its checksum with them.
pub(crate) struct Template {
    frame: Vec<u8>,
    /// Where sequence number, acknowledgement number and checksum lie; an ICMP error quotes no acknowledgement.
    seq: usize,
    ack: Option<usize>,
    checksum: usize,
    /// The sum of everything else.
    rest: u32,
}

impl Template {
    /// A segment that pretends to come from the endpoint that sends in `direction`, or an error about one.
    pub(crate) fn new(kind: Kind, version: Version, direction: Direction) -> Template {
        let builder = version.builder(direction);
        let header = match version {
            Version::V4 => 20,
            Version::V6 => 40,
        };
        let upper = 14 + header;
        match kind.segment() {
            Some((flags, payload)) => {
                let tcp = segment(direction, flags, 0, 0);
                let frame = builder.tcp(&tcp, &vec![0x5a; payload as usize]);
                Template::with(frame, upper + 4, Some(upper + 8), upper + 16)
            }
            None => {
                // A router on the way quotes the first 8 bytes of the segment.
                let quoted = builder.packet(protocol::TCP, &tcp_head(&builder, direction));
                let host = match direction {
                    Direction::Original => 1,
                    Direction::Reply => 2,
                };
                let (number, code, rest) = error(kind, version);
                let router = version.between(99, host);
                let frame = router.icmp(number, code, rest, &quoted[14..14 + header + 8]);
                Template::with(frame, upper + 8 + header + 4, None, upper + 2)
            }
        }
    }

    fn with(frame: Vec<u8>, seq: usize, ack: Option<usize>, checksum: usize) -> Template {
        let field = u16::from_be_bytes([frame[checksum], frame[checksum + 1]]);
        Template { frame, seq, ack, checksum, rest: u32::from(!field) }
    }

    /// The frame with these numbers.
    pub(crate) fn with_numbers(&mut self, seq: u32, ack: u32) -> &[u8] {
        self.frame[self.seq..self.seq + 4].copy_from_slice(&seq.to_be_bytes());
        let mut sum = self.rest + (seq >> 16) + (seq & 0xffff);
        if let Some(at) = self.ack {
            self.frame[at..at + 4].copy_from_slice(&ack.to_be_bytes());
            sum += (ack >> 16) + (ack & 0xffff);
        }
        sum = (sum >> 16) + (sum & 0xffff);
        sum = (sum >> 16) + (sum & 0xffff);
        let field = !(sum as u16);
        self.frame[self.checksum..self.checksum + 2].copy_from_slice(&field.to_be_bytes());
        &self.frame
    }
}

/// A TCP header with both numbers zero, as it is quoted.
fn tcp_head(builder: &Builder, direction: Direction) -> Vec<u8> {
    builder.tcp_segment(&segment(direction, ACK, 0, 0), &[])
}

/// Type, code and rest of the header of an ICMP error.
const fn error(kind: Kind, version: Version) -> (u8, u8, [u8; 4]) {
    match (kind, version) {
        (Kind::TooBig, Version::V4) => (3, 4, [0, 0, 2, 64]),
        (Kind::TooBig, Version::V6) => (2, 0, [0, 0, 5, 0]),
        (Kind::TimeExceeded, Version::V4) => (11, 0, [0; 4]),
        (Kind::TimeExceeded, Version::V6) => (3, 0, [0; 4]),
        (_, Version::V4) => (3, 1, [0; 4]),
        (_, Version::V6) => (1, 0, [0; 4]),
    }
}

/// For how many of all pairs of numbers a segment has each effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Measure([u128; Effect::ALL.len()]);

impl Measure {
    /// The pairs with at least this effect.
    pub(crate) fn at_least(&self, effect: Effect) -> u128 {
        self.0[effect as usize..].iter().sum()
    }

    /// The pairs with exactly this effect.
    pub(crate) fn of(&self, effect: Effect) -> u128 {
        self.0[effect as usize]
    }
}

/// All pairs.
pub(crate) const ALL_PAIRS: u128 = 1 << 64;

/// One attack: a victim, and a kind of segment from one side.
pub(crate) struct Attack<'a> {
    arena: &'a mut Arena,
    template: Template,
}

impl Attack<'_> {
    pub(crate) fn new(arena: &mut Arena, kind: Kind, direction: Direction) -> Attack<'_> {
        let template = Template::new(kind, arena.version, direction);
        Attack { arena, template }
    }

    /// What the segment with these numbers does.
    pub(crate) fn strike(&mut self, seq: u32, ack: u32) -> Effect {
        self.arena.strike(self.template.with_numbers(seq, ack))
    }
}

/// How far from what is known of a stream that was picked up from one side its numbers may be moved.
const NEAR: u32 = 1 << 23;

/// Numbers at which something may change, for the axis of sequence numbers and that of acknowledgements: all that
/// the tracker keeps, and what lies a window, half the least window of what was picked up, or half the space away. A hint
/// for where to look, nothing more.
fn hints(arena: &Arena) -> Vec<u32> {
    let kept = arena.baseline().victim.unwrap();
    let mut bases: Vec<u32> = INITIAL.to_vec();
    for (peer, stream) in kept.tracked.peers.iter().zip(&kept.irregular.streams) {
        bases.extend([peer.end.0, peer.limit.0, peer.ack.0, stream.contiguous.0]);
    }
    for peer in kept.irregular.rival.iter().flat_map(|rival| &rival.connection.peers) {
        bases.extend([peer.end.0, peer.limit.0, peer.ack.0]);
    }
    bases.extend(kept.irregular.remembered.iter().flatten().map(|it| it.end.0));
    bases.extend(INITIAL.map(|initial| initial.wrapping_add(OTHER_SYN)));
    let windows = Direction::BOTH.map(|sender| kept.tracked.window(sender));
    let mut hints: Vec<u32> = vec![0, 1 << 31];
    for base in bases {
        for away in [0, windows[0], windows[1], NEAR, 1 << 31] {
            for near in [base.wrapping_add(away), base.wrapping_sub(away)] {
                hints.extend([near.wrapping_sub(1), near, near.wrapping_add(1)]);
            }
        }
    }
    hints.sort_unstable();
    hints.dedup();
    hints
}

/// The lines along which edges are looked for: numbers that mean something, and some that do not.
fn lines(arena: &Arena) -> Vec<u32> {
    let kept = arena.baseline().victim.unwrap();
    let mut lines: Vec<u32> = INITIAL.iter().map(|initial| initial.wrapping_add(1)).collect();
    lines.extend(INITIAL);
    for (peer, stream) in kept.tracked.peers.iter().zip(&kept.irregular.streams) {
        lines.extend([peer.end.0, peer.ack.0, stream.contiguous.0, peer.end.0.wrapping_add(1 << 31)]);
        // Of what may be repeated, and brings nothing new.
        lines.push(peer.end.0.wrapping_sub(WINDOW / 2));
        // Of a FIN, once more.
        lines.push(peer.end.0.wrapping_sub(1));
        // Of what is far off, but may pass.
        lines.extend([peer.end.0.wrapping_add(2 * NEAR), peer.end.0.wrapping_sub(2 * NEAR)]);
    }
    for peer in kept.irregular.rival.iter().flat_map(|rival| &rival.connection.peers) {
        lines.extend([peer.end.0, peer.ack.0]);
    }
    lines.extend(kept.irregular.remembered.iter().flatten().map(|it| it.end.0));
    lines.extend(INITIAL.map(|initial| initial.wrapping_add(OTHER_SYN + 1)));
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// The beginnings of the intervals on which `effect` is constant.
fn edges<E: Copy + PartialEq>(hints: &[u32], mut effect: impl FnMut(u32) -> E, edges: &mut Vec<u32>) {
    let effects: Vec<E> = hints.iter().map(|&number| effect(number)).collect();
    for (at, (&low, &here)) in hints.iter().zip(&effects).enumerate() {
        let next = (at + 1) % hints.len();
        let there = effects[next];
        if here == there {
            continue;
        }
        // Between the last with the one effect and the first with another: bisect, around the wrap as well.
        let (mut same, mut different) = (0, hints[next].wrapping_sub(low));
        while different - same > 1 {
            let middle = same + (different - same) / 2;
            if effect(low.wrapping_add(middle)) == here {
                same = middle;
            } else {
                different = middle;
            }
        }
        edges.push(low.wrapping_add(different));
    }
}

/// The effects of all pairs, as rectangles.
pub(crate) struct Map {
    seqs: Vec<u32>,
    acks: Vec<u32>,
    effects: Vec<Effect>,
}

impl Map {
    /// Draws the map of an attack, and holds a sample against it.
    pub(crate) fn draw(attack: &mut Attack<'_>, seed: u64, sample: u32) -> Map {
        let (hints, lines) = (hints(attack.arena), lines(attack.arena));
        let (mut seqs, mut acks) = (vec![0], vec![0]);
        for &line in &lines {
            edges(&hints, |seq| attack.strike(seq, line), &mut seqs);
            if attack.template.ack.is_some() {
                edges(&hints, |ack| attack.strike(line, ack), &mut acks);
            }
        }
        for axis in [&mut seqs, &mut acks] {
            axis.sort_unstable();
            axis.dedup();
        }
        let mut map = Map { seqs, acks, effects: Vec::new() };
        map.fill(attack);
        map.sample(attack, &hints, seed, sample);
        map
    }

    /// Probes the corners and the middle of each rectangle: all alike.
    fn fill(&mut self, attack: &mut Attack<'_>) {
        for (low, high) in spans(&self.seqs) {
            for (bottom, top) in spans(&self.acks) {
                let middle = |a: u32, b: u32| a + (b - a) / 2;
                let effect = attack.strike(low, bottom);
                for (seq, ack) in
                    [(high, top), (low, top), (high, bottom), (middle(low, high), middle(bottom, top))]
                {
                    let other = attack.strike(seq, ack);
                    assert_eq!(
                        effect, other,
                        "{}: an edge was missed in seq {low:#x}..={high:#x}, ack {bottom:#x}..={top:#x}",
                        attack.arena.name
                    );
                }
                self.effects.push(effect);
            }
        }
    }

    /// Random pairs: each does what its rectangle says.
    fn sample(&self, attack: &mut Attack<'_>, hints: &[u32], seed: u64, sample: u32) {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..sample {
            let (seq, ack) = (random.u32(..), random.u32(..));
            self.check(attack, seq, ack, seed);
        }
        for _ in 0..sample / 64 {
            let mut near = || {
                let base = hints[random.usize(..hints.len())];
                base.wrapping_add(random.u32(..2 * WINDOW)).wrapping_sub(WINDOW)
            };
            let (seq, ack) = (near(), near());
            self.check(attack, seq, ack, seed);
        }
    }

    fn check(&self, attack: &mut Attack<'_>, seq: u32, ack: u32, seed: u64) {
        let effect = attack.strike(seq, ack);
        assert_eq!(effect, self.at(seq, ack), "seq {seq:#x}, ack {ack:#x} of seed {seed}");
    }

    /// What the map says of a pair.
    pub(crate) fn at(&self, seq: u32, ack: u32) -> Effect {
        let column = self.seqs.partition_point(|&edge| edge <= seq) - 1;
        let row = self.acks.partition_point(|&edge| edge <= ack) - 1;
        self.effects[column * self.acks.len() + row]
    }

    /// The areas.
    pub(crate) fn measure(&self) -> Measure {
        let mut measure = Measure::default();
        let mut effects = self.effects.iter();
        for (low, high) in spans(&self.seqs) {
            for ((bottom, top), &effect) in spans(&self.acks).zip(&mut effects) {
                let area = (u128::from(high - low) + 1) * (u128::from(top - bottom) + 1);
                measure.0[effect as usize] += area;
            }
        }
        assert_eq!(measure.at_least(Effect::Nothing), ALL_PAIRS);
        measure
    }
}

/// The intervals that begin at each of `edges`, both ends included; the first begins at 0.
fn spans(edges: &[u32]) -> impl Iterator<Item = (u32, u32)> + '_ {
    let ends = edges[1..].iter().map(|&edge| edge - 1).chain([u32::MAX]);
    edges.iter().copied().zip(ends)
}

/// The ordinary sample: all stages, kinds and sides together are five million pairs.
const SAMPLE: u32 = 8_192;

/// How many uniformly random pairs are tried of each kind in each state from each side.
pub(crate) fn sample_size() -> u32 {
    let asked = std::env::var("LASTACK_ATTACK_SAMPLE").ok();
    asked.map_or(SAMPLE, |number| number.parse().expect("LASTACK_ATTACK_SAMPLE is a number"))
}

/// The measure of one attack.
pub(crate) fn measure(
    stage: &Stage,
    version: Version,
    policy: tcp::Policy,
    kind: Kind,
    from: Direction,
) -> Measure {
    let mut arena = Arena::new(stage, version, policy);
    let seed = stage.name.len() as u64 * 1000 + kind as u64 * 10 + from as u64;
    let mut attack = Attack::new(&mut arena, kind, from);
    Map::draw(&mut attack, seed, sample_size()).measure()
}

/// How many sequence numbers an ICMP error may quote of what `sender` has sent, and be let through.
pub(crate) fn in_flight(stage: &Stage, version: Version, kind: Kind, sender: Direction) -> u64 {
    let mut arena = Arena::new(stage, version, tcp::Policy::DEFAULT);
    let mut template = Template::new(kind, version, sender);
    let hints = hints(&arena);
    let mut passes = |seq: u32| {
        let verdict = arena.send(template.with_numbers(seq, 0));
        assert_eq!(arena.picture(), *arena.baseline(), "an ICMP error changes nothing");
        verdict.class == Class::Related
    };
    let mut starts = vec![0];
    edges(&hints, &mut passes, &mut starts);
    starts.sort_unstable();
    starts.dedup();
    spans(&starts).filter(|&(low, _)| passes(low)).map(|(low, high)| u64::from(high - low) + 1).sum()
}

/// A segment's checksum is right whatever its numbers: else nothing here would reach the tracker.
#[test]
fn frames_bear_right_checksums_whatever_their_numbers() {
    for version in [Version::V4, Version::V6] {
        for kind in Kind::ALL {
            let mut template = Template::new(kind, version, Direction::Reply);
            let mut random = fastrand::Rng::with_seed(7);
            for _ in 0..100 {
                let frame = template.with_numbers(random.u32(..), random.u32(..)).to_vec();
                let from = template.checksum - if kind.is_icmp() { 2 } else { 16 };
                let length = (frame.len() - from) as u32;
                let sender =
                    if kind.is_icmp() { version.between(99, 2) } else { version.builder(Direction::Reply) };
                let pseudo = match (sender.addresses(), kind.is_icmp()) {
                    (lastack::wire::Addresses::V4 { .. }, true) => Sum::ZERO,
                    (lastack::wire::Addresses::V4 { source, destination }, false) => {
                        Sum::pseudo_v4(source, destination, protocol::TCP, length)
                    }
                    (lastack::wire::Addresses::V6 { source, destination }, icmp) => {
                        let number = if icmp { protocol::ICMPV6 } else { protocol::TCP };
                        Sum::pseudo_v6(source, destination, number, length)
                    }
                    (lastack::wire::Addresses::None, _) => unreachable!(),
                };
                assert_eq!(pseudo.plus(Sum::of(&frame[from..])).checksum(), 0, "{kind:?} {version:?}");
            }
        }
    }
}
