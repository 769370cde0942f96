//! One client, from its connection to its end.
//!
//! ```text
//!   Reading ── whole request ──► Writing ── all sent, our side closed ──► Draining ── its side closed ──► over
//!      └──────── closed, broken, or PATIENCE is over ───────────────────────┴──────────────────────────► over
//! ```
//!
//! Draining, because a socket that is closed with bytes unread sends an RST, which can take the answer with
//! it before the client has read it (RFC 9112 section 9.6).

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use super::request::{self, Answer};
use super::{MOST_REQUEST, PATIENCE};
use crate::time::Time;

/// A client.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) stream: TcpStream,
    state: State,
    /// When its patience is over.
    deadline: Time,
}

#[derive(Debug)]
enum State {
    /// What has arrived of its request.
    Reading(Vec<u8>),
    /// The response, and how much of it is sent.
    Writing(Vec<u8>, usize),
    /// The response is sent; whatever still arrives is thrown away.
    Draining,
}

/// What becomes of a client after it has been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for its socket.
    Waits,
    /// It is done, or gone.
    Over,
}

impl Exchange {
    /// A client that has just connected.
    pub(super) fn new(stream: TcpStream, now: Time) -> Exchange {
        let patience = PATIENCE.as_nanos() as u64;
        let deadline = Time::from_nanoseconds(now.nanoseconds().saturating_add(patience));
        Exchange { stream, state: State::Reading(Vec::new()), deadline }
    }

    /// When its time is over.
    pub(super) const fn deadline(&self) -> Time {
        self.deadline
    }

    /// Goes on as far as the socket lets it; `page` makes the page if that is asked for.
    pub(super) fn advance(&mut self, page: impl FnOnce() -> String) -> Fate {
        self.try_advance(page).unwrap_or_else(|error| {
            if error.kind() == io::ErrorKind::WouldBlock { Fate::Waits } else { Fate::Over }
        })
    }

    /// As [`Exchange::advance`]; `WouldBlock` is the error of waiting.
    fn try_advance(&mut self, page: impl FnOnce() -> String) -> io::Result<Fate> {
        if let State::Reading(bytes) = &mut self.state {
            let Some(answer) = read_request(&mut self.stream, bytes)? else { return Ok(Fate::Over) };
            self.state = State::Writing(answer.response(page), 0);
        }
        if let State::Writing(response, sent) = &mut self.state {
            while *sent < response.len() {
                *sent += uninterrupted(|| self.stream.write(&response[*sent..]))?;
            }
            self.stream.shutdown(Shutdown::Write)?;
            self.state = State::Draining;
        }
        let mut waste = [0; 1024];
        // A client that goes on sending gets no further attention than this in one turn; then its deadline
        // ends it, since its socket has nothing new to tell.
        for _ in 0..2 * MOST_REQUEST / waste.len() {
            if uninterrupted(|| self.stream.read(&mut waste))? == 0 {
                return Ok(Fate::Over);
            }
        }
        Ok(Fate::Waits)
    }
}

/// Reads until there is an answer; none where the client has closed before.
fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<Answer>> {
    let mut buffer = [0; 1024];
    loop {
        if let Some(answer) = request::answer(bytes) {
            return Ok(Some(answer));
        }
        let room = buffer.len().min(MOST_REQUEST - bytes.len());
        match uninterrupted(|| stream.read(&mut buffer[..room]))? {
            0 => return Ok(None),
            length => bytes.extend_from_slice(&buffer[..length]),
        }
    }
}

/// Repeats what a signal interrupted.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
