//! The fakes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_core::device::class::Kind;
use enforcer_core::device::custody::receipt::Evidence;
use enforcer_core::device::custody::{Reuse, Rules};
use enforcer_core::device::holding::{GateCustody, Vacancy};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::device::table::DeviceTable;
use enforcer_core::node::NodeFacts;
use enforcer_core::policy::model::{DataClassification, DeviceGrant, Mode, Policy, Tenant, Tier};
use enforcer_proto::v1;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::custody::scrub::{Job, Outcome, ScrubError, Scrubber};
use crate::custody::{Crash, Edges, FileSigner, Keep, Parts, Sign as _, door, open};
use crate::door::device::{CustodyCommand, Door, HandleCommand, Handover, Quarantine};
use crate::door::policy::{Command, DeviceCommand, InForce, PolicyDoor, Revision};
use crate::door::stop::Stopper;

pub(super) const GPU: DeviceNumber = DeviceNumber { kind: Kind::Char, major: 195, minor: 0 };
const LONG: Duration = Duration::from_secs(20);

/// A tenant with `nvidia:0`, or without.
fn tenant(name: &str, id: u32, tier: Tier, has: bool) -> Tenant {
    let gpu = DeviceGrant { class: "nvidia".into(), minors: Some(vec![0]) };
    Tenant {
        name: name.into(),
        id,
        tier,
        data_classification: DataClassification::Internal,
        mode: Mode::Enforce,
        platform_service: false,
        egress: Vec::new(),
        devices: if has { vec![gpu] } else { Vec::new() },
    }
}

fn in_force(number: u64, holders: &[&str], has_custody: bool) -> Arc<InForce> {
    let mut policy = Policy::default();
    for (name, id) in [("red", 16), ("blue", 17), ("green", 18)] {
        let tier = if holders.len() > 1 { Tier::Shared } else { Tier::Isolated };
        policy.tenants.insert(name.into(), Arc::new(tenant(name, id, tier, holders.contains(&name))));
    }
    let table = DeviceTable::parse("Character devices:\n195 nvidia\n", "", &[]).unwrap();
    let classes = if has_custody { ["nvidia".to_owned()].into() } else { [].into() };
    let facts = NodeFacts { devices: Arc::new(table.in_custody(classes)), ..NodeFacts::default() };
    let current = Arc::new(Revision {
        number,
        time: 0,
        author: String::new(),
        source: String::new(),
        digest: None,
        policy: Arc::new(policy),
    });
    Arc::new(InForce { history: vec![Arc::clone(&current)], current, facts: Arc::new(facts), ready: true })
}

/// What the kernel holds, and everything that was ever written to it. It outlives agents.
#[derive(Default)]
pub(super) struct Kernel {
    pub(super) table: BTreeMap<DeviceNumber, GateCustody>,
    pub(super) written: Vec<(DeviceNumber, Option<GateCustody>)>,
}

/// A scrubber that does as it is told.
pub(super) struct Told {
    pub(super) ends: Mutex<Result<(), &'static str>>,
    pub(super) runs: AtomicUsize,
    pub(super) kernel: Arc<Mutex<Kernel>>,
    pub(super) takes: Mutex<Duration>,
}

#[tonic::async_trait]
impl Scrubber for Told {
    fn method(&self) -> &'static str {
        "command"
    }

    async fn scrub(&self, job: &Job) -> Result<Outcome, ScrubError> {
        let gate = self.kernel.lock().unwrap().table.get(&job.device).copied();
        assert_eq!(gate, Some(GateCustody::Closed), "scrubbed behind an open gate");
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.ends.lock().unwrap().map_err(|why| ScrubError::Report(why.to_owned()))?;
        Ok(Outcome {
            bytes_covered: 10,
            bytes_total: 10,
            samples: 2,
            mismatches: 0,
            detail: String::new(),
            uuid: "GPU-1".to_owned(),
            evidence: Evidence::Sampled,
            not_covered: Vec::new(),
        })
    }
}

/// A node over the lives of several agents.
pub(super) struct Node {
    pub(super) home: tempfile::TempDir,
    pub(super) kernel: Arc<Mutex<Kernel>>,
    pub(super) vacancy: Arc<Mutex<Vacancy>>,
    pub(super) scrubber: Arc<Told>,
    pub(super) told: Arc<Mutex<Vec<v1::Record>>>,
    pub(super) has_scrubber: bool,
    pub(super) reuse: Reuse,
    pub(super) drain: Duration,
    granted: watch::Sender<Arc<InForce>>,
    /// After how many steps the agent is killed.
    pub(super) dies_after: Arc<Mutex<Option<usize>>>,
    pub(super) steps: Arc<AtomicUsize>,
}

/// A running agent.
pub(super) struct Agent {
    pub(super) door: Door<CustodyCommand>,
    stopper: Stopper,
    room: JoinHandle<()>,
    fakes: Vec<JoinHandle<()>>,
}

impl Node {
    pub(super) fn new(holders: &[&str]) -> Self {
        let kernel = Arc::new(Mutex::new(Kernel::default()));
        Self {
            home: tempfile::tempdir().unwrap(),
            scrubber: Arc::new(Told {
                ends: Mutex::new(Ok(())),
                runs: AtomicUsize::new(0),
                kernel: Arc::clone(&kernel),
                takes: Mutex::new(Duration::ZERO),
            }),
            kernel,
            vacancy: Arc::default(),
            told: Arc::default(),
            has_scrubber: true,
            reuse: Reuse::Never,
            drain: Duration::from_millis(20),
            granted: watch::Sender::new(in_force(1, holders, true)),
            dies_after: Arc::default(),
            steps: Arc::default(),
        }
    }

    pub(super) fn without_scrubber(mut self, holders: &[&str]) -> Self {
        self.has_scrubber = false;
        self.granted.send_replace(in_force(1, holders, false));
        self
    }

    pub(super) fn grant(&self, holders: &[&str]) {
        let number = self.granted.borrow().current.number + 1;
        self.granted.send_replace(in_force(number, holders, self.has_scrubber));
    }

    pub(super) fn gate(&self) -> Option<GateCustody> {
        self.kernel.lock().unwrap().table.get(&GPU).copied()
    }

    pub(super) fn keep(&self) -> Keep {
        Keep::open(self.home.path()).unwrap()
    }

    pub(super) fn journal(&self) -> std::path::PathBuf {
        self.home.path().join("custody/devices/nvidia@0.json")
    }

    pub(super) fn signer(&self) -> FileSigner {
        FileSigner::open(&self.home.path().join("signer")).unwrap()
    }

    /// Starts an agent.
    pub(super) fn start(&self) -> Agent {
        let (commands, inbox) = mpsc::channel(8);
        let policy = PolicyDoor::new(commands, self.granted.subscribe());
        let (asks, asked) = mpsc::channel(8);
        let fakes = vec![
            tokio::spawn(kernel(Arc::clone(&self.kernel), inbox)),
            tokio::spawn(holders(Arc::clone(&self.vacancy), asked)),
        ];
        let (steps, dies_after) = (Arc::clone(&self.steps), Arc::clone(&self.dies_after));
        let told = Arc::clone(&self.told);
        let stopper = Stopper::default();
        let mut scrubbers: BTreeMap<String, Arc<dyn Scrubber>> = BTreeMap::new();
        if self.has_scrubber {
            scrubbers.insert("nvidia".to_owned(), Arc::clone(&self.scrubber) as Arc<dyn Scrubber>);
        }
        let edges = Edges {
            node: "n1".to_owned(),
            policy,
            handles: Some(Door::new(asks)),
            posture: None,
            sign: Arc::new(self.signer()),
            tell: Arc::new(move |record| told.lock().unwrap().push(record)),
            clock: || u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap(),
            poll: Duration::from_millis(2),
            agent: String::new(),
            step: Arc::new(move |_| {
                let step = steps.fetch_add(1, Ordering::SeqCst);
                match *dies_after.lock().unwrap() {
                    Some(last) if step >= last => Err(Crash),
                    _ => Ok(()),
                }
            }),
        };
        let (door, inbox) = door();
        let parts = Parts {
            state_directory: self.home.path().to_owned(),
            rules: Rules {
                drain_ns: u64::try_from(self.drain.as_nanos()).unwrap(),
                reuse: self.reuse,
                has_scrubber: false,
            },
            scrubbers,
            edges,
            stop: stopper.listener(),
        };
        let room = open(parts, inbox).unwrap();
        Agent { door, stopper, room: tokio::spawn(room), fakes }
    }
}

impl Agent {
    pub(super) async fn stop(self) {
        self.stopper.stop();
        self.room.await.unwrap();
        self.fakes.iter().for_each(JoinHandle::abort);
    }

    pub(super) async fn list(&self) -> v1::CustodyResponse {
        self.door.ask(CustodyCommand::List).await.unwrap().unwrap()
    }

    pub(super) async fn device(&self) -> Option<v1::DeviceCustody> {
        self.list().await.devices.into_iter().next()
    }

    /// Waits until the device is in a state.
    pub(super) async fn until(&self, state: &str) -> v1::DeviceCustody {
        let mut last = None;
        let waited = tokio::time::timeout(LONG, async {
            loop {
                last = self.device().await;
                if let Some(device) = last.as_ref().filter(|device| device.state == state) {
                    return device.clone();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let waited = waited.await;
        waited.unwrap_or_else(|_| panic!("never {state}, but {last:?}"))
    }

    pub(super) async fn say(&self, verb: &str, reason: &str) -> Result<(), String> {
        let (steps, _followed) = mpsc::channel(64);
        let request = v1::HandoverRequest {
            device: "nvidia:0".to_owned(),
            verb: verb.to_owned(),
            reason: reason.to_owned(),
        };
        let said = Handover { request, actor: "uid:0".to_owned() };
        self.door.ask(|reply| CustodyCommand::Handover(said, steps, reply)).await.unwrap()
    }

    pub(super) async fn quarantine(&self) -> Result<(), String> {
        let asked = Quarantine { device: GPU, reason: "incident".to_owned(), actor: "uid:0".to_owned() };
        self.door.ask(|reply| CustodyCommand::Quarantine(asked, reply)).await.unwrap()
    }
}

async fn kernel(kernel: Arc<Mutex<Kernel>>, mut inbox: mpsc::Receiver<Command>) {
    while let Some(command) = inbox.recv().await {
        let mut kernel = kernel.lock().unwrap();
        match command {
            Command::Devices(DeviceCommand::SetCustody(device, custody, reply)) => {
                kernel.written.push((device, custody));
                match custody {
                    Some(custody) => kernel.table.insert(device, custody),
                    None => kernel.table.remove(&device),
                };
                done(reply);
            }
            Command::Devices(DeviceCommand::Custody(reply)) => {
                let _gone = reply.send(Ok(kernel.table.clone()));
            }
            Command::Devices(DeviceCommand::ForgetTouched(_, reply)) => done(reply),
            other => panic!("nobody asks for {other:?}"),
        }
    }
}

fn done(reply: oneshot::Sender<Result<(), String>>) {
    let _gone = reply.send(Ok(()));
}

async fn holders(vacancy: Arc<Mutex<Vacancy>>, mut inbox: mpsc::Receiver<HandleCommand>) {
    while let Some(command) = inbox.recv().await {
        if let HandleCommand::Vacancy(_, reply) = command {
            let _gone = reply.send(Ok(vacancy.lock().unwrap().clone()));
        }
    }
}

/// Whether every receipt of a device is signed, and names the one before.
pub(super) fn chain(node: &Node) -> usize {
    let key = enforcer_core::device::custody::DeviceKey { class: "nvidia".to_owned(), number: 0 };
    let receipts = node.keep().receipts(&key, 1_000).unwrap();
    let public = enforcer_trace::keys::PublicKey(node.signer().public());
    let mut previous = String::new();
    for signed in &receipts {
        assert_eq!(signed.receipt.previous, previous);
        let signature = enforcer_trace::hex::decode::<64>(&signed.signature).unwrap();
        assert!(public.verifies(&signed.receipt.message(), &signature));
        previous = signed.receipt.hash();
    }
    receipts.len()
}

pub(super) fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() - 10;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
