//! The main thread: signals, the interfaces' ups and downs, operators, metrics; all in one event loop.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::error::Error;
use crate::config::Config;
use crate::control::{self, Server};
use crate::link::{Change, Link, Monitor};
use crate::metrics::Endpoint;
use crate::time::Time;
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
    /// When they are asked for again, if they could not be when it was time to.
    next_look: Time,
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

/// The control socket. One that was killed a moment ago may still be there while the kernel takes its memory
/// apart: it is given two seconds.
fn bind(path: &Path, poll: &Poll) -> Result<Server, Error> {
    const TURNS: u32 = 100;
    let mut turns = 0;
    loop {
        match Server::bind(path, poll.registry(), CONTROL) {
            Err(control::Error::AnotherIsRunning(_)) if turns < TURNS => turns += 1,
            result => return result.map_err(Error::Control),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Attendant {
    /// Watches `signals`, and opens what `config` offers to operators.
    pub(super) fn new(signals: SignalFd, config: &Config) -> Result<Attendant, Error> {
        let failed = |error| Error::System { what: "events cannot be waited for", error };
        let poll = Poll::new().map_err(failed)?;
        poll.registry()
            .register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)
            .map_err(failed)?;
        let server = bind(&config.control_socket, &poll)?;
        let metrics = config
            .metrics
            .map(|address| Endpoint::bind(address, poll.registry(), Token(METRICS)))
            .transpose()
            .map_err(Error::Metrics)?;
        let (ports, next_look) = (BTreeMap::new(), Time::from_nanoseconds(0));
        Ok(Attendant { poll, signals, links: None, next_look, ports, server, metrics })
    }

    /// Watches the interfaces from now on, and takes note of those that are down, or gone since they were found.
    pub(super) fn watch_links(
        &mut self,
        links: &[Link],
        plane: &Plane,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let failed = |error| Error::System { what: "interfaces cannot be watched", error };
        let mut monitor = Monitor::open().map_err(failed)?;
        self.poll
            .registry()
            .register(&mut SourceFd(&monitor.as_raw_fd()), LINKS, Interest::READABLE)
            .map_err(failed)?;
        let mut first = monitor.changes().map_err(failed)?;
        self.links = Some(monitor);
        self.ports = links.iter().enumerate().map(|(port, link)| (link.index, port)).collect();
        // Of what was deleted before the kernel was asked for the first time there is no change to come.
        let is_told = |index| first.iter().any(|change| change.index == index);
        let gone = links.iter().filter(|link| !is_told(link.index)).map(|link| Change {
            index: link.index,
            name: link.name.clone(),
            up: false,
            deleted: true,
        });
        let gone: Vec<Change> = gone.collect();
        first.extend(gone);
        self.note(&first, plane, tell);
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
            if self.is_look_due(plane) {
                self.follow_links(plane, tell);
            }
            if let Some(worker) = workers.iter().position(JoinHandle::is_finished) {
                return Err(Error::Worker(worker));
            }
            let server = self.server.turn(self.poll.registry(), plane);
            let metrics = self.metrics.as_mut().and_then(|metrics| metrics.turn(self.poll.registry(), plane));
            patience = [server, metrics].into_iter().flatten().fold(ROUND, Duration::min);
        }
    }

    /// Whether interfaces could not be asked for, and it is time to try again.
    fn is_look_due(&self, plane: &Plane) -> bool {
        self.links.as_ref().is_some_and(Monitor::is_behind) && self.next_look <= plane.clock.now()
    }

    /// Asks which interfaces went up, down or away.
    fn follow_links(&mut self, plane: &Plane, tell: &mut dyn FnMut(&str)) {
        let Some(monitor) = &mut self.links else { return };
        let was_behind = monitor.is_behind();
        match monitor.changes() {
            Ok(changes) => self.note(&changes, plane, tell),
            Err(error) => {
                // Nothing may be announced for a long time: what was missed is asked for again. Told once.
                let again = plane.clock.now().nanoseconds().saturating_add(ROUND.as_nanos() as u64);
                self.next_look = Time::from_nanoseconds(again);
                if !was_behind {
                    tell(&format!("interfaces cannot be watched: {error}; it is tried again every second"));
                }
            }
        }
    }

    /// Takes note of interfaces that went up, down or away.
    fn note(&self, changes: &[Change], plane: &Plane, tell: &mut dyn FnMut(&str)) {
        for change in changes {
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::link;
    use crate::time::SystemClock;
    use crate::view::{PortState, PortView, Watch};

    /// A middlebox of these interfaces and no workers.
    fn plane(links: &[Link]) -> Plane {
        let ports = links.iter().enumerate().map(|(number, link)| PortView {
            name: format!("p{number}"),
            interface: link.name.clone(),
            zone: None,
            queues: Vec::new(),
            unclaimed: Watch::new(|| 0),
            state: PortState::default(),
        });
        Plane {
            workers: Vec::new(),
            ports: ports.collect(),
            clock: SystemClock::new(),
            started: 0.0,
            umem_frames: 0,
            frame_size: 0,
            spare_frames: Watch::new(|| 0),
            table_memory: String::new(),
            table_bytes: 0,
            table_resident: Watch::new(|| None),
            table_huge: Watch::new(|| None),
        }
    }

    /// The first look at the interfaces has to notice what the announcements cannot say any more.
    #[test]
    fn an_interface_that_went_between_finding_and_watching_is_gone() {
        let socket: PathBuf = std::env::temp_dir().join(format!("lastack-attend-{}", std::process::id()));
        let config = Config { control_socket: socket, ..Config::default() };
        let mut attendant = Attendant::new(block_signals().unwrap(), &config).unwrap();
        let here = link::find("lo").unwrap();
        // An index that is given to no interface.
        let gone = Link { index: u32::MAX, name: "la-gone".to_owned(), ..here.clone() };
        let links = [here, gone];
        let plane = plane(&links);
        let mut told = Vec::new();
        attendant.watch_links(&links, &plane, &mut |line| told.push(line.to_owned())).unwrap();
        assert_ne!(plane.ports[0].state.get(), LinkState::Gone);
        assert_eq!(plane.ports[1].state.get(), LinkState::Gone);
        told.retain(|line| line.contains("p1"));
        assert!(told.len() == 1 && told[0].contains("la-gone was deleted"), "{told:?}");
        assert!(!attendant.is_look_due(&plane), "what was told is known");
    }
}
