//! The XDP program: what it is, how it is loaded, attached, and asked what it missed.
//!
//! ```text
//!  steer.bpf.c ─ tools/build-xdp ─► steer.bpf.o ─ embedded ─► program ─ kernel ─┬─► Attached   (an interface)
//!                                                  (zone, workers, queues)      └─► Trial      (no interface)
//!
//!  frame ─► interface's queue ─► steer: key = queue × workers + hash % workers ─► AF_XDP socket of a worker
//!                                                                └ none there: dropped, counted as Missed
//! ```
//!
//! The program computes what [`crate::shard::steering_hash`] computes, and lets nothing through to the host's
//! own network stack.
//!
//! Life cycle: first the sockets, bound and with their fill rings filled; then [`Loaded::load`],
//! [`Loaded::set_socket`] for each of them, and last [`Loaded::attach`]: no frame finds its socket missing. From
//! then on the program runs until the value is dropped. The kernel holds it by a file descriptor of this process,
//! so it goes with the process too, however that ends. Nothing is pinned, and no bpffs is needed.
//!
//! Called by the daemon, once for each port; never from the packet path. Whoever attaches must be in the
//! interface's network namespace; afterwards the value works from anywhere.

mod error;
mod program;
mod trial;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, XskMap};
use aya::programs::XdpMode;

pub use error::AttachError;
use error::Stage;
pub use trial::Trial;

/// How an interface's frames are shared among workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steering {
    /// The port's zone, part of the hash.
    pub zone: u16,
    /// How many sockets each queue has; with 1 nothing is hashed, and the queue alone decides. Not 0.
    pub workers: u32,
    /// How many receive queues the interface has. Not 0.
    pub queues: u32,
}

/// Where the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, before there is a socket buffer. Zero copy needs this one.
    Native,
    /// In the network stack: any driver, but slower, and behind what the stack puts together (GRO).
    Generic,
}

/// The program in the kernel, for one interface, not attached yet.
pub struct Loaded {
    program: Ebpf,
    sockets: XskMap<MapData>,
    missed: Missed,
    steering: Steering,
}

/// How many frames were dropped because no socket had their key; a handle that any thread may ask, for as long
/// as it likes.
#[derive(Clone)]
pub struct Missed(Arc<PerCpuArray<MapData, u64>>);

/// The program on an interface; detached when dropped.
pub struct Attached {
    /// Keeps the program loaded and attached.
    _loaded: Loaded,
}

impl Loaded {
    /// Loads the program.
    ///
    /// # Errors
    ///
    /// See [`AttachError`].
    pub fn load(steering: Steering) -> Result<Loaded, AttachError> {
        let mut program = program::load(steering, program::Answer::Redirect)?;
        let sockets = program::take_map(&mut program, "sockets")?;
        let missed = Missed(Arc::new(program::take_map(&mut program, "missed")?));
        Ok(Loaded { program, sockets, missed, steering })
    }

    /// Makes an AF_XDP socket the one that gets `worker`'s share of `queue`, in place of any before it. It must
    /// be bound to that queue of the interface, or the kernel drops what is redirected to it. When the
    /// socket is closed, the kernel takes it out.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no such queue or worker; what the kernel says otherwise (`EOPNOTSUPP`: not
    /// an AF_XDP socket, or not bound).
    pub fn set_socket(&mut self, queue: u32, worker: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        if queue >= self.steering.queues || worker >= self.steering.workers {
            let message = format!("queue {queue}, worker {worker}: the program knows {:?}", self.steering);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let key = queue * self.steering.workers + worker;
        self.sockets.set(key, socket.as_raw_fd(), 0).map_err(error::into_io)
    }

    /// The counter of frames without a socket.
    pub fn missed(&self) -> Missed {
        self.missed.clone()
    }

    /// Attaches the program to the interface with this index, in this thread's network namespace.
    ///
    /// # Errors
    ///
    /// See [`AttachError`]; [`AttachError::generic_may_work`] tells whether [`Mode::Generic`] is worth a try,
    /// for which the program is given back. After an error nothing is attached.
    pub fn attach(mut self, interface: u32, mode: Mode) -> Result<Attached, Box<(Loaded, AttachError)>> {
        match self.try_attach(interface, mode) {
            Ok(()) => Ok(Attached { _loaded: self }),
            Err(error) => Err(Box::new((self, error))),
        }
    }

    fn try_attach(&mut self, interface: u32, mode: Mode) -> Result<(), AttachError> {
        let mode = match mode {
            Mode::Native => XdpMode::Driver,
            Mode::Generic => XdpMode::Skb,
        };
        // The loader keeps the link, which is a file descriptor. On kernels without links it would fall back to
        // what outlives the process; those are older than any that took the program above.
        program::steer(&mut self.program)?
            .attach_to_if_index(interface, mode)
            .map_err(|error| AttachError::of(Stage::Attach, &error, interface))?;
        Ok(())
    }
}

impl Missed {
    /// How many so far, on all CPUs together.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn count(&self) -> io::Result<u64> {
        let counts = self.0.get(&0, 0).map_err(error::into_io)?;
        Ok(counts.iter().sum())
    }
}
