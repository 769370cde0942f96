//! Every frame on the wire, for as long as somebody wants it.
//!
//! A packet socket's membership, and not the interface's own flag: the kernel counts memberships and ends those
//! of a process that dies, so that nobody has to put anything back, and nobody else's wish is undone.

use std::io;
use std::os::fd::OwnedFd;

use nix::setsockopt_impl;
use nix::sys::socket::sockopt::SetStruct;
use nix::sys::socket::{AddressFamily, SetSockOpt, SockFlag, SockType, socket};

/// The option (packet(7)).
#[derive(Debug, Clone, Copy)]
struct AddMembership;

setsockopt_impl!(
    AddMembership,
    libc::SOL_PACKET,
    libc::PACKET_ADD_MEMBERSHIP,
    libc::packet_mreq,
    SetStruct<libc::packet_mreq>
);

/// Keeps an interface in promiscuous mode: it takes in frames for other addresses than its own, which a bridge
/// is there for. Ends when dropped, or with the process.
#[derive(Debug)]
pub struct Promiscuous {
    _socket: OwnedFd,
}

impl Promiscuous {
    /// Sets the interface with this index in this thread's network namespace to promiscuous mode.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EPERM` without CAP_NET_RAW, `ENODEV` if there is no such interface.
    pub fn set(index: u32) -> io::Result<Promiscuous> {
        // Of protocol 0: it receives nothing.
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        let index = i32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
        let all = libc::packet_mreq {
            mr_ifindex: index,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        AddMembership.set(&socket, &all)?;
        Ok(Promiscuous { _socket: socket })
    }
}
