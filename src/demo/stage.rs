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
/// For how many looks a disagreement may come from asking at different times, a delayed ACK's 40 ms included.
const LOOKS_IN_MOTION: u32 = 4;
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
    /// For how many looks in a row they have not been of one opinion.
    disagreements: u32,
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
                disagreements: 0,
            }
        });
        Round { conversations: conversations.collect(), clock, is_interrupted: false, failure: None }
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
            let director = Director { round: self, inbox, pending: Vec::new(), is_over: &is_over };
            director.direct(lab, tracker, screen, interrupted)
        })
    }
}

/// What is alive only while scripts are played. The scope waits for them, so they must learn that it is over
/// however directing ends, be it by a panic: by the flag, and by the moments that nobody will answer, which go
/// with the director and its inbox.
struct Director<'r, 'c> {
    round: &'r mut Round<'c>,
    inbox: Receiver<Event>,
    pending: Vec<Pending>,
    is_over: &'r AtomicBool,
}

impl Drop for Director<'_, '_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Director<'_, '_> {
    /// Looks, compares and shows until every script is over.
    fn direct(
        mut self,
        lab: &Lab,
        tracker: &mut dyn Tracker,
        screen: &mut Screen<'_>,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        loop {
            // Every script holds a sender until it ends, be it by a panic.
            let are_all_over = loop {
                match self.inbox.try_recv() {
                    Ok(event) => self.take(event),
                    Err(TryRecvError::Empty) => break false,
                    Err(TryRecvError::Disconnected) => break true,
                }
            };
            if interrupted() {
                self.round.is_interrupted = true;
            }
            if self.round.is_interrupted || self.round.failure.is_some() {
                self.is_over.store(true, Ordering::Relaxed);
                self.pending.clear();
            } else {
                let tracked = tracker.connections().map_err(|error| Error::Middlebox(error.to_string()))?;
                self.look(&lab.client.sockets()?, &lab.server.sockets()?, &tracked);
                self.answer();
                screen
                    .show(&self.round.conversations, self.round.clock.now().seconds())
                    .map_err(Error::Output)?;
            }
            if are_all_over {
                return self.round.failure.take().map_or(Ok(()), Err);
            }
            thread::sleep(TURN);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Accepted { row } => self.round.conversations[row].is_accepted = true,
            Event::Moment { row, text, expected, seen } => {
                let since = self.round.clock.now().seconds();
                self.pending.push(Pending { row, text, expected, since, seen });
            }
            Event::Finished { result: Ok(()) | Err(Stop::Interrupted), .. } => {}
            Event::Finished { row, result: Err(Stop::Failed(why)) } => {
                self.round.failure.get_or_insert(Error::Scenario(SCENARIOS[row].title, why));
            }
        }
    }

    /// Takes a sample of every connection.
    fn look(&mut self, client: &[SocketState], server: &[SocketState], tracked: &[Tracked]) {
        for conversation in &mut self.round.conversations {
            let sample = conversation.sample(client, server, tracked);
            // A connection that has not begun yet has no row.
            let has_begun = sample.kernels[0] != State::Closed || sample.tracked.is_some();
            if has_begun || conversation.now.is_some() {
                conversation.now = Some(sample);
                conversation.disagreements =
                    if sample.agrees() { 0 } else { conversation.disagreements.saturating_add(1) };
            }
        }
    }

    /// Puts down the moments that have come, and those that have not in all this time.
    fn answer(&mut self) {
        let now = self.round.clock.now().seconds();
        for pending in std::mem::take(&mut self.pending) {
            let conversation = &mut self.round.conversations[pending.row];
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
                self.round.failure.get_or_insert(Error::Scenario(conversation.title, why));
            } else {
                self.pending.push(pending);
            }
        }
    }
}

impl Conversation {
    /// A conversation that is over, for tests of what is written about it.
    #[cfg(test)]
    pub(super) fn finished(
        title: &'static str,
        (client, server): (SocketAddr, SocketAddr),
        moments: Vec<Moment>,
    ) -> Conversation {
        Conversation { title, client, server, moments, now: None, is_accepted: true, disagreements: 0 }
    }

    /// Whether a disagreement is too young to mean anything: the three are asked one after the other.
    pub(super) fn is_in_motion(&self) -> bool {
        self.disagreements <= LOOKS_IN_MOTION
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Closed, Established, Listen, TimeWait};

    const CLIENT: &str = "10.0.0.1:40000";
    const SERVER: &str = "10.0.0.2:80";

    fn conversation(is_accepted: bool) -> Conversation {
        Conversation {
            title: "a test",
            client: CLIENT.parse().unwrap(),
            server: SERVER.parse().unwrap(),
            moments: Vec::new(),
            now: None,
            is_accepted,
            disagreements: 0,
        }
    }

    fn socket(local: &str, remote: &str, state: State) -> SocketState {
        let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
        SocketState { local, remote, state, receive_queue: 0, send_queue: 0 }
    }

    fn tracked(id: u64, originator: &str, states: [State; 2]) -> Tracked {
        let (originator, responder) = (originator.parse().unwrap(), SERVER.parse().unwrap());
        Tracked { id, originator, responder, states }
    }

    fn kernels(is_accepted: bool, client: &[SocketState], server: &[SocketState]) -> [State; 2] {
        conversation(is_accepted).sample(client, server, &[]).kernels
    }

    #[test]
    fn each_kernel_is_asked_for_its_own_side_of_the_connection() {
        let client =
            [socket("10.0.0.1:40001", SERVER, State::SynSent), socket(CLIENT, SERVER, State::FinWait2)];
        let server = [socket(SERVER, "0.0.0.0:0", Listen), socket(SERVER, CLIENT, State::CloseWait)];
        assert_eq!(kernels(true, &client, &server), [State::FinWait2, State::CloseWait]);
    }

    #[test]
    fn a_server_without_a_socket_listens_until_it_has_accepted_and_is_closed_afterwards() {
        let listener = [socket(SERVER, "0.0.0.0:0", Listen)];
        assert_eq!(kernels(false, &[], &listener), [Closed, Listen]);
        assert_eq!(kernels(true, &[], &listener), [Closed, Closed]);
    }

    #[test]
    fn a_server_on_whose_port_nobody_listens_is_closed() {
        let elsewhere = [socket("10.0.0.2:81", "0.0.0.0:0", Listen)];
        assert_eq!(kernels(false, &[], &elsewhere), [Closed, Closed]);
    }

    #[test]
    fn of_several_incarnations_the_newest_is_compared() {
        let list = [
            tracked(9, CLIENT, [Established; 2]),
            tracked(3, CLIENT, [Closed, TimeWait]),
            tracked(10, "10.0.0.1:40001", [Closed; 2]),
        ];
        let sample = conversation(true).sample(&[], &[], &list);
        assert_eq!(sample.tracked, Some((9, [Established; 2])));
    }

    #[test]
    fn what_the_tracker_does_not_know_is_closed() {
        assert!(Sample { kernels: [Closed; 2], tracked: None }.agrees());
        assert!(!Sample { kernels: [Closed, TimeWait], tracked: None }.agrees());
        assert!(!Sample { kernels: [Closed; 2], tracked: Some((1, [Closed, TimeWait])) }.agrees());
    }

    #[test]
    fn ports_of_later_rounds_are_others_and_never_run_out() {
        let clock = SystemClock::new();
        let ports = |number| {
            let round = Round::new(number, &clock);
            round.conversations.iter().map(|conversation| conversation.client.port()).collect::<Vec<_>>()
        };
        assert!(SCENARIOS.len() <= usize::from(ROUND_PORTS));
        assert_eq!(ports(0)[0], 40_000);
        assert_eq!(ports(1)[0], 40_010);
        assert_eq!(ports(usize::from(ROUNDS) - 1)[7], 64_997);
        assert_eq!(ports(usize::from(ROUNDS)), ports(0));
    }
}
