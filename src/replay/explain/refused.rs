//! Why a packet was refused, or let through without an effect: each reason's rule, its numbers, and what would have been
//! right.
//!
//! The numbers are the evidence that the engine gave; every reason of every layer has its sentence here.

use super::drawing::{Mark, Point, draw};
use super::segment::packet_beside;
use super::sentences::{Ruling, reuse_name};
use super::story::{Segment, Story, bytes, span};
use crate::shard::{Evidence, Quoted, Reason, Refusal};
use crate::tcp::{self, Detail, TimeWaitReuse};
use crate::time::Span;
use crate::wire::{self, Direction, Fault, Flags, Seq};
use crate::{flow, fragments};

/// The rule behind `reason`.
pub(super) fn ruling(story: &Story, reason: Reason) -> Ruling {
    match reason {
        Reason::Wire(fault) => malformed(story, fault),
        Reason::Fragment(fault) => fragment(story, fault),
        Reason::Tcp(refusal) => by_tcp(story, refusal),
        Reason::Flow(flow::Refusal::IcmpUnsolicited) => Ruling {
            sentences: vec![
                "A reply answers a query, and no connection in the table has asked this one: there is no query with \
                 its identifier between these two addresses, or its timer (icmp.timeout) is over."
                    .to_owned(),
            ],
            settings: vec!["icmp.timeout: how long a query waits for its reply.".to_owned()],
            ..Ruling::default()
        },
        Reason::Flow(flow::Refusal::IcmpUnknown) => icmp_unknown(story),
        Reason::Shard(refusal) => by_shard(story, refusal),
    }
}

fn said(sentence: String) -> Ruling {
    Ruling { sentences: vec![sentence], ..Ruling::default() }
}

/// A headers' fault.
fn malformed(story: &Story, fault: Fault) -> Ruling {
    let numbers = match story.evidence {
        Some(Evidence::Malformed(evidence)) => measured(evidence),
        Some(_) | None => String::new(),
    };
    let rule = match fault {
        Fault::Truncated => "A header reaches past the end of the packet, or of what was captured of it.",
        Fault::BadIpHeader => {
            "The IP version contradicts the link layer, or the header is too short (RFC 791 section 3.1)."
        }
        Fault::BadLength => "A length field contradicts another one, or the frame.",
        Fault::BadIpOption => {
            "An IP option or extension header is malformed (RFC 791 section 3.1, RFC 8200 section 4)."
        }
        Fault::BadIpChecksum => "The IPv4 header's checksum is wrong (RFC 791 section 3.1).",
        Fault::BadChecksum => {
            "The checksum of its transport header and payload is wrong (RFC 9293 section 3.1, RFC 768, RFC 4443 section 2.3)."
        }
        Fault::BadOffset => "TCP's data offset is impossible (RFC 9293 section 3.1).",
        Fault::BadTcpOption => "A TCP option is malformed (RFC 9293 section 3.1).",
        Fault::BadFlags => {
            "No endpoint sends this combination of TCP flags: it takes exactly one of SYN, FIN with ACK, RST, or a plain ACK (RFC 9293 section 3.10)."
        }
        Fault::BadIcmpType => "The ICMP type is not defined.",
        Fault::BadFragment => {
            "The fragment's offset, length or flags are impossible (RFC 791 section 3.2, RFC 8200 section 4.5)."
        }
    };
    let setting = match fault {
        Fault::BadIpChecksum => Some("ip.check_checksum = false lets it through unverified."),
        Fault::BadChecksum => Some(
            "check_checksum = false in [tcp], [udp] or [icmp] turns verification off: right for a capture that was \
             taken on the sender itself, where the interface completes checksums later.",
        ),
        Fault::Truncated => Some("No key: capture with a larger snap length, if it was whole on the wire."),
        Fault::BadIpHeader
        | Fault::BadLength
        | Fault::BadIpOption
        | Fault::BadOffset
        | Fault::BadTcpOption
        | Fault::BadFlags
        | Fault::BadIcmpType
        | Fault::BadFragment => None,
    };
    let sentences = [rule.to_owned(), numbers].into_iter().filter(|text| !text.is_empty()).collect();
    Ruling { sentences, settings: setting.into_iter().map(str::to_owned).collect(), ..Ruling::default() }
}

/// What was compared in a header.
fn measured(evidence: wire::Evidence) -> String {
    match evidence {
        wire::Evidence::Truncated { layer, needed, present } => {
            format!("Its {} part needs {}, and there are {present}.", layer.name(), bytes(needed))
        }
        wire::Evidence::IpHeader { version, header_length } => {
            format!("Its first byte says version {version} and a header of {}.", bytes(header_length.into()))
        }
        wire::Evidence::Length { length, expected: [low, high] } => {
            format!("The field says {length}; {low} to {high} would have been possible.")
        }
        wire::Evidence::Option { offset, kind, length } => {
            let length = length.map_or_else(|| "no length".to_owned(), |length| format!("length {length}"));
            format!("The first wrong one begins at byte {offset} of the header: kind {kind}, {length}.")
        }
        wire::Evidence::Checksum { found, computed } => {
            format!("It bears {found:#06x}, and its bytes add up to {computed:#06x}.")
        }
        wire::Evidence::Offset { header_length, expected: [low, high] } => {
            format!(
                "It says that the header has {header_length} bytes; {low} to {high} would have been possible."
            )
        }
        wire::Evidence::Flags(flags) => {
            format!("It bears {}.", crate::replay::detail::flag_names(flags))
        }
        wire::Evidence::IcmpType { icmp_type, code } => format!("It is type {icmp_type}, code {code}."),
        wire::Evidence::Fragment { offset, length, more, .. } => {
            let more = if more { "more are to follow" } else { "it is the last" };
            format!("Its payload is {} at byte {offset}, and {more}.", bytes(length))
        }
    }
}

fn fragment(story: &Story, fault: fragments::Fault) -> Ruling {
    let policy = story.settings.fragments;
    let held = story.now.since(story.line.at.tick());
    match fault {
        fragments::Fault::Incomplete => Ruling {
            sentences: vec![format!(
                "A datagram is judged when all its fragments are there. After {} this one was not complete, so all \
                 of its pieces are dropped.",
                span(held)
            )],
            settings: vec![format!(
                "fragments.timeout = \"{}\": how long a datagram is waited for after its first piece.",
                span(policy.timeout)
            )],
            ..Ruling::default()
        },
        fragments::Fault::Overlap => said(
            "Pieces of its datagram overlap without being exact repetitions, or contradict each other in their ends: \
             then every piece is dropped, whichever came first (RFC 5722, RFC 8200 section 4.5)."
                .to_owned(),
        ),
        fragments::Fault::Limit => Ruling {
            sentences: vec![format!(
                "It, or another piece of its datagram, was one more than may be held at a time ({}).",
                policy.max
            )],
            settings: vec![format!("fragments.max = {}: how many pieces are held.", policy.max)],
            ..Ruling::default()
        },
    }
}

fn by_tcp(story: &Story, refusal: tcp::Refusal) -> Ruling {
    let Some(segment) = story.segment() else {
        return said("Its datagram was put together and judged as one segment.".to_owned());
    };
    match (story.evidence, refusal) {
        (Some(Evidence::Segment(detail)), _) => by_numbers(story, segment, &detail, refusal),
        (Some(Evidence::TimeWait { detail, lasts }), _) => time_wait(story, segment, &detail, lasts),
        (Some(Evidence::Beginning { lasts, .. }), refusal) => no_beginning(story, refusal, lasts),
        (
            Some(Evidence::Malformed(_) | Evidence::Query(_) | Evidence::Quote(_) | Evidence::Full { .. })
            | None,
            _,
        ) => Ruling::default(),
    }
}

/// A segment that a connection refuses for its numbers.
fn by_numbers(story: &Story, segment: &Segment, detail: &Detail, refusal: tcp::Refusal) -> Ruling {
    let sender = story.direction().unwrap_or(Direction::Original);
    let (from, to) = (story.sender(), story.receiver());
    let seq_name = |seq| story.number(seq, sender);
    let ack_name = |seq| story.number(seq, sender.opposite());
    let Some([low, high]) = detail.expected.map(|range| range.map(Seq)) else {
        return without_syn(story, segment, refusal);
    };
    match refusal {
        tcp::Refusal::OutOfWindow | tcp::Refusal::RstNotExact if detail.exact.is_some() => {
            rst(story, segment, (detail, [low, high]), refusal)
        }
        tcp::Refusal::OutOfWindow => Ruling {
            sentences: vec![
                format!(
                    "A segment's first or last byte must lie in its receiver's window (RFC 9293 section 3.10.7.4): not \
                     further back than the {to}'s largest window, {}, and not beyond what the {to} has acknowledged \
                     plus its window. A segment of this length may begin from {} to {}.",
                    bytes(detail.window),
                    seq_name(low),
                    seq_name(high)
                ),
                format!("This one begins at {}, {}.", seq_name(segment.seq), beyond(segment.seq, low, high)),
            ],
            drawing: story.bounds().map_or_else(Vec::new, |bounds| packet_beside(&bounds, segment)),
            settings: vec![
                "tcp.liberal = true lets such segments through without moving a window; tcp.check_window = false \
                 does not look at the numbers at all."
                    .to_owned(),
            ],
        },
        tcp::Refusal::AckOutOfWindow if segment.flags.has(Flags::RST) => Ruling {
            sentences: vec![format!(
                "An RST that answers a SYN must acknowledge exactly that SYN (RFC 9293 section 3.10.7.3): {}, and \
                 this one {}. A connection attempt is not ended by whoever has not seen it.",
                ack_name(low),
                if segment.flags.has(Flags::ACK) {
                    format!("acknowledges {}", ack_name(segment.ack))
                } else {
                    "acknowledges nothing".to_owned()
                }
            )],
            drawing: if segment.flags.has(Flags::ACK) { ack_line(segment, low, high) } else { Vec::new() },
            settings: vec!["No key: an RST is never let through by its acknowledgement alone.".to_owned()],
        },
        tcp::Refusal::AckOutOfWindow => Ruling {
            sentences: vec![
                format!(
                    "An acknowledgement must be of what the {to} has sent, and not lie more than a window back (RFC \
                     5961 section 5.2): from {} to {}.",
                    ack_name(low),
                    ack_name(high)
                ),
                format!("It acknowledges {}, {}.", ack_name(segment.ack), beyond(segment.ack, low, high)),
            ],
            drawing: ack_line(segment, low, high),
            settings: vec!["tcp.liberal = true lets such segments through without moving a window.".to_owned()],
        },
        tcp::Refusal::AfterFin => Ruling {
            sentences: vec![format!(
                "The {from} has sent its FIN: nothing of it may end behind {} (RFC 9293 section 3.10.7.4). This \
                 segment ends at {}, {} further.",
                seq_name(high.plus(segment.length)),
                seq_name(segment.end()),
                bytes(segment.end().offset_from(high.plus(segment.length)))
            )],
            drawing: draw(
                "seq",
                &[
                    Point::new("low", low, Mark::Low),
                    Point::new("FIN", high.plus(segment.length), Mark::High),
                    Point::new("end", segment.end(), Mark::Packet),
                ],
            ),
            settings: vec!["tcp.liberal = true lets it through without moving a window.".to_owned()],
        },
        tcp::Refusal::UnexpectedSynAck if story.is_open() => Ruling {
            sentences: vec![
                format!(
                    "A SYN-ACK must answer a SYN that the {to} has sent (RFC 9293 section 3.10.7.3), and this \
                     connection's was answered. Only a repetition of the SYN-ACK that was seen would be accepted{}, \
                     or one that acknowledges exactly a SYN that came since.",
                    story.initial(sender).map_or_else(String::new, |seq| format!(" (sequence number {})", seq.0))
                ),
                format!(
                    "This one bears {} and acknowledges {}.",
                    seq_name(segment.seq),
                    ack_name(segment.ack)
                ),
            ],
            drawing: ack_line(segment, low, high),
            settings: vec!["No key: see whether the SYN that it answers passes here.".to_owned()],
        },
        tcp::Refusal::UnexpectedSynAck | tcp::Refusal::NotSynchronized => Ruling {
            sentences: vec![
                before_handshake(story, refusal),
                format!(
                    "It acknowledges {}; a SYN-ACK would have had to acknowledge {} to {}.",
                    ack_name(segment.ack),
                    ack_name(low),
                    ack_name(high)
                ),
            ],
            drawing: ack_line(segment, low, high),
            settings: vec!["No key: see whether the SYN, or the whole handshake, passes here.".to_owned()],
        },
        tcp::Refusal::RstNotExact
        | tcp::Refusal::TimeWait
        | tcp::Refusal::QuietTime
        | tcp::Refusal::NoSyn
        | tcp::Refusal::NoConnection => Ruling::default(),
    }
}

/// What has to come before a segment that comes before the handshake's end.
fn before_handshake(story: &Story, refusal: tcp::Refusal) -> String {
    let (from, to) = (story.sender(), story.receiver());
    if refusal == tcp::Refusal::UnexpectedSynAck {
        format!("A SYN-ACK must answer a SYN that the {to} has sent (RFC 9293 section 3.10.7.3).")
    } else if story.has_sent_syn() {
        format!(
            "The {from} has sent its SYN, but before its data or acknowledgements there has to be an answer of the \
             {to} to that (RFC 9293 section 3.5)."
        )
    } else {
        format!(
            "The {from} has not synchronized: before its data or acknowledgements there has to be its SYN or SYN-ACK \
             (RFC 9293 section 3.5)."
        )
    }
}

/// A segment that could acknowledge no SYN, since its receiver has sent none that is known.
fn without_syn(story: &Story, segment: &Segment, refusal: tcp::Refusal) -> Ruling {
    let sender = story.direction().unwrap_or(Direction::Original);
    let acknowledged = story.number(segment.ack, sender.opposite());
    let to = story.receiver();
    Ruling {
        sentences: vec![
            before_handshake(story, refusal),
            format!(
                "It acknowledges {acknowledged}, but no SYN of the {to} is known that could be acknowledged."
            ),
        ],
        drawing: Vec::new(),
        settings: vec!["No key: see whether the SYN, or the whole handshake, passes here.".to_owned()],
    }
}

/// An RST that does not count; it would, or would lie inside the window, from `low` to `high`.
fn rst(
    story: &Story,
    segment: &Segment,
    (detail, [low, high]): (&Detail, [Seq; 2]),
    refusal: tcp::Refusal,
) -> Ruling {
    let sender = story.direction().unwrap_or(Direction::Original);
    let [acked, next] = detail.exact.unwrap_or_default().map(Seq);
    let exact = if acked == next {
        format!("{} is", story.number(next, sender))
    } else {
        format!(
            "{} (the highest that the {} has acknowledged) or {} (the next one expected) is",
            story.number(acked, sender),
            story.receiver(),
            story.number(next, sender)
        )
    };
    let mut sentences = vec![format!(
        "An RST ends a connection only if its sequence number is exact (RFC 5961 section 3): {exact}. This one bears {}.",
        story.number(segment.seq, sender)
    )];
    let mut settings = Vec::new();
    if refusal == tcp::Refusal::RstNotExact {
        sentences.push(match story.settings.tcp.inexact_rst {
            tcp::InexactRst::Pass => format!(
                "It lies inside the window, so it goes through without an effect: the {} answers with a challenge \
                 ACK, and an honest {} repeats it with the exact number.",
                story.receiver(),
                story.sender()
            ),
            tcp::InexactRst::Drop => "It lies inside the window, and tcp.inexact_rst = \"drop\" refuses such.".to_owned(),
        });
        settings.push("tcp.inexact_rst: \"pass\" lets it go on to its receiver, \"drop\" refuses it; neither ends the connection.".to_owned());
    } else {
        sentences.push(format!(
            "It lies {}: blind forgeries look like this, and so do RSTs that answer segments of long ago.",
            beyond(segment.seq, low, high)
        ));
        settings.push("No key: an RST outside the window is never let through.".to_owned());
    }
    let mut points = vec![
        Point::new("exact", acked, Mark::Low),
        Point::new("exact", next, Mark::Known),
        Point::new("window", high, Mark::High),
        Point::new("RST", segment.seq, Mark::Packet),
    ];
    points.dedup_by_key(|point| (point.label, point.at));
    Ruling { sentences, drawing: draw("seq", &points), settings }
}

/// A SYN that TIME_WAIT refuses.
fn time_wait(story: &Story, segment: &Segment, detail: &Detail, lasts: Span) -> Ruling {
    let Some([lowest, _]) = detail.expected else { return Ruling::default() };
    let next = Seq(lowest).minus(1);
    let reuse = story.settings.tcp.time_wait_reuse;
    let [own, old] = detail.timestamps.unwrap_or_default();
    let why = match (reuse, own, old) {
        (TimeWaitReuse::Off, ..) => "no SYN may take its tuple over".to_owned(),
        (TimeWaitReuse::Rfc6191, Some(own), Some(old)) if own != old => format!(
            "its timestamp ({own}) must be greater than the newest one of the old connection ({old}) (RFC 6191 section 2)"
        ),
        (TimeWaitReuse::Rfc1122 | TimeWaitReuse::Rfc6191 | TimeWaitReuse::Always, ..) => format!(
            "its sequence number must lie above {}, the next one expected of that side (RFC 1122 section 4.2.2.13), \
             and it is {}",
            next.0, segment.seq.0
        ),
    };
    Ruling {
        sentences: vec![
            format!(
                "The connection of its tuple is in TIME_WAIT, and by tcp.time_wait_reuse = \"{}\" {why}.",
                reuse_name(reuse)
            ),
            format!("TIME_WAIT lasts for another {}; after that any SYN begins a connection.", span(lasts)),
        ],
        drawing: draw(
            "seq",
            &[Point::new("next", next, Mark::Known), Point::new("SYN", segment.seq, Mark::Packet)],
        ),
        settings: vec![
            "tcp.time_wait_reuse: \"always\" lets any SYN begin anew, \"rfc1122\" goes by sequence numbers, \
             \"rfc6191\" by timestamps where there are some; tcp.msl is half of how long TIME_WAIT lasts."
                .to_owned(),
        ],
    }
}

/// A segment without a connection that cannot begin one.
fn no_beginning(story: &Story, refusal: tcp::Refusal, lasts: Option<Span>) -> Ruling {
    match refusal {
        tcp::Refusal::QuietTime => Ruling {
            sentences: vec![format!(
                "No connection begins within quiet time of the start, because segments of an earlier life may still \
                 be under way (RFC 9293 section 3.4.3). It lasts for another {}.",
                span(lasts.unwrap_or(Span::ZERO))
            )],
            settings: vec![format!(
                "tcp.quiet_time = \"{}\"; 0s turns it off.",
                span(story.settings.tcp.quiet_time)
            )],
            ..Ruling::default()
        },
        tcp::Refusal::NoSyn => Ruling {
            sentences: vec![
                "No connection of its tuple is in the table, and a connection begins with a SYN (RFC 9293 section \
                 3.5). This one is in mid-stream, and the configuration picks none up there."
                    .to_owned(),
            ],
            settings: vec!["tcp.loose = true picks it up.".to_owned()],
            ..Ruling::default()
        },
        tcp::Refusal::NoConnection
        | tcp::Refusal::OutOfWindow
        | tcp::Refusal::AckOutOfWindow
        | tcp::Refusal::AfterFin
        | tcp::Refusal::RstNotExact
        | tcp::Refusal::UnexpectedSynAck
        | tcp::Refusal::NotSynchronized
        | tcp::Refusal::TimeWait => Ruling {
            sentences: vec![
                "No connection of its tuple is in the table. A SYN-ACK or an RST answers something, and nothing that \
                 it could answer was seen: no connection is ever picked up from one (RFC 9293 section 3.10.7.1)."
                    .to_owned(),
            ],
            settings: vec![
                "No key: see whether the other direction passes here; the connection may also be over already."
                    .to_owned(),
            ],
            ..Ruling::default()
        },
    }
}

fn icmp_unknown(story: &Story) -> Ruling {
    let rule =
        "An ICMP error is believed only if it quotes a packet of a live connection, goes to whoever sent \
                that, and for TCP quotes a sequence number that is in flight (RFC 5927 section 4.1)."
            .to_owned();
    let Some(Evidence::Quote(Quoted { addresses, ports, seq, in_flight })) = story.evidence else {
        return said(rule);
    };
    let Some((protocol, source, destination)) = addresses else {
        return Ruling {
            sentences: vec![rule, "Too little is quoted to tell whose packet it was.".to_owned()],
            ..Ruling::default()
        };
    };
    let protocol = crate::json::protocol_name(protocol, source.is_ipv6()).to_uppercase();
    let from = super::story::place(source, ports.map(|(port, _)| port));
    let to = super::story::place(destination, ports.map(|(_, port)| port));
    let quotes = format!("It quotes {protocol} from {from} to {to}");
    match (seq, in_flight) {
        (Some(seq), Some([first, end])) => {
            let high = end.minus(1);
            let flight = if first == end {
                "nothing of that side is in flight: all was acknowledged".to_owned()
            } else {
                format!("in flight are {} to {}", first.0, high.0)
            };
            Ruling {
                sentences: vec![rule, format!("{quotes}, sequence number {}; {flight}.", seq.0)],
                drawing: draw(
                    "seq",
                    &[
                        Point::new("acked", first, Mark::Low),
                        Point::new("next", end, Mark::High),
                        Point::new("quoted", seq, Mark::Packet),
                    ],
                ),
                settings: Vec::new(),
            }
        }
        (Some(_) | None, _) => Ruling {
            sentences: vec![
                rule,
                format!("{quotes}, and no such connection is in the table, or it has not sent that."),
            ],
            ..Ruling::default()
        },
    }
}

fn by_shard(story: &Story, refusal: Refusal) -> Ruling {
    match refusal {
        Refusal::TableFull => {
            let numbers = match story.evidence {
                Some(Evidence::Full { live, capacity }) => format!(": {live} live in {capacity} places"),
                Some(_) | None => String::new(),
            };
            Ruling {
                sentences: vec![format!(
                    "It would begin a connection, and the table is full{numbers}. Of those looked at none could go: a \
                     connection that both sides have confirmed is never evicted."
                )],
                settings: vec![
                    "table.max_connections: how many there can be; shorter timers free places sooner."
                        .to_owned(),
                ],
                ..Ruling::default()
            }
        }
        Refusal::NotAllowed => {
            said("It would begin a connection at a port where none may begin (new_from).".to_owned())
        }
        Refusal::WrongPort => {
            said("It came in by the port where its direction of the connection does not.".to_owned())
        }
    }
}

/// Where a number lies beside `low` and `high`.
fn beyond(number: Seq, low: Seq, high: Seq) -> String {
    if number.is_before(low) {
        format!("{} below that", bytes(low.offset_from(number)))
    } else if number.is_after(high) {
        format!("{} above that", bytes(number.offset_from(high)))
    } else {
        "which is in between".to_owned()
    }
}

fn ack_line(segment: &Segment, low: Seq, high: Seq) -> Vec<String> {
    draw(
        "ack",
        &[
            Point::new("low", low, Mark::Low),
            Point::new("high", high, Mark::High),
            Point::new("packet", segment.ack, Mark::Packet),
        ],
    )
}
