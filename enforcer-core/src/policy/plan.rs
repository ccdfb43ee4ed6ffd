//! What to change in the tables: from one policy and node to the next, or from what was read back to what
//! should be there. Applying a plan to the one gives the other.

mod difference;
mod images;
mod revisions;

use crate::policy::image::{Entries, Plan};

pub use difference::difference;
pub use images::plan_from_image;
pub use revisions::plan;

/// Entries that a plan writes: what must have room beside what is in force, since a tenant's new tables
/// stand beside its old ones until the switch. Addresses, interfaces and cgroups that are only replaced
/// count too, so this errs towards more.
#[must_use]
pub fn needed(plan: &Plan) -> Entries {
    let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let mut needed = Entries {
        addresses: count(plan.addresses_write.len()),
        interfaces: count(plan.interfaces_write.len()),
        cgroups: count(plan.cgroups_write.len()),
        grants: plan.services_write.iter().map(|(_, grants)| count(grants.len())).sum(),
        ..Entries::default()
    };
    for tenant in &plan.tenants_write {
        let own = tenant.entries();
        needed.tenants += own.tenants;
        needed.pairs += own.pairs;
        needed.ports += own.ports;
        needed.cidrs += own.cidrs;
        needed.grants += own.grants;
    }
    needed
}

/// How many kernel entries a plan writes and how many it deletes, for a person who asks beforehand. A tenant
/// that is written is written whole.
#[must_use]
pub fn extent(plan: &Plan) -> (u64, u64) {
    let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let needed = needed(plan);
    let written = needed.tenants
        + needed.pairs
        + needed.ports
        + needed.cidrs
        + needed.grants
        + needed.addresses
        + needed.interfaces
        + needed.cgroups
        + count(plan.gates_write.len());
    let deleted = count(plan.tenants_remove.len())
        + count(plan.addresses_remove.len())
        + count(plan.interfaces_remove.len())
        + count(plan.cgroups_remove.len())
        + count(plan.gates_remove.len())
        + count(plan.services_write.iter().filter(|(_, grants)| grants.is_empty()).count());
    (written, deleted)
}
