//! Any text as a configuration and overrides: what tests/properties/configuration.rs says holds.

#![no_main]

#[path = "../../tests/properties/configuration.rs"]
mod configuration;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| configuration::check(bytes));
