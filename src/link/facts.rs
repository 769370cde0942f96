//! What the kernel knows about an interface.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::{Connection, Message, attribute, attributes, number, text};
use super::{Error, ethtool};

// linux/rtnetlink.h and linux/if_link.h.
pub(super) const NEW_LINK: u16 = 16;
pub(super) const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const INFO: u16 = 18;
const INFO_KIND: u16 = 1;
const TX_QUEUES: u16 = 31;
const RX_QUEUES: u16 = 32;
const XDP: u16 = 43;
/// The program; with several, one in each of these places: in all, in the driver, in the stack, in hardware.
const XDP_PROGRAMS: [u16; 4] = [4, 5, 6, 7];

/// The header of a message about a link: family, type of hardware, index, flags, mask of changes.
const HEADER: usize = 16;

/// Flags of a link (linux/if.h): switched on; and the driver sees the other side.
const UP: u32 = 1;
const LOWER_UP: u32 = 1 << 16;

/// An interface as it is at the moment of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its network namespace.
    pub index: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// The largest packet that it sends, link header not counted, in bytes.
    pub mtu: u32,
    /// Switched on by the administrator.
    pub up: bool,
    /// Switched on, and the other side of the wire is there too: frames can pass.
    pub carrier: bool,
    /// Its Ethernet address, if it is of that kind.
    pub mac: Option<[u8; 6]>,
    /// What kind of virtual interface it is (`veth`, `bridge`, `tun`); `None` of hardware.
    pub kind: Option<String>,
    /// Receive queues in use.
    pub rx_queues: u32,
    /// Transmit queues in use.
    pub tx_queues: u32,
    /// The id of the XDP program that is attached to it.
    pub xdp_program: Option<u32>,
}

/// Looks an interface up by its name, in this thread's network namespace.
///
/// # Errors
///
/// [`Error::Missing`], which names those that exist; [`Error::System`] if the kernel cannot be asked.
pub fn find(name: &str) -> Result<Link, Error> {
    let links = all().map_err(Error::system("ask the kernel for its interfaces"))?;
    let Some(link) = links.iter().find(|link| link.name == name) else {
        let existing = links.into_iter().map(|link| link.name).collect();
        return Err(Error::Missing { name: name.to_owned(), existing });
    };
    let mut link = link.clone();
    // Drivers that cannot say have as many as were allocated: what the link's own message says.
    if let Ok((rx_queues, tx_queues)) = ethtool::queues(name) {
        (link.rx_queues, link.tx_queues) = (rx_queues, tx_queues);
    }
    Ok(link)
}

/// The id of the XDP program on the interface with this index.
///
/// # Errors
///
/// What the kernel says: `ENODEV` if there is no such interface.
pub fn program_on(index: u32) -> io::Result<Option<u32>> {
    let mut header = [0; HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let answers = Connection::open(NETLINK_ROUTE)?.request(GET_LINK, &header)?;
    Ok(answers.iter().filter_map(Link::of).find_map(|link| link.xdp_program))
}

/// Every interface, in the kernel's order. The queues are those that were allocated.
fn all() -> io::Result<Vec<Link>> {
    all_from(&mut Connection::open(NETLINK_ROUTE)?)
}

/// Every interface in the connection's network namespace.
pub(super) fn all_from(netlink: &mut Connection) -> io::Result<Vec<Link>> {
    let messages = netlink.dump(GET_LINK, &[0; HEADER])?;
    Ok(messages.iter().filter_map(Link::of).collect())
}

impl Link {
    /// The link that a message is about, if it is about one.
    pub(super) fn of(message: &Message) -> Option<Link> {
        if !matches!(message.kind, NEW_LINK | DELETE_LINK) {
            return None;
        }
        let [family, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *message.body.first_chunk::<HEADER>()?;
        // Bridges and others announce under their own family that a link has joined or left them.
        if i32::from(family) != libc::AF_UNSPEC {
            return None;
        }
        let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
        let mut link = Link {
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            name: String::new(),
            mtu: 0,
            up: flags & UP != 0,
            carrier: flags & UP != 0 && flags & LOWER_UP != 0,
            mac: None,
            kind: None,
            rx_queues: 1,
            tx_queues: 1,
            xdp_program: None,
        };
        for (kind, value) in attributes(&message.body, HEADER) {
            match kind {
                ADDRESS => link.mac = value.try_into().ok(),
                NAME => link.name = text(value),
                MTU => link.mtu = number(value).unwrap_or(0),
                INFO => link.kind = attribute(value, 0, INFO_KIND).map(text),
                TX_QUEUES => link.tx_queues = number(value).unwrap_or(1),
                RX_QUEUES => link.rx_queues = number(value).unwrap_or(1),
                XDP => link.xdp_program = program_in(value),
                _ => {}
            }
        }
        Some(link)
    }
}

/// The program that the attribute about XDP names.
fn program_in(value: &[u8]) -> Option<u32> {
    XDP_PROGRAMS.iter().find_map(|place| number(attribute(value, 0, *place)?))
}
