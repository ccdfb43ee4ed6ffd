//! From tenant to tenant: closed until scrubbed, with the real kernel and a shell script as scrubber.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use enforcer_lab::config::Config;
use enforcer_lab::policy::{Kind, Policy};
use enforcer_lab::wait::until;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::fixture::{Gate, NODE, OTHER, SERVICE, config};

pub(crate) const CASES: &[Case<Gate>] = &[Case {
    name: "custody::a_device_is_closed_until_scrubbed",
    reasons: &["device_closed"],
    run: handed_over,
}];

/// A GPU that no tenant has had in the cases before.
const GPU: u64 = 1;
/// How long a handover may take here.
const HANDOVER_MAX: Duration = Duration::from_secs(30);
/// What the script says; the device has no driver, so nothing is overwritten.
const REPORT: &str = r#"{"bytes_covered":4096,"bytes_total":4096}"#;

fn handed_over(gate: &mut Gate) -> Result<()> {
    let done = hand_over(gate);
    // The cases after this one want the gate without custody.
    let restored = restart(gate, &config("enforce"));
    done.and(restored)
}

fn hand_over(gate: &mut Gate) -> Result<()> {
    let dirty = dirty(gate)?;
    let with_custody = with_custody(&dirty);
    restart(gate, &with_custody)?;
    // In groups of their own: the workloads' groups have processes that stay, and whoever stays may hold the device.
    let (owner, other) = (gate.probe_in("/t1-p1/custody")?, gate.probe_in("/t2-p1/custody")?);
    gate.net().apply(&granted_to(gate, "t1"))?;
    state(gate, "in_use", Some("t1"))?;
    gate.passes(&owner, GPU, "device-grant")?;

    gate.net().apply(&granted_to(gate, "t2"))?;
    gate.refused(&other, GPU, "t2", "device_closed")?;
    gate.net().ctl(NODE)?.run(&["explain", "device", OTHER, "nvidia:1", "--expect", "deny"], "")?;
    state(gate, "in_use", Some("t2"))?;
    gate.passes(&other, GPU, "device-grant")?;
    verified(gate)?;

    std::fs::write(&dirty, "")?;
    gate.net().apply(&granted_to(gate, "t1"))?;
    state(gate, "failed", None)?;
    restart(gate, &with_custody)?;
    state(gate, "failed", None)?;
    gate.refused(&owner, GPU, "t1", "device_closed")?;

    std::fs::remove_file(&dirty)?;
    gate.net().ctl(NODE)?.run(&["handover", "scrub", "nvidia:1"], "")?;
    state(gate, "in_use", Some("t1"))?;
    gate.passes(&owner, GPU, "device-grant")
}

/// While this file is there the scrubber fails.
fn dirty(gate: &Gate) -> Result<PathBuf> {
    Ok(gate.net().lab().node(NODE)?.dir.join("dirty"))
}

fn with_custody(dirty: &std::path::Path) -> Config {
    let script = format!("sleep 2; test ! -e {} && echo '{REPORT}'", dirty.display());
    let command = json!({ "argv": ["/bin/sh", "-c", script], "seconds": 20 });
    Config::default().with(
        "deviceGate",
        json!({
            "hostServices": [{ "name": "device-plugin", "cgroup": SERVICE }],
            "custody": { "drainSeconds": 5, "scrubbers": [{ "classes": ["nvidia"], "command": command }] },
        }),
    )
}

fn granted_to(gate: &Gate, tenant: &str) -> Policy {
    let grant = json!([{ "class": "nvidia", "minors": [GPU] }]);
    gate.net().policy().with_word(Kind::Tenant, tenant, "devices", grant)
}

/// Waits until the device is in a state, and whose it is.
fn state(gate: &Gate, wanted: &str, tenant: Option<&str>) -> Result<()> {
    let ctl = gate.net().ctl(NODE)?;
    let mut last = Value::Null;
    let arrived = until("a handover", HANDOVER_MAX, || {
        let devices = ctl.json(&["get", "custody"])?["devices"].take();
        let own = devices.as_array().and_then(|all| all.iter().find(|found| found["device"] == "nvidia:1"));
        last = own.cloned().unwrap_or_default();
        let is_whose = tenant.is_none_or(|tenant| last["tenants"][0] == tenant);
        Ok((last["state"] == wanted && is_whose).then_some(()))
    });
    arrived.map_err(|error| error.context(format!("expected {wanted} for {tenant:?}, saw {last}")))
}

/// Without the agent's help.
fn verified(gate: &Gate) -> Result<()> {
    let ctl = gate.net().ctl(NODE)?;
    let list = ctl.json(&["get", "receipts", "--device", "nvidia:1"])?;
    let latest = &list["receipts"][0]["receipt"];
    ensure!(latest["previousTenants"] == json!(["t1"]), "{latest}");
    ensure!(latest["nextTenants"] == json!(["t2"]) && latest["evidence"] == "attested", "{latest}");
    let file = gate.net().lab().node(NODE)?.dir.join("receipts.json");
    std::fs::write(&file, list.to_string())?;
    ctl.run(&["receipt", "verify", &file.display().to_string()], "")?;
    let forged = list.to_string().replacen("\"t1\"", "\"t9\"", 1);
    std::fs::write(&file, forged)?;
    let outcome = ctl.run(&["receipt", "verify", &file.display().to_string()], "");
    ensure!(outcome.is_err(), "a forged receipt was believed");
    Ok(())
}

fn restart(gate: &mut Gate, config: &Config) -> Result<()> {
    let lab = gate.net_mut().lab_mut();
    lab.take_agent(NODE)?.stop()?;
    lab.start_agent(NODE, config)
}
