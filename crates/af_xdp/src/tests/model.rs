//! Frames are conserved: random steps on both sides of all four rings, held against lists.

use std::collections::VecDeque;

use super::rings::{Kernel, Program, rings};
use super::{put, raw, take, umem};
use crate::{Descriptor, Frame, Umem};

/// Few, so that the lists are often empty and the rings often full.
const FRAMES: u32 = 13;

/// Where the frames are that the kernel has, as a naive model has it: by number, with the length of the packet.
#[derive(Default)]
struct Lists {
    /// In the fill ring.
    filling: VecDeque<u32>,
    /// Taken out of it by the kernel.
    empty: VecDeque<u32>,
    /// In the RX ring.
    receiving: VecDeque<(u32, u32)>,
    /// In the TX ring.
    sending: VecDeque<(u32, u32)>,
    /// Taken out of it by the kernel.
    sent: Vec<(u32, u32)>,
    /// In the completion ring.
    completing: VecDeque<u32>,
}

impl Lists {
    fn total(&self) -> usize {
        let in_rings = self.filling.len() + self.receiving.len() + self.sending.len() + self.completing.len();
        in_rings + self.empty.len() + self.sent.len()
    }
}

/// A UMEM, the four rings from both sides, and what should be in them.
struct World {
    random: fastrand::Rng,
    umem: Umem,
    /// Slots of each ring.
    size: usize,
    program: Program,
    kernel: Kernel,
    lists: Lists,
    /// The program's frames without and with a packet.
    spare: VecDeque<Frame>,
    packets: VecDeque<Descriptor>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let (umem, frames) = umem(FRAMES, false);
        let size = 1 << random.usize(..4);
        let (program, kernel) = rings(&umem, size as u32, u32::MAX - random.u32(..50));
        let mut spare: VecDeque<Frame> = frames.collect();
        for frame in &mut spare {
            let number = frame.index() as u8;
            umem.whole_frame_mut(frame).fill(number);
        }
        let (lists, packets) = (Lists::default(), VecDeque::new());
        World { random, umem, size, program, kernel, lists, spare, packets }
    }

    /// A random step, by one side or the other.
    fn step(&mut self) {
        let burst = self.random.usize(..6);
        match self.random.usize(..8) {
            0 => self.program_fills(burst),
            1 => self.kernel_takes_frames(burst),
            2 => self.kernel_receives(burst),
            3 => self.program_receives(burst),
            4 => self.program_writes(burst),
            5 => self.program_sends(burst),
            6 => self.kernel_sends(burst),
            _ => self.program_reaps(burst),
        }
    }

    fn program_fills(&mut self, burst: usize) {
        for _ in 0..burst {
            let Some(frame) = self.spare.pop_front() else { break };
            let number = frame.index();
            match self.program.fill.push(frame) {
                Ok(()) => self.lists.filling.push_back(number),
                Err(frame) => {
                    assert_eq!(self.lists.filling.len(), self.size, "rejected by a full ring only");
                    self.spare.push_front(frame);
                }
            }
        }
        self.program.fill.commit();
    }

    fn kernel_takes_frames(&mut self, burst: usize) {
        for _ in 0..burst {
            let number = self.lists.filling.pop_front();
            assert_eq!(take(&mut self.kernel.fill), number.map(|number| u64::from(number) * 2048));
            self.lists.empty.extend(number);
        }
    }

    fn kernel_receives(&mut self, burst: usize) {
        for _ in 0..burst {
            let Some(number) = self.lists.empty.pop_front() else { break };
            let length = 1 + self.random.u32(..1792);
            if put(&mut self.kernel.rx, raw(u64::from(number) * 2048 + 256, length)) {
                self.lists.receiving.push_back((number, length));
            } else {
                assert_eq!(self.lists.receiving.len(), self.size, "rejected by a full ring only");
                self.lists.empty.push_front(number);
            }
        }
    }

    fn program_receives(&mut self, burst: usize) {
        let expected = burst.min(self.lists.receiving.len());
        let (umem, lists, packets) = (&self.umem, &mut self.lists, &mut self.packets);
        let received = self.program.rx.receive(burst, |packet| {
            let number = packet.frame_ref().index();
            assert_eq!(lists.receiving.pop_front(), Some((number, packet.len() as u32)));
            assert!(umem.bytes(&packet).iter().all(|&byte| u32::from(byte) == number), "its own bytes");
            packets.push_back(packet);
        });
        assert_eq!(received, expected);
    }

    fn program_writes(&mut self, burst: usize) {
        for _ in 0..burst {
            let Some(frame) = self.spare.pop_front() else { break };
            let length = 1 + self.random.usize(..2000);
            self.packets.push_back(Descriptor::new(frame, 48, length).expect("it fits"));
        }
    }

    fn program_sends(&mut self, burst: usize) {
        for _ in 0..burst {
            let Some(packet) = self.packets.pop_front() else { break };
            let entry = (packet.frame_ref().index(), packet.len() as u32);
            match self.program.tx.push(packet) {
                Ok(()) => self.lists.sending.push_back(entry),
                Err(packet) => {
                    assert_eq!(self.lists.sending.len(), self.size, "rejected by a full ring only");
                    self.packets.push_front(packet);
                }
            }
        }
        self.program.tx.commit();
    }

    /// Packets leave in order, and are complete in any.
    fn kernel_sends(&mut self, burst: usize) {
        for _ in 0..burst {
            let entry = self.lists.sending.pop_front();
            let got = take(&mut self.kernel.tx);
            assert_eq!(got.map(|got| ((got.address / 2048) as u32, got.length)), entry);
            self.lists.sent.extend(entry);
        }
        for _ in 0..burst.min(self.lists.sent.len()) {
            let at = self.random.usize(..self.lists.sent.len());
            let (number, length) = self.lists.sent[at];
            if put(&mut self.kernel.completion, u64::from(number) * 2048 + u64::from(length)) {
                self.lists.sent.remove(at);
                self.lists.completing.push_back(number);
            } else {
                assert_eq!(self.lists.completing.len(), self.size, "rejected by a full ring only");
            }
        }
    }

    fn program_reaps(&mut self, burst: usize) {
        let expected = burst.min(self.lists.completing.len());
        let (umem, lists, spare) = (&self.umem, &mut self.lists, &mut self.spare);
        let reaped = self.program.completion.reap(burst, |mut frame| {
            let number = frame.index();
            assert_eq!(lists.completing.pop_front(), Some(number));
            assert!(
                umem.whole_frame_mut(&mut frame).iter().all(|&byte| u32::from(byte) == number),
                "its own bytes"
            );
            spare.push_back(frame);
        });
        assert_eq!(reaped, expected);
    }

    /// Every frame is in one place.
    fn account(&self) {
        assert_eq!(self.umem.frames_with_kernel() as usize, self.lists.total());
        assert_eq!(self.lists.total() + self.spare.len() + self.packets.len(), FRAMES as usize);
        assert_eq!((self.program.rx.invalid(), self.program.completion.invalid()), (0, 0));
    }
}

/// Whatever both sides do, each entry comes out of each ring once and in order, with its own bytes, and no
/// frame is lost or doubled.
#[test]
fn frames_are_conserved() {
    let (seeds, steps) = if cfg!(miri) { (2, 120) } else { (100, 1000) };
    for seed in 1..=seeds {
        println!("seed {seed}"); // shown when a check fails
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step();
            world.account();
        }
    }
}
