//! Rules say what they say, and no more.

use anyhow::{Result, ensure};
use enforcer_lab::mark::Refusal;
use enforcer_lab::policy::Kind;
use enforcer_tests::net::{How, Net};
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

pub(crate) const CASES: &[Case<Net>] = &[
    Case { name: "rules::a_rule_allows_only_its_port", reasons: NO_RULE, run: only_its_port },
    Case { name: "rules::a_port_range_ends_where_it_says", reasons: NO_RULE, run: port_range },
    Case { name: "rules::deny_beats_allow", reasons: DENIED, run: deny_beats_allow },
    Case { name: "rules::a_deny_stops_a_tenant_from_itself", reasons: DENIED, run: deny_inside },
    Case { name: "rules::icmp_is_allowed_by_type", reasons: NO_RULE, run: icmp_by_type },
    Case {
        name: "rules::a_tenant_in_audit_passes_and_is_recorded_then_enforced",
        reasons: NO_RULE,
        run: tenant_audit,
    },
    Case { name: "rules::a_rule_in_audit_says_what_it_would_do", reasons: DENIED, run: rule_audit },
    Case { name: "rules::a_refused_push_changes_nothing", reasons: NO_RULE, run: refused_push },
    Case { name: "rules::a_rollback_is_a_new_revision_of_the_old", reasons: NO_RULE, run: rollback },
];

const NO_RULE: &[&str] = &["cross_tenant_no_rule"];
const DENIED: &[&str] = &["rule_denied", "cross_tenant_no_rule"];

fn tcp(port: u16) -> Value {
    json!([{ "protocol": "TCP", "port": port }])
}

fn only_its_port(net: &mut Net) -> Result<()> {
    net.apply(&net.policy().with_rule("web", "t1", "t2", "allow", &tcp(8080)))?;
    net.allowed("n1-t1-p1", "n2-t2-p1", How::Tcp(8080))?;
    net.allowed("n1-t1-p1", "n1-t2-p1", How::Tcp6(8080))?;
    let refusal = Refusal::no_rule("t1", "t2");
    for how in [How::Tcp(8081), How::Udp(8080), How::Tcp6(8081), How::Icmp] {
        net.denied("n1-t1-p1", "n2-t2-p1", how, refusal)?;
    }
    net.denied("n1-t3-p1", "n2-t2-p1", How::Tcp(8080), Refusal::no_rule("t3", "t2"))
}

fn port_range(net: &mut Net) -> Result<()> {
    let ports = json!([{ "protocol": "TCP", "port": 8081, "endPort": 8082 }]);
    net.apply(&net.policy().with_rule("range", "t1", "t2", "allow", &ports))?;
    net.allowed("n1-t1-p1", "n2-t2-p1", How::Tcp(8081))?;
    net.allowed("n1-t1-p1", "n2-t2-p1", How::Tcp(8082))?;
    net.denied("n1-t1-p1", "n2-t2-p1", How::Tcp(8080), Refusal::no_rule("t1", "t2"))?;
    net.denied("n1-t1-p1", "n2-t2-p1", How::Tcp(8083), Refusal::no_rule("t1", "t2"))
}

fn deny_beats_allow(net: &mut Net) -> Result<()> {
    let policy = net.policy().with_rule("all", "t1", "t2", "allow", &json!(null));
    net.apply(&policy.with_rule("not-this", "t1", "t2", "deny", &tcp(8080)))?;
    net.allowed("n1-t1-p1", "n2-t2-p1", How::Tcp(8081))?;
    net.denied("n1-t1-p1", "n2-t2-p1", How::Tcp(8080), denied_by("not-this", "t2"))
}

fn deny_inside(net: &mut Net) -> Result<()> {
    net.apply(&net.policy().with_rule("not-inside", "t1", "t1", "deny", &tcp(8083)))?;
    net.allowed("n1-t1-p1", "n2-t1-p1", How::Tcp(8080))?;
    net.denied("n1-t1-p1", "n2-t1-p1", How::Tcp(8083), denied_by("not-inside", "t1"))
}

const fn denied_by<'a>(rule: &'a str, destination: &'a str) -> Refusal<'a> {
    Refusal { source: "t1", destination, reason: "rule_denied", rule }
}

fn icmp_by_type(net: &mut Net) -> Result<()> {
    let echo = json!([{ "protocol": "ICMP", "icmpType": 8 }, { "protocol": "ICMPv6", "icmpType": 128 }]);
    net.apply(&net.policy().with_rule("ping", "t1", "t2", "allow", &echo))?;
    net.allowed("n1-t1-p1", "n2-t2-p1", How::Icmp)?;
    net.allowed("n1-t1-p1", "n1-t2-p1", How::Icmp6)?;
    net.denied("n1-t1-p1", "n2-t2-p1", How::Tcp(8080), Refusal::no_rule("t1", "t2"))?;
    net.denied("n2-t2-p1", "n1-t1-p1", How::Icmp, Refusal::no_rule("t2", "t1"))
}

fn tenant_audit(net: &mut Net) -> Result<()> {
    let audited = net.policy().with_word(Kind::Tenant, "t2", "mode", json!("audit"));
    net.apply(&audited)?;
    let evidence = net.evidence("n1")?;
    net.allowed("n1-t1-p1", "n2-t2-p1", How::Tcp(8080))?;
    let record = evidence.record("a refusal that was only recorded", |record| {
        record["verdict"] == "audit" && record["reason"] == "cross_tenant_no_rule"
    })?;
    ensure!(record["source"]["identity"] == "t1" && record["destination"]["identity"] == "t2", "{record}");
    let counted = evidence.counted()?;
    ensure!(counted.sum(|key| key.audited && key.reason == "cross_tenant_no_rule") > 0, "{counted:?}");
    // The other direction has another owner, which enforces.
    net.denied("n2-t2-p1", "n1-t1-p1", How::Tcp(8080), Refusal::no_rule("t2", "t1"))?;
    net.apply(&net.policy())?;
    net.denied("n1-t1-p1", "n2-t2-p1", How::Tcp(8080), Refusal::no_rule("t1", "t2"))
}

fn rule_audit(net: &mut Net) -> Result<()> {
    let policy = net.policy().with_rule("maybe-not", "t1", "t1", "deny", &tcp(8082));
    net.apply(&policy.clone().with_word(Kind::Rule, "maybe-not", "mode", json!("audit")))?;
    let evidence = net.evidence("n1")?;
    net.allowed("n1-t1-p1", "n2-t1-p1", How::Tcp(8082))?;
    evidence.record("what the rule would do", |record| record["shadowRule"] == "maybe-not")?;
    net.apply(&policy)?;
    net.denied("n1-t1-p1", "n2-t1-p1", How::Tcp(8082), denied_by("maybe-not", "t1"))
}

/// One broken object among good ones: none of them is in force, and the revision stays.
fn refused_push(net: &mut Net) -> Result<()> {
    let before = revision(net)?;
    let policy = net.policy().with_rule("good", "t1", "t2", "allow", &tcp(8080));
    let broken = policy.with_rule("broken", "t1", "nobody", "allow", &tcp(8081));
    let node = net.lab().node("n1")?;
    let yaml = broken.yaml_for(net.lab().topology(), node);
    let answer = net.ctl("n1")?.call(&["apply", "-f", "-", "--prune"], &yaml)?;
    ensure!(answer.code == 1, "exit code {}: {}{}", answer.code, answer.out, answer.err);
    let said = format!("{}{}", answer.out, answer.err);
    ensure!(said.contains("broken") && said.contains("nobody"), "the problem is not named: {said}");
    ensure!(revision(net)? == before, "a refused push raised the revision");
    net.denied("n1-t1-p1", "n2-t2-p1", How::Tcp(8080), Refusal::no_rule("t1", "t2"))
}

fn rollback(net: &mut Net) -> Result<()> {
    let closed = revision(net)?;
    net.apply(&net.policy().with_rule("open", "t1", "t2", "allow", &tcp(8080)))?;
    net.allowed("n1-t1-p1", "n1-t2-p1", How::Tcp(8080))?;
    let ctl = net.ctl("n1")?;
    ctl.run(&["rollback", &closed.to_string()], "")?;
    ensure!(revision(net)? > closed + 1, "a rollback is a revision of its own");
    net.denied("n1-t1-p1", "n1-t2-p1", How::Tcp(8080), Refusal::no_rule("t1", "t2"))
}

fn revision(net: &Net) -> Result<u64> {
    let status = net.ctl("n1")?.json(&["status"])?;
    status["revision"].as_u64().ok_or_else(|| anyhow::anyhow!("no revision in {status}"))
}
