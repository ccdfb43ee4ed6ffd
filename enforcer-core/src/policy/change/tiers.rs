//! The tiers' terms for traffic between two tenants.

use std::sync::Arc;

use super::draft::Draft;
use crate::policy::model::{Action, Peer, Rule, Tenant, Tier};
use crate::policy::parse::path::At;

pub(super) fn check(draft: &mut Draft, rule: &Rule) {
    let Some((from, to)) = cross_tenant_allow(draft, rule) else { return };
    let list = At::root("rules");
    let at = list.name(&rule.name);
    let platform = from.platform_service || to.platform_service;
    let strictest = from.tier.max(to.tier);
    if strictest == Tier::Dedicated && !platform {
        let message = format!(
            "a dedicated tenant exchanges traffic with platform services only, and neither '{}' nor '{}' is one; remove the rule",
            from.name, to.name
        );
        draft.problems.add("tier_forbids", at, message);
        return;
    }
    if strictest < Tier::Isolated {
        return;
    }
    if !rule.mtls_required {
        let message =
            "is not stated, and an isolated or dedicated tenant is on one side; state mtlsRequired: true";
        draft.problems.add("tier_needs_mtls", at.field("mtlsRequired"), message);
    }
    for side in [&from, &to] {
        if !rule.carried_by.contains(&side.name) {
            let warning = format!(
                "{at}: not carried by '{}', so that traffic stays refused until both tenants carry the rule",
                side.name
            );
            draft.warnings.push(warning);
        }
    }
}

/// Both tenants of a rule that allows traffic from one to another.
fn cross_tenant_allow(draft: &Draft, rule: &Rule) -> Option<(Arc<Tenant>, Arc<Tenant>)> {
    match (&rule.from, &rule.to, rule.action) {
        (Peer::Tenant(from), Peer::Tenant(to), Action::Allow) if from != to => {
            let tenants = &draft.policy.tenants;
            Some((Arc::clone(tenants.get(from)?), Arc::clone(tenants.get(to)?)))
        }
        _ => None,
    }
}
