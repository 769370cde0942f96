//! Messages to the kernel and its answers, as the netlink-packet crates have them, over link's connection.
//!
//! ```text
//!  message ─ netlink-packet-* ─► type, body ─ link::Connection ─► kernel
//!  answers ◄─ netlink-packet-* ─ type, body ◄─────────────────────┘
//! ```
//!
//! The crates know how interfaces, addresses, routes and sockets are spelled; headers, sequence numbers and
//! errors are link's. A connection belongs to the namespace of the thread that opened it.

use std::io;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_sys::protocols;

use crate::link::Connection;

/// Which part of the kernel is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Links, addresses, routes, neighbours.
    Route,
    /// The states of sockets.
    SockDiag,
}

/// A connection that waits for the answers to each of its requests.
#[derive(Debug)]
pub(super) struct Netlink(Connection);

impl Netlink {
    pub(super) fn open(protocol: Protocol) -> io::Result<Netlink> {
        let protocol = match protocol {
            Protocol::Route => protocols::NETLINK_ROUTE,
            Protocol::SockDiag => protocols::NETLINK_SOCK_DIAG,
        };
        Connection::open(protocol).map(Netlink)
    }

    /// Asks for a change and waits until it has been made.
    pub(super) fn change<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> io::Result<()> {
        self.0.change(message.message_type(), flags, &body(&message)).map(drop)
    }

    /// Asks for everything there is.
    pub(super) fn dump<M>(&mut self, message: M) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        let answers = self.0.dump(message.message_type(), &body(&message))?;
        let answers = answers.into_iter().map(|answer| {
            let mut header = NetlinkHeader::default();
            header.message_type = answer.kind;
            M::deserialize(&header, &answer.body).map_err(io::Error::other)
        });
        answers.collect()
    }
}

fn body(message: &impl NetlinkSerializable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}
