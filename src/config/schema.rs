//! Every key of the configuration, described once: name, field, kind, bounds and meaning.
//!
//! ```text
//!                ┌──► reading a file or --set   (super::read)
//!  SECTIONS ─────┼──► `lastack check`           (super::print)
//!                └──► docs/configuration.md     (super::print)
//! ```
//!
//! A new key is one entry here and one field in [`super::model`] or in a policy. Defaults are not repeated:
//! they are what [`Config::default`] holds.

use super::kind::{
    Choice, Connections, Cpus, Duration, Flag, Kind, Label, Listen, Memory, NewFrom, Number, PileUp,
    PortPair, QueueList, Socket, Words, field,
};
use super::model::{Bridge, Config, Multicast, OnInvalid, Port, Steering, Wait, Xdp};
use crate::tcp::{InexactRst, TimeWaitOverflow, TimeWaitReuse};
use crate::time::{MAX_TIMEOUT, Span};

/// A section and its keys.
pub(super) struct Section {
    /// The name between the brackets.
    pub(super) name: &'static str,
    /// What it is about, in one sentence.
    pub(super) doc: &'static str,
    /// Its keys, and how often it may appear.
    pub(super) shape: Shape,
}

/// How often a section may appear, and what its keys describe.
pub(super) enum Shape {
    /// `[name]`, at most once.
    Once(&'static [Key<Config>]),
    /// `[[name]]`, once for each port.
    Ports(&'static [Key<Port>]),
    /// `[[name]]`, once for each bridge.
    Bridges(&'static [Key<Bridge>]),
}

/// A key.
pub(super) struct Key<T: 'static> {
    /// The name left of the equals sign.
    pub(super) name: &'static str,
    /// How its value is read and printed.
    pub(super) kind: &'static dyn Kind<T>,
    /// Whether it may be left out.
    pub(super) presence: Presence,
    /// What it means, in full sentences.
    pub(super) doc: &'static str,
}

/// What it means that a key is absent.
pub(super) enum Presence {
    /// Its default holds.
    Defaulted,
    /// Something that no value of its own says.
    Optional {
        /// What then holds.
        absent: &'static str,
        /// A value, for those who look for one.
        example: &'static str,
    },
    /// It must not be.
    Required {
        /// A value, for the message that says so.
        example: &'static str,
    },
}

use Presence::{Defaulted, Optional, Required};

impl Section {
    /// The header as it is written.
    pub(super) fn header(&self) -> String {
        match self.shape {
            Shape::Once(_) => format!("[{}]", self.name),
            Shape::Ports(_) | Shape::Bridges(_) => format!("[[{}]]", self.name),
        }
    }

    /// The names of its keys.
    pub(super) fn names(&self) -> Vec<&'static str> {
        match self.shape {
            Shape::Once(keys) => keys.iter().map(|key| key.name).collect(),
            Shape::Ports(keys) => keys.iter().map(|key| key.name).collect(),
            Shape::Bridges(keys) => keys.iter().map(|key| key.name).collect(),
        }
    }
}

const INSTANT: Span = Span::from_milliseconds(1);
const LONGEST: Span = Span::from_milliseconds(MAX_TIMEOUT.as_millis() as u32);
/// TIME_WAIT lasts twice this, and the timers' clock must still tell its end from its beginning.
const LONGEST_MSL: Span = Span::from_milliseconds(LONGEST.milliseconds() / 2);

/// The description of a timeout: longer than zero, at most what the timers can tell apart.
macro_rules! timeout {
    ($name:literal, $($path:ident).+, $doc:literal) => {
        Key {
            name: $name,
            kind: &Duration { field: field!(Config, $($path).+), least: INSTANT, most: LONGEST },
            presence: Defaulted,
            doc: $doc,
        }
    };
}

/// The description of a key that is `true` or `false`.
macro_rules! flag {
    ($name:literal, $($path:ident).+, $doc:literal) => {
        Key { name: $name, kind: &Flag(field!(Config, $($path).+)), presence: Defaulted, doc: $doc }
    };
}

/// The description of a key with a few words to choose from.
macro_rules! choice {
    ($name:literal, $owner:ty, $($path:ident).+, $doc:literal) => {
        Key { name: $name, kind: &Choice(field!($owner, $($path).+)), presence: Defaulted, doc: $doc }
    };
}

/// Every section, in the order in which they are printed.
pub(super) static SECTIONS: &[Section] = &[
    Section { name: "table", doc: "How large the connection table is.", shape: Shape::Once(TABLE) },
    Section { name: "workers", doc: "Which threads do the work.", shape: Shape::Once(WORKERS) },
    Section {
        name: "port",
        doc: "An interface; once for each. Only `lastack run` needs any.",
        shape: Shape::Ports(PORT),
    },
    Section {
        name: "bridge",
        doc: "Two ports that are joined, and what may pass; once for each. A replay ignores it.",
        shape: Shape::Bridges(BRIDGE),
    },
    Section { name: "tcp", doc: "What is asked of TCP connections.", shape: Shape::Once(TCP) },
    Section { name: "udp", doc: "What is asked of UDP.", shape: Shape::Once(UDP) },
    Section { name: "icmp", doc: "What is asked of ICMP and ICMPv6.", shape: Shape::Once(ICMP) },
    Section { name: "other", doc: "What is asked of every other IP protocol.", shape: Shape::Once(OTHER) },
    Section { name: "ip", doc: "What is asked of the IP header.", shape: Shape::Once(IP) },
    Section {
        name: "fragments",
        doc: "What is held until a fragmented datagram is complete and can be judged.",
        shape: Shape::Once(FRAGMENTS),
    },
    Section { name: "control", doc: "How an operator reaches `lastack run`.", shape: Shape::Once(CONTROL) },
    Section { name: "metrics", doc: "How a monitoring system does.", shape: Shape::Once(METRICS) },
    Section {
        name: "top",
        doc: "What `lastack top` warns of: so many TCP connections of which either endpoint is in a state.",
        shape: Shape::Once(TOP),
    },
];

const TABLE: &[Key<Config>] = &[
    Key {
        name: "max_connections",
        kind: &Connections,
        presence: Optional { absent: "`memory` says it", example: "1_000_000" },
        doc: "The most connections of the whole process, split over the shards; reserved at the start.",
    },
    Key {
        name: "memory",
        kind: &Memory,
        presence: Optional { absent: "`max_connections` says it", example: "\"2GiB\"" },
        doc: "In place of `max_connections`: as many connections as fit into this much memory.",
    },
];

const WORKERS: &[Key<Config>] = &[
    Key {
        name: "cpus",
        kind: &Cpus,
        presence: Optional { absent: "one worker, on any core", example: "[1, 2]" },
        doc: "One worker and one shard for each of these cores.",
    },
    choice!("wait", Config, workers.wait, "What a worker does when there is nothing to do."),
    choice!(
        "steering",
        Config,
        workers.steering,
        "How both directions of a connection reach the same worker. With \"rss\" and N workers, (N - 1) / N of the \
         packets are handed over: no interface promises to bring both directions to one queue."
    ),
];

const PORT: &[Key<Port>] = &[
    Key {
        name: "name",
        kind: &Label { field: field!(Port, name), most: 64, what: "a name" },
        presence: Required { example: "\"inside\"" },
        doc: "The name by which bridges know the port; no other port has it.",
    },
    Key {
        name: "interface",
        kind: &Label { field: field!(Port, interface), most: 15, what: "the name of an interface" },
        presence: Required { example: "\"eth1\"" },
        doc: "The operating system's name of the interface.",
    },
    Key {
        name: "queues",
        kind: &QueueList,
        presence: Defaulted,
        doc: "Which of the interface's receive queues are used.",
    },
    choice!("xdp", Port, xdp, "How packets leave the interface's driver."),
];

const BRIDGE: &[Key<Bridge>] = &[
    Key {
        name: "ports",
        kind: &PortPair,
        presence: Required { example: "[\"inside\", \"outside\"]" },
        doc: "The two ports that are joined. A port belongs to one bridge.",
    },
    Key {
        name: "new_from",
        kind: &NewFrom,
        presence: Optional { absent: "both ports", example: "[\"inside\"]" },
        doc: "Where connections may begin. What begins elsewhere is dropped, reason `not_allowed`; being picked \
              up in mid-stream counts as beginning.",
    },
    choice!(
        "multicast",
        Bridge,
        multicast,
        "What becomes of multicast, broadcast and DHCP (UDP 67/68 and 546/547)."
    ),
    choice!(
        "on_invalid",
        Bridge,
        on_invalid,
        "What becomes of packets that are invalid by themselves. Where connections may not begin, only those pass \
         that bear a live connection's addresses and ports."
    ),
];

const TCP: &[Key<Config>] = &[
    timeout!(
        "syn_sent",
        tcp.timeouts.syn_sent,
        "How long a SYN that is not answered lasts. Repeating it does not prolong this."
    ),
    timeout!(
        "syn_received",
        tcp.timeouts.syn_received,
        "How long a connection lasts with either endpoint in SYN_RECEIVED."
    ),
    timeout!(
        "established",
        tcp.timeouts.established,
        "How long an open connection lasts in silence; any accepted segment starts it again, keep-alives too. \
         RFC 5382 REQ-5 asks for no less than the default."
    ),
    timeout!(
        "fin_wait_1",
        tcp.timeouts.fin_wait_1,
        "How long a FIN that is not acknowledged lasts. Repetitions (up to `orphan_retries`), new data and new \
         acknowledgements start it again."
    ),
    timeout!(
        "fin_timeout",
        tcp.timeouts.fin_timeout,
        "How long a connection lasts after one side's FIN has been acknowledged, if the other side sends no new \
         data."
    ),
    timeout!(
        "half_closed",
        tcp.timeouts.half_closed,
        "The same once the other side has sent new data since: it was shutdown(), not close(). Only new data \
         starts it again, pure acknowledgements do not."
    ),
    timeout!(
        "closing",
        tcp.timeouts.closing,
        "How long a connection lasts after both FINs have crossed, while one is not acknowledged."
    ),
    Key {
        name: "msl",
        kind: &Duration { field: field!(Config, tcp.timeouts.msl), least: INSTANT, most: LONGEST_MSL },
        presence: Defaulted,
        doc: "The maximum segment lifetime; RFC 9293 section 3.4.2 takes it to be two minutes. TIME_WAIT lasts \
              twice this, from the moment an endpoint enters it.",
    },
    timeout!("closed", tcp.timeouts.closed, "How long a connection is remembered after a valid RST."),
    Key {
        name: "orphan_retries",
        kind: &Number { field: field!(Config, tcp.orphan_retries), least: 0, most: 15 },
        presence: Defaulted,
        doc: "After a FIN has been repeated this often without an answer, the connection goes after twice the \
              last interval seen, if that is sooner.",
    },
    choice!(
        "time_wait_reuse",
        Config,
        tcp.time_wait_reuse,
        "What becomes of a SYN, of either endpoint, in TIME_WAIT; as long as one still waits for the \
         acknowledgement of its FIN, the answer to the SYN decides."
    ),
    flag!(
        "time_wait_assassination",
        tcp.time_wait_assassination,
        "Whether a valid RST ends TIME_WAIT; RFC 1337 says why it should not."
    ),
    flag!(
        "time_wait_restart",
        tcp.time_wait_restart,
        "Whether a repeated FIN starts TIME_WAIT again (RFC 9293 section 3.10.7.4)."
    ),
    Key {
        name: "time_wait_max",
        kind: &Number { field: field!(Config, tcp.time_wait_max), least: 0, most: u32::MAX },
        presence: Defaulted,
        doc: "The most connections in TIME_WAIT, of the whole process; 0 is no limit.",
    },
    choice!(
        "time_wait_overflow",
        Config,
        tcp.time_wait_overflow,
        "What becomes of a closing connection past `time_wait_max`."
    ),
    flag!(
        "time_wait_truncation",
        tcp.time_wait_truncation,
        "Whether a connection that lived for less than `msl` stays in TIME_WAIT for 8 retransmission timeouts in \
         place of 2 MSL (RFC 1644), each estimated from the handshake by RFC 6298 and at least 200ms."
    ),
    Key {
        name: "quiet_time",
        kind: &Duration { field: field!(Config, tcp.quiet_time), least: Span::ZERO, most: LONGEST },
        presence: Defaulted,
        doc: "For how long after a start without restored state (in a replay: after the first packet) no new \
              connection begins (RFC 9293 section 3.4.3). Those under way are picked up, if `loose`.",
    },
    flag!(
        "loose",
        tcp.loose,
        "Whether a connection that is seen first in mid-stream is picked up (never from a SYN-ACK or an RST); if \
         not, it is invalid, reason `no_syn`."
    ),
    flag!("liberal", tcp.liberal, "Whether segments outside of the window pass; an RST never does."),
    choice!(
        "inexact_rst",
        Config,
        tcp.inexact_rst,
        "What becomes of an RST inside the window, but not at the next byte expected (RFC 5961)."
    ),
    flag!(
        "check_window",
        tcp.check_window,
        "Whether sequence and acknowledgement numbers are held against the windows."
    ),
    flag!("check_checksum", checks.tcp, "Whether TCP's checksum is verified."),
];

const UDP: &[Key<Config>] = &[
    timeout!(
        "unreplied",
        flow.udp_unreplied,
        "How long a flow lasts in silence while only one side has spoken."
    ),
    timeout!(
        "replied",
        flow.udp_replied,
        "The same once both have (RFC 4787 REQ-5 asks for two minutes, and recommends five)."
    ),
    flag!("check_checksum", checks.udp, "Whether UDP's checksum is verified."),
];

const ICMP: &[Key<Config>] = &[
    timeout!(
        "timeout",
        flow.icmp,
        "How long a query and its replies last in silence (of a NAT, RFC 5508 REQ-2 asks for a minute)."
    ),
    flag!("check_checksum", checks.icmp, "Whether the checksums of ICMP and ICMPv6 are verified."),
];

const OTHER: &[Key<Config>] = &[timeout!(
    "timeout",
    flow.other,
    "How long a pair of addresses that speaks the protocol lasts in silence."
)];

const IP: &[Key<Config>] =
    &[flag!("check_checksum", checks.ip, "Whether the checksum of the IPv4 header is verified.")];

const FRAGMENTS: &[Key<Config>] = &[
    Key {
        name: "max",
        kind: &Number { field: field!(Config, fragments.max), least: 1, most: 1 << 20 },
        presence: Defaulted,
        doc: "The most that is held at a time; what comes beyond is dropped, reason `fragment_limit`.",
    },
    timeout!(
        "timeout",
        fragments.timeout,
        "How long an incomplete datagram is held; then its pieces are dropped, reason `fragment_incomplete`."
    ),
];

const CONTROL: &[Key<Config>] = &[Key {
    name: "socket",
    kind: &Socket,
    presence: Defaulted,
    doc: "The Unix socket that `lastack list`, `get` and the like talk to.",
}];

const METRICS: &[Key<Config>] = &[Key {
    name: "listen",
    kind: &Listen,
    presence: Optional { absent: "no endpoint", example: "\"127.0.0.1:9464\"" },
    doc: "Where metrics are served over HTTP, to whoever asks: an address that others reach needs a firewall.",
}];

/// The description of a number of connections that is a pile-up.
macro_rules! pile_up {
    ($name:ident, $doc:literal) => {
        Key {
            name: stringify!($name),
            kind: &PileUp(field!(Config, top.$name)),
            presence: Defaulted,
            doc: $doc,
        }
    };
}

const TOP: &[Key<Config>] = &[
    pile_up!(
        time_wait_warn,
        "Connections in TIME_WAIT: many short ones. They cost memory for 2 `tcp.msl` each, no more; \
         `tcp.time_wait_max` bounds them."
    ),
    pile_up!(
        close_wait_warn,
        "Connections in CLOSE_WAIT: a program that does not close what its peer has closed."
    ),
    pile_up!(
        syn_received_warn,
        "Connections in SYN_RECEIVED: a SYN flood, or answers that do not reach those who began."
    ),
];

impl Words for Wait {
    const WORDS: &'static [(Wait, &'static str, &'static str)] = &[
        (Wait::Adaptive, "adaptive", "it sleeps until packets come"),
        (Wait::Busy, "busy", "it asks again at once, for the least latency"),
    ];
}

impl Words for Steering {
    const WORDS: &'static [(Steering, &'static str, &'static str)] = &[
        (Steering::Auto, "auto", "hash; one worker needs no steering"),
        (Steering::Rss, "rss", "each queue has its worker, which hands over what belongs to another one"),
        (Steering::Hash, "hash", "the XDP program chooses the worker by a symmetric hash"),
    ];
}

impl Words for Xdp {
    const WORDS: &'static [(Xdp, &'static str, &'static str)] = &[
        (Xdp::Auto, "auto", "the fastest of the others that the driver can"),
        (Xdp::ZeroCopy, "zero-copy", "the driver writes into the engine's memory"),
        (Xdp::Native, "native", "the driver runs the XDP program and copies"),
        (Xdp::Generic, "generic", "the kernel's network stack does, for any driver"),
    ];
}

impl Words for Multicast {
    const WORDS: &'static [(Multicast, &'static str, &'static str)] = &[
        (Multicast::Pass, "pass", "`new_from` does not bind them"),
        (Multicast::Track, "track", "they are tracked and bound by `new_from` like everything else"),
    ];
}

impl Words for OnInvalid {
    const WORDS: &'static [(OnInvalid, &'static str, &'static str)] = &[
        (OnInvalid::Drop, "drop", "they are dropped"),
        (OnInvalid::Pass, "pass", "they pass, but never what a policy refused"),
    ];
}

impl Words for TimeWaitReuse {
    const WORDS: &'static [(TimeWaitReuse, &'static str, &'static str)] = &[
        (TimeWaitReuse::Off, "off", "it is refused"),
        (
            TimeWaitReuse::Rfc1122,
            "rfc1122",
            "a new incarnation where its sequence number is above the next one expected, refused elsewhere",
        ),
        (
            TimeWaitReuse::Rfc6191,
            "rfc6191",
            "timestamps decide where both incarnations have them, sequence numbers elsewhere",
        ),
        (TimeWaitReuse::Always, "always", "always a new incarnation"),
    ];
}

impl Words for TimeWaitOverflow {
    const WORDS: &'static [(TimeWaitOverflow, &'static str, &'static str)] = &[
        (TimeWaitOverflow::EvictOldest, "evict_oldest", "the one longest in TIME_WAIT makes room"),
        (TimeWaitOverflow::Skip, "skip", "it ends as soon as its last ACK has been let through"),
    ];
}

impl Words for InexactRst {
    const WORDS: &'static [(InexactRst, &'static str, &'static str)] = &[
        (
            InexactRst::Pass,
            "pass",
            "it goes through and changes nothing, so that the endpoint can challenge it",
        ),
        (InexactRst::Drop, "drop", "it is invalid"),
    ];
}
