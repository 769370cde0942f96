//! Ways to close a connection (RFC 9293 section 3.6): by either side, by both at once, with each wave held and
//! lost in turn.

use lastack::tcp::State::{CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, TimeWait};

use super::cable::Point::{FromClient, FromServer, ToClient, ToServer};
use super::script::{Script, carry, finish, read_to_the_end, receive, send};
use super::segment::Kind;
use super::{Behaviour, v4, v6};

pub(super) const BEHAVIOURS: [Behaviour; 20] = [
    v4("four-way close by the client, held at each of its segments", client_closes),
    v6("four-way close by the client over IPv6, held at each of its segments", client_closes),
    v4("four-way close by the server, held at each of its segments", server_closes),
    v4("three-segment close by the client", three_segments),
    v4("three-segment close by the server", three_segments_server),
    v4("simultaneous close, held at each of its segments", simultaneous),
    v6("simultaneous close over IPv6, held at each of its segments", simultaneous),
    v4("half-closed by the client, which goes on receiving", half_closed_client),
    v4("half-closed by the server, which goes on receiving", half_closed_server),
    v4("a FIN with data on it", fin_with_data),
    v4("the first FIN is lost before the middlebox", first_fin_before),
    v4("the first FIN is lost behind the middlebox", first_fin_behind),
    v4("the first FIN's ACK is lost before the middlebox", first_ack_before),
    v4("the first FIN's ACK is lost behind the middlebox", first_ack_behind),
    v4("the second FIN is lost before the middlebox", second_fin_before),
    v4("the second FIN is lost behind the middlebox", second_fin_behind),
    v4("the last ACK is lost before the middlebox", last_ack_before),
    v4("the last ACK is lost behind the middlebox", last_ack_behind),
    v4("a closed FIN_WAIT_2 whose peer stays", orphan),
    v4("every segment of a close arrives twice", everything_twice),
];

fn client_closes(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.hold(FromServer, Kind::Ack);
    drop(client);
    script.expect([FinWait1, CloseWait]);
    script.lift(FromServer);
    script.expect([FinWait2, CloseWait]);
    script.hold(FromClient, Kind::Ack);
    drop(server);
    script.expect([TimeWait, LastAck]);
    script.lift(FromClient);
    script.expect([TimeWait, Closed]);
}

fn server_closes(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.hold(FromClient, Kind::Ack);
    drop(server);
    script.expect([CloseWait, FinWait1]);
    script.lift(FromClient);
    script.expect([CloseWait, FinWait2]);
    script.hold(FromServer, Kind::Ack);
    drop(client);
    script.expect([LastAck, TimeWait]);
    script.lift(FromServer);
    script.expect([Closed, TimeWait]);
}

fn three_segments(script: &mut Script<'_>) {
    let (client, server) = script.open();
    // Only the server's FIN acknowledges the client's.
    script.lose(FromServer, Kind::Ack);
    drop(client);
    script.expect([FinWait1, CloseWait]);
    drop(server);
    script.expect([TimeWait, Closed]);
}

fn three_segments_server(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.lose(FromClient, Kind::Ack);
    finish(&server);
    script.expect([CloseWait, FinWait1]);
    finish(&client);
    script.expect([Closed, TimeWait]);
}

fn simultaneous(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.hold(FromClient, Kind::Fin);
    script.hold(FromServer, Kind::Fin);
    drop(client);
    drop(server);
    script.expect_apart([FinWait1, FinWait1], [Established, Established]);
    script.hold(ToServer, Kind::Fin);
    script.hold(ToClient, Kind::Fin);
    script.lift(FromClient);
    script.expect_apart([FinWait1, FinWait1], [FinWait1, CloseWait]);
    script.lift(FromServer);
    script.expect_apart([FinWait1, FinWait1], [Closing, Closing]);
    // A repeated FIN acknowledges too.
    script.hold(FromClient, Kind::Any);
    script.hold(FromServer, Kind::Any);
    script.lift(ToServer);
    script.lift(ToClient);
    script.expect([Closing, Closing]);
    script.lift(FromClient);
    script.expect([Closing, TimeWait]);
    script.lift(FromServer);
    script.expect([TimeWait, TimeWait]);
}

fn half_closed_client(script: &mut Script<'_>) {
    let (client, server) = script.open();
    finish(&client);
    read_to_the_end(&server);
    script.expect([FinWait2, CloseWait]);
    for _ in 0..3 {
        carry(&server, &client, 100_000);
        script.expect([FinWait2, CloseWait]);
    }
    finish(&server);
    read_to_the_end(&client);
    script.expect([TimeWait, Closed]);
}

fn half_closed_server(script: &mut Script<'_>) {
    let (client, server) = script.open();
    finish(&server);
    read_to_the_end(&client);
    script.expect([CloseWait, FinWait2]);
    for _ in 0..3 {
        carry(&client, &server, 100_000);
        script.expect([CloseWait, FinWait2]);
    }
    finish(&client);
    read_to_the_end(&server);
    script.expect([Closed, TimeWait]);
}

fn fin_with_data(script: &mut Script<'_>) {
    let (client, server) = script.open();
    client.set_tcp_cork(true).unwrap();
    send(&client, b"the last words");
    script.lose(FromServer, Kind::Ack);
    finish(&client);
    receive(&server, b"the last words");
    read_to_the_end(&server);
    script.expect([FinWait1, CloseWait]);
    script.lift(FromServer);
    script.expect([FinWait2, CloseWait]);
}

fn first_fin_before(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.lose(FromClient, Kind::Fin);
    drop(client);
    script.expect_apart([FinWait1, Established], [Established, Established]);
    script.lift(FromClient);
    script.expect([FinWait2, CloseWait]);
    drop(server);
    script.expect([TimeWait, Closed]);
}

fn first_fin_behind(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.lose(ToServer, Kind::Fin);
    drop(client);
    script.expect_apart([FinWait1, Established], [FinWait1, CloseWait]);
    // It has not arrived: the server goes on, and hears that nobody reads any more.
    send(&server, b"as before");
    script.expect([Closed, Closed]);
}

fn first_ack_before(script: &mut Script<'_>) {
    let (client, _server) = script.open();
    script.lose(FromServer, Kind::Ack);
    drop(client);
    script.until_lost(FromServer, 2);
    script.expect([FinWait1, CloseWait]);
    script.lift(FromServer);
    script.expect([FinWait2, CloseWait]);
}

fn first_ack_behind(script: &mut Script<'_>) {
    let (client, _server) = script.open();
    script.lose(ToClient, Kind::Ack);
    drop(client);
    script.expect_apart([FinWait1, CloseWait], [FinWait2, CloseWait]);
    script.until_lost(ToClient, 1);
    script.expect_apart([FinWait1, CloseWait], [FinWait2, CloseWait]);
    script.lift(ToClient);
    script.expect([FinWait2, CloseWait]);
}

fn second_fin_before(script: &mut Script<'_>) {
    let (client, server) = script.open();
    drop(client);
    script.expect([FinWait2, CloseWait]);
    script.lose(FromServer, Kind::Fin);
    drop(server);
    script.expect_apart([FinWait2, LastAck], [FinWait2, CloseWait]);
    script.lift(FromServer);
    script.expect([TimeWait, Closed]);
}

fn second_fin_behind(script: &mut Script<'_>) {
    let (client, server) = script.open();
    drop(client);
    script.expect([FinWait2, CloseWait]);
    script.lose(ToClient, Kind::Fin);
    drop(server);
    script.expect_apart([FinWait2, LastAck], [TimeWait, LastAck]);
    script.lift(ToClient);
    script.expect([TimeWait, Closed]);
}

fn last_ack_before(script: &mut Script<'_>) {
    let (client, server) = script.open();
    drop(client);
    script.expect([FinWait2, CloseWait]);
    script.lose(FromClient, Kind::Ack);
    drop(server);
    script.expect([TimeWait, LastAck]);
    // The FIN is repeated, and acknowledged again.
    script.until_lost(FromClient, 1);
    script.expect([TimeWait, LastAck]);
    script.lift(FromClient);
    script.expect([TimeWait, Closed]);
}

fn last_ack_behind(script: &mut Script<'_>) {
    let (client, server) = script.open();
    drop(client);
    script.expect([FinWait2, CloseWait]);
    script.lose(ToServer, Kind::Ack);
    drop(server);
    script.expect_apart([TimeWait, LastAck], [TimeWait, Closed]);
    script.until_lost(ToServer, 1);
    script.expect_apart([TimeWait, LastAck], [TimeWait, Closed]);
    script.lift(ToServer);
    script.expect([TimeWait, Closed]);
}

fn orphan(script: &mut Script<'_>) {
    let (client, server) = script.open();
    carry(&client, &server, 1_000);
    drop(client);
    // The kernel keeps it without a process, in a socket as small as that of TIME_WAIT.
    script.expect([FinWait2, CloseWait]);
    read_to_the_end(&server);
    script.expect([FinWait2, CloseWait]);
}

fn everything_twice(script: &mut Script<'_>) {
    let (client, server) = script.open();
    for point in [FromClient, FromServer, ToClient, ToServer] {
        script.repeat_next(point, Kind::Any, 10);
    }
    finish(&client);
    script.expect([FinWait2, CloseWait]);
    finish(&server);
    script.expect([TimeWait, Closed]);
}
