//! Why a bind failed, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;

/// What went wrong in [`Umem::bind`](crate::Umem::bind).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BindErrorKind {
    /// The options contradict each other or what [`BindOptions`](crate::BindOptions) says of them.
    InvalidOptions,
    /// The kernel was built without AF_XDP.
    NoAfXdp,
    /// The kernel is too old for something that the options ask for.
    KernelTooOld,
    /// A capability is missing.
    NotPermitted,
    /// The UMEM is larger than the memory that the user may lock.
    LockedMemory,
    /// The kernel has no memory left for the rings or the UMEM.
    OutOfMemory,
    /// There is no interface of this index in the network namespace of the calling thread.
    NoSuchInterface,
    /// The interface is down.
    InterfaceDown,
    /// The interface has no such queue.
    NoSuchQueue,
    /// The queue has a socket of another UMEM, perhaps in another process.
    QueueBusy,
    /// The driver cannot do zero copy, or not on this queue, and copying was ruled out.
    NoZeroCopy,
    /// The device has no room for what the bind needs.
    NoSpace,
    /// Something else; [`errno`](BindError::errno) says what.
    Other,
}

/// The call that failed: the same errno means different things at different calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Options,
    Socket,
    Register,
    RingSize,
    Budget,
    Map,
    Bind,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Step::Options => "checking the options",
            Step::Socket => "creating the socket",
            Step::Register => "registering the UMEM",
            Step::RingSize => "setting the size of a ring",
            Step::Budget => "setting the transmit budget",
            Step::Map => "mapping the rings",
            Step::Bind => "binding",
        }
    }
}

/// What the bind asked for, as far as it changes what an errno means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) interface: u32,
    pub(crate) queue: u32,
    pub(crate) tx_metadata: bool,
    pub(crate) multi_buffer: bool,
    /// The UMEM is registered already, by another socket.
    pub(crate) is_shared: bool,
    /// Bytes of the UMEM.
    pub(crate) umem: u64,
}

/// Why [`Umem::bind`](crate::Umem::bind) failed. Its message says what a person can do about it.
#[derive(Debug)]
pub struct BindError {
    kind: BindErrorKind,
    step: Step,
    request: Request,
    source: io::Error,
}

impl BindError {
    pub(crate) fn new(step: Step, request: Request, source: io::Error) -> BindError {
        BindError { kind: classify(step, request, &source), step, request, source }
    }

    /// What went wrong.
    pub fn kind(&self) -> BindErrorKind {
        self.kind
    }

    /// The system's number for it; `None` if no system call failed.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

fn classify(step: Step, request: Request, source: &io::Error) -> BindErrorKind {
    if step == Step::Options {
        return BindErrorKind::InvalidOptions;
    }
    if source.kind() == io::ErrorKind::Unsupported && source.raw_os_error().is_none() {
        return BindErrorKind::KernelTooOld;
    }
    match (source.raw_os_error().unwrap_or(0), step) {
        (libc::EAFNOSUPPORT | libc::ESOCKTNOSUPPORT | libc::EPROTONOSUPPORT, Step::Socket) => {
            BindErrorKind::NoAfXdp
        }
        (libc::EPERM | libc::EACCES, _) => BindErrorKind::NotPermitted,
        (libc::ENOBUFS, Step::Register) => BindErrorKind::LockedMemory,
        (libc::ENOMEM | libc::ENOBUFS, _) => BindErrorKind::OutOfMemory,
        (libc::ENODEV, _) => BindErrorKind::NoSuchInterface,
        (libc::ENETDOWN, _) => BindErrorKind::InterfaceDown,
        (libc::EBUSY, _) => BindErrorKind::QueueBusy,
        (libc::EOPNOTSUPP, Step::Bind) => BindErrorKind::NoZeroCopy,
        (libc::ENOSPC, _) => BindErrorKind::NoSpace,
        (libc::EINVAL, Step::Register) if request.tx_metadata => BindErrorKind::KernelTooOld,
        (libc::EINVAL, Step::Bind) => BindErrorKind::NoSuchQueue,
        (libc::ENOPROTOOPT, _) => BindErrorKind::KernelTooOld,
        _ => BindErrorKind::Other,
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { interface, queue, tx_metadata, multi_buffer, is_shared, umem } = self.request;
        write!(f, "AF_XDP on queue {queue} of interface {interface}: ")?;
        match self.kind {
            BindErrorKind::InvalidOptions => return write!(f, "{}", self.source),
            BindErrorKind::NoAfXdp => f.write_str("this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)"),
            BindErrorKind::KernelTooOld if tx_metadata && self.step == Step::Register => {
                f.write_str("this kernel has no TX metadata (Linux 6.11); make the UMEM without it")
            }
            BindErrorKind::KernelTooOld => {
                f.write_str("this kernel is too old: at least Linux 5.9 is needed")
            }
            BindErrorKind::NotPermitted => {
                f.write_str("CAP_NET_RAW is needed in the interface's network namespace")
            }
            BindErrorKind::LockedMemory => write!(
                f,
                "the UMEM of {} KiB is more than the memory that may be locked; raise RLIMIT_MEMLOCK \
                 (`ulimit -l`, LimitMEMLOCK= of systemd), grant CAP_IPC_LOCK, or use fewer frames",
                umem >> 10
            ),
            BindErrorKind::OutOfMemory => {
                f.write_str("the kernel is out of memory; use fewer frames or smaller rings")
            }
            BindErrorKind::NoSuchInterface => {
                f.write_str("there is no such interface in this network namespace")
            }
            BindErrorKind::InterfaceDown => f.write_str("the interface is down; set it up first"),
            BindErrorKind::NoSuchQueue => {
                f.write_str("there is no such queue (`ethtool -l` shows how many there are)")?;
                if multi_buffer { f.write_str(", or no multi-buffer (Linux 6.6)") } else { Ok(()) }
            }
            BindErrorKind::QueueBusy => f.write_str(
                "another socket has the queue; stop the program that does, or choose another queue",
            ),
            BindErrorKind::NoZeroCopy if is_shared => f.write_str(
                "no zero copy here, but the UMEM's first socket has it, and all of them have the same; \
                 bind the first one with Copy::Copy",
            ),
            BindErrorKind::NoZeroCopy => f.write_str(
                "the driver cannot do zero copy here (some need fewer queues, or a smaller MTU); \
                 allow copying with Copy::Auto or Copy::Copy",
            ),
            BindErrorKind::NoSpace => f.write_str(
                "the device has no room for it; \
                 a veth needs as many receive queues as its peer has transmit queues",
            ),
            BindErrorKind::Other => write!(f, "{} failed", self.step.name()),
        }?;
        write!(f, ": {}", self.source)
    }
}

// Without `source`: the message ends with the system's own words already.
impl Error for BindError {}

impl From<BindError> for io::Error {
    fn from(error: BindError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same errno means different things at different calls; these are the ones that a veth does not show.
    #[test]
    fn what_an_errno_means_depends_on_the_call() {
        let plain = Request {
            interface: 3,
            queue: 1,
            tx_metadata: false,
            multi_buffer: false,
            is_shared: false,
            umem: 1 << 20,
        };
        let cases = [
            (Step::Socket, libc::EAFNOSUPPORT, plain, BindErrorKind::NoAfXdp, "CONFIG_XDP_SOCKETS"),
            (Step::Register, libc::ENOBUFS, plain, BindErrorKind::LockedMemory, "1024 KiB"),
            (Step::Map, libc::ENOBUFS, plain, BindErrorKind::OutOfMemory, "fewer frames"),
            (Step::Register, libc::EINVAL, plain, BindErrorKind::Other, "registering the UMEM failed"),
            (
                Step::Register,
                libc::EINVAL,
                Request { tx_metadata: true, ..plain },
                BindErrorKind::KernelTooOld,
                "no TX metadata",
            ),
            (
                Step::Bind,
                libc::EINVAL,
                Request { multi_buffer: true, ..plain },
                BindErrorKind::NoSuchQueue,
                "or no multi-buffer",
            ),
            (
                Step::Bind,
                libc::EOPNOTSUPP,
                Request { is_shared: true, ..plain },
                BindErrorKind::NoZeroCopy,
                "bind the first one with Copy::Copy",
            ),
            (Step::Bind, libc::ENETDOWN, plain, BindErrorKind::InterfaceDown, "set it up"),
            (Step::Bind, libc::ENOSPC, plain, BindErrorKind::NoSpace, "as many receive queues"),
            (Step::Budget, libc::EIO, plain, BindErrorKind::Other, "setting the transmit budget failed"),
        ];
        for (step, errno, request, kind, words) in cases {
            let error = BindError::new(step, request, io::Error::from_raw_os_error(errno));
            assert_eq!((error.kind(), error.errno()), (kind, Some(errno)), "{step:?}: {error}");
            let message = error.to_string();
            assert!(message.starts_with("AF_XDP on queue 1 of interface 3: "), "{message}");
            assert!(message.contains(words), "{message}");
        }
        // An option of which this kernel knows a shorter version.
        let error = BindError::new(Step::Map, plain, io::ErrorKind::Unsupported.into());
        assert_eq!((error.kind(), error.errno()), (BindErrorKind::KernelTooOld, None));
    }
}
