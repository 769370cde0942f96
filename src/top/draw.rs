//! The screen: where everything lies, and what stands around the panels.
//!
//! ```text
//!   lastack 0.1.0   up 3d 04h   1.24 Mpkt/s   9.81 Gbit/s   412,332 connections 41% of table     live
//!   ▲ warnings, one in a line
//!   ┌ 1 Ports ────────────────────────────────┐┌ 2 Workers ──────────────────────┐
//!   ├ 3 TCP states ──────────────┬────────────┘├ 4 Drops by reason ──────────────┤
//!   ├ 5 Busiest connections ─────┴─────────────┴─────────────────────────────────┤
//!   q quit  tab panel  s sort  / filter  …
//! ```
//!
//! Panels share the space by what they have to show: ports and states first, connections take what is left.
//! Where there is room for one only, it is the one in focus.

mod panels;
mod theme;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::action::{Mode, Panel};
use super::app::App;
use super::moment::Moment;
use super::number::{duration, percent, whole, with_unit};

pub(super) use theme::Theme;

/// All panels need so much of a screen, warnings and bars aside.
const ALL_PANELS: (u16, u16) = (76, 17);

/// Less than this shows nothing that one could read.
const LEAST: (u16, u16) = (40, 8);

/// The most warnings at a time.
const WARNINGS: usize = 4;

/// What the help says: keys, and what they do.
const HELP: [(&str, &str); 12] = [
    ("tab, 1\u{2013}5", "another panel"),
    ("s", "another order of its rows"),
    ("z, enter", "the panel alone, or all again"),
    ("\u{2191}\u{2193}, page up/down", "scroll it"),
    ("/", "show only these connections:"),
    ("", "  10.0.0.0/8     an address, at either end"),
    ("", "  443            a port, at either end"),
    ("", "  TIME_WAIT      a state, or a pair A/B of them"),
    ("", "  udp zone=2     or by key, as in `lastack list`"),
    ("esc", "back; all connections again"),
    ("p", "hold still, or go on"),
    ("q", "quit"),
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App, theme: Theme) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("too small: {}x{} needed", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let notes = notes(app, theme);
    let note_lines = u16::try_from(notes.len()).unwrap_or(0);
    let [head, notices, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(note_lines),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(header(app, theme, head.width), head);
    frame.render_widget(Paragraph::new(notes), notices);
    match app.moment() {
        None => frame.render_widget(waiting(theme), body),
        Some(moment) => draw_panels(frame, body, app, moment, theme),
    }
    frame.render_widget(footer(app, theme), foot);
    if app.mode() == Mode::Reading {
        draw_help(frame, area, theme);
    }
}

fn waiting(theme: Theme) -> Paragraph<'static> {
    Paragraph::new("\nwaiting for the first answer\u{2026}").style(theme.faint()).alignment(Alignment::Center)
}

/// What the middlebox does at large, in one line; where that is narrow, without what matters least.
fn header<'a>(app: &'a App, theme: Theme, width: u16) -> Paragraph<'a> {
    let status = match (app.silence(), app.is_paused()) {
        (Some(_), _) => Span::styled("\u{25cb} lost", theme.bad()),
        (None, true) => Span::styled("\u{2016} paused", theme.warning()),
        (None, false) => Span::styled("\u{25cf} live", theme.good()),
    };
    let mut parts = app.moment().map(|moment| summary(moment, theme)).unwrap_or_default();
    let width = usize::from(width);
    let length = |parts: &[(u8, Span<'_>)]| {
        "lastack".len() + parts.iter().map(|(_, span)| span.width()).sum::<usize>() + 1 + status.width()
    };
    while length(&parts) > width
        && let Some(least) = parts.iter().map(|(worth, _)| *worth).min()
    {
        parts.retain(|(worth, _)| *worth > least);
    }
    let gap = " ".repeat((width + 1).saturating_sub(length(&parts)));
    let mut spans = vec![Span::styled("lastack", theme.name())];
    spans.extend(parts.into_iter().map(|(_, span)| span));
    spans.extend([Span::raw(gap), status]);
    Paragraph::new(Line::from(spans))
}

/// The parts of the first line, each with what it is worth: what changes more than what stays.
fn summary(moment: &Moment, theme: Theme) -> Vec<(u8, Span<'_>)> {
    let rate = |rate: Option<f64>, unit| {
        let text = rate.map_or_else(|| "\u{2013}".to_owned(), |rate| with_unit(rate, unit));
        Span::styled(format!("   {text}"), theme.name())
    };
    let share = moment.live as f64 / moment.capacity.max(1) as f64;
    vec![
        (0, Span::styled(format!(" {}", moment.version), theme.faint())),
        (1, Span::styled(format!("   up {}", duration(moment.uptime)), theme.faint())),
        (5, rate(moment.received.packets, "pkt/s")),
        (3, rate(moment.received.bits, "bit/s")),
        (4, Span::styled(format!("   {}", whole(moment.live)), theme.name())),
        (4, Span::styled(" connections", theme.faint())),
        (2, Span::styled(format!(" {} of table", percent(share)), theme.faint())),
    ]
}

/// What an operator should know, a line each.
fn notes<'a>(app: &'a App, theme: Theme) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    if let Some((why, seconds)) = app.silence() {
        let text = format!("\u{2716} nothing heard for {seconds} s, trying again: {why}");
        lines.push(Line::styled(text, theme.bad()));
    }
    let warnings = app.moment().map(|moment| moment.warnings.as_slice()).unwrap_or_default();
    lines.extend(
        warnings.iter().take(WARNINGS).map(|text| Line::styled(format!("\u{25b2} {text}"), theme.warning())),
    );
    lines
}

/// The keys, or the filter that is being typed.
fn footer<'a>(app: &'a App, theme: Theme) -> Paragraph<'a> {
    if app.mode() == Mode::Typing {
        let (draft, fault) = app.draft();
        let mut spans = vec![Span::styled("filter ", theme.focus()), Span::raw(draft), Span::raw("\u{2588}")];
        match fault {
            Some(fault) => spans.push(Span::styled(format!("  {fault}"), theme.bad())),
            None => spans.push(Span::styled(
                "  address, port, state or protocol; enter takes it, esc leaves it",
                theme.faint(),
            )),
        }
        return Paragraph::new(Line::from(spans));
    }
    let mut spans = Vec::new();
    for (key, what) in [
        ("q", "quit"),
        ("tab", "panel"),
        ("s", "sort"),
        ("z", "zoom"),
        ("/", "filter"),
        ("p", if app.is_paused() { "go on" } else { "pause" }),
        ("?", "help"),
    ] {
        spans.extend([Span::styled(key, theme.name()), Span::styled(format!(" {what}   "), theme.faint())]);
    }
    Paragraph::new(Line::from(spans))
}

fn draw_panels(frame: &mut Frame<'_>, area: Rect, app: &App, moment: &Moment, theme: Theme) {
    if app.is_zoomed() || area.width < ALL_PANELS.0 || area.height < ALL_PANELS.1 {
        panels::draw(frame, area, app.focus(), app, moment, theme);
        return;
    }
    let rows = |count: usize| u16::try_from(count).unwrap_or(u16::MAX).saturating_add(panels::FRAME);
    let most = (area.height * 3 / 10).max(5);
    let queues = moment.ports.iter().map(|port| 1 + port.queues.len()).sum::<usize>();
    // The ports' panel leaves out queues where there is no room for all of them.
    let ports = if rows(queues) <= most { queues } else { moment.ports.len() };
    let first = rows(ports.max(moment.workers.len())).clamp(5, most);
    let second = rows(moment.states.len().max(moment.drops.len())).clamp(6, (area.height * 4 / 10).max(6));
    let [first, second, third] =
        Layout::vertical([Constraint::Length(first), Constraint::Length(second), Constraint::Fill(1)])
            .areas(area);
    let [ports, workers] = Layout::horizontal([Constraint::Fill(11), Constraint::Fill(9)]).areas(first);
    let [states, drops] = Layout::horizontal([Constraint::Fill(11), Constraint::Fill(9)]).areas(second);
    for (panel, area) in [
        (Panel::Ports, ports),
        (Panel::Workers, workers),
        (Panel::States, states),
        (Panel::Drops, drops),
        (Panel::Connections, third),
    ] {
        panels::draw(frame, area, panel, app, moment, theme);
    }
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(key, what)| {
            Line::from(vec![Span::styled(format!(" {key:<18}"), theme.name()), Span::raw(*what)])
        })
        .collect();
    let width = 68.min(area.width);
    let height = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let block = Block::bordered().border_style(theme.focus()).title(Span::styled(" Help ", theme.focus()));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
