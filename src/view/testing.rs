//! A worker for tests: a real shard behind a real view, driven by hand, one turn after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::events::{self, Kind, Writer};
use super::{Command, Report, View};
use crate::flow;
use crate::fragments::{self, Token};
use crate::shard::{
    Admission, Arrival, Census, Change, Counters, Datagram, Observer, Record, Settings, Shard, Verdict,
};
use crate::table::{HashKeys, Index};
use crate::tcp::{self, State};
use crate::time::Time;
use crate::wire::build::{Builder, Tcp};
use crate::wire::{Checks, Flags, Frame, Link, Ports, Seq};

/// Connections by number: who talks to whom, and the states.
pub(crate) type Copy = BTreeMap<u64, (u16, u16, Option<[State; 2]>)>;

/// What of `record` is in a [`Copy`].
pub(crate) fn entry(record: &Record) -> (u64, (u16, u16, Option<[State; 2]>)) {
    (record.id, (record.originator.1, record.responder.1, record.states))
}

/// The worker.
pub(crate) struct Worker {
    pub(crate) shard: Shard,
    pub(crate) view: Arc<View>,
    pub(crate) now: Time,
    events: Events,
}

struct Events {
    writer: Writer,
    is_wanted: bool,
    /// Numbers of connections: odd or even ones, so that two workers never give the same.
    last_id: u64,
    stride: u64,
}

impl Events {
    fn tell(&self, kind: Kind, change: Change, record: &Record) {
        if self.is_wanted {
            self.writer.write(kind, change, record);
        }
    }
}

impl Observer for Events {
    fn next_id(&mut self) -> u64 {
        self.last_id += self.stride;
        self.last_id
    }
    fn begun(&mut self, change: Change, record: &Record) {
        self.tell(Kind::New, change, record);
    }
    fn changed(&mut self, change: Change, record: &Record) {
        self.tell(Kind::Changed, change, record);
    }
    fn ended(&mut self, change: Change, record: &Record) {
        self.tell(Kind::Ended, change, record);
    }
    fn wants_changes(&self) -> bool {
        self.is_wanted
    }
    fn released(&mut self, _: Token, _: &Verdict) {}
    fn hand_over(&mut self, _: u32, _: Datagram) {}
}

impl Worker {
    /// Worker `number` of `of`, its table for `connections`, its ring for `events`. It starts at `now`.
    pub(crate) fn new(number: u32, of: u32, connections: u32, events: usize, now: Time) -> Worker {
        let settings = Settings {
            checks: Checks::ALL,
            tcp: tcp::Policy::DEFAULT,
            flow: flow::Policy::DEFAULT,
            fragments: fragments::Policy::default(),
            sides: 1,
            shards: of,
            number,
        };
        let layout = Shard::layout_for_connections(connections).unwrap();
        let shard = Shard::new(layout, HashKeys([1, 2, 3, 4]), settings, now.tick()).unwrap();
        let (writer, log) = events::with_capacity(events);
        let report = Report {
            counters: Counters::ZERO,
            census: Census::ZERO,
            work: Default::default(),
            frames: Default::default(),
            sockets: Vec::new(),
        };
        // Nobody sleeps here; the poll may go.
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let view = Arc::new(View::new(number, None, Vec::new(), shard.table().reader(), log, report, waker));
        let last_id = u64::from(number);
        let events = Events { writer, is_wanted: false, last_id, stride: u64::from(of) };
        Worker { shard, view, now, events }
    }

    pub(crate) fn begin(&mut self) {
        self.view.epoch.begin();
        self.events.is_wanted = self.events.writer.is_wanted();
    }

    pub(crate) fn end(&mut self) {
        self.events.writer.publish(self.shard.sequence());
        let report = Report {
            counters: self.shard.counters().clone(),
            census: self.shard.census().clone(),
            ..self.view.report()
        };
        self.view.show(&report);
        self.view.epoch.end();
    }

    /// Within a turn: one frame.
    pub(crate) fn take(&mut self, frame: &[u8]) -> Verdict {
        let arrival = Arrival {
            frame: Frame::whole(frame, Link::Ethernet),
            zone: 0,
            admission: Admission::ANY,
            at: self.now,
            token: Token(0),
        };
        let mut verdict = [Verdict::HELD];
        self.shard.process(&[arrival], self.now.tick(), &mut verdict, &mut self.events);
        verdict[0]
    }

    /// A whole turn: these frames, what is asked, and what is due.
    pub(crate) fn turn(&mut self, frames: &[Vec<u8>]) {
        self.begin();
        for frame in frames {
            self.take(frame);
        }
        while let Some(Command::Delete { connections, done }) = self.view.commands.pop() {
            let found = connections.iter().filter(|(index, id)| self.delete(*index, *id)).count();
            // Whoever asked may have gone.
            let _ = done.send(found);
        }
        self.poll();
        self.end();
    }

    /// Within a turn: ends what is due.
    pub(crate) fn poll(&mut self) {
        while !self.shard.poll(self.now.tick(), 1000, &mut self.events) {}
    }

    /// Within a turn: ends a connection for an operator.
    pub(crate) fn delete(&mut self, index: Index, id: u64) -> bool {
        self.shard.delete(index, id, &mut self.events)
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, milliseconds: u64) {
        self.now = Time::from_nanoseconds(self.now.nanoseconds() + milliseconds * 1_000_000);
    }

    /// All that is in the table, asked of the shard itself.
    pub(crate) fn copy(&self) -> Copy {
        self.shard.table().scan().map(|index| entry(&self.shard.record(index))).collect()
    }
}

pub(crate) const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
pub(crate) const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);

/// A segment of the client at `port`, its numbers counted from both SYNs.
pub(crate) fn there(port: u16, flags: Flags, seq: u32, ack: u32) -> Vec<u8> {
    let tcp = Tcp { flags, seq: Seq(1000 + seq), ack: Seq(1000 + ack), ..Tcp::new(port, 80) };
    Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).tcp(&tcp, &[])
}

/// A segment of the server to the client at `port`.
pub(crate) fn back(port: u16, flags: Flags, seq: u32, ack: u32) -> Vec<u8> {
    let tcp = Tcp { flags, seq: Seq(1000 + seq), ack: Seq(1000 + ack), ..Tcp::new(80, port) };
    Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).tcp(&tcp, &[])
}

/// The handshake of the connection from `port`.
pub(crate) fn handshake(port: u16) -> Vec<Vec<u8>> {
    vec![there(port, Flags::SYN, 0, 0), back(port, SYN_ACK, 0, 1), there(port, Flags::ACK, 1, 1)]
}

/// A datagram from `port` to a name server, over IPv6.
pub(crate) fn datagram(port: u16) -> Vec<u8> {
    let (mut client, mut server) = ([0; 16], [0; 16]);
    (client[0], client[15], server[0], server[15]) = (0xfd, 1, 0xfd, 2);
    Builder::v6(client, server).udp(Ports { source: port, destination: 53 }, &[0; 8])
}

/// An ICMP echo request with this identifier.
pub(crate) fn ping(id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).icmp(8, 0, [high, low, 0, 1], &[0; 8])
}

/// Numbers that look random and are the same in every run (a linear congruence's upper bits).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
