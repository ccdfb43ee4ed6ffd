//! A setting that changes: an alarm while a tenant has a device, a line on record otherwise.

use std::path::Path;
use std::sync::Mutex;

use enforcer_core::device::class::Kind;
use enforcer_core::device::holding::{Holding, Via};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::node::NodeFacts;
use enforcer_core::policy::model::{DataClassification, DeviceGrant, Mode, Policy, Tenant, Tier};
use tokio::sync::watch;

use super::*;
use crate::door::policy::{Command, DeviceCommand, InForce, Revision};
use crate::door::stop::Stopper;

const GPU: DeviceNumber = DeviceNumber { kind: Kind::Char, major: 195, minor: 0 };
const TENANT: u32 = 16;
const STRICT: &str = "RmProfilingAdminOnly: 1\n";
const LOST: &str = "RmProfilingAdminOnly: 0\n";

fn holding(identity: u32) -> Holding {
    let via = Via::Descriptor(3);
    Holding { device: GPU, file: 1, via, process: 7, cgroup: 9, identity, access: 1 }
}

fn seen(identities: &[u32]) -> Result<HandleSweep, String> {
    let holdings = identities.iter().map(|identity| holding(*identity)).collect();
    Ok(HandleSweep { holdings, ..HandleSweep::default() })
}

fn in_force(has_grant: bool) -> Arc<InForce> {
    let grant = DeviceGrant { class: "nvidia".into(), minors: None };
    let tenant = Tenant {
        name: "red".into(),
        id: TENANT,
        tier: Tier::Isolated,
        data_classification: DataClassification::Internal,
        mode: Mode::Enforce,
        platform_service: false,
        egress: Vec::new(),
        devices: if has_grant { vec![grant] } else { Vec::new() },
    };
    let mut policy = Policy::default();
    policy.tenants.insert("red".into(), Arc::new(tenant));
    let current = Arc::new(Revision {
        number: 1,
        time: 0,
        author: String::new(),
        source: String::new(),
        digest: None,
        policy: Arc::new(policy),
    });
    let facts = Arc::new(NodeFacts::default());
    Arc::new(InForce { history: vec![Arc::clone(&current)], current, facts, ready: true })
}

/// A room that looks when it is asked, over files of a test.
struct Stage {
    door: Door<PostureCommand>,
    told: Arc<Mutex<Vec<v1::Record>>>,
    root: tempfile::TempDir,
    stopper: Stopper,
}

impl Stage {
    fn new(swept: Result<HandleSweep, String>, has_grant: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (commands, mut inbox) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(command) = inbox.recv().await {
                let Command::Devices(DeviceCommand::Handles(reply)) = command else {
                    panic!("nobody asks for {command:?}")
                };
                let _gone = reply.send(swept.clone());
            }
        });
        let told: Arc<Mutex<Vec<v1::Record>>> = Arc::default();
        let (written, stopper) = (Arc::clone(&told), Stopper::default());
        let (door, room) = open(Parts {
            node: "n1".to_owned(),
            reader: Reader {
                proc: root.path().join("proc"),
                sys: root.path().join("sys"),
                cgroups: root.path().join("cg"),
                nvidia: Arc::new(|| Ok(None)),
            },
            every: Duration::from_secs(3600),
            policy: PolicyDoor::new(commands, watch::Sender::new(in_force(has_grant)).subscribe()),
            tell: Arc::new(move |record| written.lock().unwrap().push(record)),
            clock: || 1_793_700_000_000_000_000,
            stop: stopper.listener(),
        });
        tokio::spawn(room);
        let stage = Self { door, told, root, stopper };
        stage.put(STRICT);
        stage
    }

    fn put(&self, params: &str) {
        let path = self.root.path().join("proc/driver/nvidia/params");
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, params).unwrap();
    }

    async fn look(&self) -> v1::PostureResponse {
        self.door.ask(PostureCommand::Read).await.unwrap().unwrap()
    }

    /// The record of a setting that is lost, and that it stays one when nothing more changes.
    async fn lose(&self) -> v1::Note {
        let before = self.look().await;
        self.told.lock().unwrap().clear();
        self.put(LOST);
        let after = self.look().await;
        assert_ne!(before.digest, after.digest);
        assert_eq!(after.digest, self.look().await.digest);
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        assert_eq!(told.len(), 1, "{told:?}");
        let is_alert = told[0].r#type == "alert";
        let note = told[0].note.clone().unwrap();
        assert_eq!(is_alert, note.level == "high", "{note:?}");
        note
    }
}

#[tokio::test]
async fn a_setting_that_is_lost_while_a_tenant_has_a_device_is_an_alarm() {
    let stage = Stage::new(seen(&[TENANT]), true);
    let note = stage.lose().await;
    assert_eq!(note.level, "high");
    assert!(
        note.message.contains("while a device is held") && note.message.contains("RmProfilingAdminOnly"),
        "{note:?}"
    );
    let digest: String = stage.look().await.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(note.fields[0].value, digest);
    stage.stopper.stop();
}

#[tokio::test]
async fn where_no_tenant_has_one_it_is_on_record_only() {
    // The node's own processes and host services are no tenants; a grant that nobody uses holds nothing.
    for holders in [vec![], vec![HOST], vec![enforcer_common::identity::FIRST_SERVICE]] {
        let stage = Stage::new(seen(&holders), true);
        let note = stage.lose().await;
        assert_eq!((note.event.as_str(), note.level.as_str()), ("posture-changed", "info"), "{holders:?}");
    }
}

#[tokio::test]
async fn where_nobody_can_look_a_grant_counts_as_holding() {
    let blind = || Err("no walk here".to_owned());
    assert_eq!(Stage::new(blind(), true).lose().await.level, "high");
    assert_eq!(Stage::new(blind(), false).lose().await.level, "info");
    let some = HandleSweep { lacking: Some("no room".to_owned()), ..HandleSweep::default() };
    assert_eq!(Stage::new(Ok(some), true).lose().await.level, "high");
}
