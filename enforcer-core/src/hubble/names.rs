//! What the names in records mean in the policy in force: numbers, namespaces, rules.

use std::sync::Arc;

use enforcer_proto::hubble::flow;

use crate::policy::model::{Name, Policy, Rule, Workload};

/// The cluster that is left out of names.
const DEFAULT_CLUSTER: &str = "default";

/// A policy, and the cluster that this node says it is in.
#[derive(Clone, Debug)]
pub struct Names {
    policy: Arc<Policy>,
    cluster: Arc<str>,
}

impl Names {
    /// Of a policy in force.
    #[must_use]
    pub const fn new(policy: Arc<Policy>, cluster: Arc<str>) -> Self {
        Self { policy, cluster }
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// A node as Hubble names it: with its cluster, unless that is the default one.
    #[must_use]
    pub fn node(&self, name: &str) -> String {
        if &*self.cluster == DEFAULT_CLUSTER { name.to_owned() } else { format!("{}/{name}", self.cluster) }
    }

    /// The number of a tenant; 0 when there is none of that name any more.
    #[must_use]
    pub fn tenant(&self, name: &str) -> u32 {
        self.policy.tenants.get(name).map_or(0, |tenant| tenant.id)
    }

    /// A workload.
    #[must_use]
    pub fn workload(&self, name: &str) -> Option<&Workload> {
        self.policy.workloads.get(name).map(AsRef::as_ref)
    }

    /// A rule.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.policy.rules.get(name).map(AsRef::as_ref)
    }

    /// The namespace of a workload: Kubernetes', or the tenant where there is none.
    #[must_use]
    pub fn namespace(&self, tenant: &str, workload: &str) -> String {
        match self.workload(workload) {
            Some(known) if !known.namespace.is_empty() => known.namespace.clone(),
            _ => tenant.to_owned(),
        }
    }

    /// A rule as Hubble's policies are: the tenant that owns it is its namespace.
    #[must_use]
    pub fn policy_of(&self, rule: &str, owner: &str, revision: u64) -> flow::Policy {
        flow::Policy {
            name: rule.to_owned(),
            namespace: self.owner(rule, owner),
            labels: Vec::new(),
            revision,
            kind: "TenantPolicy".to_owned(),
        }
    }

    /// The owner that a record names, or the policy does.
    #[must_use]
    pub fn owner(&self, rule: &str, told: &str) -> String {
        if !told.is_empty() {
            return told.to_owned();
        }
        self.rule(rule).and_then(Rule::owner).map_or_else(String::new, Name::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::names;

    #[test]
    fn a_namespace_is_kubernetes_or_the_tenant() {
        let names = names();
        assert_eq!(names.namespace("red", "web-0"), "shop");
        assert_eq!(names.namespace("red", "bare"), "red");
        assert_eq!(names.namespace("gone", "gone"), "gone");
    }

    #[test]
    fn the_default_cluster_is_left_out() {
        use std::sync::Arc;
        assert_eq!(names().node("n1"), "n1");
        assert_eq!(super::Names::new(Arc::default(), "prod".into()).node("n1"), "prod/n1");
    }
}
