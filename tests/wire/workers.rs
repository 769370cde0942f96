//! Several workers: each connection is at one of them, and nothing is lost or overtaken on the way there.
//!
//! A veth chooses the queue by its own hash of the packet, which is not the same for both directions of a
//! connection: with `rss` about every second one arrives at the worker that does not have it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;

use lastack::control::{Filter, Stats};
use lastack::lab::Options;
use lastack::shard::steering_of_frame;
use lastack::wire::build::Builder;
use lastack::wire::{Frame, Link};

use crate::endpoints::{
    CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, Service, Web, connected, crosses, ping, udp,
};
use crate::middlebox::{Middlebox, Setup, Site, kernel_losses, port, reasons};
use crate::{eventually, is_root};

/// Datagrams that a flow has under way at once: all flows together fewer than the ring between two workers holds.
const WINDOW: u32 = 24;
const FLOWS: u32 = 16;
const ROUNDS: u32 = 100;

/// Every way of steering, beside the queues of each port.
const WAYS: [(&str, u32); 4] = [("rss", 2), ("hash", 2), ("rss", 1), ("hash", 1)];

fn start(site: &Site, steering: &str) -> Middlebox {
    let tables = format!("[workers]\ncpus = [0, 1]\nsteering = \"{steering}\"\n");
    site.start(&Setup { tables: &tables, ..Setup::default() })
}

fn site(queues: u32) -> Site {
    Site::new(&Options { queues, fixed_neighbours: true, ..Options::default() })
}

/// Packets that went from worker to worker; each that was given was taken.
#[track_caller]
fn handed_over(stats: &Stats) -> u64 {
    let sum = |of: fn(&lastack::control::stats::Worker) -> u64| stats.workers.iter().map(of).sum::<u64>();
    assert_eq!(sum(|worker| worker.handed_over), sum(|worker| worker.taken_over));
    sum(|worker| worker.handed_over)
}

/// Sends windows of numbered datagrams and holds that they come back in their order, each of them once.
fn numbered(socket: &UdpSocket) {
    let mut buffer = [0; 64];
    for round in 0..ROUNDS {
        let numbers = round * WINDOW..(round + 1) * WINDOW;
        for number in numbers.clone() {
            socket.send(&number.to_be_bytes()).unwrap();
        }
        for number in numbers {
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], number.to_be_bytes(), "in the order of sending");
        }
    }
}

#[test]
fn nothing_is_lost_or_overtaken_between_two_workers() {
    if !is_root("nothing is overtaken") {
        return;
    }
    for (steering, queues) in WAYS {
        let site = site(queues);
        let middlebox = start(&site, steering);
        let (lab, pairs) = (&site.lab, [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)]);
        let _services = pairs.map(|(_, server)| Service::udp_echo(&lab.server, SocketAddr::new(server, 7)));
        thread::scope(|scope| {
            for flow in 0..FLOWS {
                let (client, server) = pairs[flow as usize % 2];
                let socket = udp(&lab.client, SocketAddr::new(client, 20_000 + flow as u16));
                socket.connect((server, 7)).unwrap();
                scope.spawn(move || numbered(&socket));
            }
        });
        let stats = middlebox.balance();
        // The kernels tell routers of their IPv6 groups now and then.
        let of_flows = stats.packets.received - stats.packets.by_class["untracked"];
        assert_eq!(of_flows, u64::from(2 * FLOWS * ROUNDS * WINDOW), "{steering}, {queues} queues");
        assert_eq!(stats.packets.sent, stats.packets.received);
        assert_eq!(kernel_losses(port(&stats, "inside")) + kernel_losses(port(&stats, "outside")), 0);
        let live: Vec<u64> = stats.shards.iter().map(|shard| shard.live).collect();
        assert!(live.iter().all(|&n| n > 0), "both workers have connections: {live:?}");
        let handed_over = handed_over(&stats);
        assert_eq!(handed_over > 0, steering == "rss", "{steering}, {queues} queues: {handed_over}");
        for flow in middlebox.list(Filter::default()) {
            let each = u64::from(ROUNDS * WINDOW);
            assert_eq!((flow.packets.original, flow.packets.reply), (each, each), "{flow:?}");
        }
        middlebox.end();
    }
}

#[test]
fn tcp_of_many_connections_is_at_the_worker_that_has_it_whatever_its_queue() {
    if !is_root("tcp of many connections") {
        return;
    }
    for (steering, queues) in WAYS {
        let site = site(queues);
        let middlebox = start(&site, steering);
        let lab = &site.lab;
        let ends: Vec<_> = (0..32_u16)
            .map(|number| {
                let server = if number % 2 == 0 { SERVER_V4 } else { SERVER_V6 };
                connected(lab, SocketAddr::new(server, 8000 + number))
            })
            .collect();
        let bytes: Vec<u8> = (0..50_000_u32).map(|at| (at * 31) as u8).collect();
        for (client, server) in &ends {
            crosses(client, server, &bytes);
            crosses(server, client, &bytes);
        }
        let stats = middlebox.balance();
        assert_eq!(stats.connections.by_states["ESTABLISHED/ESTABLISHED"], 32, "{steering}");
        assert_eq!(reasons(&stats), [], "both directions are judged together: {steering}, {queues} queues");
        assert_eq!(handed_over(&stats) > 0, steering == "rss", "{steering}, {queues} queues");
        middlebox.end();
    }
}

#[test]
fn a_long_transfer_crosses_two_workers() {
    if !is_root("a long transfer, two workers") {
        return;
    }
    for steering in ["rss", "hash"] {
        let site = Site::new(&Options { queues: 2, offloads: true, ..Options::default() });
        let middlebox = start(&site, steering);
        let mut web = Web::start(&site.lab, SERVER_V4);
        for _ in 0..4 {
            web.fetch(&site.lab, 32, None);
        }
        middlebox.balance();
        let fetched = middlebox.list(Filter { destination_port: Some(80), ..Filter::default() });
        assert_eq!(fetched.len(), 4, "{steering}");
        assert!(fetched.iter().all(|one| one.bytes.reply > 32 << 20), "{steering}: {fetched:?}");
        middlebox.end();
    }
}

#[test]
fn fragments_cross_whole_whichever_workers_they_come_to() {
    if !is_root("fragments") {
        return;
    }
    for (steering, queues) in WAYS {
        let site = site(queues);
        let middlebox = start(&site, steering);
        let lab = &site.lab;
        let mut datagrams = 0;
        for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
            for _ in 0..5 {
                ping(&lab.client, server, &["-s", "4000"]);
            }
            datagrams += 10;
            let _service = Service::udp_echo(&lab.server, SocketAddr::new(server, 7));
            for port in 0..8 {
                let socket = udp(&lab.client, SocketAddr::new(client, 30_000 + port));
                socket.connect((server, 7)).unwrap();
                for number in 0..5_u8 {
                    fragmented(&socket, number);
                }
                datagrams += 10;
            }
        }
        let stats = middlebox.balance();
        assert_eq!(reasons(&stats), [], "{steering}, {queues} queues");
        assert!(stats.packets.received > 3 * datagrams, "they came in pieces: {:?}", stats.packets);
        assert_eq!(stats.memory.frames.held, 0);
        let whole: u64 = middlebox
            .list(Filter::default())
            .iter()
            .map(|one| one.packets.original + one.packets.reply)
            .sum();
        assert_eq!(whole, datagrams, "each datagram counts once in its connection");
        middlebox.end();
    }
}

/// Each flow sends a datagram in fragments, then a small one, and those of another flow in between: now both come in one
/// burst, now in two. The worker that receives them puts the datagram together, for another one every other time.
#[test]
fn a_datagram_in_fragments_is_not_overtaken_on_its_way_to_another_worker() {
    if !is_root("fragments in order") {
        return;
    }
    let (IpAddr::V4(client), IpAddr::V4(server)) = (CLIENT_V4, SERVER_V4) else { unreachable!() };
    let fragment = Builder::v4(client.octets(), server.octets()).fragment(17, 0, true, &[0; 64]);
    let (hash, is_fragment) = steering_of_frame(&Frame::whole(&fragment, Link::Ethernet), 0);
    // One queue, whose worker is the first.
    assert!(is_fragment && hash % 2 == 0, "fragments stay where they come in");
    let site = site(1);
    let middlebox = start(&site, "rss");
    let [sink, others] = [9, 10].map(|port| udp(&site.lab.server, SocketAddr::new(SERVER_V4, port)));
    let other = udp(&site.lab.client, SocketAddr::new(CLIENT_V4, 30_000));
    other.connect(others.local_addr().unwrap()).unwrap();
    for port in 20_000..20_016 {
        let socket = udp(&site.lab.client, SocketAddr::new(CLIENT_V4, port));
        socket.connect(sink.local_addr().unwrap()).unwrap();
        for round in 0..60 {
            socket.send(&[0; 2000]).unwrap();
            for _ in 0..round {
                other.send(b"in between").unwrap();
            }
            socket.send(&[0]).unwrap();
            let mut buffer = [0; 4096];
            let lengths = [(); 2].map(|()| sink.recv(&mut buffer).unwrap());
            assert_eq!(lengths, [2000, 1], "port {port}, {round} in between");
        }
    }
    let stats = middlebox.balance();
    assert!(handed_over(&stats) > 0);
    middlebox.end();
}

/// Sends a datagram in six fragments and holds that it comes back.
fn fragmented(socket: &UdpSocket, number: u8) {
    let sent: Vec<u8> = (0..8192_u32).map(|at| (at / 7) as u8 ^ number).collect();
    socket.send(&sent).unwrap();
    let mut buffer = vec![0; 1 << 14];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..length], sent);
}

#[test]
fn numbers_of_connections_and_shards_are_those_of_their_workers() {
    if !is_root("numbers") {
        return;
    }
    let site = site(2);
    let middlebox = start(&site, "hash");
    let _ends: Vec<_> =
        (0..16).map(|number| connected(&site.lab, SocketAddr::new(SERVER_V4, 8000 + number))).collect();
    let all = middlebox.list(Filter::default());
    let mut ids: Vec<u64> = all.iter().map(|one| one.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 16, "no number twice");
    let of_shard = |shard| middlebox.list(Filter { shard: Some(shard), ..Filter::default() });
    let parts = [of_shard(0), of_shard(1)];
    assert_eq!(parts[0].len() + parts[1].len(), 16);
    for (shard, part) in parts.iter().enumerate() {
        assert!(part.iter().all(|one| (one.id - 1) % 2 == shard as u64), "{part:?}");
    }
    middlebox.end();
}

#[test]
fn more_than_the_rings_hold_is_lost_for_counted_reasons_only() {
    const PACKETS: u64 = 200_000;
    if !is_root("more than the rings hold") {
        return;
    }
    for (steering, queues) in WAYS {
        let site = site(queues);
        let middlebox = start(&site, steering);
        let lab = &site.lab;
        let _sink = udp(&lab.server, SocketAddr::new(SERVER_V4, 9));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let sockets = [(); 8].map(|()| udp(&lab.client, SocketAddr::new(CLIENT_V4, 0)));
                    for _ in 0..PACKETS / 16 {
                        for socket in &sockets {
                            socket.send_to(b"too much", (SERVER_V4, 9)).unwrap();
                        }
                    }
                });
            }
        });
        let stats = middlebox.balance();
        let dropped: u64 = reasons(&stats).iter().map(|(_, n)| n).sum();
        assert_eq!(dropped, stats.packets.dropped, "every drop has its reason: {steering}, {queues} queues");
        let overlapped: u64 = stats.workers.iter().map(|worker| worker.overlapped).sum();
        assert!(overlapped > 0, "two bursts were under way at once: {steering}, {queues} queues");
        handed_over(&stats);
        assert!(stats.ports.iter().all(|port| port.unclaimed == 0), "{stats:?}");
        middlebox.end();
    }
}

#[test]
fn what_comes_by_a_queue_that_nobody_serves_is_counted_and_goes_nowhere() {
    if !is_root("a queue that nobody serves") {
        return;
    }
    let site = site(2);
    let middlebox = site.start(&Setup { port: "queues = [0]\n", ..Setup::default() });
    let sink = udp(&site.lab.server, SocketAddr::new(SERVER_V4, 9));
    sink.set_nonblocking(true).unwrap();
    // Flow after flow, until the interface has chosen the other queue for one.
    for port in 0..64 {
        let socket = udp(&site.lab.client, SocketAddr::new(CLIENT_V4, 20_000 + port));
        socket.send_to(b"by whichever queue", (SERVER_V4, 9)).unwrap();
    }
    let unclaimed = || port(&middlebox.stats(), "inside").unclaimed;
    eventually("all are there", || middlebox.stats().packets.received + unclaimed() >= 64);
    let stats = middlebox.balance();
    assert!(unclaimed() > 0 && stats.connections.created > 0, "{stats:?}");
    let arrived = std::iter::from_fn(|| sink.recv(&mut [0; 32]).ok()).count() as u64;
    assert_eq!(arrived, stats.connections.created, "those of the other queue are nowhere else");
    middlebox.end();
}
