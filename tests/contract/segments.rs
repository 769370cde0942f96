//! What section 3 of the contract says where one could doubt, for TCP.

use lastack::wire::Flags;

use crate::common::{ACK, CLIENT_ISN, FIN_ACK, RST, RST_ACK, SYN, SYN_ACK, Script};

#[test]
fn a_connection_passes_through_the_states_of_both_endpoints() {
    assert_eq!(
        Script::new().open().close().replay(&[]).stories(),
        [
            "accept new original - SYN_SENT/LISTEN",
            "accept established reply - ESTABLISHED/SYN_RECEIVED",
            "accept established original - ESTABLISHED/ESTABLISHED",
            "accept established original - FIN_WAIT_1/CLOSE_WAIT",
            "accept established reply - FIN_WAIT_2/CLOSE_WAIT",
            "accept established reply - TIME_WAIT/LAST_ACK",
            "accept established original - TIME_WAIT/CLOSED",
        ]
    );
}

#[test]
fn where_fins_crossed_the_states_are_those_of_a_simultaneous_close() {
    let fins = Script::new().open().client(FIN_ACK, 1, 1, 0).server(FIN_ACK, 1, 1, 0);
    let replayed = fins.client(ACK, 2, 2, 0).server(ACK, 2, 2, 0).replay(&[]);
    assert_eq!(replayed.packet(6)["states"], serde_json::json!(["CLOSING", "TIME_WAIT"]));
    assert_eq!(replayed.packet(7)["states"], serde_json::json!(["TIME_WAIT", "TIME_WAIT"]));
}

#[test]
fn a_simultaneous_open_leads_both_through_syn_received() {
    let script = Script::new().client(SYN, 0, 0, 0).server(SYN, 0, 0, 0).client(SYN_ACK, 0, 1, 0);
    let replayed = script.server(SYN_ACK, 0, 1, 0).replay(&[]);
    assert_eq!(
        replayed.stories(),
        [
            "accept new original - SYN_SENT/LISTEN",
            "accept established reply - SYN_RECEIVED/SYN_RECEIVED",
            "accept established original - SYN_RECEIVED/ESTABLISHED",
            "accept established reply - ESTABLISHED/ESTABLISHED",
        ]
    );
}

#[test]
fn a_fin_behind_a_hole_has_not_arrived_until_the_hole_is_filled() {
    let behind = Script::new().open().client(FIN_ACK, 101, 1, 0);
    let replayed = behind.clone().client(ACK, 1, 1, 100).replay(&[]);
    assert_eq!(replayed.story(4), "accept established original - FIN_WAIT_1/ESTABLISHED");
    assert_eq!(replayed.story(5), "accept established original - FIN_WAIT_1/CLOSE_WAIT");
    let acknowledged = behind.server(ACK, 1, 102, 0).replay(&[]);
    assert_eq!(acknowledged.story(5), "accept established reply - FIN_WAIT_2/CLOSE_WAIT");
}

#[test]
fn impossible_flags_are_invalid() {
    let syn_fin = Flags::SYN.with(Flags::FIN);
    for flags in [syn_fin, Flags(0), Flags::SYN.with(Flags::RST), Flags(0x3f), Flags::FIN.with(Flags::RST)] {
        let replayed = Script::new().client(flags, 0, 0, 0).replay(&[]);
        assert_eq!(replayed.stories(), ["drop invalid - bad_flags -"], "{flags:?}");
    }
}

#[test]
fn an_rst_is_exact_at_the_highest_acknowledgement_or_the_contiguous_end() {
    let unacknowledged = Script::new().open().client(ACK, 1, 1, 100);
    for (seq, story) in [
        (1, "accept established original - CLOSED/CLOSED"),
        (101, "accept established original - CLOSED/CLOSED"),
        (50, "accept established original rst_not_exact ESTABLISHED/ESTABLISHED"),
        (200, "accept established original rst_not_exact ESTABLISHED/ESTABLISHED"),
        (50_000, "drop invalid original out_of_window ESTABLISHED/ESTABLISHED"),
    ] {
        let replayed = unacknowledged.clone().client(RST, seq, 0, 0).replay(&[]);
        assert_eq!(replayed.story(5), story, "RST at {seq}");
    }
}

#[test]
fn below_the_highest_acknowledgement_an_rst_is_invalid() {
    let replayed =
        Script::new().open().client(ACK, 1, 1, 100).server(ACK, 1, 101, 0).client(RST, 50, 0, 0).replay(&[]);
    assert_eq!(replayed.packet(6)["class"], "invalid", "{}", replayed.story(6));
    assert_eq!(replayed.fate(1), "ESTABLISHED/ESTABLISHED -");
}

#[test]
fn in_syn_sent_an_rst_must_acknowledge_exactly_the_syn() {
    let syn = Script::new().client(SYN, 0, 0, 0);
    let exact = syn.clone().server(RST_ACK, 0, 1, 0).replay(&["--drain"]);
    assert_eq!(exact.story(2), "accept established reply - CLOSED/CLOSED");
    assert_eq!(exact.fate(1), "CLOSED/CLOSED reset");
    for (flags, ack) in [(RST_ACK, 2), (RST_ACK, 0), (RST, 0)] {
        let replayed = syn.clone().server(flags, 0, ack, 0).replay(&[]);
        assert_eq!(replayed.packet(2)["class"], "invalid", "{}", replayed.story(2));
        assert_eq!(replayed.fate(1), "SYN_SENT/LISTEN -");
    }
}

#[test]
fn a_late_segment_after_an_rst_that_fits_what_was_there_is_not_invalid() {
    let replayed = Script::new().open().client(RST_ACK, 1, 1, 0).server(ACK, 1, 1, 100).replay(&[]);
    assert_eq!(replayed.story(5), "accept established reply - CLOSED/CLOSED");
}

#[test]
fn a_syn_after_an_rst_begins_afresh_and_the_old_one_stays_reset() {
    let script = Script::new().open().client(RST_ACK, 1, 1, 0).client_isn(70_000).client(SYN, 0, 0, 0);
    let replayed = script.replay(&[]);
    assert_eq!(replayed.story(5), "accept new original - SYN_SENT/LISTEN");
    assert_eq!(replayed.fate(1), "CLOSED/CLOSED reset");
}

/// An open connection; the client has forgotten it and begins again from the same port.
fn forgotten() -> Script {
    Script::new().open().client_isn(7_000_000).client(SYN, 0, 0, 0)
}

#[test]
fn a_syn_on_a_live_connection_passes_and_changes_nothing() {
    let replayed = forgotten().replay(&["-s", "tcp.established=10s"]);
    assert_eq!(replayed.story(4), "accept established original - ESTABLISHED/ESTABLISHED");
    assert_eq!(replayed.packet(4)["connection"], 1);
    let later = Script::new().open().wait(4_000).client_isn(7_000_000).client(SYN, 0, 0, 0);
    crate::common::assert_about(later.replay(&["-s", "tcp.established=10s"]).expires_in(1), 6.0);
}

#[test]
fn the_answer_to_a_remembered_syn_begins_a_new_incarnation() {
    let replayed = forgotten().server(SYN_ACK, 3_000, 1, 0).client(ACK, 1, 3_001, 0).replay(&[]);
    assert_eq!(replayed.story(5), "accept new reply - ESTABLISHED/SYN_RECEIVED");
    assert_eq!(replayed.packet(5)["connection"], 2);
    assert_eq!(replayed.story(6), "accept established original - ESTABLISHED/ESTABLISHED");
    assert_eq!(replayed.fate(1), "ESTABLISHED/ESTABLISHED reused");
    assert_eq!(replayed.connection(2)["original"]["source"], "10.0.0.1");
}

#[test]
fn a_challenge_ack_passes_and_the_rst_that_answers_it_ends_the_old_connection() {
    // RFC 9293, 3.5.1, figure 9: the challenge acknowledges the old numbers, the RST bears what it acknowledges.
    let script = forgotten().client_isn(CLIENT_ISN).server(ACK, 1, 1, 0).client(RST, 1, 0, 0);
    let replayed = script.client_isn(7_000_000).client(SYN, 0, 0, 0).replay(&[]);
    assert_eq!(replayed.story(5), "accept established reply - ESTABLISHED/ESTABLISHED");
    assert_eq!(replayed.story(6), "accept established original - CLOSED/CLOSED");
    assert_eq!(replayed.story(7), "accept new original - SYN_SENT/LISTEN");
    assert_eq!(replayed.fate(1), "CLOSED/CLOSED reset");
}

#[test]
fn a_syn_ack_that_answers_no_syn_is_invalid() {
    let replayed = Script::new().open().server(SYN_ACK, 3_000, 90_000, 0).replay(&[]);
    assert_eq!(replayed.packet(4)["class"], "invalid");
    assert_eq!(replayed.fate(1), "ESTABLISHED/ESTABLISHED -");
}

#[test]
fn an_old_duplicate_syn_in_syn_sent_leaves_both_syns_answerable() {
    // RFC 9293, 3.5, figure 8, from the middle: the duplicate of an older SYN is answered first and refused.
    let script = Script::new().client(SYN, 0, 0, 0).client_isn(500).client(SYN, 0, 0, 0);
    let new_one = script.clone().server(SYN_ACK, 0, 1, 0).replay(&[]);
    assert_eq!(new_one.story(2), "accept established original - SYN_SENT/LISTEN");
    assert_eq!(new_one.story(3), "accept new reply - ESTABLISHED/SYN_RECEIVED");
    let first_one = script
        .server(SYN_ACK, 0, 1, 0)
        .client(RST, 1, 0, 0)
        .client_isn(CLIENT_ISN)
        .server(SYN_ACK, 40, 1, 0)
        .client(ACK, 1, 41, 0)
        .replay(&[]);
    assert_eq!(first_one.summary["dropped"], 0, "{:?}", first_one.stories());
    assert!(first_one.stories()[5].ends_with("ESTABLISHED/ESTABLISHED"), "{:?}", first_one.stories());
}

#[test]
fn in_syn_received_a_replaced_syn_may_be_answered_as_well() {
    let script = Script::new().client(SYN, 0, 0, 0).server(SYN_ACK, 0, 1, 0);
    let script = script.client_isn(7_000_000).client(SYN, 0, 0, 0).server(SYN_ACK, 3_000, 1, 0);
    let replayed = script.client(ACK, 1, 3_001, 0).replay(&[]);
    assert_eq!(
        replayed.stories()[2..],
        [
            "accept established original - ESTABLISHED/SYN_RECEIVED",
            "accept new reply - ESTABLISHED/SYN_RECEIVED",
            "accept established original - ESTABLISHED/ESTABLISHED",
        ]
    );
    assert_eq!(replayed.fate(1), "ESTABLISHED/SYN_RECEIVED reused");
}

#[test]
fn only_the_newest_syn_on_a_live_connection_is_remembered() {
    let script = Script::new().open().client_isn(7_000_000).client(SYN, 0, 0, 0);
    let script = script.client_isn(8_000_000).client(SYN, 0, 0, 0);
    let newest = script.clone().server(SYN_ACK, 3_000, 1, 0).replay(&[]);
    assert_eq!(newest.story(6), "accept new reply - ESTABLISHED/SYN_RECEIVED");
    let older = script.client_isn(7_000_000).server(SYN_ACK, 3_000, 1, 0).replay(&[]);
    assert_eq!(older.packet(6)["class"], "invalid", "{}", older.story(6));
}
