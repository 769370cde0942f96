//! What a script of [`scenario`](super::scenario) holds in its hands: sockets of both ends, and the director.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use socket2::Socket;

use super::scenario::socket;
use crate::lab::{self, Lab};
use crate::tcp::State;

/// How long a socket may wait for anything.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon a script notices that it is to stop.
const TURN: Duration = Duration::from_millis(25);

/// Why a script ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The demo is over.
    Interrupted,
    /// Something that must work did not.
    Failed(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        // What a socket's own timeout looks like.
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            return Stop::Failed(format!("nothing came through within {} s", PATIENCE.as_secs()));
        }
        Stop::Failed(error.to_string())
    }
}

impl From<lab::Error> for Stop {
    fn from(error: lab::Error) -> Stop {
        Stop::Failed(error.to_string())
    }
}

/// What scripts tell the director; `row` is the script's place in the table.
#[derive(Debug)]
pub(super) enum Event {
    /// The server has accepted the connection: from now on, no socket means CLOSED.
    Accepted { row: usize },
    /// The kernels are about to be in `expected`; the script goes on when `seen` is answered.
    Moment { row: usize, text: &'static str, expected: [State; 2], seen: Sender<()> },
    /// The script is over.
    Finished { row: usize, result: Result<(), Stop> },
}

/// One script's part of the stage.
#[derive(Debug)]
pub(super) struct Act<'a> {
    pub(super) lab: &'a Lab,
    pub(super) row: usize,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) events: Sender<Event>,
    pub(super) is_over: &'a AtomicBool,
    /// Sockets that stay open until all scripts have ended.
    pub(super) kept: &'a Mutex<Vec<Socket>>,
}

impl Act<'_> {
    /// A listener at the server, with room for so many connections that were not accepted yet, and one more.
    pub(super) fn listen(&self, backlog: i32) -> Result<Socket, Stop> {
        let listener = self.lab.server.run(|| socket(self.server, PATIENCE))??;
        listener.listen(backlog)?;
        Ok(listener)
    }

    /// The client's socket, with the port by which the connection is known.
    pub(super) fn client_socket(&self) -> Result<Socket, Stop> {
        Ok(self.lab.client.run(|| socket(self.client, PATIENCE))??)
    }

    /// Another socket of the client, whose connection is not in the table.
    pub(super) fn unlisted_socket(&self) -> Result<Socket, Stop> {
        Ok(self.lab.client.run(|| socket(SocketAddr::new(self.client.ip(), 0), PATIENCE))??)
    }

    pub(super) fn connect_to_server(&self, client: &Socket) -> io::Result<()> {
        client.connect_timeout(&self.server.into(), PATIENCE)
    }

    /// Sends the SYN and does not wait for the answer; the socket stays non-blocking.
    pub(super) fn begin_to_connect(&self, client: &Socket) -> io::Result<()> {
        client.set_nonblocking(true)?;
        match client.connect(&self.server.into()) {
            Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The connection of this script: the client's socket and the server's.
    pub(super) fn connect(&self, listener: &Socket) -> Result<(Socket, Socket), Stop> {
        let client = self.client_socket()?;
        self.connect_to_server(&client)?;
        let (server, _) = listener.accept()?;
        server.set_read_timeout(Some(PATIENCE))?;
        server.set_write_timeout(Some(PATIENCE))?;
        self.accepted();
        Ok((client, server))
    }

    pub(super) fn accepted(&self) {
        self.tell(Event::Accepted { row: self.row });
    }

    /// Waits until the kernels are in `expected` and the director has compared.
    pub(super) fn moment(&self, text: &'static str, expected: [State; 2]) -> Result<(), Stop> {
        let (seen, answer) = mpsc::channel();
        self.tell(Event::Moment { row: self.row, text, expected, seen });
        // The director drops the other side where the demo is over.
        answer.recv().map_err(|_| Stop::Interrupted)
    }

    pub(super) fn pause(&self, duration: Duration) -> Result<(), Stop> {
        let mut left = duration;
        while !left.is_zero() {
            if self.is_over.load(Ordering::Relaxed) {
                return Err(Stop::Interrupted);
            }
            let turn = left.min(TURN);
            thread::sleep(turn);
            left -= turn;
        }
        Ok(())
    }

    pub(super) fn keep<const N: usize>(&self, sockets: [Socket; N]) {
        // A poisoned lock means that another script has panicked, which is told elsewhere.
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.extend(sockets);
    }

    fn tell(&self, event: Event) {
        // The director is gone only if it has panicked.
        let _ = self.events.send(event);
    }
}
