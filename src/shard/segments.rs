//! TCP segments: the tracker's judgement, and its commit to the table.

use super::burst::Slot;
use super::lifetime::Timers;
use super::verdict::{Class, Reason, Refusal, Subject, Verdict};
use super::{Arrival, Context, Observer, Shard, sense_of};
use crate::table::{self, Hash, Index, Key, Writer};
use crate::tcp::{self, Accepted, Judgement, Opening, Passage, Rearm, Situation, State, Timer};
use crate::time::{Tick, Time};
use crate::wire::{self, Ack, Direction, Flags, Packet, Segment};

/// What a connection in the table keeps of the endpoint that sends in `direction`, and of the other one.
#[inline(always)]
fn halves(connection: &table::Connection, direction: Direction) -> [tcp::Half; 2] {
    connection.halves(sense_of(direction)).map(|[reach, word]| tcp::Half { reach, word })
}

/// What a segment does to its connection beside the tracker's words.
struct Effect {
    /// Both states, the originator's first.
    before: [State; 2],
    after: [State; 2],
    passage: Passage,
    /// Whether the handshake was under way, and still is.
    was_opening: bool,
    is_opening: bool,
    is_picked_up: bool,
    /// See [`Accepted::note`]; none where it is the one from before.
    note: Option<Tick>,
    rearm: Rearm,
}

impl Effect {
    /// That of a step by who sends in `direction`.
    #[inline(always)]
    fn of(step: &tcp::Step, direction: Direction, note: Option<Tick>) -> Effect {
        let [before, after] = [step.before, step.after].map(|states| in_order(direction, states));
        let (was_opening, is_opening) = (step.was_opening, step.is_opening);
        let (passage, rearm) = (step.passage, step.rearm);
        Effect { before, after, passage, was_opening, is_opening, is_picked_up: false, note, rearm }
    }
}

/// Writes both halves after a step by who sends in `direction`.
#[inline(always)]
fn write_step(writer: &Writer<'_>, step: &tcp::Step, direction: Direction) {
    let [own, other] = [step.own, step.other].map(|half| [half.reach, half.word]);
    writer.set_both_halves(sense_of(direction), own, other);
}

impl Shard {
    /// A segment that only moves the windows of an open connection, committed: like the next two, of the live one in the
    /// slot's place, of which it travels in `direction`. `None` where it takes more.
    #[inline(always)]
    pub(super) fn plain_segment(&self, slot: &Slot, direction: Direction, now: Tick) -> Option<Subject> {
        self.move_windows(slot, direction, now, tcp::judge_plain)
    }

    /// The same of one that was sent before, or was overtaken.
    pub(super) fn repeated_segment(&self, slot: &Slot, direction: Direction, now: Tick) -> Option<Subject> {
        self.move_windows(slot, direction, now, tcp::judge_repeated)
    }

    /// Judges a segment of an open connection and writes down how it has moved the windows.
    // Length and arrival are read where they are written: before, they would take registers meanwhile.
    #[inline(always)]
    fn move_windows(
        &self,
        slot: &Slot,
        direction: Direction,
        now: Tick,
        judge: impl FnOnce(tcp::Half, tcp::Half, &Ack) -> Option<tcp::Moved>,
    ) -> Option<Subject> {
        let connection = self.table.connection(slot.candidate);
        let [own, other] = halves(connection, direction);
        let moved = judge(own, other, &slot.ack)?;
        let sense = sense_of(direction);
        // Later than the one before, since the timeout is always the same: the wheel need not know.
        let deadline = now.after(self.settings.tcp.timeouts.established);
        connection.write(|writer| {
            writer.set_halves(sense, [moved.own.reach, moved.own.word], moved.other_reach);
            writer.set_deadline(deadline);
            writer.count(sense, u64::from(slot.length), slot.at.microseconds());
        });
        let states = Some([State::Established; 2]);
        Some(Subject { id: connection.id(), direction, states })
    }

    /// A segment in order that opens or closes its connection, committed. `None` where it takes more.
    #[inline(always)]
    pub(super) fn orderly_segment<O: Observer>(
        &mut self,
        slot: &Slot,
        direction: Direction,
        now: Tick,
        observer: &mut O,
    ) -> Option<Subject> {
        let connection = self.table.connection(slot.candidate);
        let [own, other] = halves(connection, direction);
        let step = tcp::judge_orderly(direction, own, other, connection.shared_word(), &slot.ack)?;
        let effect = Effect::of(&step, direction, slot.ack.control.has_fin().then_some(now));
        let write = |writer: &Writer<'_>| write_step(writer, &step, direction);
        let subject = self.take_effect(
            slot.candidate,
            direction,
            &effect,
            write,
            slot.length,
            (now, slot.at),
            observer,
        );
        Some(subject)
    }

    /// Any segment, with or without a connection.
    #[inline(never)]
    pub(super) fn segment<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        place: (&Key, Hash),
        found: Option<(Index, Direction)>,
        segment: &Segment<'_>,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        match self.still_alive(found, place, context.now, observer) {
            Some((index, direction)) if !self.comes_by_its_port(index, direction, &context.admission) => {
                return Verdict::WRONG_PORT;
            }
            Some((index, direction)) => {
                return self.segment_of(packet, place, (index, direction), segment, context, observer);
            }
            None => {}
        }
        self.segment_of_none(place, segment, packet.length, context, observer)
    }

    /// A segment without a connection.
    #[inline(never)]
    fn segment_of_none<O: Observer>(
        &mut self,
        place: (&Key, Hash),
        segment: &Segment<'_>,
        length: u32,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        match tcp::begin(segment, &self.settings.tcp, self.is_quiet(context.now), context.now) {
            Ok(opening) if !context.admission.allows_segment(opening.direction) => Verdict::NOT_ALLOWED,
            Ok(opening) => self.open(place, &opening, length, context, observer),
            Err(refusal) => Verdict::invalid(Reason::Tcp(refusal), None),
        }
    }

    /// A SYN in a plain frame, where it bears the tuple of no connection, or is the answer that one waits for. `None`
    /// where it takes more.
    #[inline(never)]
    pub(super) fn opening<O: Observer>(
        &mut self,
        slot: &Slot,
        arrival: &Arrival<'_>,
        now: Tick,
        observer: &mut O,
    ) -> Option<Verdict> {
        let segment = Segment::of_opening(&arrival.frame, slot.key.is_v6(), &slot.ack);
        let context = Context::of(arrival, now);
        if let Some(direction) = self.way_of_its(slot, now) {
            let subject = self.answer(slot.candidate, direction, &segment, slot.length, context, observer)?;
            self.counters.count_plain(1);
            return Some(Verdict::accept(Class::Established, subject));
        }
        // There may be one since its place was looked for, one that is over, and one that is not its.
        if self.table.find(slot.hash, &slot.key).is_some() {
            return None;
        }
        let is_refused = segment.flags.has(Flags::ACK)
            || self.is_quiet(now)
            || !context.admission.allows_segment(Direction::Original);
        if is_refused {
            return Some(self.refuse_opening(slot, arrival, now, observer));
        }
        let place = (&slot.key, slot.hash);
        let verdict = self.open(place, &tcp::by_syn(&segment, now), slot.length, context, observer);
        if verdict.reason.is_some() {
            self.testify_of_opening(arrival, now, &verdict, observer);
        }
        self.counters.count(&verdict);
        Some(verdict)
    }

    /// A SYN that may not begin a connection, with the reason.
    // A function of its own: the one above need not keep the segment for it.
    #[inline(never)]
    fn refuse_opening<O: Observer>(
        &mut self,
        slot: &Slot,
        arrival: &Arrival<'_>,
        now: Tick,
        observer: &mut O,
    ) -> Verdict {
        let segment = Segment::of_opening(&arrival.frame, slot.key.is_v6(), &slot.ack);
        let context = Context::of(arrival, now);
        let place = (&slot.key, slot.hash);
        let verdict = self.segment_of_none(place, &segment, slot.length, context, observer);
        let verdict = context.admission.relax(verdict);
        self.testify_of_opening(arrival, now, &verdict, observer);
        self.counters.count(&verdict);
        verdict
    }

    /// The numbers behind the reason of a SYN's verdict, from its frame once more.
    #[inline(never)]
    fn testify_of_opening<O: Observer>(
        &self,
        arrival: &Arrival<'_>,
        now: Tick,
        verdict: &Verdict,
        observer: &mut O,
    ) {
        if observer.wants_evidence() {
            let packet = wire::parse(&arrival.frame, self.settings.checks);
            self.testify_of_frame(&packet, arrival, now, verdict, observer);
        }
    }

    /// The connection that was found, unless its time is up: then it ends, and whatever has the tuple after it is what
    /// the packet meets.
    #[inline]
    pub(super) fn still_alive<O: Observer>(
        &mut self,
        mut found: Option<(Index, Direction)>,
        (key, hash): (&Key, Hash),
        now: Tick,
        observer: &mut O,
    ) -> Option<(Index, Direction)> {
        // At most three times: what a connection has displaced is alone after it, but may have to outlast a contest.
        while let Some((index, _)) = found
            && self.is_over(index, now)
        {
            self.end_over(index, observer);
            found = self.look_up(hash, key);
        }
        found
    }

    /// A segment of a live connection.
    fn segment_of<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        place: (&Key, Hash),
        (index, direction): (Index, Direction),
        segment: &Segment<'_>,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        match self.answer(index, direction, segment, packet.length, context, observer) {
            Some(subject) => Verdict::accept(Class::Established, subject),
            None => self.any_segment_of(packet, place, (index, direction), segment, context, observer),
        }
    }

    /// The SYN-ACK that the connection at `index` waits for, committed. `None` where it takes more.
    // Inlined, since most of what it asks of a connection is known once it waits for that.
    #[inline(always)]
    fn answer<O: Observer>(
        &mut self,
        index: Index,
        direction: Direction,
        segment: &Segment<'_>,
        length: u32,
        context: Context,
        observer: &mut O,
    ) -> Option<Subject> {
        let connection = self.table.connection(index);
        let ([own, other], stamps) = (halves(connection, direction), connection.shared_word());
        let (step, stamps) = tcp::judge_answer(direction, own, other, stamps, segment)?;
        let write = |writer: &Writer<'_>| {
            write_step(writer, &step, direction);
            writer.set_shared_word(stamps);
        };
        let effect = Effect::of(&step, direction, None);
        let clock = (context.now, context.at);
        Some(self.take_effect(index, direction, &effect, write, length, clock, observer))
    }

    /// The same of one that takes the tracker's long way.
    // A function of its own: what it keeps of a connection's irregular part is most of what the other one would.
    #[inline(never)]
    fn any_segment_of<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        place: (&Key, Hash),
        (index, direction): (Index, Direction),
        segment: &Segment<'_>,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        let tracked = tcp::Connection::from_words(self.table.connection(index).tracker());
        let irregular = self.irregular(index, &tracked);
        let situation = Situation {
            connection: &tracked,
            irregular: &irregular,
            note: Tick::new(self.table.connection(index).note()),
            deadline: self.table.connection(index).deadline(),
            direction,
            policy: &self.settings.tcp,
            now: context.now,
        };
        match tcp::judge(&situation, segment) {
            Judgement::Accept(accepted) => {
                self.commit(index, direction, &tracked, &accepted, packet.length, context, observer)
            }
            Judgement::Renew(_) if self.is_quiet(context.now) => {
                let subject = Some(self.subject(index, direction));
                Verdict::invalid(Reason::Tcp(tcp::Refusal::QuietTime), subject)
            }
            Judgement::Renew(opening) if !context.admission.allows_segment(opening.direction) => {
                Verdict { subject: Some(self.subject(index, direction)), ..Verdict::NOT_ALLOWED }
            }
            Judgement::Renew(opening) => {
                let end = self.end_of_reuse(index);
                self.end(index, end, observer);
                self.open(place, &opening, packet.length, context, observer)
            }
            Judgement::Refuse(refusal) => {
                Verdict::invalid(Reason::Tcp(refusal), Some(self.subject(index, direction)))
            }
        }
    }

    /// Writes down an accepted segment's effect.
    #[expect(clippy::too_many_arguments, reason = "a packet's surroundings, each used once")]
    fn commit<O: Observer>(
        &mut self,
        index: Index,
        direction: Direction,
        before: &tcp::Connection,
        accepted: &Accepted,
        length: u32,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        let mut after = accepted.connection;
        self.keep_irregular(index, &mut after, &accepted.irregular, context.now);
        let states = [before.marks.states(), after.marks.states()];
        let effect = Effect {
            before: states[0],
            after: states[1],
            passage: Passage::of(states[0], states[1]),
            was_opening: before.is_opening(),
            is_opening: after.is_opening(),
            is_picked_up: after.marks.is_picked_up(),
            note: Some(accepted.note),
            rearm: accepted.rearm,
        };
        let write = |writer: &Writer<'_>| writer.set_tracker(&after.words());
        let clock = (context.now, context.at);
        let subject = self.take_effect(index, direction, &effect, write, length, clock, observer);
        Verdict { reason: accepted.remark.map(Reason::Tcp), ..Verdict::accept(Class::Established, subject) }
    }

    /// Writes down a segment of `length` bytes, come at `clock`, that has this effect on its connection, tells it and
    /// counts it; `write` writes the tracker's words.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "a packet's surroundings, each used once")]
    fn take_effect<O: Observer>(
        &mut self,
        index: Index,
        direction: Direction,
        effect: &Effect,
        write: impl FnOnce(&Writer<'_>),
        length: u32,
        (now, at): (Tick, Time),
        observer: &mut O,
    ) -> Subject {
        if effect.was_opening {
            self.note_round_trip(index, effect.is_opening, effect.note, now);
        }
        if effect.passage.begins_time_wait() {
            self.settle_round_trip(index, effect.is_picked_up, at);
        }
        let connection = self.table.connection(index);
        let (id, expires) = (connection.id(), connection.deadline());
        let deadline = self.rearmed(index, expires, effect.rearm, now);
        connection.write(|writer| {
            write(writer);
            if let Some(note) = effect.note {
                writer.set_note(note.number());
            }
            writer.set_deadline(deadline);
            writer.count(sense_of(direction), u64::from(length), at.microseconds());
        });
        // Of one that moves later the wheel need not know.
        if deadline.is_before(expires) {
            self.wheel.refile(&Timers(&self.table), index.number(), deadline);
        }
        self.account(index, effect, now, observer);
        Subject { id, direction, states: Some(effect.after) }
    }

    /// Tells a change of states, if it is one.
    #[inline(always)]
    fn account<O: Observer>(&mut self, index: Index, effect: &Effect, now: Tick, observer: &mut O) {
        let Effect { before, after, passage, .. } = *effect;
        if passage.changes() {
            self.tell_changed(index, before, after, passage, observer);
            self.account_time_wait(index, passage, now, observer);
        }
    }

    /// Begins a connection by the segment that `opening` was made from.
    // Inlined, since of a SYN nearly all of it is known in advance.
    #[inline(always)]
    fn open<O: Observer>(
        &mut self,
        (key, hash): (&Key, Hash),
        opening: &Opening,
        length: u32,
        context: Context,
        observer: &mut O,
    ) -> Verdict {
        // The originator is whoever sent the SYN, and that may be the packet's destination.
        let key = match opening.direction {
            Direction::Original => *key,
            Direction::Reply => key.reversed(),
        };
        let deadline = opening.lasts.deadline(&self.settings.tcp.timeouts, context.now);
        let Some(index) = self.begin((&key, hash), deadline, opening.direction, context, observer) else {
            return Verdict::invalid(Reason::Shard(Refusal::TableFull), None);
        };
        let mut tracked = opening.connection;
        // Nothing is kept of it yet.
        if tracked.marks.is_irregular() {
            self.keep_irregular(index, &mut tracked, &opening.irregular.unwrap_or_default(), context.now);
        }
        let connection = self.table.connection(index);
        connection.write(|writer| {
            writer.set_tracker(&tracked.words());
            writer.set_note(opening.note.number());
            writer.count(sense_of(opening.direction), u64::from(length), context.at.microseconds());
        });
        let states = Some(tracked.marks.states());
        if !tracked.is_opening() {
            self.forgo_round_trip(index);
        }
        self.tell_begun(index, states, observer);
        let id = self.table.connection(index).id();
        // One that takes its tuple back may be closing.
        let passage = Passage::of([State::Closed; 2], tracked.marks.states());
        self.account_time_wait(index, passage, context.now, observer);
        Verdict::accept(Class::New, Subject { id, direction: opening.direction, states })
    }

    /// Whether no new connection may begin yet.
    fn is_quiet(&self, now: Tick) -> bool {
        self.quiet_until.is_some_and(|until| !until.has_passed(now))
    }

    /// When the connection at `index` expires, which would at `expires`, once a segment has started, shortened or kept
    /// its timer.
    #[inline(always)]
    fn rearmed(&self, index: Index, expires: Tick, rearm: Rearm, now: Tick) -> Tick {
        match rearm {
            Rearm::Keep => expires,
            Rearm::Start(Timer::TimeWait) => {
                now.after(tcp::time_wait_span(&self.settings.tcp, self.round_trip(index)))
            }
            Rearm::Start(timer) => now.after(timer.span(&self.settings.tcp.timeouts)),
            Rearm::AtMost(span) => {
                let sooner = now.after(span);
                if sooner.is_before(expires) { sooner } else { expires }
            }
        }
    }
}

/// The states of a packet's sender and of the other endpoint, originator's first.
#[inline(always)]
const fn in_order(direction: Direction, [own, other]: [State; 2]) -> [State; 2] {
    match direction {
        Direction::Original => [own, other],
        Direction::Reply => [other, own],
    }
}
