//! What the policy room reads in the kernel, as metrics.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::event::{HOOK_DEVICE, hook_name};
use enforcer_common::maps::{CounterKey, CounterValue};
use enforcer_common::{identity, reason};
use enforcer_core::enforce::{HookState, Loss};
use enforcer_core::event::names::loss_name;

use super::Family;
use super::pairs::{Counted, Pair};
use crate::door::names;
use crate::door::policy::{InForce, Report};

/// Counters by name; numbers that lead to the same names are one.
pub(super) fn counters(
    cells: Vec<(CounterKey, CounterValue)>,
    in_force: &InForce,
) -> BTreeMap<Pair, Counted> {
    let mut counters: BTreeMap<Pair, Counted> = BTreeMap::new();
    for (key, value) in cells {
        let has_destination = key.hook != HOOK_DEVICE;
        let destination = has_destination.then(|| names::identity(in_force, key.destination));
        let pair = Pair {
            source: names::identity(in_force, key.source),
            destination: destination.unwrap_or_default(),
            reason: if key.reason == reason::NONE { "" } else { reason::name(key.reason) },
            hook: hook_name(key.hook),
            audited: key.audited != 0,
        };
        let [packets, bytes] = counters.entry(pair).or_default();
        *packets = packets.saturating_add(value.packets);
        *bytes = bytes.saturating_add(value.bytes);
    }
    counters
}

/// Records that were lost, by whose they would have been and why.
pub(super) type Losses = Vec<(String, String, u64)>;

/// The kernel's losses, by name.
pub(super) fn losses(losses: Vec<Loss>, in_force: &InForce) -> Losses {
    let named = |loss: Loss| (names::identity(in_force, loss.source), loss_name(loss.cause), loss.count);
    losses.into_iter().map(named).collect()
}

/// The names of the tenants among the counters' ends: those that the policy no longer has, too.
pub(super) fn tenants(cells: &[(CounterKey, CounterValue)], in_force: &InForce) -> BTreeSet<String> {
    let ends = cells.iter().flat_map(|(key, _)| [key.source, key.destination]);
    let numbers: BTreeSet<u32> = ends.filter(|number| identity::is_tenant(*number)).collect();
    numbers.into_iter().map(|number| names::identity(in_force, number)).collect()
}

/// Losses for who may see everything, or a tenant's own.
pub(super) fn loss_family(losses: &Losses, tenant: Option<&str>) -> Family {
    let help = "Records that were lost, by the tenant they were about where that is known, and by cause.";
    let mut family = Family::kernel_counter("enforcer_losses", help);
    for (source, cause, count) in losses {
        if tenant.is_none_or(|tenant| tenant == source) {
            family.push(&[("source", source), ("cause", cause)], *count);
        }
    }
    family
}

/// Hooks, tables and whether the kernel holds what it should.
pub(super) fn report(report: &Report) -> Vec<Family> {
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let mut state = Family::gauge("enforcer_hook_state", "1 for the state that a hook is in.");
    let mut attached = Family::gauge("enforcer_hook_attachments", "Where a hook is attached.");
    for hook in &report.hooks {
        let word = match &hook.state {
            HookState::Verified => "verified",
            HookState::Declared => "declared",
            HookState::Absent(_) => "absent",
        };
        state.push(&[("hook", hook.name), ("state", word)], 1);
        attached.push(&[("hook", hook.name)], count(hook.attached_to.len()));
    }
    let mut entries = Family::gauge("enforcer_table_entries", "Entries in a kernel table.");
    let mut capacity = Family::gauge("enforcer_table_capacity", "Entries that a kernel table holds at most.");
    let mut memory = Family::gauge("enforcer_table_memory_bytes", "Kernel memory of a table.");
    for table in &report.capacities {
        let labels = [("table", table.table)];
        entries.push(&labels, table.used);
        capacity.push(&labels, table.capacity);
        memory.push(&labels, table.memory_bytes);
    }
    let drift = "Differences between what the kernel holds and what it should; 0 is in sync.";
    let warnings = "What a person should look at; `enforcerctl status` says it in words.";
    vec![
        Family::gauge("enforcer_policy_drift", drift).with(&[], count(report.drift.len())),
        Family::gauge("enforcer_warnings", warnings).with(&[], count(report.warnings.len())),
        state,
        attached,
        entries,
        capacity,
        memory,
    ]
}
