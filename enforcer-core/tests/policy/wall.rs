//! The whole wall on the host: the packets that `explain` offers as proof, through the code of the interface
//! hooks, and established flows across a change of policy.

use enforcer_common::identity::{FIRST_SERVICE, HOST, UNKNOWN, WORLD};
use enforcer_common::maps::{InterfaceValue, Settings, TUNNEL_PORT};
use enforcer_common::packet::{Headers, TCP_ACK};
use enforcer_common::policy::{Question, decide};
use enforcer_common::reason;
use enforcer_common::wall::{Arrival, Judgement, from_workload, tag_of, tagged, to_socket, to_workload};
use enforcer_core::enforce::ProofRequest;
use enforcer_core::node::TunnelEnd;
use enforcer_core::policy::compile::compile;
use enforcer_core::policy::explain::frame::{Packet, frame};
use enforcer_core::policy::explain::{FlowRequest, explain_flow};
use enforcer_core::policy::image::Image;
use enforcer_core::policy::model::{Action, EgressRule, Peer, Protocol, Tenant, Tier};
use enforcer_core::policy::tables::{FlowTable, ImageTables};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::build::{Objects, block, of, rule, tenant, workload};
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
        (protocol, service) in (select(&Protocol::ALL[..]), select(&[8_u16, 80, 128, TUNNEL_PORT][..])),
        standing in any::<u8>(),
    ) {
        let policy = objects.policy();
        let mut facts = facts(&policy);
        for (number, attachment) in facts.attachments.values_mut().enumerate() {
            attachment.tunnel = (standing & (1 << number) != 0).then(TunnelEnd::default);
        }
        let image = compile(&policy, &facts);
        for (from, to) in &ends {
            let request = FlowRequest {
                source: from.to_string(),
                destination: to.to_string(),
                protocol,
                port: Some(service),
                icmp_type: u8::try_from(service).ok(),
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

/// Two tenants with a way out to all the world.
fn worldly() -> (Image, [u8; 4]) {
    let everywhere = |name: &str, number: u32| Tenant {
        egress: vec![EgressRule { block: block("0.0.0.0/0", &[]), ports: None }],
        ..tenant(name, number, Tier::Shared)
    };
    let objects = Objects {
        tenants: vec![everywhere("red", 16), everywhere("blue", 17)],
        workloads: vec![workload("w1", "red", &["172.16.0.1"])],
        rules: vec![rule("world-in", Peer::World, of("red"), Action::Allow)],
        ..Objects::default()
    };
    let policy = objects.policy();
    (compile(&policy, &facts(&policy)), [172, 16, 0, 1])
}

#[test]
fn a_way_out_to_the_world_is_no_way_round_to_the_node() {
    let (image, source) = worldly();
    let tables = ImageTables::new(&image);
    for group in [[224, 0, 0, 1], [255, 255, 255, 255], [169, 254, 7, 7]] {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([source, group].concat());
        packet.extend([0, 9, 0, 9, 0, 8, 0, 0]);
        let at_socket = |tag: u32| {
            let arrival = Arrival { tag, forwarded: 0 };
            let mut headers = Headers::default();
            to_socket(&tables, HOST, 0x0800, packet.as_slice(), &arrival, KERNEL_NOW, &mut headers).verdict
        };
        assert_eq!(at_socket(16).reason, reason::HOST_NO_RULE, "{group:?}");
        assert!(at_socket(0).passes(), "a socket in some other namespace is none of our business: {group:?}");
    }
}

#[test]
fn an_identity_that_means_nothing_is_not_the_world() {
    let (image, _) = worldly();
    let tables = ImageTables::new(&image);
    let asked = |source: u32, destination: u32| {
        let remote = enforcer_common::address::from_v4([198, 51, 100, 1]);
        decide(
            &tables,
            &Question { source, destination, expired: 0, same_node: 0, remote, protocol: 6, service: 80 },
        )
    };
    assert!(asked(WORLD, 16).passes() && asked(16, WORLD).passes());
    for nobody in [UNKNOWN, 7, FIRST_SERVICE] {
        assert_eq!(asked(nobody, 16).reason, reason::TENANT_UNKNOWN, "{nobody}");
        assert_eq!(asked(16, nobody).reason, reason::TENANT_UNKNOWN, "{nobody}");
    }
}

#[test]
fn a_tag_that_does_not_fit_the_mark_is_no_tag() {
    let settings = Settings { tag_mask: 0xffff_0000, tag_shift: 16, ..Settings::default() };
    assert_eq!(tag_of(&settings, tagged(&settings, 0xabcd_4000, 100)), 100);
    assert_eq!(tagged(&settings, 0xabcd_4000, 70_000), 0x4000);
}
