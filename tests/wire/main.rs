//! What needs a kernel and privilege: the XDP program, interfaces, and what runs on them.
//!
//! Each test says in one visible line that it is skipped where it is not run as root, and is never skipped for
//! another reason. Interfaces live in network namespaces without a name, kept by a thread or a file
//! descriptor, so that everything vanishes with the process, however it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails, and says where")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

mod attach;
mod links;
mod steering;
mod veth;

/// Whether the test called `name` can run; if not, says so where the test harness does not catch it.
fn is_root(name: &str) -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        let line = format!("skipped: {name} needs root\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    is_root
}
