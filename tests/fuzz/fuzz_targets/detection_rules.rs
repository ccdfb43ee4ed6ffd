//! See `enforcer_core::doors::detect`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enforcer_core::doors::detect::detection_rules(bytes));
