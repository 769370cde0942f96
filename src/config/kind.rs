//! The kinds of values that keys have: each knows how to read one, print it and say what it accepts.
//!
//! ```text
//!          read                       print
//!  TOML ─────────► field of a T ─────────────► TOML, the same again
//!         accepts: "a duration from 1ms to 20d", for messages, comments and the reference
//! ```
//!
//! `T` is what the key's section describes: the whole [`Config`], one [`Port`] or one [`Bridge`].

use std::path::PathBuf;

use toml::de::DeValue;

use super::error::{enumerate, nearest, quoted};
use super::model::{Bridge, Capacity, Config, Limit, Port, Queues};
use super::quantity::{
    DURATION_SHAPE, SIZE_SHAPE, parse_duration, parse_size, print_duration, print_integer, print_size,
};
use crate::time::Span;

/// One kind of value.
pub(super) trait Kind<T>: Sync {
    /// Reads `value` into the field of `target`; the error is a clause that says what would be right, and
    /// `target` is then as it was.
    fn read(&self, target: &mut T, value: &DeValue<'_>) -> Result<(), String>;
    /// The field as TOML; `None` where the key is absent.
    fn print(&self, target: &T) -> Option<String>;
    /// What is accepted, as a noun phrase.
    fn accepts(&self) -> String;
}

/// How to reach a field, both ways.
pub(super) struct Field<T: 'static, U: 'static> {
    pub(super) get: fn(&T) -> &U,
    pub(super) get_mut: fn(&mut T) -> &mut U,
}

/// The [`Field`] at a path in a type: `field!(Config, tcp.loose)`.
macro_rules! field {
    ($owner:ty, $($path:tt)+) => {
        $crate::config::kind::Field {
            get: |target: &$owner| &target.$($path)+,
            get_mut: |target: &mut $owner| &mut target.$($path)+,
        }
    };
}
pub(super) use field;

/// `true` or `false`.
pub(super) struct Flag<T: 'static>(pub(super) Field<T, bool>);

impl<T> Kind<T> for Flag<T> {
    fn read(&self, target: &mut T, value: &DeValue<'_>) -> Result<(), String> {
        *(self.0.get_mut)(target) = value.as_bool().ok_or("must be true or false")?;
        Ok(())
    }

    fn print(&self, target: &T) -> Option<String> {
        Some((self.0.get)(target).to_string())
    }

    fn accepts(&self) -> String {
        "true or false".to_owned()
    }
}

/// An integer within bounds.
pub(super) struct Number<T: 'static, U: 'static> {
    pub(super) field: Field<T, U>,
    pub(super) least: U,
    pub(super) most: U,
}

impl<T, U: Copy + Into<u64> + TryFrom<u64> + Sync> Kind<T> for Number<T, U> {
    fn read(&self, target: &mut T, value: &DeValue<'_>) -> Result<(), String> {
        let number = integer(value)
            .filter(|number| (self.least.into()..=self.most.into()).contains(number))
            .and_then(|number| U::try_from(number).ok());
        *(self.field.get_mut)(target) = number.ok_or_else(|| format!("must be {}", self.accepts()))?;
        Ok(())
    }

    fn print(&self, target: &T) -> Option<String> {
        Some(print_integer((*(self.field.get)(target)).into()))
    }

    fn accepts(&self) -> String {
        range(self.least.into(), self.most.into())
    }
}

/// A non-negative integer, in any of TOML's bases.
fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn range(least: u64, most: u64) -> String {
    format!("an integer from {} to {}", print_integer(least), print_integer(most))
}

/// A duration within bounds.
pub(super) struct Duration<T: 'static> {
    pub(super) field: Field<T, Span>,
    pub(super) least: Span,
    pub(super) most: Span,
}

impl<T> Kind<T> for Duration<T> {
    fn read(&self, target: &mut T, value: &DeValue<'_>) -> Result<(), String> {
        let span = parse_duration(value.as_str().ok_or(DURATION_SHAPE)?)?;
        if !(self.least..=self.most).contains(&span) {
            return Err(format!("must be {}", self.accepts()));
        }
        *(self.field.get_mut)(target) = span;
        Ok(())
    }

    fn print(&self, target: &T) -> Option<String> {
        Some(format!("\"{}\"", print_duration(*(self.field.get)(target))))
    }

    fn accepts(&self) -> String {
        format!("a duration from {} to {}", print_duration(self.least), print_duration(self.most))
    }
}

/// An enum whose values have names in the configuration.
pub(super) trait Words: Copy + PartialEq + 'static {
    /// Each value with its name and what it means.
    const WORDS: &'static [(Self, &'static str, &'static str)];
}

/// One of a few words.
pub(super) struct Choice<T: 'static, E: 'static>(pub(super) Field<T, E>);

impl<T, E: Words> Kind<T> for Choice<T, E> {
    fn read(&self, target: &mut T, value: &DeValue<'_>) -> Result<(), String> {
        let given = value.as_str().unwrap_or_default();
        if let Some((choice, ..)) = E::WORDS.iter().find(|(_, word, _)| *word == given) {
            *(self.0.get_mut)(target) = *choice;
            return Ok(());
        }
        let words: Vec<String> = E::WORDS.iter().map(|(_, word, _)| format!("\"{word}\"")).collect();
        let hint = nearest(given, E::WORDS.iter().map(|(_, word, _)| *word))
            .map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"));
        Err(format!("must be {}{hint}", enumerate(&words, "or")))
    }

    fn print(&self, target: &T) -> Option<String> {
        let choice = (self.0.get)(target);
        E::WORDS.iter().find(|(value, ..)| value == choice).map(|(_, word, _)| format!("\"{word}\""))
    }

    fn accepts(&self) -> String {
        let words: Vec<String> =
            E::WORDS.iter().map(|(_, word, meaning)| format!("\"{word}\" ({meaning})")).collect();
        enumerate(&words, "or")
    }
}

/// `[table] max_connections`: one of the two ways to say how large the table is.
pub(super) struct Connections;

impl Connections {
    /// A slot of the index holds 32 bits, some of which the table keeps for itself.
    const MOST: u32 = 1 << 28;
}

impl Kind<Config> for Connections {
    fn read(&self, target: &mut Config, value: &DeValue<'_>) -> Result<(), String> {
        let number = integer(value)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (1..=Self::MOST).contains(number))
            .ok_or_else(|| format!("must be {}", self.accepts()))?;
        target.capacity = Capacity::Connections(number);
        Ok(())
    }

    fn print(&self, target: &Config) -> Option<String> {
        match target.capacity {
            Capacity::Connections(number) => Some(print_integer(number.into())),
            Capacity::Memory(_) => None,
        }
    }

    fn accepts(&self) -> String {
        range(1, Self::MOST.into())
    }
}

/// `[table] memory`: the other.
pub(super) struct Memory;

impl Memory {
    /// Below this, what every shard needs beside its connections would be most of it.
    const LEAST: u64 = 1 << 20;
    const MOST: u64 = 1 << 40;
}

impl Kind<Config> for Memory {
    fn read(&self, target: &mut Config, value: &DeValue<'_>) -> Result<(), String> {
        let bytes = parse_size(value.as_str().ok_or(SIZE_SHAPE)?)?;
        if !(Self::LEAST..=Self::MOST).contains(&bytes) {
            return Err(format!("must be {}", self.accepts()));
        }
        target.capacity = Capacity::Memory(bytes);
        Ok(())
    }

    fn print(&self, target: &Config) -> Option<String> {
        match target.capacity {
            Capacity::Connections(_) => None,
            Capacity::Memory(bytes) => Some(format!("\"{}\"", print_size(bytes))),
        }
    }

    fn accepts(&self) -> String {
        format!("a size from {} to {}", print_size(Self::LEAST), print_size(Self::MOST))
    }
}

/// `[workers] cpus`.
pub(super) struct Cpus;

impl Cpus {
    /// Linux builds for at most 8192 cores.
    const MOST: u64 = 8191;
}

impl Kind<Config> for Cpus {
    fn read(&self, target: &mut Config, value: &DeValue<'_>) -> Result<(), String> {
        let cpus = distinct_numbers(value, Self::MOST).map_err(|wrong| match wrong {
            WrongList::Shape => format!("must be {}", self.accepts()),
            WrongList::Empty => "must name a core; leave the key out for one worker on any core".to_owned(),
            WrongList::Twice(cpu) => format!("names core {cpu} twice; each core has one worker"),
        })?;
        target.workers.cpus = Some(cpus);
        Ok(())
    }

    fn print(&self, target: &Config) -> Option<String> {
        target.workers.cpus.as_deref().map(print_numbers)
    }

    fn accepts(&self) -> String {
        format!("a list of cores, each {}", range(0, Self::MOST))
    }
}

/// `[[port]] queues`.
pub(super) struct QueueList;

impl QueueList {
    const MOST: u64 = 65_535;
}

impl Kind<Port> for QueueList {
    fn read(&self, target: &mut Port, value: &DeValue<'_>) -> Result<(), String> {
        if value.as_str() == Some("all") {
            target.queues = Queues::All;
            return Ok(());
        }
        let queues = distinct_numbers(value, Self::MOST).map_err(|wrong| match wrong {
            WrongList::Shape => format!("must be {}", self.accepts()),
            WrongList::Empty => "must name a queue; write \"all\" for every one".to_owned(),
            WrongList::Twice(queue) => format!("names queue {queue} twice"),
        })?;
        target.queues = Queues::Some(queues);
        Ok(())
    }

    fn print(&self, target: &Port) -> Option<String> {
        Some(match &target.queues {
            Queues::All => "\"all\"".to_owned(),
            Queues::Some(queues) => print_numbers(queues),
        })
    }

    fn accepts(&self) -> String {
        format!("\"all\" or a list of queues, each {}", range(0, Self::MOST))
    }
}

/// What is wrong with a list of numbers.
enum WrongList {
    Shape,
    Empty,
    Twice(u32),
}

/// A list of numbers up to `most`, none of them twice.
fn distinct_numbers(value: &DeValue<'_>, most: u64) -> Result<Vec<u32>, WrongList> {
    let mut numbers = Vec::new();
    for item in value.as_array().ok_or(WrongList::Shape)?.iter() {
        let number = integer(item.get_ref())
            .filter(|number| *number <= most)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or(WrongList::Shape)?;
        if numbers.contains(&number) {
            return Err(WrongList::Twice(number));
        }
        numbers.push(number);
    }
    if numbers.is_empty() { Err(WrongList::Empty) } else { Ok(numbers) }
}

fn print_numbers(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    format!("[{}]", numbers.join(", "))
}

/// A string within bounds of its length in bytes, without characters that its use forbids.
pub(super) struct Label<T: 'static> {
    pub(super) field: Field<T, String>,
    pub(super) most: usize,
    pub(super) what: &'static str,
}

impl<T> Kind<T> for Label<T> {
    fn read(&self, target: &mut T, value: &DeValue<'_>) -> Result<(), String> {
        let is_right = |text: &&str| {
            (1..=self.most).contains(&text.len())
                && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
        };
        let text = value.as_str().filter(is_right).ok_or_else(|| format!("must be {}", self.accepts()))?;
        *(self.field.get_mut)(target) = text.to_owned();
        Ok(())
    }

    fn print(&self, target: &T) -> Option<String> {
        Some(print_string((self.field.get)(target)))
    }

    fn accepts(&self) -> String {
        format!("{} of 1 to {} bytes, without spaces and slashes", self.what, self.most)
    }
}

/// `[control] socket`.
pub(super) struct Socket;

impl Socket {
    /// What Linux has room for in a socket's address (unix(7)), less the zero behind it.
    const MOST: usize = 107;
}

impl Kind<Config> for Socket {
    fn read(&self, target: &mut Config, value: &DeValue<'_>) -> Result<(), String> {
        let is_right = |path: &&str| (1..=Self::MOST).contains(&path.len()) && !path.contains('\0');
        let path = value.as_str().filter(is_right).ok_or_else(|| format!("must be {}", self.accepts()))?;
        target.control_socket = PathBuf::from(path);
        Ok(())
    }

    fn print(&self, target: &Config) -> Option<String> {
        Some(print_string(&target.control_socket.to_string_lossy()))
    }

    fn accepts(&self) -> String {
        format!("a path of 1 to {} bytes", Self::MOST)
    }
}

/// `[metrics] listen`.
pub(super) struct Listen;

impl Kind<Config> for Listen {
    fn read(&self, target: &mut Config, value: &DeValue<'_>) -> Result<(), String> {
        let address = value.as_str().and_then(|text| text.parse().ok());
        target.metrics = Some(address.ok_or_else(|| format!("must be {}", self.accepts()))?);
        Ok(())
    }

    fn print(&self, target: &Config) -> Option<String> {
        target.metrics.map(|address| format!("\"{address}\""))
    }

    fn accepts(&self) -> String {
        "an address and a port, such as \"127.0.0.1:9464\" or \"[::1]:9464\"".to_owned()
    }
}

/// A number of connections that is a pile-up: a share of those that live, or a count.
pub(super) struct PileUp(pub(super) Field<Config, Limit>);

impl Kind<Config> for PileUp {
    fn read(&self, target: &mut Config, value: &DeValue<'_>) -> Result<(), String> {
        let percent = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|digits| {
            // parse() would take a sign as well.
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|percent| is_number && (1..=100).contains(percent))
        });
        let count = integer(value).and_then(|number| u32::try_from(number).ok());
        let limit = percent.map(Limit::Percent).or(count.map(Limit::Count));
        *(self.0.get_mut)(target) = limit.ok_or_else(|| format!("must be {}", self.accepts()))?;
        Ok(())
    }

    fn print(&self, target: &Config) -> Option<String> {
        Some(match *(self.0.get)(target) {
            Limit::Percent(percent) => format!("\"{percent}%\""),
            Limit::Count(count) => print_integer(count.into()),
        })
    }

    fn accepts(&self) -> String {
        format!(
            "a share of the live TCP connections from \"1%\" to \"100%\" (from {} connections on), a number of \
             connections, or 0 for never",
            Limit::FEW
        )
    }
}

/// `[[bridge]] ports`: names only; whether there are such ports is checked once all have been read.
pub(super) struct PortPair;

impl Kind<Bridge> for PortPair {
    fn read(&self, target: &mut Bridge, value: &DeValue<'_>) -> Result<(), String> {
        let names = strings(value).ok_or_else(|| format!("must be {}", self.accepts()))?;
        let count = names.len();
        let pair: [String; 2] =
            names.try_into().map_err(|_| format!("must name two ports, and names {count}"))?;
        if pair[0] == pair[1] {
            return Err("joins a port with itself; a bridge joins two different ones".to_owned());
        }
        target.ports = pair;
        Ok(())
    }

    fn print(&self, target: &Bridge) -> Option<String> {
        Some(print_strings(&target.ports))
    }

    fn accepts(&self) -> String {
        "a list of the names of two ports".to_owned()
    }
}

/// `[[bridge]] new_from`.
pub(super) struct NewFrom;

impl Kind<Bridge> for NewFrom {
    fn read(&self, target: &mut Bridge, value: &DeValue<'_>) -> Result<(), String> {
        let names = strings(value).ok_or_else(|| format!("must be {}", self.accepts()))?;
        if names.is_empty() {
            return Err("must name a port; leave the key out for both".to_owned());
        }
        if let Some((_, twice)) =
            names.iter().enumerate().find(|(index, name)| names[..*index].contains(name))
        {
            return Err(format!("names \"{}\" twice", quoted(twice)));
        }
        target.new_from = names;
        Ok(())
    }

    fn print(&self, target: &Bridge) -> Option<String> {
        (!target.new_from.is_empty()).then(|| print_strings(&target.new_from))
    }

    fn accepts(&self) -> String {
        "a list of one or both of the names in `ports`".to_owned()
    }
}

/// A list of strings.
fn strings(value: &DeValue<'_>) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
}

fn print_strings(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| print_string(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// `text` as a basic string of TOML.
pub(super) fn print_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
