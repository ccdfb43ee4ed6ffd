//! To whom the kubelet gave which device, and which tenant that is.

use std::collections::{BTreeMap, BTreeSet};

use crate::device::number::DeviceNumber;
use crate::node::NodeFacts;
use crate::policy::compile::node::is_local;
use crate::policy::model::{Name, Policy};

/// A pod, as Kubernetes names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Pod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Everything that the kubelet says of devices that are gated here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Which pods were given a device.
    pub devices: BTreeMap<DeviceNumber, BTreeSet<Pod>>,
    /// Ids of which nobody here could say which device they are. With any of these it is not known that a device was
    /// given to nobody.
    pub unmapped: BTreeSet<String>,
}

/// Whose a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// This tenant's.
    Tenant(Name),
    /// The policy does not say.
    Unknown,
}

/// A device that was given away, with the tenants of those that have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Tenants that were given it.
    pub tenants: BTreeSet<Name>,
    /// Pods of which the policy does not say whose they are.
    pub strangers: BTreeSet<Pod>,
}

impl Allocated {
    /// Whose the pods are.
    #[must_use]
    pub fn of(policy: &Policy, facts: &NodeFacts, pods: &BTreeSet<Pod>) -> Self {
        let mut allocated = Self::default();
        for pod in pods {
            match tenancy(policy, facts, pod) {
                Tenancy::Tenant(name) => drop(allocated.tenants.insert(name)),
                Tenancy::Unknown => drop(allocated.strangers.insert(pod.clone())),
            }
        }
        allocated
    }
}

/// Whose a pod is: of the workloads that the policy has in its namespace on this node, the one of its name, or all of
/// them where they are one tenant's. A namespace of several tenants says nothing.
#[must_use]
pub fn tenancy(policy: &Policy, facts: &NodeFacts, pod: &Pod) -> Tenancy {
    let here = policy.workloads.values().filter(|workload| {
        !pod.namespace.is_empty() && workload.namespace == pod.namespace && is_local(facts, workload)
    });
    let mut tenants = BTreeSet::new();
    for workload in here {
        if *workload.name == *pod.name {
            return Tenancy::Tenant(Name::clone(&workload.tenant));
        }
        tenants.insert(&workload.tenant);
    }
    match (tenants.pop_first(), tenants.pop_first()) {
        (Some(tenant), None) => Tenancy::Tenant(Name::clone(tenant)),
        _ => Tenancy::Unknown,
    }
}
