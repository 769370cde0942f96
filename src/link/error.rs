//! Why an interface cannot be used or asked.

use std::{fmt, io};

/// Why an interface cannot be used or asked. Its text is one line.
#[derive(Debug)]
pub enum Error {
    /// There is no interface of this name.
    Missing {
        /// The name that was looked for.
        name: String,
        /// The names of those that exist, in the kernel's order.
        existing: Vec<String>,
    },
    /// The kernel refused, or could not be asked.
    System {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
}

impl Error {
    /// An error of the system's, for use with `map_err`.
    pub(super) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |cause| Error::System { doing, cause }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing { name, existing } => {
                write!(f, "there is no interface {}", name.escape_debug())?;
                match nearest(name, existing) {
                    Some(nearest) => write!(f, ": did you mean {nearest}? There are ")?,
                    None => f.write_str(": there are ")?,
                }
                f.write_str(&existing.join(", "))
            }
            Error::System { doing, cause } => write!(f, "cannot {doing}: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Missing { .. } => None,
            Error::System { cause, .. } => Some(cause),
        }
    }
}

/// The name that was most likely meant: one slip in three characters away at most.
fn nearest<'a>(wrong: &str, names: &'a [String]) -> Option<&'a str> {
    let bound = (wrong.chars().count() / 3).max(1);
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name.as_str()))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(name: &str) -> String {
        let existing = ["lo", "eth0", "enp3s0f1"].map(str::to_owned).to_vec();
        Error::Missing { name: name.to_owned(), existing }.to_string()
    }

    #[test]
    fn a_missing_interface_is_told_with_those_that_exist() {
        assert_eq!(missing("wlan7"), "there is no interface wlan7: there are lo, eth0, enp3s0f1");
        let likely = "there is no interface enp3s1f0: did you mean enp3s0f1? There are lo, eth0, enp3s0f1";
        assert_eq!(missing("enp3s1f0"), likely);
    }

    #[test]
    fn a_hostile_name_drives_no_terminal() {
        assert!(missing("\u{1b}[2J").starts_with("there is no interface \\u{1b}[2J: "));
    }
}
