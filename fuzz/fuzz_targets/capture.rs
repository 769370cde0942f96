//! Any bytes as a capture: the reader ends, yields nothing that the file does not hold, and yields the same
//! packet by packet from a pipe that trickles as in batches from memory.

#![no_main]

use std::io::{Cursor, Read};

use lastack::io::{Capture, Timestamp};
use libfuzzer_sys::fuzz_target;

/// Delivers a few bytes at a time.
struct Trickle(Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(5);
        self.0.read(&mut buffer[..count])
    }
}

type Plain = (u64, Timestamp, usize, Vec<u8>);

fn singly(data: &[u8]) -> (Vec<Plain>, Option<String>) {
    let mut packets = Vec::new();
    let mut read = || {
        let mut capture = Capture::from_reader("fuzz", Trickle(Cursor::new(data.to_vec())))?;
        while let Some(packet) = capture.next_packet()? {
            packets.push((packet.number, packet.time, packet.wire_length, packet.bytes.to_vec()));
        }
        Ok::<(), lastack::io::Error>(())
    };
    let error = read().err().map(|error| error.to_string());
    (packets, error)
}

fn in_batches(data: &[u8]) -> (Vec<Plain>, Option<String>) {
    let mut packets = Vec::new();
    let mut read = || {
        let mut capture = Capture::from_reader("fuzz", Cursor::new(data.to_vec()))?;
        while let Some(batch) = capture.next_batch()? {
            for packet in batch.iter() {
                packets.push((packet.number, packet.time, packet.wire_length, packet.bytes.to_vec()));
            }
        }
        Ok::<(), lastack::io::Error>(())
    };
    let error = read().err().map(|error| error.to_string());
    (packets, error)
}

fuzz_target!(|data: &[u8]| {
    let batches = in_batches(data);
    assert_eq!(singly(data), batches);
    let captured: usize = batches.0.iter().map(|packet| packet.3.len()).sum();
    assert!(captured <= data.len());
    assert!(batches.0.iter().all(|packet| packet.2 >= packet.3.len()));
});
