//! Identities by name, as the policy in force has them.

use enforcer_common::identity;
use enforcer_core::policy::compile::node::numbered_services;

use super::policy::InForce;

/// The name of a tenant, of a reserved identity or of a host service; the number of one that is gone.
#[must_use]
pub fn identity(in_force: &InForce, number: u32) -> String {
    if let Some(name) = identity::reserved_name(number) {
        return name.to_owned();
    }
    if let Some(name) = in_force.current.policy.index.tenant_by_id.get(&number) {
        return name.to_string();
    }
    numbered_services(&in_force.facts)
        .find(|(service, _)| *service == number)
        .map_or_else(|| format!("identity-{number}"), |(_, service)| service.name.clone())
}
