//! What `run` will open, worked out from the configuration and from what the interfaces are: pure, so that it
//! can be looked at without a network.
//!
//! ```text
//!   rss    port A: queue 0, queue 1     worker 0: A.0 B.0      one socket on each queue, nothing shared
//!          port B: queue 0, queue 1     worker 1: A.1 B.1
//!
//!   hash   port A: queue 0              worker 0: A.0 B.0      every worker on every queue: the XDP program
//!          port B: queue 0              worker 1: A.0 B.0      chooses; fill and completion ring are shared
//! ```
//!
//! A worker that has no queue at a port by which it could send (`rss` with more workers than queues, or an
//! interface with fewer transmit than receive queues) has one more socket there, for that alone.

use std::collections::BTreeSet;

use crate::config::{self, Config, Multicast, OnInvalid, Xdp};
use crate::shard::Admission;

/// Frames in each of a queue's rings, and the most that one socket receives or sends at a time.
pub(super) const RING: u32 = 2048;
/// Frames that a worker keeps in hand beside what the rings hold.
const RESERVE: u32 = 1024;
/// What the kernel leaves free in front of a packet (`XDP_PACKET_HEADROOM`).
const HEADROOM: u32 = 256;
/// What a frame has beside its MTU: Ethernet header and two VLAN tags.
const LINK_HEADERS: u32 = 14 + 8;
/// The most frames that one packet can lie in (the kernel's `MAX_SKB_FRAGS`, and the first).
pub(super) const MAX_PARTS: usize = 18;

/// How connections find their worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steering {
    /// By the queue that the interface chose.
    Rss,
    /// By the XDP program's hash.
    Hash,
}

/// An interface, as far as the plan depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// The number of its receive queues.
    pub(super) queues: u32,
    /// The number of its transmit queues: a socket on a queue from there on receives, and sends nothing.
    pub(super) transmit_queues: u32,
    /// Its MTU in bytes.
    pub(super) mtu: u32,
}

/// All of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The core of each worker; none where the scheduler chooses.
    pub(super) workers: Vec<Option<u32>>,
    /// How packets find them.
    pub(super) steering: Steering,
    /// The ports, in the order of the configuration.
    pub(super) ports: Vec<PortPlan>,
    /// The sockets, by worker, then by port, then by queue.
    pub(super) sockets: Vec<Vec<SocketPlan>>,
    /// How long a frame is, in bytes.
    pub(super) frame_size: u32,
    /// How many frames there are.
    pub(super) frames: u32,
    /// The longest packet that can be put together from several frames, in bytes; 0 where none has to be.
    pub(super) longest: usize,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortPlan {
    /// The queues that are used, ascending.
    pub(super) queues: Vec<u32>,
    /// How many queues can send, from 0 on; at least one.
    pub(super) transmit_queues: u32,
    /// How packets leave the driver.
    pub(super) xdp: Xdp,
    /// The longest frame that can leave here, in bytes.
    pub(super) longest_frame: usize,
    /// The bridge, by number: the zone of its connections.
    pub(super) zone: u16,
    /// The port at the other end of the bridge.
    pub(super) opposite: usize,
    /// What may come in.
    pub(super) admission: Admission,
}

/// One socket of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SocketPlan {
    /// The port.
    pub(super) port: usize,
    /// The queue.
    pub(super) queue: u32,
    /// Whether packets are to arrive at it.
    pub(super) receives: bool,
    /// Whether packets can leave by it.
    pub(super) sends: bool,
    /// Whether other workers have sockets on the same queue.
    pub(super) is_shared: bool,
}

impl SocketPlan {
    /// The port and the queue.
    pub(super) fn place(&self) -> (usize, u32) {
        (self.port, self.queue)
    }
}

/// Why there can be no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// No `[[bridge]]`.
    NoBridge,
    /// A port that belongs to no bridge, by name.
    Unbridged(String),
    /// A port with a queue that its interface does not have.
    NoQueue {
        /// The port's name.
        port: String,
        /// The queue.
        queue: u32,
        /// How many there are.
        queues: u32,
    },
    /// More workers than a limit can be split into.
    TooManyWorkers {
        /// How many there are.
        workers: u32,
        /// The most there can be.
        most: u32,
    },
}

impl Plan {
    /// The plan for `config`, whose ports have these `facts`.
    pub(super) fn new(config: &Config, facts: &[Facts]) -> Result<Plan, Problem> {
        let workers: Vec<Option<u32>> = match &config.workers.cpus {
            Some(cpus) => cpus.iter().copied().map(Some).collect(),
            None => vec![None],
        };
        let most = config.most_shards();
        if workers.len() > most as usize {
            return Err(Problem::TooManyWorkers { workers: workers.len() as u32, most });
        }
        if config.bridges.is_empty() {
            return Err(Problem::NoBridge);
        }
        let ports = ports(config, facts)?;
        let steering = steering(config.workers.steering, workers.len());
        let sockets = sockets(&ports, workers.len(), steering);
        let largest = facts.iter().map(|facts| facts.mtu).max().unwrap_or(1500) + LINK_HEADERS;
        let frame_size = if largest + HEADROOM <= 2048 { 2048 } else { 4096 };
        let parts = largest.div_ceil(frame_size - HEADROOM);
        let places: BTreeSet<(usize, u32)> = sockets.iter().flatten().map(SocketPlan::place).collect();
        let queues = places.len() as u32;
        let in_rings = queues.saturating_mul(2 * RING);
        let in_hand = (workers.len() as u32).saturating_mul(RESERVE);
        let waiting = config.fragments.max.saturating_mul(parts);
        Ok(Plan {
            steering,
            ports,
            sockets,
            frame_size,
            frames: in_rings.saturating_add(in_hand).saturating_add(waiting),
            longest: if parts > 1 { (frame_size as usize) * MAX_PARTS } else { 0 },
            workers,
        })
    }

    /// How many sockets the XDP program chooses from at each queue.
    pub(super) fn sockets_per_queue(&self) -> u32 {
        match self.steering {
            Steering::Rss => 1,
            Steering::Hash => self.workers.len() as u32,
        }
    }
}

/// One worker takes whatever comes; several need both directions of a connection at the same one, and no
/// interface promises that by itself.
fn steering(configured: config::Steering, workers: usize) -> Steering {
    match configured {
        config::Steering::Hash if workers > 1 => Steering::Hash,
        config::Steering::Auto if workers > 1 => Steering::Hash,
        config::Steering::Auto | config::Steering::Hash | config::Steering::Rss => Steering::Rss,
    }
}

fn ports(config: &Config, facts: &[Facts]) -> Result<Vec<PortPlan>, Problem> {
    let number = |name: &String| config.ports.iter().position(|port| port.name == *name);
    config
        .ports
        .iter()
        .zip(facts)
        .map(|(port, facts)| {
            let place = config.bridges.iter().zip(0..).find_map(|(bridge, zone)| {
                let side = bridge.ports.iter().position(|name| *name == port.name)?;
                Some((bridge, zone, number(&bridge.ports[1 - side])?))
            });
            let Some((bridge, zone, opposite)) = place else {
                return Err(Problem::Unbridged(port.name.clone()));
            };
            Ok(PortPlan {
                queues: queues(port, facts.queues)?,
                transmit_queues: facts.transmit_queues.max(1),
                xdp: port.xdp,
                longest_frame: (facts.mtu + LINK_HEADERS) as usize,
                zone,
                opposite,
                admission: Admission {
                    may_begin: bridge.new_from.contains(&port.name),
                    may_begin_opposite: bridge.new_from.contains(&config.ports[opposite].name),
                    multicast_passes: bridge.multicast == Multicast::Pass,
                    invalid_passes: bridge.on_invalid == OnInvalid::Pass,
                    side: u8::from(bridge.ports[1] == port.name),
                },
            })
        })
        .collect()
}

fn queues(port: &config::Port, available: u32) -> Result<Vec<u32>, Problem> {
    match &port.queues {
        config::Queues::All => Ok((0..available).collect()),
        config::Queues::Some(chosen) => {
            if let Some(&queue) = chosen.iter().find(|&&queue| queue >= available) {
                return Err(Problem::NoQueue { port: port.name.clone(), queue, queues: available });
            }
            let mut chosen = chosen.clone();
            chosen.sort_unstable();
            Ok(chosen)
        }
    }
}

/// The sockets of each worker. Each has one at every port by which it can send.
fn sockets(ports: &[PortPlan], workers: usize, steering: Steering) -> Vec<Vec<SocketPlan>> {
    let mut sockets: Vec<Vec<SocketPlan>> =
        (0..workers).map(|worker| of_worker(ports, worker, workers, steering)).collect();
    // Two sockets on one queue, of whichever workers, share its rings.
    let all: Vec<(usize, u32)> = sockets.iter().flatten().map(SocketPlan::place).collect();
    for socket in sockets.iter_mut().flatten() {
        let place = socket.place();
        socket.is_shared = all.iter().filter(|other| **other == place).count() > 1;
    }
    sockets
}

fn of_worker(ports: &[PortPlan], worker: usize, workers: usize, steering: Steering) -> Vec<SocketPlan> {
    let mut mine = Vec::new();
    for (port, plan) in ports.iter().enumerate() {
        let socket = |queue: u32, receives: bool| SocketPlan {
            port,
            queue,
            receives,
            sends: queue < plan.transmit_queues,
            is_shared: false,
        };
        let own: Vec<u32> = match steering {
            Steering::Hash => plan.queues.clone(),
            Steering::Rss => plan.queues.iter().copied().skip(worker).step_by(workers).collect(),
        };
        let can_send = own.iter().any(|&queue| queue < plan.transmit_queues);
        mine.extend(own.into_iter().map(|queue| socket(queue, true)));
        if !can_send {
            mine.push(socket(worker as u32 % plan.transmit_queues, false));
        }
    }
    mine
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str =
        "[[port]]\nname = \"a\"\ninterface = \"x\"\n[[port]]\nname = \"b\"\ninterface = \"y\"\n";
    const BRIDGE: &str = "[[bridge]]\nports = [\"a\", \"b\"]\nnew_from = [\"a\"]\n";
    const SMALL: Facts = Facts { queues: 2, transmit_queues: 2, mtu: 1500 };

    fn config(text: &str) -> Config {
        config::parse("test", text, &[]).unwrap()
    }

    fn plan(head: &str, facts: [Facts; 2]) -> Plan {
        Plan::new(&config(&format!("{head}{TWO}{BRIDGE}")), &facts).unwrap()
    }

    fn places(sockets: &[SocketPlan]) -> Vec<(usize, u32)> {
        sockets.iter().map(|socket| (socket.port, socket.queue)).collect()
    }

    #[test]
    fn one_worker_serves_every_queue_alone() {
        let plan = plan("", [SMALL, Facts { queues: 3, transmit_queues: 3, ..SMALL }]);
        assert_eq!((plan.steering, plan.sockets_per_queue()), (Steering::Rss, 1));
        assert_eq!(places(&plan.sockets[0]), [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]);
        assert!(plan.sockets[0].iter().all(|socket| socket.receives && !socket.is_shared));
    }

    #[test]
    fn with_rss_each_queue_has_its_worker() {
        let plan = plan("[workers]\ncpus = [0, 1]\nsteering = \"rss\"\n", [SMALL; 2]);
        assert_eq!(plan.workers, [Some(0), Some(1)]);
        assert_eq!(places(&plan.sockets[0]), [(0, 0), (1, 0)]);
        assert_eq!(places(&plan.sockets[1]), [(0, 1), (1, 1)]);
        assert!(plan.sockets.iter().flatten().all(|socket| socket.receives && !socket.is_shared));
    }

    #[test]
    fn a_worker_without_a_queue_of_its_own_can_still_send() {
        let one = Facts { queues: 1, transmit_queues: 1, ..SMALL };
        let plan = plan("[workers]\ncpus = [0, 1]\nsteering = \"rss\"\n", [SMALL, one]);
        let second = &plan.sockets[1];
        assert_eq!(places(second), [(0, 1), (1, 0)]);
        assert_eq!((second[0].receives, second[1].receives), (true, false));
        assert_eq!((second[0].is_shared, second[1].is_shared), (false, true));
        assert!(plan.sockets[0][1].is_shared, "of the same queue");
    }

    #[test]
    fn a_queue_that_cannot_send_only_receives() {
        let narrow = Facts { transmit_queues: 1, ..SMALL };
        let plan = plan("[workers]\ncpus = [0, 1]\nsteering = \"rss\"\n", [SMALL, narrow]);
        let second = &plan.sockets[1];
        assert_eq!(places(second), [(0, 1), (1, 1), (1, 0)]);
        let uses: Vec<_> = second.iter().map(|socket| (socket.receives, socket.sends)).collect();
        assert_eq!(uses, [(true, true), (true, false), (false, true)]);
        assert!(second[2].is_shared && plan.sockets[0][1].is_shared && !second[1].is_shared);
    }

    #[test]
    fn with_several_workers_auto_steers_by_hash() {
        let plan = plan("[workers]\ncpus = [0, 1]\n", [SMALL; 2]);
        assert_eq!((plan.steering, plan.sockets_per_queue()), (Steering::Hash, 2));
        for sockets in &plan.sockets {
            assert_eq!(places(sockets), [(0, 0), (0, 1), (1, 0), (1, 1)]);
            assert!(sockets.iter().all(|socket| socket.receives && socket.is_shared));
        }
    }

    #[test]
    fn a_port_knows_its_bridge_its_opposite_and_what_may_come_in() {
        let plan = plan("", [SMALL; 2]);
        let [a, b] = &plan.ports[..] else { panic!("two ports") };
        assert_eq!((a.opposite, b.opposite, a.zone, b.zone), (1, 0, 0, 0));
        assert!(a.admission.may_begin && !a.admission.may_begin_opposite);
        assert!(!b.admission.may_begin && b.admission.may_begin_opposite);
        assert!(b.admission.multicast_passes && !b.admission.invalid_passes);
        assert_eq!((a.admission.side, b.admission.side, a.longest_frame), (0, 1, 1522));
    }

    #[test]
    fn frames_fit_the_mtu_and_there_are_enough_for_rings_reserve_and_fragments() {
        let small = plan("", [SMALL; 2]);
        assert_eq!((small.frame_size, small.longest), (2048, 0));
        assert_eq!(small.frames, 4 * 2 * RING + RESERVE + 4096);
        let jumbo = plan("", [SMALL, Facts { mtu: 9000, ..SMALL }]);
        assert_eq!((jumbo.frame_size, jumbo.longest), (4096, 18 * 4096));
        assert_eq!(jumbo.frames, 4 * 2 * RING + RESERVE + 3 * 4096, "a fragment may lie in three");
    }

    #[test]
    fn what_cannot_be_is_said() {
        let plan = |text: &str| Plan::new(&config(text), &[SMALL; 2]).unwrap_err();
        assert_eq!(plan(TWO), Problem::NoBridge);
        let three = format!("{TWO}[[port]]\nname = \"c\"\ninterface = \"z\"\n{BRIDGE}");
        let problem = Plan::new(&config(&three), &[SMALL; 3]).unwrap_err();
        assert_eq!(problem, Problem::Unbridged("c".to_owned()));
        let queue = format!("{}{BRIDGE}", TWO.replacen("\"x\"", "\"x\"\nqueues = [5]", 1));
        assert_eq!(plan(&queue), Problem::NoQueue { port: "a".to_owned(), queue: 5, queues: 2 });
        let crowded = format!("[table]\nmax_connections = 1\n[workers]\ncpus = [0, 1]\n{TWO}{BRIDGE}");
        assert_eq!(plan(&crowded), Problem::TooManyWorkers { workers: 2, most: 1 });
    }
}
