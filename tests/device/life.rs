//! The gate stands without its agent, and can begin by only watching.

use anyhow::{Result, ensure};
use enforcer_lab::outcome::Outcome;
use enforcer_tests::runner::Case;

use crate::fixture::{Gate, NODE, OTHER, OWNER, config, is_device};

pub(crate) const CASES: &[Case<Gate>] = &[
    Case {
        name: "life::the_gate_stands_when_the_agent_was_killed",
        reasons: &["device_not_granted"],
        run: killed,
    },
    Case { name: "life::audit_records_and_refuses_nothing", reasons: &["device_not_granted"], run: audit },
];

fn killed(gate: &mut Gate) -> Result<()> {
    gate.net_mut().lab_mut().take_agent(NODE)?.kill()?;
    let (owner, other) = (gate.net().lab().probe(OWNER)?, gate.net().lab().probe(OTHER)?);
    let outcome = gate.open(&owner, 0)?;
    ensure!(outcome == Outcome::NoDriver, "the granted tenant, without an agent: {outcome}");
    let outcome = gate.open(&other, 0)?;
    ensure!(outcome == Outcome::NotPermitted, "another tenant, without an agent: {outcome}");
    gate.net_mut().lab_mut().start_agent(NODE, &config("enforce"))?;
    gate.passes(&owner, 0, "device-grant")?;
    gate.refused(&other, 0, "t2", "device_not_granted")
}

fn audit(gate: &mut Gate) -> Result<()> {
    restart(gate, "audit")?;
    let status = gate.net().ctl(NODE)?.json(&["status"])?;
    ensure!(status["deviceGateMode"] == "audit", "{status}");
    let mark = gate.mark()?;
    let other = gate.net().lab().probe(OTHER)?;
    let outcome = gate.open(&other, 0)?;
    ensure!(outcome == Outcome::NoDriver, "audit refused: {outcome}");
    mark.record("the refusal that was none", |record| is_device(record, 0, "audit", "device_not_granted"))?;
    let counted = mark.counted()?;
    ensure!(counted.sum(|key| key.hook == "device" && key.audited && key.source == "t2") == 1, "{counted:?}");
    restart(gate, "enforce")?;
    gate.refused(&other, 0, "t2", "device_not_granted")
}

fn restart(gate: &mut Gate, mode: &str) -> Result<()> {
    let lab = gate.net_mut().lab_mut();
    lab.take_agent(NODE)?.stop()?;
    lab.start_agent(NODE, &config(mode))
}
