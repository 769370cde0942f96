//! Everything that two kernels may agree on, or not: window scaling, timestamps, selective acknowledgements,
//! congestion notification, segment sizes. One after another, since most of it belongs to a whole namespace.

use lastack::tcp::State::{CloseWait, Closed, Established, FinWait1, FinWait2, TimeWait};
use socket2::Socket;

use super::cable::Point::{FromServer, ToClient, ToServer};
use super::script::{Script, Side, carry, finish};
use super::segment::Kind;
use super::{Behaviour, v4, v6};

pub(super) const BEHAVIOURS: [Behaviour; 13] = [
    v4("without window scaling at the client", |script| without(script, &[Side::Client], &[SCALING])),
    v4("without window scaling at the server", |script| without(script, &[Side::Server], &[SCALING])),
    v4("without timestamps at the client", |script| without(script, &[Side::Client], &[STAMPS])),
    v4("without timestamps at the server", |script| without(script, &[Side::Server], &[STAMPS])),
    v4("without selective acknowledgements", |script| without(script, &BOTH, &[SACK])),
    v4("without any option but the segment size", |script| without(script, &BOTH, &[SCALING, STAMPS, SACK])),
    v6("without any option but the segment size over IPv6", |script| {
        without(script, &BOTH, &[SCALING, STAMPS, SACK]);
    }),
    v4("without timestamps a port in TIME_WAIT is used again by its sequence numbers", again_by_numbers),
    v4("with SYN cookies, for which the server keeps nothing", cookies),
    v4("with explicit congestion notification (RFC 3168)", congestion),
    v4("with segments of 200 bytes", small_segments),
    v4("with a window of a few segments", small_window),
    v4("with a window scaled by its full range", large_window),
];

const BOTH: [Side; 2] = [Side::Client, Side::Server];
const SCALING: &str = "net/ipv4/tcp_window_scaling";
const STAMPS: &str = "net/ipv4/tcp_timestamps";
const SACK: &str = "net/ipv4/tcp_sack";
const ECN: &str = "net/ipv4/tcp_ecn";

fn without(script: &mut Script<'_>, sides: &[Side], keys: &[&str]) {
    set(script, sides, keys, "0");
    whole_life(script, |_| {});
    set(script, sides, keys, "1");
}

fn set(script: &Script<'_>, sides: &[Side], keys: &[&str], value: &str) {
    for side in sides {
        for key in keys {
            script.sysctl(*side, key, value);
        }
    }
}

fn again_by_numbers(script: &mut Script<'_>) {
    set(script, &BOTH, &[STAMPS], "0");
    let (client, server) = script.open();
    let first = script.id();
    carry(&client, &server, 1_000);
    drop(server);
    script.expect([CloseWait, FinWait2]);
    drop(client);
    script.expect([Closed, TimeWait]);
    let (client, server) = script.open();
    script.is_new_since(first);
    carry(&client, &server, 1_000);
    script.expect([Established, Established]);
    set(script, &BOTH, &[STAMPS], "1");
}

fn cookies(script: &mut Script<'_>) {
    const COOKIES: &str = "net/ipv4/tcp_syncookies";
    set(script, &[Side::Server], &[COOKIES], "2");
    whole_life(script, |_| {});
    set(script, &[Side::Server], &[COOKIES], "1");
}

fn congestion(script: &mut Script<'_>) {
    set(script, &BOTH, &[ECN], "1");
    whole_life(script, |_| {});
    // As it is by default: accepted and not asked for.
    set(script, &BOTH, &[ECN], "2");
}

fn small_segments(script: &mut Script<'_>) {
    whole_life(script, |client| client.set_tcp_mss(200).unwrap());
}

fn small_window(script: &mut Script<'_>) {
    whole_life(script, |client| client.set_recv_buffer_size(4_096).unwrap());
}

fn large_window(script: &mut Script<'_>) {
    for side in BOTH {
        // The scale is chosen by what the window may grow to: 2^30 asks for 14, the most there is.
        script.sysctl(side, "net/ipv4/tcp_rmem", "4096 131072 1073741824");
    }
    whole_life(script, |_| {});
    for side in BOTH {
        script.sysctl(side, "net/ipv4/tcp_rmem", "4096 131072 6291456");
    }
}

/// Data in both directions with some of it lost, a half-close with more data, and the end.
fn whole_life(script: &mut Script<'_>, ready: impl FnOnce(&Socket)) {
    let (client, server) = script.open_with(ready);
    for (from, to, point) in [(&client, &server, ToServer), (&server, &client, ToClient)] {
        script.pass_next(point, Kind::Data, 4);
        script.lose_next(point, Kind::Data, 1);
        carry(from, to, 30_000);
        script.expect([Established, Established]);
    }
    script.lose(FromServer, Kind::Ack);
    finish(&client);
    script.expect([FinWait1, CloseWait]);
    script.lift(FromServer);
    script.expect([FinWait2, CloseWait]);
    carry(&server, &client, 30_000);
    finish(&server);
    script.expect([TimeWait, Closed]);
}
