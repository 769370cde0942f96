//! A line as words, each with the column it begins at, and what is wrong with one of them.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The most characters of a word that a message quotes.
const MOST_QUOTED: usize = 40;

/// What is wrong with a scenario, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// One line of text.
    pub message: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// A piece of a line, without white space around it; it may be empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// The whole line that it lies in.
    whole: &'a str,
    line: u32,
    start: usize,
    end: usize,
}

impl<'a> Piece<'a> {
    /// A whole line, its comment left out: that begins with a `#` behind nothing or white space.
    pub(super) fn line(line: u32, whole: &'a str) -> Piece<'a> {
        let mut before = ' ';
        let comment = whole.char_indices().find(|&(_, character)| {
            let found = character == '#' && before.is_whitespace();
            before = character;
            found
        });
        let end = comment.map_or(whole.len(), |(at, _)| at);
        Piece { whole, line, start: 0, end }.trimmed()
    }

    fn trimmed(self) -> Piece<'a> {
        let text = self.text();
        let start = self.start + (text.len() - text.trim_start().len());
        Piece { start, end: start + text.trim().len(), ..self }
    }

    pub(super) fn text(&self) -> &'a str {
        self.whole.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn line_number(&self) -> u32 {
        self.line
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Takes the first word off; empty where there is none.
    pub(super) fn take_word(&mut self) -> Piece<'a> {
        let text = self.text();
        let length = text.find(char::is_whitespace).unwrap_or(text.len());
        let word = Piece { end: self.start + length, ..*self };
        *self = Piece { start: word.end, ..*self }.trimmed();
        word
    }

    /// Takes the first word off.
    ///
    /// # Errors
    /// There is none; `what` says what belongs there.
    pub(super) fn expect_word(&mut self, what: &str) -> Result<Piece<'a>, Problem> {
        let word = self.take_word();
        if word.is_empty() {
            Err(word.problem(format!("the line ends here, before {what}")))
        } else {
            Ok(word)
        }
    }

    /// What lies before the first `separator` and what lies behind it, if there is one.
    pub(super) fn split(self, separator: &str) -> (Piece<'a>, Option<Piece<'a>>) {
        match self.text().find(separator) {
            None => (self, None),
            Some(at) => {
                let before = Piece { end: self.start + at, ..self }.trimmed();
                let behind = Piece { start: self.start + at + separator.len(), ..self }.trimmed();
                (before, Some(behind))
            }
        }
    }

    /// The pieces between commas.
    pub(super) fn items(self) -> impl Iterator<Item = Piece<'a>> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let (item, behind) = rest?.split(",");
            rest = behind;
            Some(item)
        })
    }

    /// The piece as a number (or whatever else reads from a word).
    ///
    /// # Errors
    /// It is none of the type's; `what` says what it should be.
    pub(super) fn number<T: FromStr>(&self, what: &str) -> Result<T, Problem> {
        // `parse` would take a sign, which no number here has.
        let digits = self.text().bytes().next().filter(|byte| *byte != b'+');
        digits.and_then(|_| self.text().parse().ok()).ok_or_else(|| self.wrong(what))
    }

    /// The two numbers on both sides of `separator`.
    pub(super) fn pair<T: FromStr>(self, separator: &str, what: &str) -> Result<(T, T), Problem> {
        match self.split(separator) {
            (first, Some(second)) => Ok((first.number(what)?, second.number(what)?)),
            (_, None) => Err(self.wrong(what)),
        }
    }

    /// The piece as seconds with up to nine decimals, in nanoseconds.
    pub(super) fn seconds(&self, what: &str) -> Result<u64, Problem> {
        let (whole, decimals) = self.text().split_once('.').unwrap_or((self.text(), "0"));
        let are_digits = [whole, decimals]
            .into_iter()
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        let nanoseconds = || {
            let whole: u64 = whole.parse().ok()?;
            let decimals: u64 = format!("{decimals:0<9}").parse().ok()?;
            whole.checked_mul(1_000_000_000)?.checked_add(decimals)
        };
        let found = if are_digits && decimals.len() <= 9 { nanoseconds() } else { None };
        found.ok_or_else(|| self.wrong(what))
    }

    /// What is said of a piece that is not what it should be.
    pub(super) fn wrong(&self, what: &str) -> Problem {
        if self.is_empty() {
            return self.problem(format!("nothing stands here; {what} belongs here"));
        }
        self.problem(format!("`{}` is not {what}", quoted(self.text())))
    }

    /// What is said of a piece that is too much.
    pub(super) fn must_be_empty(&self, behind: &str) -> Result<(), Problem> {
        if self.is_empty() {
            return Ok(());
        }
        Err(self.problem(format!("`{}` is too much behind {behind}", quoted(self.text()))))
    }

    pub(super) fn problem(&self, message: String) -> Problem {
        let before = self.whole.get(..self.start).unwrap_or(self.whole);
        let column = before.chars().count().saturating_add(1);
        Problem { line: self.line, column: u32::try_from(column).unwrap_or(u32::MAX), message }
    }
}

/// What somebody wrote, fit for one line of a message: shortened, and without control characters.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(MOST_QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST_QUOTED).is_some() { short + "…" } else { short }
}
