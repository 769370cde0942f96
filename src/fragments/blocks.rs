//! Which parts of a datagram have come: a bit for every 8 bytes, the unit of fragment offsets.

use std::ops::Range;

/// The longest payload in bytes: what a 16-bit length can state.
pub(super) const MAX_PAYLOAD: u32 = 65_535;
/// The unit of fragment offsets in bytes (RFC 791 section 3.1).
pub(super) const BLOCK: u32 = 8;

const WORDS: usize = (MAX_PAYLOAD.div_ceil(BLOCK) as usize).div_ceil(64);

/// A set of 8-byte blocks.
#[derive(Debug, Clone)]
pub(super) struct Blocks([u64; WORDS]);

impl Blocks {
    pub(super) const NONE: Blocks = Blocks([0; WORDS]);

    /// Whether any block that `bytes` touches is in the set.
    pub(super) fn touches(&self, bytes: Range<u32>) -> bool {
        words(bytes).any(|(word, mask)| self.0.get(word).is_some_and(|bits| bits & mask != 0))
    }

    /// Adds every block that `bytes` touches. What lies beyond [`MAX_PAYLOAD`] is left out.
    pub(super) fn insert(&mut self, bytes: Range<u32>) {
        for (word, mask) in words(bytes) {
            if let Some(bits) = self.0.get_mut(word) {
                *bits |= mask;
            }
        }
    }
}

/// The words that hold the blocks of `bytes`, each with the bits of those blocks.
fn words(bytes: Range<u32>) -> impl Iterator<Item = (usize, u64)> {
    let (first, end) = (bytes.start / BLOCK, bytes.end.div_ceil(BLOCK));
    (first / 64..end.div_ceil(64)).map(move |word| {
        let from = first.saturating_sub(word * 64);
        let count = (end - word * 64).min(64) - from;
        (word as usize, u64::MAX >> (64 - count) << from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_touch_as_the_blocks_that_they_round_out_to() {
        let edges = [0, 1, 8, 63, 64, 504, 511, 512, 513, 1_024, 4_096, 65_528, 65_535];
        let ranges: Vec<_> =
            edges.iter().flat_map(|&a| edges.iter().map(move |&b| a..b)).filter(|r| !r.is_empty()).collect();
        let rounded = |range: &Range<u32>| range.start / 8..range.end.div_ceil(8);
        for one in &ranges {
            let mut blocks = Blocks::NONE;
            blocks.insert(one.clone());
            for other in &ranges {
                let (a, b) = (rounded(one), rounded(other));
                let common = a.start.max(b.start) < a.end.min(b.end);
                assert_eq!(blocks.touches(other.clone()), common, "{one:?} {other:?}");
            }
        }
    }
}
