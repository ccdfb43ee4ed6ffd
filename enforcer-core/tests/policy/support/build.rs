//! Policies by hand, with the index that belongs to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use enforcer_core::policy::model::{
    Action, Binding, Bound, DataClassification, EgressRule, Holder, IpBlock, Mode, Name, Peer, Policy,
    PortRange, Protocol, Rule, Tenant, Tier, Workload,
};

pub(crate) const FIRST_RULE_NUMBER: u32 = 1000;

/// Objects in the order in which they were pushed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) bindings: Vec<Binding>,
}

impl Objects {
    /// The policy with its index. Numbers depend on names alone, as the index promises.
    pub(crate) fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        for tenant in &self.tenants {
            policy.index.tenant_by_id.insert(tenant.id, Name::clone(&tenant.name));
            policy.tenants.insert(Name::clone(&tenant.name), Arc::new(tenant.clone()));
        }
        for binding in &self.bindings {
            policy.index.holder.insert(binding.address, Holder::Binding);
            policy.bindings.insert(binding.address, Arc::new(binding.clone()));
        }
        for workload in &self.workloads {
            let name = Name::clone(&workload.name);
            for address in &workload.addresses {
                policy.index.holder.insert(*address, Holder::Workload(Name::clone(&name)));
            }
            policy.index.workload_numbers.insert(digits(&name) + 1, Name::clone(&name));
            policy.index.displaced_workloads.insert(Name::clone(&name), digits(&name) + 1);
            policy.workloads.insert(name, Arc::new(workload.clone()));
        }
        self.index_rules(&mut policy);
        policy
    }

    fn index_rules(&self, policy: &mut Policy) {
        for rule in &self.rules {
            let name = Name::clone(&rule.name);
            let number = FIRST_RULE_NUMBER + digits(&name);
            policy.index.rule_numbers.insert(number, Name::clone(&name));
            policy.index.displaced_rules.insert(Name::clone(&name), number);
            if let Some(owner) = rule.owner() {
                let mut owned = policy.index.rules_by_owner.get(owner).cloned().unwrap_or_default();
                owned.insert(Name::clone(&name));
                policy.index.rules_by_owner.insert(Name::clone(owner), owned);
            }
            policy.rules.insert(name, Arc::new(rule.clone()));
        }
    }

    pub(crate) fn with_rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }
}

/// The number in a name such as `r17`; a hash of it when there is none.
fn digits(name: &str) -> u32 {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits
        .parse()
        .unwrap_or_else(|_| name.bytes().fold(7, |hash: u32, byte| hash % 9_999_991 * 31 + u32::from(byte)))
}

pub(crate) fn tenant(name: &str, id: u32, tier: Tier) -> Tenant {
    Tenant {
        name: name.into(),
        id,
        tier,
        data_classification: DataClassification::Internal,
        mode: Mode::Enforce,
        platform_service: false,
        egress: Vec::new(),
        devices: Vec::new(),
    }
}

pub(crate) fn workload(name: &str, tenant: &str, addresses: &[&str]) -> Workload {
    Workload {
        name: name.into(),
        tenant: tenant.into(),
        node: None,
        cgroup: None,
        interface: Some(format!("veth-{name}")),
        network_namespace: None,
        host_network: false,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        namespace: String::new(),
        service_account: String::new(),
        lease_until: None,
        encapsulations: 0,
    }
}

pub(crate) fn binding(address: &str, bound: Bound) -> Binding {
    Binding { address: address.parse().unwrap(), bound, generation: 1, lease_until: None }
}

pub(crate) fn rule(name: &str, from: Peer, to: Peer, action: Action) -> Rule {
    Rule {
        name: name.into(),
        from,
        to,
        ports: None,
        action,
        mode: Mode::Enforce,
        mtls_required: false,
        mtls_always: false,
        carried_by: Vec::new(),
    }
}

pub(crate) fn of(name: &str) -> Peer {
    Peer::Tenant(name.into())
}

pub(crate) fn block(cidr: &str, except: &[&str]) -> IpBlock {
    let parse = |net: &&str| net.parse().unwrap();
    IpBlock { cidr: parse(&cidr), except: except.iter().map(parse).collect() }
}

pub(crate) fn tcp(first: u16, last: u16) -> Vec<PortRange> {
    vec![PortRange { protocol: Protocol::Tcp, first, last }]
}

pub(crate) fn egress(cidr: &str, except: &[&str], ports: Option<Vec<PortRange>>) -> EgressRule {
    EgressRule { block: block(cidr, except), ports }
}

/// Attachments for the workloads that name an interface: index 100 and up, in order of name.
pub(crate) fn attachments(policy: &Policy) -> BTreeMap<Name, enforcer_core::node::Attachment> {
    let with_interface = policy.workloads.values().filter(|workload| workload.interface.is_some());
    (100_u32..)
        .zip(with_interface)
        .map(|(index, workload)| {
            let attachment = enforcer_core::node::Attachment {
                interface: Some(index),
                cgroup: workload.cgroup.as_ref().map(|_| u64::from(index) + 1000),
                tunnel: None,
            };
            (Name::clone(&workload.name), attachment)
        })
        .collect()
}
