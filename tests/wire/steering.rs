//! The XDP program chooses the worker that the engine's own hash chooses, frame by frame.
//!
//! ```text
//!  seed ─► frame, whole or damaged ─┬─ kernel: steer.bpf.o ───────────────► key
//!                                   └─ parse ─ steering_hash % workers ───► the same key
//! ```
//!
//! Both directions of a connection meet at one worker because of this and nothing else, so it is held for every
//! kind of frame that the parser knows. Where they may differ is [`is_free`], and the tests say how much that is.

use lastack::link;
use lastack::shard::steering_hash;
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{
    Addresses, Checks, Fault, Flags, Frame, Link, Packet, Ports, QuotedTransport, Seq, Transport, parse,
};
use lastack::xdp::{Mode, Steering, Trial};

use super::is_root;
use super::veth::{in_new_namespace, wire};

const ZONE: u16 = 7;
const WORKERS: [u32; 3] = [2, 3, 16];

fn bytes(random: &mut fastrand::Rng, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.u8(..)).collect()
}

fn array<const N: usize>(random: &mut fastrand::Rng) -> [u8; N] {
    std::array::from_fn(|_| random.u8(..))
}

fn ports(random: &mut fastrand::Rng) -> Ports {
    Ports { source: random.u16(..), destination: random.u16(..) }
}

fn trials() -> [(u32, Trial); 3] {
    WORKERS.map(|workers| (workers, Trial::load(Steering { zone: ZONE, workers, queues: 4 }).unwrap()))
}

fn parsed(frame: &[u8]) -> Packet<'_> {
    parse(&Frame::whole(frame, Link::Ethernet), Checks::NONE)
}

/// Whether the program may choose another worker than the hash would: what belongs to no connection anyway,
/// because of options, or lengths in options, which the program does not look at.
fn is_free(packet: &Packet<'_>) -> bool {
    match packet.transport {
        Transport::Malformed(Fault::BadIpOption) => true,
        // Jumbograms, and what claims to be one.
        Transport::Malformed(Fault::BadLength | Fault::Truncated) => {
            matches!(packet.addresses, Addresses::V6 { .. })
        }
        // A quote whose options are malformed.
        Transport::Error(quote) => {
            quote.transport == QuotedTransport::Unknown && matches!(quote.addresses, Addresses::V6 { .. })
        }
        Transport::Untracked
        | Transport::Malformed(_)
        | Transport::Tcp(_)
        | Transport::Udp
        | Transport::Query(_)
        | Transport::Fragment(_)
        | Transport::Other => false,
    }
}

/// Holds the program's keys of a frame against the hash. Whether they are the same; where they must be, they are.
fn check(trials: &[(u32, Trial)], frame: &[u8], what: &str) -> bool {
    let packet = parsed(frame);
    let hash = steering_hash(&packet, ZONE);
    let mut are_same = true;
    for (workers, trial) in trials {
        let key = trial.key(frame).unwrap();
        assert!(key < *workers, "{what}: a key of another queue");
        are_same &= key == hash % workers;
        assert!(are_same || is_free(&packet), "{what}, {workers} workers: {packet:?} in {frame:02x?}");
    }
    are_same
}

/// The payload of a frame made on a path without tags: the IP packet.
fn packet_of(frame: &[u8]) -> &[u8] {
    &frame[14..]
}

const V4: ([u8; 4], [u8; 4]) = ([10, 1, 2, 3], [192, 0, 2, 77]);
const V6: ([u8; 16], [u8; 16]) = (
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0xfd, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5],
);

fn paths() -> [(&'static str, Builder, Builder); 2] {
    [
        ("IPv4", Builder::v4(V4.0, V4.1), Builder::v4(V4.1, V4.0)),
        ("IPv6", Builder::v6(V6.0, V6.1), Builder::v6(V6.1, V6.0)),
    ]
}

#[test]
fn both_directions_of_every_kind_of_connection_get_the_same_worker_as_in_the_engine() {
    if !is_root("both_directions_of_every_kind_of_connection") {
        return;
    }
    let trials = trials();
    for (version, there, back) in paths() {
        let (request, reply) = if version == "IPv4" { (8, 0) } else { (128, 129) };
        let ports = Ports { source: 40_000, destination: 443 };
        let mirrored = Ports { source: 443, destination: 40_000 };
        for (what, one, other) in [
            ("TCP", there.tcp(&Tcp::new(40_000, 443), b"x"), back.tcp(&Tcp::new(443, 40_000), b"")),
            ("UDP", there.udp(ports, b"xyz"), back.udp(mirrored, b"")),
            (
                "echo",
                there.icmp(request, 0, [0x12, 0x34, 0, 1], b"x"),
                back.icmp(reply, 0, [0x12, 0x34, 0, 1], b"x"),
            ),
            ("GRE", there.packet(47, &[1; 20]), back.packet(47, &[2; 30])),
        ] {
            check(&trials, &one, &format!("{version} {what} there"));
            check(&trials, &other, &format!("{version} {what} back"));
            for (_, trial) in &trials {
                assert_eq!(trial.key(&one).unwrap(), trial.key(&other).unwrap(), "{version} {what}");
            }
        }
    }
}

#[test]
fn an_icmp_error_follows_the_packet_that_it_quotes() {
    if !is_root("an_icmp_error_follows_the_packet_that_it_quotes") {
        return;
    }
    let trials = trials();
    for (version, there, back) in paths() {
        let (types, request) =
            if version == "IPv4" { ([3, 4, 5, 11, 12], 8) } else { ([1, 2, 3, 4, 4], 128) };
        let ports = Ports { source: 40_000, destination: 443 };
        for sent in [
            there.tcp(&Tcp::new(40_000, 443), b"payload"),
            there.udp(ports, b"payload"),
            there.icmp(request, 0, [0x12, 0x34, 0, 1], b"x"),
            there.packet(47, &[1; 20]),
            there.fragment(17, 0, true, &there.udp_datagram(ports, &[0; 64])[..64]),
            there.fragment(17, 64, true, &[0; 64]),
        ] {
            for kind in types {
                // Cut anywhere, from nothing quoted to everything.
                for length in 0..=packet_of(&sent).len() {
                    let error = back.icmp(kind, 0, [0; 4], &packet_of(&sent)[..length]);
                    check(&trials, &error, &format!("{version} error {kind} with {length} bytes quoted"));
                }
            }
        }
        let sent = there.tcp(&Tcp::new(40_000, 443), b"payload");
        let error = back.icmp(types[0], 0, [0; 4], packet_of(&sent));
        for (_, trial) in &trials {
            assert_eq!(trial.key(&sent).unwrap(), trial.key(&error).unwrap(), "{version}");
        }
    }
}

#[test]
fn all_fragments_of_a_datagram_get_one_worker_the_first_like_the_others() {
    if !is_root("all_fragments_of_a_datagram_get_one_worker") {
        return;
    }
    let trials = trials();
    for (version, there, _) in paths() {
        let datagram = there.udp_datagram(Ports { source: 1, destination: 2 }, &[9; 100]);
        let fragments = there.fragments(17, &datagram, 32);
        for (_, trial) in &trials {
            let keys: Vec<u32> = fragments.iter().map(|fragment| trial.key(fragment).unwrap()).collect();
            assert!(keys.iter().all(|key| *key == keys[0]), "{version}: {keys:?}");
        }
        for fragment in &fragments {
            check(&trials, fragment, version);
        }
    }
}

#[test]
fn every_protocol_and_every_icmp_type_is_read_as_in_the_engine() {
    if !is_root("every_protocol_and_every_icmp_type") {
        return;
    }
    let trials = trials();
    for (version, there, _) in paths() {
        for number in 0..=255 {
            check(
                &trials,
                &there.icmp(number, 0, [1, 2, 3, 4], &[0; 40]),
                &format!("{version} ICMP type {number}"),
            );
            check(&trials, &there.packet(number, &[3; 40]), &format!("{version} protocol {number}"));
        }
    }
}

#[test]
fn tags_and_what_is_not_ip_are_read_as_in_the_engine() {
    if !is_root("tags_and_what_is_not_ip") {
        return;
    }
    let trials = trials();
    for (version, there, _) in paths() {
        let mut tagged = there.clone();
        for depth in 1..=8 {
            tagged = tagged.vlan(depth);
            let mut frame = tagged.tcp(&Tcp::new(1, 2), b"");
            check(&trials, &frame, &format!("{version} behind {depth} tags"));
            for outermost in [0x88a8_u16, 0x9100, 0x8847, 0x0806, 0x88cc, 0x0100] {
                frame[12..14].copy_from_slice(&outermost.to_be_bytes());
                check(&trials, &frame, &format!("{version} behind {depth} tags, type {outermost:#x}"));
            }
        }
    }
}

#[test]
fn eight_extension_headers_are_walked() {
    if !is_root("eight_extension_headers_are_walked") {
        return;
    }
    let trials = trials();
    let mut there = Builder::v6(V6.0, V6.1);
    for depth in 1..=8 {
        there = there.extension(60, &[0; 6]);
        assert!(check(
            &trials,
            &there.tcp(&Tcp::new(40_000, 443), b""),
            &format!("{depth} extension headers")
        ));
    }
}

#[test]
fn headers_behind_the_frames_first_buffer_are_read() {
    if !is_root("headers_behind_the_frames_first_buffer") {
        return;
    }
    let trials = trials();
    // Three headers of 2,048 bytes of padding options: the ports lie beyond any page.
    let padding: Vec<u8> = [1, 253].into_iter().chain([0; 253]).cycle().take(255 * 8).collect();
    let padding = [padding, vec![1, 4, 0, 0, 0, 0]].concat();
    let mut there = Builder::v6(V6.0, V6.1);
    for _ in 0..3 {
        there = there.extension(60, &padding);
    }
    for port in 0..32 {
        let frame = there.tcp(&Tcp::new(port, 443), &[7; 1_000]);
        assert!(matches!(parsed(&frame).transport, Transport::Tcp(_)), "a frame that is right");
        check(&trials, &frame, "TCP behind 6 KiB of options");
    }
    // What is long, but begins as usual.
    check(&trials, &Builder::v4(V4.0, V4.1).tcp(&Tcp::new(1, 2), &[7; 8_900]), "a jumbo frame");
}

#[test]
fn with_one_worker_the_queue_alone_decides() {
    if !is_root("with_one_worker_the_queue_alone_decides") {
        return;
    }
    let trial = Trial::load(Steering { zone: ZONE, workers: 1, queues: 4 }).unwrap();
    for (version, there, _) in paths() {
        for port in 0..100 {
            assert_eq!(trial.key(&there.tcp(&Tcp::new(port, 443), b"")).unwrap(), 0, "{version}");
        }
    }
}

#[test]
fn each_queue_has_its_own_sockets() {
    if !is_root("each_queue_has_its_own_sockets") {
        return;
    }
    in_new_namespace(|| {
        wire(4, 4);
        let steering = Steering { zone: ZONE, workers: 3, queues: 4 };
        let index = link::find("la-a").unwrap().index;
        let _attached = super::attach::attach(index, steering, Mode::Native).unwrap();
        let trial = Trial::load(steering).unwrap();
        for (version, there, _) in paths() {
            let frame = there.tcp(&Tcp::new(40_000, 443), b"");
            let worker = steering_hash(&parsed(&frame), ZONE) % 3;
            for queue in 0..4 {
                let key = trial.key_on(index, queue, &frame).unwrap();
                assert_eq!(key, queue * 3 + worker, "{version}, queue {queue}");
            }
        }
    });
}

#[test]
fn the_zone_is_part_of_the_choice() {
    if !is_root("the_zone_is_part_of_the_choice") {
        return;
    }
    for zone in [0, 1, u16::MAX] {
        let trial = Trial::load(Steering { zone, workers: 1 << 16, queues: 1 }).unwrap();
        for (version, there, _) in paths() {
            let frame = there.tcp(&Tcp::new(40_000, 443), b"");
            let hash = steering_hash(&parsed(&frame), zone);
            assert_eq!(trial.key(&frame).unwrap(), hash % (1 << 16), "{version} in zone {zone}");
        }
    }
}

/// Such a frame reaches some worker, always the same, which hands it over if it is another's.
#[test]
fn headers_deeper_than_the_program_looks_lead_to_some_worker() {
    if !is_root("headers_deeper_than_the_program_looks") {
        return;
    }
    for (workers, trial) in trials() {
        for port in 0..32 {
            let mut there = Builder::v6(V6.0, V6.1);
            let mut back = Builder::v6(V6.1, V6.0);
            for _ in 0..9 {
                (there, back) = (there.extension(60, &[0; 6]), back.extension(60, &[0; 6]));
            }
            let keys = [there.tcp(&Tcp::new(port, 443), b""), back.tcp(&Tcp::new(443, port), b"")]
                .map(|frame| trial.key(&frame).unwrap());
            assert!(keys[0] < workers && keys[0] == keys[1], "{keys:?}");
            let tagged = (0..9).fold(Builder::v4(V4.0, V4.1), |builder, id| builder.vlan(id));
            assert_eq!(trial.key(&tagged.tcp(&Tcp::new(port, 443), b"")).unwrap(), 0);
        }
    }
}

/// Frames of every kind, most of them damaged somewhere.
#[test]
fn frames_of_all_kinds_whole_and_damaged_get_the_worker_of_the_engine() {
    const FRAMES: usize = 12_000;
    if !is_root("frames_of_all_kinds_whole_and_damaged") {
        return;
    }
    let trials = trials();
    let (mut differ, mut with_addresses) = (0, 0);
    for seed in 1..=FRAMES as u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut frame = frame_of_any_kind(&mut random);
        if random.bool() {
            damage(&mut frame, &mut random);
        }
        with_addresses += usize::from(parsed(&frame).addresses != Addresses::None);
        differ += usize::from(!check(&trials, &frame, &format!("seed {seed}")));
    }
    println!("{FRAMES} frames, {with_addresses} with addresses; {differ} differ where they may");
    assert!(with_addresses > FRAMES * 3 / 4, "the generator makes something else than it should");
    assert!(differ < FRAMES / 50, "what may differ does so too often");
}

fn frame_of_any_kind(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut builder = builder_of_any_kind(random);
    for _ in 0..[0, 0, 0, 1, 2, 5][random.usize(..6)] {
        builder = builder.vlan(random.u16(..));
    }
    match random.usize(..8) {
        0 | 1 => {
            let ports = ports(random);
            let tcp = Tcp {
                flags: Flags(random.u8(..) & 0x3f),
                seq: Seq(random.u32(..)),
                ..Tcp::new(ports.source, ports.destination)
            };
            let payload = random.usize(..90);
            builder.tcp(&tcp, &bytes(random, payload))
        }
        2 => {
            let (ports, length) = (ports(random), random.usize(..90));
            builder.udp(ports, &bytes(random, length))
        }
        3 => builder.icmp(random.u8(..), random.u8(..), array(random), &[0; 12]),
        4 => {
            let kind = [1, 2, 3, 4, 5, 11, 12][random.usize(..7)];
            let quoted = frame_without_tags(random);
            let length = random.usize(..packet_of(&quoted).len() + 1);
            builder.icmp(kind, 0, [0; 4], &packet_of(&quoted)[..length])
        }
        5 => {
            let (offset, length) = (random.u32(..1 << 13) * 8, random.usize(..90));
            let number = [6, 17, 1, 58, 44, 60][random.usize(..6)];
            builder.fragment(
                number,
                if random.usize(..3) == 0 { 0 } else { offset },
                random.bool(),
                &bytes(random, length),
            )
        }
        6 => builder.fragment(17, 0, false, &[1; 20]),
        _ => {
            let length = random.usize(..60);
            builder.packet(random.u8(..), &bytes(random, length))
        }
    }
}

fn frame_without_tags(random: &mut fastrand::Rng) -> Vec<u8> {
    let builder = builder_of_any_kind(random);
    match random.usize(..4) {
        0 => builder.tcp(&Tcp::new(random.u16(..), 80), &[5; 30]),
        1 => builder.udp(ports(random), &[5; 30]),
        2 => builder.icmp(random.u8(..), 0, array(random), &[5; 30]),
        _ => builder.fragment(17, random.u32(..4) * 8, true, &[5; 32]),
    }
}

fn builder_of_any_kind(random: &mut fastrand::Rng) -> Builder {
    if random.bool() {
        let builder = Builder::v4(array(random), array(random));
        if random.usize(..4) == 0 { builder.options(&vec![1; random.usize(..41)]) } else { builder }
    } else {
        let mut builder = Builder::v6(array(random), array(random));
        for _ in 0..[0, 0, 0, 1, 2, 3, 5, 6][random.usize(..8)] {
            let number = [0, 43, 44, 51, 60, 60, 135, 139, 140][random.usize(..9)];
            // Two words of zeros: padding, an atomic fragment, no segments left.
            // A fragment header's length is fixed: what is longer would be headers of their own, more than the
            // program looks at.
            let words = if number == 44 { 0 } else { random.usize(..3) };
            builder = builder.extension(number, &vec![0; 6 + 8 * words]);
        }
        builder
    }
}

/// Overwrites, cuts or prolongs, as wires and attackers do. A frame keeps its Ethernet header.
fn damage(frame: &mut Vec<u8>, random: &mut fastrand::Rng) {
    match random.usize(..4) {
        0 => frame.truncate(14 + random.usize(..frame.len() - 13)),
        1 => frame.extend_from_slice(&[0; 46]),
        _ => {
            for _ in 0..=random.usize(..3) {
                let place = 12 + random.usize(..frame.len().min(100) - 12);
                frame[place] = random.u8(..);
            }
        }
    }
}

/// Older verifiers follow more paths than this machine's.
#[test]
fn the_verifier_takes_the_program_with_patience_to_spare() {
    if !is_root("the_verifier_takes_the_program") {
        return;
    }
    for (workers, trial) in trials() {
        let Some(count) = trial.verified_instructions().unwrap() else { continue };
        println!("{workers} workers: {count} instructions verified");
        assert!(count < 100_000, "{count} instructions looked at");
    }
}

/// Not an assertion of speed, which depends on the machine: it shows the figures, and that there are some.
#[test]
fn the_cost_of_a_packet_can_be_measured() {
    if !is_root("the_cost_of_a_packet_can_be_measured") {
        return;
    }
    let cost = |trial: &Trial, frame: &[u8]| {
        let rounds = (0..5).map(|_| trial.cost(frame, 200_000).unwrap());
        rounds.min().unwrap().as_nanos()
    };
    let steering = Steering { zone: ZONE, workers: 4, queues: 4 };
    let unsteered = Trial::load(Steering { workers: 1, ..steering }).unwrap();
    let steered = Trial::load(steering).unwrap();
    for (version, there, back) in paths() {
        let segment = there.tcp(&Tcp::new(1, 2), b"");
        let error = back.icmp(if version == "IPv4" { 3 } else { 1 }, 0, [0; 4], packet_of(&segment));
        println!(
            "{version}: {} ns; behind a tag {} ns; an ICMP error {} ns; with one worker {} ns",
            cost(&steered, &segment),
            cost(&steered, &there.clone().vlan(1).tcp(&Tcp::new(1, 2), b"")),
            cost(&steered, &error),
            cost(&unsteered, &segment),
        );
        assert!(cost(&steered, &segment) > 0);
    }
}
