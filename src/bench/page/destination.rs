//! The file that the page becomes: whole, or not at all.
//!
//! ```text
//!  Destination::new ─ tries: a file beside FILE is made and removed   (before anything is measured)
//!       │
//!  write ─ .FILE.PID.part ─ rename ─► FILE
//! ```

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A path that a page can be written to, as far as that can be known beforehand.
#[derive(Debug)]
pub(super) struct Destination {
    /// As the user named it.
    named: PathBuf,
    /// Where it is, behind symbolic links.
    file: PathBuf,
}

/// Why there is no page.
#[derive(Debug)]
pub struct Unwritable {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for Unwritable {}

impl Destination {
    /// Tries whether a page can be written there, and leaves nothing behind.
    pub(super) fn new(path: &Path) -> Result<Destination, Unwritable> {
        let unwritable = |error| Unwritable { path: path.to_owned(), error };
        let file = match fs::canonicalize(path) {
            Ok(file) if file.is_file() => file,
            Ok(_) => return Err(unwritable(io::Error::other("it is there and no file"))),
            // Nothing there yet, or nothing that can be reached: the trial tells.
            Err(_) => path.to_owned(),
        };
        let destination = Destination { named: path.to_owned(), file };
        destination.put(b"", false).map_err(unwritable)?;
        Ok(destination)
    }

    /// Writes the page. Whoever reads FILE meanwhile sees the old one or the new one.
    pub(super) fn write(&self, page: &str) -> Result<(), Unwritable> {
        self.put(page.as_bytes(), true).map_err(|error| Unwritable { path: self.named.clone(), error })
    }

    /// Writes a file beside FILE, then gives it FILE's name or removes it.
    fn put(&self, bytes: &[u8], keep: bool) -> io::Result<()> {
        let name = self.file.file_name().ok_or_else(|| io::Error::other("no name of a file"))?;
        let mut part = OsString::from(".");
        part.push(name);
        part.push(format!(".{}.part", std::process::id()));
        let part = self.file.with_file_name(part);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&part)?;
        let result = file.write_all(bytes).and_then(|()| {
            if keep { file.sync_all().and_then(|()| fs::rename(&part, &self.file)) } else { Ok(()) }
        });
        if !keep || result.is_err() {
            fs::remove_file(&part)?;
        }
        result
    }
}
