//! Hooks of BPF LSM: what happens to a gated device behind its open, and who reaches for tasks and for the wall. The
//! kernel asks a program only where those before it let pass, so an earlier refusal always stands.

mod file;
mod guard;
pub mod offsets;
pub mod open_file;

use core::ffi::c_void;

use enforcer_common::identity::CANARY;
use enforcer_common::maps::{CounterKey, SETTING_CANARY};
use enforcer_common::reason;

use crate::account::count;
use crate::tables::settings;
use crate::tag;

/// A structure of the kernel.
pub type Pointer = *const c_void;

const PASS: i32 = 0;
/// `-EPERM`.
const REFUSE: i32 = -1;

/// Whether a canary is at work, and this is it.
#[inline(always)]
fn is_canary() -> bool {
    settings().flags & SETTING_CANARY != 0 && tag::of_current().identity == CANARY
}

/// Counts the canary, so that the agent sees the hook run.
#[inline(always)]
fn prove(hook: u8) {
    count(&CounterKey { source: CANARY, destination: 0, reason: reason::NONE, hook, audited: 0 }, 0);
}
