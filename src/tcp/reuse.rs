//! Whether a SYN may begin a new incarnation while the old one is in TIME_WAIT.
//!
//! The other endpoint is then in LAST_ACK or CLOSING (it waits for its FIN's acknowledgement), in TIME_WAIT too, or
//! CLOSED. Only where both are done does the policy alone decide:
//!
//! ```text
//!  SYN of ╲ to │ TIME_WAIT                  LAST_ACK, CLOSING   CLOSED
//!  ────────────┼─────────────────────────────────────────────────────────────────────
//!  TIME_WAIT   │ by policy: anew, refused   its answer decides  by policy: anew, refused
//!  LAST_ACK    │ by policy: its answer      ·                   ·
//!  CLOSING     │   decides, refused         ·                   ·
//!  CLOSED      │ by policy: anew, refused   ·                   ·
//! ```

use super::connection::Connection;
use super::policy::TimeWaitReuse;
use crate::wire::{Direction, Segment};

/// What becomes of a SYN that meets TIME_WAIT at either endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// It takes the tuple over.
    Anew,
    /// The policy refuses it.
    Refused,
    /// An endpoint is not done yet: as on any live connection, the SYN is let through, and its answer decides.
    Answered,
}

/// What becomes of the SYN of `sender`, where an endpoint is in TIME_WAIT.
///
/// An endpoint in LAST_ACK or CLOSING challenges it (RFC 5961 section 4), and one in TIME_WAIT begins anew by its own
/// rules while the sender, if it is alive and somebody has forged the SYN, still waits for an acknowledgement. So
/// nobody who cannot answer takes the tuple from an endpoint that needs it.
pub(super) fn of(
    policy: TimeWaitReuse,
    connection: &Connection,
    sender: Direction,
    segment: &Segment<'_>,
) -> Reuse {
    if !connection.state(sender.opposite()).is_done() {
        Reuse::Answered
    } else if !may_reuse(policy, connection, sender, segment) {
        Reuse::Refused
    } else if connection.state(sender).is_done() {
        Reuse::Anew
    } else {
        Reuse::Answered
    }
}

/// Whether `policy` lets the SYN of `sender` take the tuple over.
///
/// RFC 6191 section 2, as a table:
///
/// | old incarnation | the SYN | it may, if |
/// |---|---|---|
/// | had timestamps | bears a greater one | always |
/// | had timestamps | bears the same one | its sequence number is greater |
/// | had timestamps | bears a smaller one | never |
/// | had timestamps | bears none | its sequence number is greater |
/// | had none | bears one | always |
/// | had none | bears none | its sequence number is greater |
fn may_reuse(
    policy: TimeWaitReuse,
    connection: &Connection,
    sender: Direction,
    segment: &Segment<'_>,
) -> bool {
    // Above the next number expected of that side (RFC 1122 section 4.2.2.13).
    let greater = segment.seq.is_after(connection.peer(sender).end);
    match policy {
        TimeWaitReuse::Off => false,
        TimeWaitReuse::Always => true,
        TimeWaitReuse::Rfc1122 => greater,
        TimeWaitReuse::Rfc6191 => {
            let new = segment.options.timestamps().map(|(value, _)| value);
            match (connection.timestamp(sender), new) {
                (Some(old), Some(new)) if new == old => greater,
                (Some(old), Some(new)) => (new.wrapping_sub(old) as i32) > 0,
                (None, Some(_)) => true,
                (Some(_) | None, None) => greater,
            }
        }
    }
}
