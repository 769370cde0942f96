//! Laboratories: what they promise to the tests that stand on them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use lastack::lab::{self, Lab, Mac, Namespace, Options, Prefix, SocketState, VethEnd};
use lastack::tcp::State;

use crate::{eventually, is_root};

const CLIENT_V4: IpAddr = IpAddr::V4(Lab::CLIENT.0);
const SERVER_V4: IpAddr = IpAddr::V4(Lab::SERVER.0);
const SERVER_V6: IpAddr = IpAddr::V6(Lab::SERVER.1);

fn bridged(options: &Options) -> Lab {
    let lab = Lab::bridge(options).unwrap();
    lab.add_kernel_bridge().unwrap();
    lab
}

/// A connection through the lab: the client's socket and the server's.
fn connected(lab: &Lab, to: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = lab.server.run(|| TcpListener::bind(to)).unwrap().unwrap();
    let client = lab.client.run(|| TcpStream::connect(to)).unwrap().unwrap();
    (client, listener.accept().unwrap().0)
}

/// The states of the sockets of one connection, as each side's kernel has it.
fn states(lab: &Lab, client: SocketAddr, server: SocketAddr) -> (Option<State>, Option<State>) {
    let find = |sockets: Vec<SocketState>, local, remote| {
        let found = sockets.into_iter().find(|socket| (socket.local, socket.remote) == (local, remote));
        found.map(|socket| socket.state)
    };
    let at_client = find(lab.client.sockets().unwrap(), client, server);
    (at_client, find(lab.server.sockets().unwrap(), server, client))
}

/// Sends datagrams with `text` until one arrives, of whatever text: a bridge's port forwards only when the
/// kernel has noticed that it is up, up to a second later.
fn first_of_many(client: &UdpSocket, server: &UdpSocket, text: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 16];
    let mut first = Vec::new();
    server.set_nonblocking(true).unwrap();
    eventually("a datagram crosses", || {
        client.send_to(text, server.local_addr().unwrap()).unwrap();
        let received = server.recv_from(&mut buffer);
        first = received.as_ref().map_or_else(|_| Vec::new(), |(length, _)| buffer[..*length].to_vec());
        received.is_ok()
    });
    first
}

#[test]
fn client_and_server_reach_each_other_through_the_kernels_bridge_over_both_ip_versions() {
    if !is_root("lab: reach each other") {
        return;
    }
    let lab = bridged(&Options { queues: 2, mtu: 9000, ..Options::default() });
    for address in [SERVER_V4, SERVER_V6] {
        let (mut client, mut server) = connected(&lab, SocketAddr::new(address, 80));
        client.write_all(&[7; 100_000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert_eq!(received, [7; 100_000]);
    }
}

#[test]
fn client_and_server_reach_each_other_through_the_kernel_as_a_router() {
    if !is_root("lab: router") {
        return;
    }
    let lab = Lab::router(&Options::default()).unwrap();
    let (v4, v6) = Lab::ROUTED_SERVER;
    for address in [IpAddr::V4(v4), IpAddr::V6(v6)] {
        let (mut client, mut server) = connected(&lab, SocketAddr::new(address, 80));
        client.write_all(b"routed").unwrap();
        let mut received = [0; 6];
        server.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"routed");
    }
}

#[test]
fn the_middle_alone_works_on_its_arrivals_on_the_core_that_is_asked_for() {
    if !is_root("lab: the middle's core") {
        return;
    }
    let lab = Lab::router(&Options { middle_core: Some(0), ..Options::default() }).unwrap();
    let masks = [&lab.middle, &lab.client].map(|namespace| {
        let mask = namespace.run(|| std::fs::read_to_string("/proc/sys/net/core/rps_default_mask"));
        u32::from_str_radix(mask.unwrap().unwrap().trim(), 16).unwrap()
    });
    // Bit 0 is core 0; no bit is the sender's core.
    assert_eq!(masks, [1, 0]);
    let (mut client, mut server) = connected(&lab, SocketAddr::new(Lab::ROUTED_SERVER.0.into(), 80));
    client.write_all(b"steered").unwrap();
    let mut received = [0; 7];
    server.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"steered");
}

#[test]
fn without_something_in_the_middle_nothing_crosses() {
    if !is_root("lab: nothing crosses") {
        return;
    }
    let lab = Lab::bridge(&Options { fixed_neighbours: true, ..Options::default() }).unwrap();
    let to = SocketAddr::new(SERVER_V4, 7);
    let server = lab.server.run(|| UdpSocket::bind(to)).unwrap().unwrap();
    let client = lab.client.run(|| UdpSocket::bind((CLIENT_V4, 0))).unwrap().unwrap();
    client.send_to(b"before", to).unwrap();
    lab.add_kernel_bridge().unwrap();
    assert_eq!(first_of_many(&client, &server, b"after"), b"after");
}

#[test]
fn the_kernels_tell_their_sockets_states_time_wait_included() {
    if !is_root("lab: sockets") {
        return;
    }
    let lab = bridged(&Options::default());
    for address in [SERVER_V4, SERVER_V6] {
        let to = SocketAddr::new(address, 80);
        let (client, mut server) = connected(&lab, to);
        let from = client.local_addr().unwrap();
        assert_eq!(states(&lab, from, to), (Some(State::Established), Some(State::Established)));
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        eventually("the client's FIN is acknowledged", || {
            states(&lab, from, to) == (Some(State::FinWait2), Some(State::CloseWait))
        });
        drop(server);
        eventually("both have closed", || states(&lab, from, to) == (Some(State::TimeWait), None));
    }
    let listener = lab.server.run(|| TcpListener::bind((SERVER_V4, 81))).unwrap().unwrap();
    let listening = lab.server.sockets().unwrap();
    let of_listener = listening.iter().find(|socket| socket.local == listener.local_addr().unwrap());
    assert_eq!(of_listener.map(|socket| socket.state), Some(State::Listen));
}

#[test]
fn offloads_are_off_on_all_four_interfaces_unless_they_are_wanted() {
    if !is_root("lab: offloads") {
        return;
    }
    for offloads in [false, true] {
        let lab = Lab::bridge(&Options { offloads, ..Options::default() }).unwrap();
        for interface in [
            lab.client_interface().unwrap(),
            lab.middle.interface(lab::INSIDE_INTERFACE).unwrap(),
            lab.middle.interface(lab::OUTSIDE_INTERFACE).unwrap(),
            lab.server_interface().unwrap(),
        ] {
            let features = interface.features().unwrap();
            for name in ["tx-checksum-ip-generic", "tx-tcp-segmentation", "tx-generic-segmentation", "rx-gro"]
            {
                assert_eq!(features.contains(name), offloads, "{name} of {}: {features:?}", interface.name());
            }
        }
    }
}

#[test]
fn queues_mtu_and_hardware_address_are_those_that_were_asked_for() {
    if !is_root("lab: queues") {
        return;
    }
    let (a, b) = (Namespace::new("a").unwrap(), Namespace::new("b").unwrap());
    let mac = Mac([2, 0, 0, 0, 0, 9]);
    let here = VethEnd { mac: Some(mac), mtu: 3000, rx_queues: 3, tx_queues: 2, ..VethEnd::new("la-a") };
    a.add_veth(&here, &b, &VethEnd::new("la-b")).unwrap();
    assert_eq!(sysfs(&a, "la-a/queues"), ["rx-0", "rx-1", "rx-2", "tx-0", "tx-1"]);
    assert_eq!(sysfs(&b, "la-b/queues"), ["rx-0", "tx-0"]);
    assert_eq!(sysfs(&a, "la-a/mtu"), ["3000"]);
    assert_eq!(sysfs(&a, "la-a/address"), ["02:00:00:00:00:09"]);
}

/// A file's content or a directory's names, in the /sys/class/net of a namespace: that of whoever mounts it.
fn sysfs(namespace: &Namespace, path: &str) -> Vec<String> {
    let script = format!(
        "mount -t sysfs la-sys /sys && cd /sys/class/net/ && {{ test -d {path} && ls {path} || cat {path}; }}"
    );
    let output = namespace.output(Command::new("unshare").args(["--mount", "sh", "-c", &script])).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_port_goes_down_comes_up_and_takes_its_other_end_with_it_when_it_is_removed() {
    if !is_root("lab: down and up") {
        return;
    }
    let lab = bridged(&Options { fixed_neighbours: true, ..Options::default() });
    let to = SocketAddr::new(SERVER_V4, 7);
    let server = lab.server.run(|| UdpSocket::bind(to)).unwrap().unwrap();
    let client = lab.client.run(|| UdpSocket::bind((CLIENT_V4, 0))).unwrap().unwrap();
    let middle = lab.middle.interface(lab::OUTSIDE_INTERFACE).unwrap();
    middle.down().unwrap();
    client.send_to(b"down", to).unwrap();
    middle.up().unwrap();
    assert_eq!(first_of_many(&client, &server, b"up"), b"up");
    middle.delete().unwrap();
    assert!(lab.server_interface().is_err());
}

#[test]
fn a_namespace_takes_its_interfaces_with_it() {
    if !is_root("lab: dropped") {
        return;
    }
    let (kept, dropped) = (Namespace::new("kept").unwrap(), Namespace::new("dropped").unwrap());
    kept.add_veth(&VethEnd::new("la-kept"), &dropped, &VethEnd::new("la-dropped")).unwrap();
    drop(dropped);
    eventually("the other end is gone", || kept.interface("la-kept").is_err());
}

/// Not a test of its own: what the next one starts as a process and kills.
#[test]
#[ignore = "waits to be killed; started by another test"]
fn a_process_with_a_lab() {
    if std::env::var_os("LASTACK_TEST_LAB").is_none() {
        return;
    }
    let outer = Namespace::of_this_thread("outer").unwrap();
    let inner = Namespace::new("inner").unwrap();
    outer.add_veth(&VethEnd::new("la-outer"), &inner, &VethEnd::new("la-inner")).unwrap();
    println!("ready");
    // Until the pipe ends or, as is meant, somebody kills the process.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_process_that_is_killed_leaves_nothing() {
    if !is_root("lab: killed") {
        return;
    }
    let outer = Namespace::new("outer").unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "lab::a_process_with_a_lab"]);
    command.env("LASTACK_TEST_LAB", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = outer.start(&mut command).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The harness writes the test's name in front of what it prints.
    assert!(lines.any(|line| line.unwrap().ends_with("ready")), "the process said that it is ready");
    assert!(outer.interface("la-outer").is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("its namespace is gone", || outer.interface("la-outer").is_err());
}

#[test]
fn sysctls_belong_to_the_namespace() {
    if !is_root("lab: sysctl") {
        return;
    }
    let read = || std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fin_timeout").unwrap();
    let before = read();
    let namespace = Namespace::new("parameters").unwrap();
    namespace.set_sysctl("net/ipv4/tcp_fin_timeout", "7").unwrap();
    assert_eq!(namespace.run(read).unwrap(), "7\n");
    assert_eq!(read(), before);
}

#[test]
fn errors_say_which_step_failed() {
    if !is_root("lab: errors") {
        return;
    }
    let namespace = Namespace::new("alone").unwrap();
    let no_interface = namespace.interface("la-none").unwrap_err();
    assert_eq!(no_interface.to_string(), "namespace alone: interface la-none: No such device (os error 19)");
    let unreachable = namespace.add_route(Prefix::new(Ipv4Addr::UNSPECIFIED, 0), CLIENT_V4).unwrap_err();
    assert_eq!(
        unreachable.to_string(),
        "namespace alone: route to 0.0.0.0/0 by way of 10.0.0.1: Network is unreachable (os error 101)"
    );
    let too_long = VethEnd::new("la-a-name-that-is-too-long");
    assert!(namespace.add_veth(&too_long, &namespace, &VethEnd::new("la-b")).is_err());
    assert!(namespace.set_sysctl("net/ipv4/no_such_parameter", "1").is_err());
}

#[test]
fn a_panic_inside_is_passed_on() {
    if !is_root("lab: panics") {
        return;
    }
    let namespace = Namespace::new("panics").unwrap();
    let caught = std::panic::catch_unwind(|| namespace.run(|| panic!("inside")));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
}

#[test]
fn the_thread_that_asks_stays_where_it_is() {
    if !is_root("lab: stays") {
        return;
    }
    let here = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let before = here();
    let namespace = Namespace::new("elsewhere").unwrap();
    let there = namespace.run(here).unwrap();
    assert_ne!(there, before);
    assert_eq!(here(), before);
    assert_eq!(namespace.spawn("inside", here).unwrap().join().unwrap(), there);
    let output = namespace.output(Command::new("readlink").arg("/proc/self/ns/net")).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), there.to_str().unwrap());
}
