//! From the push of one tenant's hundred rules to the kernel that holds them, among many other tenants.

use std::time::Duration;

use anyhow::Result;
use enforcer_core::policy::change::Change;
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::lab::Lab;
use enforcer_lab::spec::Spec;
use enforcer_proto::v1::apply_request;

use crate::crowd;
use crate::figure::{Figure, Goal};
use crate::ground::{self, Ground};
use crate::sample::Sample;
use crate::site::{Layout, Site};
use crate::suite::Effort;
use crate::uplink::Uplink;

/// The lab of an agent with many tenants.
pub(super) const LAB: &str = "benchpush";
/// Its node.
pub(super) const NODE: &str = "n1";

const GOAL: Goal = Goal::AtMost(5.0);
const RULES: u16 = 100;
/// The tenant whose rules are pushed.
const OWNER: u32 = 77;

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let (tenants, bindings, pushes) = match effort {
        Effort::Full => (10_000, 100_000, 300),
        Effort::Quick => (100, 1_000, 20),
    };
    let mut figures = pipeline(tenants, bindings, pushes)?;
    figures.extend(agent(tenants, bindings, pushes)?);
    Ok(figures)
}

/// Apply, plan, prepare, commit, in this process.
fn pipeline(tenants: u32, bindings: u32, pushes: u16) -> Result<Vec<Figure>> {
    ground::apart(|| {
        let mut site = Site::open(Ground::new("push")?, Layout::default())?;
        site.change(&Change::Snapshot(crowd::snapshot(tenants, bindings)))?;
        let mut runs = Vec::new();
        for round in 0..pushes {
            runs.push(site.change(&Change::Delta(crowd::push(OWNER, RULES, round)))?);
        }
        Ok(figures("pipeline", &runs, "apply, plan, prepare, commit and read back; no gRPC, no journal"))
    })
}

/// Through the door of an agent, with its journal on the disk.
fn agent(tenants: u32, bindings: u32, pushes: u16) -> Result<Vec<Figure>> {
    let mut lab = Lab::up(&Spec::new(LAB.parse()?, 1, 1, 1)?, Binaries::find()?)?;
    lab.start_agent(NODE, &Config::default())?;
    let mut uplink = Uplink::connect(&lab.node(NODE)?.socket)?;
    uplink.apply(apply_request::Change::Snapshot(crowd::snapshot(tenants, bindings)))?;
    let (mut round_trips, mut enforced) = (Vec::new(), Vec::new());
    for round in 0..pushes {
        let applied = uplink.apply(apply_request::Change::Delta(crowd::push(OWNER, RULES, round)))?;
        round_trips.push(applied.round_trip);
        enforced.push(applied.enforced);
    }
    let mut all = figures("agent", &enforced, "from receipt to enforcement, journal written and synced");
    all.extend(figures("round-trip", &round_trips, "from the client's call to its acknowledgement"));
    Ok(all)
}

fn figures(name: &str, runs: &[Duration], note: &str) -> Vec<Figure> {
    let sample = Sample::from(runs.iter().map(|run| run.as_secs_f64() * 1e3).collect::<Vec<_>>());
    vec![
        Figure::of(format!("push/{name}/median"), "ms", &sample).goal(GOAL).note(note),
        Figure::of(format!("push/{name}/p99"), "ms", &sample).percentile(&sample, 99.0).goal(GOAL),
    ]
}
