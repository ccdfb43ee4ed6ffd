//! A lab from up to down.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::agent::{self, Agent};
use crate::binaries::Binaries;
use crate::cgroup;
use crate::config::Config;
use crate::ctl::Ctl;
use crate::enter::Place;
use crate::hand::Hand;
use crate::link;
use crate::mount;
use crate::policy::Policy;
use crate::probe::Probe;
use crate::process::ProcessId;
use crate::record::Record;
use crate::spec::{LabName, Spec};
use crate::topology::{BPFFS, Node, Topology};

/// A lab that is up. Dropping it takes it down, unless it was told to stay.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    binaries: Binaries,
    agents: BTreeMap<String, Agent>,
    stays: bool,
}

impl Lab {
    /// Namespaces, control groups and directories; no agent yet. What a dead owner left behind is removed.
    ///
    /// # Errors
    /// A lab of this name is up, or the kernel refused; then nothing stays.
    pub fn up(spec: &Spec, binaries: Binaries) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("a lab makes network namespaces and control groups: run this as root");
        }
        if let Some(record) = Record::load(&spec.name)? {
            if record.is_owned() {
                bail!("lab {} is up: `cargo xtask lab down --name {}` takes it down", spec.name, spec.name);
            }
            down(&record.topology, &binaries.agent)?;
        }
        let topology = Topology::of(spec);
        let taken = left_behind(&topology)?;
        if !taken.is_empty() {
            bail!("lab {} would take what is already there: {}", spec.name, taken.join(", "));
        }
        let lab = Self { topology, binaries, agents: BTreeMap::new(), stays: false };
        lab.build()?;
        Ok(lab)
    }

    /// Starts every agent with the same words.
    ///
    /// # Errors
    /// One did not start.
    pub fn start_agents(&mut self, config: &Config) -> Result<()> {
        for name in self.node_names() {
            self.start_agent(&name, config)?;
        }
        Ok(())
    }

    /// Starts one agent.
    ///
    /// # Errors
    /// It did not start, or runs already.
    pub fn start_agent(&mut self, node: &str, config: &Config) -> Result<()> {
        if self.agents.contains_key(node) {
            bail!("the agent of {node} runs already");
        }
        let agent = Agent::start(self.node(node)?, &self.binaries, config)?;
        self.agents.insert(node.to_owned(), agent);
        self.save()
    }

    /// True when an agent was started on a node and not taken since.
    #[must_use]
    pub fn runs_agent(&self, node: &str) -> bool {
        self.agents.contains_key(node)
    }

    /// The process of a node's agent.
    ///
    /// # Errors
    /// None runs.
    pub fn agent_process(&self, node: &str) -> Result<ProcessId> {
        self.agents.get(node).map(Agent::process).with_context(|| format!("no agent runs on {node}"))
    }

    /// Takes an agent out of the lab's hands, to end it in one way or another.
    ///
    /// # Errors
    /// It does not run.
    pub fn take_agent(&mut self, node: &str) -> Result<Agent> {
        self.agents.remove(node).with_context(|| format!("no agent runs on {node}"))
    }

    /// Applies a policy on every node: exactly these documents.
    ///
    /// # Errors
    /// A node refused.
    pub fn apply(&self, policy: &Policy) -> Result<()> {
        self.topology.nodes.iter().try_for_each(|node| self.apply_on(node, policy))
    }

    /// Applies a policy on one node: exactly these documents.
    ///
    /// # Errors
    /// The node refused.
    pub fn apply_on(&self, node: &Node, policy: &Policy) -> Result<()> {
        let yaml = policy.yaml_for(&self.topology, node);
        self.ctl_of(node).run(&["apply", "-f", "-", "--prune"], &yaml).map(drop)
    }

    /// What it consists of.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The programs it runs.
    #[must_use]
    pub const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// A node by name.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.topology.node(name).with_context(|| format!("no node {name}"))
    }

    /// `enforcerctl` for a node.
    ///
    /// # Errors
    /// There is no such node.
    pub fn ctl(&self, node: &str) -> Result<Ctl> {
        Ok(self.ctl_of(self.node(node)?))
    }

    /// The probe in a workload, a node (as a process of no workload), or `world`.
    ///
    /// # Errors
    /// There is no such place.
    pub fn probe(&self, place: &str) -> Result<Probe> {
        Ok(Probe::new(self.binaries.probe.clone(), place_of(&self.topology, place)?))
    }

    /// Who connects in a workload, on a node or in the world, and hands the connection over.
    ///
    /// # Errors
    /// There is no such place.
    pub fn hand(&self, place: &str) -> Result<Hand> {
        Ok(Hand::new(self.binaries.probe.clone(), place_of(&self.topology, place)?))
    }

    /// Makes a character device node that no driver stands behind, or any other, and hands back its path.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn device_node(&self, name: &str, major: u64, minor: u64) -> Result<PathBuf> {
        let dir = self.topology.devices();
        fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        let path = dir.join(name);
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&path, SFlag::S_IFCHR, mode, makedev(major, minor))
            .with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }

    /// Leaves it up when this process ends.
    ///
    /// # Errors
    /// It could not be written down.
    pub fn stay(mut self) -> Result<Record> {
        self.stays = true;
        self.save()?;
        Record::load(&self.topology.spec.name)?.context("the lab's record is gone")
    }

    fn build(&self) -> Result<()> {
        fs::create_dir_all(self.topology.dir()).context("lab directory")?;
        self.save()?;
        mount_bpffs()?;
        for node in &self.topology.nodes {
            fs::create_dir_all(&node.dir).with_context(|| format!("{}", node.dir.display()))?;
            fs::set_permissions(&node.dir, fs::Permissions::from_mode(0o755))?;
            cgroup::make(&format!("{}/agent", node.cgroup))?;
            cgroup::make(&format!("{}/host", node.cgroup))?;
        }
        cgroup::make(&format!("{}/world", self.topology.cgroup()))?;
        for workload in &self.topology.workloads {
            cgroup::make(&workload.cgroup)?;
        }
        link::up(&self.topology)
    }

    fn node_names(&self) -> Vec<String> {
        self.topology.nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn ctl_of(&self, node: &Node) -> Ctl {
        Ctl::new(self.binaries.ctl.clone(), node.socket.clone())
    }

    fn save(&self) -> Result<()> {
        let owner = if self.stays { None } else { Some(ProcessId::of(i32::try_from(std::process::id())?)?) };
        let agents = self.agents.iter().map(|(node, agent)| (node.clone(), agent.process())).collect();
        Record { topology: self.topology.clone(), agents, owner }.save()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        for (_, agent) in std::mem::take(&mut self.agents) {
            let _gone = agent.kill();
        }
        if let Err(error) = down(&self.topology, &self.binaries.agent) {
            eprintln!("lab {}: {error:#}", self.topology.spec.name);
        }
    }
}

/// Where a program runs that is to run in a workload, on a node, or in the world.
///
/// # Errors
/// There is no such place.
pub fn place_of(topology: &Topology, name: &str) -> Result<Place> {
    if let Some(workload) = topology.workload(name) {
        return Ok(Place { netns: workload.netns.clone(), cgroup: Some(workload.cgroup.clone()) });
    }
    if let Some(node) = topology.node(name) {
        return Ok(Place { netns: node.netns.clone(), cgroup: Some(format!("{}/host", node.cgroup)) });
    }
    if name == "world" {
        let cgroup = Some(format!("{}/world", topology.cgroup()));
        return Ok(Place { netns: topology.world.netns.clone(), cgroup });
    }
    bail!("no workload or node is called {name}")
}

/// Takes a lab down by name, also one that was left half built; says whether there was one.
///
/// # Errors
/// Something could not be removed.
pub fn down_by_name(name: &LabName, agent: &Path) -> Result<bool> {
    let Some(record) = Record::load(name)? else { return Ok(false) };
    for process in record.agents.values() {
        process.signal(nix::sys::signal::Signal::SIGKILL)?;
    }
    down(&record.topology, agent)?;
    Ok(true)
}

/// Takes down everything that a lab of this shape has, and goes on when a part resists.
///
/// # Errors
/// Every part that resisted.
pub fn down(topology: &Topology, agent: &Path) -> Result<()> {
    let mut steps = vec![cgroup::kill_all(&topology.cgroup())];
    steps.extend(topology.nodes.iter().map(|node| agent::uninstall(node, agent)));
    steps.push(link::down(topology));
    steps.push(mount::clear(&topology.dir()));
    steps.push(remove_dir(&topology.pins()));
    steps.push(remove_dir(&topology.devices()));
    steps.push(cgroup::remove(&topology.cgroup()));
    let problems: Vec<String> =
        steps.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if !problems.is_empty() {
        // The record stays, so that `lab down` can be tried again.
        bail!("{}", problems.join("; "));
    }
    remove_dir(&topology.dir())?;
    remove_shared(topology)
}

/// What labs have in common goes with the last of them.
fn remove_shared(topology: &Topology) -> Result<()> {
    let group = cgroup::dir(&topology.cgroup())?;
    let (dir, pins) = (topology.dir(), topology.pins());
    for path in [dir.as_path(), pins.as_path(), group.as_path()].into_iter().filter_map(Path::parent) {
        match fs::remove_dir(path) {
            Err(error)
                if !matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EBUSY | libc::ENOENT)) =>
            {
                return Err(error).with_context(|| format!("remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What of a lab is still on this machine.
///
/// # Errors
/// The machine could not be asked.
pub fn left_behind(topology: &Topology) -> Result<Vec<String>> {
    let mut left: Vec<String> =
        link::left(topology).into_iter().map(|name| format!("network namespace {name}")).collect();
    for path in [topology.pins(), topology.devices(), topology.dir(), cgroup::dir(&topology.cgroup())?] {
        if path.exists() {
            left.push(path.display().to_string());
        }
    }
    Ok(left)
}

fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn mount_bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    let is_there =
        mounts.lines().any(|line| line.split(' ').nth(4) == Some(BPFFS) && line.contains(" - bpf "));
    if is_there {
        return Ok(());
    }
    let nothing = None::<&str>;
    nix::mount::mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), nothing)
        .with_context(|| format!("mount bpffs at {BPFFS}"))
}
