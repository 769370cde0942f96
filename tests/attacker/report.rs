//! What is allowed, state by state and segment by segment; what was measured; and the page that says so.
//!
//! ```text
//!  for each stage, kind and side:  Map::draw ─► Measure ──┬─► ≤ allowed(…), else the test fails
//!                                                         └─► docs/proof.md, "The attacker" (compared, or blessed)
//! ```
//!
//! Regenerate the page: `LASTACK_BLESS=1 cargo test --test attacker`.

use std::fmt::Write as _;
use std::path::Path;

use lastack::tcp::{self, State};
use lastack::wire::Direction;

use crate::connections::{Effect, STAGES, Stage, Version, WINDOW};
use crate::segments::{ALL_PAIRS, Kind, Measure, PAYLOAD, in_flight, measure, sample_size};

/// Of how many pairs of numbers a segment may have which effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Allowed {
    /// End the connection.
    ends: u128,
    /// Bring the displaced one back, or end it.
    returns: u128,
    /// Change a state, bring the displaced one back, or end it.
    steps: u128,
    /// Change a window, the timer, a state, or end it.
    moves: u128,
    /// Any of these, or be the remembered SYN.
    remembers: u128,
}

/// One value of one number, any of the other.
const ONE: u128 = 1 << 32;
/// What is under way in the scripts at most, in bytes.
const UNDER_WAY: u128 = 3_000;
/// Sequence numbers that fit: a window of what was received and may be repeated, a window that is open, one for
/// probes, and a segment's length, since one whose first or last byte fits does (RFC 9293 section 3.10.7.4).
const SEQS: u128 = 2 * WINDOW as u128 + 2 + PAYLOAD as u128;
/// Acknowledgements that fit: a window back (RFC 5961 section 5.2) from what is surely acknowledged, and that lies a
/// window back from what was sent.
const ACKS: u128 = 2 * WINDOW as u128 + 1;
/// Sequence numbers of a FIN that may be the first: behind what was let through without a gap.
const FIN_SEQS: u128 = WINDOW as u128 + UNDER_WAY;

impl Allowed {
    const NOTHING: Allowed = Allowed { ends: 0, returns: 0, steps: 0, moves: 0, remembers: 0 };

    const fn ends(pairs: u128) -> Allowed {
        Allowed { ends: pairs, returns: pairs, steps: pairs, moves: pairs, remembers: pairs }
    }

    const fn steps(pairs: u128) -> Allowed {
        Allowed { ends: 0, returns: 0, ..Allowed::ends(pairs) }
    }

    const fn moves(pairs: u128) -> Allowed {
        Allowed { steps: 0, ..Allowed::steps(pairs) }
    }

    /// Whether `measure` stays below.
    fn covers(&self, measure: &Measure) -> bool {
        measure.at_least(Effect::Ends) <= self.ends
            && measure.at_least(Effect::Returns) <= self.returns
            && measure.at_least(Effect::Steps) <= self.steps
            && measure.at_least(Effect::Prolongs) <= self.moves
            && measure.at_least(Effect::Remembers) <= self.remembers
    }
}

/// What RFC 5961 and RFC 9293 let a blind segment do, as a tracker can know it.
fn allowed(stage: &Stage, kind: Kind, from: Direction) -> Allowed {
    match kind {
        Kind::Rst | Kind::RstAck => allowed_rst(stage, kind, from),
        Kind::Syn => allowed_syn(stage, from),
        Kind::SynAck => allowed_syn_ack(stage, from),
        Kind::FinAck | Kind::Ack | Kind::Data | Kind::Urgent => allowed_ack(stage, kind, from),
        // A FIN without ACK is no segment; an ICMP error is a hint, and soft at that (RFC 5927).
        Kind::Fin | Kind::Unreachable | Kind::TooBig | Kind::TimeExceeded => Allowed::NOTHING,
    }
}

/// RFC 5961 section 3.2: one number counts. In the middle it is at most two: what the receiver has acknowledged, and
/// what has been let through to it.
fn allowed_rst(stage: &Stage, kind: Kind, from: Direction) -> Allowed {
    let over = stage.states.iter().all(|state| matches!(state, State::TimeWait | State::Closed));
    if over {
        // RFC 1337.
        return Allowed::NOTHING;
    }
    if stage.state(from.opposite()) == State::SynSent {
        // RFC 9293 section 3.10.7.3: it must acknowledge the SYN, or the other one that is remembered.
        let syns = 1 + u128::from(stage.remembers_syn_of(from.opposite()));
        return if kind == Kind::RstAck { Allowed::ends(syns * ONE) } else { Allowed::NOTHING };
    }
    // Of two connections, the made-up one and the one that it has displaced, each has its numbers.
    let ends = if stage.is_made_up() || stage.was_answered_twice() { 4 * ONE } else { 2 * ONE };
    // What is left of it beside TIME_WAIT may be aborted.
    if stage.has(State::TimeWait) { Allowed::steps(ends) } else { Allowed::ends(ends) }
}

/// RFC 5961 section 4.2: a challenge ACK is the answer, and that is the endpoint's.
fn allowed_syn(stage: &Stage, from: Direction) -> Allowed {
    if stage.states == [State::Closed; 2] {
        // Nothing is left that could be harmed: any SYN begins anew.
        Allowed::ends(ALL_PAIRS)
    } else if stage.states.iter().all(|state| matches!(state, State::TimeWait | State::Closed)) {
        // RFC 1122 section 4.2.2.13: any number above the last one.
        Allowed::ends(ALL_PAIRS / 2)
    } else if stage.state(from) == State::Listen {
        // RFC 9293 section 3.5: a simultaneous open looks just like this.
        Allowed::steps(ALL_PAIRS)
    } else {
        // Its own SYN again, number for number, is a sign of life.
        Allowed { remembers: ALL_PAIRS, ..Allowed::moves(ONE) }
    }
}

/// It must acknowledge exactly a SYN, the first one or the remembered one.
fn allowed_syn_ack(stage: &Stage, from: Direction) -> Allowed {
    if stage.is_picked_up() {
        // Whether it is the handshake's, once more, cannot be known: a sign of life, if both numbers fit.
        return Allowed::moves(pairs_in_mid_stream(stage) / 2);
    }
    let other = from.opposite();
    let remembered = if stage.remembers_syn_of(other) { ONE } else { 0 };
    let first = if stage.state(from) == State::Listen { ONE } else { 0 };
    let opening = u128::from(stage.has(State::SynReceived)) + u128::from(stage.was_answered_twice());
    // Repeated, both numbers right: a sign of life.
    let repeated = u128::from(WINDOW);
    // A second answer to the SYN, which tells nothing before its own is acknowledged (RFC 9293 section 3.10.7.3).
    let second = if stage.state(from) == State::SynReceived { ONE } else { 0 };
    let moves = remembered + first + opening + repeated;
    Allowed {
        ends: remembered,
        returns: remembered,
        steps: remembered + first + opening,
        moves,
        remembers: moves + second,
    }
}

/// RFC 9293 section 3.10.7.4 for the sequence number, RFC 5961 section 5.2 for the acknowledgement.
fn allowed_ack(stage: &Stage, kind: Kind, from: Direction) -> Allowed {
    if stage.state(from) == State::Listen {
        // An older incarnation that is still alive challenges the SYN (RFC 9293 section 3.5.1), whatever it sends.
        return Allowed { remembers: ALL_PAIRS, ..Allowed::NOTHING };
    }
    if matches!(stage.state(from), State::SynSent) || stage.states == [State::Closed; 2] {
        return Allowed::NOTHING;
    }
    if stage.is_picked_up() {
        let edges = ALL_PAIRS >> 24;
        let [pairs, steps] = [pairs_in_mid_stream(stage), pairs_that_step_in_mid_stream(stage)]
            .map(|pairs| pairs + edges)
            .map(|pairs| if kind == Kind::FinAck { pairs } else { pairs + pairs / 2 });
        return Allowed { steps, ..Allowed::steps(pairs) };
    }
    let opening = stage.has(State::SynReceived);
    let both = SEQS * ACKS;
    let first_fin = kind == Kind::FinAck && !stage.has_sent_fin(from);
    let fins = if first_fin { FIN_SEQS * ACKS } else { 0 };
    let steps = if opening { both } else { fins + acks_that_step(stage, from) };
    if stage.is_made_up() {
        // What would have had an effect on the displaced one brings it back.
        // Where a third may be alive whose numbers nobody knows, everything passes, and is remembered as a sign of that.
        let remembers = if stage.is_contested() { ALL_PAIRS } else { 2 * both };
        return Allowed { ends: 0, returns: both, remembers, ..Allowed::ends(2 * both) };
    }
    if stage.was_answered_twice() {
        return Allowed::steps(2 * both);
    }
    Allowed { steps, ..Allowed::steps(both) }
}

/// Nobody has seen how windows are scaled: up to 2^14 times what is said, each way. Before both sides were seen nobody
/// knows how far either has sent: up to 2^30 (RFC 7323 section 2.3), each way, for what passes and starts the timer again.
fn pairs_in_mid_stream(stage: &Stage) -> u128 {
    if stage.is_one_side_seen() { ALL_PAIRS / 4 } else { ALL_PAIRS / 128 }
}

/// The same of what moves more than the timer: before both sides were seen it is up to 2^23, each way.
fn pairs_that_step_in_mid_stream(stage: &Stage) -> u128 {
    if stage.is_one_side_seen() { ALL_PAIRS >> 15 } else { pairs_in_mid_stream(stage) }
}

/// An acknowledgement of exactly the other's FIN, or of its SYN.
fn acks_that_step(stage: &Stage, from: Direction) -> u128 {
    let other = from.opposite();
    if stage.has_sent_fin(other) || stage.has(State::SynReceived) { SEQS * 2 } else { 0 }
}

/// One row of the table: a stage, a side, and what each kind of segment was measured to do.
struct Row {
    stage: &'static Stage,
    from: Direction,
    measures: Vec<Measure>,
}

/// Every stage, every side, every kind: measured, and held against what is allowed.
fn rows(version: Version) -> Vec<Row> {
    let mut rows = Vec::new();
    for stage in &STAGES {
        for from in Direction::BOTH {
            let measures = Kind::ALL.map(|kind| {
                let measure = measure(stage, version, tcp::Policy::DEFAULT, kind, from);
                let allowed = allowed(stage, kind, from);
                assert!(
                    allowed.covers(&measure),
                    "{}, {} from {from:?}: {measure:?} exceeds {allowed:?}",
                    stage.name,
                    kind.name()
                );
                measure
            });
            rows.push(Row { stage, from, measures: measures.to_vec() });
        }
    }
    rows
}

/// A share of all pairs as a power of two.
fn power(pairs: u128) -> String {
    if pairs == ALL_PAIRS {
        return "1".to_owned();
    }
    let exponent = (pairs as f64).log2() - 64.0;
    // Shares that differ from 1 by less than what is shown.
    if exponent > -0.05 { "1".to_owned() } else { format!("2^{exponent:.1}").replace(".0", "") }
}

/// What one kind of segment does: the share that changes anything, and of that what is worse.
fn cell(measures: &[&Measure]) -> String {
    let worst = |effect: Effect| measures.iter().map(|measure| measure.at_least(effect)).max().unwrap_or(0);
    let mut parts = Vec::new();
    let (ends, returns) = (worst(Effect::Ends), worst(Effect::Returns));
    let (steps, moves) = (worst(Effect::Steps), worst(Effect::Prolongs));
    let remembers = measures.iter().map(|measure| measure.of(Effect::Remembers)).max().unwrap_or(0);
    if ends > 0 {
        parts.push(format!("ends {}", power(ends)));
    }
    if returns > ends {
        parts.push(format!("returns {}", power(returns)));
    }
    if steps > returns {
        parts.push(format!("state {}", power(steps)));
    }
    if moves > steps {
        parts.push(format!("numbers {}", power(moves)));
    }
    if remembers > 0 {
        parts.push(format!("remembered {}", power(remembers)));
    }
    if parts.is_empty() { "·".to_owned() } else { parts.join(", ") }
}

/// The kinds of the table's columns, the worst of several in one.
const COLUMNS: [(&str, &[Kind]); 6] = [
    ("RST, RST+ACK", &[Kind::Rst, Kind::RstAck]),
    ("SYN", &[Kind::Syn]),
    ("SYN+ACK", &[Kind::SynAck]),
    ("FIN+ACK", &[Kind::FinAck]),
    ("ACK, data, URG", &[Kind::Ack, Kind::Data, Kind::Urgent]),
    ("FIN alone, ICMP errors", &[Kind::Fin, Kind::Unreachable, Kind::TooBig, Kind::TimeExceeded]),
];

fn table(rows: &[Row]) -> String {
    let titles: Vec<&str> = COLUMNS.iter().map(|(title, _)| *title).collect();
    let mut text =
        format!("| state | from | {} |\n|---|---{}|\n", titles.join(" | "), "|---".repeat(COLUMNS.len()));
    for row in rows {
        let from = match row.from {
            Direction::Original => "originator",
            Direction::Reply => "responder",
        };
        let cells: Vec<String> = COLUMNS
            .iter()
            .map(|(_, kinds)| {
                let measures: Vec<&Measure> =
                    kinds.iter().map(|&kind| &row.measures[kind as usize]).collect();
                cell(&measures)
            })
            .collect();
        writeln!(text, "| {} | {from} | {} |", row.stage.name, cells.join(" | ")).unwrap();
    }
    text
}

const HEADING: &str = "## The attacker\n";

fn section(rows: &[Row]) -> String {
    format!(
        "\
{HEADING}
<!-- Generated by tests/attacker. Regenerate: LASTACK_BLESS=1 cargo test --test attacker -->

The attacker is off the path: he knows both addresses and both ports of a connection and writes them into whatever
he sends, but he sees nothing of it and has to guess its numbers. The table says for how many of all 2^64 pairs of
sequence and acknowledgement number one blind segment has an effect. The effect is taken to be constant on rectangles of
the plane of both numbers. Their edges are found by bisection through the whole engine, along lines and between numbers
that mean something to the connection: whatever the tracker keeps, a window and half the space away from it. So the shares
are exact if every edge shows between two of those, which is not proved. What speaks for it: all corners and the middle of each
rectangle, and a sample of {pairs} pairs for each cell, uniform ones and ones close to the connection's numbers, must have
the effect that the rectangle foretells. An effect on a few numbers far from all that is kept would be overlooked.
Both endpoints offer windows of {WINDOW} bytes; data is under way in both directions.

- *ends*: the connection ends or is replaced; *returns*: the one that it has displaced comes back; *state*: at least one
  endpoint's state changes; *numbers*: a window, a stream or the timer does; *remembered*: the segment is kept so that
  its answer is known, and nothing else changes; `·`: no pair changes anything. Each share is of the worst kind in its
  column.
- \"Made up\": somebody has sent a SYN and its answer, or all of a handshake, in both endpoints' names, and taken the tuple
  of an open connection. What is measured is what a segment does that is blind to both. \"Made up twice\": there is no room
  for the first one of the two that are made up, so that whatever fits neither of the others passes, and that it came is
  *remembered*.
- RFC 5961 section 3.2 allows an RST one number of 2^32; in the middle there are at most two (what the receiver has
  acknowledged, and what has been let through to it).
- A segment with ACK needs a sequence number within the window (2^-16 here) and an acknowledgement between one window
  back and what was sent (2^-16). It is let through up to one window back as well, since data may be repeated: the
  share is twice the endpoint's.
- Whatever is refused changes nothing at all: no state, no number, no timer, no counter of the connection; and nothing
  that names one connection touches another. This is compared after every single segment of the measurement.
- A SYN, and an ACK from an endpoint of which nothing was seen yet, are *remembered* and let through, so that
  whoever they are for can answer them; a SYN-ACK that acknowledges exactly the SYN passes in any state, to be challenged,
  and changes nothing. What a second blind segment makes of that is told in tests/attacker/stories.rs.
- ICMP errors are let through if they quote a number that is in flight ({flight} bytes of 2^32 where both sides
  have data under way), and change nothing even then.

{table}
What is not as small as the rest, and why:

| what | why | what closes it |
|---|---|---|
| SYN against SYN_SENT/LISTEN from the responder | RFC 9293 section 3.5: it is a simultaneous open, and the originator itself takes it for one | `new_from` (the responder's side is not where its SYNs may come from) |
| SYN against TIME_WAIT | RFC 1122 section 4.2.2.13 and RFC 6191 let a new incarnation begin; half of all numbers lie above the last one | `tcp.time_wait_reuse = \"off\"` |
| SYN against CLOSED/CLOSED | the connection is over, its record stays for a moment | nothing to close |
| SYN+ACK against a remembered SYN | whoever sends both in both endpoints' names knows the number that it must acknowledge. The connection that was there is displaced, not lost: what its endpoints send next brings it back (the stages \"made up\"; where it does not, \"What does not hold\" says) | `new_from`: each direction of a connection is then bound to its port |
| everything against what was picked up in mid-stream | how windows are scaled was not seen, so that the widest is assumed; nor, before both sides were seen, how far either has sent, and what corrects that must pass: what lies more than 2^23 off starts `established` again, and moves neither a state nor a number | `tcp.loose = false` |
",
        pairs = 2 * (sample_size() / 2),
        flight = "200 and 500",
        table = table(rows),
    )
}

const INTRODUCTION: &str = "\
# The proof

What Lastack claims is that its table is right: for each connection it knows both endpoints' states, it never stands
in the way of a legitimate segment, and nobody off the path moves or ends a connection through it. This page collects
what the tests of the project have measured of that. Its sections are generated; the tests hold them.
";

/// The page with the section written anew; what stands before and behind it stays.
fn with_section(page: &str, section: &str) -> String {
    let page = if page.is_empty() { INTRODUCTION } else { page };
    let Some(begin) = page.find(HEADING) else {
        return format!("{}\n{section}", page.trim_end().to_owned() + "\n");
    };
    let behind = &page[begin + HEADING.len()..];
    let end = behind.find("\n## ").map_or(page.len(), |at| begin + HEADING.len() + at + 1);
    let rest = &page[end..];
    let gap = if rest.is_empty() { "" } else { "\n" };
    format!("{}{section}{gap}{rest}", &page[..begin])
}

#[test]
fn a_blind_segment_does_what_is_allowed_and_the_page_says_so() {
    let rows = rows(Version::V4);
    println!("{}", table(&rows));
    let section = section(&rows);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/proof.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let wanted = with_section(&written, &section);
    if std::env::var_os("LASTACK_BLESS").is_some() {
        return std::fs::write(&path, wanted).unwrap();
    }
    assert!(
        std::env::var_os("LASTACK_ATTACK_SAMPLE").is_some() || written == wanted,
        "docs/proof.md is out of date; regenerate it: LASTACK_BLESS=1 cargo test --test attacker"
    );
}

#[test]
fn ipv6_is_no_easier_to_attack() {
    for stage in STAGES.iter().step_by(4) {
        for kind in Kind::ALL {
            let both = [Version::V4, Version::V6]
                .map(|version| measure(stage, version, tcp::Policy::DEFAULT, kind, Direction::Reply));
            assert_eq!(both[0], both[1], "{}, {}", stage.name, kind.name());
        }
    }
}

#[test]
fn an_icmp_error_passes_only_if_it_quotes_what_is_in_flight() {
    for version in [Version::V4, Version::V6] {
        for kind in [Kind::Unreachable, Kind::TooBig, Kind::TimeExceeded] {
            let passing = |name: &str| {
                let stage = STAGES.iter().find(|stage| stage.name == name).unwrap();
                Direction::BOTH.map(|sender| in_flight(stage, version, kind, sender))
            };
            assert_eq!(passing("ESTABLISHED/ESTABLISHED"), [200, 500]);
            assert_eq!(passing("SYN_SENT/LISTEN"), [1, 0], "the SYN");
            assert_eq!(passing("FIN_WAIT_1/CLOSE_WAIT"), [201, 0], "data and the FIN");
            assert_eq!(passing("TIME_WAIT/CLOSED"), [0, 0]);
        }
    }
}

/// A knob that refuses more must not let through more, state by state.
#[test]
fn time_wait_reuse_decides_how_many_syns_replace_what_waits() {
    use tcp::TimeWaitReuse::*;
    let stage = STAGES.iter().find(|stage| stage.name == "TIME_WAIT/CLOSED").unwrap();
    let share = |reuse| {
        let policy = tcp::Policy { time_wait_reuse: reuse, ..tcp::Policy::DEFAULT };
        measure(stage, Version::V4, policy, Kind::Syn, Direction::Original).at_least(Effect::Remembers)
    };
    let above = ALL_PAIRS / 2;
    assert_eq!([Off, Rfc1122, Rfc6191, Always].map(share), [0, above, above, ALL_PAIRS]);
}
