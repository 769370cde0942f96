//! The system calls of AF_XDP, as safe functions: the second of the crate's two islands of `unsafe`.
//!
//! Each takes a borrowed file descriptor and values, gives values or the error of the call, and keeps no
//! state. What the calls mean, and in which order they are made, is in `socket`.
#![allow(unsafe_code, reason = "calls libc")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// The most descriptors that one `sendto` handles in copy mode (Linux 6.17). Not yet in libc.
pub(crate) const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// What crosses the border as the value of a socket option.
///
/// # Safety
///
/// A C structure or number without padding, for which any bytes are a valid value.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: a number.
unsafe impl Plain for u32 {}
// SAFETY: a number.
unsafe impl Plain for i32 {}
// SAFETY: a number.
unsafe impl Plain for u64 {}
// SAFETY: two u64 and four u32.
unsafe impl Plain for libc::xdp_umem_reg {}
// SAFETY: sixteen u64.
unsafe impl Plain for libc::xdp_mmap_offsets {}
// SAFETY: six u64.
unsafe impl Plain for libc::xdp_statistics {}
// SAFETY: one u32.
unsafe impl Plain for libc::xdp_options {}

const _: () = {
    assert!(size_of::<libc::xdp_umem_reg>() == 2 * 8 + 4 * 4);
    assert!(size_of::<libc::xdp_mmap_offsets>() == 16 * 8);
    assert!(size_of::<libc::xdp_statistics>() == 6 * 8);
    assert!(size_of::<libc::xdp_options>() == 4);
};

/// The result of a call that gives a negative number and sets errno when it fails.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A new AF_XDP socket, in the network namespace of the calling thread.
pub(crate) fn socket() -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let fd = check(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option at the level `SOL_XDP`.
pub(crate) fn set_option<T: Plain>(socket: BorrowedFd<'_>, name: libc::c_int, value: &T) -> io::Result<()> {
    let (fd, length) = (socket.as_raw_fd(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the kernel reads `length` bytes, all of them initialised since a Plain has no padding. What it
    // then does by itself is pin memory (XDP_UMEM_REG), which needs no permission from Rust.
    check(unsafe { libc::setsockopt(fd, libc::SOL_XDP, name, ptr::from_ref(value).cast(), length) })?;
    Ok(())
}

/// Reads an option whole; [`io::ErrorKind::Unsupported`] if this kernel's version of it is shorter.
pub(crate) fn option<T: Plain>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    let (fd, place) = (socket.as_raw_fd(), value.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `length` bytes to the first pointer, and a number to the second.
    check(unsafe { libc::getsockopt(fd, level, name, place, &raw mut length) })?;
    if (length as usize) < size_of::<T>() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: zeroed, then written: a Plain may have any bytes.
    Ok(unsafe { value.assume_init() })
}

/// Binds to an interface and a queue.
pub(crate) fn bind(socket: BorrowedFd<'_>, address: &libc::sockaddr_xdp) -> io::Result<()> {
    let length = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of a structure that has no padding.
    check(unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(address).cast(), length) })?;
    Ok(())
}

/// Lets the kernel look at the TX ring.
pub(crate) fn send(socket: BorrowedFd<'_>) -> io::Result<()> {
    let (fd, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
    // SAFETY: no bytes, no address: AF_XDP takes what to send from the ring.
    let sent = unsafe { libc::sendto(fd, ptr::null(), 0, flags, ptr::null(), 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets the kernel look at the fill ring.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<()> {
    let (fd, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
    // SAFETY: room for no bytes and no address: AF_XDP puts what it receives into the ring.
    let got = unsafe { libc::recvfrom(fd, ptr::null_mut(), 0, flags, ptr::null_mut(), ptr::null_mut()) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
