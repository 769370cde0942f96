//! What users and other programs rely on, checked from outside: the command line, the JSON Lines, and every
//! policy key by an effect that it has on a capture. Whoever has to change a test here breaks an interface.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod bench;
mod command_line;
mod connectionless;
mod control;
mod errors;
mod fragments;
mod lines;
mod page;
mod policy;
mod segments;
mod time_wait;
mod timers;
