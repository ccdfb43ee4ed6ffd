//! One node, two tenants of which the first was granted the devices, and the devices themselves: a GPU of our own
//! where the kernel lets processes serve character devices (CUSE), and a disk that stands for one everywhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::cgroup;
use enforcer_lab::config::Config;
use enforcer_lab::ctl::Ctl;
use enforcer_lab::disk::{self, Disk};
use enforcer_lab::evidence;
use enforcer_lab::hold::Holder;
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::mark::Mark;
use enforcer_lab::policy::{Kind, Policy};
use enforcer_lab::probe::{Probe, Running};
use enforcer_lab::spec::Spec;
use enforcer_lab::verdict::Verdict;
use enforcer_lab::wait;
use enforcer_tests::runner::{Fixture, Skip};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};

use crate::matrix::Matrix;

/// The lab of these tests.
pub(crate) const LAB: &str = "thandles";
/// The node of the lab.
pub(crate) const NODE: &str = "n1";
/// A workload of the tenant that was granted the devices.
pub(crate) const OWNER: &str = "n1-t1-host";
/// Another workload of the same tenant.
pub(crate) const SIBLING: &str = "n1-t1-p1";
/// A workload of another tenant.
pub(crate) const OTHER: &str = "n1-t2-host";
/// The class of the disk.
const DISK: &str = "disk";
const DISK_BYTES: u64 = 1 << 20;
const GPU_LIMIT: Duration = Duration::from_secs(10);

/// The node and its devices.
pub(crate) struct Wall {
    /// What was opened before there was an agent, by the tenant that was granted nothing.
    pub early: Holder,
    pub lab: Lab,
    /// Measured once, and if that failed, not again.
    matrix: Option<Result<Matrix, String>>,
    /// The device that attacks are after: a GPU, or the disk.
    pub node: PathBuf,
    /// A device that can be mapped.
    pub mapped: PathBuf,
    /// The first's class and number, as grants and records have them.
    pub class: &'static str,
    pub minor: u32,
    _gpu: Option<Running>,
    disk: Disk,
    logged: usize,
}

/// The gate's configuration.
pub(crate) fn config() -> Config {
    let disk = json!({ "name": DISK, "kind": "block", "major": disk::MAJOR, "role": "accelerator" });
    Config::default()
        .with("deviceGate", json!({ "mode": "enforce", "hostServices": [], "extraClasses": [disk] }))
}

impl Wall {
    pub(crate) fn new() -> Result<Self> {
        let lab = Lab::up(&Spec::new(LAB.parse()?, 1, 2, 1)?, Binaries::find()?)?;
        let node = lab.node(NODE)?;
        cgroup::make(&format!("{}/elsewhere", node.cgroup))?;
        std::fs::create_dir_all(lab.topology().pins())?;
        let disk = Disk::new(DISK_BYTES)?;
        let devices = lab.topology().devices();
        std::fs::create_dir_all(&devices)?;
        let mapped = devices.join(DISK);
        let number = makedev(disk::MAJOR.into(), disk.minor().into());
        mknod(&mapped, SFlag::S_IFBLK, Mode::S_IRUSR | Mode::S_IWUSR, number)?;
        let gpu = gpu(&lab)?;
        let (node, class, minor) = match &gpu {
            Some(_) => (lab.device_node("nvidia0", 195, 0)?, "nvidia", 0),
            None => (mapped.clone(), DISK, disk.minor()),
        };
        let early = Holder::new(&lab.binaries().probe, &place_of(lab.topology(), OTHER)?, &node)?;
        Ok(Self { early, lab, matrix: None, node, mapped, class, minor, _gpu: gpu, disk, logged: 0 })
    }

    /// Both tenants in a tier. A dedicated node has room for one: there the other group belongs to nobody.
    pub(crate) fn policy(&self, tier: &str) -> Policy {
        let mut policy = Policy::of(self.lab.topology());
        let pods = ["n1-t1-p1", "n1-t2-p1"];
        for pod in pods {
            policy = policy.without(Kind::Workload, pod);
        }
        let topology = self.lab.topology();
        if let Some(sibling) = topology.workload(SIBLING) {
            let spec = json!({ "tenant": "t1", "node": NODE, "serviceAccount": SIBLING, "hostNetwork": true,
                "cgroup": topology.cgroup_in_node(sibling) });
            policy.put(Kind::Workload, SIBLING, spec);
        }
        for tenant in ["t1", "t2"] {
            policy = policy.with_word(Kind::Tenant, tenant, "tier", json!(tier));
        }
        if tier == "dedicated" {
            policy = policy.without(Kind::Workload, OTHER).without(Kind::Tenant, "t2");
        }
        policy.with_word(Kind::Tenant, "t1", "devices", self.grants())
    }

    fn grants(&self) -> Value {
        let disk = json!({ "class": DISK, "minors": [self.disk.minor()] });
        if self.class == DISK { json!([disk]) } else { json!([disk, { "class": self.class, "minors": [0] }]) }
    }

    /// Applies a policy; `Err` inside is the node's refusal.
    pub(crate) fn push(&self, policy: &Policy) -> Result<Result<(), String>> {
        let yaml = policy.yaml_for(self.lab.topology(), self.lab.node(NODE)?);
        let answer = self.ctl()?.call(&["apply", "-f", "-", "--prune"], &yaml)?;
        Ok(if answer.code == 0 { Ok(()) } else { Err(format!("{}{}", answer.out, answer.err)) })
    }

    pub(crate) fn ctl(&self) -> Result<Ctl> {
        self.lab.ctl(NODE)
    }

    /// An attack on the owner's device, by a process of another workload's group.
    pub(crate) fn attack(&self, word: &str, from: &str) -> Result<Verdict> {
        let agent = match self.lab.agent_process(NODE) {
            Ok(agent) => agent.pid,
            // Somebody has to stand for it where there is none.
            Err(_) => i32::try_from(std::process::id())?,
        };
        let elsewhere = cgroup::dir(&format!("{}/elsewhere", self.lab.node(NODE)?.cgroup))?;
        let text = |path: &Path| path.display().to_string();
        let (owner, other) = (self.group(OWNER)?, self.group(from)?);
        let arguments = [
            ("--node", text(&self.node)),
            ("--mapped", text(&self.mapped)),
            ("--owner", text(&owner)),
            ("--other", text(&other)),
            ("--elsewhere", text(&elsewhere)),
            ("--pins", text(&self.lab.topology().pins())),
            ("--agent", agent.to_string()),
        ];
        let mut words = vec!["attack", word];
        words.extend(arguments.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        self.outsider()?.ask(&words)
    }

    /// Has a workload open the device and keep it.
    pub(crate) fn hold(&self, workload: &str, node: &Path) -> Result<Holder> {
        Holder::new(&self.lab.binaries().probe, &place_of(self.lab.topology(), workload)?, node)
    }

    /// The device that attacks are after, as the command line names it.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.class, self.minor)
    }

    /// Where that is the disk: it lives as long as this process has it open.
    pub(crate) fn is_held_by_this_process(&self) -> bool {
        self.class == DISK
    }

    /// The device that can be mapped.
    pub(crate) fn mapped_name(&self) -> String {
        format!("{DISK}:{}", self.disk.minor())
    }

    /// Where the node's records stand.
    pub(crate) fn mark(&self) -> Result<Mark> {
        Mark::at(self.ctl()?)
    }

    /// Whether what a process does with an open device passes the gate too, and why not.
    pub(crate) fn handles(&self) -> Result<Result<(), String>> {
        let status = self.ctl()?.json(&["status"])?;
        let all = status["capabilities"].as_array().context("capabilities")?;
        let handles = all.iter().find(|capability| capability["name"] == "device-handles");
        let handles = handles.with_context(|| status.to_string())?;
        let why = || handles["reason"].as_str().unwrap_or_default().to_owned();
        Ok(if handles["present"] == true { Ok(()) } else { Err(why()) })
    }

    /// Whether this kernel runs programs at its security hooks: its own word, not the agent's.
    pub(crate) fn kernel_runs_hooks(&self) -> Result<bool> {
        Ok(self.outsider()?.ask::<Verdict>(&["hooks"])? == Verdict::Done)
    }

    /// For cases that can only be tried where open devices pass the gate too.
    pub(crate) fn need_handles(&self) -> Result<()> {
        self.handles()?.map_err(|why| Skip(format!("open devices do not pass the gate here: {why}")).into())
    }

    /// The matrix, measured by the first case that asks.
    pub(crate) fn matrix(&mut self) -> Result<&Matrix> {
        if self.matrix.is_none() {
            self.matrix = Some(Matrix::measure(self).map_err(|error| format!("{error:#}")));
        }
        match self.matrix.as_ref().context("the matrix")? {
            Ok(matrix) => Ok(matrix),
            Err(problem) => bail!("the matrix could not be measured: {problem}"),
        }
    }

    /// The probe in no control group of the node.
    fn outsider(&self) -> Result<Probe> {
        self.lab.probe("world")
    }

    fn group(&self, workload: &str) -> Result<PathBuf> {
        let workload = self.lab.topology().workload(workload).with_context(|| workload.to_owned())?;
        cgroup::dir(&workload.cgroup)
    }
}

/// A GPU, where the kernel can be given one: not beside a real one, and not without CUSE.
fn gpu(lab: &Lab) -> Result<Option<Running>> {
    let devices = std::fs::read_to_string("/proc/devices")?;
    let real = devices.lines().any(|line| line.trim_start().starts_with("195 "));
    if real || !Path::new("/dev/cuse").exists() {
        return Ok(None);
    }
    let gpu = lab.probe("world")?.start(&["gpu", "--name", "nvidia0"])?;
    wait::until_true("the GPU is there", GPU_LIMIT, || Ok(Path::new("/sys/class/cuse/nvidia0").exists()))?;
    Ok(Some(gpu))
}

impl Fixture for Wall {
    fn before(&mut self) -> Result<()> {
        self.matrix()?;
        if let Err(problem) = self.push(&self.policy("shared"))? {
            bail!("{problem}");
        }
        self.logged = evidence::errors_logged(self.lab.node(NODE)?)?.len();
        Ok(())
    }

    fn after(&mut self, _: &[&str]) -> Result<()> {
        match evidence::errors_logged(self.lab.node(NODE)?)?.get(self.logged) {
            Some(error) => bail!("the agent logged: {error}"),
            None => Ok(()),
        }
    }
}
