//! Changes of interfaces, as they happen.
//!
//! ```text
//!  kernel ─ RTM_NEWLINK, RTM_DELLINK ─► socket ─► known: index → name, up ─► Change, where something changed
//!                                       └ overrun: everything is asked for again, and compared
//! ```
//!
//! The kernel announces much more than what matters here (counters of a bridge, attributes, each step of going
//! up), and loses announcements when they are not read in time. So what is known is kept, and only a difference
//! is a change.

use std::collections::BTreeMap;
use std::io;
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
        Ok(Monitor { announcements, requests, known: BTreeMap::new(), is_behind: true })
    }

    /// What changed since the last call, in the order of its happening; empty if nothing did. Does not wait.
    ///
    /// # Errors
    ///
    /// What the kernel says. Nothing is lost by an error: the next call makes up for it.
    pub fn changes(&mut self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        loop {
            match self.announcements.recv_from_full() {
                Ok((bytes, _)) => {
                    for message in messages(&bytes) {
                        let Some(link) = Link::of(&message) else { continue };
                        changes.extend(self.take(&link, message.kind == DELETE_LINK));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.is_behind = true,
                Err(error) => return Err(error),
            }
        }
        if self.is_behind {
            self.catch_up(&mut changes)?;
        }
        Ok(changes)
    }

    /// Compares what is known with all that there is. Announcements that arrive meanwhile are older than or
    /// equal to what is then known, or come after it; either way they end at the truth.
    fn catch_up(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        let links = all_from(&mut self.requests)?;
        let is_gone = |index: &u32| links.iter().all(|link| link.index != *index);
        let gone: Vec<u32> = self.known.keys().copied().filter(is_gone).collect();
        for index in gone {
            changes.extend(self.known.remove(&index).map(|(name, _)| deleted(index, name)));
        }
        for link in &links {
            changes.extend(self.take(link, false));
        }
        self.is_behind = false;
        Ok(())
    }

    /// Takes an announcement in; what it changes.
    fn take(&mut self, link: &Link, is_deleted: bool) -> Option<Change> {
        let Link { index, name, carrier, .. } = link;
        if is_deleted {
            return self.known.remove(index).map(|_| deleted(*index, name.clone()));
        }
        let now = (name.clone(), *carrier);
        if self.known.get(index) == Some(&now) {
            return None;
        }
        self.known.insert(*index, now);
        Some(Change { index: *index, name: name.clone(), up: *carrier, deleted: false })
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
