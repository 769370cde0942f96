//! The generator on real interfaces: a wire, a wire with `lastack run` in it, and what is wrong with neither.
//!
//! ```text
//!   ends                                 middle
//!   la-client ═══════════════════ la-in [ a middlebox ] la-out ═══ la-server (of the same ends)
//! ```
//!
//! Everything happens in network namespaces of the tests' own, and needs root: without it each says in a line that
//! it was skipped. Nothing here is timed.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lastack::control::Client;
use lastack::lab::{Namespace, VethEnd};
use serde_json::Value;

const CONNECTIONS: u64 = 300;

fn is_root(test: &str) -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        let line = format!("skipped: {test} needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN)\n");
        // Not eprintln: the harness hides that where a test passes.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    is_root
}

/// Two interfaces of one namespace, and what lies between them.
struct Site {
    ends: Namespace,
    middle: Namespace,
}

impl Site {
    /// One wire.
    fn wire() -> Site {
        let site = Site::empty();
        let (client, server) = (VethEnd::new("la-client"), VethEnd::new("la-server"));
        let pair = site.ends.add_veth(&client, &site.ends, &server).unwrap();
        pair.0.up().unwrap();
        pair.1.up().unwrap();
        site
    }

    /// Two wires, which end in the middle.
    fn split() -> Site {
        let site = Site::empty();
        for (end, inner) in [("la-client", "la-in"), ("la-server", "la-out")] {
            let (outer, inner) = (VethEnd::new(end), VethEnd::new(inner));
            let pair = site.ends.add_veth(&outer, &site.middle, &inner).unwrap();
            pair.0.up().unwrap();
            pair.1.up().unwrap();
        }
        site
    }

    fn empty() -> Site {
        let site = Site { ends: Namespace::new("ends").unwrap(), middle: Namespace::new("middle").unwrap() };
        for namespace in [&site.ends, &site.middle] {
            // Kernels say nothing by themselves.
            namespace.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        }
        site
    }

    fn generate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trafgen"));
        self.ends.output(command.args(arguments)).unwrap()
    }

    /// The records of a run that must succeed.
    #[track_caller]
    fn records(&self, arguments: &[&str]) -> Vec<Value> {
        let common = ["--client", "la-client", "--server", "la-server", "--json"];
        let output = self.generate(&[arguments, &common].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{errors}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What every run of a few hundred connections has to find.
#[track_caller]
fn assert_complete(records: &[Value]) {
    let [opened, traffic, closed] = records else { panic!("three records: {records:#?}") };
    for (batch, work) in [(opened, "open"), (closed, "close")] {
        assert_eq!(batch["work"], work);
        assert_eq!((&batch["succeeded"], &batch["refused"]), (&CONNECTIONS.into(), &0.into()), "{batch:#}");
        assert_eq!(batch["latency"]["samples"], CONNECTIONS, "{batch:#}");
    }
    for direction in ["original", "reply"] {
        let flow = &traffic[direction];
        assert!(flow["sent"].as_u64().unwrap() >= CONNECTIONS, "{traffic:#}");
        assert_eq!((&flow["lost"], &flow["received"]), (&0.into(), &flow["sent"]), "{traffic:#}");
        assert_eq!(flow["latency"]["samples"], flow["sent"], "every frame has a stamp: {traffic:#}");
    }
}

/// A few frames on each of the connections; slow enough for a machine that has other things to do.
const RUN: [&str; 9] = ["run", "-n", "300", "--seconds", "0.4", "--rate", "2000", "--window", "32"];

#[test]
fn connections_over_a_wire_are_opened_used_and_closed() {
    if !is_root("trafgen: a wire") {
        return;
    }
    let site = Site::wire();
    assert_complete(&site.records(&RUN));
    let wide = ["--client-address", "fd00::1", "--server-address", "fd00::2", "--size", "1200"];
    assert_complete(&site.records(&[&RUN[..], &wide].concat()));
    let [opened, traffic] = &site.records(&[&RUN[..], &["--protocol", "udp"]].concat())[..] else {
        panic!("datagrams are not closed")
    };
    assert_eq!((&opened["succeeded"], &traffic["loss"]), (&CONNECTIONS.into(), &0.0.into()));
}

#[test]
fn a_middlebox_between_the_ends_knows_every_connection_that_was_opened() {
    if !is_root("trafgen: through lastack run") {
        return;
    }
    let site = Site::split();
    let middlebox = Middlebox::start(&site);
    assert_complete(&site.records(&RUN));
    let stats = Client::connect(&middlebox.socket()).unwrap().stats().unwrap();
    let created: u64 = stats.shards.iter().map(|shard| shard.created).sum();
    assert_eq!(created, CONNECTIONS);
    assert_eq!(stats.packets.dropped, 0, "{:?}", stats.packets.by_reason);
}

#[test]
fn without_a_middlebox_every_connection_is_reported_as_lost() {
    if !is_root("trafgen: nothing between") {
        return;
    }
    let site = Site::split();
    let records = site.records(&["run", "-n", "300", "--seconds", "0", "--end", "none"]);
    assert_eq!((records.len(), &records[0]["succeeded"]), (1, &0.into()), "{records:#?}");
}

#[test]
fn the_measurements_of_rfc_9693_are_all_reported() {
    if !is_root("trafgen: RFC 9693") {
        return;
    }
    let site = Site::split();
    let _middlebox = Middlebox::start(&site);
    // Rates that any machine can do, and all the time for them, so that every search ends soon.
    let records = site.records(&[
        "rfc9693",
        "-n",
        "300",
        "--most-rate",
        "4000",
        "--seconds",
        "0.2",
        "--capacity",
        "600",
        "--resolution",
        "900",
        "--tolerance",
        "0.5",
        "--late",
        "1000",
        "--tear-down",
        "true",
    ]);
    let trials: Vec<_> = records.iter().filter(|record| record["record"] == "trial").collect();
    assert!(trials.iter().any(|trial| trial["measurement"] == "capacity"), "{records:#?}");
    let found = records.last().unwrap();
    assert_eq!((&found["record"], &found["connections"]), (&"rfc9693".into(), &300.into()));
    for name in
        ["opened_per_second", "capacity", "frames_per_second", "closed_per_second", "torn_down_per_second"]
    {
        assert!(found[name].as_f64().unwrap() > 0.0, "{name}: {found:#}");
    }
}

#[test]
fn errors_say_what_is_wrong_and_what_would_be_right() {
    if !is_root("trafgen: errors") {
        return;
    }
    let site = Site::wire();
    let said = |client: &str, more: &[&str]| {
        let output = site.generate(&[&["run", "--client", client, "--server", "la-server"], more].concat());
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "one line: {said}");
        said
    };
    let missing = said("la-cleint", &[]);
    assert!(missing.contains("no interface la-cleint") && missing.contains("la-client"), "{missing}");
    let no_queue = said("la-client", &["--queues", "3"]);
    assert!(no_queue.contains("la-client has no queue 3: it has 1"), "{no_queue}");
    let same = said("la-server", &[]);
    assert!(same.contains("both la-server"), "{same}");
    let mixed = said("la-client", &["--server-address", "fd00::2"]);
    assert!(mixed.contains("different IP versions"), "{mixed}");
    let among = said("la-client", &["--client-ports", "1-2", "--connections", "5"]);
    assert!(among.contains("10.0.0.1 to 10.0.0.3, and the server's, 10.0.0.2"), "{among}");
    site.ends.interface("la-client").unwrap().down().unwrap();
    let down = said("la-client", &[]);
    assert!(down.contains("la-client is down: ip link set la-client up"), "{down}");
}

#[test]
fn who_is_not_root_hears_which_privileges_are_missing() {
    // Without any of its own in a user namespace that gives it none.
    let mut command = Command::new(env!("CARGO_BIN_EXE_trafgen"));
    command.args(["run", "--client", "lo", "--server", "other"]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    let output = match command.output() {
        Ok(output) => output,
        // Where nobody may not reach the program, nothing can be asked of it.
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            return;
        }
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("CAP_NET_RAW") && said.contains("run it as root"), "{said}");
}

/// Not a test of its own: what others start as a process in the middle, and end.
#[test]
#[ignore = "a middlebox; started by another test"]
fn a_process_that_is_a_middlebox() {
    let Some(configuration) = std::env::var_os("TRAFGEN_TEST_MIDDLEBOX") else { return };
    let configuration = lastack::config::load(Some(configuration.as_ref()), &[]).unwrap();
    lastack::daemon::run(&configuration, &mut |_| {}).unwrap();
}

/// `lastack run` as the library has it, in the middle of a site.
struct Middlebox {
    child: Child,
    directory: PathBuf,
}

impl Middlebox {
    fn start(site: &Site) -> Middlebox {
        static STARTED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = STARTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("trafgen-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let configuration = directory.join("lastack.toml");
        let socket = directory.join("control.sock").display().to_string();
        let text = format!(
            "[table]\nmax_connections = 10_000\n\
             [[port]]\nname = \"inside\"\ninterface = \"la-in\"\n\
             [[port]]\nname = \"outside\"\ninterface = \"la-out\"\n\
             [[bridge]]\nports = [\"inside\", \"outside\"]\nnew_from = [\"inside\"]\n\
             [control]\nsocket = {socket:?}\n"
        );
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "a_process_that_is_a_middlebox"]);
        command.env("TRAFGEN_TEST_MIDDLEBOX", &configuration).stdin(Stdio::null()).stdout(Stdio::null());
        let mut middlebox = Middlebox { child: site.middle.start(&mut command).unwrap(), directory };
        let start = Instant::now();
        while Client::connect(&middlebox.socket()).and_then(|mut client| client.stats()).is_err() {
            assert!(middlebox.child.try_wait().unwrap().is_none(), "it has ended");
            assert!(start.elapsed() < Duration::from_secs(60), "it does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        middlebox
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }
}

impl Drop for Middlebox {
    fn drop(&mut self) {
        // The kernel detaches its programs, and closes its sockets.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
