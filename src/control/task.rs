//! Answers under way: each is made in pieces, as fast as its client takes them.
//!
//! ```text
//!  request ─ Task::begin ─► step ─► lines into the output, until that is full ─► Progress
//!                            ▲                                                     │
//!                            └──────── again: at once, when it drains, later ◄─────┘
//! ```

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use super::filter::Filter;
use super::output::Output;
use super::protocol::{Command, Count, Event, Line, Missed, Request};
use super::scan::{Scan, Scanned};
use super::stats::{self, Stats};
use crate::json::Connection;
use crate::shard::{Census, Record};
use crate::table::Index;
use crate::view::events::{Heard, Listener};
use crate::view::{self, Plane, View};

/// How many connections or events are looked at in one step.
const AT_ONCE: u32 = 1024;
/// How many connections one command to a worker names.
const BATCH: usize = 256;
/// How long a worker's turn, or its answer, is waited for before it is asked again.
const SOON: Duration = Duration::from_millis(1);
/// How long after they happened events may be told.
const EVENTS_LATE: Duration = Duration::from_millis(10);

/// An answer that cannot be given at once.
#[derive(Debug)]
pub(super) enum Task {
    List { scan: Scan, is_headed: bool, then_events: Option<Filter> },
    Count { scan: Scan, census: Box<Census> },
    Delete(Deletion),
    Events { sources: Vec<(Arc<View>, Listener)>, filter: Filter },
}

/// What a step has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to be said at once.
    Going,
    /// There may be more to be said after this long.
    Later(Duration),
    /// The answer is complete.
    Over,
}

impl Task {
    /// Answers `request`, or begins to.
    pub(super) fn begin(request: Request, plane: &Plane, output: &mut Output) -> Option<Task> {
        let Request { command, filter, snapshot, .. } = request;
        let scan = |filter| Scan::new(&plane.workers, filter);
        let task = match command {
            Command::List => Task::List { scan: scan(filter), is_headed: false, then_events: None },
            Command::Events if snapshot => {
                Task::List { scan: scan(filter.clone()), is_headed: false, then_events: Some(filter) }
            }
            Command::Events => {
                let wanted = plane.workers.iter().filter(|view| filter.admits_shard(view.number));
                let listen = |view: &Arc<View>| (Arc::clone(view), view.events.listen(&view.epoch));
                Task::Events { sources: wanted.map(listen).collect(), filter }
            }
            Command::Count if !filter.is_empty() => {
                Task::Count { scan: scan(filter), census: Box::new(Census::ZERO) }
            }
            Command::Count => {
                let mut census = Census::ZERO;
                plane.workers.iter().for_each(|view| census.add(&view.report().census));
                return finish(output, &counted(&census));
            }
            Command::Stats => return finish(output, &Line::Stats(Box::new(Stats::of(plane)))),
            Command::Delete if filter.is_empty() => {
                let message = "delete needs a filter, such as --source 10.0.0.1; flush deletes everything";
                output.line(&Line::Error { message: message.to_owned() });
                return None;
            }
            Command::Flush if !filter.is_empty() => {
                let message = "flush takes no filter, it deletes everything; delete takes one";
                output.line(&Line::Error { message: message.to_owned() });
                return None;
            }
            Command::Delete | Command::Flush => Task::Delete(Deletion::new(scan(filter))),
        };
        Some(task)
    }

    /// Goes on with the answer.
    pub(super) fn step(&mut self, plane: &Plane, output: &mut Output) -> Progress {
        match self {
            Task::List { scan, is_headed, then_events } => {
                let progress = list(scan, is_headed, plane, output);
                if progress == Progress::Over {
                    return match then_events.take() {
                        Some(filter) => {
                            let scan = std::mem::replace(scan, Scan::new(&[], Filter::default()));
                            *self = Task::Events { sources: scan.into_listeners(), filter };
                            Progress::Going
                        }
                        None => {
                            scan.missed().for_each(|missed| output.line(&Line::Missed(missed)));
                            output.line(&Line::End);
                            Progress::Over
                        }
                    };
                }
                progress
            }
            Task::Count { scan, census } => count(scan, census, plane, output),
            Task::Delete(deletion) => deletion.step(plane, output),
            Task::Events { sources, filter } => tell_events(sources, filter, plane, output),
        }
    }
}

/// Says `line`, and that it was all.
fn finish(output: &mut Output, line: &Line) -> Option<Task> {
    output.line(line);
    output.line(&Line::End);
    None
}

fn list(scan: &mut Scan, is_headed: &mut bool, plane: &Plane, output: &mut Output) -> Progress {
    let now = plane.clock.now();
    if !*is_headed {
        let Some(sequences) = scan.sequences() else { return Progress::Later(SOON) };
        output.line(&Line::Snapshot { time: now.seconds(), sequences: sequences.to_vec() });
        *is_headed = true;
    }
    scan.keep_up();
    for _ in 0..AT_ONCE {
        if output.is_full() {
            break;
        }
        match scan.step(now) {
            Scanned::Found(_, _, record) => {
                output.line(&Line::Connection(Connection::of(&record, now.tick())));
            }
            Scanned::Other => {}
            Scanned::Waiting => return Progress::Later(SOON),
            Scanned::Done => return Progress::Over,
        }
    }
    Progress::Going
}

fn count(scan: &mut Scan, census: &mut Census, plane: &Plane, output: &mut Output) -> Progress {
    let now = plane.clock.now();
    scan.keep_up();
    for _ in 0..AT_ONCE {
        match scan.step(now) {
            Scanned::Found(_, _, record) => add(census, &record),
            Scanned::Other => {}
            Scanned::Waiting => return Progress::Later(SOON),
            Scanned::Done => {
                finish(output, &counted(census));
                return Progress::Over;
            }
        }
    }
    Progress::Going
}

fn add(census: &mut Census, record: &Record) {
    census.by_protocol[usize::from(record.originator.0.is_ipv6())][usize::from(record.protocol)] += 1;
    if let Some([originator, responder]) = record.states {
        census.by_states[originator as usize][responder as usize] += 1;
    }
}

fn counted(census: &Census) -> Line {
    let by_protocol = stats::by_protocol(census);
    let connections = by_protocol.values().sum();
    Line::Count(Count { connections, by_protocol, by_states: stats::by_states(census) })
}

fn tell_events(
    sources: &mut [(Arc<View>, Listener)],
    filter: &Filter,
    plane: &Plane,
    output: &mut Output,
) -> Progress {
    let tick = plane.clock.now().tick();
    let mut is_quiet = true;
    for (view, listener) in sources {
        if listener.position(&view.epoch).is_none() {
            continue;
        }
        let shard = view.number;
        // Each shard in turn, so that a busy one does not silence the others.
        for _ in 0..AT_ONCE {
            if output.is_full() {
                return Progress::Going;
            }
            let Some(heard) = listener.next() else { break };
            is_quiet = false;
            match heard {
                Heard::Missed { from, to } => output.line(&Line::Missed(Missed { shard, from, to })),
                Heard::Event(event) if filter.fits(&event.record) => output.line(&Line::Event(Event {
                    event: Cow::Borrowed(event.kind.name()),
                    shard,
                    sequence: event.change.sequence,
                    connection: Connection::of(&event.record, tick),
                })),
                Heard::Event(_) => {}
            }
        }
    }
    if is_quiet { Progress::Later(EVENTS_LATE) } else { Progress::Going }
}

/// Connections being found, given to their workers in batches, and counted as these answer.
#[derive(Debug)]
pub(super) struct Deletion {
    scan: Scan,
    batch: Vec<(Index, u64)>,
    /// The worker that the batch is for.
    owner: Option<Arc<View>>,
    /// What a worker had no room for.
    refused: Option<(Arc<View>, view::Command)>,
    /// None once everything was asked.
    done: Option<Sender<usize>>,
    deleted: Receiver<usize>,
    total: u64,
}

impl Deletion {
    fn new(scan: Scan) -> Deletion {
        let (done, deleted) = channel();
        Deletion { scan, batch: Vec::new(), owner: None, refused: None, done: Some(done), deleted, total: 0 }
    }

    fn step(&mut self, plane: &Plane, output: &mut Output) -> Progress {
        if let Some((view, command)) = self.refused.take() {
            self.give(view, command);
        }
        let now = plane.clock.now();
        self.scan.keep_up();
        for _ in 0..AT_ONCE {
            if self.refused.is_some() {
                return Progress::Later(SOON);
            }
            if self.done.is_none() {
                return self.gather(output);
            }
            match self.scan.step(now) {
                Scanned::Found(view, index, record) => self.add(view, index, record.id),
                Scanned::Other => {}
                Scanned::Waiting => return Progress::Later(SOON),
                Scanned::Done if self.batch.is_empty() => self.done = None,
                Scanned::Done => self.send(),
            }
        }
        Progress::Going
    }

    fn add(&mut self, view: Arc<View>, index: Index, id: u64) {
        if self.owner.as_ref().is_some_and(|owner| owner.number != view.number) {
            self.send();
        }
        self.owner = Some(view);
        self.batch.push((index, id));
        if self.batch.len() == BATCH {
            self.send();
        }
    }

    /// Gives the batch to its worker.
    fn send(&mut self) {
        let (Some(view), Some(done)) = (self.owner.take(), &self.done) else { return };
        let connections = std::mem::take(&mut self.batch).into_boxed_slice();
        if !connections.is_empty() {
            let command = view::Command::Delete { connections, done: done.clone() };
            self.give(view, command);
        }
    }

    fn give(&mut self, view: Arc<View>, command: view::Command) {
        if let Err(command) = view.ask(command) {
            self.refused = Some((view, command));
        }
    }

    /// Everything was asked: counts what the workers have done, until each has answered.
    fn gather(&mut self, output: &mut Output) -> Progress {
        loop {
            match self.deleted.try_recv() {
                Ok(deleted) => self.total += deleted as u64,
                Err(TryRecvError::Empty) => return Progress::Later(SOON),
                Err(TryRecvError::Disconnected) => {
                    finish(output, &Line::Deleted { connections: self.total });
                    return Progress::Over;
                }
            }
        }
    }
}
