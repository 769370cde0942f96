//! The configurations that the project ships are right, and mean what their comments say.

use std::path::{Path, PathBuf};

use lastack::config::{self, Config};
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
        .collect();
    names.sort();
    for expected in ["firewall.toml", "lab.toml", "replay.toml", "rfc-timers.toml", "strict.toml"] {
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
fn strict_lets_nothing_pass_that_is_not_certain() {
    let config = load("strict.toml");
    assert!(!config.tcp.loose && !config.tcp.liberal && config.tcp.check_window);
    assert_eq!(config.tcp.inexact_rst, InexactRst::Drop);
    assert_eq!(config.tcp.time_wait_reuse, TimeWaitReuse::Rfc1122);
    assert_eq!(config.checks, lastack::wire::Checks::ALL);
}
