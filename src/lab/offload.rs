//! What an interface leaves to hardware that a veth pair does not have.

use std::collections::BTreeSet;

use super::error::{Needs, Result};
use super::interface::Interface;
use crate::link;

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

impl Interface<'_> {
    /// Switches every offload on or off: checksums, segmentation (TSO, GSO), joining (GRO), VLAN tags. Off, what
    /// leaves the interface is what a wire would carry.
    ///
    /// # Errors
    /// CAP_NET_ADMIN is missing, or the kernel has no ethtool netlink (it came with Linux 5.6).
    pub fn set_offloads(&self, on: bool) -> Result<()> {
        let step = format!("offloads of {}", self.name());
        self.namespace()
            .attempt(&step, Needs::NetworkAdmin, || link::set_features(self.name(), &OFFLOADS, on))
    }

    /// The names of the features that are on, as `ethtool -k` has them in the kernel's own spelling.
    ///
    /// # Errors
    /// The interface is gone, or the kernel has no ethtool netlink.
    pub fn features(&self) -> Result<BTreeSet<String>> {
        let step = format!("features of {}", self.name());
        self.namespace().attempt(&step, Needs::Nothing, || link::features(self.name()))
    }
}
