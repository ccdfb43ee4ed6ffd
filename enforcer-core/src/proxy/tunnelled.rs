//! Whom the tunnel may concern.

use std::collections::BTreeSet;

use crate::policy::model::{Action, Name, Peer, Policy};

/// Tenants on either side of a rule that allows over mutual TLS. Their workloads have listeners of the agent; who is
/// not among them is left alone.
#[must_use]
pub fn tunnelled(policy: &Policy) -> BTreeSet<Name> {
    let mut tenants = BTreeSet::new();
    for rule in policy.rules.values() {
        if let (true, Action::Allow, Peer::Tenant(from), Peer::Tenant(to)) =
            (rule.mtls_required, rule.action, &rule.from, &rule.to)
        {
            tenants.extend([Name::clone(from), Name::clone(to)]);
        }
    }
    tenants
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::model::{Mode, Rule};

    fn rule(name: &str, from: Peer, to: Peer, action: Action, mtls_required: bool) -> Arc<Rule> {
        Arc::new(Rule {
            name: name.into(),
            from,
            to,
            ports: None,
            action,
            mode: Mode::Enforce,
            mtls_required,
            mtls_always: false,
            carried_by: Vec::new(),
        })
    }

    #[test]
    fn both_sides_of_an_allow_rule_with_mtls_and_nobody_else() {
        let tenant = |name: &str| Peer::Tenant(name.into());
        let rules = [
            rule("a", tenant("red"), tenant("blue"), Action::Allow, true),
            rule("b", tenant("green"), tenant("blue"), Action::Allow, false),
            rule("c", tenant("grey"), tenant("blue"), Action::Deny, true),
            rule("d", Peer::World, tenant("white"), Action::Allow, true),
        ];
        let policy = Policy {
            rules: rules.into_iter().map(|rule| (Name::clone(&rule.name), rule)).collect(),
            ..Policy::default()
        };
        let found: Vec<String> = tunnelled(&policy).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["blue", "red"]);
    }
}
