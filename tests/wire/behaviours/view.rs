//! What each side says of a connection, in the same words: two kernels by their socket diagnostics, and the
//! middlebox by its list.
//!
//! ```text
//!  client's kernel ─ sock_diag ─► socket or none ┐
//!                                                ├─ endpoint ─► [client's state, server's state]
//!  server's kernel ─ sock_diag ─► socket or none ┘                          │ the same, but for Cause
//!  lastack run ───── list ──────► record or none ── record ───► [client's state, server's state]
//! ```
//!
//! A kernel has no socket for what is CLOSED, nor for what has never been; and the middlebox knows of an
//! endpoint only what it let through. [`endpoint`], [`recorded`] and [`Cause`] are all there is to that: no
//! script has an exception of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lastack::control::Filter;
use lastack::json::{Connection, Tuple};
use lastack::lab::SocketState;
use lastack::tcp::State;

use super::Stage;
use super::cable::{Count, Flow, Point};

/// Client's and server's state.
pub(super) type States = [State; 2];

/// The state of an endpoint of which the kernel shows this socket.
///
/// - What a kernel calls SYN_RECV is SYN_RECEIVED, be it a socket or a request without one.
/// - A closed FIN_WAIT_2 and TIME_WAIT are small sockets without a process, and are listed all the same.
/// - No socket: CLOSED if it has said anything in this incarnation. If it has not, LISTEN: whether anybody
///   listens there the middlebox cannot know, so contract and table say LISTEN, whatever comes of it.
fn endpoint(socket: Option<State>, has_spoken: bool) -> State {
    match (socket, has_spoken) {
        (Some(state), _) => state,
        (None, true) => State::Closed,
        (None, false) => State::Listen,
    }
}

/// The states of a record, or where there is none: of whom something was heard it is over, of whom nothing
/// was it has not begun.
fn recorded(record: Option<States>, have_spoken: [bool; 2]) -> States {
    record.unwrap_or(have_spoken.map(|has_spoken| endpoint(None, has_spoken)))
}

/// Why the middlebox may say something else of an endpoint than its kernel, since all last agreed. A script
/// that expects a difference without one of these is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Segments that it sent were lost or held before the middlebox saw them.
    Unseen,
    /// Segments that were let through to it were lost or held behind the middlebox: contract section 2, the
    /// state is that after receiving them.
    Undelivered,
    /// The middlebox was started anew and has seen the connection in mid-stream only.
    Forgotten,
}

impl Cause {
    /// What may be behind a difference at one endpoint (0 the client, 1 the server).
    pub(super) fn of(side: usize, then: &[Count; 4], now: &[Count; 4], is_forgotten: bool) -> Vec<Cause> {
        let (sends, receives) =
            [(Point::FromClient, Point::ToClient), (Point::FromServer, Point::ToServer)][side];
        let missing = |point: Point| {
            let (then, now) = (&then[point as usize], &now[point as usize]);
            now.held > 0 || now.lost > then.lost
        };
        let causes = [
            (Cause::Unseen, missing(sends)),
            (Cause::Undelivered, missing(receives)),
            (Cause::Forgotten, is_forgotten),
        ];
        causes.into_iter().filter(|(_, holds)| *holds).map(|(cause, _)| cause).collect()
    }
}

/// Everything at one time.
#[derive(Debug)]
pub(super) struct Snapshot {
    began: Instant,
    client: Vec<SocketState>,
    server: Vec<SocketState>,
    listed: Vec<Connection<'static>>,
}

/// Takes snapshots for all scripts of a stage, so that many of them may wait at once.
#[derive(Default)]
pub(super) struct Observer(Mutex<Option<Arc<Snapshot>>>);

impl Observer {
    /// A snapshot that began after this call.
    pub(super) fn look(&self, stage: &Stage) -> Arc<Snapshot> {
        let asked = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = last.as_ref().filter(|snapshot| snapshot.began > asked) {
            return Arc::clone(snapshot);
        }
        let snapshot = Arc::new(Snapshot {
            began: Instant::now(),
            client: stage.site.lab.client.sockets().unwrap(),
            server: stage.site.lab.server.sockets().unwrap(),
            listed: stage.with_middlebox(|middlebox| middlebox.list(Filter::default())),
        });
        *last = Some(Arc::clone(&snapshot));
        snapshot
    }
}

/// A connection in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) kernels: States,
    pub(super) tracked: States,
    /// The number of the record.
    pub(super) id: Option<u64>,
}

impl Snapshot {
    pub(super) fn of(&self, (client, server): Flow, have_spoken: [bool; 2]) -> Look {
        let socket = |sockets: &[SocketState], local, remote| {
            sockets.iter().find(|one| one.local == local && one.remote == remote).map(|one| one.state)
        };
        let kernels = [
            endpoint(socket(&self.client, client, server), have_spoken[0]),
            endpoint(socket(&self.server, server, client), have_spoken[1]),
        ];
        let record = self.listed.iter().find_map(|record| {
            let [originator, responder] = ends(&record.original)?;
            let [first, second] = record.states?.map(|state| state.0);
            if (originator, responder) == (client, server) {
                Some((record.id, [first, second]))
            } else {
                ((responder, originator) == (client, server)).then_some((record.id, [second, first]))
            }
        });
        let tracked = recorded(record.map(|(_, states)| states), have_spoken);
        Look { kernels, tracked, id: record.map(|(id, _)| id) }
    }
}

fn ends(tuple: &Tuple) -> Option<[SocketAddr; 2]> {
    let source = SocketAddr::new(tuple.source, tuple.source_port?);
    Some([source, SocketAddr::new(tuple.destination, tuple.destination_port?)])
}
