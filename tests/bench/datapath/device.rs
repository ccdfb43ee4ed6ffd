//! One open and close of `/dev/null`, by a process some control groups below the gate.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use enforcer_core::device::class::{Kind, Role};
use enforcer_core::device::table::{DeviceTable, ExtraClass};
use enforcer_core::node::Attachment;
use enforcer_core::policy::change::Change;
use enforcer_lab::cgroup;
use enforcer_lab::enter::Place;
use enforcer_proto::v1;

use super::rounds;
use crate::crowd;
use crate::figure::{Figure, Goal};
use crate::ground::{self, Ground};
use crate::peer::{Opens, ask};
use crate::sample::Sample;
use crate::site::{Layout, Site};
use crate::suite::Effort;

/// More than without the gate.
const GOAL: Goal = Goal::AtMost(0.3);
/// As deep as Kubernetes puts a container.
const POD: &str = "/pods/burstable/pod/container";
/// The memory devices, `/dev/null` among them: gated for the bench's own control group and nobody else's.
const CLASS: &str = "char:1";
const MAJOR: u32 = 1;

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    ground::apart(|| {
        let (gated, passing) = (gated("device-gated", true)?, gated("device-other", false)?);
        let plain = Ground::new("device-none")?;
        let groups = [&gated.ground, &passing.ground, &plain].map(|ground| format!("{}{POD}", ground.group));
        cgroup::make(&groups[2])?;
        let (batches, batch) = match effort {
            Effort::Full => ("200", "500"),
            Effort::Quick => ("20", "100"),
        };
        let mut runs: [Vec<f64>; 3] = Default::default();
        for round in 0..rounds(effort) {
            for turn in 0..groups.len() {
                let index = (round + turn) % groups.len();
                let (Some(group), Some(runs)) = (groups.get(index), runs.get_mut(index)) else { continue };
                let place = Place { netns: ground::THIS_NETNS.to_owned(), cgroup: Some(group.clone()) };
                let seen: Opens = ask(&place, &["open", "/dev/null", batches, batch])?;
                runs.push(seen.ns / 1000.0);
            }
        }
        Ok(figures(&runs))
    })
}

fn figures(runs: &[Vec<f64>; 3]) -> Vec<Figure> {
    let [gated, passing, none] = runs;
    let more = |name: &str, runs: &[f64]| {
        let difference = Sample::zip(runs, none, |run, none| run - none);
        let ratio = Sample::zip(runs, none, |run, none| run / none).median();
        Figure::of(format!("device/more/{name}"), "us", &difference).over(ratio, "no gate").goal(GOAL)
    };
    vec![
        more("gated-granted", gated).note("looked up, granted, counted; told 2,000 times a second"),
        more("not-gated", passing).note("what every other device on the node pays"),
        Figure::of("device/open/gated-granted", "us", &Sample::from(gated.clone())),
        Figure::of("device/open/not-gated", "us", &Sample::from(passing.clone())),
        Figure::of("device/open/no-gate", "us", &Sample::from(none.clone())),
    ]
}

/// A node with one tenant, whose workload is the group below; with the memory devices gated and granted, or not.
fn gated(label: &str, memory: bool) -> Result<Site> {
    let ground = Ground::new(label)?;
    let group = format!("{}{POD}", ground.group);
    cgroup::make(&group)?;
    let id = std::fs::metadata(cgroup::dir(&group)?).context("control group")?.ino();
    let attachment = Attachment { cgroup: Some(id), ..Attachment::default() };
    let extra = ExtraClass { name: CLASS.to_owned(), kind: Kind::Char, major: MAJOR, role: Role::Control };
    let extra = if memory { vec![extra] } else { Vec::new() };
    let devices = DeviceTable::parse("Character devices:\n\nBlock devices:\n", "", &extra)
        .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let attachments = BTreeMap::from([("here".into(), attachment)]);
    let mut site = Site::open(ground, Layout { attachments, devices })?;
    let grant = v1::DeviceGrant { class: CLASS.to_owned(), minors: None };
    let mut tenant = crowd::tenant(0);
    tenant.devices = if memory { vec![grant] } else { Vec::new() };
    let workload = v1::Workload {
        name: "here".to_owned(),
        tenant: crowd::name(0),
        cgroup: Some(POD.to_owned()),
        host_network: true,
        ..v1::Workload::default()
    };
    let policy = v1::Snapshot { tenants: vec![tenant], workloads: vec![workload], ..v1::Snapshot::default() };
    site.change(&Change::Snapshot(policy))?;
    Ok(site)
}
