//! Which step failed, why, and what would be needed.

use std::fmt;
use std::io::{self, ErrorKind};

/// What a step needs beside a kernel that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Making and entering namespaces.
    Admin,
    /// Links, addresses, routes, sysctls of a namespace.
    NetworkAdmin,
    /// Whatever an ordinary process may do.
    Nothing,
}

impl Needs {
    fn capability(self) -> Option<&'static str> {
        match self {
            Needs::Admin => Some("CAP_SYS_ADMIN"),
            Needs::NetworkAdmin => Some("CAP_NET_ADMIN"),
            Needs::Nothing => None,
        }
    }
}

/// Why a lab could not be built or used: the step, the system's answer and, where a privilege is missing, its
/// name. Its text is one line.
#[derive(Debug)]
pub struct Error {
    step: String,
    needs: Needs,
    cause: io::Error,
}

/// What the functions of this module return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn new(step: impl Into<String>, needs: Needs, cause: io::Error) -> Error {
        Error { step: step.into(), needs, cause }
    }

    /// The capability that the process lacks, if that is why the step failed.
    pub fn missing_capability(&self) -> Option<&'static str> {
        (self.cause.kind() == ErrorKind::PermissionDenied).then(|| self.needs.capability()).flatten()
    }

    /// What the system answered.
    pub fn kind(&self) -> ErrorKind {
        self.cause.kind()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)?;
        match self.missing_capability() {
            Some(capability) => write!(f, "; it needs {capability} (root has it)"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_privilege_is_named_in_one_line() {
        let denied = || io::Error::from_raw_os_error(1);
        let error = Error::new("namespace client", Needs::Admin, denied());
        assert_eq!(error.missing_capability(), Some("CAP_SYS_ADMIN"));
        assert_eq!(
            error.to_string(),
            "namespace client: Operation not permitted (os error 1); it needs CAP_SYS_ADMIN (root has it)"
        );
        let error = Error::new("address of la-in", Needs::NetworkAdmin, denied());
        assert_eq!(error.missing_capability(), Some("CAP_NET_ADMIN"));
    }

    #[test]
    fn another_failure_names_no_privilege() {
        let error = Error::new("veth la-in", Needs::NetworkAdmin, io::Error::from_raw_os_error(17));
        assert_eq!(error.missing_capability(), None);
        assert_eq!(error.to_string(), "veth la-in: File exists (os error 17)");
    }
}
