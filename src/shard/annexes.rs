//! Which connections may keep an irregular part, where there are fewer annexes than connections that want one.
//!
//! ```text
//!  all annexes of the table
//!  ├─ a quarter ─┼──────────────────────────────────────────┤
//!   taken before   only for connections that both sides
//!   both sides     had confirmed
//!   confirmed: the
//!   oldest gives way
//!   to the newest
//! ```
//!
//! Anybody can make connections that nobody confirms, and have each remember a segment: a SYN and another one,
//! or a SYN and an answer that does not fit it. So what such connections take is taken provisionally: it is filed
//! in a queue with room for a fixed share of all annexes, and where that is full the front one gives its annex
//! back. A flood of them displaces itself, and nothing of a connection that both sides have confirmed.
//!
//! Three segments in both endpoints' names confirm a connection, and a fourth leaves a hole in it for as long as it
//! lasts. So a hole gives way where all annexes are taken and a confirmed connection has something to remember: of a
//! hole the receiver's acknowledgement tells as well, a round trip later, and of a remembered segment nothing does.
//!
//! And one SYN in an endpoint's name, which takes no guessing, is remembered beside an open connection for as long as its
//! endpoints are silent. So what is remembered gives way as well once it came longer ago than a segment lives (MSL): no
//! answer to it is to be expected any more. What is younger never does, since then the newest would displace those that
//! wait for theirs.
//!
//! # Life cycle
//!
//! [`Shard::keep_irregular`], after each segment that was accepted the long way, takes an annex, writes it or gives it
//! back; [`Shard::irregular`] reads it before the next one. A connection that is confirmed while it is in the queue
//! keeps its annex, and is taken off the queue when it comes to the front; so is one that has ended since. Every
//! taking moves the queue by at most one, and nothing is allocated.

use std::collections::VecDeque;

use super::Shard;
use super::record;
use crate::table::{Index, Layout, Table};
use crate::tcp::{self, Irregular};
use crate::time::Tick;
use crate::wire::protocol;

/// The part of all annexes that unconfirmed connections hold at most, as a divisor.
///
/// A quarter leaves confirmed ones, of which few have a hole at any time, one annex for every 21 of them. And what
/// is taken outlasts as many takings as the share has annexes: of a million connections 15,625, which at a flood of
/// a million segments each second, two for each taking, is 31 ms for the answer that the memory is kept for.
const UNCONFIRMED_SHARE: u32 = 4;

/// How many connections are looked at, at most, for an annex that can be spared. In a full table every sixteenth has
/// one once all are taken.
const SAMPLE: u32 = 128;

/// How many places are looked at, at most, for each of these.
const STRIDE: u32 = 16;

/// The annexes that were taken by connections which not both sides had confirmed yet, oldest first.
///
/// Of a connection that has given its annex back and taken another there are two entries, of which the first counts.
#[derive(Debug)]
pub(super) struct Provisional {
    /// How many they hold at most; none where every connection has an annex of its own, as in small tables.
    share: Option<usize>,
    order: VecDeque<(Index, u64)>,
    /// Where the next search for an annex that can be spared begins.
    pub(super) hand: Index,
    /// When the newest search found none. It costs more than all else about a segment, so that there is no other one
    /// within the same tick.
    searched_in_vain: Option<Tick>,
}

impl Provisional {
    /// None yet, in a table of this layout.
    pub(super) fn new(layout: &Layout) -> Provisional {
        let is_scarce = layout.annexes() < layout.capacity();
        let share = is_scarce.then(|| (layout.annexes() / UNCONFIRMED_SHARE) as usize);
        let order = VecDeque::with_capacity(share.unwrap_or(0));
        Provisional { share, order, hand: Index::new(0), searched_in_vain: None }
    }

    /// Whether connections that are not confirmed have to share.
    const fn is_limited(&self) -> bool {
        self.share.is_some()
    }

    /// The front entry, where there is no room for one more.
    fn make_room(&mut self) -> Option<(Index, u64)> {
        self.share.filter(|&share| self.order.len() >= share).and_then(|_| self.order.pop_front())
    }

    /// Files a connection that has taken an annex; there is room for it.
    fn file(&mut self, index: Index, id: u64) {
        self.order.push_back((index, id));
    }
}

impl Shard {
    /// The irregular part of a connection. Where there was no room to keep it, a stream with a hole counts
    /// as received as far as its receiver has acknowledged.
    pub(super) fn irregular(&self, index: Index, tracked: &tcp::Connection) -> Irregular {
        if !tracked.marks.is_irregular() {
            return Irregular::default();
        }
        if let Some(annex) = self.table.annex(index) {
            return Irregular::from_words(std::array::from_fn(|word| annex.get(word)));
        }
        Irregular { streams: tcp::known_streams(tracked), ..Irregular::default() }
    }

    /// Keeps the irregular part in the connection's annex as long as it needs one.
    #[inline]
    pub(super) fn keep_irregular(
        &mut self,
        index: Index,
        tracked: &mut tcp::Connection,
        irregular: &Irregular,
        now: Tick,
    ) {
        if !tracked.marks.is_irregular() {
            self.table.annex_free(index);
            return;
        }
        if self.table.annex(index).is_none() && !self.take_annex(index, tracked, irregular, now) {
            self.counters.annexes_exhausted += 1;
            tracked.marks = tracked.marks.without_irregular();
            return;
        }
        if let Some(annex) = self.table.annex(index) {
            for (number, word) in irregular.words().into_iter().enumerate() {
                annex.set(number, word);
            }
        }
    }

    /// Takes an annex for a connection that has none; returns whether there was one.
    #[cold]
    fn take_annex(
        &mut self,
        index: Index,
        tracked: &tcp::Connection,
        irregular: &Irregular,
        now: Tick,
    ) -> bool {
        // What has displaced a confirmed connection keeps that in it, so that it may come back.
        let of_confirmed =
            irregular.rival.is_some_and(|rival| record::rank_of_tcp(&rival.connection).is_none());
        let is_provisional =
            self.provisional.is_limited() && !of_confirmed && record::rank_of_tcp(tracked).is_some();
        if is_provisional && let Some((oldest, id)) = self.provisional.make_room() {
            self.displace(oldest, id);
        }
        let mut is_taken = self.table.annex_allocate(index).is_some();
        if !is_taken && !is_provisional && tracked.marks.remembers() && self.spare_an_annex(now) {
            is_taken = self.table.annex_allocate(index).is_some();
        }
        if is_provisional && is_taken {
            self.provisional.file(index, self.table.connection(index).id());
        }
        is_taken
    }

    /// Takes an annex back that can be spared, behind a moving hand: the next one that it comes to, so that those which
    /// are kept longest go first. Returns whether it came to one.
    fn spare_an_annex(&mut self, now: Tick) -> bool {
        if self.provisional.searched_in_vain == Some(now) {
            return false;
        }
        for _ in 0..SAMPLE {
            let hand = self.provisional.hand;
            let Some(index) = self.table.next_live(hand, STRIDE) else {
                self.provisional.hand = Index::new(hand.number().saturating_add(STRIDE));
                continue;
            };
            self.provisional.hand = index.following();
            if self.can_spare_annex(index, now) {
                self.give_annex_back(index);
                return true;
            }
        }
        self.provisional.searched_in_vain = Some(now);
        false
    }

    /// Whether the live connection at `index` has an annex for nothing but what its streams miss, and what no answer is
    /// to be expected to any more.
    fn can_spare_annex(&self, index: Index, now: Tick) -> bool {
        let connection = self.table.connection(index);
        if connection.protocol() != protocol::TCP || self.table.annex(index).is_none() {
            return false;
        }
        let tracked = tcp::Connection::from_words(connection.tracker());
        let msl = self.settings.tcp.timeouts.msl;
        !tracked.marks.remembers() || self.irregular(index, &tracked).is_outdated(&tracked, msl, now)
    }

    /// Takes the annex back that connection `id` at `index` holds, if it does and is unconfirmed still.
    fn displace(&mut self, index: Index, id: u64) {
        if holds_provisionally(&self.table, index, id) {
            self.give_annex_back(index);
        }
    }

    /// Takes the annex of the connection at `index` back; it forgets what only that could tell.
    fn give_annex_back(&mut self, index: Index) {
        self.table.annex_free(index);
        let connection = self.table.connection(index);
        let mut tracked = tcp::Connection::from_words(connection.tracker());
        tracked.marks = tracked.marks.without_irregular();
        connection.write(|writer| writer.set_tracker(&tracked.words()));
        self.counters.annexes_displaced += 1;
    }
}

/// Whether connection `id` is still at `index`, has an annex, and has not been confirmed since.
fn holds_provisionally(table: &Table, index: Index, id: u64) -> bool {
    let connection = table.connection(index);
    connection.is_live()
        && connection.id() == id
        && connection.protocol() == protocol::TCP
        && table.annex(index).is_some()
        && record::eviction_rank(connection).is_some()
}
