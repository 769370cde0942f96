//! The rest of an input: what the endpoints of four tuples, and others in their name, send.
//!
//! ```text
//!  byte │ 3 bits: what │ 2: which tuple │ 1: from which side │ 2: a variant │  and a few more bytes
//! ```
//!
//! Each side is imagined as far as is needed to send what is plausible: its next sequence number, and the
//! other's that it has seen. Nothing of what the tracker says is looked at, so a sequence is the same
//! whatever the tracker does with it.

use lastack::wire::{Direction, Flags};

use super::input::Input;

/// How many tuples there are.
pub(crate) const TUPLES: usize = 4;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// So many milliseconds pass.
    Wait(u32),
    Segment(Sent),
    Error(Quoted),
}

/// A segment. `Direction::Original` is the way from the tuple's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub tuple: u8,
    pub from: Direction,
    pub flags: Flags,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub payload: u16,
    pub scale: Option<u8>,
    pub timestamp: Option<u32>,
    /// Whether its checksum is wrong.
    pub is_corrupt: bool,
}

/// An ICMP error about a segment with this sequence number that `of` has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quoted {
    pub tuple: u8,
    pub of: Direction,
    pub seq: u32,
    /// Whether it goes to somebody else than the sender of what it quotes.
    pub is_misdirected: bool,
    /// How many bytes of the quoted segment it bears.
    pub quoted: u8,
}

const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);
const RST_ACK: Flags = Flags::RST.with(Flags::ACK);

/// As far as an endpoint is imagined.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    /// Its initial sequence number.
    initial: u32,
    /// What it sends next.
    next: u32,
    /// The other's number that it expects next.
    expected: u32,
    /// What its timestamps run ahead of the clock.
    stamps: Option<u32>,
}

/// Reads events.
#[derive(Debug, Default)]
struct Imagination {
    sides: [[Side; 2]; TUPLES],
    milliseconds: u32,
    events: Vec<Event>,
}

/// The events of what is left of `input`; bounded, so that a long input is no slow one.
pub(crate) fn read(input: &mut Input<'_>) -> Vec<Event> {
    const MOST: usize = 256;
    let mut imagination = Imagination::default();
    while !input.is_empty() && imagination.events.len() < MOST {
        imagination.step(input);
    }
    imagination.events
}

impl Imagination {
    fn step(&mut self, input: &mut Input<'_>) {
        let byte = input.byte();
        let tuple = byte >> 3 & 3;
        let from = if byte >> 5 & 1 == 0 { Direction::Original } else { Direction::Reply };
        let variant = byte >> 6;
        match byte & 7 {
            0 => self.wait(variant, input),
            1 => self.data(tuple, from, variant, input),
            2 => self.acknowledge(tuple, from, variant, input),
            3 => self.finish(tuple, from, variant),
            4 => self.reset(tuple, from, variant, input),
            5 => self.anything(tuple, from, input),
            6 => self.open(tuple, from, variant, input),
            _ => match variant {
                0 => self.error(tuple, from, input),
                1 => self.corrupt(tuple, from),
                2 => self.close(tuple, from),
                _ => self.hole(tuple, from, input),
            },
        }
    }

    fn side(&mut self, tuple: u8, of: Direction) -> &mut Side {
        &mut self.sides[usize::from(tuple)][of.index()]
    }

    /// A segment with the numbers that the side would send now, nothing sent yet.
    fn plausible(&mut self, tuple: u8, from: Direction, flags: Flags, payload: u16) -> Sent {
        let milliseconds = self.milliseconds;
        let side = self.side(tuple, from);
        Sent {
            tuple,
            from,
            flags,
            seq: side.next,
            ack: if flags.has(Flags::ACK) { side.expected } else { 0 },
            window: 8_192,
            payload,
            scale: None,
            timestamp: side.stamps.map(|ahead| ahead.wrapping_add(milliseconds)),
            is_corrupt: false,
        }
    }

    /// Sends it, and counts what it takes of the sequence space.
    fn send(&mut self, sent: Sent) {
        let length = length(&sent);
        let side = self.side(sent.tuple, sent.from);
        side.next = sent.seq.wrapping_add(length);
        let next = side.next;
        self.side(sent.tuple, sent.from.opposite()).expected = next;
        self.events.push(Event::Segment(sent));
    }

    /// Sends it, and nobody remembers.
    fn slip_in(&mut self, sent: Sent) {
        self.events.push(Event::Segment(sent));
    }

    /// A new initial sequence number: below, at, or above what was sent before, or near the wrap.
    fn begin(&mut self, tuple: u8, from: Direction, input: &mut Input<'_>) -> Sent {
        let byte = input.byte();
        let high = byte >> 4;
        let near = u32::from(high);
        let milliseconds = self.milliseconds;
        let side = self.side(tuple, from);
        side.initial = match byte & 3 {
            0 => side.next.wrapping_add(1 + near * 64_000),
            1 => side.next.wrapping_sub(near * 64_000),
            2 => 0xffff_ff00 + near * 15,
            _ => near << 28,
        };
        side.next = side.initial;
        side.stamps = match byte >> 2 & 3 {
            0 | 1 => None,
            2 => Some(1_000),
            _ => Some(0xffff_fff0_u32.wrapping_sub(milliseconds)),
        };
        let mut syn = self.plausible(tuple, from, Flags::SYN, 0);
        syn.scale = [None, Some(0), Some(3), Some(14)][usize::from(high & 3)];
        syn.window = [1_000, 65_535, 0, 8_192][usize::from(high >> 2 & 3)];
        syn
    }

    /// The handshake as a whole, or the first of it.
    fn open(&mut self, tuple: u8, from: Direction, variant: u8, input: &mut Input<'_>) {
        let to = from.opposite();
        let syn = self.begin(tuple, from, input);
        // Data on the SYN (RFC 7413), now and then.
        let payload = if variant == 1 && syn.window == 0 { 10 } else { 0 };
        self.send(Sent { payload, ..syn });
        match variant {
            0 | 2 => {
                let answer = self.begin(tuple, to, input);
                let ack = self.side(tuple, from).next;
                self.side(tuple, to).expected = ack;
                self.send(Sent { flags: SYN_ACK, ack, ..answer });
                if variant == 0 {
                    let ack = self.plausible(tuple, from, Flags::ACK, 0);
                    self.send(ack);
                }
            }
            1 => {}
            _ => {
                // Both at once (RFC 9293 figure 8).
                let crossed = self.begin(tuple, to, input);
                self.send(crossed);
                for side in [from, to] {
                    let initial = self.side(tuple, side).initial;
                    let answer = self.plausible(tuple, side, SYN_ACK, 0);
                    self.slip_in(Sent { seq: initial, ..answer });
                }
            }
        }
    }

    fn data(&mut self, tuple: u8, from: Direction, variant: u8, input: &mut Input<'_>) {
        let payload = [1, 10, 100, 400][usize::from(variant)];
        let mut sent = self.plausible(tuple, from, Flags::ACK.with(Flags::PSH), payload);
        match input.byte() {
            // Once more what was sent before.
            0..32 => {
                sent.seq = sent.seq.wrapping_sub(u32::from(payload));
                self.slip_in(sent);
            }
            // Without having seen the other's newest.
            32..48 => {
                sent.ack = sent.ack.wrapping_sub(100);
                self.send(sent);
            }
            48.. => self.send(sent),
        }
    }

    fn acknowledge(&mut self, tuple: u8, from: Direction, variant: u8, input: &mut Input<'_>) {
        let mut sent = self.plausible(tuple, from, Flags::ACK, 0);
        sent.window = [8_192, 0, 65_535, 1][usize::from(variant)];
        match input.byte() {
            0..16 => sent.ack = sent.ack.wrapping_sub(1),
            16..24 => sent.ack = sent.ack.wrapping_add(1),
            // A keep-alive (RFC 9293 section 3.8.4).
            24..40 => sent.seq = sent.seq.wrapping_sub(1),
            40.. => {}
        }
        self.slip_in(sent);
    }

    fn finish(&mut self, tuple: u8, from: Direction, variant: u8) {
        match variant {
            0 => {
                let fin = self.plausible(tuple, from, FIN_ACK, 0);
                self.send(fin);
            }
            1 => {
                let fin = self.plausible(tuple, from, FIN_ACK, 100);
                self.send(fin);
            }
            // The other's newest, its FIN perhaps, is still under way.
            2 => {
                let fin = self.plausible(tuple, from, FIN_ACK, 0);
                self.send(Sent { ack: fin.ack.wrapping_sub(1), ..fin });
            }
            // Repeated.
            _ => {
                let fin = self.plausible(tuple, from, FIN_ACK, 0);
                self.slip_in(Sent { seq: fin.seq.wrapping_sub(1), ..fin });
            }
        }
    }

    fn reset(&mut self, tuple: u8, from: Direction, variant: u8, input: &mut Input<'_>) {
        let flags = if variant & 1 == 0 { Flags::RST } else { RST_ACK };
        let mut rst = self.plausible(tuple, from, flags, 0);
        rst.window = 0;
        if variant & 2 == 2 {
            let away = input.byte();
            let by = u32::from(away >> 2) * [1, 64, 4_096, 1 << 24][usize::from(away & 1)];
            rst.seq = if away & 2 == 0 { rst.seq.wrapping_add(by) } else { rst.seq.wrapping_sub(by) };
        }
        self.slip_in(rst);
    }

    /// Any flags, any numbers, though often near the plausible ones.
    fn anything(&mut self, tuple: u8, from: Direction, input: &mut Input<'_>) {
        const FLAGS: [Flags; 8] = [
            Flags::SYN,
            SYN_ACK,
            Flags::ACK,
            FIN_ACK,
            Flags::RST,
            RST_ACK,
            Flags::ACK.with(Flags::PSH).with(Flags::URG),
            Flags(0),
        ];
        let byte = input.byte();
        let flags = FLAGS[usize::from(byte & 7)];
        let payload = [0, 0, 1, 400][usize::from(byte >> 3 & 3)];
        let other = *self.side(tuple, from.opposite());
        let own = *self.side(tuple, from);
        let mut sent = self.plausible(tuple, from, flags, payload);
        sent.seq = number([own.next, own.initial, other.expected, other.next], input);
        sent.ack = number([own.expected, other.next, other.initial.wrapping_add(1), own.next], input);
        sent.window = input.one_of(&[8_192, 0, 65_535, 1]);
        if byte >> 5 & 1 == 1 {
            sent.timestamp = Some(input.number());
        }
        if byte >> 6 & 1 == 1 {
            sent.scale = Some(input.byte() & 15);
        }
        if byte >> 7 == 1 { self.send(sent) } else { self.slip_in(sent) }
    }

    fn wait(&mut self, variant: u8, input: &mut Input<'_>) {
        let byte = u32::from(input.byte());
        let milliseconds = byte * [1, 100, 1_000, 31_000][usize::from(variant)];
        self.milliseconds = self.milliseconds.wrapping_add(milliseconds);
        self.events.push(Event::Wait(milliseconds));
    }

    fn error(&mut self, tuple: u8, of: Direction, input: &mut Input<'_>) {
        let side = *self.side(tuple, of);
        let other = *self.side(tuple, of.opposite());
        let byte = input.byte();
        let seq = number([side.next.wrapping_sub(1), side.initial, other.expected, side.next], input);
        self.events.push(Event::Error(Quoted {
            tuple,
            of,
            seq,
            is_misdirected: byte & 7 == 7,
            quoted: [8, 20, 20, 7][usize::from(byte >> 3 & 3)],
        }));
    }

    fn corrupt(&mut self, tuple: u8, from: Direction) {
        let sent = self.plausible(tuple, from, Flags::ACK, 10);
        self.slip_in(Sent { is_corrupt: true, ..sent });
    }

    /// The four waves.
    fn close(&mut self, tuple: u8, from: Direction) {
        for side in [from, from.opposite()] {
            let fin = self.plausible(tuple, side, FIN_ACK, 0);
            self.send(fin);
            let ack = self.plausible(tuple, side.opposite(), Flags::ACK, 0);
            self.slip_in(ack);
        }
    }

    /// Something is lost before the tracker: what comes next leaves a hole, of which the other side may know
    /// nothing.
    fn hole(&mut self, tuple: u8, from: Direction, input: &mut Input<'_>) {
        let byte = input.byte();
        let lost = 1 + u32::from(byte & 0x7f);
        let sent = self.plausible(tuple, from, Flags::ACK, 50);
        let expected = self.side(tuple, from.opposite()).expected;
        self.send(Sent { seq: sent.seq.wrapping_add(lost), ..sent });
        if byte >> 7 == 0 {
            self.side(tuple, from.opposite()).expected = expected;
        }
    }
}

/// How much of the sequence space it takes.
pub(crate) fn length(sent: &Sent) -> u32 {
    u32::from(sent.payload) + u32::from(sent.flags.has(Flags::SYN)) + u32::from(sent.flags.has(Flags::FIN))
}

/// A number near one of `known`, or anywhere.
fn number(known: [u32; 4], input: &mut Input<'_>) -> u32 {
    let byte = input.byte();
    let base = known[usize::from(byte & 3)];
    match byte >> 2 & 15 {
        0..6 => base,
        6 => base.wrapping_add(1),
        7 => base.wrapping_sub(1),
        8 => base.wrapping_add(100),
        9 => base.wrapping_sub(100),
        10 => base.wrapping_add(8_192),
        11 => base.wrapping_sub(8_192),
        12 => base.wrapping_add(1 << 20),
        13 => base.wrapping_add(0x7fff_ffff),
        14 => base.wrapping_add(0x8000_0000),
        _ => input.number(),
    }
}
