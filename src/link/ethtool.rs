//! What a driver is set to: queues and offloads. Through ethtool's netlink family (Linux 5.6), which knows the
//! namespace of its socket.
//!
//! ```text
//!  generic netlink: GETFAMILY "ethtool" ─► the family's number
//!                   CHANNELS_GET, FEATURES_GET, FEATURES_SET { header { name } } ─► answer
//! ```

use std::collections::BTreeSet;
use std::io;

use netlink_sys::protocols::NETLINK_GENERIC;

use super::netlink::{Connection, Message, attribute, attributes, number, push, push_nested, text};

// linux/genetlink.h.
const CONTROL: u16 = 16;
const CONTROL_VERSION: u8 = 2;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

// linux/ethtool_netlink.h.
const VERSION: u8 = 1;
const FEATURES_GET: u8 = 11;
const FEATURES_SET: u8 = 12;
const CHANNELS_GET: u8 = 17;
const HEADER: u16 = 1;
const HEADER_NAME: u16 = 2;
const CHANNELS_RX: u16 = 6;
const CHANNELS_TX: u16 = 7;
const CHANNELS_COMBINED: u16 = 9;
const FEATURES_WANTED: u16 = 3;
const FEATURES_ACTIVE: u16 = 4;
const BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// The generic header before the attributes: command, version, two bytes of nothing.
const GENERIC: usize = 4;

/// Whether a feature hands over several packets joined into one, or has one cut into several. By the kernel's
/// names (net/ethtool/common.c), which go on to grow: what cuts ends alike.
fn joins(feature: &str) -> bool {
    feature.ends_with("-segmentation")
        || feature.starts_with("rx-gro")
        || matches!(feature, "rx-lro" | "tx-gso-list")
}

/// Whether a feature changes what a bridge sees: it joins, leaves checksums to the hardware, or keeps VLAN tags
/// beside the frame instead of in it.
fn matters(feature: &str) -> bool {
    let moves_tags = feature.ends_with("-hw-insert") || feature.ends_with("-hw-parse");
    joins(feature) || feature.starts_with("tx-checksum-") || (feature.contains("-vlan-") && moves_tags)
}

/// Which offloads of an interface are on, of those that change what a bridge sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offloads {
    /// By the names that `ethtool -k` and `ethtool -K` know.
    pub on: BTreeSet<String>,
}

impl Offloads {
    /// Those by which generic XDP, which runs behind them, sees packets longer than any on the wire: GRO and LRO
    /// of the interface itself; of the other end of a veth pair also TSO and GSO.
    pub fn joining(&self) -> impl Iterator<Item = &str> {
        self.on.iter().map(String::as_str).filter(|name| joins(name))
    }
}

/// Which offloads that matter to a bridge are on.
///
/// # Errors
///
/// As `features`.
pub fn offloads(name: &str) -> io::Result<Offloads> {
    Ok(Offloads { on: features(name)?.into_iter().filter(|name| matters(name)).collect() })
}

/// The features that are on, by the names that `ethtool -k` knows.
///
/// # Errors
///
/// What the kernel says: `ENODEV` if there is no such interface, `NotFound` if the kernel has no ethtool netlink.
pub(crate) fn features(name: &str) -> io::Result<BTreeSet<String>> {
    let answer = Family::open()?.ask(FEATURES_GET, name, &[])?;
    let active = attribute(&answer.body, GENERIC, FEATURES_ACTIVE).ok_or(io::ErrorKind::InvalidData)?;
    // Without a mask, the bits that are listed are those that are set.
    let bits = attribute(active, 0, BITS).unwrap_or(&[]);
    Ok(attributes(bits, 0).filter_map(|(_, bit)| attribute(bit, 0, BIT_NAME)).map(text).collect())
}

/// Switches features on or off. What a driver has fixed stays as it is, and what builds on a feature goes off
/// with it.
///
/// # Errors
///
/// As [`features`]; `EPERM` without CAP_NET_ADMIN.
pub(crate) fn set_features(name: &str, features: &[&str], on: bool) -> io::Result<()> {
    let mut bits = Vec::new();
    for feature in features {
        let mut bit = Vec::new();
        push(&mut bit, BIT_NAME, &zero_terminated(feature));
        if on {
            push(&mut bit, BIT_VALUE, &[]);
        }
        push_nested(&mut bits, BIT, &bit);
    }
    let mut set = Vec::new();
    push_nested(&mut set, BITS, &bits);
    let mut wanted = Vec::new();
    push_nested(&mut wanted, FEATURES_WANTED, &set);
    Family::open()?.ask(FEATURES_SET, name, &wanted).map(drop)
}

/// How many queues the driver uses: for receiving, for sending.
///
/// # Errors
///
/// As [`features`]; `EOPNOTSUPP` of a driver that has no notion of it.
pub(super) fn queues(name: &str) -> io::Result<(u32, u32)> {
    let answer = Family::open()?.ask(CHANNELS_GET, name, &[])?;
    let count = |kind| attribute(&answer.body, GENERIC, kind).and_then(number).unwrap_or(0);
    let combined = count(CHANNELS_COMBINED);
    match (count(CHANNELS_RX) + combined, count(CHANNELS_TX) + combined) {
        (0, _) | (_, 0) => Err(io::ErrorKind::InvalidData.into()),
        counts => Ok(counts),
    }
}

/// ethtool's family of generic netlink.
struct Family {
    netlink: Connection,
    id: u16,
}

impl Family {
    fn open() -> io::Result<Family> {
        let mut netlink = Connection::open(NETLINK_GENERIC)?;
        let mut body = vec![GET_FAMILY, CONTROL_VERSION, 0, 0];
        push(&mut body, FAMILY_NAME, &zero_terminated("ethtool"));
        let answers = netlink.request(CONTROL, &body)?;
        let id =
            answers.iter().find_map(|answer| attribute(&answer.body, GENERIC, FAMILY_ID)?.try_into().ok());
        let id = u16::from_ne_bytes(id.ok_or(io::ErrorKind::NotFound)?);
        Ok(Family { netlink, id })
    }

    /// Sends a command about an interface and returns what is answered.
    fn ask(&mut self, command: u8, name: &str, attributes: &[u8]) -> io::Result<Message> {
        let mut header = Vec::new();
        push(&mut header, HEADER_NAME, &zero_terminated(name));
        let mut body = vec![command, VERSION, 0, 0];
        push_nested(&mut body, HEADER, &header);
        body.extend_from_slice(attributes);
        let answers = self.netlink.request(self.id, &body)?;
        answers.into_iter().next().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// A name as the kernel wants it.
fn zero_terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_joins_or_cuts_packets_is_told_from_what_does_not() {
        for feature in ["tx-tcp6-segmentation", "rx-gro", "rx-gro-list", "rx-lro", "tx-gso-list"] {
            assert!(joins(feature) && matters(feature), "{feature}");
        }
        for feature in ["tx-checksum-ip-generic", "rx-vlan-hw-parse", "tx-vlan-stag-hw-insert"] {
            assert!(!joins(feature) && matters(feature), "{feature}");
        }
        for feature in ["rx-vlan-filter", "rx-hashing", "tx-nocache-copy", "highdma"] {
            assert!(!joins(feature) && !matters(feature), "{feature}");
        }
    }
}
