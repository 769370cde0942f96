//! What must hold, and when it is looked at.
//!
//! **States.** A moment of a connection is *quiet* when nothing of it is in the network, and of both sockets
//! nothing is unacknowledged: no data, SYN or FIN, and no RST still to be sent. Then nothing moves before an
//! application acts, a keep-alive is due or TIME_WAIT ends, and both of the tracker's states, read from its table,
//! are the sockets' own. It is looked at just before each act of an application, and at random in between.
//!
//! Some things nobody but an endpoint can know, and quiet moments at which they are so are counted but not compared:
//!
//! - an RST was lost, damaged or without effect, or ended an incarnation that began while it was under way behind the
//!   tracker (`is_troubled`): RSTs are not repeated, so one side is gone and the other side does not know (RFC 9293
//!   section 3.5.1);
//! - 2 MSL is over at the one, and not yet at the other: both count from the same segment's passage, which came to
//!   the tracker first; or every copy of the last FIN was lost before the tracker for so long. That end is held against the other by itself, to the millisecond: [`World::check_ends`];
//! - whether FINs crossed, where no FIN says so: CLOSE sends none before everything else was sent (section 3.10.4), or
//!   it was lost before the tracker; and the one that came acknowledges the other's, as LAST_ACK's does. Then the
//!   states in the end may be CLOSED for TIME_WAIT. The other way round where the first FIN of LAST_ACK was lost
//!   or overtaken: what was sent behind it then looks as if CLOSING had sent it.
//!
//! **Refusals.** A segment that the tracker refuses travels on as a ghost. When it would have arrived, the
//! endpoint's real state and numbers tell whether RFC 9293 section 3.10.7 would have taken it in. A packet
//! that was damaged on its way is rightly refused, and must be.
//!
//! **Resets.** An RST that ends a connection at the tracker is exact, by what was let through before.
//!
//! **Streams.** What one side has sent arrived at the other, all of it and in order, unless somebody broke off.
//!
//! **Ends.** Each connection ends; the tracker's record of it says how; its table is empty after a drain.

use lastack::shard::{End, Record};
use lastack::tcp::State;
use lastack::time::Time;

use crate::middle::MSL;
use crate::plan::{CLIENT, SERVER};
use crate::segment::Seen;
use crate::world::{Failure, World};

impl World {
    /// Compares the states, if the moment is quiet.
    pub(crate) fn compare(&mut self, number: usize) -> Result<(), Failure> {
        self.middle.poll(self.now);
        let connection = &self.connections[number];
        let is_quiet = connection.under_way == 0 && connection.ends.iter().all(|end| end.is_at_rest());
        if !is_quiet {
            return Ok(());
        }
        let real = connection.states();
        let time_wait = connection.time_wait;
        let is_over = time_wait.tracked.is_some_and(|(at, _)| self.now >= at + 2 * u64::from(MSL));
        let is_done = real.iter().all(|state| matches!(state, State::Closed | State::Listen));
        if connection.was_outlived || is_over && !is_done {
            self.coverage.event("quiet, but 2 MSL is over at the tracker only");
            return Ok(());
        }
        let tracked = self.middle.states(connection.sockets[CLIENT], connection.sockets[SERVER]);
        let has_left = time_wait.left.iter().any(Option::is_some);
        if connection.is_troubled {
            self.coverage.event("quiet, but an RST was lost");
            return Ok(());
        }
        let Some(tracked) = tracked else {
            return match real {
                [State::Closed | State::Listen, State::Closed | State::Listen] => Ok(()),
                _ => Err(self.failure(number, format!("are {real:?}, and the tracker knows no connection"))),
            };
        };
        if real == [State::Closed; 2] && tracked.contains(&State::Listen) && connection.plan.kind.breaks_off()
        {
            // The network had one more copy of the SYN, and lost it behind the tracker.
            self.coverage.event("quiet, but a stray SYN was lost");
            return Ok(());
        }
        if has_left {
            self.coverage.event("quiet, but 2 MSL is over at an endpoint only");
            return Ok(());
        }
        // A listener does not belong to a connection: none was accepted, or an RST has ended it.
        let same = (0..2).all(|side| match (real[side], tracked[side]) {
            (State::Listen, State::Closed) => true,
            (State::TimeWait, State::Closed) => !connection.fins[side].shows_crossing,
            (State::Closed, State::TimeWait) => !connection.fins[side].came_in_order,
            (real, tracked) => real == tracked,
        });
        if !same {
            return Err(self.failure(number, format!("are {real:?}, and the tracker says {tracked:?}")));
        }
        if (0..2).any(|side| real[side] != tracked[side] && real[side] != State::Listen) {
            self.coverage.event("quiet, but no FIN showed whether they crossed");
            return Ok(());
        }
        self.coverage.pair(real);
        Ok(())
    }

    /// A segment that was refused would have reached the endpoint now.
    pub(crate) fn check_refused(
        &mut self,
        number: usize,
        side: usize,
        packet: u64,
        seen: &Seen,
    ) -> Result<(), Failure> {
        let end = &self.connections[number].ends[side];
        if end.would_accept(seen) {
            let (state, next) = (end.state(), end.receive_next());
            let what = format!(
                "#{packet} ({seen}) was refused, and the receiver would have accepted it in {state} at {next:?}"
            );
            return Err(self.failure(number, what));
        }
        Ok(())
    }

    /// An RST has ended the connection at the tracker: it must have been exact (RFC 5961 section 3).
    pub(crate) fn check_reset(&self, number: usize, side: usize, seen: &Seen) -> Result<(), Failure> {
        let connection = &self.connections[number];
        // Picked up in mid-stream, nobody has seen where its streams begin.
        if connection.was_outlived || connection.is_exact(side, seen) {
            return Ok(());
        }
        Err(self.failure(number, format!("an RST that is not exact has ended it: {seen}")))
    }

    /// Nothing that was sent may be missing.
    pub(crate) fn check_streams(&mut self, number: usize) -> Result<(), Failure> {
        let connection = &self.connections[number];
        for side in [CLIENT, SERVER] {
            let (iss, next) = (connection.ends[side].initial_sequence(), connection.ends[side].send_next());
            if iss.is_some_and(|iss| next < iss) {
                self.coverage.event("sequence numbers wrapped");
            }
            if connection.plan.traits[side].buffers[0] > 65_535 {
                self.coverage.event("windows scaled");
            }
        }
        if connection.plan.kind.breaks_off() || connection.was_given_up {
            return Ok(());
        }
        for (side, name) in [(CLIENT, "client"), (SERVER, "server")] {
            let (sent, received) = (connection.ends[1 - side].sent(), connection.ends[side].received);
            // An RST may end TIME_WAIT before its application has noticed the other side's end.
            let is_done = connection.applications[side].is_done() || connection.resets > 0;
            if sent != received || !is_done {
                let what = format!("the {name} got {received} of {sent} bytes, or is not done");
                return Err(self.failure(number, what));
            }
        }
        Ok(())
    }

    /// After everything: what the tracker has kept of each connection.
    pub(crate) fn check_ends(&mut self) -> Result<(), Failure> {
        self.now = self.middle.drain(self.now);
        for number in 0..self.connections.len() {
            let connection = &self.connections[number];
            if !connection.is_finished {
                return Err(self.failure(number, format!("has not ended: {:?}", connection.states())));
            }
            let [client, server] = connection.sockets;
            let records = self.middle.ended(client, server);
            for record in &records {
                if let Err(what) = self.check_record(number, record) {
                    return Err(self.failure(number, what));
                }
                let end = record.end.map_or("none", End::name);
                *self.coverage.ends.entry(end).or_default() += 1;
            }
            self.check_time_wait(number, &records)?;
            if let Err(what) = self.check_number(number, &records) {
                return Err(self.failure(number, what));
            }
        }
        self.middle.audit().map_err(|what| self.failure(0, what))
    }

    /// Whether a connection's end is what its last states and its life say.
    fn check_record(&self, number: usize, record: &Record) -> Result<(), String> {
        let connection = &self.connections[number];
        let states = record.states.ok_or("a TCP connection without states")?;
        let may_stay_behind = connection.is_troubled
            || connection.was_outlived
            || connection.resets > 0
            || connection.plan.kind.breaks_off();
        let fits = match record.end {
            Some(End::Closed) => states.contains(&State::TimeWait),
            Some(End::Reset) => states == [State::Closed; 2] && connection.resets > 0,
            Some(End::Reused) => states.contains(&State::TimeWait) && connection.incarnations > 1,
            Some(End::Expired) => {
                may_stay_behind && !states.contains(&State::TimeWait) && states != [State::Closed; 2]
            }
            Some(End::Evicted | End::Deleted) | None => false,
        };
        if fits { Ok(()) } else { Err(format!("ended {:?} in {states:?}", record.end)) }
    }

    /// Where no RST was seen and nobody broke off, there is one record for each incarnation, and the last one says
    /// `closed`.
    fn check_number(&self, number: usize, records: &[Record]) -> Result<(), String> {
        let connection = &self.connections[number];
        if connection.resets > 0
            || connection.is_troubled
            || connection.was_outlived
            || connection.plan.kind.breaks_off()
        {
            return Ok(());
        }
        let ends: Vec<Option<End>> = records.iter().map(|record| record.end).collect();
        let (last, earlier) = ends.split_last().ok_or("was never seen")?;
        let fits = *last == Some(End::Closed)
            && ends.len() as u64 == connection.incarnations
            && earlier.iter().all(|end| matches!(end, Some(End::Closed | End::Reused)));
        if fits { Ok(()) } else { Err(format!("{} incarnations ended {ends:?}", connection.incarnations)) }
    }

    /// 2 MSL from the segment that began it, at the tracker; and where the same segment began it at the endpoint,
    /// both end it in step.
    fn check_time_wait(&mut self, number: usize, records: &[Record]) -> Result<(), Failure> {
        let connection = &self.connections[number];
        let time_wait = connection.time_wait;
        let (Some((passed, packet)), Some(last)) = (time_wait.tracked, records.last()) else { return Ok(()) };
        if last.end != Some(End::Closed) || connection.resets > 0 {
            return Ok(());
        }
        let span = 2 * u64::from(MSL);
        let expected = Time::from_nanoseconds((passed + span) * 1_000_000).tick();
        if last.deadline != expected {
            let what =
                format!("TIME_WAIT ends at {:?} and not 2 MSL after #{packet}: {expected:?}", last.deadline);
            return Err(self.failure(number, what));
        }
        for side in [CLIENT, SERVER] {
            let (Some((arrived, last)), Some(left)) = (time_wait.entered[side], time_wait.left[side]) else {
                continue;
            };
            if left != arrived + span {
                return Err(
                    self.failure(number, format!("smoltcp left TIME_WAIT at {left}, not {arrived} + {span}"))
                );
            }
            let name =
                if last == packet { "TIME_WAIT ended in step" } else { "TIME_WAIT ended by another segment" };
            self.coverage.event(name);
        }
        Ok(())
    }
}
