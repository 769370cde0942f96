//! Ways to end a connection by RST (RFC 9293 section 3.10.7, RFC 5961 section 3).

use lastack::tcp::State::{CloseWait, Closed, Established, FinWait1, FinWait2, LastAck, TimeWait};

use super::cable::Point::{FromClient, FromServer, ToClient, ToServer};
use super::script::{Script, abort, finish, receive, send};
use super::segment::Kind;
use super::{Behaviour, v4, v6};

pub(super) const BEHAVIOURS: [Behaviour; 13] = [
    v4("the client aborts (SO_LINGER 0)", by_client),
    v6("the client aborts over IPv6 (SO_LINGER 0)", by_client),
    v4("the server aborts (SO_LINGER 0)", by_server),
    v4("a close with data that nobody has read is an abort", unread),
    v4("an abort in FIN_WAIT_2", in_fin_wait_2),
    v4("an abort in CLOSE_WAIT", in_close_wait),
    v4("an abort in FIN_WAIT_1", in_fin_wait_1),
    v4("an abort in LAST_ACK", in_last_ack),
    v4("data for a closed FIN_WAIT_2 are answered by RST", data_after_close),
    v4("the RST is lost before the middlebox, and comes again as an answer", lost_before),
    v4("the RST is lost behind the middlebox, and comes again as an answer", lost_behind),
    v4("an RST above lost data is not exact: it is challenged, and the answer is", not_exact),
    v4("data and acknowledgements that cross an RST", crossed),
];

fn by_client(script: &mut Script<'_>) {
    let (client, _server) = script.open();
    abort(client);
    script.expect([Closed, Closed]);
}

fn by_server(script: &mut Script<'_>) {
    let (_client, server) = script.open();
    abort(server);
    script.expect([Closed, Closed]);
}

fn unread(script: &mut Script<'_>) {
    let (client, server) = script.open();
    send(&server, b"nobody reads this");
    receive(&client, b"nobody");
    script.expect([Established, Established]);
    drop(client);
    script.expect([Closed, Closed]);
}

fn in_fin_wait_2(script: &mut Script<'_>) {
    let (client, _server) = script.open();
    finish(&client);
    script.expect([FinWait2, CloseWait]);
    abort(client);
    script.expect([Closed, Closed]);
}

fn in_close_wait(script: &mut Script<'_>) {
    let (client, server) = script.open();
    finish(&client);
    script.expect([FinWait2, CloseWait]);
    abort(server);
    script.expect([Closed, Closed]);
}

fn in_fin_wait_1(script: &mut Script<'_>) {
    let (client, _server) = script.open();
    script.lose(FromServer, Kind::Ack);
    finish(&client);
    script.expect([FinWait1, CloseWait]);
    abort(client);
    script.expect([Closed, Closed]);
}

fn in_last_ack(script: &mut Script<'_>) {
    let (client, server) = script.open();
    finish(&client);
    script.expect([FinWait2, CloseWait]);
    script.hold(FromClient, Kind::Ack);
    finish(&server);
    script.expect([TimeWait, LastAck]);
    // The server's kernel forgets it without a word, and answers the last ACK with an RST; but no RST ends
    // TIME_WAIT (RFC 1337, which these kernels are told to follow).
    abort(server);
    script.lift(FromClient);
    script.until_seen(ToClient, Kind::Rst);
    script.expect([TimeWait, Closed]);
}

fn data_after_close(script: &mut Script<'_>) {
    let (client, server) = script.open();
    drop(client);
    script.expect([FinWait2, CloseWait]);
    send(&server, b"too late");
    script.expect([Closed, Closed]);
}

fn lost_before(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.lose(FromClient, Kind::Rst);
    abort(client);
    script.expect_apart([Closed, Established], [Established, Established]);
    script.lift(FromClient);
    send(&server, b"is anybody there?");
    script.expect([Closed, Closed]);
}

fn lost_behind(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.lose(ToServer, Kind::Rst);
    abort(client);
    script.expect_apart([Closed, Established], [Closed, Closed]);
    script.lift(ToServer);
    send(&server, b"is anybody there?");
    script.expect([Closed, Closed]);
}

fn not_exact(script: &mut Script<'_>) {
    let (client, _server) = script.open();
    script.hold(FromClient, Kind::Data);
    send(&client, b"lost");
    script.until_held(FromClient, 1);
    // The challenge is held: until its answer comes, the RST has ended the client only.
    script.hold(FromServer, Kind::Ack);
    abort(client);
    script.expect_apart([Closed, Established], [Established, Established]);
    script.lift(FromServer);
    script.expect([Closed, Closed]);
    script.discard(FromClient);
}

fn crossed(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.hold(ToServer, Kind::Rst);
    script.hold(ToClient, Kind::Data);
    abort(client);
    script.expect_apart([Closed, Established], [Closed, Closed]);
    send(&server, b"under way");
    script.until_held(ToClient, 1);
    script.lift(ToServer);
    script.expect([Closed, Closed]);
    script.lift(ToClient);
    // The client's kernel knows of nothing any more, and answers.
    script.until_seen(ToServer, Kind::Rst);
    script.expect([Closed, Closed]);
}
