//! How connections begin and end in the table, and the timers that end them.

use std::sync::atomic::Ordering::Relaxed;

use arrayvec::ArrayVec;

use super::record::{self, End, Rank, Record};
use super::{Change, Context, Observer, Shard};
use crate::table::{Full, Hash, Index, Key, Table};
use crate::tcp::{self, Opening, Passage, State};
use crate::time::Tick;
use crate::timer::{Links, Progress, Storage};
use crate::wire::{Direction, protocol};

/// The wheel's lists, where they lie in the table. A head is kept as its place plus one: zero, as which memory
/// begins, is none.
pub(super) struct Timers<'a>(pub(super) &'a Table);

impl Storage for Timers<'_> {
    #[inline]
    fn head(&self, slot: usize) -> u32 {
        self.0.wheel_heads()[slot].load(Relaxed).wrapping_sub(1)
    }

    #[inline]
    fn set_head(&self, slot: usize, place: u32) {
        self.0.wheel_heads()[slot].store(place.wrapping_add(1), Relaxed);
    }

    #[inline]
    fn links(&self, place: u32) -> Links {
        let connection = self.0.connection(Index::new(place));
        Links { next: connection.next(), previous: connection.prev() }
    }

    #[inline]
    fn set_links(&self, place: u32, links: Links) {
        let connection = self.0.connection(Index::new(place));
        connection.set_next(links.next);
        connection.set_prev(links.previous);
    }

    #[inline]
    fn set_next(&self, place: u32, next: u32) {
        self.0.connection(Index::new(place)).set_next(next);
    }

    #[inline]
    fn set_previous(&self, place: u32, previous: u32) {
        self.0.connection(Index::new(place)).set_prev(previous);
    }

    #[inline]
    fn deadline(&self, place: u32) -> Tick {
        self.0.connection(Index::new(place)).deadline()
    }

    #[inline]
    fn prefetch(&self, place: u32) {
        self.0.prefetch_connection(Index::new(place), false);
    }
}

/// How many places are looked at for one to evict: bounded, so that a full table costs every new
/// connection the same.
const EVICTION_SAMPLE: u32 = 16;

/// How many such samples are taken at most, each far from the one before.
const EVICTION_SAMPLES: u32 = 8;

/// The place where the hand goes on after a sample without a candidate: by the golden section ahead, so that
/// several jumps fall far from each other wherever the table is as it is.
const fn jumped(hand: u32, capacity: u32) -> u32 {
    let ahead = hand as u64 + ((capacity as u64 * 40_503) >> 16);
    (ahead % capacity as u64) as u32
}

/// How many places the wheel hands out before they are ended.
const DUE_AT_ONCE: usize = 64;

impl Shard {
    /// Ends connections whose time is up at `now`, and fragments likewise; at most `budget` of them are
    /// looked at. Returns whether nothing overdue is left.
    pub fn poll<O: Observer>(&mut self, now: Tick, budget: u32, observer: &mut O) -> bool {
        if self.quiet_until.is_some_and(|until| until.has_passed(now)) {
            self.quiet_until = None;
        }
        let late = self.expire_fragments(now, budget, observer);
        let mut left = budget;
        loop {
            let step = left.min(DUE_AT_ONCE as u32);
            let mut due: ArrayVec<u32, DUE_AT_ONCE> = ArrayVec::new();
            let progress = self.wheel.advance(&Timers(&self.table), now, step, |place| due.push(place));
            // The wheel has read the connections, but their lines of the index lie anywhere.
            due.iter().for_each(|&place| self.table.prefetch_removal(Index::new(place)));
            // What has the place after it may be overdue as well.
            let mut is_filed_again = false;
            for &place in &due {
                is_filed_again |= !self.end_by_timer(Index::new(place), observer);
            }
            left -= step;
            match progress {
                Progress::Done if !is_filed_again => return !late,
                Progress::Done | Progress::Behind if left == 0 => return false,
                Progress::Done | Progress::Behind => {}
            }
        }
    }

    /// A tick before which [`Shard::poll`] has nothing to do, for whoever wants to sleep until then or to
    /// drain a replay.
    pub fn next_event(&self) -> Option<Tick> {
        let fragments = self.fragments.iter().flatten().filter_map(|fragments| fragments.next_expiry());
        let others = [self.wheel.next_event(), self.quiet_until].into_iter().flatten();
        fragments.chain(others).reduce(|a, b| if b.is_before(a) { b } else { a })
    }

    /// A place for a new connection that expires at `deadline`, by a packet that travels in `direction`; none where
    /// the table is full of dearer ones. Where its tuple is in the table already, that one was ended before.
    #[inline(always)]
    pub(super) fn begin<O: Observer>(
        &mut self,
        place: (&Key, Hash),
        deadline: Tick,
        direction: Direction,
        context: Context,
        observer: &mut O,
    ) -> Option<Index> {
        let (key, hash) = place;
        let id = observer.next_id();
        let inserted = self.table.insert(hash, key, id, context.at).or_else(|full| match full {
            Full::Capacity if self.evict(context.now, observer) => {
                self.table.insert(hash, key, id, context.at)
            }
            Full::Capacity | Full::Probes => Err(full),
        });
        let index = inserted.ok()?;
        let side = context.admission.origin(direction);
        self.table.connection(index).write(|writer| {
            writer.set_deadline(deadline);
            writer.set_side(side);
        });
        self.wheel.file(&Timers(&self.table), index.number(), deadline);
        self.counters.begun += 1;
        Some(index)
    }

    /// Moves a deadline. The wheel has to know only if it moves earlier.
    pub(super) fn set_deadline(&mut self, index: Index, deadline: Tick) {
        let connection = self.table.connection(index);
        let earlier = deadline.is_before(connection.deadline());
        connection.write(|writer| writer.set_deadline(deadline));
        if earlier {
            self.wheel.refile(&Timers(&self.table), index.number(), deadline);
        }
    }

    /// Ends a connection and frees its place.
    pub(super) fn end<O: Observer>(&mut self, index: Index, end: End, observer: &mut O) {
        self.wheel.unfile(&Timers(&self.table), index.number());
        self.end_unfiled(index, end, observer);
    }

    /// Ends a connection whose time is up; returns whether its place is free then, and not taken by what it had
    /// displaced.
    pub(super) fn end_over<O: Observer>(&mut self, index: Index, observer: &mut O) -> bool {
        self.wheel.unfile(&Timers(&self.table), index.number());
        self.end_by_timer(index, observer)
    }

    /// As [`Shard::end_over`], of a connection that the wheel has let go of already.
    fn end_by_timer<O: Observer>(&mut self, index: Index, observer: &mut O) -> bool {
        let end = self.end_of_timer(index);
        let at = self.table.connection(index).deadline();
        let stays = self.may_have_another(index)
            && (self.gives_way(index, end, at, observer) || self.outlasts(index, at, observer));
        if !stays {
            self.end_unfiled(index, end, observer);
        }
        !stays
    }

    /// Ends a connection in TIME_WAIT at `now`, for the sake of `time_wait_max`. What it has displaced, and is alive, has
    /// the tuple after it.
    fn end_by_limit<O: Observer>(&mut self, index: Index, end: End, now: Tick, observer: &mut O) {
        self.wheel.unfile(&Timers(&self.table), index.number());
        if !(self.may_have_another(index) && self.gives_way(index, end, now, observer)) {
            self.end_unfiled(index, end, observer);
        }
    }

    /// Whether another connection of its tuple may be known: only an annex could tell.
    fn may_have_another(&self, index: Index) -> bool {
        self.table.connection(index).protocol() == protocol::TCP && self.table.annex(index).is_some()
    }

    /// Where a connection that is not filed has displaced another one that is alive at `at`, ends it and gives that one the
    /// place; returns whether there was one.
    #[cold]
    fn gives_way<O: Observer>(&mut self, index: Index, end: End, at: Tick, observer: &mut O) -> bool {
        let tracked = tcp::Connection::from_words(self.table.connection(index).tracker());
        let Some(opening) = tcp::successor(&tracked, &self.irregular(index, &tracked), at) else {
            return false;
        };
        self.succeed(index, end, &opening, observer);
        true
    }

    /// Where a third connection of the tuple may live that could not be picked up again, has the entry of a connection
    /// whose time is up at `at`, and that is not filed, stay as long as that one; returns whether it does.
    #[cold]
    fn outlasts<O: Observer>(&mut self, index: Index, at: Tick, observer: &mut O) -> bool {
        let connection = self.table.connection(index);
        let tracked = tcp::Connection::from_words(connection.tracker());
        let contested = self.irregular(index, &tracked).contested;
        let Some(until) = contested.filter(|until| !self.settings.tcp.loose && !until.has_passed(at)) else {
            return false;
        };
        let outlasting = tcp::outlasting(&tracked);
        connection.write(|writer| {
            writer.set_tracker(&outlasting.words());
            writer.set_deadline(until);
        });
        self.wheel.file(&Timers(&self.table), index.number(), until);
        let [before, after] = [tracked, outlasting].map(|it| it.marks.states());
        if before != after {
            self.time_wait.left();
            self.tell_changed(index, before, after, Passage::of(before, after), observer);
        }
        true
    }

    fn end_unfiled<O: Observer>(&mut self, index: Index, end: End, observer: &mut O) {
        let record = Record::of(&self.table, index, Some(end), self.latest);
        self.table.remove(index);
        self.tell_ended(index, end, &record, observer);
    }

    /// Ends a connection that is not filed, and has the one that it had displaced take its place: a new connection
    /// as one that a packet begins, with what is left of its own timer, since the newest packet of the tuple.
    fn succeed<O: Observer>(&mut self, index: Index, end: End, opening: &Opening, observer: &mut O) {
        let record = Record::of(&self.table, index, Some(end), self.latest);
        let is_turned = opening.direction == Direction::Reply;
        let side = self.table.connection(index).side() ^ u8::from(is_turned);
        self.table.succeed(index, is_turned, observer.next_id(), record.last_seen);
        self.tell_ended(index, end, &record, observer);
        self.counters.begun += 1;
        let mut tracked = opening.connection;
        self.keep_irregular(index, &mut tracked, &opening.irregular.unwrap_or_default(), opening.note);
        let deadline = opening.lasts.deadline(&self.settings.tcp.timeouts, opening.note);
        self.table.connection(index).write(|writer| {
            writer.set_deadline(deadline);
            writer.set_side(side);
            writer.set_tracker(&tracked.words());
            writer.set_note(opening.note.number());
        });
        self.forgo_round_trip(index);
        self.wheel.file(&Timers(&self.table), index.number(), deadline);
        self.tell_begun(index, Some(tracked.marks.states()), observer);
    }

    /// Counts, numbers and tells the end of a connection that is no longer in its place.
    fn tell_ended<O: Observer>(&mut self, index: Index, end: End, record: &Record, observer: &mut O) {
        if record.states.is_some_and(|states| states.contains(&State::TimeWait)) {
            self.time_wait.left();
        }
        self.counters.ended[end as usize] += 1;
        self.census.ended(record);
        let change = self.next_change(index, record.states);
        observer.ended(change, record);
    }

    /// Numbers and tells the beginning of the connection at `index`, once these states of it are written.
    #[inline(always)]
    pub(super) fn tell_begun<O: Observer>(
        &mut self,
        index: Index,
        states: Option<[State; 2]>,
        observer: &mut O,
    ) {
        self.searched_in_vain = None;
        let change = self.next_change(index, None);
        let connection = self.table.connection(index);
        self.census.begun(connection.is_v6(), connection.protocol(), states);
        if observer.wants_changes() {
            observer.begun(change, &self.record(index));
        }
    }

    /// Numbers and tells a change of states.
    #[inline]
    pub(super) fn tell_changed<O: Observer>(
        &mut self,
        index: Index,
        before: [State; 2],
        after: [State; 2],
        passage: Passage,
        observer: &mut O,
    ) {
        if passage.is_over() {
            self.searched_in_vain = None;
        }
        let change = self.next_change(index, Some(before));
        self.census.changed(before, after);
        if observer.wants_changes() {
            observer.changed(change, &self.record(index));
        }
    }

    fn next_change(&mut self, index: Index, before: Option<[State; 2]>) -> Change {
        self.sequence += 1;
        Change { sequence: self.sequence, index, before }
    }

    /// Ends the connection with number `id` at `index`, for an operator; returns whether it was there.
    pub fn delete<O: Observer>(&mut self, index: Index, id: u64, observer: &mut O) -> bool {
        let is_there = index.number() < self.table.capacity() && {
            let connection = self.table.connection(index);
            connection.is_live() && connection.id() == id
        };
        if is_there {
            self.end(index, End::Deleted, observer);
        }
        is_there
    }

    /// How a connection ends whose timer does it: TIME_WAIT is a close, and CLOSED after it; CLOSED by an RST is a reset,
    /// and all else expires.
    fn end_of_timer(&self, index: Index) -> End {
        let connection = self.table.connection(index);
        if connection.protocol() != protocol::TCP {
            return End::Expired;
        }
        let marks = tcp::Connection::from_words(connection.tracker()).marks;
        if marks.is_reset() {
            End::Reset
        } else if marks.states().contains(&State::TimeWait) || marks.states() == [State::Closed; 2] {
            End::Closed
        } else {
            End::Expired
        }
    }

    /// How a connection ends whose tuple a new incarnation takes: one that an RST had ended stays so, and so does one
    /// whose TIME_WAIT was over.
    pub(super) fn end_of_reuse(&self, index: Index) -> End {
        let marks = tcp::Connection::from_words(self.table.connection(index).tracker()).marks;
        if marks.states() == [State::Closed; 2] { self.end_of_timer(index) } else { End::Reused }
    }

    /// Makes room in a full table: of a bounded sample, behind a moving hand, the cheapest goes. Connections that
    /// came together lie together, so where none of a sample may go the hand jumps far ahead and samples again.
    /// Returns whether there was one.
    ///
    /// A search in vain costs more than everything else about a SYN, and a flood against a table of open
    /// connections would pay for one each time. So there is none within the same tick again, unless a connection has
    /// begun since or is over: nothing else makes one that may go.
    #[cold]
    fn evict<O: Observer>(&mut self, now: Tick, observer: &mut O) -> bool {
        if self.searched_in_vain == Some(now) {
            return false;
        }
        let capacity = self.table.capacity();
        let is_found = (0..EVICTION_SAMPLES).any(|_| {
            let was_one = self.evict_of_sample(now, observer);
            if !was_one {
                self.hand = Index::new(jumped(self.hand.number(), capacity));
            }
            was_one
        });
        self.searched_in_vain = (!is_found).then_some(now);
        is_found
    }

    /// Evicts the cheapest of the places ahead of the hand; returns whether there was one.
    fn evict_of_sample<O: Observer>(&mut self, now: Tick, observer: &mut O) -> bool {
        let mut cheapest: Option<(Rank, Index)> = None;
        for _ in 0..EVICTION_SAMPLE {
            let Some(index) = self.table.next_live(self.hand, EVICTION_SAMPLE) else { break };
            self.hand = index.following();
            if self.is_over(index, now) {
                if self.end_over(index, observer) {
                    return true;
                }
                continue;
            }
            let Some(rank) = self.eviction_rank(index, now) else { continue };
            if cheapest.is_none_or(|(best, _)| rank < best) {
                cheapest = Some((rank, index));
            }
        }
        if let Some((_, index)) = cheapest {
            self.end(index, End::Evicted, observer);
        }
        cheapest.is_some()
    }

    /// How dear the connection at `index` is, or what it has displaced and may have to give its place back to: the
    /// dearer of the two. None where it is never evicted.
    fn eviction_rank(&self, index: Index, now: Tick) -> Option<Rank> {
        let connection = self.table.connection(index);
        let rank = record::eviction_rank(connection)?;
        if connection.protocol() != protocol::TCP {
            return Some(rank);
        }
        let tracked = tcp::Connection::from_words(connection.tracker());
        let rival = self.irregular(index, &tracked).rival.filter(|rival| rival.is_alive(now));
        match rival {
            Some(rival) => record::rank_of_tcp(&rival.connection).map(|of_rival| rank.max(of_rival)),
            None => Some(rank),
        }
    }

    /// Keeps the share of TIME_WAIT within its limit after a connection's states have changed.
    #[inline(always)]
    pub(super) fn account_time_wait<O: Observer>(
        &mut self,
        index: Index,
        passage: Passage,
        now: Tick,
        observer: &mut O,
    ) {
        if passage.ends_time_wait() {
            self.time_wait.left();
        }
        if passage.begins_time_wait() {
            self.time_wait.entered(index, self.table.connection(index).id(), &self.table);
        }
        if passage.is_in_time_wait() && self.time_wait.is_over_limit() {
            self.limit_time_wait(index, passage, now, observer);
        }
    }

    /// Ends a connection in TIME_WAIT, since there are more than may be.
    #[inline(never)]
    fn limit_time_wait<O: Observer>(&mut self, index: Index, passage: Passage, now: Tick, observer: &mut O) {
        match self.settings.tcp.time_wait_overflow {
            tcp::TimeWaitOverflow::EvictOldest => {
                if let Some(oldest) = self.time_wait.oldest(&self.table) {
                    self.end_by_limit(oldest, End::Evicted, now, observer);
                }
            }
            tcp::TimeWaitOverflow::Skip => {
                if passage.is_over() && passage.changes() {
                    self.end_by_limit(index, End::Closed, now, observer);
                }
            }
        }
    }
}
