//! What can go wrong on the way into the kernel, and what a person can do about it.
//!
//! The loader's errors are many and speak of system calls; all that matters here is at which stage the kernel
//! refused, and the error number it gave.

use std::error::Error;
use std::{fmt, io};

use crate::link;

/// Why the program is not attached. Its text says what to do, in one line.
#[derive(Debug)]
pub enum AttachError {
    /// Not permitted: the capabilities that this process lacks. Empty if it is something else that forbids it
    /// (a security module, a container's filter of system calls).
    NotPermitted {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// The kernel was built without BPF, or its bpf(2) is filtered out.
    NoBpf,
    /// The kernel was built without AF_XDP.
    NoAfXdp,
    /// The kernel is older than 5.18: it knows no XDP programs for frames in several buffers.
    OldKernel,
    /// Another XDP program is on the interface.
    InUse {
        /// Its id, if it could be asked for.
        program: Option<u32>,
    },
    /// The driver cannot run XDP programs, or not with the interface as it is set.
    NoNative,
    /// The driver cannot run XDP programs with the interface's MTU.
    MtuTooLarge,
    /// The driver has too few queues; a veth needs as many for receiving as its peer has for sending.
    TooFewQueues,
    /// There is no such interface in this network namespace.
    NoInterface,
    /// Zero, or too many, sockets were asked for.
    NoSockets {
        /// Workers for each queue.
        workers: u32,
        /// Queues.
        queues: u32,
    },
    /// Anything else that the kernel or the driver said.
    Refused {
        /// What was being done.
        stage: Stage,
        /// What was said.
        said: String,
    },
}

/// The steps of loading and attaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Creating the maps.
    Maps,
    /// Loading the program: the verifier.
    Program,
    /// Attaching it: the driver.
    Attach,
}

impl AttachError {
    /// From what the loader says; `interface` is asked about the program that it already has.
    pub(super) fn of(stage: Stage, error: &(dyn Error + 'static), interface: u32) -> AttachError {
        let Some(number) = error_number(error) else { return AttachError::refused(stage, error) };
        match AttachError::of_number(stage, number) {
            Some(AttachError::NotPermitted { .. }) => {
                AttachError::NotPermitted { missing: link::missing_capabilities() }
            }
            Some(AttachError::InUse { .. }) => {
                AttachError::InUse { program: link::program_on(interface).ok().flatten() }
            }
            Some(known) => known,
            None => AttachError::refused(stage, error),
        }
    }

    /// What an error number means at a stage.
    fn of_number(stage: Stage, number: i32) -> Option<AttachError> {
        match (stage, number) {
            (_, libc::EPERM) => Some(AttachError::NotPermitted { missing: Vec::new() }),
            (_, libc::ENOSYS) => Some(AttachError::NoBpf),
            (Stage::Maps, libc::EINVAL | libc::ENOTSUP) => Some(AttachError::NoAfXdp),
            // The verifier knows neither the flag of several buffers nor the helpers for them.
            (Stage::Program, libc::EINVAL) => Some(AttachError::OldKernel),
            // Without CAP_PERFMON it allows no variable offsets into a packet.
            (Stage::Program, libc::EACCES) if !link::missing_capabilities().is_empty() => {
                Some(AttachError::NotPermitted { missing: Vec::new() })
            }
            (Stage::Attach, libc::EBUSY | libc::EEXIST) => Some(AttachError::InUse { program: None }),
            (Stage::Attach, libc::EOPNOTSUPP) => Some(AttachError::NoNative),
            (Stage::Attach, libc::ERANGE | libc::EMSGSIZE) => Some(AttachError::MtuTooLarge),
            (Stage::Attach, libc::ENOSPC) => Some(AttachError::TooFewQueues),
            (Stage::Attach, libc::ENODEV | libc::ENXIO) => Some(AttachError::NoInterface),
            _ => None,
        }
    }

    /// An error that no number explains: all that the loader and the kernel said, in one line.
    fn refused(stage: Stage, error: &(dyn Error + 'static)) -> AttachError {
        let mut said: Vec<String> = chain(error).map(ToString::to_string).collect();
        // Some repeat their source.
        said.dedup_by(|later, earlier| earlier.contains(later.as_str()));
        // The verifier's log is long, and says at its end what it did not like.
        let said = said.join(": ");
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = match lines.as_slice() {
            [first, .., second_last, last] if lines.len() > 8 => format!("{first} … {second_last}; {last}"),
            all => all.join("; "),
        };
        AttachError::Refused { stage, said }
    }

    /// The embedded object is not what this program was built for.
    pub(super) fn object(what: &str) -> AttachError {
        AttachError::Refused { stage: Stage::Maps, said: format!("the embedded object is damaged: {what}") }
    }

    /// Whether [`super::Mode::Generic`] may work where [`super::Mode::Native`] gave this error.
    pub const fn generic_may_work(&self) -> bool {
        match self {
            AttachError::NoNative
            | AttachError::MtuTooLarge
            | AttachError::TooFewQueues
            | AttachError::Refused { stage: Stage::Attach, .. } => true,
            AttachError::NotPermitted { .. }
            | AttachError::NoBpf
            | AttachError::NoAfXdp
            | AttachError::OldKernel
            | AttachError::InUse { .. }
            | AttachError::NoInterface
            | AttachError::NoSockets { .. }
            | AttachError::Refused { stage: Stage::Maps | Stage::Program, .. } => false,
        }
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::NotPermitted { missing } if missing.is_empty() => f.write_str(
                "not permitted, although every capability is there: a user namespace, a container or a security module forbids bpf(2)",
            ),
            AttachError::NotPermitted { missing } => {
                write!(f, "not permitted: run it as root, or grant {}", missing.join(", "))
            }
            AttachError::NoBpf => f.write_str("this kernel has no bpf(2): it needs CONFIG_BPF_SYSCALL"),
            AttachError::NoAfXdp => f.write_str("this kernel has no AF_XDP: it needs CONFIG_XDP_SOCKETS"),
            AttachError::OldKernel => f.write_str("this kernel is too old: XDP in several buffers needs Linux 5.18"),
            AttachError::InUse { program: Some(id) } => {
                write!(f, "already has an XDP program (id {id}): detach that one first, or find who did it")
            }
            AttachError::InUse { program: None } => {
                f.write_str("already has an XDP program: detach that one first, or find who did it")
            }
            AttachError::NoNative => {
                f.write_str("its driver runs no XDP programs, or none with this MTU or these offloads: use xdp = \"generic\" or \"auto\"")
            }
            AttachError::MtuTooLarge => {
                f.write_str("its driver runs no XDP programs with an MTU this large: lower it, or use xdp = \"generic\"")
            }
            AttachError::TooFewQueues => f.write_str(
                "its driver has too few receive queues for XDP (a veth needs as many as its peer has for sending): \
                 change them with ethtool -L, or use xdp = \"generic\"",
            ),
            AttachError::NoInterface => f.write_str("is gone: there is no such interface in this network namespace"),
            AttachError::NoSockets { workers, queues } => {
                write!(f, "{workers} workers on {queues} queues: not a number of sockets that can be")
            }
            AttachError::Refused { stage: Stage::Maps, said } => write!(f, "cannot create its BPF maps: {said}"),
            AttachError::Refused { stage: Stage::Program, said } => {
                write!(f, "the kernel does not take its XDP program: {said}")
            }
            AttachError::Refused { stage: Stage::Attach, said } => {
                write!(f, "cannot attach its XDP program: {said}")
            }
        }
    }
}

impl Error for AttachError {}

/// The operating system's error number, from wherever in the chain of causes it is.
fn error_number(error: &(dyn Error + 'static)) -> Option<i32> {
    chain(error).find_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error())
}

/// An error and its causes.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The operating system's error in the loader's.
pub(super) fn into_io<E: Error + Send + Sync + 'static>(error: E) -> io::Error {
    match error_number(&error) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Call(io::Error);

    impl fmt::Display for Call {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`bpf_link_create` failed")
        }
    }

    impl Error for Call {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn told(stage: Stage, number: i32) -> AttachError {
        AttachError::of(stage, &Call(io::Error::from_raw_os_error(number)), 0)
    }

    #[test]
    fn generic_mode_is_tried_where_the_driver_refused_and_not_where_the_kernel_did() {
        for number in [libc::EOPNOTSUPP, libc::ERANGE, libc::ENOSPC, libc::EINVAL] {
            assert!(told(Stage::Attach, number).generic_may_work(), "{number}");
        }
        for (stage, number) in [
            (Stage::Attach, libc::EBUSY),
            (Stage::Attach, libc::ENODEV),
            (Stage::Attach, libc::EPERM),
            (Stage::Program, libc::EINVAL),
            (Stage::Maps, libc::EINVAL),
            (Stage::Maps, libc::ENOSYS),
        ] {
            assert!(!told(stage, number).generic_may_work(), "{stage:?} {number}");
        }
    }

    #[test]
    fn the_causes_of_an_unknown_error_are_told_once_and_in_one_line() {
        let error = told(Stage::Attach, libc::EIO).to_string();
        assert_eq!(
            error,
            "cannot attach its XDP program: `bpf_link_create` failed: Input/output error (os error 5)"
        );
    }
}
