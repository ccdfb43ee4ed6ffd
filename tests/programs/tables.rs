//! The tables under change: whole or not at all, read back, swept, full.

use anyhow::{Result, bail, ensure};
use enforcer_common::reason;
use enforcer_core::enforce::{EnforceError, Enforcement as _, Inspection as _, ProofRequest};
use enforcer_core::policy::compile::compile;
use enforcer_core::policy::plan::plan_from_image;
use enforcer_tests::runner::Case;

use crate::fixture::{Node, POLICY, address};
use crate::frame::{SYN, TCP, ip, tcp};
use crate::packets::expect;

pub(crate) const CASES: &[Case<Node>] = &[
    case("tables::a_prepared_change_alters_no_verdict_and_can_be_taken_back", prepared),
    case("tables::a_full_table_refuses_the_change_and_keeps_the_old", full),
    case("tables::a_read_back_that_differs_is_seen", drift),
    case("tables::old_generations_are_swept", swept),
    case("tables::the_digest_follows_the_policy_and_nothing_else", digest),
    case("tables::a_proof_runs_the_live_code_and_leaves_no_trace", proof),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

const OPEN: &str = "---\napiVersion: enforcer.dev/v1\nkind: Rule\nmetadata: {name: open}\nspec: {from: {tenant: red}, to: {tenant: blue}, action: allow}\n";

fn knock() -> Vec<u8> {
    ip(address("10.0.0.1"), address("10.0.0.3"), TCP, &tcp(3, 80, SYN))
}

fn prepared(node: &mut Node) -> Result<()> {
    let before = node.image.clone();
    node.apply(&format!("{POLICY}{OPEN}"))?;
    let opened = node.image.clone();
    node.apply(POLICY)?;
    let plan = plan_from_image(&before, &opened);
    let prepared = node.wall.prepare(&plan)?;
    ensure!(prepared.written > 0, "nothing was prepared");
    expect(&node.send("red-a", &knock())?, "while prepared", reason::CROSS_TENANT_NO_RULE)?;
    ensure!(node.wall.read_back()? == before, "a prepared change shows in the read-back");
    node.wall.abort(prepared);
    expect(&node.send("red-a", &knock())?, "after the abort", reason::CROSS_TENANT_NO_RULE)?;
    ensure!(node.wall.read_back()? == before);
    node.commit()
}

fn full(node: &mut Node) -> Result<()> {
    let before = node.wall.read_back()?;
    let held = node.wall.capacities()?;
    let mut wanted = before.clone();
    let Some(tenant) = wanted.tenants.get_mut(&300) else { bail!("no tenant 300") };
    let Some((region, value)) = tenant.ports.iter().next().map(|(region, value)| (*region, *value)) else {
        bail!("no ports")
    };
    for port in 0..600 {
        tenant
            .ports
            .insert(enforcer_core::policy::image::PortRegion { port, prefix_len: 16, ..region }, value);
    }
    let plan = plan_from_image(&before, &wanted);
    match node.wall.prepare(&plan) {
        Err(EnforceError::Full { table: "PORTS", .. }) => {}
        other => bail!("expected a full table, got {other:?}"),
    }
    ensure!(node.wall.read_back()? == before, "a refused change left something behind");
    ensure!(node.wall.capacities()? == held, "a refused change is still counted");
    let allowed = ip(address("10.0.0.1"), address("10.0.0.4"), TCP, &tcp(3, 8000, SYN));
    expect(&node.send("red-a", &allowed)?, "the old policy", reason::NONE)
}

fn drift(node: &mut Node) -> Result<()> {
    let good = node.wall.read_back()?;
    let mut other = good.clone();
    other.addresses.retain(|_, value| value.identity != 200);
    let plan = plan_from_image(&good, &other);
    let prepared = node.wall.prepare(&plan)?;
    node.wall.commit(prepared, &plan, 1)?;
    let found = node.wall.read_back()?;
    ensure!(found != good, "the read-back does not show what was taken away");
    let lines = enforcer_core::policy::plan::difference(&found, &compile(&node.policy, &node.facts), 10);
    ensure!(!lines.is_empty(), "drift is not named");
    node.commit()
}

fn swept(node: &mut Node) -> Result<()> {
    let before = node.wall.capacities()?;
    for _ in 0..20 {
        node.apply(&format!("{POLICY}{OPEN}"))?;
        node.apply(POLICY)?;
    }
    let after = node.wall.capacities()?;
    let used = |reports: &[enforcer_core::enforce::CapacityReport]| {
        reports
            .iter()
            .filter(|report| report.table != "COUNTERS")
            .map(|report| (report.table, report.used))
            .collect::<Vec<_>>()
    };
    ensure!(used(&before) == used(&after), "{before:?}\n{after:?}");
    Ok(())
}

fn digest(node: &mut Node) -> Result<()> {
    let (first, _) = node.wall.digest();
    node.apply(&format!("{POLICY}{OPEN}"))?;
    let (second, _) = node.wall.digest();
    node.apply(POLICY)?;
    let (third, _) = node.wall.digest();
    ensure!(first != second && first == third, "{first:?} {second:?} {third:?}");
    Ok(())
}

fn proof(node: &mut Node) -> Result<()> {
    let request = |node: &Node, to: &str, frame: Vec<u8>| ProofRequest {
        from_interface: Some(node.interface("red-a")),
        to_interface: Some(node.interface(to)),
        frame,
    };
    node.drain();
    let counters = node.wall.counters()?;
    let refused = node.wall.prove(&request(node, "blue-a", knock()))?;
    ensure!(!refused.passed && refused.programs == 1, "{refused:?}");
    let allowed = ip(address("10.0.0.1"), address("10.0.0.4"), TCP, &tcp(99, 8000, SYN));
    let allowed = node.wall.prove(&request(node, "ops-a", allowed))?;
    ensure!(allowed.passed && allowed.programs == 2, "{allowed:?}");
    ensure!(node.wall.counters()? == counters, "a proof was counted");
    ensure!(node.drain().is_empty(), "a proof was recorded");
    let back = ip(address("10.0.0.4"), address("10.0.0.1"), TCP, &tcp(8000, 99, 16));
    expect(&node.send("ops-a", &back)?, "a proof tracks no flow", reason::CROSS_TENANT_NO_RULE)
}
