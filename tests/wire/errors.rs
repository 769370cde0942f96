//! What cannot work says so in one line, with the right exit status, and leaves nothing behind.
//!
//! 2: the configuration cannot be run on this machine. 1: the machine does not let it.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use af_xdp::{BindOptions, Umem, UmemOptions};
use lastack::lab::{INSIDE_INTERFACE, OUTSIDE_INTERFACE, Options};
use lastack::link;
use lastack::xdp::{Loaded, Mode, Steering};

use crate::endpoints::{SERVER_V4, connected, crosses};
use crate::middlebox::{Setup, Site};
use crate::{eventually, is_root};

fn site() -> Site {
    Site::new(&Options { fixed_neighbours: true, ..Options::default() })
}

/// Holds that a configuration is refused with this exit status and a line that says all of `parts`.
#[track_caller]
fn refused(site: &Site, configuration: &str, privileges: &[&str], status: i32, parts: &[&str]) {
    let (exit, said) = site.refused(configuration, privileges);
    assert_eq!(exit, Some(status), "{said}");
    for part in parts {
        assert!(said.contains(part), "\"{part}\" in: {said}");
    }
}

#[test]
fn a_configuration_that_cannot_be_run_is_refused_with_status_2() {
    if !is_root("configurations") {
        return;
    }
    let site = site();
    let with = |tables, port| site.configuration(&Setup { tables, port, ..Setup::default() });
    let good = with("", "");
    let misspelt = good.replacen("[[bridge]]", "[[bridge]]\nnew_form = [\"inside\"]", 1);
    let third = format!("{good}[[port]]\nname = \"third\"\ninterface = \"lo\"\n");
    let (ports, behind) = good.split_once("[[bridge]]").unwrap();
    let no_bridge = format!("{ports}{}", &behind[behind.find("[control]").unwrap()..]);
    let two = "[table]\nmax_connections = 1\n[workers]\ncpus = [0, 1]\n";
    for (configuration, parts) in [
        (no_bridge, &["no [[bridge]]", "ports = [\"inside\", \"outside\"]"][..]),
        (third, &["\"third\"", "no [[bridge]] joins this port"]),
        (with("", "queues = [5]\n"), &["\"inside\"", "there is no queue 5", "has 1 (0 to 0)"]),
        (with(two, ""), &["2 workers cannot share", "max_connections"]),
        (with("[workers]\ncpus = [0, 999]\n", ""), &["[workers] cpus", "no core 999", "there are 0"]),
        (misspelt, &[".toml:", "[[bridge]]", "new_form", "did you mean `new_from`?"]),
    ] {
        refused(&site, &configuration, &[], 2, parts);
        site.assert_clean();
    }
}

#[test]
fn an_interface_that_is_not_there_is_told_with_those_that_are() {
    if !is_root("missing interface") {
        return;
    }
    let site = site();
    let good = site.configuration(&Setup::default());
    let missing = good.replacen(INSIDE_INTERFACE, "la-inn", 1);
    let parts =
        ["port \"inside\"", "there is no interface la-inn", "did you mean la-in?", "lo, ", OUTSIDE_INTERFACE];
    refused(&site, &missing, &[], 1, &parts);
    site.assert_clean();
}

#[test]
fn an_interface_with_another_xdp_program_is_left_to_it() {
    if !is_root("another program") {
        return;
    }
    let site = site();
    let attach = || {
        let index = link::find(OUTSIDE_INTERFACE).unwrap().index;
        let loaded = Loaded::load(Steering { zone: 0, workers: 1, queues: 1 }).unwrap();
        loaded.attach(index, Mode::Native).map_err(|refused| refused.1).unwrap()
    };
    let other = site.lab.middle.run(attach).unwrap();
    let id = site.program_on(OUTSIDE_INTERFACE).unwrap();
    let parts = ["port \"outside\"", "la-out", "already has an XDP program", &format!("(id {id})")];
    refused(&site, &site.configuration(&Setup::default()), &[], 1, &parts);
    assert_eq!(site.program_on(OUTSIDE_INTERFACE), Some(id), "the other one is untouched");
    drop(other);
    site.assert_detached();
    site.assert_clean();
    site.start(&Setup::default()).end();
}

#[test]
fn a_queue_that_another_socket_has_is_told_and_left_to_it() {
    if !is_root("a busy queue") {
        return;
    }
    let site = site();
    let bind_queue = || {
        let options = UmemOptions { frames: 64, frame_size: 2048, headroom: 0, tx_metadata: false };
        let (umem, frames) = Umem::new(&options).unwrap();
        let index = link::find(OUTSIDE_INTERFACE).unwrap().index;
        umem.bind(&BindOptions::new(index, 0)).map(|socket| (socket, frames))
    };
    let other = site.lab.middle.run(bind_queue).unwrap().unwrap();
    let parts = ["port \"outside\"", "la-out", "queue 0", "another socket has the queue"];
    refused(&site, &site.configuration(&Setup::default()), &[], 1, &parts);
    site.assert_clean();
    drop(other);
    // Not at once: a child that another test is starting has copies of all descriptors between fork and exec.
    eventually("the queue is free", || site.lab.middle.run(|| bind_queue().is_ok()).unwrap());
    site.start(&Setup::default()).end();
}

#[test]
fn a_second_instance_is_refused_and_the_first_one_goes_on() {
    if !is_root("a second instance") {
        return;
    }
    let site = site();
    let middlebox = site.start(&Setup::default());
    let (client, server) = connected(&site.lab, SocketAddr::new(SERVER_V4, 80));
    let same = site.configuration(&Setup::default());
    refused(
        &site,
        &same,
        &[],
        1,
        &["control.sock", "another lastack is running with this socket", "[control] socket"],
    );
    crosses(&client, &server, b"the same socket");
    // With a socket of its own it comes as far as the ports.
    let other = same.replace("control.sock", "other.sock");
    refused(&site, &other, &[], 1, &["port \"inside\"", "la-in", "another socket has the queue"]);
    assert!(!site.path("other.sock").exists());
    crosses(&client, &server, b"the same ports");
    middlebox.balance();
    middlebox.end();
    site.assert_clean();
}

#[test]
fn a_stale_control_socket_is_replaced_and_any_other_file_is_not() {
    if !is_root("a stale socket") {
        return;
    }
    let site = site();
    let socket = site.start(&Setup::default()).kill();
    assert!(socket.exists());
    let middlebox = site.start(&Setup::default());
    assert_eq!(middlebox.count().connections, 0);
    middlebox.end();
    site.assert_clean();
    fs::write(&socket, "a letter").unwrap();
    let parts = ["control.sock", "exists and is not a socket", "[control] socket"];
    refused(&site, &site.configuration(&Setup::default()), &[], 1, &parts);
    assert_eq!(fs::read_to_string(&socket).unwrap(), "a letter");
    site.assert_detached();
}

#[test]
fn missing_capabilities_are_named() {
    if !is_root("missing capabilities") {
        return;
    }
    let site = site();
    let good = site.configuration(&Setup::default());
    for (without, named, not_named) in [
        (
            "-net_raw,-net_admin,-bpf,-perfmon,-sys_admin",
            "CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON",
            "SYS",
        ),
        ("-perfmon,-sys_admin", "missing CAP_PERFMON:", "CAP_NET"),
        ("-net_raw", "missing CAP_NET_RAW:", "CAP_BPF"),
    ] {
        let (status, said) = site.refused(&good, &["--bounding-set", without]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(named) && !said.contains(not_named), "{without}: {said}");
        assert!(said.contains("run as root"), "{said}");
        site.assert_clean();
    }
}

#[test]
fn the_capabilities_that_are_named_are_enough() {
    if !is_root("enough capabilities") {
        return;
    }
    let site = site();
    let only = "-all,+net_raw,+net_admin,+bpf,+perfmon,+ipc_lock";
    let mut middlebox = site.begin(&site.configuration(&Setup::default()), &["--bounding-set", only]);
    middlebox.wait_for("running;");
    let (client, server) = connected(&site.lab, SocketAddr::new(SERVER_V4, 80));
    crosses(&client, &server, b"with five capabilities");
    middlebox.end();
    site.assert_clean();
}

#[test]
fn too_little_locked_memory_is_told_with_what_would_help() {
    if !is_root("locked memory") {
        return;
    }
    let site = site();
    // Root without this capability is bound by the limit like everybody else.
    let poor = ["--bounding-set", "-ipc_lock", "prlimit", "--memlock=1048576:1048576"];
    let parts = ["port \"inside\"", "memory that may be locked", "ulimit -l", "CAP_IPC_LOCK"];
    refused(&site, &site.configuration(&Setup::default()), &poor, 1, &parts);
    site.assert_clean();
}

#[test]
fn an_address_for_metrics_that_is_taken_is_told() {
    if !is_root("metrics address") {
        return;
    }
    let site = site();
    let taken = site.lab.middle.run(|| TcpListener::bind("127.0.0.1:9464")).unwrap().unwrap();
    let setup = Setup { tables: "[metrics]\nlisten = \"127.0.0.1:9464\"\n", ..Setup::default() };
    refused(&site, &site.configuration(&setup), &[], 1, &["127.0.0.1:9464"]);
    site.assert_clean();
    drop(taken);
    // A child that another test is starting may have a copy of the listener for a moment.
    eventually("the address is free", || {
        site.lab.middle.run(|| TcpListener::bind("127.0.0.1:9464").is_ok()).unwrap()
    });
    site.start(&setup).end();
}
