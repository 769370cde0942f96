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
    /// As [`super::Loaded::load`].
    pub fn load(steering: Steering) -> Result<Trial, AttachError> {
        Ok(Trial { program: program::load(steering, program::Answer::Key)? })
    }

    /// The key of the socket that gets this Ethernet frame when it arrives on queue 0.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EINVAL` of a frame shorter than an Ethernet header.
    pub fn key(&self, frame: &[u8]) -> io::Result<u32> {
        Ok(self.run(frame, TestRunOptions::new())?.return_value)
    }

    /// The key when it arrives on this queue of the interface with this index, which must be running an XDP
    /// program in its driver: only then does it have queues that frames can be said to come from.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EINVAL` also if there is no such queue, `ENODEV` if there is no such interface.
    pub fn key_on(&self, interface: u32, queue: u32, frame: &[u8]) -> io::Result<u32> {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let context: Vec<u8> = [0, frame.len() as u32, 0, interface, queue, 0]
            .iter()
            .flat_map(|field| field.to_ne_bytes())
            .collect();
        let options = TestRunOptions { ctx_in: Some(&context), ..TestRunOptions::new() };
        Ok(self.run(frame, options)?.return_value)
    }

    /// What one frame costs, the mean of `repeat` runs in nanoseconds; without the redirection.
    ///
    /// # Errors
    ///
    /// As [`Trial::key`].
    pub fn cost(&self, frame: &[u8], repeat: u32) -> io::Result<Duration> {
        Ok(self.run(frame, TestRunOptions { repeat, ..TestRunOptions::new() })?.duration)
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

    fn run<'a>(&self, frame: &'a [u8], options: TestRunOptions<'a>) -> io::Result<TestRunResult> {
        let options = TestRunOptions { data_in: Some(frame), ..options };
        self.steer()?.test_run(options).map_err(error::into_io)
    }

    fn steer(&self) -> io::Result<&Xdp> {
        let steer = self.program.program("steer").and_then(|program| program.try_into().ok());
        steer.ok_or_else(|| io::Error::other("the object has no program"))
    }
}
