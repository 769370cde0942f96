//! Sockets: from a UMEM, an interface and a queue to four rings.
//!
//! ```text
//!  Umem::bind ─▶ options in order? ─▶ who is bound already?
//!                                         │
//!      nobody               another queue │                 the same queue
//!        ▼                        ▼                               ▼
//!   socket, XDP_UMEM_REG    socket                          socket
//!   sizes: fill, completion, RX, TX                         sizes: RX, TX
//!   map the rings, bind     map, bind XDP_SHARED_UMEM       map, bind XDP_SHARED_UMEM
//!   with the flags asked for   naming any of the UMEM's        naming one of that queue's
//! ```
//!
//! A socket lives as long as one of its rings or handles: each keeps the file descriptor, and the mapping of
//! a ring keeps the kernel's side of it. When the last goes, the kernel unbinds it, takes it out of every
//! XSKMAP, and unpins the UMEM with the last of its sockets. The UMEM only remembers its sockets
//! weakly: they do not live longer for having shared it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::cursor::Cursor;
use crate::error::{BindError, Request, Step};
use crate::memory::{Identity, RingMemory, Slot};
use crate::ring::{CompletionRing, Context, FillRing, RxRing, TxRing, Wake};
use crate::sys;
use crate::umem::Umem;

/// How long a bind waits for a queue, and for locked memory, to become free: after a socket is closed, by
/// whichever process, the kernel may take a few hundred milliseconds to let go of them.
const PATIENCE: Duration = Duration::from_secs(2);
/// The time between two attempts.
const PAUSE: Duration = Duration::from_millis(10);
/// The least that the kernel accepts as a transmit budget, and what it has without one.
const LEAST_BUDGET: u32 = 32;

/// Whether packets are copied between the device's memory and the UMEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Copy {
    /// Zero copy if the driver can, otherwise copying; [`Socket::is_zero_copy`] tells.
    #[default]
    Auto,
    /// Zero copy or an error.
    ZeroCopy,
    /// Copying, even if the driver could do without.
    Copy,
}

/// What [`Umem::bind`] binds to, and how. Sizes of rings are numbers of descriptors: powers of two, at most
/// 2³⁰.
///
/// `copy`, `need_wakeup` and `multi_buffer` hold for a UMEM as a whole: the first bind decides, later ones
/// inherit, whatever they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindOptions {
    /// Index of the interface, in the network namespace of the calling thread.
    pub interface: u32,
    /// Queue of the interface, from 0.
    pub queue: u32,
    /// Size of the RX ring; 0 for none.
    pub rx: u32,
    /// Size of the TX ring; 0 for none.
    pub tx: u32,
    /// Size of the fill ring; unused by a second socket on the same queue.
    pub fill: u32,
    /// Size of the completion ring; unused by a second socket on the same queue.
    pub completion: u32,
    /// Whether to copy.
    pub copy: Copy,
    /// Whether the kernel may sleep until it is woken, and says so: fewer system calls and, where kernel and
    /// program share a core, far better speed. (`XDP_USE_NEED_WAKEUP`)
    pub need_wakeup: bool,
    /// Whether a packet may have several descriptors. (`XDP_USE_SG`, Linux 6.6)
    pub multi_buffer: bool,
    /// The most descriptors that one [`TxRing::wake`] sends in copy mode, between 32 and the size of the TX
    /// ring; 32 if `None`, or if the kernel does not know the option. (`XDP_MAX_TX_SKB_BUDGET`, Linux 6.17)
    pub transmit_budget: Option<u32>,
}

impl BindOptions {
    /// Rings of 2048, need-wakeup, one descriptor for each packet, and zero copy if possible.
    pub fn new(interface: u32, queue: u32) -> BindOptions {
        BindOptions {
            interface,
            queue,
            rx: 2048,
            tx: 2048,
            fill: 2048,
            completion: 2048,
            copy: Copy::Auto,
            need_wakeup: true,
            multi_buffer: false,
            transmit_budget: None,
        }
    }

    /// What is wrong with the options, if anything. `has_pool`: fill and completion rings are the socket's.
    fn fault(&self, has_pool: bool) -> Option<&'static str> {
        let is_size = |size: u32| size.is_power_of_two() && size <= 1 << 30;
        if self.rx == 0 && self.tx == 0 {
            return Some("a socket has an RX ring, a TX ring or both");
        }
        if [self.rx, self.tx].iter().any(|&size| size != 0 && !is_size(size)) {
            return Some("the sizes of RX and TX rings are powers of two, at most 2^30, or 0 for no ring");
        }
        if has_pool && !(is_size(self.fill) && is_size(self.completion)) {
            return Some(
                "the first socket on a queue has a fill and a completion ring: powers of two, at most 2^30",
            );
        }
        if self.transmit_budget.is_some_and(|budget| !(LEAST_BUDGET..=self.tx).contains(&budget)) {
            return Some("a transmit budget is at least 32 and at most the size of the TX ring");
        }
        None
    }

    /// Flags for the bind that registers the UMEM.
    fn flags(&self) -> u16 {
        let copy = match self.copy {
            Copy::Auto => 0,
            Copy::ZeroCopy => libc::XDP_ZEROCOPY,
            Copy::Copy => libc::XDP_COPY,
        };
        let wakeup = if self.need_wakeup { libc::XDP_USE_NEED_WAKEUP } else { 0 };
        let gather = if self.multi_buffer { libc::XDP_USE_SG } else { 0 };
        copy | wakeup | gather
    }
}

/// What the kernel has counted for one socket since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Packets that were lost, but for those in `rx_ring_full`: the fill ring was empty, or a packet too long.
    pub rx_dropped: u64,
    /// Invalid descriptors in the receive ring, which the kernel writes itself: 0. It does not count invalid
    /// addresses in the fill ring; there are none, since a [`Frame`](crate::Frame) is valid.
    pub rx_invalid: u64,
    /// Descriptors of packets that were not sent because they have too many frames: more than 18
    /// (CONFIG_MAX_SKB_FRAGS + 1) in copy mode. Nothing else in a [`Descriptor`](crate::Descriptor) is invalid.
    pub tx_invalid: u64,
    /// Packets that were lost because the RX ring was full.
    pub rx_ring_full: u64,
    /// How often the kernel wanted a frame and the fill ring was empty; the lost packets are in `rx_dropped`.
    pub fill_ring_empty: u64,
    /// How often the kernel looked into the TX ring and found it empty; no loss.
    pub tx_ring_empty: u64,
}

impl Statistics {
    /// Packets that arrived at the socket and were lost.
    pub fn lost(&self) -> u64 {
        self.rx_dropped + self.rx_ring_full
    }
}

/// A bound socket. Take the rings out and give them to whoever works with them.
#[derive(Debug)]
pub struct Socket {
    /// Packets that have arrived; `None` if none was asked for.
    pub rx: Option<RxRing>,
    /// Packets to send; `None` if none was asked for.
    pub tx: Option<TxRing>,
    /// Empty frames for the queue; `None` if another socket has it.
    pub fill: Option<FillRing>,
    /// Sent frames of the queue; `None` if another socket has it.
    pub completion: Option<CompletionRing>,
    handle: SocketHandle,
}

impl Socket {
    /// A handle to the socket, which keeps it bound as a ring does.
    pub fn handle(&self) -> SocketHandle {
        self.handle.clone()
    }

    /// Whether packets go between device and UMEM without a copy.
    pub fn is_zero_copy(&self) -> bool {
        self.handle.is_zero_copy()
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    ///
    /// As getsockopt(2); [`io::ErrorKind::Unsupported`] before Linux 5.9.
    pub fn statistics(&self) -> io::Result<Statistics> {
        self.handle.statistics()
    }
}

impl AsFd for Socket {
    /// For poll(2), and for the XSKMAP.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// The socket without its rings: to wait on, to count, to wake. Cheap to clone, for any thread. The socket
/// stays bound as long as there is a handle.
#[derive(Debug, Clone)]
pub struct SocketHandle {
    shared: Arc<Shared>,
}

/// What all parts of a socket have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    fd: OwnedFd,
    interface: u32,
    queue: u32,
    has_tx: bool,
    is_zero_copy: bool,
}

impl SocketHandle {
    /// Index of the interface.
    pub fn interface(&self) -> u32 {
        self.shared.interface
    }

    /// Queue of the interface.
    pub fn queue(&self) -> u32 {
        self.shared.queue
    }

    /// Whether packets go between device and UMEM without a copy.
    pub fn is_zero_copy(&self) -> bool {
        self.shared.is_zero_copy
    }

    /// What the kernel has counted; see [`Socket::statistics`].
    pub fn statistics(&self) -> io::Result<Statistics> {
        let counted: libc::xdp_statistics = sys::option(self.as_fd(), libc::SOL_XDP, libc::XDP_STATISTICS)?;
        Ok(Statistics {
            rx_dropped: counted.rx_dropped,
            rx_invalid: counted.rx_invalid_descs,
            tx_invalid: counted.tx_invalid_descs,
            rx_ring_full: counted.rx_ring_full,
            fill_ring_empty: counted.rx_fill_ring_empty_descs,
            tx_ring_empty: counted.tx_ring_empty_descs,
        })
    }

    /// The error that waits at the socket, and clears it: ENETDOWN after its interface has gone.
    ///
    /// # Errors
    ///
    /// As getsockopt(2).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let errno: i32 = sys::option(self.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR)?;
        Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
    }

    /// Has the kernel send what was committed to the TX ring; see [`TxRing::wake`].
    ///
    /// # Errors
    ///
    /// As there, and [`io::ErrorKind::Unsupported`] if the socket has no TX ring.
    pub fn wake(&self) -> io::Result<Wake> {
        // The kernel would say ENOBUFS, which otherwise means that it is worth trying again.
        if !self.shared.has_tx {
            return Err(io::ErrorKind::Unsupported.into());
        }
        match sys::send(self.as_fd()) {
            Ok(()) => Ok(Wake::Sent),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS) => Ok(Wake::Again),
                Some(libc::EBUSY) => Ok(Wake::Dropped),
                _ => Err(error),
            },
        }
    }

    /// Has the driver look at the fill ring; see [`FillRing::wake`].
    pub fn wake_fill(&self) -> io::Result<()> {
        match sys::receive(self.as_fd()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl AsFd for SocketHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }
}

/// A queue, in all network namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Number of the network namespace; two of them may have an interface of the same index.
    namespace: u64,
    interface: u32,
    queue: u32,
}

/// A socket that a UMEM was bound to.
#[derive(Debug)]
pub(crate) struct Bound {
    place: Place,
    socket: Weak<Shared>,
}

/// Whose registration of the UMEM a new socket uses.
#[derive(Debug, Clone)]
enum Sharing {
    /// Its own: it is the first.
    First,
    /// That of a socket on another queue.
    Umem(Arc<Shared>),
    /// That of a socket on the same queue, with the queue's fill and completion rings.
    Queue(Arc<Shared>),
}

impl Sharing {
    fn choose(bound: &mut Vec<Bound>, place: Place) -> Sharing {
        bound.retain(|other| other.socket.strong_count() > 0);
        let here = bound.iter().filter(|other| other.place == place).find_map(|other| other.socket.upgrade());
        let anywhere = || bound.iter().find_map(|other| other.socket.upgrade());
        match here {
            Some(socket) => Sharing::Queue(socket),
            None => anywhere().map_or(Sharing::First, Sharing::Umem),
        }
    }

    /// The socket that is named in the bind.
    fn with(&self) -> Option<&Arc<Shared>> {
        match self {
            Sharing::First => None,
            Sharing::Umem(socket) | Sharing::Queue(socket) => Some(socket),
        }
    }

    /// Whether the new socket brings fill and completion rings.
    fn has_pool(&self) -> bool {
        match self {
            Sharing::First | Sharing::Umem(_) => true,
            Sharing::Queue(_) => false,
        }
    }
}

impl Umem {
    /// Binds a new socket to a queue of an interface, in the network namespace of the calling thread.
    ///
    /// The first bind registers the UMEM with the kernel. While one of its sockets lives, later ones share
    /// it: another socket on the same queue has no fill and completion ring of its own; both use those of
    /// the first. Where another process, or this one, has just given the queue or locked memory up, the bind
    /// waits for it, up to two seconds; binds of the same UMEM wait for each other.
    ///
    /// Packets arrive once an XDP program redirects them to the socket by an XSKMAP; put frames into the
    /// fill ring before that.
    ///
    /// # Errors
    ///
    /// [`BindError`] says what a person can do; nothing of the socket is left.
    pub fn bind(&self, options: &BindOptions) -> Result<Socket, BindError> {
        let mut request = Request {
            interface: options.interface,
            queue: options.queue,
            tx_metadata: self.area().identity().has_metadata(),
            multi_buffer: options.multi_buffer,
            is_shared: false,
            umem: self.area().length(),
        };
        let fail = |request| move |(step, error): (Step, io::Error)| BindError::new(step, request, error);
        let mut bound = self.lock();
        loop {
            let fd = sys::socket().map_err(|error| BindError::new(Step::Socket, request, error))?;
            let place = Place {
                // Linux 5.14. Without it, namespaces cannot be told apart; nor could they before.
                namespace: sys::option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_NETNS_COOKIE).unwrap_or(0),
                interface: options.interface,
                queue: options.queue,
            };
            let sharing = Sharing::choose(&mut bound, place);
            request.is_shared = sharing.with().is_some();
            if let Some(fault) = options.fault(sharing.has_pool()) {
                let error = io::Error::new(io::ErrorKind::InvalidInput, fault);
                return Err(BindError::new(Step::Options, request, error));
            }
            let rings = self.prepare(fd.as_fd(), options, &sharing).map_err(fail(request))?;
            match bind(fd.as_fd(), options, &sharing) {
                Ok(()) => {}
                // The socket to share with is still there but no longer bound: its interface has gone.
                Err(error) if error.raw_os_error() == Some(libc::EBADF) && request.is_shared => {
                    let stale = sharing.with().map_or(std::ptr::null(), Arc::as_ptr);
                    bound.retain(|other| other.socket.as_ptr() != stale);
                    continue;
                }
                Err(error) => return Err(BindError::new(Step::Bind, request, error)),
            }
            let flags: Result<libc::xdp_options, _> =
                sys::option(fd.as_fd(), libc::SOL_XDP, libc::XDP_OPTIONS);
            let is_zero_copy = flags.is_ok_and(|options| options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0);
            let BindOptions { interface, queue, tx, .. } = *options;
            let shared = Shared { fd, interface, queue, has_tx: tx > 0, is_zero_copy };
            let shared = Arc::new(shared);
            bound.push(Bound { place, socket: Arc::downgrade(&shared) });
            return Ok(rings.into_socket(SocketHandle { shared }, self));
        }
    }

    /// The list of sockets. A panic elsewhere cannot have left it half-changed.
    fn lock(&self) -> MutexGuard<'_, Vec<Bound>> {
        self.bound().lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything before bind(2): registers, sets sizes, maps the rings.
    fn prepare(
        &self,
        fd: BorrowedFd<'_>,
        options: &BindOptions,
        sharing: &Sharing,
    ) -> Result<Rings, (Step, io::Error)> {
        if let Sharing::First = sharing {
            self.register(fd).map_err(|error| (Step::Register, error))?;
        }
        let (fill, completion) = if sharing.has_pool() { (options.fill, options.completion) } else { (0, 0) };
        let sizes = [
            (libc::XDP_RX_RING, options.rx),
            (libc::XDP_TX_RING, options.tx),
            (libc::XDP_UMEM_FILL_RING, fill),
            (libc::XDP_UMEM_COMPLETION_RING, completion),
        ];
        for (name, size) in sizes {
            if size > 0 {
                sys::set_option(fd, name, &size).map_err(|error| (Step::RingSize, error))?;
            }
        }
        if let Some(budget) = options.transmit_budget {
            match sys::set_option(fd, sys::XDP_MAX_TX_SKB_BUDGET, &budget) {
                // An older kernel goes on with its 32: more system calls, the same packets.
                Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => {
                    return Err((Step::Budget, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let offsets: libc::xdp_mmap_offsets =
            sys::option(fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS).map_err(|error| (Step::Map, error))?;
        let (rx, tx) = (libc::XDP_PGOFF_RX_RING as u64, libc::XDP_PGOFF_TX_RING as u64);
        let rings = || {
            Ok(Rings {
                rx: map(fd, rx, &offsets.rx, options.rx)?,
                tx: map(fd, tx, &offsets.tx, options.tx)?,
                fill: map(fd, libc::XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, fill)?,
                completion: map(fd, libc::XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr, completion)?,
            })
        };
        rings().map_err(|error| (Step::Map, error))
    }

    /// Tells the kernel of the memory; it pins it.
    fn register(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let area = self.area();
        let (flags, tx_metadata_len) = if area.identity().has_metadata() {
            (libc::XDP_UMEM_TX_METADATA_LEN, Identity::METADATA as u32)
        } else {
            (0, 0)
        };
        let registration = libc::xdp_umem_reg {
            addr: area.address(),
            len: area.length(),
            chunk_size: area.identity().frame_size() as u32,
            headroom: self.headroom(),
            flags,
            tx_metadata_len,
        };
        // A process that has just ended may still count against the user's limit.
        patiently(libc::ENOBUFS, || sys::set_option(fd, libc::XDP_UMEM_REG, &registration))
    }
}

/// Binds; a queue that is busy may soon be free.
fn bind(fd: BorrowedFd<'_>, options: &BindOptions, sharing: &Sharing) -> io::Result<()> {
    let (flags, with) = match sharing.with() {
        None => (options.flags(), 0),
        // Everything else is inherited, and refused here.
        Some(socket) => (libc::XDP_SHARED_UMEM, raw(socket)),
    };
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: options.interface,
        sxdp_queue_id: options.queue,
        sxdp_shared_umem_fd: with,
    };
    patiently(libc::EBUSY, || sys::bind(fd, &address))
}

/// Makes a call again and again, for a while, as long as it fails with `errno`.
fn patiently(errno: i32, call: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call() {
            Err(error) if error.raw_os_error() == Some(errno) && Instant::now() < deadline => {
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// The number of a descriptor, as `sockaddr_xdp` wants it; never negative.
fn raw(socket: &Shared) -> u32 {
    use std::os::fd::AsRawFd;
    socket.fd.as_raw_fd().cast_unsigned()
}

/// Maps a ring, if the socket has it.
fn map<S: Slot>(
    fd: BorrowedFd<'_>,
    page_offset: u64,
    offsets: &libc::xdp_ring_offset,
    size: u32,
) -> io::Result<Option<RingMemory<S>>> {
    if size == 0 { Ok(None) } else { RingMemory::map(fd, page_offset, offsets, size).map(Some) }
}

/// The rings of a socket that is not yet bound.
struct Rings {
    rx: Option<RingMemory<crate::memory::DescriptorSlot>>,
    tx: Option<RingMemory<crate::memory::DescriptorSlot>>,
    fill: Option<RingMemory<crate::sync::AtomicU64>>,
    completion: Option<RingMemory<crate::sync::AtomicU64>>,
}

impl Rings {
    fn into_socket(self, handle: SocketHandle, umem: &Umem) -> Socket {
        let context = || Context { socket: Some(handle.clone()), umem: umem.clone() };
        Socket {
            rx: self.rx.map(|memory| RxRing::new(Cursor::new(memory), context())),
            tx: self.tx.map(|memory| TxRing::new(Cursor::new(memory), context())),
            fill: self.fill.map(|memory| FillRing::new(Cursor::new(memory), context())),
            completion: self.completion.map(|memory| CompletionRing::new(Cursor::new(memory), context())),
            handle: handle.clone(),
        }
    }
}
