//! The first bytes of an input: the policy, how large the table is, and which relation is tried.

use lastack::shard::Settings;
use lastack::tcp::{InexactRst, Policy, TimeWaitOverflow, TimeWaitReuse, Timeouts};
use lastack::time::Span;
use lastack::wire::Checks;
use lastack::{flow, fragments};

use super::input::Input;

/// Timeouts in milliseconds. None lies below the 250 ms of the configuration's own tests, so that no law has
/// to ask whether a connection was over before it had begun.
const SPANS: [u32; 8] = [250, 1_000, 3_000, 10_000, 30_000, 60_000, 120_000, 7_440_000];

/// Another way to put the same question, which must have the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The very same once more.
    Repeated,
    /// Both endpoints have exchanged their addresses.
    Mirrored,
    /// The numbers of one side are higher by a constant.
    ClientNumbers(u32),
    ServerNumbers(u32),
    /// Everything happens later, by this many milliseconds.
    Later(u32),
    /// Packets of the same millisecond come as one burst.
    Bursts,
    /// The timers do their work only at the end.
    Unpolled,
    /// Every segment bears a VLAN tag, which means nothing here but that none takes a shortcut, be it of the parser or
    /// of the tracker.
    Tagged,
}

/// Everything that is decided before the first packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub policy: Policy,
    /// Two connections for four tuples: something has to go.
    pub is_tight: bool,
    pub relation: Relation,
}

impl Setup {
    /// Zeros are the defaults, so that a short input is an ordinary one.
    pub(crate) fn read(input: &mut Input<'_>) -> Setup {
        let switches = input.byte();
        let on = |bit: u8| switches >> bit & 1 == 1;
        let mut policy = Policy::DEFAULT;
        policy.time_wait_assassination = on(0);
        policy.time_wait_restart = !on(1);
        policy.time_wait_truncation = on(2);
        policy.loose = !on(3);
        policy.liberal = on(4);
        policy.check_window = !on(5);
        policy.inexact_rst = if on(6) { InexactRst::Drop } else { InexactRst::Pass };
        policy.time_wait_overflow =
            if on(7) { TimeWaitOverflow::Skip } else { TimeWaitOverflow::EvictOldest };

        let more = input.byte();
        policy.time_wait_reuse =
            [TimeWaitReuse::Rfc6191, TimeWaitReuse::Off, TimeWaitReuse::Rfc1122, TimeWaitReuse::Always]
                [usize::from(more & 3)];
        policy.time_wait_max = [0, 1, 2, 3][usize::from(more >> 2 & 3)];
        policy.orphan_retries = [8, 0, 1, 2, 3, 5, 14, 15][usize::from(more >> 4 & 7)];
        policy.quiet_time = Span::from_milliseconds(if more >> 7 == 1 { 5_000 } else { 0 });

        let kind = input.byte();
        let is_tight = kind >> 7 == 1;
        // A side's numbers wrap somewhere in the middle of what it sends, or lie elsewhere altogether.
        let amount = [0x8000_0000, 0x0fff_fff0, 1, 0xffff_f000][usize::from(kind >> 3 & 3)];
        let later = [1, 999, 0xffff_0000, 0x7fff_ff00][usize::from(kind >> 3 & 3)];
        let relation = match kind & 7 {
            0 => Relation::Repeated,
            1 => Relation::Mirrored,
            2 => Relation::ClientNumbers(amount),
            3 => Relation::ServerNumbers(amount),
            4 => Relation::Later(later),
            5 => Relation::Bursts,
            6 => Relation::Unpolled,
            _ => Relation::Tagged,
        };
        if input.byte() & 1 == 1 {
            policy.timeouts = timeouts(input);
        }
        Setup { policy, is_tight, relation }
    }

    /// Whether the relation can be expected to hold: in a table that has no room, and in a queue of TIME_WAIT
    /// that is full, who goes may depend on where it lies, and on whether the wheel has come by.
    pub(crate) fn relation_holds(&self) -> bool {
        let is_roomy = !self.is_tight && self.policy.time_wait_max == 0;
        match self.relation {
            Relation::Repeated
            | Relation::Mirrored
            | Relation::ClientNumbers(_)
            | Relation::ServerNumbers(_)
            | Relation::Tagged => true,
            // Timers that are asked less often file differently, and end what is due at once in another order.
            Relation::Bursts => !self.is_tight,
            Relation::Later(_) | Relation::Unpolled => is_roomy,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            checks: Checks::ALL,
            tcp: self.policy,
            flow: flow::Policy::DEFAULT,
            // None comes; room for many would only have to be cleared each time.
            fragments: fragments::Policy { max: 1, ..fragments::Policy::default() },
            sides: 1,
            shards: 1,
            number: 0,
        }
    }

    /// The longest that a connection can be left alone.
    pub(crate) fn longest(&self) -> Span {
        let t = &self.policy.timeouts;
        let all = [
            t.syn_sent,
            t.syn_received,
            t.established,
            t.fin_wait_1,
            t.fin_timeout,
            t.half_closed,
            t.closing,
            t.msl.times(2),
            t.closed,
        ];
        all.into_iter().max().unwrap_or_default()
    }
}

fn timeouts(input: &mut Input<'_>) -> Timeouts {
    let mut span = || Span::from_milliseconds(input.one_of(&SPANS));
    Timeouts {
        syn_sent: span(),
        syn_received: span(),
        established: span(),
        fin_wait_1: span(),
        fin_timeout: span(),
        half_closed: span(),
        closing: span(),
        msl: span(),
        closed: span(),
    }
}
