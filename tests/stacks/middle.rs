//! The tracker between the endpoints: the project's own engine, one shard of it, on a clock that is an argument.

use std::collections::HashMap;
use std::net::IpAddr;

use lastack::fragments::Token;
use lastack::shard::{
    Action, Admission, Arrival, Change, Datagram, End, Observer, Record, Settings, Shard, Verdict,
};
use lastack::table::{HashKeys, Index};
use lastack::tcp::{Policy, State, TimeWaitReuse};
use lastack::time::{Span, Time};
use lastack::wire::{Checks, Frame, Link, protocol};
use lastack::{flow, fragments};

use crate::random::Draw;

/// An endpoint's address and port.
pub(crate) type Socket = (IpAddr, u16);

/// MSL in milliseconds: half of the ten seconds for which smoltcp stays in TIME_WAIT.
pub(crate) const MSL: u32 = 5_000;

/// More than ever live at once, closed and stray ones included.
const CAPACITY: u32 = 256;

/// What the shard told.
#[derive(Default)]
struct Heard {
    ids: u64,
    /// Live TCP connections, by originator and responder.
    live: HashMap<(Socket, Socket), Index>,
    /// Those that have ended, in order.
    ended: Vec<Record>,
}

impl Observer for Heard {
    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }
    fn begun(&mut self, change: Change, record: &Record) {
        if record.protocol == protocol::TCP {
            self.live.insert((record.originator, record.responder), change.index);
        }
    }
    fn ended(&mut self, _: Change, record: &Record) {
        self.live.remove(&(record.originator, record.responder));
        self.ended.push(*record);
    }
    fn wants_changes(&self) -> bool {
        true
    }
    fn released(&mut self, _: Token, _: &Verdict) {}
    fn hand_over(&mut self, _: u32, _: Datagram) {}
}

/// The shard and everything around it.
pub(crate) struct Middle {
    shard: Shard,
    heard: Heard,
    on_ethernet: bool,
    fed: u64,
    pub(crate) policy: Policy,
}

impl Middle {
    /// A tracker whose clock stands at `now` milliseconds.
    pub(crate) fn new(random: &mut fastrand::Rng, now: u64) -> Middle {
        let mut policy = Policy::DEFAULT;
        policy.timeouts.msl = Span::from_milliseconds(MSL);
        // smoltcp repeats a FIN for ever; a tracker that gives up before it does is not what is tested here.
        policy.orphan_retries = u8::MAX;
        policy.time_wait_assassination = random.chance(30);
        policy.time_wait_reuse =
            random.pick(&[TimeWaitReuse::Rfc1122, TimeWaitReuse::Rfc6191, TimeWaitReuse::Rfc6191]);
        let settings = Settings {
            checks: Checks::ALL,
            tcp: policy,
            flow: flow::Policy::DEFAULT,
            fragments: fragments::Policy::default(),
            sides: 2,
            shards: 1,
            number: 0,
        };
        let layout = Shard::layout_for_connections(CAPACITY).unwrap();
        let keys = HashKeys(std::array::from_fn(|_| random.u64(..)));
        let shard = Shard::new(layout, keys, settings, time(now).tick()).unwrap();
        Middle { shard, heard: Heard::default(), on_ethernet: random.chance(50), fed: 0, policy }
    }

    /// Runs the timers up to `now`.
    pub(crate) fn poll(&mut self, now: u64) {
        while !self.shard.poll(time(now).tick(), 1000, &mut self.heard) {}
    }

    /// The verdicts on packets that come at once.
    pub(crate) fn process(&mut self, packets: &[&[u8]], now: u64) -> Vec<Verdict> {
        self.poll(now);
        let frames: Vec<Vec<u8>> = packets.iter().map(|packet| self.frame(packet)).collect();
        let link = if self.on_ethernet { Link::Ethernet } else { Link::RawIp };
        let arrivals: Vec<Arrival<'_>> = frames
            .iter()
            .map(|bytes| Arrival {
                frame: Frame::whole(bytes, link),
                zone: 0,
                admission: Admission::ANY,
                at: time(now),
                token: Token(0),
            })
            .collect();
        let mut verdicts = vec![Verdict::HELD; packets.len()];
        self.shard.process(&arrivals, time(now).tick(), &mut verdicts, &mut self.heard);
        self.fed += verdicts.iter().filter(|verdict| verdict.action != Action::Held).count() as u64;
        verdicts
    }

    fn frame(&self, packet: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(packet.len() + 14);
        if self.on_ethernet {
            frame.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
            frame.extend_from_slice(if packet[0] >> 4 == 6 { &[0x86, 0xdd] } else { &[8, 0] });
        }
        frame.extend_from_slice(packet);
        frame
    }

    /// The states that the table holds for the connection between `a` and `b`, in this order; none where it has
    /// no such connection.
    pub(crate) fn states(&self, a: Socket, b: Socket) -> Option<[State; 2]> {
        let forward = self.heard.live.get(&(a, b));
        let backward = self.heard.live.get(&(b, a));
        let record = self.shard.record(*forward.or(backward)?);
        let [originator, responder] = record.states?;
        Some(if record.originator == a { [originator, responder] } else { [responder, originator] })
    }

    /// Lets the clock run until the table is empty; returns the time.
    pub(crate) fn drain(&mut self, mut now: u64) -> u64 {
        while let Some(next) = self.shard.next_event() {
            now += u64::from(next.since(time(now).tick()).milliseconds()).max(1);
            self.poll(now);
        }
        now
    }

    /// The records of ended TCP connections between `a` and `b`, in the order of their ends.
    pub(crate) fn ended(&self, a: Socket, b: Socket) -> Vec<Record> {
        let is_theirs = |record: &&Record| {
            let ends = (record.originator, record.responder);
            record.protocol == protocol::TCP && (ends == (a, b) || ends == (b, a))
        };
        self.heard.ended.iter().filter(is_theirs).copied().collect()
    }

    /// After [`Middle::drain`]: what the counters say must be what was seen.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let counters = self.shard.counters();
        let mut ends = [0; End::ALL.len()];
        for record in &self.heard.ended {
            ends[record.end.ok_or("an ended connection without an end")? as usize] += 1;
        }
        let live = self.shard.table().next_live(Index::new(0), CAPACITY);
        let empty = (0..State::ALL.len()).all(|a| self.shard.census().by_states[a].iter().all(|n| *n == 0));
        let checks = [
            (counters.ended == ends, "the counters of ends"),
            (counters.begun == self.heard.ended.len() as u64, "as many ended as begun"),
            (counters.accepted + counters.dropped == self.fed, "every packet counted once"),
            (counters.by_class.iter().sum::<u64>() == self.fed, "every packet in one class"),
            (live.is_none() && self.heard.live.is_empty(), "an empty table after the drain"),
            (empty, "an empty census after the drain"),
        ];
        checks
            .into_iter()
            .find(|(holds, _)| !holds)
            .map_or(Ok(()), |(_, what)| Err(format!("does not hold: {what} ({counters:?})")))
    }
}

/// The instant `milliseconds` after the epoch.
fn time(milliseconds: u64) -> Time {
    Time::from_nanoseconds(milliseconds * 1_000_000)
}
