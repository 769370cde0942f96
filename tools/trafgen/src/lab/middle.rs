//! What stands in the middle, and the lab around it.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lastack::control::Client;
use lastack::lab::{INSIDE_INTERFACE, Lab, Mac, OUTSIDE_INTERFACE, Options};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::MIDDLE;
use crate::Failure;

/// The router's hardware address, in both networks.
const ROUTER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0xfe]);
/// How long Lastack may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The kernel's bridge.
    Bridge,
    /// The kernel routing, without any rule.
    Router,
    /// The kernel routing with connection tracking: what Lastack does, as far as a kernel does it.
    Tracking,
    /// Lastack, a worker that asks again at once.
    Busy,
    /// Lastack, a worker that sleeps.
    Adaptive,
    /// Lastack, busy, in generic mode.
    Generic,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] =
        [Kind::Bridge, Kind::Router, Kind::Tracking, Kind::Busy, Kind::Adaptive, Kind::Generic];

    /// On the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Bridge => "bridge",
            Kind::Router => "router",
            Kind::Tracking => "tracking",
            Kind::Busy => "busy",
            Kind::Adaptive => "adaptive",
            Kind::Generic => "generic",
        }
    }

    /// In tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Bridge => "kernel bridge",
            Kind::Router => "kernel router",
            Kind::Tracking => "router + nftables ct",
            Kind::Busy => "Lastack busy",
            Kind::Adaptive => "Lastack adaptive",
            Kind::Generic => "Lastack generic",
        }
    }

    /// Whether packets are routed rather than bridged.
    fn routes(self) -> bool {
        matches!(self, Kind::Router | Kind::Tracking)
    }

    /// What Lastack's configuration has to say: how it waits, and how packets leave the driver.
    pub(crate) fn modes(self) -> Option<(&'static str, &'static str)> {
        match self {
            Kind::Bridge | Kind::Router | Kind::Tracking => None,
            Kind::Busy => Some(("busy", "native")),
            Kind::Adaptive => Some(("adaptive", "native")),
            Kind::Generic => Some(("busy", "generic")),
        }
    }

    /// Whether everything is there that it needs.
    pub(crate) fn is_possible(&self) -> bool {
        *self != Kind::Tracking
            || Command::new("nft").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
    }
}

/// Why nothing at all can be measured here.
pub(crate) fn obstacle() -> Option<&'static str> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return Some("the benchmark on the wire needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF)");
    }
    let has_both = thread::available_parallelism().is_ok_and(|cores| cores.get() > MIDDLE);
    (!has_both).then_some("the benchmark on the wire needs two cores")
}

/// A lab with something in its middle.
pub(crate) struct Middle {
    // In this order: the process ends before its namespace does.
    process: Option<Process>,
    pub(crate) lab: Lab,
    kind: Kind,
}

impl Middle {
    /// Builds the lab, and puts what is to be measured into its middle. `offloads`: whether the ends leave
    /// checksums and segmentation to others; `lastack`: the program.
    pub(crate) fn start(kind: Kind, offloads: bool, lastack: &Path) -> Result<Middle, Failure> {
        // Native XDP runs before packets could be steered, and in generic mode the worker's core has enough to do.
        let middle_core = kind.modes().is_none().then_some(MIDDLE as u32);
        let options = Options { offloads, middle_core, fixed_neighbours: true, ..Options::default() };
        let lab = if kind.routes() { router(&options)? } else { Lab::bridge(&options)? };
        let mut process = None;
        match kind {
            Kind::Bridge => lab.add_kernel_bridge()?,
            Kind::Router => {}
            Kind::Tracking => track(&lab)?,
            Kind::Busy | Kind::Adaptive | Kind::Generic => {
                process = Some(Process::start(&lab, kind, lastack)?)
            }
        }
        // More connections in a short time than the usual range has ports.
        lab.client.set_sysctl("net/ipv4/ip_local_port_range", "1024 65535")?;
        Ok(Middle { process, lab, kind })
    }

    /// A lab with nothing in its middle.
    pub(crate) fn nothing() -> Result<Middle, Failure> {
        let options = Options { fixed_neighbours: true, ..Options::default() };
        Ok(Middle { process: None, lab: Lab::bridge(&options)?, kind: Kind::Bridge })
    }

    /// The server's address.
    pub(crate) fn server(&self) -> Ipv4Addr {
        if self.kind.routes() { Lab::ROUTED_SERVER.0 } else { Lab::SERVER.0 }
    }

    /// To whom the client gives its packets for the server.
    pub(crate) fn next_hop(&self) -> Mac {
        if self.kind.routes() { ROUTER_MAC } else { Lab::SERVER_MAC }
    }

    /// To whom the server gives its packets for the client.
    pub(crate) fn next_hop_back(&self) -> Mac {
        if self.kind.routes() { ROUTER_MAC } else { Lab::CLIENT_MAC }
    }

    /// Lastack's process.
    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }
}

/// A router that never has to ask for the server's address: while packets are only counted, nobody answers.
fn router(options: &Options) -> Result<Lab, Failure> {
    let lab = Lab::router(options)?;
    for interface in [INSIDE_INTERFACE, OUTSIDE_INTERFACE] {
        lab.middle.interface(interface)?.set_mac(ROUTER_MAC)?;
    }
    lab.middle.interface(OUTSIDE_INTERFACE)?.add_neighbour(Lab::ROUTED_SERVER.0.into(), Lab::SERVER_MAC)?;
    Ok(lab)
}

/// The least that a stateful firewall says.
const RULES: &str = "\
table inet firewall {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct state new accept
  }
}
";

fn track(lab: &Lab) -> Result<(), Failure> {
    let mut nft = lab.middle.start(Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()))?;
    if let Some(mut rules) = nft.stdin.take() {
        rules.write_all(RULES.as_bytes())?;
    }
    if nft.wait()?.success() { Ok(()) } else { Err("nft has refused the rules".into()) }
}

/// `lastack run` in the middle, ended when dropped, and killed by the kernel with this process.
pub(crate) struct Process {
    child: Child,
    directory: PathBuf,
    /// Dropped, it lets the thread end that started the child, and to whose life the child's is tied.
    keep: Option<Sender<()>>,
    parent: Option<JoinHandle<()>>,
}

impl Process {
    fn start(lab: &Lab, kind: Kind, lastack: &Path) -> Result<Process, Failure> {
        let directory = std::env::temp_dir().join(format!("lastack-wire-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let configuration = directory.join("lastack.toml");
        fs::write(&configuration, configure(kind, &directory))?;
        let said = directory.join("said");
        let mut command = Command::new(lastack);
        // The demo's way to become `run -c FILE`, and to be killed with its parent.
        command.args(["demo", "--middlebox"]).arg(configuration);
        command.args(["--parent", &std::process::id().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?);
        let (started, child) = mpsc::channel();
        let (keep, kept) = mpsc::channel::<()>();
        let parent = lab.middle.spawn("middlebox", move || {
            // Both fail only where the other side has given up.
            let _ = started.send(command.spawn());
            let _ = kept.recv();
        })?;
        let child = child.recv()??;
        let mut process = Process { child, directory, keep: Some(keep), parent: Some(parent) };
        process.await_running(&said)?;
        Ok(process)
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// For how long its worker has been in turns that found something to do.
    pub(crate) fn busy(&self) -> Result<Duration, Failure> {
        let stats = Client::connect(&socket(&self.directory))?.stats()?;
        let seconds = stats.workers.first().ok_or("lastack stats says nothing of its worker")?.busy;
        Ok(Duration::try_from_secs_f64(seconds)?)
    }

    fn await_running(&mut self, said: &Path) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(said)?;
            if text.contains("running;") {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                return Err(format!("lastack does not run: {}", text.trim_end()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let start = Instant::now();
        // The child was not waited for yet, so the number is still its own.
        let mut is_over =
            i32::try_from(self.child.id()).is_ok_and(|id| kill(Pid::from_raw(id), Signal::SIGTERM).is_err());
        while !is_over && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
            is_over = !matches!(self.child.try_wait(), Ok(None));
        }
        // With its parent's end it is killed, should it still live.
        drop(self.keep.take());
        if let Some(parent) = self.parent.take() {
            let _ = parent.join();
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn configure(kind: Kind, directory: &Path) -> String {
    let (wait, xdp) = kind.modes().unwrap_or(("busy", "auto"));
    let port = |name, interface| {
        format!("[[port]]\nname = \"{name}\"\ninterface = \"{interface}\"\nxdp = \"{xdp}\"\n\n")
    };
    format!(
        "[workers]\ncpus = [{MIDDLE}]\nwait = \"{wait}\"\n\n{}{}\
         [[bridge]]\nports = [\"inside\", \"outside\"]\nnew_from = [\"inside\"]\n\n\
         [control]\nsocket = {:?}\n",
        port("inside", INSIDE_INTERFACE),
        port("outside", OUTSIDE_INTERFACE),
        socket(directory).display().to_string()
    )
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}
