//! Time as the engine sees it: an argument, never a question to the operating system.
//!
//! Two resolutions, because they have two uses:
//!
//! - [`Time`]: nanoseconds since an epoch that the caller chose (the capture's first packet, the start of
//!   `run`). It stamps what is shown to people.
//! - [`Tick`]: milliseconds, 32 bits, wrapping. Deadlines are ticks: they lie in the connection's hot
//!   cache line, and 32 bits are what is left there. Two ticks can be compared as long as they lie less
//!   than 2^31 ms (24.8 days) apart; the configuration keeps every timeout below [`MAX_TIMEOUT`].
//!
//! [`SystemClock`] is the only place of the project that reads the operating system's clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The length of one [`Tick`] in nanoseconds: one millisecond.
pub const TICK_NANOSECONDS: u64 = 1_000_000;

/// The longest timeout that the configuration accepts: ticks wrap, and this leaves room for lateness.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(20 * 86_400);

/// An instant, in nanoseconds since the epoch of whoever drives the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Time(u64);

impl Time {
    /// The instant `nanoseconds` after the epoch.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Time {
        Time(nanoseconds)
    }

    /// Nanoseconds since the epoch.
    pub const fn nanoseconds(self) -> u64 {
        self.0
    }

    /// Microseconds since the epoch, rounded down: the resolution at which connections keep stamps.
    pub const fn microseconds(self) -> u64 {
        self.0 / 1_000
    }

    /// Seconds since the epoch, for people and JSON.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The tick this instant lies in.
    pub const fn tick(self) -> Tick {
        // Wrapping is the point: see the type.
        Tick((self.0 / TICK_NANOSECONDS) as u32)
    }
}

/// A millisecond on the timers' wrapping 32-bit clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Tick(u32);

impl Tick {
    /// The tick with this wrapped number.
    pub const fn new(number: u32) -> Tick {
        Tick(number)
    }

    /// The wrapped number, as it is stored in a connection.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// This tick plus a span, wrapping.
    pub const fn after(self, span: Span) -> Tick {
        Tick(self.0.wrapping_add(span.0))
    }

    /// Whether this tick, as a deadline, has passed at `now` (at its very tick it has).
    pub const fn has_passed(self, now: Tick) -> bool {
        now.0.wrapping_sub(self.0) as i32 >= 0
    }

    /// Whether this tick lies before `other`.
    pub const fn is_before(self, other: Tick) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// The span from `earlier` to this tick; zero where `earlier` lies later.
    pub const fn since(self, earlier: Tick) -> Span {
        let distance = self.0.wrapping_sub(earlier.0);
        if (distance as i32) < 0 { Span(0) } else { Span(distance) }
    }
}

/// A distance between two ticks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Span(u32);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A span of `milliseconds`.
    pub const fn from_milliseconds(milliseconds: u32) -> Span {
        Span(milliseconds)
    }

    /// The span in milliseconds.
    pub const fn milliseconds(self) -> u32 {
        self.0
    }

    /// `self` times `factor`, at most 2^31 - 1 ms.
    pub const fn times(self, factor: u32) -> Span {
        let product = self.0.saturating_mul(factor);
        if product > i32::MAX as u32 { Span(i32::MAX as u32) } else { Span(product) }
    }

    /// The span nearest below `duration`; the configuration has bounded it by [`MAX_TIMEOUT`].
    pub fn from_duration(duration: Duration) -> Span {
        Span(u32::try_from(duration.as_millis()).unwrap_or(i32::MAX as u32).min(i32::MAX as u32))
    }
}

/// The operating system's monotonic clock, as [`Time`] since an epoch.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
    /// What the clock said when it was made, in nanoseconds.
    origin: u64,
}

impl SystemClock {
    /// A clock whose epoch is now.
    #[expect(clippy::new_without_default, reason = "reading a clock is not a default")]
    pub fn new() -> SystemClock {
        SystemClock { started: Instant::now(), origin: 0 }
    }

    /// A clock whose epoch is 1970, as far as the machine knows the time now. It never goes back and takes
    /// no part in later corrections of the machine's time: timers hang on it.
    pub fn since_1970() -> SystemClock {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin = u64::try_from(since_1970.as_nanos()).unwrap_or(0);
        SystemClock { started: Instant::now(), origin }
    }

    /// The present instant.
    pub fn now(&self) -> Time {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Time(self.origin.saturating_add(elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_at_its_own_tick_and_across_the_wrap() {
        let deadline = Tick::new(u32::MAX - 1).after(Span::from_milliseconds(3));
        assert_eq!(deadline, Tick::new(1));
        assert!(!deadline.has_passed(Tick::new(0)));
        assert!(deadline.has_passed(Tick::new(1)));
        assert!(Tick::new(u32::MAX).is_before(deadline));
    }

    #[test]
    fn a_span_backwards_is_zero() {
        assert_eq!(Tick::new(5).since(Tick::new(9)), Span::ZERO);
        assert_eq!(Tick::new(2).since(Tick::new(u32::MAX)), Span::from_milliseconds(3));
    }

    #[test]
    fn a_tick_is_the_millisecond_an_instant_lies_in() {
        assert_eq!(Time::from_nanoseconds(1_999_999).tick(), Tick::new(1));
        assert_eq!(Time::from_nanoseconds((1 << 32) * 1_000_000).tick(), Tick::new(0));
    }
}
