//! A worker: one core, one shard, its own sockets; run to completion.
//!
//! ```text
//!  a turn:  take back sent frames ─► each receive ring: a burst ─┐         ┌─► transmit ring
//!                                    each hand-over ring ────────┼─► Shard ┤
//!           commands, timers ──► fill rings ──► show numbers     │         └─► free again
//!                                                                └─► another worker, if it is that one's
//! ```
//!
//! While more packets are waiting, two bursts are under way at once (see the shard's stages): the shard reads the one that
//! has come, then judges the one before. With nothing else waiting a burst is judged in the turn that it came in.
//!
//! The worker waits for nobody's work, and takes no lock but one that it may find taken (see
//! [`super::socket`]). When there is nothing to do it spins (`busy`) or, after a while, sleeps until a
//! socket, another worker or the next timer wakes it (`adaptive`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use af_xdp::{Descriptor, Umem};

use super::burst::{Burst, Origin};
use super::ears::Ears;
use super::forward::Exits;
use super::frames::Store;
use super::handover::{Exchange, Message};
use super::held::Held;
use super::plan::{MAX_PARTS, PortPlan, Steering};
use super::socket::{Sending, Socket};
use crate::config::Wait;
use crate::fragments::Token;
use crate::shard::{self, Arrival, Arrivals, BURST, POLL_BUDGET, Shard, Verdict};
use crate::time::{SystemClock, Tick, Time};
use crate::view::{Command, Frames, LinkState, Plane, Report, View, Work};
use crate::wire::{Frame, Link};

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
    pub(super) exchange: Arc<Exchange<Message>>,
    pub(super) plane: Arc<Plane>,
    pub(super) store: Store,
    pub(super) poll: mio::Poll,
    pub(super) clock: SystemClock,
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
    /// What has just come in; empty between two uses, as the next one is.
    pub(super) burst: Burst,
    pub(super) kept: Burst,
    /// What the shard has read and not judged yet.
    pub(super) unjudged: Burst,
    /// What the shard knows of that.
    read: Box<shard::Burst>,
    /// Room for what it reads next.
    reading: Box<shard::Burst>,
    /// A packet in several frames has up to so many bytes.
    longest: usize,
    /// The first frames of packets from each other worker whose last has not come yet.
    pub(super) beginnings: Vec<Vec<Descriptor>>,
    pub(super) verdicts: [Verdict; BURST],
    pub(super) tokens: u64,
    pub(super) work: Work,
    /// Frames sent to other workers, less those that came from them.
    pub(super) under_way: i64,
    shown: Tick,
    report: Report,
}

impl State {
    pub(super) fn new(report: Report, workers: usize, longest: usize) -> State {
        let [burst, kept, unjudged] = [(); 3].map(|()| Burst::new(longest));
        let [read, reading] = [(); 2].map(|()| Box::new(shard::Burst::new()));
        State {
            burst,
            kept,
            unjudged,
            read,
            reading,
            longest,
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
        self.move_in();
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

    /// Makes what it writes for every packet anew, on its own thread: allocators keep apart what threads ask for (glibc's
    /// in arenas), so that it lies near the worker's core and shares no line with another worker's.
    fn move_in(&mut self) {
        let State { report, longest, .. } = &self.state;
        self.state = State::new(report.clone(), self.exchange.workers(), *longest);
        self.store.move_in();
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
        self.judge_unjudged(self.clock.now());
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
        // What has come is judged with what comes next, or now if nothing does.
        if found.packets == 0 || !self.has_more_waiting() {
            self.judge_unjudged(at);
        }
        while let Some(command) = self.view().commands.pop() {
            self.obey(command);
        }
        found.more = !self.shard.poll(now, POLL_BUDGET, &mut self.ears);
        self.settle();
        found.more |= self.flush() | !self.state.unjudged.slots.is_empty();
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
            self.state.burst.gather(&self.umem);
            if self.exchange.workers() > 1
                && (self.steering == Steering::Rss || self.state.burst.has_unusual(&self.umem))
            {
                self.hand_over_strangers(at);
            }
            if !self.state.burst.slots.is_empty() {
                self.process(at);
            }
        }
        count
    }

    /// Whether packets wait that the next turn will take.
    fn has_more_waiting(&mut self) -> bool {
        !self.state.unjudged.slots.is_empty()
            && (self.sockets.iter_mut().any(Socket::is_pending) || self.exchange.is_pending(self.number))
    }

    /// Has the shard read the burst that has come in, which is judged after the one before it.
    pub(super) fn process(&mut self, at: Time) {
        let State { burst, reading, tokens, .. } = &mut self.state;
        (burst.at, burst.token) = (at, *tokens);
        *tokens += burst.slots.len() as u64;
        let worker = (self.number, self.exchange.workers());
        self.shard.read(reading, &Given { burst, umem: &self.umem, ports: &self.ports, worker });
        self.state.work.overlapped += u64::from(!self.state.unjudged.slots.is_empty());
        self.judge_unjudged(at);
        let State { burst, unjudged, read, reading, .. } = &mut self.state;
        self.shard.locate(reading);
        std::mem::swap(reading, read);
        std::mem::swap(burst, unjudged);
    }

    /// Has the shard judge what it has read, and does as it says.
    pub(super) fn judge_unjudged(&mut self, at: Time) {
        let State { unjudged: burst, read, verdicts, .. } = &mut self.state;
        if burst.slots.is_empty() {
            return;
        }
        let worker = (self.number, self.exchange.workers());
        let given = Given { burst, umem: &self.umem, ports: &self.ports, worker };
        self.shard.judge(read, &given, at.tick(), verdicts, &mut self.ears);
        self.carry_out();
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
            + self.state.beginnings.iter().map(Vec::len).sum::<usize>()
            + self.state.unjudged.descriptors.len();
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

/// The packets of a worker's burst, for its shard.
struct Given<'a> {
    burst: &'a Burst,
    umem: &'a Umem,
    ports: &'a [PortPlan],
    /// The worker's number, and how many there are.
    worker: (usize, usize),
}

impl Arrivals for Given<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.burst.slots.len()
    }

    #[inline(always)]
    fn arrival(&self, place: usize) -> Arrival<'_> {
        let port = &self.ports[usize::from(self.burst.slots[place].origin.port)];
        Arrival {
            frame: Frame::whole(self.burst.bytes(place, self.umem), Link::Ethernet),
            zone: port.zone,
            admission: port.admission,
            at: self.burst.at,
            token: token(self.burst.token + place as u64, self.worker.0, self.worker.1),
        }
    }
}

/// The name of a held fragment: unlike any other worker's.
pub(super) fn token(count: u64, worker: usize, workers: usize) -> Token {
    Token(count.wrapping_mul(workers as u64).wrapping_add(worker as u64))
}

/// Registers a socket for waking a worker.
pub(super) fn watch(poll: &mio::Poll, socket: &Socket, token: usize) -> io::Result<()> {
    use std::os::fd::{AsFd, AsRawFd};
    let fd = socket.handle().as_fd().as_raw_fd();
    poll.registry().register(&mut mio::unix::SourceFd(&fd), mio::Token(token), mio::Interest::READABLE)
}
