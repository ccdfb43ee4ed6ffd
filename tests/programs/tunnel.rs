//! Rules that ask for the tunnel, at the interfaces: plaintext within the node and beyond it, and the connection that
//! carries tunnelled flows.
//!
//! The images here are written by hand: what the kernel does with them is the question, not who compiles them.

use anyhow::{Context as _, Result, ensure};
use enforcer_common::address::from_v4;
use enforcer_common::identity::{HOST, REMOTE_NODE};
use enforcer_common::maps::{
    ACTION_ALLOW, ACTION_DENY, ACTION_NONE, ACTION_TUNNEL, ACTION_TUNNEL_ALWAYS, AddressValue,
    INTERFACE_TUNNEL, PairValue, RULE_TUNNEL, RuleValue, SLOT_AUDIT, SLOT_HOST_RULES, TUNNEL_PORT,
};
use enforcer_common::packet::Headers;
use enforcer_common::reason;
use enforcer_common::verdict::{ALLOW, DENY};
use enforcer_common::wall::{self, Arrival, Judgement, tagged};
use enforcer_core::policy::image::{Image, PortRegion, TenantImage};
use enforcer_core::policy::tables::ImageTables;
use enforcer_tests::runner::Case;

use crate::fixture::{Node, Outcome, PASSED, POLICY, TAG, address};
use crate::frame::{ACK, SYN, TCP, UDP, ip, tcp, udp};
use crate::packets::expect;

pub(crate) const CASES: &[Case<Node>] = &[
    case("tunnel::plaintext_passes_within_the_node_unless_the_rule_says_always", plaintext),
    case("tunnel::established_plaintext_stops_when_a_rule_begins_to_ask", established),
    case("tunnel::audit_lets_plaintext_pass_and_tells", audit),
    case("tunnel::a_shadow_rule_is_weighed_like_a_rule", shadow),
    case("tunnel::the_carrying_connection_needs_somebody_who_looks_at_what_it_carries", carrying),
    case("tunnel::agents_of_other_nodes_and_of_this_one_may_carry", agents),
    case("tunnel::sockets_of_the_node_are_decided_alike", sockets),
    case("tunnel::only_a_rule_for_the_tunnel_asks_for_it", asking),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

const RED: u32 = 100;
const OPS: u32 = 300;
/// An address of ops on another node.
const OPS_ELSEWHERE: &str = "10.1.0.4";

/// An image's change in force.
pub(crate) fn alter(node: &mut Node, change: impl FnOnce(&mut Image)) -> Result<()> {
    let mut image = node.image.clone();
    change(&mut image);
    node.put(image)
}

/// What red may do with ops over TCP (8000 to 8100, not 8080) takes this action from now on; ops has an address
/// elsewhere, and the connection that carries is opened.
pub(crate) fn ask(node: &mut Node, action: u8) -> Result<()> {
    alter(node, |image| {
        image
            .addresses
            .insert(from_v4([10, 1, 0, 4]), AddressValue { identity: OPS, ..AddressValue::default() });
        let Some(ops) = image.tenants.get_mut(&OPS) else { return };
        for (region, value) in &mut ops.ports {
            if region.peer == RED && region.protocol == TCP && value.action != ACTION_DENY {
                (value.action, value.shadow_action) = (action, action);
            }
        }
        carry(ops, RED);
    })
}

/// Opens the port of the tunnel to a peer.
fn carry(owner: &mut TenantImage, peer: u32) {
    let rule = RuleValue {
        rule: RULE_TUNNEL,
        action: ACTION_ALLOW,
        shadow_action: ACTION_ALLOW,
        ..RuleValue::default()
    };
    let region = PortRegion { peer, protocol: TCP, port: TUNNEL_PORT, prefix_len: 16 };
    owner.ports.insert(region, rule);
    let pair = owner.pairs.entry(peer).or_default();
    pair.prefixes[0] |= 1 << 16;
}

/// Somebody looks, or nobody, at what arrives at a workload's end of the tunnel.
fn attend(node: &mut Node, workload: &str, flags: u32) -> Result<()> {
    let index = node.interface(workload);
    alter(node, |image| {
        if let Some(interface) = image.interfaces.get_mut(&index) {
            interface.flags = flags;
        }
    })
}

fn segment(source: &str, from: u16, destination: &str, to: u16, flags: u8) -> Vec<u8> {
    ip(address(source), address(destination), TCP, &tcp(from, to, flags))
}

fn syn(source: &str, destination: &str, port: u16) -> Vec<u8> {
    segment(source, 4000, destination, port, SYN)
}

fn plaintext(node: &mut Node) -> Result<()> {
    let (none, refused) = (reason::NONE, reason::MTLS_REQUIRED);
    let red = tagged(&TAG, 0, RED);
    for (action, what, within) in [
        (ACTION_ALLOW, "allow", (none, none)),
        (ACTION_TUNNEL, "tunnel", (none, refused)),
        (ACTION_TUNNEL_ALWAYS, "always", (refused, refused)),
    ] {
        ask(node, action)?;
        let (here, elsewhere) = within;
        let what = |case: &str| format!("{what}: {case}");
        let to = |destination: &str| syn("10.0.0.1", destination, 8000);
        expect(&node.send("red-a", &to("10.0.0.4"))?, &what("towards this node"), here)?;
        expect(&node.send("red-a", &to(OPS_ELSEWHERE))?, &what("towards another"), elsewhere)?;
        let near = syn("10.0.0.1", "10.0.0.4", 8001);
        expect(&node.deliver("ops-a", red, &near)?, &what("from this node"), here)?;
        let far = syn("10.1.0.1", "10.0.0.4", 8001);
        expect(&node.deliver("ops-a", 0, &far)?, &what("from another"), elsewhere)?;
        let near6 = ip(address("fd00::1"), address("fd00::4"), TCP, &tcp(4000, 8001, SYN));
        expect(&node.send("red-a", &near6)?, &what("IPv6, towards this node"), here)?;
        let denied = syn("10.0.0.1", OPS_ELSEWHERE, 8080);
        expect(&node.send("red-a", &denied)?, &what("a denied port"), reason::RULE_DENIED)?;
        let other = syn("10.0.0.1", OPS_ELSEWHERE, 7000);
        expect(&node.send("red-a", &other)?, &what("no rule"), reason::CROSS_TENANT_NO_RULE)?;
        let datagram = ip(address("10.0.0.1"), address(OPS_ELSEWHERE), UDP, &udp(9, 53, b""));
        expect(&node.send("red-a", &datagram)?, &what("a rule without"), none)?;
    }
    ask(node, ACTION_TUNNEL)?;
    let outcome = node.send("red-a", &syn("10.0.0.1", OPS_ELSEWHERE, 8002))?;
    let event = outcome.events.first().context("no event")?;
    let rule = node.policy.index.rule_numbers.iter().find(|(_, name)| name.as_ref() == "red-to-ops");
    ensure!(rule.map(|(number, _)| *number) == Some(event.rule), "the rule is not named: {event:?}");
    Ok(())
}

fn established(node: &mut Node) -> Result<()> {
    ask(node, ACTION_ALLOW)?;
    let near = segment("10.0.0.1", 6000, "10.0.0.4", 8000, ACK);
    let near_back = segment("10.0.0.4", 8000, "10.0.0.1", 6000, ACK);
    let far = segment("10.0.0.1", 6001, OPS_ELSEWHERE, 8000, ACK);
    let far_back = segment(OPS_ELSEWHERE, 8000, "10.0.0.1", 6001, ACK);
    expect(&node.send("red-a", &near)?, "before, near", reason::NONE)?;
    expect(&node.send("ops-a", &near_back)?, "before, near, back", reason::NONE)?;
    expect(&node.send("red-a", &far)?, "before, far", reason::NONE)?;
    expect(&node.deliver("red-a", 0, &far_back)?, "before, far, back", reason::NONE)?;
    ask(node, ACTION_TUNNEL)?;
    expect(&node.send("ops-a", &near_back)?, "within the node, back", reason::NONE)?;
    expect(&node.send("red-a", &near)?, "within the node", reason::NONE)?;
    expect(&node.deliver("red-a", 0, &far_back)?, "beyond, back", reason::MTLS_REQUIRED)?;
    expect(&node.send("red-a", &far)?, "beyond", reason::MTLS_REQUIRED)?;
    ask(node, ACTION_TUNNEL_ALWAYS)?;
    expect(&node.send("ops-a", &near_back)?, "always, back", reason::MTLS_REQUIRED)?;
    expect(&node.send("red-a", &near)?, "always", reason::MTLS_REQUIRED)
}

/// Passed, and counted as what would have been refused.
fn let_pass(outcome: &Outcome, what: &str) -> Result<()> {
    let [(key, _)] = outcome.counters.as_slice() else { anyhow::bail!("{what}: {outcome:?}") };
    ensure!(outcome.action == PASSED, "{what}: {outcome:?}");
    ensure!((key.reason, key.audited) == (reason::MTLS_REQUIRED, 1), "{what}: {outcome:?}");
    Ok(())
}

fn audit(node: &mut Node) -> Result<()> {
    ask(node, ACTION_TUNNEL)?;
    alter(node, |image| {
        if let Some(ops) = image.tenants.get_mut(&OPS) {
            ops.flags |= SLOT_AUDIT;
        }
    })?;
    let_pass(&node.send("red-a", &syn("10.0.0.1", OPS_ELSEWHERE, 8000))?, "sent")?;
    let_pass(&node.deliver("ops-a", 0, &syn("10.1.0.1", "10.0.0.4", 8000))?, "arriving")?;
    let_pass(&node.deliver("ops-a", 0, &syn("10.1.0.1", "10.0.0.4", TUNNEL_PORT))?, "nobody looks")
}

fn shadow(node: &mut Node) -> Result<()> {
    ask(node, ACTION_ALLOW)?;
    alter(node, |image| {
        let ports = image.tenants.get_mut(&OPS).into_iter().flat_map(|ops| &mut ops.ports);
        for (region, value) in ports {
            if region.peer == RED && region.protocol == TCP && value.action == ACTION_ALLOW {
                (value.shadow_rule, value.shadow_action) = (77, ACTION_TUNNEL);
            }
        }
    })?;
    for (destination, expected) in [("10.0.0.4", (0, ALLOW)), (OPS_ELSEWHERE, (77, DENY))] {
        let outcome = node.send("red-a", &syn("10.0.0.1", destination, 8000))?;
        expect_shadow(&outcome, destination, expected)?;
    }
    Ok(())
}

fn expect_shadow(outcome: &Outcome, what: &str, expected: (u32, u8)) -> Result<()> {
    let event = outcome.events.first().with_context(|| format!("{what}: no event"))?;
    ensure!(outcome.action == PASSED, "{what}: {outcome:?}");
    ensure!((event.shadow_rule, event.shadow_action) == expected, "{what}: {event:?}");
    Ok(())
}

fn carrying(node: &mut Node) -> Result<()> {
    ask(node, ACTION_TUNNEL)?;
    let outcome = node.send("red-a", &syn("10.0.0.1", OPS_ELSEWHERE, TUNNEL_PORT))?;
    expect(&outcome, "leaving", reason::NONE)?;
    ensure!(outcome.events.first().is_some_and(|event| event.rule == RULE_TUNNEL), "{outcome:?}");
    let answer = segment(OPS_ELSEWHERE, TUNNEL_PORT, "10.0.0.1", 4000, SYN | ACK);
    expect(&node.deliver("red-a", 0, &answer)?, "its answer", reason::NONE)?;
    let red = tagged(&TAG, 0, RED);
    let (near, far) = (syn("10.0.0.1", "10.0.0.4", TUNNEL_PORT), syn("10.1.0.1", "10.0.0.4", TUNNEL_PORT));
    let back = segment("10.0.0.4", TUNNEL_PORT, "10.1.0.1", 4000, SYN | ACK);
    expect(&node.deliver("ops-a", 0, &far)?, "nobody looks", reason::MTLS_REQUIRED)?;
    expect(&node.deliver("ops-a", red, &near)?, "nobody looks, near", reason::MTLS_REQUIRED)?;
    expect(&node.send("ops-a", &back)?, "no flow is left behind", reason::CROSS_TENANT_NO_RULE)?;
    attend(node, "ops-a", INTERFACE_TUNNEL)?;
    expect(&node.deliver("ops-a", 0, &far)?, "the agent looks", reason::NONE)?;
    expect(&node.deliver("ops-a", red, &near)?, "the agent looks, near", reason::NONE)?;
    expect(&node.send("ops-a", &back)?, "and answers", reason::NONE)?;
    attend(node, "ops-a", 0)?;
    expect(&node.deliver("ops-a", 0, &far)?, "no longer", reason::MTLS_REQUIRED)?;
    let blue = syn("10.1.0.3", "10.0.0.4", TUNNEL_PORT);
    attend(node, "ops-a", INTERFACE_TUNNEL)?;
    expect(&node.deliver("ops-a", 0, &blue)?, "a tenant without a rule", reason::CROSS_TENANT_NO_RULE)?;
    let datagram = ip(address("10.1.0.1"), address("10.0.0.4"), UDP, &udp(4000, TUNNEL_PORT, b""));
    expect(&node.deliver("ops-a", 0, &datagram)?, "another protocol", reason::CROSS_TENANT_NO_RULE)
}

fn agents(node: &mut Node) -> Result<()> {
    ask(node, ACTION_TUNNEL)?;
    let remote = syn("10.1.0.254", "10.0.0.4", TUNNEL_PORT);
    let host = syn("10.0.0.254", "10.0.0.4", TUNNEL_PORT);
    expect(&node.deliver("ops-a", 0, &remote)?, "without", reason::REMOTE_NODE_NO_RULE)?;
    alter(node, |image| {
        let Some(ops) = image.tenants.get_mut(&OPS) else { return };
        ops.flags |= SLOT_HOST_RULES;
        carry(ops, REMOTE_NODE);
        carry(ops, HOST);
    })?;
    for (frame, what) in [(&remote, "another node"), (&host, "this node")] {
        attend(node, "ops-a", 0)?;
        expect(&node.deliver("ops-a", 0, frame)?, what, reason::MTLS_REQUIRED)?;
        attend(node, "ops-a", INTERFACE_TUNNEL)?;
        expect(&node.deliver("ops-a", 0, frame)?, what, reason::NONE)?;
    }
    let elsewhere = syn("10.1.0.254", "10.0.0.4", 8000);
    expect(&node.deliver("ops-a", 0, &elsewhere)?, "another port", reason::REMOTE_NODE_NO_RULE)
}

/// The judgement at a socket of the node, over the same image on the host.
fn at_socket(node: &Node, receiver: u32, tag: u32, frame: &[u8]) -> Judgement {
    let tables = ImageTables::new(&node.image);
    let arrival = Arrival { tag, forwarded: 0 };
    wall::to_socket(&tables, receiver, 0x0800, &frame[14..], &arrival, 1, &mut Headers::default())
}

fn from_socket(node: &Node, tenant: u32, frame: &[u8]) -> Judgement {
    let tables = ImageTables::new(&node.image);
    wall::from_socket(&tables, tenant, 0x0800, &frame[14..], 1, &mut Headers::default())
}

fn sockets(node: &mut Node) -> Result<()> {
    ask(node, ACTION_TUNNEL)?;
    let host = "10.0.0.254";
    let cases = [
        ("near, in", at_socket(node, OPS, RED, &syn("10.0.0.1", host, 8000)), reason::NONE),
        ("far, in", at_socket(node, OPS, 0, &syn("10.1.0.1", host, 8000)), reason::MTLS_REQUIRED),
        ("near, out", from_socket(node, RED, &syn(host, "10.0.0.4", 8000)), reason::NONE),
        ("far, out", from_socket(node, RED, &syn(host, OPS_ELSEWHERE, 8000)), reason::MTLS_REQUIRED),
        ("carrying, in", at_socket(node, OPS, RED, &syn("10.0.0.1", host, 15_008)), reason::MTLS_REQUIRED),
        ("to the agent", at_socket(node, HOST, RED, &syn("127.0.0.1", "127.0.0.1", 15_001)), reason::NONE),
        (
            "to the agent, a stranger",
            at_socket(node, HOST, 999, &syn("127.0.0.1", "127.0.0.1", 15_001)),
            reason::TENANT_UNKNOWN,
        ),
        (
            "to another port",
            at_socket(node, HOST, RED, &syn("127.0.0.1", "127.0.0.1", 15_002)),
            reason::HOST_NO_RULE,
        ),
        ("not on loopback", at_socket(node, HOST, RED, &syn(host, host, 15_001)), reason::HOST_NO_RULE),
        (
            "another tenant's listener",
            at_socket(node, 200, RED, &syn("127.0.0.1", "127.0.0.1", 15_001)),
            reason::CROSS_TENANT_NO_RULE,
        ),
    ];
    for (what, judgement, expected) in cases {
        ensure!(judgement.verdict.reason == expected, "{what}: {judgement:?}");
    }
    alter(node, |image| {
        let Some(red) = image.tenants.get_mut(&RED) else { return };
        let refuse = RuleValue {
            rule: 99,
            reason: reason::RULE_DENIED,
            action: ACTION_DENY,
            shadow_action: ACTION_DENY,
            ..RuleValue::default()
        };
        red.flags |= SLOT_HOST_RULES;
        red.pairs.insert(HOST, PairValue { default: refuse, ..PairValue::default() });
    })?;
    let answer = |flags| segment("127.0.0.1", 15_001, "127.0.0.1", 40_000, flags);
    let cases = [
        ("the agent's answer", at_socket(node, RED, 0, &answer(SYN | ACK)), reason::NONE),
        ("the agent calling", at_socket(node, RED, 0, &answer(SYN)), reason::RULE_DENIED),
        (
            "another port of the host",
            at_socket(node, RED, 0, &segment("127.0.0.1", 80, "127.0.0.1", 40_000, ACK)),
            reason::RULE_DENIED,
        ),
    ];
    for (what, judgement, expected) in cases {
        ensure!(judgement.verdict.reason == expected, "{what}: {judgement:?}");
    }
    Ok(())
}

/// What `connect()` is told, and whether the connection is the tunnel's.
fn asking(node: &mut Node) -> Result<()> {
    ask(node, ACTION_TUNNEL)?;
    let toward = |node: &Node, tenant: u32, destination: [u8; 4], port: u16| {
        let tables = ImageTables::new(&node.image);
        let headers = Headers {
            destination: from_v4(destination),
            destination_port: port,
            service: port,
            protocol: TCP,
            ..Headers::default()
        };
        wall::toward(&tables, &TAG, tenant, 1, &headers).verdict
    };
    let (near, far) = ([10, 0, 0, 4], [10, 1, 0, 4]);
    let asks = |node: &Node, to: [u8; 4], port| toward(node, RED, to, port).asks_for_tunnel();
    ensure!(asks(node, far, 8000) && !asks(node, near, 8000) && !asks(node, far, 8080));
    ensure!(!asks(node, far, TUNNEL_PORT) && !toward(node, 200, far, 8000).asks_for_tunnel());
    ask(node, ACTION_TUNNEL_ALWAYS)?;
    ensure!(asks(node, far, 8000) && asks(node, near, 8000));
    withhold(node)?;
    let verdict = toward(node, RED, far, 8000);
    ensure!(verdict.reason == reason::MTLS_REQUIRED && !verdict.asks_for_tunnel(), "{verdict:?}");
    node.apply(POLICY)?;
    ask(node, ACTION_NONE)?;
    ensure!(toward(node, RED, far, 8000).reason == reason::CROSS_TENANT_NO_RULE);
    Ok(())
}

/// The rule is one that no tunnel can fulfil.
pub(crate) fn withhold(node: &mut Node) -> Result<()> {
    alter(node, |image| {
        let ports = image.tenants.get_mut(&OPS).into_iter().flat_map(|ops| &mut ops.ports);
        for (region, value) in ports {
            if region.peer == RED && region.protocol == TCP && value.rule != RULE_TUNNEL {
                (value.action, value.shadow_action) = (ACTION_DENY, ACTION_DENY);
                value.reason = reason::MTLS_REQUIRED;
            }
        }
    })
}
