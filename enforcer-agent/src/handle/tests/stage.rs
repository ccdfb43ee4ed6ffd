//! A kernel that answers what it is told to, and records that are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_common::device::{ACCESS_READ, ACCESS_WRITE};
use enforcer_core::device::class::Kind;
use enforcer_core::device::holding::{Files, GateCustody, HandleSweep, Holding, Touched, Via};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::node::{Attachment, Capability, NodeFacts};
use enforcer_core::policy::model::{
    DataClassification, DeviceGrant, Mode, Name, Policy, Tenant, Tier, Workload,
};
use enforcer_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::door::device::{Door, HandleCommand, Revocation, STEPS_MAX};
use crate::door::policy::{Command as PolicyCommand, DeviceCommand, InForce, PolicyDoor, Revision};
use crate::door::stop::Stopper;
use crate::group::{Canary, Groups};
use crate::handle::{Parts, Settings, open};

pub(super) const RED: u32 = 16;
pub(super) const AT: u64 = 1_700_000_000_000_000_000;

pub(super) fn gpu(minor: u32) -> DeviceNumber {
    DeviceNumber { kind: Kind::Char, major: 195, minor }
}

/// What the kernel holds and how it behaves.
#[derive(Default)]
pub(super) struct Kernel {
    pub(super) custody: BTreeMap<DeviceNumber, GateCustody>,
    /// Only those of processes that are alive are told.
    pub(super) holdings: Vec<Holding>,
    pub(super) touched: Vec<Touched>,
    pub(super) lacking: Option<String>,
    /// The gate does not close.
    pub(super) is_stuck: bool,
    /// The gate does not answer before this is so.
    pub(super) waits: bool,
    pub(super) is_slow: bool,
}

impl Kernel {
    fn sweep(&self) -> HandleSweep {
        let is_alive = |holding: &&Holding| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", holding.process));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        HandleSweep {
            boot_ns: 1,
            holdings: self.holdings.iter().filter(is_alive).copied().collect(),
            files: Files::Absent("no BPF LSM".to_owned()),
            touched: self.touched.clone(),
            lacking: self.lacking.clone(),
        }
    }
}

/// The room, its kernel, and what it told.
pub(super) struct Stage {
    pub(super) door: Door<HandleCommand>,
    pub(super) kernel: Arc<Mutex<Kernel>>,
    pub(super) told: Arc<Mutex<Vec<v1::Record>>>,
    pub(super) stopper: Stopper,
    tasks: [JoinHandle<()>; 2],
    _in_force: watch::Sender<Arc<InForce>>,
}

/// What a stage differs in.
pub(super) struct Set {
    pub(super) settings: Settings,
    pub(super) cgroup_root: PathBuf,
    /// Where red's one workload is.
    pub(super) workload: Option<u64>,
    pub(super) handles: Capability,
}

impl Default for Set {
    fn default() -> Self {
        Self {
            settings: Settings {
                sweep: Duration::from_secs(3_600),
                patience: Duration::ZERO,
                pod_resources: None,
                reset: None,
                reset_within: Duration::from_secs(5),
            },
            cgroup_root: PathBuf::from("/nowhere"),
            workload: None,
            handles: Capability::Absent("no BPF LSM".to_owned()),
        }
    }
}

impl Stage {
    pub(super) fn set(set: Set) -> Self {
        let kernel = Arc::new(Mutex::new(Kernel::default()));
        let (commands, inbox) = mpsc::channel(8);
        let in_force = watch::Sender::new(Arc::new(in_force(&set)));
        let told: Arc<Mutex<Vec<v1::Record>>> = Arc::default();
        let (records, stopper) = (Arc::clone(&told), Stopper::default());
        let (door, room) = open(Parts {
            node: "here".to_owned(),
            settings: set.settings,
            cgroup_root: set.cgroup_root,
            policy: PolicyDoor::new(commands, in_force.subscribe()),
            custody: None,
            driver_processes: None,
            driver_ids: None,
            tell: Arc::new(move |record| records.lock().unwrap().push(record)),
            clock: || AT,
            stop: stopper.listener(),
        });
        let tasks = [tokio::spawn(answer(Arc::clone(&kernel), inbox)), tokio::spawn(room)];
        Self { door, kernel, told, stopper, tasks, _in_force: in_force }
    }

    pub(super) async fn handles(&self) -> Result<v1::HandlesResponse, String> {
        let all = v1::HandlesRequest::default();
        self.door.ask(|reply| HandleCommand::Handles(all, reply)).await.unwrap()
    }

    /// Begins a revocation of the first GPU, or says why not.
    pub(super) async fn begin(&self, to: &str, ms: u32) -> Result<mpsc::Receiver<v1::RevokeStep>, String> {
        let of = v1::revoke_request::Of::Device("nvidia:0".to_owned());
        self.begin_of(of, to, ms).await
    }

    pub(super) async fn begin_of(
        &self,
        of: v1::revoke_request::Of,
        to: &str,
        ms: u32,
    ) -> Result<mpsc::Receiver<v1::RevokeStep>, String> {
        let request = v1::RevokeRequest {
            of: Some(of),
            to: to.to_owned(),
            deadline_ms: Some(ms),
            reason: "test".to_owned(),
        };
        let (told, steps) = mpsc::channel(STEPS_MAX);
        let revocation = Revocation { request, actor: "uid:0".to_owned() };
        let answer = self.door.ask(|reply| HandleCommand::Revoke(revocation, told, reply)).await.unwrap();
        answer.map(|()| steps)
    }

    /// All steps, as `step outcome`, and the last word's strength.
    pub(super) async fn revoke(&self, to: &str, ms: u32) -> (Vec<String>, String) {
        let mut steps = self.begin(to, ms).await.unwrap();
        let (mut words, mut strength) = (Vec::new(), String::new());
        while let Some(step) = steps.recv().await {
            words.push(format!("{} {}", step.step, step.outcome));
            strength = step.strength;
        }
        (words, strength)
    }

    pub(super) fn events(&self, kind: &str) -> Vec<v1::Note> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|record| record.r#type == kind).filter_map(|record| record.note.clone()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn answer(kernel: Arc<Mutex<Kernel>>, mut inbox: mpsc::Receiver<PolicyCommand>) {
    while let Some(command) = inbox.recv().await {
        while kernel.lock().unwrap().waits {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if kernel.lock().unwrap().is_slow {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let mut kernel = kernel.lock().unwrap();
        match command {
            PolicyCommand::Devices(DeviceCommand::SetCustody(device, custody, reply)) => {
                if let (Some(custody), false) = (custody, kernel.is_stuck) {
                    kernel.custody.insert(device, custody);
                }
                drop(reply.send(Ok(())));
            }
            PolicyCommand::Devices(DeviceCommand::Custody(reply)) => {
                drop(reply.send(Ok(kernel.custody.clone())));
            }
            PolicyCommand::Devices(DeviceCommand::Handles(reply)) => drop(reply.send(Ok(kernel.sweep()))),
            other => panic!("nobody asks {other:?}"),
        }
    }
}

/// Red was granted the first GPU, and has a workload in namespace `ml`.
fn in_force(set: &Set) -> InForce {
    let mut policy = Policy::default();
    let red: Name = "red".into();
    policy.index.tenant_by_id.insert(RED, Name::clone(&red));
    policy.tenants.insert(Name::clone(&red), Arc::new(tenant(&red)));
    policy.workloads.insert("train".into(), Arc::new(workload(&red)));
    let mut facts = NodeFacts { name: "here".to_owned(), ..NodeFacts::default() };
    facts.capabilities.device_handles = set.handles.clone();
    let place = Attachment { cgroup: set.workload, ..Attachment::default() };
    facts.attachments.insert("train".into(), place);
    let current = Arc::new(Revision {
        number: 1,
        time: AT,
        author: "test".to_owned(),
        source: "file".to_owned(),
        digest: None,
        policy: Arc::new(policy),
    });
    InForce { history: vec![Arc::clone(&current)], current, facts: Arc::new(facts), ready: true }
}

fn tenant(name: &Name) -> Tenant {
    Tenant {
        name: Name::clone(name),
        id: RED,
        tier: Tier::Isolated,
        data_classification: DataClassification::Internal,
        mode: Mode::Enforce,
        platform_service: false,
        egress: Vec::new(),
        devices: vec![DeviceGrant { class: "nvidia".into(), minors: Some(vec![0]) }],
    }
}

fn workload(tenant: &Name) -> Workload {
    Workload {
        name: "train".into(),
        tenant: Name::clone(tenant),
        node: None,
        cgroup: Some("/train".to_owned()),
        interface: None,
        network_namespace: None,
        host_network: false,
        addresses: Vec::new(),
        namespace: "ml".to_owned(),
        service_account: String::new(),
        lease_until: None,
        encapsulations: 0,
    }
}

/// A process that holds the first GPU, as far as the kernel on stage says.
pub(super) fn holding(process: u32, cgroup: u64, identity: u32) -> Holding {
    Holding {
        device: gpu(0),
        file: u64::from(process),
        via: Via::Descriptor(3),
        process,
        cgroup,
        identity,
        access: ACCESS_READ | ACCESS_WRITE,
    }
}

/// A real process in a real control group. Both are gone when it is dropped.
pub(super) struct Sleeper {
    pub(super) child: Child,
    pub(super) group: Canary,
    pub(super) id: u64,
}

impl Sleeper {
    /// `None` without root or without cgroup2.
    pub(super) fn start(name: &str) -> Option<(Self, PathBuf)> {
        use std::os::unix::fs::MetadataExt as _;
        let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .map(PathBuf::from)
            .into_iter()
            .find(|root| root.join("cgroup.procs").exists() && root.join("cgroup.controllers").exists())?;
        let group =
            Groups::new(root.clone()).canary(&format!("handle-{name}-{}", std::process::id())).ok()?;
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let id = std::fs::metadata(group.group().path()).unwrap().ino();
        let sleeper = Self { child, group, id };
        sleeper.group.admit(sleeper.child.id()).unwrap();
        Some((sleeper, root))
    }

    pub(super) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(super) fn is_frozen(&self) -> bool {
        let events = std::fs::read_to_string(self.group.group().path().join("cgroup.events")).unwrap();
        events.contains("frozen 1")
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Names of the fields of a note.
pub(super) fn fields(note: &v1::Note) -> BTreeSet<&str> {
    note.fields.iter().map(|field| field.name.as_str()).collect()
}
