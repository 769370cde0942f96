//! A small XDP program, loaded by bpf(2) as it is: what stands between an interface and its sockets.
//!
//! ```text
//!  interface ──▶ XDP: slot = the queue, or the last byte of the destination address
//!                 │
//!                 └─▶ XSKMAP [ socket │ socket │ … ]; a packet without a socket is dropped
//! ```
//!
//! For the example and the tests of this crate; a real program has more to say, and comes from a compiler
//! and a loader such as aya or libbpf.
#![allow(unsafe_code, reason = "bpf(2) has no safe form in libc; only in the example and in tests")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// How the program chooses the slot of a packet.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    /// By the queue that it arrived on.
    Queue,
    /// By the last byte of its destination address.
    #[allow(dead_code, reason = "the tests' choice, not the example's")]
    Address,
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(check(fd)?) })
}

/// Where the kernel runs the program.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// In the driver.
    Native = 1 << 2,
    /// Behind it, on socket buffers.
    Generic = 1 << 1,
}

/// The program on an interface. Detached when dropped, and when the process ends, however it does.
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
    pub(crate) fn attach(
        interface: u32,
        choice: Choice,
        slots: u32,
        mode: Mode,
        frags: bool,
    ) -> io::Result<Redirect> {
        const XSKMAP: u32 = 17;
        let sockets = owned(Attributes::new(&[(0, XSKMAP), (4, 4), (8, 4), (12, slots)]).call(MAP_CREATE)?)?;
        let program = Redirect::load(&sockets, choice, frags)?;
        const ATTACH_XDP: u32 = 37;
        let words =
            [(0, program.as_raw_fd().cast_unsigned()), (4, interface), (8, ATTACH_XDP), (12, mode as u32)];
        let link = owned(Attributes::new(&words).call(LINK_CREATE)?)?;
        Ok(Redirect { sockets, _link: link })
    }

    fn load(sockets: &OwnedFd, choice: Choice, frags: bool) -> io::Result<OwnedFd> {
        /// An instruction: code, destination and source register, offset, number.
        fn instruction(code: u8, to: u8, from: u8, offset: i16, number: i32) -> u64 {
            u64::from_ne_bytes({
                let ([o0, o1], [n0, n1, n2, n3]) = (offset.to_ne_bytes(), number.to_ne_bytes());
                [code, from << 4 | to, o0, o1, n0, n1, n2, n3]
            })
        }
        const DROP: i32 = 1;
        const REDIRECT_MAP: i32 = 51;
        // r1 is the context, then the first argument; r2 the second, the slot; r3 the third.
        let choose = match choice {
            Choice::Queue => vec![
                instruction(0x61, 2, 1, 16, 0), // r2 = context.rx_queue_index
            ],
            Choice::Address => vec![
                instruction(0x61, 2, 1, 0, 0),    // r2 = context.data
                instruction(0x61, 3, 1, 4, 0),    // r3 = context.data_end
                instruction(0xbf, 4, 2, 0, 0),    // r4 = r2
                instruction(0x07, 4, 0, 0, 14),   // r4 += 14, an Ethernet header
                instruction(0xbd, 4, 3, 2, 0),    // if r4 <= r3 skip two
                instruction(0xb7, 0, 0, 0, DROP), // r0 = DROP
                instruction(0x95, 0, 0, 0, 0),    // return r0
                instruction(0x71, 2, 2, 5, 0),    // r2 = last byte of the destination
            ],
        };
        let redirect = [
            instruction(0x18, 1, 1, 0, sockets.as_raw_fd()), // r1 = the map,
            instruction(0, 0, 0, 0, 0),                      //   in two instructions
            instruction(0xb7, 3, 0, 0, DROP),                // r3 = what to do without a socket
            instruction(0x85, 0, 0, 0, REDIRECT_MAP),        // r0 = redirect_map(r1, r2, r3)
            instruction(0x95, 0, 0, 0, 0),                   // return r0
        ];
        let code = [&choose[..], &redirect].concat();
        const XDP: u32 = 6;
        const HAS_FRAGS: u32 = 1 << 5;
        let flags = if frags { HAS_FRAGS } else { 0 };
        let attributes = Attributes::new(&[(0, XDP), (4, code.len() as u32), (44, flags)]);
        owned(attributes.pointer(8, &code[..]).pointer(16, c"MIT").call(PROGRAM_LOAD)?)
    }

    /// Packets of `slot` go to this socket from now on.
    pub(crate) fn set(&self, slot: u8, socket: impl AsFd) -> io::Result<()> {
        let (key, value) = (u32::from(slot), socket.as_fd().as_raw_fd());
        let attributes = Attributes::new(&[(0, self.sockets.as_raw_fd().cast_unsigned())]);
        attributes.pointer(8, &key).pointer(16, &value).call(MAP_UPDATE)?;
        Ok(())
    }
}

/// Sleeps until there is something to receive at one of the sockets, or a little while has passed.
pub(crate) fn wait<const N: usize>(sockets: [BorrowedFd<'_>; N]) -> io::Result<()> {
    let mut polls = sockets.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    // SAFETY: N structures, which the kernel reads and writes.
    match check(unsafe { libc::poll(polls.as_mut_ptr(), N as libc::nfds_t, 20) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
