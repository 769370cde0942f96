//! What the process may do: /proc/self tells.

use std::fs;

/// A capability: its number (linux/capability.h) and its name.
type Capability = (u32, &'static str);

/// What AF_XDP and its program need: packet sockets; attaching, and creating the map of sockets; BPF at all; and
/// variable offsets into packets, which the verifier allows to those who may look into the kernel.
const NEEDED: [Capability; 4] =
    [(13, "CAP_NET_RAW"), (12, "CAP_NET_ADMIN"), (39, "CAP_BPF"), (38, "CAP_PERFMON")];

/// What stands for CAP_BPF and CAP_PERFMON as well (capabilities(7)).
const SYS_ADMIN: u32 = 21;

/// The capabilities that AF_XDP needs and this thread does not have in effect, by name. If /proc is not there
/// to be asked, none: the calls that need them will tell.
pub fn missing_capabilities() -> Vec<&'static str> {
    fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|status| effective(&status))
        .map_or_else(Vec::new, missing)
}

/// The effective set in a `status` file of /proc.
fn effective(status: &str) -> Option<u64> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

fn missing(set: u64) -> Vec<&'static str> {
    let covered_by_admin = |number| matches!(number, 38 | 39) && has(set, SYS_ADMIN);
    let is_missing = |number| !has(set, number) && !covered_by_admin(number);
    NEEDED.iter().filter(|(number, _)| is_missing(*number)).map(|(_, name)| *name).collect()
}

const fn has(set: u64, number: u32) -> bool {
    set >> number & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(missing(u64::MAX), Vec::<&str>::new());
        assert_eq!(missing(1 << 12 | 1 << 39), ["CAP_NET_RAW", "CAP_PERFMON"]);
        assert_eq!(missing(0).len(), NEEDED.len());
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon_only() {
        assert_eq!(missing(1 << SYS_ADMIN), ["CAP_NET_RAW", "CAP_NET_ADMIN"]);
    }

    #[test]
    fn the_effective_set_is_the_one_that_counts() {
        let status = "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000002000\nCapBnd:\t0\n";
        assert_eq!(effective(status), Some(1 << 13));
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
