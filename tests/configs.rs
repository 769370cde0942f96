//! The configurations that the project ships are right, and mean what their comments say.

use std::path::{Path, PathBuf};

use lastack::config::{self, Config, Multicast};
use lastack::tcp::{InexactRst, TimeWaitReuse};
use lastack::time::Span;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")
}

fn load(name: &str) -> Config {
    config::load(Some(&directory().join(name)), &[]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn minutes(minutes: u32) -> Span {
    Span::from_milliseconds(minutes * 60_000)
}

#[test]
fn every_configuration_that_is_shipped_loads_and_changes_something() {
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    for expected in
        ["bridge-firewall.toml", "firewall.toml", "lab.toml", "replay.toml", "rfc-timers.toml", "strict.toml"]
    {
        assert!(names.iter().any(|name| name == expected), "configs/{expected} is missing");
    }
    for name in names {
        assert_ne!(load(&name), Config::default(), "configs/{name} changes nothing");
    }
}

#[test]
fn rfc_timers_holds_what_the_rfcs_ask_of_a_nat() {
    let config = load("rfc-timers.toml");
    // RFC 5382 REQ-5: 2 hours 4 minutes where established, 4 minutes where opening or closing.
    let tcp = config.tcp.timeouts;
    assert!(tcp.established >= minutes(124));
    for transitory in [
        tcp.syn_sent,
        tcp.syn_received,
        tcp.fin_wait_1,
        tcp.fin_timeout,
        tcp.half_closed,
        tcp.closing,
        tcp.closed,
    ] {
        assert!(transitory >= minutes(4));
    }
    assert!(tcp.msl.times(2) >= minutes(4));
    assert!(!config.tcp.time_wait_truncation);
    assert_eq!(config.tcp.time_wait_max, 0);
    // RFC 4787 REQ-5: two minutes; REQ-5c: five are recommended.
    assert!(config.flow.udp_replied >= minutes(5));
    assert!(config.flow.udp_unreplied >= minutes(5));
    // RFC 5508 REQ-2: sixty seconds.
    assert!(config.flow.icmp >= minutes(1));
}

#[test]
fn the_firewall_lets_connections_begin_inside_only() {
    let config = load("firewall.toml");
    assert_eq!(config.bridges.len(), 1);
    assert_eq!(config.bridges[0].ports, ["inside", "outside"]);
    assert_eq!(config.bridges[0].new_from, ["inside"]);
}

#[test]
fn the_units_firewall_lets_the_lan_begin_and_shows_its_metrics_to_this_machine_only() {
    let config = load("bridge-firewall.toml");
    assert_eq!(config.bridges.len(), 1);
    assert_eq!(config.bridges[0].ports, ["lan", "wan"]);
    assert_eq!(config.bridges[0].new_from, ["lan"]);
    assert_eq!(config.bridges[0].multicast, Multicast::Pass);
    assert!(config.metrics.is_some_and(|address| address.ip().is_loopback()));
}

/// The values of a directive of the unit.
fn unit_values(directive: &str) -> Vec<String> {
    let unit = std::fs::read_to_string(directory().join("lastack.service"))
        .expect("configs/lastack.service can be read");
    let values = unit.lines().filter_map(|line| line.strip_prefix(directive)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

#[test]
fn the_unit_has_the_capabilities_it_needs_and_no_other_and_a_place_for_the_socket() {
    let five = "CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_PERFMON CAP_IPC_LOCK";
    assert_eq!(unit_values("AmbientCapabilities"), [five]);
    assert_eq!(unit_values("CapabilityBoundingSet"), [five]);
    assert_eq!(unit_values("LimitMEMLOCK"), ["infinity"]);
    let runtime = unit_values("RuntimeDirectory");
    let socket = load("bridge-firewall.toml").control_socket;
    assert_eq!(socket.parent(), Some(Path::new("/run").join(&runtime[0]).as_path()));
    // Started again after a fault, but not after a mistake that only an editor can mend.
    assert_eq!(unit_values("Restart"), ["on-failure"]);
    assert_eq!(unit_values("RestartPreventExitStatus"), ["2"]);
}

#[test]
fn strict_lets_nothing_pass_that_is_not_certain() {
    let config = load("strict.toml");
    assert!(!config.tcp.loose && !config.tcp.liberal && config.tcp.check_window);
    assert_eq!(config.tcp.inexact_rst, InexactRst::Drop);
    assert_eq!(config.tcp.time_wait_reuse, TimeWaitReuse::Rfc1122);
    assert_eq!(config.checks, lastack::wire::Checks::ALL);
}
