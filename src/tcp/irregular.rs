//! What only some connections need: holes in a stream, and a SYN that met a live connection.
//!
//! A segment counts as received once everything before it was let through, or once its receiver has
//! acknowledged it. As long as segments come in order that is [`super::Peer::end`], and nothing more needs
//! to be kept. Once one is missing, a [`Stream`] remembers how far the unbroken part reaches and which
//! blocks came behind it:
//!
//! ```text
//!      contiguous        blocks[0]          blocks[1]        end
//!  ────────┤ · · missing · · ├─────┤ · missing · · ├─────────┤
//! ```
//!
//! Where more than [`BLOCKS`] blocks lie apart the rearmost are forgotten: then the receiver's
//! acknowledgement tells, a round trip later.

use crate::time::Tick;
use crate::wire::{Direction, Seq};

/// How many separate blocks behind a hole are kept for each direction.
const BLOCKS: usize = 2;

/// A run of sequence numbers, `start` included and `end` not; empty where they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Block {
    start: Seq,
    end: Seq,
}

impl Block {
    fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// How far one direction's stream is unbroken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stream {
    /// Everything before this sequence number was let through, or acknowledged.
    pub contiguous: Seq,
    /// In order and apart from each other; empty ones at the end.
    blocks: [Block; BLOCKS],
}

impl Stream {
    /// A stream without a hole.
    pub fn unbroken(end: Seq) -> Stream {
        Stream { contiguous: end, blocks: [Block::default(); BLOCKS] }
    }

    /// Takes in that `start..end` was let through.
    pub fn extend(&mut self, start: Seq, end: Seq) {
        if start.is_after(self.contiguous) {
            self.insert(Block { start, end });
        } else {
            self.reach(end);
        }
    }

    /// Takes in that everything before `seq` was received.
    pub fn reach(&mut self, seq: Seq) {
        self.contiguous = self.contiguous.max(seq);
        while !self.blocks[0].is_empty() && !self.blocks[0].start.is_after(self.contiguous) {
            self.contiguous = self.contiguous.max(self.blocks[0].end);
            self.blocks.copy_within(1.., 0);
            self.blocks[BLOCKS - 1] = Block::default();
        }
    }

    /// Files a block behind the hole, joined with those it touches; the rearmost falls out.
    fn insert(&mut self, mut new: Block) {
        if new.is_empty() {
            return;
        }
        let mut kept = [Block::default(); BLOCKS + 1];
        let mut count = 0;
        let mut placed = false;
        for old in self.blocks.into_iter().filter(|block| !block.is_empty()) {
            let apart_before = old.end.is_before(new.start);
            let apart_behind = new.end.is_before(old.start);
            if !apart_before && !apart_behind {
                let start = if old.start.is_before(new.start) { old.start } else { new.start };
                new = Block { start, end: old.end.max(new.end) };
                continue;
            }
            if apart_behind && !placed {
                kept[count] = new;
                count += 1;
                placed = true;
            }
            kept[count] = old;
            count += 1;
        }
        if !placed {
            kept[count] = new;
        }
        // Blocks are in order: once `new` is placed before one, none behind it can touch it. So is `kept`.
        self.blocks.copy_from_slice(&kept[..BLOCKS]);
    }
}

/// A SYN that met a live connection and was let through, so that the endpoint could answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RememberedSyn {
    /// Who sent it.
    pub sender: Direction,
    /// Its sequence number.
    pub seq: Seq,
    /// The sequence number behind it, data included (RFC 7413).
    pub end: Seq,
    /// Its window, never scaled.
    pub window: u16,
    /// The window scale it offers, 15 for none.
    pub scale: u8,
    /// When it came.
    pub at: Tick,
}

/// The irregular part of a connection, 64 bytes apart from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Irregular {
    /// Both directions' streams.
    pub streams: [Stream; 2],
    /// The newest SYN that met the live connection.
    pub syn: Option<RememberedSyn>,
}

impl Irregular {
    /// The irregular part as eight words, opaque to whoever keeps them.
    pub fn words(&self) -> [u64; 8] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let block = |block: Block| pair(block.start.0, block.end.0);
        let [a, b] = &self.streams;
        let syn = self.syn.map_or([0; 2], |syn| {
            let small =
                u32::from(syn.window) | u32::from(syn.scale) << 16 | (syn.sender as u32) << 24 | 1 << 25;
            [pair(small, syn.seq.0), pair(syn.end.0, syn.at.number())]
        });
        [
            pair(a.contiguous.0, b.contiguous.0),
            block(a.blocks[0]),
            block(a.blocks[1]),
            block(b.blocks[0]),
            block(b.blocks[1]),
            syn[0],
            syn[1],
            0,
        ]
    }

    /// The irregular part that [`Irregular::words`] wrote.
    pub fn from_words(words: [u64; 8]) -> Irregular {
        let low = |word: u64| word as u32;
        let high = |word: u64| (word >> 32) as u32;
        let block = |word: u64| Block { start: Seq(low(word)), end: Seq(high(word)) };
        let stream = |contiguous: u32, first: u64, second: u64| Stream {
            contiguous: Seq(contiguous),
            blocks: [block(first), block(second)],
        };
        let small = low(words[5]);
        let syn = (small >> 25 & 1 == 1).then(|| RememberedSyn {
            sender: if small >> 24 & 1 == 1 { Direction::Reply } else { Direction::Original },
            seq: Seq(high(words[5])),
            end: Seq(low(words[6])),
            window: small as u16,
            scale: (small >> 16) as u8 & 15,
            at: Tick::new(high(words[6])),
        });
        Irregular {
            streams: [stream(low(words[0]), words[1], words[2]), stream(high(words[0]), words[3], words[4])],
            syn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_filled_and_what_came_behind_counts() {
        let mut stream = Stream::unbroken(Seq(100));
        stream.extend(Seq(200), Seq(300));
        assert_eq!(stream.contiguous, Seq(100));
        stream.extend(Seq(100), Seq(200));
        assert_eq!(stream.contiguous, Seq(300));
    }

    #[test]
    fn two_holes_are_filled_backwards() {
        let mut stream = Stream::unbroken(Seq(0));
        stream.extend(Seq(30), Seq(40));
        stream.extend(Seq(10), Seq(20));
        stream.extend(Seq(20), Seq(30));
        assert_eq!(stream.contiguous, Seq(0));
        stream.extend(Seq(0), Seq(10));
        assert_eq!(stream.contiguous, Seq(40));
    }

    #[test]
    fn with_too_many_holes_the_rearmost_is_forgotten_until_acknowledged() {
        let mut stream = Stream::unbroken(Seq(0));
        for start in [10, 30, 50] {
            stream.extend(Seq(start), Seq(start + 10));
        }
        stream.reach(Seq(30));
        assert_eq!(stream.contiguous, Seq(40));
        stream.reach(Seq(50));
        assert_eq!(stream.contiguous, Seq(50), "50..60 was forgotten");
        stream.reach(Seq(60));
        assert_eq!(stream.contiguous, Seq(60));
    }

    /// Against a set of bytes: never more than was let through, and exact while two blocks suffice.
    #[test]
    fn random_segments_agree_with_a_set_of_bytes() {
        for seed in 1..2_000_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut below = |n: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % n
            };
            let origin = Seq(u32::MAX - 20);
            let mut stream = Stream::unbroken(origin);
            let mut bytes = [false; 64];
            let mut forgotten = false;
            for _ in 0..12 {
                let start = below(40) as u32;
                let end = start + 1 + below(8) as u32;
                stream.extend(origin.plus(start), origin.plus(end));
                bytes[start as usize..end as usize].fill(true);
                let prefix = bytes.iter().position(|byte| !byte).unwrap() as u32;
                let islands = (prefix as usize..63).filter(|&at| !bytes[at] && bytes[at + 1]).count();
                forgotten |= islands > BLOCKS;
                let contiguous = stream.contiguous.offset_from(origin);
                assert!(contiguous <= prefix, "seed {seed}: {contiguous} > {prefix}");
                if !forgotten {
                    assert_eq!(contiguous, prefix, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn words_bring_back_the_same_thing() {
        let mut irregular = Irregular::default();
        irregular.streams[0].extend(Seq(7), Seq(9));
        irregular.streams[1] = Stream::unbroken(Seq(55));
        irregular.syn = Some(RememberedSyn {
            sender: Direction::Reply,
            seq: Seq(1),
            end: Seq(2),
            window: 0xffff,
            scale: 15,
            at: Tick::new(u32::MAX),
        });
        assert_eq!(Irregular::from_words(irregular.words()), irregular);
        irregular.syn = None;
        assert_eq!(Irregular::from_words(irregular.words()), irregular);
    }
}
