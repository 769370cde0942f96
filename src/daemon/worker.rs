//! A worker: one core, one shard, its own sockets; run to completion.
//!
//! ```text
//!  a turn:  take back sent frames ─► each receive ring: a burst ─┐
//!                                    each hand-over ring ────────┼─► Shard::process ─► transmit ring
//!           commands, timers ──► fill rings ──► show numbers     └─► another worker, if it is that one's
//! ```
//!
//! The worker waits for nobody's work, and takes no lock but one that it may find taken (see
//! [`super::socket`]). When there is nothing to do it spins (`busy`) or, after a while, sleeps until a
//! socket, another worker or the next timer wakes it (`adaptive`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use af_xdp::{Descriptor, Umem};
use arrayvec::ArrayVec;

use super::burst::{Burst, Gathered, Origin};
use super::ears::Ears;
use super::frames::{Parts, Store};
use super::handover::{Exchange, Message, Passing, Waiting};
use super::held::Held;
use super::plan::{MAX_PARTS, PortPlan, Steering};
use super::socket::{Sending, Socket};
use crate::config::Wait;
use crate::fragments::Token;
use crate::shard::{Action, Arrival, BURST, Datagram, Shard, Verdict, steering_hash};
use crate::time::{SystemClock, Tick, Time};
use crate::view::{Command, Frames, LinkState, Loss, Plane, Report, View, Volume, Work};
use crate::wire::{self, Checks, Frame, Link, partial_checksum};

/// How many timers a turn looks at.
const POLL_BUDGET: u32 = 256;
/// How long a worker looks in vain before it sleeps, in nanoseconds: about what waking up costs.
const PATIENCE: u64 = 50_000;
/// The longest sleep: numbers are shown, and ports looked at, at least so often.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);
/// How long a worker that ends waits for what the others hand over, in nanoseconds.
const FAREWELL: u64 = 1_000_000_000;
/// How many free frames a sleeping worker keeps.
const KEPT_ASLEEP: usize = 1024;

/// What a worker is made of.
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) shard: Shard,
    pub(super) umem: Umem,
    pub(super) sockets: Vec<Socket>,
    pub(super) ports: Arc<[PortPlan]>,
    pub(super) exits: Exits,
    pub(super) steering: Steering,
    pub(super) wait: Wait,
    pub(super) exchange: Arc<Exchange>,
    pub(super) plane: Arc<Plane>,
    pub(super) store: Store,
    pub(super) poll: mio::Poll,
    pub(super) clock: SystemClock,
    pub(super) gathered: Gathered,
    pub(super) ears: Ears,
    /// Fragments that wait for their verdict.
    pub(super) held: Held,
    /// What woke it; nobody looks.
    pub(super) events: mio::Events,
    pub(super) state: State,
}

/// What changes from turn to turn.
#[derive(Debug)]
pub(super) struct State {
    burst: Burst,
    /// Another one, always empty between two uses.
    kept: Burst,
    /// The first frames of packets from each other worker whose last has not come yet.
    beginnings: Vec<Vec<Descriptor>>,
    verdicts: [Verdict; BURST],
    tokens: u64,
    work: Work,
    /// Frames sent to other workers, less those that came from them.
    under_way: i64,
    shown: Tick,
    report: Report,
}

impl State {
    pub(super) fn new(report: Report, workers: usize) -> State {
        State {
            burst: Burst::new(),
            kept: Burst::new(),
            beginnings: (0..workers).map(|_| Vec::with_capacity(MAX_PARTS)).collect(),
            verdicts: [Verdict::HELD; BURST],
            tokens: 0,
            work: Work::default(),
            under_way: 0,
            shown: Tick::new(0),
            report,
        }
    }
}

/// What a turn found.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    packets: usize,
    /// Something is left that the next turn can do at once.
    more: bool,
}

impl Worker {
    /// Works until `stop`, then until nothing is left in its rings.
    pub(super) fn run(mut self, stop: &AtomicBool) {
        // One look at the clock for each turn: the end of one is the beginning of the next.
        let mut began = self.clock.now();
        let mut idle_since = began;
        while !stop.load(Relaxed) {
            let found = self.turn(began);
            let mut ended = self.clock.now();
            if found.packets > 0 || found.more {
                self.state.work.busy_nanoseconds += ended.nanoseconds() - began.nanoseconds();
                idle_since = ended;
            } else if self.wait == Wait::Adaptive && ended.nanoseconds() - idle_since.nanoseconds() > PATIENCE
            {
                self.sleep(ended);
                ended = self.clock.now();
                idle_since = ended;
            }
            began = ended;
        }
        self.finish();
    }

    /// The last turns: what has come in goes out, and the fragments that wait are given up.
    fn finish(&mut self) {
        self.drain();
        // What the others still hand over has to arrive before the rings are given up.
        self.exchange.arrive();
        let began = self.clock.now().nanoseconds();
        while !self.exchange.have_all_arrived() && self.clock.now().nanoseconds() - began < FAREWELL {
            self.drain();
            std::thread::yield_now();
        }
        self.drain();
        self.shard.flush_fragments(&mut self.ears);
        self.settle();
        self.flush();
        self.show(self.clock.now().tick());
    }

    /// Turns until nothing is left; packets do not come any more.
    fn drain(&mut self) {
        for _ in 0..64 {
            let found = self.turn(self.clock.now());
            if found.packets == 0 && !found.more {
                break;
            }
        }
    }

    fn view(&self) -> &View {
        &self.plane.workers[self.number]
    }

    /// Everything once.
    fn turn(&mut self, at: Time) -> Found {
        self.view().epoch.begin();
        self.ears.listen();
        self.state.work.turns += 1;
        let now = at.tick();
        let mut found = Found::default();
        for socket in &mut self.sockets {
            socket.reap(&mut self.store);
        }
        for socket in 0..self.sockets.len() {
            found.packets += self.receive(socket, at);
        }
        for from in 0..self.exchange.workers() {
            if from != self.number {
                found.packets += self.take_over(from, at);
            }
        }
        while let Some(command) = self.view().commands.pop() {
            self.obey(command);
        }
        found.more = !self.shard.poll(now, POLL_BUDGET, &mut self.ears);
        self.settle();
        found.more |= self.flush();
        for socket in &mut self.sockets {
            socket.refill(&mut self.store);
        }
        self.store.share();
        self.ears.publish(self.shard.sequence());
        if self.state.shown != now {
            self.show(now);
        }
        self.view().epoch.end();
        found
    }

    /// A burst from a socket.
    fn receive(&mut self, socket: usize, at: Time) -> usize {
        let Worker { sockets, state, store, .. } = self;
        let socket = &mut sockets[socket];
        if !socket.plan.receives {
            return 0;
        }
        let origin = Origin { port: socket.plan.port as u16, queue: socket.plan.queue };
        socket.receive(&mut state.burst, origin, store);
        let count = state.burst.slots.len();
        if count > 0 {
            state.work.bursts += 1;
            self.gathered.gather(&self.state.burst, &self.umem);
            if self.exchange.workers() > 1
                && (self.steering == Steering::Rss || self.state.burst.has_unusual(&self.umem))
            {
                self.hand_over_strangers();
            }
            self.process(at);
        }
        count
    }

    /// A burst of what another worker has handed over.
    fn take_over(&mut self, from: usize, at: Time) -> usize {
        let mut taken = 0;
        while taken < BURST {
            let Some(message) = self.exchange.receive(from, self.number) else { break };
            match message {
                Message::Frame(descriptor, origin) => {
                    self.state.under_way -= 1;
                    let is_last = !descriptor.continues();
                    let State { beginnings, burst, .. } = &mut self.state;
                    beginnings[from].push(descriptor);
                    if is_last {
                        taken += 1;
                        burst.push_parts(beginnings[from].drain(..), origin);
                    }
                }
                Message::Datagram(passing) => {
                    taken += 1;
                    // What came before it goes first.
                    self.process_taken(at);
                    self.judge_passing(*passing, at);
                }
            }
        }
        self.process_taken(at);
        self.state.work.taken_over += taken as u64;
        taken
    }

    fn process_taken(&mut self, at: Time) {
        if !self.state.burst.slots.is_empty() {
            self.gathered.gather(&self.state.burst, &self.umem);
            self.process(at);
        }
    }

    /// Gives those packets of the burst to other workers that belong to them.
    fn hand_over_strangers(&mut self) {
        let workers = self.exchange.workers() as u32;
        let mut owners = [0_usize; BURST];
        let mut strangers = 0;
        let mut rest = &self.state.burst.descriptors[..];
        for (number, slot) in self.state.burst.slots.iter().enumerate() {
            let (parts, behind) = rest.split_at(slot.parts);
            rest = behind;
            let bytes = self.gathered.bytes(number, parts, &self.umem);
            let zone = self.ports[usize::from(slot.origin.port)].zone;
            let packet = wire::parse(&Frame::whole(bytes, Link::Ethernet), Checks::NONE);
            owners[number] = (steering_hash(&packet, zone) % workers) as usize;
            strangers += usize::from(owners[number] != self.number);
        }
        if strangers > 0 {
            self.part(&owners);
        }
    }

    /// Divides the burst: what is not this worker's goes to whom it belongs.
    fn part(&mut self, owners: &[usize; BURST]) {
        let Worker { state, exchange, plane, sockets, store, number: own, gathered, umem, .. } = self;
        let State { burst, kept, work, under_way, .. } = state;
        let mut woken: ArrayVec<usize, BURST> = ArrayVec::new();
        let mut descriptors = burst.descriptors.drain(..);
        for (slot, &owner) in burst.slots.iter().zip(owners) {
            let mut parts = descriptors.by_ref().take(slot.parts);
            if owner == *own {
                kept.push_parts(parts, slot.origin);
            } else if exchange.has_room((*own, owner), slot.parts) {
                for descriptor in parts.by_ref() {
                    *under_way += 1;
                    if let Err(descriptor) = exchange.send((*own, owner), descriptor, slot.origin) {
                        debug_assert!(false, "there was room");
                        store.give(descriptor.frame());
                    }
                }
                work.handed_over += 1;
                if !woken.contains(&owner) {
                    woken.push(owner);
                }
            } else {
                store.give_all(parts);
                lose(sockets, slot.origin, Loss::HandOverFull, 1);
            }
        }
        drop(descriptors);
        for owner in woken {
            if exchange.is_asleep(owner) {
                plane.workers[owner].wake();
            }
        }
        burst.slots.clear();
        std::mem::swap(burst, kept);
        gathered.gather(burst, umem);
    }

    /// Has the shard judge the burst, and does as it says.
    fn process(&mut self, at: Time) {
        let Worker { shard, umem, ports, gathered, ears, state, number, exchange, .. } = self;
        let State { burst, verdicts, tokens, .. } = state;
        let mut arrivals: ArrayVec<Arrival<'_>, BURST> = ArrayVec::new();
        let mut rest = &burst.descriptors[..];
        for (place, slot) in burst.slots.iter().enumerate() {
            let (parts, behind) = rest.split_at(slot.parts);
            rest = behind;
            let port = &ports[usize::from(slot.origin.port)];
            arrivals.push(Arrival {
                frame: Frame::whole(gathered.bytes(place, parts, umem), Link::Ethernet),
                zone: port.zone,
                admission: port.admission,
                at,
                token: token(*tokens + place as u64, *number, exchange.workers()),
            });
        }
        let first = *tokens;
        *tokens += arrivals.len() as u64;
        shard.process(&arrivals, at.tick(), verdicts, ears);
        drop(arrivals);
        self.carry_out(first);
        self.settle();
    }

    /// Sends, drops or keeps each packet of the burst; `first` is the number of its first token.
    fn carry_out(&mut self, first: u64) {
        // Out of the way, so that the rest of the worker can be used meanwhile.
        let State { burst, kept, .. } = &mut self.state;
        std::mem::swap(burst, kept);
        let mut burst = std::mem::replace(kept, Burst::nothing());
        let mut descriptors = burst.descriptors.drain(..);
        for (place, slot) in burst.slots.iter().enumerate() {
            match self.state.verdicts[place].action {
                Action::Accept => {
                    if slot.parts == 1 {
                        if let Some(mut descriptor) = descriptors.next() {
                            complete_checksum(&self.umem, &mut descriptor);
                            let length = descriptor.len();
                            self.send(std::iter::once(descriptor), length, slot.origin);
                        }
                    } else {
                        let mut parts: ArrayVec<Descriptor, MAX_PARTS> =
                            descriptors.by_ref().take(slot.parts).collect();
                        self.complete_gathered(place, &mut parts);
                        let length = parts.iter().map(Descriptor::len).sum();
                        self.send(parts.into_iter(), length, slot.origin);
                    }
                }
                Action::Drop => self.store.give_all(descriptors.by_ref().take(slot.parts)),
                Action::Held => {
                    let token = token(first + place as u64, self.number, self.exchange.workers());
                    if let Some(parts) = Parts::collect(&mut descriptors, slot.parts) {
                        self.held.insert(token, Waiting { parts, origin: slot.origin });
                    }
                    // If this one was the last that was missing, the datagram goes before what came after it.
                    self.release_through(token);
                }
            }
        }
        drop(descriptors);
        burst.slots.clear();
        self.state.kept = burst;
    }

    /// Completes the checksum of a packet in several frames.
    fn complete_gathered(&mut self, place: usize, parts: &mut [Descriptor]) {
        let bytes = self.gathered.bytes(place, parts, &self.umem);
        let Some(partial) = partial_checksum(&Frame::whole(bytes, Link::Ethernet)) else { return };
        let Some(value) = partial.completed(bytes) else { return };
        // Byte by byte: headers as long as a frame may put the field astride two of them.
        for (offset, byte) in value.into_iter().enumerate() {
            let mut at = partial.field + offset;
            for part in parts.iter_mut() {
                let bytes = self.umem.bytes_mut(part);
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                    break;
                }
                at -= bytes.len();
            }
        }
    }

    /// Sends a packet of `length` bytes on to the other port of its bridge.
    fn send(&mut self, parts: impl ExactSizeIterator<Item = Descriptor>, length: usize, origin: Origin) {
        let Worker { sockets, ports, exits, store, plane, .. } = self;
        let port = ports[usize::from(origin.port)].opposite;
        let way = match exits.of(port, origin.queue).map(|out| &mut sockets[out]) {
            Some(_) if length > ports[port].longest_frame => Err(Loss::TooLong),
            Some(socket) if plane.ports[port].state.get() == LinkState::Up => {
                if socket.has_room(parts.len(), store) { Ok(socket) } else { Err(Loss::TransmitFull) }
            }
            Some(_) | None => Err(Loss::PortDown),
        };
        match way {
            Ok(socket) => {
                for part in parts {
                    if let Err(part) = socket.push(part) {
                        debug_assert!(false, "there was room");
                        store.give(part.frame());
                    }
                }
                socket.traffic.sent += Volume { packets: 1, bytes: length as u64 };
            }
            Err(loss) => {
                store.give_all(parts);
                lose(sockets, origin, loss, 1);
            }
        }
    }

    /// Does as was decided about fragments that waited, and passes datagrams on to their owners.
    fn settle(&mut self) {
        if self.ears.is_quiet() {
            return;
        }
        let mut passing = std::mem::take(&mut self.ears.handed_over);
        for (owner, datagram) in passing.drain(..) {
            self.pass_on(owner as usize, datagram);
        }
        self.ears.handed_over = passing;
        self.release(self.ears.released.len());
    }

    /// As [`Worker::release`], of those up to and including `token`; none if that has no verdict.
    fn release_through(&mut self, token: Token) {
        let place = self.ears.released.iter().position(|(released, _)| *released == token);
        self.release(place.map_or(0, |place| place + 1));
    }

    /// Sends or drops the first `count` fragments that have their verdict.
    fn release(&mut self, count: usize) {
        let mut released = std::mem::take(&mut self.ears.released);
        for (token, is_accepted) in released.drain(..count) {
            let Some(waiting) = self.held.remove(token) else { continue };
            if is_accepted {
                let parts: ArrayVec<Descriptor, MAX_PARTS> = waiting.parts.into_iter().collect();
                let length = parts.iter().map(Descriptor::len).sum();
                self.send(parts.into_iter(), length, waiting.origin);
            } else {
                self.store.give_all(waiting.parts);
            }
        }
        self.ears.released = released;
    }

    /// Passes a datagram on, with the frames of its fragments.
    fn pass_on(&mut self, owner: usize, datagram: Datagram) {
        let pieces: Vec<(Token, Waiting)> =
            datagram.pieces().iter().filter_map(|token| Some((*token, self.held.remove(*token)?))).collect();
        let frames: i64 = pieces.iter().map(|(_, waiting)| waiting.parts.count() as i64).sum();
        let count = pieces.len() as u64;
        match self.exchange.send_datagram((self.number, owner), Box::new(Passing { datagram, pieces })) {
            Ok(()) => {
                self.state.work.handed_over += 1;
                self.state.under_way += frames;
                if self.exchange.is_asleep(owner) {
                    self.plane.workers[owner].wake();
                }
            }
            Err(passing) => {
                if let Some((_, waiting)) = passing.pieces.first() {
                    lose(&mut self.sockets, waiting.origin, Loss::HandOverFull, count);
                }
                for (_, waiting) in passing.pieces {
                    self.store.give_all(waiting.parts);
                }
            }
        }
    }

    /// Judges a datagram that another worker has put together.
    fn judge_passing(&mut self, passing: Passing, at: Time) {
        for (token, waiting) in passing.pieces {
            self.state.under_way -= waiting.parts.count() as i64;
            self.held.insert(token, waiting);
        }
        self.shard.take_over(&passing.datagram, at.tick(), at, &mut self.ears);
        self.settle();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Delete { connections, done } => {
                let Worker { shard, ears, .. } = self;
                let deleted =
                    connections.iter().filter(|(index, id)| shard.delete(*index, *id, ears)).count();
                // Whoever asked may have gone away since.
                let _ = done.send(deleted);
            }
        }
    }

    /// Has the kernel send what waits in the transmit rings; whether it has to be asked again.
    fn flush(&mut self) -> bool {
        let mut again = false;
        for socket in &mut self.sockets {
            let state = &self.plane.ports[socket.plan.port].state;
            if state.get() != LinkState::Up {
                continue;
            }
            match socket.flush() {
                Sending::Done => {}
                Sending::Again => again = true,
                // The main thread will hear of it as well, and is the only one to say so: two could contradict
                // each other for ever.
                Sending::Down => {}
            }
        }
        again
    }

    /// Lets others see the numbers.
    fn show(&mut self, now: Tick) {
        let report = &mut self.state.report;
        report.counters.clone_from(self.shard.counters());
        report.census.clone_from(self.shard.census());
        report.work = self.state.work;
        let begun: usize = self.sockets.iter().map(Socket::begun).sum::<usize>()
            + self.state.beginnings.iter().map(Vec::len).sum::<usize>();
        report.frames = Frames {
            free: self.store.len() as u64,
            held: self.held.frames(),
            under_way: self.state.under_way + begun as i64,
            filling: self.sockets.iter().map(|socket| socket.filling).sum(),
            sending: self.sockets.iter().map(|socket| socket.sending).sum(),
        };
        for (shown, socket) in report.sockets.iter_mut().zip(&self.sockets) {
            *shown = socket.traffic;
        }
        self.state.shown = now;
        let report = &self.state.report;
        self.view().show(report);
    }

    /// Sleeps until there is something to do.
    fn sleep(&mut self, at: Time) {
        self.store.share_all_but(KEPT_ASLEEP);
        self.show(at.tick());
        self.exchange.fall_asleep(self.number);
        let is_pending = self.sockets.iter_mut().any(Socket::is_pending)
            || self.exchange.is_pending(self.number)
            || !self.view().commands.is_empty();
        if !is_pending {
            self.state.work.sleeps += 1;
            let until = self.shard.next_event().map_or(LONGEST_SLEEP, |tick| {
                Duration::from_millis(u64::from(tick.since(at.tick()).milliseconds()) + 1)
            });
            // Interrupted or not: the next turn looks at everything anyway.
            let _ = self.poll.poll(&mut self.events, Some(until.min(LONGEST_SLEEP)));
        }
        self.exchange.wake_up(self.number);
    }
}

/// The name of a held fragment: unlike any other worker's.
fn token(count: u64, worker: usize, workers: usize) -> Token {
    Token(count.wrapping_mul(workers as u64).wrapping_add(worker as u64))
}

/// By which sockets packets leave.
#[derive(Debug)]
pub(super) struct Exits {
    /// The places of the sockets at each port.
    by_port: Vec<Vec<usize>>,
}

impl Exits {
    /// The exits of a worker with these sockets.
    pub(super) fn new(sockets: &[Socket], ports: usize) -> Exits {
        let at = |port| {
            let places = sockets.iter().enumerate();
            let sends = places.filter(|(_, socket)| socket.plan.port == port && socket.plan.sends);
            sends.map(|(place, _)| place).collect()
        };
        Exits { by_port: (0..ports).map(at).collect() }
    }

    /// The socket by which packets leave for `port` that came in by `queue`: always the same, so that they
    /// stay in order.
    #[inline]
    fn of(&self, port: usize, queue: u32) -> Option<usize> {
        let places = &self.by_port[port];
        places.get(queue as usize % places.len().max(1)).copied()
    }
}

/// Counts packets as lost that came in at `origin`, at the worker's own socket there, or the nearest.
fn lose(sockets: &mut [Socket], origin: Origin, loss: Loss, packets: u64) {
    let port = usize::from(origin.port);
    let exact = sockets.iter().position(|s| s.plan.port == port && s.plan.queue == origin.queue);
    let place = exact.or_else(|| sockets.iter().position(|socket| socket.plan.port == port));
    if let Some(place) = place {
        sockets[place].traffic.lost[loss as usize] += packets;
    }
}

/// Completes a checksum that a kernel left to the hardware.
#[inline]
fn complete_checksum(umem: &Umem, descriptor: &mut Descriptor) {
    let bytes = umem.bytes_mut(descriptor);
    let Some(partial) = partial_checksum(&Frame::whole(bytes, Link::Ethernet)) else { return };
    if let Some(value) = partial.completed(bytes)
        && let Some(field) = bytes.get_mut(partial.field..partial.field + 2)
    {
        field.copy_from_slice(&value);
    }
}

/// Registers a socket for waking a worker.
pub(super) fn watch(poll: &mio::Poll, socket: &Socket, token: usize) -> io::Result<()> {
    use std::os::fd::{AsFd, AsRawFd};
    let fd = socket.handle().as_fd().as_raw_fd();
    poll.registry().register(&mut mio::unix::SourceFd(&fd), mio::Token(token), mio::Interest::READABLE)
}
