//! What a kernel says of the TCP sockets of a namespace, through its socket diagnostics.
//!
//! getsockopt(TCP_INFO) is not enough: a closed socket has no descriptor left to ask, and TIME_WAIT is kept
//! in a socket of its own that no process has. A dump lists them all.

use std::net::{IpAddr, SocketAddr};

use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};

use super::error::{Needs, Result};
use super::namespace::Namespace;
use super::netlink::{Netlink, Protocol};
use crate::tcp::State;

/// One TCP socket, as its kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketState {
    /// Its own address and port.
    pub local: SocketAddr,
    /// Its peer's; unspecified, port 0, where it listens.
    pub remote: SocketAddr,
    /// The state; a connection whose socket is not listed is CLOSED.
    pub state: State,
    /// Bytes that arrived and were not read; of a listener, connections not accepted yet.
    pub receive_queue: u32,
    /// Bytes that were written and not acknowledged.
    pub send_queue: u32,
}

impl Namespace {
    /// Every TCP socket of the namespace, in every state, of both IP versions. A socket that serves IPv4
    /// through IPv6 is listed with its IPv4 addresses.
    ///
    /// # Errors
    /// The kernel has no socket diagnostics for TCP.
    pub fn sockets(&self) -> Result<Vec<SocketState>> {
        self.attempt("listing its sockets", Needs::Nothing, || {
            let mut netlink = Netlink::open(Protocol::SockDiag)?;
            let mut found = Vec::new();
            for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
                let request = InetRequest {
                    family,
                    protocol: IPPROTO_TCP,
                    extensions: ExtensionFlags::empty(),
                    states: StateFlags::all(),
                    socket_id,
                };
                let answers = netlink.dump(SockDiagMessage::InetRequest(request))?;
                found.extend(answers.iter().filter_map(|answer| match answer {
                    SockDiagMessage::InetResponse(response) => Some(socket_state(&response.header)),
                    SockDiagMessage::InetRequest(_)
                    | SockDiagMessage::UnixRequest(_)
                    | SockDiagMessage::UnixResponse(_) => None,
                }));
            }
            Ok(found)
        })
    }
}

fn socket_state(header: &InetResponseHeader) -> SocketState {
    let id = &header.socket_id;
    let end = |address: IpAddr, port| SocketAddr::new(address.to_canonical(), port);
    SocketState {
        local: end(id.source_address, id.source_port),
        remote: end(id.destination_address, id.destination_port),
        state: state(header.state),
        receive_queue: header.recv_queue,
        send_queue: header.send_queue,
    }
}

/// The kernel's number of a state (include/net/tcp_states.h) as RFC 9293 calls it.
fn state(number: u8) -> State {
    match number {
        1 => State::Established,
        2 => State::SynSent,
        // 12 is a connection request that is no socket yet.
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        // 7 is CLOSE; numbers that this version does not know are no state of TCP either.
        _ => State::Closed,
    }
}
