//! What must hold in every state, and whenever the tracker judges.
//!
//! | | property |
//! |---|---|
//! | (a) | what its receiver would take in if it came this moment is not refused |
//! | (b) | in a quiet state both tracked states are the endpoints' own |
//! | (c) | in any state a tracked state is the one that endpoint is in once what was let through has arrived |
//! | (d) | the expected ranges hold the real windows |
//! | (e) | a quiet state can be reached, without further losses (see `search`) |
//! | (f) | a forged segment that is not exact changes neither states nor numbers |
//! | (g) | an RST ends the tracked connection only if its receiver has, or will have, everything before it |

use lastack::tcp::{Refusal, State};

use super::endpoint::{self, Endpoint, WINDOW};
use super::middle::{Entry, Outcome, Tracker};
use super::network::{Judged, World};
use super::segment::{ACK, RST, Readable, SYN, Side, before};

/// (a), (f) and (g), after the tracker has judged; `tracker` is the one from before.
pub fn of_judgement(world: &World, tracker: &Tracker, judged: &Judged) -> Result<(), String> {
    if judged.forged {
        return of_forgery(world, tracker, judged);
    }
    let Outcome::Refused(refusal) = judged.outcome else { return of_reset(world, tracker, judged) };
    let receiver = world.ends[judged.sender.other().index()];
    let (after, _) = receiver.receive(&judged.segment);
    // The contract lets the operator's policy stand between a SYN and TIME_WAIT, whatever its receiver thinks.
    let answers = !judged.segment.has(RST);
    // After an RST the next SYN begins afresh, so the contract; its answer does not.
    let is_reset = tracker.entry.is_some_and(|entry| entry.connection.marks.is_reset());
    let begins_afresh = is_reset && judged.segment.has(SYN | ACK);
    if after == receiver
        || begins_afresh
        || refusal == Refusal::TimeWait
        || is_left_behind(tracker, &receiver, answers)
    {
        return Ok(());
    }
    Err(format!(
        "(a) refused ({}), but {:?} would take it in: {} to {}",
        refusal.name(),
        receiver.side,
        receiver.state.name(),
        after.state.name()
    ))
}

/// (g): one that lies behind a hole only is challenged, and must not count.
fn of_reset(world: &World, tracker: &Tracker, judged: &Judged) -> Result<(), String> {
    let is_reset = |tracker: &Tracker| tracker.entry.is_some_and(|entry| entry.connection.marks.is_reset());
    let side = judged.sender.other();
    if is_reset(tracker) || !is_reset(&world.tracker) || world.past[side.index()].disturbed {
        return Ok(());
    }
    let under_way = world.behind[side.index()].iter().filter(|segment| !segment.has(RST));
    let receiver = under_way.fold(world.ends[side.index()], |end, segment| end.receive(segment).0);
    let is_tracked = tracker.entry.is_some_and(|entry| entry.tracks(side, receiver.iss));
    if is_tracked && receiver.state.is_synchronized() && before(receiver.rcv_nxt, judged.segment.seq) {
        return Err(format!(
            "(g) the RST counts, and {side:?} has everything only to {}",
            Readable(receiver.rcv_nxt)
        ));
    }
    Ok(())
}

/// Whether an endpoint holds a connection that another one has replaced in the table, and that is not kept beside it. Nobody can tell then which
/// numbers are right for it; that it finds out, by a challenge, is part of (e). One that waits for an answer
/// must get it all the same, if it `answers` rather than refuses.
fn is_left_behind(tracker: &Tracker, receiver: &Endpoint, answers: bool) -> bool {
    let waits = receiver.state.is_gone() || answers && receiver.state == endpoint::State::SynSent;
    let is_known = |entry: Entry| {
        let (side, iss) = (receiver.side, receiver.iss);
        entry.tracks(side, iss) || entry.keeps(side, iss)
    };
    tracker.entry.is_some_and(|entry| !waits && !is_known(entry))
}

fn of_forgery(world: &World, tracker: &Tracker, judged: &Judged) -> Result<(), String> {
    // What counts is what can be told: a SYN is remembered, and that may be seen in the marks.
    let tellable = |tracker: &Tracker| {
        tracker.entry.map(|entry| (entry.connection.marks.states(), entry.connection.peers))
    };
    if tellable(tracker) == tellable(&world.tracker) {
        return Ok(());
    }
    Err(format!("(f) a forged segment changed the connection ({:?})", judged.outcome))
}

/// (b), (c) and (d). Says whether states were compared in a quiet state.
pub fn of_state(world: &World) -> Result<bool, String> {
    let quiet = world.is_quiet();
    let Some(entry) = &world.tracker.entry else {
        return if quiet { of_untracked(world).map(|()| false) } else { Ok(false) };
    };
    let mut compared = false;
    for side in Side::BOTH {
        if quiet {
            let own = &world.ends[side.index()];
            compared |= agrees(world, entry, own).map_err(|told| format!("(b) in a quiet state {told}"))?;
        } else if let Some(caught_up) = caught_up(world, entry, side) {
            agrees(world, entry, &caught_up)
                .map_err(|told| format!("(c) once what was let through has arrived, {told}"))?;
        }
    }
    if quiet {
        of_pair(world, entry)?;
    }
    of_windows(world, entry)?;
    Ok(compared)
}

/// Whether two endpoints hold a connection with each other that still goes on.
fn are_connected(world: &World) -> bool {
    let [a, b] = &world.ends;
    let goes_on = |end: &Endpoint| end.state.is_synchronized() && end.state != endpoint::State::TimeWait;
    goes_on(a) && goes_on(b) && a.snd_nxt == b.rcv_nxt && b.snd_nxt == a.rcv_nxt
}

fn of_untracked(world: &World) -> Result<(), String> {
    if are_connected(world) { Err("(b) a connection is open and not tracked".to_owned()) } else { Ok(()) }
}

fn of_pair(world: &World, entry: &Entry) -> Result<(), String> {
    let known = |end: &Endpoint| entry.tracks(end.side, end.iss) || entry.keeps(end.side, end.iss);
    let tracked = world.ends.iter().all(known);
    if are_connected(world) && !tracked && !entry.connection.marks.is_picked_up() {
        return Err("(b) a connection is open, and another incarnation tracked".to_owned());
    }
    Ok(())
}

/// That endpoint once everything let through to it has arrived; `None` where that says nothing: something was
/// lost or overtaken behind the tracker, or the endpoint has sent what the tracker has not seen.
fn caught_up(world: &World, entry: &Entry, side: Side) -> Option<Endpoint> {
    if world.past[side.index()].disturbed {
        return None;
    }
    let mut endpoint = world.ends[side.index()];
    for segment in &world.behind[side.index()] {
        let after = endpoint.receive(segment).0;
        let overlooked = segment.has(RST) && after == endpoint;
        if overlooked || endpoint.overlooks_acknowledgement(segment) {
            return None;
        }
        endpoint = after;
    }
    let seen = endpoint.state.is_gone() || endpoint.snd_nxt == entry.end(side) && !entry.has_hole(side);
    seen.then_some(endpoint)
}

/// Whether the tracked state is that of `endpoint`; `Ok(false)` where there is nothing to compare: another
/// incarnation is tracked, or nobody but the endpoint can know.
fn agrees(world: &World, entry: &Entry, endpoint: &Endpoint) -> Result<bool, String> {
    let past = world.past[endpoint.side.index()];
    let unknowable = endpoint.left_alone
        || past.disturbed
        || past.ambiguous_fin
        || past.reset_unawares
        || past.missed_reset && entry.connection.marks.is_reset();
    if unknowable || !entry.tracks(endpoint.side, endpoint.iss) {
        return Ok(false);
    }
    // A listener is still there when its connection has gone.
    let own = if endpoint.state.is_gone() { endpoint::State::Closed } else { endpoint.state };
    let tracked: State = entry.state(endpoint.side);
    if own.name() == tracked.name() {
        Ok(true)
    } else {
        Err(format!("{:?} is in {}, and tracked as {}", endpoint.side, own.name(), tracked.name()))
    }
}

/// (d): what each may send next, and acknowledge, lies within what is expected of it.
fn of_windows(world: &World, entry: &Entry) -> Result<(), String> {
    let both = world.ends.iter().all(|end| end.state.is_synchronized() && entry.tracks(end.side, end.iss));
    if !both || entry.connection.marks.is_reset() {
        return Ok(());
    }
    for side in Side::BOTH {
        let (sender, receiver) = (&world.ends[side.index()], &world.ends[side.other().index()]);
        let usable = [sender.snd_una, sender.snd_una.wrapping_add(WINDOW)];
        let [sequence, _] = entry.expected(side);
        let [_, acknowledgement] = entry.expected(side.other());
        contains(sequence, usable).map_err(|told| format!("(d) what {side:?} may send: {told}"))?;
        contains(acknowledgement, [receiver.rcv_nxt; 2])
            .map_err(|told| format!("(d) what {:?} may acknowledge: {told}", receiver.side))?;
    }
    Ok(())
}

fn contains(expected: [u32; 2], real: [u32; 2]) -> Result<(), String> {
    if before(real[0], expected[0]) || before(expected[1], real[1]) {
        let [low, high] = expected.map(Readable);
        let [first, last] = real.map(Readable);
        return Err(format!("{first} to {last}, expected {low} to {high}"));
    }
    Ok(())
}
