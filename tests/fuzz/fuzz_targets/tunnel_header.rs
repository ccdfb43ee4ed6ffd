//! See `enforcer_core::doors::tunnel`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enforcer_core::doors::tunnel::tunnel_header(bytes));
