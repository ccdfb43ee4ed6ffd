//! Addresses outside the fleet.

use anyhow::{Result, ensure};
use enforcer_lab::mark::Refusal;
use enforcer_lab::outcome::Outcome;
use enforcer_lab::policy::Kind;
use enforcer_tests::net::{How, Net};
use enforcer_tests::runner::Case;
use serde_json::json;

pub(crate) const CASES: &[Case<Net>] = &[
    Case { name: "world::is_out_of_reach_without_an_egress_rule", reasons: UNBOUND, run: closed },
    Case {
        name: "world::a_prefix_is_open_but_for_its_exception",
        reasons: UNBOUND,
        run: prefix_with_exception,
    },
    Case { name: "world::comes_in_by_a_rule_only", reasons: UNBOUND, run: ingress },
    Case { name: "world::an_address_without_a_binding_has_its_own_reason", reasons: UNBOUND, run: unbound },
];

const UNBOUND: &[&str] = &["destination_unbound", "source_unbound"];

const OUT: Refusal<'_> =
    Refusal { source: "t1", destination: "world", reason: "destination_unbound", rule: "no-rule-matched" };
const IN: Refusal<'_> =
    Refusal { source: "world", destination: "t1", reason: "source_unbound", rule: "no-rule-matched" };

fn closed(net: &mut Net) -> Result<()> {
    net.denied("n1-t1-p1", "world", How::Tcp(8080), OUT)?;
    net.denied("n1-t1-p1", "world", How::Tcp6(8080), OUT)
}

fn prefix_with_exception(net: &mut Net) -> Result<()> {
    let block = json!({ "cidr": "203.0.113.0/24", "except": ["203.0.113.99/32"] });
    let egress = json!([{ "ipBlock": block, "ports": [{ "protocol": "TCP", "port": 8080 }] }]);
    net.apply(&net.policy().with_word(Kind::Tenant, "t1", "egress", egress))?;
    net.allowed("n1-t1-p1", "world", How::Tcp(8080))?;
    net.denied("n1-t1-p1", "world", How::Icmp, OUT)?;
    net.denied("n1-t2-p1", "world", How::Tcp(8080), Refusal { source: "t2", ..OUT })?;
    let excepted = "203.0.113.99".parse()?;
    let evidence = net.evidence("n1")?;
    for probe in [net.lab().probe("n1-t1-p1")?, net.outsider("n1-t1-p1")?] {
        let outcome = net.attempt_address(&probe, excepted, How::Tcp(8080))?;
        ensure!(outcome.is_denied(), "the exception: {outcome}");
    }
    evidence.tells(OUT, |record| record["destination"]["address"] == "203.0.113.99")
}

fn ingress(net: &mut Net) -> Result<()> {
    let world = net.lab().probe("world")?;
    net.denied_by(&world, "n1", "n1-t1-p1", How::Tcp(8080), IN)?;
    let rule = json!({
        "from": { "ipBlock": { "cidr": "10.0.0.254/32" } },
        "to": { "tenant": "t1" },
        "ports": [{ "protocol": "TCP", "port": 8080 }],
        "action": "allow",
    });
    net.apply(&net.policy().with(Kind::Rule, "from-world", rule))?;
    let outcome = net.attempt(&world, "n1-t1-p1", How::Tcp(8080))?;
    ensure!(outcome == Outcome::Ok, "the rule lets 10.0.0.254 in: {outcome}");
    net.denied_by(&world, "n1", "n1-t1-p1", How::Tcp(8081), IN)
}

/// A workload that the policy does not have is nobody: neither reached nor heard by those it has.
fn unbound(net: &mut Net) -> Result<()> {
    net.apply(&net.policy().without(Kind::Workload, "n2-t1-p2"))?;
    net.denied("n1-t1-p1", "n2-t1-p2", How::Tcp(8080), OUT)?;
    let nobody = net.lab().probe("n2-t1-p2")?;
    net.denied_by(&nobody, "n1", "n1-t1-p1", How::Tcp(8080), IN)
}
