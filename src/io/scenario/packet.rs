//! The left side of a row: who sends, what, with which numbers and options.
//!
//! ```text
//!   a    SYN+ACK    5000  1001  65535  0       mss 1460, scale 7
//!   r    ICMP 3/1   1000  -     65535  0       quotes a SYN, quote 28
//!   side segment    seq   ack   window length  options
//! ```

use super::read::{Sides, Way};
use super::words::{Piece, Problem};
use super::{PacketRow, Side, expect};
use crate::wire::Flags;

/// The flags by name, in the order of the header's bits.
const FLAGS: [(&str, u8); 8] = [
    ("FIN", 0x01),
    ("SYN", 0x02),
    ("RST", 0x04),
    ("PSH", 0x08),
    ("ACK", 0x10),
    ("URG", 0x20),
    ("ECE", 0x40),
    ("CWR", 0x80),
];

/// The most bytes of payload: with every header there is, still a length that IPv4 can state.
const MOST_PAYLOAD: u16 = 65_000;

/// The most bytes of options in a TCP header (RFC 9293 section 3.1), and in an IPv4 header (RFC 791 section 3.1).
const MOST_OPTIONS: usize = 40;

/// The highest VLAN: twelve bits (IEEE 802.1Q).
const LAST_VLAN: u16 = 4095;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) content: Content,
    pub(super) envelope: Envelope,
    pub(super) damage: Damage,
}

impl Sent {
    /// How many bytes of the frame are captured, where not all of them are.
    pub(super) fn snap(&self) -> Option<usize> {
        self.damage.snap.map(usize::from)
    }
}

/// What lies around what the IP packet carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Envelope {
    /// The outermost first.
    pub(super) vlans: Vec<u16>,
    /// The IPv4 header's.
    pub(super) options: Vec<u8>,
    /// The identification, which fragments of one datagram have in common.
    pub(super) id: u16,
    /// From which byte behind the IP header to which, of a fragment.
    pub(super) fragment: Option<(u16, u16)>,
}

/// What is wrong with a packet on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Damage {
    pub(super) checksum: bool,
    pub(super) ip_checksum: bool,
    snap: Option<u16>,
}

/// What lies in the IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Tcp(Segment),
    Udp { length: u16 },
    Echo { is_reply: bool, id: u16, length: u16 },
    Other { protocol: u8, length: u16 },
    Error(Box<Report>),
}

impl Content {
    /// How many bytes it takes behind the IP header; of an error, at least.
    fn length(&self) -> usize {
        match self {
            Content::Tcp(segment) => {
                20 + segment.options.len().next_multiple_of(4) + usize::from(segment.length)
            }
            Content::Udp { length } | Content::Echo { length, .. } => 8 + usize::from(*length),
            Content::Other { length, .. } => usize::from(*length),
            Content::Error(_) => 8,
        }
    }
}

/// A TCP segment, options as they are on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) flags: Flags,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) urgent: u16,
    pub(super) length: u16,
    pub(super) options: Vec<u8>,
}

/// An ICMP error, and the packet that it quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) icmp_type: u8,
    pub(super) code: u8,
    /// The next hop's MTU, of those errors that state one.
    pub(super) mtu: u16,
    /// How many bytes are quoted, from the IP header on; what the RFCs ask for where it is not said.
    pub(super) keep: Option<u16>,
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) quoted: Content,
}

/// The word in the column `segment`.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Tcp(Flags),
    Udp,
    Echo { is_reply: bool },
    Other(u8),
    Error { icmp_type: u8, code: u8 },
}

/// The four columns of numbers.
struct Columns<'a> {
    seq: Piece<'a>,
    ack: Piece<'a>,
    window: Piece<'a>,
    length: Piece<'a>,
}

/// What the options said.
#[derive(Default)]
struct Extras<'a> {
    options: Vec<u8>,
    urgent: u16,
    id: u16,
    mtu: u16,
    keep: Option<u16>,
    quotes: Option<(Piece<'a>, Way, Kind)>,
    /// Where the envelope has a fragment or options: what they are held against becomes known later.
    fragment: Option<Piece<'a>>,
    ip_options: Option<Piece<'a>>,
    envelope: Envelope,
    damage: Damage,
}

/// Reads a row behind its time.
pub(super) fn read(sides: &Sides, rest: Piece<'_>) -> Result<PacketRow, Problem> {
    let (mut left, right) = rest.split("|");
    let side = left.expect_word("a side, such as a")?;
    let way = sides.way(side)?;
    let kind = Kind::read(&mut left)?;
    let columns = Columns {
        seq: left.expect_word("a sequence number")?,
        ack: left.expect_word("an acknowledgement number")?,
        window: left.expect_word("a window")?,
        length: left.expect_word("a length in bytes")?,
    };
    if left.is_empty() {
        return Err(left.problem("the line ends here, before the options; `-` is none".to_owned()));
    }
    let mut extras = Extras { id: 1, ..Extras::default() };
    if left.text() != "-" {
        for item in left.items() {
            extras.read(sides, kind, item)?;
        }
    }
    let expected = right.map(expect::packet).transpose()?;
    if let Some(word) = extras.ip_options.filter(|_| sides.is_v6(way.from)) {
        return Err(word.problem("IPv6 has no such options; only an IPv4 header has".to_owned()));
    }
    let (to, content) = match kind {
        Kind::Error { icmp_type, code } => {
            let Some((word, quoted, inner)) = extras.quotes else {
                return Err(left.wrong("options with what the error quotes, such as `quotes a ACK`"));
            };
            let to = if way.is_given { way.to } else { quoted.from };
            sides.check(word, way.from, to)?;
            let report = error((icmp_type, code), &extras, &columns, quoted, inner)?;
            (to, report)
        }
        Kind::Tcp(_) | Kind::Udp | Kind::Echo { .. } | Kind::Other(_) => {
            (way.to, columns.content(kind, &extras)?)
        }
    };
    if let (Some(word), Some((_, to))) = (extras.fragment, extras.envelope.fragment)
        && usize::from(to) > content.length()
    {
        let length = content.length();
        return Err(word.wrong(&format!("a part of the {length} bytes behind the IP header, such as 0-8")));
    }
    let Extras { envelope, damage, .. } = extras;
    Ok(PacketRow { sent: Sent { from: way.from, to, content, envelope, damage }, expected })
}

/// The error that quotes a packet of `inner` kind on its way `quoted`; the columns are the quoted segment's.
fn error(
    (icmp_type, code): (u8, u8),
    extras: &Extras<'_>,
    columns: &Columns<'_>,
    quoted: Way,
    inner: Kind,
) -> Result<Content, Problem> {
    let content = match inner {
        // An error about an error: that one quotes a segment of whoever it went to.
        Kind::Error { icmp_type, code } => Content::Error(Box::new(Report {
            icmp_type,
            code,
            mtu: 0,
            keep: None,
            from: quoted.to,
            to: quoted.from,
            quoted: columns.content(Kind::Tcp(Flags::ACK), &Extras::default())?,
        })),
        Kind::Tcp(_) | Kind::Udp | Kind::Echo { .. } | Kind::Other(_) => columns.content(inner, extras)?,
    };
    Ok(Content::Error(Box::new(Report {
        icmp_type,
        code,
        mtu: extras.mtu,
        keep: extras.keep,
        from: quoted.from,
        to: quoted.to,
        quoted: content,
    })))
}

impl Kind {
    /// Takes the segment's word, or words.
    fn read(rest: &mut Piece<'_>) -> Result<Kind, Problem> {
        let word = rest.expect_word("a segment, such as SYN+ACK")?;
        Ok(match word.text() {
            "UDP" => Kind::Udp,
            "ECHO" => Kind::Echo { is_reply: false },
            "ECHO-REPLY" => Kind::Echo { is_reply: true },
            "IP" => Kind::Other(rest.expect_word("a protocol's number")?.number("a protocol's number")?),
            "ICMP" => {
                let what = "a type and a code, such as 3/1";
                let (icmp_type, code) = rest.expect_word(what)?.pair("/", what)?;
                Kind::Error { icmp_type, code }
            }
            "none" => Kind::Tcp(Flags(0)),
            _ => {
                let mut flags = Flags(0);
                for name in word.text().split('+') {
                    let Some((_, bit)) = FLAGS.iter().find(|(flag, _)| *flag == name) else {
                        return Err(word.wrong(
                            "a segment: flags such as SYN+ACK (FIN SYN RST PSH ACK URG ECE CWR), none, UDP, \
                             ECHO, ECHO-REPLY, IP NUMBER or ICMP TYPE/CODE",
                        ));
                    };
                    flags = flags.with(Flags(*bit));
                }
                Kind::Tcp(flags)
            }
        })
    }

    const fn is_tcp(self) -> bool {
        matches!(self, Kind::Tcp(_))
    }
}

impl Columns<'_> {
    /// The content of this kind with the numbers of the columns.
    fn content(&self, kind: Kind, extras: &Extras<'_>) -> Result<Content, Problem> {
        let length: u16 = self.length.number("a length in bytes, from 0 to 65000")?;
        if length > MOST_PAYLOAD {
            return Err(self.length.wrong("a length in bytes, from 0 to 65000"));
        }
        if !kind.is_tcp() {
            for cell in [self.seq, self.ack, self.window] {
                if cell.text() != "-" {
                    return Err(cell.wrong("`-`, as what is not TCP has no such number"));
                }
            }
        }
        Ok(match kind {
            Kind::Tcp(flags) => Content::Tcp(self.segment(flags, length, extras)?),
            Kind::Udp => Content::Udp { length },
            Kind::Echo { is_reply } => Content::Echo { is_reply, id: extras.id, length },
            Kind::Other(protocol) => Content::Other { protocol, length },
            Kind::Error { .. } => return Err(self.seq.problem("an error quotes no such packet".to_owned())),
        })
    }

    fn segment(&self, flags: Flags, length: u16, extras: &Extras<'_>) -> Result<Segment, Problem> {
        let what = "a number from 0 to 4294967295";
        let ack = match self.ack.text() {
            "-" if flags.has(Flags::ACK) => {
                return Err(self.ack.wrong("the acknowledgement number that a segment with ACK has"));
            }
            "-" => 0,
            _ => self.ack.number(what)?,
        };
        Ok(Segment {
            flags,
            seq: self.seq.number(what)?,
            ack,
            window: self.window.number("a window from 0 to 65535")?,
            urgent: extras.urgent,
            length,
            options: extras.options.clone(),
        })
    }
}

impl<'a> Extras<'a> {
    /// Reads one item between commas.
    fn read(&mut self, sides: &Sides, kind: Kind, item: Piece<'a>) -> Result<(), Problem> {
        let mut rest = item;
        let word = rest.take_word();
        let is_error = matches!(kind, Kind::Error { .. });
        match word.text() {
            "mss" | "scale" | "sack-permitted" | "sack" | "ts" | "nop" | "raw" if kind.is_tcp() => {
                self.read_tcp(word, &mut rest)?;
                if self.options.len() > MOST_OPTIONS {
                    return Err(word.problem("the options take more than 40 bytes".to_owned()));
                }
            }
            "urgent" if kind.is_tcp() => self.urgent = number(&mut rest, "an urgent pointer")?,
            "id" if matches!(kind, Kind::Echo { .. }) || is_error => {
                self.id = number(&mut rest, "an identifier")?;
            }
            "mtu" if is_error => self.mtu = number(&mut rest, "an MTU in bytes")?,
            "quote" if is_error => self.keep = Some(number(&mut rest, "how many bytes are quoted")?),
            "quotes" if is_error => {
                let side = rest.expect_word("the side whose packet is quoted")?;
                self.quotes = Some((side, sides.way(side)?, Kind::read(&mut rest)?));
            }
            "vlan" => {
                let what = "a VLAN from 0 to 4095";
                let vlan = rest.expect_word(what)?;
                let id = vlan.number(what).ok().filter(|&id| id <= LAST_VLAN);
                self.envelope.vlans.push(id.ok_or_else(|| vlan.wrong(what))?);
            }
            "ip-id" => self.envelope.id = number(&mut rest, "an identification from 0 to 65535")?,
            "ip-options" => {
                self.ip_options = Some(word);
                bytes(&mut rest, &mut self.envelope.options)?;
                if self.envelope.options.len() > MOST_OPTIONS {
                    return Err(word.problem("the IP header's options take more than 40 bytes".to_owned()));
                }
            }
            "fragment" if !is_error => {
                let what =
                    "the bytes behind the IP header that it bears, from a multiple of eight on, such as 0-24";
                let range = rest.expect_word(what)?;
                let (from, to): (u16, u16) = range.pair("-", what)?;
                if from % 8 != 0 || to <= from {
                    return Err(range.wrong(what));
                }
                self.fragment = Some(range);
                self.envelope.fragment = Some((from, to));
            }
            "bad-checksum" => self.damage.checksum = true,
            "bad-ip-checksum" => self.damage.ip_checksum = true,
            "snap" => self.damage.snap = Some(number(&mut rest, "how many bytes are captured")?),
            _ => {
                return Err(word.wrong(
                    "an option that this row can have; of TCP: mss N, scale N, sack-permitted, sack L-R, ts V E, \
                     nop, raw HEX, urgent N; of echo: id N; of errors: quotes SIDE SEGMENT, quote N, mtu N, id N; \
                     of all but errors: fragment FROM-TO; of all: vlan N, ip-options HEX, ip-id N, bad-checksum, \
                     bad-ip-checksum, snap N",
                ));
            }
        }
        rest.must_be_empty("the option")
    }

    /// An option of the TCP header.
    fn read_tcp(&mut self, word: Piece<'_>, rest: &mut Piece<'_>) -> Result<(), Problem> {
        let options = &mut self.options;
        match word.text() {
            "mss" => {
                let size: u16 = number(rest, "a segment size in bytes")?;
                options.extend_from_slice(&[2, 4]);
                options.extend_from_slice(&size.to_be_bytes());
            }
            "scale" => options.extend_from_slice(&[1, 3, 3, number(rest, "a shift from 0 to 255")?]),
            "sack-permitted" => options.extend_from_slice(&[1, 1, 4, 2]),
            "ts" => {
                // Aligned as nearly everybody does it (RFC 7323 appendix A).
                options.extend_from_slice(&[1, 1, 8, 10]);
                for _ in 0..2 {
                    let stamp: u32 = number(rest, "a timestamp and the one it echoes, such as `ts 100 0`")?;
                    options.extend_from_slice(&stamp.to_be_bytes());
                }
            }
            "sack" => {
                let at = options.len() + 3;
                options.extend_from_slice(&[1, 1, 5, 2]);
                while !rest.is_empty() && options.len() <= MOST_OPTIONS {
                    let (left, right): (u32, u32) =
                        rest.take_word().pair("-", "a block, such as 1000-2000")?;
                    options.extend_from_slice(&left.to_be_bytes());
                    options.extend_from_slice(&right.to_be_bytes());
                    options[at] += 8;
                }
            }
            "nop" => options.push(1),
            _ => bytes(rest, options)?,
        }
        Ok(())
    }
}

/// Takes every word as a byte, until there are more than a header's options can be.
fn bytes(rest: &mut Piece<'_>, into: &mut Vec<u8>) -> Result<(), Problem> {
    while !rest.is_empty() && into.len() <= MOST_OPTIONS {
        let byte = rest.take_word();
        let is_hex = byte.text().len() == 2 && byte.text().bytes().all(|b| b.is_ascii_hexdigit());
        let value = u8::from_str_radix(byte.text(), 16).ok().filter(|_| is_hex);
        into.push(value.ok_or_else(|| byte.wrong("a byte in two hexadecimal digits"))?);
    }
    Ok(())
}

/// Takes the next word as a number.
fn number<T: std::str::FromStr>(rest: &mut Piece<'_>, what: &str) -> Result<T, Problem> {
    rest.expect_word(what)?.number(what)
}
