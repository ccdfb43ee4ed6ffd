//! What an event's numbers meant while one policy was in force on this node: made once for each policy or
//! change of the node, asked for each event.

use std::collections::{BTreeMap, HashMap};
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
    by_path: HashMap<Box<str>, Name>,
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
        let by_path = by_cgroup.values().filter_map(|name: &Name| {
            let path = policy.workloads.get(name)?.cgroup.as_deref()?;
            Some((path.into(), Arc::clone(name)))
        });
        let by_path = by_path.collect();
        Self { revision, policy, facts, by_interface, by_cgroup, by_path }
    }

    /// Tenant, host service or reserved identity by name; `identity-N` for a number that nobody has.
    #[must_use]
    pub fn identity_name(&self, identity: u32) -> String {
        self.whose(identity).0
    }

    /// The same, and true when it is neither a tenant's name nor a reserved word.
    #[must_use]
    pub fn whose(&self, identity: u32) -> (String, bool) {
        if let Some(name) = identity::reserved_name(identity) {
            return (name.to_owned(), false);
        }
        if let Some(name) = self.tenant(identity) {
            return (name.to_string(), false);
        }
        let service = identity
            .checked_sub(identity::FIRST_SERVICE)
            .and_then(|index| self.facts.services.get(usize::try_from(index).ok()?));
        (service.map_or_else(|| format!("identity-{identity}"), |service| service.name.clone()), true)
    }

    /// The tenant that has a number, or had it: what is told late is still that tenant's.
    #[must_use]
    pub fn tenant(&self, identity: u32) -> Option<&Name> {
        let index = &self.policy.index;
        index.tenant_by_id.get(&identity).or_else(|| index.retired_ids.get(&identity))
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
        let mut group = path;
        while !group.is_empty() {
            if let Some(name) = self.by_path.get(group) {
                return Some(name);
            }
            group = group.rsplit_once('/')?.0;
        }
        None
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
