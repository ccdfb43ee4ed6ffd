//! The node itself, other nodes, and workloads that use the node's network.

use anyhow::{Result, ensure};
use enforcer_lab::mark::Refusal;
use enforcer_lab::outcome::Outcome;
use enforcer_lab::policy::Kind;
use enforcer_tests::net::{HOST_NETWORK_PORT, HOST_PORT, How, Net};
use enforcer_tests::runner::Case;
use serde_json::json;

pub(crate) const CASES: &[Case<Net>] = &[
    Case { name: "host::reaches_its_workloads", reasons: &[], run: host_to_workload },
    Case { name: "host::is_out_of_a_workloads_reach_without_a_rule", reasons: HOST, run: workload_to_host },
    Case { name: "host::another_node_needs_a_rule", reasons: REMOTE, run: other_node },
    Case {
        name: "host::a_workload_on_its_network_reaches_its_own_tenant",
        reasons: &[],
        run: on_host_allowed,
    },
    Case {
        name: "host::a_workload_on_its_network_is_refused_at_connect",
        reasons: NO_RULE,
        run: on_host_denied,
    },
    Case {
        name: "host::a_workload_on_its_network_is_reached_by_its_own_tenant",
        reasons: &["cross_tenant_no_rule", "host_no_rule"],
        run: to_on_host,
    },
    Case {
        name: "host::two_tenants_on_its_network_are_apart_on_loopback",
        reasons: NO_RULE,
        run: on_loopback,
    },
];

const HOST: &[&str] = &["host_no_rule"];
const REMOTE: &[&str] = &["remote_node_no_rule", "host_no_rule"];
const NO_RULE: &[&str] = &["cross_tenant_no_rule"];

fn host_to_workload(net: &mut Net) -> Result<()> {
    How::EACH.into_iter().try_for_each(|how| net.allowed("n1", "n1-t1-p1", how))
}

fn workload_to_host(net: &mut Net) -> Result<()> {
    let refusal =
        Refusal { source: "t1", destination: "host", reason: "host_no_rule", rule: "no-rule-matched" };
    for how in [How::Tcp(HOST_PORT), How::Udp(HOST_PORT), How::Icmp, How::Tcp6(HOST_PORT), How::Icmp6] {
        net.denied("n1-t1-p1", "n1", how, refusal)?;
    }
    let rule = json!({
        "from": { "tenant": "t1" },
        "to": { "host": {} },
        "ports": [{ "protocol": "TCP", "port": HOST_PORT }],
        "action": "allow",
    });
    net.apply(&net.policy().with(Kind::Rule, "t1-to-host", rule))?;
    net.allowed("n1-t1-p1", "n1", How::Tcp(HOST_PORT))?;
    net.allowed("n1-t1-p1", "n1", How::Tcp6(HOST_PORT))?;
    net.denied("n1-t1-p1", "n1", How::Udp(HOST_PORT), refusal)?;
    net.denied("n1-t2-p1", "n1", How::Tcp(HOST_PORT), Refusal { source: "t2", ..refusal })
}

fn other_node(net: &mut Net) -> Result<()> {
    let refusal = Refusal {
        source: "remote-node",
        destination: "t1",
        reason: "remote_node_no_rule",
        rule: "no-rule-matched",
    };
    let node = net.lab().probe("n2")?;
    net.denied_by(&node, "n1", "n1-t1-p1", How::Tcp(8080), refusal)?;
    net.denied_by(&node, "n1", "n1-t1-p1", How::Icmp6, refusal)?;
    let away = Refusal { source: "t1", destination: "remote-node", ..refusal };
    net.denied("n1-t1-p1", "n2", How::Tcp(HOST_PORT), away)?;
    let rule = json!({ "from": { "remoteNode": {} }, "to": { "tenant": "t1" }, "action": "allow" });
    net.apply(&net.policy().with(Kind::Rule, "from-nodes", rule))?;
    net.allowed("n2", "n1-t1-p1", How::Tcp(8080))
}

fn on_host_allowed(net: &mut Net) -> Result<()> {
    How::EACH.into_iter().try_for_each(|how| net.allowed("n1-t1-host", "n1-t1-p1", how))
}

fn on_host_denied(net: &mut Net) -> Result<()> {
    let probe = net.lab().probe("n1-t1-host")?;
    for how in [How::Tcp(8080), How::Udp(8080), How::Tcp6(8080), How::Udp6(8080)] {
        let outcome = net.attempt(&probe, "n1-t2-p1", how)?;
        ensure!(outcome == Outcome::NotPermitted, "{how:?}: expected EPERM at once, saw {outcome}");
        net.denied_by(&probe, "n1", "n1-t2-p1", how, Refusal::no_rule("t1", "t2"))?;
    }
    net.denied_by(&probe, "n1", "n1-t2-p1", How::Icmp, Refusal::no_rule("t1", "t2"))
}

/// TCP to the node's address is left to the receiving socket, which knows its tenant. UDP is traffic to the host
/// first (the socket may be a tunnel's, which asks nobody), and then to the socket's tenant.
fn to_on_host(net: &mut Net) -> Result<()> {
    let port = HOST_NETWORK_PORT + 1;
    let (tcp, udp) = ([How::Tcp(port), How::Tcp6(port)], [How::Udp(port), How::Udp6(port)]);
    for how in tcp {
        net.allowed("n1-t1-p1", "n1-t1-host", how)?;
        net.denied("n1-t2-p1", "n1-t1-host", how, Refusal::no_rule("t2", "t1"))?;
        net.allowed("n1", "n1-t1-host", how)?;
    }
    let to_host =
        Refusal { source: "t1", destination: "host", reason: "host_no_rule", rule: "no-rule-matched" };
    for how in udp {
        net.denied("n1-t1-p1", "n1-t1-host", how, to_host)?;
        net.allowed("n1", "n1-t1-host", how)?;
    }
    let rule = |tenant: &str| {
        json!({
            "from": { "tenant": tenant },
            "to": { "host": {} },
            "ports": [{ "protocol": "UDP", "port": port }],
            "action": "allow",
        })
    };
    let policy = net.policy().with(Kind::Rule, "t1-to-host", rule("t1"));
    net.apply(&policy.with(Kind::Rule, "t2-to-host", rule("t2")))?;
    for how in udp {
        net.allowed("n1-t1-p1", "n1-t1-host", how)?;
        net.denied("n1-t2-p1", "n1-t1-host", how, Refusal::no_rule("t2", "t1"))?;
    }
    Ok(())
}

/// They share the address, so only the sockets tell them apart.
fn on_loopback(net: &mut Net) -> Result<()> {
    let loopback = "127.0.0.1".parse()?;
    let own =
        net.attempt_address(&net.lab().probe("n1-t1-host")?, loopback, How::Tcp(HOST_NETWORK_PORT + 1))?;
    ensure!(own == Outcome::Ok, "its own tenant on loopback: {own}");
    let evidence = net.evidence("n1")?;
    let other =
        net.attempt_address(&net.lab().probe("n1-t2-host")?, loopback, How::Tcp(HOST_NETWORK_PORT + 1))?;
    ensure!(other.is_denied(), "another tenant on loopback: {other}");
    evidence.tells(Refusal::no_rule("t2", "t1"), |record| record["destination"]["address"] == "127.0.0.1")
}
