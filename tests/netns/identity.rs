//! Who holds an address, and for how long.

use std::time::Duration;

use anyhow::Result;
use enforcer_lab::mark::Refusal;
use enforcer_lab::policy::Kind;
use enforcer_lab::wait;
use enforcer_tests::net::{How, Net};
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

pub(crate) const CASES: &[Case<Net>] = &[
    Case {
        name: "identity::an_address_reused_by_another_tenant_brings_nothing_along",
        reasons: NO_RULE,
        run: reused,
    },
    Case { name: "identity::a_lapsed_lease_ends_cross_tenant_use_only", reasons: LEASE, run: lease },
    Case { name: "identity::a_stale_generation_does_not_take_an_address_back", reasons: NO_RULE, run: stale },
];

const NO_RULE: &[&str] = &["cross_tenant_no_rule"];
const LEASE: &[&str] = &["lease_expired"];
const LIMIT: Duration = Duration::from_secs(10);

fn workload(net: &Net, name: &str, tenant: &str) -> Result<Value> {
    let topology = net.lab().topology();
    let of = topology.workload(name).ok_or_else(|| anyhow::anyhow!("no workload {name}"))?;
    Ok(json!({
        "tenant": tenant,
        "node": of.node,
        "cgroup": topology.cgroup_in_node(of),
        "interface": of.interface,
        "addresses": [of.v4, of.v6],
    }))
}

/// The pod of t1 goes, one of t2 comes with its address, and a connection of the old days stops.
fn reused(net: &mut Net) -> Result<()> {
    let server = net.lab().probe("n1-t1-p2")?.start(&["listen", "8090"])?;
    let to = std::net::SocketAddr::new(net.address("n1-t1-p2", false)?, 8090).to_string();
    let client = net.lab().probe("n1-t1-p1")?.start(&["talk", &to])?;
    client.flows(20, LIMIT)?;
    let successor = workload(net, "n1-t1-p2", "t2")?;
    let policy = net.policy().without(Kind::Workload, "n1-t1-p2");
    net.apply(&policy.with(Kind::Workload, "n1-successor", successor))?;
    client.stops(Duration::from_millis(500), LIMIT)?;
    server.stops(Duration::from_millis(500), LIMIT)?;
    net.denied("n1-t1-p1", "n1-t1-p2", How::Tcp(8080), Refusal::no_rule("t1", "t2"))?;
    net.allowed("n2-t2-p1", "n1-t1-p2", How::Tcp(8080))?;
    net.allowed("n1-t1-p2", "n2-t2-p1", How::Tcp(8080))
}

/// The control plane is away for longer than the lease of a workload on another node.
fn lease(net: &mut Net) -> Result<()> {
    let policy = net.policy().with_rule("open", "t1", "t2", "allow", &json!(null));
    net.apply(&policy.with_word(Kind::Workload, "n2-t2-p1", "lease", json!("2s")))?;
    net.allowed("n1-t1-p1", "n2-t2-p1", How::Tcp(8080))?;
    let probe = net.lab().probe("n1-t1-p1")?;
    wait::until_true("the lease lapses", LIMIT, || {
        Ok(net.attempt(&probe, "n2-t2-p1", How::Tcp(8080))?.is_denied())
    })?;
    let refusal =
        Refusal { source: "t1", destination: "t2", reason: "lease_expired", rule: "no-rule-matched" };
    net.denied("n1-t1-p1", "n2-t2-p1", How::Tcp(8080), refusal)?;
    net.allowed("n1-t1-p1", "n2-t2-p2", How::Tcp(8080))?;
    net.allowed("n1-t2-p1", "n2-t2-p1", How::Tcp(8080))
}

/// A late message about who held an address before must not win.
fn stale(net: &mut Net) -> Result<()> {
    let policy = net.policy().without(Kind::Workload, "n2-t1-p2");
    let (v4, node) = (net.address("n2-t1-p2", false)?, net.lab().node("n1")?);
    let binding = |tenant: &str, generation: u64| json!({ "address": v4.to_string(), "tenant": tenant, "generation": generation });
    let name = v4.to_string();
    let held = policy.clone().with(Kind::Binding, &name, binding("t2", 5));
    net.lab().apply_on(node, &held)?;
    let late = policy.with(Kind::Binding, &name, binding("t1", 4)).yaml_for(net.lab().topology(), node);
    let answer = net.ctl("n1")?.call(&["apply", "-f", "-"], &late)?;
    anyhow::ensure!(answer.code == 1, "an older generation was taken: {}{}", answer.out, answer.err);
    net.denied("n1-t1-p1", "n2-t1-p2", How::Tcp(8080), Refusal::no_rule("t1", "t2"))
}
