//! The tracker's real code, composed as the shard composes it: the hot path first, the whole judgement where that
//! does not answer, then what is to be kept.
//!
//! ```text
//!            ┌ no entry ─► begin ───────────────► Opening ─┐
//!  segment ──┤                                             ├─► Entry
//!            └ an entry ─► judge_plain ─► judge ─► Accepted┘
//!                                           ╎
//!                           judge_orderly ╌╌┘ the same, where it answers
//! ```
//!
//! A state of the search is one connection and not a table, so three things that stand in src/shard are repeated
//! here: that [`tcp::judge_plain`] comes before [`tcp::judge`] (`Shard::segment_of`); that of an [`Opening`]
//! in reply direction the receiver is the originator (`Shard::open`); that the irregular part is kept, as words, only
//! as long as the marks ask for it (`Shard::keep_irregular`). `shard.rs` holds that a real shard judges, and keeps
//! to the bit, what this does.
//!
//! Left out is what only several connections or a clock bring about: admission, quiet time, a full table, annexes that
//! run out, counters, timers. The clock stands still; what timers end, the network's rules end by an event.

use lastack::tcp::{self, Connection, Irregular, Judgement, Opening, Policy, Refusal, Situation, State};
use lastack::time::Tick;
use lastack::wire::{Direction, Flags, Options, Seq};

use super::endpoint::WINDOW;
use super::segment::{Segment, Side};

const NOW: Tick = Tick::new(0);
/// The clock stands still: no deadline passes by itself.
const EVER: Tick = Tick::new(1 << 20);

/// A connection in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Who sent the first packet seen.
    pub originator: Side,
    pub connection: Connection,
    pub irregular: Irregular,
}

/// The table, as far as one tuple goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tracker {
    pub entry: Option<Entry>,
}

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was let through: it belongs to the connection.
    Passed,
    /// It was let through, and begins one.
    Began,
    /// It was dropped.
    Refused(Refusal),
}

impl Entry {
    /// The way in which `side` sends.
    pub fn direction(&self, side: Side) -> Direction {
        if side == self.originator { Direction::Original } else { Direction::Reply }
    }

    pub fn state(&self, side: Side) -> State {
        self.connection.state(self.direction(side))
    }

    /// Whether it is this incarnation of `side` that is tracked.
    pub fn tracks(&self, side: Side, iss: u32) -> bool {
        self.connection.initial(self.direction(side)) == Some(Seq(iss))
    }

    /// Whether it is this incarnation of `side` that may come back: the tracked one has displaced it.
    pub fn keeps(&self, side: Side, iss: u32) -> bool {
        self.irregular.rival.is_some_and(|rival| {
            let direction = self.direction(side);
            let direction = if rival.mirrored { direction.opposite() } else { direction };
            rival.connection.initial(direction) == Some(Seq(iss))
        })
    }

    /// How far `side` has sent, as the tracker saw it.
    pub fn end(&self, side: Side) -> u32 {
        self.connection.peer(self.direction(side)).end.0
    }

    pub fn has_hole(&self, side: Side) -> bool {
        self.connection.marks.has_hole(self.direction(side))
    }

    /// The sequence numbers, and the acknowledgements, that are expected of `side` now on an empty segment.
    pub fn expected(&self, side: Side) -> [[u32; 2]; 2] {
        let bounds = tcp::bounds(&self.connection, &self.irregular, self.direction(side), 0);
        [bounds.seq, bounds.ack].map(|range| range.map(|number| number.0))
    }

    fn of(opening: &Opening, sender: Side) -> Entry {
        let originator = match opening.direction {
            Direction::Original => sender,
            Direction::Reply => sender.other(),
        };
        let connection = opening.connection;
        Entry { originator, connection, irregular: kept(&connection, opening.irregular.unwrap_or_default()) }
    }
}

/// The irregular part as the table keeps it: only where the marks ask for it.
fn kept(connection: &Connection, irregular: Irregular) -> Irregular {
    if connection.marks.is_irregular() {
        Irregular::from_words(irregular.words())
    } else {
        Irregular::default()
    }
}

fn on_the_wire(segment: &Segment) -> lastack::wire::Segment<'static> {
    lastack::wire::Segment {
        seq: Seq(segment.seq),
        ack: Seq(segment.ack),
        flags: Flags(segment.flags),
        window: WINDOW as u16,
        payload: u32::from(segment.octets),
        options: Options(&[]),
    }
}

/// Where the short ways for the SYN-ACK and for segments in order answer, they answer what the long one does: so the shard
/// may ask them first.
fn hold_short_ways_against(
    situation: &Situation<'_>,
    segment: &lastack::wire::Segment<'_>,
    judgement: &Judgement,
) {
    let Situation { connection, direction, now, .. } = *situation;
    if let Some(answered) = connection.after_answer(direction, segment) {
        let Judgement::Accept(accepted) = judgement else {
            panic!("it answers, but {judgement:?}: {segment:?}")
        };
        assert_eq!(answered, (accepted.connection, accepted.rearm), "{segment:?}");
        assert_eq!((accepted.note, accepted.remark), (situation.note, None));
        assert!(!accepted.connection.marks.is_irregular());
    }
    let Some(orderly) = connection.after_orderly(direction, segment) else { return };
    let Judgement::Accept(accepted) = judgement else { panic!("orderly, but {judgement:?}: {segment:?}") };
    assert_eq!(orderly, (accepted.connection, accepted.rearm), "{segment:?}");
    assert_eq!((accepted.note, accepted.remark), (now, None));
}

impl Tracker {
    /// A segment of `sender` arrives.
    pub fn judge(&mut self, sender: Side, segment: &Segment, policy: &Policy) -> Outcome {
        let segment = on_the_wire(segment);
        let Some(entry) = &mut self.entry else {
            return match tcp::begin(&segment, policy, false, NOW) {
                Ok(opening) => {
                    self.entry = Some(Entry::of(&opening, sender));
                    Outcome::Began
                }
                Err(refusal) => Outcome::Refused(refusal),
            };
        };
        let direction = entry.direction(sender);
        if let Some(next) = entry.connection.after_plain(direction, &segment) {
            entry.connection = next;
            return Outcome::Passed;
        }
        let situation = Situation {
            connection: &entry.connection,
            irregular: &entry.irregular,
            note: NOW,
            deadline: EVER,
            direction,
            policy,
            now: NOW,
        };
        let judgement = tcp::judge(&situation, &segment);
        hold_short_ways_against(&situation, &segment, &judgement);
        match judgement {
            Judgement::Accept(accepted) => {
                entry.connection = accepted.connection;
                entry.irregular = kept(&accepted.connection, accepted.irregular);
                Outcome::Passed
            }
            Judgement::Renew(opening) => {
                *entry = Entry::of(&opening, sender);
                Outcome::Began
            }
            Judgement::Refuse(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Whether a short timer would end the entry once the network is silent: TIME_WAIT, or after an RST. Where it has
    /// displaced what is still alive, that speaks before.
    pub fn is_over(&self) -> bool {
        self.entry.is_some_and(|entry| {
            let marks = entry.connection.marks;
            let is_alone = entry.irregular.rival.is_none_or(|rival| rival.connection.marks.is_reset());
            is_alone && (marks.is_reset() || marks.states().contains(&State::TimeWait))
        })
    }

    /// What the entry has displaced, and has the tuple after it.
    fn successor(&self) -> Option<Entry> {
        let entry = self.entry?;
        let opening = tcp::successor(&entry.connection, &entry.irregular, NOW)?;
        Some(Entry::of(&opening, entry.originator))
    }

    /// Whether what the entry has displaced may come back.
    pub fn has_displaced(&self) -> bool {
        self.successor().is_some()
    }

    /// The timer of the entry is over, and what it has displaced has the tuple again.
    pub fn give_way(&mut self) {
        self.entry = self.successor();
    }

    /// Whether that endpoint waits for nothing any more but for the end of TIME_WAIT.
    pub fn is_done(&self, side: Side) -> bool {
        self.entry.is_some_and(|entry| matches!(entry.state(side), State::TimeWait | State::Closed))
    }

    /// Every bit that can matter later, for the set of states seen.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Some(entry) = &self.entry else {
            out.push(2);
            return;
        };
        out.push(entry.originator as u8);
        for word in entry.connection.words() {
            out.extend(word.to_le_bytes());
        }
        if entry.connection.marks.is_irregular() {
            for word in entry.irregular.words() {
                out.extend(word.to_le_bytes());
            }
        }
    }
}
