//! What the tables hold about the node itself: whose its addresses, interfaces and cgroups are, and what
//! its host services may open.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use enforcer_common::address::{Address, from_v4};
use enforcer_common::device::{ACCESS_MKNOD, ACCESS_READ, ACCESS_WRITE};
use enforcer_common::identity;
use enforcer_common::maps::{
    AddressValue, CGROUP_HOST_NETWORK, CGROUP_TUNNEL, CgroupValue, GrantValue, INTERFACE_TUNNEL,
    InterfaceValue, RULE_HOST_SERVICE,
};

use crate::node::{HostService, NodeFacts, TunnelEnd};
use crate::policy::image::DeviceRegion;
use crate::policy::model::{Binding, Bound, Holder, Name, Policy, UnixNanos, Workload};

/// Every address that somebody holds.
#[must_use]
pub fn addresses(policy: &Policy, facts: &NodeFacts) -> BTreeMap<Address, AddressValue> {
    let mut addresses = BTreeMap::new();
    for binding in policy.bindings.values() {
        addresses.extend(bound(policy, facts, binding).map(|value| (mapped(binding.address), value)));
    }
    for workload in policy.workloads.values() {
        let Some(value) = held(policy, facts, workload) else { continue };
        addresses.extend(workload.addresses.iter().map(|address| (mapped(*address), value)));
    }
    addresses.extend(facts.addresses.iter().map(|address| (mapped(*address), NODE)));
    addresses
}

/// Who holds one address: what [`addresses`] has for it.
#[must_use]
pub fn address(policy: &Policy, facts: &NodeFacts, address: IpAddr) -> Option<AddressValue> {
    if facts.addresses.contains(&address) {
        return Some(NODE);
    }
    match policy.index.holder.get(&address)? {
        Holder::Workload(name) => held(policy, facts, policy.workloads.get(name)?),
        Holder::Binding => bound(policy, facts, policy.bindings.get(&address)?),
    }
}

/// By interface index. An interface that two workloads claim is the first one's by name.
#[must_use]
pub fn interfaces(policy: &Policy, facts: &NodeFacts) -> BTreeMap<u32, InterfaceValue> {
    let mut interfaces = BTreeMap::new();
    for (name, attachment) in &facts.attachments {
        let Some(workload) = local(policy, facts, name) else { continue };
        let Some((interface, value)) =
            attachment.interface.zip(interface(policy, workload, attachment.tunnel, facts.clock_offset_ns))
        else {
            continue;
        };
        interfaces.entry(interface).or_insert(value);
    }
    interfaces
}

/// By cgroup id. A cgroup that two claim is the first workload's by name, and no host service's.
#[must_use]
pub fn cgroups(policy: &Policy, facts: &NodeFacts) -> BTreeMap<u64, CgroupValue> {
    let mut cgroups = BTreeMap::new();
    for (name, attachment) in &facts.attachments {
        let Some(workload) = local(policy, facts, name) else { continue };
        let Some((cgroup, value)) = attachment.cgroup.zip(cgroup(policy, workload, attachment.tunnel)) else {
            continue;
        };
        cgroups.entry(cgroup).or_insert(value);
    }
    for (number, service) in numbered_services(facts) {
        let value = CgroupValue { identity: number, ..CgroupValue::default() };
        cgroups.entry(service.cgroup).or_insert(value);
    }
    cgroups
}

/// What host services may open, by service number. A service for which nothing is there is left out.
#[must_use]
pub fn services(facts: &NodeFacts) -> BTreeMap<u32, BTreeMap<DeviceRegion, GrantValue>> {
    let grants = numbered_services(facts).map(|(number, service)| (number, service_grants(facts, service)));
    grants.filter(|(_, grants)| !grants.is_empty()).collect()
}

/// Host services with their numbers: in the order of the configuration.
pub fn numbered_services(facts: &NodeFacts) -> impl Iterator<Item = (u32, &HostService)> {
    (identity::FIRST_SERVICE..=identity::LAST_SERVICE).zip(&facts.services)
}

/// The form that addresses have in the tables.
#[must_use]
pub fn mapped(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => from_v4(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// True for a workload that runs on this node.
#[must_use]
pub fn is_local(facts: &NodeFacts, workload: &Workload) -> bool {
    workload.node.as_deref().is_none_or(|node| node == facts.name)
}

const NODE: AddressValue =
    AddressValue { lease_until_ns: 0, generation: 0, identity: identity::HOST, workload: 0 };

fn local<'a>(policy: &'a Policy, facts: &NodeFacts, name: &Name) -> Option<&'a Workload> {
    policy.workloads.get(name).map(AsRef::as_ref).filter(|workload| is_local(facts, workload))
}

fn held(policy: &Policy, facts: &NodeFacts, workload: &Workload) -> Option<AddressValue> {
    Some(AddressValue {
        lease_until_ns: monotonic(workload.lease_until, facts.clock_offset_ns),
        generation: 0,
        identity: policy.tenants.get(&workload.tenant)?.id,
        workload: if is_local(facts, workload) { policy.index.workload_number(&workload.name)? } else { 0 },
    })
}

fn bound(policy: &Policy, facts: &NodeFacts, binding: &Binding) -> Option<AddressValue> {
    let identity = match &binding.bound {
        Bound::Tenant(name) => policy.tenants.get(name)?.id,
        Bound::RemoteNode => identity::REMOTE_NODE,
        Bound::Host => identity::HOST,
    };
    Some(AddressValue {
        lease_until_ns: monotonic(binding.lease_until, facts.clock_offset_ns),
        generation: binding.generation,
        identity,
        workload: 0,
    })
}

/// A lease on the kernel's clock. One that lapsed before that clock began must not become "never".
fn monotonic(lease_until: Option<UnixNanos>, clock_offset_ns: i64) -> u64 {
    let Some(until) = lease_until else { return 0 };
    let kernel_ns = i128::from(until) - i128::from(clock_offset_ns);
    u64::try_from(kernel_ns.max(1)).unwrap_or(u64::MAX)
}

fn interface(
    policy: &Policy,
    workload: &Workload,
    tunnel: Option<TunnelEnd>,
    clock_offset_ns: i64,
) -> Option<InterfaceValue> {
    let first = |family: fn(&IpAddr) -> bool| {
        workload.addresses.iter().copied().find(family).map(mapped).unwrap_or_default()
    };
    Some(InterfaceValue {
        lease_until_ns: monotonic(workload.lease_until, clock_offset_ns),
        tenant: policy.tenants.get(&workload.tenant)?.id,
        workload: policy.index.workload_number(&workload.name)?,
        grants: workload.encapsulations,
        flags: if tunnel.is_some() { INTERFACE_TUNNEL } else { 0 },
        v4: first(IpAddr::is_ipv4),
        v6: first(IpAddr::is_ipv6),
    })
}

fn cgroup(policy: &Policy, workload: &Workload, tunnel: Option<TunnelEnd>) -> Option<CgroupValue> {
    let at_home = if workload.host_network { CGROUP_HOST_NETWORK } else { 0 };
    let taken_up = if tunnel.is_some() { CGROUP_TUNNEL } else { 0 };
    let end = tunnel.unwrap_or_default();
    Some(CgroupValue {
        identity: policy.tenants.get(&workload.tenant)?.id,
        workload: policy.index.workload_number(&workload.name)?,
        flags: at_home | taken_up,
        reserved: 0,
        tunnel_v4: end.v4.map(|address| mapped(address.into())).unwrap_or_default(),
        tunnel_v6: end.v6.map(|address| mapped(address.into())).unwrap_or_default(),
    })
}

/// A driver daemon also creates the nodes of its devices.
fn service_grants(facts: &NodeFacts, service: &HostService) -> BTreeMap<DeviceRegion, GrantValue> {
    let granted = GrantValue { access: ACCESS_MKNOD | ACCESS_READ | ACCESS_WRITE, rule: RULE_HOST_SERVICE };
    let regions: BTreeSet<DeviceRegion> = if service.classes.is_empty() {
        facts.devices.all_regions().into_iter().collect()
    } else {
        let classes = service.classes.iter();
        classes.filter_map(|class| facts.devices.regions(class).ok()).flatten().collect()
    };
    regions.into_iter().map(|region| (region, granted)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lapsed_lease_is_not_an_endless_one() {
        assert_eq!(monotonic(None, 5), 0);
        assert_eq!(monotonic(Some(15), 5), 10);
        assert_eq!(monotonic(Some(5), 5), 1);
        assert_eq!(monotonic(Some(0), 1_700_000_000_000_000_000), 1);
        assert_eq!(monotonic(Some(u64::MAX), i64::MIN), u64::MAX);
    }
}
