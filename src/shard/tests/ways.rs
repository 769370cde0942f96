//! Whichever way a frame takes, from the hot path to the long one, its verdict is the same, and so is what comes of it.

use super::*;

/// What the frames of a test have in common.
#[derive(Debug, Clone, Copy)]
struct Scene {
    is_v6: bool,
    tcp: tcp::Policy,
    /// What may come in by the originators' port.
    inside: Admission,
}

/// All combinations of what decides about a connection's beginning.
fn scenes() -> Vec<Scene> {
    let quiet = tcp::Policy { quiet_time: Span::from_milliseconds(20), ..tcp::Policy::DEFAULT };
    let outside = Admission { may_begin: false, side: 1, ..Admission::ANY };
    let lenient = Admission { invalid_passes: true, ..opposite(outside) };
    let mut scenes = Vec::new();
    for is_v6 in [false, true] {
        for tcp in [tcp::Policy::DEFAULT, quiet] {
            for inside in [Admission::ANY, outside, opposite(outside), lenient] {
                scenes.push(Scene { is_v6, tcp, inside });
            }
        }
    }
    scenes
}

/// A segment of one of few connections, whose numbers are often the next ones; with or without a window scale.
fn frame(random: &mut fastrand::Rng, scene: &Scene) -> (Admission, [Vec<u8>; 2]) {
    let is_back = random.bool();
    let port = random.u16(1..5);
    let flags = [Flags::SYN, Flags::SYN, SYN_ACK, SYN_ACK, Flags::ACK, Flags::ACK, FIN_ACK, Flags::RST]
        [random.usize(0..8)];
    let (seq, ack) = (random.u32(0..3), random.u32(0..3));
    let ports = if is_back { (80, port) } else { (port, 80) };
    let options = [&[][..], &[3, 3, 7, 0], &[2, 4, 5, 180, 1, 3, 3, 2]][random.usize(0..3)].to_vec();
    let tcp = Tcp { options, ..segment(ports, flags, seq, ack) };
    let payload = if random.u8(0..4) == 0 { &b"data"[..] } else { &[] };
    let builder = match (scene.is_v6, is_back) {
        (false, false) => Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]),
        (false, true) => Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]),
        (true, false) => Builder::v6([0xfd; 16], [0x20; 16]),
        (true, true) => Builder::v6([0x20; 16], [0xfd; 16]),
    };
    // Rarely from where the others of its direction do not come.
    let admission = if is_back != (random.u8(0..16) == 0) { opposite(scene.inside) } else { scene.inside };
    (admission, [builder.tcp(&tcp, payload), builder.vlan(7).tcp(&tcp, payload)])
}

/// What a shard says about a burst of these frames.
fn send(lab: &mut Lab, frames: &[(Admission, [Vec<u8>; 2])], which: usize) -> Vec<Verdict> {
    let arrivals: Vec<Arrival<'_>> = frames
        .iter()
        .map(|(admission, frames)| Arrival {
            frame: Frame::whole(&frames[which], Link::Ethernet),
            zone: 0,
            admission: *admission,
            at: lab.now,
            token: Token(0),
        })
        .collect();
    let mut verdicts = vec![Verdict::HELD; frames.len()];
    lab.shard.process(&arrivals, lab.now.tick(), &mut verdicts, &mut lab.heard);
    verdicts
}

#[test]
fn a_segment_is_judged_alike_in_a_plain_frame_and_behind_a_vlan_tag() {
    let (mut begun, mut answered) = (0, 0);
    for (number, scene) in scenes().iter().enumerate() {
        for seed in 0..40 {
            let context = format!("scene {number}, seed {seed}");
            let mut random = fastrand::Rng::with_seed(seed);
            let [mut plain, mut tagged] = [(); 2].map(|()| Lab::new(3, scene.tcp));
            for _ in 0..12 {
                let burst: Vec<_> = (0..random.usize(1..=BURST)).map(|_| frame(&mut random, scene)).collect();
                let verdicts = send(&mut plain, &burst, 0);
                assert_eq!(verdicts, send(&mut tagged, &burst, 1), "{context}");
                begun += verdicts.iter().filter(|it| it.class == Class::New).count();
                let later = [1, 5, 15_000, 61_000][random.usize(0..4)];
                plain.wait(later);
                tagged.wait(later);
            }
            assert_eq!(plain.shard.counters(), tagged.shard.counters(), "{context}");
            assert_eq!(plain.shard.census(), tagged.shard.census(), "{context}");
            assert_eq!(plain.heard.changes, tagged.heard.changes, "{context}");
            assert_eq!(plain.heard.ended, tagged.heard.ended, "{context}");
            let records =
                |lab: &Lab| lab.shard.table().scan().map(|at| lab.shard.record(at)).collect::<Vec<_>>();
            assert_eq!(records(&plain), records(&tagged), "{context}");
            let is_answer = |states: &[State; 2]| *states == [State::Established, State::SynReceived];
            answered += plain.heard.changes.iter().filter(|(_, states)| is_answer(states)).count();
        }
    }
    assert!(begun > 1000 && answered > 500, "{begun} begun, {answered} answered");
}

/// A frame of any kind, often of few connections.
fn any_frame(random: &mut fastrand::Rng, scene: &Scene) -> (Admission, Vec<u8>) {
    let (admission, [plain, tagged]) = frame(random, scene);
    let builder = || match scene.is_v6 {
        false => Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]),
        true => Builder::v6([0xfd; 16], [0x20; 16]),
    };
    let ports = Ports { source: random.u16(1..5), destination: 80 };
    let echo = if scene.is_v6 { 128 } else { 8 };
    let bytes = match random.u8(0..12) {
        0 => tagged,
        1 => builder().udp(ports, b"question"),
        2 => builder().vlan(7).udp(ports, b"question"),
        3 => builder().icmp(echo, 0, [0, 1, 0, random.u8(0..3)], b"ping"),
        4 => builder().fragment(protocol::UDP, 0, true, &[0, 9, 0, 80, 0, 24, 0, 0]),
        5 => builder().fragment(protocol::UDP, 1, false, &[0; 16]),
        6 => builder().icmp(if scene.is_v6 { 1 } else { 3 }, 0, [0; 4], &plain[14..]),
        7 => plain[..random.usize(0..plain.len())].to_vec(),
        _ => plain,
    };
    (admission, bytes)
}

/// A burst, and when it came.
type Sent = (Vec<(Admission, Vec<u8>)>, Time);

fn arrivals_of((frames, at): &Sent) -> Vec<Arrival<'_>> {
    let frames = frames.iter().zip(0..);
    let arrivals = frames.map(|((admission, bytes), number)| Arrival {
        frame: Frame::whole(bytes, Link::Ethernet),
        zone: 0,
        admission: *admission,
        at: *at,
        token: Token(at.nanoseconds() + number),
    });
    arrivals.collect()
}

/// What a shard says about bursts that are judged one after the other. What comes due before each of them ends first.
fn one_by_one(lab: &mut Lab, bursts: &[Sent]) -> Vec<Verdict> {
    let mut all = Vec::new();
    for burst in bursts {
        lab.now = burst.1;
        lab.poll();
        let mut verdicts = vec![Verdict::HELD; burst.0.len()];
        lab.shard.process(&arrivals_of(burst), lab.now.tick(), &mut verdicts, &mut lab.heard);
        all.extend(verdicts);
    }
    all
}

/// The same with two bursts under way at once: each is read before the last one is judged, and located before timers end
/// connections.
fn overlapping(lab: &mut Lab, bursts: &[Sent]) -> Vec<Verdict> {
    let mut all = Vec::new();
    // Used again and again, so that each burst finds in its slots what others have left.
    let [mut under_way, mut reading] = [Burst::new(), Burst::new()];
    let nothing = (Vec::new(), Time::default());
    let pairs = std::iter::once(&nothing).chain(bursts).zip(bursts.iter().chain([&nothing]));
    for (last, next) in pairs {
        lab.shard.read(&mut reading, &arrivals_of(next).as_slice());
        let mut verdicts = vec![Verdict::HELD; last.0.len()];
        let arrivals = arrivals_of(last);
        lab.shard.judge(&mut under_way, &arrivals.as_slice(), last.1.tick(), &mut verdicts, &mut lab.heard);
        assert!(under_way.is_empty());
        all.extend(verdicts);
        lab.shard.locate(&mut reading);
        lab.now = lab.now.max(next.1);
        lab.poll();
        std::mem::swap(&mut under_way, &mut reading);
    }
    all
}

#[test]
fn bursts_are_judged_alike_one_by_one_and_with_two_under_way() {
    let (mut begun, mut ended, mut released) = (0, 0, 0);
    for (number, scene) in scenes().iter().enumerate() {
        for seed in 0..40 {
            let context = format!("scene {number}, seed {seed}");
            let mut random = fastrand::Rng::with_seed(seed);
            let mut now = Time::default();
            let mut bursts: Vec<Sent> = Vec::new();
            for _ in 0..12 {
                let frames = (0..random.usize(1..=BURST)).map(|_| any_frame(&mut random, scene)).collect();
                bursts.push((frames, now));
                let later = [0, 1, 5, 15_000, 61_000][random.usize(0..5)];
                now = Time::from_nanoseconds(now.nanoseconds() + later * 1_000_000 + 100);
            }
            let [mut alone, mut both] = [(); 2].map(|()| Lab::new(6, scene.tcp));
            assert_eq!(one_by_one(&mut alone, &bursts), overlapping(&mut both, &bursts), "{context}");
            assert_eq!(alone.shard.counters(), both.shard.counters(), "{context}");
            assert_eq!(alone.shard.census(), both.shard.census(), "{context}");
            assert_eq!(alone.heard.changes, both.heard.changes, "{context}");
            assert_eq!(alone.heard.ended, both.heard.ended, "{context}");
            assert_eq!(alone.heard.released, both.heard.released, "{context}");
            let records =
                |lab: &Lab| lab.shard.table().scan().map(|at| lab.shard.record(at)).collect::<Vec<_>>();
            assert_eq!(records(&alone), records(&both), "{context}");
            begun += alone.heard.ids;
            ended += alone.heard.ended.len();
            released += alone.heard.released.len();
        }
    }
    assert!(
        begun > 1000 && ended > 1000 && released > 1000,
        "{begun} begun, {ended} ended, {released} released"
    );
}
