//! A third connection of one tuple, of which nothing but its existence is known.
//!
//! Two connections of a tuple are kept beside each other (`rival`). Where one more begins, one of the three finds no
//! room, and nobody in the middle can know which of them its endpoints hold: a made-up one may have been planted before
//! the real one began, or two after. So the tuple is *contested* as long as the lost one may be alive:
//!
//! ```text
//!                    ┌─ for the one in the table ─► as ever
//!  segment ─ fits? ──┼─ for its rival ────────────► that comes back (`rival`), and the tuple stays contested
//!                    └─ for neither ──────────────► passes, and moves no state and no window: its receiver knows
//! ```
//!
//! Its endpoints hold every number against their own (RFC 9293 section 3.10.7, RFC 5961), as they do behind a tracker
//! that checks none. So what an attacker gains by a contest is what `liberal` gives him, for one tuple; whatever he
//! sends, it moves and ends nothing. What is refused by policy is refused here too.
//!
//! The contest is over when the timer would be that the lost one had, which data and acknowledgements for it start
//! again (as `established` does). Nothing else bounds it: what passes may be the lost one's, and to refuse that after
//! some time would end a live connection, while whoever has made the others up keeps an entry as long as he likes by
//! segments that fit them. Of the entry itself what passes starts no other timer than `established`, as every segment
//! does. Once the entry has ended, the lost one's next segment is picked up in mid-stream (`loose`), and the
//! table is right again. Without `loose` that would be refused, so there the entry outlasts its own timer, by as long as
//! the contest: the shard sees to that by [`Irregular::contested`] and [`outlasting`]. TIME_WAIT ends with its timer all
//! the same, and with its limit the entry itself, contested or not.

use super::connection::Connection;
use super::irregular::{Irregular, Rival};
use super::judge::{Judgement, Situation};
use super::refusal::Refusal;
use super::state::State;
use super::timer::Timer;
use crate::time::Tick;
use crate::wire::{Direction, Flags, Segment};

/// How long the tuple is contested; none where it is not.
pub(super) fn until(situation: &Situation<'_>) -> Option<Tick> {
    let Situation { connection, irregular, now, .. } = *situation;
    let Irregular { contested, .. } = irregular;
    contested.filter(|until| connection.marks.remembers() && !until.has_passed(now))
}

/// The same once there is no room for `lost` any more.
pub(super) fn after_losing(situation: &Situation<'_>, lost: Option<&Rival>) -> Option<Tick> {
    let of_lost = lost.filter(|lost| lost.may_speak(situation.now)).map(|lost| lost.deadline);
    [until(situation), of_lost].into_iter().flatten().reduce(later)
}

fn later(a: Tick, b: Tick) -> Tick {
    if a.is_before(b) { b } else { a }
}

/// What becomes of a segment that neither the connection in the table nor its rival fits: it passes where a third one
/// may be alive.
pub(super) fn judge(situation: &Situation<'_>, segment: &Segment<'_>, judgement: Judgement) -> Judgement {
    let (Judgement::Refuse(refusal), Some(until)) = (judgement, until(situation)) else { return judgement };
    if !is_about_numbers(refusal) {
        return judgement;
    }
    if segment.flags.has(Flags::RST) || segment.flags.has(Flags::SYN) {
        return situation.pass();
    }
    let Judgement::Accept(mut passes) = situation.repetition() else { return judgement };
    let established = Timer::Established.span(&situation.policy.timeouts);
    passes.irregular.contested = Some(later(until, situation.now.after(established)));
    Judgement::Accept(passes)
}

/// The connection whose entry outlasts its timer. TIME_WAIT is over (RFC 9293 section 3.10.8), so that it holds no SYN up
/// any more: then both endpoints are CLOSED, and no RST was it that did it.
pub fn outlasting(connection: &Connection) -> Connection {
    let mut outlasting = *connection;
    if connection.marks.states().contains(&State::TimeWait) {
        Direction::BOTH.into_iter().for_each(|side| outlasting.marks.set_state(side, State::Closed));
    }
    outlasting
}

/// Whether a segment is refused because its numbers are not those of this connection, and not by policy.
const fn is_about_numbers(refusal: Refusal) -> bool {
    match refusal {
        Refusal::OutOfWindow
        | Refusal::AckOutOfWindow
        | Refusal::AfterFin
        | Refusal::UnexpectedSynAck
        | Refusal::NotSynchronized => true,
        Refusal::RstNotExact
        | Refusal::TimeWait
        | Refusal::QuietTime
        | Refusal::NoSyn
        | Refusal::NoConnection => false,
    }
}
