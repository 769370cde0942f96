//! The control socket's place in the file system: made for this process, never taken from another one.
//!
//! ```text
//!  nothing there ─────────────────────────┐
//!  a socket nobody listens on ── removed ─┼─► bound, mode 0660 ─► removed at the end, if it is still ours
//!  a socket that answers ───────► error: another lastack is running
//!  anything else ───────────────► error: left alone
//! ```

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};

/// Who may use the socket: its owner and its group.
const MODE: u32 = 0o660;
/// Of directories that are made for it.
const DIRECTORY_MODE: u32 = 0o755;

/// A socket's path, and which file it is: the path may be somebody else's by the time it is removed.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Why there is no control socket.
#[derive(Debug)]
pub enum Error {
    /// Somebody answers there.
    AnotherIsRunning(PathBuf),
    /// What is there is not a socket.
    NotASocket(PathBuf),
    /// It cannot be made.
    System(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::AnotherIsRunning(path) => write!(
                f,
                "{}: another lastack is running with this socket; stop it, or give this one another \
                 [control] socket",
                path.display()
            ),
            Error::NotASocket(path) => write!(
                f,
                "{}: exists and is not a socket; remove it, or choose another [control] socket",
                path.display()
            ),
            Error::System(path, error) => {
                write!(f, "{}: the control socket cannot be made: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

impl Place {
    /// Listens at `path`.
    pub(super) fn bind(path: &Path) -> Result<(UnixListener, Place), Error> {
        let system = |error| Error::System(path.to_owned(), error);
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(system)?;
        }
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(|error| {
            // Another one that starts at the same time was faster.
            let is_taken = error.kind() == ErrorKind::AddrInUse;
            if is_taken { Error::AnotherIsRunning(path.to_owned()) } else { system(error) }
        })?;
        // Until here the umask decides, and any but an empty one lets nobody in but the owner.
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(system)?;
        let file = fs::symlink_metadata(path).map_err(system)?;
        Ok((listener, Place { path: path.to_owned(), device: file.dev(), inode: file.ino() }))
    }
}

/// Removes the socket that a process left behind which could not do it any more.
fn remove_stale(path: &Path) -> Result<(), Error> {
    let system = |error| Error::System(path.to_owned(), error);
    let is_socket = match fs::symlink_metadata(path) {
        Ok(file) => file.file_type().is_socket(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
    };
    if !is_socket {
        return Err(Error::NotASocket(path.to_owned()));
    }
    // It does not block: of one that is too busy to accept the answer is "try again", and it is alive.
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(system),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(system(error)),
        Ok(_) | Err(_) => Err(Error::AnotherIsRunning(path.to_owned())),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let file = fs::symlink_metadata(&self.path);
        if file.is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode)) {
            // What cannot be removed is recognised as stale by the next one.
            let _ = fs::remove_file(&self.path);
        }
    }
}
