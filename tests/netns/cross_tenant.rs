//! Tenants do not reach each other without a rule.

use anyhow::Result;
use enforcer_lab::mark::Refusal;
use enforcer_tests::net::{How, Net};
use enforcer_tests::runner::Case;
use serde_json::json;

pub(crate) const CASES: &[Case<Net>] = &[
    Case { name: "cross_tenant::denied_both_ways_on_one_node", reasons: NO_RULE, run: on_one_node },
    Case { name: "cross_tenant::denied_both_ways_between_nodes", reasons: NO_RULE, run: on_two_nodes },
    Case { name: "cross_tenant::a_rule_one_way_opens_no_way_back", reasons: NO_RULE, run: one_way },
    Case { name: "cross_tenant::every_tier_has_the_flow_gate", reasons: NO_RULE, run: every_tier },
    Case { name: "cross_tenant::fragments_are_denied_too", reasons: FRAGMENTS, run: fragments },
];

const NO_RULE: &[&str] = &["cross_tenant_no_rule"];
const FRAGMENTS: &[&str] = &["cross_tenant_no_rule", "fragment_untracked"];

fn on_one_node(net: &mut Net) -> Result<()> {
    both_ways(net, "n1-t1-p1", "n1-t2-p1")
}

fn on_two_nodes(net: &mut Net) -> Result<()> {
    both_ways(net, "n1-t1-p1", "n2-t2-p1")
}

fn both_ways(net: &Net, one: &str, two: &str) -> Result<()> {
    How::EACH.into_iter().try_for_each(|how| {
        net.denied(one, two, how, Refusal::no_rule("t1", "t2"))?;
        net.denied(two, one, how, Refusal::no_rule("t2", "t1"))
    })
}

fn one_way(net: &mut Net) -> Result<()> {
    net.apply(&net.policy().with_rule("t1-to-t2", "t1", "t2", "allow", &json!(null)))?;
    How::EACH.into_iter().try_for_each(|how| {
        net.allowed("n1-t1-p1", "n2-t2-p1", how)?;
        net.denied("n2-t2-p1", "n1-t1-p1", how, Refusal::no_rule("t2", "t1"))
    })
}

/// The tiers that this kernel can grant; `isolated` and `dedicated` need what the node may not have, and are
/// refused then, which a test of the policy's own says.
fn every_tier(net: &mut Net) -> Result<()> {
    for tier in ["shared", "partitioned"] {
        let mut policy = net.policy();
        for tenant in ["t1", "t2"] {
            policy = policy.with_word(enforcer_lab::policy::Kind::Tenant, tenant, "tier", json!(tier));
        }
        net.apply(&policy)?;
        net.allowed("n1-t1-p1", "n2-t1-p1", How::Tcp(8080))?;
        net.denied("n1-t1-p1", "n2-t2-p1", How::Tcp(8080), Refusal::no_rule("t1", "t2"))?;
    }
    Ok(())
}

fn fragments(net: &mut Net) -> Result<()> {
    let to = std::net::SocketAddr::new(net.address("n2-t2-p1", false)?, 8080).to_string();
    let evidence = net.evidence("n1")?;
    let outcome = net.outsider("n1-t1-p1")?.run(&["udp", &to, "--bytes", "9000", "--timeout-ms", "400"])?;
    anyhow::ensure!(outcome.is_denied(), "9000 bytes in fragments to another tenant: {outcome}");
    evidence.tells(Refusal::no_rule("t1", "t2"), |record| record["protocol"] == "UDP")
}
