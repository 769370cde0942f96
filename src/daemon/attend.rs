//! The main thread: signals, the interfaces' ups and downs, operators, metrics; all in one event loop.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::error::Error;
use crate::config::Config;
use crate::control::Server;
use crate::link::{Link, Monitor};
use crate::metrics::Endpoint;
use crate::view::{LinkState, Plane};

const SIGNALS: Token = Token(0);
const LINKS: Token = Token(1);
/// The control socket's tokens begin here, and those of the metrics there.
const CONTROL: usize = 1 << 16;
const METRICS: usize = 1 << 24;

/// How often it looks after the workers when nothing else happens.
const ROUND: Duration = Duration::from_secs(1);

/// What the main thread watches.
pub(super) struct Attendant {
    poll: Poll,
    signals: SignalFd,
    links: Option<Monitor>,
    /// The ports by the index of their interface.
    ports: BTreeMap<u32, usize>,
    server: Server,
    metrics: Option<Endpoint>,
}

/// Has SIGINT and SIGTERM wait to be read, in this thread and those that it starts.
pub(super) fn block_signals() -> Result<SignalFd, Error> {
    let failed = |errno: nix::Error| Error::System { what: "signals cannot be watched", error: errno.into() };
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().map_err(failed)?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(failed)
}

impl Attendant {
    /// Watches `signals`, and opens what `config` offers to operators.
    pub(super) fn new(signals: SignalFd, config: &Config) -> Result<Attendant, Error> {
        let failed = |error| Error::System { what: "events cannot be waited for", error };
        let poll = Poll::new().map_err(failed)?;
        poll.registry()
            .register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)
            .map_err(failed)?;
        let server =
            Server::bind(&config.control_socket, poll.registry(), CONTROL).map_err(Error::Control)?;
        let metrics = config
            .metrics
            .map(|address| Endpoint::bind(address, poll.registry(), Token(METRICS)))
            .transpose()
            .map_err(Error::Metrics)?;
        Ok(Attendant { poll, signals, links: None, ports: BTreeMap::new(), server, metrics })
    }

    /// Watches the interfaces from now on, and takes note of those that are down.
    pub(super) fn watch_links(
        &mut self,
        links: &[Link],
        plane: &Plane,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let failed = |error| Error::System { what: "interfaces cannot be watched", error };
        let monitor = Monitor::open().map_err(failed)?;
        self.poll
            .registry()
            .register(&mut SourceFd(&monitor.as_raw_fd()), LINKS, Interest::READABLE)
            .map_err(failed)?;
        self.links = Some(monitor);
        self.ports = links.iter().enumerate().map(|(port, link)| (link.index, port)).collect();
        self.follow_links(plane, tell);
        Ok(())
    }

    /// Attends until a signal comes, or a worker ends by itself.
    pub(super) fn attend(
        &mut self,
        plane: &Plane,
        workers: &[JoinHandle<()>],
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let mut events = Events::with_capacity(256);
        let mut patience = Duration::ZERO;
        loop {
            // Interrupted or not: everything below is asked anyway.
            let _ = self.poll.poll(&mut events, Some(patience));
            for event in &events {
                match event.token() {
                    SIGNALS => {
                        if let Ok(Some(_)) = self.signals.read_signal() {
                            return Ok(());
                        }
                    }
                    LINKS => self.follow_links(plane, tell),
                    token if self.server.owns(token) => {
                        self.server.ready(self.poll.registry(), event, plane);
                    }
                    _ => {
                        if let Some(metrics) = &mut self.metrics {
                            metrics.ready(self.poll.registry(), event, plane);
                        }
                    }
                }
            }
            if let Some(worker) = workers.iter().position(JoinHandle::is_finished) {
                return Err(Error::Worker(worker));
            }
            let server = self.server.turn(self.poll.registry(), plane);
            let metrics = self.metrics.as_mut().and_then(|metrics| metrics.turn(self.poll.registry(), plane));
            patience = [server, metrics].into_iter().flatten().fold(ROUND, Duration::min);
        }
    }

    /// Takes note of interfaces that went up, down or away.
    fn follow_links(&mut self, plane: &Plane, tell: &mut dyn FnMut(&str)) {
        let Some(monitor) = &mut self.links else { return };
        // An error is a full buffer: something was missed, and the next change comes all the same.
        for change in monitor.changes().unwrap_or_default() {
            let Some(port) = self.ports.get(&change.index).map(|&port| &plane.ports[port]) else { continue };
            let (before, now) = (port.state.get(), state_of(change.deleted, change.up));
            // An index is not used again: what is gone stays gone.
            if before == LinkState::Gone || before == now {
                continue;
            }
            port.state.set(now);
            if now == LinkState::Up {
                plane.workers.iter().for_each(|view| view.wake());
            }
            tell(&match now {
                LinkState::Up => format!("port \"{}\": {} is up", port.name, port.interface),
                LinkState::Down => format!("port \"{}\": {} is down", port.name, port.interface),
                LinkState::Gone => format!(
                    "port \"{}\": {} was deleted; what should leave by it is dropped (port_down). Once there is \
                     such an interface again, restart",
                    port.name, port.interface
                ),
            });
        }
    }
}

fn state_of(deleted: bool, up: bool) -> LinkState {
    match (deleted, up) {
        (true, _) => LinkState::Gone,
        (false, true) => LinkState::Up,
        (false, false) => LinkState::Down,
    }
}
