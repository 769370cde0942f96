//! The commands that talk to a running `lastack run`: each asks once over its control socket and prints the
//! answer, its own lines with `--json`, else for a person.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;

use super::tell::{self, Teller};
use super::{Configuration, Failure, load, output_failure};
use crate::control::client::{Answer, Error};
use crate::control::filter::{Prefix, Protocol, States};
use crate::control::{Client, Command, Filter, Line, Request};

/// How the running middlebox is reached.
#[derive(Debug, Args)]
pub(super) struct Reach {
    #[command(flatten)]
    configuration: Configuration,
    /// Its control socket; default: as configured
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// JSON Lines
    #[arg(long)]
    json: bool,
}

/// Which connections are meant; all that is given must hold
#[derive(Debug, Args)]
pub(super) struct Filters {
    /// Who sent the first packet: an address or a prefix
    #[arg(long, value_name = "ADDRESS")]
    source: Option<Prefix>,
    /// From which port
    #[arg(long, value_name = "PORT")]
    source_port: Option<u16>,
    /// To whom: an address or a prefix
    #[arg(long, value_name = "ADDRESS")]
    destination: Option<Prefix>,
    /// To which port
    #[arg(long, value_name = "PORT")]
    destination_port: Option<u16>,
    /// Any of its addresses: an address or a prefix
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Prefix>,
    /// Any of its ports
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// tcp, udp, icmp, icmpv6 or a number
    #[arg(long)]
    protocol: Option<Protocol>,
    /// The bridge it belongs to
    #[arg(long)]
    zone: Option<u16>,
    /// The shard it lies in
    #[arg(long)]
    shard: Option<u32>,
    /// The TCP state of either endpoint, or both: ESTABLISHED/CLOSE_WAIT
    #[arg(long)]
    state: Option<States>,
}

impl Filters {
    /// The filter, for the connections numbered `id` (all where there are none).
    fn filter(self, id: Vec<u64>) -> Filter {
        let Filters { source, source_port, destination, destination_port, .. } = self;
        let Filters { address, port, protocol, zone, shard, state, .. } = self;
        Filter {
            id,
            source,
            source_port,
            destination,
            destination_port,
            address,
            port,
            protocol,
            zone,
            shard,
            state,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Debug, Args)]
pub(super) struct Get {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    filters: Filters,
    /// Numbers of connections
    #[arg(value_name = "ID")]
    id: Vec<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Count {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    filters: Filters,
    /// Numbers of connections
    #[arg(value_name = "ID")]
    id: Vec<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Flush {
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
pub(super) struct Events {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    filters: Filters,
    /// Show the connections first, and then what happens to them, exactly from there on
    #[arg(long)]
    snapshot: bool,
}

#[derive(Debug, Args)]
pub(super) struct Stats {
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn list(List { reach, filters }: List) -> Result<(), Failure> {
    ask(&reach, &Request::new(Command::List, filters.filter(Vec::new())), &mut tell::Rows::default())
}

pub(super) fn get(Get { reach, filters, id }: Get) -> Result<(), Failure> {
    let filter = filters.filter(id);
    if filter.is_empty() {
        return Err(Failure::Usage("get: name a connection's number or a filter; list shows all".to_owned()));
    }
    let mut details = tell::Details::default();
    ask(&reach, &Request::new(Command::List, filter), &mut details)?;
    if details.is_empty() { Err(Failure::Running("no such connection".to_owned())) } else { Ok(()) }
}

pub(super) fn count(Count { reach, filters }: Count) -> Result<(), Failure> {
    ask(&reach, &Request::new(Command::Count, filters.filter(Vec::new())), &mut tell::Numbers)
}

pub(super) fn delete(Delete { reach, filters, id }: Delete) -> Result<(), Failure> {
    let filter = filters.filter(id);
    if filter.is_empty() {
        let message = "delete: name a connection's number or a filter; flush deletes all";
        return Err(Failure::Usage(message.to_owned()));
    }
    ask(&reach, &Request::new(Command::Delete, filter), &mut tell::Numbers)
}

pub(super) fn flush(Flush { reach }: Flush) -> Result<(), Failure> {
    ask(&reach, &Request::new(Command::Flush, Filter::default()), &mut tell::Numbers)
}

pub(super) fn stats(Stats { reach }: Stats) -> Result<(), Failure> {
    ask(&reach, &Request::new(Command::Stats, Filter::default()), &mut tell::Numbers)
}

pub(super) fn events(Events { reach, filters, snapshot }: Events) -> Result<(), Failure> {
    let request = Request { snapshot, ..Request::new(Command::Events, filters.filter(Vec::new())) };
    let mut client = connect(&reach)?;
    let answer = client.ask(&request).map_err(failure)?;
    // Standard output itself, which is flushed with each line: somebody is watching.
    match print(answer, reach.json, &mut tell::Happenings::default(), &mut io::stdout().lock()) {
        Err(Halt::Answer(Error::Stopped)) => {
            // Nobody is left to tell if standard error cannot be written.
            let _ = writeln!(io::stderr(), "lastack has stopped: there will be no more events");
            Ok(())
        }
        result => result.map_err(Failure::from),
    }
}

fn connect(reach: &Reach) -> Result<Client, Failure> {
    // The file is read even if the socket is named: a wrong one should not go unnoticed.
    let configured = load(&reach.configuration)?.control_socket;
    Client::connect(reach.socket.as_deref().unwrap_or(&configured)).map_err(failure)
}

/// Asks, and prints the answer to standard output.
fn ask(reach: &Reach, request: &Request, teller: &mut dyn Teller) -> Result<(), Failure> {
    let mut client = connect(reach)?;
    let answer = client.ask(request).map_err(failure)?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let result = print(answer, reach.json, teller, &mut out);
    let flushed = out.flush();
    result?;
    flushed.map_err(output_failure)
}

/// Why an answer was not printed to its end.
enum Halt {
    Answer(Error),
    Output(io::Error),
}

impl From<Halt> for Failure {
    fn from(halt: Halt) -> Failure {
        match halt {
            Halt::Answer(error) => failure(error),
            Halt::Output(error) => output_failure(error),
        }
    }
}

fn failure(error: Error) -> Failure {
    Failure::Running(error.to_string())
}

fn print(
    mut answer: Answer<'_>,
    is_json: bool,
    teller: &mut dyn Teller,
    out: &mut dyn Write,
) -> Result<(), Halt> {
    while let Some((line, text)) = answer.next_with_text().map_err(Halt::Answer)? {
        if is_json {
            teller.note(&line);
            writeln!(out, "{text}").map_err(Halt::Output)?;
        } else if let Line::Missed(missed) = &line
            && !teller.tells_missed()
        {
            // The answer stands, only not of one moment.
            let _ = writeln!(
                io::stderr(),
                "shard {}: connections changed faster than they were read; what happened from event {} to {} \
                 may be in this listing or not",
                missed.shard,
                missed.from,
                missed.to
            );
        } else {
            teller.tell(&line, out).map_err(Halt::Output)?;
        }
    }
    Ok(())
}
