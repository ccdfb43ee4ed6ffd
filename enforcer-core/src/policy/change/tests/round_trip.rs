//! Written and parsed again, a policy is the same.

use proptest::prelude::*;

use super::*;
use crate::policy::wire::snapshot;

fn ports() -> impl Strategy<Value = Option<v1::PortList>> {
    let number = 1_u32..=65_535;
    let tcp = (1_i32..=3, prop::option::of((number.clone(), prop::option::of(number)))).prop_map(
        |(protocol, range)| {
            let (port, end_port) = match range {
                None => (None, None),
                Some((first, None)) => (Some(first), None),
                Some((first, Some(last))) => (Some(first.min(last)), Some(first.max(last))),
            };
            v1::Port { protocol, port, end_port, ..v1::Port::default() }
        },
    );
    let icmp = (4_i32..=5, prop::option::of((0_u32..=255, prop::option::of(0_u32..=255)))).prop_map(
        |(protocol, service)| v1::Port {
            protocol,
            icmp_type: service.map(|(kind, _)| kind),
            icmp_code: service.and_then(|(_, code)| code),
            ..v1::Port::default()
        },
    );
    prop::option::of(
        prop::collection::vec(prop_oneof![tcp, icmp], 1..5).prop_map(|items| v1::PortList { items }),
    )
}

fn block() -> impl Strategy<Value = v1::IpBlock> {
    let v4 = (any::<u32>(), 0_u8..=30, prop::option::of(any::<u32>())).prop_map(|(address, length, hole)| {
        let net = ipnet::Ipv4Net::new(address.into(), length).unwrap().trunc();
        let except = hole.map(|hole| {
            let mask = u32::from(net.hostmask());
            let inside = u32::from(net.network()) | (hole & mask);
            ipnet::Ipv4Net::new(inside.into(), length + 1).unwrap().trunc().to_string()
        });
        v1::IpBlock { cidr: net.to_string(), except: except.into_iter().collect() }
    });
    let v6 = (any::<u128>(), 1_u8..=128).prop_map(|(address, length)| {
        let net = ipnet::Ipv6Net::new((address | 1 << 125).into(), length).unwrap().trunc();
        v1::IpBlock { cidr: net.to_string(), except: Vec::new() }
    });
    prop_oneof![v4, v6]
}

fn peer() -> impl Strategy<Value = v1::Peer> {
    use v1::peer::Who;
    let everything = v1::Everything {};
    prop_oneof![
        Just(Who::Tenant("blue".to_owned())),
        Just(Who::Host(everything)),
        Just(Who::RemoteNode(everything)),
        Just(Who::World(everything)),
        block().prop_map(Who::IpBlock),
    ]
    .prop_map(|who| v1::Peer { who: Some(who) })
}

fn message() -> impl Strategy<Value = v1::Snapshot> {
    let red = v1::Peer { who: Some(v1::peer::Who::Tenant("red".to_owned())) };
    let rule = (peer(), ports(), 1_i32..=2, 1_i32..=2, any::<bool>(), any::<bool>());
    let rules = prop::collection::btree_map("[a-z]{1,6}(-[0-9])?", rule, 0..6);
    let egress = prop::collection::vec((block(), ports()), 0..4);
    let workload = (any::<bool>(), prop::option::of(any::<u64>()), 0_usize..=3, any::<bool>());
    let workloads = prop::collection::btree_map(1_u8..=200, workload, 0..6);
    (rules, egress, workloads, 1_i32..=2, 1_i32..=5, 1_i32..=2).prop_map(
        move |(rules, egress, workloads, tier, data_classification, mode)| v1::Snapshot {
            tenants: vec![
                v1::Tenant {
                    name: "red".to_owned(),
                    id: 16,
                    tier,
                    data_classification,
                    mode,
                    platform_service: mode == 1,
                    egress: egress
                        .into_iter()
                        .map(|(block, ports)| v1::EgressRule { ip_block: Some(block), ports })
                        .collect(),
                    devices: vec![v1::DeviceGrant {
                        class: "nvidia".to_owned(),
                        minors: Some(v1::MinorList { items: vec![3, 1] }),
                    }],
                },
                v1::Tenant {
                    name: "blue".to_owned(),
                    id: 17,
                    tier: 1,
                    data_classification,
                    mode,
                    ..Default::default()
                },
            ],
            workloads: workloads
                .into_iter()
                .map(|(number, (host, lease, grants, local))| v1::Workload {
                    name: format!("w{number}"),
                    tenant: "red".to_owned(),
                    node: (!local).then(|| "node-2".to_owned()),
                    cgroup: Some(format!("/red/w{number}")),
                    host_network: host,
                    addresses: if host {
                        Vec::new()
                    } else {
                        vec![format!("10.0.0.{number}"), format!("fd00::{number:x}")]
                    },
                    namespace: "ns".to_owned(),
                    lease_until: lease.filter(|_| !host).map(|nanos| prost_types::Timestamp {
                        seconds: i64::try_from(nanos / 1_000_000_000).unwrap(),
                        nanos: i32::try_from(nanos % 1_000_000_000).unwrap(),
                    }),
                    encapsulations: (1..=3).take(grants).collect(),
                    ..v1::Workload::default()
                })
                .collect(),
            rules: rules
                .into_iter()
                .map(|(name, (to, ports, action, mode, mtls_required, carried))| v1::Rule {
                    name,
                    from: Some(red.clone()),
                    to: Some(to),
                    ports,
                    action,
                    mode,
                    mtls_required,
                    mtls_always: mtls_required && carried,
                    carried_by: if carried { vec!["red".to_owned()] } else { Vec::new() },
                })
                .collect(),
            bindings: vec![v1::Binding {
                address: "2001:db8::1".to_owned(),
                generation: 7,
                holder: Some(v1::binding::Holder::Tenant("blue".to_owned())),
                ..v1::Binding::default()
            }],
            retired_ids: vec![v1::RetiredId { id: 99, name: "green".to_owned() }],
        },
    )
}

proptest! {
    #[test]
    fn parse_of_write_is_the_same_policy(message in message()) {
        let first = apply(&Policy::default(), &Change::Snapshot(message), NOW).unwrap().policy;
        let written = snapshot(&first);
        let second = apply(&Policy::default(), &Change::Snapshot(written.clone()), NOW + 5).unwrap().policy;
        prop_assert_eq!(&first, &second);
        prop_assert_eq!(snapshot(&second), written);
    }
}
