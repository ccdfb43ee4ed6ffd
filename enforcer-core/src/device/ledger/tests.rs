//! The ledger on a node with two GPUs, two tenants and a host service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use enforcer_common::device::{ACCESS_READ, ACCESS_WRITE};
use enforcer_common::identity;
use enforcer_proto::v1;
use proptest::prelude::*;

use super::*;
use crate::device::class::Kind as Sort;
use crate::device::holding::{Files, Holding, OpenFile, Via};
use crate::device::number::DeviceNumber;
use crate::node::{Attachment, HostService};
use crate::policy::model::{DataClassification, DeviceGrant, Mode, Tenant, Tier, Workload};

const RED: u32 = 16;
const BLUE: u32 = 17;
const SECOND: u64 = 1_000_000_000;
const AT: u64 = 1_000 * SECOND;

fn gpu(minor: u32) -> DeviceNumber {
    DeviceNumber { kind: Sort::Char, major: 195, minor }
}

fn tenant(name: &str, id: u32, minors: &[u32]) -> Arc<Tenant> {
    Arc::new(Tenant {
        name: name.into(),
        id,
        tier: Tier::Isolated,
        data_classification: DataClassification::Internal,
        mode: Mode::Enforce,
        platform_service: false,
        egress: Vec::new(),
        devices: vec![
            DeviceGrant { class: "nvidia".into(), minors: Some(minors.to_vec()) },
            DeviceGrant { class: "nvidiactl".into(), minors: None },
        ],
    })
}

fn workload(name: &str, tenant: &str, namespace: &str) -> Arc<Workload> {
    Arc::new(Workload {
        name: name.into(),
        tenant: tenant.into(),
        node: None,
        cgroup: Some(format!("/{name}")),
        interface: None,
        network_namespace: None,
        host_network: false,
        addresses: Vec::new(),
        namespace: namespace.to_owned(),
        service_account: String::new(),
        lease_until: None,
        encapsulations: 0,
    })
}

struct Node {
    policy: Policy,
    facts: NodeFacts,
    sweep: HandleSweep,
    allocations: Option<Allocations>,
    processes: BTreeMap<u32, v1::Process>,
    workloads: BTreeMap<u64, Name>,
}

/// Red was granted the first GPU, blue the second.
fn node() -> Node {
    let mut policy = Policy::default();
    for tenant in [tenant("red", RED, &[0]), tenant("blue", BLUE, &[1])] {
        policy.index.tenant_by_id.insert(tenant.id, Name::clone(&tenant.name));
        policy.tenants.insert(Name::clone(&tenant.name), tenant);
    }
    for workload in [workload("train", "red", "ml"), workload("infer", "blue", "serving")] {
        policy.workloads.insert(Name::clone(&workload.name), workload);
    }
    let mut facts = NodeFacts { name: "here".to_owned(), ..NodeFacts::default() };
    facts.services =
        vec![HostService { name: "persistence".to_owned(), cgroup: 9, classes: vec!["nvidia".to_owned()] }];
    for (name, cgroup) in [("train", 100), ("infer", 200)] {
        facts.attachments.insert(name.into(), Attachment { cgroup: Some(cgroup), ..Attachment::default() });
    }
    Node {
        policy,
        facts,
        sweep: HandleSweep { boot_ns: 500 * SECOND, ..HandleSweep::default() },
        allocations: None,
        processes: BTreeMap::new(),
        workloads: BTreeMap::from([(100, "train".into())]),
    }
}

impl Node {
    fn look(&self) -> Look<'_> {
        Look {
            sweep: &self.sweep,
            policy: &self.policy,
            facts: &self.facts,
            allocations: self.allocations.as_ref(),
            processes: &self.processes,
            workloads: &self.workloads,
            at: AT,
        }
    }

    fn holds(mut self, device: DeviceNumber, identity: u32, process: u32, via: Via) -> Self {
        let access = ACCESS_READ | ACCESS_WRITE;
        let (file, cgroup) = (u64::from(process), if identity == RED { 100 } else { 200 });
        self.sweep.holdings.push(Holding { device, file, via, process, cgroup, identity, access });
        self
    }

    fn both_hold(self) -> Self {
        self.holds(gpu(0), RED, 11, Via::Descriptor(3)).holds(gpu(1), BLUE, 22, Via::Descriptor(3))
    }

    fn gives(mut self, device: DeviceNumber, namespace: &str, name: &str) -> Self {
        let pod = Pod { namespace: namespace.to_owned(), name: name.to_owned() };
        self.allocations.get_or_insert_default().devices.entry(device).or_default().insert(pod);
        self
    }

    fn kinds(&self) -> Vec<(&'static str, u32, String)> {
        observe(&self.look()).into_keys().map(|key| (key.kind.word(), key.device.minor, key.who)).collect()
    }
}

fn found(kind: &'static str, minor: u32, who: &str) -> (&'static str, u32, String) {
    (kind, minor, who.to_owned())
}

#[test]
fn who_holds_what_was_granted_is_no_finding() {
    assert_eq!(node().both_hold().kinds(), []);
}

#[test]
fn each_thing_that_is_not_right_is_found() {
    let ctl = DeviceNumber { kind: Sort::Char, major: 195, minor: 255 };
    let service = identity::FIRST_SERVICE;
    for (node, expected) in [
        (node(), vec![found("grant_without_holder", 0, "red"), found("grant_without_holder", 1, "blue")]),
        (
            node().both_hold().holds(gpu(0), BLUE, 33, Via::Descriptor(4)),
            vec![found("holder_without_grant", 0, "blue"), found("two_tenants", 0, "")],
        ),
        // A mapping holds as well as a descriptor.
        (
            node().both_hold().holds(gpu(1), identity::HOST, 44, Via::Mapping(4096)),
            vec![found("holder_without_grant", 1, "host")],
        ),
        // A control device is there for many; a host service has what its configuration grants.
        (
            node().both_hold().holds(ctl, RED, 11, Via::Descriptor(5)).holds(
                ctl,
                BLUE,
                22,
                Via::Descriptor(5),
            ),
            vec![],
        ),
        (node().both_hold().holds(gpu(0), service, 55, Via::Descriptor(3)), vec![]),
        (
            node().both_hold().holds(ctl, service, 55, Via::Descriptor(3)),
            vec![found("holder_without_grant", 255, "persistence")],
        ),
        // A tenant that is gone, with a process that is not.
        (
            node().both_hold().holds(gpu(0), 99, 66, Via::Descriptor(3)),
            vec![found("holder_without_grant", 0, "identity-99"), found("two_tenants", 0, "")],
        ),
    ] {
        assert_eq!(node.kinds(), expected);
    }
}

#[test]
fn a_grant_to_both_is_shared_by_the_policys_word() {
    let mut node = node().both_hold().holds(gpu(0), BLUE, 33, Via::Descriptor(4));
    node.policy.tenants.insert("blue".into(), tenant("blue", BLUE, &[0, 1]));
    assert_eq!(node.kinds(), []);
}

#[test]
fn a_tenant_without_a_workload_here_need_not_use_its_grant() {
    let mut node = node();
    node.facts.attachments.remove("infer");
    assert_eq!(node.kinds(), [found("grant_without_holder", 0, "red")]);
}

#[test]
fn the_kubelets_word_is_held_against_the_ledger() {
    for (node, expected) in [
        (node().both_hold().gives(gpu(0), "ml", "pod-1").gives(gpu(1), "serving", "pod-2"), vec![]),
        (
            node().both_hold().gives(gpu(0), "ml", "pod-1"),
            vec![found("holder_without_allocation", 1, "blue")],
        ),
        (
            node().both_hold().gives(gpu(0), "ml", "a").gives(gpu(1), "ml", "b"),
            vec![found("holder_without_allocation", 1, "blue")],
        ),
        // Two pods of one tenant share its device; two of different tenants, or of nobody knows whom, do not.
        (
            node().both_hold().gives(gpu(0), "ml", "a").gives(gpu(0), "ml", "b").gives(
                gpu(1),
                "serving",
                "c",
            ),
            vec![],
        ),
        (
            node().both_hold().gives(gpu(0), "ml", "a").gives(gpu(0), "serving", "b").gives(
                gpu(1),
                "serving",
                "c",
            ),
            vec![found("two_allocations", 0, "")],
        ),
        (
            node().both_hold().gives(gpu(0), "ml", "a").gives(gpu(0), "else", "b").gives(
                gpu(1),
                "serving",
                "c",
            ),
            vec![found("two_allocations", 0, "")],
        ),
        // Given to a pod that the policy does not know: it may be theirs.
        (node().both_hold().gives(gpu(0), "ml", "a").gives(gpu(1), "else", "b"), vec![]),
        (
            node().both_hold().gives(gpu(0), "ml", "a").gives(gpu(1), "serving", "b").gives(
                gpu(2),
                "ml",
                "c",
            ),
            vec![found("allocation_without_holder", 2, "")],
        ),
    ] {
        assert_eq!(node.kinds(), expected);
    }
    let mut unread = node().both_hold().gives(gpu(0), "ml", "a");
    unread.allocations.get_or_insert_default().unmapped.insert("nvidia.com/gpu=GPU-1".to_owned());
    assert_eq!(unread.kinds(), [], "an id that nobody can read may be the second GPU's");
}

#[test]
fn a_namespace_of_two_tenants_says_nothing_and_a_name_does() {
    let mut node = node();
    let pod = |name: &str| Pod { namespace: "ml".to_owned(), name: name.to_owned() };
    let of = |node: &Node, name: &str| tenancy(&node.policy, &node.facts, &pod(name));
    assert_eq!(of(&node, "anything"), Tenancy::Tenant("red".into()));
    node.policy.workloads.insert("other".into(), workload("other", "blue", "ml"));
    assert_eq!(of(&node, "anything"), Tenancy::Unknown);
    assert_eq!(of(&node, "other"), Tenancy::Tenant("blue".into()));
    let nameless = Pod { namespace: String::new(), name: "train".to_owned() };
    assert_eq!(tenancy(&node.policy, &node.facts, &nameless), Tenancy::Unknown);
}

#[test]
fn a_process_is_one_line_however_often_it_holds_a_device() {
    let mut node = node().both_hold();
    let first = node.sweep.holdings[0];
    node.sweep.holdings.push(Holding { via: Via::Descriptor(9), access: ACCESS_READ, ..first });
    node.sweep.holdings.push(Holding { via: Via::Mapping(1 << 20), ..first });
    let answer = handles(&node.look());
    assert_eq!(answer.handles.len(), 2);
    let line = &answer.handles[0];
    assert_eq!((&line.descriptors[..], line.mappings, line.via.as_str()), (&[3, 9][..], 1, "descriptor"));
    assert_eq!(
        (line.holder.as_str(), line.workload.as_str(), line.access.as_str()),
        ("red", "train", "read+write")
    );
    assert!(line.granted && !line.received && line.opened.is_none());
    assert_eq!(line.process.as_ref().map(|process| process.gap.is_empty()), Some(false));
    assert_eq!(answer.account, "descriptors");
}

fn open(file: u64, process: u32, opened_ns: u64) -> OpenFile {
    OpenFile {
        file,
        device: gpu(0),
        opened_ns,
        cgroup: 100,
        identity: RED,
        process,
        access: ACCESS_READ,
        receipts: 0,
    }
}

#[test]
fn an_open_file_that_nobody_shows_is_hidden_unless_it_is_newer_than_the_walk() {
    let mut node = node().both_hold();
    let seen = open(11, 10, 400 * SECOND);
    let hidden = open(77, 12, 450 * SECOND);
    let newer = open(78, 13, 501 * SECOND);
    node.sweep.files = Files::Known { since_ns: 0, open: vec![seen, hidden, newer], lost: 0 };
    let answer = handles(&node.look());
    assert_eq!(answer.account, "complete");
    assert_eq!(answer.hidden.len(), 1);
    assert_eq!(answer.hidden[0].pid, 12);
    assert_eq!(answer.hidden[0].opened.map(|time| time.seconds), Some(950));
    assert!(answer.handles[0].received, "process 11 holds what process 10 opened");
    assert_eq!(answer.handles[0].opened_by, "red");

    node.sweep.files = Files::Known { since_ns: 0, open: vec![seen], lost: 1 };
    let lossy = handles(&node.look());
    assert_eq!(lossy.account, "descriptors", "an account that lost something is not complete");
    node.sweep.lacking = Some("cut short".to_owned());
    assert!(handles(&node.look()).account_reason.contains("cut short"));
}

#[test]
fn a_part_of_the_ledger_is_a_tenants_a_devices_or_a_classs() {
    let node = node().both_hold().holds(gpu(0), BLUE, 33, Via::Descriptor(4));
    let table = &node.facts.devices;
    let mut whole = handles(&node.look());
    let mut standing = Standing::new(Duration::ZERO);
    standing.update(observe(&node.look()), true, AT);
    whole.findings = standing.findings(table);
    let part = |tenant: Option<&str>, device: Option<&str>| {
        let request =
            v1::HandlesRequest { tenant: tenant.map(str::to_owned), device: device.map(str::to_owned) };
        Selection::parse(&request, table).map(|part| part.of(whole.clone()))
    };
    let count = |tenant, device| part(tenant, device).map(|part| (part.handles.len(), part.findings.len()));
    assert_eq!(count(None, None), Ok((3, 2)));
    assert_eq!(count(Some("blue"), None), Ok((2, 2)));
    assert_eq!(count(Some("red"), None), Ok((1, 1)));
    assert_eq!(count(None, Some("nvidia:1")), Ok((1, 0)));
    assert_eq!(count(None, Some("c 195:0")), Ok((2, 2)));
    assert_eq!(count(None, Some("nvidia")), Ok((3, 2)));
    assert_eq!(count(None, Some("dri-card")), Ok((0, 0)));
    assert!(count(None, Some("no-such-class")).is_err());
}

fn key(kind: Kind, minor: u32) -> Key {
    Key { kind, device: gpu(minor), who: String::new() }
}

fn seen(keys: &[Key]) -> BTreeMap<Key, Observation> {
    let observation = Observation { tenants: BTreeSet::new(), message: "so".to_owned() };
    keys.iter().map(|key| (key.clone(), observation.clone())).collect()
}

#[test]
fn what_nobody_holds_is_told_when_it_lasts_and_everything_else_at_once() {
    let mut standing = Standing::new(Duration::from_secs(600));
    let (idle, two) = (key(Kind::GrantWithoutHolder, 0), key(Kind::TwoTenants, 0));
    let both = seen(&[idle.clone(), two.clone()]);
    let began = standing.update(both.clone(), true, AT);
    assert!(matches!(&began[..], [Change::Began(told, _, AT)] if *told == two));
    assert_eq!(standing.update(both.clone(), true, AT + 599 * SECOND), []);
    let later = standing.update(both.clone(), true, AT + 600 * SECOND);
    assert!(matches!(&later[..], [Change::Began(told, _, AT)] if *told == idle));
    assert_eq!(standing.update(both, true, AT + 700 * SECOND), []);
    assert_eq!(standing.update(seen(&[]), true, AT + 701 * SECOND).len(), 2);
    assert_eq!(standing.findings(&DeviceTable::default()), []);
}

#[test]
fn what_was_never_told_does_not_end() {
    let mut standing = Standing::new(Duration::from_secs(600));
    assert_eq!(standing.update(seen(&[key(Kind::AllocationWithoutHolder, 0)]), true, AT), []);
    assert_eq!(standing.update(seen(&[]), true, AT + 10 * SECOND), []);
}

#[test]
fn a_look_that_saw_but_a_part_proves_no_absence() {
    let mut standing = Standing::new(Duration::ZERO);
    let two = key(Kind::TwoTenants, 0);
    assert_eq!(standing.update(seen(std::slice::from_ref(&two)), true, AT).len(), 1);
    assert_eq!(standing.update(seen(&[]), false, AT + SECOND), [], "it may be there and unseen");
    assert_eq!(standing.update(seen(&[key(Kind::GrantWithoutHolder, 1)]), false, AT + SECOND), []);
    let ended = standing.update(seen(&[]), true, AT + 2 * SECOND);
    assert!(matches!(&ended[..], [Change::Ended(told, _, _)] if *told == two));
}

#[test]
fn devices_have_titles_that_the_command_line_takes() {
    let table = DeviceTable::default();
    for device in
        [gpu(0), gpu(247), gpu(255), DeviceNumber { kind: Sort::Char, major: 226, minor: 129 }, gpu(250)]
    {
        let region = table.parse_device(&title(&table, device)).unwrap();
        assert_eq!(DeviceNumber::from_words(region.kind, region.major, region.minor), Some(device));
    }
    assert_eq!(device_name(&table, gpu(255)).number, None);
    assert_eq!(
        device_name(&table, DeviceNumber { kind: Sort::Char, major: 226, minor: 129 }).number,
        Some(1)
    );
}

use crate::device::table::DeviceTable;

proptest! {
    /// Of each finding "began" and "ended" take turns, what stands is what began and has not ended, and nothing patient is
    /// told before its time.
    #[test]
    fn each_finding_is_told_once_when_it_begins_and_once_when_it_ends(
        looks in prop::collection::vec((prop::collection::btree_set((0_usize..6, 0_u32..3), 0..6), any::<bool>(), 1_u64..400), 1..60),
    ) {
        let patience = 600 * SECOND;
        let mut standing = Standing::new(Duration::from_nanos(patience));
        let mut told: BTreeSet<Key> = BTreeSet::new();
        let mut now = AT;
        for (keys, is_whole, seconds) in looks {
            now += seconds * SECOND;
            let keys: Vec<Key> = keys.into_iter().map(|(kind, minor)| key(Kind::ALL[kind], minor)).collect();
            for change in standing.update(seen(&keys), is_whole, now) {
                match change {
                    Change::Began(key, _, since) => {
                        prop_assert!(told.insert(key.clone()), "told twice");
                        prop_assert!(keys.contains(&key), "told unseen");
                        prop_assert!(!key.kind.is_patient() || (is_whole && now - since >= patience));
                    }
                    Change::Ended(key, _, _) => {
                        prop_assert!(told.remove(&key), "ended without having begun");
                        prop_assert!(is_whole && !keys.contains(&key), "ended though it goes on");
                    }
                }
            }
            let standing: BTreeSet<(String, u32)> = standing
                .findings(&DeviceTable::default())
                .into_iter()
                .map(|finding| (finding.kind, finding.device.map(|device| device.minor).unwrap_or_default()))
                .collect();
            let expected: BTreeSet<(String, u32)> =
                told.iter().map(|key| (key.kind.word().to_owned(), key.device.minor)).collect();
            prop_assert_eq!(standing, expected);
        }
    }

    /// However holdings are spread over processes, devices and tenants: each pair of process and device is one line, and
    /// whoever was not granted what it holds is found, and nobody else.
    #[test]
    fn holders_without_a_grant_are_found_and_nobody_else(
        holdings in prop::collection::vec((0_u32..3, 0_u32..4, 1_u32..6, 0_u32..8), 0..40),
    ) {
        let mut scene = node();
        let party = [identity::HOST, RED, BLUE, identity::FIRST_SERVICE];
        for (minor, who, process, fd) in &holdings {
            let who = party[usize::try_from(*who).unwrap()];
            // A process is of one tenant.
            scene = scene.holds(gpu(*minor), who, process * 10 + who % 10, Via::Descriptor(*fd));
        }
        let is_granted = |minor: u32, who: usize| match who { 1 => minor == 0, 2 => minor == 1, 3 => true, _ => false };
        let expected: BTreeSet<(u32, &str)> = holdings
            .iter()
            .filter(|(minor, who, ..)| !is_granted(*minor, usize::try_from(*who).unwrap()))
            .map(|(minor, who, ..)| (*minor, ["host", "red", "blue", "persistence"][usize::try_from(*who).unwrap()]))
            .collect();
        let observed = observe(&scene.look());
        let found: BTreeSet<(u32, &str)> = observed
            .keys()
            .filter(|key| key.kind == Kind::HolderWithoutGrant)
            .map(|key| (key.device.minor, key.who.as_str()))
            .collect();
        prop_assert_eq!(found, expected);
        let pairs: BTreeSet<(u32, u32)> =
            scene.sweep.holdings.iter().map(|holding| (holding.device.minor, holding.process)).collect();
        prop_assert_eq!(handles(&scene.look()).handles.len(), pairs.len());
    }
}
