//! The rooms, the fake GPU, and a kernel that keeps what it is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_agent::custody::scrub::{Command, Nvidia, Reset, Scrubber};
use enforcer_agent::custody::{self, Edges, FileSigner, Keep, Sign as _, Signed};
use enforcer_agent::door::device::{CustodyCommand, Door, PostureCommand};
use enforcer_agent::door::policy::{Command as PolicyCommand, DeviceCommand, InForce, PolicyDoor, Revision};
use enforcer_agent::door::stop::Stopper;
use enforcer_agent::nvidia::child::Asker;
use enforcer_agent::{handle, posture};
use enforcer_core::device::class::Kind;
use enforcer_core::device::custody::{DeviceKey, Reuse, Rules};
use enforcer_core::device::holding::{GateCustody, HandleSweep};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::device::table::DeviceTable;
use enforcer_core::node::NodeFacts;
use enforcer_core::policy::model::{DataClassification, DeviceGrant, Mode, Policy, Tenant, Tier};
use enforcer_proto::v1;
use enforcer_trace::keys::PublicKey;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

/// The fake's memory, and what a context takes of it.
pub(crate) const BYTES: u64 = 32 << 20;
pub(crate) const CONTEXT_BYTES: u64 = 4 << 20;
/// What somebody left in it.
pub(crate) const LEFT: u8 = 0x5a;

const AGENT: &str = env!("CARGO_BIN_EXE_enforcer-agent");
const NODE: &str = "n1";
const RED: u32 = 16;
const GPU: DeviceNumber = DeviceNumber { kind: Kind::Char, major: 195, minor: 0 };
const LONG: Duration = Duration::from_secs(60);

/// The fake's library with what it is told beside it: helpers have no environment.
pub(crate) struct FakeGpu {
    directory: TempDir,
}

impl FakeGpu {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = std::env::current_exe().unwrap();
        let built = own.ancestors().skip(1).take(2).map(|dir| dir.join("libenforcer_fake_gpu.so"));
        let built =
            built.into_iter().find(|path| path.is_file()).expect("the fake GPU's library is not built");
        std::fs::copy(built, directory.path().join("libfake.so")).unwrap();
        let gpu = Self { directory };
        std::fs::write(gpu.path("memory"), vec![LEFT; usize::try_from(BYTES).unwrap()]).unwrap();
        gpu.say("FAKE_GPU_MEMORY", &gpu.path("memory"));
        gpu
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    pub(crate) fn say(&self, name: &str, word: &str) {
        std::fs::write(self.path(name), word).unwrap();
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("libfake.so")
    }
}

/// When the device is reset, and by what.
pub(crate) type ResetBy = fn(&FakeGpu) -> (Reset, Vec<String>);

/// A node with one GPU, which was granted to a tenant before anybody looked at it.
pub(crate) struct Stage {
    gpu: FakeGpu,
    home: TempDir,
    table: Arc<Mutex<BTreeMap<DeviceNumber, GateCustody>>>,
    custody: Door<CustodyCommand>,
    posture: Door<PostureCommand>,
    stopper: Stopper,
    _granted: watch::Sender<Arc<InForce>>,
}

impl Stage {
    /// With a fault of the driver's from the beginning.
    pub(crate) fn set(fault: Option<&str>) -> Self {
        Self::prepared(|gpu| fault.into_iter().for_each(|fault| gpu.say("FAKE_GPU_FAULT", fault)), None)
    }

    pub(crate) fn prepared(prepare: impl FnOnce(&FakeGpu), reset: Option<ResetBy>) -> Self {
        let (gpu, home) = (FakeGpu::new(), tempfile::tempdir().unwrap());
        prepare(&gpu);
        let (commands, inbox) = mpsc::channel(8);
        let granted = watch::Sender::new(Arc::new(in_force()));
        let policy = PolicyDoor::new(commands, granted.subscribe());
        let table = Arc::default();
        tokio::spawn(kernel(Arc::clone(&table), inbox));
        let stopper = Stopper::default();
        let asker = Asker::new(
            AGENT.into(),
            ["read-nvidia".to_owned(), "--nvml-library".to_owned(), gpu.library().display().to_string()]
                .into(),
            None,
        );
        let posture = posture(&home, &policy, asker.clone(), &stopper);
        let (custody, custody_inbox) = custody::door();
        let (handles, room) = handle::open(handles(&policy, &custody, asker, &stopper));
        tokio::spawn(room);
        let edges = Edges {
            node: NODE.to_owned(),
            policy,
            handles: Some(handles),
            posture: Some(posture.clone()),
            sign: Arc::new(signer(&home)),
            tell: Arc::new(|_| ()),
            clock: || 1_793_700_000_000_000_000,
            poll: Duration::from_millis(10),
            agent: String::new(),
            step: Arc::new(|_| Ok(())),
        };
        let scrubber = Nvidia {
            program: AGENT.to_owned(),
            samples: 4096,
            min_covered: 75,
            reset: reset.map(|reset| reset(&gpu)),
            cuda_library: Some(gpu.library()),
            nvml_library: Some(gpu.library()),
            group: None,
            limit: LONG,
        };
        let scrubber: Arc<dyn Scrubber> = Arc::new(Command::from(scrubber));
        let parts = custody::Parts {
            state_directory: home.path().to_owned(),
            rules: Rules { drain_ns: 20_000_000, reuse: Reuse::Never, has_scrubber: false },
            scrubbers: [("nvidia".to_owned(), scrubber)].into(),
            edges,
            stop: stopper.listener(),
        };
        tokio::spawn(custody::open(parts, custody_inbox).unwrap());
        Self { gpu, home, table, custody, posture, stopper, _granted: granted }
    }

    pub(crate) const fn gpu(&self) -> &FakeGpu {
        &self.gpu
    }

    pub(crate) fn memory(&self) -> Vec<u8> {
        std::fs::read(self.gpu.path("memory")).unwrap()
    }

    pub(crate) fn is_open_to_red(&self) -> bool {
        self.table.lock().unwrap().get(&GPU) == Some(&GateCustody::Owner(RED))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.table.lock().unwrap().get(&GPU) == Some(&GateCustody::Closed)
    }

    pub(crate) async fn until(&self, state: &str) -> v1::DeviceCustody {
        self.until_is(|device| device.state == state).await
    }

    pub(crate) async fn until_reason(&self, words: &str) -> v1::DeviceCustody {
        self.until_is(|device| device.reason.contains(words)).await
    }

    async fn until_is(&self, is: impl Fn(&v1::DeviceCustody) -> bool) -> v1::DeviceCustody {
        let mut last = None;
        let waited = tokio::time::timeout(LONG, async {
            loop {
                let list = self.custody.ask(CustodyCommand::List).await.unwrap().unwrap();
                last = list.devices.into_iter().next();
                if let Some(device) = last.as_ref().filter(|device| is(device)) {
                    return device.clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        waited.unwrap_or_else(|_| panic!("never, but {last:?}"))
    }

    /// All of the device; each is signed.
    pub(crate) fn receipts(&self) -> Vec<Signed> {
        let key = DeviceKey { class: "nvidia".to_owned(), number: 0 };
        let receipts = Keep::open(self.home.path()).unwrap().receipts(&key, 10).unwrap();
        let public = PublicKey(signer(&self.home).public());
        for signed in &receipts {
            let signature = enforcer_trace::hex::decode::<64>(&signed.signature).unwrap();
            assert!(public.verifies(&signed.receipt.message(), &signature));
        }
        receipts
    }

    /// The digest of the settings now, hexadecimal.
    pub(crate) async fn settings(&self) -> String {
        let posture = self.posture.ask(PostureCommand::Read).await.unwrap().unwrap();
        posture.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

fn signer(home: &TempDir) -> FileSigner {
    FileSigner::open(&home.path().join("signer")).unwrap()
}

fn posture(home: &TempDir, policy: &PolicyDoor, asker: Asker, stopper: &Stopper) -> Door<PostureCommand> {
    let (door, room) = posture::open(posture::Parts {
        node: NODE.to_owned(),
        reader: posture::Reader {
            proc: home.path().join("proc"),
            sys: home.path().join("sys"),
            cgroups: home.path().join("cgroups"),
            nvidia: Arc::new(move || asker.ask()),
        },
        every: LONG,
        policy: policy.clone(),
        tell: Arc::new(|_| ()),
        clock: || 1,
        stop: stopper.listener(),
    });
    tokio::spawn(room);
    door
}

fn handles(
    policy: &PolicyDoor,
    custody: &Door<CustodyCommand>,
    asker: Asker,
    stopper: &Stopper,
) -> handle::Parts {
    handle::Parts {
        node: NODE.to_owned(),
        settings: handle::Settings {
            sweep: Duration::from_secs(3600),
            patience: Duration::from_secs(3600),
            pod_resources: None,
            reset: None,
            reset_within: LONG,
        },
        cgroup_root: "/nowhere".into(),
        policy: policy.clone(),
        custody: Some(custody.clone()),
        driver_processes: Some(asker.clone().processes()),
        driver_ids: Some(asker.ids()),
        tell: Arc::new(|_| ()),
        clock: || 1,
        stop: stopper.listener(),
    }
}

async fn kernel(
    table: Arc<Mutex<BTreeMap<DeviceNumber, GateCustody>>>,
    mut inbox: mpsc::Receiver<PolicyCommand>,
) {
    while let Some(command) = inbox.recv().await {
        let mut table = table.lock().unwrap();
        match command {
            PolicyCommand::Devices(DeviceCommand::SetCustody(device, custody, reply)) => {
                match custody {
                    Some(custody) => table.insert(device, custody),
                    None => table.remove(&device),
                };
                let _gone = reply.send(Ok(()));
            }
            PolicyCommand::Devices(DeviceCommand::Custody(reply)) => {
                let _gone = reply.send(Ok(table.clone()));
            }
            PolicyCommand::Devices(DeviceCommand::ForgetTouched(_, reply)) => {
                let _gone = reply.send(Ok(()));
            }
            PolicyCommand::Devices(DeviceCommand::Handles(reply)) => {
                let _gone = reply.send(Ok(HandleSweep::default()));
            }
            other => panic!("nobody asks for {other:?}"),
        }
    }
}

/// Red was granted the GPU, whose class is in custody.
fn in_force() -> InForce {
    let red = Tenant {
        name: "red".into(),
        id: RED,
        tier: Tier::Isolated,
        data_classification: DataClassification::Internal,
        mode: Mode::Enforce,
        platform_service: false,
        egress: Vec::new(),
        devices: vec![DeviceGrant { class: "nvidia".into(), minors: Some(vec![0]) }],
    };
    let mut policy = Policy::default();
    policy.tenants.insert("red".into(), Arc::new(red));
    let table = DeviceTable::parse("Character devices:\n195 nvidia\n", "", &[]).unwrap();
    let table = table.in_custody(["nvidia".to_owned()].into());
    let facts = NodeFacts { devices: Arc::new(table), ..NodeFacts::default() };
    let current = Arc::new(Revision {
        number: 1,
        time: 0,
        author: String::new(),
        source: String::new(),
        digest: None,
        policy: Arc::new(policy),
    });
    InForce { history: vec![Arc::clone(&current)], current, facts: Arc::new(facts), ready: true }
}
