//! The round trip of a connection's handshake, by which `time_wait_truncation` shortens TIME_WAIT (RFC 1644).
//!
//! ```text
//!   SYN ── SYN-ACK ── its last ACK            enters TIME_WAIT          a repeated FIN
//!    │◄──── round trip, kept ────►│   …   lived for MSL? forget it ──► the same span again
//! ```
//!
//! Kept in 16 bits beside the connection, in milliseconds; the tracker's own tick is where the SYN came, or, where its
//! responder has closed before the handshake's end, its FIN. Called by the commit of a segment alone.

use crate::table::Index;
use crate::time::{Span, Tick, Time};

use super::Shard;

/// Of a connection that lived for MSL when it entered TIME_WAIT, or whose beginning is not known.
const NONE: u16 = u16::MAX;

impl Shard {
    /// Adds to the round trip what has passed since the kept tick, before the `next` one takes that one's place, if
    /// any: it is complete with the handshake, and a FIN within moves the tick. For a connection that is opening, and `opens_still`
    /// or does not.
    pub(super) fn note_round_trip(&self, index: Index, opens_still: bool, next: Option<Tick>, now: Tick) {
        let connection = self.table.connection(index);
        let tick = Tick::new(connection.note());
        if opens_still && next.is_none_or(|next| next == tick) {
            return;
        }
        let span = now.since(tick).milliseconds().saturating_add(u32::from(connection.round_trip()));
        let round_trip = u16::try_from(span).map_or(NONE - 1, |span| span.min(NONE - 1));
        connection.write(|writer| writer.set_round_trip(round_trip));
    }

    /// Decides, as the connection enters TIME_WAIT by a packet that came `at`, whether its round trip counts: not of one
    /// that lived for MSL, nor where nobody knows how long it lived.
    pub(super) fn settle_round_trip(&self, index: Index, is_picked_up: bool, at: Time) {
        if is_picked_up || self.lived(index, at) >= self.settings.tcp.timeouts.msl {
            self.table.connection(index).write(|writer| writer.set_round_trip(NONE));
        }
    }

    /// How long a connection has lived, from its first packet to the newest, which came `at`.
    fn lived(&self, index: Index, at: Time) -> Span {
        let [started, at] = [self.table.connection(index).started(), at].map(Time::microseconds);
        // Only the lower 48 bits are kept. A capture's clock may have gone back since.
        let microseconds = (at.wrapping_sub(started) << 16).cast_signed() >> 16;
        Span::from_milliseconds(u32::try_from(microseconds.max(0) / 1000).unwrap_or(u32::MAX))
    }

    /// Says of a connection that begins in mid-stream, or takes its tuple back, that nobody knows how long it lived.
    pub(super) fn forgo_round_trip(&self, index: Index) {
        self.table.connection(index).write(|writer| writer.set_round_trip(NONE));
    }

    /// The round trip that counts in TIME_WAIT.
    pub(super) fn round_trip(&self, index: Index) -> Option<Span> {
        let milliseconds = self.table.connection(index).round_trip();
        (milliseconds != NONE).then(|| Span::from_milliseconds(u32::from(milliseconds)))
    }
}
