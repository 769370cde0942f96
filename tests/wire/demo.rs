//! The demo: what is shown is what the kernels and the tracker say, and it ends as it should.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lastack::demo::{self, Error, Screen, Tracked, Tracker};
use lastack::lab::{Lab, Options};
use lastack::tcp::State;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::packet_sockets::PacketSockets;
use crate::{eventually, has_root, is_root};

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

/// The built program's demo, with a directory of its own for temporary files.
struct Started {
    process: Child,
    directory: PathBuf,
}

impl Started {
    fn new(name: &str) -> Started {
        let directory = std::env::temp_dir().join(format!("la-{name}-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastack"));
        command.arg("demo").env("TMPDIR", &directory);
        let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Started { process, directory }
    }

    /// The middlebox, once it has become one.
    fn middlebox(&self) -> u32 {
        let mut found = None;
        eventually("the demo has a middlebox", || {
            let processes = std::fs::read_dir("/proc").unwrap().flatten();
            let mut numbers =
                processes.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()));
            found = numbers.find(|&number: &u32| {
                let words = std::fs::read_to_string(format!("/proc/{number}/cmdline")).unwrap_or_default();
                words.contains("\0run\0") && status(number, "PPid") == Some(self.process.id().to_string())
            });
            found.is_some()
        });
        found.unwrap()
    }

    fn left_behind(&self) -> Vec<OsString> {
        std::fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Both are gone already unless the test has failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A line of /proc/NUMBER/status.
fn status(number: u32, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{number}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

/// Whether a process has ended; somebody may still have to take notice.
fn has_ended(number: u32) -> bool {
    status(number, "State").is_none_or(|state| state.starts_with('Z'))
}

#[test]
fn lastack_run_agrees_with_both_kernels_and_leaves_nothing_behind() {
    if !is_root("demo: lastack run") {
        return;
    }
    let mut started = Started::new("demo-whole");
    let middlebox = started.middlebox();
    let mut text = String::new();
    started.process.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let status = started.process.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.ends_with("20 of 20 moments agree\n"), "{text}");
    assert!(has_ended(middlebox));
    assert_eq!(started.left_behind(), Vec::<OsString>::new());
}

#[test]
fn a_demo_that_is_told_to_end_takes_everything_down() {
    if !is_root("demo: told to end") {
        return;
    }
    let mut started = Started::new("demo-ended");
    let middlebox = started.middlebox();
    let number = i32::try_from(started.process.id()).unwrap();
    kill(Pid::from_raw(number), Signal::SIGINT).unwrap();
    assert_eq!(started.process.wait().unwrap().code(), Some(0));
    assert!(has_ended(middlebox));
    assert_eq!(started.left_behind(), Vec::<OsString>::new());
}

#[test]
fn a_demo_that_is_killed_takes_its_middlebox_with_it() {
    if !is_root("demo: killed") {
        return;
    }
    let mut started = Started::new("demo-killed");
    let middlebox = started.middlebox();
    started.process.kill().unwrap();
    started.process.wait().unwrap();
    eventually("the middlebox is gone", || has_ended(middlebox));
}

#[test]
fn a_middlebox_that_ends_is_told_in_one_line_with_status_1() {
    if !is_root("demo: no middlebox") {
        return;
    }
    let mut started = Started::new("demo-alone");
    let middlebox = i32::try_from(started.middlebox()).unwrap();
    kill(Pid::from_raw(middlebox), Signal::SIGKILL).unwrap();
    let mut errors = String::new();
    started.process.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(started.process.wait().unwrap().code(), Some(1));
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("demo: the middlebox: "), "{errors}");
    assert_eq!(started.left_behind(), Vec::<OsString>::new());
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
