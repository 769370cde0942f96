//! Tracking of what is not TCP.
mod policy;
pub use policy::Policy;
