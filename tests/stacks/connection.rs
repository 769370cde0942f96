//! One connection: both endpoints, both applications, and what came by at the tracker of each side.

use lastack::tcp::State;

use crate::application::Application;
use crate::endpoint::Endpoint;
use crate::middle::Socket;
use crate::plan::{CLIENT, Plan, SERVER};
use crate::segment::{Seen, is_before};

/// One connection with everything that belongs to it.
pub(crate) struct Connection {
    pub(crate) plan: Plan,
    pub(crate) sockets: [Socket; 2],
    pub(crate) ends: [Endpoint; 2],
    pub(crate) applications: [Application; 2],
    pub(crate) salt: u64,
    pub(crate) started: u64,
    /// Packets in the network.
    pub(crate) under_way: u32,
    /// When a packet reached an endpoint last.
    pub(crate) last_delivery: u64,
    /// An RST was lost, damaged, without effect where it arrived, or meant for an earlier incarnation than it met: nobody
    /// repeats it, so from now on nobody but its sender can know (RFC 9293 section 3.5.1).
    pub(crate) is_troubled: bool,
    /// RSTs that the tracker has let through.
    pub(crate) resets: u32,
    /// Their packets' numbers: those of the entry in the table now, and those of the ones before it.
    pub(crate) resets_by_entry: [Vec<u64>; 2],
    /// An application has given a half-open connection up.
    pub(crate) was_given_up: bool,
    /// The tracker's time for it was over before an endpoint was done.
    pub(crate) was_outlived: bool,
    pub(crate) fins: [Fin; 2],
    pub(crate) streams: [Stream; 2],
    pub(crate) incarnations: u64,
    pub(crate) is_finished: bool,
    /// The server is still in TIME_WAIT, and goes on to listen.
    pub(crate) awaits_syn: bool,
    pub(crate) reopens_at: Option<u64>,
    pub(crate) act_at: [Option<u64>; 2],
    pub(crate) poll_at: [Option<u64>; 2],
    /// What the tracker said of the states with its newest verdict.
    pub(crate) tracked: Option<[State; 2]>,
    pub(crate) time_wait: TimeWait,
}

/// What one side's FIN has shown to the tracker of whether it crossed the other one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fin {
    /// The sequence number behind it, and the number of the first packet that bore it.
    pub(crate) first: Option<(u32, u64)>,
    /// The first copy that came does not acknowledge the other's FIN: they crossed.
    pub(crate) shows_crossing: bool,
    /// The first copy came, and came before anything that was sent after it.
    pub(crate) came_in_order: bool,
    came: bool,
    came_behind: bool,
}

/// How many pieces behind gaps the tracker keeps (`tcp::Irregular`).
const BLOCKS: usize = 2;

/// How far one side's stream has come through the tracker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    /// The highest acknowledgement that it has sent.
    pub(crate) acked: Option<u32>,
    /// The end of what was let through without a gap.
    pub(crate) unbroken: Option<u32>,
    /// The end of its SYN.
    syn_end: Option<u32>,
    /// There were more pieces behind gaps than the tracker keeps, so that it may hold the stream for shorter than it is.
    was_torn: bool,
    /// What was let through behind a gap.
    pub(crate) ahead: Vec<(u32, u32)>,
}

impl Stream {
    fn take(&mut self, seen: &Seen) {
        if seen.syn && self.unbroken.is_none() {
            (self.syn_end, self.unbroken) = (Some(seen.end()), Some(seen.end()));
        }
        self.acked = match (self.acked, seen.ack) {
            (Some(old), Some(new)) if is_before(new, old) => Some(old),
            (old, new) => new.or(old),
        };
        self.ahead.push((seen.seq, seen.end()));
        self.close_gaps();
        self.was_torn |= self.ahead.len() > BLOCKS;
    }

    /// What the other side has acknowledged was received.
    fn reach(&mut self, ack: u32) {
        if self.unbroken.is_some_and(|unbroken| is_before(unbroken, ack)) {
            self.unbroken = Some(ack);
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        let Some(mut unbroken) = self.unbroken else { return };
        while let Some(at) = self.ahead.iter().position(|(start, _)| !is_before(unbroken, *start)) {
            let (_, end) = self.ahead.swap_remove(at);
            if is_before(unbroken, end) {
                unbroken = end;
            }
        }
        self.unbroken = Some(unbroken);
    }
}

/// What 2 MSL is counted from: times, and the number of the packet whose passage it was.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimeWait {
    /// At the tracker.
    pub(crate) tracked: Option<(u64, u64)>,
    /// At both endpoints.
    pub(crate) entered: [Option<(u64, u64)>; 2],
    /// When each endpoint left it.
    pub(crate) left: [Option<u64>; 2],
}

impl Connection {
    /// The next incarnation's application.
    pub(crate) fn renew_application(&mut self, side: usize, now: u64) {
        let script = self.plan.scripts[side].clone();
        self.applications[side] = Application::new(script, self.salt + side as u64, now);
        self.act_at[side] = None;
    }

    /// Takes note of how far the streams have come.
    pub(crate) fn note_stream(&mut self, sender: usize, seen: &Seen, is_new: bool) {
        if is_new {
            self.streams = [Stream::default(), Stream::default()];
        }
        self.streams[sender].take(seen);
        if let Some(ack) = seen.ack {
            self.streams[1 - sender].reach(ack);
        }
    }

    /// Whether an RST from `sender` bears the highest acknowledgement of its receiver, or the end of what came of its
    /// sender without a gap; or acknowledges the SYN of a receiver that has sent nothing but that.
    pub(crate) fn is_exact(&self, sender: usize, seen: &Seen) -> bool {
        let (own, other) = (&self.streams[sender], &self.streams[1 - sender]);
        let refuses = own.unbroken.is_none() && seen.ack.is_some() && seen.ack == other.syn_end;
        let is_between = other.acked.is_none_or(|acked| !is_before(seen.seq, acked))
            && own.unbroken.is_none_or(|unbroken| !is_before(unbroken, seen.seq));
        refuses
            || own.was_torn && is_between
            || own.unbroken == Some(seen.seq)
            || other.acked == Some(seen.seq)
    }

    /// Takes note of what a segment that the tracker has let through shows of its sender's FIN.
    pub(crate) fn note_fin(&mut self, sender: usize, number: u64, seen: &Seen) {
        let peers = self.fins[1 - sender].first;
        let fin = &mut self.fins[sender];
        let Some((end, first)) = fin.first else { return };
        if seen.fin {
            if !fin.came {
                fin.shows_crossing =
                    peers.is_none_or(|(end, _)| seen.ack.is_none_or(|ack| is_before(ack, end)));
            }
            fin.came = true;
            fin.came_in_order |= !fin.came_behind && (number == first || number == first + 1);
        } else if !seen.rst && !is_before(seen.seq, end) {
            fin.came_behind = true;
        }
    }

    /// Both real states, the client's first.
    pub(crate) fn states(&self) -> [State; 2] {
        [self.ends[CLIENT].state(), self.ends[SERVER].state()]
    }
}
