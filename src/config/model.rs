//! What a configuration is once it has been read: typed, complete, every default filled in.
//!
//! What a number means to the engine is said where the engine reads it ([`tcp::Policy`], [`flow::Policy`],
//! [`Checks`]); how a key is written, bounded and explained is said once, in [`super::schema`].

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::wire::Checks;
use crate::{flow, fragments, tcp};

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[table]`: how many connections there is room for, in the whole process.
    pub capacity: Capacity,
    /// `[workers]`: which threads do the work.
    pub workers: Workers,
    /// `[[port]]`: the interfaces, in the order of the file.
    pub ports: Vec<Port>,
    /// `[[bridge]]`: what is joined, in the order of the file.
    pub bridges: Vec<Bridge>,
    /// `[tcp]`, but for its checksum.
    pub tcp: tcp::Policy,
    /// `[udp]`, `[icmp]` and `[other]`, but for their checksums.
    pub flow: flow::Policy,
    /// Every `check_checksum`.
    pub checks: Checks,
    /// `[fragments]`: what is held until a datagram is complete.
    pub fragments: fragments::Policy,
    /// `[control] socket`: where the operator's commands arrive.
    pub control_socket: PathBuf,
    /// `[metrics] listen`: where metrics are served; `None` is nowhere.
    pub metrics: Option<SocketAddr>,
    /// `[top]`: what `lastack top` warns of.
    pub top: Top,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            capacity: Capacity::Connections(1_000_000),
            workers: Workers { cpus: None, wait: Wait::Adaptive, steering: Steering::Auto },
            ports: Vec::new(),
            bridges: Vec::new(),
            tcp: tcp::Policy::DEFAULT,
            flow: flow::Policy::DEFAULT,
            checks: Checks::ALL,
            fragments: fragments::Policy::default(),
            control_socket: PathBuf::from("/run/lastack/control.sock"),
            metrics: None,
            top: Top::default(),
        }
    }
}

impl fmt::Display for Config {
    /// The configuration as TOML that reads as itself, each key with its comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::print::effective(self))
    }
}

/// How large the table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// This many connections.
    Connections(u32),
    /// As many connections as fit into this many bytes.
    Memory(u64),
}

/// The threads that do the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// One worker and one shard for each of these cores; `None` is one worker on any core.
    pub cpus: Option<Vec<u32>>,
    /// What a worker does when there is nothing to do.
    pub wait: Wait,
    /// How both directions of a connection reach the same worker.
    pub steering: Steering,
}

/// What a worker does when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It sleeps until packets come.
    Adaptive,
    /// It asks again at once, for the least latency.
    Busy,
}

/// How both directions of a connection reach the same worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// [`Steering::Hash`] with several workers; one worker needs no steering.
    Auto,
    /// The interface chooses the queue, and each queue has its worker. What belongs to another worker's shard is
    /// handed over: with N workers and an interface that does not know, (N - 1) / N of the packets.
    Rss,
    /// The XDP program chooses the worker by [`crate::shard::steering_hash`], whichever the queue.
    Hash,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The name by which bridges know it.
    pub name: String,
    /// The operating system's name of the interface.
    pub interface: String,
    /// Which of its receive queues are used.
    pub queues: Queues,
    /// How packets leave the interface's driver.
    pub xdp: Xdp,
}

impl Port {
    /// A port before its section has been read.
    pub(super) fn unnamed() -> Port {
        Port { name: String::new(), interface: String::new(), queues: Queues::All, xdp: Xdp::Auto }
    }
}

/// Which receive queues of an interface are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queues {
    /// Every one.
    All,
    /// These.
    Some(Vec<u32>),
}

/// How packets leave the interface's driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Xdp {
    /// The fastest of the others that the driver can.
    Auto,
    /// The driver writes into the engine's own memory.
    ZeroCopy,
    /// The driver runs the XDP program and copies.
    Native,
    /// The kernel's network stack does, for any driver.
    Generic,
}

/// Two ports that are joined, and what may pass between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The names of the two ports.
    pub ports: [String; 2],
    /// The names of those where connections may begin; never empty.
    pub new_from: Vec<String>,
    /// What becomes of multicast, broadcast and DHCP.
    pub multicast: Multicast,
    /// What becomes of what is invalid by itself.
    pub on_invalid: OnInvalid,
}

impl Bridge {
    /// A bridge before its section has been read; an empty `new_from` then stands for both ports.
    pub(super) fn unnamed() -> Bridge {
        Bridge {
            ports: [String::new(), String::new()],
            new_from: Vec::new(),
            multicast: Multicast::Pass,
            on_invalid: OnInvalid::Drop,
        }
    }
}

/// What becomes of multicast, broadcast and DHCP (UDP 67/68, 546/547).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multicast {
    /// It passes, wherever it begins.
    Pass,
    /// `new_from` binds it like everything else.
    Track,
}

/// What becomes of packets that are invalid by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInvalid {
    /// They are dropped.
    Drop,
    /// They pass; what a policy refused is dropped even so.
    Pass,
}

/// How many connections in a state are a pile-up that `lastack top` warns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Top {
    /// Of TIME_WAIT: many short connections.
    pub time_wait_warn: Limit,
    /// Of CLOSE_WAIT: a program that does not close what its peer has closed.
    pub close_wait_warn: Limit,
    /// Of SYN_RECEIVED: a flood, or a server that answers nobody.
    pub syn_received_warn: Limit,
}

impl Default for Top {
    fn default() -> Top {
        Top {
            // By their share, a web server's peers are nearly all there, and nothing is wrong with that: it is
            // their number that costs. This is a tenth of the default table.
            time_wait_warn: Limit::Count(100_000),
            close_wait_warn: Limit::Percent(20),
            syn_received_warn: Limit::Percent(20),
        }
    }
}

/// How many connections are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This share of the live TCP connections, once [`Limit::FEW`] are in the state: two of three say nothing.
    Percent(u8),
    /// This many; 0 is no limit.
    Count(u32),
}

impl Limit {
    /// So many connections in a state are never a pile-up by their share.
    pub const FEW: u64 = 100;

    /// Whether `number` of `live` connections is that many.
    pub const fn is_reached(self, number: u64, live: u64) -> bool {
        match self {
            Limit::Percent(percent) => {
                number >= Limit::FEW && number.saturating_mul(100) >= live.saturating_mul(percent as u64)
            }
            Limit::Count(0) => false,
            Limit::Count(count) => number >= count as u64,
        }
    }
}
