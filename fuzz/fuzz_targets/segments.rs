//! Any bytes as a policy and a sequence of packets of four tuples: the laws of tests/properties/segments hold
//! after each of them, and the same question put another way has the same answer.

#![no_main]

// Shared with the ordinary tests, which also print what an input means.
#[allow(dead_code)]
#[path = "../../tests/properties/segments/mod.rs"]
mod segments;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    segments::check(bytes);
});
