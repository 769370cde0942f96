//! What only some connections need: holes in a stream, and segments to be remembered until they are answered.
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

use super::connection::Connection;
use crate::time::Tick;
use crate::wire::{Direction, Segment, Seq};

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

/// What a remembered segment was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A SYN that met a live connection and was let through, so that the endpoint could answer it.
    Syn = 1,
    /// A SYN-ACK that acknowledges the SYN of a handshake under way, with another sequence number than the
    /// one before: of a listener that has crashed since, or keeps no state until the handshake's end.
    SynAck = 2,
    /// A segment without SYN that met a SYN: the answer of an endpoint whose old incarnation is still alive
    /// (RFC 9293 figure 9). Its `seq` is what it acknowledges, which is where the RST will lie.
    Challenge = 3,
}

/// A segment that changed nothing when it was let through, but whose answer may change everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// What it was.
    pub kind: Kind,
    /// Its sequence number.
    pub seq: Seq,
    /// The sequence number behind it, data included (RFC 7413).
    pub end: Seq,
    /// Its window, never scaled.
    pub window: u16,
    /// The window scale it offers, 15 for none.
    pub scale: u8,
    /// When it came, in milliseconds modulo [`Remembered::AT`] plus one.
    pub(super) at: u32,
}

impl Remembered {
    /// What is kept of the moment it came: more than four hours, far longer than it is of interest.
    const AT: u32 = (1 << 24) - 1;

    /// Remembers `segment`.
    #[inline]
    pub(super) fn new(kind: Kind, segment: &Segment<'_>, now: Tick) -> Remembered {
        Remembered {
            kind,
            seq: segment.seq,
            end: segment.end(),
            window: segment.window,
            scale: segment.options.window_scale().unwrap_or(super::connection::NO_SCALE),
            at: 0,
        }
        .that_came_at(now)
    }

    /// The same, come at another moment.
    pub(super) fn that_came_at(self, at: Tick) -> Remembered {
        Remembered { at: at.number() & Remembered::AT, ..self }
    }

    /// When it came, seen from `now`.
    pub(super) fn came_at(&self, now: Tick) -> Tick {
        let ago = now.number().wrapping_sub(self.at) & Remembered::AT;
        Tick::new(now.number().wrapping_sub(ago))
    }

    /// Whether `ack` acknowledges exactly this SYN, with or without the data on it.
    pub(super) fn is_answered_by(&self, ack: Seq) -> bool {
        ack == self.seq.plus(1) || ack == self.end
    }

    /// As a word, and 32 bits beside it; a segment's length fits 16 bits, since an IP packet's does.
    fn words(self) -> (u64, u32) {
        let length = self.end.offset_from(self.seq).min(u32::from(u16::MAX));
        let word = u64::from(self.seq.0) | u64::from(self.window) << 32 | u64::from(length) << 48;
        (word, u32::from(self.scale & 15) | (self.kind as u32) << 4 | self.at << 6)
    }

    fn from_words(word: u64, small: u32) -> Option<Remembered> {
        let kind = match small >> 4 & 3 {
            1 => Kind::Syn,
            2 => Kind::SynAck,
            3 => Kind::Challenge,
            _ => return None,
        };
        let seq = Seq(word as u32);
        let end = seq.plus((word >> 48) as u32);
        let window = (word >> 32) as u16;
        Some(Remembered { kind, seq, end, window, scale: small as u8 & 15, at: small >> 6 & Remembered::AT })
    }
}

/// Another connection of the same two endpoints, which may yet prove to be the one that lives (`rival.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rival {
    /// As it was when it was displaced.
    pub connection: Connection,
    /// Whether its originator is the responder of the one in the table.
    pub mirrored: bool,
    /// Whether it began after the one in the table.
    pub younger: bool,
    /// When its own timer ends it; nothing is sent for it any more that could move that.
    pub deadline: Tick,
}

/// The irregular part of a connection, 112 bytes apart from it.
///
/// Of a rival no streams are kept: where one of them has a hole, it counts as received as far as its receiver has
/// acknowledged ([`known_streams`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Irregular {
    /// Both directions' streams.
    pub streams: [Stream; 2],
    /// The newest segment of each sender that is to be remembered.
    pub remembered: [Option<Remembered>; 2],
    /// The other connection, where there is one.
    pub rival: Option<Rival>,
    /// How long a third connection may yet live, of which nothing else is known (`contest.rs`).
    pub contested: Option<Tick>,
}

/// Bits that what is remembered leaves free in the last of its words.
mod bit {
    pub(super) const RIVAL: u64 = 1 << 31;
    pub(super) const MIRRORED: u64 = 1 << 63;
    pub(super) const YOUNGER: u64 = 1 << 62;
    pub(super) const CONTESTED: u64 = 1 << 30;
}

/// Both streams as far as acknowledgements tell, where nothing else was kept of them.
pub fn known_streams(connection: &Connection) -> [Stream; 2] {
    Direction::BOTH.map(|sender| {
        let receiver = sender.opposite();
        let acked = connection.marks.has_acked(receiver);
        Stream::unbroken(if acked { connection.peer(receiver).ack } else { connection.peer(sender).end })
    })
}

impl Irregular {
    /// How many words it takes.
    pub const WORDS: usize = 14;

    /// The irregular part as words, opaque to whoever keeps them: five of the streams, three of what is remembered, one
    /// of both deadlines, and five of the rival.
    pub fn words(&self) -> [u64; Irregular::WORDS] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let block = |block: Block| pair(block.start.0, block.end.0);
        let [a, b] = &self.streams;
        let [first, second] = self.remembered.map(|it| it.map_or((0, 0), Remembered::words));
        let (rival, bits) = match &self.rival {
            None => ([0; 5], 0),
            Some(rival) => {
                let mirrored = if rival.mirrored { bit::MIRRORED } else { 0 };
                let younger = if rival.younger { bit::YOUNGER } else { 0 };
                (rival.connection.words(), bit::RIVAL | mirrored | younger)
            }
        };
        let contested = if self.contested.is_some() { bit::CONTESTED } else { 0 };
        let [own, third] =
            [self.rival.map(|rival| rival.deadline), self.contested].map(Option::unwrap_or_default);
        let [r0, r1, r2, r3, r4] = rival;
        [
            pair(a.contiguous.0, b.contiguous.0),
            block(a.blocks[0]),
            block(a.blocks[1]),
            block(b.blocks[0]),
            block(b.blocks[1]),
            first.0,
            second.0,
            pair(first.1, second.1) | bits | contested,
            pair(own.number(), third.number()),
            r0,
            r1,
            r2,
            r3,
            r4,
        ]
    }

    /// The irregular part that [`Irregular::words`] wrote.
    pub fn from_words(words: [u64; Irregular::WORDS]) -> Irregular {
        let low = |word: u64| word as u32;
        let high = |word: u64| (word >> 32) as u32;
        let block = |word: u64| Block { start: Seq(low(word)), end: Seq(high(word)) };
        let stream = |contiguous: u32, first: u64, second: u64| Stream {
            contiguous: Seq(contiguous),
            blocks: [block(first), block(second)],
        };
        let [w0, w1, w2, w3, w4, first, second, small, deadlines, ..] = words;
        let [.., r0, r1, r2, r3, r4] = words;
        let rival = (small & bit::RIVAL != 0).then(|| Rival {
            connection: Connection::from_words([r0, r1, r2, r3, r4]),
            mirrored: small & bit::MIRRORED != 0,
            younger: small & bit::YOUNGER != 0,
            deadline: Tick::new(low(deadlines)),
        });
        let contested = (small & bit::CONTESTED != 0).then(|| Tick::new(high(deadlines)));
        let streams = [stream(low(w0), w1, w2), stream(high(w0), w3, w4)];
        let remembered =
            [Remembered::from_words(first, low(small)), Remembered::from_words(second, high(small))];
        Irregular { streams, remembered, rival, contested }
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
            let mut random = fastrand::Rng::with_seed(seed);
            let origin = Seq(u32::MAX - 20);
            let mut stream = Stream::unbroken(origin);
            let mut bytes = [false; 64];
            let mut forgotten = false;
            for _ in 0..12 {
                let start = random.u32(..40);
                let end = start + 1 + random.u32(..8);
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
        assert_eq!(Irregular::from_words(irregular.words()), irregular);
        let now = Tick::new(u32::MAX - 3);
        for (kind, length) in [(Kind::Syn, 1), (Kind::SynAck, 0xffff), (Kind::Challenge, 0)] {
            for sender in [0, 1] {
                let seq = Seq(u32::MAX - 1);
                let it = Remembered { kind, seq, end: seq.plus(length), window: 0xffff, scale: 15, at: 0 };
                irregular.remembered[sender] = Some(it.that_came_at(now));
                assert_eq!(Irregular::from_words(irregular.words()), irregular);
            }
        }
    }

    #[test]
    fn words_bring_back_a_rival_beside_streams_and_what_is_remembered() {
        let now = Tick::new(u32::MAX - 3);
        let it =
            Remembered { kind: Kind::Challenge, seq: Seq(1), end: Seq(1), window: 0xffff, scale: 15, at: 0 };
        for bits in 0..8 {
            let word = 0xfedc_ba98_7654_3210;
            let rival = Rival {
                connection: Connection::from_words([word, !word, word >> 1, !word >> 1, word << 1]),
                mirrored: bits & 1 != 0,
                younger: bits & 2 != 0,
                deadline: Tick::new(u32::MAX - 9),
            };
            let contested = (bits & 4 != 0).then_some(now);
            let mut irregular = Irregular { rival: Some(rival), contested, ..Irregular::default() };
            irregular.streams[0].extend(Seq(7), Seq(9));
            irregular.streams[1] = Stream::unbroken(Seq(55));
            assert_eq!(Irregular::from_words(irregular.words()), irregular);
            irregular.remembered = [Some(it.that_came_at(now)); 2];
            assert_eq!(Irregular::from_words(irregular.words()), irregular);
        }
    }

    #[test]
    fn the_moment_is_known_for_hours() {
        let segment = Segment {
            seq: Seq(0),
            ack: Seq(0),
            flags: crate::wire::Flags::SYN,
            window: 0,
            payload: 0,
            options: crate::wire::Options(&[]),
        };
        for came in [0, 77, u32::MAX - 1000] {
            let it = Remembered::new(Kind::Syn, &segment, Tick::new(came));
            for later in [0, 1, 5000, 4 * 3_600_000] {
                assert_eq!(it.came_at(Tick::new(came.wrapping_add(later))), Tick::new(came));
            }
        }
    }
}
