//! The tables and `decide()` say what the reference evaluator says, rule name and shadow included.

use enforcer_core::policy::compile::compile;
use enforcer_core::policy::oracle;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::ask::decided;
use crate::support::generate::{facts, flow, objects};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn compiled_tables_answer_as_the_reference_does(objects in objects(), flows in vec(flow(), 150)) {
        let policy = objects.policy();
        let facts = facts(&policy);
        let image = compile(&policy, &facts);
        for flow in &flows {
            let expected = oracle::verdict(&policy, &facts, flow);
            prop_assert_eq!(decided(&policy, &facts, &image, flow), expected, "{:?}", flow);
        }
    }
}
