//! The right side of a row: what has to become of a packet, of the table, of a connection.
//!
//! ```text
//!   | accept established - ESTABLISHED/ESTABLISHED 1 original            verdict class reason states connection
//!   | drop invalid out_of_window ESTABLISHED/ESTABLISHED 1 reply detail seq=9 expected=1000..2000
//!   | 1 2                                   (table)       | empty
//!   | ESTABLISHED/ESTABLISHED, expires 7440, packets 2/1  (connection)   | ended closed
//! ```

use std::fmt::{self, Display, Formatter};

use super::words::{Piece, Problem};
use crate::shard::{Action, Class, End, Reason, Record, Subject, Verdict};
use crate::tcp::State;
use crate::time::Tick;
use crate::wire::Direction;

/// The most names that a message lists: the states.
const MOST_LISTED: usize = State::ALL.len();

/// What has to become of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    action: Action,
    class: Class,
    reason: Option<Reason>,
    subject: Option<Subject>,
    detail: Numbers,
}

/// The numbers behind a reason; those that were not written are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbers {
    /// The packet's sequence number.
    pub seq: Option<u32>,
    /// Its acknowledgement.
    pub ack: Option<u32>,
    /// The lowest and the highest value that would have been right.
    pub expected: Option<[u32; 2]>,
    /// The receiver's window in bytes.
    pub window: Option<u32>,
}

impl Expectation {
    /// What was expected and what came, the numbers behind its reason included, in one line; none where they agree.
    pub fn difference(&self, came: &Verdict, numbers: &Numbers) -> Option<String> {
        let agree = self.action == came.action
            && self.class == came.class
            && self.reason == came.reason
            && self.subject == came.subject
            && self.detail.agree(numbers);
        if agree {
            return None;
        }
        let verdict =
            Verdict { action: self.action, class: self.class, reason: self.reason, subject: self.subject };
        let came_numbers = if self.detail == Numbers::default() { self.detail } else { *numbers };
        Some(format!("expected `{}{}`, came `{}{came_numbers}`", Words(&verdict), self.detail, Words(came)))
    }
}

impl Numbers {
    /// Whether every number that is written here came.
    fn agree(&self, came: &Numbers) -> bool {
        self.seq.is_none_or(|seq| came.seq == Some(seq))
            && self.ack.is_none_or(|ack| came.ack == Some(ack))
            && self.expected.is_none_or(|expected| came.expected == Some(expected))
            && self.window.is_none_or(|window| came.window == Some(window))
    }
}

impl Display for Numbers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if *self == Numbers::default() {
            return Ok(());
        }
        f.write_str(" detail")?;
        let numbers = [("seq", self.seq), ("ack", self.ack), ("window", self.window)];
        for (name, number) in numbers {
            number.map_or(Ok(()), |number| write!(f, " {name}={number}"))?;
        }
        self.expected.map_or(Ok(()), |[low, high]| write!(f, " expected={low}..{high}"))
    }
}

/// A verdict in the words of a scenario.
struct Words<'a>(&'a Verdict);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Verdict { action, class, reason, subject } = self.0;
        write!(f, "{} {} {} ", action_name(*action), class.name(), reason.map_or("-", Reason::name))?;
        let Some(subject) = subject else { return f.write_str("- -") };
        fmt_states(f, subject.states)?;
        write!(f, " {} {}", subject.id, subject.direction.name())
    }
}

/// The verdict of JSON: a fragment that never became a datagram is dropped.
const fn action_name(action: Action) -> &'static str {
    match action {
        Action::Accept => "accept",
        Action::Drop | Action::Held => "drop",
    }
}

fn fmt_states(f: &mut Formatter<'_>, states: Option<[State; 2]>) -> fmt::Result {
    match states {
        Some([originator, responder]) => write!(f, "{originator}/{responder}"),
        None => f.write_str("-"),
    }
}

/// What has to be true of one connection; what was not written is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fate {
    /// How it ended; none while it lives.
    end: Option<End>,
    states: Option<[State; 2]>,
    /// Until it would expire, in milliseconds.
    expires: Option<u32>,
    packets: Option<[u64; 2]>,
    bytes: Option<[u64; 2]>,
}

impl Fate {
    /// What was expected of connection `id` and what is true at `now`, in one line; none where they agree.
    /// `came` is none where there never was such a connection.
    pub fn difference(&self, id: u64, came: Option<&Record>, now: Tick) -> Option<String> {
        let Some(record) = came else {
            return Some(format!("connection {id}: expected `{self}`, came none"));
        };
        // Only what was asked for is looked at.
        let came = Fate {
            end: record.end,
            states: record.states.filter(|_| self.states.is_some() || record.end.is_none()),
            expires: self
                .expires
                .filter(|_| record.end.is_none())
                .map(|_| record.deadline.since(now).milliseconds()),
            packets: self.packets.map(|_| record.packets),
            bytes: self.bytes.map(|_| record.bytes),
        };
        (came != *self).then(|| format!("connection {id}: expected `{self}`, came `{came}`"))
    }
}

impl Display for Fate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.states.is_some() || self.end.is_none() {
            fmt_states(f, self.states)?;
            self.end.map_or(Ok(()), |_| f.write_str(", "))?;
        }
        self.end.map_or(Ok(()), |end| write!(f, "ended {}", end.name()))?;
        let seconds = |span: u32| write!(f, ", expires {}", f64::from(span) / 1000.0);
        self.expires.map_or(Ok(()), seconds)?;
        for (name, pair) in [("packets", self.packets), ("bytes", self.bytes)] {
            pair.map_or(Ok(()), |[original, reply]| write!(f, ", {name} {original}/{reply}"))?;
        }
        Ok(())
    }
}

/// Reads what has to become of a packet.
pub(super) fn packet(mut rest: Piece<'_>) -> Result<Expectation, Problem> {
    let action = one_of(
        rest.expect_word("a verdict, accept or drop")?,
        [Action::Accept, Action::Drop].into_iter(),
        action_name,
        "a verdict",
    )?;
    let class = rest.expect_word("a class, such as established")?;
    let class = one_of(class, Class::ALL.into_iter(), Class::name, "a class")?;
    let reason = rest.expect_word("a reason, `-` for none")?;
    let reason = unless_none(reason, |word| one_of(word, Reason::all(), Reason::name, "a reason"))?;
    let states_word = rest.expect_word("both states, `-` for none")?;
    let states = unless_none(states_word, states)?;
    let connection = rest.expect_word("a connection's number, `-` for none")?;
    let subject = match unless_none(connection, |word| word.number("a connection's number"))? {
        Some(id) => {
            let direction = rest.expect_word("the direction, original or reply")?;
            let direction = one_of(direction, Direction::BOTH.into_iter(), Direction::name, "a direction")?;
            Some(Subject { id, direction, states })
        }
        None if states.is_some() => {
            return Err(states_word.wrong("`-`, as there are no states without a connection"));
        }
        None => None,
    };
    Ok(Expectation { action, class, reason, subject, detail: numbers(rest)? })
}

/// `detail seq=… expected=…`, or nothing.
fn numbers(mut rest: Piece<'_>) -> Result<Numbers, Problem> {
    let mut numbers = Numbers::default();
    let word = rest.take_word();
    if word.is_empty() {
        return Ok(numbers);
    }
    if word.text() != "detail" {
        return Err(word.wrong("the end of the line or `detail`"));
    }
    if rest.is_empty() {
        return Err(rest.wrong("a number, such as seq=1000"));
    }
    while !rest.is_empty() {
        let word = rest.take_word();
        let what = "seq=N, ack=N, window=N or expected=LOW..HIGH";
        let (name, Some(value)) = word.split("=") else { return Err(word.wrong(what)) };
        let number = || value.number("a number from 0 to 4294967295").map(Some);
        match name.text() {
            "seq" => numbers.seq = number()?,
            "ack" => numbers.ack = number()?,
            "window" => numbers.window = number()?,
            "expected" => {
                let (low, high) = value.pair("..", "two numbers, such as 1000..2000")?;
                numbers.expected = Some([low, high]);
            }
            _ => return Err(word.wrong(what)),
        }
    }
    Ok(numbers)
}

/// Reads the expectation of a `table` row, and the `|` before it.
pub(super) fn table(rest: Piece<'_>) -> Result<Vec<u64>, Problem> {
    let mut rest = behind_bar(rest, "table")?;
    if rest.text() == "empty" {
        return Ok(Vec::new());
    }
    let what = "the numbers of the connections that live, or `empty`";
    let mut live: Vec<u64> = vec![rest.expect_word(what)?.number(what)?];
    while !rest.is_empty() {
        live.push(rest.take_word().number(what)?);
    }
    live.sort_unstable();
    Ok(live)
}

/// Reads what stands behind `connection`.
pub(super) fn connection(mut rest: Piece<'_>) -> Result<(u64, Fate), Problem> {
    let number = rest.expect_word("a connection's number")?.number("a connection's number")?;
    let right = behind_bar(rest, "the connection's number")?;
    let mut fate = Fate::default();
    let mut says_states = false;
    for item in right.items() {
        let mut rest = item;
        let word = rest.take_word();
        match word.text() {
            "ended" => {
                let word = rest.expect_word("how it ended")?;
                fate.end = Some(one_of(word, End::ALL.into_iter(), End::name, "an end")?);
            }
            "expires" => {
                let what = "seconds with at most three decimals";
                let nanoseconds = rest.take_word().seconds(what)?;
                let milliseconds = u32::try_from(nanoseconds / 1_000_000).ok();
                let exact = milliseconds.filter(|_| nanoseconds.is_multiple_of(1_000_000));
                fate.expires = Some(exact.ok_or_else(|| item.wrong(what))?);
            }
            "packets" => fate.packets = Some(counts(rest.take_word())?),
            "bytes" => fate.bytes = Some(counts(rest.take_word())?),
            _ => {
                fate.states = unless_none(word, states)?;
                says_states = true;
            }
        }
        rest.must_be_empty("it")?;
    }
    if fate.end.is_some() && fate.expires.is_some() {
        return Err(right.problem("a connection that has ended does not expire".to_owned()));
    }
    if fate.end.is_none() && !says_states {
        return Err(
            right.problem("both states belong here (`-` for what is not TCP), or `ended …`".to_owned())
        );
    }
    Ok((number, fate))
}

fn counts(word: Piece<'_>) -> Result<[u64; 2], Problem> {
    let (original, reply) = word.pair("/", "two numbers, original and reply, such as 2/1")?;
    Ok([original, reply])
}

fn behind_bar<'a>(rest: Piece<'a>, before: &str) -> Result<Piece<'a>, Problem> {
    let (left, right) = rest.split("|");
    left.must_be_empty(before)?;
    right.ok_or_else(|| rest.problem("`|` and what is expected belong here".to_owned()))
}

/// Both states, such as `SYN_SENT/LISTEN`.
fn states(word: Piece<'_>) -> Result<[State; 2], Problem> {
    let (originator, Some(responder)) = word.split("/") else {
        return Err(word.wrong("both states, such as SYN_SENT/LISTEN, or `-`"));
    };
    let state = |word| one_of(word, State::ALL.into_iter(), State::name, "a state");
    Ok([state(originator)?, state(responder)?])
}

fn unless_none<'a, T>(
    word: Piece<'a>,
    read: impl FnOnce(Piece<'a>) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    if word.text() == "-" { Ok(None) } else { read(word).map(Some) }
}

/// The one of `all` that has this name.
fn one_of<T: Copy>(
    word: Piece<'_>,
    all: impl Iterator<Item = T>,
    name: fn(T) -> &'static str,
    what: &str,
) -> Result<T, Problem> {
    let all: Vec<T> = all.collect();
    all.iter().copied().find(|&one| name(one) == word.text()).ok_or_else(|| {
        let names: Vec<&str> = all.into_iter().map(name).collect();
        let hint = if names.len() <= MOST_LISTED {
            format!("those are {}", names.join(", "))
        } else {
            let distance = |name: &&&str| strsim::damerau_levenshtein(name, word.text());
            let nearest = names.iter().min_by_key(distance).copied().unwrap_or_default();
            format!("the most similar of the {} is {nearest}", names.len())
        };
        word.wrong(&format!("{what}; {hint}"))
    })
}
