//! See `enforcer_core::doors::proxy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enforcer_core::doors::proxy::hbone_headers(bytes));
