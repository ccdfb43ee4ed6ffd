//! What a node may see of the trust: the trust domains of the tenants that are placed on it, those that they
//! federate with, and the fleet's.

use std::collections::BTreeSet;
use std::sync::Arc;

use enforcer_core::identity::bundle::{Revocations, Trust};
use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::trust_domain::TrustDomain;
use tokio::sync::watch;

/// The whole, from which parts are shown.
#[derive(Clone)]
pub(super) struct View {
    pub(super) trust: watch::Receiver<Arc<Trust>>,
    pub(super) entitlements: watch::Receiver<Arc<Entitlements>>,
    pub(super) own_node: String,
}

impl View {
    /// What `node` sees now; `None` when the node itself is revoked.
    pub(super) fn of(&mut self, node: &str) -> Option<Trust> {
        let trust = Arc::clone(&self.trust.borrow_and_update());
        let entitlements = Arc::clone(&self.entitlements.borrow_and_update());
        let id = entitlements.fleet.member(&format!("/node/{node}")).ok()?;
        if trust.revoked.spiffe_ids.contains(&id) {
            return None;
        }
        Some(part(&trust, &entitlements, node, &self.own_node))
    }

    /// Waits until there may be more to see; false when nobody writes any more.
    pub(super) async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.trust.changed() => changed.is_ok(),
            changed = self.entitlements.changed() => changed.is_ok(),
        }
    }
}

fn part(trust: &Trust, entitlements: &Entitlements, node: &str, own: &str) -> Trust {
    let seen = seen(entitlements, node, own);
    let bundles = trust.bundles.iter().filter(|(domain, _)| seen.contains(*domain));
    let bundles = bundles.map(|(domain, bundle)| (domain.clone(), Arc::clone(bundle))).collect();
    Trust { bundles, revoked: revoked(&trust.revoked, entitlements, &seen) }
}

fn seen<'a>(entitlements: &'a Entitlements, node: &str, own: &str) -> BTreeSet<&'a TrustDomain> {
    let mut seen = BTreeSet::from([&entitlements.fleet]);
    for (name, domain) in &entitlements.domains {
        if entitlements.is_placed(name, node, own) {
            seen.insert(name);
            seen.extend(&domain.federates_with);
        }
    }
    seen
}

/// The names of other tenants' workloads are none of a node's business.
fn revoked(all: &Revocations, entitlements: &Entitlements, seen: &BTreeSet<&TrustDomain>) -> Revocations {
    let tenants: BTreeSet<_> = seen
        .iter()
        .filter_map(|domain| entitlements.domains.get(*domain))
        .map(|domain| &domain.tenant)
        .collect();
    let member = |workload| entitlements.members.get(workload);
    let workloads = all
        .workloads
        .iter()
        .filter(|workload| member(*workload).is_some_and(|member| seen.contains(&member.domain)));
    let ids =
        all.spiffe_ids.iter().filter(|id| seen.iter().any(|domain| domain.as_str() == id.trust_domain()));
    Revocations {
        tenants: all.tenants.iter().filter(|tenant| tenants.contains(tenant)).cloned().collect(),
        workloads: workloads.cloned().collect(),
        spiffe_ids: ids.cloned().collect(),
    }
}
