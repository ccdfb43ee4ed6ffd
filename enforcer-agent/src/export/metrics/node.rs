//! The node, its policy, and the records that are held.

use enforcer_common::abi;

use super::Family;
use super::collect::{NodeWords, RecordTotals};
use crate::door::policy::InForce;

/// Who this is.
pub(super) fn words(node: &NodeWords) -> Vec<Family> {
    let NodeWords { name, version, kernel, device_gate_mode, started: _ } = node;
    let abi = abi::VERSION.to_string();
    let build = [("version", version.as_str()), ("abi", abi.as_str())];
    let node =
        [("node", name.as_str()), ("kernel", kernel.as_str()), ("device_gate", device_gate_mode.as_str())];
    vec![
        Family::info("enforcer_build", "The agent, and the layout of what it shares with the kernel.")
            .with(&build, 1),
        Family::info("enforcer_node", "The node.").with(&node, 1),
    ]
}

/// The policy in force.
pub(super) fn policy(in_force: &InForce) -> Vec<Family> {
    let policy = &in_force.current.policy;
    let gauge = |name, help, value: usize| {
        Family::gauge(name, help).with(&[], u64::try_from(value).unwrap_or(u64::MAX))
    };
    let revision = "Revision of the policy in force; 0 before the first.";
    vec![
        Family::gauge("enforcer_policy_revision", revision).with(&[], in_force.current.number),
        gauge("enforcer_policy_tenants", "Tenants of the policy in force.", policy.tenants.len()),
        gauge("enforcer_policy_workloads", "Workloads of the policy in force.", policy.workloads.len()),
        gauge("enforcer_policy_rules", "Rules of the policy in force.", policy.rules.len()),
        gauge("enforcer_ready", "1 once the kernel holds what it should.", usize::from(in_force.ready)),
    ]
}

/// The records in memory.
pub(super) fn records(totals: RecordTotals) -> Vec<Family> {
    let RecordTotals { stored, held, evicted, evicted_samples } = totals;
    let dropped = "Records that later ones pushed out of memory; where traces are kept, the store has them.";
    vec![
        Family::counter("enforcer_records", "Records since the agent started.").with(&[], stored),
        Family::gauge("enforcer_records_held", "Records in memory.").with(&[], held),
        Family::counter("enforcer_records_dropped", dropped)
            .with(&[("kind", "security")], evicted)
            .with(&[("kind", "sample")], evicted_samples),
    ]
}
