//! Plans: applying one to what was compiled before gives what is compiled now, and it holds no more.

use std::net::Ipv4Addr;
use std::sync::Arc;

use enforcer_core::device::table::DeviceTable;
use enforcer_core::node::{NodeFacts, TunnelEnd};
use enforcer_core::policy::compile::compile;
use enforcer_core::policy::image::Plan;
use enforcer_core::policy::model::{Action, Bound, Peer, Policy, Tier};
use enforcer_core::policy::plan::{difference, extent, needed, plan, plan_from_image};
use enforcer_core::policy::tables::{apply_plan, entries};
use proptest::prelude::*;

use crate::support::build::{Objects, binding, of, rule, tenant, workload};
use crate::support::generate::{facts, objects};

/// One policy turned into a neighbour of itself, or into a stranger.
fn changed(objects: Objects, other: Objects, keep: u8) -> Objects {
    let mut next = objects;
    if keep & 1 == 0 {
        next.tenants.clone_from(&other.tenants);
    }
    if keep & 2 == 0 {
        next.workloads.clone_from(&other.workloads);
    }
    if keep & 4 == 0 {
        next.rules.clone_from(&other.rules);
    }
    if keep & 8 == 0 {
        next.bindings.clone_from(&other.bindings);
    }
    if keep & 16 == 0
        && let Some(first) = next.rules.first_mut()
    {
        first.ports = None;
    }
    next
}

const END: TunnelEnd = TunnelEnd { v4: Some(Ipv4Addr::new(172, 16, 0, 1)), v6: None };

fn changed_facts(facts: &NodeFacts, keep: u8) -> NodeFacts {
    let mut next = facts.clone();
    if keep & 1 == 0 {
        next.devices = Arc::new(DeviceTable::default());
    }
    if keep & 2 == 0 {
        next.services.pop();
    }
    if keep & 4 == 0 {
        next.attachments.pop_first();
    }
    if keep & 8 == 0 {
        next.addresses.insert("172.16.0.1".parse().unwrap());
        next.addresses.pop_last();
    }
    if keep & 16 == 0 {
        next.clock_offset_ns += 1;
    }
    if keep & 64 == 0 {
        let ends = next.attachments.values_mut().step_by(2);
        ends.for_each(|attachment| attachment.tunnel = Some(END));
    }
    if keep & 32 == 0 {
        next.name = "n2".to_owned();
    }
    next
}

fn check(old: (&Policy, &NodeFacts), new: (&Policy, &NodeFacts)) -> Result<(), TestCaseError> {
    let (before, after) = (compile(old.0, old.1), compile(new.0, new.1));
    let plan = plan(old, new);
    prop_assert_eq!(&plan, &plan_from_image(&before, &after), "more or less than what differs");
    let mut applied = before;
    apply_plan(&mut applied, &plan);
    prop_assert_eq!(difference(&applied, &after, 5), Vec::<String>::new());
    prop_assert_eq!(applied, after);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn a_plan_leads_from_one_revision_to_the_next(
        objects in objects(), other in objects(), keep in any::<u8>(), node in any::<u8>(),
    ) {
        let next = changed(objects.clone(), other, keep).policy();
        let policy = objects.policy();
        let old = facts(&policy);
        let new = changed_facts(&facts(&next), node);
        check((&policy, &old), (&next, &new))?;
        check((&policy, &old), (&policy, &changed_facts(&old, node)))?;
        check((&Policy::default(), &NodeFacts::default()), (&policy, &old))?;
        check((&policy, &old), (&Policy::default(), &old))?;
    }
}

fn two_tenants() -> Objects {
    Objects {
        tenants: vec![tenant("blue", 20, Tier::Shared), tenant("red", 21, Tier::Shared)],
        workloads: vec![workload("w1", "blue", &["172.16.0.1"]), workload("w2", "red", &["172.16.0.2"])],
        bindings: vec![binding("172.17.0.1", Bound::Tenant("red".into()))],
        rules: vec![rule("r1", of("red"), of("blue"), Action::Allow)],
    }
}

#[test]
fn what_did_not_change_is_not_written() {
    let old = two_tenants().policy();
    let facts = facts(&old);
    assert_eq!(plan((&old, &facts), (&old, &facts)), Plan::default());
    let new = two_tenants().with_rule(rule("r2", Peer::Host, of("blue"), Action::Deny)).policy();
    let plan = plan((&old, &facts), (&new, &facts));
    assert_eq!(plan.tenants_write.iter().map(|tenant| tenant.id).collect::<Vec<_>>(), [20]);
    assert_eq!(Plan { tenants_write: Vec::new(), ..plan }, Plan::default());
}

#[test]
fn a_peer_that_becomes_isolated_changes_the_owners_tables() {
    let old = two_tenants().policy();
    let mut objects = two_tenants();
    objects.tenants[1].tier = Tier::Isolated;
    let new = objects.policy();
    let facts = facts(&old);
    let plan = plan((&old, &facts), (&new, &facts));
    assert_eq!(plan.tenants_write.iter().map(|tenant| tenant.id).collect::<Vec<_>>(), [20, 21]);
}

#[test]
fn a_tenant_with_another_number_takes_everything_along() {
    let old = two_tenants().policy();
    let mut objects = two_tenants();
    objects.tenants[1].id = 30;
    let new = objects.policy();
    let facts = facts(&old);
    let plan = plan((&old, &facts), (&new, &facts));
    assert_eq!(plan, plan_from_image(&compile(&old, &facts), &compile(&new, &facts)));
    assert_eq!(plan.tenants_remove, [21]);
    assert_eq!(plan.addresses_write.len(), 2);
}

#[test]
fn needed_counts_what_is_written() {
    let policy = two_tenants().policy();
    let facts = facts(&policy);
    let image = compile(&policy, &facts);
    let plan = plan((&Policy::default(), &NodeFacts::default()), (&policy, &facts));
    assert_eq!(needed(&plan), entries(&image));
    let gates = u64::try_from(plan.gates_write.len()).unwrap();
    let needed = needed(&plan);
    let tables = needed.tenants + needed.pairs + needed.ports + needed.cidrs + needed.grants;
    let (written, deleted) = extent(&plan);
    assert_eq!(written, tables + needed.addresses + needed.interfaces + needed.cgroups + gates);
    assert_eq!(deleted, 0);
}

#[test]
fn an_end_of_a_tunnel_that_comes_or_goes_rewrites_its_place_alone() {
    let mut objects = two_tenants();
    objects.workloads[0].cgroup = Some("/pods/w1".to_owned());
    let policy = objects.policy();
    let without = facts(&policy);
    let mut with = without.clone();
    with.attachments.get_mut("w1").unwrap().tunnel = Some(END);
    for (old, new) in [(&without, &with), (&with, &without)] {
        let (before, after) = (compile(&policy, old), compile(&policy, new));
        let plan = plan((&policy, old), (&policy, new));
        assert_eq!(plan, plan_from_image(&before, &after), "read back, the same is found");
        let Plan { interfaces_write, cgroups_write, .. } = &plan;
        assert_eq!(interfaces_write.as_slice(), [(100, after.interfaces[&100])]);
        assert_eq!(cgroups_write.as_slice(), [(1100, after.cgroups[&1100])]);
        let others = Plan { interfaces_write: Vec::new(), cgroups_write: Vec::new(), ..plan };
        assert_eq!(others, Plan::default());
        assert_eq!(difference(&before, &after, 5).len(), 2);
    }
}

#[test]
fn drift_is_told_in_words_and_within_a_limit() {
    let policy = two_tenants().policy();
    let wanted = compile(&policy, &facts(&policy));
    let mut held = wanted.clone();
    held.tenants.get_mut(&20).unwrap().pairs.clear();
    held.addresses.pop_first();
    held.interfaces.insert(999, enforcer_common::maps::InterfaceValue::default());
    let lines = difference(&held, &wanted, 10);
    assert!(lines.contains(&"pairs: tenant 20 peer 0x15 is missing".to_owned()), "{lines:?}");
    assert!(lines.contains(&"interfaces: index 999 is held and should not be".to_owned()), "{lines:?}");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(difference(&held, &wanted, 2).len(), 2);
    assert_eq!(difference(&wanted, &wanted, 10), Vec::<String>::new());
}
