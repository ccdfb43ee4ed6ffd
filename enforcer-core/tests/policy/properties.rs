//! What holds for every policy.

use enforcer_common::maps::RULE_TUNNEL;
use enforcer_common::policy::port_mask;
use enforcer_core::policy::compile::compile;
use enforcer_core::policy::image::Image;
use enforcer_core::policy::model::{Action, Mode, Rule};
use enforcer_core::policy::oracle::Answer;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::ask::decided;
use crate::support::build::Objects;
use crate::support::generate::{any_rule, facts, flow, objects};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn adding_a_deny_never_widens(objects in objects(), added in any_rule(), flows in vec(flow(), 200)) {
        let deny = Rule { name: "r99".into(), action: Action::Deny, ..added };
        let before = objects.policy();
        let after = objects.with_rule(deny).policy();
        let facts = facts(&before);
        let (old, new) = (compile(&before, &facts), compile(&after, &facts));
        for flow in &flows {
            if decided(&before, &facts, &old, flow).answer == Answer::Deny {
                let answer = decided(&after, &facts, &new, flow).answer;
                prop_assert_eq!(answer, Answer::Deny, "{:?}", flow);
            }
        }
    }

    #[test]
    fn an_audit_rule_changes_no_answer(objects in objects(), added in any_rule(), flows in vec(flow(), 100)) {
        let audit = Rule { name: "r99".into(), mode: Mode::Audit, ..added };
        let before = objects.policy();
        let after = objects.with_rule(audit).policy();
        let facts = facts(&before);
        let (old, new) = (compile(&before, &facts), compile(&after, &facts));
        for flow in &flows {
            let (was, is) = (decided(&before, &facts, &old, flow), decided(&after, &facts, &new, flow));
            prop_assert_eq!((was.answer, was.rule, was.reason), (is.answer, is.rule, is.reason), "{:?}", flow);
        }
    }

    #[test]
    fn the_order_of_a_push_does_not_matter(
        (objects, shuffled) in objects().prop_flat_map(|objects| (Just(objects.clone()), shuffled(objects))),
    ) {
        let (policy, other) = (objects.policy(), shuffled.policy());
        let (image, other) = (compile(&policy, &facts(&policy)), compile(&other, &facts(&other)));
        for (tenant, other) in image.tenants.values().zip(other.tenants.values()) {
            prop_assert_eq!(tenant.digest(), other.digest());
        }
        prop_assert_eq!(image, other);
    }

    #[test]
    fn port_regions_are_disjoint_and_announced(objects in objects()) {
        let policy = objects.policy();
        let image = compile(&policy, &facts(&policy));
        check_regions(&image)?;
    }
}

fn shuffled(objects: Objects) -> impl Strategy<Value = Objects> {
    let Objects { tenants, workloads, rules, bindings } = objects;
    let orders = (
        Just(tenants).prop_shuffle(),
        Just(workloads).prop_shuffle(),
        Just(rules).prop_shuffle(),
        Just(bindings).prop_shuffle(),
    );
    orders.prop_map(|(mut tenants, workloads, mut rules, bindings)| {
        tenants.iter_mut().for_each(|tenant| tenant.devices.reverse());
        for rule in &mut rules {
            rule.carried_by.reverse();
            rule.ports.iter_mut().for_each(|ports| ports.reverse());
        }
        Objects { tenants, workloads, rules, bindings }
    })
}

fn check_regions(image: &Image) -> Result<(), TestCaseError> {
    for tenant in image.tenants.values() {
        let regions: Vec<_> = tenant.ports.keys().collect();
        for (index, region) in regions.iter().enumerate() {
            prop_assert_eq!(region.port & port_mask(region.prefix_len), region.port);
            // The entry of the carrying connection lies over the region around it.
            let carries = |region| tenant.ports[region].rule == RULE_TUNNEL;
            let overlaps = regions[index + 1..].iter().filter(|other| !carries(**other)).any(|other| {
                let mask = port_mask(region.prefix_len.min(other.prefix_len));
                (other.peer, other.protocol, other.port & mask)
                    == (region.peer, region.protocol, region.port & mask)
            });
            prop_assert!(!overlaps || carries(*region), "{:?}", region);
            let slot = enforcer_common::maps::protocol_slot(region.protocol).unwrap();
            let of_world = tenant.cidrs.values().find(|cidr| cidr.peer == region.peer).map(|cidr| cidr.pair);
            let pair = tenant.pairs.get(&region.peer).copied().or(of_world).unwrap();
            prop_assert!(pair.prefixes[slot] & (1 << region.prefix_len) != 0, "{:?}", region);
        }
    }
    Ok(())
}
