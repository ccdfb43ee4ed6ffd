//! What differs between two policies is told object by object, field by field.

use super::*;
use crate::policy::objects_diff::objects_diff;

#[test]
fn only_what_differs_is_listed_with_its_fields() {
    let before = policy(&[
        tenant("red", 16, ""),
        tenant("blue", 17, ""),
        rule("r", "tenant: red", "tenant: blue", ""),
        binding("10.0.0.1", "tenant: blue", 1),
    ]);
    let after = add(
        &before,
        &[
            rule("r", "tenant: red", "tenant: blue", ", action: deny, mode: audit"),
            rule("s", "tenant: red", "world: {}", ""),
        ],
    );
    let after = after.unwrap().policy;
    let told = |before, after| -> Vec<String> {
        let changes: Vec<v1::ObjectChange> = objects_diff(before, after);
        changes
            .into_iter()
            .map(|c| format!("{} {} {} {}", c.change, c.kind, c.name, c.fields.join(",")))
            .collect()
    };
    assert_eq!(told(&before, &after), ["changed Rule r action,mode", "added Rule s "]);
    assert_eq!(told(&after, &before), ["changed Rule r action,mode", "removed Rule s "]);
    assert!(told(&after, &after).is_empty());
    let strict = |rest: &str| add(&before, &[rule("r", "tenant: red", "tenant: blue", rest)]).unwrap().policy;
    let (required, always) =
        (strict(", mtlsRequired: true"), strict(", mtlsRequired: true, mtlsAlways: true"));
    assert_eq!(told(&before, &required), ["changed Rule r mtlsRequired"]);
    assert_eq!(told(&required, &always), ["changed Rule r mtlsAlways"]);
    assert_eq!(told(&always, &before), ["changed Rule r mtlsRequired,mtlsAlways"]);
    let raised = add(&after, &[binding("10.0.0.1", "tenant: red", 2)]).unwrap().policy;
    assert_eq!(told(&after, &raised), ["changed Binding 10.0.0.1 holder,generation"]);
}
