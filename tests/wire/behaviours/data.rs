//! What an open connection carries, in and out of order, fast and not at all: the states stay.

use std::io::Write;
use std::time::Duration;

use lastack::tcp::State::{CloseWait, Closed, Established, FinWait1, FinWait2, TimeWait};
use socket2::TcpKeepalive;

use super::cable::Point::{FromClient, FromServer, ToClient, ToServer};
use super::script::{Script, carry, finish, read_to_the_end, receive, send, start_at};
use super::segment::Kind;
use super::{Behaviour, v4, v6};

pub(super) const BEHAVIOURS: [Behaviour; 13] = [
    v4("request and answer", request_and_answer),
    v6("request and answer over IPv6", request_and_answer),
    v4("segments arrive in the opposite order", reordered),
    v4("segments arrive twice", repeated),
    v4("segments are lost before the middlebox", lost_before),
    v4("segments are lost behind the middlebox", lost_behind),
    v4("a FIN before the data that it follows, which the middlebox has not seen", fin_over_hole),
    v4("a FIN before the data that it follows, which were lost behind the middlebox", fin_over_hole_behind),
    v4("a window closed for seconds, probed, and opened again", zero_window),
    v4("keep-alives", keep_alive),
    v4("urgent data", urgent),
    v4("sequence numbers pass 2^32 in mid-stream", wraparound),
    v4("a FIN has the last sequence number before 0", fin_at_the_end),
];

fn request_and_answer(script: &mut Script<'_>) {
    let (client, server) = script.open();
    send(&client, b"a request");
    receive(&server, b"a request");
    script.expect([Established, Established]);
    carry(&server, &client, 200_000);
    script.expect([Established, Established]);
    carry(&client, &server, 200_000);
    script.expect([Established, Established]);
}

fn reordered(script: &mut Script<'_>) {
    let (client, server) = script.open();
    for (from, to, point) in [(&client, &server, FromClient), (&server, &client, ToClient)] {
        script.hold(point, Kind::Data);
        for part in [b"one ", b"two ", b"3...", b"four", b"five"] {
            send(from, part);
        }
        script.until_held(point, 5);
        script.lift_reversed(point);
        receive(to, b"one two 3...fourfive");
        script.expect([Established, Established]);
    }
}

fn repeated(script: &mut Script<'_>) {
    let (client, server) = script.open();
    for point in [FromClient, FromServer, ToClient, ToServer] {
        script.repeat_next(point, Kind::Any, 20);
    }
    carry(&client, &server, 50_000);
    carry(&server, &client, 50_000);
    script.expect([Established, Established]);
}

fn lost_before(script: &mut Script<'_>) {
    let (client, server) = script.open();
    for (from, to, point) in [(&client, &server, FromClient), (&server, &client, FromServer)] {
        // One of the first, then some in mid-stream.
        script.pass_next(point, Kind::Data, 3);
        script.lose_next(point, Kind::Data, 1);
        script.pass_next(point, Kind::Data, 5);
        script.lose_next(point, Kind::Data, 4);
        carry(from, to, 100_000);
        script.expect([Established, Established]);
    }
}

fn lost_behind(script: &mut Script<'_>) {
    let (client, server) = script.open();
    for (from, to, point) in [(&client, &server, ToServer), (&server, &client, ToClient)] {
        script.lose_next(point, Kind::Data, 2);
        script.pass_next(point, Kind::Data, 5);
        script.lose_next(point, Kind::Data, 4);
        carry(from, to, 100_000);
        script.expect([Established, Established]);
    }
}

fn fin_over_hole(script: &mut Script<'_>) {
    let (client, server) = script.open();
    // The FIN passes once, and nothing else: no repetition can close the hole.
    script.pass_next(FromClient, Kind::Fin, 1);
    script.hold(FromClient, Kind::Any);
    send(&client, b"what it follows");
    script.until_held(FromClient, 1);
    finish(&client);
    script.until_seen(ToServer, Kind::Fin);
    script.expect([FinWait1, Established]);
    script.lift(FromClient);
    receive(&server, b"what it follows");
    read_to_the_end(&server);
    script.expect([FinWait2, CloseWait]);
}

fn fin_over_hole_behind(script: &mut Script<'_>) {
    let (client, server) = script.open();
    script.pass_next(ToServer, Kind::Fin, 1);
    script.lose(ToServer, Kind::Any);
    send(&client, b"what it follows");
    finish(&client);
    script.expect_apart([FinWait1, Established], [FinWait1, CloseWait]);
    script.lift(ToServer);
    receive(&server, b"what it follows");
    script.expect([FinWait2, CloseWait]);
}

fn zero_window(script: &mut Script<'_>) {
    let (client, server) = script.open_with(|client| client.set_recv_buffer_size(4_096).unwrap());
    server.set_nonblocking(true).unwrap();
    let mut written = 0;
    let mut idle = 0;
    // Until nothing has been taken for a while: the client's window is shut and the server's buffer full.
    while idle < 20 {
        match (&server).write(&[7; 1_000]) {
            Ok(count) => (written, idle) = (written + count, 0),
            Err(_) => {
                idle += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    script.expect([Established, Established]);
    // Its probes: 200 ms after the window was shut, then 400 ms, 800 ms.
    script.until_passed(ToClient, 3);
    script.expect([Established, Established]);
    receive(&client, &vec![7; written]);
    server.set_nonblocking(false).unwrap();
    carry(&server, &client, 20_000);
    script.expect([Established, Established]);
}

fn keep_alive(script: &mut Script<'_>) {
    let (client, server) = script.open();
    let every_second =
        TcpKeepalive::new().with_time(Duration::from_secs(1)).with_interval(Duration::from_secs(1));
    client.set_tcp_keepalive(&every_second).unwrap();
    for _ in 0..2 {
        // Each is answered: one byte before the next one, RFC 9293 section 3.8.4.
        script.until_passed(ToClient, 1);
        script.expect([Established, Established]);
    }
    server.set_tcp_keepalive(&every_second).unwrap();
    script.until_passed(ToServer, 2);
    script.expect([Established, Established]);
}

fn urgent(script: &mut Script<'_>) {
    let (client, server) = script.open();
    server.set_out_of_band_inline(true).unwrap();
    send(&client, b"before ");
    assert_eq!(client.send_out_of_band(b"!").unwrap(), 1);
    send(&client, b" behind");
    receive(&server, b"before ! behind");
    script.expect([Established, Established]);
}

fn wraparound(script: &mut Script<'_>) {
    let (client, server) = script.open_with(|client| start_at(client, u32::MAX - 5_000));
    script.lose_next(ToServer, Kind::Data, 2);
    carry(&client, &server, 50_000);
    script.expect([Established, Established]);
    script.lose(FromServer, Kind::Ack);
    drop(client);
    script.expect([FinWait1, CloseWait]);
    script.lift(FromServer);
    drop(server);
    script.expect([TimeWait, Closed]);
}

fn fin_at_the_end(script: &mut Script<'_>) {
    // SYN at 2^32 - 12, ten bytes behind it, and the FIN at 2^32 - 1: its acknowledgement is 0.
    let (client, server) = script.open_with(|client| start_at(client, u32::MAX - 11));
    carry(&client, &server, 10);
    script.hold(FromServer, Kind::Ack);
    finish(&client);
    script.expect([FinWait1, CloseWait]);
    script.lift(FromServer);
    script.expect([FinWait2, CloseWait]);
    carry(&server, &client, 1_000);
    finish(&server);
    script.expect([TimeWait, Closed]);
}
