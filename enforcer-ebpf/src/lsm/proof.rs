//! The canary, seen at a hook: while the agent proves its hooks, and at no other time, each counts the canary's calls.

use enforcer_common::identity::CANARY;
use enforcer_common::maps::{CounterKey, SETTING_CANARY};
use enforcer_common::reason;

use crate::account::count;
use crate::tables::settings;
use crate::tag;

/// Counts the current process if it is the canary.
#[inline(always)]
pub fn seen(hook: u8) {
    if settings().flags & SETTING_CANARY != 0 && tag::of_current().identity == CANARY {
        count(&CounterKey { source: CANARY, destination: 0, reason: reason::NONE, hook, audited: 0 }, 0);
    }
}
