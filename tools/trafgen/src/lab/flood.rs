//! The smallest packets, as many as can be, from either of two sources; the interface at the server's end counts.
//!
//! ```text
//!   generator ─► la-client ═ la-in [ middle ] la-out ═ la-server ─► counted, and dropped
//! ```
//!
//! Neither source is fair to all. A socket's buffers are what the kernel passes on best, but making them takes the
//! ends' core, and where the middle has an XDP program that core has to run it, too: it cannot offer what Lastack
//! could take. Frames are cheap, but the kernel has to make buffers of them, and to give their memory back across
//! cores. So both are measured.
//!
//! The server has another address than the packets name while they come. Its kernel drops what is for
//! somebody else at the first look, which is the least that a receiver can do.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use lastack::lab::{INSIDE_INTERFACE, Interface, Lab, Mac, Namespace, SERVER_INTERFACE, VethEnd};

use super::cores::{self, Moment, Usage, Watched};
use super::injector::Injector;
use super::load::Segments;
use super::middle::Middle;
use super::{ENDS, WARM_UP};
use crate::Failure;

/// 64 bytes on a wire, where four more check the frame.
const LENGTH: usize = 60;
const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// The most that are asked for at a time.
const BURST: u64 = 8192;
/// The pause between two bursts where there is a rate to keep.
pub(super) const PACE: Duration = Duration::from_micros(870);
/// An address to which no packet is sent.
const ELSEWHERE: Mac = Mac([2, 0, 0, 0, 0, 0x77]);

/// Where packets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// An AF_XDP socket.
    Socket,
    /// Frames of an XDP program.
    Frames,
}

/// What was seen while a flood lasted.
pub(crate) struct Flood {
    /// Packets that the generator has given to the kernel.
    pub(crate) sent: u64,
    /// Packets that arrived at the server.
    pub(crate) received: u64,
    pub(crate) usage: Usage,
}

impl Flood {
    /// In a second: sent, and arrived.
    pub(crate) fn rates(&self) -> [f64; 2] {
        [self.sent, self.received].map(|count| count as f64 / self.usage.elapsed.as_secs_f64())
    }

    /// Nanoseconds of the ends' core for each packet that arrived.
    pub(crate) fn ends(&self) -> f64 {
        self.each(self.usage.ends)
    }

    /// Nanoseconds for each packet that arrived.
    pub(crate) fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e9 / self.received as f64
    }
}

/// Sends packets of so many flows, from a socket segments of connections that were opened, otherwise UDP: `rate`
/// in a second, in bursts every millisecond or so, or as many as can be.
pub(crate) fn flood(
    middle: &Middle,
    source: Source,
    flows: u16,
    rate: Option<u64>,
    duration: Duration,
) -> Result<Flood, Failure> {
    // Before the server has another address: whoever learns addresses from traffic has to learn the right one.
    let segments = match source {
        Source::Socket => Some(Segments::open(middle, u32::from(flows))?),
        Source::Frames => None,
    };
    let sink = Sink::open(&middle.lab.server, SERVER_INTERFACE, Lab::SERVER_MAC)?;
    use_gro(&middle.lab, source == Source::Frames)?;
    let flood = run(middle, segments, flows, &sink, rate, duration);
    use_gro(&middle.lab, false)?;
    flood
}

/// The generator alone: its packets are counted as soon as they come out of its veth.
pub(crate) fn alone(rate: u64, duration: Duration) -> Result<Flood, Failure> {
    let middle = Middle::nothing()?;
    let segments = Segments::bare(&middle, 1000)?;
    let sink = Sink::open(&middle.lab.middle, INSIDE_INTERFACE, ELSEWHERE)?;
    run(&middle, Some(segments), 1000, &sink, Some(rate), duration)
}

/// Gives two interfaces queues of their own, which a veth has with GRO: the middle's first, which then takes
/// frames without socket buffers, and the server's, whose packets would otherwise wait, and be lost, in the same
/// queue of the middle's core as those that have not been forwarded yet.
fn use_gro(lab: &Lab, on: bool) -> Result<(), Failure> {
    lab.middle.interface(INSIDE_INTERFACE)?.set_offloads(on)?;
    lab.server.interface(SERVER_INTERFACE)?.set_offloads(on)?;
    Ok(())
}

/// Floods with `segments`, or with frames made by the kernel.
fn run(
    middle: &Middle,
    segments: Option<Segments>,
    flows: u16,
    sink: &Sink<'_>,
    rate: Option<u64>,
    duration: Duration,
) -> Result<Flood, Failure> {
    let interface = Interface::index(&middle.lab.client_interface()?);
    let ends = [VethEnd::new("la-idle"), VethEnd::new("la-nowhere")];
    let (idle, _) = middle.lab.client.add_veth(&ends[0], &middle.lab.client, &ends[1])?;
    let nowhere = idle.index();
    let packet = Packet::new(middle, flows);
    let sent = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (count, end) = (Arc::clone(&sent), Arc::clone(&stop));
    let thread = middle.lab.client.spawn("generator", move || {
        cores::bind(ENDS)?;
        match segments {
            Some(segments) => segments.send(rate, &count, &end),
            None => inject(&Injector::new(interface, nowhere, packet)?, rate, &count, &end),
        }
    })?;
    let watched = Watched::of(middle.process())?;
    let look = || Ok::<_, Failure>((sent.load(Relaxed), sink.count()?, Moment::now(&watched)?));
    thread::sleep(WARM_UP);
    let before = look();
    thread::sleep(duration);
    let after = look();
    stop.store(true, Relaxed);
    thread.join().map_err(|_| "the generator has panicked")??;
    idle.delete()?;
    let (before, after) = (before?, after?);
    Ok(Flood { sent: after.0 - before.0, received: after.1 - before.1, usage: after.2.since(&before.2) })
}

/// An interface that counts what comes to it, and to which none of it is addressed.
struct Sink<'a> {
    namespace: &'a Namespace,
    interface: &'static str,
    /// The hardware address that it has otherwise.
    mac: Mac,
}

impl<'a> Sink<'a> {
    fn open(namespace: &'a Namespace, interface: &'static str, mac: Mac) -> Result<Sink<'a>, Failure> {
        namespace.interface(interface)?.set_mac(ELSEWHERE)?;
        Ok(Sink { namespace, interface, mac })
    }

    /// How many packets have come since it was made.
    fn count(&self) -> Result<u64, Failure> {
        let text = self.namespace.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        let prefix = format!("{}:", self.interface);
        let numbers = text.lines().find_map(|line| line.trim_start().strip_prefix(&prefix));
        let count = numbers.and_then(|numbers| numbers.split_whitespace().nth(1));
        Ok(count.ok_or("the interface that counts is gone")?.parse()?)
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        // What would fail then says so itself.
        let _ = self.namespace.interface(self.interface).and_then(|interface| interface.set_mac(self.mac));
    }
}

/// A packet that is sent again and again.
pub(crate) struct Packet {
    /// All of it, of the first flow.
    pub(crate) bytes: Vec<u8>,
    /// The number of flows. Each adds its number to the source port, and takes it from the checksum.
    pub(crate) flows: u16,
}

impl Packet {
    /// Where UDP's source port stands.
    pub(crate) const PORT: usize = ETHERNET + IPV4;
    /// Where its checksum does.
    pub(crate) const CHECKSUM: usize = Packet::PORT + 6;

    /// To the server behind a middle; all checksums are right.
    fn new(middle: &Middle, flows: u16) -> Packet {
        let mut packet = Packet { bytes: vec![0; LENGTH], flows };
        let addresses = Addresses { next_hop: middle.next_hop(), server: middle.server() };
        // With one of these in the payload, the checksum is large enough to be counted down.
        for salt in [0, 0x8000] {
            addresses.write(salt, &mut packet.bytes);
            if packet.read(Packet::CHECKSUM) > flows {
                break;
            }
        }
        packet
    }

    /// Two bytes of it.
    pub(crate) fn read(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }
}

/// Where packets go.
struct Addresses {
    next_hop: Mac,
    server: Ipv4Addr,
}

impl Addresses {
    /// A UDP packet of the first flow; all checksums are right.
    fn write(&self, salt: u16, frame: &mut [u8]) {
        let client = Lab::CLIENT.0;
        let (ethernet, packet) = frame.split_at_mut(ETHERNET);
        ethernet[..6].copy_from_slice(&self.next_hop.0);
        ethernet[6..12].copy_from_slice(&Lab::CLIENT_MAC.0);
        ethernet[12..].copy_from_slice(&[0x08, 0x00]);
        let (ip, udp) = packet.split_at_mut(IPV4);
        let length = (IPV4 + udp.len()) as u16;
        // Version and header length; don't fragment; 64 hops; UDP.
        ip.copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        ip[2..4].copy_from_slice(&length.to_be_bytes());
        ip[12..16].copy_from_slice(&client.octets());
        ip[16..].copy_from_slice(&self.server.octets());
        let sum = checksum(&[&*ip]);
        ip[10..12].copy_from_slice(&sum);
        let udp_length = (udp.len() as u16).to_be_bytes();
        udp.fill(0);
        udp[..2].copy_from_slice(&10_000_u16.to_be_bytes());
        // The port of "discard".
        udp[2..4].copy_from_slice(&9_u16.to_be_bytes());
        udp[4..6].copy_from_slice(&udp_length);
        udp[8..10].copy_from_slice(&salt.to_be_bytes());
        let sum = checksum(&[&client.octets(), &self.server.octets(), &[0, 17], &udp_length, &*udp]);
        udp[6..8].copy_from_slice(&sum);
    }
}

/// The Internet checksum (RFC 1071) of parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!sum as u16).to_be_bytes()
}

/// Sends until `stop`, and says in `sent` how much.
fn inject(
    injector: &Injector,
    rate: Option<u64>,
    sent: &AtomicU64,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let start = Instant::now();
    let mut count: u64 = 0;
    while !stop.load(Relaxed) {
        let due = rate.map_or(BURST, |rate| {
            let by_now = (start.elapsed().as_secs_f64() * rate as f64) as u64;
            by_now.saturating_sub(count).min(BURST)
        });
        if due > 0 {
            injector.send(due as u32)?;
            count += due;
        }
        sent.store(count, Relaxed);
        if rate.is_some() {
            thread::sleep(PACE);
        }
    }
    Ok(())
}
