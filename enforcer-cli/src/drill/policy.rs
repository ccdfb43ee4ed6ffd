//! What the scratch agent is told: its configuration, and the policy of two tenants that have nothing in common.

use std::path::Path;

use clap::ValueEnum;
use enforcer_proto::v1;
use serde_json::{Value, json};

use super::canary::Side;
use super::place::Place;

/// The class that the drill's devices are of. Its major number belongs to no driver.
pub(super) const CLASS: &str = "drill";
/// Tables are small, so that filling one is quick.
const PORTS_MAX: u32 = 256;
/// How long certificates last: the shortest that an agent takes.
const LIFETIME: &str = "10s";
/// Bytes of a part of a name between dots, at most 63.
const LABEL_MAX: usize = 60;
/// The trust domain of a drill; nobody else knows it.
const TRUST_DOMAIN: &str = "drill.internal";

/// The half of the packet mark in which the scratch wall's tags travel. The live wall sees the same packets, since the
/// drill's groups are in its tree, and writes its own tag: in the same bits it would write over the scratch wall's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tag {
    /// The lower: a wall has the upper when its configuration says nothing else.
    #[default]
    Low,
    /// The upper.
    High,
}

impl Tag {
    fn config(self) -> Value {
        match self {
            Self::Low => json!({ "mask": "0x0000ffff", "shift": 0 }),
            Self::High => json!({ "mask": "0xffff0000", "shift": 16 }),
        }
    }
}

/// The agent's configuration. JSON is YAML.
pub(super) fn config(place: &Place, tag: Tag, gate: &str) -> Value {
    let Place { base, cgroup, major } = place;
    json!({
        "nodeName": "drill",
        "stateDirectory": base.join("state"),
        "socket": { "path": socket(base) },
        "pinDirectory": base.join("bpf/pins"),
        "cgroupRoot": cgroup,
        "deviceGate": {
            "mode": gate,
            "extraClasses": [{ "name": CLASS, "kind": "char", "major": major, "role": "accelerator" }],
        },
        "tag": tag.config(),
        "capacities": { "ports": PORTS_MAX },
        "identity": {
            "trustDomain": TRUST_DOMAIN,
            "socket": workload_socket(base),
            "key": { "file": base.join("key") },
            "lifetimes": { "svid": LIFETIME },
        },
        "trace": { "enabled": false },
        "log": { "format": "text" },
    })
}

/// Where the scratch agent listens.
pub(super) fn socket(base: &Path) -> std::path::PathBuf {
    base.join("agent.sock")
}

/// Where it serves its canaries.
pub(super) fn workload_socket(base: &Path) -> std::path::PathBuf {
    base.join("workload.sock")
}

/// Two tenants, a workload and a device each. With `audit` the network wall only looks on.
pub(super) fn base(audit: bool) -> Vec<Value> {
    let mut documents = Vec::new();
    for side in Side::BOTH {
        let tenant = side.tenant();
        let mut spec = json!({
            "id": side.id(),
            "tier": "shared",
            "dataClassification": "internal",
            "devices": [{ "class": CLASS, "minors": [side.minor()] }],
        });
        if audit {
            spec["mode"] = json!("audit");
        }
        documents.push(document("Tenant", json!({ "name": tenant }), &spec));
        let name = json!({ "name": side.workload(), "namespace": "drill" });
        let spec = json!({
            "tenant": tenant,
            "cgroup": side.cgroup(),
            "hostNetwork": true,
            "serviceAccount": side.workload(),
        });
        documents.push(document("Workload", name, &spec));
        // A datagram to an address of the node is the node's first, and its socket's tenant's then.
        let spec = json!({
            "from": { "tenant": tenant },
            "to": { "host": {} },
            "ports": Side::BOTH.map(|side| json!({ "protocol": "UDP", "port": side.port() })),
            "action": "allow",
        });
        documents.push(document("Rule", json!({ "name": format!("{tenant}-datagrams") }), &spec));
    }
    documents
}

/// Rules on ports that no canary uses.
pub(super) fn bulk(count: u16) -> Vec<Value> {
    // Long names, so that one change needs more than the last block of a file.
    let pad = ["x"; 3].map(|x| x.repeat(LABEL_MAX)).join(".");
    let rule = |number: u16| {
        let spec = json!({
            "from": { "tenant": Side::A.tenant() },
            "to": { "tenant": Side::B.tenant() },
            "ports": [{ "protocol": "TCP", "port": 20_000 + 2 * number }],
            "action": "allow",
        });
        document("Rule", json!({ "name": format!("bulk-{number}.{pad}") }), &spec)
    };
    (0..count).map(rule).collect()
}

/// As the agent is asked to put them in force: these and nothing else.
pub(super) fn request(documents: &[Value]) -> v1::ApplyRequest {
    let items = documents.iter().enumerate().map(|(number, document)| v1::Document {
        name: format!("drill-{number}"),
        content: document.to_string(),
    });
    let documents = v1::Documents { items: items.collect(), prune: true };
    v1::ApplyRequest { base_revision: None, change: Some(v1::apply_request::Change::Documents(documents)) }
}

fn document(kind: &str, metadata: Value, spec: &Value) -> Value {
    json!({ "apiVersion": "enforcer.dev/v1", "kind": kind, "metadata": metadata, "spec": spec })
}
