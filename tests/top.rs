//! `lastack top` on a terminal: taken, drawn on, and given back as it was, however it ends.
//!
//! ```text
//!   this test ── pseudo-terminal ── lastack top ── control socket ── Server of this test, an empty middlebox
//! ```
//!
//! What the screen looks like is tested in src/top without a terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot make or read something fails, and says where")]

mod common;

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::Scratch;
use lastack::control::Server;
use lastack::time::SystemClock;
use lastack::view::{Plane, Watch};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;

/// Much longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A middlebox without workers and ports that answers on a control socket until it is dropped.
struct Middlebox {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Middlebox {
    fn start(socket: &Path) -> Middlebox {
        let stop = Arc::new(AtomicBool::new(false));
        let mut poll = mio::Poll::new().unwrap();
        let mut server = Server::bind(socket, poll.registry(), 0).unwrap();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let plane = bare();
            let mut events = mio::Events::with_capacity(16);
            while !stopped.load(Ordering::Relaxed) {
                poll.poll(&mut events, Some(Duration::from_millis(20))).unwrap();
                for event in &events {
                    server.ready(poll.registry(), event, &plane);
                }
                server.turn(poll.registry(), &plane);
            }
        });
        Middlebox { stop, thread: Some(thread) }
    }
}

impl Drop for Middlebox {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn bare() -> Plane {
    let clock = SystemClock::since_1970();
    Plane {
        workers: Vec::new(),
        ports: Vec::new(),
        started: clock.now().seconds(),
        clock,
        umem_frames: 0,
        frame_size: 0,
        spare_frames: Watch::new(|| 0),
        table_memory: String::new(),
        table_bytes: 0,
        table_resident: Watch::new(|| None),
        table_huge: Watch::new(|| None),
    }
}

/// `lastack top` on a terminal of 80 by 24.
struct Session {
    /// Our end of the terminal.
    master: File,
    /// The program's, to see how it is set.
    slave: OwnedFd,
    /// How it was set before.
    before: Termios,
    child: Child,
    /// Everything that was drawn.
    seen: String,
}

impl Session {
    fn start(socket: &Path) -> Session {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(Some(&size), None).unwrap();
        fcntl(terminal.master.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        // Else the program would hold our end of its own terminal.
        for end in [&terminal.master, &terminal.slave] {
            fcntl(end.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let end = || Stdio::from(terminal.slave.try_clone().unwrap());
        let before = tcgetattr(&terminal.slave).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastack"));
        command.args(["top", "--socket"]).arg(socket).env("TERM", "xterm");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Session {
            master: File::from(terminal.master),
            slave: terminal.slave,
            before,
            child,
            seen: String::new(),
        }
    }

    /// Takes what was drawn since the last time.
    fn look(&mut self) {
        let mut bytes = Vec::new();
        if let Err(error) = self.master.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        self.seen.push_str(&String::from_utf8_lossy(&bytes));
    }

    fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Session) -> Option<T>) -> T {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            self.look();
            if let Some(found) = found(self) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{what} in vain; drawn: {:?}", self.seen);
    }

    /// Waits until `text` is drawn, and forgets what was before it.
    fn wait_for(&mut self, text: &str) {
        self.until(&format!("waited for {text:?}"), |session| {
            let at = session.seen.find(text)?;
            session.seen.drain(..at + text.len());
            Some(())
        });
    }

    fn ended(&mut self) -> ExitStatus {
        let status = self.until("waited for the end", |session| session.child.try_wait().unwrap());
        self.look();
        status
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn assert_given_back(&self) {
        assert!(tcgetattr(&self.slave).unwrap() == self.before, "the terminal is set as it was");
        assert!(self.seen.contains("\u{1b}[?1049l"), "the usual screen is back: {:?}", self.seen);
        assert!(self.seen.contains("\u{1b}[?25h"), "the cursor is back: {:?}", self.seen);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket(scratch: &Scratch) -> PathBuf {
    scratch.path("control.sock")
}

#[test]
fn a_key_ends_it_and_the_terminal_is_as_before() {
    let scratch = Scratch::new();
    let _middlebox = Middlebox::start(&socket(&scratch));
    let mut session = Session::start(&socket(&scratch));
    session.wait_for("live");
    assert!(tcgetattr(&session.slave).unwrap() != session.before, "keys come one by one, unseen");
    session.master.write_all(b"q").unwrap();
    assert!(session.ended().success());
    session.assert_given_back();
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_as_before() {
    let scratch = Scratch::new();
    let _middlebox = Middlebox::start(&socket(&scratch));
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut session = Session::start(&socket(&scratch));
        session.wait_for("live");
        session.signal(signal);
        assert!(session.ended().success(), "{signal}");
        session.assert_given_back();
    }
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    let scratch = Scratch::new();
    let _middlebox = Middlebox::start(&socket(&scratch));
    let mut session = Session::start(&socket(&scratch));
    session.wait_for("live");
    let null = || File::open("/dev/null").unwrap();
    session.slave = null().into();
    session.master = null();
    assert_eq!(session.ended().code(), Some(1));
}

#[test]
fn a_middlebox_that_goes_is_missed_and_the_next_one_found() {
    let scratch = Scratch::new();
    let middlebox = Middlebox::start(&socket(&scratch));
    let mut session = Session::start(&socket(&scratch));
    session.wait_for("live");
    drop(middlebox);
    session.wait_for("nothing");
    let _middlebox = Middlebox::start(&socket(&scratch));
    // Only what changes is drawn: of the status, all but its first letter.
    session.wait_for("ive");
    session.master.write_all(b"\x03").unwrap();
    assert!(session.ended().success());
}

#[test]
fn what_is_no_terminal_and_what_does_not_run_is_one_line() {
    let scratch = Scratch::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastack"));
    let output =
        command.args(["top", "--socket"]).arg(socket(&scratch)).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line, "top needs a terminal; for a program, there are `lastack stats` and `lastack list`\n");
    assert!(output.stdout.is_empty());
    let mut session = Session::start(&socket(&scratch));
    assert_eq!(session.ended().code(), Some(1));
    assert!(session.seen.contains("no lastack is running with this control socket"), "{:?}", session.seen);
    assert_eq!(session.seen.lines().count(), 1, "{:?}", session.seen);
    assert!(!session.seen.contains('\u{1b}'), "the terminal was not touched: {:?}", session.seen);
}
