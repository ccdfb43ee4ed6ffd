//! From what a person types to one end of a flow.

use std::net::IpAddr;

use enforcer_common::identity;
use enforcer_common::maps::AddressValue;

use crate::node::NodeFacts;
use crate::policy::compile::node;
use crate::policy::model::{Holder, Policy, Workload};

use super::ExplainError;

/// One end of a flow.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) identity: u32,
    /// Tenant name or the word of a reserved identity.
    pub(super) name: String,
    /// Addresses to choose from; none for a tenant as such.
    pub(super) addresses: Vec<IpAddr>,
    /// The host-side interface, of a workload that was found on this node.
    pub(super) interface: Option<u32>,
    /// A workload of this node.
    pub(super) is_here: bool,
    /// A workload of this node of which nobody holds the end where tunnels arrive.
    pub(super) is_unattended: bool,
    /// How it was recognised.
    pub(super) how: String,
}

impl Party {
    /// A workload name, a tenant name or an address; `host` for the node itself, unless something has that name.
    pub(super) fn find(policy: &Policy, facts: &NodeFacts, words: &str) -> Result<Self, ExplainError> {
        if let Ok(address) = words.parse::<IpAddr>() {
            return Ok(Self::at(policy, facts, address.to_canonical()));
        }
        if let Some(workload) = policy.workloads.get(words) {
            return Ok(Self::of_workload(policy, facts, workload));
        }
        if let Some(tenant) = policy.tenants.get(words) {
            let how = format!("tenant {}, number {}", tenant.name, tenant.id);
            return Ok(Self {
                identity: tenant.id,
                name: words.to_owned(),
                addresses: Vec::new(),
                interface: None,
                is_here: false,
                is_unattended: false,
                how,
            });
        }
        if words == "host" {
            let addresses = facts.addresses.iter().copied().collect();
            let how = "this node".to_owned();
            return Ok(Self {
                identity: identity::HOST,
                name: words.to_owned(),
                addresses,
                interface: None,
                is_here: false,
                is_unattended: false,
                how,
            });
        }
        Err(ExplainError::UnknownParty(words.to_owned()))
    }

    fn at(policy: &Policy, facts: &NodeFacts, address: IpAddr) -> Self {
        if !facts.addresses.contains(&address)
            && let Some(Holder::Workload(name)) = policy.index.holder.get(&address)
            && let Some(workload) = policy.workloads.get(name)
        {
            let party = Self::of_workload(policy, facts, workload);
            return Self { addresses: vec![address], ..party };
        }
        let value = node::address(policy, facts, address);
        let identity = value.map_or(identity::WORLD, |value| value.identity);
        let name = identity_name(policy, identity);
        let how = match value {
            None => format!("{address}, which nobody holds: world"),
            Some(AddressValue { identity: identity::HOST, .. }) => {
                format!("{address}, an address of this node")
            }
            Some(value) => format!("{address}, bound to {name} (generation {})", value.generation),
        };
        Self {
            identity,
            name,
            addresses: vec![address],
            interface: None,
            is_here: false,
            is_unattended: false,
            how,
        }
    }

    fn of_workload(policy: &Policy, facts: &NodeFacts, workload: &Workload) -> Self {
        let identity = policy.tenants.get(&workload.tenant).map_or(identity::UNKNOWN, |tenant| tenant.id);
        let is_here = node::is_local(facts, workload);
        let attachment = facts.attachments.get(&workload.name).filter(|_| is_here);
        let interface = attachment.and_then(|attachment| attachment.interface);
        let has_tunnel = attachment.is_some_and(|attachment| attachment.tunnel.is_some());
        // A workload on the node's network is sent nothing through a tunnel.
        let is_unattended = is_here && (workload.host_network || interface.is_some() && !has_tunnel);
        let place = match (is_here, workload.host_network, interface) {
            (false, ..) => "on another node, known by its addresses".to_owned(),
            (true, true, _) => "on this node's network, known by its cgroup".to_owned(),
            (true, false, Some(index)) => format!("on this node, known by interface {index}"),
            (true, false, None) => "of this node, but not found on it".to_owned(),
        };
        Self {
            identity,
            name: workload.tenant.to_string(),
            addresses: workload.addresses.clone(),
            interface,
            is_here,
            is_unattended,
            how: format!("workload {} of tenant {}, {place}", workload.name, workload.tenant),
        }
    }
}

/// The name of an identity: a tenant's, a reserved one, or `unknown`.
pub(super) fn identity_name(policy: &Policy, number: u32) -> String {
    match (identity::reserved_name(number), policy.index.tenant_by_id.get(&number)) {
        (Some(name), _) => name.to_owned(),
        (None, Some(name)) => name.to_string(),
        (None, None) => "unknown".to_owned(),
    }
}
