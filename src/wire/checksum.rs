//! The Internet checksum (RFC 1071): sums, pseudo-headers, verification and incremental update.
//!
//! A [`Sum`] is the ones' complement sum of 16-bit words, not folded yet. Sums of neighbouring pieces
//! add up to the sum of the whole, as long as every piece but the last has an even length:
//!
//! ```text
//!  ┌ pseudo-header ┬ TCP header ┬ options ┬ payload ┐
//!  └──── Sum ──────┴─── Sum ────┴── Sum ──┴── Sum ──┘  added in any order, folded once: 0xffff if right
//! ```
//!
//! The words are added as they lie in memory, in the machine's byte order: a ones' complement sum does
//! not care (RFC 1071 section 2 B), only the folded result is turned round. For the same reason 64-bit words
//! may be added in place of 16-bit ones, which is what makes it fast.
//!
//! Anybody may call this; `parse` verifies with it, the fragment reassembly adds up its pieces, and
//! address translation updates with [`update16`] and [`update32`].

/// What all of a right packet's words add up to: ones' complement minus zero.
const RIGHT: u16 = 0xffff;

/// A ones' complement sum of 16-bit words, before folding.
///
/// Inside, a ones' complement sum of 64-bit words in the machine's byte order, which is congruent to the other
/// modulo 2^16 - 1: whatever overflows at the top comes in again at the bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Sum = Sum(0);

    /// The sum of `bytes`; an odd last byte counts as if a zero byte followed.
    // Not inlined: its vector registers would burden callers that mostly pass by, such as a bare ACK's.
    #[inline(never)]
    pub fn of(bytes: &[u8]) -> Sum {
        // Four accumulators of 64 bits, which the compiler keeps in vector registers. Each block adds less
        // than 2^33 to each of them: they overflow after 2^29 blocks (16 GiB), which no packet has.
        let (blocks, rest) = bytes.as_chunks::<32>();
        let mut lanes = [0_u64; 4];
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
                let word = u64::from_ne_bytes(*word);
                *lane += (word & 0xffff_ffff) + (word >> 32);
            }
        }
        Sum(lanes[0] + lanes[1] + lanes[2] + lanes[3]).plus(Sum::of_short(rest))
    }

    /// The sum of a header of fixed length: no loop, no bounds to check.
    #[inline(always)]
    pub fn of_array<const N: usize>(bytes: &[u8; N]) -> Sum {
        Sum::of_short(bytes)
    }

    /// The sum of few bytes: a header of fixed length or what is left of a longer slice.
    #[inline(always)]
    fn of_short(bytes: &[u8]) -> Sum {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut sum = Sum::ZERO;
        for word in words {
            sum = sum.plus(Sum(u64::from_ne_bytes(*word)));
        }
        let (words, mut rest) = rest.as_chunks::<4>();
        for word in words {
            sum = sum.plus(Sum(u64::from(u32::from_ne_bytes(*word))));
        }
        if let Some((word, behind)) = rest.split_first_chunk::<2>() {
            sum = sum.plus(Sum(u64::from(u16::from_ne_bytes(*word))));
            rest = behind;
        }
        if let Some(&last) = rest.first() {
            sum = sum.plus(Sum(u64::from(u16::from_ne_bytes([last, 0]))));
        }
        sum
    }

    /// The addresses' part of IPv4's pseudo-header (RFC 9293 section 3.1), as host-order numbers.
    #[inline(always)]
    pub const fn of_v4_addresses(source: u32, destination: u32) -> Sum {
        Sum(source.to_be() as u64 + destination.to_be() as u64)
    }

    /// The addresses' part of IPv6's pseudo-header (RFC 8200 section 8.1).
    #[inline(always)]
    pub fn of_v6_addresses(source: &[u8; 16], destination: &[u8; 16]) -> Sum {
        Sum::of_array(source).plus(Sum::of_array(destination))
    }

    /// The rest of either pseudo-header: the upper-layer protocol and the upper-layer length in bytes.
    #[inline(always)]
    pub const fn of_protocol(protocol: u8, length: u32) -> Sum {
        Sum((protocol as u32).to_be() as u64 + length.to_be() as u64)
    }

    /// IPv4's whole pseudo-header.
    pub const fn pseudo_v4(source: u32, destination: u32, protocol: u8, length: u32) -> Sum {
        Sum::of_v4_addresses(source, destination).plus(Sum::of_protocol(protocol, length))
    }

    /// IPv6's whole pseudo-header.
    pub fn pseudo_v6(source: &[u8; 16], destination: &[u8; 16], protocol: u8, length: u32) -> Sum {
        Sum::of_v6_addresses(source, destination).plus(Sum::of_protocol(protocol, length))
    }

    /// Both together. `other` must begin at an even offset of the whole.
    #[inline(always)]
    pub const fn plus(self, other: Sum) -> Sum {
        let (sum, carry) = self.0.overflowing_add(other.0);
        // Where there was a carry, the sum is far from overflowing once more.
        Sum(sum.wrapping_add(carry as u64))
    }

    /// What is left without `part`, which must begin at an even offset of the whole and, unless it is its
    /// end, have an even length.
    #[inline]
    pub const fn minus(self, part: Sum) -> Sum {
        // In ones' complement the negative is the complement.
        self.plus(Sum(!part.folded().to_be() as u64))
    }

    /// The sum folded into 16 bits, as a host-order number. What a partial checksum field holds.
    #[inline(always)]
    pub const fn folded(self) -> u16 {
        // A number plus itself with the halves swapped has the sum of the halves, end-around carry
        // included, in its upper half.
        let word = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        let half = (word.wrapping_add(word.rotate_left(16)) >> 16) as u16;
        u16::from_be(half)
    }

    /// The checksum to write into a header whose checksum field was summed as zero, host order.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.folded()
    }

    /// Whether this, the sum over everything that a checksum covers and the checksum itself, says that all
    /// of it is right.
    #[inline(always)]
    pub const fn is_right(self) -> bool {
        // Folded it is 0xffff, so it is a multiple of that and not zero. A multiple of an odd number, times that number's
        // inverse modulo 2^64, is how often it holds it; no other number comes out that small.
        const INVERSE: u64 = 0xfffe_fffe_fffe_ffff;
        const MOST: u64 = u64::MAX / RIGHT as u64;
        const _: () = assert!(INVERSE.wrapping_mul(RIGHT as u64) == 1);
        self.0.wrapping_mul(INVERSE).wrapping_sub(1) < MOST
    }
}

/// Whether a checksum over `pseudo` (the pseudo-header) and `data` (header, checksum and payload) is right.
///
/// `field` is the checksum field, host order. A *partial* checksum counts as right: the sum of the
/// pseudo-header alone, not complemented, is what a kernel leaves in a packet whose checksum the hardware
/// was to complete, and what a local sender's packets bear behind veth.
#[inline(always)]
pub fn verify(pseudo: Sum, data: Sum, field: u16) -> bool {
    pseudo.plus(data).is_right() || is_partial(pseudo, field)
}

/// Whether the checksum field holds the pseudo-header's sum and nothing else: it has to be completed
/// before it can be updated incrementally.
#[cold]
pub const fn is_partial(pseudo: Sum, field: u16) -> bool {
    pseudo.folded() == field
}

/// The checksum after one 16-bit word of what it covers changed from `old` to `new` (RFC 1624 equation 3).
#[inline]
pub const fn update16(checksum: u16, old: u16, new: u16) -> u16 {
    // At most three times 0xffff: two end-around carries fold it, and 0xffff is not turned into 0 on the
    // way, which is the mistake of RFC 1141 that RFC 1624 corrects.
    let sum = !checksum as u32 + !old as u32 + new as u32;
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum + (sum >> 16)) as u16)
}

/// The checksum after 32 bits, an IPv4 address or a sequence number at an even offset, changed.
#[inline]
pub const fn update32(checksum: u16, old: u32, new: u32) -> u16 {
    let upper = update16(checksum, (old >> 16) as u16, (new >> 16) as u16);
    update16(upper, old as u16, new as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 word by word, as its text says it.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    fn bytes(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
        (0..length).map(|_| random.u8(..)).collect()
    }

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        assert_eq!(Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).folded(), 0xddf2);
    }

    #[test]
    fn every_length_at_every_alignment_agrees_with_the_naive_sum() {
        let bytes = bytes(&mut fastrand::Rng::with_seed(1), 1600 + 64);
        for length in (0..300).chain(1400..1600) {
            for start in 0..32 {
                let slice = &bytes[start..start + length];
                assert_eq!(Sum::of(slice).folded(), naive(slice), "{length} bytes at {start}");
            }
        }
    }

    #[test]
    fn words_of_all_ones_carry_without_loss() {
        let bytes = [0xff_u8; 65_536];
        for length in [1, 2, 3, 8, 31, 32, 33, 20, 1460, 65_535, 65_536] {
            assert_eq!(Sum::of(&bytes[..length]).folded(), naive(&bytes[..length]), "{length} bytes");
        }
    }

    #[test]
    fn headers_of_fixed_length_agree_with_the_naive_sum() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..100 {
            let bytes = bytes(&mut random, 40);
            assert_eq!(Sum::of_array::<20>(bytes.first_chunk().unwrap()).folded(), naive(&bytes[..20]));
            assert_eq!(Sum::of_array::<40>(bytes.first_chunk().unwrap()).folded(), naive(&bytes));
            assert_eq!(Sum::of_array::<7>(bytes.first_chunk().unwrap()).folded(), naive(&bytes[..7]));
        }
    }

    #[test]
    fn a_sum_is_right_exactly_where_it_folds_to_all_ones() {
        let mut random = fastrand::Rng::with_seed(7);
        let multiples = (0..1000).map(|_| random.u64(..=u64::MAX / 0xffff) * 0xffff);
        let edges = [0, 1, 0xfffe, 0xffff, 0x1_0000, u64::MAX - 0xffff, u64::MAX - 1, u64::MAX];
        for sum in multiples.chain(edges).flat_map(|sum| [sum.wrapping_sub(1), sum, sum.wrapping_add(1)]) {
            assert_eq!(Sum(sum).is_right(), Sum(sum).folded() == RIGHT, "{sum:#x}");
        }
        assert!(Sum(u64::MAX).is_right() && Sum(0xffff).is_right() && !Sum::ZERO.is_right());
    }

    #[test]
    fn pieces_at_even_offsets_add_up_to_the_whole_and_can_be_taken_away_again() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..1000 {
            let length = random.usize(..3000);
            let bytes = bytes(&mut random, length);
            let cut = (random.usize(..length + 1)) & !1;
            let (front, back) = (Sum::of(&bytes[..cut]), Sum::of(&bytes[cut..]));
            let whole = Sum::of(&bytes);
            assert_eq!(front.plus(back).folded(), whole.folded());
            // Taking away may leave the other zero (0xffff for 0): equal as a checksum, so compare there.
            assert_eq!(whole.minus(front).folded() % 0xffff, back.folded() % 0xffff);
        }
    }

    #[test]
    fn what_overflows_at_the_top_comes_in_again_at_the_bottom() {
        let all = Sum::of(&[0xff; 8]);
        let many = (0..1000).fold(Sum::ZERO, |sum, _| sum.plus(all).plus(Sum::of(&[0, 1])));
        assert_eq!(many.folded(), 1000);
        assert_eq!(Sum::of(&vec![0xff; 1 << 20]).folded(), 0xffff);
    }

    #[test]
    fn pseudo_headers_are_summed_like_their_bytes() {
        let v4 = [10, 0, 0, 1, 192, 168, 255, 254, 0, 6, 0x12, 0x34];
        assert_eq!(Sum::pseudo_v4(0x0a00_0001, 0xc0a8_fffe, 6, 0x1234).folded(), naive(&v4));

        let mut random = fastrand::Rng::with_seed(4);
        for length in [0_u32, 20, 65_535, 65_536, 1 << 20, u32::MAX] {
            let bytes = bytes(&mut random, 32);
            let (source, destination) = (bytes.first_chunk().unwrap(), bytes.last_chunk().unwrap());
            let mut header = bytes.clone();
            header.extend_from_slice(&length.to_be_bytes());
            header.extend_from_slice(&[0, 0, 0, 58]);
            assert_eq!(Sum::pseudo_v6(source, destination, 58, length).folded(), naive(&header));
        }
    }

    #[test]
    fn a_full_a_partial_and_a_wrong_checksum_are_told_apart() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..1000 {
            let length = 20 + random.usize(..100);
            let mut segment = bytes(&mut random, length);
            segment[16..18].fill(0);
            let pseudo = Sum::pseudo_v4(random.u32(..), random.u32(..), 6, segment.len() as u32);

            let full = pseudo.plus(Sum::of(&segment)).checksum();
            segment[16..18].copy_from_slice(&full.to_be_bytes());
            assert!(verify(pseudo, Sum::of(&segment), full));

            let partial = pseudo.folded();
            segment[16..18].copy_from_slice(&partial.to_be_bytes());
            assert!(verify(pseudo, Sum::of(&segment), partial));
            assert!(is_partial(pseudo, partial));

            let wrong = partial.wrapping_add(1);
            segment[16..18].copy_from_slice(&wrong.to_be_bytes());
            // One value in 65,536 of "wrong" would be right by chance; the seed holds none.
            assert!(!verify(pseudo, Sum::of(&segment), wrong));
        }
    }

    #[test]
    fn the_example_of_rfc_1624_section_4() {
        assert_eq!(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn an_incremental_update_equals_a_new_checksum() {
        let mut random = fastrand::Rng::with_seed(6);
        for _ in 0..10_000 {
            let mut bytes = bytes(&mut random, 24);
            let before = Sum::of(&bytes).checksum();
            let at = (random.usize(..5)) * 4;
            let old = u32::from_be_bytes(*bytes[at..].first_chunk().unwrap());
            // Few distinct words, so that sums of 0 and 0xffff do occur.
            let new = [0, u32::MAX, 0xffff_0000, old, random.u32(..)][random.usize(..5)];
            bytes[at..at + 4].copy_from_slice(&new.to_be_bytes());
            assert_eq!(update32(before, old, new), Sum::of(&bytes).checksum(), "{old:#x} to {new:#x}");
        }
    }
}
