//! Capture files and scenarios: where a replay's packets come from, and where the accepted ones go.
//!
//! [`Input`] tells which of the two a file is. [`scenario`] reads rows of text and makes their frames.
//! [`Capture`] reads pcap (micro- and nanosecond) and pcapng, of either byte order, from a file or a pipe, in
//! constant memory and without an allocation per packet. [`CaptureWriter`] writes nanosecond pcap.
//!
//! ```text
//!  file, pipe ─► Source ─► pcap │ pcapng ─► Capture ─► Batch of up to 32 Packets ─► engine
//!                buffer     decode one      number,                                   │
//!                           record          errors         file ◄─ CaptureWriter ◄────┘
//! ```
//!
//! Life cycle of a capture: [`Capture::open`] recognises the format (or says what the file is instead);
//! [`Capture::next_batch`] or [`Capture::next_packet`] are called until they return `None` or an error.
//! Packets lie in the reader's buffer and are valid until the next call. Everything that was whole before an
//! error has been yielded before the error is; after it there is nothing more.
//!
//! Who calls: `replay` and `cli`. One thread at a time; nothing here knows of connections.
//!
//! # Why the formats are decoded here
//!
//! The libraries were looked at first, and measured against what a replay promises:
//!
//! - `pcap-parser` 0.17 (nom) rejects power-of-two `if_tsresol`, reads `if_tsoffset` as little-endian in
//!   big-endian sections, does not know the obsolete Packet Block, allocates for every packet that has
//!   options, and reports a captured length that runs past its block as "incomplete", which cannot be told from
//!   a file that was cut. It is the oracle of the tests, for what it does cover.
//! - `pcap-file` 2.0 refuses every packet that its snap length has cut (`orig_len > snap_len`) and returns
//!   the same error for ever; it has no way to hold several packets at once.
//! - libpcap needs a C library and refuses captures whose interfaces differ in link type.
//!
//! What remains to be written is two fixed headers and one table of options.

mod capture;
mod error;
mod input;
mod link;
mod order;
mod pcap;
mod pcapng;
mod record;
pub mod scenario;
mod source;
mod writer;

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use capture::{Capture, Progress};
pub use error::{Compression, Damage, Error, ErrorKind, Place};
pub use input::Input;
pub use record::{BURST, Batch, Packet, Timestamp};
pub use source::FileIdentity;
pub use writer::CaptureWriter;
