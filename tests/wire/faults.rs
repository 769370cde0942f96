//! Ends of all kinds: signals, kill -9, ports that go down, away, or lose the other side. And how little it
//! costs to wait.

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use lastack::control::Filter;
use lastack::lab::{INSIDE_INTERFACE, OUTSIDE_INTERFACE, Options};
use lastack::wire::build::Builder;
use lastack::wire::{Ports, protocol};
use nix::sys::signal::Signal;

use crate::endpoints::{CLIENT_V4, SERVER_V4, Service, Web, Wire, connected, crosses, ping, udp};
use crate::middlebox::{Middlebox, Setup, Site, kernel_losses, port, reason, reasons};
use crate::{eventually, is_root};

const BUSY: &str = "[workers]\nwait = \"busy\"\n";

fn site() -> Site {
    Site::new(&Options { fixed_neighbours: true, ..Options::default() })
}

#[test]
fn each_signal_that_asks_it_to_end_ends_it_well_and_leaves_nothing() {
    if !is_root("signals") {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let site = site();
        assert_eq!(site.promiscuity(INSIDE_INTERFACE), 0);
        let mut middlebox = site.start(&Setup::default());
        for interface in [INSIDE_INTERFACE, OUTSIDE_INTERFACE] {
            assert_eq!(site.promiscuity(interface), 1, "{interface} listens to all addresses meanwhile");
            assert!(site.program_on(interface).is_some(), "{interface} has a program meanwhile");
        }
        let (_client, _server) = connected(&site.lab, SocketAddr::new(SERVER_V4, 80));
        middlebox.process.signal(signal);
        assert_eq!(middlebox.process.status().code(), Some(0), "{signal}: {}", middlebox.said());
        let said = middlebox.said();
        assert!(said.lines().last().is_some_and(|last| last.starts_with("stopped; ")), "{said}");
        site.assert_clean();
    }
}

#[test]
fn a_transfer_survives_kill_9_and_a_restart() {
    if !is_root("kill -9") {
        return;
    }
    for tables in ["", "[workers]\ncpus = [0, 1]\n"] {
        let site = Site::new(&Options { queues: 2, offloads: true, ..Options::default() });
        let setup = Setup { tables, ..Setup::default() };
        let middlebox = site.start(&setup);
        let mut web = Web::start(&site.lab, SERVER_V4);
        thread::scope(|scope| {
            let lab = &site.lab;
            let fetching = scope.spawn(move || web.fetch(lab, 96, Some("32M")));
            eventually("it is under way", || {
                let stats = middlebox.stats();
                let queues = port(&stats, "inside").queues.iter();
                queues.map(|queue| queue.sent.bytes).sum::<u64>() > 16 << 20
            });
            let socket = middlebox.kill();
            assert!(socket.exists(), "nobody could remove the control socket");
            site.assert_detached();
            let again = Instant::now();
            let middlebox = site.start(&setup);
            let took = again.elapsed();
            fetching.join().unwrap();
            // The kernel gives queues back a moment after their owner has gone; on a quiet machine it is a
            // fraction of a second.
            assert!(took < Duration::from_secs(10), "{took:?}");
            let picked_up = middlebox.list(Filter { port: Some(80), ..Filter::default() });
            assert_eq!(picked_up.len(), 1, "{picked_up:?}");
            middlebox.balance();
            middlebox.end();
            site.assert_clean();
        });
    }
}

/// Sends datagrams until one comes back.
fn until_echoed(socket: &UdpSocket) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    eventually("a datagram comes back", || {
        // Its own earlier ones may still be on the way.
        let _ = socket.send(b"echo");
        socket.recv(&mut [0; 8]).is_ok()
    });
}

/// A socket of the client's whose datagrams an echo at the server sends back.
fn echo(site: &Site) -> (UdpSocket, Service) {
    let to = SocketAddr::new(SERVER_V4, 7);
    let service = Service::udp_echo(&site.lab.server, to);
    let socket = udp(&site.lab.client, SocketAddr::new(CLIENT_V4, 0));
    socket.connect(to).unwrap();
    until_echoed(&socket);
    (socket, service)
}

fn state(middlebox: &Middlebox, name: &str) -> String {
    port(&middlebox.stats(), name).state.clone()
}

#[test]
fn a_port_that_goes_down_and_comes_back_works_again() {
    if !is_root("down and up") {
        return;
    }
    // What happens to the port itself, and to the other side of its wire, which takes its carrier away.
    for far in [false, true] {
        let site = site();
        let middlebox = site.start(&Setup::default());
        let (socket, _service) = echo(&site);
        let interface = if far {
            site.lab.server_interface().unwrap()
        } else {
            site.lab.middle.interface(OUTSIDE_INTERFACE).unwrap()
        };
        for round in 1..=2 {
            interface.down().unwrap();
            eventually("it is down", || state(&middlebox, "outside") == "down");
            assert_eq!(middlebox.said().matches("port \"outside\": la-out is down").count(), round);
            let before = reason(&middlebox.stats(), "port_down");
            eventually("what should leave by it is dropped", || {
                socket.send(b"nowhere").unwrap();
                reason(&middlebox.stats(), "port_down") > before
            });
            interface.up().unwrap();
            eventually("it is up", || state(&middlebox, "outside") == "up");
            if far {
                // Taking its interface down has cost the server what it knew of its neighbours.
                let mac = lastack::lab::Lab::CLIENT_MAC;
                interface.add_neighbour(CLIENT_V4, mac).unwrap();
            }
            until_echoed(&socket);
        }
        middlebox.balance();
        middlebox.end();
        site.assert_clean();
    }
}

#[test]
fn a_port_that_is_down_at_the_start_is_told_and_works_once_it_is_up() {
    if !is_root("down at the start") {
        return;
    }
    let site = site();
    let interface = site.lab.middle.interface(OUTSIDE_INTERFACE).unwrap();
    interface.down().unwrap();
    let mut middlebox = site.start(&Setup::default());
    middlebox.wait_for("port \"outside\": la-out is down");
    interface.up().unwrap();
    let (_socket, _service) = echo(&site);
    assert_eq!(state(&middlebox, "outside"), "up");
    middlebox.balance();
    middlebox.end();
}

#[test]
fn a_port_that_is_deleted_is_told_and_costs_nothing() {
    if !is_root("a deleted port") {
        return;
    }
    let site = site();
    let mut middlebox = site.start(&Setup::default());
    let (socket, _service) = echo(&site);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // In the middle of traffic, so that there is always something on its way to the port.
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                socket.send(b"on its way").unwrap();
            }
        });
        site.lab.middle.interface(OUTSIDE_INTERFACE).unwrap().delete().unwrap();
        middlebox.wait_for("port \"outside\": la-out was deleted");
        is_over.store(true, Relaxed);
    });
    middlebox.balance();
    let before = reason(&middlebox.stats(), "port_down");
    for _ in 0..100 {
        socket.send(b"nowhere").unwrap();
    }
    // At least: some of those sent before may have been on their way until now.
    eventually("they are dropped", || reason(&middlebox.stats(), "port_down") >= before + 100);
    let stats = middlebox.balance();
    let gone = port(&stats, "outside");
    assert_eq!(gone.state, "gone");
    let used = ticks_within(&middlebox, Duration::from_secs(1));
    assert!(used < 5, "{used} ticks within a second");
    middlebox.end();
    eventually("the port is free", || site.program_on(INSIDE_INTERFACE).is_none());
}

/// How many ticks (10 ms) of a core it uses in a time.
fn ticks_within(middlebox: &Middlebox, time: Duration) -> u64 {
    let before = middlebox.ticks();
    // What is measured is a stretch of time: there is nothing to be waited for.
    thread::sleep(time);
    middlebox.ticks() - before
}

#[test]
fn an_idle_middlebox_sleeps_and_a_busy_one_does_not() {
    if !is_root("idle and busy") {
        return;
    }
    for (tables, workers) in [("", 1), ("[workers]\ncpus = [0, 1]\n", 2)] {
        let site = Site::new(&Options { queues: 2, fixed_neighbours: true, ..Options::default() });
        let middlebox = site.start(&Setup { tables, ..Setup::default() });
        let used = ticks_within(&middlebox, Duration::from_secs(3));
        assert!(used < 3, "{workers} workers: {used} ticks within three seconds, which is 1 % of a core");
        middlebox.end();
    }
    let site = site();
    let middlebox = site.start(&Setup { tables: BUSY, ..Setup::default() });
    let (turns, used) =
        (middlebox.stats().workers[0].turns, ticks_within(&middlebox, Duration::from_millis(500)));
    assert!(used > 3, "{used} ticks");
    let stats = middlebox.stats();
    assert!(
        stats.workers[0].turns > turns + 10_000 && stats.workers[0].sleeps == 0,
        "{:?}",
        stats.workers[0]
    );
    let (socket, _service) = echo(&site);
    until_echoed(&socket);
    middlebox.end();
}

#[test]
fn the_first_packet_after_idleness_is_not_late() {
    if !is_root("the first packet after idleness") {
        return;
    }
    let site = site();
    let middlebox = site.start(&Setup::default());
    // The best of a few, since the machine may have other things to do; a sleeper that is not woken would be
    // late by up to the 250 ms of its longest sleep nearly every time.
    let best = (0..3).map(|_| {
        thread::sleep(Duration::from_secs(2));
        let said = ping(&site.lab.client, SERVER_V4, &[]);
        let milliseconds = said.split("time=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        Duration::from_secs_f64(milliseconds.parse::<f64>().unwrap() / 1e3)
    });
    let best = best.min();
    assert!(best.is_some_and(|best| best < Duration::from_millis(20)), "{best:?}");
    assert!(middlebox.stats().workers[0].sleeps > 0);
    middlebox.end();
}

#[test]
fn a_packet_that_a_sleeping_worker_is_given_by_another_is_not_late() {
    if !is_root("a packet for a sleeping worker") {
        return;
    }
    let site = Site::new(&Options { queues: 2, fixed_neighbours: true, ..Options::default() });
    let tables = "[workers]\ncpus = [0, 1]\nsteering = \"rss\"\n";
    let middlebox = site.start(&Setup { tables, ..Setup::default() });
    let to = SocketAddr::new(SERVER_V4, 7);
    let _service = Service::udp_echo(&site.lab.server, to);
    // Both workers sleep between any two of these, and about half of the flows go from one to the other.
    for port in 0..16 {
        let socket = udp(&site.lab.client, SocketAddr::new(CLIENT_V4, 20_000 + port));
        socket.connect(to).unwrap();
        let best = (0..3).map(|_| {
            thread::sleep(Duration::from_millis(10));
            let start = Instant::now();
            socket.send(b"good morning").unwrap();
            socket.recv(&mut [0; 16]).unwrap();
            start.elapsed()
        });
        let best = best.min();
        assert!(best.is_some_and(|best| best < Duration::from_millis(20)), "flow {port}: {best:?}");
    }
    let stats = middlebox.balance();
    assert!(stats.workers.iter().all(|worker| worker.sleeps > 0 && worker.taken_over > 0), "{stats:?}");
    middlebox.end();
}

#[test]
fn generic_mode_works_and_warns_auto_is_native_and_a_veth_has_no_zero_copy() {
    if !is_root("modes") {
        return;
    }
    for (mode, xdp) in [("generic", "xdp = \"generic\"\n"), ("native", "xdp = \"native\"\n"), ("native", "")]
    {
        let site = site();
        let middlebox = site.start(&Setup { port: xdp, ..Setup::default() });
        let (client, server) = connected(&site.lab, SocketAddr::new(SERVER_V4, 80));
        crosses(&client, &server, &[7; 100_000]);
        crosses(&server, &client, &[8; 100_000]);
        let stats = middlebox.balance();
        assert!(stats.ports.iter().all(|port| port.queues[0].mode == mode), "{xdp}: {stats:?}");
        assert_eq!(reasons(&stats), [], "{mode}");
        let said = middlebox.end();
        assert!(said.contains(&format!("port \"inside\": la-in, queue 0: {mode}, worker 0")), "{said}");
        assert_eq!(said.contains("runs in generic mode"), mode == "generic", "{said}");
        site.assert_clean();
    }
    let site = site();
    let setup = Setup { port: "xdp = \"zero-copy\"\n", ..Setup::default() };
    let (status, said) = site.refused(&site.configuration(&setup), &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.starts_with("port \"inside\": la-in, queue 0: ") && said.contains("cannot do without copying"),
        "{said}"
    );
    site.assert_clean();
}

#[test]
fn what_the_kernel_loses_is_shown_beside_what_lastack_counts() {
    if !is_root("kernel losses") {
        return;
    }
    let site = Site::silent();
    let middlebox = site.start(&Setup::default());
    let to = SocketAddr::new(SERVER_V4, 9);
    let _sink = udp(&site.lab.server, to);
    let socket = udp(&site.lab.client, SocketAddr::new(CLIENT_V4, 0));
    socket.connect(to).unwrap();
    // Stopped, it takes nothing, and its rings fill up; the kernel goes on counting.
    middlebox.process.signal(Signal::SIGSTOP);
    let sent = 10_000;
    for _ in 0..sent {
        socket.send(b"into a full ring").unwrap();
    }
    middlebox.process.signal(Signal::SIGCONT);
    let stats = middlebox.balance();
    let inside = port(&stats, "inside");
    let received = inside.queues[0].received.packets;
    assert!(kernel_losses(inside) > 0 && received >= 2048, "{inside:?}");
    let at_client = site.shown(&site.lab.client, lastack::lab::CLIENT_INTERFACE);
    let on_the_way = at_client["stats64"]["tx"]["dropped"].as_u64().unwrap();
    assert_eq!(sent, received + kernel_losses(inside) + on_the_way, "{inside:?}");
    let echo = udp(&site.lab.server, SocketAddr::new(SERVER_V4, 7));
    socket.connect((SERVER_V4, 7)).unwrap();
    socket.send(b"and on it goes").unwrap();
    assert_eq!(echo.recv(&mut [0; 32]).unwrap(), 14);
    middlebox.end();
}

#[test]
fn a_connection_stays_as_it_is_while_the_middlebox_is_away() {
    if !is_root("away") {
        return;
    }
    let site = site();
    let setup = Setup { bridge: "new_from = [\"inside\"]\n", ..Setup::default() };
    let middlebox = site.start(&setup);
    let (mut client, mut server) = connected(&site.lab, SocketAddr::new(SERVER_V4, 80));
    middlebox.end();
    let middlebox = site.start(&setup);
    // The firewall has forgotten it, and only inside may begin: it has to be inside that goes on.
    client.write_all(b"still there?").unwrap();
    let mut buffer = [0; 12];
    server.read_exact(&mut buffer).unwrap();
    server.write_all(b"yes").unwrap();
    client.read_exact(&mut buffer[..3]).unwrap();
    let picked_up = &middlebox.list(Filter { destination_port: Some(80), ..Filter::default() })[..];
    assert_eq!(picked_up.len(), 1, "{picked_up:?}");
    middlebox.end();
}

/// The four numbers of the last line: packets received, sent, refused, lost.
fn farewell(said: &str) -> [u64; 4] {
    let last = said.lines().last().unwrap();
    let numbers = last.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    numbers.collect::<Vec<u64>>().try_into().unwrap_or_else(|_| panic!("{last}"))
}

#[test]
fn a_signal_in_the_middle_of_traffic_loses_nothing_without_counting_it() {
    if !is_root("a signal in the middle of traffic") {
        return;
    }
    for steering in ["rss", "hash"] {
        let site = Site::new(&Options { queues: 2, fixed_neighbours: true, ..Options::default() });
        let tables = format!("[workers]\ncpus = [0, 1]\nsteering = \"{steering}\"\n");
        let middlebox = site.start(&Setup { tables: &tables, ..Setup::default() });
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for number in 0..2 {
                let (site, is_over) = (&site, &is_over);
                scope.spawn(move || {
                    let sockets = [(); 8].map(|()| udp(&site.lab.client, SocketAddr::new(CLIENT_V4, 0)));
                    while !is_over.load(Relaxed) {
                        for socket in &sockets {
                            // An error that the server's kernel has sent back meanwhile is none of ours.
                            let _ = socket.send_to(b"on and on", (SERVER_V4, 9000 + number));
                        }
                    }
                });
            }
            eventually("it is under way", || middlebox.stats().packets.received > 10_000);
            let [received, sent, refused, lost] = farewell(&middlebox.end());
            is_over.store(true, Relaxed);
            assert_eq!(received, sent + refused + lost, "{steering}");
        });
        site.assert_clean();
    }
}

#[test]
fn a_datagram_that_stays_incomplete_gives_its_frames_back_when_the_time_is_up() {
    if !is_root("an incomplete datagram") {
        return;
    }
    let site = Site::silent();
    let middlebox = site.start(&Setup { tables: "[fragments]\ntimeout = \"1s\"\n", ..Setup::default() });
    let path = Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]);
    let payload: Vec<u8> = path.udp_datagram(Ports { source: 4000, destination: 4000 }, &[7; 3000]);
    let [first, second, _] = &path.fragments(protocol::UDP, &payload, 1400)[..] else {
        panic!("three pieces")
    };
    let wire = Wire::of_client(&site.lab);
    wire.send(first);
    wire.send(second);
    eventually("they are held", || middlebox.stats().memory.frames.held == 2);
    eventually("they are given up", || reason(&middlebox.stats(), "fragment_incomplete") == 2);
    let stats = middlebox.balance();
    assert_eq!((stats.memory.frames.held, stats.packets.sent, stats.connections.created), (0, 0, 0));
    middlebox.end();
}

#[test]
fn packets_longer_than_the_mtu_at_the_start_are_dropped_and_counted() {
    if !is_root("a larger MTU") {
        return;
    }
    let site = site();
    let middlebox = site.start(&Setup::default());
    let (socket, _service) = echo(&site);
    for interface in
        [site.lab.client_interface().unwrap(), site.lab.middle.interface(INSIDE_INTERFACE).unwrap()]
    {
        interface.set_mtu(9000).unwrap();
    }
    socket.send(&[7; 8000]).unwrap();
    // By the kernel, which was told that no packet has more than one frame.
    eventually("it is dropped", || kernel_losses(port(&middlebox.stats(), "inside")) == 1);
    until_echoed(&socket);
    middlebox.balance();
    middlebox.end();
}
