//! Its body stands beside the door, so that the ordinary tests replay the corpus.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| enforcer_core::device::posture::door(bytes));
