//! The other end of the control socket: asks a running `lastack run` and reads its answer line by line.
//!
//! ```text
//!  Client::connect ─► ask(&Request) ─► Answer ─ next() ─► Line … ─► none: the answer is complete
//!                         ▲                                  │
//!                         └──────────── the next one ────────┘
//! ```
//!
//! It blocks, so it is for programs of their own (the commands, `top`), never for the daemon.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::filter::Filter;
use super::protocol::{Command, Line, Request};
use super::stats::Stats;

/// A connection to a running middlebox.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    line: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Error {
    /// Nobody listens on the socket.
    NotRunning(PathBuf),
    /// The socket may not be used by this user.
    NotPermitted(PathBuf),
    /// The socket cannot be used for another reason.
    Unusable(PathBuf, io::Error),
    /// The middlebox refused, in its words.
    Refused(String),
    /// The middlebox, or whatever listens there, said what this version does not understand.
    Strange(PathBuf),
    /// The middlebox closed the connection in the middle of an answer: it has stopped.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotRunning(path) => write!(
                f,
                "{}: no lastack is running with this control socket; start `lastack run`, or name its \
                 socket with --socket or its configuration with -c",
                path.display()
            ),
            Error::NotPermitted(path) => write!(
                f,
                "{}: permission denied; be root or in the group that owns the control socket",
                path.display()
            ),
            Error::Unusable(path, error) => write!(f, "{}: {error}", path.display()),
            Error::Refused(message) => f.write_str(message),
            Error::Strange(path) => write!(
                f,
                "{}: what answers there is no lastack of version {}; use the `lastack` that belongs to the \
                 running one",
                path.display(),
                env!("CARGO_PKG_VERSION")
            ),
            Error::Stopped => f.write_str("lastack stopped in the middle of its answer"),
        }
    }
}

impl std::error::Error for Error {}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// Nobody listens there, or may not be asked.
    pub fn connect(path: &Path) -> Result<Client, Error> {
        let stream = UnixStream::connect(path).map_err(|error| {
            let kind = error.kind();
            if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
                Error::NotRunning(path.to_owned())
            } else if kind == io::ErrorKind::PermissionDenied {
                Error::NotPermitted(path.to_owned())
            } else {
                Error::Unusable(path.to_owned(), error)
            }
        })?;
        let stream = BufReader::with_capacity(1 << 16, stream);
        Ok(Client { stream, path: path.to_owned(), line: String::new() })
    }

    /// Asks; the answer before must have been read to its end.
    ///
    /// # Errors
    /// The middlebox has gone.
    pub fn ask(&mut self, request: &Request) -> Result<Answer<'_>, Error> {
        let mut line = serde_json::to_string(request).map_err(|error| self.broken(error.into()))?;
        line.push('\n');
        // A refusal at the door closes the connection; what it said can be read all the same.
        if let Err(error) = self.stream.get_mut().write_all(line.as_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(self.broken(error));
        }
        Ok(Answer { client: self, is_over: false })
    }

    /// The numbers of the middlebox.
    ///
    /// # Errors
    /// There is no answer, or another one.
    pub fn stats(&mut self) -> Result<Stats, Error> {
        let path = self.path.clone();
        let mut answer = self.ask(&Request::new(Command::Stats, Filter::default()))?;
        let mut found = None;
        while let Some(line) = answer.next()? {
            if let Line::Stats(stats) = line {
                found = Some(*stats);
            }
        }
        found.ok_or(Error::Strange(path))
    }

    fn broken(&self, error: io::Error) -> Error {
        Error::Unusable(self.path.clone(), error)
    }
}

/// An answer that is being read.
#[derive(Debug)]
pub struct Answer<'a> {
    client: &'a mut Client,
    is_over: bool,
}

impl Answer<'_> {
    /// The next line; none once the answer is complete.
    ///
    /// # Errors
    /// The middlebox refused, has gone, or said what is not understood.
    #[expect(clippy::should_implement_trait, reason = "it can fail, and lends nothing")]
    pub fn next(&mut self) -> Result<Option<Line>, Error> {
        Ok(self.next_with_text()?.map(|(line, _)| line))
    }

    /// The next line, and its text as it came, without the newline; none once the answer is complete.
    ///
    /// # Errors
    /// As [`Answer::next`].
    pub fn next_with_text(&mut self) -> Result<Option<(Line, &str)>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let Client { stream, path, line } = &mut *self.client;
        line.clear();
        let length = stream.read_line(line).map_err(|error| {
            if error.kind() == io::ErrorKind::ConnectionReset {
                Error::Stopped
            } else if error.kind() == io::ErrorKind::InvalidData {
                Error::Strange(path.clone())
            } else {
                Error::Unusable(path.clone(), error)
            }
        })?;
        let Some(text) = line[..length].strip_suffix('\n') else { return Err(Error::Stopped) };
        match serde_json::from_str(text) {
            Ok(Line::End) => {
                self.is_over = true;
                Ok(None)
            }
            Ok(Line::Error { message }) => Err(Error::Refused(message)),
            Ok(line) => Ok(Some((line, text))),
            Err(_) => Err(Error::Strange(path.clone())),
        }
    }
}
