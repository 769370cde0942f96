//! Clients that send what is no request or too much of it, that are silent or too many; a worker that is stuck. Nobody
//! else has to wait for them.

use super::*;

/// Sends `bytes` as they are; returns the one line that came before the connection was closed.
fn dismissed(lab: &mut Lab, bytes: &[u8]) -> Value {
    let mut peer = lab.connect();
    peer.stream.write_all(bytes).unwrap();
    let mut lines = Vec::new();
    while !peer.is_closed {
        lab.step();
        lines.extend(peer.lines());
    }
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lab.server.clients(), 0);
    lines.remove(0)
}

#[test]
fn rubbish_gets_one_line_and_the_door() {
    let mut lab = populated();
    let long = vec![b'x'; 4096];
    let deep = "[".repeat(4000) + "\n";
    for rubbish in [
        &b"\n"[..],
        b"rubbish\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xfe\x00\n",
        b"{}\n",
        b"[]\n",
        b"{\"lastack\":1}\n",
        b"{\"lastack\":1,\"command\":\"reboot\"}\n",
        b"{\"lastack\":1,\"command\":\"list\",\"filter\":{\"source\":\"nowhere\"}}\n",
        b"{\"lastack\":1,\"command\":\"list\",\"filter\":{\"colour\":\"red\"}}\n",
        b"{\"lastack\":1,\"command\":\"list\",\"port\":80}\n",
        &long,
        deep.as_bytes(),
    ] {
        let line = dismissed(&mut lab, rubbish);
        assert_eq!(line["record"], "error", "{:?}", String::from_utf8_lossy(rubbish));
    }
    assert_eq!(lab.list(&json!({})).len(), 5, "everybody else is served");
}

#[test]
fn a_client_of_another_version_is_told_so() {
    let mut lab = populated();
    for other in ["{\"lastack\":2,\"command\":\"list\",\"new\":1}\n", "{\"lastack\":0}\n"] {
        let line = dismissed(&mut lab, other.as_bytes());
        assert!(line["message"].as_str().unwrap().contains(env!("CARGO_PKG_VERSION")), "{line}");
    }
}

#[test]
fn who_never_stops_writing_is_read_no_further_than_a_request() {
    let mut lab = populated();
    let mut peer = lab.connect();
    let chunk = vec![b'x'; 1 << 16];
    let mut written: u64 = 0;
    while written < 1 << 30 {
        match peer.stream.write(&chunk) {
            Ok(length) => written += length as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                lab.step();
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                break;
            }
        }
    }
    assert!(written < 1 << 20, "{written} bytes were taken");
    assert!(lab.most_buffered <= 2 * 4096);
    let lines = peer.lines();
    assert_eq!((lines.len(), &lines[0]["record"]), (1, &json!("error")));
}

#[test]
fn who_asks_nothing_is_closed_after_ten_seconds() {
    let mut lab = populated();
    let (mut silent, mut slow) = (lab.connect(), lab.connect());
    slow.stream.write_all(b"{\"lastack\":").unwrap();
    assert!(lab.step().is_some_and(|wait| wait > Duration::from_secs(9)), "until then it costs nothing");
    lab.ahead = Duration::from_millis(9_900);
    lab.step();
    assert_eq!(lab.server.clients(), 2);
    lab.ahead = Duration::from_millis(10_001);
    lab.step();
    assert_eq!(lab.server.clients(), 0);
    assert_eq!((silent.lines().len(), slow.lines().len()), (0, 0));
    assert!(silent.is_closed && slow.is_closed);
    assert_eq!(lab.step(), None, "nothing to wait for");
}

#[test]
fn who_is_being_answered_is_never_closed() {
    let mut lab = populated();
    let (mut watching, mut listing) = (lab.connect(), lab.connect());
    watching.send(&request("events"));
    listing.send(&request("list"));
    lab.step();
    lab.ahead = Duration::from_secs(3600);
    lab.step();
    lab.workers[0].turn(&[there(9, Flags::SYN, 0, 0)]);
    lab.step();
    assert_eq!(watching.lines().len(), 1);
    assert_eq!(listing.lines().len(), 7);
}

#[test]
fn more_than_64_are_told_to_come_again() {
    let mut lab = populated();
    let mut peers: Vec<Peer> = (0..MOST_CLIENTS).map(|_| lab.connect()).collect();
    assert_eq!(lab.server.clients(), MOST_CLIENTS);
    let mut late = lab.connect();
    assert_eq!(late.lines()[0]["record"], "error");
    assert!(late.is_closed);
    drop(peers.pop());
    lab.step();
    assert_eq!(lab.list(&json!({})).len(), 5);
}

#[test]
fn a_worker_that_is_stuck_in_a_turn_stops_nobody_but_who_asks_for_its_connections() {
    let mut lab = populated();
    lab.workers[0].begin();
    let (mut listing, mut counting) = (lab.connect(), lab.connect());
    listing.send(&request("list"));
    counting.send(&request("count"));
    for _ in 0..3 {
        lab.step();
    }
    assert_eq!(counting.lines()[0]["connections"], 5);
    assert_eq!(listing.lines().len(), 0);
    lab.workers[0].end();
    assert_eq!(lab.answer(&mut listing).len(), 7);
}
