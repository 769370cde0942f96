//! The daemon's end of the control socket: accepts clients and gives each its turn.
//!
//! ```text
//!  mio::Poll ─ events ─► owns? ─► ready: notes, accepts ─┐
//!      ▲                                                 ▼
//!      └── sleeps at most as long as turn says ◄── turn: every client goes on a little
//! ```
//!
//! # Life cycle
//!
//! [`Server::bind`]; then, for as long as the daemon runs, [`Server::ready`] for each event whose token is the
//! server's, and [`Server::turn`] once after each batch of events and after the time that it asked for. Dropping
//! the server closes every connection and removes the socket.
//!
//! Nothing blocks, and what is kept is bounded: 64 clients, for each a request of 4 KiB and 64 KiB of answer.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use super::output::Output;
use super::place::{Error, Place};
use super::protocol::Line;
use super::session::{Next, Session};
use crate::time::Time;
use crate::view::Plane;

/// How many clients there may be.
pub const MOST_CLIENTS: usize = 64;
/// When to try again where a client could not be accepted for want of descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// The server; the module says how it is used.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    /// The listener's token; the clients' follow.
    first_token: usize,
    sessions: Vec<Option<Session>>,
    may_accept: bool,
    /// Held for its drop: the socket goes with the server.
    _place: Place,
}

impl Server {
    /// Listens on a new socket at `path`; its tokens are `first_token` and the [`MOST_CLIENTS`] behind it.
    ///
    /// # Errors
    /// Another process listens there, or the socket cannot be made.
    pub fn bind(path: &Path, registry: &Registry, first_token: usize) -> Result<Server, Error> {
        let (mut listener, place) = Place::bind(path)?;
        registry
            .register(&mut listener, Token(first_token), Interest::READABLE)
            .map_err(|error| Error::System(path.to_owned(), error))?;
        let sessions = (0..MOST_CLIENTS).map(|_| None).collect();
        Ok(Server { listener, first_token, sessions, may_accept: true, _place: place })
    }

    /// Whether an event with this token is the server's.
    pub fn owns(&self, token: Token) -> bool {
        (self.first_token..=self.first_token + MOST_CLIENTS).contains(&token.0)
    }

    /// Takes note of an event; [`Server::turn`] acts on it.
    pub fn ready(&mut self, registry: &Registry, event: &mio::event::Event, plane: &Plane) {
        match event.token().0.checked_sub(self.first_token + 1) {
            None => {
                self.may_accept = true;
                self.accept(registry, plane.clock.now());
            }
            Some(slot) => {
                if let Some(Some(session)) = self.sessions.get_mut(slot) {
                    session.ready(event);
                }
            }
        }
    }

    /// Goes on with every answer, a little; returns after how long it wants to be called again, if no event
    /// comes before.
    pub fn turn(&mut self, registry: &Registry, plane: &Plane) -> Option<Duration> {
        self.turn_at(plane.clock.now(), registry, plane)
    }

    /// As [`Server::turn`], at `now`.
    pub(super) fn turn_at(&mut self, now: Time, registry: &Registry, plane: &Plane) -> Option<Duration> {
        self.accept(registry, now);
        let mut again = self.may_accept.then_some(RETRY);
        for slot in &mut self.sessions {
            let Some(session) = slot else { continue };
            match session.turn(now, plane) {
                Next::Later(wait) => again = Some(again.map_or(wait, |again| again.min(wait))),
                Next::Asked => {}
                Next::Gone => {
                    // Closing it does the same, should this fail.
                    let _ = registry.deregister(session.stream());
                    *slot = None;
                }
            }
        }
        again
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.sessions.iter().flatten().count()
    }

    /// How many bytes are kept for all of them.
    pub fn buffered(&self) -> usize {
        self.sessions.iter().flatten().map(Session::buffered).sum()
    }

    /// Accepts whoever waits.
    fn accept(&mut self, registry: &Registry, now: Time) {
        while self.may_accept {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream, registry, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.may_accept = false,
                Err(error)
                    if error.kind() == ErrorKind::Interrupted
                        || error.kind() == ErrorKind::ConnectionAborted => {}
                // No descriptor or memory is left: the client waits, and is tried again.
                Err(_) => return,
            }
        }
    }

    fn welcome(&mut self, mut stream: UnixStream, registry: &Registry, now: Time) {
        let Some(slot) = self.sessions.iter().position(Option::is_none) else {
            let message =
                format!("{MOST_CLIENTS} clients are connected, more are not served; try again later");
            let mut output = Output::default();
            output.line(&Line::Error { message });
            // A new socket has room for a line; who does not get it sees the connection close.
            let _ = output.send(&mut stream);
            return;
        };
        let token = Token(self.first_token + 1 + slot);
        if registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_ok() {
            self.sessions[slot] = Some(Session::new(stream, now));
        }
    }
}
