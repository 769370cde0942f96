//! Any bytes as a scenario: what tests/properties/scenario.rs says holds.

#![no_main]

#[path = "../../tests/properties/scenario.rs"]
mod scenario;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| scenario::check(bytes));
