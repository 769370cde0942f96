//! Interfaces of a namespace: made, configured and removed by netlink.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::error::{Needs, Result};
use super::namespace::Namespace;
use super::netlink::{Netlink, Protocol};

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An address and the length of its network's prefix, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The address, host bits included where it is an interface's.
    pub address: IpAddr,
    /// At most 32, or 128 for IPv6.
    pub length: u8,
}

impl Prefix {
    /// A prefix of an address.
    pub fn new(address: impl Into<IpAddr>, length: u8) -> Prefix {
        Prefix { address: address.into(), length }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// One end of a veth pair that is to be made.
#[derive(Debug, Clone)]
pub struct VethEnd {
    /// At most 15 bytes; in labs it begins with `la-`.
    pub name: String,
    /// `None`: at random.
    pub mac: Option<Mac>,
    /// The longest packet, link header excluded, in bytes.
    pub mtu: u32,
    /// How many queues it receives on.
    pub rx_queues: u32,
    /// How many queues it sends on; the other end needs as many to receive if it runs an XDP program.
    pub tx_queues: u32,
}

impl VethEnd {
    /// One queue each way, 1500 bytes, a random hardware address.
    pub fn new(name: &str) -> VethEnd {
        VethEnd { name: name.to_owned(), mac: None, mtu: 1500, rx_queues: 1, tx_queues: 1 }
    }

    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(self.name.clone()),
            LinkAttribute::Mtu(self.mtu),
            LinkAttribute::NumTxQueues(self.tx_queues),
            LinkAttribute::NumRxQueues(self.rx_queues),
        ];
        message.attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        message
    }
}

/// An interface that exists in a namespace, known by its index.
#[derive(Debug, Clone)]
pub struct Interface<'a> {
    namespace: &'a Namespace,
    name: String,
    index: u32,
}

impl Namespace {
    /// The interface of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn interface(&self, name: &str) -> Result<Interface<'_>> {
        let index = self.attempt(&format!("interface {name}"), Needs::Nothing, || {
            Ok(nix::net::if_::if_nametoindex(name)?)
        })?;
        Ok(Interface { namespace: self, name: name.to_owned(), index })
    }

    /// A pair of interfaces, one here and one in `other`, both still down.
    ///
    /// # Errors
    /// CAP_NET_ADMIN is missing, a name is taken or too long, or the kernel has no veth.
    pub fn add_veth<'a>(
        &'a self,
        here: &VethEnd,
        other: &'a Namespace,
        there: &VethEnd,
    ) -> Result<(Interface<'a>, Interface<'a>)> {
        let mut peer = there.message();
        peer.attributes.push(LinkAttribute::NetNsFd(other.raw_fd()));
        let mut message = here.message();
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.change(
            &format!("veth pair {} = {}", here.name, there.name),
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )?;
        Ok((self.interface(&here.name)?, other.interface(&there.name)?))
    }

    /// The kernel's own bridge, up, without spanning tree.
    ///
    /// # Errors
    /// CAP_NET_ADMIN is missing, the name is taken, or the kernel has no bridges.
    pub fn add_bridge(&self, name: &str, ports: &[&Interface<'_>]) -> Result<Interface<'_>> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        let new = RouteNetlinkMessage::NewLink(message);
        self.change(&format!("bridge {name}"), new, NLM_F_CREATE | NLM_F_EXCL)?;
        let bridge = self.interface(name)?;
        for port in ports {
            port.set(&format!("port of {name}"), LinkAttribute::Controller(bridge.index))?;
        }
        bridge.up()?;
        Ok(bridge)
    }

    /// A route to `network` by way of `gateway`, which an interface's own network must contain.
    ///
    /// # Errors
    /// CAP_NET_ADMIN is missing, or the gateway cannot be reached.
    pub fn add_route(&self, network: Prefix, gateway: IpAddr) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(network.address);
        message.header.destination_prefix_length = network.length;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        if network.length > 0 {
            message.attributes.push(RouteAttribute::Destination(RouteAddress::from(network.address)));
        }
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        self.change(
            &format!("route to {network} by way of {gateway}"),
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    fn change(&self, step: &str, message: RouteNetlinkMessage, flags: u16) -> Result<()> {
        self.attempt(step, Needs::NetworkAdmin, || Netlink::open(Protocol::Route)?.change(message, flags))
    }
}

impl Interface<'_> {
    /// Its name when it was looked up.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, which is its own in its namespace only.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Brings it up.
    ///
    /// # Errors
    /// CAP_NET_ADMIN is missing, or it is gone.
    pub fn up(&self) -> Result<()> {
        self.set_flags("up", LinkFlags::Up)
    }

    /// Takes it down.
    ///
    /// # Errors
    /// As [`Interface::up`].
    pub fn down(&self) -> Result<()> {
        self.set_flags("down", LinkFlags::empty())
    }

    /// Removes it, and with it the other end if it is one of a pair.
    ///
    /// # Errors
    /// As [`Interface::up`].
    pub fn delete(self) -> Result<()> {
        let message = RouteNetlinkMessage::DelLink(self.message());
        self.namespace.change(&format!("removing {}", self.name), message, 0)
    }

    /// Sets the longest packet, link header excluded, in bytes.
    ///
    /// # Errors
    /// As [`Interface::up`], or an XDP program or the driver allows no such length.
    pub fn set_mtu(&self, mtu: u32) -> Result<()> {
        self.set(&format!("MTU {mtu}"), LinkAttribute::Mtu(mtu))
    }

    /// Sets the hardware address.
    ///
    /// # Errors
    /// As [`Interface::up`].
    pub fn set_mac(&self, mac: Mac) -> Result<()> {
        self.set(&format!("address {mac}"), LinkAttribute::Address(mac.0.to_vec()))
    }

    /// Adds an address of its own, usable at once: IPv6 does not look for duplicates first.
    ///
    /// # Errors
    /// As [`Interface::up`], or it has the address already.
    pub fn add_address(&self, prefix: Prefix) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(prefix.address);
        message.header.prefix_len = prefix.length;
        message.header.scope = AddressScope::Universe;
        message.header.index = self.index;
        if prefix.address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes =
            vec![AddressAttribute::Local(prefix.address), AddressAttribute::Address(prefix.address)];
        self.namespace.change(
            &format!("address {prefix} of {}", self.name),
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Fixes the hardware address of a neighbour, so that it is never asked for.
    ///
    /// # Errors
    /// As [`Interface::up`].
    pub fn add_neighbour(&self, address: IpAddr, mac: Mac) -> Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = self.index;
        message.header.state = NeighbourState::Permanent;
        let destination = match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        };
        message.attributes = vec![
            NeighbourAttribute::Destination(destination),
            NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()),
        ];
        self.namespace.change(
            &format!("neighbour {address} of {}", self.name),
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    pub(super) fn namespace(&self) -> &Namespace {
        self.namespace
    }

    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        message
    }

    fn set_flags(&self, what: &str, flags: LinkFlags) -> Result<()> {
        let mut message = self.message();
        message.header.flags = flags;
        message.header.change_mask = LinkFlags::Up;
        self.namespace.change(
            &format!("taking {} {what}", self.name),
            RouteNetlinkMessage::SetLink(message),
            0,
        )
    }

    fn set(&self, what: &str, attribute: LinkAttribute) -> Result<()> {
        let mut message = self.message();
        message.attributes.push(attribute);
        let step = format!("{}: {what}", self.name);
        self.namespace.change(&step, RouteNetlinkMessage::SetLink(message), 0)
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
