//! What needs a kernel and privilege: the XDP program, interfaces, and what runs on them.
//!
//! Each test says in one visible line that it is skipped where it is not run as root, and is never skipped for
//! another reason. Interfaces live in network namespaces without a name, kept by a thread or a file
//! descriptor, so that everything vanishes with the process, however it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails, and says where")]

mod attach;
mod links;
mod steering;
mod veth;

/// Whether the test called `name` can run; if not, says that it is skipped.
fn is_root(name: &str) -> bool {
    let missing = lastack::link::missing_capabilities();
    if !missing.is_empty() {
        eprintln!("skipped: {name} needs root ({})", missing.join(", "));
    }
    missing.is_empty()
}
