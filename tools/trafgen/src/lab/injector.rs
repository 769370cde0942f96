//! Packets made by the kernel, from one that it is shown: the cheapest sender there is.
//!
//! ```text
//!   bpf(PROG_TEST_RUN, live frames): a packet ─► copies ─► XDP program ─► XDP_TX ─► la-client ═ la-in
//!                                                           └ gives each a flow
//! ```
//!
//! A socket, AF_XDP's included, has the kernel make a buffer and copy for every packet, which costs as much as
//! what is to be measured; frames that an XDP program sends cost a tenth, and come however full the middle is.
//! Their memory is a pool of core 0's: whoever frees one on another core pays for that. They look to the other end as if they
//! came from an XDP program of the interface, so that end must have an XDP program or GRO.
//!
//! The program is attached to an interface where nothing ever comes, for one reason: the kernel rewrites its own
//! code for each test run of a program that it does not have in use, and waits for all cores to see that.
#![allow(
    unsafe_code,
    reason = "bpf(2) has no safe form, and the loader that Lastack uses does not send live frames"
)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::flood::Packet;

/// Packets that are on their way at the same time; the most that the kernel takes.
const BATCH: u32 = 256;

/// A program that sends a packet by the interface that it is said to have come from.
pub(crate) struct Injector {
    program: OwnedFd,
    /// Keeps it attached.
    _idle: OwnedFd,
    packet: Packet,
    /// `struct xdp_md`: data, its end, metadata, interface, queue, the interface that it leaves by.
    context: [u32; 6],
}

impl Injector {
    /// For the interface with this index, in the calling thread's network namespace; nothing comes to `idle`.
    pub(crate) fn new(interface: u32, idle: u32, packet: Packet) -> io::Result<Injector> {
        const LINK_CREATE: u32 = 28;
        const ATTACH_XDP: u32 = 37;
        const NATIVE: u32 = 1 << 2;
        const PROGRAM_LOAD: u32 = 5;
        const XDP: u32 = 6;
        let code = code(&packet);
        let mut attributes = Attributes::default();
        attributes.words(&[(0, XDP), (4, code.len() as u32)]);
        attributes.pointer(8, code.as_ptr().cast());
        attributes.pointer(16, c"GPL".as_ptr().cast());
        let program = attributes.create(PROGRAM_LOAD)?;
        let mut attributes = Attributes::default();
        let fd = program.as_raw_fd().cast_unsigned();
        attributes.words(&[(0, fd), (4, idle), (8, ATTACH_XDP), (12, NATIVE)]);
        let link = attributes.create(LINK_CREATE)?;
        let context = [0, packet.bytes.len() as u32, 0, interface, 0, 0];
        Ok(Injector { program, _idle: link, packet, context })
    }

    /// Sends so many packets, flows at random; from a thread in the namespace of the interface.
    pub(crate) fn send(&self, count: u32) -> io::Result<()> {
        const TEST_RUN: u32 = 10;
        const LIVE_FRAMES: u32 = 1 << 1;
        let mut attributes = Attributes::default();
        attributes
            .words(&[(0, self.program.as_raw_fd().cast_unsigned()), (8, self.packet.bytes.len() as u32)]);
        attributes.pointer(16, self.packet.bytes.as_ptr());
        attributes.words(&[(32, count), (40, size_of_val(&self.context) as u32)]);
        attributes.pointer(48, self.context.as_ptr().cast());
        attributes.words(&[(64, LIVE_FRAMES), (72, BATCH)]);
        attributes.call(TEST_RUN).map(drop)
    }
}

/// The program: writes port and checksum of a random flow, and sends.
fn code(packet: &Packet) -> Vec<u64> {
    const RANDOM: i32 = 7;
    const DROP: i32 = 1;
    const TX: i32 = 3;
    const SOURCE_PORT: i16 = Packet::PORT as i16;
    const CHECKSUM: i16 = Packet::CHECKSUM as i16;
    let read = |at| i32::from(packet.read(at));
    let end = Packet::CHECKSUM + 2;
    vec![
        instruction(0xbf, 6, 1, 0, 0),                       // r6 = the context
        instruction(0x85, 0, 0, 0, RANDOM),                  // r0 = a random number
        instruction(0x97, 0, 0, 0, i32::from(packet.flows)), // r0 %= flows
        instruction(0x61, 2, 6, 0, 0),                       // r2 = the packet
        instruction(0x61, 3, 6, 4, 0),                       // r3 = its end
        instruction(0xbf, 4, 2, 0, 0),                       // r4 = r2
        instruction(0x07, 4, 0, 0, end as i32),              // r4 += as far as is written
        instruction(0x2d, 4, 3, 10, 0),                      // if r4 > r3 skip ten
        instruction(0xb7, 5, 0, 0, read(Packet::PORT)),      // r5 = the first flow's port
        instruction(0x0f, 5, 0, 0, 0),                       // r5 += r0
        instruction(0xdc, 5, 0, 0, 16),                      // r5 in network order
        instruction(0x6b, 2, 5, SOURCE_PORT, 0),             // the port = r5
        instruction(0xb7, 5, 0, 0, read(Packet::CHECKSUM)),  // r5 = the first flow's checksum
        instruction(0x1f, 5, 0, 0, 0),                       // r5 -= r0
        instruction(0xdc, 5, 0, 0, 16),                      // r5 in network order
        instruction(0x6b, 2, 5, CHECKSUM, 0),                // the checksum = r5
        instruction(0xb7, 0, 0, 0, TX),                      // return TX
        instruction(0x95, 0, 0, 0, 0),
        instruction(0xb7, 0, 0, 0, DROP), // return DROP
        instruction(0x95, 0, 0, 0, 0),
    ]
}

/// An instruction: code, destination and source register, offset, number.
fn instruction(code: u8, to: u8, from: u8, offset: i16, number: i32) -> u64 {
    let ([o0, o1], [n0, n1, n2, n3]) = (offset.to_ne_bytes(), number.to_ne_bytes());
    u64::from_ne_bytes([code, from << 4 | to, o0, o1, n0, n1, n2, n3])
}

/// `union bpf_attr`: every command has its own layout, zero behind its end.
#[repr(C, align(8))]
#[derive(Default)]
struct Attributes([u32; 20]);

impl Attributes {
    /// Sets words, each at its place in bytes.
    fn words(&mut self, words: &[(usize, u32)]) {
        words.iter().for_each(|&(at, word)| self.0[at / 4] = word);
    }

    /// Sets an address, at a place of eight bytes.
    fn pointer(&mut self, at: usize, target: *const u8) {
        let [low, high] = [target.addr() as u32, (target.addr() as u64 >> 32) as u32];
        let words = if cfg!(target_endian = "little") { [low, high] } else { [high, low] };
        self.0[at / 4..at / 4 + 2].copy_from_slice(&words);
    }

    /// bpf(2), for a command that makes something.
    fn create(&self, command: u32) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the call has made this descriptor, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// bpf(2).
    fn call(&self, command: u32) -> io::Result<i32> {
        // SAFETY: all callers set addresses of values that live longer than the call, each with its length, and
        // the kernel only reads from them.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_ptr(), size_of_val(&self.0)) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
    }
}
