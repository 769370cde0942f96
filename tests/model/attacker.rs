//! Segments of somebody off the path, who knows the addresses and the ports and guesses numbers (RFC 5961).
//!
//! Every class of segment is forged that must change nothing: those which a receiver would take for genuine
//! (an exact RST, octets in the window with an acceptable acknowledgement) are not among them, since neither
//! the tracker nor the receiver could know.

use super::endpoint;
use super::network::World;
use super::segment::{ACK, FIN, RST, SYN, Segment, Side};

/// How far inside the window the guesses lie: beyond anything that will be sent, so that they never become
/// exact while they are under way.
const INSIDE: u32 = 10;
const OUTSIDE: u32 = 100_000;

/// The segments that can be forged now towards `target`.
pub fn forgeries(world: &World, target: Side) -> Vec<Segment> {
    let endpoint = &world.ends[target.index()];
    if !endpoint.state.is_synchronized() || world.tracker.entry.is_none() {
        return Vec::new();
    }
    let inside = endpoint.rcv_nxt.wrapping_add(INSIDE);
    let sequence = [inside, endpoint.rcv_nxt.wrapping_add(OUTSIDE), endpoint.rcv_nxt.wrapping_sub(OUTSIDE)];
    let good = endpoint.snd_una;
    let bad = [endpoint.snd_nxt.wrapping_add(OUTSIDE), endpoint.snd_una.wrapping_sub(OUTSIDE)];
    let forged = |flags, seq, ack, octets| Segment { flags, seq, ack, octets, old_fin: false };
    // In TIME_WAIT its receiver itself takes a SYN whose number may be guessed, and `time_wait_reuse` lets it.
    let done = endpoint.state == endpoint::State::TimeWait || world.tracker.is_done(target);
    let mut all = Vec::new();
    for seq in sequence {
        all.push(forged(RST, seq, 0, 0));
        if !done {
            all.push(forged(SYN, seq, 0, 0));
        }
        for ack in [good, bad[0], bad[1]] {
            all.push(forged(RST | ACK, seq, ack, 0));
            all.push(forged(SYN | ACK, seq, ack, 0));
            all.push(forged(ACK, seq, ack, 0));
            if seq != inside || ack != good {
                all.push(forged(ACK | FIN, seq, ack, 0));
                all.push(forged(ACK, seq, ack, 1));
            }
        }
    }
    all
}

/// How many segments [`usurpation`] has.
pub const USURPS: u8 = 5;
/// The initial sequence number that somebody makes up for an endpoint, far from every real one.
const MADE_UP: u32 = 0x2000_0000;

/// What somebody sends who makes up a new incarnation in both endpoints' names, and knows its numbers therefore: the
/// SYN of `side`, its answer, the handshake's end, an RST, and the next SYN.
pub fn usurpation(side: Side, step: u8) -> (Side, Segment) {
    // Each of the two that can be made up has numbers of its own.
    let away = MADE_UP << side.index();
    let own = side.initial(0).wrapping_add(away);
    let other = side.other().initial(0).wrapping_add(away);
    let forged = |flags, seq, ack| Segment { flags, seq, ack, octets: 0, old_fin: false };
    match step {
        0 => (side, forged(SYN, own, 0)),
        1 => (side.other(), forged(SYN | ACK, other, own.wrapping_add(1))),
        2 => (side, forged(ACK, own.wrapping_add(1), other.wrapping_add(1))),
        3 => (side, forged(RST, own.wrapping_add(1), 0)),
        _ => (side, forged(SYN, own.wrapping_add(OUTSIDE), 0)),
    }
}
