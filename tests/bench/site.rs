//! A wall of the bench's own with the policy pipeline in front of it, without an agent around them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use enforcer_agent::kernel::{self, KernelConfig, Wall};
use enforcer_core::device::table::DeviceTable;
use enforcer_core::enforce::Enforcement as _;
use enforcer_core::node::{Attachment, Capabilities, NodeFacts};
use enforcer_core::policy::change::{self, Change};
use enforcer_core::policy::image::Entries;
use enforcer_core::policy::model::{Name, Policy};
use enforcer_core::policy::plan::plan;
use enforcer_core::policy::problem::Problem;
use enforcer_lab::cgroup;

use crate::ground::Ground;

/// The agent's defaults, as its configuration page has them.
pub(crate) const CAPACITY: Entries = Entries {
    tenants: 16_384,
    pairs: 262_144,
    ports: 1_048_576,
    cidrs: 262_144,
    grants: 65_536,
    addresses: 1_100_000,
    interfaces: 4_096,
    cgroups: 16_384,
};
const FLOWS: u32 = 262_144;

/// What a site has beside the defaults.
#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) attachments: BTreeMap<Name, Attachment>,
    pub(crate) devices: DeviceTable,
}

/// A wall, its policy and its facts.
pub(crate) struct Site {
    pub(crate) wall: Wall,
    policy: Policy,
    facts: NodeFacts,
    revision: u64,
    pub(crate) ground: Ground,
}

impl Site {
    pub(crate) fn open(ground: Ground, layout: Layout) -> Result<Self> {
        let config = KernelConfig {
            pin_root: ground.pins.clone(),
            cgroup_root: cgroup::dir(&ground.group)?,
            device_audit: false,
            tag_mask: 0xffff_0000,
            tag_shift: 16,
            capacity: CAPACITY,
            flows: FLOWS,
            telling: kernel::TELLING,
        };
        let wall = Wall::open(&config).context("open the wall")?;
        let facts = NodeFacts {
            name: "bench".to_owned(),
            attachments: layout.attachments,
            devices: Arc::new(layout.devices),
            capabilities: Capabilities::all(),
            capacity: CAPACITY,
            tag_limit: 0xffff,
            ..NodeFacts::default()
        };
        let mut site = Self { wall, policy: Policy::default(), facts, revision: 0, ground };
        // What the node has by itself, its gates, is no difference between two policies.
        let bare = (&Policy::default(), &NodeFacts::default());
        let first = plan(bare, (&site.policy, &site.facts));
        let prepared = site.wall.prepare(&first)?;
        site.wall.commit(prepared, &first, 0)?;
        Ok(site)
    }

    /// Puts a change in force, and says how long it took from the message to the acknowledgement. Clearing the
    /// generation before it is not part of that: nobody waits for it.
    pub(crate) fn change(&mut self, change: &Change) -> Result<Duration> {
        let start = Instant::now();
        let changed = change::apply(&self.policy, change, now()).map_err(said)?;
        let next = plan((&self.policy, &self.facts), (&changed.policy, &self.facts));
        let prepared = self.wall.prepare(&next)?;
        self.revision += 1;
        let committed = self.wall.commit(prepared, &next, self.revision)?;
        let elapsed = start.elapsed();
        ensure!(committed.written > 0, "a change that changes nothing measures nothing");
        self.policy = changed.policy;
        self.wall.sweep()?;
        Ok(elapsed)
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

fn said(problems: Vec<Problem>) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}
