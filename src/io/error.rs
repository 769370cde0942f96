//! What can go wrong with a capture file, each in one line that names the file and the place.

use std::fmt::{self, Display, Formatter};
use std::io;

use super::link;
use super::scenario::{self, Problem};
use crate::wire::Link;

/// An error about one capture file. Its `Display` is one line that begins with the file's name.
#[derive(Debug)]
pub struct Error {
    file: Box<str>,
    kind: Box<ErrorKind>,
}

impl Error {
    pub(super) fn new(file: &str, kind: ErrorKind) -> Error {
        Error { file: file.into(), kind: Box::new(kind) }
    }

    /// The file as it was named on the command line, or `standard input`.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A place in a text is written as compilers do, so that editors find it: file:line:column.
        let space = if matches!(*self.kind, ErrorKind::Scenario(_)) { "" } else { " " };
        write!(f, "{}:{space}{}", self.file, self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.kind {
            ErrorKind::Open(error)
            | ErrorKind::Read { error, .. }
            | ErrorKind::Create(error)
            | ErrorKind::Write(error) => Some(error),
            ErrorKind::Empty
            | ErrorKind::NotACapture { .. }
            | ErrorKind::Compressed(_)
            | ErrorKind::OtherFormat { .. }
            | ErrorKind::Version { .. }
            | ErrorKind::UnknownLink { .. }
            | ErrorKind::Truncated { .. }
            | ErrorKind::Damaged { .. }
            | ErrorKind::SameFile
            | ErrorKind::OtherLink { .. }
            | ErrorKind::TimeOutOfRange { .. }
            | ErrorKind::Scenario(_)
            | ErrorKind::LongScenario => None,
        }
    }
}

/// What went wrong. Offsets are bytes from the beginning of the file, numbers of packets count from 1.
#[derive(Debug)]
pub enum ErrorKind {
    /// It cannot be opened: it does not exist, may not be read, is a directory.
    Open(io::Error),
    /// Reading failed.
    Read {
        /// Where.
        offset: u64,
        /// What the system said.
        error: io::Error,
    },
    /// There is not one byte in it.
    Empty,
    /// It begins like no capture.
    NotACapture {
        /// The first bytes.
        first: [u8; 8],
        /// How many of `first` there were.
        length: usize,
    },
    /// It is compressed.
    Compressed(Compression),
    /// It is a capture of a format that is not read.
    OtherFormat {
        /// The format's name.
        name: &'static str,
    },
    /// A version of a known format that is not read.
    Version {
        /// The format's name.
        format: &'static str,
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },
    /// A link type that the engine cannot parse.
    UnknownLink {
        /// Its number.
        number: u16,
        /// The pcapng interface that has it.
        interface: Option<u32>,
        /// The packet that came from this interface.
        packet: Option<u64>,
    },
    /// The file ends in the middle of something.
    Truncated {
        /// What was begun.
        place: Place,
        /// How many bytes it takes, at least.
        needed: u64,
        /// How many are there.
        present: u64,
    },
    /// The file contradicts itself.
    Damaged {
        /// Where.
        place: Place,
        /// How.
        damage: Damage,
    },
    /// The output cannot be created.
    Create(io::Error),
    /// The output cannot be written.
    Write(io::Error),
    /// The output is the file that is being read.
    SameFile,
    /// A packet whose link differs from that of the file that is being written.
    OtherLink {
        /// The file's.
        file: Link,
        /// The packet's.
        packet: Link,
    },
    /// A scenario that is not well-formed.
    Scenario(Problem),
    /// More bytes than any scenario has.
    LongScenario,
    /// A packet's time, in seconds since the Unix epoch, that pcap cannot state (before 1970, after 2106).
    TimeOutOfRange {
        /// The time in seconds.
        seconds: i128,
    },
}

/// A place in a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The header that a pcap file begins with.
    FileHeader,
    /// A packet's record.
    Packet {
        /// The packet's number.
        number: u64,
        /// Where the record begins.
        offset: u64,
    },
    /// A pcapng block that carries no packet.
    Block {
        /// How many packets came before it.
        packets_before: u64,
        /// Where the block begins.
        offset: u64,
    },
}

/// How a capture contradicts itself. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A packet longer than any can be.
    CapturedLength {
        /// What is stated.
        length: u32,
        /// The most that is believed.
        limit: u32,
    },
    /// A packet longer than the block it is in.
    CapturedPastBlock {
        /// What is stated.
        length: u32,
        /// What the block has room for.
        room: u32,
    },
    /// A block length that is too short for its block, too long, or no multiple of 4.
    BlockLength {
        /// What is stated.
        length: u32,
    },
    /// The two lengths of a block differ.
    TrailingLength {
        /// The first.
        leading: u32,
        /// The last.
        trailing: u32,
    },
    /// A section whose byte order cannot be told.
    ByteOrder {
        /// What stands in its place.
        found: u32,
    },
    /// A packet of an interface that was not described.
    NoInterface {
        /// Its number.
        number: u32,
        /// How many were described.
        described: u32,
    },
    /// More interfaces than are kept.
    TooManyInterfaces {
        /// The limit.
        limit: u32,
    },
    /// An interface option with an impossible length.
    Option {
        /// Its code; 0 where not even that could be read.
        code: u16,
    },
}

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstandard,
    /// The format of the xz tools.
    Xz,
    /// The format of bzip2.
    Bzip2,
    /// The frame format of LZ4.
    Lz4,
}

impl Compression {
    /// The format's name, and the tool that writes the plain file to a pipe.
    fn name_and_tool(self) -> (&'static str, &'static str) {
        match self {
            Compression::Gzip => ("gzip", "zcat"),
            Compression::Zstandard => ("zstd", "zstdcat"),
            Compression::Xz => ("xz", "xzcat"),
            Compression::Bzip2 => ("bzip2", "bzcat"),
            Compression::Lz4 => ("lz4", "lz4cat"),
        }
    }
}

impl Display for ErrorKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Open(error) => fmt_open(f, error),
            ErrorKind::Read { offset, error } => write!(f, "cannot be read at byte {offset}: {error}"),
            ErrorKind::Empty => write!(f, "is empty, not even a pcap header is there"),
            ErrorKind::NotACapture { first, length } => {
                write!(f, "is neither pcap nor pcapng: it begins with")?;
                first.iter().take(*length).try_for_each(|byte| write!(f, " {byte:02x}"))
            }
            ErrorKind::Compressed(compression) => {
                let (name, tool) = compression.name_and_tool();
                write!(f, "is compressed ({name}): pipe it through {tool} and read \"-\"")
            }
            ErrorKind::OtherFormat { name } => {
                write!(f, "is a {name} capture: convert it to pcap or pcapng first")
            }
            ErrorKind::Version { format, major, minor } => {
                let readable = if *format == "pcap" { "2.3 and 2.4" } else { "1.x" };
                write!(f, "is {format} version {major}.{minor}, only {readable} can be read")
            }
            ErrorKind::UnknownLink { number, interface, packet } => {
                if let Some(packet) = packet {
                    write!(f, "packet {packet}: ")?;
                }
                if let Some(interface) = interface {
                    write!(f, "interface {interface} has ")?;
                }
                write!(f, "link type {number}, which is not supported; supported: {}", link::SUPPORTED)
            }
            ErrorKind::Truncated { place, needed, present } => {
                write!(f, "{place} is cut off: the file ends after {present} of at least {needed} bytes")
            }
            ErrorKind::Damaged { place, damage } => write!(f, "{place} is damaged: {damage}"),
            ErrorKind::Create(error) => write!(f, "cannot be created: {error}"),
            ErrorKind::Write(error) => write!(f, "cannot be written: {error}"),
            ErrorKind::SameFile => write!(f, "is the capture that is being read, choose another output file"),
            ErrorKind::OtherLink { file, packet } => {
                let (file, packet) = (link::name(*file), link::name(*packet));
                write!(f, "holds {file} packets, a {packet} packet cannot be added: pcap has one link type")
            }
            ErrorKind::Scenario(problem) => write!(f, "{problem}"),
            ErrorKind::LongScenario => {
                write!(f, "begins as a scenario, and none is longer than {} bytes", scenario::MOST_BYTES)
            }
            ErrorKind::TimeOutOfRange { seconds } => {
                write!(f, "pcap has no packet time {seconds} seconds from 1970, only from 1970 to 2106")
            }
        }
    }
}

fn fmt_open(f: &mut Formatter<'_>, error: &io::Error) -> fmt::Result {
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        write!(f, "no such file")
    } else if kind == io::ErrorKind::PermissionDenied {
        write!(f, "no permission to read it")
    } else if kind == io::ErrorKind::IsADirectory {
        write!(f, "is a directory, not a capture file")
    } else {
        write!(f, "cannot be opened: {error}")
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Place::FileHeader => write!(f, "the file's header"),
            Place::Packet { number, offset } => write!(f, "packet {number} at byte {offset}"),
            Place::Block { packets_before, offset } => {
                write!(f, "the block at byte {offset}, after packet {packets_before},")
            }
        }
    }
}

impl Display for Damage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Damage::CapturedLength { length, limit } => {
                write!(f, "a captured length of {length} bytes, where at most {limit} are possible")
            }
            Damage::CapturedPastBlock { length, room } => {
                write!(f, "a captured length of {length} bytes in a block with room for {room}")
            }
            Damage::BlockLength { length } => write!(f, "an impossible block length of {length}"),
            Damage::TrailingLength { leading, trailing } => {
                write!(f, "its block length is {leading} at the beginning and {trailing} at the end")
            }
            Damage::ByteOrder { found } => write!(f, "no byte order can be told from {found:#010x}"),
            Damage::NoInterface { number, described } => {
                write!(f, "it belongs to interface {number}, but {described} have been described")
            }
            Damage::TooManyInterfaces { limit } => write!(f, "more than {limit} interfaces"),
            Damage::Option { code } => write!(f, "option {code} of an interface has an impossible length"),
        }
    }
}
