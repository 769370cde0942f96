//! What needs real interfaces: everything here happens in network namespaces of its own, and needs root.
//!
//! Without root each test says in one line that it was skipped; with it none is.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod attach;
mod behaviours;
mod bridge;
#[path = "../common/mod.rs"]
mod common;
mod demo;
mod endpoints;
mod errors;
mod faults;
mod firewall;
mod lab;
mod links;
mod middlebox;
mod operators;
mod packet_sockets;
mod steering;
mod veth;
mod workers;

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// Whether the process is root.
pub(crate) fn has_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Whether the process is root; where it is not, a line says that the test is skipped.
pub(crate) fn is_root(test: &str) -> bool {
    let is_root = has_root();
    if !is_root {
        let line = format!("skipped: {test} needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN)\n");
        // Not eprintln: the harness hides that where a test passes.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    is_root
}

/// Waits until `condition` holds, which the kernel brings about in its own time, and fails after a minute.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
