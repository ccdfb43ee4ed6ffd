//! One node without traffic: a network namespace of our own with an interface for each workload, the wall with
//! pins and a control group of its own, and a second load of the same object over the same tables to run packets
//! through.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, HashMap, Map, MapData};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader, Pod};
use enforcer_agent::kernel::{self, EventReader, KernelConfig, Wall};
use enforcer_common::event::{Event, PacketEvent};
use enforcer_common::maps::{
    BucketValue, CounterKey, CounterValue, FlowKey, FlowValue, FragmentKey, FragmentValue, Settings,
};
use enforcer_common::telling::Telling;
use enforcer_core::enforce::{Enforcement as _, Inspection as _};
use enforcer_core::event::batch::Batch;
use enforcer_core::event::decode::{Decoded, decode};
use enforcer_core::node::{Attachment, Capabilities, NodeFacts};
use enforcer_core::policy::change::{self, Change};
use enforcer_core::policy::compile::compile;
use enforcer_core::policy::image::{Entries, Image};
use enforcer_core::policy::model::Policy;
use enforcer_core::policy::parse::yaml;
use enforcer_core::policy::plan::plan_from_image;
use enforcer_tests::runner::Fixture;
use nix::sched::{CloneFlags, unshare};

/// The policy every case starts with.
pub(crate) const POLICY: &str = include_str!("policy.yaml");
/// Workloads with an interface, in the order of their interfaces.
pub(crate) const WORKLOADS: [&str; 4] = ["red-a", "red-b", "blue-a", "ops-a"];
/// The node's own address.
pub(crate) const HOST: &str = "10.0.0.254";
pub(crate) const TAG: Settings = Settings { abi: 0, flags: 0, tag_mask: 0xffff_0000, tag_shift: 16 };

const CONTEXT_BYTES: usize = 192;
const MARK: usize = 8;
const FROM: usize = 36;
const INTERFACE: usize = 40;

/// `TC_ACT_UNSPEC`, which a tcx program returns to say "next".
pub(crate) const PASSED: i32 = -1;
/// `TC_ACT_SHOT`.
pub(crate) const DROPPED: i32 = 2;

pub(crate) struct Node {
    pub(crate) wall: Wall,
    pub(crate) policy: Policy,
    pub(crate) facts: NodeFacts,
    pub(crate) image: Image,
    pub(crate) events: EventReader,
    programs: Ebpf,
    revision: u64,
    ground: Ground,
}

/// What must go in the end, whatever happens.
pub(crate) struct Ground {
    pins: PathBuf,
    cgroup: PathBuf,
}

impl Ground {
    fn new(name: &str) -> Result<Self> {
        let name = format!("enforcer-{name}-{}", std::process::id());
        let ground = Self { pins: Path::new("/sys/fs/bpf").join(&name), cgroup: cgroup2()?.join(&name) };
        std::fs::create_dir(&ground.cgroup)?;
        Ok(ground)
    }

    pub(crate) fn pins(&self) -> &Path {
        &self.pins
    }

    pub(crate) fn config(&self) -> KernelConfig {
        KernelConfig {
            pin_root: self.pins.clone(),
            cgroup_root: self.cgroup.clone(),
            device_audit: false,
            tag_mask: TAG.tag_mask,
            tag_shift: TAG.tag_shift,
            capacity: Entries {
                tenants: 64,
                pairs: 64,
                ports: 512,
                cidrs: 64,
                grants: 64,
                addresses: 64,
                interfaces: 16,
                cgroups: 16,
            },
            flows: 4096,
            telling: kernel::TELLING,
        }
    }

    /// Where the tables are pinned.
    fn maps(&self) -> Result<PathBuf> {
        Ok(std::fs::read_dir(&self.pins)?.next().context("no ABI directory")??.path().join("maps"))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = kernel::uninstall(&self.pins);
        let _ = std::fs::remove_dir(&self.cgroup);
    }
}

/// What a packet did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) action: i32,
    pub(crate) mark: u32,
    /// Counters that moved, and by how much.
    pub(crate) counters: Vec<(CounterKey, CounterValue)>,
    pub(crate) events: Vec<Event>,
    /// The same and all else that was told.
    pub(crate) told: Vec<Decoded>,
}

impl Node {
    pub(crate) fn new() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace needs root")?;
        ip(&["link", "set", "lo", "up"])?;
        let mut attachments = BTreeMap::new();
        for (number, name) in WORKLOADS.iter().enumerate() {
            let host = format!("w{number}");
            ip(&["link", "add", &host, "type", "veth", "peer", "name", &format!("{host}p")])?;
            let interface = nix::net::if_::if_nametoindex(host.as_str())?;
            let attachment = Attachment { interface: Some(interface), ..Attachment::default() };
            attachments.insert((*name).into(), attachment);
        }
        let ground = Ground::new("programs")?;
        let config = ground.config();
        let mut wall = Wall::open(&config)?;
        let events = wall.take_events().context("the event reader is taken")?;
        let programs = second_load(&ground)?;
        let facts = NodeFacts {
            name: "node".to_owned(),
            addresses: BTreeSet::from([HOST.parse()?]),
            attachments,
            capabilities: Capabilities::all(),
            capacity: config.capacity,
            tag_limit: 0xffff,
            ..NodeFacts::default()
        };
        let (policy, image) = (Policy::default(), Image::default());
        Ok(Self { wall, policy, facts, image, events, programs, revision: 0, ground })
    }

    /// Room for another wall, beside this one.
    pub(crate) fn another_ground(&self) -> Result<Ground> {
        Ground::new("programs-other")
    }

    /// Puts YAML documents in force, and nothing else.
    pub(crate) fn apply(&mut self, text: &str) -> Result<()> {
        let documents = yaml::documents(&[("policy.yaml", text)]).map_err(said)?;
        let change = Change::Documents { documents, prune: true };
        let changed = change::apply(&self.policy, &change, 1).map_err(said)?;
        self.policy = changed.policy;
        self.commit()
    }

    /// Compiles policy and facts, and commits what differs from the kernel.
    pub(crate) fn commit(&mut self) -> Result<()> {
        self.put(compile(&self.policy, &self.facts))
    }

    /// Puts an image in force that no policy need compile to.
    pub(crate) fn put(&mut self, wanted: Image) -> Result<()> {
        let plan = plan_from_image(&self.wall.read_back()?, &wanted);
        let prepared = self.wall.prepare(&plan)?;
        self.revision += 1;
        self.wall.commit(prepared, &plan, self.revision)?;
        self.wall.sweep()?;
        ensure!(self.wall.read_back()? == wanted, "the kernel holds something else than was compiled");
        self.image = wanted;
        Ok(())
    }

    /// The control group whose processes the socket hooks cover.
    pub(crate) fn cgroup(&self) -> &Path {
        &self.ground.cgroup
    }

    pub(crate) fn interface(&self, workload: &str) -> u32 {
        self.facts
            .attachments
            .get(workload)
            .and_then(|found| found.interface)
            .expect("a workload of the fixture")
    }

    /// A workload sends a frame.
    pub(crate) fn send(&mut self, workload: &str, frame: &[u8]) -> Result<Outcome> {
        let interface = self.interface(workload);
        self.run("from_workload", interface, 0, frame)
    }

    /// A workload is sent a frame with a mark.
    pub(crate) fn deliver(&mut self, workload: &str, mark: u32, frame: &[u8]) -> Result<Outcome> {
        let interface = self.interface(workload);
        self.run("to_workload", interface, mark, frame)
    }

    /// A workload is sent a frame that came in from an interface (0: that was made on the node).
    pub(crate) fn forward(&mut self, workload: &str, from: u32, frame: &[u8]) -> Result<Outcome> {
        let interface = self.interface(workload);
        self.run_from("to_workload", interface, 0, from, frame)
    }

    pub(crate) fn run(&mut self, program: &str, interface: u32, mark: u32, frame: &[u8]) -> Result<Outcome> {
        self.run_from(program, interface, mark, 0, frame)
    }

    fn run_from(
        &mut self,
        program: &str,
        interface: u32,
        mark: u32,
        from: u32,
        frame: &[u8],
    ) -> Result<Outcome> {
        let before: BTreeMap<_, _> = self.wall.counters()?.into_iter().collect();
        self.drain();
        let program: &mut SchedClassifier =
            self.programs.program_mut(program).context("no such program")?.try_into()?;
        let mut context = [0_u8; CONTEXT_BYTES];
        context[MARK..MARK + 4].copy_from_slice(&mark.to_ne_bytes());
        context[FROM..FROM + 4].copy_from_slice(&from.to_ne_bytes());
        context[INTERFACE..INTERFACE + 4].copy_from_slice(&interface.to_ne_bytes());
        let mut after = context;
        let result = program.test_run(TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            ctx_out: Some(&mut after),
            ..TestRunOptions::default()
        })?;
        let counters = self.wall.counters()?.into_iter().filter_map(|(key, now)| {
            let old = before.get(&key).copied().unwrap_or_default();
            let moved = CounterValue { packets: now.packets - old.packets, bytes: now.bytes - old.bytes };
            (moved != CounterValue::default()).then_some((key, moved))
        });
        let counters = counters.collect();
        let mark = u32::from_ne_bytes(after[MARK..MARK + 4].try_into()?);
        let told = self.told();
        let events = decisions(&told);
        Ok(Outcome { action: result.return_value.cast_signed(), mark, counters, events, told })
    }

    /// A workload sends a frame so often, and nobody reads what is told.
    pub(crate) fn repeat(&mut self, workload: &str, frame: &[u8], times: u32) -> Result<i32> {
        let interface = self.interface(workload);
        let program: &mut SchedClassifier =
            self.programs.program_mut("from_workload").context("no such program")?.try_into()?;
        let mut context = [0_u8; CONTEXT_BYTES];
        context[INTERFACE..INTERFACE + 4].copy_from_slice(&interface.to_ne_bytes());
        let result = program.test_run(TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            repeat: times,
            ..TestRunOptions::default()
        })?;
        Ok(result.return_value.cast_signed())
    }

    /// Changes how much is told, until the end of the case.
    pub(crate) fn tell(&self, change: impl FnOnce(&mut Telling)) -> Result<()> {
        let mut telling = kernel::TELLING;
        change(&mut telling);
        let pin = MapData::from_pin(self.ground.maps()?.join("TELLING"))?;
        let mut table = Array::<_, Telling>::try_from(Map::Array(pin))?;
        Ok(table.set(0, telling, 0)?)
    }

    /// Forgets who has taken which tokens.
    pub(crate) fn full_buckets(&self) -> Result<()> {
        clear::<u32, BucketValue>(&self.ground.maps()?.join("BUCKETS"))
    }

    /// Forgets every flow and datagram of earlier cases.
    fn forget(&self) -> Result<()> {
        let maps = self.ground.maps()?;
        clear::<FlowKey, FlowValue>(&maps.join("FLOWS"))?;
        clear::<FragmentKey, FragmentValue>(&maps.join("FRAGMENTS"))
    }

    /// The decisions that were told since the last time.
    pub(crate) fn drain(&mut self) -> Vec<Event> {
        decisions(&self.told())
    }

    /// Everything that was told since the last time.
    pub(crate) fn told(&mut self) -> Vec<Decoded> {
        let mut batch = Batch::default();
        while self.events.drain(1024, &mut batch) == 1024 {}
        batch.iter().filter_map(|bytes| decode(bytes).ok()).collect()
    }
}

fn decisions(told: &[Decoded]) -> Vec<Event> {
    let decision = |decoded: &Decoded| match decoded {
        Decoded::Decision(event) | Decoded::Packet(PacketEvent { event, .. }) => Some(*event),
        Decoded::Socket(_) | Decoded::Process(_) | Decoded::Unknown(_) => None,
    };
    told.iter().filter_map(decision).collect()
}

impl Fixture for Node {
    fn before(&mut self) -> Result<()> {
        self.tell(|_| {})?;
        self.forget()?;
        self.policy = Policy::default();
        self.facts.clock_offset_ns = 0;
        self.apply(POLICY)
    }

    fn after(&mut self, _reasons: &[&str]) -> Result<()> {
        Ok(())
    }
}

/// The interface programs again, over the very tables of the wall.
fn second_load(ground: &Ground) -> Result<Ebpf> {
    let maps = ground.maps()?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&maps)? {
        names.push(entry?.file_name().into_string().unwrap_or_default());
    }
    let mut loader = EbpfLoader::new();
    for name in &names {
        loader.map_pin_path(name.as_str(), maps.join(name));
    }
    let mut object = loader.load(kernel::object())?;
    for name in ["from_workload", "to_workload"] {
        let program: &mut SchedClassifier =
            object.program_mut(name).context("no such program")?.try_into()?;
        program.load()?;
    }
    Ok(object)
}

fn clear<K: Pod, V: Pod>(pin: &Path) -> Result<()> {
    let mut table = HashMap::<_, K, V>::try_from(Map::from_map_data(MapData::from_pin(pin)?)?)?;
    let keys = table.keys().collect::<Result<Vec<_>, _>>()?;
    keys.iter().try_for_each(|key| Ok(table.remove(key)?))
}

pub(crate) fn ip(arguments: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(arguments).status().context("run ip")?;
    if !status.success() {
        bail!("ip {} failed", arguments.join(" "));
    }
    Ok(())
}

fn cgroup2() -> Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let found = mounts.lines().find(|line| line.contains(" - cgroup2 ")).context("no cgroup2 mount")?;
    Ok(found.split(' ').nth(4).context("a mountinfo line has five fields")?.into())
}

pub(crate) fn said(problems: Vec<enforcer_core::policy::problem::Problem>) -> anyhow::Error {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("{} {}: {}", problem.code, problem.path, problem.message))
        .collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
