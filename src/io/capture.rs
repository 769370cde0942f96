//! The reader: recognises the format, walks the records, numbers the packets, says where it went wrong.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, Read};
use std::path::Path;

use super::error::{Compression, Error, ErrorKind, Place};
use super::pcap::{self, Pcap};
use super::pcapng::{self, Pcapng, Wrong};
use super::record::{Awaited, BURST, Batch, Packet, Record, Step};
use super::source::{FileIdentity, Source};

/// How far a capture has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the records that have been yielded or skipped, headers included.
    pub consumed: u64,
    /// The file's length when it was opened; `None` for a pipe.
    pub total: Option<u64>,
}

/// A capture file that is being read. See the [module](super) for its life cycle.
pub struct Capture {
    name: Box<str>,
    source: Source,
    total: Option<u64>,
    identity: Option<FileIdentity>,
    format: Format,
    /// How many packets have been yielded.
    packets: u64,
    /// How many bytes remain to be skipped before the next step.
    skip: u64,
    /// Where the block began that is being skipped.
    skipped_from: Option<u64>,
    /// The packets of the present batch, as positions in the source's buffer.
    records: [Record; BURST],
    /// The end or an error has been told.
    ended: bool,
}

#[derive(Debug)]
enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What one look at the source brought.
enum Found {
    Record(Record),
    /// It was skipped, or not whole yet and more has been read: look again.
    Again,
    /// It takes more bytes, which would move those of the batch.
    NeedsMore,
    End,
}

/// A file or pipe that was opened, before its format is known.
pub(super) struct Opened {
    /// What errors call it.
    pub(super) name: Box<str>,
    pub(super) source: Source,
    /// Its length, of a regular file.
    pub(super) total: Option<u64>,
    pub(super) identity: Option<FileIdentity>,
}

impl Opened {
    /// Opens the file at `path`, `-` for standard input.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(path: &Path) -> Result<Opened, Error> {
        if path == Path::new("-") {
            let source = Source::new(Box::new(io::stdin()));
            return Ok(Opened { name: "standard input".into(), source, total: None, identity: None });
        }
        let name = path.to_string_lossy();
        let (source, total, identity) =
            Source::open(path).map_err(|error| Error::new(&name, ErrorKind::Open(error)))?;
        Ok(Opened { name: name.into(), source, total, identity: Some(identity) })
    }
}

impl Capture {
    /// Opens the capture at `path`, `-` for standard input, and reads as much as tells the format.
    ///
    /// # Errors
    /// It cannot be opened or read, is empty, no capture, compressed, of another format or version, or of a
    /// link type that the engine cannot parse (in pcapng that shows with the first packet of the interface).
    pub fn open(path: impl AsRef<Path>) -> Result<Capture, Error> {
        Capture::start(Opened::open(path.as_ref())?)
    }

    /// Reads a capture from anything that yields bytes; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Capture::open`].
    pub fn from_reader(name: &str, reader: impl Read + Send + 'static) -> Result<Capture, Error> {
        let source = Source::new(Box::new(reader));
        Capture::start(Opened { name: name.into(), source, total: None, identity: None })
    }

    pub(super) fn start(opened: Opened) -> Result<Capture, Error> {
        let Opened { name, mut source, total, identity } = opened;
        let format = recognise(&mut source).map_err(|kind| Error::new(&name, kind))?;
        Ok(Capture {
            name,
            source,
            total,
            identity,
            format,
            packets: 0,
            skip: 0,
            skipped_from: None,
            records: [Record::EMPTY; BURST],
            ended: false,
        })
    }

    /// The next packet, or `None` at the end.
    ///
    /// # Errors
    /// The file is cut off or damaged, cannot be read, or comes to a packet of an unsupported link type. An
    /// error is the last item: after it comes `None`.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, Error> {
        Ok(self.gather(1)?.and_then(|batch| batch.get(0)))
    }

    /// The next packets, up to [`BURST`] of them and at least one, or `None` at the end.
    ///
    /// It never waits for a pipe while it has a packet to yield, and so may yield fewer than there are.
    ///
    /// # Errors
    /// As [`Capture::next_packet`]; every packet before the error has been in a batch before.
    #[inline]
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, Error> {
        self.gather(BURST)
    }

    /// How far it has been read, for a progress bar.
    pub fn progress(&self) -> Progress {
        Progress { consumed: self.source.offset(), total: self.total }
    }

    /// Which file it is, so that it is not overwritten; `None` for standard input.
    pub fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }

    /// What errors call it: the path, or `standard input`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn gather(&mut self, most: usize) -> Result<Option<Batch<'_>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let first = self.packets + 1;
        let mut count = 0;
        while count < most {
            match self.find(count == 0) {
                Ok(Found::Record(record)) => {
                    self.records[count] = record;
                    self.packets += 1;
                    count += 1;
                }
                Ok(Found::Again) => {}
                Ok(Found::NeedsMore) => break,
                Ok(Found::End) => {
                    self.ended = true;
                    return Ok(None);
                }
                Err(kind) if count == 0 => {
                    self.ended = true;
                    return Err(Error::new(&self.name, kind));
                }
                // After the packets before it: nothing was consumed, the next call meets it again.
                Err(_) => break,
            }
        }
        Ok(Some(Batch::new(self.source.buffer(), &self.records[..count], first)))
    }

    /// Looks at the next record. Only where `may_read` is set, nothing points into the buffer yet.
    #[inline]
    fn find(&mut self, may_read: bool) -> Result<Found, ErrorKind> {
        if self.skip > 0 {
            return self.skip_on(may_read);
        }
        let number = self.packets + 1;
        let step = match &mut self.format {
            Format::Pcap(pcap) => pcap.step(self.source.available()).map_err(Wrong::Damage),
            Format::Pcapng(pcapng) => pcapng.step(self.source.available(), number),
        };
        match step {
            Ok(Step::Packet { mut record, length }) => {
                record.start += self.source.position();
                self.source.consume(length);
                Ok(Found::Record(record))
            }
            Ok(Step::Skip { length, ends }) => {
                self.skip = length;
                self.skipped_from = (!ends).then_some(self.source.offset());
                Ok(Found::Again)
            }
            Ok(Step::Short { needed, what }) => self.read_on(may_read, needed, what),
            Err(Wrong::Damage(damage)) => {
                let what = self.format.waits_for(self.source.available());
                Err(ErrorKind::Damaged { place: self.place(what), damage })
            }
            Err(Wrong::Unsupported(kind)) => Err(kind),
        }
    }

    #[cold]
    fn skip_on(&mut self, may_read: bool) -> Result<Found, ErrorKind> {
        let count = usize::try_from(self.skip).unwrap_or(usize::MAX);
        self.skip -= self.source.consume(count) as u64;
        if self.skip == 0 {
            return Ok(Found::Again);
        }
        self.read_on(may_read, usize::try_from(self.skip).unwrap_or(usize::MAX), Awaited::Block)
    }

    #[cold]
    fn read_on(&mut self, may_read: bool, needed: usize, what: Awaited) -> Result<Found, ErrorKind> {
        if !may_read {
            return Ok(Found::NeedsMore);
        }
        if read_more(&mut self.source)? {
            return Ok(Found::Again);
        }
        let mut present = self.source.available().len() as u64;
        let mut needed = needed as u64;
        if let Some(from) = self.skipped_from {
            let skipped = self.source.offset() - from;
            present += skipped;
            needed += skipped;
        } else if present == 0 {
            return Ok(Found::End);
        }
        Err(ErrorKind::Truncated { place: self.place(what), needed, present })
    }

    fn place(&self, what: Awaited) -> Place {
        let offset = self.skipped_from.unwrap_or(self.source.offset());
        match what {
            Awaited::Packet => Place::Packet { number: self.packets + 1, offset },
            Awaited::Block => Place::Block { packets_before: self.packets, offset },
        }
    }
}

impl Debug for Capture {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("name", &self.name)
            .field("format", &self.format)
            .field("packets", &self.packets)
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

impl Format {
    /// What the record that `bytes` begins with is, for a message.
    fn waits_for(&self, bytes: &[u8]) -> Awaited {
        match self {
            Format::Pcap(_) => Awaited::Packet,
            Format::Pcapng(pcapng) => pcapng.waits_for(bytes),
        }
    }
}

/// Reads more bytes; `false` at the end.
pub(super) fn read_more(source: &mut Source) -> Result<bool, ErrorKind> {
    let end = source.offset() + source.available().len() as u64;
    source.more().map_err(|error| ErrorKind::Read { offset: end, error })
}

/// Waits until `count` bytes are available or the file ends; whether they are.
pub(super) fn await_bytes(source: &mut Source, count: usize) -> Result<bool, ErrorKind> {
    while source.available().len() < count {
        if !read_more(source)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tells the format by the first bytes, and consumes the header of a pcap file.
fn recognise(source: &mut Source) -> Result<Format, ErrorKind> {
    await_bytes(source, 4)?;
    if let Some(&magic) = source.available().first_chunk::<4>() {
        if u32::from_le_bytes(magic) == pcapng::SECTION_HEADER {
            return Ok(Format::Pcapng(Pcapng::new()));
        }
        if let Some((order, unit)) = pcap::recognise(magic) {
            await_bytes(source, pcap::HEADER)?;
            let Some(header) = source.available().first_chunk() else {
                let (needed, present) = (pcap::HEADER as u64, source.available().len() as u64);
                return Err(ErrorKind::Truncated { place: Place::FileHeader, needed, present });
            };
            let pcap = Pcap::new(order, unit, header)?;
            source.consume(pcap::HEADER);
            return Ok(Format::Pcap(pcap));
        }
    }
    await_bytes(source, 8)?;
    Err(recognise_other(source.available()))
}

/// What a file is that is no capture which can be read.
fn recognise_other(bytes: &[u8]) -> ErrorKind {
    const COMPRESSED: [(&[u8], Compression); 5] = [
        (&[0x1f, 0x8b], Compression::Gzip),
        (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstandard),
        (&[0xfd, b'7', b'z', b'X', b'Z'], Compression::Xz),
        (b"BZh", Compression::Bzip2),
        (&[0x04, 0x22, 0x4d, 0x18], Compression::Lz4),
    ];
    const OTHER: [(&[u8], &str); 9] = [
        (b"snoop\0\0\0", "snoop"),
        (b"GMBU", "Network Monitor"),
        (b"RTSS", "Network Monitor 1"),
        // Patched versions of libpcap with longer packet headers, never registered.
        (&[0x34, 0xcd, 0xb2, 0xa1], "modified pcap (magic 0xa1b2cd34)"),
        (&[0xa1, 0xb2, 0xcd, 0x34], "modified pcap (magic 0xa1b2cd34)"),
        (&[0xcd, 0x34, 0xb2, 0xa1], "modified pcap (magic 0xa1b234cd)"),
        (&[0xa1, 0xb2, 0x34, 0xcd], "modified pcap (magic 0xa1b234cd)"),
        (&[0x4d, 0x3c, 0x2b, 0xa1], "modified pcap (magic 0xa12b3c4d)"),
        (&[0xa1, 0x2b, 0x3c, 0x4d], "modified pcap (magic 0xa12b3c4d)"),
    ];
    if bytes.is_empty() {
        return ErrorKind::Empty;
    }
    if let Some((_, compression)) = COMPRESSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return ErrorKind::Compressed(*compression);
    }
    if let Some((_, name)) = OTHER.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return ErrorKind::OtherFormat { name };
    }
    let mut first = [0; 8];
    let length = bytes.len().min(first.len());
    first[..length].copy_from_slice(&bytes[..length]);
    ErrorKind::NotACapture { first, length }
}
