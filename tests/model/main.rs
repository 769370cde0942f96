//! Every interleaving, small: two TCP endpoints written from RFC 9293, a network that loses, repeats and
//! reorders, and the tracker's real code between them, explored exhaustively.
//!
//! ```text
//!   worlds ──► search ──► network: A ═► tracker ═► B   and back
//!                │            endpoint   middle     endpoint
//!                │                       │
//!                │                       └ shard: the same as a real one, along random walks
//!                └──► properties, in every state; ladder, where one does not hold
//! ```
//!
//! What was explored is printed: `cargo test --test model -- --nocapture`. The larger worlds are ignored
//! in the ordinary tests: `tools/nightly` explores them. docs/proof.md says what all of this shows.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests")]

mod attacker;
mod endpoint;
mod ladder;
mod middle;
mod network;
mod properties;
mod search;
mod segment;
mod shard;
mod worlds;
