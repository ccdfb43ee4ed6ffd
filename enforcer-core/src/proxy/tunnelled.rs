//! Whom the tunnel may concern.

use std::collections::BTreeSet;

use crate::policy::compile::tunnel_between;
use crate::policy::model::{Name, Policy};

/// Tenants on either side of a rule that allows over mutual TLS, as it is compiled: the isolated tier asks for it
/// whatever the rule says. Their workloads have listeners of the agent; who is not among them is left alone.
#[must_use]
pub fn tunnelled(policy: &Policy) -> BTreeSet<Name> {
    let between = policy.rules.values().filter_map(|rule| tunnel_between(policy, rule));
    between.flatten().map(Name::clone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::change::{Change, apply};
    use crate::policy::parse::yaml;

    fn found(tier: &str, rules: &[&str]) -> Vec<String> {
        let tenants = ["red", "blue", "green", "grey"].iter().zip(100..).map(|(name, id)| {
            format!(
                "---\napiVersion: enforcer.dev/v1\nkind: Tenant\nmetadata: {{name: {name}}}\n\
                 spec: {{id: {id}, tier: {tier}, dataClassification: internal}}\n"
            )
        });
        let rules = rules.iter().zip(1..).map(|(spec, number)| {
            format!(
                "---\napiVersion: enforcer.dev/v1\nkind: Rule\nmetadata: {{name: r{number}}}\nspec: {{{spec}}}\n"
            )
        });
        let text: String = tenants.chain(rules).collect();
        let documents = yaml::read(&[("test.yaml", &text)]);
        let change = Change::Documents { documents, prune: true };
        let policy = apply(&Policy::default(), &change, 0).unwrap().policy;
        tunnelled(&policy).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_sides_of_an_allow_rule_with_mtls_and_nobody_else() {
        let rules = [
            "from: {tenant: red}, to: {tenant: blue}, action: allow, mtlsRequired: true",
            "from: {tenant: green}, to: {tenant: blue}, action: allow",
            "from: {tenant: grey}, to: {tenant: blue}, action: deny",
        ];
        assert_eq!(found("shared", &rules), ["blue", "red"]);
    }

    #[test]
    fn the_isolated_tier_needs_no_word_of_the_rule() {
        let carried = "from: {tenant: red}, to: {tenant: blue}, action: allow, carriedBy: [red, blue]";
        let not_by_both = "from: {tenant: red}, to: {tenant: grey}, action: allow, carriedBy: [red]";
        assert_eq!(found("isolated", &[carried, not_by_both]), ["blue", "red"]);
    }
}
