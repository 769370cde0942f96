//! Why a TCP segment was accepted: which rule let it through, by what it bears and by what it met.
//!
//! ```text
//!  no connection ─ SYN: a beginning   else: a pickup
//!  a connection ── class new: it takes the tuple over   RST   SYN   SYN-ACK   ACK and FIN: the windows
//! ```
//!
//! The verdict is known; this only names the rule whose outcome it is.

use super::drawing::{Mark, Point, draw};
use super::rival;
use super::sentences::{Ruling, reuse_name};
use super::story::{Segment, Story, bytes};
use crate::shard::Class;
use crate::tcp::{self, State};
use crate::wire::{Direction, Flags};

/// The rule that let `segment` through.
pub(super) fn ruling(story: &Story, segment: &Segment) -> Ruling {
    let flags = segment.flags;
    let is_new = story.verdict.class == Class::New;
    match story.states_before() {
        _ if is_new && !flags.has(Flags::SYN) => {
            rival::comes_back(story, segment).unwrap_or_else(|| picked_up(segment))
        }
        Some(states) if is_new => renewed(story, segment, states),
        None => begun(segment),
        Some(states) if flags.has(Flags::RST) => reset(story, segment, states),
        Some(states) if flags.has(Flags::SYN.with(Flags::ACK)) => syn_ack(story, segment, states),
        Some(states) if flags.has(Flags::SYN) => syn(story, segment, states),
        Some(states) if is_unsynchronized(story, states) => before_synchronized(story),
        Some(states) => in_window(story, segment, states),
    }
}

fn said(sentences: &[String]) -> Ruling {
    Ruling { sentences: sentences.to_vec(), ..Ruling::default() }
}

fn begun(segment: &Segment) -> Ruling {
    let mut ruling =
        said(&["No connection of this tuple was in the table, and a SYN begins one (RFC 9293 section 3.5)."
            .to_owned()]);
    if segment.payload > 0 {
        ruling.sentences.push("It bears data already (RFC 7413).".to_owned());
    }
    ruling
}

fn picked_up(segment: &Segment) -> Ruling {
    let states =
        if segment.flags.has(Flags::FIN) { "FIN_WAIT_1/CLOSE_WAIT" } else { "ESTABLISHED/ESTABLISHED" };
    Ruling {
        sentences: vec![format!(
            "No connection of this tuple was in the table, and this is no SYN: the connection is older than the \
             capture, or its handshake passed elsewhere. It is picked up in mid-stream as {states}; the widest \
             windows are assumed until both sides have spoken."
        )],
        settings: vec!["tcp.loose = false would refuse it (no_syn).".to_owned()],
        ..Ruling::default()
    }
}

/// A segment that has taken a tuple over.
fn renewed(story: &Story, segment: &Segment, states: [State; 2]) -> Ruling {
    if segment.flags.has(Flags::ACK) {
        return said(&[
            "It acknowledges exactly a SYN that met the live connection before and was let through: both \
                       endpoints have begun anew, and so does the table (RFC 9293 section 3.5.1)."
                .to_owned(),
        ]);
    }
    if !states.contains(&State::TimeWait) {
        return said(&[format!(
            "{} the connection of this tuple, so a SYN begins afresh.",
            what_ended(story)
        )]);
    }
    let reuse = story.settings.tcp.time_wait_reuse;
    let mut ruling = said(&[format!(
        "The old connection was in TIME_WAIT, and tcp.time_wait_reuse = \"{}\" lets this SYN take the tuple over.",
        reuse_name(reuse)
    )]);
    if let (Some(bounds), Some(before)) = (story.bounds(), story.before) {
        let next = bounds.end;
        ruling.sentences.push(format!(
            "Its sequence number {} stands beside {}, the next one expected of the old connection's {}.",
            segment.seq.0,
            next.0,
            super::story::endpoint(before.direction)
        ));
        ruling.drawing = draw(
            "seq",
            &[Point::new("next", next, Mark::Known), Point::new("SYN", segment.seq, Mark::Packet)],
        );
    }
    ruling.settings.push("tcp.time_wait_reuse = \"off\" would refuse it (time_wait).".to_owned());
    ruling
}

fn reset(story: &Story, segment: &Segment, states: [State; 2]) -> Ruling {
    let ended = story.verdict.subject.and_then(|subject| subject.states) != Some(states);
    let Some(bounds) = story.bounds() else { return Ruling::default() };
    if !ended && let Some(ruling) = rival::reset_beside(story) {
        return ruling;
    }
    if !ended && !is_over(story, states) {
        return rival::contested(story).unwrap_or_else(|| said(&[format!(
            "It passes, and does not end this connection: it answers a segment of an older one with the same tuple, \
             which the {} may still have (RFC 9293 section 3.5.1, figures 8 and 9).",
            story.receiver()
        )]));
    }
    if !ended {
        return said(&[
            "The connection is over already: a late RST that fits what was there is no crime, and changes \
                       nothing."
                .to_owned(),
        ]);
    }
    let is_exact = bounds.contiguous == segment.seq || bounds.acked == Some(segment.seq);
    if segment.flags.has(Flags::ACK) && (states.contains(&State::SynSent) || !is_exact) {
        return said(&[
            "It acknowledges exactly the SYN: the connection is refused (RFC 9293 section 3.10.7.3)."
                .to_owned(),
        ]);
    }
    let mut points = Vec::new();
    if let Some(acked) = bounds.acked {
        points.push(Point::new("acked", acked, Mark::Known));
    }
    points.push(Point::new("next", bounds.contiguous, Mark::Known));
    points.push(Point::new("RST", segment.seq, Mark::Packet));
    let what = if bounds.acked == Some(segment.seq) {
        format!("the highest number that the {} has acknowledged", story.receiver())
    } else {
        format!("the next number expected of the {}", story.sender())
    };
    Ruling {
        sentences: vec![format!(
            "It is exact: it bears {what} (RFC 5961 section 3). It ends the connection."
        )],
        drawing: draw("seq", &points),
        settings: Vec::new(),
    }
}

/// Whether nothing can end the connection any more: a valid RST has, or both sides have closed.
fn is_over(story: &Story, states: [State; 2]) -> bool {
    is_reset(story) || states == [State::Closed; 2] || states.contains(&State::TimeWait)
}

fn is_reset(story: &Story) -> bool {
    let tracked = story.before.and_then(|before| before.tracked);
    tracked.is_some_and(|(connection, _)| connection.marks.is_reset())
}

/// What has ended a connection both of whose endpoints are CLOSED.
fn what_ended(story: &Story) -> &'static str {
    if is_reset(story) { "A valid RST has ended" } else { "The end of TIME_WAIT has ended" }
}

fn syn_ack(story: &Story, segment: &Segment, states: [State; 2]) -> Ruling {
    let direction = story.direction().unwrap_or(Direction::Reply);
    let is_its_own = story.initial(direction) == Some(segment.seq);
    if !is_its_own
        && story.states_after() == Some(states)
        && let Some(ruling) = rival::contested(story)
    {
        return ruling;
    }
    said(&[if states == [State::SynSent, State::Listen] {
        "It is the handshake's second segment: it acknowledges the SYN (RFC 9293 section 3.5).".to_owned()
    } else if story.states_after() != Some(states) {
        "It acknowledges the SYN of a simultaneous open (RFC 9293 section 3.5, figure 7).".to_owned()
    } else if is_its_own {
        "It repeats the SYN-ACK that was seen before: a sign of life, and nothing else.".to_owned()
    } else if is_late_answer(story, segment, states) {
        format!(
            "It acknowledges the SYN once more, although the handshake is over: of a {} that has lost the connection \
             since. It goes through, so that the {} can challenge it (RFC 5961 section 4), and changes nothing.",
            story.sender(),
            story.receiver()
        )
    } else if is_over(story, states) {
        "The connection is over: it has crossed the RST that ended it, and changes nothing.".to_owned()
    } else if states[direction.index()] == State::SynReceived {
        format!(
            "It acknowledges the same SYN as the SYN-ACK before it, with another sequence number: the first may have \
             been lost, and the {} have begun anew. Both are remembered; what the {} acknowledges tells which counts.",
            story.sender(),
            story.receiver()
        )
    } else {
        format!(
            "The {}'s initial sequence number is not known (any more), and its numbers are not new: it may repeat its \
             SYN-ACK, so that its acknowledgement is sent again. It changes nothing.",
            story.sender()
        )
    }])
}

/// Whether a SYN-ACK answers its receiver's SYN although the handshake is over.
fn is_late_answer(story: &Story, segment: &Segment, states: [State; 2]) -> bool {
    let direction = story.direction().unwrap_or(Direction::Reply);
    let syn = story.initial(direction.opposite());
    states != [State::Closed; 2]
        && states[direction.index()] != State::SynReceived
        && syn.is_some_and(|syn| syn.plus(1) == segment.ack)
}

/// Whether the segment's sender has not sent more than a SYN, or nothing at all.
fn is_unsynchronized(story: &Story, states: [State; 2]) -> bool {
    let sender = story.direction().unwrap_or(Direction::Original);
    matches!(states[sender.index()], State::Listen | State::SynSent)
}

/// An acknowledgement of an older connection, which met a SYN of the new one.
fn before_synchronized(story: &Story) -> Ruling {
    let (from, to) = (story.sender(), story.receiver());
    if let Some(ruling) = rival::contested(story) {
        return ruling;
    }
    let has_spoken = story.states_before().is_some_and(|states| {
        states[story.direction().unwrap_or(Direction::Original).index()] == State::SynSent
    });
    if has_spoken {
        return Ruling {
            sentences: vec![format!(
                "The {from} has sent nothing but its SYN here, and the {to} has answered that with a challenge: this \
                 segment fits the older connection that the challenge is of. So the SYN was an old duplicate or \
                 somebody else's, and the older connection is not stood in the way of."
            )],
            settings: vec!["tcp.loose = false would refuse it (not_synchronized).".to_owned()],
            ..Ruling::default()
        };
    }
    said(&[format!(
        "The {from} does not acknowledge the SYN: it is in an older connection of this tuple, and challenges it (RFC \
         9293 section 3.5.1, figure 9). It goes through, so that the {to} can answer with an RST, and is remembered."
    )])
}

fn syn(story: &Story, segment: &Segment, states: [State; 2]) -> Ruling {
    let direction = story.direction().unwrap_or(Direction::Original);
    if states[direction.index()] == State::Listen {
        return said(&[
            "Both endpoints have sent a SYN: a simultaneous open (RFC 9293 section 3.5, figure 7)."
                .to_owned(),
        ]);
    }
    if story.initial(direction) == Some(segment.seq) {
        return said(&["It repeats the SYN that was seen before.".to_owned()]);
    }
    said(&[format!(
        "A SYN with another sequence number than the connection's own. Whether it is an old duplicate, a forgery or \
         a peer that has lost its state only the {} can tell: it goes through, so that this one can answer with a \
         challenge ACK (RFC 5961 section 4), and it is remembered. A SYN-ACK that acknowledges exactly it would \
         begin a new connection, an exact RST would end this one.",
        story.receiver()
    )])
}

/// Everything with ACK: data, acknowledgements, FINs.
fn in_window(story: &Story, segment: &Segment, states: [State; 2]) -> Ruling {
    let (Some(bounds), Some(direction)) = (story.bounds(), story.direction()) else {
        return Ruling::default();
    };
    let [low, high] = bounds.seq;
    let mut ruling = Ruling::default();
    if rival::fits(&bounds, segment) {
        ruling.sentences.push(format!(
            "Its numbers fit (RFC 9293 section 3.10.7.4, RFC 5961 section 5.2): a segment of its length may begin \
             from {} to {}, and it acknowledges what the {} has sent.",
            story.number(low, direction),
            story.number(high, direction),
            story.receiver()
        ));
    } else if let Some(ruling) = rival::beside(story, segment).or_else(|| rival::contested(story)) {
        return ruling;
    } else {
        let policy = story.settings.tcp;
        let key = if policy.liberal { "tcp.liberal = true" } else { "tcp.check_window = false" };
        ruling.sentences.push(format!("Its numbers do not fit the windows, but {key} lets it through."));
        ruling.settings.push(format!("{key}: without that it is invalid."));
    }
    if is_over(story, states) && !states.contains(&State::TimeWait) {
        ruling.sentences.push(format!("{} the connection: it changes nothing any more.", what_ended(story)));
        return ruling;
    }
    ruling.sentences.extend(what_it_does(story, segment, &bounds, states));
    ruling.drawing = packet_beside(&bounds, segment);
    ruling
}

/// What the segment is for.
fn what_it_does(
    story: &Story,
    segment: &Segment,
    bounds: &tcp::Bounds,
    states: [State; 2],
) -> Option<String> {
    let new = segment.end().offset_from(bounds.end) as i32;
    let fin = if segment.flags.has(Flags::FIN) { " and a FIN" } else { "" };
    Some(if segment.length > 0 && new <= 0 {
        format!("It repeats what the {} had sent before{fin}.", story.sender())
    } else if segment.length > 0 && segment.seq.is_after(bounds.end) {
        let gap = segment.seq.offset_from(bounds.end);
        format!("It leaves a hole: {} before it were not seen yet.", bytes(gap))
    } else if segment.flags.has(Flags::FIN) {
        format!("It bears a FIN: the {} has nothing more to send.", story.sender())
    } else if segment.payload > 0 {
        format!("It brings {} of new data.", bytes(segment.payload))
    } else if segment.seq == bounds.end.minus(1) {
        "It bears the number before the next one: a keep-alive (RFC 9293 section 3.8.4).".to_owned()
    } else if story.states_after() != Some(states) {
        "It is a bare acknowledgement, of a SYN or a FIN that waited for it.".to_owned()
    } else {
        "It is a bare acknowledgement.".to_owned()
    })
}

/// The segment's first number on the line of those that it may begin with.
pub(super) fn packet_beside(bounds: &tcp::Bounds, segment: &Segment) -> Vec<String> {
    let [low, high] = bounds.seq;
    let mut points = vec![
        Point::new("low", low, Mark::Low),
        Point::new("next", bounds.end, Mark::Known),
        Point::new("high", high, Mark::High),
    ];
    points.push(Point::new("packet", segment.seq, Mark::Packet));
    draw("seq", &points)
}
