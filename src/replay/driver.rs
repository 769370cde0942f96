//! Packets into bursts, time into ticks, and everything in the order of the capture.

use std::collections::BTreeMap;
use std::io;

use arrayvec::ArrayVec;
use hashbrown::HashMap;

use super::Error;
use super::detail::Detail;
use super::explain::Explainer;
use super::sink::{PacketLine, Sink, Summary};
use crate::fragments::Token;
use crate::io::{Batch, CaptureWriter, Packet, Timestamp};
use crate::json::protocol_name;
use crate::shard::{
    Action, Admission, Arrival, BURST, Change, Counters, Datagram, Evidence, Observer, Record, Shard,
    Verdict, steering_hash,
};
use crate::table::Index;
use crate::time::{MAX_TIMEOUT, TICK_NANOSECONDS, Tick, Time};
use crate::wire::{self, Checks};

/// How many timers one call of `poll` looks at; it is called until nothing is overdue.
const POLL_BUDGET: u32 = 4096;

/// How far the clock is turned at once, in nanoseconds: a timeout on top of it is still what ticks can tell
/// apart.
const STRIDE: u64 = (1 << 28) * TICK_NANOSECONDS;
const _: () = assert!(STRIDE / TICK_NANOSECONDS + (MAX_TIMEOUT.as_millis() as u64) < 1 << 31);

/// Drives the shards by a capture.
pub(super) struct Driver<'a> {
    shards: Vec<Shard>,
    hub: Hub<'a>,
    writer: Option<CaptureWriter>,
    /// Whether every packet is told or written by itself, so that bursts are of one.
    tells_packets: bool,
    first: Option<Timestamp>,
    now: Time,
    /// How far the shards' timers were turned at the last stride.
    polled: Time,
    packets: u64,
}

/// What the shards tell, gathered until it can be put in order.
struct Hub<'a> {
    sink: Box<dyn Sink + 'a>,
    last_id: u64,
    ended: Vec<Record>,
    /// Frames that are held, by token: what is told of them, and their bytes where they may be written.
    held: HashMap<u64, HeldFrame>,
    released: Vec<(u64, Verdict)>,
    handed_over: Vec<(u32, Datagram)>,
    /// The evidence of packets that are not told yet, by token; none are kept where nobody wants it.
    evidence: HashMap<u64, Evidence>,
    wants_evidence: bool,
    /// The number of the first packet that was dropped.
    first_dropped: Option<u64>,
    /// Who waits for the packet that is to be explained.
    explainer: Option<Explainer>,
}

struct HeldFrame {
    line: PacketLine,
    time: Timestamp,
    link: wire::Link,
    wire_length: usize,
    bytes: Option<Box<[u8]>>,
}

impl Observer for Hub<'_> {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn begun(&mut self, _: Change, record: &Record) {
        if let Some(explainer) = &mut self.explainer {
            explainer.begun(record);
        }
    }

    fn changed(&mut self, _: Change, record: &Record) {
        if let Some(explainer) = &mut self.explainer {
            explainer.changed(record);
        }
    }

    fn wants_changes(&self) -> bool {
        self.explainer.is_some()
    }

    fn ended(&mut self, _: Change, record: &Record) {
        if let Some(explainer) = &mut self.explainer {
            explainer.ended(record);
        }
        self.ended.push(*record);
    }

    fn evidence(&mut self, token: Token, evidence: &Evidence) {
        self.evidence.insert(token.0, *evidence);
    }

    fn wants_evidence(&self) -> bool {
        self.wants_evidence
    }

    fn released(&mut self, token: Token, verdict: &Verdict) {
        self.released.push((token.0, *verdict));
    }

    fn hand_over(&mut self, shard: u32, datagram: Datagram) {
        self.handed_over.push((shard, datagram));
    }
}

impl Hub<'_> {
    /// Takes note of the first packet that is dropped, in the order of the capture.
    fn note_dropped(&mut self, number: u64, verdict: &Verdict) {
        if verdict.action == Action::Drop {
            self.first_dropped = Some(self.first_dropped.map_or(number, |first| first.min(number)));
        }
    }

    /// Tells a packet's verdict at `now`, with the numbers behind its reason.
    fn tell(&mut self, line: &PacketLine, verdict: &Verdict, now: Tick) -> io::Result<()> {
        let evidence = self.evidence.remove(&line.number);
        if let Some(explainer) = &mut self.explainer
            && explainer.wanted() == line.number
        {
            explainer.verdict_is(line, verdict, evidence, now);
        }
        let wanted = self.wants_evidence.then_some(verdict);
        let detail = wanted.and_then(|verdict| Detail::of_verdict(line, verdict, evidence.as_ref(), now));
        self.sink.packet(line, verdict, detail.as_ref())
    }

    /// Tells the connections that have ended, in an order that does not depend on shards or places.
    fn tell_ended(&mut self, now: Tick) -> io::Result<()> {
        self.ended.sort_by_key(|record| record.id);
        for record in self.ended.drain(..) {
            self.sink.connection(&record, now)?;
        }
        Ok(())
    }
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        shards: Vec<Shard>,
        sink: Box<dyn Sink + 'a>,
        tells_packets: bool,
        wants_evidence: bool,
    ) -> Driver<'a> {
        Driver {
            shards,
            hub: Hub {
                sink,
                last_id: 0,
                ended: Vec::new(),
                held: HashMap::new(),
                released: Vec::new(),
                handed_over: Vec::new(),
                evidence: HashMap::new(),
                wants_evidence,
                first_dropped: None,
                explainer: None,
            },
            writer: None,
            tells_packets,
            first: None,
            now: Time::default(),
            polled: Time::default(),
            packets: 0,
        }
    }

    /// Has packet `number`'s story told, and nothing read behind it.
    pub(super) fn explain(&mut self, number: u64) {
        let settings = self.shards.first().map(|shard| *shard.settings());
        self.hub.explainer = settings.map(|settings| Explainer::new(number, settings));
    }

    /// Whether the packet that is to be explained has its verdict.
    pub(super) fn is_done(&self) -> bool {
        self.hub.explainer.as_ref().is_some_and(Explainer::is_done)
    }

    /// Writes the story; false where the capture ended before the packet.
    pub(super) fn write_story(&self, name: &str, is_json: bool, out: &mut dyn io::Write) -> io::Result<bool> {
        let explainer = self.hub.explainer.as_ref();
        explainer.map_or(Ok(false), |explainer| explainer.write(name, is_json, out))
    }

    /// How many packets were read.
    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writer.is_some()
    }

    pub(super) fn write_to(&mut self, writer: CaptureWriter) {
        self.writer = Some(writer);
    }

    /// Takes a batch of packets, as bursts of one tick and one shard.
    pub(super) fn take(&mut self, batch: &Batch<'_>) -> Result<(), Error> {
        let mut burst: ArrayVec<Arrival<'_>, BURST> = ArrayVec::new();
        let mut owner = 0;
        for packet in batch.iter() {
            let at = self.time_of(packet.time);
            let frame = packet.frame();
            let shard = self.owner_of(&packet);
            let later = self.is_later(at);
            if later || shard != owner || burst.is_full() {
                self.process(owner, &mut burst)?;
            }
            if later {
                self.turn_to(at).map_err(Error::Output)?;
            }
            self.now = at;
            owner = shard;
            self.packets += 1;
            burst.push(Arrival {
                frame,
                zone: 0,
                admission: Admission::ANY,
                at,
                token: Token(packet.number),
            });
            if self.tells_packets {
                self.tell_one(owner, &packet, &mut burst)?;
                if self.is_done() {
                    return Ok(());
                }
            }
        }
        self.process(owner, &mut burst)
    }

    /// The time since the first packet; a capture that goes back stands still.
    fn time_of(&mut self, time: Timestamp) -> Time {
        let since_first = self.since_first(time);
        Time::from_nanoseconds(u64::try_from(since_first).unwrap_or(0)).max(self.now)
    }

    /// Whether timers may come due between now and `at`.
    fn is_later(&self, at: Time) -> bool {
        at.tick() != self.now.tick() || at.nanoseconds() - self.now.nanoseconds() > STRIDE
    }

    /// Lets time pass without a packet; returns the tick.
    pub(super) fn pass_to(&mut self, time: Timestamp) -> io::Result<Tick> {
        let at = self.time_of(time);
        if self.is_later(at) {
            self.turn_to(at)?;
        }
        self.now = at;
        Ok(at.tick())
    }

    /// The connections that live, by ascending number.
    pub(super) fn live(&self) -> impl Iterator<Item = Record> {
        self.live_places().into_iter().map(|(_, shard, index)| self.shards[shard].record(index))
    }

    /// Number, shard and place of each connection that lives, by ascending number. Only these are sorted: a
    /// million records at once would be a burden.
    fn live_places(&self) -> Vec<(u64, usize, Index)> {
        let mut live = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let table = shard.table();
            live.extend(table.scan().map(|index| (table.connection(index).id(), number, index)));
        }
        live.sort_unstable_by_key(|&(id, ..)| id);
        live
    }

    fn since_first(&mut self, time: Timestamp) -> i128 {
        let first = *self.first.get_or_insert(time);
        time.nanoseconds() - first.nanoseconds()
    }

    fn owner_of(&self, packet: &Packet<'_>) -> usize {
        if self.shards.len() == 1 {
            return 0;
        }
        let hash = steering_hash(&wire::parse(&packet.frame(), Checks::NONE), 0);
        hash as usize % self.shards.len()
    }

    /// Sends a burst through its shard; nothing is told of its packets but what they began and ended.
    fn process(&mut self, owner: usize, burst: &mut ArrayVec<Arrival<'_>, BURST>) -> Result<(), Error> {
        if burst.is_empty() {
            return Ok(());
        }
        let mut verdicts = [Verdict::HELD; BURST];
        self.shards[owner].process(burst, self.now.tick(), &mut verdicts, &mut self.hub);
        for (arrival, verdict) in burst.iter().zip(&verdicts) {
            self.hub.note_dropped(arrival.token.0, verdict);
        }
        burst.clear();
        self.hand_over();
        self.tell_released(self.now.tick())?;
        self.hub.tell_ended(self.now.tick()).map_err(Error::Output)
    }

    /// Sends one packet through its shard, and tells and writes what became of it.
    fn tell_one(
        &mut self,
        owner: usize,
        packet: &Packet<'_>,
        burst: &mut ArrayVec<Arrival<'_>, BURST>,
    ) -> Result<(), Error> {
        let parsed = wire::parse(&packet.frame(), Checks::NONE);
        let since_first = self.since_first(packet.time);
        let line = PacketLine::of(packet.number, since_first, self.now, &parsed);
        if matches!(parsed.transport, wire::Transport::Fragment(_)) {
            let frame = HeldFrame {
                line: line.clone(),
                time: packet.time,
                link: packet.link,
                wire_length: packet.wire_length,
                bytes: self.writer.is_some().then(|| packet.bytes.into()),
            };
            self.hub.held.insert(packet.number, frame);
        }
        if let Some(explainer) = &mut self.hub.explainer {
            let shard = &self.shards[owner];
            explainer.packet_comes(&line, &parsed, || shard.glimpse(&parsed, 0, self.now.tick()));
        }
        let mut verdicts = [Verdict::HELD];
        self.shards[owner].process(burst, self.now.tick(), &mut verdicts, &mut self.hub);
        burst.clear();
        self.hand_over();
        if let Some(explainer) = &mut self.hub.explainer {
            let shard = &self.shards[owner];
            explainer.packet_is_done(&line, || shard.glimpse(&parsed, 0, self.now.tick()));
        }
        self.hub.tell_ended(self.now.tick()).map_err(Error::Output)?;
        self.tell_released(self.now.tick())?;
        let [verdict] = verdicts;
        if verdict.action == Action::Held {
            return Ok(());
        }
        // A fragment that is malformed by itself was never held.
        self.hub.held.remove(&packet.number);
        self.hub.note_dropped(line.number, &verdict);
        self.hub.tell(&line, &verdict, self.now.tick()).map_err(Error::Output)?;
        if let (Action::Accept, Some(writer)) = (verdict.action, &mut self.writer) {
            writer.write(packet.time, packet.link, packet.wire_length, packet.bytes)?;
        }
        Ok(())
    }

    /// Gives complete datagrams to the shards that own their connections.
    fn hand_over(&mut self) {
        for (shard, datagram) in std::mem::take(&mut self.hub.handed_over) {
            self.shards[shard as usize].take_over(&datagram, self.now.tick(), self.now, &mut self.hub);
        }
    }

    /// Tells what became of frames that were held.
    fn tell_released(&mut self, now: Tick) -> Result<(), Error> {
        let released = std::mem::take(&mut self.hub.released);
        for (token, verdict) in &released {
            self.hub.note_dropped(*token, verdict);
            let Some(frame) = self.hub.held.remove(token) else { continue };
            self.hub.tell(&frame.line, verdict, now).map_err(Error::Output)?;
            if let (Action::Accept, Some(writer), Some(bytes)) =
                (verdict.action, &mut self.writer, &frame.bytes)
            {
                writer.write(frame.time, frame.link, frame.wire_length, bytes)?;
            }
        }
        Ok(())
    }

    /// As [`Driver::tell_released`], of fragments whose time was up at the same tick: their order must not
    /// depend on who held them.
    fn tell_released_in_order(&mut self, now: Tick) -> io::Result<()> {
        self.hub.released.sort_by_key(|(token, _)| *token);
        self.tell_released(now).map_err(|error| match error {
            Error::Output(error) => error,
            Error::Capture(_)
            | Error::Begin(_)
            | Error::Memory(_)
            | Error::Capacity(_)
            | Error::Differences(_)
            | Error::NoSuchPacket { .. } => io::Error::other(error),
        })
    }

    /// Turns the clock to `at`. Ticks wrap, so a gap of weeks or years is crossed in strides.
    fn turn_to(&mut self, at: Time) -> io::Result<()> {
        while at.nanoseconds() - self.polled.nanoseconds() > STRIDE {
            self.polled = Time::from_nanoseconds(self.polled.nanoseconds() + STRIDE);
            self.run_timers(self.polled.tick())?;
            // The wheel's hand must not fall further behind than ticks can tell apart.
            self.poll(self.polled.tick())?;
        }
        self.run_timers(at.tick())
    }

    /// Lets every timer before or at `now` do its work, tick by tick, so that connections end in order.
    fn run_timers(&mut self, now: Tick) -> io::Result<()> {
        while let Some(tick) = self.next_event().filter(|tick| tick.has_passed(now)) {
            self.poll(tick)?;
        }
        Ok(())
    }

    fn next_event(&self) -> Option<Tick> {
        let events = self.shards.iter().filter_map(Shard::next_event);
        events.reduce(|a, b| if b.is_before(a) { b } else { a })
    }

    fn poll(&mut self, tick: Tick) -> io::Result<()> {
        for shard in &mut self.shards {
            while !shard.poll(tick, POLL_BUDGET, &mut self.hub) {}
        }
        self.tell_released_in_order(tick)?;
        self.hub.tell_ended(tick)
    }

    /// Closes the file of accepted frames.
    pub(super) fn finish_writing(&mut self) -> Result<(), Error> {
        self.writer.take().map_or(Ok(()), |writer| Ok(writer.finish()?))
    }

    /// Tells what became of fragments that still wait: no more will come.
    pub(super) fn release_fragments(&mut self) -> io::Result<()> {
        for shard in &mut self.shards {
            shard.flush_fragments(&mut self.hub);
        }
        self.tell_released_in_order(self.now.tick())
    }

    /// Tells what still lives and the summary; with `drain` lets everything end first.
    pub(super) fn finish(mut self, drain: bool) -> io::Result<()> {
        if drain {
            while let Some(tick) = self
                .shards
                .iter()
                .filter_map(Shard::next_event)
                .reduce(|a, b| if b.is_before(a) { b } else { a })
            {
                self.poll(tick)?;
            }
        }
        self.release_fragments()?;
        let now = self.now.tick();
        let (mut by_protocol, mut by_states) = (BTreeMap::new(), BTreeMap::new());
        let live = self.live_places();
        for &(_, shard, index) in &live {
            let record = self.shards[shard].record(index);
            self.hub.sink.connection(&record, now)?;
            let name = protocol_name(record.protocol, record.originator.0.is_ipv6()).into_owned();
            *by_protocol.entry(name).or_insert(0) += 1;
            if let Some([originator, responder]) = record.states {
                *by_states.entry(format!("{originator}/{responder}")).or_insert(0) += 1;
            }
        }
        let mut counters: Option<Counters> = None;
        for shard in &self.shards {
            match &mut counters {
                Some(sum) => sum.add(shard.counters()),
                None => counters = Some(shard.counters().clone()),
            }
        }
        let Some(counters) = counters else { return Ok(()) };
        self.hub.sink.summary(&Summary {
            packets: self.packets,
            counters: &counters,
            start: self.first,
            by_protocol: by_protocol.into_iter().collect(),
            by_states: by_states.into_iter().collect(),
            live: live.len() as u64,
            first_dropped: self.hub.first_dropped,
        })
    }
}
