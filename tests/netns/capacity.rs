//! More than the tables hold.

use anyhow::{Context, Result, ensure};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::lab::Lab;
use enforcer_lab::outcome::Outcome;
use enforcer_lab::policy::Policy;
use enforcer_lab::spec::Spec;
use enforcer_tests::net::Net;
use enforcer_tests::runner::Case;
use serde_json::json;

pub(crate) const CASES: &[Case<Net>] = &[Case {
    name: "capacity::a_push_that_does_not_fit_is_refused_and_nothing_changes",
    reasons: &[],
    run: full,
}];

/// A second lab, beside the first: small tables, and a push that needs more port entries than they hold.
fn full(_net: &mut Net) -> Result<()> {
    let mut lab = Lab::up(&Spec::new(crate::SMALL.parse()?, 1, 2, 1)?, Binaries::find()?)?;
    lab.start_agents(&Config::default().with("capacities", json!({ "ports": 64 })))?;
    let base = Policy::of(lab.topology()).with_rule(
        "open",
        "t1",
        "t2",
        "allow",
        &json!([{ "protocol": "TCP", "port": 8080 }]),
    );
    lab.apply(&base)?;
    let _server = lab.probe("n1-t2-p1")?.start(&["serve", "8080"])?;
    let to = lab.topology().workload("n1-t2-p1").and_then(|workload| workload.v4).context("no address")?;
    let works = || -> Result<bool> {
        Ok(lab.probe("n1-t1-p1")?.run(&["tcp", &format!("{to}:8080")])? == Outcome::Ok)
    };
    ensure!(works()?, "the rule does not work to begin with");
    let before = lab.ctl("n1")?.json(&["status"])?;
    let mut large = base;
    for number in 0..100_u16 {
        let ports = json!([{ "protocol": "TCP", "port": 20_000 + 2 * number }]);
        large = large.with_rule(&format!("rule-{number}"), "t1", "t2", "allow", &ports);
    }
    let yaml = large.yaml_for(lab.topology(), lab.node("n1")?);
    let answer = lab.ctl("n1")?.call(&["apply", "-f", "-", "--prune"], &yaml)?;
    ensure!(answer.code == 1, "exit code {}: {}{}", answer.code, answer.out, answer.err);
    let said = format!("{}{}", answer.out, answer.err);
    ensure!(said.contains("ports"), "the table is not named: {said}");
    let after = lab.ctl("n1")?.json(&["status"])?;
    ensure!(
        after["revision"] == before["revision"] && after["digest"] == before["digest"],
        "{before} then {after}"
    );
    ensure!(after["inSync"] == true, "the kernel holds something else: {after}");
    ensure!(works()?, "the rule that was in force no longer works");
    Ok(())
}
