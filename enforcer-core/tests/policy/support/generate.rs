//! Policies at random, small enough that rules meet: few tenants, few prefixes, few ports.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use enforcer_core::device::class::{Kind, Role};
use enforcer_core::device::table::{DeviceTable, ExtraClass};
use enforcer_core::node::{Capabilities, HostService, NodeFacts};
use enforcer_core::policy::model::{
    Action, Binding, Bound, DeviceGrant, EgressRule, IpBlock, Mode, Peer, Policy, PortRange, Protocol, Rule,
    Tenant, Tier, Workload,
};
use enforcer_core::policy::oracle::Flow;
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::build::{Objects, attachments, binding, tenant, workload};

pub(crate) const NOW: u64 = 1_800_000_000_000_000_000;
const OFFSET: i64 = 1_799_999_000_000_000_000;
const TENANTS: [&str; 5] = ["t0", "t1", "t2", "t3", "t4"];
const NETS: [&str; 13] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.3/32",
    "192.0.2.0/24",
    "192.0.2.128/25",
    "::/0",
    "::/64",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8:1::1/128",
    "2001:db8:2::/48",
];
const WORLD: [&str; 12] = [
    "8.8.8.8",
    "10.0.0.1",
    "10.1.0.1",
    "10.1.2.1",
    "10.1.2.3",
    "192.0.2.1",
    "192.0.2.200",
    "2001:db8::1",
    "2001:db8:1::1",
    "2001:db8:1::2",
    "2001:db8:2::9",
    "2a00::1",
];
const SERVICES: [u16; 14] = [0, 1, 2, 79, 80, 81, 443, 1024, 2048, 0x0800, 15007, 15008, 65534, 65535];

fn name(names: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(names)
}

fn port_range() -> impl Strategy<Value = PortRange> {
    (select(&Protocol::ALL[..]), select(&SERVICES[..]), select(&SERVICES[..]))
        .prop_map(|(protocol, a, b)| PortRange { protocol, first: a.min(b), last: a.max(b) })
}

fn ports() -> impl Strategy<Value = Option<Vec<PortRange>>> {
    option::weighted(0.7, vec(port_range(), 1..4))
}

fn ip_block() -> impl Strategy<Value = IpBlock> {
    (select(&NETS[..]), vec(select(&NETS[..]), 0..4)).prop_map(|(cidr, except)| {
        let cidr: IpNet = cidr.parse().unwrap();
        let inside = |net: &IpNet| cidr.contains(net) && net.prefix_len() > cidr.prefix_len();
        IpBlock { cidr, except: except.iter().map(|net| net.parse().unwrap()).filter(inside).collect() }
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![3 => Just(Mode::Enforce), 1 => Just(Mode::Audit)]
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        4 => name(&TENANTS).prop_map(|name| Peer::Tenant(name.into())),
        1 => Just(Peer::Host),
        1 => Just(Peer::RemoteNode),
        1 => Just(Peer::World),
        3 => ip_block().prop_map(Peer::Block),
    ]
}

prop_compose! {
    fn sides()(tenant in name(&TENANTS), other in peer(), inward in any::<bool>()) -> (Peer, Peer) {
        let tenant = Peer::Tenant(tenant.into());
        if inward { (other, tenant) } else { (tenant, other) }
    }
}

/// Required, and always.
fn mtls() -> impl Strategy<Value = (bool, bool)> {
    prop_oneof![6 => Just((false, false)), 3 => Just((true, false)), 1 => Just((true, true))]
}

prop_compose! {
    pub(crate) fn any_rule()(
        (from, to) in sides(),
        ports in ports(),
        action in prop_oneof![2 => Just(Action::Allow), 1 => Just(Action::Deny)],
        mode in mode(),
        (mtls_required, mtls_always) in mtls(),
        carried_by in subsequence(TENANTS.to_vec(), 0..=TENANTS.len()),
    ) -> Rule {
        let carried_by = carried_by.into_iter().map(Into::into).collect();
        Rule { name: "r0".into(), from, to, ports, action, mode, mtls_required, mtls_always, carried_by }
    }
}

prop_compose! {
    fn egress_rule()(block in ip_block(), ports in ports()) -> EgressRule {
        EgressRule { block, ports }
    }
}

fn device_grant() -> impl Strategy<Value = DeviceGrant> {
    prop_oneof![
        vec(0_u32..4, 1..3).prop_map(|minors| DeviceGrant { class: "nvidia".into(), minors: Some(minors) }),
        Just(DeviceGrant { class: "nvidiactl".into(), minors: None }),
        Just(DeviceGrant { class: "toy".into(), minors: None }),
        Just(DeviceGrant { class: "kfd".into(), minors: None }),
    ]
}

prop_compose! {
    fn tenant_at(index: usize)(
        tier in select(&[Tier::Shared, Tier::Partitioned, Tier::Isolated, Tier::Dedicated][..]),
        mode in mode(),
        platform_service in prop::bool::weighted(0.3),
        egress in vec(egress_rule(), 0..3),
        devices in vec(device_grant(), 0..3),
    ) -> Tenant {
        let id = 16 + u32::try_from(index).unwrap() * 7;
        Tenant { mode, platform_service, egress, devices, ..tenant(TENANTS[index], id, tier) }
    }
}

fn lease() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.4, select(&[NOW - 5, NOW, NOW + 5][..]))
}

prop_compose! {
    fn workload_at(index: usize)(
        tenant in name(&TENANTS),
        node in option::weighted(0.4, select(&["n1", "n2"][..])),
        lease_until in lease(),
        cgroup in any::<bool>(),
        encapsulations in 0_u32..8,
    ) -> Workload {
        let addresses = [format!("172.16.0.{}", index + 1), format!("fd00::{}", index + 1)];
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        Workload {
            node: node.map(Into::into),
            lease_until,
            encapsulations,
            cgroup: cgroup.then(|| format!("/pods/w{index}")),
            ..workload(&format!("w{index}"), tenant, &addresses)
        }
    }
}

prop_compose! {
    fn binding_at(index: usize)(
        bound in prop_oneof![
            3 => name(&TENANTS).prop_map(|name| Bound::Tenant(name.into())),
            1 => Just(Bound::RemoteNode),
            1 => Just(Bound::Host),
        ],
        generation in 1_u64..4,
        lease_until in lease(),
    ) -> Binding {
        Binding { generation, lease_until, ..binding(&format!("172.17.0.{}", index + 1), bound) }
    }
}

/// Objects of a policy with every tenant, and some of everything else.
pub(crate) fn objects() -> impl Strategy<Value = Objects> {
    let tenants: Vec<_> = (0..TENANTS.len()).map(tenant_at).collect();
    let workloads: Vec<_> = (0..6).map(|index| option::weighted(0.8, workload_at(index))).collect();
    let bindings: Vec<_> = (0..5).map(|index| option::weighted(0.8, binding_at(index))).collect();
    (tenants, workloads, bindings, vec(any_rule(), 0..14)).prop_map(
        |(tenants, workloads, bindings, rules)| {
            let named = |(index, rule)| Rule { name: format!("r{index}").into(), ..rule };
            Objects {
                tenants,
                workloads: workloads.into_iter().flatten().collect(),
                bindings: bindings.into_iter().flatten().collect(),
                rules: rules.into_iter().enumerate().map(named).collect(),
            }
        },
    )
}

/// A node with two GPUs' worth of drivers, two host services, and every local workload found.
pub(crate) fn facts(policy: &Policy) -> NodeFacts {
    let service = |name: &str, cgroup, classes: &[&str]| HostService {
        name: name.to_owned(),
        cgroup,
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
    };
    NodeFacts {
        name: "n1".to_owned(),
        addresses: BTreeSet::from(["172.18.0.1".parse().unwrap(), "fd01::1".parse().unwrap()]),
        attachments: attachments(policy),
        devices: Arc::new(devices()),
        services: vec![service("plugin", 7, &[]), service("control", 8, &["nvidiactl"])],
        capabilities: Capabilities::all(),
        tag_limit: u32::MAX,
        clock_offset_ns: OFFSET,
        ..NodeFacts::default()
    }
}

pub(crate) fn devices() -> DeviceTable {
    let toy = ExtraClass { name: "toy".to_owned(), kind: Kind::Char, major: 240, role: Role::Control };
    DeviceTable::parse("Character devices:\n195 nvidia\n\nBlock devices:\n", "", &[toy]).unwrap()
}

/// Addresses that stand for every kind of party.
pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    let held = (1_u8..8).prop_flat_map(|n| {
        select(vec![format!("172.16.0.{n}"), format!("fd00::{n}"), format!("172.17.0.{n}")])
    });
    let node = select(&["172.18.0.1", "fd01::1"][..]).prop_map(str::to_owned);
    let world = select(&WORLD[..]).prop_map(str::to_owned);
    prop_oneof![5 => held, 1 => node, 2 => world].prop_map(|address| address.parse().unwrap())
}

prop_compose! {
    pub(crate) fn flow()(
        from in address(),
        to in address(),
        protocol in select(&[6_u8, 6, 17, 132, 1, 58, 47][..]),
        service in prop_oneof![6 => select(&SERVICES[..]), 2 => any::<u16>(), 1 => Just(15008)],
    ) -> Flow {
        Flow { from, to, protocol, service, now: NOW }
    }
}
