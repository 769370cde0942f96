//! Everything at one moment: two endpoints, the tracker between them, and what is under way.
//!
//! ```text
//!            before[A]                 behind[B]
//!         ┌───────────► ┌─────────┐ ─────────────► ┐
//!   ┌───┐ ┘             │ tracker │                └►┌───┐
//!   │ A │               └─────────┘                  │ B │
//!   └───┘ ◄─────────────            ◄─────────────── └───┘
//!            behind[A]                 before[B]
//! ```
//!
//! Each of the four hops holds a few segments. Any of them may go next, be lost, or (within bounds) be
//! doubled; what does not fit any more is lost as well. Retransmissions are free as long as nothing of that
//! endpoint is under way, as a long time-out would have it; premature ones are bounded. So is what the
//! applications do. Losses and late retransmissions need no bound: they lead back to states seen before.

use arrayvec::ArrayVec;
use lastack::tcp::{self, Policy};

use super::endpoint::{Endpoint, State, Step};
use super::middle::{Entry, Outcome, Tracker};
use super::segment::{FIN, RST, SYN, Segment, Side, after};

/// The most segments that one hop has room for.
pub const ROOM: usize = 3;

/// What is under way on one hop, oldest first.
pub type Hop = ArrayVec<Segment, ROOM>;

/// How often each thing may still happen that would not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// What the applications do, A's first.
    pub opens: [u8; 2],
    pub sends: [u8; 2],
    pub closes: [u8; 2],
    pub aborts: [u8; 2],
    pub crashes: [u8; 2],
    pub probes: [u8; 2],
    /// Segments that the network doubles.
    pub doubles: u8,
    /// Retransmissions while the first transmission is still under way.
    pub premature: u8,
    /// Segments of somebody else.
    pub attacks: u8,
    /// Segments of somebody who makes up an incarnation, in which that side opens: of all, those not sent yet.
    pub usurps: [u8; 2],
}

/// What the properties have to know of the past of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past {
    /// Since the last quiet state, something let through to it was lost or overtaken behind the tracker, or
    /// came to nothing there: nobody listened, an older incarnation met a SYN, or an acknowledgement came on a
    /// segment too old.
    pub disturbed: bool,
    /// An RST was let through to it and did not end its connection: it was lost, or too old when it came.
    pub missed_reset: bool,
    /// When a new entry began, an RST for it was under way behind the tracker; or its SYN came to the tracker
    /// late, when its connection had ended already: what has ended is tracked anew.
    pub reset_unawares: bool,
    /// The tracker has let through an acknowledgement from beyond what it had seen of this endpoint.
    pub ran_ahead: bool,
    /// Its FIN was lost or overtaken before the tracker, and when it came it acknowledged the other one: whether
    /// the two crossed cannot be told.
    pub ambiguous_fin: bool,
    /// After the other one's FIN something else has come from there, or in its name, that may have prompted this
    /// endpoint to acknowledge that FIN again: how far it had sent when the FIN came, that does not tell.
    pub prompted: bool,
}

/// A state of the whole.
#[derive(Debug, Clone)]
pub struct World {
    pub ends: [Endpoint; 2],
    pub before: [Hop; 2],
    pub behind: [Hop; 2],
    pub tracker: Tracker,
    pub budget: Budget,
    pub past: [Past; 2],
}

/// The rules of a world.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub policy: Policy,
    /// How many segments a hop holds, before and behind the tracker; at most [`ROOM`].
    pub room: [usize; 2],
    /// Whether a segment may overtake others.
    pub reorders: bool,
}

/// What an application does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Open,
    Send,
    Close,
    SendAndClose,
    Abort,
    Crash,
    Probe,
}

impl Action {
    const ALL: [Action; 7] = [
        Action::Open,
        Action::Send,
        Action::Close,
        Action::SendAndClose,
        Action::Abort,
        Action::Crash,
        Action::Probe,
    ];

    fn budget(self, budget: &mut Budget) -> &mut [u8; 2] {
        match self {
            Action::Open => &mut budget.opens,
            Action::Send => &mut budget.sends,
            Action::Close | Action::SendAndClose => &mut budget.closes,
            Action::Abort => &mut budget.aborts,
            Action::Crash => &mut budget.crashes,
            Action::Probe => &mut budget.probes,
        }
    }

    fn of(self, endpoint: Endpoint) -> Option<Step> {
        match self {
            Action::Open => endpoint.open(),
            Action::Send => endpoint.send(),
            Action::Close => endpoint.close(0),
            Action::SendAndClose => endpoint.close(1),
            Action::Abort => endpoint.abort(),
            Action::Crash => endpoint.crash(),
            Action::Probe => endpoint.probe(),
        }
    }
}

/// What happens next. Numbers are places on a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Act(Side, Action),
    Retransmit(Side),
    /// A segment of that endpoint reaches the tracker.
    Judge(Side, u8),
    /// A segment reaches that endpoint.
    Deliver(Side, u8),
    /// A segment of that endpoint is lost before the tracker.
    LoseBefore(Side, u8),
    /// A segment for that endpoint is lost behind it.
    LoseBehind(Side, u8),
    DoubleBefore(Side, u8),
    DoubleBehind(Side, u8),
    /// 2 MSL are over at that endpoint.
    TimeWaitEnds(Side),
    /// An endpoint in SYN_RECEIVED whose SYN came to a tracker that knows of an RST gives up (RFC 9293 section 3.8.3).
    GivesUp(Side),
    /// The tracker's entry expires.
    EntryEnds,
    /// It does so before the connection that it has displaced.
    GivesWay,
    /// Somebody off the path forges a segment to that endpoint; the number says which one.
    Attack(Side, u8),
    /// He sends the next segment of an incarnation that he has made up, in which that endpoint opens.
    Usurp(Side),
}

impl Event {
    /// Whether it must happen sooner or later, if nothing else does: a network that loses no more, and time.
    pub const fn is_fair(self) -> bool {
        match self {
            Event::Retransmit(_)
            | Event::Judge(..)
            | Event::Deliver(..)
            | Event::TimeWaitEnds(_)
            | Event::GivesUp(_)
            | Event::EntryEnds
            | Event::GivesWay => true,
            Event::Act(..)
            | Event::LoseBefore(..)
            | Event::LoseBehind(..)
            | Event::DoubleBefore(..)
            | Event::DoubleBehind(..)
            | Event::Attack(..)
            | Event::Usurp(_) => false,
        }
    }
}

/// What became of an event, beside the new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    pub sender: Side,
    pub segment: Segment,
    pub outcome: Outcome,
    pub forged: bool,
}

impl World {
    pub fn new(ends: [Endpoint; 2], budget: Budget) -> World {
        World {
            ends,
            before: Default::default(),
            behind: Default::default(),
            tracker: Tracker::default(),
            budget,
            past: Default::default(),
        }
    }

    /// Whether nothing is under way.
    pub fn is_silent(&self) -> bool {
        self.before.iter().chain(&self.behind).all(|hop| hop.is_empty())
    }

    /// Whether nothing is under way and nothing unacknowledged.
    pub fn is_quiet(&self) -> bool {
        self.is_silent() && self.ends.iter().all(Endpoint::is_settled)
    }

    /// Every event that can happen now.
    pub fn events(&self, rules: &Rules, out: &mut Vec<Event>) {
        out.clear();
        for side in Side::BOTH {
            self.events_of_network(side, rules, out);
            self.events_of_endpoint(side, out);
        }
        // Whoever waits for an answer sends again long before the shortest of the tracker's timers.
        if self.is_quiet() && self.tracker.is_over() {
            out.push(Event::EntryEnds);
        }
        // What is made up has a timer as well, and no endpoint has to be silent for long.
        let is_made_up = |entry: Entry| !self.ends.iter().any(|end| entry.tracks(end.side, end.iss));
        if self.is_silent() && self.tracker.has_displaced() && self.tracker.entry.is_some_and(is_made_up) {
            out.push(Event::GivesWay);
        }
    }

    fn events_of_network(&self, side: Side, rules: &Rules, out: &mut Vec<Event>) {
        let before = &self.before[side.index()];
        let behind = &self.behind[side.index()];
        let doubles = self.budget.doubles > 0;
        for place in 0..before.len() as u8 {
            if place == 0 || rules.reorders {
                out.push(Event::Judge(side, place));
            }
            out.push(Event::LoseBefore(side, place));
            if doubles && before.len() < rules.room[0] {
                out.push(Event::DoubleBefore(side, place));
            }
        }
        for place in 0..behind.len() as u8 {
            if place == 0 || rules.reorders {
                out.push(Event::Deliver(side, place));
            }
            out.push(Event::LoseBehind(side, place));
            if doubles && behind.len() < rules.room[1] {
                out.push(Event::DoubleBehind(side, place));
            }
        }
    }

    fn events_of_endpoint(&self, side: Side, out: &mut Vec<Event>) {
        let endpoint = self.ends[side.index()];
        let mut budget = self.budget;
        for action in Action::ALL {
            if action.budget(&mut budget)[side.index()] > 0 && action.of(endpoint).is_some() {
                out.push(Event::Act(side, action));
            }
        }
        let under_way =
            !self.before[side.index()].is_empty() || !self.behind[side.other().index()].is_empty();
        if endpoint.retransmit().is_some() && (!under_way || self.budget.premature > 0) {
            out.push(Event::Retransmit(side));
        }
        if endpoint.state == State::TimeWait && self.is_silent() {
            out.push(Event::TimeWaitEnds(side));
        }
        // Where an RST has ended what is tracked, nothing begins before the next SYN.
        let is_late = self.tracker.entry.is_some_and(|entry| entry.connection.marks.is_reset());
        let other = &self.ends[side.other().index()];
        if endpoint.state == State::SynReceived && is_late && self.is_silent() && other.is_settled() {
            out.push(Event::GivesUp(side));
        }
        if self.budget.attacks > 0 {
            let forged = super::attacker::forgeries(self, side);
            out.extend((0..forged.len() as u8).map(|number| Event::Attack(side, number)));
        }
        let is_open = self.ends.iter().all(|end| end.state.is_synchronized() && end.state != State::TimeWait);
        if self.budget.usurps[side.index()] > 0 && is_open && self.tracker.entry.is_some() {
            out.push(Event::Usurp(side));
        }
    }

    /// Lets `event` happen; says what the tracker did, where it was asked.
    pub fn apply(&mut self, event: Event, rules: &Rules) -> Option<Judged> {
        match event {
            Event::Act(side, action) => {
                action.budget(&mut self.budget)[side.index()] -= 1;
                let step = action.of(self.ends[side.index()]);
                self.take(side, step.expect("only what it can do is offered"), rules);
            }
            Event::Retransmit(side) => {
                let hops = [&self.before[side.index()], &self.behind[side.other().index()]];
                self.budget.premature -= u8::from(hops.iter().any(|hop| !hop.is_empty()));
                let step = self.ends[side.index()].retransmit();
                self.take(side, step.expect("only what it can do is offered"), rules);
            }
            Event::Judge(side, place) => {
                let segment = self.before[side.index()].remove(usize::from(place));
                return Some(self.judge(side, segment, false, rules));
            }
            Event::Deliver(side, place) => {
                let segment = self.behind[side.index()].remove(usize::from(place));
                let endpoint = self.ends[side.index()];
                let step = endpoint.receive(&segment);
                let to_nothing = endpoint.state.is_gone() && step.0.state.is_gone()
                    || segment.has(SYN) && step.0 == endpoint
                    || endpoint.overlooks_acknowledgement(&segment);
                self.past[side.index()].disturbed |= place > 0 || to_nothing;
                if segment.has(RST) && step.0 == self.ends[side.index()] {
                    self.past[side.index()].missed_reset = true;
                }
                self.take(side, step, rules);
            }
            Event::LoseBefore(side, place) => {
                self.before[side.index()].remove(usize::from(place));
            }
            Event::LoseBehind(side, place) => {
                let lost = self.behind[side.index()].remove(usize::from(place));
                self.lost_behind(side, &lost);
            }
            Event::DoubleBefore(side, place) => {
                self.budget.doubles -= 1;
                let hop = &mut self.before[side.index()];
                hop.push(hop[usize::from(place)]);
            }
            Event::DoubleBehind(side, place) => {
                self.budget.doubles -= 1;
                // It comes a second time, last of all: a late repetition is an overtaking too.
                let hop = &mut self.behind[side.index()];
                hop.push(hop[usize::from(place)]);
                self.past[side.index()].disturbed |= usize::from(place) + 2 < hop.len();
            }
            Event::TimeWaitEnds(side) => {
                let step = self.ends[side.index()].time_wait_ends();
                self.take(side, step.expect("only what it can do is offered"), rules);
            }
            Event::GivesUp(side) => {
                let step = self.ends[side.index()].crash();
                self.take(side, step.expect("only what it can do is offered"), rules);
            }
            Event::EntryEnds => self.tracker.entry = None,
            Event::GivesWay => self.tracker.give_way(),
            Event::Attack(side, number) => {
                self.budget.attacks -= 1;
                let segment = super::attacker::forgeries(self, side)[usize::from(number)];
                return Some(self.judge(side.other(), segment, true, rules));
            }
            Event::Usurp(side) => {
                let left = &mut self.budget.usurps[side.index()];
                let (sender, segment) = super::attacker::usurpation(side, super::attacker::USURPS - *left);
                *left -= 1;
                return Some(self.judge(sender, segment, false, rules));
            }
        }
        None
    }

    /// An endpoint has become what `step` says, and what it sends is under way.
    fn take(&mut self, side: Side, (next, sent): Step, rules: &Rules) {
        let place = side.index();
        if next.incarnations != self.ends[place].incarnations {
            self.past[place].missed_reset = false;
            self.past[place].reset_unawares = false;
        }
        self.ends[place] = next;
        if let Some(segment) = sent
            && self.before[place].len() < rules.room[0]
        {
            self.before[place].push(segment);
        }
    }

    fn judge(&mut self, sender: Side, segment: Segment, forged: bool, rules: &Rules) -> Judged {
        let had_fin = self.has_seen_fin(sender);
        let seen = self.tracker.entry.map(|entry| entry.end(sender));
        let outcome = self.tracker.judge(sender, &segment, &rules.policy);
        match outcome {
            Outcome::Refused(_) => {}
            Outcome::Began => {
                for (past, hop) in self.past.iter_mut().zip(&self.behind) {
                    past.ambiguous_fin = false;
                    past.ran_ahead = false;
                    past.prompted = false;
                    past.reset_unawares = hop.iter().any(|segment| segment.has(RST));
                }
                self.note_late_syn(sender, &segment);
                self.let_through(sender, segment, rules);
            }
            Outcome::Passed => {
                self.note_late_syn(sender, &segment);
                let past = &mut self.past[sender.index()];
                past.ran_ahead |= segment.length() == 0 && seen.is_some_and(|end| after(segment.seq, end));
                if !had_fin && self.has_seen_fin(sender) {
                    let other_end = self.tracker.entry.map(|entry| entry.end(sender.other()));
                    let acknowledges = self.has_seen_fin(sender.other()) && other_end == Some(segment.ack);
                    // Where the tracker says all the same that the two have crossed, it must be right.
                    let is_told =
                        self.tracker.entry.is_some_and(|entry| entry.state(sender) == tcp::State::Closing);
                    let past = &mut self.past[sender.index()];
                    let cannot_be_told = acknowledges && (past.prompted || !is_told);
                    past.ambiguous_fin = (segment.old_fin || past.ran_ahead) && cannot_be_told;
                    past.prompted = false;
                } else if had_fin && !self.has_seen_fin(sender.other()) {
                    self.past[sender.other().index()].prompted |= forged || !segment.has(FIN);
                }
                self.let_through(sender, segment, rules);
            }
        }
        Judged { sender, segment, outcome, forged }
    }

    fn note_late_syn(&mut self, sender: Side, segment: &Segment) {
        let is_late = segment.has(SYN) && self.ends[sender.index()].state.is_gone();
        self.past[sender.index()].reset_unawares |= is_late;
    }

    /// Whether the tracker knows of a FIN of `side`.
    fn has_seen_fin(&self, side: Side) -> bool {
        self.tracker.entry.is_some_and(|entry| entry.state(side).has_sent_fin())
    }

    fn let_through(&mut self, sender: Side, segment: Segment, rules: &Rules) {
        let receiver = sender.other();
        if self.behind[receiver.index()].len() < rules.room[1] {
            self.behind[receiver.index()].push(segment);
        } else {
            self.lost_behind(receiver, &segment);
        }
    }

    fn lost_behind(&mut self, receiver: Side, segment: &Segment) {
        let past = &mut self.past[receiver.index()];
        past.disturbed = true;
        past.missed_reset |= segment.has(RST);
    }

    /// What does not matter any more is forgotten, and what cannot be told apart made the same.
    pub fn settle(&mut self, rules: &Rules) {
        if rules.reorders {
            // Any may go next: their order before the tracker says nothing.
            self.before.iter_mut().for_each(|hop| hop.sort_unstable());
        }
        if self.is_quiet() {
            for side in Side::BOTH {
                // Nobody is left to send again what it has missed.
                let other = side.other().index();
                let is_gone = self.ends[other].left_alone || self.past[other].reset_unawares;
                self.past[side.index()].disturbed &= is_gone;
                self.past[side.index()].ran_ahead = false;
            }
        }
    }

    /// Everything that can matter later, as bytes: equal exactly where the states are.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        for endpoint in &self.ends {
            endpoint.encode(out);
        }
        for hop in self.before.iter().chain(&self.behind) {
            out.push(hop.len() as u8);
            for segment in hop {
                out.extend([segment.flags, segment.octets, u8::from(segment.old_fin)]);
                out.extend(segment.seq.to_le_bytes());
                out.extend(segment.ack.to_le_bytes());
            }
        }
        self.tracker.encode(out);
        let Budget { opens, sends, closes, aborts, crashes, probes, doubles, premature, attacks, usurps } =
            self.budget;
        out.extend([opens, sends, closes, aborts, crashes, probes, usurps].concat());
        out.extend([doubles, premature, attacks]);
        for past in self.past {
            let Past { disturbed, missed_reset, reset_unawares, ran_ahead, ambiguous_fin, prompted } = past;
            let bits = [disturbed, missed_reset, reset_unawares, ran_ahead, ambiguous_fin, prompted];
            out.push(bits.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit)));
        }
    }
}
