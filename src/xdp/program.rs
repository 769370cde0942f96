//! The embedded object and its way into the kernel.
//!
//! The object has no BTF and needs none: its maps are described in the old way and nothing in it depends on the
//! kernel's own types, so that it loads wherever the verifier takes it, with CONFIG_DEBUG_INFO_BTF or without.
//! (The loader reads /sys/kernel/btf before it can be told not to. It does not mind if there is none.)

use aya::maps::{Map, MapError};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};

use super::Steering;
use super::error::{AttachError, Stage};

static OBJECT: &[u8] = include_bytes_aligned!("steer.bpf.o");

/// What the program returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The frame goes to its socket.
    Redirect,
    /// The key, in place of an action: for trials.
    Key,
}

/// Loads the program for an interface.
pub(super) fn load(steering: Steering, answer: Answer) -> Result<Ebpf, AttachError> {
    let Steering { zone, workers, queues } = steering;
    let sockets = workers.checked_mul(queues).filter(|sockets| *sockets > 0);
    let sockets = sockets.ok_or(AttachError::NoSockets { workers, queues })?;
    let zone = u32::from(zone);
    let answer_with_key = u32::from(answer == Answer::Key);
    let mut program = EbpfLoader::new()
        .btf(None)
        .override_global("zone", &zone, true)
        .override_global("workers", &workers, true)
        .override_global("answer_with_key", &answer_with_key, true)
        .map_max_entries("sockets", sockets)
        .load(OBJECT)
        .map_err(|error| AttachError::of(Stage::Maps, &error, 0))?;
    steer(&mut program)?.load().map_err(|error| AttachError::of(Stage::Program, &error, 0))?;
    Ok(program)
}

/// The program in the object.
pub(super) fn steer(program: &mut Ebpf) -> Result<&mut Xdp, AttachError> {
    let found = program.program_mut("steer").ok_or_else(|| AttachError::object("it has no program"))?;
    found.try_into().map_err(|_| AttachError::object("its program is of another type"))
}

/// Takes a map out of the object.
pub(super) fn take_map<T>(program: &mut Ebpf, name: &str) -> Result<T, AttachError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = program.take_map(name).ok_or_else(|| AttachError::object("it lacks a map"))?;
    map.try_into().map_err(|_| AttachError::object("a map is of another type"))
}
