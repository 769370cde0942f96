//! Changes of interfaces, as they happen.
//!
//! ```text
//!  kernel ─ RTM_NEWLINK, RTM_DELLINK ─► socket ─► known: index → name, up ─► Change, where something changed
//!                                       └ overrun: everything is asked for again, and compared
//! ```
//!
//! The kernel announces much more than what matters here (counters of a bridge, attributes, each step of going
//! up), and loses announcements when they are not read in time. So what is known is kept, and only a difference
//! is a change. What could not be asked for stays to be asked for, and what was not told stays to be told.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::facts::{DELETE_LINK, Link, all_from};
use super::netlink::{Connection, messages};

/// The group that announces links (linux/rtnetlink.h).
const LINKS: u32 = 1;

/// What became of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number in its network namespace.
    pub index: u32,
    /// Its name, which may be what changed.
    pub name: String,
    /// Frames can pass: it is switched on, and the other side of the wire is there.
    pub up: bool,
    /// It does not exist any more, or moved to another network namespace.
    pub deleted: bool,
}

/// Watches the interfaces of the network namespace in which it was opened. To be registered with mio or poll for
/// reading: when it is ready, [`Monitor::changes`] tells why.
pub struct Monitor {
    announcements: Socket,
    requests: Connection,
    known: BTreeMap<u32, (String, bool)>,
    /// Changes that are known and were not told yet. They are kept here rather than in a call, since what was
    /// compared with [`Monitor::known`] once differs from it no more.
    pending: Vec<Change>,
    /// What is known may be out of date.
    is_behind: bool,
}

impl Monitor {
    /// Begins to watch. The first [`Monitor::changes`] are all interfaces as they are; ask for them at once,
    /// without waiting for the socket.
    ///
    /// # Errors
    ///
    /// What the kernel says; no privilege is needed.
    pub fn open() -> io::Result<Monitor> {
        let mut announcements = Socket::new(NETLINK_ROUTE)?;
        announcements.set_non_blocking(true)?;
        announcements.bind(&SocketAddr::new(0, 0))?;
        announcements.add_membership(LINKS)?;
        let requests = Connection::open(NETLINK_ROUTE)?;
        let (known, pending) = (BTreeMap::new(), Vec::new());
        Ok(Monitor { announcements, requests, known, pending, is_behind: true })
    }

    /// What changed since the last call that succeeded, in the order of its happening; empty if nothing did.
    /// Waits for no change.
    ///
    /// # Errors
    ///
    /// What the kernel says. Nothing is lost by an error, but the socket may not become ready again for what
    /// the next call makes up for: [`Monitor::is_behind`] then says that one is due.
    pub fn changes(&mut self) -> io::Result<Vec<Change>> {
        if let Err(error) = self.listen() {
            self.is_behind = true;
            return Err(error);
        }
        if self.is_behind {
            self.catch_up()?;
        }
        Ok(mem::take(&mut self.pending))
    }

    /// Whether there may be changes for which the socket does not become ready: [`Monitor::changes`] was not
    /// called yet, or failed.
    pub const fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Takes in everything that was announced.
    fn listen(&mut self) -> io::Result<()> {
        loop {
            match self.announcements.recv_from_full() {
                Ok((bytes, _)) => {
                    for message in messages(&bytes) {
                        let Some(link) = Link::of(&message) else { continue };
                        self.take(&link, message.kind == DELETE_LINK);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.is_behind = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// Compares what is known with all that there is. Announcements that arrive meanwhile are older than or
    /// equal to what is then known, or come after it; either way they end at the truth.
    fn catch_up(&mut self) -> io::Result<()> {
        let links = all_from(&mut self.requests)?;
        let is_gone = |index: &u32| links.iter().all(|link| link.index != *index);
        let gone: Vec<u32> = self.known.keys().copied().filter(is_gone).collect();
        for index in gone {
            self.pending.extend(self.known.remove(&index).map(|(name, _)| deleted(index, name)));
        }
        for link in &links {
            self.take(link, false);
        }
        self.is_behind = false;
        Ok(())
    }

    /// Takes an announcement in: what it changes is known, and waits to be told.
    fn take(&mut self, link: &Link, is_deleted: bool) {
        let Link { index, name, carrier, .. } = link;
        if is_deleted {
            self.pending.extend(self.known.remove(index).map(|_| deleted(*index, name.clone())));
            return;
        }
        let now = (name.clone(), *carrier);
        if self.known.get(index) == Some(&now) {
            return;
        }
        self.known.insert(*index, now);
        self.pending.push(Change { index: *index, name: name.clone(), up: *carrier, deleted: false });
    }
}

fn deleted(index: u32, name: String) -> Change {
    Change { index, name, up: false, deleted: true }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.announcements.as_raw_fd()
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.announcements.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use netlink_sys::protocols::NETLINK_GENERIC;

    use super::*;

    fn link(index: u32, carrier: bool) -> Link {
        Link {
            index,
            name: "la-x".to_owned(),
            mtu: 1500,
            up: true,
            carrier,
            mac: None,
            kind: None,
            rx_queues: 1,
            tx_queues: 1,
            xdp_program: None,
        }
    }

    /// A watcher whose questions nobody answers: the kernel has no such family.
    fn unanswered() -> Monitor {
        let mut monitor = Monitor::open().unwrap();
        monitor.requests = Connection::open(NETLINK_GENERIC).unwrap();
        monitor
    }

    #[test]
    fn what_was_taken_in_before_an_error_is_told_after_it() {
        let mut monitor = unanswered();
        // An index that no interface of this machine has.
        monitor.take(&link(u32::MAX, true), false);
        assert!(monitor.changes().is_err() && monitor.is_behind());
        assert!(monitor.changes().is_err(), "an error is no success the second time");
        monitor.requests = Connection::open(NETLINK_ROUTE).unwrap();
        let changes = monitor.changes().unwrap();
        assert!(!monitor.is_behind());
        let of_it: Vec<(bool, bool)> = changes
            .iter()
            .filter(|change| change.index == u32::MAX)
            .map(|change| (change.up, change.deleted))
            .collect();
        assert_eq!(of_it, [(true, false), (false, true)], "it came, and is not there");
        assert!(changes.len() > 2, "and all others: {changes:?}");
    }

    #[test]
    fn what_was_told_once_is_not_told_again() {
        let mut monitor = Monitor::open().unwrap();
        assert!(monitor.is_behind(), "nothing is known yet");
        monitor.changes().unwrap();
        for (carrier, told) in [(true, 1), (true, 0), (false, 1)] {
            monitor.take(&link(u32::MAX, carrier), false);
            assert_eq!(mem::take(&mut monitor.pending).len(), told);
        }
        for told in [1, 0] {
            monitor.take(&link(u32::MAX, false), true);
            assert_eq!(mem::take(&mut monitor.pending).len(), told, "it goes once");
        }
    }
}
