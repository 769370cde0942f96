//! The command line.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::frame::Protocol;
use crate::pace::Rate;
use crate::phase::Direction;
use crate::port::Xdp;

/// Load for middleboxes, from both of their sides: connections with real handshakes, data, rates, latencies.
///
/// One process drives both sides: the interface where connections begin, and the one where they end; the
/// middlebox lies between them. Needs CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON: root has them.
#[derive(Debug, Parser)]
#[command(name = "trafgen", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open connections, talk over them, and end them
    Run(Run),
    /// The measurements of RFC 9693: how fast connections are opened and ended, how many there can be, and what
    /// passes over so many
    Rfc9693(Procedure),
    /// Lastack on the wire beside what the kernel does in the same place, in laboratories of its own
    Lab(Lab),
}

/// Between which ends, and what is sent.
#[derive(Debug, Args)]
pub(crate) struct Ends {
    /// The interface where connections begin
    #[arg(long, value_name = "INTERFACE")]
    pub(crate) client: String,
    /// The interface where they end
    #[arg(long, value_name = "INTERFACE")]
    pub(crate) server: String,
    /// The first client's address; others follow it where there are more connections than ports
    #[arg(long, value_name = "ADDRESS", default_value = "10.0.0.1")]
    pub(crate) client_address: IpAddr,
    /// The server's address
    #[arg(long, value_name = "ADDRESS", default_value = "10.0.0.2")]
    pub(crate) server_address: IpAddr,
    /// The ports of every client
    #[arg(long, value_name = "FIRST-LAST", default_value = "1024-65535", value_parser = ports)]
    pub(crate) client_ports: RangeInclusive<u16>,
    /// The ports of the server
    #[arg(long, value_name = "FIRST-LAST", default_value = "80", value_parser = ports)]
    pub(crate) server_ports: RangeInclusive<u16>,
    /// Whom the client's frames are for, where a router is in the middle [default: the server's interface]
    #[arg(long, value_name = "MAC", value_parser = mac)]
    pub(crate) client_next_hop: Option<[u8; 6]>,
    /// Whom the server's frames are for [default: the client's interface]
    #[arg(long, value_name = "MAC", value_parser = mac)]
    pub(crate) server_next_hop: Option<[u8; 6]>,
    /// What carries the connections
    #[arg(long, value_enum, default_value_t = Protocol::Tcp)]
    pub(crate) protocol: Protocol,
    /// Bytes of a frame with data as RFC 2544 counts them: on the wire, its check sequence included [default: the
    /// least with room for a stamp: 64, over IPv6 84 (TCP) or 72 (UDP)]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(64..=1518))]
    pub(crate) size: Option<u16>,
    /// The queues of both interfaces that are used, such as 0,1 [default: all]
    #[arg(long, value_name = "QUEUES", value_delimiter = ',')]
    pub(crate) queues: Vec<u32>,
    /// Where the XDP program runs that brings frames to the generator
    #[arg(long, value_enum, default_value_t = Xdp::Auto)]
    pub(crate) xdp: Xdp,
    /// The core that the generator runs on, which it uses wholly
    #[arg(long, value_name = "CORE")]
    pub(crate) cpu: Option<usize>,
    /// JSON Lines in place of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// `trafgen run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) ends: Ends,
    /// How many connections
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// Send data without opening connections before: bare segments, or datagrams
    #[arg(long)]
    pub(crate) bare: bool,
    /// Connections opened and ended each second [default: as fast as answers come]
    #[arg(long, value_name = "N")]
    pub(crate) open_rate: Option<NonZeroU64>,
    /// Without --open-rate: how many handshakes are under way at the same time
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
    /// For how long data is sent; 0: none is
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Frames with data each second, in each direction [default: as many as can be]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU64>,
    /// Who sends data
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub(crate) direction: Direction,
    /// How connections end (TCP alone)
    #[arg(long, value_enum, default_value_t = Ending::Fin)]
    pub(crate) end: Ending,
}

/// How connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ending {
    /// By FINs, both ways
    Fin,
    /// By an RST of the client
    Rst,
    /// Not at all: the middlebox keeps them
    None,
}

/// `trafgen rfc9693`
#[derive(Debug, Args)]
pub(crate) struct Procedure {
    #[command(flatten)]
    pub(crate) ends: Ends,
    /// How many connections a trial opens, and the throughput is measured over
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// The highest rate that is tried: connections, or frames, each second
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    pub(crate) most_rate: u64,
    /// How long each trial of a throughput lasts
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// The share of frames that a throughput may lose; RFC 2544 says none
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) tolerance: f64,
    /// How much longer than at its rate a trial may take, as a share: a generator that was kept from its core has
    /// not offered that rate
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    pub(crate) late: f64,
    /// How near to its limit a search ends, in thousandths
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) resolution: u64,
    /// Search the capacity of the middlebox's table up to so many connections [default: it is not measured]
    #[arg(long, value_name = "N")]
    pub(crate) capacity: Option<u32>,
    /// A command of the shell that ends all connections in the middlebox, such as "conntrack -F": it is timed, and
    /// used between trials [default: an RST for each]
    #[arg(long, value_name = "COMMAND")]
    pub(crate) tear_down: Option<String>,
}

/// What `trafgen lab` can leave out of its measurements.
pub(crate) const FIGURES: [&str; 6] = ["packets", "cores", "latency", "trips", "tcp", "connections"];

/// `trafgen lab`
#[derive(Debug, Args)]
pub(crate) struct Lab {
    /// The program to measure [default: the lastack beside this program]
    #[arg(long, value_name = "FILE")]
    pub(crate) lastack: Option<PathBuf>,
    /// How often everything is measured; medians are told
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Only these things in the middle: bridge, router, tracking, busy, adaptive, generic
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Only these figures: packets, cores, latency, trips, tcp, connections
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = FIGURES, hide_possible_values = true)]
    pub(crate) figures: Vec<String>,
    /// JSON Lines in place of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// A rate that was asked for, or none.
pub(crate) fn rate(asked: Option<NonZeroU64>) -> Rate {
    asked.map_or(Rate::Flat, Rate::PerSecond)
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| match text.trim().parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(format!("\"{text}\" is no port: 1 to 65535, or a range such as 1024-65535")),
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        Err(format!("{first}-{last} is empty: the lower port comes first"))
    } else {
        Ok(first..=last)
    }
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("\"{text}\" is no hardware address such as 02:00:00:00:00:01"))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("seconds are a number from 0 to 86400, such as 2.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_readme_describes_every_option_of_every_command() {
        let readme = include_str!("../README.md");
        for command in Arguments::command().get_subcommands() {
            assert!(readme.contains(&format!("trafgen {}", command.get_name())), "{}", command.get_name());
            for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
                assert!(readme.contains(&format!("`--{option}")), "--{option} of {}", command.get_name());
            }
        }
    }

    #[test]
    fn a_figure_that_there_is_not_is_refused_by_its_name() {
        let parse = |figures| Arguments::try_parse_from(["trafgen", "lab", "--figures", figures]);
        assert!(parse("packets,tcp").is_ok());
        let error = parse("packets,pakets").unwrap_err().to_string();
        assert!(error.contains("pakets") && error.contains("connections"), "{error}");
    }

    #[test]
    fn ports_are_one_or_a_range_and_whatever_else_is_said_to_be_wrong() {
        assert_eq!(ports("80"), Ok(80..=80));
        assert_eq!(ports("1024-65535"), Ok(1024..=65_535));
        for wrong in ["", "0", "65536", "2-1", "a-b"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hardware_address_has_six_bytes() {
        assert_eq!(mac("02:00:00:00:0a:ff"), Ok([2, 0, 0, 0, 10, 255]));
        assert!(mac("02:00:00:00:0a").is_err() && mac("02:00:00:00:0a:100").is_err());
    }
}
