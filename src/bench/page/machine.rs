//! What the page says of the machine, and of what disturbed the measurement; Linux tells it in files and by system calls.
//! What it does not tell is `unknown`.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;

use crate::time::SystemClock;

/// A machine, in words.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// The processor's model.
    pub(super) processor: String,
    /// Its logical processors.
    pub(super) processors: Processors,
    /// Its memory.
    pub(super) memory: String,
    /// The kernel's release.
    pub(super) kernel: String,
    /// Whether programs get transparent huge pages, in the kernel's word.
    pub(super) huge_pages: String,
}

impl Machine {
    /// The machine that this is.
    pub(super) fn here() -> Machine {
        let unknown = || "unknown".to_owned();
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        Machine {
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            processors: Processors::here(&read("/proc/cpuinfo")),
            memory: value(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| gibibytes(&text))
                .unwrap_or_else(unknown),
            kernel: if kernel.is_empty() { unknown() } else { kernel },
            huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")).unwrap_or_else(unknown),
        }
    }
}

/// The logical processors of a machine, and those of them that this process may run on.
#[derive(Debug, Clone)]
pub(super) struct Processors {
    pub(super) all: usize,
    /// Their numbers, rising.
    pub(super) allowed: Vec<usize>,
}

impl Processors {
    fn here(cpuinfo: &str) -> Processors {
        let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
        let allowed = (0..CpuSet::count()).filter(|&number| set.is_set(number).unwrap_or(false)).collect();
        let is_processor =
            |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.trim() == "processor");
        Processors { all: cpuinfo.lines().filter(is_processor).count(), allowed }
    }

    /// `2 logical processors`, or `1 of 2 logical processors`.
    pub(super) fn words(&self) -> String {
        let (all, allowed) = (self.all.max(self.allowed.len()), self.allowed.len());
        let ending = if all == 1 { "" } else { "s" };
        if self.is_pinned() {
            format!("{allowed} of {all} logical processor{ending}")
        } else {
            format!("{all} logical processor{ending}")
        }
    }

    const fn is_pinned(&self) -> bool {
        !self.allowed.is_empty() && self.allowed.len() < self.all
    }

    /// What stands before a command that is to run on the same ones; nothing where they are all.
    pub(super) fn pinning(&self) -> Option<String> {
        let numbers: Vec<String> = self.allowed.iter().map(ToString::to_string).collect();
        self.is_pinned().then(|| format!("taskset -c {}", numbers.join(",")))
    }
}

/// How often the kernel took the processor away from this process, in which time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Disturbance {
    pub(super) switches: u64,
    pub(super) seconds: f64,
}

impl Disturbance {
    /// Since the process began; `seconds` since whenever.
    pub(super) fn until_now() -> Disturbance {
        let usage = getrusage(UsageWho::RUSAGE_SELF);
        let switches = usage.map_or(0, |usage| usage.involuntary_context_switches());
        Disturbance {
            switches: u64::try_from(switches).unwrap_or(0),
            seconds: SystemClock::since_1970().now().nanoseconds() as f64 / 1e9,
        }
    }

    /// What there was between an earlier moment and this one.
    pub(super) fn since(self, earlier: Disturbance) -> Disturbance {
        Disturbance {
            switches: self.switches.saturating_sub(earlier.switches),
            seconds: (self.seconds - earlier.seconds).max(0.0),
        }
    }
}

/// What follows the first `name :` of a file of such lines.
fn value(file: &str, name: &str) -> Option<String> {
    let mut pairs = file.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// `24639432 kB` in GiB.
fn gibibytes(text: &str) -> Option<String> {
    let kibibytes: f64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.1} GiB", kibibytes / f64::from(1 << 20)))
}

/// The word in brackets.
fn chosen(words: &str) -> Option<String> {
    let (_, behind) = words.split_once('[')?;
    behind.split_once(']').map(|(word, _)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_that_the_process_may_not_use_are_told_from_those_it_may() {
        let told = |all, allowed: &[usize]| {
            let processors = Processors { all, allowed: allowed.to_vec() };
            (processors.words(), processors.pinning())
        };
        assert_eq!(told(2, &[0, 1]), ("2 logical processors".to_owned(), None));
        assert_eq!(told(1, &[0]), ("1 logical processor".to_owned(), None));
        let one_of_two = ("1 of 2 logical processors".to_owned(), Some("taskset -c 1".to_owned()));
        assert_eq!(told(2, &[1]), one_of_two);
        assert_eq!(told(64, &[0, 2, 63]).1.as_deref(), Some("taskset -c 0,2,63"));
        assert_eq!(
            told(0, &[0, 1]),
            ("2 logical processors".to_owned(), None),
            "a kernel that does not list them"
        );
        let here = Processors::here("processor : 0\nmodel name : x\nprocessor : 1\n");
        assert_eq!(here.all, 2);
        assert!(!here.allowed.is_empty() && here.allowed.is_sorted());
    }

    #[test]
    fn the_kernels_files_are_understood() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC: 9\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(value(cpuinfo, "model name").as_deref(), Some("AMD EPYC: 9"));
        assert_eq!(value("processor : 0\n", "model name"), None);
        assert_eq!(gibibytes("25165824 kB").as_deref(), Some("24.0 GiB"));
        assert_eq!(gibibytes("much"), None);
        assert_eq!(chosen("always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(chosen(""), None);
    }
}
