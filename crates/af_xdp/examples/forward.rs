//! Forwards every packet between two interfaces, queue 0 of each, in both directions, without copying it:
//!
//! ```text
//!            ┌──────────── one UMEM ────────────┐
//!   first ──▶ RX ─────────── frames ────────▶ TX ──▶ second
//!   first ◀── TX ◀────────── frames ─────────── RX ◀── second
//!            └── completion ─▶ spare ─▶ fill ───┘
//! ```
//!
//! As root: `cargo run --release --example forward -- eth1 eth2`. Interfaces with more than one queue want
//! `ethtool -L eth1 combined 1` first; to see packets for other addresses they must be promiscuous. Ends
//! with an error or a signal; the XDP programs then detach by themselves.

use std::error::Error;
use std::fs;
use std::io;
use std::os::fd::AsFd;

use af_xdp::{
    BindOptions, CompletionRing, FillRing, Frame, RxRing, SocketHandle, TxRing, Umem, UmemOptions, Wake,
};

pub(crate) mod xdp;

use xdp::{Choice, Mode, Redirect};

/// What may go wrong is only to be shown.
type Failure = Box<dyn Error + Send + Sync>;

/// The most packets that are taken at once.
const BURST: usize = 64;
/// Slots of each ring.
const SIZE: u32 = 2048;

fn main() -> Result<(), Failure> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let [first, second] = &names[..] else { return Err("usage: forward INTERFACE INTERFACE".into()) };
    let index = |name: &str| -> Result<u32, Failure> {
        let text = fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
        Ok(text.map_err(|error| format!("{name}: {error}"))?.trim().parse()?)
    };
    forward([index(first)?, index(second)?], || false)
}

/// An interface's queue, with all four rings.
struct Port {
    rx: RxRing,
    tx: TxRing,
    fill: FillRing,
    completion: CompletionRing,
    socket: SocketHandle,
    _program: Redirect,
}

impl Port {
    /// Binds, gives the kernel frames to receive into, and only then lets packets come.
    fn open(umem: &Umem, interface: u32, spare: &mut Vec<Frame>) -> Result<Port, Failure> {
        let options = BindOptions {
            rx: SIZE,
            tx: SIZE,
            fill: SIZE,
            completion: SIZE,
            multi_buffer: true,
            ..BindOptions::new(interface, 0)
        };
        let socket = umem.bind(&options)?;
        let handle = socket.handle();
        let (Some(rx), Some(tx), Some(mut fill), Some(completion)) =
            (socket.rx, socket.tx, socket.fill, socket.completion)
        else {
            return Err("two different interfaces are needed".into());
        };
        refill(&mut fill, spare);
        // Not every driver can run the program; behind the driver it always runs, more slowly.
        let program = Redirect::attach(interface, Choice::Queue, 1, Mode::Native, true)
            .or_else(|_| Redirect::attach(interface, Choice::Queue, 1, Mode::Generic, true))?;
        program.set(0, &handle)?;
        Ok(Port { rx, tx, fill, completion, socket: handle, _program: program })
    }

    /// Has the kernel send what waits in the TX ring.
    fn send(&mut self) -> io::Result<()> {
        while self.tx.free() < SIZE && self.tx.needs_wakeup() {
            match self.tx.wake()? {
                Wake::Sent => break,
                // The completion ring may be full: the caller reaps, and then we try again.
                Wake::Again if self.completion.pending() > 0 => break,
                Wake::Again | Wake::Dropped => {}
            }
        }
        Ok(())
    }
}

/// Gives spare frames to the kernel to receive into, as many as it has room for.
fn refill(fill: &mut FillRing, spare: &mut Vec<Frame>) {
    let count = spare.len().min(fill.free() as usize);
    for frame in spare.drain(spare.len() - count..) {
        // There is room; were there none, the frame would be lost.
        let pushed = fill.push(frame);
        debug_assert!(pushed.is_ok());
    }
    fill.commit();
}

/// Takes a burst from one port and hands it to the other; returns how many descriptors that were.
fn pass(from: &mut Port, to: &mut Port, spare: &mut Vec<Frame>) -> io::Result<usize> {
    to.completion.reap(usize::MAX, |frame| spare.push(frame));
    // No more than the other side can take: what it cannot take waits in the RX ring, and the kernel drops
    // and counts what then does not fit there.
    let room = (to.tx.free() as usize).min(BURST);
    let passed = from.rx.receive(room, |packet| {
        // A descriptor keeps its continuation bit: packets in several frames pass as well.
        if let Err(packet) = to.tx.push(packet) {
            spare.push(packet.frame());
        }
    });
    if passed > 0 {
        to.tx.commit();
    }
    to.send()?;
    refill(&mut from.fill, spare);
    if from.fill.needs_wakeup() {
        from.fill.wake()?;
    }
    Ok(passed)
}

/// Forwards between two interfaces, by index, until `is_over`.
pub(crate) fn forward(interfaces: [u32; 2], is_over: impl Fn() -> bool) -> Result<(), Failure> {
    // Each port may have all of its rings full.
    let (umem, frames) = Umem::new(&UmemOptions { frames: 8 * SIZE, ..UmemOptions::default() })?;
    let mut spare: Vec<Frame> = frames.collect();
    let mut first = Port::open(&umem, interfaces[0], &mut spare)?;
    let mut second = Port::open(&umem, interfaces[1], &mut spare)?;
    while !is_over() {
        let passed = pass(&mut first, &mut second, &mut spare)? + pass(&mut second, &mut first, &mut spare)?;
        if passed == 0 {
            xdp::wait([first.socket.as_fd(), second.socket.as_fd()])?;
        }
    }
    Ok(())
}
