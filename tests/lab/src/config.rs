//! What differs between the agents of a lab, as the agent's configuration file has it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::cgroup;
use crate::topology::Node;

/// The trust domain of every lab.
pub const TRUST_DOMAIN: &str = "lab.internal";

/// Where a node serves its workloads.
#[must_use]
pub fn workload_socket(node: &Node) -> PathBuf {
    node.dir.join("workload").join("api.sock")
}

/// Where a node's key-encryption key is.
#[must_use]
pub fn key_file(node: &Node) -> PathBuf {
    node.dir.join("key-encryption.key")
}

/// Words for an agent's configuration beside those that follow from its node.
#[derive(Clone, Debug, Default)]
pub struct Config {
    extra: Map<String, Value>,
    identity: Option<Map<String, Value>>,
    environment: Vec<(String, OsString)>,
}

impl Config {
    /// Adds or replaces a word at the top of the file.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.extra.insert(name.to_owned(), value);
        self
    }

    /// Adds or replaces words of the section `identity`, beside those that every node has.
    #[must_use]
    pub fn with_identity(mut self, words: &Value) -> Self {
        let identity = self.identity.get_or_insert_with(Map::new);
        identity.extend(words.as_object().cloned().unwrap_or_default());
        self
    }

    /// Adds a variable to the agent's environment.
    #[must_use]
    pub fn with_environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// What the agent's environment has beside this process's.
    #[must_use]
    pub fn environment(&self) -> &[(String, OsString)] {
        &self.environment
    }

    /// True when a node's key-encryption key is in a file that its operator makes.
    #[must_use]
    pub fn has_key_file(&self) -> bool {
        let key = self.identity.as_ref().and_then(|words| words.get("key"));
        key.is_none_or(|key| key.get("file").is_some())
    }

    /// The device gate's mode and the control groups that pass it, by name and path below the node's root.
    #[must_use]
    pub fn with_gate(self, mode: &str, services: &[(&str, &str)]) -> Self {
        let services: Vec<Value> =
            services.iter().map(|(name, cgroup)| json!({ "name": name, "cgroup": cgroup })).collect();
        self.with("deviceGate", json!({ "mode": mode, "hostServices": services }))
    }

    /// Writes the file of a node. JSON is YAML.
    ///
    /// # Errors
    /// It could not be written.
    pub fn write(&self, node: &Node, path: &Path) -> Result<()> {
        let mut words = json!({
            "nodeName": node.name,
            "stateDirectory": node.dir.join("state"),
            "socket": { "path": node.socket },
            "pinDirectory": node.pins,
            "cgroupRoot": cgroup::dir(&node.cgroup)?,
            "identity": {
                "trustDomain": TRUST_DOMAIN,
                "socket": workload_socket(node),
                "key": { "file": key_file(node) },
            },
            "log": { "format": "json" },
        });
        if let Some(words) = words.as_object_mut() {
            let identity = words.get_mut("identity").and_then(Value::as_object_mut);
            if let (Some(identity), Some(more)) = (identity, &self.identity) {
                identity.extend(more.clone());
            }
            words.extend(self.extra.clone());
        }
        let text = serde_json::to_string_pretty(&words).context("configuration")?;
        std::fs::write(path, text).with_context(|| format!("{}", path.display()))
    }
}
