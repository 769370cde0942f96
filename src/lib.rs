//! Lastack: a connection-table engine.
//!
//! Frames go in as bursts, verdicts come out, and in between every connection is known by the RFC 9293
//! states of *both* its endpoints. One engine serves captures, benchmarks, tests and the wire.
//!
//! ```text
//!  capture ┐                                                              ┌ capture
//!  memory  ┼─ burst ─ Shard::process(burst, now) ─────────────────────────┼ memory
//!  wire    ┘   parse → hash → look up → judge → commit → verdict          └ wire
//! ```
//!
//! # Layers
//!
//! A module imports only from those to its right; `tests/layers.rs` holds it.
//!
//! ```text
//! main → cli → { demo → { daemon, replay, lab }, top, bench }
//!                           daemon → { control, metrics, config, xdp → link }
//!                           lab → { link, tcp }
//!                           replay → { config, io, json }
//!                           top → { control, config }
//!                  { control, metrics } → { view, json } → shard → fragments → { tcp, flow } → wire → time
//!                                                          shard → { table, timer } → time
//!                                                          shard → processor
//! ```
//!
//! | module | its one concern |
//! |---|---|
//! | [`time`] | instants, ticks, and the one clock that reads the operating system |
//! | [`processor`] | what the processor can do: the hot loops, compiled for both kinds |
//! | [`wire`] | views of frames: what a packet says, or what is wrong with it |
//! | [`tcp`] | both endpoints' state machines, windows, judgements: pure functions |
//! | [`flow`] | what is not TCP: UDP, ICMP queries, other protocols |
//! | [`table`] | where connections lie in memory and how they are found |
//! | [`timer`] | when they are looked at again: the timing wheel |
//! | [`fragments`] | pieces of a datagram, held until it is whole and can be judged once |
//! | [`shard`] | composes all of these into the way of a packet |
//! | [`config`] | the configuration: every key described once, read, checked, printed |
//! | [`view`] | what a worker shows to other threads while it works, and what they may ask of it |
//! | [`metrics`] | what a monitoring system asks: every number, over HTTP |
//! | [`json`] | connections as JSON objects, the same ones wherever they are written |
//! | [`control`] | the socket by which an operator sees and steers a running middlebox: server, protocol, client |
//! | [`io`] | capture files: where a replay's packets come from, and where the accepted ones go |
//! | [`link`] | the interfaces of the operating system: facts, changes, what the process may do |
//! | [`xdp`] | the XDP program that brings each frame to its worker: loaded, attached, tried |
//! | [`replay`] | a capture through the engine, on the capture's own clock |
//! | [`bench`](mod@bench) | what the engine does on this machine |
//! | [`daemon`] | the middlebox: ports, workers, a bridge between them |
//! | [`demo`] | real TCP between two kernels, and what both and the tracker say of it |
//! | [`lab`] | laboratories of network namespaces and veth pairs, for the demo and for tests |
//! | [`top`] | a running middlebox on a terminal |
//! | [`cli`] | the command line: what is asked, and what the exit status is |
//!
//! docs/architecture.md tells the whole story in order, with the reasons for what one would not expect.

pub mod bench;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod demo;
pub mod flow;
pub mod fragments;
pub mod io;
pub mod json;
pub mod lab;
pub mod link;
pub mod metrics;
pub mod processor;
pub mod replay;
pub mod shard;
pub mod table;
pub mod tcp;
pub mod time;
pub mod timer;
pub mod top;
pub mod view;
pub mod wire;
pub mod xdp;
