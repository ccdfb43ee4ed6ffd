//! The policy of a lab, as documents that can be changed before they are applied. It must not know what a
//! policy means: that is for the agent to say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::topology::{Node, Topology};
use crate::yaml;

/// The namespace of every workload of a lab; its service account is its name.
pub const NAMESPACE: &str = "lab";

/// Documents by kind and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    documents: BTreeMap<(Kind, String), Value>,
}

/// Kinds of documents, in the order in which people read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A tenant.
    Tenant,
    /// A workload.
    Workload,
    /// A rule.
    Rule,
    /// A binding.
    Binding,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Tenant => "Tenant",
            Self::Workload => "Workload",
            Self::Rule => "Rule",
            Self::Binding => "Binding",
        }
    }
}

impl Policy {
    /// Every tenant and workload of a lab; no rule, so that tenants are apart.
    #[must_use]
    pub fn of(topology: &Topology) -> Self {
        let mut policy = Self::default();
        for (name, id) in topology.tenants() {
            policy.put(
                Kind::Tenant,
                &name,
                json!({ "id": id, "tier": "shared", "dataClassification": "internal" }),
            );
        }
        for workload in &topology.workloads {
            let mut spec = json!({
                "tenant": workload.tenant,
                "node": workload.node,
                "cgroup": topology.cgroup_in_node(workload),
                "serviceAccount": workload.name,
            });
            if let (Some(interface), Some(v4), Some(v6)) = (&workload.interface, workload.v4, workload.v6) {
                spec["interface"] = json!(interface);
                spec["addresses"] = json!([v4, v6]);
            } else {
                spec["hostNetwork"] = json!(true);
            }
            policy.put(Kind::Workload, &workload.name, spec);
        }
        policy
    }

    /// Adds or replaces a document.
    pub fn put(&mut self, kind: Kind, name: &str, spec: Value) {
        self.documents.insert((kind, name.to_owned()), spec);
    }

    /// The same policy with another document.
    #[must_use]
    pub fn with(mut self, kind: Kind, name: &str, spec: Value) -> Self {
        self.put(kind, name, spec);
        self
    }

    /// The same policy with a rule between two tenants; `ports` may be null for all.
    #[must_use]
    pub fn with_rule(self, name: &str, from: &str, to: &str, action: &str, ports: &Value) -> Self {
        let mut spec = json!({ "from": { "tenant": from }, "to": { "tenant": to }, "action": action });
        if !ports.is_null() {
            spec["ports"] = ports.clone();
        }
        self.with(Kind::Rule, name, spec)
    }

    /// The same policy with a rule that lets one tenant reach another over mutual TLS alone.
    #[must_use]
    pub fn with_tunnel(self, name: &str, from: &str, to: &str, ports: &Value) -> Self {
        let rule = self.with_rule(name, from, to, "allow", ports);
        rule.with_word(Kind::Rule, name, "mtlsRequired", json!(true))
    }

    /// The same policy with one word of a document changed; a null takes the word away.
    #[must_use]
    pub fn with_word(mut self, kind: Kind, name: &str, word: &str, value: Value) -> Self {
        if let Some(spec) = self.documents.get_mut(&(kind, name.to_owned())).and_then(Value::as_object_mut) {
            if value.is_null() {
                spec.remove(word);
            } else {
                spec.insert(word.to_owned(), value);
            }
        }
        self
    }

    /// The same policy without a document.
    #[must_use]
    pub fn without(mut self, kind: Kind, name: &str) -> Self {
        self.documents.remove(&(kind, name.to_owned()));
        self
    }

    /// As a node gets it: with the other nodes' own addresses bound to `remoteNode`.
    #[must_use]
    pub fn yaml_for(&self, topology: &Topology, node: &Node) -> String {
        let mut all = self.clone();
        for other in topology.nodes.iter().filter(|other| other.number != node.number) {
            for address in [other.v4.to_string(), other.v6.to_string()] {
                let spec = json!({ "address": address, "remoteNode": {}, "generation": 1 });
                all.put(Kind::Binding, &address, spec);
            }
        }
        all.yaml()
    }

    /// As one file.
    #[must_use]
    pub fn yaml(&self) -> String {
        let documents: Vec<Value> =
            self.documents.iter().map(|((kind, name), spec)| document(*kind, name, spec)).collect();
        yaml::documents(&documents)
    }
}

fn document(kind: Kind, name: &str, spec: &Value) -> Value {
    // A binding's name is its address, which the specification already has.
    let metadata = match kind {
        Kind::Binding => json!({}),
        Kind::Workload => json!({ "name": name, "namespace": NAMESPACE }),
        Kind::Tenant | Kind::Rule => json!({ "name": name }),
    };
    let mut document = json!({ "apiVersion": "enforcer.dev/v1", "kind": kind.word() });
    if metadata.as_object().is_some_and(|metadata| !metadata.is_empty()) {
        document["metadata"] = metadata;
    }
    document["spec"] = spec.clone();
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    #[test]
    fn a_node_is_told_of_the_others_and_not_of_itself() {
        let topology = Topology::of(&Spec::new("lab".parse().unwrap(), 2, 1, 1).unwrap());
        let yaml = Policy::of(&topology).yaml_for(&topology, &topology.nodes[0]);
        assert!(yaml.contains("address: \"10.0.0.2\""), "{yaml}");
        assert!(!yaml.contains("address: \"10.0.0.1\""), "{yaml}");
        assert!(yaml.contains("hostNetwork: true"));
    }

    #[test]
    fn words_come_and_go() {
        let policy = Policy::default().with_rule("r", "a", "b", "allow", &Value::Null);
        let audited = policy.clone().with_word(Kind::Rule, "r", "mode", json!("audit"));
        assert_ne!(policy, audited);
        assert_eq!(audited.with_word(Kind::Rule, "r", "mode", Value::Null), policy);
    }
}
