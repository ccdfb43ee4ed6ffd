//! One node, two tenants, the GPU behind `/dev/nvidia0`.

use std::process::{Output, Stdio};

use anyhow::{Context as _, Result};
use enforcer_lab::agent;
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::policy::{Kind, Policy};
use enforcer_lab::spec::Spec;
use serde_json::{Value, json};

use super::Outcome;

const NODE: &str = "n1";
const FIRST: (&str, &str) = ("t1", "n1-t1-p1");
const OTHER: (&str, &str) = ("t2", "n1-t2-p1");
/// Of no value to anybody: the memory job of this check is looked at by nobody but itself.
const NONCE: &str = "677075636865636b2d6e6f6e63652d31";

/// The lab, with its agent.
pub(super) struct Stage {
    lab: Lab,
}

impl Stage {
    pub(super) fn set(name: &str) -> Result<Self> {
        let mut lab = Lab::up(&Spec::new(name.parse()?, 1, 2, 1)?, Binaries::find()?)?;
        // The agent's own group may use the driver: its children read NVML and run the memory job.
        lab.start_agents(&Config::default().with_gate("enforce", &[("agent", "/agent")]))?;
        let stage = Self { lab };
        stage.grant(FIRST.0)?;
        Ok(stage)
    }

    fn grant(&self, tenant: &str) -> Result<()> {
        let grant = json!([
            { "class": "nvidia", "minors": [0] }, { "class": "nvidiactl" }, { "class": "nvidia-uvm" },
        ]);
        let policy = Policy::of(self.lab.topology()).with_word(Kind::Tenant, tenant, "devices", grant);
        self.lab.apply(&policy)
    }

    fn cuda(&self, workload: &str) -> Result<Output> {
        let mut command = place_of(self.lab.topology(), workload)?.command(&self.lab.binaries().agent)?;
        command.arg("cuda-probe").stdin(Stdio::null()).output().context("the tiny CUDA job")
    }

    /// True when the job ran; with what it said.
    fn works(&self, workload: &str) -> Result<(bool, String)> {
        let output = self.cuda(workload)?;
        Ok((output.status.success(), said(&output)))
    }
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("nothing was said").to_owned()
}

pub(super) fn posture(stage: &Stage) -> Result<Outcome> {
    let answer = stage.lab.ctl(NODE)?.json(&["get", "posture"])?;
    let settings = answer["settings"].as_array().cloned().unwrap_or_default();
    let unknown: Vec<&str> = settings
        .iter()
        .filter(|setting| setting["judgement"] == "unknown" && setting["source"] != "cgroup")
        .filter_map(|setting| setting["name"].as_str())
        .collect();
    Ok(if unknown.is_empty() {
        Outcome::Passed(format!("{} settings", settings.len()))
    } else {
        Outcome::Failed(format!("unknown: {}", unknown.join(", ")))
    })
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

pub(super) fn moved(stage: &Stage) -> Result<Outcome> {
    stage.grant(OTHER.0)?;
    let (first, other) = (stage.works(FIRST.1)?, stage.works(OTHER.1)?);
    Ok(match (first.0, other.0) {
        (false, true) => Outcome::Passed(first.1),
        (true, _) => Outcome::Failed("it still works for the first".to_owned()),
        (false, false) => Outcome::Failed(other.1),
    })
}

/// This check starts its agent without custody.
pub(super) fn receipt(_stage: &Stage) -> Result<Outcome> {
    let why = "this check configures no scrubber in deviceGate.custody yet";
    Ok(Outcome::NotTested(why.to_owned()))
}
