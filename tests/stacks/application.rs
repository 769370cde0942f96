//! An application: works through its script, reads, and holds what it reads against what was sent.

use crate::endpoint::Endpoint;
use crate::plan::{Script, Step};

/// One side's application.
pub(crate) struct Application {
    script: Script,
    step: usize,
    /// When the present pause is over.
    until: Option<u64>,
    /// What is left of the present step to send.
    unsent: Option<u64>,
    started: u64,
    /// What makes this side's bytes different from the other's.
    salt: u64,
    pub(crate) has_closed: bool,
}

impl Application {
    pub(crate) fn new(script: Script, salt: u64, started: u64) -> Application {
        Application { script, step: 0, until: None, unsent: None, started, salt, has_closed: false }
    }

    /// Reads and writes what can be at `now`. Returns when it wants to act again without being woken; `Err` where
    /// a byte was not what the side with `peer_salt` has sent.
    pub(crate) fn act(
        &mut self,
        endpoint: &mut Endpoint,
        peer_salt: u64,
        now: u64,
    ) -> Result<Option<u64>, String> {
        if !endpoint.is_open() && endpoint.unread() == 0 {
            return Ok(None);
        }
        // Once the other side is done, nothing is gained by reading slowly.
        let most = if endpoint.fin_received { u64::MAX } else { self.script.read };
        let at = endpoint.received;
        let bytes = endpoint.receive(usize::try_from(most).unwrap_or(usize::MAX));
        for (byte, offset) in bytes.iter().zip(at..) {
            if *byte != pattern(peer_salt, offset) {
                return Err(format!("byte {offset} of the stream is not the one that was sent"));
            }
        }
        let unread = (endpoint.unread() > 0).then(|| now + self.script.interval);
        let next = self.work(endpoint, now);
        Ok(match (unread, next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        })
    }

    /// Steps until one has to wait; returns until when, if that is known.
    fn work(&mut self, endpoint: &mut Endpoint, now: u64) -> Option<u64> {
        while endpoint.is_open() {
            let step = *self.script.steps.get(self.step)?;
            match step {
                Step::Pause(span) => {
                    let until = *self.until.get_or_insert(now + span);
                    if now < until {
                        return Some(until);
                    }
                    self.until = None;
                }
                Step::Until(at) => {
                    if now < self.started + at {
                        return Some(self.started + at);
                    }
                }
                Step::Send(count) => {
                    let left = self.unsent.get_or_insert(count);
                    let size = (*left).min(endpoint.room() as u64);
                    let at = endpoint.sent();
                    let bytes: Vec<u8> = (at..at + size).map(|offset| pattern(self.salt, offset)).collect();
                    *left -= endpoint.send(&bytes) as u64;
                    if *left > 0 {
                        return None;
                    }
                    self.unsent = None;
                }
                Step::AwaitEnd => {
                    if !endpoint.fin_received || endpoint.unread() > 0 {
                        return None;
                    }
                }
                Step::Close => {
                    endpoint.close();
                    self.has_closed = true;
                }
            }
            self.step += 1;
        }
        None
    }

    /// How often it reads.
    pub(crate) fn interval(&self) -> u64 {
        self.script.interval
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.step >= self.script.steps.len()
    }
}

/// The byte at `offset` of the stream of the side with `salt`.
fn pattern(salt: u64, offset: u64) -> u8 {
    let mixed = (offset ^ salt.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}
