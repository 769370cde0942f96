//! Which timer governs which pair of states, what starts it again, and what ends with it.

use crate::common::{ACK, FIN_ACK, RST_ACK, SYN, SYN_ACK, Script, assert_about};

/// The script leaves its one connection in `states` with the default of `key`, or with what `-s` says.
#[track_caller]
fn assert_governs(key: &str, default: f64, states: &str, script: &Script) {
    let replayed = script.replay(&[]);
    assert_eq!(replayed.fate(1), format!("{states} -"));
    assert_about(replayed.expires_in(1), default);
    let set = script.replay(&["-s", &format!("{key}=7s")]);
    assert_about(set.expires_in(1), 7.0);
}

fn crossed_fins() -> Script {
    Script::new().open().client(FIN_ACK, 1, 1, 0).server(FIN_ACK, 1, 1, 0)
}

fn half_closed() -> Script {
    Script::new().open().client(FIN_ACK, 1, 1, 0).server(ACK, 1, 2, 0)
}

#[test]
fn syn_sent_governs_a_syn_not_answered_yet() {
    assert_governs("tcp.syn_sent", 120.0, "SYN_SENT/LISTEN", &Script::new().client(SYN, 0, 0, 0));
}

#[test]
fn syn_received_governs_either_endpoint_in_that_state() {
    let answered = Script::new().client(SYN, 0, 0, 0).server(SYN_ACK, 0, 1, 0);
    assert_governs("tcp.syn_received", 60.0, "ESTABLISHED/SYN_RECEIVED", &answered);
    let crossed = Script::new().client(SYN, 0, 0, 0).server(SYN, 0, 0, 0);
    assert_governs("tcp.syn_received", 60.0, "SYN_RECEIVED/SYN_RECEIVED", &crossed);
}

#[test]
fn established_governs_an_open_connection() {
    assert_governs("tcp.established", 7_440.0, "ESTABLISHED/ESTABLISHED", &Script::new().open());
}

#[test]
fn fin_wait_1_governs_a_fin_not_acknowledged_yet() {
    let script = Script::new().open().client(FIN_ACK, 1, 1, 0);
    assert_governs("tcp.fin_wait_1", 120.0, "FIN_WAIT_1/CLOSE_WAIT", &script);
}

#[test]
fn fin_timeout_governs_a_fin_acknowledged_and_silence_since() {
    assert_governs("tcp.fin_timeout", 60.0, "FIN_WAIT_2/CLOSE_WAIT", &half_closed());
}

#[test]
fn half_closed_governs_once_the_other_side_has_sent_new_data() {
    assert_governs("tcp.half_closed", 3_600.0, "FIN_WAIT_2/CLOSE_WAIT", &half_closed().server(ACK, 1, 2, 10));
}

#[test]
fn closing_governs_fins_that_crossed() {
    assert_governs("tcp.closing", 30.0, "CLOSING/CLOSING", &crossed_fins());
    let one_acknowledged = crossed_fins().server(ACK, 2, 2, 0);
    let replayed = one_acknowledged.replay(&[]);
    assert_eq!(replayed.fate(1), "TIME_WAIT/CLOSING -", "the acknowledgement tells that they crossed");
}

#[test]
fn time_wait_lasts_twice_msl() {
    let script = Script::new().open().close();
    assert_eq!(script.replay(&[]).fate(1), "TIME_WAIT/CLOSED -");
    assert_about(script.replay(&[]).expires_in(1), 60.0);
    assert_about(script.replay(&["-s", "tcp.msl=7s"]).expires_in(1), 14.0);
}

#[test]
fn time_wait_begins_when_an_endpoint_enters_it_not_with_its_last_ack() {
    let script = Script::new().open().client(FIN_ACK, 1, 1, 0).server(ACK, 1, 2, 0).server(FIN_ACK, 1, 2, 0);
    let entered = script.replay(&[]);
    assert_eq!(entered.fate(1), "TIME_WAIT/LAST_ACK -");
    let acknowledged = script.wait(5_000).client(ACK, 2, 2, 0).replay(&[]);
    assert_eq!(acknowledged.fate(1), "TIME_WAIT/CLOSED -");
    assert_about(acknowledged.expires_in(1), 55.0);
}

#[test]
fn closed_governs_after_a_valid_rst() {
    let script = Script::new().open().client(RST_ACK, 1, 1, 0);
    assert_governs("tcp.closed", 10.0, "CLOSED/CLOSED", &script);
    let late = script.wait(4_000).server(ACK, 1, 1, 10).replay(&[]);
    assert_about(late.expires_in(1), 6.0);
}

#[test]
fn established_starts_again_with_every_accepted_segment() {
    let script = Script::new().open().wait(5_000);
    for again in [
        script.clone().client(ACK, 1, 1, 10),
        script.clone().server(ACK, 1, 1, 0),
        // A keep-alive repeats the last byte (RFC 9293, 3.8.4).
        script.clone().client(ACK, 0, 1, 0),
    ] {
        let replayed = again.replay(&["-s", "tcp.established=9s"]);
        assert_eq!(replayed.packet(4)["verdict"], "accept");
        assert_about(replayed.expires_in(1), 9.0);
    }
}

#[test]
fn nothing_starts_syn_sent_and_syn_received_again() {
    let syn = Script::new().client(SYN, 0, 0, 0).wait(3_000);
    let repeated = syn.clone().client(SYN, 0, 0, 0).replay(&[]);
    assert_eq!(repeated.story(2), "accept established original - SYN_SENT/LISTEN");
    assert_about(repeated.expires_in(1), 117.0);
    let answered = syn.server(SYN_ACK, 0, 1, 0).wait(3_000).server(SYN_ACK, 0, 1, 0).replay(&[]);
    assert_about(answered.expires_in(1), 57.0);
}

#[test]
fn nothing_starts_closing_again() {
    let replayed = crossed_fins().wait(3_000).client(FIN_ACK, 1, 1, 0).replay(&[]);
    assert_eq!(replayed.fate(1), "CLOSING/CLOSING -");
    assert_about(replayed.expires_in(1), 27.0);
}

#[test]
fn a_repeated_fin_new_data_or_a_new_acknowledgement_starts_fin_wait_1_again() {
    let script = Script::new().open().client(ACK, 1, 1, 10).client(FIN_ACK, 11, 1, 0).wait(3_000);
    for again in [
        script.clone().client(FIN_ACK, 11, 1, 0),
        script.clone().server(ACK, 1, 1, 10),
        script.clone().server(ACK, 1, 11, 0),
    ] {
        let replayed = again.replay(&[]);
        assert_eq!(replayed.fate(1), "FIN_WAIT_1/CLOSE_WAIT -");
        assert_about(replayed.expires_in(1), 120.0);
    }
    let nothing_new = script.server(ACK, 1, 1, 0).wait(2_000).server(ACK, 1, 1, 0).replay(&[]);
    assert_about(nothing_new.expires_in(1), 115.0);
}

#[test]
fn nothing_but_new_data_prolongs_fin_timeout() {
    for again in
        [half_closed().wait(4_000).server(ACK, 1, 2, 0), half_closed().wait(4_000).client(ACK, 2, 1, 0)]
    {
        let replayed = again.replay(&[]);
        assert_eq!(replayed.fate(1), "FIN_WAIT_2/CLOSE_WAIT -");
        assert_about(replayed.expires_in(1), 56.0);
    }
}

#[test]
fn new_data_starts_half_closed_again_and_pure_acks_or_repetitions_do_not() {
    let script = half_closed().server(ACK, 1, 2, 10).wait(5_000);
    assert_about(script.clone().server(ACK, 11, 2, 10).replay(&[]).expires_in(1), 3_600.0);
    assert_about(script.clone().client(ACK, 2, 11, 0).replay(&[]).expires_in(1), 3_595.0);
    assert_about(script.server(ACK, 1, 2, 10).replay(&[]).expires_in(1), 3_595.0);
}

#[test]
fn a_fin_repeated_without_an_answer_ends_the_connection_after_twice_the_last_interval() {
    let fin = |script: Script| script.client(FIN_ACK, 1, 1, 0);
    let once = fin(fin(Script::new().open()).wait(1_000));
    let twice = fin(once.clone().wait(2_000));
    assert_about(twice.replay(&[]).expires_in(1), 120.0);
    assert_about(once.replay(&["-s", "tcp.orphan_retries=2"]).expires_in(1), 120.0);
    assert_about(twice.replay(&["-s", "tcp.orphan_retries=2"]).expires_in(1), 4.0);
    let sooner = twice.replay(&["-s", "tcp.orphan_retries=2", "-s", "tcp.fin_wait_1=3s"]).expires_in(1);
    assert!(sooner <= 3.0, "fin_wait_1 is over before: {sooner}");
}

#[test]
fn eight_repetitions_are_the_default_of_orphan_retries() {
    let fin = |script: Script| script.client(FIN_ACK, 1, 1, 0);
    let seven = (0..7).fold(fin(Script::new().open()), |script, _| fin(script.wait(1_000)));
    assert_about(seven.replay(&[]).expires_in(1), 120.0);
    assert_about(fin(seven.wait(1_000)).replay(&[]).expires_in(1), 2.0);
}

#[test]
fn a_connection_whose_deadline_has_passed_is_over_for_the_next_packet() {
    let script = Script::new().open();
    let before = script.clone().wait(6_900).client(ACK, 1, 1, 1).replay(&["-s", "tcp.established=7s"]);
    assert_eq!(before.packet(4)["connection"], 1);
    let after = script.wait(7_100).client(ACK, 1, 1, 1).replay(&["-s", "tcp.established=7s"]);
    assert_eq!(after.story(4), "accept new original - ESTABLISHED/ESTABLISHED");
    assert_eq!(after.packet(4)["connection"], 2);
    assert_eq!(after.fate(1), "ESTABLISHED/ESTABLISHED expired");
}

#[test]
fn a_silence_of_more_than_a_year_is_crossed() {
    let day = 86_400_000;
    let replayed = Script::new().open().wait(400 * day).client(SYN, 0, 0, 0).replay(&[]);
    assert_eq!(replayed.fate(1), "ESTABLISHED/ESTABLISHED expired");
    assert_eq!(replayed.packet(4)["time"], 400.0 * 86_400.0);
    assert_eq!(replayed.packet(4)["class"], "new");
}
