//! See `enforcer_core::doors::identity`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enforcer_core::doors::identity::trust_bundle(bytes));
