//! What the tests on veth need from the operating system, without any program: a network namespace of
//! their own, and pairs of interfaces by rtnetlink.
//!
//! ```text
//!  thread of a test ── unshare(CLONE_NEWNET) ──▶ la-a ◀──── veth ────▶ la-b ── XDP ──▶ sockets
//! ```
//!
//! Nothing has a name outside: all is gone with the thread, however it ends.
#![allow(unsafe_code, reason = "system calls that libc has no safe form of; only in tests")]

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Ethertype of the tests' packets: for local experiments (IEEE 802).
pub(crate) const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// How long a test waits for what must happen; only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A network namespace for the calling thread.
pub(crate) struct Lab {
    netlink: OwnedFd,
}

impl Lab {
    /// Moves the calling thread into a new namespace. `None`, with a line that says so, if it may not.
    pub(crate) fn enter(test: &str) -> Option<Lab> {
        // SAFETY: changes the namespace of this thread only, which nothing else depends on.
        let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        if moved != 0 {
            let error = io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "unshare: {error}");
            eprintln!("skipped: {test} needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF)");
            return None;
        }
        // Without this, the interfaces say hello to their neighbours, which some tests would count.
        for which in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
            match std::fs::write(&path, "1") {
                Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{path}: {error}"),
                Ok(()) | Err(_) => {}
            }
        }
        // SAFETY: numbers only.
        let fd = unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE)
        };
        Some(Lab { netlink: owned(fd).expect("a netlink socket") })
    }

    /// Makes two interfaces that are each other's other end, with as many queues of either direction, and
    /// sets them up; returns their indexes.
    pub(crate) fn pair(&self, names: [&str; 2], queues: u32, mtu: u32) -> [u32; 2] {
        let interface = |name: &str| {
            let mut link = link_header(0, 0);
            attribute(&mut link, libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
            attribute(&mut link, libc::IFLA_MTU, &mtu.to_ne_bytes());
            attribute(&mut link, libc::IFLA_NUM_TX_QUEUES, &queues.to_ne_bytes());
            attribute(&mut link, libc::IFLA_NUM_RX_QUEUES, &queues.to_ne_bytes());
            link
        };
        const VETH_INFO_PEER: u16 = 1;
        let (mut peer, mut info, mut message) = (Vec::new(), Vec::new(), interface(names[0]));
        attribute(&mut peer, VETH_INFO_PEER, &interface(names[1]));
        attribute(&mut info, libc::IFLA_INFO_KIND, b"veth");
        attribute(&mut info, libc::IFLA_INFO_DATA, &peer);
        attribute(&mut message, libc::IFLA_LINKINFO, &info);
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.request(libc::RTM_NEWLINK, flags, &message).expect("a veth pair");
        let indexes = names.map(index);
        for index in indexes {
            self.set_up(index, true);
        }
        indexes
    }

    /// Sets an interface up or down.
    pub(crate) fn set_up(&self, index: u32, is_up: bool) {
        let flags = if is_up { libc::IFF_UP as u32 } else { 0 };
        self.request(libc::RTM_NEWLINK, 0, &link_header(index, flags)).expect("an interface changes");
    }

    /// Deletes an interface, and with it its other end.
    pub(crate) fn delete(&self, index: u32) {
        self.request(libc::RTM_DELLINK, 0, &link_header(index, 0)).expect("an interface goes");
    }

    /// Has the kernel complete checksums before it gives packets to the interface: as for a device that
    /// cannot do it.
    pub(crate) fn complete_checksums(&self, name: &str) {
        const SET_TX_CHECKSUM: u32 = 0x17;
        let mut value = [SET_TX_CHECKSUM, 0];
        // SAFETY: all zeroes are a value of these numbers and pointers.
        let mut request: libc::ifreq = unsafe { zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
        // SAFETY: numbers only.
        let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        let socket = owned(socket).expect("a socket");
        // SAFETY: reads the request and the two numbers that it points to.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        check(done).expect("ethtool");
    }

    /// Sends a request and waits for the kernel's answer.
    fn request(&self, kind: u16, flags: i32, body: &[u8]) -> io::Result<()> {
        const HEADER: usize = size_of::<libc::nlmsghdr>();
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut message = Vec::new();
        message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]); // sequence number, port
        message.extend(body);
        let fd = self.netlink.as_raw_fd();
        // SAFETY: reads the bytes of `message`.
        let sent = unsafe { libc::send(fd, message.as_ptr().cast(), message.len(), 0) };
        check(sent as i32)?;
        let mut answer = [0; 4096];
        // SAFETY: writes at most the bytes of `answer`.
        let got = unsafe { libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), 0) };
        check(got as i32)?;
        // The only answer to a request with NLM_F_ACK that dumps nothing: nlmsgerr, which begins with 0 or -errno.
        let errno = i32::from_ne_bytes(answer[HEADER..HEADER + 4].try_into().expect("four bytes"));
        if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-errno)) }
    }
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32) -> Vec<u8> {
    let mut header = vec![0; 4]; // family, padding, type
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend((libc::IFF_UP as u32).to_ne_bytes()); // the flags to change
    header
}

/// Appends a netlink attribute, padded to four bytes.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend((4 + value.len() as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn index(name: &str) -> u32 {
    let name = CString::new(name).expect("a name");
    // SAFETY: a string that ends with 0.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "{name:?} exists");
    index
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(check(fd)?) })
}

/// Repeats `step` until it gives true; fails the test if that takes too long.
pub(crate) fn until(what: &str, mut step: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !step() {
        assert!(Instant::now() < end, "in vain: {what}");
    }
}

/// Takes a capability away from the calling thread.
pub(crate) fn drop_capability(capability: u32) {
    #[repr(C)]
    struct Header(u32, i32);
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Data(u32, u32, u32);
    let mut header = Header(0x2008_0522, 0);
    // SAFETY: all zeroes are a value of these numbers.
    let mut data: [Data; 2] = unsafe { zeroed() };
    // SAFETY: version 3 writes two structures of three numbers.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    check(got as i32).expect("capget");
    data[(capability / 32) as usize].0 &= !(1 << (capability % 32));
    // SAFETY: reads the same; changes this thread only.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) };
    check(set as i32).expect("capset");
}

/// Sets how many bytes of memory this process may lock, where it has no capability to lock more.
pub(crate) fn limit_locked_memory(bytes: u64) {
    // SAFETY: all zeroes are a value of two numbers.
    let mut limit: libc::rlimit = unsafe { zeroed() };
    // SAFETY: writes the two numbers.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) }).expect("getrlimit");
    limit.rlim_cur = bytes.min(limit.rlim_max);
    // SAFETY: reads the two numbers.
    check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }).expect("setrlimit");
}
