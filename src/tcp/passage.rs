//! From one pair of states to the next: what of it concerns others than the connection itself.
//!
//! ```text
//!   before ─ segment ─► after          Passage
//!   ESTB/ESTB     FIN   FIN1/CLSW      CHANGES
//!   FIN2/CLSW     FIN   TIMW/LACK      CHANGES  BEGINS_TIME_WAIT  IS_IN_TIME_WAIT
//!   TIMW/LACK     ACK   TIMW/CLOS      CHANGES                    IS_IN_TIME_WAIT  IS_OVER
//!   TIMW/CLOS     RST   CLOS/CLOS      CHANGES  ENDS_TIME_WAIT                     IS_OVER
//! ```
//!
//! Five questions that follow each segment. Asked of the states they are a dozen comparisons; here they are asked when the
//! compiler works out what an orderly segment does ([`super::judge_orderly`]), and at run time of all others.

use super::state::State;

/// What two pairs of states say about the step from one to the other, as a set. The order in a pair does not matter, as
/// long as it is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage(u8);

impl Passage {
    const CHANGES: u8 = 1;
    const BEGINS_TIME_WAIT: u8 = 1 << 1;
    const ENDS_TIME_WAIT: u8 = 1 << 2;
    const IS_IN_TIME_WAIT: u8 = 1 << 3;
    const IS_OVER: u8 = 1 << 4;

    /// From `before` to `after`.
    #[inline]
    pub const fn of(before: [State; 2], after: [State; 2]) -> Passage {
        let changes = before[0] as u8 != after[0] as u8 || before[1] as u8 != after[1] as u8;
        let (was_waiting, is_waiting) = (is_in_time_wait(before), is_in_time_wait(after));
        let mut set = 0;
        if changes {
            set |= Passage::CHANGES;
        }
        if is_waiting && !was_waiting {
            set |= Passage::BEGINS_TIME_WAIT;
        }
        if was_waiting && !is_waiting {
            set |= Passage::ENDS_TIME_WAIT;
        }
        if is_waiting {
            set |= Passage::IS_IN_TIME_WAIT;
        }
        if after[0].is_done() && after[1].is_done() {
            set |= Passage::IS_OVER;
        }
        Passage(set)
    }

    /// Whether there is a change at all.
    #[inline(always)]
    pub const fn changes(self) -> bool {
        self.0 & Passage::CHANGES != 0
    }

    /// Whether an endpoint enters TIME_WAIT, where none was before.
    #[inline(always)]
    pub const fn begins_time_wait(self) -> bool {
        self.0 & Passage::BEGINS_TIME_WAIT != 0
    }

    /// Whether an endpoint was in TIME_WAIT, and none is any more.
    #[inline(always)]
    pub const fn ends_time_wait(self) -> bool {
        self.0 & Passage::ENDS_TIME_WAIT != 0
    }

    /// Whether an endpoint is in TIME_WAIT afterwards.
    #[inline(always)]
    pub const fn is_in_time_wait(self) -> bool {
        self.0 & Passage::IS_IN_TIME_WAIT != 0
    }

    /// Whether both endpoints are done afterwards.
    #[inline(always)]
    pub const fn is_over(self) -> bool {
        self.0 & Passage::IS_OVER != 0
    }
}

const fn is_in_time_wait(states: [State; 2]) -> bool {
    matches!(states[0], State::TimeWait) || matches!(states[1], State::TimeWait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_is_answered_as_the_states_answer_it() {
        let pairs = || State::ALL.into_iter().flat_map(|a| State::ALL.map(|b| [a, b]));
        for (before, after) in pairs().flat_map(|before| pairs().map(move |after| (before, after))) {
            let [was, is] = [before, after].map(|states| states.contains(&State::TimeWait));
            let over = after.iter().all(|state| matches!(state, State::TimeWait | State::Closed));
            let passage = Passage::of(before, after);
            assert_eq!(passage.changes(), before != after, "{before:?} {after:?}");
            assert_eq!(passage.begins_time_wait(), is && !was, "{before:?} {after:?}");
            assert_eq!(passage.ends_time_wait(), was && !is, "{before:?} {after:?}");
            assert_eq!(passage.is_in_time_wait(), is, "{before:?} {after:?}");
            assert_eq!(passage.is_over(), over, "{before:?} {after:?}");
        }
    }
}
