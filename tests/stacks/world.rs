//! A world: twenty connections, a network, and one shard of the tracker that carries them all; on virtual time.
//!
//! ```text
//!  client 1  ─ before ─┐                  ┌─ behind ─  server 1
//!  client 2  ─ before ─┤     tracker      ├─ behind ─  server 2        one queue of events, by time;
//!    …                 ├─  (one Shard)   ─┤              …             a seed decides everything
//!  server 20 ─ before ─┘                  └─ behind ─  client 20
//! ```
//!
//! [`World::run`] works the queue off until nothing is left to happen, lets the tracker's table drain, and looks at
//! what it has kept of each connection. What is checked, and when, is in [`crate::checks`].

use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lastack::shard::{Action, Class, Reason, Verdict};
use lastack::tcp::{self, State};

use crate::application::Application;
use crate::connection::{Connection, Fin, Stream, TimeWait};
use crate::coverage::Coverage;
use crate::endpoint::{Delivery, Endpoint, Traits, initial_of_seed};
use crate::middle::{Middle, Socket};
use crate::network::LONGEST_LIFE;
use crate::plan::{CLIENT, Kind, Plan, SERVER, WRAPPING_SEEDS};
use crate::random::Draw;
use crate::segment::{self, Seen, is_before};

/// How many connections share a world.
pub(crate) const CONNECTIONS: usize = 20;

/// How long a connection may take, in milliseconds. The longest that were seen take a third of it.
const PATIENCE: u64 = 3_600_000;

/// After so many milliseconds without a packet an application gives a half-open connection up.
const HALF_OPEN_PATIENCE: u64 = 40_000;

/// After so many milliseconds without a retransmission smoltcp is reminded of what it has to send again.
const REMIND_AFTER: u64 = 2_000;

/// A property that does not hold.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) connection: usize,
    pub(crate) what: String,
}

/// A packet in the network.
struct Packet {
    connection: usize,
    sender: usize,
    number: u64,
    bytes: Vec<u8>,
    /// Damaged in a way that a checksum or a parser notices.
    is_damaged: bool,
    /// Refused by the tracker: it goes on only to be held against the receiver's state.
    is_ghost: bool,
}

enum Event {
    Start(usize),
    Reopen(usize),
    Act(usize, usize),
    Abort(usize, usize),
    Poll(usize, usize),
    Look(usize),
    AtTracker(Packet),
    AtEndpoint(Packet),
}

/// An event in the queue, ordered by time, then by when it was filed; the greatest is the next one.
struct Filed {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Filed {
    fn eq(&self, other: &Filed) -> bool {
        self.order == other.order
    }
}
impl Eq for Filed {}
impl PartialOrd for Filed {
    fn partial_cmp(&self, other: &Filed) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Filed {
    fn cmp(&self, other: &Filed) -> std::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Whose story is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Story {
    Untold,
    Of(usize),
    OfAll,
}

/// The whole simulation.
pub(crate) struct World {
    random: fastrand::Rng,
    pub(crate) now: u64,
    epoch: u64,
    queue: BinaryHeap<Filed>,
    filed: u64,
    packets: u64,
    pub(crate) middle: Middle,
    pub(crate) connections: Vec<Connection>,
    pub(crate) coverage: Coverage,
    story: Story,
}

const NAMES: [&str; 2] = ["client", "server"];

impl World {
    pub(crate) fn new(seed: u64, story: Story) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        // The tracker's ticks have 32 bits: in some worlds they wrap.
        let epoch = if random.chance(30) { (1 << 32) - random.u64(..20_000) } else { random.u64(..1 << 31) };
        let middle = Middle::new(&mut random, epoch);
        let mut world = World {
            random,
            now: epoch,
            epoch,
            queue: BinaryHeap::new(),
            filed: 0,
            packets: 0,
            middle,
            connections: Vec::new(),
            coverage: Coverage::default(),
            story,
        };
        for number in 0..CONNECTIONS {
            let started = epoch + world.random.u64(..3_000);
            let connection = world.draw(number, started);
            world.connections.push(connection);
            world.file(started, Event::Start(number));
        }
        world
    }

    fn draw(&mut self, number: usize, started: u64) -> Connection {
        let random = &mut self.random;
        let plan = Plan::draw(random, self.middle.policy.time_wait_assassination);
        let sockets = addresses(number, plan.is_v6);
        let [client, server] = sockets;
        let ends = [
            Endpoint::new(client, server, plan.traits[CLIENT], started),
            Endpoint::new(server, client, plan.traits[SERVER], started),
        ];
        let salt = random.u64(..);
        let applications = [CLIENT, SERVER]
            .map(|side| Application::new(plan.scripts[side].clone(), salt + side as u64, started));
        Connection {
            plan,
            sockets,
            ends,
            applications,
            salt,
            started,
            under_way: 0,
            last_delivery: started,
            is_troubled: false,
            resets: 0,
            resets_by_entry: [Vec::new(), Vec::new()],
            was_given_up: false,
            was_outlived: false,
            fins: [Fin::default(); 2],
            streams: [Stream::default(), Stream::default()],
            incarnations: 1,
            is_finished: false,
            reopens_at: None,
            awaits_syn: false,
            act_at: [None; 2],
            poll_at: [None; 2],
            tracked: None,
            time_wait: TimeWait::default(),
        }
    }

    /// Lets everything happen; what was covered, or the first property that does not hold.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        while let Some(filed) = self.queue.pop() {
            self.now = filed.at;
            match filed.event {
                Event::AtTracker(packet) => self.at_tracker(packet)?,
                Event::AtEndpoint(packet) => self.at_endpoint(&packet)?,
                Event::Start(number) => self.start(number)?,
                Event::Reopen(number) => self.reopen(number)?,
                Event::Act(number, side) => self.act(number, side)?,
                Event::Abort(number, side) => self.abort(number, side)?,
                Event::Poll(number, side) => {
                    if self.connections[number].poll_at[side] == Some(self.now) {
                        self.connections[number].poll_at[side] = None;
                        self.pump(number, side)?;
                    }
                }
                Event::Look(number) => self.look(number)?,
            }
        }
        if self.epoch < 1 << 32 && self.now >= 1 << 32 {
            self.coverage.event("tick counter wrapped");
        }
        self.coverage.connections += CONNECTIONS as u64;
        self.coverage.packets += self.packets;
        self.check_ends()
    }

    fn file(&mut self, at: u64, event: Event) {
        self.filed += 1;
        self.queue.push(Filed { at, order: self.filed, event });
    }

    /// Prints a line of a connection's story, if it is told.
    pub(crate) fn tell(&self, connection: usize, line: impl FnOnce() -> String) {
        let told = match self.story {
            Story::Untold => false,
            Story::Of(one) => one == connection,
            Story::OfAll => true,
        };
        if told {
            let time = (self.now - self.epoch) as f64 / 1e3;
            println!("{time:>9.3} [{connection:>2}] {}", line());
        }
    }

    fn start(&mut self, number: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[number];
        let kind = connection.plan.kind;
        *self.coverage.kinds.entry(format!("{kind:?}")).or_default() += 1;
        let now = self.now;
        match kind {
            Kind::Refused => {}
            Kind::OpensSimultaneously => connection.ends[SERVER].connect(now),
            Kind::ClosesFirst(_)
            | Kind::BothClose
            | Kind::HalfClose(_)
            | Kind::Aborts(_)
            | Kind::BothAbort
            | Kind::Abandons
            | Kind::Reopens(_)
            | Kind::ReadsSlowly(_)
            | Kind::KeepsAlive(_) => connection.ends[SERVER].listen(),
        }
        connection.ends[CLIENT].connect(now);
        let aborts = [0, 1].map(|side| connection.plan.scripts[side].abort);
        self.tell(number, || {
            let plan = &self.connections[number].plan;
            format!("starts: {plan:?}")
        });
        for (side, abort) in aborts.into_iter().enumerate() {
            if let Some(after) = abort {
                self.file(now + after, Event::Abort(number, side));
            }
        }
        self.file(now + 50, Event::Look(number));
        self.pump(number, CLIENT)?;
        self.pump(number, SERVER)
    }

    fn act(&mut self, number: usize, side: usize) -> Result<(), Failure> {
        if self.connections[number].act_at[side] != Some(self.now) {
            return Ok(());
        }
        self.compare(number)?;
        let connection = &mut self.connections[number];
        connection.act_at[side] = None;
        let peer_salt = connection.salt + 1 - side as u64;
        let had_closed = connection.applications[side].has_closed;
        let acted = connection.applications[side].act(&mut connection.ends[side], peer_salt, self.now);
        let next =
            acted.map_err(|what| Failure { connection: number, what: format!("{}: {what}", NAMES[side]) })?;
        if !had_closed && self.connections[number].applications[side].has_closed {
            self.tell(number, || format!("{} closes", NAMES[side]));
        }
        self.pump(number, side)?;
        if let Some(next) = next {
            self.wake(number, side, next.max(self.now + 1));
        }
        Ok(())
    }

    /// Makes an application act at `at`, or before.
    fn wake(&mut self, number: usize, side: usize, at: u64) {
        let act_at = &mut self.connections[number].act_at[side];
        if act_at.is_none_or(|earlier| at < earlier) {
            *act_at = Some(at);
            self.file(at, Event::Act(number, side));
        }
    }

    fn abort(&mut self, number: usize, side: usize) -> Result<(), Failure> {
        self.compare(number)?;
        let state = self.connections[number].ends[side].state();
        // A listener has nothing to abort, and TIME_WAIT belongs to the stack.
        if !matches!(state, State::Closed | State::Listen | State::TimeWait) {
            self.tell(number, || format!("{} aborts in {state}", NAMES[side]));
            self.connections[number].ends[side].abort();
        }
        self.pump(number, side)
    }

    /// Now and then somebody looks: at the states, and whether the connection is over.
    fn look(&mut self, number: usize) -> Result<(), Failure> {
        self.compare(number)?;
        self.finish(number)?;
        if self.connections[number].is_finished {
            return Ok(());
        }
        self.give_up(number)?;
        for side in [CLIENT, SERVER] {
            if self.connections[number].ends[side].remind(REMIND_AFTER, self.now) {
                self.tell(number, || format!("{} is reminded to send again", NAMES[side]));
                self.pump(number, side)?;
            }
        }
        if self.now > self.connections[number].started + PATIENCE {
            let states = self.connections[number].states();
            return Err(self.failure(number, format!("does not end: {states:?}")));
        }
        let next = self.now + self.random.u64(40..=900);
        self.file(next, Event::Look(number));
        Ok(())
    }

    /// An application does not wait for ever for a peer that is gone.
    fn give_up(&mut self, number: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[number];
        let silence = self.now - connection.last_delivery;
        let [client, server] = connection.states();
        if client == State::Closed && connection.ends[SERVER].is_listening() && connection.under_way == 0 {
            connection.ends[SERVER].close();
        }
        let may_be_half_open = connection.is_troubled || connection.plan.kind.breaks_off();
        if !may_be_half_open || silence < HALF_OPEN_PATIENCE {
            return Ok(());
        }
        for (side, state) in [client, server].into_iter().enumerate() {
            if !matches!(state, State::Closed | State::Listen | State::TimeWait) {
                self.tell(number, || format!("{} gives up in {state}", NAMES[side]));
                self.connections[number].was_given_up = true;
                self.coverage.event("half-open connection given up");
                self.connections[number].ends[side].abort();
                self.pump(number, side)?;
            }
        }
        Ok(())
    }

    /// Sends everything that an endpoint has to send, and takes note of its timers.
    fn pump(&mut self, number: usize, side: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[number];
        let before = connection.ends[side].state();
        let packets = connection.ends[side].poll(self.now);
        let after = connection.ends[side].state();
        if before == State::TimeWait && after == State::Closed {
            connection.time_wait.left[side] = Some(self.now);
            if side == SERVER && std::mem::take(&mut connection.awaits_syn) {
                connection.ends[SERVER].listen();
                connection.renew_application(SERVER, self.now);
            }
            self.tell(number, || format!("{} leaves TIME_WAIT", NAMES[side]));
        }
        for bytes in packets {
            self.send(number, side, &bytes);
        }
        let connection = &mut self.connections[number];
        let next = connection.ends[side].next_poll(self.now).map(|at| at.max(self.now + 1));
        if next != connection.poll_at[side] {
            connection.poll_at[side] = next;
            if let Some(at) = next {
                self.file(at, Event::Poll(number, side));
            }
        }
        Ok(())
    }

    /// A packet leaves an endpoint: over the hop before the tracker.
    fn send(&mut self, number: usize, side: usize, bytes: &[u8]) {
        let seen = segment::read(bytes);
        if seen.window == 0 && !seen.rst {
            self.coverage.event("window closed");
        }
        let from = self.packets + 1;
        if seen.fin {
            let first = &mut self.connections[number].fins[side].first;
            *first = first.or(Some((seen.end(), from)));
        }
        self.carry(number, side, 0, bytes, None, &seen);
        let to = self.packets;
        self.tell(number, || {
            let fate =
                if to < from { "lost before the tracker".to_owned() } else { format!("#{from}..={to}") };
            format!("{} sends {seen}: {fate}", NAMES[side])
        });
    }

    /// Puts a packet on a hop: 0 before the tracker, where it gets its numbers, 1 behind it.
    fn carry(
        &mut self,
        number: usize,
        side: usize,
        hop: usize,
        bytes: &[u8],
        name: Option<u64>,
        seen: &Seen,
    ) {
        const PLACES: [&str; 2] = ["before", "behind"];
        let connection = &mut self.connections[number];
        let spared = seen.rst && connection.plan.spares_resets;
        let passage = connection.plan.faults[side][hop].carry(bytes, spared, &mut self.random);
        let mut happened = |what, on| {
            if on {
                *self.coverage.faults.entry((what, PLACES[hop])).or_default() += 1;
            }
        };
        happened("lost", passage.lost);
        happened("repeated", passage.repeated);
        happened("overtaken", passage.overtaken);
        let mut arrives = false;
        for copy in passage.copies {
            happened("damaged", copy.damaged);
            let is_damaged = copy.damaged && !segment::is_sound(&copy.bytes);
            arrives |= !is_damaged;
            connection.under_way += 1;
            let number_of_packet = name.unwrap_or_else(|| {
                self.packets += 1;
                self.packets
            });
            let packet = Packet {
                connection: number,
                sender: side,
                number: number_of_packet,
                bytes: copy.bytes,
                is_damaged,
                is_ghost: false,
            };
            self.filed += 1;
            let event = if hop == 0 { Event::AtTracker(packet) } else { Event::AtEndpoint(packet) };
            assert!(copy.after < LONGEST_LIFE / 2, "a hop takes less than half of the longest life");
            self.queue.push(Filed { at: self.now + copy.after, order: self.filed, event });
        }
        if seen.rst && !arrives {
            connection.is_troubled = true;
        }
    }

    /// Packets reach the tracker: all that come at the same instant in one burst.
    fn at_tracker(&mut self, first: Packet) -> Result<(), Failure> {
        let mut burst = vec![first];
        while burst.len() < lastack::shard::BURST
            && self
                .queue
                .peek()
                .is_some_and(|next| next.at == self.now && matches!(next.event, Event::AtTracker(_)))
        {
            if let Some(Filed { event: Event::AtTracker(packet), .. }) = self.queue.pop() {
                burst.push(packet);
            }
        }
        if burst.len() > 1 {
            self.coverage.event("bursts of several packets");
        }
        let frames: Vec<&[u8]> = burst.iter().map(|packet| &packet.bytes[..]).collect();
        let verdicts = self.middle.process(&frames, self.now);
        for (packet, verdict) in burst.into_iter().zip(verdicts) {
            self.connections[packet.connection].under_way -= 1;
            self.judged(packet, &verdict)?;
        }
        Ok(())
    }

    /// What the tracker said of a packet.
    fn judged(&mut self, packet: Packet, verdict: &Verdict) -> Result<(), Failure> {
        let number = packet.connection;
        self.tell(number, || format!("tracker on #{}: {}", packet.number, describe(verdict)));
        let reason = verdict.reason.map_or("none", Reason::name);
        let is_accepted = verdict.action == Action::Accept;
        if packet.is_damaged {
            if !is_accepted {
                *self.coverage.refused_damaged.entry(reason).or_default() += 1;
            } else if segment::is_partial(&packet.bytes) {
                self.coverage.event("damaged, with a checksum that looks partial by chance");
            } else if segment::claims_tcp(&packet.bytes) {
                return Err(
                    self.failure(number, format!("#{} is damaged and was let through", packet.number))
                );
            }
            return Ok(());
        }
        let seen = segment::read(&packet.bytes);
        if !is_accepted {
            *self.coverage.refused.entry(reason).or_default() += 1;
            self.connections[number].is_troubled |= seen.rst;
            let after = self.connections[number].plan.faults[packet.sender][1].delay;
            self.file(self.now + after, Event::AtEndpoint(Packet { is_ghost: true, ..packet }));
            return Ok(());
        }
        self.note_accepted(&packet, &seen, verdict)?;
        self.carry(number, packet.sender, 1, &packet.bytes, Some(packet.number), &seen);
        Ok(())
    }

    fn note_accepted(&mut self, packet: &Packet, seen: &Seen, verdict: &Verdict) -> Result<(), Failure> {
        let connection = &mut self.connections[packet.connection];
        let after = verdict.subject.and_then(|subject| subject.states);
        let before = if verdict.class == Class::New { None } else { connection.tracked };
        connection.tracked = after;
        // Picked up in mid-stream, after 2 MSL were over.
        connection.was_outlived |=
            verdict.class == Class::New && !seen.syn && connection.time_wait.tracked.is_some();
        if verdict.class == Class::New {
            let [now, before] = &mut connection.resets_by_entry;
            before.append(now);
        }
        if seen.rst {
            connection.resets += 1;
            connection.resets_by_entry[0].push(packet.number);
            connection.is_troubled |= verdict.reason == Some(Reason::Tcp(tcp::Refusal::RstNotExact));
            if after == Some([State::Closed; 2]) && before != after {
                self.coverage.event("RST acted on");
                self.check_reset(packet.connection, packet.sender, seen)?;
            }
        } else {
            connection.note_stream(packet.sender, seen, verdict.class == Class::New);
        }
        let connection = &mut self.connections[packet.connection];
        connection.note_fin(packet.sender, packet.number, seen);
        // Entering TIME_WAIT starts its time, and a repeated FIN starts it again.
        let in_time_wait = |states: Option<[State; 2]>, side: usize| {
            states.is_some_and(|states| states[side] == State::TimeWait)
        };
        let was_there = (0..2).any(|side| in_time_wait(before, side));
        let entered = (0..2).any(|side| in_time_wait(after, side) && !in_time_wait(before, side));
        if entered || (was_there && seen.fin && !seen.rst) {
            connection.time_wait.tracked = Some((self.now, packet.number));
        }
        Ok(())
    }

    /// A packet reaches an endpoint, or would have.
    fn at_endpoint(&mut self, packet: &Packet) -> Result<(), Failure> {
        let (number, side) = (packet.connection, 1 - packet.sender);
        let now = self.now;
        if packet.is_ghost {
            return self.check_refused(number, side, packet.number, &segment::read(&packet.bytes));
        }
        let connection = &mut self.connections[number];
        connection.under_way -= 1;
        connection.last_delivery = now;
        let before = connection.ends[side].state();
        let delivery = connection.ends[side].deliver(&packet.bytes, packet.is_damaged, now);
        let after = connection.ends[side].state();
        if delivery == Delivery::Reopened {
            connection.renew_application(side, now);
            connection.awaits_syn = false;
            self.coverage.event("port reused in TIME_WAIT");
        }
        let connection = &mut self.connections[number];
        if !packet.is_damaged && segment::read(&packet.bytes).rst {
            connection.is_troubled |= !matches!(after, State::Closed | State::Listen | State::TimeWait);
            // The FIN before it was lost behind the tracker, to which this side is in TIME_WAIT (RFC 1337).
            let [client, server] = connection.sockets;
            let tracked = self.middle.states(client, server);
            let was_open = !matches!(before, State::Closed | State::Listen | State::TimeWait);
            connection.is_troubled |=
                was_open && tracked.is_some_and(|states| states[side] == State::TimeWait);
            // A copy of the SYN was under way as well, and has begun another incarnation.
            connection.is_troubled |= was_open && connection.resets_by_entry[1].contains(&packet.number);
        }
        if before == State::SynSent && after == State::SynReceived {
            self.coverage.event("SYNs crossed");
        }
        if before == State::FinWait1 && after == State::Closing {
            self.coverage.event("FINs crossed");
        }
        self.tell(number, || {
            let damaged = if packet.is_damaged { " (damaged)" } else { "" };
            format!(
                "#{} reaches the {}{damaged}: {before} to {after}, {delivery:?}",
                packet.number, NAMES[side]
            )
        });
        self.pump(number, side)?;
        let connection = &mut self.connections[number];
        // smoltcp's only timer in TIME_WAIT says when that began, or began again.
        let began = connection.ends[side].next_poll(now) == Some(now + 2 * u64::from(crate::middle::MSL));
        if after == State::TimeWait && began {
            connection.time_wait.entered[side] = Some((now, packet.number));
        }
        let at = now + connection.applications[side].interval();
        self.wake(number, side, at);
        self.finish(number)
    }

    /// Takes note of a connection's end, and lets it begin again where that is planned.
    fn finish(&mut self, number: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[number];
        let states = connection.states();
        let is_over = states.iter().all(|state| matches!(state, State::Closed | State::TimeWait))
            && connection.ends.iter().all(Endpoint::is_at_rest)
            && connection.under_way == 0;
        if !is_over || connection.is_finished {
            return Ok(());
        }
        let may_reopen = matches!(connection.plan.kind, Kind::Reopens(_)) && connection.incarnations == 1;
        if may_reopen && states.contains(&State::TimeWait) {
            if connection.reopens_at.is_none() {
                let at = self.now + self.random.u64(..8_000);
                connection.reopens_at = Some(at);
                self.file(at, Event::Reopen(number));
            }
            return Ok(());
        }
        let waits = connection.ends.iter().any(|end| end.state() == State::TimeWait || end.is_listening());
        if waits || connection.ends.iter().any(|end| end.unread() > 0) {
            return Ok(());
        }
        connection.is_finished = true;
        self.tell(number, || "is over".to_owned());
        self.check_streams(number)
    }

    /// The client connects again from the same port.
    fn reopen(&mut self, number: usize) -> Result<(), Failure> {
        self.connections[number].reopens_at = None;
        let states = self.connections[number].states();
        let is_over = states.iter().all(|state| matches!(state, State::Closed | State::TimeWait));
        if !is_over || !states.contains(&State::TimeWait) || self.connections[number].under_way > 0 {
            return Ok(());
        }
        self.check_streams(number)?;
        let now = self.now;
        let seed = self.seed_of_successor(number);
        let assassination = self.middle.policy.time_wait_assassination;
        let connection = &mut self.connections[number];
        connection.plan.redraw_scripts(&mut self.random);
        let server_seed = self.random.u64(..);
        for (side, seed) in [seed, server_seed].into_iter().enumerate() {
            let traits = Traits { seed, assassination, ..connection.plan.traits[side] };
            connection.ends[side].renew(traits, now);
        }
        connection.renew_application(CLIENT, now);
        connection.incarnations += 1;
        connection.time_wait = TimeWait::default();
        connection.fins = [Fin::default(); 2];
        connection.ends[CLIENT].connect(now);
        connection.awaits_syn = connection.ends[SERVER].state() == State::TimeWait;
        if !connection.awaits_syn {
            connection.ends[SERVER].listen();
            connection.renew_application(SERVER, now);
            self.coverage.event("port reused in TIME_WAIT");
        }
        self.tell(number, || format!("client connects again, from {states:?}"));
        self.pump(number, CLIENT)
    }

    /// A seed that gives the client an initial sequence number with which it may reopen the connection: above the
    /// old one's, unless timestamps tell the incarnations apart (RFC 9293 section 3.4.2, RFC 6191).
    fn seed_of_successor(&mut self, number: usize) -> u64 {
        let connection = &self.connections[number];
        let by_timestamps = connection.plan.traits[CLIENT].timestamps
            && self.middle.policy.time_wait_reuse == tcp::TimeWaitReuse::Rfc6191;
        let old = connection.ends[CLIENT].send_next();
        loop {
            let seed = self.random.u64(..);
            if by_timestamps || is_before(old, initial_of_seed(seed)) {
                return seed;
            }
        }
    }

    pub(crate) fn failure(&self, connection: usize, what: String) -> Failure {
        self.tell(connection, || format!("FAILS: {what}"));
        Failure { connection, what }
    }
}

fn describe(verdict: &Verdict) -> String {
    let states = verdict.subject.and_then(|subject| subject.states);
    let states = states.map_or(String::new(), |[a, b]| format!(", {a}/{b}"));
    let reason = verdict.reason.map_or(String::new(), |reason| format!(" ({})", reason.name()));
    format!("{:?} as {}{reason}{states}", verdict.action, verdict.class.name())
}

/// The client's and the server's address and port: some connections have the addresses in common.
fn addresses(number: usize, is_v6: bool) -> [Socket; 2] {
    let (client, server) = (1 + number as u16 % 4, 1 + number as u16 % 3);
    let ips: [IpAddr; 2] = if is_v6 {
        [(1, client), (2, server)].map(|(net, host)| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, net, host).into())
    } else {
        [(1, client), (2, server)].map(|(net, host)| Ipv4Addr::new(10, net, 0, host as u8).into())
    };
    [(ips[0], 40_000 + number as u16), (ips[1], 80)]
}

/// Seeds whose first initial sequence number is what [`WRAPPING_SEEDS`] promises.
pub(crate) fn wrapping_seeds_wrap() -> bool {
    WRAPPING_SEEDS.iter().all(|&seed| initial_of_seed(seed) > u32::MAX - 20_000)
}
