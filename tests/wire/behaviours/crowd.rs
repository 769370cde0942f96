//! Many connections at once, each led to a step of its own and left there.

use std::collections::BTreeMap;

use lastack::tcp::State::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent,
    TimeWait,
};
use socket2::Socket;

use super::cable::Point::{self, FromClient, FromServer, ToClient, ToServer};
use super::script::{Script, Side, abort, finish};
use super::segment::Kind;
use super::view::States;
use super::{Behaviour, v4};

pub(super) const BEHAVIOURS: [Behaviour; 1] =
    [v4("two hundred connections, each led to a step of its own and left there", two_hundred)];

const CONNECTIONS: u16 = 200;
/// How many are led at a time.
const LEADERS: u16 = 8;
const SEED: u64 = 0x1a57_ac4b;

/// Where a connection is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Asking,
    Answered,
    Open,
    /// At this wave of a close that the side began, of four.
    ClosedBy(Side, u8),
    Crossed,
    Aborted,
}

const ENDS: [End; 13] = [
    End::Asking,
    End::Answered,
    End::Open,
    End::ClosedBy(Side::Client, 1),
    End::ClosedBy(Side::Client, 2),
    End::ClosedBy(Side::Client, 3),
    End::ClosedBy(Side::Client, 4),
    End::ClosedBy(Side::Server, 1),
    End::ClosedBy(Side::Server, 2),
    End::ClosedBy(Side::Server, 3),
    End::ClosedBy(Side::Server, 4),
    End::Crossed,
    End::Aborted,
];

/// A connection at its end, and what keeps it there.
struct Left<'a> {
    script: Script<'a>,
    states: States,
    _sockets: Vec<Socket>,
}

fn two_hundred(script: &mut Script<'_>) {
    let parent = &*script;
    let mut shares: Vec<Vec<Left<'_>>> = std::thread::scope(|scope| {
        let leaders = (0..LEADERS).map(|leader| {
            scope.spawn(move || {
                let numbers = (leader + 1..=CONNECTIONS).step_by(usize::from(LEADERS));
                numbers.map(|number| lead(parent.another(number), number)).collect()
            })
        });
        let leaders: Vec<_> = leaders.collect();
        leaders.into_iter().map(|leader| leader.join().unwrap()).collect()
    });
    // All of them have been led to their ends, and are there still.
    std::thread::scope(|scope| {
        for share in &mut shares {
            scope.spawn(|| share.iter_mut().for_each(|one| one.script.expect(one.states)));
        }
    });
    let left: Vec<Left<'_>> = shares.into_iter().flatten().collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in &left {
        *counts.entry(one.script.trail.last().unwrap().clone()).or_default() += 1;
    }
    let steps: usize = left.iter().map(|one| one.script.steps).sum();
    drop(left);
    script.steps += steps;
    let counts: Vec<String> = counts.iter().map(|(states, count)| format!("{count} × {states}")).collect();
    script.trail = vec![counts.join(", ")];
}

/// One of the ends, the same for a number whenever it is played.
fn end(number: u16) -> End {
    ENDS[fastrand::Rng::with_seed(SEED + u64::from(number)).usize(..ENDS.len())]
}

fn lead(mut script: Script<'_>, number: u16) -> Left<'_> {
    let (states, sockets) = match end(number) {
        End::Asking => {
            script.hold(ToServer, Kind::Syn);
            ([SynSent, Listen], vec![script.connect()])
        }
        End::Answered => {
            script.listen(Side::Server);
            script.hold(FromClient, Kind::Ack);
            ([Established, SynReceived], vec![script.connect()])
        }
        End::Open => {
            let (client, server) = script.open();
            ([Established; 2], vec![client, server])
        }
        End::ClosedBy(Side::Client, wave) => {
            let (client, server) = script.open();
            close(&mut script, [&client, &server], [FromClient, FromServer], wave, |states| states);
            (CLOSE[usize::from(wave) - 1], vec![client, server])
        }
        End::ClosedBy(Side::Server, wave) => {
            let (client, server) = script.open();
            let mirrored = |[first, second]: States| [second, first];
            close(&mut script, [&server, &client], [FromServer, FromClient], wave, mirrored);
            (mirrored(CLOSE[usize::from(wave) - 1]), vec![client, server])
        }
        End::Crossed => {
            let (client, server) = script.open();
            for point in [ToClient, ToServer] {
                script.hold(point, Kind::Fin);
            }
            finish(&client);
            finish(&server);
            script.expect_apart([FinWait1, FinWait1], [Closing, Closing]);
            for point in [FromClient, FromServer] {
                script.hold(point, Kind::Any);
            }
            script.lift(ToClient);
            script.lift(ToServer);
            ([Closing, Closing], vec![client, server])
        }
        End::Aborted => {
            let (client, server) = script.open();
            abort(client);
            ([Closed, Closed], vec![server])
        }
    };
    script.expect(states);
    Left { script, states, _sockets: sockets }
}

/// The four waves of a close, of the side that began it first.
const CLOSE: [States; 4] =
    [[FinWait1, CloseWait], [FinWait2, CloseWait], [TimeWait, LastAck], [TimeWait, Closed]];

/// Closes a connection as far as `wave`.
fn close(
    script: &mut Script<'_>,
    [first, second]: [&Socket; 2],
    [from_first, from_second]: [Point; 2],
    wave: u8,
    states: impl Fn(States) -> States,
) {
    script.hold(from_second, Kind::Ack);
    finish(first);
    script.expect(states(CLOSE[0]));
    if wave >= 2 {
        script.lift(from_second);
        script.expect(states(CLOSE[1]));
    }
    if wave >= 3 {
        script.hold(from_first, Kind::Ack);
        finish(second);
        script.expect(states(CLOSE[2]));
    }
    if wave == 4 {
        script.lift(from_first);
    }
}
