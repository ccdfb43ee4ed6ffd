//! One trust for every node of a lab: the first node is the authority, and the others are enrolled below it, as
//! an operator would.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::config::{Config, TRUST_DOMAIN};
use crate::ctl::Ctl;
use crate::lab::Lab;
use crate::policy::{NAMESPACE, Policy};
use crate::topology::{Node, Topology, Workload};
use crate::wait;

/// The port of the authority's network door.
const PORT: u16 = 7443;
const LIMIT: Duration = Duration::from_secs(30);

/// The SPIFFE ID that a lab's policy gives a workload.
#[must_use]
pub fn id_of(workload: &Workload) -> String {
    format!("spiffe://{}.{TRUST_DOMAIN}/ns/{NAMESPACE}/sa/{}", workload.tenant, workload.name)
}

/// Starts the agent of every node that has none, each below the first, with the policy in force and every workload
/// supplied with its certificate. `config` has the words of a node beside those that the fleet needs.
///
/// # Errors
/// One did not start, or was not supplied in time.
pub fn start(lab: &mut Lab, policy: &Policy, config: impl Fn(&Node) -> Config) -> Result<()> {
    let nodes = lab.topology().nodes.clone();
    for node in &nodes {
        if !lab.runs_agent(&node.name) {
            start_node(lab, policy, node, config(node))?;
        }
    }
    Ok(())
}

/// Starts one agent of a fleet whose first node runs, or is this one.
///
/// # Errors
/// It did not start, or was not supplied in time.
pub fn start_node(lab: &mut Lab, policy: &Policy, node: &Node, config: Config) -> Result<()> {
    let config = place_in(lab, node, config)?;
    lab.start_agent(&node.name, &config)?;
    lab.apply_on(node, policy)?;
    settle(&lab.ctl(&node.name)?, &node.name)
}

/// A node's configuration with its place in the fleet.
///
/// # Errors
/// The authority does not enrol it.
pub fn place_in(lab: &Lab, node: &Node, config: Config) -> Result<Config> {
    let first = first(lab.topology())?;
    if node.name == first.name {
        return Ok(config.with("listener", door(lab.topology(), first)?));
    }
    let dir = node.dir.join("enrolled");
    if !dir.exists() {
        let written = dir.to_str().context("a path that is not text")?;
        lab.ctl(&first.name)?.run(&["identity", "enroll", "--write", written, &node.name], "")?;
    }
    let grpc = json!({
        "address": format!("https://{}:{PORT}", first.v4),
        "certificate": dir.join("svid.pem"),
        "key": dir.join("svid_key.pem"),
        "ca": dir.join("bundle.pem"),
    });
    Ok(config.with_identity(&json!({ "upstream": { "grpc": grpc } })))
}

/// Waits until every workload of a node has what the policy gives it.
///
/// # Errors
/// It does not, in time; what it has is in the error.
pub fn settle(ctl: &Ctl, node: &str) -> Result<()> {
    let mut last = Value::Null;
    let waited = wait::until_true(&format!("every workload of {node} has its certificate"), LIMIT, || {
        last = ctl.json(&["identity", "list"])?;
        let all = last["identities"].as_array().context("no identities")?;
        Ok(!all.is_empty() && all.iter().all(|one| one["state"] == "valid"))
    });
    waited.with_context(|| format!("{last:#}"))
}

fn first(topology: &Topology) -> Result<&Node> {
    topology.nodes.first().context("a lab without nodes")
}

/// Somebody must be allowed in by name, though nodes come in without.
fn door(topology: &Topology, first: &Node) -> Result<Value> {
    let operator = topology.workloads.iter().find(|workload| workload.node == first.name);
    let operator = operator.context("a node without workloads")?;
    Ok(json!({ "address": format!("{}:{PORT}", first.v4), "allowedSpiffeIds": [id_of(operator)] }))
}
