//! A device with memory goes from tenant to tenant, and is taken away: a disk stands for the memory of a GPU.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use enforcer_lab::config::Config;
use enforcer_lab::hold::Holder;
use enforcer_lab::memory::{self, Memory};
use enforcer_lab::policy::Kind;
use serde_json::{Value, json};

use super::script::Script;
use super::stage::{Stage, told, word};

const NODE: &str = "n1";
const SERVICE: &str = "device-plugin";
const OWNER: &str = "n1-t1-p1";
const NEXT: &str = "n1-t2-p1";
/// Below the workloads' groups: their servers would be killed with whoever holds the device.
const GROUP: &str = "train";
const CLOSED: &str = "refused: device_closed";
const WEIGHTS: &str = "the-weights-of-t1";
/// What the receipt comes to.
const KEPT: &str = "t1 to t2, 1048576 of 1048576 bytes, sampled";

pub(crate) fn play(stage: &mut Stage, script: &mut Script) {
    let disk = set(stage);
    let disk = || disk.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"));
    script.step("a device with memory, in custody, is granted to t1; t1 writes to it", "written", || {
        given_to(stage, disk()?, "t1")?;
        let outcome = stage.probe_below(OWNER, GROUP)?.run(&["fill", &disk()?.path(), WEIGHTS])?;
        let found = is_found(stage, disk()?, OWNER)?;
        Ok(if found { "written".to_owned() } else { outcome.to_string() })
    });
    script.step("the grant moves to t2, which opens the device at once", CLOSED, || {
        grant(stage, disk()?, "t2")?;
        open(stage, disk()?)
    });
    script.step("after the handover t2 looks for what t1 wrote", "not found", || {
        given_to(stage, disk()?, "t2")?;
        let found = is_found(stage, disk()?, NEXT)?;
        Ok(if found { "found" } else { "not found" }.to_owned())
    });
    script.step("the signed receipt of it, verified without the agent", KEPT, || receipt(stage, disk()?));
    let holder = disk().and_then(|disk| hold(stage, disk));
    script.step("t2 holds the device: get handles", "t2, granted", || {
        held(stage, disk()?, holder.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?)
    });
    script.step("revoke device --to kill", "gate ok, kill ok", || revoke(stage, disk()?));
    script.step("get handles; t2 opens it again", "nobody; refused: device_closed", || {
        let handles = handles(stage, disk()?)?;
        let who = if handles.is_empty() { "nobody".to_owned() } else { format!("{handles:?}") };
        Ok(format!("{who}; {}", open(stage, disk()?)?))
    });
    script.step("back to an agent without custody, and the policy from before", "in sync", || {
        stage.restart_with(NODE, Config::default())?;
        stage.lab().apply(&stage.policy_with_rule())?;
        let status = stage.ctl(NODE)?.json(&["status"])?;
        Ok(if status["inSync"] == true { "in sync".to_owned() } else { status["drift"].to_string() })
    });
}

/// The disk, and an agent that has it in custody.
fn set(stage: &mut Stage) -> Result<Memory> {
    let node = stage.lab().topology().devices().join("gpu-memory");
    let disk = Memory::new(&stage.probe_below(NODE, SERVICE)?, node)?;
    // The vendor's tool, which takes its time. The disk ends before the zeros do.
    let report = json!({ "bytes_covered": memory::BYTES, "bytes_total": memory::BYTES });
    let script = format!("sleep 2; cat /dev/zero >/dev/loop\"$0\" 2>/dev/null; echo '{report}'");
    let gate = json!({
        // The agent overwrites the disk, and the service keeps it.
        "hostServices": [
            { "name": "agent", "cgroup": "/agent" },
            { "name": SERVICE, "cgroup": format!("/host/{SERVICE}") },
        ],
        "extraClasses": [Memory::class()],
        "custody": { "scrubbers": [{
            "classes": [memory::CLASS],
            "command": { "argv": ["/bin/sh", "-c", script, "{number}"], "seconds": 30,
                "readBack": { "path": "/dev/loop{number}", "samples": 64 } },
        }] },
    });
    stage.restart_with(NODE, Config::default().with("deviceGate", gate))?;
    Ok(disk)
}

fn grant(stage: &Stage, disk: &Memory, tenant: &str) -> Result<()> {
    let policy = stage.policy_with_rule().with_word(Kind::Tenant, tenant, "devices", disk.grant());
    stage.lab().apply_on(stage.lab().node(NODE)?, &policy)
}

/// Grants it and waits until it was handed over.
fn given_to(stage: &Stage, disk: &Memory, tenant: &str) -> Result<()> {
    grant(stage, disk, tenant)?;
    let is_whose = |found: &Value| found["tenants"][0] == tenant;
    memory::arrives(&stage.ctl(NODE)?, &disk.name(), "in_use", is_whose).map(drop)
}

/// What comes of an open by the second tenant.
fn open(stage: &Stage, disk: &Memory) -> Result<String> {
    let mark = stage.mark(NEXT)?;
    told(&mark, &stage.probe_below(NEXT, GROUP)?.run(&["open", &disk.path()])?)
}

fn is_found(stage: &Stage, disk: &Memory, by: &str) -> Result<bool> {
    stage.probe_below(by, GROUP)?.ask(&["find", &disk.path(), WEIGHTS])
}

fn receipt(stage: &Stage, disk: &Memory) -> Result<String> {
    let ctl = stage.ctl(NODE)?;
    let list = ctl.json(&["get", "receipts", "--device", &disk.name()])?;
    let file = stage.lab().node(NODE)?.dir.join("receipts.json");
    fs::write(&file, list.to_string())?;
    ctl.run(&["receipt", "verify", &file.display().to_string()], "")?;
    let receipt = &list["receipts"][0]["receipt"];
    let [from, to, evidence] = ["/previousTenants/0", "/nextTenants/0", "/evidence"]
        .map(|at| receipt.pointer(at).and_then(Value::as_str).unwrap_or("(missing)"));
    let (covered, all) = (&receipt["bytesCovered"], &receipt["bytesTotal"]);
    Ok(format!("{from} to {to}, {covered} of {all} bytes, {evidence}"))
}

fn hold(stage: &Stage, disk: &Memory) -> Result<Holder> {
    Holder::new(&stage.lab().binaries().probe, &stage.place_below(NEXT, GROUP)?, Path::new(&disk.path()))
}

fn handles(stage: &Stage, disk: &Memory) -> Result<Vec<Value>> {
    let answer = stage.ctl(NODE)?.json(&["get", "handles", "--device", &disk.name()])?;
    let handles = answer["handles"].as_array().with_context(|| answer.to_string())?;
    // The service that keeps the disk has it open all along.
    Ok(handles.iter().filter(|handle| handle["holder"] != SERVICE).cloned().collect())
}

fn held(stage: &Stage, disk: &Memory, holder: &Holder) -> Result<String> {
    let (handles, pid) = (handles(stage, disk)?, holder.process()?.pid);
    let own = handles.iter().find(|handle| handle["pid"] == pid);
    let own = own.with_context(|| format!("process {pid} is not among {handles:?}"))?;
    Ok(format!("{}, {}", word(own, "holder"), if own["granted"] == true { "granted" } else { "not granted" }))
}

fn revoke(stage: &Stage, disk: &Memory) -> Result<String> {
    let name = disk.name();
    let arguments = ["revoke", "device", &name, "--to", "kill", "--reason", "demo", "--yes", "-o", "json"];
    let answer = stage.ctl(NODE)?.call(&arguments, "")?;
    let steps = answer.out.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let outcome = |step: &str| {
        let found = steps.iter().find(|line| line["step"] == step);
        found.map_or_else(|| answer.err.clone(), |line| format!("{step} {}", word(line, "outcome")))
    };
    Ok(format!("{}, {}", outcome("gate"), outcome("kill")))
}
