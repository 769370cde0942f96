//! What a well-formed request is answered with.

use super::*;

#[test]
fn a_listing_has_a_header_then_connections_as_a_replay_tells_them_and_an_end() {
    let mut lab = populated();
    let lines = lab.ask(&request("list"));
    assert_eq!(lines[0]["record"], "snapshot");
    assert_eq!(lines[0]["sequences"], json!([lab.workers[0].shard.sequence(), 2]));
    let now = lab.plane.clock.now().seconds();
    assert!((lines[0]["time"].as_f64().unwrap() - now).abs() < 60.0);
    let ping = lines.iter().find(|line| line["id"] == 5).unwrap();
    assert_eq!(
        *ping,
        json!({
            "record": "connection", "id": 5, "zone": 0, "protocol": "icmp",
            "original": { "source": "10.0.0.1", "source_port": null, "destination": "10.0.0.2",
                          "destination_port": null, "icmp_id": 77 },
            "reply": { "source": "10.0.0.2", "source_port": null, "destination": "10.0.0.1",
                       "destination_port": null, "icmp_id": 77 },
            "states": null, "end": null, "started": ping["started"], "last_seen": ping["last_seen"],
            "expires_in": ping["expires_in"], "packets": { "original": 1, "reply": 0 },
            "bytes": { "original": 36, "reply": 0 },
        })
    );
    assert!((ping["started"].as_f64().unwrap() - now).abs() < 60.0, "Unix seconds");
    assert!((0.0..=30.0).contains(&ping["expires_in"].as_f64().unwrap()));
}

#[test]
fn all_conditions_of_a_filter_must_hold() {
    let mut lab = populated();
    for (filter, expected) in [
        (json!({}), vec![2, 3, 4, 5, 6]),
        (json!({ "source": "10.0.0.1" }), vec![2, 4, 5, 6]),
        (json!({ "source": "10.0.0.2" }), vec![]),
        (json!({ "source": "10.0.0.0/30" }), vec![2, 4, 5, 6]),
        (json!({ "source": "10.0.0.4/30" }), vec![]),
        (json!({ "source": "0.0.0.0/0" }), vec![2, 4, 5, 6]),
        (json!({ "source": "::/0" }), vec![3]),
        (json!({ "destination": "fd00::/15" }), vec![3]),
        (json!({ "destination": "10.0.0.1" }), vec![]),
        (json!({ "address": "10.0.0.2" }), vec![2, 4, 5, 6]),
        (json!({ "address": "fd00::1" }), vec![3]),
        (json!({ "source_port": 1002 }), vec![4]),
        (json!({ "source_port": 80 }), vec![]),
        (json!({ "destination_port": 80 }), vec![2, 4, 6]),
        (json!({ "port": 1003 }), vec![6]),
        (json!({ "port": 53 }), vec![3]),
        (json!({ "port": 77 }), vec![]),
        (json!({ "protocol": "tcp" }), vec![2, 4, 6]),
        (json!({ "protocol": "17" }), vec![3]),
        (json!({ "protocol": "icmp" }), vec![5]),
        (json!({ "protocol": "icmpv6" }), vec![]),
        (json!({ "zone": 0 }), vec![2, 3, 4, 5, 6]),
        (json!({ "zone": 1 }), vec![]),
        (json!({ "shard": 1 }), vec![3, 5]),
        (json!({ "shard": 2 }), vec![]),
        (json!({ "state": "CLOSE_WAIT" }), vec![4]),
        (json!({ "state": "LISTEN" }), vec![6]),
        (json!({ "state": "FIN_WAIT_2/CLOSE_WAIT" }), vec![4]),
        (json!({ "state": "CLOSE_WAIT/FIN_WAIT_2" }), vec![]),
        (json!({ "id": [2, 5, 99] }), vec![2, 5]),
        (json!({ "id": [2, 5], "protocol": "tcp" }), vec![2]),
        (json!({ "destination_port": 80, "state": "ESTABLISHED" }), vec![2]),
    ] {
        assert_eq!(lab.list(&filter), expected, "{filter}");
        let count = lab.ask(&json!({ "lastack": 1, "command": "count", "filter": filter }));
        assert_eq!(count[0]["connections"], expected.len(), "{filter}");
    }
}

#[test]
fn a_condition_reads_and_writes_itself() {
    for text in ["10.0.0.0/8", "10.0.0.1", "2001:db8::/32", "::1"] {
        assert_eq!(text.parse::<filter::Prefix>().unwrap().to_string(), text);
    }
    for text in ["tcp", "udp", "icmp", "icmpv6", "47", "1", "58"] {
        assert_eq!(text.parse::<filter::Protocol>().unwrap().to_string(), text);
    }
    for text in ["TIME_WAIT", "FIN_WAIT_2/CLOSE_WAIT"] {
        assert_eq!(text.parse::<filter::States>().unwrap().to_string(), text);
        assert_eq!(text.to_lowercase().parse::<filter::States>().unwrap().to_string(), text);
    }
    for wrong in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "host", "10.0.0.0/"] {
        assert!(wrong.parse::<filter::Prefix>().is_err(), "{wrong}");
    }
    for wrong in ["", "256", "sctp", "-1"] {
        assert!(wrong.parse::<filter::Protocol>().is_err(), "{wrong}");
    }
    for wrong in ["", "/", "OPEN", "ESTABLISHED/", "A/B/C"] {
        assert!(wrong.parse::<filter::States>().is_err(), "{wrong}");
    }
}

#[test]
fn a_count_comes_by_protocol_and_by_states() {
    let mut lab = populated();
    let expected = json!({
        "record": "count", "connections": 5, "by_protocol": { "icmp": 1, "tcp": 3, "udp": 1 },
        "by_states": { "ESTABLISHED/ESTABLISHED": 1, "FIN_WAIT_2/CLOSE_WAIT": 1, "SYN_SENT/LISTEN": 1 },
    });
    assert_eq!(lab.ask(&request("count"))[0], expected, "from the census");
    let all = json!({ "lastack": 1, "command": "count", "filter": { "zone": 0 } });
    assert_eq!(lab.ask(&all)[0], expected, "from the table");
}

#[test]
fn what_fits_is_deleted_and_the_rest_stays() {
    let mut lab = populated();
    let delete = |filter: Value| json!({ "lastack": 1, "command": "delete", "filter": filter });
    assert_eq!(lab.ask(&delete(json!({ "protocol": "sctp" }))).len(), 1, "a wrong filter");
    let lines = lab.ask(&delete(json!({ "state": "CLOSE_WAIT" })));
    assert_eq!(lines, [json!({ "record": "deleted", "connections": 1 }), json!({ "record": "end" })]);
    assert_eq!(lab.list(&json!({})), [2, 3, 5, 6]);
    let lines = lab.ask(&delete(json!({ "id": [3, 6] })));
    assert_eq!(lines[0]["connections"], 2, "of both shards");
    assert_eq!(lab.list(&json!({})), [2, 5]);
    assert_eq!(lab.ask(&delete(json!({ "id": [3] })))[0]["connections"], 0);
}

#[test]
fn delete_without_a_filter_is_refused_and_flush_deletes_everything() {
    let mut lab = populated();
    let refused = lab.ask(&request("delete"));
    assert_eq!(refused[0]["record"], "error");
    assert!(refused[0]["message"].as_str().unwrap().contains("flush"));
    assert_eq!(lab.list(&json!({})).len(), 5);
    assert_eq!(lab.ask(&request("flush"))[0], json!({ "record": "deleted", "connections": 5 }));
    assert_eq!(lab.list(&json!({})).len(), 0);
}

#[test]
fn a_deletion_waits_for_a_worker_whose_queue_is_full() {
    let mut lab = Lab::new(1, 6000, 1 << 15);
    lab.workers[0].turn(&(0..6000).map(datagram).collect::<Vec<_>>());
    let mut peer = lab.connect();
    peer.send(&request("flush"));
    // 16 commands of 256 fit; the worker looks at none of them.
    for _ in 0..100 {
        lab.step();
    }
    assert_eq!(lab.plane.workers[0].commands.len(), 16);
    assert_eq!(peer.lines(), Vec::<Value>::new());
    assert_eq!(lab.answer(&mut peer)[0]["connections"], 6000);
}

#[test]
fn the_numbers_are_those_of_the_workers_and_read_back_as_themselves() {
    let mut lab = populated();
    lab.plane.ports[0].state.set(LinkState::Down);
    let mut lines = lab.ask(&request("stats"));
    assert_eq!(lines.len(), 2);
    let stats = lines.remove(0);
    assert_eq!(stats["connections"]["live"], 5);
    assert_eq!(stats["connections"]["capacity"], 128);
    assert_eq!(stats["packets"]["accepted"], 9 + 2);
    assert_eq!(stats["shards"][1]["sequence"], 2);
    assert_eq!(stats["ports"][0]["state"], "down");
    assert_eq!(stats["ports"][0]["unclaimed"], 3);
    assert_eq!(stats["memory"]["frames"]["unaccounted"], 40);
    for reason in ["out_of_window", "table_full", "transmit_full", "hand_over_full"] {
        assert_eq!(stats["packets"]["by_reason"][reason], 0, "{reason}: zero, but there");
    }
    let Line::Stats(read) = serde_json::from_value(stats.clone()).unwrap() else { panic!("{stats}") };
    assert_eq!(serde_json::to_value(Line::Stats(read)).unwrap(), stats);
}

#[test]
fn one_connection_serves_one_request_after_the_other_also_sent_together() {
    let mut lab = populated();
    let mut peer = lab.connect();
    peer.send(&request("count"));
    assert_eq!(lab.answer(&mut peer)[0]["connections"], 5);
    peer.stream.write_all(format!("{0}\n{0}\n", request("count")).as_bytes()).unwrap();
    let mut lines = Vec::new();
    for _ in 0..10 {
        lab.step();
        lines.extend(peer.lines());
    }
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[test]
fn who_has_said_everything_still_gets_the_whole_answer() {
    let mut lab = populated();
    let mut peer = lab.connect();
    peer.stream.write_all(request("list").to_string().as_bytes()).unwrap();
    peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(lab.answer(&mut peer).len(), 1 + 5 + 1);
    lab.step();
    assert_eq!(lab.server.clients(), 0);
}
