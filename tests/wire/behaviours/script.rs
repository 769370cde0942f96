//! What a behaviour is written in: sockets of both kernels, the cable, and what everybody must say then.
//!
//! ```text
//!  let (client, server) = script.open();          the kernels do something
//!  script.hold(FromServer, Kind::Ack);            the cable stops it half-way
//!  drop(client);
//!  script.expect([FinWait1, CloseWait]);          script, kernels and middlebox say the same
//! ```
//!
//! [`Script::expect`] waits until nothing of the connection is inside the middlebox and all three say the same,
//! twice with nothing on the cable in between; if that does not come to pass, it fails with what was said and what every segment of the connection did.
//! Meanwhile every segment that goes into the middlebox must come out of it: none of what kernels say to each
//! other may be refused.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use lastack::lab::Namespace;
use lastack::tcp::State;
use nix::sys::socket::setsockopt;
use nix::{setsockopt_impl, sockopt_impl};
use socket2::{Domain, Socket, Type};

use super::Stage;
use super::cable::{Count, Fate, Flow, Point};
use super::segment::Kind;
use super::view::{Cause, Look, States};
use crate::endpoints::{CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6};
use crate::middlebox::run;

/// Longer than any of the kernels' timers that a script waits for.
const PATIENCE: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_millis(20);
const FOREVER: u32 = u32::MAX;

/// An endpoint; its number is its place in a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// One connection, or several after each other with the same addresses and ports.
pub(super) struct Script<'a> {
    pub(super) stage: &'a Stage,
    client: SocketAddr,
    server: SocketAddr,
    listener: Option<Socket>,
    /// How many segments of each side had come out of the middlebox before this incarnation.
    silent_until: [u32; 2],
    /// The cable's counts when everybody agreed last.
    agreed: [Count; 4],
    is_forgotten: bool,
    /// The record's number at the last look.
    id: Option<u64>,
    /// What was said, one after the other.
    pub(super) trail: Vec<String>,
    /// How many times all were compared.
    pub(super) steps: usize,
}

impl<'a> Script<'a> {
    pub(super) fn new(stage: &'a Stage, number: u16, is_v6: bool) -> Script<'a> {
        let (client, server) = if is_v6 { (CLIENT_V6, SERVER_V6) } else { (CLIENT_V4, SERVER_V4) };
        Script {
            stage,
            client: SocketAddr::new(client, 20_000 + number),
            server: SocketAddr::new(server, 1_000 + number),
            listener: None,
            silent_until: [0; 2],
            agreed: [Count::default(); 4],
            is_forgotten: false,
            id: None,
            trail: Vec::new(),
            steps: 0,
        }
    }

    /// Another connection beside this one.
    pub(super) fn another(&self, number: u16) -> Script<'a> {
        let is_v6 = matches!(self.client.ip(), IpAddr::V6(_));
        Script::new(self.stage, self.client.port() - 20_000 + number, is_v6)
    }

    fn flow(&self) -> Flow {
        (self.client, self.server)
    }

    pub(super) fn address(&self, side: Side) -> SocketAddr {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    fn namespace(&self, side: Side) -> &Namespace {
        match side {
            Side::Client => &self.stage.site.lab.client,
            Side::Server => &self.stage.site.lab.server,
        }
    }
}

/// What the kernels do.
impl Script<'_> {
    /// A socket with this side's address and port.
    pub(super) fn socket(&self, side: Side) -> Socket {
        let address = self.address(side);
        let socket = self
            .namespace(side)
            .run(|| Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap())
            .unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&address.into()).unwrap();
        be_patient(&socket);
        socket
    }

    /// This side listens from now on.
    pub(super) fn listen(&mut self, side: Side) {
        let listener = self.socket(side);
        listener.listen(16).unwrap();
        self.listener = Some(listener);
    }

    pub(super) fn stop_listening(&mut self) {
        self.listener = None;
    }

    pub(super) fn accept(&self) -> Socket {
        let (socket, _) = self.listener.as_ref().unwrap().accept().unwrap();
        be_patient(&socket);
        socket
    }

    /// Sends the SYN and waits for nothing.
    pub(super) fn begin(&mut self, side: Side, socket: &Socket) {
        self.begin_incarnation();
        let peer = match side {
            Side::Client => self.server,
            Side::Server => self.client,
        };
        socket.set_nonblocking(true).unwrap();
        let start = Instant::now();
        loop {
            match socket.connect(&peer.into()).map_err(|error| error.raw_os_error()) {
                Ok(()) | Err(Some(libc::EINPROGRESS)) => break,
                // A kernel lends out a port in TIME_WAIT only after a second.
                Err(Some(libc::EADDRNOTAVAIL)) if start.elapsed() < PATIENCE => std::thread::sleep(TURN),
                Err(error) => panic!("connect: {error:?}"),
            }
        }
        socket.set_nonblocking(false).unwrap();
    }

    /// Whoever speaks from now on does so in a new incarnation.
    pub(super) fn begin_incarnation(&mut self) {
        let counts = self.counts();
        self.silent_until = [Point::ToServer, Point::ToClient].map(|point| counts[point as usize].arrived);
    }

    /// The client connects: its socket.
    pub(super) fn connect(&mut self) -> Socket {
        let client = self.socket(Side::Client);
        self.begin(Side::Client, &client);
        client
    }

    /// A connection, open on both sides: the client's socket and the server's.
    #[track_caller]
    pub(super) fn open(&mut self) -> (Socket, Socket) {
        self.open_with(|_| {})
    }

    /// The same, once the client's socket has been made ready.
    #[track_caller]
    pub(super) fn open_with(&mut self, ready: impl FnOnce(&Socket)) -> (Socket, Socket) {
        if self.listener.is_none() {
            self.listen(Side::Server);
        }
        let client = self.socket(Side::Client);
        ready(&client);
        self.begin(Side::Client, &client);
        let server = self.accept();
        self.expect([State::Established; 2]);
        (client, server)
    }

    /// Takes an endpoint's socket away as a crash does: nothing that it has to say is heard.
    pub(super) fn crash(&self, side: Side) {
        let (own, point) = match side {
            Side::Client => (self.client, Point::FromClient),
            Side::Server => (self.server, Point::FromServer),
        };
        let lost = self.count(point).lost;
        self.lose(point, Kind::Rst);
        let filter = ["-K", "state", "connected", "src", &own.to_string()];
        run(self.namespace(side), "ss", &filter);
        self.until("its RST is lost", |counts| counts[point as usize].lost > lost);
        self.lift(point);
    }

    pub(super) fn sysctl(&self, side: Side, key: &str, value: &str) {
        self.namespace(side).set_sysctl(key, value).unwrap();
    }

    /// Ends the middlebox and starts another one, which knows of nothing.
    pub(super) fn restart_middlebox(&mut self) {
        self.stage.restart();
        self.is_forgotten = true;
    }
}

/// What the cable does.
impl Script<'_> {
    /// Every segment of this kind is lost at this point, until it is lifted.
    pub(super) fn lose(&self, point: Point, kind: Kind) {
        self.stage.cable.rule(self.flow(), point, kind, Fate::Lose, FOREVER);
    }

    /// The next segments of this kind are lost.
    pub(super) fn lose_next(&self, point: Point, kind: Kind, times: u32) {
        self.stage.cable.rule(self.flow(), point, kind, Fate::Lose, times);
    }

    /// Every segment of this kind is held at this point, until it is lifted.
    pub(super) fn hold(&self, point: Point, kind: Kind) {
        self.stage.cable.rule(self.flow(), point, kind, Fate::Hold, FOREVER);
    }

    /// The next segments of this kind pass, whatever rules come after this one.
    pub(super) fn pass_next(&self, point: Point, kind: Kind, times: u32) {
        self.stage.cable.rule(self.flow(), point, kind, Fate::Pass, times);
    }

    /// The next segments of this kind go on twice.
    pub(super) fn repeat_next(&self, point: Point, kind: Kind, times: u32) {
        self.stage.cable.rule(self.flow(), point, kind, Fate::Repeat, times);
    }

    /// No rule holds any more at this point, and what was held goes on.
    pub(super) fn lift(&self, point: Point) {
        self.stage.cable.lift(self.flow(), point, false);
    }

    /// The same, the last that was held first.
    pub(super) fn lift_reversed(&self, point: Point) {
        self.stage.cable.lift(self.flow(), point, true);
    }

    /// No rule holds any more at this point, and what was held is lost.
    pub(super) fn discard(&self, point: Point) {
        self.stage.cable.discard(self.flow(), point);
    }

    pub(super) fn count(&self, point: Point) -> Count {
        self.counts()[point as usize]
    }

    fn counts(&self) -> [Count; 4] {
        self.stage.cable.counts(self.flow())
    }

    /// Waits until so many segments are held at a point.
    #[track_caller]
    pub(super) fn until_held(&self, point: Point, held: u32) {
        self.until("they are held", |counts| counts[point as usize].held >= held);
    }

    /// Waits until so many more segments are lost at a point.
    #[track_caller]
    pub(super) fn until_lost(&self, point: Point, more: u32) {
        let before = self.count(point).lost;
        self.until("they are lost", |counts| counts[point as usize].lost >= before + more);
    }

    /// Waits until so many more segments have passed a point.
    #[track_caller]
    pub(super) fn until_passed(&self, point: Point, more: u32) {
        let before = self.count(point).passed;
        self.until("they have passed", |counts| counts[point as usize].passed >= before + more);
    }

    /// Waits until a segment of this kind has passed a point, now or before.
    #[track_caller]
    pub(super) fn until_seen(&self, point: Point, kind: Kind) {
        self.until("it has passed", |_| self.stage.cable.has_passed(self.flow(), point, kind));
    }

    #[track_caller]
    fn until(&self, what: &str, condition: impl Fn(&[Count; 4]) -> bool) {
        let start = Instant::now();
        while !condition(&self.counts()) {
            assert!(start.elapsed() < PATIENCE, "not until {what}:\n{}", self.stage.cable.story(self.flow()));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What everybody must say.
impl Script<'_> {
    /// The kernels are in these states and the middlebox says so.
    #[track_caller]
    pub(super) fn expect(&mut self, states: States) {
        self.meet(states, states);
        self.agreed = self.counts();
        self.is_forgotten = false;
    }

    /// The kernels are in these states, and the middlebox says others, for a reason ([`Cause`]) at each
    /// endpoint where they differ.
    #[track_caller]
    pub(super) fn expect_apart(&mut self, kernels: States, tracked: States) {
        assert_ne!(kernels, tracked, "they are not apart");
        self.meet(kernels, tracked);
    }

    /// The middlebox counts this as a new connection.
    #[track_caller]
    pub(super) fn is_new_since(&self, id: Option<u64>) {
        assert!(self.id.is_some() && self.id != id, "{:?} is the same connection", self.id);
    }

    pub(super) fn id(&self) -> Option<u64> {
        self.id
    }

    #[track_caller]
    fn meet(&mut self, kernels: States, tracked: States) {
        let start = Instant::now();
        let mut agreed = None;
        loop {
            let before = self.counts();
            let look = self.look(&before);
            let is_still = before == self.counts() && self.is_through(&before);
            let is_as_expected = (look.kernels, look.tracked) == (kernels, tracked);
            if is_still && is_as_expected && self.unexplained(look, &before).is_empty() {
                // And again a turn later, with nothing on its way in between: it stays so.
                if agreed == Some((before, look)) {
                    self.id = look.id;
                    break;
                }
                agreed = Some((before, look));
            } else {
                agreed = None;
            }
            if start.elapsed() > PATIENCE {
                self.fail(kernels, tracked, look, &before);
            }
            std::thread::sleep(TURN);
        }
        self.steps += 1;
        let [said, listed] = [kernels, tracked].map(|[client, server]| format!("{client}/{server}"));
        let line = if kernels == tracked { said } else { format!("{said} (listed: {listed})") };
        // What stays as it is is said once.
        if self.trail.last() != Some(&line) {
            self.trail.push(line);
        }
    }

    /// The endpoints of which the middlebox has no reason to say something else than their kernels.
    fn unexplained(&self, look: Look, counts: &[Count; 4]) -> Vec<Side> {
        let mut sides = vec![Side::Client, Side::Server];
        sides.retain(|side| {
            let side = *side as usize;
            let differs = look.kernels[side] != look.tracked[side];
            differs && Cause::of(side, &self.agreed, counts, self.is_forgotten).is_empty()
        });
        sides
    }

    fn look(&self, counts: &[Count; 4]) -> Look {
        let have_spoken = [(Point::ToServer, 0), (Point::ToClient, 1)]
            .map(|(point, side): (Point, usize)| counts[point as usize].arrived > self.silent_until[side]);
        self.stage.observer.look(self.stage).of(self.flow(), have_spoken)
    }

    /// Whether all that went into the middlebox has come out of it.
    fn is_through(&self, counts: &[Count; 4]) -> bool {
        let [from_client, to_server, from_server, to_client] = counts;
        from_client.passed == to_server.arrived && from_server.passed == to_client.arrived
    }

    #[track_caller]
    fn fail(&self, kernels: States, tracked: States, look: Look, counts: &[Count; 4]) -> ! {
        let refused = if self.is_through(counts) { "" } else { "; segments were refused" };
        let unexplained = self.unexplained(look, counts);
        let story = self.stage.cable.story(self.flow());
        panic!(
            "after {:?}: expected of the kernels {kernels:?}, of the middlebox {tracked:?}; \
             they say {:?} and {:?}{refused}; without a cause they differ at {unexplained:?}\n{story}",
            self.trail, look.kernels, look.tracked
        );
    }
}

fn be_patient(socket: &Socket) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    // Small writes are segments of their own, at once.
    socket.set_tcp_nodelay(true).unwrap();
}

/// Writes at one end, and no more.
#[track_caller]
pub(super) fn send(mut from: &Socket, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
}

/// Reads so much at the other.
#[track_caller]
pub(super) fn receive(mut at: &Socket, bytes: &[u8]) {
    let mut received = vec![0; bytes.len()];
    at.read_exact(&mut received).unwrap();
    assert!(received == bytes, "what arrived is not what was sent");
}

/// Carries so many bytes from one end to the other, unchanged.
#[track_caller]
pub(super) fn carry(from: &Socket, to: &Socket, bytes: usize) {
    let sent: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| send(from, &sent));
        receive(to, &sent);
    });
}

/// Reads until the other side's FIN.
#[track_caller]
pub(super) fn read_to_the_end(mut at: &Socket) {
    assert_eq!(at.read(&mut [0; 1]).unwrap(), 0);
}

/// A side has nothing more to say: its FIN.
pub(super) fn finish(socket: &Socket) {
    socket.shutdown(Shutdown::Write).unwrap();
}

sockopt_impl!(Repair, SetOnly, libc::IPPROTO_TCP, libc::TCP_REPAIR, i32);
sockopt_impl!(RepairQueue, SetOnly, libc::IPPROTO_TCP, libc::TCP_REPAIR_QUEUE, i32);
sockopt_impl!(QueueSeq, SetOnly, libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ, u32);

/// Has the socket begin its stream with this sequence number: by the kernel's checkpointing, left again before
/// the SYN.
pub(super) fn start_at(socket: &Socket, seq: u32) {
    const SEND_QUEUE: i32 = 2;
    const OFF_WITHOUT_A_PROBE: i32 = -1;
    setsockopt(socket, Repair, &1).unwrap();
    setsockopt(socket, RepairQueue, &SEND_QUEUE).unwrap();
    setsockopt(socket, QueueSeq, &seq).unwrap();
    setsockopt(socket, Repair, &OFF_WITHOUT_A_PROBE).unwrap();
}

/// Closes without a farewell: RST.
pub(super) fn abort(socket: Socket) {
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
}
