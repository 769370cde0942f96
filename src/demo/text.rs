//! The table: live on a terminal, and in the end.

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
/// Between two columns.
const GAP: usize = 2;
/// A row without what leads it, up to its mark: with a gap before it, it fits into a terminal of 80 columns.
const ROW: usize = TEXT + GAP + STATES + GAP + STATES + 2;
const _: () = assert!(GAP + ROW <= 80);

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
        let lines = live(conversations, seconds, width);
        let mut text = self.go_up();
        for line in &lines {
            // Each line replaces the one that stood there; one that wraps would make two of it.
            text.push_str(&line.paint(self.has_colour, width.saturating_sub(1)));
            text.push_str("\x1b[K\n");
        }
        self.shown = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Takes it away again.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        let text = self.go_up() + "\x1b[J";
        self.shown = 0;
        self.out.write_all(text.as_bytes())
    }

    /// What leads back to the first line.
    fn go_up(&self) -> String {
        if self.shown > 0 { format!("\x1b[{}A", self.shown) } else { String::new() }
    }

    pub(super) fn has_colour(&self) -> bool {
        self.has_colour
    }
}

/// How a row ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    /// All say the same.
    Agreement,
    /// They did not when they were asked, one after the other; perhaps something was under way.
    NotYet,
    /// They do not.
    Disagreement,
}

impl Mark {
    fn text(self, has_colour: bool) -> &'static str {
        match (self, has_colour) {
            (Mark::None, _) => "",
            (Mark::Agreement, true) => "\x1b[32m✓\x1b[0m",
            (Mark::Agreement, false) => "✓",
            (Mark::NotYet, _) => "…",
            (Mark::Disagreement, true) => "\x1b[31m✗\x1b[0m",
            (Mark::Disagreement, false) => "✗",
        }
    }
}

/// A line of the table.
#[derive(Debug)]
struct Line {
    text: String,
    mark: Mark,
    /// What is left out where there is no room.
    tail: String,
    is_heading: bool,
}

impl Line {
    fn plain(text: String) -> Line {
        Line { text, mark: Mark::None, tail: String::new(), is_heading: false }
    }

    fn heading(text: String) -> Line {
        Line { is_heading: true, ..Line::plain(text) }
    }

    /// The line in at most `width` columns, without its end.
    fn paint(&self, has_colour: bool, width: usize) -> String {
        let cut = |text: &str, width: usize| text.chars().take(width).collect::<String>();
        if self.mark == Mark::None {
            let text = cut(self.text.trim_end(), width);
            return if has_colour && self.is_heading { format!("\x1b[1m{text}\x1b[0m") } else { text };
        }
        let text = cut(&self.text, width.saturating_sub(2));
        let mark = self.mark.text(has_colour);
        // Half a number would be another one.
        let has_room = text.chars().count() + 4 + self.tail.chars().count() <= width;
        if has_room && !self.tail.is_empty() {
            format!("{text} {mark}  {}", self.tail)
        } else {
            format!("{text} {mark}")
        }
    }
}

/// The live table, in at most `width` columns: a line for each connection, without its ends where there is no
/// room for them.
fn live(conversations: &[Conversation], seconds: f64, width: usize) -> Vec<Line> {
    let lead = if width > ENDS + GAP + ROW { ENDS + GAP } else { 0 };
    let mut lines = vec![
        Line::heading(format!("{}  {seconds:5.1} s", title())),
        Line::plain(String::new()),
        Line::heading(header(lead)),
    ];
    for conversation in conversations {
        let ends = format!("{:lead$}", if lead > 0 { ends(conversation) } else { String::new() });
        let text = conversation.moments.last().map_or(conversation.title, |moment| moment.text);
        lines.push(match &conversation.now {
            Some(sample) => {
                let mark = match sample.agrees() {
                    true => Mark::Agreement,
                    false if conversation.is_in_motion() => Mark::NotYet,
                    false => Mark::Disagreement,
                };
                row(&ends, text, sample, mark)
            }
            None => Line::plain(ends + text),
        });
    }
    lines
}

/// Writes the table of all moments, and the sum.
///
/// # Errors
/// `out` cannot be written.
pub fn write_report(report: &Report, has_colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let blank = || Line::plain(String::new());
    let mut lines = vec![Line::heading(title()), blank(), Line::heading(header(GAP))];
    for conversation in &report.conversations {
        let version = if conversation.client.is_ipv6() { ", over IPv6" } else { "" };
        lines.push(Line::plain(format!("{}  {}{version}", ends(conversation), conversation.title)));
        lines.extend(conversation.moments.iter().map(|moment| {
            let mark = if moment.sample.agrees() { Mark::Agreement } else { Mark::Disagreement };
            row(&" ".repeat(GAP), moment.text, &moment.sample, mark)
        }));
    }
    lines.extend([blank(), Line::heading(sum(report))]);
    for line in &lines {
        writeln!(out, "{}", line.paint(has_colour, usize::MAX))?;
    }
    out.flush()
}

fn title() -> String {
    let ((client, client6), (server, server6)) = (Lab::CLIENT, Lab::SERVER);
    format!("TCP between two kernels through Lastack: {client}, {client6} > {server}, {server6}")
}

/// The columns' names; the first one begins `lead` columns later.
fn header(lead: usize) -> String {
    let what = format!("{:width$}", "client > server", width = lead + TEXT);
    format!("{what}  {:STATES$}  Lastack says", "the kernels say")
}

fn ends(conversation: &Conversation) -> String {
    format!("{} > {}", conversation.client.port(), conversation.server.port())
}

/// A row behind `lead`, which is as wide as the header's.
fn row(lead: &str, text: &str, sample: &Sample, mark: Mark) -> Line {
    let tracked = sample.tracked.map_or_else(|| "-".to_owned(), |(_, states)| pair(states));
    let tail = sample.tracked.map_or_else(String::new, |(id, _)| format!("no. {id}"));
    let kernels = pair(sample.kernels);
    let text = format!("{lead}{text:TEXT$}  {kernels:STATES$}  {tracked:STATES$}");
    Line { text, mark, tail, is_heading: false }
}

fn pair([client, server]: [State; 2]) -> String {
    format!("{}/{}", client.name(), server.name())
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

#[cfg(test)]
mod tests {
    use super::super::stage::Moment;
    use super::*;
    use State::{Closed, Established, TimeWait};

    fn report(disagreements: usize) -> Report {
        let moment = |text, kernels, tracked| Moment { text, sample: Sample { kernels, tracked } };
        let moments = vec![
            moment("request and answer", [Established; 2], Some((7, [Established; 2]))),
            moment("server has closed too", [TimeWait, Closed], Some((7, [Established; 2]))),
        ];
        let ends = ("[fd00::1]:40001".parse().unwrap(), "[fd00::2]:80".parse().unwrap());
        let conversation = Conversation::finished("a request", ends, moments);
        let conversations = vec![conversation];
        Report { conversations, rounds: 1, comparisons: 2, disagreements, is_interrupted: false }
    }

    fn written(has_colour: bool) -> String {
        let mut text = Vec::new();
        write_report(&report(1), has_colour, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_final_table_has_a_row_for_each_moment_and_a_sum() {
        let expected = "\
TCP between two kernels through Lastack: 10.0.0.1, fd00::1 > 10.0.0.2, fd00::2

client > server               the kernels say          Lastack says
40001 > 80  a request, over IPv6
  request and answer          ESTABLISHED/ESTABLISHED  ESTABLISHED/ESTABLISHED ✓  no. 7
  server has closed too       TIME_WAIT/CLOSED         ESTABLISHED/ESTABLISHED ✗  no. 7

1 of 2 moments agree
";
        assert_eq!(written(false), expected);
    }

    #[test]
    fn without_colours_no_escape_is_written_and_with_them_nothing_else_differs() {
        let coloured = written(true);
        assert!(coloured.contains("\x1b[32m✓\x1b[0m") && coloured.contains("\x1b[31m✗\x1b[0m"));
        let mut bare = coloured;
        for escape in ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m"] {
            bare = bare.replace(escape, "");
        }
        assert_eq!(bare, written(false));
    }

    #[test]
    fn a_narrow_terminal_loses_the_numbers_then_the_ends_and_never_a_mark() {
        let mut conversations = report(1).conversations;
        conversations[0].now = conversations[0].moments.first().map(|moment| moment.sample);
        for width in [20, 80, 92, 93, 99, 200] {
            let line = &live(&conversations, 1.0, width)[3];
            let painted = line.paint(false, width);
            assert!(painted.chars().count() <= width, "{width}: {painted}");
            assert!(painted.contains('✓'), "{width}: {painted}");
            assert_eq!(painted.starts_with("40001 > 80"), width > 92, "{width}: {painted}");
            assert_eq!(painted.contains("no. 7"), width == 92 || width >= 99, "{width}: {painted}");
        }
    }

    #[test]
    fn no_text_of_a_script_is_wider_than_its_column() {
        let widest = super::super::scenario::SCENARIOS.iter().map(|scenario| scenario.title.len()).max();
        assert!(widest.is_some_and(|widest| widest <= TEXT), "{widest:?}");
        assert_eq!(pair([Established; 2]).len(), STATES);
    }
}
