//! TCP tracking.
mod policy;
pub use policy::{InexactRst, Policy, TimeWaitOverflow, TimeWaitReuse, Timeouts};
