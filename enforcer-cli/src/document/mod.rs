//! Policy objects as the documents that `apply -f` takes: what `get -o yaml` prints can be applied again.

pub(crate) mod binding;
pub(crate) mod lease;
pub(crate) mod rule;
pub(crate) mod tenant;
mod words;
pub(crate) mod workload;

use enforcer_proto::v1;
use prost_types::Timestamp;
use serde::Serialize;

use crate::console;
use crate::failure::Failure;

const API_VERSION: &str = "enforcer.dev/v1";

/// One document.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    api_version: &'static str,
    pub(crate) kind: Kind,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Kind {
    Tenant,
    Workload,
    Rule,
    Binding,
}

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
}

/// What an object says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Spec {
    Tenant(tenant::TenantSpec),
    Workload(workload::WorkloadSpec),
    Rule(rule::RuleSpec),
    Binding(binding::BindingSpec),
}

impl Kind {
    /// In the order in which they build on each other.
    pub(crate) const ALL: [Self; 4] = [Self::Tenant, Self::Workload, Self::Rule, Self::Binding];

    /// For messages.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Workload => "workload",
            Self::Rule => "rule",
            Self::Binding => "binding",
        }
    }
}

impl Document {
    /// Of a tenant.
    pub(crate) fn tenant(tenant: v1::Tenant) -> Result<Self, Failure> {
        let name = tenant.name.clone();
        Ok(Self::new(Kind::Tenant, name, Spec::Tenant(tenant::TenantSpec::try_from(tenant)?)))
    }

    /// Of a workload.
    pub(crate) fn workload(mut workload: v1::Workload) -> Result<Self, Failure> {
        let name = workload.name.clone();
        let namespace = std::mem::take(&mut workload.namespace);
        let spec = Spec::Workload(workload::WorkloadSpec::try_from(workload)?);
        let mut document = Self::new(Kind::Workload, name, spec);
        document.metadata.namespace = namespace;
        Ok(document)
    }

    /// Of a rule.
    pub(crate) fn rule(rule: v1::Rule) -> Result<Self, Failure> {
        let name = rule.name.clone();
        Ok(Self::new(Kind::Rule, name, Spec::Rule(rule::RuleSpec::try_from(rule)?)))
    }

    /// Of a binding, which is named by its address.
    pub(crate) fn binding(binding: v1::Binding) -> Result<Self, Failure> {
        let name = binding.address.clone();
        Ok(Self::new(Kind::Binding, name, Spec::Binding(binding::BindingSpec::try_from(binding)?)))
    }

    /// True when the object belongs to a tenant, or names it.
    pub(crate) fn names_tenant(&self, tenant: &str) -> bool {
        match &self.spec {
            Spec::Tenant(_) => self.metadata.name == tenant,
            Spec::Workload(spec) => spec.tenant == tenant,
            Spec::Rule(spec) => spec.names_tenant(tenant),
            Spec::Binding(spec) => spec.holder.is_tenant(tenant),
        }
    }

    /// The same with what is left of its lease; `None` when nothing is.
    fn applicable(&self, now: &Timestamp) -> Option<Self> {
        let mut document = self.clone();
        match &mut document.spec {
            Spec::Workload(spec) => spec.lease = spec.lease.left(now)?,
            Spec::Binding(spec) => spec.lease = spec.lease.left(now)?,
            Spec::Tenant(_) | Spec::Rule(_) => {}
        }
        Some(document)
    }

    fn new(kind: Kind, name: String, spec: Spec) -> Self {
        Self { api_version: API_VERSION, kind, metadata: Metadata { name, namespace: String::new() }, spec }
    }
}

/// Every object of a policy. Retired numbers are the node's memory and no object: they have no document.
pub(crate) fn of_snapshot(snapshot: v1::Snapshot) -> Result<Vec<Document>, Failure> {
    let v1::Snapshot { tenants, workloads, rules, bindings, retired_ids: _ } = snapshot;
    let tenants = tenants.into_iter().map(Document::tenant);
    let workloads = workloads.into_iter().map(Document::workload);
    let rules = rules.into_iter().map(Document::rule);
    let bindings = bindings.into_iter().map(Document::binding);
    tenants.chain(workloads).chain(rules).chain(bindings).collect()
}

/// Documents one after the other, in YAML, as they can be applied now. An object whose lease has run out is
/// a comment: a file can only ask for a new lease, and nobody has.
pub(crate) fn stream(documents: &[Document], now: &Timestamp) -> Result<String, Failure> {
    let mut text = String::new();
    for document in documents {
        match document.applicable(now) {
            Some(document) => {
                text.push_str("---\n");
                text.push_str(&console::yaml(&document)?);
            }
            None => {
                text.push_str(
                    "# Left out, because its lease has run out; state a new `lease` to have it back:\n",
                );
                for line in console::yaml(document)?.lines() {
                    text.push_str(&format!("# {line}\n"));
                }
            }
        }
    }
    Ok(text)
}
