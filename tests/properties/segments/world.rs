//! A shard, its clock, what it tells, and the frames that events become.

use std::net::IpAddr;

use lastack::fragments::Token;
use lastack::shard::{
    Admission, Arrival, BURST, Change, Datagram, Evidence, Observer, Record, Shard, Verdict,
};
use lastack::table::{HashKeys, Index};
use lastack::tcp::Irregular;
use lastack::time::{Tick, Time};
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{Direction, Frame, Link, Ports, Seq, partial_checksum};

use super::event::{Quoted, Sent};
use super::setup::Setup;

/// Both ends of each tuple, client first. One of them talks with its own address, one is IPv6.
const ENDS: [[(IpVersion, u16); 2]; 4] = [
    [(IpVersion::V4([10, 0, 0, 1]), 40_000), (IpVersion::V4([10, 0, 0, 2]), 80)],
    [(IpVersion::V4([10, 0, 0, 1]), 40_001), (IpVersion::V4([10, 0, 0, 2]), 80)],
    [(IpVersion::V4([10, 0, 0, 3]), 5_000), (IpVersion::V4([10, 0, 0, 3]), 5_001)],
    [(IpVersion::V6(1), 40_000), (IpVersion::V6(2), 443)],
];

#[derive(Clone, Copy)]
enum IpVersion {
    V4([u8; 4]),
    V6(u8),
}

/// Breaks the checksum of a whole frame. One in 65,536 has the same as whole and as partial checksum: whatever it is of may
/// change then and it still is the partial one, so it is changed itself.
fn corrupt(frame: &mut [u8]) {
    let byte = match partial_checksum(&Frame::whole(frame, Link::Ethernet)) {
        Some(partial) => partial.field,
        None => frame.len() - 1,
    };
    frame[byte] ^= 1;
}

/// What makes one way to put a question another than the next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lens {
    pub is_mirrored: bool,
    /// Added to what each side sends, client first, and to what the other acknowledges of it.
    pub numbers: [u32; 2],
    /// When the shard starts, in milliseconds.
    pub start: u32,
    /// Whether segments bear a VLAN tag.
    pub is_tagged: bool,
}

/// What an observer hears.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    ids: u64,
    pub begun: Vec<(Change, Record)>,
    pub changed: Vec<(Change, Record)>,
    pub ended: Vec<(Change, Record)>,
    /// The numbers behind the newest verdict, where it has a reason.
    pub evidence: Option<Evidence>,
}

impl Observer for Heard {
    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }
    fn begun(&mut self, change: Change, record: &Record) {
        self.begun.push((change, *record));
    }
    fn changed(&mut self, change: Change, record: &Record) {
        self.changed.push((change, *record));
    }
    fn ended(&mut self, change: Change, record: &Record) {
        self.ended.push((change, *record));
    }
    fn wants_changes(&self) -> bool {
        true
    }
    fn evidence(&mut self, _: Token, evidence: &Evidence) {
        self.evidence = Some(*evidence);
    }
    fn wants_evidence(&self) -> bool {
        true
    }
    fn released(&mut self, _: Token, _: &Verdict) {
        unreachable!("no frame here is a fragment");
    }
    fn hand_over(&mut self, _: u32, _: Datagram) {
        unreachable!("there is one shard");
    }
}

/// Everything that is kept of a connection, wherever it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub index: u32,
    pub record: Record,
    pub tracker: [u64; 5],
    pub note: u32,
    pub round_trip: u16,
    pub annex: Option<[u64; Irregular::WORDS]>,
}

pub(crate) struct World {
    pub shard: Shard,
    pub heard: Heard,
    pub lens: Lens,
    milliseconds: u64,
}

impl World {
    pub(crate) fn new(setup: &Setup, lens: Lens) -> World {
        let layout = Shard::layout_for_connections(if setup.is_tight { 2 } else { 64 });
        let layout = layout.expect("a small table is possible");
        let start = Tick::new(lens.start);
        let shard = Shard::new(layout, HashKeys([1, 2, 3, 4]), setup.settings(), start);
        let shard = shard.expect("memory for a small table");
        World { shard, heard: Heard::default(), lens, milliseconds: u64::from(lens.start) }
    }

    pub(crate) fn wait(&mut self, milliseconds: u32) {
        self.milliseconds += u64::from(milliseconds);
    }

    pub(crate) fn now(&self) -> Tick {
        self.at().tick()
    }

    fn at(&self) -> Time {
        Time::from_nanoseconds(self.milliseconds * 1_000_000)
    }

    /// Does the timers' work that is next, if it is due at `until` or without end; returns its tick.
    pub(crate) fn poll_next(&mut self, until: Option<Tick>) -> Option<Tick> {
        let next = self.shard.next_event()?;
        if until.is_some_and(|now| !next.has_passed(now)) {
            return None;
        }
        while !self.shard.poll(next, 3, &mut self.heard) {}
        Some(next)
    }

    pub(crate) fn poll(&mut self) {
        let now = self.now();
        while self.poll_next(Some(now)).is_some() {}
    }

    /// Sends frames as one burst.
    pub(crate) fn send(&mut self, frames: &[Vec<u8>]) -> Vec<Verdict> {
        let at = self.at();
        self.heard.evidence = None;
        let mut verdicts = Vec::new();
        for burst in frames.chunks(BURST) {
            let arrivals: Vec<Arrival<'_>> = burst
                .iter()
                .map(|bytes| Arrival {
                    frame: Frame::whole(bytes, Link::Ethernet),
                    zone: 0,
                    admission: Admission::ANY,
                    at,
                    token: Token(0),
                })
                .collect();
            let mut part = vec![Verdict::HELD; burst.len()];
            self.shard.process(&arrivals, at.tick(), &mut part, &mut self.heard);
            verdicts.extend(part);
        }
        verdicts
    }

    /// Every connection in the table, in the order of their numbers.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        let table = self.shard.table();
        let mut kept: Vec<Kept> = table.scan().map(|index| self.kept_at(index)).collect();
        kept.sort_unstable_by_key(|kept| kept.record.id);
        kept
    }

    fn kept_at(&self, index: Index) -> Kept {
        let table = self.shard.table();
        let connection = table.connection(index);
        Kept {
            index: index.number(),
            record: self.shard.record(index),
            tracker: connection.tracker(),
            note: connection.note(),
            round_trip: connection.round_trip(),
            annex: table.annex(index).map(|annex| std::array::from_fn(|word| annex.get(word))),
        }
    }

    /// Address and port of one end of a tuple.
    pub(crate) fn end(&self, tuple: u8, of: Direction) -> (IpAddr, u16) {
        let (address, port) = self.raw_end(tuple, of);
        let address = match address {
            IpVersion::V4(bytes) => IpAddr::from(bytes),
            IpVersion::V6(host) => IpAddr::from(v6(host)),
        };
        (address, port)
    }

    fn raw_end(&self, tuple: u8, of: Direction) -> (IpVersion, u16) {
        let of = if self.lens.is_mirrored { of.opposite() } else { of };
        ENDS[usize::from(tuple)][of.index()]
    }

    fn path(&self, tuple: u8, from: Direction) -> Builder {
        match (self.raw_end(tuple, from).0, self.raw_end(tuple, from.opposite()).0) {
            (IpVersion::V4(source), IpVersion::V4(destination)) => Builder::v4(source, destination),
            (IpVersion::V6(source), IpVersion::V6(destination)) => Builder::v6(v6(source), v6(destination)),
            (IpVersion::V4(_), IpVersion::V6(_)) | (IpVersion::V6(_), IpVersion::V4(_)) => {
                unreachable!("both ends of a tuple have the same version")
            }
        }
    }

    /// The frame that a segment travels in.
    pub(crate) fn segment(&self, sent: &Sent) -> Vec<u8> {
        let path = self.path(sent.tuple, sent.from);
        let path = if self.lens.is_tagged { path.vlan(1) } else { path };
        let mut frame = path.tcp(&self.tcp(sent), &vec![0; sent.payload.into()]);
        if sent.is_corrupt {
            corrupt(&mut frame);
        }
        frame
    }

    fn tcp(&self, sent: &Sent) -> Tcp {
        let own = self.lens.numbers[sent.from.index()];
        let other = self.lens.numbers[sent.from.opposite().index()];
        let mut options = Vec::new();
        if let Some(scale) = sent.scale {
            options.extend([1, 3, 3, scale]);
        }
        if let Some(value) = sent.timestamp {
            options.extend([1, 1, 8, 10]);
            options.extend(value.to_be_bytes());
            options.extend([0; 4]);
        }
        Tcp {
            ports: Ports {
                source: self.raw_end(sent.tuple, sent.from).1,
                destination: self.raw_end(sent.tuple, sent.from.opposite()).1,
            },
            seq: Seq(sent.seq.wrapping_add(own)),
            ack: Seq(sent.ack.wrapping_add(other)),
            flags: sent.flags,
            window: sent.window,
            options,
        }
    }

    /// The frame of an ICMP error: host unreachable, from whom the quoted segment went to.
    pub(crate) fn error(&self, quoted: &Quoted) -> Vec<u8> {
        let seq = quoted.seq.wrapping_add(self.lens.numbers[quoted.of.index()]);
        let ports = Ports {
            source: self.raw_end(quoted.tuple, quoted.of).1,
            destination: self.raw_end(quoted.tuple, quoted.of.opposite()).1,
        };
        let tcp = Tcp { seq: Seq(seq), ..Tcp::new(ports.source, ports.destination) };
        let inner = self.path(quoted.tuple, quoted.of).link(Link::RawIp).tcp(&tcp, &[]);
        let back = if quoted.is_misdirected { quoted.of } else { quoted.of.opposite() };
        let is_v6 = inner[0] >> 4 == 6;
        let (kind, code, header) = if is_v6 { (1, 3, 40) } else { (3, 1, 20) };
        let cut = &inner[..header + usize::from(quoted.quoted)];
        self.path(quoted.tuple, back).icmp(kind, code, [0; 4], cut)
    }
}

fn v6(host: u8) -> [u8; 16] {
    [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
}
