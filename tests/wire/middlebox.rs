//! `lastack run` between two real kernels, and how tests start, ask and end it.
//!
//! ```text
//!   client ═══ la-in [ lastack run -c FILE ] la-out ═══ server
//!                          │  standard error ─► a file
//!                          └─ control socket ─► stats, list, delete …
//! ```
//!
//! Every process is killed with the value that stands for it and, whatever becomes of the test, with the thread
//! that started it: nothing outlives the test program.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use lastack::control::protocol::Count;
use lastack::control::stats::Port;
use lastack::control::{self, Client, Filter, Line, Request, Stats};
use lastack::json::Connection;
use lastack::lab::{INSIDE_INTERFACE, Lab, Namespace, OUTSIDE_INTERFACE, Options};
use lastack::link;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::Scratch;
use crate::eventually;

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A process in a namespace.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// Dropped, it lets the thread end that started the process.
    _keep: Sender<()>,
}

impl Process {
    /// Starts `command` as `setpriv` with `privileges` would have it; without any it has the test's own.
    pub(crate) fn start(namespace: &Namespace, privileges: &[&str], command: &Command) -> Process {
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL"]).args(privileges).arg(command.get_program());
        bound.args(command.get_args()).stdin(Stdio::null()).stdout(Stdio::piped());
        Process::spawn(namespace, bound)
    }

    fn spawn(namespace: &Namespace, mut command: Command) -> Process {
        let (started, child) = mpsc::channel();
        let (keep, kept) = mpsc::channel::<()>();
        let keeper = namespace.spawn("keeper", move || {
            started.send(command.spawn()).unwrap();
            // Ends with an error, when the other side is dropped.
            let _ = kept.recv();
        });
        keeper.unwrap();
        Process { child: child.recv().unwrap().unwrap(), _keep: keep }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn status(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("a process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a configuration says beside the two ports and their bridge.
#[derive(Default, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// Whole tables.
    pub(crate) tables: &'a str,
    /// Keys of each port.
    pub(crate) port: &'a str,
    /// Keys of the bridge.
    pub(crate) bridge: &'a str,
}

/// A laboratory and a directory for configurations, sockets and what is written to standard error.
pub(crate) struct Site {
    pub(crate) lab: Lab,
    scratch: Scratch,
    started: AtomicU32,
}

impl Site {
    pub(crate) fn new(options: &Options) -> Site {
        Site::of(Lab::bridge(options).unwrap())
    }

    /// The same around another laboratory.
    pub(crate) fn of(lab: Lab) -> Site {
        Site { lab, scratch: Scratch::new(), started: AtomicU32::new(0) }
    }

    /// One in which kernels send nothing by themselves: neighbours are known from the start, and IPv6, which
    /// tells routers of its groups every now and then, is off.
    pub(crate) fn silent() -> Site {
        let site = Site::new(&Options { fixed_neighbours: true, ..Options::default() });
        for end in [&site.lab.client, &site.lab.server] {
            end.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        }
        site
    }

    /// Another path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// The configuration's text.
    pub(crate) fn configuration(&self, setup: &Setup<'_>) -> String {
        let Setup { tables, port, bridge } = setup;
        format!(
            "{tables}\n\
             [[port]]\nname = \"inside\"\ninterface = \"{INSIDE_INTERFACE}\"\n{port}\n\
             [[port]]\nname = \"outside\"\ninterface = \"{OUTSIDE_INTERFACE}\"\n{port}\n\
             [[bridge]]\nports = [\"inside\", \"outside\"]\n{bridge}\n\
             [control]\nsocket = {:?}\n",
            self.socket().display().to_string()
        )
    }

    /// Starts the middlebox and waits until it says that it is running.
    #[track_caller]
    pub(crate) fn start(&self, setup: &Setup<'_>) -> Middlebox {
        let mut middlebox = self.begin(&self.configuration(setup), &[]);
        middlebox.wait_for("running;");
        middlebox
    }

    /// Starts the middlebox with a configuration, as `setpriv` with `privileges` would have it.
    pub(crate) fn begin(&self, configuration: &str, privileges: &[&str]) -> Middlebox {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let file = self.path(&format!("{number}.toml"));
        fs::write(&file, configuration).unwrap();
        let said = self.path(&format!("{number}.err"));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(privileges);
        command.arg(env!("CARGO_BIN_EXE_lastack")).args(["run", "-c"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&said).unwrap());
        let process = Process::spawn(&self.lab.middle, command);
        Middlebox { process, said, socket: self.socket() }
    }

    /// Starts a middlebox that must end by itself: its exit status, and the one line that it wrote.
    #[track_caller]
    pub(crate) fn refused(&self, configuration: &str, privileges: &[&str]) -> (Option<i32>, String) {
        let mut middlebox = self.begin(configuration, privileges);
        let status = middlebox.process.status().code();
        let said = middlebox.said();
        assert_eq!(said.lines().count(), 1, "one line: {said}");
        (status, said.trim_end().to_owned())
    }

    /// Holds that nothing of a middlebox is left in the middle: no program, no promiscuity, no socket.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        self.assert_detached();
        assert!(!self.socket().exists(), "the control socket is left");
    }

    /// Holds that nothing is left at the interfaces.
    #[track_caller]
    pub(crate) fn assert_detached(&self) {
        for interface in [INSIDE_INTERFACE, OUTSIDE_INTERFACE] {
            // The kernel detaches what a process held a moment after its end.
            eventually(&format!("{interface} is as it was"), || {
                self.program_on(interface).is_none() && self.promiscuity(interface) == 0
            });
        }
    }

    /// The id of the XDP program on an interface of the middle.
    pub(crate) fn program_on(&self, interface: &str) -> Option<u32> {
        self.lab.middle.run(|| link::find(interface).unwrap().xdp_program).unwrap()
    }

    /// How many want an interface of the middle to take in every frame.
    pub(crate) fn promiscuity(&self, interface: &str) -> u64 {
        self.shown(&self.lab.middle, interface)["promiscuity"].as_u64().unwrap()
    }

    /// What `ip` says of an interface.
    pub(crate) fn shown(&self, namespace: &Namespace, interface: &str) -> serde_json::Value {
        let mut ip = Command::new("ip");
        ip.args(["-json", "-details", "-statistics", "link", "show", interface]);
        let output = namespace.output(&mut ip).unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        shown[0].clone()
    }
}

/// A running middlebox.
pub(crate) struct Middlebox {
    pub(crate) process: Process,
    said: PathBuf,
    socket: PathBuf,
}

impl Middlebox {
    /// All that it wrote to standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has written a line with `text`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let Middlebox { process, said, .. } = self;
        eventually(&format!("it says \"{text}\""), || {
            let said = fs::read_to_string(&*said).unwrap();
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none(), "it has ended ({ended:?}): {said}");
            said.contains(text)
        });
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket).unwrap()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.client().stats().unwrap()
    }

    /// A whole answer, but for the line that begins a listing.
    pub(crate) fn ask(&self, command: control::Command, filter: Filter) -> Vec<Line> {
        let mut client = self.client();
        let mut answer = client.ask(&Request::new(command, filter)).unwrap();
        let lines = std::iter::from_fn(|| answer.next().unwrap());
        lines.filter(|line| !matches!(line, Line::Snapshot { .. })).collect()
    }

    pub(crate) fn list(&self, filter: Filter) -> Vec<Connection<'static>> {
        let mut connections = Vec::new();
        for line in self.ask(control::Command::List, filter) {
            let Line::Connection(connection) = line else { panic!("{line:?}") };
            connections.push(connection);
        }
        connections
    }

    pub(crate) fn count(&self) -> Count {
        let answer = self.ask(control::Command::Count, Filter::default());
        let [Line::Count(count)] = &answer[..] else { panic!("{answer:?}") };
        count.clone()
    }

    /// Its numbers once traffic is over: every packet that came in went out or was dropped for a reason, and
    /// every frame is in its place.
    #[track_caller]
    pub(crate) fn balance(&self) -> Stats {
        let start = Instant::now();
        let mut before = self.stats();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.stats();
            let Stats { packets, memory, .. } = &now;
            let is_balanced = packets.received == packets.sent + packets.dropped
                && memory.frames.unaccounted == 0
                && memory.frames.under_way == 0;
            if is_balanced && before.packets == now.packets {
                return now;
            }
            assert!(start.elapsed() < PATIENCE, "not balanced: {packets:?} {:?}", memory.frames);
            before = now;
        }
    }

    /// Ends it as an operator does, and holds that it ends well; all that it said.
    #[track_caller]
    pub(crate) fn end(mut self) -> String {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.status();
        assert_eq!(status.code(), Some(0), "{}", self.said());
        assert!(!self.socket.exists(), "the control socket is left");
        self.said()
    }

    /// Kills it with the signal that it cannot see.
    pub(crate) fn kill(mut self) -> PathBuf {
        self.process.signal(Signal::SIGKILL);
        self.process.status();
        self.socket.clone()
    }

    /// How much time of a core it has used, in ticks of 10 ms.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.child.id())).unwrap();
        // Behind the name, which may hold anything: utime and stime are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

/// The counter of a reason.
pub(crate) fn reason(stats: &Stats, name: &str) -> u64 {
    stats.packets.by_reason[name]
}

/// All reasons that were counted.
pub(crate) fn reasons(stats: &Stats) -> Vec<(&str, u64)> {
    let counted = stats.packets.by_reason.iter().filter(|(_, n)| **n > 0);
    counted.map(|(name, n)| (name.as_str(), *n)).collect()
}

/// A port by its name.
pub(crate) fn port<'a>(stats: &'a Stats, name: &str) -> &'a Port {
    stats.ports.iter().find(|port| port.port == name).unwrap()
}

/// What the kernel lost of what arrived at a port.
pub(crate) fn kernel_losses(port: &Port) -> u64 {
    port.queues.iter().filter_map(|queue| queue.kernel).map(|lost| lost.rx_dropped + lost.rx_ring_full).sum()
}

/// Runs a program in a namespace to its end, which must be a good one; what it printed.
#[track_caller]
pub(crate) fn run(namespace: &Namespace, program: &str, arguments: &[&str]) -> String {
    let output = namespace.output(Command::new(program).args(arguments)).unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
    out.into_owned()
}

/// A file of this directory.
pub(crate) fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(name)
}
