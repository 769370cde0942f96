//! One endpoint: a smoltcp socket on an interface of its own, and the numbers of RFC 9293 section 3.3.1 as they
//! can be told from outside.
//!
//! ```text
//!               connect, listen, send, receive, close, abort
//!                      │
//!   packet ─► shim ─► smoltcp (Interface, tcp::Socket) ─► packets
//!               │
//!               └ what RFC 9293 asks for and smoltcp 0.12 does not do:
//!                 an RST that is not at RCV.NXT is answered by a challenge ACK (section 3.10.7.4, RFC 5961);
//!                 an RST never ends TIME_WAIT, where the world goes by RFC 1337;
//!                 a SYN may end TIME_WAIT (section 3.6.1, RFC 6191)
//! ```

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::IpAddr;

use lastack::tcp::State;
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{Flags, Link, Ports, Seq};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{self, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpListenEndpoint};

use crate::mend;
use crate::middle::Socket;
use crate::segment::{self, Seen, is_before};

thread_local! {
    /// The clock of the timestamps option: smoltcp takes a plain function for it.
    static CLOCK: Cell<u32> = const { Cell::new(0) };
}

/// What an endpoint is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// The receive and send buffers in bytes; above 65,535 the window is scaled.
    pub(crate) buffers: [usize; 2],
    /// How large a packet may be.
    pub(crate) mtu: usize,
    /// Milliseconds between keep-alives.
    pub(crate) keep_alive: Option<u64>,
    /// Whether it offers timestamps (RFC 7323).
    pub(crate) timestamps: bool,
    /// Whether small segments wait (RFC 896).
    pub(crate) nagle: bool,
    /// Milliseconds by which acknowledgements are delayed.
    pub(crate) ack_delay: Option<u64>,
    /// Of the initial sequence numbers.
    pub(crate) seed: u64,
    /// Whether an RST ends TIME_WAIT, as in RFC 9293, or not, as in RFC 1337.
    pub(crate) assassination: bool,
}

/// What became of a packet that reached the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// smoltcp got it.
    Taken,
    /// An RST without effect: not at RCV.NXT, or in TIME_WAIT.
    Ignored,
    /// A SYN that ended TIME_WAIT.
    Reopened,
}

/// A smoltcp socket and its surroundings.
pub(crate) struct Endpoint {
    own: Socket,
    peer: Socket,
    traits: Traits,
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// ISS and IRS, once there.
    initial: [Option<u32>; 2],
    /// SND.NXT, the highest there was: retransmission moves smoltcp's own back.
    next: u32,
    /// MAX.SND.WND, the largest window that the peer has offered, and the scale by which it counts.
    largest_window: u32,
    scale: u8,
    /// Acknowledgement and window of the segment that it sent last.
    announced: (u32, u16),
    /// How far the peer allows it to send: the highest acknowledgement plus window that came.
    allowed: Option<u32>,
    /// When SND.UNA moved, or what lies there was sent, for the last time.
    tried: u64,
    /// What the application has sent.
    stream: Vec<u8>,
    /// Bytes that the application has received.
    pub(crate) received: u64,
    pub(crate) fin_received: bool,
}

/// The device: two queues.
struct Wire {
    mtu: usize,
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

impl Endpoint {
    /// An endpoint without a connection.
    pub(crate) fn new(own: Socket, peer: Socket, traits: Traits, now: u64) -> Endpoint {
        let mut wire = Wire { mtu: traits.mtu, incoming: VecDeque::new(), outgoing: Vec::new() };
        let interface = interface(own.0, traits.seed, &mut wire, now);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket(&traits));
        Endpoint {
            own,
            peer,
            traits,
            interface,
            wire,
            sockets,
            handle,
            initial: [None; 2],
            next: 0,
            largest_window: 0,
            scale: 0,
            announced: (0, 0),
            allowed: None,
            tried: now,
            stream: Vec::new(),
            received: 0,
            fin_received: false,
        }
    }

    fn socket(&self) -> &tcp::Socket<'static> {
        self.sockets.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Opens actively. Of a socket in TIME_WAIT it is another incarnation.
    pub(crate) fn connect(&mut self, now: u64) {
        self.forget();
        let context = self.interface.context();
        let socket = self.sockets.get_mut::<tcp::Socket<'static>>(self.handle);
        let local = IpListenEndpoint { addr: Some(self.own.0.into()), port: self.own.1 };
        let remote = IpEndpoint::new(self.peer.0.into(), self.peer.1);
        socket.connect(context, remote, local).unwrap();
        set_clock(now);
    }

    /// Opens passively.
    pub(crate) fn listen(&mut self) {
        self.forget();
        let port = self.own.1;
        self.socket_mut().listen(port).unwrap();
    }

    /// Another incarnation with other traits follows; a socket in TIME_WAIT is kept until a SYN comes.
    pub(crate) fn renew(&mut self, traits: Traits, now: u64) {
        self.interface = interface(self.own.0, traits.seed, &mut self.wire, now);
        self.traits.seed = traits.seed;
    }

    fn forget(&mut self) {
        self.initial = [None; 2];
        (self.largest_window, self.scale, self.allowed) = (0, 0, None);
        self.stream.clear();
        (self.received, self.fin_received) = (0, false);
        // What an earlier incarnation has negotiated is not what this one offers.
        let traits = self.traits;
        let in_use = self.socket().is_open();
        if !in_use {
            self.sockets.remove(self.handle);
            self.handle = self.sockets.add(socket(&traits));
        }
    }

    /// The application closes its sending side.
    pub(crate) fn close(&mut self) {
        self.socket_mut().close();
    }

    /// The application aborts: an RST.
    pub(crate) fn abort(&mut self) {
        self.socket_mut().abort();
    }

    /// Takes as many of `bytes` as there is room for.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        let taken = self.socket_mut().send_slice(bytes).unwrap_or(0);
        self.stream.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// How many bytes the application has sent.
    pub(crate) fn sent(&self) -> u64 {
        self.stream.len() as u64
    }

    /// How much can be sent at once.
    pub(crate) fn room(&self) -> usize {
        let socket = self.socket();
        if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 }
    }

    /// Reads up to `most` bytes.
    pub(crate) fn receive(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most.min(self.socket().recv_queue())];
        let count = if bytes.is_empty() { 0 } else { self.socket_mut().recv_slice(&mut bytes).unwrap_or(0) };
        bytes.truncate(count);
        self.received += count as u64;
        bytes
    }

    /// How much waits to be read.
    pub(crate) fn unread(&self) -> usize {
        self.socket().recv_queue()
    }

    /// The real state. A listener that an RST has sent back to LISTEN has closed the connection in question.
    pub(crate) fn state(&self) -> State {
        match self.socket().state() {
            tcp::State::Closed => State::Closed,
            tcp::State::Listen if self.initial[1].is_some() => State::Closed,
            tcp::State::Listen => State::Listen,
            tcp::State::SynSent => State::SynSent,
            tcp::State::SynReceived => State::SynReceived,
            tcp::State::Established => State::Established,
            tcp::State::FinWait1 => State::FinWait1,
            tcp::State::FinWait2 => State::FinWait2,
            tcp::State::CloseWait => State::CloseWait,
            tcp::State::Closing => State::Closing,
            tcp::State::LastAck => State::LastAck,
            tcp::State::TimeWait => State::TimeWait,
        }
    }

    /// Whether it listens, whatever there was before.
    pub(crate) fn is_listening(&self) -> bool {
        self.socket().is_listening()
    }

    /// Whether the handshake is done, so that the application has something to do.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.state();
        !matches!(state, State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    /// Whether nothing is unacknowledged and nothing waits to be sent.
    pub(crate) fn is_at_rest(&self) -> bool {
        let socket = self.socket();
        match self.state() {
            // An abort whose RST is still to be sent keeps its peer.
            State::Closed | State::Listen => socket.remote_endpoint().is_none(),
            State::Established | State::FinWait2 | State::CloseWait | State::TimeWait => {
                socket.send_queue() == 0
            }
            State::SynSent | State::SynReceived | State::FinWait1 | State::Closing | State::LastAck => false,
        }
    }

    /// When smoltcp wants to be polled, in milliseconds.
    pub(crate) fn next_poll(&mut self, now: u64) -> Option<u64> {
        let at = self.interface.poll_at(instant(now), &self.sockets)?;
        let microseconds = at.total_micros().max(0) as u64;
        Some(microseconds.div_ceil(1000).max(now))
    }

    /// Hands a packet over.
    pub(crate) fn deliver(&mut self, packet: &[u8], is_damaged: bool, now: u64) -> Delivery {
        let mut delivery = Delivery::Taken;
        let before = self.state();
        let seen = (!is_damaged).then(|| segment::read(packet));
        if let Some(seen) = &seen {
            if seen.rst && self.ignores_reset(seen) {
                if before != State::TimeWait {
                    // smoltcp answers a keep-alive by the very segment that a challenge ACK is.
                    let (next, una) = (self.receive_next().unwrap(), self.unacknowledged().unwrap());
                    let keep_alive = self.segment_of_peer(next.wrapping_sub(1), una, 0);
                    self.wire.incoming.push_back(keep_alive);
                }
                return Delivery::Ignored;
            }
            if before == State::TimeWait && self.is_reopened_by(seen) {
                self.listen();
                delivery = Delivery::Reopened;
            }
        }
        let was_listening = self.is_listening();
        let una = self.unacknowledged();
        self.wire.incoming.push_back(packet.to_vec());
        set_clock(now);
        self.interface.poll_ingress_single(instant(now), &mut self.wire, &mut self.sockets);
        if let Some(seen) = &seen {
            self.note_delivered(seen, was_listening);
        }
        if self.unacknowledged() != una {
            self.tried = now;
        }
        delivery
    }

    fn note_delivered(&mut self, seen: &Seen, was_listening: bool) {
        let state = self.socket().state();
        let has_begun = !matches!(state, tcp::State::Closed | tcp::State::Listen | tcp::State::SynSent);
        if seen.syn && has_begun && (was_listening || self.initial[1].is_none()) {
            self.initial[1] = Some(seen.seq);
            self.scale = seen.scale.unwrap_or(0);
        }
        let window = u32::from(seen.window) << if seen.syn { 0 } else { self.scale };
        self.largest_window = self.largest_window.max(window);
        if let Some(edge) = seen.ack.filter(|_| !seen.rst).map(|ack| ack.wrapping_add(window))
            && self.allowed.is_none_or(|before| is_before(before, edge))
        {
            self.allowed = Some(edge);
        }
        let has_fin =
            matches!(self.state(), State::CloseWait | State::Closing | State::LastAck | State::TimeWait);
        self.fin_received |= has_fin;
    }

    /// Everything that it has to send now.
    pub(crate) fn poll(&mut self, now: u64) -> Vec<Vec<u8>> {
        set_clock(now);
        loop {
            let before = self.wire.outgoing.len();
            self.interface.poll(instant(now), &mut self.wire, &mut self.sockets);
            let sent = self.wire.outgoing.len() > before;
            if !sent && self.wire.incoming.is_empty() {
                break;
            }
        }
        let mut packets = std::mem::take(&mut self.wire.outgoing);
        // A damaged packet may name another protocol: then smoltcp answers by an ICMP error, which is not looked at here.
        packets.retain(|packet| segment::claims_tcp(packet));
        for packet in &mut packets {
            let seen = segment::read(packet);
            if seen.syn {
                mend::lower_mss(packet);
            }
            if let Some(una) = self.unacknowledged().filter(|una| self.is_keep_alive(packet, &seen, *una)) {
                let (ack, window) = self.announced;
                mend::keep_alive(packet, una.wrapping_sub(1), ack, window);
            } else if let Some(ack) = seen.ack.filter(|_| !seen.rst) {
                self.announced = (ack, seen.window);
            }
            self.note_sent(&segment::read(packet), now);
        }
        packets
    }

    /// Whether a packet bears a byte that the application has not sent, or that was acknowledged already.
    fn is_keep_alive(&self, packet: &[u8], seen: &Seen, una: u32) -> bool {
        let Some(iss) = self.initial[0] else { return false };
        let offset = seen.seq.wrapping_sub(iss).wrapping_sub(1) as usize;
        let is_one_byte = seen.payload == 1 && !seen.syn && !seen.rst;
        is_one_byte && (is_before(seen.seq, una) || self.stream.get(offset) != packet.last())
    }

    fn note_sent(&mut self, seen: &Seen, now: u64) {
        if seen.rst {
            return;
        }
        if seen.syn && self.initial[0] != Some(seen.seq) {
            self.initial[0] = Some(seen.seq);
            self.next = seen.end();
        }
        if is_before(self.next, seen.end()) {
            self.next = seen.end();
        }
        let covers = |una: u32| !is_before(una, seen.seq) && is_before(una, seen.end());
        if self.unacknowledged().is_none_or(covers) {
            self.tried = now;
        }
    }

    /// smoltcp 0.12 forgets its retransmission timer when an ACK comes that does not acknowledge everything, in
    /// CLOSE_WAIT, CLOSING and LAST_ACK. Where nothing was tried for `patience`, it is told of the loss: by a window
    /// update, so that it counts anew, and three duplicate ACKs (RFC 5681 section 3.2).
    pub(crate) fn remind(&mut self, patience: u64, now: u64) -> bool {
        let may_forget = matches!(
            self.state(),
            State::Established | State::CloseWait | State::FinWait1 | State::Closing | State::LastAck
        );
        let (Some(next), Some(una), Some(edge)) = (self.receive_next(), self.unacknowledged(), self.allowed)
        else {
            return false;
        };
        let window = (edge.wrapping_sub(una).min(self.largest_window) >> self.scale) as u16;
        if !may_forget || self.is_at_rest() || window == 0 || now < self.tried + patience {
            return false;
        }
        self.tried = now;
        for window in [window - 1, window, window, window, window] {
            let ack = self.segment_of_peer(next, una, window);
            self.wire.incoming.push_back(ack);
        }
        true
    }

    /// RCV.NXT: what the application has read and what waits for it lie behind IRS and its SYN.
    pub(crate) fn receive_next(&self) -> Option<u32> {
        let irs = self.initial[1]?;
        let bytes = self.received + self.socket().recv_queue() as u64;
        Some(irs.wrapping_add(1).wrapping_add(bytes as u32).wrapping_add(u32::from(self.fin_received)))
    }

    /// RCV.WND.
    fn receive_window(&self) -> u32 {
        let socket = self.socket();
        (socket.recv_capacity() - socket.recv_queue()) as u32
    }

    /// SND.UNA.
    fn unacknowledged(&self) -> Option<u32> {
        let iss = self.initial[0]?;
        let bytes = (self.stream.len() - self.socket().send_queue()) as u32;
        let fin_acked = matches!(self.state(), State::FinWait2 | State::TimeWait);
        Some(iss.wrapping_add(1).wrapping_add(bytes).wrapping_add(u32::from(fin_acked)))
    }

    /// SND.NXT, the highest there was.
    pub(crate) fn send_next(&self) -> u32 {
        self.next
    }

    /// Its initial sequence number.
    pub(crate) fn initial_sequence(&self) -> Option<u32> {
        self.initial[0]
    }

    /// Whether an RST has no effect here.
    fn ignores_reset(&self, seen: &Seen) -> bool {
        match self.state() {
            State::Closed | State::Listen | State::SynSent => false,
            State::TimeWait => !self.traits.assassination || self.receive_next() != Some(seen.seq),
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => self.receive_next() != Some(seen.seq),
        }
    }

    /// A bare ACK as if the peer had sent it.
    fn segment_of_peer(&self, seq: u32, ack: u32, window: u16) -> Vec<u8> {
        let builder = match (self.peer.0, self.own.0) {
            (IpAddr::V4(peer), IpAddr::V4(own)) => Builder::v4(peer.octets(), own.octets()),
            (IpAddr::V6(peer), IpAddr::V6(own)) => Builder::v6(peer.octets(), own.octets()),
            _ => unreachable!("both of one version"),
        };
        let tcp = Tcp {
            ports: Ports { source: self.peer.1, destination: self.own.1 },
            seq: Seq(seq),
            ack: Seq(ack),
            flags: Flags::ACK,
            window,
            options: Vec::new(),
        };
        builder.link(Link::RawIp).tcp(&tcp, &[])
    }

    /// Whether a SYN may end TIME_WAIT here: by its sequence number, or by its timestamp, of which that of any SYN but
    /// the old one is greater.
    fn is_reopened_by(&self, seen: &Seen) -> bool {
        let is_syn = seen.syn && seen.ack.is_none() && !seen.rst;
        let is_newer = self.traits.timestamps && self.initial[1] != Some(seen.seq);
        is_syn && self.receive_next().is_some_and(|next| is_newer || is_before(next, seen.seq))
    }

    /// Whether an RFC 9293 endpoint in the state and with the numbers of this one would take `seen` in (section
    /// 3.10.7): not answer it with an ACK or an RST alone, and not drop it.
    pub(crate) fn would_accept(&self, seen: &Seen) -> bool {
        match self.state() {
            State::Closed => false,
            State::Listen => seen.syn && seen.ack.is_none() && !seen.rst,
            State::SynSent => {
                let own = self.initial[0].map(|iss| iss.wrapping_add(1));
                let answers = seen.ack.is_some() && seen.ack == own;
                if seen.rst { answers } else { seen.syn && (seen.ack.is_none() || answers) }
            }
            State::TimeWait if seen.syn => self.is_reopened_by(seen),
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => {
                if seen.rst {
                    !self.ignores_reset(seen)
                } else {
                    !seen.syn && self.is_acceptable(seen)
                }
            }
        }
    }

    /// The tests of the first and the fifth step of section 3.10.7.4.
    fn is_acceptable(&self, seen: &Seen) -> bool {
        let (Some(next), Some(una), Some(ack)) = (self.receive_next(), self.unacknowledged(), seen.ack)
        else {
            return false;
        };
        let window = self.receive_window();
        let inside = |seq: u32| seq.wrapping_sub(next) < window;
        let in_window = match (seen.length(), window) {
            (0, 0) => seen.seq == next,
            (0, _) => inside(seen.seq),
            (_, 0) => false,
            (_, _) => inside(seen.seq) || inside(seen.end().wrapping_sub(1)),
        };
        let lowest = una.wrapping_sub(self.largest_window);
        in_window && !is_before(ack, lowest) && !is_before(self.next, ack)
    }
}

/// The initial sequence number of the first connection that an interface with `seed` opens.
pub(crate) fn initial_of_seed(seed: u64) -> u32 {
    let traits = Traits {
        buffers: [64, 64],
        mtu: 1500,
        keep_alive: None,
        timestamps: false,
        nagle: true,
        ack_delay: None,
        seed,
        assassination: false,
    };
    let address = |last| IpAddr::from([10, 0, 0, last]);
    let mut endpoint = Endpoint::new((address(1), 1), (address(2), 2), traits, 0);
    endpoint.connect(0);
    segment::read(&endpoint.poll(0)[0]).seq
}

fn interface(address: IpAddr, seed: u64, wire: &mut Wire, now: u64) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut interface = Interface::new(config, wire, instant(now));
    let prefix = if address.is_ipv4() { 8 } else { 16 };
    interface.update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(IpAddress::from(address), prefix)).unwrap();
    });
    interface
}

fn socket(traits: &Traits) -> tcp::Socket<'static> {
    let [receive, send] = traits.buffers;
    let mut socket = tcp::Socket::new(SocketBuffer::new(vec![0; receive]), SocketBuffer::new(vec![0; send]));
    socket.set_keep_alive(traits.keep_alive.map(Duration::from_millis));
    socket.set_nagle_enabled(traits.nagle);
    socket.set_ack_delay(traits.ack_delay.map(Duration::from_millis));
    if traits.timestamps {
        socket.set_tsval_generator(Some(|| CLOCK.with(Cell::get)));
    }
    socket
}

fn set_clock(now: u64) {
    CLOCK.with(|clock| clock.set(now as u32));
}

fn instant(milliseconds: u64) -> Instant {
    Instant::from_micros(milliseconds as i64 * 1000)
}

impl Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Incoming(packet), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

struct Incoming(Vec<u8>);

impl phy::RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Outgoing<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut packet = vec![0; length];
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}
