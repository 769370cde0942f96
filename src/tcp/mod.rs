//! TCP from the middle of the path: both endpoints' states, windows, and the judgement of segments.
//!
//! Pure functions over small values: no clock, no memory, no packet bytes but a segment's numbers. The
//! shard asks [`judge_plain`], [`judge_orderly`], [`judge_answer`] and [`judge`] about a segment of a known connection and
//! [`begin`] (of a SYN that is not refused, [`by_syn`]) about one without, and writes down what they answer.
//!
//! ```text
//!  Connection + Irregular + Segment + Policy ──► Judgement { Accept │ Renew │ Refuse }
//!       ▲                                             │
//!       └───────────── the shard commits ─────────────┘
//! ```
//!
//! | file | its one concern |
//! |---|---|
//! | `state` | one endpoint's machine: two total tables |
//! | `connection` | what is kept, in forty bytes |
//! | `irregular` | holes in a stream, and what is remembered |
//! | `remember` | what is remembered of segments whose answer may change everything |
//! | `rival` | two connections of one tuple, of which the endpoints' segments choose one |
//! | `contest` | a third one, for which there is no room |
//! | `window` | which numbers fit |
//! | `open`, `close`, `reset`, `reuse` | what begins, moves, aborts and replaces a connection |
//! | `judge` | puts these together |
//! | `plain` | the same for nearly every segment, in a few comparisons |
//! | `orderly` | the same for one that opens or closes as it should |
//! | `passage` | what a change of states concerns beside the connection |
//! | `timer` | which timer governs |
//! | `policy`, `refusal` | what the operator decides; why a segment is refused |
//! | `detail` | the numbers behind a refusal, for whoever asks afterwards |

mod close;
mod connection;
mod contest;
mod detail;
mod irregular;
mod judge;
mod open;
mod orderly;
mod passage;
mod plain;
mod policy;
mod refusal;
mod remember;
mod reset;
mod reuse;
mod rival;
mod state;
mod timer;
mod window;

#[cfg(test)]
mod tests;

pub use connection::{Connection, Half, Marks, Peer, Stamp};
pub use contest::outlasting;
pub use detail::{Bounds, Detail, bounds, detail};
pub use irregular::{Irregular, Kind as RememberedKind, Remembered, Rival, Stream, known_streams};
pub use judge::{Accepted, Judgement, Situation, judge};
pub use open::{Opening, begin, by_syn, judge_answer};
pub use orderly::{Step, judge_orderly};
pub use passage::Passage;
pub use plain::{Moved, judge_plain, judge_repeated};
pub use policy::{InexactRst, Policy, TimeWaitOverflow, TimeWaitReuse, Timeouts};
pub use refusal::Refusal;
pub use rival::successor;
pub use state::{Received, Sent, State};
pub use timer::{Lasts, Rearm, Timer, time_wait_span};
