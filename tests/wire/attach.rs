//! The XDP program on real interfaces: attached, refused, gone.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lastack::link::{self, program_on};
use lastack::xdp::{AttachError, Attached, Loaded, Mode, Steering};

use super::veth::{Elsewhere, in_new_namespace, run, wire};
use super::{eventually, is_root};

const STEERING: Steering = Steering { zone: 1, workers: 2, queues: 2 };

fn index_of(name: &str) -> u32 {
    link::find(name).unwrap().index
}

/// Loads the program and attaches it.
pub(super) fn attach(index: u32, steering: Steering, mode: Mode) -> Result<Attached, AttachError> {
    Loaded::load(steering)?.attach(index, mode).map_err(|refused| refused.1)
}

fn refusal(attached: Result<Attached, AttachError>) -> AttachError {
    match attached {
        Ok(_) => panic!("it was attached"),
        Err(error) => error,
    }
}

#[test]
fn a_program_may_be_kept_by_another_thread() {
    const fn assert_send<T: Send>() {}
    const { assert_send::<Attached>() };
}

#[test]
fn a_program_is_on_its_interface_for_as_long_as_its_value_lives() {
    if !is_root("a_program_is_on_its_interface") {
        return;
    }
    in_new_namespace(|| {
        wire(2, 2);
        let index = index_of("la-a");
        for mode in [Mode::Native, Mode::Generic] {
            let attached = attach(index, STEERING, mode).unwrap();
            assert!(program_on(index).unwrap().is_some(), "{mode:?}");
            drop(attached);
            // Not at once: a link is detached when its last descriptor is closed, and a child that another test
            // is starting has copies of all of them between fork and exec.
            eventually("the interface is free", || program_on(index).unwrap().is_none());
        }
    });
}

#[test]
fn a_second_program_is_refused_and_the_first_one_named() {
    if !is_root("a_second_program_is_refused") {
        return;
    }
    in_new_namespace(|| {
        wire(2, 2);
        let index = index_of("la-a");
        let _first = attach(index, STEERING, Mode::Native).unwrap();
        let id = link::find("la-a").unwrap().xdp_program.unwrap();
        for mode in [Mode::Native, Mode::Generic] {
            let error = refusal(attach(index, STEERING, mode));
            assert!(matches!(error, AttachError::InUse { program: Some(other) } if other == id), "{error:?}");
            assert!(!error.generic_may_work());
        }
    });
}

#[test]
fn a_driver_without_xdp_is_told_from_a_kernel_without_it() {
    if !is_root("a_driver_without_xdp") {
        return;
    }
    in_new_namespace(|| {
        let loopback = index_of("lo");
        let error = refusal(attach(loopback, STEERING, Mode::Native));
        assert!(matches!(error, AttachError::NoNative) && error.generic_may_work(), "{error:?}");
        attach(loopback, STEERING, Mode::Generic).unwrap();
    });
}

#[test]
fn what_cannot_be_attached_to_says_why() {
    if !is_root("what_cannot_be_attached_to_says_why") {
        return;
    }
    in_new_namespace(|| {
        let error = refusal(attach(9_999, STEERING, Mode::Native));
        assert!(matches!(error, AttachError::NoInterface), "{error:?}");
        wire(4, 4);
        run("ethtool -L la-a rx 1");
        let error = refusal(attach(index_of("la-a"), STEERING, Mode::Native));
        assert!(matches!(error, AttachError::TooFewQueues) && error.generic_may_work(), "{error:?}");
        let nobody = Steering { workers: 0, ..STEERING };
        let error = refusal(attach(index_of("la-a"), nobody, Mode::Native));
        assert!(matches!(error, AttachError::NoSockets { .. }), "{error:?}");
    });
}

#[test]
fn a_frame_without_a_socket_is_counted_and_never_reaches_the_host() {
    if !is_root("a_frame_without_a_socket") {
        return;
    }
    in_new_namespace(|| {
        let peer = Elsewhere::new();
        run(&format!("ip link add la-a type veth peer name la-b netns {}", peer.thread));
        run("ip address add 10.7.0.2/24 dev la-a");
        run("ip link set la-a up");
        let sender = peer.call(|| {
            run("ip address add 10.7.0.1/24 broadcast + dev la-b");
            run("ip link set la-b up");
            let sender = UdpSocket::bind("10.7.0.1:0").unwrap();
            sender.set_broadcast(true).unwrap();
            sender
        });
        let host = UdpSocket::bind("0.0.0.0:4000").unwrap();
        host.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let send = |payload: u8| assert_eq!(sender.send_to(&[payload], "10.7.0.255:4000").unwrap(), 1);
        // Sent again until one arrives: an interface takes a moment after it is up, or without its program.
        let crosses = |sent: u8| {
            let mut payload = [0];
            (0..100).any(|_| {
                send(sent);
                while host.recv(&mut payload).is_ok() {
                    assert_ne!(payload[0], 2, "it was sent while there was no socket for it");
                    if payload[0] == sent {
                        return true;
                    }
                }
                false
            })
        };
        assert!(crosses(1), "the wire works");
        for mode in [Mode::Native, Mode::Generic] {
            let one_queue = Steering { zone: 0, workers: 2, queues: 1 };
            let loaded = Loaded::load(one_queue).unwrap();
            let missed = loaded.missed();
            let attached = loaded.attach(index_of("la-a"), mode).map_err(|refused| refused.1).unwrap();
            (0..100).for_each(|_| send(2));
            let start = Instant::now();
            while missed.count().unwrap() < 100 && start.elapsed() < Duration::from_secs(5) {}
            assert_eq!(missed.count().unwrap(), 100, "{mode:?}");
            drop(attached);
            assert!(crosses(3), "{mode:?}: the host has its interface again");
        }
    });
}

#[test]
fn only_sockets_of_the_right_kind_and_place_are_taken() {
    if !is_root("only_sockets_of_the_right_kind") {
        return;
    }
    use std::os::fd::AsFd;
    in_new_namespace(|| {
        wire(2, 2);
        let mut loaded = Loaded::load(STEERING).unwrap();
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let of_another_kind = loaded.set_socket(1, 1, socket.as_fd()).unwrap_err();
        assert_eq!(of_another_kind.raw_os_error(), Some(libc::EOPNOTSUPP));
        for (queue, worker) in [(2, 0), (0, 2), (u32::MAX, 0)] {
            let out_of_place = loaded.set_socket(queue, worker, socket.as_fd()).unwrap_err();
            assert_eq!(out_of_place.kind(), std::io::ErrorKind::InvalidInput, "{queue}, {worker}");
        }
    });
}

/// Not a test: what other tests start as a process of its own. Attaches, says so, and waits.
#[test]
#[ignore = "other tests start it"]
fn attach_and_wait() {
    let _promiscuous = link::Promiscuous::set(index_of("la-a")).map_err(|error| println!("{error}"));
    match attach(index_of("la-a"), STEERING, Mode::Native) {
        Ok(_attached) => {
            println!("attached");
            std::thread::sleep(Duration::from_secs(60));
        }
        Err(error) => println!("refused: {error}"),
    }
}

/// This test program, to run `attach_and_wait` alone.
fn attach_and_wait_command(through: &[&str]) -> Command {
    let itself = std::env::current_exe().unwrap();
    let mut words: Vec<&str> = through.to_vec();
    words.push(itself.to_str().unwrap());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["--exact", "attach::attach_and_wait", "--ignored", "--nocapture"]);
    command.stdout(Stdio::piped());
    command
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    if !is_root("a_killed_process_leaves_nothing_behind") {
        return;
    }
    in_new_namespace(|| {
        wire(2, 2);
        let index = index_of("la-a");
        let mut child = attach_and_wait_command(&[]).spawn().unwrap();
        let is_attached = || program_on(index).unwrap().is_some();
        let is_promiscuous = || run("ip -details link show la-a").contains("promiscuity 1");
        wait_until(is_attached);
        assert!(is_promiscuous());
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until(|| !is_attached() && !is_promiscuous());
        attach(index, STEERING, Mode::Native).unwrap();
    });
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "it did not come to be");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn missing_capabilities_are_named() {
    if !is_root("missing_capabilities_are_named") {
        return;
    }
    in_new_namespace(|| {
        wire(2, 2);
        for (kept, missing) in [
            ("-all", "grant CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON"),
            ("-all,+net_raw,+net_admin,+bpf", "grant CAP_PERFMON"),
            ("-all,+net_raw,+bpf,+perfmon", "grant CAP_NET_ADMIN"),
        ] {
            let set = format!("--bounding-set={kept}");
            let output = attach_and_wait_command(&["setpriv", &set]).output().unwrap();
            let told = String::from_utf8(output.stdout).unwrap();
            let line = told.lines().find(|line| line.contains("refused")).unwrap_or(&told);
            assert!(line.ends_with(missing), "{kept}: {told}");
        }
    });
}
