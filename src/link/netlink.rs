//! Requests to the kernel and their answers: netlink's framing (linux/netlink.h).
//!
//! ```text
//!  message    │ length 4 │ type 2 │ flags 2 │ sequence 4 │ port 4 │ body … │ padding to 4
//!  body       │ the family's own header │ attribute │ attribute │ …
//!  attribute  │ length 2 │ type 2 │ value: a number, a text, more attributes │ padding to 4
//!
//!  request ─► answer … ─► DONE (of a dump) or ERROR (0 is an acknowledgement)
//! ```
//!
//! Numbers are in the machine's own order. Written here rather than taken from a crate: of the hundreds of
//! attributes that rtnetlink and ethtool have, `run` needs a dozen. Laboratories, which make interfaces,
//! addresses and routes, take the bodies of their messages from crates and send them by the same [`Connection`].

use std::io;

use netlink_sys::{Socket, SocketAddr};

/// The length of a message's header.
const HEADER: usize = 16;
/// Types that every family has.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Types below this are netlink's own.
const FIRST_OF_FAMILY: u16 = 16;

/// Flags of requests and answers.
const REQUEST: u16 = 0x01;
const ACK: u16 = 0x04;
const DUMP_INTERRUPTED: u16 = 0x10;
const DUMP: u16 = 0x300;

/// Marks an attribute that is made of attributes.
const NESTED: u16 = 0x8000;

/// How often a dump is tried again that a change has cut through.
const MOST_DUMPS: usize = 16;

/// A message, its header taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// What it is.
    pub(crate) kind: u16,
    /// Flags.
    flags: u16,
    /// Which request it answers.
    sequence: u32,
    /// What it says.
    pub(crate) body: Vec<u8>,
}

/// A socket to one of netlink's families, in the network namespace of the thread that opens it.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    sequence: u32,
}

impl Connection {
    /// Opens one.
    pub(crate) fn open(protocol: isize) -> io::Result<Connection> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Connection { socket, sequence: 0 })
    }

    /// Sends a request and returns what the kernel answers until it acknowledges.
    ///
    /// # Errors
    ///
    /// The error number of the kernel's answer.
    pub(super) fn request(&mut self, kind: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        self.change(kind, 0, body)
    }

    /// As [`Connection::request`], with flags that say how something is to be made: only if it is new, or in
    /// place of what is there.
    pub(crate) fn change(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        self.send(kind, REQUEST | ACK | flags, body)?;
        Ok(self.answers()?.0)
    }

    /// Sends a request for everything there is and returns it.
    ///
    /// # Errors
    ///
    /// As [`Connection::request`]; `ResourceBusy` if there is no end of changes in between.
    pub(crate) fn dump(&mut self, kind: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        for _ in 0..MOST_DUMPS {
            self.send(kind, REQUEST | DUMP, body)?;
            if let (messages, true) = self.answers()? {
                return Ok(messages);
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(body);
        self.socket.send(&message, 0)?;
        Ok(())
    }

    /// The answers to the last request, and whether they belong to one moment.
    fn answers(&self) -> io::Result<(Vec<Message>, bool)> {
        let mut answers = Vec::new();
        let mut is_whole = true;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            for message in messages(&bytes).filter(|message| message.sequence == self.sequence) {
                is_whole &= message.flags & DUMP_INTERRUPTED == 0;
                match message.kind {
                    // A dump that failed midway says so at its end.
                    DONE | ERROR => return error_of(&message.body).map(|()| (answers, is_whole)),
                    kind if kind < FIRST_OF_FAMILY => {}
                    _ => answers.push(message),
                }
            }
        }
    }
}

/// What an error message or the end of a dump says: 0 is success, anything else a negative error number.
fn error_of(body: &[u8]) -> io::Result<()> {
    match body.first_chunk().map(|number| i32::from_ne_bytes(*number)) {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The messages in what a socket received; one that is cut off ends them.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message> {
    std::iter::from_fn(move || {
        let (header, _) = bytes.split_first_chunk::<HEADER>()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let body = bytes.get(HEADER..length)?.to_vec();
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            body,
        })
    })
}

/// The attributes in a body from `offset` on, by type; one that is cut off ends them.
pub(super) fn attributes(body: &[u8], offset: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut bytes = body.get(offset..).unwrap_or(&[]);
    std::iter::from_fn(move || {
        let [l0, l1, k0, k1] = *bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        // The two highest bits are flags: nested, and in network order.
        Some((u16::from_ne_bytes([k0, k1]) & 0x3fff, value))
    })
}

/// The first attribute of a type.
pub(super) fn attribute(body: &[u8], offset: usize, kind: u16) -> Option<&[u8]> {
    attributes(body, offset).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A number of 32 bits.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// A text, which ends with a zero byte or with the attribute.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// Appends an attribute made of attributes.
pub(super) fn push_nested(body: &mut Vec<u8>, kind: u16, attributes: &[u8]) {
    push(body, kind | NESTED, attributes);
}

/// Appends an attribute.
pub(super) fn push(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, length: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn messages_are_padded_to_four_bytes_but_for_the_last() {
        let bytes = [message(16, 17, &[1, 0, 0, 0]), message(17, 18, &[2, 3])].concat();
        let bodies: Vec<Vec<u8>> = messages(&bytes).map(|message| message.body).collect();
        assert_eq!(bodies, [vec![1], vec![2, 3]]);
    }

    #[test]
    fn a_length_that_lies_ends_them() {
        for length in [0, 15, 21, u32::MAX] {
            assert_eq!(messages(&message(16, length, &[0; 4])).count(), 0, "{length}");
        }
    }

    #[test]
    fn an_error_is_the_kernels_number_negated() {
        assert!(error_of(&0_i32.to_ne_bytes()).is_ok());
        let error = error_of(&(-libc::ENODEV).to_ne_bytes()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn attributes_read_as_they_were_written() {
        let mut body = vec![9; 4];
        push(&mut body, 3, b"la-a\0");
        push(&mut body, 0x8004, &7_u32.to_ne_bytes());
        let read: Vec<(u16, Vec<u8>)> =
            attributes(&body, 4).map(|(kind, value)| (kind, value.to_vec())).collect();
        assert_eq!(read, [(3, b"la-a\0".to_vec()), (4, vec![7, 0, 0, 0])]);
        assert_eq!(attribute(&body, 4, 3).map(text).as_deref(), Some("la-a"));
        assert_eq!(attribute(&body, 4, 4).and_then(number), Some(7));
        assert_eq!(attributes(&body[..body.len() - 1], 4).count(), 1);
    }
}
