//! The datagrams that are held or marked, and what a piece does to them.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use hashbrown::HashMap;

use super::blocks::{BLOCK, Blocks, MAX_PAYLOAD};
use super::key::Key;
use super::pool::{Linked, Links, NONE, Pool, Queue};
use super::{Fault, HEAD, Held, Policy, Token, Whole};
use crate::time::Tick;
use crate::wire::checksum::Sum;
use crate::wire::{Fragment, Packet};

/// All datagrams that are incomplete: see the [module](super) for what happens to them.
///
/// Kept at every moment: `held` queues every datagram that has pieces, in order of their first, `marked`
/// every one that was refused, in order of that; `by_key` finds both, but for those whose time was up
/// when they were last looked at.
#[derive(Debug)]
pub struct Reassembly {
    policy: Policy,
    hashing: RandomState,
    by_key: HashMap<Key, u32, RandomState>,
    /// What lies at an offset of a datagram (by index): how a repetition is recognised.
    contents: HashMap<(u32, u32), Content, RandomState>,
    datagrams: Pool<Datagram>,
    bodies: Pool<Body>,
    pieces: Pool<Piece>,
    held: Queue,
    marked: Queue,
    /// The tokens of the datagram that was handed out last.
    released: Vec<Token>,
}

/// A datagram that is not complete.
#[derive(Debug, Clone)]
struct Datagram {
    key: Key,
    links: Links,
    begun: Tick,
    standing: Standing,
    /// Its pieces in order of arrival.
    first_piece: u32,
    last_piece: u32,
    body: u32,
    /// Bytes that have come, repetitions not counted.
    covered: u32,
    /// The farthest end of any piece.
    reach: u32,
    /// Its length, once the last piece has come.
    length: Option<u32>,
    /// What is known of the head: less than [`HEAD`] where a snap length cut.
    head_known: u32,
    /// Of the piece at offset 0.
    next_header: u8,
    vlan: u16,
    ip_bytes: u64,
    sum: Option<Sum>,
}

/// What is to become of a datagram's next piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is held.
    Held,
    /// It is refused, like those before it.
    Marked(Fault),
    /// None will be found to belong to it: its time is up, and its pieces wait to be handed out.
    Overdue,
}

/// What is kept only of datagrams that are held.
#[derive(Debug, Clone)]
struct Body {
    head: [u8; HEAD],
    blocks: Blocks,
}

/// A piece that is held.
#[derive(Debug, Clone, Copy)]
struct Piece {
    token: Token,
    offset: u32,
    next: u32,
}

/// What a repetition repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    length: u32,
    hash: u64,
}

/// How a piece fits into its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    New,
    Repetition,
    Contradiction,
}

impl Linked for Datagram {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Datagram {
    const UNUSED: Datagram = Datagram {
        key: Key::UNUSED,
        links: Links::NONE,
        begun: Tick::new(0),
        standing: Standing::Overdue,
        first_piece: NONE,
        last_piece: NONE,
        body: NONE,
        covered: 0,
        reach: 0,
        length: None,
        head_known: HEAD as u32,
        next_header: 0,
        vlan: 0,
        ip_bytes: 0,
        sum: Some(Sum::ZERO),
    };

    fn begin(key: Key, now: Tick, standing: Standing, body: u32) -> Datagram {
        Datagram { key, begun: now, standing, body, ..Datagram::UNUSED }
    }

    /// Whether the piece can belong here as far as ends and lengths tell.
    fn admits(&self, fragment: &Fragment<'_>) -> bool {
        let end = end(fragment);
        let whole_blocks = fragment.length.is_multiple_of(BLOCK);
        let before_the_end = match (self.length, fragment.more) {
            (Some(length), true) => end < length,
            (Some(length), false) => end == length,
            (None, true) => true,
            // No piece so far was the last: more must follow each of them.
            (None, false) => end > self.reach,
        };
        fragment.length > 0 && end <= MAX_PAYLOAD && (whole_blocks || !fragment.more) && before_the_end
    }

    fn is_complete(&self) -> bool {
        self.length == Some(self.covered)
    }
}

/// Where the piece ends in the datagram's payload, in bytes.
fn end(fragment: &Fragment<'_>) -> u32 {
    fragment.offset.saturating_add(fragment.length)
}

/// The captured part of what the piece states as its payload.
fn captured<'a>(fragment: &Fragment<'a>) -> &'a [u8] {
    fragment.payload.get(..fragment.length as usize).unwrap_or(fragment.payload)
}

fn is_cut(fragment: &Fragment<'_>) -> bool {
    captured(fragment).len() < fragment.length as usize
}

impl Reassembly {
    /// Nothing held yet. `keys`, drawn at random, make hashes that nobody outside can foresee. All memory
    /// that will ever be used is allocated here: about 2 KiB for each piece of `policy.max`.
    pub fn new(policy: Policy, keys: [u64; 4]) -> Reassembly {
        let hashing = RandomState::with_seeds(keys[0], keys[1], keys[2], keys[3]);
        // Each held datagram has a piece, and there are as many marks; room for one mark even if nothing
        // may be held.
        let marks = policy.max.max(1);
        let datagrams = policy.max.saturating_add(marks);
        // Twice the room that is needed: a map at most half full clears out the traces of removed entries
        // in place, where a fuller one would grow.
        let by_key = HashMap::with_capacity_and_hasher(2 * datagrams as usize, hashing.clone());
        let contents = HashMap::with_capacity_and_hasher(2 * policy.max as usize, hashing.clone());
        let piece = Piece { token: Token(0), offset: 0, next: NONE };
        Reassembly {
            policy,
            hashing,
            by_key,
            contents,
            datagrams: Pool::new(datagrams, Datagram::UNUSED),
            bodies: Pool::new(policy.max, Body { head: [0; HEAD], blocks: Blocks::NONE }),
            pieces: Pool::new(policy.max, piece),
            held: Queue::EMPTY,
            marked: Queue::EMPTY,
            released: Vec::with_capacity(policy.max as usize + 1),
        }
    }

    /// Takes a piece that came at `now` (never earlier than at the last call) and says what becomes of it
    /// and, perhaps, of those held before. `packet` is the packet that `fragment` is the transport of.
    ///
    /// A datagram whose time is up is not found, whether [`Reassembly::expire`] has got to it or not. Its
    /// pieces count as held until then: call that first.
    pub fn hold<'a>(
        &'a mut self,
        packet: &Packet<'a>,
        fragment: &Fragment<'a>,
        zone: u16,
        token: Token,
        now: Tick,
    ) -> Held<'a> {
        self.released.clear();
        let Some(key) = Key::of(packet, fragment, zone) else {
            // Without addresses there is no datagram that it could complete.
            return self.refuse_alone(Fault::Incomplete, token);
        };
        if fragment.offset == 0 && !fragment.more {
            return self.complete_alone(packet, fragment, zone, token);
        }
        let index = match self.find(&key, now) {
            Some(index) => index,
            None => match self.begin(key, now) {
                Some(index) => index,
                None => {
                    self.mark_unseen(key, now, Fault::Limit);
                    return self.refuse_alone(Fault::Limit, token);
                }
            },
        };
        if let Standing::Marked(fault) = self.datagrams.get(index).standing {
            return self.refuse_alone(fault, token);
        }
        let hash = self.hash(fragment);
        let fit = self.fit(index, fragment, hash);
        if fit == Fit::Contradiction {
            return self.condemn(index, Fault::Overlap, token);
        }
        if !self.keep(index, fragment.offset, token) {
            return self.condemn(index, Fault::Limit, token);
        }
        let datagram = self.datagrams.get_mut(index);
        datagram.ip_bytes += u64::from(packet.length);
        if fit == Fit::New {
            self.add(index, packet, fragment, hash);
        }
        if !self.datagrams.get(index).is_complete() {
            return Held::Waiting;
        }
        self.complete(index, packet, zone)
    }

    /// Hands out the pieces of datagrams whose time is up at `now`: invalid, [`Fault::Incomplete`]; oldest
    /// datagram first, its pieces in order of arrival. At most `budget` pieces and marks are touched; the
    /// next call goes on where this one stopped. Returns whether anything overdue is left.
    pub fn expire(&mut self, now: Tick, budget: u32, mut due: impl FnMut(Token)) -> bool {
        let mut left = budget;
        while let Some(index) = self.held.first().filter(|&index| self.is_over(index, now)) {
            self.detach(index);
            while let Some(token) = (left > 0).then(|| self.take_piece(index)).flatten() {
                due(token);
                left -= 1;
            }
            if self.datagrams.get(index).first_piece != NONE {
                return true;
            }
            self.forget_held(index);
        }
        while let Some(index) = self.marked.first().filter(|&index| self.is_over(index, now)) {
            if left == 0 {
                return true;
            }
            left -= 1;
            self.forget_mark(index);
        }
        false
    }

    /// Hands out every piece that is held, as [`Reassembly::expire`] would in the end, and forgets all
    /// marks: for the end of a capture.
    pub fn flush(&mut self, mut due: impl FnMut(Token)) {
        while let Some(index) = self.held.first() {
            self.detach(index);
            while let Some(token) = self.take_piece(index) {
                due(token);
            }
            self.forget_held(index);
        }
        while let Some(index) = self.marked.first() {
            self.forget_mark(index);
        }
    }

    /// When [`Reassembly::expire`] will next have pieces to hand out; none if none are held.
    pub fn next_expiry(&self) -> Option<Tick> {
        self.held.first().map(|index| self.datagrams.get(index).begun.after(self.policy.timeout))
    }

    /// How many pieces are held.
    pub fn held(&self) -> u32 {
        self.pieces.used()
    }

    /// What could grow: it must not.
    #[cfg(test)]
    pub(super) fn capacities(&self) -> [usize; 3] {
        [self.by_key.capacity(), self.contents.capacity(), self.released.capacity()]
    }

    fn is_over(&self, index: u32, now: Tick) -> bool {
        self.datagrams.get(index).begun.after(self.policy.timeout).has_passed(now)
    }

    /// The datagram of `key`, unless its time is up.
    fn find(&mut self, key: &Key, now: Tick) -> Option<u32> {
        let index = *self.by_key.get(key)?;
        if !self.is_over(index, now) {
            return Some(index);
        }
        match self.datagrams.get(index).standing {
            Standing::Held | Standing::Overdue => self.detach(index),
            Standing::Marked(_) => self.forget_mark(index),
        }
        None
    }

    /// Begins a datagram; none if no piece of it could be held.
    fn begin(&mut self, key: Key, now: Tick) -> Option<u32> {
        if self.pieces.used() == self.policy.max {
            return None;
        }
        // Neither can fail: every datagram that is held has a piece, and there is one left.
        let index = self.datagrams.take()?;
        let body = self.bodies.take()?;
        self.bodies.get_mut(body).blocks = Blocks::NONE;
        *self.datagrams.get_mut(index) = Datagram::begin(key, now, Standing::Held, body);
        self.held.append(&mut self.datagrams, index);
        self.by_key.insert(key, index);
        Some(index)
    }

    /// Judges a piece against what has come of its datagram; changes nothing.
    fn fit(&self, index: u32, fragment: &Fragment<'_>, hash: u64) -> Fit {
        let datagram = self.datagrams.get(index);
        if !datagram.admits(fragment) {
            return Fit::Contradiction;
        }
        match self.contents.get(&(index, fragment.offset)) {
            Some(content) if *content == (Content { length: fragment.length, hash }) => Fit::Repetition,
            Some(_) => Fit::Contradiction,
            None if self.bodies.get(datagram.body).blocks.touches(fragment.offset..end(fragment)) => {
                Fit::Contradiction
            }
            None => Fit::New,
        }
    }

    /// A keyed hash of what a repetition must repeat. Of what a snap length has cut, only the captured part
    /// can be compared.
    fn hash(&self, fragment: &Fragment<'_>) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        let captured = captured(fragment);
        hasher.write(captured);
        hasher.write_usize(captured.len());
        if fragment.offset == 0 {
            hasher.write_u8(fragment.next_header);
        }
        hasher.finish()
    }

    /// Holds a piece. Returns whether there was room.
    fn keep(&mut self, index: u32, offset: u32, token: Token) -> bool {
        let Some(piece) = self.pieces.take() else { return false };
        *self.pieces.get_mut(piece) = Piece { token, offset, next: NONE };
        let datagram = self.datagrams.get_mut(index);
        match datagram.last_piece {
            NONE => datagram.first_piece = piece,
            last => self.pieces.get_mut(last).next = piece,
        }
        datagram.last_piece = piece;
        true
    }

    /// Adds what is new in a piece that fits.
    fn add(&mut self, index: u32, packet: &Packet<'_>, fragment: &Fragment<'_>, hash: u64) {
        self.contents.insert((index, fragment.offset), Content { length: fragment.length, hash });
        let datagram = self.datagrams.get_mut(index);
        let captured = captured(fragment);
        datagram.covered += fragment.length;
        datagram.reach = datagram.reach.max(end(fragment));
        if !fragment.more {
            datagram.length = Some(end(fragment));
        }
        if fragment.offset == 0 {
            datagram.next_header = fragment.next_header;
            datagram.vlan = packet.vlan;
        }
        // Every piece begins at an even offset, so the sums may be added in any order.
        if is_cut(fragment) {
            datagram.sum = None;
            datagram.head_known = datagram.head_known.min(fragment.offset + captured.len() as u32);
        } else {
            datagram.sum = datagram.sum.map(|sum| sum.plus(Sum::of(captured)));
        }
        let body = self.bodies.get_mut(datagram.body);
        body.blocks.insert(fragment.offset..end(fragment));
        let room = body.head.get_mut(fragment.offset as usize..).unwrap_or_default();
        let length = room.len().min(captured.len());
        room[..length].copy_from_slice(&captured[..length]);
    }

    /// Hands out a datagram that is complete.
    fn complete<'a>(&'a mut self, index: u32, packet: &Packet<'a>, zone: u16) -> Held<'a> {
        self.by_key.remove(&self.datagrams.get(index).key);
        self.release_pieces(index);
        self.forget_held(index);
        // Given back, but nothing can take it as long as what is returned here lives.
        let datagram = self.datagrams.get(index);
        let body = self.bodies.get(datagram.body);
        let payload_length = datagram.covered;
        let known = payload_length.min(datagram.head_known) as usize;
        Held::Complete(Whole {
            addresses: packet.addresses,
            vlan: datagram.vlan,
            zone,
            next_header: datagram.next_header,
            head: body.head.get(..known).unwrap_or(&body.head),
            payload_length,
            ip_bytes: datagram.ip_bytes,
            sum: datagram.sum,
            pieces: &self.released,
        })
    }

    /// An IPv6 "atomic" fragment: a datagram by itself, apart from all others of its key (RFC 6946
    /// section 4).
    fn complete_alone<'a>(
        &'a mut self,
        packet: &Packet<'a>,
        fragment: &Fragment<'a>,
        zone: u16,
        token: Token,
    ) -> Held<'a> {
        self.released.push(token);
        let captured = captured(fragment);
        Held::Complete(Whole {
            addresses: packet.addresses,
            vlan: packet.vlan,
            zone,
            next_header: fragment.next_header,
            head: captured.get(..HEAD).unwrap_or(captured),
            payload_length: fragment.length,
            ip_bytes: u64::from(packet.length),
            sum: (!is_cut(fragment)).then(|| Sum::of(captured)),
            pieces: &self.released,
        })
    }

    /// Refuses a piece of which nothing else is held.
    fn refuse_alone(&mut self, reason: Fault, token: Token) -> Held<'_> {
        self.released.push(token);
        Held::Refused { reason, pieces: &self.released }
    }

    /// Refuses a piece together with all that is held of its datagram, which stays marked for the time that
    /// it had left.
    fn condemn(&mut self, index: u32, reason: Fault, token: Token) -> Held<'_> {
        let (key, begun) = (self.datagrams.get(index).key, self.datagrams.get(index).begun);
        self.by_key.remove(&key);
        self.release_pieces(index);
        self.forget_held(index);
        self.mark_unseen(key, begun, reason);
        self.refuse_alone(reason, token)
    }

    /// Marks a datagram of which nothing is held. Where there are too many marks, the first made goes.
    fn mark_unseen(&mut self, key: Key, begun: Tick, reason: Fault) {
        if self.marked.len() == self.policy.max.max(1)
            && let Some(oldest) = self.marked.first()
        {
            self.forget_mark(oldest);
        }
        // Cannot fail: there is room for as many as may be held and marked together.
        if let Some(index) = self.datagrams.take() {
            *self.datagrams.get_mut(index) = Datagram::begin(key, begun, Standing::Marked(reason), NONE);
            self.marked.append(&mut self.datagrams, index);
            self.by_key.insert(key, index);
        }
    }

    /// Makes a datagram that is held one that no piece will find.
    fn detach(&mut self, index: u32) {
        let datagram = self.datagrams.get_mut(index);
        if datagram.standing == Standing::Held {
            datagram.standing = Standing::Overdue;
            self.by_key.remove(&datagram.key);
        }
    }

    /// Takes the piece that came first out of a datagram; none if it has none left.
    fn take_piece(&mut self, index: u32) -> Option<Token> {
        let datagram = self.datagrams.get_mut(index);
        let first = datagram.first_piece;
        if first == NONE {
            return None;
        }
        let Piece { token, offset, next } = *self.pieces.get(first);
        datagram.first_piece = next;
        self.contents.remove(&(index, offset));
        self.pieces.give_back(first);
        Some(token)
    }

    /// Takes all pieces of a datagram, to be handed out together.
    fn release_pieces(&mut self, index: u32) {
        while let Some(token) = self.take_piece(index) {
            self.released.push(token);
        }
    }

    /// Gives back what a datagram without pieces used, once `by_key` does not know it any more.
    fn forget_held(&mut self, index: u32) {
        self.held.remove(&mut self.datagrams, index);
        self.bodies.give_back(self.datagrams.get(index).body);
        self.datagrams.give_back(index);
    }

    fn forget_mark(&mut self, index: u32) {
        self.by_key.remove(&self.datagrams.get(index).key);
        self.marked.remove(&mut self.datagrams, index);
        self.datagrams.give_back(index);
    }
}
