//! Failures of the kernel and the disk as problems, in the words that senders get.

use enforcer_core::enforce::EnforceError;
use enforcer_core::policy::image::Entries;
use enforcer_core::policy::problem::Problem;

use super::store::StoreError;
use crate::door::survey::SurveyError;

/// A table has no room: nothing else is wrong with the change.
pub(super) const CAPACITY_EXCEEDED: &str = "capacity_exceeded";
/// The sender's picture of the policy is out of date.
pub(super) const STALE_BASE_REVISION: &str = "stale_base_revision";
/// The revision is not kept any more, or never was.
pub(super) const UNKNOWN_REVISION: &str = "unknown_revision";
/// The tables hold a policy that the agent does not know, so that it cannot be changed in parts.
pub(super) const BASE_UNKNOWN: &str = "base_unknown";
/// The kernel refused, for no fault of the change.
pub(super) const KERNEL_FAILED: &str = "kernel_failed";
/// Where the workloads are could not be found out, for no fault of the change.
pub(super) const NODE_UNREADABLE: &str = "node_unreadable";
/// The disk refused.
pub(super) const STORE_FAILED: &str = "store_failed";

pub(super) fn kernel(error: &EnforceError) -> Problem {
    match error {
        EnforceError::Full { table, .. } => Problem::new(
            CAPACITY_EXCEEDED,
            format!("capacities.{table}"),
            format!("{error}; remove objects, or raise the capacity in the agent's configuration"),
        ),
        EnforceError::Kernel { .. } | EnforceError::Mismatch { .. } => {
            Problem::new(KERNEL_FAILED, "", format!("{error}; what was in force still is"))
        }
    }
}

pub(super) fn store(error: &StoreError) -> Problem {
    Problem::new(STORE_FAILED, "", format!("{error}; what was in force still is"))
}

pub(super) fn survey(error: &SurveyError) -> Problem {
    Problem::new(NODE_UNREADABLE, "", format!("{error}; what was in force still is"))
}

/// Tables that could not hold the change even if they were empty.
pub(super) fn overflow(needed: &Entries, capacity: &Entries) -> Vec<Problem> {
    [
        ("tenants", needed.tenants, capacity.tenants),
        ("pairs", needed.pairs, capacity.pairs),
        ("ports", needed.ports, capacity.ports),
        ("cidrs", needed.cidrs, capacity.cidrs),
        ("grants", needed.grants, capacity.grants),
        ("addresses", needed.addresses, capacity.addresses),
        ("interfaces", needed.interfaces, capacity.interfaces),
        ("cgroups", needed.cgroups, capacity.cgroups),
    ]
    .into_iter()
    .filter(|(_, needed, capacity)| needed > capacity)
    .map(|(table, needed, capacity)| {
        Problem::new(
            CAPACITY_EXCEEDED,
            format!("capacities.{table}"),
            format!("the change needs {needed} entries, and the table holds {capacity}"),
        )
    })
    .collect()
}
