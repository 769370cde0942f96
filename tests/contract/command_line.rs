//! Exit statuses, which stream says what, and the options of `replay`.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{ACK, RST, Run, Scratch, Script, kernel_capture, lastack, replay};

#[track_caller]
fn assert_fails(run: &Run, status: i32, words: &[&str]) {
    assert_eq!(run.status, Some(status), "{}", run.stderr);
    assert_eq!(run.stdout, "", "standard output is for results");
    for word in words {
        assert!(run.stderr.contains(word), "{word:?} is missing in: {}", run.stderr);
    }
}

#[test]
fn an_unreadable_capture_exits_1_and_is_named() {
    let scratch = Scratch::new();
    let absent = scratch.path("absent.pcap");
    let absent = absent.to_str().unwrap();
    assert_fails(&lastack(&["replay", "--json", absent]), 1, &["absent.pcap"]);
    assert_fails(&lastack(&["replay", absent]), 1, &["absent.pcap"]);
    let text = scratch.path("text.pcap");
    std::fs::write(&text, "this is no capture, though it is long enough for a file header").unwrap();
    assert_fails(&lastack(&["replay", "--json", text.to_str().unwrap()]), 1, &["text.pcap"]);
}

#[test]
fn a_capture_that_ends_within_a_packet_exits_1_after_what_was_whole() {
    let scratch = Scratch::new();
    let capture = scratch.path("torn.pcap");
    Script::new().open().write(&capture);
    let bytes = std::fs::read(&capture).unwrap();
    std::fs::write(&capture, &bytes[..bytes.len() - 5]).unwrap();
    let run = lastack(&["replay", "--json", capture.to_str().unwrap()]);
    assert_eq!(run.status, Some(1));
    assert!(run.stderr.contains("torn.pcap"), "{}", run.stderr);
    assert_eq!(run.stdout.matches("\"record\":\"packet\"").count(), 2, "{}", run.stdout);
}

#[test]
fn an_output_that_cannot_be_written_exits_1_and_is_named() {
    let capture = kernel_capture();
    let run = lastack(&["replay", "-w", "/no/such/directory/out.pcap", capture.to_str().unwrap()]);
    assert_eq!(run.status, Some(1));
    assert!(run.stderr.contains("/no/such/directory/out.pcap"), "{}", run.stderr);
}

#[test]
fn a_wrong_command_line_exits_2() {
    let capture = kernel_capture();
    let capture = capture.to_str().unwrap();
    assert_fails(&lastack(&["replay"]), 2, &["CAPTURE"]);
    assert_fails(&lastack(&["replay", "--jsno", capture]), 2, &["--jsno"]);
    assert_fails(&lastack(&["replay", "--shards", "0", capture]), 2, &["--shards"]);
    assert_fails(&lastack(&["repaly", capture]), 2, &["repaly"]);
}

#[test]
fn a_wrong_configuration_exits_2_and_names_file_line_and_key() {
    let capture = kernel_capture();
    let capture = capture.to_str().unwrap();
    assert_fails(&lastack(&["replay", "-s", "tcp.time_wait=1s", capture]), 2, &["tcp", "time_wait"]);
    assert_fails(&lastack(&["replay", "--set", "tcp.msl=soon", capture]), 2, &["msl", "soon"]);
    assert_fails(&lastack(&["replay", "-s", "tcp.msl", capture]), 2, &["tcp.msl"]);
    let scratch = Scratch::new();
    let file = scratch.path("wrong.toml");
    std::fs::write(&file, "[tcp]\nmsl = \"30s\"\nmls = \"30s\"\n").unwrap();
    let file = file.to_str().unwrap();
    assert_fails(&lastack(&["replay", "-c", file, capture]), 2, &["wrong.toml", "3", "mls"]);
    assert_fails(&lastack(&["check", "-c", file]), 2, &["wrong.toml", "3", "mls"]);
    assert_fails(&lastack(&["check", "-c", "/no/such.toml"]), 2, &["/no/such.toml"]);
}

#[test]
fn check_prints_a_configuration_that_means_the_same() {
    let scratch = Scratch::new();
    let file = scratch.path("given.toml");
    std::fs::write(&file, "[tcp]\nmsl = \"7s\"\n").unwrap();
    let arguments = ["check", "-c", file.to_str().unwrap(), "-s", "tcp.closed=3s"];
    let first = lastack(&arguments);
    assert_eq!(first.status, Some(0), "{}", first.stderr);
    for line in ["msl = \"7s\"", "closed = \"3s\"", "time_wait_reuse = \"rfc6191\"", "established = \"2h4m\""]
    {
        assert!(first.stdout.contains(line), "{line} is missing in: {}", first.stdout);
    }
    let effective = scratch.path("effective.toml");
    std::fs::write(&effective, &first.stdout).unwrap();
    let second = lastack(&["check", "-c", effective.to_str().unwrap()]);
    assert_eq!((second.status, second.stdout), (Some(0), first.stdout));
}

#[test]
fn a_set_key_comes_after_the_file_and_the_last_one_counts() {
    let scratch = Scratch::new();
    let (file, capture) = (scratch.path("file.toml"), scratch.path("syn.pcap"));
    std::fs::write(&file, "[tcp]\nsyn_sent = \"5s\"\n").unwrap();
    Script::new().client(crate::common::SYN, 0, 0, 0).write(&capture);
    let file = file.to_str().unwrap();
    let expires_in = |arguments: &[&str]| replay(&capture, arguments).expires_in(1);
    crate::common::assert_about(expires_in(&["-c", file]), 5.0);
    crate::common::assert_about(expires_in(&["-c", file, "-s", "tcp.syn_sent=6s"]), 6.0);
    crate::common::assert_about(expires_in(&["-s", "tcp.syn_sent=6s", "--set", "tcp.syn_sent=\"7s\""]), 7.0);
}

#[test]
fn a_capture_is_read_from_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lastack"))
        .args(["replay", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes = std::fs::read(kernel_capture()).unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), replay(&kernel_capture(), &[]).text);
}

#[test]
fn what_was_accepted_is_written_as_it_was_and_accepted_again() {
    let scratch = Scratch::new();
    let (capture, written) = (scratch.path("in.pcap"), scratch.path("out.pcap"));
    let output = written.to_str().unwrap().to_owned();
    let good = Script::new().open().wait(10).client(ACK, 1, 1, 100);
    // Far outside of the window, an RST of nobody, and a segment whose payload was changed under way.
    let bad = good.clone().server(ACK, 9_000_000, 1, 10).port(1).client(RST, 1, 0, 0).port(40_000);
    bad.client(ACK, 101, 1, 1)
        .spoil(|frame| *frame.last_mut().unwrap() ^= 1)
        .wait(5)
        .server(ACK, 1, 101, 0)
        .write(&capture);
    let first = replay(&capture, &["-w", &output]);
    assert_eq!(first.summary["dropped"], 3, "{:?}", first.stories());
    let again = replay(&written, &[]);
    assert_eq!(again.summary["packets"], 5);
    assert!(again.packets.iter().all(|packet| packet["verdict"] == "accept"), "{:?}", again.stories());
    let expected = scratch.path("expected.pcap");
    good.wait(5).server(ACK, 1, 101, 0).write(&expected);
    assert_eq!(
        std::fs::read(&written).unwrap(),
        std::fs::read(&expected).unwrap(),
        "times and bytes are kept"
    );
}

#[test]
fn drain_runs_the_clock_until_every_connection_has_ended() {
    let drained = replay(&kernel_capture(), &["--drain"]);
    assert_eq!(drained.summary["connections"]["live"], 0);
    assert_eq!(drained.connections.len() as u64, drained.summary["connections"]["created"].as_u64().unwrap());
    for connection in &drained.connections {
        assert!(connection["end"].is_string() && connection["expires_in"].is_null(), "{connection}");
    }
    let standing = replay(&kernel_capture(), &[]);
    assert!(
        standing.summary["connections"]["live"].as_u64().unwrap() > 0,
        "nothing expires after the last packet"
    );
}

#[test]
fn without_json_a_person_is_told_and_the_status_is_0() {
    let capture = kernel_capture();
    let run = lastack(&["replay", capture.to_str().unwrap()]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("FIN_WAIT_2/CLOSE_WAIT"), "{}", run.stdout);
}

#[test]
fn a_bridge_in_the_configuration_binds_no_replay() {
    let scratch = Scratch::new();
    let (file, capture) = (scratch.path("bridge.toml"), scratch.path("in.pcap"));
    let text = "[[port]]\nname = \"inside\"\ninterface = \"nowhere0\"\n\
                [[port]]\nname = \"outside\"\ninterface = \"nowhere1\"\n\
                [[bridge]]\nports = [\"inside\", \"outside\"]\nnew_from = [\"inside\"]\non_invalid = \"pass\"\n";
    std::fs::write(&file, text).unwrap();
    Script::new().client(crate::common::SYN, 0, 0, 0).port(2).client(RST, 0, 0, 0).write(&capture);
    let replayed = replay(&capture, &["-c", file.to_str().unwrap()]);
    assert_eq!(
        replayed.stories(),
        ["accept new original - SYN_SENT/LISTEN", "drop invalid - no_connection -"]
    );
}

#[test]
fn explain_tells_one_packets_story_and_exits_0() {
    let capture = kernel_capture();
    let capture = capture.to_str().unwrap();
    let run = lastack(&["replay", "--explain", "4", capture]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.starts_with("Packet 4 of "), "{}", run.stdout);
    let json = lastack(&["replay", "--json", "--explain", "4", "--shards", "2", capture]);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&value["record"], &value["number"]), (&"explanation".into(), &4.into()));
    assert!(value["sentences"].as_array().is_some_and(|sentences| !sentences.is_empty()), "{value}");
    assert_eq!(json.stdout.lines().count(), 1);
}

#[test]
fn explain_reads_standard_input_as_well() {
    let capture = std::fs::File::open(kernel_capture()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastack"));
    let output = command.args(["replay", "--explain", "123", "-"]).stdin(capture).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("Packet 123 of "));
}

#[test]
fn explain_of_a_packet_behind_the_end_exits_1_and_says_how_many_there_are() {
    let capture = kernel_capture();
    assert_fails(&lastack(&["replay", "--explain", "366", capture.to_str().unwrap()]), 1, &["366", "365"]);
}

#[test]
fn explain_of_no_packet_exits_2() {
    let capture = kernel_capture();
    let capture = capture.to_str().unwrap();
    for number in ["0", "-1", "first", "1.5"] {
        assert_fails(&lastack(&["replay", "--explain", number, capture]), 2, &[number]);
    }
    assert_fails(&lastack(&["replay", "--explain", "1", "--drain", capture]), 2, &["--drain"]);
}

#[test]
fn a_table_names_the_first_packet_that_was_dropped() {
    let scratch = Scratch::new();
    let capture = scratch.path("refused.pcap");
    Script::new().open().server(ACK, 9_000_000, 1, 10).client(RST, 80_000, 0, 0).write(&capture);
    let run = lastack(&["replay", capture.to_str().unwrap()]);
    assert!(run.stdout.contains("--explain 4 "), "{}", run.stdout);
    assert!(!lastack(&["replay", kernel_capture().to_str().unwrap()]).stdout.contains("--explain"));
}
