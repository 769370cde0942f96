//! Ways to open a connection (RFC 9293 section 3.5), and ways in which that comes to nothing.

use lastack::tcp::State::{CloseWait, Closed, Established, FinWait2, Listen, SynReceived, SynSent};

use super::cable::Point::{FromClient, FromServer, ToClient, ToServer};
use super::script::{Script, Side, abort, carry, receive, send};
use super::segment::Kind;
use super::{Behaviour, v4, v6};

pub(super) const BEHAVIOURS: [Behaviour; 19] = [
    v4("a handshake, held at each of its segments", each_segment),
    v6("a handshake over IPv6, held at each of its segments", each_segment),
    v4("a closed port refuses", refused),
    v6("a closed port refuses over IPv6", refused),
    v4("nobody answers, until somebody does", nobody),
    v4("the SYN is lost before the middlebox", syn_lost_before),
    v4("the SYN-ACK is lost before the middlebox", syn_ack_lost_before),
    v4("the SYN-ACK is lost behind the middlebox", syn_ack_lost_behind),
    v4("the handshake's last ACK is lost before the middlebox", ack_lost_before),
    v4("the handshake's last ACK is lost behind the middlebox", ack_lost_behind),
    v4("data complete the handshake in place of a lost ACK", data_completes),
    v4("a FIN completes the handshake in place of a lost ACK", fin_completes),
    v4("simultaneous open", simultaneous),
    v6("simultaneous open over IPv6", simultaneous),
    v4("data on the SYN (RFC 7413)", fast_open),
    v4("a client aborts while its ACK is under way", aborted_by_client),
    v4("a client gives up a SYN that nobody answers, and its answer comes late", given_up),
    v4("a server goes away in mid-handshake", server_goes_away),
    v4("every segment of a handshake arrives twice", everything_twice),
];

fn each_segment(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.hold(ToServer, Kind::Syn);
    let client = script.connect();
    script.expect([SynSent, Listen]);
    script.hold(ToClient, Kind::SynAck);
    script.lift(ToServer);
    script.expect_apart([SynSent, SynReceived], [Established, SynReceived]);
    script.hold(FromClient, Kind::Ack);
    script.lift(ToClient);
    script.expect([Established, SynReceived]);
    script.hold(ToServer, Kind::Ack);
    script.lift(FromClient);
    script.expect_apart([Established, SynReceived], [Established, Established]);
    script.lift(ToServer);
    let server = script.accept();
    script.expect([Established, Established]);
    carry(&client, &server, 100);
}

fn refused(script: &mut Script<'_>) {
    let client = script.connect();
    script.expect([Closed, Closed]);
    assert_eq!(client.take_error().unwrap().unwrap().raw_os_error(), Some(libc::ECONNREFUSED));
}

fn nobody(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.lose(ToServer, Kind::Syn);
    let _client = script.connect();
    script.expect([SynSent, Listen]);
    script.until_lost(ToServer, 1);
    script.expect([SynSent, Listen]);
    script.lift(ToServer);
    let _server = script.accept();
    script.expect([Established, Established]);
}

fn syn_lost_before(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.lose(FromClient, Kind::Syn);
    let _client = script.connect();
    script.expect_apart([SynSent, Listen], [Listen, Listen]);
    script.lift(FromClient);
    let _server = script.accept();
    script.expect([Established, Established]);
}

fn syn_ack_lost_before(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.lose(FromServer, Kind::SynAck);
    let _client = script.connect();
    script.expect_apart([SynSent, SynReceived], [SynSent, Listen]);
    script.lift(FromServer);
    let _server = script.accept();
    script.expect([Established, Established]);
}

fn syn_ack_lost_behind(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.lose(ToClient, Kind::SynAck);
    let _client = script.connect();
    script.expect_apart([SynSent, SynReceived], [Established, SynReceived]);
    script.lift(ToClient);
    let _server = script.accept();
    script.expect([Established, Established]);
}

fn ack_lost_before(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.lose(FromClient, Kind::Ack);
    let _client = script.connect();
    script.expect([Established, SynReceived]);
    script.lift(FromClient);
    let _server = script.accept();
    script.expect([Established, Established]);
}

fn ack_lost_behind(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.lose(ToServer, Kind::Ack);
    let _client = script.connect();
    script.expect_apart([Established, SynReceived], [Established, Established]);
    script.lift(ToServer);
    let _server = script.accept();
    script.expect([Established, Established]);
}

fn data_completes(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.lose(FromClient, Kind::Ack);
    let client = script.connect();
    script.expect([Established, SynReceived]);
    send(&client, b"instead");
    let server = script.accept();
    receive(&server, b"instead");
    script.expect([Established, Established]);
}

fn fin_completes(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.lose(FromClient, Kind::Ack);
    let client = script.connect();
    script.expect([Established, SynReceived]);
    drop(client);
    let _server = script.accept();
    script.expect([FinWait2, CloseWait]);
}

fn simultaneous(script: &mut Script<'_>) {
    script.hold(FromClient, Kind::Syn);
    script.hold(FromServer, Kind::Syn);
    let client = script.socket(Side::Client);
    script.begin(Side::Client, &client);
    let server = script.socket(Side::Server);
    script.begin(Side::Server, &server);
    script.expect_apart([SynSent, SynSent], [Listen, Listen]);
    script.hold(ToServer, Kind::Syn);
    script.hold(ToClient, Kind::Syn);
    script.lift(FromClient);
    script.until_held(ToServer, 1);
    script.lift(FromServer);
    script.expect_apart([SynSent, SynSent], [SynReceived, SynReceived]);
    script.hold(FromClient, Kind::Any);
    script.hold(FromServer, Kind::Any);
    script.lift(ToServer);
    script.lift(ToClient);
    script.expect([SynReceived, SynReceived]);
    script.lift(FromClient);
    script.expect([SynReceived, Established]);
    script.lift(FromServer);
    script.expect([Established, Established]);
    carry(&client, &server, 10_000);
    carry(&server, &client, 10_000);
    script.expect([Established, Established]);
}

fn fast_open(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.hold(ToServer, Kind::Syn);
    let client = script.socket(Side::Client);
    script.begin_incarnation();
    let flags = libc::MSG_FASTOPEN | libc::MSG_DONTWAIT;
    // What cannot be sent with it yet is not an error here: the data lie on the SYN.
    let _ = client.send_to_with_flags(b"on the SYN", &script.address(Side::Server).into(), flags);
    script.expect([SynSent, Listen]);
    script.hold(FromClient, Kind::Ack);
    script.lift(ToServer);
    let server = script.accept();
    receive(&server, b"on the SYN");
    script.expect([Established, SynReceived]);
    send(&server, b"before the handshake's end");
    receive(&client, b"before the handshake's end");
    script.expect([Established, SynReceived]);
    script.lift(FromClient);
    script.expect([Established, Established]);
    carry(&client, &server, 1_000);
}

fn aborted_by_client(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.hold(FromClient, Kind::Ack);
    let client = script.connect();
    script.expect([Established, SynReceived]);
    abort(client);
    script.expect([Closed, Closed]);
    // The ACK comes late: whoever it reaches answers with another RST, and nothing of that is a crime.
    script.lift(FromClient);
    script.until_seen(ToClient, Kind::Rst);
    script.expect([Closed, Closed]);
}

fn given_up(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.hold(FromServer, Kind::SynAck);
    let client = script.connect();
    script.expect_apart([SynSent, SynReceived], [SynSent, Listen]);
    drop(client);
    script.until_held(FromServer, 1);
    // The client has forgotten what it asked for, and answers with RST.
    script.lift(FromServer);
    script.expect([Closed, Closed]);
}

fn server_goes_away(script: &mut Script<'_>) {
    script.listen(Side::Server);
    script.hold(FromClient, Kind::Ack);
    let client = script.connect();
    script.expect([Established, SynReceived]);
    script.stop_listening();
    script.lift(FromClient);
    script.expect([Closed, Closed]);
    assert_eq!(client.take_error().unwrap().unwrap().raw_os_error(), Some(libc::ECONNRESET));
}

fn everything_twice(script: &mut Script<'_>) {
    for point in [FromClient, FromServer, ToClient, ToServer] {
        script.repeat_next(point, Kind::Any, 4);
    }
    let (client, server) = script.open();
    carry(&client, &server, 1_000);
    carry(&server, &client, 1_000);
    script.expect([Established, Established]);
}
