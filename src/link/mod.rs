//! The interfaces of the operating system, as `run` needs them.
//!
//! ```text
//!  find(name) ─────────────► Link: index, MTU, queues, XDP program         netlink, ethtool
//!  Promiscuous::set(index) ► every frame comes in, while the value lives   packet socket
//!  Monitor ────────────────► Change: up, down, deleted                     netlink, mio
//!  offloads(name) ─────────► what the driver joins and checks itself       ethtool
//!  set_features, Connection ► what laboratories make of theirs             ethtool, netlink
//!  missing_capabilities() ─► what the process may not do                   /proc/self
//! ```
//!
//! Everything asks the kernel through sockets, which belong to the network namespace of the thread that opens
//! them; /sys, which may show another namespace's interfaces, is not looked at. Called by the daemon at its
//! start and by laboratories, never from the packet path. Nothing here outlives the process.

mod capabilities;
mod error;
mod ethtool;
mod facts;
mod monitor;
mod netlink;
mod promiscuous;

pub use capabilities::missing_capabilities;
pub use error::Error;
pub use ethtool::{Offloads, offloads};
pub(crate) use ethtool::{features, set_features};
pub use facts::{Link, find, program_on};
pub use monitor::{Change, Monitor};
pub(crate) use netlink::Connection;
pub use promiscuous::Promiscuous;
