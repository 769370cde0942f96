//! What the page says of the machine; Linux tells it in files. What it does not tell is `unknown`.

use std::fs;
use std::thread;

/// A machine, in words.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// The processor's model.
    pub(super) processor: String,
    /// How many of its logical processors this process may use.
    pub(super) cores: String,
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
            cores: thread::available_parallelism().map_or_else(|_| unknown(), |cores| cores.to_string()),
            memory: value(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| gibibytes(&text))
                .unwrap_or_else(unknown),
            kernel: if kernel.is_empty() { unknown() } else { kernel },
            huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")).unwrap_or_else(unknown),
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
