//! The configuration: a TOML file and `--set`s in, a typed [`Config`] or every error out.
//!
//! ```text
//!  FILE ──┐                        ┌─ Ok(Config) ─► replay, bench, run; as text: `lastack check`
//!  --set ─┼─ load ─ read ─ validate┤
//!  --set ─┘           │            └─ Err(Errors) ─► stderr, exit status 2
//!                  schema: every key, described once
//! ```
//!
//! Life cycle: the command line calls [`load`] (or [`check`]) once, before anything else is opened, and hands
//! the [`Config`] down. Nothing here is on the packet path, and nothing below this module knows TOML.
//!
//! | file | its one concern |
//! |---|---|
//! | `model` | what a configuration is once it has been read |
//! | `schema` | every key: name, field, kind, bounds, meaning |
//! | `kind` | the kinds of values: reading, printing, what they accept |
//! | `quantity` | durations and sizes as text |
//! | `read` | from texts to the model |
//! | `validate` | what lies across keys |
//! | `print` | from the model to text, and the reference of all keys |
//! | `error` | places, messages, suggestions |

mod error;
mod kind;
mod model;
mod print;
mod quantity;
mod read;
mod schema;
mod split;
#[cfg(test)]
mod tests;
mod validate;

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

pub use error::Errors;
pub use model::{
    Bridge, Capacity, Config, Limit, Multicast, OnInvalid, Port, Queues, Steering, Top, Wait, Workers, Xdp,
};

/// The most bytes of a file that are read: a thousand times what a long configuration has.
const MOST_BYTES: u64 = 4 << 20;

/// Reads the configuration in the file at `path`, or the defaults without one, and then each of `overrides`
/// (`KEY=VALUE`) in turn.
///
/// # Errors
///
/// Everything that is wrong with the file and the overrides, in their order; or, in one line, why the file
/// could not be read.
pub fn load(path: Option<&Path>, overrides: &[String]) -> Result<Config, Errors> {
    let Some(path) = path else { return read::read(None, overrides) };
    let name = path.to_string_lossy();
    let content = read_file(path, &name)?;
    read::read(Some((&name, &content)), overrides)
}

/// Reads a configuration from `content`, which errors call `name`, and then each of `overrides`.
///
/// # Errors
///
/// Everything that is wrong with either, in their order.
pub fn parse(name: &str, content: &str, overrides: &[String]) -> Result<Config, Errors> {
    read::read(Some((name, content)), overrides)
}

/// What `lastack check` prints: the configuration in effect as TOML, every default filled in.
///
/// # Errors
///
/// As [`load`].
pub fn check(path: Option<&Path>, overrides: &[String]) -> Result<String, Errors> {
    load(path, overrides).map(|config| config.to_string())
}

/// The reference of every key in Markdown: what docs/configuration.md holds.
pub fn reference() -> String {
    print::reference()
}

/// The text of a file, or one line that says why there is none.
fn read_file(path: &Path, name: &str) -> Result<String, Errors> {
    let refuse = |error: std::io::Error| {
        let kind = error.kind();
        let reason = if kind == ErrorKind::NotFound {
            "no such file".to_owned()
        } else if kind == ErrorKind::PermissionDenied {
            "permission denied; the file must be readable".to_owned()
        } else if kind == ErrorKind::IsADirectory {
            "a directory; name the file in it".to_owned()
        } else {
            format!("cannot be read: {error}")
        };
        Errors::of_file(name, &reason)
    };
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)).map_err(refuse)?;
    if bytes.len() as u64 > MOST_BYTES {
        let limit = quantity::print_size(MOST_BYTES);
        return Err(Errors::of_file(name, &format!("longer than {limit}; this is not a configuration")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let (line, column) = error::line_and_column(error.as_bytes(), error.utf8_error().valid_up_to());
        Errors::of_file(&format!("{name}:{line}:{column}"), "not UTF-8; save the file as UTF-8 text")
    })
}
