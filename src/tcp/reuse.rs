//! Whether a SYN may begin a new incarnation while the old one is in TIME_WAIT.

use super::connection::Connection;
use super::policy::TimeWaitReuse;
use crate::wire::{Direction, Segment};

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
pub(super) fn may_reuse(
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
