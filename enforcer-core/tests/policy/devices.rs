//! The device gate: tables and `decide_device()` against the reference, and by name.

use std::collections::BTreeMap;

use enforcer_common::device::{
    ACCESS_MKNOD, ACCESS_READ, ACCESS_WRITE, Asker, DeviceRequest, KIND_CHAR, decide_device,
};
use enforcer_common::identity;
use enforcer_common::{reason, verdict};
use enforcer_core::device::class::Kind;
use enforcer_core::device::holding::GateCustody;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::node::{Attachment, NodeFacts};
use enforcer_core::policy::compile::{compile, node::numbered_services, warnings};
use enforcer_core::policy::explain::{DeviceRequest as Request, ExplainError, explain_device, rule_name};
use enforcer_core::policy::image::Image;
use enforcer_core::policy::model::{DeviceGrant, Mode, Name, Policy, Tier, Workload};
use enforcer_core::policy::oracle::{self, Answer, DeviceAsker, DeviceQuestion};
use enforcer_core::policy::tables::ImageTables;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::build::{Objects, tenant, workload};
use crate::support::generate::{NOW, facts, objects};

type Found = Option<(Answer, String, &'static str)>;

fn asker() -> impl Strategy<Value = DeviceAsker> {
    prop_oneof![
        4 => select(&["t0", "t1", "t2", "gone"][..]).prop_map(|name| DeviceAsker::Tenant(name.into())),
        1 => select(&["plugin", "control"][..]).prop_map(|name| DeviceAsker::Service(name.to_owned())),
        1 => Just(DeviceAsker::Stranger),
        1 => Just(DeviceAsker::Kernel),
    ]
}

prop_compose! {
    fn question()(
        asker in asker(),
        major in select(&[195_u32, 240, 226, 1][..]),
        minor in select(&[0_u32, 1, 2, 3, 128, 200, 254, 255, 300][..]),
        mknod in prop::bool::weighted(0.2),
    ) -> DeviceQuestion {
        DeviceQuestion { asker, kind: Kind::Char, major, minor, mknod }
    }
}

fn decided(policy: &Policy, facts: &NodeFacts, image: &Image, question: &DeviceQuestion) -> Found {
    let unknown_tenant = 9999;
    let number = |name: &Name| policy.tenants.get(name).map_or(unknown_tenant, |tenant| tenant.id);
    let identity = match &question.asker {
        DeviceAsker::Tenant(name) => number(name),
        DeviceAsker::Service(name) => {
            numbered_services(facts).find(|(_, service)| service.name == *name).unwrap().0
        }
        DeviceAsker::Stranger | DeviceAsker::Kernel => identity::UNKNOWN,
    };
    let asker = Asker { identity, in_root: u32::from(question.asker == DeviceAsker::Kernel) };
    let access = if question.mknod { ACCESS_MKNOD } else { ACCESS_READ | ACCESS_WRITE };
    let request = DeviceRequest { kind: KIND_CHAR, major: question.major, minor: question.minor, access };
    let (found, _, _) = decide_device(&ImageTables::new(image), || asker, &request)?;
    let answer = match found.action {
        verdict::ALLOW => Answer::Allow,
        verdict::DENY => Answer::Deny,
        _ => Answer::Audit,
    };
    Some((answer, rule_name(policy, found.rule).to_string(), reason::name(found.reason)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn compiled_gates_answer_as_the_reference_does(
        objects in objects(), questions in prop::collection::vec(question(), 60),
    ) {
        let policy = objects.policy();
        let facts = facts(&policy);
        let image = compile(&policy, &facts);
        for question in &questions {
            let expected = oracle::device(&policy, &facts, question)
                .map(|verdict| (verdict.answer, verdict.rule, verdict.reason));
            prop_assert_eq!(decided(&policy, &facts, &image, question), expected, "{:?}", question);
        }
    }
}

fn granted() -> (Policy, NodeFacts) {
    let gpu = DeviceGrant { class: "nvidia".into(), minors: Some(vec![0]) };
    let kfd = DeviceGrant { class: "kfd".into(), minors: None };
    let mut objects = Objects {
        tenants: vec![tenant("red", 16, Tier::Shared), tenant("blue", 17, Tier::Shared)],
        workloads: vec![workload("w1", "red", &["172.16.0.1"]), workload("w2", "blue", &["172.16.0.2"])],
        ..Objects::default()
    };
    objects.tenants[0].devices = vec![gpu, kfd];
    objects.workloads[0].cgroup = Some("/pods/w1".to_owned());
    let policy = objects.policy();
    let facts = facts(&policy);
    (policy, facts)
}

fn explained(subject: &str, device: &str) -> Result<(&'static str, String, &'static str), ExplainError> {
    let (policy, facts) = granted();
    let custody = BTreeMap::new();
    let request = Request { subject: subject.to_owned(), device: device.to_owned(), custody };
    explain_device(&policy, &facts, &request).map(|found| (found.verdict, found.rule, found.reason))
}

fn no(reason: &'static str) -> Result<(&'static str, String, &'static str), ExplainError> {
    Ok(("deny", "no-rule-matched".to_owned(), reason))
}

#[test]
fn a_gpu_opens_for_its_tenant_and_nobody_else() {
    let yes = Ok(("allow", "device-grant".to_owned(), "none"));
    for device in ["/dev/nvidia0", "c 195:0", "nvidia:0"] {
        assert_eq!(explained("w1", device), yes);
        assert_eq!(explained("red", device), yes);
        assert_eq!(explained("/pods/w1/container", device), yes);
        assert_eq!(explained("w2", device), no("device_not_granted"));
        assert_eq!(explained("/pods/w10", device), no("device_no_tenant"));
    }
    assert_eq!(explained("w1", "/dev/nvidia1"), no("device_not_granted"));
    assert_eq!(explained("plugin", "/dev/nvidia0"), Ok(("allow", "host-service".to_owned(), "none")));
    assert_eq!(explained("control", "/dev/nvidia0"), no("device_not_granted"));
}

#[test]
fn a_device_that_is_closed_between_two_tenants_is_explained_as_closed() {
    let (policy, facts) = granted();
    let number = DeviceNumber { kind: Kind::Char, major: 195, minor: 0 };
    let asked = |subject: &str, gate: GateCustody| {
        let custody = BTreeMap::from([(number, gate)]);
        let request = Request { subject: subject.to_owned(), device: "nvidia:0".to_owned(), custody };
        let found = explain_device(&policy, &facts, &request).unwrap();
        (found.verdict, found.reason)
    };
    assert_eq!(asked("w1", GateCustody::Closed), ("deny", "device_closed"));
    assert_eq!(asked("w1", GateCustody::Owner(17)), ("deny", "device_closed"));
    assert_eq!(asked("w1", GateCustody::Owner(16)), ("allow", "none"));
    assert_eq!(asked("w1", GateCustody::Granted), ("allow", "none"));
    assert_eq!(asked("w2", GateCustody::Owner(17)), ("deny", "device_not_granted"));
}

#[test]
fn an_unknown_minor_of_a_gated_major_is_denied() {
    assert_eq!(explained("w1", "c 195:300"), no("device_not_granted"));
}

#[test]
fn what_cannot_be_explained_says_why() {
    assert!(matches!(explained("w1", "c 1:3"), Err(ExplainError::NotGated(_))));
    assert!(matches!(explained("nobody", "nvidia:0"), Err(ExplainError::UnknownSubject(_))));
    assert!(matches!(explained("w1", "/dev/tty"), Err(ExplainError::Device(_))));
}

#[test]
fn a_grant_without_a_driver_gives_nothing_and_is_told() {
    let (policy, facts) = granted();
    let image = compile(&policy, &facts);
    assert_eq!(image.tenants[&16].grants.len(), 1);
    let found = warnings(&policy, &facts, NOW, 10);
    assert!(found.iter().any(|line| line.contains("red") && line.contains("kfd")), "{found:?}");
    assert_eq!(warnings(&policy, &facts, NOW, 0), Vec::<String>::new());
}

#[test]
fn a_tenant_in_audit_is_refused_what_it_was_not_granted() {
    let (mut policy, facts) = granted();
    let mut blue = tenant("blue", 17, Tier::Shared);
    blue.mode = Mode::Audit;
    policy.tenants.insert("blue".into(), std::sync::Arc::new(blue));
    let (subject, device) = ("w2".to_owned(), "nvidia:0".to_owned());
    let request = Request { subject, device, custody: BTreeMap::new() };
    let found = explain_device(&policy, &facts, &request).unwrap();
    assert_eq!((found.verdict, found.reason), ("deny", "device_not_granted"));
}

#[test]
fn creating_nodes_is_never_granted_to_a_tenant() {
    let (policy, facts) = granted();
    let image = compile(&policy, &facts);
    let grants = image.tenants.values().flat_map(|tenant| tenant.grants.values());
    assert!(grants.clone().count() > 0);
    assert!(grants.clone().all(|grant| grant.access & ACCESS_MKNOD == 0));
}

#[test]
fn a_workload_without_an_interface_is_told_to_be_judged_by_its_sockets_only() {
    let (policy, mut facts) = granted();
    facts.attachments.insert("w1".into(), Attachment { cgroup: Some(77), ..Attachment::default() });
    let mut workload = Workload::clone(&policy.workloads["w1"]);
    (workload.interface, workload.network_namespace, workload.host_network) = (None, None, false);
    let mut without = policy.clone();
    without.workloads.insert("w1".into(), std::sync::Arc::new(workload));
    let found = warnings(&without, &facts, NOW, 100);
    assert!(found.iter().any(|line| line.contains("its packets are not")), "{found:?}");
}
