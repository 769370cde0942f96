//! What a monitoring system asks of a running middlebox: every number there is, over HTTP, in the text format
//! of OpenMetrics.
//!
//! ```text
//!   Prometheus ── GET /metrics ──► Endpoint ──► Exchange ── whole request ──► exposition(Plane)
//!              ◄── text ─────────────┘ mio        one client,                   catalogue: which numbers
//!                                                 10 s at most                  family: how they are written
//! ```
//!
//! Nothing is kept between two requests: a page is made of what the workers show ([`Plane`]) when it is
//! asked for. Nothing here waits for anybody: sockets do not block, a client has [`PATIENCE`], and there are
//! never more than [`CLIENTS`] of them.
//!
//! Life cycle: whoever runs the middlebox binds an [`Endpoint`] if the configuration has `[metrics] listen`,
//! hands it its share of the events of one [`mio::Poll`], and calls [`Endpoint::turn`] when that has nothing
//! more. Dropping it closes every socket. Only that thread may call it.
//!
//! | file | its one concern |
//! |---|---|
//! | `family` | metrics as data, and as text |
//! | `catalogue` | which metrics there are, what they are called and what they mean |
//! | `request` | what a client asks, and which answer that is |
//! | `exchange` | one client: its request, its answer, its time |
//! | `endpoint` | the listening socket, and all clients |

mod catalogue;
mod endpoint;
mod exchange;
mod family;
mod request;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use endpoint::{BindError, Endpoint, exposure};

use crate::view::Plane;

/// The most clients at a time; the one that has waited longest makes room for a new one.
pub const CLIENTS: usize = 16;

/// How long a client may take from its connection to the end of its answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The longest request in bytes; Prometheus needs about 300.
pub const MOST_REQUEST: usize = 8 << 10;

/// The type of the text, as HTTP names it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every number of `plane`, as a whole OpenMetrics text.
pub fn exposition(plane: &Plane) -> String {
    family::text(catalogue::families(plane))
}
