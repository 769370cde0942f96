//! Text for a person: a row for each connection as it ends, and at the end the sums.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use super::sink::{PacketLine, Sink, Summary, protocol_name};
use crate::shard::{Class, Reason, Record, Verdict};
use crate::time::Tick;

/// Writes the table; rows come as connections end, so nothing has to be kept.
pub(super) struct Table<'a> {
    out: &'a mut dyn Write,
    name: String,
    has_header: bool,
}

impl<'a> Table<'a> {
    pub(super) fn new(out: &'a mut dyn Write, name: &str) -> Table<'a> {
        Table { out, name: name.to_owned(), has_header: false }
    }
}

impl Sink for Table<'_> {
    fn packet(&mut self, _line: &PacketLine, _verdict: &Verdict) -> io::Result<()> {
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
        let (from, to) = ends(record);
        let states = match record.states {
            Some([originator, responder]) => format!("{originator}/{responder}"),
            None if record.replied => "replied".to_owned(),
            None => "unreplied".to_owned(),
        };
        let end = record.end.map_or_else(
            || format!("in {}", seconds(record.deadline.since(now).milliseconds())),
            |end| end.name().to_owned(),
        );
        writeln!(
            self.out,
            "{:>6}  {:<6}  {:<44}  {:<24}  {:<12}  {:>6} {:>6}  {:>8} {:>8}",
            record.id,
            protocol_name(record.protocol, record.originator.0.is_ipv6()),
            format!("{from} > {to}"),
            states,
            end,
            record.packets[0],
            record.packets[1],
            record.bytes[0],
            record.bytes[1]
        )
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
        self.row("live", summary.by_protocol.iter().cloned())?;
        self.row("states", summary.by_states.iter().cloned())?;
        self.out.flush()
    }
}

impl Table<'_> {
    /// One line of counts, those that are zero left out; nothing where all are.
    fn row(&mut self, title: &str, counts: impl Iterator<Item = (String, u64)>) -> io::Result<()> {
        let counts: Vec<String> =
            counts.filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
        if counts.is_empty() { Ok(()) } else { writeln!(self.out, "  {title:<7} {}", counts.join(", ")) }
    }
}

/// Both endpoints, as short as they can be said.
fn ends(record: &Record) -> (String, String) {
    use crate::wire::protocol::{TCP, UDP};
    let (from, to) = (record.originator, record.responder);
    if record.is_icmp() {
        return (format!("{} id {}", from.0, from.1), to.0.to_string());
    }
    let end = |(address, port): (IpAddr, u16)| {
        if matches!(record.protocol, TCP | UDP) {
            SocketAddr::new(address, port).to_string()
        } else {
            address.to_string()
        }
    };
    (end(from), end(to))
}

fn seconds(milliseconds: u32) -> String {
    format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000)
}
