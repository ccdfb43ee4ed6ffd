//! Who passes the gate, and who does not.

use anyhow::{Result, ensure};
use enforcer_lab::outcome::Outcome;
use enforcer_tests::runner::Case;

use crate::fixture::{Gate, NODE, OTHER, OWNER, is_device, told};

pub(crate) const CASES: &[Case<Gate>] = &[
    Case { name: "gate::the_granted_tenant_passes", reasons: &[], run: granted },
    Case { name: "gate::another_tenant_is_refused", reasons: NOT_GRANTED, run: other_tenant },
    Case { name: "gate::a_minor_beyond_the_grant_is_refused", reasons: NOT_GRANTED, run: other_minor },
    Case { name: "gate::making_a_gated_node_is_refused", reasons: &["device_mknod"], run: mknod },
    Case { name: "gate::ungated_devices_are_nobodys_business", reasons: &[], run: ungated },
    Case { name: "gate::a_nested_group_inherits_its_tenant", reasons: NOT_GRANTED, run: nested },
    Case { name: "gate::moving_out_of_the_tenants_group_loses_the_grant", reasons: NO_TENANT, run: wanderer },
    Case { name: "gate::moving_elsewhere_gains_nothing", reasons: NO_TENANT, run: wandering_thief },
    Case { name: "gate::a_revoked_grant_is_refused_at_once", reasons: NOT_GRANTED, run: revoked },
    Case { name: "gate::explain_agrees_with_the_gate", reasons: &[], run: explained },
];

const NOT_GRANTED: &[&str] = &["device_not_granted"];
const NO_TENANT: &[&str] = &["device_no_tenant"];

fn granted(gate: &mut Gate) -> Result<()> {
    gate.passes(&gate.net().lab().probe(OWNER)?, 0, "device-grant")
}

fn other_tenant(gate: &mut Gate) -> Result<()> {
    gate.refused(&gate.net().lab().probe(OTHER)?, 0, "t2", "device_not_granted")
}

fn other_minor(gate: &mut Gate) -> Result<()> {
    let owner = gate.net().lab().probe(OWNER)?;
    gate.refused(&owner, 1, "t1", "device_not_granted")?;
    gate.refused(&owner, 247, "t1", "device_not_granted")
}

/// Also for the tenant that may open it: a node of its own making would have another name.
fn mknod(gate: &mut Gate) -> Result<()> {
    let path = gate.net().lab().topology().devices().join("forged");
    let path = path.display().to_string();
    let owner = gate.net().lab().probe(OWNER)?;
    let mark = gate.mark()?;
    let outcome = owner.run(&["mknod", &path, "195", "0"])?;
    ensure!(outcome == Outcome::NotPermitted, "a gated node was made: {outcome}");
    told(&mark, 0, "t1", "device_mknod")?;
    let outcome = owner.run(&["mknod", &path, "1", "3"])?;
    ensure!(outcome == Outcome::Ok, "a node like /dev/null could not be made: {outcome}");
    std::fs::remove_file(&path)?;
    Ok(())
}

fn ungated(gate: &mut Gate) -> Result<()> {
    for place in [OWNER, OTHER, NODE] {
        let outcome = gate.net().lab().probe(place)?.run(&["open", "/dev/null"])?;
        ensure!(outcome == Outcome::Ok, "{place} opens /dev/null: {outcome}");
    }
    Ok(())
}

fn nested(gate: &mut Gate) -> Result<()> {
    gate.passes(&gate.probe_in("/t1-p1/inner/most")?, 0, "device-grant")?;
    gate.refused(&gate.probe_in("/t2-p1/inner/most")?, 0, "t2", "device_not_granted")
}

fn wanderer(gate: &mut Gate) -> Result<()> {
    wander(gate, OWNER)
}

fn wandering_thief(gate: &mut Gate) -> Result<()> {
    wander(gate, OTHER)
}

/// A process leaves its tenant's group for one that nobody knows: that is no way around the gate.
fn wander(gate: &Gate, from: &str) -> Result<()> {
    gate.probe_in("/elsewhere")?;
    let node = gate.net().lab().node(NODE)?;
    let elsewhere = enforcer_lab::cgroup::dir(&format!("{}/elsewhere", node.cgroup))?;
    let mark = gate.mark()?;
    let arguments = ["wander", &elsewhere.display().to_string(), &gate.gpu(0)?.display().to_string()];
    let outcome = gate.net().lab().probe(from)?.run(&arguments)?;
    ensure!(outcome == Outcome::NotPermitted, "expected EPERM, saw {outcome}");
    told(&mark, 0, "unknown", "device_no_tenant")
}

fn revoked(gate: &mut Gate) -> Result<()> {
    let owner = gate.net().lab().probe(OWNER)?;
    gate.passes(&owner, 0, "device-grant")?;
    gate.net().apply(&gate.net().policy())?;
    gate.refused(&owner, 0, "t1", "device_not_granted")
}

fn explained(gate: &mut Gate) -> Result<()> {
    let ctl = gate.net().ctl(NODE)?;
    ctl.run(&["explain", "device", OWNER, "nvidia:0", "--expect", "allow"], "")?;
    ctl.run(&["explain", "device", OTHER, "nvidia:0", "--expect", "deny"], "")?;
    let mark = gate.mark()?;
    gate.open(&gate.net().lab().probe(OWNER)?, 0)?;
    mark.record("the open", |record| is_device(record, 0, "allow", ""))?;
    Ok(())
}
