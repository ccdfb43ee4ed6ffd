//! One tenant's push among ten thousand tenants and a hundred thousand bindings concerns that tenant alone.

use std::sync::Arc;

use enforcer_core::policy::model::{Action, Binding, Bound, Name, Policy, Rule, Tier};
use enforcer_core::policy::plan::{needed, plan};

use crate::support::build::{self, Objects, binding, of, rule, tenant};
use crate::support::generate::facts;

const TENANTS: u32 = 10_000;
const BINDINGS: u32 = 100_000;
const PUSHED: u32 = 100;

fn crowd() -> Policy {
    let name = |index: u32| format!("t{index}");
    let tenants = (0..TENANTS).map(|index| tenant(&name(index), 16 + index, Tier::Shared));
    let bindings = (0..BINDINGS).map(|index| {
        let [_, a, b, c] = index.to_be_bytes();
        binding(&format!("172.{}.{b}.{c}", 16 + a), Bound::Tenant(name(index % TENANTS).into()))
    });
    let rules = (0..TENANTS).map(|index| {
        let next = name((index + 1) % TENANTS);
        rule(&format!("r{index}"), of(&next), of(&name(index)), Action::Allow)
    });
    Objects {
        tenants: tenants.collect(),
        bindings: bindings.collect(),
        rules: rules.collect(),
        workloads: Vec::new(),
    }
    .policy()
}

/// The policy with rules for one more port each, as the change of a delta leaves it.
fn pushed(policy: &Policy) -> Policy {
    let mut next = policy.clone();
    let owner = Name::from("t77");
    let mut owned = next.index.rules_by_owner.get(&owner).cloned().unwrap();
    for index in 0..PUSHED {
        let port = 1000 + 2 * u16::try_from(index).unwrap();
        let name = Name::from(format!("r{}", TENANTS + index));
        let number = build::FIRST_RULE_NUMBER + TENANTS + index;
        let rule =
            Rule { ports: Some(build::tcp(port, port)), ..rule(&name, of("t5"), of(&owner), Action::Allow) };
        owned.insert(Name::clone(&name));
        next.index.rule_numbers.insert(number, Name::clone(&name));
        next.index.displaced_rules.insert(Name::clone(&name), number);
        next.rules.insert(name, Arc::new(rule));
    }
    next.index.rules_by_owner.insert(owner, owned);
    next
}

#[test]
fn a_push_of_one_tenants_rules_writes_that_tenant_alone() {
    let before = crowd();
    let after = pushed(&before);
    let facts = facts(&before);
    let plan = plan((&before, &facts), (&after, &facts));
    assert_eq!(plan.tenants_write.iter().map(|tenant| tenant.id).collect::<Vec<_>>(), [16 + 77]);
    let needed = needed(&plan);
    assert_eq!((needed.tenants, needed.pairs, needed.ports, needed.addresses), (1, 2, u64::from(PUSHED), 0));
}

#[test]
fn a_binding_that_changes_hands_writes_that_address_alone() {
    let before = crowd();
    let mut after = before.clone();
    let (address, held) = before.bindings.get_max().cloned().unwrap();
    let moved = Binding { bound: Bound::RemoteNode, generation: 2, ..held.as_ref().clone() };
    after.bindings.insert(address, Arc::new(moved));
    let facts = facts(&before);
    let plan = plan((&before, &facts), (&after, &facts));
    assert_eq!(plan.addresses_write.len(), 1);
    assert_eq!((plan.tenants_write.len(), plan.addresses_remove.len()), (0, 0));
}
