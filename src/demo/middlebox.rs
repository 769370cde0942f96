//! `lastack run` as a child in the lab's middle.
//!
//! ```text
//!  start ─ private directory: configuration, control socket, standard error
//!        ─ a thread in the middle's namespace ─► demo --middlebox FILE ─ exec ─► run -c FILE
//!  drop  ─ SIGTERM, two seconds, SIGKILL; the directory is removed
//! ```
//!
//! The child asks to be killed when the thread that started it ends, which is when this process does, however
//! that happens; it does so itself, between start and exec, because a parent cannot ask in its place.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::tracker::ControlSocket;
use crate::lab::{INSIDE_INTERFACE, Lab, OUTSIDE_INTERFACE};

/// How often a condition is looked at that somebody else brings about.
const TURN: Duration = Duration::from_millis(20);
/// How many of them a SIGTERM is given.
const TURNS_TO_END: u32 = 100;

/// A running middlebox, ended when dropped.
#[derive(Debug)]
pub(super) struct Middlebox {
    child: Child,
    directory: PrivateDirectory,
    /// Dropped, it lets the thread end that started the child.
    keep: Option<Sender<()>>,
    parent: Option<JoinHandle<()>>,
}

impl Middlebox {
    /// Starts `program` in the middle of the lab.
    pub(super) fn start(lab: &Lab, program: &Path, set: &[String]) -> Result<Middlebox, String> {
        let directory = PrivateDirectory::new()
            .map_err(|error| format!("a private directory in {}: {error}", std::env::temp_dir().display()))?;
        let failed = |error: io::Error| format!("starting the middlebox: {error}");
        fs::write(directory.configuration(), configuration(&directory.socket())).map_err(failed)?;
        let errors = File::create(directory.errors()).map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["demo", "--middlebox"]).arg(directory.configuration());
        command.args(set.iter().flat_map(|set| ["-s", set]));
        command.args(["--parent", &std::process::id().to_string()]);
        // A group of its own: an interrupt at the terminal is for the demo, which then ends its child.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let (started, child) = mpsc::channel();
        let (keep, kept) = mpsc::channel::<()>();
        let parent = lab.middle.spawn("middlebox", move || {
            // Nobody is there to hear of it only if start() has ended by a panic.
            let _ = started.send(command.spawn());
            // Ends with an error, when the other side is dropped.
            let _ = kept.recv();
        });
        let parent = parent.map_err(|error| error.to_string())?;
        let child = child.recv().map_err(|_| "the middlebox's thread ended".to_owned())?.map_err(failed)?;
        Ok(Middlebox { child, directory, keep: Some(keep), parent: Some(parent) })
    }

    /// Whom to ask for its connections.
    pub(super) fn tracker(&self) -> ControlSocket {
        ControlSocket::new(&self.directory.socket())
    }

    /// Why it ended, if it has: the last line that it wrote.
    pub(super) fn failure(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        let errors = fs::read_to_string(self.directory.errors()).unwrap_or_default();
        Some(match errors.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => line.to_owned(),
            None => format!("it ended without a word: {status}"),
        })
    }

    fn end(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        // It was not waited for yet, so the number is still its own.
        if let Ok(id) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(id), Signal::SIGTERM)?;
        }
        for _ in 0..TURNS_TO_END {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(TURN);
        }
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Middlebox {
    fn drop(&mut self) {
        // Whatever could not be done here, the end of the thread does: it kills the child.
        let _ = self.end();
        drop(self.keep.take());
        if let Some(parent) = self.parent.take() {
            let _ = parent.join();
        }
    }
}

/// The smallest configuration of a bridge.
fn configuration(socket: &Path) -> String {
    format!(
        "[[port]]\nname = \"inside\"\ninterface = \"{INSIDE_INTERFACE}\"\n\n\
         [[port]]\nname = \"outside\"\ninterface = \"{OUTSIDE_INTERFACE}\"\n\n\
         [[bridge]]\nports = [\"inside\", \"outside\"]\nnew_from = [\"inside\"]\n\n\
         [control]\nsocket = {:?}\n",
        socket.display().to_string()
    )
}

/// Becomes `lastack run`, to be killed with the process `parent`; returns only why it could not.
pub(super) fn become_middlebox(configuration: &Path, set: &[String], parent: u32) -> io::Error {
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return error.into();
    }
    // It may have died before it was asked for.
    if std::os::unix::process::parent_id() != parent {
        return io::Error::other("the demo that started it is gone");
    }
    // The demo holds them back for itself, and a child inherits that.
    if let Err(error) = SigSet::empty().thread_set_mask() {
        return error.into();
    }
    match std::env::current_exe() {
        Ok(program) => {
            let set = set.iter().flat_map(|set| ["-s", set]);
            Command::new(program).args(["run", "-c"]).arg(configuration).args(set).exec()
        }
        Err(error) => error,
    }
}

/// A directory that only this user can look into, removed with everything in it when dropped.
#[derive(Debug)]
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    fn new() -> io::Result<PrivateDirectory> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("lastack-demo-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        // Fails where it exists already: nobody can have put anything into it before.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(PrivateDirectory(path))
    }

    fn configuration(&self) -> PathBuf {
        self.0.join("lastack.toml")
    }

    fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    fn errors(&self) -> PathBuf {
        self.0.join("errors")
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // A few bytes in the directory for temporary files are no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_directory_is_private_and_goes_with_everything_in_it() {
        let directory = PrivateDirectory::new().unwrap();
        fs::write(directory.configuration(), "").unwrap();
        let path = directory.0.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn the_configuration_is_a_valid_one() {
        let directory = PrivateDirectory::new().unwrap();
        fs::write(directory.configuration(), configuration(&directory.socket())).unwrap();
        crate::config::load(Some(&directory.configuration()), &[]).unwrap();
    }
}
