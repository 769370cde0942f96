//! A burst is the same on either kind of processor: what is compiled for both says the same.

use super::*;
use crate::processor::Processor;

/// A few connections from few ports, so that segments in order, repeated ones, strays and broken frames meet in a burst.
fn frame(random: &mut fastrand::Rng) -> Vec<u8> {
    let port = random.u16(1..6);
    let (seq, ack) = (random.u32(0..3), random.u32(0..3));
    let flags = [Flags::SYN, Flags::ACK, Flags::ACK, Flags::ACK, SYN_ACK, FIN_ACK][random.usize(0..6)];
    let mut frame = if random.bool() { there(port, flags, seq, ack) } else { back(port, flags, seq, ack) };
    if random.u8(0..8) == 0 {
        let at = random.usize(12..frame.len());
        frame[at] ^= 1 << random.u8(0..8);
    }
    frame
}

#[test]
fn verdicts_and_connections_are_the_same_on_either_kind() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let [mut wide, mut least] = [(); 2].map(|()| Lab::new(8, tcp::Policy::DEFAULT));
        wide.shard.processor = Processor::this();
        least.shard.processor = Processor::LEAST;
        let mut plain = 0;
        for number in 0..20 {
            let burst: Vec<_> = (0..random.usize(1..=BURST)).map(|_| frame(&mut random)).collect();
            let verdicts = wide.send(&burst);
            assert_eq!(verdicts, least.send(&burst), "seed {seed}, burst {number}");
            plain += verdicts.iter().filter(|verdict| verdict.class == Class::Established).count();
        }
        assert_eq!(wide.shard.counters(), least.shard.counters(), "seed {seed}");
        let records = |lab: &Lab| lab.shard.table().scan().map(|at| lab.shard.record(at)).collect::<Vec<_>>();
        assert_eq!(records(&wide), records(&least), "seed {seed}");
        assert!(plain > 20, "seed {seed}: {plain} segments of a connection");
    }
}
