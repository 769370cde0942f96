//! Network namespaces without names in the file system: a file descriptor keeps each of them alive.
//!
//! ```text
//!  new ─ a thread: unshare(CLONE_NEWNET), opens its own /proc/thread-self/ns/net, ends
//!                                             │
//!  Namespace { file } ◄───────────────────────┘ the only thing that keeps it, but for processes inside
//!    run(work) ─ a thread: setns(file), work(), ends
//! ```
//!
//! A thread belongs to one namespace for as long as it lives: whatever is done inside is done by a thread of
//! its own, and no other thread ever changes its namespace. Sockets keep the namespace in which they were
//! made, wherever they are used afterwards; threads and processes inherit that of the thread that starts them.

use std::fs::File;
use std::io;
use std::process::{Child, Command, Output};
use std::thread::{self, JoinHandle};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use nix::sched::{CloneFlags, setns, unshare};

use super::error::{Error, Needs, Result};
use super::netlink::{Netlink, Protocol};

/// A network namespace, which lasts for as long as this value, or a socket or process inside, does.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    /// A new namespace with its loopback interface up; `name` is for messages only.
    ///
    /// # Errors
    /// CAP_SYS_ADMIN is missing, or the kernel has no network namespaces.
    pub fn new(name: &str) -> Result<Namespace> {
        let step = || format!("network namespace {name}");
        let made = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.and_then(|result| result).map_err(|error| Error::new(step(), Needs::Admin, error))?;
        let namespace = Namespace { name: name.to_owned(), file };
        namespace.attempt("its loopback interface", Needs::NetworkAdmin, || {
            let mut up = LinkMessage::default();
            up.header.flags = LinkFlags::Up;
            up.header.change_mask = LinkFlags::Up;
            up.attributes.push(LinkAttribute::IfName("lo".to_owned()));
            Netlink::open(Protocol::Route)?.change(RouteNetlinkMessage::SetLink(up), 0)
        })?;
        Ok(namespace)
    }

    /// The namespace that the calling thread is in, for a process that was started inside of one.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn of_this_thread(name: &str) -> Result<Namespace> {
        let file = File::open("/proc/thread-self/ns/net")
            .map_err(|error| Error::new(format!("network namespace {name}"), Needs::Nothing, error))?;
        Ok(Namespace { name: name.to_owned(), file })
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does `work` inside, on a thread of its own, and waits for it; a panic is passed on.
    ///
    /// # Errors
    /// The namespace cannot be entered, because the process has given up CAP_SYS_ADMIN.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let entered = in_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        });
        entered
            .and_then(|result: io::Result<T>| result)
            .map_err(|error| Error::new(format!("entering namespace {}", self.name), Needs::Admin, error))
    }

    /// Starts a thread inside that lives for as long as `work` takes.
    ///
    /// # Errors
    /// As [`Namespace::run`], or there can be no more threads.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        self.attempt(&format!("thread {name}"), Needs::Nothing, || {
            thread::Builder::new().name(name.to_owned()).spawn(work)
        })
    }

    /// Starts a process inside.
    ///
    /// The thread that starts it ends at once, so a parent-death signal would reach the child immediately: who
    /// wants one starts the child from [`Namespace::spawn`], on a thread that waits for it.
    ///
    /// # Errors
    /// As [`Namespace::run`], or the program cannot be started.
    pub fn start(&self, command: &mut Command) -> Result<Child> {
        let step = format!("starting {}", command.get_program().display());
        self.attempt(&step, Needs::Nothing, || command.spawn())
    }

    /// Runs a process inside to its end, and returns what it wrote.
    ///
    /// # Errors
    /// As [`Namespace::start`].
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        let step = format!("running {}", command.get_program().display());
        self.attempt(&step, Needs::Nothing, || command.output())
    }

    /// Sets a parameter of the namespace; `key` is its path below /proc/sys, such as `net/ipv4/ip_forward`.
    ///
    /// # Errors
    /// There is no such parameter (it may belong to the whole system), or it does not take the value.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        // /proc/sys/net shows the namespace of the thread that opens the file.
        self.attempt(&format!("sysctl {key} = {value}"), Needs::NetworkAdmin, || {
            std::fs::OpenOptions::new().write(true).open(format!("/proc/sys/{key}")).and_then(|mut file| {
                // In one call, as the kernel wants it.
                io::Write::write_all(&mut file, value.as_bytes())
            })
        })
    }

    /// The file descriptor's number, by which netlink messages name the namespace.
    pub(super) fn raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.file)
    }

    /// Does `work` inside; its failure is that of `step`.
    pub(super) fn attempt<T: Send>(
        &self,
        step: &str,
        needs: Needs,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> Result<T> {
        self.run(work)?.map_err(|error| Error::new(format!("namespace {}: {step}", self.name), needs, error))
    }
}

/// Does `work` on a thread of its own, which takes whatever it does to its namespace with it.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, work)?;
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}
