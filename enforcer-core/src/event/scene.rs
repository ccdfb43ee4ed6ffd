//! What an event's numbers meant while one policy was in force on this node: made once for each policy or
//! change of the node, asked for each event.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use enforcer_common::address::{Address, to_v4};
use enforcer_common::identity;

use crate::node::NodeFacts;
use crate::policy::model::{Holder, Name, Policy};

/// Policy and node, with the look-ups that records need.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The revision of the policy.
    pub revision: u64,
    /// The policy.
    pub policy: Arc<Policy>,
    /// The node.
    pub facts: Arc<NodeFacts>,
    by_interface: BTreeMap<u32, Name>,
    by_cgroup: BTreeMap<u64, Name>,
}

impl Scene {
    /// Of a policy in force on a node.
    #[must_use]
    pub fn new(revision: u64, policy: Arc<Policy>, facts: Arc<NodeFacts>) -> Self {
        let mut by_interface = BTreeMap::new();
        let mut by_cgroup = BTreeMap::new();
        // Where two claim the same place, the first by name holds it, as in the tables of the kernel.
        for (name, attachment) in &facts.attachments {
            if let Some(interface) = attachment.interface {
                by_interface.entry(interface).or_insert_with(|| Arc::clone(name));
            }
            if let Some(cgroup) = attachment.cgroup {
                by_cgroup.entry(cgroup).or_insert_with(|| Arc::clone(name));
            }
        }
        Self { revision, policy, facts, by_interface, by_cgroup }
    }

    /// Tenant, host service or reserved identity by name; `identity-N` for a number that nobody has.
    #[must_use]
    pub fn identity_name(&self, identity: u32) -> String {
        if let Some(name) = identity::reserved_name(identity) {
            return name.to_owned();
        }
        if let Some(name) = self.tenant(identity) {
            return name.to_string();
        }
        let service = identity
            .checked_sub(identity::FIRST_SERVICE)
            .and_then(|index| self.facts.services.get(usize::try_from(index).ok()?));
        service.map_or_else(|| format!("identity-{identity}"), |service| service.name.clone())
    }

    /// The tenant that has a number, or had it: what is told late is still that tenant's.
    #[must_use]
    pub fn tenant(&self, identity: u32) -> Option<&Name> {
        let index = &self.policy.index;
        index.tenant_by_id.get(&identity).or_else(|| index.retired_ids.get(&identity))
    }

    /// What [`enforcer_proto::v1::Endpoint`] says of a name that is neither a tenant's nor a reserved word.
    #[must_use]
    pub fn is_of_node(&self, identity: u32) -> bool {
        identity::reserved_name(identity).is_none() && self.tenant(identity).is_none()
    }

    /// The workload behind a host-side interface.
    #[must_use]
    pub fn workload_at(&self, interface: u32) -> Option<&Name> {
        self.by_interface.get(&interface)
    }

    /// The workload whose control group this is. Groups below it are told apart by path, see
    /// [`Self::workload_below`].
    #[must_use]
    pub fn workload_in(&self, cgroup: u64) -> Option<&Name> {
        self.by_cgroup.get(&cgroup)
    }

    /// The workload whose control group holds the group at `path`: the innermost one.
    #[must_use]
    pub fn workload_below(&self, path: &str) -> Option<&Name> {
        let group = |name: &Name| self.policy.workloads.get(name)?.cgroup.as_deref();
        self.by_cgroup
            .values()
            .filter(|name| group(name).is_some_and(|group| is_within(path, group)))
            .max_by_key(|name| group(name).map(str::len))
    }

    /// The workload that holds an address, if it belongs to `identity`: a forged address names nobody.
    #[must_use]
    pub fn workload_with(&self, address: &Address, identity: u32) -> Option<&Name> {
        let Holder::Workload(name) = self.policy.index.holder.get(&to_ip(address))? else { return None };
        let tenant = self.policy.tenants.get(&self.policy.workloads.get(name)?.tenant)?;
        (tenant.id == identity).then_some(name)
    }
}

/// The address in the form that people write.
#[must_use]
pub fn to_ip(address: &Address) -> IpAddr {
    match to_v4(address) {
        Some(v4) => IpAddr::from(v4),
        None => IpAddr::V6(Ipv6Addr::from(*address)),
    }
}

fn is_within(path: &str, group: &str) -> bool {
    path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
