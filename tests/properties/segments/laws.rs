//! What must be true after each packet, whatever came before it.
//!
//! ```text
//!  kept before ─┐                        ┌ a refusal has touched nothing
//!  the packet  ─┼─ Laws::after_packet ───┼ an acceptance has touched its own connection, by the edges of RFC 9293
//!  kept after  ─┘                        └ class, direction, reason, counters, deadline agree
//! ```

use std::collections::HashMap;
use std::net::IpAddr;

use lastack::shard::{Action, Class, Counters, End, Evidence, Reason, Record, Subject, Verdict};
use lastack::table::Index;
use lastack::tcp::{Connection, Irregular, Refusal, State, TimeWaitOverflow};
use lastack::time::{Span, Tick};
use lastack::timer::{Links, NONE, SLOTS};
use lastack::wire::{Direction, Flags, Seq};

use super::edges::{Edge, Governor, edge, governor};
use super::setup::Setup;
use super::world::{Kept, World};

/// What is known of a packet without asking the tracker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub source: (IpAddr, u16),
    pub destination: (IpAddr, u16),
    /// None of an ICMP error.
    pub flags: Option<Flags>,
    /// As its IP header states it.
    pub length: u64,
}

/// How many packets and bytes of a connection were accepted, original first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counted {
    packets: [u64; 2],
    bytes: [u64; 2],
}

/// What has been so far.
pub(crate) struct Laws<'a> {
    setup: &'a Setup,
    counted: HashMap<u64, Counted>,
    /// The highest number that a connection had.
    newest: u64,
    /// How many had the tuple again once another one had ended.
    given_back: u64,
    packets: u64,
    with_reason: u64,
    counters: Counters,
    sequence: u64,
}

impl<'a> Laws<'a> {
    pub(crate) fn new(setup: &'a Setup) -> Laws<'a> {
        Laws {
            setup,
            counted: HashMap::new(),
            newest: 0,
            given_back: 0,
            packets: 0,
            with_reason: 0,
            counters: Counters::ZERO,
            sequence: 0,
        }
    }

    /// After the timers did their work at `tick`: whoever went was due exactly then.
    pub(crate) fn after_timers(&mut self, world: &mut World, tick: Tick) {
        for (_, record) in &world.heard.ended {
            assert_eq!(record.deadline, tick, "expired at another tick than its own: {record:?}");
            let end = record.end.expect("an end");
            let expected = match record.states.expect("states") {
                // An entry that has outlasted its TIME_WAIT, for a connection that could not be picked up.
                [State::Closed, State::Closed] if end == End::Closed && !self.setup.policy.loose => {
                    End::Closed
                }
                [State::Closed, State::Closed] => End::Reset,
                [a, b] if a == State::TimeWait || b == State::TimeWait => End::Closed,
                _ => End::Expired,
            };
            assert_eq!(end, expected, "the timer ended {record:?}");
        }
        self.account(world);
    }

    pub(crate) fn after_packet(
        &mut self,
        world: &mut World,
        before: &[Kept],
        facts: &Facts,
        verdict: &Verdict,
    ) {
        let after = world.kept();
        let now = world.now();
        self.packets += 1;
        self.with_reason += u64::from(verdict.reason.is_some());
        agrees(verdict, facts.flags.is_some());
        is_told(verdict, world.heard.evidence.as_ref(), facts.flags);
        for kept in &after {
            self.lasts(kept, now);
        }
        let ended: Vec<Record> = world.heard.ended.iter().map(|(_, record)| *record).collect();
        match (verdict.class, verdict.subject) {
            (Class::New, Some(subject)) => self.begins(before, &after, &ended, facts, &subject, now),
            (Class::Established, Some(subject)) => {
                self.goes_on(before, &after, &ended, facts, verdict, &subject, now);
            }
            (Class::Related | Class::Invalid | Class::Untracked, _) => {
                assert_eq!(before, after, "a packet that changes nothing has changed something");
                assert!(ended.is_empty(), "a packet that changes nothing has ended {ended:?}");
                if let Some(subject) = &verdict.subject {
                    let kept = find(&after, subject.id).expect("the connection that is named lives");
                    points_to(kept, subject, facts);
                }
            }
            (Class::New | Class::Established, None) => unreachable!("agrees() has seen to it"),
        }
        self.account(world);
        agree_on_places(world, &after);
    }

    /// What holds for every connection at any time.
    fn lasts(&self, kept: &Kept, now: Tick) {
        let record = &kept.record;
        assert!(
            !record.deadline.has_passed(now) || record.deadline == now,
            "over, and still there: {record:?}"
        );
        let left = record.deadline.since(now);
        assert!(left <= self.setup.longest(), "lives longer than any timer: {left:?} {record:?}");
        let states = record.states.expect("states");
        assert!(governor(states).is_some(), "no two endpoints can be in {states:?}");
        let connection = Connection::from_words(kept.tracker);
        for sender in Direction::BOTH {
            if self.setup.policy.check_window && connection.marks.has_acked(sender) {
                let ack = connection.peer(sender).ack;
                let end = connection.peer(sender.opposite()).end;
                assert!(!ack.is_after(end), "{sender:?} has acknowledged {ack:?}, sent was {end:?}");
            }
        }
    }

    /// A packet of class `new`.
    fn begins(
        &mut self,
        before: &[Kept],
        after: &[Kept],
        ended: &[Record],
        facts: &Facts,
        subject: &Subject,
        now: Tick,
    ) {
        assert!(subject.id > self.newest, "number {} was given before", subject.id);
        self.newest = subject.id;
        let kept = find(after, subject.id).expect("what has begun is there");
        points_to(kept, subject, facts);
        others_are_untouched(before, after, subject.id, ended);
        for record in ended {
            let same = same_tuple(record, &kept.record);
            match record.end.expect("an end") {
                End::Reused => assert!(same, "reused by another tuple: {record:?}"),
                End::Reset => assert!(same && record.states == Some([State::Closed; 2]), "{record:?}"),
                End::Evicted => {
                    // What comes back in TIME_WAIT may be one too many there.
                    let waits =
                        |it: &Record| it.states.is_some_and(|states| states.contains(&State::TimeWait));
                    let has_limit = self.setup.policy.time_wait_max > 0;
                    let is_oldest = has_limit && waits(record) && waits(&kept.record);
                    assert!(!same && (self.setup.is_tight || is_oldest), "no need to evict {record:?}");
                }
                End::Closed => {
                    let has_outlasted = record.states == Some([State::Closed; 2]) && !self.setup.policy.loose;
                    assert!(same && has_outlasted, "ended by a packet: {record:?}");
                }
                End::Expired | End::Deleted => panic!("ended by a packet: {record:?}"),
            }
        }
        let (states, way) = (subject.states.expect("states"), subject.direction);
        let timeouts = &self.setup.policy.timeouts;
        let flags = facts.flags.expect("a segment");
        let counted = self.counted.entry(subject.id).or_default();
        count(counted, way, facts.length);
        assert_eq!(*counted, told(&kept.record), "fresh counters");
        let takes_over = ended.iter().any(|record| same_tuple(record, &kept.record));
        if takes_over && !flags.has(Flags::SYN) {
            let displacer = before.iter().find(|was| same_tuple(&was.record, &kept.record));
            return self.comes_back(displacer.expect("it took over"), kept, flags, now);
        }
        let (expected, timeout) = match (flags, way) {
            (flags, Direction::Reply) => {
                assert!(flags.has(Flags::SYN.with(Flags::ACK)), "began in reply by {flags:?}");
                ([State::Established, State::SynReceived], timeouts.syn_received)
            }
            (flags, _) if flags.has(Flags::SYN) => ([State::SynSent, State::Listen], timeouts.syn_sent),
            (flags, _) if flags.has(Flags::FIN) => ([State::FinWait1, State::CloseWait], timeouts.fin_wait_1),
            _ => ([State::Established; 2], timeouts.established),
        };
        assert_eq!(states, expected, "began by {:?}", facts.flags);
        assert_eq!(kept.record.deadline, now.after(timeout), "the first timer of {states:?}");
    }

    /// What another one had displaced is in the table again, with the states that it had come to.
    /// Its timer starts again, or goes on as it ran beside the other one's.
    fn comes_back(&self, displacer: &Kept, kept: &Kept, flags: Flags, now: Tick) {
        assert!(flags.has(Flags::ACK) && !flags.has(Flags::RST), "back by {flags:?}");
        let timeouts = &self.setup.policy.timeouts;
        let states = kept.record.states.expect("states");
        let timeout = match governor(states).expect("lasts() has seen to it") {
            Governor::SynReceived => timeouts.syn_received,
            Governor::Established => timeouts.established,
            Governor::FinWait1 => timeouts.fin_wait_1,
            Governor::FinWait2 if kept.record.deadline == now.after(timeouts.half_closed) => {
                timeouts.half_closed
            }
            Governor::FinWait2 => timeouts.fin_timeout,
            Governor::Closing => timeouts.closing,
            Governor::TimeWait => timeouts.msl.times(2),
            Governor::SynSent | Governor::Closed => panic!("back in {states:?}, which nobody can need"),
        };
        let irregular = displacer.annex.map(Irregular::from_words).unwrap_or_default();
        let rival = irregular.rival.expect("it was kept");
        let was = rival.connection.marks.states();
        let is_done = |state: &State| matches!(state, State::TimeWait | State::Closed);
        assert!(!was.iter().all(is_done), "back from {was:?}, which nobody can need");
        let (own, deadline) = (rival.deadline, kept.record.deadline);
        assert!(deadline == own || deadline == now.after(timeout), "the timer of {states:?}: {deadline:?}");
    }

    /// A packet of class `established`.
    #[expect(clippy::too_many_arguments, reason = "a packet and its surroundings")]
    fn goes_on(
        &mut self,
        before: &[Kept],
        after: &[Kept],
        ended: &[Record],
        facts: &Facts,
        verdict: &Verdict,
        subject: &Subject,
        now: Tick,
    ) {
        let was = find(before, subject.id).expect("what goes on was there");
        others_are_untouched(before, after, subject.id, ended);
        let counted = self.counted.entry(subject.id).or_default();
        count(counted, subject.direction, facts.length);
        let Some(is) = find(after, subject.id) else {
            return self.is_cut_short(ended, subject);
        };
        for record in ended {
            let is_oldest = record.end == Some(End::Evicted) && self.setup.policy.time_wait_max > 0;
            let waited = record.states.is_some_and(|states| states.contains(&State::TimeWait));
            assert!(is_oldest && waited, "ended by a packet of another: {record:?}");
        }
        points_to(is, subject, facts);
        assert_eq!(*counted, told(&is.record), "the counters of {:?}", is.record);
        let flags = facts.flags.expect("a segment");
        let states = was.record.states.expect("states");
        // A SYN that is repeated before it is answered may offer something else than the first.
        let is_opening = states.contains(&State::SynSent);
        let is_old_syn = flags.has(Flags::SYN) && was.record.states == is.record.states && !is_opening;
        if verdict.reason.is_some() || is_old_syn {
            keeps_still(was, is, verdict.reason.is_some());
        }
        self.moves(was, is, subject.direction, flags);
        self.runs(was, is, flags, now);
        // Unchecked numbers may lie half the sequence space apart, where none is the higher one.
        if self.setup.policy.check_window {
            never_goes_back(was, is, subject.direction);
        }
    }

    /// The connection whose own last ACK has ended it (`time_wait_overflow = "skip"`), or that is the
    /// oldest of too many.
    fn is_cut_short(&self, ended: &[Record], subject: &Subject) {
        let policy = &self.setup.policy;
        assert!(policy.time_wait_max > 0, "gone by its own packet, and TIME_WAIT has no limit");
        let record = ended.iter().find(|record| record.id == subject.id).expect("it was told");
        let end = match policy.time_wait_overflow {
            TimeWaitOverflow::Skip => End::Closed,
            TimeWaitOverflow::EvictOldest => End::Evicted,
        };
        assert_eq!(record.end, Some(end));
        assert!(record.states.is_some_and(|states| states.contains(&State::TimeWait)), "{record:?}");
    }

    /// States go along the edges of RFC 9293, each endpoint by what it sent or what reached it.
    fn moves(&self, was: &Kept, is: &Kept, sender: Direction, flags: Flags) {
        let (from, to) = (was.record.states.expect("states"), is.record.states.expect("states"));
        for side in Direction::BOTH {
            let (a, b) = (from[side.index()], to[side.index()]);
            let is_sender = side == sender;
            let is_rst = flags.has(Flags::RST);
            let allowed = match edge(a, b) {
                Edge::Stay | Edge::Either => true,
                Edge::Never => false,
                Edge::Sends => is_sender && !is_rst,
                Edge::Gets => !is_sender && !is_rst,
                Edge::Reset => is_rst,
                Edge::Assassination => is_rst && self.setup.policy.time_wait_assassination,
                Edge::Unchecked => is_sender && !is_rst && !self.setup.policy.check_window,
            };
            assert!(allowed, "{side:?} went from {a} to {b} by {flags:?} of {sender:?}");
        }
    }

    /// The deadline after an accepted segment: the contract's table "what starts it again".
    fn runs(&self, was: &Kept, is: &Kept, flags: Flags, now: Tick) {
        let timeouts = &self.setup.policy.timeouts;
        let (old, new) = (was.record.deadline, is.record.deadline);
        let is_kept = new == old;
        let is_sooner = new.is_before(old);
        let starts = |span: Span| new == now.after(span);
        let states = |kept: &Kept| kept.record.states.expect("states");
        let (from, to) = (states(was), states(is));
        let ran = governor(from);
        let runs = governor(to).expect("lasts() has seen to it");
        let is_same = ran == Some(runs);
        let is_plain = !flags.has(Flags::SYN) && !flags.has(Flags::RST);
        let enters_time_wait = Direction::BOTH
            .into_iter()
            .any(|side| to[side.index()] == State::TimeWait && from[side.index()] != State::TimeWait);
        let is_right = match runs {
            Governor::Established if is_same && !is_plain => is_kept || starts(timeouts.established),
            Governor::Established => starts(timeouts.established),
            Governor::SynSent => is_same && is_kept,
            Governor::SynReceived if is_same => is_kept,
            Governor::SynReceived => starts(timeouts.syn_received),
            Governor::Closed if is_same => is_kept,
            Governor::Closed => starts(timeouts.closed),
            Governor::Closing if is_same => is_kept || is_sooner && flags.has(Flags::FIN),
            Governor::Closing => starts(timeouts.closing),
            Governor::FinWait1 if is_same => {
                is_kept || starts(timeouts.fin_wait_1) || is_sooner && flags.has(Flags::FIN)
            }
            Governor::FinWait1 => starts(timeouts.fin_wait_1),
            Governor::FinWait2 if is_same => {
                is_kept || starts(timeouts.half_closed) || is_sooner && flags.has(Flags::FIN)
            }
            Governor::FinWait2 => starts(timeouts.fin_timeout) || starts(timeouts.half_closed),
            Governor::TimeWait => {
                let whole = timeouts.msl.times(2);
                let truncated = self.setup.policy.time_wait_truncation && new.since(now) <= whole;
                let restarts = flags.has(Flags::FIN) && self.setup.policy.time_wait_restart;
                if enters_time_wait {
                    starts(whole) || truncated
                } else {
                    is_kept || restarts && (starts(whole) || truncated)
                }
            }
        };
        assert!(
            is_right,
            "{ran:?} to {runs:?} by {flags:?}: the deadline went from {old:?} to {new:?} at {now:?}"
        );
    }

    /// Counters add up and never decrease; what is told has no gaps.
    fn account(&mut self, world: &mut World) {
        let heard = &mut world.heard;
        let mut changes = Vec::new();
        for (change, record) in heard.begun.drain(..) {
            changes.push(change.sequence);
            // Not by a packet, but by the end of what had displaced it.
            if record.packets == [0, 0] {
                self.given_back += 1;
                self.counted.insert(record.id, told(&record));
                self.newest = self.newest.max(record.id);
            }
        }
        changes.extend(heard.changed.drain(..).map(|(change, _)| change.sequence));
        let mut ends = [0; End::ALL.len()];
        for (change, record) in heard.ended.drain(..) {
            changes.push(change.sequence);
            ends[record.end.expect("an end") as usize] += 1;
            let counted = self.counted.remove(&record.id).expect("an end is told once");
            assert_eq!(counted, told(&record), "at the end: {record:?}");
        }
        changes.sort_unstable();
        for sequence in changes {
            self.sequence += 1;
            assert_eq!(sequence, self.sequence, "changes are numbered without gaps");
        }
        let counters = world.shard.counters();
        assert_eq!(counters.accepted + counters.dropped, self.packets);
        assert_eq!(counters.by_class.iter().sum::<u64>(), self.packets);
        assert_eq!(counters.by_reason.iter().sum::<u64>(), self.with_reason);
        assert_eq!(counters.begun, counters.by_class[Class::New as usize] + self.given_back);
        for (number, count) in ends.into_iter().enumerate() {
            assert_eq!(counters.ended[number], self.counters.ended[number] + count);
        }
        let never_less = |old: &[u64], new: &[u64]| old.iter().zip(new).all(|(old, new)| old <= new);
        assert!(never_less(&self.counters.by_class, &counters.by_class));
        assert!(never_less(&self.counters.by_reason, &counters.by_reason));
        let live = counters.begun - counters.ended.iter().sum::<u64>();
        assert_eq!(live, u64::from(world.shard.table().len()), "begun and not ended");
        assert_eq!(live, self.counted.len() as u64);
        self.counters = counters.clone();
    }
}

/// Class, verdict, reason and connection belong together (contract, section 3).
fn agrees(verdict: &Verdict, is_segment: bool) {
    let remark = Some(Reason::Tcp(Refusal::RstNotExact));
    match verdict.class {
        Class::New => assert!(verdict.reason.is_none() && verdict.subject.is_some() && is_segment),
        Class::Established => {
            assert!(verdict.reason.is_none() || verdict.reason == remark, "{verdict:?}");
            assert!(verdict.subject.is_some() && is_segment);
        }
        Class::Related => assert!(verdict.reason.is_none() && verdict.subject.is_some() && !is_segment),
        Class::Invalid => assert!(verdict.reason.is_some(), "invalid, and nobody knows why"),
        Class::Untracked => panic!("neither a segment nor an error about one: {verdict:?}"),
    }
    let is_dropped = verdict.action == Action::Drop;
    assert_eq!(is_dropped, verdict.class == Class::Invalid, "{verdict:?}");
}

/// Behind every reason there are numbers, and what was refused is not among those that would have been right.
fn is_told(verdict: &Verdict, evidence: Option<&Evidence>, flags: Option<Flags>) {
    assert_eq!(verdict.reason.is_some(), evidence.is_some(), "{verdict:?}: {evidence:?}");
    let Some(Evidence::Segment(detail)) = evidence else { return };
    let is_rst = flags.is_some_and(|flags| flags.has(Flags::RST));
    let refused = match verdict.reason {
        Some(Reason::Tcp(Refusal::OutOfWindow)) => detail.seq,
        // In SYN_SENT an RST has to acknowledge the SYN, or all the data on it: not what lies between.
        Some(Reason::Tcp(Refusal::AckOutOfWindow)) if !is_rst => detail.ack,
        Some(Reason::Tcp(Refusal::UnexpectedSynAck)) => detail.ack,
        _ => return,
    };
    let Some([low, high]) = detail.expected.map(|range| range.map(Seq)) else {
        let no_syn_is_known = verdict.reason == Some(Reason::Tcp(Refusal::UnexpectedSynAck));
        return assert!(no_syn_is_known, "{verdict:?}: {detail:?}");
    };
    let refused = Seq(refused);
    assert!(refused.is_before(low) || refused.is_after(high), "{verdict:?}: {detail:?}");
}

/// The connection that a verdict names is the packet's, and so is the direction.
fn points_to(kept: &Kept, subject: &Subject, facts: &Facts) {
    let record = &kept.record;
    assert_eq!(subject.states, record.states);
    let ends = if facts.flags.is_some() {
        [(facts.source, facts.destination), (record.originator, record.responder)]
    } else {
        // An error has no ports of its own.
        let bare = |end: (IpAddr, u16)| (end.0, 0);
        [(facts.source, facts.destination), (record.originator, record.responder)]
            .map(|(a, b)| (bare(a), bare(b)))
    };
    let [(source, destination), (originator, responder)] = ends;
    let (first, second) = match subject.direction {
        Direction::Original => (originator, responder),
        Direction::Reply => (responder, originator),
    };
    assert_eq!((source, destination), (first, second), "{subject:?} of {record:?}");
}

/// Connections beside the packet's own are as they were, or have ended and given way to what they had displaced.
fn others_are_untouched(before: &[Kept], after: &[Kept], own: u64, ended: &[Record]) {
    for kept in before.iter().filter(|kept| kept.record.id != own) {
        match find(after, kept.record.id) {
            Some(now) => assert_eq!(kept, now, "touched by a packet of connection {own}"),
            None => {
                let told = ended.iter().filter(|record| record.id == kept.record.id).count();
                assert_eq!(told, 1, "its end is told once: {kept:?}");
            }
        }
    }
    for kept in after {
        let was_there = kept.record.id == own || find(before, kept.record.id).is_some();
        // What the limit of TIME_WAIT has ended had displaced it.
        let is_back = || ended.iter().any(|record| same_tuple(record, &kept.record));
        assert!(was_there || kept.record.packets == [0, 0] && is_back(), "from nowhere: {kept:?}");
    }
}

/// A segment that goes through without an effect leaves everything but the counters; a SYN may also start
/// the timer of an open connection or be remembered.
fn keeps_still(was: &Kept, is: &Kept, is_remark: bool) {
    let words = |kept: &Kept| {
        let connection = Connection::from_words(kept.tracker);
        (connection.peers, connection.stamps, kept.round_trip, connection.marks.states())
    };
    assert_eq!(words(was), words(is), "went through without an effect, and had one");
    if is_remark {
        assert_eq!((was.tracker, was.note, was.annex), (is.tracker, is.note, is.annex));
        assert_eq!(was.record.deadline, is.record.deadline);
    }
}

/// What both sides have sent, acknowledged and offered only ever grows, once both have spoken and it is settled
/// which of their SYNs count.
fn never_goes_back(was: &Kept, is: &Kept, sender: Direction) {
    let (old, new) = (Connection::from_words(was.tracker), Connection::from_words(is.tracker));
    let is_opening = |state| matches!(state, State::Listen | State::SynSent | State::SynReceived);
    let has_spoken = |side| old.marks.has_acked(side);
    if old.marks.states().into_iter().any(is_opening) || !Direction::BOTH.into_iter().all(has_spoken) {
        return;
    }
    for side in Direction::BOTH {
        let (a, b) = (old.peer(side), new.peer(side));
        assert!(!b.end.is_before(a.end), "{side:?} has taken back what it sent");
        assert!(!b.limit.is_before(a.limit), "{side:?} may send less than before");
        assert!(!b.ack.is_before(a.ack), "{side:?} has taken back an acknowledgement");
        assert!(new.window(side) >= old.window(side), "the largest window has shrunk");
    }
    // Only who sends can have sent; of a connection that was picked up nobody knows what came before.
    let receiver = sender.opposite();
    if !old.marks.is_picked_up() {
        let (a, b) = (old.peer(receiver).end, new.peer(receiver).end);
        assert_eq!(a, b, "{receiver:?} is said to have sent what nobody saw");
    }
}

/// The bit of a link backward that says: this is a slot.
const IS_SLOT: u32 = 1 << 31;

/// The table, its count, the census and the wheel know the same connections, and each is filed once.
fn agree_on_places(world: &World, kept: &[Kept]) {
    let table = world.shard.table();
    assert_eq!(table.len() as usize, kept.len(), "the table's count");
    let census = world.shard.census();
    let mut by_states = [[0; 11]; 11];
    for kept in kept {
        let [a, b] = kept.record.states.expect("states");
        by_states[a as usize][b as usize] += 1;
    }
    assert_eq!(census.by_states, by_states, "the census");
    let heads = table.wheel_heads();
    assert_eq!(heads.len(), SLOTS);
    // Kept as the place plus one.
    let head = |slot: usize| heads[slot].load(std::sync::atomic::Ordering::Relaxed).wrapping_sub(1);
    // The slots whose lists begin with one of them: all that are in use, or a connection below is missing.
    let first = |kept: &Kept| table.connection(Index::new(kept.index)).prev() & !IS_SLOT;
    let is_first = |kept: &&Kept| table.connection(Index::new(kept.index)).prev() & IS_SLOT != 0;
    let mut filed: Vec<u32> = Vec::new();
    for slot in kept.iter().filter(is_first).map(first) {
        let mut place = head(slot as usize);
        let mut previous = IS_SLOT | slot;
        while place != NONE {
            let connection = table.connection(Index::new(place));
            let links = Links { next: connection.next(), previous: connection.prev() };
            assert_eq!(links.previous, previous, "place {place} in slot {slot}");
            filed.push(place);
            assert!(filed.len() <= kept.len(), "more timers than connections");
            previous = place;
            place = links.next;
        }
    }
    filed.sort_unstable();
    let mut places: Vec<u32> = kept.iter().map(|kept| kept.index).collect();
    places.sort_unstable();
    assert_eq!(filed, places, "each connection has one timer");
}

fn find(kept: &[Kept], id: u64) -> Option<&Kept> {
    kept.iter().find(|kept| kept.record.id == id)
}

fn count(counted: &mut Counted, direction: Direction, length: u64) {
    counted.packets[direction.index()] += 1;
    counted.bytes[direction.index()] += length;
}

fn told(record: &Record) -> Counted {
    Counted { packets: record.packets, bytes: record.bytes }
}

fn same_tuple(a: &Record, b: &Record) -> bool {
    let ends = (b.originator, b.responder);
    (a.originator, a.responder) == ends || (a.responder, a.originator) == ends
}
