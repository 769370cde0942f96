//! The command line: what is asked, who does it, and what the exit status is.
//!
//! 0: done. 1: it failed while running. 2: the command line or the configuration is wrong. Results go to
//! standard output and nothing else does; errors and progress go to standard error.

mod bench;
mod control;
mod run;
mod tell;
mod top;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config};
use crate::demo;
use crate::io::Input;
use crate::replay::{self, ProgressBar};
use crate::table::HashKeys;

/// A connection-table engine: both endpoints' TCP states of millions of flows.
#[derive(Debug, Parser)]
#[command(name = "lastack", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The middlebox: a bridge and stateful firewall on the interfaces that FILE names, until SIGINT or SIGTERM
    Run(Configuration),
    /// Push a capture through the engine and tell what becomes of its packets and connections
    Replay(Replay),
    /// Let two real kernels talk TCP through the middlebox, and compare what all three say of it
    Demo(Demo),
    /// Validate a configuration and print the effective one, every default filled in
    Check(Configuration),
    /// Measure the engine on this machine
    Bench(bench::Bench),
    /// Show the connections of a running lastack
    List(control::List),
    /// Show single connections of a running lastack, by number or filter
    Get(control::Get),
    /// Count the connections of a running lastack
    Count(control::Count),
    /// End connections of a running lastack
    Delete(control::Delete),
    /// End all connections of a running lastack
    Flush(control::Flush),
    /// Tell what happens to the connections of a running lastack, as it happens
    Events(control::Events),
    /// Show what a running lastack counts
    Stats(control::Stats),
    /// Watch a running middlebox on the terminal
    Top(top::Top),
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
struct Configuration {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key after the file was read, such as tcp.msl=15s (repeatable)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    configuration: Configuration,
    /// JSON Lines: one for each packet and each connection, then a summary
    #[arg(long)]
    json: bool,
    /// Write what was accepted to this file
    #[arg(short = 'w', value_name = "OUT.pcap")]
    write: Option<PathBuf>,
    /// Let the clock run on after the last packet until every connection has ended
    #[arg(long)]
    drain: bool,
    /// Tell packet N's story in sentences, in place of the usual output; with --json as one record
    #[arg(long, value_name = "N", conflicts_with_all = ["write", "drain"], value_parser = clap::value_parser!(u64).range(1..))]
    explain: Option<u64>,
    /// Divide the connections among this many shards; the result is the same as long as no limit is reached
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    shards: u32,
    /// pcap or pcapng file; - is standard input
    capture: PathBuf,
}

#[derive(Debug, Args)]
struct Demo {
    /// Set a key of the middlebox's configuration, such as tcp.msl=5s (repeatable)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Begin all over again until this many seconds have passed
    #[arg(long, value_name = "N", default_value_t = 0)]
    seconds: u32,
    /// Be the middlebox of the demo that is this process's parent
    #[arg(long, value_name = "FILE", hide = true, requires = "parent")]
    middlebox: Option<PathBuf>,
    /// The process with which the middlebox has to end
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<u32>,
}

/// Why a command failed: the message, and which exit status it has.
enum Failure {
    Usage(String),
    Running(String),
    /// Whoever read the output has stopped reading: nothing to complain of.
    Closed,
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    // Wrong command lines end here, with status 2 and clap's message.
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay(arguments) => run_replay(arguments),
        Command::Demo(arguments) => run_demo(&arguments),
        Command::Check(arguments) => run_check(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::List(arguments) => control::list(arguments),
        Command::Get(arguments) => control::get(arguments),
        Command::Count(arguments) => control::count(arguments),
        Command::Delete(arguments) => control::delete(arguments),
        Command::Flush(arguments) => control::flush(arguments),
        Command::Events(arguments) => control::events(arguments),
        Command::Stats(arguments) => control::stats(arguments),
        Command::Top(arguments) => top::run(arguments),
    };
    match result {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => fail(&message, 2),
        Err(Failure::Running(message)) => fail(&message, 1),
    }
}

fn fail(message: &str, status: u8) -> ExitCode {
    // Nobody is left to tell if standard error cannot be written.
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::from(status)
}

fn load(arguments: &Configuration) -> Result<Config, Failure> {
    config::load(arguments.config.as_deref(), &arguments.set)
        .map_err(|errors| Failure::Usage(errors.to_string()))
}

fn run_replay(arguments: Replay) -> Result<(), Failure> {
    if arguments.write.as_deref().is_some_and(|path| path.as_os_str() == "-") {
        return Err(Failure::Usage("-w -: standard output is for results; name a file".to_owned()));
    }
    // A command line that is wrong is told before anything is opened.
    let mut config = load(&arguments.configuration)?;
    let input = Input::open(&arguments.capture).map_err(|error| Failure::Running(error.to_string()))?;
    if let Input::Scenario { name, scenario, .. } = &input {
        let Configuration { config: file, set } = &arguments.configuration;
        config = replay::configure(name, scenario, file.as_deref(), set).map_err(Failure::Usage)?;
    }
    let options = replay::Options {
        json: arguments.json,
        write: arguments.write,
        drain: arguments.drain,
        explain: arguments.explain,
        shards: arguments.shards,
        keys: HashKeys::random().map_err(|error| Failure::Running(format!("no randomness: {error}")))?,
    };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut bar = ProgressBar::new();
    let result = replay::replay(input, &options, &config, &mut out, &mut |progress| bar.show(progress));
    bar.finish();
    let flushed = out.flush();
    match result {
        Err(replay::Error::Output(error)) => Err(output_failure(error)),
        Err(error) => Err(Failure::Running(error.to_string())),
        Ok(()) => flushed.map_err(output_failure),
    }
}

fn output_failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::Closed
    } else {
        Failure::Running(format!("standard output: {error}"))
    }
}

fn run_check(arguments: &Configuration) -> Result<(), Failure> {
    let text = config::check(arguments.config.as_deref(), &arguments.set)
        .map_err(|errors| Failure::Usage(errors.to_string()))?;
    io::stdout().write_all(text.as_bytes()).map_err(output_failure)
}

fn run_demo(arguments: &Demo) -> Result<(), Failure> {
    if let (Some(configuration), Some(parent)) = (&arguments.middlebox, arguments.parent) {
        let error = demo::become_middlebox(configuration, &arguments.set, parent);
        return Err(Failure::Running(format!("the middlebox: {error}")));
    }
    config::load(None, &arguments.set).map_err(|errors| Failure::Usage(errors.to_string()))?;
    let options = demo::Options { seconds: arguments.seconds, set: arguments.set.clone() };
    match demo::demo(&options, &mut io::stdout().lock()) {
        Ok(()) => Ok(()),
        Err(demo::Error::Output(error)) => Err(output_failure(error)),
        Err(error) => Err(Failure::Running(format!("demo: {error}"))),
    }
}
