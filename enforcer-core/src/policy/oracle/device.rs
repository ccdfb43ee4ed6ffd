//! Devices: who may open what, by walking over grants.

use enforcer_common::maps::MINOR_ANY;

use crate::device::class::Kind;
use crate::node::NodeFacts;
use crate::policy::image::DeviceRegion;
use crate::policy::model::{Name, Policy};

use super::OracleVerdict;

/// Who asks for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceAsker {
    /// A process in a workload of this tenant.
    Tenant(Name),
    /// A process in the cgroup of this host service.
    Service(String),
    /// A process in some other cgroup.
    Stranger,
    /// A task outside every cgroup: the kernel's own.
    Kernel,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceQuestion {
    /// Who asks.
    pub asker: DeviceAsker,
    /// Character or block.
    pub kind: Kind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Whether the node is to be created, rather than opened.
    pub mknod: bool,
}

/// What a policy says of a device; `None` when it is no device of a gated class.
#[must_use]
pub fn device(policy: &Policy, facts: &NodeFacts, question: &DeviceQuestion) -> Option<OracleVerdict> {
    facts.devices.class_of(question.kind, question.major, question.minor)?;
    Some(match &question.asker {
        DeviceAsker::Service(name) => service(facts, name, question),
        DeviceAsker::Kernel if question.mknod => OracleVerdict::allow("not-managed"),
        _ if question.mknod => OracleVerdict::deny("device_mknod"),
        DeviceAsker::Stranger | DeviceAsker::Kernel => OracleVerdict::deny("device_no_tenant"),
        DeviceAsker::Tenant(name) => tenant(policy, facts, name, question),
    })
}

fn service(facts: &NodeFacts, name: &str, question: &DeviceQuestion) -> OracleVerdict {
    let class = facts.devices.class_of(question.kind, question.major, question.minor);
    let service = facts.services.iter().find(|service| service.name == name);
    let listed = service.is_some_and(|service| {
        service.classes.is_empty() || service.classes.iter().any(|granted| Some(granted.as_str()) == class)
    });
    if listed { OracleVerdict::allow("host-service") } else { OracleVerdict::deny("device_not_granted") }
}

fn tenant(policy: &Policy, facts: &NodeFacts, name: &Name, question: &DeviceQuestion) -> OracleVerdict {
    let Some(tenant) = policy.tenants.get(name) else { return OracleVerdict::deny("tenant_unknown") };
    let granted = tenant.devices.iter().any(|grant| {
        let regions = facts.devices.resolve(&grant.class, grant.minors.as_deref()).unwrap_or_default();
        regions.iter().any(|region| is_in(region, question))
    });
    if granted {
        return OracleVerdict::allow("device-grant");
    }
    OracleVerdict::deny("device_not_granted")
}

fn is_in(region: &DeviceRegion, question: &DeviceQuestion) -> bool {
    region.kind == question.kind.number()
        && region.major == question.major
        && (region.minor == question.minor || region.minor == MINOR_ANY)
}
