//! The bytes of a capture: one buffer between the file and the decoders.
//!
//! ```text
//!  buffer  ░░ consumed ░░│▓▓▓▓ available ▓▓▓▓│      free      │
//!                      start                end             len
//! ```
//!
//! Consuming moves `start` and leaves the bytes where they are, so the packets of a batch stay valid; only
//! [`Source::more`] moves or overwrites them.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;

/// The buffer at first: some thousand packets, and small enough for a core's own cache.
const BUFFER: usize = 256 << 10;

/// Which file this is, whatever names it has: its device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(super) fn of(metadata: &Metadata) -> FileIdentity {
        FileIdentity { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A buffered reader that keeps what was consumed until it is asked for more.
pub(super) struct Source {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The offset in the file of `buffer[start]`.
    offset: u64,
}

impl Source {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Source {
        Source { reader, buffer: vec![0; BUFFER], start: 0, end: 0, offset: 0 }
    }

    /// Opens a file and says how long it is, if it is a regular one, and which.
    ///
    /// # Errors
    /// What the system says; `IsADirectory` for a directory, which could be opened but not read.
    pub(super) fn open(path: &std::path::Path) -> io::Result<(Source, Option<u64>, FileIdentity)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        let length = metadata.is_file().then_some(metadata.len());
        Ok((Source::new(Box::new(file)), length, FileIdentity::of(&metadata)))
    }

    /// The bytes that were read and not consumed.
    #[inline]
    pub(super) fn available(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The whole buffer; positions in it hold until [`Source::more`].
    pub(super) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Where in the buffer the available bytes begin.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.start
    }

    /// The offset in the file of the first available byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Consumes `count` bytes, or as many as are available; returns how many.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) -> usize {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.offset += count as u64;
        count
    }

    /// Reads at least one byte more; `false` at the end. Invalidates every position in the buffer.
    ///
    /// The buffer only grows when it is full of one unfinished record, and then to twice what has really
    /// been read: a stated length by itself never allocates.
    pub(super) fn more(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFER, Source};
    use std::io::Cursor;

    #[test]
    fn the_buffer_grows_with_what_was_read_and_not_with_what_is_awaited() {
        let mut short = Source::new(Box::new(Cursor::new(vec![0; 100])));
        while short.more().unwrap() {}
        assert_eq!((short.available().len(), short.buffer().len()), (100, BUFFER));
        let mut long = Source::new(Box::new(Cursor::new(vec![0; 3 * BUFFER])));
        while long.more().unwrap() {}
        assert_eq!((long.available().len(), long.buffer().len()), (3 * BUFFER, 4 * BUFFER));
    }

    #[test]
    fn a_stream_that_is_consumed_is_read_in_constant_memory() {
        let mut source = Source::new(Box::new(Cursor::new(vec![0; 10 * BUFFER])));
        while source.more().unwrap() {
            // An unfinished record stays behind each time.
            source.consume(source.available().len() - 60);
        }
        assert_eq!((source.offset(), source.buffer().len()), (10 * BUFFER as u64 - 60, BUFFER));
    }
}
