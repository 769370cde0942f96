//! The attacker: somebody off the path who knows a connection's addresses and ports, but not its numbers; and
//! somebody who floods.
//!
//! ```text
//!   originator ───────► [ engine ] ◄─────── responder          `connections`: brought into every state
//!                           ▲
//!        blind segments ────┤ one at a time: what share of all numbers changes what?  `segments`, `report`
//!        several in a row ──┤ what two or three of them can do together               `stories`
//!        floods ────────────┘ of SYNs, pickups, fragments, chosen tuples              `floods`
//!                          of what makes connections remember, until no memory is left    `annexes`
//! ```
//!
//! Everything goes through the real engine, as frames with right checksums, on a clock that the tests move.
//! All numbers are seeded. What is allowed is written down in `report::allowed`; what was measured is generated
//! into docs/proof.md.
//!
//! More pairs of numbers for each measurement: `LASTACK_ATTACK_SAMPLE=100000 cargo test --test attacker`.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod annexes;
mod connections;
mod floods;
mod report;
mod segments;
mod stories;
