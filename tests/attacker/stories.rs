//! What several blind segments can do together, with endpoints that answer as RFC 5961 asks.
//!
//! ```text
//!  originator (RFC 9293, 5961) ◄──► [ engine ] ◄──► responder (RFC 9293, 5961)
//!                                       ▲
//!                                    attacker, in either endpoint's name
//! ```
//!
//! A segment that the engine lets through is heard by the endpoint, whose answer goes through the engine as well, and
//! so on until both are silent. [`Play::goes_on`] is what every story ends with: both endpoints still send and
//! acknowledge, nothing of it is refused, and it is the same connection.

use lastack::shard::{Action, Admission, Arrival, Class, Reason, Refusal, Verdict};
use lastack::tcp::{self, State};
use lastack::wire::Direction;
use lastack::wire::Direction::{Original, Reply};
use lastack::wire::{Flags, Seq};

use crate::connections::{
    ACK, Arena, FIN_ACK, INITIAL, RST, RST_ACK, STAGES, SYN, SYN_ACK, Version, WINDOW, arrival_of, segment,
};

/// One end of an open connection, as far as blind segments matter to it.
#[derive(Debug, Clone, Copy)]
struct Endpoint {
    side: Direction,
    /// SND.UNA, SND.NXT and RCV.NXT of RFC 9293 section 3.3.1.
    una: Seq,
    nxt: Seq,
    rcv: Seq,
    alive: bool,
}

/// A segment on its way.
#[derive(Debug, Clone, Copy)]
struct Sent {
    side: Direction,
    flags: Flags,
    seq: Seq,
    ack: Seq,
    length: u32,
}

impl Endpoint {
    const fn ack(&self) -> Sent {
        Sent { side: self.side, flags: ACK, seq: self.nxt, ack: self.rcv, length: 0 }
    }

    /// Whether a byte lies in the receive window.
    fn is_in_window(&self, seq: Seq) -> bool {
        seq.offset_from(self.rcv) < WINDOW
    }

    /// RFC 9293 section 3.10.7.4 with RFC 5961 sections 3.2, 4.2 and 5.2, of a synchronized state; the answer.
    fn hears(&mut self, heard: &Sent) -> Option<Sent> {
        if !self.alive {
            return None;
        }
        if heard.flags.has(RST) {
            self.alive = heard.seq != self.rcv;
            return (self.alive && self.is_in_window(heard.seq)).then(|| self.ack());
        }
        if heard.flags.has(SYN) {
            return Some(self.ack());
        }
        let end = heard.seq.plus(heard.length);
        let acceptable =
            self.is_in_window(heard.seq) || (heard.length > 0 && self.is_in_window(end.minus(1)));
        let ack_fits = !heard.ack.is_before(self.una.minus(WINDOW)) && !heard.ack.is_after(self.nxt);
        if !acceptable || !ack_fits {
            return Some(self.ack());
        }
        self.una = self.una.max(heard.ack);
        if heard.length == 0 {
            return None;
        }
        if !heard.seq.is_after(self.rcv) {
            self.rcv = self.rcv.max(end);
        }
        Some(self.ack())
    }
}

/// An engine and two endpoints of an open connection.
struct Play {
    arena: Arena,
    ends: [Endpoint; 2],
    /// The connection's number at the beginning.
    id: u64,
    /// Where the bridge binds each direction to its port.
    bound: bool,
}

fn arena(name: &str, policy: tcp::Policy) -> Arena {
    let stage = STAGES.iter().find(|stage| stage.name == name).unwrap();
    Arena::new(stage, Version::V4, policy)
}

/// A sequence number of one side, counted from its initial one.
fn of(side: Direction, number: u32) -> Seq {
    Seq(INITIAL[side as usize].wrapping_add(number))
}

impl Play {
    fn established() -> Play {
        let arena = arena("ESTABLISHED/ESTABLISHED", tcp::Policy::DEFAULT);
        let originator = Endpoint {
            side: Original,
            una: of(Original, 1001),
            nxt: of(Original, 1201),
            rcv: of(Reply, 501),
            alive: true,
        };
        let responder = Endpoint {
            side: Reply,
            una: of(Reply, 1),
            nxt: of(Reply, 501),
            rcv: of(Original, 1201),
            alive: true,
        };
        let id = arena.baseline().victim.unwrap().id;
        Play { arena, ends: [originator, responder], id, bound: false }
    }

    /// A connection of two endpoints that begins where somebody had made one up before.
    fn over_a_planted_one() -> Play {
        let mut play = Play::established();
        let [a, b] = [0x2100_0000, 0x3200_0000];
        let [originator, responder] = &mut play.ends;
        *originator = Endpoint { una: Seq(a + 1), nxt: Seq(a + 1), rcv: Seq(b + 1), ..*originator };
        *responder = Endpoint { una: Seq(b + 1), nxt: Seq(b + 1), rcv: Seq(a + 1), ..*responder };
        let handshake = [
            Sent { side: Original, flags: SYN, seq: Seq(a), ack: Seq(0), length: 0 },
            Sent { side: Reply, flags: SYN_ACK, seq: Seq(b), ack: Seq(a + 1), length: 0 },
            Sent { side: Original, flags: ACK, seq: Seq(a + 1), ack: Seq(b + 1), length: 0 },
        ];
        for sent in handshake {
            assert_eq!(play.through(&sent, sent.side).action, Action::Accept, "{sent:?}");
        }
        let planted = std::mem::replace(&mut play.id, play.arena.picture().victim.unwrap().id);
        assert_ne!(play.id, planted);
        play.goes_on();
        play
    }

    /// A segment through the engine, by the port of whoever really sends it.
    fn through(&mut self, sent: &Sent, by: Direction) -> Verdict {
        let tcp = segment(sent.side, sent.flags, sent.seq.0, sent.ack.0);
        let frame = self.arena.version.builder(sent.side).tcp(&tcp, &vec![0x41; sent.length as usize]);
        let mut verdicts = [Verdict::HELD];
        let admission = if self.bound { port(by) } else { Admission::ANY };
        let arrival = Arrival { admission, ..arrival_of(&frame, self.arena.now) };
        self.arena.shard.process(&[arrival], self.arena.now.tick(), &mut verdicts, &mut self.arena.numbers);
        verdicts[0]
    }

    /// What the attacker sends in the name of an endpoint, from the responder's side of the engine; whatever comes
    /// of it among the endpoints must pass.
    fn attacker(&mut self, sent: Sent) -> Verdict {
        let verdict = self.through(&sent, Reply);
        if verdict.action == Action::Accept {
            self.heard(sent);
        }
        verdict
    }

    fn heard(&mut self, sent: Sent) {
        let mut answer = self.ends[sent.side.opposite() as usize].hears(&sent);
        for _ in 0..4 {
            let Some(sent) = answer else { return };
            self.must_pass(sent);
            answer = self.ends[sent.side.opposite() as usize].hears(&sent);
        }
        // Two endpoints that disagree about a number would go on for ever, RFC 5961 section 10 limits them.
    }

    fn must_pass(&mut self, sent: Sent) {
        let verdict = self.through(&sent, sent.side);
        assert_eq!(verdict.action, Action::Accept, "{sent:?}: {verdict:?}");
        assert_eq!(verdict.class, Class::Established, "{sent:?}: {verdict:?}");
        assert_eq!(verdict.subject.map(|subject| subject.id), Some(self.id), "another connection");
    }

    /// Both send 100 bytes and acknowledge what they hear, twice.
    fn goes_on(&mut self) {
        self.arena.wait(50);
        for side in [Original, Reply, Original, Reply] {
            let end = &mut self.ends[side as usize];
            assert!(end.alive, "{side:?} was reset");
            let sent = Sent { side, flags: ACK, seq: end.nxt, ack: end.rcv, length: 100 };
            end.nxt = end.nxt.plus(100);
            self.must_pass(sent);
            self.heard(sent);
        }
        let kept = self.arena.picture().victim.unwrap();
        assert_eq!(kept.tracked.marks.states(), [State::Established; 2]);
    }

    /// What is in flight gets lost behind the engine.
    fn loses_what_is_in_flight(&mut self) {
        for side in Direction::BOTH {
            self.ends[side.opposite() as usize].rcv = self.ends[side as usize].una;
        }
    }

    /// The victim's next bytes, should the engine have lost track of them: what it has in flight, again.
    fn repeats_what_is_in_flight(&mut self, side: Direction) {
        let end = self.ends[side as usize];
        let length = end.nxt.offset_from(end.una);
        assert!(length > 0, "nothing is in flight");
        let sent = Sent { side, flags: ACK, seq: end.una, ack: end.rcv, length };
        self.must_pass(sent);
        self.heard(sent);
    }
}

/// What may come in by the port of a side where connections begin at the originator's only.
fn port(side: Direction) -> Admission {
    let inside = side == Original;
    Admission { may_begin: inside, may_begin_opposite: !inside, side: side as u8, ..Admission::ANY }
}

/// Sequence numbers of every class, as seen from the number that is expected.
const CLASSES: [u32; 8] =
    [1, u32::MAX, 1000, WINDOW - 1, WINDOW + 5000, 0_u32.wrapping_sub(WINDOW + 5000), 1 << 31, 0x2000_0000];

#[test]
fn a_blind_syn_is_answered_by_a_challenge_and_nothing_else_happens() {
    for side in Direction::BOTH {
        for away in CLASSES {
            let mut play = Play::established();
            let seq = play.ends[side as usize].nxt.plus(away);
            let verdict = play.attacker(Sent { side, flags: SYN, seq, ack: Seq(0), length: 0 });
            assert_eq!(verdict.class, Class::Established);
            play.goes_on();
        }
    }
}

#[test]
fn a_blind_rst_that_is_not_exact_is_challenged_or_refused() {
    for side in Direction::BOTH {
        for away in CLASSES {
            let mut play = Play::established();
            let seq = play.ends[side as usize].nxt.plus(away);
            let ack = play.ends[side as usize].rcv;
            play.attacker(Sent { side, flags: RST_ACK, seq, ack, length: 0 });
            play.goes_on();
        }
    }
}

#[test]
fn a_blind_syn_and_an_rst_that_refuses_it_end_nothing() {
    for side in Direction::BOTH {
        let mut play = Play::established();
        let syn = Sent { side, flags: SYN, seq: Seq(77), ack: Seq(0), length: 0 };
        play.attacker(syn);
        // In the other's name, and it answers the SYN as a closed port would (RFC 9293 section 3.10.7.1).
        let rst = Sent { side: side.opposite(), flags: RST_ACK, seq: Seq(0), ack: Seq(78), length: 0 };
        let verdict = play.attacker(rst);
        assert_eq!(verdict.reason, Some(Reason::Tcp(tcp::Refusal::RstNotExact)));
        play.goes_on();
    }
}

#[test]
fn a_blind_syn_and_its_answer_need_both_sides_of_a_bridge_that_binds_them() {
    let mut play = Play::established();
    play.bound = true;
    let syn = Sent { side: Original, flags: SYN, seq: Seq(77), ack: Seq(0), length: 0 };
    let verdict = play.attacker(syn);
    assert_eq!(verdict.reason, Some(Reason::Shard(Refusal::WrongPort)), "from the responder's side");
    let answer = Sent { side: Reply, flags: SYN_ACK, seq: Seq(9), ack: Seq(78), length: 0 };
    let verdict = play.attacker(answer);
    assert_eq!(verdict.reason, Some(Reason::Tcp(tcp::Refusal::UnexpectedSynAck)), "no SYN is remembered");
    play.goes_on();
}

/// What somebody sends who makes up an incarnation, and so knows all its numbers: in whose name, and what.
fn made_up(opener: Direction) -> [Sent; 5] {
    let sent = |side, flags, seq, ack| Sent { side, flags, seq: Seq(seq), ack: Seq(ack), length: 0 };
    let other = opener.opposite();
    [
        sent(opener, SYN, 77, 0),
        sent(other, SYN_ACK, 9, 78),
        sent(opener, ACK, 78, 10),
        sent(other, RST, 10, 0),
        sent(opener, SYN, 50_077, 0),
    ]
}

#[test]
fn an_incarnation_made_up_in_both_endpoints_names_ends_nothing() {
    for opener in Direction::BOTH {
        for count in 2..=5 {
            for speaker in Direction::BOTH {
                let mut play = Play::established();
                for sent in &made_up(opener)[..count] {
                    // The endpoints' challenges are lost on their way here: they would bring the connection back.
                    assert_eq!(play.through(sent, Reply).action, Action::Accept, "{sent:?}");
                }
                assert_ne!(play.arena.picture().victim.unwrap().id, play.id, "it has taken the tuple");
                let end = play.ends[speaker as usize];
                let sent = Sent { side: speaker, flags: ACK, seq: end.nxt, ack: end.rcv, length: 0 };
                let verdict = play.through(&sent, speaker);
                assert_eq!((verdict.action, verdict.class), (Action::Accept, Class::New), "{count} {sent:?}");
                let subject = verdict.subject.unwrap();
                assert_eq!(subject.direction, speaker, "the originator is who it was");
                play.id = subject.id;
                play.goes_on();
            }
        }
    }
}

#[test]
fn nor_does_it_where_both_endpoints_are_silent_until_it_is_over() {
    for opener in Direction::BOTH {
        // Its handshake is over after a minute; an RST is after 10 s, and the SYN behind that after two minutes.
        for (count, seconds) in [(2, 60), (4, 10), (5, 120)] {
            let mut play = Play::established();
            for sent in &made_up(opener)[..count] {
                assert_eq!(play.through(sent, Reply).action, Action::Accept, "{sent:?}");
            }
            let id = play.arena.picture().victim.unwrap().id;
            play.arena.wait(seconds * 1000);
            let now = play.arena.now.tick();
            while !play.arena.shard.poll(now, 100, &mut play.arena.numbers) {}
            play.id = play.arena.picture().victim.unwrap().id;
            assert!(play.id != id, "{count}: it is over");
            play.goes_on();
        }
    }
}

#[test]
fn nor_where_one_was_planted_before_the_real_one_began() {
    for opener in Direction::BOTH {
        let mut play = Play::over_a_planted_one();
        for sent in &made_up(opener)[..3] {
            assert_eq!(play.through(sent, Reply).action, Action::Accept, "{sent:?}");
        }
        let kept = play.arena.picture().victim.unwrap();
        assert_ne!(kept.id, play.id, "it has taken the tuple");
        play.id = kept.id;
        play.goes_on();
        // Whatever else passes now moves and ends nothing, and both endpoints can still close.
        let before = play.arena.picture().victim.unwrap().tracked;
        for side in Direction::BOTH {
            let [end, other] = [side, side.opposite()].map(|side| play.ends[side as usize]);
            let closes = [
                Sent { side, flags: FIN_ACK, seq: end.nxt, ack: end.rcv, length: 0 },
                Sent { side: side.opposite(), flags: ACK, seq: other.nxt, ack: end.nxt.plus(1), length: 0 },
                Sent { side, flags: RST, seq: end.nxt.plus(1), ack: Seq(0), length: 0 },
            ];
            for sent in closes {
                play.must_pass(sent);
            }
        }
        assert_eq!(play.arena.picture().victim.unwrap().tracked, before);
    }
}

#[test]
fn the_challenges_for_it_bring_the_connection_back_by_themselves() {
    for opener in Direction::BOTH {
        let mut play = Play::established();
        let [syn, answer, ..] = made_up(opener);
        play.attacker(syn);
        let verdict = play.through(&answer, Reply);
        assert_eq!(verdict.class, Class::New);
        let challenge = play.ends[opener as usize].hears(&answer).unwrap();
        let verdict = play.through(&challenge, opener);
        assert_eq!((verdict.action, verdict.class), (Action::Accept, Class::New));
        play.id = verdict.subject.unwrap().id;
        play.heard(challenge);
        play.goes_on();
    }
}

#[test]
fn however_often_it_is_made_up() {
    let mut play = Play::established();
    for round in 0..20 {
        let opener = if round % 3 == 0 { Reply } else { Original };
        for sent in &made_up(opener)[..2 + round % 2] {
            assert_eq!(play.through(sent, Reply).action, Action::Accept, "{sent:?}");
        }
        if round % 4 == 3 {
            let end = play.ends[round % 2];
            let sent = Sent { side: end.side, flags: ACK, seq: end.nxt, ack: end.rcv, length: 0 };
            play.id = play.through(&sent, end.side).subject.unwrap().id;
            play.goes_on();
        }
    }
    // One of them was open, so that it is forgotten when that timer is over.
    for _ in 0..3 {
        play.arena.wait(u64::from(tcp::Policy::DEFAULT.timeouts.established.milliseconds()) / 3 + 1);
        play.goes_on();
    }
    let kept = play.arena.picture().victim.unwrap();
    assert!(!kept.tracked.marks.is_irregular(), "what was made up is forgotten");
}

#[test]
fn a_segment_of_the_syns_sender_makes_its_answer_worthless() {
    let mut play = Play::established();
    play.attacker(Sent { side: Original, flags: SYN, seq: Seq(77), ack: Seq(0), length: 0 });
    // What fits sooner may be an old duplicate.
    play.arena.wait(u64::from(tcp::Policy::DEFAULT.timeouts.msl.milliseconds()));
    play.goes_on();
    let answer = Sent { side: Reply, flags: SYN_ACK, seq: Seq(9), ack: Seq(78), length: 0 };
    assert_eq!(play.attacker(answer).reason, Some(Reason::Tcp(tcp::Refusal::UnexpectedSynAck)));
    play.goes_on();
}

#[test]
fn blind_data_anywhere_in_the_window_leaves_room_for_what_is_really_sent() {
    for side in Direction::BOTH {
        // How far before the end of the window it ends; the last one is a byte behind it.
        for short in [WINDOW - 2000, 1000, 1, 0, u32::MAX] {
            let mut play = Play::established();
            play.loses_what_is_in_flight();
            let limit = play.arena.picture().victim.unwrap().tracked.peer(side).limit;
            let seq = limit.minus(short).minus(100);
            let ack = play.ends[side.opposite() as usize].una;
            let verdict = play.attacker(Sent { side, flags: ACK, seq, ack, length: 100 });
            assert_eq!(verdict.action, Action::Accept, "{short}: {verdict:?}");
            play.repeats_what_is_in_flight(side);
            play.goes_on();
        }
    }
}

#[test]
fn blind_data_twice_at_the_far_edge_moves_the_edge_no_further() {
    let mut play = Play::established();
    play.loses_what_is_in_flight();
    for _ in 0..50 {
        let limit = play.arena.picture().victim.unwrap().tracked.peer(Original).limit;
        let ack = play.ends[1].una;
        play.attacker(Sent { side: Original, flags: ACK, seq: limit.minus(100), ack, length: 101 });
    }
    play.repeats_what_is_in_flight(Original);
    play.goes_on();
}

#[test]
fn a_blind_acknowledgement_of_all_that_is_in_flight_leaves_room_for_the_real_one() {
    for side in Direction::BOTH {
        let mut play = Play::established();
        let other = play.ends[side.opposite() as usize];
        let mine = play.ends[side as usize];
        play.attacker(Sent { side, flags: ACK, seq: mine.nxt, ack: other.nxt, length: 0 });
        play.goes_on();
    }
}

#[test]
fn an_acknowledgement_and_then_a_fin_need_the_same_luck_each() {
    let mut play = Play::established();
    // The acknowledgement fits, but teaches the attacker nothing of the sequence number.
    let ack = play.ends[1].nxt;
    let mut sent = Sent { side: Original, flags: ACK, seq: play.ends[1].rcv.plus(10), ack, length: 0 };
    assert_eq!(play.attacker(sent).action, Action::Accept);
    sent.flags = FIN_ACK;
    sent.seq = sent.seq.plus(WINDOW + 5000);
    assert_eq!(play.attacker(sent).action, Action::Drop);
    // Where data lies that was received already, a FIN is none.
    sent.seq = play.ends[1].rcv.minus(300);
    assert_eq!(play.attacker(sent).action, Action::Accept);
    play.goes_on();
}

/// Frames in the name of an endpoint of a connection that opens.
fn opening(arena: &mut Arena, side: Direction, flags: Flags, seq: Seq, ack: Seq) -> Verdict {
    let frame = arena.version.builder(side).tcp(&segment(side, flags, seq.0, ack.0), &[]);
    arena.send(&frame)
}

#[test]
fn a_blind_syn_and_an_rst_that_refuses_it_do_not_keep_a_connection_from_opening() {
    let mut arena = arena("SYN_SENT/LISTEN", tcp::Policy::DEFAULT);
    opening(&mut arena, Original, SYN, Seq(77), Seq(0));
    opening(&mut arena, Reply, RST_ACK, Seq(0), Seq(78));
    // The originator ignores an RST that does not acknowledge its SYN (RFC 9293 section 3.10.7.3).
    let verdict = opening(&mut arena, Reply, SYN_ACK, of(Reply, 0), of(Original, 1));
    assert_eq!(verdict.action, Action::Accept, "{verdict:?}");
    let verdict = opening(&mut arena, Original, ACK, of(Original, 1), of(Reply, 1));
    assert_eq!(verdict.action, Action::Accept, "{verdict:?}");
    let states = verdict.subject.unwrap().states;
    assert_eq!(states, Some([State::Established; 2]));
}

#[test]
fn a_blind_syn_and_its_answer_do_not_keep_a_connection_from_opening() {
    let mut arena = arena("SYN_SENT/LISTEN", tcp::Policy::DEFAULT);
    opening(&mut arena, Original, SYN, Seq(77), Seq(0));
    opening(&mut arena, Reply, SYN_ACK, Seq(9), Seq(78));
    // RFC 9293 section 3.10.7.3: the originator refuses it, and goes on waiting.
    opening(&mut arena, Original, RST, Seq(78), Seq(0));
    let verdict = opening(&mut arena, Original, SYN, of(Original, 0), Seq(0));
    assert_eq!(verdict.action, Action::Accept, "{verdict:?}");
    let verdict = opening(&mut arena, Reply, SYN_ACK, of(Reply, 0), of(Original, 1));
    assert_eq!(verdict.action, Action::Accept, "{verdict:?}");
    let verdict = opening(&mut arena, Original, ACK, of(Original, 1), of(Reply, 1));
    assert_eq!(verdict.subject.unwrap().states, Some([State::Established; 2]), "{verdict:?}");
}

#[test]
fn segments_that_are_refused_keep_nothing_alive() {
    let mut arena = arena("ESTABLISHED/ESTABLISHED", tcp::Policy::DEFAULT);
    let ends = arena.baseline().victim.unwrap().deadline;
    let mut sent = 0;
    while !ends.has_passed(arena.now.tick()) {
        for (flags, away) in [(ACK, 1 << 30), (FIN_ACK, 1 << 31), (RST, 3 << 30), (SYN_ACK, 5)] {
            let seq = of(Original, 1201).plus(away);
            let verdict = opening(&mut arena, Original, flags, seq, of(Reply, 501));
            assert_eq!(verdict.action, Action::Drop, "{verdict:?}");
            sent += 1;
        }
        arena.wait(60_000);
    }
    assert!(sent > 400, "{sent}");
    let verdict = opening(&mut arena, Original, RST, of(Original, 1201), Seq(0));
    assert_eq!(verdict.reason, Some(Reason::Tcp(tcp::Refusal::NoConnection)), "it is over");
}
