//! `replay --explain N`: packet N's story, in sentences for a person.
//!
//! ```text
//!  Driver ─ each packet ─► Explainer ─ begun, changed, ended ─► Pasts      every live connection's
//!              packet N ─► glimpse before ─ Shard::process ─ glimpse behind ─► Story
//!                                                                               │ tell: pure
//!                          the packet │ its connection │ before it │            ▼
//!                          the judgement + number line │ what changed ◄──── sections of sentences
//! ```
//!
//! It judges nothing: the verdict, the numbers behind it and both sides of it are the engine's; sentences only
//! say them. What becomes of the capture behind packet N is not looked at, but for a fragment that waits.

mod drawing;
mod past;
mod refused;
mod rival;
mod segment;
mod sentences;
mod story;

use std::io::{self, Write};

use serde::Serialize;

use super::detail::Detail;
use super::json::PacketObject;
use super::sink::PacketLine;
use crate::shard::{Evidence, Glimpse, Record, Settings, Verdict};
use crate::time::Tick;
use crate::wire::Packet;
use past::{Mention, Past, Pasts};
use story::{Kind, Story};

/// The widest line of a paragraph.
const WIDTH: usize = 100;

/// Watches a replay until packet N has its verdict.
#[derive(Debug)]
pub(super) struct Explainer {
    wanted: u64,
    pasts: Pasts,
    /// The packet that is under way; none while only timers run.
    current: Option<Mention>,
    /// The last packet by which a connection has ended.
    displacer: Option<u64>,
    /// Packet N, from when it came until it is judged.
    kind: Option<Kind>,
    before: Option<Glimpse>,
    after: Option<Glimpse>,
    settings: Settings,
    ended: Vec<(Record, Option<Past>)>,
    story: Option<Box<Story>>,
}

impl Explainer {
    pub(super) fn new(wanted: u64, settings: Settings) -> Explainer {
        Explainer {
            wanted,
            pasts: Pasts::default(),
            current: None,
            displacer: None,
            kind: None,
            before: None,
            after: None,
            settings,
            ended: Vec::new(),
            story: None,
        }
    }

    /// The number of the packet that is asked about.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Whether its story is known.
    pub(super) fn is_done(&self) -> bool {
        self.story.is_some()
    }

    /// A packet comes; what the engine does from now on is by it. `glimpse` looks at its connection.
    pub(super) fn packet_comes(
        &mut self,
        line: &PacketLine,
        packet: &Packet<'_>,
        glimpse: impl FnOnce() -> Option<Glimpse>,
    ) {
        let kind = Kind::of(packet);
        let segment = kind.segment().map(|segment| (segment.flags, segment.seq));
        let source = line.source.zip(line.ports.map(|(port, _)| port));
        self.current = Some(Mention { number: line.number, at: line.at, segment, source });
        if line.number == self.wanted {
            self.kind = Some(kind);
            self.before = glimpse();
        }
    }

    /// The packet is done with: what happens from now on is the timers' doing.
    pub(super) fn packet_is_done(&mut self, line: &PacketLine, glimpse: impl FnOnce() -> Option<Glimpse>) {
        self.current = None;
        if line.number == self.wanted {
            self.after = glimpse();
        }
    }

    pub(super) fn begun(&mut self, record: &Record) {
        if let Some(by) = self.current {
            self.pasts.begin(record, by, self.displacer == Some(by.number));
        }
    }

    pub(super) fn changed(&mut self, record: &Record) {
        if let Some(by) = self.current {
            self.pasts.change(record, by);
        }
    }

    pub(super) fn ended(&mut self, record: &Record) {
        let past = self.pasts.end(record.id);
        self.displacer = self.current.map(|by| by.number);
        if self.current.is_some_and(|by| by.number == self.wanted) {
            self.ended.push((*record, past));
        }
    }

    /// Packet N has its verdict at `now`.
    pub(super) fn verdict_is(
        &mut self,
        line: &PacketLine,
        verdict: &Verdict,
        evidence: Option<Evidence>,
        now: Tick,
    ) {
        let id = verdict.subject.map(|subject| subject.id).or(self.before.map(|before| before.record.id));
        let ended_past = |id| {
            let mut ended = self.ended.iter().filter(|(record, _)| record.id == id);
            ended.next().and_then(|(_, past)| past.clone())
        };
        let past = id.and_then(|id| self.pasts.get(id).cloned().or_else(|| ended_past(id)));
        self.story = Some(Box::new(Story {
            line: line.clone(),
            kind: self.kind.unwrap_or(Kind::Untracked),
            verdict: *verdict,
            evidence,
            before: self.before,
            after: self.after,
            past,
            ended: std::mem::take(&mut self.ended),
            settings: self.settings,
            now,
        }));
    }

    /// Writes the story; false where there is none, because the capture ended before packet N.
    pub(super) fn write(&self, name: &str, is_json: bool, out: &mut dyn Write) -> io::Result<bool> {
        let Some(story) = &self.story else { return Ok(false) };
        let told = sentences::tell(story, name);
        if is_json {
            told.write_json(story, out)?;
        } else {
            told.write_text(out)?;
        }
        out.flush()?;
        Ok(true)
    }
}

/// A story, told.
#[derive(Debug, Default)]
pub(super) struct Told {
    title: String,
    sections: Vec<Section>,
}

/// A part of it.
#[derive(Debug)]
pub(super) struct Section {
    heading: &'static str,
    /// Sentences, in a paragraph.
    sentences: Vec<String>,
    /// Sentences that are a row each.
    rows: Vec<String>,
    /// A number line.
    drawing: Vec<String>,
}

impl Section {
    pub(super) fn new(heading: &'static str, sentences: Vec<String>) -> Section {
        Section { heading, sentences, rows: Vec::new(), drawing: Vec::new() }
    }
}

#[derive(Serialize)]
struct ExplanationObject<'a> {
    #[serde(flatten)]
    packet: PacketObject<'a>,
    sentences: Vec<&'a str>,
    drawing: Vec<&'a str>,
}

impl Told {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.title)?;
        for section in self.sections.iter().filter(|section| !section.is_empty()) {
            writeln!(out, "\n{}", section.heading)?;
            for line in wrapped(&section.sentences.join(" "), WIDTH - 2) {
                writeln!(out, "  {line}")?;
            }
            for row in &section.rows {
                writeln!(out, "    {row}")?;
            }
            if !section.drawing.is_empty() {
                writeln!(out)?;
            }
            for line in &section.drawing {
                writeln!(out, "{}", format!("    {line}").trim_end())?;
            }
        }
        Ok(())
    }

    fn write_json(&self, story: &Story, out: &mut dyn Write) -> io::Result<()> {
        let detail = story.detail();
        let sections = || self.sections.iter();
        let sentences = sections().flat_map(|section| section.sentences.iter().chain(&section.rows));
        let object = ExplanationObject {
            packet: PacketObject::of("explanation", &story.line, &story.verdict, detail.as_ref()),
            sentences: std::iter::once(&self.title).chain(sentences).map(String::as_str).collect(),
            drawing: sections().flat_map(|section| &section.drawing).map(String::as_str).collect(),
        };
        serde_json::to_writer(&mut *out, &object)?;
        out.write_all(b"\n")
    }
}

impl Section {
    fn is_empty(&self) -> bool {
        self.sentences.is_empty() && self.rows.is_empty()
    }
}

impl Story {
    fn detail(&self) -> Option<Detail> {
        Detail::of_verdict(&self.line, &self.verdict, self.evidence.as_ref(), self.now)
    }
}

/// Lines of at most `width` characters, broken at blanks.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_broken_at_blanks_and_never_inside_a_word() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 4), ["unbreakable"]);
        assert_eq!(wrapped("", 4), Vec::<String>::new());
    }
}
