//! An interface with an AF_XDP socket on each of its queues.
//!
//! ```text
//!   frames ─► TX ring ─► interface ─► completion ring ─► frames
//!   frames ─► fill ring ─► interface, XDP program ─► RX ring ─► read, and answered in place or free again
//! ```
//!
//! The XDP program is Lastack's own: it brings every frame to the socket of its queue, and nothing to the
//! host. Opened in the network namespace of the calling thread; closed when dropped, or when the process ends.

use std::os::fd::AsFd;

use af_xdp::{
    BindOptions, CompletionRing, Descriptor, FillRing, Frame, RxRing, TxRing, Umem, UmemOptions, Wake,
};
use lastack::link;
use lastack::xdp::{Attached, Loaded, Mode, Steering};

use crate::Failure;
use crate::frame::End;
use crate::wire::Wire;

/// Frames in each ring.
const RING: u32 = 2048;
/// The most that one system call sends.
const BUDGET: u32 = 256;
/// The most that is taken from a ring at a time.
const BURST: usize = 64;
/// A fill ring is filled up once so many frames fit.
const REFILL: u32 = 64;
/// Bytes in a frame: enough for what an MTU of 1500 lets through, behind the kernel's 256.
const FRAME_SIZE: u32 = 2048;

/// How the XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Xdp {
    /// In the driver where it can, otherwise in the network stack
    Auto,
    /// In the driver
    Native,
    /// In the network stack
    Generic,
}

/// An interface that is open.
pub(crate) struct Port {
    name: String,
    mac: [u8; 6],
    umem: Umem,
    free: Vec<Frame>,
    queues: Vec<Queue>,
    /// None: nothing is received any more.
    program: Option<Attached>,
}

/// A socket's rings.
struct Queue {
    rx: RxRing,
    tx: TxRing,
    fill: FillRing,
    completion: CompletionRing,
    /// Something was put into the TX ring that the kernel may not have looked at.
    is_dirty: bool,
}

impl Port {
    /// Opens an interface: these queues of it, or all.
    pub(crate) fn open(name: &str, queues: &[u32], xdp: Xdp) -> Result<Port, Failure> {
        let link = link::find(name).map_err(|error| error.to_string())?;
        let Some(mac) = link.mac else {
            return Err(
                format!("{name} is no Ethernet interface: the generator sends Ethernet frames").into()
            );
        };
        if !link.up {
            return Err(format!("{name} is down: ip link set {name} up").into());
        }
        let queues = chosen(name, queues, link.rx_queues)?;
        let frames = queues.len() as u32 * 2 * RING + 1024;
        let options = UmemOptions { frames, frame_size: FRAME_SIZE, ..UmemOptions::default() };
        let (umem, mut frames) =
            Umem::new(&options).map_err(|error| format!("memory for the frames of {name}: {error}"))?;
        let steering = Steering { zone: 0, workers: 1, queues: link.rx_queues.max(1) };
        let failed = |error: &dyn std::fmt::Display| Failure::from(format!("{name}: {error}"));
        let mut program = Loaded::load(steering).map_err(|error| failed(&error))?;
        let mut opened = Vec::new();
        for queue in queues {
            let options = BindOptions {
                transmit_budget: Some(BUDGET),
                rx: RING,
                tx: RING,
                fill: RING,
                completion: RING,
                ..BindOptions::new(link.index, queue)
            };
            let mut socket = umem.bind(&options).map_err(|error| failed(&error))?;
            let rings = (socket.rx.take(), socket.tx.take(), socket.fill.take(), socket.completion.take());
            let (Some(rx), Some(tx), Some(mut fill), Some(completion)) = rings else {
                return Err(format!("{name}: queue {queue} has a socket of this process already").into());
            };
            for frame in frames.by_ref().take(RING as usize) {
                // The ring is new and has room for as many; what it gives back would be lost, and is not needed.
                let _ = fill.push(frame);
            }
            fill.commit();
            program.set_socket(queue, 0, socket.as_fd()).map_err(|error| failed(&error))?;
            opened.push(Queue { rx, tx, fill, completion, is_dirty: false });
        }
        let program = attach(program, link.index, xdp).map_err(|error| failed(&error))?;
        let free = frames.collect();
        Ok(Port { name: name.to_owned(), mac, umem, free, queues: opened, program: Some(program) })
    }

    /// The interface's own hardware address.
    pub(crate) fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Gives what arrives back to the host; it can still send. An interface without an XDP program is cheaper to its
    /// kernel, and to that at the other end.
    pub(crate) fn stop_receiving(&mut self) {
        self.program = None;
    }

    fn send(&mut self, length: usize, write: impl FnOnce(&mut [u8])) -> bool {
        let Port { umem, free, queues, .. } = self;
        let queue = &mut queues[0];
        if queue.tx.free() == 0 {
            return false;
        }
        let Some(mut frame) = free.pop() else { return false };
        write(&mut umem.whole_frame_mut(&mut frame)[..length]);
        match Descriptor::new(frame, 0, length) {
            Ok(descriptor) => queue.push(descriptor, free),
            Err(frame) => free.push(frame),
        }
        true
    }

    fn receive(&mut self, mut each: impl FnMut(&mut [u8]) -> Option<usize>) {
        let Port { umem, free, queues, .. } = self;
        for Queue { rx, tx, is_dirty, .. } in queues {
            rx.receive(BURST, |mut descriptor| {
                let answer = each(umem.bytes_mut(&mut descriptor));
                let is_answered = answer.is_some_and(|length| descriptor.set_len(length).is_ok());
                if !is_answered {
                    return free.push(descriptor.frame());
                }
                match tx.push(descriptor) {
                    Ok(()) => *is_dirty = true,
                    // The ring is full: the answer is lost, as it would be at a host that is overrun.
                    Err(descriptor) => free.push(descriptor.frame()),
                }
            });
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let Port { name, free, queues, .. } = self;
        for queue in queues {
            queue.flush().map_err(|error| format!("{name} does not send any more: {error}"))?;
            queue.completion.reap(usize::MAX, |frame| free.push(frame));
            queue.refill(free);
        }
        Ok(())
    }
}

impl Queue {
    /// There must be room.
    fn push(&mut self, descriptor: Descriptor, free: &mut Vec<Frame>) {
        match self.tx.push(descriptor) {
            Ok(()) => self.is_dirty = true,
            Err(descriptor) => free.push(descriptor.frame()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if !self.is_dirty {
            return Ok(());
        }
        self.tx.commit();
        // What it does not take now it takes at the next flush.
        self.is_dirty = self.tx.needs_wakeup() && self.tx.wake()? != Wake::Sent;
        Ok(())
    }

    fn refill(&mut self, free: &mut Vec<Frame>) {
        let room = self.fill.free();
        if room >= REFILL {
            for _ in 0..room {
                let Some(frame) = free.pop() else { break };
                if let Err(frame) = self.fill.push(frame) {
                    free.push(frame);
                    break;
                }
            }
            self.fill.commit();
        }
        if self.fill.needs_wakeup() {
            // It fails where the interface is down, which sending says as well.
            let _ = self.fill.wake();
        }
    }
}

/// The queues asked for, or all.
fn chosen(name: &str, asked: &[u32], there: u32) -> Result<Vec<u32>, Failure> {
    if let Some(missing) = asked.iter().find(|queue| **queue >= there) {
        return Err(format!(
            "{name} has no queue {missing}: it has {there}, counted from 0 (ethtool -L {name} sets how many)"
        )
        .into());
    }
    Ok(if asked.is_empty() { (0..there).collect() } else { asked.to_vec() })
}

fn attach(program: Loaded, index: u32, xdp: Xdp) -> Result<Attached, lastack::xdp::AttachError> {
    let result = match xdp {
        Xdp::Native => program.attach(index, Mode::Native),
        Xdp::Generic => program.attach(index, Mode::Generic),
        Xdp::Auto => match program.attach(index, Mode::Native) {
            Err(refused) if refused.1.generic_may_work() => refused.0.attach(index, Mode::Generic),
            result => result,
        },
    };
    result.map_err(|refused| refused.1)
}

/// An interface for each end.
pub(crate) struct Interfaces {
    pub(crate) client: Port,
    /// None while the interface itself counts what comes to it; nothing can be sent from there then.
    pub(crate) server: Option<Port>,
}

impl Interfaces {
    fn at(&mut self, end: End) -> Option<&mut Port> {
        match end {
            End::Client => Some(&mut self.client),
            End::Server => self.server.as_mut(),
        }
    }
}

impl Wire for Interfaces {
    fn send(&mut self, from: End, length: usize, write: impl FnOnce(&mut [u8])) -> bool {
        self.at(from).is_some_and(|port| port.send(length, write))
    }

    fn receive(&mut self, at: End, each: impl FnMut(&mut [u8]) -> Option<usize>) {
        if let Some(port) = self.at(at) {
            port.receive(each);
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.client.flush()?;
        self.server.as_mut().map_or(Ok(()), Port::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_not_there_is_named_with_how_many_there_are() {
        assert_eq!(chosen("la-x", &[], 3).unwrap(), [0, 1, 2]);
        assert_eq!(chosen("la-x", &[2], 3).unwrap(), [2]);
        let error = chosen("la-x", &[0, 3], 3).unwrap_err().to_string();
        assert_eq!(error, "la-x has no queue 3: it has 3, counted from 0 (ethtool -L la-x sets how many)");
    }
}
