//! What a workload asks of `[tcp]`, as far as that is known before it runs.
//!
//! ```text
//!  Plan::check ─► check ─┬─ established, established6, syn_flood   nothing that a minute would not show
//!                        ├─ lifecycle   TIME_WAIT of 2 MSL for all of them, timeouts that outlast its clock's steps
//!                        └─ expiry      TIME_WAIT of 2 MSL for all of them, open connections that outlast it
//! ```
//!
//! What is not known here ends the measurement when a packet is not judged as the workload takes for granted.

use super::plan::Workload;
use super::{expiry, lifecycle};
use crate::tcp::{Policy, Timeouts};

/// Whether the policy lets `flows` connections of so many shards do what the workload has them do; else the key that does
/// not, and what would be right.
pub(super) fn check(workload: Workload, flows: u32, shards: u32, policy: &Policy) -> Result<(), String> {
    match workload {
        Workload::Established | Workload::Established6 | Workload::SynFlood => Ok(()),
        Workload::Lifecycle => {
            time_wait(workload, flows, policy)?;
            pauses(flows, shards, &policy.timeouts)
        }
        Workload::Expiry => {
            time_wait(workload, flows, policy)?;
            idleness(&policy.timeouts)
        }
    }
}

/// Every connection has to be in TIME_WAIT, for 2 MSL.
fn time_wait(workload: Workload, flows: u32, policy: &Policy) -> Result<(), String> {
    if policy.timeouts.msl < expiry::LEAST_MSL {
        return Err(format!("tcp.msl: {workload} takes at least \"2s\", so that TIME_WAIT lasts 4 s"));
    }
    let most = policy.time_wait_max;
    if most != 0 && most < flows {
        return Err(format!(
            "tcp.time_wait_max: {workload} with {flows} connections lets as many be in TIME_WAIT; it takes at least \
             {flows}, or 0 for no limit"
        ));
    }
    if policy.time_wait_truncation {
        return Err(format!(
            "tcp.time_wait_truncation: {workload} takes false, so that TIME_WAIT lasts 2 MSL"
        ));
    }
    Ok(())
}

/// The clock of `lifecycle` moves fast: what waits for a connection's next packet has to wait for that long.
fn pauses(flows: u32, shards: u32, timeouts: &Timeouts) -> Result<(), String> {
    // The smallest shard has the longest.
    let pause = lifecycle::pause(flows / shards, timeouts.msl);
    let waits = [
        ("syn_sent", timeouts.syn_sent),
        ("syn_received", timeouts.syn_received),
        ("established", timeouts.established),
        ("fin_wait_1", timeouts.fin_wait_1),
        ("fin_timeout", timeouts.fin_timeout),
    ];
    let Some((key, _)) = waits.into_iter().find(|(_, timeout)| *timeout <= pause) else { return Ok(()) };
    Err(format!(
        "tcp.{key}: lifecycle with {flows} connections moves its clock by {:.1} s between two packets of one, so that \
         TIME_WAIT lasts 2 MSL; it takes a longer {key}, a shorter tcp.msl, or many more --flows",
        f64::from(pause.milliseconds()) / 1e3
    ))
}

/// The open connections of `expiry` are idle while the others wait.
fn idleness(timeouts: &Timeouts) -> Result<(), String> {
    if timeouts.established > timeouts.msl.times(2) {
        return Ok(());
    }
    Err("tcp.established: expiry takes more than 2 MSL (tcp.msl), for which its open connections are idle"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    /// What is said of a policy that differs from the default in one thing.
    fn told(workload: Workload, flows: u32, change: impl Fn(&mut Policy)) -> Result<(), String> {
        let mut policy = Policy::DEFAULT;
        change(&mut policy);
        check(workload, flows, 1, &policy)
    }

    #[test]
    fn workloads_that_close_connections_ask_for_time_wait_by_its_keys() {
        for workload in [Workload::Lifecycle, Workload::Expiry] {
            assert_eq!(told(workload, 1000, |_| ()), Ok(()));
            for (key, change) in [
                (
                    "tcp.msl: ",
                    (|policy| policy.timeouts.msl = Span::from_milliseconds(1999)) as fn(&mut Policy),
                ),
                ("tcp.time_wait_max: ", |policy| policy.time_wait_max = 999),
                ("tcp.time_wait_truncation: ", |policy| policy.time_wait_truncation = true),
            ] {
                let text = told(workload, 1000, change).unwrap_err();
                assert!(text.starts_with(key) && text.contains(workload.name()), "{text}");
                for other in [Workload::Established, Workload::Established6, Workload::SynFlood] {
                    assert_eq!(told(other, 1000, change), Ok(()), "{other} closes none");
                }
            }
            assert_eq!(told(workload, 1000, |policy| policy.time_wait_max = 1000), Ok(()));
        }
    }

    #[test]
    fn every_timeout_of_a_connection_outlasts_the_pause_before_its_next_packet() {
        let pause = lifecycle::pause(1000, Policy::DEFAULT.timeouts.msl);
        let next = Span::from_milliseconds(pause.milliseconds() + 1);
        for (key, set) in [
            ("tcp.syn_sent", (|timeouts, span| timeouts.syn_sent = span) as fn(&mut Timeouts, Span)),
            ("tcp.syn_received", |timeouts, span| timeouts.syn_received = span),
            ("tcp.established", |timeouts, span| timeouts.established = span),
            ("tcp.fin_wait_1", |timeouts, span| timeouts.fin_wait_1 = span),
            ("tcp.fin_timeout", |timeouts, span| timeouts.fin_timeout = span),
        ] {
            let text =
                told(Workload::Lifecycle, 1000, |policy| set(&mut policy.timeouts, pause)).unwrap_err();
            assert!(text.starts_with(key) && text.contains("many more --flows"), "{text}");
            assert_eq!(told(Workload::Lifecycle, 1000, |policy| set(&mut policy.timeouts, next)), Ok(()));
        }
        let hour = |policy: &mut Policy| policy.timeouts.msl = Span::from_milliseconds(3_600_000);
        let text = told(Workload::Lifecycle, 1000, hour).unwrap_err();
        assert!(text.starts_with("tcp.syn_received") && text.contains("1000 connections"), "{text}");
        assert_eq!(told(Workload::Lifecycle, 100_000, hour), Ok(()), "many more connections, shorter steps");
    }

    #[test]
    fn connections_that_stay_open_while_others_wait_may_be_idle_for_so_long() {
        let two_hours = |policy: &mut Policy| policy.timeouts.msl = Span::from_milliseconds(7_200_000);
        let text = told(Workload::Expiry, 1000, two_hours).unwrap_err();
        assert!(text.starts_with("tcp.established") && text.contains("2 MSL"), "{text}");
    }
}
