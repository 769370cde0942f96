//! Answers of a running middlebox, for a person.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use crate::control::stats::{ByName, Queue, Stats};
use crate::control::{Line, protocol};
use crate::json::{Connection, Pair, Tuple};

/// Says an answer, line by line.
pub(super) trait Teller {
    /// Takes note of a line that is printed as it came.
    fn note(&mut self, line: &Line) {
        let _ = line;
    }
    /// Whether missed events are part of what it tells, not a remark on it.
    fn tells_missed(&self) -> bool {
        false
    }
    /// Says a line.
    fn tell(&mut self, line: &Line, out: &mut dyn Write) -> io::Result<()>;
}

/// A row for each connection.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// When the listing was made.
    time: f64,
    row: String,
}

impl Teller for Rows {
    fn tell(&mut self, line: &Line, out: &mut dyn Write) -> io::Result<()> {
        match line {
            Line::Snapshot { time, .. } => {
                self.time = *time;
                writeln!(
                    out,
                    "{:>8}  {:>4}  {:<6}  {:<44}  {:<23}  {:>15}  {:>19}  {:>7}  {:>7}",
                    "id",
                    "zone",
                    "proto",
                    "originator > responder",
                    "states",
                    "packets",
                    "bytes",
                    "age",
                    "expires"
                )
            }
            Line::Connection(connection) => {
                self.row.clear();
                // Writing to a string cannot fail.
                let _ = write_row(&mut self.row, connection, self.time);
                out.write_all(self.row.as_bytes())
            }
            Line::Event(_)
            | Line::Missed(_)
            | Line::Count(_)
            | Line::Deleted { .. }
            | Line::Stats(_)
            | Line::Error { .. }
            | Line::End => Ok(()),
        }
    }
}

fn write_row(row: &mut String, connection: &Connection<'_>, time: f64) -> std::fmt::Result {
    let Connection { id, zone, protocol, packets, bytes, .. } = connection;
    let (who, states) = (endpoints(&connection.original), states(connection));
    let age = span(time - connection.started);
    let left = connection.expires_in.map_or_else(String::new, span);
    writeln!(
        row,
        "{id:>8}  {zone:>4}  {protocol:<6}  {who:<44}  {states:<23}  {:>7} {:>7}  {:>9} {:>9}  {age:>7}  {left:>7}",
        packets.original, packets.reply, bytes.original, bytes.reply
    )
}

/// A paragraph for each connection.
#[derive(Debug, Default)]
pub(super) struct Details {
    time: f64,
    told: u64,
}

impl Details {
    /// Whether there was no connection.
    pub(super) fn is_empty(&self) -> bool {
        self.told == 0
    }
}

impl Teller for Details {
    fn note(&mut self, line: &Line) {
        self.told += u64::from(matches!(line, Line::Connection(_)));
    }

    fn tell(&mut self, line: &Line, out: &mut dyn Write) -> io::Result<()> {
        if let Line::Snapshot { time, .. } = line {
            self.time = *time;
        }
        let Line::Connection(connection) = line else { return Ok(()) };
        if self.told > 0 {
            writeln!(out)?;
        }
        self.told += 1;
        let Connection { id, zone, protocol, packets, bytes, .. } = connection;
        let amounts =
            |Pair { original, reply }: &Pair| format!("{original} from the originator, {reply} back");
        writeln!(out, "connection {id}: {protocol}, zone {zone}")?;
        writeln!(out, "  original  {}", endpoints(&connection.original))?;
        writeln!(out, "  reply     {}", endpoints(&connection.reply))?;
        writeln!(out, "  states    {}", states(connection))?;
        writeln!(out, "  packets   {}", amounts(packets))?;
        writeln!(out, "  bytes     {}", amounts(bytes))?;
        writeln!(
            out,
            "  began {} ago, was last seen {} ago, expires in {}",
            span(self.time - connection.started),
            span(self.time - connection.last_seen),
            connection.expires_in.map_or_else(String::new, span)
        )
    }
}

/// A line for each event; connections that were there before stand in the same columns.
#[derive(Debug, Default)]
pub(super) struct Happenings {
    line: String,
}

impl Teller for Happenings {
    fn tells_missed(&self) -> bool {
        true
    }

    fn tell(&mut self, line: &Line, out: &mut dyn Write) -> io::Result<()> {
        self.line.clear();
        // Writing to a string cannot fail.
        let _ = self.write(line);
        out.write_all(self.line.as_bytes())
    }
}

impl Happenings {
    fn write(&mut self, line: &Line) -> std::fmt::Result {
        let text = &mut self.line;
        match line {
            Line::Event(protocol::Event { event, shard, sequence, connection }) => {
                write!(text, "{event:<8}{shard:>4}{sequence:>10}  ")?;
                write_happening(text, connection)
            }
            Line::Connection(connection) => {
                write!(text, "{:<8}{:>4}{:>10}  ", "there", "", "")?;
                write_happening(text, connection)
            }
            Line::Missed(protocol::Missed { shard, from, to }) => {
                writeln!(text, "{:<8}{shard:>4}{from:>10}  to {to}: reading was too slow", "missed")
            }
            Line::Snapshot { .. }
            | Line::Count(_)
            | Line::Deleted { .. }
            | Line::Stats(_)
            | Line::Error { .. }
            | Line::End => Ok(()),
        }
    }
}

fn write_happening(text: &mut String, connection: &Connection<'_>) -> std::fmt::Result {
    let Connection { id, protocol, packets, bytes, .. } = connection;
    let (who, states) = (endpoints(&connection.original), states(connection));
    write!(text, "{id:>8}  {protocol:<6}  {who:<44}  {states}")?;
    if let Some(end) = connection.end {
        let all = [packets.original + packets.reply, bytes.original + bytes.reply];
        write!(text, "  {}: {} packets, {} bytes", end.0.name(), all[0], all[1])?;
    }
    writeln!(text)
}

/// Counts.
#[derive(Debug)]
pub(super) struct Numbers;

impl Teller for Numbers {
    fn tell(&mut self, line: &Line, out: &mut dyn Write) -> io::Result<()> {
        match line {
            Line::Count(count) => {
                writeln!(out, "{} connections", count.connections)?;
                names(out, "protocol", &count.by_protocol)?;
                names(out, "states", &count.by_states)
            }
            Line::Deleted { connections } => writeln!(out, "{connections} connections deleted"),
            Line::Stats(stats) => tell_stats(stats, out),
            Line::Snapshot { .. }
            | Line::Connection(_)
            | Line::Event(_)
            | Line::Missed(_)
            | Line::Error { .. }
            | Line::End => Ok(()),
        }
    }
}

fn tell_stats(stats: &Stats, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "lastack {}, running for {}", stats.version, span(stats.uptime))?;
    tell_connections(stats, out)?;
    tell_packets(stats, out)?;
    tell_ports(stats, out)?;
    tell_workers(stats, out)?;
    tell_memory(stats, out)
}

fn tell_connections(stats: &Stats, out: &mut dyn Write) -> io::Result<()> {
    let connections = &stats.connections;
    writeln!(out, "\nconnections")?;
    writeln!(
        out,
        "  {} live of {} ({:.1} % of the fullest shard), {} created",
        connections.live,
        connections.capacity,
        100.0 * connections.fullest,
        connections.created
    )?;
    names(out, "protocol", &connections.by_protocol)?;
    names(out, "states", &connections.by_states)?;
    names(out, "ended", &connections.ended)
}

fn tell_packets(stats: &Stats, out: &mut dyn Write) -> io::Result<()> {
    let packets = &stats.packets;
    writeln!(out, "\npackets")?;
    writeln!(
        out,
        "  {} received, {} sent; {} accepted, {} dropped",
        packets.received, packets.sent, packets.accepted, packets.dropped
    )?;
    names(out, "class", &packets.by_class)?;
    names(out, "reason", &packets.by_reason)
}

fn tell_ports(stats: &Stats, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nports")?;
    for port in &stats.ports {
        let zone = port.zone.map_or_else(|| "no bridge".to_owned(), |zone| format!("zone {zone}"));
        writeln!(
            out,
            "  {} ({}): {}, {zone}, {} unclaimed",
            port.port, port.interface, port.state, port.unclaimed
        )?;
        for queue in &port.queues {
            tell_queue(queue, out)?;
        }
    }
    Ok(())
}

fn tell_queue(queue: &Queue, out: &mut dyn Write) -> io::Result<()> {
    let Queue { received, sent, .. } = queue;
    writeln!(
        out,
        "    queue {:<3} {:<9}  in {} packets, {} bytes; out {} packets, {} bytes",
        queue.queue, queue.mode, received.packets, received.bytes, sent.packets, sent.bytes
    )?;
    names(out, "    lost", &queue.lost)?;
    let Some(kernel) = &queue.kernel else { return Ok(()) };
    let named = [
        ("rx_dropped", kernel.rx_dropped),
        ("rx_invalid", kernel.rx_invalid),
        ("tx_invalid", kernel.tx_invalid),
        ("tx_dropped", kernel.tx_dropped),
        ("rx_ring_full", kernel.rx_ring_full),
        ("fill_ring_empty", kernel.fill_ring_empty),
        ("tx_ring_empty", kernel.tx_ring_empty),
    ];
    names(out, "    kernel", &ByName::from(named.map(|(name, n)| (name.to_owned(), n))))
}

fn tell_memory(stats: &Stats, out: &mut dyn Write) -> io::Result<()> {
    let memory = &stats.memory;
    writeln!(out, "\nmemory")?;
    let part =
        |bytes: Option<u64>, what| bytes.map_or_else(String::new, |bytes| format!(", {} {what}", mib(bytes)));
    let (resident, huge) =
        (part(memory.table_resident, "of it real"), part(memory.table_huge, "in huge pages"));
    writeln!(out, "  tables: {} reserved{resident}{huge}; {}", mib(memory.table), memory.table_kind)?;
    let frames = &memory.frames;
    writeln!(
        out,
        "  frames: {} of {} bytes: {} free, {} filling, {} sending, {} held, {} under way, {} unaccounted",
        frames.total,
        frames.size,
        frames.free,
        frames.filling,
        frames.sending,
        frames.held,
        frames.under_way,
        frames.unaccounted
    )
}

fn tell_workers(stats: &Stats, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nworkers")?;
    for (worker, shard) in stats.workers.iter().zip(&stats.shards) {
        let cpu = worker.cpu.map_or_else(|| "any core".to_owned(), |cpu| format!("core {cpu}"));
        let busy = if stats.uptime > 0.0 { 100.0 * worker.busy / stats.uptime } else { 0.0 };
        writeln!(
            out,
            "  {} on {cpu}: busy {busy:.1} % since the start, {} connections, {} bursts, {} sleeps, {} handed \
             over, {} taken over",
            worker.number, shard.live, worker.bursts, worker.sleeps, worker.handed_over, worker.taken_over
        )?;
    }
    Ok(())
}

/// One line of counts, those that are zero left out; nothing where all are.
fn names(out: &mut dyn Write, title: &str, counts: &ByName) -> io::Result<()> {
    let counts: Vec<String> =
        counts.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    if counts.is_empty() { Ok(()) } else { writeln!(out, "  {title:<8}  {}", counts.join(", ")) }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Both states, or whether the responder has answered.
fn states(connection: &Connection<'_>) -> String {
    match connection.states {
        Some([originator, responder]) => format!("{}/{}", originator.0.name(), responder.0.name()),
        None if connection.packets.reply > 0 => "replied".to_owned(),
        None => "unreplied".to_owned(),
    }
}

/// Who talks to whom, as short as it can be said.
fn endpoints(tuple: &Tuple) -> String {
    let end = |address: IpAddr, port: Option<u16>| match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    let id = tuple.icmp_id.map_or_else(String::new, |id| format!(" id {id}"));
    format!(
        "{}{id} > {}",
        end(tuple.source, tuple.source_port),
        end(tuple.destination, tuple.destination_port)
    )
}

/// A number of seconds, in the two units that matter.
fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn a_span_is_said_in_two_units() {
        let said = [-1.0, 0.25, 59.94, 60.0, 3599.9, 3600.0, 86_399.0, 90_000.0].map(span);
        assert_eq!(said, ["0.0s", "0.2s", "59.9s", "1m00s", "59m59s", "1h00m", "23h59m", "1d01h"]);
    }
}
