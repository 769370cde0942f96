#![doc = include_str!("../README.md")]
#![cfg(target_os = "linux")]

mod cursor;
mod descriptor;
mod error;
mod memory;
mod ring;
mod socket;
mod sync;
mod sys;
mod umem;

#[cfg(test)]
mod tests;

pub use descriptor::{Descriptor, OutOfFrame};
pub use error::{BindError, BindErrorKind};
pub use memory::{Frame, Frames};
pub use ring::{CompletionRing, FillRing, RxRing, TxRing, Wake};
pub use socket::{BindOptions, Copy, Socket, SocketHandle, Statistics};
pub use umem::{Umem, UmemOptions};
