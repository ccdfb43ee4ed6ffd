//! What a policy says: tenants, rules, the world, the host, tiers, modes, leases, and changes of all these.

use anyhow::{Result, ensure};
use enforcer_common::event::{KIND_FLOW_ALLOWED, KIND_FLOW_REFUSED};
use enforcer_common::maps::{RULE_INTRA_TENANT, RULE_NO_MATCH};
use enforcer_common::reason;
use enforcer_common::verdict::{AUDIT, DENY};
use enforcer_common::wall::tagged;
use enforcer_core::policy::model::Policy;
use enforcer_tests::runner::Case;
use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};

use crate::fixture::{Node, PASSED, POLICY, TAG, address};
use crate::frame::{ACK, ICMP, SYN, TCP, UDP, icmp, ip, tcp, udp};
use crate::packets::expect;

pub(crate) const CASES: &[Case<Node>] = &[
    case("policy::same_tenant_is_allowed_and_cross_tenant_is_not", tenants),
    case("policy::a_rule_opens_its_ports_and_deny_beats_allow", rules),
    case("policy::the_world_needs_an_egress_rule_and_exceptions_hold", world),
    case("policy::host_and_remote_nodes_have_defaults_of_their_own", hosts),
    case("policy::no_policy_means_no_traffic", nothing),
    case("policy::a_revoked_pair_stops_in_both_directions", revoked),
    case("policy::an_unrelated_change_leaves_established_flows_alone", unrelated),
    case("policy::audit_lets_pass_and_tells", audit),
    case("policy::an_audit_rule_changes_no_verdict_but_is_told", shadow),
    case("policy::a_lapsed_lease_stops_cross_tenant_traffic", leases),
    case("policy::every_tier_has_the_flow_gate", tiers),
    case("policy::an_address_that_changes_hands_takes_no_flow_along", reused),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

fn syn(source: &str, destination: &str, port: u16) -> Vec<u8> {
    ip(address(source), address(destination), TCP, &tcp(4000, port, SYN))
}

fn tenants(node: &mut Node) -> Result<()> {
    let outcome = node.send("red-a", &syn("10.0.0.1", "10.0.0.2", 80))?;
    expect(&outcome, "same tenant, same node", reason::NONE)?;
    ensure!(
        outcome.events[0].header.kind == KIND_FLOW_ALLOWED && outcome.events[0].rule == RULE_INTRA_TENANT
    );
    expect(&node.send("red-a", &syn("10.0.0.1", "10.1.0.1", 80))?, "same tenant, elsewhere", reason::NONE)?;
    expect(&node.send("red-a", &syn("fd00::1", "fd00::2", 80))?, "same tenant, IPv6", reason::NONE)?;
    let refused = reason::CROSS_TENANT_NO_RULE;
    let outcome = node.send("red-a", &syn("10.0.0.1", "10.0.0.3", 80))?;
    expect(&outcome, "cross tenant", refused)?;
    let event = outcome.events[0];
    ensure!(event.header.kind == KIND_FLOW_REFUSED && event.rule == RULE_NO_MATCH && event.action == DENY);
    ensure!((event.source_identity, event.destination_identity) == (100, 200), "{event:?}");
    expect(&node.send("blue-a", &syn("10.0.0.3", "10.0.0.1", 80))?, "the other way", refused)?;
    expect(&node.send("red-a", &syn("10.0.0.1", "10.1.0.3", 80))?, "elsewhere", refused)?;
    expect(&node.send("red-a", &syn("fd00::1", "fd00::3", 80))?, "IPv6", refused)?;
    expect(&node.deliver("blue-a", 0, &syn("10.1.0.1", "10.0.0.3", 80))?, "from the wire", refused)?;
    expect(
        &node.deliver("red-a", 0, &syn("10.1.0.1", "10.0.0.1", 80))?,
        "its own from the wire",
        reason::NONE,
    )
}

fn rules(node: &mut Node) -> Result<()> {
    let ports = [(7999, false), (8000, true), (8079, true), (8081, true), (8100, true), (8101, false)];
    for (port, open) in ports {
        let expected = if open { reason::NONE } else { reason::CROSS_TENANT_NO_RULE };
        expect(&node.send("red-a", &syn("10.0.0.1", "10.0.0.4", port))?, &port.to_string(), expected)?;
    }
    expect(&node.send("red-a", &syn("10.0.0.1", "10.0.0.4", 8080))?, "8080", reason::RULE_DENIED)?;
    let datagram = |port| ip(address("10.0.0.1"), address("10.0.0.4"), UDP, &udp(9, port, b""));
    expect(&node.send("red-a", &datagram(53))?, "UDP 53", reason::NONE)?;
    expect(&node.send("red-a", &datagram(8000))?, "UDP 8000", reason::CROSS_TENANT_NO_RULE)?;
    let timestamp = ip(address("10.0.0.1"), address("10.0.0.4"), ICMP, &icmp(13, 0, 1));
    expect(&node.send("red-a", &timestamp)?, "another ICMP type", reason::CROSS_TENANT_NO_RULE)?;
    expect(
        &node.send("ops-a", &syn("10.0.0.4", "10.0.0.1", 8000))?,
        "backwards",
        reason::CROSS_TENANT_NO_RULE,
    )
}

fn world(node: &mut Node) -> Result<()> {
    let to = |destination: &str, port| syn("10.0.0.1", destination, port);
    expect(&node.send("red-a", &to("198.51.100.7", 443))?, "inside", reason::NONE)?;
    let unbound = reason::DESTINATION_UNBOUND;
    expect(&node.send("red-a", &to("198.51.100.7", 80))?, "another port", unbound)?;
    expect(&node.send("red-a", &to("198.51.100.200", 443))?, "the exception", unbound)?;
    expect(&node.send("red-a", &to("203.0.113.1", 443))?, "outside", unbound)?;
    expect(&node.send("blue-a", &syn("10.0.0.3", "198.51.100.7", 443))?, "another tenant", unbound)?;
    let answer = ip(address("198.51.100.7"), address("10.0.0.1"), TCP, &tcp(443, 4000, SYN | ACK));
    expect(&node.deliver("red-a", 0, &answer)?, "the answer", reason::NONE)?;
    let call = syn("198.51.100.7", "10.0.0.1", 443);
    expect(&node.deliver("red-a", 0, &call)?, "the world calling", reason::SOURCE_UNBOUND)
}

fn hosts(node: &mut Node) -> Result<()> {
    expect(&node.deliver("red-a", 0, &syn("10.0.0.254", "10.0.0.1", 80))?, "the host", reason::NONE)?;
    let masqueraded = syn("10.0.0.254", "10.0.0.1", 81);
    let wire = node.interface("blue-a");
    expect(
        &node.forward("red-a", wire, &masqueraded)?,
        "the host's address from elsewhere",
        reason::SOURCE_UNBOUND,
    )?;
    let reply = ip(address("10.0.0.1"), address("10.0.0.254"), ICMP, &icmp(8, 0, 3));
    expect(&node.send("red-a", &reply)?, "to the host", reason::HOST_NO_RULE)?;
    let remote = reason::REMOTE_NODE_NO_RULE;
    expect(&node.deliver("red-a", 0, &syn("10.1.0.254", "10.0.0.1", 80))?, "a remote node", remote)?;
    expect(&node.send("red-a", &syn("10.0.0.1", "10.1.0.254", 80))?, "to a remote node", remote)?;
    let rule = "---\napiVersion: enforcer.dev/v1\nkind: Rule\nmetadata: {name: ping-host}\nspec: {from: {tenant: red}, to: {host: {}}, ports: [{protocol: ICMP}], action: allow}\n";
    node.apply(&format!("{POLICY}{rule}"))?;
    expect(&node.send("red-a", &reply)?, "to the host by rule", reason::NONE)
}

fn nothing(node: &mut Node) -> Result<()> {
    node.policy = Policy::default();
    node.commit()?;
    let frame = syn("10.0.0.1", "10.0.0.2", 80);
    expect(&node.send("red-a", &frame)?, "without a policy", reason::INTERFACE_UNKNOWN)
}

fn revoked(node: &mut Node) -> Result<()> {
    let forward = ip(address("10.0.0.1"), address("10.0.0.4"), TCP, &tcp(6000, 8000, ACK));
    let back = ip(address("10.0.0.4"), address("10.0.0.1"), TCP, &tcp(8000, 6000, ACK));
    expect(&node.send("red-a", &forward)?, "established", reason::NONE)?;
    expect(&node.send("ops-a", &back)?, "its replies", reason::NONE)?;
    let cut = POLICY.find("---\napiVersion: enforcer.dev/v1\nkind: Rule").unwrap_or(POLICY.len());
    node.apply(&POLICY[..cut])?;
    expect(&node.send("red-a", &forward)?, "revoked", reason::CROSS_TENANT_NO_RULE)?;
    expect(&node.send("ops-a", &back)?, "revoked replies", reason::CROSS_TENANT_NO_RULE)?;
    expect(
        &node.deliver("red-a", tagged(&TAG, 0, 300), &back)?,
        "at the other end",
        reason::CROSS_TENANT_NO_RULE,
    )
}

fn unrelated(node: &mut Node) -> Result<()> {
    let forward = ip(address("10.0.0.1"), address("10.0.0.4"), TCP, &tcp(6001, 8000, ACK));
    let back = ip(address("10.0.0.4"), address("10.0.0.1"), TCP, &tcp(8000, 6001, ACK));
    expect(&node.send("red-a", &forward)?, "established", reason::NONE)?;
    let more = "---\napiVersion: enforcer.dev/v1\nkind: Rule\nmetadata: {name: more}\nspec: {from: {tenant: blue}, to: {tenant: ops}, ports: [{protocol: TCP, port: 1}], action: allow}\n";
    node.apply(&format!("{POLICY}{more}"))?;
    expect(&node.send("ops-a", &back)?, "replies under the new generation", reason::NONE)?;
    expect(&node.send("red-a", &forward)?, "and forward", reason::NONE)
}

fn audit(node: &mut Node) -> Result<()> {
    node.apply(&POLICY.replace("id: 200, tier", "id: 200, mode: audit, tier"))?;
    let frame = syn("10.0.0.1", "10.0.0.3", 4711);
    let outcome = node.send("red-a", &frame)?;
    ensure!(outcome.action == PASSED, "audit does not drop: {outcome:?}");
    let event = outcome.events[0];
    ensure!(event.action == AUDIT && event.reason == reason::CROSS_TENANT_NO_RULE, "{event:?}");
    ensure!(outcome.counters[0].0.audited == 1, "{outcome:?}");
    let spoofed = syn("10.0.0.1", "10.0.0.2", 80);
    expect(&node.send("blue-a", &spoofed)?, "a spoofed source all the same", reason::SOURCE_NOT_OWN)?;
    node.apply(POLICY)?;
    expect(&node.send("red-a", &frame)?, "enforced again", reason::CROSS_TENANT_NO_RULE)
}

fn shadow(node: &mut Node) -> Result<()> {
    let rule = "---\napiVersion: enforcer.dev/v1\nkind: Rule\nmetadata: {name: maybe}\nspec: {from: {tenant: red}, to: {tenant: ops}, ports: [{protocol: TCP, port: 8001}], action: deny, mode: audit}\n";
    node.apply(&format!("{POLICY}{rule}"))?;
    let outcome =
        node.send("red-a", &ip(address("10.0.0.1"), address("10.0.0.4"), TCP, &tcp(4999, 8001, SYN)))?;
    ensure!(outcome.action == PASSED, "{outcome:?}");
    let number = node.policy.index.rule_numbers.iter().find(|(_, name)| name.as_ref() == "maybe");
    let event = outcome.events[0];
    ensure!(Some(event.shadow_rule) == number.map(|(number, _)| *number), "{event:?}");
    ensure!(event.shadow_action == DENY, "{event:?}");
    Ok(())
}

fn leases(node: &mut Node) -> Result<()> {
    let rule = "---\napiVersion: enforcer.dev/v1\nkind: Rule\nmetadata: {name: blue-in}\nspec: {from: {tenant: blue}, to: {tenant: red}, action: allow}\n";
    let leased = POLICY.replace("tenant: blue, generation: 1", "tenant: blue, generation: 1, lease: 1s");
    let leased = leased.replace("tenant: red, generation: 1", "tenant: red, generation: 1, lease: 1s");
    let kernel_now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    node.facts.clock_offset_ns = -(kernel_now.num_nanoseconds() + 3_600_000_000_000);
    node.apply(&format!("{leased}{rule}"))?;
    let alive = node.deliver("red-a", 0, &syn("10.1.0.3", "10.0.0.1", 80))?;
    expect(&alive, "within the lease", reason::NONE)?;
    node.facts.clock_offset_ns = 0;
    node.commit()?;
    let late = node.deliver("red-a", 0, &syn("10.1.0.3", "10.0.0.1", 81))?;
    expect(&late, "past the lease", reason::LEASE_EXPIRED)?;
    let own = node.deliver("red-a", 0, &syn("10.1.0.1", "10.0.0.1", 81))?;
    expect(&own, "the same tenant past its lease", reason::NONE)
}

fn tiers(node: &mut Node) -> Result<()> {
    for tier in ["shared", "partitioned", "isolated"] {
        node.apply(&POLICY.replace("tier: partitioned", &format!("tier: {tier}")))?;
        let outcome = node.send("red-a", &syn("10.0.0.1", "10.0.0.3", 80))?;
        expect(&outcome, tier, reason::CROSS_TENANT_NO_RULE)?;
        expect(&node.send("blue-a", &syn("10.0.0.3", "10.1.0.3", 80))?, tier, reason::NONE)?;
    }
    Ok(())
}

fn reused(node: &mut Node) -> Result<()> {
    let forward = ip(address("10.0.0.1"), address("10.1.0.1"), UDP, &udp(5, 6, b""));
    let back = ip(address("10.1.0.1"), address("10.0.0.1"), UDP, &udp(6, 5, b""));
    expect(&node.send("red-a", &forward)?, "before", reason::NONE)?;
    expect(&node.deliver("red-a", 0, &back)?, "its reply", reason::NONE)?;
    node.apply(&POLICY.replace(
        "address: 10.1.0.1, tenant: red, generation: 1",
        "address: 10.1.0.1, tenant: blue, generation: 2",
    ))?;
    expect(&node.deliver("red-a", 0, &back)?, "the new holder", reason::CROSS_TENANT_NO_RULE)?;
    expect(&node.send("red-a", &forward)?, "towards the new holder", reason::CROSS_TENANT_NO_RULE)
}
