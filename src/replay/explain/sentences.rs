//! The sections of a story, each a pure function of what is known.
//!
//! ```text
//!  Packet 4 of x.pcap, 1.5 s after the first: dropped, invalid, out_of_window.
//!  The packet ─ Its connection ─ Before it ─ The judgement ─ What changed ─ What decides it
//! ```

use super::past::{Mention, Past};
use super::refused;
use super::segment;
use super::story::{Kind, Story, bytes, end_of, endpoint, packets, place, span, telling_flags};
use super::{Section, Told};
use crate::json::protocol_name;
use crate::replay::detail::flag_names;
use crate::shard::{Action, Glimpse, Reason};
use crate::tcp::{self, TimeWaitReuse, Timer};
use crate::time::Time;
use crate::wire::{Direction, Flags};

/// What the rule says, drawn and in words.
#[derive(Debug, Default)]
pub(super) struct Ruling {
    pub(super) sentences: Vec<String>,
    pub(super) drawing: Vec<String>,
    /// Which keys of the configuration decide, and how.
    pub(super) settings: Vec<String>,
}

/// Tells a story; `name` is the capture's.
pub(super) fn tell(story: &Story, name: &str) -> Told {
    let ruling = match (story.verdict.reason, story.segment()) {
        (Some(reason), _) => refused::ruling(story, reason),
        (None, Some(segment)) => segment::ruling(story, segment),
        (None, None) => without_states(story),
    };
    let mut connection = Section::new("Its connection", connection(story));
    connection.rows = ladder(story);
    let mut judgement = Section::new("The judgement", ruling.sentences);
    judgement.drawing = ruling.drawing;
    Told {
        title: title(story, name),
        sections: vec![
            Section::new("The packet", packet(story)),
            connection,
            Section::new("Before it", before(story)),
            judgement,
            Section::new("What changed", changes(story)),
            Section::new("What decides it", ruling.settings),
        ],
    }
}

fn title(story: &Story, name: &str) -> String {
    let action = match story.verdict.action {
        Action::Accept => "accepted",
        Action::Drop | Action::Held => "dropped",
    };
    let reason = story.verdict.reason.map_or_else(String::new, |reason| format!(", {}", reason.name()));
    let class = story.verdict.class.name();
    let since = story.line.since_first as f64 / 1e9;
    format!(
        "Packet {} of {name}, {since:.6} s after the first: {action}, {class}{reason}.",
        story.line.number
    )
}

/// What the packet is.
fn packet(story: &Story) -> Vec<String> {
    let line = &story.line;
    let (Some(source), Some(destination)) = (line.source, line.destination) else {
        return vec!["A frame without an IP header that could be read: ARP, LLDP and the like.".to_owned()];
    };
    let is_v6 = source.is_ipv6();
    let name = line.protocol.map_or_else(String::new, |number| protocol_name(number, is_v6).to_uppercase());
    let from = place(source, line.ports.map(|(port, _)| port));
    let to = place(destination, line.ports.map(|(_, port)| port));
    let length = bytes(line.length.unwrap_or(0));
    let what = match &story.kind {
        Kind::Tcp(_) => "A TCP segment".to_owned(),
        Kind::Udp => "A UDP datagram".to_owned(),
        Kind::Query(query) if query.is_reply => format!("A reply to an ICMP query (identifier {})", query.id),
        Kind::Query(query) => format!("An ICMP query (type {}, identifier {})", query.kind, query.id),
        Kind::Error => "An ICMP error".to_owned(),
        Kind::Fragment => format!("A fragment of a datagram of {name}"),
        Kind::Malformed => format!("A malformed packet of {name}"),
        Kind::Untracked => format!("A packet of {name} that is control between neighbours"),
        Kind::Other => format!("A packet of IP protocol {name}"),
    };
    let mut sentences = vec![format!("{what} from {from} to {to}, {length} from the IP header on.")];
    if let Some(segment) = story.segment() {
        let direction = story.direction();
        let number = |seq, sender: Option<Direction>| {
            sender.map_or_else(|| format!("{seq:?}").replace('#', ""), |sender| story.number(seq, sender))
        };
        let mut text = format!("It bears {}", flag_names(segment.flags));
        text += &format!(", sequence number {}", number(segment.seq, direction));
        if segment.flags.has(Flags::ACK) {
            text += &format!(", acknowledgement {}", number(segment.ack, direction.map(Direction::opposite)));
        }
        text += &format!(", window field {}", segment.window);
        if let Some(scale) = segment.scale {
            text += &format!(" (it offers to scale by 2^{scale})");
        }
        if let Some(timestamp) = segment.timestamp {
            text += &format!(", timestamp {timestamp}");
        }
        let payload =
            if segment.payload == 0 { "no".to_owned() } else { format!("{} of", bytes(segment.payload)) };
        sentences.push(format!("{text}, and {payload} payload."));
    }
    if let Some(fragment) = line.fragment {
        let end = fragment.offset + fragment.length;
        let last = if fragment.more { "more are to follow" } else { "it is the last" };
        sentences.push(format!(
            "It holds bytes {} to {end} of the payload of datagram {}; {last}.",
            fragment.offset, fragment.id
        ));
    }
    sentences
}

/// A packet by what it is called.
fn mention(by: &Mention) -> String {
    match by.segment {
        Some((flags, _)) => format!("packet {} ({})", by.number, telling_flags(flags)),
        None => format!("packet {}", by.number),
    }
}

fn ago(story: &Story, at: Time) -> String {
    let span_between = story.line.at.nanoseconds().saturating_sub(at.nanoseconds());
    format!("{:.6} s before", span_between as f64 / 1e9)
}

/// Which connection it belongs to, and how that began.
fn connection(story: &Story) -> Vec<String> {
    let mut sentences = Vec::new();
    for (record, _) in &story.ended {
        let states = record.states.map_or_else(String::new, |[a, b]| format!(", in {a}/{b},"));
        let end = record.end.map_or("over", |end| end.name());
        sentences.push(format!("Connection {}{states} ended when this packet came: {end}.", record.id));
    }
    let Some(subject) = story.verdict.subject else {
        sentences.push("It belongs to no connection in the table.".to_owned());
        return sentences;
    };
    let Some(past) = &story.past else {
        sentences.push(format!("It belongs to connection {}.", subject.id));
        return sentences;
    };
    let (originator, responder) =
        (end_of(&past.record, past.record.originator), end_of(&past.record, past.record.responder));
    let ends = format!("{originator} (the originator) to {responder} (the responder)");
    if past.began.number == story.line.number {
        let begins = if is_brought_back(past) { "brings back what is now" } else { "begins" };
        sentences.push(format!("It {begins} connection {}, from {ends}.", subject.id));
        return sentences;
    }
    let bears = match story.verdict.class {
        crate::shard::Class::Invalid => "It bears the tuple of",
        crate::shard::Class::Related => "It is about",
        crate::shard::Class::New | crate::shard::Class::Established | crate::shard::Class::Untracked => {
            "It belongs to"
        }
    };
    sentences.push(format!("{bears} connection {}, from {ends}.", subject.id));
    sentences.push(format!(
        "That began with {}{}, {}.",
        mention(&past.began),
        how_it_began(past),
        ago(story, past.began.at)
    ));
    sentences.push(match story.kind {
        // Whoever has sent it: often a router on the way.
        Kind::Error => format!("It goes to the {}.", story.receiver()),
        Kind::Untracked
        | Kind::Malformed
        | Kind::Tcp(_)
        | Kind::Udp
        | Kind::Query(_)
        | Kind::Fragment
        | Kind::Other => format!("This packet was sent by the {}.", story.sender()),
    });
    if let Some(before) = story.before {
        let [original, reply] = before.record.packets;
        sentences.push(format!(
            "Before it, {} of the originator and {reply} of the responder counted in the connection.",
            packets(original)
        ));
    }
    sentences
}

/// Whether a connection is one that had been displaced, and not what it began with.
const fn is_brought_back(past: &Past) -> bool {
    past.has_displaced && !matches!(past.began.segment, Some((flags, _)) if flags.has(Flags::SYN))
}

const fn how_it_began(past: &Past) -> &'static str {
    match past.began.segment {
        Some((flags, _)) if flags.has(Flags::SYN) => "",
        Some(_) if is_brought_back(past) => ", which brought it back: another one had displaced it",
        Some(_) => ", picked up in mid-stream: no handshake was seen",
        None => "",
    }
}

/// The last changes of the connection's states, a row each.
fn ladder(story: &Story) -> Vec<String> {
    let Some(past) = &story.past else { return Vec::new() };
    let Some([a, b]) = past.first_states else { return Vec::new() };
    if past.began.number == story.line.number {
        return Vec::new();
    }
    let mut rows = vec![format!("{:<22} it begins: {a}/{b}", mention(&past.began))];
    if past.forgotten > 0 {
        rows.push(format!("{:<22} {} changes in between", "then", past.forgotten));
    }
    for step in past.steps.iter().filter(|step| step.by.number != story.line.number) {
        let [a, b] = step.states;
        let row = format!("{:<22} from the {}: {a}/{b}", mention(&step.by), endpoint(step.direction));
        rows.push(row);
    }
    rows
}

/// What both endpoints were in, and what they could send.
fn before(story: &Story) -> Vec<String> {
    let Some(Glimpse { tracked: Some((connection, irregular)), .. }) = story.before else {
        return Vec::new();
    };
    let mut sentences = Vec::new();
    for sender in Direction::BOTH {
        let state = connection.state(sender);
        let bounds = tcp::bounds(&connection, &irregular, sender, 0);
        let name = endpoint(sender);
        if !connection.has_numbers(sender) {
            sentences
                .push(format!("The {name} was in {state}, as far as can be known: it had sent nothing."));
            continue;
        }
        let end = story.number(bounds.end, sender);
        let acked = match bounds.acked {
            Some(acked) if acked == bounds.end => "all of it acknowledged".to_owned(),
            Some(acked) => format!("acknowledged up to {}", story.number(acked, sender)),
            None => "none of it acknowledged".to_owned(),
        };
        let room = bounds.limit.offset_from(bounds.end);
        let room = if (room as i32) < 0 { 0 } else { room };
        let hole = if bounds.contiguous == bounds.end {
            String::new()
        } else {
            format!(", with a hole at {}", story.number(bounds.contiguous, sender))
        };
        sentences.push(format!(
            "The {name} was in {state}: it had sent up to {end}{hole}, {acked}, and had room for {}.",
            bytes_more(room)
        ));
    }
    sentences.push(timer(story, "ran until", story.before.as_ref()));
    sentences
}

fn bytes_more(count: u32) -> String {
    match count {
        0 => "nothing more".to_owned(),
        // What a pickup assumes, because the windows were not seen.
        1_000_000_000.. => "any amount (its window was never seen)".to_owned(),
        count => format!("{} more", bytes(count)),
    }
}

/// Which timer governs, and until when.
fn timer(story: &Story, ran: &str, glimpse: Option<&Glimpse>) -> String {
    let Some(glimpse) = glimpse else { return String::new() };
    let left = glimpse.record.deadline.since(story.now);
    // A fragment is judged when its datagram is: that much later than it came.
    let waited = story.now.since(story.line.at.tick());
    let at = story.line.at.seconds() + f64::from(waited.milliseconds() + left.milliseconds()) / 1e3;
    let name = match glimpse.tracked {
        Some((connection, _)) => timer_name(Timer::of(&connection)),
        None => flow_timer(story, glimpse),
    };
    format!("The timer {name} {ran} {at:.3} s, {} from this packet on.", span(left))
}

/// The configuration's key for a timer.
const fn timer_name(timer: Timer) -> &'static str {
    match timer {
        Timer::SynSent => "tcp.syn_sent",
        Timer::SynReceived => "tcp.syn_received",
        Timer::TimeWait => "of TIME_WAIT (twice tcp.msl)",
        Timer::Closing => "tcp.closing",
        Timer::FinTimeout => "tcp.fin_timeout",
        Timer::HalfClosed => "tcp.half_closed",
        Timer::FinWait1 => "tcp.fin_wait_1",
        Timer::Established => "tcp.established",
        Timer::Closed => "tcp.closed",
    }
}

fn flow_timer(story: &Story, glimpse: &Glimpse) -> &'static str {
    match (&story.kind, glimpse.record.replied) {
        (Kind::Udp, false) => "udp.unreplied",
        (Kind::Udp, true) => "udp.replied",
        (Kind::Query(_), _) => "icmp.timeout",
        (
            Kind::Untracked | Kind::Malformed | Kind::Tcp(_) | Kind::Error | Kind::Fragment | Kind::Other,
            _,
        ) => "of its protocol",
    }
}

/// What is different behind the packet.
fn changes(story: &Story) -> Vec<String> {
    match story.verdict.reason {
        Some(Reason::Tcp(tcp::Refusal::RstNotExact)) if story.verdict.action == Action::Accept => {
            return vec!["No state, no window and no timer: it only goes on to its receiver.".to_owned()];
        }
        Some(_) => {
            return vec!["Nothing but the counter of its reason: a refused packet moves no state, no window and no timer.".to_owned()];
        }
        None => {}
    }
    match story.verdict.class {
        crate::shard::Class::Related => {
            return vec!["Nothing: an error counts in no connection and moves no timer.".to_owned()];
        }
        crate::shard::Class::Untracked => return vec!["Nothing: it is not tracked.".to_owned()],
        crate::shard::Class::New | crate::shard::Class::Established | crate::shard::Class::Invalid => {}
    }
    let mut sentences = Vec::new();
    let is_same = story.before.zip(story.after).is_some_and(|(a, b)| a.record.id == b.record.id);
    let old = story.before.filter(|_| is_same).and_then(|before| before.record.states);
    let new = story.verdict.subject.and_then(|subject| subject.states);
    match (old, new) {
        (Some(old), Some(new)) if old == new => sentences.push("Neither state.".to_owned()),
        (Some(old), Some(new)) => {
            for sender in Direction::BOTH {
                let (from, to) = (old[sender.index()], new[sender.index()]);
                let name = endpoint(sender);
                sentences.push(if from == to {
                    format!("The {name} stays in {to}.")
                } else {
                    format!("The {name} goes from {from} to {to}.")
                });
            }
        }
        (None, Some([a, b])) => {
            sentences.push(format!("The originator is in {a} now, the responder in {b}."));
        }
        (_, None) => {}
    }
    sentences.extend(moved_windows(story));
    let Some(after) = &story.after else { return sentences };
    let is_restarted =
        story.before.is_none_or(|before| !is_same || before.record.deadline != after.record.deadline);
    sentences.push(timer(story, if is_restarted { "now runs until" } else { "runs on until" }, Some(after)));
    sentences
}

/// How far both endpoints have come, where that is further than before.
fn moved_windows(story: &Story) -> Vec<String> {
    let (Some(before), Some(after)) = (story.before, story.after) else { return Vec::new() };
    let (Some((old, a)), Some((new, b))) = (before.tracked, after.tracked) else { return Vec::new() };
    if before.record.id != after.record.id {
        return Vec::new();
    }
    let mut sentences = Vec::new();
    for sender in Direction::BOTH {
        let (old, new) = (tcp::bounds(&old, &a, sender, 0), tcp::bounds(&new, &b, sender, 0));
        let name = endpoint(sender);
        if old.end != new.end {
            sentences.push(format!("The {name} has sent up to {} now.", story.number(new.end, sender)));
        }
        if old.acked != new.acked
            && let Some(acked) = new.acked
        {
            let acked = story.number(acked, sender);
            sentences.push(format!("What the {name} sent is acknowledged up to {acked}."));
        }
        if old.limit != new.limit {
            let limit = story.number(new.limit, sender);
            sentences.push(format!("The {name} may send up to {limit}."));
        }
    }
    sentences
}

/// UDP, ICMP and everything else that has no states.
fn without_states(story: &Story) -> Ruling {
    let text = match (&story.kind, story.verdict.class) {
        (Kind::Untracked | Kind::Malformed, _) => {
            "What is not IP, and what neighbours say to each other, belongs to no connection: it is let through."
        }
        (Kind::Error, _) => {
            "It quotes a packet that the connection has sent and, for TCP, a sequence number that is in flight \
             (RFC 5927 section 4.1): it is related to that connection."
        }
        (Kind::Fragment, _) => {
            "It was held until its datagram was complete. That was judged once, as a whole, and all its pieces \
             share the verdict."
        }
        (_, crate::shard::Class::New) => {
            "No connection of this tuple was in the table, so it begins one: there is no handshake to wait for."
        }
        (_, _) => "It belongs to a connection in the table, and there are no states that could forbid it.",
    };
    Ruling { sentences: vec![text.to_owned()], ..Ruling::default() }
}

/// The value of `tcp.time_wait_reuse`.
pub(super) const fn reuse_name(reuse: TimeWaitReuse) -> &'static str {
    match reuse {
        TimeWaitReuse::Off => "off",
        TimeWaitReuse::Rfc1122 => "rfc1122",
        TimeWaitReuse::Rfc6191 => "rfc6191",
        TimeWaitReuse::Always => "always",
    }
}
