//! The director: asks the kernels and the tracker, compares, and lets the scripts go on.
//!
//! ```text
//!  scripts, a thread each ── Accepted, Moment, Finished ──► director
//!       ▲                                                     │ every 50 ms: client's kernel, server's kernel,
//!       └───────────────── seen ◄─────────────────────────────┘ tracker; one sample for each connection
//! ```
//!
//! The three are asked one after the other, and packets travel in between. So a moment is not one sample:
//! the director waits until the kernels are where the script has brought them and the tracker says the same,
//! and only after [`PATIENCE`] it puts down that they disagree.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use super::Error;
use super::act::{Act, Event, Stop};
use super::scenario::{SCENARIOS, Scenario};
use super::text::Screen;
use super::tracker::{Tracked, Tracker};
use crate::lab::{Lab, SocketState};
use crate::tcp::State;
use crate::time::SystemClock;

/// How often the director looks.
const TURN: Duration = Duration::from_millis(50);
/// How long the kernels have to come to the expected states, and the tracker to agree with them; in seconds.
const PATIENCE: f64 = 3.0;
/// How much later each script starts than the one before it.
const STAGGER: Duration = Duration::from_millis(250);
/// The client port of the first script of the first round.
const FIRST_PORT: u16 = 40_000;
/// How many ports lie between two rounds.
const ROUND_PORTS: u16 = 10;
/// After how many rounds ports come again: hours later.
const ROUNDS: u16 = 2_500;

/// What was said of a connection at one time, of the client first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// By the two kernels of their sockets.
    pub kernels: [State; 2],
    /// By the tracker: the connection's number and states; `None` where it has no such connection.
    pub tracked: Option<(u64, [State; 2])>,
}

impl Sample {
    /// Whether all say the same. A connection that the tracker does not know is closed on both sides.
    pub fn agrees(&self) -> bool {
        self.tracked.map_or([State::Closed; 2], |(_, states)| states) == self.kernels
    }
}

/// A moment that a script named, and what was said then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What had happened.
    pub text: &'static str,
    /// What was said.
    pub sample: Sample,
}

/// One connection of a round.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// What it shows.
    pub title: &'static str,
    /// The client's address and port.
    pub client: SocketAddr,
    /// The server's.
    pub server: SocketAddr,
    /// The moments so far.
    pub moments: Vec<Moment>,
    /// What was said last.
    pub now: Option<Sample>,
    is_accepted: bool,
}

/// What came of the demo.
#[derive(Debug, Clone)]
pub struct Report {
    /// The connections of the last round that was played to its end, or of the only one.
    pub conversations: Vec<Conversation>,
    /// How many rounds were begun.
    pub rounds: usize,
    /// Moments of all rounds.
    pub comparisons: usize,
    /// At how many of them kernels and tracker said different things.
    pub disagreements: usize,
    /// Somebody ended it before its time.
    pub is_interrupted: bool,
}

/// Plays rounds through whatever stands in the middle of `lab` until `seconds` have passed, at least one.
///
/// # Errors
/// A script cannot be played, or the tracker cannot be asked.
pub fn perform(
    lab: &Lab,
    tracker: &mut dyn Tracker,
    seconds: u32,
    screen: &mut Screen<'_>,
    interrupted: &mut dyn FnMut() -> bool,
) -> Result<Report, Error> {
    let clock = SystemClock::new();
    let mut report = Report {
        conversations: Vec::new(),
        rounds: 0,
        comparisons: 0,
        disagreements: 0,
        is_interrupted: false,
    };
    loop {
        let mut round = Round::new(report.rounds, &clock);
        round.play(lab, tracker, screen, interrupted)?;
        report.rounds += 1;
        let moments = round.conversations.iter().flat_map(|conversation| &conversation.moments);
        let (agreements, disagreements): (Vec<&Moment>, Vec<&Moment>) =
            moments.partition(|moment| moment.sample.agrees());
        report.comparisons += agreements.len() + disagreements.len();
        report.disagreements += disagreements.len();
        report.is_interrupted = round.is_interrupted;
        if report.conversations.is_empty() || !round.is_interrupted {
            report.conversations = round.conversations;
        }
        if report.is_interrupted || clock.now().seconds() >= f64::from(seconds) {
            screen.clear().map_err(Error::Output)?;
            return Ok(report);
        }
    }
}

/// One playing of every script.
struct Round<'a> {
    conversations: Vec<Conversation>,
    clock: &'a SystemClock,
    pending: Vec<Pending>,
    is_interrupted: bool,
    failure: Option<Error>,
}

/// A moment that was named and not seen yet.
struct Pending {
    row: usize,
    text: &'static str,
    expected: [State; 2],
    since: f64,
    /// Dropped without a word, it tells the script that the demo is over.
    seen: Sender<()>,
}

impl<'a> Round<'a> {
    fn new(number: usize, clock: &'a SystemClock) -> Round<'a> {
        let base = FIRST_PORT + (number % usize::from(ROUNDS)) as u16 * ROUND_PORTS;
        let conversations = SCENARIOS.iter().zip(base..).map(|(scenario, port)| {
            let (client, server) = if scenario.is_v6 {
                (IpAddr::V6(Lab::CLIENT.1), IpAddr::V6(Lab::SERVER.1))
            } else {
                (IpAddr::V4(Lab::CLIENT.0), IpAddr::V4(Lab::SERVER.0))
            };
            Conversation {
                title: scenario.title,
                client: SocketAddr::new(client, port),
                server: SocketAddr::new(server, scenario.port),
                moments: Vec::new(),
                now: None,
                is_accepted: false,
            }
        });
        Round {
            conversations: conversations.collect(),
            clock,
            pending: Vec::new(),
            is_interrupted: false,
            failure: None,
        }
    }

    fn play(
        &mut self,
        lab: &Lab,
        tracker: &mut dyn Tracker,
        screen: &mut Screen<'_>,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        let (is_over, kept) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let (events, inbox) = mpsc::channel();
        thread::scope(|scope| {
            for (row, (scenario, conversation)) in SCENARIOS.iter().zip(&self.conversations).enumerate() {
                let act = Act {
                    lab,
                    row,
                    client: conversation.client,
                    server: conversation.server,
                    events: events.clone(),
                    is_over: &is_over,
                    kept: &kept,
                };
                scope.spawn(move || run_script(scenario, &act));
            }
            drop(events);
            // Scripts must learn that it is over before the scope waits for them: here, and by `inbox`,
            // with which the moments go that nobody has looked at.
            let result = self.direct(lab, tracker, screen, interrupted, &inbox, &is_over);
            is_over.store(true, Ordering::Relaxed);
            self.pending.clear();
            drop(inbox);
            result
        })
    }

    /// Looks, compares and shows until every script is over.
    fn direct(
        &mut self,
        lab: &Lab,
        tracker: &mut dyn Tracker,
        screen: &mut Screen<'_>,
        interrupted: &mut dyn FnMut() -> bool,
        inbox: &Receiver<Event>,
        is_over: &AtomicBool,
    ) -> Result<(), Error> {
        loop {
            // Every script holds a sender until it ends, be it by a panic.
            let are_all_over = loop {
                match inbox.try_recv() {
                    Ok(event) => self.take(event),
                    Err(TryRecvError::Empty) => break false,
                    Err(TryRecvError::Disconnected) => break true,
                }
            };
            if interrupted() {
                self.is_interrupted = true;
            }
            if self.is_interrupted || self.failure.is_some() {
                is_over.store(true, Ordering::Relaxed);
                self.pending.clear();
            } else {
                let tracked = tracker.connections().map_err(|error| Error::Middlebox(error.to_string()))?;
                self.look(&lab.client.sockets()?, &lab.server.sockets()?, &tracked);
                self.answer();
                screen.show(&self.conversations, self.clock.now().seconds()).map_err(Error::Output)?;
            }
            if are_all_over {
                return self.failure.take().map_or(Ok(()), Err);
            }
            thread::sleep(TURN);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Accepted { row } => self.conversations[row].is_accepted = true,
            Event::Moment { row, text, expected, seen } => {
                let since = self.clock.now().seconds();
                self.pending.push(Pending { row, text, expected, since, seen });
            }
            Event::Finished { result: Ok(()) | Err(Stop::Interrupted), .. } => {}
            Event::Finished { row, result: Err(Stop::Failed(why)) } => {
                self.failure.get_or_insert(Error::Scenario(SCENARIOS[row].title, why));
            }
        }
    }

    /// Takes a sample of every connection.
    fn look(&mut self, client: &[SocketState], server: &[SocketState], tracked: &[Tracked]) {
        for conversation in &mut self.conversations {
            let sample = conversation.sample(client, server, tracked);
            // A connection that has not begun yet has no row.
            let has_begun = sample.kernels[0] != State::Closed || sample.tracked.is_some();
            if has_begun || conversation.now.is_some() {
                conversation.now = Some(sample);
            }
        }
    }

    /// Puts down the moments that have come, and those that have not in all this time.
    fn answer(&mut self) {
        let now = self.clock.now().seconds();
        for pending in std::mem::take(&mut self.pending) {
            let conversation = &mut self.conversations[pending.row];
            let sample = conversation.now.unwrap_or(Sample { kernels: [State::Closed; 2], tracked: None });
            let has_come = sample.kernels == pending.expected;
            let is_late = now - pending.since > PATIENCE;
            if has_come && (sample.agrees() || is_late) {
                conversation.moments.push(Moment { text: pending.text, sample });
                // The script may have ended meanwhile, by a panic.
                let _ = pending.seen.send(());
            } else if is_late {
                let [client, server] = sample.kernels.map(State::name);
                let [as_client, as_server] = pending.expected.map(State::name);
                let why = format!("the kernels are in {client}/{server}, not in {as_client}/{as_server}");
                self.failure.get_or_insert(Error::Scenario(conversation.title, why));
            } else {
                self.pending.push(pending);
            }
        }
    }
}

impl Conversation {
    fn sample(&self, client: &[SocketState], server: &[SocketState], tracked: &[Tracked]) -> Sample {
        let find = |sockets: &[SocketState], local, remote| {
            let found = sockets.iter().find(|socket| (socket.local, socket.remote) == (local, remote));
            found.map(|socket| socket.state)
        };
        let at_client = find(client, self.client, self.server).unwrap_or(State::Closed);
        let at_server = find(server, self.server, self.client);
        let is_listening =
            || server.iter().any(|socket| socket.local == self.server && socket.state == State::Listen);
        let at_server = at_server.unwrap_or_else(|| {
            if !self.is_accepted && is_listening() { State::Listen } else { State::Closed }
        });
        let incarnations =
            tracked.iter().filter(|it| (it.originator, it.responder) == (self.client, self.server));
        Sample {
            kernels: [at_client, at_server],
            tracked: incarnations.max_by_key(|it| it.id).map(|it| (it.id, it.states)),
        }
    }
}

fn run_script(scenario: &Scenario, act: &Act<'_>) {
    let result = act.pause(STAGGER * act.row as u32).and_then(|()| (scenario.play)(act));
    // The director is gone only if it has panicked.
    let _ = act.events.send(Event::Finished { row: act.row, result });
}
