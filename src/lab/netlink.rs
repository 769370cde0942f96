//! One request and its answers over a netlink socket, whatever the family.
//!
//! ```text
//!  change ─ request with ACK  ─► [answers …] then 0 or an errno
//!  dump   ─ request with DUMP ─► answers … then DONE
//! ```
//!
//! A socket belongs to the namespace of the thread that opened it.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr, protocols};

/// Which part of the kernel is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Links, addresses, routes, neighbours.
    Route,
    /// Families that are found by name, ethtool's among them.
    Generic,
    /// The states of sockets.
    SockDiag,
}

/// A socket that waits for the answers to each of its requests.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open(protocol: Protocol) -> io::Result<Netlink> {
        let socket = Socket::new(match protocol {
            Protocol::Route => protocols::NETLINK_ROUTE,
            Protocol::Generic => protocols::NETLINK_GENERIC,
            Protocol::SockDiag => protocols::NETLINK_SOCK_DIAG,
        })?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Asks for a change and waits until it has been made.
    pub(super) fn change<M>(&mut self, message: M, flags: u16) -> io::Result<()>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.ask(message, flags | NLM_F_ACK).map(drop)
    }

    /// Asks for one thing.
    pub(super) fn get<M>(&mut self, message: M) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.ask(message, NLM_F_ACK)
    }

    /// Asks for everything there is.
    pub(super) fn dump<M>(&mut self, message: M) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.ask(message, NLM_F_DUMP)
    }

    fn ask<M>(&mut self, message: M, flags: u16) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        while !self.receive(&mut answers)? {}
        Ok(answers)
    }

    /// Takes one datagram of answers; whether it was the last.
    fn receive<M: NetlinkDeserializable>(&self, answers: &mut Vec<M>) -> io::Result<bool> {
        let (bytes, _) = self.socket.recv_from_full()?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<M>::deserialize(rest).map_err(io::Error::other)?;
            // Messages begin at multiples of four; the last one's padding may be missing.
            let length = (message.header.length as usize).next_multiple_of(4).min(rest.len());
            rest = &rest[length..];
            if message.header.sequence_number != self.sequence {
                continue;
            }
            match message.payload {
                NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                NetlinkPayload::Error(error) => match error.code {
                    Some(_) => return Err(error.to_io()),
                    None => return Ok(true),
                },
                NetlinkPayload::Done(done) if done.code < 0 => {
                    return Err(io::Error::from_raw_os_error(-done.code));
                }
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::Noop => {}
                NetlinkPayload::Overrun(_) => return Err(io::Error::other("netlink lost an answer")),
                _ => return Err(io::Error::other("netlink answered in an unknown way")),
            }
        }
        Ok(false)
    }
}
