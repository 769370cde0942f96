//! The generator in the lab: connections with handshakes, latencies, and the smallest segments.
//!
//! ```text
//!   generator ─┬─ la-client ═ la-in [ middle ] la-out ═ la-server ─┬─ the same generator
//!              └─────────────────── core 0 ────────────────────────┘
//! ```
//!
//! Between handshakes and a flood the server's interface is given up: it then only counts, which costs the
//! middle's core less than to receive. The client's goes on sending, but receives nothing either.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use lastack::lab::{CLIENT_INTERFACE, Lab, SERVER_INTERFACE};

use super::ENDS;
use super::cores::{Moment, Usage, Watched};
use super::flood::PACE;
use super::middle::Middle;
use crate::Failure;
use crate::arguments::Ends;
use crate::frame::Protocol;
use crate::histogram::Percentiles;
use crate::pace::Rate;
use crate::phase::{self, Batch, BatchReport, Block, Direction, Phase, Traffic, Work};
use crate::port::{Interfaces, Port, Xdp};
use crate::setup::Rig;
use crate::wire::Wire;

/// Handshakes under way at the same time.
const WINDOW: u32 = 512;
/// Connections of one client address, less than it has ports.
const CONNECTIONS: u32 = 60_000;
/// Connections over which latencies are measured.
const TALKING: u32 = 1000;
/// Longer than any flood.
const FOR_EVER: u64 = 1 << 60;

/// Both ends, for so many connections that the middle has never seen.
fn rig(middle: &Middle, connections: u32) -> Result<Rig, Failure> {
    let open = |interface| Port::open(interface, &[], Xdp::Native);
    let client = middle.lab.client.run(|| open(CLIENT_INTERFACE))??;
    let server = middle.lab.server.run(|| open(SERVER_INTERFACE))??;
    Rig::on(&ends(middle), connections, Interfaces { client, server: Some(server) })
}

/// Who talks to whom: each time another port of the server.
fn ends(middle: &Middle) -> Ends {
    static PORT: AtomicU16 = AtomicU16::new(2000);
    let port = PORT.fetch_add(1, Relaxed);
    Ends {
        client: CLIENT_INTERFACE.to_owned(),
        server: SERVER_INTERFACE.to_owned(),
        client_address: Lab::CLIENT.0.into(),
        server_address: middle.server().into(),
        client_ports: 1024..=u16::MAX,
        server_ports: port..=port,
        client_next_hop: Some(middle.next_hop().0),
        server_next_hop: Some(middle.next_hop_back().0),
        protocol: Protocol::Tcp,
        size: None,
        queues: Vec::new(),
        xdp: Xdp::Native,
        cpu: Some(ENDS),
        json: false,
    }
}

/// Does `work` on a thread that is then the generator's.
fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    thread::scope(|scope| scope.spawn(work).join().map_err(|_| "the generator has panicked")?)
}

fn batch(rig: &mut Rig, work: Work, count: u32) -> Result<BatchReport, Failure> {
    let now = rig.now();
    let (generator, wire, mut clock) = rig.parts();
    let block = Block { first: 0, count };
    let batch = Batch::new(work, block, Rate::Flat, WINDOW, generator, now);
    let report = phase::run(batch, generator, wire, &mut clock, &mut drop)?;
    // A few may be lost, where queues are short.
    if report.succeeded < count - count / 100 {
        return Err(format!("{} of {count} connections were {}", report.succeeded, work.name()).into());
    }
    Ok(report)
}

/// What opening and closing found.
pub(crate) struct Connections {
    /// Each second.
    pub(crate) opened: f64,
    pub(crate) closed: f64,
    /// Of the middle's core, for each that was opened and closed.
    pub(crate) at_work: Duration,
}

/// Opens connections, then closes them, as fast as answers come.
pub(crate) fn connections(middle: &Middle) -> Result<Connections, Failure> {
    let (opened, closed, usage) = on_a_thread(|| {
        let mut rig = rig(middle, CONNECTIONS)?;
        let watched = Watched::of(middle.process())?;
        let before = Moment::now(&watched)?;
        let opened = batch(&mut rig, Work::Open, CONNECTIONS)?;
        let closed = batch(&mut rig, Work::Close, CONNECTIONS)?;
        let usage: Usage = Moment::now(&watched)?.since(&before);
        Ok((opened, closed, usage))
    })?;
    let at_work = usage.at_work() / CONNECTIONS;
    Ok(Connections { opened: opened.per_second, closed: closed.per_second, at_work })
}

/// How long segments take from the client's end to the server's, at so many a second.
pub(crate) fn latency(middle: &Middle, rate: u64, duration: Duration) -> Result<Percentiles, Failure> {
    on_a_thread(|| {
        let mut rig = rig(middle, TALKING)?;
        batch(&mut rig, Work::Open, TALKING)?;
        let now = rig.now();
        let (generator, wire, mut clock) = rig.parts();
        let block = Block { first: 0, count: TALKING };
        let nanoseconds = duration.as_nanos() as u64;
        let rate = rate.try_into().map_or(Rate::Flat, Rate::PerSecond);
        let traffic = Traffic::new(block, Direction::Client, rate, nanoseconds, generator, now);
        let report = phase::run(traffic, generator, wire, &mut clock, &mut drop)?;
        let latency = report.original.and_then(|flow| flow.latency);
        latency.ok_or_else(|| "no segment has arrived".into())
    })
}

/// The smallest segments of so many connections, from the client's end alone.
pub(crate) struct Segments {
    rig: Rig,
    connections: u32,
}

impl Segments {
    /// Opens the connections, and gives the server's interface up.
    pub(crate) fn open(middle: &Middle, connections: u32) -> Result<Segments, Failure> {
        let mut rig = on_a_thread(|| {
            let mut rig = rig(middle, connections)?;
            batch(&mut rig, Work::Open, connections)?;
            Ok(rig)
        })?;
        rig.wire.client.stop_receiving();
        rig.wire.server = None;
        Ok(Segments { rig, connections })
    }

    /// The same without connections, which nobody would answer.
    pub(crate) fn bare(middle: &Middle, connections: u32) -> Result<Segments, Failure> {
        let mut client = middle.lab.client.run(|| Port::open(CLIENT_INTERFACE, &[], Xdp::Native))??;
        client.stop_receiving();
        let wire = Interfaces { client, server: None };
        let ends = Ends { cpu: None, ..ends(middle) };
        Ok(Segments { rig: Rig::on(&ends, connections, wire)?, connections })
    }

    /// Sends until `stop`, and says in `sent` how many. At a rate it sleeps between bursts, so that what it uses of its
    /// core is what sending takes.
    pub(crate) fn send(
        mut self,
        rate: Option<u64>,
        sent: &AtomicU64,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        crate::setup::bind(ENDS)?;
        let now = self.rig.now();
        let (generator, wire, mut clock) = self.rig.parts();
        let block = Block { first: 0, count: self.connections };
        let pace = rate.and_then(|rate| rate.try_into().ok()).map_or(Rate::Flat, Rate::PerSecond);
        let mut traffic = Traffic::new(block, Direction::Client, pace, FOR_EVER, generator, now);
        let mut before = 0;
        // Nothing is due at a rate of 0.
        while !stop.load(Relaxed) {
            if rate != Some(0) {
                traffic.step(generator, wire, clock());
                wire.flush()?;
            }
            let count = generator.counts.sent[0];
            sent.store(count, Relaxed);
            if rate.is_some() && count == before {
                thread::sleep(PACE);
            }
            before = count;
        }
        Ok(())
    }
}
