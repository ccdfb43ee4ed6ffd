//! A policy and a record that tests begin with.

use std::sync::Arc;

use enforcer_common::event::{HOOK_FROM_WORKLOAD, hook_name};
use enforcer_proto::v1;

use super::names::Names;
use crate::policy::model::{
    Action, DataClassification, Mode, Peer, Policy, PortRange, Protocol, Rule, Tenant, Tier, Workload,
};

fn tenant(policy: &mut Policy, name: &str, id: u32) {
    let tenant = Tenant {
        name: name.into(),
        id,
        tier: Tier::Shared,
        data_classification: DataClassification::Internal,
        mode: Mode::Enforce,
        platform_service: false,
        egress: Vec::new(),
        devices: Vec::new(),
    };
    policy.tenants.insert(name.into(), Arc::new(tenant));
}

fn workload(policy: &mut Policy, name: &str, tenant: &str, namespace: &str) {
    let workload = Workload {
        name: name.into(),
        tenant: tenant.into(),
        node: None,
        cgroup: None,
        interface: None,
        network_namespace: None,
        host_network: false,
        addresses: Vec::new(),
        namespace: namespace.to_owned(),
        service_account: String::new(),
        lease_until: None,
        encapsulations: 0,
    };
    policy.workloads.insert(name.into(), Arc::new(workload));
}

fn rule(policy: &mut Policy, name: &str, action: Action, ports: Option<Vec<PortRange>>) {
    let rule = Rule {
        name: name.into(),
        from: Peer::Tenant("red".into()),
        to: Peer::Tenant("blue".into()),
        ports,
        action,
        mode: Mode::Enforce,
        mtls_required: false,
        mtls_always: false,
        carried_by: Vec::new(),
    };
    policy.rules.insert(name.into(), Arc::new(rule));
}

/// Tenants red (70001) and blue (70002), workloads web-0 (red, namespace shop), bare (red) and db-0 (blue), and three
/// rules from red to blue.
pub(super) fn names() -> Names {
    let mut policy = Policy::default();
    tenant(&mut policy, "red", 70_001);
    tenant(&mut policy, "blue", 70_002);
    workload(&mut policy, "web-0", "red", "shop");
    workload(&mut policy, "bare", "red", "");
    workload(&mut policy, "db-0", "blue", "");
    let ports = |first, last| Some(vec![PortRange { protocol: Protocol::Tcp, first, last }]);
    rule(&mut policy, "web-to-db", Action::Allow, ports(80, 80));
    rule(&mut policy, "all-tcp", Action::Allow, ports(0, u16::MAX));
    rule(&mut policy, "deny-xtenant", Action::Deny, None);
    Names::new(Arc::new(policy), "default".into())
}

/// An end.
pub(super) fn end(identity: &str, workload: &str, address: &str, port: u32) -> v1::Endpoint {
    v1::Endpoint {
        identity: identity.to_owned(),
        workload: workload.to_owned(),
        address: address.to_owned(),
        port,
        ..v1::Endpoint::default()
    }
}

/// The first packet of an allowed TCP flow from web-0 to db-0, as it leaves web-0.
pub(super) fn record() -> v1::Record {
    v1::Record {
        sequence: 5,
        time: Some(prost_types::Timestamp { seconds: 1_000, nanos: 500 }),
        node: "n1".to_owned(),
        r#type: "flow".to_owned(),
        verdict: "allow".to_owned(),
        rule: "web-to-db".to_owned(),
        rule_owner: "blue".to_owned(),
        revision: 3,
        hook: hook_name(HOOK_FROM_WORKLOAD).to_owned(),
        source: Some(end("red", "web-0", "10.0.0.1", 4_242)),
        destination: Some(end("blue", "db-0", "10.0.0.2", 80)),
        protocol: "TCP".to_owned(),
        cookie: 99,
        process: Some(v1::Process { pid: 7, cgroup_id: 4_321, ..v1::Process::default() }),
        ..v1::Record::default()
    }
}

/// The same, refused by a rule.
pub(super) fn denied() -> v1::Record {
    v1::Record {
        verdict: "deny".to_owned(),
        reason: "rule_denied".to_owned(),
        rule: "deny-xtenant".to_owned(),
        ..record()
    }
}
