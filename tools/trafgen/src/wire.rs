//! Both ends of what is measured, as the generator uses them: a place to put frames, and a place to take them from.
//!
//! ```text
//!   generator ─ send(Client) ─► client's interface ═ middlebox ═ server's interface ─► receive(Server) ─ generator
//! ```
//!
//! Two things are one: interfaces with AF_XDP sockets ([`crate::port`]), and, in tests, queues on a clock that
//! stands still.

use crate::Failure;
use crate::frame::End;

/// Both ends.
pub(crate) trait Wire {
    /// Sends a frame of `length` bytes, which `write` fills; false where there is no room now.
    fn send(&mut self, from: End, length: usize, write: impl FnOnce(&mut [u8])) -> bool;

    /// Takes what has arrived at an end. What `each` makes of a frame in its place is sent back from there, as long
    /// as it says, which is at most as long as it was.
    fn receive(&mut self, at: End, each: impl FnMut(&mut [u8]) -> Option<usize>);

    /// Makes sure that what was sent leaves.
    fn flush(&mut self) -> Result<(), Failure>;
}
