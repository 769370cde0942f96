//! Draws that plans are made of.

/// What a generator is asked for here, beside numbers.
pub(crate) trait Draw {
    /// True `percent` times out of a hundred.
    fn chance(&mut self, percent: u64) -> bool;
    /// One of the choices.
    fn pick<T: Copy>(&mut self, choices: &[T]) -> T;
}

impl Draw for fastrand::Rng {
    fn chance(&mut self, percent: u64) -> bool {
        self.u64(..100) < percent
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.usize(..choices.len())]
    }
}
