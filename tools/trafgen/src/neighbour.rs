//! Answers to whoever asks for a hardware address: a router in the middle does, and no host is there to answer.
//!
//! ARP (RFC 826) and neighbour solicitation (RFC 4861 section 4.3), for all addresses of an end.

use std::net::IpAddr;

use lastack::wire::build::Builder;

use crate::frame::Addresses;

/// The type of a neighbour advertisement.
const ADVERTISEMENT: u8 = 136;
/// It was asked for, and replaces what was known before.
const SOLICITED_AND_OVERRIDE: u8 = 0x60;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;

/// Turns a question for one of `addresses` into its answer; the answer's length.
pub(crate) fn answer(mac: [u8; 6], addresses: &Addresses, frame: &mut [u8]) -> Option<usize> {
    match frame.get(12..14)? {
        [0x08, 0x06] => arp(mac, addresses, frame),
        [0x86, 0xdd] => solicitation(mac, addresses, frame),
        _ => None,
    }
}

fn arp(mac: [u8; 6], addresses: &Addresses, frame: &mut [u8]) -> Option<usize> {
    const LENGTH: usize = 42;
    let (_, request) = frame.get(..LENGTH)?.split_at(14);
    // Ethernet, IPv4, their lengths, a request.
    if request[..8] != [0, 1, 8, 0, 6, 4, 0, 1] {
        return None;
    }
    let asker: [u8; 10] = *request[8..].first_chunk()?;
    let wanted: [u8; 4] = *request[24..].first_chunk()?;
    if !addresses.contain(IpAddr::from(wanted)) {
        return None;
    }
    frame[..6].copy_from_slice(&asker[..6]);
    frame[6..12].copy_from_slice(&mac);
    let reply = &mut frame[14..LENGTH];
    reply[7] = 2;
    reply[8..14].copy_from_slice(&mac);
    reply[14..18].copy_from_slice(&wanted);
    reply[18..28].copy_from_slice(&asker);
    Some(LENGTH)
}

fn solicitation(mac: [u8; 6], addresses: &Addresses, frame: &mut [u8]) -> Option<usize> {
    const ICMPV6: u8 = 58;
    let (ip, icmp) = (frame.get(14..54)?, frame.get(54..78)?);
    // Next header; the type of a solicitation.
    if ip[6] != ICMPV6 || icmp[0] != 135 {
        return None;
    }
    let source: [u8; 16] = *ip[8..].first_chunk()?;
    let wanted: [u8; 16] = *icmp[8..].first_chunk()?;
    // From nowhere it asks whether the address is in use: not at that end.
    if source == [0; 16] || !addresses.contain(IpAddr::from(wanted)) {
        return None;
    }
    let mut payload = wanted.to_vec();
    payload.extend([TARGET_LINK_LAYER_ADDRESS, 1]);
    payload.extend(mac);
    let rest = [SOLICITED_AND_OVERRIDE, 0, 0, 0];
    let mut reply = Builder::v6(wanted, source).icmp(ADVERTISEMENT, 0, rest, &payload);
    reply[..6].copy_from_slice(frame.get(6..12)?);
    reply[6..12].copy_from_slice(&mac);
    // Fewer hops would tell of a router between (RFC 4861 section 7.1.2).
    reply[21] = 255;
    frame.get_mut(..reply.len())?.copy_from_slice(&reply);
    Some(reply.len())
}

#[cfg(test)]
mod tests {
    use lastack::wire::{Checks, Frame, Link, Transport, parse};

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const ASKER: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn request(wanted: [u8; 4]) -> Vec<u8> {
        let mut frame = [[0xff; 6], ASKER].concat();
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(ASKER);
        frame.extend([10, 0, 0, 254]);
        frame.extend([0; 6]);
        frame.extend(wanted);
        frame.resize(60, 0);
        frame
    }

    #[test]
    fn arp_is_answered_for_the_addresses_of_this_end_alone() {
        let addresses = Addresses { first: [10, 0, 0, 1].into(), count: 3 };
        for (last, is_answered) in [(0, false), (1, true), (3, true), (4, false)] {
            let mut frame = request([10, 0, 0, last]);
            let length = answer(MAC, &addresses, &mut frame);
            assert_eq!(length, is_answered.then_some(42), "10.0.0.{last}");
            if is_answered {
                let expected = [
                    &ASKER[..],
                    &MAC,
                    &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
                    &MAC,
                    &[10, 0, 0, last],
                    &ASKER,
                    &[10, 0, 0, 254],
                ];
                assert_eq!(frame[..42], expected.concat());
            }
        }
    }

    #[test]
    fn a_neighbour_solicitation_is_answered_with_a_right_checksum_and_all_hops_left() {
        let first: std::net::Ipv6Addr = "fd00::1".parse().unwrap();
        let router = "fd00::fe".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let addresses = Addresses { first: first.into(), count: 1 };
        let ask = |wanted: [u8; 16]| {
            let mut payload = wanted.to_vec();
            payload.extend([1, 1]);
            payload.extend(ASKER);
            let mut frame = Builder::v6(router, first.octets()).icmp(135, 0, [0; 4], &payload);
            frame[6..12].copy_from_slice(&ASKER);
            frame
        };
        let mut frame = ask(first.octets());
        let length = answer(MAC, &addresses, &mut frame).unwrap();
        let reply = &frame[..length];
        assert_eq!((&reply[..6], &reply[6..12], reply[21]), (&ASKER[..], &MAC[..], 255));
        assert_eq!((reply[54], &reply[62..78], &reply[80..86]), (136, &first.octets()[..], &MAC[..]));
        let packet = parse(&Frame::whole(reply, Link::Ethernet), Checks::ALL);
        assert_eq!(
            packet.transport,
            Transport::Untracked,
            "a message of IPv6's own, and its checksum is right"
        );
        assert_eq!(answer(MAC, &addresses, &mut ask(router)), None);
    }
}
