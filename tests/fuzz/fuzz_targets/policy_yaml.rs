//! See `enforcer_core::doors::policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enforcer_core::doors::policy::policy_yaml(bytes));
