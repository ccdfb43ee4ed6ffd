//! From one policy and node to the next, at the cost of what differs: two revisions share what did not
//! change, and only the rest is visited.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use imbl::ordmap::DiffItem;

use crate::node::NodeFacts;
use crate::policy::compile::{compile, compile_tenant, node};
use crate::policy::image::{Image, Plan};
use crate::policy::model::{Name, Peer, Policy, Rule, Tenant};

use super::images::{plan_from_image, plan_node};

/// A policy on a node.
type Revision<'a> = (&'a Policy, &'a NodeFacts);

/// The plan from what one policy compiles to, to what the next one does.
///
/// A change of a tenant's tier costs a walk over all rules, since any of them may depend on it; a tenant's
/// number that changes costs everything, and the policy's door refuses that.
#[must_use]
pub fn plan(old: Revision<'_>, new: Revision<'_>) -> Plan {
    let mut touched = Touched::default();
    if touched.tenants(old, new) == Renumbered::Some {
        return plan_from_image(&compile(old.0, old.1), &compile(new.0, new.1));
    }
    touched.rules(old.0, new.0);
    touched.devices(old, new);
    touched.holders(old, new);
    let mut plan = Plan::default();
    plan_tenants(old, new, &touched.tenants, &mut plan);
    plan_addresses(old, new, &touched.addresses, &mut plan);
    plan_node(&node_image(old, &touched), &node_image(new, &touched), &mut plan);
    plan
}

/// Whether a name stands for another tenant number than before.
#[derive(PartialEq, Eq)]
enum Renumbered {
    Some,
    None,
}

/// What may differ: too much costs time, too little would be wrong.
#[derive(Default)]
struct Touched {
    tenants: BTreeSet<Name>,
    addresses: BTreeSet<IpAddr>,
    /// Interfaces and cgroups.
    places: bool,
    /// Gates, and what host services may open.
    gates: bool,
}

impl Touched {
    fn tenants(&mut self, (old, _): Revision<'_>, (new, _): Revision<'_>) -> Renumbered {
        let mut other_terms = BTreeSet::new();
        for difference in old.tenants.diff(&new.tenants) {
            match difference {
                DiffItem::Add(name, _) | DiffItem::Remove(name, _) => {
                    self.tenants.insert(Name::clone(name));
                }
                DiffItem::Update { old: (name, before), new: (_, after) } => {
                    if before.id != after.id {
                        return Renumbered::Some;
                    }
                    self.tenants.insert(Name::clone(name));
                    if before.tier != after.tier {
                        other_terms.insert(name);
                    }
                }
            }
        }
        if !other_terms.is_empty() {
            let dependent = new.rules.values().filter(|rule| {
                [&rule.from, &rule.to]
                    .into_iter()
                    .any(|peer| matches!(peer, Peer::Tenant(name) if other_terms.contains(name)))
            });
            self.tenants.extend(dependent.filter_map(|rule| rule.owner().cloned()));
        }
        Renumbered::None
    }

    fn rules(&mut self, old: &Policy, new: &Policy) {
        let mut owners = |rule: &Rule| self.tenants.extend(rule.owner().cloned());
        for difference in old.rules.diff(&new.rules) {
            match difference {
                DiffItem::Add(_, rule) | DiffItem::Remove(_, rule) => owners(rule),
                DiffItem::Update { old: (_, before), new: (_, after) } => {
                    owners(before);
                    owners(after);
                }
            }
        }
        // A rule that was taken out and put back may have another number, though it is the same rule.
        for difference in old.index.rule_numbers.diff(&new.index.rule_numbers) {
            let (DiffItem::Add(_, name)
            | DiffItem::Remove(_, name)
            | DiffItem::Update { new: (_, name), .. }) = difference;
            new.rules.get(name).into_iter().for_each(|rule| owners(rule));
        }
    }

    fn devices(&mut self, (_, old): Revision<'_>, (policy, new): Revision<'_>) {
        if Arc::ptr_eq(&old.devices, &new.devices) || old.devices == new.devices {
            return;
        }
        self.gates = true;
        let granted = policy.tenants.values().filter(|tenant| !tenant.devices.is_empty());
        self.tenants.extend(granted.map(|tenant| Name::clone(&tenant.name)));
    }

    fn holders(&mut self, (old, was): Revision<'_>, (new, is): Revision<'_>) {
        let moved = was.name != is.name || was.clock_offset_ns != is.clock_offset_ns;
        if moved {
            self.every_address(old);
            self.every_address(new);
        }
        self.addresses.extend(was.addresses.symmetric_difference(&is.addresses));
        for difference in old.bindings.diff(&new.bindings) {
            let (DiffItem::Add(address, _)
            | DiffItem::Remove(address, _)
            | DiffItem::Update { new: (address, _), .. }) = difference;
            self.addresses.insert(*address);
        }
        for difference in old.workloads.diff(&new.workloads) {
            let (DiffItem::Add(name, _)
            | DiffItem::Remove(name, _)
            | DiffItem::Update { new: (name, _), .. }) = difference;
            self.workload(old, new, name);
        }
        for difference in old.index.workload_numbers.diff(&new.index.workload_numbers) {
            let (DiffItem::Add(_, name)
            | DiffItem::Remove(_, name)
            | DiffItem::Update { new: (_, name), .. }) = difference;
            self.workload(old, new, name);
        }
        let other_services = was.services != is.services;
        self.gates |= other_services;
        self.places |= moved || other_services || was.attachments != is.attachments;
    }

    fn every_address(&mut self, policy: &Policy) {
        self.addresses.extend(policy.index.holder.keys());
    }

    fn workload(&mut self, old: &Policy, new: &Policy, name: &Name) {
        self.places = true;
        for workload in [old.workloads.get(name), new.workloads.get(name)].into_iter().flatten() {
            self.addresses.extend(&workload.addresses);
        }
    }
}

fn plan_tenants(old: Revision<'_>, new: Revision<'_>, touched: &BTreeSet<Name>, plan: &mut Plan) {
    for name in touched {
        let image = |(policy, facts): Revision<'_>| {
            policy.tenants.get(name).map(|tenant: &Arc<Tenant>| compile_tenant(policy, tenant, facts))
        };
        match (image(old), image(new)) {
            (before, Some(after)) if before.as_ref() != Some(&after) => plan.tenants_write.push(after),
            (Some(before), None) => plan.tenants_remove.push(before.id),
            _ => {}
        }
    }
    // A number may pass from one name to another in one change only if nothing of the first remains.
    plan.tenants_remove.retain(|id| plan.tenants_write.iter().all(|tenant| tenant.id != *id));
    plan.tenants_write.sort_by_key(|tenant| tenant.id);
    plan.tenants_remove.sort_unstable();
}

fn plan_addresses(old: Revision<'_>, new: Revision<'_>, touched: &BTreeSet<IpAddr>, plan: &mut Plan) {
    for address in touched {
        let before = node::address(old.0, old.1, *address);
        let after = node::address(new.0, new.1, *address);
        match after {
            Some(value) if before != after => plan.addresses_write.push((node::mapped(*address), value)),
            None if before.is_some() => plan.addresses_remove.push(node::mapped(*address)),
            _ => {}
        }
    }
    plan.addresses_write.sort_unstable_by_key(|(address, _)| *address);
    plan.addresses_remove.sort_unstable();
}

/// The tables of the node alone: small, and cheaper to make anew than to follow. What was not touched is left
/// out on both sides.
fn node_image((policy, facts): Revision<'_>, touched: &Touched) -> Image {
    let mut image = Image::default();
    if touched.places {
        image.interfaces = node::interfaces(policy, facts);
        image.cgroups = node::cgroups(policy, facts);
    }
    if touched.gates {
        image.gates = facts.devices.gates();
        image.services = node::services(facts);
    }
    image
}
