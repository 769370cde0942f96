//! What may cross and what may not: where connections begin, what is sent to many, what is not tracked.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use lastack::control::Filter;
use lastack::json::Connection;
use lastack::lab::{Lab, Options};
use lastack::tcp::State;
use lastack::wire::build::{Builder, Tcp};
use lastack::wire::{Flags, Ports, Seq};

use crate::endpoints::{
    CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, Service, Wire, connected, crosses, ping, to_client, udp,
};
use crate::middlebox::{Middlebox, PATIENCE, Setup, Site, reason, reasons, run};
use crate::{eventually, is_root};

const ONLY_INSIDE: &str = "new_from = [\"inside\"]\n";

/// A lab in which nobody says anything of itself, so that every packet that is counted was meant.
fn site() -> Site {
    Site::new(&Options { fixed_neighbours: true, ..Options::default() })
}

fn firewall(site: &Site, bridge: &str) -> Middlebox {
    site.start(&Setup { bridge: &format!("{ONLY_INSIDE}{bridge}"), ..Setup::default() })
}

#[test]
fn tcp_begins_inside_and_not_outside() {
    if !is_root("tcp begins inside") {
        return;
    }
    let site = site();
    let middlebox = firewall(&site, "");
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let (inner, outer) = connected(&site.lab, SocketAddr::new(server, 80));
        crosses(&inner, &outer, b"a request");
        crosses(&outer, &inner, b"and its answer");
        // The other way round the SYN is dropped, and nobody answers it.
        let to = SocketAddr::new(client, 80);
        let _listener = site.lab.client.run(|| TcpListener::bind(to)).unwrap().unwrap();
        let refused = site.lab.server.run(|| TcpStream::connect_timeout(&to, Duration::from_millis(300)));
        assert_eq!(refused.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    }
    let stats = middlebox.balance();
    assert!(matches!(reasons(&stats)[..], [("not_allowed", 2..)]), "{:?}", reasons(&stats));
    assert_eq!(stats.connections.created, 2, "what was refused is not remembered");
    middlebox.end();
}

/// A segment's builder between two addresses of one version.
fn path(source: IpAddr, destination: IpAddr) -> Builder {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Builder::v4(source.octets(), destination.octets()),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Builder::v6(source.octets(), destination.octets()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => unreachable!("one version"),
    }
}

#[test]
fn nobody_outside_makes_up_a_connection_over_one_that_began_inside() {
    if !is_root("nobody outside makes up a connection") {
        return;
    }
    let site = site();
    let middlebox = firewall(&site, "");
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let (inner, outer) = connected(&site.lab, SocketAddr::new(server, 80));
        crosses(&inner, &outer, b"a request");
        let ours = |connection: &Connection<'_>| connection.original.source == client;
        let before = middlebox.list(Filter::default()).into_iter().find(ours).unwrap();

        // All of a handshake, written outside in both endpoints' names, with numbers of its own: twice, since what is
        // remembered of the first might help the second. After it an RST that would be exact there.
        let port = inner.local_addr().unwrap().port();
        let of_client = |flags, seq, ack| {
            let tcp = Tcp { flags, seq: Seq(seq), ack: Seq(ack), ..Tcp::new(port, 80) };
            to_client(path(client, server).tcp(&tcp, &[]))
        };
        let of_server = |flags, seq, ack| {
            let tcp = Tcp { flags, seq: Seq(seq), ack: Seq(ack), ..Tcp::new(80, port) };
            to_client(path(server, client).tcp(&tcp, &[]))
        };
        let outside = Wire::of_server(&site.lab);
        for _ in 0..2 {
            outside.send(&of_client(Flags::SYN, 7000, 0));
            outside.send(&of_server(Flags::SYN.with(Flags::ACK), 9000, 7001));
            outside.send(&of_client(Flags::ACK, 7001, 9001));
            outside.send(&of_client(Flags::RST, 7001, 0));
        }
        middlebox.balance();

        let after = middlebox.list(Filter::default()).into_iter().find(ours).unwrap();
        assert_eq!((after.id, after.states, after.packets), (before.id, before.states, before.packets));
        crosses(&inner, &outer, b"another request");
        crosses(&outer, &inner, b"and its answer");
    }
    let stats = middlebox.balance();
    assert_eq!(reasons(&stats), [("unexpected_syn_ack", 4), ("wrong_port", 12)]);
    assert_eq!(stats.connections.created, 2);
    middlebox.end();
}

#[test]
fn udp_and_pings_begin_inside_and_not_outside_and_are_answered() {
    if !is_root("udp begins inside") {
        return;
    }
    let site = site();
    let middlebox = firewall(&site, "");
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let inner = udp(&site.lab.client, SocketAddr::new(client, 4000));
        let outer = udp(&site.lab.server, SocketAddr::new(server, 4000));
        // What outside says first is lost; once inside has spoken, the same packets are replies.
        let refused = reason(&middlebox.balance(), "not_allowed");
        outer.send_to(b"nobody asked", (client, 4000)).unwrap();
        eventually("the first is refused", || reason(&middlebox.stats(), "not_allowed") > refused);
        inner.send_to(b"question", (server, 4000)).unwrap();
        let mut buffer = [0; 32];
        assert_eq!(outer.recv(&mut buffer).unwrap(), 8);
        outer.send_to(b"answer", (client, 4000)).unwrap();
        let length = inner.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"answer", "and not what came before");

        ping(&site.lab.client, server, &[]);
        let from_outside = ["-c", "1", "-W", "1", &client.to_string()];
        let mut ping = std::process::Command::new("ping");
        let refused = site.lab.server.output(ping.args(from_outside)).unwrap();
        assert!(!refused.status.success());
    }
    let stats = middlebox.balance();
    assert_eq!(reasons(&stats), [("not_allowed", 4)]);
    middlebox.end();
}

#[test]
fn an_error_about_a_connection_from_inside_comes_back_and_another_one_does_not() {
    if !is_root("errors come back") {
        return;
    }
    let site = site();
    let middlebox = firewall(&site, "");
    // Nobody is at this port: the server's kernel says so by ICMP, and the client's kernel tells the socket.
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let socket = udp(&site.lab.client, SocketAddr::new(client, 0));
        socket.connect((server, 9)).unwrap();
        socket.send(b"is anybody there?").unwrap();
        let told = socket.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::ConnectionRefused);
    }
    // One that quotes what was never sent.
    let quoted =
        Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).udp(Ports { source: 5555, destination: 5555 }, b"never");
    let error = Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).icmp(3, 3, [0; 4], &quoted[14..]);
    Wire::of_server(&site.lab).send(&to_client(error));
    eventually("it is refused", || reason(&middlebox.stats(), "icmp_unknown") == 1);
    let stats = middlebox.balance();
    assert_eq!((stats.packets.by_class["related"], stats.packets.dropped), (2, 1));
    middlebox.end();
}

/// A DHCP exchange in four messages (RFC 2131 section 3.1) between sockets that have no connection: the client
/// has no address yet, and broadcasts; so does the server. Whether the offer arrived.
fn dhcp(lab: &Lab) -> bool {
    let everybody = (Ipv4Addr::BROADCAST, 67);
    let socket = |namespace: &lastack::lab::Namespace, port| {
        let socket = udp(namespace, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
        socket.set_broadcast(true).unwrap();
        socket
    };
    let (client, server): (UdpSocket, UdpSocket) = (socket(&lab.client, 68), socket(&lab.server, 67));
    client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut buffer = [0; 16];
    client.send_to(b"DISCOVER", everybody).unwrap();
    assert_eq!(server.recv(&mut buffer).unwrap(), 8);
    server.send_to(b"OFFER", (Ipv4Addr::BROADCAST, 68)).unwrap();
    if client.recv(&mut buffer).is_err() {
        return false;
    }
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"REQUEST", everybody).unwrap();
    assert_eq!(server.recv(&mut buffer).unwrap(), 7);
    server.send_to(b"ACK", (Ipv4Addr::BROADCAST, 68)).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 3);
    true
}

#[test]
fn dhcp_and_multicast_from_outside_pass_unless_they_are_to_be_tracked() {
    if !is_root("dhcp and multicast") {
        return;
    }
    for (multicast, passes) in [("pass", true), ("track", false)] {
        let site = site();
        let middlebox = firewall(&site, &format!("multicast = \"{multicast}\"\n"));
        for end in [&site.lab.client, &site.lab.server] {
            // Broadcasts and groups go out by the only interface.
            let device = if std::ptr::eq(end, &site.lab.client) { "la-client" } else { "la-server" };
            run(end, "ip", &["route", "add", "default", "dev", device]);
        }
        assert_eq!(dhcp(&site.lab), passes, "DHCP, multicast = \"{multicast}\"");
        // A query of multicast DNS from outside.
        let group = Ipv4Addr::new(224, 0, 0, 251);
        let listener = udp(&site.lab.client, SocketAddr::new(group.into(), 5353));
        listener.join_multicast_v4(&group, &Lab::CLIENT.0).unwrap();
        listener.set_read_timeout(Some(if passes { PATIENCE } else { Duration::from_millis(300) })).unwrap();
        let outside = udp(&site.lab.server, SocketAddr::new(SERVER_V4, 5353));
        outside.send_to(b"query", (group, 5353)).unwrap();
        assert_eq!(listener.recv(&mut [0; 8]).is_ok(), passes, "multicast = \"{multicast}\"");
        let refused = reason(&middlebox.balance(), "not_allowed");
        assert_eq!(refused > 0, !passes, "{refused} refused with \"{multicast}\"");
        middlebox.end();
    }
}

#[test]
fn what_is_invalid_by_itself_passes_only_where_it_may_and_what_a_policy_refuses_never() {
    if !is_root("on_invalid") {
        return;
    }
    for (on_invalid, passes) in [("drop", false), ("pass", true)] {
        let site = site();
        let middlebox = firewall(&site, &format!("on_invalid = \"{on_invalid}\"\n"));
        let (client, server) = (Wire::of_client(&site.lab), Wire::of_server(&site.lab));
        // SYN and FIN at once: no endpoint sends that.
        let header = Tcp { flags: Flags::SYN.with(Flags::FIN), ..Tcp::new(40000, 80) };
        let odd = Builder::v4([10, 0, 0, 1], [10, 0, 0, 2]).tcp(&header, &[]);
        client.send(&odd);
        eventually("it is judged", || reason(&middlebox.stats(), "bad_flags") == 1);
        // A SYN from outside is nothing but forbidden.
        let header = Tcp { flags: Flags::SYN, seq: Seq(7), ..Tcp::new(40000, 80) };
        let forbidden = to_client(Builder::v4([10, 0, 0, 2], [10, 0, 0, 1]).tcp(&header, &[]));
        server.send(&forbidden);
        eventually("it is judged", || reason(&middlebox.stats(), "not_allowed") == 1);
        middlebox.balance();
        assert_eq!(server.has(&odd), passes, "on_invalid = \"{on_invalid}\"");
        assert!(!client.has(&forbidden), "on_invalid = \"{on_invalid}\"");
        middlebox.end();
    }
}

#[test]
fn what_is_not_ip_crosses_in_both_directions_untracked() {
    if !is_root("what is not ip") {
        return;
    }
    // Here the kernels ask for each other's hardware addresses: that is ARP and neighbour discovery.
    let site = Site::new(&Options::default());
    let middlebox = firewall(&site, "");
    for (server, client) in [(SERVER_V4, CLIENT_V4), (SERVER_V6, CLIENT_V6)] {
        let to = SocketAddr::new(server, 7);
        let _service = Service::udp_echo(&site.lab.server, to);
        let socket = udp(&site.lab.client, SocketAddr::new(client, 0));
        socket.send_to(b"hello", to).unwrap();
        socket.recv(&mut [0; 8]).unwrap();
    }
    let before = middlebox.balance();
    assert!(before.packets.by_class["untracked"] >= 4, "{:?}", before.packets);
    let (client, server) = (Wire::of_client(&site.lab), Wire::of_server(&site.lab));
    // LLDP goes to a group that bridges of the kernel keep to themselves (IEEE 802.1AB); and a type that
    // nobody knows, from and to stations that nobody knows.
    let lldp = [&[1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc][..], &[2; 46]].concat();
    let unknown = [&[2, 0, 0, 0, 9, 9, 2, 0, 0, 0, 8, 8, 0x88, 0xb5][..], &[3; 60]].concat();
    for frame in [lldp, unknown] {
        client.send(&frame);
        server.wait_for(&frame);
        server.send(&frame);
        // A packet socket does not see what it has sent itself: this is the other one's.
        client.wait_for(&frame);
    }
    eventually("they are counted", || {
        middlebox.stats().packets.by_class["untracked"] >= before.packets.by_class["untracked"] + 4
    });
    let stats = middlebox.balance();
    assert_eq!((stats.packets.dropped, stats.connections.created), (0, 2));
    middlebox.end();
}

#[test]
fn a_connection_is_listed_with_both_endpoints_states_as_they_are() {
    if !is_root("states") {
        return;
    }
    let site = site();
    let middlebox = firewall(&site, "");
    let (client, server) = connected(&site.lab, SocketAddr::new(SERVER_V4, 80));
    let states = || {
        let listed = middlebox.list(Filter { destination_port: Some(80), ..Filter::default() });
        listed.first().and_then(|one| one.states).map(|states| states.map(|state| state.0))
    };
    eventually("open", || states() == Some([State::Established; 2]));
    drop(client);
    eventually("half closed", || states() == Some([State::FinWait2, State::CloseWait]));
    drop(server);
    eventually("closed", || states() == Some([State::TimeWait, State::Closed]));
    middlebox.end();
}
