//! The demo: what is shown is what the kernels and the tracker say, and it ends as it should.

use std::io;
use std::process::Command;
use std::time::Duration;

use lastack::demo::{self, Error, Screen, Tracked, Tracker};
use lastack::lab::{Lab, Options};
use lastack::tcp::State;

use crate::packet_sockets::PacketSockets;
use crate::{has_root, is_root};

fn perform(
    lab: &Lab,
    tracker: &mut dyn Tracker,
    mut interrupted: impl FnMut() -> bool,
) -> Result<demo::Report, Error> {
    let mut nowhere = io::sink();
    demo::perform(lab, tracker, 0, &mut Screen::new(&mut nowhere, false), &mut interrupted)
}

#[test]
fn the_engine_says_of_every_connection_what_the_two_kernels_say() {
    if !is_root("demo: engine and kernels") {
        return;
    }
    let lab = Lab::bridge(&Options::default()).unwrap();
    let mut middlebox = PacketSockets::start(&lab.middle);
    let report = perform(&lab, &mut middlebox, || false).unwrap();
    let mut text = Vec::new();
    demo::write_report(&report, false, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(report.disagreements, 0, "{text}");
    assert_eq!(report.comparisons, 20, "{text}");
    assert_eq!(report.conversations.len(), 8);
    assert_eq!(middlebox.dropped(), 0);
    for words in ["FIN_WAIT_2/CLOSE_WAIT", "CLOSED/TIME_WAIT", "SYN_SENT/LISTEN", "20 of 20 moments agree"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

/// Says of every connection that it is open.
struct Liar(PacketSockets);

impl Tracker for Liar {
    fn connections(&mut self) -> io::Result<Vec<Tracked>> {
        let mut tracked = self.0.connections()?;
        for connection in &mut tracked {
            connection.states = [State::Established; 2];
        }
        Ok(tracked)
    }
}

#[test]
fn a_tracker_that_says_something_else_than_the_kernels_is_found_out() {
    if !is_root("demo: disagreement") {
        return;
    }
    let lab = Lab::bridge(&Options::default()).unwrap();
    let mut liar = Liar(PacketSockets::start(&lab.middle));
    let report = perform(&lab, &mut liar, || false).unwrap();
    let moments = report.conversations.iter().flat_map(|conversation| &conversation.moments);
    let open = moments.filter(|moment| moment.sample.kernels == [State::Established; 2]).count();
    assert_eq!(report.disagreements, report.comparisons - open);
    let mut text = Vec::new();
    demo::write_report(&report, false, &mut text).unwrap();
    assert_eq!(String::from_utf8(text).unwrap().matches('✗').count(), report.disagreements);
}

/// Knows of nothing.
struct Nobody;

impl Tracker for Nobody {
    fn connections(&mut self) -> io::Result<Vec<Tracked>> {
        Ok(Vec::new())
    }
}

#[test]
fn a_middlebox_that_carries_nothing_is_an_error_and_not_a_table() {
    if !is_root("demo: nothing crosses") {
        return;
    }
    let lab = Lab::bridge(&Options::default()).unwrap();
    let error = perform(&lab, &mut Nobody, || false).unwrap_err();
    assert!(matches!(error, Error::Scenario(..)), "{error}");
}

/// Panics when it is asked.
struct Broken;

impl Tracker for Broken {
    fn connections(&mut self) -> io::Result<Vec<Tracked>> {
        panic!("broken")
    }
}

#[test]
fn a_tracker_that_panics_does_not_leave_the_scripts_waiting() {
    if !is_root("demo: panics") {
        return;
    }
    let lab = Lab::bridge(&Options::default()).unwrap();
    let caught = std::panic::catch_unwind(|| perform(&lab, &mut Broken, || false));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"broken"));
}

#[test]
fn an_interruption_ends_it_soon_and_keeps_what_was_seen() {
    if !is_root("demo: interrupted") {
        return;
    }
    let lab = Lab::bridge(&Options::default()).unwrap();
    let mut middlebox = PacketSockets::start(&lab.middle);
    let mut turns = 0;
    let start = std::time::Instant::now();
    let report = perform(&lab, &mut middlebox, || {
        turns += 1;
        turns > 30
    });
    let report = report.unwrap();
    assert!(report.is_interrupted);
    assert!(report.comparisons > 0, "what was seen until then is not lost");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn without_privilege_one_line_says_so_and_the_built_in_capture_is_replayed() {
    let mut command = if has_root() {
        // The same program as nobody, without any capability.
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
        command.arg(env!("CARGO_BIN_EXE_lastack"));
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_lastack"))
    };
    let output = command.arg("demo").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("CAP_SYS_ADMIN"), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the built-in capture: 365 packets, 365 accepted, 0 dropped"), "{text}");
    assert!(text.contains("FIN_WAIT_2/CLOSE_WAIT"), "{text}");
}
