//! What is wrong with a configuration, where, and what would be right.
//!
//! A [`Place`] is kept while reading, because it sorts: the errors of a file come out in its own order,
//! those of `--set` behind them. It becomes text (`lastack.toml:7:7`) once, at the end.

use std::fmt;

/// The most errors that are shown; behind that many, more help nobody.
const MOST_SHOWN: usize = 20;

/// The most characters of a value that a message quotes.
const MOST_QUOTED: usize = 40;

/// Everything that is wrong with a configuration, in the order of its text. Ready to print: one line for
/// each error, without a newline behind the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    lines: Vec<String>,
}

impl Errors {
    /// One error that concerns a file as a whole.
    pub(super) fn of_file(name: &str, message: &str) -> Errors {
        Errors { lines: vec![format!("{}: {message}", printable(name))] }
    }

    /// The errors, each a line of its own.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Errors {}

/// Where a key or value was written: a byte of one of the texts that make up the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which text: the index into the list of [`Text`]s.
    pub(super) text: usize,
    /// The byte in it.
    pub(super) offset: usize,
}

/// One of the texts that make up a configuration.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text<'a> {
    /// A file.
    File {
        /// Its name, as the user gave it.
        name: &'a str,
        /// What it says.
        content: &'a str,
    },
    /// The argument of one `--set`.
    Set(&'a str),
}

/// One error, before it is shown.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// Where.
    pub(super) place: Place,
    /// What is wrong, and what would be right.
    pub(super) message: String,
}

/// Sorts the problems and turns their places into text; `Ok` where there are none.
pub(super) fn report(mut problems: Vec<Problem>, texts: &[Text<'_>]) -> Result<(), Errors> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort_by_key(|problem| problem.place);
    let mut lines: Vec<String> = problems
        .iter()
        .take(MOST_SHOWN)
        .map(|problem| format!("{}: {}", describe(problem.place, texts), problem.message))
        .collect();
    let hidden = problems.len().saturating_sub(MOST_SHOWN);
    if hidden > 0 {
        lines.push(format!("and {hidden} more error{}", if hidden == 1 { "" } else { "s" }));
    }
    Err(Errors { lines })
}

/// A place as text: `file:line:column`, or the `--set` itself.
fn describe(place: Place, texts: &[Text<'_>]) -> String {
    match texts[place.text] {
        Text::File { name, content } => {
            let (line, column) = line_and_column(content.as_bytes(), place.offset);
            format!("{}:{line}:{column}", printable(name))
        }
        Text::Set(argument) => format!("--set {}", quoted(argument)),
    }
}

/// Line and column of a byte, both from 1; the column counts characters.
pub(super) fn line_and_column(content: &[u8], offset: usize) -> (usize, usize) {
    let before = &content[..offset.min(content.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
}

/// What the user wrote, fit for one line of a message: shortened, and without control characters.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(MOST_QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    printable(&short)
}

/// `text` with its control characters escaped, so that a hostile file cannot drive a terminal.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// The one of `names` that `wrong` was most likely meant to be, if any is near enough.
pub(super) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in three characters is a typing error, more is another word.
    let bound = (wrong.chars().take(MOST_QUOTED).count() / 3).max(1);
    if wrong.chars().count() > MOST_QUOTED {
        return None;
    }
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `"a, b and c"`, with `joint` for "and".
pub(super) fn enumerate<S: AsRef<str>>(names: &[S], joint: &str) -> String {
    let Some((last, others)) = names.split_last() else { return String::new() };
    if others.is_empty() {
        return last.as_ref().to_owned();
    }
    let others: Vec<&str> = others.iter().map(AsRef::as_ref).collect();
    format!("{} {joint} {}", others.join(", "), last.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        assert_eq!(line_and_column("a = \"ü\" x".as_bytes(), 9), (1, 9));
        assert_eq!(line_and_column(b"a\nbc", 3), (2, 2));
        assert_eq!(line_and_column(b"a", 99), (1, 2));
    }

    #[test]
    fn a_quotation_is_short_and_drives_no_terminal() {
        assert_eq!(quoted("\u{1b}[2J\n"), "\\u{1b}[2J\\n");
        assert_eq!(quoted(&"ä".repeat(41)), format!("{}…", "ä".repeat(40)));
    }

    #[test]
    fn the_nearest_name_is_a_slip_away() {
        let names = ["fin_timeout", "fin_wait_1", "closed", "closing", "msl"];
        for (wrong, right) in [
            ("fin_timout", Some("fin_timeout")),
            ("fin-timeout", Some("fin_timeout")),
            ("fni_wait_1", Some("fin_wait_1")),
            ("close", Some("closed")),
            ("mls", Some("msl")),
            ("linger", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, names), right, "{wrong}");
        }
    }
}
