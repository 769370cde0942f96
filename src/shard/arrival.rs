//! What comes into a shard: frames, with what is known of them beside their bytes.

use super::admission::Admission;
use crate::fragments::Token;
use crate::time::Time;
use crate::wire::Frame;

/// A frame that came, and what is known of it beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The frame.
    pub frame: Frame<'a>,
    /// The zone of the port that it came in by.
    pub zone: u16,
    /// What may come in by that port.
    pub admission: Admission,
    /// When it came: only a stamp for people, timers go by `now`.
    pub at: Time,
    /// The caller's name for the frame, should it be a fragment that has to wait.
    pub token: Token,
}

/// The frames of a burst, wherever they lie: each stage asks for those that it needs.
pub trait Arrivals {
    /// How many there are.
    fn count(&self) -> usize;
    /// The one at `place`, below [`Arrivals::count`].
    fn arrival(&self, place: usize) -> Arrival<'_>;
}

impl Arrivals for &[Arrival<'_>] {
    #[inline(always)]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn arrival(&self, place: usize) -> Arrival<'_> {
        self[place]
    }
}
