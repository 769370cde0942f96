//! A cable in the test's hands: every segment passes four points, before and behind the middlebox in each
//! direction, and at each of them a script may lose, hold or repeat it.
//!
//! ```text
//!            FromClient ─►            ─► ToServer
//!  client ═════ near ═════ [ lastack run ] ═════ far ═════ server
//!            ◄─ ToClient              ◄─ FromServer
//! ```
//!
//! `near` and `far` are namespaces of their own, each with two interfaces; one thread carries frames between
//! their packet sockets. Nothing depends on time: a rule names which segments of which connection it is about,
//! and how many of them. What happened at each point is counted for each connection and kept for the day on
//! which a script fails.
//!
//! # Life cycle
//!
//! [`Cable::lay`] makes the laboratory with the cable in it; frames are carried until the value is dropped.
//! Rules last until they are used up or lifted.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use lastack::lab::{
    CLIENT_INTERFACE, INSIDE_INTERFACE, Lab, Mac, Namespace, OUTSIDE_INTERFACE, Prefix, SERVER_INTERFACE,
    VethEnd,
};
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    self, AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, setsockopt, sockopt,
};

use super::segment::{Kind, Segment};

/// The packet type of what the interface sends itself.
const OUTGOING: u8 = 4;
/// Room for what comes while the thread does not run, in bytes.
const BUFFER: usize = 16 << 20;
/// How many lines of a connection's story are kept.
const LINES: usize = 60;
/// The end of the veth pair at the near or far namespace that the endpoint is at, and the middlebox.
const OUTER: &str = "outer";
const INNER: &str = "inner";

/// A point that segments pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    /// The client has sent it, the middlebox has not seen it.
    FromClient,
    /// The middlebox has let it through to the server.
    ToServer,
    /// The server has sent it, the middlebox has not seen it.
    FromServer,
    /// The middlebox has let it through to the client.
    ToClient,
}

/// A connection as the cable knows it: the client's address and port, and the server's.
pub(super) type Flow = (SocketAddr, SocketAddr);

/// How many of a connection's segments came to a point, and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub(super) arrived: u32,
    pub(super) passed: u32,
    pub(super) lost: u32,
    pub(super) held: u32,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lose,
    Hold,
    /// It goes on, whatever the rules behind this one say.
    Pass,
    /// It goes on twice.
    Repeat,
}

struct Rule {
    kind: Kind,
    fate: Fate,
    /// For how many more segments.
    left: u32,
}

/// What the cable knows of a connection at one point.
#[derive(Default)]
struct Place {
    count: Count,
    /// Kinds of segments that have passed.
    passed: Vec<Kind>,
    rules: Vec<Rule>,
    held: VecDeque<(Vec<u8>, Segment)>,
}

#[derive(Default)]
struct Story {
    places: [Place; 4],
    lines: VecDeque<String>,
}

struct Inner {
    stories: BTreeMap<Flow, Story>,
    /// In the order of the points: where what passes them goes on.
    onwards: [OwnedFd; 4],
    start: Instant,
}

/// The cable and what it joins.
pub(super) struct Cable {
    inner: Arc<Mutex<Inner>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Point {
    pub(super) const ALL: [Point; 4] =
        [Point::FromClient, Point::ToServer, Point::FromServer, Point::ToClient];
}

impl Cable {
    /// A laboratory as [`Lab::bridge`] makes it, with the cable between the middle and each end.
    pub(super) fn lay() -> (Lab, Cable) {
        let space = |name| {
            let namespace = Namespace::new(name).unwrap();
            // New interfaces take these over. Nobody says anything by himself.
            namespace.set_sysctl("net/ipv6/conf/default/accept_dad", "0").unwrap();
            namespace.set_sysctl("net/ipv6/conf/default/router_solicitations", "0").unwrap();
            namespace.set_sysctl("net/ipv6/conf/default/addr_gen_mode", "1").unwrap();
            namespace
        };
        let lab = Lab { client: space("client"), middle: space("middle"), server: space("server") };
        let [near, far] = ["near", "far"].map(space);
        for silent in [&lab.middle, &near, &far] {
            silent.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        }
        join(&lab.client, (CLIENT_INTERFACE, Some(Lab::CLIENT_MAC)), &near, OUTER);
        join(&lab.middle, (INSIDE_INTERFACE, None), &near, INNER);
        join(&lab.middle, (OUTSIDE_INTERFACE, None), &far, INNER);
        join(&lab.server, (SERVER_INTERFACE, Some(Lab::SERVER_MAC)), &far, OUTER);
        settle(&lab.client, CLIENT_INTERFACE, Lab::CLIENT, (Lab::SERVER, Lab::SERVER_MAC));
        settle(&lab.server, SERVER_INTERFACE, Lab::SERVER, (Lab::CLIENT, Lab::CLIENT_MAC));
        let cable = Cable::carry(&near, &far);
        (lab, cable)
    }

    fn carry(near: &Namespace, far: &Namespace) -> Cable {
        let [near_outer, near_inner] = [OUTER, INNER].map(|name| open(near, name));
        let [far_outer, far_inner] = [OUTER, INNER].map(|name| open(far, name));
        let again = |socket: &OwnedFd| socket.try_clone().unwrap();
        let onwards = [again(&near_inner), again(&far_outer), again(&far_inner), again(&near_outer)];
        // In the order of the points: where what comes to them arrives.
        let arrivals = [near_outer, far_inner, far_outer, near_inner];
        let inner = Inner { stories: BTreeMap::new(), onwards, start: Instant::now() };
        let inner = Arc::new(Mutex::new(inner));
        let is_over = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(&inner), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while !over.load(Ordering::Relaxed) {
                let mut sockets =
                    arrivals.each_ref().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
                poll(&mut sockets, PollTimeout::from(20_u8)).unwrap();
                for (point, socket) in Point::ALL.into_iter().zip(&arrivals) {
                    take_in(&shared, point, socket, &mut buffer);
                }
            }
        });
        Cable { inner, is_over, thread: Some(thread) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A script that fails may do so while it holds the lock; the others go on.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The next `times` segments of this kind share this fate.
    pub(super) fn rule(&self, flow: Flow, point: Point, kind: Kind, fate: Fate, times: u32) {
        self.lock().place(flow, point).rules.push(Rule { kind, fate, left: times });
    }

    /// No rule holds any more at a point, and what was held goes on as it came, or the last of it first.
    pub(super) fn lift(&self, flow: Flow, point: Point, is_reversed: bool) {
        let mut inner = self.lock();
        let place = inner.place(flow, point);
        place.rules.clear();
        place.count.held = 0;
        let mut held: Vec<(Vec<u8>, Segment)> = place.held.drain(..).collect();
        if is_reversed {
            held.reverse();
        }
        for (frame, segment) in held {
            inner.note(flow, point, "released", &segment);
            inner.pass(flow, point, &segment, &frame);
        }
    }

    /// What was held is lost, and no rule holds any more.
    pub(super) fn discard(&self, flow: Flow, point: Point) {
        let mut inner = self.lock();
        let place = inner.place(flow, point);
        place.rules.clear();
        place.count.lost += std::mem::take(&mut place.count.held);
        place.held.clear();
    }

    /// In the order of the points.
    pub(super) fn counts(&self, flow: Flow) -> [Count; 4] {
        let mut inner = self.lock();
        Point::ALL.map(|point| inner.place(flow, point).count)
    }

    /// Whether a segment of this kind has passed a point.
    pub(super) fn has_passed(&self, flow: Flow, point: Point, kind: Kind) -> bool {
        self.lock().place(flow, point).passed.contains(&kind)
    }

    /// The last that happened to a connection, a line for each segment and point.
    pub(super) fn story(&self, flow: Flow) -> String {
        let mut inner = self.lock();
        let lines = &inner.stories.entry(flow).or_default().lines;
        lines.iter().map(String::as_str).collect()
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the cable's thread has panicked");
    }
}

impl Inner {
    fn place(&mut self, flow: Flow, point: Point) -> &mut Place {
        &mut self.stories.entry(flow).or_default().places[point as usize]
    }

    fn note(&mut self, flow: Flow, point: Point, fate: &str, segment: &Segment) {
        let at = self.start.elapsed().as_secs_f64();
        let lines = &mut self.stories.entry(flow).or_default().lines;
        if lines.len() == LINES {
            lines.pop_front();
        }
        let mut line = String::new();
        writeln!(line, "  {at:9.4} {point:<10?} {fate:<8} {segment}").unwrap();
        lines.push_back(line);
    }

    fn pass(&mut self, flow: Flow, point: Point, segment: &Segment, frame: &[u8]) {
        let place = self.place(flow, point);
        place.count.passed += 1;
        let new = Kind::ALL.into_iter().filter(|kind| segment.is(*kind) && !place.passed.contains(kind));
        let new: Vec<Kind> = new.collect();
        place.passed.extend(new);
        self.send(point, frame);
    }

    fn send(&self, point: Point, frame: &[u8]) {
        let sent = socket::send(self.onwards[point as usize].as_raw_fd(), frame, MsgFlags::empty());
        assert_eq!(sent, Ok(frame.len()), "{point:?}");
    }

    /// What becomes of a frame that has come to a point.
    fn arrive(&mut self, point: Point, frame: &[u8]) {
        let Some(segment) = Segment::read(frame) else { return self.send(point, frame) };
        let flow = match point {
            Point::FromClient | Point::ToServer => (segment.source, segment.destination),
            Point::FromServer | Point::ToClient => (segment.destination, segment.source),
        };
        let place = self.place(flow, point);
        place.count.arrived += 1;
        let fate = place.rules.iter_mut().find(|rule| rule.left > 0 && segment.is(rule.kind)).map(|rule| {
            rule.left -= 1;
            rule.fate
        });
        match fate {
            None | Some(Fate::Pass) => {
                self.note(flow, point, "", &segment);
                self.pass(flow, point, &segment, frame);
            }
            Some(Fate::Lose) => {
                place.count.lost += 1;
                self.note(flow, point, "lost", &segment);
            }
            Some(Fate::Hold) => {
                place.count.held += 1;
                place.held.push_back((frame.to_vec(), segment));
                self.note(flow, point, "held", &segment);
            }
            Some(Fate::Repeat) => {
                self.note(flow, point, "twice", &segment);
                self.pass(flow, point, &segment, frame);
                self.pass(flow, point, &segment, frame);
            }
        }
    }
}

/// Takes in what has come to a point.
fn take_in(shared: &Mutex<Inner>, point: Point, socket: &OwnedFd, buffer: &mut [u8]) {
    while let Ok((length, sender)) = socket::recvfrom::<LinkAddr>(socket.as_raw_fd(), buffer) {
        if sender.is_some_and(|sender| sender.pkttype() != OUTGOING) {
            let mut inner = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            inner.arrive(point, &buffer[..length]);
        }
    }
}

/// A veth pair, up, and without offloads: what a wire would carry.
fn join(namespace: &Namespace, (name, mac): (&str, Option<Mac>), cable: &Namespace, end: &str) {
    let ends = (VethEnd { mac, ..VethEnd::new(name) }, VethEnd::new(end));
    let (outer, inner) = namespace.add_veth(&ends.0, cable, &ends.1).unwrap();
    for interface in [outer, inner] {
        interface.set_offloads(false).unwrap();
        interface.up().unwrap();
    }
}

type Addresses = (std::net::Ipv4Addr, std::net::Ipv6Addr);

/// Gives an endpoint its addresses, and the hardware address of its peer.
fn settle(namespace: &Namespace, name: &str, own: Addresses, (peer, mac): (Addresses, Mac)) {
    let interface = namespace.interface(name).unwrap();
    interface.add_address(Prefix::new(own.0, 24)).unwrap();
    interface.add_address(Prefix::new(own.1, 64)).unwrap();
    for address in [IpAddr::V4(peer.0), IpAddr::V6(peer.1)] {
        interface.add_neighbour(address, mac).unwrap();
    }
}

/// A packet socket that sees every frame of an interface.
fn open(namespace: &Namespace, interface: &str) -> OwnedFd {
    let opened = namespace.run(|| {
        let mut addresses = getifaddrs().unwrap().filter(|entry| entry.interface_name == interface);
        let address = addresses.find_map(|entry| entry.address?.as_link_addr().copied()).unwrap();
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket =
            socket::socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).unwrap();
        socket::bind(socket.as_raw_fd(), &address).unwrap();
        socket
    });
    opened.unwrap()
}
