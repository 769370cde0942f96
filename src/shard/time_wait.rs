//! The share of TIME_WAIT in the table, and in which order connections entered it (`time_wait_max`).
//!
//! A queue of places and numbers. A connection that left TIME_WAIT another way stays in the queue until it
//! is met: its place then bears another number, or another state. The queue has room for twice the limit and
//! gives up its stale front as others enter; only where one that lasts blocks the front is it swept as a
//! whole, once in as many entries as the limit allows. Nothing is allocated.

use std::collections::VecDeque;

use crate::table::{Index, Table};
use crate::tcp::{self, State, TimeWaitOverflow};

use super::record;

/// Who is in TIME_WAIT, oldest first; only a count where nobody asks for the order.
#[derive(Debug)]
pub(super) struct TimeWaitQueue {
    limit: u32,
    count: u32,
    keeps_order: bool,
    order: VecDeque<(Index, u64)>,
}

impl TimeWaitQueue {
    pub(super) fn new(policy: &tcp::Policy, capacity: u32) -> TimeWaitQueue {
        let limit = policy.time_wait_max;
        let keeps_order = limit > 0 && policy.time_wait_overflow == TimeWaitOverflow::EvictOldest;
        let room = if keeps_order { room(limit.min(capacity)) } else { 0 };
        TimeWaitQueue { limit, count: 0, keeps_order, order: VecDeque::with_capacity(room) }
    }

    /// A connection has entered TIME_WAIT.
    pub(super) fn entered(&mut self, index: Index, id: u64, table: &Table) {
        self.count += 1;
        if self.keeps_order {
            // They leave mostly in the order they came in: two looks for each that enters keep up.
            for _ in 0..2 {
                if self.order.front().is_some_and(|&(index, id)| !is_waiting(table, index, id)) {
                    self.order.pop_front();
                }
            }
            if self.order.len() == self.order.capacity() {
                self.order.retain(|&(index, id)| is_waiting(table, index, id));
            }
            self.order.push_back((index, id));
        }
    }

    /// A connection in TIME_WAIT has left it or ended.
    pub(super) fn left(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// Whether more connections are in TIME_WAIT than may be.
    pub(super) fn is_over_limit(&self) -> bool {
        self.limit > 0 && self.count > self.limit
    }

    /// Takes out the connection that entered TIME_WAIT first.
    pub(super) fn oldest(&mut self, table: &Table) -> Option<Index> {
        while let Some((index, id)) = self.order.pop_front() {
            if is_waiting(table, index, id) {
                return Some(index);
            }
        }
        None
    }
}

/// Twice what can be waiting at once, one more than the limit included.
fn room(limit: u32) -> usize {
    2 * (limit as usize + 1)
}

fn is_waiting(table: &Table, index: Index, id: u64) -> bool {
    let connection = table.connection(index);
    connection.is_live()
        && connection.id() == id
        && record::states_of(connection).is_some_and(|states| states.contains(&State::TimeWait))
}
