//! One side knows nothing any more, and the other does not know that (RFC 9293 section 3.5.1).

use std::time::Duration;

use lastack::tcp::State::{CloseWait, Closed, Established, FinWait2, SynReceived, SynSent};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::TcpKeepalive;

use super::cable::Point::{FromClient, FromServer, ToServer};
use super::script::{Script, Side, carry, finish, send};
use super::segment::Kind;
use super::{Behaviour, v4, v6};

pub(super) const BEHAVIOURS: [Behaviour; 9] = [
    v4("a server has crashed: the client's data are answered by RST", server_crashed),
    v6("a server has crashed: the client's data are answered by RST, over IPv6", server_crashed),
    v4("a client has crashed: the server's FIN is answered by RST", client_crashed),
    v4("a client has crashed and connects again: challenge, RST, and a new connection", half_open),
    v6("a client has crashed and connects again over IPv6", half_open),
    v4("a client has crashed in FIN_WAIT_2 and connects again", half_open_half_closed),
    v4("both have crashed, and the client connects again", both_crashed),
    v4("keep-alives find nobody, and the client gives up", keep_alive_finds_nobody),
    v4("a client gives up data that nobody acknowledges", gives_up_data),
];

fn server_crashed(script: &mut Script<'_>) {
    let (client, _server) = script.open();
    script.crash(Side::Server);
    script.expect_apart([Established, Closed], [Established, Established]);
    send(&client, b"is anybody there?");
    script.expect([Closed, Closed]);
}

fn client_crashed(script: &mut Script<'_>) {
    let (_client, server) = script.open();
    script.crash(Side::Client);
    script.expect_apart([Closed, Established], [Established, Established]);
    finish(&server);
    script.expect([Closed, Closed]);
}

fn half_open(script: &mut Script<'_>) {
    let (client, _server) = script.open();
    let first = script.id();
    script.crash(Side::Client);
    drop(client);
    script.expect_apart([Closed, Established], [Established, Established]);
    // Its SYN goes through and changes nothing; neither does the server's challenge (RFC 5961 section 4).
    script.hold(FromServer, Kind::Ack);
    let client = script.connect();
    script.until_held(FromServer, 1);
    script.expect_apart([SynSent, Established], [Established, Established]);
    // The challenge acknowledges what the client never sent, as far as it knows: its RST ends the old
    // connection, and its next SYN begins the new one.
    script.hold(FromClient, Kind::Syn);
    script.lift(FromServer);
    script.until_seen(ToServer, Kind::Rst);
    script.expect_apart([SynSent, Closed], [Closed, Closed]);
    // The new incarnation's server has not spoken yet, but soon does.
    script.begin_incarnation();
    script.lift(FromClient);
    let server = script.accept();
    carry(&client, &server, 1_000);
    script.expect([Established, Established]);
    script.is_new_since(first);
}

fn half_open_half_closed(script: &mut Script<'_>) {
    let (client, server) = script.open();
    let first = script.id();
    finish(&client);
    script.expect([FinWait2, CloseWait]);
    script.crash(Side::Client);
    drop(client);
    script.expect_apart([Closed, CloseWait], [FinWait2, CloseWait]);
    let client = script.connect();
    let server_again = script.accept();
    script.expect([Established, Established]);
    script.is_new_since(first);
    carry(&client, &server_again, 1_000);
    drop(server);
}

fn both_crashed(script: &mut Script<'_>) {
    let (client, server) = script.open();
    let first = script.id();
    script.crash(Side::Client);
    script.crash(Side::Server);
    script.expect_apart([Closed, Closed], [Established, Established]);
    drop((client, server));
    script.hold(FromClient, Kind::Ack);
    let client = script.connect();
    // The SYN-ACK tells that the server has forgotten too.
    script.expect([Established, SynReceived]);
    script.is_new_since(first);
    script.lift(FromClient);
    let server = script.accept();
    script.expect([Established, Established]);
    carry(&client, &server, 10_000);
    script.expect([Established, Established]);
}

fn keep_alive_finds_nobody(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.lose(FromServer, Kind::Any);
    script.lose(ToServer, Kind::Rst);
    let every_second = TcpKeepalive::new()
        .with_time(Duration::from_secs(1))
        .with_interval(Duration::from_secs(1))
        .with_retries(2);
    client.set_tcp_keepalive(&every_second).unwrap();
    // It says farewell by an RST, which the server never hears.
    script.expect_apart([Closed, Established], [Closed, Closed]);
    script.lift(FromServer);
    script.lift(ToServer);
    send(&server, b"is anybody there?");
    script.expect([Closed, Closed]);
}

fn gives_up_data(script: &mut Script<'_>) {
    let (client, server) = script.open();
    setsockopt(&client, sockopt::TcpUserTimeout, &500).unwrap();
    script.lose(FromClient, Kind::Any);
    send(&client, b"nobody hears this");
    script.expect_apart([Closed, Established], [Established, Established]);
    script.lift(FromClient);
    send(&server, b"is anybody there?");
    script.expect([Closed, Closed]);
}
