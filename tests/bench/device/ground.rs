//! Three places for one process: where its device is gated and granted, where a wall stands and gates something else, and
//! where there is no wall.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use enforcer_core::device::class::{Kind, Role};
use enforcer_core::device::table::{DeviceTable, ExtraClass};
use enforcer_core::enforce::{HookState, Inspection as _};
use enforcer_core::node::Attachment;
use enforcer_core::policy::change::Change;
use enforcer_lab::cgroup;
use enforcer_lab::enter::Place;
use enforcer_proto::v1;

use crate::crowd;
use crate::figure::{Figure, Goal};
use crate::ground::{self, Ground};
use crate::peer::{Each, ask};
use crate::sample::Sample;
use crate::site::{Layout, Site};
use crate::suite::Effort;

/// As deep as Kubernetes puts a container.
pub(super) const POD: &str = "/pods/burstable/pod/container";
/// The memory devices, `/dev/null` and `/dev/zero` among them: gated for the bench's own control group and nobody else's.
const CLASS: &str = "char:1";
const MAJOR: u32 = 1;

/// The three places.
pub(super) struct Three {
    gated: Site,
    passing: Site,
    plain: Ground,
}

/// Runs of one thing in each of the places.
pub(super) struct Runs {
    gated: Vec<f64>,
    passing: Vec<f64>,
    none: Vec<f64>,
}

impl Three {
    pub(super) fn new(label: &str) -> Result<Self> {
        let plain = Ground::new(&format!("{label}-none"))?;
        cgroup::make(&format!("{}{POD}", plain.group))?;
        Ok(Self {
            gated: gated(&format!("{label}-gated"), true)?,
            passing: gated(&format!("{label}-other"), false)?,
            plain,
        })
    }

    /// Asks the same of a peer in each place, in turns.
    pub(super) fn ask(&self, arguments: &[&str], effort: Effort) -> Result<Runs> {
        let (batches, batch) = match effort {
            Effort::Full => ("200", "500"),
            Effort::Quick => ("20", "100"),
        };
        let arguments = [arguments, &[batches, batch]].concat();
        let groups = [&self.gated.ground, &self.passing.ground, &self.plain];
        let groups = groups.map(|ground| format!("{}{POD}", ground.group));
        let mut runs: [Vec<f64>; 3] = Default::default();
        for round in 0..super::rounds(effort) {
            for turn in 0..groups.len() {
                let index = (round + turn) % groups.len();
                let (Some(group), Some(runs)) = (groups.get(index), runs.get_mut(index)) else { continue };
                let place = Place { netns: ground::THIS_NETNS.to_owned(), cgroup: Some(group.clone()) };
                runs.push(ask::<Each>(&place, &arguments)?.ns / 1000.0);
            }
        }
        let [gated, passing, none] = runs;
        Ok(Runs { gated, passing, none })
    }

    /// Which of the programs at hooks of BPF LSM run here.
    pub(super) fn hooks(&self) -> String {
        let all = self.gated.wall.hooks();
        let at_files: Vec<_> = all.iter().filter(|hook| hook.name.starts_with("lsm/")).collect();
        let running = at_files.iter().filter(|hook| hook.state == HookState::Verified).count();
        match (running, at_files.iter().find(|hook| hook.state != HookState::Verified)) {
            (_, None) => format!("all {running} LSM programs run"),
            (0, Some(_)) => "NO program at this hook: BPF LSM is absent here, so this is noise".to_owned(),
            (_, Some(missing)) => format!("{running} LSM programs run; not {}", missing.name),
        }
    }
}

impl Runs {
    /// How much more than without a wall, and what it is in each place.
    pub(super) fn figures(&self, name: &str, goal: Option<Goal>, note: &str) -> Vec<Figure> {
        let more = |place: &str, runs: &[f64]| {
            let difference = Sample::zip(runs, &self.none, |run, none| run - none);
            let ratio = Sample::zip(runs, &self.none, |run, none| run / none).median();
            let figure = Figure::of(format!("device/more/{name}/{place}"), "us", &difference);
            let figure = figure.over(ratio, "no gate");
            goal.map_or(figure.clone(), |goal| figure.goal(goal))
        };
        let is = |place: &str, runs: &[f64]| {
            Figure::of(format!("device/{name}/{place}"), "us", &Sample::from(runs.to_vec()))
        };
        vec![
            more("gated-granted", &self.gated).note(note),
            more("not-gated", &self.passing).note("what every other device on the node pays"),
            is("gated-granted", &self.gated),
            is("not-gated", &self.passing),
            is("no-gate", &self.none).note("the floor: the system call itself"),
        ]
    }
}

/// A node with one tenant, whose workload is the group below; with the memory devices gated and granted, or not.
pub(super) fn gated(label: &str, memory: bool) -> Result<Site> {
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
