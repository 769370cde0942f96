//! After its start a shard allocates nothing: every allocation of this program is counted, and there are none while
//! packets go through.
//!
//! ```text
//!   open the connections │ count ─► bursts of the workload … ─► count: the same
//!      may allocate      │          plain segments, handshakes, data, FINs, expiry, refusals
//! ```
//!
//! A program of its own with a single test, since another thread's allocations would count as well.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait; it only counts and passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lastack::bench::{Rig, Workload};
use lastack::config::Config;
use lastack::shard::{BURST, End};
use lastack::time::Time;

/// The system's allocator, and how often it was asked for memory.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps to what `GlobalAlloc::alloc` asks of it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps to what `GlobalAlloc::alloc_zeroed` asks of it.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the block came from `System`, by one of these functions.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System`, by one of these functions.
        unsafe { System.dealloc(block, layout) }
    }
}

const FLOWS: u32 = 5000;
const PACKETS: usize = 100_000;

/// Takes 100,000 packets, `stride` nanoseconds between two bursts, through the shard; returns how often memory was
/// asked for meanwhile.
fn allocations_of(rig: &mut Rig, stride: u64) -> u64 {
    let start = rig.now().nanoseconds();
    let before = ALLOCATIONS.load(Relaxed);
    for burst in 0..(PACKETS / BURST) as u64 {
        rig.burst(Time::from_nanoseconds(start + burst * stride)).unwrap();
    }
    rig.settle().unwrap();
    ALLOCATIONS.load(Relaxed) - before
}

fn ended(rig: &Rig, end: End) -> u64 {
    rig.counters().ended[end as usize]
}

#[test]
fn nothing_is_allocated_once_a_shard_has_started() {
    let held = Box::new(ALLOCATIONS.load(Relaxed));
    assert!(ALLOCATIONS.load(Relaxed) > *held, "the allocator counts");

    for workload in [Workload::Established, Workload::Established6, Workload::Lifecycle, Workload::SynFlood] {
        let mut rig = Rig::new(workload, FLOWS, &Config::default()).unwrap();
        let (accepted, dropped) = (rig.counters().accepted, rig.counters().dropped);
        assert_eq!(allocations_of(&mut rig, 10_000), 0, "{workload}");
        let counters = rig.counters();
        assert_eq!(counters.accepted - accepted + counters.dropped - dropped, PACKETS as u64);
        match workload {
            Workload::Lifecycle => assert!(ended(&rig, End::Closed) > 10_000),
            Workload::SynFlood => assert!(counters.dropped > 80_000),
            Workload::Established | Workload::Established6 | Workload::Expiry => {}
        }
    }

    let mut rig = Rig::new(Workload::Expiry, FLOWS, &Config::default()).unwrap();
    rig.prepare().unwrap();
    assert!(rig.come_due().unwrap());
    assert_eq!(allocations_of(&mut rig, 1_000_000), 0, "expiry");
    assert_eq!(ended(&rig, End::Closed), u64::from(FLOWS));
}
