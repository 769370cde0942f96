//! One client: reads its requests, one at a time, and sends the answers as it takes them.
//!
//! ```text
//!             request                    answer complete
//!  waiting ─────────────► answering ─────────────────────► waiting …
//!     │ rubbish: one error line          │ hangs up
//!     │ 10 s without a request           ▼
//!     └──────────────► leaving ────────► gone
//! ```

use std::io::{ErrorKind, Read};
use std::time::Duration;

use mio::net::UnixStream;

use super::output::Output;
use super::protocol::{LONGEST_REQUEST, Line, Request, VERSION};
use super::task::{Progress, Task};
use crate::time::Time;
use crate::view::Plane;

/// How long a client may take for its next request, or to read the line by which it is dismissed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often an answer goes on before the other clients' turn comes.
const ROUNDS: u32 = 8;

/// A client.
#[derive(Debug)]
pub(super) struct Session {
    stream: UnixStream,
    input: Vec<u8>,
    output: Output,
    stage: Stage,
    /// When it began to be waited for.
    since: Time,
    /// Whether there may be something to read.
    may_read: bool,
    /// Whether the client will say nothing more.
    is_silent: bool,
    /// Whether the client is not there any more.
    is_gone: bool,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    Answering(Box<Task>),
    /// It gets what is left of its answer, and no other.
    Leaving,
}

/// What becomes of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is looked at again after this long, or when its socket says so.
    Later(Duration),
    /// It is looked at again when its socket says so.
    Asked,
    /// It can be forgotten.
    Gone,
}

impl Session {
    pub(super) fn new(stream: UnixStream, now: Time) -> Session {
        Session {
            stream,
            input: Vec::new(),
            output: Output::default(),
            stage: Stage::Waiting,
            since: now,
            may_read: true,
            is_silent: false,
            is_gone: false,
        }
    }

    /// Its socket.
    pub(super) fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// How many bytes are kept for it.
    pub(super) fn buffered(&self) -> usize {
        self.input.len() + self.output.len()
    }

    /// Its socket has something to say.
    pub(super) fn ready(&mut self, event: &mio::event::Event) {
        self.may_read |= event.is_readable();
        // Both directions are closed; one alone is a client that has said everything and listens.
        self.is_gone |= event.is_write_closed() || event.is_error();
    }

    /// Goes on with whatever it is at.
    pub(super) fn turn(&mut self, now: Time, plane: &Plane) -> Next {
        for _ in 0..ROUNDS {
            self.read();
            if self.output.send(&mut self.stream).is_err() || self.is_gone {
                return Next::Gone;
            }
            let is_sent = self.output.is_empty();
            match &mut self.stage {
                Stage::Leaving if is_sent => return Next::Gone,
                Stage::Leaving => return self.patience(now),
                Stage::Waiting if !is_sent => return Next::Asked,
                Stage::Waiting => match self.request() {
                    Some(line) => self.begin(&line, plane),
                    None if self.is_silent => return Next::Gone,
                    None => return self.patience(now),
                },
                Stage::Answering(_) if self.output.is_full() => return Next::Asked,
                Stage::Answering(task) => match task.step(plane, &mut self.output) {
                    Progress::Going => {}
                    Progress::Over => self.wait(now),
                    Progress::Later(wait) => {
                        let sent = self.output.send(&mut self.stream);
                        return if sent.is_ok() { Next::Later(wait) } else { Next::Gone };
                    }
                },
            }
        }
        Next::Later(Duration::ZERO)
    }

    /// Reads what there is, as much as a request may have.
    fn read(&mut self) {
        let mut bytes = [0; LONGEST_REQUEST];
        while self.may_read && !self.is_silent && self.input.len() < LONGEST_REQUEST {
            let room = LONGEST_REQUEST - self.input.len();
            match self.stream.read(&mut bytes[..room]) {
                Ok(0) => self.is_silent = true,
                Ok(length) => self.input.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.may_read = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.is_gone = true,
            }
            if self.is_gone {
                return;
            }
        }
    }

    /// The next request's line, if it is complete, or as complete as it will be.
    fn request(&mut self) -> Option<Vec<u8>> {
        match self.input.iter().position(|byte| *byte == b'\n') {
            Some(end) => Some(self.input.drain(..=end).collect()),
            None if self.input.len() >= LONGEST_REQUEST || self.is_silent && !self.input.is_empty() => {
                Some(std::mem::take(&mut self.input))
            }
            None => None,
        }
    }

    fn begin(&mut self, line: &[u8], plane: &Plane) {
        match parse(line) {
            Ok(request) => {
                if let Some(task) = Task::begin(request, plane, &mut self.output) {
                    self.stage = Stage::Answering(Box::new(task));
                } else {
                    self.wait(plane.clock.now());
                }
            }
            Err(message) => {
                self.output.line(&Line::Error { message });
                self.stage = Stage::Leaving;
            }
        }
    }

    fn wait(&mut self, now: Time) {
        self.stage = Stage::Waiting;
        self.since = self.since.max(now);
    }

    /// Until when it is waited for.
    fn patience(&self, now: Time) -> Next {
        let waited = Duration::from_nanos(now.nanoseconds().saturating_sub(self.since.nanoseconds()));
        match PATIENCE.checked_sub(waited) {
            Some(left) if !left.is_zero() => Next::Later(left),
            Some(_) | None => Next::Gone,
        }
    }
}

/// The request in a line, or what is wrong with it.
fn parse(line: &[u8]) -> Result<Request, String> {
    if line.len() >= LONGEST_REQUEST && !line.ends_with(b"\n") {
        return Err(format!("a request is one line of at most {LONGEST_REQUEST} bytes"));
    }
    let daemon = env!("CARGO_PKG_VERSION");
    // The version first: what another one means by the rest is not known.
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|_| {
        "a request is one line of JSON, such as {\"lastack\":1,\"command\":\"stats\"}".to_owned()
    })?;
    if value.get("lastack").is_none_or(|version| *version != VERSION) {
        return Err(format!(
            "the running lastack is of version {daemon}, which speaks another protocol; use its own `lastack`"
        ));
    }
    // From the text again: a key that stands there twice is an error, and a value has forgotten it.
    serde_json::from_slice(line)
        .map_err(|error| format!("not a request that version {daemon} knows: {error}"))
}
