//! Reassembly by the rules of RFC 791, 5722, 6946 and 8200, and against a naive model (`oracle`).

mod oracle;

use super::{Fault, HEAD, Held, Policy, Reassembly, Token};
use crate::time::{Span, Tick};
use crate::wire::checksum::Sum;
use crate::wire::{Addresses, Fragment, Packet, Transport, protocol};

const V4: Addresses<'static> = Addresses::V4 { source: 0x0a00_0001, destination: 0x0a00_0002 };
const V6: Addresses<'static> = Addresses::V6 { source: &[1; 16], destination: &[2; 16] };
const START: Tick = Tick::new(u32::MAX - 5_000);
const KEYS: [u64; 4] = [1, 2, 3, 4];
/// What each piece's IP header adds to its length.
const HEADER: u32 = 20;

/// A verdict with everything that is compared, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Waiting,
    Complete {
        head: Vec<u8>,
        length: u32,
        ip_bytes: u64,
        sum: Option<u16>,
        next_header: u8,
        pieces: Vec<u64>,
    },
    Refused(Fault, Vec<u64>),
}

impl Seen {
    fn of(held: Held<'_>) -> Seen {
        match held {
            Held::Waiting => Seen::Waiting,
            Held::Complete(whole) => Seen::Complete {
                head: whole.head.to_vec(),
                length: whole.payload_length,
                ip_bytes: whole.ip_bytes,
                sum: whole.sum.map(Sum::folded),
                next_header: whole.next_header,
                pieces: numbers(whole.pieces),
            },
            Held::Refused { reason, pieces } => Seen::Refused(reason, numbers(pieces)),
        }
    }

    /// What is to be seen once `payload` has come whole in `pieces`, each with a header of its own.
    fn whole(payload: &[u8], bytes_with_repetitions: usize, pieces: &[u64]) -> Seen {
        Seen::Complete {
            head: payload[..payload.len().min(HEAD)].to_vec(),
            length: payload.len() as u32,
            ip_bytes: bytes_with_repetitions as u64 + u64::from(HEADER) * pieces.len() as u64,
            sum: Some(Sum::of(payload).folded()),
            next_header: protocol::UDP,
            pieces: pieces.to_vec(),
        }
    }
}

fn numbers(tokens: &[Token]) -> Vec<u64> {
    tokens.iter().map(|token| token.0).collect()
}

/// `length` bytes, no two neighbouring words alike.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251 + 1) as u8).collect()
}

/// A piece to be sent.
#[derive(Debug, Clone, Copy)]
struct Piece<'a> {
    addresses: Addresses<'a>,
    zone: u16,
    id: u32,
    next_header: u8,
    offset: u32,
    more: bool,
    /// What the header states, where that is more than `bytes`.
    length: u32,
    bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// The bytes from `offset` to `end` of `payload`, as its last piece if they reach its end.
    fn of(payload: &'a [u8], offset: usize, end: usize) -> Piece<'a> {
        Piece {
            addresses: V4,
            zone: 0,
            id: 1,
            next_header: protocol::UDP,
            offset: offset as u32,
            more: end < payload.len(),
            length: (end - offset) as u32,
            bytes: &payload[offset..end],
        }
    }

    fn fragment(&self) -> Fragment<'a> {
        Fragment {
            id: self.id,
            offset: self.offset,
            more: self.more,
            next_header: self.next_header,
            length: self.length,
            payload: self.bytes,
        }
    }
}

/// A reassembly, the clock, and the number of the next piece.
struct Lab {
    reassembly: Reassembly,
    now: Tick,
    sent: u64,
}

impl Lab {
    fn new() -> Lab {
        Lab::holding(64)
    }

    fn holding(max: u32) -> Lab {
        let policy = Policy { max, ..Policy::default() };
        Lab { reassembly: Reassembly::new(policy, KEYS), now: START, sent: 0 }
    }

    /// Sends a piece; pieces are numbered from 1.
    fn send(&mut self, piece: Piece<'_>) -> Seen {
        self.sent += 1;
        let fragment = piece.fragment();
        let packet = Packet {
            addresses: piece.addresses,
            length: HEADER + piece.length,
            protocol: piece.next_header,
            vlan: 0,
            ports: None,
            transport: Transport::Fragment(fragment),
        };
        Seen::of(self.reassembly.hold(&packet, &fragment, piece.zone, Token(self.sent), self.now))
    }

    fn wait(&mut self, milliseconds: u32) {
        self.now = self.now.after(Span::from_milliseconds(milliseconds));
    }

    fn expire(&mut self, budget: u32) -> (Vec<u64>, bool) {
        let mut due = Vec::new();
        let left = self.reassembly.expire(self.now, budget, |token| due.push(token.0));
        (due, left)
    }
}

fn refused(reason: Fault, pieces: &[u64]) -> Seen {
    Seen::Refused(reason, pieces.to_vec())
}

#[test]
fn every_order_of_four_pieces_makes_the_same_datagram() {
    let payload = payload(1_001);
    let cuts = [(0, 8), (8, 504), (504, 992), (992, 1_001)];
    for addresses in [V4, V6] {
        for order in 0..256_usize {
            let order: Vec<usize> = (0..4).map(|place| order >> (2 * place) & 3).collect();
            if (0..4).any(|piece| !order.contains(&piece)) {
                continue;
            }
            let mut lab = Lab::new();
            for (place, &piece) in order.iter().enumerate() {
                let (offset, end) = cuts[piece];
                let seen = lab.send(Piece { addresses, ..Piece::of(&payload, offset, end) });
                if place < 3 {
                    assert_eq!(seen, Seen::Waiting, "{order:?}");
                } else {
                    assert_eq!(seen, Seen::whole(&payload, 1_001, &[1, 2, 3, 4]), "{order:?}");
                }
            }
            assert_eq!((lab.reassembly.held(), lab.reassembly.next_expiry()), (0, None));
        }
    }
}

#[test]
fn a_transport_header_split_over_two_pieces_is_put_together_in_the_head() {
    // RFC 1858: a first piece of 8 bytes leaves TCP's flags to the second.
    let payload = payload(60);
    let mut lab = Lab::new();
    assert_eq!(lab.send(Piece::of(&payload, 8, 60)), Seen::Waiting);
    assert_eq!(lab.send(Piece::of(&payload, 0, 8)), Seen::whole(&payload, 60, &[1, 2]));
}

#[test]
fn exact_repetitions_are_held_and_let_through_but_counted_once_in_the_payload() {
    let payload = payload(40);
    let mut lab = Lab::new();
    for (offset, end) in [(0, 16), (0, 16), (24, 40), (24, 40), (0, 16)] {
        assert_eq!(lab.send(Piece::of(&payload, offset, end)), Seen::Waiting);
    }
    assert_eq!(lab.reassembly.held(), 5);
    let seen = lab.send(Piece::of(&payload, 16, 24));
    assert_eq!(seen, Seen::whole(&payload, 3 * 16 + 2 * 16 + 8, &[1, 2, 3, 4, 5, 6]));
}

#[test]
fn a_repetition_with_another_content_length_end_or_next_header_is_an_overlap() {
    let (one, mut other) = (payload(64), payload(64));
    other[11] ^= 1;
    let first = Piece::of(&one, 0, 16);
    let last = Piece::of(&one, 48, 64);
    let pairs = [
        (first, Piece::of(&other, 0, 16)),
        (first, Piece::of(&one, 0, 8)),
        (first, Piece::of(&one, 0, 24)),
        (Piece::of(&one, 48, 56), Piece::of(&one[..56], 48, 56)),
        (Piece::of(&one[..56], 48, 56), Piece::of(&one, 48, 56)),
        (last, Piece { more: true, ..last }),
        (Piece { addresses: V6, ..first }, Piece { addresses: V6, next_header: protocol::TCP, ..first }),
    ];
    for (before, after) in pairs {
        let mut lab = Lab::new();
        assert_eq!(lab.send(before), Seen::Waiting);
        assert_eq!(lab.send(after), refused(Fault::Overlap, &[1, 2]), "{before:?} {after:?}");
    }
}

#[test]
fn every_shape_of_overlap_drops_the_datagram_whole_rfc_5722() {
    let payload = payload(128);
    let middle = (32, 64);
    // Into its beginning, into its end, inside it, around it, the same beginning, the same end, by a block.
    for (offset, end) in
        [(16, 40), (56, 72), (40, 48), (24, 72), (32, 40), (32, 72), (48, 64), (24, 64), (0, 40)]
    {
        let mut lab = Lab::new();
        assert_eq!(lab.send(Piece::of(&payload, 0, 8)), Seen::Waiting);
        assert_eq!(lab.send(Piece::of(&payload, middle.0, middle.1)), Seen::Waiting);
        let seen = lab.send(Piece::of(&payload, offset, end));
        assert_eq!(seen, refused(Fault::Overlap, &[1, 2, 3]), "{offset}..{end}");
        assert_eq!((lab.reassembly.held(), lab.reassembly.next_expiry()), (0, None));
    }
}

#[test]
fn teardrop_a_last_piece_inside_the_first_is_refused() {
    // The attack of 1997: the second piece ends before the first does.
    let payload = payload(36);
    let mut lab = Lab::new();
    assert_eq!(lab.send(Piece { more: true, ..Piece::of(&payload, 0, 32) }), Seen::Waiting);
    let inside = Piece { more: false, ..Piece::of(&payload, 24, 28) };
    assert_eq!(lab.send(inside), refused(Fault::Overlap, &[1, 2]));
}

#[test]
fn data_at_or_past_the_end_and_two_ends_are_refused_in_either_order() {
    let long = payload(64);
    let end_at_16 = Piece::of(&long[..16], 8, 16);
    for beyond in [Piece::of(&long, 16, 24), Piece::of(&long, 48, 56), Piece::of(&long, 56, 64)] {
        for (before, after) in [(end_at_16, beyond), (beyond, end_at_16)] {
            let mut lab = Lab::new();
            assert_eq!(lab.send(before), Seen::Waiting);
            assert_eq!(lab.send(after), refused(Fault::Overlap, &[1, 2]), "{before:?} {after:?}");
        }
    }
    // More must follow this piece, and the datagram ends with it.
    let mut lab = Lab::new();
    assert_eq!(lab.send(Piece::of(&long, 8, 16)), Seen::Waiting);
    assert_eq!(lab.send(Piece::of(&long[..12], 8, 12)), refused(Fault::Overlap, &[1, 2]));
}

#[test]
fn a_piece_that_is_impossible_by_itself_is_refused() {
    let payload = payload(64);
    let impossible = [
        Piece { more: true, ..Piece::of(&payload, 8, 13) },
        Piece { length: 0, bytes: &[], ..Piece::of(&payload, 8, 16) },
        Piece { offset: 65_528, ..Piece::of(&payload, 0, 8) },
        Piece { offset: u32::MAX, more: false, ..Piece::of(&payload, 0, 8) },
        Piece { length: u32::MAX - HEADER, more: false, ..Piece::of(&payload, 8, 16) },
    ];
    for piece in impossible {
        assert_eq!(Lab::new().send(piece), refused(Fault::Overlap, &[1]), "{piece:?}");
    }
    let no_addresses = Piece { addresses: Addresses::None, ..Piece::of(&payload, 0, 8) };
    assert_eq!(Lab::new().send(no_addresses), refused(Fault::Incomplete, &[1]));
}

#[test]
fn the_longest_datagram_is_put_together_from_the_smallest_pieces() {
    let payload = payload(65_535);
    let size = if cfg!(miri) { 4_096 } else { 8 };
    let count = 65_536 / size;
    let mut lab = Lab::holding(count as u32);
    let mut seen = Seen::Waiting;
    for offset in (0..65_535).step_by(size) {
        assert_eq!(seen, Seen::Waiting);
        seen = lab.send(Piece::of(&payload, offset, (offset + size).min(65_535)));
    }
    assert_eq!(seen, Seen::whole(&payload, 65_535, &(1..=count as u64).collect::<Vec<_>>()));
}

#[test]
fn pieces_after_a_refusal_get_the_same_verdict_until_the_time_of_the_first_is_up() {
    let payload = payload(64);
    let mut lab = Lab::new();
    lab.send(Piece::of(&payload, 0, 16));
    lab.wait(5_000);
    assert_eq!(lab.send(Piece::of(&payload, 8, 24)), refused(Fault::Overlap, &[1, 2]));
    lab.wait(9_999);
    assert_eq!(lab.expire(u32::MAX), (vec![], false));
    assert_eq!(lab.send(Piece::of(&payload, 16, 64)), refused(Fault::Overlap, &[3]));
    assert_eq!(lab.send(Piece::of(&payload, 0, 16)), refused(Fault::Overlap, &[4]));
    // 15 s after the first piece, whether or not anybody has expired the mark.
    lab.wait(1);
    assert_eq!(lab.send(Piece::of(&payload, 16, 64)), Seen::Waiting);
    assert_eq!(lab.send(Piece::of(&payload, 0, 16)), Seen::whole(&payload, 64, &[5, 6]));
}

#[test]
fn a_datagram_s_time_runs_from_its_first_piece_and_is_not_started_again() {
    let payload = payload(64);
    let mut lab = Lab::new();
    lab.send(Piece::of(&payload, 0, 8));
    assert_eq!(lab.reassembly.next_expiry(), Some(START.after(Span::from_milliseconds(15_000))));
    lab.wait(14_999);
    lab.send(Piece::of(&payload, 16, 24));
    assert_eq!(lab.expire(u32::MAX), (vec![], false));
    lab.wait(1);
    assert_eq!(lab.expire(u32::MAX), (vec![1, 2], false));
    assert_eq!(lab.reassembly.held(), 0);
}

#[test]
fn a_piece_that_finds_its_datagram_s_time_up_begins_another() {
    let payload = payload(16);
    let mut lab = Lab::new();
    lab.send(Piece::of(&payload, 0, 8));
    lab.wait(15_000);
    // Nobody has called `expire`, and yet it does not complete what is over.
    assert_eq!(lab.send(Piece::of(&payload, 8, 16)), Seen::Waiting);
    assert_eq!(lab.expire(u32::MAX), (vec![1], false));
    assert_eq!(lab.send(Piece::of(&payload, 0, 8)), Seen::whole(&payload, 16, &[2, 3]));
}

#[test]
fn expiry_goes_by_the_beginnings_of_datagrams_and_stops_at_its_budget_anywhere() {
    let payload = payload(64);
    let mut lab = Lab::new();
    for (id, offset) in [(1, 0), (2, 0), (1, 8), (3, 0), (2, 8), (1, 16)] {
        lab.send(Piece { id, ..Piece::of(&payload, offset, offset + 8) });
    }
    // An overlap: its mark is work, too.
    lab.send(Piece { id: 3, ..Piece::of(&payload, 0, 16) });
    lab.wait(15_000);
    assert_eq!(lab.expire(0), (vec![], true));
    assert_eq!(lab.expire(2), (vec![1, 3], true));
    assert_eq!(lab.reassembly.held(), 3);
    assert_eq!(lab.expire(2), (vec![6, 2], true));
    assert_eq!(lab.expire(1), (vec![5], true));
    assert_eq!(lab.expire(1), (vec![], false));
}

#[test]
fn the_piece_that_is_one_too_many_takes_its_datagram_with_it() {
    let payload = payload(64);
    let mut lab = Lab::holding(3);
    lab.send(Piece { id: 1, ..Piece::of(&payload, 0, 8) });
    lab.send(Piece { id: 2, ..Piece::of(&payload, 0, 32) });
    lab.send(Piece { id: 1, ..Piece::of(&payload, 8, 16) });
    // Another datagram does not find room, and stays refused when there is some.
    assert_eq!(lab.send(Piece { id: 3, ..Piece::of(&payload, 0, 8) }), refused(Fault::Limit, &[4]));
    assert_eq!(lab.send(Piece { id: 1, ..Piece::of(&payload, 16, 24) }), refused(Fault::Limit, &[1, 3, 5]));
    assert_eq!(lab.send(Piece { id: 1, ..Piece::of(&payload, 24, 32) }), refused(Fault::Limit, &[6]));
    assert_eq!(lab.send(Piece { id: 3, ..Piece::of(&payload, 8, 16) }), refused(Fault::Limit, &[7]));
    // The one that was there goes on.
    assert_eq!(lab.send(Piece { id: 2, ..Piece::of(&payload, 32, 64) }), Seen::whole(&payload, 64, &[2, 8]));
}

#[test]
fn past_as_many_marks_as_pieces_the_first_made_is_forgotten() {
    let payload = payload(64);
    let mut lab = Lab::holding(2);
    let impossible = |id| Piece { id, more: true, ..Piece::of(&payload, 8, 13) };
    let sound = |id| Piece { id, ..Piece::of(&payload, 8, 16) };
    for id in 1..=3 {
        lab.send(impossible(id));
    }
    assert_eq!(lab.send(sound(2)), refused(Fault::Overlap, &[4]));
    assert_eq!(lab.send(sound(3)), refused(Fault::Overlap, &[5]));
    assert_eq!(lab.send(sound(1)), Seen::Waiting);
}

#[test]
fn where_nothing_may_be_held_every_piece_is_refused() {
    let payload = payload(64);
    let mut lab = Lab::holding(0);
    for number in 1..=3 {
        let piece = Piece { id: number as u32, ..Piece::of(&payload, 0, 8) };
        assert_eq!(lab.send(piece), refused(Fault::Limit, &[number]));
    }
}

#[test]
fn datagrams_differ_by_zone_addresses_id_and_in_ipv4_by_protocol() {
    let payload = payload(16);
    let (begin, end) = (Piece::of(&payload, 0, 8), Piece::of(&payload, 8, 16));
    let other_v4 = Addresses::V4 { source: 0x0a00_0002, destination: 0x0a00_0001 };
    let other_v6 = Addresses::V6 { source: &[2; 16], destination: &[1; 16] };
    let strangers = [
        (begin, Piece { zone: 1, ..end }),
        (begin, Piece { addresses: other_v4, ..end }),
        (begin, Piece { addresses: V6, ..end }),
        (begin, Piece { id: 0x1_0001, ..end }),
        (begin, Piece { next_header: protocol::TCP, ..end }),
        (Piece { addresses: V6, ..begin }, Piece { addresses: other_v6, ..end }),
    ];
    for (one, other) in strangers {
        let mut lab = Lab::new();
        lab.send(one);
        assert_eq!(lab.send(other), Seen::Waiting, "{one:?} {other:?}");
    }
    // IPv6: the next header of the piece at offset 0 counts, others may say what they like.
    let mut lab = Lab::new();
    lab.send(Piece { addresses: V6, next_header: protocol::TCP, ..end });
    assert_eq!(lab.send(Piece { addresses: V6, ..begin }), Seen::whole(&payload, 16, &[1, 2]));
}

#[test]
fn an_atomic_fragment_is_complete_and_leaves_others_of_its_id_alone_rfc_6946() {
    let (payload, alone) = (payload(16), payload(9));
    let mut lab = Lab::new();
    lab.send(Piece { addresses: V6, ..Piece::of(&payload, 0, 8) });
    let atomic = Piece { addresses: V6, ..Piece::of(&alone, 0, 9) };
    assert_eq!(lab.send(atomic), Seen::whole(&alone, 9, &[2]));
    assert_eq!(
        lab.send(Piece { addresses: V6, ..Piece::of(&payload, 8, 16) }),
        Seen::whole(&payload, 16, &[1, 3])
    );
}

#[test]
fn of_pieces_that_a_snap_length_cut_the_head_ends_at_the_first_hole_and_there_is_no_sum() {
    let payload = payload(2_000);
    let cut = |offset: usize, end: usize, snap: usize| Piece {
        bytes: &payload[offset..end.min(offset + snap)],
        ..Piece::of(&payload, offset, end)
    };
    for (first, second, known) in [(96, 96, 96), (1_000, 96, 512), (8, 1_000, 8), (0, 0, 0)] {
        let mut lab = Lab::new();
        lab.send(cut(1_000, 2_000, second));
        // A repetition of what was cut is one as far as anybody can see.
        assert_eq!(lab.send(cut(1_000, 2_000, second)), Seen::Waiting);
        let seen = lab.send(cut(0, 1_000, first));
        let Seen::Complete { head, length, ip_bytes, sum, .. } = seen else { panic!("{seen:?}") };
        assert_eq!((head.as_slice(), length, ip_bytes, sum), (&payload[..known], 2_000, 3_060, None));
    }
}

#[test]
fn a_vlan_is_that_of_the_piece_at_offset_0() {
    let payload = payload(16);
    let mut reassembly = Reassembly::new(Policy::default(), KEYS);
    let (begin, end) = (Piece::of(&payload, 0, 8).fragment(), Piece::of(&payload, 8, 16).fragment());
    let packet = |vlan, fragment| Packet {
        addresses: V4,
        length: 28,
        protocol: protocol::UDP,
        vlan,
        ports: None,
        transport: Transport::Fragment(fragment),
    };
    reassembly.hold(&packet(7, begin), &begin, 3, Token(1), START);
    let Held::Complete(whole) = reassembly.hold(&packet(9, end), &end, 3, Token(2), START) else {
        panic!("not complete");
    };
    assert_eq!((whole.vlan, whole.zone, whole.addresses), (7, 3, V4));
}

#[test]
fn a_flush_hands_out_everything_in_order_and_forgets_marks() {
    let payload = payload(64);
    let mut lab = Lab::new();
    for (id, offset) in [(1, 0), (2, 0), (1, 8)] {
        lab.send(Piece { id, ..Piece::of(&payload, offset, offset + 8) });
    }
    lab.send(Piece { id: 3, more: true, ..Piece::of(&payload, 8, 13) });
    let mut left = Vec::new();
    lab.reassembly.flush(|token| left.push(token.0));
    assert_eq!((left, lab.reassembly.held()), (vec![1, 3, 2], 0));
    assert_eq!(lab.send(Piece { id: 3, ..Piece::of(&payload, 8, 16) }), Seen::Waiting);
}

#[test]
fn nothing_grows_after_the_start_however_many_datagrams_come_and_go() {
    let payload = payload(32);
    let mut lab = Lab::holding(16);
    let before = lab.reassembly.capacities();
    for id in 0..if cfg!(miri) { 200 } else { 20_000 } {
        // Complete, waiting, overlapping and too many by turns.
        let piece = Piece { id, ..Piece::of(&payload, 0, 8) };
        lab.send(piece);
        lab.send(match id % 3 {
            0 => Piece { id, ..Piece::of(&payload, 8, 16) },
            1 => Piece { id, ..Piece::of(&payload, 0, 16) },
            _ => Piece { id, ..Piece::of(&payload[..16], 8, 16) },
        });
        lab.wait(700);
        lab.expire(1);
    }
    assert_eq!(lab.reassembly.capacities(), before);
}

#[test]
fn every_fault_has_its_own_number_and_name() {
    for (number, fault) in Fault::ALL.into_iter().enumerate() {
        assert_eq!(fault as usize, number);
        assert!(fault.name().starts_with("fragment_"));
    }
}
