//! The writer: nanosecond pcap in the machine's most common byte order, little-endian.
//!
//! ```text
//!  create ─► out.pcap.partial-PID ── write* ──► finish ─► renamed to out.pcap
//!                                       └─ failure, or dropped without finish ─► removed
//! ```
//!
//! What bears the final name is therefore always a whole capture, or still the file that was there before.
//! A process that is killed leaves the `.partial-` file. Where the output is no regular file (a pipe,
//! `/dev/null`), nothing can be renamed and the bytes go there directly.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::{Error, ErrorKind};
use super::link;
use super::pcap::{HEADER, NANOSECOND, USUAL_SNAP_LENGTH};
use super::record::Timestamp;
use super::source::FileIdentity;
use crate::wire::Link;

/// Writes packets of one link type to a nanosecond pcap file. See the [module](super) for the formats.
#[derive(Debug)]
pub struct CaptureWriter {
    name: Box<str>,
    link: Link,
    /// `None` once finished.
    file: Option<BufWriter<File>>,
    place: Output,
}

/// Where the bytes go meanwhile.
#[derive(Debug)]
enum Output {
    Direct,
    Partial { partial: PathBuf, final_path: PathBuf },
}

impl CaptureWriter {
    /// Begins a capture of `link` packets at `path`; `input` is the capture that is being read, if any.
    ///
    /// # Errors
    /// `path` is the input, a directory, or cannot be created or written.
    pub fn create(
        path: impl AsRef<Path>,
        link: Link,
        input: Option<FileIdentity>,
    ) -> Result<CaptureWriter, Error> {
        let path = path.as_ref();
        let name = path.to_string_lossy();
        let fail = |kind| Error::new(&name, kind);
        let (file, place) = create_output(path, input).map_err(fail)?;
        let mut writer = CaptureWriter {
            name: name.as_ref().into(),
            link,
            file: Some(BufWriter::with_capacity(128 << 10, file)),
            place,
        };
        writer.put(&[&file_header(link)])?;
        Ok(writer)
    }

    /// Adds a packet. What lies beyond 256 KiB of it is cut off, as by a snap length.
    ///
    /// # Errors
    /// The packet's link is not the file's, its time is before 1970 or after 2106, or the file cannot be
    /// written; after the last the writer is of no use any more.
    pub fn write(
        &mut self,
        time: Timestamp,
        link: Link,
        wire_length: usize,
        bytes: &[u8],
    ) -> Result<(), Error> {
        if link != self.link {
            return Err(self.error(ErrorKind::OtherLink { file: self.link, packet: link }));
        }
        let seconds = time.nanoseconds().div_euclid(1_000_000_000);
        let fraction = time.nanoseconds().rem_euclid(1_000_000_000) as u32;
        let Ok(seconds) = u32::try_from(seconds) else {
            return Err(self.error(ErrorKind::TimeOutOfRange { seconds }));
        };
        let wire_length = u32::try_from(wire_length.max(bytes.len())).unwrap_or(u32::MAX);
        let bytes = &bytes[..bytes.len().min(USUAL_SNAP_LENGTH as usize)];
        let mut header = [0; 16];
        for (place, value) in
            header.chunks_exact_mut(4).zip([seconds, fraction, bytes.len() as u32, wire_length])
        {
            place.copy_from_slice(&value.to_le_bytes());
        }
        self.put(&[&header, bytes])
    }

    /// Writes what is still buffered and gives the file its name.
    ///
    /// # Errors
    /// The file cannot be written or renamed; then there is none.
    pub fn finish(mut self) -> Result<(), Error> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let written = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| {
            // Disks may report only now that they are full.
            match &self.place {
                Output::Partial { partial, final_path } => {
                    file.sync_all()?;
                    fs::rename(partial, final_path)
                }
                Output::Direct => Ok(()),
            }
        });
        written.map_err(|error| {
            self.discard();
            self.error(ErrorKind::Write(error))
        })
    }

    fn put(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        let Some(file) = &mut self.file else { return Err(self.error(broken())) };
        match parts.iter().try_for_each(|part| file.write_all(part)) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.discard();
                Err(self.error(ErrorKind::Write(error)))
            }
        }
    }

    /// Removes the unfinished file. That it could not be removed would only hide why it is unfinished.
    fn discard(&mut self) {
        if let Some(file) = self.file.take() {
            // Without its buffer, which must not be written to a file that is given up.
            drop(file.into_parts());
        }
        if let Output::Partial { partial, .. } = &self.place {
            let _ = fs::remove_file(partial);
        }
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(&self.name, kind)
    }
}

impl Drop for CaptureWriter {
    fn drop(&mut self) {
        // Finished or failed writers have no file any more.
        if self.file.is_some() {
            self.discard();
        }
    }
}

/// What is said to a caller that goes on after a failure.
fn broken() -> ErrorKind {
    ErrorKind::Write(io::Error::other("an earlier write failed"))
}

fn create_output(path: &Path, input: Option<FileIdentity>) -> Result<(File, Output), ErrorKind> {
    // Through links, so that a link stays one and the file behind it is replaced.
    let final_path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if let Ok(metadata) = fs::metadata(&final_path) {
        if input == Some(FileIdentity::of(&metadata)) {
            return Err(ErrorKind::SameFile);
        }
        if metadata.is_dir() {
            return Err(ErrorKind::Create(io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            let file = OpenOptions::new().write(true).open(&final_path).map_err(ErrorKind::Create)?;
            return Ok((file, Output::Direct));
        }
    }
    let mut partial = final_path.clone().into_os_string();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = PathBuf::from(partial);
    // One of the same number was left by a process that was killed.
    let _ = fs::remove_file(&partial);
    let file = File::create_new(&partial).map_err(ErrorKind::Create)?;
    Ok((file, Output::Partial { partial, final_path }))
}

fn file_header(link: Link) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&NANOSECOND.to_le_bytes());
    header[4..6].copy_from_slice(&2_u16.to_le_bytes());
    header[6..8].copy_from_slice(&4_u16.to_le_bytes());
    header[16..20].copy_from_slice(&USUAL_SNAP_LENGTH.to_le_bytes());
    header[20..].copy_from_slice(&u32::from(link::number(link)).to_le_bytes());
    header
}
