//! From texts to a [`Config`]: the file first, then each `--set`, and every error on the way.
//!
//! ```text
//!  file ──────► TOML, with places ─┐            ┌─► Config ──► checks across sections ──► Config
//!  --set … ───► KEY and VALUE ─────┴─ schema ───┤                        │
//!                                               └─► problems ◄───────────┘  sorted by place, reported
//! ```
//!
//! Reading goes on behind an error, so that one run shows them all; only a syntax error ends it, because
//! what follows a wrong bracket may mean anything.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Errors, Place, Problem, Text, enumerate, nearest, quoted, report};
use super::model::{Bridge, Config, Port};
use super::schema::{Key, SECTIONS, Section, Shape};

/// What a section describes: the configuration as a whole, or one of its ports or bridges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The whole: a section that is there once.
    Whole,
    /// The port with this index.
    Port(usize),
    /// The bridge with this index.
    Bridge(usize),
}

/// Where a value was written last, and how.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// Where.
    pub(super) place: Place,
    /// The value, fit for a message.
    pub(super) value: String,
}

/// Where everything was written that a check across sections may complain about.
#[derive(Debug, Default)]
pub(super) struct Origins {
    headers: BTreeMap<Subject, Place>,
    keys: BTreeMap<(Subject, &'static str), Written>,
}

impl Origins {
    /// Where a key of `subject` was written, if it was.
    pub(super) fn of(&self, subject: Subject, key: &'static str) -> Option<&Written> {
        self.keys.get(&(subject, key))
    }

    /// Where the section of `subject` begins.
    pub(super) fn header(&self, subject: Subject) -> Option<Place> {
        self.headers.get(&subject).copied()
    }
}

/// Reads the file, if there is one, and then each of `overrides`.
pub(super) fn read(file: Option<(&str, &str)>, overrides: &[String]) -> Result<Config, Errors> {
    let mut texts: Vec<Text<'_>> =
        file.map(|(name, content)| Text::File { name, content }).into_iter().collect();
    texts.extend(overrides.iter().map(|argument| Text::Set(argument)));
    let mut reader = Reader::default();
    for (index, text) in texts.iter().enumerate() {
        reader.text = index;
        match text {
            Text::File { content, .. } => reader.read_file(content),
            Text::Set(argument) => reader.read_set(argument),
        }
    }
    let Reader { mut config, mut problems, origins, ports_are_sound, .. } = reader;
    problems.extend(super::validate::validate(&mut config, &origins, ports_are_sound));
    report(problems, &texts)?;
    Ok(config)
}

/// A configuration under construction.
struct Reader {
    config: Config,
    origins: Origins,
    problems: Vec<Problem>,
    /// Which text is being read.
    text: usize,
    /// Whether every `[[port]]` was recognised as one: if not, that a bridge's port is unknown means nothing.
    ports_are_sound: bool,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            config: Config::default(),
            origins: Origins::default(),
            problems: Vec::new(),
            text: 0,
            ports_are_sound: true,
        }
    }
}

impl Reader {
    fn place(&self, offset: usize) -> Place {
        Place { text: self.text, offset }
    }

    fn refuse(&mut self, offset: usize, message: String) {
        let place = self.place(offset);
        self.problems.push(Problem { place, message });
    }

    fn read_file(&mut self, content: &str) {
        let (table, mut errors) = DeTable::parse_recoverable(content);
        let offset_of = |error: &toml::de::Error| error.span().map_or(content.len(), |span| span.start);
        errors.sort_by_key(offset_of);
        let mut last_line = None;
        for error in &errors {
            // One slip often makes several messages; the first of a line is the one to mend.
            let (line, _) = super::error::line_and_column(content.as_bytes(), offset_of(error));
            if last_line.replace(line) != Some(line) {
                self.refuse(offset_of(error), format!("not TOML: {}", quoted_message(error.message())));
            }
        }
        if errors.is_empty() {
            for (name, value) in table.get_ref() {
                self.read_section(content, name, value);
            }
        }
    }

    fn read_section(&mut self, content: &str, name: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let offset = name.span().start;
        let Some(section) = find_section(name.get_ref()) else {
            let message = match value.get_ref() {
                DeValue::Table(_) | DeValue::Array(_) => unknown_section(name.get_ref()),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_) => key_without_section(name.get_ref()),
            };
            return self.refuse(offset, message);
        };
        match (&section.shape, value.get_ref()) {
            (Shape::Once(_), DeValue::Table(keys)) => self.read_keys(content, section, Subject::Whole, keys),
            (Shape::Ports(_) | Shape::Bridges(_), DeValue::Array(items)) => {
                for item in items {
                    let DeValue::Table(keys) = item.get_ref() else {
                        self.note_unsound(section);
                        self.refuse(item.span().start, wrong_header(section));
                        continue;
                    };
                    let subject = self.begin(section, item.span().start);
                    self.read_keys(content, section, subject, keys);
                }
            }
            _ => {
                self.note_unsound(section);
                self.refuse(offset, wrong_header(section));
            }
        }
    }

    fn note_unsound(&mut self, section: &Section) {
        if let Shape::Ports(_) = section.shape {
            self.ports_are_sound = false;
        }
    }

    /// Adds the port or bridge whose section begins at `offset`.
    fn begin(&mut self, section: &Section, offset: usize) -> Subject {
        let subject = match section.shape {
            Shape::Once(_) => Subject::Whole,
            Shape::Ports(_) => {
                self.config.ports.push(Port::unnamed());
                Subject::Port(self.config.ports.len() - 1)
            }
            Shape::Bridges(_) => {
                self.config.bridges.push(Bridge::unnamed());
                Subject::Bridge(self.config.bridges.len() - 1)
            }
        };
        let place = self.place(offset);
        self.origins.headers.insert(subject, place);
        subject
    }

    fn read_keys(&mut self, content: &str, section: &'static Section, subject: Subject, keys: &DeTable<'_>) {
        for (name, value) in keys {
            let raw = match value.get_ref() {
                DeValue::Table(_) => "{…}",
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => content.get(value.span()).unwrap_or_default(),
            };
            let offsets = (name.span().start, value.span().start);
            self.read_key(section, subject, name.get_ref(), value.get_ref(), raw, offsets);
        }
    }

    /// Reads one value; `offsets` are those of the key and of the value, for what is wrong with either.
    fn read_key(
        &mut self,
        section: &'static Section,
        subject: Subject,
        name: &str,
        value: &DeValue<'_>,
        raw: &str,
        offsets: (usize, usize),
    ) {
        let config = &mut self.config;
        let outcome = match (&section.shape, subject) {
            (Shape::Once(keys), Subject::Whole) => assign(keys, config, name, value),
            (Shape::Ports(keys), Subject::Port(index)) => assign(keys, &mut config.ports[index], name, value),
            (Shape::Bridges(keys), Subject::Bridge(index)) => {
                assign(keys, &mut config.bridges[index], name, value)
            }
            (Shape::Once(_) | Shape::Ports(_) | Shape::Bridges(_), _) => {
                unreachable!("a subject is made from its section's shape, in begin() and read_set()")
            }
        };
        let header = section.header();
        let shown = if raw.is_empty() { "\"\"".to_owned() } else { quoted(raw) };
        match outcome {
            Outcome::Done(key) => {
                let place = self.place(offsets.1);
                self.origins.keys.insert((subject, key), Written { place, value: shown });
            }
            Outcome::Unknown => {
                self.refuse(offsets.0, format!("{header} {}: {}", quoted(name), unknown_key(section, name)));
            }
            Outcome::Wrong(key, clause) => {
                let place = self.place(offsets.1);
                self.origins.keys.insert((subject, key), Written { place, value: shown.clone() });
                self.refuse(offsets.1, format!("{header} {key} = {shown}: {clause}"));
            }
        }
    }

    fn read_set(&mut self, argument: &str) {
        let Some((path, raw)) = argument.split_once('=') else {
            return self.refuse(0, "write KEY=VALUE, such as tcp.msl=30s".to_owned());
        };
        let raw = raw.trim();
        let parts: Vec<&str> = path.split('.').map(str::trim).collect();
        let (section, subject, name) = match self.resolve(&parts) {
            Ok(resolved) => resolved,
            Err(message) => return self.refuse(0, message),
        };
        match set_value(raw) {
            Ok(value) => self.read_key(section, subject, name, &value, raw, (0, 0)),
            Err(message) => {
                let (header, name, raw) = (section.header(), quoted(name), quoted(raw));
                self.refuse(0, format!("{header} {name} = {raw}: {message}"));
            }
        }
    }

    /// The section, the subject and the key that the parts of a `--set` name.
    fn resolve<'p>(&self, parts: &[&'p str]) -> Result<(&'static Section, Subject, &'p str), String> {
        let (name, rest) = parts.split_first().unwrap_or((&"", &[]));
        let section = find_section(name)
            .ok_or_else(|| if rest.is_empty() { key_without_section(name) } else { unknown_section(name) })?;
        let header = section.header();
        let (count, subject): (usize, fn(usize) -> Subject) = match section.shape {
            Shape::Once(_) => {
                return match rest {
                    [key] => Ok((section, Subject::Whole, key)),
                    _ => Err(format!("name one key of {header}, as in {name}.{}", section.names()[0])),
                };
            }
            Shape::Ports(_) => (self.config.ports.len(), Subject::Port),
            Shape::Bridges(_) => (self.config.bridges.len(), Subject::Bridge),
        };
        let example = section.names()[0];
        let [number, key] = rest else {
            return Err(format!("name one key of one {header}, counted from 0, as in {name}.0.{example}"));
        };
        let index = number
            .parse::<usize>()
            .map_err(|_| format!("{header} is counted from 0, as in {name}.0.{example}, not named"))?;
        if index >= count {
            let there = match count {
                0 => "there is none".to_owned(),
                1 => format!("there is one, {name}.0"),
                _ => format!("there are {count}, {name}.0 to {name}.{}", count - 1),
            };
            return Err(format!("{header} number {} does not exist: {there}", quoted(number)));
        }
        Ok((section, subject(index), key))
    }
}

/// The VALUE of a `--set`: TOML where it is, a string where it is a bare word (`off`, `30s`, a path).
fn set_value(raw: &str) -> Result<DeValue<'_>, String> {
    match DeValue::parse(raw) {
        Ok(value) => Ok(value.into_inner()),
        Err(error) if raw.starts_with(['[', '{', '"', '\'']) => {
            Err(format!("not TOML: {}", quoted_message(error.message())))
        }
        Err(_) => Ok(DeValue::String(Cow::Borrowed(raw))),
    }
}

/// The parser's message, on one line whatever it says.
fn quoted_message(message: &str) -> String {
    super::error::printable(&message.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What became of one key.
enum Outcome {
    /// It was read.
    Done(&'static str),
    /// There is no such key.
    Unknown,
    /// Its value is not right, and what would be.
    Wrong(&'static str, String),
}

fn assign<T>(keys: &[Key<T>], target: &mut T, name: &str, value: &DeValue<'_>) -> Outcome {
    let Some(key) = keys.iter().find(|key| key.name == name) else { return Outcome::Unknown };
    match key.kind.read(target, value) {
        Ok(()) => Outcome::Done(key.name),
        Err(clause) => Outcome::Wrong(key.name, clause),
    }
}

fn find_section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

fn unknown_section(name: &str) -> String {
    let hint = match nearest(name, SECTIONS.iter().map(|section| section.name)).and_then(find_section) {
        Some(section) => format!("did you mean {}?", section.header()),
        None => {
            let headers: Vec<String> = SECTIONS.iter().map(Section::header).collect();
            format!("the sections are {}", enumerate(&headers, "and"))
        }
    };
    format!("[{}]: unknown section; {hint}", quoted(name))
}

fn key_without_section(name: &str) -> String {
    if let Some(section) = find_section(name) {
        return wrong_header(section);
    }
    let homes: Vec<String> =
        SECTIONS.iter().filter(|section| section.names().contains(&name)).map(Section::header).collect();
    if homes.is_empty() {
        format!("{}: a key outside of any section, and of none that exists", quoted(name))
    } else {
        format!("{}: a key outside of any section; it belongs to {}", quoted(name), enumerate(&homes, "or"))
    }
}

fn wrong_header(section: &Section) -> String {
    match section.shape {
        Shape::Once(_) => {
            format!("{} is a section, and there is one of it: write {}", section.name, section.header())
        }
        Shape::Ports(_) | Shape::Bridges(_) => {
            format!("{} is a section for each {0}: write {}", section.name, section.header())
        }
    }
}

fn unknown_key(section: &Section, name: &str) -> String {
    match nearest(name, section.names()) {
        Some(name) => format!("unknown key; did you mean `{name}`?"),
        None => format!(
            "unknown key; the keys of {} are {}",
            section.header(),
            enumerate(&section.names(), "and")
        ),
    }
}
