//! The panels: tables whose columns do not move.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Padding, Row, Table};

use super::super::action::Panel;
use super::super::app::App;
use super::super::busiest;
use super::super::moment::{Flow, Moment, PortRow, Rate, StateRow};
use super::super::number::{duration, fit, percent, short, signed, whole};
use super::theme::Theme;

/// Lines of a panel that are none of its rows: two of its border, one of its headings.
pub(super) const FRAME: u16 = 3;

/// Columns of a panel that are none of its table's: its border and a blank at each side.
const EDGES: u16 = 4;

/// A column: its heading, its width, and at which side its cells stand.
#[derive(Clone, Copy)]
struct Column(&'static str, Constraint, Alignment);

const fn left(title: &'static str, width: u16) -> Column {
    Column(title, Constraint::Length(width), Alignment::Left)
}

const fn right(title: &'static str, width: u16) -> Column {
    Column(title, Constraint::Length(width), Alignment::Right)
}

const fn wide(title: &'static str) -> Column {
    Column(title, Constraint::Fill(1), Alignment::Left)
}

/// One row's cells.
type Cells<'a> = Vec<Span<'a>>;

/// A panel before it is drawn.
struct Content<'a> {
    columns: Vec<Column>,
    rows: Vec<Cells<'a>>,
    /// In the upper border, behind the panel's name.
    title: String,
    /// In the lower border.
    note: String,
    /// Whether the rows are only those from the offset on.
    is_scrolled: bool,
}

/// Draws one panel.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    panel: Panel,
    app: &App,
    moment: &Moment,
    theme: Theme,
) {
    let inner = (area.width.saturating_sub(EDGES), usize::from(area.height.saturating_sub(FRAME)));
    let content = match panel {
        Panel::Ports => ports(app, theme, inner),
        Panel::Workers => workers(app, theme, inner.0),
        Panel::States => states(app, moment, theme, inner.0),
        Panel::Drops => drops(app, moment, theme, inner.0),
        Panel::Connections => connections(app, theme, inner),
    };
    let offset = match content.is_scrolled {
        true => 0,
        false => app.offset(panel).min(content.rows.len().saturating_sub(inner.1)),
    };
    let align = |span: Span<'static>, column: &Column| Line::from(span).alignment(column.2);
    let titles = content.columns.iter().map(|column| align(Span::styled(column.0, theme.faint()), column));
    let rows = content.rows.into_iter().skip(offset).map(|cells| {
        let cells = cells.into_iter().zip(&content.columns);
        Row::new(cells.map(|(span, column)| Line::from(span).alignment(column.2)).collect::<Vec<_>>())
    });
    let table = Table::new(rows, content.columns.iter().map(|column| column.1))
        .header(Row::new(titles.collect::<Vec<_>>()))
        .column_spacing(1)
        .block(block(panel, app, theme, content.title, content.note));
    frame.render_widget(table, area);
}

fn block<'a>(panel: Panel, app: &App, theme: Theme, title: String, note: String) -> Block<'a> {
    let is_focused = app.focus() == panel;
    let (border, name) =
        if is_focused { (theme.focus(), theme.focus()) } else { (theme.faint(), theme.name()) };
    let label = match panel {
        Panel::Ports => "Ports",
        Panel::Workers => "Workers",
        Panel::States => "TCP states",
        Panel::Drops => "Drops by reason",
        Panel::Connections => "Busiest connections",
    };
    // Reversed borders would be louder than what they surround.
    let border = if border == Theme::new(false).focus() { theme.name() } else { border };
    let mut block = Block::bordered()
        .border_style(border)
        .padding(Padding::horizontal(1))
        .title(Span::styled(format!(" {} {label} ", panel as u8 + 1), name));
    if !title.is_empty() {
        block = block.title(Line::styled(format!(" {title} "), theme.faint()));
    }
    if is_focused {
        let order = format!(" by {} ", app.order(panel));
        block = block.title(Line::styled(order, theme.focus()).right_aligned());
    }
    if !note.is_empty() {
        block = block.title_bottom(Line::styled(format!(" {note} "), theme.faint()));
    }
    block
}

/// A rate; a dash where nobody knows it yet.
fn rate(rate: Rate) -> String {
    rate.map_or_else(|| "\u{2013}".to_owned(), short)
}

/// A rate that stands back where it is zero.
fn quiet(value: Rate, theme: Theme) -> Span<'static> {
    let text = rate(value);
    if value.is_none_or(|value| value <= 0.0) { Span::styled(text, theme.faint()) } else { Span::raw(text) }
}

/// A share from 0 to 1 as a bar of `width` characters.
fn bar(share: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

fn ports<'a>(app: &'a App, theme: Theme, (width, height): (u16, usize)) -> Content<'a> {
    let ports = app.ports();
    // Where not everything fits, a port is worth more than another one's queues.
    let lines: usize = ports.iter().map(|port| 1 + port.queues.len()).sum();
    let has_queues = lines <= height || app.is_zoomed();
    let longest = ports.iter().map(|port| port.whole.name.chars().count()).max().unwrap_or(0);
    let name = u16::try_from(longest).unwrap_or(u16::MAX).clamp(5, 16);
    // Twice packets and bits, and what is left is the sparkline.
    let has_note = width >= 60;
    let fixed = name + 4 * 7 + if has_note { 18 } else { 0 };
    let spark = width.saturating_sub(fixed + 1).min(30);
    let mut columns = vec![left("", name)];
    if has_note {
        columns.push(left("", 17));
    }
    columns.push(Column("", Constraint::Length(spark), Alignment::Right));
    columns.extend([right("in p/s", 6), right("bit/s", 6), right("out", 6), right("bit/s", 6)]);
    let row = |port: &'a PortRow, label: String, style| {
        let mut cells = vec![Span::styled(fit(&label, name.into()), style)];
        if has_note {
            let note = if port.is_up { theme.faint() } else { theme.bad() };
            cells.push(Span::styled(fit(&port.note, 17), note));
        }
        cells.push(Span::styled(app.history().sparkline(&port.name, spark.into()), theme.bar()));
        let Flow { packets, bits } = port.received;
        cells.extend([quiet(packets, theme), quiet(bits, theme)]);
        let Flow { packets, bits } = port.sent;
        cells.extend([quiet(packets, theme), quiet(bits, theme)]);
        cells
    };
    let mut rows = Vec::new();
    for port in ports {
        let style = if port.whole.is_up { theme.name() } else { theme.bad() };
        rows.push(row(&port.whole, port.whole.name.clone(), style));
        for queue in port.queues.iter().filter(|_| has_queues) {
            let number = queue.name.rsplit('/').next().unwrap_or_default();
            rows.push(row(queue, format!(" /{number}"), theme.faint()));
        }
    }
    let note = if has_queues { String::new() } else { "1 and z show the queues".to_owned() };
    Content { columns, rows, title: String::new(), note, is_scrolled: false }
}

fn workers<'a>(app: &'a App, theme: Theme, width: u16) -> Content<'a> {
    let fixed = 3 + 4 + 5 + 6 + 6 + 6 + 6 + 7;
    let bars = width.saturating_sub(fixed).min(20);
    let has_cpu = width >= 38;
    let mut columns = vec![right("", 2)];
    if has_cpu {
        columns.push(right("cpu", 3));
    }
    columns.push(right("busy", 4));
    if bars > 2 {
        columns.push(left("", bars));
    }
    columns.extend([right("pkt/s", 5), right("sleep", 5), right("given", 5), right("taken", 5)]);
    let rows = app.workers().into_iter().map(|worker| {
        let mut cells = vec![Span::styled(worker.number.to_string(), theme.name())];
        if has_cpu {
            let cpu = worker.cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string());
            cells.push(Span::styled(cpu, theme.faint()));
        }
        let busy = worker.busy.unwrap_or(0.0);
        let style = if busy >= 0.9 { theme.warning() } else { theme.bar() };
        cells.push(Span::raw(worker.busy.map_or_else(|| "\u{2013}".to_owned(), percent)));
        if bars > 2 {
            cells.push(Span::styled(bar(busy, bars.into()), style));
        }
        let rates = [worker.packets, worker.sleeps, worker.handed_over, worker.taken_over];
        cells.extend(rates.map(|rate| quiet(rate, theme)));
        cells
    });
    Content { columns, rows: rows.collect(), title: String::new(), note: String::new(), is_scrolled: false }
}

fn states<'a>(app: &'a App, moment: &Moment, theme: Theme, width: u16) -> Content<'a> {
    // The longest pair of names; what is left beside it decides how much is said of it.
    const NAME: u16 = 24;
    let is_narrow = width < NAME + 1 + 10 + 1 + 5 + 1 + 6;
    let bars = if is_narrow { 0 } else { width.saturating_sub(NAME + 11 + 6 + 7 + 2).min(24) };
    let mut columns = vec![wide(""), right("count", if is_narrow { 6 } else { 10 })];
    if !is_narrow {
        columns.push(right("share", 5));
    }
    if bars > 2 {
        columns.push(left("", bars));
    }
    columns.push(right("\u{b1}/s", 6));
    let rows = app.states().into_iter().map(|row| {
        let StateRow { name, count, share, change } = row;
        let count = if is_narrow { short(*count as f64) } else { whole(*count) };
        let mut cells = vec![Span::raw(fit(name, NAME.into())), Span::styled(count, theme.name())];
        if !is_narrow {
            cells.push(Span::raw(percent(*share)));
        }
        if bars > 2 {
            cells.push(Span::styled(bar(*share, bars.into()), theme.bar()));
        }
        let change = change.map_or_else(|| "\u{2013}".to_owned(), signed);
        let is_still = change == "0";
        cells.push(if is_still { Span::styled(change, theme.faint()) } else { Span::raw(change) });
        cells
    });
    let rates = moment.ends.iter().filter_map(|(name, rate)| Some((name, (*rate)?)));
    let ends: Vec<String> = rates.map(|(name, rate)| format!("{name} {}", short(rate))).collect();
    let (opening, ending) = (rate(moment.opening), rate(moment.ending));
    Content {
        columns,
        rows: rows.collect(),
        title: if is_narrow {
            format!("+{opening} \u{2212}{ending}/s")
        } else {
            format!("opening {opening}/s, ending {ending}/s")
        },
        note: match ends.is_empty() {
            true => String::new(),
            false => fit_words("ended/s:", &ends, width.into()),
        },
        is_scrolled: false,
    }
}

/// `words` behind `label`, as many as have room in `width` characters.
fn fit_words(label: &str, words: &[String], width: usize) -> String {
    let mut line = label.to_owned();
    for word in words {
        if line.chars().count() + 1 + word.chars().count() > width {
            break;
        }
        line.push(' ');
        line.push_str(word);
    }
    line
}

fn drops<'a>(app: &'a App, moment: &Moment, theme: Theme, width: u16) -> Content<'a> {
    let columns = vec![wide(""), right("rate/s", 6), right("total", if width < 34 { 6 } else { 13 })];
    let rows = app.drops().into_iter().map(|row| {
        let total = if width < 34 { short(row.total as f64) } else { whole(row.total) };
        let name =
            Span::raw(fit(&row.name, usize::from(width).saturating_sub(if width < 34 { 14 } else { 21 })));
        let is_going_on = row.rate.is_some_and(|rate| rate > 0.0);
        let rate = Span::styled(rate(row.rate), if is_going_on { theme.warning() } else { theme.faint() });
        vec![name, rate, Span::styled(total, theme.faint())]
    });
    let title = format!("{}/s", rate(moment.dropping));
    Content { columns, rows: rows.collect(), title, note: String::new(), is_scrolled: false }
}

/// How much is said of each connection, by the width there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    /// Both directions in one number, and no protocol but where there are no states.
    Little,
    /// Directions apart.
    Some,
    /// Protocol and times as well.
    More,
    /// Everything.
    All,
}

fn connections<'a>(app: &'a App, theme: Theme, (width, height): (u16, usize)) -> Content<'a> {
    let detail = match width {
        ..70 => Detail::Little,
        70..90 => Detail::Some,
        90..110 => Detail::More,
        110.. => Detail::All,
    };
    let rows = app.connections(height);
    let longest = rows.iter().map(|row| row.states.chars().count()).max().unwrap_or(0);
    let most = if detail >= Detail::More { 24 } else { 16 };
    let states = u16::try_from(longest).unwrap_or(u16::MAX).clamp(11, most);
    let mut fixed = vec![left("states", states)];
    if detail == Detail::Little {
        fixed.push(right("bit/s", 6));
    } else {
        fixed.extend([right("\u{2192}bit/s", 6), right("\u{2190}bit/s", 6)]);
    }
    fixed.push(right("pkt/s", 5));
    if detail == Detail::All {
        fixed.push(right("bytes", 6));
    }
    if detail >= Detail::More {
        fixed.extend([right("age", 7), right("idle", 7)]);
    }
    let mut columns = Vec::new();
    if detail >= Detail::More {
        columns.push(left("", 6));
    }
    let length = |column: &Column| if let Constraint::Length(length) = column.1 { length + 1 } else { 0 };
    let used: u16 = columns.iter().chain(&fixed).map(length).sum();
    let ends = width.saturating_sub(used + 1) / 2;
    columns.extend([left("from", ends), left("to", ends)]);
    columns.extend(fixed);
    let rows = rows.into_iter().map(|row| connection(row, detail, (ends.into(), states.into()), theme));
    let of_them = match app.looked_at() {
        Ok((true, count)) => format!("of {}", whole(count as u64)),
        Ok((false, 0)) => String::new(),
        Ok((false, count)) => format!("of the first {} only; a filter finds others", whole(count as u64)),
        Err(why) => why.to_owned(),
    };
    let title = match app.query() {
        "" => of_them,
        query => format!("{query}: {of_them}"),
    };
    Content { columns, rows: rows.collect(), title, note: String::new(), is_scrolled: true }
}

fn connection<'a>(
    row: &'a busiest::Row,
    detail: Detail,
    (ends, states): (usize, usize),
    theme: Theme,
) -> Cells<'a> {
    let mut cells = Vec::new();
    if detail >= Detail::More {
        cells.push(Span::styled(row.protocol.as_str(), theme.faint()));
    }
    cells.extend([Span::raw(fit(&row.source, ends)), Span::raw(fit(&row.destination, ends))]);
    // What has no states says at least what it is.
    let is_nameless = row.states.is_empty() && detail < Detail::More;
    let name = if is_nameless { &row.protocol } else { &row.states };
    cells.push(Span::raw(fit(name, states)));
    if detail == Detail::Little {
        cells.push(quiet(row.bits.map(|[one, other]| one + other), theme));
    } else {
        cells.extend([0, 1].map(|way| quiet(row.bits.map(|bits| bits[way]), theme)));
    }
    cells.push(quiet(row.packets, theme));
    if detail == Detail::All {
        cells.push(Span::raw(short(row.total as f64)));
    }
    if detail >= Detail::More {
        cells.extend([row.age, row.idle].map(|seconds| Span::styled(duration(seconds), theme.faint())));
    }
    cells
}
