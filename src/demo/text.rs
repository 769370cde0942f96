//! The table: live on a terminal, and in the end.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::stage::{Conversation, Report, Sample};
use crate::lab::Lab;
use crate::tcp::State;

/// Two of the longest states, ESTABLISHED.
const STATES: usize = 23;
/// The longest text of a moment.
const TEXT: usize = 26;
/// Two ports.
const ENDS: usize = 12;

/// Where the table is shown while the demo runs: on a terminal, in one place; elsewhere not at all.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    is_terminal: bool,
    has_colour: bool,
    /// How many lines of it stand above the cursor.
    shown: usize,
}

impl std::fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("is_terminal", &self.is_terminal).finish_non_exhaustive()
    }
}

impl<'a> Screen<'a> {
    /// A screen on `out`. Colours are used on a terminal, unless NO_COLOR is set.
    pub fn new(out: &'a mut dyn Write, is_terminal: bool) -> Screen<'a> {
        let has_colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { out, is_terminal, has_colour, shown: 0 }
    }

    /// Shows what is said now, in the place of what was shown before.
    pub(super) fn show(&mut self, conversations: &[Conversation], seconds: f64) -> io::Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        let width = console::Term::stdout().size_checked().map_or(100, |(_, columns)| usize::from(columns));
        let mut text = String::new();
        self.go_up(&mut text);
        let lines = live(conversations, seconds);
        for (line, agrees) in &lines {
            // A line that wraps would make two of one.
            let line: String = line.chars().take(width.saturating_sub(1)).collect();
            push_line(&mut text, &line, *agrees, self.has_colour, "\x1b[K\n");
        }
        self.shown = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Takes it away again.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        let mut text = String::new();
        self.go_up(&mut text);
        self.shown = 0;
        self.out.write_all(text.as_bytes())
    }

    /// Back to the first line, and everything below it gone.
    fn go_up(&self, text: &mut String) {
        if self.shown > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "\x1b[{}A\x1b[J", self.shown);
        }
    }

    pub(super) fn has_colour(&self) -> bool {
        self.has_colour
    }
}

/// A line, and what it says of agreement.
type Line = (String, Option<bool>);

/// The live table: a line for each connection that has begun.
fn live(conversations: &[Conversation], seconds: f64) -> Vec<Line> {
    let mut lines =
        vec![(format!("{}  {seconds:5.1} s", title()), None), (String::new(), None), (header(), None)];
    for conversation in conversations {
        let text = conversation.moments.last().map_or(conversation.title, |moment| moment.text);
        lines.push(match &conversation.now {
            Some(sample) => row(&ends(conversation), text, sample),
            None => (format!("{:ENDS$}  {}", ends(conversation), conversation.title), None),
        });
    }
    lines
}

/// Writes the table of all moments, and the sum.
///
/// # Errors
/// `out` cannot be written.
pub fn write_report(report: &Report, has_colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = vec![(title(), None), (String::new(), None), (header(), None)];
    for conversation in &report.conversations {
        lines.push((format!("{:ENDS$}  {}", ends(conversation), heading(conversation)), None));
        lines.extend(conversation.moments.iter().map(|moment| row("", moment.text, &moment.sample)));
    }
    lines.push((String::new(), None));
    lines.push((sum(report), None));
    let mut text = String::new();
    for (line, agrees) in &lines {
        push_line(&mut text, line, *agrees, has_colour, "\n");
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn title() -> String {
    let ((client, client6), (server, server6)) = (Lab::CLIENT, Lab::SERVER);
    format!("TCP between two kernels through Lastack: {client}, {client6} > {server}, {server6}")
}

fn header() -> String {
    let what = "client > server";
    format!(
        "{what:width$}  {:STATES$}  {:STATES$}",
        "the kernels say",
        "Lastack says",
        width = ENDS + 2 + TEXT
    )
}

fn heading(conversation: &Conversation) -> String {
    let version = if conversation.client.is_ipv6() { ", over IPv6" } else { "" };
    format!("{}{version}", conversation.title)
}

fn ends(conversation: &Conversation) -> String {
    format!("{} > {}", conversation.client.port(), conversation.server.port())
}

fn row(ends: &str, text: &str, sample: &Sample) -> Line {
    let tracked = sample.tracked.map_or_else(|| "-".to_owned(), |(_, states)| pair(states));
    let id = sample.tracked.map_or_else(String::new, |(id, _)| format!("no. {id}"));
    let line =
        format!("{ends:ENDS$}  {text:TEXT$}  {:STATES$}  {tracked:STATES$}  {id:<7}", pair(sample.kernels));
    (line, Some(sample.agrees()))
}

fn pair([client, server]: [State; 2]) -> String {
    format!("{}/{}", client.name(), server.name())
}

/// Adds a line with its tick or cross.
fn push_line(text: &mut String, line: &str, agrees: Option<bool>, has_colour: bool, end: &str) {
    let mark = match (agrees, has_colour) {
        (None, _) => "",
        (Some(true), true) => " \x1b[32m✓\x1b[0m",
        (Some(true), false) => " ✓",
        (Some(false), true) => " \x1b[31m✗\x1b[0m",
        (Some(false), false) => " ✗",
    };
    text.push_str(if mark.is_empty() { line.trim_end() } else { line });
    text.push_str(mark);
    text.push_str(end);
}

fn sum(report: &Report) -> String {
    let agreements = report.comparisons - report.disagreements;
    let rounds = match report.rounds {
        1 => String::new(),
        rounds => format!(" in {rounds} rounds, of which the table shows one"),
    };
    let interrupted = if report.is_interrupted { "; interrupted" } else { "" };
    format!("{agreements} of {} moments agree{rounds}{interrupted}", report.comparisons)
}
