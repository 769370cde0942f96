//! A shard as `run` would have it, and the frames that it is given.
//!
//! ```text
//!   write 1  read 1           locate 1 │ write 2  read 2  judge 1  locate 2 │ write 3  read 3  judge 2 …
//!                                      └─────────── a turn ─────────────────┘
//! ```
//!
//! As with a worker that has more packets waiting, two bursts are under way at once: each turn reads the one that was
//! written and judges the one before.

use std::fmt;
use std::io;

use super::error::Error;
use super::frames::{Flow, Frames, Step, Version, Written};
use super::plan::{Opening, Part};
use crate::fragments::Token;
use crate::shard::{Action, Admission, Arrival, Arrivals, BURST, Burst, Change, Class, Datagram, End};
use crate::shard::{Observer, POLL_BUDGET, Record, Shard, Verdict};
use crate::table::HashKeys;
use crate::tcp::State;
use crate::time::{Span, SystemClock, Tick, Time};
use crate::wire::{Flags, Frame, Link};

/// The segments of a whole connection: a handshake, 100 bytes and their acknowledgement, both FINs.
pub(super) const WHOLE: [Step; 9] = [
    step(Flags::SYN, false, 100, 0),
    step(Flags::SYN.with(Flags::ACK), true, 100, 101),
    step(Flags::ACK, false, 101, 101),
    Step { data: true, ..step(Flags::ACK.with(Flags::PSH), false, 101, 101) },
    step(Flags::ACK, true, 101, 201),
    step(Flags::FIN.with(Flags::ACK), false, 201, 101),
    step(Flags::ACK, true, 101, 202),
    step(Flags::FIN.with(Flags::ACK), true, 101, 202),
    step(Flags::ACK, false, 202, 102),
];

/// How many of [`WHOLE`] a handshake is.
pub(super) const HANDSHAKE: usize = 3;

/// A segment without data.
pub(super) const fn step(flags: Flags, back: bool, seq: u32, ack: u32) -> Step {
    Step { flags, back, seq, ack, data: false }
}

/// Numbers connections and counts those whose timer has ended them.
#[derive(Debug, Default)]
struct Listener {
    ids: u64,
    timed_out: u64,
}

impl Observer for Listener {
    #[inline]
    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    #[inline]
    fn ended(&mut self, _change: Change, record: &Record) {
        self.timed_out += u64::from(matches!(record.end, Some(End::Closed | End::Expired)));
    }

    fn released(&mut self, _token: Token, _verdict: &Verdict) {}

    fn hand_over(&mut self, _shard: u32, _datagram: Datagram) {}
}

/// A burst that was read, and is not judged yet.
#[derive(Debug)]
struct UnderWay {
    burst: Burst,
    written: Written,
    at: Time,
    /// How many of its packets belong to open connections: what the load expects, to be held against the verdicts.
    known: usize,
}

impl UnderWay {
    fn nothing() -> Box<UnderWay> {
        let (written, at) = (Written::default(), Time::default());
        Box::new(UnderWay { burst: Burst::new(), written, at, known: 0 })
    }
}

/// A burst's frames, for the shard.
struct Given<'a> {
    frames: &'a Frames,
    written: &'a Written,
    at: Time,
}

impl Arrivals for Given<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.written.count()
    }

    #[inline(always)]
    fn arrival(&self, place: usize) -> Arrival<'_> {
        let frame = Frame::whole(self.frames.frame(self.written, place), Link::Ethernet);
        Arrival { frame, zone: 0, admission: Admission::ANY, at: self.at, token: Token(0) }
    }
}

/// A shard, its frames and its clock.
pub(super) struct Engine {
    pub(super) shard: Shard,
    pub(super) frames: Frames,
    clock: SystemClock,
    /// How far the engine's clock is ahead of the machine's, in nanoseconds.
    ahead: u64,
    listener: Listener,
    /// The burst that was sent last, and room for the next one.
    under_way: Box<UnderWay>,
    spare: Box<UnderWay>,
    verdicts: [Verdict; BURST],
    /// How many of them are the last judged burst's, and how many of its packets belong to open connections.
    judged: usize,
    known: usize,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("shard", &self.shard).finish_non_exhaustive()
    }
}

impl Engine {
    /// A shard with room for `capacity` connections, and none yet.
    pub(super) fn new(capacity: u32, part: &Part) -> Result<Engine, Error> {
        let layout = Shard::layout_for_connections(capacity).map_err(Error::Capacity)?;
        let shard = Shard::new(layout, HashKeys::random()?, part.settings, Tick::new(0));
        let bytes = layout.mapped_bytes();
        let each = bytes / u64::from(capacity.max(1));
        let shard = shard.map_err(|error| Error::Memory {
            what: format!("{capacity} connections ({each} bytes each)"),
            bytes,
            error,
        })?;
        Ok(Engine {
            shard,
            frames: Frames::new()?,
            clock: SystemClock::new(),
            ahead: 0,
            listener: Listener::default(),
            under_way: UnderWay::nothing(),
            spare: UnderWay::nothing(),
            verdicts: [Verdict::HELD; BURST],
            judged: 0,
            known: 0,
        })
    }

    /// The present instant of the engine's clock, which runs as fast as the machine's.
    #[inline]
    pub(super) fn now(&self) -> Time {
        Time::from_nanoseconds(self.clock.now().nanoseconds() + self.ahead)
    }

    /// Sets the engine's clock forward to `to`; it never goes back.
    pub(super) fn skip_to(&mut self, to: Time) {
        self.ahead += to.nanoseconds().saturating_sub(self.now().nanoseconds());
    }

    /// Takes the handshakes of these connections, 32 at a time, through the shard.
    pub(super) fn open(&mut self, flows: u32, version: Version, opening: &Opening<'_>) -> Result<(), Error> {
        for first in (0..flows).step_by(BURST) {
            let batch = first..flows.min(first.saturating_add(BURST as u32));
            let opened = u64::from(batch.end - batch.start);
            self.exchange(batch.map(Flow), &WHOLE[..HANDSHAKE], version, self.now())?;
            opening.add(opened);
        }
        self.expect_live(State::Established, flows)
    }

    /// Takes `steps`, the first a SYN, of each of up to 32 connections through the shard.
    pub(super) fn exchange(
        &mut self,
        flows: impl Iterator<Item = Flow> + Clone,
        steps: &[Step],
        version: Version,
        now: Time,
    ) -> Result<(), Error> {
        for &step in steps {
            self.frames.begin();
            flows.clone().for_each(|flow| self.frames.write(version, flow, step));
            let known = if step.flags == Flags::SYN { 0 } else { self.frames.count() };
            self.send(now, known);
            self.judge_last();
            self.expect()?;
        }
        Ok(())
    }

    /// A turn as `run` does it: what is due within the budget, then [`Engine::send_polled`]. Returns how many connections
    /// came due.
    #[inline]
    pub(super) fn send(&mut self, now: Time, known: usize) -> u64 {
        let tick = now.tick();
        let before = self.listener.timed_out;
        self.shard.poll(tick, POLL_BUDGET, &mut self.listener);
        self.send_polled(now, known);
        self.listener.timed_out - before
    }

    /// Ends everything that is due, however many turns it takes.
    #[inline]
    pub(super) fn poll_until_done(&mut self, now: Time) {
        while !self.shard.poll(now.tick(), POLL_BUDGET, &mut self.listener) {}
    }

    /// Sends the burst that was written, of whose packets so many belong to open connections, and judges the one that was
    /// sent before.
    #[inline]
    pub(super) fn send_polled(&mut self, now: Time, known: usize) {
        let written = *self.frames.written();
        let next = &mut *self.spare;
        (next.written, next.at, next.known) = (written, now, known);
        self.shard.read(&mut next.burst, &Given { frames: &self.frames, written: &written, at: now });
        self.judge(now);
        self.shard.locate(&mut self.spare.burst);
        std::mem::swap(&mut self.spare, &mut self.under_way);
    }

    /// Judges the burst that is under way, if there is one.
    #[inline]
    fn judge(&mut self, now: Time) {
        let UnderWay { burst, written, at, known } = &mut *self.under_way;
        let given = Given { frames: &self.frames, written, at: *at };
        self.shard.judge(burst, &given, now.tick(), &mut self.verdicts, &mut self.listener);
        (self.judged, self.known) = (written.count(), *known);
        (*written, *known) = (Written::default(), 0);
    }

    /// Judges the burst that was sent last, as a worker does that finds no other one waiting.
    pub(super) fn judge_last(&mut self) {
        self.judge(self.under_way.at);
    }

    /// The verdicts of the burst that was judged last.
    #[inline]
    pub(super) fn verdicts(&self) -> &[Verdict] {
        self.verdicts.get(..self.judged).unwrap_or_default()
    }

    /// How many of its packets belong to open connections.
    #[inline]
    pub(super) const fn known(&self) -> usize {
        self.known
    }

    /// Fails unless every packet of that burst was accepted, as established where it belongs to an open connection, and
    /// where it does not as one that begins one.
    #[inline]
    pub(super) fn expect(&self) -> Result<(), Error> {
        let is = |verdict: &Verdict, class| verdict.class == class && verdict.action == Action::Accept;
        let count = |class| self.verdicts().iter().filter(|verdict| is(verdict, class)).count();
        if count(Class::Established) == self.known
            && (self.known == self.judged || self.known + count(Class::New) == self.judged)
        {
            return Ok(());
        }
        Err(self.unexpected(|verdict| is(verdict, Class::Established) || is(verdict, Class::New)))
    }

    /// The first verdict that is none of those expected, as an error.
    #[cold]
    pub(super) fn unexpected(&self, is_expected: impl Fn(&Verdict) -> bool) -> Error {
        let verdicts = self.verdicts();
        let other = verdicts.iter().find(|verdict| !is_expected(verdict)).or(verdicts.first());
        Error::Refused(other.copied().unwrap_or(Verdict::HELD))
    }

    /// Fails unless this many connections have an endpoint in `state`.
    pub(super) fn expect_live(&self, state: State, expected: u32) -> Result<(), Error> {
        let found = self.shard.census().in_state(state);
        if found == u64::from(expected) { Ok(()) } else { Err(Error::Lost { state, expected, found }) }
    }

    /// All memory that the shard holds for its table and its timers, in bytes.
    pub(super) fn memory(&self) -> io::Result<u64> {
        self.shard.table().resident_bytes()
    }
}

/// A span in nanoseconds.
pub(super) const fn nanoseconds(span: Span) -> u64 {
    span.milliseconds() as u64 * crate::time::TICK_NANOSECONDS
}
