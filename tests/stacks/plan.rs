//! What the two applications of a connection do, and what the network does to them: drawn from the seed.
//!
//! A [`Kind`] is a way to live and die; everything else about a connection (sizes, pauses, buffers, faults) is
//! drawn independently of it.

use crate::endpoint::Traits;
use crate::network::Faults;
use crate::random::Draw;

/// Whose side something is: the one that connects, or the one that listens.
pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;

/// How a connection lives and dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Data both ways; this side closes first.
    ClosesFirst(usize),
    /// Data both ways; both close at the same instant.
    BothClose,
    /// This side sends little and closes; the other one then sends a lot.
    HalfClose(usize),
    /// This side aborts at some moment.
    Aborts(usize),
    /// Both abort, at moments that lie close together.
    BothAbort,
    /// The client aborts while the handshake may be under way.
    Abandons,
    /// Nobody listens.
    Refused,
    /// Both connect at the same instant.
    OpensSimultaneously,
    /// As [`Kind::ClosesFirst`], and while that side is in TIME_WAIT the client connects again.
    Reopens(usize),
    /// This side reads slowly into a tiny buffer, so that its window closes.
    ReadsSlowly(usize),
    /// Long silences with keep-alives, then a close by this side.
    KeepsAlive(usize),
}

impl Kind {
    /// Every kind, the common ones more often.
    const DRAWN: [Kind; 22] = [
        Kind::ClosesFirst(CLIENT),
        Kind::ClosesFirst(CLIENT),
        Kind::ClosesFirst(SERVER),
        Kind::ClosesFirst(SERVER),
        Kind::BothClose,
        Kind::BothClose,
        Kind::HalfClose(CLIENT),
        Kind::HalfClose(CLIENT),
        Kind::HalfClose(SERVER),
        Kind::Aborts(CLIENT),
        Kind::Aborts(SERVER),
        Kind::BothAbort,
        Kind::Abandons,
        Kind::Refused,
        Kind::OpensSimultaneously,
        Kind::Reopens(CLIENT),
        Kind::Reopens(SERVER),
        Kind::ReadsSlowly(CLIENT),
        Kind::ReadsSlowly(SERVER),
        Kind::KeepsAlive(CLIENT),
        Kind::KeepsAlive(SERVER),
        Kind::BothClose,
    ];

    /// Whether an application gives up before everything was said.
    pub(crate) fn breaks_off(self) -> bool {
        match self {
            Kind::Aborts(_) | Kind::BothAbort | Kind::Abandons | Kind::Refused => true,
            Kind::ClosesFirst(_)
            | Kind::BothClose
            | Kind::HalfClose(_)
            | Kind::OpensSimultaneously
            | Kind::Reopens(_)
            | Kind::ReadsSlowly(_)
            | Kind::KeepsAlive(_) => false,
        }
    }
}

/// One step of an application; times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Does nothing for so long.
    Pause(u64),
    /// Does nothing until so long after the connection's start.
    Until(u64),
    /// Sends so many bytes.
    Send(u64),
    /// Waits for the other side's FIN.
    AwaitEnd,
    /// Closes its sending side.
    Close,
}

/// One side's application.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    /// When it aborts, after the connection's start.
    pub(crate) abort: Option<u64>,
    /// How much it reads at once, and how often.
    pub(crate) read: u64,
    pub(crate) interval: u64,
}

/// Everything that is decided about a connection before it begins.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub is_v6: bool,
    pub(crate) scripts: [Script; 2],
    pub(crate) traits: [Traits; 2],
    /// By the sender's side, then before and behind the tracker.
    pub(crate) faults: [[Faults; 2]; 2],
    /// Whether the network spares RSTs: nobody repeats those, so what their loss leaves behind nobody can know.
    pub(crate) spares_resets: bool,
}

impl Plan {
    pub(crate) fn draw(random: &mut fastrand::Rng, assassination: bool) -> Plan {
        let kind = random.pick(&Kind::DRAWN);
        let is_v6 = random.chance(40);
        let severity = random.u64(..4);
        let faults = std::array::from_fn(|_| {
            std::array::from_fn(|_| {
                if severity == 0 { Faults::none(random) } else { Faults::some(random, severity) }
            })
        });
        let timestamps = random.chance(50);
        let mtu = random.usize(if is_v6 { 1280 } else { 576 }..=1500);
        let path = Path { mtu, is_clean: severity == 0, timestamps, assassination };
        let traits = std::array::from_fn(|side| draw_traits(random, kind, side, path));
        let scripts = draw_scripts(random, kind, path.is_clean);
        Plan { kind, is_v6, scripts, traits, faults, spares_resets: random.chance(60) }
    }

    /// The scripts of the second incarnation.
    pub(crate) fn redraw_scripts(&mut self, random: &mut fastrand::Rng) {
        let first = random.pick(&[CLIENT, SERVER]);
        self.scripts = draw_scripts(random, Kind::ClosesFirst(first), false);
    }
}

/// Seeds of smoltcp's interface whose first initial sequence number lies less than 20,000 below 2^32: found by
/// trying, and held by a test.
pub(crate) const WRAPPING_SEEDS: [u64; 8] =
    [70_023, 356_564, 395_085, 581_100, 735_184, 763_401, 919_342, 1_075_283];

/// What both sides have in common.
#[derive(Debug, Clone, Copy)]
struct Path {
    mtu: usize,
    is_clean: bool,
    timestamps: bool,
    assassination: bool,
}

fn draw_traits(random: &mut fastrand::Rng, kind: Kind, side: usize, path: Path) -> Traits {
    let reads_slowly = kind == Kind::ReadsSlowly(side);
    let receive = if reads_slowly {
        random.u64(16..=700)
    } else if random.chance(25) {
        random.u64(66_000..=300_000)
    } else {
        random.u64(1_000..=40_000)
    };
    // More than 65,535 bytes are in flight only where both buffers have room for them.
    let send = if random.chance(25) { random.u64(66_000..=200_000) } else { random.u64(200..=20_000) };
    // smoltcp has no window probes, and an ACK in CLOSE_WAIT or LAST_ACK makes it forget its retransmission timer:
    // where segments are lost or windows close, keep-alives have to stand in.
    let needs_it = !path.is_clean || matches!(kind, Kind::ReadsSlowly(_) | Kind::KeepsAlive(_));
    let keeps_alive = needs_it || random.chance(10);
    Traits {
        buffers: [receive as usize, send as usize],
        mtu: path.mtu,
        keep_alive: keeps_alive.then(|| random.u64(700..=3_000)),
        timestamps: path.timestamps,
        nagle: random.chance(70),
        ack_delay: random.chance(70).then(|| random.u64(1..=40)),
        seed: if random.chance(25) { random.pick(&WRAPPING_SEEDS) } else { random.u64(..) },
        assassination: path.assassination,
    }
}

fn size(random: &mut fastrand::Rng, kind: Kind, is_clean: bool) -> u64 {
    // A few bytes at a time: more would take hours.
    if matches!(kind, Kind::ReadsSlowly(_)) {
        return random.u64(..4_000);
    }
    match random.u64(..40) {
        // Without congestion control, loss and long streams do not go together.
        0 if is_clean => random.u64(60_000..=300_000),
        0..=4 => 0,
        5..=20 => random.u64(1..=600),
        21..=36 => random.u64(600..=12_000),
        _ => random.u64(12_000..=60_000),
    }
}

/// A pause: none, short, or long enough for quiet.
fn pause(random: &mut fastrand::Rng) -> Step {
    Step::Pause(match random.u64(..4) {
        0 | 1 => 0,
        2 => random.u64(1..=300),
        _ => random.u64(1_000..=5_000),
    })
}

fn draw_scripts(random: &mut fastrand::Rng, kind: Kind, is_clean: bool) -> [Script; 2] {
    use Step::*;
    let mut steps: [Vec<Step>; 2] = [Vec::new(), Vec::new()];
    for side in &mut steps {
        side.extend([pause(random), Send(size(random, kind, is_clean)), pause(random)]);
    }
    let mut abort = [None; 2];
    match kind {
        Kind::ClosesFirst(first) | Kind::Reopens(first) | Kind::ReadsSlowly(first) => {
            let last = 1 - first;
            steps[first].extend([Close, AwaitEnd]);
            steps[last].extend([AwaitEnd, pause(random)]);
            if random.chance(30) {
                steps[last].extend([Send(size(random, kind, is_clean)), pause(random)]);
            }
            steps[last].push(Close);
        }
        Kind::KeepsAlive(first) => {
            steps[first].extend([
                Pause(random.u64(4_000..=15_000)),
                Send(size(random, kind, is_clean)),
                Close,
                AwaitEnd,
            ]);
            steps[1 - first].extend([AwaitEnd, Pause(random.u64(0..=9_000)), Close]);
        }
        Kind::BothClose | Kind::OpensSimultaneously => {
            let at = random.u64(1_000..=4_000);
            for side in &mut steps {
                side.extend([Until(at + random.u64(..40)), Close, AwaitEnd]);
            }
        }
        Kind::HalfClose(first) => {
            let last = 1 - first;
            steps[first] = vec![pause(random), Send(random.u64(0..=300)), Close, AwaitEnd];
            steps[last] = vec![AwaitEnd, pause(random), Send(random.u64(2_000..=60_000)), pause(random)];
            steps[last].extend([Send(size(random, kind, is_clean)), pause(random), Close]);
        }
        Kind::Aborts(side) => {
            abort[side] = Some(random.u64(0..=4_000));
            steps[side].extend([AwaitEnd, Close]);
            steps[1 - side].extend([pause(random), Close, AwaitEnd]);
        }
        Kind::BothAbort => {
            let at = random.u64(100..=3_000);
            abort = [Some(at), Some(at + random.u64(..150))];
        }
        Kind::Abandons => {
            abort[CLIENT] = Some(random.u64(..400));
            steps[SERVER].extend([AwaitEnd, Close]);
        }
        Kind::Refused => {}
    }
    let mut script = |steps: Vec<Step>, abort, side| Script {
        steps,
        abort,
        read: if kind == Kind::ReadsSlowly(side) { random.u64(20..=300) } else { 1 << 20 },
        interval: if kind == Kind::ReadsSlowly(side) { random.u64(20..=120) } else { random.u64(1..=30) },
    };
    let [client, server] = steps;
    [script(client, abort[0], CLIENT), script(server, abort[1], SERVER)]
}
