//! A middlebox that begins in mid-stream (`loose`, contract section 3): what it cannot know, and from when on
//! it is right again. One after another, since there is one middlebox.

use lastack::tcp::State::{CloseWait, Closed, Established, FinWait1, FinWait2, TimeWait};
use socket2::Socket;

use super::cable::Point::FromServer;
use super::script::{Script, carry, receive, send};
use super::segment::Kind;
use super::{Behaviour, v4, v6};

pub(super) const BEHAVIOURS: [Behaviour; 5] = [
    v4("an open connection is known again with its first segment", open),
    v6("an open connection is known again with its first segment over IPv6", open),
    v4("a FIN is the first that is seen", fin_first),
    v4("a half-closed connection is taken for an open one", half_closed),
    v4("a port in a TIME_WAIT that was forgotten is used again", time_wait),
];

/// The client closes, then the server, each state on the way seen.
fn close_in_four(script: &mut Script<'_>, client: Socket, server: Socket) {
    script.hold(FromServer, Kind::Ack);
    drop(client);
    script.expect([FinWait1, CloseWait]);
    script.lift(FromServer);
    script.expect([FinWait2, CloseWait]);
    drop(server);
    script.expect([TimeWait, Closed]);
}

fn open(script: &mut Script<'_>) {
    let (client, server) = script.open();
    carry(&client, &server, 10_000);
    script.expect([Established, Established]);
    script.restart_middlebox();
    script.expect_apart([Established, Established], [Closed, Closed]);
    carry(&client, &server, 100_000);
    carry(&server, &client, 100_000);
    script.expect([Established, Established]);
    close_in_four(script, client, server);
}

fn fin_first(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.restart_middlebox();
    close_in_four(script, client, server);
}

fn half_closed(script: &mut Script<'_>) {
    let (client, server) = script.open();
    super::script::finish(&client);
    script.expect([FinWait2, CloseWait]);
    script.restart_middlebox();
    send(&server, b"what is left");
    receive(&client, b"what is left");
    script.expect_apart([FinWait2, CloseWait], [Established, Established]);
    // Of the first FIN it will never hear: the second one is the first to it.
    drop(server);
    script.expect_apart([TimeWait, Closed], [CloseWait, FinWait2]);
}

fn time_wait(script: &mut Script<'_>) {
    let (client, server) = script.open();
    drop(server);
    script.expect([CloseWait, FinWait2]);
    drop(client);
    script.expect([Closed, TimeWait]);
    script.restart_middlebox();
    script.expect_apart([Closed, TimeWait], [Closed, Closed]);
    let (client, server) = script.open();
    carry(&client, &server, 10_000);
    script.expect([Established, Established]);
}
