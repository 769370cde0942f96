//! What is said of a packet whose tuple has more than one connection: the one in the table, the one that it has
//! displaced and that is kept beside it, and a third one for which there is no room.
//!
//! ```text
//!  class new, no SYN ──────────────► comes_back
//!  fits the kept one, not the table's ► beside        (it is over or may be, or the packet has SYN or RST)
//!  fits neither, and passes ────────► contested
//! ```

use super::segment::packet_beside;
use super::sentences::Ruling;
use super::story::{Segment, Story};
use crate::tcp::{self, Bounds, Irregular, Rival, State};

/// The connection that the one in the table had displaced before the packet.
fn rival(story: &Story) -> Option<Rival> {
    let (connection, irregular) = story.before?.tracked?;
    irregular.rival.filter(|_| connection.marks.remembers())
}

/// What the packet's sender could have sent in it.
fn bounds_of(rival: &Rival, story: &Story, segment: &Segment) -> Option<Bounds> {
    let irregular = Irregular { streams: tcp::known_streams(&rival.connection), ..Irregular::default() };
    let direction = rival.direction(story.before?.direction);
    Some(tcp::bounds(&rival.connection, &irregular, direction, segment.length))
}

/// Whether the numbers of a segment with ACK are among those that fit.
pub(super) fn fits(bounds: &Bounds, segment: &Segment) -> bool {
    let is_in = |number: crate::wire::Seq, [low, high]: [crate::wire::Seq; 2]| {
        !number.is_before(low) && !number.is_after(high)
    };
    is_in(segment.seq, bounds.seq) && is_in(segment.ack, bounds.ack)
}

/// A segment that brings the displaced connection back.
pub(super) fn comes_back(story: &Story, segment: &Segment) -> Option<Ruling> {
    let rival = rival(story)?;
    let bounds = bounds_of(&rival, story, segment)?;
    let [low, high] = bounds.seq;
    Some(Ruling {
        sentences: vec![
            "It brings a displaced connection back. A SYN and a SYN-ACK had begun another one of this tuple, as both \
             endpoints do when they have crashed, and as anybody can who writes their addresses; what was there before \
             was kept beside it."
                .to_owned(),
            format!(
                "This packet is for that one: a segment of its length may begin there from {} to {}, and the next \
                 one expected of its sender is {}. So that one is alive, and takes the tuple back as it was.",
                low.0, high.0, bounds.end.0
            ),
        ],
        drawing: packet_beside(&bounds, segment),
        settings: Vec::new(),
    })
}

/// A segment that is for the displaced connection, and passes without bringing it back; `None` where it is not.
pub(super) fn beside(story: &Story, segment: &Segment) -> Option<Ruling> {
    let rival = rival(story)?;
    let bounds = bounds_of(&rival, story, segment)?;
    let states = rival.connection.marks.states();
    let why_not = if states.into_iter().all(State::is_done) {
        "That one is over, so that it does not come back"
    } else if states.contains(&State::TimeWait) {
        "An endpoint of that one waits for its last acknowledgement, but the other one is in TIME_WAIT, which may have been \
         left for the one in the table (RFC 1122 section 4.2.2.13), so that this packet does not bring it back"
    } else {
        "Neither a SYN nor an RST brings that one back"
    };
    fits(&bounds, segment).then(|| Ruling {
        sentences: vec![format!(
            "It is for another connection of this tuple, which the one in the table has displaced and which is kept \
             beside it. {why_not}: the packet passes, and changes nothing of the one in the table."
        )],
        drawing: packet_beside(&bounds, segment),
        settings: Vec::new(),
    })
}

/// An RST that has ended the displaced connection; `None` where it has not.
pub(super) fn reset_beside(story: &Story) -> Option<Ruling> {
    let is_reset = |rival: &Rival| rival.connection.marks.is_reset();
    let after = story.after?.tracked?.1.rival;
    let was_alive = rival(story).is_some_and(|rival| !is_reset(&rival));
    (was_alive && after.as_ref().is_some_and(is_reset)).then(|| Ruling {
        sentences: vec![
            "It is exact for another connection of this tuple, which the one in the table has displaced and which is \
             kept beside it (RFC 5961 section 3). It ends that one, and nothing else."
                .to_owned(),
        ],
        ..Ruling::default()
    })
}

/// A segment that fits no connection that is known, where another one may be alive; `None` where there is none.
pub(super) fn contested(story: &Story) -> Option<Ruling> {
    let (connection, irregular) = story.before?.tracked?;
    let is_contested =
        connection.marks.remembers() && irregular.contested.is_some_and(|until| !until.has_passed(story.now));
    is_contested.then(|| Ruling {
        sentences: vec![
            "Its numbers fit neither the connection in the table nor one that is kept beside it. But a third one of \
             this tuple has been displaced for which there was no room, and which may be alive: nobody in the middle \
             can know its numbers, so the packet passes, and moves no state and no window. Its receiver judges it by its \
             own."
                .to_owned(),
        ],
        ..Ruling::default()
    })
}
