//! What the processor can do beyond the least that its kind can: the hot loops are compiled twice.
//!
//! ```text
//!                        ┌ Wide ─► the work, compiled for x86-64-v3
//!  Processor::run(work) ─┤
//!                        └ Any  ─► the same work, compiled for any x86-64
//! ```
//!
//! A program that runs on every machine uses no instruction that some lack. But x86-64 servers since 2013 (Haswell) have
//! what the psABI calls level v3: shifts with three operands, loads that turn the byte order round, vectors twice as wide.
//! For a loop over a burst that is an eighth less of instructions. So such a loop is handed here as a closure, once for
//! each burst.
//!
//! Life cycle: asked once, by [`Processor::this`], and kept by whoever has such loops. Anybody may. What `work` calls is
//! compiled for the wider kind as far as it is inlined: the closure itself needs `#[inline(always)]`.

/// What the processor that runs this can do.
#[derive(Debug, Clone, Copy)]
pub struct Processor {
    /// It has all of [`wide`]; only [`Processor::this`] may say so.
    is_wide: bool,
}

impl Processor {
    /// One with nothing that any of its kind could lack, so that a test may go this way on every machine.
    pub const LEAST: Processor = Processor { is_wide: false };

    /// The one that runs this.
    pub fn this() -> Processor {
        Processor { is_wide: wide::is_here() }
    }

    /// Whether it has the wider instructions.
    pub const fn is_wide(self) -> bool {
        self.is_wide
    }

    /// The result of `work`, run by the widest instructions that this processor and this program know.
    #[inline(always)]
    pub fn run<R>(self, work: impl FnOnce() -> R) -> R {
        if self.is_wide { wide::run(work) } else { work() }
    }
}

/// What level x86-64-v3 adds, but for what these loops have no use for (floating point).
#[cfg(target_arch = "x86_64")]
mod wide {
    #![allow(unsafe_code, reason = "a function for processors that have what was asked for")]

    /// Whether this processor has all of it.
    pub(super) fn is_here() -> bool {
        std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("lzcnt")
            && std::is_x86_feature_detected!("movbe")
            && std::is_x86_feature_detected!("popcnt")
    }

    /// Runs `work` on a processor of this level.
    #[inline(always)]
    pub(super) fn run<R>(work: impl FnOnce() -> R) -> R {
        // SAFETY: `Processor::run` calls this only where `is_here` has said yes to each of the features.
        unsafe { compiled(work) }
    }

    // A function of its own: what it was called from would be compiled with it otherwise.
    #[inline(never)]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,movbe,popcnt")]
    fn compiled<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
}

/// Other processors' builds are for all that they have.
#[cfg(not(target_arch = "x86_64"))]
mod wide {
    pub(super) const fn is_here() -> bool {
        false
    }

    pub(super) fn run<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_the_same_on_either_kind() {
        let words: [u32; 33] = std::array::from_fn(|number| (number as u32).wrapping_mul(0x9e37_79b9));
        let work = || words.iter().fold(0_u32, |sum, word| sum.rotate_left(5) ^ word.swap_bytes());
        assert_eq!(Processor::this().run(work), Processor::LEAST.run(work));
    }
}
