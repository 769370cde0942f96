//! A shard as `run` would have it, and the frames that it is given.

use std::fmt;
use std::io;

use arrayvec::ArrayVec;

use super::error::Error;
use super::frames::{Flow, Frames, Step, Version};
use super::plan::{Opening, Part};
use crate::fragments::Token;
use crate::shard::{Action, Admission, Arrival, BURST, Change, Class, Datagram, End, Observer};
use crate::shard::{POLL_BUDGET, Record, Shard, Verdict};
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

/// A shard, its frames and its clock.
pub(super) struct Engine {
    pub(super) shard: Shard,
    pub(super) frames: Frames,
    clock: SystemClock,
    /// How far the engine's clock is ahead of the machine's, in nanoseconds.
    ahead: u64,
    listener: Listener,
    verdicts: [Verdict; BURST],
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
        Ok(Engine {
            shard: Shard::new(layout, HashKeys::random()?, part.settings, Tick::new(0))?,
            frames: Frames::new()?,
            clock: SystemClock::new(),
            ahead: 0,
            listener: Listener::default(),
            verdicts: [Verdict::HELD; BURST],
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
            self.send(now);
            let is_new = step.flags == Flags::SYN;
            self.expect_all(if is_new { Class::New } else { Class::Established })?;
        }
        Ok(())
    }

    /// A turn as `run` does it: what is due within the budget, then the burst that was written. Returns how
    /// many connections came due.
    #[inline]
    pub(super) fn send(&mut self, now: Time) -> u64 {
        let tick = now.tick();
        let before = self.listener.timed_out;
        self.shard.poll(tick, POLL_BUDGET, &mut self.listener);
        self.send_polled(now);
        self.listener.timed_out - before
    }

    /// Ends everything that is due, however many turns it takes.
    #[inline]
    pub(super) fn poll_until_done(&mut self, now: Time) {
        while !self.shard.poll(now.tick(), POLL_BUDGET, &mut self.listener) {}
    }

    /// Sends the burst that was written through the shard.
    #[inline]
    pub(super) fn send_polled(&mut self, now: Time) {
        let mut arrivals: ArrayVec<Arrival<'_>, BURST> = ArrayVec::new();
        for bytes in self.frames.burst() {
            let frame = Frame::whole(bytes, Link::Ethernet);
            arrivals.push(Arrival { frame, zone: 0, admission: Admission::ANY, at: now, token: Token(0) });
        }
        self.shard.process(&arrivals, now.tick(), &mut self.verdicts, &mut self.listener);
    }

    /// The verdicts of the burst that was sent last.
    #[inline]
    pub(super) fn verdicts(&self) -> &[Verdict] {
        &self.verdicts[..self.frames.count()]
    }

    /// Fails unless every packet of the burst was accepted, and all but `new` ones, which begin connections,
    /// as established.
    #[inline]
    pub(super) fn expect(&self, new: usize) -> Result<(), Error> {
        let is = |verdict: &Verdict, class| verdict.class == class && verdict.action == Action::Accept;
        let established = self.verdicts().iter().filter(|verdict| is(verdict, Class::Established)).count();
        if established + new == self.frames.count() && (new == 0 || self.count(Class::New) == new) {
            return Ok(());
        }
        Err(self.unexpected(|verdict| is(verdict, Class::Established) || is(verdict, Class::New)))
    }

    fn expect_all(&self, class: Class) -> Result<(), Error> {
        self.expect(if class == Class::New { self.frames.count() } else { 0 })
    }

    /// How many packets of the burst were accepted as of that class.
    fn count(&self, class: Class) -> usize {
        let is = |verdict: &&Verdict| verdict.class == class && verdict.action == Action::Accept;
        self.verdicts().iter().filter(is).count()
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
