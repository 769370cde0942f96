//! The whole engine on segments of established connections, as `lastack bench --workload established`.
//!
//! `cargo bench --bench established`; the reference is a bare loop in C that does the least any tracker must.

#![allow(missing_docs, reason = "criterion's macros make the public items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lastack::bench::{Rig, Workload};
use lastack::config::Config;
use lastack::shard::BURST;

fn established(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("established");
    group.throughput(Throughput::Elements(BURST as u64));
    for flows in [10_000, 1_000_000] {
        let mut rig = Rig::new(Workload::Established, flows, &Config::default())
            .expect("the workload fits the default policy");
        let now = rig.now();
        group.bench_function(format!("{flows} connections, a burst of {BURST}"), |bencher| {
            bencher.iter(|| rig.burst(now).expect("every packet belongs to a connection"));
        });
    }
    group.finish();
}

criterion_group!(benches, established);
criterion_main!(benches);
