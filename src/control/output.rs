//! What a client has still to be sent: bounded, because nobody writes to it once it is full.

use std::io::{self, Write};

use super::protocol::Line;

/// From how many bytes on it is full. One more line may have been begun.
const FULL: usize = 64 << 10;

/// Bytes on their way to a client.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing should be added before some of it has gone.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= FULL
    }

    /// Adds a line.
    pub(super) fn line(&mut self, line: &Line) {
        let before = self.bytes.len();
        // Numbers, names and addresses can always be written, and memory does not refuse.
        if serde_json::to_writer(&mut self.bytes, line).is_err() {
            self.bytes.truncate(before);
            return;
        }
        self.bytes.push(b'\n');
    }

    /// Sends as much as `to` takes now.
    pub(super) fn send(&mut self, to: &mut impl Write) -> io::Result<()> {
        while !self.is_empty() {
            match to.write(&self.bytes[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.bytes.drain(..self.sent);
                    self.sent = 0;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.sent = 0;
        Ok(())
    }
}
