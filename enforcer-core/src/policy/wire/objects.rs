//! One object at a time. Every field is named, so that a new one cannot be forgotten here.

use enforcer_proto::v1;
use enforcer_proto::v1::binding::Holder;
use enforcer_proto::v1::peer::Who;
use prost_types::Timestamp;

use crate::policy::model::{
    Binding, Bound, DeviceGrant, EgressRule, IpBlock, Name, Peer, PortRange, Protocol, Rule, Tenant,
    UnixNanos, Workload,
};
use crate::policy::parse::words::{
    ACTIONS, CLASSIFICATIONS, ENCAPSULATIONS, MODES, PROTOCOLS, TIERS, to_wire,
};

/// A tenant.
#[must_use]
pub fn tenant(tenant: &Tenant) -> v1::Tenant {
    let Tenant { name, id, tier, data_classification, mode, platform_service, egress, devices } = tenant;
    v1::Tenant {
        name: name.to_string(),
        id: *id,
        tier: to_wire(TIERS, tier),
        data_classification: to_wire(CLASSIFICATIONS, data_classification),
        mode: to_wire(MODES, mode),
        platform_service: *platform_service,
        egress: egress.iter().map(egress_rule).collect(),
        devices: devices.iter().map(device_grant).collect(),
    }
}

/// A workload. A lease is stated as the point in time it ends.
#[must_use]
pub fn workload(workload: &Workload) -> v1::Workload {
    let Workload {
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
        lease_until,
        encapsulations,
    } = workload;
    let granted = ENCAPSULATIONS.iter().filter(|(bit, _, _)| encapsulations & bit != 0);
    v1::Workload {
        name: name.to_string(),
        tenant: tenant.to_string(),
        node: node.as_ref().map(Name::to_string),
        cgroup: cgroup.clone(),
        interface: interface.clone(),
        network_namespace: network_namespace.clone(),
        host_network: *host_network,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        namespace: namespace.clone(),
        service_account: service_account.clone(),
        lease: None,
        lease_until: lease_until.map(timestamp),
        encapsulations: granted.map(|(_, wire, _)| (*wire).into()).collect(),
    }
}

/// A rule.
#[must_use]
pub fn rule(rule: &Rule) -> v1::Rule {
    let Rule { name, from, to, ports, action, mode, mtls_required, mtls_always, carried_by } = rule;
    v1::Rule {
        name: name.to_string(),
        from: Some(peer(from)),
        to: Some(peer(to)),
        ports: ports.as_deref().map(port_list),
        action: to_wire(ACTIONS, action),
        mode: to_wire(MODES, mode),
        mtls_required: *mtls_required,
        mtls_always: *mtls_always,
        carried_by: carried_by.iter().map(Name::to_string).collect(),
    }
}

/// A binding. A lease is stated as the point in time it ends.
#[must_use]
pub fn binding(binding: &Binding) -> v1::Binding {
    let Binding { address, bound, generation, lease_until } = binding;
    let holder = match bound {
        Bound::Tenant(name) => Holder::Tenant(name.to_string()),
        Bound::RemoteNode => Holder::RemoteNode(v1::Everything {}),
        Bound::Host => Holder::Host(v1::Everything {}),
    };
    v1::Binding {
        address: address.to_string(),
        generation: *generation,
        lease: None,
        lease_until: lease_until.map(timestamp),
        holder: Some(holder),
    }
}

fn egress_rule(rule: &EgressRule) -> v1::EgressRule {
    let EgressRule { block, ports } = rule;
    v1::EgressRule { ip_block: Some(ip_block(block)), ports: ports.as_deref().map(port_list) }
}

fn device_grant(grant: &DeviceGrant) -> v1::DeviceGrant {
    let DeviceGrant { class, minors } = grant;
    let minors = minors.as_ref().map(|items| v1::MinorList { items: items.clone() });
    v1::DeviceGrant { class: class.to_string(), minors }
}

fn ip_block(block: &IpBlock) -> v1::IpBlock {
    let IpBlock { cidr, except } = block;
    v1::IpBlock { cidr: cidr.to_string(), except: except.iter().map(ToString::to_string).collect() }
}

fn peer(peer: &Peer) -> v1::Peer {
    let who = match peer {
        Peer::Tenant(name) => Who::Tenant(name.to_string()),
        Peer::Host => Who::Host(v1::Everything {}),
        Peer::RemoteNode => Who::RemoteNode(v1::Everything {}),
        Peer::World => Who::World(v1::Everything {}),
        Peer::Block(block) => Who::IpBlock(ip_block(block)),
    };
    v1::Peer { who: Some(who) }
}

fn port_list(ranges: &[PortRange]) -> v1::PortList {
    v1::PortList { items: ranges.iter().map(port).collect() }
}

fn port(range: &PortRange) -> v1::Port {
    let PortRange { protocol, first, last } = *range;
    let wire = v1::Port { protocol: to_wire(PROTOCOLS, &protocol), ..v1::Port::default() };
    if (first, last) == (0, u16::MAX) {
        return wire;
    }
    match protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => {
            v1::Port { port: Some(first.into()), end_port: (first != last).then_some(last.into()), ..wire }
        }
        Protocol::Icmp | Protocol::Icmpv6 => {
            let [kind, code] = first.to_be_bytes();
            let icmp_code = (first == last).then_some(code.into());
            v1::Port { icmp_type: Some(kind.into()), icmp_code, ..wire }
        }
    }
}

fn timestamp(point: UnixNanos) -> Timestamp {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    let seconds = i64::try_from(point / NANOS_PER_SECOND).unwrap_or(i64::MAX);
    let nanos = i32::try_from(point % NANOS_PER_SECOND).unwrap_or(0);
    Timestamp { seconds, nanos }
}
