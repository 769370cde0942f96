//! One hop of the simulated network, and what goes wrong on it.
//!
//! ```text
//!  endpoint ── before ──►  tracker  ── behind ──►  endpoint        each direction of each connection
//!             Faults                  Faults                       has two hops of its own
//! ```
//!
//! A hop loses, repeats, damages and delays. Delays differ from packet to packet, so packets also overtake
//! each other. No packet lives for longer than [`LONGEST_LIFE`]: RFC 9293's MSL is a promise of the network.

use crate::random::Draw;

/// The longest that a packet can be under way, in milliseconds: less than the MSL of 5 s.
pub(crate) const LONGEST_LIFE: u64 = 2_000;

/// What goes wrong on a hop: delays in milliseconds, the rest in percent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) delay: u64,
    pub(crate) jitter: u64,
    pub(crate) loss: u64,
    pub(crate) repetition: u64,
    pub(crate) overtaking: u64,
    pub(crate) damage: u64,
}

/// What became of a packet on a hop: each copy that arrives, after how long, and whether it was damaged.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    pub(crate) copies: Vec<Copy>,
    pub(crate) lost: bool,
    pub(crate) repeated: bool,
    pub(crate) overtaken: bool,
}

/// One copy of a packet.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) after: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) damaged: bool,
}

impl Faults {
    /// A hop of which nothing bad is to be told but its length.
    pub(crate) fn none(random: &mut fastrand::Rng) -> Faults {
        Faults { delay: random.u64(1..=40), ..Faults::default() }
    }

    /// A hop that is bad, `severity` from 1 to 3.
    pub(crate) fn some(random: &mut fastrand::Rng, severity: u64) -> Faults {
        let mut percent = |most: u64| if random.chance(60) { random.u64(1..=most) } else { 0 };
        let (loss, repetition, overtaking, damage) =
            (percent(4 * severity), percent(4 * severity), percent(6 * severity), percent(2 * severity));
        let jitter = if random.chance(50) { random.u64(..30 * severity) } else { 0 };
        Faults { delay: random.u64(1..=60), jitter, loss, repetition, overtaking, damage }
    }

    /// Sends `bytes` over the hop. What must not be lost (`is_safe`) is neither lost nor damaged.
    pub(crate) fn carry(&self, bytes: &[u8], is_safe: bool, random: &mut fastrand::Rng) -> Passage {
        let mut passage = Passage::default();
        if !is_safe && random.chance(self.loss) {
            passage.lost = true;
            return passage;
        }
        passage.repeated = random.chance(self.repetition);
        for number in 0..=u64::from(passage.repeated) {
            let mut after = self.delay + random.u64(..self.jitter + 1);
            if number > 0 {
                after += random.u64(..300);
            }
            if random.chance(self.overtaking) {
                after += random.u64(20..=400);
                passage.overtaken = true;
            }
            let mut copy = bytes.to_vec();
            let damaged = !is_safe && random.chance(self.damage);
            if damaged {
                damage(&mut copy, random);
            }
            passage.copies.push(Copy { after, bytes: copy, damaged });
        }
        passage
    }
}

/// Flips a bit, or two that lie side by side in one byte: the Internet checksum (RFC 1071) always notices, where
/// it covers them.
fn damage(bytes: &mut [u8], random: &mut fastrand::Rng) {
    // Headers are short and payloads long: half of the hits go into the first 60 bytes.
    let range = if random.chance(50) { bytes.len().min(60) } else { bytes.len() };
    let place = random.usize(..range);
    let bit = random.u64(..8);
    bytes[place] ^= 1 << bit;
    if bit < 7 && random.chance(30) {
        bytes[place] ^= 2 << bit;
    }
}
