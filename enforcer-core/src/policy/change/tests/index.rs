//! The index, kept change by change, is what the objects say.

use proptest::prelude::*;

use super::*;
use crate::policy::wire::snapshot;

/// A change of a small world, some of them refused.
fn documents() -> impl Strategy<Value = Vec<String>> {
    let name = prop::sample::select(vec!["red", "blue", "green"]);
    let tier = prop::sample::select(vec!["shared", "partitioned", "isolated", "dedicated"]);
    let one = (name.clone(), name, tier, 0_u8..4, 1_u64..4, 0_u8..5, any::<bool>()).prop_map(
        |(one, other, tier, number, generation, kind, flag)| match kind {
            0 => {
                let id = 16 + u32::try_from(one.len()).unwrap();
                tenant(one, id, &format!(", tier: {tier}, platformService: {flag}, devices: [{{class: nvidia, minors: [{number}]}}]"))
            }
            1 => workload(&format!("w{number}"), one, &format!("10.0.0.{number}"), if flag { ", node: n1" } else { "" }),
            2 => rule(&format!("r{number}"), &format!("tenant: {one}"), &format!("tenant: {other}"), &format!(", mtlsRequired: {flag}")),
            3 => rule(&format!("e{number}"), &format!("tenant: {one}"), "world: {}", ""),
            _ => binding(&format!("10.0.0.{}", number + 2), &format!("tenant: {one}"), generation),
        },
    );
    prop::collection::vec(one, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_index_follows_every_change(changes in prop::collection::vec((documents(), any::<bool>()), 1..20)) {
        let mut current = policy(&[tenant("red", 19, ""), tenant("blue", 20, ""), tenant("green", 21, "")]);
        for (documents, prune) in changes {
            let before = current.clone();
            match put(&current, &documents, prune) {
                Ok(changed) => {
                    let message = snapshot(&changed.policy);
                    let fresh = apply(&Policy::default(), &Change::Snapshot(message), NOW).unwrap();
                    prop_assert_eq!(&fresh.policy, &changed.policy);
                    current = changed.policy;
                }
                Err(_) => prop_assert_eq!(&before, &current),
            }
        }
    }
}
