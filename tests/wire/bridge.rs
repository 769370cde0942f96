//! Real programs and real kernels through the bridge: what goes in comes out, all of it, unchanged.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;

use lastack::control::{Filter, Stats};
use lastack::lab::{Lab, Namespace, Options, Prefix, VethEnd};
use lastack::wire::Ports;
use lastack::wire::build::Builder;

use crate::endpoints::{CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, Service, Web, Wire, ping, udp};
use crate::middlebox::{PATIENCE, Setup, Site, kernel_losses, port, reason, reasons};
use crate::{eventually, is_root};

/// As a kernel is by default: checksums and segmentation are left to hardware that is not there, so that
/// every TCP and UDP checksum that the bridge sees is only begun.
const OFFLOADS: Options =
    Options { queues: 1, mtu: 1500, offloads: true, fixed_neighbours: false, middle_core: None };

#[test]
fn http_of_a_gibibyte_arrives_with_the_right_checksum() {
    if !is_root("http of a gibibyte") {
        return;
    }
    let site = Site::new(&OFFLOADS);
    let middlebox = site.start(&Setup::default());
    Web::start(&site.lab, SERVER_V4).fetch(&site.lab, 1024, None);
    let stats = middlebox.balance();
    assert!(port(&stats, "inside").queues[0].sent.bytes > 1 << 30, "it went through here");
    assert_eq!(reason(&stats, "bad_checksum"), 0, "sums that were only begun are not wrong");
    let fetched = &middlebox.list(Filter { destination_port: Some(80), ..Filter::default() })[0];
    assert!(fetched.bytes.reply > 1 << 30, "{fetched:?}");
    middlebox.end();
    site.assert_clean();
}

#[test]
fn http_crosses_without_offloads_and_over_ipv6() {
    if !is_root("http without offloads") {
        return;
    }
    let site = Site::new(&Options::default());
    let middlebox = site.start(&Setup::default());
    for address in [SERVER_V4, SERVER_V6] {
        Web::start(&site.lab, address).fetch(&site.lab, 64, None);
    }
    middlebox.balance();
    middlebox.end();
}

#[test]
fn http_crosses_in_jumbo_frames_each_of_which_lies_in_several() {
    if !is_root("http in jumbo frames") {
        return;
    }
    for offloads in [true, false] {
        let site = Site::new(&Options { mtu: 9000, offloads, ..Options::default() });
        let middlebox = site.start(&Setup::default());
        for address in [SERVER_V4, SERVER_V6] {
            Web::start(&site.lab, address).fetch(&site.lab, 64, None);
        }
        let stats = middlebox.balance();
        let sent = port(&stats, "inside").queues[0].sent;
        assert!(sent.bytes / sent.packets > 4096, "most packets are longer than a frame of memory: {sent:?}");
        middlebox.end();
    }
}

#[test]
fn ten_thousand_short_connections_open_talk_and_close() {
    const CLIENTS: usize = 4;
    const EACH: usize = 2500;
    if !is_root("ten thousand short connections") {
        return;
    }
    let site = Site::new(&OFFLOADS);
    let middlebox = site.start(&Setup::default());
    let clients: Vec<_> = (0..CLIENTS as u16)
        .map(|number| {
            // One server for each client, so that neither waits for another's connection.
            let to = SocketAddr::new(if number % 2 == 0 { SERVER_V4 } else { SERVER_V6 }, 7000 + number);
            let service = Service::tcp_echo(&site.lab.server, to);
            let client = site.lab.client.spawn("client", move || {
                for round in 0..EACH as u64 {
                    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.write_all(&round.to_be_bytes()).unwrap();
                    let mut answer = [0; 8];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(u64::from_be_bytes(answer), round);
                }
            });
            (client.unwrap(), service)
        })
        .collect();
    for (client, _service) in clients {
        client.join().unwrap();
    }
    let all = (CLIENTS * EACH) as u64;
    eventually("all have closed", || {
        let Stats { connections, .. } = middlebox.stats();
        let closing = connections.by_states.iter().filter(|(states, _)| states.contains("TIME_WAIT"));
        // On a machine that is slow enough TIME_WAIT is over for the first of them.
        closing.map(|(_, n)| n).sum::<u64>() + connections.ended["closed"] == all
    });
    let stats = middlebox.balance();
    assert_eq!(stats.connections.created, all, "each is a connection of its own");
    assert_eq!(reasons(&stats), [], "nothing is refused of what kernels say to each other");
    middlebox.end();
}

#[test]
fn udp_of_every_length_comes_back_as_it_was_sent() {
    if !is_root("udp of every length") {
        return;
    }
    for offloads in [true, false] {
        let site = Site::new(&Options { offloads, ..Options::default() });
        let middlebox = site.start(&Setup::default());
        for (client, server, headers) in [(CLIENT_V4, SERVER_V4, 28), (CLIENT_V6, SERVER_V6, 48)] {
            let to = SocketAddr::new(server, 7);
            let _service = Service::udp_echo(&site.lab.server, to);
            let socket = udp(&site.lab.client, SocketAddr::new(client, 0));
            socket.connect(to).unwrap();
            for length in 0..=1500 - headers {
                let sent: Vec<u8> = (0..length).map(|at| (at * 7 + length) as u8).collect();
                assert_eq!(echoed(&socket, &sent), sent, "{length} bytes");
            }
        }
        let stats = middlebox.balance();
        assert_eq!(reasons(&stats), []);
        middlebox.end();
    }
}

/// What comes back of a datagram.
fn echoed(socket: &UdpSocket, bytes: &[u8]) -> Vec<u8> {
    socket.send(bytes).unwrap();
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

#[test]
fn pings_of_full_size_cross_at_both_mtus_without_being_fragmented() {
    if !is_root("pings of full size") {
        return;
    }
    for mtu in [1500, 9000] {
        let site = Site::new(&Options { mtu, ..Options::default() });
        let middlebox = site.start(&Setup::default());
        for (server, headers) in [(SERVER_V4, 28), (SERVER_V6, 48)] {
            for size in [56, mtu - headers] {
                ping(&site.lab.client, server, &["-M", "do", "-s", &size.to_string()]);
            }
        }
        let stats = middlebox.balance();
        assert_eq!(reasons(&stats), []);
        assert_eq!((stats.connections.by_protocol["icmp"], stats.connections.by_protocol["icmpv6"]), (2, 2));
        middlebox.end();
    }
}

#[test]
fn after_a_million_packets_every_packet_and_every_frame_is_accounted_for() {
    const SENDERS: usize = 2;
    const SOCKETS: usize = 8;
    const PACKETS: u64 = 1_000_000;
    if !is_root("a million packets") {
        return;
    }
    let site = Site::silent();
    let middlebox = site.start(&Setup::default());
    let lab = &site.lab;
    // They take what comes without ever looking at it; without them the server would answer with errors.
    let to = |port: usize| SocketAddr::new(SERVER_V4, 9000 + port as u16);
    let _sinks: Vec<UdpSocket> = (0..SENDERS * SOCKETS).map(|port| udp(&lab.server, to(port))).collect();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let sockets: Vec<UdpSocket> = (0..SOCKETS)
                .map(|number| {
                    let socket = udp(&lab.client, SocketAddr::new(CLIENT_V4, 0));
                    socket.connect(to(sender * SOCKETS + number)).unwrap();
                    socket
                })
                .collect();
            scope.spawn(move || {
                for round in 0..PACKETS / (SENDERS * SOCKETS) as u64 {
                    for socket in &sockets {
                        socket.send(&round.to_be_bytes()).unwrap();
                    }
                }
            });
        }
    });
    let stats = middlebox.balance();
    let (inside, outside) = (port(&stats, "inside"), port(&stats, "outside"));
    let [received, sent] = [inside.queues[0].received.packets, outside.queues[0].sent.packets];
    // The wire may lose some before they come in; it says how many.
    let at_client = site.shown(&lab.client, lastack::lab::CLIENT_INTERFACE);
    let on_the_way = at_client["stats64"]["tx"]["dropped"].as_u64().unwrap();
    assert_eq!(PACKETS, received + kernel_losses(inside) + on_the_way, "what was sent to the bridge");
    assert_eq!(received, sent + stats.packets.dropped, "what became of what came in");
    let outside = site.shown(&lab.middle, lastack::lab::OUTSIDE_INTERFACE);
    let [left, lost] = ["packets", "dropped"].map(|key| outside["stats64"]["tx"][key].as_u64().unwrap());
    assert_eq!(sent, left + lost, "what the bridge sent");
    let counted: u64 = middlebox.list(Filter::default()).iter().map(|one| one.packets.original).sum();
    assert_eq!(counted, received, "in its connections");
    middlebox.end();
}

#[test]
fn tagged_frames_are_tracked_by_what_they_carry() {
    if !is_root("tagged frames") {
        return;
    }
    let site = Site::new(&Options { fixed_neighbours: true, ..Options::default() });
    let middlebox = site.start(&Setup::default());
    let (client, server) = (Wire::of_client(&site.lab), Wire::of_server(&site.lab));
    let path = Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).vlan(42);
    let frame = path.udp(Ports { source: 4000, destination: 9 }, b"tagged");
    client.send(&frame);
    // The server's kernel takes the tag out and keeps it beside the frame.
    let untagged = [&frame[..12], &frame[16..]].concat();
    server.wait_for(&untagged);
    let stats = middlebox.balance();
    assert_eq!((stats.packets.by_class["new"], reasons(&stats)), (1, vec![]));
    assert_eq!(middlebox.list(Filter::default())[0].original.destination_port, Some(9));
    middlebox.end();
}

#[test]
fn equal_connections_on_two_bridges_are_two_connections() {
    if !is_root("two bridges") {
        return;
    }
    let site = Site::new(&Options { fixed_neighbours: true, ..Options::default() });
    // A second client and a second server, with the very same addresses.
    let ends = [("la-in2", Lab::CLIENT), ("la-out2", Lab::SERVER)].map(|(port, (v4, _))| {
        let namespace = Namespace::new(port).unwrap();
        let veth = (VethEnd::new("la-end"), VethEnd::new(port));
        let (end, middle) = namespace.add_veth(&veth.0, &site.lab.middle, &veth.1).unwrap();
        end.set_offloads(false).unwrap();
        end.add_address(Prefix::new(v4, 24)).unwrap();
        middle.up().unwrap();
        end.up().unwrap();
        namespace
    });
    let second = "[[port]]\nname = \"inside2\"\ninterface = \"la-in2\"\n\
                  [[port]]\nname = \"outside2\"\ninterface = \"la-out2\"\n\
                  [[bridge]]\nports = [\"inside2\", \"outside2\"]\n";
    let mut middlebox = site.begin(&(site.configuration(&Setup::default()) + second), &[]);
    middlebox.wait_for("running;");
    let bridges = [(&site.lab.client, &site.lab.server), (&ends[0], &ends[1])];
    let (from, to) = (SocketAddr::new(CLIENT_V4, 4000), SocketAddr::new(SERVER_V4, 7));
    for (zone, (client, server)) in bridges.into_iter().enumerate() {
        let _service = Service::udp_echo(server, to);
        let socket = udp(client, from);
        socket.connect(to).unwrap();
        assert_eq!(echoed(&socket, &[zone as u8; 9]), [zone as u8; 9]);
    }
    let listed = middlebox.list(Filter { protocol: Some("udp".parse().unwrap()), ..Filter::default() });
    let mut zones: Vec<u16> = listed.iter().map(|one| one.zone).collect();
    zones.sort_unstable();
    assert_eq!(zones, [0, 1]);
    assert_eq!(listed[0].original, listed[1].original);
    middlebox.balance();
    middlebox.end();
}
