//! One node, two tenants, the GPU behind `/dev/nvidia0`, which is in custody: closed until scrubbed.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::ctl::Ctl;
use enforcer_lab::enter::Place;
use enforcer_lab::lab::Lab;
use enforcer_lab::policy::{Kind, Policy};
use enforcer_lab::spec::Spec;
use enforcer_lab::wait::until;
use enforcer_lab::{agent, cgroup};
use serde_json::{Value, json};

use super::Outcome;

const NODE: &str = "n1";
/// Tenants, each with a group of its own below its workload's: those of the lab have processes that stay, and whoever stays
/// may hold the device.
const FIRST: (&str, &str) = ("t1", "/t1-p1/gpucheck");
const OTHER: (&str, &str) = ("t2", "/t2-p1/gpucheck");
/// Of no value to anybody: the memory job of this check is looked at by nobody but itself.
const NONCE: &str = "677075636865636b2d6e6f6e63652d31";
/// Overwriting 200 GB takes a few minutes.
const HANDOVER_MAX: Duration = Duration::from_secs(600);

/// The lab, with its agent.
pub(super) struct Stage {
    lab: Lab,
}

impl Stage {
    pub(super) fn set(name: &str) -> Result<Self> {
        let mut lab = Lab::up(&Spec::new(name.parse()?, 1, 2, 1)?, Binaries::find()?)?;
        // The agent's own group may use the driver: this check runs a memory job in it.
        let gate = json!({
            "mode": "enforce",
            "hostServices": [{ "name": "agent", "cgroup": "/agent" }],
            "custody": { "drainSeconds": 10, "scrubbers": [{ "classes": ["nvidia"], "nvidia": {} }] },
        });
        lab.start_agents(&Config::default().with("deviceGate", gate))?;
        let stage = Self { lab };
        stage.grant(FIRST.0)?;
        Ok(stage)
    }

    fn ctl(&self) -> Result<Ctl> {
        self.lab.ctl(NODE)
    }

    fn grant(&self, tenant: &str) -> Result<()> {
        let grant = json!([
            { "class": "nvidia", "minors": [0] }, { "class": "nvidiactl" }, { "class": "nvidia-uvm" },
        ]);
        let policy = Policy::of(self.lab.topology()).with_word(Kind::Tenant, tenant, "devices", grant);
        self.lab.apply(&policy)
    }

    /// True when the tiny job ran; with what it said.
    fn works(&self, below: &str) -> Result<(bool, String)> {
        let node = self.lab.node(NODE)?;
        let group = format!("{}{below}", node.cgroup);
        cgroup::make(&group)?;
        let place = Place { netns: node.netns.clone(), cgroup: Some(group) };
        let mut command = place.command(&self.lab.binaries().agent)?;
        let output = command.arg("cuda-probe").stdin(Stdio::null()).output().context("the tiny CUDA job")?;
        Ok((output.status.success(), said(&output)))
    }

    fn custody(&self) -> Result<Value> {
        let devices = self.ctl()?.json(&["get", "custody"])?["devices"].take();
        let own = devices.as_array().and_then(|all| all.iter().find(|found| found["device"] == "nvidia:0"));
        Ok(own.cloned().unwrap_or_default())
    }

    /// Waits until a tenant has the GPU, or it has failed.
    fn comes_to(&self, tenant: &str) -> Result<Outcome> {
        let mut last = Value::Null;
        let came = until("a handover", HANDOVER_MAX, || {
            last = self.custody()?;
            let is_its = last["state"] == "in_use" && last["tenants"][0] == tenant;
            Ok((is_its || last["state"] == "failed").then_some(is_its))
        });
        Ok(match came {
            Ok(true) => Outcome::Passed(format!("it is in use by {tenant}")),
            Ok(false) | Err(_) => Outcome::Failed(format!("it is {}: {}", last["state"], last["reason"])),
        })
    }
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("nothing was said").to_owned()
}

pub(super) fn posture(stage: &Stage) -> Result<Outcome> {
    let answer = stage.ctl()?.json(&["get", "posture"])?;
    let settings = answer["settings"].as_array().cloned().unwrap_or_default();
    let unknown: Vec<&str> = settings
        .iter()
        .filter(|setting| setting["judgement"] == "unknown")
        .filter_map(|setting| setting["name"].as_str())
        .collect();
    Ok(if unknown.is_empty() {
        Outcome::Passed(format!("{} settings", settings.len()))
    } else {
        Outcome::Failed(format!("unknown: {}", unknown.join(", ")))
    })
}

pub(super) fn first(stage: &Stage) -> Result<Outcome> {
    stage.comes_to(FIRST.0)
}

pub(super) fn granted(stage: &Stage) -> Result<Outcome> {
    let (works, said) = stage.works(FIRST.1)?;
    Ok(if works { Outcome::Passed(said) } else { Outcome::Failed(said) })
}

pub(super) fn refused(stage: &Stage) -> Result<Outcome> {
    let (works, said) = stage.works(OTHER.1)?;
    Ok(if works { Outcome::Failed("it works".to_owned()) } else { Outcome::Passed(said) })
}

pub(super) fn scrubbed(stage: &Stage) -> Result<Outcome> {
    let node = stage.lab.node(NODE)?;
    let mut command = agent::place_of(node).command(&stage.lab.binaries().agent)?;
    command.args(["scrub-nvidia", "--index", "0", "--nonce", NONCE]).stdin(Stdio::null());
    let output = command.output().context("the memory job")?;
    let line: Result<Value, _> = serde_json::from_slice(&output.stdout);
    Ok(match (output.status.success(), line) {
        (true, Ok(line)) => Outcome::Passed(format!(
            "{} of {} bytes, {} samples, residue {} of {} bytes",
            line["bytes_covered"], line["bytes_total"], line["samples"], line["residue"], line["residue_of"]
        )),
        _ => Outcome::Failed(said(&output)),
    })
}

/// The state is read after the attempt: as long as it is not in use then, it was not during it.
pub(super) fn closed(stage: &Stage) -> Result<Outcome> {
    stage.grant(OTHER.0)?;
    let (works, said) = stage.works(OTHER.1)?;
    let state = stage.custody()?["state"].as_str().unwrap_or_default().to_owned();
    Ok(match (state.as_str(), works) {
        ("in_use", _) => Outcome::NotTested("the scrub was over before CUDA could be tried".to_owned()),
        (_, true) => Outcome::Failed(format!("CUDA works while it is {state}")),
        (_, false) => Outcome::Passed(format!("while it is {state}: {said}")),
    })
}

pub(super) fn moved(stage: &Stage) -> Result<Outcome> {
    let came = stage.comes_to(OTHER.0)?;
    if !matches!(came, Outcome::Passed(_)) {
        return Ok(came);
    }
    let (first, other) = (stage.works(FIRST.1)?, stage.works(OTHER.1)?);
    Ok(match (first.0, other.0) {
        (false, true) => Outcome::Passed(first.1),
        (true, _) => Outcome::Failed("it still works for the first".to_owned()),
        (false, false) => Outcome::Failed(other.1),
    })
}

/// Verified without the agent's help, out of a file.
pub(super) fn receipt(stage: &Stage) -> Result<Outcome> {
    let ctl = stage.ctl()?;
    let list = ctl.json(&["get", "receipts", "--device", "nvidia:0"])?;
    let latest = &list["receipts"][0]["receipt"];
    let is_this = latest["previousTenants"] == json!([FIRST.0]) && latest["nextTenants"] == json!([OTHER.0]);
    if !is_this || latest["method"] != "nvidia" || latest["evidence"] != "sampled" {
        return Ok(Outcome::Failed(format!("not the receipt that was expected: {latest}")));
    }
    let file = stage.lab.node(NODE)?.dir.join("receipts.json");
    std::fs::write(&file, list.to_string())?;
    ctl.run(&["receipt", "verify", &file.display().to_string()], "")?;
    Ok(Outcome::Passed(format!(
        "{} of {} bytes, {} samples; not covered: {}",
        latest["bytesCovered"], latest["bytesTotal"], latest["samples"]["count"], latest["notCovered"]
    )))
}
