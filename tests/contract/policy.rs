//! The keys of `[tcp]` that let segments through or refuse them.

use crate::common::{ACK, FIN_ACK, RST, SYN, SYN_ACK, Script};

#[test]
fn in_quiet_time_no_connection_begins_but_those_under_way_are_picked_up() {
    let script = Script::new()
        .client(ACK, 1, 1, 10)
        .wait(1_000)
        .port(40_001)
        .client(SYN, 0, 0, 0)
        .port(40_002)
        .client(ACK, 1, 1, 10)
        .wait(10_000)
        .port(40_001)
        .client(SYN, 0, 0, 0);
    let replayed = script.replay(&["-s", "tcp.quiet_time=10s"]);
    assert_eq!(
        replayed.stories(),
        [
            "accept new original - ESTABLISHED/ESTABLISHED",
            "drop invalid - quiet_time -",
            "accept new original - ESTABLISHED/ESTABLISHED",
            "accept new original - SYN_SENT/LISTEN",
        ]
    );
    assert_eq!(script.replay(&[]).summary["dropped"], 0, "there is none by default");
    let strict = script.replay(&["-s", "tcp.quiet_time=10s", "-s", "tcp.loose=false"]);
    assert_eq!(strict.summary["by_class"]["invalid"], 3);
}

#[test]
fn in_quiet_time_no_new_incarnation_takes_a_tuple_either() {
    let quiet: &[&str] = &["-s", "tcp.quiet_time=100s"];
    let picked_up = Script::new().client(ACK, 1, 1, 10).server(ACK, 1, 11, 0);
    let after_rst = picked_up.clone().client(RST, 11, 0, 0).client_isn(70_000).client(SYN, 0, 0, 0);
    assert_eq!(after_rst.replay(quiet).story(4), "drop invalid original quiet_time CLOSED/CLOSED");
    let forgotten = picked_up.client_isn(70_000).client(SYN, 0, 0, 0).server(SYN_ACK, 3_000, 1, 0);
    assert_eq!(forgotten.replay(quiet).story(4), "drop invalid reply quiet_time ESTABLISHED/ESTABLISHED");
    let closing = Script::new().client(FIN_ACK, 1, 1, 0).server(FIN_ACK, 1, 2, 0).client(ACK, 2, 2, 0);
    let in_time_wait = closing.client_isn(70_000).client(SYN, 0, 0, 0);
    assert_eq!(in_time_wait.replay(quiet).story(4), "drop invalid original quiet_time TIME_WAIT/CLOSED");
}

#[test]
fn loose_picks_up_in_mid_stream_by_an_ack_or_a_fin() {
    let script = Script::new().client(ACK, 1, 1, 10).port(40_001).client(FIN_ACK, 1, 1, 0);
    assert_eq!(
        script.replay(&[]).stories(),
        ["accept new original - ESTABLISHED/ESTABLISHED", "accept new original - FIN_WAIT_1/CLOSE_WAIT"]
    );
    assert_eq!(
        script.replay(&["-s", "tcp.loose=false"]).stories(),
        ["drop invalid - no_syn -", "drop invalid - no_syn -"]
    );
}

#[test]
fn a_syn_ack_or_an_rst_is_never_picked_up() {
    let script = Script::new().server(SYN_ACK, 0, 1, 0).port(40_001).client(RST, 1, 0, 0);
    let replayed = script.replay(&[]);
    assert_eq!(replayed.summary["by_class"]["invalid"], 2, "{:?}", replayed.stories());
    assert_eq!(replayed.summary["connections"]["created"], 0);
}

#[test]
fn liberal_lets_out_of_window_segments_through_but_no_rst() {
    let script = Script::new().open().server(ACK, 9_000_000, 1, 10).server(RST, 9_000_000, 0, 0);
    let strict = script.replay(&[]);
    assert_eq!(strict.story(4), "drop invalid reply out_of_window ESTABLISHED/ESTABLISHED");
    assert_eq!(strict.packet(5)["class"], "invalid");
    let liberal = script.replay(&["-s", "tcp.liberal=true"]);
    assert_eq!(liberal.packet(4)["verdict"], "accept", "{}", liberal.story(4));
    assert_eq!(liberal.packet(5)["class"], "invalid", "{}", liberal.story(5));
}

#[test]
fn check_window_refuses_numbers_that_no_endpoint_can_have_sent() {
    let too_far = Script::new().open().server(ACK, 9_000_000, 1, 10);
    assert_eq!(too_far.replay(&[]).packet(4)["class"], "invalid");
    assert_eq!(too_far.replay(&["-s", "tcp.check_window=false"]).packet(4)["verdict"], "accept");
    let acknowledges_nothing = Script::new().open().server(ACK, 1, 9_000_000, 10);
    assert_eq!(acknowledges_nothing.replay(&[]).packet(4)["class"], "invalid");
    assert_eq!(acknowledges_nothing.replay(&["-s", "tcp.check_window=false"]).packet(4)["verdict"], "accept");
}

#[test]
fn inexact_rst_passes_for_the_endpoint_to_challenge_or_is_dropped() {
    let script = Script::new().open().client(RST, 100, 0, 0).server(ACK, 1, 1, 0);
    for arguments in [&[][..], &["-s", "tcp.inexact_rst=pass"]] {
        let replayed = script.replay(arguments);
        assert_eq!(replayed.story(4), "accept established original rst_not_exact ESTABLISHED/ESTABLISHED");
        assert_eq!(
            replayed.story(5),
            "accept established reply - ESTABLISHED/ESTABLISHED",
            "the challenge ACK"
        );
    }
    let dropped = script.replay(&["-s", "tcp.inexact_rst=drop"]);
    assert_eq!(dropped.story(4), "drop invalid original rst_not_exact ESTABLISHED/ESTABLISHED");
}
