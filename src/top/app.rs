//! What is shown, and what a key or an answer changes of it.

use crate::config::Top;
use crate::control::{Filter, Stats};
use crate::time::Time;

use super::action::{Action, Mode, Panel};
use super::busiest::{Busiest, Row};
use super::feed::News;
use super::history::History;
use super::moment::{DropRow, Moment, PortRows, StateRow, WorkerRow};
use super::query;

/// How long without an answer until the screen says so, in nanoseconds.
const SILENCE: u64 = 3_000_000_000;

/// The longest filter that can be typed.
const LONGEST_QUERY: usize = 200;

/// An order of rows: what it is called on the screen, in each panel.
const ORDERS: [&[&str]; Panel::ALL.len()] = [
    &["configuration", "received", "sent"],
    &["number", "busy", "packets"],
    &["count", "change", "name"],
    &["rate", "total", "name"],
    &["bit/s", "packet/s", "bytes", "age", "idle"],
];

/// The whole state of the screen.
#[derive(Debug)]
pub(super) struct App {
    limits: Top,
    /// The newest answer, to be the one before.
    last: Option<Stats>,
    /// What is shown of it; none before the first.
    moment: Option<Moment>,
    history: History,
    busiest: Busiest,
    /// Why there are no connections.
    unlisted: Option<String>,
    focus: Panel,
    /// Each panel's order, as a place in [`ORDERS`].
    orders: [usize; Panel::ALL.len()],
    /// How many rows each panel is scrolled down.
    offsets: [usize; Panel::ALL.len()],
    mode: Mode,
    is_zoomed: bool,
    is_paused: bool,
    is_over: bool,
    /// The filter as typed: what holds.
    query: String,
    /// The same while it is being typed.
    draft: String,
    /// What is wrong with the draft.
    fault: Option<String>,
    /// A filter that the middlebox has not been told.
    wish: Option<Filter>,
    now: Time,
    /// When anything was heard last.
    heard: Time,
    /// Why nothing was heard since.
    lost: Option<String>,
}

impl App {
    /// A screen on which nothing has been heard yet, at `now`.
    pub(super) fn new(limits: Top, now: Time) -> App {
        App {
            limits,
            last: None,
            moment: None,
            history: History::default(),
            busiest: Busiest::default(),
            unlisted: None,
            focus: Panel::Connections,
            orders: [0; Panel::ALL.len()],
            offsets: [0; Panel::ALL.len()],
            mode: Mode::Watching,
            is_zoomed: false,
            is_paused: false,
            is_over: false,
            query: String::new(),
            draft: String::new(),
            fault: None,
            wish: None,
            now,
            heard: now,
            lost: None,
        }
    }

    /// Takes what was heard at `now`. While the screen holds still, only whether anything is heard counts.
    pub(super) fn hear(&mut self, news: News, now: Time) {
        match news {
            News::Stats(stats) => {
                self.heard = now;
                self.lost = None;
                if !self.is_paused {
                    self.take(*stats);
                }
            }
            News::Lost(why) => self.lost = Some(why),
            News::Busiest(busiest) => {
                self.unlisted = None;
                if !self.is_paused {
                    self.busiest = busiest;
                }
            }
            News::Unlisted(why) => self.unlisted = Some(why),
        }
    }

    fn take(&mut self, stats: Stats) {
        // One that has been up for a shorter time is another one: its counters have nothing to do with these.
        let is_another = self.last.as_ref().is_some_and(|last| stats.uptime < last.uptime);
        if is_another {
            self.last = None;
            self.history.clear();
        }
        let moment = Moment::of(&stats, self.last.as_ref(), &self.limits);
        for row in moment.ports.iter().flat_map(|port| std::iter::once(&port.whole).chain(&port.queues)) {
            if let Some(packets) = row.received.packets {
                self.history.push(&row.name, packets);
            }
        }
        self.moment = Some(moment);
        self.last = Some(stats);
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Time) {
        self.now = now;
    }

    /// Does what a key asks for.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Quit => self.is_over = true,
            Action::Turn(by) => {
                let count = Panel::ALL.len() as isize;
                let next = (self.focus as isize + isize::from(by)).rem_euclid(count);
                self.focus = Panel::ALL[next as usize];
            }
            Action::Focus(panel) => self.focus = panel,
            Action::Sort => {
                let panel = self.focus as usize;
                self.orders[panel] = (self.orders[panel] + 1) % ORDERS[panel].len();
                self.offsets[panel] = 0;
            }
            Action::Zoom => self.is_zoomed = !self.is_zoomed,
            Action::Scroll(by) => self.scroll(by),
            Action::Pause => self.is_paused = !self.is_paused,
            Action::Help => self.mode = Mode::Reading,
            Action::Filter => {
                self.mode = Mode::Typing;
                self.draft.clone_from(&self.query);
                self.fault = None;
            }
            Action::Type(_) | Action::Erase | Action::Clear => self.edit(action),
            Action::Accept => self.accept(),
            Action::Cancel => self.cancel(),
        }
    }

    fn scroll(&mut self, by: i32) {
        let panel = self.focus;
        let last = self.rows(panel).saturating_sub(1);
        let offset = &mut self.offsets[panel as usize];
        *offset = offset.saturating_add_signed(by as isize).min(last);
    }

    fn edit(&mut self, action: Action) {
        if let Action::Type(character) = action
            && self.draft.len() < LONGEST_QUERY
        {
            self.draft.push(character);
        } else if action == Action::Erase {
            self.draft.pop();
        } else if action == Action::Clear {
            self.draft.clear();
        }
        self.fault = None;
    }

    fn accept(&mut self) {
        match query::parse(&self.draft) {
            Ok(filter) => {
                self.query = self.draft.trim().to_owned();
                self.wish = Some(filter);
                self.busiest = Busiest::default();
                self.offsets[Panel::Connections as usize] = 0;
                self.focus = Panel::Connections;
                self.mode = Mode::Watching;
            }
            Err(fault) => self.fault = Some(fault),
        }
    }

    /// Back: out of the help, out of the draft; and with nothing to come out of, out of the filter.
    fn cancel(&mut self) {
        match self.mode {
            Mode::Typing | Mode::Reading => {}
            Mode::Watching if self.is_zoomed => self.is_zoomed = false,
            Mode::Watching if !self.query.is_empty() => {
                self.draft.clear();
                self.accept();
            }
            Mode::Watching => {}
        }
        self.mode = Mode::Watching;
        self.fault = None;
    }

    /// A filter that the middlebox is to be told, once.
    pub(super) fn take_wish(&mut self) -> Option<Filter> {
        self.wish.take()
    }

    /// What keys mean.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether it is enough.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the screen holds still.
    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether the panel in focus is alone.
    pub(super) fn is_zoomed(&self) -> bool {
        self.is_zoomed
    }

    /// The panel in focus.
    pub(super) fn focus(&self) -> Panel {
        self.focus
    }

    /// What is shown of the newest answer.
    pub(super) fn moment(&self) -> Option<&Moment> {
        self.moment.as_ref()
    }

    /// The last minutes.
    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// The filter that holds, as typed.
    pub(super) fn query(&self) -> &str {
        &self.query
    }

    /// The filter that is being typed, and what is wrong with it.
    pub(super) fn draft(&self) -> (&str, Option<&str>) {
        (&self.draft, self.fault.as_deref())
    }

    /// Whether all connections that the filter fits were looked at, and how many that were; or why none.
    pub(super) fn looked_at(&self) -> Result<(bool, usize), &str> {
        match &self.unlisted {
            Some(why) => Err(why),
            None => Ok((self.busiest.is_whole, self.busiest.rows.len())),
        }
    }

    /// Why nothing is heard, and for how many seconds; none where all is well.
    pub(super) fn silence(&self) -> Option<(&str, u64)> {
        let nanoseconds = self.now.nanoseconds().saturating_sub(self.heard.nanoseconds());
        let seconds = nanoseconds / 1_000_000_000;
        match &self.lost {
            Some(why) => Some((why, seconds)),
            None if nanoseconds >= SILENCE => Some(("lastack does not answer", seconds)),
            None => None,
        }
    }

    /// What a panel's rows are ordered by.
    pub(super) fn order(&self, panel: Panel) -> &'static str {
        ORDERS[panel as usize][self.orders[panel as usize]]
    }

    /// How many rows a panel is scrolled down.
    pub(super) fn offset(&self, panel: Panel) -> usize {
        self.offsets[panel as usize]
    }

    /// How many rows a panel has.
    fn rows(&self, panel: Panel) -> usize {
        let Some(moment) = &self.moment else { return 0 };
        match panel {
            Panel::Ports => moment.ports.iter().map(|port| 1 + port.queues.len()).sum(),
            Panel::Workers => moment.workers.len(),
            Panel::States => moment.states.len(),
            Panel::Drops => moment.drops.len(),
            Panel::Connections => self.busiest.rows.len(),
        }
    }

    /// The ports in their order.
    pub(super) fn ports(&self) -> Vec<&PortRows> {
        let order = self.order(Panel::Ports);
        self.sorted(
            |moment| &moment.ports,
            |port| match order {
                "received" => (largest(port.whole.received.bits), String::new()),
                "sent" => (largest(port.whole.sent.bits), String::new()),
                _ => (0.0, String::new()),
            },
        )
    }

    /// The workers in their order.
    pub(super) fn workers(&self) -> Vec<&WorkerRow> {
        let order = self.order(Panel::Workers);
        self.sorted(
            |moment| &moment.workers,
            |worker| match order {
                "busy" => (largest(worker.busy), String::new()),
                "packets" => (largest(worker.packets), String::new()),
                _ => (0.0, String::new()),
            },
        )
    }

    /// The pairs of states in their order.
    pub(super) fn states(&self) -> Vec<&StateRow> {
        let order = self.order(Panel::States);
        self.sorted(
            |moment| &moment.states,
            |row| match order {
                "count" => (-(row.count as f64), row.name.clone()),
                "change" => (largest(row.change.map(f64::abs)), row.name.clone()),
                _ => (0.0, row.name.clone()),
            },
        )
    }

    /// The reasons in their order.
    pub(super) fn drops(&self) -> Vec<&DropRow> {
        let order = self.order(Panel::Drops);
        self.sorted(
            |moment| &moment.drops,
            |row| match order {
                "rate" => (largest(row.rate), format!("{:020}{}", u64::MAX - row.total, row.name)),
                "total" => (-(row.total as f64), row.name.clone()),
                _ => (0.0, row.name.clone()),
            },
        )
    }

    /// The first `most` connections in their order, from the panel's offset on.
    pub(super) fn connections(&self, most: usize) -> Vec<&Row> {
        let order = self.order(Panel::Connections);
        let key = |row: &Row| match order {
            "bit/s" => largest(row.bits.map(|[one, other]| one + other)),
            "packet/s" => largest(row.packets),
            "bytes" => -(row.total as f64),
            "age" => -row.age,
            _ => -row.idle,
        };
        let mut keyed: Vec<(f64, &Row)> = self.busiest.rows.iter().map(|row| (key(row), row)).collect();
        let compare = |(a, one): &(f64, &Row), (b, other): &(f64, &Row)| {
            a.total_cmp(b).then(other.total.cmp(&one.total)).then(one.id.cmp(&other.id))
        };
        // All of twenty thousand need not be in order when forty are looked at.
        let offset = self.offset(Panel::Connections).min(keyed.len().saturating_sub(most));
        let end = offset + most;
        if end < keyed.len() {
            keyed.select_nth_unstable_by(end, compare);
            keyed.truncate(end);
        }
        keyed.sort_unstable_by(compare);
        keyed.into_iter().skip(offset).map(|(_, row)| row).collect()
    }

    /// Rows by a key; those that have the same one stay as they are.
    fn sorted<T>(&self, rows: fn(&Moment) -> &Vec<T>, key: impl Fn(&T) -> (f64, String)) -> Vec<&T> {
        let mut keyed: Vec<((f64, String), &T)> =
            self.moment.iter().flat_map(rows).map(|row| (key(row), row)).collect();
        keyed.sort_by(|((a, one), _), ((b, other), _)| a.total_cmp(b).then_with(|| one.cmp(other)));
        keyed.into_iter().map(|(_, row)| row).collect()
    }
}

/// The key that puts the largest first; what nobody knows comes last.
fn largest(value: Option<f64>) -> f64 {
    value.map_or(f64::INFINITY, |value| -value)
}
