//! Text for a person: a row for each connection as it ends, and at the end the sums.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use super::detail::Detail;
use super::sink::{PacketLine, Sink, Summary};
use crate::json::protocol_name;
use crate::shard::{Class, Reason, Record, Verdict};
use crate::time::Tick;

/// Writes the table; rows come as connections end, so nothing has to be kept.
pub(super) struct Table<'a> {
    out: &'a mut dyn Write,
    name: String,
    has_header: bool,
    /// A row and one cell of it while they are made: a long replay has millions of rows.
    row: String,
    cell: String,
}

impl<'a> Table<'a> {
    pub(super) fn new(out: &'a mut dyn Write, name: &str) -> Table<'a> {
        Table { out, name: name.to_owned(), has_header: false, row: String::new(), cell: String::new() }
    }
}

impl Sink for Table<'_> {
    fn packet(&mut self, _: &PacketLine, _: &Verdict, _: Option<&Detail>) -> io::Result<()> {
        Ok(())
    }

    fn connection(&mut self, record: &Record, now: Tick) -> io::Result<()> {
        if !self.has_header {
            writeln!(
                self.out,
                "{:>6}  {:<6}  {:<44}  {:<24}  {:<12}  {:>13}  {:>17}",
                "id", "proto", "originator > responder", "states", "end", "packets", "bytes"
            )?;
            self.has_header = true;
        }
        self.make_row(record, now);
        self.out.write_all(self.row.as_bytes())
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        let counters = summary.counters;
        if self.has_header {
            writeln!(self.out)?;
        }
        writeln!(
            self.out,
            "{}: {} packets, {} accepted, {} dropped; {} connections, {} of them live at the end",
            self.name, summary.packets, counters.accepted, counters.dropped, counters.begun, summary.live
        )?;
        let classes = Class::ALL.into_iter().zip(counters.by_class);
        self.row("class", classes.map(|(class, n)| (class.name().to_owned(), n)))?;
        let reasons = Reason::all().zip(counters.by_reason);
        self.row("reason", reasons.map(|(reason, n)| (reason.name().to_owned(), n)))?;
        if let Some(number) = summary.first_dropped {
            writeln!(
                self.out,
                "  why     --explain {number} tells the story of packet {number}, the first that was dropped"
            )?;
        }
        self.row("live", summary.by_protocol.iter().cloned())?;
        self.row("states", summary.by_states.iter().cloned())?;
        self.out.flush()
    }
}

impl Table<'_> {
    /// Makes the row of a connection. Writing to a string cannot fail.
    fn make_row(&mut self, record: &Record, now: Tick) {
        let Table { row, cell, .. } = self;
        row.clear();
        let is_v6 = record.originator.0.is_ipv6();
        let _ = write!(row, "{:>6}  {:<6}  ", record.id, protocol_name(record.protocol, is_v6));
        cell.clear();
        write_end(cell, record, record.originator, true);
        cell.push_str(" > ");
        write_end(cell, record, record.responder, false);
        pad(row, cell, 44);
        cell.clear();
        let _ = match record.states {
            Some([originator, responder]) => write!(cell, "{}/{}", originator.name(), responder.name()),
            None => write!(cell, "{}", if record.replied { "replied" } else { "unreplied" }),
        };
        pad(row, cell, 24);
        cell.clear();
        let _ = match record.end {
            Some(end) => write!(cell, "{}", end.name()),
            None => {
                let left = record.deadline.since(now).milliseconds();
                write!(cell, "in {}.{:03} s", left / 1000, left % 1000)
            }
        };
        pad(row, cell, 12);
        let ([packets, replies], [bytes, reply_bytes]) = (record.packets, record.bytes);
        let _ = writeln!(row, "{packets:>6} {replies:>6}  {bytes:>8} {reply_bytes:>8}");
    }

    /// One line of counts, those that are zero left out; nothing where all are.
    fn row(&mut self, title: &str, counts: impl Iterator<Item = (String, u64)>) -> io::Result<()> {
        let counts: Vec<String> =
            counts.filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
        if counts.is_empty() { Ok(()) } else { writeln!(self.out, "  {title:<7} {}", counts.join(", ")) }
    }
}

/// Adds `cell` to `row`, padded to `width`, and the gap behind it.
fn pad(row: &mut String, cell: &str, width: usize) {
    row.push_str(cell);
    row.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.len()) + 2));
}

/// An endpoint, as short as it can be said.
fn write_end(cell: &mut String, record: &Record, (address, port): (IpAddr, u16), is_originator: bool) {
    use crate::wire::protocol::{TCP, UDP};
    let _ = if record.is_icmp() && is_originator {
        write!(cell, "{address} id {port}")
    } else if matches!(record.protocol, TCP | UDP) {
        write!(cell, "{}", SocketAddr::new(address, port))
    } else {
        write!(cell, "{address}")
    };
}
