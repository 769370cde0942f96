//! The same addresses and ports once more: TIME_WAIT reopened from either side (RFC 9293 section 3.6.1, RFC
//! 6191), and what follows an RST.

use lastack::tcp::State::{CloseWait, Closed, Established, FinWait2, Listen, SynReceived, SynSent, TimeWait};

use super::cable::Point::{FromClient, ToServer};
use super::script::{Script, Side, abort, carry};
use super::segment::Kind;
use super::{Behaviour, v4, v6};

pub(super) const BEHAVIOURS: [Behaviour; 8] = [
    v4("the client connects again while the server is in TIME_WAIT", server_in_time_wait),
    v6("the client connects again over IPv6 while the server is in TIME_WAIT", server_in_time_wait),
    v4("the client connects again out of its own TIME_WAIT", client_in_time_wait),
    v4("the server connects out of its own TIME_WAIT", server_out_of_time_wait),
    v4("the server connects while the client is in TIME_WAIT", server_to_client_in_time_wait),
    v4("the client connects again after an RST", after_rst),
    v4("the client connects again where it was refused", after_refusal),
    v4("three incarnations after each other, each at its own pace", three),
];

fn server_in_time_wait(script: &mut Script<'_>) {
    let (client, server) = script.open();
    let first = script.id();
    drop(server);
    script.expect([CloseWait, FinWait2]);
    drop(client);
    script.expect([Closed, TimeWait]);
    script.hold(FromClient, Kind::Ack);
    let client = script.connect();
    script.expect([Established, SynReceived]);
    script.lift(FromClient);
    let server = script.accept();
    script.expect([Established, Established]);
    script.is_new_since(first);
    carry(&client, &server, 10_000);
    script.expect([Established, Established]);
}

fn client_in_time_wait(script: &mut Script<'_>) {
    let (client, server) = script.open();
    let first = script.id();
    drop(client);
    script.expect([FinWait2, CloseWait]);
    drop(server);
    script.expect([TimeWait, Closed]);
    script.hold(ToServer, Kind::Syn);
    let client = script.connect();
    script.expect([SynSent, Listen]);
    script.is_new_since(first);
    script.lift(ToServer);
    let server = script.accept();
    script.expect([Established, Established]);
    carry(&server, &client, 10_000);
    script.expect([Established, Established]);
}

fn server_out_of_time_wait(script: &mut Script<'_>) {
    let (client, server) = script.open();
    let first = script.id();
    drop(server);
    script.expect([CloseWait, FinWait2]);
    drop(client);
    script.expect([Closed, TimeWait]);
    script.listen(Side::Client);
    let server = script.socket(Side::Server);
    script.begin(Side::Server, &server);
    let client = script.accept();
    script.expect([Established, Established]);
    script.is_new_since(first);
    carry(&client, &server, 10_000);
    drop(server);
    script.expect([CloseWait, FinWait2]);
}

fn server_to_client_in_time_wait(script: &mut Script<'_>) {
    let (client, server) = script.open();
    let first = script.id();
    drop(client);
    script.expect([FinWait2, CloseWait]);
    drop(server);
    script.expect([TimeWait, Closed]);
    script.listen(Side::Client);
    let server = script.socket(Side::Server);
    script.begin(Side::Server, &server);
    let client = script.accept();
    script.expect([Established, Established]);
    script.is_new_since(first);
    carry(&client, &server, 10_000);
    drop(client);
    script.expect([FinWait2, CloseWait]);
}

fn after_rst(script: &mut Script<'_>) {
    let (client, _server) = script.open();
    let first = script.id();
    abort(client);
    script.expect([Closed, Closed]);
    let (client, server) = script.open();
    script.is_new_since(first);
    carry(&client, &server, 10_000);
    script.expect([Established, Established]);
}

fn after_refusal(script: &mut Script<'_>) {
    let client = script.connect();
    script.expect([Closed, Closed]);
    let first = script.id();
    drop(client);
    let (client, server) = script.open();
    script.is_new_since(first);
    carry(&client, &server, 10_000);
    script.expect([Established, Established]);
}

fn three(script: &mut Script<'_>) {
    for _ in 0..3 {
        let before = script.id();
        let (client, server) = script.open();
        script.is_new_since(before);
        carry(&client, &server, 5_000);
        drop(server);
        script.expect([CloseWait, FinWait2]);
        drop(client);
        script.expect([Closed, TimeWait]);
    }
}
