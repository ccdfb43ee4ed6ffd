//! The model → wire messages: sorted by name, in canonical form. Parsing them again gives the same policy.

mod objects;

use enforcer_proto::v1;
pub use objects::{binding, rule, tenant, workload};

use crate::policy::model::Policy;

/// A whole policy, with the numbers that were used once.
#[must_use]
pub fn snapshot(policy: &Policy) -> v1::Snapshot {
    let Policy { tenants, workloads, rules, bindings, index } = policy;
    let retired =
        |(id, name): (&u32, &crate::policy::model::Name)| v1::RetiredId { id: *id, name: name.to_string() };
    v1::Snapshot {
        tenants: tenants.values().map(|object| tenant(object)).collect(),
        workloads: workloads.values().map(|object| workload(object)).collect(),
        rules: rules.values().map(|object| rule(object)).collect(),
        bindings: bindings.values().map(|object| binding(object)).collect(),
        retired_ids: index.retired_ids.iter().map(retired).collect(),
    }
}
