//! What is done one after the other: opening so many connections, talking over them, ending them.
//!
//! ```text
//!   Batch     each connection of a block once      open │ greet │ close │ abort
//!   Traffic   data for so long, over all of them   from the client, the server, or both
//!
//!   step(now): as many as are due ─► wire ─► what has come ─► over? ─┐
//!       ▲────────────────────────────────────────────────────────────┘ no
//! ```
//!
//! A phase is a state machine: time is an argument, and the wire may be anything. [`run`] drives it by a clock.

use serde::Serialize;

use crate::Failure;
use crate::frame::End;
use crate::generator::{Counts, Generator};
use crate::histogram::{Histogram, Percentiles};
use crate::pace::{Pacer, Rate};
use crate::space::Order;
use crate::wire::Wire;

/// How long an answer may take, in nanoseconds. What has none by then is lost.
pub(crate) const PATIENCE: u64 = 500_000_000;

/// What is done with each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// A handshake.
    Open,
    /// The server sends one frame: a connection that the middlebox does not know lets none through. RFC 9693
    /// section 4.6 validates so what was opened.
    Greet,
    /// FINs both ways.
    Close,
    /// An RST; nothing answers.
    Abort,
}

/// Connections from a number on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first: u32,
    /// Not 0.
    pub(crate) count: u32,
}

/// Whether a phase goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Running,
    Over,
}

/// A phase.
pub(crate) trait Phase {
    /// What it has found.
    type Report;

    /// Does what is due.
    fn step(&mut self, generator: &mut Generator, wire: &mut impl Wire, now: u64) -> Step;

    /// What was found; after it is over.
    fn report(&self, generator: &Generator) -> Self::Report;

    /// How far it has come, as a share.
    fn progress(&self, now: u64) -> f64;
}

/// Each connection of a block once.
pub(crate) struct Batch {
    work: Work,
    block: Block,
    order: Order,
    pacer: Pacer,
    /// Without a rate of its own: how many questions may be without an answer.
    window: Option<u32>,
    asked: u32,
    given_up: u32,
    before: Counts,
    start: u64,
    answered: u32,
    last_answer: u64,
    /// The last question or answer.
    last_sign: u64,
}

/// What a batch found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct BatchReport {
    pub(crate) work: Work,
    pub(crate) connections: u32,
    /// With the answer that belongs to it; aborted ones have none, and count when they are sent.
    pub(crate) succeeded: u32,
    pub(crate) refused: u64,
    /// From the first question to the last answer, in seconds.
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// In nanoseconds: there and back; of greetings one way.
    pub(crate) latency: Option<Percentiles>,
}

impl BatchReport {
    pub(crate) fn is_complete(&self) -> bool {
        self.succeeded == self.connections
    }
}

impl Batch {
    /// Begins `now`. Flat out, no more than `window` are without an answer at any time.
    pub(crate) fn new(
        work: Work,
        block: Block,
        rate: Rate,
        window: u32,
        generator: &mut Generator,
        now: u64,
    ) -> Batch {
        histogram(work, generator).clear();
        Batch {
            work,
            block,
            order: Order::new(block.first, block.count),
            pacer: Pacer::new(rate, now),
            window: (rate == Rate::Flat && work != Work::Abort).then_some(window),
            asked: 0,
            given_up: 0,
            before: generator.counts,
            start: now,
            answered: 0,
            last_answer: now,
            last_sign: now,
        }
    }

    /// How many connections have their answer.
    fn answered(&self, counts: &Counts) -> u32 {
        let (now, before) = match self.work {
            // What reached the server is complete; the client's last ACK may still be lost.
            Work::Open => (counts.accepted.min(counts.opened), self.before.accepted.min(self.before.opened)),
            Work::Greet => {
                (counts.received[End::Client as usize], self.before.received[End::Client as usize])
            }
            Work::Close => (counts.closed, self.before.closed),
            Work::Abort => return self.asked,
        };
        u32::try_from(now - before).unwrap_or(u32::MAX)
    }

    fn due(&self, now: u64) -> u32 {
        let left = self.block.count - self.asked;
        let waiting = self.asked.saturating_sub(self.answered + self.given_up);
        let room = self.window.map_or(u32::MAX, |window| window.saturating_sub(waiting));
        self.pacer.due(now).min(left).min(room)
    }
}

/// Where the durations of a work are counted.
fn histogram(work: Work, generator: &mut Generator) -> &mut Histogram {
    match work {
        Work::Open => &mut generator.handshakes,
        Work::Greet => &mut generator.latencies[End::Client as usize],
        Work::Close | Work::Abort => &mut generator.closings,
    }
}

impl Phase for Batch {
    type Report = BatchReport;

    fn step(&mut self, generator: &mut Generator, wire: &mut impl Wire, now: u64) -> Step {
        let mut count = 0;
        for _ in 0..self.due(now) {
            // An order gives each number once; one that found no room must be kept for the next step.
            let mut next = self.order.clone();
            let number = next.next();
            let is_sent = match self.work {
                Work::Open => generator.open(wire, number, now),
                Work::Greet => generator.speak(wire, End::Server, number, now),
                Work::Close => generator.close(wire, number, now),
                Work::Abort => generator.abort(wire, number),
            };
            if !is_sent {
                break;
            }
            self.order = next;
            count += 1;
        }
        self.asked += count;
        self.pacer.take(count);
        generator.receive(wire, now);
        let answered = self.answered(&generator.counts);
        if answered > self.answered {
            (self.answered, self.last_answer) = (answered, now);
            self.last_sign = now;
        }
        if count > 0 {
            self.last_sign = now;
        } else if now.saturating_sub(self.last_sign) > PATIENCE {
            // Room for others, if there are any left.
            self.given_up = self.asked - self.answered.min(self.asked);
        }
        let is_over = self.asked == self.block.count && self.answered + self.given_up >= self.asked;
        if is_over { Step::Over } else { Step::Running }
    }

    fn report(&self, generator: &Generator) -> BatchReport {
        let nanoseconds = self.last_answer.saturating_sub(self.start).max(1);
        let seconds = nanoseconds as f64 / 1e9;
        let succeeded = self.answered.min(self.block.count);
        let latency = match self.work {
            Work::Open => generator.handshakes.percentiles(),
            Work::Greet => generator.latencies[End::Client as usize].percentiles(),
            Work::Close => generator.closings.percentiles(),
            Work::Abort => None,
        };
        BatchReport {
            work: self.work,
            connections: self.block.count,
            succeeded,
            refused: generator.counts.refused - self.before.refused,
            seconds,
            per_second: f64::from(succeeded) / seconds,
            latency,
        }
    }

    fn progress(&self, _now: u64) -> f64 {
        f64::from(self.asked) / f64::from(self.block.count)
    }
}

/// Who talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Direction {
    /// From the client's interface to the server's
    Client,
    /// From the server's interface to the client's
    Server,
    /// Both at the same time, each at the rate
    Both,
}

impl Direction {
    fn has(self, end: End) -> bool {
        match self {
            Direction::Client => end == End::Client,
            Direction::Server => end == End::Server,
            Direction::Both => true,
        }
    }
}

/// Data for some time.
pub(crate) struct Traffic {
    /// By the end that sends; none where it is silent.
    senders: [Option<(Order, Pacer)>; 2],
    start: u64,
    /// When sending ends.
    end: u64,
    before: Counts,
    /// What had been received when sending ended.
    at_end: Option<Counts>,
    received: u64,
    last: u64,
}

/// What one direction carried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Flow {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    /// Frames that were sent, each second.
    pub(crate) offered_per_second: f64,
    /// Frames that arrived, each second.
    pub(crate) per_second: f64,
    /// Bits of frames that arrived, each second; check sequences are not among them.
    pub(crate) bits_per_second: f64,
    /// One way, in nanoseconds; none where frames have no room for a stamp.
    pub(crate) latency: Option<Percentiles>,
}

/// What traffic found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct TrafficReport {
    pub(crate) connections: u32,
    pub(crate) seconds: f64,
    /// Of all directions together.
    pub(crate) per_second: f64,
    pub(crate) loss: f64,
    /// From the client to the server.
    pub(crate) original: Option<Flow>,
    /// From the server to the client.
    pub(crate) reply: Option<Flow>,
}

impl Traffic {
    /// Over a block, at the rate in each direction, for so many nanoseconds from `now` on.
    pub(crate) fn new(
        block: Block,
        direction: Direction,
        rate: Rate,
        duration: u64,
        generator: &mut Generator,
        now: u64,
    ) -> Traffic {
        generator.latencies.iter_mut().for_each(Histogram::clear);
        let sender =
            |end| direction.has(end).then(|| (Order::new(block.first, block.count), Pacer::new(rate, now)));
        Traffic {
            senders: End::BOTH.map(sender),
            start: now,
            end: now + duration,
            before: generator.counts,
            at_end: None,
            received: 0,
            last: now,
        }
    }

    /// How many frames from an end have not arrived.
    fn missing(&self, from: End, generator: &Generator) -> u64 {
        let (before, after, to) = (self.before, generator.counts, from.other());
        let sent = after.sent[from as usize] - before.sent[from as usize];
        sent.saturating_sub(after.received[to as usize] - before.received[to as usize])
    }

    fn flow(&self, from: End, generator: &Generator) -> Option<Flow> {
        self.senders[from as usize].as_ref()?;
        let to = from.other() as usize;
        let seconds = (self.end - self.start) as f64 / 1e9;
        let (before, after) = (self.before, generator.counts);
        let in_time = self.at_end.unwrap_or(after);
        let sent = after.sent[from as usize] - before.sent[from as usize];
        let received = after.received[to] - before.received[to];
        let bytes = in_time.received_bytes[to] - before.received_bytes[to];
        Some(Flow {
            sent,
            received,
            lost: self.missing(from, generator),
            offered_per_second: sent as f64 / seconds,
            per_second: (in_time.received[to] - before.received[to]) as f64 / seconds,
            bits_per_second: bytes as f64 * 8.0 / seconds,
            latency: generator.latencies[to].percentiles(),
        })
    }
}

impl Phase for Traffic {
    type Report = TrafficReport;

    fn step(&mut self, generator: &mut Generator, wire: &mut impl Wire, now: u64) -> Step {
        if now < self.end {
            for (end, sender) in End::BOTH.into_iter().zip(&mut self.senders) {
                let Some((order, pacer)) = sender else { continue };
                let mut count = 0;
                for _ in 0..pacer.due(now) {
                    // Whether there is room or not, the next one has its turn.
                    if !generator.speak(wire, end, order.next(), now) {
                        break;
                    }
                    count += 1;
                }
                pacer.take(count);
            }
        } else if self.at_end.is_none() {
            self.at_end = Some(generator.counts);
            self.last = now;
        }
        generator.receive(wire, now);
        let received: u64 = generator.counts.received.iter().sum();
        if received > self.received {
            (self.received, self.last) = (received, now);
        }
        let is_complete = End::BOTH.into_iter().all(|end| self.missing(end, generator) == 0);
        let is_patient = now.saturating_sub(self.last) <= PATIENCE / 5;
        if now < self.end || (is_patient && !is_complete) { Step::Running } else { Step::Over }
    }

    fn report(&self, generator: &Generator) -> TrafficReport {
        let [original, reply] = End::BOTH.map(|end| self.flow(end, generator));
        let flows = || [&original, &reply].into_iter().flatten();
        let (sent, lost) = flows().fold((0, 0), |sum, flow| (sum.0 + flow.sent, sum.1 + flow.lost));
        TrafficReport {
            connections: generator.connections(),
            seconds: (self.end - self.start) as f64 / 1e9,
            per_second: flows().map(|flow| flow.per_second).sum(),
            loss: if sent == 0 { 0.0 } else { lost as f64 / sent as f64 },
            original,
            reply,
        }
    }

    fn progress(&self, now: u64) -> f64 {
        now.saturating_sub(self.start) as f64 / (self.end - self.start).max(1) as f64
    }
}

/// Drives a phase to its end; `clock` gives nanoseconds, and `tell` hears of the progress, many times a second.
pub(crate) fn run<P: Phase>(
    mut phase: P,
    generator: &mut Generator,
    wire: &mut impl Wire,
    clock: &mut impl FnMut() -> u64,
    tell: &mut impl FnMut(f64),
) -> Result<P::Report, Failure> {
    let mut told = 0;
    loop {
        let now = clock();
        let step = phase.step(generator, wire, now);
        wire.flush()?;
        if step == Step::Over {
            return Ok(phase.report(generator));
        }
        if now - told.min(now) > 100_000_000 {
            told = now;
            tell(phase.progress(now).min(1.0));
        }
    }
}
