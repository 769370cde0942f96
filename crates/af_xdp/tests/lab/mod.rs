//! What the tests on veth need from the operating system, without any program: a network namespace of
//! their own, pairs of interfaces by rtnetlink, and an XDP program made of eleven instructions.
//!
//! ```text
//!  thread of a test ── unshare(CLONE_NEWNET) ──▶ la-a ◀──── veth ────▶ la-b
//!                                                                       │ XDP: slot = last byte of the
//!                                                                       │      destination address
//!                                                                       ▼
//!                                                        XSKMAP [ socket │ socket │ … ], else drop
//! ```
//!
//! Nothing has a name outside: all is gone with the thread, however it ends.
#![allow(unsafe_code, reason = "system calls that libc has no safe form of; only in tests")]

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
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
        indexes.map(|index| self.set_up(index, true));
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

/// Waits until one of the sockets has something, or there is no more patience.
pub(crate) fn wait(fd: BorrowedFd<'_>) {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure, which the kernel reads and writes.
    check(unsafe { libc::poll(&raw mut poll, 1, 20) }).expect("poll");
}

/// Repeats `step` until it gives true; fails the test if that takes too long.
pub(crate) fn until(what: &str, mut step: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !step() {
        assert!(Instant::now() < end, "in vain: {what}");
    }
}

/// Where the kernel runs the program.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// In the driver.
    Native = 1 << 2,
    /// Behind it, on socket buffers.
    Generic = 1 << 1,
}

/// An XDP program on an interface that hands each packet to a socket, by the last byte of its destination
/// address, and drops what has none. Detached when dropped.
pub(crate) struct Redirect {
    sockets: OwnedFd,
    _link: OwnedFd,
}

/// `union bpf_attr` as far as it is used here: every command has its own layout, zero behind its end.
#[repr(C, align(8))]
struct Attributes([u32; 32]);

impl Attributes {
    fn new(words: &[(usize, u32)]) -> Attributes {
        let mut attributes = Attributes([0; 32]);
        words.iter().for_each(|&(at, word)| attributes.0[at / 4] = word);
        attributes
    }

    /// An address at a place of eight bytes.
    fn pointer<T: ?Sized>(mut self, at: usize, target: &T) -> Attributes {
        let bytes = (std::ptr::from_ref(target).cast::<u8>().addr() as u64).to_ne_bytes();
        self.0[at / 4] = u32::from_ne_bytes(bytes[..4].try_into().expect("four bytes"));
        self.0[at / 4 + 1] = u32::from_ne_bytes(bytes[4..].try_into().expect("four bytes"));
        self
    }

    /// bpf(2). The targets of pointers must be alive, and what the command wants.
    fn call(self, command: u32) -> io::Result<i32> {
        // SAFETY: the kernel reads the attributes and what they point to, which the callers below keep.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_ptr(), size_of::<Attributes>()) };
        check(result as i32)
    }
}

const MAP_CREATE: u32 = 0;
const MAP_UPDATE: u32 = 2;
const PROGRAM_LOAD: u32 = 5;
const LINK_CREATE: u32 = 28;

impl Redirect {
    /// Attaches the program, with `slots` places for sockets. `frags`: it says that it can do with packets
    /// in several buffers.
    pub(crate) fn attach(interface: u32, slots: u32, mode: Mode, frags: bool) -> io::Result<Redirect> {
        const XSKMAP: u32 = 17;
        let sockets = owned(Attributes::new(&[(0, XSKMAP), (4, 4), (8, 4), (12, slots)]).call(MAP_CREATE)?)?;
        let program = Redirect::load(&sockets, frags)?;
        const ATTACH_XDP: u32 = 37;
        let words =
            [(0, program.as_raw_fd().cast_unsigned()), (4, interface), (8, ATTACH_XDP), (12, mode as u32)];
        let link = owned(Attributes::new(&words).call(LINK_CREATE)?)?;
        Ok(Redirect { sockets, _link: link })
    }

    fn load(sockets: &OwnedFd, frags: bool) -> io::Result<OwnedFd> {
        /// An instruction: code, destination and source register, offset, number.
        fn instruction(code: u8, to: u8, from: u8, offset: i16, number: i32) -> u64 {
            u64::from_ne_bytes({
                let ([o0, o1], [n0, n1, n2, n3]) = (offset.to_ne_bytes(), number.to_ne_bytes());
                [code, from << 4 | to, o0, o1, n0, n1, n2, n3]
            })
        }
        const DROP: i32 = 1;
        const REDIRECT_MAP: i32 = 51;
        let code = [
            instruction(0x61, 2, 1, 0, 0),                   // r2 = context.data
            instruction(0x61, 3, 1, 4, 0),                   // r3 = context.data_end
            instruction(0xbf, 4, 2, 0, 0),                   // r4 = r2
            instruction(0x07, 4, 0, 0, 14),                  // r4 += 14, an Ethernet header
            instruction(0x2d, 4, 3, 6, 0),                   // if r4 > r3 goto drop
            instruction(0x71, 2, 2, 5, 0),                   // r2 = last byte of the destination
            instruction(0x18, 1, 1, 0, sockets.as_raw_fd()), // r1 = map,
            instruction(0, 0, 0, 0, 0),                      //   in two instructions
            instruction(0xb7, 3, 0, 0, DROP),                // r3 = what to do without a socket
            instruction(0x85, 0, 0, 0, REDIRECT_MAP),        // r0 = redirect_map(r1, r2, r3)
            instruction(0x95, 0, 0, 0, 0),                   // return r0
            instruction(0xb7, 0, 0, 0, DROP),                // drop: r0 = DROP
            instruction(0x95, 0, 0, 0, 0),                   // return r0
        ];
        const XDP: u32 = 6;
        const HAS_FRAGS: u32 = 1 << 5;
        let flags = if frags { HAS_FRAGS } else { 0 };
        let attributes = Attributes::new(&[(0, XDP), (4, code.len() as u32), (44, flags)]);
        owned(attributes.pointer(8, &code).pointer(16, c"MIT").call(PROGRAM_LOAD)?)
    }

    /// Packets whose destination ends with `slot` go to this socket from now on.
    pub(crate) fn set(&self, slot: u8, socket: impl AsFd) {
        let (key, value) = (u32::from(slot), socket.as_fd().as_raw_fd());
        let attributes = Attributes::new(&[(0, self.sockets.as_raw_fd().cast_unsigned())]);
        attributes.pointer(8, &key).pointer(16, &value).call(MAP_UPDATE).expect("a socket in the map");
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
