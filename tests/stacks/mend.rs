//! What smoltcp 0.12 sends that no TCP may send, mended on its way out of the endpoint.
//!
//! - With timestamps its full segments are 12 bytes larger than the MTU, and the device refuses them for ever: the
//!   MSS that SYNs announce is lowered by as much, as routers do.
//! - Its keep-alives bear a zero byte at SND.NXT - 1 even where that byte was not acknowledged yet; in place of
//!   data it would corrupt the stream, in place of a FIN it would lengthen it. They are moved to SND.UNA - 1, where
//!   RFC 9293 section 3.8.4 has them. And they announce a window that it then forgets, so that it panics when the peer
//!   uses it: they repeat the one before.

use smoltcp::wire::{IpAddress, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber};

/// The timestamps option with its padding (RFC 7323 section 3.2).
const TIMESTAMPS_LENGTH: u16 = 12;

/// Lowers the MSS that a SYN announces.
pub(crate) fn lower_mss(packet: &mut [u8]) {
    rewrite(packet, |tcp| {
        let end = usize::from(tcp[12] >> 4) * 4;
        let mut at = 20;
        while at + 4 <= end {
            match tcp[at] {
                0 => return,
                1 => at += 1,
                2 => {
                    let mss = u16::from_be_bytes([tcp[at + 2], tcp[at + 3]]) - TIMESTAMPS_LENGTH;
                    tcp[at + 2..at + 4].copy_from_slice(&mss.to_be_bytes());
                    return;
                }
                _ => at += usize::from(tcp[at + 1]).max(2),
            }
        }
    });
}

/// Gives a keep-alive its sequence number, and the acknowledgement and window of the segment before.
pub(crate) fn keep_alive(packet: &mut [u8], seq: u32, ack: u32, window: u16) {
    rewrite(packet, |tcp| {
        let mut tcp = TcpPacket::new_unchecked(tcp);
        tcp.set_seq_number(TcpSeqNumber(seq as i32));
        tcp.set_ack_number(TcpSeqNumber(ack as i32));
        tcp.set_window_len(window);
    });
}

/// Changes the TCP segment of an IP packet and makes its checksum right again.
fn rewrite(packet: &mut [u8], change: impl FnOnce(&mut [u8])) {
    let (start, source, destination) = if packet[0] >> 4 == 4 {
        let ip = Ipv4Packet::new_unchecked(&*packet);
        (usize::from(ip.header_len()), IpAddress::Ipv4(ip.src_addr()), IpAddress::Ipv4(ip.dst_addr()))
    } else {
        let ip = Ipv6Packet::new_unchecked(&*packet);
        (40, IpAddress::Ipv6(ip.src_addr()), IpAddress::Ipv6(ip.dst_addr()))
    };
    let tcp = &mut packet[start..];
    change(tcp);
    TcpPacket::new_unchecked(tcp).fill_checksum(&source, &destination);
}
