//! Reassembly against a model that keeps every byte and compares everything with everything.

use super::{Fault, KEYS, Lab, Piece, Policy, Seen, payload, protocol};
use crate::fragments::Reassembly;
use crate::time::{Span, Tick};

const TIMEOUT: u64 = 1_000;

/// A piece as the model remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    offset: usize,
    bytes: Vec<u8>,
    more: bool,
}

impl Sent {
    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

#[derive(Debug, Clone)]
struct Datagram {
    id: u32,
    begun: u64,
    pieces: Vec<(u64, Sent)>,
    /// A later piece found its time up.
    is_over: bool,
}

/// What reassembly should do, written as the contract says it.
struct Model {
    max: usize,
    held: Vec<Datagram>,
    marks: Vec<(u32, u64, Fault)>,
}

/// Whether pieces (no two of them equal) could all be of one datagram.
fn agree(pieces: &[&Sent]) -> bool {
    let last = pieces.iter().find(|piece| !piece.more).map(|piece| piece.end());
    pieces.iter().enumerate().all(|(index, one)| {
        let apart = |other: &&&Sent| other.offset >= one.end() || one.offset >= other.end();
        let fits = match (one.more, last) {
            (true, Some(last)) => one.end() < last,
            (false, Some(last)) => one.end() == last,
            (_, None) => true,
        };
        fits && (!one.more || one.bytes.len() % 8 == 0) && pieces[..index].iter().all(|other| apart(&other))
    })
}

impl Model {
    fn send(&mut self, id: u32, token: u64, sent: Sent, now: u64) -> Seen {
        self.marks.retain(|&(marked, begun, _)| marked != id || now < begun + TIMEOUT);
        for datagram in &mut self.held {
            datagram.is_over |= datagram.id == id && now >= datagram.begun + TIMEOUT;
        }
        if let Some(&(_, _, fault)) = self.marks.iter().find(|mark| mark.0 == id) {
            return Seen::Refused(fault, vec![token]);
        }
        let full = self.held.iter().map(|datagram| datagram.pieces.len()).sum::<usize>() == self.max;
        let found = self.held.iter().position(|datagram| datagram.id == id && !datagram.is_over);
        let mut datagram = match found {
            Some(index) => self.held.remove(index),
            None => Datagram { id, begun: now, pieces: Vec::new(), is_over: false },
        };
        datagram.pieces.push((token, sent));
        let mut different: Vec<&Sent> = Vec::new();
        for (_, piece) in &datagram.pieces {
            if !different.contains(&piece) {
                different.push(piece);
            }
        }
        let tokens = datagram.pieces.iter().map(|piece| piece.0).collect::<Vec<_>>();
        let fault = match (found, agree(&different), full) {
            // Where not even a datagram can be begun, its pieces are not compared.
            (None, _, true) | (Some(_), true, true) => Some(Fault::Limit),
            (_, false, _) => Some(Fault::Overlap),
            (_, true, false) => None,
        };
        if let Some(fault) = fault {
            if self.marks.len() == self.max {
                self.marks.remove(0);
            }
            self.marks.push((id, datagram.begun, fault));
            return Seen::Refused(fault, tokens);
        }
        let mut sorted = different.clone();
        sorted.sort_by_key(|piece| piece.offset);
        let bytes: Vec<u8> = sorted.iter().flat_map(|piece| piece.bytes.clone()).collect();
        if different.iter().any(|piece| !piece.more && piece.end() == bytes.len()) {
            let all = datagram.pieces.iter().map(|piece| piece.1.bytes.len()).sum();
            return Seen::whole(&bytes, all, &tokens);
        }
        self.held.insert(found.unwrap_or(self.held.len()), datagram);
        Seen::Waiting
    }

    /// The tokens that expire at `now`, at most `budget` of them.
    fn expire(&mut self, now: u64, mut budget: usize) -> Vec<u64> {
        let mut due = Vec::new();
        while let Some(first) = self.held.first_mut().filter(|first| now >= first.begun + TIMEOUT) {
            first.is_over = true;
            let count = budget.min(first.pieces.len());
            due.extend(first.pieces.drain(..count).map(|piece| piece.0));
            budget -= count;
            if !first.pieces.is_empty() {
                return due;
            }
            self.held.remove(0);
        }
        while budget > 0 && self.marks.first().is_some_and(|mark| now >= mark.1 + TIMEOUT) {
            self.marks.remove(0);
            budget -= 1;
        }
        due
    }
}

/// How often each verdict came, so that no test passes for want of something.
#[derive(Debug, Default)]
struct Tally {
    complete: u32,
    overlap: u32,
    limit: u32,
    expired: u32,
}

fn compare(seed: u64, steps: usize, tally: &mut Tally) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (max, ids) = ([4, 12, 40][seed as usize % 3], [2, 5, 20][seed as usize / 3 % 3]);
    let timeout = Span::from_milliseconds(TIMEOUT as u32);
    let mut lab = Lab::holding(0);
    lab.reassembly = Reassembly::new(Policy { max, timeout }, KEYS);
    let mut model = Model { max: max as usize, held: Vec::new(), marks: Vec::new() };
    // Each datagram's true payload, past the head in half of the runs.
    let unit = if seed.is_multiple_of(2) { 8 } else { 240 };
    let payload = payload(4 * unit + 3);
    let start = (1_u64 << 32) - 20_000;
    let mut now = start;
    for token in 1..=steps as u64 {
        let id = random.u32(..ids);
        let first = random.usize(..5);
        let (mut offset, mut end) = (first * unit, ((first + 1) * unit).min(payload.len()));
        // Mostly the true pieces; sometimes others, misplaced or with another byte in them.
        match random.usize(..40) {
            0 => end = (end + unit).min(payload.len()),
            1 => offset = offset.saturating_sub(8),
            2 => end = (end - 2).max(offset + 1),
            _ => {}
        }
        let mut bytes = payload[offset..end].to_vec();
        let mut more = end < payload.len();
        match random.usize(..60) {
            0 => bytes[0] ^= 0x55,
            1 => more = !more,
            _ => {}
        }
        if offset == 0 && !more {
            continue; // an atomic fragment, which reassembly never holds
        }
        let piece = Piece {
            id,
            more,
            length: bytes.len() as u32,
            bytes: &bytes,
            next_header: protocol::UDP,
            ..Piece::of(&payload, offset, end)
        };
        (lab.now, lab.sent) = (Tick::new(now as u32), token - 1);
        let seen = lab.send(piece);
        let sent = Sent { offset, bytes: bytes.clone(), more };
        assert_eq!(seen, model.send(id, token, sent, now), "step {token}");
        match seen {
            Seen::Waiting => {}
            Seen::Complete { .. } => tally.complete += 1,
            Seen::Refused(Fault::Overlap, _) => tally.overlap += 1,
            Seen::Refused(Fault::Limit, _) => tally.limit += 1,
            Seen::Refused(Fault::Incomplete, _) => panic!("refused as incomplete"),
        }
        now += [0, 1, 10, 100, 900][random.usize(..5)] / ids as u64;
        if random.usize(..3) == 0 {
            let budget = [0, 1, 3, 1_000][random.usize(..4)];
            lab.now = Tick::new(now as u32);
            let (due, _) = lab.expire(budget);
            assert_eq!(due, model.expire(now, budget as usize), "step {token}");
            tally.expired += due.len() as u32;
        }
        let held: usize = model.held.iter().map(|datagram| datagram.pieces.len()).sum();
        assert_eq!(lab.reassembly.held() as usize, held);
        assert!(held <= max as usize);
    }
}

#[test]
fn random_pieces_get_the_model_s_verdict_and_content() {
    let (seeds, steps) = if cfg!(miri) { (3, 150) } else { (90, 3_000) };
    let mut tally = Tally::default();
    for seed in 0..seeds {
        println!("seed {seed}"); // shown if it fails
        compare(seed, steps, &mut tally);
    }
    let least = if cfg!(miri) { 1 } else { 1_000 };
    let Tally { complete, overlap, limit, expired } = tally;
    assert!([complete, overlap, limit, expired].iter().all(|&count| count >= least), "{tally:?}");
}
