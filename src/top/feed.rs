//! The control socket, on threads of its own: asked once a second, and again when it has gone.
//!
//! ```text
//!   numbers ──► stats ────────────────────────► wait a second ─┐
//!       ▲         └─ it fails: say why, and forget the socket ─┤
//!       └──────────────────────────────────────────────────────┘
//!   connections ──► list, up to MOST of them ──► wait, or for another filter ──► …
//! ```
//!
//! Two, since a listing of many connections takes its time and the numbers should not wait for it. One that
//! would go on for longer is left: its socket is closed, which is all that the middlebox needs to stop. One
//! that takes long is asked for less often, so that looking is never more than a fifth of what there is to do.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::busiest::{Before, Busiest, Listing, MOST};
use crate::control::{Client, Command, Filter, Line, Request, Stats, client};
use crate::time::SystemClock;

/// How often it is asked.
const PERIOD: Duration = Duration::from_secs(1);

/// For each unit of time that a listing took, so many pass until the next.
const RESTRAINT: u32 = 4;

/// What was heard.
#[derive(Debug)]
pub(super) enum News {
    /// The numbers.
    Stats(Box<Stats>),
    /// Nothing, and why.
    Lost(String),
    /// The connections.
    Busiest(Busiest),
    /// None of them, and why.
    Unlisted(String),
}

/// The threads' other end.
#[derive(Debug)]
pub(super) struct Feed {
    news: Receiver<News>,
    wishes: Sender<Filter>,
}

impl Feed {
    /// Begins to ask, by `client` first. The threads end when the feed is dropped, or with the process: nobody
    /// waits for them, since an answer that never comes must not keep the screen from ending.
    pub(super) fn start(socket: PathBuf, client: Client) -> Feed {
        let (tell, news) = mpsc::channel();
        let (wishes, wished) = mpsc::channel();
        let numbers = Numbers { socket: socket.clone(), client: Some(client), tell: tell.clone() };
        let connections =
            Connections { socket, client: None, filter: Filter::default(), before: Before::default(), tell };
        std::thread::spawn(move || numbers.run());
        std::thread::spawn(move || connections.run(&wished));
        Feed { news, wishes }
    }

    /// What was heard since the last call.
    pub(super) fn news(&self) -> impl Iterator<Item = News> + '_ {
        self.news.try_iter()
    }

    /// Only these connections are wanted from now on.
    pub(super) fn wish(&self, filter: Filter) {
        // The thread ends only after this feed.
        let _ = self.wishes.send(filter);
    }
}

/// Asks for the numbers.
struct Numbers {
    socket: PathBuf,
    client: Option<Client>,
    tell: Sender<News>,
}

impl Numbers {
    fn run(mut self) {
        loop {
            let news = connected(&mut self.client, &self.socket).and_then(Client::stats).map_or_else(
                |error| {
                    self.client = None;
                    News::Lost(error.to_string())
                },
                |stats| News::Stats(Box::new(stats)),
            );
            if self.tell.send(news).is_err() {
                return;
            }
            std::thread::sleep(PERIOD);
        }
    }
}

/// Asks for the connections.
struct Connections {
    socket: PathBuf,
    client: Option<Client>,
    filter: Filter,
    before: Before,
    tell: Sender<News>,
}

impl Connections {
    fn run(mut self, wished: &Receiver<Filter>) {
        let clock = SystemClock::new();
        loop {
            let began = clock.now();
            let news = match self.listing() {
                Ok(listing) => News::Busiest(self.before.advance(&listing)),
                Err(error) => {
                    self.client = None;
                    News::Unlisted(error.to_string())
                }
            };
            let took = Duration::from_nanos(clock.now().nanoseconds() - began.nanoseconds());
            if self.tell.send(news).is_err() {
                return;
            }
            match wished.recv_timeout(PERIOD.max(took * RESTRAINT)) {
                Ok(filter) => {
                    self.filter = filter;
                    self.before = Before::default();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn listing(&mut self) -> Result<Listing, client::Error> {
        let client = connected(&mut self.client, &self.socket)?;
        let mut answer = client.ask(&Request::new(Command::List, self.filter.clone()))?;
        let mut listing = Listing { is_whole: true, ..Listing::default() };
        while let Some(line) = answer.next()? {
            match line {
                Line::Snapshot { time, .. } => listing.time = time,
                Line::Connection(_) if listing.connections.len() == MOST => {
                    listing.is_whole = false;
                    self.client = None;
                    break;
                }
                Line::Connection(connection) => listing.connections.push(connection),
                Line::Event(_)
                | Line::Missed(_)
                | Line::Count(_)
                | Line::Deleted { .. }
                | Line::Stats(_)
                | Line::Error { .. }
                | Line::End => {}
            }
        }
        Ok(listing)
    }
}

/// The client, connected anew where there is none.
fn connected<'a>(client: &'a mut Option<Client>, socket: &Path) -> Result<&'a mut Client, client::Error> {
    match client {
        Some(client) => Ok(client),
        none => Ok(none.insert(Client::connect(socket)?)),
    }
}
