//! `trafgen run`: connections are opened, carry data, and end.

use crate::Failure;
use crate::arguments::{Ending, Run, rate};
use crate::frame::Protocol;
use crate::phase::{self, Batch, BatchReport, Block, Traffic, Work};
use crate::report::{self, Output};
use crate::setup::Rig;

pub(crate) fn run(arguments: &Run) -> Result<(), Failure> {
    let output = Output::new(arguments.ends.json);
    let mut rig = Rig::open(&arguments.ends, arguments.connections)?;
    let result = phases(arguments, &mut rig, &output);
    output.finish();
    result
}

fn phases(arguments: &Run, rig: &mut Rig, output: &Output) -> Result<(), Failure> {
    let block = Block { first: 0, count: arguments.connections };
    if !arguments.bare {
        batch(rig, output, Work::Open, block, arguments)?;
    }
    if arguments.seconds > 0.0 {
        let duration = (arguments.seconds * 1e9) as u64;
        let now = rig.now();
        let (generator, wire, mut clock) = rig.parts();
        let traffic =
            Traffic::new(block, arguments.direction, rate(arguments.rate), duration, generator, now);
        let tell = &mut |share| output.progress("data", share);
        let found = phase::run(traffic, generator, wire, &mut clock, tell)?;
        output.write("traffic", &found, || report::traffic(&found))?;
    }
    let last = match arguments.end {
        Ending::Fin => Some(Work::Close),
        Ending::Rst => Some(Work::Abort),
        Ending::None => None,
    };
    match last {
        Some(work) if !arguments.bare && arguments.ends.protocol == Protocol::Tcp => {
            batch(rig, output, work, block, arguments).map(drop)
        }
        Some(_) | None => Ok(()),
    }
}

fn batch(
    rig: &mut Rig,
    output: &Output,
    work: Work,
    block: Block,
    arguments: &Run,
) -> Result<BatchReport, Failure> {
    let now = rig.now();
    let (generator, wire, mut clock) = rig.parts();
    let batch = Batch::new(work, block, rate(arguments.open_rate), arguments.window, generator, now);
    let tell = &mut |share| output.progress(work.name(), share);
    let found = phase::run(batch, generator, wire, &mut clock, tell)?;
    output.write("batch", &found, || report::batch(&found))?;
    Ok(found)
}
