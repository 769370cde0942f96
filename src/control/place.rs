//! The control socket's place in the file system: made for this process, never taken from another one.
//!
//! ```text
//!  PATH.lock, held by another ──► error: another lastack is running
//!      │ held by us, until the end
//!      ▼
//!  PATH: nothing there ─────────────────────────┐
//!        a socket nobody listens on ── removed ─┼─► mode 0660, bound, listening ─► removed at the end,
//!        a socket that answers ───────► error   │                                  if it is still ours
//!        anything else ───────────────► error   ┘
//! ```
//!
//! To look, to remove and to bind are three steps, and a socket that is bound and does not listen yet looks like
//! one that was left behind: without the lock, two that start at once could remove each other's. The kernel lets
//! go of the lock when the process ends, however it does.
//!
//! Life cycle: [`Place::bind`], once for each server; dropping it removes the socket, the lock's file, and the
//! directories that were made for them, as far as they are empty. So does every error after which there is none.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, SockAddr, Socket, Type};

/// Who may use the socket: its owner and its group.
const MODE: u32 = 0o660;
/// Who may open the lock's file: nobody else has to.
const LOCK_MODE: u32 = 0o600;
/// Of directories that are made for it.
const DIRECTORY_MODE: u32 = 0o755;
/// How many clients may wait to be accepted.
const BACKLOG: i32 = 128;

/// All that is in the file system for one server. The fields go in this order: whoever finds the lock free finds
/// no socket of ours either, and the directories are empty by then.
#[derive(Debug)]
pub(super) struct Place {
    _socket: SocketFile,
    _lock: Lock,
    _directories: Directories,
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
        let (directories, lock) = Lock::take(path)?;
        remove_stale(path)?;
        let listener = open().map_err(system)?;
        let address = SockAddr::unix(path).map_err(system)?;
        listener.bind(&address).map_err(|error| {
            // By somebody who does not know of the lock.
            let is_taken = error.kind() == ErrorKind::AddrInUse;
            if is_taken { Error::AnotherIsRunning(path.to_owned()) } else { system(error) }
        })?;
        let socket = SocketFile::found(path).map_err(system)?;
        listener.listen(BACKLOG).map_err(system)?;
        let listener = UnixListener::from_std(OwnedFd::from(listener).into());
        Ok((listener, Place { _socket: socket, _lock: lock, _directories: directories }))
    }
}

/// A socket whose file will never be open to others: bind(2) makes that of the socket's own mode, less the umask.
fn open() -> io::Result<Socket> {
    let socket = File::from(OwnedFd::from(Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?));
    socket.set_permissions(Permissions::from_mode(MODE))?;
    Ok(OwnedFd::from(socket).into())
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

/// A file by its path, and which one it is: the path may be somebody else's by the time it is removed.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OwnFile {
    fn new(path: &Path, file: &Metadata) -> OwnFile {
        OwnFile { path: path.to_owned(), device: file.dev(), inode: file.ino() }
    }

    /// Whether the path still leads to it.
    fn is_there(&self) -> bool {
        let file = fs::symlink_metadata(&self.path);
        file.is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode))
    }

    fn remove(&self) {
        if self.is_there() {
            // What cannot be removed is recognised by the next one: nobody listens, nobody holds the lock.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The socket's file.
#[derive(Debug)]
struct SocketFile(OwnFile);

impl SocketFile {
    /// That which was just bound to `path`; gives it back what the umask took.
    fn found(path: &Path) -> io::Result<SocketFile> {
        // The file itself, whatever the path leads to later, and never through a symbolic link.
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let facts = file.metadata()?;
        if !facts.file_type().is_socket() {
            return Err(io::Error::other("somebody put another file in its place"));
        }
        let found = SocketFile(OwnFile::new(path, &facts));
        if facts.permissions().mode() & 0o7777 != MODE {
            // A descriptor of this kind can be changed by this name only (open(2), O_PATH).
            let name = format!("/proc/self/fd/{}", file.as_raw_fd());
            fs::set_permissions(name, Permissions::from_mode(MODE))?;
        }
        Ok(found)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// The lock that says whose place it is, and its file.
#[derive(Debug)]
struct Lock {
    file: OwnFile,
    /// Held for its drop, which comes after the file was removed: who opened that meanwhile sees that it is gone.
    _held: Flock<File>,
}

impl Lock {
    /// How often it begins again when another one that ends removes what it just found.
    const ATTEMPTS: usize = 16;

    /// Takes the lock of the socket at `path`, and makes the directories that both lie in.
    fn take(path: &Path) -> Result<(Directories, Lock), Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let name = PathBuf::from(name);
        let system = |error| Error::System(name.clone(), error);
        let mut vanished = io::Error::from(ErrorKind::ResourceBusy);
        for _ in 0..Lock::ATTEMPTS {
            let opened = Directories::make(path).and_then(|directories| {
                let mut options = OpenOptions::new();
                options.write(true).create(true).mode(LOCK_MODE).custom_flags(libc::O_NOFOLLOW);
                Ok((directories, options.open(&name)?))
            });
            let (directories, file) = match opened {
                Ok(opened) => opened,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    vanished = error;
                    continue;
                }
                Err(error) => return Err(system(error)),
            };
            let held = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(held) => held,
                Err((_, Errno::EWOULDBLOCK)) => return Err(Error::AnotherIsRunning(path.to_owned())),
                Err((_, errno)) => return Err(system(errno.into())),
            };
            let file = OwnFile::new(&name, &held.metadata().map_err(system)?);
            // Else it is the lock of a file that was removed: nobody else would ever see it.
            if file.is_there() {
                return Ok((directories, Lock { file, _held: held }));
            }
        }
        Err(Error::System(path.to_owned(), vanished))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.file.remove();
    }
}

/// Directories that were not there before, outermost first.
#[derive(Debug)]
struct Directories(Vec<PathBuf>);

impl Directories {
    /// Makes those that a file at `path` needs.
    fn make(path: &Path) -> io::Result<Directories> {
        let parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
        let missing: Vec<&Path> = parents.take_while(|parent| !parent.exists()).collect();
        let mut made = Directories(Vec::new());
        for directory in missing.into_iter().rev() {
            match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
                Ok(()) => made.0.push(directory.to_owned()),
                // Another one that starts at the same time was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        for directory in self.0.iter().rev() {
            // One that is not empty is somebody else's as well by now, and stays.
            let _ = fs::remove_dir(directory);
        }
    }
}
