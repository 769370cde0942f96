//! The engine in the middle of a lab, on packet sockets: slow, simple, and without any of AF_XDP.
//!
//! ```text
//!  la-in ── AF_PACKET ─► frame ─► Shard::process ─► accepted? ─► AF_PACKET ── la-out     and back
//! ```

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use lastack::config;
use lastack::demo::{Tracked, Tracker};
use lastack::fragments::Token;
use lastack::lab::{INSIDE_INTERFACE, Namespace, OUTSIDE_INTERFACE};
use lastack::shard::{Action, Admission, Arrival, Datagram, Observer, Settings, Shard, Verdict};
use lastack::table::HashKeys;
use lastack::time::SystemClock;
use lastack::wire::{Frame, Link};
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType};

/// The packet type of what the interface sends, its own frames included.
const OUTGOING: u8 = 4;

/// A middlebox that runs until it is dropped.
pub(crate) struct PacketSockets {
    shard: Arc<Mutex<Shard>>,
    is_over: Arc<AtomicBool>,
    /// Frames dropped, whatever the reason.
    dropped: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// One interface's socket.
struct Port {
    socket: OwnedFd,
    address: LinkAddr,
}

struct Numbers(u64);

impl Observer for Numbers {
    fn next_id(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn released(&mut self, _token: Token, _verdict: &Verdict) {}

    fn hand_over(&mut self, _shard: u32, _datagram: Datagram) {}
}

impl PacketSockets {
    pub(crate) fn start(middle: &Namespace) -> PacketSockets {
        let config = config::load(None, &[]).unwrap();
        let settings = Settings {
            checks: config.checks,
            tcp: config.tcp,
            flow: config.flow,
            fragments: config.fragments,
            sides: 1,
            shards: 1,
            number: 0,
        };
        let clock = SystemClock::new();
        let layout = Shard::layout_for_connections(1_000).unwrap();
        let shard = Shard::new(layout, HashKeys([1, 2, 3, 4]), settings, clock.now().tick()).unwrap();
        let shard = Arc::new(Mutex::new(shard));
        let is_over = Arc::new(AtomicBool::new(false));
        let dropped = Arc::new(AtomicU64::new(0));
        let ports = middle.run(|| [INSIDE_INTERFACE, OUTSIDE_INTERFACE].map(Port::open)).unwrap();
        let (inner, end, drops) = (shard.clone(), is_over.clone(), dropped.clone());
        let thread = middle
            .spawn("packet sockets", move || {
                let mut numbers = Numbers(0);
                while !end.load(Ordering::Relaxed) {
                    forward(&ports, &mut inner.lock().unwrap(), &clock, &mut numbers, &drops);
                    wait(&ports);
                }
            })
            .unwrap();
        PacketSockets { shard, is_over, dropped, thread: Some(thread) }
    }

    /// How many frames were not let through.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for PacketSockets {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the packet sockets' thread has panicked");
    }
}

impl Tracker for PacketSockets {
    fn connections(&mut self) -> std::io::Result<Vec<Tracked>> {
        let shard = self.shard.lock().unwrap();
        let records = shard.table().scan().map(|index| shard.record(index));
        let tracked = records.filter_map(|record| {
            let end = |(address, port)| SocketAddr::new(address, port);
            let states = record.states?;
            let (originator, responder) = (end(record.originator), end(record.responder));
            Some(Tracked { id: record.id, originator, responder, states })
        });
        Ok(tracked.collect())
    }
}

impl Port {
    fn open(name: &str) -> Port {
        let mut addresses = getifaddrs().unwrap().filter(|entry| entry.interface_name == name);
        let address = addresses.find_map(|entry| entry.address?.as_link_addr().copied()).unwrap();
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket =
            socket::socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
        socket::bind(socket.as_raw_fd(), &address).unwrap();
        Port { socket, address }
    }
}

/// Carries whatever has come.
fn forward(
    ports: &[Port; 2],
    shard: &mut Shard,
    clock: &SystemClock,
    numbers: &mut Numbers,
    drops: &AtomicU64,
) {
    let mut buffer = [0; 2048];
    for (from, to) in [(&ports[0], &ports[1]), (&ports[1], &ports[0])] {
        while let Ok((length, sender)) = socket::recvfrom::<LinkAddr>(from.socket.as_raw_fd(), &mut buffer) {
            if sender.is_none_or(|sender| sender.pkttype() == OUTGOING) {
                continue;
            }
            let bytes = &buffer[..length];
            let at = clock.now();
            while !shard.poll(at.tick(), 64, numbers) {}
            let arrival = Arrival {
                frame: Frame::whole(bytes, Link::Ethernet),
                zone: 0,
                admission: Admission::ANY,
                at,
                token: Token(0),
            };
            let mut verdicts = [Verdict::HELD];
            shard.process(&[arrival], at.tick(), &mut verdicts, numbers);
            if verdicts[0].action == Action::Accept {
                socket::sendto(to.socket.as_raw_fd(), bytes, &to.address, MsgFlags::empty()).unwrap();
            } else {
                drops.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Sleeps until a frame comes, for 20 ms at most.
fn wait(ports: &[Port; 2]) {
    let mut sockets = ports.each_ref().map(|port| PollFd::new(port.socket.as_fd(), PollFlags::POLLIN));
    poll(&mut sockets, PollTimeout::from(20_u8)).unwrap();
}
