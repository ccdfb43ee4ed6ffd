//! From a policy and a node to the exact content of the kernel's tables. Pure and deterministic: the same
//! input gives the same bytes on every node. It must not know what the tables held before.

mod carrying;
mod cidr;
mod clause;
mod flatten;
pub mod node;
mod peers;
mod prefix;
mod tenant;
mod warnings;

use crate::node::NodeFacts;
use crate::policy::image::Image;
use crate::policy::model::Policy;

pub use clause::asks_for_tunnel;
pub use tenant::compile_tenant;
pub use warnings::warnings;

/// Everything the tables should hold for a policy on a node.
#[must_use]
pub fn compile(policy: &Policy, facts: &NodeFacts) -> Image {
    let tenants = policy.tenants.values().map(|tenant| (tenant.id, compile_tenant(policy, tenant, facts)));
    Image {
        tenants: tenants.collect(),
        addresses: node::addresses(policy, facts),
        interfaces: node::interfaces(policy, facts),
        cgroups: node::cgroups(policy, facts),
        gates: facts.devices.gates(),
        custody: std::collections::BTreeMap::new(),
        services: node::services(facts),
    }
}
