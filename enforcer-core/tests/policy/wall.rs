//! The whole wall on the host: the packets that `explain` offers as proof, through the code of the interface
//! hooks, and established flows across a change of policy.

use enforcer_common::maps::{InterfaceValue, Settings};
use enforcer_common::packet::{Headers, TCP_ACK};
use enforcer_common::wall::{Arrival, Judgement, from_workload, to_workload};
use enforcer_core::enforce::ProofRequest;
use enforcer_core::policy::compile::compile;
use enforcer_core::policy::explain::frame::{Packet, frame};
use enforcer_core::policy::explain::{FlowRequest, explain_flow};
use enforcer_core::policy::image::Image;
use enforcer_core::policy::model::{Action, Protocol, Tier};
use enforcer_core::policy::tables::{FlowTable, ImageTables};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::build::{Objects, of, rule, tenant, workload};
use crate::support::generate::{NOW, address, facts, objects};

const KERNEL_NOW: u64 = 1_000_000_000_000;

/// As the kernel room's `prove` does it: out of the one interface, into the other.
fn passes(image: &Image, tables: &ImageTables<'_>, request: &ProofRequest) -> bool {
    let interface = |index: u32| &image.interfaces[&index];
    let mut tag = 0;
    if let Some(index) = request.from_interface {
        let judgement = sent(tables, interface(index), &request.frame);
        if !judgement.verdict.passes() {
            return false;
        }
        tag = judgement.tag;
    }
    request
        .to_interface
        .is_none_or(|index| received(tables, interface(index), &request.frame, tag).verdict.passes())
}

fn sent(tables: &ImageTables<'_>, interface: &InterfaceValue, frame: &[u8]) -> Judgement {
    from_workload(tables, &Settings::default(), interface, frame, KERNEL_NOW, &mut Headers::default())
}

fn received(tables: &ImageTables<'_>, interface: &InterfaceValue, frame: &[u8], tag: u32) -> Judgement {
    to_workload(tables, interface, frame, &Arrival { tag, forwarded: 0 }, KERNEL_NOW, &mut Headers::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn what_is_explained_is_what_the_hooks_do(
        objects in objects(),
        ends in prop::collection::vec((address(), address()), 40),
        (protocol, service) in (select(&Protocol::ALL[..]), select(&[8_u8, 80, 128][..])),
    ) {
        let policy = objects.policy();
        let facts = facts(&policy);
        let image = compile(&policy, &facts);
        for (from, to) in &ends {
            let request = FlowRequest {
                source: from.to_string(),
                destination: to.to_string(),
                protocol,
                port: Some(u16::from(service)),
                icmp_type: Some(service),
                now: NOW,
            };
            let Ok(explanation) = explain_flow(&policy, &facts, &request) else { continue };
            let Ok(proof) = &explanation.proof else { continue };
            let expected = explanation.verdict != "deny";
            prop_assert_eq!(passes(&image, &ImageTables::new(&image), proof), expected, "{:?}", explanation);
        }
    }
}

fn two_tenants(rules: &[Action]) -> Image {
    let objects = Objects {
        tenants: vec![tenant("red", 16, Tier::Shared), tenant("blue", 17, Tier::Shared)],
        workloads: vec![workload("w1", "red", &["172.16.0.1"]), workload("w2", "blue", &["172.16.0.2"])],
        rules: rules.iter().map(|action| rule("r1", of("red"), of("blue"), *action)).collect(),
        bindings: Vec::new(),
    };
    let policy = objects.policy();
    compile(&policy, &facts(&policy))
}

fn syn() -> Vec<u8> {
    let packet = Packet {
        source: "172.16.0.1".parse().unwrap(),
        destination: "172.16.0.2".parse().unwrap(),
        protocol: Protocol::Tcp,
        service: 443,
    };
    frame(&packet).unwrap()
}

/// The packet that answers: addresses and ports exchanged, ACK set.
fn answer(frame: &[u8]) -> Vec<u8> {
    let mut answer = frame.to_vec();
    for (to, from, len) in [(26, 30, 4), (30, 26, 4), (34, 36, 2), (36, 34, 2)] {
        answer[to..to + len].copy_from_slice(&frame[from..from + len]);
    }
    answer[47] |= TCP_ACK;
    answer
}

/// Whether a packet of red passes to blue, and whether one of blue passes back.
fn both_ways(image: &Image, generation: u32, flows: FlowTable) -> ((bool, bool), FlowTable) {
    let tables = ImageTables::with_flows(image, generation, flows);
    let there = ProofRequest { from_interface: Some(100), to_interface: Some(101), frame: syn() };
    let back = ProofRequest { from_interface: Some(101), to_interface: Some(100), frame: answer(&syn()) };
    let passed = (passes(image, &tables, &there), passes(image, &tables, &back));
    (passed, tables.into_flows())
}

#[test]
fn a_revoked_flow_stops_in_both_directions() {
    let open = two_tenants(&[Action::Allow]);
    let (passed, flows) = both_ways(&open, 1, FlowTable::default());
    assert_eq!(passed, (true, true));
    assert_eq!(flows.len(), 1);
    for revoked in [two_tenants(&[]), two_tenants(&[Action::Deny])] {
        let (passed, _) = both_ways(&revoked, 2, flows.clone());
        assert_eq!(passed, (false, false));
    }
    let (passed, _) = both_ways(&open, 2, flows);
    assert_eq!(passed, (true, true), "a push that changes nothing breaks nothing");
}

#[test]
fn an_answer_to_nothing_is_refused() {
    let open = two_tenants(&[Action::Allow]);
    let tables = ImageTables::new(&open);
    let back = ProofRequest { from_interface: Some(101), to_interface: Some(100), frame: answer(&syn()) };
    assert!(!passes(&open, &tables, &back));
}

#[test]
fn a_forged_source_is_refused_before_any_rule() {
    let open = two_tenants(&[Action::Allow]);
    let tables = ImageTables::new(&open);
    let forged = sent(&tables, &open.interfaces[&101], &syn());
    assert_eq!(forged.verdict.reason, enforcer_common::reason::SOURCE_NOT_OWN);
}
