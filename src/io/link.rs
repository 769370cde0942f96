//! Link types: the numbers in capture files, and what the engine can parse.

use crate::wire::Link;

/// The supported link types, as error messages list them.
pub(super) const SUPPORTED: &str = "Ethernet (1), raw IP (12, 14, 101), Linux cooked v1 (113) and v2 (276), \
                                    IPv4 (228), IPv6 (229)";

/// The link of a link-type number, if the engine can parse it.
///
/// 12 and 14 are what BSD systems write for raw IP; 228 and 229 say the IP version, which the header says too.
pub(super) fn from_number(number: u16) -> Option<Link> {
    match number {
        1 => Some(Link::Ethernet),
        12 | 14 | 101 | 228 | 229 => Some(Link::RawIp),
        113 => Some(Link::LinuxCooked),
        276 => Some(Link::LinuxCooked2),
        _ => None,
    }
}

/// The link-type number that is written for a link.
pub(super) fn number(link: Link) -> u16 {
    match link {
        Link::Ethernet => 1,
        Link::LinuxCooked => 113,
        Link::LinuxCooked2 => 276,
        Link::RawIp => 101,
    }
}

/// A link's name in error messages.
pub(super) fn name(link: Link) -> &'static str {
    match link {
        Link::Ethernet => "Ethernet",
        Link::LinuxCooked => "Linux cooked v1",
        Link::LinuxCooked2 => "Linux cooked v2",
        Link::RawIp => "raw IP",
    }
}
