//! A workload by itself.

use std::net::IpAddr;

use enforcer_proto::v1;

use super::scope::{Scope, all};
use super::{lease, name, net, path};
use crate::policy::model::Workload;
use crate::policy::parse::limits::MAX_ADDRESSES;
use crate::policy::parse::path::At;
use crate::policy::parse::words::ENCAPSULATIONS;

pub(super) fn parse(scope: &mut Scope, list: &At, index: usize, message: &v1::Workload) -> Option<Workload> {
    let v1::Workload {
        name,
        tenant,
        node,
        cgroup,
        interface,
        network_namespace,
        host_network,
        addresses,
        namespace,
        service_account,
        lease,
        lease_until,
        encapsulations,
    } = message;
    let at = list.object(index, name);
    let name = name::subdomain(scope, &at.field("name"), name);
    let tenant = name::tenant(scope, &at.field("tenant"), tenant);
    let node = maybe(node.as_ref(), |text| name::subdomain(scope, &at.field("node"), text));
    let cgroup = maybe(cgroup.as_ref(), |text| path::absolute(scope, &at.field("cgroup"), text));
    let interface = maybe(interface.as_ref(), |text| path::interface(scope, &at.field("interface"), text));
    let network_namespace =
        maybe(network_namespace.as_ref(), |text| path::absolute(scope, &at.field("networkNamespace"), text));
    let addresses = address_list(scope, &at.field("addresses"), addresses);
    let namespace = name::optional(scope, &at.field("namespace"), namespace, name::label);
    let service_account =
        name::optional(scope, &at.field("serviceAccount"), service_account, name::subdomain);
    let lease_until = lease::parse(scope, &at, lease.as_ref(), lease_until.as_ref());
    let encapsulations = grants(scope, &at.field("encapsulations"), encapsulations);
    let workload = Workload {
        name: name?,
        tenant: tenant?,
        node: node?,
        cgroup: cgroup?,
        interface: interface?,
        network_namespace: network_namespace?,
        host_network: *host_network,
        addresses: addresses?,
        namespace: namespace?,
        service_account: service_account?,
        lease_until: lease_until?,
        encapsulations: encapsulations?,
    };
    can_be_found(scope, &at, &workload).then_some(workload)
}

/// `Some(None)` when absent; `None` when refused.
fn maybe<T>(text: Option<&String>, parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => parse(text).map(Some),
    }
}

fn address_list(scope: &mut Scope, at: &At, texts: &[String]) -> Option<Vec<IpAddr>> {
    if !scope.at_most(at, texts.len(), MAX_ADDRESSES) {
        return None;
    }
    let mut seen = Vec::with_capacity(texts.len());
    all(texts.iter().enumerate().map(|(index, text)| {
        let at = at.item(index);
        let address = net::address(scope, &at, text)?;
        if seen.contains(&address) {
            scope.refuse("duplicate_item", &at, format!("{address} is listed twice; list it once"));
            return None;
        }
        seen.push(address);
        Some(address)
    }))
}

fn grants(scope: &mut Scope, at: &At, numbers: &[i32]) -> Option<u32> {
    if !scope.at_most(at, numbers.len(), ENCAPSULATIONS.len()) {
        return None;
    }
    let bits = all(numbers.iter().enumerate().map(|(index, number)| {
        let at = at.item(index);
        let bit = scope.word(&at, ENCAPSULATIONS, *number)?;
        if numbers.iter().take(index).any(|other| other == number) {
            scope.refuse("duplicate_item", &at, "is listed twice; list it once");
            return None;
        }
        Some(bit)
    }))?;
    Some(bits.into_iter().fold(0, |grants, bit| grants | bit))
}

/// The kernel tells a workload by its interface, network namespace or control group, and by its addresses.
fn can_be_found(scope: &mut Scope, at: &At, workload: &Workload) -> bool {
    let before = scope.problems.count();
    let own_network = workload.interface.is_some() || workload.network_namespace.is_some();
    if workload.host_network {
        if workload.cgroup.is_none() {
            let message = "is missing; a workload with hostNetwork is told by its control group alone";
            scope.refuse("host_network_needs_cgroup", &at.field("cgroup"), message);
        }
        if own_network || !workload.addresses.is_empty() {
            let message = "contradicts interface, networkNamespace and addresses: the sockets use the node's; leave those out";
            scope.refuse("host_network_has_no_own", &at.field("hostNetwork"), message);
        }
        if workload.lease_until.is_some() {
            let message = "means nothing with hostNetwork: the workload is told by its control group, not by addresses; leave it out";
            scope.refuse("host_network_has_no_lease", &at.field("lease"), message);
        }
    } else if workload.addresses.is_empty() {
        let message = "is missing; state the workload's addresses, or hostNetwork if it uses the node's";
        scope.refuse("addresses_missing", &at.field("addresses"), message);
    }
    if workload.node.is_none() && !own_network && workload.cgroup.is_none() {
        let message =
            "cannot be found on this node; state interface, networkNamespace or cgroup, or the node it is on";
        scope.refuse("workload_without_place", at, message);
    }
    scope.problems.count() == before
}
