//! TIME_WAIT: who may end it, take its tuple, prolong it, and how many of it there may be.

use crate::common::{ACK, FIN_ACK, RST, Replayed, SYN, SYN_ACK, Script, assert_about};

/// The client has closed first and is in TIME_WAIT: seven packets, the client's next number is 2.
fn closed() -> Script {
    Script::new().open().close().wait(1_000)
}

/// The same with timestamps of about 500 on every segment.
fn closed_with_timestamps() -> Script {
    Script::new().timestamp(Some(500)).open().close().wait(1_000)
}

/// What becomes of the last packet under each value of `time_wait_reuse`.
fn under_each_policy(script: &Script) -> [String; 4] {
    ["off", "rfc1122", "rfc6191", "always"].map(|value| {
        let replayed = script.replay(&["-s", &format!("tcp.time_wait_reuse={value}")]);
        let story = replayed.story(8);
        match story.as_str() {
            "accept new original - SYN_SENT/LISTEN" => {
                assert!(replayed.fate(1).ends_with(" reused"));
                assert_eq!(replayed.packet(8)["connection"], 2);
                "new".to_owned()
            }
            story if story.starts_with("drop invalid ") && story.contains(" time_wait ") => {
                assert_eq!(replayed.packet(8)["connection"], 1);
                assert_eq!(replayed.fate(1), "TIME_WAIT/CLOSED -");
                "refused".to_owned()
            }
            other => other.to_owned(),
        }
    })
}

const GREATER: u32 = 1_000_000;
const SMALLER: u32 = 500;

#[test]
fn without_timestamps_a_syn_needs_a_greater_number_unless_always() {
    let greater = closed().client_isn(GREATER).client(SYN, 0, 0, 0);
    assert_eq!(under_each_policy(&greater), ["refused", "new", "new", "new"]);
    let smaller = closed().client_isn(SMALLER).client(SYN, 0, 0, 0);
    assert_eq!(under_each_policy(&smaller), ["refused", "refused", "refused", "new"]);
}

#[test]
fn with_timestamps_rfc6191_goes_by_them() {
    let newer = closed_with_timestamps().timestamp(Some(501)).client_isn(SMALLER).client(SYN, 0, 0, 0);
    assert_eq!(under_each_policy(&newer), ["refused", "refused", "new", "new"]);
    let older = closed_with_timestamps().timestamp(Some(499)).client_isn(GREATER).client(SYN, 0, 0, 0);
    assert_eq!(under_each_policy(&older), ["refused", "new", "refused", "new"]);
    let same = closed_with_timestamps().client_isn(GREATER).client(SYN, 0, 0, 0);
    assert_eq!(under_each_policy(&same), ["refused", "new", "new", "new"]);
    let same_and_smaller = closed_with_timestamps().client_isn(SMALLER).client(SYN, 0, 0, 0);
    assert_eq!(under_each_policy(&same_and_smaller), ["refused", "refused", "refused", "new"]);
}

#[test]
fn where_only_one_incarnation_has_timestamps_rfc6191s_table_decides() {
    let begins_to = closed().timestamp(Some(1)).client_isn(SMALLER).client(SYN, 0, 0, 0);
    assert_eq!(under_each_policy(&begins_to), ["refused", "refused", "new", "new"]);
    let ceases_to = closed_with_timestamps().timestamp(None).client_isn(GREATER).client(SYN, 0, 0, 0);
    assert_eq!(under_each_policy(&ceases_to), ["refused", "new", "new", "new"]);
}

#[test]
fn either_endpoint_may_take_the_tuple_and_is_the_new_originator() {
    let replayed = closed().server(SYN, GREATER, 0, 0).replay(&[]);
    assert_eq!(replayed.story(8), "accept new original - SYN_SENT/LISTEN");
    assert_eq!(replayed.connection(2)["original"]["source"], "10.0.0.2");
    assert_eq!(replayed.fate(1), "TIME_WAIT/CLOSED reused");
}

#[test]
fn an_rst_ends_time_wait_only_where_assassination_is_allowed() {
    let script = closed().server(RST, 2, 0, 0);
    let hardened = script.replay(&[]);
    assert_eq!(hardened.fate(1), "TIME_WAIT/CLOSED -");
    assert_about(hardened.expires_in(1), 59.0);
    let open = script.replay(&["-s", "tcp.time_wait_assassination=true"]);
    assert_eq!(open.fate(1), "CLOSED/CLOSED -");
    let drained = script.replay(&["-s", "tcp.time_wait_assassination=true", "--drain"]);
    assert_eq!(drained.fate(1), "CLOSED/CLOSED reset");
}

#[test]
fn a_repeated_fin_starts_time_wait_again_unless_told_otherwise() {
    let script = closed().wait(4_000).server(FIN_ACK, 1, 2, 0);
    assert_eq!(script.replay(&[]).fate(1), "TIME_WAIT/CLOSED -");
    assert_about(script.replay(&[]).expires_in(1), 60.0);
    assert_about(script.replay(&["-s", "tcp.time_wait_restart=false"]).expires_in(1), 55.0);
    let other = closed().wait(4_000).client(ACK, 2, 2, 0);
    assert_about(other.replay(&[]).expires_in(1), 55.0);
}

#[test]
fn a_segment_after_both_fins_that_fits_is_not_invalid() {
    let replayed = closed().client(ACK, 2, 2, 0).server(ACK, 2, 2, 0).replay(&[]);
    for number in [8, 9] {
        assert_eq!(replayed.packet(number)["class"], "established", "{}", replayed.story(number));
    }
}

/// Two connections, both in TIME_WAIT, one second apart.
fn two_closed(arguments: &[&str]) -> Replayed {
    closed().port(40_001).open().close().replay(arguments)
}

#[test]
fn past_time_wait_max_the_oldest_is_evicted() {
    let unlimited = two_closed(&[]);
    assert_eq!(
        (unlimited.fate(1), unlimited.fate(2)),
        ("TIME_WAIT/CLOSED -".into(), "TIME_WAIT/CLOSED -".into())
    );
    for arguments in [
        &["-s", "tcp.time_wait_max=1"][..],
        &["-s", "tcp.time_wait_max=1", "-s", "tcp.time_wait_overflow=evict_oldest"],
    ] {
        let limited = two_closed(arguments);
        assert_eq!(limited.fate(1), "TIME_WAIT/CLOSED evicted");
        assert_eq!(limited.fate(2), "TIME_WAIT/CLOSED -");
    }
}

#[test]
fn past_time_wait_max_skip_ends_the_closing_connection_with_its_last_ack() {
    let limited = two_closed(&["-s", "tcp.time_wait_max=1", "-s", "tcp.time_wait_overflow=skip"]);
    assert_eq!(limited.fate(1), "TIME_WAIT/CLOSED -");
    assert_eq!(limited.fate(2), "TIME_WAIT/CLOSED closed");
    assert_eq!(limited.packet(14)["verdict"], "accept", "the last ACK has been let through");
    assert_eq!(limited.connection(2)["packets"]["original"], 4, "and counts");
}

#[test]
fn truncation_shortens_time_wait_to_eight_rto_of_a_short_connection() {
    let handshake = |round_trip: u64| {
        Script::new().client(SYN, 0, 0, 0).wait(round_trip / 2).server(SYN_ACK, 0, 1, 0).wait(round_trip / 2)
    };
    let on: &[&str] = &["-s", "tcp.time_wait_truncation=true"];
    // RFC 6298, 2.2: after one measurement R, RTO = R + 4 R / 2.
    let script = handshake(500).client(ACK, 1, 1, 0).wait(1_000).close();
    assert_about(script.replay(on).expires_in(1), 8.0 * 1.5);
    assert_about(script.replay(&[]).expires_in(1), 60.0);
    let near = handshake(2).client(ACK, 1, 1, 0).wait(1_000).close();
    assert_about(near.replay(on).expires_in(1), 8.0 * 0.2);
    let long_lived = handshake(500).client(ACK, 1, 1, 0).wait(31_000).close();
    assert_about(long_lived.replay(on).expires_in(1), 60.0);
}
