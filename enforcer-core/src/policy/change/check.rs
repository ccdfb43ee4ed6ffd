//! What only the whole policy can tell: whether names exist, tiers allow, limits hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draft::Draft;
use super::edit::Edit;
use super::index::{company, sides};
use super::{devices, occupancy, tiers};
use crate::policy::model::{Bound, Name, Peer, Policy, Rule, Tenant};
use crate::policy::parse::limits::{MAX_BINDINGS, MAX_RETIRED_IDS, MAX_RULES, MAX_TENANTS, MAX_WORKLOADS};
use crate::policy::parse::path::At;

/// Everything that the edit could have broken.
pub(super) fn all(draft: &mut Draft, edit: &Edit) {
    sizes(draft);
    nobody_mentions_the_gone(draft, edit);
    tenants_exist(draft, edit);
    let strict = stricter(draft.current, &edit.tenants);
    for tenant in &edit.tenants {
        devices::check(draft, tenant);
    }
    for rule in affected(draft, edit, &strict) {
        tiers::check(draft, &rule);
    }
    occupancy::check(draft, edit, &strict);
}

fn sizes(draft: &mut Draft) {
    let Policy { tenants, workloads, rules, bindings, index } = &draft.policy;
    let tables = [
        ("tenants", tenants.len(), MAX_TENANTS),
        ("workloads", workloads.len(), MAX_WORKLOADS),
        ("rules", rules.len(), MAX_RULES),
        ("bindings", bindings.len(), MAX_BINDINGS),
        ("retiredIds", index.retired_ids.len(), MAX_RETIRED_IDS),
    ];
    for (list, length, most) in tables {
        if length > most {
            let message = format!("would be {length} where {most} are the most; delete some first");
            draft.problems.add("too_many", At::root(list), message);
        }
    }
}

fn nobody_mentions_the_gone(draft: &mut Draft, edit: &Edit) {
    for name in &edit.gone_tenants {
        let Some(mentions) = draft.policy.index.mentions.get(name) else { continue };
        let example = example(&draft.policy, name);
        let message =
            format!("is still mentioned {mentions} times, for one by {example}; delete what mentions it too");
        draft.problems.add("tenant_in_use", At::root("tenants").name(name), message);
    }
}

/// Somebody who mentions the tenant. Only asked when something is wrong.
fn example(policy: &Policy, tenant: &Name) -> String {
    let workload = policy.workloads.values().find(|workload| workload.tenant == *tenant);
    if let Some(workload) = workload {
        return format!("workloads[{}]", workload.name);
    }
    if let Some(rule) = policy.rules.values().find(|rule| sides(rule).any(|side| side == tenant)) {
        return format!("rules[{}]", rule.name);
    }
    let bound = Bound::Tenant(Arc::clone(tenant));
    match policy.bindings.values().find(|binding| binding.bound == bound) {
        Some(binding) => format!("bindings[{}]", binding.address),
        None => "nobody".to_owned(),
    }
}

fn tenants_exist(draft: &mut Draft, edit: &Edit) {
    let gone: BTreeSet<&Name> = edit.gone_tenants.iter().collect();
    let is_unknown = |draft: &Draft, name: &Name| !draft.has_tenant(name) && !gone.contains(name);
    for workload in &edit.workloads {
        if is_unknown(draft, &workload.tenant) {
            unknown(draft, &At::root("workloads").name(&workload.name).field("tenant"), &workload.tenant);
        }
    }
    for rule in &edit.rules {
        for (field, peer) in [("from", &rule.from), ("to", &rule.to)] {
            if let Peer::Tenant(name) = peer
                && is_unknown(draft, name)
            {
                unknown(draft, &At::root("rules").name(&rule.name).field(field).field("tenant"), name);
            }
        }
    }
    for binding in &edit.bindings {
        if let Bound::Tenant(name) = &binding.bound
            && is_unknown(draft, name)
        {
            let address = binding.address.to_string();
            unknown(draft, &At::root("bindings").name(&address).field("tenant"), name);
        }
    }
}

fn unknown(draft: &mut Draft, at: &At, name: &Name) {
    let message = format!("there is no tenant '{name}'; register it in the same change, or mend the name");
    draft.problems.add("unknown_tenant", at, message);
}

/// Tenants in force whose tier or part in the platform changes: what others agreed with them is judged anew.
fn stricter(current: &Policy, tenants: &[Arc<Tenant>]) -> BTreeSet<Name> {
    let changed = |tenant: &&Arc<Tenant>| match current.tenants.get(&tenant.name) {
        Some(held) => {
            held.tier != tenant.tier
                || held.platform_service != tenant.platform_service
                || company(held) != company(tenant)
        }
        None => false,
    };
    tenants.iter().filter(changed).map(|tenant| Arc::clone(&tenant.name)).collect()
}

/// The rules that were put, and those of tenants that are judged anew.
fn affected(draft: &Draft, edit: &Edit, strict: &BTreeSet<Name>) -> Vec<Arc<Rule>> {
    let mut rules = edit.rules.clone();
    if !strict.is_empty() {
        let put: BTreeSet<&Name> = edit.rules.iter().map(|rule| &rule.name).collect();
        let concerned =
            |rule: &&Arc<Rule>| !put.contains(&rule.name) && sides(rule).any(|side| strict.contains(side));
        rules.extend(draft.policy.rules.values().filter(concerned).cloned());
    }
    rules
}
