//! See `enforcer_agent::doors`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enforcer_agent::doors::config(bytes));
