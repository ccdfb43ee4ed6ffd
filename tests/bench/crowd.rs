//! Many tenants and many addresses, as a control plane would push them.

use std::net::Ipv4Addr;

use enforcer_proto::v1;

/// The first tenant's number.
const FIRST_ID: u32 = 16;
/// Addresses are taken from 100.64.0.0/10 (RFC 6598): four millions that nobody routes.
const FIRST_ADDRESS: u32 = 0x6440_0000;

/// Tenant `index`.
pub(crate) fn name(index: u32) -> String {
    format!("t{index}")
}

/// Bound address `index`.
pub(crate) fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(FIRST_ADDRESS + index)
}

/// Tenants, each of which lets its predecessor in, and bindings dealt out to them in turn.
pub(crate) fn snapshot(tenants: u32, bindings: u32) -> v1::Snapshot {
    v1::Snapshot {
        tenants: (0..tenants).map(tenant).collect(),
        rules: (1..tenants).map(|index| rule(&format!("next-{index}"), index - 1, index, None)).collect(),
        bindings: (0..bindings).map(|index| binding(index, index % tenants)).collect(),
        ..v1::Snapshot::default()
    }
}

pub(crate) fn tenant(index: u32) -> v1::Tenant {
    v1::Tenant {
        name: name(index),
        id: FIRST_ID + index,
        tier: v1::Tier::Shared.into(),
        data_classification: v1::DataClassification::Internal.into(),
        mode: v1::Mode::Enforce.into(),
        ..v1::Tenant::default()
    }
}

pub(crate) fn binding(index: u32, tenant: u32) -> v1::Binding {
    v1::Binding {
        address: address(index).to_string(),
        generation: 1,
        holder: Some(v1::binding::Holder::Tenant(name(tenant))),
        ..v1::Binding::default()
    }
}

/// One tenant may reach a TCP port of another, or all of it.
pub(crate) fn rule(rule: &str, from: u32, to: u32, port: Option<u16>) -> v1::Rule {
    let peer = |index| Some(v1::Peer { who: Some(v1::peer::Who::Tenant(name(index))) });
    let tcp = |port: u16| v1::Port {
        protocol: v1::Protocol::Tcp.into(),
        port: Some(port.into()),
        ..v1::Port::default()
    };
    v1::Rule {
        name: rule.to_owned(),
        from: peer(from),
        to: peer(to),
        ports: port.map(|port| v1::PortList { items: vec![tcp(port)] }),
        action: v1::Action::Allow.into(),
        mode: v1::Mode::Enforce.into(),
        ..v1::Rule::default()
    }
}

/// A hundred rules of one tenant, on other ports in every round, so that each push changes them all.
pub(crate) fn push(owner: u32, rules: u16, round: u16) -> v1::Delta {
    let port = |index: u16| 1000 + 2 * index + 1000 * (round % 16);
    let rules = (0..rules).map(|index| rule(&format!("pushed-{index}"), 5, owner, Some(port(index))));
    v1::Delta {
        upsert: Some(v1::Snapshot { rules: rules.collect(), ..v1::Snapshot::default() }),
        ..v1::Delta::default()
    }
}
