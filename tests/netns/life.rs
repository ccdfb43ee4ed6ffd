//! The agent may die; the walls may not, and no connection may notice.

use std::time::Duration;

use anyhow::{Result, ensure};
use enforcer_lab::mark::Refusal;
use enforcer_lab::probe::Running;
use enforcer_tests::net::{How, Net};
use enforcer_tests::runner::Case;
use serde_json::json;

pub(crate) const CASES: &[Case<Net>] = &[
    Case { name: "life::a_killed_agent_changes_nothing_for_anyone", reasons: NO_RULE, run: killed },
    Case { name: "life::an_upgrade_in_place_breaks_no_connection", reasons: NO_RULE, run: upgraded },
    Case {
        name: "life::a_revoked_rule_ends_an_established_connection_both_ways",
        reasons: NO_RULE,
        run: revoked,
    },
    Case { name: "life::a_push_elsewhere_leaves_a_connection_alone", reasons: NO_RULE, run: other_push },
    Case { name: "life::an_agent_that_lost_its_policy_opens_nothing", reasons: LOST, run: lost },
    Case { name: "life::the_policy_is_in_force_again_after_a_restart", reasons: NO_RULE, run: restarted },
];

const NO_RULE: &[&str] = &["cross_tenant_no_rule"];
const LOST: &[&str] = &["cross_tenant_no_rule", "tenant_unknown", "interface_unknown"];
const LIMIT: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(500);

/// A connection on which both sides speak.
struct Talk {
    client: Running,
    server: Running,
}

impl Talk {
    fn between(net: &Net, from: &str, to: &str) -> Result<Self> {
        let server = net.lab().probe(to)?.start(&["listen", "8090"])?;
        let address = std::net::SocketAddr::new(net.address(to, false)?, 8090).to_string();
        let client = net.lab().probe(from)?.start(&["talk", &address])?;
        let talk = Self { client, server };
        talk.flows()?;
        Ok(talk)
    }

    fn flows(&self) -> Result<()> {
        self.client.flows(20, LIMIT)?;
        self.server.flows(20, LIMIT)
    }

    /// Not a single segment had to be sent again.
    fn is_unbroken(&self) -> Result<()> {
        self.flows()?;
        for side in [&self.client, &self.server] {
            let progress = side.progress();
            ensure!(progress.retransmits == 0 && progress.broken.is_none(), "{progress:?}");
        }
        Ok(())
    }

    fn stops(&self) -> Result<()> {
        self.client.stops(QUIET, LIMIT)?;
        self.server.stops(QUIET, LIMIT)
    }
}

fn killed(net: &mut Net) -> Result<()> {
    let talk = Talk::between(net, "n1-t1-p1", "n2-t1-p1")?;
    let near = Talk::between(net, "n1-t3-p1", "n1-t3-p2")?;
    net.lab_mut().take_agent("n1")?.kill()?;
    talk.is_unbroken()?;
    net.allowed("n1-t1-p1", "n1-t1-p2", How::Tcp(8080))?;
    for probe in [net.lab().probe("n1-t1-p1")?, net.outsider("n1-t1-p1")?, net.lab().probe("n1-t1-host")?] {
        let outcome = net.attempt(&probe, "n1-t2-p1", How::Tcp(8080))?;
        ensure!(outcome.is_denied(), "with the agent dead, t1 reaches t2: {outcome}");
    }
    let config = net.config().clone();
    net.lab_mut().start_agent("n1", &config)?;
    talk.is_unbroken()?;
    near.is_unbroken()?;
    is_whole(net)?;
    net.denied("n1-t1-p1", "n1-t2-p1", How::Tcp(8080), Refusal::no_rule("t1", "t2"))
}

/// Three times over, under traffic: every program is swapped in its link.
fn upgraded(net: &mut Net) -> Result<()> {
    let talk = Talk::between(net, "n1-t1-p1", "n2-t1-p1")?;
    let before = programs(net)?;
    for _ in 0..3 {
        net.lab_mut().take_agent("n1")?.stop()?;
        let config = net.config().clone();
        net.lab_mut().start_agent("n1", &config)?;
        talk.is_unbroken()?;
        is_whole(net)?;
    }
    let after = programs(net)?;
    ensure!(before != after, "no program was swapped: {before:?}");
    ensure!(before.len() == after.len(), "hooks came or went: {before:?} then {after:?}");
    net.denied("n1-t1-p1", "n1-t2-p1", How::Tcp(8080), Refusal::no_rule("t1", "t2"))
}

fn programs(net: &Net) -> Result<Vec<(String, u64)>> {
    let status = net.ctl("n1")?.json(&["status"])?;
    let hooks = status["hooks"].as_array().cloned().unwrap_or_default();
    let program =
        |hook: &serde_json::Value| Some((hook["name"].as_str()?.to_owned(), hook["programId"].as_u64()?));
    Ok(hooks.iter().filter_map(program).collect())
}

/// The kernel holds what the policy says, and the hooks are proven.
fn is_whole(net: &Net) -> Result<()> {
    let status = net.ctl("n1")?.json(&["status"])?;
    ensure!(status["inSync"] == true, "not in sync: {}", status["drift"]);
    Ok(())
}

fn revoked(net: &mut Net) -> Result<()> {
    let ports = json!([{ "protocol": "TCP", "port": 8090 }]);
    net.apply(&net.policy().with_rule("open", "t1", "t2", "allow", &ports))?;
    let far = Talk::between(net, "n1-t1-p1", "n2-t2-p1")?;
    let near = Talk::between(net, "n1-t1-p2", "n1-t2-p2")?;
    let evidence = net.evidence("n1")?;
    net.apply(&net.policy())?;
    far.stops()?;
    near.stops()?;
    evidence.tells(Refusal::no_rule("t1", "t2"), |record| record["destination"]["port"] == 8090)
}

/// Tenant t3 gets and loses rules, again and again; t1 does not notice.
fn other_push(net: &mut Net) -> Result<()> {
    let talk = Talk::between(net, "n1-t1-p1", "n2-t1-p1")?;
    for round in 0..5_u16 {
        let ports = json!([{ "protocol": "TCP", "port": 8000 + round }]);
        net.apply(&net.policy().with_rule("churn", "t2", "t3", "allow", &ports))?;
        net.apply(&net.policy())?;
    }
    talk.is_unbroken()
}

/// Rules included, from the disk, before the agent answers anybody.
fn restarted(net: &mut Net) -> Result<()> {
    let ports = json!([{ "protocol": "TCP", "port": 8081 }]);
    net.apply(&net.policy().with_rule("kept", "t1", "t2", "allow", &ports))?;
    let before = net.ctl("n1")?.json(&["status"])?;
    net.lab_mut().take_agent("n1")?.kill()?;
    let config = net.config().clone();
    net.lab_mut().start_agent("n1", &config)?;
    let after = net.ctl("n1")?.json(&["status"])?;
    ensure!(
        before["revision"] == after["revision"],
        "revision {} became {}",
        before["revision"],
        after["revision"]
    );
    ensure!(before["digest"] == after["digest"], "the kernel holds something else: {before} then {after}");
    net.allowed("n1-t1-p1", "n1-t2-p1", How::Tcp(8081))?;
    net.denied("n1-t1-p1", "n1-t2-p1", How::Tcp(8080), Refusal::no_rule("t1", "t2"))
}

/// The state directory is gone, the walls are not: with no policy loaded, nothing that was closed is open.
fn lost(net: &mut Net) -> Result<()> {
    net.lab_mut().take_agent("n1")?.kill()?;
    std::fs::remove_dir_all(net.lab().node("n1")?.dir.join("state"))?;
    let config = net.config().clone();
    net.lab_mut().start_agent("n1", &config)?;
    for probe in [net.lab().probe("n1-t1-p1")?, net.outsider("n1-t1-p1")?] {
        for how in [How::Tcp(8080), How::Udp(8080), How::Icmp6] {
            let outcome = net.attempt(&probe, "n1-t2-p1", how)?;
            ensure!(outcome.is_denied(), "without a policy, t1 reaches t2 by {how:?}: {outcome}");
        }
    }
    // Names come with a policy: without one, the counters of the whole run would look new.
    net.apply(&net.policy())?;
    net.allowed("n1-t1-p1", "n1-t1-p2", How::Tcp(8080))
}
