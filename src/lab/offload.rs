//! What an interface leaves to hardware that a veth pair does not have, through ethtool's netlink family.
//!
//! ```text
//!  generic netlink: GETFAMILY "ethtool" ─► its number ─► FEATURES_SET { header { name }, wanted { bits } }
//! ```
//!
//! The ioctl of the same purpose would take a pointer; this way everything is bytes.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;

use netlink_packet_core::{
    DefaultNla, Emitable, NLA_F_NESTED, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlaBuffer,
    NlasIterator,
};

use super::error::{Needs, Result};
use super::interface::Interface;
use super::netlink::{Netlink, Protocol};

/// What puts off checksums, cutting and joining of segments, and VLAN tags. A feature that builds on another
/// one is switched off by the kernel together with it.
const OFFLOADS: [&str; 12] = [
    "tx-checksum-ip-generic",
    "rx-checksum",
    "tx-scatter-gather",
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-udp-segmentation",
    "tx-generic-segmentation",
    "rx-gro",
    "tx-vlan-hw-insert",
    "tx-vlan-stag-hw-insert",
    "rx-vlan-hw-parse",
];

// linux/genetlink.h and linux/ethtool_netlink.h.
const CONTROL: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const FEATURES_GET: u8 = 11;
const FEATURES_SET: u8 = 12;
const HEADER: u16 = 1;
const HEADER_DEVICE_NAME: u16 = 2;
const WANTED: u16 = 3;
const ACTIVE: u16 = 4;
const BITSET_BITS: u16 = 3;
const BITSET_BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

impl Interface<'_> {
    /// Switches every offload on or off: checksums, segmentation (TSO, GSO), joining (GRO), VLAN tags. Off, what
    /// leaves the interface is what a wire would carry.
    ///
    /// # Errors
    /// CAP_NET_ADMIN is missing, or the kernel has no ethtool netlink (it came with Linux 5.6).
    pub fn set_offloads(&self, on: bool) -> Result<()> {
        let bits = OFFLOADS.iter().map(|name| {
            let mut bit = vec![text(BIT_NAME, name)];
            if on {
                bit.push(DefaultNla::new(BIT_VALUE, Vec::new()));
            }
            nested(BITSET_BIT, &bit)
        });
        let bits = nested(BITSET_BITS, &bits.collect::<Vec<_>>());
        let wanted = vec![self.header(), nested(WANTED, &[bits])];
        let step = format!("offloads of {}", self.name());
        self.namespace().attempt(&step, Needs::NetworkAdmin, || {
            let mut netlink = Netlink::open(Protocol::Generic)?;
            let family = ethtool_family(&mut netlink)?;
            netlink.change(Generic { family, command: FEATURES_SET, attributes: wanted }, 0)
        })
    }

    /// The names of the features that are on, as `ethtool -k` has them in the kernel's own spelling.
    ///
    /// # Errors
    /// The interface is gone, or the kernel has no ethtool netlink.
    pub fn features(&self) -> Result<BTreeSet<String>> {
        let attributes = vec![self.header()];
        let step = format!("features of {}", self.name());
        let answers = self.namespace().attempt(&step, Needs::NetworkAdmin, || {
            let mut netlink = Netlink::open(Protocol::Generic)?;
            let family = ethtool_family(&mut netlink)?;
            netlink.get(Generic { family, command: FEATURES_GET, attributes })
        })?;
        let bitset = answers.iter().find_map(|answer| answer.value(ACTIVE));
        let bits = bitset.and_then(|bitset| find(&bitset, BITSET_BITS)).unwrap_or_default();
        // Without a mask, the bits that are listed are those that are set.
        let names = attributes_of(&bits).into_iter().filter_map(|(_, bit)| find(&bit, BIT_NAME));
        Ok(names.map(|name| String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()).collect())
    }

    fn header(&self) -> DefaultNla {
        nested(HEADER, &[text(HEADER_DEVICE_NAME, self.name())])
    }
}

fn ethtool_family(netlink: &mut Netlink) -> io::Result<u16> {
    let attributes = vec![text(FAMILY_NAME, "ethtool")];
    let answers = netlink.get(Generic { family: CONTROL, command: GET_FAMILY, attributes })?;
    let id = answers.iter().find_map(|answer| answer.value(FAMILY_ID));
    let id = id.and_then(|id| id.first_chunk().copied());
    id.map(u16::from_ne_bytes).ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

/// A message of generic netlink: a family, its command, attributes.
#[derive(Debug)]
struct Generic {
    family: u16,
    command: u8,
    attributes: Vec<DefaultNla>,
}

impl Generic {
    const HEADER: usize = 4;

    /// The value of the first attribute of this kind.
    fn value(&self, kind: u16) -> Option<Vec<u8>> {
        let mut bytes = vec![0; self.attributes.as_slice().buffer_len()];
        self.attributes.as_slice().emit(&mut bytes);
        find(&bytes, kind)
    }
}

impl NetlinkSerializable for Generic {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        Generic::HEADER + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        // Command, version, two reserved bytes.
        buffer[..Generic::HEADER].copy_from_slice(&[self.command, 1, 0, 0]);
        self.attributes.as_slice().emit(&mut buffer[Generic::HEADER..]);
    }
}

impl NetlinkDeserializable for Generic {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> std::result::Result<Generic, Infallible> {
        let command = payload.first().copied().unwrap_or(0);
        let attributes = attributes_of(payload.get(Generic::HEADER..).unwrap_or_default());
        let attributes = attributes.into_iter().map(|(kind, value)| DefaultNla::new(kind, value));
        Ok(Generic { family: header.message_type, command, attributes: attributes.collect() })
    }
}

fn text(kind: u16, value: &str) -> DefaultNla {
    DefaultNla::new(kind, [value.as_bytes(), b"\0"].concat())
}

fn nested(kind: u16, inner: &[DefaultNla]) -> DefaultNla {
    let mut bytes = vec![0; inner.buffer_len()];
    inner.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}

/// Kinds and values of a run of attributes, as far as it is well formed.
fn attributes_of(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let attributes = NlasIterator::new(bytes).map_while(std::result::Result::ok);
    attributes.map(|attribute: NlaBuffer<&[u8]>| (attribute.kind(), attribute.value().to_vec())).collect()
}

fn find(bytes: &[u8], kind: u16) -> Option<Vec<u8>> {
    attributes_of(bytes).into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value)
}
