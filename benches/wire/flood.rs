//! The smallest packets, as many as can be: an AF_XDP socket at the client's end sends, the interface at the
//! server's end counts.
//!
//! ```text
//!   4096 frames, each a whole packet ─► TX ring ─► la-client ═ … ═ la-server ─► counted, and dropped
//!     ▲                                              │
//!     └────────────── completion ring ◄──────────────┘
//! ```
//!
//! A packet is written once and sent again and again. Of the generator's core, most goes to the kernel's copy of
//! each packet; what [`ceiling`] measures is all that can be offered. Where the middle has an XDP program, that
//! core also brings each packet to it, and to the socket behind it: then less is offered.
//!
//! The server has another address than the packets name while they come. Its kernel drops what is for
//! somebody else at the first look, which is the least that a receiver can do.

use std::collections::VecDeque;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use af_xdp::{BindOptions, Copy, Descriptor, Socket, Umem, UmemOptions};
use lastack::lab::{INSIDE_INTERFACE, Interface, Lab, Mac, Namespace, SERVER_INTERFACE};

use crate::cores::{self, Usage};
use crate::middle::{Middle, Process};
use crate::{ENDS, Failure, WARM_UP};

/// 64 bytes on a wire, where four more check the frame.
const LENGTH: usize = 60;
const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// Packets, and frames for them.
const FRAMES: u32 = 4096;
/// The most that are put into the ring at a time, and that one system call sends.
const BURST: u32 = 256;
/// An address to which no packet is sent.
const ELSEWHERE: Mac = Mac([2, 0, 0, 0, 0, 0x77]);

/// What was seen while a flood lasted.
pub(crate) struct Flood {
    /// Packets that the generator has given to the kernel.
    pub(crate) sent: u64,
    /// Packets that arrived at the server.
    pub(crate) received: u64,
    pub(crate) seconds: f64,
    pub(crate) usage: Usage,
}

/// Sends packets of so many UDP flows, `rate` in a second or as many as can be.
pub(crate) fn flood(
    middle: &Middle,
    flows: u16,
    rate: Option<u64>,
    duration: Duration,
) -> Result<Flood, Failure> {
    let sink = Sink::open(&middle.lab.server, SERVER_INTERFACE, Lab::SERVER_MAC)?;
    let header = Header { next_hop: middle.next_hop(), server: middle.server() };
    let generator = Generator::open(&middle.lab, &header, flows)?;
    run(generator, &sink, rate, middle.process(), duration)
}

/// How many packets a second the generator can offer: they are counted as soon as they come out of its veth.
pub(crate) fn ceiling(duration: Duration) -> Result<f64, Failure> {
    let middle = Middle::nothing()?;
    let sink = Sink::open(&middle.lab.middle, INSIDE_INTERFACE, ELSEWHERE)?;
    let header = Header { next_hop: middle.next_hop(), server: middle.server() };
    let generator = Generator::open(&middle.lab, &header, 1000)?;
    let flood = run(generator, &sink, None, None, duration)?;
    Ok(flood.received as f64 / flood.seconds)
}

fn run(
    generator: Generator,
    sink: &Sink<'_>,
    rate: Option<u64>,
    process: Option<&Process>,
    duration: Duration,
) -> Result<Flood, Failure> {
    let sent = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (count, end) = (Arc::clone(&sent), Arc::clone(&stop));
    let thread = thread::Builder::new().name("generator".to_owned()).spawn(move || {
        cores::bind(ENDS)?;
        generator.run(rate, &count, &end)
    })?;
    let look = || Ok::<_, Failure>((Instant::now(), sent.load(Relaxed), sink.count()?, Usage::now(process)?));
    thread::sleep(WARM_UP);
    let before = look();
    thread::sleep(duration);
    let after = look();
    stop.store(true, Relaxed);
    thread.join().map_err(|_| "the generator has panicked")??;
    let (before, after) = (before?, after?);
    Ok(Flood {
        sent: after.1 - before.1,
        received: after.2 - before.2,
        seconds: (after.0 - before.0).as_secs_f64(),
        usage: after.3.since(&before.3),
    })
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

/// Where packets go.
struct Header {
    next_hop: Mac,
    server: Ipv4Addr,
}

impl Header {
    /// A UDP packet of the flow with this number; all checksums are right.
    fn write(&self, flow: u16, frame: &mut [u8]) {
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
        udp[..2].copy_from_slice(&(10_000 + flow).to_be_bytes());
        // The port of "discard".
        udp[2..4].copy_from_slice(&9_u16.to_be_bytes());
        udp[4..6].copy_from_slice(&udp_length);
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

/// A socket that sends, and the packets for it.
struct Generator {
    socket: Socket,
    /// In a queue, not on a stack: every packet has its turn.
    packets: VecDeque<Descriptor>,
}

impl Generator {
    fn open(lab: &Lab, header: &Header, flows: u16) -> Result<Generator, Failure> {
        let index = Interface::index(&lab.client_interface()?);
        let options = UmemOptions { frames: FRAMES, frame_size: 2048, ..UmemOptions::default() };
        let (umem, frames) = Umem::new(&options)?;
        let mut packets = VecDeque::with_capacity(FRAMES as usize);
        for (number, mut frame) in frames.enumerate() {
            header
                .write((number % usize::from(flows)) as u16, &mut umem.whole_frame_mut(&mut frame)[..LENGTH]);
            packets.extend(Descriptor::new(frame, 0, LENGTH));
        }
        let options = BindOptions {
            rx: 0,
            copy: Copy::Copy,
            transmit_budget: Some(BURST),
            ..BindOptions::new(index, 0)
        };
        let socket = lab.client.run(|| umem.bind(&options))??;
        Ok(Generator { socket, packets })
    }

    /// Sends until `stop`, and says in `sent` how much.
    fn run(self, rate: Option<u64>, sent: &AtomicU64, stop: &AtomicBool) -> Result<(), Failure> {
        let Generator { socket, mut packets } = self;
        let (Some(mut tx), Some(mut completion)) = (socket.tx, socket.completion) else {
            return Err("the generator's socket has no rings".into());
        };
        let start = Instant::now();
        let mut count: u64 = 0;
        while !stop.load(Relaxed) {
            completion.reap(usize::MAX, |frame| packets.extend(Descriptor::new(frame, 0, LENGTH)));
            let due = rate.map_or(u64::MAX, |rate| {
                let by_now = (start.elapsed().as_secs_f64() * rate as f64) as u64;
                by_now.saturating_sub(count)
            });
            let room = u64::from(tx.free().min(BURST)).min(due) as usize;
            for packet in packets.drain(..room.min(packets.len())) {
                // There is room.
                tx.push(packet).map_err(|_| "the ring is full after all")?;
                count += 1;
            }
            tx.commit();
            if tx.needs_wakeup() && due > 0 {
                // Whether it has sent everything or not, the next turn goes on.
                tx.wake()?;
            }
            sent.store(count, Relaxed);
        }
        Ok(())
    }
}
