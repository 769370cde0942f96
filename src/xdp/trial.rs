//! The program without an interface: what it makes of a frame, and what that costs.
//!
//! The kernel runs it (BPF_PROG_TEST_RUN), so that what is tried is what will run: the same object, the same
//! verifier, the same compiler of the kernel's. Tests hold it against the engine's own hash; the benchmark
//! asks for its cost.

use std::io;
use std::time::Duration;

use aya::Ebpf;
use aya::programs::{TestRun, TestRunOptions, TestRunResult, Xdp};

use super::error::{self, AttachError};
use super::{Steering, program};

/// The program, loaded to be tried.
pub struct Trial {
    program: Ebpf,
}

impl Trial {
    /// Loads the program so that it answers with keys.
    ///
    /// # Errors
    ///
    /// As [`super::Attached::attach`], as far as there is no interface.
    pub fn load(steering: Steering) -> Result<Trial, AttachError> {
        Ok(Trial { program: program::load(steering, program::Answer::Key)? })
    }

    /// The key of the socket that gets this Ethernet frame when it arrives on queue 0.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EINVAL` of a frame shorter than an Ethernet header.
    pub fn key(&self, frame: &[u8]) -> io::Result<u32> {
        Ok(self.run(frame, 1)?.return_value)
    }

    /// What one frame costs, the mean of `repeat` runs in nanoseconds; without the redirection.
    ///
    /// # Errors
    ///
    /// As [`Trial::key`].
    pub fn cost(&self, frame: &[u8], repeat: u32) -> io::Result<Duration> {
        Ok(self.run(frame, repeat)?.duration)
    }

    /// How many instructions the verifier looked at before it took the program; it gives up at a million. `None`
    /// on kernels that do not say.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn verified_instructions(&self) -> io::Result<Option<u32>> {
        let info = self.steer()?.info().map_err(error::into_io)?;
        Ok(info.verified_instruction_count())
    }

    fn run(&self, frame: &[u8], repeat: u32) -> io::Result<TestRunResult> {
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
        self.steer()?.test_run(options).map_err(error::into_io)
    }

    fn steer(&self) -> io::Result<&Xdp> {
        let steer = self.program.program("steer").and_then(|program| program.try_into().ok());
        steer.ok_or_else(|| io::Error::other("the object has no program"))
    }
}
