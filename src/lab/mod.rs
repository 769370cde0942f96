//! Laboratories: network namespaces and veth pairs, made by system calls and netlink alone.
//!
//! ```text
//!   client                      middle                      server
//!   la-client ═══════ la-in  [ whatever ]  la-out ═══════ la-server
//!   10.0.0.1/24                is tried                   10.0.0.2/24
//!   fd00::1/64                                            fd00::2/64
//! ```
//!
//! The demo, the tests on the wire and the wire benchmarks stand on it. `lastack run` never uses it: what it
//! works on was made by others.
//!
//! # Life cycle
//!
//! Namespaces have no name in the file system; a file descriptor keeps each of them ([`Namespace`]). When the
//! last descriptor, socket and process of it is gone, which the kernel sees to however the process ends, so are
//! its interfaces, and with an interface its other end. Nothing has to be cleaned up, and nothing can be left.
//!
//! # Who may call it
//!
//! Anyone with CAP_SYS_ADMIN (namespaces) and CAP_NET_ADMIN (what is inside); an [`Error`] names what is
//! missing. No interface outside of the namespaces made here is ever touched.

mod error;
mod interface;
mod namespace;
mod netlink;
mod offload;
mod sockets;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use error::{Error, Result};
pub use interface::{Interface, Mac, Prefix, VethEnd};
pub use namespace::Namespace;
pub use sockets::SocketState;

/// The names of the interfaces, in the order of the picture.
pub const CLIENT_INTERFACE: &str = "la-client";
/// The middle's interface towards the client.
pub const INSIDE_INTERFACE: &str = "la-in";
/// The middle's interface towards the server.
pub const OUTSIDE_INTERFACE: &str = "la-out";
/// The server's interface.
pub const SERVER_INTERFACE: &str = "la-server";

/// How the two veth pairs are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Queues of every interface, each way.
    pub queues: u32,
    /// MTU of every interface, in bytes.
    pub mtu: u32,
    /// Whether the ends leave checksums and segmentation to hardware that is not there. Off, the middle sees
    /// what a wire would carry.
    pub offloads: bool,
    /// Whether the ends know each other's hardware address from the start, so that nobody ever asks.
    pub fixed_neighbours: bool,
    /// The core on which the middle's kernel works on what arrives there (receive packet steering). Without
    /// one it is the sender's own, whatever that is doing.
    pub middle_core: Option<u32>,
}

impl Default for Options {
    fn default() -> Options {
        Options { queues: 1, mtu: 1500, offloads: false, fixed_neighbours: false, middle_core: None }
    }
}

/// A client and a server with something in the middle.
#[derive(Debug)]
pub struct Lab {
    /// Where connections begin.
    pub client: Namespace,
    /// Where the middlebox stands.
    pub middle: Namespace,
    /// Where connections end.
    pub server: Namespace,
}

impl Lab {
    /// The client's addresses.
    pub const CLIENT: (Ipv4Addr, Ipv6Addr) = addresses(0, 1);
    /// The server's behind a bridge.
    pub const SERVER: (Ipv4Addr, Ipv6Addr) = addresses(0, 2);
    /// The server's behind a router.
    pub const ROUTED_SERVER: (Ipv4Addr, Ipv6Addr) = addresses(1, 2);
    /// The router's on the client's side and on the server's.
    pub const ROUTER: [(Ipv4Addr, Ipv6Addr); 2] = [addresses(0, 254), addresses(1, 254)];
    /// The client's hardware address.
    pub const CLIENT_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    /// The server's.
    pub const SERVER_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);

    /// Client and server in one network, for something transparent in the middle. Everything is up; nothing is
    /// carried from `la-in` to `la-out` yet.
    ///
    /// # Errors
    /// A privilege is missing, or the kernel lacks something; the error says which step failed.
    pub fn bridge(options: &Options) -> Result<Lab> {
        let lab = Lab::namespaces()?;
        // New interfaces take this over: the middle says nothing by itself.
        lab.middle.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        lab.wire(options)?;
        let (client, server) = (lab.client_interface()?, lab.server_interface()?);
        add_addresses(&client, Lab::CLIENT)?;
        add_addresses(&server, Lab::SERVER)?;
        if options.fixed_neighbours {
            add_neighbours(&client, Lab::SERVER, Lab::SERVER_MAC)?;
            add_neighbours(&server, Lab::CLIENT, Lab::CLIENT_MAC)?;
        }
        Ok(lab)
    }

    /// Client and server in a network each, and the middle's kernel routing between them: with a ruleset of
    /// nftables there, connection tracking to compare with.
    ///
    /// # Errors
    /// As [`Lab::bridge`].
    pub fn router(options: &Options) -> Result<Lab> {
        let lab = Lab::namespaces()?;
        lab.wire(options)?;
        lab.middle.set_sysctl("net/ipv4/ip_forward", "1")?;
        lab.middle.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
        let middle = [lab.middle.interface(INSIDE_INTERFACE)?, lab.middle.interface(OUTSIDE_INTERFACE)?];
        let ends = [(lab.client_interface()?, Lab::CLIENT), (lab.server_interface()?, Lab::ROUTED_SERVER)];
        for ((router, of_router), (end, of_end)) in middle.iter().zip(Lab::ROUTER).zip(&ends) {
            add_addresses(router, of_router)?;
            add_addresses(end, *of_end)?;
            end.namespace().add_route(Prefix::new(Ipv4Addr::UNSPECIFIED, 0), IpAddr::V4(of_router.0))?;
            end.namespace().add_route(Prefix::new(Ipv6Addr::UNSPECIFIED, 0), IpAddr::V6(of_router.1))?;
        }
        Ok(lab)
    }

    /// Joins `la-in` and `la-out` by the kernel's own bridge: what a middlebox is compared with. Its ports begin
    /// to forward once the kernel has noticed that they are up, which may take a second.
    ///
    /// # Errors
    /// The kernel has no bridges.
    pub fn add_kernel_bridge(&self) -> Result<()> {
        let ports = (self.middle.interface(INSIDE_INTERFACE)?, self.middle.interface(OUTSIDE_INTERFACE)?);
        self.middle.add_bridge("la-bridge", &[&ports.0, &ports.1]).map(drop)
    }

    /// The client's interface.
    ///
    /// # Errors
    /// It was removed.
    pub fn client_interface(&self) -> Result<Interface<'_>> {
        self.client.interface(CLIENT_INTERFACE)
    }

    /// The server's interface.
    ///
    /// # Errors
    /// It was removed.
    pub fn server_interface(&self) -> Result<Interface<'_>> {
        self.server.interface(SERVER_INTERFACE)
    }

    fn namespaces() -> Result<Lab> {
        let lab = Lab {
            client: Namespace::new("client")?,
            middle: Namespace::new("middle")?,
            server: Namespace::new("server")?,
        };
        for namespace in [&lab.client, &lab.middle, &lab.server] {
            // New interfaces take these over. Addresses are usable at once, and nobody looks for routers.
            namespace.set_sysctl("net/ipv6/conf/default/accept_dad", "0")?;
            namespace.set_sysctl("net/ipv6/conf/default/router_solicitations", "0")?;
        }
        for end in [&lab.client, &lab.server] {
            // No link-local address, and so no multicast listener reports from it. A router cannot do without:
            // it asks for neighbours from there.
            end.set_sysctl("net/ipv6/conf/default/addr_gen_mode", "1")?;
        }
        Ok(lab)
    }

    /// The picture without addresses.
    fn wire(&self, options: &Options) -> Result<()> {
        if let Some(core) = options.middle_core {
            // New interfaces take this over: a mask in hexadecimal digits, with a comma for every 32 cores.
            let mask = format!("{:x}{}", 1_u32 << (core % 32), ",00000000".repeat(core as usize / 32));
            self.middle.set_sysctl("net/core/rps_default_mask", &mask)?;
        }
        let end = |name, mac| VethEnd {
            mac,
            mtu: options.mtu,
            rx_queues: options.queues,
            tx_queues: options.queues,
            ..VethEnd::new(name)
        };
        let pairs = [
            (&self.client, end(CLIENT_INTERFACE, Some(Lab::CLIENT_MAC)), end(INSIDE_INTERFACE, None)),
            (&self.server, end(SERVER_INTERFACE, Some(Lab::SERVER_MAC)), end(OUTSIDE_INTERFACE, None)),
        ];
        for (namespace, outer, inner) in &pairs {
            let (outer, inner) = namespace.add_veth(outer, &self.middle, inner)?;
            for interface in [outer, inner] {
                interface.set_offloads(options.offloads)?;
                interface.up()?;
            }
        }
        Ok(())
    }
}

fn add_addresses(interface: &Interface<'_>, (v4, v6): (Ipv4Addr, Ipv6Addr)) -> Result<()> {
    interface.add_address(Prefix::new(v4, 24))?;
    interface.add_address(Prefix::new(v6, 64))
}

fn add_neighbours(interface: &Interface<'_>, (v4, v6): (Ipv4Addr, Ipv6Addr), mac: Mac) -> Result<()> {
    interface.add_neighbour(IpAddr::V4(v4), mac)?;
    interface.add_neighbour(IpAddr::V6(v6), mac)
}

/// The addresses of a host in one of the lab's networks, 10.0.N.0/24 and fd00:0:0:N::/64.
const fn addresses(network: u8, host: u8) -> (Ipv4Addr, Ipv6Addr) {
    (Ipv4Addr::new(10, 0, network, host), Ipv6Addr::new(0xfd00, 0, 0, network as u16, 0, 0, 0, host as u16))
}
